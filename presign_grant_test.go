package presign_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/s3test"
)

// do sends a request and returns the status.
func (s shop) do(t *testing.T, r *http.Request, err error) int {
	t.Helper()
	require.NoError(t, err)
	response, err := s.store.HTTPClient().Do(r)
	require.NoError(t, err)
	response.Body.Close()
	return response.StatusCode
}

// grants returns a grant of each kind for a file of this size.
func (s shop) grants(t *testing.T, size int64) map[string]*presign.Grant {
	t.Helper()
	u := presign.Upload{Owner: "alice", Filename: "a.png", Size: size, Metadata: map[string]string{
		"color": `"red"; =?`,
	}}
	put, err := s.Put(t.Context(), u)
	require.NoError(t, err)
	form, err := s.Post(t.Context(), u)
	require.NoError(t, err)
	m, err := s.StartMultipart(t.Context(), u)
	require.NoError(t, err)
	part, err := m.SignPart(t.Context(), presign.Part{Number: 1})
	require.NoError(t, err)
	return map[string]*presign.Grant{
		"PUT": put, "form": form, "part": part, "part's URL": {Method: "PUT", URL: part.URL},
	}
}

// TestRequest checks that the request of a grant, decoded from JSON, uploads
// the file from every kind of reader.
func TestRequest(t *testing.T) {
	for _, server := range []*s3test.Server{s3test.New(), s3test.Start(t)} {
		s := open(t, server, multipartPolicy())
		// Only the large file's request has an Expect header.
		for _, content := range [][]byte{png, large[:partSize]} {
			name := filepath.Join(t.TempDir(), "a.png")
			require.NoError(t, os.WriteFile(name, append([]byte("before"), content...), 0o600))
			size := int64(len(content))
			for from, open := range map[string]func() io.Reader{
				"bytes": func() io.Reader { return bytes.NewReader(content) },
				"section": func() io.Reader {
					file := bytes.NewReader(append([]byte("x"), content...))
					return io.NewSectionReader(file, 1, size)
				},
				"stream": func() io.Reader { return iotest.OneByteReader(bufferOf(content)) },
				"longer": func() io.Reader {
					return bufferOf(append(bytes.Clone(content), "rest"...))
				},
				"file": func() io.Reader {
					f, err := os.Open(name)
					require.NoError(t, err)
					t.Cleanup(func() {
						require.NoError(t, f.Close(), "Request must not close the file")
					})
					_, err = f.Seek(int64(len("before")), io.SeekStart)
					require.NoError(t, err)
					return f
				},
			} {
				if from == "stream" && len(content) > len(png) {
					continue // Reading a large file byte by byte is slow.
				}
				for kind, grant := range s.grants(t, size) {
					text, err := json.Marshal(grant)
					require.NoError(t, err)
					var decoded presign.Grant
					require.NoError(t, json.Unmarshal(text, &decoded))
					r, err := decoded.Request(t.Context(), open(), size)
					require.Less(t, s.do(t, r, err), 300, "%s %s", kind, from)
					require.Equal(t, size >= 2<<20, r.Header.Get("Expect") == "100-continue")
					if strings.HasPrefix(kind, "part") {
						continue
					}
					stored, ok := server.Object(s3test.DefaultBucket, grant.Key)
					require.True(t, ok)
					require.True(t, bytes.Equal(content, stored.Body), "%s %s", kind, from)
					_, err = s.CompleteForAnyOwner(t.Context(), grant.Key)
					require.NoError(t, err)
				}
			}
		}
	}
}

// bufferOf returns a reader that cannot seek.
func bufferOf(content []byte) io.Reader { return struct{ io.Reader }{bytes.NewReader(content)} }

// TestRequestTwice checks that the body of a seekable file can be sent again,
// even after other reads, but that the body of a stream cannot.
func TestRequestTwice(t *testing.T) {
	s := open(t, s3test.New(), multipartPolicy())
	file := bytes.NewReader(append([]byte("x"), png...))
	_, err := file.Seek(1, io.SeekStart)
	require.NoError(t, err)
	for kind, grant := range s.grants(t, int64(len(png))) {
		r, err := grant.Request(t.Context(), file, int64(len(png)))
		require.NoError(t, err)
		require.Equal(t, len(png), file.Len(), "Request must not move the offset")
		first, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		for range 2 {
			again, err := r.GetBody()
			require.NoError(t, err)
			half, err := io.ReadAll(io.LimitReader(again, int64(len(first)/2)))
			require.NoError(t, err)
			r.Body, err = r.GetBody()
			require.NoError(t, err)
			rest, err := io.ReadAll(again)
			require.NoError(t, err)
			require.Equal(t, first, append(half, rest...), kind)
		}
		require.EqualValues(t, len(first), r.ContentLength)
		require.Less(t, s.do(t, r, nil), 300)

		r, err = grant.Request(t.Context(), bufferOf(png), int64(len(png)))
		require.NoError(t, err)
		require.Nil(t, r.GetBody)
	}
	in, out, err := os.Pipe()
	require.NoError(t, err)
	_, err = out.Write(png)
	require.NoError(t, err)
	require.NoError(t, out.Close())
	r, err := s.grants(t, int64(len(png)))["PUT"].Request(t.Context(), in, int64(len(png)))
	require.NoError(t, err)
	require.Nil(t, r.GetBody)
	require.Equal(t, 200, s.do(t, r, nil))
}

// TestRequestOfShortFile checks that a truncated file is not uploaded, even by
// a form that allows the size of the truncated file.
func TestRequestOfShortFile(t *testing.T) {
	s := open(t, s3test.Start(t), multipartPolicy())
	form, err := s.Post(t.Context(), presign.Upload{Filename: "a.png"})
	require.NoError(t, err)
	grants := s.grants(t, int64(len(png))+1)
	grants["form of any size"] = form
	for kind, grant := range grants {
		for _, file := range []io.Reader{bytes.NewReader(png), bufferOf(png)} {
			r, err := grant.Request(t.Context(), file, int64(len(png))+1)
			require.NoError(t, err)
			_, err = s.store.HTTPClient().Do(r)
			require.ErrorContains(t, err, "presign: the file ends 1 bytes early", kind)
		}
	}
	require.Empty(t, s.keys())
}

func TestRequestRejects(t *testing.T) {
	const secretURL = "https://s3.test/bucket/a.png?X-Amz-Signature=5ecre7"
	good := presign.Grant{Method: "PUT", URL: secretURL}
	for want, c := range map[string]struct {
		grant presign.Grant
		file  io.Reader
		size  int64
	}{
		`the grant's method must be "PUT" or "POST", got ""`: {presign.Grant{URL: secretURL},
			bytes.NewReader(png), 1},
		`the grant's method must be "PUT" or "POST", got "GET"`: {
			presign.Grant{Method: "GET", URL: secretURL}, bytes.NewReader(png), 1,
		},
		"the grant of a form must have fields": {presign.Grant{Method: "POST", URL: secretURL},
			bytes.NewReader(png), 1},
		"the file must not be nil":         {good, nil, 1},
		"must be at least 1 byte, got 0":   {good, bytes.NewReader(nil), 0},
		"must be at least 1 byte, got -1":  {good, bytes.NewReader(png), -1},
		"URL must be an https or http URL": {presign.Grant{Method: "PUT"}, bytes.NewReader(png), 1},
		"the grant's URL must be ": {presign.Grant{Method: "PUT", URL: secretURL + "\n"},
			bytes.NewReader(png), 1},
		"presign: the grant's URL must": {presign.Grant{
			Method: "PUT", URL: "ftp" + strings.TrimPrefix(secretURL, "https"),
		}, bytes.NewReader(png), 1},
		"presign: the grant's URL must be": {presign.Grant{
			Method: "PUT", URL: strings.TrimPrefix(secretURL, "https://s3.test"),
		}, bytes.NewReader(png), 1},
	} {
		_, err := c.grant.Request(context.Background(), c.file, c.size)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "5ecre7")
	}
}

// TestRequestKeepsURLFromRedirects checks that a client that follows a redirect
// does not reveal the URL.
func TestRequestKeepsURLFromRedirects(t *testing.T) {
	s := open(t, s3test.New(), multipartPolicy())
	for _, status := range []int{301, 302, 303, 307, 308} {
		for kind, grant := range s.grants(t, int64(len(png))) {
			var redirected *http.Request
			elsewhere := httptest.NewServer(
				http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { redirected = r }))
			defer elsewhere.Close()
			store := httptest.NewServer(
				http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					http.Redirect(w, r, elsewhere.URL, status)
				}))
			defer store.Close()
			signed, err := url.Parse(grant.URL)
			require.NoError(t, err)
			signed.Scheme, signed.Host = "http", strings.TrimPrefix(store.URL, "http://")
			grant.URL = signed.String()
			r, err := grant.Request(t.Context(), bytes.NewReader(png), int64(len(png)))
			require.NoError(t, err)
			response, err := http.DefaultClient.Do(r)
			require.NoError(t, err)
			response.Body.Close()
			require.NotNil(t, redirected)
			require.Equal(t, "about:blank", redirected.Referer(), "%s %d", kind, status)
			require.NotContains(t, redirected.URL.String(), "Signature")
		}
	}
}

// TestRequestIsRejectedBeforeFileIsSent checks that a large file is not read if
// the store rejects the request.
func TestRequestIsRejectedBeforeFileIsSent(t *testing.T) {
	s := open(t, s3test.Start(t), multipartPolicy())
	for kind, grant := range s.grants(t, partSize) {
		if kind == "form" {
			continue // The store must read the fields of a form.
		}
		grant.URL = strings.Replace(grant.URL, "X-Amz-Signature=", "X-Amz-Signature=0", 1)
		read := iotest.ErrReader(errors.New("the file must not be read"))
		r, err := grant.Request(t.Context(), read, partSize)
		require.NoError(t, err)
		transport := s.store.HTTPClient().Transport.(*http.Transport).Clone()
		transport.ExpectContinueTimeout = 1 << 40 // The response arrives earlier.
		response, err := transport.RoundTrip(r)
		require.NoError(t, err, kind)
		require.Equal(t, 403, response.StatusCode)
		response.Body.Close()
		transport.CloseIdleConnections()
	}
}
