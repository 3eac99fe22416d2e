package presign_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/conformance"
	"github.com/s3presign/presign/internal/test/s3test"
)

// A diary records requests to the store and calls of hooks, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

// note adds a line.
func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

// take returns the lines since the last call.
func (d *diary) take() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	lines := d.lines
	d.lines = nil
	return lines
}

// watch records the requests that change objects.
func (d *diary) watch(store *s3test.Server) {
	store.Intercept(s3test.Hook{After: func(r s3test.Request, _ *http.Request) s3test.Fault {
		switch r.Operation {
		case "PutObject", "CopyObject", "DeleteObject":
			d.note("%s %s %d", r.Operation, strings.SplitAfter(r.Key, "/")[0], r.Status)
		}
		return s3test.None
	}})
}

// inspects returns WithInspect with f.
func inspects(f func(context.Context, *presign.Object) error) presign.SignerOption {
	return presign.WithInspect(f)
}

// accept is a hook that accepts every upload.
func accept(context.Context, *presign.Object) error { return nil }

// scan returns a hook that reads an upload and rejects the upload if reject
// returns true for its content.
func scan(reject func(body []byte) bool) func(context.Context, *presign.Object) error {
	return func(ctx context.Context, o *presign.Object) error {
		body, err := o.Open(ctx)
		if err != nil {
			return err
		}
		defer body.Close()
		b, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		if reject(b) {
			return &presign.Violation{Field: "file", Code: "ugly", Detail: "must be pretty"}
		}
		return nil
	}
}

// A noteWriter records the response when its header is written.
type noteWriter struct {
	http.ResponseWriter
	diary *diary
}

// WriteHeader implements http.ResponseWriter.
func (w noteWriter) WriteHeader(status int) {
	w.diary.note("response %d", status)
	w.ResponseWriter.WriteHeader(status)
}

// TestHooksRunInOrder checks that inspection, publication, WithOnComplete,
// response and deletion have the expected order, for every outcome of the
// hooks.
func TestHooksRunInOrder(t *testing.T) {
	violation := &presign.Violation{Field: "file", Code: "ugly", Detail: "must be pretty"}
	secretError := errors.New("the scanner at 10.0.0.1 is down")
	for _, c := range []struct {
		name                 string
		inspect, finish      func(context.Context, *presign.Object) error
		status               int
		want                 []string
		kept, published, log bool
		body                 []string
	}{
		{"accepted", accept, accept, 200,
			[]string{"inspect", "CopyObject published/ 200", "complete", "response 200",
				"DeleteObject incoming/ 204"}, false, true, false, nil},
		{"rejected", func(context.Context, *presign.Object) error { return violation }, accept, 422,
			[]string{"inspect", "DeleteObject incoming/ 204", "response 422"}, false, false, true,
			[]string{`"ugly"`}},
		{"two violations", func(context.Context, *presign.Object) error {
			return errors.Join(violation, violation)
		}, accept, 422,
			[]string{"inspect", "DeleteObject incoming/ 204", "response 422"}, false, false, true,
			[]string{`"ugly"`}},
		{"a violation joined with a timeout", func(context.Context, *presign.Object) error {
			return errors.Join(violation, context.DeadlineExceeded)
		}, accept, 500, []string{"inspect", "response 500"}, true, false, true, nil},
		{"a wrapped violation and a failure", func(context.Context, *presign.Object) error {
			return fmt.Errorf("%w: %w", violation, secretError)
		}, accept, 500, []string{"inspect", "response 500"}, true, false, true, nil},
		{"pending", func(context.Context, *presign.Object) error {
			return presign.ErrPending
		}, accept, 409,
			[]string{"inspect", "response 409"}, true, false, true,
			[]string{`"pending"`, `"retry_after":5`}},
		{"pending, wrapped", func(context.Context, *presign.Object) error {
			return fmt.Errorf("in the queue of 10.0.0.1: %w", presign.ErrPending)
		}, accept, 409, []string{"inspect", "response 409"}, true, false, true,
			[]string{`"pending"`}},
		{"failed", func(context.Context, *presign.Object) error { return secretError }, accept, 500,
			[]string{"inspect", "response 500"}, true, false, true, nil},
		{"the errors of this package", func(context.Context, *presign.Object) error {
			return presign.ErrNotUploaded
		}, accept, 500,
			[]string{"inspect", "response 500"}, true, false, true, nil},
		{"a problem", func(context.Context, *presign.Object) error {
			return &presign.Problem{Status: 507, Detail: "full"}
		}, accept, 507,
			[]string{"inspect", "response 507"}, true, false, true, []string{"full"}},
		{"panic", func(context.Context, *presign.Object) error { panic("10.0.0.1") }, accept, 500,
			[]string{"inspect", "response 500"}, true, false, true, nil},
		{"Goexit", func(context.Context, *presign.Object) error { runtime.Goexit(); return nil },
			accept, 500,
			[]string{"inspect", "response 500"}, true, false, true, nil},
		{"not finished", accept, func(context.Context, *presign.Object) error {
			return secretError
		}, 500,
			[]string{"inspect", "CopyObject published/ 200", "complete", "response 500"}, true,
			true, true, nil},
		{"not finished, with a violation", accept, func(context.Context, *presign.Object) error {
			return violation
		}, 500,
			[]string{"inspect", "CopyObject published/ 200", "complete", "response 500"}, true,
			true, true, nil},
		{"not finished, with a problem", accept, func(context.Context, *presign.Object) error {
			return &presign.Problem{Status: 507, Detail: "full"}
		}, 507, []string{"inspect", "CopyObject published/ 200", "complete", "response 507"}, true,
			true, true, []string{"full"}},
		{"not finished, panic", accept, func(context.Context, *presign.Object) error {
			panic("10.0.0.1")
		}, 500,
			[]string{"inspect", "CopyObject published/ 200", "complete", "response 500"}, true,
			true, true, nil},
		{"a reply", accept, func(_ context.Context, o *presign.Object) error {
			o.Reply = map[string]int{"id": 7}
			return nil
		}, 200,
			[]string{"inspect", "CopyObject published/ 200", "complete", "response 200",
				"DeleteObject incoming/ 204"}, false, true, false,
			[]string{`"reply":{"id":7}`}},
		{"a reply that does not marshal", accept, func(_ context.Context, o *presign.Object) error {
			o.Reply = func() {}
			return nil
		}, 500,
			[]string{"inspect", "CopyObject published/ 200", "complete", "response 500"}, true,
			true, true, nil},
		{"a reply that panics", accept, func(_ context.Context, o *presign.Object) error {
			o.Reply = panicking{}
			return nil
		}, 500,
			[]string{"inspect", "CopyObject published/ 200", "complete", "response 500"}, true,
			true, true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := new(diary)
			inspect, finish := c.inspect, c.finish
			u := mount(t, open(t, s3test.New(), final(),
				inspects(func(ctx context.Context, o *presign.Object) error {
					d.note("inspect")
					return inspect(ctx, o)
				}),
				presign.WithOnComplete(func(ctx context.Context, o *presign.Object) error {
					d.note("complete")
					return finish(ctx, o)
				})))
			grant := u.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, false, png, nil)
			d.watch(u.store)
			complete := func() (int, string) {
				w := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					u.handler.ServeHTTP(noteWriter{w, d}, r)
				}), u.request("POST", "/complete", `{"key": "`+grant.Key+`"}`))
				body := w.Body.String()
				if w.Code != 200 {
					requireProblem(t, w, w.Code)
				}
				return w.Code, body
			}
			status, body := complete()
			require.Equal(t, c.status, status)
			for _, part := range c.body {
				require.Contains(t, body, part)
			}
			require.Equal(t, c.want, d.take())
			_, kept := u.store.Object(s3test.DefaultBucket, grant.Key)
			require.Equal(t, c.kept, kept)
			_, published := u.store.Object(s3test.DefaultBucket, finalKey(grant.Key))
			require.Equal(t, c.published, published)
			require.Equal(t, c.log, u.log.Len() > 0, u.log)
			if strings.Contains(strings.ToLower(c.name), "panic") {
				require.Contains(t, u.log.String(), "stack=", "the stack must be logged")
				require.Contains(t, u.log.String(), "presign_hooks_test.go")
			}

			inspect, finish = accept, accept
			status, _ = complete()
			switch {
			case c.kept: // The upload can be completed again and is then deleted.
				require.Equal(t, 200, status)
				require.Equal(t, []string{finalKey(grant.Key)}, u.keys())
			case c.published:
				require.Equal(t, 200, status)
				require.Equal(t, []string{"complete", "response 200"}, d.take(),
					"a repeated completion must not inspect the object")
			default:
				require.Equal(t, 404, status)
			}
		})
	}
}

// A panicking value is a reply whose marshaling panics.
type panicking struct{}

// MarshalJSON implements json.Marshaler.
func (panicking) MarshalJSON() ([]byte, error) { panic("marshaling") }

// TestHookResponses checks that a client receives the expected response if a
// hook fails.
func TestHookResponses(t *testing.T) {
	const failed = `{"type":"about:blank","title":"Internal Server Error","status":500,` +
		`"message":"Internal Server Error"}`
	for name, c := range map[string]struct {
		inspect, finish func(context.Context, *presign.Object) error
		want            string
	}{
		"violation": {func(context.Context, *presign.Object) error {
			return &presign.Violation{Field: "file", Code: "ugly", Detail: "must be pretty"}
		}, accept, `{"type":"about:blank","title":"Unprocessable Entity","status":422,` +
			`"errors":[{"field":"file","code":"ugly","detail":"must be pretty"}],` +
			`"message":"file must be pretty"}`},
		"failure": {func(context.Context, *presign.Object) error {
			return errors.New("10.0.0.1")
		}, accept, failed},
		"panic": {accept, func(context.Context, *presign.Object) error {
			panic("10.0.0.1")
		}, failed},
		"no inspector": {nil, accept, failed},
	} {
		t.Run(name, func(t *testing.T) {
			store := s3test.New()
			granting := open(t, store, final(), inspects(accept))
			grant := granting.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"},
				false, png, nil)
			opts := []presign.SignerOption{presign.WithOnComplete(c.finish)}
			if c.inspect != nil {
				opts = append(opts, inspects(c.inspect))
			}
			u := mount(t, open(t, store, final(), opts...))
			w := u.ask("POST", "/complete", `{"key": "`+grant.Key+`"}`)
			require.Equal(t, c.want, w.Body.String())
			require.NotEmpty(t, u.log.String())
		})
	}
}

// TestHandlerReturnsViolationsOfCompletion checks that the client receives the
// violations of a completion, whatever their field.
func TestHandlerReturnsViolationsOfCompletion(t *testing.T) {
	for _, field := range []string{"key", "redirect", "metadata", "content"} {
		u := mount(t, open(t, s3test.New(), final(),
			presign.WithInspect(func(context.Context, *presign.Object) error {
				return &presign.Violation{
					Field: field, Code: "invalid", Detail: "must be acceptable",
				}
			})))
		grant := u.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, false, png, nil)
		p := requireProblem(t, u.ask("POST", "/complete", `{"key": "`+grant.Key+`"}`), 422)
		require.Equal(t, field, p.Errors[0].Field)
		require.Empty(t, u.keys())
	}

	store := s3test.New()
	loose, once := direct(), direct()
	loose.Replace = true
	grant := open(t, store, loose).upload(t,
		presign.Upload{Key: "incoming/fixed.png", Owner: "alice"}, false, png, nil)
	p := requireProblem(t, mount(t, open(t, store, once)).ask("POST", "/complete",
		`{"key": "`+grant.Key+`"}`), 422)
	require.Equal(t, "not_allowed", p.Errors[0].Code)
}

// TestCompleteRequiresInspect checks that a Signer without WithInspect does not
// complete an upload whose grant requires an inspection.
func TestCompleteRequiresInspect(t *testing.T) {
	for _, form := range []bool{false, true} {
		for _, policy := range []presign.Policy{final(), direct()} {
			store := s3test.New(s3test.WithHistory())
			granting := open(t, store, policy, inspects(accept))
			called := 0
			plain := open(t, store, policy, presign.WithOnComplete(
				func(context.Context, *presign.Object) error { called++; return nil }))
			grant := granting.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"},
				form, png, nil)
			_, err := plain.Complete(t.Context(), "alice", grant.Key)
			require.EqualError(t, err,
				"presign: the grant requires an inspection, but this Signer has no WithInspect")
			require.Equal(t, 500, presign.ProblemOf(err).Status)
			require.Zero(t, called)
			require.Empty(t, store.History().Visible("published/"))

			_, err = granting.Complete(t.Context(), "alice", grant.Key)
			require.NoError(t, err)
			_, err = plain.Complete(t.Context(), "alice", grant.Key)
			if policy.FinalPrefix != "" {
				require.NoError(t, err, "a published object must not be inspected again")
			} else {
				require.Error(t, err, "an upload that might have been replaced must be inspected")
			}
		}
	}
}

// TestCompleteInspectsUploadsOfOtherSigners checks that a Signer with
// WithInspect inspects uploads whose grant does not require an inspection.
func TestCompleteInspectsUploadsOfOtherSigners(t *testing.T) {
	store := s3test.New()
	plain := open(t, store, final())
	called := 0
	inspecting := open(t, store, final(),
		inspects(func(context.Context, *presign.Object) error { called++; return nil }))
	grant := plain.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, false, png, nil)
	_, err := inspecting.Complete(t.Context(), "alice", grant.Key)
	require.NoError(t, err)
	require.Equal(t, 1, called)
}

// TestHooksAreNotCalled checks that hooks do not run for uploads that are
// missing, that belong to another owner or that fail verification.
func TestHooksAreNotCalled(t *testing.T) {
	fail := func(context.Context, *presign.Object) error { panic("called") }
	s := open(t, s3test.New(), final(), inspects(fail), presign.WithOnComplete(fail))
	valid := s.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, false, png, nil)
	mismatched := s.upload(t, presign.Upload{Filename: "b.png", Owner: "alice"}, false,
		[]byte("<html>"), nil)
	s.put(t, "incoming/stranger.png", "no stamp", nil)
	for _, c := range []struct {
		owner, key string
		want       error
	}{
		{"bob", valid.Key, presign.ErrNotUploaded},
		{"alice", "incoming/none.png", presign.ErrNotUploaded},
		{"alice", "incoming/stranger.png", presign.ErrNotUploaded},
		{"alice", "published/a.png", presign.ErrNotUploaded},
	} {
		_, err := s.Complete(t.Context(), c.owner, c.key)
		require.ErrorIs(t, err, c.want)
	}
	_, err := s.Complete(t.Context(), "alice", mismatched.Key)
	require.ErrorAs(t, err, new(*presign.RejectedError))
	require.NotContains(t, s.log.String(), "panic")
}

// TestHookContexts checks that the contexts of hooks continue after the
// caller's context ends, keep its values, and end after their own time limit.
func TestHookContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var inspected, finished time.Duration
		wait := func(ctx context.Context, d *time.Duration) error {
			started := time.Now()
			<-ctx.Done()
			*d = time.Since(started)
			return nil
		}
		s := open(t, s3test.New(), direct(),
			inspects(func(ctx context.Context, _ *presign.Object) error {
				require.Equal(t, "value", ctx.Value(valueKey{}))
				return wait(ctx, &inspected)
			}),
			presign.WithOnComplete(func(ctx context.Context, _ *presign.Object) error {
				require.Equal(t, "value", ctx.Value(valueKey{}))
				return wait(ctx, &finished)
			}))
		grant := s.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, false, png, nil)
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), valueKey{}, "value"),
			time.Second)
		defer cancel()
		_, err := s.Complete(ctx, "alice", grant.Key)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, s.Shutdown(t.Context()))
		require.Equal(t, 10*time.Minute, inspected)
		require.Equal(t, 30*time.Second, finished)
	})
}

type valueKey struct{}

// TestHooksInTheBackground checks that a hook that panics or ends its goroutine
// in the background fails only its own completion.
func TestHooksInTheBackground(t *testing.T) {
	type optionFunc = func(func(context.Context, *presign.Object) error) presign.SignerOption
	for name, end := range map[string]func(){
		"panic": func() { panic("the hook") }, "Goexit": runtime.Goexit,
	} {
		for _, option := range []optionFunc{presign.WithInspect, presign.WithOnComplete} {
			synctest.Test(t, func(t *testing.T) {
				bad := ""
				u := mount(t, open(t, s3test.New(), final(),
					option(func(_ context.Context, o *presign.Object) error {
						time.Sleep(time.Minute)
						if o.GrantID == bad {
							end()
						}
						return nil
					})))
				one := u.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"},
					false, png, nil)
				two := u.upload(t, presign.Upload{Filename: "b.png", Owner: "alice"},
					false, png, nil)
				bad = one.GrantID
				for _, grant := range []*presign.Grant{one, two} {
					requireProblem(t, u.ask("POST", "/complete", `{"key": "`+grant.Key+`"}`), 409)
				}
				require.NoError(t, u.Shutdown(t.Context()))
				require.Contains(t, u.log.String(), "level=ERROR")
				require.Contains(t, u.log.String(), "grant_id="+one.GrantID)
				if name == "panic" {
					require.Contains(t, u.log.String(), "stack=")
				}
				bad = ""
				var object presign.Object
				u.get(t, "POST", "/complete", `{"key": "`+two.Key+`"}`, &object)
				require.Equal(t, two.GrantID, object.GrantID)
				requireProblem(t, u.ask("POST", "/complete", `{"key": "`+one.Key+`"}`), 409)
				require.NoError(t, u.Shutdown(t.Context()))
				u.get(t, "POST", "/complete", `{"key": "`+one.Key+`"}`, &object)
				require.Equal(t, one.GrantID, object.GrantID)
			})
		}
	}
}

// TestObjectOpen checks that Open returns the bytes of exactly one version.
func TestObjectOpen(t *testing.T) {
	read := func(t *testing.T, o *presign.Object) (string, error) {
		t.Helper()
		body, err := o.Open(t.Context())
		if err != nil {
			return "", err
		}
		defer body.Close()
		b, err := io.ReadAll(body)
		require.NoError(t, err)
		return string(b), nil
	}
	for _, versions := range []bool{false, true} {
		for _, body := range []string{"h", "hello", strings.Repeat("long ", 10_000)} {
			policy := final()
			policy.Types = []string{"text/plain"}
			var options []s3test.Option
			if versions {
				options = append(options, s3test.WithVersioning())
			}
			var inspected, finished string
			s := open(t, s3test.New(options...), policy,
				inspects(func(_ context.Context, o *presign.Object) (err error) {
					inspected, err = read(t, o)
					return err
				}),
				presign.WithOnComplete(func(_ context.Context, o *presign.Object) (err error) {
					finished, err = read(t, o)
					return err
				}))
			grant := s.upload(t, presign.Upload{Filename: "a.txt", Owner: "alice"}, true,
				[]byte(body), nil)
			object, err := s.Complete(t.Context(), "alice", grant.Key)
			require.NoError(t, err)
			got, err := read(t, object)
			require.NoError(t, err)
			require.Equal(t, []string{body, body, body}, []string{inspected, finished, got})

			s.put(t, object.Key, strings.ToUpper(body), nil)
			got, err = read(t, object)
			if versions {
				require.NoError(t, err)
				require.Equal(t, body, got)
			} else {
				require.ErrorIs(t, err, presign.ErrChanged)
			}
		}
	}
	for _, o := range []*presign.Object{nil, {}, {Key: "published/a.txt"}} {
		_, err := o.Open(t.Context())
		require.EqualError(t, err, "presign: the Object must come from a completion")
	}
}

// A pair holds two files with the same ETag.
type pair struct{ pretty, ugly []byte }

// collidingPair holds files that differ near their start and have the same MD5.
var collidingPair = func() (p pair) { p.pretty, p.ugly = s3test.Collision("\n"); return p }()

// latePair holds files that differ after the bytes that a completion reads. The
// files have equal ETags in a store with SizeETags.
var latePair = pair{[]byte(strings.Repeat("a", 6000) + "b"),
	[]byte(strings.Repeat("a", 5900) + strings.Repeat("c", 101))}

// scanStart returns a hook that reads an upload except its last ten bytes,
// calls next, and rejects ugly bytes.
func scanStart(
	next func(context.Context, *presign.Object) error,
) func(context.Context, *presign.Object) error {
	return func(ctx context.Context, o *presign.Object) error {
		body, err := o.Open(ctx)
		if err != nil {
			return err
		}
		defer body.Close()
		start := make([]byte, o.Size-10)
		if _, err := io.ReadFull(body, start); err != nil {
			return err
		}
		if err := next(ctx, o); err != nil {
			return err
		}
		if isUgly(start) {
			return &presign.Violation{Field: "file", Code: "ugly", Detail: "must be pretty"}
		}
		return nil
	}
}

// TestCompletePublishesOnlyInspectedFiles checks that a client that replaces
// its upload during a completion cannot publish a rejected file, even if both
// files have the same ETag. The client replaces the upload before each request
// of the completion in turn, and restores it before the next request.
func TestCompletePublishesOnlyInspectedFiles(t *testing.T) {
	policy := final()
	policy.Types = []string{"application/octet-stream"}
	reading := map[string]func(context.Context, *presign.Object) error{
		"whole": scan(isUgly),
		"twice": func(ctx context.Context, o *presign.Object) error {
			if err := scan(isUgly)(ctx, o); err != nil {
				return err
			}
			// A hook might read the file again to compute a digest.
			return scan(func([]byte) bool { return false })(ctx, o)
		},
		"the start":            scanStart(accept),
		"the start, and whole": scanStart(scan(func([]byte) bool { return false })),
	}
	for name, inspect := range reading {
		for kind, c := range map[string]struct {
			form, versions, replace bool
			store                   []s3test.Option
		}{
			"put":                {},
			"put, no conditions": {store: []s3test.Option{s3test.WithoutConditions()}},
			"put, replace":       {replace: true},
			"put, replace, no conditions": {
				replace: true, store: []s3test.Option{s3test.WithoutConditions()},
			},
			"put, versions": {
				versions: true, replace: true, store: []s3test.Option{s3test.WithVersioning()},
			},
			"form":                {form: true},
			"form, no conditions": {form: true, store: []s3test.Option{s3test.WithoutConditions()}},
			"form, no checksums": {
				form: true, store: []s3test.Option{s3test.WithQuirks(s3test.NoChecksums)},
			},
			"form, versions": {
				form: true, versions: true, store: []s3test.Option{s3test.WithVersioning()},
			},
		} {
			for similar, files := range map[string]pair{
				"colliding": collidingPair, "late": latePair,
			} {
				t.Run(strings.Join([]string{name, kind, similar}, ", "), func(t *testing.T) {
					for turn, met := 1, true; met; turn++ {
						options := append([]s3test.Option{s3test.WithHistory()}, c.store...)
						if similar == "late" {
							options = append(options, s3test.WithQuirks(s3test.SizeETags))
						}
						p := policy
						p.Replace = c.replace
						r := replacement{store: s3test.New(options...), files: files, form: c.form}
						r.visible = !c.versions && (c.form || c.replace ||
							kind == "put, no conditions")
						met = r.run(t, p, inspect, turn)
					}
				})
			}
		}
	}
}

// TestInspectorReadsTwoFiles checks that a file that is replaced between the
// reads of one hook is not published, even if the hook accepts it.
func TestInspectorReadsTwoFiles(t *testing.T) {
	start := scanStart(accept)
	ignore := scan(func([]byte) bool { return false })
	type hookFunc = func(_ context.Context, _ *presign.Object, replace func(body []byte)) error
	for name, hook := range map[string]hookFunc{
		"the start": func(ctx context.Context, o *presign.Object, replace func([]byte)) error {
			defer replace(latePair.ugly)
			return start(ctx, o)
		},
		"the start, and another file": func(
			ctx context.Context, o *presign.Object, replace func([]byte),
		) error {
			if err := start(ctx, o); err != nil {
				return err
			}
			replace(latePair.ugly)
			return ignore(ctx, o)
		},
		"two files": func(ctx context.Context, o *presign.Object, replace func([]byte)) error {
			replace(latePair.ugly)
			if err := ignore(ctx, o); err != nil {
				return err
			}
			replace(latePair.pretty)
			defer replace(latePair.ugly)
			return scan(isUgly)(ctx, o)
		},
	} {
		t.Run(name, func(t *testing.T) {
			policy := final()
			policy.Types = []string{"application/octet-stream"}
			store := s3test.New(s3test.WithQuirks(s3test.SizeETags))
			var grant *presign.Grant
			var s shop
			calls := 0
			s = open(t, store, policy, inspects(func(ctx context.Context, o *presign.Object) error {
				calls++
				return hook(ctx, o, func(body []byte) {
					if calls == 1 {
						s.send(t, grant, body, nil)
					}
				})
			}))
			grant = s.upload(t, presign.Upload{Filename: "a.bin", Owner: "alice"}, true,
				latePair.pretty, nil)
			_, err := s.Complete(t.Context(), "alice", grant.Key)
			o, _ := store.Object(s3test.DefaultBucket, finalKey(grant.Key))
			require.False(t, isUgly(o.Body), "%v", err)
			require.Error(t, err)
			require.Greater(t, calls, 1)
		})
	}
}

// isUgly reports whether body is the ugly file of a pair. Up to ten bytes at
// the end of body can be missing.
func isUgly(body []byte) bool {
	for _, p := range []pair{collidingPair, latePair} {
		if len(body) >= len(p.ugly)-10 && bytes.HasPrefix(p.ugly, body) {
			return true
		}
	}
	return false
}

// A replacement is an upload that is replaced during its completion.
type replacement struct {
	store *s3test.Server
	files pair
	form  bool

	// visible is set if a copy of the ugly file may exist until the completion
	// returns: the client can replace the upload, and the store has no
	// versions.
	visible bool
}

// run replaces the upload with the ugly file before the nth request of its
// completion, and restores it before the next request. It reports whether the
// completion made n requests.
func (r replacement) run(
	t *testing.T, policy presign.Policy, inspect func(context.Context, *presign.Object) error,
	n int,
) bool {
	t.Helper()
	var completed [][]byte
	s := open(t, r.store, policy, inspects(inspect),
		presign.WithOnComplete(func(ctx context.Context, o *presign.Object) error {
			body, err := o.Open(ctx)
			if err != nil {
				return err
			}
			defer body.Close()
			b, err := io.ReadAll(body)
			completed = append(completed, b)
			return err
		}))
	grant := s.upload(t, presign.Upload{Filename: "a.bin", Owner: "alice"}, r.form,
		r.files.pretty, nil)
	var mu sync.Mutex
	count, busy := 0, false
	r.store.Intercept(s3test.Hook{Before: func(s3test.Request, *http.Request) s3test.Fault {
		mu.Lock()
		defer mu.Unlock()
		if busy {
			return s3test.None
		}
		count++
		if count != n && count != n+1 {
			return s3test.None
		}
		body := r.files.ugly
		if count == n+1 {
			body = r.files.pretty
		}
		busy = true
		mu.Unlock()
		// The store might reject the replacement.
		_, _ = conformance.New(grant, "file", body).Send(r.store.HTTPClient())
		mu.Lock()
		busy = false
		return s3test.None
	}})
	_, err := s.Complete(t.Context(), "alice", grant.Key)
	r.store.Intercept(s3test.Hook{})
	history := r.store.History()
	about := fmt.Sprintf("replaced at request %d: %v\n%v", n, err, history.Requests)
	for _, body := range completed {
		require.False(t, isUgly(body), about)
	}
	published := "published/" + strings.TrimPrefix(grant.Key, "incoming/")
	o, _ := r.store.Object(s3test.DefaultBucket, published)
	require.False(t, isUgly(o.Body), about)
	for _, state := range history.Visible("published/") {
		require.True(t, r.visible || !isUgly(state.Body), about)
	}
	return count >= n
}
