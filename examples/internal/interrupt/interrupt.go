// Package interrupt ends demos cleanly after Ctrl-C, after kill, and when their
// terminal closes.
package interrupt

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Context returns a context that ends with the first SIGINT (Ctrl-C), SIGTERM
// or SIGHUP (the terminal has closed). A second Ctrl-C ends the program at
// once. A program that was started with nohup ignores SIGHUP.
func Context() context.Context {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	nohup := signal.Ignored(syscall.SIGHUP)
	if !nohup {
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	context.AfterFunc(ctx, func() {
		if !nohup {
			// The shell sends another SIGHUP after the terminal has closed.
			signal.Ignore(syscall.SIGHUP)
		}
		stop()
	})
	return ctx
}
