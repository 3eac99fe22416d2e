// Package seal turns short payloads into URL-safe text that only a holder of
// the secret can create or read.
//
// The text is a version character and the result of XAES-256-GCM in unpadded
// base64url. That result is a nonce of 24 random bytes, the encrypted payload,
// and a tag of 16 bytes. The first half of the nonce derives a key, which seals
// up to 2¹⁶ texts. Then another key is derived. So two of 2⁴⁸ texts have the
// same nonce with a probability of at most 2⁻³³. A reader of several texts can
// recognize texts that one process sealed at about the same time.
//
// See https://c2sp.org/XAES-256-GCM.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	// MinSecret is the smallest length of a secret in bytes.
	MinSecret = 32

	// MaxPayload is the largest length of a payload in bytes.
	MaxPayload = 4 << 10

	// version is the first character of each text and part of the derivation of
	// keys. Every format has its own letter.
	version = "A"

	keySize   = 32
	nonceSize = saltSize + 12 // the salt, which derives a key, and the nonce of GCM
	saltSize  = 12
	saltTexts = 1 << 16 // the largest number of texts with one salt
	tagSize   = 16
	overhead  = nonceSize + tagSize
)

// ErrInvalid is returned for every text that does not open. It does not contain
// the reason.
var ErrInvalid = errors.New("seal: the text was not sealed here for this purpose")

// encoding rejects stray bits after the last byte, so that two texts never hold
// the same seal.
var encoding = base64.RawURLEncoding.Strict()

// A Keyring seals with its first secret and opens with each of its secrets. It
// is safe for concurrent use.
type Keyring struct {
	keys    []*key
	sealing atomic.Pointer[sealer]
}

// New returns the Keyring of secrets, each of at least MinSecret random bytes.
// A text opens only in a Keyring with the same context: any strings, in the
// same order. New reports all faults at once. No error contains a secret.
func New(secrets [][]byte, context ...string) (*Keyring, error) {
	if len(secrets) == 0 {
		return nil, errors.New("there must be at least one key")
	}
	k := &Keyring{keys: make([]*key, len(secrets))}
	var faults []error
	info := string(appendStrings([]byte("github.com/s3presign/presign/internal/seal "), version, context))
	for i, secret := range secrets {
		switch {
		case len(secret) == 0: // The usual reason is an unset environment variable.
			faults = append(faults,
				fmt.Errorf("key %d must have at least %d random bytes, got none", i+1, MinSecret))
			continue
		case len(secret) < MinSecret:
			faults = append(faults, fmt.Errorf("key %d must have at least %d random bytes, got %d",
				i+1, MinSecret, len(secret)))
			continue
		case !slices.ContainsFunc(secret, func(b byte) bool { return b != secret[0] }):
			faults = append(faults, fmt.Errorf("key %d must be random, got one byte repeated", i+1))
			continue
		}
		k.keys[i] = newKey(must(hkdf.Key(sha256.New, secret, nil, info, keySize)))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return k, nil
}

// Seal returns a payload as text. Open returns the payload for the same purpose
// and binding only. The text contains neither the purpose nor the binding. Seal
// panics if the payload is longer than MaxPayload.
func (k *Keyring) Seal(purpose string, payload []byte, bind ...string) string {
	if len(payload) > MaxPayload {
		panic(fmt.Sprintf("seal: the payload must have at most %d bytes, got %d",
			MaxPayload, len(payload)))
	}
	s := k.nextSealer()
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	// The buffer holds the sealed bytes, then the text, then the associated
	// data.
	sealed := overhead + len(payload)
	text := len(version) + encoding.EncodedLen(sealed)
	*buffer = slices.Grow((*buffer)[:0], sealed+text+stringsLen(purpose, bind))
	b := append(*buffer, s.salt[:]...)
	aad := appendStrings(b[sealed+text:sealed+text], purpose, bind)
	// The payload is copied because an argument of an interface method escapes
	// to the heap, and the caller's payload can then stay on the stack.
	plain := append(b, payload...)[saltSize:]
	s.aead.Seal(plain[:0], nil, plain, aad)
	b = encoding.AppendEncode(append(b[:sealed], version...), b[:sealed])
	return string(b[sealed:])
}

// buffers holds the memory in which texts are assembled.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// A sealer seals texts whose nonces start with the same salt.
type sealer struct {
	salt [saltSize]byte
	aead cipher.AEAD
	used atomic.Int64
}

// nextSealer returns a sealer that has not yet sealed too many texts.
func (k *Keyring) nextSealer() *sealer {
	s := k.sealing.Load()
	if s == nil || s.used.Add(1) > saltTexts {
		s = new(sealer)
		rand.Read(s.salt[:]) // rand.Read never fails.
		s.aead = k.keys[0].aead(s.salt[:])
		s.used.Store(1)
		k.sealing.Store(s)
	}
	return s
}

// Open returns the payload of a sealed text, or ErrInvalid.
func (k *Keyring) Open(purpose, sealed string, bind ...string) ([]byte, error) {
	text, ok := strings.CutPrefix(sealed, version)
	if !ok || len(text) < encoding.EncodedLen(overhead) || len(text) > encoding.EncodedLen(overhead+MaxPayload) ||
		strings.ContainsAny(text, "\r\n") { // Package base64 skips line breaks.
		return nil, ErrInvalid
	}
	b, err := encoding.DecodeString(text)
	if err != nil {
		return nil, ErrInvalid
	}
	aad := appendStrings(make([]byte, 0, stringsLen(purpose, bind)), purpose, bind)
	for _, key := range k.keys {
		// A failed attempt wipes its output, so the output must not be the
		// input.
		if payload, err := key.aead(b[:saltSize]).Open(nil, nil, b[saltSize:], aad); err == nil {
			return payload, nil
		}
	}
	return nil, ErrInvalid
}

// A key is a key of XAES-256-GCM with the values that depend on the key alone.
type key struct {
	block  cipher.Block
	subkey [aes.BlockSize]byte // K1 of CMAC, NIST SP 800-38B
}

func newKey(b []byte) *key {
	k := &key{block: must(aes.NewCipher(b))}
	k.block.Encrypt(k.subkey[:], k.subkey[:])
	// The subkey is the encrypted zero block, doubled in GF(2¹²⁸).
	var carry byte
	for i, c := range slices.Backward(k.subkey[:]) {
		k.subkey[i] = c<<1 | carry
		carry = c >> 7
	}
	k.subkey[aes.BlockSize-1] ^= carry * 0b10000111
	return k
}

// aead returns the cipher of messages whose nonces start with salt. The cipher
// generates the rest of each nonce and writes it before the sealed bytes. Its
// key is the CMAC of two counter blocks, NIST SP 800-108.
func (k *key) aead(salt []byte) cipher.AEAD {
	derived := make([]byte, keySize)
	for i := range byte(2) {
		block := derived[i*aes.BlockSize:][:aes.BlockSize]
		block[1], block[2] = i+1, 'X'
		copy(block[4:], salt)
		for j := range block {
			block[j] ^= k.subkey[j]
		}
		k.block.Encrypt(block, block)
	}
	return must(cipher.NewGCMWithRandomNonce(must(aes.NewCipher(derived))))
}

// must returns v. The wrapped functions fail only for keys of a wrong size, but
// the keys here have the right size.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// appendStrings appends first and rest, each after its length, so that no two
// lists have the same bytes.
func appendStrings(b []byte, first string, rest []string) []byte {
	b = append(binary.AppendUvarint(b, uint64(len(first))), first...)
	for _, s := range rest {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

// stringsLen returns an upper bound of the bytes that appendStrings adds, for
// strings of a sensible length.
func stringsLen(first string, rest []string) int {
	n := 2 + len(first)
	for _, s := range rest {
		n += 2 + len(s)
	}
	return n
}

// IsText reports whether s has the form of a sealed text, no matter which
// secret sealed it.
func IsText(s string) bool {
	text, ok := strings.CutPrefix(s, version)
	if !ok || len(text) < encoding.EncodedLen(overhead) {
		return false
	}
	_, err := encoding.DecodeString(text)
	return err == nil
}

// Fingerprint returns 8 hex digits of a hash of secrets. Two processes with the
// same secrets have the same fingerprint.
func Fingerprint(secrets [][]byte) string {
	h := sha256.New()
	for _, secret := range secrets {
		derived := must(hkdf.Key(sha256.New, secret, nil,
			"github.com/s3presign/presign/internal/seal fingerprint", keySize))
		h.Write(derived)
	}
	return hex.EncodeToString(h.Sum(nil)[:4])
}
