package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/store"
)

// location is a bucket as the flags have it.
type location struct {
	bucket, region, endpoint    string
	pathStyle                   *bool
	prefix, final, origin       string
	profile, storeProfile, role string
}

func (l location) check() error {
	var faults []error
	if l.bucket == "" && (l.endpoint != "" || l.region != "" || l.profile != "" || l.storeProfile != "" || l.role != "") {
		faults = append(faults, errors.New("without -bucket there is nothing to say about where it is and whose it is"))
	}
	// The library knows what it takes. Where the bucket is, and with whose credentials, is no matter of that.
	client := s3.New(s3.Options{Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("none", "none", "")})
	if _, err := presign.NewSigner(client, cmp.Or(l.bucket, "doctor"), policy(l.prefix, l.final)); err != nil {
		faults = append(faults, fmt.Errorf("-bucket, -prefix and -final: %w", err))
	}
	if o, err := url.Parse(l.origin); l.origin != "" && (err != nil || o.Host == "" || l.origin != o.Scheme+"://"+o.Host) {
		faults = append(faults, fmt.Errorf("-origin is %q; an origin is scheme and host, such as https://app.example.com", l.origin))
	}
	return errors.Join(faults...)
}

// patient is a bucket to examine.
type patient struct {
	signing, store *s3.Client // two roles, or one
	bucket         string
	prefix, final  string // of a service's policy
	origin         string // empty if nobody said
	session        aws.Credentials
	sessionURL     string // the endpoint for session, if it is another one
	http           *http.Client
	own            string // the last part of the doctor's own prefixes
	close          func() error
}

const exampleOrigin = "https://app.example.com"

func (l location) open(ctx context.Context) (*patient, error) {
	p := &patient{
		bucket: l.bucket, prefix: l.prefix, final: l.final, origin: l.origin, http: newHTTPClient(),
		own: "doctor-" + strings.ToLower(rand.Text()[:12]) + "/", close: func() error { return nil },
	}
	if l.bucket == "" {
		return p, p.embed(ctx)
	}
	signing, cfg, err := l.client(ctx, l.profile)
	if err != nil {
		return nil, err
	}
	p.signing, p.store = signing, signing
	if l.storeProfile != "" {
		if p.store, _, err = l.client(ctx, l.storeProfile); err != nil {
			return nil, err
		}
	}
	if p.session, err = signing.Options().Credentials.Retrieve(ctx); err != nil {
		return nil, err
	}
	if p.session.SessionToken == "" {
		p.session = aws.Credentials{}
		if l.role != "" {
			if p.session, err = presign.AssumeRole(sts.NewFromConfig(cfg), l.role, nil).Retrieve(ctx); err != nil {
				return nil, fmt.Errorf("-role: %w", err)
			}
		}
	}
	return p, nil
}

// newHTTPClient returns a client that follows no redirect: the URL of a grant would go along as Referer.
func newHTTPClient() *http.Client {
	return &http.Client{
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// client returns a client with the credentials of a profile.
func (l location) client(ctx context.Context, profile string) (*s3.Client, aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(l.region), config.WithSharedConfigProfile(profile))
	if err != nil {
		return nil, cfg, err
	}
	if cfg.Region == "" {
		return nil, cfg, errors.New("-bucket needs a -region, or AWS_REGION")
	}
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		if l.endpoint != "" {
			o.BaseEndpoint = &l.endpoint
		}
		o.UsePathStyle = o.BaseEndpoint != nil // a bucket's own host name needs DNS for it
		if l.pathStyle != nil {
			o.UsePathStyle = *l.pathStyle
		}
		// What a store says to checksums is asked by the cases that are about them.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.DisableLogOutputChecksumValidationSkipped = true
	}), cfg, nil
}

// embed starts an S3 server with a bucket that is set up as one for uploads.
func (p *patient) embed(ctx context.Context) error {
	// Not until ctx ends: what was put goes first.
	server, err := store.Start(context.WithoutCancel(ctx), "")
	if err != nil {
		return err
	}
	p.bucket, p.origin, p.close = "doctor", cmp.Or(p.origin, exampleOrigin), server.Close
	p.signing = server.Client()
	p.store = p.signing
	p.session, err = server.SessionCredentials(time.Hour)
	if err = errors.Join(err, server.CreateBucket(ctx, p.bucket, p.origin)); err != nil {
		return errors.Join(err, server.Close())
	}
	return nil
}

// uploads is the prefix of what the doctor uploads, published that of what it copies.
func (p *patient) uploads() string { return p.prefix + p.own }

func (p *patient) published() string { return cmp.Or(p.final, p.prefix) + p.own }
