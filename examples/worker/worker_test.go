package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/browser"
	"github.com/s3presign/presign/examples/internal/ceph"
	"github.com/s3presign/presign/examples/internal/program"
	"github.com/s3presign/presign/examples/internal/site"
	"github.com/s3presign/presign/internal/test/s3test"
)

func TestMain(m *testing.M) {
	if os.Getenv(workerVariable) != "" {
		main()
		return
	}
	os.Exit(ceph.Main(m))
}

const secret = "a secret of the service, 33 bytes"

// TestPageNeverCompletes checks that a file appears although its page does not
// complete the upload.
func TestPageNeverCompletes(t *testing.T) {
	p := program.Start(t, run)
	require.Regexp(t, `^Open +http://127`, p.Printed)
	b := browser.Open(t)
	path := filepath.Join(t.TempDir(), "a.txt")
	require.NoError(t, os.WriteFile(path, []byte("this is a text"), 0o600))
	b.Do(chromedp.Navigate(p.Origin), chromedp.Click("button[value=alice]"),
		chromedp.WaitVisible("#files"), chromedp.SetUploadFiles("#files", []string{path}),
		browser.Until(`document.querySelectorAll("#published li").length === 1`))
	require.Equal(t, "a.txt, 14 bytes", b.Text(`document.querySelector("#published li")`))
	b.Shoot("worker", 390)
}

// An environment holds all parts of the demo except the worker.
type environment struct {
	*demo
	settings
	rows   rows
	signer *presign.Signer // the Signer of the service that grants
}

func newEnvironment(t *testing.T) *environment {
	t.Helper()
	ctx := t.Context()
	e := &environment{demo: newDemo(flag.NewFlagSet("", flag.ContinueOnError))}
	e.settings.define(flag.NewFlagSet("", flag.ContinueOnError))
	e.dir = t.TempDir()
	var err error
	e.Site, err = site.Listen("127.0.0.1:0", "worker")
	require.NoError(t, err)
	t.Cleanup(func() { _ = e.Close() })
	connection, js, err := e.startNATS(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { connection.Close(); e.demo.nats.Shutdown(); e.demo.nats.WaitForShutdown() })
	stop, err := e.startStore(ctx, js)
	require.NoError(t, err)
	t.Cleanup(stop)
	e.bucket, e.endpoint, e.settings.nats = "worker", e.store.URL, e.demo.nats.ClientURL()
	e.db, e.sweep = filepath.Join(e.dir, "files.db"), 5*time.Second
	e.rows, err = openRows(ctx, e.db)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.rows.Close()) })
	e.signer, err = newSigner(e.store.Client(), e.bucket, []byte(secret), e.rows, newMetrics())
	require.NoError(t, err)
	return e
}

// start starts a worker. The returned function sends the worker a signal and
// waits for its end.
func (e *environment) start(t *testing.T) (end func(syscall.Signal) error, pid int) {
	t.Helper()
	command, err := e.worker(t.Context(), e.settings, []byte(secret))
	require.NoError(t, err)
	require.NoError(t, command.Start())
	return func(signal syscall.Signal) error {
		require.NoError(t, command.Process.Signal(signal))
		return command.Wait()
	}, command.Process.Pid
}

// put uploads a file by PUT without completing it. It returns the GrantID.
func put(t *testing.T, signer *presign.Signer, content string) string {
	t.Helper()
	grant, err := signer.Put(t.Context(), presign.Upload{
		Filename: "a.txt", Size: int64(len(content)), Owner: "alice",
	})
	require.NoError(t, err)
	upload(t, grant, content)
	return grant.GrantID
}

func upload(t *testing.T, grant *presign.Grant, content string) {
	t.Helper()
	request, err := grant.Request(t.Context(), strings.NewReader(content), int64(len(content)))
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Less(t, response.StatusCode, 300)
}

// keys returns the keys of a bucket under a prefix.
func keys(t *testing.T, client *s3.Client, bucket, prefix string) (found []string) {
	t.Helper()
	list := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{
		Bucket: &bucket, Prefix: &prefix,
	})
	for list.HasMorePages() {
		page, err := list.NextPage(t.Context())
		require.NoError(t, err)
		for _, o := range page.Contents {
			found = append(found, *o.Key)
		}
	}
	return found
}

// count returns the number of rows.
func (r rows) count(t *testing.T) (n int) {
	t.Helper()
	require.NoError(t, r.QueryRowContext(t.Context(), `SELECT count(*) FROM files`).Scan(&n))
	return n
}

// TestUploadsSurviveKilledWorkers checks that each upload is published with one
// row although workers are killed. A sweep completes uploads by form, because
// versitygw sends wrong notifications for them.
func TestUploadsSurviveKilledWorkers(t *testing.T) {
	e := newEnvironment(t)
	granted := make(map[string]bool)
	for range 5 {
		rows := e.rows.count(t)
		end, _ := e.start(t)
		for i := range 6 {
			content := strings.Repeat("a", 1+i*100_000)
			granted[put(t, e.signer, content)] = true
		}
		form, err := e.signer.Post(t.Context(), presign.Upload{Filename: "a.txt", Owner: "alice"})
		require.NoError(t, err)
		upload(t, form, "by form")
		granted[form.GrantID] = true
		// The worker is killed while it completes the other uploads.
		working := func() bool { return e.rows.count(t) > rows }
		require.Eventually(t, working, 10*time.Second, time.Millisecond)
		require.Error(t, end(syscall.SIGKILL))
	}
	t.Logf("%d of %d were published before the last worker started", e.rows.count(t), len(granted))
	end, _ := e.start(t)
	client, started := e.store.Client(), time.Now()
	require.Eventually(t, func() bool {
		return len(keys(t, client, e.bucket, "incoming/")) == 0
	}, 100*time.Second, 100*time.Millisecond)
	t.Logf("all published after %v", time.Since(started).Round(time.Second))
	require.NoError(t, end(syscall.SIGTERM),
		"a worker that receives SIGTERM must stop without an error")

	require.Len(t, keys(t, client, e.bucket, "files/"), len(granted))
	require.Equal(t, len(granted), e.rows.count(t))
	files, err := e.rows.list(t.Context(), "alice")
	require.NoError(t, err)
	for _, f := range files {
		require.True(t, granted[f.ID])
	}
}

// TestQueuedNotificationsDrain checks that a worker drains a long queue within
// a limit of allocated memory. The limit excludes the pages of the executable,
// which contains NATS and an S3 server.
func TestQueuedNotificationsDrain(t *testing.T) {
	const limit = 64 << 10 // KiB
	number := 10_000
	if raceDetector {
		number = 1000
	}
	e := newEnvironment(t)
	connection, js, err := e.connect(t.Context())
	require.NoError(t, err)
	defer connection.Close()
	for i := range number {
		_, err := js.PublishAsync(subject, record(e.bucket, fmt.Sprintf("incoming/%d.txt", i)))
		require.NoError(t, err)
	}
	<-js.PublishAsyncComplete()
	q, err := openNATS(t.Context(), js)
	require.NoError(t, err)
	started := time.Now()
	end, pid := e.start(t)
	var peak int
	require.Eventually(t, func() bool {
		peak = max(peak, allocated(t, pid))
		about, err := q.consumer.Info(t.Context())
		require.NoError(t, err)
		return about.NumPending == 0 && about.NumAckPending == 0
	}, 3*time.Minute, 20*time.Millisecond)
	rate := float64(number) / time.Since(started).Seconds()
	t.Logf("%d notifications at %.0f a second with at most %d MiB", number, rate, peak>>10)
	require.NoError(t, end(syscall.SIGTERM))
	if !raceDetector {
		require.Less(t, peak, limit)
	}
}

// allocated returns the memory that a process has allocated, in KiB.
func allocated(t *testing.T, pid int) (size int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	for line := range strings.Lines(string(status)) {
		_, _ = fmt.Sscanf(line, "RssAnon: %d kB", &size)
	}
	require.NotZero(t, size)
	return size
}

// record returns a notification in the format of S3.
func record(bucket, key string) []byte {
	return fmt.Appendf(nil, `{"Records": [{"eventVersion": "2.1", "eventSource": "aws:s3",
		"eventName": "ObjectCreated:Put", "s3": {"s3SchemaVersion": "1.0",
		"bucket": {"name": %q}, "object": {"key": %q, "size": 14, "eTag": "e"}}}]}`, bucket, key)
}

// TestCephNotifies checks that the events of Ceph complete uploads by PUT, form
// and multipart.
func TestCephNotifies(t *testing.T) {
	server := ceph.Shared(t)
	client, bucket := server.Client(), "worker"
	_, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket})
	require.NoError(t, err)
	e := newEnvironment(t)
	connection, js, err := e.connect(t.Context())
	require.NoError(t, err)
	defer connection.Close()
	endpoint := httptest.NewServer(receive(js))
	defer endpoint.Close()
	require.NoError(t, server.Notify(t.Context(), bucket, endpoint.URL))
	q, err := openNATS(t.Context(), js)
	require.NoError(t, err)
	signer, err := newSigner(client, bucket, []byte(secret), e.rows, newMetrics())
	require.NoError(t, err)
	end := runWorker(t, &worker{
		signer: signer, queue: q, concurrency: 4, interval: time.Hour, metrics: newMetrics(),
	})
	defer end()

	put(t, signer, "this is a text")
	form, err := signer.Post(t.Context(), presign.Upload{Filename: "a.txt", Owner: "alice"})
	require.NoError(t, err)
	upload(t, form, "by form")
	joined := startMultipart(t, client, bucket, signer)
	published := func() bool { return e.rows.count(t) == 3 }
	require.Eventually(t, published, 10*time.Second, 50*time.Millisecond)
	require.Contains(t, ids(t, e.rows), joined)
}

func ids(t *testing.T, rows rows) (found []string) {
	t.Helper()
	files, err := rows.list(t.Context(), "alice")
	require.NoError(t, err)
	for _, f := range files {
		found = append(found, f.ID)
	}
	return found
}

// startMultipart uploads a file as a multipart upload of one part and completes
// the multipart upload only at the store. It returns the GrantID. A service
// that dies in the middle of a completion has the same effect.
func startMultipart(
	t *testing.T, client *s3.Client, bucket string, signer *presign.Signer,
) string {
	t.Helper()
	m, err := signer.StartMultipart(t.Context(), presign.Upload{
		Filename: "a.txt", Size: 14, Owner: "alice",
	})
	require.NoError(t, err)
	urls, _, err := m.SignParts(t.Context(), 1, 1)
	require.NoError(t, err)
	upload(t, &presign.Grant{Method: "PUT", URL: urls[0]}, "this is a text")
	parts, err := m.ListParts(t.Context())
	require.NoError(t, err)
	list := &s3.ListMultipartUploadsInput{Bucket: &bucket}
	started, err := client.ListMultipartUploads(t.Context(), list)
	require.NoError(t, err)
	require.Len(t, started.Uploads, 1)
	_, err = client.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{
		Bucket: &bucket, Key: &m.Key, UploadId: started.Uploads[0].UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{
			PartNumber: aws.Int32(1), ETag: &parts[0].ETag,
		}}},
	})
	require.NoError(t, err)
	return m.GrantID
}

// runWorker runs a worker in this process. The returned function stops the
// worker and waits for its end.
func runWorker(t *testing.T, w *worker) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.run(ctx) }()
	return func() {
		cancel()
		require.NoError(t, <-ended)
	}
}

// A fakeMessage records the calls of its methods.
type fakeMessage struct {
	text       []byte
	deliveries int

	mu    sync.Mutex
	calls []string
}

func (m *fakeMessage) record(call string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, call)
	return nil
}

func (m *fakeMessage) body() []byte               { return m.text }
func (m *fakeMessage) attempt() int               { return m.deliveries }
func (m *fakeMessage) done(context.Context) error { return m.record("done") }
func (m *fakeMessage) bury(context.Context) error { return m.record("bury") }
func (m *fakeMessage) retry(_ context.Context, after time.Duration) error {
	return m.record("retry after " + after.String())
}
func (m *fakeMessage) extend(context.Context) error { return m.record("extend") }

func TestMessagesAreSettled(t *testing.T) {
	failing := errors.New("the service has failed")
	for name, test := range map[string]struct {
		text    string // the body of the message; a notification of the upload if empty
		attempt int
		inspect func(context.Context, *presign.Object) error
		want    []string
	}{
		"completed": {want: []string{"done"}},
		"rejected": {
			inspect: func(context.Context, *presign.Object) error {
				return &presign.Violation{
					Field: "file", Code: "not_allowed", Detail: "must not be infected",
				}
			},
			want: []string{"done"},
		},
		"slow": {
			inspect: func(context.Context, *presign.Object) error {
				time.Sleep(50 * time.Second)
				return nil
			},
			want: []string{"extend", "extend", "extend", "done"},
		},
		"pending": {
			inspect: func(context.Context, *presign.Object) error { return presign.ErrPending },
			attempt: 100, want: []string{"retry after 5m0s"},
		},
		"failed": {
			inspect: func(context.Context, *presign.Object) error { return failing },
			attempt: 3, want: []string{"retry after 4s"},
		},
		"failed too often": {
			inspect: func(context.Context, *presign.Object) error { return failing },
			attempt: maxAttempts, want: []string{"bury"},
		},
		"unreadable": {text: "{}", want: []string{"bury"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := s3test.New()
				inspect := test.inspect
				if inspect == nil {
					inspect = func(context.Context, *presign.Object) error { return nil }
				}
				client := store.S3(func(o *s3.Options) { o.HTTPClient = store.HTTPClient() })
				signer, err := presign.NewSigner(client, s3test.DefaultBucket, policy,
					presign.WithInspect(inspect), presign.WithLogger(slog.New(slog.DiscardHandler)))
				require.NoError(t, err)
				grant, err := signer.Put(t.Context(), presign.Upload{Filename: "a.txt", Size: 14})
				require.NoError(t, err)
				request, err := grant.Request(t.Context(), strings.NewReader("this is a text"), 14)
				require.NoError(t, err)
				response, err := store.HTTPClient().Do(request)
				require.NoError(t, err)
				_, _ = io.Copy(io.Discard, response.Body)
				require.Equal(t, http.StatusOK, response.StatusCode)

				m := &fakeMessage{text: []byte(test.text), deliveries: max(test.attempt, 1)}
				if test.text == "" {
					m.text = record(s3test.DefaultBucket, grant.Key)
				}
				w := &worker{signer: signer, metrics: newMetrics()}
				w.handle(t.Context(), m)
				require.Equal(t, test.want, m.calls)
				require.NoError(t, signer.Shutdown(t.Context()))
			})
		})
	}
}
