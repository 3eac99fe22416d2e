package profile_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/profile"
)

const document = `{
  "format": 1,
  "store": "Example",
  "host": "127.0.0.1:9000",
  "bucket": "mine",
  "doctor": "v0.1.0",
  "date": "2026-11-27",
  "constraints": {
    "PUT: exact size": "enforced",
    "form: an honest upload": "not offered"
  },
  "facts": {
    "region": "checked"
  }
}
`

// TestEncode checks that a parsed profile is encoded again byte for byte.
func TestEncode(t *testing.T) {
	p, err := profile.Parse([]byte(document))
	require.NoError(t, err)
	require.Equal(t, &profile.Profile{
		Format: 1, Store: "Example", Host: "127.0.0.1:9000", Bucket: "mine", Doctor: "v0.1.0",
		Date: "2026-11-27",
		Constraints: map[string]profile.Verdict{
			"PUT: exact size": profile.Enforced, "form: an honest upload": profile.NotOffered,
		},
		Facts: map[string]string{"region": "checked"},
	}, p)
	encoded, err := p.Encode()
	require.NoError(t, err)
	require.Equal(t, document, string(encoded))
}

// TestParse checks that Parse rejects ambiguous and incomplete documents.
func TestParse(t *testing.T) {
	replace := func(old, new string) string {
		require.Contains(t, document, old)
		return strings.Replace(document, old, new, 1)
	}
	for name, c := range map[string]struct{ document, want string }{
		"not JSON":           {"x", "the body must be JSON"},
		"other format":       {replace(`"format": 1`, `"format": 2, "new": true`), "format must be 1, got 2; run the doctor again"},
		"no format":          {replace(`"format": 1,`, ""), "format must be set"},
		"unknown member":     {replace(`"store"`, `"color"`), "color"},
		"duplicate":          {replace(`"bucket"`, `"host"`), "host"},
		"unknown constraint": {replace("PUT: exact size", "PUT: exact weight"), `constraints must not have "PUT: exact weight"`},
		"two verdicts":       {replace(`"PUT: exact size": "enforced",`, `"PUT: exact size": "enforced", "PUT: exact size": "not enforced",`), "PUT: exact size"},
		"unknown verdict":    {replace(`"enforced"`, `"perhaps"`), `got "perhaps"`},
		"no host":            {replace("127.0.0.1:9000", ""), "host must be set"},
		"no bucket":          {replace("mine", " mine"), `bucket must be set, without surrounding spaces, got " mine"`},
		"no date":            {replace("2026-11-27", "27.11.2026"), `date must be YYYY-MM-DD, got "27.11.2026"`},
		"unknown fact":       {replace(`"region"`, `"regions"`), `facts must not have "regions"`},
		"nothing":            {replace(`"PUT: exact size": "enforced",`+"\n    "+`"form: an honest upload": "not offered"`, ""), "constraints must not be empty"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := profile.Parse([]byte(c.document))
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := (&profile.Profile{Format: 1}).Encode()
	require.ErrorContains(t, err, "host must be set")
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(document))
	f.Fuzz(func(t *testing.T, document []byte) {
		p, err := profile.Parse(document)
		if err != nil {
			return
		}
		encoded, err := p.Encode()
		require.NoError(t, err)
		again, err := profile.Parse(encoded)
		require.NoError(t, err)
		require.Equal(t, p, again)
	})
}

func TestCheckBucket(t *testing.T) {
	p, err := profile.Parse([]byte(document))
	require.NoError(t, err)
	require.NoError(t, p.CheckBucket("127.0.0.1:9000", "mine"))
	require.EqualError(t, p.CheckBucket("127.0.0.1:9001", "mine"),
		`host and bucket must be "127.0.0.1:9001" and "mine", as in the Signer, got "127.0.0.1:9000" and "mine"`)
	require.Error(t, p.CheckBucket("127.0.0.1:9000", "yours"))
}

// everything returns Needs that rely on all constraints that any Signer can
// rely on.
func everything(algorithm string) profile.Needs {
	return profile.Needs{
		Forms: true, Large: true, Checksum: algorithm,
		Headers: []string{"cache-control", "x-amz-tagging"},
	}
}

// unneeded lists the constraints that no Signer relies on.
var unneeded = []string{
	"PUT: headers that need no signature", "part: parts without their own checksum",
	"part: a part sent again",
	"completion: object size", "completion: parts as they arrived",
	"completion: write once on copy", "completion: pinned copy",
	"completion: pinned copy of joined parts", "completion: pinned read",
	"completion: pinned delete",
	"completion: pinned delete of joined parts",
}

// TestCheck checks that a Signer is rejected if it relies on a constraint that
// the store does not enforce. It also checks that the error states the
// constraint and the way out.
func TestCheck(t *testing.T) {
	for _, name := range profile.Names() {
		algorithm := ""
		if _, a, ok := strings.Cut(name, "checksum "); ok {
			algorithm = a
		}
		p := &profile.Profile{Constraints: map[string]profile.Verdict{name: profile.NotEnforced}}
		faults := p.Check(everything(algorithm))
		if slices.Contains(unneeded, name) {
			require.Empty(t, faults, name)
		} else {
			require.Len(t, faults, 1, name)
			require.EqualError(t, faults[0],
				`the store does not enforce "`+name+`"; `+profile.WayOut(name, profile.NotEnforced))
			require.NotEmpty(t, profile.WayOut(name, profile.NotEnforced), name)
		}
		p.Constraints[name] = profile.Enforced
		require.Empty(t, p.Check(everything(algorithm)), name)
	}
	require.Empty(t, new(profile.Profile).Check(everything("SHA256")),
		"an unknown constraint does not reject a Signer")
}

// TestWaysOut checks that a Signer that follows the way out is accepted.
func TestWaysOut(t *testing.T) {
	for _, c := range []struct {
		name    string
		verdict profile.Verdict
		way     string
		needs   func(*profile.Needs)
	}{
		{"form: exact key", profile.NotEnforced, "WithoutForms", func(n *profile.Needs) { n.Forms = false }},
		{"form: an honest upload", profile.NotOffered, "WithoutForms", func(n *profile.Needs) { n.Forms = false }},
		{"form: checksum SHA256", profile.NotEnforced, "WithoutForms", func(n *profile.Needs) { n.Forms = false }},
		{"PUT: checksum SHA256", profile.NotEnforced, "Policy.Checksum empty", func(n *profile.Needs) { n.Checksum = "" }},
		{"PUT: checksum SHA256", profile.NotEnforced, "Policy.Checksum empty", func(n *profile.Needs) { n.Checksum = "SHA1" }},
		{"PUT: tags", profile.NotOffered, "remove x-amz-tagging", func(n *profile.Needs) { n.Headers = n.Headers[:1] }},
		{"PUT: headers of the policy", profile.NotEnforced, "Policy.FinalPrefix", func(n *profile.Needs) { n.FinalPrefix = true }},
		{"PUT: headers of the policy", profile.NotEnforced, "remove the headers", func(n *profile.Needs) { n.Headers = n.Headers[1:] }},
		{"PUT: write once", profile.NotEnforced, "Policy.FinalPrefix", func(n *profile.Needs) { n.FinalPrefix = true }},
		{"PUT: write once", profile.NotOffered, "Policy.Replace", func(n *profile.Needs) { n.Replace = true }},
		{"PUT: no unsigned x-amz-* header", profile.NotEnforced, "WithStore", func(n *profile.Needs) { n.TwoRoles = true }},
		{"PUT: no unsigned x-amz-copy-source", profile.NotEnforced, "WithStore", func(n *profile.Needs) { n.TwoRoles = true }},
		{"part: an honest upload", profile.NotOffered, "Policy.MaxSize to 5 GiB", func(n *profile.Needs) { n.Large = false }},
		{"part: exact key", profile.NotOffered, "Policy.MaxSize to 5 GiB", func(n *profile.Needs) { n.Large = false }},
		{"part: no part after the end", profile.NotEnforced, "Policy.FinalPrefix", func(n *profile.Needs) { n.FinalPrefix = true }},
		{"completion: write once on completion", profile.NotEnforced, "Policy.FinalPrefix", func(n *profile.Needs) { n.FinalPrefix = true }},
	} {
		p := &profile.Profile{Constraints: map[string]profile.Verdict{c.name: c.verdict}}
		n := everything("SHA256")
		require.ErrorContains(t, errors.Join(p.Check(n)...), c.way, c.name)
		c.needs(&n)
		require.Empty(t, p.Check(n), c.name)
	}
	p := &profile.Profile{
		Constraints: map[string]profile.Verdict{"PUT: write once": profile.NotOffered},
	}
	require.NotEmpty(t, p.Check(profile.Needs{FinalPrefix: true}),
		"If-None-Match is sent with a FinalPrefix as well")
}

// TestKnown checks the providers that are compiled in.
func TestKnown(t *testing.T) {
	for host, want := range map[string]string{
		"b.s3.eu-central-1.amazonaws.com":    "Amazon S3",
		"acct.r2.cloudflarestorage.com":      "Cloudflare R2",
		"ACCT.eu.r2.cloudflarestorage.com":   "Cloudflare R2",
		"b.s3.us-west-004.backblazeb2.com":   "Backblaze B2",
		"storage.googleapis.com":             "Google Cloud Storage (S3 interoperability)",
		"b.storage.googleapis.com":           "Google Cloud Storage (S3 interoperability)",
		"storage.googleapis.com.example.com": "",
		"evilr2.cloudflarestorage.com":       "",
		"127.0.0.1:9000":                     "",
	} {
		p := profile.Known(host)
		if want == "" {
			require.Nil(t, p, host)
			continue
		}
		require.Equal(t, want, p.Name, host)
	}
	for _, p := range profile.Providers() {
		require.NotEmpty(t, p.Sources, p.Name)
		for name := range p.Profile.Constraints {
			require.Contains(t, profile.Names(), name, p.Name)
		}
	}
	require.Empty(t, profile.Known("s3.amazonaws.com").Profile.Check(everything("SHA256")))
	r2 := profile.Known("a.r2.cloudflarestorage.com").Profile
	require.Empty(t, r2.Check(profile.Needs{Checksum: "CRC32C"}))
	require.EqualError(t, errors.Join(r2.Check(profile.Needs{Checksum: "CRC32C", Large: true})...),
		`the store does not offer "part: checksum CRC32C"; `+
			profile.WayOut("part: checksum CRC32C", profile.NotOffered))
}
