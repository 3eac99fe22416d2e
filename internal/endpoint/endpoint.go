// Package endpoint finds out where the requests for a bucket go and for which region they are signed.
package endpoint

import (
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
)

// Endpoint is where the requests for one bucket go.
type Endpoint struct {
	Scheme, Host string // without the scheme's own port, as clients send it
	Base         string // the escaped path before a key, ending in "/"
	Region       string // that signatures name

	// NoForms is the reason why no POST form is taken there, or empty.
	NoForms string
}

// Bucket returns the URL of the bucket, where forms go.
func (e *Endpoint) Bucket() string {
	return e.Scheme + "://" + e.Host + strings.TrimSuffix(e.Base, "/")
}

// Resolve asks the SDK, by presigning an upload with credentials that mean nothing and no network, so that each of the
// client's options counts. Public, if not empty, is a URL that stands in for the client's endpoint.
//
// It refuses what the SDK lets pass but no presigned upload works with.
func Resolve(client *s3.Client, bucket, public string) (Endpoint, error) {
	switch {
	case client == nil:
		return Endpoint{}, errors.New("the client is nil")
	case bucket == "":
		return Endpoint{}, errors.New("the bucket's name is empty")
	case !strings.HasPrefix(bucket, "arn:") && strings.ContainsFunc(bucket, notInName):
		return Endpoint{}, fmt.Errorf("%q is not the name of a bucket", bucket)
	case !strings.HasPrefix(bucket, "arn:") && (strings.HasSuffix(bucket, "--ol-s3") ||
		strings.HasSuffix(bucket, "--table-s3") || strings.HasSuffix(bucket, ".mrap")):
		return Endpoint{}, fmt.Errorf("the bucket %s takes no uploads that can be presigned", bucket)
	case strings.HasSuffix(bucket, "--x-s3"):
		return Endpoint{}, fmt.Errorf("the bucket %s is a directory bucket of S3 Express, whose sessions end after five minutes; it is not supported", bucket)
	case client.Options().Region == "":
		return Endpoint{}, errors.New("the client has no region")
	}
	if public != "" {
		u, err := url.Parse(public)
		if err != nil {
			return Endpoint{}, errors.New("the public endpoint is not a URL such as https://s3.example.com")
		}
		if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return Endpoint{}, fmt.Errorf("the public endpoint %q is not a URL such as https://s3.example.com", u.Redacted())
		}
	}

	const key = "k"
	var signed request
	presigner := s3.NewPresignClient(client, func(o *s3.PresignOptions) {
		o.Presigner = &signed
		o.ClientOptions = append(o.ClientOptions, func(o *s3.Options) {
			o.Credentials = credentials.NewStaticCredentialsProvider("none", "none", "")
			o.ExpressCredentials = nil // the client's own would be given to this one, for good
			o.HTTPClient = offline{}
			o.RetryMaxAttempts = 1
			if public != "" {
				o.BaseEndpoint = &public
			}
		})
	})
	if _, err := presigner.PresignPutObject(context.Background(), &s3.PutObjectInput{Bucket: &bucket, Key: aws.String(key)}); err != nil {
		return Endpoint{}, fmt.Errorf("the bucket %s has no endpoint with the client's options: %w", bucket, err)
	}
	// Multi-Region access points and Outposts are signed otherwise, past the presigner or for every region.
	if signed.url == nil || signed.service != "s3" || signed.region == "" || strings.Contains(signed.region, "*") {
		return Endpoint{}, fmt.Errorf("the bucket %s needs signatures of another kind; multi-Region access points, Outposts and Object Lambda are not supported", bucket)
	}
	base, ok := strings.CutSuffix(signed.url.EscapedPath(), key)
	if !ok || !strings.HasSuffix(base, "/") {
		return Endpoint{}, fmt.Errorf("the endpoint of the bucket %s does not put keys at the end of its path", bucket)
	}
	e := Endpoint{Scheme: signed.url.Scheme, Host: strings.ToLower(withoutDefaultPort(signed.url)), Region: signed.region, Base: base}
	if strings.ContainsFunc(e.Host, func(c rune) bool { return c <= ' ' || c > '~' }) {
		// Clients send such a name in another form than the one that is signed.
		return Endpoint{}, fmt.Errorf("the endpoint's host %q is not ASCII; write it as xn--…", e.Host)
	}
	switch host := signed.url.Hostname(); {
	case within(host, "r2.cloudflarestorage.com"), within(host, "backblazeb2.com"):
		e.NoForms = "the provider behind " + host + " takes none"
	case strings.HasPrefix(bucket, "arn:"), strings.HasSuffix(bucket, "-s3alias"):
		e.NoForms = "S3 does not document them for access points"
	}
	return e, nil
}

// notInName reports what no store takes in the name of a bucket.
func notInName(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune(".-_:", c))
}

func within(host, domain string) bool {
	return host == domain || strings.HasSuffix(host, "."+domain)
}

func withoutDefaultPort(u *url.URL) string {
	if port := u.Port(); port == "" || u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		if host := u.Hostname(); strings.Contains(host, ":") {
			return "[" + host + "]"
		}
		return u.Hostname()
	}
	return net.JoinHostPort(u.Hostname(), u.Port())
}

// request is what the SDK would have signed.
type request struct {
	url             *url.URL
	service, region string
}

// PresignHTTP implements s3.HTTPPresignerV4.
func (r *request) PresignHTTP(_ context.Context, _ aws.Credentials, req *http.Request, _, service, region string, _ time.Time, _ ...func(*v4.SignerOptions)) (string, http.Header, error) {
	r.url, r.service, r.region = req.URL, service, region
	return req.URL.String(), nil, nil
}

// offline refuses every request, so that none is made while a Signer is constructed.
type offline struct{}

// Do implements s3.HTTPClient.
func (offline) Do(*http.Request) (*http.Response, error) {
	return nil, errors.New("finding the endpoint would take a request")
}
