package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/ceph"
)

// marker is the environment variable that makes the test binary run the
// program.
const marker = "PRESIGN_EXAMPLES_SESSIONCREDS"

func TestMain(m *testing.M) {
	if os.Getenv(marker) != "" {
		main()
		return
	}
	os.Exit(ceph.Main(m))
}

const role = "arn:aws:iam::123456789012:role/uploads"

// A fakeSTS implements AssumeRole. It sends the parameters of each request to
// asked. If fault is set, it returns the fault.
type fakeSTS struct {
	*httptest.Server
	asked chan url.Values
	fault atomic.Pointer[fault]
}

type fault struct{ code, message string }

func startSTS(t *testing.T) *fakeSTS {
	t.Helper()
	s := &fakeSTS{asked: make(chan url.Values, 100)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		s.asked <- r.PostForm
		w.Header().Set("Content-Type", "text/xml")
		if f := s.fault.Load(); f != nil {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>
				<Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>`,
				f.code, f.message)
			return
		}
		seconds, _ := time.ParseDuration(r.PostForm.Get("DurationSeconds") + "s")
		fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
			<AssumeRoleResult><Credentials>
			<AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>sec/ret+1</SecretAccessKey>
			<SessionToken>%s</SessionToken><Expiration>%s</Expiration>
			</Credentials></AssumeRoleResult></AssumeRoleResponse>`,
			token, time.Now().Add(seconds).UTC().Format(time.RFC3339))
	}))
	t.Cleanup(s.Close)
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIACALLER", "AWS_SECRET_ACCESS_KEY": "caller's own",
		"AWS_SESSION_TOKEN": "", "AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "",
		"AWS_MAX_ATTEMPTS": "1",
		"AWS_CONFIG_FILE":  os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	return s
}

const token = "IQoJb3JpZ2luX2VjEXAMPLE//////////wEaCXVzLWVhc3QtMSJ=="

func TestRunWritesFile(t *testing.T) {
	sts := startSTS(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "awsenv.list")
	require.NoError(t, os.WriteFile(file, []byte("readable by all"), 0o644))
	roles := filepath.Join(dir, "iamroles.txt")
	lines := []byte("\ufeff# for uploads\r\n\r\n" + role + "  # the only one\r\n")
	require.NoError(t, os.WriteFile(roles, lines, 0o600))

	var stdout bytes.Buffer
	require.NoError(t, run(t.Context(), []string{
		"-roles", roles, "-out", file, "-endpoint", sts.URL,
		"-duration", "12h", "-session-name", "nightly", "-external-id", "partner",
	}, &stdout))
	asked := <-sts.asked
	require.Equal(t, role, asked.Get("RoleArn"))
	require.Equal(t, "43200", asked.Get("DurationSeconds"))
	require.Equal(t, "nightly", asked.Get("RoleSessionName"))
	require.Equal(t, "partner", asked.Get("ExternalId"))

	content, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Regexp(t, `^ACCESS=ASIAEXAMPLE\nSECRET=sec/ret\+1\nTOKEN=IQoJ\S+==\n`+
		`EXPIRATION=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n$`, string(content))
	if runtime.GOOS != "windows" {
		info, err := os.Stat(file)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode())
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 2, "temporary files must be removed")
	for _, secret := range []string{"ASIAEXAMPLE", "sec/ret", token} {
		require.NotContains(t, stdout.String(), secret)
	}

	read, err := presign.EnvFile(file, nil).Retrieve(t.Context())
	require.NoError(t, err)
	require.Equal(t, "ASIAEXAMPLE", read.AccessKeyID)
	require.Equal(t, "sec/ret+1", read.SecretAccessKey)
	require.Equal(t, token, read.SessionToken)
	require.WithinDuration(t, time.Now().Add(12*time.Hour), read.Expires, time.Minute)
}

func TestRejectedBySTS(t *testing.T) {
	sts := startSTS(t)
	file := filepath.Join(t.TempDir(), "awsenv.list")
	for _, test := range []struct{ code, message, want string }{
		{
			"ValidationError",
			"The requested DurationSeconds exceeds the 1 hour session limit " +
				"for roles assumed by role chaining.",
			"-duration 1h",
		},
		{
			"ValidationError",
			"The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
			"--max-session-duration",
		},
		{
			"AccessDenied",
			"User: arn:aws:iam::123456789012:user/ci is not authorized " +
				"to perform: sts:AssumeRole on resource: " + role,
			"-external-id",
		},
		{"RegionDisabledException", "STS is not activated in this region.", "-region"},
		{
			"SignatureDoesNotMatch",
			"The signature does not match.\n\n" +
				"The Canonical String was\nx-amz-security-token:of the caller",
			"does not match.",
		},
	} {
		sts.fault.Store(&fault{test.code, test.message})
		for _, keep := range []string{"-keep=false", "-keep"} {
			err := run(t.Context(),
				[]string{"-role", role, "-out", file, "-endpoint", sts.URL, keep}, io.Discard)
			require.ErrorContains(t, err, test.code)
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), "of the caller")
		}
	}
	require.NoFileExists(t, file)
}

func TestRejectsArguments(t *testing.T) {
	startSTS(t)
	dir := t.TempDir()
	two := filepath.Join(dir, "two.txt")
	require.NoError(t, os.WriteFile(two, []byte(role+"\n"+role+"2\n"), 0o600))
	none := filepath.Join(dir, "none.txt")
	require.NoError(t, os.WriteFile(none, []byte("#"+role+"\n"), 0o600))
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-roles", filepath.Join(dir, "missing.txt")}, "missing.txt"},
		{[]string{"-roles", two}, "must have one role, got 2"},
		{[]string{"-roles", none}, "must have one role, got 0"},
		{[]string{"-role", "uploads"}, "must be the ARN of a role"},
		{[]string{"-role", "arn:aws:iam::123456789012:user/ci"}, "must be the ARN of a role"},
		{[]string{"-role", role, "-duration", "14m"}, "between 15m and 12h"},
		{[]string{"-role", role, "-duration", "12h1s"}, "between 15m and 12h"},
		{[]string{"-role", role, "-endpoint", "http://127.0.0.1:1"}, "127.0.0.1:1"},
	} {
		require.ErrorContains(t, run(t.Context(), test.args, io.Discard), test.want)
	}
	t.Setenv("AWS_REGION", "")
	require.ErrorContains(t, run(t.Context(), []string{"-role", role}, io.Discard),
		"AWS_REGION must be set")
}

// TestReplace checks that a reader always finds the complete file of one
// session.
func TestReplace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "awsenv.list")
	sizes := []int{1, 10_000, 100, 30_000}
	write := func(i int) error {
		id := fmt.Sprintf("ASIA%d", i)
		assume := func(context.Context) (*types.Credentials, error) {
			return &types.Credentials{
				AccessKeyId: &id, SecretAccessKey: &id,
				Expiration:   aws.Time(time.Now().Add(time.Hour)),
				SessionToken: aws.String(id + strings.Repeat("x", sizes[i%len(sizes)])),
			}, nil
		}
		k := keeper{file: file, stdout: io.Discard, assume: assume}
		return k.renew(t.Context())
	}
	require.NoError(t, write(0))
	written := make(chan error, 1)
	seen := make(map[string]bool)
	ctx, enough := context.WithCancel(t.Context())
	go func() {
		var err error
		for i := 1; err == nil && ctx.Err() == nil; i++ {
			err = write(i)
		}
		written <- err
	}()
	for len(seen) < 20 && len(written) == 0 {
		c, err := presign.EnvFile(file, nil).Retrieve(t.Context())
		require.NoError(t, err)
		require.Equal(t, c.AccessKeyID, c.SecretAccessKey)
		require.Equal(t, c.AccessKeyID, strings.TrimRight(c.SessionToken, "x"))
		require.False(t, c.Expires.IsZero())
		seen[c.AccessKeyID] = true
	}
	enough()
	require.NoError(t, <-written)

	require.Error(t, replace(filepath.Join(t.TempDir(), "missing", "awsenv.list"), nil))
	dir := t.TempDir()
	require.Error(t, replace(dir, nil), "a directory must not be replaced")
	left, err := os.ReadDir(filepath.Dir(dir))
	require.NoError(t, err)
	for _, entry := range left {
		require.False(t, strings.HasPrefix(entry.Name(), "."),
			"temporary files must be removed, got %s", entry.Name())
	}
}

// TestKeep checks that the file always has valid credentials during two days,
// although STS fails for 20 minutes. A service reads the file every 5 seconds.
func TestKeep(t *testing.T) {
	file := filepath.Join(t.TempDir(), "awsenv.list")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var stdout bytes.Buffer
		var attempts, failures int
		outage := time.Now().Add(24 * time.Hour)
		assume := func(ctx context.Context) (*types.Credentials, error) {
			attempts++
			if since := time.Since(outage); since >= 0 && since < 20*time.Minute {
				failures++
				return nil, errors.New("STS is down")
			}
			return &types.Credentials{
				AccessKeyId:     aws.String(fmt.Sprintf("ASIA%d", attempts)),
				SecretAccessKey: aws.String("s"),
				SessionToken:    aws.String("t"),
				Expiration:      aws.Time(time.Now().Add(time.Hour)),
			}, nil
		}
		k := keeper{file: file, stdout: &stdout, assume: assume}
		require.NoError(t, k.renew(ctx))
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			k.keep(ctx)
		}()
		provider := presign.EnvFile(file, nil)
		for range 48 * 60 * 12 {
			time.Sleep(5 * time.Second)
			c, err := provider.Retrieve(ctx)
			require.NoError(t, err)
			require.Greater(t, time.Until(c.Expires), 9*time.Minute)
		}
		cancel()
		<-ended
		// There are two attempts an hour. During the outage there are attempts
		// after 5, 10, 20, 40 and then every 60 seconds.
		require.InDelta(t, 96+failures, attempts, 2)
		require.InDelta(t, 23, failures, 2)
		require.Equal(t, failures, strings.Count(stdout.String(), "Not renewed; "))
		require.Contains(t, stdout.String(), "Trying again in 5s.\n  STS is down\n")
		require.NotContains(t, stdout.String(), "ASIA")
		require.Contains(t, stdout.String(), "Stopped; ")
	})
}

// TestInterrupt checks that Ctrl-C stops the program.
func TestInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("skipped: a test cannot send Ctrl-C on Windows")
	}
	sts := startSTS(t)
	file := filepath.Join(t.TempDir(), "awsenv.list")
	program, err := os.Executable()
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), program, "-role", role, "-out", file, "-endpoint",
		sts.URL, "-keep")
	command.Env = append(os.Environ(), marker+"=1")
	var stderr bytes.Buffer
	command.Stderr = &stderr
	stdout, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	line := make([]byte, 100)
	n, err := stdout.Read(line)
	require.NoError(t, err)
	require.Contains(t, string(line[:n]), "Wrote ")
	require.NoError(t, command.Process.Signal(syscall.SIGINT))
	rest, err := io.ReadAll(stdout)
	require.NoError(t, err)
	require.NoError(t, command.Wait(), stderr.String())
	require.Contains(t, string(rest), "Stopped; ")
	require.FileExists(t, file)
}
