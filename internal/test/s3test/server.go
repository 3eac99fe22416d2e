// Package s3test is a strict S3 server that runs inside a test.
//
// It refuses what Amazon S3 refuses, with the status and the error code that S3 answers, where common test servers are
// lenient: it verifies signatures, POST policies, signed headers, checksums and conditions. It shares no code with what
// it tests: signatures are recomputed by the signer of the AWS SDK.
//
// It implements PutObject, POST Object, CopyObject, GetObject, HeadObject, DeleteObject, GetObjectTagging, ListObjectsV2
// and multipart uploads, on buckets with or without versioning but without lifecycle, CORS or public access, whose owner
// enforces ownership (so ACLs are disabled). Everything else fails with 501 NotImplemented, so that no test passes
// because a header was silently ignored.
//
// # Histories and schedules
//
//   - [WithHistory] records every request and every state that any key was ever in. Tests use it to prove what never
//     appeared.
//   - [WithTick] sets a virtual clock, on which requests and their depth are counted exactly.
//   - [Server.Intercept] calls a function before and after each request, which can change objects or make the request
//     fail as networks and S3 do. [Server.Fail] is a shorter form of it.
//   - [Server.Actor] gives each of several clients a name, and can crash it.
//   - [WithoutConditions] and [WithQuirks] make the server behave like stores that are less careful than S3.
//   - [Server.Put] and [Server.PutPart] store objects and parts of any size without holding their bytes.
//
// # Differences from S3
//
//   - Streaming payloads (aws-chunked), SSE-C, the XXHASH checksums, x-amz-expected-bucket-owner and encoding-type,
//     except that of ListObjectsV2, are answered with 501; so are headers on a copy that S3 ignores because it takes the
//     source's, conditions on the time, and an If-Match on a version.
//   - A signature that covers a content-length of 0, user-agent, x-amzn-trace-id, expect or transfer-encoding never
//     verifies, since the SDK's signer cannot compute it.
//   - Duplicate form fields are refused; S3 joins their values with a comma.
//   - Policies must be strict JSON, with operators in lower case; S3 also takes the escapes \$ and \v.
//   - A form dated more than 15 minutes ahead or 7 days ago is refused, whatever its policy's expiration.
//   - Of conflicts between conditional writes, only that of a multipart upload with a delete is answered, with 409
//     ConditionalRequestConflict.
//   - A multipart upload that is completed again in the same way succeeds again while its object is there, but fails
//     with If-None-Match; S3 may also answer NoSuchUpload. A part without a checksum is refused where the upload's
//     checksum is made of those of its parts; where it is of the whole object, the server computes it.
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

// The permanent credential that every server knows, the one of the AWS documentation, and the names of its defaults.
const (
	AccessKeyID     = "AKIAIOSFODNN7EXAMPLE"
	SecretAccessKey = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	DefaultBucket   = "bucket"
	DefaultRegion   = "us-east-1"
	DefaultHost     = "s3.test"
)

// Server is an S3 endpoint that holds its buckets in memory. It is an http.Handler, safe for concurrent use, and its
// clock is time.Now, so that it lives in a testing/synctest bubble as well.
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
	changes  []change   // the same
}

// Option changes what New and Start make.
type Option func(*Server)

// WithRegion sets the only region that the server accepts in a credential scope.
func WithRegion(region string) Option {
	return func(s *Server) { s.region = region }
}

// WithHost sets the name of the endpoint, without a port. Requests to a name below it are virtual-hosted: bucket.host.
func WithHost(host string) Option {
	return func(s *Server) { s.host = host }
}

// WithBuckets makes these buckets instead of DefaultBucket.
func WithBuckets(names ...string) Option {
	return func(s *Server) {
		s.buckets = make(map[string]bucket)
		for _, name := range names {
			s.buckets[name] = make(bucket)
		}
	}
}

// New returns a server at https://s3.test that only its own HTTPClient reaches, without a network.
func New(opts ...Option) *Server {
	s := newServer(DefaultHost, opts)
	s.URL = "https://" + s.host
	s.client = &http.Client{Transport: wire{s}, CheckRedirect: showRedirect}
	return s
}

// Start returns a server that listens on a free port of the loopback interface until the test ends. Its HTTPClient
// connects to it whatever the host of the URL, so that virtual-hosted requests need no name resolution.
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
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, network, address.String())
	}}
	t.Cleanup(transport.CloseIdleConnections)
	s.client = &http.Client{Transport: transport, CheckRedirect: showRedirect}
	return s
}

func newServer(host string, opts []Option) *Server {
	s := &Server{
		region: DefaultRegion, host: host, maxCopySize: maxObjectSize,
		keys: make(map[string]aws.Credentials), uploads: make(map[string]*multipartUpload), crashed: make(map[string]bool),
	}
	WithBuckets(DefaultBucket)(s)
	for _, opt := range opts {
		opt(s)
	}
	s.AddCredentials(aws.Credentials{AccessKeyID: AccessKeyID, SecretAccessKey: SecretAccessKey})
	return s
}

func showRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// HTTPClient returns a client that reaches this server. It follows no redirects. That of New calls ServeHTTP in the
// goroutine of the caller, on the bytes that a connection would have carried: a body that is longer or shorter than its
// Content-Length is an error, one of unknown length is chunked.
func (s *Server) HTTPClient() *http.Client { return s.client }

// S3 returns an SDK client of this server with the permanent credential, in path style, without retries.
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

// AddCredentials makes the server accept the credentials, in place of others with the same access key ID. Those with a
// SessionToken are temporary: no request is accepted without the token, nor after Expires if CanExpire is set.
func (s *Server) AddCredentials(creds aws.Credentials) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[creds.AccessKeyID] = creds
}

// Object returns the stored object, if there is one. Its slices and maps must not be changed.
func (s *Server) Object(bucket, key string) (Object, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	o := s.buckets[bucket].current(key)
	if o == nil {
		return Object{}, false
	}
	return *o, true
}

// Objects returns the keys of the bucket in order.
func (s *Server) Objects(bucket string) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	keys := slices.Sorted(maps.Keys(s.buckets[bucket]))
	return slices.DeleteFunc(keys, func(key string) bool { return s.buckets[bucket].current(key) == nil })
}

// request is an HTTP request together with what it addresses.
type request struct {
	*http.Request
	query       url.Values
	bucket, key string
	virtual     bool // the bucket is part of the host
	instant     bool // the request takes no tick
	record      *Request
}

// ServeHTTP answers one S3 request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	req, malformed := s.address(r)
	if err := s.admit(req); err != nil {
		panic(http.ErrAbortHandler)
	}
	answer := &statusWriter{ResponseWriter: w}
	defer func() { s.finish(req, answer.status) }()
	answer.Header().Set("Server", "AmazonS3")
	answer.Header().Set("X-Amz-Request-Id", rand.Text()[:16])
	err := malformed
	if err == nil {
		err = s.serve(answer, req)
	}
	if err != nil {
		writeError(answer, req.Method, err)
	}
}

// handler performs an operation whose request is authentic.
type handler func(*Server, http.ResponseWriter, *request) error

// operations are all but the form, by S3's names, with the parameters of the query that each takes.
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
		"list-type", "prefix", "delimiter", "max-keys", "start-after", "continuation-token", "encoding-type",
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

// operation returns the name of what is asked for, empty if the server does not know it.
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
		return s.suffer(w, r, (*Server).postForm)
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
	if err := r.refuseUnknownQuery(operation.parameters); err != nil {
		return err
	}
	return s.suffer(w, r, operation.perform)
}

// form reports whether the request is a form of a browser.
func (r *request) form() bool {
	return r.Method == http.MethodPost && r.bucket != "" && r.key == "" && len(r.query) == 0 &&
		r.Header.Get("Authorization") == ""
}

// address finds bucket and key in either style of addressing, and the operation. The request is never nil.
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
		req.record.Bucket, req.record.Key, req.record.Operation = req.bucket, req.key, req.operation()
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

// refuseUnknownQuery refuses subresources and options that would change the meaning of the request.
func (r *request) refuseUnknownQuery(known []string) error {
	for name := range r.query {
		if name != "x-id" && !strings.HasPrefix(strings.ToLower(name), "x-amz-") && !slices.Contains(known, name) {
			return notImplemented("the query parameter " + name)
		}
	}
	return nil
}

// refuseHeaders refuses headers that an operation has but the server does not know.
func (r *request) refuseHeaders(names ...string) error {
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
