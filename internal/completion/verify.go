package completion

import (
	"context"
	"crypto/sha256"
	"strings"

	"github.com/s3presign/presign/internal/grant"
	"github.com/s3presign/presign/internal/mediatype"
	"github.com/s3presign/presign/internal/objectheader"
	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/rules"
	"github.com/s3presign/presign/internal/sniff"
	"github.com/s3presign/presign/internal/stamp"
)

// A verdict is the result of verifying an upload. Only its violations reject
// the upload: an error beside them means that the upload was not verified.
type verdict struct {
	violations []*rules.Violation
	beginning  []byte
	detected   string // the type of the beginning, or empty
}

func (v *verdict) violate(field, code, format string, args ...any) {
	v.violations = append(v.violations, rules.Violate(field, code, format, args...))
}

// verify compares an upload with its grant, and the grant with the rules, which
// may have changed or belong to another Signer of the same prefixes.
func (e *Engine) verify(ctx context.Context, o *objectstore.Object, granted *stamp.Stamp) (verdict, error) {
	var v verdict
	e.compareSize(&v, o, granted)
	e.compareType(&v, o, granted)
	compareHeaders(&v, o, granted)
	if grant.DigestMetadata(rules.Sorted(o.Metadata)) != granted.Metadata {
		v.violate("metadata", rules.CodeContradictsGrant, "must be the metadata that was granted")
	}
	e.compareChecksum(&v, o, granted)
	beginning, err := e.beginning(ctx, o)
	if err != nil {
		return verdict{}, err
	}
	v.beginning = beginning
	if encoding := grantedHeader(granted, "content-encoding"); encoding == "" || encoding == "identity" {
		if v.detected, err = sniff.Check(beginning, granted.Type); err != nil {
			v.violate("type", rules.CodeContradictsContent, "must match the content, got %q for a file that %v", granted.Type, err)
		}
	}
	return v, nil
}

func (e *Engine) compareSize(v *verdict, o *objectstore.Object, granted *stamp.Stamp) {
	least, most := max(granted.MinSize, e.Rules.MinSize), min(granted.MaxSize, e.Rules.MaxSize)
	if o.Size >= least && o.Size <= most {
		return
	}
	code := rules.CodeTooLarge
	if o.Size < least {
		code = rules.CodeTooSmall
	}
	v.violate("size", code, "must be %s as granted, got %d", rules.Span(least, most), o.Size)
	last := v.violations[len(v.violations)-1]
	last.Min, last.Max = least, most
}

func (e *Engine) compareType(v *verdict, o *objectstore.Object, granted *stamp.Stamp) {
	declared := o.Header.Get("Content-Type")
	t, err := mediatype.Parse(declared)
	switch {
	case err != nil || t != granted.Type:
		v.violate("type", rules.CodeContradictsGrant, "must be %q as granted, got %q", granted.Type, rules.Excerpt(declared))
	case !e.Rules.AllowsType(t):
		v.violations = append(v.violations, e.Rules.TypeViolation(t))
	}
}

// compareHeaders looks for headers that were not granted. The absence of a
// header cannot be signed, so a client can add those that S3 returns.
func compareHeaders(v *verdict, o *objectstore.Object, granted *stamp.Stamp) {
	for _, name := range objectheader.AllReturned() {
		was, is := grantedHeader(granted, name), o.Header.Get(name)
		switch {
		case is == "", is == was, name == "x-amz-storage-class" && is == "STANDARD":
			continue
		case name == "cache-control" && was == "" && (is == "max-age=0" || is == "no-cache"):
			continue // Chromium adds these to the requests of a page that was reloaded.
		}
		v.violate(name, rules.CodeContradictsGrant, "must be %q as granted, got %q", was, rules.Excerpt(is))
	}
}

func (e *Engine) compareChecksum(v *verdict, o *objectstore.Object, granted *stamp.Stamp) {
	algorithm, sum, ok := strings.Cut(granted.Checksum, " ")
	if e.Rules.Checksum != "" && algorithm != string(e.Rules.Checksum) {
		v.violate("checksum", rules.CodeRequired, "must be the file's %s checksum", e.Rules.Checksum)
	}
	if !ok {
		return
	}
	switch got := o.Checksums[algorithm]; got {
	case sum:
	case "":
		v.violate("checksum", rules.CodeUnsupported, "could not be verified: the store did not return a %s checksum", algorithm)
	default:
		v.violate("checksum", rules.CodeContradictsGrant, "must be %q as granted, got %q", sum, rules.Excerpt(got))
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

func digest(b []byte) [16]byte {
	sum := sha256.Sum256(b)
	return [16]byte(sum[:16])
}
