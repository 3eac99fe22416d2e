// Htmlform is a service whose users upload with plain HTML forms: its pages have no JavaScript.
//
//	go run -C examples ./htmlform
//
// It starts an S3 server and prints the address of the page. With -dir, everything is kept there, and a later run goes
// on with it.
//
//	GET /            a form that posts a file to S3, and the user's files
//	GET /done        where S3 sends the browser afterwards: completes the upload
//	GET /files/{id}  a file: leads to the store, by a URL that is good for a minute
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

const bucket = "htmlform"

func main() {
	if err := run(interrupt.Context(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "htmlform:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	flags := flag.NewFlagSet("htmlform", flag.ExitOnError)
	addr := flags.String("addr", "127.0.0.1:8083", "`address` of the page and the service")
	dir := flags.String("dir", "", "`directory` of the files and the secret; a temporary one if empty")
	_ = flags.Parse(args) // or it exits
	if err := arguments.None(flags); err != nil {
		return err
	}

	if *dir == "" {
		if *dir, err = os.MkdirTemp("", "htmlform-"); err != nil {
			return err
		}
		defer os.RemoveAll(*dir)
	}
	here, err := site.Listen(*addr, "htmlform")
	if err != nil {
		return err
	}
	defer here.Close()
	server, err := store.Start(context.WithoutCancel(ctx), filepath.Join(*dir, "s3")) // the service stops first
	if err != nil {
		return err
	}
	defer server.Close()
	if err := server.CreateBucket(ctx, bucket); err != nil { // forms need no CORS
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
	fmt.Fprintf(stdout, "Page     %s/\nBucket   %s on versitygw at %s, started for this\nData     %s\n\nCtrl-C stops.\n",
		here.Origins()[0], bucket, server.URL, *dir)
	return here.Serve(ctx, handler, pagePolicy(server.URL), server.Wait)
}
