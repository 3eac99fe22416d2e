package ceph_test

import (
	"testing"

	"github.com/s3presign/presign/examples/internal/ceph"
	"github.com/s3presign/presign/examples/internal/sweeptest"
)

// TestSweep checks lists and sweeps of a bucket of Ceph.
func TestSweep(t *testing.T) {
	server := ceph.Shared(t)
	newBucket(t, server, "sweep")
	sweeptest.Run(t, server.Client(), "sweep")
}

// TestSignersSweep checks sweeps of Ceph by two replicas.
func TestSignersSweep(t *testing.T) {
	server := ceph.Shared(t)
	newBucket(t, server, "replicas")
	sweeptest.RunSigner(t, server.Client, "replicas")
}
