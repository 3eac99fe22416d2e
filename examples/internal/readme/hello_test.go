package readme

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/process"
	"github.com/s3presign/presign/examples/internal/store"
)

// TestHelloWorld checks that the program in the README accepts an upload. It
// uses the variables that the README exports, but another port.
func TestHelloWorld(t *testing.T) {
	process.Require(t, "on Debian: apt install openssl", "openssl")
	const printed = "127.0.0.1:8080"
	source, addr := replaceAddress(t, findBlock(t, "README.md", "package main"), printed)
	program := filepath.Join(t.TempDir(), "hello")
	runGo(t, map[string]string{"hello/main.go": source}, "build", "-o", program,
		"./internal/readme/hello")

	server, err := store.Start(t.Context(), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	require.NoError(t, server.CreateBucket(t.Context(), "my-bucket", ""))
	options := server.Client().Options()
	root, err := options.Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	t.Setenv("AWS_ACCESS_KEY_ID", root.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", root.SecretAccessKey)
	t.Setenv("AWS_SESSION_TOKEN", root.SessionToken)
	t.Setenv("AWS_REGION", options.Region)
	t.Setenv("AWS_ENDPOINT_URL", server.URL)

	commands := shellCommands(t)
	log := startHello(t, commands["export"], program, addr)
	output, err := exec.Command("sh", "-c",
		strings.Replace(commands["curl"], printed, addr, 1)+" -fsS").Output()
	require.NoError(t, err)
	var grant presign.Grant
	require.NoError(t, json.Unmarshal(output, &grant))
	require.Equal(t, "PUT", grant.Method)

	picture := append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 81234-8)...)
	r, err := grant.Request(t.Context(), bytes.NewReader(picture), int64(len(picture)))
	require.NoError(t, err)
	requireStatus(t, r, 200)
	r, err = http.NewRequestWithContext(t.Context(), "POST", "http://"+addr+"/uploads/complete",
		strings.NewReader(`{"key": "`+grant.Key+`"}`))
	require.NoError(t, err)
	r.SetBasicAuth("demo", "demo")
	r.Header.Set("Content-Type", "application/json")
	requireStatus(t, r, 200)
	require.Eventually(t, func() bool { // The log arrives by a pipe.
		const line = `demo uploaded files/\S+/me.png: image/png, 81234 bytes`
		return regexp.MustCompile(line).MatchString(log.String())
	}, 10*time.Second, 10*time.Millisecond)
}

// shellCommands returns the shell lines of the README by their first word.
func shellCommands(t *testing.T) map[string]string {
	t.Helper()
	commands := make(map[string]string)
	for _, block := range Blocks(t, filepath.Join(root, "README.md"), "sh") {
		for line := range strings.SplitSeq(block, "\n") {
			word, _, _ := strings.Cut(line, " ")
			commands[word] = line
		}
	}
	require.Regexp(t, `^export (\w+=\S+ ?){2}`,
		regexp.MustCompile(`\$\([^)]*\)`).ReplaceAllString(commands["export"], "x"),
		"the line must export two variables")
	return commands
}

// startHello starts the program after the line that exports its variables. It
// waits until the program listens, and returns its log.
func startHello(t *testing.T, export, program, addr string) *syncBuffer {
	t.Helper()
	log := new(syncBuffer)
	command := exec.CommandContext(t.Context(), "sh", "-c", export+"\nexec "+program)
	command.Stderr = io.MultiWriter(log, os.Stderr)
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	require.Eventually(t, func() bool {
		response, err := http.Get("http://" + addr + "/")
		return err == nil && response.Body.Close() == nil
	}, time.Minute, 10*time.Millisecond)
	return log
}

func requireStatus(t *testing.T, r *http.Request, want int) {
	t.Helper()
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, want, response.StatusCode, "%s", body)
}

// A syncBuffer is a buffer for concurrent use.
type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Buffer.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Buffer.String()
}
