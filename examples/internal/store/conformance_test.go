package store_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/examples/internal/store"
	"github.com/s3presign/presign/internal/test/conformance"
	"github.com/s3presign/presign/internal/test/conformance/conformancetest"
)

// TestConformance checks that versitygw accepts and rejects the same uploads as
// AWS, except for known deviations.
func TestConformance(t *testing.T) {
	server, err := store.Start(t.Context(), "")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	require.NoError(t, server.CreateBucket(t.Context(), "matrix"))
	session, err := server.SessionCredentials(time.Hour)
	require.NoError(t, err)
	target := conformance.Target{
		Name: "versitygw", Client: server.Client(), Bucket: "matrix", HTTP: http.DefaultClient,
		Session: session,
	}
	t.Run("matrix", func(t *testing.T) { conformancetest.Run(t, target) })
	t.Run("files", func(t *testing.T) { conformancetest.RunFiles(t, target) })
	t.Run("life cycle", func(t *testing.T) {
		conformancetest.RunLifecycle(t, target,
			conformancetest.Lack{
				Reason:    "does not keep versions without a directory for them",
				Scenarios: []string{"versions"},
			})
	})
}
