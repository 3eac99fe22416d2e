package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"strings"
)

// batchSize is the number of grants in one batch request.
const batchSize = 100

// alone is the name of the figure for requests for one grant each.
const alone = "alone"

// batchQuestion returns the body of a request for a batch of PUTs.
func batchQuestion() []byte {
	one := string(question(http.MethodPut))
	return []byte(`{"uploads":[` + strings.Repeat(one+",", batchSize-1) + one + `]}`)
}

// newBatchLoad returns the load of batch requests for the service of this
// library. It uses the first grant on the store.
func newBatchLoad(p *process) (*load, error) {
	body, err := p.ask("put/batch", batchQuestion(), http.StatusOK)
	if err != nil {
		return nil, err
	}
	var response struct{ Results []json.RawMessage }
	if err := json.Unmarshal(body, &response); err != nil {
		return nil, err
	}
	if len(response.Results) != batchSize {
		return nil, fmt.Errorf("bench: a batch must have %d results, got %d", batchSize,
			len(response.Results))
	}
	if err := useResponse(response.Results[0]); err != nil {
		return nil, err
	}
	l, err := newLoad(p.addr, "/put/batch", batchQuestion(), http.StatusOK)
	if err != nil {
		return nil, err
	}
	if _, _, err := l.run(connections); err != nil { // This warms up the service.
		l.close()
		return nil, err
	}
	return l, nil
}

// measureBatch measures batches that contain about the given number of grants
// in total. It adds the CPU time of 10,000 grants to cpu.
func measureBatch(cpu series, p *process, l *load, grants int) error {
	n := max(connections, grants/batchSize)
	runtime.GC() // Otherwise a collection can interrupt the measurement.
	before, err := p.cpuTime()
	if err != nil {
		return err
	}
	if _, _, err := l.run(n); err != nil {
		return err
	}
	after, err := p.cpuTime()
	cpu.add(ours, (after-before).Seconds()/float64(n*batchSize)*10_000)
	return err
}
