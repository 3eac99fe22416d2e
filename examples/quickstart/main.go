// Quickstart is a service that grants uploads, with a page to try them and an
// S3 server to upload to.
//
//	go run -C examples ./quickstart
//
// It prints the address of the page, commands for a shell, and variables that
// let another program use the same store. With -origin, a page of that program
// can upload to the store.
//
// With -bucket, uploads go to an existing bucket instead of the embedded S3
// server. The flags -endpoint and -region set its location. The credentials
// come from the AWS configuration: environment variables such as
// AWS_ACCESS_KEY_ID, AWS_REGION and AWS_ENDPOINT_URL, or the shared files.
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jub0bs/cors"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/arguments"
	"github.com/s3presign/presign/examples/internal/interrupt"
)

// policy describes what may be uploaded. The page shows it.
var policy = presign.Policy{
	Prefix:   "uploads/",
	Types:    []string{"image/*", "application/pdf", "text/plain", "text/csv"},
	MinSize:  1,
	MaxSize:  100 << 20,
	Lifetime: 15 * time.Minute,
	// If the page was reloaded, or the cache is off, Chromium adds this header
	// to a PUT, and S3 stores the header. With this value in the grant, all
	// objects have the same header.
	Headers: map[string]string{"Cache-Control": "no-cache"},
}

func main() {
	if err := run(interrupt.Context(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	flags := flag.NewFlagSet("quickstart", flag.ExitOnError)
	addr := flags.String("addr", defaultAddr,
		"`address` of the page; a free port if the default is taken")
	var place location
	flags.StringVar(&place.bucket, "bucket", "",
		"`name` of a bucket to upload to, instead of the embedded S3 server's")
	flags.StringVar(&place.region, "region", "", "the bucket's `region`; the default is AWS_REGION")
	flags.StringVar(&place.endpoint, "endpoint", "",
		"`URL` of an S3 server other than AWS; the default is AWS_ENDPOINT_URL")
	flags.StringVar(&place.origin, "origin", "",
		"`origin` of a page of yours that uploads with this service or its S3 server")
	flags.StringVar(&place.dir, "dir", "",
		"`directory` of the embedded S3 server; a temporary one if empty")
	_ = flags.Parse(args) // With ExitOnError it does not return an error.
	if err := arguments.None(flags); err != nil {
		return err
	}

	listener, err := listen(*addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	if !arguments.Local(listener) && place.bucket == "" {
		return fmt.Errorf("-addr must be on this machine unless -bucket is set, got %s: "+
			"other machines cannot reach the embedded S3 server", *addr)
	}
	hosts := hosts(listener)
	bucket, err := place.open(ctx, hosts)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := bucket.close(); err == nil {
			err = closeErr
		}
	}()

	visitor := visitor{cookie: "presign-" + port(listener), token: rand.Text()}
	handler, err := bucket.newHandler(ctx, listener, visitor, hosts, place.origin)
	if err != nil {
		return err
	}
	instructions, err := bucket.instructions(ctx, hosts, visitor.token)
	if err != nil {
		return err
	}
	var waits []func() error
	if bucket.wait != nil {
		waits = append(waits, bucket.wait)
	}
	fmt.Fprint(stdout, instructions)
	fmt.Fprintln(stdout, "Ctrl-C stops.")
	return interrupt.Serve(ctx, newServer(handler), listener, waits...)
}

func newServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second, // The Handler responds within 25 seconds.
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
}

// newHandler returns the handler of the page and of the uploads.
func (b *bucket) newHandler(
	ctx context.Context, listener net.Listener, visitor visitor, hosts []string, origin string,
) (http.Handler, error) {
	// A real service keeps its secret. The embedded store stops with this
	// service. At another store, a lifecycle rule removes the uploads that are
	// under way when this service stops.
	secret := presign.WithSecret([]byte(rand.Text() + rand.Text()))
	signer, err := presign.NewSigner(b.client, b.name, policy, secret)
	if err != nil {
		return nil, err
	}
	handler, err := presign.NewHandler(signer, visitor.authenticate)
	if err != nil {
		return nil, err
	}
	uploads, err := allowOrigin(origin, handler)
	if err != nil {
		return nil, err
	}
	page, err := newPage(ctx, signer, visitor, b)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/uploads/", http.StripPrefix("/uploads", uploads))
	mux.Handle("/", page)
	if arguments.Local(listener) {
		return requireHost(hosts, mux), nil
	}
	return mux, nil
}

// allowOrigin lets a page of another origin call the handler with a token.
func allowOrigin(origin string, handler http.Handler) (http.Handler, error) {
	if origin == "" {
		return handler, nil
	}
	pages, err := cors.NewMiddleware(cors.Config{
		Origins:         []string{origin},
		RequestHeaders:  []string{"Authorization", "Content-Type"},
		ResponseHeaders: []string{"Retry-After"},
	})
	if err != nil {
		return nil, fmt.Errorf("-origin must be the origin of a page: %w", err)
	}
	return pages.Wrap(handler), nil
}

const defaultAddr = "127.0.0.1:8080"

func listen(addr string) (net.Listener, error) {
	listener, err := arguments.Listen(addr)
	if err != nil && addr == defaultAddr {
		return arguments.Listen("127.0.0.1:0")
	}
	return listener, err
}

func port(l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// hosts returns the values of the Host header with which a browser on this
// machine reaches the service.
func hosts(l net.Listener) []string {
	if arguments.Local(l) {
		return []string{l.Addr().String(), "localhost:" + port(l)}
	}
	return []string{"localhost:" + port(l)}
}

// requireHost rejects requests for other hosts. Otherwise a site could resolve
// its own name to this machine, and its pages would have the same origin as the
// service (DNS rebinding).
func requireHost(hosts []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(hosts, r.Host) {
			http.Error(w, "This service is at "+strings.Join(hosts, " and "),
				http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
