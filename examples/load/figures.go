package main

import (
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The kinds of requests, as the table names them.
const (
	start    = "start a multipart upload"
	signPart = "URL of a part"
	putPart  = "upload a part"
	join     = "complete a multipart upload"
	complete = "complete"
	readBack = "read back and delete"
)

// kinds holds the kinds of requests for each method.
var kinds = map[string]struct{ ask, use string }{
	http.MethodPut:  {"grant a PUT", "upload by PUT"},
	http.MethodPost: {"grant a form", "upload by form"},
}

var order = []string{
	kinds[http.MethodPut].ask, kinds[http.MethodPut].use,
	kinds[http.MethodPost].ask, kinds[http.MethodPost].use,
	start, signPart, putPart, join, complete, readBack,
}

// A figures holds the durations of the requests of a visitor by kind. The
// histograms do not grow with the number of requests.
type figures map[string]*hdrhistogram.Histogram // of microseconds

func newFigures() figures {
	f := make(figures)
	for _, kind := range order {
		f[kind] = hdrhistogram.New(1, int64(2*time.Minute/time.Microsecond), 2)
	}
	return f
}

// time records the duration of a request that succeeds.
func (f figures) time(kind string, request func() error) error {
	started := time.Now()
	if err := request(); err != nil {
		return err
	}
	return f[kind].RecordValue(time.Since(started).Microseconds())
}

func (f figures) reset() {
	for _, h := range f {
		h.Reset()
	}
}

func (f figures) merge(other figures) {
	for kind, h := range other {
		f[kind].Merge(h)
	}
}

// A result holds the measurements of a run.
type result struct {
	took       time.Duration
	warm, end  uint64 // bytes in use after warming up, and at the end
	sessions   int64  // number of credentials that signed
	goroutines int    // number at the end, with idle connections open
	figures    figures
}

// checkMemory returns an error if memory has grown.
func (r *result) checkMemory() error {
	if limit := r.warm + r.warm/2 + 8<<20; r.end > limit {
		return fmt.Errorf("memory must not grow, got %d bytes after warming up and %d at the end",
			r.warm, r.end)
	}
	return nil
}

func (r *result) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
	line := func(cells ...any) {
		fmt.Fprintf(w, strings.Repeat("| %v\t", len(cells))+"|\n", cells...)
	}
	line("", "requests", "a second", "p50", "p99", "longest")
	line("---", "---", "---", "---", "---", "---")
	for _, kind := range order {
		h := r.figures[kind]
		took := func(micros int64) string { return fmt.Sprintf("%.2f ms", float64(micros)/1000) }
		line(kind, h.TotalCount(), fmt.Sprintf("%.0f", float64(h.TotalCount())/r.took.Seconds()),
			took(h.ValueAtQuantile(50)), took(h.ValueAtQuantile(99)), took(h.Max()))
	}
	_ = w.Flush() // Writing to a strings.Builder never fails.
	const MiB = 1 << 20
	fmt.Fprintf(&b, "\n%.0f s, no request failed, %d sessions signed\n"+
		"%.1f MiB of memory after warming up, %.1f MiB at the end\n"+
		"%d goroutines at the end", r.took.Seconds(), r.sessions, float64(r.warm)/MiB,
		float64(r.end)/MiB, r.goroutines)
	return b.String()
}
