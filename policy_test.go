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
		Region: "eu-central-1",
		Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE",
			"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""),
	}, optFns...)
}

// images returns a typical policy.
func images() presign.Policy {
	return presign.Policy{
		Prefix: "uploads/", Types: []string{"image/*", "application/pdf"},
		MinSize: 10, MaxSize: 1000,
	}
}

func newSigner(t *testing.T, policy presign.Policy, opts ...presign.SignerOption) *presign.Signer {
	t.Helper()
	signer, err := presign.NewSigner(newClient(), "bucket", policy, opts...)
	require.NoError(t, err)
	return signer
}

// with returns images with a change.
func with(change func(*presign.Policy)) presign.Policy {
	p := images()
	change(&p)
	return p
}

// violations returns "field code detail" for each violation that err joins. It
// fails on any other error.
func violations(t *testing.T, err error) []string {
	t.Helper()
	_ = searchError(t, err)
	var found []string
	var visit func(error)
	visit = func(err error) {
		switch e := err.(type) {
		case *presign.Violation:
			require.Equal(t, "presign: "+e.Field+" "+e.Detail, e.Error())
			require.NotEmpty(t, e.Code, e)
			found = append(found, e.Field+" "+e.Code+" "+e.Detail)
		case interface{ Unwrap() []error }:
			for _, err := range e.Unwrap() {
				visit(err)
			}
		case interface{ Unwrap() error }:
			visit(e.Unwrap())
		default:
			t.Fatalf("the error must join only violations, got %v", err)
		}
	}
	visit(err)
	return found
}

func TestPolicyRejected(t *testing.T) {
	for want, change := range map[string]func(*presign.Policy){
		`Prefix must not be empty; set it to a prefix that ends in "/"`:                                   func(p *presign.Policy) { p.Prefix = "" },
		`Prefix must end in "/", got "uploads"`:                                                           func(p *presign.Policy) { p.Prefix = "uploads" },
		`Prefix must not start with "/", got "/a/"`:                                                       func(p *presign.Policy) { p.Prefix = "/a/" },
		`Prefix must not start with "/", got "/"`:                                                         func(p *presign.Policy) { p.Prefix = "/" },
		`Prefix must not contain "//", got "a//"`:                                                         func(p *presign.Policy) { p.Prefix = "a//" },
		`Prefix must not contain the segment "..", got "a/../"`:                                           func(p *presign.Policy) { p.Prefix = "a/../" },
		`Prefix must not contain the segment ".", got "./"`:                                               func(p *presign.Policy) { p.Prefix = "./" },
		`Prefix must not contain a control character or a backslash, got "a\\b/"`:                         func(p *presign.Policy) { p.Prefix = `a\b/` },
		`Prefix must not contain a control character or a backslash, got "a\n/"`:                          func(p *presign.Policy) { p.Prefix = "a\n/" },
		`Prefix must be valid UTF-8`:                                                                      func(p *presign.Policy) { p.Prefix = "\xff/" },
		`Prefix must have at most 1024 bytes, got 1025`:                                                   func(p *presign.Policy) { p.Prefix = strings.Repeat("a", 1024) + "/" },
		`Prefix must not contain "$", which POST policies interpret, got "${filename}/"`:                  func(p *presign.Policy) { p.Prefix = "${filename}/" },
		`Types must name the types that may be uploaded`:                                                  func(p *presign.Policy) { p.Types = nil },
		`Types must hold media types, got "*/png"`:                                                        func(p *presign.Policy) { p.Types = []string{"*/png"} },
		`Types must hold media types, got ""`:                                                             func(p *presign.Policy) { p.Types = []string{"image/png", ""} },
		`Types must hold media types, got "application/unknown"`:                                          func(p *presign.Policy) { p.Types = []string{"application/unknown"} },
		`MinSize must not be negative, got -1`:                                                            func(p *presign.Policy) { p.MinSize = -1 },
		`MaxSize must be at least 1 byte, got 0`:                                                          func(p *presign.Policy) { p.MaxSize = 0 },
		`MaxSize must be at least 1 byte, got -5`:                                                         func(p *presign.Policy) { p.MaxSize = -5 },
		`MaxSize must not be less than MinSize, 10, got 9`:                                                func(p *presign.Policy) { p.MaxSize = 9 },
		`MaxSize must be at most 53687091200000 bytes, the largest object of S3, got 53687091200001`:      func(p *presign.Policy) { p.MaxSize = 10_000*(5<<30) + 1 },
		`Lifetime must be between 1s and 168h0m0s (7 days), got -1s`:                                      func(p *presign.Policy) { p.Lifetime = -time.Second },
		`Lifetime must be between 1s and 168h0m0s (7 days), got 999ms`:                                    func(p *presign.Policy) { p.Lifetime = 999 * time.Millisecond },
		`Lifetime must be between 1s and 168h0m0s (7 days), got 168h0m0.000000001s`:                       func(p *presign.Policy) { p.Lifetime = 7*24*time.Hour + 1 },
		`Checksum must be one of CRC32, `:                                                                 func(p *presign.Policy) { p.Checksum = "sha256" },
		`Metadata must hold names of letters, digits, "-", "_" and ".", got "a b"`:                        func(p *presign.Policy) { p.Metadata = []string{"a b"} },
		`Metadata must hold names of letters, digits, "-", "_" and ".", got ""`:                           func(p *presign.Policy) { p.Metadata = []string{""} },
		`Metadata must hold names without x-amz-meta-, got "x-amz-meta-a"`:                                func(p *presign.Policy) { p.Metadata = []string{"x-amz-meta-a"} },
		`Metadata must not hold "Presign", the name of the stamp`:                                         func(p *presign.Policy) { p.Metadata = []string{"Presign"} },
		`Metadata must hold each name once, got "A" twice`:                                                func(p *presign.Policy) { p.Metadata = []string{"a", "A"} },
		`Headers must not hold "Host": a service can set only `:                                           func(p *presign.Policy) { p.Headers = map[string]string{"Host": "a"} },
		`Headers must not hold "x-amz-copy-source": a service can set only `:                              func(p *presign.Policy) { p.Headers = map[string]string{"x-amz-copy-source": "a"} },
		`Headers must not hold "X-Amz-Meta-A": a service can set only `:                                   func(p *presign.Policy) { p.Headers = map[string]string{"X-Amz-Meta-A": "a"} },
		`Headers must not hold "cache-control": it must appear once, whatever its letter case`:            func(p *presign.Policy) { p.Headers = map[string]string{"Cache-Control": "a", "cache-control": "b"} },
		`Headers must not hold "Expires": its value must be printable ASCII`:                              func(p *presign.Policy) { p.Headers = map[string]string{"Expires": "a\r\nb"} },
		`Headers must not hold "Cache-Control": its value must be printable ASCII`:                        func(p *presign.Policy) { p.Headers = map[string]string{"Cache-Control": ""} },
		`Headers must not hold "Content-Disposition": its value must be "attachment" or "inline"`:         func(p *presign.Policy) { p.Headers = map[string]string{"Content-Disposition": `inline; filename="a"`} },
		`Headers must not hold "x-amz-storage-class": objects of the storage class DEEP_ARCHIVE`:          func(p *presign.Policy) { p.Headers = map[string]string{"x-amz-storage-class": "DEEP_ARCHIVE"} },
		`Headers must not hold "x-amz-storage-class": objects of the storage class GLACIER`:               func(p *presign.Policy) { p.Headers = map[string]string{"x-amz-storage-class": "GLACIER"} },
		`Headers must not hold "x-amz-tagging": each tag must have a name and one value, got "a" 2 times`: func(p *presign.Policy) { p.Headers = map[string]string{"x-amz-tagging": "a=1&a=2"} },
	} {
		_, err := presign.NewSigner(newClient(), "bucket", with(change))
		require.ErrorContains(t, err, "presign: Policy."+want)
	}
}

// TestPolicyReportsAllFaults checks that a nil client and the three faults of
// the zero Policy are returned at once, each with the prefix of the package.
func TestPolicyReportsAllFaults(t *testing.T) {
	_, err := presign.NewSigner(nil, "", presign.Policy{})
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 4)
	for _, line := range lines {
		require.True(t, strings.HasPrefix(line, "presign: "), line)
	}
	for _, want := range []string{
		"the client must not be nil", "Policy.Prefix", "Policy.Types", "Policy.MaxSize",
	} {
		require.ErrorContains(t, err, want)
	}
}

// TestPolicyIsCopied checks that later changes of the Policy by the caller have
// no effect.
func TestPolicyIsCopied(t *testing.T) {
	p := with(func(p *presign.Policy) {
		p.Metadata, p.Headers = []string{"Color"}, map[string]string{"Cache-Control": "no-store"}
	})
	signer := newSigner(t, p)
	require.Equal(t, "Color", p.Metadata[0], "NewSigner must not change the caller's Policy")
	p.Types[0], p.Metadata[0], p.Headers["Cache-Control"] = "text/plain", "size", "public"
	grant, err := signer.Put(context.Background(),
		presign.Upload{Filename: "a.png", Size: 10, Metadata: map[string]string{"color": "red"}})
	require.NoError(t, err)
	require.Equal(t, "no-store", grant.Headers["Cache-Control"])
}

// TestShape checks that literals of Policy must name their fields, that
// policies, uploads and grants cannot be compared, and that immutable types
// export no field. Fields of any type can then be added later.
func TestShape(t *testing.T) {
	require.False(t, reflect.TypeFor[presign.Policy]().Comparable())
	require.False(t, reflect.TypeFor[presign.Upload]().Comparable())
	require.False(t, reflect.TypeFor[presign.Grant]().Comparable())
	for _, opaque := range []reflect.Type{
		reflect.TypeFor[presign.Signer](), reflect.TypeFor[presign.Handler](),
	} {
		for i := range opaque.NumField() {
			field := opaque.Field(i)
			require.False(t, field.IsExported() || field.Anonymous,
				"%v.%s must not be exported", opaque, field.Name)
		}
	}
	_, named := reflect.TypeFor[presign.Policy]().FieldByName("_")
	require.True(t, named, "an unkeyed literal of Policy must not compile")
}

// TestMetadataInLowerCase checks that metadata has lower-case names, as in S3,
// and that the caller's map does not change.
func TestMetadataInLowerCase(t *testing.T) {
	policy := with(func(p *presign.Policy) { p.Metadata = []string{"color", "shape"} })
	signer := newSigner(t, policy)
	sent := map[string]string{"Color": "red", "shape": "round"}
	put, err := signer.Put(t.Context(), presign.Upload{Filename: "a.png", Size: 10, Metadata: sent})
	require.NoError(t, err)
	require.Equal(t, "red", put.Headers["x-amz-meta-color"])
	require.Equal(t, "round", put.Headers["x-amz-meta-shape"])
	require.NotContains(t, put.Headers, "x-amz-meta-Color")
	require.Equal(t, map[string]string{"Color": "red", "shape": "round"}, sent)
}

func TestUploadRejected(t *testing.T) {
	policy := with(func(p *presign.Policy) {
		p.Metadata, p.Lifetime, p.Replace = []string{"color", "b"}, time.Hour, true
	})
	signer := newSigner(t, policy)
	type upload = presign.Upload
	for _, c := range []struct {
		upload presign.Upload
		want   []string
	}{
		{upload{}, []string{"filename required must not be empty"}},
		{upload{Filename: "../a.png"}, []string{"filename invalid must be a name without a path, got the separator '/'"}},
		{upload{Filename: "a\x00.png"}, []string{"filename invalid must not contain control characters, got U+0000"}},
		{upload{Filename: "gpj.\u202eexe"}, []string{"filename invalid must not contain characters that change the direction of writing, got U+202E"}},
		{upload{Filename: "a\xff.png"}, []string{"filename invalid must be valid UTF-8"}},
		{upload{Filename: strings.Repeat("a", 252) + ".png"}, []string{"filename too_large must have at most 255 UTF-16 units, got 256"}},

		{upload{Filename: "a"}, []string{`type not_allowed must be one of image/*, application/pdf, got "application/octet-stream"`}},
		{upload{Filename: "a.html"}, []string{`type not_allowed must be one of image/*, application/pdf, got "text/html"`}},
		{upload{Filename: "a.svg", Type: "image/svg+xml"}, []string{`type not_allowed must be one of image/*, application/pdf, got "image/svg+xml"`}},
		{upload{Filename: "a.png", Type: "text/html"}, []string{`type contradicts_name must match the file's name, whose type is "image/png", got "text/html"`}},
		{upload{Filename: "a.html", Type: "image/png"}, []string{`type contradicts_name must match the file's name, whose type is "text/html", got "image/png"`}},
		{upload{Filename: "a.html. .", Type: "image/png"}, []string{`type contradicts_name must match the file's name, whose type is "text/html", got "image/png"`}},
		{upload{Filename: "a.png.html", Type: "image/png"}, []string{`type contradicts_name must match the file's name, whose type is "text/html", got "image/png"`}},
		{upload{Filename: "a", Type: "image/jpegz;text/html"}, []string{`type invalid must be a media type whose parameters are name=value, got "image/jpegz;text/html"`}},
		{upload{Filename: "a", Type: "image/png,text/html"}, []string{`type invalid must be one media type, got the list "image/png,text/html"`}},
		{upload{Filename: "a", Type: "image/*"}, []string{`type invalid must be one media type, got the pattern "image/*"`}},
		{upload{Filename: "a", Type: "image"}, []string{`type invalid must be a media type such as image/png, got "image"`}},
		{upload{Filename: "a", Type: "unknown/unknown"}, []string{`type not_allowed must not be "unknown/unknown", which is never granted`}},

		{upload{Filename: "a.png", Size: 9}, []string{"size too_small must be at least 10 bytes, got 9"}},
		{upload{Filename: "a.png", Size: 1001}, []string{"size too_large must be at most 1000 bytes, got 1001"}},
		{upload{Filename: "a.png", Size: -1}, []string{"size too_small must be at least 10 bytes, got -1"}},
		{upload{Filename: "a.png", MinSize: 9}, []string{"min_size too_small must be at least 10 bytes, got 9"}},
		{upload{Filename: "a.png", MinSize: -1}, []string{"min_size too_small must be at least 10 bytes, got -1"}},
		{upload{Filename: "a.png", MinSize: 1001}, []string{"min_size too_large must be at most 1000 bytes, got 1001"}},
		{upload{Filename: "a.png", MaxSize: 1001}, []string{"max_size too_large must be at most 1000 bytes, got 1001"}},
		{upload{Filename: "a.png", MaxSize: -1}, []string{"max_size too_small must be at least 10 bytes, got -1"}},
		{upload{Filename: "a.png", MaxSize: 5}, []string{"min_size too_large must be at most 5 bytes, got 10"}},
		{upload{Filename: "a.png", MinSize: 20, MaxSize: 19}, []string{"min_size too_large must be at most 19 bytes, got 20"}},
		{upload{Filename: "a.png", MaxSize: 20, Size: 21}, []string{"size too_large must be at most 20 bytes, got 21"}},
		{upload{Filename: "a.png", MinSize: 20, Size: 19}, []string{"size too_small must be at least 20 bytes, got 19"}},

		{upload{Filename: "a.png", Lifetime: time.Hour + 1}, []string{"expires_in too_large must be between 1 and 3600 seconds, got 3600.000000001"}},
		{upload{Filename: "a.png", Lifetime: -1}, []string{"expires_in too_small must be between 1 and 3600 seconds, got -1e-09"}},
		{upload{Filename: "a.png", Lifetime: time.Second - 1}, []string{"expires_in too_small must be between 1 and 3600 seconds, got 0.999999999"}},
		{upload{Filename: "a.png", Checksum: "AAAAAA=="}, []string{"checksum not_allowed must not be set: the policy names no algorithm"}},

		{upload{Filename: "a.png", Metadata: map[string]string{"colour": "red"}}, []string{"metadata[colour] not_allowed must not be set: the policy does not list this name"}},
		{upload{Filename: "a.png", Metadata: map[string]string{"presign": "x"}}, []string{"metadata[presign] not_allowed must not be set: the policy does not list this name"}},
		{upload{Filename: "a.png", Metadata: map[string]string{"a\r\nb": "x"}}, []string{`metadata[a\r\nb] not_allowed must not be set: the policy does not list this name`}},
		{upload{Filename: "a.png", Metadata: map[string]string{"color": ""}}, []string{"metadata[color] invalid must be printable ASCII without outer spaces; leave it out if it is empty"}},
		{upload{Filename: "a.png", Metadata: map[string]string{"color": " red", "b": "é"}}, []string{
			"metadata[b] invalid must be printable ASCII without outer spaces; leave it out if it is empty",
			"metadata[color] invalid must be printable ASCII without outer spaces; leave it out if it is empty"}},
		{upload{Filename: "a.png", Metadata: map[string]string{"color": "red\r\nx-amz-acl: public-read"}}, []string{"metadata[color] invalid must be printable ASCII without outer spaces; leave it out if it is empty"}},
		{upload{Filename: "a.png", Metadata: map[string]string{"color": "red", "Color": "blue"}}, []string{"metadata[Color] invalid must appear once, whatever its letter case"}},
		{upload{Filename: "a.png", Metadata: map[string]string{"COLOR": "red", "Color": "blue"}}, []string{"metadata[Color] invalid must appear once, whatever its letter case"}},
		{upload{Filename: "a.png", Metadata: map[string]string{"color": strings.Repeat("x", 2044)}}, []string{"metadata too_large must have at most 2048 bytes, got 2049"}},

		{upload{Filename: "a.png", Metadata: many(21)}, []string{"metadata too_large must have at most 20 names, got 21"}},

		{upload{Filename: "a.png", Key: "uploads/a\u202eb"}, []string{`key invalid must not contain a control character or a backslash, got "uploads/a\u202eb"`}},
		{upload{Filename: "a.png", Key: "uploads/a\u0085"}, []string{`key invalid must not contain a control character or a backslash, got "uploads/a\u0085"`}},
		{upload{Filename: "a.png", Key: "uploads/a\x7f"}, []string{`key invalid must not contain a control character or a backslash, got "uploads/a\x7f"`}},
		{upload{Filename: "a.png", Key: "other/a.png"}, []string{`key not_allowed must start with "uploads/", got "other/a.png"`}},
		{upload{Filename: "a.png", Key: "uploads"}, []string{`key not_allowed must start with "uploads/", got "uploads"`}},
		{upload{Filename: "a.png", Key: "uploads/../a.png"}, []string{`key invalid must not contain the segment "..", got "uploads/../a.png"`}},
		{upload{Filename: "a.png", Key: "uploads//"}, []string{`key invalid must not contain "//", got "uploads//"`}},
		{upload{Key: "uploads/u1/"}, []string{"filename required must not be empty"}},
		{upload{Key: "uploads//a.png"}, []string{`key invalid must not contain "//", got "uploads//a.png"`}},
		{upload{Filename: "a.png", Key: "uploads/" + strings.Repeat("k", 1000) + "/"}, []string{"key too_large must make a key of at most 1024 bytes, got 1041"}},
		{upload{Filename: "abcdef.png", Key: "uploads/" + strings.Repeat("k", 980) + "/"}, []string{"filename too_large must make a key of at most 1024 bytes, got 1026"}},
		{upload{Filename: "a.png", Owner: strings.Repeat("o", 129)}, []string{"owner too_large must have at most 128 bytes, got 129"}},
		{upload{Filename: "a.png", Redirect: "/done"}, []string{"redirect invalid must be an absolute URL of https or http; S3 ignores others"}},
		{upload{Filename: "a.png", Redirect: "javascript:alert(1)"}, []string{"redirect invalid must be an absolute URL of https or http; S3 ignores others"}},
		{upload{Filename: "a.png", Redirect: "https://a.example/é"}, []string{"redirect invalid must be printable ASCII without a dollar sign; escape other characters"}},
		{upload{Filename: "a.png", Redirect: "https://a.example/${filename}"}, []string{"redirect invalid must be printable ASCII without a dollar sign; escape other characters"}},

		{upload{Filename: "a/b.exe", Type: "x", Size: 5, Lifetime: 2 * time.Hour, Checksum: "x"}, []string{
			"filename invalid must be a name without a path, got the separator '/'", "size too_small must be at least 10 bytes, got 5",
			"expires_in too_large must be between 1 and 3600 seconds, got 7200", "checksum not_allowed must not be set: the policy names no algorithm"}},
	} {
		grant, err := signer.Post(context.Background(), c.upload)
		require.Nil(t, grant, "%+v", c.upload)
		for i, want := range c.want {
			require.Contains(t, violations(t, err)[i], want)
		}
		require.Len(t, violations(t, err), len(c.want), "%v", err)

		if c.upload.Size == 0 {
			c.upload.Size = 500 // A PUT requires a size.
		}
		_, err = signer.Put(context.Background(), c.upload)
		require.Error(t, err, "%+v", c.upload)
	}
}

// many returns metadata with n names.
func many(n int) map[string]string {
	metadata := make(map[string]string, n)
	for i := range n {
		metadata[fmt.Sprint("name", i)] = "x"
	}
	return metadata
}

// TestChecksum checks that a policy with an algorithm requires a digest of that
// algorithm in canonical base64.
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
		require.Equal(t, digest,
			grant.Headers["x-amz-checksum-"+strings.ToLower(string(algorithm))])

		for _, wrong := range []string{
			"", "AAAA", digest[:len(digest)-1], digest + "\n", "\r" + digest, digest + digest,
			"%%%", strings.Repeat("A", 88),
		} {
			code := "invalid"
			if wrong == "" {
				code = "required"
			}
			upload.Checksum = wrong
			_, err := signer.Put(context.Background(), upload)
			require.Contains(t, violations(t, err)[0],
				fmt.Sprintf("checksum %s must be the file's %s checksum of ", code, algorithm),
				"%q", wrong)
		}
	}
	// This is another encoding of the same bytes: the last character has unused
	// bits.
	policy := with(func(p *presign.Policy) { p.Checksum = types.ChecksumAlgorithmCrc32 })
	signer := newSigner(t, policy)
	_, err := signer.Put(context.Background(),
		presign.Upload{Filename: "a.png", Size: 10, Checksum: "NhCmhh=="})
	require.Len(t, violations(t, err), 1)
}

// TestTypes checks that the granted type has the name that the policy uses.
// Systems have different names for the same format.
func TestTypes(t *testing.T) {
	for _, c := range []struct {
		types               []string
		name, declared, got string
	}{
		{[]string{"image/*"}, "a.PNG", "", "image/png"},
		{[]string{"image/*"}, "a.png", "application/octet-stream", "image/png"},
		{[]string{"image/*"}, "a.png", "Image/PNG; charset=x", "image/png"},
		{[]string{"image/*"}, "a", "image/png", "image/png"},
		{[]string{"image/*"}, "a 2026.11.27", "image/png", "image/png"},
		{[]string{"image/jpeg"}, "a.jpg", "image/jpg", "image/jpeg"},
		{[]string{"image/jpeg"}, "a", "image/pjpeg", "image/jpeg"},
		{[]string{"text/*"}, "a.unheard-of", "text/plain", "text/plain"},
		{[]string{"application/xml"}, "a.unheard-of", "", "application/xml"},
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
		grant, err := signer.Put(context.Background(),
			presign.Upload{Filename: c.name, Type: c.declared, Size: 10})
		require.NoError(t, err, "%+v", c)
		require.Equal(t, c.got, grant.Headers["Content-Type"], "%+v", c)
	}
	for _, c := range []struct{ pattern, name, declared string }{
		{"*/*", "a.html", ""}, {"*/*", "a.svg", "image/svg+xml"}, {"image/*", "a.svg", ""}, {"text/*", "a.js", ""},
		{"application/*", "a.xml", ""}, {"image/*", "a.unheard-of", "image/png"}, {"*/*", "a", "multipart/mixed"}, {"*/*", "a", "application/atom+xml"},
		{"*/*", "a.html", "application/octet-stream"},
	} {
		signer := newSigner(t, with(func(p *presign.Policy) { p.Types = []string{c.pattern} }))
		_, err := signer.Put(context.Background(),
			presign.Upload{Filename: c.name, Type: c.declared, Size: 10})
		require.Len(t, violations(t, err), 1, "a wildcard must not allow active types: %+v", c)
	}
}

func TestViolations(t *testing.T) {
	one := &presign.Violation{Field: "a", Detail: "b"}
	two := &presign.Violation{Field: "c", Detail: "d"}
	err := fmt.Errorf("wrapped: %w", errors.Join(one, errors.New("else"), errors.Join(two)))
	require.Equal(t, []presign.Violation{*one, *two}, presign.Violations(err))
	require.Empty(t, presign.Violations(errors.New("else")))
	require.Empty(t, presign.Violations(nil))
}

func TestViolationIsTyped(t *testing.T) {
	_, err := newSigner(t, images()).Put(context.Background(), presign.Upload{Filename: "a.png"})
	v := new(presign.Violation)
	require.True(t, errors.As(err, &v))
	text, err := json.Marshal(v)
	require.NoError(t, err)
	require.JSONEq(t, `{"field": "size", "code": "required",
		"detail": "must be set for a PUT, which is signed for its exact size"}`, string(text))
}
