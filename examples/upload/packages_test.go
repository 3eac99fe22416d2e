package upload_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/examples/internal/browser"
)

// packages is the path of a directory with the npm packages of the tests. The
// directory also contains the module in the layout of npm.
type packages string

// install installs the packages of testdata/package-lock.json.
func install(t *testing.T) packages {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			browser.Missing(t, program)
		}
	}
	p := packages(t.TempDir())
	for _, name := range []string{"package.json", "package-lock.json"} {
		p.copy(t, filepath.Join("testdata", name), name)
	}
	p.run(t, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	var manifest struct{ Files []string }
	content, err := os.ReadFile("package.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &manifest))
	for _, name := range append(manifest.Files, "package.json") {
		p.copy(t, name, "node_modules/@s3presign/upload/"+name)
	}
	return p
}

// copy copies a file of this directory into the packages.
func (p packages) copy(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	require.NoError(t, err)
	p.write(t, to, string(content))
}

func (p packages) write(t *testing.T, name, content string) {
	t.Helper()
	path := filepath.Join(string(p), name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
}

// run runs a program in the directory of the packages.
func (p packages) run(t *testing.T, program string, args ...string) string {
	t.Helper()
	c := exec.Command(program, args...)
	c.Dir = string(p)
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// bundle bundles a script with the packages that it imports, and returns the
// path.
func (p packages) bundle(t *testing.T, entry string) string {
	t.Helper()
	p.run(t, "node_modules/.bin/esbuild", entry, "--bundle", "--format=esm", "--target=es2022",
		"--loader:.css=empty", `--define:process.env.NODE_ENV="production"`,
		"--outfile=bundle/"+entry, "--log-level=warning")
	return filepath.Join(string(p), "bundle", entry)
}

func TestChecksumsInNode(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		browser.Missing(t, "node")
	}
	out, err := exec.Command("node", "--test", "--test-reporter=tap").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "# pass 4")
}

// TestPackages checks that the types of the module, the React hook and the
// recipes of the README work with the packages from npm.
func TestPackages(t *testing.T) {
	lock, err := os.ReadFile("testdata/package-lock.json")
	require.NoError(t, err)
	require.NotContains(t, string(lock), `"resolved"`,
		"the lock file must not contain the URLs of a registry")
	p := install(t)
	t.Run("types", func(t *testing.T) {
		p.copy(t, "testdata/types.tsx", "types.tsx")
		p.run(t, "node_modules/.bin/tsc", "--strict", "--noEmit", "--noUncheckedIndexedAccess",
			"--exactOptionalPropertyTypes",
			"--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom,dom.iterable",
			"--types", "react", "types.tsx")
	})
	t.Run("React", func(t *testing.T) { testReact(t, p) })
	t.Run("recipes", func(t *testing.T) { testRecipes(t, p) })
}

func testReact(t *testing.T, p packages) {
	hook, err := os.ReadFile("react.js")
	require.NoError(t, err)
	require.LessOrEqual(t, strings.Count(string(hook), "\n"), 40)
	p.copy(t, "testdata/react.js", "react.js")
	s := open(t, anyFile, testCase{})
	s.serveScript(p.bundle(t, "react.js"))
	state := func(want string) {
		t.Helper()
		s.Do(browser.Until(`document.querySelector("#state")?.textContent === ` + quote(want)))
	}
	state("idle")
	small, _ := writeFile(t, "small.txt", 100)
	s.Do(chromedp.SetUploadFiles("#pick", []string{small}))
	state("done small.txt")
	mislabeled := filepath.Join(t.TempDir(), "mislabeled.png")
	require.NoError(t, os.WriteFile(mislabeled, []byte("<!doctype html>"), 0o600))
	s.Do(chromedp.SetUploadFiles("#pick", []string{mislabeled}))
	state("failed contradicts_content")
	s.store.add(times(9, "PUT", "", hold))
	large, _ := writeFile(t, "large.bin", 20*mib)
	s.Do(chromedp.SetUploadFiles("#pick", []string{large}))
	state("uploading sending")
	s.Do(chromedp.Click("#cancel"))
	state("idle")
	require.Eventually(t, func() bool { return s.uploads() == 0 }, maxWait, 20*time.Millisecond)
}

// serveScript opens a page with one script.
func (s *shop) serveScript(path string) {
	s.t.Helper()
	s.mux.HandleFunc("GET /script.js",
		func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, path) })
	s.mux.HandleFunc("GET /script", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<!doctype html>
			<link rel="icon" href="data:,"><title>Script</title>
			<body><input type="file" id="input"><div id="drop"></div>
			<script type="module" src="/script.js"></script>`))
	})
	s.Do(chromedp.Navigate(s.origin + "/script"))
}
