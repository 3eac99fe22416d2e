package eventtest

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"
)

// put uploads an object with PutObject.
func (target *Target) put(t *testing.T, key string) {
	t.Helper()
	_, err := target.Client.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: &target.Bucket, Key: &key, Body: strings.NewReader(body),
	})
	require.NoError(t, err)
}

// form uploads an object with an HTML form.
func (target *Target) form(t *testing.T, key string) {
	t.Helper()
	presigner := s3.NewPresignClient(target.Client)
	signed, err := presigner.PresignPostObject(t.Context(), &s3.PutObjectInput{
		Bucket: &target.Bucket, Key: &key,
	})
	require.NoError(t, err)
	var content bytes.Buffer
	writer := multipart.NewWriter(&content)
	for name, value := range signed.Values {
		require.NoError(t, writer.WriteField(name, value))
	}
	file, err := writer.CreateFormFile("file", "file.txt")
	require.NoError(t, err)
	_, err = io.WriteString(file, body)
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	resp, err := http.Post(signed.URL, writer.FormDataContentType(), &content)
	require.NoError(t, err)
	defer resp.Body.Close()
	response, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusNoContent, resp.StatusCode, "%s", response)
}

// copy copies the object that Run uploads first.
func (target *Target) copy(t *testing.T, key string) {
	t.Helper()
	_, err := target.Client.CopyObject(t.Context(), &s3.CopyObjectInput{
		Bucket: &target.Bucket, Key: &key,
		CopySource: aws.String(target.Bucket + "/" + url.PathEscape(source)),
	})
	require.NoError(t, err)
}

// multipart uploads an object as a multipart upload of one part.
func (target *Target) multipart(t *testing.T, key string) {
	t.Helper()
	upload, err := target.Client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{
		Bucket: &target.Bucket, Key: &key,
	})
	require.NoError(t, err)
	part, err := target.Client.UploadPart(t.Context(), &s3.UploadPartInput{
		Bucket: &target.Bucket, Key: &key, UploadId: upload.UploadId, PartNumber: aws.Int32(1),
		Body: strings.NewReader(body),
	})
	require.NoError(t, err)
	_, err = target.Client.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{
		Bucket: &target.Bucket, Key: &key, UploadId: upload.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{
			Parts: []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: part.ETag}},
		},
	})
	require.NoError(t, err)
}
