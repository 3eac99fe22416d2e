package presign_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/test/s3test"
)

// hugePolicy returns a policy for files of up to 1 TiB.
func hugePolicy() presign.Policy {
	policy := final()
	policy.MaxSize = 1 << 40
	return policy
}

// hugeUpload starts a multipart upload of 1 TiB and stores all its parts.
func hugeUpload(t *testing.T, s shop) *presign.Multipart {
	t.Helper()
	m, err := s.StartMultipart(t.Context(),
		presign.Upload{Filename: "a.png", Owner: "alice", Size: 1 << 40})
	require.NoError(t, err)
	id := s.uploadIDs(t, m.Key)[0]
	s.store.PutPart(id, 1, png, 1<<30-int64(len(png)))
	for number := 2; number <= 1024; number++ {
		s.store.PutPart(id, number, nil, 1<<30)
	}
	return m
}

// uploadIDs returns the IDs of the multipart uploads to a key.
func (s shop) uploadIDs(t *testing.T, key string) (ids []string) {
	t.Helper()
	store := objectstore.Store{Client: s.store.S3(), Bucket: s3test.DefaultBucket}
	for u, err := range store.Uploads(t.Context(), key, nil) {
		require.NoError(t, err)
		if u.Key == key {
			ids = append(ids, u.ID)
		}
	}
	return ids
}

// poll asks a Handler to complete an upload until the response is not pending.
// It returns that response and the number of requests.
func poll(t *testing.T, u uppy, key string) (*httptest.ResponseRecorder, int) {
	t.Helper()
	for n := 1; ; n++ {
		started := time.Now()
		w := u.ask("POST", "/complete", `{"key": "`+key+`"}`)
		require.LessOrEqual(t, time.Since(started), 25*time.Second)
		if w.Code != 409 {
			return w, n
		}
		p := requireProblem(t, w, 409)
		require.Equal(t, "pending", p.Errors[0].Code)
		require.EqualValues(t, 5, p.RetryAfter)
		time.Sleep(time.Duration(p.RetryAfter) * time.Second)
	}
}

// TestHugeCopyCompletes checks that a copy that takes many minutes completes
// while the client polls.
func TestHugeCopyCompletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hooked, events atomic.Int32
		store := s3test.New(s3test.WithCopyTime(8*time.Second), s3test.WithHistory())
		u := mount(t, open(t, store, hugePolicy(),
			presign.WithOnComplete(func(context.Context, *presign.Object) error {
				hooked.Add(1)
				return nil
			}),
			presign.WithObserver(func(_ context.Context, e presign.Event) {
				if e.Kind == "completed" {
					require.Nil(t, e.Request)
					events.Add(1)
				}
			})))
		m := hugeUpload(t, u.shop)
		started := time.Now()
		w := u.ask("POST", "/s3/multipart/"+m.ID+"/complete?key="+m.Key, `{"parts": []}`)
		require.Equal(t, 200, w.Code, w.Body)
		require.Equal(t, 25*time.Second, time.Since(started))
		require.NotContains(t, w.Body.String(), "object",
			"the store must have joined the parts but not copied the upload")
		w, polls := poll(t, u, m.Key)
		require.Equal(t, 200, w.Code, w.Body)
		require.Greater(t, polls, 10)
		require.Equal(t, int64(1<<40), decode[presign.Object](t, w).Size)
		require.Less(t, time.Since(started), 15*time.Minute,
			"16 of 1,024 parts must be copied at a time, at 8 s each")
		require.NoError(t, u.Shutdown(t.Context()))
		require.EqualValues(t, 1, hooked.Load())
		require.EqualValues(t, 1, events.Load())
		require.Len(t, store.History().Requests.Of("UploadPartCopy"), 1024)
		require.Equal(t, []string{finalKey(m.Key)}, u.keys())
	})
}

// TestReplicasShareHugeCopies checks that a second replica waits for a
// multipart copy of the first replica, and starts another copy if the first
// replica crashed.
func TestReplicasShareHugeCopies(t *testing.T) {
	for name, crashes := range map[string]bool{
		"first replica lives": false, "first replica crashes": true,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var inspected atomic.Int32
				store := s3test.New(s3test.WithCopyTime(8*time.Second), s3test.WithHistory())
				actors := []*s3test.Actor{store.Actor("one"), store.Actor("two")}
				var replicas []uppy
				for _, actor := range actors {
					replicas = append(replicas,
						mount(t, open(t, store, hugePolicy(), presign.WithStore(actor.S3()),
							inspects(func(context.Context, *presign.Object) error {
								inspected.Add(1)
								return nil
							}))))
				}
				m := hugeUpload(t, replicas[0].shop)
				w := replicas[0].ask("POST", "/s3/multipart/"+m.ID+"/complete?key="+m.Key,
					`{"parts": []}`)
				require.Equal(t, 200, w.Code, w.Body)
				time.Sleep(time.Minute)
				if crashes {
					actors[0].Crash()
				}
				w, _ = poll(t, replicas[1], m.Key)
				require.Equal(t, 200, w.Code, w.Body)
				for _, r := range replicas {
					require.NoError(t, r.Shutdown(t.Context()))
				}
				require.Equal(t, []string{finalKey(m.Key)}, replicas[0].keys())
				require.Empty(t, replicas[0].uploadIDs(t, finalKey(m.Key)))
				requests := store.History().Requests
				if !crashes {
					require.Len(t, requests.Of("CopyObject", "UploadPartCopy"), 1024)
					require.Empty(t, requests.By("two").Of("UploadPartCopy",
						"AbortMultipartUpload"))
					require.EqualValues(t, 1, inspected.Load(),
						"an upload that is being published must not be inspected again")
					return
				}
				require.Len(t, requests.By("two").Of("UploadPartCopy"), 1024,
					"the second replica must copy all parts")
				require.NotEmpty(t, requests.By("two").Of("AbortMultipartUpload"))
				require.EqualValues(t, 2, inspected.Load())
			})
		})
	}
}

// mountSlow mounts a shop whose inspections take the duration wait and return
// result. It also returns the number of inspections.
func mountSlow(
	t *testing.T, wait time.Duration, result error, opts ...presign.SignerOption,
) (uppy, *atomic.Int32) {
	t.Helper()
	inspected := new(atomic.Int32)
	return mount(t, open(t, s3test.New(s3test.WithHistory()), final(),
		append(opts, inspects(func(ctx context.Context, _ *presign.Object) error {
			inspected.Add(1)
			select {
			case <-time.After(wait):
				return result
			case <-ctx.Done():
				return ctx.Err()
			}
		}))...)), inspected
}

// TestRequestsAtOnceShareOneCompletion checks that 20 concurrent requests for
// one key cause one inspection, one copy, one hook call and one event.
func TestRequestsAtOnceShareOneCompletion(t *testing.T) {
	for _, wait := range []time.Duration{0, time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			var hooked, events atomic.Int32
			u, inspected := mountSlow(t, wait, nil,
				presign.WithOnComplete(func(context.Context, *presign.Object) error {
					hooked.Add(1)
					return nil
				}),
				presign.WithObserver(func(_ context.Context, e presign.Event) {
					if e.Kind != "granted" {
						require.Equal(t, "completed", e.Kind)
						events.Add(1)
					}
				}))
			grant := u.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, false, png, nil)
			var objects sync.Map
			var clients sync.WaitGroup
			for i := range 20 {
				clients.Go(func() {
					w, _ := poll(t, u, grant.Key)
					objects.Store(i, decode[presign.Object](t, w))
				})
			}
			clients.Wait()
			require.NoError(t, u.Shutdown(t.Context()))
			for i := range 20 {
				object, _ := objects.Load(i)
				first, _ := objects.Load(0)
				require.Equal(t, first, object)
			}
			require.EqualValues(t, 1, inspected.Load())
			require.EqualValues(t, 1, hooked.Load())
			require.EqualValues(t, 1, events.Load())
			require.Len(t, u.store.History().Requests.Of("CopyObject"), 1)
			require.Equal(t, []string{finalKey(grant.Key)}, u.keys())
		})
	}
}

// TestOtherOwnersDoNotJoin checks that a request of another owner does not join
// a background completion, and does not receive the outcome.
func TestOtherOwnersDoNotJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, _ := mountSlow(t, time.Minute,
			&presign.Violation{Field: "file", Code: "ugly", Detail: "must be pretty"})
		grant := u.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, false, png, nil)
		requireProblem(t, u.ask("POST", "/complete", `{"key": "`+grant.Key+`"}`), 409)
		bob := u
		bob.user = "bob"
		requireProblem(t, bob.ask("POST", "/complete", `{"key": "`+grant.Key+`"}`), 404)
		require.NoError(t, u.Shutdown(t.Context()))
		requireProblem(t, bob.ask("POST", "/complete", `{"key": "`+grant.Key+`"}`), 404)
		requireProblem(t, u.ask("POST", "/complete", `{"key": "`+grant.Key+`"}`), 422)
	})
}

var bubbleOf = regexp.MustCompile(`(?m)^goroutine \d+ \[.*, (synctest bubble \d+)\]:$`)

// goroutines returns the number of goroutines in the caller's bubble. It
// excludes other goroutines because goroutines of earlier tests might still be
// ending.
func goroutines() int {
	stacks := make([]byte, 16<<20)
	stacks = stacks[:runtime.Stack(stacks, true)] // The first stack is the caller's.
	bubble := bubbleOf.FindSubmatch(stacks)[1]
	return bytes.Count(stacks, append(bubble, "]:"...))
}

// TestDisconnectedClientsLeakNoGoroutines checks that, while a copy hangs,
// clients that disconnect leave only the goroutines of the copy.
func TestDisconnectedClientsLeakNoGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := mount(t, open(t, s3test.New(), final()))
		grant := u.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, false, png, nil)
		u.store.Fail(func(operation string, _ *http.Request) s3test.Fault {
			if operation == "CopyObject" {
				return s3test.Hang
			}
			return s3test.None
		})
		before := goroutines()
		ask := func(ctx context.Context) {
			serve(t, u.handler,
				u.request("POST", "/complete", `{"key": "`+grant.Key+`"}`).WithContext(ctx))
		}
		one, cancel := context.WithCancel(t.Context())
		go ask(one)
		synctest.Wait()
		cancel()
		time.Sleep(time.Second)
		alone := goroutines()
		require.Greater(t, alone, before, "the copy must continue")
		all, cancel := context.WithCancel(t.Context())
		for range 100 {
			go ask(all)
		}
		synctest.Wait()
		require.GreaterOrEqual(t, goroutines(), alone+100)
		cancel()
		time.Sleep(time.Second)
		require.LessOrEqual(t, goroutines(), alone)
		require.NoError(t, u.Shutdown(t.Context()))
		require.LessOrEqual(t, goroutines(), before)
	})
}

// TestSlowScanner checks that a client that polls receives the outcome of a
// scan of 60 seconds. A later request through another replica receives status
// 200 or 404.
func TestSlowScanner(t *testing.T) {
	violation := &presign.Violation{Field: "file", Code: "ugly", Detail: "must be pretty"}
	for _, result := range []error{nil, violation} {
		synctest.Test(t, func(t *testing.T) {
			u, inspected := mountSlow(t, time.Minute, result)
			other := mount(t, open(t, u.store, final(),
				inspects(func(context.Context, *presign.Object) error { return result })))
			grant := u.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, false, png, nil)
			started := time.Now()
			w, polls := poll(t, u, grant.Key)
			require.Equal(t, 3, polls)
			require.Equal(t, time.Minute, time.Since(started).Round(time.Minute))
			require.EqualValues(t, 1, inspected.Load())
			if result == nil {
				require.Equal(t, 200, w.Code)
				w, _ = poll(t, other, grant.Key)
				require.Equal(t, 200, w.Code)
				return
			}
			require.Equal(t, "ugly", requireProblem(t, w, 422).Errors[0].Code)
			requireProblem(t, other.ask("POST", "/complete", `{"key": "`+grant.Key+`"}`), 404)
			require.Empty(t, u.store.History().Visible("published/"))
		})
	}
}

// TestKeptRejection checks that a rejection in the background is returned to
// all requests for two minutes.
func TestKeptRejection(t *testing.T) {
	violation := &presign.Violation{Field: "file", Code: "ugly", Detail: "must be pretty"}
	for name, start := range map[string]func(*testing.T, uppy) (key string, path, body string){
		"put": func(t *testing.T, u uppy) (string, string, string) {
			grant := u.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, false, png, nil)
			return grant.Key, "/complete", `{"key": "` + grant.Key + `"}`
		},
		"multipart": func(t *testing.T, u uppy) (string, string, string) {
			s := u.start(t, "a.png", nil)
			etag := u.putPart(t, &presign.Grant{Method: "PUT", URL: u.sign(t, s, 1)}, png)
			return s.Key, u.path(s, "/complete", ""), u.completion([]string{etag})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u, _ := mountSlow(t, time.Minute, violation)
				key, path, body := start(t, u)
				w := u.ask("POST", path, body)
				require.Contains(t, []int{200, 409}, w.Code)
				require.NoError(t, u.Shutdown(t.Context()))
				for range 3 {
					w := u.ask("POST", "/complete", `{"key": "`+key+`"}`)
					require.Equal(t, "ugly", requireProblem(t, w, 422).Errors[0].Code)
				}
				time.Sleep(2*time.Minute - time.Second)
				requireProblem(t, u.ask("POST", "/complete", `{"key": "`+key+`"}`), 422)
				time.Sleep(2 * time.Second)
				requireProblem(t, u.ask("POST", "/complete", `{"key": "`+key+`"}`), 404)
			})
		})
	}
}

// TestKeptOutcomeDoesNotApplyToNextUpload checks that the kept outcome of an
// upload is not returned for a later upload with the same grant.
func TestKeptOutcomeDoesNotApplyToNextUpload(t *testing.T) {
	for _, form := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ugly := append([]byte{}, png...)
			ugly[len(ugly)-1] = 1
			u := mount(t, open(t, s3test.New(), final(),
				inspects(func(ctx context.Context, o *presign.Object) error {
					time.Sleep(time.Minute)
					return scan(func(body []byte) bool { return body[len(body)-1] == 1 })(ctx, o)
				})))
			grant := u.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, form, ugly, nil)
			w, _ := poll(t, u, grant.Key)
			requireProblem(t, w, 422)
			time.Sleep(time.Second)
			u.send(t, grant, png, nil)
			w, polls := poll(t, u, grant.Key)
			require.Equal(t, 200, w.Code, w.Body)
			require.Greater(t, polls, 1)
			require.Equal(t, []string{finalKey(grant.Key)}, u.keys())

			// A later upload is also completed after a success.
			if form {
				time.Sleep(time.Second)
				u.send(t, grant, png, nil)
				w, _ = poll(t, u, grant.Key)
				require.Equal(t, 200, w.Code, w.Body)
				require.Equal(t, []string{finalKey(grant.Key)}, u.keys(),
					"the last upload must be deleted")
			}
		})
	}
}

// TestBackgroundCompletionsAreLimited checks that at most 64 completions run
// without a client. If a client joins one of them, another completion may
// start.
func TestBackgroundCompletionsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var busy atomic.Int32
		u, inspected := mountSlow(t, 5*time.Minute, nil,
			presign.WithObserver(func(_ context.Context, e presign.Event) {
				if e.Err != nil && strings.Contains(e.Err.Error(), "too many completions") {
					busy.Add(1)
				}
			}))
		var keys []string
		for i := range 66 {
			upload := presign.Upload{Filename: fmt.Sprint(i, ".png"), Owner: "alice"}
			keys = append(keys, u.upload(t, upload, false, png, nil).Key)
		}
		ask := func(key string) int { return u.ask("POST", "/complete", `{"key": "`+key+`"}`).Code }
		var clients sync.WaitGroup
		for _, key := range keys[:64] {
			clients.Go(func() { require.Equal(t, 409, ask(key)) })
		}
		clients.Wait()
		w := u.ask("POST", "/complete", `{"key": "`+keys[64]+`"}`)
		require.EqualValues(t, 30, requireProblem(t, w, 503).RetryAfter)
		require.EqualValues(t, 1, busy.Load(), "the observer must receive the rejection")
		require.EqualValues(t, 64, inspected.Load())
		// This client joins the first completion.
		clients.Go(func() { require.Equal(t, 409, ask(keys[0])) })
		synctest.Wait()
		clients.Go(func() { require.Equal(t, 409, ask(keys[65])) })
		clients.Wait()
		require.Equal(t, 503, ask(keys[64]))
		require.NoError(t, u.Shutdown(t.Context()))
		w, _ = poll(t, u, keys[64])
		require.Equal(t, 200, w.Code)
		for _, key := range keys {
			w, _ := poll(t, u, key)
			require.Equal(t, 200, w.Code)
		}
	})
}

// TestShutdown checks that Shutdown waits for background completions, but
// returns if its context ends.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, _ := mountSlow(t, time.Minute, nil)
		require.NoError(t, u.Shutdown(t.Context()),
			"Shutdown must succeed if no completion is running")
		grant := u.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, false, png, nil)
		started := time.Now()
		requireProblem(t, u.ask("POST", "/complete", `{"key": "`+grant.Key+`"}`), 409)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, u.Shutdown(ctx), context.DeadlineExceeded)
		var callers sync.WaitGroup
		for range 3 {
			callers.Go(func() { require.NoError(t, u.Shutdown(t.Context())) })
		}
		callers.Wait()
		require.Equal(t, time.Minute, time.Since(started))
		require.Equal(t, []string{finalKey(grant.Key)}, u.keys(),
			"the upload must be published and deleted")
		require.Error(t, new(presign.Signer).Shutdown(t.Context()))
	})
}

// TestErrorsInTheBackgroundAreLogged checks that a background failure that is
// not returned to a client is logged. A success is not logged.
func TestErrorsInTheBackgroundAreLogged(t *testing.T) {
	for want, result := range map[string]error{
		"":            nil,
		"level=ERROR": errors.New("the scanner is down"),
		"level=INFO":  &presign.Violation{Field: "file", Code: "ugly", Detail: "must be pretty"},
	} {
		synctest.Test(t, func(t *testing.T) {
			u, _ := mountSlow(t, time.Minute, result)
			grant := u.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, false, png, nil)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := u.Complete(ctx, "alice", grant.Key)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NoError(t, u.Shutdown(t.Context()))
			if want == "" {
				require.Empty(t, u.log.String())
				return
			}
			for _, part := range []string{
				want, "owner=alice", "key=" + grant.Key,
				"grant_id=" + grant.GrantID, result.Error(),
			} {
				require.Contains(t, u.log.String(), part)
			}
		})
	}
}

// TestThousandUploads checks that the store, the hook and the events agree on
// 1,000 uploads of every outcome. Clients and notifications complete the
// uploads concurrently through two replicas.
func TestThousandUploads(t *testing.T) {
	uploads := 1000
	if testing.Short() {
		uploads = 200
	}
	outcomes := []string{"honest", "honest", "liar", "ugly", "hook fails once", "pending once",
		"never uploaded", "form"}
	store := s3test.New(s3test.WithHistory())
	a, rows, inspected := new(audit), new(sync.Map), new(sync.Map)
	var replicas []uppy
	for range 2 {
		replicas = append(replicas, mount(t, open(t, store, final(),
			presign.WithObserver(a.observe),
			inspects(func(_ context.Context, o *presign.Object) error {
				_, again := inspected.LoadOrStore(o.GrantID, true)
				switch name, _, _ := strings.Cut(o.Filename, "."); {
				case name == "ugly":
					return &presign.Violation{Field: "file", Code: "ugly", Detail: "must be pretty"}
				case name == "pending once" && !again:
					return presign.ErrPending
				}
				return nil
			}),
			presign.WithOnComplete(func(_ context.Context, o *presign.Object) error {
				_, again := rows.LoadOrStore(o.GrantID, o.Key)
				if strings.HasPrefix(o.Filename, "hook fails once") && !again {
					return errors.New("the response of the database was lost")
				}
				return nil
			}))))
	}
	grants := make([]*presign.Grant, uploads)
	for i := range grants {
		outcome, body := outcomes[i%len(outcomes)], png
		u := presign.Upload{Filename: outcome + ".png", Size: int64(len(png)), Owner: "alice"}
		switch outcome {
		case "liar":
			body = []byte("<html>")
			u.Size = int64(len(body))
		case "form":
			u.Size = 0
		}
		if outcome == "never uploaded" {
			var err error
			grants[i], err = replicas[0].Put(t.Context(), u)
			require.NoError(t, err)
			continue
		}
		grants[i] = replicas[i%2].upload(t, u, outcome == "form", body, nil)
	}
	var workers sync.WaitGroup
	for part := range 8 {
		workers.Go(func() {
			for i := part / 2; i < uploads; i += 4 {
				if replica := replicas[i/2%2]; part%2 == 0 {
					for range 2 { // The client repeats the request.
						replica.ask("POST", "/complete", `{"key": "`+grants[i].Key+`"}`)
					}
				} else {
					for range 2 { // The queue delivers the message twice.
						_ = replicas[1-i/2%2].CompleteNotification(t.Context(),
							document(s3test.DefaultBucket, grants[i].Key))
					}
				}
			}
		})
	}
	workers.Wait()
	for _, replica := range replicas {
		require.NoError(t, replica.Shutdown(t.Context()))
	}

	published, reported, rejected := make(map[string]bool), make(map[string]bool),
		make(map[string]bool)
	names := make(map[string]string)
	for _, g := range grants {
		names[finalKey(g.Key)] = g.GrantID
	}
	for _, key := range replicas[0].keys() {
		require.Contains(t, key, "published/", "all uploads must be published or deleted")
		require.Contains(t, names, key)
		published[names[key]] = true
	}
	for _, e := range a.take() {
		switch e.Kind {
		case "completed", "repeated":
			reported[e.GrantID] = true
			require.Equal(t, e.GrantID, names[e.Object.Key])
		case "rejected":
			rejected[e.GrantID] = true
		}
	}
	written := make(map[string]bool)
	rows.Range(func(id, key any) bool {
		require.Equal(t, id, names[key.(string)])
		written[id.(string)] = true
		return true
	})
	require.Equal(t, published, reported)
	require.Equal(t, published, written)
	require.Len(t, published, uploads*5/8, "all honest uploads must be published")
	require.Len(t, rejected, uploads*2/8)
	for id := range rejected {
		require.NotContains(t, published, id)
	}
	for _, state := range store.History().Visible("published/") {
		require.Equal(t, png, state.Body)
	}
}
