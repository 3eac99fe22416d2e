package site

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/s3presign/presign"
)

// eventDelay is the time that a page has to complete an upload before an event
// completes it. A client receives the reason of a rejection only from its own
// completion.
const eventDelay = 3 * time.Second

// An Events receives the notifications of a store. It keeps the notifications
// in memory, so they are lost when the process ends. Then a sweep of the next
// process completes the uploads. The demo worker has a queue instead.
type Events struct {
	url      string
	listener net.Listener
	received chan event
}

type event struct {
	body []byte
	due  time.Time
}

// listenForEvents returns Events with an address for the store, which starts
// before the Signer exists.
func listenForEvents() (*Events, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &Events{"http://" + listener.Addr().String(), listener, make(chan event, 1000)}, nil
}

// Complete completes uploads that no page has completed, by events and by a
// sweep at every interval. The returned function stops the completions and
// waits until they have ended.
func (e *Events) Complete(
	ctx context.Context, signer *presign.Signer, interval time.Duration,
) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	server := &http.Server{Handler: http.HandlerFunc(e.receive), ReadTimeout: 10 * time.Second}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(e.listener) })
	wg.Go(func() { e.work(ctx, signer, interval) })
	return func() {
		cancel()
		_ = server.Close()
		wg.Wait()
	}
}

func (e *Events) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	select {
	case e.received <- event{body, time.Now().Add(eventDelay)}:
	default:
		http.Error(w, "Too many notifications.", http.StatusServiceUnavailable)
	}
}

func (e *Events) work(ctx context.Context, signer *presign.Signer, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case received := <-e.received:
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Until(received.due)):
			}
			err = signer.CompleteNotification(ctx, received.body)
		case <-ticker.C:
			err = signer.Sweep(ctx)
		}
		if err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "not completed; the next sweep tries again",
				slog.Any("error", err))
		}
	}
}
