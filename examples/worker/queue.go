package main

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A queue holds the store's notifications until they are done.
type queue interface {
	// receive waits for the next message. If none arrives for a while, it
	// returns nil.
	receive(ctx context.Context) (message, error)
}

// A message is a notification that the queue hides from other workers for
// hideTime.
type message interface {
	body() []byte
	attempt() int               // the number of this delivery, from 1
	done(context.Context) error // removes the message from the queue
	retry(ctx context.Context, after time.Duration) error
	bury(context.Context) error   // keeps the message for operators
	extend(context.Context) error // hides the message for another hideTime
}

// hideTime is the time for which a message is hidden from other workers. If its
// worker dies, another worker receives the message after this time.
const hideTime = 30 * time.Second

// maxAttempts is the number of deliveries after which a message is buried,
// unless its upload is pending. If the upload exists, a sweep completes it
// later.
const maxAttempts = 10

// These are the names of the NATS stream and of its subjects.
const (
	streamName    = "uploads"
	subject       = "uploads.created"
	buriedSubject = "uploads.buried"
)

// A natsQueue is a stream of NATS JetStream. Its consumer delivers each message
// to one of the workers.
type natsQueue struct {
	stream   jetstream.JetStream
	consumer jetstream.Consumer
}

// openNATS opens the stream and creates it if it does not exist.
func openNATS(ctx context.Context, js jetstream.JetStream) (*natsQueue, error) {
	stream, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: streamName, Subjects: []string{streamName + ".*"},
		MaxAge: 14 * 24 * time.Hour, // Uploads cannot be completed after this time.
	})
	if err != nil {
		return nil, err
	}
	consumer, err := stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "worker", FilterSubject: subject,
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: hideTime, MaxAckPending: -1,
	})
	return &natsQueue{js, consumer}, err
}

func (q *natsQueue) receive(ctx context.Context) (message, error) {
	waiting, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	m, err := q.consumer.Next(jetstream.FetchContext(waiting))
	if ctx.Err() == nil && waiting.Err() != nil || errors.Is(err, nats.ErrTimeout) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return natsMessage{m, q.stream}, nil
}

type natsMessage struct {
	jetstream.Msg
	stream jetstream.JetStream
}

func (m natsMessage) body() []byte { return m.Data() }

func (m natsMessage) attempt() int {
	if about, err := m.Metadata(); err == nil {
		return int(about.NumDelivered)
	}
	return 1
}

func (m natsMessage) done(ctx context.Context) error { return m.DoubleAck(ctx) }

func (m natsMessage) retry(_ context.Context, after time.Duration) error {
	return m.NakWithDelay(after)
}

// bury moves the message to another subject, because JetStream has no
// dead-letter queue.
func (m natsMessage) bury(ctx context.Context) error {
	if _, err := m.stream.Publish(ctx, buriedSubject, m.Data()); err != nil {
		return err
	}
	return m.Term()
}

func (m natsMessage) extend(context.Context) error { return m.InProgress() }
