package presign_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/s3test"
)

// A native is a client of the Handler's native routes.
type native struct {
	shop
	t       *testing.T
	handler http.Handler
	user    string
}

func newNative(t *testing.T, s shop, opts ...presign.HandlerOption) native {
	t.Helper()
	handler, err := presign.NewHandler(s.Signer, user, opts...)
	require.NoError(t, err)
	return native{s, t, handler, "alice"}
}

// ask sends a POST request with a JSON body.
func (n native) ask(path string, body any) *httptest.ResponseRecorder {
	n.t.Helper()
	text, ok := body.(string)
	if !ok {
		marshaled, err := json.Marshal(body)
		require.NoError(n.t, err)
		text = string(marshaled)
	}
	r := httptest.NewRequest("POST", path, strings.NewReader(text))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-User", n.user)
	return serve(n.t, n.handler, r)
}

// get sends a request and decodes its successful response.
func (n native) get(status int, path string, body, response any) {
	n.t.Helper()
	w := n.ask(path, body)
	require.Equal(n.t, status, w.Code, w.Body)
	require.Equal(n.t, "application/json", w.Header().Get("Content-Type"))
	require.Equal(n.t, "no-store", w.Header().Get("Cache-Control"))
	decoder := json.NewDecoder(w.Body)
	decoder.DisallowUnknownFields()
	require.NoError(n.t, decoder.Decode(response))
}

// A startedMultipart is the response to a request for a multipart upload.
type startedMultipart struct {
	Method    string    `json:"method"`
	ID        string    `json:"id"`
	Key       string    `json:"key"`
	PartSize  int64     `json:"part_size"`
	GrantID   string    `json:"grant_id"`
	Expires   time.Time `json:"expires_at"`
	ExpiresIn int       `json:"expires_in"`
}

// start starts a multipart upload.
func (n native) start(members map[string]any) (m startedMultipart) {
	n.t.Helper()
	body := map[string]any{"filename": "日本.png", "method": "multipart"}
	for name, value := range members {
		body[name] = value
	}
	n.get(201, "/", body, &m)
	require.Equal(n.t, "multipart", m.Method)
	require.NotEmpty(n.t, m.ID)
	require.InDelta(n.t, 7*24*3600, m.ExpiresIn, 2)
	require.WithinDuration(n.t, time.Now().Add(7*24*time.Hour), m.Expires, 2*time.Second)
	return m
}

// A signedParts is the response of POST /parts/sign.
type signedParts struct {
	URLs      []string  `json:"urls"`
	Expires   time.Time `json:"expires_at"`
	ExpiresIn int       `json:"expires_in"`
}

func (n native) sign(body map[string]any) (s signedParts) {
	n.t.Helper()
	n.get(200, "/parts/sign", body, &s)
	return s
}

// A listedParts is the response of POST /parts/list.
type listedParts struct {
	Parts []presign.Part `json:"parts"`
}

func (n native) list(id string) []presign.Part {
	n.t.Helper()
	var listed listedParts
	n.get(200, "/parts/list", map[string]any{"id": id}, &listed)
	return listed.Parts
}

// TestNativeMultipart checks that a client can start and complete a multipart
// upload, and can repeat the completion. The size and the list of parts are
// optional.
func TestNativeMultipart(t *testing.T) {
	for _, members := range []map[string]any{
		{}, {"size": len(large)},
		{"size": len(large), "metadata": map[string]string{"color": "red"}, "expires_in": 60},
	} {
		for _, named := range []string{"", "numbers", "everything"} {
			t.Run(fmt.Sprint(members, named), func(t *testing.T) {
				calls := 0
				authorize := func(_ *http.Request, u *presign.Upload) error {
					calls++
					require.Equal(t, "multipart", u.Method)
					require.Equal(t, "alice", u.Owner)
					return nil
				}
				n := newNative(t, open(t, s3test.New(), multipartPolicy()),
					presign.WithAuthorize(authorize))
				m := n.start(members)
				require.EqualValues(t, partSize, m.PartSize)
				require.Empty(t, n.list(m.ID))
				signed := n.sign(map[string]any{"id": m.ID, "first": 1, "last": 3})
				require.Len(t, signed.URLs, 3)
				lifetime := 900
				if members["expires_in"] != nil {
					lifetime = 60
				}
				require.InDelta(t, lifetime, signed.ExpiresIn, 2)
				request := map[string]any{"id": m.ID}
				var parts []map[string]any
				for i, piece := range pieces(large) {
					etag := n.putPart(t, &presign.Grant{Method: "PUT", URL: signed.URLs[i]}, piece)
					part := map[string]any{"number": i + 1}
					if named == "everything" {
						part["etag"], part["size"] = etag, len(piece)
					}
					parts = append(parts, part)
				}
				listed := n.list(m.ID)
				require.Len(t, listed, 3)
				require.EqualValues(t, partSize, listed[0].Size)
				if named != "" {
					request["parts"] = parts
				}
				var object presign.Object
				for range 2 { // Completions can be repeated.
					n.get(200, "/complete", request, &object)
					require.Equal(t, finalKey(m.Key), object.Key)
					require.Equal(t, m.GrantID, object.GrantID)
				}
				stored, _ := n.store.Object(s3test.DefaultBucket, object.Key)
				require.True(t, bytes.Equal(large, stored.Body))
				var again presign.Object
				n.get(200, "/complete", map[string]any{"key": m.Key}, &again)
				require.Equal(t, object, again)
				require.Equal(t, 1, calls, "the upload must be authorized once")
				require.Empty(t, n.log.String())
			})
		}
	}
}

// TestNativeParts checks that parts can be signed with their own checksum and
// size.
func TestNativeParts(t *testing.T) {
	policy := multipartPolicy()
	policy.Checksum = types.ChecksumAlgorithmCrc32c
	n := newNative(t, open(t, s3test.New(), policy))
	m := n.start(map[string]any{"size": len(large), "checksum": crc(large)})
	var parts []map[string]any
	for i, piece := range pieces(large) {
		parts = append(parts,
			map[string]any{"number": i + 1, "size": len(piece), "checksum": crc(piece)})
	}
	signed := n.sign(map[string]any{"id": m.ID, "parts": parts})
	for i, piece := range pieces(large) {
		grant := &presign.Grant{
			Method: "PUT", URL: signed.URLs[i],
			Headers: map[string]string{"x-amz-checksum-crc32c": crc(piece)},
		}
		require.Equal(t, 403,
			n.tryPart(t, &presign.Grant{Method: "PUT", URL: signed.URLs[i]}, piece).StatusCode,
			"the checksum must be signed")
		n.putPart(t, grant, piece)
	}
	for i, p := range n.list(m.ID) {
		require.Equal(t, parts[i]["checksum"], p.Checksum)
	}
	var object presign.Object
	n.get(200, "/complete", map[string]any{"id": m.ID, "parts": parts}, &object)
	require.Equal(t, crc(large), object.Checksum)
}

// TestNativeAbort checks that an upload is aborted, and that an abort can be
// repeated.
func TestNativeAbort(t *testing.T) {
	n := newNative(t, open(t, s3test.New(), multipartPolicy()))
	m := n.start(nil)
	signed := n.sign(map[string]any{"id": m.ID, "first": 1, "last": 1})
	n.putPart(t, &presign.Grant{Method: "PUT", URL: signed.URLs[0]}, png)
	for range 2 {
		w := n.ask("/abort", map[string]any{"id": m.ID})
		require.Equal(t, 200, w.Code)
		require.Equal(t, "{}", w.Body.String())
	}
	require.Empty(t, n.uploads(t))
	for _, path := range []string{"/parts/list", "/complete"} {
		requireProblem(t, n.ask(path, map[string]any{"id": m.ID}), 404)
	}
}

// TestNativeCompleteConflicts checks that a completion returns status 409 if
// its object is replaced during each attempt, and that the client can try
// again.
func TestNativeCompleteConflicts(t *testing.T) {
	n := newNative(t, open(t, s3test.New(), multipartPolicy()))
	m := n.start(nil)
	signed := n.sign(map[string]any{"id": m.ID, "first": 1, "last": 1})
	n.putPart(t, &presign.Grant{Method: "PUT", URL: signed.URLs[0]}, png)
	changes := byte(0)
	n.store.Fail(func(operation string, _ *http.Request) s3test.Fault {
		if operation == "CopyObject" {
			changes++
			n.rewrite(t, m.Key, append(bytes.Clone(png), changes), true)
		}
		return s3test.None
	})
	request := map[string]any{"id": m.ID}
	p := requireProblem(t, n.ask("/complete", request), 409)
	require.Empty(t, p.Errors, "only a pending completion must have a code")
	require.EqualValues(t, 3, changes)
	require.Contains(t, n.log.String(), "the upload was replaced while it was copied")
	require.Equal(t, []string{m.Key}, n.keys(), "the upload must not be published")

	n.store.Fail(nil)
	var object presign.Object
	n.get(200, "/complete", request, &object)
	require.Equal(t, m.GrantID, object.GrantID)
	require.Equal(t, finalKey(m.Key), object.Key)
}

// TestAbortHangs checks that an abort ends after ten seconds if the store
// hangs.
func TestAbortHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, s3test.New(), multipartPolicy())
		n, u := newNative(t, s), mount(t, s)
		m, started := n.start(nil), u.start(t, "a.png", nil)
		s.store.Fail(func(string, *http.Request) s3test.Fault { return s3test.Hang })
		startedAt := time.Now()
		requireProblem(t, n.ask("/abort", map[string]any{"id": m.ID}), 504)
		requireProblem(t, u.ask("DELETE", u.path(started, "", ""), ""), 504)
		require.Equal(t, 20*time.Second, time.Since(startedAt))
	})
}

// TestAbortOutlastsClient checks that an upload is aborted even if its client
// disconnects before the response, for example because the user closes the
// page.
func TestAbortOutlastsClient(t *testing.T) {
	s := open(t, s3test.New(), multipartPolicy())
	n, u := newNative(t, s), mount(t, s)
	disconnected, disconnect := context.WithCancel(t.Context())
	disconnect()
	m := n.start(map[string]any{"size": len(large)})
	native := httptest.NewRequestWithContext(disconnected, "POST", "/abort",
		strings.NewReader(`{"id": "`+m.ID+`"}`))
	native.Header.Set("Content-Type", "application/json")
	native.Header.Set("X-User", "alice")
	started := u.start(t, "a.png", nil)
	require.Len(t, s.uploads(t), 2)
	n.handler.ServeHTTP(httptest.NewRecorder(), native)
	require.Len(t, s.uploads(t), 1)
	u.handler.ServeHTTP(httptest.NewRecorder(),
		u.request("DELETE", u.path(started, "", ""), "").WithContext(disconnected))
	require.Empty(t, s.uploads(t))
}

// TestNativeOwners checks that no route changes another owner's upload or
// reveals that the upload exists.
func TestNativeOwners(t *testing.T) {
	alice := newNative(t, open(t, s3test.New(), multipartPolicy()))
	m := alice.start(map[string]any{"size": len(png)})
	signed := alice.sign(map[string]any{"id": m.ID, "first": 1, "last": 1})
	alice.putPart(t, &presign.Grant{Method: "PUT", URL: signed.URLs[0]}, png)
	for user, status := range map[string]int{"bob": 404, "": 401} {
		other := alice
		other.user = user
		for _, id := range []string{m.ID, "A", m.ID[:len(m.ID)-1], strings.Repeat("A", 10_000)} {
			for path, body := range map[string]map[string]any{
				"/parts/sign": {"first": 1, "last": 1}, "/parts/list": {}, "/complete": {},
				"/abort": {},
			} {
				body["id"] = id
				p := requireProblem(t, other.ask(path, body), status)
				want := map[int]string{404: "You have no upload with this ID.", 401: "Unauthorized"}
				require.Equal(t, want[status], p.Message)
			}
		}
		requireProblem(t, other.ask("/complete", map[string]any{"key": m.Key}), status)
	}
	require.Equal(t, []string{m.Key}, alice.uploads(t))
	require.Empty(t, alice.keys())
	alice.get(200, "/complete", map[string]any{"id": m.ID}, new(presign.Object))
}

// TestHostileNativeRequests checks that each request is rejected with the
// member at fault, and that the upload does not change.
func TestHostileNativeRequests(t *testing.T) {
	n := newNative(t, open(t, s3test.New(), multipartPolicy()))
	m := n.start(map[string]any{"size": len(large)})
	signed := n.sign(map[string]any{"id": m.ID, "first": 1, "last": 1})
	etag := n.putPart(t, &presign.Grant{Method: "PUT", URL: signed.URLs[0]}, large[:partSize])
	list := func(count int, element string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(element+",", count), ",") + "]"
	}
	for _, a := range []struct {
		path, body string
		status     int
		field      string
	}{
		{"/complete", `{}`, 400, "key"},
		{"/complete", `{"key": null, "id": null}`, 400, "key"},
		{"/complete", `{"parts": []}`, 400, "key"},
		{"/complete", `{"key": "incoming/a.png", "id": "ID"}`, 400, "id"},
		{"/complete", `{"key": "incoming/a.png", "parts": [{"number": 1}]}`, 400, "parts"},
		{"/complete", `{"id": "ID", "owner": "bob"}`, 400, "owner"},
		{"/complete", `{"id": 5}`, 400, "id"},
		{"/complete", `{"id": "ID", "parts": []}`, 422, "parts"},
		{"/complete", `{"id": "ID", "parts": {}}`, 400, "parts"},
		{"/complete", `{"id": "ID", "parts": [1]}`, 400, "parts[0]"},
		{"/complete", `{"id": "ID", "parts": [null]}`, 400, "parts[0]"},
		{"/complete", `{"id": "ID", "parts": [{}]}`, 422, "parts[0][number]"},
		{"/complete", `{"id": "ID", "parts": [{"number": 1, "PartNumber": 1}]}`, 400, "parts[0][PartNumber]"},
		{"/complete", `{"id": "ID", "parts": [{"number": 1, "number": 1}]}`, 400, "parts[0][number]"},
		{"/complete", `{"id": "ID", "parts": [{"number": 0}]}`, 422, "parts[0][number]"},
		{"/complete", `{"id": "ID", "parts": [{"number": 10001}]}`, 422, "parts[0][number]"},
		{"/complete", `{"id": "ID", "parts": [{"number": 4294967297}]}`, 422, "parts[0][number]"},
		{"/complete", `{"id": "ID", "parts": [{"number": "1"}]}`, 400, "parts[0][number]"},
		{"/complete", `{"id": "ID", "parts": [{"number": 1, "size": 0}]}`, 422, "parts[0][size]"},
		{"/complete", `{"id": "ID", "parts": [{"number": 1, "size": 5}]}`, 422, "parts"},
		{"/complete", `{"id": "ID", "parts": [{"number": 1, "etag": "other"}]}`, 422, "parts"},
		{"/complete", `{"id": "ID", "parts": [{"number": 1}, {"number": 1}]}`, 422, "parts"},
		{"/complete", `{"id": "ID", "parts": [{"number": 2}]}`, 422, "parts"},
		{"/complete", `{"id": "ID", "parts": [{"number": 1, "etag": ETAG}]}`, 422, "size"},
		{"/complete", `{"id": "ID", "parts": ` + list(10_001, `{"number": 1}`) + `}`, 422, "parts"},
		{"/complete", `{"id": "ID", "parts": ` + list(100_000, `{"number": 1}`) + `}`, 413, ""},

		{"/parts/sign", `{}`, 400, "id"},
		{"/parts/sign", `{"id": ""}`, 400, "id"},
		{"/parts/sign", `{"id": "ID"}`, 400, "first"},
		{"/parts/sign", `{"id": "ID", "first": 1}`, 400, "last"},
		{"/parts/sign", `{"id": "ID", "last": 1}`, 400, "first"},
		{"/parts/sign", `{"id": "ID", "first": 1, "last": 1, "parts": [{"number": 1}]}`, 400, "parts"},
		{"/parts/sign", `{"id": "ID", "parts": []}`, 422, "parts"},
		{"/parts/sign", `{"id": "ID", "parts": [{"number": 1, "etag": "a"}]}`, 400, "parts[0][etag]"},
		{"/parts/sign", `{"id": "ID", "first": 0, "last": 1}`, 422, "first"},
		{"/parts/sign", `{"id": "ID", "first": 2, "last": 1}`, 422, "last"},
		{"/parts/sign", `{"id": "ID", "first": 1, "last": 1001}`, 422, "last"},
		{"/parts/sign", `{"id": "ID", "first": 9223372036854775807, "last": 9223372036854775807}`, 422, "first"},
		{"/parts/sign", `{"id": "ID", "first": 1, "last": 4}`, 422, "part"},
		{"/parts/sign", `{"id": "ID", "parts": ` + list(1001, `{"number": 1}`) + `}`, 422, "parts"},
		{"/parts/sign", `{"id": "ID", "parts": [{"number": 1, "size": 5}]}`, 422, "size"},
		{"/parts/sign", `{"id": "ID", "parts": [{"number": 1, "checksum": "AAAAAA=="}]}`, 422, "checksum"},

		{"/parts/list", `{}`, 400, "id"},
		{"/parts/list", `{"id": "ID", "key": "incoming/a.png"}`, 400, "key"},
		{"/abort", `{}`, 400, "id"},
		{"/abort", `{"id": ["ID"]}`, 400, "id"},

		{"/", `{"filename": "a.png", "method": "multipart", "size": 20971521}`, 422, "size"},
		{"/", `{"filename": "a.png", "method": "multipart", "part_size": 5242880}`, 400, "part_size"},
		{"/", `{"filename": "a.png", "method": "Multipart"}`, 422, "method"},
	} {
		t.Run(fmt.Sprintf("%s %.80s", a.path, a.body), func(t *testing.T) {
			values := strings.NewReplacer("ID", m.ID, "ETAG", string(must(json.Marshal(etag))))
			w := n.ask(a.path, values.Replace(a.body))
			require.Less(t, w.Body.Len(), 1000)
			p := requireProblem(t, w, a.status)
			if a.field == "" {
				require.Empty(t, p.Errors)
			} else {
				require.NotEmpty(t, p.Errors, p)
				require.Equal(t, a.field, p.Errors[0].Field)
			}
			require.Equal(t, []string{m.Key}, n.uploads(t))
			require.Empty(t, n.keys())
		})
	}
}

// TestNativeRoutesNeedApproval checks that the Handler does not sign or store
// anything until authenticate and the function of WithAuthorize have approved
// the request.
func TestNativeRoutesNeedApproval(t *testing.T) {
	rejection := &presign.Problem{Status: 402}
	authorize := func(*http.Request, *presign.Upload) error { return rejection }
	n := newNative(t, open(t, s3test.New(), multipartPolicy()), presign.WithAuthorize(authorize))
	requireProblem(t, n.ask("/", `{"filename": "a.png", "method": "multipart"}`), 402)
	var results struct {
		Results []problem `json:"results"`
	}
	n.get(200, "/batch", `{"uploads": [{"filename": "a.png", "size": 10}]}`, &results)
	require.Equal(t, 402, results.Results[0].Status)
	n.user = ""
	for _, path := range []string{
		"/", "/batch", "/parts/sign", "/parts/list", "/complete", "/abort",
	} {
		requireProblem(t, n.ask(path, "not JSON"), 401)
	}
	require.Empty(t, n.uploads(t))
	require.Empty(t, n.keys())
}

// TestBounds checks that GET / returns what the policy allows.
func TestBounds(t *testing.T) {
	for name, c := range map[string]struct {
		policy presign.Policy
		opts   []presign.SignerOption
		want   string
	}{
		"everything": {with(func(p *presign.Policy) { p.Metadata = []string{"Color"}; p.Lifetime = time.Minute }), nil,
			`{"types": ["image/*", "application/pdf"], "min_size": 10, "max_size": 1000, "expires_in": 60, "metadata": ["color"], "methods": ["PUT", "POST", "multipart"]}`},
		"no forms": {with(func(p *presign.Policy) { p.MinSize = 0 }), []presign.SignerOption{presign.WithoutForms()},
			`{"types": ["image/*", "application/pdf"], "min_size": 1, "max_size": 1000, "expires_in": 900, "metadata": [], "methods": ["PUT", "multipart"]}`},
		"checksum": {with(func(p *presign.Policy) { p.Checksum = types.ChecksumAlgorithmSha256 }), nil,
			`{"types": ["image/*", "application/pdf"], "min_size": 10, "max_size": 1000, "expires_in": 900, "checksum": "SHA256", "metadata": [], "methods": ["PUT", "POST"]}`},
	} {
		t.Run(name, func(t *testing.T) {
			handler, err := presign.NewHandler(newSigner(t, c.policy, c.opts...), user,
				presign.WithAuthorize(func(*http.Request, *presign.Upload) error {
					t.Error("GET / must not authorize an upload")
					return nil
				}))
			require.NoError(t, err)
			r := httptest.NewRequest("GET", "/", nil)
			requireProblem(t, serve(t, handler, r), 401)
			r.Header.Set("X-User", "alice")
			w := serve(t, handler, r)
			require.Equal(t, 200, w.Code)
			require.JSONEq(t, c.want, w.Body.String())
		})
	}
}

// must returns value, or panics if err is not nil.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// A batchResults is the response of POST /batch.
type batchResults struct {
	Results []struct {
		presign.Grant
		Status int                 `json:"status"`
		Errors []presign.Violation `json:"errors"`
	} `json:"results"`
}

func (n native) batch(body any) (b batchResults) {
	n.t.Helper()
	w := n.ask("/batch", body)
	require.Equal(n.t, 200, w.Code, w.Body)
	require.NoError(n.t, json.Unmarshal(w.Body.Bytes(), &b))
	return b
}

// TestBatch checks that the results are in order, that a rejected upload does
// not affect other uploads, and that each grant can be used.
func TestBatch(t *testing.T) {
	var uploads []presign.Upload
	authorize := func(_ *http.Request, u *presign.Upload) error {
		uploads = append(uploads, *u)
		if u.Filename == "c.png" {
			return &presign.Violation{Field: "filename", Code: "ugly", Detail: "is ugly"}
		}
		u.Redirect = "https://example.com/done"
		return nil
	}
	n := newNative(t, open(t, s3test.New(), final()), presign.WithAuthorize(authorize))
	b := n.batch(fmt.Sprintf(`{"uploads": [
		{"filename": "a.png", "size": %d},
		{"filename": "b.png", "metadata": {"color": "red"}},
		{"filename": "c.png"},
		{"filename": "d.exe", "size": 0},
		{"filename": "e.png", "method": "multipart"},
		{"filename": "f.png", "size": %[1]d, "method": "POST"}]}`, len(png)))
	require.Len(t, b.Results, 6)
	var found []string
	for _, r := range b.Results {
		text := fmt.Sprint(r.Method, r.Status)
		for _, v := range r.Errors {
			text += " " + v.Field + " " + v.Code
		}
		found = append(found, text)
	}
	require.Equal(t, []string{
		"PUT0", "POST0", "422 filename ugly", "422 size too_small type not_allowed",
		"422 method invalid", "POST0",
	}, found)
	require.Equal(t, []string{"PUT", "POST"}, b.Results[4].Errors[0].Allowed)
	require.Len(t, uploads, 4)
	require.Equal(t, 3, strings.Count(n.log.String(), "request not served"))
	for _, i := range []int{0, 1, 5} {
		grant := b.Results[i].Grant
		j := slices.IndexFunc(uploads, func(u presign.Upload) bool {
			return strings.HasSuffix(grant.Key, "/"+u.Filename)
		})
		require.Equal(t, uploads[j].GrantID, grant.GrantID)
		require.NotContains(t, grant.Fields, "success_action_redirect")
		n.send(t, &grant, png, nil)
		n.get(200, "/complete", map[string]any{"key": grant.Key}, new(presign.Object))
	}
}

// TestBatchRejects checks that a malformed batch is rejected as a whole.
func TestBatchRejects(t *testing.T) {
	n := newNative(t, open(t, s3test.New(), final()))
	many := func(count int) string {
		uploads := strings.TrimSuffix(strings.Repeat(`{"filename": "a.png"},`, count), ",")
		return `{"uploads": [` + uploads + `]}`
	}
	for _, c := range []struct {
		body   string
		status int
		field  string
	}{
		{`{}`, 400, "uploads"},
		{`{"uploads": null}`, 400, "uploads"},
		{`{"uploads": []}`, 400, "uploads"},
		{`{"uploads": {}}`, 400, "uploads"},
		{`{"uploads": ["a.png"]}`, 400, "uploads[0]"},
		{`{"uploads": [{"filename": "a.png"}, {"filename": 5}]}`, 400, "uploads[1][filename]"},
		{`{"uploads": [{"filename": "a.png", "key": "incoming/b.png"}]}`, 400, "uploads[0][key]"},
		{`{"uploads": [{"filename": "a.png"}], "filename": "b.png"}`, 400, "filename"},
		{`{"uploads": [{"filename": "a.png", "metadata": {"color": "a", "color": "b"}}]}`, 400, "uploads[0][metadata][color]"},
		{many(101), 422, "uploads"}, {many(60_000), 413, ""},
	} {
		p := requireProblem(t, n.ask("/batch", c.body), c.status)
		if c.field != "" {
			require.Equal(t, c.field, p.Errors[0].Field)
		}
	}
	require.Len(t, n.batch(many(100)).Results, 100)
	r := httptest.NewRequest("POST", "/batch", strings.NewReader("uploads[0][filename]=a.png"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-User", "alice")
	requireProblem(t, serve(t, n.handler, r), 415)
}

// TestBatchIsLimited checks that a limiter in WithAuthorize counts each upload.
func TestBatchIsLimited(t *testing.T) {
	left := 3
	authorize := func(*http.Request, *presign.Upload) error {
		if left--; left < 0 {
			return &presign.Problem{Status: 429, RetryAfter: time.Minute}
		}
		return nil
	}
	n := newNative(t, open(t, s3test.New(), final()), presign.WithAuthorize(authorize))
	b := n.batch(`{"uploads": [{"filename": "a.png"}, {"filename": "b.png"}, {"filename": "c.png"},
		{"filename": "d.png"}, {"filename": "e.png"}]}`)
	var statuses []int
	for _, r := range b.Results {
		statuses = append(statuses, r.Status)
	}
	require.Equal(t, []int{0, 0, 0, 429, 429}, statuses)
	require.Equal(t, -2, left)
}

// TestBatchEndsWithClient checks that no upload is authorized after the client
// has disconnected.
func TestBatchEndsWithClient(t *testing.T) {
	calls := 0
	ctx, disconnect := context.WithCancel(context.Background())
	authorize := func(*http.Request, *presign.Upload) error {
		if calls++; calls == 2 {
			disconnect()
		}
		return nil
	}
	n := newNative(t, open(t, s3test.New(), final()), presign.WithAuthorize(authorize))
	body := `{"uploads": [{"filename": "a.png"}, {"filename": "b.png"}, {"filename": "c.png"},
		{"filename": "d.png"}]}`
	r := httptest.NewRequest("POST", "/batch", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-User", "alice")
	requireProblem(t, serve(t, n.handler, r.WithContext(ctx)), 503)
	require.Equal(t, 2, calls)
}
