package presign_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/conformance"
	"github.com/s3presign/presign/internal/test/s3test"
)

// An uppy is a client that sends the requests of Uppy, according to the source
// code of its versions 4, 5 and 6.
type uppy struct {
	shop
	t       testing.TB
	handler http.Handler
	user    string
	version int
}

func newUppy(t *testing.T, policy presign.Policy, opts ...presign.HandlerOption) uppy {
	t.Helper()
	return mount(t, open(t, s3test.New(), policy), opts...)
}

// mount returns a client of a Handler that is mounted under /uploads.
func mount(t testing.TB, s shop, opts ...presign.HandlerOption) uppy {
	t.Helper()
	opts = append([]presign.HandlerOption{presign.WithUppy()}, opts...)
	handler, err := presign.NewHandler(s.Signer, user, opts...)
	require.NoError(t, err)
	return uppy{
		shop: s, t: t, handler: http.StripPrefix("/uploads", handler), user: "alice", version: 6,
	}
}

// ask sends a request to the handler.
func (u uppy) ask(method, path, body string) *httptest.ResponseRecorder {
	return serve(u.t, u.handler, u.request(method, path, body))
}

// request returns a request of the user. If Uppy's endpoint option has a
// trailing slash, Uppy 6 keeps the slash.
func (u uppy) request(method, path, body string) *http.Request {
	endpoint := "/uploads"
	if u.version == 6 {
		endpoint = "/uploads/"
	}
	r := httptest.NewRequest(method, endpoint+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("X-User", u.user)
	return r
}

// get sends a request and decodes its successful response.
func (u uppy) get(t *testing.T, method, path, body string, response any) {
	t.Helper()
	w := u.ask(method, path, body)
	require.Equal(t, 200, w.Code, w.Body)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), response), w.Body)
}

// A started value is the response to Uppy's request for a multipart upload.
type started struct {
	UploadID, Key string
	PartSize      int64
}

// start starts a multipart upload.
func (u uppy) start(t *testing.T, name string, meta map[string]any) (s started) {
	t.Helper()
	metadata := map[string]any{"name": name, "type": "image/png", "relativePath": nil}
	for name, value := range meta {
		metadata[name] = value
	}
	body, err := json.Marshal(map[string]any{
		"filename": name, "type": "image/png", "metadata": metadata,
	})
	require.NoError(t, err)
	u.get(t, "POST", "/s3/multipart", string(body), &s)
	require.NotEmpty(t, s.UploadID)
	require.NotEmpty(t, s.Key)
	return s
}

// path returns the path and query of a request for a multipart upload.
func (u uppy) path(s started, rest, query string) string {
	key := url.QueryEscape(s.Key)
	if u.version != 6 {
		// encodeURIComponent encodes a space as %20.
		key = strings.ReplaceAll(key, "+", "%20")
	}
	return "/s3/multipart/" + url.PathEscape(s.UploadID) + rest + "?" + query + "key=" + key
}

// sign returns the URL of a part.
func (u uppy) sign(t *testing.T, s started, number int) string {
	t.Helper()
	var response struct {
		URL     string
		Expires *int
	}
	u.get(t, "GET", u.path(s, "/"+strconv.Itoa(number), ""), "", &response)
	require.Nil(t, response.Expires)
	return response.URL
}

// completion returns the body of a completion. The format of ETags depends on
// the version of Uppy.
func (u uppy) completion(etags []string) string {
	var parts []map[string]any
	for i, etag := range etags {
		part := map[string]any{"PartNumber": i + 1, "ETag": etag}
		switch u.version {
		case 6:
			part["ETag"] = strings.Trim(etag, `"`)
		case 4:
			part["etag"], part["content-length"] = "another", "0"
		}
		parts = append(parts, part)
	}
	body, _ := json.Marshal(map[string]any{"parts": parts})
	return string(body)
}

// A completed value is the response to Uppy's request for a completion.
type completed struct{ Location, Key string }

// TestUppyMultipart checks that each version of Uppy can start, list and
// complete a multipart upload, and can repeat the completion.
func TestUppyMultipart(t *testing.T) {
	for _, version := range []int{4, 5, 6} {
		for name, meta := range map[string]map[string]any{
			"without a size":               {},
			"with a size":                  {"size": len(large)},
			"with a size as text":          {"size": strconv.Itoa(len(large))},
			"with an invalid size":         {"size": "XL"},
			"with a part size of its own":  {"size": len(large), "partSize": 6 << 20},
			"with metadata of other names": {"color": "red", "größe": "日本", "nested": map[string]any{"a": 1}, "flag": true},
		} {
			if version != 6 && name != "without a size" && name != "with a size as text" {
				continue // Uppy 4 and 5 send only strings.
			}
			t.Run(fmt.Sprint(version, " ", name), func(t *testing.T) {
				requireUppyMultipart(t, version, meta)
			})
		}
	}
}

// requireUppyMultipart checks that a version of Uppy can complete a multipart
// upload with additional metadata.
func requireUppyMultipart(t *testing.T, version int, meta map[string]any) {
	t.Helper()
	var uploads []presign.Upload
	var finished []presign.Object
	onComplete := func(_ context.Context, o *presign.Object) error {
		finished = append(finished, *o)
		return nil
	}
	authorize := func(_ *http.Request, u *presign.Upload) error {
		uploads = append(uploads, *u)
		u.Redirect = "https://example.com/done"
		return nil
	}
	shop := open(t, s3test.New(), multipartPolicy(), presign.WithOnComplete(onComplete))
	u := mount(t, shop, presign.WithAuthorize(authorize))
	u.version = version
	s := u.start(t, "日本 +1.png", meta)
	size := int64(partSize)
	if meta["partSize"] != nil {
		size = 6 << 20
	}
	require.Equal(t, size, s.PartSize)
	var etags []string
	for i, piece := range slices.Collect(slices.Chunk(large, int(size))) {
		signed := u.sign(t, s, i+1)
		require.Equal(t, uploads[0].Size != 0, strings.Contains(signed, "content-length"))
		etags = append(etags, u.putPart(t, &presign.Grant{Method: "PUT", URL: signed}, piece))
	}
	// After a reload of the page, Uppy lists the parts and continues.
	var list []map[string]any
	u.get(t, "GET", u.path(s, "", ""), "", &list)
	require.Len(t, list, len(etags))
	part := map[string]any{"PartNumber": 1.0, "Size": float64(size), "ETag": etags[0]}
	require.Equal(t, part, list[0])
	var done completed
	for range 2 {
		u.get(t, "POST", u.path(s, "/complete", ""), u.completion(etags), &done)
	}
	location, err := url.Parse(done.Location)
	require.NoError(t, err)
	require.Equal(t, u.store.URL+"/"+s3test.DefaultBucket+"/"+finalKey(s.Key),
		location.Scheme+"://"+location.Host+location.Path)
	// An app may complete each upload that Uppy reports, including multipart
	// uploads, which are complete already.
	require.Equal(t, s.Key, done.Key)
	var object presign.Object
	u.get(t, "POST", "/complete", `{"key": "`+done.Key+`"}`, &object)
	require.Equal(t, finalKey(s.Key), object.Key)
	stored, _ := u.store.Object(s3test.DefaultBucket, object.Key)
	require.True(t, bytes.Equal(large, stored.Body))

	require.Len(t, uploads, 1, "the upload must be authorized once")
	require.Equal(t, "alice", uploads[0].Owner)
	require.Len(t, finished, 3)
	require.Equal(t, finished[0], finished[1])
	if meta["color"] != nil {
		require.Equal(t, map[string]string{"color": "red"}, finished[0].Metadata)
	} else {
		require.Empty(t, finished[0].Metadata)
	}
	require.Empty(t, u.log.String())
}

// TestUppyForm checks that Uppy can upload small files with a form, and that
// the app can complete them.
func TestUppyForm(t *testing.T) {
	policy := final()
	for _, size := range []string{"", "&metadata%5Bsize%5D=" + strconv.Itoa(len(png))} {
		authorize := func(_ *http.Request, u *presign.Upload) error {
			u.Redirect = "https://example.com/done"
			return nil
		}
		u := newUppy(t, policy, presign.WithAuthorize(authorize))
		var response map[string]any
		u.get(t, "GET", "/s3/params?filename=a+1.png&type=image%2Fpng&metadata%5Bname%5D=%E6%97%A5"+
			"&metadata%5BrelativePath%5D=&metadata%5Bcolor%5D=red"+size, "", &response)
		require.Equal(t, "POST", response["method"])
		require.NotContains(t, response, "expires")
		grant := presign.Grant{
			Method: "POST", URL: response["url"].(string), Fields: map[string]string{},
		}
		for name, value := range response["fields"].(map[string]any) {
			grant.Fields[name] = value.(string)
		}
		require.NotContains(t, grant.Fields, "success_action_redirect")
		require.Equal(t, "red", grant.Fields["x-amz-meta-color"])
		require.NotContains(t, grant.Fields["key"], "$")
		got, err := conformance.New(&grant, "a 1.png", append(png, 0)).Send(u.store.HTTPClient())
		require.NoError(t, err)
		require.Equal(t, size == "", got.Accepted())
		u.send(t, &grant, png, nil)
		w := u.ask("POST", "/complete", `{"key": "`+grant.Fields["key"]+`"}`)
		require.Equal(t, 200, w.Code, w.Body)
	}
	u := newUppy(t, policy)
	for query, status := range map[string]int{
		"": 422, "?filename=a.png&size=5": 200,
		"?filename=a.png&new[a]=%ff&other=1&other=2&type[a]=b&metadata=x": 200,
		"?filename=a.png&filename=b.png":                                  400,
		"?filename=a.png&metadata[a]=1&metadata[a]=2":                     400,
		"?filename=%ff": 400, "?a=%zz": 400,
		"?filename=a.html": 422, "?filename=a.png&metadata[size]=0": 422,
		"?filename=a.png&metadata[size]=1048577": 422, "?filename=a.png&metadata[size]=-1": 422,
	} {
		w := u.ask("GET", "/s3/params"+query, "")
		if status == 200 {
			require.Equal(t, 200, w.Code, w.Body)
			continue
		}
		requireProblem(t, w, status)
	}
}

// TestUppyChecksum checks that an app can add the size and the checksum of a
// file to the metadata.
func TestUppyChecksum(t *testing.T) {
	policy := multipartPolicy()
	policy.Checksum = types.ChecksumAlgorithmCrc32c
	u := newUppy(t, policy)
	requireProblem(t, u.ask("POST", "/s3/multipart", `{"filename": "a.png", "type": ""}`), 422)
	s := u.start(t, "a.png", map[string]any{"size": len(large), "checksum": crc(large)})
	var etags []string
	for i, piece := range pieces(large) {
		etags = append(etags,
			u.putPart(t, &presign.Grant{Method: "PUT", URL: u.sign(t, s, i+1)}, piece))
	}
	u.get(t, "POST", u.path(s, "/complete", ""), u.completion(etags), new(completed))

	policy.Checksum = types.ChecksumAlgorithmSha256
	u = newUppy(t, policy)
	body := `{"filename": "a.png", "metadata": {"checksum": "` + sha256sum(large) + `"}}`
	p := requireProblem(t, u.ask("POST", "/s3/multipart", body), 422)
	require.Contains(t, p.Message, "method must not be multipart")
}

func TestUppyCancel(t *testing.T) {
	u := newUppy(t, multipartPolicy())
	s := u.start(t, "a.png", nil)
	signed := u.sign(t, s, 1)
	u.putPart(t, &presign.Grant{Method: "PUT", URL: signed}, large[:partSize])
	for range 2 {
		w := u.ask("DELETE", u.path(s, "", ""), "")
		require.Equal(t, 200, w.Code)
		require.Equal(t, "{}", w.Body.String())
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	}
	require.Empty(t, u.uploads(t))
	require.Equal(t, 404, u.tryPart(t, &presign.Grant{Method: "PUT", URL: signed}, png).StatusCode)
	requireProblem(t, u.ask("GET", u.path(s, "", ""), ""), 404)
	requireProblem(t, u.ask("GET", u.path(s, "/1", ""), ""), 404)
	requireProblem(t, u.ask("POST", u.path(s, "/complete", ""), u.completion([]string{"a"})), 404)
}

func TestUppyBatch(t *testing.T) {
	policy := multipartPolicy()
	policy.MaxSize = 200 * partSize
	u := newUppy(t, policy)
	s := u.start(t, "a.png", map[string]any{"size": 200 * partSize})
	var response struct{ PresignedURLs map[string]string }
	u.get(t, "GET", u.path(s, "/batch", "partNumbers=1,200&"), "", &response)
	require.Len(t, response.PresignedURLs, 2)
	require.Contains(t, response.PresignedURLs["200"], "&partNumber=200&")
	hundred := strings.TrimSuffix(strings.Repeat("1,", 100), ",")
	u.get(t, "GET", u.path(s, "/batch", "partNumbers="+hundred+"&"), "", &response)
	for query, status := range map[string]int{
		"": 400, "partNumbers=&": 400, "partNumbers=0&": 400, "partNumbers=1,a&": 400,
		"partNumbers=" + hundred + ",1&": 400, "partNumbers=201&": 422,
	} {
		requireProblem(t, u.ask("GET", u.path(s, "/batch", query), ""), status)
	}
}

// TestUppyTooLarge checks that an upload of unknown size is aborted if its
// parts are too large.
func TestUppyTooLarge(t *testing.T) {
	u := newUppy(t, multipartPolicy())
	s := u.start(t, "a.png", nil)
	u.putPart(t, &presign.Grant{Method: "PUT", URL: u.sign(t, s, 1)}, make([]byte, 4*partSize+1))
	p := requireProblem(t, u.ask("GET", u.path(s, "/2", ""), ""), 422)
	require.Equal(t, "size must be from 1 to 20971520 bytes as granted, got 20971521", p.Message)
	require.Empty(t, u.uploads(t))

	s = u.start(t, "a.png", nil)
	etag := u.putPart(t, &presign.Grant{Method: "PUT", URL: u.sign(t, s, 1)},
		make([]byte, 4*partSize+1))
	requireProblem(t, u.ask("POST", u.path(s, "/complete", ""), u.completion([]string{etag})), 422)
	require.Empty(t, u.uploads(t))
	require.Empty(t, u.keys())
}

// TestCompanionRoutes checks that each route of Companion accepts only its
// methods, and requires authentication.
func TestCompanionRoutes(t *testing.T) {
	u := newUppy(t, multipartPolicy())
	s := u.start(t, "a.png", nil)
	multipart, key := "/s3/multipart/"+s.UploadID, "?key="+url.QueryEscape(s.Key)
	for path, allow := range map[string]string{
		"/s3/params": "GET", "/s3/multipart": "POST", multipart: "DELETE, GET",
		multipart + "/1": "GET", multipart + "/10000": "GET", multipart + "/batch": "GET",
		multipart + "/complete": "POST",
	} {
		for _, method := range []string{
			"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS",
		} {
			w := u.ask(method, path, "")
			if slices.Contains(strings.Split(allow, ", "), method) {
				require.NotEqual(t, 405, w.Code)
				continue
			}
			require.Equal(t, allow, w.Header().Get("Allow"))
			requireProblem(t, w, 405)
		}
	}
	for _, path := range []string{
		"/s3", "/s3/", "/s3/sts", "/s3/params/a", "/s3/multipart/a/b", "/s3/multipart/a/0",
		"/s3/multipart/a/10001", "/s3/multipart/a/01", "/s3/multipart/a/-1",
		"/s3/multipart/a/1/b", "/s3/multipart/a/complete/b", "/S3/params", "/s3/other",
	} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			requireProblem(t, u.ask(method, path, ""), 404)
		}
	}
	stranger := u
	stranger.user = ""
	for _, c := range [][2]string{
		{"GET", "/s3/params?a=%zz"}, {"POST", "/s3/multipart"}, {"GET", multipart + key},
		{"DELETE", multipart + key}, {"GET", multipart + "/1" + key},
		{"GET", multipart + "/batch" + key}, {"POST", multipart + "/complete" + key},
	} {
		requireProblem(t, stranger.ask(c[0], c[1], "not JSON"), 401)
	}

	encoded := "/s3//multipart/%" + fmt.Sprintf("%X", s.UploadID[0]) + s.UploadID[1:]
	for _, path := range []string{
		multipart, "//" + strings.TrimPrefix(multipart, "/"), multipart + "/", encoded,
	} {
		u.get(t, "GET", path+key, "", new([]any))
	}
}

// TestCompanionBodies checks that only JSON of a limited size is accepted.
func TestCompanionBodies(t *testing.T) {
	policy := multipartPolicy()
	u := newUppy(t, policy)
	for body, status := range map[string]int{
		``: 415, `{`: 400, `[]`: 400, `{}`: 422, `{"filename": 5}`: 400,
		`{"filename": "a.png", "type": null}`:                                     200,
		`{"filename": "a.png", "key": "incoming/b.png", "new": {"a": [1]}}`:       200,
		`{"filename": "a.png", "new": {"a": 1, "a": 2}}`:                          400,
		`{"filename": "a.png", "metadata": []}`:                                   400,
		`{"filename": "a.png", "metadata": {"a": 1, "a": 2}}`:                     400,
		`{"filename": "a.png", "filename": "b.png"}`:                              400,
		`{"filename": "a.html"}`:                                                  422,
		`{"filename": "a.png", "metadata": {"size": 0}}`:                          422,
		`{"filename": "a.png", "metadata": {"size": 20971521}}`:                   422,
		`{"filename": "a.png", "metadata": {"size": 20971520, "partSize": 1000}}`: 422,
		`{"filename": "a.png", "metadata": {"partSize": 5368709121}}`:             422,
		`{"filename": "a.png", "metadata": {"color": "日"}}`:                       422,
		`{"filename": "a.png", "type": "` + strings.Repeat("a", 64<<10) + `"}`:    413,
		`{"filename": "a.png", "metadata": null}`:                                 200,
	} {
		w := u.ask("POST", "/s3/multipart", body)
		if status == 200 {
			require.Equal(t, 200, w.Code)
			continue
		}
		requireProblem(t, w, status)
	}
	s := u.start(t, "a.png", nil)
	etag := u.putPart(t, &presign.Grant{Method: "PUT", URL: u.sign(t, s, 1)}, png)
	for body, status := range map[string]int{
		``: 415, `{}`: 400, `[]`: 400, `{"parts": null}`: 400, `{"parts": {}}`: 400,
		`{"parts": [1]}`: 400, `{"parts": [{}]}`: 400,
		`{"parts": [{"PartNumber": 2, "ETag": "a", "Size": 1}], "key": "a"}`:          422,
		`{"parts": [{"PartNumber": 1, "ETag": "a"}, {"PartNumber": 1, "ETag": "a"}]}`: 400,
		`{"parts": [{"PartNumber": 1, "ETag": "a"}]}`:                                 422,
		`{"parts": [{"PartNumber": 2, "ETag": "a"}]}`:                                 422,
		`{"parts": "` + strings.Repeat("a", 1<<20) + `"}`:                             413,
	} {
		requireProblem(t, u.ask("POST", u.path(s, "/complete", ""), body), status)
	}
	require.Contains(t, u.uploads(t), s.Key)
	r := httptest.NewRequest("POST", "/uploads"+u.path(s, "/complete", ""),
		strings.NewReader(u.completion([]string{etag})))
	r.Header.Set("X-User", "alice")
	r.Header.Set("Content-Type", "text/plain")
	w := serve(t, u.handler, r)
	requireProblem(t, w, 415)

	// A body of nearly a megabyte is accepted.
	body := `{"parts": [{"PartNumber": 1, "ETag": "` + strings.Trim(etag, `"`) + `", "x": "` +
		strings.Repeat("a", 1<<20-200) + `"}]}`
	u.get(t, "POST", u.path(s, "/complete", ""), body, new(completed))
}

// TestCompanionFails checks that each failure has its status, and that no
// response contains the store's error.
func TestCompanionFails(t *testing.T) {
	hookErr := errors.New("the database at 10.0.0.1 is down")
	onComplete := func(context.Context, *presign.Object) error { return hookErr }
	u := mount(t, open(t, s3test.New(), multipartPolicy(), presign.WithOnComplete(onComplete)))
	s := u.start(t, "a.png", nil)
	etag := u.putPart(t, &presign.Grant{Method: "PUT", URL: u.sign(t, s, 1)}, png)
	u.store.Fail(func(string, *http.Request) s3test.Fault { return s3test.InternalError })
	for _, c := range [][3]string{
		{"POST", "/s3/multipart", `{"filename": "a.png"}`},
		{"GET", u.path(s, "", ""), ""},
		{"GET", u.path(s, "/1", ""), ""},
		{"DELETE", u.path(s, "", ""), ""},
		{"POST", u.path(s, "/complete", ""), u.completion([]string{etag})},
	} {
		w := u.ask(c[0], c[1], c[2])
		require.Equal(t, "30", w.Header().Get("Retry-After"))
		require.NotContains(t, w.Body.String(), "InternalError")
		requireProblem(t, w, 502)
	}
	require.NotContains(t, u.log.String(), "X-Amz-Signature")
	u.store.Fail(nil)
	requireProblem(t, u.ask("POST", u.path(s, "/complete", ""), u.completion([]string{etag})), 500)
	hookErr = nil
	u.get(t, "POST", u.path(s, "/complete", ""), u.completion([]string{etag}), new(completed))

	authorize := func(_ *http.Request, u *presign.Upload) error {
		if u.Size == 0 {
			return &presign.Violation{Field: "size", Code: "required", Detail: "must be set"}
		}
		u.Key = "elsewhere/"
		return nil
	}
	rejecting := newUppy(t, multipartPolicy(), presign.WithAuthorize(authorize))
	requireProblem(t, rejecting.ask("POST", "/s3/multipart", `{"filename": "a.png"}`), 422)
	body := `{"filename": "a.png", "metadata": {"size": 5}}`
	requireProblem(t, rejecting.ask("POST", "/s3/multipart", body), 500)
	require.Empty(t, rejecting.uploads(t))

	policy := multipartPolicy()
	policy.FinalPrefix = ""
	authorize = func(_ *http.Request, u *presign.Upload) error {
		u.Key = "incoming/a.png"
		return nil
	}
	fixed := newUppy(t, policy, presign.WithAuthorize(authorize))
	s = fixed.start(t, "a.png", nil)
	etag = fixed.putPart(t, &presign.Grant{Method: "PUT", URL: fixed.sign(t, s, 1)}, png)
	fixed.put(t, s.Key, "older", nil)
	require.NoError(t, deleteObject(fixed.store, s.Key))
	w := fixed.ask("POST", fixed.path(s, "/complete", ""), fixed.completion([]string{etag}))
	p := requireProblem(t, w, 409)
	require.Contains(t, p.Detail, "Start again")
	require.Empty(t, fixed.uploads(t))
}

// deleteObject deletes an object as the service.
func deleteObject(store *s3test.Server, key string) error {
	_, err := store.S3().DeleteObject(context.Background(),
		&s3.DeleteObjectInput{Bucket: aws.String(s3test.DefaultBucket), Key: &key})
	return err
}

// TestCompanionUploadsExpire checks that a multipart upload expires after 7
// days.
func TestCompanionUploadsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUppy(t, multipartPolicy())
		s := u.start(t, "a.png", nil)
		time.Sleep(7*24*time.Hour - time.Second)
		u.sign(t, s, 1)
		time.Sleep(2 * time.Second)
		requireProblem(t, u.ask("GET", u.path(s, "/1", ""), ""), 410)
		bob := u
		bob.user = "bob"
		requireProblem(t, bob.ask("GET", u.path(s, "/1", ""), ""), 404)
	})
}
