package main

import (
	"context"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// A task signs one kind of grant with one contender.
type task struct {
	contender string
	grants    int // number for each call
	call      func() error
}

// cpuSuffix ends the names of rows with a CPU time.
const cpuSuffix = ": CPU time"

// measureSigning measures the libraries in this process, on one core.
func (b *bucket) measureSigning(ctx context.Context, e effort) (table, error) {
	puts, forms, parts, err := b.tasks(ctx)
	if err != nil {
		return nil, err
	}
	var rows table
	for _, kind := range []struct {
		label string
		tasks []task
	}{{"PUT", puts}, {"form", forms}, {"part, of 10,000", parts}} {
		times, allocations := make(series), make(series)
		var turns []func() error
		for _, t := range kind.tasks {
			turns = append(turns, func() error {
				_, cpu, err := speed(1, e.slice, t.call)
				times.add(t.contender, cpu/float64(t.grants))
				return err
			})
			allocations.add(t.contender,
				testing.AllocsPerRun(5, func() { _ = t.call() })/float64(t.grants))
		}
		if err := takeTurns(ctx, e.slices, turns); err != nil {
			return nil, err
		}
		rows = append(rows,
			row{kind.label + cpuSuffix, microseconds, times, []ratio{
				{theSDK, ours, "as fast as the SDK"}, {theMinIO, ours, "as minio-go"},
			}},
			row{kind.label + ": allocations", count, allocations, nil})
	}
	return rows, nil
}

// tasks returns the tasks of all contenders.
func (b *bucket) tasks(ctx context.Context) (puts, forms, parts []task, err error) {
	site := b.site()
	signer, err := newSigner(site.client(nil))
	if err != nil {
		return nil, nil, nil, err
	}
	multipart, err := signer.StartMultipart(ctx, film)
	if err != nil {
		return nil, nil, nil, err
	}
	puts = []task{{ours, 1, func() error { _, err := signer.Put(ctx, document); return err }}}
	forms = []task{{ours, 1, func() error { _, err := signer.Post(ctx, document); return err }}}
	parts = []task{{ours, partCount,
		func() error { _, _, err := multipart.SignParts(ctx, 1, partCount); return err }}}

	request := newUpload(http.MethodPut)
	key := policy.Prefix + film.Filename
	created, err := b.server.Client().CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: aws.String(bucketName), Key: &key, ContentType: &film.Type,
	})
	if err != nil {
		return nil, nil, nil, err
	}
	minioGo, err := site.minioGo()
	if err != nil {
		return nil, nil, nil, err
	}
	for _, r := range []struct {
		name string
		rival
	}{{theSDK, site.sdk()}, {theMinIO, minioGo}} {
		puts = append(puts,
			task{r.name, 1, func() error { _, err := r.put(ctx, request); return err }})
		forms = append(forms,
			task{r.name, 1, func() error { _, err := r.form(ctx, request); return err }})
		number := 0
		parts = append(parts, task{r.name, 1, func() error {
			number = number%partCount + 1
			_, err := r.part(ctx, key, *created.UploadId, number)
			return err
		}})
	}
	return puts, forms, parts, nil
}
