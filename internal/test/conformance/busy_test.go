package conformance_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/test/conformance"
	"github.com/s3presign/presign/internal/test/s3test"
)

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// TestBusy checks that a case is run again if the server is busy.
func TestBusy(t *testing.T) {
	honest := conformance.Cases()[0]
	for name, c := range map[string]struct {
		status, times int
		interrupted   bool
		seconds       int
		rejected      bool
	}{
		"not":         {http.StatusServiceUnavailable, 0, false, 0, false},
		"once":        {http.StatusTooManyRequests, 1, false, 1, false},
		"twice":       {http.StatusBadGateway, 2, false, 3, false},
		"always":      {http.StatusGatewayTimeout, 9, false, 3, true},
		"interrupted": {http.StatusServiceUnavailable, 9, true, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := s3test.New()
				requests := 0
				client := &http.Client{
					Transport: transport(func(r *http.Request) (*http.Response, error) {
						if requests++; requests > c.times {
							return server.HTTPClient().Transport.RoundTrip(r)
						}
						response := httptest.NewRecorder()
						response.WriteHeader(c.status)
						return response.Result(), nil
					}),
				}
				target := conformance.Target{
					Client: server.S3(), Bucket: s3test.DefaultBucket, HTTP: client,
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.interrupted {
					cancel()
				}
				start := time.Now()
				result := target.Run(ctx, honest)
				require.Equal(t, time.Duration(c.seconds)*time.Second, time.Since(start))
				switch {
				case c.interrupted:
					require.Error(t, result.Err)
				case c.rejected:
					require.ErrorContains(t, result.Err, "the store is busy: it returned 504")
					require.Equal(t, 3, requests)
				default:
					require.NoError(t, result.Err)
					require.NoError(t, result.Unlike)
					require.Equal(t, c.times+1, requests)
				}
			})
		})
	}
}

// TestBusyStore checks that ResponseOf returns an error if the SDK reports that
// the store is busy, and otherwise the response.
func TestBusyStore(t *testing.T) {
	server := s3test.New()
	server.Fail(func(string, *http.Request) s3test.Fault { return s3test.SlowDown })
	bucket := s3test.DefaultBucket
	_, err := server.S3().ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket})
	_, err = conformance.ResponseOf(err)
	require.EqualError(t, err, "the store is busy: it returned 503 SlowDown")
	server.Fail(func(string, *http.Request) s3test.Fault { return s3test.AccessDenied })
	_, err = server.S3().ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket})
	response, err := conformance.ResponseOf(err)
	require.NoError(t, err)
	require.Equal(t, conformance.Response{Status: 403, Code: "AccessDenied"}, response)
}

// TestRejected checks that only some failures count as rejections.
func TestRejected(t *testing.T) {
	for response, want := range map[conformance.Response]bool{
		{Status: 403, Code: "SignatureDoesNotMatch"}: true,
		{Status: 400, Code: "Unheard"}:               true,
		{Status: 501, Code: "NotImplemented"}:        true,
		{Status: 501}:                                true,
		{Status: 405}:                                true,
		{Status: 200}:                                false,
		{Status: 303}:                                false,
		{Status: 307, Code: "TemporaryRedirect"}:     false,
		{Status: 403}:                                false, // A firewall returns no code.
		{Status: 400}:                                false,
		{Status: 400, Code: "RequestTimeout"}:        false,
		{Status: 400, Code: "ExpiredToken"}:          false,
		{Status: 409, Code: "OperationAborted"}:      false,
		{Status: 429, Code: "TooManyRequests"}:       false,
		{Status: 500, Code: "InternalError"}:         false,
		{Status: 503, Code: "SlowDown"}:              false,
	} {
		cheat := conformance.Case{Want: conformance.Response{Status: 404, Code: "NoSuchUpload"}}
		result := conformance.Result{Case: cheat, Response: response}
		require.Equal(t, want, result.Rejected(), response)
		if response.Status < 400 {
			continue
		}
		cheat.But = map[string]conformance.Deviation{
			"some": {Response: response, Reason: "is like that"},
		}
		require.True(t, conformance.Result{Case: cheat, Response: response}.Rejected(), response)
		cheat = conformance.Case{Want: response}
		require.True(t, conformance.Result{Case: cheat, Response: response}.Rejected(), response)
	}
}
