package ceph_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/ceph"
	"github.com/s3presign/presign/internal/test/conformance"
)

// A sender signs grants with the credentials of a session, at the endpoint that
// accepts session tokens.
type sender struct {
	*presign.Signer
	server *ceph.Server
	bucket string
}

var (
	body   = []byte("hello\n")
	denied = conformance.Response{Status: http.StatusForbidden, Code: "AccessDenied"}
)

func newSender(
	t *testing.T, server *ceph.Server, bucket, prefix string, provider aws.CredentialsProvider,
) sender {
	t.Helper()
	signer, err := presign.NewSigner(newClient(server, provider), bucket, presign.Policy{
		Prefix: prefix, Types: []string{"text/plain"}, MaxSize: 1000, Lifetime: time.Hour,
	})
	require.NoError(t, err)
	return sender{signer, server, bucket}
}

// newClient returns a client with the credentials of a session.
func newClient(server *ceph.Server, provider aws.CredentialsProvider) *s3.Client {
	return server.Client(func(o *s3.Options) {
		o.BaseEndpoint = &server.STSURL
		o.Credentials = provider
	})
}

// grants returns one grant of each kind: a PUT and a form.
func (s sender) grants(t *testing.T) []*presign.Grant {
	t.Helper()
	upload := presign.Upload{Filename: "a.txt", Size: int64(len(body))}
	put, err := s.Put(t.Context(), upload)
	require.NoError(t, err)
	form, err := s.Post(t.Context(), upload)
	require.NoError(t, err)
	return []*presign.Grant{put, form}
}

func send(
	t *testing.T, grant *presign.Grant, cheat func(*conformance.Attempt),
) conformance.Response {
	t.Helper()
	attempt := conformance.New(grant, "a.txt", body)
	if cheat != nil {
		cheat(attempt)
	}
	response, err := attempt.Send(http.DefaultClient)
	require.NoError(t, err)
	return response
}

// stored reports whether the object exists.
func (s sender) stored(t *testing.T, key string) bool {
	t.Helper()
	list, err := s.server.Client().ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{
		Bucket: &s.bucket, Prefix: &key,
	})
	require.NoError(t, err)
	return len(list.Contents) == 1 && *list.Contents[0].Size == int64(len(body))
}

// withoutToken removes the session token from a request.
func withoutToken(a *conformance.Attempt) {
	if a.Method == http.MethodPost {
		a.Drop("x-amz-security-token")
		return
	}
	address, query, _ := strings.Cut(a.URL, "?")
	isToken := func(parameter string) bool {
		return strings.HasPrefix(parameter, "X-Amz-Security-Token=")
	}
	rest := slices.DeleteFunc(strings.Split(query, "&"), isToken)
	a.URL = address + "?" + strings.Join(rest, "&")
}

func TestAssumeRole(t *testing.T) {
	server := ceph.Shared(t)
	newBucket(t, server, "role")
	provider := presign.AssumeRole(server.STS(), server.RoleARN, nil, func(
		o *stscreds.AssumeRoleOptions,
	) {
		o.Duration = 15 * time.Minute
	})
	session, err := provider.Retrieve(t.Context())
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(15*time.Minute), session.Expires, time.Minute)

	s := newSender(t, server, "role", "uploads/", provider)
	for _, grant := range s.grants(t) {
		require.False(t, grant.Expires.After(session.Expires),
			"a grant must not outlive its session")
		require.WithinDuration(t, session.Expires, grant.Expires, 2*time.Second)
		require.Equal(t, denied, send(t, grant, withoutToken), grant.Method)
		require.False(t, s.stored(t, grant.Key))
		require.True(t, send(t, grant, nil).Accepted(), grant.Method)
		require.True(t, s.stored(t, grant.Key))
	}
}

// TestSessionPolicy checks that a session policy restricts a role to uploads.
// Ceph 16.2 accepts a policy only without spaces, because it does not decode
// the + of a query string.
func TestSessionPolicy(t *testing.T) {
	server := ceph.Shared(t)
	newBucket(t, server, "narrow")
	provider := presign.AssumeRole(server.STS(), server.RoleARN, nil, func(
		o *stscreds.AssumeRoleOptions,
	) {
		o.Policy = aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` +
			`"Action":"s3:PutObject","Resource":"arn:aws:s3:::narrow/uploads/*"}]}`)
	})
	uploads := newSender(t, server, "narrow", "uploads/", provider)
	grants := uploads.grants(t)
	put, form := grants[0], grants[1]
	require.Equal(t, conformance.Response{Status: http.StatusOK}, send(t, put, nil))
	require.True(t, uploads.stored(t, put.Key))

	// Ceph 16.2 accepts a form of a session with a policy, but does not store
	// the file.
	require.Equal(t, conformance.Response{Status: http.StatusNoContent}, send(t, form, nil))
	require.False(t, uploads.stored(t, form.Key),
		"this Ceph stores forms of sessions with a policy; expect the same as for a PUT")

	others := newSender(t, server, "narrow", "other/", provider)
	for _, grant := range others.grants(t) {
		require.Equal(t, denied, send(t, grant, nil), grant.Method)
		require.False(t, others.stored(t, grant.Key))
	}

	client, bucket := newClient(server, provider), aws.String("narrow")
	_, getting := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: &put.Key})
	_, deleting := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{
		Bucket: bucket, Key: &put.Key,
	})
	_, listing := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: bucket})
	for _, err := range []error{getting, deleting, listing} {
		var rejected smithy.APIError
		require.ErrorAs(t, err, &rejected)
		require.Equal(t, "AccessDenied", rejected.ErrorCode())
	}
}

// TestSessionEnds checks that grants are rejected after the end of their
// session of three seconds. This Ceph is configured to allow such short
// sessions.
func TestSessionEnds(t *testing.T) {
	t.Parallel() // The test mostly waits.
	server := ceph.Shared(t)
	newBucket(t, server, "ends")
	provider := presign.AssumeRole(server.STS(), server.RoleARN, nil, func(
		o *stscreds.AssumeRoleOptions,
	) {
		o.Duration = 3 * time.Second
	})
	session, err := provider.Retrieve(t.Context())
	require.NoError(t, err)
	expiring := newSender(t, server, "ends", "uploads/", provider)
	_, err = expiring.Put(t.Context(), presign.Upload{Filename: "a.txt", Size: 1})
	require.ErrorIs(t, err, presign.ErrCredentialsExpiring)

	// Static credentials have no expiry, so grants outlive the session but stop
	// working with it.
	s := newSender(t, server, "ends", "uploads/",
		credentials.NewStaticCredentialsProvider(session.AccessKeyID, session.SecretAccessKey,
			session.SessionToken))
	first, late := s.grants(t), s.grants(t)
	for _, grant := range first {
		require.True(t, send(t, grant, nil).Accepted(), grant.Method)
		require.True(t, s.stored(t, grant.Key))
	}
	select {
	case <-time.After(time.Until(session.Expires) + 100*time.Millisecond):
	case <-t.Context().Done():
	}
	for _, grant := range append(late, s.grants(t)...) {
		require.True(t, time.Now().Before(grant.Expires), "the grant must not have expired")
		require.Equal(t, denied, send(t, grant, nil), grant.Method)
		require.False(t, s.stored(t, grant.Key))
	}
}

// TestEnvFile checks that uploads succeed while the credentials file of a
// session is replaced by the file of the next session.
func TestEnvFile(t *testing.T) {
	t.Parallel() // The test mostly waits.
	server := ceph.Shared(t)
	newBucket(t, server, "file")
	path := filepath.Join(t.TempDir(), "awsenv.list")
	write := func() (accessKey string) {
		c, err := presign.AssumeRole(server.STS(), server.RoleARN, nil).Retrieve(t.Context())
		require.NoError(t, err)
		content := fmt.Sprintf("ACCESS=%s\nSECRET=%s\nTOKEN=%s\nEXPIRATION=%s\n",
			c.AccessKeyID, c.SecretAccessKey, c.SessionToken, c.Expires.UTC().Format(time.RFC3339))
		require.NoError(t, os.WriteFile(path+".new", []byte(content), 0o600))
		require.NoError(t, os.Rename(path+".new", path))
		return c.AccessKeyID
	}
	first := write()
	s := newSender(t, server, "file", "uploads/", presign.EnvFile(path, nil))

	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	var mu sync.Mutex
	signed := make(map[string]int) // uploads by access key
	upload := func() error {
		for _, sign := range []func(context.Context, presign.Upload) (*presign.Grant, error){
			s.Put, s.Post,
		} {
			grant, err := sign(t.Context(), presign.Upload{
				Filename: "a.txt", Size: int64(len(body)),
			})
			if err != nil {
				return err
			}
			response, err := conformance.New(grant, "a.txt", body).Send(http.DefaultClient)
			if err != nil || !response.Accepted() {
				return fmt.Errorf("%s: %v %w", grant.Method, response, err)
			}
			mu.Lock()
			signed[accessKey(grant)]++
			mu.Unlock()
		}
		return nil
	}
	count := func(key string) int {
		mu.Lock()
		defer mu.Unlock()
		return signed[key]
	}
	errs := make([]error, 3)
	var workers sync.WaitGroup
	for i := range errs {
		workers.Go(func() {
			for ctx.Err() == nil && errs[i] == nil {
				errs[i] = upload()
			}
		})
	}
	const enough = 20
	require.Eventually(t, func() bool {
		return count(first) >= enough
	}, 20*time.Second, 5*time.Millisecond)
	second := write()
	require.NotEqual(t, first, second)
	require.Eventually(t, func() bool {
		return count(second) >= enough
	}, 20*time.Second, 5*time.Millisecond)
	stop()
	workers.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Len(t, signed, 2)
	t.Logf("%d uploads signed by the first session, %d by the second",
		signed[first], signed[second])
}

// accessKey returns the access key that signed a grant.
func accessKey(grant *presign.Grant) string {
	credential := grant.Fields["x-amz-credential"]
	if grant.Method == http.MethodPut {
		if u, err := url.Parse(grant.URL); err == nil {
			credential = u.Query().Get("X-Amz-Credential")
		}
	}
	key, _, _ := strings.Cut(credential, "/")
	return key
}
