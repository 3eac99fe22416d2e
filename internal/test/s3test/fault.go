package s3test

import (
	"io"
	"net/http"
	"net/http/httptest"
)

// Fault is what goes wrong with a request.
type Fault int

// The faults. After those that end in After, the operation took effect, and only the client does not know.
const (
	None           Fault = iota
	AccessDenied         // 403 is answered
	InternalError        // 500
	NotImplemented       // 501
	SlowDown             // 503
	Cut                  // the connection ends
	CutAfter
	Hang // nothing is answered before the request's context ends
	HangAfter
)

// Fail makes the server ask what goes wrong with each request, once it has verified the signature. The operation is
// named as S3 names it, a form PostObject. The function may be called concurrently, may itself use the server, and may
// change the request's header: a store that ignores a condition is one that does not see it. Nil ends all faults.
func (s *Server) Fail(fault func(operation string, r *http.Request) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// suffer performs the operation, or what is to go wrong with it.
func (s *Server) suffer(name string, w http.ResponseWriter, r *request, perform handler) error {
	s.mu.RLock()
	ask := s.fault
	s.mu.RUnlock()
	var fault Fault
	if ask != nil {
		fault = ask(name, r.Request)
	}
	switch fault {
	case None:
		return perform(s, w, r)
	case AccessDenied:
		return accessDenied("Access Denied")
	case NotImplemented:
		return notImplemented("what it was told not to")
	case InternalError:
		return internalError()
	case SlowDown:
		return fail(http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
	case CutAfter, HangAfter:
		_ = perform(s, httptest.NewRecorder(), r) // nobody sees the answer
	}
	if fault == Hang || fault == HangAfter {
		_, _ = io.Copy(io.Discard, r.Body) // or net/http would not notice that the client has gone
		<-r.Context().Done()
	}
	panic(http.ErrAbortHandler)
}
