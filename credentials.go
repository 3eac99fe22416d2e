package presign

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

	"github.com/s3presign/presign/internal/credential"
)

// ErrCredentialsExpiring is returned where the credentials have less than 30 seconds left: what they sign dies with
// them, whatever its own lifetime.
var ErrCredentialsExpiring = errors.New("presign: the credentials expire too soon to sign with; try again when they are renewed")

// errRetrieving marks what the provider of the credentials failed with.
var errRetrieving = errors.New("presign: retrieving credentials")

const (
	minRemaining  = 30 * time.Second // of credentials that sign
	renewInterval = 30 * time.Second // between two attempts to renew credentials ahead of time
	retryInterval = 5 * time.Second  // between two attempts to get any
	renewTime     = 30 * time.Second // that one attempt may take, though a caller that waits for it may give up before
	roleDuration  = time.Hour
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

func newCredentialSource(provider aws.CredentialsProvider) (*credentialSource, error) {
	if provider == nil || aws.IsCredentialsProvider(provider, (*aws.AnonymousCredentials)(nil)) {
		return nil, errors.New("the client has no credentials; anonymous requests cannot be signed")
	}
	cache, _ := provider.(*aws.CredentialsCache)
	if cache != nil {
		for own, name := range map[aws.CredentialsProvider]string{(*envFile)(nil): "EnvFile", (*assumedRole)(nil): "AssumeRole"} {
			if cache.IsCredentialsProvider(own) {
				return nil, fmt.Errorf("the client's credentials are %s inside an aws.CredentialsCache "+
					"(config.LoadDefaultConfig puts one around what it is given), which hides when they are renewed; "+
					"give the provider itself to s3.Options.Credentials", name)
			}
		}
	}
	return &credentialSource{provider: provider, cache: cache}, nil
}

// retrieve returns credentials, the time when it did, and how long they last from that whole second on, at most limit. They last
// longer than limit if there are any such to be had.
func (s *credentialSource) retrieve(ctx context.Context, limit time.Duration) (
	c aws.Credentials, now time.Time, lifetime time.Duration, err error,
) {
	c, err = s.current(ctx)
	now = time.Now() // getting them may have taken a while
	if err == nil && s.cache != nil && c.CanExpire && c.Expires.Sub(now) < limit {
		c = s.renew(ctx, now, c)
		now = time.Now()
	}
	switch {
	case err != nil:
		return aws.Credentials{}, now, 0, fmt.Errorf("%w: %w", errRetrieving, err)
	case !c.HasKeys():
		return aws.Credentials{}, now, 0, fmt.Errorf("%w: they lack an access key id or a secret", errRetrieving)
	case !c.CanExpire:
		return c, now, limit, nil
	}
	remaining := c.Expires.Sub(wholeSecond(now))
	if remaining < minRemaining {
		return aws.Credentials{}, now, 0, ErrCredentialsExpiring
	}
	return c, now, min(remaining, limit), nil
}

// wholeSecond returns now as signatures have it.
func wholeSecond(now time.Time) time.Time {
	return now.UTC().Truncate(time.Second)
}

func (s *credentialSource) current(ctx context.Context) (aws.Credentials, error) {
	if good := s.good.Load(); good != nil && good.Expires.After(time.Now()) {
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
	if now.Sub(s.renewed) < renewInterval {
		s.renewing.Unlock()
		return c
	}
	s.renewed = now
	s.good.Store(&c) // before the cache forgets them
	s.cache.Invalidate()
	renewed := make(chan aws.Credentials, 1)
	go func() { // whether the caller waits or not, since others live by it, too
		defer s.renewing.Unlock()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewTime)
		defer cancel()
		fresh, err := s.cache.Retrieve(ctx)
		if err != nil {
			fresh = c
		} else {
			s.good.Store(nil)
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

// EnvFile returns the credentials in a file, which may be replaced while the service runs: by another program that
// renews them, or by Kubernetes. It is for s3.Options.Credentials, without an aws.CredentialsCache around it.
//
// The file holds lines of NAME=value, as a shell or Docker reads them, perhaps with "export ", quotes and comments (#):
//
//	ACCESS=ASIAIOSFODNN7EXAMPLE
//	SECRET=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
//	TOKEN=IQoJb3JpZ2luX2VjEXAMPLE
//	EXPIRATION=2026-01-31T18:00:00Z
//
// The names AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and AWS_CREDENTIAL_EXPIRATION mean the same,
// and each may end in _SESS. Two names that give different values for one thing are an error. Other names are ignored,
// and nothing is expanded. TOKEN is for the credentials of a session. EXPIRATION, by RFC 3339, is when they end;
// grants cannot tell how long they live without it, so a token without one is warned of.
//
// A change is noticed when credentials are asked for, by one stat at most once a second. While the old ones still work
// (30 seconds or more are left), new ones count once two looks in a row read the same; so whoever writes the file may
// rename, rewrite it in place or turn a symbolic link, but should do so a minute before the old ones end. If what is
// there is not usable, the last good credentials stay and a warning is logged; they are returned even when they have
// expired, which a Signer answers with ErrCredentialsExpiring. Until there have been good ones, Retrieve returns an
// error that says what is wrong with the file; EnvFile itself does not touch it.
//
// Logger gets the warnings, among them one if group or others can read the file; slog.Default() if it is nil. No value
// is ever part of a log record or an error. The provider is safe for concurrent use and takes no lock between two
// looks.
func EnvFile(path string, logger *slog.Logger) aws.CredentialsProvider {
	return &envFile{credential.New(path, minRemaining, cmp.Or(logger, slog.Default()))}
}

type envFile struct{ file *credential.File }

// Retrieve implements [aws.CredentialsProvider].
func (p *envFile) Retrieve(context.Context) (aws.Credentials, error) {
	c, err := p.file.Credentials()
	if err != nil {
		return aws.Credentials{}, err
	}
	return aws.Credentials{
		AccessKeyID: c.ID, SecretAccessKey: c.Secret, SessionToken: c.Token, Source: "EnvFile",
		CanExpire: !c.Expires.IsZero(), Expires: c.Expires,
	}, nil
}

// AssumeRole returns credentials of sessions in an IAM role, each for an hour unless the options say otherwise. It is
// for s3.Options.Credentials, without an aws.CredentialsCache around it.
//
// What signs uploads needs s3:PutObject where they go, and nothing else. A session policy takes all else away from the
// session, whatever the role allows:
//
//	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
//		o.Credentials = presign.AssumeRole(sts.NewFromConfig(cfg), "arn:aws:iam::123456789012:role/uploads", nil,
//			func(o *stscreds.AssumeRoleOptions) {
//				o.RoleSessionName = "avatars"        // as CloudTrail shows it
//				o.ExternalID = aws.String("example") // if the role's trust policy asks for one
//				o.Policy = aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` +
//					`"Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/uploads/*"}]}`)
//			})
//	})
//
// A session is renewed when credentials are asked for after half of its time, in the background: no grant waits for
// STS while one has 30 seconds or more left. So Duration is best at least twice the Policy.Lifetime; the role must
// allow it, and STS grants at most an hour to who is in a role already. When STS fails, it is asked again after 5 to
// 30 seconds, and the last session is used until its end. Without one, callers wait together for one attempt, each as
// long as its context lets it. The attempt itself goes on without the caller who began it, for 30 seconds at most.
// Between attempts nothing runs.
//
// Logger gets a warning for every attempt that failed; slog.Default() if it is nil. The provider is safe for concurrent
// use. TokenProvider, for MFA, is asked at every renewal.
func AssumeRole(
	client stscreds.AssumeRoleAPIClient, roleARN string, logger *slog.Logger, optFns ...func(*stscreds.AssumeRoleOptions),
) aws.CredentialsProvider {
	p := &assumedRole{roleARN: roleARN, logger: cmp.Or(logger, slog.Default())}
	optFns = append(optFns[:len(optFns):len(optFns)], func(o *stscreds.AssumeRoleOptions) {
		o.Duration = cmp.Or(o.Duration, roleDuration)
		if o.Client == nil {
			o.Client = noSTS{} // a nil one would panic in the background
		}
	})
	p.provider = stscreds.NewAssumeRoleProvider(client, roleARN, optFns...)
	p.last.Store(&session{})
	return p
}

// assumedRole keeps a session in a role.
type assumedRole struct {
	provider *stscreds.AssumeRoleProvider
	roleARN  string
	logger   *slog.Logger
	last     atomic.Pointer[session]

	mu      sync.Mutex
	attempt chan struct{} // closed at the end of the attempt that is under way; nil if there is none; guarded by mu
}

// session is what the last attempt to get one left behind.
type session struct {
	credentials aws.Credentials
	err         error     // of the attempt, which leaves the credentials as they were
	next        time.Time // no attempt before then, by the monotonic clock: the other one may be set
}

// settled reports whether there is no reason yet for an attempt. A machine that slept may find that the session ended.
func (s *session) settled(now time.Time) bool {
	return now.Before(s.next) && (s.err != nil || s.remaining(now) > 0)
}

func (s *session) remaining(now time.Time) time.Duration {
	return max(0, s.credentials.Expires.Sub(now))
}

func (s *session) answer(now time.Time) (aws.Credentials, error) {
	if s.err != nil && s.remaining(now) == 0 {
		return aws.Credentials{}, s.err
	}
	return s.credentials, nil
}

// Retrieve implements [aws.CredentialsProvider].
func (p *assumedRole) Retrieve(ctx context.Context) (aws.Credentials, error) {
	now, last := time.Now(), p.last.Load()
	if last.settled(now) {
		return last.answer(now)
	}
	done := p.renew(ctx)
	if last.remaining(now) >= minRemaining {
		return last.credentials, nil
	}
	select {
	case <-done:
		return p.last.Load().answer(time.Now())
	case <-ctx.Done():
		return aws.Credentials{}, fmt.Errorf("assuming the role %s: %w", p.roleARN, ctx.Err())
	}
}

// renew returns what is closed when the attempt that is under way has ended. It begins one if there is none.
func (p *assumedRole) renew(ctx context.Context) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.attempt != nil {
		return p.attempt
	}
	done := make(chan struct{})
	last := p.last.Load()
	if last.settled(time.Now()) { // one has ended since the caller looked
		close(done)
		return done
	}
	p.attempt = done
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewTime)
		defer cancel()
		p.last.Store(p.assume(ctx, last))
		p.mu.Lock()
		defer p.mu.Unlock()
		p.attempt = nil
		close(done)
	}()
	return done
}

// assume makes one attempt, of which there is never more than one at a time: stscreds does not bear it.
func (p *assumedRole) assume(ctx context.Context, last *session) *session {
	credentials, err := p.retrieve(ctx)
	credentials.Expires = credentials.Expires.Round(0) // by no clock but the calendar's
	now, s := time.Now(), &session{credentials: credentials}
	switch {
	case err != nil:
	case !credentials.HasKeys():
		err = errors.New("STS answered without keys")
	case s.remaining(now) == 0:
		err = fmt.Errorf("STS answered with a session that ended at %v; is this machine's clock right?", credentials.Expires)
	default:
		if last.err != nil {
			p.logger.InfoContext(ctx, "role assumed again", slog.String("role", p.roleARN))
		}
		s.next = now.Add(max(s.remaining(now)/2, retryInterval))
		return s
	}
	// The attempt before the last credentials get too old is not missed.
	wait := min(renewInterval, max(retryInterval, last.remaining(now)-minRemaining))
	p.logger.WarnContext(ctx, "role not assumed", slog.String("role", p.roleARN), slog.Any("error", err),
		slog.Duration("left", last.remaining(now).Truncate(time.Second)), slog.Duration("retry_in", wait))
	return &session{last.credentials, fmt.Errorf("assuming the role %s: %w", p.roleARN, err), now.Add(wait)}
}

// retrieve makes an error of a panic, which here would end the program: a client that is a nil pointer, say.
func (p *assumedRole) retrieve(ctx context.Context) (c aws.Credentials, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the client for STS, or one of the options, panicked: %v", r)
		}
	}()
	return p.provider.Retrieve(ctx)
}

// noSTS stands in for a client that is missing.
type noSTS struct{}

// AssumeRole implements [stscreds.AssumeRoleAPIClient].
func (noSTS) AssumeRole(context.Context, *sts.AssumeRoleInput, ...func(*sts.Options)) (*sts.AssumeRoleOutput, error) {
	return nil, errors.New("there is no client for STS")
}
