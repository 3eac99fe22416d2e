package s3test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"
)

// TestContent checks that slices of content with counted zeros equal slices of
// the same bytes.
func TestContent(t *testing.T) {
	t.Parallel()
	whole := content{[]byte("abc"), 4}
	readContent := func(c content) []byte {
		var b bytes.Buffer
		c.writeTo(&b)
		require.EqualValues(t, b.Len(), c.size())
		return b.Bytes()
	}
	all := readContent(whole)
	require.Equal(t, "abc\x00\x00\x00\x00", string(all))
	for first := range int64(7) {
		for last := first; last < 7; last++ {
			require.Equal(t, all[first:last+1], readContent(whole.slice(first, last)), "%d-%d",
				first, last)
		}
		var joined content
		for _, part := range []content{whole.slice(0, first-1), whole.slice(first, 6)} {
			var err error
			joined, err = joined.extend(part)
			require.NoError(t, err)
		}
		require.Equal(t, whole.md5(), joined.md5(), "split before byte %d", first)
	}
	_, err := whole.extend(whole)
	require.Error(t, err)
	require.NotEqual(t, whole.md5(), content{[]byte("abc"), 5}.md5())
	require.NotEqual(t, whole.md5(), content{[]byte("abd"), 4}.md5())
}

// TestLargeCopy checks the time of a multipart copy of 1 TiB that copies 16
// parts at a time.
func TestLargeCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, partSize int64 = 1 << 40, 5 << 30
		s := New(WithHistory(), WithTick(time.Millisecond), WithCopyTime(8*time.Second))
		s.maxCopySize = partSize
		client, ctx, bucket := s.S3(), t.Context(), aws.String(DefaultBucket)
		s.Put(DefaultBucket, "large", Object{
			Body: []byte(hello), Zeros: size - int64(len(hello)),
			Metadata: map[string]string{"owner": "u1"},
		})
		head, err := client.HeadObject(ctx, &s3.HeadObjectInput{
			Bucket: bucket, Key: aws.String("large"),
		})
		require.NoError(t, err)
		require.EqualValues(t, size, *head.ContentLength)
		require.Equal(t, "u1", head.Metadata["owner"])

		created, err := client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
			Bucket: bucket, Key: aws.String("copy"),
		})
		require.NoError(t, err)
		started, before := time.Now(), len(s.History().Requests)
		parts := make([]types.CompletedPart, (size+partSize-1)/partSize)
		slots := make(chan struct{}, 16)
		var wg sync.WaitGroup
		for i := range parts {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				out, err := client.UploadPartCopy(ctx, &s3.UploadPartCopyInput{
					Bucket: bucket, Key: aws.String("copy"), UploadId: created.UploadId,
					PartNumber: aws.Int32(int32(i + 1)),
					CopySource: aws.String("bucket/large"), CopySourceIfMatch: head.ETag,
					CopySourceRange: aws.String(fmt.Sprintf("bytes=%d-%d", int64(i)*partSize,
						min(int64(i+1)*partSize, size)-1)),
				})
				require.NoError(t, err)
				parts[i] = types.CompletedPart{
					PartNumber: aws.Int32(int32(i + 1)), ETag: out.CopyPartResult.ETag,
				}
			})
		}
		wg.Wait()
		rounds := (len(parts) + 15) / 16
		require.InDelta(t, float64(rounds)*40, time.Since(started).Seconds(), 1)
		copies := s.History().Requests.After(before)
		require.Len(t, copies, len(parts))
		require.Equal(t, rounds, copies.Depth())
		out, err := client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: bucket, Key: aws.String("copy"), UploadId: created.UploadId,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
		})
		require.NoError(t, err)
		original, _ := s.Object(DefaultBucket, "large")
		o, _ := s.Object(DefaultBucket, "copy")
		require.Equal(t, *out.ETag, o.ETag)
		require.Equal(t, original.Body, o.Body)
		require.Equal(t, original.Size(), o.Size())
		require.Equal(t, original.Checksum, o.Checksum)

		for _, r := range []string{"bytes=0-4095", "bytes=-4096", "bytes=1000000-1000001"} {
			got, err := client.GetObject(ctx, &s3.GetObjectInput{
				Bucket: bucket, Key: aws.String("copy"), Range: &r,
			})
			require.NoError(t, err)
			body, err := io.ReadAll(got.Body)
			require.NoError(t, err)
			require.EqualValues(t, len(body), *got.ContentLength)
			require.Equal(t, r == "bytes=0-4095", strings.HasPrefix(string(body), hello))
		}
		_, err = client.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("copy")})
		requireCode(t, err, "NotImplemented")
	})
}

// TestPutPart checks that a completion joins parts that PutPart has stored, and
// rejects uploaded bytes after counted zeros.
func TestPutPart(t *testing.T) {
	t.Parallel()
	s := New()
	m := create(t, s, s3.CreateMultipartUploadInput{})
	require.Panics(t, func() { s.PutPart("none", 1, nil, 0) })
	first := s.PutPart(*m.id, 1, []byte("beginning"), 1<<30)
	second := s.PutPart(*m.id, 2, nil, 1<<30)
	m.part(3, string(make([]byte, 3)))
	sent := m.parts[0]
	m.parts = []types.CompletedPart{
		{PartNumber: aws.Int32(1), ETag: &first}, {PartNumber: aws.Int32(2), ETag: &second},
	}
	_, err := m.complete(func(c *s3.CompleteMultipartUploadInput) {
		c.MultipartUpload.Parts = append(c.MultipartUpload.Parts, sent)
	})
	requireCode(t, err, "NotImplemented")
	_, err = m.complete(func(c *s3.CompleteMultipartUploadInput) {
		c.MpuObjectSize = aws.Int64(2<<30 + 9)
	})
	require.NoError(t, err)
	o, _ := s.Object(DefaultBucket, "key")
	require.Equal(t, "beginning", string(o.Body))
	require.Equal(t, int64(2<<30), o.Zeros)
}

// TestCopyReadsSourceAtStart checks that a copy that takes time has the bytes
// that its source had when the copy started.
func TestCopyReadsSourceAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// A copy takes a second for each byte.
		s := New(WithCopyTime(1<<30*time.Second), WithTick(time.Millisecond))
		put(t, s, "key", hello)
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := copyTo(t, s, s3.CopyObjectInput{CopySource: aws.String("bucket/key")})
			require.NoError(t, err)
		})
		time.Sleep(5 * time.Second)
		require.NoError(t, putAs(t.Context(), s.S3(), "key", "other"))
		_, ok := s.Object(DefaultBucket, "copy")
		require.False(t, ok)
		wg.Wait()
		o, _ := s.Object(DefaultBucket, "copy")
		require.Equal(t, hello, string(o.Body))
	})
}

// TestCopyWithSHA256 checks that the server computes the digest that a copy
// requests and returns it.
func TestCopyWithSHA256(t *testing.T) {
	t.Parallel()
	s := New()
	put(t, s, "key", hello)
	out, err := copyTo(t, s, s3.CopyObjectInput{
		CopySource: aws.String("bucket/key"), ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
	})
	require.NoError(t, err)
	digest := sha256.Sum256([]byte(hello))
	require.Equal(t, base64.StdEncoding.EncodeToString(digest[:]),
		*out.CopyObjectResult.ChecksumSHA256)
	require.Equal(t, types.ChecksumTypeFullObject, out.CopyObjectResult.ChecksumType)
}

// TestRanges checks ranges of versions and of empty objects.
func TestRanges(t *testing.T) {
	t.Parallel()
	s := New(WithVersioning())
	put(t, s, "key", "first")
	put(t, s, "key", "second")
	put(t, s, "empty", "")
	first := s.Versions(DefaultBucket, "key")[1].VersionID
	out, err := s.S3().GetObject(t.Context(), &s3.GetObjectInput{
		Bucket: aws.String(DefaultBucket), Key: aws.String("key"), VersionId: &first,
		Range: aws.String("bytes=0-2"),
	})
	require.NoError(t, err)
	body, err := io.ReadAll(out.Body)
	require.NoError(t, err)
	require.Equal(t, "fir", string(body))
	require.Equal(t, "bytes 0-2/5", *out.ContentRange)
	require.Equal(t, first, *out.VersionId)
	for _, r := range []string{"bytes=0-0", "bytes=0-3071", "bytes=0-", "bytes=-1"} {
		_, err = s.S3().GetObject(t.Context(), &s3.GetObjectInput{
			Bucket: aws.String(DefaultBucket), Key: aws.String("empty"), Range: &r,
		})
		requireCode(t, err, "InvalidRange")
	}
}

// TestCopyHasNoEffectWithoutItsClient checks that a copy that takes time has no
// effect if its client disconnects or crashes before the end.
func TestCopyHasNoEffectWithoutItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(WithCopyTime(1<<30*time.Second), WithTick(time.Millisecond))
		put(t, s, "key", hello)
		client := s.Actor("a")
		for _, leave := range []func(cancel func()){
			func(cancel func()) { cancel() }, func(func()) { client.Crash() },
		} {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(5*time.Second, func() { leave(cancel) })
			_, err := client.S3().CopyObject(ctx, &s3.CopyObjectInput{
				Bucket: aws.String(DefaultBucket), Key: aws.String("copy"),
				CopySource: aws.String("bucket/key"),
			})
			require.Error(t, err)
			time.Sleep(time.Minute)
			require.Equal(t, []string{"key"}, s.Objects(DefaultBucket))
			cancel()
		}
	})
}
