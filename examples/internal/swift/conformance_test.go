package swift_test

import (
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/examples/internal/swift"
	"github.com/s3presign/presign/internal/test/conformance"
	"github.com/s3presign/presign/internal/test/conformance/conformancetest"
)

// TestConformance checks that Swift accepts and rejects the same uploads as
// AWS, except for known deviations.
func TestConformance(t *testing.T) {
	server, bucket := swift.Start(t), "matrix"
	_, err := server.Client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket})
	require.NoError(t, err)
	target := conformance.Target{
		Name: "swift", Client: server.Client(), Bucket: bucket, HTTP: http.DefaultClient,
		Replace: true,
	}
	t.Run("matrix", func(t *testing.T) { conformancetest.Run(t, target) })
	t.Run("life cycle", func(t *testing.T) {
		conformancetest.RunLifecycle(t, target,
			conformancetest.Lack{Reason: "does not accept forms", Scenarios: []string{"* by form"}},
			conformancetest.Lack{
				Reason:    "does not verify checksums",
				Scenarios: []string{"checksum * by PUT", "checksum * by parts"},
			},
			conformancetest.Lack{
				Reason: "does not accept If-None-Match", Scenarios: []string{"taken"},
			})
	})
}
