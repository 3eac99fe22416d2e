// Uppy is a service for large files, with Uppy's Dashboard as its page: small files go by form, large ones in parts,
// which can be paused, and go on after the page was loaded again.
//
//	go run -C examples ./uppy
//
// It starts an S3 server and prints the address of the page. With -dir, everything is kept there, and a later run goes
// on with it. It aborts uploads in parts that nobody has ended within a day, at its start and each hour.
//
//	POST /uploads/          grants a file of up to 2 GiB
//	/uploads/s3/…           what Uppy's AwsS3 plugin asks for
//	POST /uploads/complete  verifies and publishes a file
//
// page/uppy.js is Uppy; build.sh says where it comes from.
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
	if err := run(interrupt.Context(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "uppy:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	flags := flag.NewFlagSet(bucket, flag.ExitOnError)
	age := 24 * time.Hour
	flags.Func("orphans", "`age` at which multipart uploads that nobody has ended are aborted (default 24h)", func(text string) error {
		parsed, err := time.ParseDuration(text)
		if err == nil && parsed < time.Hour {
			err = fmt.Errorf("-orphans must be at least 1h, or uploads that are under way are lost, got %v", parsed)
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
	orphans := sweeper{client: demo.Store.Client(), bucket: bucket, prefix: policy.Prefix, age: age, logger: slog.Default()}
	aborted, err := orphans.sweep(ctx)
	if err != nil {
		return err
	}
	go orphans.sweepEach(ctx, time.Hour)
	can, err := orphans.leaveToStore(ctx)
	if err != nil {
		return err
	}
	rules := "the store has no lifecycle rules"
	if can {
		rules = "the store deletes what is left after ten days"
	}
	return demo.Run(ctx, stdout, handler, pagePolicy(demo.Store.URL),
		fmt.Sprintf("Orphans  %d aborted, older than %s; %s\n", aborted, age, rules))
}
