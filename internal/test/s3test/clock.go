package s3test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// WithTick sets a virtual clock on which each request takes exactly one tick of
// length d.
//
// Tests must create the server and send all requests inside one
// testing/synctest bubble, where time passes only while every goroutine waits.
// Ticks start at multiples of d. A request that arrives during a tick takes
// effect when the tick ends, and its response is returned at once. Two requests
// therefore share a tick if and only if they were in flight together.
//
// Requests of one tick take effect one after another, ordered by actor, method
// and URL. The next request takes effect only after every goroutine of the
// bubble waits again. Together with testing/cryptotest.SetGlobalRandom,
// WithTick makes a test repeatable.
func WithTick(d time.Duration) Option {
	return func(s *Server) {
		s.clock = &clock{length: d, start: time.Now(), pending: make(map[int64]*batch)}
	}
}

// A clock divides time into ticks and orders the requests of each tick.
type clock struct {
	length time.Duration
	start  time.Time

	mu      sync.Mutex
	pending map[int64]*batch // by the tick in which the requests arrived
	turns   time.Duration    // one nanosecond for each turn, up to half a tick
}

// A batch holds the requests that arrived in one tick.
type batch struct {
	sorted  bool
	tickets []*ticket
}

// A ticket is a request's place in its batch.
type ticket struct {
	rank string
	turn time.Duration // after the end of the tick
}

func (c *clock) now() int64 { return int64(time.Since(c.start) / c.length) }

// wait waits for the request's turn, after the end of the present tick. It
// returns an error if ctx ends first.
func (c *clock) wait(ctx context.Context, rank string) error {
	c.mu.Lock()
	tick := c.now()
	b := c.pending[tick]
	if b == nil {
		b = new(batch)
		c.pending[tick] = b
	}
	t := &ticket{rank: rank}
	b.tickets = append(b.tickets, t)
	c.mu.Unlock()
	if err := sleep(ctx, time.Until(c.start.Add(time.Duration(tick+1)*c.length))); err != nil {
		return err
	}
	c.mu.Lock()
	if !b.sorted {
		b.sorted = true
		delete(c.pending, tick)
		slices.SortStableFunc(b.tickets,
			func(a, b *ticket) int { return strings.Compare(a.rank, b.rank) })
		if c.turns+time.Duration(len(b.tickets)) > c.length/2 {
			c.turns = 0
		}
		for _, t := range b.tickets {
			c.turns++
			t.turn = c.turns
		}
	}
	c.mu.Unlock()
	// In a bubble, a nanosecond passes only after every goroutine waits. Each
	// turn has another distance from the end of its tick. Otherwise a goroutine
	// that has slept for some ticks could wake up during the turn of another
	// request. The distances start again before they exceed half a tick.
	return sleep(ctx, t.turn)
}

// sleep returns after d, or with an error if ctx has ended by then.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// rank returns the text by which the requests of a tick are ordered.
func rank(actor string, r *request) string {
	return strings.Join([]string{
		actor, r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Get("Range"),
		r.Header.Get("X-Amz-Copy-Source-Range"),
		r.Header.Get("X-Amz-Content-Sha256"),
	}, "\x00")
}
