package objectstore

import (
	"cmp"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/encoding/httpbinding"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/s3presign/presign/internal/objectheader"
	"github.com/s3presign/presign/internal/s3limit"
)

const (
	defaultPartSize = 1 << 30
	parallelParts   = 16

	// requestTime is the limit for one request of Head or Get, and for one
	// request of CheckCopy that lists parts.
	requestTime = 10 * time.Second

	// abortTime is the limit for aborting a copy by parts, even if its caller
	// has left.
	abortTime = 30 * time.Second
)

// A Copy describes a copy to be made.
type Copy struct {
	From *Object // the source, pinned by version and ETag
	To   string  // the key

	// Replaces is the object that the copy replaces, pinned by its ETag. If it
	// is nil, the key must not have an object.
	Replaces *Object

	// Header and Metadata are the headers and metadata of the copy, as on a
	// PUT. The copy gets no headers and metadata of the source, and no tags
	// unless Header holds x-amz-tagging.
	Header, Metadata map[string]string

	// Algorithm is the checksum algorithm of the copy, or empty.
	Algorithm string

	// WithoutSource and WithoutTarget leave out the conditions on the source
	// and on the target, for stores that do not support them.
	WithoutSource, WithoutTarget bool

	// Confirm is called before a copy by parts is completed, since copying the
	// parts might have taken long. An error aborts the copy.
	Confirm func(context.Context) error
}

// Copy makes a copy and returns its key, version, ETag and checksums as far as
// the store returned them. It returns
//   - ErrCondition if the store rejected the source or the target,
//   - ErrUnsupported if the store does not support a condition, and
//   - ErrCopying as CheckCopy does.
//
// After any other error, the copy might exist.
func (s Store) Copy(ctx context.Context, c *Copy) (*Object, error) {
	call := copying{s, c}
	var object *Object
	var err error
	if !s.hasParts(c) {
		object, err = call.copyWhole(ctx)
	} else {
		object, err = call.copyByParts(ctx)
	}
	if err == nil {
		return object, nil
	}
	switch status(err) {
	case http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed:
		// S3 also returns 404 for If-Match on a key without an object.
		if code(err) != "NoSuchBucket" {
			err = fmt.Errorf("%w: %w", ErrCondition, err)
		}
	case http.StatusNotImplemented:
		err = fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return nil, call.failure(err)
}

// A copying makes a Copy at a Store.
type copying struct {
	Store
	*Copy
}

func (c copying) failure(err error) error {
	return fmt.Errorf("objectstore: copy %q to %q: %w", c.From.Key, c.To, err)
}

// copyWhole copies with one request.
func (c copying) copyWhole(ctx context.Context) (*Object, error) {
	ifMatch, ifNoneMatch := c.targetConditions()
	out, err := c.Client.CopyObject(ctx, &s3.CopyObjectInput{
		Bucket: &c.Bucket, Key: &c.To, CopySource: c.source(),
		CopySourceIfMatch: c.sourceCondition(), IfMatch: ifMatch,
		IfNoneMatch: ifNoneMatch, ChecksumAlgorithm: types.ChecksumAlgorithm(c.Algorithm),
		Metadata: c.Metadata, MetadataDirective: types.MetadataDirectiveReplace,
		TaggingDirective: types.TaggingDirectiveReplace,
	}, setHeaders(c.Header))
	if err != nil {
		return nil, err
	}
	result := out.CopyObjectResult
	if result == nil || aws.ToString(result.ETag) == "" {
		return nil, errNoCopy
	}
	object := &Object{
		Key: c.To, VersionID: aws.ToString(out.VersionId), ETag: *result.ETag,
		ChecksumType: string(result.ChecksumType),
		Checksums:    make(map[string]string),
	}
	for algorithm, sum := range map[string]*string{
		"CRC32":     result.ChecksumCRC32,
		"CRC32C":    result.ChecksumCRC32C,
		"CRC64NVME": result.ChecksumCRC64NVME,
		"MD5":       result.ChecksumMD5,
		"SHA1":      result.ChecksumSHA1,
		"SHA256":    result.ChecksumSHA256,
		"SHA512":    result.ChecksumSHA512,
		"XXHASH3":   result.ChecksumXXHASH3,
		"XXHASH64":  result.ChecksumXXHASH64,
		"XXHASH128": result.ChecksumXXHASH128,
	} {
		if sum != nil {
			object.Checksums[algorithm] = *sum
		}
	}
	return object, nil
}

// errNoCopy is returned for a response that S3 did not send, for example the
// response of a proxy.
var errNoCopy = errors.New("the store returned no description of the copy")

// source returns the x-amz-copy-source.
func (c copying) source() *string {
	separator := "/"
	if strings.HasPrefix(c.Bucket, "arn:") {
		separator = "/object/"
	}
	source := c.Bucket + separator + httpbinding.EscapePath(c.From.Key, false)
	if c.From.VersionID != "" {
		source += "?versionId=" + url.QueryEscape(c.From.VersionID)
	}
	return &source
}

// sourceCondition returns the x-amz-copy-source-if-match.
func (c copying) sourceCondition() *string {
	if c.WithoutSource {
		return nil
	}
	return &c.From.ETag
}

// targetConditions returns the If-Match and If-None-Match of the target.
func (c copying) targetConditions() (ifMatch, ifNoneMatch *string) {
	switch {
	case c.WithoutTarget:
		return nil, nil
	case c.Replaces != nil:
		return &c.Replaces.ETag, nil
	}
	return nil, aws.String("*")
}

// setHeaders sets headers unchanged. The input of an operation has no member
// for some headers, and changes others.
func setHeaders(header map[string]string) func(*s3.Options) {
	return func(o *s3.Options) {
		for name, value := range header {
			o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue(name, value))
		}
	}
}

// copyByParts copies by parts. It leaves no multipart upload, unless the store
// fails to abort the upload, or to respond when it creates the upload.
func (c copying) copyByParts(ctx context.Context) (_ *Object, err error) {
	if err := c.CheckCopy(ctx, c.Copy); err != nil {
		return nil, err
	}
	algorithm, checksum, err := c.keepChecksum(ctx)
	if err != nil {
		return nil, err
	}
	input := &s3.CreateMultipartUploadInput{Bucket: &c.Bucket, Key: &c.To, Metadata: c.Metadata}
	input.ChecksumAlgorithm = types.ChecksumAlgorithm(algorithm)
	if checksum != "" {
		input.ChecksumType = types.ChecksumTypeFullObject
	}
	created, err := c.Client.CreateMultipartUpload(ctx, input, setHeaders(c.Header))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
		defer cancel()
		// Best effort: a lifecycle rule removes what is left.
		_, _ = c.Client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
			Bucket: &c.Bucket, Key: &c.To, UploadId: created.UploadId,
		}, setHeaders(objectheader.EveryRequest(c.Header)))
	}()
	completed, err := c.copyParts(ctx, created)
	if err != nil {
		return nil, err
	}
	if err := c.Confirm(ctx); err != nil {
		return nil, err
	}
	header := objectheader.EveryRequest(c.Header)
	ifMatch, ifNoneMatch := c.targetConditions()
	complete := &s3.CompleteMultipartUploadInput{
		Bucket: &c.Bucket, Key: &c.To, UploadId: created.UploadId, IfMatch: ifMatch,
		IfNoneMatch: ifNoneMatch, MpuObjectSize: &c.From.Size,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: completed},
	}
	if checksum != "" { // The store itself compares the checksum with the copy.
		complete.ChecksumType = types.ChecksumTypeFullObject
		header["x-amz-checksum-"+strings.ToLower(algorithm)] = checksum
	}
	out, err := c.Client.CompleteMultipartUpload(ctx, complete, setHeaders(header))
	if err != nil {
		return nil, err
	}
	if aws.ToString(out.Key) == "" {
		return nil, errNoCopy
	}
	return &Object{
		Key: c.To, ETag: aws.ToString(out.ETag), VersionID: aws.ToString(out.VersionId),
	}, nil
}

// copyParts copies all parts, at most parallelParts at a time. It stops if a
// part fails.
func (c copying) copyParts(
	ctx context.Context, created *s3.CreateMultipartUploadOutput,
) ([]types.CompletedPart, error) {
	size := max(cmp.Or(c.PartSize, defaultPartSize), (c.From.Size+s3limit.Parts-1)/s3limit.Parts)
	n := int32((c.From.Size + size - 1) / size)
	completed := make([]types.CompletedPart, n)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var last atomic.Int32
	var workers sync.WaitGroup
	for range min(n, parallelParts) {
		workers.Go(func() {
			for number := last.Add(1); number <= n && ctx.Err() == nil; number = last.Add(1) {
				first := int64(number-1) * size
				part, err := c.copyPart(ctx, created, number, first, min(first+size, c.From.Size)-1)
				if err != nil {
					cancel(err)
					return
				}
				completed[number-1] = part
			}
		})
	}
	workers.Wait()
	return completed, context.Cause(ctx)
}

func (c copying) copyPart(
	ctx context.Context, created *s3.CreateMultipartUploadOutput, number int32, first, last int64,
) (types.CompletedPart, error) {
	out, err := c.Client.UploadPartCopy(ctx, &s3.UploadPartCopyInput{
		Bucket: &c.Bucket, Key: &c.To, UploadId: created.UploadId, PartNumber: &number,
		CopySource: c.source(), CopySourceIfMatch: c.sourceCondition(),
		CopySourceRange: aws.String(fmt.Sprintf("bytes=%d-%d", first, last)),
	}, setHeaders(objectheader.EveryRequest(c.Header)))
	if err != nil {
		return types.CompletedPart{}, err
	}
	if out.CopyPartResult == nil || aws.ToString(out.CopyPartResult.ETag) == "" {
		return types.CompletedPart{}, fmt.Errorf("the store returned no ETag of part %d", number)
	}
	part := types.CompletedPart{PartNumber: &number, ETag: out.CopyPartResult.ETag}
	if created.ChecksumAlgorithm != "" { // Otherwise S3 rejects checksums.
		sums := out.CopyPartResult
		part.ChecksumCRC32, part.ChecksumCRC32C = sums.ChecksumCRC32, sums.ChecksumCRC32C
		part.ChecksumCRC64NVME, part.ChecksumMD5 = sums.ChecksumCRC64NVME, sums.ChecksumMD5
		part.ChecksumSHA1, part.ChecksumSHA256 = sums.ChecksumSHA1, sums.ChecksumSHA256
		part.ChecksumSHA512, part.ChecksumXXHASH64 = sums.ChecksumSHA512, sums.ChecksumXXHASH64
		part.ChecksumXXHASH3, part.ChecksumXXHASH128 = sums.ChecksumXXHASH3, sums.ChecksumXXHASH128
	}
	return part, nil
}

// Compare reports whether two objects have the same bytes, and whether this is
// known. It compares checksums of all bytes, or otherwise ETags. Different
// ETags show different bytes only if both are MD5s.
func (o *Object) Compare(other *Object) (same, known bool) {
	if o.Size != other.Size {
		return false, true
	}
	for algorithm := range o.Checksums {
		a, b := o.wholeChecksum(algorithm), other.wholeChecksum(algorithm)
		if a != "" && b != "" && a != b {
			return false, true
		}
		known = known || a != "" && b != ""
	}
	if known {
		return true, true
	}
	same = sameETag(o.ETag, other.ETag)
	return same, same || o.HasMD5() && other.HasMD5()
}

// wholeChecksum returns the checksum of all bytes, or "". A checksum of parts
// ends in the number of parts.
func (o *Object) wholeChecksum(algorithm string) string {
	sum := o.Checksums[algorithm]
	if o.ChecksumType == string(types.ChecksumTypeComposite) || strings.Contains(sum, "-") {
		return ""
	}
	return sum
}

// HasMD5 reports whether the ETag is the MD5 of the bytes. The ETag is not the
// MD5 after a multipart upload, or if a key of KMS or of the customer encrypts
// the object.
func (o *Object) HasMD5() bool {
	_, isMD5 := ParseMD5(o.ETag)
	encryption := o.Header.Get("X-Amz-Server-Side-Encryption")
	return isMD5 && (encryption == "" || encryption == "AES256") &&
		o.Header.Get("X-Amz-Server-Side-Encryption-Customer-Algorithm") == ""
}

// ParseMD5 returns the bytes of an ETag that has the form of an MD5.
func ParseMD5(etag string) (sum [md5.Size]byte, ok bool) {
	digest, err := hex.DecodeString(strings.Trim(etag, `"`))
	if err != nil || len(digest) != md5.Size {
		return sum, false
	}
	return [md5.Size]byte(digest), true
}

// keepChecksum returns the algorithm that a copy by parts requests, and the
// checksum of the source if the copy must have the same checksum.
//
// The algorithm is empty for CRC64NVME, which S3 computes by default. If a
// request names the algorithm of the source, versitygw 1.8 returns the checksum
// of the whole source for every range.
func (c copying) keepChecksum(ctx context.Context) (algorithm, sum string, err error) {
	from := c.From
	if len(from.Checksums) == 0 {
		if from, err = c.Head(ctx, from.Key, from.VersionID); err != nil {
			return "", "", err
		}
	}
	if from.ChecksumType == "" { // The store might not support checksum types.
		return "", "", nil
	}
	for _, algorithm := range slices.Sorted(maps.Keys(from.Checksums)) {
		whole := from.wholeChecksum(algorithm)
		// CRCs are the only checksums that S3 computes of a whole multipart
		// upload.
		if algorithm != "CRC64NVME" && (whole == "" || strings.HasPrefix(algorithm, "CRC")) {
			return algorithm, whole, nil
		}
	}
	return "", "", nil
}
