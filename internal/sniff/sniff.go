// Package sniff compares the first bytes of a file with the media type that it
// was granted.
//
// It detects mistakes and simple deception. It does not prove that a file
//
//   - is whole or well-formed beyond its first bytes,
//   - is of one type only,
//   - has no macros, scripts or exploits, or
//   - is an archive with contents of the granted type, or unpacks to a sane
//     size.
//
// A polyglot starts like a file of its granted type. Examples are a GIF that is
// also a script, and a JPEG with HTML in its comment.
//
// Formats without a signature are accepted unless the bytes show another
// format. Services that serve uploads must still send X-Content-Type-Options:
// nosniff, preferably from a separate origin.
//
// Package mimetype reads the signatures. A program can change the results of
// package mimetype by SetLimit and Extend.
package sniff

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/s3presign/presign/internal/mediatype"
)

// Head is the number of bytes of a file that Check reads. Head must not change:
// a published object carries a digest of this many bytes, and an object with
// another digest might be deleted.
const Head = 4 << 10

const (
	htmlType  = "text/html"
	xhtmlType = "application/xhtml+xml"
	xmlType   = "text/xml"
	svgType   = "image/svg+xml"
	textType  = "text/plain"
	pdfType   = "application/pdf"
	zipType   = "application/zip"
	oleType   = "application/x-ole-storage"
	mp3Type   = "audio/mpeg"
)

// ErrContradictsContent is wrapped by the errors of Check if the bytes have
// another type than the granted one.
var ErrContradictsContent = errors.New("the type contradicts the content")

// A mismatch is an error whose text follows "a file that".
type mismatch struct{ granted, detected string }

func (m *mismatch) Unwrap() error { return ErrContradictsContent }

func (m *mismatch) Error() string {
	if m.detected == "" {
		return "does not look like " + m.granted
	}
	extension := mediatype.ExtensionOf(m.detected)
	if extension == "" || !isMedia(m.granted) || !isMedia(m.detected) ||
		mediatype.Active(m.detected) {
		return "looks like " + m.detected
	}
	return fmt.Sprintf("looks like %s: rename it to end in .%s, or convert it",
		m.detected, extension)
}

// isMedia reports whether a type is a type of pictures, video or audio.
func isMedia(typ string) bool {
	return strings.HasPrefix(typ, "image/") || strings.HasPrefix(typ, "video/") ||
		strings.HasPrefix(typ, "audio/")
}

// Check returns the type that a file looks like by its first Head bytes, or ""
// if the bytes show no type. It returns an error that wraps
// ErrContradictsContent if that type contradicts the granted type.
//
// These agree with the granted type:
//
//   - the same format by another name,
//   - another format in the same container, unless the container names another
//     kind,
//   - any text for a type of text, and
//   - bytes without a signature for a type whose files need not have one.
//
// A container can name its kind: a video is not a picture, and a program or
// installer is not a document.
//
// Markup, which browsers might run, agrees only with types of text and with
// types that are markup.
func Check(head []byte, granted string) (detected string, err error) {
	if granted, err = mediatype.Parse(granted); err != nil {
		return "", err
	}
	detected, agrees := newView(head[:min(len(head), Head)]).agrees(granted)
	if !agrees {
		return detected, &mismatch{granted, detected}
	}
	return detected, nil
}

// A view describes the first bytes of a file.
type view struct {
	markup   string // the type of the markup, or ""
	complete bool   // whether the root of the markup was reached
	found    finding
	prose    bool // text that is not a PDF
}

// newView searches for markup first, as browsers do, because markup can contain
// the signature of another format.
func newView(head []byte) (v view) {
	if v.markup, v.complete = markup(head); v.markup == "" {
		v.found = identify(head)
		v.prose = isText(head) && !hasAt(head, 0, pdfMagic)
	}
	return v
}

// agrees returns the type that the bytes look like, and reports whether a file
// of the granted type may look like that type.
func (v view) agrees(granted string) (detected string, agrees bool) {
	f := formOf(granted)
	switch {
	case v.markup != "":
		return v.markup, f.takesMarkup(granted, v.markup, v.complete)
	case f.anything:
		return v.found.name, true
	case v.found.name == "":
		return "", !f.signed
	case v.prose && slices.Contains(f.bases, textType):
		// Prose can start like a binary format: "MZ", "BZh", "GIF89a". A PDF
		// can be all text, but it is not prose.
		return textType, true
	}
	return v.found.name, f.takes(granted, v.found)
}

// takes reports whether a file of the granted type may have the format that was
// found.
func (f form) takes(granted string, found finding) bool {
	switch {
	case contradictsKind(granted, found.kind):
		return false
	case f.signed && found.base == mp3Type && !found.tagged:
		return false // Frames are found by chance, but these formats have a tag before the frames.
	case slices.Contains(f.bases, found.base), slices.Contains(f.bases, found.name):
		return true
	}
	return !f.listed && found.hasType(granted)
}

// contradictsKind reports whether a type has another kind than k, the kind that
// a container names.
func contradictsKind(granted string, k kind) bool {
	switch k {
	case still:
		return strings.HasPrefix(granted, "video/") || strings.HasPrefix(granted, "audio/")
	case moving:
		return strings.HasPrefix(granted, "image/")
	case program:
		return mediatype.Special(granted)
	}
	return false
}

// takesMarkup reports whether a file of the granted type may be the markup that
// was found. Complete is false if the root of the markup was not reached.
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
