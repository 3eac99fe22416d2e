package upload_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/browser"
)

var fences = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

// blocks returns the README's blocks of code in a language.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	require.LessOrEqual(t, strings.Count(string(readme), "\n"), 250)
	var found []string
	for _, m := range fences.FindAllStringSubmatch(string(readme), -1) {
		if m[1] == language {
			found = append(found, m[2])
		}
	}
	return found
}

// A recipe is a block of the README with a script that uses it.
type recipe struct {
	file, run string // run is a function that uploads a file and returns a promise
	lost      string // the method of the request whose response is lost
	unseen    bool   // The client does not show the service's message.
}

var recipes = []recipe{
	{file: "uppy.js", lost: "POST", run: uppyRun},
	{file: "uppy5.js", lost: "POST", run: uppyRun},
	{
		file: "uppy.js", lost: "PUT", run: strings.ReplaceAll(uppyRun, "m.uppy", "m.large"),
		unseen: true,
	},
	{file: "filepond.js", lost: "POST", run: `async (file) => {
		const done = new Promise((resolve, reject) => {
			m.pond.onprocessfile = (error, item) => {
				if (error) reject(new Error(error.body));
				else resolve(item.serverId);
			};
		});
		m.pond.addFile(file).then((item) => m.pond.processFile(item)).catch(() => {});
		return done.finally(() => m.pond.removeFiles());
	}`},
	{file: "dropzone.js", lost: "POST", run: fmt.Sprintf(dropzoneRun, "asForm")},
	{file: "dropzone.js", lost: "PUT", run: fmt.Sprintf(dropzoneRun, "asBinary")},
	{file: "axios-and-ky.js", lost: "PUT", run: `m.uploadWithAxios`},
	{file: "axios-and-ky.js", lost: "PUT", run: `m.uploadWithKy`},
	{file: "react-dropzone.js", lost: "PUT", run: `async (file) => {
		const place = document.body.appendChild(document.createElement("main"));
		createRoot(place).render(createElement(m.Drop));
		const input = await until(() => place.querySelector("input"));
		const data = new DataTransfer();
		data.items.add(file);
		input.files = data.files;
		input.dispatchEvent(new Event("change", { bubbles: true }));
		const text = await until(() => (
			!["idle", "uploading"].includes(place.textContent) && place.textContent));
		place.remove();
		if (!text.startsWith("files/")) throw new Error(text);
	}`},
	{file: "direct-upload.js", lost: "PUT", run: `m.upload`},
}

const uppyRun = `async (data) => {
	m.uppy.clear();
	m.uppy.addFile({ name: data.name, type: data.type, data });
	const { failed } = await m.uppy.upload();
	if (failed.length) throw new Error(String(failed[0].error?.message ?? failed[0].error));
}`

const dropzoneRun = `async (file) => {
	const element = document.body.appendChild(document.createElement("div"));
	const dropzone = m.%s(element);
	const done = new Promise((resolve, reject) => {
		dropzone.on("verified", resolve);
		dropzone.on("error", (file, message, xhr) => {
			if (!xhr || ![0, 412].includes(xhr.status)) reject(new Error(message));
		});
	});
	dropzone.addFile(file);
	return done.finally(() => dropzone.destroy());
}`

// driver is a script that exports a recipe to tests as the function run(file).
const driver = `import * as m from "./%s";
%s
const until = (find) => new Promise((resolve) => {
	const poll = () => {
		const value = find();
		if (value) resolve(value);
		else requestAnimationFrame(poll);
	};
	poll();
});
const use = %s;
window.run = (file) => Promise.resolve(use(file)).then(
	() => "", (error) => error.message || "failed");
`

func testRecipes(t *testing.T, p packages) {
	for _, block := range blocks(t, "js") {
		name, _, _ := strings.Cut(strings.TrimPrefix(block, "// "), "\n")
		p.write(t, name, block)
		if name == "uppy.js" {
			p.write(t, "uppy5.js", useUppy5(t, block))
		}
	}
	for version, dir := range map[string]string{"uppy": "page", "uppy5": "testdata"} {
		p.copy(t, filepath.Join("../uppy", dir, "uppy.js"), "bundled-"+version+".js")
		for name, exported := range map[string]string{"core": "Uppy", "aws-s3": "AwsS3"} {
			p.write(t, "node_modules/@"+version+"/"+name+"/index.js",
				fmt.Sprintf(`export { %s as default } from "../../../bundled-%s.js";`, exported,
					version))
		}
	}
	for i, r := range recipes {
		t.Run(strings.TrimSuffix(r.file, ".js")+" by "+r.lost, func(t *testing.T) {
			imports := ""
			if r.file == "react-dropzone.js" {
				imports = `import { createElement } from "react";
					import { createRoot } from "react-dom/client";`
			}
			entry := fmt.Sprintf("entry%d.js", i)
			p.write(t, entry, fmt.Sprintf(driver, r.file, imports, r.run))
			testRecipe(t, r, p.bundle(t, entry))
		})
	}
}

// useUppy5 returns the recipe for Uppy 6 with the changes for Uppy 5 from its
// comment.
func useUppy5(t *testing.T, block string) string {
	t.Helper()
	var kept []string
	for _, line := range strings.Split(strings.ReplaceAll(block, "@uppy/", "@uppy5/"), "\n") {
		if strings.Contains(line, "signRequest: ") ||
			strings.Contains(line, "generateObjectKey: ") {
			continue
		}
		kept = append(kept, strings.Replace(line, "// Uppy 5: ", "", 1))
	}
	require.Contains(t, strings.Join(kept, "\n"), "\n  getUploadParameters: ")
	return strings.Join(kept, "\n")
}

// testRecipe checks that a recipe uploads a file, shows why a file is rejected,
// and survives a lost response.
func testRecipe(t *testing.T, r recipe, script string) {
	s := open(t, anyFile, testCase{handler: []presign.HandlerOption{presign.WithUppy()}})
	s.mux.Handle("POST /direct_uploads",
		directUploads(s.signer, func(*http.Request) (string, error) { return "alice", nil }))
	s.serveScript(script)
	s.Do(browser.Until(`window.run`))
	upload := func(content, name, mediaType string) string {
		return browser.Evaluate[string](s.Page,
			fmt.Sprintf(`run(new File([%s], %q, { type: %q }))`, content, name, mediaType),
			chromedp.EvalAwaitPromise)
	}
	for n, content := range []string{`"hello"`, `new Uint8Array(12 * 2 ** 20).fill(120)`} {
		require.Empty(t, upload(content, fmt.Sprintf("größe %d.txt", n), "text/plain"))
		require.Equal(t, n+1, countPublished(s.keys()))
	}
	message := upload(`"<p>"`, "page.html", "text/html")
	require.NotEmpty(t, message)
	mislabeled := upload(`"<!doctype html><title>Log in</title>"`, "report.pdf", "application/pdf")
	if !r.unseen {
		require.Contains(t, message, "type must be one of")
		require.Contains(t, mislabeled, "looks like text/html")
	}
	require.Equal(t, 2, countPublished(s.keys()))

	lost := make(chan struct{}, 1)
	s.store.add(times(1, r.lost, "",
		func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
			lost <- struct{}{}
			return lose(w, r, next)
		}))
	require.Empty(t, upload(`"lost"`, "lost.txt", "text/plain"))
	require.Len(t, lost, 1)
	require.Equal(t, 3, countPublished(s.keys()))
}

// TestReadmeGo checks that the tests use the README's route and page.
func TestReadmeGo(t *testing.T) {
	source, err := os.ReadFile("directuploads_test.go")
	require.NoError(t, err)
	routes := blocks(t, "go")
	require.Len(t, routes, 1)
	require.Contains(t, string(source), routes[0])
	page, err := os.ReadFile("testdata/page.html")
	require.NoError(t, err)
	require.Contains(t, string(page), blocks(t, "html")[0])
}

// TestPython checks that the README's function in Python uploads files.
func TestPython(t *testing.T) {
	if err := exec.Command("python3", "-c", "import requests").Run(); err != nil {
		browser.Missing(t, "python3 with requests")
	}
	s := serve(t, anyFile, testCase{})
	script := filepath.Join(t.TempDir(), "upload.py")
	code := blocks(t, "python")[0] + `
import json, sys
try:
    print(json.dumps(upload(sys.argv[1], sys.argv[2], headers={"Origin": "http://python"})))
except ValueError as error:
    print(json.dumps({"message": str(error)}))
`
	// Gates disturb only requests with an Origin.
	code = strings.Replace(code, `headers=grant["headers"]`,
		`headers=grant["headers"] | {"Origin": "http://python"}`, 1)
	require.NoError(t, os.WriteFile(script, []byte(code), 0o600))
	upload := func(name, content string) (response struct{ Key, Message string }) {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		out, err := exec.Command("python3", script, s.origin+"/uploads/", path).CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.NoError(t, json.Unmarshal(out, &response), "%s", out)
		return response
	}
	require.Regexp(t, `^files/\w+/a-b\.txt$`, upload("a b.txt", "hello").Key)
	require.Contains(t, upload("page.html", "<p>").Message, "type must be one of")
	require.Contains(t, upload("holiday.png", "<!doctype html>").Message, "looks like text/html")
	s.store.add(times(1, "PUT", "", lose))
	require.NotEmpty(t, upload("lost.txt", "lost").Key)
	require.Equal(t, 2, countPublished(s.keys()))
}
