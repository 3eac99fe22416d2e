package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// A Request is the request that a presigned URL accepts.
type Request struct {
	Method string
	Scheme string // "https"
	Host   string // as clients send it: without the default port of the scheme
	Base   string // the escaped path before the key, with both its slashes
	Key    string // the key of the object, not escaped

	// Headers holds the signed headers except Host. Names are in lower case,
	// sorted and unique.
	Headers []Pair

	Expires int // seconds from the time of signing
}

// A Pair is a name with its value. It has no methods, so that it is the same
// type as the pairs of other packages.
type Pair = struct{ Name, Value string }

// Presign returns the URL that accepts r, signed at now. As in every presigned
// URL of S3, the body is not signed; a checksum header binds it.
//
// See
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html.
func (k *Key) Presign(r *Request, now time.Time) string {
	h := newHasher()
	defer h.free()
	date := AppendDate(h.date[:0], now)

	// The canonical request is first in the buffer. The URL follows it and
	// copies bytes from it.
	b, query := k.appendBeginning(h.buf[:0], r, date)
	endQuery := len(b)
	b = appendEnd(b, r)
	digest := sha256.Sum256(b)

	toSign := len(b)
	b = k.appendScope(b, date)
	b = hex.AppendEncode(b, digest[:])

	url := len(b)
	b = appendURL(b, r, b[:endQuery], query)
	b = append(b, "&X-Amz-Signature="...)
	b = h.appendSignature(b, k, k.inner, b[toSign:url])
	h.buf = b
	return string(b[url:])
}

// A Series signs URLs that differ only in further parameters of their query,
// such as the URLs of parts. It is immutable and safe for concurrent use.
type Series struct {
	key     *Key
	url     []byte    // the URL up to the further parameters
	request state     // the canonical request up to the further parameters
	end     []byte    // the canonical request after the further parameters
	signed  Beginning // the start of the string to sign
}

// Series returns the Series of URLs that accept r with further parameters,
// signed at now.
func (k *Key) Series(r *Request, now time.Time) *Series {
	h := newHasher()
	defer h.free()
	date := AppendDate(h.date[:0], now)
	b, query := k.appendBeginning(h.buf[:0], r, date)
	h.digest.Reset()
	h.digest.Write(b)
	s := &Series{
		key: k, url: appendURL(make([]byte, 0, len(b)+len(r.Scheme)+len(r.Host)), r, b, query),
		request: h.state(), end: appendEnd(make([]byte, 0, 256), r),
	}
	h.buf = k.appendScope(b[:0], date)
	s.signed = h.beginning(k, h.buf)
	return s
}

// Presign returns the URL with these parameters, in the form of AppendQuery.
// They must be sorted by name, and names must start in lower case, so that they
// sort after "X-Amz-…". All parameters that S3 accepts on a PUT start in lower
// case.
func (s *Series) Presign(query []byte) string {
	h := newHasher()
	defer h.free()
	b := append(append(h.buf[:0], query...), s.end...)
	h.resume(s.request)
	h.digest.Write(b)

	digest := len(b)
	b = hex.AppendEncode(b, h.digest.Sum(h.sum[:0]))
	url := len(b)
	b = append(b, s.url...)
	b = append(b, query...)
	b = append(b, "&X-Amz-Signature="...)
	b = h.appendSignature(b, s.key, s.signed.state, b[digest:url])
	h.buf = b
	return string(b[url:])
}

// appendBeginning writes the canonical request up to the first parameter that
// is not part of the signature. It returns the offset of the query.
func (k *Key) appendBeginning(b []byte, r *Request, date []byte) (_ []byte, query int) {
	b = append(b, r.Method...)
	b = append(b, '\n')
	b = append(b, r.Base...)
	b = AppendPath(b, r.Key)
	b = append(b, '\n')
	query = len(b)
	b = append(b, k.queryBeginning...)
	b = append(b, date...)
	b = append(b, "&X-Amz-Expires="...)
	b = strconv.AppendInt(b, int64(r.Expires), 10)
	b = append(b, k.tokenQuery...)
	b = append(b, "&X-Amz-SignedHeaders="...)
	return appendNames(b, r.Headers, "%3B"), query
}

// AppendQuery appends parameters in the form of a URL, each after an ampersand.
// Names must not need escaping.
func AppendQuery(b []byte, query []Pair) []byte {
	for _, p := range query {
		b = append(b, '&')
		b = append(b, p.Name...)
		b = append(b, '=')
		b = appendEscaped(b, p.Value, false)
	}
	return b
}

// appendEnd writes the canonical request after the query.
func appendEnd(b []byte, r *Request) []byte {
	b = append(b, '\n')
	before := countBeforeHost(r.Headers)
	for _, h := range r.Headers[:before] {
		b = appendHeader(b, h)
	}
	b = appendHeader(b, Pair{"host", r.Host})
	for _, h := range r.Headers[before:] {
		b = appendHeader(b, h)
	}
	b = append(b, '\n')
	b = appendNames(b, r.Headers, ";")
	return append(b, "\nUNSIGNED-PAYLOAD"...)
}

func appendHeader(b []byte, h Pair) []byte {
	b = append(b, h.Name...)
	b = append(b, ':')
	b = appendValue(b, h.Value)
	return append(b, '\n')
}

// appendNames writes the names of headers and Host, sorted.
func appendNames(b []byte, headers []Pair, separator string) []byte {
	before := countBeforeHost(headers)
	for _, h := range headers[:before] {
		b = append(b, h.Name...)
		b = append(b, separator...)
	}
	b = append(b, "host"...)
	for _, h := range headers[before:] {
		b = append(b, separator...)
		b = append(b, h.Name...)
	}
	return b
}

// countBeforeHost returns how many headers sort before Host.
func countBeforeHost(headers []Pair) (n int) {
	for n < len(headers) && headers[n].Name < "host" {
		n++
	}
	return n
}

// appendValue writes the canonical value of a header: without outer spaces, and
// with one space for each run of inner spaces.
func appendValue(b []byte, v string) []byte {
	v = strings.Trim(v, " ")
	for {
		run := strings.Index(v, "  ")
		if run < 0 {
			return append(b, v...)
		}
		b = append(b, v[:run+1]...)
		v = strings.TrimLeft(v[run:], " ")
	}
}

// appendScope writes the string to sign up to the hash of the canonical
// request.
func (k *Key) appendScope(b, date []byte) []byte {
	b = append(b, Algorithm+"\n"...)
	b = append(b, date...)
	b = append(b, '\n')
	b = append(b, k.scope...)
	return append(b, '\n')
}

// appendURL writes the URL for the start of a canonical request, whose query
// starts at query.
func appendURL(b []byte, r *Request, canonical []byte, query int) []byte {
	b = append(b, r.Scheme...)
	b = append(b, "://"...)
	b = append(b, r.Host...)
	b = append(b, canonical[len(r.Method)+1:query-1]...)
	b = append(b, '?')
	return append(b, canonical[query:]...)
}

// AppendPath appends the path of an object key as S3 signs it. Every byte
// except unreserved ones and the slash is escaped once. The path is not
// normalized.
func AppendPath(dst []byte, key string) []byte {
	return appendEscaped(dst, key, true)
}

func appendEscaped(b []byte, s string, path bool) []byte {
	const upperhex = "0123456789ABCDEF"
	plain := 0 // the start of bytes that need no escaping
	for i := 0; i < len(s); i++ {
		if c := s[i]; !unreserved[c] && !(path && c == '/') {
			b = append(b, s[plain:i]...)
			b = append(b, '%', upperhex[c>>4], upperhex[c&15])
			plain = i + 1
		}
	}
	return append(b, s[plain:]...)
}

// unreserved marks the bytes that are not escaped (RFC 3986, section 2.3).
var unreserved = func() (set [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") {
		set[c] = true
	}
	return set
}()
