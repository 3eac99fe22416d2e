package grant

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"

	"github.com/s3presign/presign/internal/rules"
)

// expectContinueSize is the size in bytes from which a request asks the store
// before it sends the body. The SDK has the same threshold.
const expectContinueSize = 2 << 20

// NewRequest returns the HTTP request that uploads the next size bytes of file.
// The documentation of presign.Grant.Request describes it.
func (g *Grant) NewRequest(ctx context.Context, file io.Reader, size int64) (*http.Request, error) {
	switch {
	case g.Method != http.MethodPut && g.Method != http.MethodPost:
		return nil, fmt.Errorf(`presign: the grant's method must be "PUT" or "POST", got "%s"`,
			rules.Excerpt(g.Method))
	case g.Method == http.MethodPost && len(g.Fields) == 0:
		return nil, errors.New("presign: the grant of a form must have fields")
	case file == nil:
		return nil, errors.New("presign: the file must not be nil")
	case size <= 0:
		return nil, fmt.Errorf("presign: the size of the file must be at least 1 byte, got %d",
			size)
	}
	r, err := http.NewRequestWithContext(ctx, g.Method, g.URL, nil)
	if err != nil || r.URL.Host == "" || r.URL.Scheme != "https" && r.URL.Scheme != "http" {
		// The parse error contains the URL.
		return nil, errors.New("presign: the grant's URL must be an https or http URL")
	}
	for _, h := range g.Headers {
		r.Header.Set(h.Name, h.Value)
	}
	var header, trailer []byte
	if g.Method == http.MethodPost {
		var contentType string
		header, trailer, contentType = g.form()
		r.Header.Set("Content-Type", contentType)
	}
	r.ContentLength = int64(len(header)) + size + int64(len(trailer))
	if r.ContentLength >= expectContinueSize {
		r.Header.Set("Expect", "100-continue")
	}
	// Otherwise, http.Client would send the URL to the host of a redirect:
	// https://www.rfc-editor.org/rfc/rfc9110#name-referer.
	r.Header.Set("Referer", "about:blank")

	body := func(content io.Reader) io.ReadCloser {
		return io.NopCloser(io.MultiReader(
			bytes.NewReader(header), &exactReader{content, size}, bytes.NewReader(trailer)))
	}
	random, ok := file.(interface {
		io.ReaderAt
		io.Seeker
	})
	if ok {
		// Seek fails for a pipe, although a pipe is an *os.File.
		if start, err := random.Seek(0, io.SeekCurrent); err == nil {
			r.GetBody = func() (io.ReadCloser, error) {
				return body(io.NewSectionReader(random, start, size)), nil
			}
			r.Body, _ = r.GetBody()
			return r, nil
		}
	}
	r.Body = body(io.LimitReader(file, size))
	return r, nil
}

// form returns the bytes before and after the file in the body of a form, and
// the Content-Type of the body.
func (g *Grant) form() (header, trailer []byte, contentType string) {
	var b bytes.Buffer // Writing to a bytes.Buffer never fails.
	w := multipart.NewWriter(&b)
	for _, field := range g.Fields {
		_ = w.WriteField(field.Name, field.Value)
	}
	_, _ = w.CreateFormFile("file", "file")
	n := b.Len()
	_ = w.Close()
	return b.Bytes()[:n], b.Bytes()[n:], w.FormDataContentType()
}

// exactReader returns an error if the file is shorter than its stated size.
// Otherwise the form trailer would follow and a truncated file would look
// complete.
type exactReader struct {
	io.Reader
	left int64
}

func (e *exactReader) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	e.left -= int64(n)
	if err == io.EOF && e.left > 0 {
		return n, fmt.Errorf("presign: the file ends %d bytes early", e.left)
	}
	return n, err
}
