package objectstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/s3presign/presign/internal/objectheader"
)

// Errors that the methods about multipart uploads wrap.
var (
	ErrExists    = errors.New("an object already exists")
	ErrNoUpload  = errors.New("the multipart upload does not exist")
	ErrDead      = errors.New("the multipart upload can never be completed")
	ErrBadDigest = errors.New("the checksum does not match the parts")
)

const (
	abortAttempts = 5

	// abortPause is the time before the first repetition. It doubles each time.
	abortPause = 200 * time.Millisecond
)

// An Upload is a multipart upload.
type Upload struct {
	Key, ID string

	// Header holds the headers of the object. Every request has the headers
	// that S3 requires on every request.
	Header map[string]string
}

// A Part is a part that has arrived. Its Checksum is empty unless the upload
// was created for the algorithm of the checksum.
type Part struct {
	Number         int
	Size           int64
	ETag, Checksum string
}

// A Whole is the checksum of all bytes of an object, in base64. For a multipart
// upload, S3 computes CRCs only.
type Whole struct{ Algorithm, Value string }

// CreateUpload starts a multipart upload of an object with this metadata and
// these headers, as on a PUT.
func (s Store) CreateUpload(
	ctx context.Context, key string, header, metadata map[string]string, algorithm string,
) (*Upload, error) {
	input := &s3.CreateMultipartUploadInput{Bucket: &s.Bucket, Key: &key, Metadata: metadata}
	if algorithm != "" {
		input.ChecksumAlgorithm, input.ChecksumType = types.ChecksumAlgorithm(algorithm), types.ChecksumTypeFullObject
	}
	out, err := s.Client.CreateMultipartUpload(ctx, input, setHeaders(header))
	if err == nil && aws.ToString(out.UploadId) == "" {
		err = errors.New("the store returned no upload ID")
	}
	if err != nil {
		return nil, failure("start the upload of", key, err)
	}
	return &Upload{Key: key, ID: *out.UploadId, Header: header}, nil
}

// Parts returns one page of the parts that have arrived, in order, from the
// first number above after. If next is not 0, more parts have numbers above
// next. Some stores also list parts that were replaced. The latest part with a
// number then comes first.
func (s Store) Parts(
	ctx context.Context, u *Upload, after int, algorithm string,
) (parts []Part, next int, err error) {
	input := &s3.ListPartsInput{Bucket: &s.Bucket, Key: &u.Key, UploadId: &u.ID}
	if after > 0 {
		input.PartNumberMarker = aws.String(strconv.Itoa(after))
	}
	out, err := s.Client.ListParts(ctx, input, setHeaders(objectheader.EveryRequest(u.Header)))
	// The SDK parses the web page of a proxy as an empty list.
	if err == nil && aws.ToString(out.UploadId) != u.ID && (out.UploadId != nil || aws.ToString(out.Key) != u.Key) {
		err = errors.New("the store did not return a list of the parts")
	}
	if err != nil {
		return nil, 0, u.failure("list", err)
	}
	last := after
	modified := make(map[int]time.Time)
	for _, p := range out.Parts {
		number := int(aws.ToInt32(p.PartNumber))
		if number < last || number == after && after > 0 {
			return nil, 0, u.failure("list",
				errors.New("the store did not list the parts in order"))
		}
		part := Part{
			Number: number, Size: aws.ToInt64(p.Size), ETag: aws.ToString(p.ETag),
			Checksum: partChecksum(p, algorithm),
		}
		first := len(parts)
		for number == last && first > 0 && parts[first-1].Number == number {
			first--
		}
		if first < len(parts) && aws.ToTime(p.LastModified).After(modified[number]) {
			parts = slices.Insert(parts, first, part)
		} else {
			parts = append(parts, part)
		}
		if at := aws.ToTime(p.LastModified); at.After(modified[number]) {
			modified[number] = at
		}
		last = number
	}
	if aws.ToBool(out.IsTruncated) && len(parts) > 0 {
		next = last
	}
	return parts, next, nil
}

// MergeParts returns one part of each number: the part whose ETag is in named,
// or otherwise the first part, which is the latest.
func MergeParts(parts []Part, named map[int]string) []Part {
	var merged []Part
	for _, p := range parts {
		n := len(merged)
		switch {
		case n == 0 || merged[n-1].Number != p.Number:
			merged = append(merged, p)
		case named[p.Number] != "" && sameETag(p.ETag, named[p.Number]) &&
			!sameETag(merged[n-1].ETag, named[p.Number]):
			merged[n-1] = p
		}
	}
	return merged
}

func partChecksum(p types.Part, algorithm string) string {
	return aws.ToString(map[string]*string{
		"CRC32": p.ChecksumCRC32, "CRC32C": p.ChecksumCRC32C, "CRC64NVME": p.ChecksumCRC64NVME,
	}[algorithm])
}

// CompleteUpload makes an object of these parts. Their total size must be size,
// and their checksum whole, unless whole is nil. CompleteUpload returns
//   - ErrExists if an object has the key and replace is not set,
//   - ErrDead if another object had the key during the upload,
//   - ErrChanged if a part was replaced, and
//   - ErrBadDigest if the checksum differs.
//
// After any other error the object might exist. The next attempt then returns
// ErrNoUpload.
func (s Store) CompleteUpload(
	ctx context.Context, u *Upload, parts []Part, size int64, whole *Whole, replace bool,
) error {
	input := &s3.CompleteMultipartUploadInput{
		Bucket: &s.Bucket, Key: &u.Key, UploadId: &u.ID, MpuObjectSize: &size,
		MultipartUpload: &types.CompletedMultipartUpload{},
	}
	for _, p := range parts {
		part := types.CompletedPart{PartNumber: aws.Int32(int32(p.Number)), ETag: &p.ETag}
		if whole != nil { // Unlike S3, versitygw 1.8 requires the checksums of the parts.
			switch sum := optional(p.Checksum); whole.Algorithm {
			case "CRC32":
				part.ChecksumCRC32 = sum
			case "CRC32C":
				part.ChecksumCRC32C = sum
			case "CRC64NVME":
				part.ChecksumCRC64NVME = sum
			}
		}
		input.MultipartUpload.Parts = append(input.MultipartUpload.Parts, part)
	}
	if !replace {
		input.IfNoneMatch = aws.String("*")
	}
	header := objectheader.EveryRequest(u.Header)
	if whole != nil {
		input.ChecksumType = types.ChecksumTypeFullObject
		header["x-amz-checksum-"+strings.ToLower(whole.Algorithm)] = whole.Value
	}
	out, err := s.Client.CompleteMultipartUpload(ctx, input, setHeaders(header))
	if err == nil && aws.ToString(out.Key) == "" { // Ceph 16.2 returns no ETag.
		err = errors.New("the store returned no key of the completed object")
	}
	if err == nil {
		return nil
	}
	switch code(err) {
	case "PreconditionFailed":
		err = fmt.Errorf("%w: %w", ErrExists, err)
	case "ConditionalRequestConflict":
		err = fmt.Errorf("%w: %w", ErrDead, err)
	case "InvalidPart":
		err = fmt.Errorf("%w: %w", ErrChanged, err)
	case "BadDigest", "XAmzContentChecksumMismatch":
		err = fmt.Errorf("%w: %w", ErrBadDigest, err)
	}
	return u.failure("complete", err)
}

// AbortUpload aborts an upload. It sends up to abortAttempts requests until no
// part is left, because a part that is being sent can still arrive. It returns
// nil if the upload does not exist.
func (s Store) AbortUpload(ctx context.Context, u *Upload) error {
	for attempt := range abortAttempts {
		if attempt > 0 {
			select {
			case <-ctx.Done():
				return u.failure("abort", ctx.Err())
			case <-time.After(abortPause << (attempt - 1)):
			}
		}
		_, err := s.Client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
			Bucket: &s.Bucket, Key: &u.Key, UploadId: &u.ID,
		}, setHeaders(objectheader.EveryRequest(u.Header)))
		if err = u.failure("abort", err); err != nil && !errors.Is(err, ErrNoUpload) {
			return err
		}
		left, _, err := s.Parts(ctx, u, 0, "")
		switch {
		case errors.Is(err, ErrNoUpload):
			return nil
		case err != nil:
			return err
		case len(left) == 0:
			return nil // Some stores list an upload that has ended.
		}
	}
	return u.failure("abort",
		fmt.Errorf("the store still lists the upload after %d attempts", abortAttempts))
}

// AbortUploads aborts the uploads to a key, but at most 1,000. An abandoned key
// has one upload.
func (s Store) AbortUploads(ctx context.Context, key string, header map[string]string) error {
	input := &s3.ListMultipartUploadsInput{Bucket: &s.Bucket, Prefix: &key}
	out, err := s.Client.ListMultipartUploads(ctx, input,
		setHeaders(objectheader.EveryRequest(header)))
	if err != nil {
		return failure("list the uploads to", key, err)
	}
	for _, u := range out.Uploads {
		if aws.ToString(u.Key) == key {
			err = errors.Join(err,
				s.AbortUpload(ctx, &Upload{Key: key, ID: aws.ToString(u.UploadId), Header: header}))
		}
	}
	return err
}

// failure adds the key of the upload to err. It wraps ErrNoUpload if the upload
// does not exist. It returns nil if err is nil.
func (u *Upload) failure(what string, err error) error {
	if err == nil {
		return nil
	}
	if code(err) == "NoSuchUpload" ||
		status(err) == http.StatusNotFound && code(err) != "NoSuchBucket" {
		err = fmt.Errorf("%w: %w", ErrNoUpload, err)
	}
	return failure(what+" the upload of", u.Key, err)
}
