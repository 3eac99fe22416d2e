// Package ceph runs Ceph for tests: an S3 server with an STS that shares no
// code with versitygw. The server is one node on loopback with its data in
// memory, and ends with the test binary. It needs the Debian packages ceph-mon,
// ceph-osd, radosgw and ceph-common of Ceph 16.2.
//
// The daemons are children of a supervisor. The supervisor is a second process
// of the test binary, with an environment variable that the init function of
// this package checks. It stops the daemons and removes their files when its
// standard input ends, even if the tests were killed.
package ceph

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// A Server is a running Ceph. It is safe for concurrent use.
type Server struct {
	// URL is the address of S3 without STS. Its errors have exact codes.
	URL string
	// STSURL is the address of STS, and of the same S3 for requests with
	// session tokens. It returns AccessDenied for every fault of credentials or
	// a signature.
	STSURL string
	// RoleARN is the ARN of a role that root can assume. The role may do
	// anything in S3. Sessions last from one second to one hour.
	RoleARN string
	// AccessKey and SecretKey are the credentials of root.
	AccessKey, SecretKey string

	supervisor *exec.Cmd
	stdin      io.Closer
	done       chan struct{} // closed after the supervisor has ended and err is set
	err        error
}

// Region is a region to sign for. Ceph accepts all regions.
const Region = "eu-central-1"

// Start starts a server, which takes a few seconds. The server runs until Close
// is called or this process ends.
func Start() (*Server, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	s := &Server{supervisor: exec.Command(program), done: make(chan struct{})}
	s.supervisor.Env = append(os.Environ(), marker+"=1")
	s.supervisor.Stderr = &stderr
	if s.stdin, err = s.supervisor.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, w, err := os.Pipe() // Wait would close a StdoutPipe while it is read.
	if err != nil {
		return nil, err
	}
	defer stdout.Close()
	s.supervisor.Stdout = w
	err = s.supervisor.Start()
	w.Close()
	if err != nil {
		return nil, err
	}
	go func() {
		if err := s.supervisor.Wait(); err != nil {
			s.err = fmt.Errorf("ceph: %w: %s", err, strings.TrimSpace(stderr.String()))
		}
		close(s.done)
	}()
	if err := json.NewDecoder(stdout).Decode(s); err != nil {
		return nil, errors.Join(s.Close(), fmt.Errorf("ceph: start: %w", err))
	}
	return s, nil
}

// Close stops the server and removes its files. If the server had stopped by
// itself, Close returns the reason.
func (s *Server) Close() error {
	_ = s.stdin.Close()
	<-s.done
	return s.err
}

// Err returns nil while the server runs. After the server has ended, Err
// returns the reason, with the last output of the daemons.
func (s *Server) Err() error {
	select {
	case <-s.done:
		return cmp.Or(s.err, errors.New("ceph: closed"))
	default:
		return nil
	}
}

// Client returns a client of root, with path-style addresses.
func (s *Server) Client(optFns ...func(*s3.Options)) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: &s.URL,
		Region:       Region,
		Credentials:  credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
		UsePathStyle: true,
	}, optFns...)
}

// STS returns a client of root for STS.
func (s *Server) STS() *sts.Client {
	return sts.New(sts.Options{
		// If a response arrives before the client has finished sending, the
		// client closes the connection and loses the response. On a busy
		// machine this happened three times in a row.
		RetryMaxAttempts: 10,
		BaseEndpoint:     &s.STSURL,
		Region:           Region,
		Credentials:      credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
	})
}

var shared struct {
	sync.Mutex
	server *Server
	err    error
}

// Shared returns the shared server of the test binary. The first call starts
// the server. If Ceph is not installed, Shared skips the test, or fails it in
// CI. The test also fails if the server stops by itself.
func Shared(t testing.TB) *Server {
	t.Helper()
	if names := missing(); len(names) > 0 {
		text := "Ceph is not installed: no " + strings.Join(names, ", ") + "; on Debian: " +
			"apt-get install --no-install-recommends ceph-mon ceph-osd radosgw ceph-common"
		if os.Getenv("CI") == "true" {
			t.Fatal(text)
		}
		t.Skip("skipped: " + text)
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = Start()
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	running := func() {
		if err := shared.server.Err(); err != nil {
			t.Fatal(err)
		}
	}
	running()
	t.Cleanup(running)
	return shared.server
}

// missing returns the programs that are not installed.
func missing() (names []string) {
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			names = append(names, name)
		}
	}
	return names
}

// Main runs the tests for TestMain and then waits until the shared server has
// ended. Without Main, the server also ends, but the test binary does not wait
// for it.
func Main(m *testing.M) (code int) {
	code = m.Run()
	if shared.server != nil {
		if err := shared.server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return max(code, 1)
		}
	}
	return code
}
