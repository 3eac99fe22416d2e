//go:build unix

package shell

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
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

// service is one that uploads go to, with a relay before its store.
type service struct {
	t      *testing.T
	url    string
	relay  *relay.Relay
	client *s3.Client
}

func start(t *testing.T) *service {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		browser.Missing(t, "curl")
	}
	server, err := store.Start(context.Background(), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	require.NoError(t, server.CreateBucket(t.Context(), bucket))
	s := &service{t: t, relay: relay.Start(t, server.URL), client: server.Client()}
	client := server.Client(func(o *s3.Options) { o.BaseEndpoint = &s.relay.URL })
	signer, err := presign.NewSigner(client, bucket, presign.Policy{
		Prefix: "incoming/", FinalPrefix: "files/", Types: []string{"*/*"}, MaxSize: 30 * mib,
	}, presign.WithSecret([]byte(rand.Text()+rand.Text())))
	require.NoError(t, err)
	uploads, err := presign.NewHandler(signer, func(r *http.Request) (string, error) {
		user, password, _ := r.BasicAuth()
		cookie, err := r.Cookie("session")
		switch {
		case user == "alice" && password == `"secret\`, err == nil && cookie.Value == "alice's", r.Header.Get("Authorization") == "Bearer alice's":
			return "alice", nil
		}
		return "", &presign.Problem{Status: http.StatusUnauthorized, Detail: "Nobody we know."}
	})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/uploads/", http.StripPrefix("/uploads", uploads))
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	s.url = web.URL + "/uploads/"
	return s
}

// write makes a file that no two names have alike.
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

func upload(arguments ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	cmd = exec.Command("./upload.sh", arguments...)
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that its curl can be killed with it
	return cmd, stdout, stderr
}

// uploads runs the script to its end and checks what the store has then.
func (s *service) uploads(path string, arguments ...string) (*presign.Object, string) {
	s.t.Helper()
	cmd, stdout, stderr := upload(append(arguments, s.url, path)...)
	require.NoError(s.t, cmd.Run(), stderr)
	object := new(presign.Object)
	require.NoError(s.t, json.Unmarshal(stdout.Bytes(), object), stdout)
	require.Equal(s.t, filepath.Base(path), object.Filename)
	require.Equal(s.t, "alice", object.Owner)
	got, err := s.client.GetObject(s.t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: &object.Key})
	require.NoError(s.t, err)
	defer got.Body.Close()
	stored, err := io.ReadAll(got.Body)
	require.NoError(s.t, err)
	content, err := os.ReadFile(path)
	require.NoError(s.t, err)
	require.True(s.t, bytes.Equal(content, stored))
	require.NoFileExists(s.t, path+".upload")
	return object, stderr.String()
}

// empty is whether the store has nothing at all.
func (s *service) empty() bool {
	objects, err := s.client.ListObjectsV2(s.t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
	require.NoError(s.t, err)
	uploads, err := s.client.ListMultipartUploads(s.t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String(bucket)})
	require.NoError(s.t, err)
	return len(objects.Contents)+len(uploads.Uploads) == 0
}

func TestSmall(t *testing.T) {
	s := start(t)
	for name, login := range map[string][]string{
		"a.bin": {"-u", `alice:"secret\`},
		`it's "quoted" & größer, 100% of 湖.bin`: {"-b", "session=alice's"},
		"-T": {"-H", "Authorization: Bearer alice's", "-t", "application/pdf"},
	} {
		object, _ := s.uploads(write(t, name, 1000), login...)
		if name == "-T" {
			require.Equal(t, "application/pdf", object.Type)
		}
	}
	require.Empty(t, s.relay.Arrived(), "no parts")
}

// TestParts has the store fail at two parts, which are sent again.
func TestParts(t *testing.T) {
	s := start(t)
	tries := map[int]int{}
	s.relay.Disturb(func(w http.ResponseWriter, r *http.Request, part int) bool {
		tries[part]++ // one at a time
		switch {
		case part == 2 && tries[part] == 1:
			w.WriteHeader(http.StatusServiceUnavailable)
			return false
		case part == 3 && tries[part] == 1:
			_, _ = io.CopyN(io.Discard, r.Body, mib)
			panic(http.ErrAbortHandler) // the connection is cut
		case part == 4 && tries[part] == 1:
			w.WriteHeader(http.StatusForbidden) // as when its URL has expired
			return false
		}
		return true
	})
	object, stderr := s.uploads(write(t, `a "large" größer 100% & file.bin`, 17*mib+1), "-u", `alice:"secret\`)
	require.Equal(t, int64(17*mib+1), object.Size)
	require.Equal(t, []int{1, 2, 3, 4}, s.relay.Arrived())
	require.Equal(t, map[int]int{1: 1, 2: 2, 3: 2, 4: 2}, tries)
	require.Equal(t, "25 %, part 1 of 4\n50 %, part 2 of 4\n75 %, part 3 of 4\n100 %, part 4 of 4\n", stderr)
}

// TestKilled goes on with what had arrived when the script was killed.
func TestKilled(t *testing.T) {
	s := start(t)
	path := write(t, "a large file.bin", 20*mib)
	state := s.killed(path)
	require.Equal(t, []int{1, 2}, s.relay.Arrived())
	object, _ := s.uploads(path, "-u", `alice:"secret\`)
	require.Equal(t, []int{3, 4}, s.relay.Arrived())

	// Killed once more, when all is done but for the file that it goes on with.
	require.NoError(t, os.WriteFile(path+".upload", state, 0o600))
	again, _ := s.uploads(path, "-u", `alice:"secret\`)
	require.Equal(t, object, again)
	require.Empty(t, s.relay.Arrived())

	// Killed, and the file is another one then.
	s.killed(path)
	s.relay.Arrived()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString("and more")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	object, _ = s.uploads(path, "-u", `alice:"secret\`)
	require.Equal(t, int64(20*mib+8), object.Size)
	require.Equal(t, []int{1, 2, 3, 4, 5}, s.relay.Arrived())
}

// killed kills the script while its third part is under way, and returns what it would go on with.
func (s *service) killed(path string) []byte {
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
	cmd, _, stderr := upload("-u", `alice:"secret\`, s.url, path)
	require.NoError(s.t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-third:
	case err := <-ended:
		require.FailNow(s.t, "ended", "%v: %s", err, stderr)
	}
	require.NoError(s.t, syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL))
	require.Error(s.t, <-ended)
	s.relay.Disturb(nil)
	state, err := os.ReadFile(path + ".upload")
	require.NoError(s.t, err)
	return state
}

// TestRefused: the script says what the service says, and leaves nothing.
func TestRefused(t *testing.T) {
	s := start(t)
	login := []string{"-u", `alice:"secret\`}
	for _, test := range []struct {
		name      string
		size      int64
		arguments []string
		says      string
	}{
		{"page.html", 10, login, `type is "text/html"; allowed: */*; browsers run it, so that it has to be named in full`},
		{"a.png", 10, append(login, "-t", "application/pdf"), `type is "application/pdf", but the file's name says "image/png"`},
		{"too large.bin", 31 * mib, login, `size is 32505856 bytes; at most 31457280 are allowed`},
		{"empty.bin", 0, login, `size is 0 bytes; at least 1 is required (leave it out if it is unknown)`},
		{"a\\b.bin", 10, login, `filename contains a path separator '\\'; send the name alone`},
		{"a\tb.bin", 10, login, `The request was not understood: the body is not JSON from byte 15 on.`},
		{"a\nb.bin", 10, login, `the file's name has two lines`},
		{"a.bin", 10, []string{"-u", "alice:wrong"}, `Nobody we know.`},
		{"large.bin", 20 * mib, nil, `Nobody we know.`},
		{"a.pdf", 10, append(login, "-t", "image/png"), `type is "image/png", but the file's name says "application/pdf"`},
		{"not a picture.png", 100, login, `type is "image/png", but the file does not look like image/png`},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := write(t, test.name, test.size)
			cmd, stdout, stderr := upload(append(test.arguments, s.url, path)...)
			var exit *exec.ExitError
			require.True(t, errors.As(cmd.Run(), &exit))
			require.Equal(t, 1, exit.ExitCode())
			require.Empty(t, stdout.String())
			require.Equal(t, "upload.sh: "+test.says+"\n", stderr.String())
			require.True(t, s.empty())
		})
	}
}
