package s3test

import (
	"crypto/md5"
	"encoding/binary"
	"io"
	"net/http"
	"strconv"
)

// A content holds the bytes of an object or a part: a body, followed by zero
// bytes that are only counted.
//
// The digests of content with zeros are not computed from the zeros, since a
// terabyte would take minutes. Equal contents have equal digests.
type content struct {
	body  []byte
	zeros int64
}

func (o *Object) content() content { return content{o.Body, o.Zeros} }

func (c content) size() int64 { return int64(len(c.body)) + c.zeros }

// slice returns the bytes from first to last, both included.
func (c content) slice(first, last int64) content {
	held := int64(len(c.body))
	return content{
		body:  c.body[min(first, held):min(last+1, held)],
		zeros: max(0, last+1-held) - max(0, first-held),
	}
}

// extend returns c followed by next.
func (c content) extend(next content) (content, error) {
	if c.zeros > 0 && len(next.body) > 0 {
		return content{}, notImplemented("bytes after zeros that are only counted")
	}
	return content{append(c.body, next.body...), c.zeros + next.zeros}, nil
}

// hashed returns the bytes from which the digests are computed.
func (c content) hashed() []byte {
	if c.zeros == 0 {
		return c.body
	}
	return binary.BigEndian.AppendUint64(append([]byte("zeros follow: "), c.body...),
		uint64(c.zeros))
}

func (c content) md5() [md5.Size]byte { return md5.Sum(c.hashed()) }

func (c content) sum(algorithm string) string { return sum(algorithm, c.hashed()) }

// maxZeros bounds the zeros in a response.
const maxZeros = 64 << 20

func (c content) writeTo(w io.Writer) {
	_, _ = w.Write(c.body) // The client might have disconnected.
	if c.zeros > 0 {
		_, _ = w.Write(make([]byte, c.zeros))
	}
}

// Put stores an object without a request, as the new version of its key. The
// server sets the ETag, checksum, version ID and time. If Header is nil, the
// server sets it.
func (s *Server) Put(bucket, key string, o Object) {
	if o.Header == nil {
		o.Header = http.Header{
			"Content-Type": {"binary/octet-stream"}, "X-Amz-Server-Side-Encryption": {"AES256"},
		}
	}
	o.ChecksumAlgorithm, o.DeleteMarker, o.VersionID = "", false, ""
	if err := o.fill(o.content(), nil); err != nil {
		panic(err) // This never happens, since no header declares a digest.
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(0, bucket, key, &o)
}

// PutPart stores a part without a request: the body, followed by zeros that are
// only counted. It returns the ETag of the part, and panics if the multipart
// upload does not exist.
func (s *Server) PutPart(uploadID string, number int, body []byte, zeros int64) (etag string) {
	s.mu.RLock()
	u := s.uploads[uploadID]
	s.mu.RUnlock()
	if u == nil {
		panic("s3test: the multipart upload must exist, got ID " + strconv.Quote(uploadID))
	}
	p := u.newPart(number, content{body, zeros})
	if u.algorithm != "" {
		p.algorithm, p.checksum = u.algorithm, p.content.sum(u.algorithm)
	}
	if err := s.storePart(u, p); err != nil {
		panic(err)
	}
	return p.etag
}
