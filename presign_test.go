package presign_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
)

// query returns the query parameters of a grant's URL.
func query(t *testing.T, grant *presign.Grant) url.Values {
	t.Helper()
	u, err := url.Parse(grant.URL)
	require.NoError(t, err)
	return u.Query()
}

// signedHeaders returns the headers that a URL's signature covers.
func signedHeaders(t *testing.T, grant *presign.Grant) []string {
	t.Helper()
	return strings.Split(query(t, grant).Get("X-Amz-SignedHeaders"), ";")
}

// conditions returns a form's exact conditions and its size range.
func conditions(
	t *testing.T, grant *presign.Grant,
) (exact map[string]string, minSize, maxSize int64) {
	t.Helper()
	document, err := base64.StdEncoding.DecodeString(grant.Fields["policy"])
	require.NoError(t, err)
	var policy struct{ Conditions []json.RawMessage }
	require.NoError(t, json.Unmarshal(document, &policy))
	exact = make(map[string]string)
	for _, condition := range policy.Conditions {
		var single map[string]string
		var list []any
		if json.Unmarshal(condition, &single) == nil {
			require.Len(t, single, 1)
			maps.Copy(exact, single)
		} else if require.NoError(t, json.Unmarshal(condition,
			&list)); list[0] == "content-length-range" {
			minSize, maxSize = int64(list[1].(float64)), int64(list[2].(float64))
		} else {
			require.Equal(t, "eq", list[0])
			exact[strings.TrimPrefix(list[1].(string), "$")] = list[2].(string)
		}
	}
	return exact, minSize, maxSize
}

// setAllFields sets every field of a policy that a form supports.
func setAllFields(p *presign.Policy) {
	p.Checksum = types.ChecksumAlgorithmSha256
	p.Metadata = []string{"Color"}
	p.Headers = map[string]string{
		"Cache-Control": "no-store", "content-encoding": "identity",
		"Expires": "0", "Content-Disposition": "inline",
		"x-amz-acl": "bucket-owner-full-control", "X-Amz-Storage-Class": "STANDARD_IA",
		"x-amz-tagging":                               "a=b",
		"x-amz-server-side-encryption":                "aws:kms",
		"x-amz-server-side-encryption-aws-kms-key-id": "key",
		"x-amz-website-redirect-location":             "/elsewhere",
	}
}

var upload = presign.Upload{
	Filename: "a b.png", Size: 500, Checksum: "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
	Metadata: map[string]string{"COLOR": "blue"},
}

// TestPutSigns checks that every value that a client must not change is signed,
// for every option.
func TestPutSigns(t *testing.T) {
	plain := presign.Upload{Filename: "a b.png", Size: 500}
	for name, c := range map[string]struct {
		policy presign.Policy
		upload presign.Upload
		want   map[string]string // except Host and Content-Length
	}{
		"nothing set": {images(), plain, map[string]string{
			"Content-Type":        "image/png",
			"Content-Disposition": "attachment; filename*=UTF-8''a%20b.png", "If-None-Match": "*"}},
		"replace": {with(func(p *presign.Policy) { p.Replace = true }), plain, map[string]string{
			"Content-Type":        "image/png",
			"Content-Disposition": "attachment; filename*=UTF-8''a%20b.png"}},
		"everything": {with(setAllFields), upload, map[string]string{
			"Content-Type":        "image/png",
			"Content-Disposition": "inline; filename*=UTF-8''a%20b.png", "If-None-Match": "*",
			"Cache-Control": "no-store", "Content-Encoding": "identity", "Expires": "0",
			"x-amz-acl": "bucket-owner-full-control", "x-amz-storage-class": "STANDARD_IA",
			"x-amz-tagging":                               "a=b",
			"x-amz-server-side-encryption":                "aws:kms",
			"x-amz-server-side-encryption-aws-kms-key-id": "key",
			"x-amz-website-redirect-location":             "/elsewhere",
			"x-amz-checksum-sha256":                       upload.Checksum,
			"x-amz-meta-color":                            "blue"}},
		"headers without a form field": {with(func(p *presign.Policy) {
			p.Headers = map[string]string{
				"Content-Language": "de", "x-amz-object-lock-mode": "GOVERNANCE",
			}
		}), plain, map[string]string{
			"Content-Type":        "image/png",
			"Content-Disposition": "attachment; filename*=UTF-8''a%20b.png", "If-None-Match": "*",
			"Content-Language": "de", "x-amz-object-lock-mode": "GOVERNANCE"}},
	} {
		t.Run(name, func(t *testing.T) {
			grant, err := newSigner(t, c.policy).Put(context.Background(), c.upload)
			require.NoError(t, err)
			require.Equal(t, "PUT", grant.Method)
			require.NotEmpty(t, grant.Headers["x-amz-meta-presign"])
			delete(grant.Headers, "x-amz-meta-presign")
			require.Equal(t, c.want, grant.Headers)
			require.Nil(t, grant.Fields)
			signed := []string{"content-length", "host", "x-amz-meta-presign"}
			for name := range c.want {
				signed = append(signed, strings.ToLower(name))
			}
			slices.Sort(signed)
			require.Equal(t, signed, signedHeaders(t, grant))
			require.Equal(t, "900", query(t, grant).Get("X-Amz-Expires"))
		})
	}
}

// TestPostSigns checks that every field has an exact condition, and every
// condition has a field.
func TestPostSigns(t *testing.T) {
	plain := presign.Upload{Filename: "a b.png"}
	for name, c := range map[string]struct {
		policy           presign.Policy
		upload           presign.Upload
		want             map[string]string // except key and the fields of the signature
		minSize, maxSize int64
	}{
		"nothing set": {images(), plain, map[string]string{
			"Content-Type":        "image/png",
			"Content-Disposition": "attachment; filename*=UTF-8''a%20b.png"}, 10, 1000},
		"narrower": {images(), presign.Upload{Filename: "a b.png", MinSize: 20, MaxSize: 30},
			nil, 20, 30},
		"exact size": {images(), presign.Upload{Filename: "a b.png", Size: 500, MinSize: 20},
			nil, 500, 500},
		"minimum size": {with(func(p *presign.Policy) { p.MinSize = 0 }), plain, nil, 1, 1000},
		"large": {with(func(p *presign.Policy) { p.MaxSize = 1 << 40 }), plain, nil,
			10, 5 << 30},
		"redirect": {images(), presign.Upload{
			Filename: "a b.png", Redirect: "https://a.example/?b=c&d",
		}, map[string]string{
			"Content-Type":            "image/png",
			"Content-Disposition":     "attachment; filename*=UTF-8''a%20b.png",
			"success_action_redirect": "https://a.example/?b=c&d"}, 10, 1000},
		"everything": {with(setAllFields), upload, map[string]string{
			"Content-Type":        "image/png",
			"Content-Disposition": "inline; filename*=UTF-8''a%20b.png",
			"Cache-Control":       "no-store", "Content-Encoding": "identity", "Expires": "0",
			"acl": "bucket-owner-full-control", "x-amz-storage-class": "STANDARD_IA",
			"tagging": "<Tagging><TagSet>" +
				"<Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
			"x-amz-server-side-encryption": "aws:kms", "x-amz-meta-color": "blue",
			"x-amz-server-side-encryption-aws-kms-key-id": "key",
			"x-amz-website-redirect-location":             "/elsewhere",
			"x-amz-checksum-algorithm":                    "SHA256",
			"x-amz-checksum-sha256":                       upload.Checksum}, 500, 500},
	} {
		t.Run(name, func(t *testing.T) {
			grant, err := newSigner(t, c.policy).Post(context.Background(), c.upload)
			require.NoError(t, err)
			require.Equal(t, "POST", grant.Method)
			require.Nil(t, grant.Headers)
			require.Equal(t, "https://bucket.s3.eu-central-1.amazonaws.com", grant.URL)
			require.Equal(t, grant.Key, grant.Fields["key"])
			require.NotEmpty(t, grant.Fields["x-amz-meta-presign"])

			exact, minSize, maxSize := conditions(t, grant)
			require.Equal(t, "bucket", exact["bucket"])
			delete(exact, "bucket")
			fields := maps.Clone(grant.Fields)
			delete(fields, "policy")
			delete(fields, "x-amz-signature")
			require.Equal(t, fields, exact,
				"each field must have a condition, and each condition a field")
			require.Equal(t, []int64{c.minSize, c.maxSize}, []int64{minSize, maxSize})

			maps.DeleteFunc(fields, func(name, _ string) bool {
				return slices.Contains([]string{"key", "x-amz-algorithm", "x-amz-credential",
					"x-amz-date", "x-amz-meta-presign"}, name)
			})
			if c.want != nil {
				require.Equal(t, c.want, fields)
			}
		})
	}
}

// TestFormsRejected checks that Post returns violations for constraints that a
// form cannot enforce.
func TestFormsRejected(t *testing.T) {
	type upload = presign.Upload
	for want, c := range map[string]struct {
		policy presign.Policy
		upload presign.Upload
		opts   []presign.SignerOption
	}{
		"method unsupported must not be POST: " +
			"the service chose the key, and a form would overwrite the object there": {
			policy: images(), upload: upload{Key: "uploads/a.png"},
		},
		"key invalid must not contain a dollar sign, which forms cannot hold, " +
			`got "uploads/$a.png"`: {
			policy: with(func(p *presign.Policy) { p.Replace = true }),
			upload: upload{Key: "uploads/$a.png"},
		},
		"method unsupported must not be POST: the service has set WithoutForms": {
			policy: images(), upload: upload{Filename: "a.png"},
			opts: []presign.SignerOption{presign.WithoutForms()},
		},
		"method unsupported must not be POST: S3 accepts no CRC64NVME checksum in a form": {
			policy: with(func(p *presign.Policy) {
				p.Checksum = types.ChecksumAlgorithmCrc64nvme
			}),
			upload: upload{Filename: "a.png", Checksum: "i+6LR0y3eFo="},
		},
		"method unsupported must not be POST: " +
			"S3 documents no form field for the header Content-Language": {
			policy: with(func(p *presign.Policy) {
				p.Headers = map[string]string{"Content-Language": "de"}
			}),
			upload: upload{Filename: "a.png"},
		},
		"method unsupported must not be POST: " +
			"a form cannot hold the dollar sign in the header Cache-Control": {
			policy: with(func(p *presign.Policy) {
				p.Headers = map[string]string{"Cache-Control": "$"}
			}),
			upload: upload{Filename: "a.png"},
		},
		"metadata[a] invalid must not contain a dollar sign, which forms cannot hold": {
			policy: with(func(p *presign.Policy) { p.Metadata = []string{"a"} }),
			upload: upload{
				Filename: "a.png", Metadata: map[string]string{"a": "${filename}"},
			},
		},
		"min_size too_large must be at most 5368709120 bytes, got 5368709121": {
			policy: with(func(p *presign.Policy) { p.MaxSize = 6 << 30 }),
			upload: upload{Filename: "a.png", MinSize: 5<<30 + 1},
		},
	} {
		grant, err := newSigner(t, c.policy, c.opts...).Post(context.Background(), c.upload)
		require.Nil(t, grant)
		require.Equal(t, []string{want}, violations(t, err))

		// A PUT is possible in every case except the last.
		c.upload.Size = 500
		if c.upload.MinSize > 0 {
			c.upload.Size = c.upload.MinSize
		}
		_, err = newSigner(t, c.policy, c.opts...).Put(context.Background(), c.upload)
		if c.upload.MinSize > 0 {
			require.Equal(t, []string{
				"size too_large must be at most 5368709120 bytes, got 5368709121",
			}, violations(t, err))
		} else {
			require.NoError(t, err)
		}
	}
}

func TestPutRejected(t *testing.T) {
	signer := newSigner(t, images())
	_, err := signer.Put(context.Background(),
		presign.Upload{Filename: "a.png", MinSize: 20, MaxSize: 20})
	require.Equal(t, []string{
		"size required must be set for a PUT, which is signed for its exact size",
	}, violations(t, err))
	_, err = signer.Put(context.Background(),
		presign.Upload{Filename: "a.png", Size: 20, Redirect: "https://a.example/"})
	require.Equal(t, []string{"redirect not_allowed must not be set: only forms redirect"},
		violations(t, err))
}

func TestFormTooLargeForS3(t *testing.T) {
	client := newClient(func(o *s3.Options) {
		o.Credentials = credentials.NewStaticCredentialsProvider("ASIAEXAMPLE", "secret",
			strings.Repeat("t", 9000))
	})
	signer, err := presign.NewSigner(client, "bucket", images())
	require.NoError(t, err)
	_, err = signer.Post(context.Background(), presign.Upload{Filename: "a.png"})
	require.ErrorContains(t, err, "presign: the form must have at most")
	require.NotContains(t, err.Error(), "ttt")
	_, err = signer.Put(context.Background(), presign.Upload{Filename: "a.png", Size: 10})
	require.NoError(t, err)
}

func TestKeys(t *testing.T) {
	signer := newSigner(t, with(func(p *presign.Policy) { p.Types = []string{"*/*"} }))
	random := `[A-Z2-7]{26}/`
	seen := make(map[string]bool)
	for _, c := range []struct{ key, filename, want string }{
		{"", "a b.png", `^uploads/` + random + `a-b\.png$`},
		{"", "${filename}.png", `^uploads/` + random + `_-filename-\.png$`},
		{"", "日本語 \"引用\".pdf", `^uploads/` + random + `日本語--引用-\.pdf$`},
		{"uploads/u/1/", "a.png", `^uploads/u/1/` + random + `a\.png$`},
		{"uploads/", "a.png", `^uploads/` + random + `a\.png$`},
		{"uploads/fixed.png", "", `^uploads/fixed\.png$`},
		{"uploads/fixed", "other.png", `^uploads/fixed$`},
		{"uploads/a$b c.png", "", `^uploads/a\$b c\.png$`},
	} {
		grant, err := signer.Put(context.Background(),
			presign.Upload{Key: c.key, Filename: c.filename, Size: 10})
		require.NoError(t, err, "%+v", c)
		require.Regexp(t, regexp.MustCompile(c.want), grant.Key)
		require.False(t, seen[grant.Key])
		seen[grant.Key] = true
		u, err := url.Parse(grant.URL)
		require.NoError(t, err)
		require.Equal(t, "/"+grant.Key, u.Path)
	}
}

// TestKeysCannotBeGuessed checks that the key of one grant does not reveal the
// key of another grant.
func TestKeysCannotBeGuessed(t *testing.T) {
	signer := newSigner(t, images())
	same, compared := 0, 0
	var last string
	for range 200 {
		grant, err := signer.Post(context.Background(), presign.Upload{Filename: "a.png"})
		require.NoError(t, err)
		random := strings.Split(grant.Key, "/")[1]
		require.Len(t, random, 26, "a key must have 130 random bits")
		for i := range last {
			compared++
			if last[i] == random[i] {
				same++
			}
		}
		last = random
	}
	require.InDelta(t, 1.0/32, float64(same)/float64(compared), 0.02)
}

// TestGrantCanBeLogged checks that the secrets of a grant are not in the log.
func TestGrantCanBeLogged(t *testing.T) {
	signer := newSigner(t, images())
	for _, sign := range []func(context.Context, presign.Upload) (*presign.Grant, error){
		signer.Put, signer.Post,
	} {
		grant, err := sign(context.Background(), presign.Upload{Filename: "a.png", Size: 10})
		require.NoError(t, err)
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("granted", "grant", grant)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("granted", "grant", *grant)
		require.Contains(t, log.String(), grant.Key)
		require.NotContains(t, log.String(), "Signature")
		require.NotContains(t, log.String(), "signature")
		require.NotContains(t, log.String(), "AKIA")
	}
}

// TestEndpoints checks that a grant has the host of the SDK's client and is
// signed for the client's region.
func TestEndpoints(t *testing.T) {
	for _, c := range []struct {
		name, bucket string
		option       func(*s3.Options)
		opts         []presign.SignerOption
		put, form    string // form is empty if the endpoint has no forms
		region       string
	}{
		{"regional", "bucket", func(o *s3.Options) {}, nil,
			"https://bucket.s3.eu-central-1.amazonaws.com/uploads/k.png",
			"https://bucket.s3.eu-central-1.amazonaws.com", "eu-central-1"},
		{"us-east-1", "bucket", func(o *s3.Options) { o.Region = "us-east-1" }, nil,
			"https://bucket.s3.us-east-1.amazonaws.com/uploads/k.png",
			"https://bucket.s3.us-east-1.amazonaws.com", "us-east-1"},
		{"dotted bucket", "my.bucket", func(o *s3.Options) {}, nil,
			"https://s3.eu-central-1.amazonaws.com/my.bucket/uploads/k.png",
			"https://s3.eu-central-1.amazonaws.com/my.bucket", "eu-central-1"},
		{"path style", "bucket", func(o *s3.Options) { o.UsePathStyle = true }, nil,
			"https://s3.eu-central-1.amazonaws.com/bucket/uploads/k.png",
			"https://s3.eu-central-1.amazonaws.com/bucket", "eu-central-1"},
		{"accelerate", "bucket", func(o *s3.Options) { o.UseAccelerate = true }, nil,
			"https://bucket.s3-accelerate.amazonaws.com/uploads/k.png",
			"https://bucket.s3-accelerate.amazonaws.com", "eu-central-1"},
		{"dual stack", "bucket", func(o *s3.Options) {
			o.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled
		}, nil, "https://bucket.s3.dualstack.eu-central-1.amazonaws.com/uploads/k.png",
			"https://bucket.s3.dualstack.eu-central-1.amazonaws.com", "eu-central-1"},
		{"FIPS", "bucket", func(o *s3.Options) {
			o.Region, o.EndpointOptions.UseFIPSEndpoint = "us-east-2", aws.FIPSEndpointStateEnabled
		}, nil, "https://bucket.s3-fips.us-east-2.amazonaws.com/uploads/k.png",
			"https://bucket.s3-fips.us-east-2.amazonaws.com", "us-east-2"},
		{"China", "bucket", func(o *s3.Options) { o.Region = "cn-north-1" }, nil,
			"https://bucket.s3.cn-north-1.amazonaws.com.cn/uploads/k.png",
			"https://bucket.s3.cn-north-1.amazonaws.com.cn", "cn-north-1"},
		{"access point",
			"arn:aws:s3:eu-central-1:123456789012:accesspoint/photos", func(o *s3.Options) {}, nil,
			"https://photos-123456789012.s3-accesspoint.eu-central-1.amazonaws.com/uploads/k.png",
			"", "eu-central-1"},
		{"access point elsewhere", "arn:aws:s3:us-west-2:123456789012:accesspoint/photos",
			func(o *s3.Options) { o.UseARNRegion = true }, nil,
			"https://photos-123456789012.s3-accesspoint.us-west-2.amazonaws.com/uploads/k.png", "",
			"us-west-2"},
		{"access point's alias", "photos-a1b2c3d4e5f6g7h8i9j0k1l2m3n4ouse1a-s3alias",
			func(o *s3.Options) {}, nil,
			"https://photos-a1b2c3d4e5f6g7h8i9j0k1l2m3n4ouse1a-s3alias" +
				".s3.eu-central-1.amazonaws.com/uploads/k.png", "", "eu-central-1"},
		{"upper case", "bucket", func(o *s3.Options) {
			o.BaseEndpoint, o.UsePathStyle = aws.String("https://S3.Example.COM"), true
		}, nil, "https://s3.example.com/bucket/uploads/k.png", "https://s3.example.com/bucket",
			"eu-central-1"},
		{"MinIO", "bucket", func(o *s3.Options) {
			o.BaseEndpoint, o.UsePathStyle = aws.String("http://127.0.0.1:9000"), true
		}, nil, "http://127.0.0.1:9000/bucket/uploads/k.png", "http://127.0.0.1:9000/bucket",
			"eu-central-1"},
		{"MinIO behind a path", "bucket", func(o *s3.Options) {
			o.BaseEndpoint, o.UsePathStyle = aws.String("https://example.com/s3/"), true
		}, nil, "https://example.com/s3/bucket/uploads/k.png", "https://example.com/s3/bucket",
			"eu-central-1"},
		{"default port", "bucket", func(o *s3.Options) {
			o.BaseEndpoint, o.UsePathStyle = aws.String("https://example.com:443"), true
		}, nil, "https://example.com/bucket/uploads/k.png", "https://example.com/bucket",
			"eu-central-1"},
		{"IPv6", "bucket", func(o *s3.Options) {
			o.BaseEndpoint, o.UsePathStyle = aws.String("http://[::1]:80"), true
		}, nil, "http://[::1]/bucket/uploads/k.png", "http://[::1]/bucket", "eu-central-1"},
		{"virtual host", "bucket", func(o *s3.Options) {
			o.BaseEndpoint = aws.String("https://s3.example.com:8443")
		}, nil, "https://bucket.s3.example.com:8443/uploads/k.png",
			"https://bucket.s3.example.com:8443", "eu-central-1"},
		{"R2", "bucket", func(o *s3.Options) {
			o.Region, o.BaseEndpoint = "auto",
				aws.String("https://0123456789abcdef.r2.cloudflarestorage.com")
		}, nil,
			"https://bucket.0123456789abcdef.r2.cloudflarestorage.com/uploads/k.png", "", "auto"},
		{"B2", "bucket", func(o *s3.Options) {
			o.Region, o.BaseEndpoint = "us-west-004",
				aws.String("https://s3.us-west-004.backblazeb2.com")
		}, nil, "https://bucket.s3.us-west-004.backblazeb2.com/uploads/k.png", "", "us-west-004"},
		{"public endpoint", "bucket", func(o *s3.Options) {
			o.BaseEndpoint, o.UsePathStyle = aws.String("http://minio:9000"), true
		}, []presign.SignerOption{presign.WithPublicEndpoint("https://files.example.com/s3")},
			"https://files.example.com/s3/bucket/uploads/k.png",
			"https://files.example.com/s3/bucket", "eu-central-1"},
		{"public virtual host",
			"bucket", func(o *s3.Options) {
				o.BaseEndpoint = aws.String("http://minio:9000")
			}, []presign.SignerOption{presign.WithPublicEndpoint("https://s3.example.com")},
			"https://bucket.s3.example.com/uploads/k.png", "https://bucket.s3.example.com",
			"eu-central-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := newClient(c.option)
			signer, err := presign.NewSigner(client, c.bucket,
				with(func(p *presign.Policy) { p.Replace = true }), c.opts...)
			require.NoError(t, err)

			grant, err := signer.Put(context.Background(),
				presign.Upload{Key: "uploads/k.png", Size: 10})
			require.NoError(t, err)
			address, _, _ := strings.Cut(grant.URL, "?")
			require.Equal(t, c.put, address)
			require.Contains(t, query(t, grant).Get("X-Amz-Credential"),
				"/"+c.region+"/s3/aws4_request")

			grant, err = signer.Post(context.Background(), presign.Upload{Key: "uploads/k.png"})
			if c.form == "" {
				require.Contains(t, violations(t, err)[0], "method unsupported must not be POST: ")
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.form, grant.URL)
			require.Contains(t, grant.Fields["x-amz-credential"], "/"+c.region+"/s3/aws4_request")
		})
	}
}

// TestEndpointsRejected checks that NewSigner rejects configurations with which
// every upload would fail. The SDK accepts some of them and panics for others.
func TestEndpointsRejected(t *testing.T) {
	for _, c := range []struct {
		want, bucket string
		option       func(*s3.Options)
		opts         []presign.SignerOption
	}{
		{"the bucket's name must not be empty", "", func(o *s3.Options) {}, nil},
		{"the client must have a region", "bucket", func(o *s3.Options) { o.Region = "" }, nil},
		{"the client must have credentials",
			"bucket", func(o *s3.Options) { o.Credentials = nil }, nil},
		{"the client must have credentials",
			"bucket", func(o *s3.Options) { o.Credentials = aws.AnonymousCredentials{} }, nil},
		{"S3 Express", "bucket--euc1-az1--x-s3", func(o *s3.Options) {}, nil},
		{"multi-Region access points",
			"arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap", func(o *s3.Options) {}, nil},
		{"Outposts", "arn:aws:s3-outposts:eu-central-1:123456789012:outpost/" +
			"op-01ac5d28a6a232904/accesspoint/photos", func(o *s3.Options) {}, nil},
		{"Object Lambda", "arn:aws:s3-object-lambda:eu-central-1:123456789012:accesspoint/photos",
			func(o *s3.Options) {}, nil},
		{"has no endpoint",
			"arn:aws:s3:us-west-2:123456789012:accesspoint/photos", func(o *s3.Options) {}, nil},
		{`the bucket must have a valid name, got "a/b"`, "a/b", func(o *s3.Options) {}, nil},
		{`must be in lower case, got "EU-Central-1": use "eu-central-1"`,
			"bucket", func(o *s3.Options) { o.Region = "EU-Central-1" }, nil},
		{`the endpoint must not name the bucket "bucket", ` +
			`got "https://bucket.nyc3.digitaloceanspaces.com": ` +
			`use "https://nyc3.digitaloceanspaces.com"`, "bucket", func(o *s3.Options) {
			o.BaseEndpoint = aws.String("https://bucket.nyc3.digitaloceanspaces.com")
		}, nil},
		{`use "https://account.r2.cloudflarestorage.com"`, "bucket", func(o *s3.Options) {},
			[]presign.SignerOption{
				presign.WithPublicEndpoint("https://account.r2.cloudflarestorage.com/bucket"),
			}},
		{"takes no uploads", "photos--ol-s3", func(o *s3.Options) {}, nil},
		{"takes no uploads", "data--table-s3", func(o *s3.Options) {}, nil},
		{"takes no uploads", "mfzwi23gnjvgw.mrap", func(o *s3.Options) {}, nil},
		{"has no endpoint", "bucket", func(o *s3.Options) {
			o.BaseEndpoint = aws.String("https://example.com/?a=b")
		}, nil},
		{"the public endpoint must be a URL such as https://s3.example.com, " +
			`got "files.example.com"`, "bucket", func(o *s3.Options) {},
			[]presign.SignerOption{presign.WithPublicEndpoint("files.example.com")}},
		{"must be a URL", "bucket", func(o *s3.Options) {},
			[]presign.SignerOption{presign.WithPublicEndpoint("ftp://files.example.com")}},
		{"must be a URL", "bucket", func(o *s3.Options) {},
			[]presign.SignerOption{presign.WithPublicEndpoint("https://files.example.com?a=b")}},
		{"WithPublicEndpoint must have a URL", "bucket", func(o *s3.Options) {},
			[]presign.SignerOption{presign.WithPublicEndpoint("")}},
		{"must be a URL", "bucket", func(o *s3.Options) {}, []presign.SignerOption{
			presign.WithPublicEndpoint("https://user:hunter2@files.example.com"),
		}},
		{"must be a URL", "bucket", func(o *s3.Options) {},
			[]presign.SignerOption{presign.WithPublicEndpoint("https://files.example.com#a")}},
		{"must be a URL", "bucket", func(o *s3.Options) {}, []presign.SignerOption{
			presign.WithPublicEndpoint("https://hunter2:%zz@files.example.com"),
		}},
	} {
		signer, err := presign.NewSigner(newClient(c.option), c.bucket, images(), c.opts...)
		require.Nil(t, signer)
		require.NotContains(t, err.Error(), "hunter2")
		require.ErrorContains(t, err, c.want)
		require.True(t, strings.HasPrefix(err.Error(), "presign: "), err)
	}
}

// TestGrantMarshals checks that a grant has its wire form in JSON, and that
// expires_in is counted from the time of signing.
func TestGrantMarshals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		grant, err := newSigner(t, images()).Put(context.Background(),
			presign.Upload{Key: "uploads/a&b.png", Size: 10})
		require.NoError(t, err)
		time.Sleep(10*time.Second + time.Millisecond)
		text, err := json.Marshal(*grant)
		require.NoError(t, err)
		var got map[string]any
		require.NoError(t, json.Unmarshal(text, &got))
		require.Equal(t, []string{
			"expires_at", "expires_in", "grant_id", "headers", "key", "method", "url",
		}, slices.Sorted(maps.Keys(got)))
		require.Equal(t, "2000-01-01T00:15:00Z", got["expires_at"])
		require.Equal(t, 900.0, got["expires_in"])
		require.Regexp(t, "^[0-9a-f]{32}$", got["grant_id"])

		var back presign.Grant
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, *grant, back)

		time.Sleep(time.Hour)
		text, err = json.Marshal(grant)
		require.NoError(t, err)
		require.Contains(t, string(text), `"expires_in":900`)
	})
}

// TestLifetime checks that a grant lasts for the requested number of whole
// seconds, from the second in which it was signed.
func TestLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(500 * time.Millisecond)
		signer := newSigner(t, with(func(p *presign.Policy) { p.Lifetime = 7 * 24 * time.Hour }))
		for requested, want := range map[time.Duration]time.Duration{
			0: 7 * 24 * time.Hour, time.Second: time.Second,
			90*time.Second + 999*time.Millisecond: 90 * time.Second,
			7 * 24 * time.Hour:                    7 * 24 * time.Hour,
		} {
			upload := presign.Upload{Filename: "a.png", Size: 10, Lifetime: requested}
			put, err := signer.Put(context.Background(), upload)
			require.NoError(t, err)
			require.Equal(t, "20000101T000000Z", query(t, put).Get("X-Amz-Date"))
			require.Equal(t, time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(want), put.Expires)
			lifetime, err := time.ParseDuration(query(t, put).Get("X-Amz-Expires") + "s")
			require.NoError(t, err)
			require.Equal(t, want, lifetime)

			form, err := signer.Post(context.Background(), upload)
			require.NoError(t, err)
			require.Equal(t, put.Expires, form.Expires)
			require.Equal(t, "20000101T000000Z", form.Fields["x-amz-date"])
			document, err := base64.StdEncoding.DecodeString(form.Fields["policy"])
			require.NoError(t, err)
			require.Contains(t, string(document),
				`"expiration":"`+form.Expires.UTC().Format("2006-01-02T15:04:05.000Z")+`"}`)
		}
	})
}
