// Package relay stands between clients and a server in tests: before a store, it tells which parts of uploads reached it,
// and can disturb them; before a service, it keeps its address while there is none.
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

// A Relay forwards requests to a server without a change. The signatures are for the
// relay's own host.
type Relay struct {
	URL string

	mu      sync.Mutex
	target  *url.URL
	disturb Disturbance
	arrived []int
}

// Disturbance deals with the PUT of a part before the store sees it. It reports whether the store shall see it.
type Disturbance func(w http.ResponseWriter, r *http.Request, part int) bool

// Start passes requests on to the server with a URL until the test ends.
func Start(t *testing.T, server string) *Relay {
	t.Helper()
	r := new(Relay)
	r.Lead(t, server)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			r.mu.Lock()
			defer r.mu.Unlock()
			p.Out.URL.Scheme, p.Out.URL.Host = r.target.Scheme, r.target.Host
		},
		ModifyResponse: func(res *http.Response) error {
			if part := number(res.Request); part != 0 && res.StatusCode == http.StatusOK {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.arrived = append(r.arrived, part)
			}
			return nil
		},
		// As the server's own connections would: it has gone, or the client has.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     log.New(io.Discard, "", 0),
	}
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		disturb := r.disturb
		r.mu.Unlock()
		if part := number(req); part == 0 || disturb == nil || disturb(w, req, part) {
			proxy.ServeHTTP(w, req)
		}
	}))
	t.Cleanup(listener.Close)
	t.Cleanup(listener.CloseClientConnections)
	r.URL = listener.URL
	return r
}

// Lead passes requests on to another server from now on; to none if its URL is empty, and cuts clients off.
func (r *Relay) Lead(t *testing.T, server string) {
	t.Helper()
	target, err := url.Parse(server)
	require.NoError(t, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = target
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
