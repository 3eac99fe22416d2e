package presign_test

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// maxFunction is the largest number of lines of one function.
const maxFunction = 60

// TestLayout checks that the files at the root and the direction of imports
// follow CONTRIBUTING. It also checks that functions outside of test support
// have at most maxFunction lines.
func TestLayout(t *testing.T) {
	const module = "github.com/s3presign/presign"
	var root []string
	files, functions := 0, 0
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		require.NoError(t, err)
		if entry.IsDir() && (entry.Name() == "examples" || entry.Name() == "testdata" ||
			strings.HasPrefix(entry.Name(), ".") && path != ".") {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		path = filepath.ToSlash(path)
		if !strings.Contains(path, "/") {
			root = append(root, path)
		}
		files++
		set := gotoken.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			if strings.HasPrefix(path, "internal/test/") {
				continue
			}
			require.False(t, strings.HasPrefix(path, "internal/") && imported == module,
				"%s must not import the root", path)
			require.False(t, strings.HasPrefix(imported, module+"/internal/test/"),
				"%s must not import %s, which is only for tests", path, imported)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			// Functions of test support may be long, since they list test
			// cases.
			if f, ok := n.(*ast.FuncDecl); ok && !strings.HasPrefix(path, "internal/test/") {
				functions++
				lines := set.Position(f.End()).Line - set.Position(f.Pos()).Line + 1
				require.LessOrEqual(t, lines, maxFunction, "%s: %s", path, f.Name.Name)
			}
			return true
		})
		return nil
	})
	require.NoError(t, err)
	require.Equal(t,
		[]string{"credentials.go", "handler.go", "options.go", "policy.go", "presign.go"}, root)
	require.Greater(t, files, 50)
	require.Greater(t, functions, 400)
}

// TestFilesDependOneWay checks that no two files at the root use each other's
// unexported functions, types and values. Methods and fields are not compared.
func TestFilesDependOneWay(t *testing.T) {
	set := gotoken.NewFileSet()
	files, declared := make(map[string]*ast.File), make(map[string]string)
	for _, name := range []string{
		"credentials.go", "handler.go", "options.go", "policy.go", "presign.go",
	} {
		file, err := parser.ParseFile(set, name, nil, 0)
		require.NoError(t, err)
		files[name] = file
		for local := range file.Scope.Objects {
			if !ast.IsExported(local) {
				declared[local] = name
			}
		}
	}
	uses := make(map[string]map[string]string)
	for name, file := range files {
		uses[name] = make(map[string]string)
		for _, identifier := range file.Unresolved { // The file does not declare these identifiers.
			if other, ok := declared[identifier.Name]; ok {
				uses[name][other] = identifier.Name
			}
		}
	}
	require.NotEmpty(t, uses["handler.go"]["options.go"], "the check must find uses")
	for one := range uses {
		for two := range uses {
			require.False(t, uses[one][two] != "" && uses[two][one] != "",
				"%s must not use %s of %s, which uses %s", one, uses[one][two], two, uses[two][one])
		}
	}
}
