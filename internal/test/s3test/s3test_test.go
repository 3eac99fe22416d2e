package s3test

import (
	"cmp"
	"context"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"
)

const hello = "hello world"

// A response is an HTTP response with its whole body.
type response struct {
	status   int
	header   http.Header
	body     string
	elements map[string]string // of an error
}

func (a response) code() string { return a.elements["Code"] }

func send(t *testing.T, s *Server, req *http.Request) response {
	t.Helper()
	resp, err := s.HTTPClient().Do(req)
	require.NoError(t, err)
	return read(t, resp)
}

func read(t *testing.T, resp *http.Response) response {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	a := response{
		status: resp.StatusCode, header: resp.Header, body: string(body),
		elements: make(map[string]string),
	}
	if a.status >= 400 && resp.Request.Method != http.MethodHead {
		var document struct {
			XMLName  xml.Name `xml:"Error"`
			Elements []struct {
				XMLName xml.Name
				Value   string `xml:",chardata"`
			} `xml:",any"`
		}
		require.NoError(t, xml.Unmarshal(body, &document))
		for _, e := range document.Elements {
			a.elements[e.XMLName.Local] = e.Value
		}
	}
	return a
}

// presign returns an upload of body that the SDK presigns for the input. The
// default key is "key".
func presign(
	t *testing.T, s *Server, input s3.PutObjectInput, body string, optFns ...func(*s3.Options),
) *http.Request {
	t.Helper()
	input.Bucket = cmp.Or(input.Bucket, aws.String(DefaultBucket))
	input.Key = cmp.Or(input.Key, aws.String("key"))
	signed, err := s3.NewPresignClient(s.S3(optFns...)).PresignPutObject(t.Context(), &input)
	require.NoError(t, err)
	return upload(t, signed, body)
}

func upload(t *testing.T, signed *v4.PresignedHTTPRequest, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(signed.Method, signed.URL, strings.NewReader(body))
	require.NoError(t, err)
	for name, values := range signed.SignedHeader {
		if name != "Host" && name != "Content-Length" {
			req.Header[name] = values
		}
	}
	return req
}

// put stores an object with the SDK.
func put(t *testing.T, s *Server, key, body string) string {
	t.Helper()
	out, err := s.S3().PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(DefaultBucket), Key: &key, Body: strings.NewReader(body),
	})
	require.NoError(t, err)
	return *out.ETag
}

func requireCode(t *testing.T, err error, code string) {
	t.Helper()
	var apiErr smithy.APIError
	require.ErrorAs(t, err, &apiErr)
	require.Equal(t, code, apiErr.ErrorCode())
}

func withKeys(id, secret, token string) func(*s3.Options) {
	return func(o *s3.Options) {
		o.Credentials = credentials.NewStaticCredentialsProvider(id, secret, token)
	}
}

func setQuery(req *http.Request, name, value string) {
	query := req.URL.Query()
	query.Set(name, value)
	req.URL.RawQuery = query.Encode()
}

func TestSDKClient(t *testing.T) {
	t.Parallel()
	servers := map[string]func(*testing.T) (*Server, []func(*s3.Options)){
		"path style": func(*testing.T) (*Server, []func(*s3.Options)) { return New(), nil },
		"virtual-hosted": func(*testing.T) (*Server,
			[]func(*s3.Options)) {
			return New(WithHost("s3.example.org")), virtual
		},
		"with a network": func(t *testing.T) (*Server, []func(*s3.Options)) { return Start(t), nil },
		"virtual-hosted, with a network": func(t *testing.T) (*Server, []func(*s3.Options)) {
			return Start(t, WithHost("s3.example.org"), WithRegion("eu-central-1")), virtual
		},
	}
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, optFns := start(t)
			client := s.S3(optFns...)
			ctx, bucket, key := t.Context(), aws.String(DefaultBucket),
				aws.String("a b/ü+%41//~*?&#.txt")
			_, err := client.PutObject(ctx, &s3.PutObjectInput{
				Bucket: bucket, Key: key, Body: strings.NewReader(hello),
				ContentType:  aws.String("text/plain"),
				CacheControl: aws.String("no-store"), ContentDisposition: aws.String("attachment"),
				ContentLanguage: aws.String("de"), ContentEncoding: aws.String("identity"),
				Tagging:                 aws.String("a=b"),
				Metadata:                map[string]string{"Owner": "u1"},
				StorageClass:            types.StorageClassStandardIa,
				WebsiteRedirectLocation: aws.String("/other"),
				ServerSideEncryption:    types.ServerSideEncryptionAwsKms,
				SSEKMSKeyId:             aws.String("kms-key"),
				ChecksumSHA256:          aws.String(sum("SHA256", []byte(hello))),
			})
			require.NoError(t, err)

			head, err := client.HeadObject(ctx, &s3.HeadObjectInput{
				Bucket: bucket, Key: key, ChecksumMode: types.ChecksumModeEnabled,
			})
			require.NoError(t, err)
			require.EqualValues(t, len(hello), *head.ContentLength)
			require.Equal(t, "text/plain", *head.ContentType)
			require.Equal(t, "no-store", *head.CacheControl)
			require.Equal(t, "attachment", *head.ContentDisposition)
			require.Equal(t, "de", *head.ContentLanguage)
			require.Equal(t, "identity", *head.ContentEncoding)
			require.Equal(t, "/other", *head.WebsiteRedirectLocation)
			require.Equal(t, "kms-key", *head.SSEKMSKeyId)
			require.Equal(t, types.ServerSideEncryptionAwsKms, head.ServerSideEncryption)
			require.Equal(t, types.StorageClassStandardIa, head.StorageClass)
			require.Equal(t, types.ChecksumTypeFullObject, head.ChecksumType)
			require.Equal(t, sum("SHA256", []byte(hello)), *head.ChecksumSHA256)
			require.Equal(t, map[string]string{"owner": "u1"}, head.Metadata)
			require.NotContains(t, *head.ETag, "5eb63bbbe01eeed093cb22bb8f5acdc3",
				"the ETag of a KMS object must not be an MD5")

			part, err := client.GetObject(ctx, &s3.GetObjectInput{
				Bucket: bucket, Key: key, IfMatch: head.ETag, Range: aws.String("bytes=6-8"),
			})
			require.NoError(t, err)
			body, err := io.ReadAll(part.Body)
			require.NoError(t, err)
			require.Equal(t, "wor", string(body))
			require.Equal(t, "bytes 6-8/11", *part.ContentRange)
			require.EqualValues(t, 1, *part.TagCount)

			o, ok := s.Object(*bucket, *key)
			require.True(t, ok)
			require.Equal(t, map[string]string{"a": "b"}, o.Tags)
			require.Equal(t, []string{*key}, s.Objects(*bucket))

			_, err = client.DeleteObject(ctx, &s3.DeleteObjectInput{
				Bucket: bucket, Key: key, IfMatch: aws.String(`"other"`),
			})
			requireCode(t, err, "PreconditionFailed")
			_, err = client.DeleteObject(ctx, &s3.DeleteObjectInput{
				Bucket: bucket, Key: key, IfMatch: head.ETag,
			})
			require.NoError(t, err)
			require.Empty(t, s.Objects(*bucket))
			_, err = client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: key})
			require.NoError(t, err)
			_, err = client.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key})
			requireCode(t, err, "NoSuchKey")
			_, err = client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: key})
			requireCode(t, err, "NotFound")
			_, err = client.GetObject(ctx, &s3.GetObjectInput{
				Bucket: aws.String("other"), Key: key,
			})
			requireCode(t, err, "NoSuchBucket")
		})
	}
}

var virtual = []func(*s3.Options){func(o *s3.Options) { o.UsePathStyle = false }}

func TestGetObject(t *testing.T) {
	t.Parallel()
	s := New()
	etag := put(t, s, "key", "0123456789")
	get := func(header, value string) response {
		signed, err := s3.NewPresignClient(s.S3()).PresignGetObject(t.Context(), &s3.GetObjectInput{
			Bucket: aws.String(DefaultBucket), Key: aws.String("key"),
			ResponseContentType: aws.String("text/html"),
		})
		require.NoError(t, err)
		req := upload(t, signed, "")
		req.Body, req.ContentLength = nil, 0
		req.Header.Set(header, value)
		return send(t, s, req)
	}
	for _, test := range []struct {
		header, value string
		status        int
		body          string
	}{
		{"Range", "", 200, "0123456789"},
		{"Range", "bytes=0-0", 206, "0"},
		{"Range", "bytes=7-", 206, "789"},
		{"Range", "bytes=8-99", 206, "89"},
		{"Range", "bytes=-3", 206, "789"},
		{"Range", "bytes=-99", 206, "0123456789"},
		{"Range", "bytes=10-", 416, ""},
		{"Range", "bytes=-0", 416, ""},
		{"Range", "bytes=3-1", 200, "0123456789"},
		{"Range", "bytes=0-1,3-4", 200, "0123456789"},
		{"Range", "lines=0-1", 200, "0123456789"},
		{"Range", "0-1", 200, "0123456789"},
		{"Range", "bytes=1", 200, "0123456789"},
		{"If-Match", etag, 200, "0123456789"},
		{"If-Match", strings.Trim(etag, `"`), 200, "0123456789"},
		{"If-Match", `"other"`, 412, ""},
		{"If-None-Match", `"other"`, 200, "0123456789"},
		{"If-None-Match", etag, 304, ""},
		{"If-Modified-Since", "Mon, 02 Jan 2006 15:04:05 GMT", 501, ""},
	} {
		a := get(test.header, test.value)
		require.Equal(t, test.status, a.status, "%s: %s", test.header, test.value)
		if test.status < 300 {
			require.Equal(t, test.body, a.body, "%s: %s", test.header, test.value)
			require.Equal(t, "text/html", a.header.Get("Content-Type"))
		}
	}
	require.Equal(t, "10", get("Range", "bytes=10-").elements["ActualObjectSize"])

	head, err := s.S3().HeadObject(t.Context(), &s3.HeadObjectInput{
		Bucket: aws.String(DefaultBucket), Key: aws.String("key"),
	})
	require.NoError(t, err)
	require.Nil(t, head.ChecksumCRC64NVME, "the checksum must be returned only with checksum mode")
}

func TestListObjects(t *testing.T) {
	t.Parallel()
	s := New()
	for _, key := range []string{"a", "dir/1", "dir/2", "dir/sub/3", "e", "z&<"} {
		put(t, s, key, key)
	}
	pages := func(input s3.ListObjectsV2Input) (listed []string) {
		input.Bucket = aws.String(DefaultBucket)
		paginator := s3.NewListObjectsV2Paginator(s.S3(), &input)
		for paginator.HasMorePages() {
			page, err := paginator.NextPage(t.Context())
			require.NoError(t, err)
			require.EqualValues(t, *page.KeyCount, len(page.Contents)+len(page.CommonPrefixes))
			for _, o := range page.Contents {
				require.EqualValues(t, len(*o.Key), *o.Size)
				require.NotNil(t, o.LastModified)
				require.Equal(t, types.ObjectStorageClassStandard, o.StorageClass)
				listed = append(listed, *o.Key)
			}
			for _, p := range page.CommonPrefixes {
				listed = append(listed, *p.Prefix+"…")
			}
			listed = append(listed, "|")
		}
		return listed
	}
	require.Equal(t, []string{
		"a", "dir/1", "dir/2", "dir/sub/3", "e", "z&<", "|",
	}, pages(s3.ListObjectsV2Input{}))
	require.Equal(t, []string{"dir/1", "dir/2", "|", "dir/sub/3", "|"},
		pages(s3.ListObjectsV2Input{Prefix: aws.String("dir/"), MaxKeys: aws.Int32(2)}))
	require.Equal(t, []string{"a", "dir/…", "|", "e", "z&<", "|"},
		pages(s3.ListObjectsV2Input{Delimiter: aws.String("/"), MaxKeys: aws.Int32(2)}))
	require.Equal(t, []string{"e", "z&<", "|"},
		pages(s3.ListObjectsV2Input{StartAfter: aws.String("dir/sub/3")}))

	put(t, s, "dir/a b+%41\x01", "")
	encoded, err := s.S3().ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{
		Bucket: aws.String(DefaultBucket), Prefix: aws.String("dir/a "),
		EncodingType: types.EncodingTypeUrl,
	})
	require.NoError(t, err)
	require.Equal(t, "dir/a+", *encoded.Prefix)
	require.Equal(t, "dir/a+b%2B%2541%01", *encoded.Contents[0].Key)
	require.Equal(t, types.EncodingTypeUrl, encoded.EncodingType)

	for query, want := range map[string]string{
		"list-type=2&encoding-type=x": "InvalidArgument",
		"list-type=2&max-keys=x":      "InvalidArgument", "list-type=2&max-keys=-1": "InvalidArgument",
		"list-type=2&max-keys=0": "", "list-type=1": "NotImplemented",
	} {
		signed := sign(t, http.MethodGet, s.URL+"/bucket?"+query, nil, unsignedPayload)
		a := send(t, s, upload(t, signed, ""))
		require.Equal(t, want, a.code(), query)
		require.NotContains(t, a.body, "<IsTruncated>true", query)
	}
	_, err = s.S3().ListObjects(t.Context(), &s3.ListObjectsInput{
		Bucket: aws.String(DefaultBucket),
	})
	requireCode(t, err, "NotImplemented")
	_, err = s.S3().ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("other")})
	requireCode(t, err, "NoSuchBucket")
}

func TestNotImplemented(t *testing.T) {
	t.Parallel()
	s, ctx := New(), t.Context()
	bucket, key := aws.String(DefaultBucket), aws.String("key")
	put(t, s, *key, hello)
	c := s.S3()
	for name, call := range map[string]func() error{
		"ListBuckets": func() error { _, err := c.ListBuckets(ctx, nil); return err },
		"CreateBucket": func() error {
			_, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket})
			return err
		},
		"CopyObject from an expected owner": func() error {
			_, err := c.CopyObject(ctx, &s3.CopyObjectInput{
				Bucket: bucket, Key: key, CopySource: aws.String("bucket/key"),
				ExpectedSourceBucketOwner: aws.String("111122223333"),
			})
			return err
		},
		"CopyObject if modified": func() error {
			_, err := c.CopyObject(ctx, &s3.CopyObjectInput{
				Bucket: bucket, Key: key, CopySource: aws.String("bucket/key"),
				CopySourceIfModifiedSince: aws.Time(time.Now()),
			})
			return err
		},
		"CopyObject of an access point": func() error {
			_, err := c.CopyObject(ctx, &s3.CopyObjectInput{
				Bucket: bucket, Key: key,
				CopySource: aws.String(
					"arn:aws:s3:us-east-1:111122223333:accesspoint/a/object/key"),
			})
			return err
		},
		"CopyObject with a type beside the source's": func() error {
			_, err := c.CopyObject(ctx, &s3.CopyObjectInput{
				Bucket: bucket, Key: key, CopySource: aws.String("bucket/key"),
				ContentType: aws.String("text/plain"),
			})
			return err
		},
		"CopyObject with tags beside the source's": func() error {
			_, err := c.CopyObject(ctx, &s3.CopyObjectInput{
				Bucket: bucket, Key: key, CopySource: aws.String("bucket/key"),
				Tagging: aws.String("a=b"),
			})
			return err
		},
		"GetObject of a part": func() error {
			_, err := c.GetObject(ctx, &s3.GetObjectInput{
				Bucket: bucket, Key: key, PartNumber: aws.Int32(1),
			})
			return err
		},
		"ListObjectVersions": func() error {
			_, err := c.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: bucket})
			return err
		},
		"ListMultipartUploads with a delimiter": func() error {
			_, err := c.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{
				Bucket: bucket, Delimiter: aws.String("/"),
			})
			return err
		},
		"PutObjectTagging": func() error {
			_, err := c.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{
				Bucket: bucket, Key: key, Tagging: &types.Tagging{TagSet: []types.Tag{}},
			})
			return err
		},
		"DeleteObject of a version that matches": func() error {
			_, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{
				Bucket: bucket, Key: key, VersionId: aws.String("null"), IfMatch: aws.String("*"),
			})
			return err
		},
		"DeleteObjects": func() error {
			_, err := c.DeleteObjects(ctx,
				&s3.DeleteObjectsInput{Bucket: bucket, Delete: &types.Delete{
					Objects: []types.ObjectIdentifier{{Key: key}},
				}})
			return err
		},
		"PutObject with a trailer": func() error {
			_, err := c.PutObject(ctx, &s3.PutObjectInput{
				Bucket: bucket, Key: key, Body: strings.NewReader("other"),
			},
				func(o *s3.Options) {
					o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported
				})
			return err
		},
		"PutObject with SSE-C": func() error {
			_, err := c.PutObject(ctx, &s3.PutObjectInput{
				Bucket: bucket, Key: key, Body: strings.NewReader("other"),
				SSECustomerAlgorithm: aws.String("AES256"),
				SSECustomerKey:       aws.String(strings.Repeat("k", 32)),
			})
			return err
		},
		"PutObject for an expected owner": func() error {
			_, err := c.PutObject(ctx, &s3.PutObjectInput{
				Bucket: bucket, Key: key, Body: strings.NewReader("other"),
				ExpectedBucketOwner: aws.String("111122223333"),
			})
			return err
		},
		"RestoreObject": func() error {
			_, err := c.RestoreObject(ctx, &s3.RestoreObjectInput{Bucket: bucket, Key: key})
			return err
		},
	} {
		requireCode(t, call(), "NotImplemented")
		o, ok := s.Object(*bucket, *key)
		require.True(t, ok, name)
		require.Equal(t, hello, string(o.Body), name)
	}
}

func TestGetObjectTagging(t *testing.T) {
	t.Parallel()
	s := New()
	c := s.S3()
	_, err := c.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(DefaultBucket), Key: aws.String("k"), Body: strings.NewReader(hello),
		Tagging: aws.String("b=c+d&a="),
	})
	require.NoError(t, err)
	got, err := c.GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{
		Bucket: aws.String(DefaultBucket), Key: aws.String("k"),
	})
	require.NoError(t, err)
	require.Equal(t, []types.Tag{{Key: aws.String("a"), Value: aws.String("")}, {
		Key: aws.String("b"), Value: aws.String("c d"),
	}}, got.TagSet)
	_, err = c.GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{
		Bucket: aws.String(DefaultBucket), Key: aws.String("none"),
	})
	requireCode(t, err, "NoSuchKey")
	_, err = c.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(DefaultBucket), Key: aws.String("k"), Body: strings.NewReader(hello),
		Tagging: aws.String("a=%3C"),
	})
	requireCode(t, err, "InvalidTag")
}

func TestUnknownMethod(t *testing.T) {
	t.Parallel()
	s := New()
	for _, path := range []string{"/", "/bucket", "/bucket/key"} {
		require.Equal(t, "NotImplemented", send(t, s,
			upload(t, sign(t, http.MethodPatch, s.URL+path, nil, unsignedPayload), hello)).code(),
			path)
	}
}

func TestHTTPClient(t *testing.T) {
	t.Parallel()
	s := New()
	client := s.HTTPClient()

	for name, length := range map[string]int64{
		"shorter": int64(len(hello)) + 1, "longer": int64(len(hello)) - 1,
	} {
		req := presign(t, s, s3.PutObjectInput{}, hello)
		req.ContentLength = length
		_, err := client.Do(req)
		require.ErrorContains(t, err, "ContentLength", name)
	}
	_, err := client.Get("https://example.com/bucket/key")
	require.ErrorContains(t, err, "no such host")
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = client.Do(presign(t, s, s3.PutObjectInput{}, hello).WithContext(canceled))
	require.ErrorIs(t, err, context.Canceled)

	for name, value := range map[string]string{
		"Cache-Control": "a\r\nX-Amz-Acl: b", "": "a", "a b": "c", "a: b\r\nc": "d",
	} {
		req := presign(t, s, s3.PutObjectInput{}, hello)
		req.Header[name] = []string{value}
		_, err = client.Do(req)
		require.ErrorContains(t, err, "invalid header", name)
	}
	require.Empty(t, s.Objects(DefaultBucket))

	body := &closed{Reader: strings.NewReader(hello)}
	req, err := http.NewRequest(http.MethodPut, "https://example.com", body)
	require.NoError(t, err)
	_, err = client.Do(req)
	require.Error(t, err)
	require.True(t, body.closed)
}

type closed struct {
	io.Reader
	closed bool
}

func (c *closed) Close() error { c.closed = true; return nil }

// TestError checks that a Go error does not contain the session token, unlike
// the XML, which contains the canonical request.
func TestError(t *testing.T) {
	t.Parallel()
	s := New()
	s.AddCredentials(aws.Credentials{
		AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "temporary-secret", SessionToken: "the-token",
	})
	req := presign(t, s, s3.PutObjectInput{}, hello,
		withKeys("ASIAEXAMPLE", "temporary-secret", "the-token"))
	setQuery(req, "X-Amz-Expires", "901")
	a := send(t, s, req)
	require.Equal(t, "SignatureDoesNotMatch", a.code())
	require.Contains(t, a.elements["CanonicalRequest"], "X-Amz-Security-Token=the-token")
	require.True(t, strings.HasPrefix(a.elements["StringToSign"], algorithm+"\n"))
	require.NotContains(t, a.body, "temporary-secret")

	r, err := s.address(req)
	require.NoError(t, err)
	r.Host = req.URL.Host
	err = s.authenticate(r)
	require.ErrorContains(t, err, "SignatureDoesNotMatch: ")
	require.NotContains(t, err.Error(), "the-token")

	recorder := httptest.NewRecorder()
	writeError(recorder, http.MethodGet, io.ErrClosedPipe)
	require.Equal(t, http.StatusInternalServerError, recorder.Code)
	require.Contains(t, recorder.Body.String(), "<Code>InternalError</Code>")
}

func TestChecksumVectors(t *testing.T) {
	t.Parallel()
	// These are the check values of the CRC catalogue,
	// https://reveng.sourceforge.io/crc-catalogue/all.htm.
	for algorithm, want := range map[string]string{
		"CRC32": "y/Q5Jg==", "CRC32C": "4waSgw==", "CRC64NVME": "rosUhgp5mIg=",
	} {
		require.Equal(t, want, sum(algorithm, []byte("123456789")), algorithm)
	}
	require.Equal(t, "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=", sum("SHA256", []byte("hello")))
}
