package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// A patience describes how often and after which delays a request is repeated.
type patience struct {
	tries          uint
	first, longest time.Duration // the delay before the second try, and the longest delay
	// the time without progress after which a request is canceled and repeated
	stall time.Duration
}

// defaultPatience repeats requests for two to three minutes.
var defaultPatience = patience{
	tries: 12, first: 250 * time.Millisecond, longest: 30 * time.Second, stall: time.Minute,
}

// retry calls do until it succeeds, returns a final error, was called p.tries
// times, or ctx ends.
func (p patience) retry(ctx context.Context, do func(try int) error) error {
	growing := backoff.NewExponentialBackOff()
	growing.InitialInterval, growing.Multiplier, growing.MaxInterval = p.first, 2, p.longest
	try := 0
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		try++
		err := do(try)
		if asked := (*backoff.RetryAfterError)(nil); errors.As(err, &asked) {
			asked.Duration = min(asked.Duration, p.longest)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(growing), backoff.WithMaxTries(p.tries), backoff.WithMaxElapsedTime(0))
	if permanent := (*backoff.PermanentError)(nil); errors.As(err, &permanent) {
		return permanent.Err
	}
	return err
}

// markFinal marks an error that a repetition cannot correct.
func markFinal(err error) error { return backoff.Permanent(err) }

// setDelay sets the delay after an error, if wait is positive.
func setDelay(err error, wait time.Duration) error {
	if wait <= 0 {
		return err
	}
	return fmt.Errorf("%w: %w", err, &backoff.RetryAfterError{Duration: wait})
}
