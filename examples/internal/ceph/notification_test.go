package ceph_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/examples/internal/ceph"
	"github.com/s3presign/presign/examples/internal/eventtest"
)

// TestNotifications checks that the notifications of Ceph describe the uploaded
// objects.
func TestNotifications(t *testing.T) {
	server := ceph.Shared(t)
	receiver := eventtest.Receive(t)
	newBucket(t, server, "events")
	require.NoError(t, server.Notify(t.Context(), "events", receiver.URL))
	eventtest.Run(t, eventtest.Target{
		Name: "ceph", Client: server.Client(), Bucket: "events", Receiver: receiver,
	})
}
