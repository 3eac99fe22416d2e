// Package httpbody decodes the bodies of requests and writes the bodies of
// responses.
package httpbody

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/s3presign/presign/internal/rules"
	"github.com/s3presign/presign/internal/strict"
)

const (
	// MaxSize is the largest size of a body in bytes.
	MaxSize = 64 << 10

	// MaxListSize is the largest size of a body that lists parts or uploads.
	MaxListSize = 1 << 20

	jsonType     = "application/json"
	urlencoded   = "application/x-www-form-urlencoded"
	bodyDetail   = "The body must be " + jsonType + "."
	eitherDetail = "The body must be " + jsonType + " or " + urlencoded + "."
)

// An Error is the reason why a request is not served, and the response for it.
type Error struct {
	Status int
	Detail string             // the text for the client
	Faults []*rules.Violation // the faults of members of the body
	Cause  error              // the error for the log, or nil
}

// Error returns the text of the cause, or the detail, or the first fault.
func (e *Error) Error() string {
	switch {
	case e.Cause != nil:
		return e.Cause.Error()
	case e.Detail != "":
		return "presign: " + e.Detail
	case len(e.Faults) > 0:
		return e.Faults[0].Error()
	}
	return fmt.Sprintf("presign: status %d", e.Status)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// A Body is the body of a request. It can be decoded even if authenticate has
// read and closed it before, for a token or a signature.
type Body struct {
	rest     io.Reader
	limit    int
	read     []byte
	form     url.Values  // parsed from the body before it reached the handler
	response http.Header // the header of the response
}

// Replace replaces the body of r with a Body of at most limit bytes.
func Replace(w http.ResponseWriter, r *http.Request, limit int64) *Body {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	b := &Body{rest: http.MaxBytesReader(w, r.Body, limit), limit: int(limit), form: r.PostForm, response: w.Header()}
	r.Body = b
	return b
}

// Read implements [io.Reader].
func (b *Body) Read(p []byte) (int, error) {
	n, err := b.rest.Read(p)
	b.keep(p[:n])
	return n, err
}

// keep appends p to the bytes that were read. The buffer doubles, but never
// exceeds the limit, so that a large body does not take three times its size.
func (b *Body) keep(p []byte) {
	if need := len(b.read) + len(p); need > cap(b.read) {
		grown := make([]byte, len(b.read), max(need, min(max(2*cap(b.read), 512), b.limit)))
		copy(grown, b.read)
		b.read = grown
	}
	b.read = append(b.read, p...)
}

// Response returns the header of the response.
func (b *Body) Response() http.Header { return b.response }

// Close does nothing. The server closes the body.
func (b *Body) Close() error { return nil }

func (b *Body) bytes() ([]byte, error) {
	_, err := io.Copy(io.Discard, b)
	if tooLarge, ok := err.(*http.MaxBytesError); ok {
		return nil, &Error{Status: http.StatusRequestEntityTooLarge,
			Detail: fmt.Sprintf("The body must have at most %d bytes.", tooLarge.Limit)}
	} else if err != nil {
		return nil, &Error{Status: http.StatusBadRequest,
			Detail: "The body did not arrive completely."}
	}
	// Some clients write a byte order mark.
	return bytes.TrimPrefix(b.read, []byte("\ufeff")), nil
}

// Decode reads a JSON body into members. Every error is an *Error.
func (b *Body) Decode(r *http.Request, members []strict.Member, mode strict.Mode) error {
	return b.decode(r, members, mode, false)
}

// DecodeEither reads a JSON or urlencoded body into members. Every error is an
// *Error.
func (b *Body) DecodeEither(r *http.Request, members []strict.Member, mode strict.Mode) error {
	return b.decode(r, members, mode, true)
}

func (b *Body) decode(
	r *http.Request, members []strict.Member, mode strict.Mode, forms bool,
) error {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		// RFC 9110 recommends this header in the response:
		// https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3.
		b.response.Set("Accept-Encoding", "identity")
		return &Error{Status: http.StatusUnsupportedMediaType,
			Detail: "The body must have no Content-Encoding."}
	}
	var err error
	mediaType := r.Header.Get("Content-Type")
	if mediaType != jsonType { // Most clients send exactly jsonType.
		mediaType, _, err = mime.ParseMediaType(mediaType)
	}
	isForm := forms && mediaType == urlencoded
	if err != nil || !isForm && mediaType != jsonType {
		detail := bodyDetail
		if forms {
			detail = eitherDetail
		}
		return &Error{Status: http.StatusUnsupportedMediaType, Detail: detail}
	}
	if isForm {
		// A page of another origin can send a form without a preflight request.
		if err := new(http.CrossOriginProtection).Check(r); err != nil {
			return &Error{Status: http.StatusForbidden, Cause: err}
		}
	}
	text, err := b.bytes()
	if err != nil {
		return err
	}
	if !isForm {
		return Malformed(strict.Object(text, members, mode))
	}
	return b.decodeForm(text, members, mode)
}

func (b *Body) decodeForm(text []byte, members []strict.Member, mode strict.Mode) error {
	// curl -d declares any body as urlencoded.
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		return &Error{Status: http.StatusUnsupportedMediaType,
			Detail: "The body looks like JSON; send it with Content-Type: application/json."}
	}
	form, err := url.ParseQuery(string(text))
	if err != nil {
		return &Error{Status: http.StatusBadRequest,
			Detail: "The request was not understood: the body must be urlencoded."}
	}
	if len(form) == 0 {
		// The service has read the body to look for its token in the form.
		form = b.form
	}
	return Malformed(strict.Form(form, members, mode))
}

// DecodeQuery reads a query into members.
func DecodeQuery(r *http.Request, members []strict.Member, mode strict.Mode) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &Error{Status: http.StatusBadRequest,
			Detail: "The request was not understood: the query must be urlencoded."}
	}
	return Malformed(strict.Form(query, members, mode))
}

// Missing returns the *Error for a member that must be set.
func Missing(field, format string, args ...any) error {
	return &Error{Status: http.StatusBadRequest,
		Faults: []*rules.Violation{rules.Violate(field, rules.CodeRequired, format, args...)}}
}

// Invalid returns the *Error for a member that contradicts another.
func Invalid(field, format string, args ...any) error {
	return &Error{Status: http.StatusBadRequest,
		Faults: []*rules.Violation{rules.Violate(field, rules.CodeInvalid, format, args...)}}
}

// Malformed returns the *Error for the faults that err joins, or nil if err is
// nil.
func Malformed(err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Status: http.StatusBadRequest}
	for _, fault := range rules.Find[strict.Error](err) {
		if fault.Field == "" {
			e.Detail = "The request was not understood: " + fault.Detail + "."
		} else {
			e.Faults = append(e.Faults,
				&rules.Violation{Field: fault.Field, Code: rules.CodeInvalid, Detail: fault.Detail})
		}
	}
	return e
}
