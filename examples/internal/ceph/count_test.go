package ceph_test

import (
	"testing"

	"github.com/s3presign/presign/examples/internal/ceph"
	"github.com/s3presign/presign/examples/internal/counttest"
)

// TestRequests checks that completions at Ceph make the expected number of
// requests.
func TestRequests(t *testing.T) {
	server := ceph.Shared(t)
	newBucket(t, server, "count")
	counttest.Run(t, server.Client, "count", false)
}
