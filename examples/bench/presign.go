package main

import (
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/s3presign/presign"
)

// secret seals. That of a service is random.
var secret = []byte(strings.Repeat("secret, ", 4))

// signer returns a Signer of this library.
func (s site) signer(provider aws.CredentialsProvider) (*presign.Signer, error) {
	return presign.NewSigner(s.client(provider), bucketName, policy, presign.WithSecret(secret))
}

// handler returns the service of this library.
func (s site) handler() (http.Handler, error) {
	signer, err := s.signer(nil)
	if err != nil {
		return nil, err
	}
	return presign.NewHandler(signer, func(*http.Request) (string, error) { return document.Owner, nil })
}
