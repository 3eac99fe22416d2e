package main

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/program"
	"github.com/s3presign/presign/examples/internal/store"
)

// A form is the response of the original server.
type form struct {
	Success bool              `json:"success"`
	PostURL string            `json:"post_url"`
	Data    map[string]string `json:"data"`
}

// TestLocal checks that requests of clients of the original server work.
func TestLocal(t *testing.T) {
	origin := start(t, "-local")
	ask := func(parameters string) form {
		t.Helper()
		res := post(t, origin+"/upload_image", "application/x-www-form-urlencoded", parameters)
		var f form
		require.Equal(t, 200, res.StatusCode, res.body)
		require.NoError(t, json.Unmarshal([]byte(res.body), &f))
		require.True(t, f.Success)
		return f
	}

	f := ask("file_name=me.png")
	require.Equal(t, "images/me.png", f.Data["key"])
	require.Equal(t, "image/png", f.Data["Content-Type"])
	require.NotEmpty(t, f.Data["x-amz-security-token"],
		"the form must be signed with the credentials of the file")
	require.Equal(t, 204, upload(t, f, 1000))
	require.Equal(t, 204, upload(t, f, 2000), "the same form must replace the image")
	require.Equal(t, 204, upload(t, ask("file_name=me.png"), 3000),
		"another form must replace the image")
	require.Equal(t, 400, upload(t, f, 999))

	f = ask("file_name=me.png&content_size_min=2000&content_size_max=3000")
	require.Equal(t, 400, upload(t, f, 1999))
	require.Equal(t, 204, upload(t, f, 2000))
	require.Equal(t, 204, upload(t, f, 3000))
	require.Equal(t, 400, upload(t, f, 3001))
	f.Data["key"] = "images/you.png"
	require.Equal(t, 403, upload(t, f, 2000))

	for name, mediaType := range map[string]string{
		"A.JPG": "image/jpeg", "b.jPeG": "image/jpeg", "two words, 50%+.png": "image/png",
		"請求書.png":             "image/png",
		"of/bob's/garden.png": "image/png", ".png": "image/png", "<&>\".png": "image/png",
	} {
		f := ask(url.Values{"file_name": {name}}.Encode())
		require.Equal(t, "images/"+name, f.Data["key"])
		require.Equal(t, mediaType, f.Data["Content-Type"])
		require.Equal(t, 204, upload(t, f, 1000), name)
	}
}

// TestFile checks that the program requires the credentials file, and that its
// forms upload to an existing bucket.
func TestFile(t *testing.T) {
	server := startStore(t)
	file := filepath.Join(t.TempDir(), "awsenv.list")
	args := []string{"-bucket", "images", "-endpoint", server.URL, "-region", server.Region,
		"-credentials", file}
	require.ErrorContains(t, run(t.Context(), append(args, "-addr", "127.0.0.1:0"), io.Discard),
		"awsenv.list")

	require.NoError(t, prepare(t.Context(), server, "images", file))
	res := post(t, start(t, args...)+"/upload_image", "application/x-www-form-urlencoded",
		"file_name=me.png")
	var f form
	require.NoError(t, json.Unmarshal([]byte(res.body), &f))
	require.Equal(t, 204, upload(t, f, 1000))
	stored, err := server.Client().HeadObject(t.Context(), &s3.HeadObjectInput{
		Bucket: aws.String("images"), Key: aws.String("images/me.png"),
	})
	require.NoError(t, err)
	require.Equal(t, "image/png", aws.ToString(stored.ContentType))
	require.Equal(t, "inline; filename*=UTF-8''me.png", aws.ToString(stored.ContentDisposition))
	require.EqualValues(t, 1000, aws.ToInt64(stored.ContentLength))
}

// TestExpiry checks that the store rejects forms after their expiry, and that
// it accepts a form with a longer lifetime. The forms are signed in a bubble
// whose clock is set to the past.
func TestExpiry(t *testing.T) {
	server := startStore(t)
	file := filepath.Join(t.TempDir(), "awsenv.list")
	require.NoError(t, prepare(t.Context(), server, "images", file))
	asked := time.Now().Add(-1001 * time.Second)
	forms := make(map[string]form)
	const byDefault = "file_name=a.png" // 1000 s
	const shorter, longer = byDefault + "&expiration=900", byDefault + "&expiration=2000"
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(asked))
		service := serviceOf(t, server, file)
		for _, parameters := range []string{byDefault, shorter, longer} {
			var f form
			require.NoError(t, json.Unmarshal(serve(service, parameters).Body.Bytes(), &f))
			forms[parameters] = f
		}
	})
	require.Equal(t, 403, upload(t, forms[byDefault], 1000))
	require.Equal(t, 403, upload(t, forms[shorter], 1000))
	require.Equal(t, 204, upload(t, forms[longer], 1000))
}

// TestRotation checks that the service uses new credentials after the file was
// replaced.
func TestRotation(t *testing.T) {
	server := startStore(t)
	file := filepath.Join(t.TempDir(), "awsenv.list")
	require.NoError(t, prepare(t.Context(), server, "images", file))
	next := file + ".next"
	require.NoError(t, writeSession(server, next))
	asked := time.Now()
	var before, after, dead form
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(asked))
		service := serviceOf(t, server, file)
		require.NoError(t, json.Unmarshal(serve(service, "file_name=a.png").Body.Bytes(), &before))
		require.NoError(t, os.Rename(next, file))
		for range 5 { // The service must sign a form in each second.
			time.Sleep(time.Second)
			require.NoError(t,
				json.Unmarshal(serve(service, "file_name=a.png").Body.Bytes(), &after))
			require.True(t, after.Success)
		}
		require.NotEqual(t, before.Data["x-amz-security-token"], after.Data["x-amz-security-token"])

		time.Sleep(12 * time.Hour)
		w := serve(service, "file_name=a.png")
		require.Equal(t, 503, w.Code)
		require.Equal(t, "30", w.Header().Get("Retry-After"))
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &dead))
		require.Empty(t, dead.Data)
	})
	require.Equal(t, 204, upload(t, before, 1000))
	require.Equal(t, 204, upload(t, after, 1000))
}

func TestRejected(t *testing.T) {
	origin := start(t, "-local")
	for parameters, wrong := range map[string][]string{
		"":                               {"file_name"},
		"file_name=":                     {"file_name"},
		"file_name=a.bmp":                {"file_name"},
		"file_name=a":                    {"file_name"},
		"file_name=a.png.exe":            {"file_name"},
		"file_name=a.jfif":               {"file_name"},
		"file_name=../a.png":             {"file_name"},
		"file_name=/a.png":               {"file_name"},
		"file_name=a//b.png":             {"file_name"},
		"file_name=a%5Cb.png":            {"file_name"},
		"file_name=US$.png":              {"file_name"},
		"file_name=%00.png":              {"file_name"},
		"file_name=%FF.png":              {"file_name"},
		"file_name=gnp.%E2%80%AEexe.png": {"file_name"},
		"file_name=" + strings.Repeat("a", 252) + ".png":              {"file_name"},
		"file_name=a.png&content_size_min=20":                         {"content_size_min"},
		"file_name=a.png&content_size_min=0":                          {"content_size_min"},
		"file_name=a.png&content_size_min=-1000":                      {"content_size_min"},
		"file_name=a.png&content_size_min=":                           {"content_size_min"},
		"file_name=a.png&content_size_min=1e3":                        {"content_size_min"},
		"file_name=a.png&content_size_max=10000001":                   {"content_size_max"},
		"file_name=a.png&content_size_max=99999999999999999999":       {"content_size_max"},
		"file_name=a.png&content_size_min=3000&content_size_max=2000": {"content_size_min"},
		"file_name=a.png&expiration=0":                                {"expiration"},
		"file_name=a.png&expiration=-1":                               {"expiration"},
		"file_name=a.png&expiration=604801":                           {"expiration"},
		"file_name=a.png&expiration=soon":                             {"expiration"},
		"content_size_min=20&content_size_max=x&expiration=0": {
			"file_name", "content_size_min", "content_size_max", "expiration",
		},
	} {
		res := post(t, origin+"/upload_image", "application/x-www-form-urlencoded", parameters)
		require.Equal(t, 422, res.StatusCode, "%s: %s", parameters, res.body)
		var got faults
		require.NoError(t, json.Unmarshal([]byte(res.body), &got), res.body)
		require.Len(t, got, len(wrong), res.body)
		for _, field := range wrong {
			require.NotEmpty(t, got[field], res.body)
		}
	}

	for _, test := range []struct {
		method, path, contentType, body string
		status                          int
	}{
		{"POST", "/upload_image", "application/json", `{"file_name": "a.png"}`, 422},
		{"POST", "/upload_image", "application/x-www-form-urlencoded", "file_name=%zz.png", 400},
		{"POST", "/upload_image", "multipart/form-data", "file_name=a.png", 400},
		{"POST", "/upload_image", "application/x-www-form-urlencoded", strings.Repeat("a", 64<<10+1), 413},
		{"GET", "/upload_image?file_name=a.png", "", "", 405},
		{"POST", "/", "application/x-www-form-urlencoded", "file_name=a.png", 404},
		{"POST", "/upload_image/", "application/x-www-form-urlencoded", "file_name=a.png", 404},
		{"GET", "/favicon.ico", "", "", 404},
	} {
		res := request(t, test.method, origin+test.path,
			http.Header{"Content-Type": {test.contentType}}, test.body)
		require.Equal(t, test.status, res.StatusCode, "%s %s", test.method, test.path)
		require.Equal(t, "application/json", res.Header.Get("Content-Type"))
		require.True(t, json.Valid([]byte(res.body)))
	}
}

func TestMultipartForm(t *testing.T) {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	require.NoError(t, w.WriteField("file_name", "me.png"))
	require.NoError(t, w.Close())
	res := post(t, start(t, "-local")+"/upload_image", w.FormDataContentType(), body.String())
	require.Equal(t, 200, res.StatusCode)
	require.Contains(t, res.body, `"images/me.png"`)
}

// TestCORS checks that pages of every origin may request forms and upload.
func TestCORS(t *testing.T) {
	origin := start(t, "-local")
	preflight := func(url string) {
		t.Helper()
		res := request(t, "OPTIONS", url, http.Header{
			"Origin":                         {"https://app.example.com"},
			"Access-Control-Request-Method":  {"POST"},
			"Access-Control-Request-Headers": {"x-requested-with"},
		}, "")
		require.Less(t, res.StatusCode, 300)
		require.Contains(t, []string{"*", "https://app.example.com"},
			res.Header.Get("Access-Control-Allow-Origin"))
		require.NotEmpty(t, res.Header.Get("Access-Control-Allow-Headers"))
	}
	preflight(origin + "/upload_image")
	for parameters, status := range map[string]int{"file_name=me.png": 200,
		"file_name=me.bmp": 422} {
		res := request(t, "POST", origin+"/upload_image", http.Header{
			"Origin":       {"https://app.example.com"},
			"Content-Type": {"application/x-www-form-urlencoded"},
		}, parameters)
		require.Equal(t, status, res.StatusCode)
		require.Equal(t, "*", res.Header.Get("Access-Control-Allow-Origin"))
		if status == 200 {
			var f form
			require.NoError(t, json.Unmarshal([]byte(res.body), &f))
			preflight(f.PostURL)
		}
	}
}

func TestRejectsArguments(t *testing.T) {
	file := filepath.Join(t.TempDir(), "awsenv.list")
	require.NoError(t, os.WriteFile(file, []byte("ACCESS=AKIAEXAMPLE\nSECRET=secret\n"), 0o600))
	for want, args := range map[string][]string{
		"either -bucket or -local":         {},
		"-local must be set":               {"-local", "-bucket", "images"},
		"anyone who reaches it can upload": {"-bucket", "images", "-addr", "0.0.0.0:0"},
		"must be on this machine if -local is set": {"-local", "-addr", "0.0.0.0:0",
			"-insecure-without-authentication"},
		"region": {"-bucket", "images", "-region", "", "-addr", "127.0.0.1:0"},
		"missing.list": {
			"-bucket", "images", "-region", "eu-central-1", "-credentials", "missing.list",
			"-addr", "0.0.0.0:0", "-insecure-without-authentication",
		},
		"method must not be POST": {
			"-bucket", "images", "-region", "auto", "-endpoint",
			"https://account.r2.cloudflarestorage.com",
			"-credentials", file, "-addr", "127.0.0.1:0",
		},
		"none": {"-local", "-addr", "127.0.0.1:none"},
	} {
		require.ErrorContains(t, run(t.Context(), args, io.Discard), want)
	}
}

// start runs the program until the test ends, and returns its origin.
func start(t *testing.T, args ...string) string {
	t.Helper()
	p := program.Start(t, run, args...)
	require.Contains(t, p.Printed, "WARNING: no authentication.")
	return p.Origin
}

func startStore(t *testing.T) *store.Server {
	t.Helper()
	server, err := store.Start(t.Context(), "")
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	return server
}

// serviceOf returns the API with the credentials in a file.
func serviceOf(t *testing.T, server *store.Server, file string) http.Handler {
	t.Helper()
	client := server.Client(func(o *s3.Options) { o.Credentials = presign.EnvFile(file, nil) })
	service, err := newService(t.Context(), client, "images")
	require.NoError(t, err)
	return service
}

func serve(service http.Handler, parameters string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "/upload_image", strings.NewReader(parameters))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	service.ServeHTTP(w, r)
	return w
}

// upload posts a file of n bytes with a form, like a client of the original
// server, and returns the status.
func upload(t *testing.T, f form, n int) int {
	t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for name, value := range f.Data {
		require.NoError(t, w.WriteField(name, value))
	}
	file, err := w.CreateFormFile("file", "me.png")
	require.NoError(t, err)
	_, err = file.Write(bytes.Repeat([]byte("x"), n))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return post(t, f.PostURL, w.FormDataContentType(), body.String()).StatusCode
}

// A resp is a response whose body has been read.
type resp struct {
	*http.Response
	body string
}

func post(t *testing.T, url, contentType, body string) resp {
	t.Helper()
	return request(t, "POST", url, http.Header{"Content-Type": {contentType}}, body)
}

func request(t *testing.T, method, url string, header http.Header, body string) resp {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header = header
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return resp{res, string(b)}
}
