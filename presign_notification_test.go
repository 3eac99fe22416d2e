package presign_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/s3test"
)

// document returns a notification of Amazon S3 for keys. It encodes the keys as
// S3 does.
func document(bucket string, keys ...string) []byte {
	records := make([]any, len(keys))
	for i, key := range keys {
		records[i] = map[string]any{
			"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
			"s3": map[string]any{
				"s3SchemaVersion": "1.0",
				"bucket":          map[string]any{"name": bucket},
				"object": map[string]any{
					"key": url.QueryEscape(key), "size": 1, "eTag": "a",
				},
			},
		}
	}
	b, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		panic(err)
	}
	return b
}

// wrapInSNS wraps a message as SNS delivers it.
func wrapInSNS(message []byte) []byte {
	b, err := json.Marshal(map[string]any{"Type": "Notification", "MessageId": "1",
		"TopicArn": "arn:aws:sns:us-east-1:1:t", "Message": string(message)})
	if err != nil {
		panic(err)
	}
	return b
}

// TestCompleteNotification checks that CompleteNotification returns an error
// only for the expected outcomes. The queue delivers the message again after an
// error.
func TestCompleteNotification(t *testing.T) {
	bucket := s3test.DefaultBucket
	violation := &presign.Violation{Field: "file", Code: "ugly", Detail: "must be pretty"}
	fails := errors.New("the database is down")
	for _, c := range []struct {
		name            string
		inspect, finish func(context.Context, *presign.Object) error // default: accept
		secret          string
		body            []byte // content of the file; default: png
		prepare         func(t *testing.T, s shop, key string)
		send            func(key string) []byte // default: document
		want            string                  // part of the error; empty if no error is expected
		is              error
		left            bool // whether the upload must remain
	}{
		{name: "completed"},
		{name: "in SNS", send: func(key string) []byte { return wrapInSNS(document(bucket, key)) }},
		{name: "twice in one document",
			send: func(key string) []byte { return document(bucket, key, key) }},
		{name: "rejected and deleted", body: []byte("<html>")},
		{name: "rejected by the inspector",
			inspect: func(context.Context, *presign.Object) error { return violation }},
		{name: "expired",
			prepare: func(*testing.T, shop, string) { time.Sleep(48 * time.Hour) }, left: true},
		{name: "no such object",
			send: func(string) []byte { return document(bucket, "incoming/none.png") }, left: true},
		{name: "published before", prepare: func(t *testing.T, s shop, key string) {
			_, err := s.CompleteForAnyOwner(t.Context(), key)
			require.NoError(t, err)
		}},
		{name: "no stamp", prepare: func(t *testing.T, s shop, _ string) {
			s.put(t, "incoming/foreign.png", "foreign", nil)
		}, send: func(string) []byte {
			return document(bucket, "incoming/foreign.png")
		}, left: true},
		{name: "malformed stamp", prepare: func(t *testing.T, s shop, _ string) {
			s.put(t, "incoming/foreign.png", "foreign", func(in *s3.PutObjectInput) {
				in.Metadata = map[string]string{"presign": "hello"}
			})
		}, send: func(string) []byte {
			return document(bucket, "incoming/foreign.png")
		}, left: true},
		{name: "another prefix", send: func(string) []byte {
			return document(bucket, "published/a.png", "a.png")
		}, left: true},
		{name: "a test event", send: func(string) []byte {
			return []byte(`{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"other"}`)
		}, left: true},
		{name: "a deletion", send: func(key string) []byte {
			return []byte(strings.Replace(string(document("other", key)), "ObjectCreated:Put",
				"ObjectRemoved:Delete", 1))
		}, left: true},
		{name: "deleting a completed upload fails",
			prepare: failOperation("DeleteObject"), left: true},

		{name: "pending", inspect: func(context.Context, *presign.Object) error {
			return presign.ErrPending
		}, want: "still running", is: presign.ErrPending, left: true},
		{name: "inspector fails", inspect: func(context.Context, *presign.Object) error {
			return fails
		}, want: "database", is: fails, left: true},
		{name: "inspector panics", inspect: func(context.Context, *presign.Object) error {
			panic("scanner")
		}, want: "panicked", left: true},
		{name: "hook fails", finish: func(context.Context, *presign.Object) error { return fails },
			want: "database", is: fails, left: true},
		{name: "wrong secret", secret: strings.Repeat("fedcba9876543210", 2), want: "does not open",
			is: presign.ErrNotUploaded, left: true},
		{name: "another bucket", send: func(key string) []byte { return document("other", key) },
			want: `must be "bucket", got "other"`, left: true},
		{name: "no bucket", send: func(key string) []byte { return document("", key) },
			is: presign.ErrInvalidNotification, left: true},
		{name: "unknown form", send: func(key string) []byte {
			return []byte(`{"key": "` + key + `"}`)
		}, is: presign.ErrInvalidNotification, left: true},
		{name: "not JSON", send: func(string) []byte { return []byte("incoming/") },
			is: presign.ErrInvalidNotification, left: true},
		{name: "empty", send: func(string) []byte { return nil },
			is: presign.ErrInvalidNotification, left: true},
		{name: "reading fails", prepare: failOperation("GetObject"),
			want: "the store failed", left: true},
		{name: "copying fails", prepare: failOperation("CopyObject"),
			want: "the store failed", left: true},
		{name: "deleting a rejected upload fails", body: []byte("<html>"),
			prepare: failOperation("DeleteObject"),
			want:    "deleting the rejected upload", left: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if c.inspect == nil {
					c.inspect = accept
				}
				if c.finish == nil {
					c.finish = accept
				}
				if c.body == nil {
					c.body = png
				}
				if c.send == nil {
					c.send = func(key string) []byte { return document(bucket, key) }
				}
				opts := []presign.SignerOption{
					presign.WithInspect(c.inspect), presign.WithOnComplete(c.finish),
				}
				if c.secret != "" {
					opts = append(opts, presign.WithSecret([]byte(c.secret)))
				}
				store := s3test.New()
				worker := open(t, store, final(), opts...)
				grant := open(t, store, final(), presign.WithInspect(accept)).
					upload(t, presign.Upload{Filename: "a b+ü%.png", Owner: "alice"},
						false, c.body, nil)
				if c.prepare != nil {
					c.prepare(t, worker, grant.Key)
				}
				err := worker.CompleteNotification(t.Context(), c.send(grant.Key))
				require.Equal(t, c.want == "" && c.is == nil, err == nil, "%v", err)
				if err != nil {
					require.ErrorContains(t, err, c.want)
				}
				if c.is != nil {
					require.ErrorIs(t, err, c.is)
				}
				_, left := store.Object(bucket, grant.Key)
				require.Equal(t, c.left, left)
			})
		})
	}
}

// failOperation returns a step that makes an operation of the store fail.
func failOperation(operation string) func(*testing.T, shop, string) {
	return func(_ *testing.T, s shop, _ string) {
		s.store.Fail(func(o string, _ *http.Request) s3test.Fault {
			if o == operation {
				return s3test.InternalError
			}
			return s3test.None
		})
	}
}

// TestFailedHookIsNotFinal checks that an error of the hook is never final,
// even if the hook returns an error of another Signer. The upload remains, and
// the event is "failed".
func TestFailedHookIsNotFinal(t *testing.T) {
	for _, failure := range []error{
		presign.ErrNotUploaded, presign.ErrExpired, presign.ErrPending,
		&presign.RejectedError{
			Object: new(presign.Object), Violations: []presign.Violation{{Field: "type"}},
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			var kinds []string
			calls := 0
			s := open(t, s3test.New(), final(),
				presign.WithOnComplete(func(context.Context, *presign.Object) error {
					calls++
					return failure
				}),
				presign.WithObserver(func(_ context.Context, e presign.Event) {
					kinds = append(kinds, e.Kind)
				}))
			grant := s.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, false, png, nil)
			time.Sleep(2 * time.Minute)
			kinds = nil
			require.ErrorIs(t, notify(t.Context(), s.Signer, s3test.DefaultBucket, grant.Key),
				failure)
			require.ErrorIs(t, s.Sweep(t.Context()), failure)
			require.Equal(t, []string{"failed", "failed"}, kinds)
			require.Contains(t, s.keys(), grant.Key)

			m, err := s.StartMultipart(t.Context(),
				presign.Upload{Filename: "a.png", Owner: "alice", Size: int64(len(png))})
			require.NoError(t, err)
			parts := s.putAll(t, m, png)
			calls, kinds = 0, nil
			_, err = m.Complete(t.Context(), parts)
			require.ErrorIs(t, err, failure)
			require.NotErrorIs(t, err, presign.ErrChanged)
			require.Equal(t, 1, calls)
			require.Equal(t, []string{"failed"}, kinds)
		})
	}
}

// TestCompleteNotificationOfSeveral checks that the other records of a
// notification are completed if one record fails.
func TestCompleteNotificationOfSeveral(t *testing.T) {
	s := open(t, s3test.New(), final(), inspects(func(_ context.Context, o *presign.Object) error {
		if o.Filename == "pending.png" {
			return presign.ErrPending
		}
		return nil
	}))
	var keys []string
	for _, name := range []string{"1.png", "pending.png", "2.png"} {
		keys = append(keys,
			s.upload(t, presign.Upload{Filename: name, Owner: "alice"}, false, png, nil).Key)
	}
	err := s.CompleteNotification(t.Context(), document(s3test.DefaultBucket, keys...))
	require.ErrorIs(t, err, presign.ErrPending)
	require.ErrorContains(t, err, "pending.png")
	require.ElementsMatch(t, []string{finalKey(keys[0]), keys[1], finalKey(keys[2])}, s.keys())
	require.Error(t, new(presign.Signer).CompleteNotification(t.Context(),
		document(s3test.DefaultBucket, keys...)))
}

// TestCompleteNotificationOfAccessPoints checks that the bucket of a
// notification is not compared with the ARN or alias of an access point.
// Notifications contain the name of the bucket instead.
func TestCompleteNotificationOfAccessPoints(t *testing.T) {
	for bucket, compared := range map[string]bool{
		"bucket": true,
		"uploads-hrzrlukc5m36ft7okagglf3gmwluquse1b-s3alias": false,
		"arn:aws:s3:us-east-1:123456789012:accesspoint/up":   false,
	} {
		signer, err := presign.NewSigner(s3.New(s3.Options{
			Region: "us-east-1", Credentials: newClient().Options().Credentials,
		}), bucket, final(), presign.WithSecret(secret))
		require.NoError(t, err, bucket)
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // The call must not make a request.
		err = signer.CompleteNotification(ctx, document("other", "incoming/a.png"))
		require.Error(t, err)
		require.Equal(t, compared,
			strings.Contains(err.Error(), "the bucket of a notification must be"), err)
	}
}

// TestCompleteNotificationOfStores checks that notifications captured from real
// stores are accepted and name the uploaded key.
func TestCompleteNotificationOfStores(t *testing.T) {
	for _, file := range []string{"versitygw.jsonl", "ceph.jsonl"} {
		captured, err := os.ReadFile("internal/notification/testdata/" + file)
		require.NoError(t, err)
		n := 0
		for line := range strings.Lines(string(captured)) {
			var event struct{ Way, Key, Document string }
			require.NoError(t, json.Unmarshal([]byte(line), &event))
			t.Run(fmt.Sprint(file, " ", event.Key), func(t *testing.T) {
				policy := final()
				policy.Prefix = "in/"
				store := s3test.New(s3test.WithBuckets("events"), s3test.WithHistory())
				signer, err := presign.NewSigner(store.S3(), "events", policy,
					presign.WithSecret(secret), presign.WithLogger(newLog(t, io.Discard)))
				require.NoError(t, err)
				err = signer.CompleteNotification(t.Context(), []byte(event.Document))
				// VersityGW does not send the key of a form.
				if file == "versitygw.jsonl" && event.Way == "form" {
					require.ErrorIs(t, err, presign.ErrInvalidNotification,
						"a notification without a key must be rejected")
					return
				}
				require.NoError(t, err)
				var read []string
				for _, r := range store.History().Requests.Of("GetObject") {
					read = append(read, r.Key)
				}
				require.Contains(t, read, event.Key)
			})
			n++
		}
		require.Greater(t, n, 3)
	}
}
