package completion

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/stamp"
)

const (
	// maxDetached is how many completions may run without a waiting caller.
	maxDetached = 64

	// keepTime is how long the outcome of a completion is kept for a client
	// that received ErrPending.
	keepTime = 2 * time.Minute
)

// ErrPending is returned if the outcome is not known yet: the service inspects
// the upload, or the completion continues in the background.
var ErrPending = errors.New("presign: the completion is still running; ask again")

// ErrBusy is returned if too many completions run in the background.
var ErrBusy = errors.New(
	"presign: too many completions are running in the background; try again later")

// errExited is returned if a function of the service has ended its goroutine,
// as testing.T.FailNow does.
var errExited = errors.New("presign: the completion was ended by runtime.Goexit")

// ErrEarly is the cause of a context that ends because its caller stops
// waiting, although the client has not left. Join then returns an error that
// wraps ErrPending, and the outcome is kept.
var ErrEarly = errors.New("the caller stops waiting")

// An EarlyError is returned to a caller that stops waiting for a flight. Joined
// reports whether the flight is marked: the flight of a multipart upload is
// marked when the store has joined its parts.
type EarlyError struct{ Joined bool }

func (e *EarlyError) Error() string { return ErrPending.Error() }
func (e *EarlyError) Unwrap() error { return ErrPending }

// Flights holds the running completions. Concurrent calls for one grant share
// one flight, which continues after its callers have left. The zero value is
// ready for use.
type Flights struct {
	// Logger receives the errors of flights for which no caller waits, and the
	// stacks of flights that panicked. It may be nil.
	Logger *slog.Logger

	mu       sync.Mutex
	keys     map[string]*keyState
	running  int
	detached int // flights without a waiting caller

	// idle is closed when running becomes 0. It is nil until a caller waits.
	idle chan struct{}
}

// A keyState holds the calls and flights of one key.
type keyState struct {
	active  int // calls between Enter and leave
	flights map[flightID]*Flight
}

// A flightID identifies a flight among the flights of its key.
type flightID struct {
	grant     [16]byte
	multipart bool
}

// A Ticket describes the flight that a caller joins.
type Ticket struct {
	Key     string
	Granted *stamp.Stamp

	// Upload is the object that the caller has found, or nil. If a client has
	// uploaded another object since, the outcome of an ended flight does not
	// apply to that object.
	Upload *objectstore.Object

	// Multipart is set for a flight that joins the parts of a multipart upload
	// and then waits for the flight of their object.
	Multipart bool

	// Nested is set if the caller is a flight, which has been counted before.
	Nested bool
}

// A Flight is one completion.
type Flight struct {
	Ticket
	done   chan struct{}
	result *Result // with err, set before done is closed
	err    error
	marked atomic.Bool

	// These are guarded by Flights.mu.
	waiters  int
	over     bool
	detached bool // counted in Flights.detached
	kept     bool // for keepTime, because a caller has returned ErrPending
}

// Mark records that the flight has made the progress that EarlyError reports.
func (f *Flight) Mark() { f.marked.Store(true) }

// Enter records that a call for a key starts. Until the caller calls leave, it
// can still join flights of the key that have ended meanwhile.
func (f *Flights) Enter(key string) (leave func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.keys == nil {
		f.keys = make(map[string]*keyState)
	}
	state := f.keys[key]
	if state == nil {
		state = &keyState{flights: make(map[flightID]*Flight)}
		f.keys[key] = state
	}
	state.active++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		state.active--
		f.tidy(key)
	}
}

// tidy removes flights that no caller can join any more. The caller must hold
// f.mu.
func (f *Flights) tidy(key string) {
	state := f.keys[key]
	if state == nil || state.active > 0 {
		return
	}
	for id, flight := range state.flights {
		if flight.over && !flight.kept {
			delete(state.flights, id)
		}
	}
	if len(state.flights) == 0 {
		delete(f.keys, key)
	}
}

// Join waits for the flight of a grant. If the grant has no flight, or its
// flight has failed or was about another object, Join starts a new flight with
// run. Join must be called between Enter and leave. The context of run does not
// end with the context of the caller.
//
// If ctx ends first, Join returns the error of ctx, or an *EarlyError if the
// cause is ErrEarly. It returns ErrBusy if too many flights run without a
// caller.
func (f *Flights) Join(
	ctx context.Context, t Ticket, run func(context.Context, *Flight) (*Result, error),
) (*Result, error) {
	f.mu.Lock()
	state, id := f.keys[t.Key], flightID{t.Granted.ID, t.Multipart}
	flight := state.flights[id]
	if flight == nil || flight.over && (flight.failed() || !flight.isAbout(t.Upload)) {
		if f.detached >= maxDetached && !t.Nested {
			f.mu.Unlock()
			return nil, ErrBusy
		}
		flight = &Flight{Ticket: t, done: make(chan struct{}), err: errExited}
		state.flights[id] = flight
		f.running++
		go f.fly(context.WithoutCancel(ctx), flight, run)
	}
	flight.waiters++
	if flight.detached {
		flight.detached = false
		f.detached--
	}
	f.mu.Unlock()
	return f.wait(ctx, flight)
}

// wait returns the outcome of a flight, or leaves it.
func (f *Flights) wait(ctx context.Context, flight *Flight) (*Result, error) {
	select {
	case <-flight.done:
		return flight.result, flight.err
	case <-ctx.Done():
	}
	early := errors.Is(context.Cause(ctx), ErrEarly)
	f.mu.Lock()
	defer f.mu.Unlock()
	if flight.over {
		return flight.result, flight.err
	}
	flight.waiters--
	flight.kept = flight.kept || early
	if flight.waiters == 0 {
		flight.detached = true
		f.detached++
	}
	if early {
		return nil, &EarlyError{flight.marked.Load()}
	}
	return nil, ctx.Err()
}

// fly runs a flight.
func (f *Flights) fly(
	ctx context.Context, flight *Flight, run func(context.Context, *Flight) (*Result, error),
) {
	// land is deferred, since run might end the goroutine, and callers would
	// wait forever.
	defer f.land(ctx, flight)
	flight.result, flight.err = f.recoverRun(ctx, flight, run)
	if flight.result != nil {
		// The callers of another flight might read the same Result.
		result := *flight.result
		result.Clean = once(result.Clean)
		flight.result = &result
	}
}

// land ends a flight.
func (f *Flights) land(ctx context.Context, flight *Flight) {
	f.mu.Lock()
	flight.over = true
	if flight.detached {
		flight.detached = false
		f.detached--
	}
	abandoned := flight.waiters == 0
	if flight.kept {
		time.AfterFunc(keepTime, func() { f.release(flight) })
	}
	f.tidy(flight.Key)
	f.mu.Unlock()
	close(flight.done)
	if abandoned && flight.result != nil {
		flight.result.Clean(ctx) // No caller has to respond to a client first.
	} else if abandoned {
		f.log(ctx, flight)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running--; f.running == 0 && f.idle != nil {
		close(f.idle)
		f.idle = nil
	}
}

// log writes the record of a flight that failed or was rejected, and whose
// error no caller receives.
func (f *Flights) log(ctx context.Context, flight *Flight) {
	if f.Logger == nil || errors.Is(flight.err, ErrPending) {
		return
	}
	level := slog.LevelError
	if !flight.failed() {
		level = slog.LevelInfo
	}
	f.Logger.LogAttrs(ctx, level, "presign: a completion in the background did not succeed",
		slog.String("owner", flight.Granted.Owner), slog.String("key", flight.Key),
		slog.String("grant_id", hex.EncodeToString(flight.Granted.ID[:])),
		slog.Any("error", flight.err))
}

// recoverRun calls run. It turns a panic into an error, because a panic would
// end the program here.
func (f *Flights) recoverRun(
	ctx context.Context, flight *Flight, run func(context.Context, *Flight) (*Result, error),
) (result *Result, err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		result, err = nil, fmt.Errorf("presign: the completion panicked: %v", p)
		if f.Logger != nil {
			f.Logger.ErrorContext(ctx, "presign: a completion panicked",
				slog.String("key", flight.Key),
				slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		}
	}()
	return run(ctx, flight)
}

// once returns a function that calls clean at its first call. Later calls wait
// until clean has returned. They hold no lock, because clean makes a request.
func once(clean func(context.Context)) func(context.Context) {
	var called atomic.Bool
	done := make(chan struct{})
	return func(ctx context.Context) {
		if called.Swap(true) {
			<-done
			return
		}
		defer close(done)
		clean(ctx)
	}
}

// release ends the time for which an outcome is kept.
func (f *Flights) release(flight *Flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	flight.kept = false
	f.tidy(flight.Key)
}

// isAbout reports whether the outcome of an ended flight applies to the object
// that a caller has found, if any.
func (f *Flight) isAbout(upload *objectstore.Object) bool {
	return upload == nil || f.Upload != nil && f.Upload.Same(upload)
}

// failed reports whether an ended flight has failed, so that another attempt
// might succeed.
func (f *Flight) failed() bool {
	rejection := (*Rejection)(nil)
	return f.err != nil && !errors.As(f.err, &rejection)
}

// Rejected returns the kept Rejection of an upload to key, or nil. Claim must
// accept the grant of the upload. The upload itself is gone.
func (f *Flights) Rejected(key string, claim func(*stamp.Stamp) bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if state := f.keys[key]; state != nil {
		for _, flight := range state.flights {
			if flight.over && flight.err != nil && !flight.failed() && claim(flight.Granted) {
				return flight.err
			}
		}
	}
	return nil
}

// Wait waits until no flight is running, or ctx ends.
func (f *Flights) Wait(ctx context.Context) error {
	for {
		f.mu.Lock()
		if f.running == 0 {
			f.mu.Unlock()
			return nil
		}
		if f.idle == nil {
			f.idle = make(chan struct{})
		}
		idle := f.idle
		f.mu.Unlock()
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
