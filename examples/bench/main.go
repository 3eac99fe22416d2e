// Bench measures what a grant costs: this library beside the AWS SDK's presigners, minio-go, and a bare net/http server
// that answers with as many bytes.
//
//	go run -C examples ./bench
//
// All of them grant the same upload: one file of that name, type, exact size and metadata, under a random key, for 15
// minutes, by credentials with a session token of 400 bytes; as a PUT that replaces nothing, as a form, and in parts.
// This library does more for it: it holds what is asked against a policy, and seals the grant into the upload.
//
// Contenders take turns, since a machine is never quite quiet: what is printed is the median of all rounds, and a ratio
// is the median of each round's.
//
// Over HTTP each service is a process of one core (GOMAXPROCS=1), and the requests come from another one by 8 connections
// that are kept alive, the next request after the last answer. All services read JSON, know the user already, and
// answer with JSON; what they grant is first used on a real S3 server. CPU is the server process's own, of user and
// system.
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

// effort is how much is measured.
type effort struct {
	slices   int // in process, of each contender
	slice    time.Duration
	rounds   int // over HTTP
	requests int // to each contender in each of them
	signers  int
}

var quick = effort{slices: 2, slice: 5 * time.Millisecond, rounds: 2, requests: 200, signers: 100}

// run measures and prints.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	e := effort{signers: 10_000}
	flags.IntVar(&e.slices, "slices", 120, "in each of which all contenders are measured once, in process")
	flags.DurationVar(&e.slice, "slice", 15*time.Millisecond, "`time` for one contender")
	flags.IntVar(&e.rounds, "rounds", 12, "in each of which all services are measured once, over HTTP")
	flags.IntVar(&e.requests, "requests", 8000, "to one service")
	inHaste := flags.Bool("quick", false, "see that it works; the figures mean nothing")
	_ = flags.Parse(args) // or it exits
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
	fmt.Fprintf(stdout, "%s\n\n%s; medians of %d slices of %v, and over HTTP of %d rounds of %d requests\n",
		rows, machine(), e.slices, e.slice, e.rounds, e.requests)
	return nil
}

// measure returns the whole table.
func (b *bucket) measure(ctx context.Context, e effort) (all table, err error) {
	for _, measure := range []func(context.Context, effort) (table, error){b.signing, b.serving, b.scaling} {
		rows, err := measure(ctx, e)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	return all, nil
}
