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
	begin    = "begin an upload in parts"
	signPart = "URL of a part"
	putPart  = "upload a part"
	join     = "complete an upload in parts"
	complete = "complete"
	readBack = "read back and delete"
)

// kinds are those for a method.
var kinds = map[string]struct{ ask, use string }{
	http.MethodPut:  {"grant a PUT", "upload by PUT"},
	http.MethodPost: {"grant a form", "upload by form"},
}

var order = []string{
	kinds[http.MethodPut].ask, kinds[http.MethodPut].use, kinds[http.MethodPost].ask, kinds[http.MethodPost].use,
	begin, signPart, putPart, join, complete, readBack,
}

// figures are how long requests took, by kind. They are of one visitor, and take as much memory for many as for few.
type figures map[string]*hdrhistogram.Histogram // of microseconds

func newFigures() figures {
	f := make(figures)
	for _, kind := range order {
		f[kind] = hdrhistogram.New(1, int64(2*time.Minute/time.Microsecond), 2)
	}
	return f
}

// time takes the time of a request.
func (f figures) time(kind string, request func() error) error {
	begun := time.Now()
	if err := request(); err != nil {
		return err
	}
	return f[kind].RecordValue(time.Since(begun).Microseconds())
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

// result is what came of it.
type result struct {
	took       time.Duration
	warm, end  uint64 // bytes in use after warming up, and at the end
	sessions   int64  // of credentials
	goroutines int    // at the end, of connections that are kept
	figures    figures
}

// flat reports memory that grew.
func (r *result) flat() error {
	if limit := r.warm + r.warm/2 + 8<<20; r.end > limit {
		return fmt.Errorf("%d bytes of memory were in use after warming up, and %d at the end", r.warm, r.end)
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
	_ = w.Flush() // to a strings.Builder
	const MiB = 1 << 20
	fmt.Fprintf(&b, "\n%.0f s, none failed; %d sessions signed; %.1f MiB of memory after warming up, %.1f MiB at the end; "+
		"%d goroutines at the end", r.took.Seconds(), r.sessions, float64(r.warm)/MiB, float64(r.end)/MiB, r.goroutines)
	return b.String()
}
