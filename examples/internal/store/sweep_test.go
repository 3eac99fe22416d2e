package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/examples/internal/store"
	"github.com/s3presign/presign/examples/internal/sweeptest"
)

// TestSweep checks that lists and sweeps of a bucket of versitygw are complete.
func TestSweep(t *testing.T) {
	server, err := store.Start(t.Context(), "")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	require.NoError(t, server.CreateBucket(t.Context(), "sweep"))
	sweeptest.Run(t, server.Client(), "sweep")
}

// TestSignersSweep checks that concurrent sweeps by two replicas of a service
// end each upload at versitygw once.
func TestSignersSweep(t *testing.T) {
	server, err := store.Start(t.Context(), "")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	require.NoError(t, server.CreateBucket(t.Context(), "replicas"))
	sweeptest.RunSigner(t, server.Client, "replicas")
}
