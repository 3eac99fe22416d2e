// Bench measures the cost of a grant. It compares this library with the
// presigners of the AWS SDK, with minio-go, and with a plain net/http server
// that returns equally large responses.
//
//	go run -C examples ./bench
//	go run -C examples ./bench -plots bench
//
// The second command also writes the plots of README.md, and the figures that
// they show.
//
// All contenders grant the same upload: one file of one name, type, exact size
// and metadata, under a random key, for 15 minutes. The credentials have a
// session token of 400 bytes. The grant is a write-once PUT, a form, or a
// multipart upload. This library does more than the other libraries: it
// validates the upload against a policy, and seals the grant into the upload.
//
// The contenders take turns, because other programs use the machine as well.
// The table has the median of all rounds. A ratio is the median of the ratios
// of the rounds.
//
// Over HTTP, each service is a process with one core (GOMAXPROCS=1). Another
// process sends the requests over 8 persistent connections, each request after
// the previous response. All services read and return JSON without
// authenticating the user. Before the measurement, a grant of each library is
// used on a real S3 server. CPU is the user and system time of the server
// process.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/s3presign/presign/examples/internal/arguments"
	"github.com/s3presign/presign/examples/internal/interrupt"
)

func main() {
	if err := run(interrupt.Context(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// An effort sets how much is measured.
type effort struct {
	slices   int // of each contender, in process
	slice    time.Duration
	rounds   int // over HTTP
	requests int // to each contender in each round
	signers  int
}

var quick = effort{slices: 2, slice: 5 * time.Millisecond, rounds: 2, requests: 200, signers: 100}

// run measures and prints the table.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	e := effort{signers: 10_000}
	flags.IntVar(&e.slices, "slices", 120,
		"`number` of slices in process; each measures all contenders once")
	flags.DurationVar(&e.slice, "slice", 15*time.Millisecond, "`time` for one contender")
	flags.IntVar(&e.rounds, "rounds", 12,
		"`number` of rounds over HTTP; each measures all services once")
	flags.IntVar(&e.requests, "requests", 8000, "`number` of requests to one service in a round")
	plots := flags.String("plots", "", "`directory` for the plots and their figures")
	inHaste := flags.Bool("quick", false, "measure for a short time; the figures have no meaning")
	_ = flags.Parse(args) // With ExitOnError it does not return an error.
	if err := arguments.None(flags); err != nil {
		return err
	}
	if *inHaste {
		e = quick
	}
	b, err := open(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	rows, err := b.measure(ctx, e)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout,
		"%s\n\n%s\nmedians of %d slices of %v, and over HTTP of %d rounds of %d requests\n",
		rows, machine(), e.slices, e.slice, e.rounds, e.requests)
	if *plots != "" {
		return writePlots(*plots, rows.figures())
	}
	return nil
}

// measure returns the whole table.
func (b *bucket) measure(ctx context.Context, e effort) (all table, err error) {
	for _, measure := range []func(context.Context, effort) (table, error){
		b.measureSigning, b.measureServing, b.measureScaling,
	} {
		rows, err := measure(ctx, e)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	return all, nil
}
