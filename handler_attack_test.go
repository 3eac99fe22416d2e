package presign_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/conformance"
	"github.com/s3presign/presign/internal/test/s3test"
)

// policyUnderAttack sets the policy for the requests below.
func policyUnderAttack(p *presign.Policy) { p.Metadata = []string{"color"} }

// An attack is a request of a hostile client, with the status of the expected
// problem and the member at fault.
type attack struct {
	name, body string
	status     int
	field      string
}

// TestHostileRequests checks that each request receives a problem that names
// its fault, and that nothing is signed.
func TestHostileRequests(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000)
	for _, a := range []attack{
		{"nothing", ``, 400, ""},
		{"half an object", `{`, 400, ""},
		{"an array", `[]`, 400, ""},
		{"null", `null`, 400, ""},
		{"a string", `"a"`, 400, ""},
		{"two objects", `{} {}`, 400, ""},
		{"trailing data", `{"filename": "a.png"}x`, 400, ""},
		{"a trailing NUL", "{\"filename\": \"a.png\"}\x00", 400, ""},
		{"a trailing comma", `{"filename": "a.png",}`, 400, ""},
		{"a comment", `{"filename": "a.png" /* a */}`, 400, ""},
		{"single quotes", `{'filename': 'a.png'}`, 400, ""},
		{"objects nested 5,000 deep", deep, 400, ""},
		{"objects nested 5,000 deep, as metadata", `{"filename": "a.png", "metadata": ` + deep + `}`, 400, ""},
		{"arrays nested 60,000 deep", strings.Repeat("[", 60000), 400, ""},
		{"more than 64 KiB", `{"filename": "` + strings.Repeat("a", 64<<10) + `"}`, 413, ""},
		{"two byte order marks", "\xef\xbb\xbf\xef\xbb\xbf{}", 400, ""},
		{"a byte order mark at the end", "{}\xef\xbb\xbf", 400, ""},
		{"UTF-16", "\xff\xfe{\x00}\x00", 400, ""},

		{"a duplicate member", `{"filename": "a.png", "filename": "b.png"}`, 400, "filename"},
		{"a duplicate member, escaped", `{"size": 10, "filename": "a.png", "si\u007ae": 20}`, 400, "size"},
		{"a duplicate member, equal", `{"filename": "a.png", "size": 10, "size": 10}`, 400, "size"},
		{"a duplicate name in metadata", `{"filename": "a.png", "metadata": {"color": "a", "color": "b"}}`, 400, "metadata[color]"},
		{"duplicate metadata", `{"filename": "a.png", "metadata": {"color": "a"}, "metadata": {}}`, 400, "metadata"},
		{"a member in other letter case", `{"filename": "a.png", "Size": 10}`, 400, "Size"},
		{"a member in capitals", `{"FILENAME": "a.png"}`, 400, "FILENAME"},
		{"a member with a long s", `{"filename": "a.png", "\u017fize": 10}`, 400, "\u017fize"},
		{"a member with a space", `{"filename": "a.png", "size ": 10}`, 400, "size "},
		{"a member without a name", `{"filename": "a.png", "": 10}`, 400, `""`},

		{"a key", `{"filename": "a.png", "key": "uploads/other.png"}`, 400, "key"},
		{"an owner", `{"filename": "a.png", "owner": "root"}`, 400, "owner"},
		{"a redirect", `{"filename": "a.png", "redirect": "https://evil.example"}`, 400, "redirect"},
		{"a bucket", `{"filename": "a.png", "bucket": "another"}`, 400, "bucket"},
		{"headers", `{"filename": "a.png", "headers": {"x-amz-acl": "public-read"}}`, 400, "headers"},
		{"an access list", `{"filename": "a.png", "acl": "public-read"}`, 400, "acl"},
		{"__proto__", `{"filename": "a.png", "__proto__": {}}`, 400, "__proto__"},
		{"constructor", `{"filename": "a.png", "constructor": {"prototype": {}}}`, 400, "constructor"},

		{"a number for a name", `{"filename": 5}`, 400, "filename"},
		{"null for a name", `{"filename": null}`, 422, "filename"},
		{"null for a duplicate name", `{"filename": null, "filename": "a.png"}`, 400, "filename"},
		{"null for an unknown member", `{"filename": "a.png", "key": null}`, 400, "key"},
		{"an array for a name", `{"filename": ["a.png"]}`, 400, "filename"},
		{"an object for a name", `{"filename": {}}`, 400, "filename"},
		{"a string for a size", `{"filename": "a.png", "size": "10"}`, 400, "size"},
		{"true for a size", `{"filename": "a.png", "size": true}`, 400, "size"},
		{"an array for a size", `{"filename": "a.png", "size": [10]}`, 400, "size"},
		{"an array for metadata", `{"filename": "a.png", "metadata": ["color"]}`, 400, "metadata"},
		{"a number in metadata", `{"filename": "a.png", "metadata": {"color": 5}}`, 400, "metadata[color]"},

		{"a fraction", `{"filename": "a.png", "size": 10.5}`, 400, "size"},
		{"a small fraction", `{"filename": "a.png", "size": 10.000000000000000001}`, 400, "size"},
		{"a fraction of minus zero", `{"filename": "a.png", "size": -0.0}`, 400, "size"},
		{"a fraction with an exponent", `{"filename": "a.png", "size": 10.0e0}`, 400, "size"},
		{"an exponent", `{"filename": "a.png", "size": 1e2}`, 400, "size"},
		{"an exponent in capitals", `{"filename": "a.png", "size": 1E2}`, 400, "size"},
		{"a negative exponent", `{"filename": "a.png", "size": 1000e-1}`, 400, "size"},
		{"minus zero", `{"filename": "a.png", "size": -0}`, 400, "size"},
		{"2^63", `{"filename": "a.png", "size": 9223372036854775808}`, 400, "size"},
		{"2^64 + 10", `{"filename": "a.png", "size": 18446744073709551626}`, 400, "size"},
		{"more than any float", `{"filename": "a.png", "size": 1e400}`, 400, "size"},
		{"60,000 digits", `{"filename": "a.png", "size": ` + strings.Repeat("9", 60000) + `}`, 400, "size"},
		{"a zero in front", `{"filename": "a.png", "size": 010}`, 400, ""},
		{"a plus in front", `{"filename": "a.png", "size": +10}`, 400, ""},
		{"NaN", `{"filename": "a.png", "size": NaN}`, 400, ""},
		{"Infinity", `{"filename": "a.png", "size": Infinity}`, 400, ""},
		{"hexadecimal", `{"filename": "a.png", "size": 0x10}`, 400, ""},
		{"size 0", `{"filename": "a.png", "size": 0}`, 422, "size"},
		{"size -1", `{"filename": "a.png", "size": -1}`, 422, "size"},
		{"size -2^63", `{"filename": "a.png", "size": -9223372036854775808}`, 422, "size"},
		{"size 2^63-1", `{"filename": "a.png", "size": 9223372036854775807}`, 422, "size"},
		{"a byte too many", `{"filename": "a.png", "size": 1001}`, 422, "size"},
		{"a byte too few", `{"filename": "a.png", "size": 9}`, 422, "size"},
		{"min_size 0", `{"filename": "a.png", "min_size": 0}`, 422, "min_size"},
		{"min_size below the policy", `{"filename": "a.png", "min_size": 1}`, 422, "min_size"},
		{"min_size above max_size", `{"filename": "a.png", "min_size": 30, "max_size": 20}`, 422, "min_size"},
		{"max_size 0", `{"filename": "a.png", "max_size": 0}`, 422, "max_size"},
		{"max_size 2^63-1", `{"filename": "a.png", "max_size": 9223372036854775807}`, 422, "max_size"},
		{"a size above its own range", `{"filename": "a.png", "size": 30, "max_size": 20}`, 422, "size"},
		{"no time", `{"filename": "a.png", "expires_in": 0}`, 422, "expires_in"},
		{"negative time", `{"filename": "a.png", "expires_in": -1}`, 422, "expires_in"},
		{"too much time", `{"filename": "a.png", "expires_in": 901}`, 422, "expires_in"},
		{"time that overflows", `{"filename": "a.png", "expires_in": 9223372036854775807}`, 422, "expires_in"},
		{"a fraction of time", `{"filename": "a.png", "expires_in": 0.5}`, 400, "expires_in"},

		{"invalid UTF-8", "{\"filename\": \"a\xff.png\"}", 400, ""},
		{"overlong UTF-8", "{\"filename\": \"\xc0\xae\xc0\xae\xc0\xafa.png\"}", 400, ""},
		{"a surrogate in UTF-8", "{\"filename\": \"\xed\xa0\x80.png\"}", 400, ""},
		{"a lone surrogate", `{"filename": "a\ud800.png"}`, 400, ""},
		{"surrogates in the wrong order", `{"filename": "\udc00\ud800.png"}`, 400, ""},
		{"a lone surrogate in a member", `{"filename": "a.png", "\ud800": 1}`, 400, ""},
		{"a lone surrogate in metadata", `{"filename": "a.png", "metadata": {"color": "\udfff"}}`, 400, ""},

		{"no name", `{}`, 422, "filename"},
		{"an empty name", `{"filename": ""}`, 422, "filename"},
		{"a name that is a path upwards", `{"filename": "../a.png"}`, 422, "filename"},
		{"a name that is a path downwards", `{"filename": "a/b.png"}`, 422, "filename"},
		{"a name that is a path of Windows", `{"filename": "a\\b.png"}`, 422, "filename"},
		{"a name that is a folder", `{"filename": ".."}`, 422, "filename"},
		{"a name that is this folder", `{"filename": "."}`, 422, "filename"},
		{"a NUL in a name", `{"filename": "a\u0000.png"}`, 422, "filename"},
		{"a line break in a name", `{"filename": "a\r\nx-amz-acl: public-read.png"}`, 422, "filename"},
		{"a line feed in a name", `{"filename": "a\nb.png"}`, 422, "filename"},
		{"a carriage return in a name", `{"filename": "a\rb.png"}`, 422, "filename"},
		{"Unicode's line break in a name", `{"filename": "a\u2028b.png"}`, 422, "filename"},
		{"a C1 control in a name", `{"filename": "a\u0085.png"}`, 422, "filename"},
		{"an override of direction in a name", `{"filename": "gpj.\u202eexe"}`, 422, "filename"},
		{"an isolate of direction in a name", `{"filename": "\u2067a.png"}`, 422, "filename"},
		{"HTML with a mark of direction at the end, as a picture", `{"filename": "a.html\u200f", "type": "image/png"}`, 422, "type"},
		{"HTML with an Arabic letter mark inside, as a picture", `{"filename": "a.ht\u061cml", "type": "image/png"}`, 422, "type"},
		{"a long name", `{"filename": "` + strings.Repeat("a", 300) + `"}`, 422, "filename"},

		{"HTML as a picture", `{"filename": "a.png", "type": "text/html"}`, 422, "type"},
		{"HTML", `{"filename": "a.html", "type": "text/html"}`, 422, "type"},
		{"HTML without a type", `{"filename": "a.html"}`, 422, "type"},
		{"HTML of an unknown type", `{"filename": "a.html", "type": "application/octet-stream"}`, 422, "type"},
		{"a picture by its type, HTML by its name", `{"filename": "a.html", "type": "image/png"}`, 422, "type"},
		{"a picture with the extension of HTML", `{"filename": "a.png.html", "type": "image/png"}`, 422, "type"},
		{"a picture with the extension of HTML in capitals", `{"filename": "a.PNG.HTML", "type": "image/png"}`, 422, "type"},
		{"the extension of HTML with a dot behind", `{"filename": "a.html.", "type": "image/png"}`, 422, "type"},
		{"the extension of HTML with spaces behind", `{"filename": "a.html . ", "type": "image/png"}`, 422, "type"},
		{"SVG, which a wildcard does not allow", `{"filename": "a.svg", "type": "image/svg+xml"}`, 422, "type"},
		{"SVG by its type alone", `{"filename": "a", "type": "image/svg+xml"}`, 422, "type"},
		{"any XML by its type alone", `{"filename": "a", "type": "image/x+xml"}`, 422, "type"},
		{"a parameter that is a type", `{"filename": "a", "type": "image/jpegz;text/html"}`, 422, "type"},
		{"a parameter that is a type, in front", `{"filename": "a", "type": "text/html;image/png"}`, 422, "type"},
		{"a list of types", `{"filename": "a.png", "type": "image/png,text/html"}`, 422, "type"},
		{"a list of types behind a parameter", `{"filename": "a.png", "type": "image/png;charset=x,text/html"}`, 422, "type"},
		{"a list of types in a quote that does not end", `{"filename": "a.png", "type": "image/png;a=\"b,text/html"}`, 422, "type"},
		{"two types with a space", `{"filename": "a.png", "type": "image/png text/html"}`, 422, "type"},
		{"two types with a tab", `{"filename": "a.png", "type": "image/png\ttext/html"}`, 422, "type"},
		{"a type with a header behind", `{"filename": "a", "type": "image/png\r\nx-amz-acl: public-read"}`, 422, "type"},
		{"a type with a NUL", `{"filename": "a", "type": "image/png\u0000"}`, 422, "type"},
		{"a type beyond ASCII", `{"filename": "a", "type": "ımage/png"}`, 422, "type"},
		{"a pattern for a type", `{"filename": "a", "type": "image/*"}`, 422, "type"},
		{"any type", `{"filename": "a", "type": "*/*"}`, 422, "type"},
		{"a type that browsers guess", `{"filename": "a", "type": "unknown/unknown"}`, 422, "type"},
		{"a type that contradicts the name", `{"filename": "a.pdf", "type": "image/png"}`, 422, "type"},
		{"a type of 60,000 bytes", `{"filename": "a", "type": "image/` + strings.Repeat("a", 60000) + `"}`, 422, "type"},

		{"a method in other letter case", `{"filename": "a.png", "method": "put"}`, 422, "method"},
		{"DELETE", `{"filename": "a.png", "method": "DELETE"}`, 422, "method"},
		{"GET", `{"filename": "a.png", "size": 10, "method": "GET"}`, 422, "method"},
		{"two methods", `{"filename": "a.png", "size": 10, "method": "PUT\r\nGET"}`, 422, "method"},
		{"a PUT of any size", `{"filename": "a.png", "method": "PUT"}`, 422, "size"},
		{"a checksum that the policy does not require", `{"filename": "a.png", "checksum": "AAAA"}`, 422, "checksum"},
		{"metadata of another name", `{"filename": "a.png", "metadata": {"x": "y"}}`, 422, "metadata[x]"},
		{"metadata with the name of the stamp", `{"filename": "a.png", "metadata": {"presign": "A"}}`, 422, "metadata[presign]"},
		{"metadata with the name of the stamp in capitals", `{"filename": "a.png", "metadata": {"PRESIGN": "A"}}`, 422, "metadata[PRESIGN]"},
		{"metadata with the prefix of S3", `{"filename": "a.png", "metadata": {"x-amz-meta-color": "a"}}`, 422, "metadata[x-amz-meta-color]"},
		{"metadata without a name", `{"filename": "a.png", "metadata": {"": "y"}}`, 422, "metadata[]"},
		{"metadata named like a prototype", `{"filename": "a.png", "metadata": {"__proto__": "y"}}`, 422, "metadata[__proto__]"},
		{"metadata whose name is a header", `{"filename": "a.png", "metadata": {"color: a\r\nx-amz-acl": "public-read"}}`, 422, `metadata[color: a\r\nx-amz-acl]`},
		{"metadata with a header behind", `{"filename": "a.png", "metadata": {"color": "a\r\nx-amz-acl: public-read"}}`, 422, "metadata[color]"},
		{"metadata twice, in other letter case", `{"filename": "a.png", "metadata": {"color": "a", "Color": "b"}}`, 422, "metadata[Color]"},
		{"metadata beyond ASCII", `{"filename": "a.png", "metadata": {"color": "é"}}`, 422, "metadata[color]"},
		{"metadata of spaces", `{"filename": "a.png", "metadata": {"color": " "}}`, 422, "metadata[color]"},
		{"metadata of 2,100 bytes", `{"filename": "a.png", "metadata": {"color": "` + strings.Repeat("a", 2100) + `"}}`, 422, "metadata"},
	} {
		t.Run(a.name, func(t *testing.T) { a.requireRejected(t, jsonRequest) })
	}
}

// TestHostileForms checks that each form receives a problem that names its
// fault, and that nothing is signed.
func TestHostileForms(t *testing.T) {
	for _, a := range []attack{
		{"nothing", "", 422, "filename"},
		{"a field twice", "filename=a.png&filename=b.png", 400, "filename"},
		{"a field twice, escaped", "filename=a.png&file%6eame=b.png", 400, "filename"},
		{"a field in other letter case", "filename=a.png&Size=10", 400, "Size"},
		{"a key", "filename=a.png&key=uploads/b.png", 400, "key"},
		{"an override of the method", "filename=a.png&size=10&_method=DELETE", 400, "_method"},
		{"metadata that is no object", "filename=a.png&metadata=x", 400, "metadata"},
		{"a size that is an object", "filename=a.png&size[a]=10", 400, "size[a]"},
		{"a size that is a list", "filename=a.png&size[]=10", 400, "size[]"},
		{"metadata twice", "filename=a.png&metadata[color]=a&metadata[color]=b", 400, "metadata[color]"},
		{"metadata without a name", "filename=a.png&metadata[]=a", 422, "metadata[]"},
		{"metadata in metadata", "filename=a.png&metadata[color][a]=a", 422, "metadata[color][a]"},
		{"metadata named like a prototype", "filename=a.png&metadata[__proto__]=a", 422, "metadata[__proto__]"},
		{"an empty size twice", "filename=a.png&size=&size=", 400, "size"},
		{"an empty unknown field", "filename=a.png&key=", 400, "key"},
		{"an empty name", "filename=", 422, "filename"},
		{"a size with a space", "filename=a.png&size=+10", 400, "size"},
		{"a size with a plus", "filename=a.png&size=%2B10", 400, "size"},
		{"a size with an underscore", "filename=a.png&size=1_0", 400, "size"},
		{"a hexadecimal size", "filename=a.png&size=0x10", 400, "size"},
		{"a fraction", "filename=a.png&size=10.0", 400, "size"},
		{"an exponent", "filename=a.png&size=1e2", 400, "size"},
		{"digits of another script", "filename=a.png&size=%D9%A1%D9%A0", 400, "size"},
		{"20 digits", "filename=a.png&size=99999999999999999999", 400, "size"},
		{"size 0", "filename=a.png&size=0", 422, "size"},
		{"size -1", "filename=a.png&size=-1", 422, "size"},
		{"invalid UTF-8", "filename=%ff", 400, "filename"},
		{"a NUL", "filename=a%00", 422, "filename"},
		{"a line break", "filename=a%0D%0Ab.png", 422, "filename"},
		{"an invalid escape", "filename=%zz", 400, ""},
		{"semicolons", "filename=a;size=10", 400, ""},
		{"more than 64 KiB", strings.Repeat("a", 65<<10), 413, ""},
		{"JSON", `{"filename": "a.png", "size": 10}`, 415, ""},
	} {
		t.Run(a.name, func(t *testing.T) { a.requireRejected(t, formRequest) })
	}
}

// requireRejected checks that the request receives the expected problem and is
// not signed.
func (a attack) requireRejected(t *testing.T, request func(string) *http.Request) {
	s := newService(t, with(policyUnderAttack))
	p := requireProblem(t, s.do(request(a.body)), a.status)
	if a.field == "" {
		require.Empty(t, p.Errors)
		require.NotEmpty(t, p.Detail)
	} else {
		require.NotEmpty(t, p.Errors)
		require.Equal(t, a.field, p.Errors[0].Field)
		require.NotEmpty(t, p.Errors[0].Detail)
	}
	require.NotContains(t, p.Message, "\r")
	require.Less(t, len(p.Message), 500)
	require.Zero(t, s.signed)
}

// TestMediaTypes checks that a JSON body is rejected if its Content-Type is not
// application/json, and that a multipart form is rejected. Browsers send some
// of these types to other origins without a preflight request.
func TestMediaTypes(t *testing.T) {
	for contentType, status := range map[string]int{
		"application/json": 201, "application/json; charset=utf-8": 201, "Application/JSON": 201,

		// The body is JSON, so the Handler rejects all other types.
		"application/x-www-form-urlencoded":                415,
		"application/x-www-form-urlencoded; charset=utf-8": 415,
		"": 415, ";": 415, "text/plain": 415, "text/plain; application/json": 415,
		"text/plain;a=application/json": 415, "text/json": 415, "*/*": 415,
		"multipart/form-data; boundary=x": 415, "multipart/form-data": 415,
		"application/jsonp": 415, "application/problem+json": 415, "application/json+x": 415,
		"application/json, text/plain": 415, "application/json,application/json": 415,
		"application/ json": 415, "application/json; charset": 415,
		"application/json; a=b; a=c": 415, "application/csp-report": 415, "application/ſson": 415,
	} {
		s := newService(t, images())
		r := jsonRequest(`{"filename": "a.png", "size": 10}`)
		r.Header.Set("Content-Type", contentType)
		if w := s.do(r); status == 201 {
			require.Equal(t, 201, w.Code, contentType)
		} else {
			requireProblem(t, w, status)
			require.Zero(t, s.signed)
		}
	}
	s := newService(t, images())
	r := jsonRequest("")
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	require.NoError(t,
		errors.Join(w.WriteField("filename", "a.png"), w.WriteField("size", "10"), w.Close()))
	r.Body = io.NopCloser(&form)
	r.Header.Set("Content-Type", w.FormDataContentType())
	requireProblem(t, s.do(r), 415)
}

// TestCrossSite checks that a page of another origin cannot make browsers
// request grants with cookies. Browsers send a preflight request for JSON and
// for methods other than GET, HEAD and POST, and the Handler rejects it.
// Browsers send other requests without a preflight request.
func TestCrossSite(t *testing.T) {
	u := newUppy(t, multipartPolicy())
	s := u.start(t, "a.png", nil)
	const json, form, text = "application/json", "application/x-www-form-urlencoded", "text/plain"
	for _, a := range []struct {
		name, method, path, contentType, body string
		header                                [2]string
		status                                int
	}{
		{"a form of another site", "POST", "", form, "filename=a.png&size=10", [2]string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"a form of a sibling", "POST", "", form, "filename=a.png&size=10", [2]string{"Sec-Fetch-Site", "same-site"}, 403},
		{"a form of another site, in an old browser", "POST", "", form, "filename=a.png&size=10", [2]string{"Origin", "https://evil.example"}, 403},
		{"a form of another port", "POST", "", form, "filename=a.png&size=10", [2]string{"Origin", "http://example.com:8080"}, 403},
		{"a form of a sandbox", "POST", "", form, "filename=a.png&size=10", [2]string{"Origin", "null"}, 403},
		{"a form with JSON as text", "POST", "", text, `{"filename": "a.png", "size": 10}`, [2]string{"Sec-Fetch-Site", "cross-site"}, 415},
		{"a form that completes", "POST", "/complete", form, "key=incoming/a.png", [2]string{"Sec-Fetch-Site", "cross-site"}, 415},
		{"a form that completes, as text", "POST", "/complete", text, `{"key": "incoming/a.png"}`, [2]string{"Sec-Fetch-Site", "cross-site"}, 415},
		{"a form that starts a multipart upload", "POST", "/s3/multipart", text, `{"filename": "a.png"}`, [2]string{"Sec-Fetch-Site", "cross-site"}, 415},
		{"a form that completes a multipart upload", "POST", u.path(s, "/complete", ""), text, `{"parts": []}`, [2]string{"Sec-Fetch-Site", "cross-site"}, 415},
		{"a preflight for JSON", "OPTIONS", "", "", "", [2]string{"Access-Control-Request-Method", "POST"}, 405},
		{"a preflight for an abort", "OPTIONS", u.path(s, "", ""), "", "", [2]string{"Access-Control-Request-Method", "DELETE"}, 405},
		{"a link to a form's fields", "GET", "/s3/params?filename=a.png", "", "", [2]string{"Sec-Fetch-Mode", "navigate"}, 403},
		{"a link to a part", "GET", u.path(s, "/1", ""), "", "", [2]string{"Sec-Fetch-Mode", "navigate"}, 403},
		{"a link to a batch", "GET", u.path(s, "/batch", "partNumbers=1&"), "", "", [2]string{"Sec-Fetch-Mode", "navigate"}, 403},
		{"a script element with a form's fields", "GET", "/s3/params?filename=a.png", "", "", [2]string{"Sec-Fetch-Mode", "no-cors"}, 403},
		{"an image of a part", "GET", u.path(s, "/1", ""), "", "", [2]string{"Sec-Fetch-Mode", "no-cors"}, 403},
		{"a frame of a list", "GET", u.path(s, "", ""), "", "", [2]string{"Sec-Fetch-Mode", "navigate"}, 403},

		{"a form of the site itself", "POST", "", form, "filename=a.png&size=10", [2]string{"Sec-Fetch-Site", "same-origin"}, 201},
		{"a form of a bookmark", "POST", "", form, "filename=a.png&size=10", [2]string{"Sec-Fetch-Site", "none"}, 201},
		{"a form of the site itself, in an old browser", "POST", "", form, "filename=a.png&size=10", [2]string{"Origin", "http://example.com"}, 201},
		{"a script of the site itself", "POST", "", json, `{"filename": "a.png", "size": 10}`, [2]string{"Sec-Fetch-Mode", "cors"}, 201},
		{"a form's fields for a script", "GET", "/s3/params?filename=a.png", "", "", [2]string{"Sec-Fetch-Mode", "same-origin"}, 200},
		{"a list for a script", "GET", u.path(s, "", ""), "", "", [2]string{"Sec-Fetch-Mode", "cors"}, 200},
		{"a part for a script", "GET", u.path(s, "/1", ""), "", "", [2]string{"Sec-Fetch-Mode", "cors"}, 200},
		{"a batch for a script", "GET", u.path(s, "/batch", "partNumbers=1&"), "", "", [2]string{"Sec-Fetch-Mode", "same-origin"}, 200},
	} {
		t.Run(a.name, func(t *testing.T) {
			r := u.request(a.method, a.path, a.body)
			r.Header.Set("Content-Type", a.contentType)
			r.Header.Set(a.header[0], a.header[1])
			w := serve(t, u.handler, r)
			require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
			if a.status < 300 {
				require.Equal(t, a.status, w.Code, w.Body)
			} else {
				requireProblem(t, w, a.status)
			}
		})
	}
	require.Equal(t, []string{s.Key}, u.uploads(t), "the upload must not change")
}

// TestHostileMethods checks that no header or parameter changes the method, and
// that a method without a route receives 405.
func TestHostileMethods(t *testing.T) {
	u := newUppy(t, multipartPolicy())
	s := u.start(t, "a.png", nil)
	for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
		for path, status := range map[string]int{
			"/batch": 405, "/complete": 405, u.path(s, "/complete", "_method=POST&"): 405,
			u.path(s, "", "_method=DELETE&"): 200,
		} {
			r := u.request("GET", path, "")
			r.Header.Set(name, map[int]string{405: "POST", 200: "DELETE"}[status])
			require.Equal(t, status, serve(t, u.handler, r).Code, "%s: %s", name, path)
		}
	}
	require.Equal(t, []string{s.Key}, u.uploads(t), "the upload must not be aborted")
	for _, method := range []string{
		"HEAD", "OPTIONS", "TRACE", "TRACK", "CONNECT", "PUT", "PATCH", "PROPFIND", "COPY", "MOVE",
		"post", "get", "Delete", "POST ", "PÓST", "",
	} {
		for _, path := range []string{
			"", "/batch", "/parts/sign", "/parts/list", "/complete", "/abort", "/s3/params",
			"/s3/multipart", u.path(s, "", ""), u.path(s, "/1", ""), u.path(s, "/batch", ""),
			u.path(s, "/complete", ""),
		} {
			r := u.request("GET", path, "")
			r.Method = method
			requireProblem(t, serve(t, u.handler, r), 405)
		}
	}
}

// TestHostilePaths checks that a path that is not a route, for example another
// spelling of a route, is rejected before authentication.
func TestHostilePaths(t *testing.T) {
	u := newUppy(t, multipartPolicy())
	s := u.start(t, "a.png", nil)
	authenticated := false
	handler, err := presign.NewHandler(u.Signer, func(r *http.Request) (string, error) {
		authenticated = true
		return user(r)
	}, presign.WithUppy())
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/uploads/", http.StripPrefix("/uploads", handler))
	servers := map[string]*httptest.Server{
		"StripPrefix": httptest.NewServer(http.StripPrefix("/uploads", handler)),
		"ServeMux":    httptest.NewServer(mux),
	}
	for name, server := range servers {
		defer server.Close()
		ask := func(target string) int {
			authenticated = false
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			require.NoError(t, err)
			defer conn.Close()
			_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: example.com\r\nX-User: alice\r\n"+
				"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", target)
			require.NoError(t, err)
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			return response.StatusCode
		}
		for _, target := range []string{
			"/uploads/../complete", "/uploads/./complete", "/uploads/x/../complete",
			"/uploads/%2e/complete", "/uploads/%2e%2e/complete", "/uploads/%2E%2E%2Fcomplete",
			"/uploads/..%2fcomplete", "/uploads/x/%2e%2e/complete", "/uploads/%252e%252e/complete",
			"/uploads/%c0%ae%c0%ae/complete", "/uploads/..;/complete", "/uploads/.;/complete",
			"/uploads/complete;x=1", "/uploads;x=1/complete", "/uploads/;/complete",
			"/uploads/complete%00", "/uploads/complete%00/", "/uploads/complete%20",
			"/uploads/complete%0a", "/uploads/complete.",
			"/uploads/complete.json", "/uploads/parts", "/uploads/parts%2fsign",
			"/uploads/parts/sign/x", "/uploads/Parts/sign", "/uploads/parts/signs",
			"/uploads/partssign", "/uploads/batch/x", "/uploads/COMPLETE", "/uploads/complet%45",
			"/uploads/complete/x", "/uploads/complete%2f", "/uploads/%2fcomplete",
			"/uploads%2fcomplete", "/uploads%2Fs3%2Fmultipart",
			"/uploads/s3%2fmultipart", "/uploads/s3/multipart%2f" + s.UploadID + "%2fcomplete",
			"/uploads/s3/multipart/" + s.UploadID + "%2fcomplete",
			"/uploads/s3/multipart/" + s.UploadID + "/x/../complete",
			"/uploads/s3/multipart/..", "/uploads/s3/multipart/../../complete",
			"/uploads/s3\\multipart", "/uploads/s3%5cmultipart", "/uploads/S3/multipart",
			"/uploads/s3/Multipart", "/uploads/s3/sts",
			"/uploadsX/complete", "/UPLOADS/complete", "/upload/complete", "/", "/%75ploads%2f",
			"*",
		} {
			status := ask(target)
			// ServeMux cleans paths with redirects, which a browser can follow.
			redirected := name == "ServeMux" && (status == 301 || status == 307)
			require.True(t, redirected || slices.Contains([]int{400, 404, 405}, status),
				"%s: %s: %d", name, target, status)
			require.False(t, authenticated, "%s: %s: %d", name, target, status)
		}
		// These paths are valid.
		for target, status := range map[string]int{
			"/uploads/complete": 400, "/uploads/complete/": 400,
			"http://evil.example/uploads/complete": 400, "/uploads/": 422,
			"/uploads/?/../complete": 422, "/uploads/%63omplete": 400,
			"/uploads/parts/sign": 400, "/uploads/parts/list": 400, "/uploads/abort": 400,
			"/uploads/batch": 400,
		} {
			require.Equal(t, status, ask(target), "%s: %s", name, target)
			require.True(t, authenticated, "%s: %s", name, target)
		}
	}
	require.Equal(t, []string{s.Key}, u.uploads(t))
}

// TestHostileBodies checks that a body that is too long, too slow or cut off
// has no effect.
func TestHostileBodies(t *testing.T) {
	const whole = `{"filename": "a.png", "size": 10}`
	for _, a := range []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"cut off", func(r *http.Request) { r.Body = io.NopCloser(iotest.ErrReader(io.ErrUnexpectedEOF)) }, 400},
		{"cut off after the object", func(r *http.Request) {
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader(whole),
				iotest.ErrReader(io.ErrUnexpectedEOF)))
		}, 400},
		{"too slow for the server", func(r *http.Request) { r.Body = io.NopCloser(iotest.ErrReader(os.ErrDeadlineExceeded)) }, 400},
		{"spaces without end", func(r *http.Request) {
			r.Body = io.NopCloser(readFunc(func(p []byte) (int, error) {
				return copy(p, "    "), nil
			}))
		}, 413},
		// The Handler need not check the length, since net/http does.
		{"a wrong length", func(r *http.Request) { r.ContentLength = 1 << 60 }, 201},
		{"compressed", func(r *http.Request) {
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			_, err := io.WriteString(w, whole)
			require.NoError(t, errors.Join(err, w.Close()))
			r.Body = io.NopCloser(&b)
			r.Header.Set("Content-Encoding", "gzip")
		}, 415},
	} {
		t.Run(a.name, func(t *testing.T) {
			s := newService(t, images())
			r := jsonRequest(whole)
			a.change(r)
			if w := s.do(r); a.status == 201 {
				require.Equal(t, 201, w.Code)
			} else {
				requireProblem(t, w, a.status)
				require.Zero(t, s.signed)
			}
		})
	}
}

// TestSlowBody checks that a client that sends slowly receives a response after
// the ReadTimeout of the server.
func TestSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, images())
		client, conn := net.Pipe()
		server := &http.Server{Handler: s, ReadTimeout: 10 * time.Second}
		listener := &oneConn{conn: conn, closed: make(chan struct{})}
		go server.Serve(listener)
		started := time.Now()
		var sending sync.WaitGroup
		sending.Go(func() {
			fmt.Fprint(client, "POST / HTTP/1.1\r\nHost: example.com\r\nX-User: alice\r\n"+
				"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
			for {
				if _, err := client.Write([]byte(" ")); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		})
		response, err := http.ReadResponse(bufio.NewReader(client), nil)
		require.NoError(t, err)
		require.Equal(t, 400, response.StatusCode)
		require.Equal(t, 10*time.Second, time.Since(started))
		require.Zero(t, s.signed)
		client.Close()
		sending.Wait()
		require.NoError(t, server.Close())
	})
}

// TestRawRequests checks that the Handler signs at most one upload for a
// malformed request, which HTTP libraries do not send.
func TestRawRequests(t *testing.T) {
	const alice, json = "X-User: alice\r\n", "Content-Type: application/json\r\n"
	const body = `{"filename": "a.png", "size": 10}`
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	chunk := fmt.Sprintf("%x\r\n%s\r\n0\r\n", len(body), body)
	post := func(parts ...string) string {
		return "POST / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n" +
			strings.Join(parts, "")
	}
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"plain":                      {post(alice, json, length, "\r\n", body), 201},
		"chunked":                    {post(alice, json, "Transfer-Encoding: chunked\r\n\r\n", chunk, "\r\n"), 201},
		"an absolute form":           {"POST http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n" + alice + json + length + "\r\n" + body, 201},
		"an absolute form elsewhere": {"POST http://evil.example/x HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n" + alice + json + length + "\r\n" + body, 404},
		"two lengths":                {post(alice, json, length, "Content-Length: 3\r\n\r\n", body), 400},
		"an unknown coding":          {post(alice, json, "Transfer-Encoding: gzip, chunked\r\n\r\n", chunk, "\r\n"), 501},
		"a space before the colon":   {post("X-User : alice\r\n", json, length, "\r\n", body), 400},
		"a type in front":            {post(alice, "Content-Type: text/plain\r\n", json, length, "\r\n", body), 415},
		"a folded type":              {post(alice, "Content-Type: text/plain,\r\n application/json\r\n", length, "\r\n", body), 415},
		"a range":                    {post(alice, json, "Content-Range: bytes 0-9/10\r\n", length, "\r\n", body), 201},
		"the user in a trailer":      {post(json, "Trailer: X-User\r\nTransfer-Encoding: chunked\r\n\r\n", chunk, alice, "\r\n"), 401},
		"two hosts":                  {post("Host: evil.example\r\n", alice, json, length, "\r\n", body), 400},
		"a length beside chunks":     {post(alice, json, "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", chunk, "\r\n"), 201},
		"a request behind chunks": {post(alice, json, "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", chunk, "\r\n",
			post(alice, json, length, "\r\n", body)), 201},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, images())
			server := httptest.NewServer(s)
			defer server.Close()
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, c.request)
			require.NoError(t, err)
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			require.Equal(t, c.status, response.StatusCode)
			server.Close()
			require.Equal(t, c.status == 201, s.signed == 1,
				"only an accepted request must be signed, got %d signatures", s.signed)
		})
	}
}

// A oneConn is a listener that accepts one connection.
type oneConn struct {
	conn   net.Conn
	closed chan struct{}
}

// Accept implements net.Listener.
func (l *oneConn) Accept() (net.Conn, error) {
	if conn := l.conn; conn != nil {
		l.conn = nil
		return conn, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

// Close implements net.Listener.
func (l *oneConn) Close() error { close(l.closed); return nil }

// Addr implements net.Listener.
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{} }

// TestHarmlessNames checks that names that would be attacks on other systems
// are granted under a safe key.
func TestHarmlessNames(t *testing.T) {
	for name, key := range map[string]string{
		`my "best" photo.png`: "my--best--photo.png", "${filename}.png": "_-filename-.png",
		"a$$b.png": "a__b.png", "a b.png": "a-b.png",
		"'; DROP TABLE x; --.png": "---DROP-TABLE-x----.png", "<script>.png": "-script-.png",
		"a%2F..%2Fb.png": "a-2F..-2Fb.png", "日本.png": "日本.png",
	} {
		s := newService(t, images())
		body, err := json.Marshal(map[string]any{"filename": name, "method": "POST"})
		require.NoError(t, err)
		w := s.do(jsonRequest(string(body)))
		require.Equal(t, http.StatusCreated, w.Code, w.Body)
		var grant presign.Grant
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &grant))
		_, got, _ := strings.Cut(strings.TrimPrefix(grant.Key, "uploads/"), "/")
		require.Equal(t, key, got)
		for field, value := range grant.Fields {
			require.NotContains(t, value, "$", field)
		}
	}
}

// TestHostileParts checks that Uppy's routes reject invalid part numbers, lists
// and keys, and that the upload does not change.
func TestHostileParts(t *testing.T) {
	u := newUppy(t, multipartPolicy())
	s := u.start(t, "a.png", nil)
	etag := u.putPart(t, &presign.Grant{Method: "PUT", URL: u.sign(t, s, 1)}, large[:partSize])
	part := func(number string) string {
		return `{"PartNumber": ` + number + `, "ETag": ` + strconv.Quote(etag) + `}`
	}
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,{"PartNumber":%d,"ETag":"a"}`, i+1)
		}
		return b.String()[1:]
	}
	for _, a := range []struct {
		name, method, rest, query, body string
		status                          int
	}{
		{"part 0", "GET", "/0", "", "", 404},
		{"part -1", "GET", "/-1", "", "", 404},
		{"part +1", "GET", "/+1", "", "", 404},
		{"part 01", "GET", "/01", "", "", 404},
		{"part 1.0", "GET", "/1.0", "", "", 404},
		{"part 1e0", "GET", "/1e0", "", "", 404},
		{"part 0x1", "GET", "/0x1", "", "", 404},
		{"part 1 with a space", "GET", "/1%20", "", "", 404},
		{"part 1 with a NUL", "GET", "/1%00", "", "", 404},
		{"part 1 in Arabic digits", "GET", "/%D9%A1", "", "", 404},
		{"part 10,001", "GET", "/10001", "", "", 404},
		{"part 2^64 + 1", "GET", "/18446744073709551617", "", "", 404},
		{"a part that the largest file does not have", "GET", "/5", "", "", 422},
		{"a batch of nothing", "GET", "/batch", "", "", 400},
		{"a batch of an empty number", "GET", "/batch", "partNumbers=1,,2&", "", 400},
		{"a batch with part 0", "GET", "/batch", "partNumbers=0,1&", "", 400},
		{"a batch with a negative part", "GET", "/batch", "partNumbers=1,-1&", "", 400},
		{"a batch with part 10,001", "GET", "/batch", "partNumbers=10001&", "", 400},
		{"a batch with a huge part", "GET", "/batch", "partNumbers=99999999999999999999&", "", 400},
		{"a batch with a range", "GET", "/batch", "partNumbers=1-10000&", "", 400},
		{"a batch of 101", "GET", "/batch", "partNumbers=" + strings.Repeat("1,", 100) + "1&", "", 400},

		{"parts that are not a list", "POST", "/complete", "", `{"parts": {"0": ` + part("1") + `}}`, 400},
		{"parts as text", "POST", "/complete", "", `{"parts": "[]"}`, 400},
		{"no parts", "POST", "/complete", "", `{}`, 400},
		{"the same part twice", "POST", "/complete", "", `{"parts": [` + part("1") + `,` + part("1") + `]}`, 400},
		{"a duplicate member in a part", "POST", "/complete", "", `{"parts": [{"PartNumber": 2, "PartNumber": 1, "ETag": "a"}]}`, 400},
		{"a duplicate member in a member of a part", "POST", "/complete", "", `{"parts": [{"PartNumber": 1, "ETag": "a", "x": {"y": 1, "y": 2}}]}`, 400},
		{"a part that has not arrived", "POST", "/complete", "", `{"parts": [` + part("1") + `,` + part("2") + `]}`, 422},
		{"a hole", "POST", "/complete", "", `{"parts": [` + part("2") + `]}`, 422},
		{"the ETag of other bytes", "POST", "/complete", "", `{"parts": [{"PartNumber": 1, "ETag": "d41d8cd98f00b204e9800998ecf8427e"}]}`, 422},
		{"any ETag", "POST", "/complete", "", `{"parts": [{"PartNumber": 1, "ETag": "*"}]}`, 422},
		{"no ETag", "POST", "/complete", "", `{"parts": [{"PartNumber": 1}]}`, 400},
		{"an ETag of XML", "POST", "/complete", "", `{"parts": [{"PartNumber": 1, "ETag": "</ETag></Part><Part>"}]}`, 422},
		{"part 0 in a list", "POST", "/complete", "", `{"parts": [` + part("0") + `]}`, 400},
		{"a negative part in a list", "POST", "/complete", "", `{"parts": [` + part("-1") + `]}`, 400},
		{"a fraction of a part in a list", "POST", "/complete", "", `{"parts": [` + part("1.5") + `]}`, 400},
		{"an exponent in a list", "POST", "/complete", "", `{"parts": [` + part("1e0") + `]}`, 400},
		{"2^32 + 1 in a list", "POST", "/complete", "", `{"parts": [` + part("4294967297") + `]}`, 400},
		{"2^64 + 1 in a list", "POST", "/complete", "", `{"parts": [` + part("18446744073709551617") + `]}`, 400},
		{"a number as text in a list", "POST", "/complete", "", `{"parts": [` + part(`"1"`) + `]}`, 400},
		{"10,000 parts", "POST", "/complete", "", `{"parts": [` + many(10_000) + `]}`, 422},
		{"10,001 parts", "POST", "/complete", "", `{"parts": [` + many(10_001) + `]}`, 400},
		{"a megabyte of parts", "POST", "/complete", "", `{"parts": [` + many(40_000) + `]}`, 413},
		{"parts nested 100 deep", "POST", "/complete", "", `{"parts": ` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, 400},
		{"a key in the body", "POST", "/complete", "", `{"parts": [` + part("2") + `], "key": "incoming/b.png"}`, 422},
		{"a second key", "POST", "/complete", "key=incoming%2Fb.png&", `{"parts": [` + part("1") + `]}`, 404},
		{"the key with a NUL behind", "POST", "/complete", "", `{"parts": [` + part("1") + `]}`, 404},
	} {
		t.Run(a.name, func(t *testing.T) {
			path := u.path(s, a.rest, a.query)
			if strings.HasSuffix(a.name, "NUL behind") {
				path += "%00"
			}
			requireProblem(t, u.ask(a.method, path, a.body), a.status)
			require.Equal(t, []string{s.Key}, u.uploads(t))
			require.Empty(t, u.keys())
		})
	}
	u.get(t, "POST", u.path(s, "/complete", ""), `{"parts": [`+part("1")+`]}`, new(completed))
}

// TestHostileMetadata checks that Uppy's metadata sets only the names that the
// policy lists.
func TestHostileMetadata(t *testing.T) {
	for _, a := range []struct {
		name, metadata string
		status         int
		kept           map[string]string
	}{
		{"the name of the stamp", `{"presign": "A", "Presign": "A", "x-amz-meta-presign": "A"}`, 200, nil},
		{"prototypes", `{"__proto__": {"color": "red"}, "constructor": {"prototype": {}}, "toString": "a"}`, 200, nil},
		{"headers", `{"x-amz-acl": "public-read", "Content-Type": "text/html", "x-amz-copy-source": "bucket/private", "cache-control": "public"}`, 200, nil},
		{"line breaks elsewhere", `{"name": "a\r\nx-amz-acl: public-read", "a\r\nb": "c"}`, 200, nil},
		{"names of fields that the service sets", `{"owner": "root", "key": "incoming/b.png", "Owner": "root", "redirect": "https://evil.example"}`, 200, nil},
		{"letter case", `{"COLOR": "red"}`, 200, map[string]string{"color": "red"}},
		{"nothing", `{"color": null}`, 200, nil},
		{"objects", `{"color": {"a": "b"}, "size": {"a": 5}}`, 200, nil},
		{"an invalid size", `{"size": "1e3", "partSize": "0x500000"}`, 200, nil},
		{"a duplicate name", `{"color": "red", "color": "blue"}`, 400, nil},
		{"a duplicate name, escaped", `{"color": "red", "colo\u0072": "blue"}`, 400, nil},
		{"a duplicate name inside", `{"x": {"a": 1, "a": 2}}`, 400, nil},
		{"a name in two letter cases", `{"color": "red", "Color": "blue"}`, 422, nil},
		{"a line break", `{"color": "red\r\nx-amz-acl: public-read"}`, 422, nil},
		{"a lone surrogate", `{"color": "\ud800"}`, 400, nil},
		{"more than fits", `{"color": "` + strings.Repeat("a", 2100) + `"}`, 422, nil},
		{"size 0", `{"size": 0}`, 422, nil},
		{"size -1", `{"size": "-1"}`, 422, nil},
		{"a size above the policy", `{"size": 20971521}`, 422, nil},
		{"parts of nothing", `{"partSize": 0}`, 422, nil},
		{"parts too small", `{"partSize": 5242879}`, 422, nil},
		{"parts too large", `{"partSize": 9223372036854775807}`, 422, nil},
	} {
		t.Run(a.name, func(t *testing.T) {
			var upload presign.Upload
			authorize := func(_ *http.Request, u *presign.Upload) error { upload = *u; return nil }
			u := newUppy(t, multipartPolicy(), presign.WithAuthorize(authorize))
			w := u.ask("POST", "/s3/multipart",
				`{"filename": "a.png", "type": "image/png", "metadata": `+a.metadata+`}`)
			if a.status != 200 {
				requireProblem(t, w, a.status)
				require.Empty(t, u.uploads(t))
				return
			}
			require.Equal(t, 200, w.Code, w.Body)
			require.Equal(t, []string{"alice", "", ""},
				[]string{upload.Owner, upload.Key, upload.Redirect})
			require.Zero(t, upload.Size)
			s := decode[started](t, w)
			require.Regexp(t, "^incoming/[A-Z2-7]{26}/a.png$", s.Key)
			etag := u.putPart(t, &presign.Grant{Method: "PUT", URL: u.sign(t, s, 1)}, png)
			u.get(t, "POST", u.path(s, "/complete", ""), u.completion([]string{etag}),
				new(completed))
			stored, ok := u.store.Object(s3test.DefaultBucket, finalKey(s.Key))
			require.True(t, ok)
			require.NotEmpty(t, stored.Metadata["presign"])
			delete(stored.Metadata, "presign")
			require.Equal(t, len(a.kept), len(stored.Metadata))
			require.Equal(t, a.kept["color"], stored.Metadata["color"])
			require.Equal(t, "image/png", stored.Header.Get("Content-Type"))
			require.Equal(t, "no-store", stored.Header.Get("Cache-Control"))
		})
	}
}

// TestOddOwners checks that owners are compared byte by byte, and do not appear
// in keys or headers that S3 interprets.
func TestOddOwners(t *testing.T) {
	owners := []string{
		"alice", "Alice", "alice ", " alice", "alice\x00", "alice\r\nx-amz-acl: public-read",
		"\u202eecila", "al\u0131ce", "../alice", "alice/", "alice/../bob", "é", "e\u0301", "\xff",
		"\ufffd",
		"*", "0", "null", "undefined", "${aws:username}", strings.Repeat("o", 128),
	}
	var current string
	u := newUppy(t, multipartPolicy())
	authenticate := func(*http.Request) (string, error) { return current, nil }
	handler, err := presign.NewHandler(u.Signer, authenticate, presign.WithUppy())
	require.NoError(t, err)
	u.handler = http.StripPrefix("/uploads", handler)
	for i, owner := range owners {
		current = owner
		grant := decode[presign.Grant](t,
			u.ask("POST", "", fmt.Sprintf(`{"filename": "a.png", "size": %d}`, len(png))))
		signed := slices.DeleteFunc(signedHeaders(t, &grant), func(name string) bool {
			return !strings.HasPrefix(name, "x-amz-") && name != "host"
		})
		require.Equal(t, []string{"host", "x-amz-meta-presign"}, signed)
		require.Regexp(t, "^incoming/[A-Z2-7]{26}/a.png$", grant.Key)
		u.send(t, &grant, png, nil)
		s := u.start(t, "a.png", nil)
		for j, other := range owners {
			if current = other; i != j {
				requireProblem(t, u.ask("POST", "/complete", `{"key": "`+grant.Key+`"}`), 404)
				requireProblem(t, u.ask("GET", u.path(s, "/1", ""), ""), 404)
			}
		}
		current = owner
		u.get(t, "POST", "/complete", `{"key": "`+grant.Key+`"}`, new(map[string]any))
		u.sign(t, s, 1)
	}
	for _, invalid := range []string{"", strings.Repeat("o", 129)} {
		current = invalid
		status := map[bool]int{true: 401, false: 500}[invalid == ""]
		requireProblem(t, u.ask("POST", "", `{"filename": "a.png", "size": 10}`), status)
	}
}

// TestOtherUploads checks that a request always receives the same response if
// its ID and key are of different uploads or of another user's upload. The
// response does not reveal whether the upload exists.
func TestOtherUploads(t *testing.T) {
	alice := newUppy(t, multipartPolicy())
	bob := alice
	bob.user = "bob"
	alices := alice.start(t, "a.png", nil)
	bobs, second := bob.start(t, "a.png", nil), bob.start(t, "a.png", nil)
	etag := alice.putPart(t, &presign.Grant{Method: "PUT", URL: alice.sign(t, alices, 1)}, png)
	bob.putPart(t, &presign.Grant{Method: "PUT", URL: bob.sign(t, bobs, 1)}, png)
	bob.putPart(t, &presign.Grant{Method: "PUT", URL: bob.sign(t, second, 1)}, png)

	grant := alice.upload(t, presign.Upload{Filename: "a.png", Owner: "bob"}, true, png, nil)
	ids := []string{
		alices.UploadID, bobs.UploadID, second.UploadID,
		storeID(t, alice.sign(t, alices, 1)), storeID(t, bob.sign(t, bobs, 1)),
		grant.Fields["x-amz-meta-presign"], bobs.UploadID[:100] + alices.UploadID[100:],
		"A", ".", "..", strings.Repeat("A", 10_000),
	}
	keys := []string{
		alices.Key, bobs.Key, second.Key, grant.Key, finalKey(alices.Key), "",
		strings.ToUpper(bobs.Key), bobs.Key + "&key=" + alices.Key,
	}
	var first string
	for _, id := range ids {
		for _, key := range keys {
			if id == bobs.UploadID && key == bobs.Key ||
				id == second.UploadID && key == second.Key {
				continue
			}
			for _, c := range []struct{ method, rest, body string }{
				{"GET", "", ""},
				{"GET", "/1", ""},
				{"GET", "/batch", ""},
				{"POST", "/complete", bob.completion([]string{etag})},
				{"DELETE", "", ""},
			} {
				query := "?partNumbers=1&key=" +
					strings.ReplaceAll(url.QueryEscape(key), "%26key%3D", "&key=")
				path := "/s3/multipart/" + strings.ReplaceAll(id, ".", "%2E") + c.rest
				w := bob.ask(c.method, path+query, c.body)
				text := w.Body.String()
				p := requireProblem(t, w, 404)
				if first == "" && p.Detail != "" {
					first = text
				}
				require.Equal(t, first, text)
			}
		}
	}
	requireProblem(t, bob.ask("GET", "/s3/multipart/"+bobs.UploadID, ""), 404)
	require.ElementsMatch(t, []string{alices.Key, bobs.Key, second.Key}, alice.uploads(t))
	require.Equal(t, []string{grant.Key}, alice.keys())

	// An ID is bound to its owner, and the URL of a part to its upload.
	_, err := alice.ResumeMultipart("alice", bobs.UploadID)
	require.ErrorIs(t, err, presign.ErrInvalidID)
	_, err = alice.ResumeMultipart("bob", bobs.UploadID)
	require.NoError(t, err)
	swapped := strings.Replace(bob.sign(t, bobs, 1), storeID(t, bob.sign(t, bobs, 1)),
		storeID(t, alice.sign(t, alices, 1)), 1)
	require.Equal(t, 403,
		alice.tryPart(t, &presign.Grant{Method: "PUT", URL: swapped}, png).StatusCode)
	alice.get(t, "POST", alice.path(alices, "/complete", ""), alice.completion([]string{etag}),
		new(completed))
}

const (
	jsonType      = "application/json"
	fuzzedMaxSize = 1000 // the MaxSize of the policy of FuzzHandler
)

// handlerSeeds lists requests for FuzzHandler. Each request has a method, path,
// query, content type and body.
var handlerSeeds = [][5]string{
	{"POST", "/", "", jsonType, `{"filename": "a.png", "type": "image/png", "size": 10, "metadata": {"color": "red"}, "expires_in": 60}`},
	{"POST", "", "", jsonType, `{"filename": "日本.png", "min_size": 20, "max_size": 30, "method": "POST"}`},
	{"POST", "/", "", "application/x-www-form-urlencoded", "filename=a.png&size=10&metadata[color]=%24%7Bfilename%7D"},
	{"POST", "/complete", "", jsonType, `{"key": "incoming/a.png"}`}, {"GET", "/", "", "", ""},
	{"POST", "/", "", jsonType, `{"filename": "a.png", "size": 500, "method": "multipart"}`},
	{"POST", "/batch", "", jsonType, `{"uploads": [{"filename": "a.png", "size": 10}, {"filename": "a.png", "method": "multipart"}]}`},
	{"POST", "/parts/sign", "", jsonType, `{"id": "ID", "first": 1, "last": 1}`},
	{"POST", "/parts/sign", "", jsonType, `{"id": "ID", "parts": [{"number": 1, "size": 500}]}`},
	{"POST", "/parts/list", "", jsonType, `{"id": "ID"}`},
	{"POST", "/abort", "", jsonType, `{"id": "A"}`},
	{"POST", "/complete", "", jsonType, `{"id": "ID", "parts": [{"number": 1, "etag": "a", "size": 500}]}`},
	{"GET", "/s3/params", "filename=a.png&type=image%2Fpng&metadata[size]=10", "", ""},
	{"POST", "/s3/multipart", "", jsonType, `{"filename": "a.png", "type": "image/png", "metadata": {"size": 10, "color": null}}`},
	{"GET", "/s3/multipart/a/1", "key=incoming/a.png", "", ""},
	{"GET", "/s3/multipart/ID/batch", "partNumbers=1&key=KEY", "", ""},
	{"POST", "/s3/multipart/ID/complete", "key=KEY", jsonType, `{"parts": [{"PartNumber": 1, "ETag": "a"}]}`},
	{"GET", "/s3/multipart/ID", "key=KEY", "", ""},
	{"GET", "/s3/multipart/ID/1", "key=KEY", "", ""},
	{"DELETE", "/s3/multipart/a", "key=b", "", ""},
	{"BREW", "/s3//%2e%2e/", "%zz", ";", "\xff"},
}

// FuzzHandler checks that every response is a problem or a grant that the
// policy allows.
func FuzzHandler(f *testing.F) {
	for _, c := range handlerSeeds {
		f.Add(c[0], c[1], c[2], c[3], []byte(c[4]))
	}
	store := s3test.New()
	store.AddCredentials(session)
	policy := multipartPolicy()
	policy.MinSize, policy.MaxSize = 5, fuzzedMaxSize
	signer, err := presign.NewSigner(store.S3(inSession), s3test.DefaultBucket, policy,
		presign.WithSecret(secret), presign.WithStore(store.S3()),
		presign.WithLogger(newLog(nil, io.Discard)))
	require.NoError(f, err)
	var upload presign.Upload
	handler, err := presign.NewHandler(signer, user, presign.WithUppy(),
		presign.WithAuthorize(func(_ *http.Request, u *presign.Upload) error {
			upload = *u
			return nil
		}))
	require.NoError(f, err)
	seed, err := signer.StartMultipart(context.Background(),
		presign.Upload{Filename: "a.png", Owner: "alice", Size: 500})
	require.NoError(f, err)
	named := strings.NewReplacer("ID", seed.ID, "KEY", url.QueryEscape(seed.Key))

	f.Fuzz(func(t *testing.T, method, path, query, contentType string, body []byte) {
		content := named.Replace(string(body))
		r, err := http.NewRequest("GET", "/", strings.NewReader(content))
		require.NoError(t, err)
		r.Method, r.URL.RawQuery = method, named.Replace(query)
		if r.URL.Path, err = url.PathUnescape(named.Replace(path)); err != nil {
			return // net/http rejects the request.
		}
		r.URL.RawPath = named.Replace(path)
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("X-User", "alice")
		upload = presign.Upload{}
		w := serve(t, handler, r)
		require.Empty(t, w.Header().Get("Location"))
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		if w.Code >= 400 {
			require.NotContains(t, []int{500, 501, 502, 503, 504}, w.Code)
			requireProblem(t, w, w.Code)
			return
		}
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		require.True(t, json.Valid(w.Body.Bytes()))
		native := strings.Trim(r.URL.Path, "/")
		if upload.Filename == "" { // The request did not authorize a new upload.
			isBounds := method == "GET" && native == ""
			isRejectedBatch := native == "batch" &&
				strings.Contains(w.Body.String(), `"status":422`)
			isForSeed := strings.Contains(named.Replace(path)+content, seed.ID)
			require.True(t, isBounds || isRejectedBatch || isForSeed)
			return
		}
		require.Contains(t, []int{200, 201}, w.Code)
		require.GreaterOrEqual(t, upload.MinSize, policy.MinSize)
		require.LessOrEqual(t, upload.MaxSize, policy.MaxSize)
		require.Regexp(t, "^(image|text)/[a-z0-9!#$&^_.+-]+$", upload.Type)
		require.Equal(t, "alice", upload.Owner)
		var response struct {
			presign.Grant
			UploadID string
		}
		if native == "batch" {
			var results struct{ Results []presign.Grant }
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &results))
			for _, grant := range results.Results {
				require.Contains(t, []string{"", "PUT", "POST"}, grant.Method)
				require.True(t, grant.Key == "" || strings.HasPrefix(grant.Key, "incoming/"))
			}
			return
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &response.Grant))
		id := &response.UploadID
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &struct{ UploadID, ID *string }{id, id}))
		if response.UploadID != "" {
			m, err := signer.ResumeMultipart("alice", response.UploadID)
			require.NoError(t, err)
			require.Regexp(t, `^incoming/[A-Z2-7]{26}/[^/$\\]+$`, m.Key)
			require.NoError(t, m.Abort(context.Background()))
			return
		}
		requireGranted(t, store, upload, &response.Grant)
	})
}

// requireGranted checks that a grant permits exactly the authorized upload.
func requireGranted(
	t *testing.T, store *s3test.Server, upload presign.Upload, grant *presign.Grant,
) {
	t.Helper()
	if grant.Key == "" {
		grant.Key = grant.Fields["key"] // Responses for Uppy have no member for the key.
	}
	require.Regexp(t, `^incoming/[A-Z2-7]{26}/[^/$\\]+$`, grant.Key)
	if grant.Method == "POST" {
		exact, minSize, maxSize := conditions(t, grant)
		delete(exact, "bucket")
		for name, value := range exact {
			require.Equal(t, grant.Fields[name], value)
		}
		require.Equal(t, []int64{upload.MinSize, upload.MaxSize}, []int64{minSize, maxSize})
		require.Equal(t, upload.Type, exact["Content-Type"])
		return
	}
	require.Equal(t, upload.Type, grant.Headers["Content-Type"])
	for name := range grant.Headers {
		require.Contains(t, signedHeaders(t, grant), strings.ToLower(name))
	}
	tooLarge := make([]byte, fuzzedMaxSize+1)
	got, err := conformance.New(grant, "a", tooLarge).Send(store.HTTPClient())
	require.NoError(t, err)
	require.Equal(t, "403 SignatureDoesNotMatch", got.String())
}
