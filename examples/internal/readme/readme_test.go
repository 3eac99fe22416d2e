package readme

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"go/format"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const root = "../../.."

// imports maps package names to import paths. A fragment imports the packages
// that it uses.
var imports = map[string]string{
	"aws":         "github.com/aws/aws-sdk-go-v2/aws",
	"config":      "github.com/aws/aws-sdk-go-v2/config",
	"credentials": "github.com/aws/aws-sdk-go-v2/credentials",
	"stscreds":    "github.com/aws/aws-sdk-go-v2/credentials/stscreds",
	"s3":          "github.com/aws/aws-sdk-go-v2/service/s3",
	"sts":         "github.com/aws/aws-sdk-go-v2/service/sts",
	"types":       "github.com/aws/aws-sdk-go-v2/service/s3/types",
	"presign":     "github.com/s3presign/presign",
	"context":     "context",
	"hex":         "encoding/hex",
	"http":        "net/http",
	"io":          "io",
	"json":        "encoding/json",
	"os":          "os",
	"slog":        "log/slog",
	"strings":     "strings",
	"testing":     "testing",
	"time":        "time",
	"chi":         "github.com/go-chi/chi/v5",
	"gin":         "github.com/gin-gonic/gin",
	"echo":        "github.com/labstack/echo/v4",
	"attribute":   "go.opentelemetry.io/otel/attribute",
	"codes":       "go.opentelemetry.io/otel/codes",
	"trace":       "go.opentelemetry.io/otel/trace",
	"base64":      "encoding/base64",
	"cors":        "github.com/jub0bs/cors",
	"errors":      "errors",
	"fmt":         "fmt",
	"embedgw":     "github.com/versity/versitygw/embedgw",
	"posix":       "github.com/versity/versitygw/backend/posix",
	"meta":        "github.com/versity/versitygw/backend/meta",
	"s3api":       "github.com/versity/versitygw/s3api",
}

// parameters declares the variables that fragments use without declaring them.
const parameters = `
	ctx context.Context, t *testing.T, cfg aws.Config, client *s3.Client, policy presign.Policy,
	object *presign.Object,
	secret []byte, signer *presign.Signer, grant *presign.Grant, file *os.File, size int64,
	w http.ResponseWriter, r *http.Request, uploads *presign.Handler,
	authenticate func(*http.Request) (string, error),
	lookUp func(ctx context.Context, token string) (string, error),
	reserve func(
		ctx context.Context, owner, grantID string, size int64, until time.Time,
	) (int64, error),
	scan func(context.Context, io.Reader) (bool, error),
	insert func(context.Context, *presign.Object) (string, error),
	queue <-chan message, mux *http.ServeMux,
	chiRouter chi.Router, ginEngine *gin.Engine, echoServer *echo.Echo,
`

const message = `
type message struct{ Body []byte }

func (message) Delete() {}
`

var isDeclaration = regexp.MustCompile(`\A(?://.*\n)*func `)

// buildFile returns a complete Go file for a block.
func buildFile(block string) string {
	if strings.HasPrefix(block, "package ") {
		return block
	}
	if !isDeclaration.MatchString(block) {
		var uses strings.Builder
		declared := regexp.MustCompile(`(?m)^(\w+(?:, \w+)*) := `)
		for _, m := range declared.FindAllStringSubmatch(block, -1) {
			for name := range strings.SplitSeq(m[1], ", ") {
				fmt.Fprintf(&uses, "_ = %s\n", name)
			}
		}
		block = "func fragment(" + parameters + ") error {\n{\n" + block + "\n" + uses.String() +
			"}\nreturn nil\n}\n" + message
	}
	var b strings.Builder
	b.WriteString("package fragment\n\nimport (\n")
	for _, name := range slices.Sorted(maps.Keys(imports)) {
		if regexp.MustCompile(`\b` + name + `\.[A-Z]`).MatchString(block) {
			fmt.Fprintf(&b, "%q\n", imports[name])
		}
	}
	b.WriteString(")\n\n" + block)
	return b.String()
}

// TestBlocksCompile checks that every Go block compiles. Pages of separate
// modules are compiled in their modules.
func TestBlocksCompile(t *testing.T) {
	sources := make(map[string]string)
	var packages []string
	for _, page := range Pages(t, root) {
		nested, _ := filepath.Glob(filepath.Join(root, "examples", "*", "go.mod"))
		if slices.Contains(nested, filepath.Join(filepath.Dir(page), "go.mod")) {
			continue
		}
		for _, block := range Blocks(t, page, "go") {
			name := fmt.Sprintf("block%d", len(packages))
			sources[name+"/block.go"] = buildFile(block)
			packages = append(packages, "./internal/readme/"+name)
		}
	}
	require.Greater(t, len(packages), 20)
	runGo(t, sources, append([]string{"build"}, packages...)...)
}

// runGo runs a go command with sources that exist only in an overlay, in
// packages below this package.
func runGo(t *testing.T, sources map[string]string, args ...string) {
	t.Helper()
	module, err := filepath.Abs("../..")
	require.NoError(t, err)
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for name, source := range sources {
		_, err := format.Source([]byte(source))
		require.NoError(t, err, source)
		file := filepath.Join(t.TempDir(), filepath.Base(name))
		require.NoError(t, os.WriteFile(file, []byte(source), 0o600))
		replaced := filepath.Join(module, "internal", "readme", filepath.FromSlash(name))
		overlay.Replace[replaced] = file
	}
	text, err := json.Marshal(overlay)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "overlay.json")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	command := exec.Command("go", append([]string{args[0], "-overlay", file}, args[1:]...)...)
	command.Dir = module
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
}

// findBlock returns the only Go block of a page that starts with a text.
func findBlock(t *testing.T, page, prefix string) string {
	t.Helper()
	var found []string
	for _, block := range Blocks(t, filepath.Join(root, page), "go") {
		if strings.HasPrefix(block, prefix) {
			found = append(found, block)
		}
	}
	require.Len(t, found, 1, "blocks of %s that start with %q", page, prefix)
	return found[0]
}

// replaceAddress replaces the address in a block with a free address below the
// range of ephemeral ports. The printed address might be in use, and a
// connection might take an ephemeral port before the program listens.
func replaceAddress(t *testing.T, block, printed string) (replaced, addr string) {
	t.Helper()
	require.Eventually(t, func() bool {
		addr = fmt.Sprintf("127.0.0.1:%d", 10_000+rand.N(20_000))
		free, err := net.Listen("tcp", addr)
		return err == nil && free.Close() == nil
	}, time.Minute, time.Millisecond)
	require.Contains(t, block, `"`+printed+`"`)
	return strings.Replace(block, printed, addr, 1), addr
}

//go:embed testdata/upload_test.go.txt
var uploadTest string

// TestStartS3 checks that the server in TESTING.md accepts an upload and that
// the upload is published.
func TestStartS3(t *testing.T) {
	block, _ := replaceAddress(t, findBlock(t, "examples/TESTING.md", "func startS3("),
		"127.0.0.1:7070")
	binary := filepath.Join(t.TempDir(), "upload.test")
	runGo(t, map[string]string{
		"upload/start_test.go": buildFile(block), "upload/upload_test.go": uploadTest,
	},
		"test", "-c", "-vet=off", "-o", binary, // go vet does not support the overlay.
		"./internal/readme/upload")
	command := exec.Command(binary, "-test.timeout", "1m", "-test.v")
	command.Dir = t.TempDir()
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.Contains(t, string(output), "--- PASS: TestUpload")
}

// TestPatternsAreTested checks that the blocks of examples/README.md are
// functions of the package patterns, whose tests run them.
func TestPatternsAreTested(t *testing.T) {
	source, err := os.ReadFile(
		filepath.Join(root, "examples", "internal", "patterns", "patterns.go"))
	require.NoError(t, err)
	blocks := Blocks(t, filepath.Join(root, "examples", "README.md"), "go")
	require.Len(t, blocks, 3)
	for _, block := range blocks {
		require.Contains(t, string(source), "\n\n"+block)
	}
}

// TestBlocksAreFormatted checks that gofmt does not change the blocks.
func TestBlocksAreFormatted(t *testing.T) {
	for _, page := range Pages(t, root) {
		for _, block := range Blocks(t, page, "go") {
			formatted, err := format.Source([]byte(block))
			require.NoError(t, err, block)
			require.Equal(t, block, string(formatted), page)
		}
	}
}

// TestJSONIsValid checks that every JSON block of every page is valid.
func TestJSONIsValid(t *testing.T) {
	var n int
	for _, page := range Pages(t, root) {
		for _, block := range Blocks(t, page, "json") {
			n++
			require.True(t, json.Valid([]byte(block)), block)
		}
	}
	require.Positive(t, n)
}
