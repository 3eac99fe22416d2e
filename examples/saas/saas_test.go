package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/browser"
	"github.com/s3presign/presign/examples/internal/program"
)

// ask is the request for a grant of a file with the content text.
const (
	ask  = `{"filename": "a.txt", "size": 14}`
	text = "this is a text"
)

// A client sends requests like an app of another origin.
type client struct {
	*testing.T
	api, origin, token string
}

// do sends a request and decodes the response into value.
func (c client) do(method, path, body string, value any) *http.Response {
	c.Helper()
	reader := strings.NewReader(body)
	request, err := http.NewRequestWithContext(c.Context(), method, c.api+path, reader)
	require.NoError(c, err)
	request.Header.Set("Origin", c.origin)
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(c, err)
	defer response.Body.Close()
	if value != nil {
		require.Less(c, response.StatusCode, 300)
		require.NoError(c, json.NewDecoder(response.Body).Decode(value))
	}
	return response
}

func (c client) status(method, path, body string) int {
	c.Helper()
	return c.do(method, path, body, nil).StatusCode
}

func keyOf(grant presign.Grant) string { return fmt.Sprintf(`{"key": %q}`, grant.Key) }

// start runs the demo and returns clients of alice and bob, and the URL of the
// metrics.
func start(t *testing.T, args ...string) (
	p *program.Program, alice, bob client, metrics string,
) {
	t.Helper()
	p = program.Start(t, run, args...)
	api := regexp.MustCompile(`API +(\S+)`).FindStringSubmatch(p.Printed)[1]
	metrics = regexp.MustCompile(`Metrics +(\S+)`).FindStringSubmatch(p.Printed)[1]
	require.Regexp(t, `^Open +http://127`, p.Printed)
	response, err := http.Get(p.Origin)
	require.NoError(t, err)
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	user := func(name string) client {
		token := regexp.MustCompile(`value="(\w+)">` + name).FindSubmatch(page)[1]
		return client{t, api, p.Origin, string(token)}
	}
	return p, user("alice"), user("bob"), metrics
}

func TestServiceKeepsFilesOfEachUser(t *testing.T) {
	_, alice, bob, metrics := start(t, "-files", "3")
	var grant presign.Grant
	alice.do("POST", "/uploads/", ask, &grant)
	send(t, grant, text, 14)
	require.Equal(t, 404, bob.status("POST", "/uploads/complete", keyOf(grant)))
	var object presign.Object
	alice.do("POST", "/uploads/complete", keyOf(grant), &object)
	require.Equal(t, grant.GrantID, object.GrantID)

	var files []file
	bob.do("GET", "/files", "", &files)
	require.Empty(t, files)
	alice.do("GET", "/files", "", &files)
	want := []file{{ID: grant.GrantID, Name: "a.txt", Type: "text/plain", Size: 14}}
	require.Equal(t, want, files)
	require.Equal(t, 404, bob.status("GET", "/files/"+grant.GrantID, ""))
	var download struct{ URL string }
	alice.do("GET", "/files/"+grant.GrantID, "", &download)
	response, err := http.Get(download.URL)
	require.NoError(t, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, text, string(content))

	for range 2 {
		require.Equal(t, 201, alice.status("POST", "/uploads/", ask))
	}
	require.Equal(t, 403, alice.status("POST", "/uploads/", ask))
	require.Equal(t, 404, bob.status("DELETE", "/files/"+grant.GrantID, ""))
	require.Equal(t, 204, alice.status("DELETE", "/files/"+grant.GrantID, ""))
	require.Equal(t, 404, alice.status("GET", "/files/"+grant.GrantID, ""))
	require.Equal(t, 201, alice.status("POST", "/uploads/", ask))

	nobody := client{t, alice.api, alice.origin, ""}
	require.Equal(t, 401, nobody.status("POST", "/uploads/", ask))
	require.Equal(t, 401, nobody.status("GET", "/files", ""))
	measured := readMetrics(t, metrics)
	for _, line := range []string{
		`uploads_total{kind="granted",method="PUT"} 4`,
		`uploads_total{kind="completed",method="PUT"} 1`,
		`uploads_total{kind="not_granted",method="PUT"} 1`,
		`uploads_total{kind="denied",method=""} 1`,
		`uploads_bytes_total 14`,
	} {
		require.Contains(t, measured, line)
	}
}

func readMetrics(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(text)
}

// TestNotificationsCompleteUploads checks that a file appears even if its
// client does not complete the upload.
func TestNotificationsCompleteUploads(t *testing.T) {
	_, alice, _, _ := start(t)
	var grant presign.Grant
	alice.do("POST", "/uploads/", ask, &grant)
	send(t, grant, text, 14)
	require.Eventually(t, func() bool {
		var files []file
		alice.do("GET", "/files", "", &files)
		return len(files) == 1 && files[0].ID == grant.GrantID
	}, 5*time.Second, 20*time.Millisecond)
}

func TestOtherOriginsCannotReadResponses(t *testing.T) {
	_, alice, _, _ := start(t)
	const other = "https://a.example.com"
	require.Equal(t, alice.origin, program.Preflight(t, alice.api+"/uploads/", alice.origin))
	require.NotEqual(t, other, program.Preflight(t, alice.api+"/uploads/", other))
}

func TestPageUploads(t *testing.T) {
	p, _, _, _ := start(t)
	b := browser.Open(t)
	picture := browser.Picture(t, 0, png.Encode)
	path := filepath.Join(t.TempDir(), "picture.png")
	require.NoError(t, os.WriteFile(path, picture, 0o600))
	b.Do(chromedp.Navigate(p.Origin), chromedp.WaitVisible("#file"),
		chromedp.SetUploadFiles("#file", []string{path}),
		browser.Until(`document.querySelectorAll("#files li").length === 1`))
	outcome := func() string { return b.Text(`document.querySelector("#outcome")`) }
	require.Equal(t, "Stored and verified: picture.png", outcome())
	item := b.Text(`document.querySelector("#files li")`)
	require.Contains(t, item, fmt.Sprintf("picture.png, %d bytes", len(picture)))
	b.Shoot("saas", 390)
	b.Do(chromedp.Click("#files button:last-child"),
		browser.Until(`document.querySelectorAll("#files li").length === 0`))

	text := bytes.Repeat([]byte("a"), 100) // The content does not look like a PNG.
	require.NoError(t, os.WriteFile(path, text, 0o600))
	b.Do(chromedp.SetUploadFiles("#file", []string{path}),
		browser.Until(`/type/.test(document.querySelector("#outcome").textContent)`))
	require.Contains(t, outcome(), "image/png")
}
