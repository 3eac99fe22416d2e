// Package objectkey checks the names of files that clients upload, and writes
// them to object keys and Content-Disposition.
package objectkey

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxUnits is the largest number of UTF-16 units, as NTFS allows. Other
	// file systems allow fewer.
	maxUnits = 255

	// maxBytes allows six bytes for each unit, for decomposed Japanese
	// syllables.
	maxBytes = 1530

	// maxSafe is the largest size of a safe name in bytes. It leaves room in a
	// path segment for a suffix that a store appends.
	maxSafe = 200
)

// The errors that Check returns wrap one of these.
var (
	ErrRequired = errors.New("the file name is missing")
	ErrInvalid  = errors.New("not a file name")
	ErrTooLarge = errors.New("the file name is too long")
)

// A fault is an error with the text of a Violation. It wraps one of the errors
// above.
type fault struct {
	detail string
	kind   error
}

func (f *fault) Error() string { return f.detail }
func (f *fault) Unwrap() error { return f.kind }

func newFault(kind error, format string, args ...any) error {
	return &fault{fmt.Sprintf(format, args...), kind}
}

// marks are the direction marks (UAX #9): U+200E, U+200F and U+061C. File names
// in right-to-left languages contain direction marks, which are invisible.
// Unlike embeddings, overrides and isolates, direction marks do not change the
// direction of writing.
const marks = "\u200e\u200f\u061c"

// Check returns an error if name is not the name of a file. It accepts every
// name that file systems allow: up to 255 UTF-16 units, composed or decomposed,
// and 1,530 bytes. It rejects paths, control characters, and characters that
// change the direction of writing ("exe.gpj" shown as "jpg.exe").
//
// The error starts with "must" and wraps ErrRequired, ErrInvalid or
// ErrTooLarge.
func Check(name string) error {
	switch {
	case name == "":
		return newFault(ErrRequired, "must not be empty")
	case len(name) > maxBytes:
		return newFault(ErrTooLarge, "must have at most %d bytes, got %d", maxBytes, len(name))
	case !utf8.ValidString(name):
		return newFault(ErrInvalid, "must be valid UTF-8")
	case name == "." || name == "..":
		return newFault(ErrInvalid, "must not name a folder, got %q", name)
	}
	units := 0
	for _, r := range name {
		switch {
		case r == '/' || r == '\\':
			return newFault(ErrInvalid, "must be a name without a path, got the separator %q", r)
		case unicode.IsControl(r) || r == '\u2028' || r == '\u2029':
			return newFault(ErrInvalid, "must not contain control characters, got %U", r)
		case turns(r):
			return newFault(ErrInvalid,
				"must not contain characters that change the direction of writing, got %U", r)
		case composes(r):
		case r > 0xffff:
			units += 2
		default:
			units++
		}
	}
	if units > maxUnits {
		return newFault(ErrTooLarge, "must have at most %d UTF-16 units, got %d", maxUnits, units)
	}
	return nil
}

// turns reports whether a character starts or ends an embedding, override or
// isolate.
func turns(r rune) bool {
	return unicode.Is(unicode.Bidi_Control, r) && !strings.ContainsRune(marks, r)
}

// composes reports whether a character joins the character before it in the
// composed forms of Unicode. Such characters are not counted, so that a name
// has the same length in every form. composes also returns true for some
// characters that do not join, but maxBytes limits their number.
func composes(r rune) bool {
	// The ranges hold the vowels and finals of Hangul.
	return 0x1161 <= r && r <= 0x1175 || 0x11a8 <= r && r <= 0x11c2 ||
		r > unicode.MaxASCII && unicode.Is(unicode.Mn, r)
}

// Safe returns name as the last segment of an object key. It keeps letters,
// combining marks and digits of any script and "._-". It removes direction
// marks, and replaces a dollar sign with "_" and other characters with "-". The
// result has no leading or trailing dot and at most 200 bytes. It has the
// extension of the name, even if blanks or dots follow. Check must have
// accepted the name.
func Safe(name string) string {
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune(marks, r) {
			return -1
		}
		return r
	}, name)
	safe := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' ||
			r == '_' || r == '-':
			return r
		case r > unicode.MaxASCII && unicode.In(r, unicode.L, unicode.M, unicode.Nd):
			return r
		case r == '$':
			return '_'
		}
		return '-'
	}, strings.TrimRight(name, ". "))
	safe = strings.Trim(safe, ".")
	if safe == "" {
		return "-"
	}
	if len(safe) <= maxSafe {
		return safe
	}
	extension := ""
	if dot := strings.LastIndexByte(safe, '.'); len(safe)-dot <= maxSafe/2 && dot > 0 {
		extension = safe[dot:]
	}
	return strings.TrimRight(cut(safe, maxSafe-len(extension)), ".") + extension
}

// cut returns the longest prefix of s that has at most n bytes and only
// complete characters.
func cut(s string, n int) string {
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// Disposition returns the Content-Disposition header with which browsers save
// the object under name. Kind is "attachment" or "inline". The header is plain
// ASCII without dollar signs, which POST policies interpret.
//
// See https://www.rfc-editor.org/rfc/rfc6266 and
// https://www.rfc-editor.org/rfc/rfc8187#section-3.2.1.
func Disposition(kind, name string) string {
	const upperhex = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(len(kind) + len("; filename*=UTF-8''") + 3*len(name))
	b.WriteString(kind)
	b.WriteString("; filename*=UTF-8''")
	for i := 0; i < len(name); i++ {
		if c := name[i]; 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#&+-.^_`|~", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(upperhex[c>>4])
			b.WriteByte(upperhex[c&15])
		}
	}
	return b.String()
}

// Name returns the name in a header that Disposition returned, or "" for any
// other header.
func Name(header string) string {
	kind, escaped, _ := strings.Cut(header, "; filename*=UTF-8''")
	name, err := url.PathUnescape(escaped)
	if err != nil || Disposition(kind, name) != header {
		return ""
	}
	return name
}
