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

	good     atomic.Pointer[aws.Credentials] // what cache last had
	renewing sync.Mutex
	renewed  time.Time // guarded by renewing
}

func newCredentialSource(provider aws.CredentialsProvider) *credentialSource {
	cache, _ := provider.(*aws.CredentialsCache)
	return &credentialSource{provider: provider, cache: cache}
}

// retrieve returns credentials and how long they last at now, at most limit. They last longer than limit if there are
// any such to be had.
func (s *credentialSource) retrieve(ctx context.Context, now time.Time, limit time.Duration) (aws.Credentials, time.Duration, error) {
	c, err := s.provider.Retrieve(ctx)
	if s.cache != nil {
		c, err = s.renew(ctx, now, limit, c, err)
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

// renew replaces credentials that end within limit, one caller at a time and not too often. When that fails the ones
// that were good stay so until they end.
func (s *credentialSource) renew(ctx context.Context, now time.Time, limit time.Duration, c aws.Credentials, err error) (aws.Credentials, error) {
	if err != nil {
		if good := s.good.Load(); good != nil && good.Expires.After(now) {
			return *good, nil
		}
		return c, err
	}
	if !c.CanExpire || c.Expires.Sub(now) >= limit || !s.renewing.TryLock() {
		return c, nil
	}
	defer s.renewing.Unlock()
	if now.Sub(s.renewed) < renewInterval {
		return c, nil
	}
	s.renewed = now
	s.good.Store(&c) // before the cache forgets them: other callers fall back on them meanwhile
	s.cache.Invalidate()
	if fresh, err := s.cache.Retrieve(ctx); err == nil {
		s.good.Store(&fresh)
		return fresh, nil
	}
	return c, nil
}
