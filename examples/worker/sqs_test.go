//go:build sqs

package main

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/examples/internal/browser"
	"github.com/s3presign/presign/examples/internal/process"
	"github.com/s3presign/presign/internal/test/s3test"
)

// startMoto starts moto, a fake of SQS that implements its protocol, long
// polling, visibility and redrive policies.
func startMoto(t *testing.T) *sqs.Client {
	t.Helper()
	program, err := exec.LookPath("moto_server")
	if err != nil {
		browser.Missing(t, "moto_server")
	}
	address := process.FreeAddr(t)
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), program, "-H", "127.0.0.1", "-p", port)
	require.NoError(t, command.Start())
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	url := "http://" + address
	require.Eventually(t, func() bool {
		response, err := http.Get(url)
		return err == nil && response.Body.Close() == nil
	}, 30*time.Second, 50*time.Millisecond)
	return sqs.New(sqs.Options{
		BaseEndpoint: &url, Region: "eu-central-1",
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
}

// createQueue creates a queue and returns its URL and ARN.
func createQueue(
	t *testing.T, client *sqs.Client, name string, attributes map[string]string,
) (url, arn string) {
	t.Helper()
	created, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{
		QueueName: &name, Attributes: attributes,
	})
	require.NoError(t, err)
	about, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: created.QueueUrl, AttributeNames: []types.QueueAttributeName{"QueueArn"},
	})
	require.NoError(t, err)
	return *created.QueueUrl, about.Attributes["QueueArn"]
}

// size returns the number of messages in a queue, including hidden messages.
func size(t *testing.T, client *sqs.Client, url string) int {
	t.Helper()
	about, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	require.NoError(t, err)
	var visible, hidden int
	_, err = fmt.Sscan(about.Attributes["ApproximateNumberOfMessages"], &visible)
	require.NoError(t, err)
	_, err = fmt.Sscan(about.Attributes["ApproximateNumberOfMessagesNotVisible"], &hidden)
	require.NoError(t, err)
	return visible + hidden
}

func TestSQS(t *testing.T) {
	client := startMoto(t)
	deadURL, deadARN := createQueue(t, client, "dead", nil)
	url, _ := createQueue(t, client, "uploads", map[string]string{
		"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn": %q, "maxReceiveCount": "3"}`,
			deadARN),
	})
	store := s3test.Start(t)
	rows, err := openRows(t.Context(), filepath.Join(t.TempDir(), "files.db"))
	require.NoError(t, err)
	defer rows.Close()
	signer, err := newSigner(store.S3(), s3test.DefaultBucket, []byte(secret), rows, newMetrics())
	require.NoError(t, err)
	defer runWorker(t, &worker{
		signer: signer, queue: &sqsQueue{client, url}, concurrency: 2, interval: time.Hour,
		metrics: newMetrics(),
	})()

	grantID := put(t, signer, "this is a text")
	key := keys(t, store.S3(), s3test.DefaultBucket, "incoming/")[0]
	for _, body := range []string{string(record(s3test.DefaultBucket, key)), "{}"} {
		_, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{
			QueueUrl: &url, MessageBody: aws.String(body),
		})
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		return size(t, client, url) == 0 && size(t, client, deadURL) == 1
	}, 30*time.Second, 100*time.Millisecond)
	require.Equal(t, []string{grantID}, ids(t, rows))
}

// TestSQSHidesMessages checks that SQS delivers a message again when its worker
// calls retry.
func TestSQSHidesMessages(t *testing.T) {
	client := startMoto(t)
	url, _ := createQueue(t, client, "uploads", nil)
	q := &sqsQueue{client, url}
	message := &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("{}")}
	_, err := client.SendMessage(t.Context(), message)
	require.NoError(t, err)
	first, err := q.receive(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, first.attempt())
	require.NoError(t, first.extend(t.Context()))
	require.NoError(t, first.retry(t.Context(), 0))
	again, err := q.receive(t.Context())
	require.NoError(t, err)
	require.NotNil(t, again)
	require.Equal(t, 2, again.attempt())
	require.NoError(t, again.done(t.Context()))
	require.Zero(t, size(t, client, url))
}
