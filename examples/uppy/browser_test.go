package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/examples/internal/browser"
	"github.com/s3presign/presign/examples/internal/relay"
	"github.com/s3presign/presign/examples/internal/site"
	"github.com/s3presign/presign/examples/internal/store"
)

const mib = 1 << 20

// A demo is the running demo, with a relay before its store.
type demo struct {
	t      *testing.T
	origin string
	relay  *relay.Relay
	client *s3.Client // connects to the store without the relay

	mu        sync.Mutex
	requests  []string // method, start of the last path segment, and status of each request
	started   int      // the number of multipart uploads that were started
	completed []int    // the number of parts at the store for each completion of a multipart upload
}

// start starts the demo with Uppy 6 or Uppy 5. In Uppy 5, an option of AwsS3
// has another name.
func start(t *testing.T, uppy int) *demo {
	t.Helper()
	here, err := site.Listen("127.0.0.1:0", "uppy")
	require.NoError(t, err)
	server, err := store.Start(context.Background(), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	require.NoError(t, server.CreateBucket(t.Context(), bucket, here.Origins()...))
	d := &demo{
		t: t, origin: here.Origins()[0], relay: relay.Start(t, server.URL), client: server.Client(),
	}

	service, err := newService(server.Client(func(o *s3.Options) {
		o.BaseEndpoint = &d.relay.URL
	}), here, []byte(rand.Text()+rand.Text()))
	require.NoError(t, err)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == "POST" && r.URL.Path == "/uploads/s3/multipart":
			d.mu.Lock()
			d.started++
			d.mu.Unlock()
		case r.Method == "POST" && strings.HasSuffix(r.URL.Path, "/complete") &&
			strings.Contains(r.URL.Path, "/s3/"):
			parts := 0
			for _, upload := range d.uploads() {
				parts += d.parts(upload)
			}
			d.mu.Lock()
			d.completed = append(d.completed, parts)
			d.mu.Unlock()
		case uppy == 5 && (r.URL.Path == "/uppy.js" || r.URL.Path == "/uppy.css"):
			http.ServeFile(w, r, filepath.Join("testdata", r.URL.Path))
			return
		case uppy == 5 && r.URL.Path == "/app.js":
			recorded := httptest.NewRecorder()
			service.ServeHTTP(recorded, r)
			script := recorded.Body.String()
			if !strings.Contains(script, "companionEndpoint:") {
				t.Errorf("app.js must contain companionEndpoint, got status %d", recorded.Code)
			}
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = io.WriteString(w, strings.Replace(script, "companionEndpoint:", "endpoint:", 1))
			return
		}
		recorder := &statusRecorder{w, http.StatusOK}
		service.ServeHTTP(recorder, r)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.requests = append(d.requests,
			fmt.Sprintf("%s %.12s %d", r.Method, path.Base(r.URL.Path), recorder.status))
	})
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- here.Serve(ctx, handler, pagePolicy(d.relay.URL), server.Wait) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-served)
	})
	return d
}

// A statusRecorder records the status of a response.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (s *statusRecorder) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// takeCounts returns the number of multipart uploads that were started since
// its last call, and the number of parts of each completed multipart upload.
func (d *demo) takeCounts() (started int, parts []int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	started, parts = d.started, d.completed
	d.started, d.completed = 0, nil
	return started, parts
}

// uploads returns the incomplete multipart uploads of the store.
func (d *demo) uploads() []types.MultipartUpload {
	listed, err := d.client.ListMultipartUploads(context.Background(),
		&s3.ListMultipartUploadsInput{Bucket: aws.String(bucket)})
	if err != nil {
		d.t.Error(err)
		return nil
	}
	return listed.Uploads
}

// parts returns the number of parts of a multipart upload at the store.
func (d *demo) parts(upload types.MultipartUpload) int {
	listed, err := d.client.ListParts(context.Background(), &s3.ListPartsInput{
		Bucket: aws.String(bucket), Key: upload.Key, UploadId: upload.UploadId,
	})
	if err != nil {
		d.t.Error(err)
		return 0
	}
	return len(listed.Parts)
}

// objects returns the keys of all objects at the store.
func (d *demo) objects() []string {
	listed, err := d.client.ListObjectsV2(context.Background(), &s3.ListObjectsV2Input{
		Bucket: aws.String(bucket),
	})
	if err != nil {
		d.t.Error(err)
		return nil
	}
	var keys []string
	for _, object := range listed.Contents {
		keys = append(keys, *object.Key)
	}
	return keys
}

// remove deletes the published object of a file.
func (d *demo) remove(name string) {
	for _, key := range d.objects() {
		if strings.HasSuffix(key, "/"+name) {
			_, err := d.client.DeleteObject(context.Background(), &s3.DeleteObjectInput{
				Bucket: aws.String(bucket), Key: &key,
			})
			require.NoError(d.t, err)
		}
	}
}

// A file describes a file on the machine of the browser.
type file struct {
	name, mediaType, path, sum string
	size                       int64
}

// newFile writes a file that starts with magic and continues with random bytes.
func newFile(t *testing.T, dir, name, mediaType, magic string, size int64) file {
	t.Helper()
	f := file{name: name, mediaType: mediaType, path: filepath.Join(dir, name), size: size}
	out, err := os.Create(f.path)
	require.NoError(t, err)
	hash := sha256.New()
	content := io.MultiReader(strings.NewReader(magic),
		mathrand.NewChaCha8(sha256.Sum256([]byte(name))))
	_, err = io.CopyN(io.MultiWriter(out, hash), content, size)
	require.NoError(t, err)
	require.NoError(t, out.Close())
	f.sum = hex.EncodeToString(hash.Sum(nil))
	return f
}

// requirePublished requires that exactly this file is published, under one key
// that ends with its name.
func (d *demo) requirePublished(t *testing.T, f file) {
	t.Helper()
	var key string
	for _, stored := range d.objects() {
		require.True(t, strings.HasPrefix(stored, "files/alice/"), stored)
		if strings.HasSuffix(stored, "/"+f.name) {
			require.Empty(t, key, "the file must be published only once")
			key = stored
		}
	}
	require.NotEmpty(t, key, f.name)
	object, err := d.client.GetObject(t.Context(), &s3.GetObjectInput{
		Bucket: aws.String(bucket), Key: &key,
	})
	require.NoError(t, err)
	defer object.Body.Close()
	hash := sha256.New()
	n, err := io.Copy(hash, object.Body)
	require.NoError(t, err)
	require.Equal(t, f.size, n)
	require.Equal(t, f.sum, hex.EncodeToString(hash.Sum(nil)))
	require.Equal(t, f.mediaType, aws.ToString(object.ContentType))
	require.Equal(t, "attachment; filename*=UTF-8''"+f.name,
		aws.ToString(object.ContentDisposition))
}

// A dashboard is the page of a user who is logged in.
type dashboard struct {
	*browser.Page
	t *testing.T
}

func (d dashboard) add(files ...file) {
	d.t.Helper()
	var paths []string
	for _, f := range files {
		paths = append(paths, f.path)
	}
	d.Do(chromedp.SetUploadFiles(".uppy-Dashboard-input", paths),
		chromedp.WaitVisible(".uppy-StatusBar-actionBtn--upload"))
}

// press clicks an element by script, because the element can move before a
// click by mouse.
func (d dashboard) press(selector string) {
	d.t.Helper()
	d.Do(chromedp.WaitVisible(selector))
	browser.Evaluate[chromedp.Void](d.Page,
		fmt.Sprintf(`document.querySelector(%q).click()`, selector))
}

const (
	upload = ".uppy-StatusBar-actionBtn--upload" // This button also resumes a restored upload.
	pause  = `.uppy-StatusBar [title="Pause"]`
	resume = `.uppy-StatusBar [title="Resume"]`
	cancel = `.uppy-StatusBar [title="Cancel"]`
)

// maxWait is the longest time for a large file on a slow machine.
const maxWait = 3 * time.Minute

// until waits until a JavaScript expression is true.
func (d dashboard) until(expression string) {
	d.t.Helper()
	d.Do(chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingTimeout(maxWait)))
}

// outcome waits until the page shows n outcomes, and returns the text of the
// outcome for one file.
func (d dashboard) outcome(n int, name string) string {
	d.t.Helper()
	d.until(fmt.Sprintf(`document.querySelectorAll(".outcomes li").length === %d`, n))
	return d.Text(fmt.Sprintf(`[...document.querySelectorAll(".outcomes li")]
		.find((li) => li.querySelector("b").textContent === %q)`, name))
}

// clear removes the uploaded files from the Dashboard.
func (d dashboard) clear() {
	d.press(".uppy-StatusBar-actionBtn--done")
	d.Do(chromedp.WaitVisible(".uppy-Dashboard-AddFiles"))
}

// holdParts holds back the parts from this number until release. A part whose
// client disconnects before that does not arrive. The function wait waits until
// a part is held back and all parts with smaller numbers have arrived. The
// function waitUntilGone waits until no part is held back.
func (d *demo) holdParts(from int) (wait, waitUntilGone, release func()) {
	var mu sync.Mutex
	held := 0
	open := make(chan struct{})
	d.relay.Disturb(func(w http.ResponseWriter, r *http.Request, part int) bool {
		if part < from {
			return true
		}
		// The server detects a disconnected client only after the body was
		// read.
		content, err := io.ReadAll(r.Body)
		if err != nil {
			return false
		}
		r.Body = io.NopCloser(bytes.NewReader(content))
		mu.Lock()
		held++
		mu.Unlock()
		defer func() {
			mu.Lock()
			held--
			mu.Unlock()
		}()
		select {
		case <-open:
			return true
		case <-r.Context().Done():
			return false
		}
	})
	countHeld := func() int {
		mu.Lock()
		defer mu.Unlock()
		return held
	}
	wait = func() {
		require.Eventually(d.t, func() bool {
			uploads := d.uploads()
			return len(uploads) == 1 && d.parts(uploads[0]) == from-1 && countHeld() > 0
		}, maxWait, 20*time.Millisecond)
	}
	waitUntilGone = func() {
		require.Eventually(d.t, func() bool {
			return countHeld() == 0
		}, maxWait, 20*time.Millisecond)
	}
	release = sync.OnceFunc(func() {
		d.relay.Disturb(nil)
		close(open)
	})
	d.t.Cleanup(release)
	return wait, waitUntilGone, release
}

// listNumbers returns the numbers from 1 to n.
func listNumbers(n int) []int {
	var numbers []int
	for i := range n {
		numbers = append(numbers, i+1)
	}
	return numbers
}

// runWithUppy opens the page in a headless Chromium with Uppy 6 and with Uppy
// 5. It writes screenshots to the directory that the environment variable
// SCREENSHOTS names.
func runWithUppy(
	t *testing.T, test func(t *testing.T, demo *demo, d dashboard, shoot func(name string)),
) {
	for _, version := range []int{6, 5} {
		t.Run(fmt.Sprintf("Uppy %d", version), func(t *testing.T) {
			demo := start(t, version)
			d := dashboard{browser.Open(t), t}
			t.Cleanup(func() {
				if t.Failed() {
					demo.mu.Lock()
					defer demo.mu.Unlock()
					t.Logf("requests: %q\nmultipart uploads: %d\npage: %s",
						demo.requests, len(demo.uploads()), d.Text("document.body"))
				}
			})
			shoot := func(name string) {
				for _, width := range []int64{1280, 390} {
					d.Shoot(fmt.Sprintf("uppy%d-%s", version, name), width)
				}
			}
			d.Do(chromedp.Navigate(demo.origin), chromedp.WaitVisible(".login"))
			shoot("login")
			d.Do(chromedp.Click(`button[value=alice]`),
				chromedp.WaitVisible(".uppy-Dashboard-AddFiles"))
			test(t, demo, d, shoot)
		})
	}
}

// TestUploads checks that small and large files can be uploaded at once.
func TestUploads(t *testing.T) {
	dir := t.TempDir()
	files := []file{
		newFile(t, dir, "notes.txt", "text/plain",
			strings.Repeat("A kibibyte of notes. ", 49)[:1024], 1024),
		newFile(t, dir, "scan.pdf", "application/pdf", "%PDF-1.7\n", 20*mib),
		newFile(t, dir, "film.mp4", "video/mp4", "\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp41",
			300*mib),
	}
	runWithUppy(t, func(t *testing.T, demo *demo, d dashboard, shoot func(name string)) {
		shoot("empty")
		d.add(files...)
		shoot("chosen")
		d.press(upload)
		require.Contains(t, d.outcome(3, "film.mp4"), "video/mp4")
		for _, f := range files {
			demo.requirePublished(t, f)
		}
		started, completed := demo.takeCounts()
		require.Equal(t, 1, started, "only the large file must be a multipart upload")
		require.Equal(t, []int{60}, completed)
		require.Equal(t, listNumbers(60), demo.relay.Arrived())
		shoot("stored")
		d.clear()
	})
}

// TestRejected checks that a file which the service rejects does not look
// complete, and that the page offers no retry.
func TestRejected(t *testing.T) {
	mislabeled := newFile(t, t.TempDir(), "holiday.png", "image/png",
		"<!doctype html><title>Log in</title>", 1024)
	runWithUppy(t, func(t *testing.T, demo *demo, d dashboard, shoot func(name string)) {
		d.add(mislabeled)
		d.press(upload)
		require.Contains(t, d.outcome(1, "holiday.png"),
			`type must match the content, got "image/png" for a file that looks like text/html`)
		require.Empty(t, demo.objects())
		d.Do(chromedp.WaitVisible(".uppy-StatusBar.is-error"),
			chromedp.WaitVisible(".uppy-Dashboard-Item.is-error"))
		require.Zero(t, d.Count(".uppy-Dashboard-Item.is-complete, .uppy-StatusBar.is-complete"))
		require.Contains(t, d.Text(`document.querySelector(".uppy-StatusBar")`),
			"0 of 1 file uploaded")
		require.NotContains(t, d.Text(`document.querySelector(".uppy-Dashboard")`),
			"Upload complete")
		d.until(`!document.querySelector(".uppy-StatusBar-actionBtn--retry, " +
			".uppy-Dashboard-Item-progressIndicator[title='Retry upload']")`)
		shoot("rejected")
		d.press(`.uppy-Dashboard-Item-action--remove`)
		d.Do(chromedp.WaitVisible(".uppy-Dashboard-AddFiles"))
	})
}

// TestInterrupted checks that a multipart upload can be resumed after a pause
// and after a reload, and that a canceled upload is aborted. It also checks
// that a logout deletes the files from the browser.
func TestInterrupted(t *testing.T) {
	f := newFile(t, t.TempDir(), "plan.pdf", "application/pdf", "%PDF-1.7\n", 101*mib)
	runWithUppy(t, func(t *testing.T, demo *demo, d dashboard, shoot func(name string)) {
		// requireResumed requires that the upload was resumed and not started
		// again.
		requireResumed := func() {
			t.Helper()
			require.Contains(t, d.outcome(1, f.name), "101 MiB")
			demo.requirePublished(t, f)
			started, completed := demo.takeCounts()
			require.Equal(t, 1, started)
			require.Equal(t, []int{21}, completed)
			require.Equal(t, listNumbers(21)[4:], demo.relay.Arrived(),
				"parts that have arrived must not be sent again")
			d.clear()
			demo.remove(f.name)
		}

		// The user pauses the upload.
		wait, waitUntilGone, release := demo.holdParts(5)
		d.add(f)
		d.press(upload)
		wait()
		d.press(pause)
		waitUntilGone()
		release()
		require.Equal(t, listNumbers(4), demo.relay.Arrived())
		shoot("paused")
		d.press(resume)
		requireResumed()

		// The user reloads the page. The file comes from the browser's
		// database, or the user selects it again.
		for _, from := range []string{"database", "user"} {
			wait, waitUntilGone, release = demo.holdParts(5)
			d.add(f)
			d.press(upload)
			wait()
			// Uppy stores its state every half second, so the stored state can
			// still be the state of the previous upload.
			d.until(databaseHas(fmt.Sprintf(`files.length === 1 &&
				JSON.stringify([states, localStorage["uppyState:alice"] ?? ""]).includes(%q)`,
				*demo.uploads()[0].Key)))
			shoot("sending")
			if from == "user" {
				browser.Evaluate[chromedp.Void](d.Page, clearFiles, chromedp.EvalAwaitPromise)
			}
			d.Do(chromedp.Reload())
			waitUntilGone()
			release()
			require.Equal(t, listNumbers(4), demo.relay.Arrived())
			d.Do(chromedp.WaitVisible(upload))
			shoot("restored-from-" + from)
			if from == "user" {
				disabled := fmt.Sprintf(`document.querySelector(%q).disabled`, upload)
				require.True(t, browser.Evaluate[bool](d.Page, disabled))
				d.press(".uppy-DashboardContent-addMore")
				d.add(f)
				d.until(fmt.Sprintf(`!document.querySelector(%q).disabled`, upload))
			}
			d.press(upload)
			requireResumed()
		}

		// The user cancels the upload.
		wait, waitUntilGone, _ = demo.holdParts(5)
		d.add(f)
		d.press(upload)
		wait()
		d.press(cancel)
		waitUntilGone()
		require.Eventually(t, func() bool {
			return len(demo.uploads()) == 0
		}, maxWait, 20*time.Millisecond)
		require.Empty(t, demo.objects())
		d.Do(chromedp.WaitVisible(".uppy-Dashboard-AddFiles"))

		// The user logs out before the upload of a file.
		d.add(f)
		d.until(databaseHas("files.length === 1"))
		d.press(`form[action="/logout"] button`)
		d.Do(chromedp.WaitVisible(".login"))
		const left = `indexedDB.databases().then((all) => all.length + localStorage.length)`
		require.Zero(t, browser.Evaluate[int](d.Page, left, chromedp.EvalAwaitPromise),
			"a logout must delete the files and states in the browser")
	})
}

// openDatabase is a script that opens the browser's database of files.
const openDatabase = `
	const result = (request) => new Promise((resolve, reject) => {
		request.onsuccess = () => resolve(request.result);
		request.onerror = () => reject(request.error);
	});
	const database = await result(indexedDB.open("uppy-blobs"));
`

// databaseHas returns an expression that evaluates condition with the files and
// the states in the browser's database.
func databaseHas(condition string) string {
	return `(async () => {` + openDatabase + `
	const all = (name) => database.objectStoreNames.contains(name)
		? result(database.transaction(name).objectStore(name).getAll())
		: [];
	const [files, states] = await Promise.all([all("files"), all("metadata")]);
	database.close();
	return ` + condition + `;
})()`
}

// clearFiles is a script that deletes the files in the browser's database, as
// if there had been no space for them.
const clearFiles = `(async () => {` + openDatabase + `
	await result(database.transaction("files", "readwrite").objectStore("files").clear());
	database.close();
})()`
