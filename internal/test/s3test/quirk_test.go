package s3test

import (
	"crypto/md5"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"
)

// TestQuirks checks that a server shows each quirk only if the quirk is set.
func TestQuirks(t *testing.T) {
	t.Parallel()
	bucket, key := aws.String(DefaultBucket), aws.String("key")
	putMultipart := func(t *testing.T, s *Server) string {
		m := create(t, s, s3.CreateMultipartUploadInput{})
		m.part(1, hello)
		out, err := m.complete()
		require.NoError(t, err)
		return *out.ETag
	}
	for name, test := range map[string]struct {
		quirk Quirk
		shows func(*testing.T, *Server) bool
	}{
		"a copy with If-None-Match is not implemented": {CopyOnceNotImplemented,
			func(t *testing.T, s *Server) bool {
				put(t, s, "key", hello)
				_, err := copyTo(t, s, s3.CopyObjectInput{CopySource: aws.String("bucket/key")})
				require.NoError(t, err)
				_, err = copyTo(t, s, s3.CopyObjectInput{
					CopySource: aws.String("bucket/key"), Key: aws.String("other"),
					IfNoneMatch: aws.String("*"),
				})
				if err != nil {
					requireCode(t, err, "NotImplemented")
				}
				return err != nil
			}},
		"a copy of an object made of parts never matches": {PartsNeverMatch,
			func(t *testing.T, s *Server) bool {
				_, err := copyTo(t, s, s3.CopyObjectInput{
					CopySource:        aws.String("bucket/key"),
					CopySourceIfMatch: aws.String(put(t, s, "key", hello)),
				})
				require.NoError(t, err)
				_, err = copyTo(t, s, s3.CopyObjectInput{
					CopySource:        aws.String("bucket/key"),
					CopySourceIfMatch: aws.String(putMultipart(t, s)),
				})
				if err != nil {
					requireCode(t, err, "PreconditionFailed")
				}
				return err != nil
			}},
		"a deletion of an object made of parts never matches": {PartsNeverMatch,
			func(t *testing.T, s *Server) bool {
				_, err := s.S3().DeleteObject(t.Context(), &s3.DeleteObjectInput{
					Bucket: bucket, Key: key, IfMatch: aws.String(putMultipart(t, s)),
				})
				if err != nil {
					requireCode(t, err, "PreconditionFailed")
				}
				return err != nil
			}},
		"a copy loses Cache-Control": {CopiesLoseCacheControl, func(t *testing.T, s *Server) bool {
			put(t, s, "key", hello)
			_, err := copyTo(t, s, s3.CopyObjectInput{
				CopySource:        aws.String("bucket/key"),
				MetadataDirective: types.MetadataDirectiveReplace,
				CacheControl:      aws.String("no-store"), ContentLanguage: aws.String("de"),
			})
			require.NoError(t, err)
			out, err := s.S3().HeadObject(t.Context(), &s3.HeadObjectInput{
				Bucket: bucket, Key: aws.String("copy"),
			})
			require.NoError(t, err)
			require.Equal(t, "de", *out.ContentLanguage)
			return out.CacheControl == nil
		}},
		"Expires is returned with another weekday": {CorrectsExpires,
			func(t *testing.T, s *Server) bool {
				const wrong = "Mon, 01 Dec 1994 16:00:00 GMT"
				const right = "Thu, 01 Dec 1994 16:00:00 GMT"
				signed := sign(t, http.MethodPut, s.URL+"/bucket/key",
					http.Header{"Expires": {wrong}}, unsignedPayload)
				require.Equal(t, 200, send(t, s, upload(t, signed, hello)).status)
				got := send(t, s, signHeader(t, s, "HEAD", "/bucket/key")).header.Get("Expires")
				require.Contains(t, []string{wrong, right}, got)
				return got == right
			}},
		"a part that was sent twice is listed twice, the newest first": {ListsReplacedParts,
			func(t *testing.T, s *Server) bool {
				m := create(t, s, s3.CreateMultipartUploadInput{})
				for i, body := range []string{"one", "two!", "three"} {
					m.part(max(1, i), body)
				}
				first := s.PutPart(*m.id, 3, []byte("x"), 0)
				var sizes []int64
				pages := s3.NewListPartsPaginator(m.client, &s3.ListPartsInput{
					Bucket: bucket, Key: key, UploadId: m.id, MaxParts: aws.Int32(1),
				})
				for pages.HasMorePages() {
					page, err := pages.NextPage(t.Context())
					require.NoError(t, err)
					for _, part := range page.Parts {
						sizes = append(sizes, *part.Size)
					}
				}
				require.NotEmpty(t, first)
				m.parts = m.parts[:1] // This is the replaced part.
				_, err := m.complete()
				if err != nil {
					requireCode(t, err, "InvalidPart")
					require.Equal(t, []int64{4, 5, 1}, sizes)
					return false
				}
				require.Equal(t, []int64{4, 3, 5, 1}, sizes)
				return true
			}},
		"an aborted upload lists no parts": {ForgivesEndedUploads,
			func(t *testing.T, s *Server) bool {
				m := create(t, s, s3.CreateMultipartUploadInput{})
				m.part(1, hello)
				input := &s3.AbortMultipartUploadInput{Bucket: bucket, Key: key, UploadId: m.id}
				abort := func() error {
					_, err := m.client.AbortMultipartUpload(t.Context(), input)
					return err
				}
				require.NoError(t, abort())
				out, err := m.client.ListParts(t.Context(), &s3.ListPartsInput{
					Bucket: bucket, Key: key, UploadId: m.id,
				})
				if err != nil {
					requireCode(t, err, "NoSuchUpload")
					requireCode(t, abort(), "NoSuchUpload")
					return false
				}
				require.NoError(t, abort())
				require.Empty(t, out.Parts)
				return true
			}},
		"a completed upload lists no parts": {ForgivesEndedUploads,
			func(t *testing.T, s *Server) bool {
				m := create(t, s, s3.CreateMultipartUploadInput{})
				m.part(1, hello)
				_, err := m.complete()
				require.NoError(t, err)
				out, err := m.client.ListParts(t.Context(), &s3.ListPartsInput{
					Bucket: bucket, Key: key, UploadId: m.id,
				})
				if err == nil {
					require.Empty(t, out.Parts)
				}
				return err == nil
			}},
		"metadata of a multipart upload is renamed": {MultipartRenamesMetadata,
			func(t *testing.T, s *Server) bool {
				_, err := s.S3().PutObject(t.Context(), &s3.PutObjectInput{
					Bucket: bucket, Key: key, Metadata: map[string]string{"note_x": "1"},
				})
				require.NoError(t, err)
				o, _ := s.Object(DefaultBucket, "key")
				require.Equal(t, map[string]string{"note_x": "1"}, o.Metadata)
				m := create(t, s, s3.CreateMultipartUploadInput{
					Metadata: map[string]string{"note_x": "1"},
				})
				m.part(1, hello)
				_, err = m.complete()
				require.NoError(t, err)
				o, _ = s.Object(DefaultBucket, "key")
				require.Len(t, o.Metadata, 1)
				return o.Metadata["note-x"] == "1"
			}},
		"no checksum is returned": {NoChecksums, func(t *testing.T, s *Server) bool {
			put(t, s, "key", hello)
			head, err := s.S3().HeadObject(t.Context(), &s3.HeadObjectInput{
				Bucket: bucket, Key: key, ChecksumMode: types.ChecksumModeEnabled,
			})
			require.NoError(t, err)
			copied, err := copyTo(t, s, s3.CopyObjectInput{
				CopySource:        aws.String("bucket/key"),
				ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
			})
			require.NoError(t, err)
			require.Equal(t, head.ChecksumCRC64NVME == nil,
				copied.CopyObjectResult.ChecksumSHA256 == nil)
			return head.ChecksumCRC64NVME == nil
		}},
		"the checksum algorithm of an upload is ignored": {NoChecksums, func(t *testing.T, s *Server) bool {
			out, err := s.S3().CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{
				Bucket: bucket, Key: key, ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
				ChecksumType: types.ChecksumTypeFullObject,
			})
			require.NoError(t, err)
			s.PutPart(*out.UploadId, 1, []byte(hello), 0)
			parts, err := s.S3().ListParts(t.Context(), &s3.ListPartsInput{
				Bucket: bucket, Key: key, UploadId: out.UploadId,
			})
			require.NoError(t, err)
			require.Equal(t, out.ChecksumAlgorithm == "", parts.Parts[0].ChecksumCRC32 == nil)
			return out.ChecksumAlgorithm == ""
		}},
		"objects of one size have one ETag": {SizeETags, func(t *testing.T, s *Server) bool {
			require.NotEqual(t, put(t, s, "a", "one"), put(t, s, "b", "three"))
			require.Contains(t, putMultipart(t, s), "-1")
			return put(t, s, "a", "one") == put(t, s, "b", "two")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.True(t, test.shows(t, New(WithQuirks(test.quirk))))
			require.False(t, test.shows(t, New()))
		})
	}
}

// TestWithoutConditions checks that each name drops the conditions of its
// operation and no other conditions.
func TestWithoutConditions(t *testing.T) {
	t.Parallel()
	const all = ""
	etag, other := aws.String(`"5eb63bbbe01eeed093cb22bb8f5acdc3"`), aws.String(`"other"`)
	bucket, source := aws.String(DefaultBucket), aws.String("bucket/taken")
	conditional := map[string][]func(*testing.T, *Server) error{
		"PutObject": {
			func(t *testing.T, s *Server) error {
				_, err := s.S3().PutObject(t.Context(), &s3.PutObjectInput{
					Bucket: bucket, Key: aws.String("taken"), IfNoneMatch: aws.String("*"),
				})
				return err
			},
			func(t *testing.T, s *Server) error {
				_, err := s.S3().PutObject(t.Context(), &s3.PutObjectInput{
					Bucket: bucket, Key: aws.String("taken"), IfMatch: other,
				})
				return err
			},
		},
		"CopyObject": {
			func(t *testing.T, s *Server) error {
				put(t, s, "copy", "taken, too")
				_, err := copyTo(t, s, s3.CopyObjectInput{
					CopySource: source, IfNoneMatch: aws.String("*"),
				})
				return err
			},
			func(t *testing.T, s *Server) error {
				put(t, s, "copy", "taken, too")
				_, err := copyTo(t, s, s3.CopyObjectInput{CopySource: source, IfMatch: other})
				return err
			},
		},
		"CompleteMultipartUpload": {func(t *testing.T, s *Server) error {
			put(t, s, "key", "taken, too")
			m := create(t, s, s3.CreateMultipartUploadInput{})
			m.part(1, hello)
			_, err := m.complete(func(c *s3.CompleteMultipartUploadInput) {
				c.IfNoneMatch = aws.String("*")
			})
			return err
		}},
		"DeleteObject": {func(t *testing.T, s *Server) error {
			_, err := s.S3().DeleteObject(t.Context(), &s3.DeleteObjectInput{
				Bucket: bucket, Key: aws.String("taken"), IfMatch: other,
			})
			return err
		}},
		CopySource: {
			func(t *testing.T, s *Server) error {
				_, err := copyTo(t, s, s3.CopyObjectInput{
					CopySource: source, CopySourceIfMatch: other,
				})
				return err
			},
			func(t *testing.T, s *Server) error {
				_, err := copyTo(t, s, s3.CopyObjectInput{
					CopySource: source, CopySourceIfNoneMatch: etag,
				})
				return err
			},
			func(t *testing.T, s *Server) error {
				m := create(t, s, s3.CreateMultipartUploadInput{})
				_, err := m.client.UploadPartCopy(t.Context(), &s3.UploadPartCopyInput{
					Bucket: bucket, Key: aws.String("key"), UploadId: m.id,
					PartNumber: aws.Int32(1), CopySource: source, CopySourceIfMatch: other,
				})
				return err
			},
		},
	}
	for _, dropped := range []string{
		"PutObject", "CopyObject", "CompleteMultipartUpload", "DeleteObject", CopySource, all,
	} {
		for name, tests := range conditional {
			for _, test := range tests {
				s := New(WithoutConditions(dropped))
				if dropped == all {
					s = New(WithoutConditions())
				}
				put(t, s, "taken", hello)
				if err := test(t, s); dropped == all || dropped == name {
					require.NoError(t, err, "%s without conditions on %s", name, dropped)
				} else {
					requireCode(t, err, "PreconditionFailed")
				}
			}
		}
	}
	// Conditions of reads still apply.
	s := New(WithoutConditions())
	put(t, s, "taken", hello)
	_, err := s.S3().GetObject(t.Context(), &s3.GetObjectInput{
		Bucket: bucket, Key: aws.String("taken"), IfMatch: other,
	})
	requireCode(t, err, "PreconditionFailed")
}

func TestCollision(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{"", "the same end"} {
		one, two := Collision(suffix)
		require.Equal(t, md5.Sum(one), md5.Sum(two))
		require.NotEqual(t, one, two)
		require.Equal(t, one[:19], two[:19])
		s := New()
		require.Equal(t, put(t, s, "a", string(one)), put(t, s, "b", string(two)))
	}
}

// TestLastModified checks that times in headers and lists have whole seconds.
func TestLastModified(t *testing.T) {
	t.Parallel()
	s := New()
	put(t, s, "key", hello)
	o, _ := s.Object(DefaultBucket, "key")
	require.Zero(t, o.LastModified.Nanosecond())
	got, err := s.S3().GetObject(t.Context(), &s3.GetObjectInput{
		Bucket: aws.String(DefaultBucket), Key: aws.String("key"),
	})
	require.NoError(t, err)
	list, err := s.S3().ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{
		Bucket: aws.String(DefaultBucket),
	})
	require.NoError(t, err)
	for _, modified := range []*time.Time{got.LastModified, list.Contents[0].LastModified} {
		require.True(t, o.LastModified.Equal(*modified))
	}
}
