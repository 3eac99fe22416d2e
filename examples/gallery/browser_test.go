package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/examples/internal/browser"
	"github.com/s3presign/presign/examples/internal/program"
)

// A gallery is the page in a browser.
type gallery struct {
	*browser.Page
	t *testing.T
}

func (g gallery) with(t *testing.T) gallery { return gallery{g.With(t), t} }

func (g gallery) logIn(user string) {
	g.Do(chromedp.Click(fmt.Sprintf(`button[value=%s]`, user)), chromedp.WaitVisible(".drop"),
		browser.Until(`document.querySelector(".empty").hidden ===
			document.querySelectorAll(".picture").length > 0`))
}

func (g gallery) logOut() {
	g.Do(chromedp.Click(".who button"), chromedp.WaitVisible(".login"))
}

// A file describes a file that a test drops on the page.
type file struct {
	Name, Type string
	Content    []byte // base64 in JSON
}

func (g gallery) drop(files ...file) {
	g.t.Helper()
	list, err := json.Marshal(files)
	require.NoError(g.t, err)
	browser.Evaluate[chromedp.Void](g.Page, `{
		const data = new DataTransfer();
		for (const { Name, Type, Content } of `+string(list)+`) {
			const content = Uint8Array.from(atob(Content), (c) => c.charCodeAt(0));
			data.items.add(new File([content], Name, { type: Type }));
		}
		document.querySelector(".drop").dispatchEvent(
			new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
	}`)
}

// waitForPictures waits until n pictures are loaded and no upload is under way.
func (g gallery) waitForPictures(n int) {
	g.t.Helper()
	g.Do(browser.Until(fmt.Sprintf(`!document.querySelector(".upload:not([data-outcome])")
		&& document.querySelectorAll(".picture").length === %d
		&& [...document.querySelectorAll(".picture img")].every(
			(i) => i.complete && i.naturalWidth > 0)`, n)))
}

// waitForOutcome waits until n uploads have the outcome.
func (g gallery) waitForOutcome(outcome string, n int) {
	g.t.Helper()
	g.Do(browser.Until(fmt.Sprintf(
		`document.querySelectorAll(".upload[data-outcome=%s]").length === %d`, outcome, n)))
}

// dismiss removes an upload that has ended from the page.
func (g gallery) dismiss() {
	g.Do(chromedp.Click(".upload[data-outcome] .cancel"),
		browser.Until(`!document.querySelector(".upload")`))
}

// evaluateModule evaluates a script that uses the exports of upload.js.
func evaluateModule[T any](g gallery, script string) T {
	g.t.Helper()
	return browser.Evaluate[T](g.Page, `(async () => {
		const { checksum, complete, requestGrant, send, UploadError } = await import("/upload.js");
		`+script+`
	})()`, chromedp.EvalAwaitPromise)
}

// landscape returns a JPEG of a sky, a sun and a ground, for the screenshots.
func landscape(t *testing.T, seed int, width, height int) []byte {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	horizon, sun := height*(2+r.IntN(2))/6, r.IntN(width)
	hue := [3]int{90 + r.IntN(120), 80 + r.IntN(90), 70 + r.IntN(120)}
	for y := range height {
		for x := range width {
			dx, dy := x-sun, y-horizon/2
			shade := 60 + 120*y/height
			if y < horizon {
				shade = 230 - 70*y/max(1, horizon)
			}
			if dx*dx+dy*dy < height*height/90 {
				shade = 255
			}
			o := m.PixOffset(x, y)
			for c := range 3 {
				v := shade*(hue[c]+90)/255 + r.IntN(10)
				m.Pix[o+c] = uint8(min(255, max(0, v)))
			}
			m.Pix[o+3] = 255
		}
	}
	var b strings.Builder
	require.NoError(t, jpeg.Encode(&b, m, &jpeg.Options{Quality: 92}))
	return []byte(b.String())
}

// TestBrowser checks that alice and bob can use the page in a headless
// Chromium. It writes screenshots to the directory that the environment
// variable SCREENSHOTS names.
func TestBrowser(t *testing.T) {
	dir := t.TempDir()
	p := program.Start(t, run, "-dir", dir)
	g := gallery{browser.Open(t), t}
	album, err := openAlbum(context.Background(), filepath.Join(dir, "pictures.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, album.Close()) })
	rows := func(owner string) []picture {
		t.Helper()
		found, err := album.list(context.Background(), owner)
		require.NoError(t, err)
		return found
	}
	shoot := func(name string) {
		g.Shoot("gallery-"+name, 1280)
		g.Shoot("gallery-"+name, 390)
	}

	g.Do(chromedp.Navigate(p.Origin), chromedp.WaitVisible(".login"))
	shoot("login")
	g.logIn("alice")
	shoot("empty")
	g.Do(chromedp.EmulateViewport(390, 900))
	lines := browser.Evaluate[[]int](g.Page, `["h1", ".who b", ".who button"].map((selector) => {
		const text = document.createRange();
		text.selectNodeContents(document.querySelector(selector));
		return text.getClientRects().length;
	})`)
	require.Equal(t, []int{1, 1, 1}, lines,
		"each text of the header must fit on one line on a phone")
	g.Do(chromedp.EmulateViewport(1280, 900))

	// The page sends several pictures at once and shows their progress.
	g.Throttle(300 << 10)
	var dropped []file
	for i, name := range []string{"Morning at the lake.jpg", "湖.jpg",
		"evening, with a name that is longer than the frame around the picture.jpg", "hill.jpg"} {
		dropped = append(dropped, file{name, "image/jpeg", landscape(t, i, 900+100*i, 700)})
	}
	dropped = append(dropped, file{"chart.png", "image/png", browser.Picture(t, 1, png.Encode)})
	g.drop(dropped...)
	g.Do(browser.Until(`[...document.querySelectorAll(".upload progress")].some(
		({ value }) => value > 0.3 && value < 1)`))
	require.Equal(t, "Waiting", g.Text(`document.querySelector(".upload:last-child .outcome")`),
		"the page must limit the number of uploads at once")
	shoot("sending")
	g.Throttle(-1)
	g.waitForPictures(len(dropped))
	require.Len(t, rows("alice"), len(dropped))
	require.Len(t, objects(t, dir, "pictures/alice"), len(dropped))
	requireNoUploads(t, dir)
	shoot("pictures")
	g.Do(chromedp.Reload())
	g.waitForPictures(len(dropped))

	t.Run("content of another type", func(t *testing.T) {
		g := g.with(t)
		g.drop(
			file{"holiday.png", "image/png",
				[]byte("<!doctype html><title>Log in</title><script>alert(1)</script>")},
			file{"drawing.gif", "image/gif",
				[]byte("\ufeff \n<!-- a comment -->\n<svg xmlns='http://www.w3.org/2000/svg'/>")},
			file{"page.html", "text/html", []byte("<p>")},
		)
		g.waitForOutcome("rejected", 3)
		outcome := func(i int) string {
			return g.Text(fmt.Sprintf(`document.querySelectorAll(".upload .outcome")[%d]`, i))
		}
		require.Equal(t, `Rejected and deleted. Its type must match the content, `+
			`got "image/png" for a file that looks like text/html.`, outcome(0))
		require.Equal(t, `Rejected and deleted. Its type must match the content, `+
			`got "image/gif" for a file that looks like image/svg+xml.`, outcome(1))
		require.Contains(t, outcome(2), `got "text/html"`)
		requireNoUploads(t, dir)
		require.Len(t, objects(t, dir, "pictures"), len(dropped))
		require.Len(t, rows("alice"), len(dropped), "OnComplete must not be called")
		g.Shoot("gallery-rejected", 1280)
		g.Shoot("gallery-rejected", 390)
		for range 3 {
			g.Do(chromedp.Click(".upload .cancel"))
		}
		require.Zero(t, g.Count(".upload"))
	})

	t.Run("cancelled", func(t *testing.T) {
		g := g.with(t)
		// The file is larger than the buffers of a connection.
		path := filepath.Join(t.TempDir(), "large.jpg")
		require.NoError(t,
			os.WriteFile(path, append(landscape(t, 9, 600, 600), make([]byte, 12<<20)...), 0o600))
		g.Throttle(1 << 20)
		g.Do(chromedp.SetUploadFiles("#files", []string{path}))
		g.Do(browser.Until(`document.querySelector(".upload progress").value > 0.05`),
			chromedp.Click(".upload .cancel"))
		g.waitForOutcome("cancelled", 1)
		g.Throttle(-1)
		requireNoUploads(t, dir)
		require.Len(t, rows("alice"), len(dropped))
		g.dismiss()
	})

	pictures := len(dropped)
	t.Run("pending", func(t *testing.T) {
		g := g.with(t)
		browser.Evaluate[chromedp.Void](g.Page, `{
			const { fetch } = window;
			const problem = {
				status: 409, message: "Later.", retry_after: 1,
				errors: [{ field: "upload", code: "pending", detail: "is being inspected" }],
			};
			window.pending = true;
			window.fetch = (url, options) => window.pending && String(url).endsWith("/complete")
				? Promise.resolve(Response.json(problem, { status: 409 })) : fetch(url, options);
		}`)
		g.drop(file{"inspected.jpg", "image/jpeg", landscape(t, 10, 600, 600)})
		g.Do(chromedp.WaitVisible(`.upload[data-state=pending]`))
		require.Contains(t, g.Text(`document.querySelector(".upload .outcome")`),
			"The service is still inspecting the picture.")
		shoot("pending")
		browser.Evaluate[chromedp.Void](g.Page, `window.pending = false`)
		pictures++
		g.waitForPictures(pictures)
		g.Do(chromedp.Reload())
		g.waitForPictures(pictures)
	})

	t.Run("without the browser's cache", func(t *testing.T) {
		g := g.with(t)
		// Chromium then adds Cache-Control to each request whose page has not
		// set it.
		browser.Call(g.Page, network.SetCacheDisabled,
			network.SetCacheDisabledParams{CacheDisabled: true})
		g.drop(file{"uncached.jpg", "image/jpeg", landscape(t, 13, 700, 500)})
		pictures++
		g.waitForPictures(pictures)
		browser.Call(g.Page, network.SetCacheDisabled, network.SetCacheDisabledParams{})
	})

	t.Run("deleted", func(t *testing.T) {
		g := g.with(t)
		g.Do(chromedp.Click(".picture .delete"), chromedp.WaitVisible("dialog"))
		g.Shoot("gallery-delete", 390)
		g.Do(chromedp.Click(`dialog button[value=""]`), chromedp.WaitNotPresent("dialog"))
		g.waitForPictures(pictures)
		g.Do(chromedp.Click(".picture .delete"), chromedp.WaitVisible("dialog"),
			chromedp.Click("dialog .danger"))
		pictures--
		g.waitForPictures(pictures)
		require.Len(t, rows("alice"), pictures)
		require.Len(t, objects(t, dir, "pictures"), pictures)
	})

	t.Run("another user", func(t *testing.T) {
		g := g.with(t)
		key := evaluateModule[string](g, fmt.Sprintf(`
			const content = Uint8Array.from(atob("%s"), (c) => c.charCodeAt(0));
			const file = new File([content], "mine.jpg", { type: "image/jpeg" });
			const sum = await checksum(file, "SHA256");
			const wish = { filename: file.name, type: file.type, size: file.size, checksum: sum };
			const grant = await requestGrant(wish, { endpoint: "/uploads/" });
			await send(grant, file);
			return grant.key;`, base64.StdEncoding.EncodeToString(landscape(t, 12, 500, 400))))
		id := rows("alice")[0].ID

		g.logOut()
		g.logIn("bob")
		g.waitForPictures(0)
		const ask = `return complete({ key: %q }, { endpoint: "/uploads/" }).then(
			() => 200, (error) => error instanceof UploadError ? error.status : 0);`
		require.Equal(t, 404, evaluateModule[int](g, fmt.Sprintf(ask, key)))
		require.Equal(t, 404,
			evaluateModule[int](g, fmt.Sprintf(`return (await fetch("/pictures/%s")).status;`, id)))
		require.Equal(t, 404,
			evaluateModule[int](g, fmt.Sprintf(
				`return (await fetch("/pictures/%s", { method: "DELETE" })).status;`, id)))
		g.drop(file{"bobs.png", "image/png", browser.Picture(t, 2, png.Encode)})
		g.waitForPictures(1)
		require.Len(t, rows("bob"), 1)

		g.logOut()
		g.logIn("alice")
		require.Equal(t, 200, evaluateModule[int](g, fmt.Sprintf(ask, key)))
		g.Do(chromedp.Reload())
		g.waitForPictures(pictures + 1)
		require.Equal(t, "mine.jpg", g.Text(`document.querySelector(".picture b")`))
	})
}

// TestClosedTab checks that the store's event completes the upload of a closed
// tab. The tab is closed after it has sent the picture and before it asks for
// the completion.
func TestClosedTab(t *testing.T) {
	dir := t.TempDir()
	p := program.Start(t, run, "-dir", dir)
	g := gallery{browser.Open(t), t}
	g.Do(chromedp.Navigate(p.Origin), chromedp.WaitVisible(".login"))
	g.logIn("alice")
	page := g.OpenTab()
	tab := gallery{page, t}
	tab.Do(chromedp.Navigate(p.Origin), chromedp.WaitVisible(".drop"))
	browser.Evaluate[chromedp.Void](tab.Page, `{
		const { fetch } = window;
		window.fetch = (url, options) => {
			if (!String(url).endsWith("/complete")) return fetch(url, options);
			window.isSent = true;
			return new Promise(() => {});
		};
	}`)
	tab.drop(file{"lake.jpg", "image/jpeg", landscape(t, 1, 600, 400)})
	tab.Do(browser.Until(`window.isSent`))
	page.Close()
	require.Eventually(t, func() bool {
		return len(objects(t, dir, "pictures/alice")) == 1
	}, 20*time.Second, 10*time.Millisecond)
	requireNoUploads(t, dir)
	g.Do(chromedp.Reload())
	g.waitForPictures(1)
	require.Equal(t, "lake.jpg", g.Text(`document.querySelector(".picture b")`))
}
