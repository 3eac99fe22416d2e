package checkup

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/profile"
)

var update = flag.Bool("update", false, "write the table in README.md")

// TestTable checks the format of every profile and the table in the README.
func TestTable(t *testing.T) {
	files, err := filepath.Glob("../profiles/*.json")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 6)
	slices.Sort(files)
	var profiles []*profile.Profile
	for _, file := range files {
		document, err := os.ReadFile(file)
		require.NoError(t, err)
		p, err := profile.Parse(document)
		require.NoError(t, err, file)
		require.NotEmpty(t, p.Store, "%s must name the store and its version", file)
		encoded, err := p.Encode()
		require.NoError(t, err)
		require.Equal(t, string(encoded), string(document),
			"%s must have the format that the doctor prints", file)
		profiles = append(profiles, p)
	}
	const begin, end = "<!-- table -->\n", "<!-- /table -->"
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(readme), begin)
	require.True(t, ok)
	_, after, ok := strings.Cut(rest, end)
	require.True(t, ok)
	want := before + begin + table(profiles) + "\n" + end + after
	if *update {
		require.NoError(t, os.WriteFile("../README.md", []byte(want), 0o644))
		return
	}
	require.Equal(t, want, string(readme),
		`".ci/nested doctor test ./checkup -run TestTable -update" writes the table`)
}
