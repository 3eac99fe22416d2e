// Package s3test is a strict S3 server that runs inside a test.
//
// It refuses what Amazon S3 refuses, with the status and the error code that S3 answers, where common test servers are
// lenient: it verifies signatures, POST policies, signed headers, checksums and conditions. It shares no code with what
// it tests: signatures are recomputed by the signer of the AWS SDK.
//
// It knows PutObject, POST Object, GetObject, HeadObject, DeleteObject and ListObjectsV2 on buckets without versions,
// lifecycle, CORS or public access, whose owner enforces ownership (so ACLs are disabled). Everything else is answered
// with 501 NotImplemented, so that no test passes because a header was silently ignored. Where S3 is known or thought
// to behave otherwise:
//
//   - Streaming payloads (aws-chunked), SSE-C, the XXHASH checksums, x-amz-expected-bucket-owner and encoding-type are
//     answered with 501.
//   - A signature that covers a content-length of 0, user-agent, x-amzn-trace-id, expect or transfer-encoding never
//     verifies, since the SDK's signer cannot compute it.
//   - Duplicate form fields are refused; S3 joins their values with a comma.
//   - Policies must be strict JSON, with operators in lower case; S3 also takes the escapes \$ and \v.
//   - A form dated more than 15 minutes ahead or 7 days ago is refused, whatever its policy's expiration.
//   - Concurrent conditional writes are never answered with 409 ConditionalRequestConflict.
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
	client       *http.Client

	mu      sync.RWMutex
	keys    map[string]aws.Credentials    // by access key ID
	buckets map[string]map[string]*Object // by bucket and key; an Object never changes
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
		s.buckets = make(map[string]map[string]*Object)
		for _, name := range names {
			s.buckets[name] = make(map[string]*Object)
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
	s := &Server{region: DefaultRegion, host: host, keys: make(map[string]aws.Credentials)}
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
	o, ok := s.buckets[bucket][key]
	if !ok {
		return Object{}, false
	}
	return *o, true
}

// Objects returns the keys of the bucket in order.
func (s *Server) Objects(bucket string) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.buckets[bucket]))
}

// request is an HTTP request together with what it addresses.
type request struct {
	*http.Request
	query       url.Values
	bucket, key string
	virtual     bool // the bucket is part of the host
}

// ServeHTTP answers one S3 request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "AmazonS3")
	w.Header().Set("X-Amz-Request-Id", rand.Text()[:16])
	if err := s.serve(w, r); err != nil {
		writeError(w, r.Method, err)
	}
}

func (s *Server) serve(w http.ResponseWriter, httpRequest *http.Request) error {
	r, err := s.address(httpRequest)
	if err != nil {
		return err
	}
	form := r.Method == http.MethodPost && r.bucket != "" && r.key == "" && len(r.query) == 0 &&
		r.Header.Get("Authorization") == ""
	if form {
		return s.postForm(w, r)
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
	if r.key == "" {
		if r.Method == http.MethodGet && r.query.Get("list-type") == "2" {
			return s.listObjects(w, r)
		}
		return notImplemented("this operation")
	}
	if err := checkKey(r.key); err != nil {
		return err
	}
	if r.Method == http.MethodGet && r.query.Has("tagging") {
		return s.getObjectTagging(w, r)
	}
	if err := r.refuseUnknownQuery(); err != nil {
		return err
	}
	switch r.Method {
	case http.MethodPut:
		return s.putObject(w, r)
	case http.MethodGet, http.MethodHead:
		return s.getObject(w, r)
	case http.MethodDelete:
		return s.deleteObject(w, r)
	}
	return notImplemented("this operation")
}

// address finds bucket and key in either style of addressing.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
func (s *Server) address(r *http.Request) (*request, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalidURI()
	}
	req := &request{Request: r, query: query}
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
func (r *request) refuseUnknownQuery() error {
	for name := range r.query {
		known := name == "x-id" || strings.HasPrefix(strings.ToLower(name), "x-amz-") || overrides[name] != ""
		if !known {
			return notImplemented("the query parameter " + name)
		}
	}
	return nil
}
