package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"
)

// Request is what a presigned URL admits.
type Request struct {
	Method string
	Scheme string // "https"
	Host   string // as clients send it: without the scheme's own port
	Path   string // escaped by AppendPath

	// Query holds parameters besides the signature's own, sorted by name. Names need no escaping and begin in lower case,
	// so that they sort behind "X-Amz-…"; all that S3 takes on a PUT do.
	Query []Pair

	// Headers holds the headers that are signed besides Host, with names in lower case, sorted, none twice.
	Headers []Pair

	Token   string // of temporary credentials, or empty
	Expires int    // seconds from the time of signing
}

// Pair is a name with its value.
type Pair struct{ Name, Value string }

// Presign returns the URL that admits r, signed at now. The body stays unsigned, as in every presigned URL of S3; a
// checksum header pins it.
//
// See https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html.
func (k *Key) Presign(r *Request, now time.Time) string {
	s := k.signers.Get().(*signer)
	defer k.signers.Put(s)
	now = now.UTC()

	// The canonical request comes first in the buffer; the URL is put together behind it from the same bytes.
	b := append(s.buf[:0], r.Method...)
	b = append(b, '\n')
	b = append(b, r.Path...)
	b = append(b, '\n')
	query := len(b)
	b = k.appendQuery(b, r, now)
	endQuery := len(b)
	b = append(b, '\n')
	b = appendHeaders(b, r)
	b = append(b, "\n\n"...)
	b = appendHeaderNames(b, r, ";")
	b = append(b, "\nUNSIGNED-PAYLOAD"...)
	digest := sha256.Sum256(b)

	toSign := len(b)
	b = append(b, Algorithm+"\n"...)
	b = now.AppendFormat(b, DateFormat)
	b = append(b, '\n')
	b = append(b, k.scope...)
	b = append(b, '\n')
	b = hex.AppendEncode(b, digest[:])

	url := len(b)
	b = append(b, r.Scheme...)
	b = append(b, "://"...)
	b = append(b, r.Host...)
	b = append(b, r.Path...)
	b = append(b, '?')
	b = append(b, b[query:endQuery]...)
	b = append(b, "&X-Amz-Signature="...)
	b = s.appendSignature(b, b[toSign:url])
	s.buf = b
	return string(b[url:])
}

func (k *Key) appendQuery(b []byte, r *Request, now time.Time) []byte {
	b = append(b, "X-Amz-Algorithm="+Algorithm+"&X-Amz-Credential="...)
	b = appendEscaped(b, k.Credential, false)
	b = append(b, "&X-Amz-Date="...)
	b = now.AppendFormat(b, DateFormat)
	b = append(b, "&X-Amz-Expires="...)
	b = strconv.AppendInt(b, int64(r.Expires), 10)
	if r.Token != "" {
		b = append(b, "&X-Amz-Security-Token="...)
		b = appendEscaped(b, r.Token, false)
	}
	b = append(b, "&X-Amz-SignedHeaders="...)
	b = appendHeaderNames(b, r, "%3B")
	for _, p := range r.Query {
		b = append(b, '&')
		b = append(b, p.Name...)
		b = append(b, '=')
		b = appendEscaped(b, p.Value, false)
	}
	return b
}

// appendHeaders writes the canonical headers without the line break that ends the last one.
func appendHeaders(b []byte, r *Request) []byte {
	start := len(b)
	r.eachHeader(func(h Pair) {
		if len(b) > start {
			b = append(b, '\n')
		}
		b = append(b, h.Name...)
		b = append(b, ':')
		b = appendValue(b, h.Value)
	})
	return b
}

func appendHeaderNames(b []byte, r *Request, separator string) []byte {
	start := len(b)
	r.eachHeader(func(h Pair) {
		if len(b) > start {
			b = append(b, separator...)
		}
		b = append(b, h.Name...)
	})
	return b
}

// eachHeader visits the signed headers in order, Host in its place among them.
func (r *Request) eachHeader(visit func(Pair)) {
	host := Pair{"host", r.Host}
	for _, h := range r.Headers {
		if host.Name != "" && h.Name > host.Name {
			visit(host)
			host.Name = ""
		}
		visit(h)
	}
	if host.Name != "" {
		visit(host)
	}
}

// appendValue writes a header's canonical value: without outer spaces, each run of inner ones as a single space.
func appendValue(b []byte, v string) []byte {
	start := len(b)
	for i := 0; i < len(v); i++ {
		if v[i] == ' ' && (len(b) == start || b[len(b)-1] == ' ') {
			continue
		}
		b = append(b, v[i])
	}
	if len(b) > start && b[len(b)-1] == ' ' {
		b = b[:len(b)-1]
	}
	return b
}

// AppendPath appends the path of an object key as S3 signs it: every byte but the unreserved ones and the slash is
// escaped once, and nothing is normalised.
func AppendPath(dst []byte, key string) []byte {
	return appendEscaped(dst, key, true)
}

func appendEscaped(b []byte, s string, path bool) []byte {
	const upperhex = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		if c := s[i]; unreserved[c] || path && c == '/' {
			b = append(b, c)
		} else {
			b = append(b, '%', upperhex[c>>4], upperhex[c&15])
		}
	}
	return b
}

// unreserved marks the bytes that stay as they are (RFC 3986, section 2.3).
var unreserved = func() (set [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") {
		set[c] = true
	}
	return set
}()
