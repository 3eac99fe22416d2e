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

// An exchange describes a request of the browser and the status of the
// response.
type exchange struct {
	path, mode, site, user string
	status                 int
}

// A shop is a service that authenticates users by a cookie. Chromium also sends
// this cookie for pages at another port of the host.
type shop struct {
	handler http.Handler

	mu        sync.Mutex
	exchanges []exchange
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
	}, presign.WithSecret([]byte("a secret of the service, 33 bytes")))
	require.NoError(t, err)
	handler, err := presign.NewHandler(signer,
		func(r *http.Request) (string, error) { return userOf(r), nil }, presign.WithUppy())
	require.NoError(t, err)
	return &shop{handler: http.StripPrefix("/uploads", handler)}
}

// ServeHTTP serves a page that sets the cookie, and the routes of the Handler.
func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" {
		http.SetCookie(w,
			&http.Cookie{Name: "user", Value: "alice", Path: "/", HttpOnly: true,
				SameSite: http.SameSiteLaxMode})
		serveBlank(w, r)
		return
	}
	recorder := httptest.NewRecorder()
	s.handler.ServeHTTP(recorder, r)
	s.mu.Lock()
	s.exchanges = append(s.exchanges,
		exchange{r.URL.Path, r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Site"),
			userOf(r), recorder.Code})
	s.mu.Unlock()
	w.Header().Set("Content-Type", recorder.Header().Get("Content-Type"))
	if origin := r.Header.Get("Origin"); origin != "" {
		// Without these headers Chromium reports an error for a response that
		// the page cannot read. They do not affect the Handler, which has
		// already responded.
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Allow-Credentials", "true")
	}
	w.WriteHeader(recorder.Code)
	_, _ = w.Write(recorder.Body.Bytes())
}

// take returns the requests to the Handler since the last call.
func (s *shop) take() []exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	exchanges := s.exchanges
	s.exchanges = nil
	return exchanges
}

func serveBlank(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	_, _ = w.Write([]byte(`<!doctype html><link rel="icon" href="data:,"><title>blank</title>`))
}

// TestSiblingsGetNoGrant checks in Chromium that a page of a sibling origin
// cannot request a grant with the cookies of its visitors.
func TestSiblingsGetNoGrant(t *testing.T) {
	shop := newShop(t)
	service := httptest.NewServer(shop)
	defer service.Close()
	// Another port is another origin, but the same site.
	sibling := httptest.NewServer(http.HandlerFunc(serveBlank))
	defer sibling.Close()
	page := browser.Open(t)
	params := service.URL + "/uploads/s3/params?filename=a.png&type=image/png"

	page.Do(chromedp.Navigate(service.URL))
	status := browser.Evaluate[int](page, fmt.Sprintf(`fetch(%q).then(r => r.status)`, params),
		chromedp.EvalAwaitPromise)
	require.Equal(t, 200, status)
	require.Equal(t, []exchange{{"/uploads/s3/params", "cors", "same-origin", "alice", 200}},
		shop.take())

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
		want := exchange{c.path, c.mode, "same-site", "alice", http.StatusForbidden}
		if name == "text" {
			want.status = http.StatusUnsupportedMediaType
		}
		require.Equal(t, []exchange{want}, shop.take(), name)
	}
}
