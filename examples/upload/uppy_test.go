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

// TestAgainstUppy checks that the module has at most a third of the sequential
// requests of stock Uppy 6 for an upload of 300 MiB. Each request has a delay
// of 50 ms. The test logs the times.
func TestAgainstUppy(t *testing.T) {
	const concurrency = 6
	s := open(t, anyFile, testCase{handler: []presign.HandlerOption{presign.WithUppy()}})
	s.mux.HandleFunc("GET /uppy.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, "../uppy/page/uppy.js")
	})
	line := &timeline{delay: 50 * time.Millisecond}
	s.service.line, s.store.line = line, line
	path, sum := writeFile(t, "film.bin", 300*mib)
	s.serveScript("testdata/against.js")
	scripts := map[string]string{
		"module": fmt.Sprintf(`upload(input.files[0], {
			endpoint: "/uploads/", concurrency: %d,
		}).then(({ key }) => key)`, concurrency),
		"Uppy 6": fmt.Sprintf(`uppy(input.files[0], %d).then(({ key }) => key)`, concurrency),
	}
	depths := make(map[string]int)
	for _, client := range []string{"module", "Uppy 6"} {
		s.Do(chromedp.Reload(), browser.Until(`window.uppy`),
			chromedp.SetUploadFiles("#input", []string{path}))
		line.depth()
		started := time.Now()
		key := browser.Evaluate[string](s.Page, scripts[client], chromedp.EvalAwaitPromise)
		seconds := time.Since(started).Seconds()
		depths[client] = line.depth()
		t.Logf("%s: %d requests one after another, %.1f s", client, depths[client], seconds)
		require.Equal(t, sum, s.sum(key))
	}
	require.LessOrEqual(t, 3*depths["module"], depths["Uppy 6"],
		"the module must have at most a third of Uppy's round trips")
	require.Greater(t, depths["Uppy 6"], 120,
		"Uppy must sign and send 60 parts one after another")
}

// ways lists the ways in which Uppy uploads files with the README's code.
var ways = []struct {
	name, method, part string // method and part identify the request to disturb
	size               int
}{
	{"form", "POST", bucket, 1024}, {"form", "POST", bucket, 12 * mib},
	{"parts", "PUT", "part 2", 12 * mib},
}

// A result is the result of an upload by the script.
type result struct{ Key, Error string }

// A stockUppy is an unmodified Uppy that uploads in one of the ways.
type stockUppy struct {
	*shop
	version           int
	way, method, part string
	size              int
	published         int // the number of published objects at the start
}

// testUppys runs a test for both versions of Uppy, and each way.
func testUppys(t *testing.T, policy presign.Policy, test func(t *testing.T, u stockUppy)) {
	for _, version := range []int{6, 5} {
		s := open(t, policy, testCase{handler: []presign.HandlerOption{presign.WithUppy()}})
		for v, dir := range map[int]string{6: "page", 5: "testdata"} {
			s.mux.HandleFunc(fmt.Sprintf("GET /uppy%d.js", v),
				func(w http.ResponseWriter, r *http.Request) {
					http.ServeFile(w, r, "../uppy/"+dir+"/uppy.js")
				})
		}
		s.serveScript("testdata/faults.js")
		s.Do(browser.Until(`window.prepare`))
		// Uppy 6 reads the reason for a 403 from a header that stores do not
		// expose.
		s.Tolerate(`Refused to get unsafe header "x-amz-error-code"`)
		for _, way := range ways {
			t.Run(fmt.Sprintf("Uppy %d %s of %d bytes", version, way.name, way.size),
				func(t *testing.T) {
					s := &shop{Page: s.With(t), t: t, client: s.client, store: s.store,
						service: s.service}
					browser.Evaluate[chromedp.Void](s.Page,
						fmt.Sprintf(`prepare(%d, %q)`, version, way.name),
						chromedp.EvalAwaitPromise)
					s.service.requests()
					s.store.requests()
					test(t,
						stockUppy{s, version, way.name, way.method, way.part, way.size,
							countPublished(s.keys())})
					require.Zero(t, s.uploads())
				})
		}
	}
}

// do evaluates a call of the script.
func (u stockUppy) do(call string) result {
	u.t.Helper()
	return browser.Evaluate[result](u.Page, call, chromedp.EvalAwaitPromise)
}

// requirePresses uploads a file, and requires that the user must press the
// retry button want times, which is 0 or 1.
func (u stockUppy) requirePresses(want int) {
	u.t.Helper()
	got := u.do(fmt.Sprintf(`send(%d)`, u.size))
	if want == 1 {
		require.NotEmpty(u.t, got.Error, "the first try must fail")
		got = u.do(`again()`)
	}
	require.Empty(u.t, got.Error)
	require.NotEmpty(u.t, got.Key)
	require.Equal(u.t, 1, countPublished(u.keys())-u.published)
}

// TestUppyBusy checks that a stock Uppy survives one 503 of the store. Uppy 5
// repeats parts, but its user must repeat forms.
func TestUppyBusy(t *testing.T) {
	testUppys(t, anyFile, func(t *testing.T, u stockUppy) {
		presses := 0
		if u.version == 5 && u.way == "form" {
			presses = 1
		}
		u.store.add(times(1, u.method, u.part, busy))
		u.requirePresses(presses)
		require.Equal(t, 2, countEqual(u.store.requests(), u.method+" "+u.part))
	})
}

// TestUppyBusyService checks that the user of a stock Uppy must press the retry
// button at most once after one 503 of the service.
func TestUppyBusyService(t *testing.T) {
	testUppys(t, anyFile, func(t *testing.T, u stockUppy) {
		description, method, presses := "/", "POST", 1
		if u.way == "parts" {
			description, method = "2", "GET"
		}
		if u.way == "parts" && u.version == 5 {
			presses = 0
		}
		u.service.add(times(1, method, description, busy))
		u.requirePresses(presses)
	})
}

// TestUppyExpired checks that the user of a stock Uppy must press the retry
// button once after a grant has expired. It also checks that Uppy 6 then does
// not repeat parts that have arrived.
func TestUppyExpired(t *testing.T) {
	policy := anyFile
	// The second try must end within the lifetime, even on a slow machine.
	policy.Lifetime = 4 * time.Second
	testUppys(t, policy, func(t *testing.T, u stockUppy) {
		u.store.add(times(1, u.method, u.part, expire))
		u.requirePresses(1)
		if u.way == "parts" && u.version == 6 {
			require.Equal(t, 1, countEqual(u.store.requests(), "PUT part 1"))
		}
	})
}

// TestUppyCancel checks that an upload which its user cancels is removed from
// the store.
func TestUppyCancel(t *testing.T) {
	testUppys(t, anyFile, func(t *testing.T, u stockUppy) {
		before, held := u.keys(), make(chan struct{}, 1)
		u.store.add(times(1, u.method, u.part,
			func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
				held <- struct{}{}
				return hold(w, r, next)
			}))
		browser.Evaluate[chromedp.Void](u.Page,
			fmt.Sprintf(`window.sending = send(%d), undefined`, u.size))
		<-held
		browser.Evaluate[chromedp.Void](u.Page, `uppy.cancelAll()`)
		require.Eventually(t, func() bool {
			return u.uploads() == 0
		}, time.Minute, 20*time.Millisecond, "%q", u.service.requests())
		require.Equal(t, before, u.keys())
	})
}
