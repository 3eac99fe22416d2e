package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/browser"
	"github.com/s3presign/presign/examples/internal/store"
	uploadmodule "github.com/s3presign/presign/examples/upload"
)

// A witness is a proxy before the store that records uploads and copies.
type witness struct {
	URL   string
	store atomic.Pointer[url.URL]

	mu        sync.Mutex
	sent      map[string]bool      // keys of uploads that a client has started to send
	stored    map[string]time.Time // keys of uploads that the store has acknowledged
	published map[string]time.Time // keys of uploads that the store has copied
}

var formKey = regexp.MustCompile(`name="key"\r\n\r\n([^\r]+)\r\n`)

// A prefixReader keeps the first bytes that are read from a body.
type prefixReader struct {
	io.ReadCloser

	mu   sync.Mutex
	kept []byte
}

func (b *prefixReader) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept = append(b.kept, p[:min(n, max(0, 32<<10-len(b.kept)))]...)
	return n, err
}

// field returns the value of a form field that pattern matches, or "".
func (b *prefixReader) field(pattern *regexp.Regexp) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if found := pattern.FindSubmatch(b.kept); found != nil {
		return string(found[1])
	}
	return ""
}

type bodyKey struct{}

func newWitness(t *testing.T) *witness {
	t.Helper()
	w := &witness{
		sent: make(map[string]bool), stored: make(map[string]time.Time),
		published: make(map[string]time.Time),
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", w.store.Load().Host
		},
		ModifyResponse: func(response *http.Response) error {
			w.recordResponse(response)
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler)
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		body := &prefixReader{ReadCloser: r.Body}
		r = r.WithContext(context.WithValue(r.Context(), bodyKey{}, body))
		r.Body = body
		defer w.recordRequest(r) // This includes requests whose client has disconnected.
		proxy.ServeHTTP(out, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	w.URL = server.URL
	return w
}

// recordRequest records that a client has sent at least a part of an upload.
func (w *witness) recordRequest(r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if key := uploadKey(r); key != "" {
		w.sent[key] = true
	}
}

// uploadKey returns the key of a PUT, of a form, or of the request that
// completes a multipart upload.
func uploadKey(r *http.Request) string {
	q, key := r.URL.Query(), strings.TrimPrefix(r.URL.Path, "/worker/")
	put := r.Method == http.MethodPut && !q.Has("uploadId") &&
		r.Header.Get("X-Amz-Copy-Source") == ""
	join := r.Method == http.MethodPost && q.Has("uploadId")
	if body, ok := r.Context().Value(bodyKey{}).(*prefixReader); ok &&
		r.Method == http.MethodPost && r.URL.Path == "/worker" {
		return body.field(formKey)
	}
	if (put || join) && strings.HasPrefix(key, "incoming/") {
		return key
	}
	return ""
}

// recordResponse records a stored or published upload if the store has
// succeeded.
func (w *witness) recordResponse(response *http.Response) {
	r := response.Request
	if response.StatusCode >= 300 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if key := uploadKey(r); key != "" {
		w.stored[key] = time.Now()
	}
	if r.Method == http.MethodPut && r.Header.Get("X-Amz-Copy-Source") != "" {
		key := "incoming/" + strings.TrimPrefix(r.URL.Path, "/worker/files/")
		if w.published[key].IsZero() {
			w.published[key] = time.Now()
		}
	}
}

// A system holds all parts that can crash: a page, a service, a store and a
// worker.
type system struct {
	*environment
	t       *testing.T
	random  *rand.Rand
	witness *witness
	service atomic.Pointer[http.Handler]
	site    *httptest.Server

	kill func(syscall.Signal) error // sends a signal to the worker and waits for its end
}

func newSystem(t *testing.T, seed uint64) *system {
	t.Helper()
	w := &system{
		environment: newEnvironment(t), t: t, random: rand.New(rand.NewPCG(seed, 0)),
		witness: newWitness(t),
	}
	w.site = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		(*w.service.Load()).ServeHTTP(out, r)
	}))
	t.Cleanup(w.site.Close)
	w.endpoint = w.witness.URL
	w.startService()
	return w
}

// startService starts a service and a worker for the running store.
func (w *system) startService() {
	w.t.Helper()
	at, err := url.Parse(w.store.URL)
	require.NoError(w.t, err)
	w.witness.store.Store(at)
	_, err = w.store.Client().PutBucketCors(w.t.Context(), &s3.PutBucketCorsInput{
		Bucket: &w.bucket, CORSConfiguration: &types.CORSConfiguration{
			CORSRules: []types.CORSRule{store.CORSRule(w.site.URL)},
		},
	})
	require.NoError(w.t, err)
	client := w.store.Client(func(o *s3.Options) { o.BaseEndpoint = &w.witness.URL })
	w.signer, err = newSigner(client, w.bucket, []byte(secret), w.rows, newMetrics())
	require.NoError(w.t, err)
	uploads, err := presign.NewHandler(w.signer, func(*http.Request) (string, error) {
		return "alice", nil
	})
	require.NoError(w.t, err)
	mux := http.NewServeMux()
	mux.Handle("/uploads/", http.StripPrefix("/uploads", uploads))
	mux.HandleFunc("GET /upload.js", uploadmodule.Serve)
	mux.HandleFunc("GET /{$}", func(out http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(out,
			"<!doctype html><title>Uploads</title><link rel=icon href=data:,>")
	})
	var service http.Handler = mux
	w.service.Store(&service)
	w.kill, _ = w.start(w.t)
}

// killWorker kills the worker and starts another worker.
func (w *system) killWorker() {
	w.t.Helper()
	require.Error(w.t, w.kill(syscall.SIGKILL))
	w.kill, _ = w.start(w.t)
}

// killStore kills the store and its worker, and starts both again. The new
// store has new credentials, as after a rotation.
func (w *system) killStore() {
	w.t.Helper()
	require.NoError(w.t, w.store.Kill())
	require.Error(w.t, w.kill(syscall.SIGKILL))
	_ = w.store.Close() // Close returns an error, because the store was killed.
	connection, js, err := w.connect(w.t.Context())
	require.NoError(w.t, err)
	w.t.Cleanup(connection.Close)
	stop, err := w.startStore(w.t.Context(), js)
	require.NoError(w.t, err)
	w.t.Cleanup(stop)
	w.startService()
}

// visit opens a page in Chromium, which sends some files. Then visit calls
// crash and kills Chromium.
func (w *system) visit(t *testing.T, files int, crash func()) {
	page := browser.Open(t)
	page.Do(chromedp.Navigate(w.site.URL))
	for range files {
		script := fmt.Sprintf(`(async (size, method, complete) => {
			const { upload, requestGrant, send } = await import("/upload.js");
			const file = new File(["a".repeat(size)], "a.txt", { type: "text/plain" });
			if (complete || method === "multipart") {
				return upload(file, { endpoint: "/uploads/", method });
			}
			const wish = { filename: file.name, type: file.type, size: file.size, method };
			await send(await requestGrant(wish, { endpoint: "/uploads/" }), file);
		})(%d, %q, %t).catch(() => {}); undefined`, // The store might be dead.
			1<<10<<w.random.IntN(15)+w.random.IntN(4<<20), // up to 20 MiB
			[]string{"PUT", "POST", "multipart"}[w.random.IntN(3)], w.random.IntN(2) == 0)
		browser.Evaluate[any](page, script)
	}
	w.wait()
	crash()
	w.wait()
	page.Kill()
}

// wait waits for a random time, in which an upload might end.
func (w *system) wait() {
	time.Sleep(time.Duration(w.random.ExpFloat64() * float64(700*time.Millisecond)))
}

// TestUploadsSurviveCrashes checks that each file that the store has
// acknowledged is published with one row, and that no other file is published.
// It kills Chromium at random moments of uploads, the worker ten times and the
// store once.
func TestUploadsSurviveCrashes(t *testing.T) {
	browser.Find(t) // This skips the whole test, instead of each file, if Chromium is missing.
	files, seed := 30, uint64(time.Now().UnixNano())
	if text := os.Getenv("PRESIGN_CRASHES"); text != "" {
		var err error
		files, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	if text := os.Getenv("PRESIGN_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("PRESIGN_CRASHES=%d PRESIGN_SEED=%d", files, seed)
	w := newSystem(t, seed)
	for sent, fatal := 0, w.random.IntN(files); sent < files; {
		number := min(1+w.random.IntN(2), files-sent)
		t.Run(fmt.Sprint("file ", sent), func(t *testing.T) {
			w.visit(t, number, func() {
				switch {
				case sent <= fatal && fatal < sent+number:
					w.killStore()
				case sent*10/files != (sent+number)*10/files:
					w.killWorker()
				}
			})
		})
		sent += number
	}
	w.requirePublished(t)
}

// requirePublished waits until all uploads have been completed, and compares
// the published files with the uploads that the witness has recorded.
func (w *system) requirePublished(t *testing.T) {
	t.Helper()
	client := w.store.Client()
	require.Eventually(t, func() bool {
		return len(keys(t, client, w.bucket, "incoming/")) == 0
	}, 100*time.Second, 200*time.Millisecond)
	require.NoError(t, w.kill(syscall.SIGTERM))

	w.witness.mu.Lock()
	defer w.witness.mu.Unlock()
	var published []string
	for _, key := range keys(t, client, w.bucket, "files/") {
		key = "incoming/" + strings.TrimPrefix(key, "files/")
		published = append(published, key)
		require.True(t, w.witness.sent[key], "a client must have sent %s", key)
	}
	var delays []time.Duration
	prompt := 0
	for key, stored := range w.witness.stored {
		require.Contains(t, published, key)
		copied := w.witness.published[key]
		if copied.IsZero() {
			continue // The worker was killed before it received the response.
		}
		delay := copied.Sub(stored).Round(time.Millisecond)
		delays = append(delays, delay)
		require.LessOrEqual(t, delay, 90*time.Second)
		if delay <= 5*time.Second {
			prompt++
		}
	}
	slices.Sort(delays)
	t.Logf("%d sent, %d stored, %d published, %d of them within 5 s; delays: %v",
		len(w.witness.sent), len(w.witness.stored), len(published), prompt, delays)
	require.Greater(t, prompt, len(delays)/3,
		"events must complete uploads promptly, except forms on versitygw")
	require.Equal(t, len(published), w.rows.count(t))
	require.Len(t, ids(t, w.rows), len(published))
}
