package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/store"
	"github.com/s3presign/presign/examples/put/internal/uploads"
)

// clientMarker makes the test binary put itself, so that it can be killed.
const clientMarker = "PRESIGN_EXAMPLES_PUT"

func TestMain(m *testing.M) {
	if os.Getenv(clientMarker) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

const partSize = 5 << 20

var (
	secret = []byte("a secret of 32 bytes, or of more")
	users  = map[string]string{"alice": "her password", "bob": "his password"}
)

// place is a store with a bucket, and a service of it.
type place struct {
	*store.Server
	client *s3.Client // one: each has connections of its own
	url    string     // of the grants
	http   *http.Client
}

func newStore(t *testing.T) *store.Server {
	t.Helper()
	server, err := store.Start(t.Context(), t.TempDir()) // which is removed when the server has ended
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	require.NoError(t, server.CreateBucket(t.Context(), bucket))
	return server
}

func newPlace(t *testing.T, policy presign.Policy, opts ...presign.SignerOption) *place {
	t.Helper()
	server := newStore(t)
	return openPlace(t, server, server.Client(), policy, opts...)
}

// openPlace starts a service of the store, which it reaches by client.
func openPlace(t *testing.T, server *store.Server, client *s3.Client, policy presign.Policy, opts ...presign.SignerOption) *place {
	t.Helper()
	handler, err := uploads.New(client, bucket, policy, users, append(opts, presign.WithSecret(secret))...)
	require.NoError(t, err)
	listener := httptest.NewServer(handler)
	t.Cleanup(listener.Close)
	return at(server, listener.URL)
}

// at returns the place of a service.
func at(server *store.Server, origin string) *place {
	return &place{server, server.Client(), origin + "/uploads", newClient(10)}
}

// as returns an uploader of a user, who is in a hurry.
func (p *place) as(t *testing.T, user string) *uploader {
	t.Helper()
	r := http.Request{Header: make(http.Header)}
	r.SetBasicAuth(user, users[user])
	hasty := patience{tries: 12, first: time.Microsecond, longest: time.Millisecond, stall: time.Minute}
	toService, toStore := *p.http, *p.http // to meddle with
	return &uploader{
		service: &client{url: p.url, header: r.Header, http: &toService, patience: hasty},
		store:   &toStore, patience: hasty, parallel: 4, single: partSize, states: t.TempDir(), out: io.Discard,
	}
}

// keys returns those of all objects. The service deletes an upload after it has
// responded, so keys waits a moment if the published copy exists.
func (p *place) keys(t *testing.T) []string {
	t.Helper()
	var keys []string
	for end := time.Now().Add(2 * time.Second); ; {
		keys = p.list(t)
		isLeft := func(key string) bool {
			name, found := strings.CutPrefix(key, "incoming/")
			return found && slices.Contains(keys, "files/"+name)
		}
		if !slices.ContainsFunc(keys, isLeft) || time.Now().After(end) {
			return keys
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (p *place) list(t *testing.T) []string {
	t.Helper()
	keys := []string{}
	pages := s3.NewListObjectsV2Paginator(p.client, &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		for _, o := range page.Contents {
			keys = append(keys, aws.ToString(o.Key))
		}
	}
	return keys
}

// uploads returns the multipart uploads that are under way.
func (p *place) uploads(t *testing.T) []types.MultipartUpload {
	t.Helper()
	out, err := p.client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String(bucket)})
	require.NoError(t, err)
	return out.Uploads
}

// arrived returns the numbers of the parts that have arrived of the only upload that is under way.
func (p *place) arrived(t *testing.T) (numbers []int) {
	t.Helper()
	under := p.uploads(t)
	require.Len(t, under, 1)
	out, err := p.client.ListParts(t.Context(), &s3.ListPartsInput{Bucket: aws.String(bucket), Key: under[0].Key, UploadId: under[0].UploadId})
	require.NoError(t, err)
	for _, part := range out.Parts {
		numbers = append(numbers, int(aws.ToInt32(part.PartNumber)))
	}
	return numbers
}

// requireStored holds the only object against a file, and removes it.
func (p *place) requireStored(t *testing.T, path string, object *presign.Object, about ...any) {
	t.Helper()
	require.Equal(t, []string{object.Key}, p.keys(t), about...)
	out, err := p.client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: &object.Key})
	require.NoError(t, err, about...)
	defer out.Body.Close()
	got, err := io.ReadAll(out.Body)
	require.NoError(t, err, about...)
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), about...)
	_, err = p.client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: &object.Key})
	require.NoError(t, err)
}

// newFile writes a file of so many bytes, each time others.
func newFile(t *testing.T, name string, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	f, err := os.Create(path)
	require.NoError(t, err)
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{byte(rand.Uint32())}), size)
	require.NoError(t, errors.Join(err, f.Close()))
	return path
}

// noted returns how many uploads are noted as under way.
func (u *uploader) noted(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir(u.states)
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	return len(entries)
}

// roundTripper is a function between a client and its transport.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// meddle has f see what a client sends.
func meddle(client *http.Client, f func(r *http.Request, next http.RoundTripper) (*http.Response, error)) {
	next := client.Transport
	client.Transport = roundTripper(func(r *http.Request) (*http.Response, error) { return f(r, next) })
}

// TestDemo runs what the package documentation says.
func TestDemo(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-addr", "127.0.0.1:0"}, &out))
	printed := out.String()
	require.Regexp(t, `(?s)^Service  http://127\.0\.0\.1:\d+/uploads\nBucket   put on versitygw at http://127\.0\.0\.1:\d+, started for this\n\n`+
		`small\.txt  100 % of 10 bytes\nsmall\.txt  is stored as files/\w{26}/small\.txt \(text/plain, 10 bytes, ETag "[0-9a-f]+"\)\n`+
		`large\.bin  10 % of 64\.0 MiB\n.*large\.bin  100 % of 64\.0 MiB, \d+\.\d MiB/s\n`+
		`large\.bin  is stored as files/\w{26}/large\.bin \(application/octet-stream, 67108864 bytes, ETag ".*"\)\n\n`+
		`The bucket has:\n( +\d+  files/\w{26}/(small\.txt|large\.bin)\n){2}$`, printed)
}

// TestProgress checks that the progress does not count bytes that must be sent
// again, and reports completion only at the end.
func TestProgress(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, "a.bin", 1000)
	for _, n := range []int64{99, 1, 250, -250, 250, 650} {
		p.add(n)
	}
	p.stop()
	require.Equal(t, "a.bin  10 % of 1000 bytes\na.bin  30 % of 1000 bytes\n", out.String())
	p.finish()
	require.Equal(t, "a.bin  10 % of 1000 bytes\na.bin  30 % of 1000 bytes\na.bin  100 % of 1000 bytes\n", out.String())

	p = newProgress(&out, "a.bin", 1000)
	p.bar = newBar(&out, "a.bin", 1000) // as on a terminal
	for _, c := range []struct{ n, told int64 }{{600, 600}, {-200, 400}, {600, 999}, {-100, 900}} {
		p.add(c.n)
		require.Equal(t, c.told, p.bar.State().CurrentNum)
		require.False(t, p.bar.IsFinished())
	}
	p.finish()
	require.True(t, p.bar.IsFinished())
	require.Contains(t, out.String(), "100%")
	p = newProgress(&out, "a.bin", 1000)
	p.bar = newBar(&out, "a.bin", 1000)
	p.add(600)
	p.stop()
	require.EqualValues(t, 600, p.bar.State().CurrentNum)
}

// TestDemoResumes checks that a second run with -dir completes an upload that
// was interrupted in the first.
func TestDemoResumes(t *testing.T) {
	dir, path := t.TempDir(), newFile(t, "film.bin", 10*partSize)
	taken := httptest.NewServer(nil)
	args := []string{"-addr", taken.Listener.Addr().String(), "-dir", dir, "-parallel", "1", path}
	require.ErrorContains(t, run(t.Context(), args, io.Discard), "listen tcp")
	taken.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	out := &watched{when: "film.bin  50 %", then: interrupt}
	require.EqualError(t, run(ctx, args, out), "interrupted; the same command goes on, and with -abort it gives up")
	require.NotContains(t, out.String(), "60 %")
	out = &watched{}
	require.NoError(t, run(t.Context(), args, out))
	require.Regexp(t, `film\.bin  [45] parts have arrived, of 10\n`, out.String())
	require.Contains(t, out.String(), "film.bin  is stored as files/")
	require.ErrorIs(t, run(t.Context(), append([]string{"-abort"}, args...), io.Discard), errNone)
}

// TestUsage checks that invalid arguments are rejected before anything starts,
// with an error that states what must hold.
func TestUsage(t *testing.T) {
	path := newFile(t, "a.bin", 10)
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	defer elsewhere.Close()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"a flag after a file": {[]string{path, "-url", elsewhere.URL}, "-url comes after a file, and flags come before files (a file of that name is ./-url)"},
		"no scheme":           {[]string{"-url", strings.TrimPrefix(elsewhere.URL, "http://") + "/uploads", path}, "-url lacks http:// or https://, or a host: it is as https://app.example.com/uploads"},
		"no host":             {[]string{"-url", "https:///uploads", path}, "-url lacks http:// or https://, or a host: it is as https://app.example.com/uploads"},
		"no file":             {[]string{"-url", elsewhere.URL}, "no file is named"},
		"not mounted there": {[]string{"-url", elsewhere.URL + "/elsewhere", "-state", t.TempDir(), path},
			path + ": presign: 404 Not Found; is -url " + elsewhere.URL + "/elsewhere where the handler is mounted?"},
		"address": {[]string{"-addr", elsewhere.Listener.Addr().String(), path},
			"-addr: listen tcp " + elsewhere.Listener.Addr().String() + ": bind: address already in use; use -addr 127.0.0.1:0 for a free port"},
		"other machines": {[]string{"-addr", "0.0.0.0:0", path}, `-addr must be a loopback address, because the S3 server listens only on loopback, got "0.0.0.0:0"`},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			require.EqualError(t, run(t.Context(), c.args, &out), c.want)
			require.Empty(t, out.String())
		})
	}
	help := exec.Command(os.Args[0], "-help")
	help.Env = append(os.Environ(), clientMarker+"=1")
	output, err := help.CombinedOutput()
	require.NoError(t, err)
	require.Contains(t, string(output), "Usage: put [flags] [file ...]\n  -abort\n")
}

// TestSilence checks that a service that does not respond is reported once,
// without secrets.
func TestSilence(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	p := &place{url: gone.URL + "/uploads", http: newClient(1)}
	u := p.as(t, "alice")
	var notes bytes.Buffer
	u.service.notes = &notes
	for range 2 {
		_, err := u.service.completeKey(t.Context(), "incoming/secret/a.bin")
		require.ErrorContains(t, err, "connection refused")
	}
	require.Equal(t, "put: the service does not answer (dial tcp "+gone.Listener.Addr().String()+": connect: connection refused); trying again for up to three minutes\n", notes.String())
}

// watched is output that something follows from.
type watched struct {
	mu   sync.Mutex
	text bytes.Buffer
	when string
	then func()
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.when != "" && strings.Contains(string(p), w.when) {
		w.then()
	}
	return w.text.Write(p)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// TestURLs checks that the URLs of requests to the service contain no ID or key,
// which access logs would keep.
func TestURLs(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	u := p.as(t, "alice")
	path := p.interrupted(t, u, "a.bin")
	asked := make(map[string]bool)
	meddle(u.service.http, func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		asked[r.Method+" "+strings.TrimPrefix(r.URL.String(), p.url)] = true // one at a time
		return next.RoundTrip(r)
	})
	_, err := u.put(t.Context(), path)
	require.NoError(t, err)
	require.NoError(t, u.abort(t.Context(), p.interrupted(t, u, "a.bin")))
	_, err = u.put(t.Context(), newFile(t, "a.bin", 10))
	require.NoError(t, err)
	require.Equal(t, map[string]bool{
		"POST /": true, "POST /parts/sign": true, "POST /parts/list": true, "POST /complete": true, "POST /abort": true,
	}, asked)
}

// TestSizes checks that files of all sizes are stored unchanged.
func TestSizes(t *testing.T) {
	for _, finalPrefix := range []string{"", "files/"} {
		policy := uploads.Policy
		policy.FinalPrefix = finalPrefix
		p := newPlace(t, policy)
		u := p.as(t, "alice")
		for _, size := range []int64{1, 2<<20 - 1, partSize, partSize + 1, 3*partSize - 1} {
			path := newFile(t, "a b.bin", size)
			object, err := u.put(t.Context(), path)
			require.NoError(t, err)
			require.Equal(t, size, object.Size)
			require.Equal(t, "a b.bin", object.Filename)
			require.Equal(t, "alice", object.Owner)
			p.requireStored(t, path, object)
			require.Empty(t, p.uploads(t))
			require.Zero(t, u.noted(t))
		}
	}
}

// TestChecksum checks that put sends the checksum that the policy requires.
func TestChecksum(t *testing.T) {
	for name, algorithm := range map[string]types.ChecksumAlgorithm{
		"sha256": "SHA256", "crc32": "CRC32", "crc32c": "CRC32C", "crc64nvme": "CRC64NVME",
	} {
		policy := uploads.Policy
		policy.Checksum = algorithm
		p := newPlace(t, policy)
		for _, size := range []int64{1000, 3*partSize + 1} {
			path := newFile(t, "a.bin", size)
			u := p.as(t, "alice")
			_, err := u.put(t.Context(), path)
			require.Error(t, err)
			require.Regexp(t, "checksum must be the file|no SHA256 checksum of a whole multipart upload", err.Error(), name)
			u.algorithm = name
			object, err := u.put(t.Context(), path)
			require.NoError(t, err, "%s %d", name, size)
			require.NotEmpty(t, object.Checksum)
			p.requireStored(t, path, object)
		}
	}
}

// TestFreshGrants checks that an upload that the store rejects is sent again
// with a new grant, a limited number of times.
func TestFreshGrants(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	for _, single := range []int64{partSize, 0} { // in one request, and in one part
		for _, spoiled := range []int{1, tolerance} {
			u := p.as(t, "alice")
			u.single = single
			tries := 0
			meddle(u.store, func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
				if tries++; tries <= spoiled {
					r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "X-Amz-Signature=", "X-Amz-Signature=0", 1)
				}
				return next.RoundTrip(r)
			})
			path := newFile(t, "a.bin", 1000)
			object, err := u.put(t.Context(), path)
			require.Equal(t, min(spoiled+1, tolerance), tries)
			if spoiled == tolerance {
				require.ErrorContains(t, err, "the store answered 403 SignatureDoesNotMatch")
				require.Empty(t, p.keys(t))
				continue
			}
			require.NoError(t, err)
			p.requireStored(t, path, object)
		}
	}
}

// TestStall checks that a request that makes no progress is ended and sent
// again.
func TestStall(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	u := p.as(t, "alice")
	u.patience.stall = time.Millisecond
	stalled := false
	meddle(u.store, func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if !stalled {
			stalled = true
			<-r.Context().Done()
			u.patience.stall = time.Minute
			return nil, r.Context().Err()
		}
		return next.RoundTrip(r)
	})
	path := newFile(t, "a.bin", 1000)
	object, err := u.put(t.Context(), path)
	require.NoError(t, err)
	require.True(t, stalled)
	p.requireStored(t, path, object)
}

// TestErrorsKeepSecrets checks that no output contains the URL of a grant or
// the ID of an upload, for any failure.
func TestErrorsKeepSecrets(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	for _, size := range []int64{1000, 2 * partSize} {
		u := p.as(t, "alice")
		u.patience.tries, u.service.patience.tries = 1, 1
		cut := func(*http.Request, http.RoundTripper) (*http.Response, error) { return nil, errors.New("cut") }
		meddle(u.store, cut)
		path := newFile(t, "a.bin", size)
		_, err := u.put(t.Context(), path)
		require.ErrorContains(t, err, "the store: cut")
		require.NotContains(t, err.Error(), "http")
		meddle(u.service.http, cut)
		_, err = u.put(t.Context(), path)
		require.EqualError(t, err, "the service: cut")
	}
}

// TestSave checks that the saved state follows no link, can be read by the user
// only, and leaves no other file.
func TestSave(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("skipped: links and modes are those of Unix")
	}
	t.Chdir(t.TempDir())
	s, err := loadState(".", "https://example.com", "a.bin")
	require.NoError(t, err)
	kept := filepath.Join(t.TempDir(), "kept")
	require.NoError(t, os.WriteFile(kept, []byte("kept"), 0o644))
	for _, name := range []string{s.path, s.path + ".new"} {
		require.NoError(t, os.Symlink(kept, name))
	}
	s.upload, s.Size = upload{ID: "id", PartSize: 10}, 10
	require.NoError(t, s.save())
	text, err := os.ReadFile(kept)
	require.NoError(t, err)
	require.Equal(t, "kept", string(text))
	info, err := os.Lstat(s.path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	again, err := loadState(".", "https://example.com", "a.bin")
	require.NoError(t, err)
	require.Equal(t, "id", again.ID)
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	require.Len(t, entries, 2, "the state, and the link")

	require.NoError(t, os.Remove(s.path))
	require.NoError(t, os.Mkdir(s.path, 0o700))
	require.Error(t, s.save())
	entries, err = os.ReadDir(".")
	require.NoError(t, err)
	require.Len(t, entries, 2)
}

// TestAbort gives an upload up that was interrupted.
func TestAbort(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	u := p.as(t, "alice")
	path := p.interrupted(t, u, "a.bin")
	require.Len(t, p.uploads(t), 1)
	require.Equal(t, 1, u.noted(t))
	require.NoError(t, u.abort(t.Context(), path))
	require.Empty(t, p.uploads(t))
	require.Zero(t, u.noted(t))
	require.ErrorIs(t, u.abort(t.Context(), path), errNone)
}

// interrupted uploads some parts of a file, and is interrupted.
func (p *place) interrupted(t *testing.T, u *uploader, name string) string {
	t.Helper()
	path := newFile(t, name, 4*partSize)
	ctx, interrupt := context.WithCancel(t.Context())
	transport := u.store.Transport
	var mu sync.Mutex
	sent := 0
	meddle(u.store, func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock() // one after the other
		if sent == 2 {
			interrupt()
			return nil, ctx.Err()
		}
		sent++
		return next.RoundTrip(r)
	})
	_, err := u.put(ctx, path)
	require.ErrorIs(t, err, context.Canceled)
	u.store.Transport = transport
	require.Len(t, p.arrived(t), 2)
	return path
}

// counted returns a function that tells the numbers of the parts that u has sent since, in order.
func (u *uploader) counted() func() []int {
	var mu sync.Mutex
	var numbers []int
	meddle(u.store, func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		mu.Lock()
		var number int
		_, _ = fmt.Sscan(r.URL.Query().Get("partNumber"), &number)
		numbers = append(numbers, number)
		mu.Unlock()
		return next.RoundTrip(r)
	})
	return func() []int {
		mu.Lock()
		defer mu.Unlock()
		slices.Sort(numbers)
		return numbers
	}
}

// encrypt makes a store look like one that encrypts parts, whose ETags are no
// MD5.
func (u *uploader) encrypt() {
	meddle(u.store, func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		w, err := next.RoundTrip(r)
		if err == nil && w.StatusCode == http.StatusOK {
			w.Header.Set("ETag", strings.Replace(w.Header.Get("ETag"), `"`, `"e`, 1))
		}
		return w, err
	})
	meddle(u.service.http, func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/complete") {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			body = bytes.ReplaceAll(body, []byte(`"etag":"\"e`), []byte(`"etag":"\"`))
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		}
		return next.RoundTrip(r)
	})
	rewrite(u.service.http, func(r *http.Request, answer string) string {
		if strings.HasSuffix(r.URL.Path, "/parts/list") {
			answer = strings.ReplaceAll(answer, `"etag":"\"`, `"etag":"\"e`)
		}
		return answer
	})
}

// TestChangedFile checks that only the changed parts of a file are sent again,
// or all parts if its size changed or neither the time of the file nor the
// store's ETags show which parts changed.
func TestChangedFile(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	later := func(t *testing.T, path string, s *state) { // whatever the clock of the file system
		require.NoError(t, os.Chtimes(path, time.Time{}, s.Modified.Add(time.Second)))
	}
	write := func(t *testing.T, path string, offset int64) {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		require.NoError(t, err)
		_, err = f.WriteAt([]byte("other bytes"), offset)
		require.NoError(t, errors.Join(err, f.Close()))
	}
	const missing = 2
	for name, c := range map[string]struct {
		change    func(t *testing.T, path string, first int64, s *state) // first is the offset of a part that has arrived
		encrypted bool
		again     int // how many parts are sent
	}{
		"not at all":                        {func(*testing.T, string, int64, *state) {}, false, missing},
		"not at all, no MD5":                {func(*testing.T, string, int64, *state) {}, true, missing},
		"not at all, no MD5, state too old": {func(t *testing.T, _ string, _ int64, s *state) { clear(s.sent) }, true, 4},
		"not at all, state too old":         {func(t *testing.T, _ string, _ int64, s *state) { clear(s.sent) }, false, missing},
		"in time":                           {func(t *testing.T, path string, _ int64, s *state) { later(t, path, s) }, false, missing},
		"in time, no MD5":                   {func(t *testing.T, path string, _ int64, s *state) { later(t, path, s) }, true, 4},
		"in one part": {func(t *testing.T, path string, first int64, s *state) {
			write(t, path, first)
			later(t, path, s)
		}, false, missing + 1},
		"in one part, not in time, no MD5": {func(t *testing.T, path string, first int64, s *state) {
			write(t, path, first)
			require.NoError(t, os.Chtimes(path, time.Time{}, s.Modified))
		}, true, missing + 1},
		"in size": {func(t *testing.T, path string, _ int64, _ *state) {
			require.NoError(t, os.Truncate(path, 3*partSize+1))
		}, false, 4},
		"in size, to one part": {func(t *testing.T, path string, _ int64, _ *state) { require.NoError(t, os.Truncate(path, partSize+1)) }, false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			u := p.as(t, "alice")
			if c.encrypted {
				u.encrypt()
			}
			path := p.interrupted(t, u, "a.bin")
			arrived := p.arrived(t)
			s, err := loadState(u.states, u.service.url, path)
			require.NoError(t, err)
			require.Len(t, s.sent, 2)
			c.change(t, path, int64(arrived[0]-1)*partSize, s)
			require.NoError(t, s.save())
			numbers := u.counted()
			object, err := u.put(t.Context(), path)
			require.NoError(t, err)
			require.Len(t, numbers(), c.again)
			p.requireStored(t, path, object)
			require.Empty(t, p.uploads(t))
		})
	}
}

// TestChangedFileWithChecksum checks that no part is kept if the upload started
// with the checksum of the former file.
func TestChangedFileWithChecksum(t *testing.T) {
	policy := uploads.Policy
	policy.Checksum = types.ChecksumAlgorithmCrc32c
	p := newPlace(t, policy)
	u := p.as(t, "alice")
	u.algorithm = "crc32c"
	path := p.interrupted(t, u, "a.bin")
	require.NoError(t, os.WriteFile(path, make([]byte, 4*partSize), 0o600))
	numbers := u.counted()
	object, err := u.put(t.Context(), path)
	require.NoError(t, err)
	require.Len(t, numbers(), 4)
	p.requireStored(t, path, object)
	require.Empty(t, p.uploads(t))
}

// TestChangesMeanwhile checks that a file that changes during its upload is
// reported as an error.
func TestChangesMeanwhile(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	u := p.as(t, "alice")
	path := newFile(t, "a.bin", 2*partSize)
	once := sync.OnceValue(func() error { return os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)) })
	meddle(u.store, func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if err := once(); err != nil {
			return nil, err
		}
		return next.RoundTrip(r)
	})
	_, err := u.put(t.Context(), path)
	require.ErrorContains(t, err, "changed while it was uploaded")
	require.Empty(t, p.keys(t))
	object, err := u.put(t.Context(), path)
	require.NoError(t, err)
	p.requireStored(t, path, object)
}

// TestLostUpload checks that an aborted upload starts again, and that a
// completed upload is not sent again.
func TestLostUpload(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	u := p.as(t, "alice")
	path := p.interrupted(t, u, "a.bin")
	s, err := loadState(u.states, u.service.url, path)
	require.NoError(t, err)
	require.NoError(t, u.service.abort(t.Context(), &s.upload))
	numbers := u.counted()
	object, err := u.put(t.Context(), path)
	require.NoError(t, err)
	require.Equal(t, []int{1, 2, 3, 4}, numbers())
	p.requireStored(t, path, object)

	path = newFile(t, "a.bin", 2*partSize)
	completed := false
	meddle(u.service.http, func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if completed {
			return nil, context.Canceled
		}
		w, err := next.RoundTrip(r)
		if completed = strings.HasSuffix(r.URL.Path, "/complete"); completed && err == nil {
			_ = w.Body.Close()
			return nil, context.Canceled // as if it was killed before the response
		}
		return w, err
	})
	_, err = u.put(t.Context(), path)
	require.Error(t, err)
	require.Equal(t, 1, u.noted(t))
	u.service.http = p.http
	numbers = u.counted()
	object, err = u.put(t.Context(), path)
	require.NoError(t, err)
	require.Empty(t, numbers())
	p.requireStored(t, path, object)
	require.Zero(t, u.noted(t))
}

// TestCutPart checks that a part whose request was cut off is sent again, even
// if the store lists it as a whole part, as versitygw does.
func TestCutPart(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	for _, encrypted := range []bool{false, true} {
		u := p.as(t, "alice")
		if encrypted {
			u.encrypt()
		}
		path := p.interrupted(t, u, "a.bin")
		s, err := loadState(u.states, u.service.url, path)
		require.NoError(t, err)
		// A part of the same size without the bytes of the file replaces one that had arrived, and another was not noted.
		other := make([]byte, partSize)
		arrived := p.arrived(t)
		_, refused := u.sendTo(t, u.partURL(t, &s.upload, arrived[0]), other)
		require.Nil(t, refused)
		missing := []int{1, 2, 3, 4}
		missing = slices.DeleteFunc(missing, func(number int) bool { return slices.Contains(arrived, number) })
		_, refused = u.sendTo(t, u.partURL(t, &s.upload, missing[0]), other)
		require.Nil(t, refused)
		numbers := u.counted()
		object, err := u.put(t.Context(), path)
		require.NoError(t, err)
		again := append(missing, arrived[0])
		slices.Sort(again)
		require.Equal(t, again, numbers())
		p.requireStored(t, path, object)
	}
}

// TestStateEndsInLine checks that an upload continues if the process was killed
// while it wrote the state.
func TestStateEndsInLine(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	u := p.as(t, "alice")
	path := p.interrupted(t, u, "a.bin")
	s, err := loadState(u.states, u.service.url, path)
	require.NoError(t, err)
	require.Len(t, s.sent, 2)
	text, err := os.ReadFile(s.path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(s.path, text[:len(text)-5], 0o600))
	cut, err := loadState(u.states, u.service.url, path)
	require.NoError(t, err)
	require.Len(t, cut.sent, 1)

	// Interrupted again, the state has whole lines.
	transport := u.store.Transport
	ctx, interrupt := context.WithCancel(t.Context())
	meddle(u.store, func(*http.Request, http.RoundTripper) (*http.Response, error) {
		interrupt()
		return nil, ctx.Err()
	})
	_, err = u.put(ctx, path)
	require.ErrorIs(t, err, context.Canceled)
	u.store.Transport = transport
	text, err = os.ReadFile(s.path)
	require.NoError(t, err)
	require.Equal(t, 2, bytes.Count(text, []byte("\n")), "the upload, and one part")
	require.True(t, bytes.HasSuffix(text, []byte("\n")))

	numbers := u.counted()
	object, err := u.put(t.Context(), path)
	require.NoError(t, err)
	require.Len(t, numbers(), 2, "the ETag of the other part is the MD5")
	p.requireStored(t, path, object)
}

// TestPending checks that put waits for a completion as long as the service
// reports that it is running, which is no failure.
func TestPending(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	for _, size := range []int64{1000, 2 * partSize} {
		u := p.as(t, "alice")
		pending := 0
		meddle(u.service.http, func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
			if !strings.HasSuffix(r.URL.Path, "/complete") || pending == int(2*u.patience.tries) {
				return next.RoundTrip(r)
			}
			pending++
			w := httptest.NewRecorder()
			presign.ProblemOf(presign.ErrPending).ServeHTTP(w, r)
			return w.Result(), nil
		})
		path := newFile(t, "a.bin", size)
		object, err := u.put(t.Context(), path)
		require.NoError(t, err)
		require.Equal(t, int(2*u.patience.tries), pending)
		p.requireStored(t, path, object)
	}

	// It does not wait after an interruption.
	u := p.as(t, "alice")
	u.service.patience.longest = time.Hour
	ctx, interrupt := context.WithCancel(t.Context())
	meddle(u.service.http, func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if !strings.HasSuffix(r.URL.Path, "/complete") {
			return next.RoundTrip(r)
		}
		w := httptest.NewRecorder()
		presign.ProblemOf(presign.ErrPending).ServeHTTP(w, r)
		time.AfterFunc(time.Millisecond, interrupt)
		return w.Result(), nil
	})
	_, err := u.put(ctx, newFile(t, "a.bin", 1000))
	require.ErrorIs(t, err, context.Canceled)
}

func TestRejected(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	u := p.as(t, "alice")
	empty := newFile(t, "a.bin", 0)
	_, err := u.put(t.Context(), empty)
	require.ErrorContains(t, err, "is empty")
	_, err = u.put(t.Context(), filepath.Dir(empty))
	require.ErrorContains(t, err, "is no file")
	_, err = u.put(t.Context(), filepath.Join(empty, "none"))
	require.Error(t, err)
	for _, size := range []int64{10, 2 * partSize} {
		_, err = u.put(t.Context(), newFile(t, "a.html", size))
		require.ErrorContains(t, err, `422 type must be one of`)
	}
	u = p.as(t, "eve")
	_, err = u.put(t.Context(), newFile(t, "a.bin", 10))
	require.EqualError(t, err, "presign: 401 No such user, or another password.")
	require.Empty(t, p.keys(t))
}

func TestArguments(t *testing.T) {
	t.Setenv("PUT_USER", "")
	for want, args := range map[string][]string{
		"-parallel 0: it is between": {"-parallel", "0"},
		"no file is named":           {"-url", "http://127.0.0.1/uploads"},
		"-dir is for the S3 server":  {"-url", "http://127.0.0.1/uploads", "-dir", "x", "y"},
		"-checksum md5: it is one of crc32, crc32c, crc64nvme, sha256": {"-checksum", "md5"},
		"-user is a name, a colon and a password":                      {"-url", "http://127.0.0.1/uploads", "-user", "alice", "x"},
	} {
		require.ErrorContains(t, run(t.Context(), args, io.Discard), want)
	}
}

// TestHeader checks that the error for a line of a file contains its number and
// not its text.
func TestHeader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lines")
	require.NoError(t, os.WriteFile(path, []byte("A: 1\n\n the token alone \n"), 0o600))
	header := make(http.Header)
	require.EqualError(t, addHeader(header, "@"+path), path+":3: it has no colon")
	require.ErrorIs(t, addHeader(header, "@"+path+"x"), fs.ErrNotExist)
	require.EqualError(t, addHeader(header, "the token alone"), "it has no colon")
	require.NoError(t, addHeader(header, "a:2"))
	require.Equal(t, http.Header{"A": {"1", "2"}}, header)
}

// TestUser checks that the user can be set by a flag, by the environment, or by
// any header.
func TestUser(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	path := newFile(t, "a.thing", 10)
	r := http.Request{Header: make(http.Header)}
	r.SetBasicAuth("alice", users["alice"])
	lines := filepath.Join(t.TempDir(), "lines")
	require.NoError(t, os.WriteFile(lines, []byte("\r\nAuthorization: "+r.Header.Get("Authorization")+"\r\n\nX-Other: a:b"), 0o600))
	for _, c := range []struct {
		environment string
		args        []string
	}{
		{"", []string{"-user", "alice:" + users["alice"]}},
		{"alice:" + users["alice"], nil},
		{"", []string{"-header", "Authorization: " + r.Header.Get("Authorization"), "-header", "X-Other: a:b"}},
		{"", []string{"-header", "@" + lines}},
	} {
		t.Setenv("PUT_USER", c.environment)
		var out bytes.Buffer
		args := append([]string{"-url", p.url + "/", "-state", t.TempDir(), "-type", "application/x-thing"}, append(c.args, path)...)
		require.NoError(t, run(t.Context(), args, &out))
		require.NotContains(t, out.String(), r.Header.Get("Authorization"))
		key := regexp.MustCompile(`is stored as (\S+) \(application/x-thing, 10 bytes`).FindStringSubmatch(out.String())
		require.Len(t, key, 2, out.String())
		p.requireStored(t, path, &presign.Object{Key: key[1]})
	}
}
