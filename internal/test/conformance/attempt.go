// Package conformance uploads to an S3 server with grants of this library. The
// server must accept the uploads of an honest client and reject the uploads of
// a cheating client. The same matrix runs against every server that the project
// tests.
package conformance

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/s3presign/presign"
)

// An Attempt is an upload request before it is sent.
type Attempt struct {
	Method, URL string
	Header      http.Header
	Fields      []Field // of a form, in order, before the file
	Body        []byte  // the file

	// Cheats use the bucket, the granted key, a key beside it without a grant,
	// and the key of an existing object without a grant. The matrix sets these
	// fields.
	Bucket, Key, Evil, Private string

	// Host replaces the host in the request. The connection still goes to the
	// host of the URL.
	Host string
	// Length replaces the Content-Length of the request. Zero sets the length
	// of the body, and -1 sends a chunked body.
	Length int64
	// FileHeader is the header of a form's file part. If it is nil, the form
	// has no file.
	FileHeader textproto.MIMEHeader
	// Behind holds the fields after the file.
	Behind []Field
}

// A Field is a form field.
type Field struct{ Name, Value string }

// New returns the request that an honest client sends with a grant.
func New(g *presign.Grant, name string, body []byte) *Attempt {
	a := &Attempt{Method: g.Method, URL: g.URL, Header: make(http.Header), Body: body}
	for name, value := range g.Headers {
		a.Header.Set(name, value)
	}
	for _, name := range slices.Sorted(maps.Keys(g.Fields)) {
		a.Fields = append(a.Fields, Field{name, g.Fields[name]})
	}
	a.FileHeader = textproto.MIMEHeader{
		"Content-Disposition": {multipart.FileContentDisposition("file", name)},
		"Content-Type":        {"application/octet-stream"},
	}
	return a
}

// Set changes the value of a header or, in a form, of a field. It panics if the
// attempt has no such header or field.
func (a *Attempt) Set(name, value string) {
	if a.Method == http.MethodPut {
		if a.Header.Get(name) == "" {
			panic("conformance: the grant must have the header " + name)
		}
		a.Header.Set(name, value)
		return
	}
	a.Fields[a.index(name)].Value = value
}

// Get returns the value of a header or field.
func (a *Attempt) Get(name string) string {
	if a.Method == http.MethodPut {
		return a.Header.Get(name)
	}
	return a.Fields[a.index(name)].Value
}

// Drop removes a header or field. It panics if the attempt has no such header
// or field.
func (a *Attempt) Drop(name string) {
	if a.Method == http.MethodPut {
		if a.Header.Get(name) == "" {
			panic("conformance: the grant must have the header " + name)
		}
		a.Header.Del(name)
		return
	}
	i := a.index(name)
	a.Fields = slices.Delete(a.Fields, i, i+1)
}

// Add adds a header or field.
func (a *Attempt) Add(name, value string) {
	if a.Method == http.MethodPut {
		a.Header.Add(name, value)
		return
	}
	a.Fields = append(a.Fields, Field{name, value})
}

func (a *Attempt) index(name string) int {
	i := slices.IndexFunc(a.Fields, func(f Field) bool { return strings.EqualFold(f.Name, name) })
	if i < 0 {
		panic("conformance: the grant must have the field " + name)
	}
	return i
}

// Request returns the HTTP request. A Content-Type in Header replaces the
// Content-Type of a form.
func (a *Attempt) Request() (*http.Request, error) {
	body, length, contentType := a.Body, a.Length, ""
	if a.Method == http.MethodPost && a.Fields != nil {
		var form bytes.Buffer
		w := multipart.NewWriter(&form)
		for _, f := range a.Fields {
			w.WriteField(f.Name, f.Value) // A bytes.Buffer never fails.
		}
		if a.FileHeader != nil {
			part, _ := w.CreatePart(a.FileHeader)
			part.Write(a.Body)
		}
		for _, f := range a.Behind {
			w.WriteField(f.Name, f.Value)
		}
		w.Close()
		body, contentType = form.Bytes(), w.FormDataContentType()
	}
	r, err := http.NewRequest(a.Method, a.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	maps.Copy(r.Header, a.Header)
	if a.Host != "" {
		r.Host = a.Host
	}
	switch {
	case length > 0:
		r.ContentLength = length
	case length < 0:
		r.ContentLength, r.Body = -1, io.NopCloser(bytes.NewReader(body))
		// A server might respond before it has read the body, and parse the
		// rest of the body as a request.
		r.Close = true
	}
	return r, nil
}

// A Response is the response of a server to an attempt.
type Response struct {
	Status int
	Code   string // of S3, empty if the server accepted
}

func (a Response) String() string {
	return strings.TrimSpace(fmt.Sprint(a.Status, " ", a.Code))
}

// Accepted reports whether the server accepted the upload.
func (a Response) Accepted() bool { return a.Status/100 == 2 || a.Status == http.StatusSeeOther }

// busy reports whether the store, or a proxy before it, is only temporarily
// unable to serve requests.
func (a Response) busy() bool {
	switch a.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable,
		http.StatusGatewayTimeout:
		return true
	}
	return a.Code == "SlowDown"
}

// rejects reports whether the response rejects the request. Other failures do
// not show that the server would reject the request again.
func (a Response) rejects() bool {
	switch a.Code {
	case "": // S3 sends a code, except in the response to a HEAD.
		return a.Status == http.StatusMethodNotAllowed || a.Status == http.StatusNotImplemented
	case "RequestTimeout", "OperationAborted", "ConditionalRequestConflict", "ExpiredToken":
		return false
	}
	return a.Status/100 == 4 && !a.busy() || a.Status == http.StatusNotImplemented
}

// A busyError is returned if the store is busy.
type busyError struct{ Response }

func (e busyError) Error() string {
	return fmt.Sprintf("the store is busy: it returned %v", e.Response)
}

// ResponseOf returns the response of a store to a request of the SDK, which is
// 200 for a nil error. It returns an error if the store is busy or did not
// respond.
func ResponseOf(err error) (Response, error) {
	if err == nil {
		return stored, nil
	}
	resp, ok := errors.AsType[*smithyhttp.ResponseError](err)
	if !ok {
		return Response{}, err
	}
	response := Response{Status: resp.HTTPStatusCode()}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		response.Code = api.ErrorCode()
	}
	if response.busy() {
		return Response{}, busyError{response}
	}
	return response, nil
}

// Send sends the attempt. It does not follow redirects, since the target of a
// form's redirect does not exist.
func (a *Attempt) Send(client *http.Client) (Response, error) {
	return a.SendContext(context.Background(), client)
}

// SendContext sends the attempt like Send, but with a context.
func (a *Attempt) SendContext(ctx context.Context, client *http.Client) (Response, error) {
	r, err := a.Request()
	if err != nil {
		return Response{}, err
	}
	noRedirects := *client
	noRedirects.CheckRedirect = func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}
	resp, err := noRedirects.Do(r.WithContext(ctx))
	if err != nil {
		return Response{}, withoutURL(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return Response{}, err
	}
	response := Response{Status: resp.StatusCode}
	if !response.Accepted() {
		var e struct{ Code string }
		if xml.Unmarshal(body, &e) == nil {
			response.Code = e.Code
		}
	}
	return response, nil
}

// withoutURL removes the URL from an error of net/http, since the URL is a
// grant.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
