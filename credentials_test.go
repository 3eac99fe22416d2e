package presign_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
)

// A provider returns credentials with a lifetime, or an error.
type provider struct {
	mu       sync.Mutex
	lifetime time.Duration
	err      error
	calls    int
}

func (p *provider) Retrieve(context.Context) (aws.Credentials, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	if p.err != nil {
		return aws.Credentials{}, p.err
	}
	return aws.Credentials{
		AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "secret", SessionToken: "token",
		CanExpire: true, Expires: time.Now().Add(p.lifetime),
	}, nil
}

func signerWith(
	t *testing.T, provider aws.CredentialsProvider, lifetime time.Duration,
) *presign.Signer {
	t.Helper()
	client := newClient(func(o *s3.Options) { o.Credentials = provider })
	policy := with(func(p *presign.Policy) { p.Lifetime = lifetime })
	signer, err := presign.NewSigner(client, "bucket", policy)
	require.NoError(t, err)
	return signer
}

// measureLifetime signs a PUT and a form and returns their lifetime. It checks
// that both have the same lifetime.
func measureLifetime(t *testing.T, signer *presign.Signer) (time.Duration, error) {
	t.Helper()
	put, err := signer.Put(context.Background(), presign.Upload{Filename: "a.png", Size: 10})
	form, formErr := signer.Post(context.Background(), presign.Upload{Filename: "a.png"})
	require.Equal(t, err, formErr)
	if err != nil {
		return 0, err
	}
	require.Equal(t, put.Expires, form.Expires)
	require.Equal(t, form.Fields["x-amz-security-token"], query(t, put).Get("X-Amz-Security-Token"))
	lifetime, err := time.ParseDuration(query(t, put).Get("X-Amz-Expires") + "s")
	require.NoError(t, err)
	require.Equal(t, put.Expires, time.Now().UTC().Truncate(time.Second).Add(lifetime))
	return lifetime, nil
}

// TestClampedToCredentials checks that a grant never lasts longer than the
// credentials that signed it.
func TestClampedToCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(300 * time.Millisecond)
		ends := time.Now().Add(10 * time.Minute)
		retrieve := func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{
				AccessKeyID: "A", SecretAccessKey: "s", CanExpire: true, Expires: ends,
			}, nil
		}
		signer := signerWith(t, aws.CredentialsProviderFunc(retrieve), time.Hour)
		for _, c := range []struct{ wait, want time.Duration }{
			{0, 10 * time.Minute},
			{100 * time.Millisecond, 10 * time.Minute},
			{5 * time.Minute, 5 * time.Minute},
			{4*time.Minute + 29*time.Second, 31 * time.Second},
		} {
			time.Sleep(c.wait)
			got, err := measureLifetime(t, signer)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
			require.False(t, time.Now().UTC().Truncate(time.Second).Add(got).After(ends))
		}
		time.Sleep(time.Until(ends) - 29*time.Second)
		_, err := measureLifetime(t, signer)
		require.ErrorIs(t, err, presign.ErrCredentialsExpiring)
	})
}

func TestCredentialsErrors(t *testing.T) {
	broken := errors.New("no route to STS")
	_, err := measureLifetime(t, signerWith(t, &provider{err: broken}, time.Hour))
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "presign: retrieving credentials: no route to STS")

	retrieve := func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "A"}, nil
	}
	_, err = measureLifetime(t, signerWith(t, aws.CredentialsProviderFunc(retrieve), time.Hour))
	require.ErrorContains(t, err, "they must have an access key ID and a secret")
}

// TestCacheIsRenewedInTime checks that the credentials of the SDK's cache are
// renewed before their last seconds.
func TestCacheIsRenewedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &provider{lifetime: time.Hour}
		signer := signerWith(t, aws.NewCredentialsCache(source), 15*time.Minute)
		for range 24 * 60 {
			got, err := measureLifetime(t, signer)
			require.NoError(t, err)
			require.Equal(t, 15*time.Minute, got, "after %d retrievals", source.calls)
			time.Sleep(time.Minute)
		}
		require.InDelta(t, 24*60/45, source.calls, 3,
			"the credentials must not be renewed more often than necessary")
	})
}

// TestCacheOfShortCredentials checks that credentials that last less than a
// grant are not renewed for every grant.
func TestCacheOfShortCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &provider{lifetime: 5 * time.Minute}
		signer := signerWith(t, aws.NewCredentialsCache(source), 15*time.Minute)
		for range 600 {
			got, err := measureLifetime(t, signer)
			require.NoError(t, err)
			require.Greater(t, got, 4*time.Minute)
			time.Sleep(time.Second)
		}
		require.InDelta(t, 600/30, source.calls, 2)
	})
}

// TestCacheOutlivesFailure checks that while STS fails, the last good
// credentials sign until they expire. Afterwards, the error is returned. When
// STS works again, signing succeeds again.
func TestCacheOutlivesFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &provider{lifetime: time.Hour}
		signer := signerWith(t, aws.NewCredentialsCache(source), 15*time.Minute)
		_, err := measureLifetime(t, signer)
		require.NoError(t, err)
		source.err = errors.New("STS is down")
		const end, step = time.Hour - 30*time.Second, 10 * time.Second
		for elapsed := time.Duration(0); elapsed < end; elapsed += step {
			got, err := measureLifetime(t, signer)
			require.NoError(t, err, "after %v", elapsed)
			require.Equal(t, min(15*time.Minute, time.Hour-elapsed), got)
			time.Sleep(step)
		}
		require.InDelta(t, 15*60/30, source.calls, 3,
			"a failing STS must not be called for every grant")
		time.Sleep(time.Second)
		_, err = measureLifetime(t, signer)
		require.ErrorIs(t, err, presign.ErrCredentialsExpiring)
		time.Sleep(time.Minute)
		_, err = measureLifetime(t, signer)
		require.ErrorIs(t, err, source.err)
		source.err = nil
		got, err := measureLifetime(t, signer)
		require.NoError(t, err)
		require.Equal(t, 15*time.Minute, got)
	})
}

// A slowProvider takes a second for each call.
type slowProvider struct {
	calls    atomic.Int32
	lifetime time.Duration
}

func (p *slowProvider) Retrieve(context.Context) (aws.Credentials, error) {
	p.calls.Add(1)
	time.Sleep(time.Second)
	return aws.Credentials{
		AccessKeyID: "A", SecretAccessKey: "s", CanExpire: true,
		Expires: time.Now().Add(p.lifetime),
	}, nil
}

// TestCacheRenewedForAll checks that a caller that leaves during a renewal does
// not stop it for other callers.
func TestCacheRenewedForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &slowProvider{lifetime: time.Hour}
		signer := signerWith(t, aws.NewCredentialsCache(source), 15*time.Minute)
		_, err := measureLifetime(t, signer)
		require.NoError(t, err)
		time.Sleep(50 * time.Minute)

		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		started := time.Now()
		_, err = signer.Put(ctx, presign.Upload{Filename: "a.png", Size: 10})
		require.NoError(t, err, "the old credentials must be used")
		require.Equal(t, 100*time.Millisecond, time.Since(started))
		time.Sleep(time.Second)
		lifetime, err := measureLifetime(t, signer)
		require.NoError(t, err)
		require.Equal(t, 15*time.Minute, lifetime)
		require.EqualValues(t, 2, source.calls.Load())
	})
}

// TestCacheRenewedOnce checks that concurrent grants renew the credentials
// once.
func TestCacheRenewedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &slowProvider{lifetime: time.Hour}
		signer := signerWith(t, aws.NewCredentialsCache(source), 15*time.Minute)
		many := func() {
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					_, err := signer.Put(context.Background(),
						presign.Upload{Filename: "a.png", Size: 10})
					require.NoError(t, err)
				})
			}
			wg.Wait()
		}
		many()
		require.EqualValues(t, 1, source.calls.Load())
		time.Sleep(50 * time.Minute)
		many()
		require.EqualValues(t, 2, source.calls.Load())
	})
}
