//go:build !race

package presign_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/s3test"
)

// TestAllocations checks that signing a grant makes at most as many allocations
// as in the last measurement. The race detector makes more allocations, so the
// test does not run with it.
func TestAllocations(t *testing.T) {
	policy := benchmarkPolicy()
	policy.MaxSize = 10_000 * 5 << 20
	signer, err := presign.NewSigner(withToken(400), s3test.DefaultBucket, policy,
		presign.WithSecret(secret), presign.WithStore(s3test.New().S3()))
	require.NoError(t, err)
	form, parts := benchmarkUpload, benchmarkUpload
	form.Size, parts.Size = 0, policy.MaxSize
	m, err := signer.StartMultipart(t.Context(), parts)
	require.NoError(t, err)

	for name, c := range map[string]struct {
		most float64
		do   func() error
	}{
		"PUT": {11,
			func() error { _, err := signer.Put(t.Context(), benchmarkUpload); return err }},
		"form": {14, func() error { _, err := signer.Post(t.Context(), form); return err }},
		"part": {16, func() error {
			_, err := m.SignPart(t.Context(), presign.Part{Number: 5000})
			return err
		}},
		"10,000 parts": {10_000 + 20,
			func() error { _, _, err := m.SignParts(t.Context(), 1, 10_000); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			require.LessOrEqual(t, testing.AllocsPerRun(20, func() {
				if err := c.do(); err != nil {
					t.Error(err)
				}
			}), c.most)
		})
	}
}
