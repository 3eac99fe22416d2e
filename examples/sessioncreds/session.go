package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"
)

// A session holds the parameters of a session in a role.
type session struct {
	client              *sts.Client
	roleARN, externalID string
	name                string
	duration            time.Duration
}

func (s *session) assume(ctx context.Context) (*types.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	input := &sts.AssumeRoleInput{
		RoleArn:         &s.roleARN,
		RoleSessionName: &s.name,
		DurationSeconds: aws.Int32(int32(s.duration / time.Second)),
	}
	if s.externalID != "" {
		input.ExternalId = &s.externalID
	}
	out, err := s.client.AssumeRole(ctx, input)
	if err != nil {
		return nil, fmt.Errorf("assuming %s: %w", s.roleARN, explain(err))
	}
	c := out.Credentials
	if c == nil || c.AccessKeyId == nil || c.SecretAccessKey == nil || c.SessionToken == nil ||
		c.Expiration == nil {
		return nil, fmt.Errorf("assuming %s: the response of STS must have credentials", s.roleARN)
	}
	return c, nil
}

// explain adds advice to the errors that STS documents.
//
// See https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html.
func explain(err error) error {
	rejection, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return err
	}
	// The lines after the first can contain the request that STS received, with
	// the session token of the caller.
	message, _, _ := strings.Cut(rejection.ErrorMessage(), "\n")
	advice := ""
	switch {
	case strings.Contains(message, "role chaining"):
		advice = "\na caller in a role must set -duration 1h or less, even if the roles allow more"
	case strings.Contains(message, "MaxSessionDuration"):
		advice = "\nset a shorter -duration, or: " +
			"aws iam update-role --role-name NAME --max-session-duration 43200"
	case rejection.ErrorCode() == "AccessDenied":
		advice = "\nthe trust policy of the role must allow the caller, " +
			"with the -external-id if the policy requires one," +
			"\nand the caller must have a policy that allows sts:AssumeRole"
	case rejection.ErrorCode() == "RegionDisabledException":
		advice = "\nSTS must be active in the -region for this account"
	}
	return fmt.Errorf("STS returned %s: %s%s", rejection.ErrorCode(), message, advice)
}
