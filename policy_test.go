package presign_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
)

func newClient(optFns ...func(*s3.Options)) *s3.Client {
	return s3.New(s3.Options{
		Region:      "eu-central-1",
		Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""),
	}, optFns...)
}

// images is a policy as most services have one.
func images() presign.Policy {
	return presign.Policy{Prefix: "uploads/", Types: []string{"image/*", "application/pdf"}, MinSize: 10, MaxSize: 1000}
}

func newSigner(t *testing.T, policy presign.Policy, opts ...presign.SignerOption) *presign.Signer {
	t.Helper()
	signer, err := presign.NewSigner(newClient(), "bucket", policy, opts...)
	require.NoError(t, err)
	return signer
}

func with(change func(*presign.Policy)) presign.Policy {
	p := images()
	change(&p)
	return p
}

// violations returns "field detail" for each violation that err joins, and fails on any other error.
func violations(t *testing.T, err error) []string {
	t.Helper()
	_ = told(t, err)
	var found []string
	var visit func(error)
	visit = func(err error) {
		switch e := err.(type) {
		case *presign.Violation:
			require.Equal(t, "presign: "+e.Field+" "+e.Detail, e.Error())
			found = append(found, e.Field+" "+e.Detail)
		case interface{ Unwrap() []error }:
			for _, err := range e.Unwrap() {
				visit(err)
			}
		case interface{ Unwrap() error }:
			visit(e.Unwrap())
		default:
			t.Fatalf("not a violation: %v", err)
		}
	}
	visit(err)
	return found
}

func TestPolicyRefused(t *testing.T) {
	for want, change := range map[string]func(*presign.Policy){
		`Prefix is ""; it is required and ends in "/"`:        func(p *presign.Policy) { p.Prefix = "" },
		`Prefix is "uploads"; it is required and ends in "/"`: func(p *presign.Policy) { p.Prefix = "uploads" },
		`Prefix is "/a/"; it does not begin with a slash`:     func(p *presign.Policy) { p.Prefix = "/a/" },
		`Prefix is "/"; it does not begin with a slash`:       func(p *presign.Policy) { p.Prefix = "/" },
		`Prefix is "a//"; it has no doubled slash`:            func(p *presign.Policy) { p.Prefix = "a//" },
		`Prefix is "a/../"; it has no dot segment`:            func(p *presign.Policy) { p.Prefix = "a/../" },
		`Prefix is "./"; it has no dot segment`:               func(p *presign.Policy) { p.Prefix = "./" },
		`Prefix is "a\\b/"; it has no control`:                func(p *presign.Policy) { p.Prefix = `a\b/` },
		`Prefix is "a\n/"; it has no control`:                 func(p *presign.Policy) { p.Prefix = "a\n/" },
		`Prefix is not valid UTF-8`:                           func(p *presign.Policy) { p.Prefix = "\xff/" },
		`Prefix has 1025 bytes; S3 takes 1024`:                func(p *presign.Policy) { p.Prefix = strings.Repeat("a", 1024) + "/" },
		`Prefix is "${filename}/"; a dollar sign`:             func(p *presign.Policy) { p.Prefix = "${filename}/" },
		`Types is empty`:                                      func(p *presign.Policy) { p.Types = nil },
		`Types has "*/png"`:                                   func(p *presign.Policy) { p.Types = []string{"*/png"} },
		`Types has ""`:                                        func(p *presign.Policy) { p.Types = []string{"image/png", ""} },
		`Types has "application/unknown"`:                     func(p *presign.Policy) { p.Types = []string{"application/unknown"} },
		`MinSize is -1 bytes`:                                 func(p *presign.Policy) { p.MinSize = -1 },
		`MaxSize is 0 bytes; it is required`:                  func(p *presign.Policy) { p.MaxSize = 0 },
		`MaxSize is -5 bytes; it is required`:                 func(p *presign.Policy) { p.MaxSize = -5 },
		`MaxSize is 9 bytes, less than MinSize, 10`:           func(p *presign.Policy) { p.MaxSize = 9 },
		`MaxSize is 53687091200001 bytes; S3 stores at most`:  func(p *presign.Policy) { p.MaxSize = 10_000*(5<<30) + 1 },
		`Lifetime is -1s; it is between 1s and 7 days`:        func(p *presign.Policy) { p.Lifetime = -time.Second },
		`Lifetime is 999ms; it is between 1s and 7 days`:      func(p *presign.Policy) { p.Lifetime = 999 * time.Millisecond },
		`Lifetime is 168h0m0.000000001s`:                      func(p *presign.Policy) { p.Lifetime = 7*24*time.Hour + 1 },
		`Checksum is "sha256"; S3 has CRC32, `:                func(p *presign.Policy) { p.Checksum = "sha256" },
		`Metadata has "a b"`:                                  func(p *presign.Policy) { p.Metadata = []string{"a b"} },
		`Metadata has ""`:                                     func(p *presign.Policy) { p.Metadata = []string{""} },
		`Metadata has "x-amz-meta-a"; leave out x-amz-meta-`:  func(p *presign.Policy) { p.Metadata = []string{"x-amz-meta-a"} },
		`Metadata has "Presign", which is taken`:              func(p *presign.Policy) { p.Metadata = []string{"Presign"} },
		`Metadata has "A" twice`:                              func(p *presign.Policy) { p.Metadata = []string{"a", "A"} },
		`Headers has "Host": it is not a header`:              func(p *presign.Policy) { p.Headers = map[string]string{"Host": "a"} },
		`Headers has "x-amz-copy-source": it is not a header`: func(p *presign.Policy) { p.Headers = map[string]string{"x-amz-copy-source": "a"} },
		`Headers has "X-Amz-Meta-A": it is not a header`:      func(p *presign.Policy) { p.Headers = map[string]string{"X-Amz-Meta-A": "a"} },
		`Headers has "cache-control": it is there in another`: func(p *presign.Policy) { p.Headers = map[string]string{"Cache-Control": "a", "cache-control": "b"} },
		`Headers has "Expires": its value is not printable`:   func(p *presign.Policy) { p.Headers = map[string]string{"Expires": "a\r\nb"} },
		`Headers has "Cache-Control": its value is not print`: func(p *presign.Policy) { p.Headers = map[string]string{"Cache-Control": ""} },
		`Headers has "Content-Disposition": its value is "in`: func(p *presign.Policy) { p.Headers = map[string]string{"Content-Disposition": `inline; filename="a"`} },
		`Headers has "x-amz-tagging": it has the tag "a" 2`:   func(p *presign.Policy) { p.Headers = map[string]string{"x-amz-tagging": "a=1&a=2"} },
	} {
		_, err := presign.NewSigner(newClient(), "bucket", with(change))
		require.ErrorContains(t, err, "presign: Policy."+want)
	}
}

// TestPolicyReportsAllFaults: the zero Policy has three, and they come at once, each with the package's name.
func TestPolicyReportsAllFaults(t *testing.T) {
	_, err := presign.NewSigner(nil, "", presign.Policy{})
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 4)
	for _, line := range lines {
		require.True(t, strings.HasPrefix(line, "presign: "), line)
	}
	for _, want := range []string{"client is nil", "Policy.Prefix", "Policy.Types", "Policy.MaxSize"} {
		require.ErrorContains(t, err, want)
	}
}

// TestPolicyIsCopied: what the caller does to the policy afterwards changes nothing.
func TestPolicyIsCopied(t *testing.T) {
	p := with(func(p *presign.Policy) {
		p.Metadata, p.Headers = []string{"Color"}, map[string]string{"Cache-Control": "no-store"}
	})
	signer := newSigner(t, p)
	require.Equal(t, "Color", p.Metadata[0], "nor does NewSigner change the caller's")
	p.Types[0], p.Metadata[0], p.Headers["Cache-Control"] = "text/plain", "size", "public"
	grant, err := signer.Put(context.Background(), presign.Upload{Filename: "a.png", Size: 10, Metadata: map[string]string{"color": "red"}})
	require.NoError(t, err)
	require.Equal(t, "no-store", grant.Headers["Cache-Control"])
}

// TestShape: literals have to name their fields, and policies and grants cannot be compared, so that fields can be
// added; what is immutable shows no field.
func TestShape(t *testing.T) {
	require.False(t, reflect.TypeFor[presign.Policy]().Comparable())
	require.False(t, reflect.TypeFor[presign.Upload]().Comparable())
	require.False(t, reflect.TypeFor[presign.Grant]().Comparable())
	for _, opaque := range []reflect.Type{reflect.TypeFor[presign.Signer](), reflect.TypeFor[presign.Handler]()} {
		for i := range opaque.NumField() {
			require.False(t, opaque.Field(i).IsExported() || opaque.Field(i).Anonymous, "%v.%s could be changed", opaque, opaque.Field(i).Name)
		}
	}
	_, named := reflect.TypeFor[presign.Policy]().FieldByName("_")
	require.True(t, named, "an unkeyed Policy would compile")
}

// TestMetadataInLowerCase: S3 keeps names so, and the caller's map stays as it is.
func TestMetadataInLowerCase(t *testing.T) {
	signer := newSigner(t, with(func(p *presign.Policy) { p.Metadata = []string{"color", "shape"} }))
	sent := map[string]string{"Color": "red", "shape": "round"}
	put, err := signer.Put(t.Context(), presign.Upload{Filename: "a.png", Size: 10, Metadata: sent})
	require.NoError(t, err)
	require.Equal(t, "red", put.Headers["x-amz-meta-color"])
	require.Equal(t, "round", put.Headers["x-amz-meta-shape"])
	require.NotContains(t, put.Headers, "x-amz-meta-Color")
	require.Equal(t, map[string]string{"Color": "red", "shape": "round"}, sent)
}

func TestUploadRefused(t *testing.T) {
	policy := with(func(p *presign.Policy) {
		p.Metadata, p.Lifetime, p.Replace = []string{"color", "b"}, time.Hour, true
	})
	signer := newSigner(t, policy)
	type upload = presign.Upload
	for _, c := range []struct {
		upload presign.Upload
		want   []string
	}{
		{upload{}, []string{"filename is required"}},
		{upload{Filename: "../a.png"}, []string{"filename contains a path separator '/'"}},
		{upload{Filename: "a\x00.png"}, []string{"filename contains the control character U+0000"}},
		{upload{Filename: "gpj.\u202eexe"}, []string{"filename contains the bidirectional control character U+202E"}},
		{upload{Filename: "a\xff.png"}, []string{"filename is not valid UTF-8"}},
		{upload{Filename: strings.Repeat("a", 252) + ".png"}, []string{"filename has 256 bytes; at most 255 are taken"}},

		{upload{Filename: "a"}, []string{`type is "application/octet-stream"; allowed: image/*, application/pdf`}},
		{upload{Filename: "a.html"}, []string{`type is "text/html"; allowed: image/*, application/pdf`}},
		{upload{Filename: "a.svg", Type: "image/svg+xml"}, []string{`type is "image/svg+xml"; allowed: image/*, application/pdf`}},
		{upload{Filename: "a.png", Type: "text/html"}, []string{`type is "text/html", but the file's name says "image/png"`}},
		{upload{Filename: "a.html", Type: "image/png"}, []string{`type is "image/png", but the file's name says "text/html"`}},
		{upload{Filename: "a.html. .", Type: "image/png"}, []string{`type is "image/png", but the file's name says "text/html"`}},
		{upload{Filename: "a.png.html", Type: "image/png"}, []string{`type is "image/png", but the file's name says "text/html"`}},
		{upload{Filename: "a", Type: "image/jpegz;text/html"}, []string{`type "image/jpegz;text/html" has a parameter that is not name=value`}},
		{upload{Filename: "a", Type: "image/png,text/html"}, []string{`type "image/png,text/html" is a list: name one media type`}},
		{upload{Filename: "a", Type: "image/*"}, []string{`type "image/*" is a pattern: name one media type`}},
		{upload{Filename: "a", Type: "image"}, []string{`type "image" is not a media type: write one as type/subtype`}},
		{upload{Filename: "a", Type: "unknown/unknown"}, []string{`type is "unknown/unknown", which is never granted`}},

		{upload{Filename: "a.png", Size: 9}, []string{"size is 9 bytes; at least 10 are required"}},
		{upload{Filename: "a.png", Size: 1001}, []string{"size is 1001 bytes; at most 1000 are allowed"}},
		{upload{Filename: "a.png", Size: -1}, []string{"size is -1 bytes; at least 10 are required"}},
		{upload{Filename: "a.png", MinSize: 9}, []string{"min_size is 9 bytes; at least 10 are required"}},
		{upload{Filename: "a.png", MinSize: -1}, []string{"min_size is -1 bytes; at least 10 are required"}},
		{upload{Filename: "a.png", MinSize: 1001}, []string{"min_size is 1001 bytes; at most 1000 are allowed"}},
		{upload{Filename: "a.png", MaxSize: 1001}, []string{"max_size is 1001 bytes; at most 1000 are allowed"}},
		{upload{Filename: "a.png", MaxSize: -1}, []string{"max_size is -1 bytes; at most 1000 are allowed"}},
		{upload{Filename: "a.png", MaxSize: 5}, []string{"min_size is 10 bytes; at most 5 are allowed"}},
		{upload{Filename: "a.png", MinSize: 20, MaxSize: 19}, []string{"min_size is 20 bytes; at most 19 are allowed"}},
		{upload{Filename: "a.png", MaxSize: 20, Size: 21}, []string{"size is 21 bytes; at most 20 are allowed"}},
		{upload{Filename: "a.png", MinSize: 20, Size: 19}, []string{"size is 19 bytes; at least 20 are required"}},

		{upload{Filename: "a.png", Lifetime: time.Hour + 1}, []string{"expires_in is 3600.000000001 seconds; it is between 1 and 3600"}},
		{upload{Filename: "a.png", Lifetime: -1}, []string{"expires_in is -1e-09 seconds; it is between 1 and 3600"}},
		{upload{Filename: "a.png", Lifetime: time.Second - 1}, []string{"expires_in is 0.999999999 seconds; it is between 1 and 3600"}},
		{upload{Filename: "a.png", Checksum: "AAAAAA=="}, []string{"checksum is not taken here"}},

		{upload{Filename: "a.png", Metadata: map[string]string{"colour": "red"}}, []string{"metadata[colour] is not among the names that are taken"}},
		{upload{Filename: "a.png", Metadata: map[string]string{"presign": "x"}}, []string{"metadata[presign] is not among the names that are taken"}},
		{upload{Filename: "a.png", Metadata: map[string]string{"a\r\nb": "x"}}, []string{`metadata[a\r\nb] is not among the names that are taken`}},
		{upload{Filename: "a.png", Metadata: map[string]string{"color": ""}}, []string{"metadata[color] is not printable ASCII without outer spaces; leave it out if it is empty"}},
		{upload{Filename: "a.png", Metadata: map[string]string{"color": " red", "b": "é"}}, []string{
			"metadata[b] is not printable ASCII without outer spaces; leave it out if it is empty",
			"metadata[color] is not printable ASCII without outer spaces; leave it out if it is empty"}},
		{upload{Filename: "a.png", Metadata: map[string]string{"color": "red\r\nx-amz-acl: public-read"}}, []string{"metadata[color] is not printable ASCII without outer spaces; leave it out if it is empty"}},
		{upload{Filename: "a.png", Metadata: map[string]string{"color": "red", "Color": "blue"}}, []string{"metadata[Color] is there in another letter case, too"}},
		{upload{Filename: "a.png", Metadata: map[string]string{"COLOR": "red", "Color": "blue"}}, []string{"metadata[Color] is there in another letter case, too"}},
		{upload{Filename: "a.png", Metadata: map[string]string{"color": strings.Repeat("x", 2044)}}, []string{"metadata has 2049 bytes; at most 2048 are taken"}},

		{upload{Filename: "a.png", Metadata: many(21)}, []string{"metadata has 21 names; at most 20 are taken"}},

		{upload{Filename: "a.png", Key: "uploads/a\u202eb"}, []string{`key is "uploads/a\u202eb"; it has no control character and no backslash`}},
		{upload{Filename: "a.png", Key: "uploads/a\u0085"}, []string{`key is "uploads/a\u0085"; it has no control character and no backslash`}},
		{upload{Filename: "a.png", Key: "uploads/a\x7f"}, []string{`key is "uploads/a\x7f"; it has no control character and no backslash`}},
		{upload{Filename: "a.png", Key: "other/a.png"}, []string{`key is "other/a.png"; it begins with "uploads/"`}},
		{upload{Filename: "a.png", Key: "uploads"}, []string{`key is "uploads"; it begins with "uploads/"`}},
		{upload{Filename: "a.png", Key: "uploads/../a.png"}, []string{`key is "uploads/../a.png"; it has no dot segment`}},
		{upload{Filename: "a.png", Key: "uploads//"}, []string{`key is "uploads//"; it has no doubled slash`}},
		{upload{Key: "uploads/u1/"}, []string{"filename is required"}},
		{upload{Key: "uploads//a.png"}, []string{`key is "uploads//a.png"; it has no doubled slash`}},
		{upload{Filename: "a.png", Key: "uploads/" + strings.Repeat("k", 1000) + "/"}, []string{"key makes a key of 1041 bytes; S3 takes 1024"}},
		{upload{Filename: "abcdef.png", Key: "uploads/" + strings.Repeat("k", 980) + "/"}, []string{"filename makes a key of 1026 bytes; S3 takes 1024"}},
		{upload{Filename: "a.png", Owner: strings.Repeat("o", 129)}, []string{"owner has 129 bytes; at most 128 are taken"}},
		{upload{Filename: "a.png", Redirect: "/done"}, []string{"redirect is not an absolute URL of https or http, which S3 would ignore"}},
		{upload{Filename: "a.png", Redirect: "javascript:alert(1)"}, []string{"redirect is not an absolute URL of https or http, which S3 would ignore"}},
		{upload{Filename: "a.png", Redirect: "https://a.example/é"}, []string{"redirect has a dollar sign or a character that is not printable ASCII; escape it"}},
		{upload{Filename: "a.png", Redirect: "https://a.example/${filename}"}, []string{"redirect has a dollar sign or a character that is not printable ASCII; escape it"}},

		{upload{Filename: "a/b.exe", Type: "x", Size: 5, Lifetime: 2 * time.Hour, Checksum: "x"}, []string{
			"filename contains a path separator '/'", "size is 5 bytes; at least 10 are required",
			"expires_in is 7200 seconds; it is between 1 and 3600", "checksum is not taken here"}},
	} {
		grant, err := signer.Post(context.Background(), c.upload)
		require.Nil(t, grant, "%+v", c.upload)
		for i, want := range c.want {
			require.Contains(t, violations(t, err)[i], want)
		}
		require.Len(t, violations(t, err), len(c.want), "%v", err)

		if c.upload.Size == 0 {
			c.upload.Size = 500 // which a PUT needs
		}
		_, err = signer.Put(context.Background(), c.upload)
		require.Error(t, err, "%+v", c.upload)
	}
}

func many(n int) map[string]string {
	metadata := make(map[string]string, n)
	for i := range n {
		metadata[fmt.Sprint("name", i)] = "x"
	}
	return metadata
}

// TestChecksum: a policy that names an algorithm requires a digest of that algorithm in its one spelling.
func TestChecksum(t *testing.T) {
	for algorithm, digest := range map[types.ChecksumAlgorithm]string{
		types.ChecksumAlgorithmCrc32:     "NhCmhg==",
		types.ChecksumAlgorithmCrc32c:    "NhCmhg==",
		types.ChecksumAlgorithmCrc64nvme: "i+6LR0y3eFo=",
		types.ChecksumAlgorithmSha1:      "qvTGHdzF6KLavt4PO0gs2a6pQ00=",
		types.ChecksumAlgorithmSha256:    "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
		types.ChecksumAlgorithmMd5:       "XUFAKrxLKna5cZ2REBfFkg==",
	} {
		signer := newSigner(t, with(func(p *presign.Policy) { p.Checksum = algorithm }))
		upload := presign.Upload{Filename: "a.png", Size: 10, Checksum: digest}
		grant, err := signer.Put(context.Background(), upload)
		require.NoError(t, err)
		require.Equal(t, digest, grant.Headers["x-amz-checksum-"+strings.ToLower(string(algorithm))])

		for _, wrong := range []string{"", "AAAA", digest[:len(digest)-1], digest + "\n", "\r" + digest, digest + digest, "%%%", strings.Repeat("A", 88)} {
			upload.Checksum = wrong
			_, err := signer.Put(context.Background(), upload)
			require.Contains(t, violations(t, err)[0], fmt.Sprintf("checksum is required: the file's %s digest", algorithm), "%q", wrong)
		}
	}
	// The same bytes in another spelling: the last character has bits to spare.
	signer := newSigner(t, with(func(p *presign.Policy) { p.Checksum = types.ChecksumAlgorithmCrc32 }))
	_, err := signer.Put(context.Background(), presign.Upload{Filename: "a.png", Size: 10, Checksum: "NhCmhh=="})
	require.Len(t, violations(t, err), 1)
}

// TestTypes: what one format is called differs by system; what is granted is what the policy names.
func TestTypes(t *testing.T) {
	for _, c := range []struct {
		types               []string
		name, declared, got string
	}{
		{[]string{"image/*"}, "a.PNG", "", "image/png"},
		{[]string{"image/*"}, "a.png", "application/octet-stream", "image/png"},
		{[]string{"image/*"}, "a.png", "Image/PNG; charset=x", "image/png"},
		{[]string{"image/*"}, "a", "image/png", "image/png"},
		{[]string{"image/*"}, "a.unheard-of", "image/png", "image/png"},
		{[]string{"image/jpeg"}, "a.jpg", "image/jpg", "image/jpeg"},
		{[]string{"image/jpeg"}, "a.unheard-of", "image/pjpeg", "image/jpeg"},
		{[]string{"application/zip"}, "a.zip", "application/x-zip-compressed", "application/zip"},
		{[]string{"text/csv"}, "a.csv", "application/vnd.ms-excel", "text/csv"},
		{[]string{"application/x-zip-compressed"}, "a.zip", "", "application/x-zip-compressed"},
		{[]string{"*/*"}, "a", "", "application/octet-stream"},
		{[]string{"*/*"}, "a.unheard-of", "", "application/octet-stream"},
		{[]string{"application/octet-stream"}, "a.png", "", "application/octet-stream"},
		{[]string{"application/octet-stream"}, "a.html", "application/octet-stream", "application/octet-stream"},
		{[]string{"binary/octet-stream"}, "a.png", "", "binary/octet-stream"},
		{[]string{"binary/octet-stream"}, "a.png", "binary/octet-stream", "binary/octet-stream"},
		{[]string{"image/*"}, "a.png", "binary/octet-stream", "image/png"},
		{[]string{"image/jpg", "image/jpeg"}, "a.jpg", "image/jpeg", "image/jpeg"},
		{[]string{"text/html", "*/*"}, "a.html", "", "text/html"},
		{[]string{"image/svg+xml"}, "a.svg", "", "image/svg+xml"},
		{[]string{"IMAGE/PNG"}, "a.png", "", "image/png"},
	} {
		signer := newSigner(t, with(func(p *presign.Policy) { p.Types = c.types }))
		grant, err := signer.Put(context.Background(), presign.Upload{Filename: c.name, Type: c.declared, Size: 10})
		require.NoError(t, err, "%+v", c)
		require.Equal(t, c.got, grant.Headers["Content-Type"], "%+v", c)
	}
	for _, c := range []struct{ pattern, name, declared string }{
		{"*/*", "a.html", ""}, {"*/*", "a.svg", "image/svg+xml"}, {"image/*", "a.svg", ""}, {"text/*", "a.js", ""},
		{"application/*", "a.xml", ""}, {"*/*", "a", "multipart/mixed"}, {"*/*", "a", "application/atom+xml"},
		{"*/*", "a.html", "application/octet-stream"},
	} {
		signer := newSigner(t, with(func(p *presign.Policy) { p.Types = []string{c.pattern} }))
		_, err := signer.Put(context.Background(), presign.Upload{Filename: c.name, Type: c.declared, Size: 10})
		require.Len(t, violations(t, err), 1, "active types are never admitted by a wildcard: %+v", c)
	}
}

func TestViolations(t *testing.T) {
	one, two := &presign.Violation{Field: "a", Detail: "b"}, &presign.Violation{Field: "c", Detail: "d"}
	require.Equal(t, []presign.Violation{*one, *two}, presign.Violations(fmt.Errorf("wrapped: %w", errors.Join(one, errors.New("else"), errors.Join(two)))))
	require.Empty(t, presign.Violations(errors.New("else")))
	require.Empty(t, presign.Violations(nil))
}

func TestViolationIsTyped(t *testing.T) {
	_, err := newSigner(t, images()).Put(context.Background(), presign.Upload{Filename: "a.png"})
	v := new(presign.Violation)
	require.True(t, errors.As(err, &v))
	text, err := json.Marshal(v)
	require.NoError(t, err)
	require.JSONEq(t, `{"field": "size", "detail": "is required for a PUT"}`, string(text))
}
