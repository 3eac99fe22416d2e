// Package mediatype holds the media types of file names and decides which type
// an upload is granted.
//
// The package has its own table. Package mime reads the tables of the machine,
// so two replicas of a service could return different types.
package mediatype

import (
	"errors"
	"fmt"
	"strings"
)

const (
	// maxName is the largest size of type/subtype in bytes. RFC 6838 allows 127
	// bytes on either side of the slash.
	maxName = 255

	// maxLength is the largest size in bytes with parameters.
	maxLength = 1 << 10
)

const (
	blanks     = " \t"     // OWS in RFC 9110
	whiteSpace = " \t\r\n" // characters that the WHATWG strips from both ends
)

// Parse returns s as "type/subtype" in lower case and drops its parameters. It
// accepts every media type that is valid by RFC 9110, and surrounding white
// space. It rejects lists, wildcards, and parameters that are not name=value,
// because a browser could read another type or no type.
//
// See https://www.rfc-editor.org/rfc/rfc9110#section-8.3.1 and
// https://mimesniff.spec.whatwg.org/#parsing-a-mime-type.
func Parse(s string) (string, error) {
	if isCanonical(s) {
		return s, nil
	}
	if len(s) > maxLength {
		return "", fmt.Errorf("must be a media type of at most %d bytes, got %d", maxLength, len(s))
	}
	name := strings.Trim(s, whiteSpace)
	var parameters string
	if i := strings.IndexByte(name, ';'); i >= 0 {
		name, parameters = strings.TrimRight(name[:i], blanks), name[i:]
	}
	switch typ, subtype, _ := strings.Cut(name, "/"); {
	case name == "":
		return "", errors.New("must be a media type such as image/png, got none")
	case len(name) > maxName:
		return "", fmt.Errorf("must be a media type of at most %d bytes, got %d",
			maxName, len(name))
	case strings.Contains(name, ","):
		return "", fmt.Errorf("must be one media type, got the list %.40q", s)
	case !token(typ) || !token(subtype):
		return "", fmt.Errorf("must be a media type such as image/png, got %.40q", s)
	case strings.Contains(name, "*"):
		return "", fmt.Errorf("must be one media type, got the pattern %.40q", s)
	case !wellFormed(parameters):
		return "", fmt.Errorf("must be a media type whose parameters are name=value, got %.40q", s)
	}
	return strings.ToLower(name), nil
}

// isCanonical reports whether s has the form that Parse returns. Most types
// have this form.
func isCanonical(s string) bool {
	slash := strings.IndexByte(s, '/')
	if slash <= 0 || slash == len(s)-1 || len(s) > maxName {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !tokenByte[c] && i != slash || 'A' <= c && c <= 'Z' || c == '*' {
			return false
		}
	}
	return true
}

// wellFormed reports whether s is a sequence of parameters, each after a
// semicolon. Parameters may be empty (RFC 9110, section 5.6.6).
func wellFormed(s string) bool {
	for s != "" {
		s = strings.TrimLeft(s[1:], blanks)
		if s == "" || s[0] == ';' {
			continue
		}
		name, value, _ := strings.Cut(s, "=")
		end := quotedLength(value)
		if end == 0 {
			if end = strings.IndexAny(value, blanks+";"); end < 0 {
				end = len(value)
			}
			unquoted := value[:end]
			if strings.EqualFold(name, "codecs") {
				// Chromium's MediaRecorder declares
				// "video/webm;codecs=vp8,opus".
				unquoted = strings.ReplaceAll(unquoted, ",", "")
			}
			if !token(unquoted) {
				return false
			}
		}
		if !token(name) {
			return false
		}
		s = strings.TrimLeft(value[end:], blanks)
		if s != "" && s[0] != ';' {
			return false
		}
	}
	return true
}

// quotedLength returns the length of the quoted string that s starts with, or
// 0. The string may hold a tab and bytes that are not ASCII.
func quotedLength(s string) int {
	if s == "" || s[0] != '"' {
		return 0
	}
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case control(c):
			return 0
		case c == '"':
			return i + 1
		case c == '\\':
			if i++; i < len(s) && control(s[i]) {
				return 0
			}
		}
	}
	return 0
}

func control(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }

func token(s string) bool {
	for i := range len(s) {
		if !tokenByte[s[i]] {
			return false
		}
	}
	return s != ""
}

// tokenByte marks the bytes of a token (RFC 9110, section 5.6.2).
var tokenByte = func() (set [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~") {
		set[c] = true
	}
	return set
}()

// ParsePattern returns a policy's pattern in lower case: a type ("image/png"),
// all types of a kind ("image/*") or all types ("*/*"). It rejects patterns
// that could not allow any type.
func ParsePattern(s string) (string, error) {
	pattern := strings.ToLower(s)
	if pattern == "*/*" {
		return pattern, nil
	}
	kind, all := strings.CutSuffix(pattern, "/*")
	if all {
		pattern = kind + "/any"
	}
	switch typ, err := Parse(pattern); {
	case err != nil || typ != pattern:
		return "", fmt.Errorf(
			`must be a type such as "image/png", or "image/*" or "*/*", got %.40q`, s)
	case all && Active(typ):
		return "", fmt.Errorf(
			"must name types in full if browsers run them, got the pattern %q, which allows nothing",
			s)
	case all:
		return kind + "/*", nil
	case Never(typ):
		return "", fmt.Errorf("must not be a type for which browsers guess, got %q", s)
	}
	return pattern, nil
}

// Match reports whether a pattern, as ParsePattern returns it, allows a type. A
// wildcard allows no active type, and no pattern allows a type that is never
// granted.
func Match(pattern, typ string) bool {
	typ, err := Parse(typ)
	if err != nil || never(typ) {
		return false
	}
	if pattern == typ {
		return true
	}
	kind, all := strings.CutSuffix(pattern, "/*")
	return all && !active(typ) && (kind == "*" || kind == typ[:strings.IndexByte(typ, '/')])
}

// Never reports whether browsers ignore a type and guess the type from the
// bytes, HTML included. It returns true for every type that Parse rejects.
//
// See
// https://mimesniff.spec.whatwg.org/#determining-the-computed-mime-type-of-a-resource.
func Never(typ string) bool {
	typ, err := Parse(typ)
	return err != nil || never(typ)
}

// never returns the result of Never for a type that Parse returned.
func never(typ string) bool {
	switch typ {
	case "unknown/unknown", "application/unknown",
		"application/x-unknown-content-type",
		"application/x-vnd.mozilla.guess-from-ext": // a type of Firefox
		return true
	}
	return false
}

// Active reports whether a browser might run a file of this type, or the
// scripts in the file, on the origin that serves the file. It returns true for
// types that Never reports.
func Active(typ string) bool {
	typ, err := Parse(typ)
	return err != nil || active(typ)
}

// active returns the result of Active for a type that Parse returned.
func active(typ string) bool {
	if never(typ) {
		return true
	}
	switch typ {
	case "text/html",
		"application/xml", "text/xml", "application/xml-dtd", // RFC 7303
		"application/xml-external-parsed-entity", "text/xml-external-parsed-entity",
		"text/xsl", "text/rdf", // XML in Chrome and in Firefox
		"text/css",
		"application/wasm",          // modules, like JavaScript
		"application/x-mimearchive", // MHTML, like multipart/related
		"application/x-webarchive",  // archives of Safari

		// Internet Explorer and its mode in Edge run these.
		"application/hta", "text/hta",
		"text/x-component", "text/scriptlet", "text/x-scriptlet", "text/vbscript", "text/vbs",
		"application/x-shockwave-flash", "application/vnd.adobe.flash.movie",
		"application/futuresplash":
		return true

	// The WHATWG counts all of these as JavaScript:
	// https://mimesniff.spec.whatwg.org/#javascript-mime-type.
	case "application/ecmascript", "application/javascript",
		"application/x-ecmascript", "application/x-javascript",
		"text/ecmascript", "text/javascript", "text/javascript1.0", "text/javascript1.1",
		"text/javascript1.2", "text/javascript1.3", "text/javascript1.4", "text/javascript1.5",
		"text/jscript", "text/livescript", "text/x-ecmascript", "text/x-javascript":
		return true
	}
	// Any dialect of XML can contain an XHTML element.
	return strings.HasSuffix(typ, "+xml") ||
		strings.HasPrefix(typ, "multipart/") || strings.HasPrefix(typ, "message/")
}
