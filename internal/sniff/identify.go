package sniff

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/gabriel-vasile/mimetype"
)

// A finding describes the format of the first bytes of a file.
type finding struct {
	// Name is the type, and base the most general type that includes it. Both
	// are empty if the format is unknown.
	name, base string

	kind   kind
	tagged bool // the file starts with an ID3 tag
	mime   *mimetype.MIME
}

// hasType reports whether the file has a type, given by one of its names.
func (f finding) hasType(typ string) bool { return f.mime.Is(typ) }

// identify returns the result of mimetype, and corrects known errors.
func identify(head []byte) finding {
	found := detect(head)
	f := finding{name: name(found), base: base(found), tagged: hasAt(head, 0, "ID3"), mime: found}
	switch f.base {
	case zipType:
		if typ := programInZip(head); typ != "" {
			f.name, f.kind = typ, program
		}
	case oleType:
		if installerInOLE(head) {
			f.name = msiType
		}
	case "video/mp4", "video/quicktime":
		f.kind = kindOfMedia(head)
		switch {
		case hasAt(head, 8, "crx "):
			f.name = "image/x-canon-cr3"
		case f.kind == still && !strings.HasPrefix(f.name, "image/"):
			f.name = "image/heif"
		}
	case "image/jp2", "image/jpx", "image/jpm", "image/tiff":
		f.kind = still
	case "video/webm", "video/matroska", "video/x-ms-asf", "application/ogg":
		f.kind = moving
	}
	if f.base == "image/jp2" && hasAt(head, 20, "mjp2") {
		f.name, f.kind = "video/mj2", moving
	}
	if programs[f.name] {
		f.kind = program
	}
	return f
}

// detect returns the result of mimetype, or the type of a signature that
// mimetype does not detect.
func detect(head []byte) *mimetype.MIME {
	if hasAt(head, 257, "ustar") {
		// The name and content of the first file might match another format.
		return mimetype.Lookup("application/x-tar")
	}
	if hasAt(head, 0, "SIMPLE  =") {
		return mimetype.Lookup("application/fits") // Package mimetype detects text.
	}
	found := mimetype.Detect(head)
	switch base := base(found); {
	case base == "":
		if typ := detectMissing(head); typ != "" {
			return mimetype.Lookup(typ)
		}
	case found.Is(pdfType):
		return checkPDF(head, found)
	case base == "application/x-bzip2" && !isBzip2(head),
		isText(head) && !slices.Contains(textual, base):
		return mimetype.Lookup(textType) // Prose can start like a binary format.
	}
	return found
}

// textual lists the formats whose first bytes can all be text.
var textual = []string{textType, pdfType, "application/vnd.fdf", "application/postscript",
	"application/x-archive", "application/fits", "application/vnd.apple.mpegurl",
	"application/pkcs7-signature", "application/x-cpio", "application/x-bittorrent",
	"application/marc", "image/x-xpixmap", "image/vnd.dxf", "image/vnd.radiance"}

func isBzip2(head []byte) bool {
	return len(head) > 3 && '1' <= head[3] && head[3] <= '9' &&
		(hasAt(head, 4, "1AY&SY") || hasAt(head, 4, "\x17\x72\x45\x38\x50\x90"))
}

const pdfMagic = "%PDF-"

// checkPDF returns the type of a file that mimetype detects as a PDF. The
// signature can be anywhere in the first kilobyte. It can also be in an archive
// whose first file is a PDF, or after a script.
func checkPDF(head []byte, found *mimetype.MIME) *mimetype.MIME {
	i := bytes.Index(head, []byte(pdfMagic))
	if i <= 0 {
		return found
	}
	other := mimetype.Detect(bytes.ReplaceAll(head, []byte(pdfMagic), []byte("%pdf-")))
	base := base(other)
	switch {
	case base != "" && base != textType:
		return other
	case !mayBeScript(head[:i]):
		return found
	case base == "":
		return mimetype.Lookup(textType)
	}
	return other
}

// mayBeScript reports whether b can be the start of a script. Binary data that
// follows might be in a comment of the script. White space and the byte order
// mark of UTF-8 alone are not a script.
func mayBeScript(b []byte) bool {
	b = bytes.TrimLeft(bytes.TrimPrefix(b, []byte(marks[0])), space)
	if len(b) == 0 {
		return false
	}
	for _, mark := range marks[1:] {
		if bytes.HasPrefix(b, []byte(mark)) {
			return true
		}
	}
	if len(b) > 3 && b[0] == 0 && b[2] == 0 {
		b = b[1:] // UTF-16
	}
	c := b[0]
	return ' ' < c && c <= '~' || c == 0xa0 || c == 0xaa || c == 0xb5 || c == 0xba || c >= 0xc0
}

// signatures lists signatures that mimetype does not detect, or detects only in
// some files. Each signature can have two parts.
var signatures = []struct {
	magic  string
	offset int
	second string
	typ    string
}{
	{"II+\x00", 4, "\x08\x00", "image/tiff"}, {"MM\x00+", 4, "\x00\x08", "image/tiff"}, // BigTIFF
	{"\x00\x00\x00\x0cjP  ", 20, "mjp2", "image/jp2"}, {"\xff\x4f\xff\x51", 4, "", "image/jp2"},
	{"fLaC", 4, "", "audio/flac"},
	{"RF64", 8, "WAVE", "audio/wav"}, {"BW64", 8, "WAVE", "audio/wav"}, // files over 4 GiB
	{"RIFX", 8, "WAVE", "audio/wav"}, {"FORM", 8, "AIFC", "audio/aiff"},
	{"RIFF", 8, "RMID", "audio/midi"}, {"RIFF", 8, "AVI ", "video/x-msvideo"},
	{"MAC ", 4, "", "audio/ape"}, {"MP+", 3, "", "audio/musepack"},
	{"\xc5\xd0\xd3\xc6", 4, "", "application/postscript"}, // EPS for DOS
	{"ITSF", 4, "", "application/vnd.ms-htmlhelp"},
	{"PK00PK\x03\x04", 8, "", zipType}, // an archive that can be split
	{"\x00\x01\x00\x00\x00", 5, "", "font/ttf"}, {"true\x00", 5, "", "font/ttf"},
	{"OTTO", 4, "", "font/otf"},
	{"#!", 2, "", "text/x-shellscript"}, // a script before an archive
}

// detectMissing returns the type of a file that mimetype does not detect, or
// "".
func detectMissing(head []byte) string {
	for _, s := range signatures {
		if hasAt(head, 0, s.magic) && hasAt(head, s.offset, s.second) {
			return s.typ
		}
	}
	if isBitmap(head) {
		return "image/bmp"
	}
	return box(head)
}

// isBitmap reports whether head starts with the headers of a BMP file. The
// second header has any of a dozen sizes. The size of the picture and one plane
// follow.
func isBitmap(head []byte) bool {
	if !hasAt(head, 0, "BM") || len(head) < 30 {
		return false
	}
	switch size := binary.LittleEndian.Uint32(head[14:]); {
	case size == 12:
		return hasAt(head, 22, "\x01\x00")
	case 16 <= size && size <= 128:
		return hasAt(head, 26, "\x01\x00")
	}
	return false
}

func hasAt(head []byte, offset int, magic string) bool {
	return len(head) >= offset && bytes.HasPrefix(head[offset:], []byte(magic))
}

// name returns a type without its parameters, or "" for the root of all types.
func name(m *mimetype.MIME) string {
	if m.Parent() == nil {
		return ""
	}
	name, _, _ := strings.Cut(m.String(), ";")
	return name
}

// base returns the most general type that includes m: application/zip for a
// .docx, text/plain for JSON.
func base(m *mimetype.MIME) string {
	for p := m.Parent(); p != nil && p.Parent() != nil; p = m.Parent() {
		m = p
	}
	return name(m)
}

// isText reports whether head has no byte that only binary data has.
//
// See https://mimesniff.spec.whatwg.org/#sniffing-a-mislabeled-binary-resource.
func isText(head []byte) bool {
	return !slices.ContainsFunc(head, func(b byte) bool {
		return b < '\t' || b == '\v' || '\r' < b && b < '\x1b' || '\x1b' < b && b < ' '
	})
}
