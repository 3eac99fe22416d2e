package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/s3presign/presign"
)

// drainTime is the time that a stopping worker has to finish its messages. Most
// orchestrators kill a process 30 seconds after SIGTERM.
const drainTime = 20 * time.Second

// A worker completes uploads when it receives the store's notifications. It
// also sweeps at intervals, because notifications can be lost and some stores
// do not send them for every upload.
type worker struct {
	signer      *presign.Signer
	queue       queue
	concurrency int           // the number of messages at once
	interval    time.Duration // between sweeps
	metrics     *metrics
}

// run handles messages until ctx ends. Then it finishes the messages that it
// has received.
func (w *worker) run(ctx context.Context) error {
	// A message that was received can be handled until drainTime after the end
	// of ctx.
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	context.AfterFunc(ctx, func() { time.AfterFunc(drainTime, cancel) })

	var wg sync.WaitGroup
	for range w.concurrency {
		wg.Go(func() { w.consume(ctx, working) })
	}
	wg.Go(func() { w.sweep(ctx) })
	wg.Wait()
	closing, cancelClosing := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancelClosing()
	return w.signer.Shutdown(closing)
}

// consume handles one message after another.
func (w *worker) consume(ctx, working context.Context) {
	for ctx.Err() == nil {
		m, err := w.queue.receive(ctx)
		if ctx.Err() != nil && m == nil {
			return
		}
		if err != nil {
			slog.WarnContext(ctx, "queue failed", slog.Any("error", err))
			wait(ctx, 5*time.Second)
			continue
		}
		if m != nil {
			w.handle(working, m)
		}
	}
}

// handle completes the uploads of a message.
func (w *worker) handle(ctx context.Context, m message) {
	w.metrics.active.Inc()
	defer w.metrics.active.Dec()
	stop := w.keepHidden(ctx, m)
	err := w.signer.CompleteNotification(ctx, m.body())
	stop()

	outcome, settle := "done", m.done
	switch {
	case err == nil:
	case errors.Is(err, presign.ErrInvalidNotification):
		outcome, settle = "buried", m.bury
	case m.attempt() >= maxAttempts && !errors.Is(err, presign.ErrPending):
		outcome, settle = "buried", m.bury
	default:
		outcome = "retried"
		settle = func(ctx context.Context) error { return m.retry(ctx, delay(m.attempt())) }
	}
	if err != nil {
		slog.WarnContext(ctx, "notification "+outcome, slog.Any("error", err))
	}
	w.metrics.notifications.WithLabelValues(outcome).Inc()
	if err := settle(ctx); err != nil { // The queue delivers the message again, which does no harm.
		slog.WarnContext(ctx, "message not settled", slog.Any("error", err))
	}
}

// delay returns 1, 2, 4 seconds and so on, up to 5 minutes.
func delay(attempt int) time.Duration {
	return min(time.Second<<min(attempt-1, 10), 5*time.Minute)
}

// keepHidden hides a message from other workers until stop is called.
func (w *worker) keepHidden(ctx context.Context, m message) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for wait(ctx, hideTime/2) {
			if err := m.extend(ctx); err != nil && ctx.Err() == nil {
				slog.WarnContext(ctx, "message not hidden", slog.Any("error", err))
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}

// sweep completes uploads without notifications, at intervals until ctx ends.
func (w *worker) sweep(ctx context.Context) {
	for {
		err := w.signer.Sweep(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			w.metrics.sweeps.WithLabelValues("failed").Inc()
			slog.WarnContext(ctx, "sweep incomplete", slog.Any("error", err))
		default:
			w.metrics.sweeps.WithLabelValues("done").Inc()
		}
		if !wait(ctx, w.interval) {
			return
		}
	}
}

// wait waits for the duration d. It returns false if ctx ends before that.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// A metrics value holds the worker's metrics for Prometheus.
type metrics struct {
	registry      *prometheus.Registry
	uploads       *prometheus.CounterVec
	notifications *prometheus.CounterVec
	sweeps        *prometheus.CounterVec
	active        prometheus.Gauge
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		registry:      prometheus.NewRegistry(),
		uploads:       counter("uploads_total", "Events by kind and method.", "kind", "method"),
		notifications: counter("notifications_total", "Notifications by outcome.", "outcome"),
		sweeps:        counter("sweeps_total", "Sweeps by outcome.", "outcome"),
		active: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "notifications_active", Help: "Notifications that are being handled.",
		}),
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(), m.uploads, m.notifications, m.sweeps, m.active)
	return m
}

// observe counts an Event for WithObserver.
func (m *metrics) observe(_ context.Context, e presign.Event) {
	m.uploads.WithLabelValues(e.Kind, e.Method).Inc()
}
