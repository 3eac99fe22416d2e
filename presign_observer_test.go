package presign_test

import (
	"context"
	"errors"
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

// An audit collects events.
type audit struct {
	mu     sync.Mutex
	events []presign.Event
}

// observe adds an event. Tests pass it to WithObserver.
func (a *audit) observe(_ context.Context, e presign.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = append(a.events, e)
}

// take returns the events since the last call.
func (a *audit) take() []presign.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	events := a.events
	a.events = nil
	return events
}

// An observedService is a service whose events a test checks.
type observedService struct {
	uppy
	inspect, finish func(context.Context, *presign.Object) error
	grant           *presign.Grant
	upload          *presign.Multipart
}

// notify passes a notification of an upload to CompleteNotification.
func notify(ctx context.Context, s *presign.Signer, bucket, key string) error {
	return s.CompleteNotification(ctx, []byte(
		`{"version":"0","id":"1","detail-type":"Object Created","source":"aws.s3","account":"1",`+
			`"time":"2026-01-01T00:00:00Z","region":"us-east-1","resources":[],`+
			`"detail":{"version":"0","bucket":{"name":"`+bucket+`"},`+
			`"object":{"key":"`+key+`","size":1,"etag":"a"},"reason":"PutObject"}}`))
}

// TestEvents checks that every outcome causes the expected event. Each step
// causes at most one event.
func TestEvents(t *testing.T) {
	violation := &presign.Violation{Field: "file", Code: "ugly", Detail: "must be pretty"}
	fails := func(err error) func(context.Context, *presign.Object) error {
		return func(context.Context, *presign.Object) error { return err }
	}
	put := func(t *testing.T, s *observedService) {
		s.grant = s.shop.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"},
			false, png, nil)
	}
	liar := func(t *testing.T, s *observedService) {
		s.grant = s.shop.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, false,
			[]byte("<html>"), nil)
	}
	parts := func(t *testing.T, s *observedService) {
		var err error
		s.upload, err = s.StartMultipart(t.Context(),
			presign.Upload{Filename: "a.png", Owner: "alice"})
		require.NoError(t, err)
		g, err := s.upload.SignPart(t.Context(), presign.Part{Number: 1, Size: int64(len(png))})
		require.NoError(t, err)
		s.putPart(t, g, png)
	}
	complete := func(t *testing.T, s *observedService) {
		s.ask("POST", "/complete", `{"key": "`+s.grant.Key+`"}`)
	}
	inspected := func(err error) func(*testing.T, *observedService) {
		return func(t *testing.T, s *observedService) { put(t, s); s.inspect = fails(err) }
	}
	down := func(operation string) func(*testing.T, *observedService) {
		return func(t *testing.T, s *observedService) {
			s.store.Fail(func(o string, _ *http.Request) s3test.Fault {
				if o == operation {
					return s3test.InternalError
				}
				return s3test.None
			})
		}
	}
	companionPath := func(s *observedService, rest string) string {
		return "/s3/multipart/" + s.upload.ID + rest + "?key=" + s.upload.Key
	}
	ask := func(method, path, body string) func(*testing.T, *observedService) {
		return func(_ *testing.T, s *observedService) { s.ask(method, path, body) }
	}
	askCompanion := func(method, rest, body string) func(*testing.T, *observedService) {
		return func(_ *testing.T, s *observedService) {
			s.ask(method, companionPath(s, rest), body)
		}
	}
	notifyGrant := func(t *testing.T, s *observedService) {
		notify(t.Context(), s.Signer, s3test.DefaultBucket, s.grant.Key)
	}
	completeParts := func(t *testing.T, s *observedService) { s.upload.Complete(t.Context(), nil) }
	abort := func(t *testing.T, s *observedService) { s.upload.Abort(t.Context()) }
	wait := func(d time.Duration) func(*testing.T, *observedService) {
		return func(*testing.T, *observedService) { time.Sleep(d) }
	}
	all := func(steps ...func(*testing.T, *observedService)) func(*testing.T, *observedService) {
		return func(t *testing.T, s *observedService) {
			for _, step := range steps {
				step(t, s)
			}
		}
	}
	for _, c := range []struct {
		name        string
		before, act func(*testing.T, *observedService)
		want        string // the description of the event; empty if no event is expected
	}{
		// Grants.
		{"Put", nil, func(t *testing.T, s *observedService) {
			s.Put(t.Context(), presign.Upload{Filename: "a.png", Size: 9, Owner: "alice"})
		}, "granted PUT alice id key size type"},
		{"Post", nil, func(t *testing.T, s *observedService) {
			s.Post(t.Context(), presign.Upload{Filename: "a.png", Owner: "alice"})
		}, "granted POST alice id key type"},
		{"Put, invalid", nil, func(t *testing.T, s *observedService) {
			s.Put(t.Context(), presign.Upload{Filename: "a.exe", Size: 9})
		}, "not_granted PUT - id size err"},
		{"POST /, put", nil, ask("POST", "", `{"filename": "a.png", "size": 9}`),
			"granted PUT alice id key size type request"},
		{"POST /, form", nil, ask("POST", "", `{"filename": "a.png"}`),
			"granted POST alice id key type request"},
		{"POST /, invalid", nil, ask("POST", "", `{"filename": "a.exe", "size": 9}`),
			"not_granted PUT alice id size err request"},
		{"POST /, not authorized", nil, ask("POST", "", `{"filename": "forbidden.png", "size": 9}`),
			"not_granted PUT alice id size type err request"},
		{"POST /, authorization fails", nil,
			ask("POST", "", `{"filename": "broken.png", "size": 9}`),
			"not_granted PUT alice id size type err request"},
		{"POST /, malformed", nil, ask("POST", "", `{"filename"`), "denied - alice err request"},
		{"POST /, not authenticated", nil, func(t *testing.T, s *observedService) {
			s.user = ""
			s.ask("POST", "", `{"filename": "a.png"}`)
		}, "denied - - err request"},
		{"POST /, authentication fails", nil, func(t *testing.T, s *observedService) {
			s.user = "outage"
			s.ask("POST", "", `{}`)
		}, "failed - - err request"},
		{"unknown path", nil, ask("POST", "/none", ""), "denied - - err request"},
		{"unsupported method", nil, ask("PATCH", "/complete", ""), "denied - - err request"},
		{"Uppy, form", nil, ask("GET", "/s3/params?filename=a.png&type=image/png", ""),
			"granted POST alice id key type request"},
		{"Uppy, start", nil, ask("POST", "/s3/multipart", `{"filename": "a.png"}`),
			"started multipart alice id key type request"},
		{"Uppy, start, invalid", nil, ask("POST", "/s3/multipart", `{"filename": "a.exe"}`),
			"not_granted multipart alice id err request"},
		{"Uppy, start fails", down("CreateMultipartUpload"),
			ask("POST", "/s3/multipart", `{"filename": "a.png"}`),
			"not_granted multipart alice id type err request"},
		{"StartMultipart", nil, func(t *testing.T, s *observedService) {
			s.StartMultipart(t.Context(), presign.Upload{Filename: "a.png", Owner: "alice"})
		}, "started multipart alice id key type"},
		{"StartMultipart fails",
			down("CreateMultipartUpload"), func(t *testing.T, s *observedService) {
				s.StartMultipart(t.Context(), presign.Upload{Filename: "a.png", Owner: "alice"})
			}, "not_granted multipart alice id type err"},

		// Parts.
		{"parts signed and listed", parts, func(t *testing.T, s *observedService) {
			s.upload.SignPart(t.Context(), presign.Part{Number: 1})
			s.upload.ListParts(t.Context())
			s.ask("GET", companionPath(s, "/1"), "")
			s.ask("GET", companionPath(s, ""), "")
		}, ""},
		{"ListParts fails", all(parts, down("ListParts")), func(t *testing.T, s *observedService) {
			s.upload.ListParts(t.Context())
		}, "failed multipart alice id key err"},
		{"Uppy, listing fails", all(parts, down("ListParts")), askCompanion("GET", "", ""),
			"failed multipart alice id key err request"},
		{"SignPart rejects", all(parts, storeLargePart), func(t *testing.T, s *observedService) {
			s.upload.SignPart(t.Context(), presign.Part{Number: 1})
		}, "rejected multipart alice id key object err"},
		{"Uppy, signing rejects", all(parts, storeLargePart), askCompanion("GET", "/1", ""),
			"rejected multipart alice id key object err request"},
		{"Abort", parts, abort, "aborted multipart alice id key"},
		{"Abort fails", all(parts, down("AbortMultipartUpload")), abort,
			"failed multipart alice id key err"},
		{"Uppy, abort", parts, askCompanion("DELETE", "", ""),
			"aborted multipart alice id key request"},
		{"Uppy, abort fails", all(parts, down("AbortMultipartUpload")),
			askCompanion("DELETE", "", ""), "failed multipart alice id key err request"},
		{"Uppy, unknown upload", parts, ask("DELETE", "/s3/multipart/none?key=none", ""),
			"failed - alice err request"},

		// Completions of multipart uploads.
		{"Multipart.Complete", parts, completeParts,
			"completed multipart alice id key size type object"},
		{"Multipart.Complete again", all(parts, completeParts), completeParts,
			"repeated multipart alice id key size type object"},
		{"Multipart.Complete, too many bytes", all(parts, storeLargePart), completeParts,
			"rejected multipart alice id key type object err"},
		{"Multipart.Complete, missing part", parts, func(t *testing.T, s *observedService) {
			s.upload.Complete(t.Context(), []presign.Part{{Number: 7}})
		}, "failed multipart alice id key type err"},
		{"Multipart.Complete, expired", all(parts, wait(8*24*time.Hour)), completeParts,
			"failed multipart alice id key type err"},
		{"Uppy, complete", parts, askCompanion("POST", "/complete", `{"parts": []}`),
			"completed multipart alice id key size type object request"},
		{"Uppy, complete, rejected", all(parts, func(_ *testing.T, s *observedService) {
			s.inspect = fails(violation)
		}), askCompanion("POST", "/complete", `{"parts": []}`),
			"rejected multipart alice id key type object err request"},
		{"Uppy, complete, malformed", parts, askCompanion("POST", "/complete", `{"parts": 7}`),
			"denied multipart alice id key err request"},

		// Completions.
		{"complete", put, complete, "completed PUT alice id key size type object request"},
		{"complete, slowly", func(t *testing.T, s *observedService) {
			put(t, s)
			s.inspect = func(context.Context, *presign.Object) error {
				time.Sleep(time.Minute)
				return nil
			}
		}, func(t *testing.T, s *observedService) {
			complete(t, s)
			complete(t, s)
			require.NoError(t, s.Shutdown(t.Context()))
		}, "completed PUT alice id key size type object"},
		{"complete, client disconnects", func(t *testing.T, s *observedService) {
			put(t, s)
			s.inspect = func(context.Context, *presign.Object) error {
				time.Sleep(time.Minute)
				return nil
			}
		}, func(t *testing.T, s *observedService) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			s.Complete(ctx, "alice", s.grant.Key)
			require.NoError(t, s.Shutdown(t.Context()))
		}, "completed PUT alice id key size type object"},
		{"Complete", put, func(t *testing.T, s *observedService) {
			s.Complete(t.Context(), "alice", s.grant.Key)
		}, "completed PUT alice id key size type object"},
		{"CompleteForAnyOwner", put, func(t *testing.T, s *observedService) {
			s.CompleteForAnyOwner(t.Context(), s.grant.Key)
		}, "completed PUT alice id key size type object"},
		{"complete again", all(put, complete), complete,
			"repeated PUT alice id key size type object request"},
		{"complete, missing", put, ask("POST", "/complete", `{"key": "incoming/none.png"}`),
			"failed - - key err request"},
		{"complete, another prefix", put, ask("POST", "/complete", `{"key": "none.png"}`),
			"failed - - key err request"},
		{"complete, another owner",
			put, func(t *testing.T, s *observedService) { s.user = "bob"; complete(t, s) },
			"failed - - key err request"},
		{"complete, malformed", nil, ask("POST", "/complete", `{"id": 7}`),
			"denied - alice err request"},
		{"complete, mismatched content", liar, complete,
			"rejected PUT alice id key size type object err request"},
		{"complete, inspector rejects", inspected(violation), complete,
			"rejected PUT alice id key size type object err request"},
		{"complete, inspector is pending", inspected(presign.ErrPending), complete,
			"pending PUT alice id key size type err request"},
		{"complete, inspector fails", inspected(errors.New("fails")), complete,
			"failed PUT alice id key size type err request"},
		{"complete, hook fails", func(t *testing.T, s *observedService) {
			put(t, s)
			s.finish = fails(errors.New("fails"))
		}, complete, "failed PUT alice id key size type err request"},
		{"complete, hook panics", func(t *testing.T, s *observedService) {
			put(t, s)
			s.finish = func(context.Context, *presign.Object) error { panic("fails") }
		}, complete, "failed PUT alice id key size type err request"},
		{"complete, reading fails", all(put, down("GetObject")), complete,
			"failed - - key err request"},
		{"complete, copying fails", all(put, down("CopyObject")), complete,
			"failed PUT alice id key size type err request"},
		{"complete, deleting a rejected upload fails", all(liar, down("DeleteObject")), complete,
			"failed PUT alice id key size type err request"},
		{"complete, expired", all(put, wait(48*time.Hour)), complete,
			"failed PUT alice id key size type err request"},
		{"complete, replaced by a larger file", all(put, func(t *testing.T, s *observedService) {
			replace := func(r s3test.Request, _ *http.Request) s3test.Fault {
				if r.Operation == "CopyObject" {
					old, _ := s.store.Object(s3test.DefaultBucket, s.grant.Key)
					s.store.Put(s3test.DefaultBucket, s.grant.Key, s3test.Object{
						Body: append(old.Body, 0), Header: old.Header, Metadata: old.Metadata,
					})
				}
				return s3test.None
			}
			s.store.Intercept(s3test.Hook{Before: replace})
		}), complete, "rejected PUT alice id key size type object err request"},

		// Notifications.
		{"notification", put, notifyGrant, "completed PUT alice id key size type object"},
		{"notification, repeated", all(put, complete), notifyGrant,
			"repeated PUT alice id key size type object"},
		{"notification, rejected", liar, notifyGrant,
			"rejected PUT alice id key size type object err"},
		{"notification, pending", inspected(presign.ErrPending), notifyGrant,
			"pending PUT alice id key size type err"},
		{"notification, missing", nil, func(t *testing.T, s *observedService) {
			notify(t.Context(), s.Signer, s3test.DefaultBucket, "incoming/none.png")
		}, "failed - - key err"},
		{"notification, another prefix", nil, func(t *testing.T, s *observedService) {
			notify(t.Context(), s.Signer, s3test.DefaultBucket, "none.png")
		}, ""},
		{"notification, another bucket", nil, func(t *testing.T, s *observedService) {
			notify(t.Context(), s.Signer, "other", "incoming/none.png")
		}, ""},
		{"notification, unknown", nil, func(t *testing.T, s *observedService) {
			s.CompleteNotification(t.Context(), []byte(`{}`))
		}, ""},

		// Sweeps.
		{"sweep, too young", put, sweepNow, ""},
		{"sweep", all(put, waitForSweep), sweepNow, "completed PUT alice id key size type object"},
		{"sweep, rejected", all(liar, waitForSweep), sweepNow,
			"rejected PUT alice id key size type object err"},
		{"sweep, pending", all(inspected(presign.ErrPending), waitForSweep), sweepNow,
			"pending PUT alice id key size type err"},
		{"sweep, failed", all(inspected(errors.New("fails")), waitForSweep), sweepNow,
			"failed PUT alice id key size type err"},
		{"sweep, expired", all(put, wait(48*time.Hour)), sweepNow,
			"failed PUT alice id key size type err"},
		{"sweep, a foreign object", all(func(t *testing.T, s *observedService) {
			s.put(t, "incoming/foreign.png", "foreign", nil)
		}, waitForSweep), sweepNow, ""},
		{"sweep, a multipart upload", all(parts, wait(8*24*time.Hour)), sweepNow,
			"aborted multipart - key"},
		{"sweep, a multipart upload, failed",
			all(parts, wait(8*24*time.Hour), down("AbortMultipartUpload")), sweepNow,
			"failed multipart - key err"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := new(audit)
				s := &observedService{inspect: accept, finish: accept}
				policy := final()
				policy.Types = []string{"image/*"}
				s.uppy = mount(t, open(t, s3test.New(), policy, presign.WithObserver(a.observe),
					inspects(func(ctx context.Context, o *presign.Object) error {
						return s.inspect(ctx, o)
					}),
					presign.WithOnComplete(func(ctx context.Context, o *presign.Object) error {
						return s.finish(ctx, o)
					})),
					presign.WithAuthorize(authorizeByName))
				s.authenticate(t)
				if c.before != nil {
					c.before(t, s)
				}
				a.take()
				c.act(t, s)
				events := a.take()
				if c.want == "" {
					require.Empty(t, events)
					return
				}
				require.Len(t, events, 1, "%+v", events)
				require.Equal(t, c.want, describe(events[0]), "%+v", events[0])
				requireConsistent(t, s, &events[0])
			})
		})
	}
}

// waitForSweep waits until a sweep may complete an upload.
func waitForSweep(*testing.T, *observedService) { time.Sleep(time.Minute + 2*time.Second) }

// sweepNow sweeps once.
func sweepNow(t *testing.T, s *observedService) { s.Sweep(t.Context()) }

// storeLargePart stores a part that is larger than the grant allows.
func storeLargePart(t *testing.T, s *observedService) {
	s.store.PutPart(s.uploadIDs(t, s.upload.Key)[0], 1, png, 2<<20)
}

// authorizeByName rejects forbidden.png and fails for broken.png.
func authorizeByName(_ *http.Request, u *presign.Upload) error {
	switch u.Filename {
	case "forbidden.png":
		return &presign.Problem{Status: http.StatusForbidden}
	case "broken.png":
		return errors.New("the database is down")
	}
	return nil
}

// authenticate mounts a Handler whose authentication fails for the user
// "outage".
func (s *observedService) authenticate(t *testing.T) {
	t.Helper()
	handler, err := presign.NewHandler(s.Signer, func(r *http.Request) (string, error) {
		if r.Header.Get("X-User") == "outage" {
			return "", errors.New("the session store is down")
		}
		return user(r)
	}, presign.WithUppy(), presign.WithAuthorize(authorizeByName))
	require.NoError(t, err)
	s.handler = http.StripPrefix("/uploads", handler)
}

// describe returns the Kind, Method and Owner of an event, and lists which
// other fields are set.
func describe(e presign.Event) string {
	words := []string{e.Kind, e.Method, e.Owner}
	for i := range words {
		if words[i] == "" {
			words[i] = "-"
		}
	}
	for _, field := range []struct {
		name string
		set  bool
	}{
		{"id", e.GrantID != ""}, {"key", e.Key != ""}, {"size", e.Size != 0},
		{"type", e.Type != ""}, {"object", e.Object != nil}, {"err", e.Err != nil},
		{"request", e.Request != nil},
	} {
		if field.set {
			words = append(words, field.name)
		}
	}
	text := strings.Join(words, " ")
	return text
}

// requireConsistent checks that the fields of an event match each other and the
// grant.
func requireConsistent(t *testing.T, s *observedService, e *presign.Event) {
	t.Helper()
	require.GreaterOrEqual(t, e.Duration, time.Duration(0))
	if e.Object != nil {
		require.Equal(t, e.GrantID, e.Object.GrantID)
		require.Equal(t, e.Owner, e.Object.Owner)
	}
	if e.GrantID != "" && s.grant != nil {
		require.Equal(t, s.grant.GrantID, e.GrantID)
		require.Equal(t, s.grant.Key, e.Key)
	}
	if e.GrantID != "" && s.upload != nil {
		require.Equal(t, s.upload.GrantID, e.GrantID)
		require.Equal(t, s.upload.Key, e.Key)
	}
	if e.Request != nil {
		require.NotEmpty(t, e.Request.URL.Path+e.Request.Method)
	}
	rejected := new(presign.RejectedError)
	require.Equal(t, e.Kind == "rejected", errors.As(e.Err, &rejected))
}

// TestObserverPanics checks that a completion succeeds and the panic is logged
// if an observer panics.
func TestObserverPanics(t *testing.T) {
	u := mount(t, open(t, s3test.New(), final(),
		presign.WithObserver(func(context.Context, presign.Event) { panic("observer") })))
	grant := u.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, false, png, nil)
	var object presign.Object
	u.get(t, "POST", "/complete", `{"key": "`+grant.Key+`"}`, &object)
	require.Equal(t, grant.GrantID, object.GrantID)
	require.Contains(t, u.log.String(), "option=WithObserver")
}

// TestEventsHaveErrorsOfThisPackage checks that the errors in events contain
// the Violations that callers receive.
func TestEventsHaveErrorsOfThisPackage(t *testing.T) {
	a := new(audit)
	u := mount(t, open(t, s3test.New(), final(), presign.WithObserver(a.observe)))
	u.ask("POST", "", `{"filename": "a.exe"}`)
	grant := u.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, false,
		[]byte("<html>"), nil)
	u.ask("POST", "/complete", `{"key": "`+grant.Key+`"}`)
	events := a.take()
	require.Len(t, events, 3)
	require.NotEmpty(t, presign.Violations(events[0].Err))
	require.NotEmpty(t, presign.Violations(events[2].Err))
}
