package objectstore

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign/internal/objectheader"
	"github.com/s3presign/presign/internal/s3limit"
)

// idleLimit is the time without a new part after which CheckCopy aborts a copy
// by parts. The copy of one part takes less than a minute.
const idleLimit = 2 * time.Minute

// ErrCopying is returned if another process is copying to the same key.
var ErrCopying = errors.New("another process is copying to the key")

// hasParts reports whether a copy is made by parts.
func (s Store) hasParts(c *Copy) bool {
	return c.From.Size > cmp.Or(s.CopyLimit, s3limit.RequestSize)
}

// CheckCopy searches for other copies to the same key if the copy must be made
// by parts. Another copy is a multipart upload to exactly that key.
//
// CheckCopy returns ErrCopying if another copy has started, or a part of it has
// arrived, within the last two minutes by the store's clock. Otherwise, the
// process of the other copy has ended, and CheckCopy aborts that copy. The new
// copy does not use the parts of the aborted copy, because they might come from
// an upload that was replaced.
//
// If two processes start at the same moment, they do not find each other, and
// both copy. If the credentials do not allow a list of multipart uploads, or
// the store does not support such lists, CheckCopy returns nil.
func (s Store) CheckCopy(ctx context.Context, c *Copy) error {
	if !s.hasParts(c) {
		return nil
	}
	for u, err := range s.Uploads(ctx, c.To, c.Header) {
		switch status(err) {
		case http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented:
			return nil
		}
		if err != nil {
			return err
		}
		if u.Key != c.To {
			continue
		}
		other := &Upload{Key: u.Key, ID: u.ID, Header: c.Header}
		idle, err := s.idleTime(ctx, other, u.Age)
		if err == nil && idle < idleLimit {
			return ErrCopying
		} else if err == nil {
			err = s.AbortUpload(ctx, other)
		}
		if err != nil && !errors.Is(err, ErrNoUpload) {
			return err
		}
	}
	return nil
}

// idleTime returns the time since the latest part of an upload arrived, or the
// age of the upload if that is less.
func (s Store) idleTime(ctx context.Context, u *Upload, age time.Duration) (time.Duration, error) {
	input := &s3.ListPartsInput{Bucket: &s.Bucket, Key: &u.Key, UploadId: &u.ID}
	for age >= idleLimit {
		bounded, cancel := context.WithTimeout(ctx, requestTime)
		out, err := s.Client.ListParts(bounded, input,
			setHeaders(objectheader.EveryRequest(u.Header)))
		cancel()
		if err != nil {
			return 0, u.failure("list", err)
		}
		now := serverTime(out.ResultMetadata)
		for _, p := range out.Parts {
			if p.LastModified != nil {
				age = min(age, now.Sub(*p.LastModified))
			}
		}
		next := aws.ToString(out.NextPartNumberMarker)
		if !aws.ToBool(out.IsTruncated) || next == "" ||
			next == aws.ToString(input.PartNumberMarker) {
			break
		}
		input.PartNumberMarker = &next
	}
	return age, nil
}
