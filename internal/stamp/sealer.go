package stamp

import (
	"errors"

	"github.com/s3presign/presign/internal/seal"
)

// format is the number of the format of all texts that a Sealer seals. A change
// of the format needs another number, because an old stamp could otherwise be
// parsed as a new stamp.
const format = "3"

// The purposes of sealed texts. A text that was sealed for one purpose does not
// open for another.
const (
	grantPurpose     = "stamp"
	publishedPurpose = "published stamp"
	multipartPurpose = "multipart"
)

// ErrSealed is returned for a text that was not sealed by a Sealer of the same
// secret and context for this purpose and key.
var ErrSealed = errors.New("stamp: the text was not sealed here")

// ErrTooLong is returned if a multipart upload has too many bytes to be sealed.
var ErrTooLong = errors.New("stamp: the multipart upload has too long an ID")

// A Sealer seals and opens stamps. It is safe for concurrent use.
type Sealer struct {
	keys        *seal.Keyring
	fingerprint string
}

// NewSealer returns a Sealer of secrets, for uploads at one host, bucket and
// pair of prefixes. Its texts open only for the same host, bucket and prefixes.
func NewSealer(secrets [][]byte, host, bucket, prefix, finalPrefix string) (*Sealer, error) {
	keys, err := seal.New(secrets, format, host, bucket, prefix, finalPrefix)
	if err != nil {
		return nil, err
	}
	return &Sealer{keys, seal.Fingerprint(secrets)}, nil
}

// Fingerprint returns 8 hex digits of a hash of the secrets.
func (s *Sealer) Fingerprint() string { return s.fingerprint }

// IsSealed reports whether text has the form of a stamp, even if another secret
// sealed it.
func IsSealed(text string) bool { return seal.IsText(text) }

// Seal returns the stamp of an upload to key.
func (s *Sealer) Seal(granted *Stamp, key string) string {
	return s.keys.Seal(grantPurpose, granted.Append(make([]byte, 0, 512)), key)
}

// Open is the inverse of Seal. Its error is ErrSealed.
func (s *Sealer) Open(sealed, key string) (*Stamp, error) {
	return open(s, grantPurpose, sealed, Parse, key)
}

// SealPublished returns the stamp of the published copy of the upload to key.
func (s *Sealer) SealPublished(published *Published, key string) string {
	return s.keys.Seal(publishedPurpose, published.Append(make([]byte, 0, 512)), key)
}

// OpenPublished is the inverse of SealPublished. Its error is ErrSealed.
func (s *Sealer) OpenPublished(sealed, key string) (*Published, error) {
	return open(s, publishedPurpose, sealed, ParsePublished, key)
}

// SealMultipart returns the ID of a multipart upload. Its error is ErrTooLong.
func (s *Sealer) SealMultipart(m *MultipartUpload) (string, error) {
	payload := m.Append(nil)
	if len(payload) > seal.MaxPayload {
		return "", ErrTooLong
	}
	return s.keys.Seal(multipartPurpose, payload), nil
}

// OpenMultipart is the inverse of SealMultipart. Its error is ErrSealed.
func (s *Sealer) OpenMultipart(id string) (*MultipartUpload, error) {
	return open(s, multipartPurpose, id, ParseMultipart)
}

func open[T any](
	s *Sealer, purpose, sealed string, parse func([]byte) (*T, error), bind ...string,
) (*T, error) {
	payload, err := s.keys.Open(purpose, sealed, bind...)
	if err != nil {
		return nil, ErrSealed
	}
	parsed, err := parse(payload)
	if err != nil {
		return nil, ErrSealed
	}
	return parsed, nil
}
