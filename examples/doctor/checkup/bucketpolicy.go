package checkup

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// runPolicy prints a bucket policy that denies a role everything that grants do
// not need.
func runPolicy(args []string, stdout, stderr io.Writer) (code int, err error) {
	var bucket, prefix, role, partition string
	var lifetime time.Duration
	var replace bool
	flags := flag.NewFlagSet("doctor policy", flag.ContinueOnError)
	flags.StringVar(&bucket, "bucket", "", "`name` of the bucket")
	flags.StringVar(&prefix, "prefix", "incoming/", "Policy.Prefix")
	flags.StringVar(&role, "role", "", "`ARN` of the role that signs")
	flags.StringVar(&partition, "partition", "aws",
		"`partition` of the bucket: aws, aws-cn or aws-us-gov")
	flags.DurationVar(&lifetime, "lifetime", 15*time.Minute, "Policy.Lifetime")
	flags.BoolVar(&replace, "replace", false, "Policy.Replace: do not require If-None-Match")
	if code, done := parse(flags, args, stderr); done {
		return code, nil
	}
	if bucket == "" || role == "" || !strings.HasSuffix(prefix, "/") || lifetime < time.Second ||
		flags.NArg() > 0 {
		return failed, errors.New("-bucket and -role must be set, without other arguments\n" +
			`-prefix must end in "/", -lifetime must be at least 1s`)
	}
	document := bucketPolicy{
		bucket: "arn:" + partition + ":s3:::" + bucket, prefix: prefix, role: role,
		lifetime: lifetime, replace: replace,
	}
	encoded, err := json.MarshalIndent(document.policy(), "", "  ")
	if err == nil {
		_, err = fmt.Fprintf(stdout, "%s\n", encoded)
	}
	return healthy, err
}

// A bucketPolicy describes the parameters of the bucket policy.
type bucketPolicy struct {
	bucket   string // the ARN
	prefix   string
	role     string
	lifetime time.Duration
	replace  bool
}

// policy returns the document. Every statement denies, so the document can be
// added to any existing policy.
//
// See https://docs.aws.amazon.com/AmazonS3/latest/API/bucket-policy-s3-sigv4-conditions.html and
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html.
func (b bucketPolicy) policy() iamPolicy {
	objects := []string{b.bucket + "/*"}
	deny := func(sid string, s statement) statement {
		s.Sid, s.Effect, s.Principal = sid, "Deny", map[string]string{"AWS": b.role}
		return s
	}
	put := []string{"s3:PutObject"}
	// s3:signatureAge is in milliseconds.
	age := strconv.FormatInt(b.lifetime.Milliseconds(), 10)
	statements := []statement{
		deny("OnlyUploads", statement{
			NotAction: put, Resource: []string{b.bucket, b.bucket + "/*"},
		}),
		deny("OnlyUnderThePrefix", statement{
			Action: put, NotResource: []string{b.bucket + "/" + b.prefix + "*"},
		}),
		deny("OnlyGrants", statement{Action: put, Resource: objects,
			Condition: map[string]map[string]string{
				"StringEquals": {"s3:authType": "REST-HEADER"},
			}}),
		deny("OnlyInTime", statement{Action: put, Resource: objects,
			Condition: map[string]map[string]string{
				"NumericGreaterThan": {"s3:signatureAge": age},
			}}),
		deny("OnlyTLS", statement{Action: put, Resource: objects,
			Condition: map[string]map[string]string{
				"Bool": {"aws:SecureTransport": "false"},
			}}),
	}
	if !b.replace {
		// Forms cannot carry If-None-Match, and parts do not create an object.
		statements = append(statements,
			deny("OnlyOnce", statement{Action: put, Resource: objects,
				Condition: map[string]map[string]string{
					"Null":         {"s3:if-none-match": "true"},
					"Bool":         {"s3:ObjectCreationOperation": "true"},
					"StringEquals": {"s3:authType": "REST-QUERY-STRING"},
				}}))
	}
	return iamPolicy{policyVersion, statements}
}
