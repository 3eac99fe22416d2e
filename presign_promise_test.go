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

// The tests in this file check promises of SECURITY.md about hooks,
// notifications and published objects.

// newSignerAndStore returns a Signer and its store, which records history.
func newSignerAndStore(
	t *testing.T, policy presign.Policy, opts ...presign.SignerOption,
) (*presign.Signer, *s3test.Server) {
	t.Helper()
	store := s3test.New(s3test.WithHistory())
	signer, err := presign.NewSigner(store.S3(), s3test.DefaultBucket, policy,
		append(opts, presign.WithSecret(secret))...)
	require.NoError(t, err)
	return signer, store
}

// uploadFor uploads a picture for an owner and returns its key.
func uploadFor(t *testing.T, signer *presign.Signer, store *s3test.Server, owner string) string {
	t.Helper()
	grant, err := signer.Put(t.Context(),
		presign.Upload{Filename: "a.png", Size: int64(len(png)), Owner: owner})
	require.NoError(t, err)
	r, err := grant.Request(t.Context(), strings.NewReader(string(png)), int64(len(png)))
	require.NoError(t, err)
	response, err := store.HTTPClient().Do(r)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, 200, response.StatusCode)
	return grant.Key
}

// TestInspectDecidesBeforePublishing checks that objects appear under
// FinalPrefix only after the function of WithInspect has accepted them.
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
			signer, store := newSignerAndStore(t, final(), presign.WithInspect(
				func(context.Context, *presign.Object) error { return c.verdict }))
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

// TestSignerWithoutInspectFails checks that a Signer without WithInspect does
// not publish an upload whose grant requires an inspection.
func TestSignerWithoutInspectFails(t *testing.T) {
	inspecting, store := newSignerAndStore(t, final(),
		presign.WithInspect(func(context.Context, *presign.Object) error { return nil }))
	key := uploadFor(t, inspecting, store, "alice")
	other, err := presign.NewSigner(store.S3(), s3test.DefaultBucket, final(),
		presign.WithSecret(secret))
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
		signer, store := newSignerAndStore(t, final(), presign.WithOnComplete(
			func(context.Context, *presign.Object) error { calls++; return nil }))
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

// TestHookErrorKeepsPublished checks that both the upload and the published
// object remain if WithOnComplete returns an error, and that the upload can be
// completed again.
func TestHookErrorKeepsPublished(t *testing.T) {
	var calls int
	signer, store := newSignerAndStore(t, final(),
		presign.WithOnComplete(func(context.Context, *presign.Object) error {
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

// TestNotificationsOnlyComplete checks that a notification can only complete a
// pending upload for its owner.
func TestNotificationsOnlyComplete(t *testing.T) {
	notify := func(signer *presign.Signer, bucket, key string) error {
		return signer.CompleteNotification(t.Context(), fmt.Appendf(nil,
			`{"Records": [{"eventName": "ObjectCreated:Put", `+
				`"s3": {"bucket": {"name": %q}, "object": {"key": %q}}}]}`, bucket, key))
	}
	var owner string
	signer, store := newSignerAndStore(t, final(),
		presign.WithOnComplete(func(_ context.Context, o *presign.Object) error {
			owner = o.Owner
			return nil
		}))
	key := uploadFor(t, signer, store, "alice")

	require.Error(t, notify(signer, "another", key),
		"a notification of another bucket must be an error")
	require.NoError(t, notify(signer, s3test.DefaultBucket, "private/a.png"),
		"a key under another prefix must be ignored")
	require.NoError(t, notify(signer, s3test.DefaultBucket, key+"a"),
		"a missing object must be ignored")
	require.ErrorIs(t, signer.CompleteNotification(t.Context(), []byte(`{"key": "a"}`)),
		presign.ErrInvalidNotification)
	require.Equal(t, []string{key}, store.Objects(s3test.DefaultBucket))

	stranger, err := presign.NewSigner(store.S3(), s3test.DefaultBucket, final(),
		presign.WithSecret([]byte("another secret of thirty-two bytes")))
	require.NoError(t, err)
	require.Error(t, notify(stranger, s3test.DefaultBucket, key),
		"the notification must be delivered again if the stamp does not open")
	require.Equal(t, []string{key}, store.Objects(s3test.DefaultBucket))

	require.NoError(t, notify(signer, s3test.DefaultBucket, key))
	require.Equal(t, "alice", owner)
	require.Equal(t, []string{finalKey(key)}, store.Objects(s3test.DefaultBucket))
}

// TestOnlyCopyHasServingHeaders checks that headers that give access to an
// object or change how it is served are set on the published copy, not on the
// upload.
func TestOnlyCopyHasServingHeaders(t *testing.T) {
	policy := final()
	policy.Headers = map[string]string{"Content-Disposition": "inline",
		"Cache-Control": "public, max-age=60", "x-amz-tagging": "class=public"}
	signer, store := newSignerAndStore(t, policy)
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

// TestFormsNeedReplaceForChosenKeys checks that Post accepts a key that the
// service chose only if the policy has Replace. This holds with and without
// FinalPrefix.
func TestFormsNeedReplaceForChosenKeys(t *testing.T) {
	for _, policy := range []presign.Policy{final(), direct()} {
		u := presign.Upload{Key: "incoming/avatar.png", MaxSize: 100}
		signer, _ := newSignerAndStore(t, policy)
		_, err := signer.Post(t.Context(), u)
		require.Len(t, presign.Violations(err), 1)
		require.Equal(t, "unsupported", presign.Violations(err)[0].Code)
		policy.Replace = true
		signer, _ = newSignerAndStore(t, policy)
		_, err = signer.Post(t.Context(), u)
		require.NoError(t, err)
	}
}

// TestDeadlineHolds checks that completions start only before the Deadline that
// the function of WithAuthorize has received, even if the function is slow.
func TestDeadlineHolds(t *testing.T) {
	for _, c := range []struct {
		after time.Duration
		want  error
	}{{-time.Second, nil}, {time.Second, presign.ErrExpired}} {
		synctest.Test(t, func(t *testing.T) {
			signer, store := newSignerAndStore(t, final())
			var deadline time.Time
			handler, err := presign.NewHandler(signer, user,
				presign.WithAuthorize(func(_ *http.Request, u *presign.Upload) error {
					deadline = u.Deadline
					time.Sleep(10 * time.Second)
					return nil
				}))
			require.NoError(t, err)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w,
				jsonRequest(fmt.Sprintf(`{"filename": "a.png", "size": %d}`, len(png))))
			require.Equal(t, 201, w.Code, w.Body)
			grant := decode[presign.Grant](t, w)
			r, err := grant.Request(t.Context(), strings.NewReader(string(png)), int64(len(png)))
			require.NoError(t, err)
			response, err := store.HTTPClient().Do(r)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			time.Sleep(time.Until(deadline.Add(c.after)))
			_, err = signer.Complete(t.Context(), "alice", grant.Key)
			require.ErrorIs(t, err, c.want)
		})
	}
}

// TestDeadlineOfMultipart checks that the Deadline of a multipart upload is
// eight days after its grant. The multipart upload lasts for seven days, and
// its object can be completed for one more day.
func TestDeadlineOfMultipart(t *testing.T) {
	signer, _ := newSignerAndStore(t, multipartPolicy())
	var deadline time.Time
	handler, err := presign.NewHandler(signer, user,
		presign.WithAuthorize(func(_ *http.Request, u *presign.Upload) error {
			deadline = u.Deadline
			return nil
		}))
	require.NoError(t, err)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, jsonRequest(`{"filename": "a.png", "method": "multipart"}`))
	require.Equal(t, 201, w.Code, w.Body)
	require.WithinDuration(t, time.Now().Add(8*24*time.Hour), deadline, 5*time.Second)
}

// TestOnCompleteRunsInOrder checks that the functions of WithOnComplete are
// called in the order of the options until one of them fails.
func TestOnCompleteRunsInOrder(t *testing.T) {
	var calls []string
	record := func(name string, err error) presign.SignerOption {
		return presign.WithOnComplete(func(context.Context, *presign.Object) error {
			calls = append(calls, name)
			return err
		})
	}
	failure := errors.New("the database is down")
	signer, store := newSignerAndStore(t, final(), record("first", nil), record("second", failure),
		record("third", nil))
	_, err := signer.Complete(t.Context(), "alice", uploadFor(t, signer, store, "alice"))
	require.ErrorIs(t, err, failure)
	require.Equal(t, []string{"first", "second"}, calls)
}

// TestSharedFinalPrefix checks that two Signers with one FinalPrefix and
// different Prefixes replace each other's objects only if both have Replace.
func TestSharedFinalPrefix(t *testing.T) {
	for _, replace := range []bool{false, true} {
		store := s3test.New(s3test.WithHistory())
		upload := func(prefix, owner string) (*presign.Object, error) {
			policy := final()
			policy.Prefix, policy.Replace = prefix, replace
			signer, err := presign.NewSigner(store.S3(), s3test.DefaultBucket, policy,
				presign.WithSecret(secret))
			require.NoError(t, err)
			grant, err := signer.Put(t.Context(),
				presign.Upload{Key: prefix + "a.png", Size: int64(len(png)), Owner: owner})
			require.NoError(t, err)
			r, err := grant.Request(t.Context(), strings.NewReader(string(png)), int64(len(png)))
			require.NoError(t, err)
			response, err := store.HTTPClient().Do(r)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			return signer.Complete(t.Context(), owner, grant.Key)
		}
		_, err := upload("one/", "alice")
		require.NoError(t, err)
		_, err = upload("two/", "bob")
		require.Equal(t, replace, err == nil, "%v", err)
		if !replace {
			require.Equal(t, "taken", presign.Violations(err)[0].Code)
			require.Len(t, store.History().Visible("published/"), 1)
			require.Contains(t, store.Objects(s3test.DefaultBucket), "two/a.png",
				"the upload must remain until the service frees the key")
		}
	}
}
