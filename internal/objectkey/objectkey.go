// Package objectkey checks the names of files that clients upload and writes them where they are kept: in object keys
// and in Content-Disposition.
package objectkey

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxName = 255 // bytes, as in most file systems
	maxSafe = 200 // bytes, which leaves room in a path segment for what a store appends
)

// Check reports what is wrong with a file name, in words that follow the name of the field. It takes every name that
// people give files, and refuses what names elsewhere than they seem to: paths, control characters, and the ones that
// turn the direction of writing ("exe.gpj" shown as "jpg.exe").
func Check(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("is required")
	case len(name) > maxName:
		return fmt.Errorf("has %d bytes; at most %d are taken", len(name), maxName)
	case !utf8.ValidString(name):
		return fmt.Errorf("is not valid UTF-8")
	case name == "." || name == "..":
		return fmt.Errorf("is %q, which names a folder", name)
	}
	for _, r := range name {
		switch {
		case r == '/' || r == '\\':
			return fmt.Errorf("contains a path separator %q; send the name alone", r)
		case unicode.IsControl(r) || r == '\u2028' || r == '\u2029':
			return fmt.Errorf("contains the control character %U", r)
		case unicode.Is(unicode.Bidi_Control, r):
			return fmt.Errorf("contains the bidirectional control character %U", r)
		}
	}
	return nil
}

// Safe returns name as the last segment of an object key: letters, marks and digits of any script and "._-" stay, a
// dollar sign becomes "_", all else "-". It has no leading or trailing dot and at most 200 bytes, and keeps its
// extension. Name must have passed Check.
func Safe(name string) string {
	safe := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '_' || r == '-':
			return r
		case r > unicode.MaxASCII && unicode.In(r, unicode.L, unicode.M, unicode.Nd):
			return r
		case r == '$':
			return '_'
		}
		return '-'
	}, name)
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

// cut returns the longest beginning of s that has at most n bytes and no part of a character.
func cut(s string, n int) string {
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// Disposition returns the Content-Disposition header that has browsers save the object under name, whatever is in it,
// where kind is "attachment" or "inline". Its value is plain ASCII without a dollar sign, which POST policies misread.
//
// See https://www.rfc-editor.org/rfc/rfc6266 and https://www.rfc-editor.org/rfc/rfc8187#section-3.2.1.
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
