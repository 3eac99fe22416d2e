package upload_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/chromedp/chromedp"
	"github.com/jub0bs/cors"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/browser"
)

func TestModuleIsSmall(t *testing.T) {
	source, err := os.ReadFile("upload.js")
	require.NoError(t, err)
	var compressed bytes.Buffer
	w, err := gzip.NewWriterLevel(&compressed, gzip.BestCompression)
	require.NoError(t, err)
	_, err = w.Write(source)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.LessOrEqual(t, compressed.Len(), 10<<10)
	require.NotContains(t, strings.ReplaceAll(string(source), `//   import {`, ""), "\nimport ",
		"the module must not have dependencies")
}

// TestPage checks that one input and five lines upload files of any size, and
// continue after a reload.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("testdata/page.html")
	require.NoError(t, err)
	_, lines, _ := strings.Cut(string(page), `<script type="module">`+"\n")
	lines, _, _ = strings.Cut(lines, "</script>")
	require.Equal(t, 5, strings.Count(lines, "\n"))

	s := open(t, anyFile, testCase{})
	s.Do(chromedp.Navigate(s.origin), browser.Until(`file.accept`))
	require.Equal(t, "*/*", browser.Evaluate[string](s.Page, `file.accept`))
	for _, c := range []struct {
		name     string
		size     int64
		requests []string // to the service
		parts    int
	}{
		{"small.txt", 1 << 10, []string{"POST /", "POST complete"}, 0},
		{"medium.pdf", 12 * mib, []string{"POST /", "POST complete"}, 0},
		{"large.bin", 20 * mib, []string{"POST /", "POST sign", "POST complete"}, 4},
		{"huge.bin", 200 * mib, []string{"POST /", "POST sign", "POST complete"}, 40},
	} {
		path, sum := writeFile(t, c.name, c.size)
		if c.name == "medium.pdf" {
			overwrite(t, path, "%PDF-1.7\n")
			sum = sumFile(t, path)
		}
		s.Do(chromedp.Reload(), browser.Until(`file.accept`))
		s.service.requests()
		s.store.requests()
		key := s.choose(path)
		require.True(t, strings.HasPrefix(key, "files/") && strings.HasSuffix(key, "/"+c.name), key)
		require.Equal(t, sum, s.sum(key))
		require.Equal(t, c.requests, s.service.requests())
		require.Len(t, s.store.requests(), max(1, c.parts))
	}
	require.Zero(t, s.uploads())

	// The gate holds all parts after the first 20 while the page is reloaded.
	path, sum := writeFile(t, "again.bin", 200*mib)
	s.Do(chromedp.Reload(), browser.Until(`file.accept`))
	s.service.requests()
	s.store.requests()
	s.store.add(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if number, _ := strconv.Atoi(r.URL.Query().Get("partNumber")); number <= 20 {
			return false
		}
		return hold(nil, r, nil)
	})
	s.Do(chromedp.SetUploadFiles("#file", []string{path}),
		chromedp.Poll[chromedp.Void](`bar.value >= 0.5`, chromedp.WithPollingTimeout(maxWait)))
	require.Eventually(t, func() bool {
		return s.storedParts() == 20
	}, maxWait, 20*time.Millisecond)
	s.Do(browser.Until(`(async () => (` + recordedUploads + `)[0]?.done?.length === 20)()`))
	s.Do(chromedp.Reload(), browser.Until(`file.accept`))
	s.store.requests()
	require.Equal(t, 1, s.uploads(), "the same upload must continue")
	key := s.choose(path)
	require.Equal(t, sum, s.sum(key))
	require.Equal(t, 1, countEqual(s.service.requests(), "POST /"))
	sent := s.store.requests()
	require.Len(t, sent, 20)
	for number := 21; number <= 40; number++ {
		require.Contains(t, sent, fmt.Sprintf("PUT part %d", number))
	}
	require.Zero(t, s.uploads())
}

// TestReopenedBrowser checks that an upload continues after the browser was
// closed, once the user selects the file again.
func TestReopenedBrowser(t *testing.T) {
	s := serve(t, anyFile, testCase{})
	profile := t.TempDir()
	s.Page = browser.OpenProfile(t, profile, maxWait)
	s.Do(chromedp.Navigate(s.origin), browser.Until(`file.accept`))
	path, sum := writeFile(t, "again.bin", 40*mib)
	s.store.add(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		number, _ := strconv.Atoi(r.URL.Query().Get("partNumber"))
		return number > 5 && hold(nil, r, nil)
	})
	s.Do(chromedp.SetUploadFiles("#file", []string{path}))
	require.Eventually(t, func() bool { return s.storedParts() == 5 }, maxWait, 20*time.Millisecond)
	s.Do(browser.Until(`(async () => (` + recordedUploads + `)[0]?.done?.length === 5)()`))
	s.Close()
	s.store.requests()

	s.Page = browser.OpenProfile(t, profile, maxWait)
	s.Do(chromedp.Navigate(s.origin), browser.Until(`file.accept`))
	require.Equal(t, 1, s.uploads(), "the same upload must continue")
	require.Equal(t, sum, s.sum(s.choose(path)))
	require.ElementsMatch(t, []string{"PUT part 6", "PUT part 7", "PUT part 8"}, s.store.requests())
	require.Equal(t, 1, countEqual(s.service.requests(), "POST /"))
	require.Zero(t, s.uploads())
}

// TestMemory checks that the numbers of bytes that the module reads and sends
// at once do not depend on the size of the file.
func TestMemory(t *testing.T) {
	policy := anyFile
	policy.Checksum = types.ChecksumAlgorithmCrc32c
	s := open(t, policy, testCase{})
	s.Do(chromedp.Navigate(s.origin), browser.Until(`file.accept`))
	browser.Evaluate[chromedp.Void](s.Page, countBytes)
	var most []memory
	for _, size := range []int64{40 * mib, 200 * mib} {
		path, sum := writeFile(t, fmt.Sprintf("%d.bin", size), size)
		require.Equal(t, sum, s.sum(s.choose(path)))
		browser.Evaluate[chromedp.Void](s.Page, `out.value = ""`)
		most = append(most, browser.Evaluate[memory](s.Page, `most`))
	}
	require.Equal(t, most[0], most[1], "a file of five times the size must not use more")
	require.LessOrEqual(t, most[1].Read, int64(4*mib),
		"the module must compute the checksum piece by piece")
	require.Equal(t, int64(6*5*mib), most[1].Sent, "six parts of 5 MiB must be sent at once")
}

// A memory holds the largest number of bytes that a page has read at once, and
// that it has sent at once.
type memory struct{ Read, Sent int64 }

// countBytes is a script that records the memory of a page in most. The
// counters do not work in a Worker, so the script removes Worker and the page
// computes checksums itself.
const countBytes = `
	window.most = { Read: 0, Sent: 0 };
	window.Worker = undefined;
	const now = { Read: 0, Sent: 0 };
	const add = (kind, bytes) => {
		now[kind] += bytes;
		most[kind] = Math.max(most[kind], now[kind]);
	};
	const { arrayBuffer } = Blob.prototype;
	Blob.prototype.arrayBuffer = async function () {
		add("Read", this.size);
		return arrayBuffer.call(this).finally(() => add("Read", -this.size));
	};
	const { send } = XMLHttpRequest.prototype;
	XMLHttpRequest.prototype.send = function (body) {
		add("Sent", body.size);
		this.addEventListener("loadend", () => add("Sent", -body.size));
		send.call(this, body);
	};
`

// TestViolation checks that a page receives the codes and messages of the
// service.
func TestViolation(t *testing.T) {
	policy := anyFile
	policy.Types, policy.MaxSize = []string{"image/png", "text/plain"}, 1<<20
	s := open(t, policy, testCase{})
	got := s.upload(`text(8, "page.html")`, ``)
	require.Equal(t, "UploadError service contradicts_name 422",
		fmt.Sprint(got.Name, " ", got.By, " ", got.Code, " ", got.Status))
	got = s.upload(`new File([bytes(2 ** 20 + 1)], "large.png", { type: "image/png" })`, ``)
	require.Equal(t, "too_large", got.Code)
	require.Equal(t, int64(1<<20), got.Errors[0].Max)
	require.Contains(t, got.Message, "size must be at most 1048576 bytes")

	got = s.upload(
		`new File(["<!doctype html><title>Log in</title>"], "holiday.png", { type: "image/png" })`,
		``)
	require.Equal(t, "contradicts_content", got.Code)
	require.Contains(t, got.Message, "looks like text/html")
	require.Equal(t, []string{"sending", "verifying"}, got.Phases)
	require.Empty(t, s.keys())

	path, _ := writeFile(t, "noise.png", 1024)
	s.Do(chromedp.Navigate(s.origin), browser.Until(`file.accept`))
	require.Equal(t, "image/png,text/plain", browser.Evaluate[string](s.Page, `file.accept`))
	require.Contains(t, s.choose(path), "type must match the content",
		"the page must show the message")
}

// TestFaults checks that an upload survives one fault of each kind at each
// step.
func TestFaults(t *testing.T) {
	s := open(t, anyFile, testCase{})
	for _, c := range []struct {
		name, file, options string
		requests            []string // the requests to disturb, each after "service" or "store"
	}{
		{"PUT", `text(12 << 20)`, `method: "PUT"`, []string{
			"service GET /", "service POST /", "store PUT notes.txt", "service POST complete",
		}},
		{"form", `text(1 << 10)`, `method: "POST"`, []string{"store POST " + bucket}},
		{"multipart", `text(12 << 20)`, `method: "multipart"`, []string{
			"service POST /", "service POST sign", "store PUT part 1", "store PUT part 3",
			"service POST complete",
		}},
	} {
		for _, request := range c.requests {
			side, rest, _ := strings.Cut(request, " ")
			method, description, _ := strings.Cut(rest, " ")
			for fault, disturb := range map[string]disturbance{"503": busy, "lost": lose} {
				t.Run(c.name+" "+request+" "+fault, func(t *testing.T) {
					s := &shop{Page: s.With(t), t: t, client: s.client, store: s.store,
						service: s.service}
					s.Do(chromedp.Reload()) // The limits are read again.
					s.service.requests()
					s.store.requests()
					disturbed := make(chan struct{}, 1)
					gate := map[string]*gate{"service": s.service, "store": s.store}[side]
					gate.add(times(1, method, description,
						func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
							disturbed <- struct{}{}
							return disturb(w, r, next)
						}))
					before := len(s.keys())
					got := s.upload(c.file, c.options)
					require.Empty(t, got.Message)
					require.NotEmpty(t, got.Key)
					require.Len(t, disturbed, 1)
					require.Equal(t, 1, countPublished(s.keys())-before)
				})
			}
		}
	}
}

// TestLostResponses checks that the module does not report a stored file as
// failed, even if the responses to its PUTs are lost.
func TestLostResponses(t *testing.T) {
	s := open(t, anyFile, testCase{})
	for _, lost := range []int{1, 2, 3} {
		s.store.add(times(lost, "PUT", "notes.txt", lose))
		got := s.upload(`text(1 << 20)`, ``)
		require.Empty(t, got.Message, "%d lost", lost)
		require.Equal(t, lost, countPublished(s.keys()))
		require.Greater(t, countEqual(s.store.requests(), "PUT notes.txt"), lost,
			"a repeated PUT must receive 412")
	}
	s.store.add(times(99, "PUT", "notes.txt",
		func(http.ResponseWriter, *http.Request, http.Handler) bool {
			panic(http.ErrAbortHandler)
		}))
	got := s.upload(`text(1 << 20)`, ``)
	require.Equal(t, "store network 0", fmt.Sprint(got.By, " ", got.Code, " ", got.Status))
}

// TestTaken checks that 412 is not success if another file has the key that the
// service chose.
func TestTaken(t *testing.T) {
	policy := anyFile
	policy.FinalPrefix = ""
	owner := "alice"
	s := open(t, policy, testCase{
		authenticate: func(*http.Request) (string, error) { return owner, nil },
		handler: []presign.HandlerOption{presign.WithAuthorize(
			func(_ *http.Request, u *presign.Upload) error {
				u.Key = "incoming/report.txt"
				return nil
			})},
	})
	require.NotEmpty(t, s.upload(`text(10)`, ``).Key)
	for _, owner = range []string{"alice", "bob"} {
		got := s.upload(`text(10, "notes.txt", 121)`, ``)
		require.Equal(t, "taken 412", fmt.Sprint(got.Code, " ", got.Status), owner)
		require.Equal(t, []string{"incoming/report.txt"}, s.keys())
	}
	s.store.add(times(1, "PUT", "report.txt", lose))
	got := s.upload(`text(10, "notes.txt", 121)`, ``)
	require.Equal(t, "taken", got.Code)
}

// expire delays a request until its signature, or the policy of its form, has
// expired.
func expire(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	signed, timeErr := time.Parse("20060102T150405Z", r.URL.Query().Get("X-Amz-Date"))
	seconds, secondsErr := strconv.Atoi(r.URL.Query().Get("X-Amz-Expires"))
	end := signed.Add(time.Duration(seconds) * time.Second)
	if r.Method == http.MethodPost {
		end, timeErr, secondsErr = expiryOfForm(r.Header.Get("Content-Type"), body), nil, nil
	}
	if err == nil && timeErr == nil && secondsErr == nil {
		<-time.After(time.Until(end.Add(1100 * time.Millisecond)))
	}
	return false
}

// expiryOfForm returns the expiration of the policy of a form.
func expiryOfForm(contentType string, body []byte) time.Time {
	var policy struct{ Expiration time.Time }
	_, parameters, _ := mime.ParseMediaType(contentType)
	form, err := multipart.NewReader(bytes.NewReader(body),
		parameters["boundary"]).ReadForm(64 << 20)
	if err == nil {
		encoded, _ := base64.StdEncoding.DecodeString(form.Value["policy"][0])
		_ = json.Unmarshal(encoded, &policy)
	}
	return policy.Expiration
}

// TestExpiredGrant checks that grants and URLs of parts are renewed when they
// have expired, but only once.
func TestExpiredGrant(t *testing.T) {
	policy := anyFile
	policy.Lifetime = time.Second
	s := open(t, policy, testCase{})
	s.store.add(times(1, "PUT", "notes.txt", expire))
	got := s.upload(`text(1 << 20)`, ``)
	require.Empty(t, got.Message)
	require.Equal(t, []string{"GET /", "POST /", "POST /", "POST complete"}, s.service.requests())

	s.store.requests()
	s.store.add(times(1, "PUT", "part 2", expire))
	got = s.upload(`text(12 << 20)`, `method: "multipart"`)
	require.Empty(t, got.Message)
	require.GreaterOrEqual(t, countEqual(s.service.requests(), "POST sign"), 2)

	s.store.requests()
	s.store.add(times(9, "PUT", "notes.txt", expire))
	got = s.upload(`text(1 << 20)`, ``)
	require.Equal(t, "store AccessDenied 403", fmt.Sprint(got.By, " ", got.Code, " ", got.Status))
	require.Equal(t, 2, countEqual(s.service.requests(), "POST /"))
}

// hold keeps a request until its client disconnects.
func hold(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
	// The server detects a disconnected client only after the body was read.
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
	return true
}

// TestCancel checks that an aborted upload leaves nothing at the store.
func TestCancel(t *testing.T) {
	s := open(t, anyFile, testCase{})
	for _, method := range []string{"PUT", "multipart"} {
		s.store.add(times(9, "PUT", "", hold))
		got := run[outcome](s, fmt.Sprintf(`
			const controller = new AbortController();
			const { signal } = controller;
			const stop = ({ phase, loaded }) => {
				if (phase === "sending" && loaded > 0) controller.abort();
			};
			const options = { endpoint, method: %q, signal, onProgress: stop };
			return settle(upload(text(12 << 20), options));`, method))
		require.Equal(t, "AbortError", got.Name)
		require.Empty(t, s.keys())
		require.Zero(t, s.uploads())
	}
	require.Contains(t, s.service.requests(), "POST abort")

	s.store.requests()
	// The page aborts the upload before it receives the ID.
	s.service.add(times(1, "POST", "/",
		func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
			browser.Evaluate[chromedp.Void](s.Page, `window.controller.abort()`)
			return false
		}))
	got := run[outcome](s, `
		window.controller = new AbortController();
		const { signal } = controller;
		return settle(upload(text(12 << 20), { endpoint, method: "multipart", signal }));`)
	require.Equal(t, "AbortError", got.Name)
	require.Zero(t, s.uploads())
	require.Empty(t, s.store.requests(), "the module must not send parts")

	got = run[outcome](s,
		`return settle(upload(text(8), { endpoint, signal: AbortSignal.abort() }));`)
	require.Equal(t, "AbortError", got.Name)
}

// TestPending checks that a page repeats a completion while the service returns
// the code pending.
func TestPending(t *testing.T) {
	s := open(t, anyFile, testCase{})
	pending := respond(http.StatusConflict, `{
		"type": "about:blank", "title": "Conflict", "status": 409,
		"errors": [{"field": "upload", "code": "pending", "detail": "is being inspected"}],
		"message": "The upload is being inspected.", "retry_after": 1
	}`,
		"Retry-After", "1", "Content-Type", "application/problem+json")
	for _, method := range []string{"PUT", "multipart"} {
		s.service.requests()
		s.service.add(times(6, "POST", "complete", pending))
		got := s.upload(`text(6 << 20)`, fmt.Sprintf("method: %q", method))
		require.Empty(t, got.Message)
		require.Equal(t, []string{"sending", "verifying", "pending"}, got.Phases)
		require.Equal(t, 7, countEqual(s.service.requests(), "POST complete"),
			"a pending completion must not have a limit of attempts")
	}
	s.service.add(times(1, "POST", "complete", pending))
	got := run[outcome](s, `
		const controller = new AbortController();
		const stop = ({ phase }) => { if (phase === "pending") controller.abort(); };
		return settle(upload(text(8), { endpoint, signal: controller.signal, onProgress: stop }));`)
	require.Equal(t, "AbortError", got.Name)
}

// TestRetryAfter checks that a page waits for the time of Retry-After, unless
// it is longer than two minutes.
func TestRetryAfter(t *testing.T) {
	s := open(t, anyFile, testCase{})
	var mu sync.Mutex
	var at []time.Time
	s.service.add(times(9, "POST", "/",
		func(http.ResponseWriter, *http.Request, http.Handler) bool {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Now())
			return false
		}))
	s.service.add(times(1, "POST", "/", respond(http.StatusTooManyRequests, `{"retry_after": 3}`)))
	require.Empty(t, s.upload(`text(8)`, ``).Message)
	require.Len(t, at, 2)
	require.GreaterOrEqual(t, at[1].Sub(at[0]), 2900*time.Millisecond)
	s.service.requests()
	s.service.add(times(1, "POST", "/",
		respond(http.StatusServiceUnavailable, `{"message": "Later."}`, "Retry-After", "3600")))
	got := s.upload(`text(8)`, ``)
	require.Equal(t, "http_503 Later.", got.Code+" "+got.Message)
}

// TestChecksums checks that the page computes the checksum that the policy
// requires, and that the store verifies it.
func TestChecksums(t *testing.T) {
	for _, c := range []struct {
		algorithm types.ChecksumAlgorithm
		methods   []string
	}{
		{types.ChecksumAlgorithmSha256, []string{"PUT", "POST"}},
		{types.ChecksumAlgorithmCrc32, []string{"PUT", "POST", "multipart"}},
		{types.ChecksumAlgorithmCrc32c, []string{"PUT", "multipart"}},
	} {
		t.Run(string(c.algorithm), func(t *testing.T) {
			policy := anyFile
			policy.Checksum, policy.MaxSize = c.algorithm, 20<<20
			s := open(t, policy, testCase{})
			browser.Evaluate[chromedp.Void](s.Page, `{
				const { Worker } = window;
				window.workers = 0;
				window.Worker = class extends Worker {
					constructor(...a) { super(...a); window.workers++; }
				};
			}`)
			for _, method := range c.methods {
				got := s.upload(`text(12 << 20)`, fmt.Sprintf("method: %q", method))
				require.Empty(t, got.Message)
				require.Equal(t, []string{"checksum", "sending", "verifying"}, got.Phases)
			}
			require.Equal(t, len(c.methods), browser.Evaluate[int](s.Page, `window.workers`))
			require.Equal(t, len(c.methods), countPublished(s.keys()))

			got := s.upload(`text(12 << 20)`,
				`checksum: await checksum(text(5), "`+string(c.algorithm)+`")`)
			require.Equal(t, "store", got.By, "the store must reject another checksum")
			got = s.upload(`text((20 << 20) + 1)`, ``)
			require.Equal(t, "too_large", got.Code)
			require.Empty(t, got.Phases, "the module must not read a file that is too large")

			// The page's Content-Security-Policy can forbid Workers.
			browser.Evaluate[chromedp.Void](s.Page,
				`window.Worker = class { constructor() { throw new Error("forbidden"); } }`)
			require.Empty(t, s.upload(`text(2 << 20)`, ``).Message)
		})
	}
}

// TestWorker checks that the module works in a Worker, and that it returns the
// errors of the store.
func TestWorker(t *testing.T) {
	s := open(t, anyFile, testCase{})
	s.mux.HandleFunc("GET /worker.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = io.WriteString(w, `import { upload } from "/upload.js";
			onmessage = async ({ data: { file, method } }) => postMessage(
				await upload(file, { endpoint: "/uploads/", method }).then(
					({ key, size }) => ({ Key: key, Size: size }),
					({ code, by }) => ({ Code: code, By: by })));`)
	})
	uploadInWorker := func(method string) outcome {
		return run[outcome](s, fmt.Sprintf(`
			const worker = new Worker("/worker.js", { type: "module" });
			worker.postMessage({ file: text(12 << 20), method: %q });
			return new Promise((resolve) => {
				worker.onmessage = ({ data }) => { worker.terminate(); resolve(data); };
			});`, method))
	}
	for _, method := range []string{"PUT", "multipart"} {
		require.Equal(t, int64(12<<20), uploadInWorker(method).Size)
	}
	s.store.add(times(1, "PUT", "", respond(http.StatusForbidden,
		`<Error><Code>AccessDenied</Code><Message>No &amp; no</Message></Error>`)))
	require.Equal(t, outcome{Code: "AccessDenied", By: "store"}, uploadInWorker("PUT"))
}

// TestOtherOrigin checks that a page can send tokens, renewed for each request,
// and cookies to a service of another origin.
func TestOtherOrigin(t *testing.T) {
	var mu sync.Mutex
	var tokens, cookies []string
	var origin string
	s := serve(t, anyFile, testCase{
		authenticate: func(r *http.Request) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			tokens = append(tokens, r.Header.Get("Authorization"))
			if cookie, err := r.Cookie("session"); err == nil {
				cookies = append(cookies, cookie.Value)
			}
			return "alice", nil
		},
		wrap: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				allow, err := cors.NewMiddleware(cors.Config{
					Origins: []string{origin}, Credentialed: true, Methods: []string{"GET", "POST"},
					RequestHeaders: []string{"Authorization", "Content-Type"},
				})
				if err != nil {
					panic(err)
				}
				allow.Wrap(next).ServeHTTP(w, r)
			})
		},
	})
	origin = s.origin
	service := listen(t, s.mux)
	// Another port is another origin.
	elsewhere, err := url.Parse(service.URL)
	require.NoError(t, err)
	s.mux.HandleFunc("GET /login", func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w,
			&http.Cookie{Name: "session", Value: "alice's", Path: "/", HttpOnly: true})
	})
	s.Page = browser.Open(t)
	s.Do(chromedp.Navigate(elsewhere.String()+"/login"), chromedp.Navigate(s.origin+"/blank"))
	got := run[outcome](s, fmt.Sprintf(`
		let n = 0;
		return settle(upload(text(6 << 20), {
			endpoint: %q, method: "multipart", credentials: "include",
			headers: async () => ({ Authorization: "Bearer " + ++n }),
		}));`, elsewhere.String()+"/uploads"))
	require.Empty(t, got.Message)
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []string{"Bearer 1", "Bearer 2", "Bearer 3", "Bearer 4"},
		tokens[len(tokens)-4:])
	require.Len(t, cookies, 4)
}

// TestUploadAll checks that several files share the limit of connections, and
// that one rejected file does not end the other uploads.
func TestUploadAll(t *testing.T) {
	s := open(t, anyFile, testCase{})
	s.store.requests()
	got := run[[]string](s, `
		const files = [1, 2, 3, 4, 5].map((n) => text(n << 20, n + ".txt")).concat(
			text(22 << 20, "6.txt"), text(8, "page.html"), text(1, "8.txt"));
		const names = new Set(), record = ({ file }) => names.add(file.name);
		const options = { endpoint, concurrency: 3, onProgress: record };
		const outcomes = await uploadAll(files, options);
		const results = outcomes.map(({ value, reason }) => value?.filename ?? reason.code);
		return [...results, [...names].sort().join()];`)
	require.Equal(t,
		[]string{"1.txt", "2.txt", "3.txt", "4.txt", "5.txt", "6.txt", "contradicts_name", "8.txt",
			"1.txt,2.txt,3.txt,4.txt,5.txt,6.txt,8.txt"}, got)
	require.LessOrEqual(t, s.store.concurrency(), 3)
	require.Greater(t, s.store.concurrency(), 1)
	require.Equal(t, 7, countPublished(s.keys()))
}

// TestEndedUploads checks that a page starts a new upload if the recorded
// multipart upload was aborted, and returns the object if it was completed.
func TestEndedUploads(t *testing.T) {
	s := open(t, anyFile, testCase{})
	const file = `
		const options = { type: "text/plain", lastModified: 1e12 };
		const file = new File([bytes(12 << 20)], "notes.txt", options);
	`
	const again = file + `return settle(upload(file, { endpoint, method: "multipart" }));`
	// fail rejects a part after the page has received the responses to parts 1
	// and 2.
	fail := func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		s.Do(browser.Until(`(async () => (` + recordedUploads + `)[0]?.done?.length === 2)()`))
		return respond(http.StatusForbidden, `<Error><Code>AccessDenied</Code></Error>`)(w, r, next)
	}

	s.store.add(times(9, "PUT", "part 3", fail))
	require.Equal(t, "AccessDenied", run[outcome](s, again).Code)
	require.Equal(t, 1, s.uploads(), "the upload must not end")
	s.store.requests()
	require.Empty(t, run[outcome](s, again).Message)
	require.Equal(t, []string{"PUT part 3"}, s.store.requests())

	s.store.add(times(9, "PUT", "part 3", fail))
	require.Equal(t, "AccessDenied", run[outcome](s, again).Code)
	s.store.requests()
	id := run[string](s, `return (`+recordedUploads+`)[0].id`)
	run[chromedp.Void](s, fmt.Sprintf(`await fetch("/uploads/abort", {
		method: "POST", headers: { "Content-Type": "application/json" },
		body: JSON.stringify({ id: %q }),
	});`, id))
	require.Empty(t, run[outcome](s, again).Message)
	require.Len(t, s.store.requests(), 3, "all parts must be sent again")

	// The service completes the upload, but the page receives no response, as if
	// it was closed.
	s.service.requests()
	s.service.add(times(9, "POST", "complete", lose))
	require.Equal(t, "network", run[outcome](s, again).Code)
	s.service.requests()
	before := s.keys()
	require.Empty(t, run[outcome](s, again).Message)
	require.Equal(t, []string{"POST list", "POST complete"}, s.service.requests())
	require.Equal(t, before, s.keys())
	require.Zero(t, run[int](s, `return (`+recordedUploads+`).length`),
		"the browser's database must be empty")
}

// recordedUploads is an expression for the uploads in the browser's database.
const recordedUploads = `await new Promise((resolve) => {
	indexedDB.open("presign-uploads").onsuccess = ({ target: { result: database } }) => {
		const request = database.transaction("uploads").objectStore("uploads").getAll();
		request.onsuccess = () => { database.close(); resolve(request.result); };
	};
})`

// TestCutParts checks that parts whose requests were cut off are sent again,
// even if the store lists them.
func TestCutParts(t *testing.T) {
	s := open(t, anyFile, testCase{})
	const again = `
		const options = { type: "text/plain", lastModified: 1e12 };
		const file = new File([bytes(12 << 20)], "notes.txt", options);
		return settle(upload(file, { endpoint, method: "multipart" }));`
	sum := sha256.Sum256(bytes.Repeat([]byte("x"), 12<<20))
	for range 3 {
		// The page is sending other parts when this part fails.
		s.store.add(times(1, "PUT", "part 3",
			respond(http.StatusForbidden, `<Error><Code>AccessDenied</Code></Error>`)))
		require.Equal(t, "AccessDenied", run[outcome](s, again).Code)
		s.store.requests()
		got := run[outcome](s, again)
		require.Empty(t, got.Message)
		require.Equal(t, hex.EncodeToString(sum[:]), s.sum(got.Key))
	}
}

func countEqual(all []string, one string) (n int) {
	for _, v := range all {
		if v == one {
			n++
		}
	}
	return n
}

// countPublished returns the number of keys under the final prefix.
func countPublished(keys []string) int {
	return len(slices.DeleteFunc(slices.Clone(keys),
		func(key string) bool { return !strings.HasPrefix(key, "files/") }))
}
