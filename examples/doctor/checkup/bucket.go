package checkup

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/s3presign/presign"
)

// A location describes a bucket and the roles, as set by flags.
type location struct {
	bucket, region, endpoint    string
	public                      string // endpoint that clients reach, if it differs
	pathStyle                   *bool
	prefix, final, origin       string
	profile, storeProfile, role string
	formless                    bool // forms are not checked
}

func (l location) check() error {
	var faults []error
	// NewSigner validates the parameters. The region and the credentials do not
	// matter.
	client := s3.New(s3.Options{
		Region:      "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("none", "none", ""),
	})
	if _, err := presign.NewSigner(client, cmp.Or(l.bucket, "doctor"), policy(l.prefix, l.final),
		l.options()...); err != nil {
		faults = append(faults, fmt.Errorf(
			"-bucket, -prefix, -final and -public-endpoint: %w", err))
	}
	o, err := url.Parse(l.origin)
	if l.origin != "" && (err != nil || o.Host == "" || l.origin != o.Scheme+"://"+o.Host) {
		faults = append(faults, fmt.Errorf(
			"-origin must be a scheme and a host, such as https://app.example.com, got %q",
			l.origin))
	}
	return errors.Join(faults...)
}

// missingBucket returns the error for a missing -bucket. The error lists the
// buckets that the credentials can list.
func (l location) missingBucket(ctx context.Context) error {
	missing := errors.New("-bucket must be set to the name of the bucket; -help lists all flags")
	client, _, err := l.client(ctx, l.profile, new(regionRecorder))
	if err != nil {
		return errors.Join(missing, err)
	}
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	out, err := client.ListBuckets(ctx, nil, func(o *s3.Options) { o.RetryMaxAttempts = 1 })
	if err != nil || len(out.Buckets) == 0 {
		return missing
	}
	var names []string
	for i, bucket := range out.Buckets {
		if i == listedBuckets {
			names = append(names, fmt.Sprintf("and %d more", len(out.Buckets)-i))
			break
		}
		names = append(names, strconv.Quote(aws.ToString(bucket.Name)))
	}
	return fmt.Errorf("%w\nthe credentials can list %s", missing, strings.Join(names, ", "))
}

const (
	listTime      = 5 * time.Second
	listedBuckets = 10
)

func (l location) options() []presign.SignerOption {
	if l.public == "" {
		return nil
	}
	return []presign.SignerOption{presign.WithPublicEndpoint(l.public)}
}

// An examiner examines a bucket.
type examiner struct {
	signing, store *s3.Client // the clients of two roles, or one client
	bucket         string
	prefix, final  string // of the policy of the service
	origin         string // empty if no flag set it
	options        []presign.SignerOption
	replace        bool // the store does not accept If-None-Match
	formless       bool // forms are not checked
	session        aws.Credentials
	sessionURL     string // the endpoint for session, if it differs
	http           *http.Client
	regions        *regionRecorder
	own            string // the last part of the prefixes of the doctor
	progress       func(done, all int)
}

const exampleOrigin = "https://app.example.com"

func (l location) open(ctx context.Context) (*examiner, error) {
	p := &examiner{
		bucket: l.bucket, prefix: l.prefix, final: l.final, origin: l.origin, options: l.options(),
		formless: l.formless, http: newHTTPClient(),
		regions: new(regionRecorder), own: "doctor-" + strings.ToLower(rand.Text()[:12]) + "/",
	}
	signing, cfg, err := l.client(ctx, l.profile, p.regions)
	if err != nil {
		return nil, err
	}
	p.signing, p.store = signing, signing
	if l.storeProfile != "" {
		if p.store, _, err = l.client(ctx, l.storeProfile, p.regions); err != nil {
			return nil, err
		}
	}
	if p.session, err = signing.Options().Credentials.Retrieve(ctx); err != nil {
		return nil, err
	}
	if p.session.SessionToken != "" {
		return p, nil
	}
	p.session = aws.Credentials{}
	if l.role != "" {
		if p.session, err = presign.AssumeRole(l.sts(cfg), l.role, nil).Retrieve(ctx); err != nil {
			return nil, fmt.Errorf("-role: %w", err)
		}
	}
	return p, nil
}

// sts returns a client of the STS of the endpoint, unless AWS_ENDPOINT_URL_STS
// is set.
func (l location) sts(cfg aws.Config) *sts.Client {
	return sts.NewFromConfig(cfg, func(o *sts.Options) {
		if endpoint := cmp.Or(l.endpoint, os.Getenv("AWS_ENDPOINT_URL_S3")); endpoint != "" &&
			os.Getenv("AWS_ENDPOINT_URL_STS") == "" {
			o.BaseEndpoint = &endpoint
		}
	})
}

// newHTTPClient returns a client that does not follow redirects. Otherwise it
// would send the URL of a grant as the Referer.
func newHTTPClient() *http.Client {
	return &http.Client{
		Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// client returns a client with the credentials of a profile. The recorder
// records the regions that the store names.
func (l location) client(
	ctx context.Context, profile string, recorder *regionRecorder,
) (*s3.Client, aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(l.region),
		config.WithSharedConfigProfile(profile))
	if err != nil {
		return nil, cfg, err
	}
	if cfg.Region == "" {
		return nil, cfg, errors.New(
			"-region or AWS_REGION must be set; many stores other than AWS accept us-east-1")
	}
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		if l.endpoint != "" {
			o.BaseEndpoint = &l.endpoint
		}
		o.UsePathStyle = o.BaseEndpoint != nil // A host name for each bucket needs DNS.
		if l.pathStyle != nil {
			o.UsePathStyle = *l.pathStyle
		}
		// Separate cases check how the store treats checksums.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.DisableLogOutputChecksumValidationSkipped = true
		recorder.client = cmp.Or[s3.HTTPClient](o.HTTPClient, awshttp.NewBuildableClient())
		o.HTTPClient = recorder
	}), cfg, nil
}

// A regionRecorder is an HTTP client that records the region in error responses
// of a store. It is safe for concurrent use.
type regionRecorder struct {
	client s3.HTTPClient

	mu     sync.Mutex
	region string
}

// Do implements s3.HTTPClient.
func (l *regionRecorder) Do(r *http.Request) (*http.Response, error) {
	response, err := l.client.Do(r)
	if err != nil || response.StatusCode < 300 {
		return response, err
	}
	region := response.Header.Get("x-amz-bucket-region")
	if body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10)); err == nil {
		var fault struct{ Region string }
		if xml.Unmarshal(body, &fault) == nil && fault.Region != "" {
			region = fault.Region
		}
		response.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(body), response.Body), response.Body}
	}
	if region != "" {
		l.mu.Lock()
		l.region = region
		l.mu.Unlock()
	}
	return response, nil
}

// last returns the last recorded region, or "".
func (l *regionRecorder) last() string {
	if l == nil {
		return ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.region
}

// uploads returns the prefix of the uploads of the doctor.
func (p *examiner) uploads() string { return p.prefix + p.own }

// published returns the prefix of the copies of the doctor.
func (p *examiner) published() string { return cmp.Or(p.final, p.prefix) + p.own }
