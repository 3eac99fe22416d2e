package ceph_test

import (
	"testing"

	"github.com/s3presign/presign/examples/internal/ceph"
	"github.com/s3presign/presign/examples/internal/sweeptest"
)

// TestSweep checks that lists and sweeps of a bucket of Ceph are complete.
func TestSweep(t *testing.T) {
	server := ceph.Shared(t)
	newBucket(t, server, "sweep")
	sweeptest.Run(t, server.Client(), "sweep")
}

// TestSignersSweep checks that concurrent sweeps by two replicas of a service
// end each upload at Ceph once.
func TestSignersSweep(t *testing.T) {
	server := ceph.Shared(t)
	newBucket(t, server, "replicas")
	sweeptest.RunSigner(t, server.Client, "replicas")
}
