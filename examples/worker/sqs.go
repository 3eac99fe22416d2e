package main

import (
	"context"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// sqsQueue is a queue of Amazon SQS that the bucket's notifications go to, directly or
// through SNS or EventBridge.
//
// It needs a redrive policy: SQS moves a message to the dead-letter queue after
// maxReceiveCount deliveries, 10 for example. Keep the dead letters for 14 days and
// set an alarm on their number: each is a notification that no worker could read, or
// an upload that could not be completed.
type sqsQueue struct {
	client *sqs.Client
	url    string
}

// receive waits 20 seconds, the longest that SQS permits. Each request takes one
// message, so that none waits behind another one while its hideTime passes.
func (q *sqsQueue) receive(ctx context.Context) (message, error) {
	out, err := q.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &q.url, MaxNumberOfMessages: 1, WaitTimeSeconds: 20,
		VisibilityTimeout: int32(hideTime / time.Second),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{
			types.MessageSystemAttributeNameApproximateReceiveCount,
		},
	})
	if err != nil || len(out.Messages) == 0 {
		return nil, err
	}
	return sqsMessage{out.Messages[0], q}, nil
}

type sqsMessage struct {
	types.Message
	queue *sqsQueue
}

func (m sqsMessage) body() []byte { return []byte(aws.ToString(m.Body)) }

func (m sqsMessage) attempt() int {
	n, _ := strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
	return max(n, 1)
}

func (m sqsMessage) done(ctx context.Context) error {
	_, err := m.queue.client.DeleteMessage(ctx, &sqs.DeleteMessageInput{
		QueueUrl: &m.queue.url, ReceiptHandle: m.ReceiptHandle,
	})
	return err
}

func (m sqsMessage) retry(ctx context.Context, after time.Duration) error {
	_, err := m.queue.client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &m.queue.url, ReceiptHandle: m.ReceiptHandle,
		VisibilityTimeout: int32(after / time.Second),
	})
	return err
}

// bury leaves the message to the redrive policy.
func (m sqsMessage) bury(ctx context.Context) error { return m.retry(ctx, 0) }

func (m sqsMessage) extend(ctx context.Context) error { return m.retry(ctx, hideTime) }
