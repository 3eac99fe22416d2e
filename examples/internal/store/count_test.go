package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/examples/internal/counttest"
	"github.com/s3presign/presign/examples/internal/store"
)

// TestRequests checks that completions at versitygw make the expected number of
// requests.
func TestRequests(t *testing.T) {
	server, err := store.Start(t.Context(), "")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	require.NoError(t, server.CreateBucket(t.Context(), "count"))
	counttest.Run(t, server.Client, "count", true)
}
