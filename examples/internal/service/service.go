// Package service runs a service with a store for the tests of clients.
package service

import (
	"bytes"
	"context"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/store"
)

// PNG is the signature of a PNG file.
const PNG = "\x89PNG\r\n\x1a\n"

// A Service grants uploads to the holder of the token "alice's".
type Service struct {
	URL    string                     // the URL of the mount
	Fails  func(r *http.Request) bool // whether the request fails with 503
	t      *testing.T
	client *s3.Client
}

// Start starts a service that ends with the test.
func Start(t *testing.T) *Service {
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
	s := &Service{t: t, client: server.Client()}
	front := httptest.NewServer(http.StripPrefix("/uploads", http.HandlerFunc(func(
		w http.ResponseWriter, r *http.Request,
	) {
		if s.Fails != nil && s.Fails(r) {
			(&presign.Problem{Status: http.StatusServiceUnavailable, RetryAfter: 1}).ServeHTTP(w, r)
			return
		}
		handler.ServeHTTP(w, r)
	})))
	t.Cleanup(front.Close)
	s.URL = front.URL + "/uploads"
	return s
}

// Run runs a client with a token, the URL and a file of this name and content.
// It returns the output of the client.
func (s *Service) Run(
	token, name string, content []byte, program ...string,
) (stdout, stderr string, err error) {
	path := filepath.Join(s.t.TempDir(), name)
	require.NoError(s.t, os.WriteFile(path, content, 0o600))
	var out, errs bytes.Buffer
	client := exec.CommandContext(s.t.Context(), program[0], append(program[1:], s.URL, path)...)
	client.Env = append(os.Environ(), "TOKEN="+token)
	client.Stdout, client.Stderr = &out, &errs
	err = client.Run()
	return out.String(), errs.String(), err
}

// RequireStored checks that the store has only one object, with this key and
// this content.
func (s *Service) RequireStored(key string, content []byte) {
	s.t.Helper()
	require.Equal(s.t, []string{key}, s.Keys())
	stored, err := s.client.GetObject(s.t.Context(), &s3.GetObjectInput{
		Bucket: aws.String("uploads"), Key: &key,
	})
	require.NoError(s.t, err)
	defer stored.Body.Close()
	var got bytes.Buffer
	_, err = got.ReadFrom(stored.Body)
	require.NoError(s.t, err)
	require.True(s.t, bytes.Equal(content, got.Bytes()))
}

// Keys returns the keys of all objects and multipart uploads.
func (s *Service) Keys() (keys []string) {
	objects, err := s.client.ListObjectsV2(s.t.Context(), &s3.ListObjectsV2Input{
		Bucket: aws.String("uploads"),
	})
	require.NoError(s.t, err)
	for _, o := range objects.Contents {
		keys = append(keys, *o.Key)
	}
	uploads, err := s.client.ListMultipartUploads(s.t.Context(), &s3.ListMultipartUploadsInput{
		Bucket: aws.String("uploads"),
	})
	require.NoError(s.t, err)
	for _, u := range uploads.Uploads {
		keys = append(keys, *u.Key)
	}
	return keys
}
