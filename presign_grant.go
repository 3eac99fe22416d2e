package presign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/s3presign/presign/internal/jsonstring"
	"github.com/s3presign/presign/internal/sigv4"
)

// expectContinueSize is from how many bytes on a request asks before it sends them. The SDK asks from there on, too.
const expectContinueSize = 2 << 20

// Grant is an upload that was granted: everything a client needs for it, and nothing else. It is a secret of the one who
// asked until it expires: whoever holds it can upload, as often as its kind allows until then.
//
// A Grant marshals to the JSON that the Handler answers with, where "expires_in" beside "expires_at" counts the seconds
// that are left when it is marshalled, for clients whose clock is wrong. A struct that embeds a Grant marshals like it,
// without members of its own.
type Grant struct {
	// Method is "PUT" or "POST".
	Method string `json:"method"`

	// URL is where the request goes.
	URL string `json:"url"`

	// Headers of a PUT are sent exactly as they are here. Host and Content-Length are signed too, but clients set them
	// by themselves, and browsers let nobody else.
	Headers map[string]string `json:"headers,omitempty"`

	// Fields of a POST go, exactly as they are here, before the file into a multipart/form-data body. The file comes
	// last and its field has the name "file".
	Fields map[string]string `json:"fields,omitempty"`

	// Key is the key of the object.
	Key string `json:"key"`

	// Expires is when the last upload can begin. It is never later than the end of the credentials that signed.
	Expires time.Time `json:"expires_at"`
}

// MarshalJSON returns the wire form.
func (g Grant) MarshalJSON() ([]byte, error) {
	return (&signed{g, pairs(g.Headers), pairs(g.Fields)}).appendJSON(nil)
}

// signed is a Grant as it was signed, with nothing in its maps yet: a map of a form costs as much as its signature, and
// the Handler needs none.
type signed struct {
	Grant
	headers, fields []sigv4.Pair
}

// grant returns it for those who want maps.
func (g *signed) grant() *Grant {
	if g == nil {
		return nil
	}
	g.Headers, g.Fields = asMap(g.headers), asMap(g.fields)
	return &g.Grant
}

func asMap(pairs []sigv4.Pair) map[string]string {
	if pairs == nil {
		return nil
	}
	m := make(map[string]string, len(pairs))
	for _, p := range pairs {
		m[p.Name] = p.Value
	}
	return m
}

func (g *signed) appendJSON(b []byte) ([]byte, error) {
	size := 256 + len(g.URL) + len(g.Key)
	for _, members := range [][]sigv4.Pair{g.headers, g.fields} {
		for _, m := range members {
			size += len(m.Name) + len(m.Value) + 8
		}
	}
	b = slices.Grow(b, size)
	text := func(before, s string) {
		b = append(b, before...)
		b, _ = jsonstring.Append(b, s)
	}
	object := func(name string, members []sigv4.Pair) {
		if len(members) == 0 {
			return
		}
		text(",", name)
		before := ":{"
		for _, m := range members {
			text(before, m.Name)
			text(":", m.Value)
			before = ","
		}
		b = append(b, '}')
	}
	text(`{"method":`, g.Method)
	text(`,"url":`, g.URL)
	object("headers", g.headers)
	object("fields", g.fields)
	text(`,"key":`, g.Key)
	b, err := g.Expires.AppendText(append(b, `,"expires_at":"`...))
	if err != nil {
		return nil, fmt.Errorf("presign: the grant's Expires: %w", err)
	}
	b = append(b, `","expires_in":`...)
	b = strconv.AppendInt(b, max(0, int64(time.Until(g.Expires)/time.Second)), 10)
	return append(b, '}'), nil
}

// String leaves out all that is secret, so that a Grant can be printed.
func (g Grant) String() string { return g.LogValue().String() }

// LogValue leaves out all that is secret, so that a Grant can be logged: by itself, since what marshals to JSON with a Grant
// in it, as slog's JSON handler does with a struct, has it whole.
func (g Grant) LogValue() slog.Value {
	return slog.GroupValue(slog.String("method", g.Method), slog.String("key", g.Key), slog.Time("expires_at", g.Expires))
}

// Request returns the HTTP request that uploads the next size bytes of file, for clients in Go. The Grant may come from
// a Signer or a Multipart, or be decoded from the Handler's JSON; of a part's URL, &Grant{Method: "PUT", URL: …} is one.
// S3 answers 200 or 204, with the ETag, if it has taken the file.
//
// A file that has less than size bytes fails the request; of one that has more, the rest is not read. It is read while
// the request is sent, and not closed. If it is an io.ReaderAt and an io.Seeker, as *os.File and *io.SectionReader are,
// its offset stays where it is, and the request has a GetBody, with which http.Transport sends it again where a connection
// had ended before. From 2 MiB on it expects "100-continue": what S3 refuses, it then refuses before the file is sent,
// instead of breaking the connection meanwhile.
//
// The URL is a secret, and the *url.Error that http.Client returns has it in its text; that of its Err has not. A grant
// is for one host, so the client's CheckRedirect had best return http.ErrUseLastResponse. A client that follows a redirect
// nevertheless does not tell the URL there: the request has a Referer of its own.
func (g Grant) Request(ctx context.Context, file io.Reader, size int64) (*http.Request, error) {
	switch {
	case g.Method != http.MethodPut && g.Method != http.MethodPost:
		return nil, fmt.Errorf("presign: the grant's method is %q; it is PUT or POST", excerpt(g.Method))
	case g.Method == http.MethodPost && len(g.Fields) == 0:
		return nil, errors.New("presign: the grant is a form without fields")
	case file == nil:
		return nil, errors.New("presign: there is no file to upload")
	case size <= 0:
		return nil, fmt.Errorf("presign: the file has %d bytes; S3 wants to know how many come, and none is granted for nothing", size)
	}
	r, err := http.NewRequestWithContext(ctx, g.Method, g.URL, nil)
	if err != nil || r.URL.Host == "" || r.URL.Scheme != "https" && r.URL.Scheme != "http" {
		return nil, errors.New("presign: the grant's URL is none of https or http") // err would tell it
	}
	for name, value := range g.Headers {
		r.Header.Set(name, value)
	}
	var before, behind []byte
	if g.Method == http.MethodPost {
		var contentType string
		before, behind, contentType = g.form()
		r.Header.Set("Content-Type", contentType)
	}
	r.ContentLength = int64(len(before)) + size + int64(len(behind))
	if r.ContentLength >= expectContinueSize {
		r.Header.Set("Expect", "100-continue")
	}
	// Or http.Client names the URL to where it is redirected: https://www.rfc-editor.org/rfc/rfc9110#name-referer.
	r.Header.Set("Referer", "about:blank")

	body := func(content io.Reader) io.ReadCloser {
		return io.NopCloser(io.MultiReader(bytes.NewReader(before), &exact{content, size}, bytes.NewReader(behind)))
	}
	random, ok := file.(interface {
		io.ReaderAt
		io.Seeker
	})
	if ok {
		if start, err := random.Seek(0, io.SeekCurrent); err == nil { // a pipe is an *os.File as well
			r.GetBody = func() (io.ReadCloser, error) { return body(io.NewSectionReader(random, start, size)), nil }
			r.Body, _ = r.GetBody()
			return r, nil
		}
	}
	r.Body = body(io.LimitReader(file, size))
	return r, nil
}

// form returns what is before and behind the file in the body of a form.
func (g Grant) form() (before, behind []byte, contentType string) {
	var b bytes.Buffer // which never fails
	w := multipart.NewWriter(&b)
	for _, field := range pairs(g.Fields) {
		_ = w.WriteField(field.Name, field.Value)
	}
	_, _ = w.CreateFormFile("file", "file")
	n := b.Len()
	_ = w.Close()
	return b.Bytes()[:n], b.Bytes()[n:], w.FormDataContentType()
}

// exact fails where a file is shorter than was said. Otherwise the rest of a form would follow, and make it one.
type exact struct {
	io.Reader
	left int64
}

func (e *exact) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	e.left -= int64(n)
	if err == io.EOF && e.left > 0 {
		return n, fmt.Errorf("presign: the file ends %d bytes early", e.left)
	}
	return n, err
}
