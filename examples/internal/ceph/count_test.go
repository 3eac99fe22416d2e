package ceph_test

import (
	"testing"

	"github.com/s3presign/presign/examples/internal/ceph"
	"github.com/s3presign/presign/examples/internal/counttest"
)

// TestRequests checks the number of requests of completions at Ceph.
func TestRequests(t *testing.T) {
	server := ceph.Shared(t)
	newBucket(t, server, "count")
	counttest.Run(t, server.Client, "count", false)
}
