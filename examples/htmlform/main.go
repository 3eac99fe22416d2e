// Htmlform is a service whose users upload with plain HTML forms. Its pages
// have no JavaScript.
//
//	go run -C examples ./htmlform
//
// It starts an S3 server and prints the address of the page. With -dir, all
// data is kept in that directory, and a later run continues with it.
//
//	GET /            shows the user's files and a form that posts a file to S3
//	GET /done        completes the upload; S3 redirects browsers to this route
//	GET /files/{id}  redirects to a URL of the file that expires after a minute
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/s3presign/presign/examples/internal/interrupt"
	"github.com/s3presign/presign/examples/internal/site"
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
	demo, err := site.OpenDemo(ctx, flag.NewFlagSet(bucket, flag.ExitOnError), "127.0.0.1:8083",
		false, args)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, demo.Close()) }()
	handler, err := newService(demo.Store.Client(), demo.Site, demo.Secret)
	if err != nil {
		return err
	}
	return demo.Run(ctx, stdout, handler, pagePolicy(demo.Store.URL), "")
}
