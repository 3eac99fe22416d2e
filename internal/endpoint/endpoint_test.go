package endpoint_test

import (
	"context"
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
	smithyendpoints "github.com/aws/smithy-go/endpoints"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/endpoint"
)

// newClient returns a client for an endpoint.
func newClient(base, region string, options ...func(*s3.Options)) *s3.Client {
	setBase := func(o *s3.Options) {
		if base != "" {
			o.BaseEndpoint = &base
		}
	}
	return s3.New(s3.Options{
		Region: region, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	}, append(options, setBase)...)
}

func TestResolveRejectsEndpointsThatNameTheBucket(t *testing.T) {
	pathStyle := func(o *s3.Options) { o.UsePathStyle = true }
	for _, c := range []struct{ endpoint, bucket, want string }{
		{"https://ACCOUNT.r2.cloudflarestorage.com/bucket", "bucket", `use "https://ACCOUNT.r2.cloudflarestorage.com"`},
		{"https://ACCOUNT.r2.cloudflarestorage.com/bucket/", "bucket", `use "https://ACCOUNT.r2.cloudflarestorage.com"`},
		{"https://ACCOUNT.eu.r2.cloudflarestorage.com/bucket", "bucket", `use "https://ACCOUNT.eu.r2.cloudflarestorage.com"`},
		{"https://bucket.ACCOUNT.r2.cloudflarestorage.com", "bucket", `use "https://ACCOUNT.r2.cloudflarestorage.com"`},
		{"https://bucket.nyc3.digitaloceanspaces.com", "bucket", `use "https://nyc3.digitaloceanspaces.com"`},
		{"https://my.bucket.nyc3.digitaloceanspaces.com", "my.bucket", `use "https://nyc3.digitaloceanspaces.com"`},
		{"https://bucket.s3.eu-central-1.amazonaws.com", "bucket", `use "https://s3.eu-central-1.amazonaws.com"`},
		{"https://s3.eu-central-1.amazonaws.com/bucket", "bucket", `use "https://s3.eu-central-1.amazonaws.com"`},
		{"https://storage.googleapis.com/bucket", "bucket", `use "https://storage.googleapis.com"`},
		{"https://bucket.storage.googleapis.com", "bucket", `use "https://storage.googleapis.com"`},
		{"http://minio:9000/bucket", "bucket", `use "http://minio:9000"`},
		{"https://s3.example.com:8443/gateway/bucket", "bucket", `use "https://s3.example.com:8443/gateway"`},
		{"https://media.example.com", "media", `use "https://example.com", or if the domain is bound to the bucket, set the client's EndpointResolverV2`},
		{"https://files.example.com", "files.example.com", "set the client's EndpointResolverV2"},
		{"https://user:hunter2@bucket.s3.example.com", "bucket", `got "https://bucket.s3.example.com"`},
	} {
		for _, option := range []func(*s3.Options){pathStyle, func(*s3.Options) {}} {
			_, err := endpoint.Resolve(newClient(c.endpoint, "auto", option), c.bucket, "")
			require.ErrorContains(t, err, "the endpoint must not ", c.endpoint)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "hunter2")
			if !strings.Contains(c.endpoint, "@") {
				client := newClient("http://minio:9000", "auto", option)
				_, err = endpoint.Resolve(client, c.bucket, c.endpoint)
				require.ErrorContains(t, err, c.want)
			}
		}
	}
	for _, c := range []struct{ endpoint, bucket string }{
		{"https://ACCOUNT.r2.cloudflarestorage.com", "bucket"},
		{"https://s3.example.com", "buckets"}, {"https://s3.example.com/buckets", "bucket"},
		{"https://s3.eu-central-1.amazonaws.com", "s3"},
		{"https://storage.googleapis.com", "storage"}, {"http://minio:9000", "minio"},
		{"http://127.0.0.1:9000", "127"}, {"https://bucket-store.example.com", "bucket"},
		{"http://localhost:9000", "bucket"},
		{"https://s3.cn-north-1.amazonaws.com.cn", "s3"},
	} {
		_, err := endpoint.Resolve(newClient(c.endpoint, "auto", pathStyle), c.bucket, "")
		require.NoError(t, err, c.endpoint)
	}
}

func TestResolveRejectsRegionsInTheWrongCase(t *testing.T) {
	for _, region := range []string{"EU-Central-1", "US-EAST-1", "Auto"} {
		_, err := endpoint.Resolve(newClient("https://s3.example.com", region), "bucket", "")
		require.EqualError(t, err, "the client's region must be in lower case, got \""+region+
			"\": use \""+strings.ToLower(region)+"\"")
	}
}

// boundDomain resolves every bucket to one domain.
type boundDomain url.URL

func (d boundDomain) ResolveEndpoint(
	context.Context, s3.EndpointParameters,
) (smithyendpoints.Endpoint, error) {
	return smithyendpoints.Endpoint{URI: url.URL(d)}, nil
}

// TestResolveBoundDomain checks that a resolver can return a domain that is
// bound to a bucket.
func TestResolveBoundDomain(t *testing.T) {
	for _, bucket := range []string{"media", "files.example.com"} {
		for _, domain := range []string{"files.example.com", "media.example.com"} {
			client := newClient("", "eu-central-1", func(o *s3.Options) {
				o.EndpointResolverV2 = boundDomain{Scheme: "https", Host: domain}
			})
			e, err := endpoint.Resolve(client, bucket, "")
			require.NoError(t, err)
			require.Equal(t, endpoint.Endpoint{
				Scheme: "https", Host: domain, Base: "/", Region: "eu-central-1",
			}, e)
			require.Equal(t, "https://"+domain, e.Bucket())
		}
	}
}

// FuzzResolve checks that the URL of an accepted endpoint can be parsed again
// and ends before the key. It also checks that no error contains a password.
func FuzzResolve(f *testing.F) {
	f.Add("bucket", "eu-central-1", "", "", false)
	f.Add("my.bucket", "us-east-1", "https://s3.example.com:8443/a%2Fb/", "", true)
	f.Add("bucket", "auto", "http://[::1]:80", "https://files.example.com/s3?a=b", true)
	f.Add("bucket", "us-west-2", "http://minio:9000", "https://user:hunter2@example.com", false)
	f.Add("arn:aws:s3:us-west-2:123456789012:accesspoint/photos", "us-west-2", "", "", false)
	f.Add("bucket--euc1-az1--x-s3", "eu-central-1", "", "HTTPS://EXAMPLE.com:443", false)
	f.Add("b", "r", "", "https://a b.example", true)
	f.Add("0", "0", "http://\xef\xbf\xbd", "", true) // Clients change this host.
	f.Add("0", "0", "", "https://bücher.example", false)
	f.Fuzz(func(t *testing.T, bucket, region, base, public string, pathStyle bool) {
		client := s3.New(s3.Options{
			Region: region, UsePathStyle: pathStyle,
			Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		}, func(o *s3.Options) {
			if base != "" {
				o.BaseEndpoint = &base
			}
		})
		e, err := endpoint.Resolve(client, bucket, public)
		if err != nil {
			require.Zero(t, e)
			if public, parseErr := url.Parse(public); parseErr == nil {
				if password, ok := public.User.Password(); ok && len(password) > 3 &&
					!strings.Contains(bucket+base, password) {
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

// TestResolveKeepsClient checks that Resolve does not change the client, which
// services share with other code, such as S3 Express.
func TestResolveKeepsClient(t *testing.T) {
	wire := new(counter)
	client := s3.New(s3.Options{
		Region: "us-east-1", HTTPClient: wire, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "secret", ""),
	})
	var callers sync.WaitGroup // The race detector finds changes of the client.
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
	require.EqualValues(t, 1, wire.requests.Load(), "another client requests its session")
}
