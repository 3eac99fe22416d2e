// Package mediatype holds the media types of file names, and what may be said of a type without looking at a file.
//
// The table is its own. Package mime reads the tables of the machine it runs on, so that two replicas of a service may
// disagree.
package mediatype

import (
	"errors"
	"fmt"
	"strings"
)

// maxLength is how many bytes of a media type are read. RFC 6838 allows 127 on either side of the slash.
const maxLength = 255

// Parse returns s as "type/subtype" in lower case and drops well-formed parameters. It refuses what a browser could
// read as another type or as none: lists, wildcards, parameters that are not name=value, whatever is not ASCII.
//
// See https://www.rfc-editor.org/rfc/rfc9110#section-8.3.1.
func Parse(s string) (string, error) {
	if settled(s) {
		return s, nil
	}
	if len(s) > maxLength {
		return "", fmt.Errorf("a media type of %d bytes is too long: %d are enough", len(s), maxLength)
	}
	name := strings.Trim(s, " ")
	var parameters string
	if i := strings.IndexByte(name, ';'); i >= 0 {
		name, parameters = strings.TrimRight(name[:i], " "), name[i:]
	}
	switch typ, subtype, _ := strings.Cut(name, "/"); {
	case name == "":
		return "", errors.New("a media type is missing: write one as type/subtype")
	case strings.Contains(name, ","):
		return "", fmt.Errorf("%.40q is a list: name one media type", s)
	case !token(typ) || !token(subtype):
		return "", fmt.Errorf("%.40q is not a media type: write one as type/subtype", s)
	case strings.Contains(name, "*"):
		return "", fmt.Errorf("%.40q is a pattern: name one media type", s)
	case !wellFormed(parameters):
		return "", fmt.Errorf("%.40q has a parameter that is not name=value", s)
	}
	return strings.ToLower(name), nil
}

// settled reports whether s is as Parse returns it, which most that is asked about is.
func settled(s string) bool {
	slash := strings.IndexByte(s, '/')
	if slash <= 0 || slash == len(s)-1 || len(s) > maxLength {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !tokenByte[c] && i != slash || 'A' <= c && c <= 'Z' || c == '*' {
			return false
		}
	}
	return true
}

// wellFormed reports whether s is a row of parameters, each behind its semicolon.
func wellFormed(s string) bool {
	for s != "" {
		name, value, _ := strings.Cut(strings.TrimLeft(s[1:], " "), "=")
		end := quotedLength(value)
		if end == 0 {
			if end = strings.IndexAny(value, " ;"); end < 0 {
				end = len(value)
			}
			unquoted := value[:end]
			if strings.EqualFold(name, "codecs") {
				// What Chrome's MediaRecorder calls its recordings: "video/webm;codecs=vp8,opus".
				unquoted = strings.ReplaceAll(unquoted, ",", "")
			}
			if !token(unquoted) {
				return false
			}
		}
		if !token(name) {
			return false
		}
		s = strings.TrimLeft(value[end:], " ")
		if s != "" && s[0] != ';' {
			return false
		}
	}
	return true
}

// quotedLength returns the length of the quoted string that s begins with, or 0.
func quotedLength(s string) int {
	if s == "" || s[0] != '"' {
		return 0
	}
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c < ' ' || c > '~':
			return 0
		case c == '"':
			return i + 1
		case c == '\\':
			if i++; i < len(s) && (s[i] < ' ' || s[i] > '~') {
				return 0
			}
		}
	}
	return 0
}

func token(s string) bool {
	for i := range len(s) {
		if !tokenByte[s[i]] {
			return false
		}
	}
	return s != ""
}

// tokenByte marks what a token is made of (RFC 9110, section 5.6.2).
var tokenByte = func() (set [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~") {
		set[c] = true
	}
	return set
}()

// ParsePattern returns in lower case what a policy may name: a type ("image/png"), all types of a kind ("image/*") or
// all ("*/*"). It refuses patterns that could admit nothing.
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
		return "", fmt.Errorf(`%.40q is not a type such as "image/png", nor "image/*" or "*/*"`, s)
	case all && Active(typ):
		return "", fmt.Errorf("%q admits nothing: content that may carry scripts has to be named by its exact type", s)
	case all:
		return kind + "/*", nil
	case Never(typ):
		return "", fmt.Errorf("%q leaves it to the browser to guess what the file is", s)
	}
	return pattern, nil
}

// Match reports whether a pattern, as ParsePattern returns it, admits a type. A wildcard admits no active type, and
// nothing admits a type that is never granted.
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

// Never reports whether a type is one of those for which a browser guesses from the bytes what the file is, HTML
// included. Whatever Parse refuses is one.
//
// See https://mimesniff.spec.whatwg.org/#determining-the-computed-mime-type-of-a-resource.
func Never(typ string) bool {
	typ, err := Parse(typ)
	return err != nil || never(typ)
}

// never is Never for what Parse returned.
func never(typ string) bool {
	switch typ {
	case "unknown/unknown", "application/unknown",
		"application/x-unknown-content-type", "application/x-vnd.mozilla.guess-from-ext": // Firefox's own
		return true
	}
	return false
}

// Active reports whether a browser may run a file of this type, or render it with the scripts in it, on the origin that
// serves it. Types for which a browser guesses are active.
func Active(typ string) bool {
	typ, err := Parse(typ)
	return err != nil || active(typ)
}

// active is Active for what Parse returned.
func active(typ string) bool {
	if never(typ) {
		return true
	}
	switch typ {
	case "text/html",
		"application/xml", "text/xml", "application/xml-dtd", // RFC 7303
		"application/xml-external-parsed-entity", "text/xml-external-parsed-entity",
		"text/xsl", "text/rdf", // XML to Chrome and to Firefox
		"text/css",
		"application/wasm",            // a module, as JavaScript is
		"application/x-mimearchive",   // MHTML, beside multipart/related and message/rfc822
		"application/x-webarchive",    // Safari's
		"application/hta", "text/hta", // Internet Explorer and its mode in Edge, down to text/vbscript
		"text/x-component", "text/scriptlet", "text/x-scriptlet", "text/vbscript", "text/vbs",
		"application/x-shockwave-flash", "application/vnd.adobe.flash.movie", "application/futuresplash":
		return true

	// All that WHATWG counts as JavaScript: https://mimesniff.spec.whatwg.org/#javascript-mime-type.
	case "application/ecmascript", "application/javascript", "application/x-ecmascript", "application/x-javascript",
		"text/ecmascript", "text/javascript", "text/javascript1.0", "text/javascript1.1", "text/javascript1.2",
		"text/javascript1.3", "text/javascript1.4", "text/javascript1.5", "text/jscript", "text/livescript",
		"text/x-ecmascript", "text/x-javascript":
		return true
	}
	return strings.HasSuffix(typ, "+xml") || // XHTML and SVG; in any other dialect an XHTML element may stand
		strings.HasPrefix(typ, "multipart/") || strings.HasPrefix(typ, "message/")
}

// ByExtension returns the types that do not contradict a file name: the preferred one of its extension first, then what
// browsers and systems also declare for it. It is nil where the extension is unknown. The slice must not be changed.
func ByExtension(name string) []string {
	extension := name[strings.LastIndexByte(name, '.')+1:]
	if len(extension) == len(name) {
		return nil
	}
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

// Same reports whether a and b name the same format: "image/jpg" and "image/pjpeg" are "image/jpeg".
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
