//go:build !race

package sigv4_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/sigv4"
)

// TestAllocations checks that a signature allocates only the text that it
// returns. The race detector allocates more.
func TestAllocations(t *testing.T) {
	credential := sigv4.Credential{ID: exampleID, Secret: exampleSecret, Token: sessionToken(400)}
	key := sigv4.NewKeys("eu-central-1").Key(credential, benchmarkTime)
	request := benchmarkRequest()
	beginning := key.Beginning("eyJ")
	series := key.Series(request, benchmarkTime)
	for name, sign := range map[string]func(){
		"URL":         func() { key.Presign(request, benchmarkTime) },
		"form":        func() { key.SignBehind(beginning, "eyJ") },
		"one of many": func() { series.Presign([]byte("&partNumber=1")) },
	} {
		require.LessOrEqual(t, testing.AllocsPerRun(100, sign), 1.0, name)
	}
}
