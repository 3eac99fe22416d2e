package presign

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// ErrCredentialsExpiring is returned where the credentials have less than 30 seconds left: what they sign dies with
// them, whatever its own lifetime.
var ErrCredentialsExpiring = errors.New("presign: the credentials expire too soon to sign with; try again when they are renewed")

// errRetrieving marks what the provider of the credentials failed with.
var errRetrieving = errors.New("presign: retrieving credentials")

const (
	minRemaining  = 30 * time.Second // of credentials that sign
	renewInterval = 30 * time.Second // between two attempts to renew credentials ahead of time
)

// credentialSource retrieves the credentials that sign. It has an aws.CredentialsCache renew them while they still last
// longer than a grant: by itself the cache hands them out until their last second, and grants would die with them.
type credentialSource struct {
	provider aws.CredentialsProvider
	cache    *aws.CredentialsCache // provider, if it is one

	good     atomic.Pointer[aws.Credentials] // what stands in while the cache fails
	renewing sync.Mutex
	renewed  time.Time // when that was last tried; guarded by renewing
}

func newCredentialSource(provider aws.CredentialsProvider) *credentialSource {
	cache, _ := provider.(*aws.CredentialsCache)
	return &credentialSource{provider: provider, cache: cache}
}

// retrieve returns credentials and how long they last at now, at most limit. They last longer than limit if there are
// any such to be had.
func (s *credentialSource) retrieve(ctx context.Context, now time.Time, limit time.Duration) (aws.Credentials, time.Duration, error) {
	c, err := s.current(ctx, now)
	if err == nil && s.cache != nil && c.CanExpire && c.Expires.Sub(now) < limit {
		c = s.renew(ctx, now, c)
	}
	switch {
	case err != nil:
		return aws.Credentials{}, 0, fmt.Errorf("%w: %w", errRetrieving, err)
	case !c.HasKeys():
		return aws.Credentials{}, 0, fmt.Errorf("%w: they lack an access key id or a secret", errRetrieving)
	case !c.CanExpire:
		return c, limit, nil
	}
	remaining := c.Expires.Sub(now)
	if remaining < minRemaining {
		return aws.Credentials{}, 0, ErrCredentialsExpiring
	}
	return c, min(remaining, limit), nil
}

func (s *credentialSource) current(ctx context.Context, now time.Time) (aws.Credentials, error) {
	if good := s.good.Load(); good != nil && good.Expires.After(now) {
		return *good, nil
	}
	return s.provider.Retrieve(ctx)
}

// renew has the cache replace credentials that end soon, for one caller at a time and not too often. While that fails,
// and while it lasts, the ones that were good sign on.
func (s *credentialSource) renew(ctx context.Context, now time.Time, c aws.Credentials) aws.Credentials {
	if !s.renewing.TryLock() {
		return c
	}
	defer s.renewing.Unlock()
	if now.Sub(s.renewed) < renewInterval {
		return c
	}
	s.renewed = now
	s.good.Store(&c) // before the cache forgets them
	s.cache.Invalidate()
	fresh, err := s.cache.Retrieve(ctx)
	if err != nil {
		return c
	}
	s.good.Store(nil)
	return fresh
}
