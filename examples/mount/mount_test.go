package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"image"
	"image/png"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/browser"
	"github.com/s3presign/presign/examples/internal/program"
	"github.com/s3presign/presign/examples/internal/store"
)

const page = "http://127.0.0.1:3000"

// A client sends requests like a browser, with cookies.
type client struct {
	http.Client
	t      *testing.T
	origin string
}

func (d *demo) client(t *testing.T) *client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &client{http.Client{Jar: jar}, t, d.origin}
}

// logIn returns a client with a session of a user.
func (d *demo) logIn(t *testing.T, user string) *client {
	t.Helper()
	c := d.client(t)
	res, _ := c.post("/login", "application/x-www-form-urlencoded",
		"user="+user+"&password="+d.passwords[user])
	require.Equal(t, 204, res.StatusCode)
	return c
}

func (c *client) post(path, contentType, body string) (*http.Response, string) {
	c.t.Helper()
	return c.request("POST", c.origin+path,
		http.Header{"Content-Type": {contentType}, "Origin": {page}}, []byte(body))
}

func (c *client) request(
	method, url string, header http.Header, body []byte,
) (*http.Response, string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, url, bytes.NewReader(body))
	require.NoError(c.t, err)
	req.Header = header
	res, err := c.Do(req)
	require.NoError(c.t, err)
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	require.NoError(c.t, err)
	return res, string(content)
}

// ask asks for a grant. It also returns the status and the body of the
// response.
func (c *client) ask(path string, members map[string]any) (*presign.Grant, int, string) {
	c.t.Helper()
	body, err := json.Marshal(members)
	require.NoError(c.t, err)
	res, response := c.post(path, "application/json", string(body))
	if res.StatusCode != 201 {
		require.Equal(c.t, "application/problem+json", res.Header.Get("Content-Type"))
		return nil, res.StatusCode, response
	}
	grant := new(presign.Grant)
	require.NoError(c.t, json.Unmarshal([]byte(response), grant))
	return grant, 201, response
}

func (c *client) put(grant *presign.Grant, content []byte) int {
	c.t.Helper()
	require.Equal(c.t, "PUT", grant.Method)
	header := http.Header{"Origin": {page}}
	for name, value := range grant.Headers {
		header.Set(name, value)
	}
	res, _ := c.request("PUT", grant.URL, header, content)
	if res.StatusCode == 200 {
		require.Equal(c.t, page, res.Header.Get("Access-Control-Allow-Origin"))
	}
	return res.StatusCode
}

func avatar(t *testing.T, side int) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, side, side))))
	return b.Bytes()
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func TestAvatars(t *testing.T) {
	server, p := startOnStore(t)
	alice, bob := p.logIn(t, "alice"), p.logIn(t, "bob")
	for _, side := range []int{10, 20} { // The second avatar replaces the first.
		content := avatar(t, side)
		grant, status, response := alice.ask("/avatars/", map[string]any{
			"filename": "me.png", "type": "image/png", "size": len(content),
		})
		require.Equal(t, 201, status, response)
		require.Equal(t, "avatars/alice", grant.Key)
		require.Equal(t, 200, alice.put(grant, content))
		require.Equal(t, content, stored(t, server, "avatars/alice"))
	}
	grant, _, _ := bob.ask("/avatars/", map[string]any{"filename": "me.jpg", "size": 10})
	require.Equal(t, "avatars/bob", grant.Key)

	for _, members := range []map[string]any{
		{"filename": "me.png"}, // Without a size, this asks for a form.
		{"filename": "me.png", "size": 1, "method": "POST"},
		{"filename": "me.png", "size": 1<<20 + 1},
		{"filename": "me.gif", "size": 1},
		{"filename": "me.svg", "size": 1},
	} {
		_, status, response := alice.ask("/avatars/", members)
		require.Equal(t, 422, status, response)
	}
}

func TestDocuments(t *testing.T) {
	server, p := startOnStore(t)
	alice := p.logIn(t, "alice")
	for _, name := range []string{"report.pdf", "letter.docx", "notes.txt", "table.csv"} {
		content := []byte("content of " + name)
		grant, status, response := alice.ask("/documents/", map[string]any{
			"filename": name, "size": len(content), "checksum": digest(content),
		})
		require.Equal(t, 201, status, response)
		require.Regexp(t, `^documents/alice/[A-Z2-7]{26}/`+regexp.QuoteMeta(name)+"$", grant.Key)
		require.Equal(t, 400, alice.put(grant, bytes.ToUpper(content)),
			"another checksum must be rejected")
		require.Equal(t, 200, alice.put(grant, content))
		require.Equal(t, 412, alice.put(grant, content), "a second PUT must be rejected")
		require.Equal(t, content, stored(t, server, grant.Key))
	}
	for _, members := range []map[string]any{
		{"filename": "report.pdf", "size": 1},
		{"filename": "report.pdf", "size": 50<<20 + 1, "checksum": digest(nil)},
		{"filename": "program.exe", "size": 1, "checksum": digest(nil)},
		{"filename": "page.html", "size": 1, "checksum": digest(nil)},
	} {
		_, status, response := alice.ask("/documents/", members)
		require.Equal(t, 422, status, response)
	}
}

// TestPrefixes checks that Alice can upload only under her own prefix.
func TestPrefixes(t *testing.T) {
	_, p := startOnStore(t)
	alice := p.logIn(t, "alice")
	content := []byte("hers")
	for status, more := range map[int][]map[string]any{
		400: {{"key": "documents/bob/a.txt"}, {"owner": "bob"}, {"prefix": "documents/bob/"}},
		422: {{"filename": "../bob/a.txt"}, {"filename": `..\bob\a.txt`},
			{"metadata": map[string]string{"owner": "bob"}}},
	} {
		for _, members := range more {
			request := map[string]any{"filename": "a.txt", "size": len(content),
				"checksum": digest(content)}
			for name, value := range members {
				request[name] = value
			}
			_, got, response := alice.ask("/documents/", request)
			require.Equal(t, status, got, response)
		}
	}
	grant, _, _ := alice.ask("/documents/", map[string]any{
		"filename": "a.txt", "size": len(content), "checksum": digest(content),
	})
	require.True(t, strings.HasPrefix(grant.Key, "documents/alice/"))
	grant.URL = strings.Replace(grant.URL, "/documents/alice/", "/documents/bob/", 1)
	require.Equal(t, 403, alice.put(grant, content))
	grant, _, _ = alice.ask("/avatars/", map[string]any{"filename": "a.png", "size": len(content)})
	grant.URL = strings.Replace(grant.URL, "/avatars/alice", "/avatars/bob", 1)
	require.Equal(t, 403, alice.put(grant, content))
}

func TestSessions(t *testing.T) {
	_, p := startOnStore(t)
	c := p.client(t)
	ask := func() int {
		_, status, _ := c.ask("/avatars/", map[string]any{"filename": "me.png", "size": 1})
		return status
	}
	require.Equal(t, 401, ask())
	for _, wrong := range []string{
		"", "user=alice", "user=alice&password=", "user=alice&password=x", "user=eve&password=x",
		"user=alice&password=" + p.passwords["bob"],
	} {
		res, _ := c.post("/login", "application/x-www-form-urlencoded", wrong)
		require.Equal(t, 401, res.StatusCode, wrong)
	}
	require.Equal(t, 401, ask())

	// A page of another site cannot log users in.
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"},
		"Origin": {"https://evil.example"}}
	res, _ := c.request("POST", p.origin+"/login", form,
		[]byte("user=alice&password="+p.passwords["alice"]))
	require.Equal(t, 403, res.StatusCode)

	c = p.logIn(t, "alice")
	require.Equal(t, 201, ask())
	form.Set("Sec-Fetch-Site", "cross-site")
	res, _ = c.request("POST", p.origin+"/avatars/", form, []byte("filename=me.png&size=1"))
	require.Equal(t, 403, res.StatusCode)
	res, _ = c.post("/logout", "", "")
	require.Equal(t, 204, res.StatusCode)
	require.Equal(t, 401, ask())
	require.Equal(t, 401, func() int {
		_, status, _ := p.client(t).ask("/documents/", nil)
		return status
	}())

	res, _ = c.request("DELETE", p.origin+"/documents/", nil, nil)
	require.Equal(t, 405, res.StatusCode)
	res, _ = c.request("GET", p.origin+"/login", nil, nil)
	require.Equal(t, 405, res.StatusCode)
}

// TestRateLimit checks that the rate limit of one user does not affect another.
func TestRateLimit(t *testing.T) {
	_, p := startOnStore(t)
	alice, bob := p.logIn(t, "alice"), p.logIn(t, "bob")
	const body = `{"filename": "me.png", "size": 1}`
	granted := 0
	var limited time.Time
	for {
		limited = time.Now()
		res, response := alice.post("/avatars/", "application/json", body)
		if res.StatusCode == 201 {
			granted++
			require.Less(t, granted, 50)
			continue
		}
		require.Equal(t, 429, res.StatusCode)
		seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
		require.NoError(t, err)
		require.Equal(t, 1, seconds)
		require.Equal(t, "retry-after", res.Header.Get("Access-Control-Expose-Headers"))
		require.Contains(t, response, "Wait a moment.")
		break
	}
	require.GreaterOrEqual(t, granted, 10)
	more := 0
	for rejected := 0; rejected < 5; {
		res, _ := alice.post("/documents/", "application/json", body)
		if res.StatusCode != 429 { // The limiter allows one request in each second.
			more++
			require.LessOrEqual(t, more, 1+int(time.Since(limited)/time.Second),
				"avatars and documents must share the limit")
			continue
		}
		require.Equal(t, "1", res.Header.Get("Retry-After"),
			"a repeated request must not extend the wait")
		rejected++
	}
	res, _ := bob.post("/avatars/", "application/json", body)
	require.Equal(t, 201, res.StatusCode)
}

func TestPreflight(t *testing.T) {
	_, p := startOnStore(t)
	c := p.client(t)
	for origin, allowed := range map[string]bool{page: true, "https://evil.example": false} {
		for _, path := range []string{"/avatars/", "/documents/", "/login"} {
			res, _ := c.request("OPTIONS", p.origin+path, http.Header{
				"Origin": {origin}, "Access-Control-Request-Method": {"POST"},
				"Access-Control-Request-Headers": {"content-type"},
			}, nil)
			if !allowed {
				require.Empty(t, res.Header.Get("Access-Control-Allow-Origin"))
				continue
			}
			require.Less(t, res.StatusCode, 300)
			require.Equal(t, page, res.Header.Get("Access-Control-Allow-Origin"))
			require.Equal(t, "true", res.Header.Get("Access-Control-Allow-Credentials"))
			require.Equal(t, "content-type", res.Header.Get("Access-Control-Allow-Headers"))
		}
	}
}

// TestCurl checks that the printed commands upload, and that they do not write
// to the current directory.
func TestCurl(t *testing.T) {
	for _, name := range []string{"curl", "sh", "base64", "mktemp"} {
		if _, err := exec.LookPath(name); err != nil {
			require.NotEqual(t, "true", os.Getenv("CI"), "CI must have %s", name)
			t.Skipf("skipped: no %s on this machine", name)
		}
	}
	p := start(t)
	script := regexp.MustCompile(`(?ms)^cd .*^  curl [^\n]*$`).FindString(p.printed)
	command := exec.CommandContext(t.Context(), "sh", "-e", "-c", script)
	command.Dir, command.Env = t.TempDir(), append(os.Environ(), "TMPDIR="+t.TempDir())
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, "S3 returned 200\nS3 returned 200\n", string(out))
	written, err := os.ReadDir(command.Dir)
	require.NoError(t, err)
	require.Empty(t, written)
}

// TestPrintsNarrowLines checks that the first line names the page, and that no
// line is longer than 100 columns.
func TestPrintsNarrowLines(t *testing.T) {
	p := start(t)
	require.True(t, strings.HasPrefix(p.printed, "Open     "+p.origin+"/ "), p.printed)
	for line := range strings.Lines(p.printed) {
		require.LessOrEqual(t, len(strings.TrimSpace(line)), 100, line)
	}
}

// TestPage checks that users can log in on the page and upload an avatar and a
// document. It also checks that the page shows why the service rejects a file.
func TestPage(t *testing.T) {
	b := browser.Open(t)
	p := start(t)
	dir := t.TempDir()
	file := func(name string, content []byte) []string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return []string{path}
	}
	shows := func(pattern string) chromedp.Action[chromedp.Void] {
		return browser.Until(
			`/` + pattern + `/.test(document.querySelector("#outcome").textContent)`)
	}
	picture := browser.Picture(t, 0, png.Encode)
	b.Do(chromedp.Navigate(p.origin+"/"), chromedp.SendKeys("[name=password]", "wrong\r"),
		shows("password is wrong"))
	b.Do(chromedp.SetValue("[name=password]", p.passwords["alice"]),
		chromedp.Click("#login button"),
		chromedp.WaitVisible("#avatar"),
		chromedp.SetUploadFiles("#avatar", file("me.png", picture)),
		shows("stored and verified as avatars.alice"))
	b.Do(chromedp.SetUploadFiles("#document", file("notes.txt", []byte("hello"))),
		shows("stored and verified as documents.alice.*notes.txt"))
	b.Do(chromedp.SetUploadFiles("#document", file("me.png", picture)), shows("me.png: type"))
	b.Do(chromedp.Click("#logout"), chromedp.WaitVisible("#login"))
}

func TestRejectsArguments(t *testing.T) {
	for want, args := range map[string][]string{
		"none":                             {"-addr", "127.0.0.1:none"},
		"-addr must be a loopback address": {"-addr", "0.0.0.0:0"},
		// Cookies require HTTPS unless the origin is on this machine.
		"http://app.example.com":  {"-origin", "http://app.example.com"},
		"app.example.com/uploads": {"-origin", "https://app.example.com/uploads"},
	} {
		require.ErrorContains(t, run(t.Context(), args, io.Discard), want)
	}
}

// A demo describes the running program.
type demo struct {
	origin    string
	printed   string
	passwords map[string]string
}

// startOnStore runs the program with -bucket, and returns the server of the
// bucket.
func startOnStore(t *testing.T) (*store.Server, *demo) {
	t.Helper()
	server, err := store.Start(t.Context(), "")
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	require.NoError(t, server.CreateBucket(t.Context(), "bucket", page))
	c, err := server.Client().Options().Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": c.AccessKeyID, "AWS_SECRET_ACCESS_KEY": c.SecretAccessKey,
		"AWS_SESSION_TOKEN": "",
		"AWS_REGION":        server.Region, "AWS_ENDPOINT_URL": server.URL,
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
	return server, start(t, "-bucket", "bucket")
}

// start runs the program until the test ends.
func start(t *testing.T, args ...string) *demo {
	t.Helper()
	p := program.Start(t, run, args...)
	find := func(pattern string) string {
		t.Helper()
		found := regexp.MustCompile(pattern).FindStringSubmatch(p.Printed)
		require.NotNil(t, found, pattern)
		return found[1]
	}
	return &demo{
		origin:  find(`(http://127\.0\.0\.1:\d+)/login`),
		printed: p.Printed,
		passwords: map[string]string{"alice": find(`user=alice -d password=(\w+)`),
			"bob": find(`Bob +password (\w+)`)},
	}
}

func stored(t *testing.T, server *store.Server, key string) []byte {
	t.Helper()
	out, err := server.Client().GetObject(t.Context(), &s3.GetObjectInput{
		Bucket: aws.String("bucket"), Key: aws.String(key),
	})
	require.NoError(t, err)
	defer out.Body.Close()
	content, err := io.ReadAll(out.Body)
	require.NoError(t, err)
	return content
}
