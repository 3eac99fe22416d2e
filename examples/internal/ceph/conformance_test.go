package ceph_test

import (
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/ceph"
	"github.com/s3presign/presign/internal/test/conformance"
	"github.com/s3presign/presign/internal/test/conformance/conformancetest"
)

// newBucket creates a bucket.
func newBucket(t *testing.T, server *ceph.Server, name string) {
	t.Helper()
	_, err := server.Client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name})
	require.NoError(t, err)
}

// TestConformance checks that Ceph accepts and rejects the same uploads as AWS,
// except for known deviations.
func TestConformance(t *testing.T) {
	server := ceph.Shared(t)
	newBucket(t, server, "matrix")
	session, err := presign.AssumeRole(server.STS(), server.RoleARN, nil).Retrieve(t.Context())
	require.NoError(t, err)
	target := conformance.Target{
		Name: "ceph", Client: server.Client(), Bucket: "matrix", HTTP: http.DefaultClient,
		Session: session, SessionURL: server.STSURL,
	}
	t.Run("matrix", func(t *testing.T) { conformancetest.Run(t, target) })
	t.Run("files", func(t *testing.T) { conformancetest.RunFiles(t, target) })
	t.Run("life cycle", func(t *testing.T) {
		conformancetest.RunLifecycle(t, target,
			conformancetest.Lack{
				Reason: "does not implement x-amz-checksum-*", Scenarios: []string{"checksum *"},
			})
	})
}
