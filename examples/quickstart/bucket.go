package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign/examples/internal/store"
)

// A location describes a bucket. If bucket is empty, the bucket is on the
// embedded server.
type location struct {
	bucket, region, endpoint string
	dir                      string // of the embedded server
	origin                   string // of another page that may use the embedded server, or empty
}

// A bucket holds the uploads.
type bucket struct {
	client   *s3.Client
	name     string
	about    string // a line for the user
	external bool
	wait     func() error // waits until the embedded server stops, or nil
	close    func() error
}

func (l location) open(ctx context.Context, hosts []string) (*bucket, error) {
	if l.bucket == "" {
		if l.endpoint != "" || l.region != "" {
			return nil, errors.New("-bucket must be set with -endpoint or -region")
		}
		return l.startEmbedded(ctx, hosts)
	}
	if l.origin != "" {
		return nil, errors.New(
			"-origin must not be set with -bucket; add the origin to the bucket's CORS rules")
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(l.region))
	if err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		return nil, errors.New("-region or AWS_REGION must be set with -bucket")
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		if l.endpoint != "" {
			o.BaseEndpoint = &l.endpoint
		}
		o.UsePathStyle = o.BaseEndpoint != nil // A host name for each bucket needs DNS.
	})
	return &bucket{
		client:   client,
		name:     l.bucket,
		about:    l.bucket,
		external: true,
		close:    func() error { return nil },
	}, nil
}

// startEmbedded starts an S3 server with a bucket. Pages on hosts and at
// l.origin can use the bucket.
func (l location) startEmbedded(ctx context.Context, hosts []string) (*bucket, error) {
	const name = "quickstart"
	// The store must stop after the service.
	server, err := store.Start(context.WithoutCancel(ctx), l.dir)
	if err != nil {
		return nil, err
	}
	allowed := origins(hosts)
	if l.origin != "" {
		allowed = append(allowed, l.origin)
	}
	if err := server.CreateBucket(ctx, name, allowed...); err != nil {
		return nil, errors.Join(err, server.Close())
	}
	return &bucket{
		client: server.Client(),
		name:   name,
		about:  fmt.Sprintf("%s on versitygw at %s, started by quickstart", name, server.URL),
		wait:   server.Wait,
		close:  server.Close,
	}, nil
}

func origins(hosts []string) []string {
	var origins []string
	for _, host := range hosts {
		origins = append(origins, "http://"+host)
	}
	return origins
}

// corsCommand returns a command that allows pages on hosts to use a bucket.
func corsCommand(bucket string, hosts []string) string {
	rule := store.CORSRule(origins(hosts)...)
	rules, _ := json.Marshal(map[string]any{"CORSRules": []any{map[string]any{
		"AllowedOrigins": rule.AllowedOrigins,
		"AllowedMethods": rule.AllowedMethods,
		"AllowedHeaders": rule.AllowedHeaders,
		"ExposeHeaders":  rule.ExposeHeaders,
		"MaxAgeSeconds":  rule.MaxAgeSeconds,
	}}})
	return fmt.Sprintf("aws s3api put-bucket-cors --bucket %s --cors-configuration '%s'", bucket,
		rules)
}
