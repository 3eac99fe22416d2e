// Package endpoint determines the host and path for requests to a bucket, and
// the region for which they are signed.
package endpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign/internal/profile"
)

// An Endpoint is the address of one bucket.
type Endpoint struct {
	Scheme, Host string // without the default port of the scheme
	Base         string // the escaped path before a key, ending in "/"
	Region       string // the region in signatures

	// NoForms is the reason why POST forms are not possible, or empty.
	NoForms string
}

// Bucket returns the URL of the bucket, to which forms are posted.
func (e *Endpoint) Bucket() string {
	return e.Scheme + "://" + e.Host + strings.TrimSuffix(e.Base, "/")
}

// Resolve returns the endpoint that the SDK uses for a bucket. It presigns an
// upload with invalid credentials and without a network, so that all of the
// client's options take effect. If public is not empty, it must be a URL, which
// replaces the client's endpoint.
//
// Resolve also rejects endpoints that the SDK accepts but with which presigned
// uploads fail.
//
// # Domains that are bound to a bucket
//
// The SDK adds the bucket to the host or the path of an endpoint. Some domains
// lead to one bucket: a CNAME of the bucket, or a domain that a provider has
// bound to it. For such a domain, set Options.EndpointResolverV2 of the client
// to a resolver that returns the domain unchanged. Public has no effect on such
// a client.
func Resolve(client *s3.Client, bucket, public string) (Endpoint, error) {
	if err := checkBucket(client, bucket); err != nil {
		return Endpoint{}, err
	}
	if err := checkPublic(public); err != nil {
		return Endpoint{}, err
	}
	options := client.Options()
	if err := checkDoubled(cmp.Or(public, aws.ToString(options.BaseEndpoint)), bucket); err != nil {
		return Endpoint{}, err
	}

	const key = "k"
	var signed request
	presigner := s3.NewPresignClient(client, func(o *s3.PresignOptions) {
		o.Presigner = &signed
		o.ClientOptions = append(o.ClientOptions, func(o *s3.Options) {
			o.Credentials = credentials.NewStaticCredentialsProvider("none", "none", "")
			// Otherwise the SDK would bind the client's own provider to this
			// copy.
			o.ExpressCredentials = nil
			o.HTTPClient = offline{}
			o.RetryMaxAttempts = 1
			if public != "" {
				o.BaseEndpoint = &public
			}
		})
	})
	input := &s3.PutObjectInput{Bucket: &bucket, Key: aws.String(key)}
	if _, err := presigner.PresignPutObject(context.Background(), input); err != nil {
		return Endpoint{}, fmt.Errorf("the bucket %s has no endpoint with the client's options: %w",
			bucket, err)
	}
	// Requests to multi-Region access points and Outposts are signed for other
	// services or for all regions.
	if signed.url == nil || signed.service != "s3" || signed.region == "" || strings.Contains(signed.region, "*") {
		return Endpoint{}, fmt.Errorf(
			"the bucket %s needs signatures of another kind; "+
				"multi-Region access points, Outposts and Object Lambda are not supported", bucket)
	}
	base, ok := strings.CutSuffix(signed.url.EscapedPath(), key)
	if !ok || !strings.HasSuffix(base, "/") {
		return Endpoint{}, fmt.Errorf(
			"the endpoint of the bucket %s must have keys at the end of its path", bucket)
	}
	e := Endpoint{
		Scheme: signed.url.Scheme, Host: strings.ToLower(withoutDefaultPort(signed.url)),
		Region: signed.region, Base: base,
	}
	if strings.ContainsFunc(e.Host, func(c rune) bool { return c <= ' ' || c > '~' }) {
		// Clients send such a host in another form than the signed one.
		return Endpoint{}, fmt.Errorf(
			"the endpoint's host must be ASCII, got %q; write it as xn--…", e.Host)
	}
	e.NoForms = reasonForNoForms(signed.url.Hostname(), bucket)
	return e, nil
}

// reasonForNoForms returns the reason why POST forms are not possible, or "".
func reasonForNoForms(host, bucket string) string {
	switch {
	case !profile.Known(host).TakesForms():
		return "the provider behind " + host + " accepts no forms"
	case strings.HasPrefix(bucket, "arn:"), strings.HasSuffix(bucket, "-s3alias"):
		return "S3 does not document forms for access points"
	}
	return ""
}

// checkPublic returns an error unless a public endpoint is empty or a valid
// URL.
func checkPublic(public string) error {
	if public == "" {
		return nil
	}
	u, err := url.Parse(public)
	if err != nil {
		return errors.New("the public endpoint must be a URL such as https://s3.example.com")
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("the public endpoint must be a URL such as https://s3.example.com, got %q",
			u.Redacted())
	}
	return nil
}

// checkBucket returns an error if no upload to the bucket can be presigned, or
// if the client's region is wrong.
func checkBucket(client *s3.Client, bucket string) error {
	arn := strings.HasPrefix(bucket, "arn:")
	switch {
	case client == nil:
		return errors.New("the client must not be nil")
	case bucket == "":
		return errors.New("the bucket's name must not be empty")
	case !arn && strings.ContainsFunc(bucket, notInName):
		return fmt.Errorf("the bucket must have a valid name, got %q", bucket)
	case !arn && (strings.HasSuffix(bucket, "--ol-s3") ||
		strings.HasSuffix(bucket, "--table-s3") || strings.HasSuffix(bucket, ".mrap")):
		return fmt.Errorf("the bucket %s takes no uploads that can be presigned", bucket)
	case strings.HasSuffix(bucket, "--x-s3"):
		return fmt.Errorf(
			"the bucket %s is a directory bucket of S3 Express, "+
				"whose sessions end after five minutes; it is not supported", bucket)
	}
	switch region := client.Options().Region; {
	case region == "":
		return errors.New("the client must have a region")
	case region != strings.ToLower(region):
		return fmt.Errorf("the client's region must be in lower case, got %q: use %q",
			region, strings.ToLower(region))
	}
	return nil
}

// checkDoubled returns an error if an endpoint already names the bucket. The
// SDK would add the bucket again.
func checkDoubled(endpoint, bucket string) error {
	const bound = "if the domain is bound to the bucket, " +
		"set the client's EndpointResolverV2 to a resolver that returns the domain"
	u, err := url.Parse(endpoint)
	if endpoint == "" || err != nil || strings.HasPrefix(bucket, "arn:") ||
		isProviderHost(u.Hostname()) && strings.Trim(u.Path, "/") == "" {
		return nil
	}
	path := strings.TrimRight(u.Path, "/")
	// Without its user, the URL contains no password.
	got := url.URL{Scheme: u.Scheme, Host: u.Host, Path: path}
	use := got
	switch rest, inHost := strings.CutPrefix(u.Host, bucket+"."); {
	case path == "/"+bucket, strings.HasSuffix(path, "/"+bucket):
		use.Path = strings.TrimSuffix(path, "/"+bucket)
		return fmt.Errorf("the endpoint must not name the bucket %q, got %q: use %q",
			bucket, &got, &use)
	case net.ParseIP(u.Hostname()) != nil:
		return nil
	case inHost && strings.Contains(rest, "."):
		use.Host = rest
		return fmt.Errorf("the endpoint must not name the bucket %q, got %q: use %q, or %s",
			bucket, &got, &use, bound)
	case u.Hostname() == bucket && strings.Contains(bucket, "."):
		return fmt.Errorf("the endpoint must not be the bucket %q itself, got %q: %s",
			bucket, &got, bound)
	}
	return nil
}

// isProviderHost reports whether a host is a provider's endpoint. Its first
// label, such as "s3" or "storage", can also be the name of a bucket.
func isProviderHost(host string) bool {
	region, aws := strings.CutSuffix(strings.TrimSuffix(host, ".cn"), ".amazonaws.com")
	return host == "storage.googleapis.com" || aws && (region == "s3" ||
		strings.HasPrefix(region, "s3.") || strings.HasPrefix(region, "s3-"))
}

// notInName reports whether a character cannot be in the name of a bucket.
func notInName(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.ContainsRune(".-_:", c))
}

func withoutDefaultPort(u *url.URL) string {
	if port := u.Port(); port == "" || u.Scheme == "https" && port == "443" ||
		u.Scheme == "http" && port == "80" {
		if host := u.Hostname(); strings.Contains(host, ":") {
			return "[" + host + "]"
		}
		return u.Hostname()
	}
	return net.JoinHostPort(u.Hostname(), u.Port())
}

// A request records the request that the SDK would have signed.
type request struct {
	url             *url.URL
	service, region string
}

// PresignHTTP implements s3.HTTPPresignerV4.
func (r *request) PresignHTTP(
	_ context.Context, _ aws.Credentials, req *http.Request, _, service, region string,
	_ time.Time, _ ...func(*v4.SignerOptions),
) (string, http.Header, error) {
	r.url, r.service, r.region = req.URL, service, region
	return req.URL.String(), nil, nil
}

// offline rejects every request, so that NewSigner does not make requests.
type offline struct{}

// Do implements s3.HTTPClient.
func (offline) Do(*http.Request) (*http.Response, error) {
	return nil, errors.New("the endpoint must not depend on a request")
}
