package presign_test

import (
	"bytes"
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
	"github.com/s3presign/presign/internal/sniff"
	"github.com/s3presign/presign/internal/test/conformance"
	"github.com/s3presign/presign/internal/test/s3test"
)

// awsName is the host of a store that is known to honor the conditions of
// copies.
const awsName = "s3.us-east-1.amazonaws.com"

// A climate describes a kind of store and the headers of the policy.
type climate struct {
	name    string
	options []s3test.Option
	headers map[string]string

	// deceptive is set if different content can have the same ETag. A
	// completion then compares only size and beginning.
	deceptive bool
	honest    bool // whether the store honors all conditions
}

var kms = map[string]string{"x-amz-server-side-encryption": "aws:kms"}

var climates = []climate{
	{name: "strict", honest: true},
	{name: "AWS", options: []s3test.Option{s3test.WithHost(awsName)}, honest: true},
	{name: "versions", options: []s3test.Option{s3test.WithVersioning()}, honest: true},
	{name: "careless", options: []s3test.Option{s3test.WithoutConditions()}},
	{name: "careless source", options: []s3test.Option{
		s3test.WithoutConditions(s3test.CopySource), s3test.WithQuirks(s3test.NoChecksums),
	}},
	{name: "KMS", headers: kms, honest: true},
	{name: "careless KMS", options: []s3test.Option{s3test.WithoutConditions()}, headers: kms},
	{name: "equal ETags", options: []s3test.Option{
		s3test.WithQuirks(s3test.SizeETags),
	}, deceptive: true},
	{name: "equal ETags, AWS", options: []s3test.Option{
		s3test.WithHost(awsName), s3test.WithQuirks(s3test.SizeETags),
	}, deceptive: true},
	{name: "equal ETags, careless", options: []s3test.Option{
		s3test.WithoutConditions(), s3test.WithQuirks(s3test.SizeETags),
	}, deceptive: true},
}

// picture returns a picture of 5,000 bytes with a changed byte at an index.
func picture(at int) []byte {
	body := append(bytes.Clone(png), make([]byte, 5000-len(png))...)
	body[at]++
	return body
}

// The bodies of schedules. The first body of a pair is uploaded first.
var (
	collisionOne, collisionTwo = s3test.Collision("the same suffix")

	goodBody  = picture(4999)
	evilBody  = append([]byte("<script>alert(1)</script>"), make([]byte, 5000-25)...)
	swapPairs = map[string][2][]byte{
		"equal beginnings":   {goodBody, picture(4998)},
		"unequal beginnings": {goodBody, picture(100)},
		"another size":       {goodBody, append(picture(100), 0)},
		"evil":               {goodBody, evilBody},
		"MD5 collision":      {collisionOne, collisionTwo},
	}
)

// A writer describes how the body of an upload is replaced.
type writer struct {
	name    string
	replace bool
	form    bool
	other   bool // whether another user uploads, under the same fixed key
}

var writers = []writer{
	{name: "form", form: true},
	{name: "form, fixed key", form: true, replace: true},
	{name: "PUT, fixed key", replace: true},
	{name: "PUT of another user", replace: true, other: true},
}

// A schedule swaps the body before given requests of the completion.
type schedule struct {
	climate
	writer
	bodies [2][]byte
	swaps  []int // numbers of requests, from 1
}

func (s schedule) String() string {
	return fmt.Sprintf("%s; %s; %.20q; swaps before %v", s.climate.name, s.writer.name,
		s.bodies[1][:40], s.swaps)
}

// An observation is a body that an actor has received.
type observation struct {
	by   string
	body []byte
	at   s3test.Moment
}

// TestSchedules checks that only verified content is published and passed to
// hooks if a client swaps the body during the completion. The body is swapped
// between any two requests, once or twice.
//
// An unverified copy may exist on a store that ignores conditions, or if ETags
// collide. The request after the comparison must delete the copy.
func TestSchedules(t *testing.T) {
	var mu sync.Mutex
	count, longest := 0, 0
	for _, climate := range climates {
		t.Run(climate.name, func(t *testing.T) {
			t.Parallel()
			for _, w := range writers {
				for name, bodies := range swapPairs {
					for first, requests := 1, 1; first <= requests; first++ {
						schedules := [][]int{{first}, {first, first + 1}, {first, first + 3}}
						switch {
						case climate.deceptive && name == "MD5 collision",
							w.name != "form" && name == "another size":
							continue // Another schedule covers this case.
						case w.name != "form":
							schedules = schedules[:1]
						}
						for _, swaps := range schedules {
							s := schedule{climate, w, bodies, swaps}
							synctest.Test(t, func(t *testing.T) {
								n := s.run(t)
								if len(swaps) == 1 {
									requests = n
								}
							})
							require.False(t, t.Failed(), "%s: %v", name, s)
							mu.Lock()
							count++
							longest = max(longest, requests)
							mu.Unlock()
						}
					}
				}
			}
		})
	}
	t.Cleanup(func() {
		require.Greater(t, count, 1000)
		require.Greater(t, longest, 8, "some schedules must make a completion start again")
		t.Logf("%d schedules of up to %d requests", count, longest)
	})
}

// run completes an upload while its body is swapped. It returns the number of
// requests.
func (s schedule) run(t *testing.T) int {
	options := []s3test.Option{s3test.WithHistory(), s3test.WithTick(time.Millisecond)}
	store := s3test.New(append(options, s.options...)...)
	policy := final()
	policy.Types = []string{"*/*"}
	policy.Replace = s.replace
	policy.Headers = s.headers
	var received []observation
	observe := func(by string, o *presign.Object) {
		stored, ok := store.Object(s3test.DefaultBucket, o.Key)
		require.True(t, ok, "%v: %s: %v", s, by, store.History().Requests)
		require.Equal(t, stored.ETag, o.ETag, "%v: %s", s, by)
		require.Equal(t, "alice", o.Owner)
		received = append(received, observation{by, stored.Body, store.Now()})
	}
	onComplete := func(_ context.Context, o *presign.Object) error {
		observe("hook", o)
		return nil
	}
	shop := open(t, store, policy, presign.WithStore(store.Actor("service").S3()),
		presign.WithOnComplete(onComplete))
	u := presign.Upload{Filename: "a.png", Type: "image/png", Owner: "alice"}
	if !bytes.Equal(s.bodies[0], goodBody) {
		u.Filename, u.Type = "a.bin", "application/octet-stream"
	}
	if s.replace {
		u.Key = "incoming/fixed"
	}
	mallory := store.Actor("mallory").Instant().HTTPClient()
	grants := s.signGrants(t, shop, u)
	upload := func(i int) {
		response, err := conformance.New(grants[i], "file", s.bodies[i]).Send(mallory)
		require.NoError(t, err)
		require.True(t, response.Accepted(), "%v", response)
	}
	upload(0)
	var mu sync.Mutex // guards read and requests
	requests, current := 0, 0
	var read []observation
	store.Intercept(s3test.Hook{After: func(r s3test.Request, _ *http.Request) s3test.Fault {
		if stored, ok := store.Object(r.Bucket, r.Key); ok && r.Actor == "service" &&
			r.Operation == "GetObject" && r.Key == grants[0].Key {
			mu.Lock()
			defer mu.Unlock()
			read = append(read, observation{r.Actor, stored.Body, store.Now()})
		}
		return s3test.None
	}, Before: func(r s3test.Request, _ *http.Request) s3test.Fault {
		if r.Actor == "service" {
			mu.Lock()
			requests++
			number := requests
			mu.Unlock()
			for _, at := range s.swaps {
				if at == number {
					current = 1 - current
					upload(current)
				}
			}
		}
		return s3test.None
	}})
	object, err := shop.Complete(t.Context(), "alice", grants[0].Key)
	store.Intercept(s3test.Hook{})
	if err == nil {
		observe("caller", object)
	}
	h := store.History()
	s.requireOutcome(t, err, h)
	s.requireVerified(t, h, read, received)
	return requests
}

// signGrants returns the grants for the two bodies. A client can use a form for
// both.
func (s schedule) signGrants(t *testing.T, shop shop, u presign.Upload) [2]*presign.Grant {
	t.Helper()
	sign := func(u presign.Upload, body []byte) *presign.Grant {
		if s.form {
			grant, err := shop.Post(t.Context(), u)
			require.NoError(t, err)
			return grant
		}
		u.Size = int64(len(body))
		grant, err := shop.Put(t.Context(), u)
		require.NoError(t, err)
		return grant
	}
	first := sign(u, s.bodies[0])
	if s.form && !s.other {
		return [2]*presign.Grant{first, first}
	}
	if s.other {
		u.Owner = "bob"
	}
	return [2]*presign.Grant{first, sign(u, s.bodies[1])}
}

// requireOutcome checks that a completion succeeded or rejected the upload. Two
// swaps can invalidate only two of the three attempts of a completion. If
// another user uploads, the completion may also return ErrNotUploaded.
func (s schedule) requireOutcome(t *testing.T, err error, h s3test.History) {
	t.Helper()
	switch {
	case err == nil, len(presign.Violations(err)) > 0:
	case s.other && errors.Is(err, presign.ErrNotUploaded):
	default:
		require.NoError(t, err, "%v\n%v", s, h.Requests)
	}
}

// requireVerified checks that a completion had read every body before a hook or
// caller received it, and before it was published.
func (s schedule) requireVerified(
	t *testing.T, h s3test.History, read, received []observation,
) {
	t.Helper()
	isVerified := func(body []byte, at s3test.Moment) bool {
		for _, r := range read {
			same := bytes.Equal(r.body, body)
			if s.deceptive {
				head := min(len(body), sniff.Head)
				same = len(r.body) == len(body) && bytes.Equal(r.body[:head], body[:head])
			}
			if same && r.at.Step < at.Step && !bytes.Equal(body, evilBody) {
				return true
			}
		}
		return false
	}
	for _, o := range received {
		require.True(t, isVerified(o.body, o.at),
			"%v: the %s must not receive an unverified body\n%v", s, o.by, h.Requests)
	}
	collides := s.deceptive || bytes.Equal(s.bodies[0], collisionOne)
	for _, state := range h.Visible("published/") {
		if isVerified(state.Body, state.From) {
			continue
		}
		require.False(t, s.honest && !collides,
			"%v: an unverified copy must not be visible\n%v", s, h.Requests)
		require.NotZero(t, state.EndedBy,
			"%v: an unverified copy must be deleted\n%v", s, h.Requests)
		deletion := h.Requests[state.EndedBy-1]
		require.Equal(t, "DeleteObject", deletion.Operation)
		copied := h.Requests[state.MadeBy-1]
		require.LessOrEqual(t, deletion.End-copied.End, int64(3),
			"%v: an unverified copy must be deleted after the comparison\n%v", s, h.Requests)
	}
}

// TestTornCopies checks that active content is not passed to a hook, and is not
// published after a later completion. The first completion crashes after each
// of its requests in turn, and the body is swapped before one of these
// requests. The check includes stores that ignore conditions.
func TestTornCopies(t *testing.T) {
	count := 0
	for _, options := range [][]s3test.Option{
		nil, {s3test.WithoutConditions()}, {s3test.WithVersioning()}, {s3test.WithHost(awsName)},
	} {
		for name, bodies := range swapPairs {
			if name == "MD5 collision" {
				// A published file is compared only with its stamp, which has
				// size, MD5 and beginning.
				continue
			}
			for crash := 1; crash <= 5; crash++ {
				for swap := 1; swap <= crash; swap++ {
					for _, wait := range []time.Duration{0, 2 * time.Second} {
						synctest.Test(t, func(t *testing.T) {
							crashAndComplete(t, options, bodies, swap, crash, wait)
						})
						count++
					}
				}
			}
		}
	}
	require.Greater(t, count, 300)
}

// crashAndComplete swaps the body before request swap of a completion, crashes
// the completion after request crash, and completes the upload again.
func crashAndComplete(
	t *testing.T, options []s3test.Option, bodies [2][]byte, swap, crash int, wait time.Duration,
) {
	common := []s3test.Option{s3test.WithHistory(), s3test.WithTick(time.Millisecond)}
	store := s3test.New(append(common, options...)...)
	policy := final()
	policy.Types = []string{"*/*"}
	var received [][]byte
	replica := func(actor string) shop {
		onComplete := func(_ context.Context, o *presign.Object) error {
			stored, ok := store.Object(s3test.DefaultBucket, o.Key)
			require.True(t, ok)
			received = append(received, stored.Body)
			return nil
		}
		return open(t, store, policy, presign.WithStore(store.Actor(actor).S3()),
			presign.WithOnComplete(onComplete))
	}
	first, second := replica("first"), replica("second")
	grant, err := first.Post(t.Context(),
		presign.Upload{Filename: "a.png", Type: "image/png", Owner: "alice"})
	require.NoError(t, err)
	upload := func(body []byte) {
		client := store.Actor("mallory").Instant().HTTPClient()
		response, err := conformance.New(grant, "file", body).Send(client)
		require.NoError(t, err)
		require.True(t, response.Accepted())
	}
	upload(bodies[0])
	var mu sync.Mutex // guards read and requests
	var read [][]byte
	requests := 0
	store.Intercept(s3test.Hook{Before: func(r s3test.Request, _ *http.Request) s3test.Fault {
		if r.Actor == "first" {
			mu.Lock()
			requests++
			n := requests
			mu.Unlock()
			if n == swap {
				time.Sleep(wait)
				upload(bodies[1])
			}
			if n == crash {
				return s3test.CrashAfter
			}
		}
		return s3test.None
	}, After: func(r s3test.Request, _ *http.Request) s3test.Fault {
		if stored, ok := store.Object(r.Bucket, r.Key); ok && r.Operation == "GetObject" &&
			r.Key == grant.Key {
			mu.Lock()
			read = append(read, stored.Body)
			mu.Unlock()
		}
		return s3test.None
	}})
	_, _ = first.Complete(t.Context(), "alice", grant.Key)
	time.Sleep(wait)
	_, err = second.Complete(t.Context(), "alice", grant.Key)
	h := store.History()
	if err != nil && len(presign.Violations(err)) == 0 {
		require.ErrorIs(t, err, presign.ErrNotUploaded,
			"swap before %d, crash after %d\n%v", swap, crash, h.Requests)
	}
	for _, body := range received {
		require.False(t, bytes.Equal(body, evilBody))
	}
	published := h.Visible("published/")
	for _, state := range published {
		require.False(t, bytes.Equal(state.Body, evilBody) && state.EndedBy == 0,
			"swap before %d, crash after %d\n%v", swap, crash, h.Requests)
	}
	if last := len(published) - 1; err == nil {
		require.Zero(t, published[last].EndedBy)
		require.Contains(t, read, published[last].Body,
			"swap before %d, crash after %d\n%v", swap, crash, h.Requests)
	}
}

// TestUnverifiedCopyIsDeletedFirst checks that an unverified copy is deleted if
// its upload is rejected, expired or pending. The copy must be deleted before
// the upload. Without the upload, the copy looks like a file that the service
// has rewritten.
func TestUnverifiedCopyIsDeletedFirst(t *testing.T) {
	deleted := map[string][]string{
		"rejected": {"published/", "incoming/"}, "expired sweep": {"published/", "incoming/"},
		"expired call": {"published/"}, "pending": {"published/"},
	}
	for name, want := range deleted {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := s3test.New(s3test.WithHistory(), s3test.WithoutConditions())
				policy := final()
				policy.Types = []string{"*/*"}
				inspecting := inspects(func(context.Context, *presign.Object) error { return nil })
				body := evilBody
				if name == "pending" {
					inspecting = inspects(func(context.Context, *presign.Object) error { return presign.ErrPending })
					body = append(bytes.Clone(png), 9)
				}
				first := open(t, store, policy, presign.WithStore(store.Actor("first").S3()), inspects(func(context.Context, *presign.Object) error { return nil }))
				second := open(t, store, policy, presign.WithStore(store.Actor("second").S3()), inspecting)
				grant, err := first.Post(t.Context(), presign.Upload{Filename: "a.png", Type: "image/png", Owner: "alice"})
				require.NoError(t, err)
				first.send(t, grant, png, nil)
				crashing := true
				store.Intercept(s3test.Hook{Before: func(r s3test.Request, _ *http.Request) s3test.Fault {
					if r.Operation != "CopyObject" || !crashing {
						return s3test.None
					}
					crashing = false
					first.send(t, grant, body, nil)
					return s3test.CrashAfter
				}})
				_, err = first.Complete(t.Context(), "alice", grant.Key)
				require.Error(t, err)
				require.Contains(t, first.keys(), finalKey(grant.Key))

				if strings.HasPrefix(name, "expired") {
					time.Sleep(8 * 24 * time.Hour)
				}
				if name == "expired sweep" {
					require.NoError(t, second.Sweep(t.Context()))
				} else {
					_, err = second.Complete(t.Context(), "alice", grant.Key)
					require.Error(t, err)
				}
				var prefixes []string
				for _, r := range store.History().Requests.Of("DeleteObject") {
					prefix, _, _ := strings.Cut(r.Key, "/")
					prefixes = append(prefixes, prefix+"/")
				}
				require.Equal(t, want, prefixes)
			})
		})
	}
}

// TestUnverifiedCopyBesideEarlierRead checks that a completion recognizes an
// unverified copy after an earlier read. The completion has read the key before
// a client replaced the upload, or before the upload existed.
func TestUnverifiedCopyBesideEarlierRead(t *testing.T) {
	for _, found := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			store := s3test.New(s3test.WithoutConditions())
			policy := final()
			policy.Types = []string{"*/*"}
			first := open(t, store, policy, presign.WithStore(store.Actor("first").S3()))
			second := open(t, store, policy, presign.WithStore(store.Actor("second").S3()),
				presign.WithOnComplete(func(context.Context, *presign.Object) error {
					t.Error("a hook must not receive an unverified copy")
					return nil
				}))
			grant, err := first.Post(t.Context(),
				presign.Upload{Filename: "a.png", Type: "image/png", Owner: "alice"})
			require.NoError(t, err)

			read, copied, done := make(chan bool), make(chan bool), make(chan error, 1)
			var once sync.Once
			complete := func() {
				_, err := second.Complete(t.Context(), "alice", grant.Key)
				done <- err
			}
			store.Intercept(s3test.Hook{
				Before: func(r s3test.Request, _ *http.Request) s3test.Fault {
					switch {
					case r.Actor == "second" && r.Key == finalKey(grant.Key):
						<-copied
					case r.Operation == "CopyObject" && r.Actor == "first":
						if found {
							go complete()
							<-read
						}
						first.send(t, grant, evilBody, nil)
						return s3test.CrashAfter
					}
					return s3test.None
				},
				After: func(r s3test.Request, _ *http.Request) s3test.Fault {
					if r.Actor == "second" && r.Key == grant.Key {
						once.Do(func() { close(read) })
					}
					return s3test.None
				},
			})
			if !found {
				go complete()
				<-read
			}
			time.Sleep(time.Second)
			first.send(t, grant, png, nil)
			time.Sleep(time.Second)
			_, err = first.Complete(t.Context(), "alice", grant.Key)
			require.Error(t, err)
			close(copied)
			require.NotEmpty(t, presign.Violations(<-done))
			require.Empty(t, first.keys())
		})
	}
}
