package objectkey_test

import (
	"mime"
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/objectkey"
)

func TestCheck(t *testing.T) {
	for _, name := range []string{
		"a", "photo.jpg", "日本語「引用」 \"quoted\" と 空白.pdf", "${filename}", "a$$b.csv", ".htaccess",
		"...", "e\u0301.txt", "é.txt",
		"Rechnung (1) – Müller & Söhne.pdf", "שלום.txt", "👩‍👩‍👧.png", strings.Repeat("a", 255),
		"a%2Fb",
		"\u200f\u200f\u05dc\u05db\u05d9\u05d3\u05d4.png", "\u200e\u061ca.png\u200f",
		strings.Repeat("\u6f22", 84) + ".png", strings.Repeat("\u6f22", 255),
		strings.Repeat("\U0001F600", 127),
		strings.Repeat("\u1112\u1161\u11ab", 170), strings.Repeat("\ud55c", 255),
		strings.Repeat("e\u0301", 255), strings.Repeat("\u00e9", 255),
		strings.Repeat("\u304b\u3099", 255), "C:evil.txt", "-rf",
	} {
		require.NoError(t, objectkey.Check(name), name)
	}
	for name, want := range map[string]string{
		"":                                   "must not be empty",
		".":                                  "must not name a folder",
		"..":                                 "must not name a folder",
		"../a":                               "without a path, got the separator '/'",
		`a\b`:                                `without a path, got the separator '\\'`,
		"a\x00b":                             "control characters, got U+0000",
		"a\r\nb":                             "control characters, got U+000D",
		"a\x7fb":                             "control characters, got U+007F",
		"a\u0085b":                           "control characters, got U+0085",
		"a\u2028b":                           "control characters, got U+2028",
		"gpj.\u202eexe":                      "direction of writing, got U+202E",
		"a\u2066b":                           "direction of writing, got U+2066",
		"a\xff":                              "must be valid UTF-8",
		strings.Repeat("a", 256):             "at most 255 UTF-16 units, got 256",
		strings.Repeat("\u6f22", 256):        "at most 255 UTF-16 units, got 256",
		strings.Repeat("\U0001F600", 128):    "at most 255 UTF-16 units, got 256",
		"a" + strings.Repeat("\u0301", 765):  "at most 1530 bytes, got 1531",
		strings.Repeat("\u202a", 1) + ".png": "direction of writing, got U+202A",
		"a\u202bb":                           "direction of writing, got U+202B",
		"a\u202cb":                           "direction of writing, got U+202C",
		"a\u202db":                           "direction of writing, got U+202D",
		"a\u2067b":                           "direction of writing, got U+2067",
		"a\u2068b":                           "direction of writing, got U+2068",
		"a\u2069b":                           "direction of writing, got U+2069",
	} {
		require.ErrorContains(t, objectkey.Check(name), want, "%q", name)
	}
}

func TestSafe(t *testing.T) {
	for name, want := range map[string]string{
		"photo.jpg":                              "photo.jpg",
		"my photo (1).JPG":                       "my-photo--1-.JPG",
		"${filename}":                            "_-filename-",
		"日本語 \"a\".pdf":                          "日本語--a-.pdf",
		"e\u0301.txt":                            "e\u0301.txt",
		".htaccess":                              "htaccess",
		"...":                                    "-",
		"a.":                                     "a",
		"a.png ":                                 "a.png",
		"a.png. . ":                              "a.png",
		" .. ":                                   "-",
		"\u200f\u05dc.png\u200f":                 "\u05dc.png",
		"a.png\u200e ":                           "a.png",
		strings.Repeat("\u6f22", 250) + ".jpeg ": strings.Repeat("\u6f22", 65) + ".jpeg",
		"a%2e%2e%2fb":                            "a-2e-2e-2fb",
		"a;b&c=d?e#f.png":                        "a-b-c-d-e-f.png",
		strings.Repeat("a", 251) + ".png":        strings.Repeat("a", 196) + ".png",
		strings.Repeat("本", 80) + ".pdf":         strings.Repeat("本", 65) + ".pdf",
		"a." + strings.Repeat("b", 250):          "a." + strings.Repeat("b", 198),
	} {
		require.Equal(t, want, objectkey.Safe(name))
	}
}

func TestDisposition(t *testing.T) {
	require.Equal(t, `attachment; filename*=UTF-8''na%C3%AFve%20%22a%22%20%24%7Bb%7D%25.txt`,
		objectkey.Disposition("attachment", `naïve "a" ${b}%.txt`))
	require.Equal(t, `inline; filename*=UTF-8''a%3Bb%2Cc%27d%2A.png`,
		objectkey.Disposition("inline", "a;b,c'd*.png"))
}

func TestName(t *testing.T) {
	for _, header := range []string{
		"", "attachment", `attachment; filename="a.png"`, "attachment; filename*=UTF-8''%zz",
		"attachment; filename*=UTF-8''a%2Epng",
		"attachment; filename*=UTF-8''a.png; x=y", "attachment; filename*=utf-8''a.png",
	} {
		require.Empty(t, objectkey.Name(header), header)
	}
}

// FuzzName checks that a name becomes a safe segment with the same extension,
// and that the header contains the complete name.
func FuzzName(f *testing.F) {
	for _, name := range []string{
		"a.png", "日本.pdf", "..", ".a", "a..", "$.$", strings.Repeat("é", 120) + ".tar.gz",
		"\u0301.x", "a.\u0301",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if objectkey.Check(name) != nil {
			return
		}
		safe := objectkey.Safe(name)
		require.NotEmpty(t, safe)
		require.LessOrEqual(t, len(safe), 200)
		require.True(t, utf8.ValidString(safe))
		require.NotContains(t, []byte{safe[0], safe[len(safe)-1]}, byte('.'))
		require.Equal(t, -1, strings.IndexFunc(safe, func(r rune) bool {
			return !strings.ContainsRune("._-", r) &&
				!unicode.In(r, unicode.L, unicode.M, unicode.Nd)
		}), safe)
		require.NoError(t, objectkey.Check(safe))
		require.Equal(t, safe, objectkey.Safe(safe), "a safe name is unchanged")
		marks := strings.NewReplacer("\u200e", "", "\u200f", "", "\u061c", "")
		shown := strings.TrimRight(marks.Replace(name), ". ")
		ext := path.Ext(shown)
		unsafe := strings.ContainsFunc(ext, func(r rune) bool {
			return r != '.' && !unicode.In(r, unicode.L, unicode.M, unicode.Nd)
		})
		if len(ext) > 1 && len(ext) < 20 && strings.TrimLeft(shown, ".") != ext[1:] && !unsafe {
			require.Equal(t, ext, path.Ext(safe), safe)
		}

		header := objectkey.Disposition("attachment", name)
		require.Equal(t, -1, strings.IndexFunc(header, func(r rune) bool {
			return r <= ' ' && r != ' ' || r > '~' || r == '$'
		}))
		_, params, err := mime.ParseMediaType(header)
		require.NoError(t, err)
		require.Equal(t, name, params["filename"])
		_, escaped, _ := strings.Cut(header, "''")
		unescaped, err := url.PathUnescape(escaped)
		require.NoError(t, err)
		require.Equal(t, name, unescaped)
		require.Equal(t, name, objectkey.Name(header))
	})
}
