// Package objectstore does to a bucket what completing an upload takes: look at an object, read its beginning, copy it
// and delete it, each time that very object and no other that took its key meanwhile; and begin, list, complete and abort
// multipart uploads.
//
// S3 is asked to hold to that by conditions and version IDs. Since stores differ in which of these they obey, the
// answers are checked as well.
//
// The errors hold what the SDK's do: operation, key, request ID, and S3's code and message, but no more of the answer.
// The client's retries are left as they are.
package objectstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/s3presign/presign/internal/objectheader"
)

// Errors that the methods of a Store wrap.
var (
	ErrNotFound = errors.New("the object is not there")
	ErrChanged  = errors.New("the object is another one now")
	ErrExists   = errors.New("there is an object already")
)

// Store is a bucket. It is safe for concurrent use.
//
// With versioning, the client needs s3:GetObjectVersion and s3:DeleteObjectVersion beside s3:GetObject, s3:PutObject
// and s3:DeleteObject; without s3:ListBucket, S3 does not say that an object is not there.
type Store struct {
	Client *s3.Client
	Bucket string

	// CopyLimit is the size up to which an object is copied in one request, PartSize that of the parts otherwise, which
	// grows with objects that have too many of them; 5 GiB and 1 GiB if zero.
	CopyLimit, PartSize int64
}

// Object is what a store said about an object, or about one version of it.
type Object struct {
	Key, ETag    string
	VersionID    string // empty without versioning
	Size         int64
	LastModified time.Time

	// Header holds Content-Type, Content-Disposition, Content-Encoding, Content-Language, Cache-Control, Expires, and
	// those of Amazon's that an upload can set, among them X-Amz-Storage-Class; of tags X-Amz-Tagging-Count.
	Header http.Header

	// Metadata is by name in lower case, without x-amz-meta-. A value that is not ASCII is encoded as in RFC 2047.
	Metadata map[string]string

	// Checksums is by algorithm, as in types.ChecksumAlgorithm. ChecksumType is FULL_OBJECT, COMPOSITE (of the parts'
	// checksums), or empty if the store does not say.
	Checksums    map[string]string
	ChecksumType string

	// Made is set on what Copy returns if that call made it, rather than found it there. Only then may it be taken back:
	// what was there may be of other bytes with the same MD5 and CRC, which whoever uploaded can bring about.
	Made bool
}

// Head returns the object under a key. It waits no longer than 10 seconds.
func (s Store) Head(ctx context.Context, key string) (*Object, error) {
	return s.head(ctx, key, "")
}

func (s Store) head(ctx context.Context, key, version string) (*Object, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	out, err := s.Client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: &s.Bucket, Key: &key, VersionId: optional(version), ChecksumMode: types.ChecksumModeEnabled,
	})
	if err != nil {
		switch status(err) {
		case http.StatusNotFound, http.StatusMethodNotAllowed: // the latter of a version that is a delete marker
			err = fmt.Errorf("%w: %w", ErrNotFound, err)
		case http.StatusForbidden:
			err = fmt.Errorf("the store denies access, which without s3:ListBucket it also does if there is no object: %w", err)
		}
		return nil, failure("head", key, err)
	}
	response, ok := middleware.GetRawResponse(out.ResultMetadata).(*smithyhttp.Response)
	if !ok || out.ContentLength == nil || aws.ToString(out.ETag) == "" {
		return nil, failure("head", key, errors.New("the store does not tell its size or ETag"))
	}
	o := &Object{
		Key: key, ETag: *out.ETag, VersionID: aws.ToString(out.VersionId), Size: *out.ContentLength,
		LastModified: aws.ToTime(out.LastModified), ChecksumType: string(out.ChecksumType),
	}
	o.describe(response.Header)
	return o, nil
}

// system are Amazon's headers that an upload can set, or begin with what these names begin with.
var system = []string{
	"X-Amz-Website-Redirect-Location", "X-Amz-Storage-Class", "X-Amz-Tagging-Count", "X-Amz-Missing-Meta",
	"X-Amz-Server-Side-Encryption", "X-Amz-Object-Lock-",
}

func (o *Object) describe(header http.Header) {
	o.Header, o.Metadata, o.Checksums = make(http.Header), make(map[string]string), make(map[string]string)
	for name, values := range header {
		value := strings.Join(values, ",")
		meta, isMeta := strings.CutPrefix(name, "X-Amz-Meta-")
		algorithm, isChecksum := strings.CutPrefix(name, "X-Amz-Checksum-")
		isSystem := slices.ContainsFunc(system, func(begin string) bool { return strings.HasPrefix(name, begin) })
		switch {
		case isMeta:
			o.Metadata[strings.ToLower(meta)] = value
		case isChecksum && algorithm != "Type" && algorithm != "Algorithm":
			o.Checksums[strings.ToUpper(algorithm)] = value
		case isSystem || slices.Contains(objectheader.Content(), strings.ToLower(name)):
			o.Header.Set(name, value)
		}
	}
}

// Beginning returns the first n bytes of that object, or all if it has fewer, as they are stored: a Content-Encoding is
// not decoded. It returns ErrChanged if the object is another one by now, or gone.
func (s Store) Beginning(ctx context.Context, o *Object, n int) ([]byte, error) {
	want := min(int64(n), o.Size)
	if want <= 0 {
		return nil, nil
	}
	out, err := s.Client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &s.Bucket, Key: &o.Key, VersionId: optional(o.VersionID), IfMatch: &o.ETag,
		Range: aws.String("bytes=0-" + strconv.FormatInt(want-1, 10)),
	}, func(options *s3.Options) {
		// Some stores send the checksum of the whole with a part of it, which then does not match.
		options.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
	if err != nil {
		switch status(err) {
		case http.StatusPreconditionFailed, http.StatusRequestedRangeNotSatisfiable, http.StatusMethodNotAllowed:
			err = fmt.Errorf("%w: %w", ErrChanged, err)
		case http.StatusNotFound:
			if code(err) != "NoSuchBucket" {
				err = fmt.Errorf("%w: %w", ErrChanged, err)
			}
		}
		return nil, failure("read", o.Key, err)
	}
	defer out.Body.Close()
	if aws.ToString(out.ETag) == "" {
		return nil, failure("read", o.Key, errors.New("the store does not tell its ETag"))
	}
	size := aws.ToInt64(out.ContentLength)
	if _, total, ok := strings.Cut(aws.ToString(out.ContentRange), "/"); ok {
		if size, err = strconv.ParseInt(total, 10, 64); err != nil {
			return nil, failure("read", o.Key, errors.New("the store answers with a Content-Range that is none"))
		}
	}
	version := cmp.Or(aws.ToString(out.VersionId), o.VersionID) // not every store tells it
	if !sameETag(aws.ToString(out.ETag), o.ETag) || size != o.Size || version != o.VersionID {
		return nil, failure("read", o.Key, ErrChanged)
	}
	beginning := make([]byte, want)
	if _, err := io.ReadFull(out.Body, beginning); err != nil {
		return nil, failure("read", o.Key, err)
	}
	return beginning, nil
}

// Delete deletes that object: the version, for good, or without versioning whatever is under the key if it has the
// ETag. An object that is not there is not an error, one that took its place is ErrChanged.
func (s Store) Delete(ctx context.Context, o *Object) error {
	input := &s3.DeleteObjectInput{Bucket: &s.Bucket, Key: &o.Key}
	if o.pinned() {
		input.VersionId = &o.VersionID
	} else {
		input.IfMatch = &o.ETag
	}
	_, err := s.Client.DeleteObject(ctx, input)
	if err != nil && input.IfMatch != nil {
		switch status(err) {
		case http.StatusNotImplemented: // the condition; the store then has to be looked at first
			if err = s.expect(ctx, o); err == nil {
				input.IfMatch = nil
				_, err = s.Client.DeleteObject(ctx, input)
			}
		case http.StatusPreconditionFailed: // which is also S3's answer if there is nothing
			if looked := s.expect(ctx, o); looked != nil {
				err = looked
			}
		}
	}
	if err == nil || errors.Is(err, ErrNotFound) || status(err) == http.StatusNotFound && code(err) != "NoSuchBucket" {
		return nil
	}
	return failure("delete", o.Key, err)
}

// expect returns ErrChanged or ErrNotFound if that object is not there any more.
func (s Store) expect(ctx context.Context, o *Object) error {
	now, err := s.head(ctx, o.Key, o.VersionID)
	if err == nil && !(sameETag(now.ETag, o.ETag) && now.Size == o.Size && now.LastModified.Equal(o.LastModified)) {
		return ErrChanged
	}
	return err
}

// pinned reports whether the version can hold no other bytes. The version "null" can.
func (o *Object) pinned() bool { return o.VersionID != "" && o.VersionID != "null" }

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

// status returns the status of the answer that is the error, or 0 if there was none.
func status(err error) int {
	if response, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return response.HTTPStatusCode()
	}
	return 0
}

// code returns S3's error code. A HEAD has none.
func code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}
