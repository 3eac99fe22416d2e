package presign_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/profile"
	"github.com/s3presign/presign/internal/test/s3test"
)

// A profiled describes the settings of a Signer.
type profiled struct {
	forms, large, final, replace, twoRoles, cache, tags bool
	checksum                                            types.ChecksumAlgorithm
}

// sign returns the error of NewSigner for the settings.
func (c profiled) sign(endpoint, bucket string, document []byte) error {
	policy := presign.Policy{
		Prefix: "incoming/", Types: []string{"image/*"}, MaxSize: 1 << 20,
		Replace: c.replace, Checksum: c.checksum, Headers: make(map[string]string),
	}
	if c.large {
		policy.MaxSize = 6 << 30
	}
	if c.final {
		policy.FinalPrefix = "files/"
	}
	if c.cache {
		policy.Headers["Cache-Control"] = "no-store"
	}
	if c.tags {
		policy.Headers["x-amz-tagging"] = "a=b"
	}
	client := s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: &endpoint, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
	var options []presign.SignerOption
	if document != nil {
		options = append(options, presign.WithProfile(document))
	}
	if !c.forms {
		options = append(options, presign.WithoutForms())
	}
	if c.twoRoles {
		options = append(options, presign.WithStore(s3.New(client.Options())))
	}
	_, err := presign.NewSigner(client, bucket, policy, options...)
	return err
}

// relies reports whether the Signer relies on a constraint with this verdict.
// It is a second implementation of the rules of internal/profile.
func (c profiled) relies(name string, verdict profile.Verdict) bool {
	kind, constraint, _ := strings.Cut(name, ": ")
	lacking := verdict == profile.NotOffered
	formless := !c.forms || c.checksum == types.ChecksumAlgorithmCrc64nvme
	switch {
	case kind == "form" && formless, kind == "part" && lacking && !c.large,
		constraint == "session token" && lacking:
		return false
	case strings.HasPrefix(constraint, "checksum "):
		return constraint == "checksum "+string(c.checksum) && (kind != "completion" || c.large)
	case constraint == "tags": // With a FinalPrefix, only the published copy has tags.
		return c.tags && (kind == "PUT" || !c.final)
	case constraint == "headers of the policy":
		return c.cache && !c.final
	case constraint == "no unsigned x-amz-* header", constraint == "no unsigned x-amz-copy-source":
		return kind == "form" || !c.twoRoles && !(kind == "part" && lacking)
	case name == "PUT: write once":
		return !c.replace && (lacking || !c.final)
	case name == "completion: write once on completion":
		return !c.replace && (lacking && c.large || !lacking && !c.final)
	case name == "part: no part after the end":
		return !c.final && !lacking
	case name == "part: an honest upload":
		return c.large
	case name == "PUT: headers that need no signature",
		name == "part: parts without their own checksum", name == "part: a part sent again":
		return false
	}
	return kind != "completion"
}

// combinations returns all combinations of settings.
func combinations() (all []profiled) {
	for bits := range 1 << 7 {
		on := func(bit int) bool { return bits>>bit&1 == 1 }
		for _, algorithm := range []types.ChecksumAlgorithm{
			"", "CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256",
		} {
			if on(1) && (algorithm == "SHA1" || algorithm == "SHA256") {
				continue // Multipart uploads do not support this checksum.
			}
			all = append(all, profiled{on(0), on(1), on(2), on(3), on(4), on(5), on(6), algorithm})
		}
	}
	return all
}

// TestWithProfileOfServers checks that NewSigner rejects a policy exactly if it
// relies on a constraint that the server does not enforce or offer. The error
// names the constraint.
func TestWithProfileOfServers(t *testing.T) {
	files, err := filepath.Glob("examples/doctor/profiles/*.json")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 6)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			document, err := os.ReadFile(file)
			require.NoError(t, err)
			p, err := profile.Parse(document)
			require.NoError(t, err)
			accepted, rejected := 0, 0
			for _, c := range combinations() {
				var want []string
				for name, verdict := range p.Constraints {
					if verdict != profile.Enforced && c.relies(name, verdict) {
						want = append(want, name)
					}
				}
				err := c.sign("http://"+p.Host, p.Bucket, document)
				require.ElementsMatch(t, want, namedConstraints(err), "%+v: %v", c, err)
				if err == nil {
					accepted++
				} else {
					rejected++
				}
			}
			require.NotZero(t, accepted, "at least one combination must be accepted for each store")
			t.Logf("%d accepted, %d rejected", accepted, rejected)
		})
	}
}

// namedConstraints returns the constraints that an error of NewSigner names. It
// returns an unexpected line if the error does not suggest a change for each
// constraint.
func namedConstraints(err error) (names []string) {
	if err == nil {
		return nil
	}
	for line := range strings.Lines(err.Error()) {
		_, rest, _ := strings.Cut(line, `presign: WithProfile: the store does not `)
		_, rest, _ = strings.Cut(rest, `"`)
		name, advice, _ := strings.Cut(rest, `"; `)
		if !slices.Contains(profile.Names(), name) || len(advice) < 10 {
			return []string{"unexpected: " + line}
		}
		names = append(names, name)
	}
	return names
}

// TestWithProfile checks that a profile of another bucket or host, or in
// another format, is rejected.
func TestWithProfile(t *testing.T) {
	document, err := (&profile.Profile{
		Format: profile.Format, Host: "127.0.0.1:9000", Bucket: "mine",
		Doctor: "v0.1.0", Date: "2026-11-27",
		Constraints: map[string]profile.Verdict{"PUT: write once": profile.NotOffered},
	}).Encode()
	require.NoError(t, err)
	c := profiled{replace: true}
	require.NoError(t, c.sign("http://127.0.0.1:9000", "mine", document))
	const differs = `presign: WithProfile: host and bucket must be `
	require.ErrorContains(t, c.sign("http://127.0.0.1:9001", "mine", document), differs)
	require.ErrorContains(t, c.sign("http://127.0.0.1:9000", "yours", document), differs)
	require.EqualError(t, profiled{}.sign("http://127.0.0.1:9000", "mine", document),
		`presign: WithProfile: the store does not offer "PUT: write once"; `+
			`set Policy.Replace, because the store rejects If-None-Match`)
	for _, other := range []string{
		"", "{}", strings.Replace(string(document), `"format": 1`, `"format": 9`, 1),
		strings.Replace(string(document), `"date"`, `"day"`, 1),
	} {
		require.ErrorContains(t, c.sign("http://127.0.0.1:9000", "mine", []byte(other)),
			"presign: WithProfile: ")
	}
}

// TestKnownProviders checks that NewSigner has built-in profiles of known
// providers.
func TestKnownProviders(t *testing.T) {
	tagged := profiled{tags: true, forms: true}
	require.NoError(t, tagged.sign("https://s3.eu-central-1.amazonaws.com", "mine", nil))
	require.ErrorContains(t, tagged.sign("https://account.r2.cloudflarestorage.com", "mine", nil),
		`presign: Cloudflare R2: the store does not offer "PUT: tags"; `+
			`remove x-amz-tagging from Policy.Headers`)
	require.NoError(t,
		profiled{forms: true}.sign("https://account.r2.cloudflarestorage.com", "mine", nil))
	require.ErrorContains(t, profiled{}.sign("https://storage.googleapis.com", "mine", nil),
		`Google Cloud Storage (S3 interoperability): the store does not enforce "PUT: write once"`)
	require.NoError(t, profiled{final: true}.sign("https://storage.googleapis.com", "mine", nil))
}

// TestWithProfileOfBareParts checks that signing returns a violation for parts
// without checksums if the store rejects such parts.
func TestWithProfileOfBareParts(t *testing.T) {
	for _, verdict := range []profile.Verdict{
		profile.NotOffered, profile.NotEnforced, profile.Enforced,
	} {
		t.Run(string(verdict), inBubble(func(t *testing.T) {
			document, err := (&profile.Profile{
				Format: profile.Format, Host: "s3.test", Bucket: s3test.DefaultBucket,
				Doctor: "v0.1.0", Date: "2026-11-27",
				Constraints: map[string]profile.Verdict{profile.BareParts: verdict},
			}).Encode()
			require.NoError(t, err)
			policy := multipartPolicy()
			testBareParts(t, policy, false, document)
			policy.Checksum = types.ChecksumAlgorithmCrc32c
			testBareParts(t, policy, verdict != profile.Enforced, document)
		}))
	}
}

func testBareParts(t *testing.T, policy presign.Policy, rejects bool, document []byte) {
	s := open(t, s3test.New(), policy, presign.WithProfile(document))
	n, u := newNative(t, s), mount(t, s)
	body, metadata := large[:partSize], `{"size": "5242880"}`
	upload := presign.Upload{Owner: "alice", Filename: "a.png", Size: partSize}
	if policy.Checksum != "" {
		upload.Checksum = crc(body)
		metadata = `{"size": "5242880", "checksum": "` + crc(body) + `"}`
	}
	m, err := s.StartMultipart(t.Context(), upload)
	require.NoError(t, err)

	_, one := m.SignPart(t.Context(), presign.Part{Number: 1})
	_, _, several := m.SignParts(t.Context(), 1, 1)
	native := n.ask("/parts/sign", map[string]any{"id": m.ID, "first": 1, "last": 1})
	companion := u.ask("POST", "/s3/multipart",
		`{"filename": "a.png", "type": "image/png", "metadata": `+metadata+`}`)
	if !rejects {
		require.NoError(t, errors.Join(one, several))
		require.Equal(t, 200, native.Code, native.Body)
		require.Equal(t, 200, companion.Code, companion.Body)
		return
	}
	const reason = ": the store rejects parts without their own checksum, according to its profile"
	want := []string{"checksum required must be set to the CRC32C checksum of each part" + reason}
	require.Equal(t, want, violations(t, one))
	require.Equal(t, want, violations(t, several))
	require.Contains(t, requireProblem(t, native, 422).Message,
		"checksum must be set to the CRC32C checksum of each part"+reason)
	require.Contains(t, requireProblem(t, companion, 422).Message,
		"method must not be multipart for a client that sends no checksums of parts"+reason)
	require.Len(t, s.uploads(t), 1, "Uppy's upload must not be started")

	grant, err := m.SignPart(t.Context(), presign.Part{Number: 1, Checksum: crc(body)})
	require.NoError(t, err)
	s.putPart(t, grant, body)
	object, err := m.Complete(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, crc(body), object.Checksum)
}
