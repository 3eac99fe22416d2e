package s3test

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"
)

// A Fault is a way in which a request fails.
type Fault int

// The faults. With CutDuring and the faults that end in After, the operation
// takes effect and only its response is lost.
const (
	None           Fault = iota
	AccessDenied         // the server responds with 403
	InternalError        // 500
	NotImplemented       // 501
	SlowDown             // 503
	Cut                  // the connection ends
	CutAfter
	CutDuring // the connection ends in the middle of the response's body
	Hang      // no response comes before the request's context ends
	HangAfter
	Crash // the connection ends, and later requests of the same Actor have no effect
	CrashAfter
	Later // the request waits for another tick, and Before is called again; not for After
)

// A Hook holds functions that the server calls before and after each request.
// Either function may be nil. Functions may be called concurrently. They may
// use the server and the context of the request.
//
// Before is called after the server has verified the signature and before the
// operation is performed. Only the signature of a form is verified after Before
// has returned. Before may change the header of the HTTP request. For example,
// it can simulate a store that ignores a condition by removing the condition.
//
// After is called with the status of the response, once the operation has taken
// effect and before anything is sent. The fault that After returns replaces the
// response.
//
// A hook of a server with WithTick should send its own requests through
// Actor.Instant.
type Hook struct {
	Before, After func(Request, *http.Request) Fault
}

// Intercept sets the hook. It replaces the previous hook and the function that
// was passed to Fail.
func (s *Server) Intercept(h Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = h
}

// Fail sets a hook that is called with the operation of each request before it
// is performed. Nil removes the hook.
func (s *Server) Fail(fault func(operation string, r *http.Request) Fault) {
	if fault == nil {
		s.Intercept(Hook{})
		return
	}
	s.Intercept(Hook{
		Before: func(r Request, h *http.Request) Fault { return fault(r.Operation, h) },
	})
}

// FailOnce makes the nth request fail, counted from 0. Requests for the
// operations in others do not count. The returned function returns the
// operation of the request that has failed, or "". Requests may be concurrent.
func (s *Server) FailOnce(n int, fault Fault, others ...string) (failed func() string) {
	var mu sync.Mutex
	requests, operation := 0, ""
	s.Fail(func(o string, _ *http.Request) Fault {
		mu.Lock()
		defer mu.Unlock()
		if slices.Contains(others, o) {
			return None
		}
		if requests++; requests != n+1 {
			return None
		}
		operation = o
		return fault
	})
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return operation
	}
}

// performWithHook performs the operation with the faults of the hook.
func (s *Server) performWithHook(w http.ResponseWriter, r *request, perform handler) error {
	s.mu.RLock()
	hook := s.hook
	s.mu.RUnlock()
	fault := None
	for hook.Before != nil {
		if fault = s.call(hook.Before, r, 0); fault != Later {
			break
		}
		if err := s.waitTurn(r); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	s.dropConditions(r)
	switch fault {
	case CutAfter, CutDuring, HangAfter, CrashAfter:
	case None:
		if hook.After == nil {
			return perform(s, w, r)
		}
	default:
		return s.applyFault(fault, w, r, nil)
	}
	response := httptest.NewRecorder()
	maps.Copy(response.Header(), w.Header())
	err := perform(s, response, r)
	if err != nil {
		writeError(response, r.Method, err)
	}
	if fault == None {
		fault = s.call(hook.After, r, response.Code)
	}
	return s.applyFault(fault, w, r, response)
}

// applyFault sends the response that the fault permits. The argument response
// is the response of the operation, or nil if the operation was not performed.
func (s *Server) applyFault(
	fault Fault, w http.ResponseWriter, r *request, response *httptest.ResponseRecorder,
) error {
	switch fault {
	case AccessDenied:
		return accessDenied("Access Denied")
	case NotImplemented:
		return notImplemented("the operation, since a fault is set")
	case InternalError:
		return internalError()
	case SlowDown:
		return fail(http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
	case Later:
		panic("s3test: After must not return Later")
	case Crash, CrashAfter:
		s.Actor(r.record.Actor).Crash()
	case Hang, HangAfter:
		_, _ = io.Copy(io.Discard, r.Body) // Otherwise net/http does not detect a disconnect.
		<-r.Context().Done()
	case None, CutDuring:
		body := response.Body.Bytes()
		if fault == CutDuring {
			body = body[:len(body)/2]
		}
		maps.Copy(w.Header(), response.Header())
		w.WriteHeader(response.Code)
		_, _ = w.Write(body) // The client might have disconnected.
		if fault == None {
			return nil
		}
		if flusher, ok := w.(http.Flusher); ok {
			flusher.Flush()
		}
	}
	panic(http.ErrAbortHandler)
}

var errCrashed = errors.New("s3test: the actor has crashed")

// waitTurn waits until the server may handle the request. It returns an error
// if the client has disconnected by then.
func (s *Server) waitTurn(r *request) error {
	var err error
	switch {
	case r.instant && r.record.Number == 0:
	case s.clock != nil:
		err = s.clock.wait(r.Context(), rank(r.record.Actor, r))
	case r.record.Number > 0: // The hook returned Later, and the server has no clock.
		err = sleep(r.Context(), time.Millisecond)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.crashed[r.record.Actor] {
		return errCrashed
	}
	return err
}

// startRequest waits for the turn of a new request and records the request.
func (s *Server) startRequest(r *request) error {
	s.mu.Lock()
	if s.clock == nil {
		s.steps++
	}
	r.record.Start = s.moment().Tick
	s.mu.Unlock()
	if err := s.waitTurn(r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handled++
	r.record.Number, r.record.End = s.handled, forever.Tick
	if s.recording {
		s.requests = append(s.requests, r.record)
	}
	return nil
}

// call calls a function of a hook. The lock makes the writes of one call
// visible to the next call, if the calls do not overlap.
func (s *Server) call(hook func(Request, *http.Request) Fault, r *request, status int) Fault {
	s.mu.Lock()
	about := *r.record
	s.mu.Unlock()
	about.Status = status
	fault := hook(about, r.Request)
	s.mu.Lock()
	defer s.mu.Unlock()
	return fault
}

// finish completes the record of a request with the status of its response.
func (s *Server) finish(r *request, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.record.Status, r.record.End = status, s.next().Tick
}

// A statusWriter records the status of the response.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Flush implements http.Flusher.
func (w *statusWriter) Flush() {
	if flusher, ok := w.ResponseWriter.(http.Flusher); ok {
		flusher.Flush()
	}
}
