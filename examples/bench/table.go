package main

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/klauspost/cpuid/v2"
)

// A row is one line of the table. It has figures of some or all contenders, and
// ratios between them.
type row struct {
	label   string
	format  func(float64) string
	figures series
	ratios  []ratio
}

// A ratio is the figure of one contender divided by the figure of another.
type ratio struct{ of, by, words string }

// A table holds all measurements. It prints as Markdown.
type table []row

func (t table) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
	line := func(cells ...string) { fmt.Fprintf(w, "| %s\t|\n", strings.Join(cells, "\t| ")) }
	line(append(append([]string{""}, contenders...), "presign, compared")...)
	line(slices.Repeat([]string{"---"}, len(contenders)+2)...)
	for _, r := range t {
		cells := []string{r.label}
		for _, contender := range contenders {
			cell := ""
			if len(r.figures[contender]) > 0 {
				cell = r.format(r.figures.median(contender))
			}
			cells = append(cells, cell)
		}
		var ratios []string
		for _, q := range r.ratios {
			ratios = append(ratios, fmt.Sprintf("%.3g × %s", r.figures.ratio(q.of, q.by), q.words))
		}
		line(append(cells, strings.Join(ratios, ", "))...)
	}
	_ = w.Flush() // Writing to a strings.Builder never fails.
	return strings.TrimSuffix(b.String(), "\n")
}

func microseconds(seconds float64) string { return fmt.Sprintf("%.3g µs", seconds*1e6) }

func milliseconds(seconds float64) string { return fmt.Sprintf("%.3g ms", seconds*1e3) }

func seconds(n float64) string { return fmt.Sprintf("%.3g s", n) }

func count(n float64) string { return fmt.Sprintf("%.0f", n) }

func percent(share float64) string { return fmt.Sprintf("%.2g %%", 100*share) }

// machine describes the machine and the time of the measurement.
func machine() string {
	model := cpuid.CPU.BrandName
	if model == "" {
		model = "an unknown CPU"
	}
	return fmt.Sprintf("%s, %d cores, %s %s/%s, %s",
		model, runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH,
		time.Now().Format(time.DateOnly))
}
