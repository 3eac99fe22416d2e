// Package stores_test runs the doctor on real servers and checks or updates the
// profiles of examples/doctor.
package stores_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/examples/doctor/checkup"
	"github.com/s3presign/presign/examples/internal/ceph"
	"github.com/s3presign/presign/examples/internal/rclone"
	"github.com/s3presign/presign/examples/internal/store"
	"github.com/s3presign/presign/examples/internal/swift"
	"github.com/s3presign/presign/internal/profile"
)

var update = flag.Bool("update", false, "write the profiles of examples/doctor")

func TestMain(m *testing.M) {
	// The tests must not use the profile, endpoint or credentials of the user.
	for _, name := range os.Environ() {
		if name, _, _ = strings.Cut(name, "="); strings.HasPrefix(name, "AWS_") {
			_ = os.Unsetenv(name)
		}
	}
	_ = os.Setenv("AWS_CONFIG_FILE", os.DevNull)
	_ = os.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	os.Exit(ceph.Main(m))
}

// A server describes a running store.
type server struct {
	name, title string // of the profile
	url, region string
	creds       aws.Credentials
	role        string // the role to assume
	code        int    // the exit status of the doctor
	client      *s3.Client
}

// servers returns functions that start the stores.
func servers() map[string]func(*testing.T) server {
	return map[string]func(*testing.T) server{
		"versitygw": func(t *testing.T) server {
			s, err := store.Start(t.Context(), "")
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			creds, err := s.SessionCredentials(time.Hour)
			require.NoError(t, err)
			return server{"versitygw", "versitygw 1.8", s.URL, s.Region, creds, "", 0, s.Client()}
		},
		"ceph": func(t *testing.T) server {
			s := ceph.Shared(t)
			creds := aws.Credentials{AccessKeyID: s.AccessKey, SecretAccessKey: s.SecretKey}
			return server{
				"ceph", "Ceph radosgw 16.2", s.STSURL, ceph.Region, creds, s.RoleARN, 1, s.Client(),
			}
		},
		"rclone": func(t *testing.T) server {
			s := rclone.Start(t)
			creds := aws.Credentials{AccessKeyID: s.AccessKey, SecretAccessKey: s.SecretKey}
			return server{
				"rclone", "rclone serve s3 1.76", s.URL, rclone.Region, creds, "", 1, s.Client(),
			}
		},
		"swift": func(t *testing.T) server {
			s := swift.Start(t)
			creds := aws.Credentials{AccessKeyID: s.AccessKey, SecretAccessKey: s.SecretKey}
			return server{
				"swift", "OpenStack Swift 2.30", s.URL, swift.Region, creds, "", 1, s.Client(),
			}
		},
	}
}

func (s server) createBucket(t *testing.T, name string) {
	t.Helper()
	_, err := s.client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name})
	require.NoError(t, err)
}

// examine runs the doctor and returns its output.
func (s server) examine(t *testing.T, want int, flags ...string) string {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", s.creds.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s.creds.SecretAccessKey)
	t.Setenv("AWS_SESSION_TOKEN", s.creds.SessionToken)
	flags = append(flags, "-endpoint", s.url, "-region", s.region)
	if s.role != "" {
		flags = append(flags, "-role", s.role)
	}
	var stdout, stderr bytes.Buffer
	code, err := checkup.Run(t.Context(), flags, &stdout, &stderr)
	require.NoError(t, err)
	require.Equal(t, want, code, stdout.String())
	require.Empty(t, stderr.String())
	for _, secret := range []string{s.creds.SecretAccessKey, s.creds.SessionToken} {
		if secret != "" {
			require.NotContains(t, stdout.String(), `"`+secret)
		}
	}
	return stdout.String()
}

// requireEmpty checks that the bucket has no objects, no versions and no
// multipart uploads.
func (s server) requireEmpty(t *testing.T, bucket string) {
	t.Helper()
	objects, err := s.client.ListObjectsV2(context.Background(), &s3.ListObjectsV2Input{
		Bucket: &bucket,
	})
	require.NoError(t, err)
	require.Empty(t, objects.Contents)
	uploads, err := s.client.ListMultipartUploads(context.Background(),
		&s3.ListMultipartUploadsInput{Bucket: &bucket})
	require.NoError(t, err)
	require.Empty(t, uploads.Uploads)
	versions, err := s.client.ListObjectVersions(context.Background(), &s3.ListObjectVersionsInput{
		Bucket: &bucket,
	})
	if err == nil {
		require.Empty(t, versions.Versions)
		require.Empty(t, versions.DeleteMarkers)
	}
}

// TestDoctor checks that the profile of each store equals the published
// profile.
func TestDoctor(t *testing.T) {
	for name, start := range servers() {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			s.createBucket(t, "mine")
			var r checkup.Report
			require.NoError(t,
				json.Unmarshal([]byte(s.examine(t, s.code, "-bucket", "mine", "-report")), &r))
			s.requireEmpty(t, "mine")
			s.compare(t, findConstraints(r), s.facts(t, "mine"))
			for _, c := range r.Constraints {
				require.NotEqual(t, checkup.Unproven, c.Verdict, "%+v", c)
				if c.Verdict == checkup.NotEnforced {
					require.NotEmpty(t, c.Broken, c.Constraint)
				}
			}
			require.Equal(t, s.code == 0, r.Enforced)
		})
	}
}

// findConstraints returns the constraints of a report, as in a profile.
func findConstraints(r checkup.Report) map[string]profile.Verdict {
	constraints := make(map[string]profile.Verdict)
	for _, c := range r.Constraints {
		if c.Found != "" {
			constraints[c.Kind+": "+c.Constraint] = c.Found
		}
	}
	return constraints
}

// compare compares constraints and facts with the profile in examples/doctor.
// With -update it writes the profile and keeps all other facts.
func (s server) compare(
	t *testing.T, constraints map[string]profile.Verdict, facts map[string]string,
) {
	t.Helper()
	file := filepath.Join("..", "..", "doctor", "profiles", s.name+".json")
	p := &profile.Profile{
		Format: profile.Format, Store: s.title, Host: "127.0.0.1", Bucket: "mine",
		Doctor: "(devel)", Facts: make(map[string]string),
	}
	document, err := os.ReadFile(file)
	if err == nil {
		p, err = profile.Parse(document)
		require.NoError(t, err)
	} else {
		require.True(t, *update, "%v; run the test with -update to write the file", err)
	}
	if *update {
		p.Date, p.Constraints = time.Now().UTC().Format(time.DateOnly), constraints
		maps.Copy(p.Facts, facts)
		document, err := p.Encode()
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(file, document, 0o644))
	}
	require.Equal(t, p.Constraints, constraints, "run the test with -update to write %s", file)
	for name, fact := range facts {
		require.Equal(t, p.Facts[name], fact, "%s: run the test with -update to write %s", name,
			file)
	}
}

// facts returns the facts about a store that this test can measure.
func (s server) facts(t *testing.T, bucket string) map[string]string {
	facts := map[string]string{
		"abort rule": "accepted", "CORS": "by bucket", "region": "checked", "STS": "AssumeRole",
		"longest key segment": s.longestSegment(t, bucket),
	}
	_, err := s.client.PutBucketLifecycleConfiguration(t.Context(),
		&s3.PutBucketLifecycleConfigurationInput{
			Bucket: &bucket,
			LifecycleConfiguration: &types.BucketLifecycleConfiguration{
				Rules: []types.LifecycleRule{{
					ID: aws.String("parts"), Status: types.ExpirationStatusEnabled,
					Filter: &types.LifecycleRuleFilter{Prefix: aws.String("")},
					AbortIncompleteMultipartUpload: &types.AbortIncompleteMultipartUpload{
						DaysAfterInitiation: aws.Int32(10),
					},
				}},
			},
		})
	if err != nil {
		facts["abort rule"] = "rejected: " + status(err)
	}
	_, err = s.client.PutBucketCors(t.Context(), &s3.PutBucketCorsInput{
		Bucket: &bucket,
		CORSConfiguration: &types.CORSConfiguration{CORSRules: []types.CORSRule{{
			AllowedMethods: []string{"PUT"}, AllowedOrigins: []string{"https://app.example.com"},
		}}},
	})
	if err != nil {
		facts["CORS"] = "no rules by bucket: " + status(err)
	}
	elsewhere := s3.New(s.client.Options(), func(o *s3.Options) { o.Region = "mars-north-1" })
	list := &s3.ListObjectsV2Input{Bucket: &bucket}
	if _, err := elsewhere.ListObjectsV2(t.Context(), list); err == nil {
		facts["region"] = "any is accepted"
	}
	if s.role == "" {
		facts["STS"] = "none"
		_, err := sts.New(sts.Options{
			BaseEndpoint: &s.url, Region: s.region,
			Credentials:      credentials.StaticCredentialsProvider{Value: s.creds},
			RetryMaxAttempts: 1,
		}).AssumeRole(t.Context(), &sts.AssumeRoleInput{
			RoleArn:         aws.String("arn:aws:iam::123456789012:role/uploads"),
			RoleSessionName: aws.String("test"),
		})
		require.Error(t, err)
	}
	return facts
}

// status returns the HTTP status of an error.
func status(err error) string {
	response, ok := errors.AsType[*smithyhttp.ResponseError](err)
	if !ok {
		return "no response"
	}
	return strings.Fields(response.Response.Status)[0]
}

// longestSegment returns the length of the longest accepted part of a key
// between slashes.
func (s server) longestSegment(t *testing.T, bucket string) string {
	for _, size := range []int{1024, 255} {
		key := strings.Repeat("k", size)
		_, err := s.client.PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: &bucket, Key: &key, Body: strings.NewReader("x"),
		})
		if err != nil {
			continue
		}
		_, err = s.client.DeleteObject(t.Context(), &s3.DeleteObjectInput{
			Bucket: &bucket, Key: &key,
		})
		require.NoError(t, err)
		if size == 1024 {
			return "1024 bytes"
		}
		return "255 bytes"
	}
	return "less than 255 bytes"
}
