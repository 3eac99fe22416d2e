package rules

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestExcerpt checks that an excerpt is a bounded and printable part of a text.
func TestExcerpt(t *testing.T) {
	for text, want := range map[string]string{
		"image/png":              "image/png",
		"a\r\nSet-Cookie: b":     `a\r\nSet-Cookie: b`,
		"é\u202e":                `\u00e9\u202e`,
		`"`:                      `\"`,
		strings.Repeat("a", 40):  strings.Repeat("a", 40),
		strings.Repeat("a", 41):  strings.Repeat("a", 40) + "…",
		strings.Repeat("a", 1e6): strings.Repeat("a", 40) + "…",
	} {
		require.Equal(t, want, Excerpt(text))
	}
}
