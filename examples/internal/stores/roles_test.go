package stores_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/examples/doctor/checkup"
	"github.com/s3presign/presign/examples/internal/ceph"
)

// A roles holds sessions of Ceph with policies, in a shared credentials file.
type roles struct {
	server  *ceph.Server
	secrets []string
}

// newRoles assumes a role with each policy. It writes the sessions to a
// credentials file and sets the environment variable of the file.
func newRoles(t *testing.T, policies map[string]string) *roles {
	t.Helper()
	r := &roles{server: ceph.Shared(t)}
	var shared strings.Builder
	for name, policy := range policies {
		out, err := r.server.STS().AssumeRole(t.Context(), &sts.AssumeRoleInput{
			RoleArn: &r.server.RoleARN, RoleSessionName: &name, Policy: aws.String(policy),
		})
		require.NoError(t, err, "%s: %s", name, policy)
		fmt.Fprintf(&shared,
			"[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\naws_session_token = %s\n",
			name, *out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey,
			*out.Credentials.SessionToken)
		r.secrets = append(r.secrets, *out.Credentials.SecretAccessKey,
			*out.Credentials.SessionToken)
	}
	file := filepath.Join(t.TempDir(), "credentials")
	require.NoError(t, os.WriteFile(file, []byte(shared.String()), 0o600))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	return r
}

// examine runs the doctor with two of the roles.
func (r *roles) examine(
	t *testing.T, bucket, signs, completes string,
) (report checkup.Report, stderr string, err error) {
	t.Helper()
	var stdout, errs bytes.Buffer
	_, err = checkup.Run(t.Context(), []string{
		"-bucket", bucket, "-endpoint", r.server.STSURL, "-region", ceph.Region, "-profile", signs,
		"-store-profile", completes, "-report",
	}, &stdout, &errs)
	printed := fmt.Sprint(stdout.String(), errs.String(), err)
	for _, secret := range r.secrets {
		require.NotContains(t, printed, secret)
	}
	if err == nil {
		require.NoError(t, json.Unmarshal(stdout.Bytes(), &report))
	}
	return report, errs.String(), err
}

func statement(resource string, actions ...string) string {
	list, err := json.Marshal(actions)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`{"Effect":"Allow","Action":%s,"Resource":%q}`,
		list, "arn:aws:s3:::"+resource)
}

// document returns a policy without spaces, because the STS of Ceph rejects
// spaces.
func document(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

// storeStatements returns the rights that completion needs on a bucket.
func storeStatements(bucket string) []string {
	return []string{
		statement(bucket+"/incoming/*", "s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObject",
			"s3:DeleteObjectVersion"),
		statement(bucket+"/incoming/*", "s3:PutObject", "s3:ListMultipartUploadParts",
			"s3:AbortMultipartUpload"),
		statement(bucket+"/files/*", "s3:PutObject", "s3:GetObject", "s3:GetObjectVersion",
			"s3:DeleteObject", "s3:DeleteObjectVersion", "s3:AbortMultipartUpload"),
		statement(bucket, "s3:ListBucket", "s3:ListBucketMultipartUploads"),
	}
}

func states(r checkup.Report) map[string]checkup.State {
	found := make(map[string]checkup.State)
	for _, f := range r.Around {
		found[f.What] = f.State
	}
	return found
}

// TestTwoRoles checks that the doctor finds missing and excessive rights of two
// roles. It also checks that a grant does not allow copying if the signing role
// cannot read.
func TestTwoRoles(t *testing.T) {
	const bucket, versioned = "roles", "versioned-roles"
	r := newRoles(t, map[string]string{
		"signs":     document(statement(bucket+"/incoming/*", "s3:PutObject")),
		"completes": document(storeStatements(bucket)...),
		"wide":      document(statement("*", "s3:*")),
		"elsewhere": document(statement(bucket+"/elsewhere/*", "s3:PutObject")),
		"versions":  document(storeStatements(versioned)...),
		"lists": document(
			append(storeStatements(versioned), statement(versioned, "s3:ListBucketVersions"))...),
		"signs2": document(statement(versioned+"/incoming/*", "s3:PutObject")),
	})
	s := server{client: r.server.Client()}
	s.createBucket(t, bucket)
	s.createBucket(t, versioned)

	report, _, err := r.examine(t, bucket, "signs", "completes")
	require.NoError(t, err)
	s.requireEmpty(t, bucket)
	for what, state := range states(report) {
		if strings.HasPrefix(what, "role ") {
			require.Equal(t, checkup.Good, state, "%s: %+v", what, report.Around)
		}
	}
	for _, c := range report.Constraints {
		if strings.Contains(c.Constraint, "copy-source") {
			require.Equal(t, checkup.Enforced, c.Verdict, "%+v", c)
		}
		require.NotEqual(t, checkup.NotTried, c.Verdict, "the session token must be tried: %+v", c)
	}
	for _, d := range report.Paste {
		require.NotContains(t, d.Title, "IAM")
	}

	report, _, err = r.examine(t, bucket, "wide", "completes")
	require.NoError(t, err)
	require.Equal(t, checkup.Wrong, states(report)["role that signs"])
	i := indexOf(report.Paste, "IAM policy of the role that signs")
	require.GreaterOrEqual(t, i, 0)
	require.JSONEq(t,
		`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": ["arn:aws:s3:::roles/incoming/*"]}]}`,
		string(report.Paste[i].Content))
	s.requireEmpty(t, bucket)

	_, _, err = r.examine(t, bucket, "elsewhere", "completes")
	require.ErrorContains(t, err,
		"missing right: the signing role of -profile needs s3:PutObject under incoming/ (403 AccessDenied)")
	s.requireEmpty(t, bucket)

	// If a bucket keeps versions, the doctor needs one more right than the
	// library.
	for _, status := range []types.BucketVersioningStatus{
		types.BucketVersioningStatusEnabled, types.BucketVersioningStatusSuspended,
	} {
		_, err := s.client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
			Bucket: aws.String(versioned), VersioningConfiguration: &types.VersioningConfiguration{
				Status: status,
			},
		})
		require.NoError(t, err)
		if status == types.BucketVersioningStatusEnabled {
			_, _, err = r.examine(t, versioned, "signs2", "versions")
			require.ErrorContains(t, err, "s3:ListBucketVersions on the bucket (403 AccessDenied)")
			s.requireEmpty(t, versioned)
		}
		report, stderr, err := r.examine(t, versioned, "signs2", "lists")
		require.NoError(t, err)
		require.Empty(t, stderr)
		require.Equal(t, checkup.Good, states(report)["role of the store: files"], "%+v",
			report.Around)
		s.requireEmpty(t, versioned)
	}
}

func indexOf(documents []checkup.Document, title string) int {
	for i, d := range documents {
		if d.Title == title {
			return i
		}
	}
	return -1
}

// TestPaste checks that the documents of the doctor correct its findings.
func TestPaste(t *testing.T) {
	s := servers()["ceph"](t)
	s.createBucket(t, "paste")
	_, err := s.client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket: aws.String("paste"), VersioningConfiguration: &types.VersioningConfiguration{
			Status: types.BucketVersioningStatusEnabled,
		},
	})
	require.NoError(t, err)
	flags := []string{"-bucket", "paste", "-origin", "https://shop.example", "-report"}
	var r checkup.Report
	require.NoError(t, json.Unmarshal([]byte(s.examine(t, 1, flags...)), &r))
	for _, what := range []string{
		"CORS: PUT", "CORS: form with progress", "CORS: ETag exposed",
		"lifecycle: uploads expire", "lifecycle: parts expire", "lifecycle: older versions expire",
	} {
		require.Equal(t, checkup.Missing, states(r)[what], what)
	}
	for _, d := range r.Paste {
		var cors types.CORSConfiguration
		var lifecycle types.BucketLifecycleConfiguration
		switch {
		case strings.HasPrefix(d.Title, "CORS"):
			require.NoError(t, json.Unmarshal(d.Content, &cors))
			_, err = s.client.PutBucketCors(t.Context(), &s3.PutBucketCorsInput{
				Bucket: aws.String("paste"), CORSConfiguration: &cors,
			})
		case strings.HasPrefix(d.Title, "Lifecycle"):
			require.NoError(t, json.Unmarshal(d.Content, &lifecycle))
			_, err = s.client.PutBucketLifecycleConfiguration(t.Context(),
				&s3.PutBucketLifecycleConfigurationInput{
					Bucket: aws.String("paste"), LifecycleConfiguration: &lifecycle,
				})
		}
		require.NoError(t, err, d.Title)
	}
	r = checkup.Report{}
	require.NoError(t, json.Unmarshal([]byte(s.examine(t, 1, flags...)), &r))
	for what, state := range states(r) {
		if strings.HasPrefix(what, "CORS") || strings.HasPrefix(what, "lifecycle") {
			require.Equal(t, checkup.Good, state, what)
		}
	}
	for _, d := range r.Paste {
		require.NotContains(t, d.Title, "Lifecycle")
		require.NotContains(t, d.Title, "CORS")
	}
}
