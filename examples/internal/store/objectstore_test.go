package store_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/examples/internal/store"
	"github.com/s3presign/presign/internal/objectstore"
)

// TestObjectStore checks that the operations of a completion work on a real
// server.
func TestObjectStore(t *testing.T) {
	server, err := store.Start(t.Context(), "")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	const bucket, source, target = "objects", "in/ü +%41?&#=/日本.txt", "out/ü +%41?&#=/日本.txt"
	require.NoError(t, server.CreateBucket(t.Context(), bucket))
	headers := map[string]string{
		"Content-Type": "text/plain", "content-disposition": "attachment; filename*=UTF-8''%C3%BC",
		"Cache-Control":    "no-store",
		"Content-Language": "de", "Expires": "Thu, 01 Dec 2094 16:00:00 GMT",
		"x-amz-tagging": "a=b+c",
	}
	metadata := map[string]string{"presign": "the stamp", "name": "two  spaces"}
	for _, c := range []struct {
		name, body string
		copyLimit  int64
	}{
		{"whole", "hello world", 0},
		{"parts", strings.Repeat("0123456789abcdef", 5<<16) +
			strings.Repeat("fedcba9876543210", 5<<16) + "the last part", 5 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := t.Context()
			s := objectstore.Store{
				Client: server.Client(), Bucket: bucket, CopyLimit: c.copyLimit,
				PartSize: c.copyLimit,
			}
			put := func(body string) *objectstore.Object {
				_, err := s.Client.PutObject(ctx, &s3.PutObjectInput{
					Bucket: aws.String(bucket), Key: aws.String(source),
					Body: strings.NewReader(body), ContentType: aws.String("image/png"),
					ContentEncoding: aws.String("gzip"), Metadata: map[string]string{"more": "1"},
					Tagging: aws.String("x=y"),
				})
				require.NoError(t, err)
				o, err := s.Head(ctx, source, "")
				require.NoError(t, err)
				return o
			}

			_, err := s.Head(ctx, source, "")
			require.ErrorIs(t, err, objectstore.ErrNotFound)
			from := put(c.body)
			require.EqualValues(t, len(c.body), from.Size)
			require.Equal(t, "image/png", from.Header.Get("Content-Type"))
			require.Equal(t, "gzip", from.Header.Get("Content-Encoding"))
			require.Equal(t, map[string]string{"more": "1"}, from.Metadata)
			require.NotEmpty(t, from.Checksums)
			read, beginning, err := s.Get(ctx, source, "", 4096)
			require.NoError(t, err)
			require.True(t, read.Same(from))
			require.Equal(t, c.body[:min(4096, len(c.body))], string(beginning))

			request := func(from, replaces *objectstore.Object, to string) *objectstore.Copy {
				return &objectstore.Copy{
					From: from, To: to, Replaces: replaces, Header: headers, Metadata: metadata,
					Confirm: func(context.Context) error { return nil },
				}
			}
			_, err = s.Copy(ctx, request(from, nil, target))
			require.NoError(t, err)
			first, err := s.Head(ctx, target, "")
			require.NoError(t, err)
			require.Equal(t, from.Checksums, first.Checksums)
			require.Equal(t, metadata, first.Metadata)
			require.Empty(t, first.Header.Get("Content-Encoding"))
			for _, name := range []string{
				"Content-Type", "Content-Disposition", "Cache-Control", "Content-Language",
				"Expires",
			} {
				require.NotEmpty(t, first.Header.Get(name), name)
			}
			body, err := s.Open(ctx, first)
			require.NoError(t, err)
			whole, err := io.ReadAll(body)
			require.NoError(t, errors.Join(err, body.Close()))
			require.True(t, c.body == string(whole))
			tags, err := s.Client.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{
				Bucket: aws.String(bucket), Key: aws.String(target),
			})
			require.NoError(t, err)
			require.Len(t, tags.TagSet, 1)
			require.Equal(t, "b c", *tags.TagSet[0].Value)

			other := put(strings.ToUpper(c.body))
			_, err = s.Open(ctx, from)
			require.ErrorIs(t, err, objectstore.ErrChanged)
			_, err = s.Copy(ctx, request(from, nil, "elsewhere"))
			require.ErrorIs(t, err, objectstore.ErrCondition)
			require.ErrorIs(t, s.Delete(ctx, from), objectstore.ErrChanged)

			_, err = s.Copy(ctx, request(other, first, target))
			require.NoError(t, err)
			replaced, err := s.Head(ctx, target, "")
			require.NoError(t, err)
			require.Equal(t, other.Checksums, replaced.Checksums)
			for range 2 {
				require.NoError(t, s.Delete(ctx, other))
				require.NoError(t, s.Delete(ctx, replaced))
			}
			_, err = s.Copy(ctx, request(other, nil, target))
			require.ErrorIs(t, err, objectstore.ErrCondition)

			list, err := s.Client.ListObjectsV2(context.Background(), &s3.ListObjectsV2Input{
				Bucket: aws.String(bucket),
			})
			require.NoError(t, err)
			require.Empty(t, list.Contents)
			uploads, err := s.Client.ListMultipartUploads(context.Background(),
				&s3.ListMultipartUploadsInput{Bucket: aws.String(bucket)})
			require.NoError(t, err)
			require.Empty(t, uploads.Uploads)
		})
	}
}
