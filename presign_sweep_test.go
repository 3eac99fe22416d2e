package presign_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/s3test"
)

// TestSweep checks that one pass completes, deletes, aborts or keeps each kind
// of upload.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := s3test.New(s3test.WithHistory())
		var completed []string
		s := open(t, store, final(), inspects(func(_ context.Context, o *presign.Object) error {
			if o.Filename == "pending.png" {
				return presign.ErrPending
			}
			return nil
		}), presign.WithOnComplete(func(_ context.Context, o *presign.Object) error {
			completed = append(completed, o.Filename)
			return nil
		}))
		other := open(t, store, final(),
			presign.WithSecret([]byte(strings.Repeat("fedcba9876543210", 2))))
		put := func(s shop, name string, body []byte) *presign.Grant {
			return s.upload(t, presign.Upload{Filename: name, Owner: "alice"}, false, body, nil)
		}
		start := func(name string) *presign.Multipart {
			m, err := s.StartMultipart(t.Context(), presign.Upload{Filename: name, Owner: "alice"})
			require.NoError(t, err)
			return m
		}

		put(s, "expired.png", png)
		foreign := put(other, "foreign.png", png)
		s.put(t, "incoming/stranger.png", "no stamp", nil)
		s.put(t, "elsewhere/a.png", "another prefix", nil)
		published := put(s, "published.png", png)
		_, err := s.Complete(t.Context(), "alice", published.Key)
		require.NoError(t, err)
		start("old.png")
		time.Sleep(8 * 24 * time.Hour)
		completed = nil
		pending := put(s, "pending.png", png)
		put(s, "rejected.png", []byte("<html>"))
		complete := put(s, "complete.png", png)
		recent := start("new.png")
		time.Sleep(time.Minute + 2*time.Second)
		young := put(s, "young.png", png)

		err = s.Sweep(t.Context())
		require.ErrorContains(t, err, "does not open",
			"the upload of another secret must be reported")
		require.ErrorContains(t, err, foreign.Key)
		require.Len(t, err.(interface{ Unwrap() []error }).Unwrap(), 1, "%v", err)
		require.ElementsMatch(t, []string{
			foreign.Key, pending.Key, young.Key, finalKey(published.Key), finalKey(complete.Key),
			"incoming/stranger.png", "elsewhere/a.png",
		}, s.keys())
		require.Equal(t, []string{"complete.png"}, completed)
		require.Len(t, s.uploadIDs(t, recent.Key), 1)
		require.Len(t, mount(t, s).uploads(t), 1)

		changes := []string{"DeleteObject", "CopyObject", "AbortMultipartUpload"}
		before := len(store.History().Requests.Of(changes...))
		require.Error(t, s.Sweep(t.Context()))
		require.Len(t, store.History().Requests.Of(changes...), before,
			"a second pass must not change anything")
	})
}

// TestSweepByReplicas checks that replicas and clients can complete the same
// uploads concurrently.
func TestSweepByReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := s3test.New()
		var replicas []shop
		for i := range 2 {
			replicas = append(replicas, open(t, store, final(),
				presign.WithStore(store.Actor(fmt.Sprint("replica ", i)).S3())))
		}
		var keys, want []string
		for i := range 50 {
			body := png
			if i%5 == 0 {
				body = []byte("<html>")
			}
			key := replicas[0].upload(t, presign.Upload{
				Filename: fmt.Sprint(i, ".png"), Owner: "alice",
			}, false, body, nil).Key
			keys = append(keys, key)
			if i%5 != 0 {
				want = append(want, finalKey(key))
			}
		}
		time.Sleep(2 * time.Minute)
		var running sync.WaitGroup
		for _, s := range replicas {
			running.Go(func() { require.NoError(t, s.Sweep(t.Context())) })
		}
		running.Go(func() {
			for _, key := range keys {
				_, err := replicas[0].Complete(t.Context(), "alice", key)
				require.True(t, err == nil || errors.Is(err, presign.ErrNotUploaded) ||
					errors.As(err, new(*presign.RejectedError)), "%v", err)
			}
		})
		running.Wait()
		require.ElementsMatch(t, want, replicas[0].keys())
	})
}

// TestSweepContinues checks that a pass continues after failures, returns them,
// and ends when its context ends.
func TestSweepContinues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, s3test.New(), final())
		var keys []string
		for i := range 10 {
			upload := presign.Upload{Filename: fmt.Sprint(i, ".png"), Owner: "alice"}
			keys = append(keys, s.upload(t, upload, false, png, nil).Key)
		}
		time.Sleep(2 * time.Minute)
		s.store.Fail(func(operation string, r *http.Request) s3test.Fault {
			if operation == "CopyObject" && strings.Contains(r.URL.Path, finalKey(keys[3])) {
				return s3test.InternalError
			}
			return s3test.None
		})
		err := s.Sweep(t.Context())
		require.ErrorContains(t, err, keys[3])
		require.Len(t, s.keys(), 10)
		_, left := s.store.Object(s3test.DefaultBucket, keys[3])
		require.True(t, left)
		s.store.Fail(nil)
		require.NoError(t, s.Sweep(t.Context()))
		_, left = s.store.Object(s3test.DefaultBucket, keys[3])
		require.False(t, left)

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, s.Sweep(ctx), context.Canceled)

		s.store.Fail(func(operation string, _ *http.Request) s3test.Fault {
			if operation == "ListObjectsV2" {
				return s3test.AccessDenied
			}
			return s3test.None
		})
		require.ErrorContains(t, s.Sweep(t.Context()), "AccessDenied")
	})
}

// TestSweepNeedsFinalPrefix checks that Sweep returns an error without
// FinalPrefix.
func TestSweepNeedsFinalPrefix(t *testing.T) {
	s := open(t, s3test.New(), direct())
	require.EqualError(t, s.Sweep(t.Context()),
		"presign: Policy.FinalPrefix must be set for Sweep; "+
			"without it, Sweep cannot distinguish completed uploads from others")
	require.Error(t, new(presign.Signer).Sweep(t.Context()))
}
