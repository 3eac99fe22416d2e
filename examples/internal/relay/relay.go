// Package relay stands between clients and a store in tests: it tells which parts of uploads reached the store, and can
// disturb them.
package relay

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Relay passes requests on to a store, as they are: its own host is what their signatures are for.
type Relay struct {
	URL string

	mu      sync.Mutex
	disturb Disturbance
	arrived []int
}

// Disturbance deals with the PUT of a part before the store sees it. It reports whether the store shall see it.
type Disturbance func(w http.ResponseWriter, r *http.Request, part int) bool

// Start passes requests on to the store until the test ends.
func Start(t *testing.T, store string) *Relay {
	t.Helper()
	target, err := url.Parse(store)
	require.NoError(t, err)
	r := new(Relay)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = target.Scheme, target.Host
		},
		ModifyResponse: func(res *http.Response) error {
			if part := number(res.Request); part != 0 && res.StatusCode == http.StatusOK {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.arrived = append(r.arrived, part)
			}
			return nil
		},
		ErrorLog: log.New(io.Discard, "", 0), // of clients that went away
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		disturb := r.disturb
		r.mu.Unlock()
		if part := number(req); part == 0 || disturb == nil || disturb(w, req, part) {
			proxy.ServeHTTP(w, req)
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	r.URL = server.URL
	return r
}

// number returns which part a request sends, or 0.
func number(r *http.Request) int {
	if r.Method != http.MethodPut {
		return 0
	}
	part, _ := strconv.Atoi(r.URL.Query().Get("partNumber"))
	return part
}

// Disturb has f deal with parts from now on; nil ends that.
func (r *Relay) Disturb(f Disturbance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.disturb = f
}

// Arrived returns the numbers of the parts that the store has taken since it was last called, in order.
func (r *Relay) Arrived() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	arrived := r.arrived
	r.arrived = nil
	slices.Sort(arrived)
	return arrived
}
