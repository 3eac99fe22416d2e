package conformance

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
)

// Target is a server to hold to the matrix.
type Target struct {
	Name   string // as in Case.But
	Client *s3.Client
	Bucket string
	HTTP   *http.Client

	// Session are temporary credentials. The cases with a session token are left out without them.
	Session aws.Credentials
}

// Run holds a server to the matrix: it answers each case as AWS does, or as is known of it; what it accepts it has
// stored as it was granted, and what it refuses it has not.
func (target Target) Run(t *testing.T) {
	// Redirects of forms lead nowhere here.
	noRedirect := *target.HTTP
	noRedirect.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	target.HTTP = &noRedirect

	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			if c.Session && !target.Session.HasKeys() {
				t.Skip("no temporary credentials for this server")
			}
			target.run(t, c)
		})
	}
}

func (target Target) run(t *testing.T, c Case) {
	policy := presign.Policy{Prefix: "matrix/", Types: []string{"text/*"}, MaxSize: 1 << 20}
	if c.With != nil {
		c.With(&policy)
	}
	signing := target.Client
	if c.Session {
		signing = s3.New(target.Client.Options(), func(o *s3.Options) {
			o.Credentials = credentials.StaticCredentialsProvider{Value: target.Session}
		})
	}
	signer, err := presign.NewSigner(signing, target.Bucket, policy)
	require.NoError(t, err)
	upload := presign.Upload{Filename: fileName}
	if !c.Form {
		sizeKnown(&upload)
	}
	if c.Ask != nil {
		c.Ask(&upload)
	}
	grant := target.grant(t, signer, c, upload)

	honest := New(grant, fileName, Body)
	if c.Twice {
		answer, err := honest.Send(target.HTTP)
		require.NoError(t, err)
		require.True(t, answer.Accepted(), "the honest upload: %v", answer)
	}
	attempt := New(grant, fileName, Body)
	if c.Do != nil {
		c.Do(attempt)
	}
	got, err := attempt.Send(target.HTTP)
	require.NoError(t, err)

	want := c.Want
	if deviation, ok := c.But[target.Name]; ok {
		require.NotEmpty(t, deviation.Reason)
		want = deviation.Answer
	}
	require.Equal(t, want.String(), got.String())

	switch {
	case got.Accepted():
		target.requireStored(t, grant, attempt.Body, policy, upload)
	case c.Twice:
		target.requireStored(t, grant, honest.Body, policy, upload)
	default:
		require.False(t, target.exists(t, grant.Key), "a refused upload was stored")
	}
	require.False(t, target.exists(t, evilKey), "something was stored under a key that was never granted")
	require.False(t, target.exists(t, strings.Replace(grant.Key, "a-file.txt", evilKey, 1)), "something was stored under a key that was never granted")
}

// grant signs; what is to be too late it signs long ago.
func (target Target) grant(t *testing.T, signer *presign.Signer, c Case, upload presign.Upload) (grant *presign.Grant) {
	sign := signer.Put
	if c.Form {
		sign = signer.Post
	}
	var err error
	if c.Expired {
		synctest.Test(t, func(t *testing.T) {
			grant, err = sign(context.Background(), upload)
		})
	} else {
		grant, err = sign(context.Background(), upload)
	}
	require.NoError(t, err)
	if c.Expired {
		require.True(t, grant.Expires.Before(time.Now()))
	}
	return grant
}

func (target Target) exists(t *testing.T, key string) bool {
	list, err := target.Client.ListObjectsV2(context.Background(), &s3.ListObjectsV2Input{Bucket: &target.Bucket, Prefix: &key})
	require.NoError(t, err)
	return len(list.Contents) > 0
}

func (target Target) requireStored(t *testing.T, grant *presign.Grant, body []byte, policy presign.Policy, upload presign.Upload) {
	t.Helper()
	object, err := target.Client.GetObject(context.Background(), &s3.GetObjectInput{Bucket: &target.Bucket, Key: &grant.Key})
	require.NoError(t, err)
	defer object.Body.Close()
	got, err := io.ReadAll(object.Body)
	require.NoError(t, err)
	require.Equal(t, len(body), len(got))
	require.True(t, string(body) == string(got), "the store gives back other bytes")

	headers := grant.Headers
	if grant.Method == http.MethodPost {
		headers = grant.Fields
	}
	require.Equal(t, headers["Content-Type"], aws.ToString(object.ContentType))
	require.Equal(t, headers["Content-Disposition"], aws.ToString(object.ContentDisposition))
	require.Equal(t, headers["Cache-Control"], aws.ToString(object.CacheControl))
	for name, value := range upload.Metadata {
		require.Equal(t, value, object.Metadata[name])
	}
	require.Equal(t, headers["x-amz-meta-presign"], object.Metadata["presign"])
	require.Len(t, object.Metadata, 1+len(upload.Metadata))
	if _, tagged := policy.Headers["x-amz-tagging"]; tagged {
		tags, err := target.Client.GetObjectTagging(context.Background(), &s3.GetObjectTaggingInput{Bucket: &target.Bucket, Key: &grant.Key})
		require.NoError(t, err)
		got := make(map[string]string)
		for _, tag := range tags.TagSet {
			got[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
		}
		require.Equal(t, map[string]string{"a": "b c", "d": "e/@"}, got)
	}
}
