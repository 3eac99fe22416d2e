package conformance_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/s3presign/presign/internal/conformance"
	"github.com/s3presign/presign/internal/s3test"
)

// TestS3Test holds the project's own strict server to the matrix, so that it can stand in for S3.
func TestS3Test(t *testing.T) {
	server := s3test.New()
	session := aws.Credentials{
		AccessKeyID: "ASIAIOSFODNN7EXAMPLE", SecretAccessKey: "secret", SessionToken: "token//+==",
		CanExpire: true, Expires: time.Now().Add(time.Hour),
	}
	server.AddCredentials(session)
	target := conformance.Target{
		Name: "s3test", Client: server.S3(), Bucket: s3test.DefaultBucket, HTTP: server.HTTPClient(), Session: session,
	}
	t.Run("matrix", target.Run)
	t.Run("files", target.RunFiles)
}
