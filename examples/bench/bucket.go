package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/store"
	"github.com/s3presign/presign/internal/test/conformance"
)

const (
	bucketName = "bench"
	lifetime   = 15 * time.Minute
	partSize   = 5 << 20
	partCount  = 10_000
)

// policy describes what may be uploaded. All contenders follow it.
var policy = presign.Policy{
	Prefix:   "incoming/",
	Types:    []string{"application/pdf", "video/mp4"},
	MaxSize:  partCount * partSize,
	Lifetime: lifetime,
	Metadata: []string{"project"},
}

// document is the upload in one request.
var document = presign.Upload{
	Filename: "report.pdf", Type: "application/pdf", Size: 81234,
	Metadata: map[string]string{"project": "apollo"}, Owner: "alice",
}

// film is the multipart upload.
var film = presign.Upload{Filename: "film.mp4", Type: "video/mp4", Size: partCount * partSize,
	Owner: "alice"}

// A bucket receives uploads. It has the credentials that sign grants.
type bucket struct {
	server      *store.Server
	credentials aws.Credentials
}

// open starts an S3 server.
func open(ctx context.Context) (*bucket, error) {
	server, err := store.Start(ctx, "")
	if err != nil {
		return nil, err
	}
	b := &bucket{server: server}
	if err = server.CreateBucket(ctx, bucketName); err == nil {
		b.credentials, err = server.SessionCredentials(time.Hour)
	}
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bucket) close() error { return b.server.Close() }

// site returns the description of the bucket for another process.
func (b *bucket) site() site {
	return site{Endpoint: b.server.URL, Region: b.server.Region, Credentials: b.credentials}
}

// A site is the address of a bucket and the credentials that sign for it.
type site struct {
	Endpoint, Region string
	Credentials      aws.Credentials
}

// client returns a client that signs with the credentials of the provider, or
// with the credentials of the site if provider is nil.
func (s site) client(provider aws.CredentialsProvider) *s3.Client {
	if provider == nil {
		provider = credentials.StaticCredentialsProvider{Value: s.Credentials}
	}
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(s.Endpoint), Region: s.Region, Credentials: provider,
		UsePathStyle: true,
		// Otherwise the SDK's presigner signs a checksum although there is no
		// body.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
	})
}

// use uploads body with a grant.
func use(grant *presign.Grant, body []byte) error {
	response, err := conformance.New(grant, document.Filename, body).Send(http.DefaultClient)
	if err == nil && !response.Accepted() {
		err = fmt.Errorf("the store must accept the %s, got %v", grant.Method, response)
	}
	return err
}
