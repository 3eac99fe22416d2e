// Package sweeptest checks lists and sweeps of a bucket of a real S3 server.
package sweeptest

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/sweep"
)

// control is a key that XML cannot contain. Only an object has this key,
// because the response to CreateMultipartUpload would contain it.
const control = "in/\x01"

// lost is the key that versitygw lists instead of control.
const lost = "in/\uFFFD"

// keys lists keys under the prefix that servers encode differently. Each key
// has an object and two multipart uploads.
var keys = []string{
	"in/ ", "in/%41", "in/&<>\"'", "in/+", "in/100%", "in/a/b/c", "in/plain", "in/ü 日本",
	"in/\U0001F600",
}

// Run checks that objectstore lists objects and multipart uploads page by page.
// It also checks that two concurrent sweeps end each object and each upload
// once.
func Run(t *testing.T, client *s3.Client, bucket string) {
	t.Helper()
	s := objectstore.Store{Client: client, Bucket: bucket}
	for _, key := range append([]string{control, "before", "out/plain"}, keys...) {
		_, err := client.PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: &bucket, Key: &key, Body: bytes.NewReader([]byte("body")),
		})
		require.NoError(t, err, "%q", key)
		for range 2 {
			if key == control {
				break
			}
			_, err := s.CreateUpload(t.Context(), key, nil, nil, "")
			require.NoError(t, err, "%q", key)
		}
	}
	for _, page := range []int32{2, 1000} {
		paged := objectstore.Store{Client: withPages(client, page), Bucket: bucket}
		listed := make(map[string]int)
		for o, err := range paged.Objects(t.Context(), "in/", nil) {
			require.NoError(t, err)
			require.EqualValues(t, 4, o.Size)
			require.NotEmpty(t, o.ETag)
			checkAge(t, o.Age)
			listed[o.Key]++
		}
		started := make(map[string]int)
		ids := make(map[string]bool)
		for u, err := range paged.Uploads(t.Context(), "in/", nil) {
			require.NoError(t, err)
			checkAge(t, u.Age)
			started[u.Key]++
			ids[u.ID] = true
		}
		require.Len(t, listed, len(keys)+1, "%q", listed)
		require.Equal(t, 1, listed[control]+listed[lost], "%q", listed)
		require.Len(t, started, len(keys), "%q", started)
		require.Len(t, ids, 2*len(keys))
		for _, key := range keys {
			require.Equal(t, 1, listed[key], "%q", key)
			require.Equal(t, 2, started[key], "%q in %q", key, started)
		}
	}
	sweepTwice(t, s)
}

// checkAge checks an age that a real clock has measured in whole seconds.
func checkAge(t *testing.T, age time.Duration) {
	t.Helper()
	require.Greater(t, age, -5*time.Second)
	require.Less(t, age, time.Minute)
}

// withPages returns a client that requests pages of size entries.
func withPages(client *s3.Client, size int32) *s3.Client {
	limit := middleware.InitializeMiddlewareFunc("pages", func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		switch input := in.Parameters.(type) {
		case *s3.ListObjectsV2Input:
			input.MaxKeys = &size
		case *s3.ListMultipartUploadsInput:
			input.MaxUploads = &size
		}
		return next.HandleInitialize(ctx, in)
	})
	return s3.New(client.Options(), func(o *s3.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Initialize.Add(limit, middleware.Before)
		})
	})
}

// sweepTwice checks two concurrent sweeps of the prefix.
func sweepTwice(t *testing.T, s objectstore.Store) {
	t.Helper()
	require.NoError(t, sweep.Run(t.Context(), store{s, 0}, "in/", nil),
		"a sweep must ignore new objects")

	c := &completer{store: s, completed: make(map[string]int), aborted: make(map[string]int)}
	errs := make(chan error)
	for range 2 {
		go func() { errs <- sweep.Run(t.Context(), store{s, 8 * 24 * time.Hour}, "in/", c) }()
	}
	require.NoError(t, <-errs)
	require.NoError(t, <-errs)
	require.Len(t, c.completed, len(keys)+1)
	require.Len(t, c.aborted, 2*len(keys))
	for o, err := range s.Objects(t.Context(), "", nil) {
		require.NoError(t, err)
		require.Contains(t, []string{"before", "out/plain", lost}, o.Key)
	}
	for u, err := range s.Uploads(t.Context(), "", nil) {
		require.NoError(t, err)
		require.Contains(t, []string{"before", "out/plain"}, u.Key)
	}
}

// A store is a sweep.Store that makes its entries older.
type store struct {
	objectstore.Store
	older time.Duration
}

func (s store) Objects(ctx context.Context, prefix string) iter.Seq2[objectstore.Listed, error] {
	return func(yield func(objectstore.Listed, error) bool) {
		for o, err := range s.Store.Objects(ctx, prefix, nil) {
			if o.Age += s.older; !yield(o, err) {
				return
			}
		}
	}
}

func (s store) Uploads(ctx context.Context, prefix string) iter.Seq2[objectstore.Started, error] {
	return func(yield func(objectstore.Started, error) bool) {
		for u, err := range s.Store.Uploads(ctx, prefix, nil) {
			if u.Age += s.older; !yield(u, err) {
				return
			}
		}
	}
}

// A completer deletes objects instead of completing them.
type completer struct {
	store objectstore.Store

	mu                 sync.Mutex
	completed, aborted map[string]int // calls, by key and by ID
}

func (c *completer) CompleteOrDelete(ctx context.Context, key string) error {
	c.mu.Lock()
	c.completed[key]++
	c.mu.Unlock()
	o, err := c.store.Head(ctx, key, "")
	if errors.Is(err, objectstore.ErrNotFound) {
		return nil // The other replica has deleted the object.
	}
	if err != nil {
		return err
	}
	return c.store.Delete(ctx, o)
}

func (c *completer) Abort(ctx context.Context, key, id string) error {
	c.mu.Lock()
	c.aborted[id]++
	c.mu.Unlock()
	return c.store.AbortUpload(ctx, &objectstore.Upload{Key: key, ID: id})
}
