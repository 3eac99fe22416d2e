// Package sweep makes one pass over the uploads that no client has completed.
//
// Run lists the uploads and calls a Completer for each. The Completer decides
// what happens to an upload. Run limits the number of concurrent calls,
// continues after failures, and returns them. Several sweeps of one prefix may
// run at once, in one process or many, because a Completer returns nil for an
// upload that is gone.
package sweep

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/s3presign/presign/internal/grant"
	"github.com/s3presign/presign/internal/objectstore"
)

const (
	// minAge is the least age of an object that is swept. The client of a
	// younger object is probably about to complete it.
	minAge = time.Minute

	maxCalls    = 8  // concurrent calls of the Completer
	maxFailures = 20 // failures that Run returns; the others are counted
)

// A Store lists a bucket. A sequence ends after its first error.
type Store interface {
	Objects(ctx context.Context, prefix string) iter.Seq2[objectstore.Listed, error]
	Uploads(ctx context.Context, prefix string) iter.Seq2[objectstore.Started, error]
}

// A Completer ends uploads. Its methods are called concurrently. They return an
// error if the upload has not ended; later sweeps try again.
type Completer interface {
	// CompleteOrDelete ends the upload under a key. It returns nil after
	//
	//   - completing it, or rejecting and deleting it,
	//   - deleting it because its time to complete is over, or
	//   - leaving it alone because it is gone or has no stamp of ours.
	//
	// It must return an error for an object whose stamp does not open, and must
	// not delete it. It must delete exactly the object that it has read, since
	// the key might have another upload by now.
	CompleteOrDelete(ctx context.Context, key string) error

	// Abort aborts a multipart upload that can no longer be continued. It
	// returns nil if the upload is gone.
	Abort(ctx context.Context, key, id string) error
}

// Run makes one pass over the keys that start with prefix. It completes or
// deletes objects older than one minute and aborts multipart uploads older than
// seven days. It returns the first 20 failures joined, and the number of the
// others. If ctx ends first, Run waits for the running calls, and its error
// also wraps the cause.
func Run(ctx context.Context, store Store, prefix string, completer Completer) error {
	s := &sweep{ctx: ctx, slots: make(chan struct{}, maxCalls)}
	walk(s, store.Objects(ctx, prefix), func(o objectstore.Listed) func() error {
		if o.Age <= minAge {
			return nil
		}
		return func() error { return completer.CompleteOrDelete(ctx, o.Key) }
	})
	walk(s, store.Uploads(ctx, prefix), func(u objectstore.Started) func() error {
		if u.Age <= grant.MultipartLifetime {
			return nil
		}
		return func() error { return completer.Abort(ctx, u.Key, u.ID) }
	})
	s.running.Wait()
	return s.result()
}

// walk starts the call that callOf returns for each entry, unless it is nil.
func walk[V any](s *sweep, entries iter.Seq2[V, error], callOf func(V) func() error) {
	for entry, err := range entries {
		if err != nil {
			s.fail(err)
			return
		}
		if call := callOf(entry); call != nil && !s.start(call) {
			return
		}
	}
}

// A sweep is one pass.
type sweep struct {
	ctx     context.Context
	slots   chan struct{} // one for each running call
	running sync.WaitGroup

	mu          sync.Mutex
	failures    []error // at most maxFailures
	count       int     // the number of all failures
	interrupted bool    // ctx ended before the pass was complete
}

// start runs call as soon as a slot is free. It reports false if ctx ends
// first.
func (s *sweep) start(call func() error) bool {
	select {
	case <-s.ctx.Done():
	case s.slots <- struct{}{}:
	}
	if err := s.ctx.Err(); err != nil {
		s.fail(err)
		return false
	}
	s.running.Go(func() {
		defer func() { <-s.slots }()
		if err := call(); err != nil {
			s.fail(err)
		}
	})
	return true
}

// fail records a failure. It records the end of ctx once.
func (s *sweep) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ended := s.ctx.Err(); ended != nil && errors.Is(err, ended) {
		s.interrupted = true
		return
	}
	if s.count++; s.count <= maxFailures {
		s.failures = append(s.failures, err)
	}
}

// result joins the failures and the reason why the pass is not complete.
func (s *sweep) result() error {
	all := s.failures
	if more := s.count - len(s.failures); more > 0 {
		all = append(all, fmt.Errorf("sweep: %d more failures", more))
	}
	if s.interrupted {
		all = append(all, fmt.Errorf("sweep: interrupted: %w", context.Cause(s.ctx)))
	}
	return errors.Join(all...)
}
