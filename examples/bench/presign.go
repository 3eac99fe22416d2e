package main

import (
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign"
)

// secret seals the grants. A real service has a random secret.
var secret = []byte(strings.Repeat("secret, ", 4))

func newSigner(client *s3.Client) (*presign.Signer, error) {
	return presign.NewSigner(client, bucketName, policy, presign.WithSecret(secret))
}

// handler returns the service of this library.
func (s site) handler() (http.Handler, error) {
	signer, err := newSigner(s.client(nil))
	if err != nil {
		return nil, err
	}
	return presign.NewHandler(signer,
		func(*http.Request) (string, error) { return document.Owner, nil })
}
