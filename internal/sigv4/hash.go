package sigv4

import (
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"hash"
	"sync"
)

// A state is the state of SHA-256 in the middle of a message, as crypto/sha256
// marshals it. So the common start of many messages is hashed once.
type state []byte

// hmacStates returns the two hashes of HMAC-SHA256 after the padded key.
//
// See https://www.rfc-editor.org/rfc/rfc2104#section-2.
func hmacStates(key []byte) (inner, outer state) {
	padded := func(pad byte) state {
		var block [sha256.BlockSize]byte
		copy(block[:], key) // The key is never longer than the block.
		for i := range block {
			block[i] ^= pad
		}
		h := newHasher()
		defer h.free()
		h.digest.Reset()
		h.digest.Write(block[:])
		return h.state()
	}
	return padded(0x36), padded(0x5c)
}

// A digest is the hash that crypto/sha256 returns.
type digest interface {
	hash.Hash
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

// A hasher holds the memory of one signature, which the next signature reuses.
type hasher struct {
	digest digest
	date   [dateSize]byte
	sum    [sha256.Size]byte
	buf    []byte
}

var hashers = sync.Pool{New: func() any { return &hasher{digest: sha256.New().(digest)} }}

func newHasher() *hasher { return hashers.Get().(*hasher) }

func (h *hasher) free() { hashers.Put(h) }

func (h *hasher) state() state {
	b, err := h.digest.AppendBinary(make([]byte, 0, 128))
	if err != nil {
		panic(err) // SHA-256 never fails to marshal.
	}
	return b
}

func (h *hasher) resume(s state) {
	if err := h.digest.UnmarshalBinary(s); err != nil {
		panic(err) // The state comes from the method state.
	}
}

// beginning hashes the start of the strings that k signs.
func (h *hasher) beginning(k *Key, b []byte) Beginning {
	h.resume(k.inner)
	h.digest.Write(b)
	return Beginning{h.state()}
}

// appendSignature appends the HMAC of a message in hexadecimal. Start is the
// state after the first part of the message, and rest is the second part.
func (h *hasher) appendSignature(dst []byte, k *Key, start state, rest []byte) []byte {
	h.resume(start)
	h.digest.Write(rest)
	sum := h.digest.Sum(h.sum[:0])
	h.resume(k.outer)
	h.digest.Write(sum)
	return hex.AppendEncode(dst, h.digest.Sum(h.sum[:0]))
}
