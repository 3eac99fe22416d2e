package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/examples/internal/ceph"
	"github.com/s3presign/presign/examples/internal/program"
	"github.com/s3presign/presign/examples/internal/store"
)

func TestMain(m *testing.M) { os.Exit(ceph.Main(m)) }

// TestOrphansAreOld checks that -orphans rejects ages that would abort uploads
// under way.
func TestOrphansAreOld(t *testing.T) {
	for _, age := range []string{"0", "-1h", "59m"} {
		require.ErrorContains(t, run(t.Context(), []string{"-orphans", age}, io.Discard),
			"a shorter age aborts uploads under way")
	}
}

// TestSweep checks with two stores that a sweep aborts all old uploads under
// the prefix and no other uploads. The stores list the uploads on several
// pages.
func TestSweep(t *testing.T) {
	for name, client := range map[string]func(*testing.T) *s3.Client{
		"versitygw": func(t *testing.T) *s3.Client {
			server, err := store.Start(context.Background(), t.TempDir())
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, server.Close()) })
			return server.Client()
		},
		"Ceph": func(t *testing.T) *s3.Client { return ceph.Shared(t).Client() },
	} {
		t.Run(name, func(t *testing.T) { testSweep(t, client(t)) })
	}
}

// newBucket creates a bucket with a random name.
func newBucket(t *testing.T, client *s3.Client) string {
	t.Helper()
	name := strings.ToLower(rand.Text())
	_, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name})
	require.NoError(t, err)
	return name
}

func testSweep(t *testing.T, client *s3.Client) {
	bucket := newBucket(t, client)
	start := func(key string) string {
		started, err := client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{
			Bucket: aws.String(bucket), Key: &key,
		})
		require.NoError(t, err)
		_, err = client.UploadPart(t.Context(), &s3.UploadPartInput{
			Bucket: aws.String(bucket), Key: &key, UploadId: started.UploadId,
			PartNumber: aws.Int32(1), Body: strings.NewReader("a part"),
		})
		require.NoError(t, err)
		return key
	}
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "stuck"} {
		start("incoming/alice/" + name)
	}
	other := start("files/alice/a")
	listUploads := func() (keys []string) {
		listed, err := client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{
			Bucket: aws.String(bucket),
		})
		require.NoError(t, err)
		for _, upload := range listed.Uploads {
			keys = append(keys, *upload.Key)
		}
		return keys
	}

	var logged bytes.Buffer
	pages := 0
	stuck := true
	ignored := false
	disturbed := s3.New(client.Options(), func(o *s3.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("disturb", func(
				ctx context.Context, in middleware.InitializeInput,
				next middleware.InitializeHandler,
			) (middleware.InitializeOutput, middleware.Metadata, error) {
				switch input := in.Parameters.(type) {
				case *s3.ListMultipartUploadsInput:
					pages++
					input.MaxUploads = aws.Int32(2)
					if ignored {
						input.Prefix = nil
					}
				case *s3.AbortMultipartUploadInput:
					if stuck && strings.HasSuffix(*input.Key, "/stuck") {
						return middleware.InitializeOutput{}, middleware.Metadata{},
							errors.New("the store is busy")
					}
				}
				return next.HandleInitialize(ctx, in)
			}), middleware.Before)
		})
	})
	sweep := sweeper{
		client: disturbed, bucket: bucket, prefix: "incoming/", age: time.Hour,
		logger: slog.New(slog.NewTextHandler(&logged, nil)),
	}
	aborted, err := sweep.sweep(t.Context())
	require.NoError(t, err)
	require.Zero(t, aborted, "uploads that are younger than an hour must not be aborted")
	require.GreaterOrEqual(t, pages, 4)
	require.Len(t, listUploads(), 8)

	sweep.age = -time.Minute // All uploads are older than a negative age.
	aborted, err = sweep.sweep(t.Context())
	require.NoError(t, err)
	require.Equal(t, 6, aborted)
	require.ElementsMatch(t, []string{"incoming/alice/stuck", other}, listUploads())
	require.Equal(t, 1, strings.Count(logged.String(), "the store is busy"))
	require.Contains(t, logged.String(), "key=incoming/alice/stuck")

	stuck = false
	aborted, err = sweep.sweep(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, aborted)
	require.Equal(t, []string{other}, listUploads())

	ignored = true
	aborted, err = sweep.sweep(t.Context())
	require.EqualError(t, err,
		`the store must list only uploads under incoming/, got "files/alice/a"`)
	require.Zero(t, aborted)
	require.Equal(t, []string{other}, listUploads())

	sweep.bucket = "no-such-bucket"
	_, err = sweep.sweep(t.Context())
	require.ErrorContains(t, err, "NoSuchBucket")
}

// TestSetLifecycle checks that Ceph supports the two lifecycle rules.
// TestOrphan checks that a store without lifecycle rules is reported.
func TestSetLifecycle(t *testing.T) {
	client := ceph.Shared(t).Client()
	name := newBucket(t, client)
	s := sweeper{client: client, bucket: name, prefix: "incoming/"}
	supported, err := s.setLifecycle(t.Context())
	require.NoError(t, err)
	require.True(t, supported)
	got, err := client.GetBucketLifecycleConfiguration(t.Context(),
		&s3.GetBucketLifecycleConfigurationInput{Bucket: &name})
	require.NoError(t, err)
	days := map[string]int32{}
	for _, rule := range got.Rules {
		require.Equal(t, "incoming/", *rule.Filter.Prefix)
		if rule.Expiration != nil {
			days["expire"] = aws.ToInt32(rule.Expiration.Days)
		}
		if rule.AbortIncompleteMultipartUpload != nil {
			days["abort"] = aws.ToInt32(rule.AbortIncompleteMultipartUpload.DaysAfterInitiation)
		}
	}
	require.Equal(t, map[string]int32{"expire": 10, "abort": 10}, days)
}

// TestOrphan checks that the demo aborts a multipart upload that is older than
// a day.
func TestOrphan(t *testing.T) {
	dir := t.TempDir()
	p := program.Start(t, run, "-dir", dir)
	require.Contains(t, p.Printed,
		"Orphans  0 aborted, older than 24h0m0s; the store does not support lifecycle rules\n")
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	alice := http.Client{Jar: jar}
	res, err := alice.PostForm(p.Origin+"/login", url.Values{"user": {"alice"}})
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	start := func() {
		res, err := alice.Post(p.Origin+"/uploads/s3/multipart", "application/json",
			strings.NewReader(
				`{"filename": "a.pdf", "type": "application/pdf", "metadata": {"size": 6000000}}`))
		require.NoError(t, err)
		defer res.Body.Close()
		require.Equal(t, 200, res.StatusCode)
		var upload struct{ Key string }
		require.NoError(t, json.NewDecoder(res.Body).Decode(&upload))
		require.True(t, strings.HasPrefix(upload.Key, "incoming/alice/"))
	}
	start()
	require.NoError(t, p.Stop())
	uploads := filepath.Join(dir, "s3", "objects", bucket, ".sgwtmp", "multipart")
	yesterday := time.Now().Add(-24*time.Hour - time.Minute)
	require.NoError(t, filepath.WalkDir(uploads, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, yesterday, yesterday)
	}))

	p = program.Start(t, run, "-dir", dir, "-orphans", "25h")
	require.Contains(t, p.Printed, "Orphans  0 aborted, older than 25h0m0s")
	require.NoError(t, p.Stop())
	p = program.Start(t, run, "-dir", dir)
	require.Contains(t, p.Printed, "Orphans  1 aborted, older than 24h0m0s")
}
