package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/ceph"
	"github.com/s3presign/presign/internal/test/conformance"
)

// TestCeph checks that Ceph accepts signatures with credentials from its STS.
func TestCeph(t *testing.T) {
	server := ceph.Shared(t)
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": server.AccessKey, "AWS_SECRET_ACCESS_KEY": server.SecretKey,
		"AWS_SESSION_TOKEN": "", "AWS_REGION": ceph.Region,
		"AWS_MAX_ATTEMPTS": "10", // the number of attempts of server.STS()
		"AWS_CONFIG_FILE":  os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
	dir := t.TempDir()
	file, roles := filepath.Join(dir, "awsenv.list"), filepath.Join(dir, "iamroles.txt")
	require.NoError(t, os.WriteFile(roles, []byte(server.RoleARN+"\n"), 0o600))
	var stdout bytes.Buffer
	args := []string{"-roles", roles, "-out", file, "-endpoint", server.STSURL, "-duration", "30m"}
	require.NoError(t, run(t.Context(), args, &stdout))

	provider := presign.EnvFile(file, nil)
	written, err := provider.Retrieve(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, written.SessionToken)
	require.WithinDuration(t, time.Now().Add(30*time.Minute), written.Expires, time.Minute)
	for _, secret := range []string{
		written.AccessKeyID, written.SecretAccessKey, written.SessionToken, server.SecretKey,
	} {
		require.NotContains(t, stdout.String(), secret)
	}

	bucket := "sessioncreds"
	_, err = server.Client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket})
	require.NoError(t, err)
	client := server.Client(func(o *s3.Options) {
		o.BaseEndpoint, o.Credentials = &server.STSURL, provider
	})
	signer, err := presign.NewSigner(client, bucket, presign.Policy{
		Prefix: "images/", Types: []string{"image/png"}, MaxSize: 1000,
	})
	require.NoError(t, err)
	upload, content := presign.Upload{Filename: "a.png", Size: 4}, []byte("\x89PNG")
	put, err := signer.Put(t.Context(), upload)
	require.NoError(t, err)
	form, err := signer.Post(t.Context(), upload)
	require.NoError(t, err)
	for _, grant := range []*presign.Grant{put, form} {
		response, err := conformance.New(grant, "a.png", content).Send(http.DefaultClient)
		require.NoError(t, err)
		require.True(t, response.Accepted(), "%s: %v", grant.Method, response)
		_, err = server.Client().HeadObject(t.Context(), &s3.HeadObjectInput{
			Bucket: &bucket, Key: &grant.Key,
		})
		require.NoError(t, err)
	}
}
