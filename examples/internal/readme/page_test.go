package readme

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPagesAreShort checks that no page exceeds its maximum number of lines.
func TestPagesAreShort(t *testing.T) {
	for _, page := range Pages(t, root) {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		limit := 250
		if page == filepath.Join(root, "README.md") {
			limit = 300
		}
		require.LessOrEqual(t, bytes.Count(text, []byte("\n")), limit, "the number of lines of %s",
			page)
	}
}

var (
	link    = regexp.MustCompile(`(?:\]\(|srcset="|src=")([^)"\s]+)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	markup  = regexp.MustCompile(`[^\pL\pN _-]`)
)

// anchors returns the anchors that GitHub gives to the headings of a page.
func anchors(text string) []string {
	var found []string
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		found = append(found,
			strings.ReplaceAll(markup.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return found
}

// TestLinksResolve checks that the targets and anchors of all relative links
// exist.
func TestLinksResolve(t *testing.T) {
	var n int
	for _, page := range Pages(t, root) {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(string(text), ""), -1) {
			path, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(path, "://") {
				continue
			}
			n++
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), filepath.FromSlash(path))
			}
			_, err := os.Stat(target)
			require.NoError(t, err, "%s links to %s", page, m[1])
			if anchor != "" {
				linked, err := os.ReadFile(target)
				require.NoError(t, err)
				require.Contains(t, anchors(string(linked)), anchor, "%s links to %s", page, m[1])
			}
		}
	}
	require.Greater(t, n, 30)
}

// demo matches the command that runs a program of examples/.
var demo = regexp.MustCompile(
	`^go run (?:-C examples \./|github\.com/s3presign/presign/examples/)(\w+)(?:@latest)?(.*)$`)

// knownCommands lists prefixes of commands that other tests run, or that need
// an account.
var knownCommands = []string{
	"go get github.com/s3presign/presign", "go run .", "go test ",
	"go run golang.org/x/perf/cmd/benchstat@latest ",
	"export UPLOAD_BUCKET=", "curl -u demo:demo http://127.0.0.1:8080/uploads/ ",
	"UPLOAD_USER=demo:demo examples/shell/upload.sh ", "aws s3api put-bucket-", "npm install ",
	"npx ",
}

// TestShellBlocks checks that a shell can parse every block, and that the
// programs and flags in it exist.
func TestShellBlocks(t *testing.T) {
	var n int
	for _, page := range Pages(t, root) {
		for _, block := range Blocks(t, page, "sh") {
			n++
			command := exec.Command("sh", "-n")
			command.Stdin = strings.NewReader(block)
			output, err := command.CombinedOutput()
			require.NoError(t, err, "%s\n%s", block, output)
			commands := strings.ReplaceAll(strings.TrimSpace(block), "\\\n", "")
			for line := range strings.SplitSeq(commands, "\n") {
				if m := demo.FindStringSubmatch(line); m != nil {
					requireFlags(t, m[1], m[2])
					continue
				}
				isKnown := func(prefix string) bool { return strings.HasPrefix(line, prefix) }
				require.True(t, slices.ContainsFunc(knownCommands, isKnown),
					"%s must contain only tested commands, got: %s", page, line)
			}
		}
	}
	require.Greater(t, n, 10)
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	require.Contains(t, string(readme),
		"\ngo run -C examples ./quickstart\ngo test ./... && go test -C examples ./...\n")
}

// requireFlags checks that a program has the flags of a command line.
func requireFlags(t *testing.T, name, args string) {
	t.Helper()
	var source strings.Builder
	require.NoError(t, filepath.WalkDir(filepath.Join(root, "examples", name), func(
		path string, _ fs.DirEntry, err error,
	) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		source.Write(text)
		return err
	}))
	for _, m := range regexp.MustCompile(`(?:^| )-(\w[\w-]*)`).FindAllStringSubmatch(args, -1) {
		require.Regexp(t, `(?i:flags|Var)\S*\((?:&?[\w.]+, )?"`+m[1]+`"`, source.String(),
			"flags of %s", name)
	}
}
