package credential

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// ErrExpiring is returned if the credentials expire too soon to sign with.
var ErrExpiring = errors.New(
	"presign: the credentials expire too soon to sign with; try again when they are renewed")

// ErrRetrieve wraps the errors of the provider of the credentials.
var ErrRetrieve = errors.New("presign: retrieving credentials")

const (
	// minRemaining is the shortest remaining lifetime of credentials that sign.
	minRemaining = 30 * time.Second

	// renewInterval is the time between two attempts to renew credentials ahead
	// of time.
	renewInterval = 30 * time.Second

	// retryInterval is the time between two attempts to retrieve credentials if
	// none are valid.
	retryInterval = 5 * time.Second

	// renewTime is the limit for one attempt, even if the waiting caller gives
	// up earlier.
	renewTime = 30 * time.Second
)

// A Source retrieves the credentials that sign. It is safe for concurrent use.
//
// An aws.CredentialsCache returns credentials until their last second, and
// grants would expire with them. So a Source makes the cache renew credentials
// that do not outlive a grant.
type Source struct {
	provider aws.CredentialsProvider
	cache    *aws.CredentialsCache // the provider if it is a cache, or nil

	// standby is used while the cache renews credentials or fails.
	standby atomic.Pointer[aws.Credentials]

	renewing sync.Mutex
	renewed  time.Time // when the last attempt started; guarded by renewing
}

// NewSource returns a Source for a provider. It returns an error if the
// credentials of the provider cannot sign, or if the provider must not be
// inside a cache but is.
func NewSource(provider aws.CredentialsProvider) (*Source, error) {
	if provider == nil || aws.IsCredentialsProvider(provider, (*aws.AnonymousCredentials)(nil)) {
		return nil, errors.New(
			"the client must have credentials; anonymous requests cannot be signed")
	}
	cache, _ := provider.(*aws.CredentialsCache)
	if cache != nil {
		for own, name := range map[aws.CredentialsProvider]string{
			(*fileProvider)(nil): "EnvFile", (*Role)(nil): "AssumeRole",
		} {
			if cache.IsCredentialsProvider(own) {
				return nil, fmt.Errorf(
					"the client's credentials must not be %s inside an aws.CredentialsCache "+
						"(config.LoadDefaultConfig adds one), which hides when they are renewed; "+
						"set s3.Options.Credentials to the provider itself", name)
			}
		}
	}
	return &Source{provider: provider, cache: cache}, nil
}

// Retrieve returns credentials, the current time, and the remaining lifetime of
// the credentials. The lifetime counts from the start of the current second and
// is at most limit. If possible, the credentials outlive limit.
func (s *Source) Retrieve(ctx context.Context, limit time.Duration) (
	c aws.Credentials, now time.Time, lifetime time.Duration, err error,
) {
	c, err = s.current(ctx)
	now = time.Now() // The provider might have taken a while.
	if err == nil && s.cache != nil && c.CanExpire && c.Expires.Sub(now) < limit {
		c = s.renew(ctx, now, c)
		now = time.Now()
	}
	switch {
	case err != nil:
		return aws.Credentials{}, now, 0, fmt.Errorf("%w: %w", ErrRetrieve, err)
	case !c.HasKeys():
		return aws.Credentials{}, now, 0, fmt.Errorf("%w: they must have an access key ID and a secret", ErrRetrieve)
	case !c.CanExpire:
		return c, now, limit, nil
	}
	remaining := c.Expires.Sub(now.UTC().Truncate(time.Second))
	if remaining < minRemaining {
		return aws.Credentials{}, now, 0, ErrExpiring
	}
	return c, now, min(remaining, limit), nil
}

func (s *Source) current(ctx context.Context) (aws.Credentials, error) {
	if standby := s.standby.Load(); standby != nil && standby.Expires.After(time.Now()) {
		return *standby, nil
	}
	return s.provider.Retrieve(ctx)
}

// renew makes the cache replace credentials that expire soon, for one caller at
// a time and at most once in renewInterval. Until the cache has new
// credentials, the old credentials sign.
func (s *Source) renew(ctx context.Context, now time.Time, c aws.Credentials) aws.Credentials {
	if !s.renewing.TryLock() {
		return c
	}
	if now.Sub(s.renewed) < renewInterval {
		s.renewing.Unlock()
		return c
	}
	s.renewed = now
	s.standby.Store(&c) // The cache drops its credentials next.
	s.cache.Invalidate()
	renewed := make(chan aws.Credentials, 1)
	// The goroutine outlives the caller, since other callers use the result.
	go func() {
		defer s.renewing.Unlock()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewTime)
		defer cancel()
		fresh, err := s.cache.Retrieve(ctx)
		if err != nil {
			fresh = c
		} else {
			s.standby.Store(nil)
		}
		renewed <- fresh
	}()
	select {
	case fresh := <-renewed:
		return fresh
	case <-ctx.Done():
		return c
	}
}

// fileProvider provides the credentials of a File.
type fileProvider struct{ file *File }

// NewFileProvider returns a provider of the credentials in a file.
func NewFileProvider(file *File) aws.CredentialsProvider { return &fileProvider{file} }

// Retrieve implements [aws.CredentialsProvider].
func (p *fileProvider) Retrieve(context.Context) (aws.Credentials, error) {
	c, err := p.file.Credentials()
	if err != nil {
		return aws.Credentials{}, err
	}
	return aws.Credentials{
		AccessKeyID: c.ID, SecretAccessKey: c.Secret, SessionToken: c.Token, Source: "EnvFile",
		CanExpire: !c.Expires.IsZero(), Expires: c.Expires,
	}, nil
}
