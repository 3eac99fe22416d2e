package objectstore_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/test/s3test"
)

func startUpload(t *testing.T, server *s3test.Server, algorithm string) *objectstore.Upload {
	t.Helper()
	header := map[string]string{
		"Content-Type": "text/plain", "cache-control": "no-store", "x-amz-tagging": "a=b",
	}
	u, err := store(server).CreateUpload(context.Background(), target, header,
		map[string]string{"presign": "stamp"}, algorithm)
	require.NoError(t, err)
	return u
}

func uploadPart(
	t *testing.T, server *s3test.Server, u *objectstore.Upload, number int32, body []byte,
) {
	t.Helper()
	_, err := server.S3().UploadPart(context.Background(), &s3.UploadPartInput{
		Bucket: aws.String(bucket), Key: &u.Key, UploadId: &u.ID, PartNumber: &number,
		Body: bytes.NewReader(body),
	})
	require.NoError(t, err)
}

func list(t *testing.T, server *s3test.Server, u *objectstore.Upload) []objectstore.Part {
	t.Helper()
	parts, next, err := store(server).Parts(context.Background(), u, 0, "CRC32")
	require.NoError(t, err)
	require.Zero(t, next)
	return parts
}

func TestUpload(t *testing.T) {
	// The value is the checksum of the body "a".
	for _, whole := range []*objectstore.Whole{nil, {Algorithm: "CRC32", Value: "6Le+Qw=="}} {
		server := s3test.New()
		algorithm := ""
		if whole != nil {
			algorithm = whole.Algorithm
		}
		u := startUpload(t, server, algorithm)
		uploadPart(t, server, u, 1, []byte("a"))
		parts := list(t, server, u)
		require.Equal(t, []objectstore.Part{
			{Number: 1, Size: 1, ETag: parts[0].ETag, Checksum: parts[0].Checksum},
		}, parts)
		require.Equal(t, whole != nil, parts[0].Checksum != "")
		complete := func(parts []objectstore.Part, size int64, whole *objectstore.Whole) error {
			return store(server).CompleteUpload(context.Background(), u, parts, size, whole, false)
		}
		require.ErrorContains(t, complete(parts, 2, whole), "x-amz-mp-object-size")
		require.ErrorIs(t, complete([]objectstore.Part{{Number: 1, ETag: "other"}}, 1, whole),
			objectstore.ErrChanged)
		if whole != nil {
			require.ErrorIs(t,
				complete(parts, 1, &objectstore.Whole{Algorithm: "CRC32", Value: "AAAAAA=="}),
				objectstore.ErrBadDigest)
		}
		require.NoError(t, complete(parts, 1, whole))
		o, err := store(server).Head(context.Background(), target, "")
		require.NoError(t, err)
		require.Equal(t, "text/plain", o.Header.Get("Content-Type"))
		require.Equal(t, "no-store", o.Header.Get("Cache-Control"))
		require.Equal(t, map[string]string{"presign": "stamp"}, o.Metadata)
		require.Equal(t, "a", bodyOf(t, server, target))
		_, _, err = store(server).Parts(context.Background(), u, 0, "")
		require.ErrorIs(t, err, objectstore.ErrNoUpload)
		require.NoError(t, store(server).AbortUpload(context.Background(), u))

		u = startUpload(t, server, algorithm)
		uploadPart(t, server, u, 1, []byte("a"))
		require.ErrorIs(t, complete(list(t, server, u), 1, whole), objectstore.ErrExists)
		require.NoError(t, store(server).CompleteUpload(
			context.Background(), u, list(t, server, u), 1, whole, true))
	}
}

// TestAbortUploads checks that AbortUploads aborts all uploads to the key and
// no others.
func TestAbortUploads(t *testing.T) {
	server := s3test.New()
	one, two := startUpload(t, server, ""), startUpload(t, server, "")
	other, err := store(server).CreateUpload(context.Background(), target+"x", nil, nil, "")
	require.NoError(t, err)
	require.NoError(t, store(server).AbortUploads(context.Background(), target, nil))
	for _, u := range []*objectstore.Upload{one, two} {
		_, _, err := store(server).Parts(context.Background(), u, 0, "")
		require.ErrorIs(t, err, objectstore.ErrNoUpload)
	}
	require.Empty(t, list(t, server, other))
}

// TestAbortEndsAfterAttempts checks that AbortUpload returns an error after a
// limited time if the store does not abort.
func TestAbortEndsAfterAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := s3test.New()
		u := startUpload(t, server, "")
		uploadPart(t, server, u, 1, []byte("a"))
		s := store(server)
		s.Client = server.S3(func(o *s3.Options) {
			o.HTTPClient = newHTTPClient(func(r *http.Request) (*http.Response, error) {
				if r.Method == http.MethodDelete {
					return &http.Response{
						StatusCode: 204, Body: http.NoBody, Header: http.Header{}, Request: r,
					}, nil
				}
				return server.HTTPClient().Do(r)
			})
		})
		started := time.Now()
		require.ErrorContains(t, s.AbortUpload(context.Background(), u),
			"still lists the upload after 5 attempts")
		require.Equal(t, 3*time.Second, time.Since(started))
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		require.ErrorIs(t, s.AbortUpload(ctx, u), context.DeadlineExceeded)
	})
}

// TestAbortStopsIfNoPartIsListed checks that AbortUpload does not wait if the
// store still lists an upload that has ended.
func TestAbortStopsIfNoPartIsListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := s3test.New(s3test.WithQuirks(s3test.ForgivesEndedUploads), s3test.WithHistory())
		u := startUpload(t, server, "")
		uploadPart(t, server, u, 1, []byte("a"))
		started := time.Now()
		for range 2 {
			require.NoError(t, store(server).AbortUpload(t.Context(), u))
		}
		require.Zero(t, time.Since(started))
		require.Len(t, server.History().Requests.Of("AbortMultipartUpload", "ListParts"), 4)
	})
}

// TestPartsSortsReplacedParts checks that the latest part of a number is the
// first, even if a store also lists replaced parts, in either order.
func TestPartsSortsReplacedParts(t *testing.T) {
	for _, reversed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			server := s3test.New(s3test.WithQuirks(s3test.ListsReplacedParts))
			u := startUpload(t, server, "")
			for i, body := range []string{"a", "bb", "ccc", "dddd"} {
				uploadPart(t, server, u, int32(i%2+1), []byte(body))
				time.Sleep(time.Second)
			}
			s := store(server)
			if reversed {
				s.Client = server.S3(func(o *s3.Options) {
					o.HTTPClient = newHTTPClient(func(r *http.Request) (*http.Response, error) {
						response, err := server.HTTPClient().Do(r)
						if err == nil && r.Method == http.MethodGet {
							text := string(must(io.ReadAll(response.Body)))
							part := regexp.MustCompile(
								"(<Part><PartNumber>[12]<.*?</Part>)(<Part>.*?</Part>)")
							text = part.ReplaceAllString(text, "$2$1")
							response.Body = io.NopCloser(strings.NewReader(text))
							response.ContentLength = int64(len(text))
						}
						return response, err
					})
				})
			}
			parts, next, err := s.Parts(t.Context(), u, 0, "")
			require.NoError(t, err)
			require.Zero(t, next)
			sizes := func(parts []objectstore.Part) (sizes []int64) {
				for _, p := range parts {
					sizes = append(sizes, p.Size)
				}
				return sizes
			}
			require.Equal(t, []int64{3, 1, 4, 2}, sizes(parts))
			require.Equal(t, []int64{3, 4}, sizes(objectstore.MergeParts(parts, nil)))
			named := map[int]string{1: parts[1].ETag, 2: parts[2].ETag}
			require.Equal(t, []int64{1, 4}, sizes(objectstore.MergeParts(parts, named)))
			require.Equal(t, []int64{3, 4},
				sizes(objectstore.MergeParts(parts, map[int]string{1: "none", 3: "none"})))
		})
	}
}

func newHTTPClient(transport roundTripper) *http.Client {
	return &http.Client{Transport: transport}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
