package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/examples/put/internal/uploads"
)

// A fault describes a failure of a request.
type fault struct {
	name     string
	arrive   bool // the request takes effect although it fails
	half     bool // half of its body arrives
	response func(response *http.Response) (*http.Response, error)
}

// failWith returns a function that returns err instead of a response.
func failWith(err error) func(*http.Response) (*http.Response, error) {
	return func(*http.Response) (*http.Response, error) { return nil, err }
}

var faults = []fault{
	{name: "500", response: func(*http.Response) (*http.Response, error) {
		const body = `<?xml version="1.0"?><Error><Code>InternalError</Code>` +
			`<Message>We encountered an internal error.</Message></Error>`
		return &http.Response{
			StatusCode: 500, Header: http.Header{"Content-Type": {"application/xml"}},
			Body: io.NopCloser(strings.NewReader(body)),
		}, nil
	}},
	{name: "timeout", response: failWith(context.DeadlineExceeded)},
	{name: "timeout after", arrive: true, response: failWith(context.DeadlineExceeded)},
	{name: "cut", half: true, response: failWith(syscall.ECONNRESET)},
	{name: "cut after", arrive: true, response: failWith(syscall.ECONNRESET)},
	{name: "cut in the response", arrive: true, response: func(
		response *http.Response,
	) (*http.Response, error) {
		text, _ := io.ReadAll(response.Body)
		half := bytes.NewReader(text[:len(text)/2])
		response.Body = io.NopCloser(io.MultiReader(half, readerFunc(func([]byte) (int, error) {
			return 0, syscall.ECONNRESET
		})))
		return response, nil
	}},
}

// A line is a network on which the requests in a range fail.
type line struct {
	mu       sync.Mutex
	fault    fault
	from, to int    // the range of requests that fail
	count    int    // number of requests
	failed   string // the last failed request
	deletes  int    // number of finished requests that delete an object
}

// reset resets the line and sets the requests that fail.
func (l *line) reset(f fault, from, to int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault, l.from, l.to, l.count, l.failed, l.deletes = f, from, to, 0, "", 0
}

// waitForDelete waits until the service has tried to delete the upload after
// its response. It returns the last failed request.
func (l *line) waitForDelete(t *testing.T) (failed string) {
	t.Helper()
	require.Eventually(t, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		failed = l.failed
		return l.deletes > 0
	}, 30*time.Second, time.Millisecond)
	return failed
}

// lastFailed returns the last failed request.
func (l *line) lastFailed() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

func (l *line) carry(r *http.Request, next http.RoundTripper) (*http.Response, error) {
	if r.Method == http.MethodDelete && !r.URL.Query().Has("uploadId") {
		defer func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.deletes++
		}()
	}
	l.mu.Lock()
	number, f := l.count, l.fault
	l.count++
	fails := number >= l.from && number < l.to
	if fails {
		l.failed = r.Method + " " + r.URL.Path
	}
	l.mu.Unlock()
	if !fails {
		return next.RoundTrip(r)
	}
	if f.half && r.Body != nil && r.ContentLength > 0 {
		sent, body := r.ContentLength/2, r.Body
		r = r.Clone(r.Context())
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(io.LimitReader(body, sent), readerFunc(func([]byte) (int, error) {
			return 0, syscall.ECONNRESET
		})), body}
		if response, err := next.RoundTrip(r); err == nil {
			_ = response.Body.Close()
		}
		return f.response(nil)
	}
	if !f.arrive {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return f.response(nil)
	}
	response, err := next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return f.response(response)
}

// An httpClient is a function that implements s3.HTTPClient.
type httpClient func(*http.Request) (*http.Response, error)

func (c httpClient) Do(r *http.Request) (*http.Response, error) { return c(r) }

// newFaultyPlace returns a service that uses a line for requests to its store
// and does not repeat them.
func newFaultyPlace(t *testing.T, l *line) *place {
	t.Helper()
	server := newStore(t)
	client := server.Client(func(o *s3.Options) {
		o.RetryMaxAttempts = 1
		o.HTTPClient = httpClient(func(r *http.Request) (*http.Response, error) {
			return l.carry(r, http.DefaultTransport)
		})
	})
	return openPlace(t, server, client, uploads.Policy)
}

// discardLog discards the log, because the tests provoke failures.
func discardLog(t *testing.T) {
	before := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	t.Cleanup(func() { slog.SetDefault(before) })
}

// kinds lists the methods of uploads. If faults is empty, a method is tested
// with all faults. The upload of two parts is tested with few faults, because a
// part of at least 5 MiB is slow.
var kinds = []struct {
	name         string
	size, single int64
	faults       []string
}{
	{"one request", 1000, partSize, nil},
	{"one part", 1000, 0, nil},
	{"two parts", partSize + 1000, partSize, []string{"500", "cut after"}},
}

// forEachFault calls f for all kinds and faults.
func forEachFault(
	t *testing.T, f func(kind string, u func(*place) *uploader, path string, fault fault),
) {
	t.Helper()
	for _, kind := range kinds {
		path := newFile(t, "a.bin", kind.size)
		for _, fault := range faults {
			if kind.faults != nil && !slices.Contains(kind.faults, fault.name) {
				continue
			}
			f(kind.name, func(p *place) *uploader {
				u := p.newUploader(t, "alice")
				u.parallel, u.single = 1, kind.single // This fixes the order of requests.
				return u
			}, path, fault)
		}
	}
}

// TestStoreFailsService checks that the client succeeds after a fault of any
// request of the service to the store, and that only the object remains.
func TestStoreFailsService(t *testing.T) {
	discardLog(t)
	l := new(line)
	p := newFaultyPlace(t, l)
	requests := make(map[string]int)
	forEachFault(t, func(kind string, alice func(*place) *uploader, path string, f fault) {
		for failing := 0; ; failing++ {
			l.reset(f, failing, failing+1)
			u := alice(p)
			object, err := u.put(t.Context(), path)
			require.NoError(t, err, "%s, %s in request %d", kind, f.name, failing)
			failed := l.waitForDelete(t)
			about := fmt.Sprintf("%s, %s in request %d: %s", kind, f.name, failing, failed)
			require.Zero(t, u.countStates(t), about)
			// The next completion repeats a failed deletion.
			if strings.HasPrefix(failed, "DELETE ") {
				_, err := u.service.completeKey(t.Context(),
					strings.Replace(object.Key, "files/", "incoming/", 1))
				require.NoError(t, err, about)
			}
			require.Equal(t, []string{object.Key}, p.keys(t), about)
			objects, under := p.clear(t, path, about)
			require.Equal(t, []int{1, 0}, []int{objects, under}, about)
			if failed == "" {
				requests[kind] = failing
				break
			}
		}
	})
	t.Log("number of requests of the service to the store, each tested with each fault:", requests)
	require.Equal(t, 5, requests["one request"])
	require.Greater(t, requests["one part"], requests["one request"]+2)
	require.Equal(t, requests["one part"], requests["two parts"])
}

// TestStoreFailsClient checks that the client succeeds after a fault of any of
// its requests, to the service or to the store.
func TestStoreFailsClient(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	forEachFault(t, func(kind string, alice func(*place) *uploader, path string, f fault) {
		for failing := 0; ; failing++ {
			l := new(line)
			l.reset(f, failing, failing+1)
			u := alice(p)
			intercept(u.store, l.carry)
			intercept(u.service.http, l.carry)
			object, err := u.put(t.Context(), path)
			about := fmt.Sprintf("%s, %s in request %d: %s", kind, f.name, failing, l.failed)
			require.NoError(t, err, about)
			require.Zero(t, u.countStates(t), about)
			require.Contains(t, p.keys(t), object.Key, about)
			objects, under := p.clear(t, path, about)
			require.Equal(t, 1, objects, about)
			if !f.arrive || failing > 0 { // Otherwise the response to the start was lost.
				require.Zero(t, under, about)
			}
			if l.failed == "" {
				require.Greater(t, failing, 2)
				break
			}
		}
	})
}

// TestOutage checks that only whole files are stored if all requests fail from
// some request on, and that the same command completes the upload afterwards.
func TestOutage(t *testing.T) {
	discardLog(t)
	for _, side := range []string{"service", "client"} {
		l := new(line)
		p := newFaultyPlace(t, l)
		if side == "client" {
			p = newPlace(t, uploads.Policy)
		}
		forEachFault(t, func(kind string, alice func(*place) *uploader, path string, f fault) {
			if f.name != "500" && f.name != "cut after" {
				return // These faults cover requests with and without an effect.
			}
			for failing := 0; ; failing++ {
				l.reset(f, failing, math.MaxInt)
				u := alice(p)
				u.patience.tries, u.service.patience.tries = 2, 2
				if side == "client" {
					intercept(u.store, l.carry)
					intercept(u.service.http, l.carry)
				}
				_, err := u.put(t.Context(), path)
				failed := l.lastFailed()
				if side == "service" && err == nil {
					failed = l.waitForDelete(t)
				}
				about := fmt.Sprintf("%s, %s from request %d on: %s", kind, f.name, failing, failed)
				if failed == "" {
					require.NoError(t, err)
					p.clear(t, path, about)
					break
				}
				l.reset(f, 0, 0)
				if err != nil { // Without an error, only the deletion of the upload has failed.
					object, err := u.put(t.Context(), path)
					require.NoError(t, err, about)
					require.Contains(t, p.keys(t), object.Key, about)
					require.Zero(t, u.countStates(t), about)
				}
				objects, under := p.clear(t, path, about)
				if kind != "one request" && err != nil {
					require.Equal(t, 1, objects, about)
				}
				if failing > 0 || !f.arrive { // Otherwise the response to the start was lost.
					require.Zero(t, under, about)
				}
			}
		})
	}
}

// clear checks that all objects equal the file. It deletes the objects and
// aborts open multipart uploads, as a lifecycle rule does.
func (p *place) clear(t *testing.T, path, about string) (objects, under int) {
	t.Helper()
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, key := range p.keys(t) {
		out, err := p.client.GetObject(t.Context(), &s3.GetObjectInput{
			Bucket: aws.String(bucket), Key: &key,
		})
		require.NoError(t, err, about)
		got, err := io.ReadAll(out.Body)
		require.NoError(t, errors.Join(err, out.Body.Close()), about)
		require.True(t, bytes.Equal(want, got), about)
		_, err = p.client.DeleteObject(t.Context(), &s3.DeleteObjectInput{
			Bucket: aws.String(bucket), Key: &key,
		})
		require.NoError(t, err)
		objects++
	}
	for _, upload := range p.uploads(t) {
		_, err := p.client.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{
			Bucket: aws.String(bucket), Key: upload.Key, UploadId: upload.UploadId,
		})
		require.NoError(t, err)
		under++
	}
	return objects, under
}
