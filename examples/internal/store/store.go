// Package store runs a real S3 server, versitygw, for the demos and their
// tests. The server listens on loopback, needs no installation, and ends with
// its parent.
//
// The server is a child process, because versitygw changes the working
// directory and can run only once per process. Start executes the running
// program again with an environment variable. If the variable is set, the init
// function of this package serves S3 and main does not run.
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

// region is not us-east-1, because that is the default of many signers.
const region = "eu-central-1"

// tokenSize is the length of a session token in bytes. Tokens of STS are at
// least as long.
const tokenSize = 400

// A Server is a running S3 server with one root account. It is safe for
// concurrent use.
type Server struct {
	URL    string // the URL of the S3 API: http://127.0.0.1 and a port
	Region string // the only region in which signatures are accepted

	root      aws.Credentials
	dir       string
	temporary bool // remove dir at the end

	child  *exec.Cmd
	stderr tail
	done   chan struct{} // closed after the child has ended and err is set
	err    error
	close  func() error

	mu      sync.Mutex // one request to the child at a time
	stdin   io.WriteCloser
	replies *json.Decoder
}

// An Option changes the server that Start runs.
type Option func(*gateway)

// WithWebhook makes the server POST a notification of every event in its
// buckets to a URL. Start fails if nothing listens there.
func WithWebhook(url string) Option {
	return func(g *gateway) { g.Webhook = url }
}

// Start runs an S3 server in a child process until ctx ends or Close is called.
// The data is in dir. If dir is empty, the data is in a temporary directory
// that is removed at the end. The server has the same address as the last
// server of dir if that address is free. Only one server can use a dir. If
// another server is about to end, Start waits up to 5 seconds.
func Start(ctx context.Context, dir string, opts ...Option) (*Server, error) {
	if dir != "" {
		absolute, err := filepath.Abs(dir) // versitygw changes the working directory.
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
	// versitygw has a data race: it sends events from buffers that it already
	// uses for other requests. The race detector must not fail the program
	// because of this race.
	s.child.Env = append(os.Environ(), marker+"=1", "GORACE=exitcode=0 "+os.Getenv("GORACE"))
	s.child.Stderr = &s.stderr
	// Wait would close a StdoutPipe while it is read.
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

// CreateBucket creates a bucket unless it exists. If there are origins, it sets
// CORS rules, so that pages of these origins can upload and read every
// response.
func (s *Server) CreateBucket(ctx context.Context, name string, origins ...string) error {
	client := s.Client()
	_, err := client.CreateBucket(ctx, &s3.CreateBucketInput{
		Bucket: aws.String(name),
		CreateBucketConfiguration: &types.CreateBucketConfiguration{
			LocationConstraint: types.BucketLocationConstraint(s.Region),
		},
	})
	// A bucket of an earlier run belongs to the root account of that run, but
	// the current root account has the same rights.
	if _, exists := errors.AsType[*types.BucketAlreadyExists](err); err != nil && !exists {
		return fmt.Errorf("store: bucket %s: %w", name, err)
	}
	if len(origins) == 0 {
		return nil
	}
	if _, err := client.PutBucketCors(ctx, &s3.PutBucketCorsInput{
		Bucket: aws.String(name),
		CORSConfiguration: &types.CORSConfiguration{
			CORSRules: []types.CORSRule{CORSRule(origins...)},
		},
	}); err != nil {
		return fmt.Errorf("store: CORS of bucket %s: %w", name, err)
	}
	return nil
}

// CORSRule returns the CORS rule for pages of these origins.
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

// SessionCredentials returns new temporary credentials with the rights of root.
// As with STS, a request needs the session token, which has 400 bytes.
func (s *Server) SessionCredentials(lifetime time.Duration) (aws.Credentials, error) {
	c := newCredentials("ASIA") // the prefix of temporary keys in versitygw
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
	// The child did not reply. The reason why it ended is more useful than err.
	if closeErr := s.Close(); closeErr != nil {
		return r, closeErr
	}
	return r, fmt.Errorf("store: closed: %w", err)
}

// Wait waits until the server has ended. It returns the reason if Close was not
// called.
func (s *Server) Wait() error {
	<-s.done
	return s.err
}

// Close stops the server and removes its temporary directory.
func (s *Server) Close() error { return s.close() }

// Kill kills the server, to simulate a crash. The directory keeps all data.
// Close must still be called.
func (s *Server) Kill() error {
	err := s.child.Process.Kill()
	<-s.done
	return err
}

func (s *Server) stop() error {
	_ = s.stdin.Close() // The child ends when its standard input ends.
	select {
	case <-s.done:
	case <-time.After(30 * time.Second): // The child might have gigabytes to remove.
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

// String returns the kept bytes as a suffix for an error.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.buf) == 0 {
		return ""
	}
	return ": " + strings.TrimSpace(string(t.buf))
}
