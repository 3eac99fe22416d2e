package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/browser"
	"github.com/s3presign/presign/internal/test/s3test"
)

// A served is a request of the browser and its status.
type served struct {
	path, mode, site, user string
	status                 int
}

// shop is a service whose users are known by a cookie, which Chromium also sends
// for pages of another port of its host.
type shop struct {
	handler http.Handler

	mu   sync.Mutex
	seen []served
}

func userOf(r *http.Request) string {
	cookie, err := r.Cookie("user")
	if err != nil {
		return ""
	}
	return cookie.Value
}

func newShop(t *testing.T) *shop {
	t.Helper()
	signer, err := presign.NewSigner(s3test.New().S3(), s3test.DefaultBucket, presign.Policy{
		Prefix: "incoming/", FinalPrefix: "files/", Types: []string{"image/*"}, MaxSize: 1 << 20,
	}, presign.WithSecret([]byte("nobody else knows this; 32 bytes.")))
	require.NoError(t, err)
	handler, err := presign.NewHandler(signer, func(r *http.Request) (string, error) { return userOf(r), nil }, presign.WithUppy())
	require.NoError(t, err)
	return &shop{handler: http.StripPrefix("/uploads", handler)}
}

// ServeHTTP serves a page that logs in, and the routes of the Handler.
func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" {
		http.SetCookie(w, &http.Cookie{Name: "user", Value: "alice", Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
		blank(w, r)
		return
	}
	answer := httptest.NewRecorder()
	s.handler.ServeHTTP(answer, r)
	s.mu.Lock()
	s.seen = append(s.seen, served{r.URL.Path, r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Site"), userOf(r), answer.Code})
	s.mu.Unlock()
	w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
	if origin := r.Header.Get("Origin"); origin != "" {
		// The Handler has decided without it. Chromium reports a response that the page cannot read as its fault.
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Allow-Credentials", "true")
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// take returns the requests to the Handler since the last call.
func (s *shop) take() []served {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = nil
	return seen
}

func blank(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	_, _ = w.Write([]byte(`<!doctype html><link rel="icon" href="data:,"><title>blank</title>`))
}

// TestSiblingsGetNoGrant checks in Chromium that a page of a sibling origin
// cannot have its visitors' cookies request a grant, by any kind of request.
func TestSiblingsGetNoGrant(t *testing.T) {
	shop := newShop(t)
	service := httptest.NewServer(shop)
	defer service.Close()
	sibling := httptest.NewServer(http.HandlerFunc(blank)) // another port, which is another origin of the same site
	defer sibling.Close()
	page := browser.Open(t)
	params := service.URL + "/uploads/s3/params?filename=a.png&type=image/png"

	page.Do(chromedp.Navigate(service.URL))
	status := browser.Evaluate[int](page, fmt.Sprintf(`fetch(%q).then(r => r.status)`, params), chromedp.EvalAwaitPromise)
	require.Equal(t, 200, status)
	require.Equal(t, []served{{"/uploads/s3/params", "cors", "same-origin", "alice", 200}}, shop.take())

	for name, c := range map[string]struct{ script, path, mode string }{
		"an image":   {`new Promise(done => { const i = new Image(); i.onload = i.onerror = () => done(1); i.src = %q; })`, "/uploads/s3/params", "no-cors"},
		"a script":   {`new Promise(done => { const s = document.createElement("script"); s.onload = s.onerror = () => done(1); s.src = %q; document.head.append(s); })`, "/uploads/s3/params", "no-cors"},
		"fetch":      {`fetch(%q, { credentials: "include" }).then(() => 1, () => 1)`, "/uploads/s3/params", "cors"},
		"blind":      {`fetch(%q, { credentials: "include", mode: "no-cors" }).then(() => 1, () => 1)`, "/uploads/s3/params", "no-cors"},
		"an iframe":  {`new Promise(done => { const f = document.createElement("iframe"); f.onload = () => done(1); f.src = %q; document.documentElement.append(f); })`, "/uploads/s3/params", "navigate"},
		"urlencoded": {`fetch(%q.replace(/s3.*/, ""), { method: "POST", credentials: "include", mode: "no-cors", body: new URLSearchParams({ filename: "a.png", size: 10 }) }).then(() => 1, () => 1)`, "/uploads/", "no-cors"},
		"text": {`fetch(%q.replace(/s3.*/, ""), { method: "POST", credentials: "include", mode: "no-cors", body: '{"filename": "a.png", "size": 10}' }).then(() => 1, () => 1)`,
			"/uploads/", "no-cors"},
	} {
		page.Do(chromedp.Navigate(sibling.URL))
		browser.Evaluate[int](page, fmt.Sprintf(c.script, params), chromedp.EvalAwaitPromise)
		want := served{c.path, c.mode, "same-site", "alice", http.StatusForbidden}
		if name == "text" {
			want.status = http.StatusUnsupportedMediaType
		}
		require.Equal(t, []served{want}, shop.take(), name)
	}
}
