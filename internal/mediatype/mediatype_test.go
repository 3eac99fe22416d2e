package mediatype

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"image/png":                             "image/png",
		"Image/PNG":                             "image/png",
		" image/png ":                           "image/png",
		"image/svg+xml":                         "image/svg+xml",
		"application/vnd.ms-excel":              "application/vnd.ms-excel",
		"text/plain;charset=utf-8":              "text/plain",
		"text/plain ; charset=utf-8 ; format=x": "text/plain",
		`text/plain; charset="utf-8"`:           "text/plain",
		`video/mp4; codecs="avc1.42E01E,mp4a"`:  "video/mp4",
		`video/mp4; codecs="avc1"; x=y`:         "video/mp4",
		"video/webm;codecs=vp8,opus":            "video/webm",
		"video/x-matroska;Codecs=avc1,opus;a=b": "video/x-matroska",
		`text/plain; a="quoted \" , ; = \\"`:    "text/plain",
		`text/plain; a=""`:                      "text/plain",
		"a/b":                                   "a/b",
		"text/plain;":                           "text/plain",
		"text/plain;;":                          "text/plain",
		"text/plain; ":                          "text/plain",
		"text/plain; ;charset=utf-8; ;":         "text/plain",
		"text/plain\t;\tcharset=utf-8\t":        "text/plain",
		"\r\n\t text/plain;charset=utf-8\r\n":   "text/plain",
		"image/png\t":                           "image/png",
		`application/pdf; name="résumé.pdf"`:    "application/pdf",
		"text/plain; a=\"b\tc\"":                "text/plain",
		"application/pdf; name=\"" + strings.Repeat("n", 255) + "\"": "application/pdf",
		"!#$%&'+-.^_`|~/1":                    "!#$%&'+-.^_`|~/1",
		"a/" + strings.Repeat("b", maxName-2): "a/" + strings.Repeat("b", maxName-2),
	} {
		got, err := Parse(in)
		require.NoError(t, err, "%q", in)
		require.Equal(t, want, got)
	}

	for in, want := range map[string]string{
		"":                                    "got none",
		"   ":                                 "got none",
		";charset=utf-8":                      "got none",
		"image":                               "such as image/png",
		"image/":                              "such as image/png",
		"/png":                                "such as image/png",
		"image/png/x":                         "such as image/png",
		"image /png":                          "such as image/png",
		"image/png html":                      "such as image/png",
		"image/png\r\nX: y":                   "such as image/png",
		"image/png\x00":                       "such as image/png",
		"image/ｐng":                           "such as image/png",
		"image/\u212aml":                      "such as image/png", // U+212A is k in lower case.
		"text/html(x":                         "such as image/png",
		"image/png,text/html":                 "got the list",
		"image/png, text/html":                "got the list",
		"text/plain;, text/html":              "name=value",
		"*/*":                                 "got the pattern",
		"image/*":                             "got the pattern",
		"image/p*":                            "got the pattern",
		"image/jpegz;text/html":               "name=value",
		"image/png;a":                         "name=value",
		"image/png;a=":                        "name=value",
		"image/png;=b":                        "name=value",
		"image/png;a =b":                      "name=value",
		"image/png;a= b":                      "name=value",
		"image/png;a=b,c":                     "name=value",
		"image/png;a=b, c/d":                  "name=value",
		"image/png;codecs=b,text/html":        "name=value",
		"image/png;codecs=b, text/html":       "name=value",
		"image/png;codecs=,":                  "name=value",
		`image/png;a="`:                       "name=value",
		`image/png;a="b`:                      "name=value",
		`image/png;a="b\`:                     "name=value",
		`image/png;a="b\"`:                    "name=value",
		`image/png;a="b"c`:                    "name=value",
		`image/png;a="b",text/html`:           "name=value",
		"image/png;a=\"\n\"":                  "name=value",
		"image/png;a=\"\\\x7f\"":              "name=value",
		"image/png;a=é":                       "name=value",
		"a/" + strings.Repeat("b", maxName-1): "at most 255 bytes, got 256",
	} {
		got, err := Parse(in)
		require.ErrorContains(t, err, want, "%q", in)
		require.Empty(t, got)
		require.NotContains(t, err.Error(), "\n")
		require.Less(t, len(err.Error()), 150)
	}
}

func TestParsePattern(t *testing.T) {
	for in, want := range map[string]string{
		"image/png": "image/png", "IMAGE/*": "image/*", "*/*": "*/*", "text/html": "text/html",
		"x/y": "x/y", "multipart/related": "multipart/related", "image/svg+xml": "image/svg+xml",
	} {
		got, err := ParsePattern(in)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for in, want := range map[string]string{
		"": "must be a type such as", "*": "must be a type such as",
		"image": "must be a type such as", "image/": "must be a type such as",
		"*/png": "must be a type such as", "image/p*": "must be a type such as",
		"/*": "must be a type such as", "image/*/*": "must be a type such as",
		"*/*/*": "must be a type such as", "image/png;q=1": "must be a type such as",
		" image/png": "must be a type such as", ".png": "must be a type such as",
		"image/*;q=1": "must be a type such as", "image/png,image/gif": "must be a type such as",
		"im age/*":            "must be a type such as",
		"unknown/unknown":     "for which browsers guess",
		"Application/Unknown": "for which browsers guess",
		"multipart/*":         "which allows nothing",
		"message/*":           "which allows nothing",
	} {
		got, err := ParsePattern(in)
		require.ErrorContains(t, err, want, "%q", in)
		require.Empty(t, got)
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, typ string
		want         bool
	}{
		{"image/png", "image/png", true},
		{"image/png", "IMAGE/PNG;a=b", true},
		{"image/png", "image/gif", false},
		{"image/*", "image/png", true},
		{"image/*", "imagex/png", false},
		{"image/*", "video/mp4", false},
		{"*/*", "video/mp4", true},
		{"*/*", "application/octet-stream", true},

		{"*/*", "text/html", false},
		{"*/*", "Text/HTML; charset=utf-8", false},
		{"text/*", "text/html", false},
		{"text/html", "text/html", true},
		{"image/*", "image/svg+xml", false},
		{"image/svg+xml", "image/svg+xml", true},
		{"multipart/*", "multipart/related", false},
		{"multipart/related", "multipart/related", true},

		{"*/*", "unknown/unknown", false},
		{"unknown/unknown", "unknown/unknown", false},
		{"*/*", "*/*", false},
		{"image/*", "image/*", false},
		{"*/*", "", false},
		{"*/*", "image/png,text/html", false},
		{"", "", false},
		{"", "image/png", false},
		{"*", "image/png", false},
		{"image*", "image/png", false},
		{"image/p*", "image/png", false},
	} {
		require.Equal(t, c.want, Match(c.pattern, c.typ), "%q %q", c.pattern, c.typ)
	}
}

func TestNever(t *testing.T) {
	for _, typ := range []string{
		"unknown/unknown", "Application/Unknown", "application/unknown; a=b",
		"*/*", "image/*", "", "x", "a/b,c/d", "application/x-unknown-content-type",
	} {
		require.True(t, Never(typ), typ)
		require.True(t, Active(typ), typ)
	}
	require.False(t, Never("application/octet-stream"))
	require.False(t, Never("text/html"))
}

func TestActive(t *testing.T) {
	for _, typ := range strings.Fields(`
		text/html TEXT/HTML text/html;charset=utf-8 application/xhtml+xml image/svg+xml text/xml
		application/xml text/xsl application/xslt+xml application/rss+xml
		application/vnd.wap.xhtml+xml text/rdf text/javascript text/javascript1.5
		application/x-javascript text/ecmascript text/livescript text/css application/wasm
		multipart/related multipart/x-mixed-replace message/rfc822 message/global
		application/x-mimearchive text/x-component
		application/x-shockwave-flash application/hta text/vbscript
	`) {
		require.True(t, Active(typ), typ)
	}
	for _, typ := range strings.Fields(`
		text/plain text/csv application/json application/ld+json application/pdf image/png
		application/octet-stream
		application/vnd.openxmlformats-officedocument.wordprocessingml.document
		application/java-archive text/typescript application/epub+zip text/x-php
		application/x-msdownload font/woff2
	`) {
		require.False(t, Active(typ), typ)
	}
}

func TestByExtension(t *testing.T) {
	for name, want := range map[string]string{
		"photo.jpg": "image/jpeg", "photo.JPG": "image/jpeg", "IMG_0001.HEIC": "image/heic",
		"a.tar.gz": "application/gzip", "übung.Md": "text/markdown", "a.html.png": "image/png",
		".png": "image/png", "a..png": "image/png",
		"a.mobileconfig": "application/x-apple-aspen-config",
		"dir.zip/a.txt":  "text/plain", "a.ts": "video/mp2t",
	} {
		types := ByExtension(name)
		require.NotEmpty(t, types, name)
		require.Equal(t, want, types[0], name)
	}
	for _, name := range []string{
		"", ".", "png", "a.", "a.png.", "a.png ", "a.unheard-of", "a.pn\x00g", "a.\u212aml",
		"a.png/b", "a." + strings.Repeat("x", 300),
	} {
		require.Nil(t, ByExtension(name), name)
	}
	for name, declared := range map[string]string{
		"a.csv":  "text/csv application/vnd.ms-excel application/csv text/x-csv text/comma-separated-values text/plain",
		"a.zip":  "application/zip application/x-zip-compressed application/x-zip",
		"a.md":   "text/markdown text/x-markdown text/plain",
		"a.gz":   "application/gzip application/x-gzip",
		"a.mp3":  "audio/mpeg audio/mp3",
		"a.wav":  "audio/wav audio/x-wav audio/wave audio/vnd.wave",
		"a.js":   "text/javascript application/javascript application/x-javascript",
		"a.heic": "image/heic image/heif",
		"a.heif": "image/heif image/heic",
		"a.mp4":  "video/mp4 audio/mp4",
		"a.webm": "video/webm audio/webm",
		"a.ogg":  "audio/ogg video/ogg application/ogg",
		"a.ts":   "video/mp2t text/typescript application/typescript",
		"a.rtf":  "application/rtf text/rtf application/msword",
		"a.stl":  "model/stl application/vnd.ms-pki.stl",
	} {
		require.Subset(t, ByExtension(name), strings.Fields(declared), name)
	}
	for name, contradiction := range map[string]string{
		"a.png": "image/jpeg", "a.html": "text/plain", "a.svg": "image/png", "a.txt": "text/html",
		"a.pdf": "text/html", "a.csv": "text/html", "a.exe": "image/png", "a.xml": "text/plain",
		"a.docx": "application/pdf",
	} {
		require.NotContains(t, ByExtension(name), contradiction, name)
	}
}

func TestSame(t *testing.T) {
	for _, group := range []string{
		"image/jpeg image/jpg image/pjpeg IMAGE/JPG image/jpeg;a=b",
		"application/zip application/x-zip-compressed",
		"audio/mp4 audio/x-m4a",
		"application/gzip application/x-gzip",
		"text/xml application/xml text/xml;charset=utf-8",
		"text/javascript application/javascript",
		"image/png image/vnd.mozilla.apng",
		"video/mp2t video/vnd.dlna.mpeg-tts",
		"application/rtf text/rtf",
		"made/up Made/Up",
	} {
		for _, a := range strings.Fields(group) {
			for _, b := range strings.Fields(group) {
				require.True(t, Same(a, b), "%s %s", a, b)
			}
		}
	}
	for a, b := range map[string]string{
		"image/jpeg": "image/png", "text/csv": "application/vnd.ms-excel",
		"text/plain": "text/markdown", "video/mp2t": "text/typescript",
		"video/mp4": "audio/mp4", "made/up": "made/too", "": "", "*/*": "*/*",
		"image/png": "made/up", "made/three": "image/png", "text/html": "application/xhtml+xml",
	} {
		require.False(t, Same(a, b), "%s %s", a, b)
		require.False(t, Same(b, a), "%s %s", b, a)
	}
}

// TestTable checks that every row satisfies the assumptions of the lookups.
func TestTable(t *testing.T) {
	rowOf := map[string]string{}
	formatOf := map[string]string{}
	longest := 0
	for line := range strings.Lines(table) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "# ") {
			continue
		}
		columns := strings.Split(line, "|")
		require.Contains(t, []int{2, 3}, len(columns), line)

		names := strings.Fields(columns[1])
		require.NotEmpty(t, names, line)
		preferred := names[0]
		require.False(t, Never(preferred), line)
		for _, name := range names {
			format, known := formatOf[name]
			require.True(t, !known || format == preferred,
				"%s names %s and %s", name, format, preferred)
			formatOf[name] = preferred
			require.True(t, Same(name, preferred), line)
		}

		types := names
		if len(columns) == 3 {
			others := strings.Fields(columns[2])
			require.NotEmpty(t, others, line)
			types = append(types, others...)
			for _, other := range others {
				require.False(t, Same(other, preferred), "%s is a name already: %s", other, line)
			}
		}
		require.Len(t, slices.Compact(slices.Sorted(slices.Values(types))), len(types),
			"twice: %s", line)
		for _, typ := range types {
			parsed, err := Parse(typ)
			require.NoError(t, err, line)
			require.Equal(t, typ, parsed)
			require.False(t, Never(typ), line)
			require.True(t, Active(typ) || !Active(preferred),
				"%s would pass an active file: %s", typ, line)
			require.True(t, Match(preferred, preferred))
		}

		extensions := strings.Fields(columns[0])
		require.NotEmpty(t, extensions, line)
		for _, extension := range extensions {
			require.Empty(t, rowOf[extension], "%s is in another row: %s", extension, line)
			rowOf[extension] = line
			longest = max(longest, len(extension))
			require.Regexp(t, "^[a-z0-9-]+$", extension)
			require.Equal(t, types, ByExtension("x."+extension))
			require.Equal(t, types, ByExtension("X."+strings.ToUpper(extension)))
		}
	}
	require.Equal(t, longest, maxExtension)
	require.Len(t, byExtension, len(rowOf))
	require.Equal(t, formatOf, formats)
	require.Greater(t, len(rowOf), 700)
	for container, extensions := range contents {
		require.False(t, Never(container))
		for _, extension := range extensions {
			require.NotEmpty(t, rowOf[extension], "%s has no row", extension)
			require.False(t, names(byExtension[extension], container),
				"%s is a type of .%s already", container, extension)
		}
	}
}

func TestAllocations(t *testing.T) {
	for name, f := range map[string]func(){
		"ByExtension": func() { ByExtension("photo.JPG") },
		"Parse":       func() { _, _ = Parse("text/plain; charset=utf-8") },
		"Match":       func() { Match("image/*", "image/png") },
		"Same":        func() { Same("image/jpg", "image/pjpeg") },
	} {
		require.Zero(t, testing.AllocsPerRun(100, f), name)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"image/png", "Text/HTML; charset=utf-8", `video/mp4; codecs="avc1,mp4a"`,
		"video/webm;codecs=vp8,opus", "*/*", "image/*",
		"image/jpegz;text/html", "a/b,c/d", `a/b;c="\"`, "a/b;c=\"\xff\"", "", "unknown/unknown",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		typ, err := Parse(s)
		if err != nil {
			require.Empty(t, typ)
			require.True(t, Never(s))
			require.True(t, Active(s))
			require.False(t, Match("*/*", s))
			require.False(t, Match(s, s))
			require.False(t, Same(s, s))
			for _, r := range err.Error() {
				require.GreaterOrEqual(t, r, ' ')
				require.NotEqual(t, '\x7f', r)
			}
			return
		}

		again, err := Parse(typ)
		require.NoError(t, err)
		require.Equal(t, typ, again)
		require.Regexp(t, "^[0-9a-z!#$%&'+.^_`|~-]+/[0-9a-z!#$%&'+.^_`|~-]+$", typ)
		require.LessOrEqual(t, len(s), maxLength)
		require.NotContains(t, []byte(s), byte(0))

		// Outside quoted strings, commas are allowed between codecs only.
		quoted, rest := false, strings.Builder{}
		for i := 0; i < len(s); i++ {
			switch c := s[i]; {
			case quoted && c == '\\':
				i++
			case c == '"':
				quoted = !quoted
			case !quoted:
				rest.WriteByte(c)
			}
		}
		require.False(t, quoted)
		parameters := strings.Split(rest.String(), ";")
		for _, parameter := range parameters {
			name, _, _ := strings.Cut(strings.Trim(parameter, whiteSpace), "=")
			require.True(t,
				!strings.Contains(parameter, ",") || strings.EqualFold(name, "codecs"), s)
		}
		require.Equal(t, typ, strings.ToLower(strings.Trim(parameters[0], whiteSpace)))

		require.Equal(t, Active(typ), Active(s))
		require.Equal(t, Never(typ), Never(s))
		require.True(t, Same(s, typ))
		require.Equal(t, !Active(typ), Match("*/*", s))
		require.Equal(t, !Never(typ), Match(typ, s))
		pattern, err := ParsePattern(typ)
		require.Equal(t, Never(typ), err != nil)
		if err == nil {
			require.Equal(t, typ, pattern)
		}
	})
}
