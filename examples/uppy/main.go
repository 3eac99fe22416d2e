// Uppy is a service for large files, with Uppy's Dashboard as its page. Uppy
// sends small files by form and large files as multipart uploads. Users can
// pause a multipart upload, and can resume it after they have reloaded the
// page.
//
//	go run -C examples ./uppy
//
// The demo starts an S3 server and prints the address of the page. With -dir,
// all data is kept in that directory, and a later run continues with this data.
// At its start and every hour, the demo aborts multipart uploads that were not
// completed within a day.
//
//	POST /uploads/          grants a file of up to 2 GiB
//	/uploads/s3/…           serves Uppy's AwsS3 plugin
//	POST /uploads/complete  verifies and publishes a file
//
// The script build.sh builds page/uppy.js from npm.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/s3presign/presign/examples/internal/interrupt"
	"github.com/s3presign/presign/examples/internal/site"
)

const bucket = "uppy"

func main() {
	if err := run(interrupt.Context(), os.Args[1:], os.Stdout); err != nil &&
		!errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "uppy:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	flags := flag.NewFlagSet(bucket, flag.ExitOnError)
	age := 24 * time.Hour
	flags.Func("orphans", "`age` at which incomplete multipart uploads are aborted (default 24h)",
		func(text string) error {
			parsed, err := time.ParseDuration(text)
			if err == nil && parsed < time.Hour {
				err = fmt.Errorf(
					"-orphans must be at least 1h, got %v: a shorter age aborts uploads under way",
					parsed)
			}
			age = parsed
			return err
		})
	flags.Init(bucket, flag.ContinueOnError)
	demo, err := site.OpenDemo(ctx, flags, "127.0.0.1:8084", true, args)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, demo.Close()) }()
	handler, err := newService(demo.Store.Client(), demo.Site, demo.Secret)
	if err != nil {
		return err
	}
	orphans := sweeper{
		client: demo.Store.Client(), bucket: bucket, prefix: policy.Prefix, age: age,
		logger: slog.Default(),
	}
	aborted, err := orphans.sweep(ctx)
	if err != nil {
		return err
	}
	go orphans.sweepPeriodically(ctx, time.Hour)
	supported, err := orphans.setLifecycle(ctx)
	if err != nil {
		return err
	}
	rules := "the store does not support lifecycle rules"
	if supported {
		rules = "the store deletes remaining uploads after ten days"
	}
	return demo.Run(ctx, stdout, handler, pagePolicy(demo.Store.URL),
		fmt.Sprintf("Orphans  %d aborted, older than %s; %s\n", aborted, age, rules))
}
