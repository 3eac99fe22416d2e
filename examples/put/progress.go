package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// A progress prints how much of a file has been sent: by a bar on a terminal,
// otherwise by a line for each tenth. It is safe for concurrent use.
type progress struct {
	mu    sync.Mutex
	name  string
	size  int64
	sent  int64
	tenth int64 // the last printed tenth
	bar   *progressbar.ProgressBar
	out   io.Writer

	started time.Time
}

func newProgress(out io.Writer, name string, size int64) *progress {
	p := &progress{name: name, size: size, out: out, started: time.Now()}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.bar = newBar(out, name, size)
	}
	return p
}

func newBar(out io.Writer, name string, size int64) *progressbar.ProgressBar {
	return progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(out), progressbar.OptionSetDescription(name),
		progressbar.OptionShowBytes(true), progressbar.OptionShowCount(),
		progressbar.OptionUseIECUnits(true), progressbar.OptionFullWidth(),
		progressbar.OptionThrottle(100*time.Millisecond))
}

// add adds the number of sent bytes. The number is negative if bytes must be
// sent again. Only finish prints 100 %, because sent bytes might not have
// arrived yet.
func (p *progress) add(bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent += bytes
	if p.bar != nil {
		_ = p.bar.Set64(min(p.sent, p.size-1))
		return
	}
	if tenth := p.sent * 10 / p.size; tenth > p.tenth && tenth < 10 {
		p.tenth = tenth
		fmt.Fprintf(p.out, "%s  %d %% of %s\n", p.name, tenth*10, sizeText(p.size))
	}
}

func (p *progress) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Finish()
		fmt.Fprintln(p.out)
		return
	}
	rate := ""
	if took := time.Since(p.started).Seconds(); p.size >= mib && took > 0 {
		rate = fmt.Sprintf(", %.1f MiB/s", float64(p.size)/mib/took)
	}
	fmt.Fprintf(p.out, "%s  100 %% of %s%s\n", p.name, sizeText(p.size), rate)
}

const mib = 1 << 20

// sizeText returns a size in MiB, or in bytes if it is less than 1 MiB.
func sizeText(size int64) string {
	if size < mib {
		return fmt.Sprintf("%d bytes", size)
	}
	return fmt.Sprintf("%.1f MiB", float64(size)/mib)
}

// stop stops the bar without completing it.
func (p *progress) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Exit()
		fmt.Fprintln(p.out)
	}
}
