package presign_test

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/test/s3test"
)

// modelOption parses an environment variable, or value if the variable is
// empty.
func modelOption[T any](t *testing.T, name, value string, parse func(string) (T, error)) T {
	parsed, err := parse(cmp.Or(os.Getenv(name), value))
	require.NoError(t, err, name)
	return parsed
}

// TestModel runs random programs of clients, attackers, replicas, crashes and
// faults. It checks that the history of the store and the hook calls keep every
// promise.
//
// PRESIGN_MODEL_TIME sets the duration of the test. PRESIGN_MODEL_SEED sets the
// seed of the first program; each later program has the next seed.
func TestModel(t *testing.T) {
	limit := modelOption(t, "PRESIGN_MODEL_TIME", "3s", time.ParseDuration)
	first := modelOption(t, "PRESIGN_MODEL_SEED", "1", func(s string) (uint64, error) {
		return strconv.ParseUint(s, 10, 64)
	})
	started := time.Now()
	seed := first
	for ; seed == first || time.Since(started) < limit; seed++ {
		p := generate(seed)
		failure, _ := run(t, p)
		if failure == "" {
			continue
		}
		found := time.Since(started)
		kind, _, _ := strings.Cut(failure, ":")
		small := shrink(p, func(p program) bool {
			failure, _ := run(t, p)
			return strings.HasPrefix(failure, kind+":")
		})
		failure, trace := run(t, small)
		require.FailNow(t, failure,
			"program %d, found after %v, shrunk from %d to %d steps, for TestModelPrograms:\n%s\ntrace:\n%s",
			seed-first+1, found.Round(time.Millisecond), len(p.steps), len(small.steps), small,
			trace)
	}
	t.Logf("%d programs, seeds %d to %d", seed-first, first, seed-1)
}

// TestModelPrograms checks that modelPrograms break no promise.
func TestModelPrograms(t *testing.T) {
	for name, text := range modelPrograms {
		t.Run(name, func(t *testing.T) {
			p, err := parseProgram(text)
			require.NoError(t, err)
			require.Equal(t, strings.TrimSpace(text), strings.TrimSpace(p.String()))
			failure, trace := run(t, p)
			require.Empty(t, failure, trace)
		})
	}
}

// TestModelIsDeterministic checks that a program has one outcome. It also
// checks that programs publish, have faults, and upload files that are
// rejected.
func TestModelIsDeterministic(t *testing.T) {
	var all strings.Builder
	for seed := range uint64(20) {
		failure, trace := run(t, generate(seed))
		require.Empty(t, failure, trace)
		_, again := run(t, generate(seed))
		before, after := strings.Split(trace, "\n"), strings.Split(again, "\n")
		for i := range min(len(before), len(after)) {
			if strings.Contains(before[i], ": shutdown of ") {
				// Shutdown and the last completion can end in either order.
				continue
			}
			require.Equal(t, before[i], after[i], "line %d of seed %d", i, seed)
		}
		require.Len(t, after, len(before))
		all.WriteString(trace)
	}
	for _, part := range []string{
		"hook received published/", "CompleteMultipartUpload", ": 409 ", ": 422 ", ": 404 ",
		": 502 ",
	} {
		require.Contains(t, all.String(), part)
	}
}

// run runs a program in its own bubble. It returns a description of the first
// broken promise, or "", and a trace of the run.
func run(t *testing.T, p program) (failure, trace string) {
	synctest.Test(t, func(t *testing.T) {
		cryptotest.SetGlobalRandom(t, p.world.seed)
		s := newSim(p.world)
		for _, step := range p.steps {
			s.perform(step)
		}
		ended, sweeps := s.settle()
		c := &checker{sim: s, history: s.store.History()}
		c.published = c.history.Visible("published/")
		c.pending = c.history.Visible("incoming/")
		failure, trace = c.check(ended, sweeps), c.trace()
	})
	return failure, trace
}

// A checker checks the history of a run against the promises.
type checker struct {
	*sim
	history            s3test.History
	published, pending []s3test.State
}

// trace describes the requests, files, hook calls and calls of a run.
func (c *checker) trace() string {
	var b strings.Builder
	b.WriteString(c.history.Requests.String())
	for _, s := range slices.Concat(c.pending, c.published) {
		kind := "?"
		if f := c.files[string(s.Body)]; f != nil {
			kind = fmt.Sprintf("%s of grant %d", f.kind, f.grant.label)
		}
		fmt.Fprintf(&b, "%s [steps %d-%d] by %s: %s\n", s, s.From.Step, s.Until.Step,
			c.actor(s.MadeBy), kind)
	}
	for _, e := range c.reports {
		fmt.Fprintf(&b, "hook received %s %s of %s at step %d\n", e.Key, e.ETag, e.GrantID, e.step)
	}
	for _, call := range c.calls {
		label := -1
		if call.grant != nil {
			label = call.grant.label
		}
		fmt.Fprintf(&b, "call %d: %s of grant %d for %q, steps %d-%d: %d %v\n",
			call.number, call.what, label, call.owner, call.start, call.end, call.status, call.err)
	}
	return b.String()
}

// actor returns the name of the actor that made a request.
func (c *checker) actor(number int) string {
	if number == 0 {
		return "service"
	}
	return c.history.Requests[number-1].Actor
}

func (c *checker) isReplica(number int) bool {
	return strings.HasPrefix(c.actor(number), "replica")
}

// check describes the first broken promise, or returns "". The first word of
// the description names the promise.
func (c *checker) check(ended bool, sweeps []error) string {
	if !ended {
		return "liveness: every call must end"
	}
	for _, err := range sweeps {
		if err != nil && !c.keepsTaken() {
			return fmt.Sprintf("sweep: a sweep must succeed while the store works, got %v", err)
		}
	}
	if c.left > 0 && !c.keepsTaken() {
		return fmt.Sprintf("left: no upload must remain after the sweep, got %d", c.left)
	}
	if n := c.uploads(); n > 0 {
		return fmt.Sprintf("left: no multipart upload must remain after the sweep, got %d", n)
	}
	for _, check := range []func() string{
		c.checkVisible, c.checkReports, c.checkKept, c.checkPending, c.checkDeleted, c.checkHonest,
		c.checkCalls,
	} {
		if failure := check(); failure != "" {
			return failure
		}
	}
	return ""
}

// keepsTaken reports whether an upload may remain because the service has
// changed or deleted the published file under the fixed key.
func (c *checker) keepsTaken() bool {
	return len(c.touched) > 0 && c.touched["published/chosen.png"]
}

// fileOf returns the file of a state, or nil if no client uploaded the content.
func (c *checker) fileOf(s s3test.State) *file { return c.files[string(s.Body)] }

// isVerified reports whether a state under FinalPrefix may be visible. The
// service may store any object there.
func (c *checker) isVerified(s s3test.State) bool {
	f := c.fileOf(s)
	switch {
	case c.rewrites[string(s.Body)]:
		// With versions, a rewritten file can become the current version again.
		return true
	case !c.isReplica(s.MadeBy):
		return c.actor(s.MadeBy) == "service"
	case f == nil || f.grant.final() != s.Key:
		return false
	case f.kind == "html" || f.kind == "large":
		return false
	case !f.grant.inspected:
		return true
	}
	return slices.ContainsFunc(c.accepted, func(a hookCall) bool {
		return a.GrantID == f.grant.id && a.body == string(s.Body) && a.step < s.From.Step
	})
}

// mayTear reports whether an unverified copy can be visible until it is
// compared. This is a documented limit of stores without versions. The limit
// applies if the store ignores the condition on the source of a copy, or if
// other content satisfies the condition.
func (c *checker) mayTear() bool {
	return !c.world.has(versions) &&
		(c.world.ignores(s3test.CopySource) || c.world.has(sizeETags) || c.world.has(noParts))
}

// wasNotCompared reports whether an unverified copy remains because its maker
// could not read it, and an upload of another grant has replaced the verified
// upload. The copy then looks like a file that the service has rewritten.
func (c *checker) wasNotCompared(s s3test.State) bool {
	f := c.fileOf(s)
	made := slices.IndexFunc(c.log, func(l loggedRequest) bool {
		return l.step >= s.From.Step && l.key == s.Key && l.operation == "PUT"
	})
	if !c.mayTear() || !c.mayOverwrite() || f == nil || f.grant.random || made < 0 {
		return false
	}
	maker := c.log[made].call
	return !slices.ContainsFunc(c.log[made:], func(l loggedRequest) bool {
		return l.call == maker && l.operation == "GET" && l.key == s.Key && !l.faulty
	})
}

// checkVisible checks that every visible file was verified for its grant and,
// if the Signer inspects, was inspected.
func (c *checker) checkVisible() string {
	for _, s := range c.published {
		if c.isVerified(s) {
			continue
		}
		if s.Until.Step > c.store.Now().Step && !c.wasNotCompared(s) {
			return fmt.Sprintf("visible: %v must be verified or deleted", s)
		}
		if !c.mayTear() {
			return fmt.Sprintf("visible: %v must be verified", s)
		}
	}
	return ""
}

// checkReports checks that hooks received only files that were verified and
// visible, with the owner of the grant.
func (c *checker) checkReports() string {
	for _, e := range c.reports {
		var matching, now []s3test.State
		for _, s := range c.published {
			if s.Key != e.Key || s.ETag != e.ETag || s.VersionID != e.VersionID ||
				s.From.Step > e.step {
				continue
			}
			f := c.fileOf(s)
			if c.isVerified(s) &&
				(!c.isReplica(s.MadeBy) || f != nil && (f.grant.id == e.GrantID || c.collides(f))) {
				matching = append(matching, s)
			}
			if s.Exists(s3test.Moment{Step: e.step}) {
				now = append(now, s)
			}
		}
		if len(matching) == 0 || len(now) > 0 && !c.isVerified(now[0]) {
			return fmt.Sprintf(
				"hook: %s %s of grant %s must be verified and visible at step %d",
				e.Key, e.ETag, e.GrantID, e.step)
		}
		if e.call != nil && e.call.owner != "" && e.call.owner != e.Owner {
			return fmt.Sprintf("owner: %s must not complete an upload of %s",
				e.call.owner, e.Owner)
		}
	}
	return ""
}

// collides reports whether a copy can have this file instead of the verified
// file of another grant for the same key. This requires that one upload can
// replace another upload with the same ETag, and that no inspection reads the
// files.
func (c *checker) collides(f *file) bool {
	return c.world.has(sizeETags) && !c.world.has(versions) && c.mayOverwrite() &&
		!f.grant.random && !f.grant.inspected
}

// deletesCollision reports whether the replica that ended a published file has
// made an earlier copy with the same ETag. The replica deletes its own copy by
// the ETag, which does not distinguish the two files.
func (c *checker) deletesCollision(s s3test.State) bool {
	if !c.world.has(sizeETags) || c.world.has(versions) {
		return false
	}
	return slices.ContainsFunc(c.published, func(p s3test.State) bool {
		return p.Key == s.Key && p.ETag == s.ETag && p.Until.Step <= s.From.Step &&
			c.actor(p.MadeBy) == c.actor(s.EndedBy)
	})
}

// reportedState reports whether a hook received a state before a step.
func (c *checker) reportedState(s s3test.State, before int64) bool {
	return slices.ContainsFunc(c.reports, func(e hookCall) bool {
		return e.Key == s.Key && e.ETag == s.ETag && e.VersionID == s.VersionID &&
			e.step >= s.From.Step && e.step < before
	})
}

// checkKept checks that published files are never deleted, and are replaced
// only by uploads of later grants under Replace.
func (c *checker) checkKept() string {
	for i, s := range c.published {
		own := !c.isReplica(s.MadeBy)
		if !c.isVerified(s) || s.EndedBy == 0 || !c.isReplica(s.EndedBy) ||
			!own && !c.reportedState(s, s.Until.Step) || c.looksTorn(s) {
			continue
		}
		request := c.history.Requests[s.EndedBy-1]
		if request.Operation == "DeleteObject" {
			if c.deletesCollision(s) || c.world.ignores("DeleteObject") && !c.sawBefore(s, request) {
				continue // The request to delete was for the object that was replaced meanwhile.
			}
			return fmt.Sprintf("kept: %v must not be deleted by %v", s, request)
		}
		j := slices.IndexFunc(c.published, func(n s3test.State) bool {
			return n.Key == s.Key && n.From.Step == s.Until.Step
		})
		if j < 0 {
			return fmt.Sprintf("kept: %v must not be ended by %v", s, request)
		}
		if reason := c.mayReplace(i, j, request); reason != "" {
			return fmt.Sprintf("kept: %v must not be replaced by %v, %s", s, c.published[j], reason)
		}
	}
	return ""
}

// mayReplace returns the reason why published file j must not replace file i,
// or "".
func (c *checker) mayReplace(i, j int, request s3test.Request) string {
	was := c.published[i]
	before, after := c.fileOf(was), c.fileOf(c.published[j])
	if (c.world.ignores("CopyObject") || c.world.has(noOnce)) && !c.sawBefore(was, request) {
		return "" // If two copies are published at once, the later copy wins.
	}
	if c.world.has(sizeETags) && !c.sawBefore(was, request) {
		return "" // The call cannot detect a file with the ETag that it has read.
	}
	switch {
	case after == nil:
		return "which no client uploaded"
	case !c.world.has(replaces):
		return "without Replace"
	case was.Metadata["presign"] == "" && !after.grant.random:
		return "" // The order of the two grants is unknown.
	case before == nil && after.grant.random:
		return "since the service has rewritten the file"
	case before == nil:
		return ""
	case after.grant.issued.Before(before.grant.issued):
		return "which was granted earlier"
	}
	return ""
}

// looksTorn reports whether a rewritten file with its stamp looks like an
// unverified copy. Such a copy exists if another upload replaced the verified
// upload just before a process copied the upload and ended. The next completion
// replaces or deletes the copy.
//
// This is a limit of stores that are not known to honor conditions. The file
// must be rewritten within seconds of its publication, and the grant must be
// used again at about that time.
func (c *checker) looksTorn(was s3test.State) bool {
	// A completion that has read the same content with the stamp cannot detect
	// that the stamp is gone.
	stamped := slices.ContainsFunc(c.published, func(s s3test.State) bool {
		return s.Key == was.Key && s.ETag == was.ETag && s.Metadata["presign"] != "" &&
			s.From.Step <= was.From.Step
	})
	if c.world.has(amazon) || !stamped || c.isReplica(was.MadeBy) {
		return false
	}
	const near = 12 * time.Second
	return slices.ContainsFunc(c.published, func(p s3test.State) bool {
		return p.Key == was.Key && c.isReplica(p.MadeBy) &&
			was.LastModified.Sub(p.LastModified) < near &&
			slices.ContainsFunc(c.pending, func(u s3test.State) bool {
				return finalKey(u.Key) == was.Key && p.LastModified.Sub(u.LastModified) < near &&
					!u.LastModified.After(was.LastModified)
			})
	})
}

// sawBefore reports whether the call that ended a state had read its key after
// the state appeared.
func (c *checker) sawBefore(s s3test.State, request s3test.Request) bool {
	made := slices.IndexFunc(c.log, func(l loggedRequest) bool {
		return l.step >= s.Until.Step && l.key == s.Key
	})
	if made < 0 {
		return false
	}
	maker := c.log[made].call
	return slices.ContainsFunc(c.log[:made], func(l loggedRequest) bool {
		return l.call == maker && (l.operation == "GET" || l.operation == "HEAD") &&
			l.key == s.Key && l.step > s.From.Step && !l.faulty
	})
}

// checkPending checks that, without Replace, an upload of one grant does not
// replace an upload of another grant.
func (c *checker) checkPending() string {
	if c.world.has(replaces) || c.world.ignores("PutObject") ||
		c.world.ignores("CompleteMultipartUpload") {
		return ""
	}
	for _, s := range c.pending {
		for _, n := range c.pending {
			if n.Key != s.Key || n.From.Step != s.Until.Step || n.MadeBy != s.EndedBy ||
				c.history.Requests[n.MadeBy-1].Operation == "DeleteObject" {
				continue
			}
			before, after := c.fileOf(s), c.fileOf(n)
			if before == nil || after == nil || before.grant != after.grant {
				return fmt.Sprintf(
					"pending: %v must not be replaced by %v, an upload of another grant", s, n)
			}
		}
	}
	return ""
}

// honest returns the content of the only file uploaded with a grant, if the
// file is valid.
func (c *checker) honest(g *grantRecord) (body string, ok bool) {
	for _, s := range c.pending {
		f := c.fileOf(s)
		if f == nil || f.grant != g {
			continue
		}
		if body != "" && body != string(s.Body) || f.kind != "end" && f.kind != "beginning" {
			return "", false
		}
		body = string(s.Body)
	}
	return body, body != ""
}

// wasOvertaken reports whether another file was published under the final key
// of a grant before a step.
func (c *checker) wasOvertaken(g *grantRecord, before int64) bool {
	if c.touched[g.final()] || g.random {
		return c.touched[g.final()]
	}
	return slices.ContainsFunc(c.published, func(s s3test.State) bool {
		f := c.fileOf(s)
		return s.Key == g.final() && (f == nil || f.grant != g) && s.From.Step < before
	})
}

// checkDeleted checks that an honest upload is deleted only after a hook
// received it.
func (c *checker) checkDeleted() string {
	if c.late {
		return ""
	}
	for _, s := range c.pending {
		f := c.fileOf(s)
		if f == nil || s.EndedBy == 0 || !c.isReplica(s.EndedBy) ||
			c.history.Requests[s.EndedBy-1].Operation != "DeleteObject" {
			continue
		}
		if _, ok := c.honest(f.grant); !ok || c.wasOvertaken(f.grant, s.Until.Step) {
			continue
		}
		// The request to delete was for the upload that this upload has overwritten.
		if !f.grant.random && c.mayOverwrite() && (c.world.ignores("DeleteObject") || c.overwroteCollision(s)) {
			continue
		}
		if !c.reportedGrant(f.grant, s.Until.Step) {
			return fmt.Sprintf("deleted: %v must not be deleted before a hook receives it", s)
		}
	}
	return ""
}

// overwroteCollision reports whether an upload has replaced another upload with
// the same ETag. Without versions, conditions do not distinguish the uploads.
func (c *checker) overwroteCollision(s s3test.State) bool {
	return c.world.has(sizeETags) && !c.world.has(versions) && slices.ContainsFunc(c.pending, func(p s3test.State) bool {
		return p.Key == s.Key && p.ETag == s.ETag && p.Until.Step == s.From.Step
	})
}

// reportedGrant reports whether a hook received an object of a grant before a
// step.
func (c *checker) reportedGrant(g *grantRecord, before int64) bool {
	return slices.ContainsFunc(c.reports, func(e hookCall) bool {
		return e.GrantID == g.id && e.step < before
	})
}

// checkHonest checks that every honest upload is published in the end, and that
// a hook received it.
func (c *checker) checkHonest() string {
	now := c.store.Now().Step + 1
	for _, g := range c.grants {
		body, ok := c.honest(g)
		if !ok || c.late {
			continue
		}
		if !c.reportedGrant(g, now) && !c.wasOvertaken(g, now) {
			if !g.random && c.mayOverwrite() {
				continue
			}
			return fmt.Sprintf("honest: a hook must receive the upload of grant %d", g.label)
		}
		o, visible := c.store.Object(s3test.DefaultBucket, g.final())
		if (!visible || string(o.Body) != body) && !c.wasOvertaken(g, now) {
			return fmt.Sprintf("honest: the upload of grant %d must be published", g.label)
		}
	}
	return ""
}

// mayOverwrite reports whether another upload may replace a pending upload
// under the same key.
func (c *checker) mayOverwrite() bool {
	return c.world.has(replaces) || c.world.ignores("PutObject") ||
		c.world.ignores("CompleteMultipartUpload")
}

// checkCalls checks the results of calls.
func (c *checker) checkCalls() string {
	for _, call := range c.calls {
		g := call.grant
		if call.replica == nil || call.replica.crashed || !call.done {
			continue
		}
		noInspector := !call.replica.inspect && c.world.has(withInspect)
		if call.status == http.StatusBadGateway && !call.replica.faulty {
			return fmt.Sprintf(
				"needless: call %d of %s must not return 502 while the store works: %v",
				call.number, call.what, call.err)
		}
		if call.status == http.StatusInternalServerError && !call.replica.faulty && !c.failed &&
			!noInspector {
			return fmt.Sprintf("needless: call %d of %s must not return 500: %v",
				call.number, call.what, call.err)
		}
		if call.what != "complete" && call.what != "job" {
			continue
		}
		if call.status == http.StatusOK && !slices.ContainsFunc(c.reports, func(e hookCall) bool {
			return e.GrantID == call.object.GrantID && e.step <= call.end &&
				(call.owner == "" || e.Owner == call.owner)
		}) && !c.late {
			return fmt.Sprintf("result: call %d must not return an object that no hook received",
				call.number)
		}
		if call.owner != "" && call.owner != g.owner || c.late || !g.random {
			continue
		}
		reached := slices.ContainsFunc(c.pending, func(s s3test.State) bool {
			f := c.fileOf(s)
			return f != nil && f.grant == g && s.From.Step <= call.start
		})
		if _, ok := c.honest(g); ok && reached && !c.wasOvertaken(g, 0) {
			switch call.status {
			case http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusGone:
				return fmt.Sprintf("result: call %d must not return %d for an honest upload: %v",
					call.number, call.status, call.err)
			}
		}
	}
	return ""
}
