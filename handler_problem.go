package presign

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// collect returns the errors of one type that err is, wraps or joins. A nil pointer that a function took for no error is
// none.
func collect[E any](err error) (found []*E) {
	if e, ok := any(err).(*E); ok {
		if e == nil {
			return nil
		}
		return []*E{e}
	}
	switch err := err.(type) {
	case interface{ Unwrap() error }:
		return collect[E](err.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range err.Unwrap() {
			found = append(found, collect[E](err)...)
		}
	}
	return found
}

// Problem is an answer of the Handler that is not a success. It marshals to application/problem+json with a member
// "message" besides, which holds the text that upload clients show. Functions that the Handler calls may return one to
// choose its answer.
//
// See https://www.rfc-editor.org/rfc/rfc9457.
type Problem struct {
	Type   string      // a URI reference; "about:blank" if empty
	Title  string      // the status text if empty
	Status int         // an HTTP status from 400 to 599
	Detail string      // what the client may read of this occurrence
	Errors []Violation // what is at fault; the first stands for Detail in "message" if that is empty

	// RetryAfter asks the client to come back later. It goes into the Retry-After header, in seconds, rounded up.
	RetryAfter time.Duration
}

// Error returns the status and what the client may read.
func (p *Problem) Error() string {
	return "presign: " + strconv.Itoa(p.Status) + " " + p.message()
}

func (p *Problem) title() string {
	if p.Title != "" {
		return p.Title
	}
	return http.StatusText(p.Status)
}

func (p *Problem) message() string {
	switch {
	case p.Detail != "":
		return p.Detail
	case len(p.Errors) > 0:
		return p.Errors[0].Field + " " + p.Errors[0].Detail
	}
	return p.title()
}

// MarshalJSON returns the wire form.
func (p Problem) MarshalJSON() ([]byte, error) {
	problemType := p.Type
	if problemType == "" {
		problemType = "about:blank"
	}
	return marshal(struct {
		Type    string      `json:"type"`
		Title   string      `json:"title"`
		Status  int         `json:"status"`
		Detail  string      `json:"detail,omitempty"`
		Errors  []Violation `json:"errors,omitempty"`
		Message string      `json:"message"`
	}{problemType, p.title(), p.Status, p.Detail, p.Errors, p.message()})
}

// refusal is an error of the service's own code: status is the answer if the error does not say which.
type refusal struct {
	status int
	err    error
}

func (e *refusal) Error() string { return e.err.Error() }
func (e *refusal) Unwrap() error { return e.err }

// fail answers with the problem that err is, or stands for.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := h.problem(r, err)
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64((p.RetryAfter+time.Second-1)/time.Second), 10))
	}
	h.write(w, r, p.Status, "application/problem+json", p)
}

func (h *Handler) problem(r *http.Request, err error) *Problem {
	if p := (*Problem)(nil); errors.As(err, &p) && p != nil {
		if p.Status >= 400 && p.Status <= 599 {
			return p
		}
		h.log(r, slog.LevelError, fmt.Errorf("presign: a Problem has the status %d: %w", p.Status, err))
		return &Problem{Status: http.StatusInternalServerError}
	}
	if violations := Violations(err); len(violations) > 0 {
		if refused := (*refusal)(nil); errors.As(err, &refused) {
			h.log(r, slog.LevelInfo, err) // what else it joins is not told
		} else if errors.Is(err, errStore) {
			h.log(r, slog.LevelError, err) // what was refused could not be deleted
		}
		status := http.StatusUnprocessableEntity
		if errors.As(err, new(overflow)) {
			status = http.StatusRequestEntityTooLarge
		}
		return &Problem{Status: status, Errors: violations}
	}
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		level := slog.LevelInfo
		if refused.status >= 500 {
			level = slog.LevelError
		}
		h.log(r, level, err)
		return &Problem{Status: refused.status}
	case errors.Is(err, ErrNotUploaded):
		return &Problem{Status: http.StatusNotFound, Detail: "Nothing of yours was uploaded under this key."}
	case errors.Is(err, ErrInvalidID):
		return &Problem{Status: http.StatusNotFound, Detail: "There is no such upload of yours."}
	case errors.Is(err, errDead):
		if errors.Is(err, errStore) {
			h.log(r, slog.LevelError, err)
		}
		return &Problem{Status: http.StatusConflict, Detail: "The upload cannot be completed any more, since the object under its key was deleted meanwhile. Begin again."}
	case errors.Is(err, ErrChanged):
		return &Problem{Status: http.StatusConflict, Detail: "The object changed while it was looked at. Try again."}
	case errors.Is(err, ErrExpired):
		return &Problem{Status: http.StatusGone, Detail: "It is too late to complete this upload."}
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		return &Problem{Status: http.StatusServiceUnavailable} // which nobody waits for
	case errors.Is(err, context.DeadlineExceeded):
		h.log(r, slog.LevelError, err)
		return &Problem{Status: http.StatusGatewayTimeout, RetryAfter: retryAfter}
	case errors.Is(err, ErrCredentialsExpiring), errors.Is(err, errRetrieving):
		h.log(r, slog.LevelError, err)
		return &Problem{Status: http.StatusServiceUnavailable, RetryAfter: retryAfter}
	case errors.Is(err, errStore):
		h.log(r, slog.LevelError, err)
		return &Problem{Status: http.StatusBadGateway, RetryAfter: retryAfter}
	}
	h.log(r, slog.LevelError, err)
	return &Problem{Status: http.StatusInternalServerError}
}

func (h *Handler) log(r *http.Request, level slog.Level, err error) {
	h.logger.LogAttrs(r.Context(), level, "presign: request not served", slog.Any("error", err))
}

func (h *Handler) write(w http.ResponseWriter, r *http.Request, status int, mediaType string, v any) {
	buffer := answers.Get().(*[]byte)
	defer answers.Put(buffer)
	body, err := appendJSON((*buffer)[:0], v)
	if err != nil {
		h.log(r, slog.LevelError, err)
		status, mediaType, body = http.StatusInternalServerError, "application/problem+json", []byte(`{"status":500}`)
	}
	*buffer = body
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}

// answers are where answers are written before they are sent; a grant takes kilobytes.
var answers = sync.Pool{New: func() any { return new([]byte) }}

// appendJSON appends v as JSON.
func appendJSON(b []byte, v any) ([]byte, error) {
	if signed, ok := v.(*signed); ok {
		return signed.appendJSON(b)
	}
	body, err := marshal(v)
	return append(b, body...), err
}

// marshal returns JSON with "&" as it is, which URLs have.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
