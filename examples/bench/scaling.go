package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/s3presign/presign"
)

// measureScaling measures Signer.Put on two cores, with many Signers and with
// other credentials.
func (b *bucket) measureScaling(ctx context.Context, e effort) (table, error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	sign, others, err := b.prepareComparisons(ctx, e, dir)
	if err != nil {
		return nil, err
	}

	const oneCore = "one core"
	rates, times, locks := make(series), make(series), make(series)
	turns := []func() error{
		func() error {
			rate, cpu, err := speed(1, e.slice, sign)
			rates.add(oneCore, rate)
			times.add(oneCore, cpu)
			for _, other := range others {
				other.times.add(oneCore, cpu)
			}
			return err
		},
		func() error {
			started, waited := time.Now(), lockWait()
			rate, cpu, err := speed(2, e.slice, sign)
			rates.add(ours, rate)
			times.add(ours, cpu)
			locks.add(ours, (lockWait()-waited)/(2*time.Since(started).Seconds()))
			return err
		},
	}
	for _, other := range others {
		turns = append(turns, func() error {
			_, cpu, err := speed(1, e.slice, other.call)
			other.times.add(ours, cpu)
			return err
		})
	}
	rows := table{
		{"PUT on 2 cores: grants a second", count, rates, []ratio{{ours, oneCore, "one core's"}}},
		{"PUT on 2 cores: CPU time", microseconds, times, []ratio{{ours, oneCore, "one core's"}}},
		{"PUT on 2 cores: time spent waiting for locks", percent, locks, nil},
	}
	for _, other := range others {
		rows = append(rows,
			row{other.label, microseconds, other.times, []ratio{{ours, oneCore, other.words}}})
	}
	return rows, takeTurns(ctx, e.slices, turns)
}

// A comparison is a function that signs and is compared with one Signer.
type comparison struct {
	label, words string
	call         func() error
	times        series
}

// prepareComparisons returns a function that signs with one Signer, and
// functions to compare it with. The directory must exist as long as the
// functions are called.
func (b *bucket) prepareComparisons(
	ctx context.Context, e effort, dir string,
) (sign func() error, others []comparison, err error) {
	many, err := b.createSigners(ctx, e.signers)
	if err != nil {
		return nil, nil, err
	}
	site := b.site()
	file, err := b.envFile(dir)
	if err != nil {
		return nil, nil, err
	}
	renewed, err := newSigner(site.client(&rotating{first: site.Credentials}))
	if err != nil {
		return nil, nil, err
	}
	fromFile, err := newSigner(site.client(presign.EnvFile(file, nil)))
	if err != nil {
		return nil, nil, err
	}
	return signWith(ctx, many[0]), []comparison{
		{fmt.Sprintf("PUT by %d Signers in turn: CPU time", e.signers), "the time of one Signer", signInTurn(ctx, many), make(series)},
		{"PUT, new credentials every 1,000: CPU time", "the time with static credentials", signWith(ctx, renewed), make(series)},
		{"PUT, credentials of EnvFile: CPU time", "the time with static credentials", signWith(ctx, fromFile), make(series)},
	}, nil
}

// createSigners returns Signers that share one client. Each has derived its
// key.
func (b *bucket) createSigners(ctx context.Context, n int) ([]*presign.Signer, error) {
	client, signers := b.site().client(nil), make([]*presign.Signer, n)
	for i := range signers {
		var err error
		if signers[i], err = newSigner(client); err != nil {
			return nil, err
		}
		if _, err = signers[i].Put(ctx, document); err != nil {
			return nil, err
		}
	}
	return signers, nil
}

// signWith returns a function that signs one upload.
func signWith(ctx context.Context, signer *presign.Signer) func() error {
	return func() error { _, err := signer.Put(ctx, document); return err }
}

// signInTurn returns a function that signs one upload, each time with the next
// Signer. The function is not safe for concurrent use.
func signInTurn(ctx context.Context, signers []*presign.Signer) func() error {
	next := -1
	return func() error {
		next = (next + 1) % len(signers)
		_, err := signers[next].Put(ctx, document)
		return err
	}
}

// envFile writes the credentials to a file for EnvFile.
func (b *bucket) envFile(dir string) (string, error) {
	c, path := b.credentials, filepath.Join(dir, "awsenv.list")
	return path, os.WriteFile(path,
		fmt.Appendf(nil, "ACCESS=%s\nSECRET=%s\nTOKEN=%s\nEXPIRATION=%s\n",
			c.AccessKeyID, c.SecretAccessKey, c.SessionToken, c.Expires.UTC().Format(time.RFC3339)),
		0o600)
}

// rotating provides new credentials after every 1,000 grants.
type rotating struct {
	first  aws.Credentials
	grants atomic.Int64
	last   atomic.Pointer[aws.Credentials]
}

// Retrieve implements aws.CredentialsProvider.
func (r *rotating) Retrieve(context.Context) (aws.Credentials, error) {
	if r.grants.Add(1)%1000 == 1 {
		c := r.first
		c.SecretAccessKey = rand.Text() + rand.Text()
		r.last.Store(&c)
	}
	return *r.last.Load(), nil
}

// lockWait returns the time in seconds that goroutines have waited for locks.
func lockWait() float64 {
	sample := []metrics.Sample{{Name: "/sync/mutex/wait/total:seconds"}}
	metrics.Read(sample)
	return sample[0].Value.Float64()
}
