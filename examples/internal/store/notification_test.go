package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/examples/internal/eventtest"
	"github.com/s3presign/presign/examples/internal/store"
	"github.com/s3presign/presign/internal/notification"
)

// TestNotifications checks that the notifications of versitygw describe the
// uploaded objects, except objects that were uploaded by form.
func TestNotifications(t *testing.T) {
	receiver := eventtest.Receive(t)
	server, err := store.Start(t.Context(), "", store.WithWebhook(receiver.URL))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	require.NoError(t, server.CreateBucket(t.Context(), "events"))

	// The server sends a test event when it starts.
	n, err := notification.Parse(receiver.Next(t))
	require.NoError(t, err)
	require.Equal(t, &notification.Notification{Test: true}, n)
	eventtest.Run(t, eventtest.Target{
		Name: "versitygw", Client: server.Client(), Bucket: "events", Receiver: receiver,
		FormsWithoutKey: true,
	})
}
