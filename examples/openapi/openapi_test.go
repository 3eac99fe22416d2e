// The validator takes minutes to compile, and twice as long with the race
// detector.

//go:build !race

package openapi

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	"github.com/pb33f/libopenapi-validator/errors"
	"github.com/pb33f/libopenapi-validator/helpers"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
	"github.com/stretchr/testify/require"
)

// root is the directory of the library.
const root = "../.."

// minimum is a lower bound. The tests of the Handler must receive more
// responses.
const minimum = 5500

// A response describes a response of the Handler. The tests of the Handler
// record it.
type response struct {
	Method, Path string
	Status       int
	Header       http.Header
	Body         string
}

func (a *response) String() string {
	return fmt.Sprintf("%s %.100s: %d %v %.500s", a.Method, a.Path, a.Status, a.Header, a.Body)
}

// responses runs the tests of the Handler and returns the responses that they
// receive.
func responses(t *testing.T) (all []response) {
	t.Helper()
	files, err := filepath.Glob(root + "/handler_*test.go")
	require.NoError(t, err)
	var names []string
	for _, file := range files {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		pattern := regexp.MustCompile(`(?m)^func (Test\w+)\(t `)
		for _, match := range pattern.FindAllSubmatch(source, -1) {
			names = append(names, string(match[1]))
		}
	}
	file := filepath.Join(t.TempDir(), "responses")
	test := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-run",
		"^("+strings.Join(names, "|")+")$", ".", "-responses", file)
	test.Dir = root
	output, err := test.CombinedOutput()
	require.NoError(t, err, string(output))
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	for decoder := json.NewDecoder(f); ; {
		var a response
		if err := decoder.Decode(&a); err == io.EOF {
			return all
		} else {
			require.NoError(t, err)
		}
		all = append(all, a)
	}
}

// A description is the OpenAPI document with a validator of responses.
type description struct {
	*v3.Document
	validator.Validator
	codes []string // of violations
}

func load(t *testing.T) *description {
	t.Helper()
	text, err := os.ReadFile("openapi.yaml")
	require.NoError(t, err)
	document, err := libopenapi.NewDocument(text)
	require.NoError(t, err)
	model, err := document.BuildV3Model()
	require.NoError(t, err)
	v, errs := validator.NewValidator(document,
		config.WithFormatAssertions(), config.WithStrictMode(), config.WithStrictIgnorePaths(
			// The members of these objects have arbitrary names.
			"$.body.headers.**", "$.body.fields.**", "$.body.metadata.**", "$.body.reply.**",
			"$.body.object.metadata.**", "$.body.object.reply.**", "$.body.presignedUrls.**",
			"$.body.results[*].headers.**", "$.body.results[*].fields.**"))
	require.Empty(t, errs)
	valid, faults := v.ValidateDocument()
	require.True(t, valid, faults)
	d := &description{Document: &model.Model, Validator: v}
	violation := d.Components.Schemas.GetOrZero("Violation").Schema()
	code := violation.Properties.GetOrZero("code").Schema()
	extension, _ := code.Extensions.Get("x-extensible-enum")
	require.NoError(t, extension.Decode(&d.codes))
	return d
}

// operation returns the operation that describes a request, or nil.
func (d *description) operation(a *response) *v3.Operation {
	path, err := url.PathUnescape(a.Path)
	if err != nil {
		return nil
	}
	segments := strings.FieldsFunc(path, func(c rune) bool { return c == '/' })
	if strings.Contains(strings.ToUpper(a.Path), "%2F") {
		return nil
	}
	var found *v3.Operation
	for template, item := range d.Paths.PathItems.FromOldest() {
		names := strings.FieldsFunc(template, func(c rune) bool { return c == '/' })
		isMatch := len(names) == len(segments)
		for i := range names {
			isMatch = isMatch &&
				(names[i] == segments[i] || names[i] == "{uploadId}" ||
					names[i] == "{partNumber}" && isNumber(segments[i]))
		}
		if isMatch {
			found = item.GetOperations().GetOrZero(strings.ToLower(a.Method))
			// The validator receives the same parameters for each request.
			a.Path = "/" + strings.Join(names, "/")
		}
	}
	if found == nil || a.Method != strings.ToUpper(a.Method) {
		return nil
	}
	a.Path = strings.NewReplacer("{uploadId}", "ID", "{partNumber}", "1").Replace(a.Path)
	return found
}

func isNumber(s string) bool { return regexp.MustCompile(`^([1-9]\d{0,3}|10000)$`).MatchString(s) }

// check returns the faults of a response, and the operation and status that
// describe it.
func (d *description) check(a response) (described string, faults []string) {
	operation := d.operation(&a)
	if operation == nil {
		if a.Status != http.StatusNotFound && a.Status != http.StatusMethodNotAllowed {
			return "", []string{"the description must have an operation for the request"}
		}
		if a.Status == http.StatusMethodNotAllowed && a.Header.Get("Allow") == "" {
			return "", []string{"the response must have the header Allow"}
		}
		// The Problem is the same everywhere.
		a.Header.Del("Allow")
		a.Method, a.Path, a.Status = http.MethodGet, "/", http.StatusInternalServerError
		operation = d.Paths.PathItems.GetOrZero("/").Get
	}
	status := fmt.Sprint(a.Status)
	resp := operation.Responses.Codes.GetOrZero(status)
	// In the tests, functions of the service return these statuses.
	if resp == nil && slices.Contains([]int{402, 429, 507}, a.Status) {
		status, resp = "default", operation.Responses.Default
	}
	if resp == nil {
		return "", []string{"the description must have a response for the status"}
	}
	for name := range a.Header {
		if resp.Headers.GetOrZero(name) == nil && name != "Content-Type" &&
			name != "Content-Length" && !strings.HasPrefix(name, "Access-Control-") {
			faults = append(faults, "the description must have the header "+name)
		}
	}
	for _, found := range regexp.MustCompile(`"code":"(\w+)"`).FindAllStringSubmatch(a.Body, -1) {
		// The tests of the Handler set the code ugly.
		if code := found[1]; !slices.Contains(d.codes, code) && code != "ugly" {
			faults = append(faults, "the description must have the code "+code)
		}
	}
	for _, fault := range d.validate(a) {
		faults = append(faults, fault.Error())
	}
	return operation.OperationId + " " + status, faults
}

// validate returns the errors that the validator finds in a response.
func (d *description) validate(a response) []*errors.ValidationError {
	r := &http.Request{Method: a.Method, URL: &url.URL{Path: "/uploads" + a.Path},
		Header: http.Header{}}
	w := &http.Response{StatusCode: a.Status, Header: a.Header.Clone(),
		Body: io.NopCloser(strings.NewReader(a.Body)), Request: r}
	// A CORS middleware sets these headers.
	w.Header.Del("Access-Control-Allow-Origin")
	w.Header.Del("Access-Control-Allow-Credentials")
	_, faults := d.ValidateHttpResponse(r, w)
	return slices.DeleteFunc(faults, func(e *errors.ValidationError) bool {
		return e.ValidationSubType == helpers.ResponseBodyResponseCode
	})
}

// TestResponses checks that the description contains every response that the
// tests of the Handler receive, and that they receive every response in the
// description.
func TestResponses(t *testing.T) {
	d := load(t)
	all := responses(t)
	require.Greater(t, len(all), minimum)
	seen := make(map[string]bool)
	failed := 0
	for _, a := range all {
		described, faults := d.check(a)
		seen[described] = true
		if len(faults) > 0 {
			t.Errorf("%s\n\t%s", &a, strings.Join(faults, "\n\t"))
			if failed++; failed == 20 {
				t.FailNow()
			}
		}
	}
	var missing []string
	for _, item := range d.Paths.PathItems.FromOldest() {
		for _, operation := range item.GetOperations().FromOldest() {
			for status := range operation.Responses.Codes.FromOldest() {
				if name := operation.OperationId + " " + status; !seen[name] {
					missing = append(missing, name)
				}
			}
		}
	}
	require.Empty(t, missing, "the tests of the Handler must receive these responses")
}

// TestUndescribed checks that TestResponses finds responses that are not in the
// description.
func TestUndescribed(t *testing.T) {
	d := load(t)
	header := func() http.Header {
		return http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"},
			"X-Content-Type-Options": {"nosniff"}}
	}
	const (
		id    = `"grant_id":"0123456789abcdef0123456789abcdef"`
		grant = `{` + id + `,"method":"PUT","url":"https://example.com/a","headers":{"a":"b"},` +
			`"key":"a","expires_at":"2026-01-01T00:00:00Z","expires_in":900}`
		problem = `{"type":"about:blank","title":"Unprocessable Entity","status":422,` +
			`"errors":[{"field":"size","code":"too_large","detail":"must be less","max":5}],` +
			`"message":"size must be less"}`
		object = `{"key":"a","filename":"a","type":"a/b","size":5,"etag":"\"a\"",` +
			`"metadata":{"color":"red"},"owner":"alice",` + id +
			`,"granted_at":"2026-01-01T00:00:00Z"}`
	)
	for _, c := range []struct {
		path   string
		status int
		body   string
	}{
		{"/", 201, grant}, {"/", 422, problem}, {"/complete", 200, object},
		{"/batch", 200, `{"results":[` + grant + `,` + problem + `]}`},
		{"/parts/list", 200, `{"parts":[{"number":1,"size":5,"etag":"a"}]}`}, {"/abort", 200, `{}`},
		{"/s3/multipart/ID/complete", 200, `{"location":"https://example.com/a",` +
			`"key":"a","object":` + object + `}`},
	} {
		check := func(change func(*response)) []string {
			a := response{Method: "POST", Path: c.path, Status: c.status, Header: header(),
				Body: c.body}
			if c.status >= 400 {
				a.Header.Set("Content-Type", "application/problem+json")
			}
			change(&a)
			_, faults := d.check(a)
			return faults
		}
		require.Empty(t, check(func(*response) {}), c)
		require.NotEmpty(t, check(func(a *response) { a.Status = 418 }), c)
		require.NotEmpty(t, check(func(a *response) { a.Header.Set("X-New", "a") }), c)
		require.NotEmpty(t, check(func(a *response) { a.Header.Del("Cache-Control") }), c)
		require.NotEmpty(t, check(func(a *response) {
			a.Header.Set("Content-Type", "text/html")
		}), c)
		require.NotEmpty(t, check(func(a *response) { a.Path = "/new" }), c)
		if strings.Contains(c.body, `"code"`) {
			require.NotEmpty(t, check(func(a *response) {
				a.Body = strings.ReplaceAll(a.Body, "too_large", "too_new")
			}), c)
		}
		// An object with another member must be rejected, unless its members
		// have arbitrary names.
		for i := range c.body {
			if c.body[i] != '{' || strings.HasSuffix(c.body[:i], `"headers":`) ||
				strings.HasSuffix(c.body[:i], `"metadata":`) {
				continue
			}
			added := c.body[:i+1] + `"new":1`
			if c.body[i+1] != '}' {
				added += ","
			}
			require.NotEmpty(t, check(func(a *response) { a.Body = added + c.body[i+1:] }), added)
		}
		// An object without one of its members must be rejected.
		var members map[string]any
		require.NoError(t, json.Unmarshal([]byte(c.body), &members))
		for name := range members {
			if slices.Contains([]string{"errors", "metadata", "object"}, name) {
				continue // The member is optional.
			}
			less := make(map[string]any)
			for other, value := range members {
				if other != name {
					less[other] = value
				}
			}
			body, err := json.Marshal(less)
			require.NoError(t, err)
			require.NotEmpty(t, check(func(a *response) { a.Body = string(body) }), "without "+name)
		}
	}
}
