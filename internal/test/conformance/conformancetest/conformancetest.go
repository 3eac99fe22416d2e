// Package conformancetest runs the matrix of package conformance in a test.
package conformancetest

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/test/conformance"
)

// Run runs the matrix on a server. The server must respond to each case as AWS
// does, except for its known deviations. Accepted uploads must be stored as
// granted, and rejected uploads must not be stored.
func Run(t *testing.T, target conformance.Target) {
	require.NoError(t, target.Prepare(t.Context()))
	for _, c := range conformance.Cases() {
		if c.Session && !target.Session.HasKeys() {
			continue // The server issues no temporary credentials.
		}
		t.Run(c.Name, func(t *testing.T) {
			target := target
			target.Past = func(sign func()) { // The clock of a bubble starts in the year 2000.
				synctest.Test(t, func(*testing.T) { sign() })
			}
			result := target.Run(t.Context(), c)
			require.NoError(t, result.Err)
			require.NoError(t, result.Unlike)
		})
	}
}
