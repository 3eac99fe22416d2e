package conformance

import (
	"bytes"
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/s3presign/presign/internal/objectstore"
)

// A call sends one request to the store, with the headers that the library
// sends. It returns the error of that request in response. If the request was
// not sent, it returns the reason in err.
type call func(context.Context, service) (response, err error)

// A service is the store of a case with the keys that the case may use.
type service struct {
	objectstore.Store
	From, To string // keys of the case
}

// put uploads an object and returns its ETag.
func (s service) put(ctx context.Context, key string, body []byte) (etag string, err error) {
	out, err := s.Client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.Bucket, Key: &key, Body: bytes.NewReader(body),
		ContentType: aws.String("text/plain"),
	})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.ETag), nil
}

// start starts a multipart upload, with CRC32C checksums or none, and uploads
// the parts.
func (s service) start(
	ctx context.Context, algorithm string, bodies ...[]byte,
) (u *objectstore.Upload, uploaded []objectstore.Part, err error) {
	headers := map[string]string{"Content-Type": "text/plain"}
	u, err = s.CreateUpload(ctx, s.To, headers, nil, algorithm)
	if err != nil {
		return nil, nil, err
	}
	for i, body := range bodies {
		input := &s3.UploadPartInput{
			Bucket: &s.Bucket, Key: &u.Key, UploadId: &u.ID, PartNumber: aws.Int32(int32(i + 1)),
			Body: bytes.NewReader(body),
		}
		if algorithm != "" {
			input.ChecksumCRC32C = aws.String(digestBy("CRC32C", body))
		}
		if _, err := s.Client.UploadPart(ctx, input); err != nil {
			return nil, nil, err
		}
	}
	uploaded, _, err = s.Parts(ctx, u, 0, algorithm)
	return u, uploaded, err
}

// uploadOnePart completes a multipart upload of Body in one part under To and
// returns the ETag of the object.
func (s service) uploadOnePart(ctx context.Context) (etag string, err error) {
	u, uploaded, err := s.start(ctx, "", Body)
	if err != nil {
		return "", err
	}
	if err := s.CompleteUpload(ctx, u, uploaded, int64(len(Body)), nil, true); err != nil {
		return "", err
	}
	head, err := s.Client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.Bucket, Key: &s.To})
	if err != nil {
		return "", err
	}
	return aws.ToString(head.ETag), nil
}

// complete returns a call that completes a multipart upload of Body. The
// function change can change the request.
func complete(algorithm string, exists bool, change func(c *completionRequest)) call {
	return func(ctx context.Context, s service) (response, err error) {
		u, uploaded, err := s.start(ctx, algorithm, Body)
		if err != nil {
			return nil, err
		}
		defer func() {
			if response != nil || err != nil {
				_ = s.AbortUpload(context.WithoutCancel(ctx), u)
			}
		}()
		if exists {
			if _, err := s.put(ctx, s.To, other); err != nil {
				return nil, err
			}
		}
		c := completionRequest{parts: uploaded, size: int64(len(Body))}
		if algorithm != "" {
			c.whole = &objectstore.Whole{Algorithm: algorithm, Value: digestBy("CRC32C", Body)}
		}
		change(&c)
		return s.CompleteUpload(ctx, u, c.parts, c.size, c.whole, c.replace), nil
	}
}

type completionRequest struct {
	parts   []objectstore.Part
	size    int64
	whole   *objectstore.Whole
	replace bool
}

// copies returns a call that copies From to To if From still has its ETag. The
// function change can change the request.
func copies(exists bool, change func(*s3.CopyObjectInput)) call {
	return func(ctx context.Context, s service) (response, err error) {
		etag, err := s.put(ctx, s.From, Body)
		if err != nil {
			return nil, err
		}
		if exists {
			if _, err := s.put(ctx, s.To, other); err != nil {
				return nil, err
			}
		}
		input := &s3.CopyObjectInput{
			Bucket: &s.Bucket, Key: &s.To, CopySource: aws.String(s.Bucket + "/" + s.From),
			CopySourceIfMatch: &etag,
			IfNoneMatch:       aws.String("*"), MetadataDirective: types.MetadataDirectiveReplace,
			ContentType: aws.String("text/plain"),
		}
		change(input)
		_, response = s.Client.CopyObject(ctx, input)
		return response, nil
	}
}

const otherETag = `"00000000000000000000000000000000"`

// completions returns the cases about requests of the service to its store.
func completions() []proof {
	rejected := Response{400, "InvalidRequest"}
	const ignored = "ignores the conditions of copies and completions"
	return []proof{
		{ObjectSize, []Case{
			{Name: "completion of as many bytes as declared",
				Call: complete("", false, func(*completionRequest) {}), Want: stored},
			{Name: "completion of a byte less than declared",
				Call: complete("", false, func(c *completionRequest) { c.size++ }), Want: rejected,
				But: ceph(stored, "does not support x-amz-mp-object-size")},
			{Name: "completion of a byte more than declared",
				Call: complete("", false, func(c *completionRequest) { c.size-- }), Want: rejected,
				But: ceph(stored, "does not support x-amz-mp-object-size")},
		}},
		{PartList, []Case{
			{Name: "completion with a part that has changed",
				Call: complete("", false, func(c *completionRequest) {
					c.parts[0].ETag = otherETag
				}),
				Want: Response{400, "InvalidPart"}},
			{Name: "completion with a missing part",
				Call: complete("", false, func(c *completionRequest) {
					c.parts[0].Number = 2
				}), Want: Response{400, "InvalidPart"}},
			{Name: "completion with a small part before the last",
				Call: func(ctx context.Context, s service) (response, err error) {
					u, uploaded, err := s.start(ctx, "", Body, Body)
					if err != nil {
						return nil, err
					}
					defer func() { _ = s.AbortUpload(context.WithoutCancel(ctx), u) }()
					return s.CompleteUpload(ctx, u, uploaded, int64(2*len(Body)), nil, false), nil
				}, Want: tooSmall},
			{Name: "completion after an abort",
				Call: func(ctx context.Context, s service) (response, err error) {
					u, uploaded, err := s.start(ctx, "", Body)
					if err != nil {
						return nil, err
					}
					if err := s.AbortUpload(ctx, u); err != nil {
						return nil, err
					}
					return s.CompleteUpload(ctx, u, uploaded, int64(len(Body)), nil, false), nil
				}, Want: noUpload,
				But: ceph(Response{500, "InternalError"},
					"fails instead of returning NoSuchUpload")},
		}},
		{ChecksumBy("CRC32C"), []Case{
			{Name: "completion with the checksum of the whole",
				Call: complete("CRC32C", false, func(*completionRequest) {}), Want: stored},
			{Name: "completion with another checksum of the whole",
				Call: complete("CRC32C", false, func(c *completionRequest) {
					c.whole.Value = digestBy("CRC32C", other)
				}), Want: badDigest, But: ceph(stored, noChecksums)},
		}},
		{OnceComplete, []Case{
			{Name: "completion over an object",
				Call: complete("", true, func(*completionRequest) {}), Want: precondition,
				But: ceph(stored, ignored)},
			{Name: "completion over an object that it may replace",
				Call: complete("", true, func(c *completionRequest) { c.replace = true }),
				Want: stored},
		}},
		{OnceCopy, []Case{
			{Name: "copy", Call: copies(false, func(*s3.CopyObjectInput) {}), Want: stored},
			{Name: "copy over an object", Call: copies(true, func(*s3.CopyObjectInput) {}),
				Want: precondition,
				But: and(ceph(stored, ignored),
					versity(stored, "ignores If-None-Match on a copy"))},
			{Name: "copy over an object that it may replace",
				Call: copies(true, func(c *s3.CopyObjectInput) { c.IfNoneMatch = nil }),
				Want: stored},
		}},
		{PinnedCopy, []Case{
			{Name: "copy of an unchanged object",
				Call: copies(false, func(c *s3.CopyObjectInput) { c.IfNoneMatch = nil }),
				Want: stored},
			{Name: "copy of an object that has changed",
				Call: copies(false, func(c *s3.CopyObjectInput) {
					c.IfNoneMatch, c.CopySourceIfMatch = nil, aws.String(otherETag)
				}), Want: precondition, But: ceph(stored, ignored)},
			{Name: "copy of a part of an object that has changed",
				Call: func(ctx context.Context, s service) (response, err error) {
					if _, err := s.put(ctx, s.From, Body); err != nil {
						return nil, err
					}
					u, _, err := s.start(ctx, "")
					if err != nil {
						return nil, err
					}
					defer func() { _ = s.AbortUpload(context.WithoutCancel(ctx), u) }()
					_, response = s.Client.UploadPartCopy(ctx, &s3.UploadPartCopyInput{
						Bucket: &s.Bucket, Key: &u.Key, UploadId: &u.ID, PartNumber: aws.Int32(1),
						CopySource:        aws.String(s.Bucket + "/" + s.From),
						CopySourceIfMatch: aws.String(otherETag),
					})
					return response, nil
				}, Want: precondition, But: ceph(stored, ignored)},
		}},
		{PinnedRead, []Case{
			{Name: "read of an object that has changed",
				Call: func(ctx context.Context, s service) (response, err error) {
					if _, err := s.put(ctx, s.From, Body); err != nil {
						return nil, err
					}
					out, response := s.Client.GetObject(ctx, &s3.GetObjectInput{
						Bucket: &s.Bucket, Key: &s.From, IfMatch: aws.String(otherETag),
						Range: aws.String("bytes=0-3"),
					}, func(o *s3.Options) {
						o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
					})
					if response == nil {
						_ = out.Body.Close()
					}
					return response, nil
				}, Want: precondition},
		}},
		{JoinedCopy, []Case{
			{Name: "copy of an object made of parts",
				Call: func(ctx context.Context, s service) (response, err error) {
					etag, err := s.uploadOnePart(ctx)
					if err != nil {
						return nil, err
					}
					_, response = s.Client.CopyObject(ctx, &s3.CopyObjectInput{
						Bucket: &s.Bucket, Key: &s.From,
						CopySource:        aws.String(s.Bucket + "/" + s.To),
						CopySourceIfMatch: &etag,
					})
					return response, nil
				}, Want: stored},
		}},
		{JoinedDelete, []Case{
			{Name: "delete of an object made of parts",
				Call: func(ctx context.Context, s service) (response, err error) {
					etag, err := s.uploadOnePart(ctx)
					if err != nil {
						return nil, err
					}
					_, response = s.Client.DeleteObject(ctx, &s3.DeleteObjectInput{
						Bucket: &s.Bucket, Key: &s.To, IfMatch: &etag,
					})
					return response, nil
				}, Want: stored},
		}},
		{PinnedDelete, []Case{
			{Name: "delete of an unchanged object",
				Call: func(ctx context.Context, s service) (response, err error) {
					etag, err := s.put(ctx, s.From, Body)
					if err != nil {
						return nil, err
					}
					_, response = s.Client.DeleteObject(ctx, &s3.DeleteObjectInput{
						Bucket: &s.Bucket, Key: &s.From, IfMatch: &etag,
					})
					return response, nil
				}, Want: stored},
			{Name: "delete of an object that has changed",
				Call: func(ctx context.Context, s service) (response, err error) {
					if _, err := s.put(ctx, s.From, Body); err != nil {
						return nil, err
					}
					_, response = s.Client.DeleteObject(ctx, &s3.DeleteObjectInput{
						Bucket: &s.Bucket, Key: &s.From, IfMatch: aws.String(otherETag),
					})
					return response, nil
				}, Want: precondition, But: ceph(stored, "ignores the condition of a delete")},
		}},
	}
}
