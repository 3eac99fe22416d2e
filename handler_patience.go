package presign

import (
	"context"
	"sync"
	"time"
)

// patient returns a context that ends backendTime after someone began to wait for it. Most providers have their
// credentials at hand, so that nobody does, and a timer for each grant would cost a good part of its signature.
func patient(ctx context.Context) *patience { return &patience{Context: ctx} }

type patience struct {
	context.Context
	once   sync.Once
	timed  context.Context // from when someone waits
	cancel context.CancelFunc
}

func (p *patience) wait() context.Context {
	p.once.Do(func() { p.timed, p.cancel = context.WithTimeout(p.Context, backendTime) })
	return p.timed
}

func (p *patience) Deadline() (time.Time, bool) { return p.wait().Deadline() }
func (p *patience) Done() <-chan struct{}       { return p.wait().Done() }
func (p *patience) Err() error                  { return p.wait().Err() }

// end releases the timer, if there is one.
func (p *patience) end() {
	p.once.Do(func() { p.timed, p.cancel = ended, func() {} })
	p.cancel()
}

// ended is for who begins to wait when nobody is waited for any more.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()
