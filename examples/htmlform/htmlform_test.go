package main

import (
	"fmt"
	"html"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/examples/internal/browser"
	"github.com/s3presign/presign/examples/internal/program"
)

// objects returns the keys under a prefix.
func objects(t *testing.T, dir, prefix string) []string {
	t.Helper()
	return program.Objects(t, filepath.Join(dir, "s3"), bucket, prefix)
}

// A form is the page in a browser that does not run scripts.
type form struct {
	*browser.Page
	t *testing.T
}

func (f form) with(t *testing.T) form { return form{f.With(t), t} }

func (f form) logIn(user string) {
	f.Do(chromedp.Click(fmt.Sprintf(`button[value=%s]`, user)), chromedp.WaitVisible(".upload"))
}

func (f form) logOut() {
	f.Do(chromedp.Click(".who button"), chromedp.WaitVisible(".login"))
}

// send uploads a file of a kind, and waits for the message.
func (f form) send(kind, name, content string) {
	f.t.Helper()
	f.choose(kind)
	f.submit(name, content)
	f.Do(chromedp.WaitVisible(".message"))
}

func (f form) choose(kind string) {
	f.Do(chromedp.Click(fmt.Sprintf(`nav a[href="/?kind=%s"]`, kind)),
		chromedp.WaitVisible(fmt.Sprintf(`nav a[href="/?kind=%s"][aria-current]`, kind)),
		chromedp.WaitNotPresent(".message"))
}

func (f form) submit(name, content string) {
	f.t.Helper()
	path := filepath.Join(f.t.TempDir(), name)
	require.NoError(f.t, os.WriteFile(path, []byte(content), 0o600))
	f.Do(chromedp.SetUploadFiles("#file", []string{path}), chromedp.Click(".main"))
}

func (f form) message() string { return f.Text(`document.querySelector(".message")`) }

// TestBrowser checks that alice and bob can use the pages without scripts, in a
// headless Chromium. It writes screenshots to the directory that the
// environment variable SCREENSHOTS names.
func TestBrowser(t *testing.T) {
	dir := t.TempDir()
	p := program.Start(t, run, "-dir", dir)
	f := form{browser.Open(t), t}
	shoot := func(name string) {
		f.Shoot("htmlform-"+name, 1280)
		f.Shoot("htmlform-"+name, 390)
	}
	browser.Call(f.Page, emulation.SetScriptExecutionDisabled,
		emulation.SetScriptExecutionDisabledParams{Value: true})
	f.Do(chromedp.Navigate(
		"data:text/html,<body><noscript>none</noscript><script>document.title='some'</script>"))
	require.Equal(t, "none", f.Text(`document.querySelector("noscript")`))
	require.Empty(t, browser.Run(f.Page, chromedp.Title()))

	f.Do(chromedp.Navigate(p.Origin), chromedp.WaitVisible(".login"))
	shoot("login")
	f.logIn("alice")
	shoot("empty")

	picture := string(browser.Picture(t, 1, png.Encode))
	f.send("png", "holiday.png", picture)
	require.Equal(t, "Your file is stored and verified: image/png, 4.44 KiB.", f.message())
	require.Equal(t, p.Origin+"/?kind=png", browser.Run(f.Page, chromedp.Location()),
		"the redirect must drop the query")
	require.Empty(t, objects(t, dir, "incoming"))
	require.Len(t, objects(t, dir, "files/alice"), 1)
	f.send("pdf", "report.pdf",
		"%PDF-1.4\n1 0 obj <</Type /Catalog>> endobj\ntrailer <</Root 1 0 R>>\n%%EOF\n")
	f.send("text", "notes.txt", "<h1>Notes</h1> on a text file that looks like HTML")
	require.Equal(t, 3, f.Count("tbody tr"))
	shoot("files")

	t.Run("content of another type", func(t *testing.T) {
		f := f.with(t)
		f.send("png", "holiday.png",
			"<!doctype html><title>Log in</title><script>alert(1)</script>")
		require.Equal(t, `Your file was rejected and deleted. Its type must match the content, `+
			`got "image/png" for a file that looks like text/html.`, f.message())
		require.Equal(t, 1, f.Count(".message.bad"))
		require.Empty(t, objects(t, dir, "incoming"))
		require.Equal(t, 3, f.Count("tbody tr"))
		f.Shoot("htmlform-rejected", 1280)
		f.Shoot("htmlform-rejected", 390)
	})

	t.Run("rejected by the store", func(t *testing.T) {
		f := f.with(t)
		f.choose("text")
		f.submit("empty.txt", "")
		f.Do(chromedp.WaitNotPresent(".upload"))
		require.NotContains(t, browser.Run(f.Page, chromedp.Location()), p.Origin)
		require.Contains(t, f.Text(`document.documentElement`), "EntityTooSmall")
		f.Do(chromedp.Navigate(p.Origin), chromedp.WaitVisible(".upload"))
		require.Empty(t, objects(t, dir, "incoming"))
	})

	t.Run("the same form again", func(t *testing.T) {
		f := f.with(t)
		f.choose("png")
		fields := browser.Evaluate[string](f.Page, `document.querySelector(".upload").outerHTML`)
		f.submit("first.png", picture)
		f.Do(chromedp.WaitVisible(".message"))
		published := objects(t, dir, "files/alice")
		require.Len(t, published, 4)
		// The form is the same as after a step back in the browser's history.
		browser.Evaluate[chromedp.Void](f.Page, fmt.Sprintf(`{
			document.querySelector(".message").remove();
			document.querySelector(".upload").outerHTML = %q;
		}`, fields))
		f.submit("second.png", string(browser.Picture(t, 2, png.Encode)))
		f.Do(chromedp.WaitVisible(".message"))
		require.Contains(t, f.message(), "This form was used before.")
		require.Equal(t, published, objects(t, dir, "files/alice"))
		require.Empty(t, objects(t, dir, "incoming"))
		for _, key := range published {
			content, err := os.ReadFile(filepath.Join(dir, "s3", "objects", bucket,
				filepath.FromSlash(key)))
			require.NoError(t, err)
			require.NotEqual(t, string(browser.Picture(t, 2, png.Encode)), string(content))
		}
	})

	t.Run("a forged redirect", func(t *testing.T) {
		f := f.with(t)
		pending := logIn(t, p.Origin, "alice").post(picture)
		before := objects(t, dir, "")
		require.Contains(t, before, pending)
		f.logOut()
		f.logIn("bob")
		f.Do(chromedp.Navigate(
			p.Origin+"/done?bucket=htmlform&etag=x&key="+url.QueryEscape(pending)),
			chromedp.WaitVisible(".message"))
		require.Equal(t, "You have no such upload.", f.message())
		require.Zero(t, f.Count("tbody tr"))
		require.Equal(t, before, objects(t, dir, ""))
	})
}

// A visitor sends requests like a browser, with cookies, but does not follow
// redirects.
type visitor struct {
	http.Client
	t      *testing.T
	origin string
}

func logIn(t *testing.T, origin, user string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	v := &visitor{http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}, t, origin}
	res, _ := v.do("POST", origin+"/login", "application/x-www-form-urlencoded", "user="+user)
	require.Equal(t, 303, res.StatusCode)
	return v
}

func (v *visitor) do(method, url, contentType, body string) (*http.Response, string) {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), method, url, strings.NewReader(body))
	require.NoError(v.t, err)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := v.Do(req)
	require.NoError(v.t, err)
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	require.NoError(v.t, err)
	return res, string(content)
}

// get returns the page at path, after at most one redirect.
func (v *visitor) get(path string) string {
	v.t.Helper()
	res, page := v.do("GET", v.origin+path, "", "")
	if res.StatusCode == 303 {
		require.Regexp(v.t, `^/(\?kind=\w+)?$`, res.Header.Get("Location"))
		res, page = v.do("GET", v.origin+res.Header.Get("Location"), "", "")
	}
	require.Equal(v.t, 200, res.StatusCode)
	return page
}

// post uploads with a form for a PNG and does not complete the upload. It
// returns the key.
func (v *visitor) post(content string) string {
	v.t.Helper()
	page := v.get("/?kind=png")
	action := regexp.MustCompile(`action="(http[^"]+)" enctype`).FindStringSubmatch(page)
	require.NotNil(v.t, action)
	var body strings.Builder
	form := multipart.NewWriter(&body)
	var key string
	for _, field := range regexp.MustCompile(
		`<input type="hidden" name="([^"]+)" value="([^"]*)">`).FindAllStringSubmatch(page, -1) {
		value := html.UnescapeString(field[2])
		require.NoError(v.t, form.WriteField(field[1], value))
		if field[1] == "key" {
			key = value
		}
	}
	file, err := form.CreateFormFile("file", "holiday.png")
	require.NoError(v.t, err)
	_, _ = io.WriteString(file, content)
	require.NoError(v.t, form.Close())
	res, _ := v.do("POST", action[1], form.FormDataContentType(), body.String())
	require.Equal(v.t, 303, res.StatusCode)
	require.True(v.t, strings.HasPrefix(res.Header.Get("Location"), v.origin+"/done?"),
		res.Header.Get("Location"))
	return key
}

// TestNames checks that files are listed by the names that users enter.
func TestNames(t *testing.T) {
	b := browser.Open(t)
	p := program.Start(t, run, "-dir", t.TempDir())
	f := form{b, t}
	f.Do(chromedp.Navigate(p.Origin), chromedp.WaitVisible(".login"))
	f.logIn("alice")
	f.choose("text")
	enterName := func(name string) {
		browser.Evaluate[chromedp.Void](f.Page, fmt.Sprintf(`{
			// A new #file shows that the next page has loaded.
			document.querySelector("#file").remove();
			document.querySelector("#name").value = %q;
		}`, name))
		f.Do(chromedp.Click(".named button"), chromedp.WaitVisible("#file"))
	}
	for name, want := range map[string]string{"notes": "notes.txt",
		"übersicht.txt": "übersicht.txt", "": "upload.txt"} {
		enterName(name)
		f.Do(browser.Until(fmt.Sprintf(
			`document.querySelector(".upload label").textContent.endsWith("stored as %s")`, want)))
		f.submit("local.txt", "hello")
		f.Do(chromedp.WaitVisible(".message"))
	}
	listed := browser.Evaluate[[]string](f.Page,
		`[...document.querySelectorAll("tbody a")].map((a) => a.textContent)`)
	require.ElementsMatch(t, []string{"notes.txt", "übersicht.txt", "upload.txt"}, listed)
}

// TestForgedRedirect checks that a forged query does not complete an upload of
// another user.
func TestForgedRedirect(t *testing.T) {
	dir := t.TempDir()
	p := program.Start(t, run, "-dir", dir)
	alice, bob := logIn(t, p.Origin, "alice"), logIn(t, p.Origin, "bob")
	nobody := &visitor{http.Client{CheckRedirect: alice.CheckRedirect}, t, p.Origin}
	picture := string(browser.Picture(t, 1, png.Encode))
	pending := alice.post(picture)
	for _, key := range []string{
		pending, "", "/", "x", "incoming/", "incoming/bob/",
		"incoming/bob/../alice/" + strings.TrimPrefix(pending, "incoming/alice/"),
		"incoming/bob/none/upload.png", "files/alice/none/upload.png",
		strings.ReplaceAll(pending, "alice", "bob"), "\xff",
	} {
		page := bob.get("/done?key=" + url.QueryEscape(key))
		require.Contains(t, page, "You have no such upload.", key)
		require.Equal(t, []string{pending}, objects(t, dir, ""))
	}
	require.Contains(t, nobody.get("/done?key="+url.QueryEscape(pending)), "Choose a user")
	require.Equal(t, []string{pending}, objects(t, dir, ""))

	redirect := "/done?bucket=another&etag=%22x%22&key=" + url.QueryEscape(pending)
	require.Contains(t, alice.get(redirect), "Your file is stored and verified")
	require.Contains(t, alice.get(redirect), "This form was used before")
	require.NotContains(t, alice.get("/"), "class=\"message")
	require.Len(t, objects(t, dir, "files/alice"), 1)
	require.Empty(t, objects(t, dir, "incoming"))

	path := regexp.MustCompile(`/files/\w+`).FindString(alice.get("/"))
	res, _ := alice.do("GET", p.Origin+path, "", "")
	require.Equal(t, 303, res.StatusCode)
	res, content := alice.do("GET", res.Header.Get("Location"), "", "")
	require.Equal(t, 200, res.StatusCode)
	require.Equal(t, "attachment; filename*=UTF-8''upload.png",
		res.Header.Get("Content-Disposition"))
	require.Equal(t, picture, content)
	for _, stranger := range []*visitor{bob, nobody} {
		res, _ = stranger.do("GET", p.Origin+path, "", "")
		require.Equal(t, 404, res.StatusCode)
	}
}
