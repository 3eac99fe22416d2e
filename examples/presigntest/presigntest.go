// Package presigntest starts an S3 server inside a test and uploads to it with
// grants.
//
// The server is strict: it rejects what Amazon S3 rejects, with the same status
// and error code. It verifies signatures, signed headers, POST policies,
// checksums and conditions. It supports what presign uses and returns 501 for
// everything else. Nothing has to be installed.
package presigntest

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/s3test"
)

// Bucket is the bucket that every server has. It is empty when the test starts.
const Bucket = s3test.DefaultBucket

// New starts an S3 server on a free port of the loopback interface and returns
// a client of it. The server runs until the test ends and keeps its objects in
// memory.
func New(t testing.TB) *s3.Client {
	t.Helper()
	return s3test.Start(t).S3()
}

// Upload uploads body with a grant, as a client does. The test fails if the
// store rejects the upload.
//
// The grant comes from a Signer or is decoded from the JSON of a Handler's
// response.
func Upload(t testing.TB, grant *presign.Grant, body []byte) {
	t.Helper()
	if err := TryUpload(t.Context(), grant, body); err != nil {
		t.Fatalf("presigntest: %v", err)
	}
}

// TryUpload uploads body with a grant and returns a *StoreError if the store
// rejects the upload. Tests use TryUpload to check that a grant permits no
// other upload.
func TryUpload(ctx context.Context, grant *presign.Grant, body []byte) error {
	request, err := grant.Request(ctx, bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return err
	}
	client := http.Client{
		Transport: http.DefaultTransport,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
	resp, err := client.Do(request)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	response, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	// The store responds with 303 to a form with Upload.Redirect.
	if resp.StatusCode < 300 || resp.StatusCode == http.StatusSeeOther {
		return nil
	}
	rejected := &StoreError{Status: resp.StatusCode}
	_ = xml.Unmarshal(response, rejected) // The body might be empty.
	return rejected
}

// A StoreError describes the response of a store that rejected an upload.
// TryUpload returns it.
type StoreError struct {
	Status  int    `xml:"-"`
	Code    string // an error code of S3, such as "AccessDenied"
	Message string
}

// Error returns the status, code and message.
func (e *StoreError) Error() string {
	return fmt.Sprintf("the store rejected the upload: %d %s: %s", e.Status, e.Code, e.Message)
}
