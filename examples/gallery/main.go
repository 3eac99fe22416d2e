// Gallery is a service for pictures: its users drag them into a page, which uploads them straight to S3.
//
//	go run -C examples ./gallery
//
// It starts an S3 server and prints the address of the page. With -dir, everything is kept there, and a later run goes
// on with it.
//
//	POST /uploads/          grants a picture of up to 20 MiB, of the declared SHA-256
//	POST /uploads/complete  verifies and publishes it, and notes it in the database
//	GET /pictures           the user's, newest first
//	GET /pictures/{id}      one of them: leads to the store, by a URL that is good for a minute
//	DELETE /pictures/{id}
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/s3presign/presign/examples/internal/arguments"
	"github.com/s3presign/presign/examples/internal/interrupt"
	"github.com/s3presign/presign/examples/internal/site"
	"github.com/s3presign/presign/examples/internal/store"
)

const bucket = "gallery"

func main() {
	if err := run(interrupt.Context(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "gallery:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	flags := flag.NewFlagSet("gallery", flag.ExitOnError)
	addr := flags.String("addr", "127.0.0.1:8082", "`address` of the page and the service")
	dir := flags.String("dir", "", "`directory` of the pictures, the database and the secret; a temporary one if empty")
	_ = flags.Parse(args) // or it exits
	if err := arguments.None(flags); err != nil {
		return err
	}

	if *dir == "" {
		if *dir, err = os.MkdirTemp("", "gallery-"); err != nil {
			return err
		}
		defer os.RemoveAll(*dir)
	}
	here, err := site.Listen(*addr, "gallery")
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
	album, err := openAlbum(ctx, filepath.Join(*dir, "pictures.db"))
	if err != nil {
		return err
	}
	defer album.Close()
	secret, err := site.Secret(*dir)
	if err != nil {
		return err
	}
	handler, err := newService(server.Client(), here, album, secret)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Page     %s/\nBucket   %s on versitygw at %s, started for this\nData     %s\n\nCtrl-C stops.\n",
		here.Origins()[0], bucket, server.URL, *dir)
	return here.Serve(ctx, handler, pagePolicy(server.URL), server.Wait)
}
