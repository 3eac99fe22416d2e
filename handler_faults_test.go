package presign_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/test/s3test"
)

// internalText is in responses of the store and of STS. Clients must not
// receive it.
const internalText = "internal text from 10.0.0.1"

// A forwardFunc sends a request to the server.
type forwardFunc = func() (*http.Response, error)

// A respondFunc returns the response to a request. It can call forward.
type respondFunc = func(r *http.Request, forward forwardFunc) (*http.Response, error)

// A fault changes the response to a request to the store or to STS.
type fault struct {
	name    string
	respond respondFunc
}

// returnError returns a fault that responds with an error of S3. The error
// echoes secrets of the request, as S3 can.
func returnError(status int, code string) fault {
	name := fmt.Sprint(status, " ", code)
	return fault{name, func(r *http.Request, _ forwardFunc) (*http.Response, error) {
		signature := strings.Repeat("0a", 32)
		return newResponse(r, status, `<?xml version="1.0"?><Error><Code>`+code+
			`</Code><Message>`+internalText+
			`</Message><StringToSign>`+session.SessionToken+
			`</StringToSign><SignatureProvided>`+signature+`</SignatureProvided></Error>`), nil
	}}
}

// newResponse returns a response to r.
func newResponse(r *http.Request, status int, body string) *http.Response {
	if r.Method == http.MethodHead {
		body = ""
	}
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, ContentLength: int64(len(body)),
		Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}
}

// redirect returns a fault that redirects the request to another host.
func redirect(status int) fault {
	return fault{fmt.Sprint(status), func(r *http.Request, _ forwardFunc) (*http.Response, error) {
		moved := newResponse(r, status, internalText)
		moved.Header.Set("Location", "https://elsewhere.example"+r.URL.RequestURI())
		return moved, nil
	}}
}

// breakResponse returns a fault that forwards the request and breaks the
// response in the middle, with the error that end returns.
func breakResponse(name string, end func(context.Context) error) fault {
	return fault{name, func(r *http.Request, forward forwardFunc) (*http.Response, error) {
		whole, err := forward()
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(whole.Body)
		if err != nil {
			return nil, err
		}
		if len(body) == 0 {
			return nil, end(r.Context())
		}
		broken := readFunc(func([]byte) (int, error) { return 0, end(r.Context()) })
		whole.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:len(body)/2]), broken))
		return whole, nil
	}}
}

// cut returns the error of a closed connection.
func cut(context.Context) error { return io.ErrUnexpectedEOF }

// hang waits until ctx ends.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// faults lists the faults that can occur between a service and its store.
var faults = []fault{
	returnError(500, "InternalError"), returnError(503, "SlowDown"),
	returnError(403, "AccessDenied"), returnError(403, "RequestTimeTooSkewed"),
	returnError(200, "InternalError"), redirect(301), redirect(307),
	{"garbage", func(r *http.Request, _ forwardFunc) (*http.Response, error) {
		return newResponse(r, 200, "<html><h1>"+internalText+"</h1></html>"), nil
	}},
	{"text", func(r *http.Request, _ forwardFunc) (*http.Response, error) {
		return newResponse(r, 200, internalText+session.SessionToken), nil
	}},
	{"nothing", func(r *http.Request, _ forwardFunc) (*http.Response, error) {
		return newResponse(r, 200, ""), nil
	}},
	{"502", func(r *http.Request, _ forwardFunc) (*http.Response, error) {
		return newResponse(r, 502, internalText), nil
	}},
	{"connection refused", func(*http.Request, forwardFunc) (*http.Response, error) {
		return nil, errors.New("dial 10.0.0.1: connection refused")
	}},
	{"hangs", func(r *http.Request, _ forwardFunc) (*http.Response, error) {
		return nil, hang(r.Context())
	}},
	{"hangs after the request took effect",
		func(r *http.Request, forward forwardFunc) (*http.Response, error) {
			_, _ = forward()
			return nil, hang(r.Context())
		}},
	{"cut after the request took effect",
		func(r *http.Request, forward forwardFunc) (*http.Response, error) {
			_, _ = forward()
			return nil, io.ErrUnexpectedEOF
		}},
	breakResponse("cut in the middle", cut), breakResponse("slow in the middle", hang),
}

// A network connects a service and its store. Request number failing, counted
// from 0, has the fault. If failing is negative, all requests have the fault.
type network struct {
	t       *testing.T
	store   *s3test.Server
	fault   respondFunc
	failing int

	mu     sync.Mutex
	seen   []string // operations
	failed string   // the operation that had the fault
}

// RoundTrip implements http.RoundTripper.
func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if r.URL.Host == "elsewhere.example" {
		if r.Header.Get("Authorization") != "" {
			n.t.Error("a signature must not be sent to another host")
		}
		return newResponse(r, 200, internalText), nil
	}
	forward := func() (*http.Response, error) { return n.store.HTTPClient().Transport.RoundTrip(r) }
	if !n.countRequest(operation(r)) {
		return forward()
	}
	return n.fault(r, forward)
}

// countRequest adds a request and reports whether it fails.
func (n *network) countRequest(operation string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seen = append(n.seen, operation)
	if n.fault == nil || n.failing >= 0 && len(n.seen)-1 != n.failing {
		return false
	}
	n.failed = operation
	return true
}

// operation returns the name of the S3 operation that a request of the SDK
// performs.
func operation(r *http.Request) string {
	query := r.URL.Query()
	switch {
	case query.Get("x-id") != "":
		return query.Get("x-id")
	case r.Method == http.MethodHead:
		return "HeadObject"
	case r.Method == http.MethodGet:
		return "ListMultipartUploads"
	case query.Has("uploads"):
		return "CreateMultipartUpload"
	}
	return "CompleteMultipartUpload"
}

// A deed is a request to the handler that causes requests to the store.
type deed struct {
	name string
	// prepare creates the upload that the request requires. It returns a
	// function that returns the request.
	prepare func(t *testing.T, u uppy) func() *http.Request
	status  int
	left    []string // "object" or "upload" for each one that remains afterwards

	// continues lists the operations that follow even if the client
	// disconnects.
	continues []string
}

var (
	// tooMuch is one byte larger than the policy allows.
	tooMuch = make([]byte, 1001)

	publishing = []string{
		"ListParts", "CompleteMultipartUpload", "CopyObject", "HeadObject", "GetObject",
		"DeleteObject",
	}
	aborting = []string{"AbortMultipartUpload", "ListParts"}
)

var deeds = []deed{
	{"complete", func(t *testing.T, u uppy) func() *http.Request {
		grant := u.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, true, png, nil)
		return func() *http.Request {
			return u.request("POST", "/complete", `{"key": "`+grant.Key+`"}`)
		}
	}, 200, []string{"object"}, publishing},
	{"start multipart", func(t *testing.T, u uppy) func() *http.Request {
		return func() *http.Request {
			return u.request("POST", "/s3/multipart", `{"filename": "a.png"}`)
		}
	}, 200, nil, append([]string{"ListMultipartUploads"}, aborting...)},
	{"list parts", inUpload("GET", "", png), 200, []string{"upload"}, nil},
	{"sign a part", inUpload("GET", "/1", png), 200, []string{"upload"}, nil},
	{"sign a batch", inUpload("GET", "/batch", png), 200, []string{"upload"}, nil},
	{"sign too much", inUpload("GET", "/1", tooMuch), 422, nil, aborting},
	{"complete multipart", inUpload("POST", "/complete", png), 200, []string{"object"}, append([]string{"ListParts", "CompleteMultipartUpload"}, publishing...)},
	{"complete too much", inUpload("POST", "/complete", tooMuch), 422, nil, aborting},
	{"abort", inUpload("DELETE", "", png), 200, nil, []string{"AbortMultipartUpload", "ListParts"}},
}

// inUpload returns a request for a multipart upload that has one part.
func inUpload(method, rest string, part []byte) func(*testing.T, uppy) func() *http.Request {
	return func(t *testing.T, u uppy) func() *http.Request {
		s := u.start(t, "a.png", nil)
		etag := u.putPart(t, &presign.Grant{Method: "PUT", URL: u.sign(t, s, 1)}, part)
		return func() *http.Request {
			body := ""
			if method == "POST" {
				body = u.completion([]string{etag})
			}
			return u.request(method, u.path(s, rest, "partNumbers=1&"), body)
		}
	}
}

// start returns a client, the network of its service, and the request of a
// deed.
func (d deed) start(
	t *testing.T, opts ...func(*s3.Options),
) (uppy, *network, func() *http.Request) {
	n := &network{t: t, store: s3test.New()}
	client := n.store.S3(append(opts, func(o *s3.Options) {
		o.HTTPClient = &http.Client{Transport: n}
	})...)
	policy := final()
	policy.MaxSize = int64(len(tooMuch)) - 1
	u := mount(t, open(t, n.store, policy, presign.WithStore(client)))
	request := d.prepare(t, u)
	n.seen = nil
	return u, n, request
}

// repeat sends the request of a deed again, and checks that the request has the
// effect of the deed and no other effect. The parameter before is the first
// response.
func (d deed) repeat(
	t *testing.T, u uppy, request func() *http.Request, before *httptest.ResponseRecorder,
) {
	t.Helper()
	w := serve(t, u.handler, request())
	if d.status >= 400 && w.Code == 404 { // The rejected upload was deleted.
		requireProblem(t, w, 404)
	} else {
		require.Equal(t, d.status, w.Code, w.Body)
	}
	if d.name == "start multipart" { // Abort the uploads whose IDs the client received.
		for _, response := range []*httptest.ResponseRecorder{before, w} {
			if response.Code == 200 {
				m, err := u.ResumeMultipart("alice", decode[started](t, response).UploadID)
				require.NoError(t, err)
				require.NoError(t, m.Abort(t.Context()))
			}
		}
	}
	d.requireLeft(t, u)
}

// requireLeft checks the objects in the bucket and the multipart uploads in
// progress.
func (d deed) requireLeft(t *testing.T, u uppy) {
	t.Helper()
	left := make([]string, 0, 1)
	for range u.uploads(t) {
		left = append(left, "upload")
	}
	for _, key := range u.keys() {
		require.True(t, strings.HasPrefix(key, "published/"), key)
		left = append(left, "object")
	}
	require.Equal(t, append([]string{}, d.left...), left)
}

// decode returns the value of a JSON response.
func decode[T any](t *testing.T, w *httptest.ResponseRecorder) (v T) {
	t.Helper()
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &v), w.Body)
	return v
}

// TestStoreFaults checks that the response after any fault of the store arrives
// in time and contains no text of the store. A response with status 502 or 504
// has Retry-After, and the client can repeat its request.
func TestStoreFaults(t *testing.T) {
	for _, d := range deeds {
		for _, fault := range faults {
			for failing, met := 0, true; met; failing++ {
				synctest.Test(t, func(t *testing.T) {
					u, n, request := d.start(t)
					n.fault, n.failing = fault.respond, failing
					started := time.Now()
					w := serve(t, u.handler, request())
					synctest.Wait() // A completion can continue in the background.
					met = n.failed != ""
					about := fmt.Sprintf("%s: %q at %s, request %d: %d %s", d.name, fault.name,
						n.failed, failing, w.Code, w.Body)
					require.LessOrEqual(t, time.Since(started), 25*time.Second, about)
					require.NotContains(t, w.Body.String(), internalText, about)
					pending := w.Code == 409
					if pending { // Copies and completions of large files have a longer limit.
						require.Contains(t, []string{"CopyObject", "CompleteMultipartUpload"},
							n.failed, about)
						require.Equal(t, 25*time.Second, time.Since(started), about)
						require.Equal(t, "pending", requireProblem(t, w, 409).Errors[0].Code, about)
						require.NoError(t, u.Shutdown(t.Context()))
						require.LessOrEqual(t, time.Since(started), 5*time.Minute, about)
					} else if w.Code != d.status {
						require.Equal(t, "30", w.Header().Get("Retry-After"), about)
						require.Contains(t, []int{502, 504}, w.Code, about)
						require.NotEmpty(t, u.log.String(), about)
						requireProblem(t, w, w.Code)
					}
					n.fault = nil
					d.repeat(t, u, request, w)
				})
			}
		}
	}
}

// abortUploads aborts the multipart uploads of a key, as a lifecycle rule does.
func abortUploads(store *s3test.Server, key string) error {
	s := objectstore.Store{Client: store.S3(), Bucket: s3test.DefaultBucket}
	return s.AbortUploads(context.Background(), key, nil)
}

// TestStoreStaysDown checks that the retries of the SDK do not exceed the time
// for a response.
func TestStoreStaysDown(t *testing.T) {
	for _, d := range deeds {
		for _, fault := range faults {
			synctest.Test(t, func(t *testing.T) {
				u, n, request := d.start(t, func(o *s3.Options) { o.Retryer = retry.NewStandard() })
				n.fault, n.failing = fault.respond, -1
				started := time.Now()
				w := serve(t, u.handler, request())
				about := fmt.Sprintf("%s: %q at %q: %d %s", d.name, fault.name, n.seen, w.Code,
					w.Body)
				require.LessOrEqual(t, time.Since(started), 10*time.Second, about)
				require.NotContains(t, w.Body.String(), internalText, about)
				if w.Code != d.status { // A retry succeeds if only the response was lost.
					require.Equal(t, "30", w.Header().Get("Retry-After"), about)
					require.Contains(t, []int{502, 504}, w.Code, about)
					requireProblem(t, w, w.Code)
				}
				n.fault = nil
				// A lifecycle rule aborts uploads whose ID no client has
				// received.
				if d.name == "start multipart" {
					for _, key := range u.uploads(t) {
						require.NoError(t, abortUploads(u.store, key))
					}
				}
				d.repeat(t, u, request, w)
			})
		}
	}
}

// TestClientLeaves checks that after the client has disconnected, further
// requests to the store only abort or publish the upload, and that no goroutine
// remains. Otherwise the bubble would not end.
func TestClientLeaves(t *testing.T) {
	for _, d := range deeds {
		for _, late := range []bool{false, true} {
			for leaving, met := 0, true; met; leaving++ {
				synctest.Test(t, func(t *testing.T) {
					u, n, request := d.start(t)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					n.failing = leaving
					n.fault = func(r *http.Request, forward forwardFunc) (*http.Response, error) {
						resp, err := (*http.Response)(nil), error(nil)
						if late {
							resp, err = forward()
						}
						cancel()
						synctest.Wait() // Cancellation takes effect asynchronously.
						if r.Context().Err() != nil {
							return nil, r.Context().Err()
						}
						require.Contains(t, d.continues, operation(r), "%s must not continue",
							d.name)
						if late {
							return resp, err
						}
						return forward()
					}
					w := serve(t, u.handler, request().WithContext(ctx))
					require.NoError(t, u.Shutdown(t.Context()))
					synctest.Wait()
					if met = n.failed != ""; met {
						for _, after := range n.seen[leaving+1:] {
							require.Contains(t, d.continues, after, "%s must not continue after %s",
								d.name, n.failed)
						}
						final := []string{"CopyObject", "DeleteObject", "AbortMultipartUpload"}
						if d.continues != nil && slices.Contains(final, n.failed) {
							d.requireLeft(t, u)
						}
					}
					n.fault = nil
					d.repeat(t, u, request, w)
				})
			}
		}
	}
}

// FuzzStore checks that the client receives a success or a problem for any
// response of the store, without the text of the response.
func FuzzStore(f *testing.F) {
	for i, xml := range []string{
		`<ListPartsResult><UploadId>a</UploadId><Part><PartNumber>1</PartNumber><Size>129</Size><ETag>"a"</ETag></Part></ListPartsResult>`,
		`<CopyObjectResult><ETag>"a"</ETag></CopyObjectResult>`,
		`<Error><Code>NoSuchUpload</Code></Error>`,
		`<Error><Code>PreconditionFailed</Code></Error>`,
		`<InitiateMultipartUploadResult><UploadId>a</UploadId></InitiateMultipartUploadResult>`,
		`<CompleteMultipartUploadResult><ETag>b</ETag>`,
		`<ListMultipartUploadsResult><Upload><Key>incoming/a.png</Key></Upload></ListMultipartUploadsResult>`,
		"<", "",
	} {
		f.Add(uint8(i), uint8(i%3), uint16(200+i%5*51),
			"ETag: \"a\"\nContent-Length: 129\nX-Amz-Meta-Presign: A", xml)
	}
	f.Fuzz(func(t *testing.T, index, failing uint8, status uint16, header, body string) {
		synctest.Test(t, func(t *testing.T) {
			u, n, request := deeds[int(index)%len(deeds)].start(t)
			n.failing = int(failing % 10)
			n.fault = func(r *http.Request, _ forwardFunc) (*http.Response, error) {
				resp := newResponse(r, 200+int(status%400), body)
				for line := range strings.SplitSeq(header, "\n") {
					name, value, _ := strings.Cut(line, ":")
					resp.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
				}
				resp.Header.Set("X-Amz-Secret", internalText)
				return resp, nil
			}
			w := serve(t, u.handler, request())
			require.NotContains(t, w.Body.String(), internalText)
			if w.Code != 200 {
				require.Contains(t, []int{404, 409, 410, 413, 422, 502, 504}, w.Code, w.Body)
				requireProblem(t, w, w.Code)
			}
		})
	})
}

// assumeRole returns the response of STS for AssumeRole.
func assumeRole(r *http.Request) (*http.Response, error) {
	expires := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	return newResponse(r, 200, `<AssumeRoleResponse `+
		`xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>`+
		`<Credentials><AccessKeyId>`+session.AccessKeyID+
		`</AccessKeyId><SecretAccessKey>`+session.SecretAccessKey+
		`</SecretAccessKey><SessionToken>`+session.SessionToken+
		`</SessionToken><Expiration>`+expires+
		`</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`), nil
}

// stsFaults lists further faults, which can occur between a service and STS.
var stsFaults = []fault{
	{"ended", func(r *http.Request, _ forwardFunc) (*http.Response, error) {
		return newResponse(r, 200, "<AssumeRoleResponse><AssumeRoleResult><Credentials>"+
			"<AccessKeyId>a</AccessKeyId><SecretAccessKey>"+session.SecretAccessKey+
			"</SecretAccessKey><SessionToken>a</SessionToken>"+
			"<Expiration>1999-01-01T00:00:00Z</Expiration>"+
			"</Credentials></AssumeRoleResult></AssumeRoleResponse>"), nil
	}},
	{"cut at the secret", func(r *http.Request, _ forwardFunc) (*http.Response, error) {
		return newResponse(r, 200, "<AssumeRoleResponse><AssumeRoleResult><Credentials>"+
			"<SecretAccessKey>"+session.SecretAccessKey), nil
	}},
}

// newSTS returns a client of STS. The responses have the fault while down is
// set.
func newSTS(t *testing.T, down *atomic.Bool, f fault) *sts.Client {
	transport := roundTripper(func(r *http.Request) (*http.Response, error) {
		switch forward := func() (*http.Response, error) { return assumeRole(r) }; {
		case r.Context().Err() != nil:
			return nil, r.Context().Err()
		case r.URL.Host == "elsewhere.example":
			if r.Header.Get("Authorization") != "" {
				t.Error("a signature must not be sent to another host")
			}
			return newResponse(r, 200, internalText), nil
		case down.Load():
			return f.respond(r, forward)
		default:
			return forward()
		}
	})
	return sts.New(sts.Options{
		Region:       "us-east-1",
		Credentials:  newClient().Options().Credentials,
		BaseEndpoint: aws.String("https://sts.example"),
		// The SDK's cache waits this long even after the context of its caller
		// has ended. AssumeRole has its own limit.
		HTTPClient: &http.Client{Timeout: 20 * time.Second, Transport: transport},
	})
}

// TestSTSFaults checks that a request for a grant fails in time while STS
// fails, does not reveal the reason, and succeeds when STS works again.
func TestSTSFaults(t *testing.T) {
	for name, newProvider := range map[string]func(*testing.T, *sts.Client) aws.CredentialsProvider{
		"AssumeRole": func(t *testing.T, client *sts.Client) aws.CredentialsProvider {
			return presign.AssumeRole(client, roleARN, newLog(t, io.Discard))
		},
		"CredentialsCache": func(_ *testing.T, client *sts.Client) aws.CredentialsProvider {
			return aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(client, roleARN))
		},
	} {
		for _, fault := range slices.Concat(stsFaults, faults) {
			synctest.Test(t, func(t *testing.T) {
				var down atomic.Bool
				provider := newProvider(t, newSTS(t, &down, fault))
				store := s3test.New()
				client := store.S3(func(o *s3.Options) { o.Credentials = provider })
				signer, err := presign.NewSigner(client, s3test.DefaultBucket, multipartPolicy(),
					presign.WithSecret(secret), presign.WithStore(store.S3()))
				require.NoError(t, err)
				u := mount(t, shop{signer, store, new(bytes.Buffer)})
				upload := u.start(t, "a.png", map[string]any{"size": len(png)})
				for _, broken := range []bool{true, false} {
					down.Store(broken)
					requireGrants(t, u, upload, broken, fmt.Sprintf("%s: %q", name, fault.name))
					time.Sleep(time.Minute)
				}
			})
		}
	}
}

// requireGrants checks the response to each kind of request for a grant while
// STS is broken or works.
func requireGrants(t *testing.T, u uppy, upload started, broken bool, name string) {
	t.Helper()
	for _, request := range []*http.Request{
		u.request("POST", "", `{"filename": "a.png", "size": 10}`),
		u.request("POST", "", `{"filename": "a.png"}`),
		u.request("GET", "/s3/params?filename=a.png", ""),
		u.request("GET", u.path(upload, "/1", ""), ""),
	} {
		startedAt := time.Now()
		w := serve(t, u.handler, request)
		about := fmt.Sprintf("%s: %d %s", name, w.Code, w.Body)
		require.LessOrEqual(t, time.Since(startedAt), 10*time.Second, about)
		if !broken {
			require.Contains(t, []int{200, 201}, w.Code, about)
			continue
		}
		require.NotContains(t, w.Body.String(), internalText, about)
		require.Equal(t, "30", w.Header().Get("Retry-After"), about)
		require.Contains(t, []int{503, 504}, w.Code, about)
		requireProblem(t, w, w.Code)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
