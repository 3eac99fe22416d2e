package objectstore

import (
	"context"
	"errors"
	"iter"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithymiddleware "github.com/aws/smithy-go/middleware"

	"github.com/s3presign/presign/internal/objectheader"
)

// listTime bounds the request for one page.
const listTime = time.Minute

// A Listed is an object in a list.
type Listed struct {
	Key, ETag string
	Size      int64

	// Age is the time since the object was written, by the store's clock if
	// the store sends its time.
	Age time.Duration
}

// A Started is a multipart upload in a list.
type Started struct {
	Key, ID string
	Age     time.Duration // the time since its start, as in Listed
}

// Objects returns the objects whose keys start with prefix, page by page, in
// the store's order. Header holds the headers of an object. Objects sends only
// the headers in it that S3 requires on every request. The sequence ends after
// the first error.
//
// An object that is written or deleted meanwhile might be missing. On Amazon
// S3, the credentials need s3:ListBucket.
func (s Store) Objects(
	ctx context.Context, prefix string, header map[string]string,
) iter.Seq2[Listed, error] {
	return func(yield func(Listed, error) bool) {
		for token := ""; ; {
			objects, next, err := s.listObjects(ctx, prefix, token, header)
			if err == nil && next != "" && next == token {
				err = failure("list the objects under", prefix, errRepeated)
			}
			if err != nil {
				yield(Listed{}, err)
				return
			}
			for _, o := range objects {
				if !yield(o, nil) {
					return
				}
			}
			if token = next; token == "" {
				return
			}
		}
	}
}

// Uploads returns the multipart uploads whose keys start with prefix, as
// Objects returns objects. On Amazon S3, the credentials need
// s3:ListBucketMultipartUploads.
func (s Store) Uploads(
	ctx context.Context, prefix string, header map[string]string,
) iter.Seq2[Started, error] {
	return func(yield func(Started, error) bool) {
		for after := (Started{}); ; {
			uploads, next, err := s.listUploads(ctx, prefix, after, header)
			if err == nil && next != (Started{}) && next == after {
				err = failure("list the uploads under", prefix, errRepeated)
			}
			if err != nil {
				yield(Started{}, err)
				return
			}
			for _, u := range uploads {
				if !yield(u, nil) {
					return
				}
			}
			if after = next; after == (Started{}) {
				return
			}
		}
	}
}

var (
	errRepeated = errors.New("the store returned the same page twice")
	errNoList   = errors.New("the store did not return a list")
	errNoNext   = errors.New("the store did not return where its list continues")
	errOutside  = errors.New("the store listed a key that does not start with the prefix")
	errNoTime   = errors.New("the store did not return the time of an entry")
)

// listObjects returns a page of objects, and the token of the next page, if
// any.
func (s Store) listObjects(
	ctx context.Context, prefix, token string, header map[string]string,
) (objects []Listed, next string, err error) {
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	out, err := s.Client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
		Bucket: &s.Bucket, Prefix: &prefix, ContinuationToken: optional(token),
		EncodingType: types.EncodingTypeUrl,
	}, setHeaders(objectheader.EveryRequest(header)))
	// The SDK parses the web page of a proxy as an empty list.
	if err == nil && out.Name == nil {
		err = errNoList
	}
	if err != nil {
		return nil, "", failure("list the objects under", prefix, err)
	}
	now := serverTime(out.ResultMetadata)
	for _, o := range out.Contents {
		key, err := decode(aws.ToString(o.Key), out.EncodingType)
		if err != nil {
			return nil, "", failure("list the objects under", prefix, err)
		}
		age, err := ageOf(key, o.LastModified, prefix, now)
		if err != nil {
			return nil, "", failure("list the objects under", prefix, err)
		}
		objects = append(objects, Listed{
			Key: key, ETag: aws.ToString(o.ETag), Size: aws.ToInt64(o.Size), Age: age,
		})
	}
	if !aws.ToBool(out.IsTruncated) {
		return objects, "", nil
	}
	if next = aws.ToString(out.NextContinuationToken); next == "" {
		return nil, "", failure("list the objects under", prefix, errNoNext)
	}
	return objects, next, nil
}

// listUploads returns the page of multipart uploads that starts after an
// upload, and the upload after which the next page starts, if any. It does not
// request URL-encoded keys: Ceph 16.2 encodes keys but does not return the
// encoding type.
func (s Store) listUploads(
	ctx context.Context, prefix string, after Started, header map[string]string,
) (uploads []Started, next Started, err error) {
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	input := &s3.ListMultipartUploadsInput{
		Bucket: &s.Bucket, Prefix: &prefix,
		KeyMarker: optional(after.Key), UploadIdMarker: optional(after.ID),
	}
	out, err := s.Client.ListMultipartUploads(ctx, input,
		setHeaders(objectheader.EveryRequest(header)))
	if err != nil && after.ID != "" && code(err) == "InvalidArgument" {
		// versitygw 1.8 rejects its own marker. Without the ID the list
		// continues with the next key, and other uploads to this key are left
		// out.
		input.UploadIdMarker = nil
		out, err = s.Client.ListMultipartUploads(ctx, input,
			setHeaders(objectheader.EveryRequest(header)))
	}
	if err == nil && out.Bucket == nil {
		err = errNoList
	}
	if err != nil {
		return nil, Started{}, failure("list the uploads under", prefix, err)
	}
	now := serverTime(out.ResultMetadata)
	for _, u := range out.Uploads {
		key := aws.ToString(u.Key)
		age, err := ageOf(key, u.Initiated, prefix, now)
		if err != nil {
			return nil, Started{}, failure("list the uploads under", prefix, err)
		}
		uploads = append(uploads, Started{Key: key, ID: aws.ToString(u.UploadId), Age: age})
	}
	if !aws.ToBool(out.IsTruncated) {
		return uploads, Started{}, nil
	}
	next = Started{Key: aws.ToString(out.NextKeyMarker), ID: aws.ToString(out.NextUploadIdMarker)}
	if next.Key == "" {
		return nil, Started{}, failure("list the uploads under", prefix, errNoNext)
	}
	return uploads, next, nil
}

// ageOf returns the age of an entry of a list. It returns an error if the key
// does not start with the prefix. Otherwise a store that ignores the prefix
// would cause other objects to be swept.
func ageOf(key string, written *time.Time, prefix string, now time.Time) (time.Duration, error) {
	switch {
	case !strings.HasPrefix(key, prefix):
		return 0, errOutside
	case written == nil:
		return 0, errNoTime
	}
	return now.Sub(*written), nil
}

// decode returns a listed key without its URL encoding. XML cannot represent
// most control characters, so one key with such a character would make the
// whole list unreadable if keys were not URL-encoded.
func decode(key string, encoding types.EncodingType) (string, error) {
	if encoding != types.EncodingTypeUrl {
		return key, nil // The store does not encode keys.
	}
	decoded, err := url.QueryUnescape(key)
	if err != nil {
		return "", errors.New("the store returned a key that is not URL-encoded")
	}
	return decoded, nil
}

// serverTime returns the time at which the store responded.
func serverTime(metadata smithymiddleware.Metadata) time.Time {
	if now, ok := middleware.GetServerTime(metadata); ok {
		return now
	}
	return time.Now()
}
