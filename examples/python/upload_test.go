package python

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/store"
)

// png is the beginning of a picture.
const png = "\x89PNG\r\n\x1a\n"

// A service is one that the client uploads to.
type service struct {
	t      *testing.T
	url    string
	client *s3.Client
	fails  func(r *http.Request) bool // the next request with 503
}

func newService(t *testing.T) *service {
	t.Helper()
	server, err := store.Start(context.Background(), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	require.NoError(t, server.CreateBucket(t.Context(), "uploads"))
	signer, err := presign.NewSigner(server.Client(), "uploads", presign.Policy{
		Prefix: "incoming/", FinalPrefix: "files/", Types: []string{"image/*"}, MaxSize: 40 << 20,
	}, presign.WithSecret([]byte(rand.Text()+rand.Text())))
	require.NoError(t, err)
	handler, err := presign.NewHandler(signer, func(r *http.Request) (string, error) {
		if r.Header.Get("Authorization") == "Bearer alice's" {
			return "alice", nil
		}
		return "", nil
	})
	require.NoError(t, err)
	s := &service{t: t, client: server.Client()}
	front := httptest.NewServer(http.StripPrefix("/uploads", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.fails != nil && s.fails(r) {
			(&presign.Problem{Status: 503, RetryAfter: 1}).ServeHTTP(w, r)
			return
		}
		handler.ServeHTTP(w, r)
	})))
	t.Cleanup(front.Close)
	s.url = front.URL + "/uploads"
	return s
}

// run runs the client and returns what it prints.
func (s *service) run(token, name string, content []byte) (stdout, stderr string, err error) {
	path := filepath.Join(s.t.TempDir(), name)
	require.NoError(s.t, os.WriteFile(path, content, 0o600))
	var out, errs bytes.Buffer
	client := exec.CommandContext(s.t.Context(), "python3", "upload.py", s.url+"/", path)
	client.Env = append(os.Environ(), "TOKEN="+token)
	client.Stdout, client.Stderr = &out, &errs
	err = client.Run()
	return out.String(), errs.String(), err
}

// keys returns the keys of all objects and multipart uploads.
func (s *service) keys() (keys []string) {
	objects, err := s.client.ListObjectsV2(s.t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("uploads")})
	require.NoError(s.t, err)
	for _, o := range objects.Contents {
		keys = append(keys, *o.Key)
	}
	uploads, err := s.client.ListMultipartUploads(s.t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String("uploads")})
	require.NoError(s.t, err)
	for _, u := range uploads.Uploads {
		keys = append(keys, *u.Key)
	}
	return keys
}

// TestUpload checks that files arrive, in one request and in parts, although the
// service fails once at each route.
func TestUpload(t *testing.T) {
	for _, size := range []int{10, 17<<20 + 1} {
		s := newService(t)
		failed := make(map[string]bool)
		s.fails = func(r *http.Request) bool {
			route := r.Method + r.URL.Path
			if failed[route] {
				return false
			}
			failed[route] = true
			return true
		}
		content := append([]byte(png), bytes.Repeat([]byte("x"), size)...)
		stdout, stderr, err := s.run("alice's", "größer 1.png", content)
		require.NoError(t, err, stderr)
		var object presign.Object
		require.NoError(t, json.Unmarshal([]byte(stdout), &object))
		require.Equal(t, "größer 1.png", object.Filename)
		require.Equal(t, []string{object.Key}, s.keys())
		require.Equal(t, size > 10, failed["POST/parts/sign"])
		stored, err := s.client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("uploads"), Key: &object.Key})
		require.NoError(t, err)
		var got bytes.Buffer
		_, err = got.ReadFrom(stored.Body)
		require.NoError(t, err)
		require.True(t, bytes.Equal(content, got.Bytes()))
	}
}

// TestRejected checks that the client prints the reason, and that nothing is left.
func TestRejected(t *testing.T) {
	s := newService(t)
	for _, c := range []struct{ token, name, content, want string }{
		{"bob's", "a.png", png, "401: Unauthorized"},
		{"alice's", "a.html", png, "422: type must be one of image/*"},
		{"alice's", "a.png", "", "the file must have 1 to 41943040 bytes, got 0"},
		{"alice's", "a.png", "MZ", "422: type must match the content"},
		{"alice's", "a.png", strings.Repeat("MZ", 9<<20), "422: type must match the content"},
	} {
		stdout, stderr, err := s.run(c.token, c.name, []byte(c.content))
		require.Error(t, err)
		require.Empty(t, stdout)
		require.Contains(t, stderr, c.want)
		require.NotContains(t, stderr, "Traceback")
		require.Empty(t, s.keys())
	}
}
