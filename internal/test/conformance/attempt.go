// Package conformance uploads to an S3 server with grants of this library: as an honest client, which has to succeed,
// and as a cheating one, which has to be refused. The same matrix runs against every server that the project knows.
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

// Attempt is an upload request before it is sent.
type Attempt struct {
	Method, URL string
	Header      http.Header
	Fields      []Field // of a form, in order, the file behind them
	Body        []byte  // the file

	// What a cheat may want to know: the bucket, the key of the grant, one beside it that no grant is for, and the key of
	// an object that is for nobody. The matrix sets them.
	Bucket, Key, Evil, Private string

	// Host stands in for the host of the URL in the request; the connection goes to the URL's.
	Host string
	// Length stands in for the Content-Length of a PUT: 0 is the body's own, -1 is none (chunked).
	Length int64
	// FileHeader is the header of a form's file part.
	FileHeader textproto.MIMEHeader
	// Behind are fields that follow the file.
	Behind []Field
}

// Field is a form field.
type Field struct{ Name, Value string }

// New returns the request that an honest client makes of a grant.
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

// Set changes the value of a header or, in a form, of a field. Either must be there.
func (a *Attempt) Set(name, value string) {
	if a.Method == http.MethodPut {
		if a.Header.Get(name) == "" {
			panic("conformance: the grant has no header " + name)
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

// Drop removes a header or field. It must be there.
func (a *Attempt) Drop(name string) {
	if a.Method == http.MethodPut {
		if a.Header.Get(name) == "" {
			panic("conformance: the grant has no header " + name)
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
		panic("conformance: the grant has no field " + name)
	}
	return i
}

// Request returns the HTTP request. A form's own Content-Type gives way to one in Header.
func (a *Attempt) Request() (*http.Request, error) {
	body, length, contentType := a.Body, a.Length, ""
	if a.Method == http.MethodPost && a.Fields != nil {
		var form bytes.Buffer
		w := multipart.NewWriter(&form)
		for _, f := range a.Fields {
			w.WriteField(f.Name, f.Value) // a bytes.Buffer never fails
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
		r.Close = true // a server may answer before it has read to the end, and then takes the rest for a request
	}
	return r, nil
}

// Answer is what a server said to an attempt.
type Answer struct {
	Status int
	Code   string // of S3, empty where it accepted
}

func (a Answer) String() string {
	return strings.TrimSpace(fmt.Sprint(a.Status, " ", a.Code))
}

// Accepted reports whether the server took the upload.
func (a Answer) Accepted() bool { return a.Status/100 == 2 || a.Status == http.StatusSeeOther }

// busy reports whether the answer, of the store or of what stands before it, says only that it cannot deal with requests now.
func (a Answer) busy() bool {
	switch a.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return a.Code == "SlowDown"
}

// refuses reports whether the answer says that the request is refused. Other failures do not show that it would be again.
func (a Answer) refuses() bool {
	switch a.Code {
	case "": // not S3, or the answer to a HEAD
		return a.Status == http.StatusMethodNotAllowed || a.Status == http.StatusNotImplemented
	case "RequestTimeout", "OperationAborted", "ConditionalRequestConflict", "ExpiredToken":
		return false
	}
	return a.Status/100 == 4 && !a.busy() || a.Status == http.StatusNotImplemented
}

// busyError is a busy Answer, in place of one that says something.
type busyError struct{ Answer }

func (e busyError) Error() string { return fmt.Sprintf("the store is busy: it answers %v", e.Answer) }

// AnswerOf returns what a store answered to the SDK, 200 if that was no error, or the error if there was no answer but that
// it is busy.
func AnswerOf(err error) (Answer, error) {
	if err == nil {
		return stored, nil
	}
	response, ok := errors.AsType[*smithyhttp.ResponseError](err)
	if !ok {
		return Answer{}, err
	}
	answer := Answer{Status: response.HTTPStatusCode()}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		answer.Code = api.ErrorCode()
	}
	if answer.busy() {
		return Answer{}, busyError{answer}
	}
	return answer, nil
}

// Send makes the attempt. It follows no redirect: that of a form leads nowhere here.
func (a *Attempt) Send(client *http.Client) (Answer, error) {
	return a.SendContext(context.Background(), client)
}

// SendContext is Send with a context.
func (a *Attempt) SendContext(ctx context.Context, client *http.Client) (Answer, error) {
	r, err := a.Request()
	if err != nil {
		return Answer{}, err
	}
	stay := *client
	stay.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := stay.Do(r.WithContext(ctx))
	if err != nil {
		return Answer{}, withoutURL(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return Answer{}, err
	}
	answer := Answer{Status: response.StatusCode}
	if !answer.Accepted() {
		var e struct{ Code string }
		if xml.Unmarshal(body, &e) == nil {
			answer.Code = e.Code
		}
	}
	return answer, nil
}

// withoutURL takes the URL out of an error of net/http, for it is a grant.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
