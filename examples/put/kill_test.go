package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/store"
	"github.com/s3presign/presign/examples/put/internal/uploads"
)

// standalone is the service in a process of its own.
type standalone struct {
	addr    string
	process *exec.Cmd
	stdin   io.Closer
}

// buildStandalone builds it as a user would: without what the test binary has, be it the store or the race detector.
func buildStandalone(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "standalone")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./internal/standalone")
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)
	return program
}

// startStandalone starts it on an address, which may be that of one before.
func startStandalone(t *testing.T, program, addr string, server *store.Server) *standalone {
	t.Helper()
	root, err := server.Client().Options().Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	config, err := json.Marshal(map[string]any{
		"Addr": addr, "Endpoint": server.URL, "Region": server.Region, "AccessKey": root.AccessKeyID, "SecretKey": root.SecretAccessKey,
		"Bucket": bucket, "Secret": secret, "Policy": uploads.Policy, "Users": users,
	})
	require.NoError(t, err)
	s := &standalone{process: exec.Command(program)}
	s.process.Stderr = os.Stderr
	stdin, err := s.process.StdinPipe()
	require.NoError(t, err)
	s.stdin = stdin
	stdout, err := s.process.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, s.process.Start())
	t.Cleanup(func() { s.kill() })
	_, err = stdin.Write(config)
	require.NoError(t, err)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	s.addr = strings.TrimSpace(line)
	return s
}

func (s *standalone) kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// peak returns the most memory that it has had so far, in bytes.
func (s *standalone) peak(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Process.Pid))
	require.NoError(t, err)
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	require.NotNil(t, found, "%s", status)
	kilobytes, err := strconv.ParseInt(string(found[1]), 10, 64)
	require.NoError(t, err)
	return kilobytes << 10
}

// TestMemory: 2 GiB go from a client to the store, and the service, which signs 410 parts, puts them together and
// publishes what they are, has no more memory than for anything else.
func TestMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		require.NotEqual(t, "true", os.Getenv("CI"), "no VmHWM in /proc")
		t.Skip("skipped: no VmHWM in /proc on this system")
	}
	const size, limit = 2 << 30, 64 << 20
	server := newStore(t)
	s := startStandalone(t, buildStandalone(t), "127.0.0.1:0", server)
	p := at(server, "http://"+s.addr)
	path := filepath.Join(t.TempDir(), "sparse.bin")
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, errors.Join(f.Truncate(size), f.Close()))

	before := s.peak(t)
	u := p.as(t, "alice")
	numbers := u.counted()
	object, err := u.put(t.Context(), path)
	require.NoError(t, err)
	peak := s.peak(t)
	t.Logf("the service's process: %.1f MiB when it had started, %.1f MiB at most", float64(before)/(1<<20), float64(peak)/(1<<20))
	require.Less(t, peak, int64(limit))
	require.Len(t, numbers(), size/partSize+1)
	require.EqualValues(t, size, object.Size)
	require.Equal(t, []string{object.Key}, p.keys(t))
	require.Empty(t, p.uploads(t))
	stored, err := p.client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: &object.Key})
	require.NoError(t, err)
	require.EqualValues(t, size, aws.ToInt64(stored.ContentLength))
	require.Equal(t, `"a981130cf2b7e09f4686dc273cf7187e"`, aws.ToString(stored.ETag), "the MD5 of 2 GiB of zeros, which versitygw has of a copy")
}

// TestServiceKilled: one that is killed goes on with the same secret, and the client does not give up meanwhile.
func TestServiceKilled(t *testing.T) {
	server := newStore(t)
	program := buildStandalone(t)
	s := startStandalone(t, program, "127.0.0.1:0", server)
	p := at(server, "http://"+s.addr)
	u := p.as(t, "alice")
	u.parallel = 1
	var mu sync.Mutex
	sent, failed, killed := 0, 0, false
	meddle(u.store, func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		answer, err := next.RoundTrip(r)
		mu.Lock()
		defer mu.Unlock()
		if sent++; sent == 3 {
			s.kill()
			killed = true
		}
		return answer, err
	})
	meddle(u.service.http, func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		answer, err := next.RoundTrip(r)
		mu.Lock()
		defer mu.Unlock()
		if err == nil || !killed {
			return answer, err
		}
		if failed++; failed == 3 {
			startStandalone(t, program, s.addr, server)
		}
		return nil, err
	})
	path := newFile(t, "a.bin", 10*partSize+1)
	numbers := u.counted()
	object, err := u.put(t.Context(), path)
	require.NoError(t, err)
	require.Equal(t, 3, failed)
	require.Equal(t, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, numbers(), "none was sent twice")
	require.Equal(t, "alice", object.Owner)
	p.requireStored(t, path, object)
	require.Empty(t, p.uploads(t))
}

// gate is a proxy before the store that lets some parts through and holds the others back.
type gate struct {
	*httptest.Server
	mu      sync.Mutex
	passing int   // how many parts go through; negative is all
	passed  []int // their numbers
	held    chan int
	open    chan struct{} // closed to let go of those that are held
}

// newGate returns a gate that reaches the store as soon as there is one. Signatures are for the gate's name.
func newGate(t *testing.T, passing int) (g *gate, reach func(target string)) {
	t.Helper()
	g = &gate{passing: passing, held: make(chan int, 100), open: make(chan struct{})}
	var target *url.URL
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		number, err := strconv.Atoi(r.URL.Query().Get("partNumber"))
		if err != nil {
			http.Error(w, "only parts come here", http.StatusBadRequest)
			return
		}
		g.mu.Lock()
		pass := g.passing != 0
		if pass {
			g.passing--
			g.passed = append(g.passed, number)
		}
		g.mu.Unlock()
		if !pass {
			g.held <- number
			<-g.open
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(g.Close)
	return g, func(to string) {
		var err error
		target, err = url.Parse(to)
		require.NoError(t, err)
	}
}

// TestClientKilled: one that is killed and run again sends what was missing, and nothing else.
func TestClientKilled(t *testing.T) {
	const all, before, parallel = 12, 4, 3
	g, reach := newGate(t, before)
	p := newPlace(t, uploads.Policy, presign.WithPublicEndpoint(g.URL))
	reach(p.URL)
	path, states := newFile(t, "a.bin", all*partSize-1000), t.TempDir()
	client := func() *exec.Cmd {
		c := exec.CommandContext(t.Context(), os.Args[0], "-url", p.url, "-state", states, "-parallel", strconv.Itoa(parallel), path)
		c.Env = append(os.Environ(), clientMarker+"=1", "PUT_USER=alice:"+users["alice"])
		return c
	}
	first := client()
	require.NoError(t, first.Start())
	held := make(map[int]bool)
	for range parallel { // all that it sends at once: what has passed before has arrived
		held[<-g.held] = true
	}
	require.NoError(t, first.Process.Kill())
	require.Error(t, first.Wait())
	close(g.open)
	arrived := p.arrived(t)
	require.Len(t, arrived, before)
	entries, err := os.ReadDir(states)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	info, err := entries[0].Info()
	require.NoError(t, err)
	if runtime.GOOS != "windows" {
		require.Equal(t, os.FileMode(0o600), info.Mode(), "what is in it is nobody else's business")
	}

	g.mu.Lock()
	require.ElementsMatch(t, arrived, g.passed)
	g.passing, g.passed = -1, nil
	g.mu.Unlock()
	var out bytes.Buffer
	second := client()
	second.Stdout, second.Stderr = &out, &out
	require.NoError(t, second.Run(), &out)
	require.Contains(t, out.String(), fmt.Sprintf("a.bin  %d parts have arrived, of %d\n", before, all))
	var missing []int
	for number := 1; number <= all; number++ {
		if !slices.Contains(arrived, number) {
			missing = append(missing, number)
		}
	}
	g.mu.Lock()
	slices.Sort(g.passed)
	require.Equal(t, missing, g.passed, "each once")
	g.mu.Unlock()
	key := regexp.MustCompile(`is stored as (\S+) `).FindStringSubmatch(out.String())
	require.Len(t, key, 2, out.String())
	p.requireStored(t, path, &presign.Object{Key: key[1]})
	require.Empty(t, p.uploads(t))
	entries, err = os.ReadDir(states)
	require.NoError(t, err)
	require.Empty(t, entries)
}
