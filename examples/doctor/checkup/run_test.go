package checkup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/profile"
	"github.com/s3presign/presign/internal/test/s3test"
)

func TestMain(m *testing.M) {
	// The tests must not use the profile, endpoint or credentials of the user.
	for _, name := range os.Environ() {
		if name, _, _ = strings.Cut(name, "="); strings.HasPrefix(name, "AWS_") {
			_ = os.Unsetenv(name)
		}
	}
	_ = os.Setenv("AWS_CONFIG_FILE", os.DevNull)
	_ = os.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	os.Exit(m.Run())
}

// runDoctor runs the doctor on an s3test server and returns its output.
func runDoctor(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", s3test.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3test.SecretAccessKey)
	var out, errs bytes.Buffer
	code, err := Run(t.Context(), args, &out, &errs)
	require.NoError(t, err)
	require.Equal(t, want, code, out.String())
	printed := out.String() + errs.String()
	require.NotContains(t, printed, s3test.SecretAccessKey)
	require.NotRegexp(t,
		regexp.MustCompile(
			`(?i)x-amz-(signature|credential|security-token)=|[0-9a-f]{64}|presign": "`), printed)
	return out.String(), errs.String()
}

// TestRun checks the output of the flags for a store that enforces everything.
func TestRun(t *testing.T) {
	server := s3test.Start(t)
	flags := []string{
		"-bucket", s3test.DefaultBucket, "-endpoint", server.URL, "-region", "us-east-1",
	}
	host := strings.TrimPrefix(server.URL, "http://")

	printed, stderr := runDoctor(t, healthy, flags...)
	verdict := "✓ bucket at " + host + " enforces everything that the library promises.\n"
	require.True(t, strings.HasPrefix(printed, verdict), printed)
	require.Empty(t, stderr, "progress must be shown only on terminals")
	require.NotContains(t, printed, "\x1b")
	require.NotContains(t, printed, "aws s3api",
		"a document must be printed only if something is missing")

	printed, _ = runDoctor(t, healthy, append(flags, "-json")...)
	p, err := profile.Parse([]byte(printed))
	require.NoError(t, err)
	require.NoError(t, p.CheckBucket(host, s3test.DefaultBucket))
	require.Equal(t, time.Now().UTC().Format(time.DateOnly), p.Date)
	require.Equal(t, profile.Enforced, p.Constraints["PUT: exact key"])
	require.NotContains(t, p.Constraints, "PUT: session token")

	printed, _ = runDoctor(t, healthy, append(flags, "-report")...)
	var r Report
	decoder := json.NewDecoder(strings.NewReader(printed))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&r))
	require.True(t, r.Enforced)

	printed, _ = runDoctor(t, healthy, append(flags, "-v")...)
	require.Contains(t, printed,
		"✓ exact size                     enforced       403 SignatureDoesNotMatch")
	require.Empty(t, server.Objects(s3test.DefaultBucket))
}

// TestServerAcceptsEverything checks the profile of a server that accepts
// everything.
func TestServerAcceptsEverything(t *testing.T) {
	yes := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer yes.Close()
	printed, _ := runDoctor(t, notEnforced, "-bucket", "any", "-endpoint", yes.URL, "-region",
		"eu-central-1", "-json")
	p, err := profile.Parse([]byte(printed))
	require.NoError(t, err)
	for name, verdict := range p.Constraints {
		require.NotEqual(t, profile.Enforced, verdict, name)
	}
	require.Equal(t, profile.NotEnforced, p.Constraints["PUT: exact key"])
}

// TestInvalidArguments checks that the doctor describes the fault in its
// arguments.
func TestInvalidArguments(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", s3test.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3test.SecretAccessKey)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"unreachable": {[]string{
			"-bucket", "any", "-endpoint", closed.URL, "-region", "eu-central-1",
		}, "the store does not respond: dial tcp"},
		"no bucket": {[]string{"-endpoint", closed.URL, "-region", "eu-central-1"},
			"-bucket must be set to the name of the bucket; -help lists all flags"},
		"nothing": {nil,
			"-bucket must be set to the name of the bucket; -help lists all flags\n-region or AWS_REGION must be set"},
		"no region": {[]string{"-bucket", "any"}, "-region or AWS_REGION must be set"},
		"prefix":    {[]string{"-bucket", "any", "-prefix", "/incoming/"}, "/incoming/"},
		"final":     {[]string{"-bucket", "any", "-prefix", "x/", "-final", "x/y/"}, "FinalPrefix"},
		"public":    {[]string{"-bucket", "any", "-public-endpoint", "x"}, "public endpoint"},
		"origin": {[]string{"-bucket", "any", "-origin", "app.example"},
			`-origin must be a scheme and a host, such as https://app.example.com, got "app.example"`},
		"two formats": {[]string{"-bucket", "any", "-json", "-report"}, "-json and -report must not be set together"},
		"argument":    {[]string{"-bucket", "any", "incoming"}, `all arguments must be flags, got "incoming"`},
	} {
		t.Run(name, func(t *testing.T) {
			var printed bytes.Buffer
			code, err := Run(t.Context(), c.args, &printed, io.Discard)
			require.Equal(t, failed, code)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "X-Amz")
			require.Empty(t, printed.String())
		})
	}
	code, err := Run(t.Context(), []string{"-help"}, io.Discard, io.Discard)
	require.NoError(t, err)
	require.Equal(t, healthy, code)
}

// TestMissingBucket checks that the error lists the buckets that the
// credentials can list.
func TestMissingBucket(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", s3test.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3test.SecretAccessKey)
	const missing = "-bucket must be set to the name of the bucket; -help lists all flags"
	for name, c := range map[string]struct {
		buckets int
		status  int
		want    string
	}{
		"two": {2, http.StatusOK, missing + "\nthe credentials can list " + `"bucket-1", "bucket-2"`},
		"many": {12, http.StatusOK,
			missing + "\nthe credentials can list " +
				`"bucket-1", "bucket-2", "bucket-3", "bucket-4", "bucket-5", ` +
				`"bucket-6", "bucket-7", "bucket-8", "bucket-9", "bucket-10", and 2 more`},
		"none":      {0, http.StatusOK, missing},
		"forbidden": {2, http.StatusForbidden, missing},
	} {
		t.Run(name, func(t *testing.T) {
			store := httptest.NewServer(
				http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					require.Equal(t, "/", r.URL.Path)
					w.WriteHeader(c.status)
					fmt.Fprint(w, "<ListAllMyBucketsResult><Buckets>")
					for i := range c.buckets {
						fmt.Fprintf(w, "<Bucket><Name>bucket-%d</Name></Bucket>", i+1)
					}
					fmt.Fprint(w, "</Buckets></ListAllMyBucketsResult>")
				}))
			defer store.Close()
			code, err := Run(t.Context(), []string{
				"-endpoint", store.URL, "-region", "us-east-1",
			}, io.Discard, io.Discard)
			require.Equal(t, failed, code)
			require.EqualError(t, err, c.want)
		})
	}
}

// TestInterrupted checks that an interrupted examination removes its uploads.
func TestInterrupted(t *testing.T) {
	server := s3test.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var puts atomic.Int64
	server.Fail(func(operation string, _ *http.Request) s3test.Fault {
		if operation == "PutObject" && puts.Add(1) == 20 {
			cancel()
		}
		return s3test.None
	})
	t.Setenv("AWS_ACCESS_KEY_ID", s3test.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3test.SecretAccessKey)
	code, err := Run(ctx, []string{
		"-bucket", s3test.DefaultBucket, "-endpoint", server.URL, "-region", "us-east-1",
	}, io.Discard, io.Discard)
	require.Equal(t, failed, code)
	require.ErrorContains(t, err, "interrupted; everything that was uploaded is removed")
	require.Empty(t, server.Objects(s3test.DefaultBucket))
}

// TestProgress checks that progress leaves nothing on the terminal.
func TestProgress(t *testing.T) {
	var shown bytes.Buffer
	count := counter(&shown)
	count(1, 3)
	count(3, 3)
	require.Equal(t, "\r\x1b[K1 of 3 cases\r\x1b[K", shown.String())
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	require.NoError(t, err)
	defer file.Close()
	require.Nil(t, progress(file))
}

// TestPolicy checks the bucket policy word for word.
func TestPolicy(t *testing.T) {
	var printed bytes.Buffer
	code, err := Run(t.Context(), []string{
		"policy", "-bucket", "mine", "-role", "arn:aws:iam::123456789012:role/uploads",
	}, &printed, io.Discard)
	require.NoError(t, err)
	require.Equal(t, healthy, code)
	require.JSONEq(t, `{"Version": "2012-10-17", "Statement": [
		{"Sid": "OnlyUploads", "Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::123456789012:role/uploads"},
			"NotAction": ["s3:PutObject"], "Resource": ["arn:aws:s3:::mine", "arn:aws:s3:::mine/*"]},
		{"Sid": "OnlyUnderThePrefix", "Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::123456789012:role/uploads"},
			"Action": ["s3:PutObject"], "NotResource": ["arn:aws:s3:::mine/incoming/*"]},
		{"Sid": "OnlyGrants", "Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::123456789012:role/uploads"},
			"Action": ["s3:PutObject"], "Resource": ["arn:aws:s3:::mine/*"], "Condition": {"StringEquals": {"s3:authType": "REST-HEADER"}}},
		{"Sid": "OnlyInTime", "Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::123456789012:role/uploads"},
			"Action": ["s3:PutObject"], "Resource": ["arn:aws:s3:::mine/*"], "Condition": {"NumericGreaterThan": {"s3:signatureAge": "900000"}}},
		{"Sid": "OnlyTLS", "Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::123456789012:role/uploads"},
			"Action": ["s3:PutObject"], "Resource": ["arn:aws:s3:::mine/*"], "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
		{"Sid": "OnlyOnce", "Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::123456789012:role/uploads"},
			"Action": ["s3:PutObject"], "Resource": ["arn:aws:s3:::mine/*"],
			"Condition": {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}, "StringEquals": {"s3:authType": "REST-QUERY-STRING"}}}
	]}`, printed.String())
	printed.Reset()
	_, err = Run(t.Context(), []string{
		"policy", "-bucket", "mine", "-role", "r", "-replace", "-partition", "aws-cn",
	}, &printed, io.Discard)
	require.NoError(t, err)
	require.NotContains(t, printed.String(), "OnlyOnce")
	require.Contains(t, printed.String(), "arn:aws-cn:s3:::mine/incoming/*")
	for _, args := range [][]string{
		{"policy"}, {"policy", "-bucket", "b"},
		{"policy", "-bucket", "b", "-role", "r", "-prefix", "x"},
	} {
		code, err := Run(t.Context(), args, io.Discard, io.Discard)
		require.Error(t, err)
		require.Equal(t, failed, code)
	}
}

// TestPlain checks that only URLs are removed from the text of an error.
func TestPlain(t *testing.T) {
	rejected := errors.New("connection refused")
	failed := func(op, address string, err error) error {
		return &url.Error{Op: op, URL: address, Err: err}
	}
	put := failed("Put", "http://store/key?X-Amz-Signature=0", rejected)
	for want, err := range map[string]error{
		"connection refused": put,
		"the store does not respond: connection refused\nsomething might be left under incoming/: connection refused": errors.Join(
			fmt.Errorf("the store does not respond: %w", put),
			fmt.Errorf("something might be left under incoming/: %w",
				failed("Get", "http://store/?X-Amz-Signature=1", rejected))),
		"first: second: connection refused, twice": fmt.Errorf("%w, twice", fmt.Errorf("first: %w",
			failed("Put", "http://store/?X-Amz-Signature=2", fmt.Errorf("second: %w", put)))),
		"interrupted": errors.New("interrupted"),
	} {
		require.EqualError(t, plain(err), want)
	}
}
