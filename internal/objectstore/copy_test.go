package objectstore_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/test/s3test"
)

// headers are what a Policy may set and more than the SDK has members for.
var headers = map[string]string{
	"Content-Type": "text/plain", "content-disposition": "attachment; filename*=UTF-8''%C3%BC", "Cache-Control": "no-store",
	"Content-Language": "de", "Expires": "Thu, 01 Dec 2094 16:00:00 GMT", "x-amz-storage-class": "STANDARD_IA",
	"x-amz-website-redirect-location": "/other", "x-amz-acl": "bucket-owner-full-control", "x-amz-tagging": "a=b+c&d=",
	"x-amz-server-side-encryption": "AES256",
}

var metadata = map[string]string{"Presign": "the stamp", "name": "two  spaces"}

// upload is what a client put there: it has what the copy must not have.
var upload = s3.PutObjectInput{
	ContentType: aws.String("image/png"), ContentEncoding: aws.String("identity"), Tagging: aws.String("x=y"),
	Metadata: map[string]string{"presign": "the upload's stamp", "more": "1"},
}

// manner is a way to copy.
type manner struct {
	name  string
	body  string
	store func(*s3test.Server) objectstore.Store
}

var manners = []manner{
	{"whole", "hello world", store},
	{"parts", large(2), byParts},
}

func byParts(server *s3test.Server) objectstore.Store {
	s := store(server)
	s.CopyLimit, s.PartSize = partSize, partSize
	return s
}

// eachManner runs a test of both manners, with and without versioning.
func eachManner(t *testing.T, test func(*testing.T, manner, *s3test.Server)) {
	t.Helper()
	for _, m := range manners {
		t.Run(m.name, func(t *testing.T) {
			each(t, func(t *testing.T, opts ...s3test.Option) { test(t, m, s3test.New(opts...)) })
		})
	}
}

func requireCopied(t *testing.T, server *s3test.Server, got *objectstore.Object, body string) {
	t.Helper()
	o, ok := server.Object(bucket, target)
	require.True(t, ok)
	require.True(t, body == string(o.Body), "other bytes")
	require.Equal(t, map[string]string{"presign": "the stamp", "name": "two  spaces"}, o.Metadata)
	require.Equal(t, map[string]string{"a": "b c", "d": ""}, o.Tags)
	require.Equal(t, http.Header{
		"Content-Type": {"text/plain"}, "Content-Disposition": {"attachment; filename*=UTF-8''%C3%BC"}, "Cache-Control": {"no-store"},
		"Content-Language": {"de"}, "Expires": {"Thu, 01 Dec 2094 16:00:00 GMT"}, "X-Amz-Storage-Class": {"STANDARD_IA"},
		"X-Amz-Website-Redirect-Location": {"/other"}, "X-Amz-Server-Side-Encryption": {"AES256"},
	}, o.Header)
	require.Equal(t, target, got.Key)
	require.Equal(t, o.VersionID, got.VersionID)
	require.Equal(t, o.ETag, got.ETag)
	require.EqualValues(t, len(body), got.Size)
	require.Equal(t, o.Metadata, got.Metadata)
	require.Equal(t, o.Checksum, got.Checksums[o.ChecksumAlgorithm])
}

func requireNoUploads(t *testing.T, server *s3test.Server) {
	t.Helper()
	uploads, err := server.S3().ListMultipartUploads(context.Background(), &s3.ListMultipartUploadsInput{Bucket: aws.String(bucket)})
	require.NoError(t, err)
	require.Empty(t, uploads.Uploads)
}

func TestCopy(t *testing.T) {
	t.Parallel()
	eachManner(t, func(t *testing.T, m manner, server *s3test.Server) {
		s := m.store(server)
		from := put(t, server, upload, m.body)
		first, err := s.Copy(t.Context(), from, target, false, headers, metadata)
		require.NoError(t, err)
		requireCopied(t, server, first, m.body)
		require.True(t, first.Made)
		first.Made = false // none of what follows did
		require.Equal(t, from.Checksums, first.Checksums)
		require.Equal(t, "FULL_OBJECT", first.ChecksumType)
		require.Equal(t, m.body, bodyOf(t, server, source))
		requireNoUploads(t, server)

		// Again it makes no other, whatever became of the source.
		for _, replace := range []bool{false, true} {
			again, err := s.Copy(t.Context(), from, target, replace, headers, metadata)
			require.NoError(t, err)
			require.Equal(t, first, again)
		}
		require.NoError(t, s.Delete(t.Context(), from))
		again, err := s.Copy(t.Context(), from, target, false, headers, metadata)
		require.NoError(t, err)
		require.Equal(t, first, again)
		require.Len(t, server.Versions(bucket, target), 1)

		// Of another upload it does.
		other := put(t, server, upload, strings.ToUpper(m.body))
		there, err := s.Copy(t.Context(), other, target, false, headers, metadata)
		require.ErrorIs(t, err, objectstore.ErrExists)
		require.Equal(t, first, there)
		for _, changed := range []map[string]string{{"presign": "another stamp"}, {}, nil} {
			there, err = s.Copy(t.Context(), from, target, false, headers, changed)
			require.ErrorIs(t, err, objectstore.ErrExists)
			require.Equal(t, first, there)
		}
		_, err = s.Copy(t.Context(), from, target, false, map[string]string{"content-type": "text/html"}, metadata)
		require.ErrorIs(t, err, objectstore.ErrExists)
		requireCopied(t, server, first, m.body)

		replaced, err := s.Copy(t.Context(), other, target, true, headers, metadata)
		require.NoError(t, err)
		requireCopied(t, server, replaced, strings.ToUpper(m.body))
		requireNoUploads(t, server)
	})
}

func TestCopyOfNothingMore(t *testing.T) {
	t.Parallel()
	eachManner(t, func(t *testing.T, m manner, server *s3test.Server) {
		from := put(t, server, upload, m.body)
		_, err := m.store(server).Copy(t.Context(), from, target, false, nil, nil)
		require.NoError(t, err)
		o, _ := server.Object(bucket, target)
		require.Empty(t, o.Metadata)
		require.Empty(t, o.Tags)
		require.Equal(t, http.Header{"Content-Type": {"binary/octet-stream"}, "X-Amz-Server-Side-Encryption": {"AES256"}}, o.Header)
	})
}

// TestCopyOfAnother replaces or deletes the source between the look at it and the copy.
func TestCopyOfAnother(t *testing.T) {
	t.Parallel()
	eachManner(t, func(t *testing.T, m manner, server *s3test.Server) {
		s := m.store(server)
		from := put(t, server, upload, m.body)
		replacement := put(t, server, upload, strings.ToUpper(m.body))
		got, err := s.Copy(t.Context(), from, target, false, headers, metadata)
		if from.VersionID != "" {
			require.NoError(t, err, "the version is still there")
			requireCopied(t, server, got, m.body)
			require.NoError(t, s.Delete(t.Context(), got))
			require.NoError(t, s.Delete(t.Context(), from))
			_, err = s.Copy(t.Context(), from, target, false, headers, metadata)
			require.ErrorIs(t, err, objectstore.ErrNotFound)
		} else {
			require.ErrorIs(t, err, objectstore.ErrChanged)
		}
		require.NoError(t, s.Delete(t.Context(), replacement))
		_, err = s.Copy(t.Context(), from, target, true, headers, metadata)
		require.ErrorIs(t, err, objectstore.ErrNotFound)
		require.Empty(t, server.Versions(bucket, target))
		requireNoUploads(t, server)
	})
}

// last is the operation that makes the copy.
func (m manner) last() string {
	if m.name == "parts" {
		return "CompleteMultipartUpload"
	}
	return "CopyObject"
}

// reading are the operations that read the source.
func (m manner) reading() string {
	if m.name == "parts" {
		return "UploadPartCopy"
	}
	return "CopyObject"
}

// TestCopyMeetsOthers has something happen just before the copy is made.
func TestCopyMeetsOthers(t *testing.T) {
	t.Parallel()
	eachManner(t, func(t *testing.T, m manner, server *s3test.Server) {
		s := m.store(server)
		from := put(t, server, upload, m.body)

		server.Fail(on(m.last(), func(*http.Request) s3test.Fault {
			put(t, server, s3.PutObjectInput{Key: aws.String(target)}, "another object")
			return s3test.None
		}))
		there, err := s.Copy(t.Context(), from, target, false, headers, metadata)
		require.ErrorIs(t, err, objectstore.ErrExists)
		require.EqualValues(t, len("another object"), there.Size)
		require.Equal(t, "another object", bodyOf(t, server, target))
		require.NoError(t, s.Delete(t.Context(), there))
		requireNoUploads(t, server)

		// Another replica completes the same upload, and deletes it.
		var other *objectstore.Object
		server.Fail(on(m.last(), func(*http.Request) s3test.Fault {
			var err error
			other, err = s.Copy(context.Background(), from, target, false, headers, metadata)
			require.NoError(t, err)
			require.NoError(t, s.Delete(context.Background(), from))
			return s3test.None
		}))
		got, err := s.Copy(t.Context(), from, target, false, headers, metadata)
		require.NoError(t, err)
		require.True(t, other.Made)
		other.Made = false
		require.Equal(t, other, got)
		requireCopied(t, server, got, m.body)
		require.Len(t, server.Versions(bucket, target), 1)
		requireNoUploads(t, server)
	})
}

// conditions are what some stores ignore.
var conditions = []string{"If-None-Match", "If-Match", "X-Amz-Copy-Source-If-Match"}

// careless makes a store of the server that ignores conditions, and does something in the first of the operations.
func careless(operation string, do func()) func(string, *http.Request) s3test.Fault {
	var once sync.Once
	return func(name string, r *http.Request) s3test.Fault {
		if name == operation {
			once.Do(do)
		}
		if name == "DeleteObject" { // or the server would not know how to do nothing
			return s3test.None
		}
		for _, condition := range conditions {
			r.Header.Del(condition)
		}
		return s3test.None
	}
}

func TestCopyInACarelessStore(t *testing.T) {
	t.Parallel()
	for _, m := range manners {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			server := s3test.New()
			s := m.store(server)
			from := put(t, server, upload, m.body)

			// The destination was looked at before.
			put(t, server, s3.PutObjectInput{Key: aws.String(target)}, "another object")
			server.Fail(careless("", nil))
			_, err := s.Copy(t.Context(), from, target, false, headers, metadata)
			require.ErrorIs(t, err, objectstore.ErrExists)
			require.Equal(t, "another object", bodyOf(t, server, target))

			// The source is replaced in time: the wrong copy has to go.
			replacements := []string{strings.ToUpper(m.body), m.body + "!"}
			if m.name == "parts" { // of which the ranges of the second are the bytes that were asked for
				replacements = replacements[:1]
			}
			for _, replacement := range replacements {
				server.Fail(careless(m.reading(), func() { put(t, server, upload, replacement) }))
				_, err = s.Copy(t.Context(), from, target, true, headers, metadata)
				require.ErrorIs(t, err, objectstore.ErrChanged)
				require.Empty(t, server.Versions(bucket, target))
				server.Fail(nil)
				from = put(t, server, upload, m.body)
			}

			// But not what somebody else put in its place.
			heads := 0
			server.Fail(func(name string, r *http.Request) s3test.Fault {
				if name == "HeadObject" {
					if heads++; heads == 2 {
						put(t, server, s3.PutObjectInput{Key: aws.String(target)}, "another object")
					}
				}
				return s3test.None
			})
			_, err = s.Copy(t.Context(), from, target, true, headers, metadata)
			require.ErrorIs(t, err, objectstore.ErrChanged)
			require.Equal(t, "another object", bodyOf(t, server, target))
		})
	}
	t.Run("versioned", func(t *testing.T) {
		t.Parallel()
		server := s3test.New(s3test.WithVersioning())
		s := store(server)
		published := put(t, server, s3.PutObjectInput{Key: aws.String(target)}, "published before")
		from := put(t, server, upload, "hello world")
		replacement := put(t, server, upload, "HELLO WORLD")
		server.Fail(on("CopyObject", func(r *http.Request) s3test.Fault { // it also ignores the version
			r.Header.Set("X-Amz-Copy-Source", strings.Replace(r.Header.Get("X-Amz-Copy-Source"), from.VersionID, replacement.VersionID, 1))
			r.Header.Del("X-Amz-Copy-Source-If-Match")
			return s3test.None
		}))
		_, err := s.Copy(t.Context(), from, target, true, headers, metadata)
		require.ErrorIs(t, err, objectstore.ErrChanged)
		require.Len(t, server.Versions(bucket, target), 1)
		require.Equal(t, published, must(s.Head(t.Context(), target)), "only the wrong version was deleted")
	})
	t.Run("keeps the source's metadata", func(t *testing.T) {
		t.Parallel()
		server := s3test.New(s3test.WithVersioning())
		from := put(t, server, upload, "hello world")
		server.Fail(on("CopyObject", func(r *http.Request) s3test.Fault {
			r.Header = http.Header{"X-Amz-Copy-Source": r.Header["X-Amz-Copy-Source"], "Content-Length": {"0"}}
			return s3test.None
		}))
		_, err := store(server).Copy(t.Context(), from, target, false, headers, metadata)
		require.ErrorIs(t, err, objectstore.ErrChanged)
		require.Empty(t, server.Versions(bucket, target))
	})
}

// TestCopyThatCannotBeCompared is on a store without checksums, of objects whose ETag says nothing.
func TestCopyThatCannotBeCompared(t *testing.T) {
	t.Parallel()
	forgetful := func(next func(string, *http.Request) s3test.Fault) func(string, *http.Request) s3test.Fault {
		return func(name string, r *http.Request) s3test.Fault {
			r.Header.Del("X-Amz-Checksum-Mode")
			return next(name, r)
		}
	}
	kms := map[string]string{"x-amz-server-side-encryption": "aws:kms"}
	for _, m := range manners {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			server := s3test.New()
			s := m.store(server)
			head := func() *objectstore.Object {
				put(t, server, upload, m.body)
				return must(s.Head(t.Context(), source))
			}
			server.Fail(forgetful(func(string, *http.Request) s3test.Fault { return s3test.None }))
			from := head()
			require.Empty(t, from.Checksums)
			got, err := s.Copy(t.Context(), from, target, false, kms, metadata)
			require.NoError(t, err)
			require.Equal(t, m.body, bodyOf(t, server, target))
			there, err := s.Copy(t.Context(), from, target, false, kms, metadata)
			require.ErrorIs(t, err, objectstore.ErrExists, "it cannot be told")
			got.Made = false
			require.Equal(t, got, there)
			require.NoError(t, s.Delete(t.Context(), there))

			// If the source changed meanwhile, the copy may be of either.
			server.Fail(forgetful(careless(m.reading(), func() { put(t, server, upload, strings.ToUpper(m.body)) })))
			_, err = s.Copy(t.Context(), from, target, false, kms, metadata)
			require.ErrorIs(t, err, objectstore.ErrChanged)
			require.Empty(t, server.Versions(bucket, target))

			// If it is gone, another replica may have completed it: nothing is lost.
			from = head()
			heads := 0
			server.Fail(forgetful(func(name string, _ *http.Request) s3test.Fault {
				if name == "HeadObject" {
					if heads++; heads == 2 {
						require.NoError(t, s.Delete(context.Background(), from))
					}
				}
				return s3test.None
			}))
			_, err = s.Copy(t.Context(), from, target, false, kms, metadata)
			require.ErrorIs(t, err, objectstore.ErrNotFound)
			require.Equal(t, m.body, bodyOf(t, server, target))
		})
	}
}

// TestCopyFaults lets each request of a copy fail in each way. Afterwards either the copy is there, or it is not and the
// source is; and once nothing fails any more, it can be made.
func TestCopyFaults(t *testing.T) {
	t.Parallel()
	faults := map[string]s3test.Fault{
		"denied": s3test.AccessDenied, "500": s3test.InternalError, "503": s3test.SlowDown, "cut": s3test.Cut,
		"cut after": s3test.CutAfter, "hang": s3test.Hang, "hang after": s3test.HangAfter,
	}
	for _, m := range manners {
		for name, fault := range faults {
			if m.name == "parts" && (name == "denied" || name == "503" || name == "cut") {
				continue // each is the same to it as 500, and costs its time
			}
			t.Run(m.name+", "+name, func(t *testing.T) {
				t.Parallel()
				for i := 1; ; i++ {
					var requests int32
					synctest.Test(t, func(t *testing.T) { requests = copyWithFault(t, m, i, fault) })
					if int(requests) < i {
						require.Greater(t, i, 3)
						return
					}
				}
			})
		}
	}
}

// copyWithFault lets the nth request fail, and returns how many there were.
func copyWithFault(t *testing.T, m manner, n int, fault s3test.Fault) int32 {
	server := s3test.New(s3test.WithVersioning())
	s := m.store(server)
	from := put(t, server, upload, m.body)
	var requests atomic.Int32
	var failed string
	server.Fail(func(operation string, _ *http.Request) s3test.Fault {
		if int(requests.Add(1)) == n {
			failed = operation
			return fault
		}
		return s3test.None
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got, err := s.Copy(ctx, from, target, false, headers, metadata)
	count := requests.Load()
	server.Fail(nil)
	what := fmt.Sprintf("request %d, %s", n, failed)
	if err == nil {
		requireCopied(t, server, got, m.body)
	} else {
		require.NotErrorIs(t, err, objectstore.ErrChanged, what)
		require.NotErrorIs(t, err, objectstore.ErrNotFound, what)
		require.NotErrorIs(t, err, objectstore.ErrExists, what)
	}
	lost := fault == s3test.CutAfter || fault == s3test.HangAfter
	if failed == m.last() && lost {
		require.NoError(t, err, "it was made, and can be looked at even if the context has ended")
	}
	if !(failed == "CreateMultipartUpload" && lost) {
		requireNoUploads(t, server)
	}
	require.Equal(t, m.body, bodyOf(t, server, source))

	got, err = s.Copy(t.Context(), from, target, false, headers, metadata)
	require.NoError(t, err, what)
	requireCopied(t, server, got, m.body)
	require.Len(t, server.Versions(bucket, target), 1, what)
	return count
}

// TestCopyConcurrently has many replicas publish one upload.
func TestCopyConcurrently(t *testing.T) {
	t.Parallel()
	eachManner(t, func(t *testing.T, m manner, server *s3test.Server) {
		from := put(t, server, upload, m.body)
		var replicas sync.WaitGroup
		for range 4 {
			replicas.Go(func() {
				got, err := m.store(server).Copy(context.Background(), from, target, false, headers, metadata)
				if err != nil || got.Size != from.Size {
					t.Errorf("%+v, %v", got, err)
				}
				if err := m.store(server).Delete(context.Background(), from); err != nil {
					t.Error(err)
				}
			})
		}
		replicas.Wait()
		require.Len(t, server.Versions(bucket, target), 1)
		require.Empty(t, server.Versions(bucket, source))
		requireNoUploads(t, server)
	})
}

func TestCopyParts(t *testing.T) {
	t.Parallel()
	body := large(5)
	server := s3test.New()
	s := byParts(server)
	from := put(t, server, s3.PutObjectInput{}, body)

	var ranges sync.Map
	server.Fail(func(operation string, r *http.Request) s3test.Fault {
		if operation == "UploadPartCopy" {
			ranges.Store(r.URL.Query().Get("partNumber"), r.Header.Get("X-Amz-Copy-Source-Range"))
			require.Equal(t, from.ETag, r.Header.Get("X-Amz-Copy-Source-If-Match"))
		}
		if operation == "CompleteMultipartUpload" {
			require.Equal(t, strconv.Itoa(len(body)), r.Header.Get("X-Amz-Mp-Object-Size"))
		}
		return s3test.None
	})
	got, err := s.Copy(t.Context(), from, target, false, nil, metadata)
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(got.ETag, `-5"`))
	require.True(t, body == bodyOf(t, server, target))
	first, _ := ranges.Load("1")
	require.Equal(t, "bytes=0-5242879", first)
	last, _ := ranges.Load("5")
	require.Equal(t, "bytes=20971520-20971532", last)

	// One part that fails ends it, and leaves nothing behind.
	server.Fail(func(operation string, r *http.Request) s3test.Fault {
		if operation == "UploadPartCopy" && r.URL.Query().Get("partNumber") == "3" {
			return s3test.SlowDown
		}
		return s3test.None
	})
	_, err = s.Copy(t.Context(), from, "other", false, nil, metadata)
	require.ErrorContains(t, err, "SlowDown")
	requireNoUploads(t, server)
	_, ok := server.Object(bucket, "other")
	require.False(t, ok)

	// So does the caller's context.
	ctx, cancel := context.WithCancel(t.Context())
	server.Fail(on("UploadPartCopy", func(*http.Request) s3test.Fault { cancel(); return s3test.None }))
	_, err = s.Copy(ctx, from, "other", false, nil, metadata)
	require.ErrorIs(t, err, context.Canceled)
	requireNoUploads(t, server)

	// What S3 copies in one request is not its limit, but that of its parts is: the server refuses ranges beyond it.
	server.Fail(nil)
	s.PartSize = 1
	_, err = s.Copy(t.Context(), from, "other", false, nil, metadata)
	require.ErrorContains(t, err, "EntityTooSmall")
}

// TestCopyPartsKeepsChecksum is of sources that were uploaded by parts.
func TestCopyPartsKeepsChecksum(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		algorithm types.ChecksumAlgorithm
		kind      types.ChecksumType
		same      bool
	}{
		{"", "", true}, {types.ChecksumAlgorithmCrc32, types.ChecksumTypeFullObject, true},
		{types.ChecksumAlgorithmCrc32c, types.ChecksumTypeComposite, false}, {types.ChecksumAlgorithmSha256, "", false},
	} {
		server := s3test.New()
		body := large(3)
		whole := put(t, server, s3.PutObjectInput{Key: aws.String("whole")}, body)
		create := &s3.CreateMultipartUploadInput{
			Bucket: aws.String(bucket), Key: aws.String(source), ChecksumAlgorithm: c.algorithm, ChecksumType: c.kind,
		}
		created, err := server.S3().CreateMultipartUpload(t.Context(), create)
		require.NoError(t, err)
		var parts []types.CompletedPart
		for i, span := range []string{"bytes=0-6000000", "bytes=6000001-" + fmt.Sprint(whole.Size-1)} {
			out, err := server.S3().UploadPartCopy(t.Context(), &s3.UploadPartCopyInput{
				Bucket: aws.String(bucket), Key: aws.String(source), UploadId: created.UploadId, PartNumber: aws.Int32(int32(i + 1)),
				CopySource: aws.String(bucket + "/whole"), CopySourceRange: &span,
			})
			require.NoError(t, err)
			part := types.CompletedPart{PartNumber: aws.Int32(int32(i + 1)), ETag: out.CopyPartResult.ETag}
			part.ChecksumCRC32, part.ChecksumCRC32C, part.ChecksumSHA256 = out.CopyPartResult.ChecksumCRC32,
				out.CopyPartResult.ChecksumCRC32C, out.CopyPartResult.ChecksumSHA256
			parts = append(parts, part)
		}
		_, err = server.S3().CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{
			Bucket: aws.String(bucket), Key: aws.String(source), UploadId: created.UploadId,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
		})
		require.NoError(t, err)

		from := must(store(server).Head(t.Context(), source))
		got, err := byParts(server).Copy(t.Context(), from, target, false, headers, metadata)
		require.NoError(t, err, c.algorithm)
		requireCopied(t, server, got, body)
		require.Equal(t, from.ChecksumType, got.ChecksumType)
		require.Equal(t, c.same, from.Checksums[string(c.algorithm)] == got.Checksums[string(c.algorithm)])
		for algorithm := range from.Checksums {
			require.Contains(t, got.Checksums, algorithm)
		}
		if c.kind == types.ChecksumTypeFullObject { // then even a careless store finds out what it would make
			server.Fail(careless("UploadPartCopy", func() { put(t, server, upload, strings.ToUpper(body)) }))
			_, err = byParts(server).Copy(t.Context(), from, "other", false, headers, metadata)
			require.ErrorIs(t, err, objectstore.ErrChanged)
			require.ErrorContains(t, err, "BadDigest")
			requireNoUploads(t, server)
		}
	}
}
