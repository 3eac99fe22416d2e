// Worker completes uploads when it receives the events of the store. Its page
// does not ask for a completion.
//
//	go run -C examples ./worker
//
// The demo starts an S3 server, a queue (NATS JetStream) and a worker in a
// separate process, and prints the address of a page. If you kill the worker,
// the demo starts another worker, which completes the uploads that have arrived
// in the meantime.
//
// With -sqs or -nats, the command runs only the worker, for a bucket whose
// notifications go to that queue:
//
//	go run ./worker -bucket my-bucket -db files.db \
//		-sqs https://sqs.eu-central-1.amazonaws.com/123456789012/uploads
//
// The credentials and the region come from the AWS configuration. The
// environment variable PRESIGN_SECRET holds the secret of the service that
// grants uploads.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/s3presign/presign/examples/internal/arguments"
	"github.com/s3presign/presign/examples/internal/interrupt"
)

func main() {
	if err := run(interrupt.Context(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

// A settings value holds the flags of a worker.
type settings struct {
	nats, sqs        string
	bucket, endpoint string
	db               string
	concurrency      int
	sweep            time.Duration
	metrics          string
	attached         bool
}

func (s *settings) define(flags *flag.FlagSet) {
	flags.StringVar(&s.nats, "nats", "", "`URL` of a NATS server with JetStream")
	flags.StringVar(&s.sqs, "sqs", "", "`URL` of an SQS queue")
	flags.StringVar(&s.bucket, "bucket", "", "`name` of the bucket")
	flags.StringVar(&s.endpoint, "endpoint", "", "`URL` of an S3 server other than AWS")
	flags.StringVar(&s.db, "db", "", "`file` of the database")
	flags.IntVar(&s.concurrency, "concurrency", 8, "`number` of notifications at once")
	flags.DurationVar(&s.sweep, "sweep", 30*time.Second, "`interval` between sweeps")
	flags.StringVar(&s.metrics, "metrics", "127.0.0.1:0", "`address` of the metrics")
	flags.BoolVar(&s.attached, "attached", false, "stop when standard input ends")
}

// run runs the worker, or serves the demo, until ctx ends.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("worker", flag.ExitOnError)
	var s settings
	s.define(flags)
	demo := newDemo(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := arguments.None(flags); err != nil {
		return err
	}
	switch {
	case s.nats == "" && s.sqs == "":
		return demo.run(ctx, s, stdout)
	case s.nats != "" && s.sqs != "":
		return errors.New("-nats and -sqs must not both be set")
	case s.bucket == "" || s.db == "":
		return errors.New("-bucket and -db must be set")
	}
	return s.work(ctx, stdout)
}

// work runs only the worker.
func (s settings) work(ctx context.Context, stdout io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if s.attached {
		go func() { _, _ = io.Copy(io.Discard, os.Stdin); cancel() }()
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		if s.endpoint != "" {
			o.BaseEndpoint = &s.endpoint
		}
		o.UsePathStyle = o.BaseEndpoint != nil
	})
	rows, err := openRows(ctx, s.db)
	if err != nil {
		return err
	}
	defer rows.Close()
	queue, disconnect, err := s.open(ctx, cfg)
	if err != nil {
		return err
	}
	defer disconnect()
	m := newMetrics()
	signer, err := newSigner(client, s.bucket, []byte(os.Getenv("PRESIGN_SECRET")), rows, m)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", s.metrics)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}),
		ReadHeaderTimeout: 5 * time.Second,
	}
	defer server.Close()
	go func() { _ = server.Serve(listener) }()
	fmt.Fprintf(stdout, "Worker   %d, metrics at http://%s/\n", os.Getpid(), listener.Addr())
	w := &worker{
		signer: signer, queue: queue, concurrency: s.concurrency, interval: s.sweep, metrics: m,
	}
	return w.run(ctx)
}

// open connects to the queue.
func (s settings) open(ctx context.Context, cfg aws.Config) (_ queue, disconnect func(), _ error) {
	if s.sqs != "" {
		return &sqsQueue{sqs.NewFromConfig(cfg), s.sqs}, func() {}, nil
	}
	connection, err := nats.Connect(s.nats,
		nats.MaxReconnects(-1), nats.Token(os.Getenv("NATS_TOKEN")))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(connection)
	if err != nil {
		return nil, nil, errors.Join(err, connection.Drain())
	}
	queue, err := openNATS(ctx, js)
	return queue, connection.Close, err
}
