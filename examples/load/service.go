package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/store"
)

const bucket = "load"

// policy allows only text.
var policy = presign.Policy{
	Prefix:      "incoming/",
	FinalPrefix: "files/",
	Types:       []string{"text/plain"},
	MaxSize:     64 << 20,
	Lifetime:    time.Minute,
	Checksum:    types.ChecksumAlgorithmCrc32c,
}

// A service is the service under load, with its store.
type service struct {
	url       string
	server    *http.Server
	ended     chan error // receives the error of Serve
	client    *http.Client
	store     *store.Server
	objects   *s3.Client
	sessions  *sessions
	completed atomic.Int64 // calls of the hook
}

// open starts a service whose credentials change at intervals of renewal.
func open(ctx context.Context, renewal time.Duration) (*service, error) {
	server, err := store.Start(ctx, "")
	if err != nil {
		return nil, err
	}
	s := &service{store: server, ended: make(chan error, 1)}
	s.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100},
		Timeout: time.Minute}
	s.objects = server.Client(func(o *s3.Options) { o.HTTPClient = s.client })
	s.sessions, err = newSessions(server, renewal)
	if err == nil {
		err = server.CreateBucket(ctx, bucket)
	}
	if err == nil {
		err = s.keepFolders(ctx)
	}
	if err == nil {
		err = s.serve()
	}
	if err != nil {
		return nil, errors.Join(err, server.Close())
	}
	return s, nil
}

func (s *service) serve() error {
	signing := s.store.Client(
		func(o *s3.Options) { o.Credentials, o.HTTPClient = s.sessions, s.client })
	signer, err := presign.NewSigner(signing, bucket, policy,
		presign.WithStore(s.objects), presign.WithSecret([]byte(strings.Repeat("secret, ", 4))),
		presign.WithOnComplete(func(context.Context, *presign.Object) error {
			s.completed.Add(1)
			return nil
		}))
	if err != nil {
		return err
	}
	handler, err := presign.NewHandler(signer,
		// A real service authenticates the user.
		func(r *http.Request) (string, error) { return r.Header.Get("User"), nil })
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/uploads/", http.StripPrefix("/uploads", handler))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.url = "http://" + listener.Addr().String() + "/uploads"
	s.server = &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		IdleTimeout: time.Minute,
	}
	go func() { s.ended <- s.server.Serve(listener) }()
	return nil
}

// folders lists the prefixes of the policy. The store implements prefixes as
// directories. It removes a directory with its last file, even while another
// file is being written. It keeps directories that were uploaded as objects.
var folders = []string{policy.Prefix, policy.FinalPrefix}

func (s *service) keepFolders(ctx context.Context) error {
	for _, folder := range folders {
		if _, err := s.objects.PutObject(ctx,
			&s3.PutObjectInput{Bucket: aws.String(bucket), Key: &folder}); err != nil {
			return err
		}
	}
	return nil
}

// checkEmpty returns an error if an object or multipart upload is left. Visitors
// complete all uploads and delete all objects.
func (s *service) checkEmpty(ctx context.Context) error {
	objects, err := s.objects.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
	if err != nil {
		return err
	}
	uploads, err := s.objects.ListMultipartUploads(ctx,
		&s3.ListMultipartUploadsInput{Bucket: aws.String(bucket)})
	if err != nil {
		return err
	}
	left := len(objects.Contents) - len(folders)
	if left != 0 || len(uploads.Uploads) > 0 {
		return fmt.Errorf("the bucket must be empty, got %d objects and %d multipart uploads", left,
			len(uploads.Uploads))
	}
	return nil
}

// close stops the service and its store.
func (s *service) close() error {
	s.client.CloseIdleConnections()
	closing, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := s.server.Shutdown(closing)
	if ended := <-s.ended; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return errors.Join(err, s.store.Close())
}
