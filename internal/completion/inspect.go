package completion

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/stamp"
)

// inspectTime is the limit for one inspection.
const inspectTime = 10 * time.Minute

// ErrNoInspector is returned if the grant of an upload requires an inspection,
// but the Engine has no Inspect function.
var ErrNoInspector = errors.New(
	"presign: the grant requires an inspection, but this Signer has no WithInspect")

// An inspection records what the service has read of an upload that a client
// can replace. It is nil for other uploads, and if the service does not
// inspect.
//
// A client can replace an upload with bytes of the same ETag, because MD5s can
// be made to collide. So all bytes that the service reads, and the copy, must
// belong to one file.
type inspection struct {
	mu      sync.Mutex
	over    bool
	readers []*digestReader

	// digest is the SHA-256 of the file, or nil if the service has read
	// nothing. It is set when the inspection is over.
	digest []byte
}

// hasDigest reports whether a copy must have the digest.
func (i *inspection) hasDigest() bool { return i != nil && i.digest != nil }

// inspect lets the service inspect a verified upload. If it returns an error,
// the upload must not be published.
func (c *completion) inspect(
	ctx context.Context, up *upload, final *publication, v verdict,
) (*inspection, error) {
	if c.Inspect == nil {
		if up.granted.Inspect {
			return nil, ErrNoInspector
		}
		return nil, nil
	}
	if err := c.checkOtherCopy(ctx, up); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, inspectTime)
	defer cancel()
	var seen *inspection
	if c.isReplaceable(up) {
		seen = new(inspection)
	}
	object := c.newObject(up.Object, up.granted, v.detected)
	object.Source.seen = seen
	violations, err := c.Inspect(ctx, object)
	if err == nil && len(violations) == 0 {
		err = seen.end(ctx, up, object.Source)
	}
	switch {
	case errors.Is(err, ErrChanged):
		return nil, &changedError{"the upload was replaced while it was inspected"}
	case err != nil:
		// An inspection can be pending for days.
		return nil, cmp.Or(c.deleteTorn(context.WithoutCancel(ctx)), err)
	case len(violations) > 0:
		return nil, c.reject(context.WithoutCancel(ctx), up, violations...)
	}
	return seen, c.confirmBoth(ctx, up, final)
}

// isReplaceable reports whether a client might replace an upload: some stores
// ignore the condition of a write-once PUT. A multipart upload with a random
// key cannot be replaced: its key has only this upload, which does not change
// once it is complete.
func (c *completion) isReplaceable(up *upload) bool {
	switch {
	case up.Pinned(), c.HonorsConditions && isImmutable(up),
		up.granted.Method == stamp.Multipart && up.granted.Random:
		return false
	}
	return true
}

// watch returns a reader that records the bytes that are read from body. It
// returns body itself if no inspection is running.
func (i *inspection) watch(body io.ReadCloser) io.ReadCloser {
	if i == nil {
		return body
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over {
		return body
	}
	r := &digestReader{body: body, hash: sha256.New()}
	i.readers = append(i.readers, r)
	return r
}

// A digestReader records how many bytes were read, their digest, and whether
// the end of the file was reached.
type digestReader struct {
	body io.ReadCloser

	mu   sync.Mutex
	hash hash.Hash
	read prefix
}

// A prefix is the beginning of a file.
type prefix struct {
	n     int64
	sum   string // its SHA-256
	whole bool
}

// Read implements io.Reader.
func (r *digestReader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hash.Write(p[:n]) // A hash never returns an error.
	r.read.n += int64(n)
	r.read.whole = r.read.whole || err == io.EOF
	return n, err
}

// Close implements io.Closer.
func (r *digestReader) Close() error { return r.body.Close() }

// prefix returns the prefix that has been read.
func (r *digestReader) prefix() prefix {
	r.mu.Lock()
	defer r.mu.Unlock()
	read := r.read
	read.sum = string(r.hash.Sum(nil))
	return read
}

// end ends an inspection and sets the digest. It returns a *changedError if the
// service has read bytes of different files. Later reads are not recorded.
func (i *inspection) end(ctx context.Context, up *upload, source *Source) error {
	if i == nil {
		return nil
	}
	i.mu.Lock()
	i.over = true
	i.mu.Unlock()
	var parts []prefix
	for _, r := range i.readers {
		switch p := r.prefix(); {
		case p.whole && i.digest == nil:
			i.digest = []byte(p.sum)
		case p.whole && p.sum != string(i.digest):
			return errMixed
		case !p.whole && p.n > 0:
			parts = append(parts, p)
		}
	}
	if len(parts) == 0 {
		return nil
	}
	slices.SortFunc(parts, func(a, b prefix) int { return cmp.Compare(a.n, b.n) })
	// The copy is also compared with this beginning. Longer prefixes can only
	// be compared if the file is read again.
	if longest := parts[len(parts)-1].n; i.digest != nil && longest <= int64(len(up.beginning)) {
		return comparePrefixes(bytes.NewReader(up.beginning), sha256.New(), parts)
	}
	digest, err := readOnce(ctx, source, parts)
	if err == nil && i.digest != nil && !bytes.Equal(i.digest, digest) {
		err = errMixed
	}
	i.digest = digest
	return err
}

var errMixed = &changedError{"the upload was replaced while it was inspected"}

// readOnce returns the digest of an upload. It returns errMixed if the upload
// does not start with each of the prefixes.
func readOnce(ctx context.Context, source *Source, prefixes []prefix) ([]byte, error) {
	body, err := source.open(ctx)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	h := sha256.New()
	if err := comparePrefixes(body, h, prefixes); err != nil {
		return nil, err
	}
	if _, err := io.Copy(h, body); err != nil {
		return nil, StoreError(err)
	}
	return h.Sum(nil), nil
}

// comparePrefixes reads a file into a hash and compares the file with prefixes,
// which must be sorted by length.
func comparePrefixes(file io.Reader, h hash.Hash, prefixes []prefix) error {
	var n int64
	for _, p := range prefixes {
		if _, err := io.CopyN(h, file, p.n-n); err != nil {
			return StoreError(err)
		}
		if n = p.n; string(h.Sum(nil)) != p.sum {
			return errMixed
		}
	}
	return nil
}

// confirmBoth returns a *changedError if the upload or the final key has
// changed during the inspection. Stores that honor the conditions of copies
// make this check themselves.
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

// wasInspected reports whether a copy has the bytes that the service inspected.
func (c *completion) wasInspected(
	ctx context.Context, copied, made *objectstore.Object, seen *inspection,
) (bool, error) {
	if !seen.hasDigest() {
		return true, nil
	}
	want := base64.StdEncoding.EncodeToString(seen.digest)
	if got := made.Checksums["SHA256"]; got != "" && made.ChecksumType != "COMPOSITE" {
		return got == want, nil
	}
	// The store returned no SHA-256 of the whole copy.
	body, err := c.Store.Open(ctx, copied)
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
