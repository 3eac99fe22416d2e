package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"image/png"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/browser"
	"github.com/s3presign/presign/examples/internal/program"
)

// A visitor sends requests like a browser, with cookies.
type visitor struct {
	http.Client
	t      *testing.T
	origin string
}

func logIn(t *testing.T, origin, user string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	v := &visitor{http.Client{Jar: jar}, t, origin}
	status, page := v.send("POST", "/login",
		http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte("user="+user))
	require.Equal(t, 200, status)
	require.Contains(t, page, "<b>"+user+"</b>")
	return v
}

// send sends a request, follows redirects, and returns the last response.
func (v *visitor) send(method, path string, header http.Header, body []byte) (int, string) {
	v.t.Helper()
	base, err := url.Parse(v.origin)
	require.NoError(v.t, err)
	target, err := base.Parse(path)
	require.NoError(v.t, err)
	req, err := http.NewRequestWithContext(v.t.Context(), method, target.String(),
		bytes.NewReader(body))
	require.NoError(v.t, err)
	maps.Copy(req.Header, header)
	res, err := v.Do(req)
	require.NoError(v.t, err)
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	require.NoError(v.t, err)
	return res.StatusCode, string(content)
}

func (v *visitor) post(path string, body map[string]any) (int, string) {
	v.t.Helper()
	text, err := json.Marshal(body)
	require.NoError(v.t, err)
	return v.send("POST", path, http.Header{"Content-Type": {"application/json"}}, text)
}

func (v *visitor) ask(method, name string, content []byte) *presign.Grant {
	v.t.Helper()
	sum := sha256.Sum256(content)
	status, response := v.post("/uploads/", map[string]any{
		"filename": name, "size": len(content),
		"checksum": base64.StdEncoding.EncodeToString(sum[:]), "method": method,
	})
	require.Equal(v.t, 201, status, response)
	grant := new(presign.Grant)
	require.NoError(v.t, json.Unmarshal([]byte(response), grant))
	return grant
}

// use uploads content with a grant and returns the status.
func (v *visitor) use(grant *presign.Grant, content []byte) int {
	v.t.Helper()
	r, err := grant.Request(v.t.Context(), bytes.NewReader(content), int64(len(content)))
	require.NoError(v.t, err)
	res, err := v.Do(r)
	require.NoError(v.t, err)
	require.NoError(v.t, res.Body.Close())
	return res.StatusCode
}

func (v *visitor) complete(key string) (*presign.Object, int) {
	v.t.Helper()
	status, response := v.post("/uploads/complete", map[string]any{"key": key})
	if status != 200 {
		return nil, status
	}
	object := new(presign.Object)
	require.NoError(v.t, json.Unmarshal([]byte(response), object))
	return object, status
}

func (v *visitor) pictures() []picture {
	v.t.Helper()
	status, response := v.send("GET", "/pictures", nil, nil)
	require.Equal(v.t, 200, status)
	var pictures []picture
	require.NoError(v.t, json.Unmarshal([]byte(response), &pictures))
	return pictures
}

// objects returns the keys under a prefix.
func objects(t *testing.T, dir, prefix string) []string {
	t.Helper()
	return program.Objects(t, filepath.Join(dir, "s3"), bucket, prefix)
}

// requireNoUploads waits until no upload is left. The service deletes an upload
// after it has responded to the client.
func requireNoUploads(t *testing.T, dir string) {
	t.Helper()
	require.Eventually(t, func() bool {
		return len(objects(t, dir, "incoming")) == 0
	}, 10*time.Second, 10*time.Millisecond)
}

// TestReplay checks that a grant which is used again after the completion does
// not change a published object.
func TestReplay(t *testing.T) {
	dir := t.TempDir()
	p := program.Start(t, run, "-dir", dir)
	alice := logIn(t, p.Origin, "alice")
	content := browser.Picture(t, 1, png.Encode)
	for i, method := range []string{"PUT", "POST"} {
		grant := alice.ask(method, "sea.png", content)
		require.Less(t, alice.use(grant, content), 300)
		first, status := alice.complete(grant.Key)
		require.Equal(t, 200, status)
		require.True(t, strings.HasPrefix(first.Key, "pictures/alice/"))
		requireNoUploads(t, dir)
		published, err := os.Stat(filepath.Join(dir, "s3", "objects", bucket,
			filepath.FromSlash(first.Key)))
		require.NoError(t, err)

		for range 2 {
			require.GreaterOrEqual(t, alice.use(grant, append([]byte("X"), content[1:]...)), 400,
				"another file must be rejected")
			require.Less(t, alice.use(grant, content), 300,
				"the key of a published upload must be free")
			again, status := alice.complete(grant.Key)
			require.Equal(t, 200, status)
			require.Equal(t, first, again)
			requireNoUploads(t, dir)
			after, err := os.Stat(filepath.Join(dir, "s3", "objects", bucket,
				filepath.FromSlash(first.Key)))
			require.NoError(t, err)
			require.True(t, os.SameFile(published, after))
			require.Equal(t, published.ModTime(), after.ModTime())
			require.Len(t, alice.pictures(), i+1)
		}
	}
}

// TestRestart checks that an upload can be completed after a restart, and that
// completed pictures are kept.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	p := program.Start(t, run, "-dir", dir)
	alice := logIn(t, p.Origin, "alice")
	old, uploaded, granted := browser.Picture(t, 1, png.Encode), browser.Picture(t, 2, png.Encode),
		browser.Picture(t, 3, png.Encode)
	before := alice.ask("PUT", "before.png", old)
	require.Equal(t, 200, alice.use(before, old))
	completed, status := alice.complete(before.Key)
	require.Equal(t, 200, status)
	during := alice.ask("PUT", "during.png", uploaded)
	require.Equal(t, 200, alice.use(during, uploaded))
	after := alice.ask("PUT", "after.png", granted)
	require.NoError(t, p.Stop())

	p = program.Start(t, run, "-dir", dir)
	alice = logIn(t, p.Origin, "alice")
	object, status := alice.complete(during.Key)
	require.Equal(t, 200, status)
	require.Equal(t, "during.png", object.Filename)
	object, status = alice.complete(before.Key)
	require.Equal(t, 200, status)
	require.Equal(t, completed, object)
	require.Equal(t, 403, alice.use(after, granted),
		"each start of the embedded server must make new credentials")

	pictures := alice.pictures()
	require.Len(t, pictures, 2)
	require.Equal(t, "during.png", pictures[0].Name, "the newest picture must be first")
	status, content := alice.send("GET", "/pictures/"+pictures[1].ID, nil, nil)
	require.Equal(t, 200, status)
	require.Equal(t, string(old), content)

	secret, err := os.Stat(filepath.Join(dir, "secret"))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), secret.Mode())
}

// TestStrangers checks that a request without a session has no access, and that
// a user has no access to the pictures of others.
func TestStrangers(t *testing.T) {
	dir := t.TempDir()
	p := program.Start(t, run, "-dir", dir)
	alice, bob, nobody := logIn(t, p.Origin, "alice"), logIn(t, p.Origin, "bob"),
		&visitor{t: t, origin: p.Origin}
	content := browser.Picture(t, 1, png.Encode)
	grant := alice.ask("PUT", "sea.png", content)
	require.Equal(t, 200, alice.use(grant, content))
	_, status := bob.complete(grant.Key)
	require.Equal(t, 404, status)
	_, status = nobody.complete(grant.Key)
	require.Equal(t, 401, status)
	_, status = alice.complete(grant.Key)
	require.Equal(t, 200, status)
	_, status = bob.complete(grant.Key)
	require.Equal(t, 404, status)

	path := "/pictures/" + alice.pictures()[0].ID
	require.Empty(t, bob.pictures())
	status, _ = nobody.send("GET", "/pictures", nil, nil)
	require.Equal(t, 401, status)
	for _, stranger := range []*visitor{bob, nobody} {
		for _, method := range []string{"GET", "DELETE"} {
			status, _ = stranger.send(method, path, nil, nil)
			require.Equal(t, 404, status)
		}
	}
	status, _ = alice.send("DELETE", path, http.Header{"Origin": {"https://evil.example"}}, nil)
	require.Equal(t, 403, status)
	status, _ = alice.send("DELETE", path, nil, nil)
	require.Equal(t, 204, status)
	require.Empty(t, alice.pictures())
	require.Empty(t, objects(t, dir, ""))

	status, _ = nobody.send("POST", "/login",
		http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte("user=mallory"))
	require.Equal(t, 401, status)
	require.ErrorContains(t, run(t.Context(), []string{"-addr", "0.0.0.0:0"}, io.Discard),
		"-addr must be a loopback address")
}
