package completion

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash"
	"io"
	"sync"
	"time"

	"github.com/s3presign/presign/internal/objectstore"
)

// inspectTime is the limit for one inspection.
const inspectTime = 10 * time.Minute

// ErrNoInspector is returned for an upload whose grant requires an inspection, by
// an Engine that has none.
var ErrNoInspector = errors.New("presign: the grant requires an inspection, but this Signer has no WithInspect")

// An inspection is what the service has seen of an upload. It is nil if the
// service does not inspect.
type inspection struct {
	mu     sync.Mutex
	opened bool
	digest []byte // the SHA-256 of all bytes, if they were read
}

// hasDigest reports whether a copy must have the digest.
func (i *inspection) hasDigest() bool { return i != nil && i.digest != nil }

// inspect lets the service inspect a verified upload. If it returns an error, the
// upload must not be published.
func (c *completion) inspect(ctx context.Context, up *upload, final *publication, v verdict) (*inspection, error) {
	if c.Inspect == nil {
		if up.granted.Inspect {
			return nil, ErrNoInspector
		}
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, inspectTime)
	defer cancel()
	seen := new(inspection)
	object := c.newObject(up.Object, up.granted, v.detected)
	object.Source.seen = seen
	violations, err := c.Inspect(ctx, object)
	switch {
	case err != nil:
		return nil, err
	case len(violations) > 0:
		return nil, c.reject(context.WithoutCancel(ctx), up, violations...)
	}
	if err := readRest(ctx, up, object.Source); err != nil {
		return nil, err
	}
	return seen, c.confirmBoth(ctx, up, final)
}

// watch notes that the bytes are read, and their digest. It returns body itself
// if the upload is not being inspected.
func (i *inspection) watch(body io.ReadCloser) io.ReadCloser {
	if i == nil {
		return body
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.opened = true
	return &digestReader{ReadCloser: body, hash: sha256.New(), seen: i}
}

// digestReader notes the digest when all bytes have been read.
type digestReader struct {
	io.ReadCloser
	hash hash.Hash
	seen *inspection
}

func (r *digestReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.hash.Write(p[:n]) // It never fails.
	if err == io.EOF {
		r.seen.mu.Lock()
		defer r.seen.mu.Unlock()
		r.seen.digest = r.hash.Sum(nil)
	}
	return n, err
}

// readRest computes the digest of an upload that the service has read in part. A
// client may still replace such an upload with bytes of the same ETag, because an
// MD5 can be made to collide.
func readRest(ctx context.Context, up *upload, source *Source) error {
	seen := source.seen
	seen.mu.Lock()
	known := seen.digest != nil || !seen.opened
	if isImmutable(up) {
		seen.digest, known = nil, true
	}
	seen.mu.Unlock()
	if known {
		return nil
	}
	body, err := source.Open(ctx)
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := io.Copy(io.Discard, body); err != nil {
		return StoreError(err)
	}
	return nil
}

// confirmBoth returns a *changedError if the upload or the final key has changed
// during the inspection. Stores that honor the conditions of copies find that out
// themselves.
func (c *completion) confirmBoth(ctx context.Context, up *upload, final *publication) error {
	if c.HonorsConditions || c.Rules.FinalPrefix == "" {
		return nil
	}
	return inParallel(
		func() error {
			now, err := c.head(ctx, c.key, up.VersionID)
			if err == nil && (now == nil || !now.Same(up.Object)) {
				err = &changedError{"the upload was replaced while it was inspected"}
			}
			return err
		},
		func() error { return c.confirm(ctx, final) },
	)
}

// wasInspected reports whether a copy has the bytes that the service has seen.
func (c *completion) wasInspected(ctx context.Context, copied, made *objectstore.Object, seen *inspection) (bool, error) {
	if !seen.hasDigest() {
		return true, nil
	}
	want := base64.StdEncoding.EncodeToString(seen.digest)
	if got := made.Checksums["SHA256"]; got != "" && made.ChecksumType != "COMPOSITE" {
		return got == want, nil
	}
	body, err := c.Store.Open(ctx, copied) // The store computes no SHA-256.
	if err != nil {
		return false, StoreError(err)
	}
	defer body.Close()
	h := sha256.New()
	if _, err := io.Copy(h, body); err != nil {
		return false, StoreError(err)
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil)) == want, nil
}
