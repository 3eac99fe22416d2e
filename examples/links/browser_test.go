package main

import (
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/examples/internal/browser"
	"github.com/s3presign/presign/examples/internal/program"
)

// faults is a script that returns the faults that make a page hard to use:
//   - text with little contrast,
//   - small targets,
//   - fields without labels, and
//   - a page that is wider than its window.
const faults = `(() => {
	const found = [];
	const channels = (color) => color.match(/[\d.]+/g).map(Number);
	const luminance = (color) => {
		const [r, g, b] = channels(color).slice(0, 3).map((c) => c / 255).map(
			(c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const background = (element) => {
		for (let e = element; e; e = e.parentElement) {
			const color = getComputedStyle(e).backgroundColor;
			if ((channels(color)[3] ?? 1) === 1) return color;
		}
		return "rgb(255, 255, 255)";
	};
	const shown = (element) => element.checkVisibility() && !element.matches(".hidden");
	for (const element of [...document.querySelectorAll("body *")].filter(shown)) {
		const name = element.outerHTML.slice(0, 60);
		if ([...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) {
			const colors = [getComputedStyle(element).color, background(element)];
			const [light, dark] = colors.map(luminance).sort((a, b) => b - a);
			const contrast = (light + 0.05) / (dark + 0.05);
			if (contrast < 4.5) found.push("contrast " + contrast.toFixed(2) + ": " + name);
		}
		if (!element.matches("button, input, main a, .drop")) continue;
		if (element.getBoundingClientRect().height < 44) found.push("small: " + name);
	}
	for (const input of document.querySelectorAll("input")) {
		if (!input.labels.length) found.push("no label: " + input.outerHTML);
	}
	if (document.documentElement.scrollWidth > innerWidth) found.push("too wide");
	return found;
})()`

// requireUsable requires that a page has no faults in a phone's width, with
// light and with dark colors.
func requireUsable(t *testing.T, b *browser.Page, name string) {
	t.Helper()
	b.Do(browser.Until(`document.readyState === "complete"`)) // The stylesheet must be loaded.
	for _, scheme := range []string{"light", "dark"} {
		browser.Call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		b.Do(chromedp.EmulateViewport(360, 740))
		require.Empty(t, browser.Evaluate[[]string](b, faults), "%s in %s", name, scheme)
		b.Shoot("links-"+name+"-"+scheme, 390)
		b.Shoot("links-"+name+"-"+scheme, 1280)
	}
	b.Do(chromedp.EmulateViewport(360, 740))
}

// TestPages checks that users can make a link and that guests can send files
// with it, on a phone.
func TestPages(t *testing.T) {
	dir := t.TempDir()
	p := program.Start(t, run, "-dir", filepath.Join(dir, "demo"))
	b := browser.Open(t)
	b.Do(chromedp.Navigate(p.Origin), chromedp.Click("button[value=alice]"),
		chromedp.WaitVisible(".fields"),
		chromedp.SendKeys("[name=folder]", "Summer trip"), chromedp.Clear("[name=count]"),
		chromedp.SendKeys("[name=count]", "2"),
		chromedp.Click(".fields button"), chromedp.WaitVisible(".links a"))
	requireUsable(t, b, "owner")
	link := browser.Evaluate[string](b, `document.querySelector(".links a").href`)
	b.Do(chromedp.Click(".who button"), chromedp.WaitVisible(".login"))

	b.Do(chromedp.Navigate(link), chromedp.WaitVisible("#drop"))
	require.Regexp(t, `^The files go to alice, into the folder “Summer trip”. `+
		`The link accepts 2 files until \w+ \d+, \d+\.$`,
		b.Text(`document.querySelector("#lead")`))
	requireUsable(t, b, "send")
	b.Do(chromedp.KeyEvent("\t"))
	require.Equal(t, "files", browser.Evaluate[string](b, `document.activeElement.id`),
		"the field must have the keyboard focus")
	require.Equal(t, "3px",
		browser.Evaluate[string](b,
			`getComputedStyle(document.querySelector("#drop")).outlineWidth`),
		"the page must show the keyboard focus")

	var paths []string
	for i, name := range []string{"lake.png", "Übersicht der Reise mit einem langen Namen.png",
		"third.png"} {
		paths = append(paths, filepath.Join(dir, name))
		require.NoError(t, os.WriteFile(paths[i], browser.Picture(t, i, png.Encode), 0o600))
	}
	status := `document.querySelector("#status").textContent`
	b.Do(chromedp.SetUploadFiles("#files", paths),
		browser.Until(status+` === "2 of 3 files have arrived."`))
	require.Equal(t,
		[]string{"Arrived", "Arrived", "This link was for 2 files. All of them have arrived."},
		browser.Evaluate[[]string](b,
			`[...document.querySelectorAll("#sent p")].map((p) => p.textContent)`))
	require.Equal(t, "polite",
		browser.Evaluate[string](b, `document.querySelector("#status").ariaLive`))
	requireUsable(t, b, "sent")
	require.Len(t,
		program.Objects(t, filepath.Join(dir, "demo", "s3"), bucket, "files/alice/Summer trip"), 2)

	b.Do(chromedp.Navigate("about:blank"), chromedp.Navigate(link[:len(link)-9]),
		chromedp.WaitVisible("#problem:not(:empty)"))
	require.Equal(t, "This link is incomplete or changed. Copy all of it.",
		b.Text(`document.querySelector("#problem")`))
	require.False(t, browser.Evaluate[bool](b, `document.querySelector("#drop").checkVisibility()`))
	requireUsable(t, b, "problem")

	b.Do(chromedp.Navigate(p.Origin), chromedp.Click("button[value=bob]"),
		chromedp.WaitVisible(".fields"))
	require.Zero(t, b.Count(".links .card"), "the page of bob must not show alice's links")
	browser.Evaluate[int](b, `fetch("/revoke", {
		method: "POST", body: new URLSearchParams({ number: 1 }),
	}).then((r) => r.status)`, chromedp.EvalAwaitPromise)
	b.Do(chromedp.Click(".who button"), chromedp.WaitVisible(".login"),
		chromedp.Click("button[value=alice]"), chromedp.WaitVisible(".files"))
	require.Equal(t, 2, b.Count(".files li"))
	require.Equal(t, "2 of 2 files", b.Text(`document.querySelector(".links .card p")`))
	// The request of bob did not revoke the link, so alice's page has a button.
	b.Do(chromedp.Click(".links button"), chromedp.WaitVisible(".ended"))
	require.Zero(t, b.Count(".links a"), "the page must not show a revoked link")
	requireUsable(t, b, "revoked")
}

// TestClosedPageNeedsNoCompletion checks that a file arrives even if its page
// is closed before it asks for the completion.
func TestClosedPageNeedsNoCompletion(t *testing.T) {
	dir := t.TempDir()
	p := program.Start(t, run, "-dir", filepath.Join(dir, "demo"))
	b := browser.Open(t)
	b.Do(chromedp.Navigate(p.Origin), chromedp.Click("button[value=alice]"),
		chromedp.WaitVisible(".fields"),
		chromedp.SendKeys("[name=folder]", "Trip"), chromedp.Click(".fields button"),
		chromedp.WaitVisible(".links a"))
	link := browser.Evaluate[string](b, `document.querySelector(".links a").href`)
	b.Do(chromedp.Navigate(link), chromedp.WaitVisible("#drop"))
	browser.Evaluate[chromedp.Void](b, `{
		const { fetch } = window;
		window.fetch = (url, options) => {
			if (!String(url).endsWith("/complete")) return fetch(url, options);
			window.isSent = true;
			return new Promise(() => {});
		};
	}`)
	path := filepath.Join(dir, "lake.png")
	require.NoError(t, os.WriteFile(path, browser.Picture(t, 1, png.Encode), 0o600))
	b.Do(chromedp.SetUploadFiles("#files", []string{path}), browser.Until(`window.isSent`),
		chromedp.Navigate("about:blank"))
	objects := func(prefix string) int {
		return len(program.Objects(t, filepath.Join(dir, "demo", "s3"), bucket, prefix))
	}
	// The service deletes the upload after it has written the row.
	require.Eventually(t, func() bool {
		return objects("files/alice/Trip") == 1 && objects("incoming") == 0
	}, 20*time.Second, 20*time.Millisecond)
	b.Do(chromedp.Navigate(p.Origin), chromedp.WaitVisible(".files"))
	require.Equal(t, "lake.png", b.Text(`document.querySelector(".files li")`))
}
