package ceph

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Notify makes the server post the events of objects that are created in a
// bucket to an endpoint.
func (s *Server) Notify(ctx context.Context, bucket, endpoint string) error {
	arn, err := s.createTopic(ctx, bucket, endpoint)
	if err != nil {
		return err
	}
	topics := []types.TopicConfiguration{{
		Id: aws.String("uploads"), TopicArn: &arn, Events: []types.Event{"s3:ObjectCreated:*"},
	}}
	input := &s3.PutBucketNotificationConfigurationInput{
		Bucket:                    &bucket,
		NotificationConfiguration: &types.NotificationConfiguration{TopicConfigurations: topics},
	}
	_, err = s.Client().PutBucketNotificationConfiguration(ctx, input)
	return err
}

// createTopic creates a topic that the server delivers to an endpoint, and
// returns its ARN.
func (s *Server) createTopic(ctx context.Context, name, endpoint string) (arn string, err error) {
	form := url.Values{
		"Action": {"CreateTopic"}, "Name": {name},
		"Attributes.entry.1.key": {"push-endpoint"}, "Attributes.entry.1.value": {endpoint},
	}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, strings.NewReader(form))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sum := sha256.Sum256([]byte(form))
	credentials := aws.Credentials{AccessKeyID: s.AccessKey, SecretAccessKey: s.SecretKey}
	hash := hex.EncodeToString(sum[:])
	err = v4.NewSigner().SignHTTP(ctx, credentials, request, hash, "sns", Region, time.Now())
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	response, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var created struct {
		ARN string `xml:"CreateTopicResult>TopicArn"`
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("ceph: CreateTopic: %s: %s", resp.Status, response)
	}
	err = xml.Unmarshal(response, &created)
	return created.ARN, err
}
