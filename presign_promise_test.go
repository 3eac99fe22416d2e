package presign_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/s3test"
)

// The tests of this file hold promises of SECURITY.md about hooks and
// notifications.

// newPromised returns a Signer that publishes at a store with history.
func newPromised(t *testing.T, policy presign.Policy, opts ...presign.SignerOption) (*presign.Signer, *s3test.Server) {
	t.Helper()
	store := s3test.New(s3test.WithHistory())
	signer, err := presign.NewSigner(store.S3(), s3test.DefaultBucket, policy, append(opts, presign.WithSecret(secret))...)
	require.NoError(t, err)
	return signer, store
}

// uploadFor uploads a picture for an owner and returns its key.
func uploadFor(t *testing.T, signer *presign.Signer, store *s3test.Server, owner string) string {
	t.Helper()
	grant, err := signer.Put(t.Context(), presign.Upload{Filename: "a.png", Size: int64(len(png)), Owner: owner})
	require.NoError(t, err)
	r, err := grant.Request(t.Context(), strings.NewReader(string(png)), int64(len(png)))
	require.NoError(t, err)
	answer, err := store.HTTPClient().Do(r)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, 200, answer.StatusCode)
	return grant.Key
}

// TestInspectDecidesBeforePublishing checks that no object ever appears under
// FinalPrefix that the function of WithInspect has not accepted.
func TestInspectDecidesBeforePublishing(t *testing.T) {
	failure := errors.New("the scanner is down")
	violation := &presign.Violation{Field: "content", Code: "invalid", Detail: "contains a virus"}
	for name, c := range map[string]struct {
		verdict          error
		published, stays bool
	}{
		"accepted":              {nil, true, false},
		"rejected":              {violation, false, false},
		"pending":               {presign.ErrPending, false, true},
		"failure":               {failure, false, true},
		"violation and failure": {errors.Join(violation, failure), false, true},
	} {
		t.Run(name, func(t *testing.T) {
			signer, store := newPromised(t, final(), presign.WithInspect(func(context.Context, *presign.Object) error { return c.verdict }))
			key := uploadFor(t, signer, store, "alice")
			_, err := signer.Complete(t.Context(), "alice", key)
			require.Equal(t, c.published, err == nil, "%v", err)
			var rejected *presign.RejectedError
			require.Equal(t, name == "rejected", errors.As(err, &rejected), "%v", err)
			require.Equal(t, c.published, len(store.History().Visible("published/")) > 0)
			_, stays := store.Object(s3test.DefaultBucket, key)
			require.Equal(t, c.stays, stays)
		})
	}
}

// TestSignerWithoutInspectFails checks that an upload that must be inspected is
// not published by a Signer without WithInspect.
func TestSignerWithoutInspectFails(t *testing.T) {
	inspecting, store := newPromised(t, final(), presign.WithInspect(func(context.Context, *presign.Object) error { return nil }))
	key := uploadFor(t, inspecting, store, "alice")
	other, err := presign.NewSigner(store.S3(), s3test.DefaultBucket, final(), presign.WithSecret(secret))
	require.NoError(t, err)
	_, err = other.Complete(t.Context(), "alice", key)
	require.Error(t, err)
	require.Equal(t, 500, presign.ProblemOf(err).Status, "%v", err)
	require.Equal(t, []string{key}, store.Objects(s3test.DefaultBucket))
}

// TestHooksEndSevenDaysAfterDeadline checks that repeated completions call the
// function of WithOnComplete until seven days after the upload's deadline.
func TestHooksEndSevenDaysAfterDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls int
		signer, store := newPromised(t, final(), presign.WithOnComplete(func(context.Context, *presign.Object) error { calls++; return nil }))
		key := uploadFor(t, signer, store, "alice")
		deadline := time.Now().Add(15*time.Minute + 24*time.Hour)
		for _, c := range []struct {
			at    time.Time
			calls int
		}{
			{time.Now(), 1},
			{deadline.Add(7*24*time.Hour - time.Minute), 2},
			{deadline.Add(7*24*time.Hour + time.Minute), 2},
		} {
			time.Sleep(time.Until(c.at))
			_, err := signer.Complete(t.Context(), "alice", key)
			require.NoError(t, err)
			require.Equal(t, c.calls, calls)
		}
	})
}

// TestHookErrorKeepsPublished checks that an error of WithOnComplete deletes
// nothing and that the upload can be completed again.
func TestHookErrorKeepsPublished(t *testing.T) {
	var calls int
	signer, store := newPromised(t, final(), presign.WithOnComplete(func(context.Context, *presign.Object) error {
		if calls++; calls == 1 {
			return errors.New("the database is down")
		}
		return nil
	}))
	key := uploadFor(t, signer, store, "alice")
	_, err := signer.Complete(t.Context(), "alice", key)
	require.Error(t, err)
	require.ElementsMatch(t, []string{key, finalKey(key)}, store.Objects(s3test.DefaultBucket))
	_, err = signer.Complete(t.Context(), "alice", key)
	require.NoError(t, err)
	require.Equal(t, 2, calls)
	require.Equal(t, []string{finalKey(key)}, store.Objects(s3test.DefaultBucket))
}

// TestNotificationsCompleteAndNoMore checks that a sender of notifications can
// have a pending upload completed for its owner, and no more.
func TestNotificationsCompleteAndNoMore(t *testing.T) {
	notify := func(signer *presign.Signer, bucket, key string) error {
		return signer.CompleteNotification(t.Context(), fmt.Appendf(nil,
			`{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": %q}, "object": {"key": %q}}}]}`, bucket, key))
	}
	var owner string
	signer, store := newPromised(t, final(), presign.WithOnComplete(func(_ context.Context, o *presign.Object) error {
		owner = o.Owner
		return nil
	}))
	key := uploadFor(t, signer, store, "alice")

	require.Error(t, notify(signer, "another", key), "another bucket")
	require.NoError(t, notify(signer, s3test.DefaultBucket, "private/a.png"), "another prefix")
	require.NoError(t, notify(signer, s3test.DefaultBucket, key+"a"), "no object")
	require.ErrorIs(t, signer.CompleteNotification(t.Context(), []byte(`{"key": "a"}`)), presign.ErrInvalidNotification)
	require.Equal(t, []string{key}, store.Objects(s3test.DefaultBucket))

	stranger, err := presign.NewSigner(store.S3(), s3test.DefaultBucket, final(), presign.WithSecret([]byte("another secret of thirty-two bytes")))
	require.NoError(t, err)
	require.Error(t, notify(stranger, s3test.DefaultBucket, key), "a stamp that does not open is delivered again")
	require.Equal(t, []string{key}, store.Objects(s3test.DefaultBucket))

	require.NoError(t, notify(signer, s3test.DefaultBucket, key))
	require.Equal(t, "alice", owner)
	require.Equal(t, []string{finalKey(key)}, store.Objects(s3test.DefaultBucket))
}

// TestCopyAloneHasHeadersOfServing checks that headers that give access to an
// object or change how it is served are not set on the upload.
func TestCopyAloneHasHeadersOfServing(t *testing.T) {
	policy := final()
	policy.Headers = map[string]string{"Content-Disposition": "inline", "Cache-Control": "public, max-age=60", "x-amz-tagging": "class=public"}
	signer, store := newPromised(t, policy)
	key := uploadFor(t, signer, store, "alice")
	_, err := signer.Complete(t.Context(), "alice", key)
	require.NoError(t, err)
	states := store.History().Visible("")
	require.Len(t, states, 2)
	upload, copied := states[0], states[1]
	require.Empty(t, upload.Header.Get("Cache-Control"))
	require.Empty(t, upload.Tags)
	require.Contains(t, upload.Header.Get("Content-Disposition"), "attachment")
	require.Equal(t, "public, max-age=60", copied.Header.Get("Cache-Control"))
	require.Equal(t, map[string]string{"class": "public"}, copied.Tags)
	require.Contains(t, copied.Header.Get("Content-Disposition"), "inline")
}

// TestFormsNeedReplaceForChosenKeys checks that a form for a key that the service
// chose is not granted without Replace, with FinalPrefix or without.
func TestFormsNeedReplaceForChosenKeys(t *testing.T) {
	for _, policy := range []presign.Policy{final(), direct()} {
		u := presign.Upload{Key: "incoming/avatar.png", MaxSize: 100}
		signer, _ := newPromised(t, policy)
		_, err := signer.Post(t.Context(), u)
		require.Len(t, presign.Violations(err), 1)
		require.Equal(t, "unsupported", presign.Violations(err)[0].Code)
		policy.Replace = true
		signer, _ = newPromised(t, policy)
		_, err = signer.Post(t.Context(), u)
		require.NoError(t, err)
	}
}

// TestDeadlineHolds checks that no completion starts after the Deadline that the
// function of WithAuthorize has received, even if the function takes long.
func TestDeadlineHolds(t *testing.T) {
	for _, c := range []struct {
		after time.Duration
		want  error
	}{{-time.Second, nil}, {time.Second, presign.ErrExpired}} {
		synctest.Test(t, func(t *testing.T) {
			signer, store := newPromised(t, final())
			var deadline time.Time
			handler, err := presign.NewHandler(signer, user, presign.WithAuthorize(func(_ *http.Request, u *presign.Upload) error {
				deadline = u.Deadline
				time.Sleep(10 * time.Second)
				return nil
			}))
			require.NoError(t, err)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, jsonRequest(fmt.Sprintf(`{"filename": "a.png", "size": %d}`, len(png))))
			require.Equal(t, 201, w.Code, w.Body)
			grant := decode[presign.Grant](t, w)
			r, err := grant.Request(t.Context(), strings.NewReader(string(png)), int64(len(png)))
			require.NoError(t, err)
			answer, err := store.HTTPClient().Do(r)
			require.NoError(t, err)
			require.NoError(t, answer.Body.Close())
			time.Sleep(time.Until(deadline.Add(c.after)))
			_, err = signer.Complete(t.Context(), "alice", grant.Key)
			require.ErrorIs(t, err, c.want)
		})
	}
}

// TestDeadlineOfMultipart checks that a multipart upload can be completed for 7
// days, and its object for a day more.
func TestDeadlineOfMultipart(t *testing.T) {
	signer, _ := newPromised(t, inParts())
	var deadline time.Time
	handler, err := presign.NewHandler(signer, user, presign.WithAuthorize(func(_ *http.Request, u *presign.Upload) error {
		deadline = u.Deadline
		return nil
	}))
	require.NoError(t, err)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, jsonRequest(`{"filename": "a.png", "method": "multipart"}`))
	require.Equal(t, 201, w.Code, w.Body)
	require.WithinDuration(t, time.Now().Add(8*24*time.Hour), deadline, 5*time.Second)
}

// TestOnCompleteRunsInOrder checks that the functions of WithOnComplete are called
// in the order of the options, and none after one that has failed.
func TestOnCompleteRunsInOrder(t *testing.T) {
	var calls []string
	note := func(name string, err error) presign.SignerOption {
		return presign.WithOnComplete(func(context.Context, *presign.Object) error { calls = append(calls, name); return err })
	}
	failure := errors.New("the database is down")
	signer, store := newPromised(t, final(), note("first", nil), note("second", failure), note("third", nil))
	_, err := signer.Complete(t.Context(), "alice", uploadFor(t, signer, store, "alice"))
	require.ErrorIs(t, err, failure)
	require.Equal(t, []string{"first", "second"}, calls)
}

// TestSharedFinalPrefix checks that two Signers with one FinalPrefix and
// different Prefixes do not replace each other's objects, unless both may.
func TestSharedFinalPrefix(t *testing.T) {
	for _, replace := range []bool{false, true} {
		store := s3test.New(s3test.WithHistory())
		upload := func(prefix, owner string) (*presign.Object, error) {
			policy := final()
			policy.Prefix, policy.Replace = prefix, replace
			signer, err := presign.NewSigner(store.S3(), s3test.DefaultBucket, policy, presign.WithSecret(secret))
			require.NoError(t, err)
			grant, err := signer.Put(t.Context(), presign.Upload{Key: prefix + "a.png", Size: int64(len(png)), Owner: owner})
			require.NoError(t, err)
			r, err := grant.Request(t.Context(), strings.NewReader(string(png)), int64(len(png)))
			require.NoError(t, err)
			answer, err := store.HTTPClient().Do(r)
			require.NoError(t, err)
			require.NoError(t, answer.Body.Close())
			return signer.Complete(t.Context(), owner, grant.Key)
		}
		_, err := upload("one/", "alice")
		require.NoError(t, err)
		_, err = upload("two/", "bob")
		require.Equal(t, replace, err == nil, "%v", err)
		if !replace {
			require.Equal(t, "taken", presign.Violations(err)[0].Code)
			require.Len(t, store.History().Visible("published/"), 1)
			require.Contains(t, store.Objects(s3test.DefaultBucket), "two/a.png", "the service may make room")
		}
	}
}
