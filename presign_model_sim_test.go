package presign_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/s3test"
)

const replicaCount = 3

var (
	owners = []string{"alice", "bob", "mallory"}

	// kinds are the kinds of files:
	//   - end, beginning: valid files that differ in their last or first bytes
	//   - html: a file of another type
	//   - virus: a file that only an inspection rejects
	//   - large: a file that is too large
	//   - again: the first file of the grant
	kinds = []string{"end", "beginning", "html", "virus", "large", "again"}

	pauses = []time.Duration{
		200 * time.Millisecond, time.Second, 3 * time.Second, 11 * time.Second, 26 * time.Second,
		61 * time.Second,
		3 * time.Minute, 11 * time.Minute, 25 * time.Hour,
	}

	stepFaults = []s3test.Fault{
		s3test.None, s3test.InternalError, s3test.SlowDown, s3test.Cut, s3test.CutAfter,
		s3test.CutDuring,
		s3test.Hang, s3test.HangAfter, s3test.Crash, s3test.CrashAfter,
	}
)

// A sim runs a program in a synctest bubble. Each request and each hook call
// waits until a step releases it. The next step starts only after all
// goroutines wait again, so a program has one outcome.
type sim struct {
	world     world
	startTime time.Time
	store     *s3test.Server

	mu        sync.Mutex
	waiting   []*ticket
	log       []loggedRequest
	current   s3test.Fault // the fault of the request that takes effect
	replicas  [replicaCount]*replica
	started   int // number of replicas ever started
	grants    map[int]*grantRecord
	calls     []*call
	files     map[string]*file // by content
	reports   []hookCall       // of WithOnComplete
	accepted  []hookCall       // of WithInspect
	rewrites  map[string]bool  // contents of files that the service rewrote
	touched   map[string]bool  // published keys that the service changed or deleted
	failures  int              // number of calls of WithOnComplete that will fail
	failed    bool             // whether a hook call failed
	deferrals int              // number of inspections that will be pending
	late      bool             // whether a deadline may have passed
	left      int              // number of uploads after the first sweep
}

// A ticket is a waiting request or hook call.
type ticket struct {
	rank    string
	replica *replica // nil for the clients
	turn    chan s3test.Fault
}

// A loggedRequest describes a request of a call, and the step of the store
// after the request.
type loggedRequest struct {
	call      *call
	operation string // the method
	key       string
	step      int64
	faulty    bool
}

// A replica is one process of the service.
type replica struct {
	name    string
	signer  *presign.Signer
	handler *presign.Handler
	secrets int // 0 to 2
	inspect bool
	crashed bool
	faulty  bool // whether a request failed because of a fault or timed out
}

// A grantRecord describes a grant to the model.
type grantRecord struct {
	label     int
	id        string
	owner     string
	key       string
	random    bool
	inspected bool
	issued    time.Time
	grant     *presign.Grant
	multipart *presign.Multipart
	first     []byte // the first file that was sent
}

func (g *grantRecord) final() string { return finalKey(g.key) }

// A file describes the content that a client uploads with a grant.
type file struct {
	grant *grantRecord
	kind  string
}

// A call describes a call of the service or of the store.
type call struct {
	what    string
	owner   string // empty for calls by the service
	grant   *grantRecord
	replica *replica
	cancel  context.CancelFunc
	number  int
	start   int64 // steps of the store
	end     int64
	done    bool
	status  int
	err     error
	object  *presign.Object
}

// A hookCall is a hook call that succeeded.
type hookCall struct {
	presign.Object
	body string
	step int64
	call *call
}

type callKey struct{}

func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

func newSim(w world) *sim {
	s := &sim{
		world: w, startTime: time.Now(), store: s3test.New(w.options()...),
		grants: make(map[int]*grantRecord), files: make(map[string]*file),
		touched: make(map[string]bool), rewrites: make(map[string]bool),
	}
	s.store.Intercept(s3test.Hook{Before: func(s3test.Request, *http.Request) s3test.Fault {
		s.mu.Lock()
		defer s.mu.Unlock()
		f := s.current
		s.current = s3test.None
		return f
	}})
	for i := range s.replicas {
		inspect := w.has(withInspect) && !(w.has(mixed) && i == replicaCount-1)
		s.replicas[i] = s.newReplica(0, inspect)
	}
	return s
}

// newReplica starts a process with the given list of secrets.
func (s *sim) newReplica(secrets int, inspect bool) *replica {
	s.started++
	r := &replica{name: fmt.Sprintf("replica%d", s.started), secrets: secrets, inspect: inspect}
	older := []byte("the older secret of the replicas.")
	newer := []byte("the newer secret of the replicas.")
	keys := [][][]byte{{older}, {older, newer}, {newer, older}}[secrets]
	access := aws.Credentials{AccessKeyID: "AKIA" + r.name, SecretAccessKey: "secret"}
	s.store.AddCredentials(access)
	client := s.store.Actor(r.name).S3(func(o *s3.Options) {
		o.HTTPClient = &http.Client{
			Transport: link{s, r, s.store.Actor(r.name).HTTPClient().Transport},
		}
		o.Credentials = credentials.NewStaticCredentialsProvider(access.AccessKeyID,
			access.SecretAccessKey, "")
		if s.world.has(retries) {
			s3test.Retries(3)(o)
		}
	})
	policy := presign.Policy{
		Prefix: "incoming/", FinalPrefix: "published/", Types: []string{"image/png"},
		MaxSize: fileSize, Replace: s.world.has(replaces),
	}
	opts := []presign.SignerOption{
		presign.WithSecret(keys...), presign.WithLogger(slog.New(slog.DiscardHandler)),
		presign.WithOnComplete(func(ctx context.Context, o *presign.Object) error {
			return s.onComplete(ctx, r, o)
		}),
	}
	if inspect {
		inspect := func(ctx context.Context, o *presign.Object) error {
			return s.inspect(ctx, r, o)
		}
		opts = append(opts, presign.WithInspect(inspect))
	}
	var err error
	r.signer, err = presign.NewSigner(client, s3test.DefaultBucket, policy, opts...)
	if err == nil {
		r.handler, err = presign.NewHandler(r.signer, func(q *http.Request) (string, error) {
			return q.Header.Get("User"), nil
		})
	}
	if err != nil {
		panic(err)
	}
	return r
}

// A link delays each request of a replica or a client until a step releases it.
type link struct {
	*sim
	replica *replica
	next    http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (l link) RoundTrip(req *http.Request) (*http.Response, error) {
	what := strings.Join([]string{
		req.Method, req.URL.Path, req.URL.RawQuery, req.Header.Get("Range"),
	}, " ")
	if req.URL.Query().Has("X-Amz-Signature") {
		what = req.Method + " " + req.URL.Path
	}
	fault, err := l.wait(req.Context(), l.replica, what)
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	if l.replica == nil && (fault == s3test.Crash || fault == s3test.CrashAfter) {
		fault -= s3test.Crash - s3test.Cut // A client has no state to lose.
	}
	l.mu.Lock()
	l.current = fault
	l.mu.Unlock()
	resp, err := l.next.RoundTrip(req)
	_, key, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/")
	l.mu.Lock()
	l.current = s3test.None
	l.log = append(l.log, loggedRequest{
		callOf(req.Context()), req.Method, key, l.store.Now().Step, fault != s3test.None,
	})
	l.mu.Unlock()
	if fault == s3test.Crash || fault == s3test.CrashAfter {
		l.crash(l.replica)
	}
	return resp, err
}

var errDown = errors.New("the process has ended")

// wait waits until a step releases the caller, and returns the fault that the
// step injects.
func (s *sim) wait(ctx context.Context, r *replica, what string) (s3test.Fault, error) {
	number := -1
	if c := callOf(ctx); c != nil {
		number = c.number
	}
	// The number comes last: if several calls wait for one completion, any of
	// them might make its last request.
	process := "client"
	if r != nil {
		process = r.name
	}
	t := &ticket{fmt.Sprintf("%s %s %04d", process, what, number), r, make(chan s3test.Fault, 1)}
	s.mu.Lock()
	if r != nil && r.crashed {
		s.mu.Unlock()
		return 0, errDown
	}
	s.waiting = append(s.waiting, t)
	s.mu.Unlock()
	var fault s3test.Fault
	var err error
	select {
	case fault = <-t.turn:
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = slices.DeleteFunc(s.waiting, func(other *ticket) bool { return other == t })
	if r != nil && r.crashed {
		err = errDown
	}
	if r != nil && (err != nil || fault != s3test.None) {
		r.faulty = true
	}
	return fault, err
}

// crash ends a process. Later requests of the process have no effect.
func (s *sim) crash(r *replica) {
	s.store.Actor(r.name).Crash()
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.crashed {
		return
	}
	r.crashed, r.faulty = true, true
	for _, t := range s.waiting {
		if t.replica == r {
			t.turn <- s3test.Cut
		}
	}
	for i, other := range s.replicas {
		if other == r {
			s.replicas[i] = s.newReplica(r.secrets, r.inspect)
		}
	}
}

// rotate replaces a process with a process that has the next list of secrets.
// It does nothing if the list is the last one, or if another process has an
// older list. Therefore every process can open the stamps of all processes.
func (s *sim) rotate(i int) {
	r := s.replicas[i]
	for _, other := range s.replicas {
		if r.secrets == 2 || other.secrets < r.secrets {
			return
		}
	}
	s.crash(r)
	s.replicas[i] = s.newReplica(r.secrets+1, r.inspect)
}

// hook waits until a step releases a hook call. It reports whether the hook
// takes effect, and returns its error.
func (s *sim) hook(ctx context.Context, r *replica, what string) (called bool, err error) {
	fault, err := s.wait(ctx, r, what)
	switch {
	case err != nil:
		return false, err
	case fault == s3test.Crash:
		s.crash(r)
		return false, errDown
	case fault == s3test.None:
		return true, nil
	}
	s.mu.Lock()
	s.failed = true
	s.mu.Unlock()
	return fault == s3test.CutAfter || fault == s3test.HangAfter, errors.New("the hook fails")
}

// onComplete is the function for WithOnComplete.
func (s *sim) onComplete(ctx context.Context, r *replica, o *presign.Object) error {
	called, err := s.hook(ctx, r, "HOOK "+o.Key+" "+o.GrantID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures > 0 && called {
		s.failures--
		s.failed = true
		called, err = false, errors.New("the hook fails")
	}
	if called {
		s.reports = append(s.reports,
			hookCall{Object: *o, step: s.store.Now().Step, call: callOf(ctx)})
	}
	return err
}

// inspect is the function for WithInspect.
func (s *sim) inspect(ctx context.Context, r *replica, o *presign.Object) error {
	body, err := o.Open(ctx)
	if err != nil {
		return err
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if called, err := s.hook(ctx, r, "INSPECT "+o.Key+" "+o.GrantID); err != nil || !called {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.deferrals > 0:
		s.deferrals--
		return presign.ErrPending
	case bytes.Contains(b, []byte("virus")):
		return &presign.Violation{Field: "file", Code: "virus", Detail: "must have no virus"}
	}
	s.accepted = append(s.accepted,
		hookCall{Object: *o, body: string(b), step: s.store.Now().Step, call: callOf(ctx)})
	return nil
}

// start runs f as a call in a goroutine.
func (s *sim) start(
	what, owner string, g *grantRecord, r *replica, f func(ctx context.Context, c *call),
) {
	ctx, cancel := context.WithCancel(context.Background())
	s.mu.Lock()
	c := &call{
		what: what, owner: owner, grant: g, replica: r, cancel: cancel, number: len(s.calls),
		start: s.store.Now().Step,
	}
	s.calls = append(s.calls, c)
	s.mu.Unlock()
	go func() {
		defer cancel()
		f(context.WithValue(ctx, callKey{}, c), c)
		s.mu.Lock()
		defer s.mu.Unlock()
		c.done, c.end = true, s.store.Now().Step
	}()
}

// finish sets the outcome of a call.
func (c *call) finish(o *presign.Object, err error) {
	c.object, c.err, c.status = o, err, http.StatusOK
	if p := presign.ProblemOf(err); p != nil {
		c.status = p.Status
	}
}

const fileSize = 4200 // larger than the prefix that Complete compares with the type

// newFile returns a new file of a kind for a grant.
func (s *sim) newFile(g *grantRecord, kind string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kind == "again" {
		if b := g.first; b != nil {
			return b
		}
		kind = "end"
	}
	label := fmt.Sprintf("%s %d", kind, len(s.files))
	b := make([]byte, fileSize)
	copy(b, png[:33])
	switch kind {
	case "beginning":
		copy(b[100:], label)
	case "html":
		copy(b, "<!doctype html><script>"+label)
	case "large":
		b = append(b, label...)
	default:
		copy(b[len(b)-20:], label)
	}
	s.files[string(b)] = &file{g, kind}
	if g.first == nil {
		g.first = b
	}
	return b
}

// grant signs the grant that a step describes.
func (s *sim) grant(p step) {
	r := s.replicas[p.a%replicaCount]
	g := &grantRecord{
		label: p.a, owner: owners[p.b%len(owners)], random: p.c == 0, inspected: r.inspect,
		issued: time.Now(),
	}
	u := presign.Upload{Filename: "a.png", Type: "image/png", Owner: g.owner, Size: fileSize}
	if !g.random {
		u.Key = "incoming/chosen.png"
	}
	switch p.verb {
	case doStart:
		s.start("start", g.owner, g, r, func(ctx context.Context, c *call) {
			m, err := r.signer.StartMultipart(ctx, u)
			c.finish(nil, err)
			s.mu.Lock()
			defer s.mu.Unlock()
			if err == nil && !r.crashed {
				g.multipart, g.id, g.key = m, m.GrantID, m.Key
				s.grants[p.a] = g
			}
		})
		return
	case doPost:
		u.Size = 0
		g.grant, _ = r.signer.Post(context.Background(), u)
	default:
		g.grant, _ = r.signer.Put(context.Background(), u)
	}
	if g.grant != nil {
		g.id, g.key = g.grant.GrantID, g.grant.Key
		s.grants[p.a] = g
	}
}

// send uploads a file with a grant.
func (s *sim) send(g *grantRecord, kind string) {
	body := s.newFile(g, kind)
	s.start("send", g.owner, g, nil, func(ctx context.Context, c *call) {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		grant := g.grant
		if g.multipart != nil {
			urls, _, err := g.multipart.SignParts(ctx, 1, 1)
			if err != nil {
				return
			}
			grant = &presign.Grant{Method: "PUT", URL: urls[0]}
		}
		req, err := grant.Request(ctx, bytes.NewReader(body), int64(len(body)))
		if err != nil {
			return
		}
		client := http.Client{
			Transport: link{s, nil, s.store.Actor("client").HTTPClient().Transport},
		}
		if resp, err := client.Do(req); err == nil {
			c.status = resp.StatusCode
			resp.Body.Close()
		}
	})
}

// complete asks a replica to complete an upload for a client.
func (s *sim) complete(g *grantRecord, owner string, r *replica) {
	if g.multipart != nil {
		s.start("complete", owner, g, r, func(ctx context.Context, c *call) {
			m, err := r.signer.ResumeMultipart(owner, g.multipart.ID)
			var o *presign.Object
			if err == nil {
				o, err = m.Complete(ctx, nil)
			}
			c.finish(o, err)
		})
		return
	}
	s.start("complete", owner, g, r, func(ctx context.Context, c *call) {
		body, _ := json.Marshal(map[string]string{"key": g.key})
		req := httptest.NewRequestWithContext(ctx, "POST", "/complete", bytes.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("User", owner)
		w := httptest.NewRecorder()
		r.handler.ServeHTTP(w, req)
		c.status = w.Code
		if w.Code == http.StatusOK {
			var o struct {
				Key     string `json:"key"`
				GrantID string `json:"grant_id"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &o); err != nil {
				panic(err)
			}
			c.object = &presign.Object{Key: o.Key, GrantID: o.GrantID}
		} else {
			c.err = errors.New(w.Body.String())
		}
	})
}

// notify sends a notification of an upload to a replica.
func (s *sim) notify(g *grantRecord, r *replica) {
	s.start("notify", "", g, r, func(ctx context.Context, c *call) {
		body := fmt.Appendf(nil, `{"Records": [{
			"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "eventVersion": "2.1",
			"s3": {"bucket": {"name": %q}, "object": {"key": %q}}
		}]}`, s3test.DefaultBucket, g.key)
		c.finish(nil, r.signer.CompleteNotification(ctx, body))
	})
}

// rewrite replaces a published file as the service would, in one of three ways:
//   - 0 changes the content and drops the metadata.
//   - 1 changes the content and keeps the metadata.
//   - 2 keeps the content and drops the metadata.
func (s *sim) rewrite(g *grantRecord, way int) {
	published, ok := s.store.Object(s3test.DefaultBucket, g.final())
	if !ok {
		return
	}
	s.touched[g.final()] = true
	b := bytes.Clone(published.Body)
	if way != 2 {
		copy(b[200:], fmt.Sprintf("rewritten %d", s.store.Now().Step))
		s.rewrites[string(b)] = true
	}
	o := s3test.Object{Body: b, Header: published.Header.Clone()}
	if way == 1 {
		o.Metadata = maps.Clone(published.Metadata)
	}
	s.store.Put(s3test.DefaultBucket, g.final(), o)
}

// remove deletes a published file as the service would.
func (s *sim) remove(g *grantRecord) {
	key := g.final()
	if _, ok := s.store.Object(s3test.DefaultBucket, key); ok {
		s.touched[key] = true
		client := s.store.Actor("service").S3()
		_, err := client.DeleteObject(context.Background(), &s3.DeleteObjectInput{
			Bucket: aws.String(s3test.DefaultBucket), Key: &key,
		})
		if err != nil {
			panic(err)
		}
	}
}

// release releases waiting request n and waits until all goroutines wait. It
// reports whether a request was waiting.
func (s *sim) release(n int, fault s3test.Fault) bool {
	synctest.Wait()
	s.mu.Lock()
	if len(s.waiting) == 0 {
		s.mu.Unlock()
		time.Sleep(100 * time.Millisecond)
		return false
	}
	s.order()
	i := n % len(s.waiting)
	t := s.waiting[i]
	s.waiting = slices.Delete(s.waiting, i, i+1)
	s.mu.Unlock()
	t.turn <- fault
	synctest.Wait()
	time.Sleep(7 * time.Millisecond)
	return true
}

// finish releases waiting request n and then all other requests of its process,
// until none waits.
func (s *sim) finish(n int) {
	synctest.Wait()
	s.mu.Lock()
	if len(s.waiting) == 0 {
		s.mu.Unlock()
		return
	}
	s.order()
	process, _, _ := strings.Cut(s.waiting[n%len(s.waiting)].rank, " ")
	s.mu.Unlock()
	for {
		s.mu.Lock()
		s.order()
		i := slices.IndexFunc(s.waiting, func(t *ticket) bool {
			return strings.HasPrefix(t.rank, process+" ")
		})
		s.mu.Unlock()
		if i < 0 {
			return
		}
		s.release(i, s3test.None)
	}
}

// order sorts the waiting requests. The caller must hold the lock.
func (s *sim) order() {
	slices.SortStableFunc(s.waiting, func(a, b *ticket) int { return cmp.Compare(a.rank, b.rank) })
}

// drain releases requests until every call has ended. It reports whether all
// calls ended.
func (s *sim) drain() bool {
	for idle, turns := time.Duration(0), 0; turns < 20000; turns++ {
		if s.release(0, s3test.None) {
			idle = 0
			continue
		}
		s.mu.Lock()
		done := !slices.ContainsFunc(s.calls, func(c *call) bool { return !c.done })
		s.mu.Unlock()
		if done {
			return true
		}
		idle = min(2*idle+50*time.Millisecond, 5*time.Second)
		time.Sleep(idle)
	}
	return false
}

// perform performs a step.
func (s *sim) perform(p step) {
	synctest.Wait()
	s.mu.Lock()
	g := s.grants[p.a]
	s.mu.Unlock()
	r := s.replicas[p.c%replicaCount]
	switch p.verb {
	case doPut, doPost, doStart:
		if g == nil {
			s.grant(p)
		}
	case doSweep:
		s.start("sweep", "", nil, r, func(ctx context.Context, c *call) {
			c.finish(nil, r.signer.Sweep(ctx))
		})
	case doLeave:
		if len(s.calls) > 0 {
			s.calls[p.a%len(s.calls)].cancel()
		}
	case doFail:
		s.failures += p.a
	case doPend:
		s.deferrals += p.a
	case doCrash:
		s.crash(r)
	case doRotate:
		s.rotate(p.c % replicaCount)
	case doWait:
		time.Sleep(pauses[p.a%len(pauses)])
	case doRun:
		s.release(p.a, stepFaults[p.b%len(stepFaults)])
	case doFinish:
		s.finish(p.a)
	case doDrain:
		for s.release(0, s3test.None) {
		}
	default:
		if g != nil {
			s.performOn(g, p, r)
		}
	}
}

// performOn performs a step on a grant.
func (s *sim) performOn(g *grantRecord, p step, r *replica) {
	switch p.verb {
	case doSend:
		s.send(g, kinds[p.b%len(kinds)])
	case doComplete:
		owner := g.owner
		if p.b > 0 {
			owner = owners[(p.b-1)%len(owners)]
		}
		s.complete(g, owner, r)
	case doJob:
		s.start("job", "", g, r, func(ctx context.Context, c *call) {
			c.finish(r.signer.CompleteForAnyOwner(ctx, g.key))
		})
	case doNotify:
		s.notify(g, r)
	case doAbort:
		s.start("abort", g.owner, g, r, func(ctx context.Context, c *call) {
			if g.multipart == nil {
				return
			}
			m, err := r.signer.ResumeMultipart(g.owner, g.multipart.ID)
			if err == nil {
				err = m.Abort(ctx)
			}
			c.finish(nil, err)
		})
	case doRewrite:
		s.rewrite(g, p.b)
	case doRemove:
		s.remove(g)
	default:
		panic("unknown verb: " + p.verb)
	}
}

// settle ends all calls, then sweeps. It reports whether all calls ended, and
// returns the errors of the sweeps.
func (s *sim) settle() (ended bool, sweeps []error) {
	s.failures, s.deferrals, s.late = 0, 0, time.Since(s.startTime) > 23*time.Hour
	for _, r := range s.replicas {
		s.start("shutdown", "", nil, r, func(ctx context.Context, _ *call) {
			_ = r.signer.Shutdown(ctx)
		})
	}
	if !s.drain() {
		return false, nil
	}
	sweeper := s.newReplica(2, s.world.has(withInspect))
	for _, pause := range []time.Duration{2 * time.Minute, 8 * 24 * time.Hour} {
		time.Sleep(pause)
		// With versions, deleting one upload makes an older one the current
		// version.
		again := func(rounds int) bool {
			return s.world.has(versions) && rounds < 10 && s.pending() > 0
		}
		for rounds := 0; rounds == 0 || again(rounds); rounds++ {
			s.start("sweep", "", nil, sweeper, func(ctx context.Context, c *call) {
				c.finish(nil, sweeper.signer.Sweep(ctx))
			})
			c := s.calls[len(s.calls)-1]
			if !s.drain() {
				return false, nil
			}
			sweeps = append(sweeps, c.err)
		}
		if pause < time.Hour {
			s.left = s.pending()
		}
	}
	return true, sweeps
}

// pending returns the number of uploads in the bucket.
func (s *sim) pending() (n int) {
	for _, key := range s.store.Objects(s3test.DefaultBucket) {
		if strings.HasPrefix(key, "incoming/") {
			n++
		}
	}
	return n
}

// uploads returns the number of multipart uploads in progress.
func (s *sim) uploads() int {
	client := s.store.Actor("service").S3()
	out, err := client.ListMultipartUploads(context.Background(), &s3.ListMultipartUploadsInput{
		Bucket: aws.String(s3test.DefaultBucket),
	})
	if err != nil {
		panic(err)
	}
	return len(out.Uploads)
}
