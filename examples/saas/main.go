// Saas is a service with an HTTP API, and a page of another origin that
// uploads.
//
//	go run -C examples ./saas
//
// It starts an S3 server and prints the address of the page. With -dir, all
// data is kept in that directory.
//
//	POST /uploads/          grants an upload, within the user's quota
//	POST /uploads/complete  verifies and publishes an upload, and writes its row
//	GET /files              returns the user's files
//	GET /files/{id}         returns a URL from which to download the file
//	DELETE /files/{id}      deletes the file
//
// If a client does not complete its upload, the store's notification completes
// it.
package main

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/s3presign/presign/examples/internal/arguments"
	"github.com/s3presign/presign/examples/internal/interrupt"
	"github.com/s3presign/presign/examples/internal/site"
	"github.com/s3presign/presign/examples/internal/store"
	uploadmodule "github.com/s3presign/presign/examples/upload"
)

//go:embed page
var files embed.FS

var templates = template.Must(template.ParseFS(files, "page/*.html"))

func main() {
	if err := run(interrupt.Context(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "saas:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	flags := flag.NewFlagSet("saas", flag.ExitOnError)
	apiAddr := flags.String("api", "127.0.0.1:0", "`address` of the API")
	sweep := flags.Duration("sweep", time.Minute, "`interval` between sweeps")
	quota := quota{}
	flags.Int64Var(&quota.files, "files", 100, "`number` of files that a user can store")
	flags.Int64Var(&quota.bytes, "bytes", 1<<30, "`number` of bytes that a user can store")
	internal, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer internal.Close()
	webhook := store.WithWebhook("http://" + internal.Addr().String() + "/notifications")
	demo, err := site.OpenDemo(ctx, flags, "127.0.0.1:8087", true, args, webhook)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, demo.Close()) }()
	api, err := arguments.ListenLocally(*apiAddr)
	if err != nil {
		return err
	}
	defer api.Close()

	ledger, err := openLedger(ctx, filepath.Join(demo.Dir, "saas.db"), quota)
	if err != nil {
		return err
	}
	defer ledger.Close()
	tokens := map[string]string{rand.Text(): "alice", rand.Text(): "bob"}
	service, err := newService(config{
		client: demo.Store.Client(), bucket: demo.Bucket, secret: demo.Secret,
		ledger: ledger, tokens: tokens, origins: demo.Origins(),
	})
	if err != nil {
		return err
	}
	routes, err := service.api()
	if err != nil {
		return err
	}
	apiURL := "http://" + api.Addr().String()

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return interrupt.Serve(ctx, newServer(routes), api) })
	group.Go(func() error { return interrupt.Serve(ctx, newServer(service.internal()), internal) })
	group.Go(func() error { service.work(ctx, *sweep); return nil })
	group.Go(func() error {
		csp := "default-src 'none'; script-src 'self'; style-src 'self'; " +
			"connect-src " + apiURL + " " + demo.Store.URL
		more := fmt.Sprintf("API      %s\nMetrics  http://%s/metrics\n", apiURL, internal.Addr())
		return demo.Run(ctx, stdout, page(apiURL, tokens), csp, more)
	})
	err = group.Wait()
	// All requests have ended. Wait for the completions that continue in the
	// background.
	closing, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(err, service.signer.Shutdown(closing))
}

func newServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      time.Minute, // A completion can take 25 seconds.
		IdleTimeout:       time.Minute,
	}
}

// page returns the handler of the page, which has another origin than the API.
// A real app would receive its token at login.
func page(api string, tokens map[string]string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		site.Render(w, r, templates, "saas.html", map[string]any{"API": api, "Tokens": tokens})
	})
	mux.HandleFunc("GET /upload.js", uploadmodule.Serve)
	mux.Handle("GET /page/", http.FileServerFS(files))
	return mux
}
