package mediatype

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The errors that Choose returns wrap one of these.
var (
	ErrInvalid         = errors.New("not a media type")
	ErrContradictsName = errors.New("the type contradicts the file name")
	ErrNotAllowed      = errors.New("the policy does not allow the type")
)

// A Fault is an error with the text of a Violation. It wraps one of the errors
// above.
type Fault struct {
	Allowed []string // types that would be accepted, or nil

	detail string
	kind   error
}

func (f *Fault) Error() string { return f.detail }

// Unwrap returns ErrInvalid, ErrContradictsName or ErrNotAllowed.
func (f *Fault) Unwrap() error { return f.kind }

func newFault(kind error, allowed []string, format string, args ...any) *Fault {
	return &Fault{slices.Clone(allowed), fmt.Sprintf(format, args...), kind}
}

const (
	unknown = "application/octet-stream"
	xmlType = "application/xml"
	xmlText = "text/xml"
)

// Choose returns the type that an upload is granted, given the name of the file
// and the type that the client declares. The patterns of the policy must have
// the form that ParsePattern returns.
//
//   - If the extension is in the table, the extension decides. A format has
//     several names, since systems differ. The policy's own name is preferred.
//   - A declared type can choose among the formats that share the extension. It
//     contradicts the name if it is active, or if the table has it for other
//     extensions only. Other declared types are ignored: the empty type, types
//     that the table does not have, and containers ("application/zip" of a
//     .docx).
//   - If the extension is not in the table, the declared type decides, but not
//     for pictures, videos, audio, fonts, models, documents and mail. Their
//     extensions are in the table, and a file with another extension could be a
//     program. The declared type still decides if the table does not have it
//     and the policy names it in full.
//   - If the file name has no extension, the declared type decides.
//
// The text of a Fault starts with "must".
func Choose(name, declared string, patterns []string) (string, *Fault) {
	if declared == "" {
		declared = unknown
	}
	declared, err := Parse(declared)
	switch {
	case err != nil:
		return "", newFault(ErrInvalid, nil, "%v", err)
	case never(declared):
		return "", newFault(ErrNotAllowed, patterns, "must not be %q, which is never granted",
			declared)
	}

	extension := Extension(name)
	types := lookUp(extension)
	var candidates [16]string
	choice := append(candidates[:0], preferred(declared, patterns))
	switch {
	case types != nil && names(types, declared):
		choice = append(choice, types...)
	case types != nil:
		if contradicts(declared, extension) {
			return "", newFault(ErrContradictsName, types,
				"must match the file's name, whose type is %q, got %q", types[0], declared)
		}
		generic := choice[0]
		choice = append(choice[:0], types...)
		if Same(generic, unknown) && slices.Contains(patterns, generic) {
			choice = append(choice, generic)
		}
	case extension == "":
	case Same(declared, unknown):
		// Browsers declare no type for most dialects of XML.
		choice = append(choice, xmlType, xmlText)
	case special(declared) && known(declared):
		return "", newFault(ErrContradictsName, nil,
			"must match the file's name, which ends in %q, got %q; such files end in %s",
			"."+extension, declared, endings(declared))
	case special(declared) && !slices.Contains(patterns, declared):
		return "", newFault(ErrNotAllowed, patterns,
			"must be named in full by the policy, because the extension %q is not known, got %q",
			"."+extension, declared)
	}
	for _, typ := range choice {
		for _, pattern := range patterns {
			if Match(pattern, typ) {
				return typ, nil
			}
		}
	}
	fault := NotAllowed(choice[0], patterns)
	if choice[0] == unknown && extension != "" {
		fault.detail += fmt.Sprintf("; declare the type, because the extension %q is not known",
			"."+extension)
	}
	return "", fault
}

// NotAllowed returns the Fault of a type that the policy does not allow.
func NotAllowed(typ string, patterns []string) *Fault {
	hint, kind := "", typ[:strings.IndexByte(typ, '/')]
	if active(typ) && (slices.Contains(patterns, "*/*") || slices.Contains(patterns, kind+"/*")) {
		hint = "; browsers run it, so that a policy must name it in full"
	}
	return newFault(ErrNotAllowed, patterns, "must be one of %s, got %q%s",
		strings.Join(patterns, ", "), typ, hint)
}

// preferred returns the policy's own name of a type, if it has one.
func preferred(typ string, patterns []string) string {
	if slices.Contains(patterns, typ) {
		return typ
	}
	for _, pattern := range patterns {
		if !strings.HasSuffix(pattern, "/*") && Same(pattern, typ) {
			return pattern
		}
	}
	return typ
}

// names reports whether typ or another name of its format is among types.
func names(types []string, typ string) bool {
	return slices.ContainsFunc(types, func(t string) bool { return Same(t, typ) })
}

// contradicts reports whether a declared type, which is not one of the
// extension's types, is another format.
func contradicts(declared, extension string) bool {
	switch {
	case Same(declared, unknown),
		slices.Contains(contents[formatOf(declared)], strings.ToLower(extension)):
		return false
	case active(declared):
		return true
	}
	return known(declared)
}

// special reports whether a type is a type of pictures, videos, audio, fonts,
// models, documents or mail.
func special(typ string) bool {
	switch kind, _, _ := strings.Cut(typ, "/"); kind {
	case "image", "video", "audio", "font", "model":
		return true
	}
	return shown[formats[typ]]
}

// known reports whether the table has a type as the name of a format.
func known(typ string) bool {
	_, ok := formats[typ]
	return ok
}

// formatOf returns the preferred name of a type.
func formatOf(typ string) string {
	if format, ok := formats[typ]; ok {
		return format
	}
	return typ
}

// endings returns the extensions of a type, for an error.
func endings(typ string) string {
	const most = 4
	var extensions []string
	for _, extension := range Extensions() {
		if formats[typ] == byExtension[extension][0] && len(extensions) < most {
			extensions = append(extensions, "."+extension)
		}
	}
	return strings.Join(extensions, " or ")
}

// marks are the invisible marks that right-to-left languages have in file names
// (UAX #9).
const marks = "\u200e\u200f\u061c"

// Extension returns the extension of a file name, or "" if the name has none.
// It ignores marks, and trailing blanks and dots, which systems drop. Words and
// numbers after a dot ("v1.2", "Dr. Smith") are not an extension.
func Extension(name string) string {
	if strings.ContainsAny(name, marks) {
		name = strings.Map(func(r rune) rune {
			if strings.ContainsRune(marks, r) {
				return -1
			}
			return r
		}, name)
	}
	name = strings.TrimRight(name, ". ")
	extension := name[strings.LastIndexByte(name, '.')+1:]
	if len(extension) == len(name) {
		return ""
	}
	letter := false
	for i := range len(extension) {
		switch c := extension[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
			letter = true
		// Windows accepts {class IDs} as extensions.
		case c != '-' && c != '{' && c != '}' && (c < '0' || c > '9'):
			return ""
		}
	}
	if !letter && lookUp(extension) == nil {
		return ""
	}
	return extension
}

// ByExtension returns the types that agree with a file name. The first is the
// preferred type of the extension; browsers and systems also declare the other
// types. It returns nil if the extension is unknown. The caller must not change
// the slice.
func ByExtension(name string) []string {
	extension := name[strings.LastIndexByte(name, '.')+1:]
	if len(extension) == len(name) {
		return nil
	}
	return lookUp(extension)
}

// lookUp returns the types of an extension in any letter case.
func lookUp(extension string) []string {
	var lower [maxExtension]byte
	if len(extension) > len(lower) {
		return nil
	}
	for i := range len(extension) {
		c := extension[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	return byExtension[string(lower[:len(extension)])]
}

// Same reports whether a and b name the same format: "image/jpg" and
// "image/pjpeg" are "image/jpeg".
func Same(a, b string) bool {
	a, errA := Parse(a)
	b, errB := Parse(b)
	if errA != nil || errB != nil {
		return false
	}
	if a == b {
		return true
	}
	format, known := formats[a]
	return known && format == formats[b]
}

// Special reports whether a type is a type of pictures, videos, audio, fonts,
// models, documents or mail: files that people open to view or play.
func Special(typ string) bool {
	typ, err := Parse(typ)
	return err == nil && special(typ)
}

// ExtensionOf returns the most common extension of a type, or "" if the table
// does not have the type.
func ExtensionOf(typ string) string { return firstExtension[formats[typ]] }

// Extensions returns the extensions of the table, sorted.
func Extensions() []string { return slices.Sorted(maps.Keys(byExtension)) }
