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

// row is one line of the table: a figure of each contender that has one, and what they make of ours.
type row struct {
	what    string
	format  func(float64) string
	figures series
	ratios  []ratio
}

// ratio is how many times the figure of one is that of another.
type ratio struct{ of, by, words string }

// table is what was measured. It prints as Markdown.
type table []row

func (t table) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
	line := func(cells ...string) { fmt.Fprintf(w, "| %s\t|\n", strings.Join(cells, "\t| ")) }
	line(append(append([]string{""}, contenders...), "presign, compared")...)
	line(slices.Repeat([]string{"---"}, len(contenders)+2)...)
	for _, r := range t {
		cells := []string{r.what}
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
	_ = w.Flush() // to a strings.Builder
	return strings.TrimSuffix(b.String(), "\n")
}

func microseconds(seconds float64) string { return fmt.Sprintf("%.3g µs", seconds*1e6) }

func milliseconds(seconds float64) string { return fmt.Sprintf("%.3g ms", seconds*1e3) }

func seconds(n float64) string { return fmt.Sprintf("%.3g s", n) }

func count(n float64) string { return fmt.Sprintf("%.0f", n) }

func percent(share float64) string { return fmt.Sprintf("%.2g %%", 100*share) }

// machine says where this was measured.
func machine() string {
	model := cpuid.CPU.BrandName
	if model == "" {
		model = "an unknown CPU"
	}
	return fmt.Sprintf("%s, %d cores, %s %s/%s, %s",
		model, runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, time.Now().Format(time.DateOnly))
}
