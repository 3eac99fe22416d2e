package main

import (
	"encoding/json"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"strings"
)

// The names of the files that writePlots writes.
const (
	figuresFile    = "figures.json"
	grantFile      = "grant.svg"
	completionFile = "completion.svg"
)

// figures holds the medians that the plot of grants shows.
type figures struct {
	Machine string  `json:"machine"`
	Grants  []group `json:"grants"`
}

// A group holds the CPU time of one kind of grant, in microseconds, by
// contender.
type group struct {
	Kind  string             `json:"kind"`
	Times map[string]float64 `json:"microseconds"`
}

// figures returns the medians of the rows with a CPU time of every library.
func (t table) figures() figures {
	f := figures{Machine: machine()}
	for _, r := range t {
		kind, isTime := strings.CutSuffix(r.label, cpuSuffix)
		if !isTime || len(r.figures[theSDK]) == 0 {
			continue
		}
		times := make(map[string]float64)
		for contender := range r.figures {
			times[contender] = round(r.figures.median(contender) * 1e6)
		}
		f.Grants = append(f.Grants, group{kind, times})
	}
	return f
}

// round returns n with three significant digits, as the table prints it.
func round(n float64) float64 {
	var rounded float64
	_, _ = fmt.Sscanf(fmt.Sprintf("%.3g", n), "%g", &rounded) // Sprintf writes a number.
	return rounded
}

// writePlots writes the figures and the plots to dir.
func writePlots(dir string, f figures) error {
	content, err := json.MarshalIndent(f, "", "\t")
	if err != nil {
		return err
	}
	for name, content := range map[string]string{
		figuresFile:    string(content) + "\n",
		grantFile:      plotGrants(f),
		completionFile: plotCompletions(completions),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// plotGrants returns an SVG picture with a bar for each kind and library.
func plotGrants(f figures) string {
	const left, widest, bar, gap = 190, 400, 18, 6
	longest := 0.0
	for _, g := range f.Grants {
		for _, time := range g.Times {
			longest = max(longest, time)
		}
	}
	p := new(picture)
	p.text(24, 32, "title", "CPU time of one grant: less is better")
	y := 52
	for _, g := range f.Grants {
		p.text(24, y+bar-4, "", g.Kind)
		for _, contender := range []string{ours, theMinIO, theSDK} {
			time, class := g.Times[contender], "other"
			if contender == ours {
				class = "own"
			}
			width := max(1, int(widest*time/longest+0.5))
			p.text(left-8, y+bar-4, "end", contender)
			p.box(left, y, width, bar, class)
			p.text(left+width+8, y+bar-4, "", fmt.Sprintf("%.3g µs", time))
			y += bar + gap
		}
		y += 2 * gap
	}
	p.text(24, y+8, "note", f.Machine)
	return p.svg(720, y+24,
		"CPU time of a PUT, a form and a part's URL by presign, minio-go and the SDK's presigner")
}

// A picture collects the elements of an SVG picture.
type picture struct{ strings.Builder }

// text adds a text.
func (p *picture) text(x, y int, class, text string) {
	fmt.Fprintf(p, "  <text x=\"%d\" y=\"%d\" class=\"%s\">%s</text>\n", x, y, class,
		html.EscapeString(text))
}

func (p *picture) box(x, y, width, height int, class string) {
	fmt.Fprintf(p, "  <rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"3\" class=\"%s\"/>\n",
		x, y, width, height, class)
}

// line adds a vertical line.
func (p *picture) line(x, top, bottom int) {
	fmt.Fprintf(p, "  <path d=\"M%d %dV%d\"/>\n", x, top, bottom)
}

// style has the colors of both modes. The picture has its own background,
// because the mode of the page can differ from the mode of the system.
const style = `  <style>
    svg { font: 13px system-ui, sans-serif; }
    .page { fill: #ffffff; } text { fill: #1f2328; } .own { fill: #0969da; } .other { fill: #afb8c1; } .late { fill: #d8dee4; }
    .title { font-size: 15px; font-weight: 600; } .note { font-size: 11px; opacity: .75; } .end { text-anchor: end; }
    .middle { text-anchor: middle; font-size: 11px; } .inverse { fill: #ffffff; text-anchor: middle; font-size: 11px; }
    path { stroke: #1a7f37; stroke-width: 2; } .response { fill: #1a7f37; font-size: 11px; }
    @media (prefers-color-scheme: dark) {
      .page { fill: #0d1117; } text { fill: #e6edf3; } .own { fill: #4493f8; } .other { fill: #57606a; } .late { fill: #30363d; }
      .inverse { fill: #0d1117; } path { stroke: #3fb950; } .response { fill: #3fb950; }
    }
  </style>
`

// svg returns the picture in a frame of the given size.
func (p *picture) svg(width, height int, title string) string {
	return fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" "+
		"width=\"%[1]d\" height=\"%[2]d\" viewBox=\"0 0 %[1]d %[2]d\" role=\"img\">\n"+
		"  <title>%[3]s</title>\n%[4]s  <rect width=\"%[1]d\" height=\"%[2]d\" rx=\"6\" class=\"page\"/>\n%[5]s</svg>\n",
		width, height, html.EscapeString(title), style, p.String())
}
