// Package readme holds the README to its word: its Go blocks compile, and its mounts route.
package readme

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

var fences = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

// Blocks returns the README's blocks of code in a language. The README is in root.
func Blocks(t *testing.T, root, language string) []string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	var found []string
	for _, m := range fences.FindAllStringSubmatch(string(readme), -1) {
		if m[1] == language {
			found = append(found, m[2])
		}
	}
	return found
}
