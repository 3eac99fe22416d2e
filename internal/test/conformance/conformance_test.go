package conformance_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/profile"
	"github.com/s3presign/presign/internal/test/conformance"
	"github.com/s3presign/presign/internal/test/conformance/conformancetest"
	"github.com/s3presign/presign/internal/test/s3test"
)

// TestS3Test checks that s3test passes the matrix, so that s3test can replace
// S3 in tests.
func TestS3Test(t *testing.T) {
	session := aws.Credentials{
		AccessKeyID: "ASIAIOSFODNN7EXAMPLE", SecretAccessKey: "secret", SessionToken: "token//+==",
		CanExpire: true, Expires: time.Now().Add(time.Hour),
	}
	for name, pathStyle := range map[string]bool{"path style": true, "virtual host": false} {
		t.Run(name, func(t *testing.T) {
			server := s3test.New()
			server.AddCredentials(session)
			target := conformance.Target{
				Name: "s3test", Bucket: s3test.DefaultBucket, HTTP: server.HTTPClient(),
				Session: session,
				Client:  server.S3(func(o *s3.Options) { o.UsePathStyle = pathStyle }),
			}
			t.Run("matrix", func(t *testing.T) { conformancetest.Run(t, target) })
			if pathStyle {
				t.Run("files", func(t *testing.T) { conformancetest.RunFiles(t, target) })
				t.Run("life cycle", func(t *testing.T) {
					conformancetest.RunLifecycle(t, target,
						conformancetest.Lack{
							Reason: "has no network", Scenarios: []string{"proxy"},
						},
						conformancetest.Lack{
							Reason: "creates no buckets", Scenarios: []string{"versions"},
						})
				})
			}
		})
	}
}

// TestConstraints checks that profiles have the constraints of the matrix and
// no others.
func TestConstraints(t *testing.T) {
	names := make(map[string]bool)
	for _, c := range conformance.Cases() {
		names[string(c.Kind)+": "+string(c.Constraint)] = true
	}
	require.ElementsMatch(t, profile.Names(), slices.Collect(maps.Keys(names)))
}

// TestCases checks that the cases are complete and have distinct names.
func TestCases(t *testing.T) {
	cases := conformance.Cases()
	require.Greater(t, len(cases), 280)
	unverified := 0
	names, proven := make(map[string]bool), make(map[conformance.Constraint]bool)
	for _, c := range cases {
		require.False(t, names[c.Name], "the name %s must be unique", c.Name)
		names[c.Name], proven[c.Constraint] = true, true
		require.NotZero(t, c.Want.Status, c.Name)
		if c.Unverified != "" {
			unverified++
		}
		require.Equal(t, c.Kind == conformance.Completion, c.Call != nil, c.Name)
		for server, deviation := range c.But {
			require.NotEmpty(t, deviation.Reason, "%s at %s", c.Name, server)
			require.NotZero(t, deviation.Response.Status, "%s at %s", c.Name, server)
		}
	}
	for server, deviating := range conformance.KnownServers() {
		for _, name := range deviating {
			require.True(t, names[name], "%s: %q must be the name of a case", server, name)
		}
	}
	t.Logf("%d cases prove %d constraints; the response of AWS is inferred for %d cases",
		len(cases), len(proven), unverified)
}
