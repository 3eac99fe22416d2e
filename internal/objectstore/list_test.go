package objectstore_test

import (
	"context"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/test/s3test"
)

// oddKeys are keys that servers encode differently, in order.
var oddKeys = []string{
	"in/\n", "in/ ", "in/%41", "in/&<>\"'", "in/+", "in/100%", "in/a/b//c", "in/plain", "in/ü 日本",
	"in/\U0001F600",
}

// newPagingClient returns a client that requests pages of two entries, through
// transport.
func newPagingClient(server *s3test.Server, transport roundTripper) *s3.Client {
	two := middleware.InitializeMiddlewareFunc("two", func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		switch input := in.Parameters.(type) {
		case *s3.ListObjectsV2Input:
			input.MaxKeys = aws.Int32(2)
		case *s3.ListMultipartUploadsInput:
			input.MaxUploads = aws.Int32(2)
		}
		return next.HandleInitialize(ctx, in)
	})
	return server.S3(func(o *s3.Options) {
		o.HTTPClient = &http.Client{Transport: transport}
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Initialize.Add(two, middleware.Before)
		})
	})
}

// collect returns all values of a sequence that ends without an error.
func collect[V any](t *testing.T, sequence iter.Seq2[V, error]) (values []V) {
	t.Helper()
	for v, err := range sequence {
		require.NoError(t, err)
		values = append(values, v)
	}
	return values
}

// TestList checks that objects and uploads with any keys are listed with their
// ages, page by page. It also checks that requests have the headers that S3
// requires.
func TestList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := s3test.New()
		control := put(t, server, s3.PutObjectInput{Key: aws.String("in/\x01")}, "body")
		want := []objectstore.Listed{
			{Key: control.Key, ETag: control.ETag, Size: 4, Age: time.Hour},
		}
		var started []objectstore.Started
		for _, key := range append([]string{"before", "out/plain"}, oddKeys...) {
			o := put(t, server, s3.PutObjectInput{Key: &key}, "body")
			u, err := store(server).CreateUpload(t.Context(), key, nil, nil, "")
			require.NoError(t, err)
			if strings.HasPrefix(key, "in/") {
				want = append(want,
					objectstore.Listed{Key: key, ETag: o.ETag, Size: 4, Age: time.Hour})
				started = append(started, objectstore.Started{Key: key, ID: u.ID, Age: time.Hour})
			}
		}
		time.Sleep(time.Hour)
		requests := 0
		s := store(server)
		s.Client = newPagingClient(server, func(r *http.Request) (*http.Response, error) {
			requests++
			require.Equal(t, "requester", r.Header.Get("X-Amz-Request-Payer"))
			require.Equal(t, "111122223333", r.Header.Get("X-Amz-Expected-Bucket-Owner"))
			require.Empty(t, r.Header.Get("X-Amz-Tagging"))
			return server.HTTPClient().Do(r)
		})
		header := map[string]string{
			"X-Amz-Request-Payer": "requester", "x-amz-expected-bucket-owner": "111122223333",
			"x-amz-tagging": "a=b",
		}
		server.Fail(func(_ string, r *http.Request) s3test.Fault {
			r.Header.Del("X-Amz-Expected-Bucket-Owner") // The server does not implement it.
			return s3test.None
		})
		require.Equal(t, want, collect(t, s.Objects(t.Context(), "in/", header)))
		require.Equal(t, 6, requests)
		uploads := collect(t, s.Uploads(t.Context(), "in/", header))
		require.Equal(t, 11, requests)
		require.Equal(t, started, uploads)

		for range s.Objects(t.Context(), "in/", header) {
			break
		}
		for range s.Uploads(t.Context(), "in/", header) {
			break
		}
		require.Equal(t, 13, requests)
		require.Empty(t, collect(t, s.Objects(t.Context(), "none/", header)))
		require.Empty(t, collect(t, s.Uploads(t.Context(), "none/", header)))
	})
}

// TestListUploadsOfOneKey checks that a page can end between two uploads to one
// key.
func TestListUploadsOfOneKey(t *testing.T) {
	server := s3test.New()
	var want []string
	for range 5 {
		want = append(want, startUpload(t, server, "").ID)
	}
	s := store(server)
	s.Client = newPagingClient(server, server.HTTPClient().Do)
	var got []string
	for _, u := range collect(t, s.Uploads(t.Context(), target, nil)) {
		require.Equal(t, target, u.Key)
		got = append(got, u.ID)
	}
	require.ElementsMatch(t, want, got)
}

// TestListUploadsWithoutMarker checks that uploads are listed by keys if the
// store rejects the IDs that it returned as markers.
func TestListUploadsWithoutMarker(t *testing.T) {
	server := s3test.New()
	for _, key := range oddKeys {
		_, err := store(server).CreateUpload(t.Context(), key, nil, nil, "")
		require.NoError(t, err)
	}
	s := store(server)
	s.Client = newPagingClient(server, func(r *http.Request) (*http.Response, error) {
		if r.URL.Query().Has("upload-id-marker") {
			body := strings.NewReader("<Error><Code>InvalidArgument</Code>" +
				"<Message>Invalid uploadId marker</Message></Error>")
			return &http.Response{
				StatusCode: http.StatusBadRequest, Header: http.Header{},
				Body: io.NopCloser(body), Request: r,
			}, nil
		}
		return server.HTTPClient().Do(r)
	})
	var got []string
	for _, u := range collect(t, s.Uploads(t.Context(), "in/", nil)) {
		got = append(got, u.Key)
	}
	require.Equal(t, oddKeys, got)
}

// TestListUsesStoreClock checks that ages are measured by the store's clock.
func TestListUsesStoreClock(t *testing.T) {
	s := newStoreReturning(`<ListBucketResult><Name>bucket</Name>
		<Contents><Key>in/1</Key><LastModified>2020-01-01T00:00:00.000Z</LastModified></Contents></ListBucketResult>`)
	require.Equal(t, []objectstore.Listed{{Key: "in/1", Age: time.Hour}},
		collect(t, s.Objects(t.Context(), "in/", nil)))
	s = newStoreReturning(`<ListMultipartUploadsResult><Bucket>bucket</Bucket>
		<Upload><Key>in/1</Key><UploadId>id</UploadId><Initiated>2020-01-01T00:00:00.000Z</Initiated></Upload></ListMultipartUploadsResult>`)
	require.Equal(t, []objectstore.Started{{Key: "in/1", ID: "id", Age: time.Hour}},
		collect(t, s.Uploads(t.Context(), "in/", nil)))
}

// newStoreReturning returns a store whose responses all have this body, sent at
// one o'clock.
func newStoreReturning(body string) objectstore.Store {
	server := s3test.New()
	s := store(server)
	s.Client = server.S3(func(o *s3.Options) {
		o.HTTPClient = newHTTPClient(func(r *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: http.StatusOK, Request: r, Body: io.NopCloser(strings.NewReader(body)),
				Header: http.Header{"Date": {"Wed, 01 Jan 2020 01:00:00 GMT"}},
			}, nil
		})
	})
	return s
}

// TestListRejects checks that the sequence ends with an error if a response is
// not a complete list of the prefix.
func TestListRejects(t *testing.T) {
	const when = "2020-01-01T00:00:00Z"
	for name, c := range map[string]struct{ objects, uploads, want string }{
		"a proxy's page": {
			"<html><body>Maintenance</body></html>", "<html><body>Maintenance</body></html>",
			"the store did not return a list",
		},
		"prefix ignored": {
			"<ListBucketResult><Name>b</Name><Contents><Key>out/1</Key>" +
				"<LastModified>" + when + "</LastModified></Contents></ListBucketResult>",
			"<R><Bucket>b</Bucket><Upload><Key>out/1</Key>" +
				"<Initiated>" + when + "</Initiated></Upload></R>",
			"the store listed a key that does not start with the prefix",
		},
		"encoded outside": { // Only the decoded key counts.
			"<R><Name>b</Name><EncodingType>url</EncodingType><Contents><Key>in%20/1</Key>" +
				"<LastModified>" + when + "</LastModified></Contents></R>",
			"",
			"the store listed a key that does not start with the prefix",
		},
		"bad escape": {
			"<R><Name>b</Name><EncodingType>url</EncodingType><Contents><Key>in/%</Key>" +
				"<LastModified>" + when + "</LastModified></Contents></R>",
			"",
			"the store returned a key that is not URL-encoded",
		},
		"no time": {
			"<R><Name>b</Name><Contents><Key>in/1</Key></Contents></R>",
			"<R><Bucket>b</Bucket><Upload><Key>in/1</Key></Upload></R>",
			"the store did not return the time of an entry",
		},
		"no next page": {
			"<R><Name>b</Name><IsTruncated>true</IsTruncated></R>",
			"<R><Bucket>b</Bucket><IsTruncated>true</IsTruncated></R>",
			"the store did not return where its list continues",
		},
		"same page again": {
			"<R><Name>b</Name><IsTruncated>true</IsTruncated><NextContinuationToken>1</NextContinuationToken></R>",
			"<R><Bucket>b</Bucket><IsTruncated>true</IsTruncated><NextKeyMarker>in/1</NextKeyMarker><NextUploadIdMarker>1</NextUploadIdMarker></R>",
			"the store returned the same page twice",
		},
	} {
		t.Run(name, func(t *testing.T) {
			objects, err := collectUntilError(
				newStoreReturning(c.objects).Objects(t.Context(), "in/", nil))
			require.Empty(t, objects)
			require.ErrorContains(t, err, `objectstore: list the objects under "in/": `+c.want)
			if c.uploads == "" {
				return
			}
			uploads, err := collectUntilError(
				newStoreReturning(c.uploads).Uploads(t.Context(), "in/", nil))
			require.Empty(t, uploads)
			require.ErrorContains(t, err, `objectstore: list the uploads under "in/": `+c.want)
		})
	}
}

// collectUntilError returns the values of a sequence and the error that ends
// it.
func collectUntilError[V any](sequence iter.Seq2[V, error]) (values []V, err error) {
	for v, failed := range sequence {
		if err != nil {
			panic("the sequence continued after an error")
		}
		if err = failed; err == nil {
			values = append(values, v)
		}
	}
	return values, err
}

// TestListFails checks that errors of the store end a sequence, on any page.
func TestListFails(t *testing.T) {
	server := s3test.New()
	for _, key := range oddKeys[:4] {
		put(t, server, s3.PutObjectInput{Key: &key}, "body")
	}
	s := store(server)
	s.Client = newPagingClient(server, server.HTTPClient().Do)
	for _, page := range []int{1, 2} {
		n := 0
		server.Fail(func(string, *http.Request) s3test.Fault {
			if n++; n == page {
				return s3test.AccessDenied
			}
			return s3test.None
		})
		objects, err := collectUntilError(s.Objects(t.Context(), "in/", nil))
		require.Len(t, objects, 2*(page-1))
		require.ErrorContains(t, err, `objectstore: list the objects under "in/": `)
		require.ErrorContains(t, err, "AccessDenied")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := collectUntilError(s.Uploads(ctx, "in/", nil))
	require.ErrorIs(t, err, context.Canceled)

	s.Bucket = "other"
	_, err = collectUntilError(s.Uploads(t.Context(), "in/", nil))
	require.ErrorContains(t, err, "NoSuchBucket")
	require.True(t, slices.IsSorted(oddKeys))
}
