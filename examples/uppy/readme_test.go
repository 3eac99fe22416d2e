package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/browser"
	"github.com/s3presign/presign/examples/internal/readme"
	"github.com/s3presign/presign/examples/internal/store"
)

// snippet returns the JavaScript block of README.md that contains a word.
func snippet(t *testing.T, word string) string {
	t.Helper()
	var found []string
	for _, block := range readme.Blocks(t, "README.md", "js") {
		if strings.Contains(block, word) {
			found = append(found, block)
		}
	}
	require.Len(t, found, 1, word)
	return found[0]
}

// A shop is a page with Uppy but without the Dashboard.
type shop struct {
	*browser.Page
	t      *testing.T
	client *s3.Client
	mu     sync.Mutex
	sizes  []int64 // the sizes of the authorized uploads
}

// openShop starts a service and opens its page. The function authenticated
// reports whether a request is authenticated.
func openShop(t *testing.T, bundle string, authenticated func(*http.Request) bool) *shop {
	t.Helper()
	server, err := store.Start(context.Background(), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	s := &shop{t: t, client: server.Client()}
	signer, err := presign.NewSigner(s.client, bucket, policy,
		presign.WithSecret([]byte(rand.Text()+rand.Text())))
	require.NoError(t, err)
	uploads, err := presign.NewHandler(signer, func(r *http.Request) (string, error) {
		if !authenticated(r) {
			return "", nil
		}
		return "alice", nil
	}, presign.WithUppy(), presign.WithAuthorize(func(r *http.Request, u *presign.Upload) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sizes = append(s.sizes, u.Size)
		return nil
	}))
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/uploads/", http.StripPrefix("/uploads", uploads))
	mux.HandleFunc("GET /uppy.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(bundle, "uppy.js"))
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{
			Name: "session", Value: "alice", HttpOnly: true, SameSite: http.SameSiteStrictMode,
		})
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(
			`<!doctype html><link rel="icon" href="data:,"><title>A page</title>`))
	})
	page := httptest.NewServer(mux)
	t.Cleanup(page.Close)
	require.NoError(t, server.CreateBucket(t.Context(), bucket, page.URL))
	s.Page = browser.Open(t)
	s.Do(chromedp.Navigate(page.URL))
	return s
}

// A result is the outcome of several uploads.
type result struct {
	Keys    []string // the keys of the events upload-success
	Errors  []string
	Objects []presign.Object // the responses to completions
}

// upload runs a script that creates an instance of Uppy, and uploads files with
// it. The files are a JavaScript expression. The header, in JavaScript, is sent
// with each completion.
func (s *shop) upload(script, files, header string) result {
	s.t.Helper()
	return browser.Evaluate[result](s.Page, `(async () => {
		const { Uppy, AwsS3 } = await import("/uppy.js");
		const token = "alice's";
		const keys = [];
		const completions = [];
		const complete = (key) => completions.push(fetch("/uploads/complete", {
			method: "POST", body: JSON.stringify({ key }),
			headers: { "content-type": "application/json", `+header+` },
		}).then((response) => response.json()));
		`+script+`
		uppy.on("upload-success", (file, { body }) => keys.push(body.key));
		for (const { name, type, data } of `+files+`) uppy.addFile({ name, type, data });
		const { failed } = await uppy.upload();
		const objects = await Promise.all(completions);
		return { Keys: keys, Errors: failed.map(({ error }) => error), Objects: objects };
	})()`, chromedp.EvalAwaitPromise)
}

// waitForObjects waits until the bucket has n objects. The service deletes
// completed uploads after it has responded.
func (s *shop) waitForObjects(n int) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		listed, err := s.client.ListObjectsV2(s.t.Context(), &s3.ListObjectsV2Input{
			Bucket: aws.String(bucket),
		})
		return err == nil && len(listed.Contents) == n
	}, 30*time.Second, 20*time.Millisecond)
}

// TestReadmeWithCookies checks that the README's Uppy code works with both
// versions of Uppy.
func TestReadmeWithCookies(t *testing.T) {
	script := snippet(t, "companionEndpoint")
	for version, bundle := range map[int]string{6: "page", 5: "testdata"} {
		t.Run(fmt.Sprintf("Uppy %d", version), func(t *testing.T) {
			s := openShop(t, bundle, func(r *http.Request) bool {
				cookie, err := r.Cookie("session")
				return err == nil && cookie.Value == "alice"
			})
			script := script
			if version == 5 {
				require.Contains(t, script, "// Uppy 5: endpoint: '/uploads'")
				script = strings.Replace(script, "companionEndpoint:", "endpoint:", 1)
			}
			got := s.upload(script, `[
				{ name: "a small one.txt", type: "text/plain", data: new Blob(["hello"]) },
				{
					name: "large.bin", type: "application/octet-stream",
					data: new Blob(Array(101).fill(new Uint8Array(1 << 20))),
				},
			]`, "")
			require.Empty(t, got.Errors)
			require.Len(t, got.Keys, 2)
			require.Len(t, got.Objects, 2)
			sizes := map[string]int64{}
			for _, object := range got.Objects {
				sizes[object.Filename] = object.Size
			}
			require.Equal(t, map[string]int64{"a small one.txt": 5, "large.bin": 101 * mib}, sizes)
			require.ElementsMatch(t, []int64{5, 101 * mib}, s.sizes,
				"the service must receive the size before it grants")
			s.waitForObjects(2)
		})
	}
}

// TestReadmeWithHeader checks that the README's code for a service that
// requires a header works with Uppy 6.
func TestReadmeWithHeader(t *testing.T) {
	script := snippet(t, "signRequest")
	require.Less(t, strings.Count(script, "\n"), 30)
	s := openShop(t, "page", func(r *http.Request) bool {
		return r.Header.Get("Authorization") == "Bearer alice's"
	})
	script += `uppy.on("upload-success", (file, { body }) => complete(body.key));`
	got := s.upload(script, `[
		{ name: "a small one, \"and\" größer.txt", type: "text/plain", data: new Blob(["hello"]) },
		{
			name: "medium.bin", type: "application/octet-stream",
			data: new Blob(Array(20).fill(new Uint8Array(1 << 20))),
		},
		{ name: "page.html", type: "text/html", data: new Blob(["<p>"]) },
	]`, `authorization: "Bearer " + token`)
	require.Equal(t, []string{
		`type must be one of */*, got "text/html"; ` +
			`browsers run it, so that a policy must name it in full`,
	}, got.Errors, "the page must show the service's message")
	require.Len(t, got.Objects, 2)
	sizes := map[string]int64{}
	for _, object := range got.Objects {
		sizes[object.Filename] = object.Size
	}
	require.Equal(t, map[string]int64{`a small one, "and" größer.txt`: 5, "medium.bin": 20 * mib},
		sizes)
	s.waitForObjects(2)
}
