// Package readme returns the pages of the repository and their code blocks, so
// that tests can compile and run the blocks.
package readme

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

var fence = regexp.MustCompile("(?ms)^( *)```(\\w+)\n(.*?)^ *```$")

// Pages returns the paths of all pages of the repository, whose directory is
// root.
func Pages(t *testing.T, root string) []string {
	t.Helper()
	var pages []string
	for _, pattern := range []string{
		"*.md", ".github/*.md", "examples/*.md", "examples/*/README.md",
	} {
		found, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		require.NoError(t, err)
		pages = append(pages, found...)
	}
	return pages
}

// Blocks returns the code blocks in a language on a page. It removes the
// indentation of blocks inside a list.
func Blocks(t *testing.T, page, language string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	var blocks []string
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		if m[2] == language {
			blocks = append(blocks, regexp.MustCompile("(?m)^"+m[1]).ReplaceAllString(m[3], ""))
		}
	}
	return blocks
}
