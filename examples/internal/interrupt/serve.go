package interrupt

import (
	"context"
	"net"
	"net/http"
	"time"
)

// Serve serves until ctx ends, the server fails, or one of the waits returns.
// After ctx ends, running requests have three seconds to end.
func Serve(
	ctx context.Context, server *http.Server, listener net.Listener, waits ...func() error,
) error {
	ended := make(chan error, 1+len(waits))
	go func() { ended <- server.Serve(listener) }()
	for _, wait := range waits {
		go func() { ended <- wait() }()
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if err := server.Shutdown(closing); err != nil {
		return server.Close() // A client is still connected.
	}
	return nil
}
