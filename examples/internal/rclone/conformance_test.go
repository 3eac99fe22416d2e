package rclone_test

import (
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/examples/internal/rclone"
	"github.com/s3presign/presign/internal/test/conformance"
	"github.com/s3presign/presign/internal/test/conformance/conformancetest"
)

// TestConformance checks that rclone accepts and rejects the same uploads as
// AWS, except for known deviations.
func TestConformance(t *testing.T) {
	server, bucket := rclone.Start(t), "matrix"
	_, err := server.Client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket})
	require.NoError(t, err)
	target := conformance.Target{
		Name: "rclone", Client: server.Client(), Bucket: bucket, HTTP: http.DefaultClient,
	}
	t.Run("matrix", func(t *testing.T) { conformancetest.Run(t, target) })
	t.Run("life cycle", func(t *testing.T) {
		conformancetest.RunLifecycle(t, target,
			conformancetest.Lack{Reason: "does not accept forms", Scenarios: []string{"* by form"}},
			conformancetest.Lack{
				Reason:    "does not verify checksums of parts",
				Scenarios: []string{"checksum * by parts"},
			},
			conformancetest.Lack{
				Reason: "does not replace a part with other bytes", Scenarios: []string{"part again"},
			},
			conformancetest.Lack{Reason: "does not keep versions", Scenarios: []string{"versions"}})
	})
}
