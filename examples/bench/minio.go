package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// A minioGo signs grants with minio-go. It uses PresignHeader, because
// PresignedPutObject does not sign headers.
type minioGo struct{ client *minio.Client }

func (s site) minioGo() (minioGo, error) {
	endpoint, err := url.Parse(s.Endpoint)
	if err != nil {
		return minioGo{}, err
	}
	c := s.Credentials
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds:  credentials.NewStaticV4(c.AccessKeyID, c.SecretAccessKey, c.SessionToken),
		Region: s.Region, Secure: endpoint.Scheme == "https", BucketLookup: minio.BucketLookupPath,
	})
	return minioGo{client}, err
}

func (m minioGo) put(ctx context.Context, u *upload) (*grant, error) {
	key, expires := u.key(), time.Now().Add(lifetime)
	headers := map[string]string{
		"Content-Type": u.Type, "Content-Disposition": u.disposition(), "If-None-Match": "*",
	}
	for name, value := range u.Metadata {
		headers["x-amz-meta-"+name] = value
	}
	signed := http.Header{"Content-Length": {strconv.FormatInt(u.Size, 10)}}
	for name, value := range headers {
		signed.Set(name, value)
	}
	address, err := m.client.PresignHeader(ctx, http.MethodPut, bucketName, key, lifetime, nil,
		signed)
	if err != nil {
		return nil, err
	}
	return &grant{Method: http.MethodPut, URL: address.String(), Headers: headers, Key: key,
		Expires: expires}, nil
}

func (m minioGo) form(ctx context.Context, u *upload) (*grant, error) {
	key, expires := u.key(), time.Now().Add(lifetime)
	form := minio.NewPostPolicy()
	faults := []error{
		form.SetBucket(bucketName), form.SetKey(key), form.SetExpires(expires),
		form.SetContentType(u.Type), form.SetContentDisposition(u.disposition()),
		form.SetContentLengthRange(u.Size, u.Size),
	}
	for name, value := range u.Metadata {
		faults = append(faults, form.SetUserMetadata(name, value))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	address, fields, err := m.client.PresignedPostPolicy(ctx, form)
	if err != nil {
		return nil, err
	}
	return &grant{Method: http.MethodPost, URL: address.String(), Fields: fields, Key: key,
		Expires: expires}, nil
}

func (m minioGo) part(ctx context.Context, key, uploadID string, number int) (string, error) {
	query := url.Values{"partNumber": {strconv.Itoa(number)}, "uploadId": {uploadID}}
	address, err := m.client.PresignHeader(ctx, http.MethodPut, bucketName, key, lifetime, query,
		http.Header{"Content-Length": {strconv.Itoa(partSize)}})
	if err != nil {
		return "", err
	}
	return address.String(), nil
}
