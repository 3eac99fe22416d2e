package main

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/conformance"
	"github.com/s3presign/presign/internal/test/s3test"
)

// containsEICAR reports whether content, or a file in the archive that it is, contains
// the EICAR test file.
func containsEICAR(content []byte) bool {
	if bytes.Contains(content, eicar) {
		return true
	}
	archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return false
	}
	for _, f := range archive.File {
		file, err := f.Open()
		if err != nil {
			continue
		}
		if inner, err := io.ReadAll(file); err == nil && containsEICAR(inner) {
			return true
		}
	}
	return false
}

// A fakeScan finds the EICAR test file, after a time.
type fakeScan struct {
	mu    sync.Mutex
	takes func() time.Duration
	calls int
}

func (f *fakeScan) scan(ctx context.Context, content io.Reader) (string, error) {
	body, err := io.ReadAll(content)
	if err != nil {
		return "", err
	}
	f.mu.Lock()
	f.calls++
	takes := f.takes()
	f.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	if containsEICAR(body) {
		return "Eicar", nil
	}
	return "", nil
}

const secret = "nobody else knows this; 32 bytes."

// A replica is a service with a scanner of its own.
type replica struct {
	*presign.Signer
	*scanner
	fake *fakeScan
}

func newReplica(
	t *testing.T, store *s3test.Server, name string, policy presign.Policy, wait time.Duration, takes func() time.Duration,
) *replica {
	t.Helper()
	fake := &fakeScan{takes: takes}
	r := &replica{scanner: newScanner(fake.scan, wait, 1_000_000, 2), fake: fake}
	client := store.Actor(name).S3()
	var err error
	r.Signer, err = presign.NewSigner(client, s3test.DefaultBucket, policy,
		presign.WithSecret([]byte(secret)), presign.WithInspect(r.inspect),
		presign.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	return r
}

// count returns the number of scans that run or whose results are kept.
func (r *replica) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.scans)
}

// stop ends all that the replica does in the background.
func (r *replica) stop(t *testing.T) {
	require.NoError(t, r.Shutdown(t.Context()))
	r.close()
}

// TestLongScansArePending checks that an inspection does not wait for a long scan, and
// that the next one returns its result without another scan.
func TestLongScansArePending(t *testing.T) {
	for _, c := range []struct {
		name    string
		content []byte
	}{{"clean", []byte("hello")}, {"infected", eicar}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := s3test.New()
				r := newReplica(t, store, "service", policy, time.Second, func() time.Duration { return 3500 * time.Millisecond })
				defer r.stop(t)
				u := presign.Upload{Filename: "a.txt", Owner: "alice", Size: int64(len(c.content))}
				grant, err := r.Put(t.Context(), u)
				require.NoError(t, err)
				send(t, store, "alice", grant, c.content)
				for range 3 {
					began := time.Now()
					_, err = r.Complete(t.Context(), "alice", grant.Key)
					require.ErrorIs(t, err, presign.ErrPending)
					require.Equal(t, time.Second, time.Since(began))
				}
				_, err = r.Complete(t.Context(), "alice", grant.Key)
				if c.name == "clean" {
					require.NoError(t, err)
				} else {
					require.Equal(t, "infected", presign.Violations(err)[0].Code)
				}
				require.Equal(t, 1, r.fake.calls)
				require.Zero(t, r.count(), "the result is not kept after it was used")
			})
		})
	}
}

// TestResultIsOfTheScannedBytes replaces an upload by an infected one with the same
// ETag while the first one is scanned.
func TestResultIsOfTheScannedBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := s3test.New(s3test.WithQuirks(s3test.SizeETags), s3test.WithHistory())
		r := newReplica(t, store, "service", policy, time.Second, func() time.Duration { return 1500 * time.Millisecond })
		defer r.stop(t)
		grant, err := r.Post(t.Context(), presign.Upload{Filename: "a.txt", Owner: "alice"})
		require.NoError(t, err)
		send(t, store, "alice", grant, make([]byte, len(eicar)))
		_, err = r.Complete(t.Context(), "alice", grant.Key)
		require.ErrorIs(t, err, presign.ErrPending)
		send(t, store, "alice", grant, eicar)
		for errors.Is(err, presign.ErrPending) {
			_, err = r.Complete(t.Context(), "alice", grant.Key)
		}
		require.Len(t, presign.Violations(err), 1, "%v", err)
		require.Equal(t, "infected", presign.Violations(err)[0].Code)
		require.Equal(t, 2, r.fake.calls)
		require.Empty(t, store.History().Visible(policy.FinalPrefix))
	})
}

// TestScansAtATime checks that uploads which no scan has begun for are pending as well.
func TestScansAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := s3test.New()
		r := newReplica(t, store, "service", policy, time.Second, func() time.Duration { return time.Hour })
		defer r.stop(t)
		for i := range 4 {
			grant, err := r.Put(t.Context(), presign.Upload{Filename: "a.txt", Owner: "alice", Size: 5})
			require.NoError(t, err)
			send(t, store, "alice", grant, []byte("hello"))
			_, err = r.Complete(t.Context(), "alice", grant.Key)
			require.ErrorIs(t, err, presign.ErrPending)
			require.Equal(t, min(i+1, 2), r.count())
		}
		time.Sleep(r.limit) // in the bubble
		synctest.Wait()
		require.Empty(t, r.slots, "a scan has a limit")
		time.Sleep(r.keep)
		synctest.Wait()
		require.Zero(t, r.count(), "a result that nobody asks for is forgotten")
	})
}

// send uploads a file.
func send(t *testing.T, store *s3test.Server, actor string, grant *presign.Grant, content []byte) {
	t.Helper()
	answer, err := conformance.New(grant, "file", content).Send(store.Actor(actor).HTTPClient())
	require.NoError(t, err)
	require.True(t, answer.Accepted(), "%v", answer)
}

// A climate is a kind of store.
type climate struct {
	name    string
	options []s3test.Option
	honest  bool // no copy is visible that was not scanned
}

var climates = []climate{
	{"strict", nil, true},
	{"AWS", []s3test.Option{s3test.WithHost("s3.us-east-1.amazonaws.com")}, true},
	{"versions", []s3test.Option{s3test.WithVersioning()}, true},
	{"careless", []s3test.Option{s3test.WithoutConditions()}, false},
	{"equal ETags", []s3test.Option{s3test.WithQuirks(s3test.SizeETags)}, false},
}

// TestInterleavings uploads, replaces, scans and completes in 1,000 random orders, with
// two replicas. Nothing with the EICAR test file is ever published, whatever the order.
// In stores without versions that ignore the conditions of copies, or whose ETags
// collide, a copy exists before it can be compared. It is deleted at once, or replaced by
// the copy of the other replica.
//
// SCAN_SEED is the seed of the first order; those of later ones count up from it.
func TestInterleavings(t *testing.T) {
	first := uint64(1)
	if text := os.Getenv("SCAN_SEED"); text != "" {
		var err error
		first, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("SCAN_SEED=%d", first)
	var total tally
	for seed := first; seed < first+1000; seed++ {
		synctest.Test(t, func(t *testing.T) {
			cryptotest.SetGlobalRandom(t, seed)
			newInterleaving(t, seed, &total).run()
		})
		require.False(t, t.Failed(), "SCAN_SEED=%d", seed)
	}
	t.Logf("%+v", total)
	for _, n := range []int{total.Published, total.Rejected, total.Pending, total.Replaced} {
		require.Greater(t, n, 500, "the orders must have every outcome")
	}
}

// A tally counts what the interleavings did.
type tally struct{ Published, Rejected, Pending, Replaced, Deleted int }

// An interleaving is one upload that is replaced while it is scanned and completed.
type interleaving struct {
	*testing.T
	climate
	seed     uint64
	method   string
	replace  bool
	store    *s3test.Server
	replicas []*replica
	contents [2][]byte // clean and infected, of one size

	sent  int
	grant *presign.Grant // the last one

	mu      sync.Mutex // guards what follows; never held during a request
	key, id string     // of the last upload
	total   *tally
}

// newInterleaving chooses the store, the method and the files.
func newInterleaving(t *testing.T, seed uint64, total *tally) *interleaving {
	random := rand.New(rand.NewPCG(seed, 0))
	i := &interleaving{
		T: t, seed: seed, total: total,
		climate: climates[random.IntN(len(climates))],
		method:  []string{"POST", "PUT", "multipart"}[random.IntN(3)],
		replace: random.IntN(2) == 0,
	}
	i.store = s3test.New(append([]s3test.Option{s3test.WithHistory(), s3test.WithTick(time.Millisecond)}, i.options...)...)
	p := policy
	p.Replace = i.replace
	wait := time.Duration(1+random.IntN(20)) * time.Millisecond
	for n, name := range []string{"first", "second"} {
		durations := rand.New(rand.NewPCG(seed, uint64(10+n)))
		takes := func() time.Duration { return time.Duration(durations.IntN(30)) * time.Millisecond }
		i.replicas = append(i.replicas, newReplica(t, i.store, name, p, wait, takes))
	}
	clean, infected := bytes.Repeat([]byte("."), len(eicar)), eicar
	if random.IntN(2) == 0 {
		clean, infected = pack(t, "eicar.com", clean), pack(t, "eicar.com", eicar)
		size := max(len(clean), len(infected)) // An archive can have bytes behind it.
		clean = append(clean, make([]byte, size-len(clean))...)
		infected = append(infected, make([]byte, size-len(infected))...)
	}
	i.contents = [2][]byte{clean, infected}
	return i
}

// run runs the client, which replaces its upload, and its completions, and checks what
// was ever published.
func (i *interleaving) run() {
	defer func() {
		for _, r := range i.replicas {
			r.stop(i.T)
		}
	}()
	i.upload(rand.New(rand.NewPCG(i.seed, 1)))
	var group sync.WaitGroup
	for n := range 3 {
		random := rand.New(rand.NewPCG(i.seed, uint64(2+n)))
		group.Go(func() {
			for range 2 {
				time.Sleep(time.Duration(random.IntN(40)) * time.Millisecond) // in the bubble
				if n == 0 {
					i.upload(random)
				} else {
					i.complete(i.replicas[random.IntN(2)])
				}
			}
		})
	}
	group.Wait()
	for turns := 0; ; turns++ {
		err := i.complete(i.replicas[0])
		if !errors.Is(err, presign.ErrPending) && !errors.Is(err, presign.ErrChanged) {
			break
		}
		require.Less(i, turns, 100)
	}
	for _, r := range i.replicas {
		require.NoError(i, r.Shutdown(i.Context()))
	}
	i.check()
}

// upload sends the clean or the infected file, with the same grant if a new one would
// be for another key.
func (i *interleaving) upload(random *rand.Rand) {
	content := i.contents[random.IntN(2)]
	u := presign.Upload{Filename: "a.txt", Owner: "alice"}
	if bytes.HasPrefix(content, []byte("PK")) {
		u.Filename = "a.zip"
	}
	if i.replace {
		u.Key = policy.Prefix + "fixed"
	}
	if i.method != "POST" {
		u.Size = int64(len(content))
	}
	isNew := i.sent == 0 || i.replace
	if i.method == "multipart" {
		if isNew {
			i.uploadPart(u, content)
		}
		return
	}
	if isNew {
		sign := map[string]func(context.Context, presign.Upload) (*presign.Grant, error){
			"PUT": i.replicas[0].Put, "POST": i.replicas[0].Post,
		}[i.method]
		grant, err := sign(i.Context(), u)
		require.NoError(i, err)
		i.grant = grant
		i.set(grant.Key, "")
	}
	answer, err := conformance.New(i.grant, "file", content).Send(i.store.Actor("alice").HTTPClient())
	require.NoError(i, err)
	if answer.Accepted() {
		i.sent++
	}
}

// uploadPart starts a multipart upload and sends its one part. A completion joins it.
func (i *interleaving) uploadPart(u presign.Upload, content []byte) {
	m, err := i.replicas[0].StartMultipart(i.Context(), u)
	require.NoError(i, err)
	signed, err := m.SignPart(i.Context(), presign.Part{Number: 1, Size: int64(len(content))})
	require.NoError(i, err)
	send(i.T, i.store, "alice", signed, content)
	i.sent++
	i.set(m.Key, m.ID)
}

func (i *interleaving) set(key, id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.key, i.id = key, id
}

// complete completes the last upload and counts the outcome.
func (i *interleaving) complete(r *replica) error {
	i.mu.Lock()
	key, id := i.key, i.id
	i.mu.Unlock()
	var err error
	if id == "" {
		_, err = r.Complete(i.Context(), "alice", key)
	} else if m, resumed := r.ResumeMultipart("alice", id); resumed == nil {
		_, err = m.Complete(i.Context(), nil)
	} else {
		err = resumed
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case err == nil:
		i.total.Published++
	case errors.Is(err, presign.ErrPending):
		i.total.Pending++
	case len(presign.Violations(err)) > 0:
		i.total.Rejected++
	case errors.Is(err, presign.ErrChanged), errors.Is(err, presign.ErrNotUploaded), errors.Is(err, presign.ErrLost):
	default:
		require.NoError(i, err, "seed %d\n%v", i.seed, i.store.History().Requests)
	}
	return err
}

// check checks that no infected file was ever published.
func (i *interleaving) check() {
	h := i.store.History()
	i.total.Replaced += i.sent - 1
	for _, state := range h.Visible(policy.FinalPrefix) {
		if !containsEICAR(state.Body) {
			continue
		}
		about := []any{"seed %d, %s, %s, replace %v\n%v", i.seed, i.name, i.method, i.replace, h.Requests}
		require.False(i, i.honest, about...)
		require.NotZero(i, state.EndedBy, about...)
		copied, deleted := h.Requests[state.MadeBy-1], h.Requests[state.EndedBy-1]
		require.LessOrEqual(i, deleted.End-copied.End, int64(3), about...)
		i.total.Deleted++
	}
}
