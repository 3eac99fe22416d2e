package presign_test

import (
	"context"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/s3presign/presign/internal/test/s3test"
)

// The examples use these values in place of the service's own.
var (
	exampleStore = s3test.New(s3test.WithBuckets("bucket"))

	// ctx stands for the context of a request or a job.
	ctx = context.Background()

	// cfg stands for the result of config.LoadDefaultConfig.
	cfg = func() aws.Config {
		options := exampleStore.S3().Options()
		return aws.Config{
			Region: options.Region, Credentials: options.Credentials,
			BaseEndpoint: options.BaseEndpoint, HTTPClient: options.HTTPClient,
		}
	}()

	// uploadClient stands for http.DefaultClient in an uploading program.
	uploadClient = exampleStore.HTTPClient()
)

// sessionUser returns the user of the session cookie, as a service does.
func sessionUser(r *http.Request) (string, error) {
	cookie, err := r.Cookie("session")
	if err != nil {
		return "", nil // The client receives status 401.
	}
	return strings.TrimPrefix(cookie.Value, "session-of-"), nil
}
