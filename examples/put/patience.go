package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// patience says how often something is tried again, and how long is waited before.
type patience struct {
	tries          uint
	first, longest time.Duration // before the second try, and before any
	stall          time.Duration // without any progress, after which an upload is given up and tried again
}

// usual goes on for two to three minutes.
var usual = patience{tries: 12, first: 250 * time.Millisecond, longest: 30 * time.Second, stall: time.Minute}

// retry does something until it succeeds, fails for good, has been tried often enough, or ctx ends.
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

// final is an error after which there is no use in trying again.
func final(err error) error { return backoff.Permanent(err) }

// later is an error after which to wait for so long, if it is known how long.
func later(err error, wait time.Duration) error {
	if wait <= 0 {
		return err
	}
	return fmt.Errorf("%w: %w", err, &backoff.RetryAfterError{Duration: wait})
}
