package jsonstring_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/jsonstring"
)

// FuzzAppend checks that Append writes every string as encoding/json does.
func FuzzAppend(f *testing.F) {
	for _, s := range []string{
		"", "a", "a\"b\\c", "\x00\x1f\x7f\b\f\n\r\t", "<>&'",
		"\u2027\u2028\u2029\u202a", "\xff\xc0\x80", "日本\U0001F600", "\ufffd",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var want bytes.Buffer
		encoder := json.NewEncoder(&want)
		encoder.SetEscapeHTML(false)
		require.NoError(t, encoder.Encode(s))
		got, plain := jsonstring.Append([]byte("before "), s)
		require.Equal(t, "before "+strings.TrimSuffix(want.String(), "\n"), string(got))
		needsEscape := func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }
		require.Equal(t, !strings.ContainsFunc(s, needsEscape), plain)
	})
}

// TestAppendEscapesEveryByte checks that Append escapes each byte as
// encoding/json does, in each place of a longer text.
func TestAppendEscapesEveryByte(t *testing.T) {
	for c := range 256 {
		for at := range 20 {
			text := []byte("abcdefghijklmnopqrst")
			text[at] = byte(c)
			var want bytes.Buffer
			encoder := json.NewEncoder(&want)
			encoder.SetEscapeHTML(false)
			require.NoError(t, encoder.Encode(string(text)))
			got, plain := jsonstring.Append(nil, string(text))
			require.Equal(t, strings.TrimSuffix(want.String(), "\n"), string(got))
			require.Equal(t, c >= ' ' && c <= '~' && c != '"' && c != '\\', plain, "%q", text)
		}
	}
}
