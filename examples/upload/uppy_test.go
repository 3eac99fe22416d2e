package upload_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/browser"
)

// TestAgainstUppy uploads 300 MiB with the module and with stock Uppy 6, while
// each request takes 50 ms more. It checks how many requests wait for one
// another, and logs the seconds.
func TestAgainstUppy(t *testing.T) {
	const concurrency = 6
	s := open(t, anyFile, testCase{handler: []presign.HandlerOption{presign.WithUppy()}})
	s.mux.HandleFunc("GET /uppy.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "../uppy/page/uppy.js") })
	line := &timeline{delay: 50 * time.Millisecond}
	s.service.line, s.store.line = line, line
	path, sum := writeFile(t, "film.bin", 300*mib)
	s.serveScript("testdata/against.js")
	scripts := map[string]string{
		"module": fmt.Sprintf(`upload(input.files[0], { endpoint: "/uploads/", concurrency: %d }).then(({ key }) => key)`, concurrency),
		"Uppy 6": fmt.Sprintf(`uppy(input.files[0], %d).then(({ key }) => key)`, concurrency),
	}
	depths := make(map[string]int)
	for _, client := range []string{"module", "Uppy 6"} {
		s.Do(chromedp.Reload(), browser.Until(`window.uppy`), chromedp.SetUploadFiles("#input", []string{path}))
		line.depth()
		begin := time.Now()
		key := browser.Evaluate[string](s.Page, scripts[client], chromedp.EvalAwaitPromise)
		seconds := time.Since(begin).Seconds()
		depths[client] = line.depth()
		t.Logf("%s: %d requests one after another, %.1f s", client, depths[client], seconds)
		require.Equal(t, sum, s.sum(key))
	}
	require.LessOrEqual(t, 3*depths["module"], depths["Uppy 6"], "a third of Uppy's round trips")
	require.Greater(t, depths["Uppy 6"], 120, "Uppy signs and sends 60 parts one after another")
}
