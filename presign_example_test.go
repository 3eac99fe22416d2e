package presign_test

import (
	"context"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/s3presign/presign/internal/test/s3test"
)

// The examples use these in place of what a service has.
var (
	exampleStore = s3test.New(s3test.WithBuckets("bucket"))

	// ctx is the context of a request or a job.
	ctx = context.Background()

	// cfg is what config.LoadDefaultConfig returns.
	cfg = func() aws.Config {
		options := exampleStore.S3().Options()
		return aws.Config{
			Region: options.Region, Credentials: options.Credentials,
			BaseEndpoint: options.BaseEndpoint, HTTPClient: options.HTTPClient,
		}
	}()

	// uploadClient is http.DefaultClient of an uploading program.
	uploadClient = exampleStore.HTTPClient()
)

// sessionUser is the authentication of a service.
func sessionUser(r *http.Request) (string, error) {
	cookie, err := r.Cookie("session")
	if err != nil {
		return "", nil // not authenticated: 401
	}
	return strings.TrimPrefix(cookie.Value, "session-of-"), nil
}
