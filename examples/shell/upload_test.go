//go:build unix

package shell

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/browser"
	"github.com/s3presign/presign/examples/internal/relay"
	"github.com/s3presign/presign/examples/internal/store"
)

const (
	bucket = "shell"
	mib    = 1 << 20
)

// runInShells runs a test with upload.sh in the shell of the system and in bash
// in POSIX mode.
func runInShells(t *testing.T, test func(t *testing.T, s *script)) {
	if _, err := exec.LookPath("curl"); err != nil {
		browser.Missing(t, "curl")
	}
	for _, command := range [][]string{{"sh"}, {"bash", "--posix"}} {
		t.Run(command[0], func(t *testing.T) {
			if _, err := exec.LookPath(command[0]); err != nil {
				browser.Missing(t, command[0])
			}
			t.Parallel()
			test(t, newScript(t, append(command, "./upload.sh")))
		})
	}
}

// A script runs upload.sh in a home directory that is kept between runs.
type script struct {
	t       *testing.T
	command []string
	home    string
	states  string // the directory of states
	bin     string // a directory before the other directories in PATH
	env     []string
}

func newScript(t *testing.T, command []string) *script {
	t.Helper()
	home, bin := t.TempDir(), t.TempDir()
	// Requests that use this file fail.
	rc := []byte("proxy = \"http://127.0.0.1:1\"\n")
	require.NoError(t, os.WriteFile(filepath.Join(home, ".curlrc"), rc, 0o600))
	s := &script{
		t: t, command: command, home: home,
		states: filepath.Join(home, ".local/state/presign-upload"), bin: bin,
	}
	s.env = append(os.Environ(), "HOME="+home, "CURL_HOME="+home, "XDG_STATE_HOME=", "UPLOAD_USER=",
		"PATH="+bin+":"+os.Getenv("PATH"))
	s.addProgram("sleep", `echo "$1" >>"$0.slept"`)
	return s
}

// addProgram adds a program that the script finds first.
func (s *script) addProgram(name, text string) {
	require.NoError(s.t,
		os.WriteFile(filepath.Join(s.bin, name), []byte("#!/bin/sh\n"+text+"\n"), 0o700))
}

// takeDelays returns the delays in seconds since the last call. The fake sleep
// records all delays.
func (s *script) takeDelays() []string {
	path := filepath.Join(s.bin, "sleep.slept")
	slept, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(s.t, err)
		require.NoError(s.t, os.Remove(path))
	}
	return strings.Fields(string(slept))
}

// state returns the path of the only state.
func (s *script) state() string {
	entries, err := os.ReadDir(s.states)
	require.NoError(s.t, err)
	require.Len(s.t, entries, 1)
	return filepath.Join(s.states, entries[0].Name())
}

// A process is a started script.
type process struct {
	*exec.Cmd
	temporary      string
	stdout, stderr bytes.Buffer
}

func (s *script) start(arguments ...string) *process {
	s.t.Helper()
	command := append(slices.Clone(s.command), arguments...)
	r := &process{Cmd: exec.Command(command[0], command[1:]...), temporary: s.t.TempDir()}
	r.Env = append(slices.Clone(s.env), "TMPDIR="+r.temporary)
	r.Stdout, r.Stderr = &r.stdout, &r.stderr
	// A signal to the process group also kills curl.
	r.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(s.t, r.Start())
	s.t.Cleanup(func() { _ = syscall.Kill(-r.Process.Pid, syscall.SIGKILL) })
	return r
}

// run runs the script and checks that it leaves no temporary files.
func (s *script) run(arguments ...string) (exit int, stdout, stderr string) {
	s.t.Helper()
	r := s.start(arguments...)
	if err := r.Wait(); err != nil {
		require.ErrorAs(s.t, err, new(*exec.ExitError))
	}
	s.requireClean(r)
	return r.ProcessState.ExitCode(), r.stdout.String(), r.stderr.String()
}

func (s *script) requireClean(r *process) {
	s.t.Helper()
	left, err := os.ReadDir(r.temporary)
	require.NoError(s.t, err)
	require.Empty(s.t, left)
}

// runFailing runs the script, checks that it fails, and returns its error.
func (s *script) runFailing(arguments ...string) string {
	s.t.Helper()
	exit, stdout, stderr := s.run(arguments...)
	require.Equal(s.t, 1, exit, stderr)
	require.Empty(s.t, stdout)
	return stderr
}

// A service accepts uploads, with a relay in front of its store.
type service struct {
	*script
	url       string
	relay     *relay.Relay
	client    *s3.Client
	disturbed atomic.Pointer[disturbance]
}

// A disturbance handles a request instead of the service. It reports whether to
// forward the request.
type disturbance func(w http.ResponseWriter, r *http.Request) bool

// disturb sets the function that handles later requests.
func (s *service) disturb(f disturbance) { s.disturbed.Store(&f) }

func (s *script) startService(changes ...func(*presign.Policy)) *service {
	t := s.t
	t.Helper()
	server, err := store.Start(context.Background(), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	require.NoError(t, server.CreateBucket(t.Context(), bucket))
	v := &service{script: s, relay: relay.Start(t, server.URL), client: server.Client()}
	client := server.Client(func(o *s3.Options) { o.BaseEndpoint = &v.relay.URL })
	policy := presign.Policy{
		Prefix: "incoming/", FinalPrefix: "files/", Types: []string{"*/*"}, MaxSize: 30 * mib,
	}
	for _, change := range changes {
		change(&policy)
	}
	signer, err := presign.NewSigner(client, bucket, policy,
		presign.WithSecret([]byte(rand.Text()+rand.Text())))
	require.NoError(t, err)
	uploads, err := presign.NewHandler(signer, func(r *http.Request) (string, error) {
		user, password, _ := r.BasicAuth()
		cookie, err := r.Cookie("session")
		switch {
		case user == "alice" && password == `"secret\`, err == nil && cookie.Value == "alice's",
			r.Header.Get("Authorization") == "Bearer alice's":
			return "alice", nil
		}
		return "", &presign.Problem{Status: http.StatusUnauthorized, Detail: "Log in first."}
	})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/uploads/", http.StripPrefix("/uploads", uploads))
	v.url = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if disturb := v.disturbed.Load(); disturb == nil || *disturb == nil || (*disturb)(w, r) {
			mux.ServeHTTP(w, r)
		}
	}) + "/uploads/"
	return v
}

func serve(t *testing.T, handler http.HandlerFunc) (url string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	return server.URL
}

// write creates a file with random bytes that depend on its name.
func write(t *testing.T, name string, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	f, err := os.Create(path)
	require.NoError(t, err)
	_, err = io.CopyN(f, mathrand.NewChaCha8(sha256.Sum256([]byte(name))), size)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return path
}

// alice holds the arguments with the credentials of Alice.
var alice = []string{"-u", `alice:"secret\`}

// requireUploaded runs the script and checks that the store has the file.
func (s *service) requireUploaded(path string, arguments ...string) (*presign.Object, string) {
	s.t.Helper()
	exit, stdout, stderr := s.run(append(arguments, s.url, path)...)
	require.Zero(s.t, exit, stderr)
	object := new(presign.Object)
	require.NoError(s.t, json.Unmarshal([]byte(stdout), object), stdout)
	require.Equal(s.t, filepath.Base(path), object.Filename)
	require.Equal(s.t, "alice", object.Owner)
	got, err := s.client.GetObject(s.t.Context(), &s3.GetObjectInput{
		Bucket: aws.String(bucket), Key: &object.Key,
	})
	require.NoError(s.t, err)
	defer got.Body.Close()
	stored, err := io.ReadAll(got.Body)
	require.NoError(s.t, err)
	content, err := os.ReadFile(path)
	require.NoError(s.t, err)
	require.True(s.t, bytes.Equal(content, stored))
	if entries, err := os.ReadDir(s.states); !errors.Is(err, fs.ErrNotExist) {
		require.NoError(s.t, err)
		require.Empty(s.t, entries)
	}
	beside, err := os.ReadDir(filepath.Dir(path))
	require.NoError(s.t, err)
	require.Len(s.t, beside, 1)
	return object, stderr
}

// isEmpty reports whether the store has no objects and no multipart uploads.
func (s *service) isEmpty() bool {
	objects, err := s.client.ListObjectsV2(s.t.Context(), &s3.ListObjectsV2Input{
		Bucket: aws.String(bucket),
	})
	require.NoError(s.t, err)
	uploads, err := s.client.ListMultipartUploads(s.t.Context(), &s3.ListMultipartUploadsInput{
		Bucket: aws.String(bucket),
	})
	require.NoError(s.t, err)
	return len(objects.Contents)+len(uploads.Uploads) == 0
}

func TestUsage(t *testing.T) {
	runInShells(t, func(t *testing.T, s *script) {
		for _, arguments := range [][]string{
			nil, {"http://127.0.0.1:1"}, {"a", "b", "c"}, {"-t", "text/plain"}, {"-x", "a", "b"},
		} {
			exit, stdout, stderr := s.run(arguments...)
			require.Equal(t, 2, exit)
			require.Empty(t, stdout)
			require.Contains(t, stderr, "usage: upload.sh [-u user:password] [-b cookies] "+
				"[-H header] [-t type] service file\n")
		}
	})
}

func TestSmall(t *testing.T) {
	runInShells(t, func(t *testing.T, script *script) {
		s := script.startService()
		for name, login := range map[string][]string{
			"a.bin": alice,
			`it's "quoted" & größer, 100% of 湖.bin`: {"-b", "session=alice's"},
			"-T": {"-H", "Authorization: Bearer alice's", "-t", "application/vnd.acme"},
		} {
			object, _ := s.requireUploaded(write(t, name, 1000), login...)
			if name == "-T" {
				require.Equal(t, "application/vnd.acme", object.Type)
			}
		}
		require.Empty(t, s.relay.Arrived(), "small files must not be multipart uploads")
	})
}

// TestParts checks that failed parts are sent again.
func TestParts(t *testing.T) {
	runInShells(t, func(t *testing.T, script *script) {
		s := script.startService()
		tries := map[int]int{}
		s.relay.Disturb(func(w http.ResponseWriter, r *http.Request, part int) bool {
			tries[part]++ // Requests are sequential.
			switch {
			case part == 2 && tries[part] == 1:
				w.WriteHeader(http.StatusServiceUnavailable)
				return false
			case part == 3 && tries[part] == 1:
				_, _ = io.CopyN(io.Discard, r.Body, mib)
				panic(http.ErrAbortHandler) // This closes the connection.
			case part == 4 && tries[part] == 1:
				w.WriteHeader(http.StatusForbidden) // Stores return this for an expired URL.
				return false
			}
			return true
		})
		object, stderr := s.requireUploaded(write(t, `a "large" größer 100% & file.bin`, 17*mib+1),
			alice...)
		require.Equal(t, int64(17*mib+1), object.Size)
		require.Equal(t, []int{1, 2, 3, 4}, s.relay.Arrived())
		require.Equal(t, map[int]int{1: 1, 2: 2, 3: 2, 4: 2}, tries)
		require.Equal(t, "25 %, part 1 of 4\nstatus 503, trying again\n50 %, part 2 of 4\n"+
			"no response, trying again\n75 %, part 3 of 4\n100 %, part 4 of 4\n", stderr)
		require.Equal(t, []string{"1", "1"}, s.takeDelays())
	})
}

// TestKilled checks that the next run continues after the script was killed.
func TestKilled(t *testing.T) {
	runInShells(t, func(t *testing.T, script *script) {
		s := script.startService()
		path := write(t, "a large file", 20*mib)
		s.interrupt(path, syscall.SIGKILL)
		require.Equal(t, []int{1, 2}, s.relay.Arrived())
		// Access logs have these entries, which must not contain IDs and keys.
		asked := make(map[string]bool)
		s.disturb(func(_ http.ResponseWriter, r *http.Request) bool {
			asked[r.Method+" "+r.URL.String()] = true // Requests are sequential.
			return true
		})
		kept := s.state()
		state, err := os.ReadFile(kept)
		require.NoError(t, err)
		object, _ := s.requireUploaded(path, alice...)
		require.Equal(t, []int{3, 4}, s.relay.Arrived())

		// The script is killed before it removes the state.
		require.NoError(t, os.WriteFile(kept, state, 0o600))
		again, _ := s.requireUploaded(path, alice...)
		require.Equal(t, object, again)
		require.Empty(t, s.relay.Arrived())

		// The script is stopped, and then the file changes.
		s.requireClean(s.interrupt(path, syscall.SIGTERM))
		s.relay.Arrived()
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = f.WriteString("and more")
		require.NoError(t, err)
		require.NoError(t, f.Close())
		object, _ = s.requireUploaded(path, alice...)
		require.Equal(t, int64(20*mib+8), object.Size)
		require.Equal(t, []int{1, 2, 3, 4, 5}, s.relay.Arrived())

		// The script is stopped, and then the type changes.
		s.interrupt(path, syscall.SIGTERM)
		s.relay.Arrived()
		object, _ = s.requireUploaded(path, append(alice, "-t", "application/vnd.acme")...)
		require.Equal(t, "application/vnd.acme", object.Type)
		require.Equal(t, []int{1, 2, 3, 4, 5}, s.relay.Arrived())

		uploads, err := s.client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{
			Bucket: aws.String(bucket),
		})
		require.NoError(t, err)
		require.Empty(t, uploads.Uploads, "an upload that is not continued must be aborted")
		want := make(map[string]bool)
		for _, path := range []string{
			"GET /uploads/", "POST /uploads/", "POST /uploads/parts/sign",
			"POST /uploads/parts/list", "POST /uploads/complete", "POST /uploads/abort",
		} {
			want[path] = true
		}
		require.Equal(t, want, asked)
	})
}

// TestCutPart checks that a part is sent again if its ETag differs from the
// acknowledged ETag, as at versitygw after an interrupted request. It also
// checks that a part is sent again if the script was killed while it wrote the
// state.
func TestCutPart(t *testing.T) {
	runInShells(t, func(t *testing.T, script *script) {
		s := script.startService()
		path := write(t, "large.bin", 20*mib)
		replace := func(numbers ...int32) {
			listed, err := s.client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{
				Bucket: aws.String(bucket),
			})
			require.NoError(t, err)
			require.Len(t, listed.Uploads, 1)
			for _, number := range numbers {
				_, err := s.client.UploadPart(t.Context(), &s3.UploadPartInput{
					Bucket: aws.String(bucket), Key: listed.Uploads[0].Key,
					UploadId:   listed.Uploads[0].UploadId,
					PartNumber: aws.Int32(number), Body: bytes.NewReader(make([]byte, 5*mib)),
				})
				require.NoError(t, err)
			}
		}
		s.interrupt(path, syscall.SIGKILL)
		require.Equal(t, []int{1, 2}, s.relay.Arrived())
		replace(1, 3)
		s.requireUploaded(path, alice...)
		require.Equal(t, []int{1, 3, 4}, s.relay.Arrived())

		s.interrupt(path, syscall.SIGKILL)
		s.relay.Arrived()
		state, err := os.ReadFile(s.state())
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(s.state(), state[:len(state)-5], 0o600))
		s.requireUploaded(path, alice...)
		require.Equal(t, []int{2, 3, 4}, s.relay.Arrived())
	})
}

// TestChecksum checks that the script sends the required checksum. If no
// program computes it, the error must name the algorithm.
func TestChecksum(t *testing.T) {
	sums := map[types.ChecksumAlgorithm]func() hash.Hash{
		types.ChecksumAlgorithmCrc32:  func() hash.Hash { return crc32.NewIEEE() },
		types.ChecksumAlgorithmSha256: sha256.New,
	}
	runInShells(t, func(t *testing.T, script *script) {
		for algorithm, newHash := range sums {
			s := script.startService(func(p *presign.Policy) { p.Checksum = algorithm })
			for _, size := range []int64{1, 1000, 17*mib + 1} {
				path := write(t, "a.bin", size)
				content, err := os.ReadFile(path)
				require.NoError(t, err)
				h := newHash()
				h.Write(content)
				object, _ := s.requireUploaded(path, alice...)
				require.Equal(t, base64.StdEncoding.EncodeToString(h.Sum(nil)), object.Checksum)
				parts := 0
				if size > 16*mib && algorithm == types.ChecksumAlgorithmCrc32 {
					parts = 4
				}
				require.Len(t, s.relay.Arrived(), parts)
			}
		}
		for _, name := range []string{"gzip", "sha256sum", "shasum", "openssl"} {
			script.addProgram(name, "exit 127")
		}
		for _, algorithm := range []types.ChecksumAlgorithm{
			"CRC32", "SHA256", "CRC32C", "CRC64NVME",
		} {
			s := script.startService(func(p *presign.Policy) { p.Checksum = algorithm })
			for _, size := range []int64{1000, 17 * mib} {
				want := "upload.sh: the service requires a checksum that this script cannot " +
					"compute: " + string(algorithm) + "\n"
				require.Equal(t, want,
					s.runFailing(append(alice, s.url, write(t, "a.bin", size))...))
				require.True(t, s.isEmpty())
			}
		}
	})
}

// interrupt starts the script and ends it during the third part.
func (s *service) interrupt(path string, signal syscall.Signal) *process {
	s.t.Helper()
	third := make(chan struct{})
	s.relay.Disturb(func(w http.ResponseWriter, r *http.Request, part int) bool {
		if part < 3 {
			return true
		}
		close(third)
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		return false
	})
	r := s.start(append(alice, s.url, path)...)
	ended := make(chan error, 1)
	go func() { ended <- r.Wait() }()
	select {
	case <-third:
	case err := <-ended:
		require.FailNow(s.t, "the script must not end before the third part", "%v: %s", err,
			&r.stderr)
	}
	require.NoError(s.t, syscall.Kill(-r.Process.Pid, signal))
	require.Error(s.t, <-ended)
	s.relay.Disturb(nil)
	return r
}

// TestRejected checks that the script prints the error of the service, and that
// no object is left.
func TestRejected(t *testing.T) {
	runInShells(t, func(t *testing.T, script *script) {
		s := script.startService()
		for _, test := range []struct {
			name      string
			size      int64
			arguments []string
			want      string
		}{
			{"page.html", 10, alice, `type must be one of */*, got "text/html"; browsers run it, so that a policy must name it in full`},
			{"a.png", 10, append(alice, "-t", "application/pdf"), `type must match the file's name, whose type is "image/png", got "application/pdf"`},
			{"too large.bin", 31 * mib, alice, `size must be at most 31457280 bytes, got 32505856`},
			{"empty.bin", 0, alice, `size must be at least 1 byte, got 0; leave it out if it is unknown`},
			{"a\\b.bin", 10, alice, `filename must be a name without a path, got the separator '\\'`},
			{"a\tb.bin", 10, alice, `The request was not understood: the body must be JSON, got another character at byte 15.`},
			{"a\nb.bin", 10, alice, `the file name must not contain a line break`},
			{"a.bin", 10, append(alice, "-t", "text/plain\nurl = x"), `arguments must not contain a line break`},
			{"a.bin", 10, []string{"-u", "alice:a\nurl = x"}, `arguments must not contain a line break`},
			{"a.bin", 10, []string{"-b", "a=b\nurl = x"}, `arguments must not contain a line break`},
			{"a.bin", 10, []string{"-H", "A: b\nurl = x"}, `arguments must not contain a line break`},
			{"a.bin", 10, []string{"-u", "alice:wrong"}, `Log in first.`},
			{"large.bin", 20 * mib, nil, `Log in first.`},
			{"a.pdf", 10, append(alice, "-t", "image/png"), `type must match the file's name, whose type is "application/pdf", got "image/png"`},
			{"not a picture.png", 100, alice, `type must match the content, got "image/png" for a file that does not look like image/png`},
		} {
			t.Run(test.name, func(t *testing.T) {
				stderr := s.runFailing(
					append(test.arguments, s.url, write(t, test.name, test.size))...)
				require.Equal(t, "upload.sh: "+test.want+"\n", stderr)
				require.True(t, s.isEmpty())
			})
		}
	})
}
