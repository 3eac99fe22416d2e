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
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/s3presign/presign/examples/internal/arguments"
	"github.com/s3presign/presign/examples/internal/interrupt"
	"github.com/s3presign/presign/examples/internal/site"
	"github.com/s3presign/presign/examples/internal/store"
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
	flags := flag.NewFlagSet("uppy", flag.ExitOnError)
	addr := flags.String("addr", "127.0.0.1:8084", "`address` of the page and the service")
	dir := flags.String("dir", "", "`directory` of the files and the secret; a temporary one if empty")
	age := flags.Duration("orphans", 24*time.Hour, "`age` at which uploads in parts that nobody has ended are aborted")
	_ = flags.Parse(args) // or it exits
	if err := arguments.None(flags); err != nil {
		return err
	}
	if *age < time.Hour {
		return fmt.Errorf("-orphans is %v; at least 1h, or uploads that are under way are lost", *age)
	}

	if *dir == "" {
		if *dir, err = os.MkdirTemp("", "uppy-"); err != nil {
			return err
		}
		defer os.RemoveAll(*dir)
	}
	here, err := site.Listen(*addr, "uppy")
	if err != nil {
		return err
	}
	defer here.Close()
	server, err := store.Start(context.WithoutCancel(ctx), filepath.Join(*dir, "s3")) // the service stops first
	if err != nil {
		return err
	}
	defer server.Close()
	if err := server.CreateBucket(ctx, bucket, here.Origins()...); err != nil {
		return err
	}
	secret, err := site.Secret(*dir)
	if err != nil {
		return err
	}
	handler, err := newService(server.Client(), here, secret)
	if err != nil {
		return err
	}
	orphans := sweeper{client: server.Client(), bucket: bucket, prefix: policy.Prefix, age: *age, logger: slog.Default()}
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
	fmt.Fprintf(stdout, "Page     %s/\nBucket   %s on versitygw at %s, started for this\nData     %s\n"+
		"Orphans  %d aborted, older than %s; %s\n\nCtrl-C stops.\n",
		here.Origins()[0], bucket, server.URL, *dir, aborted, *age, rules)
	return here.Serve(ctx, handler, pagePolicy(server.URL), server.Wait)
}
