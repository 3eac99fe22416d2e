package upload_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
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
	"github.com/s3presign/presign/examples/internal/store"
	"github.com/s3presign/presign/examples/upload"
)

const (
	bucket  = "uploads"
	mib     = 1 << 20
	maxWait = 4 * time.Minute // the longest time for a large file on a slow machine
)

// anyFile is a policy for most tests.
var anyFile = presign.Policy{
	Prefix: "incoming/", FinalPrefix: "files/", Types: []string{"*/*"}, MaxSize: 3 << 30,
	Headers: map[string]string{"Cache-Control": "no-cache"},
}

// A gate stands before a server and can disturb requests.
type gate struct {
	next http.Handler

	mu      sync.Mutex
	seen    []string // method and last segment of each request from a page
	running int
	most    int // the largest number of requests at once
	disturb []disturbance
	line    *timeline // records all requests, unless it is nil
}

// A timeline delays each request and records its start and end.
type timeline struct {
	delay time.Duration

	mu    sync.Mutex
	spans []span
}

type span struct{ start, end time.Time }

// measure serves a request after the delay.
func (l *timeline) measure(w http.ResponseWriter, r *http.Request, next http.Handler) {
	start := time.Now()
	<-time.After(l.delay) // This simulates the latency between a client and the server.
	next.ServeHTTP(w, r)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spans = append(l.spans, span{start, time.Now()})
}

// depth returns the length of the longest sequence of requests that followed
// one another, and clears the timeline.
func (l *timeline) depth() (deepest int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.SortFunc(l.spans, func(a, b span) int { return a.start.Compare(b.start) })
	depths := make([]int, len(l.spans))
	for i, s := range l.spans {
		depths[i] = 1
		for j := range i {
			if !l.spans[j].end.After(s.start) {
				depths[i] = max(depths[i], depths[j]+1)
			}
		}
		deepest = max(deepest, depths[i])
	}
	l.spans = nil
	return deepest
}

// A disturbance handles or delays a request of a page. It returns false if the
// gate must still serve the request.
type disturbance func(w http.ResponseWriter, r *http.Request, next http.Handler) bool

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.line != nil && (r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "") {
		g.line.measure(w, r, http.HandlerFunc(g.serve))
		return
	}
	g.serve(w, r)
}

func (g *gate) serve(w http.ResponseWriter, r *http.Request) {
	// Requests of the service to the store have no Origin.
	if r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Site") == "" ||
		r.Method == http.MethodOptions {
		g.next.ServeHTTP(w, r)
		return
	}
	g.mu.Lock()
	g.seen = append(g.seen, r.Method+" "+describe(r.URL))
	g.running++
	g.most = max(g.most, g.running)
	all := slices.Clone(g.disturb)
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.running--
	}()
	for _, disturb := range all {
		if disturb(w, r, g.next) {
			return
		}
	}
	g.next.ServeHTTP(w, r)
}

// describe returns the number of a part, or the last segment of a path.
func describe(u *url.URL) string {
	if part := u.Query().Get("partNumber"); part != "" {
		return "part " + part
	}
	if strings.HasSuffix(u.Path, "/") {
		return "/"
	}
	return path.Base(u.Path)
}

// add adds a disturbance until the next call of requests.
func (g *gate) add(d disturbance) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.disturb = append(g.disturb, d)
}

// requests returns the requests of pages since the last call, and removes all
// disturbances.
func (g *gate) requests() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	seen := g.seen
	g.seen, g.disturb, g.most = nil, nil, g.running
	return seen
}

// concurrency returns the largest number of requests at once.
func (g *gate) concurrency() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.most
}

// times lets d disturb the first n requests with this method and description.
// An empty description matches any.
func times(n int, method, description string, d disturbance) disturbance {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		if r.Method != method || description != "" && describe(r.URL) != description {
			return false
		}
		mu.Lock()
		n--
		disturbs := n >= 0
		mu.Unlock()
		return disturbs && d(w, r, next)
	}
}

// lose serves the request and closes the connection in place of the response.
func lose(_ http.ResponseWriter, r *http.Request, next http.Handler) bool {
	next.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

// respond returns a disturbance that responds with a status, a body and
// headers.
func respond(status int, body string, header ...string) disturbance {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Expose-Headers", "Retry-After")
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
		return true
	}
}

// busy responds with 503 and asks the client to wait for a second.
var busy = respond(http.StatusServiceUnavailable, "{}", "Retry-After", "1")

// A shop is a page with its service and its store, which are behind gates.
type shop struct {
	*browser.Page
	t              *testing.T
	origin         string
	client         *s3.Client
	signer         *presign.Signer
	mux            *http.ServeMux
	service, store *gate
}

// A testCase holds options of a shop.
type testCase struct {
	signer       []presign.SignerOption
	handler      []presign.HandlerOption
	authenticate func(*http.Request) (string, error)
	wrap         func(http.Handler) http.Handler // wraps the service, unless it is nil
}

// open opens a page of a service with this policy in a headless Chromium.
func open(t *testing.T, policy presign.Policy, c testCase) *shop {
	t.Helper()
	s := serve(t, policy, c)
	s.Page = browser.Open(t)
	s.Do(chromedp.Navigate(s.origin + "/blank"))
	return s
}

// serve starts the service and the store of a shop.
func serve(t *testing.T, policy presign.Policy, c testCase) *shop {
	t.Helper()
	server, err := store.Start(context.Background(), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	s := &shop{t: t, client: server.Client(), mux: http.NewServeMux()}
	target, err := url.Parse(server.URL)
	require.NoError(t, err)
	s.store = &gate{next: &httputil.ReverseProxy{
		// The Host header must not change, because it is signed.
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = target.Scheme, target.Host
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler)
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}}
	front := listen(t, s.store)
	page := listen(t, s.mux)
	s.origin = page.URL
	require.NoError(t, server.CreateBucket(t.Context(), bucket, page.URL))

	options := append([]presign.SignerOption{presign.WithSecret([]byte(rand.Text() + rand.Text()))},
		c.signer...)
	client := server.Client(func(o *s3.Options) { o.BaseEndpoint = &front.URL })
	s.signer, err = presign.NewSigner(client, bucket, policy, options...)
	require.NoError(t, err)
	authenticate := c.authenticate
	if authenticate == nil {
		authenticate = func(*http.Request) (string, error) { return "alice", nil }
	}
	uploads, err := presign.NewHandler(s.signer, authenticate, c.handler...)
	require.NoError(t, err)
	var handler http.Handler = uploads
	if c.wrap != nil {
		handler = c.wrap(handler)
	}
	s.service = &gate{next: http.StripPrefix("/uploads", handler)}
	s.mux.Handle("/uploads/", s.service)
	s.mux.HandleFunc("GET /upload.js", upload.Serve)
	s.mux.HandleFunc("GET /blank", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w,
			`<!doctype html><link rel="icon" href="data:,"><title>Blank</title>`)
	})
	s.mux.HandleFunc("GET /{$}",
		func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "testdata/page.html") })
	return s
}

// listen serves until the test ends.
func listen(t *testing.T, handler http.Handler) *httptest.Server {
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	return server
}

// An outcome is the result of an upload in a script.
type outcome struct {
	Key, GrantID   string
	Size           int64
	Name, By, Code string // fields of the error
	Status         int
	Message        string
	Phases         []string
	Errors         []presign.Violation
}

// script is a script around JavaScript that uses the module.
const script = `(async () => {
	const {
		UploadError, checksum, complete, limits, requestGrant, send, upload, uploadAll,
	} = await import("/upload.js");
	const endpoint = "/uploads/";
	const phases = [];
	const onProgress = ({ phase }) => { if (phases.at(-1) !== phase) phases.push(phase); };
	const bytes = (size, fill = 120) => new Uint8Array(size).fill(fill);
	const text = (size, name = "notes.txt", fill) => {
		return new File([bytes(size, fill)], name, { type: "text/plain" });
	};
	const settle = (promise) => promise.then(
		({ key, grant_id, size }) => ({ Key: key, GrantID: grant_id, Size: size, Phases: phases }),
		({ name, by, code, status, message, errors }) => ({
			Name: name, By: by, Code: String(code), Status: status, Message: message,
			Errors: errors, Phases: phases,
		}));
	%s
})()`

// run evaluates a script that uses the exports of the module.
func run[T any](s *shop, body string) T {
	s.t.Helper()
	return browser.Evaluate[T](s.Page, fmt.Sprintf(script, body), chromedp.EvalAwaitPromise)
}

// upload uploads a file, given in JavaScript, with more options.
func (s *shop) upload(file, options string) outcome {
	s.t.Helper()
	return run[outcome](s,
		fmt.Sprintf(`return settle(upload(%s, { endpoint, onProgress, %s }));`, file, options))
}

// keys returns the keys of the objects in the bucket.
func (s *shop) keys() []string {
	s.t.Helper()
	listed, err := s.client.ListObjectsV2(s.t.Context(),
		&s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
	require.NoError(s.t, err)
	keys := []string{}
	for _, object := range listed.Contents {
		keys = append(keys, *object.Key)
	}
	return keys
}

// uploads returns the number of multipart uploads that have not ended.
func (s *shop) uploads() int {
	listed, err := s.client.ListMultipartUploads(context.Background(),
		&s3.ListMultipartUploadsInput{Bucket: aws.String(bucket)})
	require.NoError(s.t, err)
	return len(listed.Uploads)
}

// sum returns the SHA-256 of an object.
func (s *shop) sum(key string) string {
	s.t.Helper()
	object, err := s.client.GetObject(s.t.Context(),
		&s3.GetObjectInput{Bucket: aws.String(bucket), Key: &key})
	require.NoError(s.t, err)
	defer object.Body.Close()
	hash := sha256.New()
	_, err = io.Copy(hash, object.Body)
	require.NoError(s.t, err)
	return hex.EncodeToString(hash.Sum(nil))
}

// writeFile writes a file of random bytes, and returns its path and SHA-256.
func writeFile(t *testing.T, name string, size int64) (path, sum string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	out, err := os.Create(path)
	require.NoError(t, err)
	hash := sha256.New()
	_, err = io.CopyN(io.MultiWriter(out, hash), mathrand.NewChaCha8(sha256.Sum256([]byte(name))),
		size)
	require.NoError(t, err)
	require.NoError(t, out.Close())
	return path, hex.EncodeToString(hash.Sum(nil))
}

// overwrite replaces the first bytes of a file.
func overwrite(t *testing.T, path, prefix string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte(prefix), 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func sumFile(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	hash := sha256.New()
	_, err = io.Copy(hash, f)
	require.NoError(t, err)
	return hex.EncodeToString(hash.Sum(nil))
}

// storedParts returns the number of parts of the only multipart upload at the
// store.
func (s *shop) storedParts() int {
	listed, err := s.client.ListMultipartUploads(context.Background(),
		&s3.ListMultipartUploadsInput{Bucket: aws.String(bucket)})
	if err != nil || len(listed.Uploads) != 1 {
		return 0
	}
	parts, err := s.client.ListParts(context.Background(),
		&s3.ListPartsInput{Bucket: aws.String(bucket), Key: listed.Uploads[0].Key,
			UploadId: listed.Uploads[0].UploadId})
	if err != nil {
		return 0
	}
	return len(parts.Parts)
}

// choose selects a file in the page's input, and waits for the page's output.
func (s *shop) choose(path string) (output string) {
	s.t.Helper()
	s.Do(chromedp.SetUploadFiles("#file", []string{path}),
		chromedp.Poll[chromedp.Void](`out.value`, chromedp.WithPollingTimeout(maxWait)))
	return browser.Evaluate[string](s.Page, `out.value`)
}

// quote returns a JavaScript string.
func quote(v string) string {
	b, _ := json.Marshal(v)
	return string(b)
}
