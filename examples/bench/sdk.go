package main

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// An sdk signs grants with the presigners of the AWS SDK.
type sdk struct{ presigner *s3.PresignClient }

func (s site) sdk() sdk {
	return sdk{s3.NewPresignClient(s.client(nil), s3.WithPresignExpires(lifetime))}
}

func (s sdk) put(ctx context.Context, u *upload) (*grant, error) {
	key, expires := u.key(), time.Now().Add(lifetime)
	request, err := s.presigner.PresignPutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String(bucketName), Key: &key, ContentType: &u.Type, ContentLength: &u.Size,
		ContentDisposition: aws.String(u.disposition()), IfNoneMatch: aws.String("*"),
		Metadata: u.Metadata,
	})
	if err != nil {
		return nil, err
	}
	headers := make(map[string]string, len(request.SignedHeader))
	for name, values := range request.SignedHeader {
		if name != "Host" && name != "Content-Length" { // Browsers set these two.
			headers[name] = values[0]
		}
	}
	return &grant{Method: http.MethodPut, URL: request.URL, Headers: headers, Key: key,
		Expires: expires}, nil
}

func (s sdk) form(ctx context.Context, u *upload) (*grant, error) {
	key, expires := u.key(), time.Now().Add(lifetime)
	fields := map[string]string{"Content-Type": u.Type, "Content-Disposition": u.disposition()}
	for name, value := range u.Metadata {
		fields["x-amz-meta-"+name] = value
	}
	conditions := []any{[]any{"content-length-range", u.Size, u.Size}}
	for name, value := range fields {
		conditions = append(conditions, map[string]string{name: value})
	}
	// PresignPostObject uses only the key and the bucket of the input.
	request, err := s.presigner.PresignPostObject(ctx,
		&s3.PutObjectInput{Bucket: aws.String(bucketName), Key: &key},
		func(o *s3.PresignPostOptions) { o.Expires, o.Conditions = lifetime, conditions })
	if err != nil {
		return nil, err
	}
	for name, value := range request.Values {
		fields[name] = value
	}
	return &grant{Method: http.MethodPost, URL: request.URL, Fields: fields, Key: key,
		Expires: expires}, nil
}

func (s sdk) part(ctx context.Context, key, uploadID string, number int) (string, error) {
	request, err := s.presigner.PresignUploadPart(ctx, &s3.UploadPartInput{
		Bucket: aws.String(bucketName), Key: &key, UploadId: &uploadID,
		PartNumber:    aws.Int32(int32(number)),
		ContentLength: aws.Int64(partSize),
	})
	if err != nil {
		return "", err
	}
	return request.URL, nil
}
