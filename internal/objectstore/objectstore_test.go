package objectstore_test

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/objectheader"
	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/test/s3test"
)

const (
	bucket = s3test.DefaultBucket
	source = "in/ü +%41?&#=/日本.txt"
	target = "out/ü +%41?&#=/日本.txt"
)

func store(server *s3test.Server) objectstore.Store {
	return objectstore.Store{Client: server.S3(), Bucket: bucket}
}

// put uploads an object as a client of this library does, and returns the
// object as the store describes it.
func put(
	t *testing.T, server *s3test.Server, input s3.PutObjectInput, body string,
) *objectstore.Object {
	t.Helper()
	input.Bucket, input.Body = aws.String(bucket), strings.NewReader(body)
	input.Key = cmp.Or(input.Key, aws.String(source))
	_, err := server.S3().PutObject(context.Background(), &input)
	require.NoError(t, err)
	o, err := store(server).Head(context.Background(), *input.Key, "")
	require.NoError(t, err)
	return o
}

func bodyOf(t *testing.T, server *s3test.Server, key string) string {
	t.Helper()
	o, ok := server.Object(bucket, key)
	require.True(t, ok, key)
	return string(o.Body)
}

// on calls do during the first request of an operation, which then has the
// fault that do returns.
func on(
	operation string, do func(*http.Request) s3test.Fault,
) func(string, *http.Request) s3test.Fault {
	var done atomic.Bool
	return func(name string, r *http.Request) s3test.Fault {
		if name != operation || done.Swap(true) {
			return s3test.None
		}
		return do(r)
	}
}

// each runs a test without and with versioning.
func each(t *testing.T, test func(t *testing.T, opts ...s3test.Option)) {
	t.Helper()
	t.Run("unversioned", func(t *testing.T) { t.Parallel(); test(t) })
	t.Run("versioned", func(t *testing.T) { t.Parallel(); test(t, s3test.WithVersioning()) })
}

func TestHead(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, opts ...s3test.Option) {
		server := s3test.New(opts...)
		o := put(t, server, s3.PutObjectInput{
			ContentType:             aws.String("text/plain"),
			ContentDisposition:      aws.String("attachment"),
			CacheControl:            aws.String("no-store"),
			ContentEncoding:         aws.String("gzip"),
			ContentLanguage:         aws.String("de"),
			WebsiteRedirectLocation: aws.String("/other"),
			StorageClass:            types.StorageClassStandardIa,
			Tagging:                 aws.String("a=b"),
			Metadata:                map[string]string{"Stamp": "a  b", "name": "ü"},
			ChecksumSHA256:          aws.String("uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek="),
		}, "hello world")
		stored, _ := server.Object(bucket, source)
		require.False(t, o.LastModified.IsZero())
		require.Equal(t, &objectstore.Object{
			Key: source, ETag: `"5eb63bbbe01eeed093cb22bb8f5acdc3"`, VersionID: stored.VersionID,
			Size: 11, LastModified: o.LastModified,
			Header: http.Header{
				"Content-Type":                    {"text/plain"},
				"Content-Disposition":             {"attachment"},
				"Cache-Control":                   {"no-store"},
				"Content-Encoding":                {"gzip"},
				"Content-Language":                {"de"},
				"X-Amz-Website-Redirect-Location": {"/other"},
				"X-Amz-Storage-Class":             {"STANDARD_IA"},
				"X-Amz-Server-Side-Encryption":    {"AES256"},
				"X-Amz-Tagging-Count":             {"1"},
			},
			Metadata: map[string]string{"stamp": "a  b", "name": "=?UTF-8?q?=C3=BC?="},
			Checksums: map[string]string{
				"SHA256": "uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=",
			},
			ChecksumType: "FULL_OBJECT", Answered: o.Answered,
		}, o)

		_, err := server.S3().DeleteObject(t.Context(),
			&s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String(source)})
		require.NoError(t, err)
		for _, key := range []string{source, "none"} {
			_, err = store(server).Head(t.Context(), key, "")
			require.ErrorIs(t, err, objectstore.ErrNotFound)
		}
		for fault, want := range map[s3test.Fault]string{
			s3test.AccessDenied: "s3:ListBucket", s3test.InternalError: "StatusCode: 500",
			s3test.Cut: "EOF",
		} {
			server.Fail(func(string, *http.Request) s3test.Fault { return fault })
			_, err = store(server).Head(t.Context(), source, "")
			require.ErrorContains(t, err, want)
			require.NotErrorIs(t, err, objectstore.ErrNotFound)
		}
	})
}

// TestHeadKeepsReturnedHeaders checks that Head returns every header that a
// completion compares.
func TestHeadKeepsReturnedHeaders(t *testing.T) {
	server := s3test.New()
	put(t, server, s3.PutObjectInput{}, "body")
	s := store(server)
	s.Client = server.S3(func(o *s3.Options) {
		o.HTTPClient = newHTTPClient(func(r *http.Request) (*http.Response, error) {
			response, err := server.HTTPClient().Do(r)
			for _, name := range objectheader.AllReturned() {
				response.Header.Set(name, "value of "+name)
			}
			return response, err
		})
	})
	o, err := s.Head(t.Context(), source, "")
	require.NoError(t, err)
	require.Greater(t, len(objectheader.AllReturned()), 5)
	for _, name := range objectheader.AllReturned() {
		require.Equal(t, "value of "+name, o.Header.Get(name))
	}
}

func TestGet(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, opts ...s3test.Option) {
		server := s3test.Start(t, opts...) // On a real connection, net/http could decode.
		const gzipped = "\x1f\x8b no gzip at all"
		o := put(t, server, s3.PutObjectInput{
			ContentEncoding: aws.String("gzip"), Metadata: map[string]string{"a": "b"},
		}, gzipped)
		require.NotEmpty(t, o.Checksums)
		o.Checksums, o.ChecksumType = map[string]string{}, "" // Get does not request checksums.
		get := func(n int) string {
			t.Helper()
			got, beginning, err := store(server).Get(t.Context(), source, "", n)
			require.NoError(t, err)
			got.Answered = o.Answered
			require.Equal(t, o, got)
			return string(beginning)
		}
		for n, want := range map[int]string{
			1: "\x1f", len(gzipped) - 1: gzipped[:len(gzipped)-1], len(gzipped): gzipped,
			4096: gzipped,
		} {
			require.Equal(t, want, get(n))
		}
		// Some stores ignore ranges.
		server.Fail(func(_ string, r *http.Request) s3test.Fault {
			r.Header.Del("Range")
			return s3test.None
		})
		require.Equal(t, gzipped[:3], get(3))

		server.Fail(nil)
		for _, key := range []string{"none", source + "x"} {
			_, _, err := store(server).Get(t.Context(), key, "", 10)
			require.ErrorIs(t, err, objectstore.ErrNotFound)
		}
		for _, fault := range []s3test.Fault{
			s3test.AccessDenied, s3test.SlowDown, s3test.Cut, s3test.CutDuring,
		} {
			server.Fail(func(string, *http.Request) s3test.Fault { return fault })
			_, _, err := store(server).Get(t.Context(), source, "", 4096)
			require.Error(t, err)
			require.NotErrorIs(t, err, objectstore.ErrNotFound)
		}
		other := objectstore.Store{Client: s3test.New().S3(), Bucket: "other"}
		_, _, err := other.Get(t.Context(), source, "", 10)
		require.ErrorContains(t, err, "NoSuchBucket")
		require.NotErrorIs(t, err, objectstore.ErrNotFound)
	})
}

// TestGetEmpty checks that Get returns an empty object, although S3 returns 416
// for a range of it.
func TestGetEmpty(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, opts ...s3test.Option) {
		server := s3test.New(opts...)
		o := put(t, server, s3.PutObjectInput{}, "")
		got, beginning, err := store(server).Get(t.Context(), source, "", 10)
		require.NoError(t, err)
		require.Empty(t, beginning)
		require.True(t, o.Same(got))
		server.Fail(on("HeadObject", func(*http.Request) s3test.Fault {
			put(t, server, s3.PutObjectInput{}, "replaced")
			return s3test.None
		}))
		_, _, err = store(server).Get(t.Context(), source, "", 10)
		require.ErrorIs(t, err, objectstore.ErrChanged)
		server.Fail(nil)
		if o.VersionID == "" {
			return
		}
		server.Fail(on("HeadObject", func(*http.Request) s3test.Fault {
			put(t, server, s3.PutObjectInput{}, "replaced")
			return s3test.None
		}))
		got, _, err = store(server).Get(t.Context(), source, o.VersionID, 10)
		require.NoError(t, err)
		require.Equal(t, o.VersionID, got.VersionID)
	})
}

func TestGetVersion(t *testing.T) {
	t.Parallel()
	server := s3test.New(s3test.WithVersioning())
	o := put(t, server, s3.PutObjectInput{}, "hello world")
	put(t, server, s3.PutObjectInput{}, "HELLO WORLD")
	got, beginning, err := store(server).Get(t.Context(), source, o.VersionID, 4096)
	require.NoError(t, err)
	require.True(t, o.Same(got))
	require.Equal(t, "hello world", string(beginning))
	require.True(t, o.Same(must(store(server).Head(t.Context(), source, o.VersionID))))
	require.NoError(t, store(server).Delete(t.Context(), o))
	_, _, err = store(server).Get(t.Context(), source, o.VersionID, 4096)
	require.ErrorIs(t, err, objectstore.ErrNotFound)
	_, err = store(server).Head(t.Context(), source, o.VersionID)
	require.ErrorIs(t, err, objectstore.ErrNotFound)
}

func TestOpen(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, opts ...s3test.Option) {
		server := s3test.New(opts...)
		o := put(t, server, s3.PutObjectInput{}, "hello world")
		body, err := store(server).Open(t.Context(), o)
		require.NoError(t, err)
		require.Equal(t, "hello world", string(must(io.ReadAll(body))))
		require.NoError(t, body.Close())
		for _, fault := range []s3test.Fault{s3test.AccessDenied, s3test.SlowDown, s3test.Cut} {
			server.Fail(func(string, *http.Request) s3test.Fault { return fault })
			_, err := store(server).Open(t.Context(), o)
			require.Error(t, err)
			require.NotErrorIs(t, err, objectstore.ErrChanged)
		}
	})
}

// TestOpenRejectsReplacedObjects checks that Open returns no bytes of another
// object, even if the store ignores conditions.
func TestOpenRejectsReplacedObjects(t *testing.T) {
	t.Parallel()
	ignoreCondition := func(_ string, r *http.Request) s3test.Fault {
		r.Header.Del("If-Match")
		return s3test.None
	}
	for name, fault := range map[string]func(string, *http.Request) s3test.Fault{
		"S3": nil, "a careless store": ignoreCondition,
	} {
		for _, quirks := range [][]s3test.Quirk{nil, {s3test.SizeETags}} {
			for _, replacement := range []string{"HELLO WORLD", "hello", "hello world and more"} {
				synctest.Test(t, func(t *testing.T) {
					server := s3test.New(s3test.WithQuirks(quirks...))
					o := put(t, server, s3.PutObjectInput{}, "hello world")
					time.Sleep(time.Second)
					put(t, server, s3.PutObjectInput{}, replacement)
					server.Fail(fault)
					_, err := store(server).Open(t.Context(), o)
					require.ErrorIs(t, err, objectstore.ErrChanged, name)
					require.NoError(t, store(server).Delete(t.Context(),
						must(store(server).Head(t.Context(), source, ""))))
					_, err = store(server).Open(t.Context(), o)
					require.ErrorIs(t, err, objectstore.ErrChanged, "deleted")
				})
			}
		}
	}
	server := s3test.New(s3test.WithVersioning())
	o := put(t, server, s3.PutObjectInput{}, "hello world")
	put(t, server, s3.PutObjectInput{}, "HELLO WORLD")
	require.Equal(t, "hello world",
		string(must(io.ReadAll(must(store(server).Open(t.Context(), o))))))
	require.NoError(t, store(server).Delete(t.Context(), o))
	_, err := store(server).Open(t.Context(), o)
	require.ErrorIs(t, err, objectstore.ErrChanged)
}

// must returns v for calls that cannot fail.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestDelete(t *testing.T) {
	t.Parallel()
	rejectCondition := func(name string, r *http.Request) s3test.Fault {
		if name == "DeleteObject" && r.Header.Get("If-Match") != "" {
			return s3test.NotImplemented
		}
		return s3test.None
	}
	for name, fault := range map[string]func(string, *http.Request) s3test.Fault{
		"S3": nil, "without If-Match": rejectCondition,
	} {
		t.Run(name, func(t *testing.T) {
			server := s3test.New()
			o := put(t, server, s3.PutObjectInput{}, "hello")
			put(t, server, s3.PutObjectInput{}, "other")
			server.Fail(fault)
			require.ErrorIs(t, store(server).Delete(t.Context(), o), objectstore.ErrChanged)
			require.Equal(t, "other", bodyOf(t, server, source))
			other := must(store(server).Head(t.Context(), source, ""))
			require.NoError(t, store(server).Delete(t.Context(), other))
			require.Empty(t, server.Objects(bucket))
			require.NoError(t, store(server).Delete(t.Context(), other), "again")
		})
	}
	t.Run("a version", func(t *testing.T) {
		server := s3test.New(s3test.WithVersioning())
		o := put(t, server, s3.PutObjectInput{}, "hello")
		put(t, server, s3.PutObjectInput{}, "other")
		require.NoError(t, store(server).Delete(t.Context(), o))
		require.NoError(t, store(server).Delete(t.Context(), o), "again")
		require.Len(t, server.Versions(bucket, source), 1)
		require.Equal(t, "other", bodyOf(t, server, source))
		require.NoError(t,
			store(server).Delete(t.Context(), must(store(server).Head(t.Context(), source, ""))))
		require.Empty(t, server.Versions(bucket, source), "Delete must not leave a delete marker")
	})
	t.Run("faults", func(t *testing.T) {
		server := s3test.New()
		o := put(t, server, s3.PutObjectInput{}, "hello")
		for _, fault := range []s3test.Fault{
			s3test.AccessDenied, s3test.InternalError, s3test.SlowDown, s3test.Cut, s3test.CutAfter,
		} {
			server.Fail(func(string, *http.Request) s3test.Fault { return fault })
			require.Error(t, store(server).Delete(t.Context(), o))
		}
		require.Empty(t, server.Objects(bucket))
		server.Fail(nil)
		require.NoError(t, store(server).Delete(t.Context(), o))
		require.Error(t,
			objectstore.Store{Client: server.S3(), Bucket: "other"}.Delete(t.Context(), o))
	})
}

// TestErrorsHoldNoSecrets checks that errors contain no secrets, even if S3
// repeats the signed request in its response.
func TestErrorsHoldNoSecrets(t *testing.T) {
	t.Parallel()
	server := s3test.New()
	o := put(t, server, s3.PutObjectInput{}, "hello")
	server.AddCredentials(aws.Credentials{
		AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "right", SessionToken: "the-token",
	})
	client := server.S3(func(o *s3.Options) {
		o.Credentials = credentials.NewStaticCredentialsProvider(
			"ASIAEXAMPLE", "the-secret", "the-token")
	})
	s := objectstore.Store{Client: client, Bucket: bucket}
	_, headErr := s.Head(t.Context(), source, "")
	_, _, getErr := s.Get(t.Context(), source, "", 10)
	_, openErr := s.Open(t.Context(), o)
	_, copyErr := s.Copy(t.Context(), newCopy(o, nil))
	for _, err := range []error{headErr, getErr, openErr, copyErr, s.Delete(t.Context(), o)} {
		require.Error(t, err)
		for _, secret := range []string{
			"the-token", "the-secret", "AWS4-HMAC", "host;", "Credential=",
		} {
			require.NotContains(t, err.Error(), secret)
		}
	}
	require.ErrorContains(t, getErr, "SignatureDoesNotMatch")
}

// largeBody returns a body that has n parts of the smallest size.
func largeBody(n int) string {
	return string(bytes.Repeat([]byte("0123456789abcdef"), (n-1)*partSize/16)) + "the last part"
}

const partSize = 5 << 20

// TestProxyResponsesAreErrors checks that a method returns an error for a
// successful response of a proxy, and that the error wraps no sentinel error.
func TestProxyResponsesAreErrors(t *testing.T) {
	for _, body := range []string{"", "<html>Please log in</html>", "Please log in"} {
		server := s3test.New()
		from := put(t, server, s3.PutObjectInput{}, "hello world")
		u := startUpload(t, server, "")
		// The proxy responds to all requests except HEADs. If but is "HEAD", it
		// also responds to HEADs. If but is "parts", it does not respond to
		// requests that start a copy by parts or copy a part.
		newProxiedStore := func(but string) objectstore.Store {
			limit := int64(0)
			if but == "parts" {
				limit = 1
			}
			client := server.S3(func(o *s3.Options) {
				o.HTTPClient = newHTTPClient(func(r *http.Request) (*http.Response, error) {
					starts := r.URL.Query().Has("uploads") ||
						r.URL.Query().Get("x-id") == "UploadPartCopy"
					if r.Method == http.MethodHead && but != "HEAD" || starts && but == "parts" {
						return server.HTTPClient().Transport.RoundTrip(r)
					}
					return &http.Response{
						StatusCode: 200, Header: http.Header{},
						Body: io.NopCloser(strings.NewReader(body)), Request: r,
					}, nil
				})
			})
			return objectstore.Store{Bucket: bucket, CopyLimit: limit, Client: client}
		}
		ctx := t.Context()
		_, headErr := newProxiedStore("HEAD").Head(ctx, source, "")
		_, _, readErr := newProxiedStore("").Get(ctx, source, "", 5)
		_, openErr := newProxiedStore("").Open(ctx, from)
		_, _, listErr := newProxiedStore("").Parts(ctx, u, 0, "")
		_, createErr := newProxiedStore("").CreateUpload(ctx, target, nil, nil, "")
		_, copyErr := newProxiedStore("").Copy(ctx, newCopy(from, nil))
		_, partsErr := newProxiedStore("parts").Copy(ctx, newCopy(from, nil))
		for name, err := range map[string]error{
			"head": headErr, "read": readErr, "open": openErr, "list": listErr, "create": createErr,
			"copy": copyErr, "copy by parts": partsErr,
			"complete": newProxiedStore("").CompleteUpload(
				ctx, u, []objectstore.Part{{Number: 1, ETag: "a"}}, 1, nil, false),
			"abort": newProxiedStore("").AbortUpload(ctx, u),
		} {
			require.Error(t, err, "%s: %q", name, body)
			for _, sentinel := range []error{
				objectstore.ErrNotFound, objectstore.ErrChanged, objectstore.ErrExists,
				objectstore.ErrNoUpload, objectstore.ErrDead, objectstore.ErrBadDigest,
				objectstore.ErrCondition, objectstore.ErrUnsupported,
			} {
				require.NotErrorIs(t, err, sentinel, "%s: %q", name, body)
			}
			require.NotContains(t, err.Error(), "log in")
		}
		require.Empty(t, list(t, server, u), "the upload still exists")
	}
}

// TestObjectsHaveETags checks that a response without an ETag, such as the
// response of a proxy, is an error.
func TestObjectsHaveETags(t *testing.T) {
	proxiedStore := objectstore.Store{Bucket: bucket, Client: s3test.New().S3(func(o *s3.Options) {
		o.HTTPClient = newHTTPClient(func(r *http.Request) (*http.Response, error) {
			header := http.Header{"Content-Length": {"5"}}
			return &http.Response{
				StatusCode: 200, Header: header, ContentLength: 5,
				Body: io.NopCloser(strings.NewReader("login")), Request: r,
			}, nil
		})
	})}
	_, err := proxiedStore.Head(t.Context(), source, "")
	require.ErrorContains(t, err, "no ETag")
	_, _, err = proxiedStore.Get(t.Context(), source, "", 5)
	require.ErrorContains(t, err, "no ETag")
}

// TestPinned checks that only a version that cannot be replaced is pinned.
func TestPinned(t *testing.T) {
	for version, pinned := range map[string]bool{
		"": false, "null": false, "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e": true,
	} {
		require.Equal(t, pinned, (&objectstore.Object{VersionID: version}).Pinned(), version)
	}
}
