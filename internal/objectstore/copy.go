package objectstore

import (
	"cmp"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
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
	parallelParts   = 4

	// lookTime is for one look at an object, however long a copy may take.
	lookTime = 10 * time.Second

	// settleTime is how long a copy may take to be looked at, or taken back, after whoever asked for it may be gone.
	settleTime = 30 * time.Second
)

// Copy copies exactly that object, or version, to another key. The copy has the metadata and the headers, as on a PUT,
// and nothing else of the source: no tags unless header holds x-amz-tagging. Afterwards it is held against the source.
//
// Copy can be repeated, whatever became of it before, and run twice at once: if the key already holds an object with
// these metadata and headers and the source's bytes, it returns that. So metadata should tell uploads apart. Any other
// object there is ErrExists unless replace is set; it is returned beside the error. ErrNotFound and ErrChanged are
// about the source, ErrChanged also about a copy that came out wrong, which is deleted if it is certainly this one.
//
// Stores that ignore the conditions of a copy, as some do, are found out by looking, before and after. What remains
// there is that one of two different objects that are copied to the same key at once may be lost.
func (s Store) Copy(
	ctx context.Context, from *Object, to string, replace bool, header, metadata map[string]string,
) (*Object, error) {
	c := copying{Store: s, from: from, to: to, replace: replace, header: header, metadata: metadata}
	there, err := s.Head(ctx, to)
	switch {
	case err == nil && c.is(there):
		return there, nil
	case err == nil && !replace:
		return there, c.failure(ErrExists)
	case err != nil && !errors.Is(err, ErrNotFound):
		return nil, err
	}
	var made *Object
	if from.Size <= cmp.Or(s.CopyLimit, s3limit.RequestSize) {
		made, err = c.whole(ctx)
	} else {
		made, err = c.parts(ctx)
	}
	// A copy may be there now even if ctx has ended or there was an error.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	if err != nil {
		return c.explain(ctx, err)
	}
	return c.verify(ctx, made)
}

// copying is a copy to be made.
type copying struct {
	Store
	from             *Object
	to               string
	replace          bool
	header, metadata map[string]string
}

func (c copying) failure(err error) error {
	return fmt.Errorf("objectstore: copy %q to %q: %w", c.from.Key, c.to, err)
}

// whole copies with one request.
func (c copying) whole(ctx context.Context) (*Object, error) {
	out, err := c.Client.CopyObject(ctx, &s3.CopyObjectInput{
		Bucket: &c.Bucket, Key: &c.to, CopySource: c.source(), CopySourceIfMatch: &c.from.ETag, IfNoneMatch: c.once(),
		Metadata: c.metadata, MetadataDirective: types.MetadataDirectiveReplace,
		TaggingDirective: types.TaggingDirectiveReplace,
	}, setHeaders(c.header))
	if err != nil {
		return nil, err
	}
	if out.CopyObjectResult == nil || aws.ToString(out.CopyObjectResult.ETag) == "" {
		return nil, errNoCopy
	}
	return &Object{Key: c.to, VersionID: aws.ToString(out.VersionId), ETag: *out.CopyObjectResult.ETag}, nil
}

// errNoCopy is about an answer that is not S3's: a proxy's, say.
var errNoCopy = errors.New("the store does not tell of the copy")

// source returns the x-amz-copy-source.
func (c copying) source() *string {
	separator := "/"
	if strings.HasPrefix(c.Bucket, "arn:") {
		separator = "/object/"
	}
	source := c.Bucket + separator + httpbinding.EscapePath(c.from.Key, false)
	if c.from.VersionID != "" {
		source += "?versionId=" + url.QueryEscape(c.from.VersionID)
	}
	return &source
}

// once returns the If-None-Match of the destination.
func (c copying) once() *string {
	if c.replace {
		return nil
	}
	return aws.String("*")
}

// setHeaders sets headers as they are: the input of an operation has no member for some, and changes others.
func setHeaders(header map[string]string) func(*s3.Options) {
	return func(o *s3.Options) {
		for name, value := range header {
			o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue(name, value))
		}
	}
}

// parts copies by parts. It leaves no upload behind unless the store fails to abort it, or to say that it has begun.
func (c copying) parts(ctx context.Context) (_ *Object, err error) {
	input := &s3.CreateMultipartUploadInput{Bucket: &c.Bucket, Key: &c.to, Metadata: c.metadata}
	algorithm, checksum := c.from.keptChecksum()
	input.ChecksumAlgorithm = types.ChecksumAlgorithm(algorithm)
	if checksum != "" {
		input.ChecksumType = types.ChecksumTypeFullObject
	}
	created, err := c.Client.CreateMultipartUpload(ctx, input, setHeaders(c.header))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
		defer cancel()
		// Nothing is lost if it fails: a lifecycle rule for incomplete uploads is needed anyway.
		_, _ = c.Client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
			Bucket: &c.Bucket, Key: &c.to, UploadId: created.UploadId,
		}, setHeaders(objectheader.EveryRequest(c.header)))
	}()
	completed, err := c.copyParts(ctx, created)
	if err != nil {
		return nil, err
	}
	header := objectheader.EveryRequest(c.header)
	complete := &s3.CompleteMultipartUploadInput{
		Bucket: &c.Bucket, Key: &c.to, UploadId: created.UploadId, IfNoneMatch: c.once(), MpuObjectSize: &c.from.Size,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: completed},
	}
	if checksum != "" { // then the store itself holds the copy against it
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
	return &Object{Key: c.to, ETag: aws.ToString(out.ETag), VersionID: aws.ToString(out.VersionId)}, nil
}

// copyParts copies all parts, some at a time. When one fails, the others are given up.
func (c copying) copyParts(
	ctx context.Context, created *s3.CreateMultipartUploadOutput,
) ([]types.CompletedPart, error) {
	size := max(cmp.Or(c.PartSize, defaultPartSize), (c.from.Size+s3limit.Parts-1)/s3limit.Parts)
	n := int32((c.from.Size + size - 1) / size)
	completed := make([]types.CompletedPart, n)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var last atomic.Int32
	var workers sync.WaitGroup
	for range min(n, parallelParts) {
		workers.Go(func() {
			for number := last.Add(1); number <= n && ctx.Err() == nil; number = last.Add(1) {
				first := int64(number-1) * size
				part, err := c.copyPart(ctx, created, number, first, min(first+size, c.from.Size)-1)
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
		Bucket: &c.Bucket, Key: &c.to, UploadId: created.UploadId, PartNumber: &number,
		CopySource: c.source(), CopySourceIfMatch: &c.from.ETag,
		CopySourceRange: aws.String(fmt.Sprintf("bytes=%d-%d", first, last)),
	}, setHeaders(objectheader.EveryRequest(c.header)))
	if err != nil {
		return types.CompletedPart{}, err
	}
	if out.CopyPartResult == nil || aws.ToString(out.CopyPartResult.ETag) == "" {
		return types.CompletedPart{}, fmt.Errorf("the store does not tell the ETag of part %d", number)
	}
	part := types.CompletedPart{PartNumber: &number, ETag: out.CopyPartResult.ETag}
	if created.ChecksumAlgorithm != "" { // otherwise S3 refuses them
		sums := out.CopyPartResult
		part.ChecksumCRC32, part.ChecksumCRC32C = sums.ChecksumCRC32, sums.ChecksumCRC32C
		part.ChecksumCRC64NVME, part.ChecksumMD5 = sums.ChecksumCRC64NVME, sums.ChecksumMD5
		part.ChecksumSHA1, part.ChecksumSHA256 = sums.ChecksumSHA1, sums.ChecksumSHA256
		part.ChecksumSHA512, part.ChecksumXXHASH64 = sums.ChecksumSHA512, sums.ChecksumXXHASH64
		part.ChecksumXXHASH3, part.ChecksumXXHASH128 = sums.ChecksumXXHASH3, sums.ChecksumXXHASH128
	}
	return part, nil
}

// explain finds out what a copy came to that failed. It may have been made nevertheless, before the connection ended or
// by another replica. S3's error does not say which of its conditions did not hold.
func (c copying) explain(ctx context.Context, failed error) (*Object, error) {
	there, err := c.Head(ctx, c.to)
	if err == nil && c.is(there) {
		return there, nil
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, c.failure(failed)
	}
	switch changed := c.expect(ctx, c.from); {
	case errors.Is(changed, ErrNotFound), errors.Is(changed, ErrChanged):
		return nil, c.failure(fmt.Errorf("%w: %w", changed, failed))
	case changed == nil && there != nil && !c.replace:
		return there, c.failure(fmt.Errorf("%w: %w", ErrExists, failed))
	}
	return nil, c.failure(failed)
}

// verify holds the copy that was made, of which the store told the version or at least the ETag, against the source.
func (c copying) verify(ctx context.Context, made *Object) (*Object, error) {
	there, err := c.head(ctx, c.to, made.VersionID)
	if errors.Is(err, ErrNotFound) {
		return nil, c.failure(fmt.Errorf("%w: the copy is gone", ErrChanged))
	}
	if err != nil {
		return nil, err
	}
	described := c.describes(there)
	ours := made.pinned() || made.ETag != "" && sameETag(made.ETag, there.ETag) && described
	same, known := c.from.compare(there)
	if !known && ours { // then they are the same if nobody changed the source meanwhile
		err := c.expect(ctx, c.from)
		if err != nil && !errors.Is(err, ErrChanged) {
			return nil, c.failure(err) // the copy stays: it may well be right, and another replica have published it
		}
		same = err == nil
	}
	there.Made = ours
	if same && described {
		return there, nil
	}
	err = fmt.Errorf("%w: the copy is not what was asked for", ErrChanged)
	if ours {
		err = errors.Join(err, c.Delete(ctx, there))
	}
	return nil, c.failure(err)
}

// is reports whether an object is certainly the copy.
func (c copying) is(there *Object) bool {
	same, known := c.from.compare(there)
	return same && known && c.describes(there)
}

// describes reports whether an object has the metadata and, as far as the store tells these, the headers of the copy.
func (c copying) describes(there *Object) bool {
	header := lower(c.header)
	for _, name := range objectheader.Content() {
		if value, ok := header[name]; ok && there.Header.Get(name) != value {
			return false
		}
	}
	return maps.Equal(there.Metadata, lower(c.metadata))
}

func lower(m map[string]string) map[string]string {
	lowered := make(map[string]string, len(m))
	for name, value := range m {
		lowered[strings.ToLower(name)] = value
	}
	return lowered
}

// compare reports whether two objects have the same bytes, if that can be known: by checksums of the whole, or else by
// ETags, of which different ones mean different bytes only if both are MD5s.
func (o *Object) compare(other *Object) (same, known bool) {
	if o.Size != other.Size {
		return false, true
	}
	for algorithm := range o.Checksums {
		a, b := o.whole(algorithm), other.whole(algorithm)
		if a != "" && b != "" && a != b {
			return false, true
		}
		known = known || a != "" && b != ""
	}
	if known {
		return true, true
	}
	same = sameETag(o.ETag, other.ETag)
	return same, same || o.hasMD5() && other.hasMD5()
}

// whole returns the checksum of all bytes, if there is one. That of parts is written with their number.
func (o *Object) whole(algorithm string) string {
	sum := o.Checksums[algorithm]
	if o.ChecksumType == string(types.ChecksumTypeComposite) || strings.Contains(sum, "-") {
		return ""
	}
	return sum
}

// hasMD5 reports whether the ETag is the MD5 of the bytes: not after an upload by parts, nor with a key of KMS or the
// customer's.
func (o *Object) hasMD5() bool {
	digest, err := hex.DecodeString(strings.Trim(o.ETag, `"`))
	encryption := o.Header.Get("X-Amz-Server-Side-Encryption")
	return err == nil && len(digest) == md5.Size && (encryption == "" || encryption == "AES256") &&
		o.Header.Get("X-Amz-Server-Side-Encryption-Customer-Algorithm") == ""
}

// keptChecksum returns the algorithm to ask for in a copy by parts, and the checksum if that of the copy will be the
// same.
//
// For CRC64NVME, which S3 takes by itself, it asks for none: versitygw 1.8, asked for the algorithm of the source, takes
// the checksum of the source for that of any range of it.
func (o *Object) keptChecksum() (algorithm, sum string) {
	if o.ChecksumType == "" { // such a store may not know what to ask for
		return "", ""
	}
	for _, algorithm := range slices.Sorted(maps.Keys(o.Checksums)) {
		whole := o.whole(algorithm)
		// By parts, S3 has no other checksums of the whole than these.
		if algorithm != "CRC64NVME" && (whole == "" || strings.HasPrefix(algorithm, "CRC")) {
			return algorithm, whole
		}
	}
	return "", ""
}
