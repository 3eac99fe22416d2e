package presign

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign/internal/completion"
	"github.com/s3presign/presign/internal/endpoint"
	"github.com/s3presign/presign/internal/httpbody"
	"github.com/s3presign/presign/internal/profile"
	"github.com/s3presign/presign/internal/rules"
	"github.com/s3presign/presign/internal/s3limit"
)

// hookTime is the limit for one call of a function of WithOnComplete.
const hookTime = 30 * time.Second

// A SignerOption changes how a Signer behaves. Options are passed to NewSigner.
type SignerOption func(*signerOptions) error

type signerOptions struct {
	store          *s3.Client
	secrets        [][]byte
	publicEndpoint string
	withoutForms   bool
	profile        *profile.Profile
	hooks
}

// applyOptions applies opts to target and returns the faults of each.
func applyOptions[T any, O ~func(*T) error](target *T, opts []O) (faults []error) {
	for i, opt := range opts {
		if opt == nil {
			faults = append(faults, fmt.Errorf("presign: option %d must not be nil", i+1))
		} else if err := opt(target); err != nil {
			faults = append(faults, fmt.Errorf("presign: %w", err))
		}
	}
	return faults
}

// hooks calls the functions of WithInspect, WithOnComplete and WithObserver.
type hooks struct {
	inspect    func(context.Context, *Object) error
	onComplete []func(context.Context, *Object) error
	observer   func(context.Context, Event)
	logger     *slog.Logger
}

// call calls a function of the service. It turns a panic into an error, because
// some calls run outside net/http's own recovery.
func (h *hooks) call(ctx context.Context, option string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("presign: the function of %s panicked: %v", option, p)
			h.logger.ErrorContext(ctx, "presign: a hook panicked", slog.String("option", option),
				slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		}
	}()
	return f()
}

// inspectUpload calls the function of WithInspect.
func (h *hooks) inspectUpload(
	ctx context.Context, object *completion.Object,
) ([]*rules.Violation, error) {
	err := h.call(ctx, "WithInspect", func() error { return h.inspect(ctx, publicObject(object)) })
	switch {
	case err == nil:
		return nil, nil
	case isViolations(err):
		var violations []*rules.Violation
		for _, v := range rules.Find[Violation](err) {
			violations = append(violations, (*rules.Violation)(v))
		}
		return violations, nil
	case errors.Is(err, ErrPending), errors.Is(err, ErrChanged): // Object.Open returns ErrChanged.
		return nil, err
	}
	return nil, &serviceError{err}
}

// finish calls the functions of WithOnComplete and keeps the reply.
func (h *hooks) finish(ctx context.Context, object *completion.Object) error {
	for _, f := range h.onComplete {
		o := publicObject(object)
		err := h.call(ctx, "WithOnComplete", func() error {
			ctx, cancel := context.WithTimeout(ctx, hookTime)
			defer cancel()
			if err := f(ctx, o); err != nil {
				return err
			}
			// A reply that cannot be sent must fail now, while the upload can
			// still be completed again.
			_, err := httpbody.Marshal(o.Reply)
			return err
		})
		if err != nil {
			return &serviceError{err}
		}
		object.Reply = o.Reply
	}
	return nil
}

// observe calls the function of WithObserver.
func (h *hooks) observe(ctx context.Context, e Event) {
	if h.observer == nil {
		return
	}
	if call, ok := ctx.Value(requestKey{}).(*atomic.Pointer[http.Request]); ok {
		e.Request = call.Load()
	}
	_ = h.call(ctx, "WithObserver", func() error { h.observer(ctx, e); return nil })
}

// observeMultipart reports the end of a call about a multipart upload. Kind is
// empty for calls that are reported only if they fail.
func (h *hooks) observeMultipart(ctx context.Context, kind string, started time.Time, e Event) {
	e.Kind, e.Method, e.Duration = kind, rules.Multipart, time.Since(started)
	if rejected, ok := asRejected(e.Err); ok {
		e.Kind, e.Object = "rejected", rejected.Object
	} else if e.Err != nil {
		e.Kind = "failed"
	}
	if e.Kind != "" {
		h.observe(ctx, e)
	}
}

// requestKey is the key of a context value that holds the request that a
// Handler serves, until ServeHTTP returns.
type requestKey struct{}

// observeCompletion reports the end of a completion.
func (h *hooks) observeCompletion(ctx context.Context, o *completion.Outcome) {
	e := Event{
		Kind: "failed", Key: o.Key, Size: o.Size, Err: publicError(o.Err), Duration: o.Duration,
	}
	if o.Granted != nil {
		e.GrantID = hex.EncodeToString(o.Granted.ID[:])
		e.Owner, e.Type = o.Granted.Owner, o.Granted.Type
		e.Method = [...]string{rules.PUT, rules.POST, rules.Multipart}[o.Granted.Method]
	}
	rejected, isRejected := asRejected(e.Err)
	switch {
	case o.Result != nil:
		e.Kind, e.Object = "completed", publicObject(o.Result.Object)
		if o.Result.Repeated {
			e.Kind = "repeated"
		}
		e.Size = e.Object.Size
	case isRejected:
		e.Kind, e.Object = "rejected", rejected.Object
		if e.GrantID == "" { // An earlier request has read the grant.
			e.GrantID, e.Owner = rejected.Object.GrantID, rejected.Object.Owner
			e.Type, e.Size = rejected.Object.Type, rejected.Object.Size
		}
	case errors.Is(e.Err, ErrPending) && !isServiceError(e.Err):
		e.Kind = "pending"
	}
	h.observe(ctx, e)
}

// WithStore sets the client used for everything except signing: reading,
// copying and deleting during completion, and starting, listing, completing and
// aborting multipart uploads. The client of NewSigner then only signs, and its
// credentials need s3:PutObject under Policy.Prefix alone.
//
// Outside AWS, use two separate roles. Several stores honor an unsigned
// x-amz-copy-source on a presigned PUT: the holder of a grant can then read
// everything that the signing role may read.
//
// Without WithStore, the client of NewSigner signs and makes all requests.
func WithStore(client *s3.Client) SignerOption {
	return func(o *signerOptions) error {
		if client == nil {
			return errors.New("WithStore must have a client")
		}
		o.store = client
		return nil
	}
}

// WithSecret sets the keys that seal each grant into its object. Each key must
// have at least 32 random bytes, and every replica must have the same keys.
//
// The first key seals, and all keys open, so a key is replaced in three steps:
// (old, new), (new, old), (new).
//
// Without WithSecret, the Signer makes a random key. Uploads that are under way
// when the process ends can then never be completed, and other replicas cannot
// complete them.
//
//	WithSecret(key)                      // permitted: 32 random bytes or more
//	WithSecret(current, previous)        // permitted: previous still opens
//	WithSecret([]byte("password"))       // rejected: too short
//	WithSecret(make([]byte, 32))         // rejected: one byte repeated
//	WithSecret([]byte(os.Getenv("KEY"))) // rejected if the variable is unset
//
// The seal is also bound to the endpoint's host, the bucket, Policy.Prefix and
// Policy.FinalPrefix. Only a Signer with the same values, including
// WithPublicEndpoint, can complete an upload. Signers with different policies
// should not share prefixes. If they do, a Signer rejects uploads of another
// Signer that its own Policy does not allow.
func WithSecret(keys ...[]byte) SignerOption {
	return func(o *signerOptions) error {
		o.secrets = append([][]byte{}, keys...)
		return nil
	}
}

// WithPublicEndpoint sets the endpoint that clients use, if the service uses
// another endpoint. In a cluster, for example, the service reaches
// http://minio:9000 and browsers reach https://s3.example.com. The URL must be
// https or http, and can have a path. It must not name the bucket: the client's
// options decide how the bucket is addressed (s3.Options.UsePathStyle). For a
// domain that is bound to the bucket, see the example of NewSigner.
//
// A proxy between clients and the store must keep the Host and the path of
// requests, because a presigned URL signs both. If the proxy changes Host or
// path, the store rejects every PUT with 403 SignatureDoesNotMatch. The store
// still accepts forms, because they do not sign Host and path.
func WithPublicEndpoint(url string) SignerOption {
	return func(o *signerOptions) error {
		if url == "" {
			return errors.New("WithPublicEndpoint must have a URL")
		}
		o.publicEndpoint = url
		return nil
	}
}

// WithoutForms declares that the store does not support POST forms. Post then
// returns a violation, and the Handler grants only PUTs and multipart uploads.
// Cloudflare R2 and Backblaze B2 are recognized by their host names.
func WithoutForms() SignerOption {
	return func(o *signerOptions) error {
		o.withoutForms = true
		return nil
	}
}

// WithProfile sets a profile of the constraints that the store enforces.
// "doctor -json" of examples/doctor prints such a profile. NewSigner then
// rejects a Policy that relies on a constraint that the store does not enforce.
// The error names the constraint and what to do instead. NewSigner also rejects
// a profile of another host or bucket. It does not check constraints that are
// not in the profile.
//
// Some stores reject parts without their own checksum if the Policy has a
// Checksum. If the profile is of such a store, a violation is returned by
//   - [Multipart.SignParts],
//   - [Multipart.SignPart] without Part.Checksum, and
//   - the multipart routes of [WithUppy], because Uppy sends no checksums of
//     parts.
//
// Amazon S3, Cloudflare R2, Backblaze B2 and Google Cloud Storage are
// recognized by their host names, and need no profile.
func WithProfile(document []byte) SignerOption {
	return func(o *signerOptions) (err error) {
		if o.profile, err = profile.Parse(document); err != nil {
			return fmt.Errorf("WithProfile: %w", err)
		}
		return nil
	}
}

// checkProfile returns an error for each constraint that the Signer relies on
// and the store does not enforce.
func (o *signerOptions) checkProfile(
	r *rules.Rules, e endpoint.Endpoint, bucket string, twoRoles bool,
) (faults []error) {
	needs := profile.Needs{
		Forms: !o.withoutForms && e.NoForms == "" && r.Formless == "",
		Large: r.MaxSize > s3limit.RequestSize, FinalPrefix: r.FinalPrefix != "",
		Replace: r.Replace, TwoRoles: twoRoles, Checksum: string(r.Checksum),
	}
	for _, h := range r.UploadHeaders {
		needs.Headers = append(needs.Headers, h.Name)
	}
	for _, h := range r.CopyHeaders {
		needs.CopyHeaders = append(needs.CopyHeaders, h.Name)
	}
	if known := profile.Known(e.Host); known != nil {
		for _, fault := range known.Profile.Check(needs) {
			faults = append(faults, fmt.Errorf("presign: %s: %w", known.Name, fault))
		}
	}
	if o.profile == nil {
		return faults
	}
	if err := o.profile.CheckBucket(e.Host, bucket); err != nil {
		return append(faults, fmt.Errorf("presign: WithProfile: %w", err))
	}
	for _, fault := range o.profile.Check(needs) {
		faults = append(faults, fmt.Errorf("presign: WithProfile: %w", fault))
	}
	return faults
}

// rejectsBareParts reports whether a store is known to reject parts without
// their own checksum.
func (o *signerOptions) rejectsBareParts(host string) bool {
	known := profile.Known(host)
	return known != nil && known.Profile.RejectsBareParts() ||
		o.profile != nil && o.profile.RejectsBareParts()
}

// WithLogger sets the logger of the Signer and of its Handlers. The default is
// slog.Default(). Each request that was not served and each completion that was
// rejected has one record. The attributes owner, key, grant_id, status and
// field are set as far as they are known. No record contains a credential, a
// signature or a presigned URL.
func WithLogger(logger *slog.Logger) SignerOption {
	return func(o *signerOptions) error {
		if logger == nil {
			return errors.New("WithLogger must have a logger; slog.New(slog.DiscardHandler) logs nothing")
		}
		o.logger = logger
		return nil
	}
}

// WithInspect sets a function that receives each verified upload before it is
// published, for a virus scanner, for example. [Object.Open] returns its bytes.
// The function can
//   - return nil to accept the upload,
//   - return an error that consists of *[Violation]s alone to reject and delete
//     it,
//   - return [ErrPending] to keep it without publishing it: a later completion
//     calls the function again, or
//   - return any other error to report a failure: the upload is kept. A
//     violation joined with another error is a failure.
//
// The context of the function outlives the request and ends after 10 minutes.
// The function is called at least once for each upload, possibly again and by
// several replicas. A client of the Handler waits for 25 seconds, and then
// receives status 409 with the code pending.
//
// If a client can still replace the upload, the published copy is compared with
// the bytes that the function has read in this call. A function that keeps the
// results of earlier calls can accept an upload without reading it. It must
// then find the result by VersionID, because two files can have the same ETag.
//
// Every grant of this Signer records that it requires an inspection. A Signer
// without WithInspect returns an error for such an upload. Without
// Policy.FinalPrefix, others can read an upload before it was inspected.
func WithInspect(f func(context.Context, *Object) error) SignerOption {
	return func(o *signerOptions) error {
		switch {
		case f == nil:
			return errors.New("WithInspect must have a function")
		case o.inspect != nil:
			return errors.New("WithInspect must be set once")
		}
		o.inspect = f
		return nil
	}
}

// WithOnComplete sets a function that is called with each completed upload,
// after it was published and before the client receives the response. The
// function is called at least once for each upload, possibly again and by
// several replicas at once. Object.GrantID is the same each time, so that a
// table with unique GrantIDs can count each upload once. From seven days after
// Upload.Deadline on, completions return the Object without calling the
// function.
//
// The context of the function outlives the request and ends after 30 seconds.
// Several functions are called in order until one fails.
//
// The function can set Object.Reply, which the client receives.
//
// The function cannot reject an upload. If it returns an error, the published
// object stays and the error is logged. The client receives status 500, or the
// *[Problem] in the error's chain. The upload can be completed again, which
// calls the function again.
func WithOnComplete(f func(context.Context, *Object) error) SignerOption {
	return func(o *signerOptions) error {
		if f == nil {
			return errors.New("WithOnComplete must have a function")
		}
		o.onComplete = append(o.onComplete, f)
		return nil
	}
}

// WithObserver sets a function that is called once for every call that ends,
// for metrics and audits. The function must return soon. See [Event] for the
// kinds of calls. Events of one upload can repeat, also in other replicas.
// Consumers can deduplicate events by GrantID and Kind.
func WithObserver(f func(context.Context, Event)) SignerOption {
	return func(o *signerOptions) error {
		switch {
		case f == nil:
			return errors.New("WithObserver must have a function")
		case o.observer != nil:
			return errors.New("WithObserver must be set once")
		}
		o.observer = f
		return nil
	}
}

// A HandlerOption changes how a Handler behaves. Options are passed to
// NewHandler.
type HandlerOption func(*handlerOptions) error

type handlerOptions struct {
	authorize func(*http.Request, *Upload) error
	uppy      bool
	trusted   []string // origins
}

// WithAuthorize sets a function that approves each upload. It is called once
// per grant, after authentication and before signing, possibly concurrently.
//
// The Upload has been validated against the Policy. Owner, GrantID, Method,
// Deadline and Type are set. MinSize and MaxSize are the bounds that will be
// enforced; both equal Size if Size is known. The function can
//   - return an error to reject the upload,
//   - set Key,
//   - lower MaxSize or Lifetime, or raise MinSize; zero or less rejects the
//     upload,
//   - set Redirect for a form, or
//   - add metadata under any name.
//
// The result is validated again. If the function changes another field or sets
// something invalid, the client receives status 500 and the fault is logged.
//
// If the error consists of *[Violation]s alone, the client receives them with
// status 422. A *[Problem] in the error's chain decides the response, and the
// error is logged. Any other error is a failure of the service: the client
// receives status 500 without the text of the error, and the error is logged.
func WithAuthorize(authorize func(*http.Request, *Upload) error) HandlerOption {
	return func(o *handlerOptions) error {
		switch {
		case authorize == nil:
			return errors.New("WithAuthorize must have a function; leave the option out to grant every upload that the Policy allows")
		case o.authorize != nil:
			return errors.New("WithAuthorize must be set once")
		}
		o.authorize = authorize
		return nil
	}
}

// WithUppy adds the routes of Uppy's Companion under /s3/. Uppy's AwsS3 plugin
// uses these routes if its endpoint is the URL of the Handler. Pages of the
// Handler's own origin may use the routes, and so may pages of trustedOrigins,
// such as "https://app.example.com".
//
//	WithUppy()                           // pages of the Handler's own origin
//	WithUppy("https://app.example.com")  // and pages of this origin
//	WithUppy("https://app.example.com/") // rejected: an origin has no path
//	WithUppy("*")                        // rejected: any page could upload
//
// The protocol grants uploads in response to GET requests, which browsers send
// to other origins with the cookies of the visitor. So these routes reject GET
// requests from pages of all other origins, unless
//   - the response already permits the origin, because a CORS middleware has
//     set Access-Control-Allow-Origin, or
//   - the request has an Authorization header with a bearer token.
func WithUppy(trustedOrigins ...string) HandlerOption {
	return func(o *handlerOptions) error {
		var protection http.CrossOriginProtection
		for _, origin := range trustedOrigins {
			if err := protection.AddTrustedOrigin(origin); err != nil {
				return fmt.Errorf(
					`WithUppy: an origin must have the form "https://app.example.com", got %q`, origin)
			}
		}
		o.uppy, o.trusted = true, append(o.trusted, trustedOrigins...)
		return nil
	}
}
