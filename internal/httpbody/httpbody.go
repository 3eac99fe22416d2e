// Package httpbody reads and decodes the bodies of requests.
package httpbody

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"

	"github.com/s3presign/presign/internal/rules"
	"github.com/s3presign/presign/internal/strict"
)

// Limits of bodies in bytes.
const (
	MaxSize      = 64 << 10
	MaxListSize  = 1 << 20 // of a body that lists parts or uploads
	jsonType     = "application/json"
	urlencoded   = "application/x-www-form-urlencoded"
	bodyDetail   = "The body must be " + jsonType + "."
	eitherDetail = "The body must be " + jsonType + " or " + urlencoded + "."
)

// An Error is the reason why a request is not served, and the response for it.
type Error struct {
	Status int
	Detail string             // for the client
	Faults []*rules.Violation // of members of the body
	Cause  error              // for the log, or nil
}

// Error returns what is known of the cause.
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

// A Body is the body of a request. It can be decoded although authenticate has
// read it before, for a token or a signature, and closed it.
type Body struct {
	rest io.Reader
	read bytes.Buffer
	form url.Values // parsed from the body before it reached the handler
}

// Replace replaces the body of r with a Body of at most limit bytes.
func Replace(w http.ResponseWriter, r *http.Request, limit int64) *Body {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	b := &Body{rest: http.MaxBytesReader(w, r.Body, limit), form: r.PostForm}
	r.Body = b
	return b
}

// Read implements [io.Reader].
func (b *Body) Read(p []byte) (int, error) {
	n, err := b.rest.Read(p)
	b.read.Write(p[:n])
	return n, err
}

// Close does nothing. The server closes the body.
func (b *Body) Close() error { return nil }

func (b *Body) bytes() ([]byte, error) {
	_, err := io.Copy(io.Discard, b)
	if tooLarge, ok := err.(*http.MaxBytesError); ok {
		return nil, &Error{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("The body must have at most %d bytes.", tooLarge.Limit)}
	} else if err != nil {
		return nil, &Error{Status: http.StatusBadRequest, Detail: "The body did not arrive completely."}
	}
	return b.read.Bytes(), nil
}

// Decode reads the body into members. It accepts urlencoded bodies if forms is
// set. Every error is an *Error.
func (b *Body) Decode(r *http.Request, members []strict.Member, forms bool) error {
	var err error
	mediaType := r.Header.Get("Content-Type")
	if mediaType != jsonType { // Most clients send exactly that.
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
		// A page of another origin can send such a body without a preflight request.
		if err := new(http.CrossOriginProtection).Check(r); err != nil {
			return &Error{Status: http.StatusForbidden, Cause: err}
		}
	}
	text, err := b.bytes()
	if err != nil {
		return err
	}
	if !isForm {
		return Malformed(strict.Object(text, members))
	}
	return b.decodeForm(text, members)
}

func (b *Body) decodeForm(text []byte, members []strict.Member) error {
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) { // curl -d declares any body as urlencoded.
		return &Error{Status: http.StatusUnsupportedMediaType, Detail: "The body looks like JSON; send it with Content-Type: application/json."}
	}
	form, err := url.ParseQuery(string(text))
	if err != nil {
		return &Error{Status: http.StatusBadRequest, Detail: "The request was not understood: the body is not urlencoded."}
	}
	if len(form) == 0 {
		form = b.form // A service that looked for its token in the form has read the body.
	}
	return Malformed(strict.Form(form, members))
}

// DecodeQuery reads a query into members.
func DecodeQuery(r *http.Request, members []strict.Member) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &Error{Status: http.StatusBadRequest, Detail: "The request was not understood: the query is not urlencoded."}
	}
	return Malformed(strict.Form(query, members))
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
			e.Faults = append(e.Faults, &rules.Violation{Field: fault.Field, Code: rules.CodeInvalid, Detail: fault.Detail})
		}
	}
	return e
}
