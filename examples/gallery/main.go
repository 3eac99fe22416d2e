// Gallery is a service for pictures. Its users drag pictures into a page, which
// uploads them straight to S3.
//
//	go run -C examples ./gallery
//
// It starts an S3 server and prints the address of the page. With -dir, all
// data is kept in that directory, and a later run continues with it.
//
//	POST /uploads/          grants a picture with its SHA-256
//	POST /uploads/complete  verifies the picture and publishes it
//	GET /pictures           lists the user's pictures, newest first
//	GET /pictures/{id}      redirects to the picture at the store
//	DELETE /pictures/{id}   deletes the picture
//
// A picture has up to 20 MiB. The URL of a picture at the store expires after a
// minute.
//
// If a tab is closed before it completes an upload, the store's event completes
// the upload.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/s3presign/presign/examples/internal/interrupt"
	"github.com/s3presign/presign/examples/internal/site"
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
	demo, err := site.OpenDemoWithEvents(ctx, flag.NewFlagSet(bucket, flag.ExitOnError),
		"127.0.0.1:8082", args)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, demo.Close()) }()
	album, err := openAlbum(ctx, filepath.Join(demo.Dir, "pictures.db"))
	if err != nil {
		return err
	}
	defer album.Close()
	signer, handler, err := newService(demo.Store.Client(), demo.Site, album, demo.Secret)
	if err != nil {
		return err
	}
	defer demo.Events.Complete(ctx, signer, time.Minute)()
	return demo.Run(ctx, stdout, handler, pagePolicy(demo.Store.URL), "")
}
