// Package sigv4 signs S3 requests with AWS Signature Version 4: presigned URLs and the policies of POST forms.
//
// It takes strings and times and knows no HTTP, no clock and no policy. What it signs it does not judge: that the
// headers are the right ones, that a lifetime is allowed, that a value has no line break, is for the caller to see to.
//
// See https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html.
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Algorithm names the signature scheme in queries and policies.
	Algorithm = "AWS4-HMAC-SHA256"

	// DateFormat is the time layout of X-Amz-Date. Times must be in UTC.
	DateFormat = "20060102T150405Z"

	service    = "s3"
	terminator = "aws4_request"
)

// Keys derives the signing keys of one region. A key depends on the credential and the day; the last one is kept, since
// a service signs with one credential at a time. Keys is safe for concurrent use.
type Keys struct {
	region string
	last   atomic.Pointer[Key]
}

// NewKeys returns the signing keys of a region.
func NewKeys(region string) *Keys {
	return &Keys{region: region}
}

// Key returns the signing key of a credential for the UTC day of now. A credential whose secret alone has changed gets
// a new key.
func (k *Keys) Key(id, secret string, now time.Time) *Key {
	year, month, day := now.UTC().Date()
	date := civilDay{year, month, day}
	if key := k.last.Load(); key != nil && key.date == date && key.id == id && key.secret == secret {
		return key
	}
	key := newKey(k.region, id, secret, now.UTC(), date)
	k.last.Store(key)
	return key
}

type civilDay struct {
	year  int
	month time.Month
	day   int
}

// Key signs for one credential, day, and region. It is safe for concurrent use.
type Key struct {
	// Credential is what requests name beside the signature: access key id, day, region, service.
	Credential string

	id, secret string
	date       civilDay
	scope      string
	signers    sync.Pool // of *signer
}

func newKey(region, id, secret string, now time.Time, date civilDay) *Key {
	day := now.Format("20060102")
	signing := []byte("AWS4" + secret)
	for _, s := range []string{day, region, service, terminator} {
		mac := hmac.New(sha256.New, signing)
		mac.Write([]byte(s))
		signing = mac.Sum(nil)
	}
	scope := day + "/" + region + "/" + service + "/" + terminator
	key := &Key{Credential: id + "/" + scope, id: id, secret: secret, date: date, scope: scope}
	key.signers.New = func() any {
		return &signer{mac: hmac.New(sha256.New, signing)}
	}
	return key
}

// Sign returns the signature of a string to sign, in hexadecimal. For a POST form that string is the policy in base64.
//
// See https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html.
func (k *Key) Sign(stringToSign []byte) string {
	s := k.signers.Get().(*signer)
	defer k.signers.Put(s)
	var sum [2 * sha256.Size]byte
	return string(s.appendSignature(sum[:0], stringToSign))
}

// signer holds what one signature needs and the next can use again: an HMAC that keeps its keyed state, and a buffer.
type signer struct {
	mac hash.Hash
	sum [sha256.Size]byte
	buf []byte
}

func (s *signer) appendSignature(dst, stringToSign []byte) []byte {
	s.mac.Reset()
	s.mac.Write(stringToSign)
	return hex.AppendEncode(dst, s.mac.Sum(s.sum[:0]))
}
