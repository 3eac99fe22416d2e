package sweeptest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
)

// An agingTransport makes the entries of a list older. It does not
// change the clock of the store, which the SDK uses for signatures.
type agingTransport time.Duration

var listed = regexp.MustCompile(`(<LastModified>|<Initiated>)([^<]*)`)

// RoundTrip implements http.RoundTripper.
func (o agingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := http.DefaultTransport.RoundTrip(r)
	if q := r.URL.Query(); err != nil || !q.Has("list-type") && !q.Has("uploads") {
		return response, err
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close() // The body was read completely.
	if err != nil {
		return nil, err
	}
	body = listed.ReplaceAllFunc(body, func(entry []byte) []byte {
		name, written, _ := bytes.Cut(entry, []byte(">"))
		then, timeErr := time.Parse(time.RFC3339, string(written))
		err = errors.Join(err, timeErr)
		return fmt.Appendf(nil, "%s>%s", name, then.Add(-time.Duration(o)).Format(time.RFC3339Nano))
	})
	response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	response.Header.Del("Content-Length")
	return response, err
}

// A book has a row for each GrantID that the hook received, like the database
// of a service.
type book struct {
	mu   sync.Mutex
	rows map[string]string // the final key
}

func (b *book) note(_ context.Context, o *presign.Object) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if key, ok := b.rows[o.GrantID]; ok && key != o.Key {
		return fmt.Errorf("the grant must keep the key %q, got %q", key, o.Key)
	}
	b.rows[o.GrantID] = o.Key
	return nil
}

// A trial opens replicas of a service and records its uploads.
type trial struct {
	client func(...func(*s3.Options)) *s3.Client
	bucket string
	book   *book

	granted map[string]string // final keys by the GrantID of genuine uploads
	foreign []string          // keys of other objects
	started int               // multipart uploads
	kept    []string          // keys of uploads that a sweep must not end
}

// open returns a replica for which all uploads are older by age.
func (s *trial) open(t *testing.T, age time.Duration, secret string) *presign.Signer {
	t.Helper()
	policy := presign.Policy{
		Prefix: "incoming/", FinalPrefix: "files/", Types: []string{"image/*"}, MaxSize: 1 << 20,
	}
	store := s.client(func(o *s3.Options) {
		o.HTTPClient = &http.Client{Transport: agingTransport(age)}
	})
	signer, err := presign.NewSigner(s.client(), s.bucket, policy, presign.WithStore(store),
		presign.WithSecret([]byte(strings.Repeat(secret, 4))), presign.WithOnComplete(s.book.note))
	require.NoError(t, err)
	return signer
}

// RunSigner uploads files that no client completes. It checks that two
// concurrent sweeps complete or delete each upload once. The function client
// returns a client of the server with options.
func RunSigner(t *testing.T, client func(...func(*s3.Options)) *s3.Client, bucket string) {
	t.Helper()
	s := &trial{
		client: client, bucket: bucket, book: &book{rows: make(map[string]string)},
		granted: make(map[string]string),
	}
	s.upload(t)
	require.NoError(t, s.sweep(t, 0), "a sweep must ignore new uploads")
	require.Empty(t, s.book.rows)
	require.Empty(t, s.keys(t, "files/"))

	err := s.sweep(t, 2*time.Minute)
	for _, key := range s.kept {
		require.ErrorContains(t, err, key, "a stamp with another secret must be reported")
	}
	var final []string
	for _, key := range s.granted {
		final = append(final, key)
	}
	require.ElementsMatch(t, final, s.keys(t, "files/"))
	require.Equal(t, s.granted, s.book.rows)
	require.ElementsMatch(t, append(s.kept, s.foreign...), s.keys(t, "incoming/"))
	require.Equal(t, s.started, s.uploads(t), "a sweep must ignore new multipart uploads")

	require.Error(t, s.sweep(t, 8*24*time.Hour))
	require.Zero(t, s.uploads(t))
	require.ElementsMatch(t, append(s.kept, s.foreign...), s.keys(t, "incoming/"))
	require.Equal(t, s.granted, s.book.rows, "the hook must not run again")
}

// upload sends valid files and disguised files by PUT and form. It also starts
// multipart uploads, and puts an object without a grant and an upload with
// another secret.
func (s *trial) upload(t *testing.T) {
	t.Helper()
	signer := s.open(t, 0, "01234567")
	for i := range 20 {
		body := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"+
			"\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00"), byte(i))
		if i%4 == 3 {
			body = []byte("<html><script>alert(1)</script></html>")
		}
		u := presign.Upload{
			Filename: fmt.Sprintf("ü %d.png", i), Owner: fmt.Sprint("user", i%3),
			Size: int64(len(body)),
		}
		sign := signer.Put
		if i%2 == 0 {
			sign = signer.Post
		}
		grant, err := sign(t.Context(), u)
		require.NoError(t, err)
		send(t, grant, body)
		if i%4 != 3 {
			s.granted[grant.GrantID] = "files/" + strings.TrimPrefix(grant.Key, "incoming/")
		}
		if i%10 == 0 {
			m, err := signer.StartMultipart(t.Context(), u)
			require.NoError(t, err)
			part, err := m.SignPart(t.Context(), presign.Part{Number: 1})
			require.NoError(t, err)
			send(t, part, body)
			s.started++
		}
	}
	other, err := s.open(t, 0, "abcdefgh").Put(t.Context(), presign.Upload{
		Filename: "a.png", Owner: "user0", Size: 4,
	})
	require.NoError(t, err)
	send(t, other, []byte("body"))
	s.kept = append(s.kept, other.Key)
	key := "incoming/by hand.png"
	_, err = s.client().PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: &s.bucket, Key: &key, Body: strings.NewReader("body"),
	})
	require.NoError(t, err)
	s.foreign = append(s.foreign, key)
}

// send uploads a file as a client does.
func send(t *testing.T, grant *presign.Grant, body []byte) {
	t.Helper()
	request, err := grant.Request(t.Context(), bytes.NewReader(body), int64(len(body)))
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Less(t, response.StatusCode, 300)
}

// sweep runs two sweeps concurrently.
func (s *trial) sweep(t *testing.T, age time.Duration) error {
	t.Helper()
	errs := make(chan error, 2)
	for range cap(errs) {
		replica := s.open(t, age, "01234567")
		go func() { errs <- replica.Sweep(t.Context()) }()
	}
	one, two := <-errs, <-errs
	require.Equal(t, one == nil, two == nil, "%v\n%v", one, two)
	return one
}

// keys returns the keys of the objects under a prefix.
func (s *trial) keys(t *testing.T, prefix string) (keys []string) {
	t.Helper()
	out, err := s.client().ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{
		Bucket: &s.bucket, Prefix: &prefix,
	})
	require.NoError(t, err)
	for _, o := range out.Contents {
		keys = append(keys, *o.Key)
	}
	slices.Sort(keys)
	return keys
}

// uploads returns the number of multipart uploads.
func (s *trial) uploads(t *testing.T) int {
	t.Helper()
	prefix := "incoming/"
	out, err := s.client().ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{
		Bucket: &s.bucket, Prefix: &prefix,
	})
	require.NoError(t, err)
	return len(out.Uploads)
}
