package checkup

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/test/s3test"
)

func put(t *testing.T, client *s3.Client, bucket, key string) {
	t.Helper()
	_, err := client.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: &bucket, Key: &key, Body: strings.NewReader("a file"),
	})
	require.NoError(t, err)
}

// TestVersionsNotListed checks that the doctor uploads only one object if the
// bucket has versions that the store does not list.
func TestVersionsNotListed(t *testing.T) {
	server := s3test.New(s3test.WithVersioning())
	puts := 0
	server.Fail(func(operation string, _ *http.Request) s3test.Fault {
		if strings.HasPrefix(operation, "P") { // The operation is PutObject or PostObject.
			puts++
		}
		return s3test.None
	})
	client := server.S3()
	p := &examiner{
		signing: client, store: client, bucket: s3test.DefaultBucket, prefix: "incoming/",
		final: "files/", own: "doctor-versions/",
		http: server.HTTPClient(),
	}
	_, left, err := p.examine(t.Context())
	require.ErrorContains(t, err, "s3:ListBucketVersions on the bucket (501 NotImplemented)")
	require.NoError(t, left)
	require.Equal(t, 1, puts)
	require.Empty(t, server.Versions(p.bucket, p.uploads()+"private"))

	// clean also fails if versioning was enabled during the examination.
	put(t, client, p.bucket, p.published()+"a.txt")
	require.ErrorIs(t, p.clean(t.Context()), errVersionsKept)
	require.Len(t, server.Versions(p.bucket, p.published()+"a.txt"), 2)
}

// TestPrefixIgnored checks that objects outside the prefix are not deleted if
// the store lists them.
func TestPrefixIgnored(t *testing.T) {
	server := s3test.New(s3test.WithBuckets("mine"))
	client := server.S3()
	p := &examiner{bucket: "mine", prefix: "incoming/", final: "files/", own: "doctor-prefix/"}
	p.store = s3.New(client.Options(), func(o *s3.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Initialize.Add(
				middleware.InitializeMiddlewareFunc("ignore the prefix", func(
					ctx context.Context, in middleware.InitializeInput,
					next middleware.InitializeHandler,
				) (middleware.InitializeOutput, middleware.Metadata, error) {
					switch input := in.Parameters.(type) {
					case *s3.ListObjectsV2Input:
						input.Prefix = nil
					case *s3.ListObjectVersionsInput:
						input.Prefix = nil
					case *s3.ListMultipartUploadsInput:
						input.Prefix = nil
					}
					return next.HandleInitialize(ctx, in)
				}), middleware.Before)
		})
	})
	put(t, client, "mine", "files/contract.pdf")
	const rejected = `the store must list only keys under "incoming/doctor-prefix/", got "files/contract.pdf"`
	require.ErrorContains(t, p.clean(t.Context()), rejected)
	list, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &p.bucket})
	require.NoError(t, err)
	require.Len(t, list.Contents, 1)

	_, err = client.DeleteObject(t.Context(), &s3.DeleteObjectInput{
		Bucket: &p.bucket, Key: aws.String("files/contract.pdf"),
	})
	require.NoError(t, err)
	_, err = client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{
		Bucket: &p.bucket, Key: aws.String("files/contract.pdf"),
	})
	require.NoError(t, err)
	require.ErrorContains(t, p.clean(t.Context()), rejected)
	uploads, err := client.ListMultipartUploads(t.Context(),
		&s3.ListMultipartUploadsInput{Bucket: &p.bucket})
	require.NoError(t, err)
	require.Len(t, uploads.Uploads, 1)
}

// TestConcurrentDeletes checks that atOnce objects are deleted concurrently.
// Sequential deletes would block forever in the bubble.
func TestConcurrentDeletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := s3test.New()
		p := &examiner{
			store: server.S3(), bucket: s3test.DefaultBucket, prefix: "incoming/", final: "files/",
			own: "doctor-many/",
		}
		for i := range 3 * atOnce {
			put(t, p.store, p.bucket, p.uploads()+strconv.Itoa(i))
		}
		var mu sync.Mutex
		waiting, together := 0, make(chan struct{})
		server.Fail(func(operation string, _ *http.Request) s3test.Fault {
			if operation != "DeleteObject" {
				return s3test.None
			}
			mu.Lock()
			wait := together
			if waiting++; waiting == atOnce {
				close(together)
				waiting, together = 0, make(chan struct{})
			}
			mu.Unlock()
			<-wait
			return s3test.None
		})
		require.NoError(t, p.clean(t.Context()))
		require.Empty(t, server.Objects(p.bucket))
	})
}
