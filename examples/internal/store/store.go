// Package store runs a real S3 server, versitygw, for the demos and their tests: on loopback, with nothing to install,
// gone when its parent is gone.
//
// The server is a child process. versitygw changes the working directory and runs once per process, so Start executes
// the running program again with an environment variable set; this package's init sees it there and serves S3 instead
// of going on to main. Importing the package is all a program or a test has to do.
package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// region is not us-east-1, which signers are prone to fall back to.
const region = "eu-central-1"

// tokenSize is the length of a session token in bytes. Those of STS have as many, or more.
const tokenSize = 400

// Server is a running S3 server with one root account. It is safe for concurrent use.
type Server struct {
	URL    string // of the S3 API: http://127.0.0.1 and a port
	Region string // the only one in which a signature is accepted

	root      aws.Credentials
	dir       string
	temporary bool // remove dir at the end

	child  *exec.Cmd
	stderr tail
	done   chan struct{} // closed when the child is gone, after err is set
	err    error
	close  func() error

	mu      sync.Mutex // one request to the child at a time
	stdin   io.WriteCloser
	replies *json.Decoder
}

// An Option changes the server that Start runs.
type Option func(*gateway)

// WithWebhook makes the server POST a notification of every event in its buckets
// to a URL. Start fails if nothing listens there.
func WithWebhook(url string) Option {
	return func(g *gateway) { g.Webhook = url }
}

// Start runs an S3 server in a child process until ctx ends or Close is called, with its data in dir, at the address
// that it had there before if that is free. An empty dir is a temporary directory, removed at the end. A dir is for one
// server at a time: it waits 5 seconds for one that is about to end.
func Start(ctx context.Context, dir string, opts ...Option) (*Server, error) {
	if dir != "" {
		absolute, err := filepath.Abs(dir) // versitygw works in a directory of its own
		if err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		dir = absolute
	}
	s := &Server{
		Region: region,
		root:   newCredentials("AKIA"),
		dir:    dir,
		done:   make(chan struct{}),
	}
	s.close = sync.OnceValue(s.stop)
	if err := s.start(); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	context.AfterFunc(ctx, func() { _ = s.Close() })

	g := &gateway{
		Dir:       s.dir,
		Temporary: s.temporary,
		Region:    s.Region,
		AccessKey: s.root.AccessKeyID,
		SecretKey: s.root.SecretAccessKey,
	}
	for _, opt := range opts {
		opt(g)
	}
	listening, err := s.call(request{Serve: g})
	if err := errors.Join(ctx.Err(), err); err != nil {
		_ = s.Close()
		return nil, err
	}
	s.URL = listening.URL
	return s, nil
}

// start starts the child, which then waits for its first request.
func (s *Server) start() (err error) {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	s.child = exec.Command(program)
	// versitygw sends events while it uses the buffers of their requests for others. A
	// program that runs with the race detector must not fail because of that.
	s.child.Env = append(os.Environ(), marker+"=1", "GORACE=exitcode=0 "+os.Getenv("GORACE"))
	s.child.Stderr = &s.stderr
	// Not StdoutPipe: Wait would close that under the reader.
	stdout, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer w.Close()
	s.child.Stdout = w
	s.replies = json.NewDecoder(stdout)
	if s.stdin, err = s.child.StdinPipe(); err != nil {
		return err
	}
	if s.dir == "" {
		s.temporary = true
		if s.dir, err = os.MkdirTemp("", "s3-store-"); err != nil {
			return err
		}
	}
	if err := s.child.Start(); err != nil {
		return errors.Join(err, stdout.Close(), s.remove())
	}
	go func() {
		if err := s.child.Wait(); err != nil {
			s.err = fmt.Errorf("store: the S3 server ended: %w%s", err, &s.stderr)
		}
		stdout.Close()
		close(s.done)
	}()
	return nil
}

// Client returns a client with the root credentials and path-style addresses.
func (s *Server) Client(optFns ...func(*s3.Options)) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(s.URL),
		Region:       s.Region,
		Credentials:  credentials.StaticCredentialsProvider{Value: s.root},
		UsePathStyle: true,
	}, optFns...)
}

// CreateBucket creates a bucket, unless it is there, and if there are origins, gives it the CORS rules that let pages
// of those origins upload and read every answer.
func (s *Server) CreateBucket(ctx context.Context, name string, origins ...string) error {
	client := s.Client()
	_, err := client.CreateBucket(ctx, &s3.CreateBucketInput{
		Bucket: aws.String(name),
		CreateBucketConfiguration: &types.CreateBucketConfiguration{
			LocationConstraint: types.BucketLocationConstraint(s.Region),
		},
	})
	// A bucket of an earlier run belongs to that run's root, whose rights ours has.
	if _, exists := errors.AsType[*types.BucketAlreadyExists](err); err != nil && !exists {
		return fmt.Errorf("store: bucket %s: %w", name, err)
	}
	if len(origins) == 0 {
		return nil
	}
	if _, err := client.PutBucketCors(ctx, &s3.PutBucketCorsInput{
		Bucket:            aws.String(name),
		CORSConfiguration: &types.CORSConfiguration{CORSRules: []types.CORSRule{CORSRule(origins...)}},
	}); err != nil {
		return fmt.Errorf("store: CORS of bucket %s: %w", name, err)
	}
	return nil
}

// CORSRule is the CORS rule of a bucket that pages of these origins upload to.
func CORSRule(origins ...string) types.CORSRule {
	return types.CORSRule{
		AllowedOrigins: origins,
		AllowedMethods: []string{"PUT", "POST", "GET", "HEAD"},
		AllowedHeaders: []string{"*"},
		ExposeHeaders: []string{
			"ETag", "Location", "x-amz-version-id",
			"x-amz-checksum-crc32", "x-amz-checksum-crc32c", "x-amz-checksum-crc64nvme",
			"x-amz-checksum-sha1", "x-amz-checksum-sha256",
		},
		MaxAgeSeconds: aws.Int32(3000),
	}
}

// SessionCredentials returns new temporary credentials with the rights of root. A request signed with them needs their
// session token of 400 bytes, as with STS.
func (s *Server) SessionCredentials(lifetime time.Duration) (aws.Credentials, error) {
	c := newCredentials("ASIA") // by this prefix versitygw knows a temporary key
	for len(c.SessionToken) < tokenSize {
		c.SessionToken += rand.Text()
	}
	c.SessionToken = c.SessionToken[:tokenSize]
	c.CanExpire, c.Expires = true, time.Now().Add(lifetime)
	_, err := s.call(request{Session: &session{
		AccessKey: c.AccessKeyID,
		SecretKey: c.SecretAccessKey,
		Token:     c.SessionToken,
		Expires:   c.Expires,
	}})
	return c, err
}

func newCredentials(prefix string) aws.Credentials {
	return aws.Credentials{
		AccessKeyID:     prefix + rand.Text()[:16],
		SecretAccessKey: rand.Text() + rand.Text(),
		Source:          "store",
	}
}

// call sends one request to the child and waits for its reply.
func (s *Server) call(req request) (reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var r reply
	err := json.NewEncoder(s.stdin).Encode(req)
	if err == nil {
		err = s.replies.Decode(&r)
	}
	if err == nil {
		return r, nil
	}
	// The child does not answer: why it ended says more than err.
	if died := s.Close(); died != nil {
		return r, died
	}
	return r, fmt.Errorf("store: closed: %w", err)
}

// Wait waits until the server is gone. The error says why, if it was not asked to stop.
func (s *Server) Wait() error {
	<-s.done
	return s.err
}

// Close stops the server and removes its temporary directory.
func (s *Server) Close() error { return s.close() }

// Kill ends the server as a crash does. Its directory keeps what was stored; Close still has to be called.
func (s *Server) Kill() error {
	err := s.child.Process.Kill()
	<-s.done
	return err
}

func (s *Server) stop() error {
	_ = s.stdin.Close() // the child ends by itself when it reads to the end
	select {
	case <-s.done:
	case <-time.After(30 * time.Second): // it may have gigabytes to remove
		_ = s.child.Process.Kill()
		<-s.done
	}
	return errors.Join(s.err, s.remove())
}

func (s *Server) remove() error {
	if !s.temporary {
		return nil
	}
	return os.RemoveAll(s.dir)
}

// A tail keeps the last bytes that are written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - 4096; over > 0 {
		t.buf = bytes.Clone(t.buf[over:])
	}
	return len(p), nil
}

// String returns what was kept, to be put after an error.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.buf) == 0 {
		return ""
	}
	return ": " + strings.TrimSpace(string(t.buf))
}
