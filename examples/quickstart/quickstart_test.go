package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/browser"
	"github.com/s3presign/presign/examples/internal/program"
	"github.com/s3presign/presign/examples/internal/store"
)

// start runs the program until the test ends.
func start(t *testing.T, args ...string) *program.Program { return program.Start(t, run, args...) }

// commands returns the lines to paste.
func commands(p *program.Program) []string {
	return regexp.MustCompile(`(?m)^curl .*`).FindAllString(p.Printed, -1)
}

// paste runs a printed line as a shell does.
func paste(t *testing.T, line string) (string, error) {
	t.Helper()
	for _, name := range []string{"curl", "sh"} {
		if _, err := exec.LookPath(name); err != nil {
			browser.Missing(t, name)
		}
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", line).CombinedOutput()
	return string(out), err
}

func TestCurl(t *testing.T) {
	dir := t.TempDir()
	p := start(t, "-dir", dir)
	lines := commands(p)
	require.Len(t, lines, 2)
	for i, want := range []string{"S3 answered 200\n", "S3 answered 204\n"} {
		out, err := paste(t, lines[i])
		require.NoError(t, err, out)
		require.Equal(t, want, out)
		require.Len(t, objects(t, dir), i+1)
	}
	for _, object := range objects(t, dir) {
		require.Equal(t, "hello.txt", filepath.Base(object))
		content, err := os.ReadFile(object)
		require.NoError(t, err)
		require.Equal(t, "hello, S3", string(content))
	}

	stranger := regexp.MustCompile(`Bearer \w+`).ReplaceAllString(lines[0], "Bearer x")
	out, err := paste(t, stranger)
	require.Error(t, err)
	require.Contains(t, out, "401")
}

func TestService(t *testing.T) {
	p := start(t)
	res := request(t, "GET", p.Origin+"/", nil, "")
	require.Equal(t, 200, res.StatusCode)
	require.Contains(t, res.Header.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self';")
	require.Len(t, res.Cookies(), 1)
	cookie := res.Cookies()[0]
	require.True(t, cookie.HttpOnly)
	require.Equal(t, http.SameSiteStrictMode, cookie.SameSite)
	require.Contains(t, body(t, res), "1 byte to 100 MiB")

	for _, file := range []string{"app.js", "cheat.js", "upload.js", "style.css", "icon.svg"} {
		require.Equal(t, 200, request(t, "GET", p.Origin+"/"+file, nil, "").StatusCode, file)
	}
	require.Equal(t, 404, request(t, "GET", p.Origin+"/main.go", nil, "").StatusCode)
	require.Equal(t, 421, request(t, "GET", p.Origin+"/", http.Header{"Host": {"evil.example"}}, "").StatusCode)

	const ask = `{"filename":"a.png","size":5}`
	asking := http.Header{"Content-Type": {"application/json"}}
	res = request(t, "POST", p.Origin+"/uploads/", asking, ask)
	require.Equal(t, 401, res.StatusCode)
	require.Contains(t, body(t, res), "Reload the page")
	asking.Set("Cookie", cookie.Name+"="+cookie.Value)
	res = request(t, "POST", p.Origin+"/uploads/", asking, ask)
	require.Equal(t, 201, res.StatusCode)
	var grant presign.Grant
	require.NoError(t, json.Unmarshal([]byte(body(t, res)), &grant))
	require.Equal(t, "PUT", grant.Method)
	asking.Set("Authorization", "Bearer x")
	require.Equal(t, 401, request(t, "POST", p.Origin+"/uploads/", asking, ask).StatusCode)

	require.NoError(t, p.Stop())
	_, err := http.Get(p.Origin)
	require.Error(t, err)
	_, err = http.Get(grant.URL)
	require.Error(t, err)
}

func TestOtherBucket(t *testing.T) {
	server, err := store.Start(t.Context(), "")
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	require.NoError(t, server.CreateBucket(t.Context(), "elsewhere"))
	credentials, err := server.Client().Options().Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	t.Setenv("AWS_ACCESS_KEY_ID", credentials.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", credentials.SecretAccessKey)
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)

	upload := func(p *program.Program) {
		for _, command := range commands(p) {
			out, err := paste(t, command)
			require.NoError(t, err, out)
			require.Contains(t, out, "S3 answered 20")
		}
	}
	p := start(t, "-bucket", "elsewhere", "-endpoint", server.URL, "-region", server.Region)
	require.Contains(t, p.Printed, "aws s3api put-bucket-cors --bucket elsewhere")
	upload(p)
	t.Setenv("AWS_REGION", server.Region)
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	upload(start(t, "-bucket", "elsewhere"))
	list, err := server.Client().ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("elsewhere")})
	require.NoError(t, err)
	require.Len(t, list.Contents, 4)

	// The page of a store without forms.
	p = start(t, "-bucket", "elsewhere", "-endpoint", "https://account.r2.cloudflarestorage.com", "-region", "auto")
	require.Len(t, commands(p), 1)
	html := body(t, request(t, "GET", p.Origin+"/", nil, ""))
	require.Contains(t, html, `value="POST" disabled`)
	require.Contains(t, html, "takes none")
}

func TestRefusedArguments(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-addr", "0.0.0.0:0"}, "on this machine only"},
		{[]string{"-addr", "127.0.0.1:0", "-endpoint", "https://s3.example.com"}, "need a -bucket"},
		{[]string{"-addr", "127.0.0.1:0", "-region", "eu-west-1"}, "need a -bucket"},
		{[]string{"-addr", "127.0.0.1:0", "-bucket", "elsewhere"}, "needs a -region"},
		{[]string{"-addr", "127.0.0.1:none"}, "none"},
	} {
		require.ErrorContains(t, run(t.Context(), test.args, io.Discard), test.want)
	}
}

func TestHumanUnits(t *testing.T) {
	for n, want := range map[int64]string{1: "1 byte", 1000: "1000 bytes", 1536: "1.5 KiB", 100 << 20: "100 MiB", 5 << 30: "5 GiB"} {
		require.Equal(t, want, humanBytes(n))
	}
}

func request(t *testing.T, method, url string, header http.Header, content string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(content))
	require.NoError(t, err)
	if header != nil {
		req.Header, req.Host = header, header.Get("Host")
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return string(b)
}

// objects returns the files in which the embedded server keeps the objects.
func objects(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "objects", "quickstart", "uploads", "*", "*"))
	require.NoError(t, err)
	return files
}
