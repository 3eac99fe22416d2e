// Package relay forwards requests between clients and a server in tests. In
// front of a store, it records and disturbs parts of uploads. In front of a
// service, it keeps the address while the service is replaced.
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

// A Relay forwards requests to a server unchanged. Clients sign for the host of
// the relay.
type Relay struct {
	URL string

	mu      sync.Mutex
	target  *url.URL
	disturb Disturbance
	arrived []int
}

// A Disturbance handles the PUT of a part instead of the store. It reports
// whether to forward the request.
type Disturbance func(w http.ResponseWriter, r *http.Request, part int) bool

// Start forwards requests to the server with the URL until the test ends.
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
		// The connection is closed without a response, as if the server had
		// ended.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler)
		},
		ErrorLog: log.New(io.Discard, "", 0),
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

// Lead forwards later requests to another server. If the URL is empty, it
// closes the connections of later requests.
func (r *Relay) Lead(t *testing.T, server string) {
	t.Helper()
	target, err := url.Parse(server)
	require.NoError(t, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = target
}

// number returns the number of the part that a request sends, or 0.
func number(r *http.Request) int {
	if r.Method != http.MethodPut {
		return 0
	}
	part, _ := strconv.Atoi(r.URL.Query().Get("partNumber"))
	return part
}

// Disturb sets the function that handles later parts, or removes it if f is
// nil.
func (r *Relay) Disturb(f Disturbance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.disturb = f
}

// Arrived returns the sorted numbers of the parts that the store has accepted
// since the last call of Arrived.
func (r *Relay) Arrived() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	arrived := r.arrived
	r.arrived = nil
	slices.Sort(arrived)
	return arrived
}
