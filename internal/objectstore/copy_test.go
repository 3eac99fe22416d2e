package objectstore_test

import (
	"context"
	"errors"
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

// headers are headers that a published copy can have. Some have no member in
// the SDK.
var headers = map[string]string{
	"Content-Type":                    "text/plain",
	"content-disposition":             "attachment; filename*=UTF-8''%C3%BC",
	"Cache-Control":                   "no-store",
	"Content-Language":                "de",
	"Expires":                         "Thu, 01 Dec 2094 16:00:00 GMT",
	"x-amz-storage-class":             "STANDARD_IA",
	"x-amz-website-redirect-location": "/other",
	"x-amz-acl":                       "bucket-owner-full-control",
	"x-amz-tagging":                   "a=b+c&d=",
	"x-amz-server-side-encryption":    "AES256",
}

var metadata = map[string]string{"Presign": "the stamp", "name": "two  spaces"}

// upload is the upload of a client. It has headers and metadata that the copy
// must not have.
var upload = s3.PutObjectInput{
	ContentType:     aws.String("image/png"),
	ContentEncoding: aws.String("identity"),
	Tagging:         aws.String("x=y"),
	Metadata:        map[string]string{"presign": "the upload's stamp", "more": "1"},
}

// A manner is a way to copy.
type manner struct {
	name  string
	body  string
	store func(*s3test.Server) objectstore.Store
}

var manners = []manner{
	{"whole", "hello world", store},
	{"parts", largeBody(2), partsStore},
}

func partsStore(server *s3test.Server) objectstore.Store {
	s := store(server)
	s.CopyLimit, s.PartSize = partSize, partSize
	return s
}

// eachManner runs a test for both manners, with and without versioning.
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
		"Content-Type":                    {"text/plain"},
		"Content-Disposition":             {"attachment; filename*=UTF-8''%C3%BC"},
		"Cache-Control":                   {"no-store"},
		"Content-Language":                {"de"},
		"Expires":                         {"Thu, 01 Dec 2094 16:00:00 GMT"},
		"X-Amz-Storage-Class":             {"STANDARD_IA"},
		"X-Amz-Website-Redirect-Location": {"/other"},
		"X-Amz-Server-Side-Encryption":    {"AES256"},
	}, o.Header)
	require.Equal(t, []string{target, o.VersionID, o.ETag},
		[]string{got.Key, got.VersionID, got.ETag})
}

func requireNoUploads(t *testing.T, server *s3test.Server) {
	t.Helper()
	uploads, err := server.S3().ListMultipartUploads(context.Background(),
		&s3.ListMultipartUploadsInput{Bucket: aws.String(bucket)})
	require.NoError(t, err)
	require.Empty(t, uploads.Uploads)
}

// confirm accepts a copy by parts.
func confirm(context.Context) error { return nil }

func newCopy(from, replaces *objectstore.Object) *objectstore.Copy {
	return &objectstore.Copy{
		From: from, To: target, Replaces: replaces, Header: headers, Metadata: metadata,
		Confirm: confirm,
	}
}

// requireOther checks that the error of a copy is neither ErrCondition nor
// ErrUnsupported, so that the copy might exist.
func requireOther(t *testing.T, err error, what ...any) {
	t.Helper()
	require.Error(t, err, what...)
	require.NotErrorIs(t, err, objectstore.ErrCondition, what...)
	require.NotErrorIs(t, err, objectstore.ErrUnsupported, what...)
}

func TestCopy(t *testing.T) {
	t.Parallel()
	eachManner(t, func(t *testing.T, m manner, server *s3test.Server) {
		s := m.store(server)
		from := put(t, server, upload, m.body)
		first, err := s.Copy(t.Context(), newCopy(from, nil))
		require.NoError(t, err)
		requireCopied(t, server, first, m.body)
		require.Equal(t, m.body, bodyOf(t, server, source))
		requireNoUploads(t, server)

		// The copy must not replace an object other than the named one.
		upper := put(t, server, upload, strings.ToUpper(m.body))
		for name, replaces := range map[string]*objectstore.Object{
			"none": nil, "another": {ETag: `"0123456789abcdef0123456789abcdef"`},
		} {
			_, err = s.Copy(t.Context(), newCopy(upper, replaces))
			require.ErrorIs(t, err, objectstore.ErrCondition, name)
			requireCopied(t, server, first, m.body)
			requireNoUploads(t, server)
		}
		second, err := s.Copy(t.Context(), newCopy(upper, first))
		require.NoError(t, err)
		requireCopied(t, server, second, strings.ToUpper(m.body))

		require.NoError(t, s.Delete(t.Context(), second))
		if second.VersionID != "" {
			require.NoError(t, s.Delete(t.Context(), first))
		}
		_, err = s.Copy(t.Context(), newCopy(upper, second))
		require.ErrorIs(t, err, objectstore.ErrCondition, "S3 returns 404")
		require.Empty(t, server.Versions(bucket, target))
		requireNoUploads(t, server)
	})
}

func TestCopyDropsHeadersOfSource(t *testing.T) {
	t.Parallel()
	eachManner(t, func(t *testing.T, m manner, server *s3test.Server) {
		from := put(t, server, upload, m.body)
		_, err := m.store(server).Copy(t.Context(),
			&objectstore.Copy{From: from, To: target, Confirm: confirm})
		require.NoError(t, err)
		o, _ := server.Object(bucket, target)
		require.Empty(t, o.Metadata)
		require.Empty(t, o.Tags)
		require.Equal(t, http.Header{
			"Content-Type": {"binary/octet-stream"}, "X-Amz-Server-Side-Encryption": {"AES256"},
		}, o.Header)
	})
}

// TestCopyRejectsReplacedSource checks that a copy fails if the source was
// replaced or deleted before, unless its version still exists.
func TestCopyRejectsReplacedSource(t *testing.T) {
	t.Parallel()
	eachManner(t, func(t *testing.T, m manner, server *s3test.Server) {
		s := m.store(server)
		from := put(t, server, upload, m.body)
		replacement := put(t, server, upload, strings.ToUpper(m.body))
		got, err := s.Copy(t.Context(), newCopy(from, nil))
		if from.VersionID != "" {
			require.NoError(t, err, "the version still exists")
			requireCopied(t, server, got, m.body)
			require.NoError(t, s.Delete(t.Context(), got))
			require.NoError(t, s.Delete(t.Context(), from))
			_, err = s.Copy(t.Context(), newCopy(from, nil))
		}
		require.ErrorIs(t, err, objectstore.ErrCondition)
		require.NoError(t, s.Delete(t.Context(), replacement))
		_, err = s.Copy(t.Context(), newCopy(from, nil))
		require.ErrorIs(t, err, objectstore.ErrCondition)
		require.Empty(t, server.Versions(bucket, target))
		requireNoUploads(t, server)
	})
}

// lastOperation returns the operation that makes the copy.
func (m manner) lastOperation() string {
	if m.name == "parts" {
		return "CompleteMultipartUpload"
	}
	return "CopyObject"
}

// TestCopyKeepsOtherObject checks that a copy fails if another object is stored
// under the target just before.
func TestCopyKeepsOtherObject(t *testing.T) {
	t.Parallel()
	eachManner(t, func(t *testing.T, m manner, server *s3test.Server) {
		from := put(t, server, upload, m.body)
		var replaces *objectstore.Object
		for range 2 {
			server.Fail(on(m.lastOperation(), func(*http.Request) s3test.Fault {
				put(t, server, s3.PutObjectInput{Key: aws.String(target)}, "another object")
				return s3test.None
			}))
			_, err := m.store(server).Copy(t.Context(), newCopy(from, replaces))
			require.ErrorIs(t, err, objectstore.ErrCondition)
			require.Equal(t, "another object", bodyOf(t, server, target))
			requireNoUploads(t, server)
			replaces = put(t, server, s3.PutObjectInput{Key: aws.String(target)}, "replaced")
		}
	})
}

// TestCopyFailsIfTargetIsDeleted checks that a copy fails if the target is
// deleted while parts are copied. S3 then never completes the upload and
// returns 409.
func TestCopyFailsIfTargetIsDeleted(t *testing.T) {
	t.Parallel()
	server := s3test.New()
	s := partsStore(server)
	from := put(t, server, upload, largeBody(2))
	replaces := put(t, server, s3.PutObjectInput{Key: aws.String(target)}, "replaced")
	server.Fail(on("UploadPartCopy", func(*http.Request) s3test.Fault {
		require.NoError(t, s.Delete(context.Background(), replaces))
		return s3test.None
	}))
	_, err := s.Copy(t.Context(), newCopy(from, nil))
	require.ErrorIs(t, err, objectstore.ErrCondition)
	require.ErrorContains(t, err, "ConditionalRequestConflict")
	requireNoUploads(t, server)
}

// TestCopyRequests checks which conditions the requests of a copy have.
func TestCopyRequests(t *testing.T) {
	t.Parallel()
	eachManner(t, func(t *testing.T, m manner, server *s3test.Server) {
		from := put(t, server, upload, m.body)
		there := put(t, server, s3.PutObjectInput{Key: aws.String(target)}, "there")
		for _, withoutSource := range []bool{false, true} {
			for _, withoutTarget := range []bool{false, true} {
				for _, replaces := range []*objectstore.Object{nil, there} {
					var sources, targets []http.Header
					var mutex sync.Mutex
					server.Fail(func(operation string, r *http.Request) s3test.Fault {
						mutex.Lock()
						defer mutex.Unlock()
						if r.Header.Get("X-Amz-Copy-Source") != "" {
							sources = append(sources, r.Header.Clone())
						}
						if operation == m.lastOperation() {
							targets = append(targets, r.Header.Clone())
							return s3test.AccessDenied
						}
						return s3test.None
					})
					c := newCopy(from, replaces)
					c.WithoutSource, c.WithoutTarget = withoutSource, withoutTarget
					_, err := m.store(server).Copy(t.Context(), c)
					requireOther(t, err)
					require.NotEmpty(t, sources)
					for _, header := range sources {
						require.Equal(t, !withoutSource,
							header.Get("X-Amz-Copy-Source-If-Match") == from.ETag)
						_, version, _ := strings.Cut(header.Get("X-Amz-Copy-Source"), "?versionId=")
						require.Equal(t, from.VersionID, version,
							"a version is pinned with and without conditions")
					}
					require.Len(t, targets, 1)
					require.Equal(t, !withoutTarget && replaces == nil,
						targets[0].Get("If-None-Match") == "*")
					require.Equal(t, !withoutTarget && replaces != nil,
						targets[0].Get("If-Match") == there.ETag)
				}
			}
		}
	})
}

// TestCopyUnsupported checks that a copy fails if the store does not support a
// condition, and succeeds without the condition.
func TestCopyUnsupported(t *testing.T) {
	t.Parallel()
	for _, m := range manners {
		server := s3test.New()
		from := put(t, server, upload, m.body)
		server.Fail(func(operation string, r *http.Request) s3test.Fault {
			if operation == m.lastOperation() && r.Header.Get("If-None-Match") != "" {
				return s3test.NotImplemented
			}
			return s3test.None
		})
		c := newCopy(from, nil)
		_, err := m.store(server).Copy(t.Context(), c)
		require.ErrorIs(t, err, objectstore.ErrUnsupported)
		require.NotErrorIs(t, err, objectstore.ErrCondition)
		requireNoUploads(t, server)
		c.WithoutTarget = true
		got, err := m.store(server).Copy(t.Context(), c)
		require.NoError(t, err)
		requireCopied(t, server, got, m.body)
	}
	// Without conditions on the source, an object made of parts can be copied
	// in Swift.
	server := s3test.New(s3test.WithQuirks(s3test.PartsNeverMatch))
	u := startUpload(t, server, "")
	server.PutPart(u.ID, 1, []byte("hello"), 0)
	parts := list(t, server, u)
	require.NoError(t, store(server).CompleteUpload(t.Context(), u, parts, 5, nil, false))
	c := newCopy(must(store(server).Head(t.Context(), u.Key, "")), nil)
	c.To = "out/made of parts"
	_, err := store(server).Copy(t.Context(), c)
	require.ErrorIs(t, err, objectstore.ErrCondition)
	c.WithoutSource = true
	_, err = store(server).Copy(t.Context(), c)
	require.NoError(t, err)
}

// TestCopyConfirms checks that a copy by parts is confirmed once, after the
// parts and before it is completed.
func TestCopyConfirms(t *testing.T) {
	t.Parallel()
	for _, m := range manners {
		server := s3test.New(s3test.WithHistory())
		from := put(t, server, upload, m.body)
		errNotConfirmed := errors.New("not confirmed")
		calls := 0
		c := newCopy(from, nil)
		c.Confirm = func(context.Context) error {
			calls++
			require.Len(t, server.History().Requests.Of("UploadPartCopy"), 2)
			require.Empty(t, server.History().Requests.Of("CompleteMultipartUpload"))
			return errNotConfirmed
		}
		_, err := m.store(server).Copy(t.Context(), c)
		if m.name == "whole" {
			require.NoError(t, err)
			require.Zero(t, calls)
			continue
		}
		require.ErrorIs(t, err, errNotConfirmed)
		requireOther(t, err)
		require.Equal(t, 1, calls)
		require.Empty(t, server.History().States(target))
		requireNoUploads(t, server)
	}
}

// TestCopyChecksum checks that the copy has a checksum of the requested
// algorithm.
func TestCopyChecksum(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{
		"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256", "SHA512", "MD5",
	} {
		server := s3test.New()
		c := newCopy(put(t, server, upload, "hello world"), nil)
		c.Algorithm = algorithm
		got, err := store(server).Copy(t.Context(), c)
		require.NoError(t, err, algorithm)
		stored, _ := server.Object(bucket, target)
		require.NotEmpty(t, stored.Checksum)
		require.Equal(t, map[string]string{algorithm: stored.Checksum}, got.Checksums)
	}
	server := s3test.New(s3test.WithQuirks(s3test.NoChecksums))
	c := newCopy(put(t, server, upload, "hello world"), nil)
	c.Algorithm = "SHA256"
	got, err := store(server).Copy(t.Context(), c)
	require.NoError(t, err)
	require.Empty(t, got.Checksums)
}

// TestCopyFaults checks that after a fault of any request, the copy exists or
// can be made. No multipart upload is left, unless the response to its creation
// is lost.
func TestCopyFaults(t *testing.T) {
	t.Parallel()
	faults := map[string]s3test.Fault{
		"denied":     s3test.AccessDenied,
		"500":        s3test.InternalError,
		"503":        s3test.SlowDown,
		"cut":        s3test.Cut,
		"cut after":  s3test.CutAfter,
		"hang":       s3test.Hang,
		"hang after": s3test.HangAfter,
	}
	for _, m := range manners {
		for name, fault := range faults {
			if m.name == "parts" && (name == "denied" || name == "503" || name == "cut") {
				continue // A copy by parts treats these faults like 500, and its test is slow.
			}
			t.Run(m.name+", "+name, func(t *testing.T) {
				t.Parallel()
				for i := 1; ; i++ {
					var requests int32
					synctest.Test(t, func(t *testing.T) {
						requests = copyWithFault(t, m, i, fault)
					})
					if int(requests) < i {
						least := map[string]int{"whole": 2, "parts": 6}[m.name]
						require.GreaterOrEqual(t, i, least)
						return
					}
				}
			})
		}
	}
}

// copyWithFault lets the nth request fail, and returns the number of requests.
func copyWithFault(t *testing.T, m manner, n int, fault s3test.Fault) int32 {
	server := s3test.New(s3test.WithVersioning())
	s := m.store(server)
	from := put(t, server, upload, m.body)
	from.Checksums = nil
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
	got, err := s.Copy(ctx, newCopy(from, nil))
	count := requests.Load()
	server.Fail(nil)
	what := fmt.Sprintf("request %d, %s", n, failed)
	if err == nil {
		requireCopied(t, server, got, m.body)
		require.Empty(t, failed, what)
		return count
	}
	requireOther(t, err, what)
	lost := fault == s3test.CutAfter || fault == s3test.HangAfter
	if !lost || failed != "CreateMultipartUpload" {
		requireNoUploads(t, server)
	}
	require.Equal(t, m.body, bodyOf(t, server, source))
	if failed == m.lastOperation() && lost {
		require.Len(t, server.Versions(bucket, target), 1, what)
		return count
	}
	require.Empty(t, server.Versions(bucket, target), what)
	if lost && failed == "CreateMultipartUpload" {
		_, err = s.Copy(t.Context(), newCopy(from, nil))
		require.ErrorIs(t, err, objectstore.ErrCopying, what)
		time.Sleep(2 * time.Minute)
	}
	got, err = s.Copy(t.Context(), newCopy(from, nil))
	require.NoError(t, err, what)
	requireCopied(t, server, got, m.body)
	requireNoUploads(t, server)
	return count
}

// TestCopyConcurrently checks that only one of several replicas copies an
// upload.
func TestCopyConcurrently(t *testing.T) {
	t.Parallel()
	eachManner(t, func(t *testing.T, m manner, server *s3test.Server) {
		from := put(t, server, upload, m.body)
		var made atomic.Int32
		var replicas sync.WaitGroup
		for range 4 {
			replicas.Go(func() {
				_, err := m.store(server).Copy(context.Background(), newCopy(from, nil))
				if err == nil {
					made.Add(1)
				} else if !errors.Is(err, objectstore.ErrCondition) &&
					!errors.Is(err, objectstore.ErrCopying) {
					t.Error(err)
				}
			})
		}
		replicas.Wait()
		require.EqualValues(t, 1, made.Load())
		require.Len(t, server.Versions(bucket, target), 1)
		requireNoUploads(t, server)
	})
}

func TestCopyParts(t *testing.T) {
	t.Parallel()
	body := largeBody(5)
	server := s3test.New()
	s := partsStore(server)
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
	got, err := s.Copy(t.Context(),
		&objectstore.Copy{From: from, To: target, Metadata: metadata, Confirm: confirm})
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(got.ETag, `-5"`))
	require.True(t, body == bodyOf(t, server, target))
	first, _ := ranges.Load("1")
	require.Equal(t, "bytes=0-5242879", first)
	last, _ := ranges.Load("5")
	require.Equal(t, "bytes=20971520-20971532", last)

	// A part that fails ends the copy, and no multipart upload is left.
	server.Fail(func(operation string, r *http.Request) s3test.Fault {
		if operation == "UploadPartCopy" && r.URL.Query().Get("partNumber") == "3" {
			return s3test.SlowDown
		}
		return s3test.None
	})
	_, err = s.Copy(t.Context(),
		&objectstore.Copy{From: from, To: "other", Metadata: metadata, Confirm: confirm})
	require.ErrorContains(t, err, "SlowDown")
	requireNoUploads(t, server)
	_, ok := server.Object(bucket, "other")
	require.False(t, ok)

	// The end of the caller's context also ends the copy.
	ctx, cancel := context.WithCancel(t.Context())
	server.Fail(on("UploadPartCopy",
		func(*http.Request) s3test.Fault { cancel(); return s3test.None }))
	_, err = s.Copy(ctx,
		&objectstore.Copy{From: from, To: "other", Metadata: metadata, Confirm: confirm})
	require.ErrorIs(t, err, context.Canceled)
	requireNoUploads(t, server)

	// S3 rejects parts that are too small.
	server.Fail(nil)
	s.PartSize = 1
	_, err = s.Copy(t.Context(),
		&objectstore.Copy{From: from, To: "other", Metadata: metadata, Confirm: confirm})
	require.ErrorContains(t, err, "EntityTooSmall")
}

// TestCopyPartsKeepsChecksum checks that copies of multipart uploads have the
// same kinds of checksums.
func TestCopyPartsKeepsChecksum(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		algorithm types.ChecksumAlgorithm
		kind      types.ChecksumType
		same      bool
	}{
		{"", "", true}, {types.ChecksumAlgorithmCrc32, types.ChecksumTypeFullObject, true},
		{types.ChecksumAlgorithmCrc32c, types.ChecksumTypeComposite, false},
		{types.ChecksumAlgorithmSha256, "", false},
	} {
		server := s3test.New()
		body := largeBody(3)
		whole := put(t, server, s3.PutObjectInput{Key: aws.String("whole")}, body)
		create := &s3.CreateMultipartUploadInput{
			Bucket: aws.String(bucket), Key: aws.String(source), ChecksumAlgorithm: c.algorithm,
			ChecksumType: c.kind,
		}
		created, err := server.S3().CreateMultipartUpload(t.Context(), create)
		require.NoError(t, err)
		var parts []types.CompletedPart
		spans := []string{"bytes=0-6000000", "bytes=6000001-" + fmt.Sprint(whole.Size-1)}
		for i, span := range spans {
			out, err := server.S3().UploadPartCopy(t.Context(), &s3.UploadPartCopyInput{
				Bucket: aws.String(bucket), Key: aws.String(source), UploadId: created.UploadId,
				PartNumber: aws.Int32(int32(i + 1)),
				CopySource: aws.String(bucket + "/whole"), CopySourceRange: &span,
			})
			require.NoError(t, err)
			result := out.CopyPartResult
			parts = append(parts, types.CompletedPart{
				PartNumber: aws.Int32(int32(i + 1)), ETag: result.ETag,
				ChecksumCRC32: result.ChecksumCRC32, ChecksumCRC32C: result.ChecksumCRC32C,
				ChecksumSHA256: result.ChecksumSHA256,
			})
		}
		_, err = server.S3().CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{
			Bucket: aws.String(bucket), Key: aws.String(source), UploadId: created.UploadId,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
		})
		require.NoError(t, err)

		from := must(store(server).Head(t.Context(), source, ""))
		made, err := partsStore(server).Copy(t.Context(), newCopy(from, nil))
		require.NoError(t, err, c.algorithm)
		requireCopied(t, server, made, body)
		got := must(store(server).Head(t.Context(), target, ""))
		require.Equal(t, from.ChecksumType, got.ChecksumType)
		require.Equal(t, c.same,
			from.Checksums[string(c.algorithm)] == got.Checksums[string(c.algorithm)])
		for algorithm := range from.Checksums {
			require.Contains(t, got.Checksums, algorithm)
		}
		if c.kind == types.ChecksumTypeFullObject { // The store itself compares the copy.
			server.Fail(on("UploadPartCopy", func(*http.Request) s3test.Fault {
				put(t, server, upload, strings.ToUpper(body))
				return s3test.None
			}))
			other := newCopy(from, nil)
			other.To, other.WithoutSource = "other", true
			_, err = partsStore(server).Copy(t.Context(), other)
			require.ErrorContains(t, err, "BadDigest")
			requireOther(t, err)
			requireNoUploads(t, server)
		}
	}
}

// TestCompareByETag checks that different ETags show different bytes only if
// both are MD5s.
func TestCompareByETag(t *testing.T) {
	const (
		one   = `"5eb63bbbe01eeed093cb22bb8f5acdc3"`
		two   = `"7215ee9c7d9dc229d2921a40e899ec5f"`
		parts = `"7215ee9c7d9dc229d2921a40e899ec5f-2"`
	)
	kms := http.Header{"X-Amz-Server-Side-Encryption": {"aws:kms"}}
	for name, c := range map[string]struct {
		a, b        objectstore.Object
		same, known bool
	}{
		"one file":             {objectstore.Object{ETag: one}, objectstore.Object{ETag: one}, true, true},
		"two files":            {objectstore.Object{ETag: one}, objectstore.Object{ETag: two}, false, true},
		"two sizes":            {objectstore.Object{ETag: one}, objectstore.Object{ETag: one, Size: 1}, false, true},
		"a file made of parts": {objectstore.Object{ETag: one}, objectstore.Object{ETag: parts}, false, false},
		"an encrypted file":    {objectstore.Object{ETag: one}, objectstore.Object{ETag: two, Header: kms}, false, false},
		"checksums": {objectstore.Object{ETag: one, Checksums: map[string]string{"CRC32": "a"}},
			objectstore.Object{ETag: one, Checksums: map[string]string{"CRC32": "b"}}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			same, known := c.a.Compare(&c.b)
			require.Equal(t, c.same, same)
			require.Equal(t, c.known, known)
		})
	}
}
