package mediatype

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// everything is a policy that allows all types but active ones.
var everything = []string{"*/*"}

func TestChoose(t *testing.T) {
	for _, c := range []struct{ name, declared, patterns, want string }{
		// The extension decides, and the policy's own name of a format is
		// preferred.
		{"a.jpg", "", "image/*", "image/jpeg"},
		{"a.jpg", "application/octet-stream", "image/jpg", "image/jpg"},
		{"a.jpg", "image/pjpeg", "image/*", "image/pjpeg"},
		{"a.jpg", "image/pjpeg", "image/jpeg", "image/jpeg"},
		{"a.bin", "", "*/*", "application/octet-stream"},
		{"a.png", "", "application/octet-stream", "application/octet-stream"},

		// A declared type chooses among the owners of an extension.
		{"a.ts", "text/typescript", "*/*", "text/typescript"},
		{"a.ts", "video/mp2ts", "*/*", "video/mp2ts"},
		{"a.hdr", "image/vnd.radiance", "image/*", "image/vnd.radiance"},
		{"a.mpp", "audio/x-musepack", "*/*", "audio/x-musepack"},
		{"a.fit", "", "*/*", "application/vnd.ant.fit"},
		{"a.fit", "image/fits", "*/*", "image/fits"},
		{"a.msg", "", "text/*", "text/plain"},

		// Types that the table does not have, and containers, are ignored.
		{"a.aac", "audio/x-acc", "audio/*", "audio/x-acc"},
		{"a.aac", "audio/made-up", "audio/*", "audio/aac"},
		{"a.tgz", "application/x-tar", "*/*", "application/gzip"},
		{"a.docx", "application/zip", "*/*", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
		{"a.DOCX", "application/x-zip-compressed", "*/*", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
		{"a.tar.gz", "application/x-tar", "*/*", "application/gzip"},
		{"a.apk", "application/java-archive", "*/*", "application/vnd.android.package-archive"},
		{"a.mbox", "text/plain", "*/*", "application/mbox"},
		{"a.aac", "audio/mp4", "audio/*", "audio/aac"},
		{"a.plist", "text/xml", "text/xml", "text/xml"},
		{"a.dng", "image/tiff", "image/*", "image/x-adobe-dng"},
		{"a.pdf", "application/force-download", "application/pdf", "application/pdf"},
		{"a.mov", "video/mp4", "video/*", "video/quicktime"},
		{"a.avif", "image/heif", "image/*", "image/avif"},
		{"a.vsdx", "application/vnd.ms-visio.drawing.main+xml", "*/*", "application/vnd.ms-visio.drawing"},
		{"a.pst", "application/vnd.ms-outlook", "*/*", "application/vnd.ms-outlook-pst"},

		// Without an extension, the declared type decides. Words and numbers
		// are not an extension.
		{"scan", "application/pdf", "application/pdf", "application/pdf"},
		{"photo 2026.11.27", "image/png", "image/*", "image/png"},
		{"Report by Dr. Smith and others", "application/pdf", "*/*", "application/pdf"},
		{"photo.jpg_large", "image/jpeg", "image/*", "image/jpeg"},

		// An unknown extension may have any type except a type of files that
		// people view or play.
		{"a.zig", "text/plain", "text/*", "text/plain"},
		{"a.acme", "application/vnd.acme", "*/*", "application/vnd.acme"},
		{"a.acme", "image/vnd.acme", "image/vnd.acme", "image/vnd.acme"},
		{"a.acme", "application/zip", "application/*", "application/zip"},

		// Browsers declare no type for most dialects of XML.
		{"a.unheard-of", "", "image/* application/xml", "application/xml"},
		{"a.unheard-of", "application/octet-stream", "text/xml", "text/xml"},
		{"a.unheard-of", "", "*/* application/xml", "application/octet-stream"},
		{"a.xmp", "", "application/xml", "application/xml"},
		{"a.xfdf", "", "application/xml", "application/xml"},
		{"a.dita", "", "text/xml", "text/xml"},
		{"a.resx", "", "application/xml", "application/xml"},
		{"a.vcxproj", "", "application/xml", "application/xml"},
		{"a.graphml", "", "application/xml", "application/xml"},
		{"a.fodt", "", "application/xml", "application/xml"},
		{"a.xfdf", "", "*/*", "application/vnd.adobe.xfdf"},

		// Systems drop trailing blanks and dots, and marks are invisible.
		{"a.png. .", "image/png", "image/*", "image/png"},
		{"\u200f\u200f\u05dc\u05db\u05d9\u05d3\u05d4.png", "", "image/*", "image/png"},
		{"\u05dc\u05db\u05d9\u05d3\u05d4.p\u200eng\u200f", "", "image/*", "image/png"},
	} {
		got, fault := Choose(c.name, c.declared, strings.Fields(c.patterns))
		require.Nil(t, fault, "%q %s", c.name, c.declared)
		require.Equal(t, c.want, got, "%q %s", c.name, c.declared)
	}
}

func TestChooseRejects(t *testing.T) {
	for _, c := range []struct {
		name, declared, patterns string
		kind                     error
		want                     string
	}{
		{"a.png", "image", "*/*", ErrInvalid, `must be a media type such as image/png, got "image"`},
		{"a.png", "unknown/unknown", "*/*", ErrNotAllowed, `must not be "unknown/unknown", which is never granted`},
		{"a.png", "text/html", "image/*", ErrContradictsName, `must match the file's name, whose type is "image/png", got "text/html"`},
		{"a.html", "image/png", "image/*", ErrContradictsName, `must match the file's name, whose type is "text/html", got "image/png"`},
		{"a.html. .", "image/png", "image/*", ErrContradictsName, `whose type is "text/html"`},
		{"a.html\u200f", "image/png", "image/*", ErrContradictsName, `whose type is "text/html"`},
		{"a.h\u061ctml", "image/png", "image/*", ErrContradictsName, `whose type is "text/html"`},
		{"a.png", "image/vnd.acme+xml", "*/*", ErrContradictsName, `got "image/vnd.acme+xml"`},
		{"a.docx", "text/xml", "*/*", ErrContradictsName, `got "text/xml"`},
		{"a.xml", "text/html", "*/* text/html", ErrContradictsName, `got "text/html"`},
		{"a.exe", "image/png", "image/*", ErrContradictsName, `got "image/png"`},
		{"a.exe", "image/made-up", "image/*", ErrNotAllowed, `must be one of image/*, got "application/vnd.microsoft.portable-executable"`},
		{"a.html", "image/made-up", "image/*", ErrNotAllowed, `must be one of image/*, got "text/html"`},
		{"a.html", "", "*/*", ErrNotAllowed, `must be one of */*, got "text/html"; browsers run it, so that a policy must name it in full`},
		{"a.mp4", "image/heic", "image/* video/*", ErrContradictsName, `got "image/heic"`},
		{"a.docx", "application/pdf", "*/*", ErrContradictsName, `got "application/pdf"`},
		{"a.png", "application/zip", "*/*", ErrContradictsName, `got "application/zip"`},
		{"a.acme", "", "image/*", ErrNotAllowed, `must be one of image/*, got "application/octet-stream"; declare the type, because the extension ".acme" is not known`},
		{"a", "", "image/*", ErrNotAllowed, `must be one of image/*, got "application/octet-stream"`},
		{"a.acme", "image/vnd.acme", "image/*", ErrNotAllowed, `must be named in full by the policy, because the extension ".acme" is not known, got "image/vnd.acme"`},
		{"a.rdp", "image/jpeg", "image/*", ErrContradictsName, `must match the file's name, which ends in ".rdp", got "image/jpeg"; such files end in .jfif or .jpe or .jpeg or .jpg`},
	} {
		got, err := Choose(c.name, c.declared, strings.Fields(c.patterns))
		require.NotNil(t, err, c.name)
		require.ErrorIs(t, err, c.kind, c.name)
		require.ErrorContains(t, err, c.want, c.name)
		require.True(t, strings.HasPrefix(err.Error(), "must "), err)
		require.Empty(t, got)
	}
}

// TestChooseRejectsPrograms checks that a program is never granted a special
// type, even if the table does not have its extension.
func TestChooseRejectsPrograms(t *testing.T) {
	kinds := strings.Fields(`image/png image/jpeg image/svg+xml image/x-tga image/vnd.acme
		video/mp4 video/acme audio/mpeg audio/x-acme font/woff2 model/stl
		application/pdf application/msword application/rtf application/epub+zip application/ogg
		application/vnd.openxmlformats-officedocument.wordprocessingml.document
		application/vnd.oasis.opendocument.text`)
	for extension := range strings.FieldsSeq(`rdp website inetloc php7 pht library-ms
		searchconnector-ms php3 phps jspx jspf ashx asmx cshtml cfm cgi appinstaller xbap msh mst
		ocx udl printerexport fileloc scpt action osax prefpane saver app tool mcl diagpkg vsto xnk
		{00021401-0000-0000-c000-000000000046} msixbundle appxbundle ps1xml PHP7 RdP exe html lnk
		url hta js`) {
		for _, declared := range kinds {
			for _, name := range []string{
				"photo." + extension, "photo.png." + extension,
				"photo." + extension + " .", "photo." + extension + "\u200f",
			} {
				got, err := Choose(name, declared, []string{
					"image/*", "video/*", "audio/*", "font/*", "model/*", "*/*",
					"application/pdf", "image/png",
				})
				if err == nil { // The declared type was ignored.
					require.False(t, special(got), "%s %s", name, got)
				}
			}
		}
	}
}

// justified has the pairs in tables of systems that contradict the table of
// this package, with the reason.
var justified = map[string]string{
	"cpl application/cpl+xml":                    "a program on Windows, and XML is active",
	"rs application/rls-services+xml":            "source code, and XML is active",
	"mpp application/dash-patch+xml":             "a document, and XML is active",
	"pls application/pls+xml":                    "a playlist, and XML is active",
	"spx application/x-apple-systemprofiler+xml": "audio, and XML is active",
	"mod application/xml-dtd":                    "audio, and XML is active",
	"wsc message/vnd.wfa.wsc":                    "a script on Windows, which another active type must not hide",
	"jsx text/jscript":                           "source code; JavaScript is active",
	"xll application/vnd.ms-excel":               "a program (a DLL that Excel loads), not a document",
	"rtttl audio/midi":                           "a ringtone in text, whereas MIDI files promise a signature",
	"nsc video/x-ms-asf":                         "a station's address in text, whereas ASF files promise a signature",
	"pnz image/png":                              "not a PNG file: it is compressed",
	"x3dz model/x3d+xml":                         "not XML: it is compressed",
}

// TestTablesOfSystems checks that the type tables of real systems do not
// contradict the table of this package.
func TestTablesOfSystems(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.Len(t, files, 6)
	total, met := 0, map[string]bool{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		pairs, contradictions, unnamed := 0, 0, 0
		for line := range strings.Lines(string(content)) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			typ, extensions, _ := strings.Cut(strings.TrimSpace(line), " ")
			for extension := range strings.FieldsSeq(extensions) {
				pairs++
				// A policy that names the type in full allows even active
				// types.
				_, err := Choose("file."+extension, typ, append(everything, typ))
				if err != nil && errors.Is(err, ErrContradictsName) {
					contradictions++
					pair := extension + " " + typ
					require.NotEmpty(t, justified[pair], "%s: %s", filepath.Base(file), pair)
					met[pair] = true
					continue
				}
				require.True(t,
					err == nil || errors.Is(err, ErrNotAllowed), "%s %s", extension, typ)
				if kind, _, _ := strings.Cut(typ, "/"); special(typ) && !Active(typ) {
					_, err := Choose("file."+extension, typ, []string{kind + "/*"})
					if err != nil && lookUp(extension) == nil {
						unnamed++
					}
				}
			}
		}
		total += pairs
		t.Logf("%s: %d pairs, %d rejected, each for a reason; %d of unknown extensions need a policy that names the type in full",
			filepath.Base(file), pairs, contradictions, unnamed)
		if name := filepath.Base(file); name == "chromium.txt" || name == "firefox.txt" {
			require.Zero(t, contradictions, name)
		}
	}
	require.Len(t, met, len(justified), "a reason without a pair")
	t.Logf("%d pairs in all, %d rejected", total, len(met))
	require.Greater(t, total, 4000)
}

// FuzzChoose checks that a chosen type is allowed, is chosen again, and is not
// a special type under an unknown extension.
func FuzzChoose(f *testing.F) {
	f.Add("a.png", "image/png", "image/*")
	f.Add("a.rdp", "application/pdf", "*/*")
	f.Add("a.html\u200f", "", "text/html")
	f.Fuzz(func(t *testing.T, name, declared, pattern string) {
		pattern, err := ParsePattern(pattern)
		if err != nil {
			return
		}
		got, fault := Choose(name, declared, []string{pattern})
		if fault != nil {
			require.Empty(t, got)
			require.True(t, strings.HasPrefix(fault.Error(), "must "), fault)
			return
		}
		require.True(t, Match(pattern, got))
		again, fault := Choose(name, got, []string{pattern})
		require.Nil(t, fault)
		require.Equal(t, got, again)
		if extension := Extension(name); extension != "" && lookUp(extension) == nil {
			require.True(t, !special(got) || !known(got), "%q %s", name, got)
		}
	})
}
