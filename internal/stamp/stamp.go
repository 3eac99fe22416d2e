// Package stamp writes a grant in so few bytes that the object it was made for can carry it.
package stamp

import (
	"encoding/binary"
	"errors"
	"time"
)

// Stamp is what completion has to know of a grant.
type Stamp struct {
	ID       [16]byte // the grant's number
	Owner    string
	Filename string
	Type     string
	MinSize  int64
	MaxSize  int64
	Checksum string    // algorithm and digest in base64, "SHA256 …", or empty
	Issued   time.Time // in microseconds
	Until    time.Time // completion is possible until then; in seconds
	Replace  bool      // whether it may replace an object
	Inline   bool      // whether browsers may show it, rather than save it

	// Headers are those of the granted ones that S3 tells of an object, as they were granted.
	Headers []Header

	// Metadata is a digest of the granted metadata; zero if there is none.
	Metadata [16]byte
}

// A Header is a header with its name in lower case.
type Header = struct{ Name, Value string }

// Published is the stamp of a copy that was verified. It holds what was seen of the file, since a store might have copied
// another one.
type Published struct {
	Stamp
	Size      int64
	Beginning [16]byte // a digest of the file's first bytes
	Detected  string   // what they look like
}

// Append appends p in binary.
func (p *Published) Append(b []byte) []byte {
	b = append(b, p.Beginning[:]...)
	b = binary.AppendUvarint(b, uint64(p.Size))
	b = appendText(b, p.Detected)
	return p.Stamp.Append(b)
}

// ParsePublished is the inverse of Append.
func ParsePublished(b []byte) (*Published, error) {
	r := reader{rest: b}
	p := new(Published)
	copy(p.Beginning[:], r.take(uint64(len(p.Beginning))))
	p.Size, p.Detected = int64(r.number()), r.text()
	s, err := Parse(r.rest)
	if err != nil || p.Size < 0 {
		return nil, errMalformed
	}
	p.Stamp = *s
	return p, nil
}

const (
	replaceFlag = 1 << iota
	inlineFlag
	metadataFlag // there is a digest of metadata
)

// Append appends s in binary.
func (s *Stamp) Append(b []byte) []byte {
	b = append(b, s.ID[:]...)
	flags := byte(0)
	if s.Replace {
		flags |= replaceFlag
	}
	if s.Inline {
		flags |= inlineFlag
	}
	if s.Metadata != [16]byte{} {
		flags |= metadataFlag
	}
	b = append(b, flags)
	if s.Metadata != [16]byte{} {
		b = append(b, s.Metadata[:]...)
	}
	b = binary.AppendUvarint(b, uint64(s.Issued.UnixMicro()))
	b = binary.AppendUvarint(b, uint64(s.Until.Unix()))
	b = binary.AppendUvarint(b, uint64(s.MinSize))
	b = binary.AppendUvarint(b, uint64(s.MaxSize))
	for _, text := range []string{s.Owner, s.Filename, s.Type, s.Checksum} {
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
	var flags byte
	if b := r.take(1); len(b) == 1 {
		flags = b[0]
	}
	r.bad = r.bad || flags&^(replaceFlag|inlineFlag|metadataFlag) != 0
	s.Replace, s.Inline = flags&replaceFlag != 0, flags&inlineFlag != 0
	if flags&metadataFlag != 0 {
		copy(s.Metadata[:], r.take(uint64(len(s.Metadata))))
	}
	s.Issued = time.UnixMicro(int64(r.number())).UTC()
	s.Until = time.Unix(int64(r.number()), 0).UTC()
	s.MinSize, s.MaxSize = int64(r.number()), int64(r.number())
	s.Owner, s.Filename, s.Type, s.Checksum = r.text(), r.text(), r.text(), r.text()
	for len(r.rest) > 0 && !r.bad {
		s.Headers = append(s.Headers, Header{r.text(), r.text()})
	}
	if r.bad || s.MinSize < 0 || s.MaxSize < 0 {
		return nil, errMalformed
	}
	return s, nil
}

var errMalformed = errors.New("stamp: it ends too early or has a number out of range")

// reader takes a stamp apart; bad is set once that fails.
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
