// Package interrupt ends demos: by Ctrl-C, by kill, and with the terminal, so that nothing of theirs is left behind.
package interrupt

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Context returns a context that ends with the first such signal. A second Ctrl-C does not wait for what is to be done
// then. A program that was started to outlive its terminal (nohup) does.
func Context() context.Context {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	outlives := signal.Ignored(syscall.SIGHUP)
	if !outlives {
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	context.AfterFunc(ctx, func() {
		if !outlives {
			signal.Ignore(syscall.SIGHUP) // the shell sends another when the terminal has
		}
		stop()
	})
	return ctx
}
