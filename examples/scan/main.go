// Scan is a service that publishes files after ClamAV has scanned them.
//
//	go run -C examples ./scan
//
// It starts an S3 server and ClamAV's daemon, and prints the address of a page.
// The daemon's database contains only the signature of the EICAR test file.
// With -dir, all data is kept in that directory. With -clamd, the service uses
// a daemon that is already running:
//
//	go run ./scan -clamd unix:/run/clamav/clamd.ctl
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/s3presign/presign/examples/internal/interrupt"
	"github.com/s3presign/presign/examples/internal/site"
)

const bucket = "scan"

func main() {
	if err := run(interrupt.Context(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "scan:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	flags := flag.NewFlagSet(bucket, flag.ExitOnError)
	address := flags.String("clamd", "", "`address` of a running clamd, unix:PATH or HOST:PORT")
	wait := flags.Duration("wait", 20*time.Second,
		"`time` after which a scan continues in the background")
	pixels := flags.Int64("pixels", 50_000_000, "`number` of pixels that a picture can have")
	demo, err := site.OpenDemo(ctx, flags, "127.0.0.1:8091", true, args)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, demo.Close()) }()
	group, ctx := errgroup.WithContext(ctx)
	daemon, more := parseClamd(*address), "ClamAV   at "+*address+"\n"
	if *address == "" {
		child, err := startClamd(ctx, policy.MaxSize)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, child.close()) }()
		group.Go(func() error { return child.wait(ctx) })
		daemon, more = child.clamd,
			"ClamAV   started by this demo, with only the signature of the EICAR test file\n"
	}
	if err := daemon.ping(ctx); err != nil {
		return fmt.Errorf("-clamd: %w", err)
	}
	scanner := newScanner(daemon.scan, *wait, *pixels, 4)
	defer scanner.close()
	signer, err := newSigner(demo.Store.Client(), demo.Secret, scanner.inspect)
	if err != nil {
		return err
	}
	handler, err := newService(demo.Store.Client(), demo.Site, signer)
	if err != nil {
		return err
	}
	csp := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
		"form-action 'self'; connect-src 'self' " + demo.Store.URL
	group.Go(func() error { return demo.Run(ctx, stdout, handler, csp, more) })
	err = group.Wait()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, signer.Shutdown(closing))
}
