package completion

import (
	"slices"
	"strings"

	"github.com/s3presign/presign/internal/grant"
	"github.com/s3presign/presign/internal/mediatype"
	"github.com/s3presign/presign/internal/objectheader"
	"github.com/s3presign/presign/internal/rules"
	"github.com/s3presign/presign/internal/sniff"
	"github.com/s3presign/presign/internal/stamp"
)

// A verdict is the result of verifying an upload.
type verdict struct {
	violations []*rules.Violation
	detected   string // the type of the beginning, or empty
}

func (v *verdict) violate(field, code, format string, args ...any) *rules.Violation {
	violation := rules.Violate(field, code, format, args...)
	v.violations = append(v.violations, violation)
	return violation
}

// verify compares an upload with its grant, and the grant with the rules. The
// rules might have changed, or another Signer of the same prefixes might have
// made the grant. verify makes no request, so that a failure of the store
// cannot look like a violation.
func (c *completion) verify(up *upload) verdict {
	var v verdict
	c.compareSize(&v, up)
	c.compareType(&v, up)
	c.compareHeaders(&v, up)
	compareMetadata(&v, up)
	c.compareChecksum(&v, up)
	if c.Rules.FinalPrefix == "" && !c.Rules.Replace && up.granted.Replace && !up.granted.Random {
		v.violate("key", rules.CodeNotAllowed,
			"must not be replaced: the policy has become write-once since the grant")
	}
	if encoding := grantedHeader(up.granted, "content-encoding"); encoding == "" || encoding == "identity" {
		var err error
		if v.detected, err = sniff.Check(up.beginning, up.granted.Type); err != nil {
			v.violate("type", rules.CodeContradictsContent,
				"must match the content, got %q for a file that %v", up.granted.Type, err)
		}
	}
	return v
}

func (c *completion) compareSize(v *verdict, up *upload) {
	least, most := max(up.granted.MinSize, c.Rules.MinSize), min(up.granted.MaxSize, c.Rules.MaxSize)
	if up.Size < least || up.Size > most {
		v.violations = append(v.violations, rules.GrantedSizeViolation(least, most, up.Size))
	}
}

func (c *completion) compareType(v *verdict, up *upload) {
	declared := up.Header.Get("Content-Type")
	t, err := mediatype.Parse(declared)
	switch {
	case err != nil || t != up.granted.Type:
		v.violate("type", rules.CodeContradictsGrant, "must be %q as granted, got %q",
			up.granted.Type, rules.Excerpt(declared))
	case !c.Rules.AllowsType(t):
		v.violations = append(v.violations, c.Rules.TypeViolation(t))
	}
}

// compareHeaders reports headers that were not granted. The absence of a header
// cannot be signed, so a client can add headers that S3 returns. A published
// copy drops added headers, except for an encoding, which changes the meaning
// of the bytes.
func (c *completion) compareHeaders(v *verdict, up *upload) {
	for _, name := range objectheader.AllReturned() {
		want, got := grantedHeader(up.granted, name), up.Header.Get(name)
		switch {
		case got == "", objectheader.Equal(name, got, want),
			name == "x-amz-storage-class" && got == "STANDARD":
			continue
		case c.Rules.FinalPrefix != "" && name == "content-disposition":
			want = grant.Disposition(false, up.granted.Filename)
			if got == want {
				continue
			}
		case c.Rules.FinalPrefix != "" && name != "content-encoding":
			continue
		case want == "" && objectheader.ForbidsCaching(name, got):
			continue
		}
		v.violate(name, rules.CodeContradictsGrant,
			"must be %q as granted, got %q", want, rules.Excerpt(got))
	}
}

// compareMetadata reports entries that were not granted, and missing entries.
// Some stores change names.
func compareMetadata(v *verdict, up *upload) {
	stored := rules.Sorted(up.Metadata)
	digests := grant.DigestMetadata(stored)
	if slices.Equal(digests, up.granted.Metadata) {
		return
	}
	for _, m := range stored {
		if m.Name != rules.StampName &&
			!slices.Contains(up.granted.Metadata, stamp.NewDigest(m.Name, m.Value)) {
			v.violate("metadata["+rules.Excerpt(m.Name)+"]", rules.CodeContradictsGrant,
				"must be an entry that was granted, got %q", rules.Excerpt(m.Value))
		}
	}
	if missing := len(up.granted.Metadata) - len(digests); missing > 0 {
		v.violate("metadata", rules.CodeContradictsGrant,
			"must have all %d entries that were granted, got %d",
			len(up.granted.Metadata), len(digests))
	}
}

func (c *completion) compareChecksum(v *verdict, up *upload) {
	algorithm, sum, ok := strings.Cut(up.granted.Checksum, " ")
	if c.Rules.Checksum != "" && algorithm != string(c.Rules.Checksum) {
		v.violate("checksum", rules.CodeRequired, "must be the file's %s checksum",
			c.Rules.Checksum)
	}
	if !ok {
		return
	}
	switch got := up.Checksums[algorithm]; got {
	case sum:
	case "":
		v.violate("checksum", rules.CodeUnsupported,
			"could not be verified: the store did not return a %s checksum", algorithm)
	default:
		v.violate("checksum", rules.CodeContradictsGrant, "must be %q as granted, got %q",
			sum, rules.Excerpt(got))
	}
}

// grantedHeader returns the value of a header that the grant set, or "".
func grantedHeader(granted *stamp.Stamp, name string) string {
	if name == "content-disposition" {
		return grant.Disposition(granted.Inline, granted.Filename)
	}
	for _, h := range granted.Headers {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}
