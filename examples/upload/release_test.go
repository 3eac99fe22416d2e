//go:build release

package upload_test

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/systeminfo"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/examples/internal/browser"
)

// TestLargeFile checks that the page of five lines uploads 2 GiB, and logs the
// memory of the page's process.
func TestLargeFile(t *testing.T) {
	const limit = 30 * time.Minute
	s := serve(t, anyFile, testCase{})
	s.Page = browser.OpenProfile(t, t.TempDir(), limit)
	s.Do(chromedp.Navigate(s.origin), browser.Until(`file.accept`))
	before := peak(t, s.Page)
	path, sum := writeFile(t, "film.bin", 2<<30)
	started := time.Now()
	s.Do(chromedp.SetUploadFiles("#file", []string{path}),
		chromedp.Poll[chromedp.Void](`out.value`, chromedp.WithPollingTimeout(limit)))
	t.Logf("%.0f s; the page's process had at most %d MiB before, and %d MiB after",
		time.Since(started).Seconds(), before, peak(t, s.Page))
	key := browser.Evaluate[string](s.Page, `out.value`)
	require.Equal(t, sum, s.sum(key))
	require.Less(t, peak(t, s.Page)-before, 256, "the page must hold only a fraction of the file")
	require.Zero(t, s.uploads())
}

// peak returns the largest resident memory of a page's processes so far, in
// MiB.
func peak(t *testing.T, p *browser.Page) (most int) {
	t.Helper()
	all := browser.CallBrowser(p, systeminfo.GetProcessInfo, cdp.Empty{})
	for _, process := range all.ProcessInfo {
		if process.Type != "renderer" {
			continue
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", process.ID))
		require.NoError(t, err)
		found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
		require.NotNil(t, found)
		kibibytes, err := strconv.Atoi(string(found[1]))
		require.NoError(t, err)
		most = max(most, kibibytes/1024)
	}
	require.NotZero(t, most)
	return most
}
