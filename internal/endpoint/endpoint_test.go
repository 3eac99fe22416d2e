package endpoint_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/endpoint"
)

// FuzzResolve: what an endpoint is made of makes the URL of a bucket that a client reads as it was meant, with room for a
// key behind it; no error shows what may be a password.
func FuzzResolve(f *testing.F) {
	f.Add("bucket", "eu-central-1", "", "", false)
	f.Add("my.bucket", "us-east-1", "https://s3.example.com:8443/a%2Fb/", "", true)
	f.Add("bucket", "auto", "http://[::1]:80", "https://files.example.com/s3?a=b", true)
	f.Add("bucket", "us-west-2", "http://minio:9000", "https://user:hunter2@example.com", false)
	f.Add("arn:aws:s3:us-west-2:123456789012:accesspoint/photos", "us-west-2", "", "", false)
	f.Add("bucket--euc1-az1--x-s3", "eu-central-1", "", "HTTPS://EXAMPLE.com:443", false)
	f.Add("b", "r", "", "https://a b.example", true)
	f.Add("0", "0", "http://\xef\xbf\xbd", "", true) // which clients send as another host
	f.Add("0", "0", "", "https://bücher.example", false)
	f.Fuzz(func(t *testing.T, bucket, region, base, public string, pathStyle bool) {
		client := s3.New(s3.Options{
			Region: region, UsePathStyle: pathStyle, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		}, func(o *s3.Options) {
			if base != "" {
				o.BaseEndpoint = &base
			}
		})
		e, err := endpoint.Resolve(client, bucket, public)
		if err != nil {
			require.Zero(t, e)
			if public, parseErr := url.Parse(public); parseErr == nil {
				if password, ok := public.User.Password(); ok && len(password) > 3 && !strings.Contains(bucket+base, password) {
					require.NotContains(t, err.Error(), password)
				}
			}
			return
		}
		require.NotEmpty(t, e.Region)
		require.Regexp(t, "^/(.*/)?$", e.Base)
		u, err := url.Parse(e.Scheme + "://" + e.Host + e.Base + "key")
		require.NoError(t, err)
		require.Contains(t, []string{"http", "https"}, u.Scheme)
		require.Equal(t, e.Host, u.Host)
		require.Equal(t, e.Base+"key", u.EscapedPath())
		require.Empty(t, u.RawQuery+u.Fragment)
		require.Nil(t, u.User)
		require.Equal(t, e.Bucket()+"/key", u.String())
	})
}

// counter is an HTTP client that counts and fails.
type counter struct{ requests atomic.Int32 }

func (c *counter) Do(*http.Request) (*http.Response, error) {
	c.requests.Add(1)
	return nil, errors.New("counted")
}

// TestClientStaysAsItIs: services have one client for all they do, S3 Express among it, and make Signers as they need them.
func TestClientStaysAsItIs(t *testing.T) {
	wire := new(counter)
	client := s3.New(s3.Options{
		Region: "us-east-1", HTTPClient: wire, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "secret", ""),
	})
	var callers sync.WaitGroup // which must not meet in the client
	for range 8 {
		callers.Go(func() {
			_, err := endpoint.Resolve(client, "bucket", "")
			if err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	require.Zero(t, wire.requests.Load())

	_, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{
		Bucket: aws.String("bucket--use1-az4--x-s3"), Key: aws.String("k"),
	})
	require.ErrorContains(t, err, "counted")
	require.EqualValues(t, 1, wire.requests.Load(), "its session is asked for by another client")
}
