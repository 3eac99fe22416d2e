// Package jsonstring writes strings as JSON, for documents that are assembled
// without package encoding/json.
package jsonstring

import "unicode/utf8"

// Append appends s as a JSON string, as encoding/json writes it with
// SetEscapeHTML(false). Bytes that are not UTF-8 become U+FFFD. Append reports
// whether s is printable ASCII that needs no escape.
func Append(b []byte, s string) (_ []byte, plain bool) {
	if isPlain(s) {
		return append(append(append(b, '"'), s...), '"'), true
	}
	const lowerhex = "0123456789abcdef"
	b = append(b, '"')
	written := 0
	for i := 0; i < len(s); {
		c := s[i]
		if ' ' <= c && c <= '~' && c != '"' && c != '\\' {
			i++
			continue
		}
		r, size := rune(c), 1
		if c >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[i:])
		}
		b = append(b, s[written:i]...)
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(b, `\ufffd`...)
		case r == '\u2028' || r == '\u2029': // Both end lines in JavaScript.
			b = append(b, `\u202`...)
			b = append(b, lowerhex[r&15])
		case r >= 0x7f:
			b = append(b, s[i:i+size]...)
		case r == '"' || r == '\\':
			b = append(b, '\\', c)
		case r == '\b':
			b = append(b, `\b`...)
		case r == '\f':
			b = append(b, `\f`...)
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, `\u00`...)
			b = append(b, lowerhex[c>>4], lowerhex[c&15])
		}
		i += size
		written = i
	}
	b = append(b, s[written:]...)
	return append(b, '"'), false
}

// isPlain reports whether s is printable ASCII that needs no escape. It checks
// eight bytes at once and does not return early, since nearly every string is
// plain.
func isPlain(s string) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	// The top bit of a byte is set if a byte of s at this place is not plain.
	found := uint64(0)
	for ; len(s) >= 8; s = s[8:] {
		w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		found |= w | (w + ones) | (w - ' '*ones) | ((w ^ '"'*ones) - ones) | ((w ^ '\\'*ones) - ones)
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return found&tops == 0
}
