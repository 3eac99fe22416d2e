// Package process runs servers for tests. The servers listen on loopback and
// end with the test that started them.
package process

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/s3presign/presign/examples/internal/child"
)

// Start starts a program and kills it when the test ends. The output of the
// program is logged if the test fails. The channel stopped is closed when the
// program has ended.
func Start(
	t testing.TB, dir, name string, args ...string,
) (stopped <-chan struct{}, output *Output) {
	t.Helper()
	output = new(Output)
	program := exec.Command(name, args...)
	program.Dir, program.Stdout, program.Stderr = dir, output, output
	program.SysProcAttr = child.DieWithParent()
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = program.Wait()
		close(done)
	}()
	t.Cleanup(func() {
		_ = program.Process.Kill()
		<-done
		if t.Failed() {
			t.Logf("%s printed:\n%s", name, tail(output.String()))
		}
	})
	return done, output
}

// An Output collects the output of a program. It is safe for concurrent use.
type Output struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.Write(p)
}

// String returns the output so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.String()
}

// Run runs a program and waits until it ends.
func Run(t testing.TB, dir, name string, args ...string) {
	t.Helper()
	program := exec.CommandContext(t.Context(), name, args...)
	program.Dir = dir
	if output, err := program.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, tail(string(output)))
	}
}

// FreeAddr returns a loopback address that was free a moment ago.
func FreeAddr(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// Await polls until ready reports true. It fails the test if a program ends
// first or a minute passes.
func Await(
	t testing.TB, what string, ready func(context.Context) bool, stopped ...<-chan struct{},
) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !ready(ctx) {
		for _, s := range stopped {
			select {
			case <-s:
				t.Fatalf("%s ended while it started", what)
			default:
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s did not start within a minute", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Responds reports whether a server returns a status below 500.
func Responds(ctx context.Context, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode < http.StatusInternalServerError
}

// Require skips the test if a program is missing, or fails it in CI. The hint
// describes how to install the programs.
func Require(t testing.TB, hint string, names ...string) {
	t.Helper()
	var missing []string
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		Skip(t, fmt.Sprintf("no %s; %s", strings.Join(missing, ", "), hint))
	}
}

// Skip skips the test for a reason, or fails it in CI.
func Skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(reason)
	}
	t.Skip("skipped: " + reason)
}

// tail returns the last lines of a log.
func tail(log string) string {
	const most = 40
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}
