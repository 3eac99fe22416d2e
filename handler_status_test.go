package presign_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/s3test"
)

// An apiRequest is a valid request to a Handler.
type apiRequest struct {
	method, path, body string

	usesStore   bool // The Handler makes a request to the store.
	namesUpload bool // The request has the ID of a multipart upload.
}

// requests returns a request for each operation of a Handler. Requests for a
// multipart upload have the ID of m, whose size is unknown.
func requests(m startedMultipart) []apiRequest {
	id := fmt.Sprintf(`{"id": %q`, m.ID)
	client := uppy{version: 5}
	s := started{UploadID: m.ID, Key: m.Key}
	return []apiRequest{
		{"GET", "/", "", false, false},
		{"POST", "/", `{"filename": "a.png", "method": "multipart"}`, true, false},
		{"POST", "/batch", `{"uploads": [{"filename": "a.png"}]}`, false, false},
		{"POST", "/parts/sign", id + `, "first": 1, "last": 1}`, true, true},
		{"POST", "/parts/list", id + `}`, true, true},
		{"POST", "/complete", id + `}`, true, true},
		{"POST", "/abort", id + `}`, true, true},
		{"GET", "/s3/params?filename=a.png", "", false, false},
		{"POST", "/s3/multipart", `{"filename": "a.png"}`, true, false},
		{"GET", client.path(s, "", ""), "", true, true},
		{"GET", client.path(s, "/1", ""), "", true, true},
		{"GET", client.path(s, "/batch", "partNumbers=1&"), "", true, true},
		{"POST", client.path(s, "/complete", ""), `{"parts": [{"PartNumber": 1, "ETag": "a"}]}`, true, true},
		{"DELETE", client.path(s, "", ""), "", true, true},
	}
}

// request returns the HTTP request of alice.
func (o apiRequest) request() *http.Request {
	r := httptest.NewRequest(o.method, o.path, strings.NewReader(o.body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-User", "alice")
	return r
}

// requireInterrupted serves the request with a context that has ended. A
// completion continues in the background, so its response might be a success.
func (o apiRequest) requireInterrupted(
	t *testing.T, handler http.Handler, ctx context.Context, status int,
) {
	w := serve(t, handler, o.request().WithContext(ctx))
	if w.Code != 200 || !strings.Contains(o.path, "/complete") {
		requireProblem(t, w, status)
	}
}

// TestRequestsFail checks that each failure of a request has its status.
func TestRequestsFail(t *testing.T) {
	var failure error
	s := open(t, s3test.New(), multipartPolicy())
	n := newNative(t, s, presign.WithUppy())
	m := n.start(nil)
	signed := n.sign(map[string]any{"id": m.ID, "first": 1, "last": 1})
	n.putPart(t, &presign.Grant{Method: "PUT", URL: signed.URLs[0]}, png)
	authenticate := func(*http.Request) (string, error) { return "alice", failure }
	handler, err := presign.NewHandler(s.Signer, authenticate, presign.WithUppy())
	require.NoError(t, err)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	<-expired.Done()
	for _, o := range requests(m) {
		t.Run(o.method+" "+o.path, func(t *testing.T) {
			failure = errors.New("the session store is down")
			requireProblem(t, serve(t, handler, o.request()), 500)
			failure = &presign.Problem{Status: 403}
			requireProblem(t, serve(t, handler, o.request()), 403)
			failure = nil
			if o.usesStore {
				failure = &presign.Problem{Status: 503, RetryAfter: time.Second}
				requireProblem(t, serve(t, handler, o.request()), 503)
				failure = nil
				s.store.Fail(func(string, *http.Request) s3test.Fault {
					return s3test.InternalError
				})
				requireProblem(t, serve(t, handler, o.request()), 502)
				s.store.Fail(nil)
				if o.method == "DELETE" || o.path == "/abort" { // An abort outlasts its request.
					require.Equal(t, 200, serve(t, handler, o.request().WithContext(canceled)).Code)
					require.Equal(t, 200, serve(t, handler, o.request().WithContext(expired)).Code)
				} else {
					o.requireInterrupted(t, handler, canceled, 503)
					o.requireInterrupted(t, handler, expired, 504)
				}
			}
			if o.method != "POST" {
				return
			}
			r := o.request()
			r.Header.Set("Content-Type", "text/plain")
			requireProblem(t, serve(t, handler, r), 415)
			r = o.request()
			r.Header.Set("Content-Encoding", "br")
			w := serve(t, handler, r)
			require.Equal(t, "identity", w.Header().Get("Accept-Encoding"))
			requireProblem(t, w, 415)
			o.body = strings.Repeat(" ", 1<<20) + o.body
			requireProblem(t, serve(t, handler, o.request()), 413)
			o.body = "{"
			requireProblem(t, serve(t, handler, o.request()), 400)
		})
	}
}

// TestRequestsAfterExpiry checks that all operations of an expired multipart
// upload return status 410.
func TestRequestsAfterExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNative(t, open(t, s3test.New(), multipartPolicy()), presign.WithUppy())
		m := n.start(nil)
		time.Sleep(7*24*time.Hour + time.Second)
		for _, o := range requests(m) {
			if o.namesUpload {
				requireProblem(t, serve(t, n.handler, o.request()), 410)
			}
		}
	})
}

// TestListsTakeLittleMemory checks that no list takes more than four times the
// memory of the largest body.
func TestListsTakeLittleMemory(t *testing.T) {
	n := newNative(t, open(t, s3test.New(), multipartPolicy()), presign.WithUppy())
	m := n.start(nil)
	for _, o := range requests(m) {
		if o.method != "POST" {
			continue
		}
		name := "parts"
		if strings.Contains(o.body, "uploads") {
			name = "uploads"
		}
		for _, element := range []string{
			`1`, `{}`, `[]`, `null`, `""`, `{"number":1}`, `{"PartNumber":1,"ETag":"a"}`,
			`{"filename":"a"}`, `{"metadata":{"a":"b"}}`,
		} {
			start := fmt.Sprintf(`{"id":%q,%q:[`, m.ID, name)
			count := (1<<20 - len(start) - 2) / (len(element) + 1)
			list := strings.TrimSuffix(strings.Repeat(element+",", count), ",")
			body := []byte(start + list + "]}")
			r := httptest.NewRequest(o.method, o.path, bytes.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("X-User", "alice")
			w := httptest.NewRecorder()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			n.handler.ServeHTTP(w, r)
			runtime.ReadMemStats(&after)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4<<20),
				"%s %s: %d", o.path, element, w.Code)
			require.GreaterOrEqual(t, w.Code, 400)
		}
	}
}

// newFailingSigner returns a Signer whose credentials provider returns the
// error of retrieve.
func newFailingSigner(t *testing.T, retrieve func() error) *presign.Signer {
	t.Helper()
	client := newClient(func(o *s3.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return session, retrieve()
		})
	})
	signer, err := presign.NewSigner(client, "bucket", images(), presign.WithSecret(secret),
		presign.WithLogger(newLog(t, io.Discard)))
	require.NoError(t, err)
	return signer
}

// TestSlowBatch checks that the time limit for the credentials does not include
// the time of the WithAuthorize function.
func TestSlowBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newClient(func(o *s3.Options) {
			retrieve := func(ctx context.Context) (aws.Credentials, error) {
				deadline, ok := ctx.Deadline()
				require.True(t, ok)
				require.GreaterOrEqual(t, time.Until(deadline), 5*time.Second)
				return session, ctx.Err()
			}
			o.Credentials = aws.CredentialsProviderFunc(retrieve)
		})
		signer, err := presign.NewSigner(client, "bucket", images(), presign.WithSecret(secret))
		require.NoError(t, err)
		authorize := func(*http.Request, *presign.Upload) error {
			time.Sleep(4 * time.Second)
			return nil
		}
		handler, err := presign.NewHandler(signer, user, presign.WithAuthorize(authorize))
		require.NoError(t, err)
		n := native{t: t, handler: handler, user: "alice"}
		nine := strings.Repeat(`{"filename": "a.png"},`, 9)
		results := n.batch(`{"uploads": [` + nine + `{"filename": "a.png"}]}`).Results
		require.Len(t, results, 10)
		for _, r := range results {
			require.Zero(t, r.Status, "the upload must be granted")
		}
	})
}

// TestBatchEndsWithCredentials checks that the function of WithAuthorize is not
// called again after the credentials have failed. The uploads that were not
// signed must have the same problem.
func TestBatchEndsWithCredentials(t *testing.T) {
	calls, signs := 0, 0
	signer := newFailingSigner(t, func() error {
		if signs++; signs > 2 {
			return errors.New("STS is down")
		}
		return nil
	})
	authorize := func(*http.Request, *presign.Upload) error { calls++; return nil }
	handler, err := presign.NewHandler(signer, user, presign.WithAuthorize(authorize))
	require.NoError(t, err)
	n := native{t: t, handler: handler, user: "alice"}
	b := n.batch(`{"uploads": [{"filename": "a.png"}, {"filename": "b.png"}, {"filename": "c.png"},
		{"filename": "d.png"}, {"filename": "e.png"}]}`)
	var statuses []int
	for _, r := range b.Results {
		statuses = append(statuses, r.Status)
	}
	require.Equal(t, []int{0, 0, 503, 503, 503}, statuses)
	require.Equal(t, 3, calls)
	require.Equal(t, 3, signs)
}
