package presign_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
)

const roleARN = "arn:aws:iam::123456789012:role/uploads"

// A roles is an STS client that returns sessions of the requested duration,
// each with its own token.
type roles struct {
	mu     sync.Mutex
	delay  time.Duration
	err    error
	busy   bool
	inputs []*sts.AssumeRoleInput
	at     []time.Time
	skew   time.Duration // the difference between the clocks of STS and the caller
}

func (r *roles) AssumeRole(
	ctx context.Context, in *sts.AssumeRoleInput, _ ...func(*sts.Options),
) (*sts.AssumeRoleOutput, error) {
	r.mu.Lock()
	if r.busy {
		r.mu.Unlock()
		panic("AssumeRole must not be called concurrently")
	}
	r.inputs, r.at, r.busy = append(r.inputs, in), append(r.at, time.Now()), true
	n, delay, err := len(r.inputs), r.delay, r.err
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.busy = false
	}()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	lifetime := time.Duration(*in.DurationSeconds) * time.Second
	return &sts.AssumeRoleOutput{Credentials: &types.Credentials{
		AccessKeyId: aws.String("id"), SecretAccessKey: aws.String("secret-value-"),
		SessionToken: aws.String(fmt.Sprintf("token-value-%04d", n)),
		Expiration:   aws.Time(time.Now().Add(r.skew + lifetime)),
	}}, nil
}

func (r *roles) set(delay time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delay, r.err = delay, err
}

func (r *roles) calls() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.inputs)
}

// TestAssumeRoleSendsOptions checks that AssumeRole sends the role and options
// to STS, and returns an error for a nil client.
func TestAssumeRoleSendsOptions(t *testing.T) {
	logger, _ := newLogs(t)
	r := &roles{}
	_, err := presign.AssumeRole(r, roleARN, logger).Retrieve(t.Context())
	require.NoError(t, err)
	require.Equal(t, roleARN, *r.inputs[0].RoleArn)
	require.EqualValues(t, 3600, *r.inputs[0].DurationSeconds)

	_, err = presign.AssumeRole(r, roleARN, logger, func(o *stscreds.AssumeRoleOptions) {
		o.Duration, o.RoleSessionName = 12*time.Hour, "avatars"
		o.ExternalID, o.Policy = aws.String("example"), aws.String("{}")
	}).Retrieve(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 12*3600, *r.inputs[1].DurationSeconds)
	require.Equal(t, "avatars", *r.inputs[1].RoleSessionName)
	require.Equal(t, "example", *r.inputs[1].ExternalId)
	require.Equal(t, "{}", *r.inputs[1].Policy)

	_, err = presign.AssumeRole(nil, roleARN, logger).Retrieve(t.Context())
	require.EqualError(t, err, "assuming the role "+roleARN+": the client for STS must not be nil")
}

// TestAssumeRoleRenewsInTime checks that a session is renewed after half of its
// lifetime, and that only the first grant waits for STS.
func TestAssumeRoleRenewsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, logged := newLogs(t)
		r := &roles{delay: 20 * time.Second}
		signer := signerWith(t, presign.AssumeRole(r, roleARN, logger), 29*time.Minute)
		_, err := measureLifetime(t, signer)
		require.NoError(t, err)
		for range 24 * 60 {
			started := time.Now()
			got, err := measureLifetime(t, signer)
			require.NoError(t, err)
			require.Equal(t, 29*time.Minute, got)
			require.Equal(t, started, time.Now(), "the grant must not wait")
			time.Sleep(time.Minute)
		}
		require.InDelta(t, 24*2, r.calls(), 2)
		require.Empty(t, logged.take())
	})
}

// TestAssumeRoleAfterSleep checks that a session is renewed if its remaining
// lifetime is too short for a grant, for example after the machine has slept.
func TestAssumeRoleAfterSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, _ := newLogs(t)
		r := &roles{delay: time.Second}
		signer := signerWith(t, presign.AssumeRole(r, roleARN, logger), 15*time.Minute)
		_, err := measureLifetime(t, signer)
		require.NoError(t, err)
		time.Sleep(time.Hour - 20*time.Second)
		got, err := measureLifetime(t, signer)
		require.NoError(t, err)
		require.Equal(t, 15*time.Minute, got)
		require.Equal(t, 2, r.calls())
	})
}

// TestAssumeRoleOutlivesFailure checks that while STS fails, the last session
// is used until it expires, and STS is not called too often. When STS works
// again, signing succeeds again.
func TestAssumeRoleOutlivesFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, logged := newLogs(t)
		r := &roles{}
		provider := presign.AssumeRole(r, roleARN, logger)
		signer := signerWith(t, provider, 15*time.Minute)
		_, err := measureLifetime(t, signer)
		require.NoError(t, err)
		broken := errors.New("no route to STS")
		r.set(2*time.Second, broken)
		const last = time.Hour - 30*time.Second
		for elapsed := time.Duration(0); elapsed <= last; elapsed += time.Second {
			started := time.Now()
			got, err := measureLifetime(t, signer)
			require.NoError(t, err, "after %v", elapsed)
			require.Equal(t, min(15*time.Minute, time.Hour-elapsed), got)
			require.Equal(t, started, time.Now(), "the grant must not wait")
			time.Sleep(time.Second)
		}
		require.InDelta(t, 30*60/32, r.calls(), 4)
		warnings := logged.take()
		require.InDelta(t, r.calls()-1, len(warnings), 1)
		require.Contains(t, warnings[0], "WARN role not assumed")

		_, err = measureLifetime(t, signer)
		require.ErrorIs(t, err, presign.ErrCredentialsExpiring)
		_, err = provider.Retrieve(t.Context())
		require.NoError(t, err, "other callers must receive the session until it expires")
		time.Sleep(30 * time.Second)
		before := r.calls()
		for range 60 {
			_, err = measureLifetime(t, signer)
			require.ErrorIs(t, err, broken)
			time.Sleep(time.Second)
		}
		require.InDelta(t, 120/7, r.calls()-before, 9)
		for i := range r.at[1:] {
			require.GreaterOrEqual(t, r.at[i+1].Sub(r.at[i]), 5*time.Second)
		}

		logged.take()
		r.set(0, nil)
		time.Sleep(5 * time.Second)
		got, err := measureLifetime(t, signer)
		require.NoError(t, err)
		require.Equal(t, 15*time.Minute, got)
		require.Len(t, logged.take(), 1)
	})
}

// TestAssumeRoleOnce checks that concurrent callers make one request to STS for
// each session.
func TestAssumeRoleOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, _ := newLogs(t)
		r := &roles{delay: time.Second}
		provider := presign.AssumeRole(r, roleARN, logger)
		many := func() {
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					_, err := provider.Retrieve(context.Background())
					require.NoError(t, err)
				})
			}
			wg.Wait()
		}
		for n, wait := range []time.Duration{
			0, 30 * time.Minute, time.Hour - 20*time.Second, 3 * time.Hour,
		} {
			time.Sleep(wait)
			many()
			synctest.Wait()
			time.Sleep(2 * time.Second)
			require.Equal(t, n+1, r.calls())
		}
		c, err := provider.Retrieve(t.Context())
		require.NoError(t, err)
		require.Equal(t, "token-value-0004", c.SessionToken)
	})
}

// TestAssumeRoleCallerLeaves checks that a caller waits no longer than its
// context allows, and that the request to STS continues without the caller.
func TestAssumeRoleCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, logged := newLogs(t)
		r := &roles{delay: 10 * time.Second}
		provider := presign.AssumeRole(r, roleARN, logger)
		signer := signerWith(t, provider, time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		started := time.Now()
		_, err := signer.Put(ctx, presign.Upload{Filename: "a.png", Size: 10})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(started))
		c, err := provider.Retrieve(t.Context())
		require.NoError(t, err)
		require.Equal(t, "token-value-0001", c.SessionToken)
		require.Equal(t, 10*time.Second, time.Since(started))
		require.Equal(t, 1, r.calls())

		// A renewal in the background continues after the caller's context is
		// canceled.
		time.Sleep(40 * time.Minute)
		ctx, cancel = context.WithCancel(t.Context())
		_, err = provider.Retrieve(ctx)
		require.NoError(t, err)
		cancel()
		time.Sleep(11 * time.Second)
		c, err = provider.Retrieve(ctx)
		require.NoError(t, err)
		require.Equal(t, "token-value-0002", c.SessionToken)
		require.Empty(t, logged.take())
	})
}

// TestAssumeRoleHanging checks that a hanging request to STS is canceled after
// 30 seconds, and that no goroutine remains.
func TestAssumeRoleHanging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, logged := newLogs(t)
		r := &roles{delay: time.Hour}
		provider := presign.AssumeRole(r, roleARN, logger)
		started := time.Now()
		_, err := provider.Retrieve(context.Background())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 30*time.Second, time.Since(started))
		require.Len(t, logged.take(), 1)
		r.set(0, nil)
		time.Sleep(5 * time.Second)
		_, err = provider.Retrieve(context.Background())
		require.NoError(t, err)
	})
}

// TestAssumeRoleWrongClock checks that a session that has already expired is an
// error, and that STS is not called again for every grant.
func TestAssumeRoleWrongClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, _ := newLogs(t)
		r := &roles{skew: -2 * time.Hour}
		signer := signerWith(t, presign.AssumeRole(r, roleARN, logger), time.Minute)
		for range 100 {
			_, err := measureLifetime(t, signer)
			require.ErrorContains(t, err, "check the clock of this machine")
			time.Sleep(100 * time.Millisecond)
		}
		require.Equal(t, 2, r.calls())
	})
}

// TestOwnProvidersUncached checks that EnvFile and AssumeRole are rejected
// inside a cache, which would hide their renewals.
func TestOwnProvidersUncached(t *testing.T) {
	logger, _ := newLogs(t)
	for name, provider := range map[string]aws.CredentialsProvider{
		"EnvFile":    presign.EnvFile("awsenv.list", logger),
		"AssumeRole": presign.AssumeRole(&roles{}, roleARN, logger),
	} {
		sign := func(provider aws.CredentialsProvider) error {
			client := newClient(func(o *s3.Options) { o.Credentials = provider })
			_, err := presign.NewSigner(client, "bucket", images())
			return err
		}
		require.NoError(t, sign(provider))
		cache := aws.NewCredentialsCache(provider)
		for _, cached := range []aws.CredentialsProvider{cache, aws.NewCredentialsCache(cache)} {
			require.EqualError(t, sign(cached),
				"presign: the client's credentials must not be "+name+" inside an "+
					"aws.CredentialsCache (config.LoadDefaultConfig adds one), "+
					"which hides when they are renewed; "+
					"set s3.Options.Credentials to the provider itself")
		}
	}
}

// TestAssumeRoleNilPointer checks that Retrieve returns an error and does not
// panic if the client is a nil pointer.
func TestAssumeRoleNilPointer(t *testing.T) {
	var client *sts.Client
	_, err := presign.AssumeRole(client, "arn:aws:iam::123456789012:role/uploads",
		slog.New(slog.DiscardHandler)).Retrieve(t.Context())
	require.ErrorContains(t, err, "panicked")
}
