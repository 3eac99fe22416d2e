package main

import (
	"bytes"
	"context"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
)

// TestLoad checks that a short load measures requests of each kind, and that it
// replaces the credentials.
func TestLoad(t *testing.T) {
	var printed strings.Builder
	require.NoError(t, run(t.Context(), []string{"-for", "3s"}, &printed))
	t.Log("\n" + printed.String())
	for _, kind := range order {
		requests := regexp.MustCompile(`(?m)^\| ` + kind + ` +\| (\d+) +\|`).FindStringSubmatch(
			printed.String())
		require.NotNil(t, requests, kind)
		n, err := strconv.Atoi(requests[1])
		require.NoError(t, err)
		require.Positive(t, n, kind)
	}
	sessions := regexp.MustCompile(`(\d+) sessions signed`).FindStringSubmatch(printed.String())
	require.NotNil(t, sessions)
	n, err := strconv.Atoi(sessions[1])
	require.NoError(t, err)
	require.Greater(t, n, 1, "the credentials must be replaced")
}

// TestFaultsEndLoad checks that a fault ends the load with an error without a
// signature.
func TestFaultsEndLoad(t *testing.T) {
	s, err := open(t.Context(), time.Minute)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.close()) })

	t.Run("request fails", func(t *testing.T) {
		v := newVisitor(s, func(v *visitor, ctx context.Context) error {
			file := v.file(fileSize)
			grant, err := v.grant(ctx, http.MethodPut, file)
			require.NoError(t, err)
			// The headers of the grant are missing.
			request, err := http.NewRequest(http.MethodPut, grant.URL, bytes.NewReader(file))
			require.NoError(t, err)
			return v.send(ctx, "upload", request, nil)
		})
		err := v.stay(t.Context(), time.Now().Add(time.Minute))
		require.ErrorContains(t, err, "upload: 403 Forbidden")
		require.NotContains(t, err.Error(), "X-Amz-Signature=")
	})
	t.Run("no response", func(t *testing.T) {
		v := newVisitor(s, (*visitor).put)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := v.stay(ctx, time.Now().Add(time.Minute))
		require.ErrorIs(t, err, context.Canceled)
		require.NotContains(t, err.Error(), "http://")
	})
	t.Run("another object", func(t *testing.T) {
		v := newVisitor(s, (*visitor).put)
		file := v.file(fileSize)
		grant, err := v.grant(t.Context(), http.MethodPost, file)
		require.NoError(t, err)
		// Nothing was uploaded.
		require.ErrorContains(t, v.complete(t.Context(), grant.Key, file), "404")
		_, err = s.objects.PutObject(t.Context(),
			&s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("files/other"),
				Body: bytes.NewReader(file[1:])})
		require.NoError(t, err)
		require.ErrorContains(t, v.read(t.Context(), "files/other", file),
			"files/other must have the bytes that were sent")
		require.ErrorContains(t, s.checkEmpty(t.Context()),
			"must be empty, got 1 objects and 0 multipart uploads")
	})
	t.Run("memory", func(t *testing.T) {
		require.NoError(t, (&result{warm: 8 << 20, end: 20 << 20}).checkMemory())
		require.ErrorContains(t, (&result{warm: 8 << 20, end: 20<<20 + 1}).checkMemory(),
			"must not grow")
	})
	t.Run("bytes", func(t *testing.T) {
		want := []byte("bytes")
		for content, same := range map[string]bool{"bytes": true, "byte": false, "bytes2": false,
			"bytez": false, "": false} {
			for _, r := range []func() (bool, error){
				func() (bool, error) { return holds(strings.NewReader(content), want) },
				func() (bool, error) {
					return holds(iotest.OneByteReader(strings.NewReader(content)), want)
				},
				func() (bool, error) {
					return holds(iotest.DataErrReader(strings.NewReader(content)), want)
				},
			} {
				got, err := r()
				require.NoError(t, err)
				require.Equal(t, same, got, content)
			}
		}
		_, err := holds(iotest.ErrReader(context.Canceled), want)
		require.ErrorIs(t, err, context.Canceled)
	})
}
