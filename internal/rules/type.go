package rules

import (
	"slices"
	"strings"

	"github.com/s3presign/presign/internal/mediatype"
)

// decideType returns the type that is granted for a file. Systems differ in
// their names of one format, so decideType returns the first name of the format
// that the policy allows.
func (r *Rules) decideType(name, declared string) (string, *Violation) {
	const unknown = "application/octet-stream"
	if declared == "" {
		declared = unknown
	}
	declared, err := mediatype.Parse(declared)
	switch {
	case err != nil:
		return "", Violate("type", CodeInvalid, "%v", err)
	case mediatype.Never(declared):
		return "", Violate("type", CodeNotAllowed, "must not be %q, which is never granted", declared)
	}

	// The policy's own name of the declared type comes first, then the name's extension decides.
	candidates := append(make([]string, 0, 16), declared)
	if !slices.Contains(r.Types, declared) {
		if i := slices.IndexFunc(r.exact, func(t string) bool { return mediatype.Same(t, declared) }); i >= 0 {
			candidates[0] = r.exact[i]
		}
	}
	// Some systems drop trailing dots and spaces when they read the extension.
	if byExtension := mediatype.ByExtension(strings.TrimRight(name, ". ")); len(byExtension) > 0 {
		switch {
		case !mediatype.Same(declared, unknown):
			if !slices.ContainsFunc(byExtension, func(t string) bool { return mediatype.Same(t, declared) }) {
				v := Violate("type", CodeContradictsName, "must match the file's name, which says %q, got %q", byExtension[0], declared)
				v.Allowed = slices.Clone(byExtension)
				return "", v
			}
			candidates = append(candidates, byExtension...)
		case slices.Contains(r.Types, candidates[0]):
			candidates = append(byExtension[:len(byExtension):len(byExtension)], candidates[0])
		default:
			candidates = byExtension
		}
	}
	for _, t := range candidates {
		if r.AllowsType(t) {
			return t, nil
		}
	}
	return "", r.TypeViolation(candidates[0])
}

// AllowsType reports whether the policy allows a type.
func (r *Rules) AllowsType(t string) bool {
	return slices.ContainsFunc(r.Types, func(pattern string) bool { return mediatype.Match(pattern, t) })
}

// TypeViolation returns the Violation of a type that the policy does not allow.
func (r *Rules) TypeViolation(t string) *Violation {
	hint, kind := "", t[:strings.IndexByte(t, '/')]
	if mediatype.Active(t) && (slices.Contains(r.Types, "*/*") || slices.Contains(r.Types, kind+"/*")) {
		hint = "; browsers run it, so that a policy must name it in full"
	}
	v := Violate("type", CodeNotAllowed, "must be one of %s, got %q%s", list(r.Types), t, hint)
	v.Allowed = slices.Clone(r.Types)
	return v
}
