package s3test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"
)

// TestPresignedPut checks the server's response to uploads that the SDK
// presigned and that were then changed.
func TestPresignedPut(t *testing.T) {
	t.Parallel()
	sha := aws.String(sum("SHA256", []byte(hello)))
	md5 := aws.String(sum("MD5", []byte(hello)))
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	remove := func(name string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Del(name) }
	}
	query := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { setQuery(r, name, value) }
	}
	removeQuery := func(name string) func(*http.Request) {
		return func(r *http.Request) {
			q := r.URL.Query()
			q.Del(name)
			r.URL.RawQuery = q.Encode()
		}
	}
	method := func(name string) func(*http.Request) {
		return func(r *http.Request) { r.Method = name }
	}
	type change = func(*http.Request)
	type options = func(*s3.Options)
	stored := func(check func(*testing.T, Object)) func(*testing.T, response, Object) {
		return func(t *testing.T, _ response, o Object) { check(t, o) }
	}
	element := func(name, want string) func(*testing.T, response, Object) {
		return func(t *testing.T, a response, _ Object) { require.Equal(t, want, a.elements[name]) }
	}
	header := func(name, want string) func(*testing.T, response, Object) {
		return stored(func(t *testing.T, o Object) { require.Equal(t, want, o.Header.Get(name)) })
	}
	for _, test := range []struct {
		name   string
		input  s3.PutObjectInput
		client options
		change change
		body   string // hello if empty
		want   string // status and code
		check  func(*testing.T, response, Object)
	}{
		{name: "valid", want: "200", check: func(t *testing.T, a response, o Object) {
			require.Equal(t, hello, string(o.Body))
			require.Equal(t, `"5eb63bbbe01eeed093cb22bb8f5acdc3"`, o.ETag)
			require.Equal(t, o.ETag, a.header.Get("ETag"))
			require.Equal(t, "CRC64NVME", o.ChecksumAlgorithm)
			require.Equal(t, sum("CRC64NVME", []byte(hello)),
				a.header.Get("X-Amz-Checksum-Crc64nvme"))
			require.Equal(t, "FULL_OBJECT", a.header.Get("X-Amz-Checksum-Type"))
			require.Equal(t, "binary/octet-stream", o.Header.Get("Content-Type"))
			require.Equal(t, "AES256", a.header.Get("X-Amz-Server-Side-Encryption"))
		}},
		{name: "signature tampered", change: query("X-Amz-Signature", strings.Repeat("0", 64)),
			want: "403 SignatureDoesNotMatch"},
		{name: "other key", change: func(r *http.Request) { r.URL.Path += "x" }, want: "403 SignatureDoesNotMatch"},
		{name: "other bucket", change: func(r *http.Request) { r.URL.Path = "/other/key" },
			want: "403 SignatureDoesNotMatch"},
		{name: "missing bucket", input: s3.PutObjectInput{Bucket: aws.String("other")}, want: "404 NoSuchBucket"},
		{name: "other host", change: func(r *http.Request) { r.Host = "s3.test:8443" },
			want: "403 SignatureDoesNotMatch"},
		{name: "default port", change: func(r *http.Request) { r.Host = "s3.test:443" },
			want: "403 SignatureDoesNotMatch"},
		{name: "expires tampered", change: query("X-Amz-Expires", "901"), want: "403 SignatureDoesNotMatch"},
		{name: "extra query parameter", change: query("foo", "bar"), want: "403 SignatureDoesNotMatch"},
		{name: "extra subresource", change: query("tagging", ""), want: "403 SignatureDoesNotMatch"},
		{name: "malformed query", change: func(r *http.Request) { r.URL.RawQuery += ";a=b" }, want: "400 InvalidURI"},
		{name: "query parameter removed", change: removeQuery("x-id"), want: "403 SignatureDoesNotMatch"},
		{name: "path with unescaped plus", input: s3.PutObjectInput{Key: aws.String("a+b c")},
			change: func(r *http.Request) { r.URL.RawPath = "/bucket/a+b%20c" }, want: "200"},
		{name: "GET", change: method("GET"), want: "403 SignatureDoesNotMatch"},
		{name: "DELETE", change: method("DELETE"), want: "403 SignatureDoesNotMatch"},
		{name: "POST", change: method("POST"), want: "403 SignatureDoesNotMatch"},
		{name: "POST to the bucket",
			change: func(r *http.Request) { r.Method, r.URL.Path = "POST", "/bucket" },
			want:   "403 SignatureDoesNotMatch"},
		{name: "anonymous", change: func(r *http.Request) { r.URL.RawQuery = "" }, want: "403 AccessDenied"},
		{name: "two mechanisms", change: set("Authorization", "AWS4-HMAC-SHA256 x"), want: "400 InvalidArgument"},
		{name: "version 2",
			change: func(r *http.Request) {
				r.URL.RawQuery = "AWSAccessKeyId=a&Expires=1&Signature=b"
			}, want: "400 InvalidRequest"},

		{name: "no algorithm", change: removeQuery("X-Amz-Algorithm"), want: "400 AuthorizationQueryParametersError"},
		{name: "no credential", change: removeQuery("X-Amz-Credential"), want: "400 AuthorizationQueryParametersError"},
		{name: "no date", change: removeQuery("X-Amz-Date"), want: "400 AuthorizationQueryParametersError"},
		{name: "no expires", change: removeQuery("X-Amz-Expires"), want: "400 AuthorizationQueryParametersError"},
		{name: "no signed headers", change: removeQuery("X-Amz-SignedHeaders"),
			want: "400 AuthorizationQueryParametersError"},
		{name: "no signature", change: removeQuery("X-Amz-Signature"), want: "400 AuthorizationQueryParametersError"},
		{name: "date twice",
			change: func(r *http.Request) {
				r.URL.RawQuery += "&X-Amz-Date=" + r.URL.Query().Get("X-Amz-Date")
			},
			want: "400 AuthorizationQueryParametersError"},
		{name: "other algorithm", change: query("X-Amz-Algorithm", "AWS4-HMAC-SHA1"),
			want: "400 AuthorizationQueryParametersError"},
		{name: "malformed date", change: query("X-Amz-Date", "2026-01-01T00:00:00Z"),
			want: "400 AuthorizationQueryParametersError",
			check: element(
				"Message", `X-Amz-Date must be in the ISO8601 Long Format "yyyyMMdd'T'HHmmss'Z'"`)},
		{name: "malformed credential", change: query("X-Amz-Credential", AccessKeyID),
			want: "400 AuthorizationQueryParametersError"},
		{name: "double-encoded credential", change: func(r *http.Request) {
			credential := r.URL.Query().Get("X-Amz-Credential")
			setQuery(r, "X-Amz-Credential", strings.ReplaceAll(credential, "/", "%2F"))
		}, want: "400 AuthorizationQueryParametersError"},
		{name: "date of another day", change: query("X-Amz-Date", "20130524T000000Z"),
			want: "400 AuthorizationQueryParametersError"},
		{name: "wrong region", client: func(o *s3.Options) { o.Region = "eu-central-1" },
			want: "400 AuthorizationQueryParametersError",
			check: element("Message",
				"Error parsing the X-Amz-Credential parameter; the region 'eu-central-1' is wrong; expecting 'us-east-1'")},
		{name: "wrong service", change: func(r *http.Request) {
			credential := r.URL.Query().Get("X-Amz-Credential")
			setQuery(r, "X-Amz-Credential", strings.Replace(credential, "/s3/", "/sts/", 1))
		}, want: "400 AuthorizationQueryParametersError"},
		{name: "wrong terminal", change: func(r *http.Request) {
			setQuery(r, "X-Amz-Credential", r.URL.Query().Get("X-Amz-Credential")+"x")
		}, want: "400 AuthorizationQueryParametersError"},
		{name: "expires in words", change: query("X-Amz-Expires", "soon"),
			want:  "400 AuthorizationQueryParametersError",
			check: element("Message", "X-Amz-Expires should be a number")},
		{name: "expires at once", change: query("X-Amz-Expires", "0"), want: "400 AuthorizationQueryParametersError"},
		{name: "expires before", change: query("X-Amz-Expires", "-7"), want: "400 AuthorizationQueryParametersError"},
		{name: "expires after more than 7 days", change: query("X-Amz-Expires", "604801"),
			want: "400 AuthorizationQueryParametersError"},

		{name: "unknown key", client: withKeys("AKIAUNKNOWN", SecretAccessKey, ""),
			want: "403 InvalidAccessKeyId", check: element("AWSAccessKeyId", "AKIAUNKNOWN")},
		{name: "wrong secret", client: withKeys(AccessKeyID, "wrong", ""), want: "403 SignatureDoesNotMatch"},
		{name: "token of a permanent key", client: withKeys(AccessKeyID, SecretAccessKey, "token"),
			want: "400 InvalidToken"},
		{name: "temporary", client: withKeys("ASIATEMP", "secret", "token+/="), want: "200"},
		{name: "temporary, token removed", client: withKeys("ASIATEMP", "secret", "token+/="),
			change: removeQuery("X-Amz-Security-Token"),
			want:   "403 InvalidAccessKeyId"},
		{name: "temporary, signed without token", client: withKeys("ASIATEMP", "secret", ""),
			want: "403 InvalidAccessKeyId"},
		{name: "temporary, token changed", client: withKeys("ASIATEMP", "secret", "token+/="),
			change: query("X-Amz-Security-Token", "other"),
			want:   "400 InvalidToken"},
		{name: "temporary, token twice", client: withKeys("ASIATEMP", "secret", "token+/="),
			change: func(r *http.Request) { r.URL.RawQuery += "&X-Amz-Security-Token=other" },
			want:   "400 InvalidToken"},

		{name: "content type signed",
			input: s3.PutObjectInput{ContentType: aws.String("image/png")},
			want:  "200", check: header("Content-Type", "image/png")},
		{name: "content type changed",
			input:  s3.PutObjectInput{ContentType: aws.String("image/png")},
			change: set("Content-Type", "text/html"),
			want:   "403 SignatureDoesNotMatch"},
		{name: "content type omitted",
			input:  s3.PutObjectInput{ContentType: aws.String("image/png")},
			change: remove("Content-Type"),
			want:   "403 SignatureDoesNotMatch"},
		{name: "metadata signed",
			input: s3.PutObjectInput{Metadata: map[string]string{"Owner": "two  spaces"}},
			want:  "200",
			check: stored(func(t *testing.T, o Object) {
				require.Equal(t, map[string]string{"owner": "two  spaces"}, o.Metadata)
			})},
		{name: "metadata changed",
			input:  s3.PutObjectInput{Metadata: map[string]string{"owner": "u1"}},
			change: set("X-Amz-Meta-Owner", "u2"),
			want:   "403 SignatureDoesNotMatch"},
		{name: "metadata added to",
			input:  s3.PutObjectInput{Metadata: map[string]string{"owner": "u1"}},
			change: func(r *http.Request) { r.Header.Add("X-Amz-Meta-Owner", "u2") },
			want:   "403 SignatureDoesNotMatch"},
		{name: "host not signed", input: s3.PutObjectInput{ContentType: aws.String("image/png")},
			change: query("X-Amz-SignedHeaders", "content-type"),
			want:   "403 AccessDenied", check: element("HeadersNotSigned", "host")},
		{name: "signed headers in other order",
			input:  s3.PutObjectInput{ContentType: aws.String("image/png")},
			change: query("X-Amz-SignedHeaders", "host;content-type"),
			want:   "403 SignatureDoesNotMatch"},

		{name: "unsigned metadata", change: set("X-Amz-Meta-Foo", "bar"), want: "403 AccessDenied",
			check: element("HeadersNotSigned", "x-amz-meta-foo")},
		{name: "unsigned acl and copy source", change: func(r *http.Request) {
			r.Header.Set("X-Amz-Copy-Source", "bucket/secret")
			r.Header.Set("X-Amz-Acl", "private")
		}, want: "403 AccessDenied",
			check: element("HeadersNotSigned", "x-amz-acl, x-amz-copy-source")},
		{name: "unsigned tagging", change: set("X-Amz-Tagging", "a=b"), want: "403 AccessDenied"},
		{name: "unsigned storage class", change: set("X-Amz-Storage-Class", "STANDARD"), want: "403 AccessDenied"},
		{name: "unsigned checksum", change: set("X-Amz-Checksum-Sha256", *sha), want: "403 AccessDenied"},
		{name: "unsigned content type", change: set("Content-Type", "text/html"),
			want: "200", check: header("Content-Type", "text/html")},
		{name: "unsigned cache control", change: set("Cache-Control", "no-store"),
			want: "200", check: header("Cache-Control", "no-store")},
		{name: "unsigned content disposition", change: set("Content-Disposition", "inline"),
			want: "200", check: header("Content-Disposition", "inline")},
		{name: "unsigned content encoding", change: set("Content-Encoding", "gzip"),
			want: "200", check: header("Content-Encoding", "gzip")},
		{name: "unsigned content language", change: set("Content-Language", "de"),
			want: "200", check: header("Content-Language", "de")},
		{name: "unsigned expires", change: set("Expires", "Thu, 01 Dec 1994 16:00:00 GMT"),
			want: "200", check: header("Expires", "Thu, 01 Dec 1994 16:00:00 GMT")},
		{name: "unsigned condition", change: set("If-None-Match", "*"), want: "200"},
		{name: "unsigned condition, key taken", input: s3.PutObjectInput{Key: aws.String("taken")},
			change: set("If-None-Match", "*"), want: "412 PreconditionFailed"},

		{name: "length signed", input: s3.PutObjectInput{ContentLength: aws.Int64(11)}, want: "200"},
		{name: "length signed, shorter", input: s3.PutObjectInput{ContentLength: aws.Int64(11)},
			body: "short", want: "403 SignatureDoesNotMatch"},
		{name: "length signed, longer", input: s3.PutObjectInput{ContentLength: aws.Int64(11)},
			body: hello + "!", want: "403 SignatureDoesNotMatch"},
		{name: "length signed, empty", input: s3.PutObjectInput{ContentLength: aws.Int64(11)},
			change: func(r *http.Request) { r.Body, r.ContentLength = http.NoBody, 0 },
			want:   "403 SignatureDoesNotMatch"},
		{name: "length signed, chunked", input: s3.PutObjectInput{ContentLength: aws.Int64(11)},
			change: func(r *http.Request) { r.ContentLength = -1 },
			want:   "403 SignatureDoesNotMatch"},
		{name: "chunked", change: func(r *http.Request) { r.ContentLength = -1 }, want: "411 MissingContentLength"},
		{name: "length of 0 is not signed by the SDK",
			input: s3.PutObjectInput{ContentLength: aws.Int64(0)}, want: "200"},
		{name: "empty", change: func(r *http.Request) { r.Body, r.ContentLength = http.NoBody, 0 },
			want:  "200",
			check: stored(func(t *testing.T, o Object) { require.Empty(t, o.Body) })},

		{name: "sha256", input: s3.PutObjectInput{ChecksumSHA256: sha},
			want: "200", check: func(t *testing.T, a response, o Object) {
				require.Equal(t, "SHA256", o.ChecksumAlgorithm)
				require.Equal(t, *sha, o.Checksum)
				require.Equal(t, *sha, a.header.Get("X-Amz-Checksum-Sha256"))
				require.Empty(t, a.header.Get("X-Amz-Checksum-Crc64nvme"))
			}},
		{name: "sha256 of other bytes", input: s3.PutObjectInput{ChecksumSHA256: sha},
			body: "hello worle", want: "400 BadDigest"},
		{name: "sha256 swapped", input: s3.PutObjectInput{ChecksumSHA256: sha}, body: "hello worle",
			change: set("X-Amz-Checksum-Sha256", sum("SHA256", []byte("hello worle"))),
			want:   "403 SignatureDoesNotMatch"},
		{name: "sha256 omitted", input: s3.PutObjectInput{ChecksumSHA256: sha},
			change: remove("X-Amz-Checksum-Sha256"), want: "403 SignatureDoesNotMatch"},
		{name: "sha256 too short", input: s3.PutObjectInput{ChecksumSHA256: aws.String("AAAA")},
			want: "400 InvalidRequest"},
		{name: "sha256 not base64", input: s3.PutObjectInput{ChecksumSHA256: aws.String("?")},
			want: "400 InvalidRequest"},
		{name: "two checksums",
			input: s3.PutObjectInput{
				ChecksumSHA256: sha, ChecksumCRC32: aws.String(sum("CRC32", []byte(hello))),
			}, want: "400 InvalidRequest"},
		{name: "xxhash", input: s3.PutObjectInput{ChecksumXXHASH64: aws.String("AAAAAAAAAAA=")},
			want: "501 NotImplemented"},
		{name: "checksum of the empty body, as the SDK signs it",
			input: s3.PutObjectInput{ChecksumAlgorithm: types.ChecksumAlgorithmCrc32},
			want:  "400 BadDigest"},
		{name: "md5", input: s3.PutObjectInput{ContentMD5: md5}, want: "200"},
		{name: "md5 of other bytes", input: s3.PutObjectInput{ContentMD5: md5}, body: "hello worle",
			want: "400 BadDigest", check: element("ExpectedDigest", *md5)},
		{name: "md5 malformed", input: s3.PutObjectInput{ContentMD5: aws.String("AAAA")}, want: "400 InvalidDigest"},
		{name: "unsigned md5 of other bytes", change: set("Content-Md5", sum("MD5", nil)), want: "400 BadDigest"},

		{name: "if none match", input: s3.PutObjectInput{IfNoneMatch: aws.String("*")}, want: "200"},
		{name: "if none match, key taken",
			input: s3.PutObjectInput{Key: aws.String("taken"), IfNoneMatch: aws.String("*")},
			want:  "412 PreconditionFailed",
			check: element("Condition", "If-None-Match")},
		{name: "if none match omitted", input: s3.PutObjectInput{IfNoneMatch: aws.String("*")},
			change: remove("If-None-Match"), want: "403 SignatureDoesNotMatch"},
		{name: "if none match of an etag",
			input: s3.PutObjectInput{IfNoneMatch: aws.String(`"etag"`)},
			want:  "501 NotImplemented"},
		{name: "if match",
			input: s3.PutObjectInput{
				Key: aws.String("taken"), IfMatch: aws.String(`"bad841dbbeb7132a68b2c649f4a7b875"`),
			}, want: "200"},
		{name: "if match of another etag",
			input: s3.PutObjectInput{Key: aws.String("taken"), IfMatch: aws.String(`"other"`)},
			want:  "412 PreconditionFailed"},
		{name: "if match of nothing", input: s3.PutObjectInput{IfMatch: aws.String(`"other"`)}, want: "404 NoSuchKey"},
		{name: "if match of any",
			input: s3.PutObjectInput{Key: aws.String("taken"), IfMatch: aws.String("*")},
			want:  "501 NotImplemented"},
		{name: "both conditions",
			input: s3.PutObjectInput{IfMatch: aws.String(`"a"`), IfNoneMatch: aws.String("*")},
			want:  "501 NotImplemented"},

		{name: "key of 1024 bytes", input: s3.PutObjectInput{Key: aws.String(strings.Repeat("k", 1024))}, want: "200"},
		{name: "key of 1025 bytes",
			input: s3.PutObjectInput{Key: aws.String(strings.Repeat("k", 1025))},
			want:  "400 KeyTooLongError"},
		{name: "key above the root",
			input: s3.PutObjectInput{Key: aws.String("videos/../../v.wmv")},
			want:  "400 InvalidURI"},
		{name: "key with dots", input: s3.PutObjectInput{Key: aws.String("videos/2014/./../../v.wmv")}, want: "200"},
		{name: "key with slashes", input: s3.PutObjectInput{Key: aws.String("//a//b/")}, want: "200"},
		{name: "key of everything",
			input: s3.PutObjectInput{Key: aws.String("é/日本 +%41&$@=;:,?#'\"<>\\{}^`|~[]!*()\n")},
			want:  "200"},
		{name: "key not UTF-8", input: s3.PutObjectInput{Key: aws.String("\xff")}, want: "400 InvalidURI"},

		{name: "metadata of 2 KB",
			input: s3.PutObjectInput{Metadata: map[string]string{"k": strings.Repeat("v", 2047)}},
			want:  "200"},
		{name: "metadata over 2 KB",
			input: s3.PutObjectInput{Metadata: map[string]string{"k": strings.Repeat("v", 2048)}},
			want:  "400 MetadataTooLarge",
			check: element("Size", "2049")},
		{name: "storage class", input: s3.PutObjectInput{StorageClass: types.StorageClassGlacierIr},
			want: "200", check: header("X-Amz-Storage-Class", "GLACIER_IR")},
		{name: "standard storage class",
			input: s3.PutObjectInput{StorageClass: types.StorageClassStandard},
			want:  "200", check: header("X-Amz-Storage-Class", "")},
		{name: "unknown storage class", input: s3.PutObjectInput{StorageClass: "NOPE"},
			want: "400 InvalidStorageClass", check: element("StorageClassRequested", "NOPE")},
		{name: "acl of the owner",
			input: s3.PutObjectInput{ACL: types.ObjectCannedACLBucketOwnerFullControl},
			want:  "200"},
		{name: "acl", input: s3.PutObjectInput{ACL: types.ObjectCannedACLPrivate},
			want: "400 AccessControlListNotSupported"},
		{name: "unknown acl", input: s3.PutObjectInput{ACL: "nope"}, want: "400 InvalidArgument"},
		{name: "grant", input: s3.PutObjectInput{GrantRead: aws.String("id=1")},
			want: "400 AccessControlListNotSupported"},
		{name: "object lock",
			input: s3.PutObjectInput{ObjectLockLegalHoldStatus: types.ObjectLockLegalHoldStatusOn},
			want:  "400 InvalidRequest"},
		{name: "tags", input: s3.PutObjectInput{Tagging: aws.String("a=b+c&d=")}, want: "200",
			check: stored(func(t *testing.T, o Object) {
				require.Equal(t, map[string]string{"a": "b c", "d": ""}, o.Tags)
			})},
		{name: "tags malformed", input: s3.PutObjectInput{Tagging: aws.String("a=%zz")}, want: "400 InvalidArgument"},
		{name: "tag twice", input: s3.PutObjectInput{Tagging: aws.String("a=b&a=c")}, want: "400 InvalidArgument"},
		{name: "tag of AWS", input: s3.PutObjectInput{Tagging: aws.String("aws:a=b")}, want: "400 InvalidTag"},
		{name: "tag key too long",
			input: s3.PutObjectInput{Tagging: aws.String(strings.Repeat("k", 129) + "=v")},
			want:  "400 InvalidTag"},
		{name: "tag value too long",
			input: s3.PutObjectInput{Tagging: aws.String("k=" + strings.Repeat("v", 257))},
			want:  "400 InvalidTag"},
		{name: "11 tags",
			input: s3.PutObjectInput{Tagging: aws.String("a=&b=&c=&d=&e=&f=&g=&h=&i=&j=&k=")},
			want:  "400 BadRequest"},
		{name: "encryption",
			input: s3.PutObjectInput{ServerSideEncryption: types.ServerSideEncryptionAes256},
			want:  "200",
			check: header("X-Amz-Server-Side-Encryption", "AES256")},
		{name: "unknown encryption", input: s3.PutObjectInput{ServerSideEncryption: "nope"},
			want: "400 InvalidEncryptionAlgorithmError"},
		{name: "KMS key without encryption", input: s3.PutObjectInput{SSEKMSKeyId: aws.String("id")},
			want: "400 InvalidArgument"},
		{name: "website redirect",
			input: s3.PutObjectInput{WebsiteRedirectLocation: aws.String("https://example.com")},
			want:  "200",
			check: header("X-Amz-Website-Redirect-Location", "https://example.com")},
		{name: "relative website redirect",
			input: s3.PutObjectInput{WebsiteRedirectLocation: aws.String("example.com")},
			want:  "400 InvalidRedirectLocation"},
		{name: "aws-chunked", change: set("Content-Encoding", "aws-chunked"), want: "501 NotImplemented"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := New()
			s.AddCredentials(aws.Credentials{
				AccessKeyID: "ASIATEMP", SecretAccessKey: "secret", SessionToken: "token+/=",
			})
			put(t, s, "taken", "taken")
			body := hello
			if test.body != "" {
				body = test.body
			}
			var optFns []options
			if test.client != nil {
				optFns = append(optFns, test.client)
			}
			key := "key"
			if test.input.Key != nil {
				key = *test.input.Key
			}
			before, existed := s.Object(DefaultBucket, key)
			req := presign(t, s, test.input, body, optFns...)
			if test.change != nil {
				test.change(req)
			}
			a := send(t, s, req)
			require.Equal(t, test.want, strings.TrimSpace(fmt.Sprint(a.status, " ", a.code())),
				a.body)
			o, ok := s.Object(DefaultBucket, key)
			if a.status == http.StatusOK {
				require.True(t, ok)
				require.False(t, o.LastModified.IsZero())
			} else {
				require.Equal(t, existed, ok, "a rejected upload must not store an object")
				require.Equal(t, before, o)
			}
			if test.check != nil {
				test.check(t, a, o)
			}
		})
	}
}

// TestChecksums checks that the server accepts and verifies checksums of each
// algorithm.
func TestChecksums(t *testing.T) {
	t.Parallel()
	s := New()
	for algorithm := range checksums {
		header := "X-Amz-Checksum-" + algorithm
		for body, want := range map[string]string{hello: "", "hello worle": "BadDigest"} {
			req := sign(t, http.MethodPut, s.URL+"/bucket/"+algorithm, http.Header{
				header: {sum(algorithm, []byte(hello))},
			}, unsignedPayload)
			a := send(t, s, upload(t, req, body))
			require.Equal(t, want, a.code(), algorithm)
		}
		o, ok := s.Object(DefaultBucket, algorithm)
		require.True(t, ok)
		require.Equal(t, algorithm, o.ChecksumAlgorithm)
	}
	for name, header := range map[string]http.Header{
		"unknown":                   {"X-Amz-Checksum-Foo": {"AAAA"}},
		"announced without a value": {"X-Amz-Sdk-Checksum-Algorithm": {"CRC32"}},
		"announced another": {"X-Amz-Sdk-Checksum-Algorithm": {"CRC32"},
			"X-Amz-Checksum-Sha256": {sum("SHA256", []byte(hello))}},
	} {
		a := send(t, s,
			upload(t, sign(t, http.MethodPut, s.URL+"/bucket/key", header, unsignedPayload), hello))
		require.Equal(t, "InvalidRequest", a.code(), name)
	}
}

// sign presigns any request with its headers unchanged. The URL is valid for 15
// minutes unless its query sets another time.
func sign(
	t *testing.T, method, address string, header http.Header, payload string,
) *v4.PresignedHTTPRequest {
	t.Helper()
	req, err := http.NewRequest(method, address, nil)
	require.NoError(t, err)
	if header != nil {
		req.Header = header
	}
	if !req.URL.Query().Has("X-Amz-Expires") {
		setQuery(req, "X-Amz-Expires", "900")
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) {
		o.DisableHeaderHoisting, o.DisableURIPathEscaping = true, true
	})
	creds := aws.Credentials{AccessKeyID: AccessKeyID, SecretAccessKey: SecretAccessKey}
	signed, headers, err := signer.PresignHTTP(t.Context(), creds, req, payload,
		"s3", DefaultRegion, time.Now())
	require.NoError(t, err)
	return &v4.PresignedHTTPRequest{Method: method, URL: signed, SignedHeader: headers}
}

// TestEmptySignedHeader checks that a signed header is required even if it is
// empty.
func TestEmptySignedHeader(t *testing.T) {
	t.Parallel()
	s := New()
	signed := sign(t, http.MethodPut, s.URL+"/bucket/key", http.Header{
		"X-Amz-Meta-Empty": {""},
	}, unsignedPayload)
	req := upload(t, signed, hello)
	require.Equal(t, 200, send(t, s, req).status)
	req = upload(t, signed, hello)
	req.Header.Del("X-Amz-Meta-Empty")
	require.Equal(t, "SignatureDoesNotMatch", send(t, s, req).code())
}

// TestHoisted checks that the server applies query parameters with the name of
// a header in lower case, except checksums. It also checks that the server
// ignores names in another letter case.
func TestHoisted(t *testing.T) {
	t.Parallel()
	s := New()
	hoisted := sign(t, http.MethodPut, s.URL+"/bucket/key?x-amz-meta-a=1&X-Amz-Meta-B=2&"+
		"x-amz-storage-class=GLACIER&x-amz-checksum-crc32=AAAAAA%3D%3D&X-Amz-Checksum-Sha256=AAAA",
		nil, unsignedPayload)
	a := send(t, s, upload(t, hoisted, hello))
	require.Equal(t, 200, a.status, a.body)
	o, _ := s.Object(DefaultBucket, "key")
	require.Equal(t, map[string]string{"a": "1"}, o.Metadata)
	require.Equal(t, "GLACIER", o.Header.Get("X-Amz-Storage-Class"))
	require.Equal(t, "CRC64NVME", o.ChecksumAlgorithm)

	// A signed header may be in the query instead, as version 2 of the
	// JavaScript SDK sent it.
	signed := sign(t, http.MethodPut, s.URL+"/bucket/sse?x-amz-server-side-encryption=aws:kms",
		http.Header{"X-Amz-Server-Side-Encryption": {"aws:kms"}}, unsignedPayload)
	req := upload(t, signed, hello)
	req.Header = make(http.Header)
	a = send(t, s, req)
	require.Equal(t, 200, a.status, a.body)
	o, _ = s.Object(DefaultBucket, "sse")
	require.Equal(t, "aws:kms", o.Header.Get("X-Amz-Server-Side-Encryption"))
	req = upload(t, signed, hello)
	req.Header.Set("X-Amz-Server-Side-Encryption", "AES256")
	require.Equal(t, "SignatureDoesNotMatch", send(t, s, req).code())
}

func TestPayloadHash(t *testing.T) {
	t.Parallel()
	s := New()
	// This is the SHA-256 digest of hello.
	const digest = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
	for _, test := range []struct{ name, query, header, signed, body, want string }{
		{"in a header", "", digest, digest, hello, ""},
		{"in a header, other bytes", "", digest, digest, "hello worle", "XAmzContentSHA256Mismatch"},
		{"in the query", digest, "", digest, hello, ""},
		{"in the query, other bytes", digest, "", digest, "hello worle", "XAmzContentSHA256Mismatch"},
		{"unsigned, in the query", unsignedPayload, "", unsignedPayload, hello, ""},
		{"in a header, signed as unsigned", "", digest, unsignedPayload, hello, "SignatureDoesNotMatch"},
		{"signed but not sent", "", "", digest, hello, "SignatureDoesNotMatch"},
		{"malformed", "abc", "", "abc", hello, "InvalidArgument"},
		{"streaming", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "",
			"STREAMING-UNSIGNED-PAYLOAD-TRAILER", hello, "NotImplemented"},
	} {
		header := make(http.Header)
		if test.header != "" {
			header.Set("X-Amz-Content-Sha256", test.header)
		}
		address := s.URL + "/bucket/key"
		if test.query != "" {
			address += "?X-Amz-Content-Sha256=" + test.query
		}
		a := send(t, s, upload(t, sign(t, http.MethodPut, address, header, test.signed), test.body))
		require.Equal(t, test.want, a.code(), test.name)
	}
}

// TestSignedVectors checks the URL of the AWS documentation and two URLs that
// were computed in Python.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
func TestSignedVectors(t *testing.T) {
	t.Parallel()
	const scope = "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request" +
		"&X-Amz-Date=20130524T000000Z"
	const headers = "&X-Amz-SignedHeaders=content-length%3Bcontent-type%3Bhost%3Bif-none-match%3Bx-amz-checksum-sha256%3Bx-amz-meta-owner" +
		"&x-id=PutObject"
	for _, test := range []struct{ method, path, token, want string }{
		{"GET", "/test.txt" + scope + "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host" +
			"&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404", "",
			"NoSuchKey"},
		{"PUT", "/u/1/hello%20w%C3%B6rld.txt" + scope + "&X-Amz-Expires=900" + headers +
			"&X-Amz-Signature=d7a9e7b77d80b2567a871e564a744829160e2e18b64edf9b8930d93ef62ff4ca", "",
			""},
		{"PUT",
			"/u/1/hello%20w%C3%B6rld.txt" + scope +
				"&X-Amz-Expires=900&X-Amz-Security-Token=AQoDYXdzEXAMPLE%2F%2F%2B%3D%3D" + headers +
				"&X-Amz-Signature=f402ae1ae572e24b5dd9bd38e4e1b54b31f09920af4a18575a1b247f0fd3501a",
			"AQoDYXdzEXAMPLE//+==", ""},
	} {
		synctest.Test(t, func(t *testing.T) { // The clock of a bubble starts in 2000.
			s := New(WithHost("s3.amazonaws.com"), WithBuckets("examplebucket"))
			s.AddCredentials(aws.Credentials{
				AccessKeyID: AccessKeyID, SecretAccessKey: SecretAccessKey,
				SessionToken: test.token,
			})
			body := ""
			if test.method == http.MethodPut {
				body = "hello"
			}
			code := func(path string) string {
				req, err := http.NewRequest(test.method,
					"https://examplebucket.s3.amazonaws.com"+path, strings.NewReader(body))
				require.NoError(t, err)
				if test.method == http.MethodPut {
					req.Header = http.Header{
						"Content-Type": {"text/plain"}, "If-None-Match": {"*"}, "X-Amz-Meta-Owner": {"u1"},
						"X-Amz-Checksum-Sha256": {"LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="},
					}
				}
				return send(t, s, req).code()
			}
			time.Sleep(time.Until(time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)))
			require.Equal(t,
				"SignatureDoesNotMatch", code(strings.Replace(test.path, ".txt", ".tx", 1)))
			require.Equal(t, test.want, code(test.path))
			time.Sleep(24 * time.Hour)
			require.Equal(t, "AccessDenied", code(test.path))
		})
	}
}

// TestConcurrentPut checks that only one of many concurrent uploads succeeds
// with If-None-Match.
func TestConcurrentPut(t *testing.T) {
	t.Parallel()
	s := Start(t)
	const n = 16
	statuses := make(chan int, n)
	for range n {
		req := presign(t, s, s3.PutObjectInput{IfNoneMatch: aws.String("*")}, hello)
		go func() {
			resp, err := s.HTTPClient().Do(req)
			if err != nil {
				statuses <- 0
				return
			}
			_ = resp.Body.Close()
			statuses <- resp.StatusCode
		}()
	}
	count := make(map[int]int)
	for range n {
		count[<-statuses]++
	}
	require.Equal(t, map[int]int{200: 1, 412: n - 1}, count)
}

func TestPresignedTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New()
		s.AddCredentials(aws.Credentials{
			AccessKeyID: "ASIATEMP", SecretAccessKey: "secret", SessionToken: "token",
			CanExpire: true, Expires: time.Now().Add(time.Hour),
		})
		week := func(o *s3.PresignOptions) { o.Expires = 7 * 24 * time.Hour }
		input := &s3.PutObjectInput{Bucket: aws.String(DefaultBucket), Key: aws.String("key")}
		permanent, err := s3.NewPresignClient(s.S3(), week).PresignPutObject(t.Context(), input)
		require.NoError(t, err)
		session := s.S3(withKeys("ASIATEMP", "secret", "token"))
		temporary, err := s3.NewPresignClient(session, week).PresignPutObject(t.Context(), input)
		require.NoError(t, err)

		time.Sleep(time.Hour - time.Second)
		require.Equal(t, 200, send(t, s, upload(t, temporary, hello)).status)
		time.Sleep(time.Second)
		a := send(t, s, upload(t, temporary, hello))
		require.Equal(t, "400 ExpiredToken", fmt.Sprint(a.status, " ", a.code()))

		time.Sleep(7*24*time.Hour - time.Hour - time.Second)
		require.Equal(t, 200, send(t, s, upload(t, permanent, hello)).status)
		time.Sleep(time.Second)
		a = send(t, s, upload(t, permanent, hello))
		require.Equal(t, "403 AccessDenied", fmt.Sprint(a.status, " ", a.code()))
		require.Equal(t, "Request has expired", a.elements["Message"])
		require.Equal(t, "604800", a.elements["X-Amz-Expires"])
		require.Equal(t, "2000-01-08T00:00:00Z", a.elements["Expires"])
		require.Equal(t, "2000-01-08T00:00:00Z", a.elements["ServerTime"])
	})
}

// TestClockAhead checks requests that are signed in a bubble whose clock is
// ahead of the clock of the server.
func TestClockAhead(t *testing.T) {
	t.Parallel()
	s := New()
	var signed []*v4.PresignedHTTPRequest
	var headers []*http.Request
	synctest.Test(t, func(t *testing.T) {
		for _, ahead := range []time.Duration{15 * time.Minute, time.Second} {
			time.Sleep(ahead)
			signed = append(signed,
				sign(t, http.MethodPut, s.URL+"/bucket/key", nil, unsignedPayload))
			headers = append(headers, signHeader(t, s, http.MethodGet, "/bucket/key"))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		require.Equal(t, 200, send(t, s, upload(t, signed[0], hello)).status)
		require.Equal(t, "AccessDenied", send(t, s, upload(t, signed[1], hello)).code())
		require.Equal(t, 200, send(t, s, headers[0]).status)
		require.Equal(t, "RequestTimeTooSkewed", send(t, s, headers[1]).code())
		time.Sleep(30*time.Minute + time.Second)
		require.Equal(t, "RequestTimeTooSkewed", send(t, s, headers[0]).code())
		require.Equal(t, 200, send(t, s, headers[1]).status)
	})
}

// signHeader signs a request without a body in its Authorization header.
func signHeader(t *testing.T, s *Server, method, path string) *http.Request {
	t.Helper()
	const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	req, err := http.NewRequestWithContext(context.Background(), method, s.URL+path, nil)
	require.NoError(t, err)
	req.Header.Set("X-Amz-Content-Sha256", empty)
	creds := aws.Credentials{AccessKeyID: AccessKeyID, SecretAccessKey: SecretAccessKey}
	require.NoError(t,
		v4.NewSigner().SignHTTP(t.Context(), creds, req, empty, "s3", s.region, time.Now()))
	return req
}

func TestAuthorizationHeader(t *testing.T) {
	t.Parallel()
	s := New()
	put(t, s, "key", hello)
	replace := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set(
				"Authorization", strings.Replace(r.Header.Get("Authorization"), old, new, 1))
		}
	}
	for _, test := range []struct {
		name   string
		change func(*http.Request)
		want   string
	}{
		{"valid", func(*http.Request) {}, ""},
		{"unsigned header that is not Amazon's", func(r *http.Request) { r.Header.Set("Accept", "*/*") }, ""},
		{"unsigned header", func(r *http.Request) { r.Header.Set("X-Amz-Meta-A", "b") }, "AccessDenied"},
		{"signed header changed",
			func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", unsignedPayload) },
			"SignatureDoesNotMatch"},
		{"signed header removed", replace("SignedHeaders=host", "SignedHeaders=accept;host"), "SignatureDoesNotMatch"},
		{"path changed", func(r *http.Request) { r.URL.Path = "/bucket/other" }, "SignatureDoesNotMatch"},
		{"query added", func(r *http.Request) { r.URL.RawQuery = "x-id=GetObject" }, "SignatureDoesNotMatch"},
		{"method changed", func(r *http.Request) { r.Method = http.MethodDelete }, "SignatureDoesNotMatch"},
		{"signature changed", replace("Signature=", "Signature=0"), "SignatureDoesNotMatch"},
		{"no signature", replace(", Signature=", ", Other="), "AuthorizationHeaderMalformed"},
		{"other region", replace("us-east-1", "eu-central-1"), "AuthorizationHeaderMalformed"},
		{"other scheme", replace(algorithm, "Bearer"), "InvalidArgument"},
		{"version 2", func(r *http.Request) { r.Header.Set("Authorization", "AWS a:b") }, "InvalidRequest"},
		{"unknown key", replace(AccessKeyID, "AKIAUNKNOWN"), "InvalidAccessKeyId"},
		{"no date", func(r *http.Request) { r.Header.Del("X-Amz-Date") }, "AccessDenied"},
		{"no payload hash", func(r *http.Request) {
			r.Header.Del("X-Amz-Content-Sha256")
			replace("x-amz-content-sha256;", "")(r)
		}, "InvalidRequest"},
		{"token of a permanent key",
			func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "token") },
			"InvalidToken"},
	} {
		req := signHeader(t, s, http.MethodGet, "/bucket/key")
		test.change(req)
		require.Equal(t, test.want, send(t, s, req).code(), test.name)
	}
	s.AddCredentials(aws.Credentials{
		AccessKeyID: "ASIATEMP", SecretAccessKey: "secret", SessionToken: "token",
	})
	_, err := s.S3(withKeys("ASIATEMP", "secret", "token")).GetObject(t.Context(),
		&s3.GetObjectInput{Bucket: aws.String(DefaultBucket), Key: aws.String("key")})
	require.NoError(t, err)
	_, err = s.S3(withKeys("ASIATEMP", "secret", "")).GetObject(t.Context(), &s3.GetObjectInput{
		Bucket: aws.String(DefaultBucket), Key: aws.String("key"),
	})
	requireCode(t, err, "InvalidAccessKeyId")
	s.AddCredentials(aws.Credentials{AccessKeyID: AccessKeyID, SecretAccessKey: "rotated"})
	require.Equal(t,
		"SignatureDoesNotMatch", send(t, s, signHeader(t, s, http.MethodGet, "/bucket/key")).code())
}

// TestContentLength checks requests that net/http does not send.
func TestContentLength(t *testing.T) {
	t.Parallel()
	s := Start(t)
	exchange := func(length, body string) response {
		endpoint, err := url.Parse(s.URL)
		require.NoError(t, err)
		conn, err := net.Dial("tcp", endpoint.Host)
		require.NoError(t, err)
		defer conn.Close()
		req := presign(t, s, s3.PutObjectInput{}, "")
		_, err = fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n%s", req.URL.RequestURI(),
			endpoint.Host, length, body)
		require.NoError(t, err)
		require.NoError(t, conn.(*net.TCPConn).CloseWrite())
		resp, err := http.ReadResponse(bufio.NewReader(conn), req)
		require.NoError(t, err)
		return read(t, resp)
	}
	require.Equal(t, 200, exchange("Content-Length: 11\r\n", hello).status)
	require.Equal(t, 200, exchange("Content-Length: 5\r\n", hello).status)
	o, _ := s.Object(DefaultBucket, "key")
	require.Equal(t, "hello", string(o.Body))

	for _, test := range []struct{ length, body, want string }{
		{"Content-Length: 12\r\n", hello, "400 IncompleteBody"},
		{"", "", "411 MissingContentLength"},
		{"Content-Length: 5368709121\r\n", "", "400 EntityTooLarge"},
		{"Content-Length: 5368709120\r\n", "", "400 IncompleteBody"},
	} {
		a := exchange(test.length, test.body)
		require.Equal(t, test.want, fmt.Sprint(a.status, " ", a.code()), test.length)
	}
	o, _ = s.Object(DefaultBucket, "key")
	require.Equal(t, "hello", string(o.Body))

	// If a test calls ServeHTTP, the body can end before its Content-Length.
	req := presign(t, s, s3.PutObjectInput{}, hello)
	req.ContentLength = 12
	req.Host = req.URL.Host
	req.Header.Set("Content-Length", "12")
	recorder := httptest.NewRecorder()
	s.ServeHTTP(recorder, req)
	require.Equal(t, 400, recorder.Code)
	require.Contains(t, recorder.Body.String(), "IncompleteBody")
}
