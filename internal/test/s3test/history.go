package s3test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// A Moment is a point in the life of a server.
type Moment struct {
	Tick int64 // of the clock that WithTick sets; without it, the same as Step
	Step int64 // number of events so far, different for any two changes of objects
}

// forever is the Until of states that still exist.
var forever = Moment{math.MaxInt64, math.MaxInt64}

// A Request describes a request to the server.
type Request struct {
	Number      int // from 1, in the order in which the server handled the requests
	Actor       string
	Method      string
	Operation   string // as S3 names it; PostObject for a form; empty if unknown
	Bucket, Key string // a form's Key is known only after the request was performed
	Status      int    // 0 if no response was sent
	// Start and End are ticks. Without WithTick, they count events, and the
	// order of concurrent requests is random.
	Start, End int64
}

// String returns one line.
func (r Request) String() string {
	return fmt.Sprintf("%d %s %s %s %s %d", r.Number, span(r.Start, r.End), cmp.Or(r.Actor, "-"),
		r.Operation, r.Key, r.Status)
}

func span(start, end int64) string {
	if end == forever.Tick {
		return fmt.Sprintf("[%d-]", start)
	}
	return fmt.Sprintf("[%d-%d]", start, end)
}

// Requests are ordered by Number.
type Requests []Request

// String returns a line for each request.
func (rs Requests) String() string {
	var b strings.Builder
	for _, r := range rs {
		b.WriteString(r.String() + "\n")
	}
	return b.String()
}

// By returns the requests of the actor.
func (rs Requests) By(actor string) Requests {
	return rs.filter(func(r Request) bool { return r.Actor == actor })
}

// Of returns the requests for these operations.
func (rs Requests) Of(operations ...string) Requests {
	return rs.filter(func(r Request) bool { return slices.Contains(operations, r.Operation) })
}

// After returns the requests whose Number is greater than number.
func (rs Requests) After(number int) Requests {
	return rs.filter(func(r Request) bool { return r.Number > number })
}

func (rs Requests) filter(keep func(Request) bool) Requests {
	return slices.DeleteFunc(slices.Clone(rs), func(r Request) bool { return !keep(r) })
}

// Depth returns the length of the longest chain of requests in which each
// request started after the previous one had ended. Requests that took no tick
// do not count. Depth is exact if the server has WithTick.
func (rs Requests) Depth() int {
	depth, ended := 0, int64(math.MinInt64)
	byEnd := slices.Clone(rs)
	slices.SortStableFunc(byEnd, func(a, b Request) int { return cmp.Compare(a.End, b.End) })
	for _, r := range byEnd {
		if r.Start >= ended && r.Start < r.End {
			depth++
			ended = r.End
		}
	}
	return depth
}

// A State is an object that was stored under a key for a time.
type State struct {
	Bucket, Key string
	Object
	From, Until     Moment // Until is in the far future if the state still exists
	MadeBy, EndedBy int    // numbers of requests; 0 without a request
}

// Exists reports whether the state existed at the moment.
func (s State) Exists(m Moment) bool { return s.From.Step <= m.Step && m.Step < s.Until.Step }

// String returns one line, without the object's bytes.
func (s State) String() string {
	return fmt.Sprintf("%s %s %s %d B %s by %d", s.Key, s.VersionID, s.ETag, s.Size(),
		span(s.From.Tick, s.Until.Tick), s.MadeBy)
}

// A History holds every request and every state of every key. It does not
// change.
type History struct {
	Requests Requests
	changes  []change
}

// A change is the replacement of all versions of a key.
type change struct {
	Moment
	by          int
	bucket, key string
	versions    []*Object // the oldest first
}

// WithHistory makes the server record the History. The server keeps all bytes
// that it has stored.
func WithHistory() Option {
	return func(s *Server) { s.recording = true }
}

// History returns the requests and states so far. It panics if the server was
// created without WithHistory.
func (s *Server) History() History {
	if !s.recording {
		panic("s3test: the server must be created WithHistory")
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	h := History{changes: slices.Clip(s.changes)}
	for _, r := range s.requests {
		h.Requests = append(h.Requests, *r)
	}
	return h
}

// Now returns the present moment. Two calls return the same Step if no request
// and no change happened between them.
func (s *Server) Now() Moment {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.moment()
}

func (s *Server) moment() Moment {
	if s.clock == nil {
		return Moment{s.steps, s.steps}
	}
	return Moment{s.clock.now(), s.steps}
}

// next starts a new step. The caller holds the lock.
func (s *Server) next() Moment {
	s.steps++
	return s.moment()
}

// States returns every version that was ever stored under the key, including
// delete markers, by time of appearance.
func (h History) States(key string) []State {
	return h.Ever(func(s State) bool { return s.Key == key })
}

// Ever returns every matching version that was ever stored under any key, by
// time of appearance. In a bucket with versioning, the version need not have
// been the current one.
func (h History) Ever(match func(State) bool) []State {
	return h.collect(match, func(versions []*Object) []*Object { return versions })
}

// Visible returns every state that a request without a version ID could have
// found under a key with the prefix, by time of appearance. A version that
// becomes the current one again appears again.
func (h History) Visible(prefix string) []State {
	match := func(s State) bool { return strings.HasPrefix(s.Key, prefix) }
	return h.collect(match, func(versions []*Object) []*Object {
		if n := len(versions); n > 0 && !versions[n-1].DeleteMarker {
			return versions[n-1:]
		}
		return nil
	})
}

// collect returns the matching states. For each change, the function selected
// returns the objects that exist from then on.
func (h History) collect(match func(State) bool, selected func([]*Object) []*Object) []State {
	type place struct{ bucket, key string }
	var states []*State
	open := make(map[place]map[*Object]*State)
	for _, c := range h.changes {
		here := place{c.bucket, c.key}
		if open[here] == nil {
			open[here] = make(map[*Object]*State)
		}
		objects := selected(c.versions)
		for o, state := range open[here] {
			if !slices.Contains(objects, o) {
				state.Until, state.EndedBy = c.Moment, c.by
				delete(open[here], o)
			}
		}
		for _, o := range objects {
			if open[here][o] == nil {
				state := &State{
					Bucket: c.bucket, Key: c.key, Object: *o,
					From: c.Moment, Until: forever, MadeBy: c.by,
				}
				open[here][o] = state
				states = append(states, state)
			}
		}
	}
	var matching []State
	for _, state := range states {
		if match(*state) {
			matching = append(matching, *state)
		}
	}
	return matching
}
