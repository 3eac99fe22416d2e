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

// imports holds what the README's fragments use; each gets the lines whose package it names.
var imports = map[string]string{
	"aws": "github.com/aws/aws-sdk-go-v2/aws", "config": "github.com/aws/aws-sdk-go-v2/config",
	"credentials": "github.com/aws/aws-sdk-go-v2/credentials", "stscreds": "github.com/aws/aws-sdk-go-v2/credentials/stscreds",
	"s3": "github.com/aws/aws-sdk-go-v2/service/s3", "sts": "github.com/aws/aws-sdk-go-v2/service/sts",
	"types": "github.com/aws/aws-sdk-go-v2/service/s3/types", "presign": "github.com/s3presign/presign",
	"context": "context", "http": "net/http", "testing": "testing", "time": "time", "slog": "log/slog", "os": "os", "hex": "encoding/hex",
	"chi": "github.com/go-chi/chi/v5", "gin": "github.com/gin-gonic/gin", "echo": "github.com/labstack/echo/v4",
	"embedgw": "github.com/versity/versitygw/embedgw", "posix": "github.com/versity/versitygw/backend/posix",
	"meta": "github.com/versity/versitygw/backend/meta", "s3api": "github.com/versity/versitygw/s3api",
}

// given is what the fragments find around them.
const given = `ctx context.Context, t *testing.T, cfg aws.Config, client *s3.Client, policy presign.Policy, signer *presign.Signer,
	grant *presign.Grant, file *os.File, size int64,
	uploads *presign.Handler, authenticate func(*http.Request) (string, error),
	reserve func(ctx context.Context, owner, grantID string, size int64, until time.Time) (int64, error),
	mux *http.ServeMux, chiRouter chi.Router, ginEngine *gin.Engine, echoServer *echo.Echo`

// program makes a block a file of its own.
func program(block string) string {
	if strings.HasPrefix(block, "package ") {
		return block
	}
	if !strings.HasPrefix(block, "func ") {
		var uses strings.Builder
		for _, m := range regexp.MustCompile(`(?m)^(\w+(?:, \w+)*) := `).FindAllStringSubmatch(block, -1) {
			for name := range strings.SplitSeq(m[1], ", ") {
				fmt.Fprintf(&uses, "_ = %s\n", name)
			}
		}
		block = "func fragment(" + given + ") error {\n{\n" + block + "\n" + uses.String() + "}\nreturn nil\n}\n"
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

// TestBlocksCompile builds every Go block, in files that exist for the compiler alone.
func TestBlocksCompile(t *testing.T) {
	found := Blocks(t, root, "go")
	require.Greater(t, len(found), 10)
	sources := make(map[string]string)
	var packages []string
	for i, block := range found {
		name := fmt.Sprintf("block%d", i)
		sources[name+"/block.go"] = program(block)
		packages = append(packages, "./internal/readme/"+name)
	}
	overlaid(t, sources, "build", packages...)
}

// overlaid runs a command of go, with sources that exist for the compiler alone in packages below this one.
func overlaid(t *testing.T, sources map[string]string, verb string, args ...string) {
	t.Helper()
	module, err := filepath.Abs("../..")
	require.NoError(t, err)
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for name, source := range sources {
		_, err := format.Source([]byte(source))
		require.NoError(t, err, source)
		file := filepath.Join(t.TempDir(), filepath.Base(name))
		require.NoError(t, os.WriteFile(file, []byte(source), 0o600))
		overlay.Replace[filepath.Join(module, "internal", "readme", filepath.FromSlash(name))] = file
	}
	text, err := json.Marshal(overlay)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "overlay.json")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	command := exec.Command("go", append([]string{verb, "-overlay", file}, args...)...)
	command.Dir = module
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
}

//go:embed testdata/upload_test.go.txt
var uploadTest string

// TestStartS3 uploads to the server that the README's block starts, and publishes.
func TestStartS3(t *testing.T) {
	var block string
	for _, b := range Blocks(t, root, "go") {
		if strings.HasPrefix(b, "func startS3(") {
			block = b
		}
	}
	// The printed one may be taken here, and one that the system proposes may be once the program is built, by a connection.
	var addr string
	require.Eventually(t, func() bool {
		addr = fmt.Sprintf("127.0.0.1:%d", 10_000+rand.N(20_000))
		free, err := net.Listen("tcp", addr)
		return err == nil && free.Close() == nil
	}, time.Minute, time.Millisecond)
	require.Contains(t, block, `"127.0.0.1:7070"`)
	block = strings.Replace(block, "127.0.0.1:7070", addr, 1)
	binary := filepath.Join(t.TempDir(), "upload.test")
	overlaid(t, map[string]string{"upload/start_test.go": program(block), "upload/upload_test.go": uploadTest},
		"test", "-c", "-vet=off", "-o", binary, // vet would look for a directory
		"./internal/readme/upload")
	command := exec.Command(binary, "-test.timeout", "1m", "-test.v")
	command.Dir = t.TempDir()
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.Contains(t, string(output), "--- PASS: TestUpload")
}

// TestBlocksAreFormatted: what people paste is gofmt's.
func TestBlocksAreFormatted(t *testing.T) {
	for _, block := range Blocks(t, root, "go") {
		formatted, err := format.Source([]byte(block))
		require.NoError(t, err, block)
		require.Equal(t, block, string(formatted))
	}
}

func TestJSONIsValid(t *testing.T) {
	found := Blocks(t, root, "json")
	require.NotEmpty(t, found)
	for _, block := range found {
		require.True(t, json.Valid([]byte(block)), block)
	}
}
