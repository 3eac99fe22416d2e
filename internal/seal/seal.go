// Package seal turns short payloads into URL-safe text that only a holder of the secret can make or read.
//
// The text is a version character and the unpadded base64url form of XAES-256-GCM: a nonce of 24 random bytes, the
// encrypted payload, a tag of 16 bytes. The nonce's first half makes a key of its own, which seals up to 2¹⁶ texts before
// there is another. So of 2⁴⁸ texts two have the same nonce with a probability of 2⁻³³ at most. Who sees several texts sees
// which of them one process has sealed at about one time.
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
	// MinSecret is the least length of a secret in bytes.
	MinSecret = 32

	// MaxPayload is the greatest length of a payload in bytes.
	MaxPayload = 4 << 10

	// version begins each text, and goes into the derivation of keys: another format is another letter.
	version = "A"

	keySize   = 32
	nonceSize = saltSize + 12 // what derives the key of one message, and that message's GCM nonce
	saltSize  = 12
	saltTexts = 1 << 16 // that are sealed with one salt
	tagSize   = 16
	overhead  = nonceSize + tagSize
)

// ErrInvalid is all that Open says of a text that does not open.
var ErrInvalid = errors.New("seal: the text was not sealed here for this purpose")

// encoding refuses stray bits behind the last byte, so that two texts never hold the same seal.
var encoding = base64.RawURLEncoding.Strict()

// Keyring seals with its first secret and opens with each. It is safe for concurrent use.
type Keyring struct {
	keys    []*key
	sealing atomic.Pointer[sealer]
}

// New returns the keyring of secrets of at least MinSecret random bytes each. What one keyring seals opens only in
// another of the same context: any strings, in the same order. New reports all faults at once and never shows a secret.
func New(secrets [][]byte, context ...string) (*Keyring, error) {
	if len(secrets) == 0 {
		return nil, errors.New("there must be at least one key")
	}
	k := &Keyring{keys: make([]*key, len(secrets))}
	var faults []error
	info := string(appendStrings([]byte("github.com/s3presign/presign/internal/seal "), version, context))
	for i, secret := range secrets {
		switch {
		case len(secret) == 0: // A variable of the environment that is not set, most often.
			faults = append(faults, fmt.Errorf("key %d is empty; it needs at least %d random bytes", i+1, MinSecret))
			continue
		case len(secret) < MinSecret:
			faults = append(faults, fmt.Errorf("key %d must have at least %d random bytes, got %d", i+1, MinSecret, len(secret)))
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

// Seal returns a payload as text that Open returns for the same purpose and binding, and for no other. Neither is part
// of the text. Seal panics if the payload is longer than MaxPayload.
func (k *Keyring) Seal(purpose string, payload []byte, bind ...string) string {
	if len(payload) > MaxPayload {
		panic(fmt.Sprintf("seal: a payload of %d bytes; at most %d are sealed", len(payload), MaxPayload))
	}
	s := k.sealer()
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	// It holds the sealed bytes, then the text, then the associated data.
	sealed := overhead + len(payload)
	text := len(version) + encoding.EncodedLen(sealed)
	*buffer = slices.Grow((*buffer)[:0], sealed+text+stringsLen(purpose, bind))
	b := append(*buffer, s.salt[:]...)
	aad := appendStrings(b[sealed+text:sealed+text], purpose, bind)
	// The payload is copied, since what an interface gets cannot stay on the caller's stack.
	plain := append(b, payload...)[saltSize:]
	s.aead.Seal(plain[:0], nil, plain, aad)
	b = encoding.AppendEncode(append(b[:sealed], version...), b[:sealed])
	return string(b[sealed:])
}

// buffers are where texts are put together.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// sealer seals texts that have the first part of their nonce in common.
type sealer struct {
	salt [saltSize]byte
	aead cipher.AEAD
	used atomic.Int64
}

// sealer returns one that has not sealed too much yet.
func (k *Keyring) sealer() *sealer {
	s := k.sealing.Load()
	if s == nil || s.used.Add(1) > saltTexts {
		s = new(sealer)
		rand.Read(s.salt[:]) // never fails
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
		strings.ContainsAny(text, "\r\n") { // which package base64 skips
		return nil, ErrInvalid
	}
	b, err := encoding.DecodeString(text)
	if err != nil {
		return nil, ErrInvalid
	}
	aad := appendStrings(make([]byte, 0, stringsLen(purpose, bind)), purpose, bind)
	for _, key := range k.keys {
		// A failed attempt wipes its output, so it is not the input.
		if payload, err := key.aead(b[:saltSize]).Open(nil, nil, b[saltSize:], aad); err == nil {
			return payload, nil
		}
	}
	return nil, ErrInvalid
}

// key is a key of XAES-256-GCM with what follows from it alone.
type key struct {
	block  cipher.Block
	subkey [aes.BlockSize]byte // K1 of CMAC, NIST SP 800-38B
}

func newKey(b []byte) *key {
	k := &key{block: must(aes.NewCipher(b))}
	k.block.Encrypt(k.subkey[:], k.subkey[:])
	// Doubled in GF(2¹²⁸).
	var carry byte
	for i, c := range slices.Backward(k.subkey[:]) {
		k.subkey[i] = c<<1 | carry
		carry = c >> 7
	}
	k.subkey[aes.BlockSize-1] ^= carry * 0b10000111
	return k
}

// aead returns the cipher of the messages whose nonces begin with salt. It makes up the rest of each nonce and puts it
// before what it seals. Its key is the CMAC of two counter blocks, NIST SP 800-108.
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

// must returns v. What it wraps fails for keys of a wrong size only, and ours have the right one.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// appendStrings appends first and rest, each behind its length, so that no two lists are alike.
func appendStrings(b []byte, first string, rest []string) []byte {
	b = append(binary.AppendUvarint(b, uint64(len(first))), first...)
	for _, s := range rest {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

// stringsLen returns how many bytes appendStrings adds at most, for strings of any sensible length.
func stringsLen(first string, rest []string) int {
	n := 2 + len(first)
	for _, s := range rest {
		n += 2 + len(s)
	}
	return n
}

// IsText reports whether s has the form of a sealed text, whoever sealed it.
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
		derived := must(hkdf.Key(sha256.New, secret, nil, "github.com/s3presign/presign/internal/seal fingerprint", keySize))
		h.Write(derived)
	}
	return hex.EncodeToString(h.Sum(nil)[:4])
}
