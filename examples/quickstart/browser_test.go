package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// TestBrowser uploads through the page in a headless Chromium, and cheats. Pictures of the page go into the directory
// that the environment variable SCREENSHOTS names.
func TestBrowser(t *testing.T) {
	dir := t.TempDir()
	p := start(t, "-dir", dir)
	b := browse(t)
	b.do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate(p.origin), chromedp.WaitVisible(".cheat"))
	b.shoot("empty-1280", 1280)

	files := map[string][]byte{
		"picture.jpg":           encode(t, func(w io.Writer, m image.Image) error { return jpeg.Encode(w, m, nil) }),
		"picture.png":           encode(t, png.Encode),
		"report.pdf":            []byte("%PDF-1.4\n1 0 obj <</Type /Catalog>> endobj\ntrailer <</Root 1 0 R>>\n%%EOF\n"),
		"請求書 \"最終版\" 2026.txt":  []byte("合計"),
		"one byte, $ & '{}.txt": []byte("1"),
		"large.csv":             bytes.Repeat([]byte("1,2,3\n"), 2<<20),
	}
	var paths []string
	for name, content := range files {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		paths = append(paths, path)
	}

	for _, method := range []string{"POST", "PUT"} {
		b.choose(method)
		before := objects(t, dir)
		b.upload(paths...)
		for name, content := range files {
			li := fmt.Sprintf(`[...document.querySelectorAll(".upload")].find((li) => li.querySelector(".file").textContent === %q)`, name)
			require.Equal(t, "Stored", b.text(li+`.querySelector(".outcome")`), "%s by %s", name, method)
			key := b.text(li + `.querySelector(".stored dd")`)
			stored, err := os.ReadFile(filepath.Join(dir, "objects", "quickstart", filepath.FromSlash(key)))
			require.NoError(t, err)
			require.True(t, bytes.Equal(content, stored), "%s by %s", name, method)
			require.Contains(t, b.text(li+`.querySelector("pre")`), `"method": "`+method+`"`)
		}
		require.Len(t, objects(t, dir), len(before)+len(files))
		require.Equal(t, 2, b.count(`.preview img`), "previews")
		b.do(until(`[...document.querySelectorAll(".preview img")].every((i) => i.naturalWidth > 0)`))
		b.shoot("uploads-1280-"+strings.ToLower(method), 1280)
		b.shoot("uploads-390-"+strings.ToLower(method), 390)
		b.reload()
	}

	t.Run("refused by the service", func(t *testing.T) {
		b := b.with(t)
		path := filepath.Join(t.TempDir(), "page.html")
		require.NoError(t, os.WriteFile(path, []byte("<p>"), 0o600))
		empty := filepath.Join(t.TempDir(), "empty.txt")
		require.NoError(t, os.WriteFile(empty, nil, 0o600))
		b.upload(path, empty)
		require.Contains(t, b.text(`document.querySelectorAll(".upload .outcome")[1]`), `The service grants no upload: type is "text/html"`)
		require.Contains(t, b.text(`document.querySelectorAll(".upload .outcome")[0]`), `size is 0 bytes`)
		b.shoot("refused-390", 390)
		b.reload()
	})
	t.Run("dropped", func(t *testing.T) {
		b := b.with(t)
		evaluate[chromedp.Void](b, `{
			const data = new DataTransfer();
			data.items.add(new File(["dropped"], "dropped.txt", { type: "text/plain" }));
			document.querySelector(".drop").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
		}`)
		b.settled(".upload", 1)
		require.Equal(t, "Stored", b.text(`document.querySelector(".upload .outcome")`))
		b.reload()
	})
	t.Run("refused by the store", func(t *testing.T) {
		b := b.with(t)
		evaluate[chromedp.Void](b, `{
			const { fetch } = window;
			window.fetch = async (...request) => {
				const grant = await (await fetch(...request)).json();
				grant.fields["Content-Type"] = "text/html";
				return Response.json(grant);
			};
		}`)
		b.upload(paths[0])
		require.Contains(t, b.text(`document.querySelector(".upload .outcome")`), "S3 refused it: 403 AccessDenied. ")
		b.shoot("refused-1280", 1280)
		b.reload()
	})
	t.Run("accepted cheats", func(t *testing.T) {
		b := b.with(t)
		evaluate[chromedp.Void](b, `void Object.defineProperty(XMLHttpRequest.prototype, "status", { get: () => 200 })`)
		b.do(chromedp.Click(".cheat[data-cheat=type] button"))
		b.settled(".cheat", 1)
		require.Equal(t, "ACCEPTED", b.text(`document.querySelector(".cheat[data-outcome=accepted] .outcome")`))
		b.shoot("accepted-390", 390)
		b.reload()
	})
	t.Run("cancelled", func(t *testing.T) {
		b := b.with(t)
		before := objects(t, dir)
		b.throttle(1 << 20)
		b.do(chromedp.SetUploadFiles("#files", []string{paths[slices.IndexFunc(paths, func(p string) bool { return strings.HasSuffix(p, ".csv") })]}))
		b.do(until(`document.querySelector(".upload progress").value > 0.05`))
		b.shoot("sending-390", 390)
		b.do(chromedp.Click(".upload .cancel"))
		b.settled(".upload", 1)
		require.Equal(t, "Cancelled", b.text(`document.querySelector(".upload .outcome")`))
		b.throttle(-1)
		require.Equal(t, before, objects(t, dir))
		b.reload()
	})

	for method, refusals := range map[string]map[string]string{
		"POST": {
			"type":    "403 AccessDenied",
			"large":   "400 EntityTooLarge",
			"small":   "400 EntityTooSmall",
			"key":     "403 AccessDenied",
			"name":    "403 AccessDenied",
			"expired": "403 AccessDenied",
			"policy":  "403 SignatureDoesNotMatch",
			"added":   "403 AccessDenied",
			"missing": "403 AccessDenied",
		},
		"PUT": {
			"type":     "403 SignatureDoesNotMatch",
			"large":    "403 SignatureDoesNotMatch",
			"small":    "403 SignatureDoesNotMatch",
			"key":      "403 SignatureDoesNotMatch",
			"name":     "403 SignatureDoesNotMatch",
			"expired":  "403 AccessDenied",
			"lifetime": "403 SignatureDoesNotMatch",
			"added":    "403 AccessDenied",
			"copy":     "403 AccessDenied",
			"missing":  "403 SignatureDoesNotMatch",
			"again":    "412 PreconditionFailed",
			"read":     "403 SignatureDoesNotMatch",
		},
	} {
		t.Run("cheating by "+method, func(t *testing.T) {
			b := b.with(t)
			b.choose(method)
			before := len(objects(t, dir))
			require.Equal(t, len(refusals), b.count(".cheat"))
			b.do(chromedp.Click("#all"))
			b.settled(".cheat", len(refusals))
			for id, want := range refusals {
				li := fmt.Sprintf(`document.querySelector(".cheat[data-cheat=%s]")`, id)
				require.Equal(t, "Refused: "+want, b.text(li+`.querySelector(".outcome")`), id)
				require.NotEmpty(t, b.text(li+`.querySelector(".answer")`), id)
			}
			if method == "PUT" {
				before += 2 // what is copied, and the first upload of "again"
			}
			require.Len(t, objects(t, dir), before)
			b.shoot("cheats-1280-"+strings.ToLower(method), 1280)
			b.shoot("cheats-390-"+strings.ToLower(method), 390)
		})
	}
}

// browser is a page in a headless Chromium.
type browser struct {
	t   *testing.T
	ctx context.Context
}

func browse(t *testing.T) *browser {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, _ = exec.LookPath(name); path != "" {
			break
		}
	}
	if path == "" {
		missing(t, "Chromium")
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()),
		chromedp.Headless, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
	}
	for _, name := range []string{"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "disable-dev-shm-usage"} {
		options = append(options, chromedp.Flag(name, true))
	}
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's own does not work as root
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, _ = chromedp.NewContext(ctx)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // waits, so that the profile can be removed

	var mu sync.Mutex
	var faults []string
	require.NoError(t, chromedp.Listen(ctx, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch event := event.(type) {
		case *runtime.EventExceptionThrown:
			faults = append(faults, fmt.Sprint(event.ExceptionDetails.Text, event.ExceptionDetails.Exception.Description))
		case *log.EventEntryAdded:
			if event.Entry.Source != log.EntrySourceNetwork { // where it reports every 403
				faults = append(faults, event.Entry.Text)
			}
		}
	}))
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		require.Empty(t, faults)
	})
	return &browser{t, ctx}
}

func (b *browser) with(t *testing.T) *browser { return &browser{t, b.ctx} }

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, steps...))
}

func evaluate[T any](b *browser, script string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script))
	require.NoError(b.t, err, script)
	return v
}

// until waits until an expression is true.
func until(expression string) chromedp.Action[chromedp.Void] {
	return chromedp.Poll[chromedp.Void](expression)
}

// text returns the text of the element that a script finds.
func (b *browser) text(element string) string {
	b.t.Helper()
	return evaluate[string](b, element+`.textContent`)
}

func (b *browser) count(selector string) int {
	b.t.Helper()
	return evaluate[int](b, fmt.Sprintf(`document.querySelectorAll(%q).length`, selector))
}

func (b *browser) choose(method string) {
	b.t.Helper()
	b.do(chromedp.Click(fmt.Sprintf(`//input[@value=%q]/following-sibling::span`, method)))
}

func (b *browser) upload(paths ...string) {
	b.t.Helper()
	b.do(chromedp.SetUploadFiles("#files", paths))
	b.settled(".upload", len(paths))
}

// settled waits until n items have an outcome.
func (b *browser) settled(selector string, n int) {
	b.t.Helper()
	b.do(until(fmt.Sprintf(`document.querySelectorAll(%q).length === %d`,
		selector+":is([data-outcome=stored], [data-outcome=refused], [data-outcome=accepted], [data-outcome=failed], [data-outcome=cancelled], [data-outcome=unreadable])", n)))
}

// reload begins anew, with the method that was chosen first.
func (b *browser) reload() {
	b.t.Helper()
	b.do(chromedp.Reload(), chromedp.WaitVisible(".cheat"))
}

// throttle limits what the page sends, in bytes per second.
func (b *browser) throttle(rate float64) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
		MatchedNetworkConditions: []*network.Conditions{{DownloadThroughput: -1, UploadThroughput: rate}},
	})
	require.NoError(b.t, err)
}

// shoot takes a picture of the whole page, if pictures are wanted.
func (b *browser) shoot(name string, width int64) {
	b.t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	b.do(chromedp.EmulateViewport(width, 900))
	wide := evaluate[bool](b, `document.documentElement.scrollWidth > innerWidth`)
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	require.NoError(b.t, err)
	b.do(chromedp.EmulateViewport(1280, 900))
	require.False(b.t, wide, "%s is wider than its window", name)
	require.NoError(b.t, os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600))
}

func encode(t *testing.T, encode func(io.Writer, image.Image) error) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 320, 240))
	for i := range m.Pix {
		x, y := i/4%320, i/4/320
		m.Set(x, y, color.RGBA{uint8(x), uint8(y), uint8(x * y / 300), 255})
	}
	var b bytes.Buffer
	require.NoError(t, encode(&b, m))
	require.True(t, strings.HasPrefix(http.DetectContentType(b.Bytes()), "image/"))
	return b.Bytes()
}
