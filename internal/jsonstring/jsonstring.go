// Package jsonstring writes strings as JSON, for documents that are put together without package encoding/json.
package jsonstring

import "unicode/utf8"

// Append appends s as a JSON string, as encoding/json writes it with SetEscapeHTML(false): bytes that are not UTF-8 become
// U+FFFD. It reports whether s is printable ASCII that needs no escape.
func Append(b []byte, s string) (_ []byte, asItIs bool) {
	const lowerhex = "0123456789abcdef"
	b = append(b, '"')
	written := 0
	for i := 0; i < len(s); {
		for i+8 <= len(s) && allUnescaped(s[i:i+8]) {
			i += 8
		}
		if i == len(s) {
			break
		}
		c := s[i]
		if unescaped[c] {
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
		case r == '\u2028' || r == '\u2029': // which end lines in JavaScript
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
	asItIs = written == 0
	b = append(b, s[written:]...)
	return append(b, '"'), asItIs
}

// allUnescaped reports whether all of eight bytes are unescaped, looking at them at once, since most strings are long and
// need no escape.
//
// See https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord.
func allUnescaped(s string) bool {
	_ = s[7]
	w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	quote, backslash, del := w^'"'*ones, w^'\\'*ones, w^0x7f*ones // zero where there is one
	found := (quote-ones)&^quote | (backslash-ones)&^backslash | (del-ones)&^del
	control := (w - ' '*ones) &^ w
	return (w|found|control)&tops == 0
}

// unescaped marks printable ASCII that JSON holds as it is.
var unescaped = func() (set [256]bool) {
	for c := ' '; c <= '~'; c++ {
		set[c] = c != '"' && c != '\\'
	}
	return set
}()
