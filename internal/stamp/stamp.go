// Package stamp encodes and seals the record of a grant. The record is small
// enough for the metadata of the granted object.
package stamp

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

// A Method is the method by which an object was uploaded.
type Method byte

// The methods.
const (
	PUT Method = iota
	Form
	Multipart
)

// A Stamp holds the values of a grant that its completion needs.
type Stamp struct {
	ID       [16]byte // the ID of the grant
	Owner    string
	Filename string
	Type     string
	MinSize  int64
	MaxSize  int64
	Checksum string    // algorithm and digest in base64, "SHA256 …", or empty
	Issued   time.Time // in microseconds
	Until    time.Time // completion can start until then; in seconds
	Method   Method
	Replace  bool // the upload may replace an object
	Inline   bool // browsers may show the published file instead of saving it
	Random   bool // the key has a part that cannot be guessed
	Inspect  bool // the service inspects the upload before it is published

	// Headers are the granted headers that S3 returns with an object.
	Headers []Header

	// NameDigest replaces a Filename of more than 255 bytes, since metadata has
	// no room for a longer name. Parse then leaves Filename empty, and
	// RestoreName sets it.
	NameDigest [16]byte

	// Metadata holds the digest of each granted entry, sorted.
	Metadata []Digest
}

// A Header is a header with its name in lower case.
type Header = struct{ Name, Value string }

// A Digest identifies one entry of metadata.
type Digest [8]byte

// NewDigest returns the digest of an entry of metadata.
func NewDigest(name, value string) Digest {
	sum := sha256.Sum256(append(append(append(make([]byte, 0, 256), name...), 0), value...))
	return Digest(sum[:8])
}

// SortDigests sorts digests as a Stamp holds them.
func SortDigests(digests []Digest) {
	slices.SortFunc(digests, func(a, b Digest) int { return slices.Compare(a[:], b[:]) })
}

// A Published is the stamp of a verified copy. It describes the verified
// object, because a store that ignores conditions might have copied another
// object.
type Published struct {
	Stamp
	At        time.Time // the time of verification by the clock of the store, in seconds
	Size      int64
	Digested  int      // the number of bytes that Beginning digests
	Beginning [16]byte // a digest of the file's first bytes
	Detected  string   // the type of these bytes, or empty

	// MD5 is the ETag of the upload if that is the MD5 of its bytes, and zero
	// otherwise.
	MD5 [16]byte
}

// Append appends p in binary.
func (p *Published) Append(b []byte) []byte {
	b = append(b, p.Beginning[:]...)
	b = append(b, p.MD5[:]...)
	b = binary.AppendUvarint(b, uint64(p.Digested))
	b = binary.AppendUvarint(b, uint64(p.At.Unix()))
	b = binary.AppendUvarint(b, uint64(p.Size))
	b = appendText(b, p.Detected)
	return p.Stamp.Append(b)
}

// ParsePublished is the inverse of Append.
func ParsePublished(b []byte) (*Published, error) {
	r := reader{rest: b}
	p := new(Published)
	copy(p.Beginning[:], r.take(uint64(len(p.Beginning))))
	copy(p.MD5[:], r.take(uint64(len(p.MD5))))
	p.Digested = int(r.number())
	p.At = time.Unix(int64(r.number()), 0).UTC()
	p.Size, p.Detected = int64(r.number()), r.text()
	s, err := Parse(r.rest)
	if err != nil || p.Size < 0 || p.Digested < 0 {
		return nil, errMalformed
	}
	p.Stamp = *s
	return p, nil
}

const (
	replaceFlag = 1 << iota
	inlineFlag
	randomFlag
	inspectFlag
	nameFlag // a digest replaces the file name
)

// maxName is the length in bytes of the longest name that a stamp holds.
const maxName = 255

// RestoreName sets the Filename if the stamp holds only its digest: to name if
// name has this digest, and otherwise to fallback.
func (s *Stamp) RestoreName(name, fallback string) {
	switch {
	case s.NameDigest == [16]byte{}:
	case digestName(name) == s.NameDigest:
		s.Filename = name
	default:
		s.Filename = fallback
	}
}

// digestName returns a digest of name.
func digestName(name string) [16]byte {
	sum := sha256.Sum256([]byte(name))
	return [16]byte(sum[:16])
}

// Append appends s in binary.
func (s *Stamp) Append(b []byte) []byte {
	b = append(b, s.ID[:]...)
	flags := byte(0)
	for i, set := range [...]bool{s.Replace, s.Inline, s.Random, s.Inspect} {
		if set {
			flags |= 1 << i
		}
	}
	filename, digest := s.Filename, s.NameDigest
	if digest == [16]byte{} && len(filename) > maxName {
		digest = digestName(filename)
	}
	if digest != [16]byte{} {
		flags |= nameFlag
		filename = ""
	}
	b = append(b, flags, byte(s.Method))
	if flags&nameFlag != 0 {
		b = append(b, digest[:]...)
	}
	b = binary.AppendUvarint(b, uint64(len(s.Metadata)))
	for _, digest := range s.Metadata {
		b = append(b, digest[:]...)
	}
	b = binary.AppendUvarint(b, uint64(s.Issued.UnixMicro()))
	b = binary.AppendUvarint(b, uint64(s.Until.Unix()))
	b = binary.AppendUvarint(b, uint64(s.MinSize))
	b = binary.AppendUvarint(b, uint64(s.MaxSize))
	for _, text := range [...]string{s.Owner, filename, s.Type, s.Checksum} {
		b = appendText(b, text)
	}
	for _, h := range s.Headers {
		b = appendText(b, h.Name)
		b = appendText(b, h.Value)
	}
	return b
}

func appendText(b []byte, text string) []byte {
	b = binary.AppendUvarint(b, uint64(len(text)))
	return append(b, text...)
}

// Parse is the inverse of Append.
func Parse(b []byte) (*Stamp, error) {
	r := reader{rest: b}
	s := new(Stamp)
	copy(s.ID[:], r.take(uint64(len(s.ID))))
	var fixed [2]byte
	copy(fixed[:], r.take(uint64(len(fixed))))
	flags := fixed[0]
	s.Method = Method(fixed[1])
	r.bad = r.bad || flags&^(replaceFlag|inlineFlag|randomFlag|inspectFlag|nameFlag) != 0 || s.Method > Multipart
	s.Replace, s.Inline = flags&replaceFlag != 0, flags&inlineFlag != 0
	s.Random, s.Inspect = flags&randomFlag != 0, flags&inspectFlag != 0
	if flags&nameFlag != 0 {
		copy(s.NameDigest[:], r.take(uint64(len(s.NameDigest))))
	}
	for range min(r.number(), uint64(len(r.rest))) {
		s.Metadata = append(s.Metadata, Digest{})
		last := &s.Metadata[len(s.Metadata)-1]
		copy(last[:], r.take(uint64(len(last))))
	}
	s.Issued = time.UnixMicro(int64(r.number())).UTC()
	s.Until = time.Unix(int64(r.number()), 0).UTC()
	s.MinSize, s.MaxSize = int64(r.number()), int64(r.number())
	s.Owner, s.Filename, s.Type, s.Checksum = r.text(), r.text(), r.text(), r.text()
	for len(r.rest) > 0 && !r.bad {
		s.Headers = append(s.Headers, Header{r.text(), r.text()})
	}
	r.bad = r.bad || flags&nameFlag != 0 && s.Filename != ""
	if r.bad || s.MinSize < 0 || s.MaxSize < 0 {
		return nil, errMalformed
	}
	return s, nil
}

var errMalformed = errors.New("stamp: the record ends too early or has a number out of range")

// A reader reads the values of a stamp. It sets bad if a value is malformed.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) text() string { return string(r.take(r.number())) }
