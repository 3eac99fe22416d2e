package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/s3presign/presign"
)

// A scanner inspects uploads. Pass its method inspect to WithInspect.
//
// An inspection waits for its scan. If the scan takes longer than wait, the
// inspection returns ErrPending. The scan continues, and a later inspection of
// the same upload returns its result.
type scanner struct {
	scan   func(context.Context, io.Reader) (found string, err error)
	wait   time.Duration
	limit  time.Duration // the longest time of one scan
	keep   time.Duration // the time for which a result is kept
	pixels int64         // the number of pixels that a picture can have

	ctx    context.Context // the context of all scans
	cancel context.CancelFunc
	group  sync.WaitGroup
	slots  chan struct{} // holds a value for each running scan

	mu    sync.Mutex
	scans map[version]*result
}

// newScanner returns a scanner that scans up to parallel uploads at a time.
func newScanner(
	scan func(context.Context, io.Reader) (string, error), wait time.Duration, pixels int64,
	parallel int,
) *scanner {
	s := &scanner{
		scan: scan, wait: wait, limit: 30 * time.Minute, keep: 15 * time.Minute, pixels: pixels,
		slots: make(chan struct{}, parallel), scans: map[version]*result{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// close stops all scans and waits for their end.
func (s *scanner) close() {
	s.cancel()
	s.group.Wait()
}

// A version identifies an upload and its content, unless two contents have the
// same MD5.
type version struct{ grantID, etag, versionID string }

// A result is the outcome of a scan.
type result struct {
	done chan struct{} // closed after the other fields are set
	sum  [sha256.Size]byte
	err  error // nil, a Violation or a failure
}

// inspect waits for the scan of an upload and returns its result.
func (s *scanner) inspect(ctx context.Context, o *presign.Object) error {
	timer := time.NewTimer(s.wait)
	defer timer.Stop()
	v := version{o.GrantID, o.ETag, o.VersionID}
	r, started := s.find(v), false
	if r == nil {
		select {
		case s.slots <- struct{}{}:
			r, started = s.start(v, o)
		case <-timer.C:
			return presign.ErrPending
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	select {
	case <-r.done:
	case <-timer.C:
		return presign.ErrPending
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s.forget(v, r)
	if r.err == nil && !started {
		return confirm(ctx, o, r.sum)
	}
	return r.err
}

// confirm verifies that an upload still has the digest of its scan, which an
// earlier inspection has started. The client might have replaced the scanned
// bytes with other bytes of the same MD5, and so of the same ETag. The
// completion compares the bytes that confirm reads with the published copy.
func confirm(ctx context.Context, o *presign.Object, sum [sha256.Size]byte) error {
	body, err := o.Open(ctx)
	if err != nil {
		return err
	}
	defer body.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, body); err != nil {
		return err
	}
	if [sha256.Size]byte(hash.Sum(nil)) != sum {
		return presign.ErrChanged // The completion starts again, with another scan.
	}
	return nil
}

// find returns the scan of a version, or nil.
func (s *scanner) find(v version) *result {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.scans[v]
}

// forget removes the scan of a version.
func (s *scanner) forget(v version, r *result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.scans[v] == r {
		delete(s.scans, v)
	}
}

// start starts a scan, unless one has already been started. The caller must
// have acquired a slot, which start or the scan releases.
func (s *scanner) start(v version, o *presign.Object) (_ *result, started bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.scans[v]; r != nil {
		<-s.slots
		return r, false
	}
	r := &result{done: make(chan struct{})}
	s.scans[v] = r
	s.group.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, s.limit)
		defer cancel()
		r.sum, r.err = s.examine(ctx, o)
		close(r.done)
		<-s.slots
		time.AfterFunc(s.keep, func() { s.forget(v, r) })
	})
	return r, true
}

// examine reads an upload once. It checks the number of pixels, scans for
// viruses, and returns the digest.
func (s *scanner) examine(
	ctx context.Context, o *presign.Object,
) (sum [sha256.Size]byte, err error) {
	// The decoders read untrusted bytes in a separate goroutine, where the
	// library does not recover from panics.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("scan: a decoder panicked: %v", p)
		}
	}()
	body, err := o.Open(ctx)
	if err != nil {
		return sum, err
	}
	defer body.Close()
	hash := sha256.New()
	content, err := limitPixels(io.TeeReader(body, hash), o.Type, s.pixels)
	if err != nil {
		return sum, err
	}
	found, err := s.scan(ctx, content)
	if err == nil && found != "" {
		err = rejection(found)
	}
	return [sha256.Size]byte(hash.Sum(nil)), err
}

// rejection returns the Violation for a signature that clamd has found.
func rejection(found string) *presign.Violation {
	// clamd also reports files that it cannot scan, with these signatures.
	for _, prefix := range []string{"Heuristics.Limits.Exceeded", "Heuristics.Encrypted"} {
		if strings.HasPrefix(found, prefix) {
			return &presign.Violation{
				Field: "content", Code: "not_scannable",
				Detail: "must be a file that can be scanned, got " + found,
			}
		}
	}
	return &presign.Violation{
		Field: "content", Code: "infected", Detail: "must be free of malware, got " + found,
	}
}
