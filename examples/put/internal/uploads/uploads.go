// Package uploads provides the service that put starts. Users with passwords
// upload files of any type.
package uploads

import (
	"crypto/subtle"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign"
)

// Policy is the default policy.
var Policy = presign.Policy{
	Prefix: "incoming/", FinalPrefix: "files/", Types: []string{"*/*"}, MaxSize: 1 << 40,
}

// New returns the service with its handler below /uploads/. The map users has
// passwords by name.
func New(
	client *s3.Client, bucket string, policy presign.Policy, users map[string]string,
	opts ...presign.SignerOption,
) (http.Handler, error) {
	signer, err := presign.NewSigner(client, bucket, policy, opts...)
	if err != nil {
		return nil, err
	}
	uploads, err := presign.NewHandler(signer, func(r *http.Request) (string, error) {
		user, password, _ := r.BasicAuth()
		want, known := users[user]
		if subtle.ConstantTimeCompare([]byte(password), []byte(want)) != 1 || !known {
			return "", &presign.Problem{
				Status: http.StatusUnauthorized, Detail: "The user or the password is wrong.",
			}
		}
		return user, nil
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/uploads/", http.StripPrefix("/uploads", uploads))
	return mux, nil
}

// NewServer returns a server for the handler. The write timeout is longer than
// the 25 seconds within which a Handler responds.
func NewServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      6 * time.Minute,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
}
