// Sessioncreds assumes an IAM role and writes the credentials of the session to
// a file, for presign.EnvFile and for containers:
//
//	go run -C examples ./sessioncreds \
//		-role arn:aws:iam::123456789012:role/uploads
//
// The file awsenv.list has lines of ACCESS, SECRET, TOKEN and EXPIRATION. The
// program replaces it atomically, and only its owner can read it. With -keep,
// the program continues and replaces the file after half of the lifetime of
// each session. It does not print credentials.
//
// The credentials of the caller come from the AWS configuration: environment
// variables, shared files, SSO, the role of a container or machine. The file
// iamroles.txt can contain the ARN of the role.
//
// A service that can reach STS does not need this program. See
// presign.AssumeRole.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/s3presign/presign/examples/internal/arguments"
	"github.com/s3presign/presign/examples/internal/interrupt"
)

func main() {
	if err := run(interrupt.Context(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sessioncreds:", err)
		os.Exit(1)
	}
}

// run writes the file once or, with -keep, repeatedly until ctx ends.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("sessioncreds", flag.ExitOnError)
	role := flags.String("role", "", "`ARN` of the role; if empty, it is read from -roles")
	roles := flags.String("roles", "iamroles.txt",
		"`file` with the ARN of the role, and comments that start with #")
	var s session
	flags.DurationVar(&s.duration, "duration", time.Hour,
		"lifetime of a session, 15m to 12h; the role may limit it")
	flags.StringVar(&s.name, "session-name", "sessioncreds",
		"`name` of the session, shown by CloudTrail")
	flags.StringVar(&s.externalID, "external-id", "",
		"`id` that the trust policy of the role requires, if any")
	file := flags.String("out", "awsenv.list", "`file` to write")
	keep := flags.Bool("keep", false,
		"continue, and renew the credentials after half of their lifetime")
	region := flags.String("region", "", "`region` of STS; the default is AWS_REGION")
	endpoint := flags.String("endpoint", "",
		"`URL` of an STS other than AWS; the default is AWS_ENDPOINT_URL_STS")
	_ = flags.Parse(args) // With ExitOnError, Parse does not return an error.
	if err := arguments.None(flags); err != nil {
		return err
	}

	var err error
	if s.roleARN = *role; s.roleARN == "" {
		if s.roleARN, err = readRole(*roles); err != nil {
			return err
		}
	}
	if a, err := arn.Parse(s.roleARN); err != nil || a.Service != "iam" ||
		!strings.HasPrefix(a.Resource, "role/") {
		return fmt.Errorf("-role must be the ARN of a role, "+
			"such as arn:aws:iam::123456789012:role/uploads, got %q", s.roleARN)
	}
	if s.duration < 15*time.Minute || s.duration > 12*time.Hour {
		return fmt.Errorf("-duration must be between 15m and 12h, got %v", s.duration)
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(*region))
	if err != nil {
		return err
	}
	if cfg.Region == "" {
		return errors.New("-region or AWS_REGION must be set")
	}
	s.client = sts.NewFromConfig(cfg, func(o *sts.Options) {
		if *endpoint != "" {
			o.BaseEndpoint = endpoint
		}
	})

	k := keeper{assume: s.assume, file: *file, stdout: stdout}
	if err := k.renew(ctx); err != nil || !*keep {
		return err
	}
	k.keep(ctx)
	return nil
}

// readRole returns the only role in a file.
func readRole(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("-role or -roles must be set: %w", err)
	}
	var roles []string
	for line := range strings.Lines(strings.TrimPrefix(string(content), "\ufeff")) {
		if line, _, _ = strings.Cut(line, "#"); strings.TrimSpace(line) != "" {
			roles = append(roles, strings.TrimSpace(line))
		}
	}
	if len(roles) != 1 {
		return "", fmt.Errorf("%s must have one role, got %d; set -role", path, len(roles))
	}
	return roles[0], nil
}
