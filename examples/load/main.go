// Load tests a service of this library and a real S3 server under full load. It
// uploads by PUT, by form and by multipart upload, completes each upload, and
// compares the stored bytes with the bytes that were sent. It also requests
// grants that clients do not use, and replaces the signing credentials during
// the test.
//
//	go run -C examples ./load -for 60s
//
// It prints a table. It returns an error if
//   - a request failed,
//   - an object differed from the bytes that were sent,
//   - an upload stayed in the bucket,
//   - memory grew, or
//   - a goroutine did not end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/s3presign/presign/examples/internal/arguments"
	"github.com/s3presign/presign/examples/internal/interrupt"
)

func main() {
	if err := run(interrupt.Context(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// visitors lists the kinds of visitors and their numbers.
var visitors = []struct {
	number int
	visit  func(*visitor, context.Context) error
}{{4, (*visitor).put}, {4, (*visitor).form}, {2, (*visitor).parts}, {2, (*visitor).ask}}

// run runs the load and prints the result.
func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	flags := flag.NewFlagSet("load", flag.ExitOnError)
	duration := flags.Duration("for", 10*time.Second, "`duration` of the load")
	_ = flags.Parse(args) // With ExitOnError it does not return an error.
	if err := arguments.None(flags); err != nil {
		return err
	}

	before, goroutines := goleak.IgnoreCurrent(), runtime.NumGoroutine()
	s, err := open(ctx, *duration/12)
	if err != nil {
		return err
	}
	result, err := s.load(ctx, *duration)
	if err := errors.Join(err, s.close()); err != nil {
		return err
	}
	left := goleak.Find(before)
	fmt.Fprintf(stdout, "%s, %d before and %d after\n", result, goroutines, runtime.NumGoroutine())
	return errors.Join(result.checkMemory(), left)
}

// load runs the visitors for a time. It does not measure the first sixth, which
// creates connections, buffers and caches.
func (s *service) load(ctx context.Context, duration time.Duration) (*result, error) {
	var all []*visitor
	visit := func(duration time.Duration) (heap uint64, err error) {
		end := time.Now().Add(duration)
		group, ctx := errgroup.WithContext(ctx)
		for _, v := range all {
			group.Go(func() error { return v.stay(ctx, end) })
		}
		err = group.Wait()
		return heapSize(), err
	}
	for _, kind := range visitors {
		for range kind.number {
			all = append(all, newVisitor(s, kind.visit))
		}
	}
	warm, err := visit(duration / 6)
	if err != nil {
		return nil, err
	}
	for _, v := range all {
		v.figures.reset()
	}
	started, completed := time.Now(), s.completed.Load()
	end, err := visit(duration - duration/6)
	if err != nil {
		return nil, err
	}
	r := &result{
		took: time.Since(started), warm: warm, end: end, sessions: s.sessions.count(),
		goroutines: runtime.NumGoroutine(), figures: newFigures(),
	}
	for _, v := range all {
		r.figures.merge(v.figures)
	}
	completed = s.completed.Load() - completed
	completions := r.figures[complete].TotalCount() + r.figures[join].TotalCount()
	if completed < completions {
		return nil, fmt.Errorf("the service must count %d completions, got %d",
			completions, completed)
	}
	return r, s.checkEmpty(ctx)
}

// heapSize returns the number of bytes in use.
func heapSize() uint64 {
	runtime.GC()
	runtime.GC() // The second collection frees the objects of pools.
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
