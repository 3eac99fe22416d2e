package s3test

import (
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"
)

func TestVersioning(t *testing.T) {
	t.Parallel()
	s, ctx := New(WithVersioning()), t.Context()
	c, bucket, key := s.S3(), aws.String(DefaultBucket), aws.String("key")
	putVersion := func(body string) string {
		out, err := c.PutObject(ctx, &s3.PutObjectInput{
			Bucket: bucket, Key: key, Body: strings.NewReader(body),
			Tagging: aws.String("body=" + body),
		})
		require.NoError(t, err)
		require.Len(t, *out.VersionId, 32)
		return *out.VersionId
	}
	get := func(version string) (string, error) {
		input := &s3.GetObjectInput{Bucket: bucket, Key: key}
		if version != "" {
			input.VersionId = &version
		}
		out, err := c.GetObject(ctx, input)
		if err != nil {
			return "", err
		}
		if version != "" {
			require.Equal(t, version, *out.VersionId)
		}
		body, err := io.ReadAll(out.Body)
		require.NoError(t, err)
		head, err := c.HeadObject(ctx, &s3.HeadObjectInput{
			Bucket: bucket, Key: key, VersionId: input.VersionId,
		})
		require.NoError(t, err)
		require.Equal(t, *out.VersionId, *head.VersionId)
		require.EqualValues(t, len(body), *head.ContentLength)
		return string(body), nil
	}
	one, two := putVersion("one"), putVersion("two")
	require.NotEqual(t, one, two)
	for version, want := range map[string]string{"": "two", one: "one", two: "two"} {
		got, err := get(version)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	tags, err := c.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{
		Bucket: bucket, Key: key, VersionId: &one,
	})
	require.NoError(t, err)
	require.Equal(t, "one", *tags.TagSet[0].Value)
	require.Equal(t, one, *tags.VersionId)
	for version, want := range map[string]string{
		strings.Repeat("v", 32): "NoSuchVersion", "null": "NoSuchVersion", "v": "InvalidArgument",
	} {
		_, err := get(version)
		requireCode(t, err, want)
	}
	_, err = c.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: bucket, Key: key, VersionId: aws.String("null"),
	})
	requireCode(t, err, "NotFound")

	copied, err := copyTo(t, s, s3.CopyObjectInput{
		CopySource: aws.String("bucket/key?versionId=" + one),
	})
	require.NoError(t, err)
	require.Equal(t, one, *copied.CopySourceVersionId)
	o, _ := s.Object(DefaultBucket, "copy")
	require.Equal(t, "one", string(o.Body))
	require.Equal(t, o.VersionID, *copied.VersionId)
	_, err = copyTo(t, s, s3.CopyObjectInput{
		CopySource: aws.String("bucket/key?versionId=" + one), Key: key,
	})
	require.NoError(t, err, "an older version must replace the current one")

	// A delete adds a marker.
	require.Len(t, s.Versions(DefaultBucket, *key), 3)
	deleted, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: key})
	require.NoError(t, err)
	require.True(t, *deleted.DeleteMarker)
	versions := s.Versions(DefaultBucket, *key)
	require.Len(t, versions, 4)
	require.True(t, versions[0].DeleteMarker)
	require.Equal(t, *deleted.VersionId, versions[0].VersionID)
	_, ok := s.Object(DefaultBucket, *key)
	require.False(t, ok)
	require.Equal(t, []string{"copy"}, s.Objects(DefaultBucket))
	list, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket})
	require.NoError(t, err)
	require.Len(t, list.Contents, 1)
	_, err = get("")
	requireCode(t, err, "NoSuchKey")
	_, err = get(*deleted.VersionId)
	requireCode(t, err, "MethodNotAllowed")
	_, err = copyTo(t, s, s3.CopyObjectInput{CopySource: aws.String("bucket/key")})
	requireCode(t, err, "NoSuchKey")
	_, err = copyTo(t, s, s3.CopyObjectInput{
		CopySource: aws.String("bucket/key?versionId=" + *deleted.VersionId),
	})
	requireCode(t, err, "InvalidRequest")
	a := send(t, s, signHeader(t, s, "GET", "/bucket/key"))
	require.Equal(t, "true", a.header.Get("X-Amz-Delete-Marker"))
	require.Equal(t, *deleted.VersionId, a.header.Get("X-Amz-Version-Id"))
	a = send(t, s, signHeader(t, s, "GET", "/bucket/key?versionId="+*deleted.VersionId))
	require.Equal(t, 405, a.status)
	require.Equal(t, "DELETE", a.header.Get("Allow"))
	_, err = c.DeleteObject(ctx, &s3.DeleteObjectInput{
		Bucket: bucket, Key: key, IfMatch: aws.String("*"),
	})
	requireCode(t, err, "PreconditionFailed")

	// Deleting a marker restores the previous version.
	undone, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{
		Bucket: bucket, Key: key, VersionId: deleted.VersionId,
	})
	require.NoError(t, err)
	require.True(t, *undone.DeleteMarker)
	got, err := get("")
	require.NoError(t, err)
	require.Equal(t, "one", got)

	// A version can be deleted permanently, and again.
	for range 2 {
		removed, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{
			Bucket: bucket, Key: key, VersionId: &two,
		})
		require.NoError(t, err)
		require.Equal(t, two, *removed.VersionId)
		require.Nil(t, removed.DeleteMarker)
	}
	_, err = get(two)
	requireCode(t, err, "NoSuchVersion")
	_, err = c.DeleteObject(ctx, &s3.DeleteObjectInput{
		Bucket: bucket, Key: key, VersionId: aws.String("v"),
	})
	requireCode(t, err, "InvalidArgument")

	// Conditions apply only to the current version.
	_, err = c.PutObject(ctx, &s3.PutObjectInput{
		Bucket: bucket, Key: key, Body: strings.NewReader("new"), IfNoneMatch: aws.String("*"),
	})
	requireCode(t, err, "PreconditionFailed")
	_, err = c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: key})
	require.NoError(t, err)
	_, err = c.PutObject(ctx, &s3.PutObjectInput{
		Bucket: bucket, Key: key, Body: strings.NewReader("new"), IfNoneMatch: aws.String("*"),
	})
	require.NoError(t, err)
	for _, empty := range []string{"/bucket/key?versionId=", "/bucket/key?versionId"} {
		require.Equal(t, "InvalidArgument", send(t, s, signHeader(t, s, "GET", empty)).code())
	}
}

// TestNullVersion checks the version "null" in a bucket without versioning.
func TestNullVersion(t *testing.T) {
	t.Parallel()
	s, ctx := New(), t.Context()
	c, bucket, key := s.S3(), aws.String(DefaultBucket), aws.String("key")
	put(t, s, *key, hello)
	for version, want := range map[string]string{
		"null": "", strings.Repeat("v", 32): "NoSuchVersion", "v": "InvalidArgument",
	} {
		out, err := c.GetObject(ctx, &s3.GetObjectInput{
			Bucket: bucket, Key: key, VersionId: &version, ChecksumMode: types.ChecksumModeEnabled,
		})
		if want != "" {
			requireCode(t, err, want)
			continue
		}
		require.NoError(t, err)
		require.Nil(t, out.VersionId)
	}
	_, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{
		Bucket: bucket, Key: key, VersionId: aws.String(strings.Repeat("v", 32)),
	})
	require.NoError(t, err)
	require.Len(t, s.Versions(DefaultBucket, *key), 1)
	_, err = c.DeleteObject(ctx, &s3.DeleteObjectInput{
		Bucket: bucket, Key: key, VersionId: aws.String("null"),
	})
	require.NoError(t, err)
	require.Empty(t, s.Versions(DefaultBucket, *key))
}
