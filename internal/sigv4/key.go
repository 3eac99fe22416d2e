// Package sigv4 signs S3 requests with AWS Signature Version 4: presigned URLs
// and the policies of POST forms.
//
// It works on strings and times, without HTTP, clock or policy. It does not
// validate its input. The caller must ensure that headers are the right ones,
// that a lifetime is allowed, and that a value has no line break.
//
// See
// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html.
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"sync/atomic"
	"time"
)

const (
	// Algorithm names the signature scheme in queries and policies.
	Algorithm = "AWS4-HMAC-SHA256"

	dateSize   = len("20060102T150405Z")
	service    = "s3"
	terminator = "aws4_request"
)

// AppendDate appends a time in the form of X-Amz-Date, in UTC and in whole
// seconds. It is faster than a layout of package time.
func AppendDate(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = appendTwo(appendTwo(b, year/100), year%100)
	b = appendTwo(appendTwo(b, int(month)), day)
	b = append(b, 'T')
	b = appendTwo(appendTwo(appendTwo(b, hour), minute), second)
	return append(b, 'Z')
}

func appendTwo(b []byte, n int) []byte { return append(b, '0'+byte(n/10), '0'+byte(n%10)) }

// A Credential is an access key that signs.
type Credential struct {
	ID, Secret string
	Token      string // the token of a session, or empty
}

// Keys derives the signing keys of one region. A key depends on the credential
// and the day. Keys caches the last key, because a service signs with one
// credential at a time. Keys is safe for concurrent use.
type Keys struct {
	region string
	last   atomic.Pointer[Key]
}

// NewKeys returns the signing keys of a region.
func NewKeys(region string) *Keys {
	return &Keys{region: region}
}

// Key returns the signing key of a credential for the UTC day of now, a time
// after 1970. Credentials that differ in any field have different keys.
func (k *Keys) Key(c Credential, now time.Time) *Key {
	day := now.Unix() / secondsADay
	if key := k.last.Load(); key != nil && key.day == day && key.credential == c {
		return key
	}
	key := newKey(k.region, c, now.UTC(), day)
	k.last.Store(key)
	return key
}

const secondsADay = 24 * 60 * 60

// A Key signs for one credential, day and region. It is immutable and safe for
// concurrent use.
type Key struct {
	// Credential is the value that requests contain beside the signature:
	// access key ID, day, region, service.
	Credential string

	// Token is the token of the session, or empty.
	Token string

	credential     Credential
	day            int64 // since 1970
	scope          string
	queryBeginning []byte // the query of each presigned URL, up to its date
	tokenQuery     []byte // the parameter of the session token, or empty

	inner, outer state // the states of HMAC with this key, before a message
}

func newKey(region string, c Credential, now time.Time, day int64) *Key {
	date := now.Format("20060102")
	signing := []byte("AWS4" + c.Secret)
	for _, s := range []string{date, region, service, terminator} {
		mac := hmac.New(sha256.New, signing)
		mac.Write([]byte(s))
		signing = mac.Sum(nil)
	}
	scope := date + "/" + region + "/" + service + "/" + terminator
	key := &Key{
		Credential: c.ID + "/" + scope, Token: c.Token, credential: c, day: day, scope: scope,
	}
	key.inner, key.outer = hmacStates(signing)
	key.queryBeginning = append(key.queryBeginning,
		"X-Amz-Algorithm="+Algorithm+"&X-Amz-Credential="...)
	key.queryBeginning = append(appendEscaped(key.queryBeginning, key.Credential, false),
		"&X-Amz-Date="...)
	if c.Token != "" {
		key.tokenQuery = appendEscaped([]byte("&X-Amz-Security-Token="), c.Token, false)
	}
	return key
}

// A Beginning is the start of many strings to sign, already hashed for one Key.
type Beginning struct{ state state }

// Beginning hashes the start of many strings to sign.
func (k *Key) Beginning(s string) Beginning {
	h := newHasher()
	defer h.free()
	h.buf = append(h.buf[:0], s...)
	return h.beginning(k, h.buf)
}

// SignBehind returns the signature, in hexadecimal, of the string to sign that
// consists of beginning and rest. For a POST form, that string is the policy in
// base64.
//
// See
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html.
func (k *Key) SignBehind(beginning Beginning, rest string) string {
	h := newHasher()
	defer h.free()
	h.buf = append(h.buf[:0], rest...)
	var sum [2 * sha256.Size]byte
	return string(h.appendSignature(sum[:0], k, beginning.state, h.buf))
}
