// Package swift runs OpenStack Swift with its S3 API, an independent S3 server,
// for tests. The server rejects POST forms and conditional writes.
//
// It needs the Debian packages swift-proxy, swift-account, swift-container,
// swift-object and memcached.
package swift

import (
	"context"
	_ "embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign/examples/internal/process"
)

// Region is the region to sign for. Swift rejects other regions.
const Region = "us-east-1"

// A Server is a running Swift. It ends with the test that started it.
type Server struct {
	URL                  string
	AccessKey, SecretKey string
}

//go:embed launch.py
var launch []byte

const hint = "on Debian: apt-get install --no-install-recommends " +
	"swift-proxy swift-account swift-container swift-object memcached"

// Start starts a server: one proxy, one server for each of accounts, containers
// and objects, and the cache that tempauth requires.
func Start(t testing.TB) *Server {
	t.Helper()
	process.Require(t, hint, "memcached", "swift-ring-builder", "swift-proxy-server",
		"swift-account-server", "swift-container-server", "swift-object-server")
	c := cluster{TB: t, dir: t.TempDir(), cache: process.FreeAddr(t)}
	c.write("launch.py", string(launch))
	c.write("swift.conf", swiftConf)
	if err := os.MkdirAll(filepath.Join(c.dir, "devices", "d1"), 0o700); err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(c.cache)
	args := []string{"-l", host, "-p", port, "-U", "0"}
	if os.Getuid() == 0 {
		args = append(args, "-u", "root")
	}
	cached, _ := process.Start(t, c.dir, "memcached", args...)
	c.stopped = append(c.stopped, cached)
	for _, kind := range []string{"account", "container", "object"} {
		c.serveRing(kind)
	}
	proxy := process.FreeAddr(t)
	_, port, _ = net.SplitHostPort(proxy)
	c.write("proxy.conf", fmt.Sprintf(proxyConf, c.dir, port, c.cache, userName(t)))
	c.serve("swift-proxy-server", "proxy.conf")
	s := &Server{URL: "http://" + proxy, AccessKey: "test:tester", SecretKey: "testing"}
	process.Await(t, "Swift", func(ctx context.Context) bool {
		for _, addr := range append(c.servers, proxy) {
			if !process.Responds(ctx, "http://"+addr+"/healthcheck") {
				return false
			}
		}
		return true
	}, c.stopped...)
	return s
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

// userName returns the user that runs the test. By default, Swift changes to
// another user.
func userName(t testing.TB) string {
	t.Helper()
	current, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return current.Username
}

// A cluster collects the servers of a Swift while they start.
type cluster struct {
	testing.TB
	dir     string
	cache   string
	servers []string // addresses
	stopped []<-chan struct{}
}

func (c *cluster) write(name, content string) {
	c.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(content), 0o600); err != nil {
		c.Fatal(err)
	}
}

// serveRing starts the only server of a ring.
func (c *cluster) serveRing(kind string) {
	c.Helper()
	addr := process.FreeAddr(c)
	_, port, _ := net.SplitHostPort(addr)
	c.servers = append(c.servers, addr)
	builder := kind + ".builder"
	process.Run(c, c.dir, "swift-ring-builder", builder, "create", "8", "1", "1")
	process.Run(c, c.dir, "swift-ring-builder", builder, "add", "r1z1-"+addr+"/d1", "1")
	process.Run(c, c.dir, "swift-ring-builder", builder, "rebalance")
	c.write(kind+".conf", fmt.Sprintf(serverConf, c.dir, port, kind, userName(c)))
	c.serve("swift-"+kind+"-server", kind+".conf")
}

func (c *cluster) serve(name, config string) {
	c.Helper()
	program, err := exec.LookPath(name)
	if err != nil {
		c.Fatal(err)
	}
	stopped, _ := process.Start(c, c.dir, interpreter(c, program), "launch.py", c.dir, program,
		filepath.Join(c.dir, config))
	c.stopped = append(c.stopped, stopped)
}

// interpreter returns the Python in the first line of a program. Another Python
// in PATH might not have the modules of Swift.
func interpreter(t testing.TB, program string) string {
	t.Helper()
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(content), "\n")
	path, ok := strings.CutPrefix(line, "#!")
	if !ok {
		t.Fatalf("%s must start with #!", program)
	}
	return strings.TrimSpace(path)
}

const swiftConf = `[swift-hash]
swift_hash_path_suffix = test

[swift-constraints]
max_meta_value_length = 2048
max_meta_overall_size = 8192
max_header_size = 16384
`

// The arguments are the directory, the port, the kind of server and the user.
const serverConf = `[DEFAULT]
bind_ip = 127.0.0.1
bind_port = %[2]s
workers = 0
swift_dir = %[1]s
devices = %[1]s/devices
mount_check = false
fallocate_reserve = 0
disable_fallocate = true
log_address = /dev/null
user = %[4]s

[pipeline:main]
pipeline = %[3]s-server

[app:%[3]s-server]
use = egg:swift#%[3]s
`

// The arguments are the directory, the port, the address of memcached and the
// user.
const proxyConf = `[DEFAULT]
bind_ip = 127.0.0.1
bind_port = %[2]s
workers = 0
swift_dir = %[1]s
log_address = /dev/null
user = %[4]s

[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats s3api tempauth copy slo dlo versioned_writes symlink proxy-logging proxy-server

[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true

[filter:catch_errors]
use = egg:swift#catch_errors

[filter:gatekeeper]
use = egg:swift#gatekeeper

[filter:healthcheck]
use = egg:swift#healthcheck

[filter:cache]
use = egg:swift#memcache
memcache_servers = %[3]s

[filter:listing_formats]
use = egg:swift#listing_formats

[filter:s3api]
use = egg:swift#s3api
location = us-east-1
allow_multipart_uploads = yes
min_segment_size = 5242880
check_bucket_owner = false

[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin

[filter:copy]
use = egg:swift#copy

[filter:slo]
use = egg:swift#slo

[filter:dlo]
use = egg:swift#dlo

[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true

[filter:symlink]
use = egg:swift#symlink

[filter:proxy-logging]
use = egg:swift#proxy_logging
`
