package stamp

import (
	"encoding/binary"
	"time"

	"github.com/s3presign/presign/internal/s3limit"
)

// A MultipartUpload is what must be known of a multipart upload.
type MultipartUpload struct {
	Key      string
	UploadID string // the store's
	PartSize int64
	Expires  time.Time     // of the upload; in seconds
	Lifetime time.Duration // of the URL of a part; in seconds
	Stamp    Stamp         // of the object that it becomes
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
