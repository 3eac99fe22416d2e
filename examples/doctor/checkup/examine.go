package checkup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/s3presign/presign/internal/test/conformance"
)

const (
	atOnce      = 8 // cases that run concurrently
	cleanupTime = 5 * time.Minute
	longestSkew = time.Minute // the longest difference of clocks that the cases wait for
)

// examine examines the bucket and returns a Report. It removes everything that
// it uploaded. The error left describes objects that could not be removed. The
// error err is set if there is no Report.
func (p *examiner) examine(ctx context.Context) (r *Report, left, err error) {
	clock, err := p.clock(ctx)
	if err != nil {
		return nil, nil, err
	}
	target := conformance.Target{
		Client: p.store, Signer: p.signing, Bucket: p.bucket, HTTP: p.http, Prefix: p.uploads(),
		FinalPrefix: p.published(),
		Options:     p.options, Session: p.session, SessionURL: p.sessionURL,
		Behind: min(max(clock.behind+clock.within, 0), longestSkew),
	}
	put := target.Prepare(ctx)
	// The store rejected the object, so nothing is left.
	if _, other := conformance.ResponseOf(put); put != nil && other == nil {
		return nil, nil, p.diagnose(ctx, clock, put)
	}
	defer func() {
		// Requests that were cut off might still arrive.
		cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
		defer cancel()
		if cleanErr := p.clean(cleaning); cleanErr != nil {
			left = fmt.Errorf("something might be left under %s and %s: %w", p.uploads(),
				p.published(), cleanErr)
		}
	}()
	if put != nil {
		return nil, nil, fmt.Errorf("put an object under %s: %w", p.prefix, put)
	}
	if err := p.checkRemovable(ctx, target.Private()); err != nil {
		return nil, nil, err
	}
	if target.Replace, err = p.tryPUT(ctx, target); err != nil {
		return nil, nil, err
	}
	p.replace = target.Replace
	results, err := p.runAll(ctx, target)
	if err != nil {
		return nil, nil, err
	}
	r = &Report{
		Bucket: p.bucket, Endpoint: clock.host, Server: clock.server,
		Region: p.signing.Options().Region, Prefix: p.uploads(),
		Constraints: judge(results),
	}
	r.Enforced = len(r.rows(NotEnforced, Unproven)) == 0
	if r.Around, err = p.around(ctx, clock, r.Constraints); err != nil {
		return nil, nil, err
	}
	r.Paste = p.paste(r)
	return r, nil, nil
}

// tryPUT uploads a file by PUT as an honest client. It reports whether the
// store accepts the upload only without If-None-Match.
func (p *examiner) tryPUT(
	ctx context.Context, target conformance.Target,
) (replace bool, err error) {
	honest := conformance.Cases()[0]
	first := target.Run(ctx, honest)
	if first.Err != nil || first.Response.Accepted() {
		return false, first.Err
	}
	target.Replace = true
	second := target.Run(ctx, honest)
	if second.Err != nil || second.Response.Accepted() {
		return true, second.Err
	}
	return false, p.explainPUT(ctx, first.Response)
}

// runAll runs all cases, at most atOnce at a time.
func (p *examiner) runAll(
	ctx context.Context, target conformance.Target,
) ([]conformance.Result, error) {
	cases := slices.DeleteFunc(conformance.Cases(), func(c conformance.Case) bool {
		return p.formless && c.Kind == conformance.Form
	})
	results := make([]conformance.Result, len(cases))
	next := make(chan int)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for i := range next {
				if cases[i].Session && !target.Session.HasKeys() {
					results[i] = conformance.Result{Case: cases[i], Err: errNoSession}
					continue
				}
				results[i] = target.Run(ctx, cases[i])
			}
		})
	}
	for i := range cases {
		if ctx.Err() != nil {
			break
		}
		if p.progress != nil {
			p.progress(i, len(cases))
		}
		next <- i
	}
	close(next)
	workers.Wait()
	if p.progress != nil {
		p.progress(len(cases), len(cases))
	}
	if ctx.Err() != nil {
		return nil, errors.New("interrupted; everything that was uploaded is removed")
	}
	return results, nil
}

var errNoSession = errors.New("the credentials have no session token; set -role to assume a role")
