package main

import (
	"bytes"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	devtools "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/examples/internal/browser"
)

// TestPicture checks that light and dark pictures of the page for the README
// are small and have the right background. It writes the pictures to the
// directory that the environment variable PICTURES names. It does not compare
// them with the README's pictures, because fonts differ between machines.
func TestPicture(t *testing.T) {
	p := start(t, "-dir", t.TempDir())
	b := testPage{browser.Open(t)}
	b.Do(chromedp.EmulateViewport(1120, 760), chromedp.Navigate(p.Origin),
		chromedp.WaitVisible(".cheat"))

	holiday := filepath.Join(t.TempDir(), "holiday.jpg")
	content := browser.Picture(t, 0,
		func(w io.Writer, m image.Image) error { return jpeg.Encode(w, m, nil) })
	require.NoError(t, os.WriteFile(holiday, content, 0o600))
	b.upload(holiday)
	b.Do(chromedp.Click("#all"))
	b.waitForOutcomes(".cheat", b.Count(".cheat"))

	sizes := make(map[string]int)
	for _, scheme := range []string{"light", "dark"} {
		browser.Call(b.Page, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		browser.Evaluate[chromedp.Void](b.Page, `{
			scrollTo(0, 0);
			document.body.offsetHeight;
			document.getAnimations().forEach((a) => a.finish());
		}`)
		shot := browser.Call(b.Page, devtools.CaptureScreenshot,
			devtools.CaptureScreenshotParams{}).Data
		picture, err := png.Decode(bytes.NewReader(shot))
		require.NoError(t, err)
		require.Equal(t, image.Pt(1120, 760), picture.Bounds().Size())
		red, _, _, _ := picture.At(2, 2).RGBA()
		require.Equal(t, scheme == "light", red > 0x8000, "the background of the page must be %s",
			scheme)
		sizes[scheme] = len(shot)
		if dir := os.Getenv("PICTURES"); dir != "" {
			require.NoError(t,
				os.WriteFile(filepath.Join(dir, "quickstart-"+scheme+".png"), shot, 0o644))
		}
	}
	for scheme, size := range sizes {
		require.Less(t, size, 300<<10, "the %s picture must be small", scheme)
	}
}
