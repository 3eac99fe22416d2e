package stamp

import (
	"encoding/binary"
	"time"

	"github.com/s3presign/presign/internal/s3limit"
)

// A MultipartUpload holds the values that are needed to continue a multipart
// upload.
type MultipartUpload struct {
	Key      string
	UploadID string // the ID that the store returned
	PartSize int64
	Expires  time.Time     // the expiry of the upload, in seconds
	Lifetime time.Duration // the lifetime of a part's URL, in seconds
	Stamp    Stamp         // the stamp of the completed object
}

// Append appends m in binary.
func (m *MultipartUpload) Append(b []byte) []byte {
	b = appendText(b, m.Key)
	b = appendText(b, m.UploadID)
	b = binary.AppendUvarint(b, uint64(m.PartSize))
	b = binary.AppendUvarint(b, uint64(m.Expires.Unix()))
	b = binary.AppendUvarint(b, uint64(m.Lifetime/time.Second))
	return m.Stamp.Append(b)
}

// ParseMultipart is the inverse of Append.
func ParseMultipart(b []byte) (*MultipartUpload, error) {
	r := reader{rest: b}
	m := &MultipartUpload{Key: r.text(), UploadID: r.text(), PartSize: int64(r.number())}
	m.Expires = time.Unix(int64(r.number()), 0).UTC()
	lifetime := r.number()
	if r.bad || m.PartSize < 1 || lifetime > uint64(s3limit.Lifetime/time.Second) {
		return nil, errMalformed
	}
	m.Lifetime = time.Duration(lifetime) * time.Second
	s, err := Parse(r.rest)
	if err != nil {
		return nil, err
	}
	m.Stamp = *s
	return m, nil
}
