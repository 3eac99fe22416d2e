package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/arguments"
	"github.com/s3presign/presign/examples/internal/site"
	"github.com/s3presign/presign/examples/internal/store"
	"github.com/s3presign/presign/examples/put/internal/uploads"
)

const bucket = "put"

// A demo is a service for uploads and its store.
type demo struct {
	url   string // the URL of the handler
	about string // describes the bucket
	user  string // name and password
	dir   string

	server    *http.Server
	store     *store.Server
	temporary bool // remove dir at the end
}

// startDemo starts a demo with its data in dir, or in a temporary directory if
// dir is empty.
func startDemo(ctx context.Context, addr, dir string) (*demo, error) {
	d := &demo{dir: dir, temporary: dir == ""}
	if err := d.start(ctx, addr); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *demo) start(ctx context.Context, addr string) (err error) {
	if d.temporary {
		if d.dir, err = os.MkdirTemp("", "put-"); err != nil {
			return err
		}
	} else if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	// The function close stops the service before the store.
	data := filepath.Join(d.dir, "s3")
	if d.store, err = store.Start(context.WithoutCancel(ctx), data); err != nil {
		return err
	}
	if err := d.store.CreateBucket(ctx, bucket); err != nil {
		return err
	}
	secret, err := site.Secret(d.dir)
	if err != nil {
		return err
	}
	password := rand.Text()
	handler, err := uploads.New(d.store.Client(), bucket, uploads.Policy,
		map[string]string{"alice": password}, presign.WithSecret(secret))
	if err != nil {
		return err
	}
	listener, err := arguments.ListenLocally(addr)
	if err != nil {
		return err
	}
	d.server = uploads.NewServer(handler)
	go func() { _ = d.server.Serve(listener) }() // Serve returns after close.
	d.url = "http://" + listener.Addr().String() + "/uploads"
	d.about = fmt.Sprintf("%s on versitygw at %s, started by put", bucket, d.store.URL)
	d.user = "alice:" + password
	return nil
}

// close stops the service and the store.
func (d *demo) close() (err error) {
	if d.server != nil {
		err = d.server.Close()
	}
	if d.store != nil {
		err = errors.Join(err, d.store.Close())
	}
	if d.temporary && d.dir != "" {
		err = errors.Join(err, os.RemoveAll(d.dir))
	}
	return err
}

// list prints the published files. It does not print uploads, because the
// service deletes them after its response.
func (d *demo) list(ctx context.Context, out io.Writer) error {
	fmt.Fprintf(out, "\nThe bucket has:\n")
	pages := s3.NewListObjectsV2Paginator(d.store.Client(), &s3.ListObjectsV2Input{
		Bucket: aws.String(bucket), Prefix: aws.String(uploads.Policy.FinalPrefix),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, o := range page.Contents {
			fmt.Fprintf(out, "%12d  %s\n", aws.ToInt64(o.Size), aws.ToString(o.Key))
		}
	}
	return nil
}

// writeSamples writes a small file for one request and a large file for a
// multipart upload. It returns their paths.
func writeSamples(dir string) ([]string, error) {
	small, large := filepath.Join(dir, "small.txt"), filepath.Join(dir, "large.bin")
	if err := os.WriteFile(small, []byte("hello, S3\n"), 0o600); err != nil {
		return nil, err
	}
	f, err := os.Create(large)
	if err != nil {
		return nil, err
	}
	_, err = io.CopyN(f, rand.Reader, 64<<20)
	return []string{small, large}, errors.Join(err, f.Close())
}
