package sniff

import (
	"bytes"
	"strings"
)

const space = "\t\n\v\f\r "

// marks lists the byte order marks of UTF-8 and UTF-16. The marks of UTF-32 are
// the marks of UTF-16 with zeros.
var marks = []string{"\xef\xbb\xbf", "\xfe\xff", "\xff\xfe"}

// markup returns the type of the HTML, SVG or other XML that a file starts
// with, or "". Browsers detect some tags in UTF-8 only. Function markup detects
// every element of HTML in every Unicode encoding, with or without byte order
// mark, after white space, comments, declarations and processing instructions.
//
// If the end of head comes before the root element, complete is false and the
// type is a guess.
//
// See
// https://mimesniff.spec.whatwg.org/#identifying-a-resource-with-an-unknown-mime-type.
func markup(head []byte) (typ string, complete bool) {
	b := bytes.TrimLeft(head, space+"\x00")
	for _, mark := range marks {
		b = bytes.TrimPrefix(b, []byte(mark))
	}
	if b = bytes.TrimLeft(b, space+"\x00"); len(b) == 0 || b[0] != '<' {
		return "", false
	}
	b = bytes.ReplaceAll(b, []byte{0}, nil) // The ASCII of UTF-16 and UTF-32 remains.

	for len(b) > 0 && b[0] == '<' {
		switch {
		case hasPrefix(b, "<!--"):
			if typ == "" {
				typ = htmlType
			}
			// In HTML, "<!-->" is a complete comment.
			_, b, _ = bytes.Cut(b[len("<!"):], []byte("-->"))
		case hasPrefix(b, "<!doctype"):
			root, _ := tag(bytes.TrimLeft(b[len("<!doctype"):], space))
			if root == "html" || root == "svg" {
				return element(root, typ, false), true
			}
			return xmlType, true
		case hasPrefix(b, "<?xml"):
			typ = xmlType
			fallthrough
		case hasPrefix(b, "<!"), hasPrefix(b, "<?"), hasPrefix(b, "</"):
			_, b, _ = bytes.Cut(b, []byte(">"))
		default:
			name, attributes := tag(b[1:])
			return element(name, typ, bytes.Contains(attributes, []byte("xmlns"))), true
		}
		b = bytes.TrimLeft(b, space)
	}
	return typ, len(b) > 0
}

// element returns the type of markup with this root. Typ is the type of its
// prolog.
func element(name, typ string, namespace bool) string {
	switch local := name[strings.LastIndexByte(name, ':')+1:]; {
	case local == "svg":
		return svgType
	case local == "html" && (typ == xmlType || namespace):
		return xhtmlType
	case typ == xmlType:
		return xmlType
	case name != "" && strings.Contains(elements, " "+name+" "):
		return htmlType
	case namespace:
		return xmlType
	}
	return typ
}

// tag returns the name that a tag starts with, in lower case, and the rest of
// the tag.
func tag(b []byte) (name string, attributes []byte) {
	b, _, _ = bytes.Cut(b, []byte(">"))
	if i := bytes.IndexAny(b, space+"/"); i >= 0 {
		b, attributes = b[:i], b[i:]
	}
	return strings.ToLower(string(b)), attributes
}

func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && strings.EqualFold(string(b[:len(prefix)]), prefix)
}

// elements lists the elements of HTML, including obsolete ones.
const elements = " " +
	"a abbr acronym address applet area article aside audio b base basefont bdi bdo bgsound big blink blockquote " +
	"body br button canvas caption center cite code col colgroup command content data datalist dd del details dfn " +
	"dialog dir div dl dt em embed fieldset figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 " +
	"head header hgroup hr html i iframe image img input ins isindex kbd keygen label legend li link listing main " +
	"map mark marquee math menu menuitem meta meter multicol nav nextid nobr noembed noframes noscript object ol " +
	"optgroup option output p param picture plaintext portal pre progress q rb rbc rp rt rtc ruby s samp script " +
	"search section select selectedcontent shadow slot small source spacer span strike strong style sub summary " +
	"sup table tbody td template textarea tfoot th thead time title tr track tt u ul var video wbr xmp "
