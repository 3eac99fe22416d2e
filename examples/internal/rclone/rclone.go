// Package rclone runs "rclone serve s3", an independent S3 server, for tests.
// The server rejects POST forms and keeps metadata in memory.
package rclone

import (
	"context"
	"crypto/rand"
	_ "embed"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign/examples/internal/process"
)

// Version is the version of rclone that is built.
const Version = "v1.76.0"

// Region is a region to sign for. Rclone accepts all regions.
const Region = "us-east-1"

// A Server is a running rclone. It ends with the test that started it.
type Server struct {
	URL                  string
	AccessKey, SecretKey string
	// Dir holds a directory for each bucket.
	Dir string
}

//go:embed build/main.go.txt
var source []byte

// Start builds rclone and starts a server. It builds a separate module in a
// temporary directory, so that the go.mod files of the project do not list the
// dependencies of rclone.
func Start(t testing.TB) *Server {
	t.Helper()
	process.Require(t, "needed to build rclone", "go")
	build := t.TempDir()
	for name, content := range map[string][]byte{
		"main.go": source,
		"go.mod": []byte("module rclone.test\n\ngo 1.26.0\n\nrequire github.com/rclone/rclone " +
			Version + "\n"),
	} {
		if err := os.WriteFile(filepath.Join(build, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("GOFLAGS", "")
	t.Setenv("GOWORK", "off")
	program := filepath.Join(build, "rclone")
	process.Run(t, build, "go", "build", "-mod=mod", "-o", program, ".")

	s := &Server{AccessKey: "AKIA" + rand.Text()[:16], SecretKey: rand.Text(), Dir: t.TempDir()}
	s.start(t, program)
	return s
}

func (s *Server) start(t testing.TB, program string) {
	t.Helper()
	stopped, output := process.Start(t, s.Dir, program, "serve", "s3", "--config", "",
		"--addr", "127.0.0.1:0", "--auth-key", s.AccessKey+","+s.SecretKey,
		"--vfs-cache-mode", "full", "--cache-dir", t.TempDir(), s.Dir)
	process.Await(t, "rclone", func(context.Context) bool {
		_, address, found := strings.Cut(output.String(), "Starting s3 server on [")
		address, _, ended := strings.Cut(address, "]")
		if !found || !ended {
			return false
		}
		u, err := url.Parse(address)
		s.URL = strings.TrimSuffix(address, "/")
		return err == nil && u.Host != ""
	}, stopped)
}

// Client returns a client with path-style addresses.
func (s *Server) Client(optFns ...func(*s3.Options)) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: &s.URL,
		Region:       Region,
		Credentials:  credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
		UsePathStyle: true,
	}, optFns...)
}
