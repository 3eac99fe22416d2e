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
		"a", "photo.jpg", "日本語「引用」 \"quoted\" と 空白.pdf", "${filename}", "a$$b.csv", ".htaccess", "...", "e\u0301.txt", "é.txt",
		"Rechnung (1) – Müller & Söhne.pdf", "שלום.txt", "👩‍👩‍👧.png", strings.Repeat("a", 255), "a%2Fb", "C:evil.txt", "-rf",
	} {
		require.NoError(t, objectkey.Check(name), name)
	}
	for name, want := range map[string]string{
		"":                               "is required",
		".":                              "names a folder",
		"..":                             "names a folder",
		"../a":                           "path separator '/'",
		`a\b`:                            `path separator '\\'`,
		"a\x00b":                         "control character U+0000",
		"a\r\nb":                         "control character U+000D",
		"a\x7fb":                         "control character U+007F",
		"a\u0085b":                       "control character U+0085",
		"a\u2028b":                       "control character U+2028",
		"gpj.\u202eexe":                  "bidirectional control character U+202E",
		"a\u2066b":                       "bidirectional control character U+2066",
		"a\u200eb":                       "bidirectional control character U+200E",
		"a\xff":                          "not valid UTF-8",
		strings.Repeat("a", 256):         "has 256 bytes",
		strings.Repeat("\U0001F600", 64): "has 256 bytes",
	} {
		require.ErrorContains(t, objectkey.Check(name), want, "%q", name)
	}
}

func TestSafe(t *testing.T) {
	for name, want := range map[string]string{
		"photo.jpg":                       "photo.jpg",
		"my photo (1).JPG":                "my-photo--1-.JPG",
		"${filename}":                     "_-filename-",
		"日本語 \"a\".pdf":                   "日本語--a-.pdf",
		"e\u0301.txt":                     "e\u0301.txt",
		".htaccess":                       "htaccess",
		"...":                             "-",
		"a.":                              "a",
		"a%2e%2e%2fb":                     "a-2e-2e-2fb",
		"a;b&c=d?e#f.png":                 "a-b-c-d-e-f.png",
		strings.Repeat("a", 251) + ".png": strings.Repeat("a", 196) + ".png",
		strings.Repeat("本", 80) + ".pdf":  strings.Repeat("本", 65) + ".pdf",
		"a." + strings.Repeat("b", 250):   "a." + strings.Repeat("b", 198),
	} {
		require.Equal(t, want, objectkey.Safe(name))
	}
}

func TestDisposition(t *testing.T) {
	require.Equal(t, `attachment; filename*=UTF-8''na%C3%AFve%20%22a%22%20%24%7Bb%7D%25.txt`, objectkey.Disposition("attachment", `naïve "a" ${b}%.txt`))
	require.Equal(t, `inline; filename*=UTF-8''a%3Bb%2Cc%27d%2A.png`, objectkey.Disposition("inline", "a;b,c'd*.png"))
}

// FuzzName: a name that is taken becomes a harmless segment with the same extension, and comes back whole from the
// header.
func FuzzName(f *testing.F) {
	for _, name := range []string{"a.png", "日本.pdf", "..", ".a", "a..", "$.$", strings.Repeat("é", 120) + ".tar.gz", "\u0301.x", "a.\u0301"} {
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
			return !strings.ContainsRune("._-", r) && !unicode.In(r, unicode.L, unicode.M, unicode.Nd)
		}), safe)
		require.NoError(t, objectkey.Check(safe))
		require.Equal(t, safe, objectkey.Safe(safe), "nothing is left to do")
		if ext := path.Ext(name); len(ext) > 1 && len(ext) < 20 && strings.TrimLeft(name, ".") != ext[1:] && !strings.ContainsFunc(ext, func(r rune) bool { return r != '.' && !unicode.In(r, unicode.L, unicode.M, unicode.Nd) }) {
			require.Equal(t, ext, path.Ext(safe), safe)
		}

		header := objectkey.Disposition("attachment", name)
		require.Equal(t, -1, strings.IndexFunc(header, func(r rune) bool { return r <= ' ' && r != ' ' || r > '~' || r == '$' }))
		_, params, err := mime.ParseMediaType(header)
		require.NoError(t, err)
		require.Equal(t, name, params["filename"])
		_, escaped, _ := strings.Cut(header, "''")
		unescaped, err := url.PathUnescape(escaped)
		require.NoError(t, err)
		require.Equal(t, name, unescaped)
	})
}
