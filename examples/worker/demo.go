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
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/site"
	"github.com/s3presign/presign/examples/internal/store"
	uploadmodule "github.com/s3presign/presign/examples/upload"
)

//go:embed page
var files embed.FS

var templates = template.Must(template.ParseFS(files, "page/*.html"))

var login = site.Login{
	Name: "worker", Title: "Worker", Question: "Choose a user",
	Lead: "A worker completes uploads when it receives the store's events.",
}

// A demo runs the store, the queue, the page and the worker.
type demo struct {
	addr, dir string
	*site.Site
	store *store.Server
	nats  *server.Server
	token string // of NATS
}

func newDemo(flags *flag.FlagSet) *demo {
	d := &demo{token: rand.Text()}
	flags.StringVar(&d.addr, "addr", "127.0.0.1:8088", "`address` of the demo's page")
	flags.StringVar(&d.dir, "dir", "", "`directory` of the demo; a temporary one if empty")
	return d
}

// run serves until ctx ends.
func (d *demo) run(ctx context.Context, s settings, stdout io.Writer) (err error) {
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "worker-"); err != nil {
			return err
		}
		defer os.RemoveAll(d.dir)
	}
	if d.Site, err = site.Listen(d.addr, "worker"); err != nil {
		return err
	}
	defer d.Close()
	connection, js, err := d.startNATS(ctx)
	if err != nil {
		return err
	}
	defer d.nats.WaitForShutdown()
	defer d.nats.Shutdown()
	defer connection.Close()
	stopStore, err := d.startStore(ctx, js)
	if err != nil {
		return err
	}
	defer stopStore()

	s.bucket, s.endpoint = "worker", d.store.URL
	s.db, s.nats = filepath.Join(d.dir, "files.db"), d.nats.ClientURL()
	rows, err := openRows(ctx, s.db)
	if err != nil {
		return err
	}
	defer rows.Close()
	secret, err := site.Secret(d.dir)
	if err != nil {
		return err
	}
	mux, err := d.handler(s.bucket, secret, rows)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	working, stop := context.WithCancel(ctx)
	go func() { defer close(ended); d.keepWorking(working, s, secret) }()
	defer func() { stop(); <-ended }()
	csp := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
		"form-action 'self'; connect-src 'self' " + d.store.URL
	fmt.Fprintf(stdout, "Open     %s/\nBucket   %s on versitygw at %s, started by this demo\n"+
		"Queue    NATS at %s\nData     %s\n\nCtrl-C stops.\n",
		d.Origins()[0], s.bucket, d.store.URL, d.nats.ClientURL(), d.dir)
	return d.Serve(ctx, mux, csp, d.store.Wait)
}

// startNATS starts the queue in this process, so that the queue outlives the
// worker.
func (d *demo) startNATS(ctx context.Context) (*nats.Conn, jetstream.JetStream, error) {
	var err error
	d.nats, err = server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, Authorization: d.token, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: filepath.Join(d.dir, "nats"),
	})
	if err != nil {
		return nil, nil, err
	}
	d.nats.Start()
	if !d.nats.ReadyForConnections(10 * time.Second) {
		return nil, nil, errors.New("NATS did not start")
	}
	return d.connect(ctx)
}

// connect connects to the queue.
func (d *demo) connect(ctx context.Context) (*nats.Conn, jetstream.JetStream, error) {
	connection, err := nats.Connect("", nats.InProcessServer(d.nats), nats.Token(d.token))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(connection)
	if err == nil {
		_, err = openNATS(ctx, js)
	}
	return connection, js, err
}

// startStore starts the S3 server and a webhook for its notifications.
func (d *demo) startStore(ctx context.Context, js jetstream.JetStream) (stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	webhook := &http.Server{Handler: receive(js), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = webhook.Serve(listener) }()
	stop = func() {
		if d.store != nil {
			_ = d.store.Close()
		}
		_ = webhook.Close()
	}
	url := "http://" + listener.Addr().String()
	d.store, err = store.Start(context.WithoutCancel(ctx), filepath.Join(d.dir, "s3"),
		store.WithWebhook(url))
	if err == nil {
		err = d.store.CreateBucket(ctx, "worker", d.Origins()...)
	}
	if err != nil {
		stop()
	}
	return stop, err
}

// handler returns the page and the service. The service must have the same
// policy and secret as the worker.
func (d *demo) handler(bucket string, secret []byte, rows rows) (http.Handler, error) {
	signer, err := newSigner(d.store.Client(), bucket, secret, rows, newMetrics())
	if err != nil {
		return nil, err
	}
	uploads, err := presign.NewHandler(signer, d.Authenticate)
	if err != nil {
		return nil, err
	}
	mux := newService(uploads, rows, d.Authenticate)
	mux.HandleFunc("GET /upload.js", uploadmodule.Serve)
	page := func(w http.ResponseWriter, r *http.Request, user string) {
		site.Render(w, r, templates, "worker.html", user)
	}
	mux.HandleFunc("GET /{$}", d.Front(login, page))
	return mux, d.Handle(mux, files)
}

// keepWorking runs a worker, and restarts it when it ends.
func (d *demo) keepWorking(ctx context.Context, s settings, secret []byte) {
	for ctx.Err() == nil {
		command, err := d.worker(ctx, s, secret)
		if err == nil {
			err = command.Run()
		}
		if err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "worker ended", slog.Any("error", err))
			wait(ctx, time.Second)
		}
	}
}

// worker returns the command that runs this program as a worker, until ctx
// ends.
func (d *demo) worker(ctx context.Context, s settings, secret []byte) (*exec.Cmd, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	options := d.store.Client().Options()
	credentials, err := options.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, program, "-attached", "-nats", s.nats, "-bucket", s.bucket,
		"-endpoint", s.endpoint, "-db", s.db, "-metrics", s.metrics, "-sweep", s.sweep.String(),
		"-concurrency", fmt.Sprint(s.concurrency))
	command.Env = append(os.Environ(), workerVariable+"=1", "NATS_TOKEN="+d.token,
		"PRESIGN_SECRET="+string(secret), "AWS_REGION="+options.Region,
		"AWS_ACCESS_KEY_ID="+credentials.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY="+credentials.SecretAccessKey)
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = drainTime + 10*time.Second
	_, err = command.StdinPipe() // When this process ends, the pipe closes and the worker stops.
	return command, err
}

// workerVariable marks the process of the worker, for tests.
const workerVariable = "PRESIGN_EXAMPLES_WORKER"
