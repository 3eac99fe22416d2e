package presign

import (
	"cmp"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"

	"github.com/s3presign/presign/internal/credential"
)

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
	return credential.NewFileProvider(credential.NewFile(path, cmp.Or(logger, slog.Default())))
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
	return credential.NewRole(client, roleARN, cmp.Or(logger, slog.Default()), optFns...)
}
