package main

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/examples/internal/browser"
)

// TestBrowser checks that the page uploads files and that the store rejects
// every cheat, in a headless Chromium. It writes screenshots to the directory
// that the environment variable SCREENSHOTS names.
func TestBrowser(t *testing.T) {
	dir := t.TempDir()
	p := start(t, "-dir", dir)
	b := testPage{browser.Open(t)}
	b.Do(chromedp.Navigate(p.Origin), chromedp.WaitVisible(".cheat"))
	b.Shoot("empty", 1280)

	files := map[string][]byte{
		"picture.jpg": browser.Picture(t, 0,
			func(w io.Writer, m image.Image) error { return jpeg.Encode(w, m, nil) }),
		"picture.png": browser.Picture(t, 0, png.Encode),
		"report.pdf": []byte(
			"%PDF-1.4\n1 0 obj <</Type /Catalog>> endobj\ntrailer <</Root 1 0 R>>\n%%EOF\n"),
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
			li := fmt.Sprintf(`[...document.querySelectorAll(".upload")].find(
				(li) => li.querySelector(".file").textContent === %q)`, name)
			require.Equal(t, "Stored and verified", b.Text(li+`.querySelector(".outcome")`),
				"%s by %s", name, method)
			key := b.Text(li + `.querySelector(".stored dd")`)
			stored, err := os.ReadFile(filepath.Join(dir, "objects", "quickstart",
				filepath.FromSlash(key)))
			require.NoError(t, err)
			require.True(t, bytes.Equal(content, stored), "%s by %s", name, method)
			require.Contains(t, b.Text(li+`.querySelector("pre")`), `"method": "`+method+`"`)
		}
		require.Len(t, objects(t, dir), len(before)+len(files))
		require.Equal(t, 2, b.Count(`.preview img`), "previews")
		b.Do(browser.Until(
			`[...document.querySelectorAll(".preview img")].every((i) => i.naturalWidth > 0)`))
		b.Shoot("uploads-"+strings.ToLower(method), 1280)
		b.Shoot("uploads-"+strings.ToLower(method), 390)
		b.reload()
	}

	t.Run("rejected by the service", func(t *testing.T) {
		b := b.with(t)
		path := filepath.Join(t.TempDir(), "page.html")
		require.NoError(t, os.WriteFile(path, []byte("<p>"), 0o600))
		empty := filepath.Join(t.TempDir(), "empty.txt")
		require.NoError(t, os.WriteFile(empty, nil, 0o600))
		b.upload(path, empty)
		require.Contains(t, b.Text(`document.querySelectorAll(".upload .outcome")[1]`),
			`The service rejected the request: type must be one of`)
		require.Contains(t, b.Text(`document.querySelectorAll(".upload .outcome")[0]`),
			`size must be at least 1 byte`)
		b.Shoot("rejected", 390)
		b.reload()
	})
	t.Run("dropped", func(t *testing.T) {
		b := b.with(t)
		browser.Evaluate[chromedp.Void](b.Page, `{
			const data = new DataTransfer();
			data.items.add(new File(["dropped"], "dropped.txt", { type: "text/plain" }));
			document.querySelector(".drop").dispatchEvent(
				new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
		}`)
		b.waitForOutcomes(".upload", 1)
		require.Equal(t, "Stored and verified",
			b.Text(`document.querySelector(".upload .outcome")`))
		b.reload()
	})
	t.Run("rejected by the store", func(t *testing.T) {
		b := b.with(t)
		browser.Evaluate[chromedp.Void](b.Page, `{
			const { fetch } = window;
			window.fetch = async (...request) => {
				const grant = await (await fetch(...request)).json();
				if (grant.fields) grant.fields["Content-Type"] = "text/html";
				return Response.json(grant);
			};
		}`)
		b.upload(paths[0])
		require.Contains(t, b.Text(`document.querySelector(".upload .outcome")`),
			"S3 rejected the upload: 403 AccessDenied. ")
		b.Shoot("rejected", 1280)
		b.reload()
	})
	t.Run("accepted cheats", func(t *testing.T) {
		b := b.with(t)
		browser.Evaluate[chromedp.Void](b.Page,
			`void Object.defineProperty(XMLHttpRequest.prototype, "status", { get: () => 200 })`)
		b.Do(chromedp.Click(".cheat[data-cheat=type] button"))
		b.waitForOutcomes(".cheat", 1)
		require.Equal(t, "ACCEPTED",
			b.Text(`document.querySelector(".cheat[data-outcome=accepted] .outcome")`))
		b.Shoot("accepted", 390)
		b.reload()
	})
	t.Run("cancelled", func(t *testing.T) {
		b := b.with(t)
		before := objects(t, dir)
		b.Throttle(1 << 20)
		b.Do(chromedp.SetUploadFiles("#files",
			[]string{paths[slices.IndexFunc(paths, func(p string) bool {
				return strings.HasSuffix(p, ".csv")
			})]}))
		b.Do(browser.Until(`document.querySelector(".upload progress").value > 0.05`))
		b.Shoot("sending", 390)
		b.Do(chromedp.Click(".upload .cancel"))
		b.waitForOutcomes(".upload", 1)
		require.Equal(t, "Cancelled", b.Text(`document.querySelector(".upload .outcome")`))
		b.Throttle(-1)
		require.Equal(t, before, objects(t, dir))
		b.reload()
	})

	for method, rejections := range map[string]map[string]string{
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
			require.Equal(t, len(rejections), b.Count(".cheat"))
			b.Do(chromedp.Click("#all"))
			b.waitForOutcomes(".cheat", len(rejections))
			for id, want := range rejections {
				li := fmt.Sprintf(`document.querySelector(".cheat[data-cheat=%s]")`, id)
				require.Equal(t, "Rejected: "+want, b.Text(li+`.querySelector(".outcome")`), id)
				require.NotEmpty(t, b.Text(li+`.querySelector(".response")`), id)
			}
			if method == "PUT" {
				before += 2 // The attempts "copy" and "again" each upload the granted file first.
			}
			require.Len(t, objects(t, dir), before)
			b.Shoot("cheats-"+strings.ToLower(method), 1280)
			b.Shoot("cheats-"+strings.ToLower(method), 390)
		})
	}
}

// A testPage is the quickstart's page in a browser.
type testPage struct{ *browser.Page }

func (p testPage) with(t *testing.T) testPage { return testPage{p.With(t)} }

func (p testPage) choose(method string) {
	p.Do(chromedp.Click(fmt.Sprintf(`//input[@value=%q]/following-sibling::span`, method)))
}

func (p testPage) upload(paths ...string) {
	p.Do(chromedp.SetUploadFiles("#files", paths))
	p.waitForOutcomes(".upload", len(paths))
}

// waitForOutcomes waits until n items have an outcome.
func (p testPage) waitForOutcomes(selector string, n int) {
	p.Do(browser.Until(fmt.Sprintf(`document.querySelectorAll(%q).length === %d`,
		selector+":is([data-outcome=stored], [data-outcome=rejected], [data-outcome=accepted], "+
			"[data-outcome=failed], [data-outcome=cancelled], [data-outcome=unreadable])", n)))
}

// reload reloads the page, which restores the default method.
func (p testPage) reload() {
	p.Do(chromedp.Reload(), chromedp.WaitVisible(".cheat"))
}
