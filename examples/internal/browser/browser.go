// Package browser drives a headless Chromium for the tests of the demos' pages.
package browser

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
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

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// A Page is a page in a headless Chromium.
type Page struct {
	t      *testing.T
	ctx    context.Context
	faults *faults
	end    func() error
}

// A faults collects errors that a page has thrown or reported.
type faults struct {
	mu        sync.Mutex
	texts     []string
	tolerated []string
}

func (f *faults) add(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.texts = append(f.texts, text)
}

// unexpected returns the faults that the test does not tolerate.
func (f *faults) unexpected() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.texts), func(text string) bool {
		return slices.ContainsFunc(f.tolerated, func(part string) bool {
			return strings.Contains(text, part)
		})
	})
}

// Tolerate ignores errors of the page that contain part.
func (p *Page) Tolerate(part string) {
	p.faults.mu.Lock()
	defer p.faults.mu.Unlock()
	p.faults.tolerated = append(p.faults.tolerated, part)
}

// Find returns the path of a Chromium. If there is none, it skips the test, or
// fails it in CI.
func Find(t *testing.T) string {
	t.Helper()
	for _, name := range []string{
		"chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
	} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	Missing(t, "Chromium")
	return ""
}

// Open starts a Chromium until the test ends, with a window of 1280 pixels.
// Errors that the page throws or reports fail the test, except errors of the
// network and tolerated errors. If there is no Chromium, the test is skipped,
// or fails in CI.
func Open(t *testing.T) *Page {
	t.Helper()
	return OpenProfile(t, t.TempDir(), 5*time.Minute) // Some tests send 300 MiB.
}

// OpenProfile starts a Chromium as Open does, with a profile directory that an
// earlier Chromium might have written. All steps of the test must end within
// the limit.
func OpenProfile(t *testing.T, profile string, limit time.Duration) *Page {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(Find(t)), chromedp.UserDataDir(profile),
		chromedp.Headless, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.WSURLReadTimeout(time.Minute), // the time limit for the start
	}
	for _, name := range []string{
		"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync",
		"disable-dev-shm-usage",
	} {
		options = append(options, chromedp.Flag(name, true))
	}
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // The sandbox does not work as root.
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, _ = chromedp.NewContext(ctx)
	end := sync.OnceValue(func() error { return chromedp.Cancel(ctx) })
	t.Cleanup(func() { _ = end() }) // end waits, so that the profile can be removed.

	p := &Page{t, ctx, new(faults), end}
	require.NoError(t, chromedp.Listen(ctx, func(event any) {
		switch event := event.(type) {
		case *runtime.EventExceptionThrown:
			text := event.ExceptionDetails.Text
			if thrown := event.ExceptionDetails.Exception; thrown != nil {
				text += thrown.Description
			}
			p.faults.add(text)
		case *log.EventEntryAdded:
			// The network log has an entry for every 403, and Clear-Site-Data
			// logs information.
			if event.Entry.Source != log.EntrySourceNetwork &&
				event.Entry.Level != log.EntryLevelInfo {
				p.faults.add(event.Entry.Text)
			}
		}
	}))
	t.Cleanup(func() { require.Empty(t, p.faults.unexpected()) })
	p.Do(chromedp.EmulateViewport(1280, 900))
	return p
}

// Kill kills Chromium and its child processes, to simulate a crash.
func (p *Page) Kill() {
	p.t.Helper()
	process := chromedp.FromContext(p.ctx).Browser.Process()
	started := descendants(process.Pid)
	require.NoError(p.t, process.Kill())
	for _, pid := range started { // The children would still write to the profile.
		if child, err := os.FindProcess(pid); err == nil {
			_ = child.Kill() // The child might have ended already.
		}
	}
}

// descendants returns the children of a process and their descendants. Without
// /proc it returns none.
func descendants(pid int) (found []int) {
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	children := make(map[int][]int)
	for _, path := range paths {
		line, _ := os.ReadFile(path)
		var child, parent int
		var state string
		_, after, _ := strings.Cut(string(line), ") ") // The name can have spaces.
		_, _ = fmt.Sscan(string(line), &child)
		_, _ = fmt.Sscan(after, &state, &parent)
		children[parent] = append(children[parent], child)
	}
	for pending := []int{pid}; len(pending) > 0; pending = pending[1:] {
		found, pending = append(found, children[pending[0]]...),
			append(pending, children[pending[0]]...)
	}
	return found
}

// With returns the same page for another test, such as a subtest.
func (p *Page) With(t *testing.T) *Page { return &Page{t, p.ctx, p.faults, p.end} }

// Close closes the tab, or ends Chromium and keeps its profile.
func (p *Page) Close() {
	p.t.Helper()
	require.NoError(p.t, p.end())
}

// OpenTab opens another tab with the same cookies. Close closes the tab.
func (p *Page) OpenTab() *Page {
	p.t.Helper()
	ctx, _ := chromedp.NewContext(p.ctx)
	tab := &Page{p.t, ctx, p.faults, func() error { return chromedp.Cancel(ctx) }}
	tab.Do(chromedp.EmulateViewport(1280, 900))
	return tab
}

// Do runs steps.
func (p *Page) Do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	for _, step := range steps {
		require.NoError(p.t, retryInContext(func() error { return chromedp.Do(p.ctx, step) }))
	}
}

// Run runs a step and returns its result.
func Run[T any](p *Page, step chromedp.Action[T]) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, step)
	require.NoError(p.t, err)
	return v
}

// Evaluate runs a script and returns its result.
func Evaluate[T any](p *Page, script string, options ...chromedp.EvaluateOption) T {
	p.t.Helper()
	var v T
	require.NoError(p.t, retryInContext(func() (err error) {
		v, err = chromedp.Run(p.ctx, chromedp.Evaluate[T](script, options...))
		return err
	}), script)
	return v
}

// retryInContext repeats a step if navigation has replaced its page. The failed
// step had no effect.
func retryInContext(step func() error) error {
	for range 99 {
		if err := step(); err == nil ||
			!strings.Contains(err.Error(), "Cannot find context with specified id") {
			return err
		}
	}
	return step()
}

// Call sends a command of the DevTools protocol.
func Call[P, R any](p *Page, command cdp.Command[P, R], params P) R {
	p.t.Helper()
	r, err := chromedp.Call(p.ctx, command, params)
	require.NoError(p.t, err)
	return r
}

// CallBrowser sends a command of the DevTools protocol to the browser instead
// of the page.
func CallBrowser[P, R any](p *Page, command cdp.Command[P, R], params P) R {
	p.t.Helper()
	r, err := chromedp.CallBrowser(p.ctx, command, params)
	require.NoError(p.t, err)
	return r
}

// Until waits until an expression is true.
func Until(expression string) chromedp.Action[chromedp.Void] {
	return chromedp.Poll[chromedp.Void](expression)
}

// Text returns the text of the element that a script finds.
func (p *Page) Text(element string) string {
	p.t.Helper()
	return Evaluate[string](p, element+`.textContent`)
}

// Count returns the number of elements that a selector finds.
func (p *Page) Count(selector string) int {
	p.t.Helper()
	return Evaluate[int](p, fmt.Sprintf(`document.querySelectorAll(%q).length`, selector))
}

// Throttle limits the upload rate of the page, in bytes per second. The rate -1
// removes the limit.
func (p *Page) Throttle(rate float64) {
	p.t.Helper()
	Call(p, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
		MatchedNetworkConditions: []*network.Conditions{
			{DownloadThroughput: -1, UploadThroughput: rate},
		},
	})
}

// Shoot writes a picture of the whole page in a window of the given width to
// the directory SCREENSHOTS. It does nothing if this environment variable is
// not set.
func (p *Page) Shoot(name string, width int64) {
	p.t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	p.Do(chromedp.EmulateViewport(width, 900))
	wide := Evaluate[bool](p, `document.documentElement.scrollWidth > innerWidth`)
	picture := Run(p, chromedp.FullScreenshot(100))
	p.Do(chromedp.EmulateViewport(1280, 900))
	require.False(p.t, wide, "%s must not be wider than its window", name)
	require.NoError(p.t,
		os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d.png", name, width)), picture, 0o600))
}

// Picture returns a picture in the format of encode. Each seed produces a
// different picture.
func Picture(t *testing.T, seed int, encode func(io.Writer, image.Image) error) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 320, 240))
	for i := range m.Pix {
		x, y := i/4%320, i/4/320
		m.Set(x, y, color.RGBA{uint8(x + 40*seed), uint8(y + 90*seed), uint8(x * y / 300), 255})
	}
	var b bytes.Buffer
	require.NoError(t, encode(&b, m))
	require.True(t, strings.HasPrefix(http.DetectContentType(b.Bytes()), "image/"))
	return b.Bytes()
}

// Missing skips a test because a program is missing, or fails it in CI.
func Missing(t *testing.T, program string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("no %s", program)
	}
	t.Skipf("skipped: no %s on this machine", program)
}
