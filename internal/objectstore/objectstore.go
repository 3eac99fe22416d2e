// Package objectstore makes the requests of a completion. It reads, copies and
// deletes one exact object, even if another object has taken its key. It also
// starts, lists, completes and aborts multipart uploads.
//
// Requests name the object by conditions and version IDs. Not all stores obey
// conditions and version IDs, so responses are checked as well.
//
// Errors contain the operation, the key, the request ID, and S3's code and
// message, but no other part of the response. The retries of the s3.Client are
// not changed.
package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/s3presign/presign/internal/objectheader"
)

// Errors that the methods of a Store wrap.
var (
	ErrNotFound = errors.New("the object does not exist")
	ErrChanged  = errors.New("the object has been replaced")
	ErrDenied   = errors.New("the store denies access; without s3:ListBucket it also " +
		"denies access to objects that do not exist")

	// ErrCondition is returned if a condition of a copy does not hold, or might
	// not hold. The caller must read both keys again.
	ErrCondition = errors.New("a condition of the copy does not hold")

	// ErrUnsupported is returned if the store does not support a condition.
	ErrUnsupported = errors.New("the store does not support a condition of the request")
)

// A Store is a bucket. It is safe for concurrent use.
//
// With versions, the credentials need s3:GetObjectVersion and
// s3:DeleteObjectVersion in addition to s3:GetObject, s3:PutObject and
// s3:DeleteObject. Without s3:ListBucket, S3 returns 403 if an object does not
// exist.
type Store struct {
	Client *s3.Client
	Bucket string

	// CopyLimit is the size in bytes up to which one request copies an object.
	// PartSize is the size of the parts of larger objects. Parts are larger if
	// there would be too many of them. The defaults are 5 GiB and 1 GiB.
	CopyLimit, PartSize int64
}

// An Object describes an object, or one version of it, as the store returned
// it.
type Object struct {
	Key, ETag    string
	VersionID    string // empty without versioning
	Size         int64
	LastModified time.Time

	// Header holds the headers in objectheader.Content and in
	// objectheader.Returned, and Amazon's headers with a prefix in system.
	Header http.Header

	// Metadata maps names in lower case, without x-amz-meta-, to values. A
	// value that is not ASCII is encoded as RFC 2047 describes.
	Metadata map[string]string

	// Checksums maps algorithms of types.ChecksumAlgorithm to checksums. Get
	// does not request checksums. ChecksumType is FULL_OBJECT, COMPOSITE (of
	// the checksums of parts), or empty if the store does not return it.
	Checksums    map[string]string
	ChecksumType string

	// Answered is the store's time when it returned the object, or zero.
	Answered time.Time
}

// Head returns the object under a key, or a version of it, with its checksums.
// An empty version means the current version. Head returns ErrNotFound if the
// object does not exist.
func (s Store) Head(ctx context.Context, key, version string) (*Object, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	out, err := s.Client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: &s.Bucket, Key: &key, VersionId: optional(version),
		ChecksumMode: types.ChecksumModeEnabled,
	})
	if err != nil {
		return nil, failure("head", key, missing(err))
	}
	o, err := newObject(key, out.ResultMetadata, out.ContentLength)
	if err != nil {
		return nil, failure("head", key, err)
	}
	o.ChecksumType = string(out.ChecksumType)
	return o, nil
}

// missing wraps ErrNotFound if err is the response for an object that does not
// exist, and ErrDenied if the store denies access.
func missing(err error) error {
	switch status(err) {
	// The status is 405 if the version is a delete marker.
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		if code(err) != "NoSuchBucket" {
			return fmt.Errorf("%w: %w", ErrNotFound, err)
		}
	case http.StatusForbidden:
		return fmt.Errorf("%w: %w", ErrDenied, err)
	}
	return err
}

// newObject returns the object that the headers of a response describe.
func newObject(key string, metadata middleware.Metadata, size *int64) (*Object, error) {
	response, ok := awsmiddleware.GetRawResponse(metadata).(*smithyhttp.Response)
	if !ok || size == nil || response.Header.Get("ETag") == "" {
		return nil, errors.New("the store returned no size or no ETag")
	}
	o := &Object{
		Key: key, ETag: response.Header.Get("ETag"),
		VersionID: response.Header.Get("X-Amz-Version-Id"), Size: *size,
	}
	o.LastModified, _ = http.ParseTime(response.Header.Get("Last-Modified"))
	o.Answered, _ = http.ParseTime(response.Header.Get("Date"))
	o.describe(response.Header)
	return o, nil
}

// Get returns the object under a key, or a version of it, and its first n
// bytes, or all bytes if it has fewer. It returns the stored bytes without
// decoding a Content-Encoding. An empty version means the current version. Get
// returns ErrNotFound if the object does not exist, and ErrChanged if an empty
// object is replaced meanwhile.
func (s Store) Get(ctx context.Context, key, version string, n int) (*Object, []byte, error) {
	bounded, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	out, err := s.get(bounded, &s3.GetObjectInput{
		Bucket: &s.Bucket, Key: &key, VersionId: optional(version),
		Range: aws.String("bytes=0-" + strconv.Itoa(n-1)),
	})
	if status(err) == http.StatusRequestedRangeNotSatisfiable { // The object is empty.
		o, err := s.Head(ctx, key, version)
		if err == nil && o.Size != 0 {
			err = failure("read", key, ErrChanged)
		}
		return o, nil, err
	} else if err != nil {
		return nil, nil, failure("read", key, missing(err))
	}
	defer out.Body.Close()
	size := out.ContentLength
	if _, total, ok := strings.Cut(aws.ToString(out.ContentRange), "/"); ok {
		parsed, err := strconv.ParseInt(total, 10, 64)
		if err != nil {
			return nil, nil, failure("read", key,
				errors.New("the store returned an invalid Content-Range"))
		}
		size = &parsed
	}
	o, err := newObject(key, out.ResultMetadata, size)
	if err != nil {
		return nil, nil, failure("read", key, err)
	}
	beginning := make([]byte, min(int64(n), o.Size))
	if _, err := io.ReadFull(out.Body, beginning); err != nil {
		return nil, nil, failure("read", key, err)
	}
	return o, beginning, nil
}

func (s Store) get(ctx context.Context, input *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	return s.Client.GetObject(ctx, input, func(options *s3.Options) {
		// Some stores send the checksum of the whole object with a range of
		// bytes, which does not match that checksum.
		options.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
}

// Open returns the bytes of exactly this object. It returns ErrChanged if the
// object was replaced or deleted. The caller must close the reader.
func (s Store) Open(ctx context.Context, o *Object) (io.ReadCloser, error) {
	out, err := s.get(ctx, &s3.GetObjectInput{
		Bucket: &s.Bucket, Key: &o.Key, VersionId: optional(o.VersionID), IfMatch: &o.ETag,
	})
	if status(err) == http.StatusPreconditionFailed {
		return nil, failure("read", o.Key, fmt.Errorf("%w: %w", ErrChanged, err))
	} else if found := missing(err); errors.Is(found, ErrNotFound) {
		return nil, failure("read", o.Key, fmt.Errorf("%w: %w", ErrChanged, err))
	} else if err != nil {
		return nil, failure("read", o.Key, found)
	}
	read, err := newObject(o.Key, out.ResultMetadata, out.ContentLength)
	if err == nil && !o.Same(read) {
		err = ErrChanged
	}
	if err != nil {
		out.Body.Close()
		return nil, failure("read", o.Key, err)
	}
	return out.Body, nil
}

// Same reports whether two responses describe the same object, by ETag,
// version, size, time and metadata. Not every response has the version, and the
// response to a copy has no time and no metadata.
//
// Two uploads within a second can have the same ETag, because MD5s can be made
// to collide. Their metadata differs if they have different grants.
func (o *Object) Same(other *Object) bool {
	return sameETag(o.ETag, other.ETag) && o.Size == other.Size &&
		(o.LastModified.Equal(other.LastModified) || o.LastModified.IsZero() ||
			other.LastModified.IsZero()) &&
		(o.VersionID == other.VersionID || o.VersionID == "" || other.VersionID == "") &&
		(o.Metadata == nil || other.Metadata == nil || maps.Equal(o.Metadata, other.Metadata))
}

// system holds prefixes of Amazon's headers that a completion reads or copies,
// in addition to the headers of objectheader.Returned.
var system = []string{
	"X-Amz-Tagging-Count", "X-Amz-Missing-Meta", "X-Amz-Server-Side-Encryption",
	"X-Amz-Object-Lock-",
}

func (o *Object) describe(header http.Header) {
	o.Header, o.Metadata = make(http.Header), make(map[string]string)
	o.Checksums = make(map[string]string)
	for name, values := range header {
		value := strings.Join(values, ",")
		meta, isMeta := strings.CutPrefix(name, "X-Amz-Meta-")
		algorithm, isChecksum := strings.CutPrefix(name, "X-Amz-Checksum-")
		isSystem := slices.ContainsFunc(system, func(prefix string) bool {
			return strings.HasPrefix(name, prefix)
		})
		switch {
		case isMeta:
			o.Metadata[strings.ToLower(meta)] = value
		case isChecksum && algorithm != "Type" && algorithm != "Algorithm":
			o.Checksums[strings.ToUpper(algorithm)] = value
		case isSystem || objectheader.Returned(strings.ToLower(name)) ||
			slices.Contains(objectheader.Content(), strings.ToLower(name)):
			o.Header.Set(name, value)
		}
	}
}

// Delete deletes the object. If the object is pinned, Delete removes its
// version permanently. Otherwise, Delete deletes the object under the key if
// the ETag is the same. It returns nil if the object does not exist, and
// ErrChanged if another object has replaced the object.
func (s Store) Delete(ctx context.Context, o *Object) error {
	input := &s3.DeleteObjectInput{Bucket: &s.Bucket, Key: &o.Key}
	if o.Pinned() {
		input.VersionId = &o.VersionID
	} else {
		input.IfMatch = &o.ETag
	}
	_, err := s.Client.DeleteObject(ctx, input)
	if err != nil && input.IfMatch != nil {
		switch status(err) {
		// Some stores do not support the condition, or fail it for every object
		// made of parts. S3 also returns 412 if the object does not exist. So
		// Delete compares the object, and deletes it without the condition if
		// it is the same.
		case http.StatusNotImplemented, http.StatusPreconditionFailed:
			if err = s.expect(ctx, o); err == nil {
				input.IfMatch = nil
				_, err = s.Client.DeleteObject(ctx, input)
			}
		}
	}
	if err == nil || errors.Is(missing(err), ErrNotFound) {
		return nil
	}
	return failure("delete", o.Key, err)
}

// expect returns ErrChanged or ErrNotFound if the object has been replaced or
// deleted.
func (s Store) expect(ctx context.Context, o *Object) error {
	now, err := s.Head(ctx, o.Key, o.VersionID)
	if err == nil && !o.Same(now) {
		return ErrChanged
	}
	return err
}

// Pinned reports whether the version always has the same bytes. The version
// "null" can be replaced.
func (o *Object) Pinned() bool { return o.VersionID != "" && o.VersionID != "null" }

func sameETag(a, b string) bool { return strings.Trim(a, `"`) == strings.Trim(b, `"`) }

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func failure(what, key string, err error) error {
	return fmt.Errorf("objectstore: %s %q: %w", what, key, err)
}

// status returns the status of the response that caused the error, or 0.
func status(err error) int {
	if response, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return response.HTTPStatusCode()
	}
	return 0
}

// code returns S3's error code, or "". The response to a HEAD has no code.
func code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}
