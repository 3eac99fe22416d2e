package s3test

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"
)

// partOne and partTwo are the parts that most of these tests upload.
var partOne, partTwo = strings.Repeat("0123456789abcdef", minPartSize/16), "the last part"

// A multipartTest is a multipart upload under the key "key".
type multipartTest struct {
	*testing.T
	server *Server
	client *s3.Client
	id     *string
	parts  []types.CompletedPart
}

func create(t *testing.T, s *Server, input s3.CreateMultipartUploadInput) *multipartTest {
	t.Helper()
	input.Bucket, input.Key = aws.String(DefaultBucket), aws.String("key")
	out, err := s.S3().CreateMultipartUpload(t.Context(), &input)
	require.NoError(t, err)
	require.Equal(t, input.ChecksumAlgorithm, out.ChecksumAlgorithm)
	return &multipartTest{T: t, server: s, client: s.S3(), id: out.UploadId}
}

// part uploads a part. The optional sums hold its checksum.
func (m *multipartTest) part(number int, body string, sums ...types.CompletedPart) {
	m.Helper()
	input := &s3.UploadPartInput{
		Bucket: aws.String(DefaultBucket), Key: aws.String("key"), UploadId: m.id,
		PartNumber: aws.Int32(int32(number)), Body: strings.NewReader(body),
	}
	p := types.CompletedPart{PartNumber: input.PartNumber}
	for _, s := range sums {
		input.ChecksumSHA256, input.ChecksumCRC32 = s.ChecksumSHA256, s.ChecksumCRC32
		p.ChecksumSHA256, p.ChecksumCRC32 = s.ChecksumSHA256, s.ChecksumCRC32
	}
	out, err := m.client.UploadPart(m.Context(), input)
	require.NoError(m, err)
	require.Equal(m, p.ChecksumSHA256, out.ChecksumSHA256)
	p.ETag = out.ETag
	m.parts = append(m.parts, p)
}

func (m *multipartTest) complete(
	change ...func(*s3.CompleteMultipartUploadInput),
) (*s3.CompleteMultipartUploadOutput, error) {
	input := &s3.CompleteMultipartUploadInput{
		Bucket: aws.String(DefaultBucket), Key: aws.String("key"), UploadId: m.id,
		MultipartUpload: &types.CompletedMultipartUpload{
			Parts: append([]types.CompletedPart(nil), m.parts...),
		},
	}
	for _, c := range change {
		c(input)
	}
	return m.client.CompleteMultipartUpload(context.Background(), input)
}

func sha(body string) types.CompletedPart {
	return types.CompletedPart{ChecksumSHA256: aws.String(sum("SHA256", []byte(body)))}
}

func TestMultipart(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]Option{
		"unversioned": nil, "versioned": {WithVersioning()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := New(opts...)
			m := create(t, s, s3.CreateMultipartUploadInput{
				ContentType: aws.String("image/png"), Metadata: map[string]string{"Owner": "u1"},
				Tagging:      aws.String("a=b"),
				StorageClass: types.StorageClassStandardIa,
			})
			m.part(2, partTwo)
			m.part(1, partTwo)
			m.part(1, partOne) // This replaces part 1.
			m.parts = []types.CompletedPart{m.parts[2], m.parts[0]}
			require.Empty(t, s.Objects(DefaultBucket))

			list, err := m.client.ListParts(t.Context(), &s3.ListPartsInput{
				Bucket: aws.String(DefaultBucket), Key: aws.String("key"), UploadId: m.id,
			})
			require.NoError(t, err)
			require.Len(t, list.Parts, 2)
			require.EqualValues(t, len(partOne), *list.Parts[0].Size)
			require.Equal(t, m.parts[1].ETag, list.Parts[1].ETag)
			require.NotNil(t, list.Parts[1].LastModified)
			require.Equal(t, types.StorageClassStandardIa, list.StorageClass)
			require.False(t, *list.IsTruncated)

			out, err := m.complete(func(in *s3.CompleteMultipartUploadInput) {
				in.IfNoneMatch, in.MpuObjectSize = aws.String("*"),
					aws.Int64(int64(len(partOne+partTwo)))
			})
			require.NoError(t, err)
			o, _ := s.Object(DefaultBucket, "key")
			require.True(t, partOne+partTwo == string(o.Body))
			one, two := md5.Sum([]byte(partOne)), md5.Sum([]byte(partTwo))
			digest := md5.Sum(append(one[:], two[:]...))
			require.Equal(t, `"`+hex.EncodeToString(digest[:])+`-2"`, o.ETag)
			require.Equal(t, o.ETag, *out.ETag)
			require.Equal(t, o.VersionID, aws.ToString(out.VersionId))
			require.Equal(t, opts != nil, o.VersionID != "")
			require.Equal(t, "https://s3.test/bucket/key", *out.Location)
			require.Equal(t, "CRC64NVME FULL_OBJECT", o.ChecksumAlgorithm+" "+o.ChecksumType)
			require.Equal(t, sum("CRC64NVME", o.Body), *out.ChecksumCRC64NVME)
			require.Equal(t, types.ChecksumTypeFullObject, out.ChecksumType)
			require.Equal(t, map[string]string{"owner": "u1"}, o.Metadata)
			require.Equal(t, map[string]string{"a": "b"}, o.Tags)
			require.Equal(t, "image/png", o.Header.Get("Content-Type"))
			require.Equal(t, "STANDARD_IA", o.Header.Get("X-Amz-Storage-Class"))

			// A repeated completion returns the same response while the object
			// exists.
			repeated, err := m.complete()
			require.NoError(t, err)
			require.Equal(t, out.ETag, repeated.ETag)
			require.Equal(t, out.VersionId, repeated.VersionId)
			_, err = m.complete(func(in *s3.CompleteMultipartUploadInput) {
				in.IfNoneMatch = aws.String("*")
			})
			requireCode(t, err, "PreconditionFailed")
			_, err = m.complete(func(in *s3.CompleteMultipartUploadInput) {
				in.MultipartUpload.Parts = in.MultipartUpload.Parts[:1]
			})
			requireCode(t, err, "NoSuchUpload")
			put(t, s, "key", hello)
			_, err = m.complete()
			requireCode(t, err, "NoSuchUpload")
			require.Equal(t, []string{"key"}, s.Objects(DefaultBucket))
			m.requireEnded()
		})
	}
}

// requireEnded checks that every operation on the upload fails.
func (m *multipartTest) requireEnded() {
	m.Helper()
	bucket, key := aws.String(DefaultBucket), aws.String("key")
	for _, call := range []func() error{
		func() error {
			_, err := m.client.UploadPart(m.Context(), &s3.UploadPartInput{
				Bucket: bucket, Key: key, UploadId: m.id, PartNumber: aws.Int32(3),
			})
			return err
		},
		func() error {
			_, err := m.client.UploadPartCopy(m.Context(), &s3.UploadPartCopyInput{
				Bucket: bucket, Key: key, UploadId: m.id, PartNumber: aws.Int32(3),
				CopySource: aws.String("bucket/key"),
			})
			return err
		},
		func() error {
			_, err := m.client.ListParts(m.Context(), &s3.ListPartsInput{
				Bucket: bucket, Key: key, UploadId: m.id,
			})
			return err
		},
		func() error {
			_, err := m.client.AbortMultipartUpload(m.Context(), &s3.AbortMultipartUploadInput{
				Bucket: bucket, Key: key, UploadId: m.id,
			})
			return err
		},
		func() error { _, err := m.complete(); return err },
	} {
		requireCode(m.T, call(), "NoSuchUpload")
	}
	uploads, err := m.client.ListMultipartUploads(m.Context(),
		&s3.ListMultipartUploadsInput{Bucket: bucket})
	require.NoError(m, err)
	require.Empty(m, uploads.Uploads)
}

func TestAbortMultipartUpload(t *testing.T) {
	t.Parallel()
	s := New()
	m := create(t, s, s3.CreateMultipartUploadInput{})
	m.part(1, hello)
	_, err := m.client.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{
		Bucket: aws.String(DefaultBucket), Key: aws.String("other"), UploadId: m.id,
	})
	requireCode(t, err, "NoSuchUpload")
	_, err = m.client.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{
		Bucket: aws.String(DefaultBucket), Key: aws.String("key"), UploadId: m.id,
	})
	require.NoError(t, err)
	m.requireEnded()
	require.Empty(t, s.Objects(DefaultBucket))
}

// TestCreateMultipartUpload checks which requests the server rejects.
func TestCreateMultipartUpload(t *testing.T) {
	t.Parallel()
	s := New()
	for _, test := range []struct {
		input         s3.CreateMultipartUploadInput
		want, message string
	}{
		{input: s3.CreateMultipartUploadInput{
			ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
			ChecksumType:      types.ChecksumTypeFullObject,
		},
			want:    "InvalidRequest",
			message: "The FULL_OBJECT checksum type cannot be used with the sha256 checksum algorithm."},
		{input: s3.CreateMultipartUploadInput{
			ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme,
			ChecksumType:      types.ChecksumTypeComposite,
		},
			want:    "InvalidRequest",
			message: "The COMPOSITE checksum type cannot be used with the crc64nvme checksum algorithm."},
		{input: s3.CreateMultipartUploadInput{ChecksumType: types.ChecksumTypeComposite}, want: "InvalidRequest"},
		{input: s3.CreateMultipartUploadInput{
			ChecksumAlgorithm: types.ChecksumAlgorithmCrc32, ChecksumType: "WHOLE",
		}, want: "InvalidRequest"},
		{input: s3.CreateMultipartUploadInput{ChecksumAlgorithm: "CRC16"}, want: "InvalidRequest"},
		{input: s3.CreateMultipartUploadInput{ChecksumAlgorithm: types.ChecksumAlgorithmXxhash64},
			want: "NotImplemented"},
		{input: s3.CreateMultipartUploadInput{StorageClass: "NOPE"}, want: "InvalidStorageClass"},
		{input: s3.CreateMultipartUploadInput{Tagging: aws.String("aws:a=b")}, want: "InvalidTag"},
		{input: s3.CreateMultipartUploadInput{ACL: types.ObjectCannedACLPrivate},
			want: "AccessControlListNotSupported"},
		{input: s3.CreateMultipartUploadInput{ExpectedBucketOwner: aws.String("111122223333")}, want: "NotImplemented"},
	} {
		test.input.Bucket, test.input.Key = aws.String(DefaultBucket), aws.String("key")
		_, err := s.S3().CreateMultipartUpload(t.Context(), &test.input)
		requireCode(t, err, test.want)
		require.ErrorContains(t, err, test.message)
	}
	for name, value := range map[string]string{
		"If-None-Match": "*", "X-Amz-Checksum-Sha256": sum("SHA256", nil),
	} {
		signed := sign(t, http.MethodPost, s.URL+"/bucket/key?uploads=", http.Header{name: {value}},
			unsignedPayload)
		require.Equal(t, "NotImplemented", send(t, s, upload(t, signed, "")).code(), name)
	}
	signed := sign(t, http.MethodPost, s.URL+"/bucket/key?uploads=", nil, unsignedPayload)
	require.Equal(t, "NotImplemented", send(t, s, upload(t, signed, hello)).code())
	uploads, err := s.S3().ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{
		Bucket: aws.String(DefaultBucket),
	})
	require.NoError(t, err)
	require.Empty(t, uploads.Uploads)
}

func TestUploadPart(t *testing.T) {
	t.Parallel()
	s := New()
	composite := create(t, s, s3.CreateMultipartUploadInput{
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
	})
	whole := create(t, s, s3.CreateMultipartUploadInput{
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc32, ChecksumType: types.ChecksumTypeFullObject,
	})
	none := create(t, s, s3.CreateMultipartUploadInput{})
	shaHeader := http.Header{"X-Amz-Checksum-Sha256": {sum("SHA256", []byte(hello))}}
	crcHeader := http.Header{"X-Amz-Checksum-Crc32": {sum("CRC32", []byte(hello))}}
	for _, test := range []struct {
		name, id, number string
		header           http.Header
		body             string
		want, message    string
	}{
		{name: "no checksum", id: *none.id, number: "1", body: hello},
		{name: "a checksum", id: *none.id, number: "10000", header: shaHeader, body: hello},
		{name: "a wrong checksum", id: *none.id, number: "1", header: shaHeader,
			body: "hello worle", want: "BadDigest"},
		{name: "a wrong MD5", id: *none.id,
			number: "1", header: http.Header{"Content-Md5": {sum("MD5", nil)}}, body: hello,
			want: "BadDigest"},
		{name: "number 0", id: *none.id, number: "0", body: hello, want: "InvalidArgument",
			message: "Part number must be an integer between 1 and 10000, inclusive"},
		{name: "number 10001", id: *none.id, number: "10001", body: hello, want: "InvalidArgument"},
		{name: "number in words", id: *none.id, number: "one", body: hello, want: "InvalidArgument"},
		{name: "no number", id: *none.id, body: hello, want: "InvalidArgument"},
		{name: "unknown upload", id: "unknown", number: "1", body: hello, want: "NoSuchUpload"},
		{name: "no upload", number: "1", body: hello, want: "NoSuchUpload"},
		{name: "a condition", id: *none.id,
			number: "1", header: http.Header{"If-None-Match": {"*"}}, body: hello,
			want: "NotImplemented"},
		{name: "composite", id: *composite.id, number: "1", header: shaHeader, body: hello},
		{name: "composite without a checksum", id: *composite.id, number: "1", body: hello,
			want:    "InvalidRequest",
			message: "Checksum Type mismatch occurred, expected checksum Type: sha256, actual checksum Type: null"},
		{name: "composite with another checksum", id: *composite.id, number: "1", header: crcHeader,
			body: hello, want: "InvalidRequest",
			message: "Checksum Type mismatch occurred, expected checksum Type: sha256, actual checksum Type: crc32"},
		{name: "whole", id: *whole.id, number: "1", header: crcHeader, body: hello},
		{name: "whole without a checksum", id: *whole.id, number: "1", body: hello},
		{name: "whole with another checksum", id: *whole.id, number: "1", header: shaHeader, body: hello,
			want: "InvalidRequest"},
	} {
		address := s.URL + "/bucket/key?uploadId=" + test.id
		if test.number != "" {
			address += "&partNumber=" + test.number
		}
		a := send(t, s,
			upload(t, sign(t, http.MethodPut, address, test.header, unsignedPayload), test.body))
		require.Equal(t, test.want, a.code(), test.name)
		if test.message != "" {
			require.Equal(t, test.message, a.elements["Message"])
		}
		if test.want == "" {
			require.Equal(t, `"5eb63bbbe01eeed093cb22bb8f5acdc3"`, a.header.Get("ETag"), test.name)
		}
	}
	// A presigned part must have the signed length.
	presigned, err := s3.NewPresignClient(s.S3()).PresignUploadPart(t.Context(),
		&s3.UploadPartInput{
			Bucket: aws.String(DefaultBucket), Key: aws.String("key"), UploadId: none.id,
			PartNumber: aws.Int32(1), ContentLength: aws.Int64(11),
		})
	require.NoError(t, err)
	for body, want := range map[string]string{
		hello: "", hello + "!": "SignatureDoesNotMatch", "hello": "SignatureDoesNotMatch",
	} {
		require.Equal(t, want, send(t, s, upload(t, presigned, body)).code())
	}
	req := upload(t, presigned, hello)
	setQuery(req, "partNumber", "2")
	require.Equal(t, "SignatureDoesNotMatch", send(t, s, req).code())
	req = upload(t, presigned, hello)
	req.Header.Set("X-Amz-Copy-Source", "bucket/secret")
	require.Equal(t, "AccessDenied", send(t, s, req).code())
}

func TestUploadPartCopy(t *testing.T) {
	t.Parallel()
	s := New(WithVersioning())
	body := partOne + partTwo
	put(t, s, "from", body)
	from, _ := s.Object(DefaultBucket, "from")
	put(t, s, "from", "a newer version")
	put(t, s, "small", partOne)
	s.maxCopySize = int64(len(body)) - 1
	source := aws.String("bucket/from?versionId=" + from.VersionID)
	for _, test := range []struct {
		name  string
		input s3.UploadPartCopyInput
		want  string // the code
		size  int
	}{
		{name: "of a range",
			input: s3.UploadPartCopyInput{CopySourceRange: aws.String("bytes=1-5242880")},
			size:  minPartSize},
		{name: "of all but the first",
			input: s3.UploadPartCopyInput{
				CopySourceRange: aws.String(fmt.Sprintf("bytes=1-%d", len(body)-1)),
			}, size: len(body) - 1},
		{name: "of all, over the limit", want: "InvalidRequest"},
		{name: "of a range over the limit",
			input: s3.UploadPartCopyInput{
				CopySourceRange: aws.String(fmt.Sprintf("bytes=0-%d", len(body)-1)),
			}, want: "InvalidRequest"},
		{name: "if match",
			input: s3.UploadPartCopyInput{
				CopySourceIfMatch: aws.String(from.ETag), CopySourceRange: aws.String("bytes=0-9"),
			}, size: 10},
		{name: "if match of another etag",
			input: s3.UploadPartCopyInput{
				CopySourceIfMatch: aws.String(`"other"`), CopySourceRange: aws.String("bytes=0-9"),
			}, want: "PreconditionFailed"},
		{name: "beyond the end",
			input: s3.UploadPartCopyInput{
				CopySourceRange: aws.String(fmt.Sprintf("bytes=0-%d", len(body))),
			}, want: "InvalidArgument"},
		{name: "backwards", input: s3.UploadPartCopyInput{CopySourceRange: aws.String("bytes=9-0")},
			want: "InvalidArgument"},
		{name: "open", input: s3.UploadPartCopyInput{CopySourceRange: aws.String("bytes=9-")}, want: "InvalidArgument"},
		{name: "two ranges",
			input: s3.UploadPartCopyInput{CopySourceRange: aws.String("bytes=0-1,3-4")},
			want:  "InvalidArgument"},
		{name: "no range", input: s3.UploadPartCopyInput{CopySourceRange: aws.String("0-9")}, want: "InvalidArgument"},
		{name: "of a range of a small object",
			input: s3.UploadPartCopyInput{
				CopySource: aws.String("bucket/small"), CopySourceRange: aws.String("bytes=0-9"),
			}, want: "InvalidRequest"},
		{name: "of a small object",
			input: s3.UploadPartCopyInput{CopySource: aws.String("bucket/small")},
			size:  len(partOne)},
		{name: "of nothing", input: s3.UploadPartCopyInput{CopySource: aws.String("bucket/none")}, want: "NoSuchKey"},
		{name: "number 0", input: s3.UploadPartCopyInput{PartNumber: aws.Int32(0)}, want: "InvalidArgument"},
		{name: "no such upload", input: s3.UploadPartCopyInput{UploadId: aws.String("none")}, want: "NoSuchUpload"},
	} {
		m := create(t, s, s3.CreateMultipartUploadInput{
			ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
		})
		test.input.Bucket, test.input.Key = aws.String(DefaultBucket), aws.String("key")
		if test.input.CopySource == nil {
			test.input.CopySource = source
		}
		if test.input.UploadId == nil {
			test.input.UploadId = m.id
		}
		if test.input.PartNumber == nil {
			test.input.PartNumber = aws.Int32(1)
		}
		out, err := m.client.UploadPartCopy(t.Context(), &test.input)
		list, listErr := m.client.ListParts(t.Context(), &s3.ListPartsInput{
			Bucket: aws.String(DefaultBucket), Key: aws.String("key"), UploadId: m.id,
		})
		require.NoError(t, listErr)
		if test.want != "" {
			requireCode(t, err, test.want)
			require.Empty(t, list.Parts, test.name)
			continue
		}
		require.NoError(t, err, test.name)
		require.Len(t, list.Parts, 1)
		require.EqualValues(t, test.size, *list.Parts[0].Size, test.name)
		require.Equal(t, out.CopyPartResult.ETag, list.Parts[0].ETag)
		require.Equal(t, out.CopyPartResult.ChecksumSHA256, list.Parts[0].ChecksumSHA256)
		if test.input.CopySource == source {
			require.Equal(t, from.VersionID, *out.CopySourceVersionId)
		}
		digest, err := base64.StdEncoding.DecodeString(*out.CopyPartResult.ChecksumSHA256)
		require.NoError(t, err)
		require.Len(t, digest, 32)
	}
}

// TestCompleteMultipartUpload checks the server's response to each completion.
func TestCompleteMultipartUpload(t *testing.T) {
	t.Parallel()
	type input = s3.CompleteMultipartUploadInput
	sha256 := s3.CreateMultipartUploadInput{ChecksumAlgorithm: types.ChecksumAlgorithmSha256}
	crc32 := s3.CreateMultipartUploadInput{
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc32, ChecksumType: types.ChecksumTypeFullObject,
	}
	crc64 := s3.CreateMultipartUploadInput{ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme}
	sumBy := func(algorithm string) *string {
		return aws.String(sum(algorithm, []byte(partOne+partTwo)))
	}
	one, _ := base64.StdEncoding.DecodeString(sum("SHA256", []byte(partOne)))
	two, _ := base64.StdEncoding.DecodeString(sum("SHA256", []byte(partTwo)))
	composed := sum("SHA256", append(one, two...)) + "-2"
	for _, test := range []struct {
		name    string
		create  s3.CreateMultipartUploadInput
		change  func(*input)
		want    string // the code
		message string
		sum     string // algorithm, type, value
	}{
		{name: "valid"},
		{name: "one part", change: func(in *input) { in.MultipartUpload.Parts = in.MultipartUpload.Parts[:1] }},
		{name: "the last part only",
			change: func(in *input) { in.MultipartUpload.Parts = in.MultipartUpload.Parts[1:] }},
		{name: "no part", change: func(in *input) { in.MultipartUpload.Parts = nil },
			want: "InvalidRequest", message: "You must specify at least one part"},
		{name: "no list", change: func(in *input) { in.MultipartUpload = nil }, want: "MalformedXML"},
		{name: "other order", change: func(in *input) {
			p := in.MultipartUpload.Parts
			p[0], p[1] = p[1], p[0]
		}, want: "InvalidPartOrder"},
		{name: "a part twice",
			change: func(in *input) { in.MultipartUpload.Parts[1] = in.MultipartUpload.Parts[0] },
			want:   "InvalidPartOrder"},
		{name: "a missing part",
			change: func(in *input) { in.MultipartUpload.Parts[1].PartNumber = aws.Int32(3) },
			want:   "InvalidPart"},
		{name: "part 0",
			change: func(in *input) { in.MultipartUpload.Parts[0].PartNumber = aws.Int32(0) },
			want:   "InvalidArgument"},
		{name: "another ETag",
			change: func(in *input) {
				in.MultipartUpload.Parts[1].ETag = in.MultipartUpload.Parts[0].ETag
			}, want: "InvalidPart"},
		{name: "ETags without quotes", change: func(in *input) {
			in.MultipartUpload.Parts[1].ETag = aws.String(
				strings.Trim(*in.MultipartUpload.Parts[1].ETag, `"`))
		}},
		{name: "no such upload", change: func(in *input) { in.UploadId = aws.String("none") }, want: "NoSuchUpload"},
		{name: "other key", change: func(in *input) { in.Key = aws.String("other") }, want: "NoSuchUpload"},
		{name: "the size", change: func(in *input) { in.MpuObjectSize = aws.Int64(minPartSize + 13) }},
		{name: "another size", change: func(in *input) { in.MpuObjectSize = aws.Int64(5) },
			want:    "InvalidRequest",
			message: "The provided 'x-amz-mp-object-size' header value 5 does not match what was computed: 5242893"},
		{name: "a negative size", change: func(in *input) { in.MpuObjectSize = aws.Int64(-1) }, want: "InvalidRequest"},
		{name: "in place of nothing",
			change: func(in *input) { in.IfMatch = aws.String(`"other"`) }, want: "NoSuchKey"},
		{name: "once, of an etag",
			change: func(in *input) { in.IfNoneMatch = aws.String(`"other"`) },
			want:   "NotImplemented"},
		{name: "expected owner",
			change: func(in *input) { in.ExpectedBucketOwner = aws.String("111122223333") },
			want:   "NotImplemented"},

		{name: "null, with checksums of parts",
			change: func(in *input) {
				in.MultipartUpload.Parts[0].ChecksumSHA256 = sha(partOne).ChecksumSHA256
			}, want: "InvalidPart"},
		{name: "null, with a type",
			change:  func(in *input) { in.ChecksumType = types.ChecksumTypeFullObject },
			want:    "InvalidRequest",
			message: "The upload was created using the null checksum mode."},
		{name: "null, with a value that is ignored",
			change: func(in *input) { in.ChecksumCRC32 = aws.String("AAAAAA==") },
			sum:    "CRC64NVME FULL_OBJECT " + *sumBy("CRC64NVME")},

		{name: "composite", create: sha256, sum: "SHA256 COMPOSITE " + composed},
		{name: "composite, with its value", create: sha256,
			change: func(in *input) { in.ChecksumSHA256 = &composed },
			sum:    "SHA256 COMPOSITE " + composed},
		{name: "composite, with another value", create: sha256,
			change: func(in *input) { in.ChecksumSHA256 = sumBy("SHA256") }, want: "BadDigest"},
		{name: "composite, without the checksum of a part", create: sha256,
			change: func(in *input) { in.MultipartUpload.Parts[0].ChecksumSHA256 = nil },
			want:   "InvalidRequest",
			message: "The upload was created using a sha256 checksum. The complete request must include the checksum for each part. " +
				"It was missing for part 1 in the request."},
		{name: "composite, with the checksum of another part", create: sha256,
			change: func(in *input) {
				in.MultipartUpload.Parts[0].ChecksumSHA256 = sha(partTwo).ChecksumSHA256
			},
			want:    "BadDigest",
			message: "The sha256 you specified for part 1 did not match what we received."},
		{name: "composite, of another algorithm", create: sha256, change: func(in *input) {
			p := &in.MultipartUpload.Parts[0]
			p.ChecksumSHA256, p.ChecksumCRC32 = nil, aws.String("AAAAAA==")
		}, want: "InvalidPart"},
		{name: "composite, of another type", create: sha256,
			change: func(in *input) { in.ChecksumType = types.ChecksumTypeFullObject },
			want:   "InvalidRequest"},
		{name: "composite, not from 1", create: sha256,
			change: func(in *input) { in.MultipartUpload.Parts = in.MultipartUpload.Parts[1:] },
			want:   "InternalError"},

		{name: "whole", create: crc32, sum: "CRC32 FULL_OBJECT " + *sumBy("CRC32")},
		{name: "whole, with its value", create: crc32, change: func(in *input) {
			in.ChecksumCRC32, in.ChecksumType = sumBy("CRC32"), types.ChecksumTypeFullObject
		}, sum: "CRC32 FULL_OBJECT " + *sumBy("CRC32")},
		{name: "whole, without its type", create: crc32,
			change: func(in *input) { in.ChecksumCRC32 = sumBy("CRC32") }, want: "BadDigest"},
		{name: "whole, with another value", create: crc32, change: func(in *input) {
			in.ChecksumCRC32, in.ChecksumType = aws.String("AAAAAA=="), types.ChecksumTypeFullObject
		}, want: "BadDigest"},
		{name: "whole, with another algorithm", create: crc32, change: func(in *input) {
			in.ChecksumCRC32C, in.ChecksumType = aws.String("AAAAAA=="),
				types.ChecksumTypeFullObject
		}, want: "NotImplemented"},
		{name: "whole, with another checksum of a part", create: crc32,
			change: func(in *input) {
				in.MultipartUpload.Parts[1].ChecksumCRC32 = aws.String("AAAAAA==")
			}, want: "BadDigest"},
		{name: "whole by default", create: crc64, sum: "CRC64NVME FULL_OBJECT " + *sumBy("CRC64NVME")},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := New()
			m := create(t, s, test.create)
			for i, body := range []string{partOne, partTwo} {
				if test.create.ChecksumAlgorithm == types.ChecksumAlgorithmSha256 {
					m.part(i+1, body, sha(body))
				} else {
					m.part(i+1, body)
				}
			}
			change := test.change
			if change == nil {
				change = func(*input) {}
			}
			_, err := m.complete(change)
			o, ok := s.Object(DefaultBucket, "key")
			if test.want == "" {
				require.NoError(t, err)
				require.True(t, ok)
				require.Contains(t, o.ChecksumAlgorithm+" "+o.ChecksumType+" "+o.Checksum, test.sum)
				return
			}
			requireCode(t, err, test.want)
			require.ErrorContains(t, err, test.message)
			require.False(t, ok)
			_, err = m.complete()
			require.NoError(t, err, "the upload must still exist")
		})
	}
}

func TestPartTooSmall(t *testing.T) {
	t.Parallel()
	s := New()
	m := create(t, s, s3.CreateMultipartUploadInput{})
	m.part(1, partOne[1:])
	m.part(2, partTwo)
	body := fmt.Sprintf(
		"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>%s</ETag></Part>"+
			"<Part><PartNumber>2</PartNumber><ETag>%s</ETag></Part></CompleteMultipartUpload>",
		*m.parts[0].ETag, *m.parts[1].ETag)
	post := func(body string) response {
		signed := sign(t, http.MethodPost, s.URL+"/bucket/key?uploadId="+*m.id, nil,
			unsignedPayload)
		return send(t, s, upload(t, &v4.PresignedHTTPRequest{
			Method: signed.Method, URL: signed.URL, SignedHeader: signed.SignedHeader,
		}, body))
	}
	a := post(body)
	require.Equal(t, "EntityTooSmall", a.code())
	require.Equal(t, "1", a.elements["PartNumber"])
	require.Equal(t, "5242880", a.elements["MinSizeAllowed"])
	require.Equal(t, "5242879", a.elements["ProposedSize"])
	for _, malformed := range []string{
		"", "x", "<Other/>", strings.Replace(body, "<ETag>", "<Other/><ETag>", 1),
	} {
		require.Equal(t, "MalformedXML", post(malformed).code(), malformed)
	}
}

// TestCompleteConditions checks when a completion conflicts with another write.
func TestCompleteConditions(t *testing.T) {
	t.Parallel()
	ifNoneMatch := func(in *s3.CompleteMultipartUploadInput) { in.IfNoneMatch = aws.String("*") }
	for _, opts := range [][]Option{nil, {WithVersioning()}} {
		s := New(opts...)
		m := create(t, s, s3.CreateMultipartUploadInput{})
		m.part(1, hello)
		etag := put(t, s, "key", "taken")
		_, err := m.complete(ifNoneMatch)
		requireCode(t, err, "PreconditionFailed")
		_, err = m.client.DeleteObject(t.Context(), &s3.DeleteObjectInput{
			Bucket: aws.String(DefaultBucket), Key: aws.String("key"),
		})
		require.NoError(t, err)
		_, err = m.complete(ifNoneMatch)
		requireCode(t, err, "ConditionalRequestConflict")
		require.Empty(t, s.Objects(DefaultBucket))
		m = create(t, s, s3.CreateMultipartUploadInput{})
		m.part(1, hello)
		_, err = m.complete(ifNoneMatch)
		require.NoError(t, err, "another upload must succeed")

		m = create(t, s, s3.CreateMultipartUploadInput{})
		m.part(1, "replaced")
		_, err = m.complete(func(in *s3.CompleteMultipartUploadInput) { in.IfMatch = &etag })
		requireCode(t, err, "PreconditionFailed")
		_, err = m.complete(func(in *s3.CompleteMultipartUploadInput) {
			in.IfMatch = aws.String(`"5eb63bbbe01eeed093cb22bb8f5acdc3-1"`)
		})
		requireCode(t, err, "PreconditionFailed")
		_, err = m.complete()
		require.NoError(t, err)
		o, _ := s.Object(DefaultBucket, "key")
		require.Equal(t, "replaced", string(o.Body))
	}
}

// TestConcurrentComplete checks that only one of many concurrent completions
// succeeds with If-None-Match.
func TestConcurrentComplete(t *testing.T) {
	t.Parallel()
	s := New()
	var uploads sync.WaitGroup
	errs := make(chan error, 8)
	for range cap(errs) {
		m := create(t, s, s3.CreateMultipartUploadInput{})
		m.part(1, hello)
		uploads.Go(func() {
			_, err := m.complete(func(in *s3.CompleteMultipartUploadInput) {
				in.IfNoneMatch = aws.String("*")
			})
			errs <- err
		})
	}
	uploads.Wait()
	completed := 0
	for range cap(errs) {
		if err := <-errs; err == nil {
			completed++
		} else {
			requireCode(t, err, "PreconditionFailed")
		}
	}
	require.Equal(t, 1, completed)
}

func TestListParts(t *testing.T) {
	t.Parallel()
	s := New()
	m := create(t, s, s3.CreateMultipartUploadInput{
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc32, ChecksumType: types.ChecksumTypeFullObject,
	})
	const n = 1003
	for i := n; i > 0; i-- {
		signed := sign(t, http.MethodPut,
			fmt.Sprintf("%s/bucket/key?uploadId=%s&partNumber=%d", s.URL, *m.id, i), nil,
			unsignedPayload)
		require.Equal(t, 200, send(t, s, upload(t, signed, fmt.Sprint(i))).status)
	}
	bucket, key := aws.String(DefaultBucket), aws.String("key")
	pages, parts := 0, 0
	paginator := s3.NewListPartsPaginator(s.S3(), &s3.ListPartsInput{
		Bucket: bucket, Key: key, UploadId: m.id,
	})
	for paginator.HasMorePages() {
		page, err := paginator.NextPage(t.Context())
		require.NoError(t, err)
		pages++
		require.Equal(t, types.ChecksumAlgorithmCrc32, page.ChecksumAlgorithm)
		require.Equal(t, types.ChecksumTypeFullObject, page.ChecksumType)
		for _, p := range page.Parts {
			parts++
			require.EqualValues(t, parts, *p.PartNumber)
			require.EqualValues(t, len(fmt.Sprint(parts)), *p.Size)
			require.Equal(t, sum("CRC32", []byte(fmt.Sprint(parts))), *p.ChecksumCRC32)
		}
	}
	require.Equal(t, 2, pages)
	require.Equal(t, n, parts)

	page, err := s.S3().ListParts(t.Context(), &s3.ListPartsInput{
		Bucket: bucket, Key: key, UploadId: m.id, MaxParts: aws.Int32(2),
		PartNumberMarker: aws.String("5"),
	})
	require.NoError(t, err)
	require.Len(t, page.Parts, 2)
	require.EqualValues(t, 6, *page.Parts[0].PartNumber)
	require.Equal(t, "7", *page.NextPartNumberMarker)
	require.True(t, *page.IsTruncated)
	page, err = s.S3().ListParts(t.Context(), &s3.ListPartsInput{
		Bucket: bucket, Key: key, UploadId: m.id, MaxParts: aws.Int32(5000),
	})
	require.NoError(t, err)
	require.Len(t, page.Parts, 1000)
	for _, query := range []string{
		"&max-parts=x", "&max-parts=-1", "&part-number-marker=x", "&part-number-marker=-1",
	} {
		signed := sign(t, http.MethodGet, s.URL+"/bucket/key?uploadId="+*m.id+query, nil,
			unsignedPayload)
		require.Equal(t, "InvalidArgument", send(t, s, upload(t, signed, "")).code(), query)
	}
	signed := sign(t, http.MethodGet, s.URL+"/bucket/key?uploadId="+*m.id+"&encoding-type=url", nil,
		unsignedPayload)
	require.Equal(t, "NotImplemented", send(t, s, upload(t, signed, "")).code())
}

func TestListMultipartUploads(t *testing.T) {
	t.Parallel()
	s := New(WithBuckets(DefaultBucket, "other"))
	c, bucket := s.S3(), aws.String(DefaultBucket)
	for _, key := range []string{"b", "a/1", "a/2", "a/2", "c"} {
		_, err := c.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{
			Bucket: bucket, Key: &key,
		})
		require.NoError(t, err)
	}
	_, err := c.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{
		Bucket: aws.String("other"), Key: aws.String("a"),
	})
	require.NoError(t, err)
	list := func(input s3.ListMultipartUploadsInput) (keys []string, ids map[string]bool) {
		input.Bucket, ids = bucket, make(map[string]bool)
		paginator := s3.NewListMultipartUploadsPaginator(c, &input)
		for paginator.HasMorePages() {
			page, err := paginator.NextPage(t.Context())
			require.NoError(t, err)
			for _, u := range page.Uploads {
				keys = append(keys, *u.Key)
				ids[*u.UploadId] = true
				require.NotNil(t, u.Initiated)
			}
		}
		return keys, ids
	}
	for _, size := range []int32{1, 2, 3, 1000} {
		keys, ids := list(s3.ListMultipartUploadsInput{MaxUploads: &size})
		require.Equal(t, []string{"a/1", "a/2", "a/2", "b", "c"}, keys)
		require.Len(t, ids, 5)
	}
	keys, _ := list(s3.ListMultipartUploadsInput{Prefix: aws.String("a/")})
	require.Equal(t, []string{"a/1", "a/2", "a/2"}, keys)
	keys, _ = list(s3.ListMultipartUploadsInput{KeyMarker: aws.String("a/2")})
	require.Equal(t, []string{"b", "c"}, keys)
	signed := sign(t, http.MethodGet, s.URL+"/bucket?uploads=&max-uploads=x", nil, unsignedPayload)
	require.Equal(t, "InvalidArgument", send(t, s, upload(t, signed, "")).code())
}
