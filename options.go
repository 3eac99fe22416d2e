package presign

import (
	"errors"
	"log/slog"
	"net/http"
)

// SignerOption changes how a Signer behaves. Options are given to NewSigner.
type SignerOption func(*signerOptions) error

type signerOptions struct {
	publicEndpoint string
	withoutForms   bool
}

// WithPublicEndpoint signs for the endpoint that clients reach, where the service itself uses another one: in a cluster,
// say, the service talks to http://minio:9000 and browsers to https://s3.example.com. It is a URL of https or http,
// perhaps with a path, without the bucket; how the bucket is addressed follows from the client's options
// (s3.Options.UsePathStyle).
func WithPublicEndpoint(url string) SignerOption {
	return func(o *signerOptions) error {
		if url == "" {
			return errors.New("WithPublicEndpoint has no URL")
		}
		o.publicEndpoint = url
		return nil
	}
}

// WithoutForms says that the store does not take POST forms. Post then answers with a Violation, and the Handler grants
// PUTs alone. Cloudflare R2 and Backblaze B2 are known to be such stores by their host names.
func WithoutForms() SignerOption {
	return func(o *signerOptions) error {
		o.withoutForms = true
		return nil
	}
}

// HandlerOption changes how a Handler behaves. Options are given to NewHandler.
type HandlerOption func(*handlerOptions) error

// WithAuthorize has authorize decide each upload, after authentication and before anything is signed. It gets the
// upload as the Policy admits it, with Owner set, Type settled, and MinSize and MaxSize the bounds that will hold, both
// equal to Size if that is known. It may refuse, set Key, narrow sizes and lifetime (to zero is to refuse), or add metadata
// of any name; its result is held against the Policy again. What it puts into Key has to be fit for one segment: an owner
// such as "a/b" would be another one's folder (url.PathEscape helps). It runs once for each grant, concurrently for several.
//
// A *Problem is answered as it is, a *Violation (also several, joined) with 422. Any other error is logged and answered
// with 403, without its text.
func WithAuthorize(authorize func(*http.Request, *Upload) error) HandlerOption {
	return func(o *handlerOptions) error {
		switch {
		case authorize == nil:
			return errors.New("WithAuthorize has no function; leave it out if every upload that the Policy admits is granted")
		case o.authorize != nil:
			return errors.New("WithAuthorize is there twice; one function decides")
		}
		o.authorize = authorize
		return nil
	}
}

// WithLogger sets where the Handler logs what it does not tell clients; slog.Default() without it. No log record holds
// a credential, a signature or a presigned URL.
func WithLogger(logger *slog.Logger) HandlerOption {
	return func(o *handlerOptions) error {
		if logger == nil {
			return errors.New("WithLogger has no logger; slog.DiscardHandler makes one that logs nothing")
		}
		o.logger = logger
		return nil
	}
}

type handlerOptions struct {
	authorize func(*http.Request, *Upload) error
	logger    *slog.Logger
}
