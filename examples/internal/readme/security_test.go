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

var testName = regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*)`")

// TestPromisesNameTests checks that every promise of SECURITY.md names a test,
// and that the tests on all pages exist.
func TestPromisesNameTests(t *testing.T) {
	existing := testFunctions(t)
	for _, page := range Pages(t, root) {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, m := range testName.FindAllStringSubmatch(string(text), -1) {
			require.True(t, slices.Contains(existing, m[1]), "%s names %s, which must exist", page,
				m[1])
		}
	}

	security, err := os.ReadFile(filepath.Join(root, ".github", "SECURITY.md"))
	require.NoError(t, err)
	_, after, ok := strings.Cut(string(security), "\n## Promises\n")
	require.True(t, ok)
	promised, _, _ := strings.Cut(after, "\n## ")
	var promises int
	for line := range strings.SplitSeq(promised, "\n") {
		if !strings.HasPrefix(line, "|") || line == "| promise | test |" || line == "|---|---|" {
			continue
		}
		promises++
		require.Regexp(t, testName, line, "the promise must name its test")
	}
	require.Greater(t, promises, 20)
}

// testFunctions returns the names of all tests and fuzz targets.
func testFunctions(t *testing.T) []string {
	t.Helper()
	declaration := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	var names []string
	require.NoError(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range declaration.FindAllStringSubmatch(string(source), -1) {
			names = append(names, m[1])
		}
		return err
	}))
	return names
}
