// Package conformancetest holds a server to the matrix of package conformance in a test.
package conformancetest

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/test/conformance"
)

// Run holds a server to the matrix: it answers each case as AWS does, or as is known of it; what it accepts it has
// stored as it was granted, and what it refuses it has not.
func Run(t *testing.T, target conformance.Target) {
	require.NoError(t, target.Prepare(t.Context()))
	for _, c := range conformance.Cases() {
		if c.Session && !target.Session.HasKeys() {
			continue // The server issues no temporary credentials.
		}
		t.Run(c.Name, func(t *testing.T) {
			target := target
			target.Past = func(sign func()) { // the clock of a bubble stands in the year 2000
				synctest.Test(t, func(*testing.T) { sign() })
			}
			result := target.Run(t.Context(), c)
			require.NoError(t, result.Err)
			require.NoError(t, result.Unlike)
		})
	}
}
