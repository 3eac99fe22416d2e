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

// clientMarker is the environment variable that makes the test binary run put,
// so that a test can kill it.
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

// A place holds a store with a bucket and its service.
type place struct {
	*store.Server
	client *s3.Client // shared, because each client opens its own connections
	url    string     // the URL of the handler
	http   *http.Client
}

func newStore(t *testing.T) *store.Server {
	t.Helper()
	// The directory is removed after the server has ended.
	server, err := store.Start(t.Context(), t.TempDir())
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

// openPlace starts a service that uses client for the store.
func openPlace(
	t *testing.T, server *store.Server, client *s3.Client, policy presign.Policy,
	opts ...presign.SignerOption,
) *place {
	t.Helper()
	handler, err := uploads.New(client, bucket, policy, users,
		append(opts, presign.WithSecret(secret))...)
	require.NoError(t, err)
	listener := httptest.NewServer(handler)
	t.Cleanup(listener.Close)
	return newPlaceAt(server, listener.URL)
}

// newPlaceAt returns the place of a service at an origin.
func newPlaceAt(server *store.Server, origin string) *place {
	return &place{server, server.Client(), origin + "/uploads", newClient(10)}
}

// newUploader returns an uploader of a user, with short delays.
func (p *place) newUploader(t *testing.T, user string) *uploader {
	t.Helper()
	r := http.Request{Header: make(http.Header)}
	r.SetBasicAuth(user, users[user])
	short := patience{
		tries: 12, first: time.Microsecond, longest: time.Millisecond, stall: time.Minute,
	}
	toService, toStore := *p.http, *p.http // Tests change the transports of these copies.
	return &uploader{
		service: &client{url: p.url, header: r.Header, http: &toService, patience: short},
		store:   &toStore, patience: short, parallel: 4, single: partSize, states: t.TempDir(),
		out: io.Discard,
	}
}

// keys returns the keys of all objects. The service deletes an upload after its
// response. Therefore keys waits up to two seconds while an upload and its
// published copy both exist.
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
	pages := s3.NewListObjectsV2Paginator(p.client, &s3.ListObjectsV2Input{
		Bucket: aws.String(bucket),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		for _, o := range page.Contents {
			keys = append(keys, aws.ToString(o.Key))
		}
	}
	return keys
}

// uploads returns the open multipart uploads.
func (p *place) uploads(t *testing.T) []types.MultipartUpload {
	t.Helper()
	out, err := p.client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{
		Bucket: aws.String(bucket),
	})
	require.NoError(t, err)
	return out.Uploads
}

// arrived returns the numbers of the stored parts of the only open multipart
// upload.
func (p *place) arrived(t *testing.T) (numbers []int) {
	t.Helper()
	under := p.uploads(t)
	require.Len(t, under, 1)
	out, err := p.client.ListParts(t.Context(), &s3.ListPartsInput{
		Bucket: aws.String(bucket), Key: under[0].Key, UploadId: under[0].UploadId,
	})
	require.NoError(t, err)
	for _, part := range out.Parts {
		numbers = append(numbers, int(aws.ToInt32(part.PartNumber)))
	}
	return numbers
}

// requireStored checks that the only object equals a file, and deletes the
// object.
func (p *place) requireStored(t *testing.T, path string, object *presign.Object, about ...any) {
	t.Helper()
	require.Equal(t, []string{object.Key}, p.keys(t), about...)
	out, err := p.client.GetObject(t.Context(), &s3.GetObjectInput{
		Bucket: aws.String(bucket), Key: &object.Key,
	})
	require.NoError(t, err, about...)
	defer out.Body.Close()
	got, err := io.ReadAll(out.Body)
	require.NoError(t, err, about...)
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), about...)
	_, err = p.client.DeleteObject(t.Context(), &s3.DeleteObjectInput{
		Bucket: aws.String(bucket), Key: &object.Key,
	})
	require.NoError(t, err)
}

// newFile writes a file of size random bytes.
func newFile(t *testing.T, name string, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	f, err := os.Create(path)
	require.NoError(t, err)
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{byte(rand.Uint32())}), size)
	require.NoError(t, errors.Join(err, f.Close()))
	return path
}

// countStates returns the number of saved states.
func (u *uploader) countStates(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir(u.states)
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	return len(entries)
}

// A roundTripper is a function that implements http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// intercept makes a client call f for each request.
func intercept(
	client *http.Client, f func(r *http.Request, next http.RoundTripper) (*http.Response, error),
) {
	next := client.Transport
	client.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		return f(r, next)
	})
}

// TestDemo checks that the command in the package documentation prints the
// progress and the result of its uploads.
func TestDemo(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-addr", "127.0.0.1:0"}, &out))
	printed := out.String()
	require.Regexp(t,
		`(?s)^Service  http://127\.0\.0\.1:\d+/uploads\n`+
			`Bucket   put on versitygw at http://127\.0\.0\.1:\d+, started by put\n\n`+
			`small\.txt  100 % of 10 bytes\n`+
			`small\.txt  is stored as files/\w{26}/small\.txt\n`+
			`    text/plain, 10 bytes, ETag "[0-9a-f]+"\n`+
			`large\.bin  10 % of 64\.0 MiB\n.*large\.bin  100 % of 64\.0 MiB, \d+\.\d MiB/s\n`+
			`large\.bin  is stored as files/\w{26}/large\.bin\n`+
			`    application/octet-stream, 67108864 bytes, ETag ".*"\n\n`+
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
	require.Equal(t,
		"a.bin  10 % of 1000 bytes\na.bin  30 % of 1000 bytes\na.bin  100 % of 1000 bytes\n",
		out.String())

	p = newProgress(&out, "a.bin", 1000)
	p.bar = newBar(&out, "a.bin", 1000) // Only terminals show a bar.
	for _, c := range []struct{ n, shown int64 }{{600, 600}, {-200, 400}, {600, 999}, {-100, 900}} {
		p.add(c.n)
		require.Equal(t, c.shown, p.bar.State().CurrentNum)
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
	out := &watchedOutput{when: "film.bin  50 %", then: interrupt}
	require.EqualError(t, run(ctx, args, out),
		"interrupted; run the same command to continue, or with -abort to abort the uploads")
	require.NotContains(t, out.String(), "60 %")
	out = &watchedOutput{}
	require.NoError(t, run(t.Context(), args, out))
	require.Regexp(t, `film\.bin  [45] of 10 parts are stored already\n`, out.String())
	require.Contains(t, out.String(), "film.bin  is stored as files/")
	require.ErrorIs(t, run(t.Context(), append([]string{"-abort"}, args...), io.Discard), errNone)
}

// TestInvalidArguments checks that invalid arguments are rejected before
// anything starts, with an error that states the requirement.
func TestInvalidArguments(t *testing.T) {
	path := newFile(t, "a.bin", 10)
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	defer elsewhere.Close()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"flag after a file": {[]string{path, "-url", elsewhere.URL},
			"flags must be before files, got -url after a file; " +
				"for a file of this name, use ./-url"},
		"no scheme": {[]string{"-url", elsewhere.Listener.Addr().String() + "/uploads", path},
			"-url must have a scheme and a host, such as https://app.example.com/uploads"},
		"no host": {[]string{"-url", "https:///uploads", path},
			"-url must have a scheme and a host, such as https://app.example.com/uploads"},
		"no file": {[]string{"-url", elsewhere.URL}, "arguments must name a file if -url is set"},
		"wrong path": {[]string{"-url", elsewhere.URL + "/elsewhere", "-state", t.TempDir(), path},
			path + ": presign: 404 Not Found; -url must be the URL of the handler, got " +
				elsewhere.URL + "/elsewhere"},
		"address": {[]string{"-addr", elsewhere.Listener.Addr().String(), path},
			"-addr: listen tcp " + elsewhere.Listener.Addr().String() +
				": bind: address already in use; use -addr 127.0.0.1:0 for a free port"},
		"other machines": {[]string{"-addr", "0.0.0.0:0", path},
			"-addr must be a loopback address, because the S3 server listens only on loopback, " +
				`got "0.0.0.0:0"`},
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

// TestUnreachableServiceIsReported checks that a service that does not respond
// is reported once, without secrets.
func TestUnreachableServiceIsReported(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	p := &place{url: gone.URL + "/uploads", http: newClient(1)}
	u := p.newUploader(t, "alice")
	var notes bytes.Buffer
	u.service.notes = &notes
	for range 2 {
		_, err := u.service.completeKey(t.Context(), "incoming/secret/a.bin")
		require.ErrorContains(t, err, "connection refused")
	}
	require.Equal(t,
		"put: the service does not respond, trying again for up to three minutes: dial tcp "+
			gone.Listener.Addr().String()+": connect: connection refused\n", notes.String())
}

// A watchedOutput collects output. It calls then if a write contains when.
type watchedOutput struct {
	mu   sync.Mutex
	text bytes.Buffer
	when string
	then func()
}

func (w *watchedOutput) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.when != "" && strings.Contains(string(p), w.when) {
		w.then()
	}
	return w.text.Write(p)
}

func (w *watchedOutput) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// TestURLsContainNoID checks that the URLs of requests to the service contain
// no ID and no key, because access logs contain URLs.
func TestURLsContainNoID(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	u := p.newUploader(t, "alice")
	path := p.interruptUpload(t, u, "a.bin")
	asked := make(map[string]bool)
	intercept(u.service.http, func(
		r *http.Request, next http.RoundTripper,
	) (*http.Response, error) {
		// Requests are sequential.
		asked[r.Method+" "+strings.TrimPrefix(r.URL.String(), p.url)] = true
		return next.RoundTrip(r)
	})
	_, err := u.put(t.Context(), path)
	require.NoError(t, err)
	require.NoError(t, u.abort(t.Context(), p.interruptUpload(t, u, "a.bin")))
	_, err = u.put(t.Context(), newFile(t, "a.bin", 10))
	require.NoError(t, err)
	require.Equal(t, map[string]bool{
		"POST /": true, "POST /parts/sign": true, "POST /parts/list": true, "POST /complete": true,
		"POST /abort": true,
	}, asked)
}

// TestSizes checks that files of all sizes are stored unchanged.
func TestSizes(t *testing.T) {
	for _, finalPrefix := range []string{"", "files/"} {
		policy := uploads.Policy
		policy.FinalPrefix = finalPrefix
		p := newPlace(t, policy)
		u := p.newUploader(t, "alice")
		for _, size := range []int64{1, 2<<20 - 1, partSize, partSize + 1, 3*partSize - 1} {
			path := newFile(t, "a b.bin", size)
			object, err := u.put(t.Context(), path)
			require.NoError(t, err)
			require.Equal(t, size, object.Size)
			require.Equal(t, "a b.bin", object.Filename)
			require.Equal(t, "alice", object.Owner)
			p.requireStored(t, path, object)
			require.Empty(t, p.uploads(t))
			require.Zero(t, u.countStates(t))
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
			u := p.newUploader(t, "alice")
			_, err := u.put(t.Context(), path)
			require.Error(t, err)
			require.Regexp(t,
				"checksum must be the file|no SHA256 checksum of a whole multipart upload",
				err.Error(), name)
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
			u := p.newUploader(t, "alice")
			u.single = single
			tries := 0
			intercept(u.store, func(
				r *http.Request, next http.RoundTripper,
			) (*http.Response, error) {
				if tries++; tries <= spoiled {
					r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "X-Amz-Signature=",
						"X-Amz-Signature=0", 1)
				}
				return next.RoundTrip(r)
			})
			path := newFile(t, "a.bin", 1000)
			object, err := u.put(t.Context(), path)
			require.Equal(t, min(spoiled+1, tolerance), tries)
			if spoiled == tolerance {
				require.ErrorContains(t, err, "the store returned 403 SignatureDoesNotMatch")
				require.Empty(t, p.keys(t))
				continue
			}
			require.NoError(t, err)
			p.requireStored(t, path, object)
		}
	}
}

// TestStall checks that a request without progress is canceled and sent again.
func TestStall(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	u := p.newUploader(t, "alice")
	u.patience.stall = time.Millisecond
	stalled := false
	intercept(u.store, func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
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
		u := p.newUploader(t, "alice")
		u.patience.tries, u.service.patience.tries = 1, 1
		cut := func(*http.Request, http.RoundTripper) (*http.Response, error) {
			return nil, errors.New("cut")
		}
		intercept(u.store, cut)
		path := newFile(t, "a.bin", size)
		_, err := u.put(t.Context(), path)
		require.ErrorContains(t, err, "the store: cut")
		require.NotContains(t, err.Error(), "http")
		intercept(u.service.http, cut)
		_, err = u.put(t.Context(), path)
		require.EqualError(t, err, "the service: cut")
	}
}

// TestSave checks that save follows no link, that only the user can read the
// state, and that no other file is left.
func TestSave(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("skipped: the test needs links and modes of Unix")
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
	require.Len(t, entries, 2, "the directory must contain the state and the link")

	require.NoError(t, os.Remove(s.path))
	require.NoError(t, os.Mkdir(s.path, 0o700))
	require.Error(t, s.save())
	entries, err = os.ReadDir(".")
	require.NoError(t, err)
	require.Len(t, entries, 2)
}

// TestAbort checks that -abort aborts an interrupted upload.
func TestAbort(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	u := p.newUploader(t, "alice")
	path := p.interruptUpload(t, u, "a.bin")
	require.Len(t, p.uploads(t), 1)
	require.Equal(t, 1, u.countStates(t))
	require.NoError(t, u.abort(t.Context(), path))
	require.Empty(t, p.uploads(t))
	require.Zero(t, u.countStates(t))
	require.ErrorIs(t, u.abort(t.Context(), path), errNone)
}

// interruptUpload starts the upload of a file and interrupts it after two
// parts.
func (p *place) interruptUpload(t *testing.T, u *uploader, name string) string {
	t.Helper()
	path := newFile(t, name, 4*partSize)
	ctx, interrupt := context.WithCancel(t.Context())
	transport := u.store.Transport
	var mu sync.Mutex
	sent := 0
	intercept(u.store, func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock() // Requests are sequential.
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

// countParts returns a function that returns the sorted numbers of the parts
// that u has sent since the call of countParts.
func (u *uploader) countParts() func() []int {
	var mu sync.Mutex
	var numbers []int
	intercept(u.store, func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
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

// encrypt changes ETags, so that they are not the MD5, as at a store that
// encrypts parts.
func (u *uploader) encrypt() {
	intercept(u.store, func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		w, err := next.RoundTrip(r)
		if err == nil && w.StatusCode == http.StatusOK {
			w.Header.Set("ETag", strings.Replace(w.Header.Get("ETag"), `"`, `"e`, 1))
		}
		return w, err
	})
	intercept(u.service.http, func(
		r *http.Request, next http.RoundTripper,
	) (*http.Response, error) {
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
	rewrite(u.service.http, func(r *http.Request, response string) string {
		if strings.HasSuffix(r.URL.Path, "/parts/list") {
			response = strings.ReplaceAll(response, `"etag":"\"`, `"etag":"\"e`)
		}
		return response
	})
}

// TestChangedFile checks that only the changed parts of a file are sent again.
// All parts are sent again if the size changed, or if neither the time of the
// file nor the ETags show which parts changed.
func TestChangedFile(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	// The new time does not depend on the clock of the file system.
	later := func(t *testing.T, path string, s *state) {
		require.NoError(t, os.Chtimes(path, time.Time{}, s.Modified.Add(time.Second)))
	}
	write := func(t *testing.T, path string, offset int64) {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		require.NoError(t, err)
		_, err = f.WriteAt([]byte("other bytes"), offset)
		require.NoError(t, errors.Join(err, f.Close()))
	}
	const missing = 2
	keep := func(*testing.T, string, int64, *state) {}
	changeTime := func(t *testing.T, path string, _ int64, s *state) { later(t, path, s) }
	clearSent := func(_ *testing.T, _ string, _ int64, s *state) { clear(s.sent) }
	for name, c := range map[string]struct {
		// The parameter first is the offset of a part that has arrived.
		change    func(t *testing.T, path string, first int64, s *state)
		encrypted bool
		again     int // number of parts that are sent
	}{
		"unchanged":                            {keep, false, missing},
		"unchanged, no MD5":                    {keep, true, missing},
		"unchanged, no MD5, no parts in state": {clearSent, true, 4},
		"unchanged, no parts in state":         {clearSent, false, missing},
		"time changed":                         {changeTime, false, missing},
		"time changed, no MD5":                 {changeTime, true, 4},
		"one part changed": {func(t *testing.T, path string, first int64, s *state) {
			write(t, path, first)
			later(t, path, s)
		}, false, missing + 1},
		"one part changed, same time, no MD5": {func(
			t *testing.T, path string, first int64, s *state,
		) {
			write(t, path, first)
			require.NoError(t, os.Chtimes(path, time.Time{}, s.Modified))
		}, true, missing + 1},
		"size changed": {func(t *testing.T, path string, _ int64, _ *state) {
			require.NoError(t, os.Truncate(path, 3*partSize+1))
		}, false, 4},
		"size changed to one part": {func(t *testing.T, path string, _ int64, _ *state) {
			require.NoError(t, os.Truncate(path, partSize+1))
		}, false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			u := p.newUploader(t, "alice")
			if c.encrypted {
				u.encrypt()
			}
			path := p.interruptUpload(t, u, "a.bin")
			arrived := p.arrived(t)
			s, err := loadState(u.states, u.service.url, path)
			require.NoError(t, err)
			require.Len(t, s.sent, 2)
			c.change(t, path, int64(arrived[0]-1)*partSize, s)
			require.NoError(t, s.save())
			numbers := u.countParts()
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
	u := p.newUploader(t, "alice")
	u.algorithm = "crc32c"
	path := p.interruptUpload(t, u, "a.bin")
	require.NoError(t, os.WriteFile(path, make([]byte, 4*partSize), 0o600))
	numbers := u.countParts()
	object, err := u.put(t.Context(), path)
	require.NoError(t, err)
	require.Len(t, numbers(), 4)
	p.requireStored(t, path, object)
	require.Empty(t, p.uploads(t))
}

// TestChangeDuringUpload checks that a file that changes during its upload is
// reported as an error.
func TestChangeDuringUpload(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	u := p.newUploader(t, "alice")
	path := newFile(t, "a.bin", 2*partSize)
	once := sync.OnceValue(func() error {
		return os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour))
	})
	intercept(u.store, func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if err := once(); err != nil {
			return nil, err
		}
		return next.RoundTrip(r)
	})
	_, err := u.put(t.Context(), path)
	require.ErrorContains(t, err, "must not change during the upload")
	require.Empty(t, p.keys(t))
	object, err := u.put(t.Context(), path)
	require.NoError(t, err)
	p.requireStored(t, path, object)
}

// TestLostUpload checks that an aborted upload starts again, and that a
// completed upload is not sent again.
func TestLostUpload(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	u := p.newUploader(t, "alice")
	path := p.interruptUpload(t, u, "a.bin")
	s, err := loadState(u.states, u.service.url, path)
	require.NoError(t, err)
	require.NoError(t, u.service.abort(t.Context(), &s.upload))
	numbers := u.countParts()
	object, err := u.put(t.Context(), path)
	require.NoError(t, err)
	require.Equal(t, []int{1, 2, 3, 4}, numbers())
	p.requireStored(t, path, object)

	path = newFile(t, "a.bin", 2*partSize)
	completed := false
	intercept(u.service.http, func(
		r *http.Request, next http.RoundTripper,
	) (*http.Response, error) {
		if completed {
			return nil, context.Canceled
		}
		w, err := next.RoundTrip(r)
		if completed = strings.HasSuffix(r.URL.Path, "/complete"); completed && err == nil {
			_ = w.Body.Close()
			// This simulates a process that is killed before the response.
			return nil, context.Canceled
		}
		return w, err
	})
	_, err = u.put(t.Context(), path)
	require.Error(t, err)
	require.Equal(t, 1, u.countStates(t))
	u.service.http = p.http
	numbers = u.countParts()
	object, err = u.put(t.Context(), path)
	require.NoError(t, err)
	require.Empty(t, numbers())
	p.requireStored(t, path, object)
	require.Zero(t, u.countStates(t))
}

// TestCutPart checks that a part whose request was cut off is sent again, even
// if the store lists a whole part, as versitygw does.
func TestCutPart(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	for _, encrypted := range []bool{false, true} {
		u := p.newUploader(t, "alice")
		if encrypted {
			u.encrypt()
		}
		path := p.interruptUpload(t, u, "a.bin")
		s, err := loadState(u.states, u.service.url, path)
		require.NoError(t, err)
		// One stored part is replaced by a part of the same size with other
		// bytes. Another such part is not in the state.
		other := make([]byte, partSize)
		arrived := p.arrived(t)
		_, rejected := u.sendTo(t, u.partURL(t, &s.upload, arrived[0]), other)
		require.Nil(t, rejected)
		missing := []int{1, 2, 3, 4}
		missing = slices.DeleteFunc(missing, func(number int) bool {
			return slices.Contains(arrived, number)
		})
		_, rejected = u.sendTo(t, u.partURL(t, &s.upload, missing[0]), other)
		require.Nil(t, rejected)
		numbers := u.countParts()
		object, err := u.put(t.Context(), path)
		require.NoError(t, err)
		again := append(missing, arrived[0])
		slices.Sort(again)
		require.Equal(t, again, numbers())
		p.requireStored(t, path, object)
	}
}

// TestIncompleteStateLine checks that an upload continues if the process was
// killed while it wrote the state.
func TestIncompleteStateLine(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	u := p.newUploader(t, "alice")
	path := p.interruptUpload(t, u, "a.bin")
	s, err := loadState(u.states, u.service.url, path)
	require.NoError(t, err)
	require.Len(t, s.sent, 2)
	text, err := os.ReadFile(s.path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(s.path, text[:len(text)-5], 0o600))
	cut, err := loadState(u.states, u.service.url, path)
	require.NoError(t, err)
	require.Len(t, cut.sent, 1)

	// After another interruption, the state has only complete lines.
	transport := u.store.Transport
	ctx, interrupt := context.WithCancel(t.Context())
	intercept(u.store, func(*http.Request, http.RoundTripper) (*http.Response, error) {
		interrupt()
		return nil, ctx.Err()
	})
	_, err = u.put(ctx, path)
	require.ErrorIs(t, err, context.Canceled)
	u.store.Transport = transport
	text, err = os.ReadFile(s.path)
	require.NoError(t, err)
	require.Equal(t, 2, bytes.Count(text, []byte("\n")),
		"the state must have lines for the upload and one part")
	require.True(t, bytes.HasSuffix(text, []byte("\n")))

	numbers := u.countParts()
	object, err := u.put(t.Context(), path)
	require.NoError(t, err)
	require.Len(t, numbers(), 2, "the other part must be recognized by its MD5")
	p.requireStored(t, path, object)
}

// TestPending checks that put waits as long as the service reports that the
// completion is running.
func TestPending(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	for _, size := range []int64{1000, 2 * partSize} {
		u := p.newUploader(t, "alice")
		pending := 0
		intercept(u.service.http, func(
			r *http.Request, next http.RoundTripper,
		) (*http.Response, error) {
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

	// put must not wait after an interruption.
	u := p.newUploader(t, "alice")
	u.service.patience.longest = time.Hour
	ctx, interrupt := context.WithCancel(t.Context())
	intercept(u.service.http, func(
		r *http.Request, next http.RoundTripper,
	) (*http.Response, error) {
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
	u := p.newUploader(t, "alice")
	empty := newFile(t, "a.bin", 0)
	_, err := u.put(t.Context(), empty)
	require.ErrorContains(t, err, "must not be empty")
	_, err = u.put(t.Context(), filepath.Dir(empty))
	require.ErrorContains(t, err, "must be a regular file")
	_, err = u.put(t.Context(), filepath.Join(empty, "none"))
	require.Error(t, err)
	for _, size := range []int64{10, 2 * partSize} {
		_, err = u.put(t.Context(), newFile(t, "a.html", size))
		require.ErrorContains(t, err, `422 type must be one of`)
	}
	u = p.newUploader(t, "eve")
	_, err = u.put(t.Context(), newFile(t, "a.bin", 10))
	require.EqualError(t, err, "presign: 401 The user or the password is wrong.")
	require.Empty(t, p.keys(t))
}

func TestInvalidFlags(t *testing.T) {
	t.Setenv("PUT_USER", "")
	for want, args := range map[string][]string{
		"-parallel must be between 1 and 100, got 0": {"-parallel", "0"},
		"arguments must name a file if -url is set":  {"-url", "http://127.0.0.1/uploads"},
		"-dir and -url must not be set together": {
			"-url", "http://127.0.0.1/uploads", "-dir", "x", "y",
		},
		`-checksum must be one of crc32, crc32c, crc64nvme, sha256, got "md5"`: {
			"-checksum", "md5",
		},
		"-user must be a name, a colon and a password": {
			"-url", "http://127.0.0.1/uploads", "-user", "alice", "x",
		},
	} {
		require.ErrorContains(t, run(t.Context(), args, io.Discard), want)
	}
}

// TestHeader checks that the error for a line of a file contains the number of
// the line but not its text.
func TestHeader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lines")
	require.NoError(t, os.WriteFile(path, []byte("A: 1\n\n the token alone \n"), 0o600))
	header := make(http.Header)
	require.EqualError(t, addHeader(header, "@"+path), path+":3: a header must have a colon")
	require.ErrorIs(t, addHeader(header, "@"+path+"x"), fs.ErrNotExist)
	require.EqualError(t, addHeader(header, "the token alone"), "a header must have a colon")
	require.NoError(t, addHeader(header, "a:2"))
	require.Equal(t, http.Header{"A": {"1", "2"}}, header)
}

// TestUser checks that the user can be set by a flag, by the environment or by
// a header.
func TestUser(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	path := newFile(t, "a.thing", 10)
	r := http.Request{Header: make(http.Header)}
	r.SetBasicAuth("alice", users["alice"])
	lines := filepath.Join(t.TempDir(), "lines")
	authorization := "Authorization: " + r.Header.Get("Authorization")
	content := []byte("\r\n" + authorization + "\r\n\nX-Other: a:b")
	require.NoError(t, os.WriteFile(lines, content, 0o600))
	for _, c := range []struct {
		environment string
		args        []string
	}{
		{"", []string{"-user", "alice:" + users["alice"]}},
		{"alice:" + users["alice"], nil},
		{"", []string{"-header", authorization, "-header", "X-Other: a:b"}},
		{"", []string{"-header", "@" + lines}},
	} {
		t.Setenv("PUT_USER", c.environment)
		var out bytes.Buffer
		args := []string{
			"-url", p.url + "/", "-state", t.TempDir(), "-type", "application/x-thing",
		}
		args = append(append(args, c.args...), path)
		require.NoError(t, run(t.Context(), args, &out))
		require.NotContains(t, out.String(), r.Header.Get("Authorization"))
		stored := regexp.MustCompile(`is stored as (\S+)\n    application/x-thing, 10 bytes`)
		key := stored.FindStringSubmatch(out.String())
		require.Len(t, key, 2, out.String())
		p.requireStored(t, path, &presign.Object{Key: key[1]})
	}
}
