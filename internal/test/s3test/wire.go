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
)

// wire carries requests to the server without a network. It goes through the bytes of HTTP/1.1, so that the server
// sees exactly what net/http would have sent.
type wire struct{ server *Server }

// RoundTrip implements http.RoundTripper.
func (w wire) RoundTrip(req *http.Request) (_ *http.Response, err error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	if host := req.URL.Hostname(); host != w.server.host && !strings.HasSuffix(host, "."+w.server.host) {
		return nil, fmt.Errorf("s3test: no such host %q", host)
	}
	for name, values := range req.Header {
		if name == "" || strings.ContainsAny(name, " :\r\n") || strings.ContainsAny(strings.Join(values, ""), "\r\n\x00") {
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
	defer func() {
		switch aborted := recover(); aborted {
		case nil:
		case http.ErrAbortHandler: // which would have ended the connection
			err = cmp.Or(req.Context().Err(), io.ErrUnexpectedEOF)
		default:
			panic(aborted)
		}
	}()
	recorder := httptest.NewRecorder()
	w.server.ServeHTTP(recorder, received.WithContext(req.Context()))
	resp := recorder.Result()
	resp.Request = req
	return resp, nil
}
