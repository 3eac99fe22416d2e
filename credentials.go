package presign

import (
	"cmp"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"

	"github.com/s3presign/presign/internal/credential"
)

// EnvFile returns a provider of the credentials in a file. A program that
// renews credentials, or Kubernetes, can replace the file while the service
// runs. Set the provider as s3.Options.Credentials, without an
// aws.CredentialsCache around it.
//
// # Format
//
// The file has lines of NAME=value as a shell or Docker reads them. "export ",
// quotes and comments (#) are accepted, but variables are not expanded:
//
//	ACCESS=ASIAIOSFODNN7EXAMPLE
//	SECRET=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
//	TOKEN=IQoJb3JpZ2luX2VjEXAMPLE
//	EXPIRATION=2026-01-31T18:00:00Z
//
// The names AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and
// AWS_CREDENTIAL_EXPIRATION are accepted as well. Each name can end in _SESS.
// Other names are ignored. Retrieve returns an error if two lines set the same
// value differently.
//
// TOKEN is required for the credentials of a session. EXPIRATION is the time at
// which the credentials expire, as in RFC 3339. Without EXPIRATION, the
// lifetime of grants cannot be limited to the lifetime of the credentials, so a
// warning is logged.
//
// # Renewal
//
// Retrieve checks the file with one stat at most once a second. While the
// present credentials have 30 seconds or more left, new credentials are used
// after two checks in a row have read the same content. The file can be
// replaced by a rename or rewritten in place, or it can be a symbolic link that
// changes. Replace the file at least a minute before the credentials expire.
//
// If the file is not usable, Retrieve returns the last good credentials and
// logs a warning. It returns them even after they have expired, and a Signer
// then returns ErrCredentialsExpiring. Until the file has had good credentials,
// Retrieve returns an error with the reason. EnvFile itself does not read the
// file.
//
// # Logging
//
// Warnings go to logger, including a warning if the group or others can read
// the file. The default is slog.Default(). No log record or error contains a
// value of the file. The provider is safe for concurrent use.
func EnvFile(path string, logger *slog.Logger) aws.CredentialsProvider {
	return credential.NewFileProvider(credential.NewFile(path, cmp.Or(logger, slog.Default())))
}

// AssumeRole returns a provider of the credentials of sessions in an IAM role.
// Each session lasts an hour unless the options set another duration. Set the
// provider as s3.Options.Credentials, without an aws.CredentialsCache around
// it.
//
// Credentials that sign need s3:PutObject under Policy.Prefix and nothing else.
// A session policy removes all other rights from the session:
//
//	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
//		role := "arn:aws:iam::123456789012:role/uploads"
//		o.Credentials = presign.AssumeRole(sts.NewFromConfig(cfg), role, nil,
//			func(o *stscreds.AssumeRoleOptions) {
//				o.RoleSessionName = "avatars"        // shown by CloudTrail
//				o.ExternalID = aws.String("example") // if it is required
//				o.Policy = aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` +
//					`"Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/uploads/*"}]}`)
//			})
//	})
//
// # Renewal
//
// After half of its time, a session is renewed in the background when
// credentials are retrieved. Grants do not wait for STS while the session has
// 30 seconds or more left. So Duration should be at least twice the
// Policy.Lifetime. The role must allow this duration. STS grants at most an
// hour to callers that are in a role already.
//
// If STS fails, the next attempt follows after 5 to 30 seconds, and the last
// session is used until it ends. Without a session, all callers wait for the
// same attempt, each as long as its context allows. The attempt continues after
// its caller has returned, for at most 30 seconds. No goroutine runs between
// attempts.
//
// TokenProvider, for MFA, is called at every renewal. A warning is logged for
// every attempt that failed. The default logger is slog.Default(). The provider
// is safe for concurrent use.
func AssumeRole(
	client stscreds.AssumeRoleAPIClient, roleARN string, logger *slog.Logger,
	optFns ...func(*stscreds.AssumeRoleOptions),
) aws.CredentialsProvider {
	return credential.NewRole(client, roleARN, cmp.Or(logger, slog.Default()), optFns...)
}
