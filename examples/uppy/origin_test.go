package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/jub0bs/cors"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/browser"
	"github.com/s3presign/presign/examples/internal/store"
)

// A neighborhood is a service whose users have cookies, with pages of three
// origins: the origin of the service, a sibling host and another port.
// Chromium resolves *.localhost to this machine and treats the two hosts as one
// site, so it sends the cookies for pages of all three origins.
type neighborhood struct {
	*browser.Page
	own, sibling, port string // origins

	mu    sync.Mutex
	allow func(http.Handler) http.Handler // a CORS middleware, or nil
	// the statuses of preflight requests and of requests with a cookie or a
	// token, by method
	statuses map[string][]int
	granted  int // the number of authorized uploads
}

// openNeighborhood starts the service and logs the browser in. It returns the
// paths of Companion's GET routes.
func openNeighborhood(t *testing.T) (n *neighborhood, paths []string) {
	t.Helper()
	server, err := store.Start(t.Context(), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	require.NoError(t, server.CreateBucket(t.Context(), bucket))
	signer, err := presign.NewSigner(server.Client(), bucket, policy,
		presign.WithSecret([]byte(rand.Text()+rand.Text())),
		presign.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	n = &neighborhood{statuses: make(map[string][]int)}
	uploads, err := presign.NewHandler(signer, func(r *http.Request) (string, error) {
		cookie, err := r.Cookie("session")
		if err == nil && cookie.Value == "alice's" ||
			r.Header.Get("Authorization") == "Bearer alice's" {
			return "alice", nil
		}
		return "", nil
	}, presign.WithUppy(), presign.WithAuthorize(func(*http.Request, *presign.Upload) error {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.granted++
		return nil
	}))
	require.NoError(t, err)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{
			Name: "session", Value: "alice's", Path: "/", HttpOnly: true,
			SameSite: http.SameSiteLaxMode,
		})
	})
	mux.HandleFunc("GET /blank", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
	})
	mux.Handle("/uploads/", n.watch(http.StripPrefix("/uploads", uploads)))
	listen := func(host string) (origin string) {
		s := httptest.NewServer(mux)
		t.Cleanup(s.Close)
		t.Cleanup(s.CloseClientConnections)
		_, port, err := net.SplitHostPort(s.Listener.Addr().String())
		require.NoError(t, err)
		return "http://" + host + ":" + port
	}
	n.own, n.sibling, n.port = listen("app.example.localhost"), listen("blog.example.localhost"),
		listen("app.example.localhost")

	r := httptest.NewRequest("POST", "/uploads/s3/multipart",
		strings.NewReader(`{"filename": "a.bin", "metadata": {"size": 1000}}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer alice's")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	var started struct{ UploadID, Key string }
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &started))
	upload, key := "/uploads/s3/multipart/"+started.UploadID, "?key="+url.QueryEscape(started.Key)
	paths = []string{
		"/uploads/s3/params?filename=a.pdf&type=application/pdf", upload + key, upload + "/1" + key,
		upload + "/batch" + key + "&partNumbers=1",
	}

	n.Page = browser.Open(t)
	n.Page.Tolerate("blocked by CORS policy")
	n.Do(chromedp.Navigate(n.own + "/login"))
	return n, paths
}

// watch records the statuses of preflight requests and of requests of a user.
// It records only requests that the CORS middleware of the test passes on.
func (n *neighborhood) watch(next http.Handler) http.Handler {
	watched := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorder := &statusRecorder{w, http.StatusOK}
		next.ServeHTTP(recorder, r)
		n.mu.Lock()
		defer n.mu.Unlock()
		if r.Header.Get("Cookie") != "" || r.Header.Get("Authorization") != "" ||
			r.Method == http.MethodOptions {
			n.statuses[r.Method] = append(n.statuses[r.Method], recorder.status)
		}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		allow := n.allow
		n.mu.Unlock()
		if allow == nil {
			watched.ServeHTTP(w, r)
			return
		}
		allow(watched).ServeHTTP(w, r)
	})
}

// reset sets the CORS middleware and clears the recorded requests.
func (n *neighborhood) reset(allow func(http.Handler) http.Handler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.allow, n.granted = allow, 0
	clear(n.statuses)
}

// results returns the number of grants and the statuses since reset.
func (n *neighborhood) results() (granted int, statuses map[string][]int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.granted, n.statuses
}

// requestScripts holds scripts with which a page sends a GET request with the
// cookies of its visitor. Each script resolves to true if the page could read a
// grant or a list.
var requestScripts = map[string]string{
	"fetch": `fetch(url, { credentials: "include" }).then((r) => r.ok, () => false)`,
	"fetch no-cors": `fetch(url, { credentials: "include", mode: "no-cors" })
		.then((r) => r.ok, () => false)`,
	"XMLHttpRequest": `new Promise((done) => {
		const r = new XMLHttpRequest();
		r.open("GET", url);
		r.withCredentials = true;
		r.onload = () => done(r.status === 200);
		r.onerror = () => done(false);
		r.send();
	})`,
	"EventSource": `new Promise((done) => {
		const source = new EventSource(url, { withCredentials: true });
		source.onmessage = () => done(true);
		source.onerror = () => { source.close(); done(false); };
	})`,
	"img crossorigin": `new Promise((done) => {
		const img = new Image();
		img.crossOrigin = "use-credentials";
		img.onload = () => done(true);
		img.onerror = () => done(false);
		img.src = url;
	})`,
	"img": `new Promise((done) => {
		const img = new Image();
		img.onload = () => done(true);
		img.onerror = () => done(false);
		img.src = url;
	})`,
	"module": `new Promise((done) => {
		const script = document.createElement("script");
		script.type = "module";
		script.crossOrigin = "use-credentials";
		script.onload = () => done(true);
		script.onerror = () => done(false);
		script.src = url;
		document.head.append(script);
	})`,
	"iframe": `new Promise((done) => {
		const frame = document.createElement("iframe");
		frame.onload = () => {
			let read = false;
			try { read = !!frame.contentDocument?.body; } catch {}
			done(read);
		};
		frame.src = url;
		document.documentElement.append(frame);
	})`,
}

// try sends one request from the current page and reports whether the page
// could read the response.
func (n *neighborhood) try(script, address string) bool {
	return browser.Evaluate[bool](n.Page, fmt.Sprintf(`((url) => %s)(%q)`, script, address),
		chromedp.EvalAwaitPromise)
}

// permit returns a CORS middleware that permits an origin with cookies. If
// origin is "*", it permits all origins without cookies.
func permit(t *testing.T, origin string) func(http.Handler) http.Handler {
	t.Helper()
	m, err := cors.NewMiddleware(cors.Config{
		Origins: []string{origin}, Credentialed: origin != "*",
		DangerouslyTolerateInsecureOrigins: true,
		Methods:                            []string{"GET", "POST", "DELETE"},
		RequestHeaders:                     []string{"Authorization", "Content-Type"},
	})
	require.NoError(t, err)
	return m.Wrap
}

// TestSiblingOrigins checks in Chromium that pages of sibling origins cannot
// read responses of Companion's GET routes, unless a CORS middleware permits
// the page. It also checks that the service signs no grant for these pages.
// Chromium sends the cookies of the visitor with the requests of these pages.
func TestSiblingOrigins(t *testing.T) {
	n, paths := openNeighborhood(t)
	n.Do(chromedp.Navigate(n.own + "/blank"))
	for _, path := range paths {
		n.reset(nil)
		require.True(t, n.try(requestScripts["fetch"], n.own+path), path)
		_, statuses := n.results()
		require.Equal(t, map[string][]int{"GET": {200}}, statuses)
		for _, how := range []string{"img", "iframe"} { // Only scripts receive grants.
			n.reset(nil)
			n.try(requestScripts[how], n.own+path)
			granted, statuses := n.results()
			require.Equal(t, map[string][]int{"GET": {403}}, statuses, how)
			require.Zero(t, granted)
		}
	}
	for _, page := range []string{n.sibling, n.port} {
		n.Do(chromedp.Navigate(page + "/blank"))
		for name, allow := range map[string]func(http.Handler) http.Handler{
			"no CORS":                 nil,
			"CORS for another origin": permit(t, "http://admin.example.localhost"),
			"CORS without cookies":    permit(t, "*"),
		} {
			for how, script := range requestScripts {
				for _, path := range paths {
					about := fmt.Sprintf("%s, %s, %s of %s", page, name, how, path)
					n.reset(allow)
					require.False(t, n.try(script, n.own+path), about)
					granted, statuses := n.results()
					require.Equal(t, map[string][]int{"GET": {403}}, statuses, about)
					require.Zero(t, granted, about)
				}
			}
		}
	}
}

// TestPermittedOrigins checks that the service serves the requests of a page of
// a sibling origin if a CORS middleware permits the origin.
func TestPermittedOrigins(t *testing.T) {
	n, paths := openNeighborhood(t)
	const token = `fetch(url, { headers: { Authorization: "Bearer alice's" } })
		.then((r) => r.ok, () => false)`
	n.Do(chromedp.Navigate(n.sibling + "/blank"))
	permitted := permit(t, n.sibling)
	for _, path := range paths {
		grants := 0
		if strings.Contains(path, "/params") {
			grants = 1
		}
		for _, how := range []string{"fetch", "XMLHttpRequest"} {
			n.reset(permitted)
			require.True(t, n.try(requestScripts[how], n.own+path), path)
			granted, statuses := n.results()
			require.Equal(t, map[string][]int{"GET": {200}}, statuses)
			require.Equal(t, grants, granted)
		}
		// Pages cannot load a grant as an image or show it in a frame.
		for _, how := range []string{"img", "iframe", "fetch no-cors"} {
			n.reset(permitted)
			require.False(t, n.try(requestScripts[how], n.own+path), path)
			granted, statuses := n.results()
			require.Equal(t, map[string][]int{"GET": {403}}, statuses, how)
			require.Zero(t, granted)
		}

		// With a token, Chromium sends a preflight request. The CORS middleware
		// responds to it.
		n.reset(nil)
		require.False(t, n.try(token, n.own+path), path)
		granted, statuses := n.results()
		require.Equal(t, map[string][]int{"OPTIONS": {405}}, statuses)
		require.Zero(t, granted)
		for _, allow := range []func(http.Handler) http.Handler{permitted, permit(t, "*")} {
			n.reset(allow)
			require.True(t, n.try(token, n.own+path), path)
			granted, statuses = n.results()
			require.Equal(t, map[string][]int{"GET": {200}}, statuses)
			require.Equal(t, grants, granted)
		}
	}
}
