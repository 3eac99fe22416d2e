package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
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

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/relay"
	"github.com/s3presign/presign/examples/internal/store"
	"github.com/s3presign/presign/examples/put/internal/uploads"
)

// A standalone is the service in a separate process.
type standalone struct {
	url     string
	process *exec.Cmd
	stdin   io.Closer
}

// buildStandalone builds the program without the store and the race detector of
// the test binary.
func buildStandalone(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "standalone")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./internal/standalone")
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)
	return program
}

// startStandalone starts the program on a free port.
func startStandalone(t *testing.T, program string, server *store.Server) *standalone {
	t.Helper()
	root, err := server.Client().Options().Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	config, err := json.Marshal(map[string]any{
		"Endpoint": server.URL, "Region": server.Region,
		"AccessKey": root.AccessKeyID, "SecretKey": root.SecretAccessKey,
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
	s.url = "http://" + strings.TrimSpace(line)
	return s
}

func (s *standalone) kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// TestServiceKilled checks that the upload continues after the service was
// killed and started again with the same secret.
func TestServiceKilled(t *testing.T) {
	server := newStore(t)
	program := buildStandalone(t)
	s := startStandalone(t, program, server)
	front := relay.Start(t, s.url)
	p := newPlaceAt(server, front.URL)
	u := p.newUploader(t, "alice")
	u.parallel = 1
	// The third part waits until the service is killed. The third failure waits
	// until the service is started again.
	third, killed := make(chan struct{}), make(chan struct{})
	missed, back := make(chan struct{}), make(chan struct{})
	sent, failed := 0, 0 // Requests are sequential.
	intercept(u.store, func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		response, err := next.RoundTrip(r)
		if sent++; sent == 3 {
			close(third)
			<-killed
		}
		return response, err
	})
	intercept(u.service.http, func(
		r *http.Request, next http.RoundTripper,
	) (*http.Response, error) {
		response, err := next.RoundTrip(r)
		if err == nil {
			return response, nil
		}
		if failed++; failed == 3 {
			close(missed)
			<-back
		}
		return nil, err
	})
	path := newFile(t, "a.bin", 10*partSize+1)
	numbers := u.countParts()
	var object *presign.Object
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		object, err = u.put(t.Context(), path)
	}()
	wait := func(event <-chan struct{}) {
		t.Helper()
		select {
		case <-event:
		case <-done:
			require.FailNow(t, "put must not end before the event", "%v", err)
		}
	}
	wait(third)
	front.Lead(t, "") // Another process might receive the port.
	s.kill()
	close(killed)
	wait(missed)
	front.Lead(t, startStandalone(t, program, server).url)
	close(back)
	<-done
	require.NoError(t, err)
	require.Equal(t, 3, failed)
	require.Equal(t, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, numbers(),
		"no part must be sent twice")
	require.Equal(t, "alice", object.Owner)
	p.requireStored(t, path, object)
	require.Empty(t, p.uploads(t))
}

// TestClientKilled checks that a client that was killed and started again sends
// only the missing parts.
func TestClientKilled(t *testing.T) {
	const all, before, parallel = 12, 4, 3
	server := newStore(t)
	front := relay.Start(t, server.URL)
	p := openPlace(t, server, server.Client(), uploads.Policy,
		presign.WithPublicEndpoint(front.URL))
	var mu sync.Mutex
	passing, held, open := before, make(chan int, all), make(chan struct{})
	release := sync.OnceFunc(func() { close(open) })
	t.Cleanup(release)
	front.Disturb(func(_ http.ResponseWriter, _ *http.Request, part int) bool {
		mu.Lock()
		passes := passing > 0
		passing--
		mu.Unlock()
		if !passes {
			held <- part
			<-open
		}
		return passes
	})
	path, states := newFile(t, "a.bin", all*partSize-1000), t.TempDir()
	client := func() *exec.Cmd {
		c := exec.CommandContext(t.Context(), os.Args[0], "-url", p.url, "-state", states,
			"-parallel", strconv.Itoa(parallel), path)
		c.Env = append(os.Environ(), clientMarker+"=1", "PUT_USER=alice:"+users["alice"])
		return c
	}
	first := client()
	require.NoError(t, first.Start())
	for range parallel { // When all concurrent requests are held, the earlier parts have arrived.
		<-held
	}
	require.NoError(t, first.Process.Kill())
	require.Error(t, first.Wait())
	front.Disturb(nil)
	release()
	arrived := p.arrived(t)
	require.Len(t, arrived, before)
	entries, err := os.ReadDir(states)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	info, err := entries[0].Info()
	require.NoError(t, err)
	if runtime.GOOS != "windows" {
		require.Equal(t, os.FileMode(0o600), info.Mode(), "only the user may read the state")
	}

	require.Equal(t, arrived, front.Arrived())
	var out bytes.Buffer
	second := client()
	second.Stdout, second.Stderr = &out, &out
	require.NoError(t, second.Run(), &out)
	require.Contains(t, out.String(),
		fmt.Sprintf("a.bin  %d of %d parts are stored already\n", before, all))
	var missing []int
	for number := 1; number <= all; number++ {
		if !slices.Contains(arrived, number) {
			missing = append(missing, number)
		}
	}
	require.Equal(t, missing, front.Arrived(), "each missing part must be sent once")
	key := regexp.MustCompile(`is stored as (\S+)\n`).FindStringSubmatch(out.String())
	require.Len(t, key, 2, out.String())
	p.requireStored(t, path, &presign.Object{Key: key[1]})
	require.Empty(t, p.uploads(t))
	entries, err = os.ReadDir(states)
	require.NoError(t, err)
	require.Empty(t, entries)
}
