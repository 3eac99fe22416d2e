package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"time"

	"github.com/s3presign/presign"
)

// measureServing measures the libraries as services over HTTP.
func (b *bucket) measureServing(ctx context.Context, e effort) (rows table, err error) {
	services := make(map[string]*process)
	defer func() {
		for _, p := range services {
			err = errors.Join(err, p.stop())
		}
	}()
	if err := b.startServices(ctx, services); err != nil {
		return nil, err
	}

	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // One core sends the requests.
	var turns []func() error
	single := make(map[string]series) // the CPU time of requests for one grant, by kind
	for _, kind := range kinds {
		s := &serviceFigures{make(series), make(series), make(series), make(series), make(series)}
		for _, name := range contenders {
			load, err := newLoad(services[name].addr, "/"+kind.name+"/", question(kind.method),
				http.StatusCreated)
			if err != nil {
				return nil, err
			}
			defer load.close()
			// This warms up the service.
			if _, _, err := load.run(max(connections, e.requests/4)); err != nil {
				return nil, err
			}
			turns = append(turns,
				func() error { return s.measure(name, services[name], load, e.requests) })
		}
		rows = append(rows, s.rows(kind.words)...)
		single[kind.name] = s.cpu
	}
	batches, err := newBatchLoad(services[ours])
	if err != nil {
		return nil, err
	}
	defer batches.close()
	cpu := make(series)
	turns = append(turns,
		func() error { return measureBatch(cpu, services[ours], batches, e.requests) })
	label := fmt.Sprintf("PUTs over HTTP, %d in a request: CPU for 10,000", batchSize)
	rows = append(rows, row{label, seconds, cpu, []ratio{
		{ours, alone, fmt.Sprintf("the time of %d requests", batchSize)},
	}})
	err = takeTurns(ctx, e.rounds, turns)
	cpu[alone] = single["put"][ours]
	return rows, err
}

// startServices starts the services of all contenders and uses a grant of each.
func (b *bucket) startServices(ctx context.Context, services map[string]*process) error {
	set := setting{Site: b.site(), Bytes: make(map[string][]byte)}
	// The bare server is last, because it returns the responses of this
	// library.
	for _, name := range contenders {
		p, err := start(ctx, name, set)
		if err != nil {
			return err
		}
		services[name] = p
		for _, kind := range kinds {
			body, err := p.ask(kind.name, question(kind.method), http.StatusCreated)
			if err == nil && name != bare {
				err = useResponse(body)
			}
			if err != nil {
				return fmt.Errorf("bench: %s, %s: %w", name, kind.name, err)
			}
			if name == ours {
				set.Bytes[kind.name] = body
			}
		}
	}
	return nil
}

// question returns the body of a request.
func question(method string) []byte {
	body, _ := json.Marshal(newUpload(method)) // An upload can always be encoded.
	return body
}

// ask returns the response of a service. It returns an error for another
// status.
func (p *process) ask(path string, body []byte, status int) ([]byte, error) {
	resp, err := http.Post("http://"+p.addr+"/"+path+"/", "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	response, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != status {
		err = fmt.Errorf("%s: %s", resp.Status, response)
	}
	return response, err
}

// useResponse uploads with the grant in a response.
func useResponse(body []byte) error {
	var granted presign.Grant
	if err := json.Unmarshal(body, &granted); err != nil {
		return err
	}
	return use(&granted, bytes.Repeat([]byte("%PDF "), int(document.Size))[:document.Size])
}

// A serviceFigures holds the figures of all services for one kind of grant.
type serviceFigures struct{ rate, p50, p99, cpu, client series }

// measure sends n requests to a service.
func (s *serviceFigures) measure(name string, p *process, l *load, n int) error {
	runtime.GC() // Otherwise a collection can interrupt the measurement.
	cpu, client, err := usage(p)
	if err != nil {
		return err
	}
	took, latencies, err := l.run(n)
	if err != nil {
		return err
	}
	cpuAfter, clientAfter, err := usage(p)
	if err != nil {
		return err
	}
	s.rate.add(name, float64(n)/took.Seconds())
	s.p50.add(name, latencies[n/2].Seconds())
	s.p99.add(name, latencies[n*99/100].Seconds())
	s.cpu.add(name, (cpuAfter-cpu).Seconds()/float64(n)*10_000)
	s.client.add(name, float64(clientAfter-client)/float64(took))
	return nil
}

// usage returns the CPU times of a service and of this process.
func usage(p *process) (service, own time.Duration, err error) {
	if service, err = p.cpuTime(); err == nil {
		own, err = cpuTime()
	}
	return service, own, err
}

func (s *serviceFigures) rows(kind string) []row {
	return []row{
		{kind + " over HTTP: grants a second", count, s.rate, []ratio{
			{ours, theSDK, "the SDK's"}, {ours, theMinIO, "minio-go's"}, {ours, bare, "net/http's"},
		}},
		{kind + " over HTTP: p50", milliseconds, s.p50, nil},
		{kind + " over HTTP: p99", milliseconds, s.p99, nil},
		{kind + " over HTTP: CPU for 10,000", seconds, s.cpu, []ratio{{ours, bare, "net/http's"}, {ours, theSDK, "the SDK's"}}},
		{kind + " over HTTP: core of the client, busy", percent, s.client, nil},
	}
}
