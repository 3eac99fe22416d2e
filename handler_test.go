package presign_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
)

// user authenticates every client that sends a name.
func user(r *http.Request) (string, error) { return r.Header.Get("X-User"), nil }

// secret is the key for WithSecret in these tests.
var secret = bytes.Repeat([]byte("0123456789abcdef"), 2)

// A service is a Handler under test. It counts signatures and keeps the log.
type service struct {
	*presign.Handler
	t      testing.TB
	signed int
	log    bytes.Buffer
}

// newService returns a service whose credentials provider counts signatures.
func newService(t *testing.T, policy presign.Policy, opts ...presign.HandlerOption) *service {
	t.Helper()
	s := &service{t: t}
	client := newClient(func(o *s3.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			s.signed++
			return session, nil
		})
	})
	signer, err := presign.NewSigner(client, "bucket", policy, presign.WithSecret(secret),
		presign.WithLogger(newLog(t, &s.log)))
	require.NoError(t, err)
	s.Handler, err = presign.NewHandler(signer, user, opts...)
	require.NoError(t, err)
	return s
}

func (s *service) do(r *http.Request) *httptest.ResponseRecorder {
	return serve(s.t, s, r)
}

func jsonRequest(body string) *http.Request {
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-User", "alice")
	return r
}

func formRequest(body string) *http.Request {
	r := jsonRequest(body)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// A problem is the wire form of an error.
type problem struct {
	Type, Title, Detail, Message string
	Status                       int
	Errors                       []presign.Violation
	RetryAfter                   int64 `json:"retry_after"`
}

// codes lists the documented codes of violations, and "ugly", which tests set.
var codes = []string{
	"required", "invalid", "too_small", "too_large", "not_allowed", "unsupported",
	"contradicts_name", "contradicts_content",
	"contradicts_grant", "taken", "superseded", "missing", "pending", "ugly",
}

// requireProblem checks the properties that all error responses share.
func requireProblem(t *testing.T, w *httptest.ResponseRecorder, status int) problem {
	t.Helper()
	require.Equal(t, status, w.Code, w.Body)
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	decoder := json.NewDecoder(w.Body)
	decoder.DisallowUnknownFields()
	var p problem
	require.NoError(t, decoder.Decode(&p))
	require.Equal(t, status, p.Status)
	require.NotEmpty(t, p.Type)
	require.NotEmpty(t, p.Title)
	require.NotEmpty(t, p.Message)
	retryAfter := ""
	if p.RetryAfter > 0 {
		retryAfter = strconv.FormatInt(p.RetryAfter, 10)
	}
	require.Equal(t, w.Header().Get("Retry-After"), retryAfter)
	for _, v := range p.Errors {
		require.Contains(t, codes, v.Code, v)
	}
	return p
}

func TestNewHandlerRejectsFaults(t *testing.T) {
	_, err := presign.NewHandler(nil, nil, nil)
	require.EqualError(t, err, "presign: the Signer must come from NewSigner\n"+
		"presign: authenticate must not be nil; without it, anyone could upload\n"+
		"presign: option 1 must not be nil")

	allow := presign.WithAuthorize(func(*http.Request, *presign.Upload) error { return nil })
	_, err = presign.NewHandler(newSigner(t, images()), user, presign.WithAuthorize(nil))
	require.ErrorContains(t, err, "presign: WithAuthorize must have a function")
	_, err = presign.NewHandler(newSigner(t, images()), user, allow, allow)
	require.EqualError(t, err, "presign: WithAuthorize must be set once")
}

func TestGrant(t *testing.T) {
	policy := with(func(p *presign.Policy) { p.Metadata = []string{"color"} })
	for name, c := range map[string]struct {
		request *http.Request
		method  string
		expires float64
	}{
		"JSON with a size":          {jsonRequest(`{"filename": "a.png", "size": 10}`), "PUT", 900},
		"JSON without a size":       {jsonRequest(`{"filename": "a.png", "min_size": 20, "max_size": 30}`), "POST", 900},
		"JSON with a method":        {jsonRequest(`{"filename": "a.png", "size": 10, "method": "POST"}`), "POST", 900},
		"JSON with everything":      {jsonRequest(`{"filename": "a.png", "type": "image/png", "size": 10, "expires_in": 60, "metadata": {"color": "red"}, "method": "PUT"}`), "PUT", 60},
		"form with a size":          {formRequest("filename=a.png&size=10"), "PUT", 900},
		"form without a size":       {formRequest("filename=a.png&min_size=20&max_size=30"), "POST", 900},
		"form with everything":      {formRequest("filename=a.png&type=image%2Fpng&size=10&expires_in=60&metadata%5Bcolor%5D=red&method=POST"), "POST", 60},
		"form with plus and spaces": {formRequest("filename=a+b%20c.png&size=10"), "PUT", 900},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, policy)
			w := s.do(c.request)
			require.Equal(t, http.StatusCreated, w.Code, w.Body)
			require.Equal(t, "application/json", w.Header().Get("Content-Type"))
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
			require.NotContains(t, w.Body.String(), `\u0026`)
			var got map[string]any
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
			require.Equal(t, c.method, got["method"])
			require.InDelta(t, c.expires, got["expires_in"], 2)
			require.Regexp(t, "^uploads/[A-Z2-7]{26}/a", got["key"])
			if c.method == "PUT" {
				require.Contains(t, got["url"], "X-Amz-Signature")
				require.Contains(t, got["headers"], "Content-Type")
				require.NotContains(t, got, "fields")
			} else {
				require.Contains(t, got["fields"], "policy")
				require.NotContains(t, got, "headers")
			}
			require.Equal(t, 1, s.signed)
			require.Empty(t, s.log.String())
		})
	}
}

// TestAllFaultsAtOnce checks that one response reports every fault of a request
// exactly once.
func TestAllFaultsAtOnce(t *testing.T) {
	s := newService(t, images())
	body := `{"filename": "a/b", "size": -5, "expires_in": 0, "method": "GET", "checksum": "x"}`
	p := requireProblem(t, s.do(jsonRequest(body)), 422)
	var found []string
	for _, v := range p.Errors {
		found = append(found, v.Field+" "+v.Code)
	}
	require.Equal(t, []string{
		"size too_small", "expires_in invalid", "method invalid", "filename invalid",
		"checksum not_allowed",
	}, found)
	require.Equal(t, p.Errors[0].Field+" "+p.Errors[0].Detail, p.Message)

	p = requireProblem(t, s.do(jsonRequest(`{"filename": 1, "size": "x", "Method": "GET"}`)), 400)
	require.Len(t, p.Errors, 3)
}

func TestRoutes(t *testing.T) {
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"POST", "", 201}, {"POST", "/", 201}, {"POST", "//", 201}, {"POST", "/?a=b", 201},
		{"GET", "/", 200},
		{"GET", "", 200},
		{"HEAD", "/", 405},
		{"PUT", "/", 405},
		{"OPTIONS", "/", 405},
		{"DELETE", "", 405},
		{"BREW", "/", 405},
		{"POST", "/x", 404},
		{"POST", "/..", 404},
		{"POST", "/./", 404},
		{"POST", "/%2e", 404},
		{"GET", "/favicon.ico", 404},
	} {
		s := newService(t, images())
		mux := http.NewServeMux()
		mux.Handle("/", s) // An outer mux may redirect, but the handler must not.
		r := jsonRequest(`{"filename": "a.png", "size": 10}`)
		target := httptest.NewRequest(c.method, "/", nil)
		r.Method, r.URL = c.method, target.URL
		r.URL.Path, r.URL.RawQuery, _ = strings.Cut(c.path, "?")
		w := s.do(r)
		if c.status < 300 {
			require.Equal(t, c.status, w.Code, c)
			continue
		}
		requireProblem(t, w, c.status)
		if c.status == 405 {
			require.Equal(t, "GET, POST", w.Header().Get("Allow"))
		}
		require.Zero(t, s.signed)
	}
}

// TestMounted checks that the Handler works behind StripPrefix, with and
// without the trailing slash, without a redirect.
func TestMounted(t *testing.T) {
	s := newService(t, images())
	mux := http.NewServeMux()
	mux.Handle("/uploads/", http.StripPrefix("/uploads", s))
	mux.Handle("/uploads", http.StripPrefix("/uploads", s))
	server := httptest.NewServer(mux)
	defer server.Close()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	for path, status := range map[string]int{
		"/uploads": 201, "/uploads/": 201, "/uploads/x": 404, "/uploads/%2F": 404,
		"/uploads/s3%2fparams": 404, "/uploads/%2e%2e": 404,
	} {
		r, err := http.NewRequest("POST", server.URL+path,
			strings.NewReader(`{"filename": "a.png", "size": 10}`))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-User", "alice")
		w, err := client.Do(r)
		require.NoError(t, err)
		w.Body.Close()
		require.Equal(t, status, w.StatusCode, path)
	}
}

func TestAuthenticate(t *testing.T) {
	internal := errors.New("the session of alice has expired in the database at 10.0.0.1")
	for name, c := range map[string]struct {
		owner  string
		err    error
		status int
	}{
		"error":             {"", internal, 500},
		"owner, error":      {"alice", internal, 500},
		"no owner":          {"", nil, 401},
		"long owner":        {strings.Repeat("o", 129), nil, 500},
		"problem":           {"", &presign.Problem{Status: 429, Detail: "Slow down.", RetryAfter: 1500 * time.Millisecond}, 429},
		"wrapped problem":   {"", fmt.Errorf("wrapped: %w", &presign.Problem{Status: 403, Title: "Suspended", Type: "https://example.com/suspended"}), 403},
		"status 600":        {"", &presign.Problem{Status: 600}, 500},
		"long owner, error": {strings.Repeat("o", 129), internal, 500},
		"status 200":        {"", &presign.Problem{Status: 200}, 500},
		"status 0":          {"", &presign.Problem{}, 500},
		"violation":         {"", &presign.Violation{Field: "filename", Detail: "is not yours"}, 500},
		"error, problem":    {"", errors.Join(internal, &presign.Problem{Status: 403, Detail: "Suspended."}), 403},
		"ErrNotUploaded":    {"", fmt.Errorf("wrapped: %w", presign.ErrNotUploaded), 500},
		"deadline":          {"", context.DeadlineExceeded, 500},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, images())
			signer := newSigner(t, images(), presign.WithSecret(secret),
				presign.WithLogger(newLog(t, &s.log)))
			read := false
			authenticate := func(*http.Request) (string, error) { return c.owner, c.err }
			authorize := func(*http.Request, *presign.Upload) error {
				t.Error("the upload must not be authorized")
				return nil
			}
			handler, err := presign.NewHandler(signer, authenticate,
				presign.WithAuthorize(authorize))
			require.NoError(t, err)
			r := jsonRequest("")
			r.Body = io.NopCloser(readFunc(func([]byte) (int, error) {
				read = true
				return 0, io.EOF
			}))
			w := serve(t, handler, r)
			retryAfter := w.Header().Get("Retry-After")
			p := requireProblem(t, w, c.status)
			require.False(t, read, "the body must not be read before authentication")
			switch name {
			case "problem":
				require.Equal(t, "2", retryAfter)
				require.Equal(t, "Slow down.", p.Message)
				require.Equal(t, "Too Many Requests", p.Title)
			case "wrapped problem":
				require.Equal(t, "Suspended", p.Message)
				require.Equal(t, "https://example.com/suspended", p.Type)
			case "error", "owner, error", "error, problem":
				require.NotContains(t, p.Message+p.Detail, "database")
				require.Contains(t, s.log.String(), "10.0.0.1")
			case "long owner":
				require.Contains(t, s.log.String(), "owner")
			}
			require.Empty(t, p.Errors)
			level := "INFO"
			if c.status >= 500 {
				level = "ERROR"
			}
			s.requireRecord(level, c.status)
		})
	}
}

// requireRecord checks that the log has exactly one record, of a request that
// was not served, and returns the record.
func (s *service) requireRecord(level string, status int) string {
	record := s.log.String()
	require.Equal(s.t, 1, strings.Count(record, "\n"), record)
	require.Contains(s.t, record,
		fmt.Sprintf(` level=%s msg="presign: request not served" status=%d`, level, status))
	require.Contains(s.t, record, " error=")
	return record
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// TestAuthenticateReadsBody checks that authenticate may read or close the
// body. The Handler decodes the body as strictly as if it had not been read.
func TestAuthenticateReadsBody(t *testing.T) {
	for name, authenticate := range map[string]func(*http.Request) (string, error){
		"reads nothing": func(*http.Request) (string, error) { return "alice", nil },
		"reads all": func(r *http.Request) (string, error) {
			_, err := io.ReadAll(r.Body)
			return "alice", err
		},
		"reads a part": func(r *http.Request) (string, error) {
			_, err := r.Body.Read(make([]byte, 3))
			return "alice", err
		},
		"reads a form": func(r *http.Request) (string, error) {
			r.FormValue("token")
			return "alice", nil
		},
		"reads all and closes": func(r *http.Request) (string, error) {
			_, err := io.ReadAll(r.Body)
			r.Body.Close()
			return "alice", err
		},
		"reads a part and closes": func(r *http.Request) (string, error) {
			defer r.Body.Close()
			_, err := r.Body.Read(make([]byte, 3))
			return "alice", err
		},
	} {
		handler, err := presign.NewHandler(newSigner(t, images()), authenticate)
		require.NoError(t, err)
		for _, c := range []struct {
			request *http.Request
			status  int
		}{
			{formRequest("filename=a.png&size=10"), 201},
			{jsonRequest(`{"filename": "a.png", "size": 10}`), 201},
			{formRequest("filename=a.png&size=10&size=%zz"), 400},
			{formRequest("filename=a.png&size=10;x"), 400},
			{formRequest("filename=a.png&filename=b.png"), 400},
		} {
			c.request.Body = &closable{Reader: c.request.Body}
			w := serve(t, handler, c.request)
			require.Equal(t, c.status, w.Code, "%s: %s", name, w.Body)
		}
	}
	// If the form was parsed before the Handler, the Handler uses the result.
	s := newService(t, images())
	r := formRequest("filename=a.png&size=10")
	require.NoError(t, r.ParseForm())
	r.PostForm["token"] = nil // Code that reads a form can add a name without a value.
	require.Equal(t, 201, s.do(r).Code)

	r = jsonRequest("")
	r.Body = nil // Some adapters of other servers set no body.
	requireProblem(t, s.do(r), 400)
}

// A closable is a body that returns an error if it is read after Close, as the
// body of an HTTP/2 request does.
type closable struct {
	io.Reader
	closed bool
}

func (c *closable) Read(p []byte) (int, error) {
	if c.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return c.Reader.Read(p)
}

func (c *closable) Close() error {
	c.closed = true
	return nil
}

// TestClientCannotSetServiceMetadata checks that a client cannot send a name
// that only WithAuthorize sets.
func TestClientCannotSetServiceMetadata(t *testing.T) {
	allow := func(*http.Request, *presign.Upload) error { return nil }
	s := newService(t, images(), presign.WithAuthorize(allow))
	body := `{"filename": "a.png", "size": 10, "metadata": {"approved-by": "root"}}`
	p := requireProblem(t, s.do(jsonRequest(body)), 422)
	require.Equal(t, "metadata[approved-by]", p.Errors[0].Field)
}

// TestResponsesAreShort checks that a response has less than 1,000 bytes even
// if the request has many faults.
func TestResponsesAreShort(t *testing.T) {
	s := newService(t, with(func(p *presign.Policy) { p.Metadata = []string{"a", "b"} }))
	for names, status := range map[int]int{200: 422, 6000: 400} {
		var metadata strings.Builder
		for i := range names {
			fmt.Fprintf(&metadata, `,"%d":""`, i)
		}
		w := s.do(jsonRequest(`{"filename": "a.png", "metadata": {` + metadata.String()[1:] + `}}`))
		require.Less(t, w.Body.Len(), 1000)
		requireProblem(t, w, status)
	}
}

// TestRecordsAreShort checks that a key that is too long for S3 is not logged.
func TestRecordsAreShort(t *testing.T) {
	s := newService(t, images())
	for _, length := range []int{1025, 30_000} {
		s.log.Reset()
		body := `{"key": "incoming/` + strings.Repeat("k", length) + `"}`
		requireProblem(t, s.do(completeRequest("alice", body)), 404)
		require.Less(t, s.log.Len(), 1000)
		require.Contains(t, s.log.String(), "must have at most 1024 bytes")
	}
}

// TestNoForms checks that an upload without a size is rejected if the service
// has set WithoutForms.
func TestNoForms(t *testing.T) {
	signer := newSigner(t, images(), presign.WithoutForms())
	handler, err := presign.NewHandler(signer, user)
	require.NoError(t, err)
	w := serve(t, handler, jsonRequest(`{"filename": "a.png"}`))
	p := requireProblem(t, w, 422)
	require.Equal(t, []presign.Violation{{
		Field: "size", Code: "required",
		Detail: "must be set, since no form is possible: the service has set WithoutForms",
	}}, p.Errors)
}

// TestLargeFiles checks that the function of WithAuthorize receives the largest
// size that a form can have, 5 GiB.
func TestLargeFiles(t *testing.T) {
	var seen int64
	authorize := func(_ *http.Request, u *presign.Upload) error {
		seen = u.MaxSize
		return nil
	}
	policy := with(func(p *presign.Policy) { p.MaxSize = 1 << 40 })
	s := newService(t, policy, presign.WithAuthorize(authorize))
	require.Equal(t, 201, s.do(jsonRequest(`{"filename": "a.png"}`)).Code)
	require.Equal(t, int64(5<<30), seen)
}

// TestAuthorizeReceivesUpload checks that the function of WithAuthorize
// receives the validated upload.
func TestAuthorizeReceivesUpload(t *testing.T) {
	for body, want := range map[string]presign.Upload{
		`{"filename": "a.png", "size": 10}`:                       {Filename: "a.png", Type: "image/png", Size: 10, MinSize: 10, MaxSize: 10, Lifetime: 15 * time.Minute, Owner: "alice", Method: "PUT"},
		`{"filename": "a.png"}`:                                   {Filename: "a.png", Type: "image/png", MinSize: 10, MaxSize: 1000, Lifetime: 15 * time.Minute, Owner: "alice", Method: "POST"},
		`{"filename": "a.pdf", "max_size": 20, "expires_in": 60}`: {Filename: "a.pdf", Type: "application/pdf", MinSize: 10, MaxSize: 20, Lifetime: time.Minute, Owner: "alice", Method: "POST"},
	} {
		calls, grantID := 0, ""
		authorize := func(r *http.Request, u *presign.Upload) error {
			calls++
			require.Equal(t, "alice", r.Header.Get("X-User"))
			require.NotNil(t, u.Metadata, "the function must be able to add a name")
			seen := *u
			require.Regexp(t, "^[0-9a-f]{32}$", seen.GrantID)
			require.WithinDuration(t, time.Now().Add(seen.Lifetime+24*time.Hour), seen.Deadline,
				2*time.Second)
			grantID = seen.GrantID
			seen.Metadata, seen.GrantID, seen.Deadline = nil, "", time.Time{}
			require.Equal(t, want, seen)
			return nil
		}
		s := newService(t, images(), presign.WithAuthorize(authorize))
		w := s.do(jsonRequest(body))
		require.Equal(t, 201, w.Code)
		require.Equal(t, grantID, decode[presign.Grant](t, w).GrantID)
		require.Equal(t, 1, calls)
	}
}

// TestAuthorizeAddsMetadata checks that the limit for the number of names
// applies to clients only.
func TestAuthorizeAddsMetadata(t *testing.T) {
	for _, names := range []int{20, 25} {
		sent := make(map[string]string)
		policy := with(func(p *presign.Policy) {
			for i := range names {
				name := fmt.Sprintf("name-%d", i)
				p.Metadata, sent[name] = append(p.Metadata, name), "value"
			}
		})
		body, err := json.Marshal(map[string]any{"filename": "a.png", "metadata": sent})
		require.NoError(t, err)
		authorize := func(_ *http.Request, u *presign.Upload) error {
			u.Metadata["by"] = u.Owner
			return nil
		}
		s := newService(t, policy, presign.WithAuthorize(authorize))
		w := s.do(jsonRequest(string(body)))
		require.Equal(t, 201, w.Code, w.Body)
		require.Contains(t, w.Body.String(), `"x-amz-meta-by":"alice"`)
	}
}

// TestNilPointers checks that the response has status 500 if a function of the
// service returns a nil *Problem or a nil *Violation as its error.
func TestNilPointers(t *testing.T) {
	var problem *presign.Problem
	var violation *presign.Violation
	for _, err := range []error{problem, violation} {
		authorize := func(*http.Request, *presign.Upload) error { return err }
		s := newService(t, images(), presign.WithAuthorize(authorize))
		requireProblem(t, s.do(jsonRequest(`{"filename": "a.png"}`)), 500)
		s.requireRecord("ERROR", 500)
		authenticate := func(*http.Request) (string, error) { return "alice", err }
		signer := newSigner(t, images(), presign.WithLogger(newLog(t, &s.log)))
		handler, failed := presign.NewHandler(signer, authenticate)
		require.NoError(t, failed)
		requireProblem(t, serve(t, handler, jsonRequest(`{"filename": "a.png"}`)), 500)
	}
}

// TestAuthorizeResults checks that each result of the function of WithAuthorize
// causes the documented response.
func TestAuthorizeResults(t *testing.T) {
	policy := with(func(p *presign.Policy) { p.Metadata = []string{"user"} })
	for name, c := range map[string]struct {
		body      string
		authorize func(*presign.Upload) error
		status    int
		want      string // a part of the response
	}{
		"rejects": {`{"filename": "a.png"}`, func(u *presign.Upload) error { return errors.New("the quota table is locked") }, 500, `"Internal Server Error"`},
		"problem": {`{"filename": "a.png"}`, func(u *presign.Upload) error { return &presign.Problem{Status: 402, Detail: "Pay."} }, 402, `"Pay."`},
		"violation": {`{"filename": "a.png"}`, func(u *presign.Upload) error {
			return &presign.Violation{Field: "filename", Code: "ugly", Detail: "is taken"}
		}, 422, `"is taken"`},
		"violations": {`{"filename": "a.png"}`, func(u *presign.Upload) error {
			one := &presign.Violation{Field: "filename", Code: "ugly", Detail: "is taken"}
			two := &presign.Violation{Field: "type", Code: "ugly", Detail: "is ugly"}
			return fmt.Errorf("no: %w", errors.Join(one, two))
		}, 422, `"is ugly"`},
		"prefix":            {`{"filename": "a.png"}`, func(u *presign.Upload) error { u.Key = "uploads/" + u.Owner + "/"; return nil }, 201, `uploads/alice/`},
		"key":               {`{"filename": "a.png", "size": 10}`, func(u *presign.Upload) error { u.Key = "uploads/avatar"; return nil }, 201, `"uploads/avatar"`},
		"key in a form":     {`{"filename": "a.png"}`, func(u *presign.Upload) error { u.Key = "uploads/avatar"; return nil }, 422, `"method"`},
		"key elsewhere":     {`{"filename": "a.png", "size": 10}`, func(u *presign.Upload) error { u.Key = "avatars/alice"; return nil }, 500, `"Internal Server Error"`},
		"key too long":      {`{"filename": "a.png", "size": 10}`, func(u *presign.Upload) error { u.Key = "uploads/" + strings.Repeat("k", 1000) + "/"; return nil }, 500, `"Internal Server Error"`},
		"key with a path":   {`{"filename": "a.png", "size": 10}`, func(u *presign.Upload) error { u.Key = "uploads/../x/"; return nil }, 500, `"Internal Server Error"`},
		"narrower":          {`{"filename": "a.png"}`, func(u *presign.Upload) error { u.MaxSize = 20; return nil }, 201, `"fields"`},
		"wider":             {`{"filename": "a.png"}`, func(u *presign.Upload) error { u.MaxSize = 2000; return nil }, 500, `"Internal Server Error"`},
		"quota":             {`{"filename": "a.png", "size": 500}`, func(u *presign.Upload) error { u.MaxSize = min(u.MaxSize, 400); return nil }, 422, `"size"`},
		"quota used up":     {`{"filename": "a.png"}`, func(u *presign.Upload) error { u.MaxSize = min(u.MaxSize, 0); return nil }, 422, `"size"`},
		"quota overdrawn":   {`{"filename": "a.png"}`, func(u *presign.Upload) error { u.MaxSize = min(u.MaxSize, -5); return nil }, 422, `"size"`},
		"shorter":           {`{"filename": "a.png"}`, func(u *presign.Upload) error { u.Lifetime = time.Minute; return nil }, 201, `"expires_in":`},
		"longer":            {`{"filename": "a.png"}`, func(u *presign.Upload) error { u.Lifetime = time.Hour; return nil }, 500, `"Internal Server Error"`},
		"no time left":      {`{"filename": "a.png"}`, func(u *presign.Upload) error { u.Lifetime = 0; return nil }, 422, `"expires_in"`},
		"quota by size":     {`{"filename": "a.png", "size": 500}`, func(u *presign.Upload) error { u.Size = min(u.Size, 0); return nil }, 500, `"Internal Server Error"`},
		"another owner":     {`{"filename": "a.png", "size": 10}`, func(u *presign.Upload) error { u.Owner = "bob"; return nil }, 500, `"Internal Server Error"`},
		"metadata":          {`{"filename": "a.png", "size": 10}`, func(u *presign.Upload) error { u.Metadata = map[string]string{"user": u.Owner}; return nil }, 201, `"x-amz-meta-user":"alice"`},
		"reserved metadata": {`{"filename": "a.png"}`, func(u *presign.Upload) error { u.Metadata = map[string]string{"presign": "x"}; return nil }, 500, `"Internal Server Error"`},
		"changed type":      {`{"filename": "a.png", "size": 10}`, func(u *presign.Upload) error { u.Type = "text/html"; return nil }, 500, `"Internal Server Error"`},
		"changed size":      {`{"filename": "a.png"}`, func(u *presign.Upload) error { u.Size = 20; return nil }, 500, `"Internal Server Error"`},
		"changed filename":  {`{"filename": "a.png", "size": 10}`, func(u *presign.Upload) error { u.Filename = "x.png"; return nil }, 500, `"Internal Server Error"`},
		"redirect, no form": {`{"filename": "a.png", "size": 10}`, func(u *presign.Upload) error { u.Redirect = "https://a.example/"; return nil }, 500, `"Internal Server Error"`},
		"metadata added":    {`{"filename": "a.png", "size": 10}`, func(u *presign.Upload) error { u.Metadata["approved-by"] = "root"; return nil }, 201, `"x-amz-meta-approved-by":"root"`},
		"no owner":          {`{"filename": "a.png", "size": 10}`, func(u *presign.Upload) error { u.Owner = ""; return nil }, 500, `"Internal Server Error"`},
		"lower minimum":     {`{"filename": "a.png", "min_size": 20}`, func(u *presign.Upload) error { u.MinSize = 15; return nil }, 500, `"Internal Server Error"`},
		"minimum of 0":      {`{"filename": "a.png"}`, func(u *presign.Upload) error { u.MinSize = 0; return nil }, 500, `"Internal Server Error"`},
		"higher minimum":    {`{"filename": "a.png"}`, func(u *presign.Upload) error { u.MinSize = 20; return nil }, 201, `"fields"`},
		"crossed bounds":    {`{"filename": "a.png"}`, func(u *presign.Upload) error { u.MaxSize = 5; return nil }, 422, `"size"`},
		"above known size":  {`{"filename": "a.png", "size": 10}`, func(u *presign.Upload) error { u.MaxSize = 11; return nil }, 500, `"Internal Server Error"`},
		"time overdrawn":    {`{"filename": "a.png"}`, func(u *presign.Upload) error { u.Lifetime = -time.Second; return nil }, 422, `"expires_in"`},
		"half a second":     {`{"filename": "a.png"}`, func(u *presign.Upload) error { u.Lifetime = time.Second / 2; return nil }, 422, `"expires_in"`},
		"checksum":          {`{"filename": "a.png", "size": 10}`, func(u *presign.Upload) error { u.Checksum = "AAAAAA=="; return nil }, 500, `"Internal Server Error"`},
		"grant ID":          {`{"filename": "a.png", "size": 10}`, func(u *presign.Upload) error { u.GrantID = strings.Repeat("0", 32); return nil }, 500, `"Internal Server Error"`},
		"method":            {`{"filename": "a.png", "size": 10}`, func(u *presign.Upload) error { u.Method = "POST"; return nil }, 500, `"Internal Server Error"`},
		"multipart method":  {`{"filename": "a.png", "size": 10}`, func(u *presign.Upload) error { u.Method = "multipart"; return nil }, 500, `"Internal Server Error"`},
		"later deadline":    {`{"filename": "a.png", "size": 10}`, func(u *presign.Upload) error { u.Deadline = u.Deadline.Add(time.Second); return nil }, 500, `"Internal Server Error"`},
		"earlier deadline":  {`{"filename": "a.png", "size": 10}`, func(u *presign.Upload) error { u.Deadline = u.Deadline.Add(-time.Second); return nil }, 500, `"Internal Server Error"`},
		"no deadline":       {`{"filename": "a.png", "size": 10}`, func(u *presign.Upload) error { u.Deadline = time.Time{}; return nil }, 500, `"Internal Server Error"`},
		"other time zone":   {`{"filename": "a.png", "size": 10}`, func(u *presign.Upload) error { u.Deadline = u.Deadline.In(time.FixedZone("a", 3600)); return nil }, 201, `"PUT"`},
		"redirect":          {`{"filename": "a.png"}`, func(u *presign.Upload) error { u.Redirect = "https://a.example/"; return nil }, 201, `"success_action_redirect"`},
		"bad redirect":      {`{"filename": "a.png"}`, func(u *presign.Upload) error { u.Redirect = "/done"; return nil }, 500, `"Internal Server Error"`},
		"dollar sign, form": {`{"filename": "a.png"}`, func(u *presign.Upload) error { u.Metadata["by"] = "$"; return nil }, 500, `"Internal Server Error"`},
		"too much metadata": {`{"filename": "a.png", "size": 10}`, func(u *presign.Upload) error { u.Metadata["by"] = strings.Repeat("x", 2000); return nil }, 500, `"Internal Server Error"`},
		"violation and more": {`{"filename": "a.png"}`, func(u *presign.Upload) error {
			violation := &presign.Violation{Field: "filename", Code: "ugly", Detail: "is ugly"}
			return errors.Join(violation, errors.New("the quota table is locked"))
		}, 500, `"Internal Server Error"`},
		"violation, problem": {`{"filename": "a.png"}`, func(u *presign.Upload) error {
			violation := &presign.Violation{Field: "filename", Code: "ugly", Detail: "is ugly"}
			return errors.Join(violation, &presign.Problem{Status: 402})
		}, 402, `"Payment Required"`},
		"ErrNotUploaded": {`{"filename": "a.png"}`, func(u *presign.Upload) error { return fmt.Errorf("the quota table: %w", presign.ErrNotUploaded) }, 500, `"Internal Server Error"`},
	} {
		t.Run(name, func(t *testing.T) {
			authorize := func(_ *http.Request, u *presign.Upload) error { return c.authorize(u) }
			s := newService(t, policy, presign.WithAuthorize(authorize))
			w := s.do(jsonRequest(c.body))
			require.Equal(t, c.status, w.Code, w.Body)
			require.Contains(t, w.Body.String(), c.want)
			require.NotContains(t, w.Body.String(), "quota table")
			if c.status == 201 {
				require.Empty(t, s.log.String())
				return
			}
			if name != "too much metadata" { // This fault is found during signing.
				require.Zero(t, s.signed)
			}
			level := "INFO"
			if c.status >= 500 {
				level = "ERROR"
				require.Empty(t, requireProblem(t, w, c.status).Errors,
					"the client must not receive violations")
			}
			record := s.requireRecord(level, c.status)
			require.Contains(t, record, "owner=alice")
			require.Regexp(t, "grant_id=[0-9a-f]{32}", record)
			require.Equal(t, c.status == 422, strings.Contains(record, " field="))
			require.Equal(t,
				slices.Contains([]string{"rejects", "violation and more", "ErrNotUploaded"}, name),
				strings.Contains(record, "quota table"))
		})
	}
}

// TestCredentialsFail checks that the client receives Retry-After, but not the
// text of the error.
func TestCredentialsFail(t *testing.T) {
	for name, c := range map[string]struct {
		provider aws.CredentialsProviderFunc
		request  func(*http.Request) *http.Request
		status   int
	}{
		"error": {func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{}, errors.New("sts.internal: connection refused")
		}, nil, 503},
		"empty": {func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "sts.internal"}, nil
		}, nil, 503},
		"expiring": {func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{
				AccessKeyID: "sts.internal", SecretAccessKey: "s", CanExpire: true,
				Expires: time.Now().Add(29 * time.Second),
			}, nil
		}, nil, 503},
		"slow": {func(ctx context.Context) (aws.Credentials, error) {
			<-ctx.Done()
			return aws.Credentials{}, fmt.Errorf("sts.internal: %w", ctx.Err())
		}, func(r *http.Request) *http.Request {
			ctx, cancel := context.WithTimeout(r.Context(), time.Nanosecond)
			t.Cleanup(cancel)
			return r.WithContext(ctx)
		}, 504},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			client := newClient(func(o *s3.Options) { o.Credentials = c.provider })
			signer, err := presign.NewSigner(client, "bucket", images(),
				presign.WithLogger(newLog(t, &log)))
			require.NoError(t, err)
			handler, err := presign.NewHandler(signer, user)
			require.NoError(t, err)
			for _, body := range []string{
				`{"filename": "a.png", "size": 10}`, `{"filename": "a.png"}`,
			} {
				r := jsonRequest(body)
				if c.request != nil {
					r = c.request(r)
				}
				w := serve(t, handler, r)
				require.Equal(t, "30", w.Header().Get("Retry-After"))
				require.NotContains(t, w.Body.String(), "sts.internal")
				requireProblem(t, w, c.status)
				require.NotEmpty(t, log.String())
			}
		})
	}
}

// TestInternalError checks that clients do not see an internal error of the
// service.
func TestInternalError(t *testing.T) {
	client := newClient(func(o *s3.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{
				AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "secret",
				SessionToken: strings.Repeat("t", 9000),
			}, nil
		})
	})
	var log bytes.Buffer
	signer, err := presign.NewSigner(client, "bucket", images(),
		presign.WithLogger(newLog(t, &log)))
	require.NoError(t, err)
	handler, err := presign.NewHandler(signer, user)
	require.NoError(t, err)
	w := serve(t, handler, jsonRequest(`{"filename": "a.png"}`))
	p := requireProblem(t, w, 500)
	require.Equal(t, "Internal Server Error", p.Message)
	require.Contains(t, log.String(), "20480")
	require.NotContains(t, log.String(), "ttt")
}

// TestWaitIsBounded checks that the Handler waits for credentials for at most
// ten seconds.
func TestWaitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
			<-ctx.Done()
			return aws.Credentials{}, ctx.Err()
		})
		client := newClient(func(o *s3.Options) { o.Credentials = hang })
		signer, err := presign.NewSigner(client, "bucket", images(),
			presign.WithLogger(slog.New(slog.DiscardHandler)))
		require.NoError(t, err)
		handler, err := presign.NewHandler(signer, user)
		require.NoError(t, err)
		started := time.Now()
		w := serve(t, handler, jsonRequest(`{"filename": "a.png", "size": 10}`))
		requireProblem(t, w, 504)
		require.Equal(t, 10*time.Second, time.Since(started))

		// If the client has disconnected, the status is 503, not 504.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w = serve(t, handler, jsonRequest(`{"filename": "a.png", "size": 10}`).WithContext(ctx))
		requireProblem(t, w, 503)
	})
}

// TestSecretsAreNotRevealed checks that no response, error or log record
// contains the secret key, and that only grants contain the session token. The
// helpers serve, newLog and searchError search for the key and the token.
func TestSecretsAreNotRevealed(t *testing.T) {
	credentials := session
	var log bytes.Buffer
	for _, fail := range []func() error{
		func() error { return nil },
		func() error { return errors.New("STS is down") },
		func() error {
			credentials.SessionToken = strings.Repeat(session.SessionToken, 500)
			return nil
		},
		func() error { credentials.AccessKeyID = ""; return nil },
		func() error { credentials.CanExpire, credentials.Expires = true, time.Now(); return nil },
	} {
		err := fail()
		client := newClient(func(o *s3.Options) {
			retrieve := func(context.Context) (aws.Credentials, error) { return credentials, err }
			o.Credentials = aws.CredentialsProviderFunc(retrieve)
		})
		signer, err := presign.NewSigner(client, "bucket", images(),
			presign.WithLogger(newLog(t, &log)))
		require.NoError(t, err)
		handler, err := presign.NewHandler(signer, user)
		require.NoError(t, err)
		for _, body := range []string{
			`{"filename": "a.png", "size": 10}`, `{"filename": "a.png"}`, `{"filename": "a/b"}`,
			`{`,
		} {
			serve(t, handler, jsonRequest(body))
		}
		for _, sign := range []func(context.Context, presign.Upload) (*presign.Grant, error){
			signer.Put, signer.Post,
		} {
			_, err := sign(t.Context(), presign.Upload{Filename: "a.png", Size: 10})
			_ = searchError(t, err)
		}
	}
	require.NotEmpty(t, log.String())
}

func TestProblemIsAnError(t *testing.T) {
	require.EqualError(t, &presign.Problem{Status: 404}, "presign: 404 Not Found")
	require.EqualError(t, &presign.Problem{
		Status: 422, Errors: []presign.Violation{{Field: "size", Detail: "is too big"}},
	}, "presign: 422 size is too big")
	text, err := json.Marshal(&presign.Problem{Status: 404})
	require.NoError(t, err)
	require.JSONEq(t,
		`{"type": "about:blank", "title": "Not Found", "status": 404, "message": "Not Found"}`,
		string(text))
}

// TestProviderKeepsContext checks that the context that a provider receives is
// canceled when the request ends, even if the provider keeps the context.
func TestProviderKeepsContext(t *testing.T) {
	var kept context.Context
	static := newClient().Options().Credentials
	client := newClient(func(o *s3.Options) {
		retrieve := func(ctx context.Context) (aws.Credentials, error) {
			kept = ctx
			return static.Retrieve(ctx)
		}
		o.Credentials = aws.CredentialsProviderFunc(retrieve)
	})
	signer, err := presign.NewSigner(client, "bucket", images(), presign.WithSecret(secret))
	require.NoError(t, err)
	handler, err := presign.NewHandler(signer, user)
	require.NoError(t, err)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, jsonRequest(`{"filename": "a.png", "size": 10}`))
	require.Equal(t, http.StatusCreated, w.Code, w.Body)
	<-kept.Done()
	require.ErrorIs(t, kept.Err(), context.Canceled)
}
