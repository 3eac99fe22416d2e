// Package sniff holds the first bytes of a file against the media type that it was granted.
//
// It finds out mistakes and plain lies. It cannot promise that a file is whole or well-formed beyond its first bytes;
// that it is of one type only, since a polyglot (a GIF that is a script as well, a JPEG with HTML in its comment)
// begins as what it claims to be; that a document has no macros, scripts or exploits; that an archive holds what its
// type says, or unpacks to a sane size. Formats without a signature are taken on trust unless the bytes say otherwise.
// Whoever serves uploads still has to send X-Content-Type-Options: nosniff, best from an origin of its own.
//
// Package mimetype reads the signatures, with what the program may have set by its SetLimit and Extend.
package sniff

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/gabriel-vasile/mimetype"

	"github.com/s3presign/presign/internal/mediatype"
)

// Head is how many bytes of a file Check reads. It is for good: a published object carries a digest of as many, and one that
// does not fit is deleted.
const Head = 4 << 10

const (
	htmlType  = "text/html"
	xhtmlType = "application/xhtml+xml"
	xmlType   = "text/xml"
	svgType   = "image/svg+xml"
	textType  = "text/plain"
	pdfType   = "application/pdf"
	pdfMagic  = "%PDF-"
)

// Check returns the type that a file looks like by its first Head bytes, or "" if they do not tell. If that contradicts
// the type that was granted, the error says so: "looks like text/html".
//
// What agrees: the same format by another name; another format in the same container; any text for a type of text;
// bytes without a signature for a type whose files need not have one. Markup, which browsers might run, agrees with
// types of text and with types that are markup, and with nothing else.
func Check(head []byte, granted string) (detected string, err error) {
	if granted, err = mediatype.Parse(granted); err != nil {
		return "", err
	}
	head = head[:min(len(head), Head)]
	f := formOf(granted)

	// Markup comes first: browsers look for it first, and another format's signature may follow in it.
	detected, complete := markup(head)
	agrees := f.takesMarkup(granted, detected, complete)
	if detected == "" {
		found := identify(head)
		detected = name(found)
		switch base := base(found); {
		case f.anything, slices.Contains(f.bases, base):
			agrees = true
		case detected == "":
			agrees = !f.signed
		case slices.Contains(f.bases, textType) && isText(head) && !hasAt(head, 0, pdfMagic):
			// Prose may begin like a binary format: "MZ", "BZh", "GIF89a". A PDF may be all text, but it is no prose.
			agrees, detected = true, textType
		default:
			agrees = found.Is(granted) || mediatype.Same(granted, detected)
		}
	}
	switch {
	case agrees:
		return detected, nil
	case detected == "":
		return "", fmt.Errorf("does not look like %s", granted)
	}
	return detected, fmt.Errorf("looks like %s", detected)
}

// takesMarkup reports whether a file of the granted type may be the markup that was found. If its root was not reached,
// complete is false.
func (f form) takesMarkup(granted, found string, complete bool) bool {
	switch {
	case granted == svgType:
		return found == svgType || !complete
	case granted == xhtmlType:
		return found != svgType
	case strings.HasSuffix(granted, "+xml"):
		return found == xmlType || !complete
	case slices.Contains(f.bases, htmlType):
		return true
	}
	return found == xmlType && slices.Contains(f.bases, xmlType)
}

// identify returns what mimetype finds, corrected where it is known to be wrong.
func identify(head []byte) *mimetype.MIME {
	if hasAt(head, 257, "ustar") {
		return mimetype.Lookup("application/x-tar") // whatever the name and content of the first file look like
	}
	found := mimetype.Detect(head)
	switch {
	case base(found) == "":
		for _, m := range missed {
			if hasAt(head, 0, m.magic) && hasAt(head, m.offset, m.second) {
				return mimetype.Lookup(m.typ)
			}
		}
	case found.Is(pdfType) && !hasAt(head, 0, pdfMagic):
		// It may stand anywhere in the first kilobyte, and so in an archive whose first file is a PDF.
		other := mimetype.Detect(bytes.ReplaceAll(head, []byte(pdfMagic), []byte("%pdf-")))
		if base := base(other); base != "" && base != textType {
			return other
		}
	}
	return found
}

func hasAt(head []byte, offset int, magic string) bool {
	return len(head) >= offset && bytes.HasPrefix(head[offset:], []byte(magic))
}

// name returns a type without its parameters, or "" for the one that stands for all others.
func name(m *mimetype.MIME) string {
	if m.Parent() == nil {
		return ""
	}
	name, _, _ := strings.Cut(m.String(), ";")
	return name
}

// base returns the most general type that m is a kind of: application/zip for a .docx, text/plain for JSON.
func base(m *mimetype.MIME) string {
	for p := m.Parent(); p != nil && p.Parent() != nil; p = m.Parent() {
		m = p
	}
	return name(m)
}

// isText reports whether there is no byte that only binary data has.
//
// See https://mimesniff.spec.whatwg.org/#sniffing-a-mislabeled-binary-resource.
func isText(head []byte) bool {
	return !slices.ContainsFunc(head, func(b byte) bool {
		return b < '\t' || b == '\v' || '\r' < b && b < '\x1b' || '\x1b' < b && b < ' '
	})
}
