package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"
)

// parentMarker is the environment variable that makes the test binary start a
// server and wait to be killed.
const parentMarker = "PRESIGN_EXAMPLES_STORE_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(parentMarker) == "" {
		os.Exit(m.Run())
	}
	s, err := Start(context.Background(), "")
	if err != nil {
		panic(err)
	}
	_ = json.NewEncoder(os.Stdout).Encode([]string{s.URL, s.dir})
	select {}
}

func TestServer(t *testing.T) {
	wd, err := os.Getwd()
	require.NoError(t, err)
	s := start(t, "")
	const origin = "http://127.0.0.1:8080"
	require.NoError(t, s.CreateBucket(t.Context(), "uploads", origin))

	t.Run("put and get", func(t *testing.T) {
		require.NoError(t, put(t, s.Client(), "hello.txt", "hello"))
		require.Equal(t, "hello", get(t, s.Client(), "hello.txt"))
	})
	t.Run("conditional write", func(t *testing.T) {
		require.NoError(t, put(t, s.Client(), "once.txt", "1"))
		_, err := s.Client().PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: aws.String("uploads"), Key: aws.String("once.txt"),
			Body: strings.NewReader("2"), IfNoneMatch: aws.String("*"),
		})
		require.Equal(t, "PreconditionFailed", code(err))
	})
	t.Run("preflight", func(t *testing.T) {
		for _, method := range []string{"PUT", "POST"} {
			res := preflight(t, s.URL+"/uploads/a/b", origin, method)
			require.Equal(t, 200, res.StatusCode)
			require.Equal(t, origin, res.Header.Get("Access-Control-Allow-Origin"))
			require.Contains(t, res.Header.Get("Access-Control-Allow-Headers"), "if-none-match")
		}
		res := preflight(t, s.URL+"/uploads/a/b", "http://evil.example", "PUT")
		require.Equal(t, 403, res.StatusCode)
		require.Empty(t, res.Header.Get("Access-Control-Allow-Origin"))
	})
	t.Run("pages can read rejections", func(t *testing.T) {
		for from, want := range map[string]string{origin: origin, "http://evil.example": ""} {
			for _, method := range []string{"GET", "PUT"} {
				req, err := http.NewRequestWithContext(t.Context(), method,
					s.URL+"/uploads/a?X-Amz-Signature=0", nil)
				require.NoError(t, err)
				req.Header.Set("Origin", from)
				res, err := http.DefaultClient.Do(req)
				require.NoError(t, err)
				require.NoError(t, res.Body.Close())
				require.GreaterOrEqual(t, res.StatusCode, 400)
				require.Equal(t, want, res.Header.Get("Access-Control-Allow-Origin"), method)
			}
		}
	})
	t.Run("wrong region", func(t *testing.T) {
		require.NotEqual(t, "us-east-1", s.Region)
		client := s.Client(func(o *s3.Options) { o.Region = "us-east-1" })
		require.Equal(t, "AuthorizationHeaderMalformed", code(put(t, client, "region.txt", "1")))
	})
	t.Run("wrong credentials", func(t *testing.T) {
		c := s.root
		c.SecretAccessKey += "x"
		require.Equal(t, "SignatureDoesNotMatch",
			code(put(t, s.Client(withCredentials(c)), "c.txt", "1")))
		c.AccessKeyID += "X"
		require.Equal(t, "InvalidAccessKeyId",
			code(put(t, s.Client(withCredentials(c)), "c.txt", "1")))
	})
	t.Run("session credentials", func(t *testing.T) {
		c, err := s.SessionCredentials(time.Hour)
		require.NoError(t, err)
		require.WithinDuration(t, time.Now().Add(time.Hour), c.Expires, time.Minute)
		require.NoError(t, put(t, s.Client(withCredentials(c)), "session.txt", "hello"))
		require.Equal(t, "hello", get(t, s.Client(withCredentials(c)), "session.txt"))

		changed := c
		changed.SessionToken = strings.ToLower(c.SessionToken)
		require.Equal(t, "InvalidToken",
			code(put(t, s.Client(withCredentials(changed)), "session.txt", "1")))
		changed.SessionToken = ""
		require.Equal(t, "InvalidToken",
			code(put(t, s.Client(withCredentials(changed)), "session.txt", "1")))

		// New credentials do not end the former credentials, and their tokens
		// cannot be exchanged.
		other, err := s.SessionCredentials(time.Hour)
		require.NoError(t, err)
		require.NoError(t, put(t, s.Client(withCredentials(c)), "session.txt", "1"))
		require.NoError(t, put(t, s.Client(withCredentials(other)), "session.txt", "1"))
		changed.SessionToken = other.SessionToken
		require.Equal(t, "InvalidToken",
			code(put(t, s.Client(withCredentials(changed)), "session.txt", "1")))

		// The root account has no token.
		changed = s.root
		changed.SessionToken = c.SessionToken
		require.Equal(t, "InvalidToken",
			code(put(t, s.Client(withCredentials(changed)), "session.txt", "1")))

		expired, err := s.SessionCredentials(-time.Second)
		require.NoError(t, err)
		expired.CanExpire = false // Otherwise the SDK does not sign.
		require.Equal(t, "ExpiredToken",
			code(put(t, s.Client(withCredentials(expired)), "session.txt", "1")))
	})

	now, err := os.Getwd()
	require.NoError(t, err)
	require.Equal(t, wd, now)
}

func TestTwoServers(t *testing.T) {
	a, b := start(t, ""), start(t, "")
	require.NotEqual(t, a.URL, b.URL)
	require.NoError(t, a.CreateBucket(t.Context(), "uploads"))
	require.NoError(t, b.CreateBucket(t.Context(), "uploads"))
	require.NoError(t, put(t, a.Client(), "k", "a"))
	require.NoError(t, put(t, b.Client(), "k", "b"))
	require.Equal(t, "a", get(t, a.Client(), "k"))
	require.Equal(t, "b", get(t, b.Client(), "k"))
	require.NoError(t, a.Close())
	require.Equal(t, "b", get(t, b.Client(), "k"))
}

func TestDirectoryIsKept(t *testing.T) {
	for _, sidecar := range []bool{false, true} {
		dir := t.TempDir()
		if sidecar {
			require.NoError(t, os.Mkdir(filepath.Join(dir, "attributes"), 0o700))
		}
		s := start(t, dir)
		require.NoError(t, s.CreateBucket(t.Context(), "uploads"))
		require.NoError(t, put(t, s.Client(), "k", "kept"))
		require.NoError(t, s.Close())

		before := s.URL
		s = start(t, dir)
		require.Equal(t, before, s.URL)
		require.NoError(t, s.CreateBucket(t.Context(), "uploads", "http://127.0.0.1:8080"))
		require.NoError(t, put(t, s.Client(), "other", "other"))
		require.Equal(t, "kept", get(t, s.Client(), "k"))
		require.NoError(t, s.Close())

		taken, err := net.Listen("tcp", strings.TrimPrefix(before, "http://"))
		require.NoError(t, err)
		s = start(t, dir)
		require.NotEqual(t, before, s.URL)
		require.Equal(t, "kept", get(t, s.Client(), "k"))
		require.NoError(t, s.Close())
		require.NoError(t, taken.Close())
	}
}

// TestRelativeDirectory checks that a relative directory works, although
// versitygw changes its working directory.
func TestRelativeDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	s := start(t, "data")
	require.NoError(t, s.CreateBucket(t.Context(), "uploads"))
	require.NoError(t, put(t, s.Client(), "k", "kept"))
	require.NoError(t, s.Close())
	s = start(t, "data")
	require.Equal(t, "kept", get(t, s.Client(), "k"))
}

// TestDirectoryIsTaken checks that a second server cannot open the same
// directory.
func TestDirectoryIsTaken(t *testing.T) {
	dir := t.TempDir()
	start(t, dir)
	_, err := Start(t.Context(), dir)
	require.ErrorContains(t, err, dir+" is in use by another S3 server")
}

func TestClose(t *testing.T) {
	s := start(t, "")
	require.DirExists(t, s.dir)
	require.NoError(t, s.Close(), "the child must end without an error")
	require.NoError(t, s.Close())
	require.NoError(t, s.Wait())
	require.NotNil(t, s.child.ProcessState)
	require.NoDirExists(t, s.dir)
	requireGone(t, s.URL)

	_, err := s.SessionCredentials(time.Hour)
	require.ErrorContains(t, err, "store: closed")
}

func TestContextCloses(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, err := Start(ctx, "")
	require.NoError(t, err)
	cancel()
	require.NoError(t, s.Wait())
	require.NoError(t, s.Close())
	require.NoDirExists(t, s.dir)

	_, err = Start(ctx, "")
	require.ErrorIs(t, err, context.Canceled)
}

func TestChildDies(t *testing.T) {
	s := start(t, "")
	require.NoError(t, s.child.Process.Kill())
	require.ErrorContains(t, s.Wait(), "the S3 server ended: signal: killed")
	_, err := s.SessionCredentials(time.Hour)
	require.ErrorContains(t, err, "the S3 server ended")
	require.Error(t, s.Close())
	require.NoDirExists(t, s.dir)

	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = Start(t.Context(), file)
	require.ErrorContains(t, err, "the S3 server ended: exit status 1: mkdir "+file)
}

func TestParentKilled(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentMarker+"=1")
	stdout, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	var started []string
	require.NoError(t, json.NewDecoder(stdout).Decode(&started))
	url, dir := started[0], started[1]
	res, err := http.Get(url)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())

	require.NoError(t, parent.Process.Kill())
	_ = parent.Wait()
	require.Eventually(t, func() bool {
		return !listening(url)
	}, 10*time.Second, 10*time.Millisecond)
	require.Eventually(t, func() bool {
		_, err := os.Stat(dir)
		return errors.Is(err, os.ErrNotExist)
	}, 10*time.Second, 10*time.Millisecond)
}

func start(t *testing.T, dir string) *Server {
	t.Helper()
	s, err := Start(t.Context(), dir)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func withCredentials(c aws.Credentials) func(*s3.Options) {
	return func(o *s3.Options) { o.Credentials = credentials.StaticCredentialsProvider{Value: c} }
}

func put(t *testing.T, client *s3.Client, key, body string) error {
	_, err := client.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String("uploads"), Key: aws.String(key), Body: bytes.NewReader([]byte(body)),
	})
	return err
}

func get(t *testing.T, client *s3.Client, key string) string {
	t.Helper()
	out, err := client.GetObject(t.Context(), &s3.GetObjectInput{
		Bucket: aws.String("uploads"), Key: aws.String(key),
	})
	require.NoError(t, err)
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	require.NoError(t, err)
	return string(body)
}

// code returns S3's error code.
func code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

func preflight(t *testing.T, url, origin, method string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, url, nil)
	require.NoError(t, err)
	req.Header.Set("Origin", origin)
	req.Header.Set("Access-Control-Request-Method", method)
	req.Header.Set("Access-Control-Request-Headers", "content-type,if-none-match")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res
}

func requireGone(t *testing.T, url string) {
	t.Helper()
	require.False(t, listening(url))
}

func listening(url string) bool {
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
