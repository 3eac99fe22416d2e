package main

import (
	"context"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// An sqsQueue is a queue of Amazon SQS. The bucket's notifications go to it,
// directly or through SNS or EventBridge.
//
// The queue must have a redrive policy: SQS moves a message to the dead-letter
// queue after maxReceiveCount deliveries, for example 10. Keep the dead letters
// for 14 days and set an alarm on their number. Each of them is an unreadable
// notification or an upload that could not be completed.
type sqsQueue struct {
	client *sqs.Client
	url    string
}

// receive waits up to 20 seconds, which is the maximum of SQS. It requests one
// message at a time. Otherwise the hideTime of a message would pass while the
// worker handles another message.
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
