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
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/browser"
	"github.com/s3presign/presign/examples/internal/program"
	"github.com/s3presign/presign/examples/internal/store"
)

// start runs the program until the test ends.
func start(t *testing.T, args ...string) *program.Program { return program.Start(t, run, args...) }

// commands returns the printed commands that get a grant and that upload a
// file.
func commands(t *testing.T, p *program.Program) (grant, upload string) {
	t.Helper()
	found := regexp.MustCompile(`(?s)\n\n(curl .*?)\n\n(echo .*?)\n\n`).FindStringSubmatch(
		p.Printed)
	require.Len(t, found, 3, p.Printed)
	for line := range strings.Lines(found[0]) {
		require.LessOrEqual(t, len(line), 101)
	}
	return found[1], found[2]
}

// paste runs printed commands in a directory with a link to examples, like a
// clone.
func paste(t *testing.T, commands string) (string, error) {
	t.Helper()
	for _, name := range []string{"curl", "sh"} {
		if _, err := exec.LookPath(name); err != nil {
			browser.Missing(t, name)
		}
	}
	dir := t.TempDir()
	examples, err := filepath.Abs("..")
	require.NoError(t, err)
	require.NoError(t, os.Symlink(examples, filepath.Join(dir, "examples")))
	command := exec.CommandContext(t.Context(), "sh", "-c", commands)
	command.Dir, command.Env = dir, append(os.Environ(), "XDG_STATE_HOME="+dir)
	out, err := command.CombinedOutput()
	return string(out), err
}

func TestShellCommands(t *testing.T) {
	dir := t.TempDir()
	p := start(t, "-dir", dir)
	grant, upload := commands(t, p)
	out, err := paste(t, grant)
	require.NoError(t, err, out)
	require.Contains(t, out, `"method":"PUT"`)
	require.Empty(t, objects(t, dir))
	out, err = paste(t, upload)
	require.NoError(t, err, out)
	stored := objects(t, dir)
	require.Len(t, stored, 1)
	require.Equal(t, "hello.txt", filepath.Base(stored[0]))
	content, err := os.ReadFile(stored[0])
	require.NoError(t, err)
	require.Equal(t, "hello, S3\n", string(content))

	stranger := regexp.MustCompile(`Bearer \w+`).ReplaceAllString(upload, "Bearer x")
	out, err = paste(t, stranger)
	require.Error(t, err)
	require.Contains(t, out, "from an earlier run of the service")
}

// TestExports checks that another program can use the store with the printed
// variables, and that a page at -origin can upload to it.
func TestExports(t *testing.T) {
	const origin = "http://127.0.0.1:3000"
	p := start(t, "-origin", origin)
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	exports := regexp.MustCompile(`(?m)^export (\w+)=(\S+)$`).FindAllStringSubmatch(p.Printed, -1)
	require.Len(t, exports, 6)
	for _, export := range exports {
		t.Setenv(export[1], export[2])
	}
	cfg, err := config.LoadDefaultConfig(t.Context())
	require.NoError(t, err)
	signer, err := presign.NewSigner(s3.NewFromConfig(cfg), os.Getenv("UPLOAD_BUCKET"),
		presign.Policy{Prefix: "other/", Types: []string{"text/plain"}, MaxSize: 9},
		presign.WithSecret([]byte(os.Getenv("UPLOAD_SECRET"))))
	require.NoError(t, err)
	grant, err := signer.Put(t.Context(), presign.Upload{Filename: "a.txt", Size: 5})
	require.NoError(t, err)
	r, err := grant.Request(t.Context(), strings.NewReader("hello"), 5)
	require.NoError(t, err)
	r.Header.Set("Origin", origin)
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 200, res.StatusCode)
	require.Equal(t, origin, res.Header.Get("Access-Control-Allow-Origin"))
}

// TestOtherOrigin checks that only a page at -origin can call the service.
func TestOtherOrigin(t *testing.T) {
	const page = "http://127.0.0.1:3000"
	p := start(t, "-origin", page)
	require.Equal(t, page, program.Preflight(t, p.Origin+"/uploads/", page))
	require.Empty(t, program.Preflight(t, p.Origin+"/uploads/", "http://127.0.0.1:3001"))
	err := run(t.Context(),
		[]string{"-addr", "127.0.0.1:0", "-dir", t.TempDir(), "-origin",
			"http://127.0.0.1:3000/page"}, io.Discard)
	require.ErrorContains(t, err, "-origin must be the origin of a page")
}

func TestService(t *testing.T) {
	p := start(t)
	res := request(t, "GET", p.Origin+"/", nil, "")
	require.Equal(t, 200, res.StatusCode)
	require.Contains(t, res.Header.Get("Content-Security-Policy"),
		"default-src 'none'; script-src 'self';")
	require.Len(t, res.Cookies(), 1)
	cookie := res.Cookies()[0]
	require.True(t, cookie.HttpOnly)
	require.Equal(t, http.SameSiteStrictMode, cookie.SameSite)
	require.Contains(t, body(t, res), "1 byte to 100 MiB")

	for _, file := range []string{"app.js", "cheat.js", "upload.js", "style.css", "icon.svg"} {
		require.Equal(t, 200, request(t, "GET", p.Origin+"/"+file, nil, "").StatusCode, file)
	}
	require.Equal(t, 404, request(t, "GET", p.Origin+"/main.go", nil, "").StatusCode)
	require.Equal(t, 421,
		request(t, "GET", p.Origin+"/", http.Header{"Host": {"evil.example"}}, "").StatusCode)

	const question = `{"filename":"a.png","size":5}`
	header := http.Header{"Content-Type": {"application/json"}}
	res = request(t, "POST", p.Origin+"/uploads/", header, question)
	require.Equal(t, 401, res.StatusCode)
	require.Contains(t, body(t, res), "Reload the page")
	header.Set("Cookie", cookie.Name+"="+cookie.Value)
	res = request(t, "POST", p.Origin+"/uploads/", header, question)
	require.Equal(t, 201, res.StatusCode)
	var grant presign.Grant
	require.NoError(t, json.Unmarshal([]byte(body(t, res)), &grant))
	require.Equal(t, "PUT", grant.Method)
	header.Set("Authorization", "Bearer x")
	require.Equal(t, 401, request(t, "POST", p.Origin+"/uploads/", header, question).StatusCode)

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
		_, command := commands(t, p)
		out, err := paste(t, command)
		require.NoError(t, err, out)
	}
	p := start(t, "-bucket", "elsewhere", "-endpoint", server.URL, "-region", server.Region)
	require.Contains(t, p.Printed, "aws s3api put-bucket-cors --bucket elsewhere")
	upload(p)
	t.Setenv("AWS_REGION", server.Region)
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	upload(start(t, "-bucket", "elsewhere"))
	list, err := server.Client().ListObjectsV2(t.Context(),
		&s3.ListObjectsV2Input{Bucket: aws.String("elsewhere")})
	require.NoError(t, err)
	require.Len(t, list.Contents, 2)

	// R2 does not support forms.
	p = start(t, "-bucket", "elsewhere", "-endpoint", "https://account.r2.cloudflarestorage.com",
		"-region", "auto")
	html := body(t, request(t, "GET", p.Origin+"/", nil, ""))
	require.Contains(t, html, `value="POST" disabled`)
	require.Contains(t, html, "accepts no forms")
}

func TestRejectsArguments(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-addr", "0.0.0.0:0"}, "must be on this machine"},
		{[]string{"-addr", "127.0.0.1:0", "-endpoint", "https://s3.example.com"}, "-bucket must be set"},
		{[]string{"-addr", "127.0.0.1:0", "-region", "eu-west-1"}, "-bucket must be set"},
		{[]string{"-addr", "127.0.0.1:0", "-bucket", "elsewhere"}, "-region or AWS_REGION must be set"},
		{[]string{"-addr", "127.0.0.1:0", "-bucket", "b", "-origin", "http://127.0.0.1:1"}, "-origin must not be set"},
		{[]string{"-addr", "127.0.0.1:none"}, "none"},
	} {
		require.ErrorContains(t, run(t.Context(), test.args, io.Discard), test.want)
	}
}

func TestHumanUnits(t *testing.T) {
	for n, want := range map[int64]string{1: "1 byte", 1000: "1000 bytes", 1536: "1.5 KiB",
		100 << 20: "100 MiB", 5 << 30: "5 GiB"} {
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

// objects returns the files in which the embedded server stores the objects.
func objects(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "objects", "quickstart", "uploads", "*", "*"))
	require.NoError(t, err)
	return files
}
