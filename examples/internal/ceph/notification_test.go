package ceph_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/examples/internal/ceph"
	"github.com/s3presign/presign/examples/internal/eventtest"
)

// TestNotifications compares the events that Ceph sends with what was uploaded.
func TestNotifications(t *testing.T) {
	server := ceph.Shared(t)
	receiver := eventtest.Receive(t)
	newBucket(t, server, "events")
	topics := []types.TopicConfiguration{{
		Id: aws.String("uploads"), TopicArn: aws.String(createTopic(t, server, receiver.URL)),
		Events: []types.Event{"s3:ObjectCreated:*"},
	}}
	input := &s3.PutBucketNotificationConfigurationInput{
		Bucket:                    aws.String("events"),
		NotificationConfiguration: &types.NotificationConfiguration{TopicConfigurations: topics},
	}
	_, err := server.Client().PutBucketNotificationConfiguration(t.Context(), input)
	require.NoError(t, err)
	eventtest.Run(t, eventtest.Target{
		Name: "ceph", Client: server.Client(), Bucket: "events", Receiver: receiver,
	})
}

// createTopic creates a topic that Ceph delivers to an endpoint, and returns its ARN.
func createTopic(t *testing.T, server *ceph.Server, endpoint string) string {
	t.Helper()
	form := url.Values{
		"Action": {"CreateTopic"}, "Name": {"uploads"},
		"Attributes.entry.1.key": {"push-endpoint"}, "Attributes.entry.1.value": {endpoint},
	}.Encode()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader(form))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sum := sha256.Sum256([]byte(form))
	credentials := aws.Credentials{AccessKeyID: server.AccessKey, SecretAccessKey: server.SecretKey}
	require.NoError(t, v4.NewSigner().SignHTTP(
		t.Context(), credentials, request, hex.EncodeToString(sum[:]), "sns", ceph.Region, time.Now(),
	))
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode, "%s", answer)
	var created struct {
		ARN string `xml:"CreateTopicResult>TopicArn"`
	}
	require.NoError(t, xml.Unmarshal(answer, &created))
	return created.ARN
}
