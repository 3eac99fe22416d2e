// Imageserver replaces the image server from which this library was developed.
// It has the same HTTP API for clients that cannot be changed. The clients
// request a form and post it with the file to S3.
//
//	POST /upload_image   file_name=me.png&expiration=600&content_size_max=500000
//	200                  {"success": true, "post_url": "https://…",
//	                      "data": {"key": "images/me.png", …}}
//
// ANYONE WHO REACHES THE SERVICE CAN UPLOAD IMAGES AND REPLACE IMAGES OF
// OTHERS. The API has no authentication. The client sets the name in the key.
// Pages of every origin can use the API, even in a browser on this machine. Put
// the service behind a proxy that authenticates clients. It is better to mount
// presign.NewHandler in a service with users, as examples/mount does.
//
// The service signs with the credentials in a file, which examples/sessioncreds
// writes and renews:
//
//	go run -C examples ./imageserver -bucket my-bucket \
//	  -region eu-central-1 -credentials awsenv.list
//
// With -local, the service starts an S3 server and writes a file with its
// credentials.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/arguments"
	"github.com/s3presign/presign/examples/internal/interrupt"
	"github.com/s3presign/presign/examples/internal/store"
)

func main() {
	if err := run(interrupt.Context(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "imageserver:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("imageserver", flag.ExitOnError)
	addr := flags.String("addr", "127.0.0.1:5001", "`address` of the service")
	exposed := flags.Bool("insecure-without-authentication", false,
		"allow an -addr that other machines can reach; anyone can upload and replace images")
	local := flags.Bool("local", false, "start an S3 server for the uploads")
	bucket := flags.String("bucket", "", "`name` of the bucket")
	region := flags.String("region", os.Getenv("AWS_REGION"), "`region` of the bucket")
	endpoint := flags.String("endpoint", "", "`URL` of an S3 server other than AWS")
	credentials := flags.String("credentials", "awsenv.list",
		"`file` with lines of ACCESS, SECRET, TOKEN and EXPIRATION")
	_ = flags.Parse(args) // With ExitOnError it does not return an error.
	if err := arguments.None(flags); err != nil {
		return err
	}

	if *local == (*bucket != "") {
		return errors.New("either -bucket or -local must be set")
	}
	listener, err := arguments.Listen(*addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := checkAddress(listener, *addr, *local, *exposed); err != nil {
		return err
	}

	var waits []func() error
	options := s3.Options{Region: *region}
	if *endpoint != "" {
		// A host name for each bucket needs DNS.
		options.BaseEndpoint, options.UsePathStyle = endpoint, true
	}
	if *local {
		// The store must stop after the service.
		server, err := store.Start(context.WithoutCancel(ctx), "")
		if err != nil {
			return err
		}
		defer server.Close()
		waits = append(waits, server.Wait)
		dir, err := os.MkdirTemp("", "imageserver-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		options = server.Client().Options()
		*bucket, *credentials = "images", filepath.Join(dir, "awsenv.list")
		if err := prepare(ctx, server, *bucket, *credentials); err != nil {
			return err
		}
	}
	options.Credentials = presign.EnvFile(*credentials, slog.Default())
	service, err := newService(ctx, s3.New(options), *bucket)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, banner, listener.Addr(), *bucket, *credentials)
	return interrupt.Serve(ctx, newServer(service), listener, waits...)
}

// checkAddress returns an error if other machines can reach the service, unless
// exposed is true and local is false.
func checkAddress(listener net.Listener, addr string, local, exposed bool) error {
	switch {
	case arguments.Local(listener):
		return nil
	case local:
		return fmt.Errorf("-addr must be on this machine if -local is set, got %s", addr)
	case !exposed:
		return fmt.Errorf(
			"-addr must be on this machine, got %s\nwith -insecure-without-authentication, "+
				"anyone who reaches it can upload and replace images", addr)
	}
	return nil
}

func newServer(service http.Handler) *http.Server {
	return &http.Server{
		Handler:           service,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      20 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
}

const banner = `Request a form: curl -d file_name=me.png http://%s/upload_image

WARNING: no authentication. Anyone who reaches this address can upload and replace images,
even a web page in a browser that reaches the address.

This is the API of the image server that this library replaces, for clients that cannot be changed.

Bucket       %s
Credentials  %s

Ctrl-C stops.
`

// prepare creates the bucket of -local and its credentials file.
func prepare(ctx context.Context, server *store.Server, bucket, credentials string) error {
	if err := server.CreateBucket(ctx, bucket, "*"); err != nil {
		return err
	}
	return writeSession(server, credentials)
}

// writeSession writes credentials with the longest lifetime of a role.
func writeSession(server *store.Server, path string) error {
	c, err := server.SessionCredentials(12 * time.Hour)
	if err != nil {
		return err
	}
	return os.WriteFile(path, fmt.Appendf(nil, "ACCESS=%s\nSECRET=%s\nTOKEN=%s\nEXPIRATION=%s\n",
		c.AccessKeyID, c.SecretAccessKey, c.SessionToken, c.Expires.UTC().Format(time.RFC3339)),
		0o600)
}
