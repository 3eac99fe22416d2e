package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/sweep"
)

// A kind is the kind of object that a Completer finds under a key.
type kind int

const (
	pending kind = iota // can be completed
	expired             // its time to complete is over
	foreign             // has no stamp of ours
	sealed              // has a stamp that no secret opens
	broken              // the store fails
)

// An object is an object in a bucket and the time at which it was stored.
type object struct {
	kind  kind
	since time.Time
}

var (
	errSealed = errors.New("the stamp does not open")
	errBroken = errors.New("the store fails")
)

// A bucket is a Store and a Completer in memory. A call takes one second.
type bucket struct {
	mu      sync.Mutex
	objects map[string]object
	uploads map[[2]string]time.Time // by key and ID

	// listed and listedUploads end the lists with an error after that many
	// entries, unless they are 0.
	listed, listedUploads int

	calls, running, most int
	completed, deleted   []string
	aborted              []string
}

func newBucket() *bucket {
	return &bucket{objects: make(map[string]object), uploads: make(map[[2]string]time.Time)}
}

func (b *bucket) put(key string, kind kind, age time.Duration) {
	b.objects[key] = object{kind, time.Now().Add(-age)}
}

func (b *bucket) start(key, id string, age time.Duration) {
	b.uploads[[2]string{key, id}] = time.Now().Add(-age)
}

// list yields the entries of a snapshot. It ends with an error after limit
// entries, unless limit is 0. The snapshot is the state of the bucket when the
// list starts, so entries might be gone when they are yielded.
func list[V any](ctx context.Context, entries []V, limit int) iter.Seq2[V, error] {
	return func(yield func(V, error) bool) {
		var none V
		for i, v := range entries {
			if ctx.Err() != nil {
				yield(none, fmt.Errorf("list: %w", ctx.Err()))
				return
			}
			if limit > 0 && i == limit {
				yield(none, fmt.Errorf("list: %w", errBroken))
				return
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}

func (b *bucket) Objects(ctx context.Context, prefix string) iter.Seq2[objectstore.Listed, error] {
	b.mu.Lock()
	defer b.mu.Unlock()
	var entries []objectstore.Listed
	for _, key := range slices.Sorted(maps.Keys(b.objects)) {
		if strings.HasPrefix(key, prefix) {
			entries = append(entries,
				objectstore.Listed{Key: key, Age: time.Since(b.objects[key].since)})
		}
	}
	return list(ctx, entries, b.listed)
}

func (b *bucket) Uploads(ctx context.Context, prefix string) iter.Seq2[objectstore.Started, error] {
	b.mu.Lock()
	defer b.mu.Unlock()
	var entries []objectstore.Started
	for u, since := range b.uploads {
		if strings.HasPrefix(u[0], prefix) {
			entries = append(entries,
				objectstore.Started{Key: u[0], ID: u[1], Age: time.Since(since)})
		}
	}
	slices.SortFunc(entries, func(x, y objectstore.Started) int {
		return strings.Compare(x.Key+x.ID, y.Key+y.ID)
	})
	return list(ctx, entries, b.listedUploads)
}

// call waits for a second, or until ctx ends, and counts the concurrent calls.
func (b *bucket) call(ctx context.Context) error {
	b.mu.Lock()
	b.calls++
	b.running++
	b.most = max(b.most, b.running)
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.running--
		b.mu.Unlock()
	}()
	select {
	case <-ctx.Done():
		return fmt.Errorf("call: %w", ctx.Err())
	case <-time.After(time.Second):
		return nil
	}
}

func (b *bucket) CompleteOrDelete(ctx context.Context, key string) error {
	if err := b.call(ctx); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	o, ok := b.objects[key]
	switch {
	case !ok:
		return nil
	case o.kind == sealed:
		return fmt.Errorf("%s: %w", key, errSealed)
	case o.kind == broken:
		return fmt.Errorf("%s: %w", key, errBroken)
	case o.kind == pending:
		b.completed = append(b.completed, key)
		delete(b.objects, key)
	case o.kind == expired:
		b.deleted = append(b.deleted, key)
		delete(b.objects, key)
	}
	return nil
}

func (b *bucket) Abort(ctx context.Context, key, id string) error {
	if err := b.call(ctx); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.uploads[[2]string{key, id}]; !ok {
		return nil
	}
	if id == "broken" {
		return fmt.Errorf("%s: %w", id, errBroken)
	}
	delete(b.uploads, [2]string{key, id})
	b.aborted = append(b.aborted, id)
	return nil
}

const (
	minute = time.Minute
	week   = 7 * 24 * time.Hour
)

// TestRun checks that a sweep ends the uploads that are due, keeps all others,
// and returns the failures.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		b.put("in/pending", pending, minute+1)
		b.put("in/expired", expired, week)
		b.put("in/foreign", foreign, week)
		b.put("in/sealed", sealed, week)
		b.put("in/broken", broken, week)
		b.put("in/young", pending, minute)
		b.put("in/new", expired, 0)
		b.put("in/future", pending, -week) // by another clock
		b.put("out/published", pending, week)
		b.start("in/a", "old", week+1)
		b.start("in/a", "live", week)
		b.start("in/a", "broken", week+1)
		b.start("in/b", "old too", week+1)
		b.start("out/c", "copy", 2*week)
		err := sweep.Run(t.Context(), b, "in/", b)
		require.ElementsMatch(t,
			[]string{
				"in/broken: the store fails", "in/sealed: the stamp does not open",
				"broken: the store fails",
			},
			strings.Split(err.Error(), "\n"))
		require.ErrorIs(t, err, errSealed)
		require.ErrorIs(t, err, errBroken)
		require.Equal(t, []string{"in/pending"}, b.completed)
		require.Equal(t, []string{"in/expired"}, b.deleted)
		slices.Sort(b.aborted)
		require.Equal(t, []string{"old", "old too"}, b.aborted)
		require.Equal(t, []string{
			"in/broken", "in/foreign", "in/future", "in/new", "in/sealed", "in/young",
			"out/published",
		}, slices.Sorted(maps.Keys(b.objects)))
		require.Equal(t, 8, b.calls)

		delete(b.objects, "in/sealed")
		delete(b.objects, "in/broken")
		delete(b.uploads, [2]string{"in/a", "broken"})
		require.NoError(t, sweep.Run(t.Context(), b, "in/", b))
		require.Len(t, b.completed, 2, "in/young is old enough by now")
	})
}

// TestRunBoundsCalls checks that eight calls run at once, and no more.
func TestRunBoundsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		for i := range 80 {
			b.put(fmt.Sprintf("in/%d", i), pending, week)
			b.start("in/a", fmt.Sprint(i), 2*week)
		}
		started := time.Now()
		require.NoError(t, sweep.Run(t.Context(), b, "in/", b))
		require.Equal(t, 20*time.Second, time.Since(started))
		require.Equal(t, 8, b.most)
		require.Len(t, b.completed, 80)
		require.Len(t, b.aborted, 80)
	})
}

// TestRunContinues checks that a sweep continues after failures, and that it
// returns a bounded number of them.
func TestRunContinues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		for i := range 500 {
			b.put(fmt.Sprintf("in/%03d", i), []kind{broken, pending}[i%2], week)
		}
		err := sweep.Run(t.Context(), b, "in/", b)
		require.Len(t, b.completed, 250)
		lines := strings.Split(err.Error(), "\n")
		require.Len(t, lines, 21)
		require.Equal(t, "sweep: 230 more failures", lines[20])
		require.ErrorIs(t, err, errBroken)
	})
}

// TestRunListFails checks that the failure of one list does not end the other
// list.
func TestRunListFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		b.listed, b.listedUploads = 3, 2
		for i := range 5 {
			b.put(fmt.Sprintf("in/%d", i), pending, week)
			b.start("in/a", fmt.Sprint(i), 2*week)
		}
		require.EqualError(t, sweep.Run(t.Context(), b, "in/", b),
			"list: the store fails\nlist: the store fails")
		require.Len(t, b.completed, 3)
		require.Len(t, b.aborted, 2)
	})
}

// TestRunTwice checks that two concurrent sweeps end every upload once, without
// errors.
func TestRunTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		var want []string
		for i := range 100 {
			key := fmt.Sprintf("in/%03d", i)
			want = append(want, key)
			b.put(key, pending, week)
			b.start(key, key, 2*week)
		}
		errs := make(chan error)
		for range 2 {
			go func() { errs <- sweep.Run(t.Context(), b, "in/", b) }()
		}
		require.NoError(t, <-errs)
		require.NoError(t, <-errs)
		slices.Sort(b.completed)
		require.Equal(t, want, b.completed)
		slices.Sort(b.aborted)
		require.Equal(t, want, b.aborted)
		require.Equal(t, 16, b.most)
		require.Empty(t, b.objects)
		require.Empty(t, b.uploads)
	})
}

// TestRunInterrupted checks that a sweep whose context ends starts no more
// calls, waits for the running calls, and returns the cause once.
func TestRunInterrupted(t *testing.T) {
	cause := errors.New("shutting down")
	for name, when := range map[string]struct {
		after time.Duration
		calls int
	}{
		"before": {0, 0}, "objects": {2500 * time.Millisecond, 24},
		"uploads": {4500 * time.Millisecond, 40},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBucket()
				for i := range 32 {
					b.put(fmt.Sprintf("in/%d", i), pending, week)
					b.start("in/a", fmt.Sprint(i), 2*week)
				}
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(when.after, func() { cancel(cause) })
				synctest.Wait()
				err := sweep.Run(ctx, b, "in/", b)
				require.EqualError(t, err, "sweep: interrupted: shutting down")
				require.ErrorIs(t, err, cause)
				require.Zero(t, b.running)
				require.Equal(t, when.calls, b.calls)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		b.put("in/1", broken, week)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second+1, cancel)
		require.EqualError(t, sweep.Run(ctx, b, "in/", b), "in/1: the store fails",
			"the pass was complete")
		require.Equal(t, 1, b.calls)
	})
}
