package s3test

import (
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// The headers with the name of an Actor and the mark of Instant. The server
// removes them before it handles the request.
const (
	actorHeader   = "S3test-Actor"
	instantHeader = "S3test-Instant"
)

// An Actor sends requests in its own name, so that hooks and the History can
// distinguish the requests of several clients.
type Actor struct {
	server  *Server
	name    string
	instant bool
}

// Actor returns the actor of this name. Clients that the Server itself returns
// have the empty name.
func (s *Server) Actor(name string) *Actor { return &Actor{server: s, name: name} }

// Instant returns the same actor with requests that take no tick. Hooks use it
// to send requests between two ticks.
func (a *Actor) Instant() *Actor { return &Actor{server: a.server, name: a.name, instant: true} }

// HTTPClient returns Server.HTTPClient in the name of the actor.
func (a *Actor) HTTPClient() *http.Client {
	client := *a.server.client
	client.Transport = actorTransport{a, client.Transport}
	return &client
}

// S3 returns Server.S3 in the name of the actor.
func (a *Actor) S3(optFns ...func(*s3.Options)) *s3.Client {
	own := func(o *s3.Options) { o.HTTPClient = a.HTTPClient() }
	return a.server.S3(append([]func(*s3.Options){own}, optFns...)...)
}

// Crash stops the actor. Its requests have no effect from now on, and their
// connections are cut.
func (a *Actor) Crash() {
	a.server.mu.Lock()
	defer a.server.mu.Unlock()
	a.server.crashed[a.name] = true
}

type actorTransport struct {
	actor *Actor
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t actorTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	named := req.Clone(req.Context())
	named.Header.Set(actorHeader, t.actor.name)
	if t.actor.instant {
		named.Header.Set(instantHeader, "true")
	}
	return t.next.RoundTrip(named)
}

// Retries makes a client of S3 try each request up to n times. The delays do
// not depend on chance: 100 ms before the second attempt, and 100 ms more
// before each further one.
func Retries(n int) func(*s3.Options) {
	return func(o *s3.Options) {
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = n
			o.RateLimiter = ratelimit.None
			o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
				return time.Duration(attempt) * 100 * time.Millisecond, nil
			})
		})
	}
}
