package site

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/s3presign/presign/examples/internal/arguments"
	"github.com/s3presign/presign/examples/internal/store"
)

// A Demo is a Site with an S3 server, and a directory for both.
type Demo struct {
	*Site
	Store  *store.Server
	Bucket string
	Dir    string
	Secret []byte  // for presign.WithSecret
	Events *Events // of the store, if OpenDemoWithEvents has opened the Demo

	closers []func() error
}

// OpenDemo adds the flags -addr and -dir to flags and parses args. It starts
// the S3 server with a bucket of the name of the demo. If cors is set, the
// bucket has a CORS rule for the pages of the demo.
func OpenDemo(
	ctx context.Context, flags *flag.FlagSet, addr string, cors bool, args []string,
	opts ...store.Option,
) (_ *Demo, err error) {
	d := &Demo{Bucket: flags.Name()}
	flags.StringVar(&addr, "addr", addr, "`address` of the page and the service")
	flags.StringVar(&d.Dir, "dir", "", "`directory` for all data; a temporary one if empty")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if err := arguments.None(flags); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if d.Dir == "" {
		if d.Dir, err = os.MkdirTemp("", d.Bucket+"-"); err != nil {
			return nil, err
		}
		d.closers = append(d.closers, func() error { return os.RemoveAll(d.Dir) })
	}
	if d.Site, err = Listen(addr, d.Bucket); err != nil {
		return nil, err
	}
	// The server might have closed the listener already.
	d.closers = append(d.closers, func() error { _ = d.Site.Close(); return nil })
	dir := filepath.Join(d.Dir, "s3")
	if d.Store, err = store.Start(context.WithoutCancel(ctx), dir, opts...); err != nil {
		return nil, err
	}
	d.closers = append(d.closers, d.Store.Close)
	var origins []string
	if cors {
		origins = d.Origins()
	}
	if err := d.Store.CreateBucket(ctx, d.Bucket, origins...); err != nil {
		return nil, err
	}
	d.Secret, err = Secret(d.Dir)
	return d, err
}

// OpenDemoWithEvents opens a Demo as OpenDemo does. The bucket has a CORS rule,
// and the store sends events to the demo.
func OpenDemoWithEvents(
	ctx context.Context, flags *flag.FlagSet, addr string, args []string,
) (*Demo, error) {
	events, err := listenForEvents()
	if err != nil {
		return nil, err
	}
	d, err := OpenDemo(ctx, flags, addr, true, args, store.WithWebhook(events.url))
	if err != nil {
		return nil, errors.Join(err, events.listener.Close())
	}
	d.Events = events
	// The server of Complete might have closed the listener already.
	d.closers = append(d.closers, func() error { _ = events.listener.Close(); return nil })
	return d, nil
}

// Close ends the S3 server and deletes a temporary directory.
func (d *Demo) Close() (err error) {
	for i := len(d.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, d.closers[i]())
	}
	return err
}

// Run prints the address of the page and serves until ctx ends. It also prints
// the lines in more.
func (d *Demo) Run(
	ctx context.Context, stdout io.Writer, handler http.Handler, policy, more string,
) error {
	fmt.Fprintf(stdout, "Open     %s/\nBucket   %s on versitygw at %s, started by this demo\n"+
		"Data     %s\n%s\nCtrl-C stops.\n",
		d.Origins()[0], d.Bucket, d.Store.URL, d.Dir, more)
	return d.Serve(ctx, handler, policy, d.Store.Wait)
}
