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

// words are the store's own, or those of STS: no client reads them.
const words = "our own words from 10.0.0.1"

// A fault changes the response to a request to the store or to STS. forward sends the
// request on.
type fault struct {
	name  string
	round func(r *http.Request, forward func() (*http.Response, error)) (*http.Response, error)
}

// says answers with an error of S3. What it echoes of the request may be secret.
func says(status int, code string) fault {
	return fault{fmt.Sprint(status, " ", code), func(r *http.Request, _ func() (*http.Response, error)) (*http.Response, error) {
		return answer(r, status, `<?xml version="1.0"?><Error><Code>`+code+`</Code><Message>`+words+`</Message><StringToSign>`+
			session.SessionToken+`</StringToSign><SignatureProvided>`+strings.Repeat("0a", 32)+`</SignatureProvided></Error>`), nil
	}}
}

func answer(r *http.Request, status int, body string) *http.Response {
	if r.Method == http.MethodHead {
		body = ""
	}
	return &http.Response{StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, ContentLength: int64(len(body)),
		Body: io.NopCloser(strings.NewReader(body)), Request: r}
}

// redirects sends elsewhere.
func redirects(status int) fault {
	return fault{fmt.Sprint(status), func(r *http.Request, _ func() (*http.Response, error)) (*http.Response, error) {
		moved := answer(r, status, words)
		moved.Header.Set("Location", "https://elsewhere.example"+r.URL.RequestURI())
		return moved, nil
	}}
}

// breaks has the request take effect, and the answer end in the middle.
func breaks(name string, end func(context.Context) error) fault {
	return fault{name, func(r *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
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
		whole.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:len(body)/2]), readFunc(func([]byte) (int, error) {
			return 0, end(r.Context())
		})))
		return whole, nil
	}}
}

func cut(context.Context) error { return io.ErrUnexpectedEOF }

func never(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// faults are all that a service on the way to its store may meet with.
var faults = []fault{
	says(500, "InternalError"), says(503, "SlowDown"), says(403, "AccessDenied"), says(403, "RequestTimeTooSkewed"),
	says(200, "InternalError"), redirects(301), redirects(307),
	{"garbage", func(r *http.Request, _ func() (*http.Response, error)) (*http.Response, error) {
		return answer(r, 200, "<html><h1>"+words+"</h1></html>"), nil
	}},
	{"no XML", func(r *http.Request, _ func() (*http.Response, error)) (*http.Response, error) {
		return answer(r, 200, words+session.SessionToken), nil
	}},
	{"nothing", func(r *http.Request, _ func() (*http.Response, error)) (*http.Response, error) {
		return answer(r, 200, ""), nil
	}},
	{"502", func(r *http.Request, _ func() (*http.Response, error)) (*http.Response, error) {
		return answer(r, 502, words), nil
	}},
	{"refused", func(*http.Request, func() (*http.Response, error)) (*http.Response, error) {
		return nil, errors.New("dial 10.0.0.1: connection refused")
	}},
	{"never", func(r *http.Request, _ func() (*http.Response, error)) (*http.Response, error) {
		return nil, never(r.Context())
	}},
	{"never, but done", func(r *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
		_, _ = forward()
		return nil, never(r.Context())
	}},
	{"cut, but done", func(r *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
		_, _ = forward()
		return nil, io.ErrUnexpectedEOF
	}},
	breaks("cut in the middle", cut), breaks("slow in the middle", never),
}

// A network connects a service and its store. The request whose number, from 0 on, is
// failing has the fault. If failing is negative, all have it.
type network struct {
	t       *testing.T
	store   *s3test.Server
	fault   func(r *http.Request, forward func() (*http.Response, error)) (*http.Response, error)
	failing int

	mu     sync.Mutex
	seen   []string // operations
	failed string   // the operation that did
}

// RoundTrip implements http.RoundTripper.
func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if r.URL.Host == "elsewhere.example" {
		if r.Header.Get("Authorization") != "" {
			n.t.Error("a signature went elsewhere")
		}
		return answer(r, 200, words), nil
	}
	forward := func() (*http.Response, error) { return n.store.HTTPClient().Transport.RoundTrip(r) }
	if !n.fails(operation(r)) {
		return forward()
	}
	return n.fault(r, forward)
}

// fails reports whether the next request fails.
func (n *network) fails(operation string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seen = append(n.seen, operation)
	if n.fault == nil || n.failing >= 0 && len(n.seen)-1 != n.failing {
		return false
	}
	n.failed = operation
	return true
}

// operation returns S3's name of what a request of the SDK does.
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

// deed is a request to the handler that has requests to the store follow.
type deed struct {
	name string
	// prepare returns the request. What it takes is there then.
	prepare func(t *testing.T, u uppy) func() *http.Request
	status  int
	left    []string // of what is in the bucket and under way in the end: "object", "upload"

	// goesOn are the operations that follow even if the client is gone.
	goesOn []string
}

var (
	// tooMuch is a byte more than an upload may have here.
	tooMuch = make([]byte, 1001)

	publishing = []string{"ListParts", "CompleteMultipartUpload", "CopyObject", "HeadObject", "GetObject", "DeleteObject"}
	aborting   = []string{"AbortMultipartUpload", "ListParts"}
)

var deeds = []deed{
	{"complete", func(t *testing.T, u uppy) func() *http.Request {
		grant := u.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, true, png, nil)
		return func() *http.Request { return u.request("POST", "/complete", `{"key": "`+grant.Key+`"}`) }
	}, 200, []string{"object"}, publishing},
	{"start in parts", func(t *testing.T, u uppy) func() *http.Request {
		return func() *http.Request { return u.request("POST", "/s3/multipart", `{"filename": "a.png"}`) }
	}, 200, nil, append([]string{"ListMultipartUploads"}, aborting...)},
	{"list parts", inUpload("GET", "", png), 200, []string{"upload"}, nil},
	{"sign a part", inUpload("GET", "/1", png), 200, []string{"upload"}, nil},
	{"sign a batch", inUpload("GET", "/batch", png), 200, []string{"upload"}, nil},
	{"sign too much", inUpload("GET", "/1", tooMuch), 422, nil, aborting},
	{"complete in parts", inUpload("POST", "/complete", png), 200, []string{"object"}, append([]string{"ListParts", "CompleteMultipartUpload"}, publishing...)},
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

// begin has a deed ready to be done.
func (d deed) begin(t *testing.T, opts ...func(*s3.Options)) (uppy, *network, func() *http.Request) {
	n := &network{t: t, store: s3test.New()}
	client := n.store.S3(append(opts, func(o *s3.Options) { o.HTTPClient = &http.Client{Transport: n} })...)
	policy := final()
	policy.MaxSize = int64(len(tooMuch)) - 1
	u := mount(t, open(t, n.store, policy, presign.WithStore(client)))
	request := d.prepare(t, u)
	n.seen = nil
	return u, n, request
}

// end does a deed again, after an answer that may have been its success, and requires that it is done then, and nothing else.
func (d deed) end(t *testing.T, u uppy, request func() *http.Request, before *httptest.ResponseRecorder) {
	t.Helper()
	w := serve(t, u.handler, request())
	if d.status >= 400 && w.Code == 404 { // The rejected upload was deleted.
		requireProblem(t, w, 404)
	} else {
		require.Equal(t, d.status, w.Code, w.Body)
	}
	if d.name == "start in parts" { // Abort the uploads whose IDs the client received.
		for _, answer := range []*httptest.ResponseRecorder{before, w} {
			if answer.Code == 200 {
				m, err := u.ResumeMultipart("alice", decode[started](t, answer).UploadID)
				require.NoError(t, err)
				require.NoError(t, m.Abort(t.Context()))
			}
		}
	}
	d.requireLeft(t, u)
}

// requireLeft looks at what is in the bucket, and under way.
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

func decode[T any](t *testing.T, w *httptest.ResponseRecorder) (v T) {
	t.Helper()
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &v), w.Body)
	return v
}

// TestStoreFaults checks that after a fault of any request to the store, the
// client receives Retry-After in time and no text of the store, and that
// repeating the request is enough.
func TestStoreFaults(t *testing.T) {
	for _, d := range deeds {
		for _, fault := range faults {
			for failing, met := 0, true; met; failing++ {
				synctest.Test(t, func(t *testing.T) {
					u, n, request := d.begin(t)
					n.fault, n.failing = fault.round, failing
					began := time.Now()
					w := serve(t, u.handler, request())
					synctest.Wait() // A completion can continue.
					met = n.failed != ""
					about := fmt.Sprintf("%s: %q at %s, request %d: %d %s", d.name, fault.name, n.failed, failing, w.Code, w.Body)
					require.LessOrEqual(t, time.Since(began), 25*time.Second, about)
					require.NotContains(t, w.Body.String(), words, about)
					pending := w.Code == 409
					if pending { // The request may take as long as gigabytes and 10,000 parts need.
						require.Contains(t, []string{"CopyObject", "CompleteMultipartUpload"}, n.failed, about)
						require.Equal(t, 25*time.Second, time.Since(began), about)
						require.Equal(t, "pending", requireProblem(t, w, 409).Errors[0].Code, about)
						require.NoError(t, u.Shutdown(t.Context()))
						require.LessOrEqual(t, time.Since(began), 5*time.Minute, about)
					} else if w.Code != d.status {
						require.Equal(t, "30", w.Header().Get("Retry-After"), about)
						require.Contains(t, []int{502, 504}, w.Code, about)
						require.NotEmpty(t, u.log.String(), about)
						requireProblem(t, w, w.Code)
					}
					n.fault = nil
					d.end(t, u, request, w)
				})
			}
		}
	}
}

func abortUploads(store *s3test.Server, key string) error {
	return objectstore.Store{Client: store.S3(), Bucket: s3test.DefaultBucket}.AbortUploads(context.Background(), key, nil)
}

// TestStoreStaysDown checks that the retries of the SDK do not exceed the time
// for a response.
func TestStoreStaysDown(t *testing.T) {
	for _, d := range deeds {
		for _, fault := range faults {
			synctest.Test(t, func(t *testing.T) {
				u, n, request := d.begin(t, func(o *s3.Options) { o.Retryer = retry.NewStandard() })
				n.fault, n.failing = fault.round, -1
				began := time.Now()
				w := serve(t, u.handler, request())
				about := fmt.Sprintf("%s: %q at %q: %d %s", d.name, fault.name, n.seen, w.Code, w.Body)
				require.LessOrEqual(t, time.Since(began), 10*time.Second, about)
				require.NotContains(t, w.Body.String(), words, about)
				if w.Code != d.status { // an answer that was lost did not matter the second time
					require.Equal(t, "30", w.Header().Get("Retry-After"), about)
					require.Contains(t, []int{502, 504}, w.Code, about)
					requireProblem(t, w, w.Code)
				}
				n.fault = nil
				if d.name == "start in parts" { // what began though nobody heard of it is for the lifecycle rule then
					for _, key := range u.uploads(t) {
						require.NoError(t, abortUploads(u.store, key))
					}
				}
				d.end(t, u, request, w)
			})
		}
	}
}

// TestClientLeaves checks that after the client has left, the only further
// requests to the store undo or publish the upload, and that no goroutine
// remains. Otherwise the bubble would not end.
func TestClientLeaves(t *testing.T) {
	for _, d := range deeds {
		for _, late := range []bool{false, true} {
			for leaving, met := 0, true; met; leaving++ {
				synctest.Test(t, func(t *testing.T) {
					u, n, request := d.begin(t)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					n.failing = leaving
					n.fault = func(r *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
						answered, err := (*http.Response)(nil), error(nil)
						if late {
							answered, err = forward()
						}
						cancel()
						synctest.Wait() // not every context hears at once
						if r.Context().Err() != nil {
							return nil, r.Context().Err()
						}
						require.Contains(t, d.goesOn, operation(r), "%s goes on", d.name)
						if late {
							return answered, err
						}
						return forward()
					}
					w := serve(t, u.handler, request().WithContext(ctx))
					require.NoError(t, u.Shutdown(t.Context()))
					synctest.Wait()
					if met = n.failed != ""; met {
						for _, after := range n.seen[leaving+1:] {
							require.Contains(t, d.goesOn, after, "%s, left at %s", d.name, n.failed)
						}
						if d.goesOn != nil && slices.Contains([]string{"CopyObject", "DeleteObject", "AbortMultipartUpload"}, n.failed) {
							d.requireLeft(t, u)
						}
					}
					n.fault = nil
					d.end(t, u, request, w)
				})
			}
		}
	}
}

// FuzzStore checks that the client receives a success or a problem for any
// response of the store, without the text that is meant for the service.
func FuzzStore(f *testing.F) {
	for i, xml := range []string{
		`<ListPartsResult><UploadId>a</UploadId><Part><PartNumber>1</PartNumber><Size>129</Size><ETag>"a"</ETag></Part></ListPartsResult>`,
		`<CopyObjectResult><ETag>"a"</ETag></CopyObjectResult>`, `<Error><Code>NoSuchUpload</Code></Error>`, `<Error><Code>PreconditionFailed</Code></Error>`,
		`<InitiateMultipartUploadResult><UploadId>a</UploadId></InitiateMultipartUploadResult>`, `<CompleteMultipartUploadResult><ETag>b</ETag>`,
		`<ListMultipartUploadsResult><Upload><Key>incoming/a.png</Key></Upload></ListMultipartUploadsResult>`, "<", "",
	} {
		f.Add(uint8(i), uint8(i%3), uint16(200+i%5*51), "ETag: \"a\"\nContent-Length: 129\nX-Amz-Meta-Presign: A", xml)
	}
	f.Fuzz(func(t *testing.T, what, failing uint8, status uint16, header, body string) {
		synctest.Test(t, func(t *testing.T) {
			u, n, request := deeds[int(what)%len(deeds)].begin(t)
			n.failing = int(failing % 10)
			n.fault = func(r *http.Request, _ func() (*http.Response, error)) (*http.Response, error) {
				said := answer(r, 200+int(status%400), body)
				for line := range strings.SplitSeq(header, "\n") {
					name, value, _ := strings.Cut(line, ":")
					said.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
				}
				said.Header.Set("X-Amz-Secret", words)
				return said, nil
			}
			w := serve(t, u.handler, request())
			require.NotContains(t, w.Body.String(), words)
			if w.Code != 200 {
				require.Contains(t, []int{404, 409, 410, 413, 422, 502, 504}, w.Code, w.Body)
				requireProblem(t, w, w.Code)
			}
		})
	})
}

// sessions answers as STS does when a role is assumed.
func sessions(r *http.Request) (*http.Response, error) {
	return answer(r, 200, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>`+
		session.AccessKeyID+`</AccessKeyId><SecretAccessKey>`+session.SecretAccessKey+`</SecretAccessKey><SessionToken>`+session.SessionToken+
		`</SessionToken><Expiration>`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`), nil
}

// TestSTSFaults checks that a grant fails in time while STS fails, does not
// reveal the reason, and succeeds when STS does.
func TestSTSFaults(t *testing.T) {
	for name, provider := range map[string]func(*testing.T, *sts.Client) aws.CredentialsProvider{
		"AssumeRole": func(t *testing.T, client *sts.Client) aws.CredentialsProvider {
			return presign.AssumeRole(client, roleARN, newLog(t, io.Discard))
		},
		"CredentialsCache": func(_ *testing.T, client *sts.Client) aws.CredentialsProvider {
			return aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(client, roleARN))
		},
	} {
		for _, fault := range append([]fault{{"ended", func(r *http.Request, _ func() (*http.Response, error)) (*http.Response, error) {
			return answer(r, 200, "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>a</AccessKeyId><SecretAccessKey>"+session.SecretAccessKey+
				"</SecretAccessKey><SessionToken>a</SessionToken><Expiration>1999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"), nil
		}}, {"cut at the secret", func(r *http.Request, _ func() (*http.Response, error)) (*http.Response, error) {
			return answer(r, 200, "<AssumeRoleResponse><AssumeRoleResult><Credentials><SecretAccessKey>"+session.SecretAccessKey), nil
		}}}, faults...) {
			synctest.Test(t, func(t *testing.T) {
				var down atomic.Bool
				client := sts.New(sts.Options{
					Region: "us-east-1", Credentials: newClient().Options().Credentials, BaseEndpoint: aws.String("https://sts.example"),
					// For as long as this the SDK's cache waits, whoever is gone; AssumeRole has a limit of its own.
					HTTPClient: &http.Client{Timeout: 20 * time.Second, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
						switch forward := func() (*http.Response, error) { return sessions(r) }; {
						case r.Context().Err() != nil:
							return nil, r.Context().Err()
						case r.URL.Host == "elsewhere.example":
							if r.Header.Get("Authorization") != "" {
								t.Error("a signature went elsewhere")
							}
							return answer(r, 200, words), nil
						case down.Load():
							return fault.round(r, forward)
						default:
							return forward()
						}
					})},
				})
				store := s3test.New()
				signer, err := presign.NewSigner(store.S3(func(o *s3.Options) { o.Credentials = provider(t, client) }), s3test.DefaultBucket, inParts(),
					presign.WithSecret(secret), presign.WithStore(store.S3()))
				require.NoError(t, err)
				u := mount(t, shop{signer, store, new(bytes.Buffer)})
				begun := u.start(t, "a.png", map[string]any{"size": len(png)})
				for _, broken := range []bool{true, false} {
					down.Store(broken)
					for _, request := range []*http.Request{
						u.request("POST", "", `{"filename": "a.png", "size": 10}`), u.request("POST", "", `{"filename": "a.png"}`),
						u.request("GET", "/s3/params?filename=a.png", ""), u.request("GET", u.path(begun, "/1", ""), ""),
					} {
						began := time.Now()
						w := serve(t, u.handler, request)
						about := fmt.Sprintf("%s: %q: %d %s", name, fault.name, w.Code, w.Body)
						require.LessOrEqual(t, time.Since(began), 10*time.Second, about)
						if !broken {
							require.Contains(t, []int{200, 201}, w.Code, about)
							continue
						}
						require.NotContains(t, w.Body.String(), words, about)
						require.Equal(t, "30", w.Header().Get("Retry-After"), about)
						require.Contains(t, []int{503, 504}, w.Code, about)
						requireProblem(t, w, w.Code)
					}
					time.Sleep(time.Minute)
				}
			})
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
