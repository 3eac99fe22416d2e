// Package ceph runs Ceph, a second real S3 server that shares nothing with the first and has a real STS, for tests: one
// node on loopback, its data in memory, gone when the test binary is gone. It needs Debian's packages ceph-mon,
// ceph-osd, radosgw and ceph-common, of Ceph 16.2.
//
// The daemons are the children of a supervisor: the test binary once more, with an environment variable that this
// package's init looks for. It stops them and removes their files as soon as its standard input ends, however the tests
// ended.
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
	// URL is the address of S3 without STS. Its errors have the exact reason.
	URL string
	// STSURL is the address of STS, and of the same S3 for requests with session
	// tokens. It returns AccessDenied for every fault of credentials or a signature.
	STSURL string
	// RoleARN names a role that root can assume, and that may do anything in S3, for sessions of one second to one hour.
	RoleARN string
	// AccessKey and SecretKey are root's.
	AccessKey, SecretKey string

	supervisor *exec.Cmd
	stdin      io.Closer
	done       chan struct{} // closed when the supervisor is gone, after err is set
	err        error
}

// Region is a region to sign for. Ceph takes any.
const Region = "eu-central-1"

// Start starts a server, which takes a few seconds. It runs until Close is called or this process ends.
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
	stdout, w, err := os.Pipe() // not StdoutPipe, which Wait would close under the reader
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
		return nil, errors.Join(s.Close(), fmt.Errorf("ceph: not started: %w", err))
	}
	return s, nil
}

// Close stops the server and removes what it left. The error says why, if it had stopped by itself.
func (s *Server) Close() error {
	_ = s.stdin.Close()
	<-s.done
	return s.err
}

// Err says why the server is gone, with what its daemons said last, or returns nil while it runs.
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
		// An answer may come before the client has noticed that it sent its request to the end; the client then closes the
		// connection and has no answer. On a busy machine that was seen three times in a row.
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

// Shared returns the one server of the test binary and starts it first if it does not run yet. Where Ceph is not
// installed, the test is skipped; in CI, it fails. It fails as well if the server stops by itself.
func Shared(t testing.TB) *Server {
	t.Helper()
	if names := missing(); len(names) > 0 {
		text := "Ceph is not installed: no " + strings.Join(names, ", ") +
			"; on Debian: apt-get install --no-install-recommends ceph-mon ceph-osd radosgw ceph-common"
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

// Main is for TestMain: it runs the tests and then waits until the shared server is gone. Without it, the server goes
// at the same time, but nobody waits.
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
