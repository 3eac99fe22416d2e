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

// containsEICAR reports whether content contains the EICAR test file. If
// content is an archive, it also searches the files in the archive.
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

// A fakeScan finds the EICAR test file after a delay.
type fakeScan struct {
	mu    sync.Mutex
	delay func() time.Duration
	calls int
}

func (f *fakeScan) scan(ctx context.Context, content io.Reader) (string, error) {
	body, err := io.ReadAll(content)
	if err != nil {
		return "", err
	}
	f.mu.Lock()
	f.calls++
	delay := f.delay()
	f.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	if containsEICAR(body) {
		return "Eicar", nil
	}
	return "", nil
}

const secret = "a secret of the service, 33 bytes"

// A replica is a service with a separate scanner.
type replica struct {
	*presign.Signer
	*scanner
	fake *fakeScan
}

func newReplica(
	t *testing.T, store *s3test.Server, name string, policy presign.Policy, wait time.Duration,
	delay func() time.Duration,
) *replica {
	t.Helper()
	fake := &fakeScan{delay: delay}
	r := &replica{scanner: newScanner(fake.scan, wait, 1_000_000, 2), fake: fake}
	client := store.Actor(name).S3()
	var err error
	r.Signer, err = presign.NewSigner(client, s3test.DefaultBucket, policy,
		presign.WithSecret([]byte(secret)), presign.WithInspect(r.inspect),
		presign.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	return r
}

// count returns the number of running scans and of kept results.
func (r *replica) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.scans)
}

// stop waits for the background completions of the replica and stops its scans.
func (r *replica) stop(t *testing.T) {
	require.NoError(t, r.Shutdown(t.Context()))
	r.close()
}

// TestLongScansArePending checks that an inspection does not wait for a long
// scan, and that a later inspection returns the result without another scan.
func TestLongScansArePending(t *testing.T) {
	for _, c := range []struct {
		name    string
		content []byte
	}{{"clean", []byte("hello")}, {"infected", eicar}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := s3test.New()
				r := newReplica(t, store, "service", policy, time.Second, func() time.Duration {
					return 3500 * time.Millisecond
				})
				defer r.stop(t)
				u := presign.Upload{Filename: "a.txt", Owner: "alice", Size: int64(len(c.content))}
				grant, err := r.Put(t.Context(), u)
				require.NoError(t, err)
				send(t, store, "alice", grant, c.content)
				for range 3 {
					started := time.Now()
					_, err = r.Complete(t.Context(), "alice", grant.Key)
					require.ErrorIs(t, err, presign.ErrPending)
					require.Equal(t, time.Second, time.Since(started))
				}
				_, err = r.Complete(t.Context(), "alice", grant.Key)
				if c.name == "clean" {
					require.NoError(t, err)
				} else {
					require.Equal(t, "infected", presign.Violations(err)[0].Code)
				}
				require.Equal(t, 1, r.fake.calls)
				require.Zero(t, r.count(), "a result that was returned must not be kept")
			})
		})
	}
}

// TestReplacedUploadsAreScannedAgain checks that an infected upload is rejected
// if it replaces a clean upload with the same ETag during the scan.
func TestReplacedUploadsAreScannedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := s3test.New(s3test.WithQuirks(s3test.SizeETags), s3test.WithHistory())
		r := newReplica(t, store, "service", policy, time.Second, func() time.Duration {
			return 1500 * time.Millisecond
		})
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

// TestScansAreLimited checks that scans have a limited number and duration, and
// that uploads without a scan are pending.
func TestScansAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := s3test.New()
		r := newReplica(t, store, "service", policy, time.Second, func() time.Duration {
			return time.Hour
		})
		defer r.stop(t)
		for i := range 4 {
			grant, err := r.Put(t.Context(), presign.Upload{
				Filename: "a.txt", Owner: "alice", Size: 5,
			})
			require.NoError(t, err)
			send(t, store, "alice", grant, []byte("hello"))
			_, err = r.Complete(t.Context(), "alice", grant.Key)
			require.ErrorIs(t, err, presign.ErrPending)
			require.Equal(t, min(i+1, 2), r.count())
		}
		time.Sleep(r.limit) // The bubble's clock advances at once.
		synctest.Wait()
		require.Empty(t, r.slots, "a scan must end after the limit")
		time.Sleep(r.keep)
		synctest.Wait()
		require.Zero(t, r.count(), "a result must be removed if no inspection returns it")
	})
}

// send uploads a file.
func send(t *testing.T, store *s3test.Server, actor string, grant *presign.Grant, content []byte) {
	t.Helper()
	response, err := conformance.New(grant, "file", content).Send(store.Actor(actor).HTTPClient())
	require.NoError(t, err)
	require.True(t, response.Accepted(), "%v", response)
}

// A storeKind describes a kind of store.
type storeKind struct {
	name    string
	options []s3test.Option
	honest  bool // All visible copies were scanned.
}

var storeKinds = []storeKind{
	{"strict", nil, true},
	{"AWS", []s3test.Option{s3test.WithHost("s3.us-east-1.amazonaws.com")}, true},
	{"versions", []s3test.Option{s3test.WithVersioning()}, true},
	{"careless", []s3test.Option{s3test.WithoutConditions()}, false},
	{"equal ETags", []s3test.Option{s3test.WithQuirks(s3test.SizeETags)}, false},
}

// TestInterleavings checks that the EICAR test file is never published, in
// 1,000 random orders of upload, replacement, scan and completion, with two
// replicas.
//
// Stores without versions are an exception if they ignore the conditions of
// copies or if their ETags collide. At such stores, a copy exists before the
// service can compare it. The service deletes such a copy at once, or the copy
// of the other replica replaces it.
//
// The environment variable SCAN_SEED sets the seed of the first order. Later
// orders have the following numbers as seeds.
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
		require.Greater(t, n, 500, "every outcome must be frequent")
	}
}

// A tally counts the outcomes of the interleavings.
type tally struct{ Published, Rejected, Pending, Replaced, Deleted int }

// An interleaving is one upload that is replaced while it is scanned and
// completed.
type interleaving struct {
	*testing.T
	storeKind
	seed     uint64
	method   string
	replace  bool
	store    *s3test.Server
	replicas []*replica
	contents [2][]byte // clean and infected, of one size

	sent  int
	grant *presign.Grant // the last grant

	mu      sync.Mutex // guards the fields below; must not be held during a request
	key, id string     // the key and the multipart ID of the last upload
	total   *tally
}

// newInterleaving chooses the store, the method and the files.
func newInterleaving(t *testing.T, seed uint64, total *tally) *interleaving {
	random := rand.New(rand.NewPCG(seed, 0))
	i := &interleaving{
		T: t, seed: seed, total: total,
		storeKind: storeKinds[random.IntN(len(storeKinds))],
		method:    []string{"POST", "PUT", "multipart"}[random.IntN(3)],
		replace:   random.IntN(2) == 0,
	}
	options := []s3test.Option{s3test.WithHistory(), s3test.WithTick(time.Millisecond)}
	i.store = s3test.New(append(options, i.options...)...)
	p := policy
	p.Replace = i.replace
	wait := time.Duration(1+random.IntN(20)) * time.Millisecond
	for n, name := range []string{"first", "second"} {
		durations := rand.New(rand.NewPCG(seed, uint64(10+n)))
		delay := func() time.Duration {
			return time.Duration(durations.IntN(30)) * time.Millisecond
		}
		i.replicas = append(i.replicas, newReplica(t, i.store, name, p, wait, delay))
	}
	clean, infected := bytes.Repeat([]byte("."), len(eicar)), eicar
	if random.IntN(2) == 0 {
		clean, infected = pack(t, "eicar.com", clean), pack(t, "eicar.com", eicar)
		size := max(len(clean), len(infected)) // An archive remains valid with bytes after its end.
		clean = append(clean, make([]byte, size-len(clean))...)
		infected = append(infected, make([]byte, size-len(infected))...)
	}
	i.contents = [2][]byte{clean, infected}
	return i
}

// run uploads, replaces and completes at the same time, and then checks all
// objects that were ever published.
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
				time.Sleep(time.Duration(random.IntN(40)) * time.Millisecond)
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

// upload sends the clean or the infected file. Without replace, a new grant
// would be for another key, so it uses the same grant again, and sends a
// multipart upload only once.
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
	client := i.store.Actor("alice").HTTPClient()
	response, err := conformance.New(i.grant, "file", content).Send(client)
	require.NoError(i, err)
	if response.Accepted() {
		i.sent++
	}
}

// uploadPart starts a multipart upload and sends its only part. It does not
// complete the upload.
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
	case errors.Is(err, presign.ErrChanged), errors.Is(err, presign.ErrNotUploaded),
		errors.Is(err, presign.ErrLost):
	default:
		require.NoError(i, err, "seed %d\n%v", i.seed, i.store.History().Requests)
	}
	return err
}

// check checks that infected files were never published, or only for a moment
// if the store is not honest.
func (i *interleaving) check() {
	h := i.store.History()
	i.total.Replaced += i.sent - 1
	for _, state := range h.Visible(policy.FinalPrefix) {
		if !containsEICAR(state.Body) {
			continue
		}
		about := []any{
			"seed %d, %s, %s, replace %v\n%v", i.seed, i.name, i.method, i.replace, h.Requests,
		}
		require.False(i, i.honest, about...)
		require.NotZero(i, state.EndedBy, about...)
		copied, deleted := h.Requests[state.MadeBy-1], h.Requests[state.EndedBy-1]
		require.LessOrEqual(i, deleted.End-copied.End, int64(3), about...)
		i.total.Deleted++
	}
}
