package presign

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// SignerOption changes how a Signer behaves. Options are given to NewSigner.
type SignerOption func(*signerOptions) error

type signerOptions struct {
	store          *s3.Client
	secrets        [][]byte
	publicEndpoint string
	withoutForms   bool
}

// WithStore has a client of its own do all that is not signing: read, copy and delete in Complete, and begin, list, complete
// and abort uploads in parts. The client of NewSigner then signs and does nothing else, and its credentials need
// s3:PutObject under Policy.Prefix alone. Away from AWS that matters: several stores obey an unsigned x-amz-copy-source on
// a presigned PUT, by which a grant reads what its signer may read. Without WithStore the client of NewSigner does both.
func WithStore(client *s3.Client) SignerOption {
	return func(o *signerOptions) error {
		if client == nil {
			return errors.New("WithStore has no client")
		}
		o.store = client
		return nil
	}
}

// WithSecret sets the keys that seal grants into the objects they are for: 32 random bytes or more each, the same in every
// replica. The first seals and all open, so that a key is replaced in three steps: (old, new), (new, old), (new).
// Without WithSecret a random one is made: what is uploading when the process ends can then never be completed, and no
// other replica can complete it.
//
// The seal is bound to the endpoint's host, the bucket, Policy.Prefix and Policy.FinalPrefix as well: whoever completes
// needs a Signer with the same, WithPublicEndpoint included. Signers with different policies share no prefixes, best; where
// they do, what one granted completes at the other only if the other's Policy admits it, too, and is deleted there if it
// does not.
func WithSecret(keys ...[]byte) SignerOption {
	return func(o *signerOptions) error {
		o.secrets = append([][]byte{}, keys...)
		return nil
	}
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
// of any name; its result is held against the Policy again, and Owner stays as it was. A Key that ends in "/" is a folder,
// to which a random part and the name are added; one that does not is the object's own, the same for every file. What is
// put into Key has to be fit for one segment: an owner such as "a/b" would be another one's folder (hex.EncodeToString helps).
// It runs once for each grant, concurrently for several.
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

// WithOnComplete has hook called for each upload that was completed, before the client is told, with what the store now
// holds. It is called at least once for each, perhaps again, perhaps for one upload in several replicas at once:
// Object.GrantID is the same then. The context outlives the request, for 30 seconds. An error is logged, the client gets
// 500 (or what a *Problem says, or 422 for a *Violation) and may complete the upload again; what was published stays, and
// so does the upload, until a lifecycle rule removes it. Several hooks are called in the order in which they were given,
// until one fails. Signer.Complete calls none.
func WithOnComplete(hook func(context.Context, *Object) error) HandlerOption {
	return func(o *handlerOptions) error {
		if hook == nil {
			return errors.New("WithOnComplete has no function")
		}
		o.onComplete = append(o.onComplete, hook)
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
	authorize  func(*http.Request, *Upload) error
	onComplete []func(context.Context, *Object) error
	logger     *slog.Logger
}
