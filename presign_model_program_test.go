package presign_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/s3presign/presign/internal/test/s3test"
)

// A program describes one run of the model: a world and the steps to perform.
// Every list of steps is a valid program, so removing steps can shrink a
// failing program.
type program struct {
	world world
	steps []step
}

// A world describes the service and its store.
type world struct {
	seed     uint64   // seeds crypto/rand
	flags    []string // the flags below
	careless []string // operations whose conditions the store ignores
}

// The flags of a world.
const (
	replaces    = "replaces"  // Policy.Replace
	versions    = "versions"  // the bucket is versioned
	withInspect = "inspects"  // replicas use WithInspect
	mixed       = "mixed"     // the last replica does not use WithInspect
	amazon      = "amazon"    // the store has an Amazon host and honors conditions
	retries     = "retries"   // the store client tries three times
	sizeETags   = "sizeETags" // files of equal size have equal ETags, as if MD5s collided
	noOnce      = "noOnce"    // s3test.CopyOnceNotImplemented
	noParts     = "noParts"   // s3test.PartsNeverMatch
	noSums      = "noSums"    // s3test.NoChecksums
)

func (w world) has(flag string) bool { return slices.Contains(w.flags, flag) }

func (w world) ignores(operation string) bool { return slices.Contains(w.careless, operation) }

// options returns the options of the store.
func (w world) options() []s3test.Option {
	opts := []s3test.Option{s3test.WithHistory()}
	if w.has(versions) {
		opts = append(opts, s3test.WithVersioning())
	}
	if w.has(amazon) {
		opts = append(opts, s3test.WithHost("s3.us-east-1.amazonaws.com"))
	}
	for flag, quirk := range map[string]s3test.Quirk{
		sizeETags: s3test.SizeETags, noOnce: s3test.CopyOnceNotImplemented,
		noParts: s3test.PartsNeverMatch, noSums: s3test.NoChecksums,
	} {
		if w.has(flag) {
			opts = append(opts, s3test.WithQuirks(quirk))
		}
	}
	if len(w.careless) > 0 {
		opts = append(opts, s3test.WithoutConditions(w.careless...))
	}
	return opts
}

// A step starts a call, releases a request, or lets time pass. The meaning of
// a, b and c depends on the verb.
type step struct {
	verb    string
	a, b, c int
}

// The verbs.
const (
	// Replica a signs a PUT as grant a, for owner b. The key is random if c is
	// 0, and fixed otherwise.
	doPut   = "put"
	doPost  = "post"  // the same for a form
	doStart = "start" // the same for a multipart upload

	doSend = "send" // a client uploads a file of kind b with grant a

	// A client asks replica c to complete grant a. The client is the owner of
	// the grant if b is 0, and owner b-1 otherwise.
	doComplete = "complete"
	doJob      = "job"     // replica c completes grant a for the service
	doNotify   = "notify"  // replica c receives a notification for grant a
	doSweep    = "sweep"   // replica c sweeps
	doAbort    = "abort"   // the owner asks replica c to abort multipart upload a
	doLeave    = "leave"   // the client of call a disconnects
	doRewrite  = "rewrite" // the service rewrites the published file of grant a in way b
	doRemove   = "remove"  // the service deletes the published file of grant a
	doFail     = "fail"    // the next a calls of WithOnComplete fail
	doPend     = "pend"    // the next a inspections are pending
	doCrash    = "crash"   // replica c ends and another process replaces it

	// Replica c ends. Another process with the next list of secrets and other
	// credentials replaces it.
	doRotate = "rotate"

	doWait = "wait" // pauses[a] elapses
	doRun  = "run"  // waiting request a takes effect, or has stepFaults[b]

	// The process of waiting request a continues alone, until none of its
	// requests waits.
	doFinish = "finish"
	doDrain  = "drain" // all requests take effect, until none waits
)

// modelPrograms are programs that broke a promise once, or that break a promise
// if one of the engine's checks is removed.
var modelPrograms = map[string]string{
	"a deletion that a store without conditions applies to another upload": `
seed 10000602: ; careless: PutObject DeleteObject
put 1 0 1
put 2 0 1
complete 2 0 0
send 2 2 0
send 1 0 0
sweep 0 0 0
run 0 0 0
run 2 0 0`,
	"a colliding file of another grant for the same key": `
seed 10013320: sizeETags; careless: PutObject
put 0 0 1
put 1 0 1
send 1 0 0
complete 1 0 0
send 0 0 0
sweep 0 0 0
send 0 0 0
run 0 0 0
run 3 0 0`,
	"a colliding file of another grant that is uploaded before the inspection": `
seed 11008152: replaces inspects sizeETags; careless: 
post 0 0 1
post 1 0 1
complete 1 0 0
complete 0 0 0
send 0 0 0
run 0 0 0
run 0 0 0
send 1 0 0`,
	"a colliding file that is uploaded before the copy": `
seed 14066127: replaces sizeETags; careless: 
post 0 0 1
post 1 0 1
send 0 0 0
drain 0 0 0
job 1 0 0
send 1 0 0
send 1 4 0
run 2 0 0`,
	"a colliding file that is uploaded before the copy and overwrites without Replace": `
seed 24079311: sizeETags; careless: PutObject
put 0 0 1
send 0 0 0
put 1 0 1
sweep 0 0 0
send 1 0 0
run 0 0 0
complete 0 0 0
run 2 0 0`,
	"an unverified copy whose upload has expired": `
seed 24097003: ; careless: CopySource
post 1 0 0
send 1 0 0
drain 0 0 0
complete 1 0 1
complete 1 0 1
send 1 2 0
run 4 0 0
run 2 0 0
run 0 0 0
run 0 0 0
run 0 0 0
run 0 0 0
wait 8 0 0`,
	"an unverified copy that a completion finds beside an upload that it read before": `
seed 14252512: ; careless: CopySource
post 0 0 0
send 0 0 0
drain 0 0 0
wait 1 0 0
complete 0 0 2
complete 0 0 0
run 2 0 0
run 0 0 0
sweep 0 0 0
send 0 0 0
run 0 0 0
run 2 0 0
run 5 0 0`,
	"a file that the service stores just before an unverified copy is deleted": `
seed 14289634: ; careless: PutObject DeleteObject CopySource
put 1 0 1
send 1 0 0
drain 0 0 0
complete 1 0 0
put 2 0 1
run 0 0 0
send 1 0 0
send 2 0 0
run 2 0 0
finish 0 0 0
run 0 0 0
run 0 0 0
rewrite 2 0 0`,
	"a rewritten file with the ETag of an upload that has expired": `
seed 14302090: sizeETags; careless: 
put 1 0 0
send 1 0 0
complete 1 0 0
drain 0 0 0
send 1 0 0
drain 0 0 0
rewrite 1 1 0
wait 8 0 0
complete 1 0 2
run 1 0 0
rewrite 1 0 0`,
	"a completion that joins a completion that listed the parts too early": `
seed 23080296: inspects; careless: 
start 0 0 0
drain 0 0 0
notify 0 0 1
complete 0 0 2
complete 0 0 0
run 0 0 0
finish 1 0 0
run 0 0 0
send 0 0 0
run 1 0 0
finish 0 0 0
run 2 0 0
run 2 0 0
complete 0 0 0`,
	"a publication with the ETag of the file that it replaced": `
seed 23019679: replaces versions sizeETags; careless: 
post 0 0 1
drain 0 0 0
post 1 0 1
send 1 0 0
drain 0 0 0
complete 1 0 1
send 0 0 0
crash 0 0 0
finish 1 0 0
drain 0 0 0
send 1 0 0
notify 0 0 0
rewrite 0 0 0
run 5 0 0
complete 1 0 1`,
	"a copy that its maker could not read": `
seed 12027263: replaces; careless: CopySource
put 0 1 1
put 1 1 1
send 1 0 0
drain 0 0 0
complete 0 0 0
run 0 0 0
send 1 0 0
run 0 0 0
run 0 0 0
send 0 2 0
run 0 0 0
run 0 0 0
wait 3 0 0`,
	"a copy that has the ETag of the copy that it replaced": `
seed 20023428: sizeETags; careless: 
post 0 0 0
send 0 0 0
drain 0 0 0
complete 0 0 1
run 0 0 0
send 0 1 0
run 5 0 0
finish 0 0 0
run 0 0 0
run 0 0 0
complete 0 0 0`,
	"a file of an earlier grant with the same label": `
seed 20011124: ; careless: 
start 1 0 0
post 1 0 0
send 1 0 0
drain 0 0 0
send 1 5 0
complete 1 0 0`,
	"an inspected upload that is replaced before it is opened": `
seed 7: inspects; careless: 
post 0 0 0
send 0 0 0
drain 0 0 0
complete 0 0 0
run 0 0 0
run 0 0 0
run 0 0 0
send 0 0 0
run 0 0 0`,
	"an inspected upload that another replica deletes before it is opened": `
seed 1079: inspects; careless: 
post 0 0 0
send 0 3 0
drain 0 0 0
complete 0 0 2
run 5 0 0
run 0 0 0
complete 0 0 0`,
	"an inspected upload that a second PUT replaces with a colliding file": `
seed 2001549: inspects sizeETags; careless: PutObject
put 0 0 0
send 0 0 0
drain 0 0 0
complete 0 0 0
run 0 0 0
run 0 0 0
run 0 0 0
run 0 0 0
send 0 0 0
run 0 0 0`,
	"a copy that the service rewrites before it is compared": `
seed 11: ; careless: 
put 1 0 0
send 1 0 0
drain 0 0 0
wait 5 0 0
complete 1 0 0
run 0 0 0
run 0 0 0
run 0 0 0
rewrite 1 1 0`,
	"a rewritten file whose upload is repeated": `
seed 28: ; careless: 
post 2 0 0
send 2 0 0
notify 2 0 0
drain 0 0 0
wait 4 0 0
send 2 0 0
rewrite 2 1 0`,
	"an older upload under Replace": `
seed 54: replaces versions; careless: 
post 1 0 1
send 1 0 0
drain 0 0 0
post 2 0 1
send 2 0 0`,
	"a form over a pending upload": `
seed 35: ; careless: 
post 1 0 1
post 2 0 1
send 2 0 0
send 1 0 0`,
	"a replica that does not inspect": `
seed 131: inspects mixed; careless: 
put 1 0 0
send 1 0 0
complete 1 0 2`,
	"an upload that another replica publishes and deletes between two reads": `
seed 73: ; careless: 
post 1 0 0
send 1 0 0
drain 0 0 0
complete 1 0 2
run 3 0 0
complete 1 0 0`,
}

// String formats a program for parseProgram.
func (p program) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %s; careless: %s\n", p.world.seed, strings.Join(p.world.flags, " "),
		strings.Join(p.world.careless, " "))
	for _, s := range p.steps {
		fmt.Fprintf(&b, "%s %d %d %d\n", s.verb, s.a, s.b, s.c)
	}
	return b.String()
}

// parseProgram parses the result of String.
func parseProgram(text string) (program, error) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	seed, rest, ok := strings.Cut(lines[0], ": ")
	flags, careless, found := strings.Cut(rest, "; careless:")
	n, err := strconv.ParseUint(strings.TrimPrefix(seed, "seed "), 10, 64)
	if !ok || !found || err != nil {
		return program{}, fmt.Errorf("the first line must describe a world, got %q", lines[0])
	}
	p := program{world: world{n, strings.Fields(flags), strings.Fields(careless)}}
	for _, line := range lines[1:] {
		var s step
		if _, err := fmt.Sscan(line, &s.verb, &s.a, &s.b, &s.c); err != nil {
			return program{}, fmt.Errorf("%q: %w", line, err)
		}
		p.steps = append(p.steps, s)
	}
	return p, nil
}

// generate returns the program for a seed.
func generate(seed uint64) program {
	r := rand.New(rand.NewPCG(seed, 1))
	p := program{world: generateWorld(seed, r)}
	faulty := r.IntN(2) == 0
	grants := 1 + r.IntN(3)
	for id := range grants {
		p.steps = append(p.steps, generateGrant(id, r))
		if r.IntN(2) == 0 {
			p.steps = append(p.steps, step{doSend, id, r.IntN(2), 0}, step{doDrain, 0, 0, 0})
			for range r.IntN(3) {
				p.steps = append(p.steps, step{doComplete, id, 0, r.IntN(replicaCount)})
			}
		}
	}
	for range 15 + r.IntN(45) {
		p.steps = append(p.steps, generateStep(r, grants, faulty))
	}
	return p
}

func generateWorld(seed uint64, r *rand.Rand) world {
	w := world{seed: seed}
	for _, flag := range []string{replaces, versions, withInspect, mixed, retries} {
		if r.IntN(3) == 0 {
			w.flags = append(w.flags, flag)
		}
	}
	if r.IntN(3) == 0 {
		w.flags = append(w.flags, amazon)
		return w
	}
	for _, flag := range []string{sizeETags, noOnce, noParts, noSums} {
		if r.IntN(6) == 0 {
			w.flags = append(w.flags, flag)
		}
	}
	for _, operation := range []string{
		"PutObject", "CopyObject", "CompleteMultipartUpload", "DeleteObject", s3test.CopySource,
	} {
		if r.IntN(4) == 0 {
			w.careless = append(w.careless, operation)
		}
	}
	return w
}

func generateGrant(id int, r *rand.Rand) step {
	verb := []string{doPut, doPut, doPost, doPost, doStart}[r.IntN(5)]
	return step{verb, id, r.IntN(len(owners)), r.IntN(2)}
}

func generateStep(r *rand.Rand, grants int, faulty bool) step {
	id, replica := r.IntN(grants), r.IntN(replicaCount)
	switch n := r.IntN(100); {
	case n < 15:
		return step{doFinish, r.IntN(6), 0, 0}
	case n < 50:
		s := step{doRun, r.IntN(6), 0, 0}
		if faulty && r.IntN(8) == 0 {
			s.b = 1 + r.IntN(len(stepFaults)-1)
		}
		return s
	case n < 58:
		return step{doSend, id, r.IntN(len(kinds)), 0}
	case n < 74:
		s := step{doComplete, id, 0, replica}
		if r.IntN(6) == 0 {
			s.b = 1 + r.IntN(len(owners))
		}
		return s
	case n < 80:
		return step{doDrain, 0, 0, 0}
	case n < 84:
		return step{doWait, r.IntN(len(pauses)), 0, 0}
	case n < 87:
		return step{doSweep, 0, 0, replica}
	case n < 90:
		return step{[]string{doJob, doNotify, doAbort}[r.IntN(3)], id, 0, replica}
	case n < 93:
		return step{doRewrite, id, r.IntN(3), 0}
	case n < 96:
		return step{[]string{doCrash, doRotate}[r.IntN(2)], 0, 0, replica}
	case n < 97:
		return generateGrant(id, r)
	}
	return step{[]string{doFail, doPend, doLeave, doRemove}[r.IntN(4)], r.IntN(3), 0, 0}
}

// shrink returns a smaller program that fails in the same way. It removes steps
// and flags and lowers numbers as long as the program fails.
func shrink(p program, fails func(program) bool) program {
	for changed := true; changed; {
		changed = false
		for size := len(p.steps); size > 0; size /= 2 {
			for i := 0; i+size <= len(p.steps); {
				shorter := program{p.world, slices.Delete(slices.Clone(p.steps), i, i+size)}
				if fails(shorter) {
					p, changed = shorter, true
				} else {
					i += size
				}
			}
		}
		for _, simpler := range simplify(p) {
			if fails(simpler) {
				p, changed = simpler, true
				break
			}
		}
	}
	return p
}

// simplify returns programs that differ from p in one flag or number.
func simplify(p program) (simpler []program) {
	for i := range p.world.flags {
		w := p.world
		w.flags = slices.Delete(slices.Clone(w.flags), i, i+1)
		simpler = append(simpler, program{w, p.steps})
	}
	for i := range p.world.careless {
		w := p.world
		w.careless = slices.Delete(slices.Clone(w.careless), i, i+1)
		simpler = append(simpler, program{w, p.steps})
	}
	for i, s := range p.steps {
		var variants []step
		if s.a > 0 && slices.Contains([]string{doRun, doFinish, doWait, doFail, doPend}, s.verb) {
			variants = append(variants, step{s.verb, 0, s.b, s.c}, step{s.verb, s.a - 1, s.b, s.c})
		}
		if s.b > 0 {
			variants = append(variants, step{s.verb, s.a, 0, s.c})
		}
		if s.c > 0 {
			variants = append(variants, step{s.verb, s.a, s.b, 0})
		}
		if s.verb == doRun && s.b == 0 || s.verb == doFinish {
			variants = append(variants, step{doDrain, 0, 0, 0})
		}
		for _, v := range variants {
			steps := slices.Clone(p.steps)
			steps[i] = v
			simpler = append(simpler, program{p.world, steps})
		}
	}
	return simpler
}
