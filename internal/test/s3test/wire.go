package s3test

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing/iotest"
)

// A wire sends requests to the server without a network. It writes and parses
// HTTP/1.1, so that the server receives exactly the bytes that net/http would
// have sent.
type wire struct{ server *Server }

// RoundTrip implements http.RoundTripper.
func (w wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	if host := req.URL.Hostname(); host != w.server.host &&
		!strings.HasSuffix(host, "."+w.server.host) {
		return nil, fmt.Errorf("s3test: no such host %q", host)
	}
	for name, values := range req.Header {
		if name == "" || strings.ContainsAny(name, " :\r\n") ||
			strings.ContainsAny(strings.Join(values, ""), "\r\n\x00") {
			return nil, fmt.Errorf("s3test: invalid header %q", name)
		}
	}
	var sent bytes.Buffer
	if err := req.Write(&sent); err != nil {
		return nil, err
	}
	received, err := http.ReadRequest(bufio.NewReader(&sent))
	if err != nil {
		return nil, err
	}
	if req.URL.Scheme == "https" {
		received.TLS = &tls.ConnectionState{}
	}
	recorder := httptest.NewRecorder()
	aborted := w.serve(recorder, received.WithContext(req.Context()))
	if aborted && !recorder.Flushed {
		return nil, cmp.Or(req.Context().Err(), io.ErrUnexpectedEOF)
	}
	resp := recorder.Result()
	resp.Request = req
	if aborted {
		resp.Body = io.NopCloser(io.MultiReader(resp.Body, iotest.ErrReader(io.ErrUnexpectedEOF)))
	}
	return resp, nil
}

// serve calls the handler and reports whether it aborted the connection.
func (w wire) serve(recorder *httptest.ResponseRecorder, received *http.Request) (aborted bool) {
	defer func() {
		switch reason := recover(); reason {
		case nil:
		case http.ErrAbortHandler:
			aborted = true
		default:
			panic(reason)
		}
	}()
	w.server.ServeHTTP(recorder, received)
	return false
}
