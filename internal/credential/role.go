package credential

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

const roleDuration = time.Hour

// A Role provides the credentials of sessions in an IAM role. It is safe for
// concurrent use.
type Role struct {
	provider *stscreds.AssumeRoleProvider
	roleARN  string
	logger   *slog.Logger
	last     atomic.Pointer[session]

	mu sync.Mutex

	// attempt is closed when the current attempt ends. It is nil if no attempt
	// is running, and guarded by mu.
	attempt chan struct{}
}

// NewRole returns a Role that calls STS through client.
func NewRole(
	client stscreds.AssumeRoleAPIClient, roleARN string, logger *slog.Logger,
	optFns ...func(*stscreds.AssumeRoleOptions),
) *Role {
	r := &Role{roleARN: roleARN, logger: logger}
	optFns = append(optFns[:len(optFns):len(optFns)], func(o *stscreds.AssumeRoleOptions) {
		o.Duration = cmp.Or(o.Duration, roleDuration)
		if o.Client == nil {
			o.Client = noSTS{} // A nil client would panic in the background.
		}
	})
	r.provider = stscreds.NewAssumeRoleProvider(client, roleARN, optFns...)
	r.last.Store(&session{})
	return r
}

// A session is the result of the last attempt to start a session.
type session struct {
	credentials aws.Credentials

	// err is the error of the attempt. If it is not nil, the credentials belong
	// to the previous session.
	err error

	// next is the time of the next attempt by the monotonic clock, since the
	// wall clock can be set.
	next time.Time
}

// isFresh reports whether no attempt is due. After a machine has slept, the
// session might have ended although no attempt is due by the monotonic clock.
func (s *session) isFresh(now time.Time) bool {
	return now.Before(s.next) && (s.err != nil || s.remaining(now) > 0)
}

func (s *session) remaining(now time.Time) time.Duration {
	return max(0, s.credentials.Expires.Sub(now))
}

// result returns the credentials unless they have expired and cannot be
// renewed.
func (s *session) result(now time.Time) (aws.Credentials, error) {
	if s.err != nil && s.remaining(now) == 0 {
		return aws.Credentials{}, s.err
	}
	return s.credentials, nil
}

// Retrieve implements [aws.CredentialsProvider].
func (r *Role) Retrieve(ctx context.Context) (aws.Credentials, error) {
	now, last := time.Now(), r.last.Load()
	if last.isFresh(now) {
		return last.result(now)
	}
	done := r.startAttempt(ctx)
	if last.remaining(now) >= minRemaining {
		return last.credentials, nil
	}
	select {
	case <-done:
		return r.last.Load().result(time.Now())
	case <-ctx.Done():
		return aws.Credentials{}, fmt.Errorf("assuming the role %s: %w", r.roleARN, ctx.Err())
	}
}

// startAttempt starts an attempt unless there is one. It returns a channel that
// is closed when the attempt has ended.
func (r *Role) startAttempt(ctx context.Context) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.attempt != nil {
		return r.attempt
	}
	done := make(chan struct{})
	last := r.last.Load()
	if last.isFresh(time.Now()) {
		// An attempt has ended since the caller checked.
		close(done)
		return done
	}
	r.attempt = done
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewTime)
		defer cancel()
		r.last.Store(r.assume(ctx, last))
		r.mu.Lock()
		defer r.mu.Unlock()
		r.attempt = nil
		close(done)
	}()
	return done
}

// assume makes one attempt. Attempts never overlap, since stscreds is not safe
// for concurrent use.
func (r *Role) assume(ctx context.Context, last *session) *session {
	credentials, err := r.callSTS(ctx)
	// Round removes the monotonic clock.
	credentials.Expires = credentials.Expires.Round(0)
	now, s := time.Now(), &session{credentials: credentials}
	switch {
	case err != nil:
	case !credentials.HasKeys():
		err = errors.New("STS returned no keys")
	case s.remaining(now) == 0:
		err = fmt.Errorf("STS returned a session that ended at %v; check the clock of this machine",
			credentials.Expires)
	default:
		if last.err != nil {
			r.logger.InfoContext(ctx, "role assumed again", slog.String("role", r.roleARN))
		}
		s.next = now.Add(max(s.remaining(now)/2, retryInterval))
		return s
	}
	// If possible, the next attempt comes before the last credentials are too
	// old to sign.
	wait := min(renewInterval, max(retryInterval, last.remaining(now)-minRemaining))
	r.logger.WarnContext(ctx, "role not assumed", slog.String("role", r.roleARN),
		slog.Any("error", err),
		slog.Duration("left", last.remaining(now).Truncate(time.Second)),
		slog.Duration("retry_in", wait))
	return &session{last.credentials, fmt.Errorf("assuming the role %s: %w", r.roleARN, err), now.Add(wait)}
}

// callSTS calls STS. It turns a panic into an error, because a panic would end
// the program here. A client that is a nil pointer panics, for example.
func (r *Role) callSTS(ctx context.Context) (c aws.Credentials, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the client for STS, or one of the options, panicked: %v", p)
		}
	}()
	return r.provider.Retrieve(ctx)
}

// noSTS replaces a client that is nil.
type noSTS struct{}

// AssumeRole implements [stscreds.AssumeRoleAPIClient].
func (noSTS) AssumeRole(
	context.Context, *sts.AssumeRoleInput, ...func(*sts.Options),
) (*sts.AssumeRoleOutput, error) {
	return nil, errors.New("the client for STS must not be nil")
}
