package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/ceph"
	"github.com/s3presign/presign/examples/internal/store"
	"github.com/s3presign/presign/internal/test/conformance"
	"github.com/s3presign/presign/internal/test/s3test"
)

func TestMain(m *testing.M) {
	// Nothing of whoever runs the tests: no profile, no endpoint, no credentials.
	for _, name := range os.Environ() {
		if name, _, _ = strings.Cut(name, "="); strings.HasPrefix(name, "AWS_") {
			_ = os.Unsetenv(name)
		}
	}
	os.Exit(ceph.Main(m))
}

// visit runs the doctor with the credentials and returns what it printed. Nothing of it is a secret.
func visit(t *testing.T, creds aws.Credentials, want int, args ...string) string {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", creds.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", creds.SecretAccessKey)
	t.Setenv("AWS_SESSION_TOKEN", creds.SessionToken)
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	var printed bytes.Buffer
	code, err := run(t.Context(), args, &printed)
	require.NoError(t, err)
	require.Equal(t, want, code, printed.String())
	requireNoSecret(t, printed.String(), creds)
	return printed.String()
}

func requireNoSecret(t *testing.T, printed string, creds aws.Credentials) {
	t.Helper()
	for _, secret := range []string{creds.SecretAccessKey, creds.SessionToken} {
		if secret != "" {
			require.NotContains(t, printed, secret)
		}
	}
	require.NotRegexp(t, regexp.MustCompile(`(?i)x-amz-(signature|credential|security-token)=|[0-9a-f]{64}|presign": "`), printed)
}

func report(t *testing.T, printed string) *Report {
	t.Helper()
	r := new(Report)
	decoder := json.NewDecoder(strings.NewReader(printed))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(r))
	return r
}

// requireNothing finds a bucket empty, of parts too.
func requireNothing(t *testing.T, client *s3.Client, bucket string) {
	t.Helper()
	objects, err := client.ListObjectsV2(context.Background(), &s3.ListObjectsV2Input{Bucket: &bucket})
	require.NoError(t, err)
	require.Empty(t, objects.Contents)
	uploads, err := client.ListMultipartUploads(context.Background(), &s3.ListMultipartUploadsInput{Bucket: &bucket})
	require.NoError(t, err)
	require.Empty(t, uploads.Uploads)
}

// requireNoVersion finds a bucket with versioning empty, of old versions and delete markers too.
func requireNoVersion(t *testing.T, client *s3.Client, bucket string) {
	t.Helper()
	requireNothing(t, client, bucket)
	versions, err := client.ListObjectVersions(context.Background(), &s3.ListObjectVersionsInput{Bucket: &bucket})
	require.NoError(t, err)
	require.Empty(t, versions.Versions)
	require.Empty(t, versions.DeleteMarkers)
}

func setVersioning(t *testing.T, client *s3.Client, bucket string, status types.BucketVersioningStatus) {
	t.Helper()
	_, err := client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket: &bucket, VersioningConfiguration: &types.VersioningConfiguration{Status: status},
	})
	require.NoError(t, err)
}

func startStore(t *testing.T, bucket string) (*store.Server, aws.Credentials) {
	t.Helper()
	server, err := store.Start(t.Context(), "")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	require.NoError(t, server.CreateBucket(t.Context(), bucket))
	creds, err := server.SessionCredentials(time.Hour)
	require.NoError(t, err)
	return server, creds
}

func rowsOf(r *Report, verdicts ...Verdict) (rows []string) {
	for _, c := range r.Constraints {
		for _, v := range verdicts {
			if c.Verdict == v {
				rows = append(rows, c.Kind+": "+c.Constraint)
			}
		}
	}
	return rows
}

func states(r *Report) map[string]State {
	found := make(map[string]State)
	for _, f := range r.Around {
		found[f.What] = f.State
	}
	return found
}

// TestWithoutFlags runs on the embedded store, where all is well.
func TestWithoutFlags(t *testing.T) {
	printed := visit(t, aws.Credentials{}, healthy)
	require.Contains(t, printed, "all that the library promises is enforced here")
	// To paste them replaces what there is, which has to be said.
	for _, command := range []string{"put-bucket-cors", "put-bucket-lifecycle-configuration"} {
		require.Contains(t, printed, ", in place of all rules there are: aws s3api "+command)
	}
	require.NotContains(t, printed, "\x1b")
	for line := range strings.Lines(printed) {
		if !strings.Contains(line, "aws s3api") && !strings.Contains(line, `"Action"`) {
			require.LessOrEqual(t, len([]rune(line)), 101, line)
		}
	}
}

// TestEmbeddedStore examines a bucket by its name, with temporary credentials, and leaves nothing there.
func TestEmbeddedStore(t *testing.T) {
	server, creds := startStore(t, "mine")
	printed := visit(t, creds, healthy, "-bucket", "mine", "-endpoint", server.URL, "-region", server.Region, "-json",
		"-origin", "https://shop.example")
	requireNothing(t, server.Client(), "mine")
	r := report(t, printed)
	require.True(t, r.Enforced)
	require.Equal(t, "mine", r.Bucket)
	require.Equal(t, strings.TrimPrefix(server.URL, "http://"), r.Endpoint)
	require.True(t, strings.HasPrefix(r.Prefix, "incoming/doctor-"))
	require.Empty(t, rowsOf(r, NotEnforced, NotOffered, NotTried, Unproven))
	require.Equal(t, []string{"completion: write once on copy"}, rowsOf(r, MadeGood))
	require.Equal(t, []string{"PUT: headers that need no signature"}, rowsOf(r, Admitted))
	cases := 0
	for _, c := range r.Constraints {
		require.NotEmpty(t, c.Answers, c.Constraint)
		cases += len(c.Cases)
	}
	require.Greater(t, cases, 280)
	// The bucket has no CORS rules.
	require.Equal(t, Missing, states(r)["CORS: PUT"])
	require.Equal(t, Missing, states(r)["CORS: ETag exposed"])
	require.Equal(t, []string{"https://shop.example"}, r.Paste.CORS.CORSRules[0].AllowedOrigins)
	require.Equal(t, "arn:aws:s3:::mine/incoming/*", r.Paste.SigningRole.Statement[0].Resource)
}

// TestNothingVerified meets a server that says yes to everything.
func TestNothingVerified(t *testing.T) {
	yes := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	defer yes.Close()
	creds := aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "secretsecretsecret"}
	printed := visit(t, creds, notEnforced, "-bucket", "any", "-endpoint", yes.URL, "-region", "eu-central-1", "-json")
	r := report(t, printed)
	require.False(t, r.Enforced)
	require.Empty(t, rowsOf(r, Enforced))
	require.Contains(t, rowsOf(r, NotEnforced), "PUT: exact key")
	require.Contains(t, rowsOf(r, NotEnforced), "form: no further field")
}

// TestUnreachable is another exit status than a store that enforces nothing.
func TestUnreachable(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secretsecretsecret")
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"unreachable": {[]string{"-bucket", "any", "-endpoint", gone.URL, "-region", "eu-central-1"}, "the store does not answer: dial tcp"},
		"usage":       {[]string{"-endpoint", gone.URL}, "without -bucket"},
		"prefix":      {[]string{"-prefix", "/incoming/"}, `Policy.Prefix must not start with "/", got "/incoming/"`},
		"within":      {[]string{"-prefix", "x/", "-final", "x/y/"}, `-prefix and -final: presign: Policy.FinalPrefix must not overlap Prefix "x/"`},
		"the same":    {[]string{"-final", "incoming/"}, `-prefix and -final: presign: Policy.FinalPrefix must not overlap Prefix "incoming/"`},
		"no end":      {[]string{"-final", "files"}, `Policy.FinalPrefix must end in "/", got "files"`},
		"two formats": {[]string{"-json", "-markdown"}, "-json or -markdown, not both"},
		"argument":    {[]string{"incoming"}, `"incoming" is none`},
	} {
		t.Run(name, func(t *testing.T) {
			var printed bytes.Buffer
			code, err := run(t.Context(), c.args, &printed)
			require.Equal(t, notFoundOut, code)
			require.ErrorContains(t, err, c.says)
			requireNoSecret(t, err.Error(), aws.Credentials{SecretAccessKey: "secretsecretsecret"})
			require.NotContains(t, err.Error(), "?X-Amz")
			require.Empty(t, printed.String())
		})
	}
	code, err := run(t.Context(), []string{"-help"}, new(bytes.Buffer))
	require.NoError(t, err)
	require.Equal(t, healthy, code)
}

// TestNothingPut: where not even the first object is put, what is wrong is said, once, and nothing of what may be left.
func TestNothingPut(t *testing.T) {
	server, creds := startStore(t, "mine")
	wrong := creds
	wrong.SecretAccessKey += "x"
	unknown := creds
	unknown.AccessKeyID += "X"
	const names = "the store does not take the credentials, which -profile names, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (403 "
	for name, c := range map[string]struct {
		creds  aws.Credentials
		bucket string
		says   string
	}{
		"bucket": {creds, "yours", `the store has no bucket "yours", which -bucket names (404 NoSuchBucket)`},
		"key":    {unknown, "mine", names + "InvalidAccessKeyId)"},
		"secret": {wrong, "mine", names + "SignatureDoesNotMatch)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_ACCESS_KEY_ID", c.creds.AccessKeyID)
			t.Setenv("AWS_SECRET_ACCESS_KEY", c.creds.SecretAccessKey)
			t.Setenv("AWS_SESSION_TOKEN", c.creds.SessionToken)
			var printed bytes.Buffer
			code, err := run(t.Context(), []string{"-bucket", c.bucket, "-endpoint", server.URL, "-region", server.Region}, &printed)
			require.Equal(t, notFoundOut, code)
			require.EqualError(t, err, c.says)
			require.Empty(t, printed.String())
		})
	}
}

// TestInterrupted stops in the middle and cleans up.
func TestInterrupted(t *testing.T) {
	server, creds := startStore(t, "mine")
	t.Setenv("AWS_ACCESS_KEY_ID", creds.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", creds.SecretAccessKey)
	t.Setenv("AWS_SESSION_TOKEN", creds.SessionToken)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type outcome struct {
		code int
		err  error
	}
	ended := make(chan outcome, 1)
	go func() {
		code, err := run(ctx, []string{"-bucket", "mine", "-endpoint", server.URL, "-region", server.Region}, new(bytes.Buffer))
		ended <- outcome{code, err}
	}()
	client := server.Client()
	for found := 0; found < 5; {
		list, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("mine")})
		require.NoError(t, err)
		found = len(list.Contents)
		require.Empty(t, ended, "it ended before it could be interrupted")
	}
	cancel()
	out := <-ended
	require.Equal(t, notFoundOut, out.code)
	require.ErrorContains(t, out.err, "interrupted")
	requireNothing(t, client, "mine")
}

// TestCeph finds what Ceph 16.2 does not enforce, and what is missing around a bucket until it is there.
func TestCeph(t *testing.T) {
	server := ceph.Shared(t)
	bucket := "doctor"
	client := server.Client()
	_, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket})
	require.NoError(t, err)
	creds := aws.Credentials{AccessKeyID: server.AccessKey, SecretAccessKey: server.SecretKey}
	flags := []string{"-bucket", bucket, "-endpoint", server.URL, "-region", ceph.Region, "-origin", "https://shop.example"}

	r := report(t, visit(t, creds, notEnforced, append(flags, "-json")...))
	requireNothing(t, client, bucket)
	require.Equal(t, []string{
		"PUT: checksum", "PUT: tags", "PUT: no unsigned x-amz-* header", "PUT: no unsigned x-amz-copy-source",
		"form: checksum",
		"part: checksum", "part: tags", "part: no unsigned x-amz-* header", "part: no unsigned x-amz-copy-source",
		"completion: checksum", "completion: write once on completion",
	}, rowsOf(r, NotEnforced))
	require.Equal(t, []string{
		"completion: object size", "completion: write once on copy", "completion: pinned copy", "completion: pinned delete",
	}, rowsOf(r, MadeGood))
	for _, c := range r.Constraints {
		if c.Verdict == NotEnforced || c.Verdict == MadeGood {
			require.NotEmpty(t, c.Instead, c.Constraint)
			require.NotEmpty(t, c.Broken, c.Constraint)
		}
	}
	require.Equal(t, Wrong, states(r)["role that signs"], "it can read by copy-source")
	for _, what := range []string{"CORS: PUT", "CORS: form with progress", "CORS: ETag exposed", "lifecycle: uploads expire", "lifecycle: parts expire"} {
		require.Equal(t, Missing, states(r)[what], what)
	}

	// What it prints to paste mends that.
	var cors types.CORSConfiguration
	var lifecycle types.BucketLifecycleConfiguration
	require.NoError(t, json.Unmarshal(encode(t, r.Paste.CORS), &cors))
	require.NoError(t, json.Unmarshal(encode(t, r.Paste.Lifecycle), &lifecycle))
	_, err = client.PutBucketCors(t.Context(), &s3.PutBucketCorsInput{Bucket: &bucket, CORSConfiguration: &cors})
	require.NoError(t, err)
	_, err = client.PutBucketLifecycleConfiguration(t.Context(), &s3.PutBucketLifecycleConfigurationInput{
		Bucket: &bucket, LifecycleConfiguration: &lifecycle,
	})
	require.NoError(t, err)
	setVersioning(t, client, bucket, types.BucketVersioningStatusEnabled)
	printed := visit(t, creds, notEnforced, append(flags, "-json")...)
	requireNoVersion(t, client, bucket)
	r = report(t, printed)
	for _, what := range []string{"clocks", "CORS: PUT", "CORS: form with progress", "CORS: ETag exposed", "lifecycle: uploads expire", "lifecycle: parts expire"} {
		require.Equal(t, Good, states(r)[what], "%s\n%s", what, printed)
	}
}

// TestStrict examines the model of AWS, which has no lifecycle, CORS or versions to tell of.
func TestStrict(t *testing.T) {
	server := s3test.Start(t)
	client := server.S3(func(o *s3.Options) { o.UsePathStyle = false })
	p := &patient{
		signing: client, store: client, bucket: s3test.DefaultBucket, prefix: "incoming/", final: "files/", own: "doctor-strict/",
		http: server.HTTPClient(), origin: "https://shop.example",
	}
	r, err := p.examine(t.Context())
	require.NoError(t, err)
	require.True(t, r.Enforced)
	require.Empty(t, rowsOf(r, NotEnforced, MadeGood, NotOffered, Unproven))
	require.Equal(t, Unknown, states(r)["lifecycle"])
	require.Equal(t, Unknown, states(r)["versioning"])
	require.Equal(t, Missing, states(r)["CORS: PUT"])
	require.Empty(t, server.Objects(s3test.DefaultBucket))
}

func TestClocks(t *testing.T) {
	for _, c := range []struct {
		clock clock
		want  State
		says  string
	}{
		{clock{}, Unknown, "no date"},
		{clock{dated: true}, Good, "agree"},
		{clock{dated: true, behind: 20 * time.Second}, Wrong, "20s ahead: grants live longer"},
		{clock{dated: true, behind: -time.Hour}, Wrong, "1h0m0s behind: grants end"},
	} {
		f := skew(c.clock)
		require.Equal(t, c.want, f.State)
		require.Contains(t, f.Detail, c.says)
	}
}

func TestLifecycle(t *testing.T) {
	rule := func(prefix string, expiry, abort int32, change ...func(*types.LifecycleRule)) types.LifecycleRule {
		r := types.LifecycleRule{Status: types.ExpirationStatusEnabled, Filter: &types.LifecycleRuleFilter{Prefix: &prefix}}
		if expiry > 0 {
			r.Expiration = &types.LifecycleExpiration{Days: &expiry}
		}
		if abort > 0 {
			r.AbortIncompleteMultipartUpload = &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: &abort}
		}
		for _, c := range change {
			c(&r)
		}
		return r
	}
	p := &patient{prefix: "incoming/", final: "files/"}
	for name, c := range map[string]struct {
		rules                    []types.LifecycleRule
		uploads, parts, finished State
	}{
		"none":                {nil, Missing, Missing, ""},
		"the README's":        {[]types.LifecycleRule{rule("incoming/", 10, 0), rule("", 0, 10)}, Good, Good, ""},
		"by prefix":           {[]types.LifecycleRule{rule("incoming/", 10, 9), rule("files/", 0, 9)}, Good, Good, ""},
		"too soon":            {[]types.LifecycleRule{rule("incoming/", 1, 0), rule("", 0, 3)}, Wrong, Wrong, ""},
		"the sooner counts":   {[]types.LifecycleRule{rule("incoming/", 30, 30), rule("incoming/", 2, 2), rule("files/", 0, 30)}, Wrong, Wrong, ""},
		"copies forgotten":    {[]types.LifecycleRule{rule("incoming/", 10, 10)}, Good, Missing, ""},
		"for all":             {[]types.LifecycleRule{rule("", 10, 10)}, Good, Good, Wrong},
		"of another prefix":   {[]types.LifecycleRule{rule("incoming/a/", 10, 10), rule("other/", 10, 10)}, Missing, Missing, ""},
		"disabled":            {[]types.LifecycleRule{rule("", 10, 10, func(r *types.LifecycleRule) { r.Status = types.ExpirationStatusDisabled })}, Missing, Missing, ""},
		"for some sizes only": {[]types.LifecycleRule{rule("", 10, 10, func(r *types.LifecycleRule) { r.Filter.ObjectSizeGreaterThan = aws.Int64(1) })}, Missing, Missing, ""},
	} {
		t.Run(name, func(t *testing.T) {
			found := states(&Report{Around: p.expiries(c.rules)})
			require.Equal(t, c.uploads, found["lifecycle: uploads expire"])
			require.Equal(t, c.parts, found["lifecycle: parts expire"])
			require.Equal(t, c.finished, found["lifecycle: published files"])
		})
	}
	p.final = ""
	require.Equal(t, Info, p.expiries(nil)[0].State)
}

// TestJSON holds the names of a Report, which others read.
func TestJSON(t *testing.T) {
	p := &patient{bucket: "mine", prefix: "incoming/"}
	require.JSONEq(t, `{
		"bucket": "mine", "endpoint": "s3.example", "region": "eu-central-1", "prefix": "incoming/doctor-x/", "enforced": false,
		"constraints": [{
			"kind": "PUT", "constraint": "type", "verdict": "not enforced", "answers": ["200"], "broken": ["PUT of another type: it was taken"],
			"unknown": ["u"], "note": "n", "instead": "i",
			"cases": [{"name": "PUT of another type", "aws": "403 AccessDenied", "refused": true, "answer": "200", "broken": "it was taken",
				"error": "e", "unverified": "v"}]
		}],
		"around": [{"what": "clocks", "state": "good", "detail": "d"}],
		"paste": {
			"cors": {"CORSRules": [{"AllowedOrigins": ["https://app.example.com"], "AllowedMethods": ["PUT", "POST"],
				"AllowedHeaders": ["*"], "ExposeHeaders": ["ETag", "Location", "x-amz-version-id"], "MaxAgeSeconds": 3000}]},
			"lifecycle": {"Rules": [{"ID": "parts", "Status": "Enabled", "Filter": {"Prefix": ""},
				"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 10}}]},
			"signing_role": {"Version": "2012-10-17", "Statement": [
				{"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": "arn:aws:s3:::mine/incoming/*"}]},
			"store_role": {"Version": "2012-10-17", "Statement": [
				{"Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObject", "s3:DeleteObjectVersion"], "Resource": "arn:aws:s3:::mine/incoming/*"},
				{"Effect": "Allow", "Action": ["s3:PutObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"], "Resource": "arn:aws:s3:::mine/incoming/*"},
				{"Effect": "Allow", "Action": ["s3:ListBucket", "s3:ListBucketMultipartUploads"], "Resource": "arn:aws:s3:::mine"}]}
		}
	}`, string(encode(t, Report{
		Bucket: "mine", Endpoint: "s3.example", Region: "eu-central-1", Prefix: "incoming/doctor-x/",
		Constraints: []Constraint{{
			Kind: "PUT", Constraint: "type", Verdict: NotEnforced, Answers: []string{"200"}, Broken: []string{"PUT of another type: it was taken"},
			Unknown: []string{"u"}, Note: "n", Instead: "i",
			Cases: []Case{{
				Name: "PUT of another type", AWS: "403 AccessDenied", Refused: true, Answer: "200", Broken: "it was taken", Error: "e", Unverified: "v",
			}},
		}},
		Around: []Finding{{"clocks", Good, "d"}},
		Paste:  p.paste(),
	})))
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	encoded, err := json.Marshal(v)
	require.NoError(t, err)
	return encoded
}

// TestTwoRoles looks at what each of two roles may do, at a store that has roles.
func TestTwoRoles(t *testing.T) {
	server := ceph.Shared(t)
	bucket, versioned := "roles", "versioned-roles"
	for _, name := range []string{bucket, versioned} {
		_, err := server.Client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name})
		require.NoError(t, err)
	}
	setVersioning(t, server.Client(), versioned, types.BucketVersioningStatusEnabled)
	root := server.STS()
	client := func(document any) *s3.Client {
		out, err := root.AssumeRole(t.Context(), &sts.AssumeRoleInput{
			RoleArn: &server.RoleARN, RoleSessionName: aws.String("doctor"), Policy: aws.String(string(encode(t, document))),
		})
		require.NoError(t, err)
		return server.Client(func(o *s3.Options) {
			o.BaseEndpoint = &server.STSURL
			o.Credentials = credentials.NewStaticCredentialsProvider(
				*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
		})
	}
	p := &patient{bucket: bucket, prefix: "incoming/", final: "files/", own: "doctor-roles/", http: newHTTPClient()}
	paste := p.paste()
	p.signing, p.store = client(paste.SigningRole), client(paste.StoreRole)
	r, err := p.examine(t.Context())
	require.NoError(t, err)
	requireNothing(t, server.Client(), bucket)
	found := states(r)
	for _, what := range []string{"role that signs", "role of the store: files", "role of the store: parts", "role of the store: absence"} {
		require.Equal(t, Good, found[what], "%s: %v", what, r.Around)
	}
	// A role that reads nothing gives nothing away by copy-source.
	require.NotContains(t, rowsOf(r, NotEnforced), "PUT: no unsigned x-amz-copy-source")

	p.signing = client(Document{"2012-10-17", []Statement{{"Allow", []string{"s3:*"}, "arn:aws:s3:::*"}}})
	require.Equal(t, []Finding{{
		"role that signs", Wrong, "may read objects, list the bucket, delete objects, put objects elsewhere, put objects where the " +
			"published ones are; it needs s3:PutObject under incoming/ and nothing else",
	}}, p.signingRole(t.Context(), nil))
	require.NoError(t, p.clean(t.Context()))

	p.signing = client(Document{"2012-10-17", []Statement{{"Allow", []string{"s3:PutObject"}, "arn:aws:s3:::roles/elsewhere/*"}}})
	_, err = p.examine(t.Context())
	require.ErrorContains(t, err, "the role that signs needs s3:PutObject under incoming/")
	requireNothing(t, server.Client(), bucket)

	// Where there are versions, what is printed is enough for the library. To remove them takes one right more.
	p.bucket = versioned
	paste = p.paste()
	p.signing, p.store = client(paste.SigningRole), client(paste.StoreRole)
	_, err = p.examine(t.Context())
	require.ErrorContains(t, err, "needs s3:ListBucketVersions on the bucket (403 AccessDenied)")
	require.NotContains(t, err.Error(), "may be left")
	requireNoVersion(t, server.Client(), versioned)
	p.store = client(Document{"2012-10-17", append(paste.StoreRole.Statement, Statement{
		"Allow", []string{"s3:ListBucketVersions"}, "arn:aws:s3:::" + versioned,
	})})
	r, err = p.examine(t.Context())
	require.NoError(t, err)
	requireNoVersion(t, server.Client(), versioned)
	for what, state := range states(r) {
		if strings.HasPrefix(what, "role ") {
			require.Equal(t, Good, state, "%s: %v", what, r.Around)
		}
	}
}

// TestProfiles has the command itself find its roles: two that are named in the shared files, or one that it assumes.
func TestProfiles(t *testing.T) {
	server := ceph.Shared(t)
	bucket := "profiles"
	_, err := server.Client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket})
	require.NoError(t, err)
	root := server.STS()
	var shared strings.Builder
	secrets := []string{server.SecretKey}
	paste := (&patient{bucket: bucket, prefix: "incoming/", final: "files/"}).paste()
	fmt.Fprintf(&shared, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", server.AccessKey, server.SecretKey)
	for name, document := range map[string]any{"signs": paste.SigningRole, "completes": paste.StoreRole} {
		out, err := root.AssumeRole(t.Context(), &sts.AssumeRoleInput{
			RoleArn: &server.RoleARN, RoleSessionName: &name, Policy: aws.String(string(encode(t, document))),
		})
		require.NoError(t, err)
		session := out.Credentials
		fmt.Fprintf(&shared, "[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\naws_session_token = %s\n",
			name, *session.AccessKeyId, *session.SecretAccessKey, *session.SessionToken)
		secrets = append(secrets, *session.SecretAccessKey, *session.SessionToken)
	}
	file := filepath.Join(t.TempDir(), "credentials")
	require.NoError(t, os.WriteFile(file, []byte(shared.String()), 0o600))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_ENDPOINT_URL", server.STSURL) // of both services
	t.Setenv("AWS_REGION", ceph.Region)
	examine := func(flags ...string) (*Report, error) {
		var printed bytes.Buffer
		code, err := run(t.Context(), append(flags, "-bucket", bucket, "-json"), &printed)
		for _, secret := range secrets {
			require.NotContains(t, fmt.Sprint(printed.String(), err), secret)
		}
		if err != nil {
			require.Equal(t, notFoundOut, code)
			return nil, err
		}
		requireNothing(t, server.Client(), bucket)
		return report(t, printed.String()), nil
	}

	r, err := examine("-profile", "signs", "-store-profile", "completes")
	require.NoError(t, err)
	for _, what := range []string{"role that signs", "role of the store: files", "role of the store: parts", "role of the store: absence"} {
		require.Equal(t, Good, states(r)[what], "%s: %v", what, r.Around)
	}
	require.NotContains(t, rowsOf(r, NotTried), "PUT: session token")

	r, err = examine() // by the profile that is the default
	require.NoError(t, err)
	require.Contains(t, rowsOf(r, NotTried), "PUT: session token")
	r, err = examine("-role", server.RoleARN)
	require.NoError(t, err)
	require.Contains(t, rowsOf(r, Enforced), "PUT: session token")
	_, err = examine("-role", server.RoleARN+"-not")
	require.ErrorContains(t, err, "-role: ")
	_, err = examine("-profile", "completes", "-store-profile", "signs")
	require.ErrorContains(t, err, "the role of the store cannot look at an object under incoming/: 403 Forbidden\nsomething may be left under incoming/doctor-")
}

// TestNotOffered is not held against a store that takes no forms.
func TestNotOffered(t *testing.T) {
	honest := conformance.Case{Kind: conformance.Form, Constraint: conformance.Honest, Want: conformance.Answer{Status: 204}}
	cheat := conformance.Case{Kind: conformance.Form, Constraint: conformance.Key, Want: conformance.Answer{Status: 403}, Do: func(*conformance.Attempt) {}}
	for name, results := range map[string][]conformance.Result{
		"the store refuses": {
			{Case: honest, Answer: conformance.Answer{Status: 501, Code: "NotImplemented"}, Broken: "an honest upload was refused"},
			{Case: cheat, Answer: conformance.Answer{Status: 501, Code: "NotImplemented"}},
		},
		"the library knows": {
			{Case: honest, Err: &presign.Violation{Field: "method", Detail: "cannot be POST"}},
			{Case: cheat, Err: &presign.Violation{Field: "method", Detail: "cannot be POST"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			rows := judge(results)
			require.Len(t, rows, 2)
			for _, row := range rows {
				require.Equal(t, NotOffered, row.Verdict)
			}
			require.Contains(t, rows[0].Instead, "WithoutForms()")
		})
	}
}

// TestReadme checks that the table of README.md is what the doctor finds at the
// two stores.
func TestReadme(t *testing.T) {
	server := ceph.Shared(t)
	bucket := "readme"
	_, err := server.Client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket})
	require.NoError(t, err)
	session, err := presign.AssumeRole(server.STS(), server.RoleARN, nil).Retrieve(t.Context())
	require.NoError(t, err)
	second := &patient{
		signing: server.Client(), bucket: bucket, prefix: "incoming/", final: "files/", own: "doctor-readme/", http: newHTTPClient(),
		session: session, sessionURL: server.STSURL,
	}
	second.store = second.signing
	ofCeph, err := second.examine(t.Context())
	require.NoError(t, err)

	first, err := location{prefix: "incoming/", final: "files/"}.open(t.Context())
	require.NoError(t, err)
	embedded, err := first.examine(t.Context())
	require.NoError(t, err)
	require.NoError(t, first.close())

	want := markdown(column{"embedded store", embedded.Constraints}, column{"Ceph radosgw 16.2", ofCeph.Constraints})
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, after, ok := strings.Cut(string(readme), "<!-- doctor -->\n")
	require.True(t, ok, "the README has no table; it is\n%s", want)
	table, _, ok := strings.Cut(after, "<!-- /doctor -->")
	require.True(t, ok)
	require.Equal(t, want, table, "the README's table is to be\n%s", want)
}
