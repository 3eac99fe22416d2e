package s3test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"
)

// copyTo copies an object, by default to the key "copy".
func copyTo(t *testing.T, s *Server, input s3.CopyObjectInput) (*s3.CopyObjectOutput, error) {
	t.Helper()
	if input.Bucket == nil {
		input.Bucket = aws.String(DefaultBucket)
	}
	if input.Key == nil {
		input.Key = aws.String("copy")
	}
	if input.CopySource == nil {
		input.CopySource = aws.String("bucket/a%20b/%C3%BC%2B%2541?versionId=null")
	}
	return s.S3().CopyObject(t.Context(), &input)
}

// TestCopyObject checks the server's response to each copy.
func TestCopyObject(t *testing.T) {
	t.Parallel()
	const etag = `"5eb63bbbe01eeed093cb22bb8f5acdc3"`
	sha256 := aws.String(sum("SHA256", []byte(hello)))
	unchanged := func(t *testing.T, o Object) {
		require.Equal(t, map[string]string{"owner": "u1"}, o.Metadata)
		require.Equal(t, map[string]string{"a": "b"}, o.Tags)
		require.Equal(t, http.Header{ // The storage class and the redirect are not copied.
			"Content-Type": {"text/plain"}, "Content-Disposition": {"attachment"}, "Content-Encoding": {"identity"},
			"Content-Language": {"de"}, "Cache-Control": {"no-store"}, "Expires": {"Thu, 01 Dec 1994 16:00:00 GMT"},
			"X-Amz-Server-Side-Encryption": {"AES256"},
		}, o.Header)
		require.Equal(t, "SHA256", o.ChecksumAlgorithm)
		require.Equal(t, *sha256, o.Checksum)
		require.Equal(t, etag, o.ETag)
	}
	replace := s3.CopyObjectInput{
		MetadataDirective: types.MetadataDirectiveReplace,
		TaggingDirective:  types.TaggingDirectiveReplace,
	}
	for _, test := range []struct {
		name  string
		input s3.CopyObjectInput
		want  string // the code
		check func(*testing.T, Object)
	}{
		{name: "valid", check: unchanged},
		{name: "with a slash before",
			input: s3.CopyObjectInput{CopySource: aws.String("/bucket/a+b/ü%2b%2541")},
			want:  "InvalidArgument"},
		{name: "escaped throughout",
			input: s3.CopyObjectInput{CopySource: aws.String("%2Fbucket%2Fa+b%2F%c3%bc%2b%2541")},
			check: unchanged},
		{name: "a plus that was not escaped",
			input: s3.CopyObjectInput{CopySource: aws.String("bucket/a%20b/%C3%BC+%2541")},
			want:  "NoSuchKey"},
		{name: "a percent sign that was not escaped",
			input: s3.CopyObjectInput{CopySource: aws.String("bucket/a%20b/%C3%BC%2B%41")},
			want:  "NoSuchKey"},
		{name: "not escaped at all",
			input: s3.CopyObjectInput{CopySource: aws.String("bucket/a b/%C3%BC%2B%2541")},
			want:  "InvalidArgument"},
		{name: "badly escaped", input: s3.CopyObjectInput{CopySource: aws.String("bucket/%zz")},
			want: "InvalidArgument"},
		{name: "no key", input: s3.CopyObjectInput{CopySource: aws.String("bucket/")}, want: "InvalidArgument"},
		{name: "no bucket", input: s3.CopyObjectInput{CopySource: aws.String("key")}, want: "InvalidArgument"},
		{name: "other bucket", input: s3.CopyObjectInput{CopySource: aws.String("other/key")}, want: "NoSuchBucket"},
		{name: "no such key", input: s3.CopyObjectInput{CopySource: aws.String("bucket/none")}, want: "NoSuchKey"},
		{name: "no such version",
			input: s3.CopyObjectInput{
				CopySource: aws.String("bucket/taken?versionId=" + strings.Repeat("v", 32)),
			}, want: "NoSuchVersion"},
		{name: "malformed version",
			input: s3.CopyObjectInput{CopySource: aws.String("bucket/taken?versionId=v")},
			want:  "InvalidArgument"},
		{name: "empty version",
			input: s3.CopyObjectInput{CopySource: aws.String("bucket/taken?versionId=")},
			want:  "InvalidArgument"},
		{name: "unknown parameter",
			input: s3.CopyObjectInput{CopySource: aws.String("bucket/taken?partNumber=1")},
			want:  "InvalidArgument"},
		{name: "question mark that was not escaped",
			input: s3.CopyObjectInput{CopySource: aws.String("bucket/taken?")},
			want:  "InvalidArgument"},

		{name: "if match", input: s3.CopyObjectInput{CopySourceIfMatch: aws.String(etag)}, check: unchanged},
		{name: "if match of another etag",
			input: s3.CopyObjectInput{CopySourceIfMatch: aws.String(`"other"`)},
			want:  "PreconditionFailed"},
		{name: "if none match", input: s3.CopyObjectInput{CopySourceIfNoneMatch: aws.String(etag)},
			want: "PreconditionFailed"},
		{name: "if none match of another etag",
			input: s3.CopyObjectInput{CopySourceIfNoneMatch: aws.String(`"other"`)},
			check: unchanged},
		{name: "once", input: s3.CopyObjectInput{IfNoneMatch: aws.String("*")}, check: unchanged},
		{name: "once, key taken",
			input: s3.CopyObjectInput{Key: aws.String("taken"), IfNoneMatch: aws.String("*")},
			want:  "PreconditionFailed"},
		{name: "once, of an etag", input: s3.CopyObjectInput{IfNoneMatch: aws.String(`"etag"`)},
			want: "NotImplemented"},
		{name: "in place of another etag",
			input: s3.CopyObjectInput{Key: aws.String("taken"), IfMatch: aws.String(`"other"`)},
			want:  "PreconditionFailed"},
		{name: "in place of nothing", input: s3.CopyObjectInput{IfMatch: aws.String(`"other"`)}, want: "NoSuchKey"},

		{name: "replaced by nothing", input: replace, check: func(t *testing.T, o Object) {
			require.Empty(t, o.Metadata)
			require.Empty(t, o.Tags)
			require.Equal(t, http.Header{
				"Content-Type": {"binary/octet-stream"}, "X-Amz-Server-Side-Encryption": {"AES256"},
			}, o.Header)
			require.Equal(t, *sha256, o.Checksum)
		}},
		{name: "replaced", input: s3.CopyObjectInput{
			MetadataDirective: types.MetadataDirectiveReplace,
			TaggingDirective:  types.TaggingDirectiveReplace,
			ContentType:       aws.String("image/png"), Metadata: map[string]string{"X": "y"},
			Tagging:      aws.String("c=d"),
			StorageClass: types.StorageClassGlacierIr, WebsiteRedirectLocation: aws.String("/x"),
			ServerSideEncryption: types.ServerSideEncryptionAwsKms,
		}, check: func(t *testing.T, o Object) {
			require.Equal(t, map[string]string{"x": "y"}, o.Metadata)
			require.Equal(t, map[string]string{"c": "d"}, o.Tags)
			require.Equal(t, http.Header{
				"Content-Type": {"image/png"}, "X-Amz-Storage-Class": {"GLACIER_IR"},
				"X-Amz-Website-Redirect-Location": {"/x"},
				"X-Amz-Server-Side-Encryption":    {"aws:kms"},
			}, o.Header)
			require.NotEqual(t, etag, o.ETag)
		}},
		{name: "unknown directive", input: s3.CopyObjectInput{MetadataDirective: "KEEP"}, want: "InvalidArgument"},
		{name: "unknown tagging directive", input: s3.CopyObjectInput{TaggingDirective: "replace"},
			want: "InvalidArgument"},
		{name: "metadata beside the source's",
			input: s3.CopyObjectInput{Metadata: map[string]string{"x": "y"}},
			want:  "NotImplemented"},
		{name: "acl", input: s3.CopyObjectInput{ACL: types.ObjectCannedACLPrivate},
			want: "AccessControlListNotSupported"},
		{name: "object lock",
			input: s3.CopyObjectInput{ObjectLockLegalHoldStatus: types.ObjectLockLegalHoldStatusOn},
			want:  "InvalidRequest"},
		{name: "unknown storage class", input: s3.CopyObjectInput{StorageClass: "NOPE"}, want: "InvalidStorageClass"},

		{name: "another checksum",
			input: s3.CopyObjectInput{ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c},
			check: func(t *testing.T, o Object) {
				require.Equal(t, "CRC32C", o.ChecksumAlgorithm)
				require.Equal(t, sum("CRC32C", []byte(hello)), o.Checksum)
			}},
		{name: "unknown checksum", input: s3.CopyObjectInput{ChecksumAlgorithm: "CRC16"}, want: "InvalidRequest"},
		{name: "checksum of XXHASH",
			input: s3.CopyObjectInput{ChecksumAlgorithm: types.ChecksumAlgorithmXxhash3},
			want:  "NotImplemented"},
		{name: "over the limit", input: s3.CopyObjectInput{CopySource: aws.String("bucket/large")},
			want: "InvalidRequest"},
		{name: "at the limit", input: s3.CopyObjectInput{CopySource: aws.String("bucket/limit")}},
		{name: "onto itself",
			input: s3.CopyObjectInput{
				CopySource: aws.String("bucket/taken"), Key: aws.String("taken"),
			}, want: "InvalidRequest"},
		{name: "onto itself, changed", input: s3.CopyObjectInput{
			CopySource: aws.String("bucket/taken"), Key: aws.String("taken"),
			StorageClass: types.StorageClassStandardIa,
		}},
		{name: "onto itself, replaced", input: s3.CopyObjectInput{
			CopySource: aws.String("bucket/taken"), Key: aws.String("taken"),
			MetadataDirective: types.MetadataDirectiveReplace,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := New()
			_, err := s.S3().PutObject(t.Context(), &s3.PutObjectInput{
				Bucket: aws.String(DefaultBucket), Key: aws.String("a b/ü+%41"),
				Body: strings.NewReader(hello), ContentType: aws.String("text/plain"),
				CacheControl: aws.String("no-store"), ContentDisposition: aws.String("attachment"),
				ContentLanguage: aws.String("de"),
				ContentEncoding: aws.String("identity"),
				Expires:         aws.Time(time.Date(1994, 12, 1, 16, 0, 0, 0, time.UTC)),
				Metadata:        map[string]string{"Owner": "u1"}, Tagging: aws.String("a=b"),
				StorageClass:            types.StorageClassStandardIa,
				WebsiteRedirectLocation: aws.String("/other"), ChecksumSHA256: sha256,
			})
			require.NoError(t, err)
			put(t, s, "taken", "taken")
			put(t, s, "large", "over the limit")
			put(t, s, "limit", "over the limi")
			s.maxCopySize = int64(len("over the limi"))
			key := "copy"
			if test.input.Key != nil {
				key = *test.input.Key
			}
			before, existed := s.Object(DefaultBucket, key)
			out, err := copyTo(t, s, test.input)
			o, ok := s.Object(DefaultBucket, key)
			if test.want != "" {
				requireCode(t, err, test.want)
				require.Equal(t, existed, ok, "a rejected copy must not store an object")
				require.Equal(t, before, o)
				return
			}
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, o.ETag, *out.CopyObjectResult.ETag)
			require.Equal(t, o.LastModified, *out.CopyObjectResult.LastModified)
			require.Equal(t, types.ChecksumTypeFullObject, out.CopyObjectResult.ChecksumType)
			require.Equal(t, o.Header.Get("X-Amz-Server-Side-Encryption"),
				string(out.ServerSideEncryption))
			if test.check != nil {
				require.Equal(t, hello, string(o.Body))
				test.check(t, o)
			}
		})
	}
}

// TestCopyConditions checks that the error names the condition that did not
// hold.
func TestCopyConditions(t *testing.T) {
	t.Parallel()
	s := New()
	etag := put(t, s, "key", hello)
	put(t, s, "taken", "taken")
	for name, want := range map[string]string{
		"X-Amz-Copy-Source-If-Match":      "x-amz-copy-source-If-Match",
		"X-Amz-Copy-Source-If-None-Match": "x-amz-copy-source-If-None-Match",
		"If-None-Match":                   "If-None-Match",
	} {
		value := map[string]string{
			"X-Amz-Copy-Source-If-Match": `"other"`, "X-Amz-Copy-Source-If-None-Match": etag,
			"If-None-Match": "*",
		}[name]
		signed := sign(t, http.MethodPut, s.URL+"/bucket/taken", http.Header{
			"X-Amz-Copy-Source": {"bucket/key"}, name: {value},
		}, unsignedPayload)
		a := send(t, s, upload(t, signed, ""))
		require.Equal(t, 412, a.status)
		require.Equal(t, "PreconditionFailed", a.code())
		require.Equal(t, want, a.elements["Condition"])
	}
	signed := sign(t, http.MethodPut, s.URL+"/bucket/other", http.Header{
		"X-Amz-Copy-Source": {"bucket/key"},
	}, unsignedPayload)
	require.Equal(t, "NotImplemented", send(t, s, upload(t, signed, "a body")).code())
	signed = sign(t, http.MethodPut, s.URL+"/bucket/other", http.Header{
		"X-Amz-Copy-Source-If-Match": {etag},
	}, unsignedPayload)
	require.Equal(t, "NotImplemented", send(t, s, upload(t, signed, hello)).code(),
		"without a source")
	require.Equal(t, []string{"key", "taken"}, s.Objects(DefaultBucket))
}
