package conformance

import (
	"bytes"
	"context"
	"io"
	"maps"
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
	// SessionURL is the endpoint for Session, if it is not Client's.
	SessionURL string
}

// Object is what a server holds.
type Object struct {
	Body                            []byte
	Type, Disposition, CacheControl string
	Metadata, Tags                  map[string]string
}

// private is the key of an object that no grant is for.
const private = "private"

var privateBody = []byte("for nobody else\n")

// Run holds a server to the matrix: it answers each case as AWS does, or as is known of it; what it accepts it has
// stored as it was granted, and what it refuses it has not.
func (target Target) Run(t *testing.T) {
	// Redirects of forms lead nowhere here.
	noRedirect := *target.HTTP
	noRedirect.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	target.HTTP = &noRedirect

	_, err := target.Client.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: &target.Bucket, Key: aws.String(private), Body: bytes.NewReader(privateBody),
	})
	require.NoError(t, err)
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
			if target.SessionURL != "" {
				o.BaseEndpoint = &target.SessionURL
			}
		})
	}
	signer, err := presign.NewSigner(signing, target.Bucket, policy, presign.WithStore(target.Client))
	require.NoError(t, err)
	upload := presign.Upload{Filename: fileName}
	if !c.Form {
		sizeKnown(&upload)
	}
	if c.Ask != nil {
		c.Ask(&upload)
	}
	if c.Part {
		target.runPart(t, c, signer, policy, upload)
		return
	}
	grant := target.grant(t, c, func() (*presign.Grant, error) {
		if c.Form {
			return signer.Post(context.Background(), upload)
		}
		return signer.Put(context.Background(), upload)
	})

	honest := New(grant, fileName, Body)
	if c.Twice {
		answer, err := honest.Send(target.HTTP)
		require.NoError(t, err)
		require.True(t, answer.Accepted(), "the honest upload: %v", answer)
	}
	attempt := New(grant, fileName, Body)
	attempt.Bucket = target.Bucket
	if c.Do != nil {
		c.Do(attempt)
	}
	got, deviation := target.attempt(t, c, attempt)

	switch {
	case got.Accepted():
		object := granted(grant, attempt.Body, policy, upload)
		if deviation.Stored != nil {
			deviation.Stored(&object)
		}
		target.requireStored(t, grant, object)
	case c.Twice:
		target.requireStored(t, grant, granted(grant, honest.Body, policy, upload))
	default:
		require.False(t, target.exists(t, grant.Key), "a refused upload was stored")
	}
	require.False(t, target.exists(t, evilKey), "something was stored under a key that was never granted")
	require.False(t, target.exists(t, strings.Replace(grant.Key, "a-file.txt", evilKey, 1)), "something was stored under a key that was never granted")
}

// runPart uploads the only part of a file. What is accepted is completed, and then what was granted.
func (target Target) runPart(t *testing.T, c Case, signer *presign.Signer, policy presign.Policy, upload presign.Upload) {
	m, err := signer.StartMultipart(t.Context(), upload)
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Abort(context.Background())) }()
	part := presign.Part{Number: 1, Checksum: upload.Checksum}
	if c.Bare {
		part.Checksum = ""
	}
	grant := target.grant(t, c, func() (*presign.Grant, error) { return m.SignPart(context.Background(), part) })
	if c.Twice {
		answer, err := New(grant, fileName, Body).Send(target.HTTP)
		require.NoError(t, err)
		require.True(t, answer.Accepted(), "the honest upload: %v", answer)
	}
	switch c.Ended {
	case "complete":
		_, err := m.Complete(t.Context(), nil)
		require.NoError(t, err)
	case "abort":
		require.NoError(t, m.Abort(t.Context()))
	}
	attempt := New(grant, fileName, Body)
	attempt.Bucket = target.Bucket
	if c.Do != nil {
		c.Do(attempt)
	}
	got, deviation := target.attempt(t, c, attempt)
	require.False(t, target.exists(t, evilKey), "something was stored under a key that was never granted")
	if c.Ended != "" {
		require.Equal(t, c.Ended == "complete", target.exists(t, grant.Key))
		return
	}
	require.False(t, target.exists(t, grant.Key), "there is an object before its upload is completed")
	arrived, err := m.ListParts(t.Context())
	require.NoError(t, err, "the upload is as it was")
	if !got.Accepted() {
		require.Empty(t, arrived, "a refused part was stored")
		return
	}
	require.Len(t, arrived, 1)
	object, err := m.Complete(t.Context(), nil)
	if deviation.Refused != "" {
		require.ErrorContains(t, err, deviation.Refused)
		require.False(t, target.exists(t, grant.Key), "what was refused is there")
		return
	}
	require.NoError(t, err)
	head, err := target.Client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &target.Bucket, Key: &object.Key})
	require.NoError(t, err)
	require.Empty(t, aws.ToString(head.ContentEncoding))
	want := granted(&presign.Grant{Headers: map[string]string{ // which no client sees
		"Content-Type": "text/plain", "Content-Disposition": "attachment; filename*=UTF-8''a%20file.txt",
		"Cache-Control": policy.Headers["Cache-Control"], "x-amz-meta-presign": head.Metadata["presign"],
	}}, attempt.Body, policy, upload)
	if deviation.Stored != nil {
		deviation.Stored(&want)
	}
	target.requireStored(t, grant, want)
}

// attempt makes an attempt and requires the answer that the server is known for.
func (target Target) attempt(t *testing.T, c Case, attempt *Attempt) (Answer, Deviation) {
	t.Helper()
	got, err := attempt.Send(target.HTTP)
	require.NoError(t, err)
	want := c.Want
	deviation, ok := c.But[target.Name]
	if ok {
		require.NotEmpty(t, deviation.Reason)
		want = deviation.Answer
	}
	require.Equal(t, want.String(), got.String())
	return got, deviation
}

// grant signs; what is to be too late it signs long ago.
func (target Target) grant(t *testing.T, c Case, sign func() (*presign.Grant, error)) (grant *presign.Grant) {
	var err error
	if c.Expired {
		synctest.Test(t, func(t *testing.T) {
			grant, err = sign()
		})
	} else {
		grant, err = sign()
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

// granted returns what a server is to hold after an upload.
func granted(grant *presign.Grant, body []byte, policy presign.Policy, upload presign.Upload) Object {
	headers := grant.Headers
	if grant.Method == http.MethodPost {
		headers = grant.Fields
	}
	o := Object{
		Body: body,
		Type: headers["Content-Type"], Disposition: headers["Content-Disposition"], CacheControl: headers["Cache-Control"],
		Metadata: map[string]string{"presign": headers["x-amz-meta-presign"]}, Tags: map[string]string{},
	}
	maps.Copy(o.Metadata, upload.Metadata)
	if _, tagged := policy.Headers["x-amz-tagging"]; tagged {
		o.Tags = map[string]string{"a": "b c", "d": "e/@"}
	}
	return o
}

// requireStored reads back what a grant was for.
func (target Target) requireStored(t *testing.T, grant *presign.Grant, want Object) {
	t.Helper()
	if deviation, ok := butForms[target.Name]; ok && grant.Method == http.MethodPost {
		deviation.Stored(&want)
	}
	object, err := target.Client.GetObject(context.Background(), &s3.GetObjectInput{Bucket: &target.Bucket, Key: &grant.Key})
	require.NoError(t, err)
	defer object.Body.Close()
	body, err := io.ReadAll(object.Body)
	require.NoError(t, err)
	require.Equal(t, len(want.Body), len(body))
	require.True(t, bytes.Equal(want.Body, body), "the store gives back other bytes")
	tags, err := target.Client.GetObjectTagging(context.Background(), &s3.GetObjectTaggingInput{
		Bucket: &target.Bucket, Key: &grant.Key,
	})
	require.NoError(t, err)
	got := Object{
		Type: aws.ToString(object.ContentType), Disposition: aws.ToString(object.ContentDisposition),
		CacheControl: aws.ToString(object.CacheControl), Metadata: object.Metadata, Tags: map[string]string{},
	}
	for _, tag := range tags.TagSet {
		got.Tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	want.Body = nil // compared, and too long to print
	require.Equal(t, want, got)
}
