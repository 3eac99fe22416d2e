// Package s3test is a strict S3 server that runs inside a test.
//
// Unlike common test servers, it rejects what Amazon S3 rejects, with the same
// status and error code. It verifies signatures, POST policies, signed headers,
// checksums and conditions. It shares no code with the packages that it tests:
// the signer of the AWS SDK recomputes signatures.
//
// It implements PutObject, POST Object, CopyObject, GetObject, HeadObject,
// DeleteObject, GetObjectTagging, ListObjectsV2 and multipart uploads. Buckets
// may have versioning, but not lifecycle rules, CORS or public access. Their
// owner enforces ownership, so ACLs are disabled. Everything else fails with
// 501 NotImplemented, so that no test passes because a header was silently
// ignored.
//
// # Histories and schedules
//
//   - [WithHistory] records every request and every state of every key. Tests
//     use it to prove that an object never appeared.
//   - [WithTick] sets a virtual clock, which makes [Requests.Depth] exact.
//   - [Server.Intercept] sets functions that are called before and after each
//     request. The functions can change objects, or make the request fail as
//     networks and S3 do. [Server.Fail] is a shorter form.
//   - [Server.Actor] names one of several clients. [Actor.Crash] crashes the
//     client.
//   - [WithoutConditions] and [WithQuirks] make the server behave like stores
//     that are less careful than S3.
//   - [Server.Put] and [Server.PutPart] store objects and parts of any size
//     without holding their bytes.
//
// # Differences from S3
//
//   - The server responds with 501 to streaming payloads (aws-chunked), SSE-C,
//     the XXHASH checksums, x-amz-expected-bucket-owner, conditions on the
//     time, and an If-Match on the deletion of a version. It accepts
//     encoding-type only for ListObjectsV2. It also responds with 501 to
//     headers of a copy that S3 ignores because it copies the headers of the
//     source.
//   - A signature that covers a content-length of 0, user-agent,
//     x-amzn-trace-id, expect or transfer-encoding is never valid, since the
//     SDK's signer cannot compute it.
//   - Duplicate form fields are rejected, but S3 joins their values with a
//     comma.
//   - Policies must be strict JSON, with operators in lower case. S3 also
//     accepts the escapes \$ and \v.
//   - A form that is dated more than 15 minutes ahead or 7 days ago is
//     rejected, even if its policy has not expired.
//   - Conditional writes have one conflict only: a multipart upload fails with
//     409 ConditionalRequestConflict if an object under its key was deleted
//     meanwhile.
//   - A repeated completion of a multipart upload succeeds while its object
//     exists, but fails with If-None-Match. S3 may also return NoSuchUpload.
//   - A part without a checksum is rejected if the upload has a COMPOSITE
//     checksum. For a FULL_OBJECT checksum, the server computes the checksum of
//     the part.
package s3test

import (
	"context"
	"crypto/rand"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// The permanent credentials that every server accepts, taken from the AWS
// documentation, and the defaults of a server.
const (
	AccessKeyID     = "AKIAIOSFODNN7EXAMPLE"
	SecretAccessKey = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	DefaultBucket   = "bucket"
	DefaultRegion   = "us-east-1"
	DefaultHost     = "s3.test"
)

// A Server is an S3 endpoint that holds its buckets in memory. It is an
// http.Handler and safe for concurrent use. Its clock is time.Now, so that
// tests can use it in a testing/synctest bubble.
type Server struct {
	// URL is the endpoint, without a trailing slash.
	URL string

	region, host string
	versioned    bool
	maxCopySize  int64 // of one request
	client       *http.Client

	clock     *clock        // nil without WithTick
	copyTime  time.Duration // per GiB
	quirks    []Quirk
	careless  []string // operations whose conditions are ignored
	recording bool

	mu       sync.RWMutex
	keys     map[string]aws.Credentials  // by access key ID
	buckets  map[string]bucket           // by name; an Object in one never changes
	uploads  map[string]*multipartUpload // by ID
	hook     Hook
	crashed  map[string]bool // by name of an Actor
	steps    int64
	handled  int        // requests
	requests []*Request // if recording
	changes  []change   // if recording
}

// An Option configures a Server.
type Option func(*Server)

// WithRegion sets the only region that the server accepts in a credential
// scope.
func WithRegion(region string) Option {
	return func(s *Server) { s.region = region }
}

// WithHost sets the name of the endpoint, without a port. A request to
// bucket.host is virtual-hosted.
func WithHost(host string) Option {
	return func(s *Server) { s.host = host }
}

// WithBuckets creates these buckets instead of DefaultBucket.
func WithBuckets(names ...string) Option {
	return func(s *Server) {
		s.buckets = make(map[string]bucket)
		for _, name := range names {
			s.buckets[name] = make(bucket)
		}
	}
}

// New returns a server at https://s3.test without a network. Only its own
// HTTPClient reaches it.
func New(opts ...Option) *Server {
	s := newServer(DefaultHost, opts)
	s.URL = "https://" + s.host
	s.client = &http.Client{Transport: wire{s}, CheckRedirect: showRedirect}
	return s
}

// Start returns a server that listens on a free port of the loopback interface
// until the test ends. Its HTTPClient connects to the server for every host, so
// that virtual-hosted requests need no name resolution.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s := newServer("127.0.0.1", opts)
	listener := httptest.NewServer(s)
	t.Cleanup(listener.Close)
	address := listener.Listener.Addr()
	_, port, err := net.SplitHostPort(address.String())
	if err != nil {
		t.Fatal(err)
	}
	s.URL = "http://" + net.JoinHostPort(s.host, port)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, network, address.String())
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	s.client = &http.Client{Transport: transport, CheckRedirect: showRedirect}
	return s
}

func newServer(host string, opts []Option) *Server {
	s := &Server{
		region: DefaultRegion, host: host, maxCopySize: maxObjectSize,
		keys: make(map[string]aws.Credentials), uploads: make(map[string]*multipartUpload),
		crashed: make(map[string]bool),
	}
	WithBuckets(DefaultBucket)(s)
	for _, opt := range opts {
		opt(s)
	}
	s.AddCredentials(aws.Credentials{AccessKeyID: AccessKeyID, SecretAccessKey: SecretAccessKey})
	return s
}

func showRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// HTTPClient returns a client that reaches this server. It follows no
// redirects.
//
// The client of a server from New calls ServeHTTP in the goroutine of the
// caller, with the bytes that a connection would have carried. A body that is
// longer or shorter than its Content-Length is an error. A body of unknown
// length is chunked.
func (s *Server) HTTPClient() *http.Client { return s.client }

// S3 returns an SDK client of this server with the permanent credential, in
// path style, without retries.
func (s *Server) S3(optFns ...func(*s3.Options)) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(s.URL),
		Region:       s.region,
		UsePathStyle: true,
		Credentials:  credentials.NewStaticCredentialsProvider(AccessKeyID, SecretAccessKey, ""),
		HTTPClient:   s.client,
		Retryer:      aws.NopRetryer{},
		// Otherwise PutObject would stream its payload with a trailer.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
	}, optFns...)
}

// AddCredentials makes the server accept the credentials, which replace
// credentials with the same access key ID. Credentials with a SessionToken are
// temporary: the server rejects requests without the token, and requests after
// Expires if CanExpire is set.
func (s *Server) AddCredentials(creds aws.Credentials) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[creds.AccessKeyID] = creds
}

// Object returns the stored object, if there is one. Callers must not change
// its slices and maps.
func (s *Server) Object(bucket, key string) (Object, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	o := s.buckets[bucket].current(key)
	if o == nil {
		return Object{}, false
	}
	return *o, true
}

// Objects returns the keys of the bucket in ascending order.
func (s *Server) Objects(bucket string) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	keys := slices.Sorted(maps.Keys(s.buckets[bucket]))
	return slices.DeleteFunc(keys,
		func(key string) bool { return s.buckets[bucket].current(key) == nil })
}

// A request is an HTTP request with its bucket and key.
type request struct {
	*http.Request
	query       url.Values
	bucket, key string
	virtual     bool // the bucket is part of the host
	instant     bool // the request takes no tick
	record      *Request
}

// ServeHTTP serves one S3 request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	req, malformed := s.address(r)
	if err := s.startRequest(req); err != nil {
		panic(http.ErrAbortHandler)
	}
	response := &statusWriter{ResponseWriter: w}
	defer func() { s.finish(req, response.status) }()
	response.Header().Set("Server", "AmazonS3")
	response.Header().Set("X-Amz-Request-Id", rand.Text()[:16])
	err := malformed
	if err == nil {
		err = s.serve(response, req)
	}
	if err != nil {
		writeError(response, req.Method, err)
	}
}

// A handler performs an operation. The signature of the request has been
// verified, except for postForm, which verifies the signature of the form.
type handler func(*Server, http.ResponseWriter, *request) error

// operations holds all operations except the form, by their names in S3. Each
// has the query parameters that it accepts.
var operations = map[string]struct {
	perform    handler
	parameters []string
}{
	"PutObject":        {(*Server).putObject, nil},
	"CopyObject":       {(*Server).copyObject, nil},
	"GetObject":        {(*Server).getObject, append(slices.Collect(maps.Keys(overrides)), "versionId")},
	"HeadObject":       {(*Server).getObject, append(slices.Collect(maps.Keys(overrides)), "versionId")},
	"DeleteObject":     {(*Server).deleteObject, []string{"versionId"}},
	"GetObjectTagging": {(*Server).getObjectTagging, []string{"tagging", "versionId"}},
	"ListObjectsV2": {(*Server).listObjects, []string{
		"list-type", "prefix", "delimiter", "max-keys", "start-after", "continuation-token",
		"encoding-type",
	}},

	"CreateMultipartUpload":   {(*Server).createUpload, []string{"uploads"}},
	"UploadPart":              {(*Server).uploadPart, []string{"partNumber", "uploadId"}},
	"UploadPartCopy":          {(*Server).copyPart, []string{"partNumber", "uploadId"}},
	"ListParts":               {(*Server).listParts, []string{"uploadId", "max-parts", "part-number-marker"}},
	"CompleteMultipartUpload": {(*Server).completeUpload, []string{"uploadId"}},
	"AbortMultipartUpload":    {(*Server).abortUpload, []string{"uploadId"}},
	"ListMultipartUploads": {(*Server).listUploads, []string{
		"uploads", "prefix", "key-marker", "upload-id-marker", "max-uploads",
	}},
}

// operation returns the name of the requested operation, or "" if it is
// unknown.
func (r *request) operation() string {
	bucketOnly, copies := r.key == "", r.Header.Get("X-Amz-Copy-Source") != ""
	upload, part := r.query.Has("uploadId"), r.query.Has("partNumber")
	switch r.Method {
	case http.MethodPut:
		switch {
		case bucketOnly:
		case (upload || part) && copies:
			return "UploadPartCopy"
		case upload || part:
			return "UploadPart"
		case copies:
			return "CopyObject"
		default:
			return "PutObject"
		}
	case http.MethodGet:
		switch {
		case bucketOnly && r.query.Get("list-type") == "2":
			return "ListObjectsV2"
		case bucketOnly && r.query.Has("uploads"):
			return "ListMultipartUploads"
		case bucketOnly:
		case upload:
			return "ListParts"
		case r.query.Has("tagging"):
			return "GetObjectTagging"
		default:
			return "GetObject"
		}
	case http.MethodHead:
		if !bucketOnly {
			return "HeadObject"
		}
	case http.MethodDelete:
		switch {
		case bucketOnly:
		case upload:
			return "AbortMultipartUpload"
		default:
			return "DeleteObject"
		}
	case http.MethodPost:
		switch {
		case bucketOnly:
		case r.query.Has("uploads"):
			return "CreateMultipartUpload"
		case upload:
			return "CompleteMultipartUpload"
		}
	}
	return ""
}

func (s *Server) serve(w http.ResponseWriter, r *request) error {
	if r.form() {
		return s.performWithHook(w, r, (*Server).postForm)
	}
	if err := s.authenticate(r); err != nil {
		return err
	}
	if r.bucket == "" {
		return notImplemented("this operation")
	}
	if _, ok := s.buckets[r.bucket]; !ok {
		return noSuchBucket(r.bucket)
	}
	operation, ok := operations[r.record.Operation]
	if !ok {
		return notImplemented("this operation")
	}
	if err := checkKey(r.key); err != nil {
		return err
	}
	if err := r.rejectUnknownQuery(operation.parameters); err != nil {
		return err
	}
	return s.performWithHook(w, r, operation.perform)
}

// form reports whether the request is a form of a browser.
func (r *request) form() bool {
	return r.Method == http.MethodPost && r.bucket != "" && r.key == "" && len(r.query) == 0 &&
		r.Header.Get("Authorization") == ""
}

// address returns the request with its bucket and key, in path or
// virtual-hosted style, and records the operation. The returned request is
// never nil.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
func (s *Server) address(r *http.Request) (*request, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	req := &request{Request: r, query: query, instant: r.Header.Get(instantHeader) != ""}
	req.record = &Request{Actor: r.Header.Get(actorHeader), Method: r.Method}
	r.Header.Del(actorHeader)
	r.Header.Del(instantHeader)
	if err != nil {
		return req, invalidURI()
	}
	defer func() {
		req.record.Bucket, req.record.Key, req.record.Operation =
			req.bucket, req.key, req.operation()
		if req.form() {
			req.record.Operation = "PostObject"
		}
	}()
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	path := strings.TrimPrefix(r.URL.Path, "/")
	if bucket, ok := strings.CutSuffix(host, "."+s.host); ok {
		req.bucket, req.key, req.virtual = bucket, path, true
		return req, nil
	}
	req.bucket, req.key, _ = strings.Cut(path, "/")
	return req, nil
}

// rejectUnknownQuery rejects subresources and options that would change the
// meaning of the request.
func (r *request) rejectUnknownQuery(known []string) error {
	for name := range r.query {
		if name != "x-id" && !strings.HasPrefix(strings.ToLower(name), "x-amz-") &&
			!slices.Contains(known, name) {
			return notImplemented("the query parameter " + name)
		}
	}
	return nil
}

// rejectHeaders rejects headers that S3 supports but this server does not.
func (r *request) rejectHeaders(names ...string) error {
	for _, name := range names {
		if r.Header.Get(name) != "" {
			return notImplemented("the header " + name)
		}
	}
	return nil
}

// headers returns the headers with their names in lower case.
func (r *request) headers() map[string]string {
	headers := make(map[string]string)
	for name, values := range r.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	return headers
}
