package readme

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPromisesAreHeld: each test that SECURITY.md names for a promise is there.
func TestPromisesAreHeld(t *testing.T) {
	text, err := os.ReadFile("../../../.github/SECURITY.md")
	require.NoError(t, err)
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*)`").FindAllStringSubmatch(string(text), -1)
	require.Greater(t, len(named), 40)
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	var there []string
	require.NoError(t, filepath.WalkDir("../../..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range function.FindAllStringSubmatch(string(source), -1) {
			there = append(there, m[1])
		}
		return err
	}))
	for _, m := range named {
		require.True(t, slices.Contains(there, m[1]), "SECURITY.md names %s, and there is no such test", m[1])
	}
}
