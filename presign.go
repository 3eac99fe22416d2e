// Package presign grants uploads to S3 without giving credentials to clients. A
// service decides who may upload what. A browser, phone or script then uploads
// straight to S3 with a presigned URL or form. S3 accepts only the granted
// name, type and size or size range, for a limited time. A grant can also fix
// the checksum. The secret key never leaves the service, and file bytes never
// pass through the service.
//
// A service grants an upload, the client uploads the file, and the service
// completes the upload. The completion verifies the stored object against its
// grant and publishes the object under [Policy].FinalPrefix.
//
// # Which function to call
//
// Most services use a [Handler], made from a [Signer] and a function that
// authenticates requests:
//
//	signer, err := presign.NewSigner(client, "bucket", presign.Policy{
//		Prefix:  "uploads/",
//		Types:   []string{"image/*", "application/pdf"},
//		MaxSize: 10 << 20,
//	})
//	…
//	handler, err := presign.NewHandler(signer, authenticate)
//	…
//	mux.Handle("/uploads/", http.StripPrefix("/uploads", handler))
//
// Such a service sets options:
//
//   - [WithSecret] in every service that restarts or has replicas.
//   - [WithAuthorize] for a prefix or a quota per user, [WithUppy] for Uppy.
//   - [WithInspect] for a virus scanner, [WithOnComplete] for a row in a
//     database, [WithObserver] for metrics.
//   - [WithStore] for a second role, [WithPublicEndpoint] if clients reach the
//     store under another name, [WithProfile] for stores other than AWS.
//
// Jobs of the service complete the uploads that clients do not complete. A
// worker calls [Signer.CompleteNotification], and a timer calls [Signer.Sweep].
// [Signer.Shutdown] waits for completions before the process ends.
//
// A service with a transport of its own calls the Signer:
//
//   - [Signer.Put] grants one PUT of a known size, [Signer.Post] an HTML form,
//     [Signer.StartMultipart] a multipart upload.
//   - [Signer.Complete] verifies and publishes an upload of one owner.
//     [Signer.CompleteForAnyOwner] does the same for jobs of the service.
//   - [ProblemOf] returns the HTTP response for any error of this package, and
//     [Violations] returns the violations of the Policy in an error.
//
// An uploading program in Go calls [Grant.Request]. Credentials come from any
// provider of the SDK, from [EnvFile] or from [AssumeRole].
//
// A method returns an error if its kind of request cannot enforce a constraint
// of the [Policy]. A constraint is never weakened silently.
package presign

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign/internal/completion"
	"github.com/s3presign/presign/internal/credential"
	"github.com/s3presign/presign/internal/endpoint"
	"github.com/s3presign/presign/internal/grant"
	"github.com/s3presign/presign/internal/multipart"
	"github.com/s3presign/presign/internal/notification"
	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/profile"
	"github.com/s3presign/presign/internal/rules"
	"github.com/s3presign/presign/internal/sigv4"
	"github.com/s3presign/presign/internal/stamp"
	"github.com/s3presign/presign/internal/sweep"
	"github.com/s3presign/presign/internal/wire"
)

// These errors can be wrapped. Test for them with errors.Is, and for violations
// with Violations.
var (
	// ErrNotUploaded is returned if no object has this key, or if the object
	// has no grant of this Signer and owner.
	ErrNotUploaded = completion.ErrNotUploaded

	// ErrExpired is returned if a grant ended more than 24 hours ago, or the 7
	// days of a multipart upload are over.
	ErrExpired = completion.ErrExpired

	// ErrInvalidID is returned if an ID does not belong to a multipart upload
	// of this Signer and owner.
	ErrInvalidID = multipart.ErrInvalidID

	// ErrChanged is returned if the object was replaced, or another request
	// completed it, during the completion. Try again.
	ErrChanged = completion.ErrChanged

	// ErrLost is returned if the upload can never be completed. Start again.
	ErrLost = completion.ErrLost

	// ErrPending is returned if the outcome is not known yet: the function of
	// WithInspect has returned ErrPending, or another replica is publishing the
	// upload. Try again later.
	ErrPending = completion.ErrPending

	// ErrInvalidNotification is returned for a document that is not an event
	// notification of a known form. The queue should move the message to its
	// dead letters.
	ErrInvalidNotification = notification.ErrInvalid

	// ErrCredentialsExpiring is returned if the credentials that sign expire in
	// less than 30 seconds. A grant cannot be used after its credentials have
	// expired.
	ErrCredentialsExpiring = credential.ErrExpiring
)

var (
	errZeroSigner = errors.New("presign: the Signer must come from NewSigner")
	errNoOwner    = errors.New("presign: the owner must not be empty; CompleteForAnyOwner completes uploads of any owner")
)

// A Signer grants and completes uploads to one bucket under one [Policy]. It is
// immutable and safe for concurrent use. Signing makes no request, unless the
// credentials must be renewed. The zero Signer returns errors.
type Signer struct {
	name        string // for String
	bucket      string
	rules       *rules.Rules
	store       objectstore.Store
	grants      *grant.Signer
	completions *completion.Engine
	multiparts  *multipart.Engine
	hooks       *hooks
	ephemeral   bool // the secret ends with the process
}

// NewSigner returns a Signer that signs with the credentials, region and
// endpoint of client and follows its options (path style, dual stack, FIPS,
// accelerate). The credentials need s3:PutObject on the objects under
// policy.Prefix and nothing else. Without [WithStore], the same credentials
// also complete uploads and need more rights. The bucket is a name, or the ARN
// or alias of an access point. Access points do not support forms.
//
// NewSigner makes no request. It reports all faults at once, joined. It also
// rejects configurations that cannot work:
//   - an empty region,
//   - anonymous credentials,
//   - EnvFile or AssumeRole inside an aws.CredentialsCache, and
//   - S3 Express, multi-Region access points and S3 on Outposts.
func NewSigner(
	client *s3.Client, bucket string, policy Policy, opts ...SignerOption,
) (*Signer, error) {
	o := signerOptions{store: client, hooks: hooks{logger: slog.Default()}}
	faults := applyOptions(&o, opts)
	compiled, err := rules.Compile(policy.internal())
	faults = append(faults, err)
	resolved, err := endpoint.Resolve(client, bucket, o.publicEndpoint)
	if err != nil {
		faults = append(faults, fmt.Errorf("presign: %w", err))
	}
	var credentials *credential.Source
	if client != nil {
		if credentials, err = credential.NewSource(client.Options().Credentials); err != nil {
			faults = append(faults, fmt.Errorf("presign: %w", err))
		}
	}
	store, storeErr := endpoint.Resolve(o.store, bucket, "")
	if o.store != nil && o.store != client {
		_, credentialsErr := credential.NewSource(o.store.Options().Credentials)
		if err := errors.Join(storeErr, credentialsErr); err != nil {
			faults = append(faults, fmt.Errorf("presign: WithStore: %w", err))
		}
	}
	random := o.secrets == nil
	if random {
		o.secrets = [][]byte{[]byte(rand.Text() + rand.Text())}
	}
	stamps, err := stamp.NewSealer(o.secrets, resolved.Host, bucket, policy.Prefix, policy.FinalPrefix)
	if err != nil {
		faults = append(faults, fmt.Errorf("presign: WithSecret: %w", err))
	}
	if errors.Join(faults...) == nil {
		faults = o.checkProfile(compiled, resolved, bucket, o.store != client)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	s := newSigner(o, compiled, resolved, store.Host, bucket, credentials, stamps)
	s.ephemeral = random
	return s, nil
}

// newSigner connects the engines.
func newSigner(
	o signerOptions, compiled *rules.Rules, resolved endpoint.Endpoint, storeHost, bucket string,
	credentials *credential.Source, stamps *stamp.Sealer,
) *Signer {
	compiled = compiled.WithoutForms(resolved.NoForms)
	if o.withoutForms {
		compiled = compiled.WithoutForms("the service has set WithoutForms")
	}
	store := objectstore.Store{Client: o.store, Bucket: bucket}
	s := &Signer{
		name:   fmt.Sprintf("presign.Signer(%s/%s)", bucket, compiled.Prefix),
		bucket: bucket,
		rules:  compiled,
		store:  store,
		hooks:  &o.hooks,
		grants: &grant.Signer{
			Rules: compiled, Endpoint: resolved, FormURL: resolved.Bucket(), Bucket: bucket,
			Credentials: credentials, Stamps: stamps, Keys: sigv4.NewKeys(resolved.Region),
			Inspects: o.inspect != nil,
		},
		completions: &completion.Engine{
			Rules: compiled, Store: store, Stamps: stamps, Logger: o.logger,
			HonorsConditions: profile.HonorsCopyConditions(storeHost),
			Flights:          completion.Flights{Logger: o.logger},
		},
	}
	if o.inspect != nil {
		s.completions.Inspect = s.hooks.inspectUpload
	}
	if len(o.onComplete) > 0 {
		s.completions.OnComplete = s.hooks.finish
	}
	if o.observer != nil {
		s.completions.Observe = s.hooks.observeCompletion
	}
	s.multiparts = &multipart.Engine{
		Rules: compiled, Grants: s.grants, Stamps: stamps, Store: store, Completion: s.completions,
		PartChecksums: o.rejectsBareParts(resolved.Host),
	}
	return s
}

// Put grants one PUT request of exactly upload.Size bytes. The size is
// required. S3 rejects any other key, size, type, name, metadata or checksum.
// Unless Policy.Replace is set, S3 also rejects the request while an object has
// this key. After the object is deleted or moved, the grant can be used again
// until it expires.
//
// Put returns violations, joined, if the Policy does not allow the upload. It
// also returns ErrCredentialsExpiring.
//
// A client can add a Content-Encoding, Content-Language, Cache-Control or
// Expires header that the Policy does not set. The absence of a header cannot
// be signed. Complete rejects an added Content-Encoding. See "Headers" of
// [Policy] for the other headers.
//
// See https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html.
func (s *Signer) Put(ctx context.Context, upload Upload) (*Grant, error) {
	return s.sign(ctx, &upload, rules.PUT)
}

// Post grants an HTML form. S3 accepts a file of upload.MinSize to
// upload.MaxSize bytes, or of exactly upload.Size bytes if the size is known.
// S3 rejects any other key, type, name, metadata, checksum or field.
//
// A form can be used again until it expires, and S3 then replaces the object,
// since forms have no If-None-Match. So a key that the service chose requires
// Policy.Replace. A key with a random part does not, because only the holder of
// the form can use it.
//
// Post returns violations, joined, if the Policy does not allow the upload or a
// form cannot enforce the Policy. It also returns ErrCredentialsExpiring. S3
// reads at most 20,480 bytes before the file, and Post returns an error for a
// larger form.
//
// See https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html.
func (s *Signer) Post(ctx context.Context, upload Upload) (*Grant, error) {
	return s.sign(ctx, &upload, rules.POST)
}

func (s *Signer) sign(ctx context.Context, upload *Upload, method string) (*Grant, error) {
	if s == nil || s.rules == nil {
		return nil, errZeroSigner
	}
	started, u := time.Now(), upload.internal(method, grant.NewID())
	valid, err := s.rules.Validate(u)
	var signed grant.Grant
	if err == nil {
		u = valid.Upload()
		signed, err = s.grants.Sign(ctx, &valid)
	}
	err = publicError(err)
	s.observeGrant(ctx, "granted", started, &u, signed.Key, err)
	if err != nil {
		return nil, err
	}
	return publicGrant(&signed), nil
}

// observeGrant reports a grant as kind, or as not_granted if err is not nil.
func (s *Signer) observeGrant(
	ctx context.Context, kind string, started time.Time, u *rules.Upload, key string, err error,
) {
	if s.hooks.observer == nil {
		return
	}
	if err != nil {
		kind = "not_granted"
	}
	s.hooks.observe(ctx, Event{
		Kind: kind, GrantID: u.GrantID, Owner: u.Owner, Key: key, Method: u.Method, Type: u.Type,
		Size: u.Size, Err: err, Duration: time.Since(started),
	})
}

// StartMultipart starts a multipart upload, for files up to 48.8 TiB. It makes
// one request to the store, with the client of WithStore. Most services do not
// need StartMultipart; the Handler calls it.
//
// upload.Owner is required. Only this owner can resume and complete the upload.
//
// If upload.Size is known, each part is signed for its exact size. PartSize is
// then 5 MiB, or a 10,000th of the size if that is more. If the size is
// unknown, a part can have up to 5 GiB. The total is then checked when parts
// are signed and when the upload is completed. Until the upload is aborted, a
// client can leave more bytes than Policy.MaxSize with the store. Every bucket
// needs a lifecycle rule for incomplete multipart uploads.
//
// StartMultipart returns violations, joined, if the Policy does not allow the
// upload. It also returns errors of the store. If the Policy has a Checksum, it
// must be CRC32, CRC32C or CRC64NVME: S3 computes no other checksum of a whole
// multipart upload.
//
// See https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html.
func (s *Signer) StartMultipart(ctx context.Context, upload Upload) (*Multipart, error) {
	switch {
	case s == nil || s.rules == nil:
		return nil, errZeroSigner
	case upload.Owner == "":
		return nil, errors.New("presign: Upload.Owner must be set for a multipart upload")
	}
	started, u := time.Now(), upload.internal(rules.Multipart, grant.NewID())
	valid, err := s.rules.Validate(u)
	var m *multipart.Upload
	if err == nil {
		u = valid.Upload()
		m, err = s.multiparts.Start(ctx, valid, 0)
	}
	if err != nil {
		err = publicError(err)
		s.observeGrant(ctx, "started", started, &u, "", err)
		return nil, err
	}
	s.observeGrant(ctx, "started", started, &u, m.Key, nil)
	return s.publicMultipart(m), nil
}

// ResumeMultipart returns the multipart upload with this ID if it was started
// for this owner. It makes no request. Any Signer for the same bucket and
// Policy, with the same secret (WithSecret), can resume the upload. Most
// services do not need ResumeMultipart; the Handler calls it.
//
// ResumeMultipart returns ErrInvalidID for IDs of other owners, and ErrExpired
// after Multipart.Expires. An empty owner is an error.
func (s *Signer) ResumeMultipart(owner, id string) (*Multipart, error) {
	switch {
	case s == nil || s.rules == nil:
		return nil, errZeroSigner
	case owner == "":
		return nil, errNoOwner
	}
	m, err := s.multiparts.Resume(owner, id)
	if err != nil {
		return nil, err
	}
	return s.publicMultipart(m), nil
}

// Complete verifies the upload that owner has made under the key of a grant,
// and publishes the upload if Policy.FinalPrefix is set. The object carries its
// sealed grant, so Complete needs no database. Complete works in any replica
// that has the same secret (WithSecret), and can be called again.
//
// # Verification
//
// Complete compares size, type, file name, metadata, headers and checksum, as
// the store returns them, with the grant and with the Policy. It compares the
// first 4 KiB with the type, unless the Policy sets a Content-Encoding. An
// upload that differs is deleted, and Complete returns a *[RejectedError].
//
// The type of the bytes is a guess. A file can be two things at once, and
// Complete does not read beyond the first 4 KiB. A header that the store has
// lost is not a fault, since several stores lose Content-Disposition with a
// form. The published copy has the header again.
//
// # Publication
//
// With FinalPrefix, the verified version is copied to the same key under
// FinalPrefix. Then the functions of WithOnComplete are called, and the upload
// is deleted. If the deletion fails, a lifecycle rule removes the upload. No
// grant reaches the copy. With Policy.Replace, an upload that was granted later
// replaces the copy.
//
// Without FinalPrefix, the holder of a form can replace the object until the
// grant ends. With Policy.Replace, the holder of any grant can replace the
// object. Readers should ask for the VersionID or ETag of the Object.
//
// # Errors and time
//
// Complete returns ErrNotUploaded for uploads of other owners. It also returns
// ErrExpired, ErrChanged, ErrPending, and errors of the store. After any error,
// it can be called again. An empty owner is an error.
//
// Each request to the store can take 10 seconds. If ctx ends, the completion
// continues in the background. A copy can take 10 seconds, plus one second for
// each 32 MiB. Concurrent calls for one grant share one completion.
func (s *Signer) Complete(ctx context.Context, owner, key string) (*Object, error) {
	if owner == "" {
		return nil, errNoOwner
	}
	return s.complete(ctx, key, ownedBy(owner))
}

// ownedBy returns a function that reports whether a grant belongs to owner.
func ownedBy(owner string) func(*stamp.Stamp) bool {
	return func(granted *stamp.Stamp) bool { return granted.Owner == owner }
}

// CompleteForAnyOwner completes an upload as Complete does, for jobs of the
// service, such as workers that read the store's events. It must never be
// called with a key that a client sent, because it completes the uploads of all
// users. It also completes uploads that were granted without an owner.
func (s *Signer) CompleteForAnyOwner(ctx context.Context, key string) (*Object, error) {
	return s.complete(ctx, key, func(*stamp.Stamp) bool { return true })
}

func (s *Signer) complete(
	ctx context.Context, key string, claim func(*stamp.Stamp) bool,
) (*Object, error) {
	if s == nil || s.rules == nil {
		return nil, errZeroSigner
	}
	result, err := s.completions.Complete(ctx, key, claim)
	return cleanResult(ctx, result, err)
}

// cleanResult deletes the completed upload and returns its Object.
func cleanResult(ctx context.Context, result *completion.Result, err error) (*Object, error) {
	if err != nil {
		return nil, publicError(err)
	}
	result.Clean(context.WithoutCancel(ctx))
	return publicObject(result.Object), nil
}

// CompleteNotification completes the uploads that an event notification of the
// store names, for any owner. The body is the message of a queue. It can be
//   - a notification of S3, also inside SNS,
//   - an event of EventBridge, or
//   - a notification of MinIO, Ceph or versitygw.
//
// CompleteNotification returns nil if the message can be deleted, because
//   - the upload was completed, or rejected and deleted,
//   - it is too late to complete the upload,
//   - the object does not exist, or was published before,
//   - the object has no stamp of this package,
//   - the key is under another prefix, or
//   - the message is a test event.
//
// It returns an error if the message should be delivered again:
//   - [ErrPending],
//   - an error for a stamp that does not open because the secret differs,
//   - an error for an event of another bucket, unless the Signer's bucket is an
//     ARN or alias, or
//   - any other failure, such as a rejected upload that could not be deleted.
//
// It returns [ErrInvalidNotification] for a document that does not have a known
// form. Errors of several uploads are joined.
//
// If a notification rejects an upload first, the client's own completion
// returns [ErrNotUploaded] instead of the violations. To let clients complete
// uploads first, deliver notifications some seconds late.
//
// Notifications are not authenticated. A sender can cause a pending upload to
// be completed, but nothing else.
func (s *Signer) CompleteNotification(ctx context.Context, body []byte) error {
	if s == nil || s.rules == nil {
		return errZeroSigner
	}
	parsed, err := notification.Parse(body)
	if err != nil {
		return err
	}
	var failures []error
	for _, event := range parsed.Events {
		if !event.Created {
			continue
		}
		if event.Bucket != s.bucket && !strings.HasPrefix(s.bucket, "arn:") && !strings.HasSuffix(s.bucket, "-s3alias") {
			failures = append(failures, fmt.Errorf(
				"presign: the bucket of a notification must be %q, got %q", s.bucket, event.Bucket))
			continue
		}
		if !strings.HasPrefix(event.Key, s.rules.Prefix) {
			continue
		}
		if _, err := s.CompleteForAnyOwner(ctx, event.Key); !isFinal(err) {
			failures = append(failures, fmt.Errorf("completing %q: %w", event.Key, err))
		}
	}
	return errors.Join(failures...)
}

// isFinal reports whether completing an upload again cannot have another
// result. If a function of the service failed, the result is not final, even if
// its error wraps a final error.
func isFinal(err error) bool {
	if isServiceError(err) {
		return false
	}
	if _, rejected := asRejected(err); err == nil || rejected || errors.Is(err, ErrExpired) {
		return true
	}
	return completion.IsNotUploaded(err) && !errors.Is(err, completion.ErrForeignStamp)
}

// Sweep makes one pass over the uploads that no client has completed. It
//   - completes uploads under Policy.Prefix that are older than one minute,
//   - deletes uploads of this package that can no longer be completed, and
//   - aborts multipart uploads after their seven days.
//
// Sweep never deletes an object whose stamp it cannot open. It requires
// Policy.FinalPrefix. Several replicas can sweep at once. The client of
// WithStore needs s3:ListBucket and s3:ListBucketMultipartUploads.
//
// Sweep continues after failures and returns them joined. An upload for which
// the function of WithInspect returns [ErrPending] is not a failure.
//
// A multipart upload becomes an object only when a client asks to complete it.
// If the client dies before it asks, the service cannot find out whether all
// parts have arrived, and Sweep aborts the upload after seven days.
func (s *Signer) Sweep(ctx context.Context) error {
	switch {
	case s == nil || s.rules == nil:
		return errZeroSigner
	case s.rules.FinalPrefix == "":
		return errors.New("presign: Policy.FinalPrefix must be set for Sweep; " +
			"without it, Sweep cannot distinguish completed uploads from others")
	}
	return sweep.Run(ctx, sweeper{s}, s.rules.Prefix, sweeper{s})
}

// A sweeper lists and ends the uploads of a Signer.
type sweeper struct{ *Signer }

// Objects implements sweep.Store.
func (s sweeper) Objects(ctx context.Context, prefix string) iter.Seq2[objectstore.Listed, error] {
	return s.store.Objects(ctx, prefix, s.multiparts.Header())
}

// Uploads implements sweep.Store.
func (s sweeper) Uploads(ctx context.Context, prefix string) iter.Seq2[objectstore.Started, error] {
	return s.store.Uploads(ctx, prefix, s.multiparts.Header())
}

// CompleteOrDelete implements sweep.Completer.
func (s sweeper) CompleteOrDelete(ctx context.Context, key string) error {
	result, err := s.completions.CompleteOrExpire(ctx, key)
	_, err = cleanResult(ctx, result, err)
	if isFinal(err) || errors.Is(err, ErrPending) && !isServiceError(err) {
		return nil
	}
	return fmt.Errorf("completing %q: %w", key, err)
}

// Abort implements sweep.Completer.
func (s sweeper) Abort(ctx context.Context, key, id string) error {
	started := time.Now()
	err := s.multiparts.AbortStored(ctx, key, id)
	s.hooks.observeMultipart(ctx, "aborted", started, Event{Key: key, Err: err})
	return err
}

// Shutdown waits until no completion is running in the background, or ctx ends.
// Call it after the server has stopped accepting requests.
func (s *Signer) Shutdown(ctx context.Context) error {
	if s == nil || s.rules == nil {
		return errZeroSigner
	}
	return s.completions.Flights.Wait(ctx)
}

// String returns the bucket and the prefix.
func (s *Signer) String() string {
	if s == nil || s.rules == nil {
		return "presign.Signer()"
	}
	return s.name
}

// Format implements [fmt.Formatter], so that no verb prints a secret.
func (s *Signer) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LogValue returns the same text as String.
func (s *Signer) LogValue() slog.Value { return slog.StringValue(s.String()) }

// A Grant is a signed upload. It has everything that a client needs to make the
// upload. It is a secret until it expires, because its holder can make the
// upload.
//
// A Grant marshals to the JSON that the Handler returns. Every other form of
// printing and logging leaves out its URL, headers and fields, with two
// exceptions:
//   - A struct that holds a Grant reveals the secret if the struct is marshaled
//     to JSON, as slog's JSON handler does.
//   - Package fmt prints unexported fields of a struct without calling their
//     methods.
type Grant struct {
	// GrantID identifies the grant: 32 hex digits, the same in Upload, Object
	// and every log record. It is not a secret.
	GrantID string `json:"grant_id"`

	// Method is "PUT" or "POST".
	Method string `json:"method"`

	// URL is the target of the request.
	URL string `json:"url"`

	// Headers must be sent with a PUT exactly as they are here. Host and
	// Content-Length are also signed, but HTTP clients set these headers
	// themselves, and browsers do not let pages set them.
	Headers map[string]string `json:"headers,omitempty"`

	// Fields must be sent with a POST exactly as they are here, before the
	// file, in a multipart/form-data body. The file comes last, in a field with
	// the name "file".
	Fields map[string]string `json:"fields,omitempty"`

	// Key is the key of the object. Pass it to POST /complete or to
	// Signer.Complete.
	Key string `json:"key"`

	// Expires is the time until which an upload can start. It is never later
	// than the end of the credentials that signed the grant.
	Expires time.Time `json:"expires_at"`

	// ExpiresIn is the number of seconds from signing to Expires, for clients
	// with a wrong clock.
	ExpiresIn int `json:"expires_in"`
}

func publicGrant(g *grant.Grant) *Grant {
	return &Grant{
		GrantID: g.ID, Method: g.Method, URL: g.URL,
		Headers: pairMap(g.Headers), Fields: pairMap(g.Fields),
		Key: g.Key, Expires: g.Expires, ExpiresIn: g.ExpiresIn,
	}
}

func pairMap(pairs []rules.Pair) map[string]string {
	if pairs == nil {
		return nil
	}
	m := make(map[string]string, len(pairs))
	for _, p := range pairs {
		m[p.Name] = p.Value
	}
	return m
}

// String returns the method, key, ID and expiry, and no secret.
func (g Grant) String() string { return g.LogValue().String() }

// Format implements [fmt.Formatter], so that no verb prints a secret.
func (g Grant) Format(f fmt.State, _ rune) { io.WriteString(f, g.String()) }

// LogValue returns the method, key, ID and expiry, and no secret.
func (g Grant) LogValue() slog.Value {
	return slog.GroupValue(slog.String("method", g.Method), slog.String("key", g.Key),
		slog.String("grant_id", g.GrantID), slog.Time("expires_at", g.Expires))
}

// Request returns the HTTP request that uploads the next size bytes of file,
// for clients in Go. The Grant comes from a Signer or a Multipart, or is
// decoded from the Handler's JSON. For the URL of a part, use &Grant{Method:
// "PUT", URL: …}. S3 returns 200 or 204, with the ETag, if it has stored the
// file.
//
// The request fails if the file has fewer than size bytes. If the file has
// more, the rest is not read. The file is read while the request is sent, and
// is not closed. If the file is an io.ReaderAt and an io.Seeker, as *os.File
// and *io.SectionReader are, its offset does not change. The request then has a
// GetBody, so that http.Transport can send it again on another connection. From
// 2 MiB on, the request expects "100-continue", so that S3 can reject the
// request before the file is sent.
//
// The URL is a secret. The text of the *url.Error that http.Client returns
// contains the URL, but the text of its Err does not. A grant is for one host,
// so the client's CheckRedirect should return http.ErrUseLastResponse. The
// request has a Referer of its own, so that a client that follows a redirect
// does not reveal the URL.
func (g Grant) Request(ctx context.Context, file io.Reader, size int64) (*http.Request, error) {
	return (&grant.Grant{
		Method: g.Method, URL: g.URL,
		Headers: rules.Sorted(g.Headers), Fields: rules.Sorted(g.Fields),
	}).NewRequest(ctx, file, size)
}

// A Multipart is a multipart upload of one file. Each part is sent by a PUT of
// its own. Parts can be sent in any order, several at once, and again until the
// upload is completed. A Multipart is safe for concurrent use.
//
// Key, type, metadata and headers are fixed when the upload starts. A client
// receives a URL for each part and nothing else, so it can only send bytes.
// Complete decides whether these bytes become an object.
//
// A Multipart comes from StartMultipart or ResumeMultipart. Callers must not
// change its exported fields.
type Multipart struct {
	// ID identifies the upload. It is sealed and holds the store's own ID. The
	// ID and the owner are enough to sign, list, complete and abort.
	ID string `json:"id"`

	// GrantID identifies the grant, as in Grant.
	GrantID string `json:"grant_id"`

	// Owner is the user for whom the upload was started.
	Owner string `json:"-"`

	// Key is the key of the object that the upload becomes.
	Key string `json:"key"`

	// PartSize is the size in bytes of all parts except the last. If the size
	// of the file is unknown, PartSize is a proposal that suffices for the
	// largest permitted file.
	PartSize int64 `json:"part_size"`

	// Expires is the time until which the upload can be completed: 7 days from
	// its start.
	Expires time.Time `json:"expires_at"`

	upload *multipart.Upload
	hooks  *hooks
}

func (s *Signer) publicMultipart(m *multipart.Upload) *Multipart {
	return &Multipart{
		ID: m.ID, GrantID: m.GrantID, Owner: m.Owner, Key: m.Key, PartSize: m.PartSize,
		Expires: m.Expires, upload: m, hooks: s.hooks,
	}
}

var errZeroMultipart = fmt.Errorf(
	"%w: a Multipart must come from StartMultipart or ResumeMultipart", ErrInvalidID)

// String returns the key, grant ID and expiry, and no secret.
func (m Multipart) String() string { return m.LogValue().String() }

// Format implements [fmt.Formatter], so that no verb prints a secret.
func (m Multipart) Format(f fmt.State, _ rune) { io.WriteString(f, m.String()) }

// LogValue returns the key, grant ID and expiry, and no secret.
func (m Multipart) LogValue() slog.Value {
	return slog.GroupValue(slog.String("key", m.Key), slog.String("grant_id", m.GrantID),
		slog.Time("expires_at", m.Expires))
}

// A Part is one part of a multipart upload.
type Part struct {
	Number   int    `json:"number"`             // from 1 to 10,000
	Size     int64  `json:"size"`               // in bytes; 0 is unknown
	ETag     string `json:"etag,omitempty"`     // as the store returned it, with or without quotes
	Checksum string `json:"checksum,omitempty"` // of this part, by Policy.Checksum, in base64

	_ struct{}
}

func internalParts(parts []Part) []multipart.Part {
	converted := make([]multipart.Part, len(parts))
	for i, p := range parts {
		converted[i] = multipart.Part{
			Number: p.Number, Size: p.Size, ETag: p.ETag, Checksum: p.Checksum,
		}
	}
	return converted
}

// SignPart grants one PUT of a part. If the size of the file is known, it
// determines the size of the part, and part.Size may be 0. Otherwise the part
// must have part.Size bytes, or up to 5 GiB if part.Size is 0. If part.Checksum
// is set, the PUT must have this checksum. The store returns an ETag for the
// part, which can be passed to Complete.
//
// SignPart makes no request if the size of the file is known. Otherwise it
// checks the parts that have arrived. If these parts exceed the granted size,
// SignPart aborts the upload and returns a violation. It signs at most 100
// parts beyond the parts that have arrived.
//
// If the Policy has a Checksum, some stores reject parts without their own
// checksum. If the profile of [WithProfile] is of such a store, SignPart
// returns a violation for a part without Part.Checksum.
func (m *Multipart) SignPart(ctx context.Context, part Part) (*Grant, error) {
	if m == nil || m.upload == nil {
		return nil, errZeroMultipart
	}
	urls, expires, err := m.signParts(ctx, internalParts([]Part{part}))
	if err != nil {
		return nil, err
	}
	g := &Grant{GrantID: m.GrantID, Method: http.MethodPut, URL: urls[0], Key: m.Key,
		Expires: expires, ExpiresIn: int(wire.SecondsUntil(expires))}
	if part.Checksum != "" {
		g.Headers = map[string]string{m.upload.ChecksumHeader(): part.Checksum}
	}
	return g, nil
}

// SignParts returns the URLs of the parts from first to last, inclusive, and
// the time at which they expire. It signs up to 10,000 parts at once if the
// size of the file is known. Otherwise it signs up to 100 parts beyond the
// parts that have arrived. Each URL accepts a PUT without any header except
// Content-Length. SignParts returns a violation if the profile of [WithProfile]
// records that the store rejects such parts.
func (m *Multipart) SignParts(
	ctx context.Context, first, last int,
) (urls []string, expires time.Time, err error) {
	numbers, violation := multipart.Numbers(first, last)
	if violation != nil {
		return nil, expires, (*Violation)(violation)
	}
	if m == nil || m.upload == nil {
		return nil, expires, errZeroMultipart
	}
	return m.signParts(ctx, numbers)
}

func (m *Multipart) signParts(
	ctx context.Context, parts []multipart.Part,
) (urls []string, expires time.Time, err error) {
	started := time.Now()
	urls, expires, err = m.upload.Sign(ctx, parts)
	err = publicError(err)
	m.observe(ctx, "", started, err)
	return urls, expires, err
}

// ListParts returns the parts that the store has, in order of their numbers.
func (m *Multipart) ListParts(ctx context.Context) ([]Part, error) {
	if m == nil || m.upload == nil {
		return nil, errZeroMultipart
	}
	started := time.Now()
	stored, err := m.upload.List(ctx)
	if err != nil {
		err = publicError(err)
		m.observe(ctx, "", started, err)
		return nil, err
	}
	parts := make([]Part, len(stored))
	for i, p := range stored {
		parts[i] = Part{Number: p.Number, Size: p.Size, ETag: p.ETag, Checksum: p.Checksum}
	}
	return parts, nil
}

// Complete makes an object of the parts, or of all parts that have arrived if
// parts is empty. A Part must have a Number; its other fields are compared if
// they are set. Complete then verifies and publishes the object and returns it,
// as Signer.Complete does.
//
// Complete compares the parts with the store's list. If the parts have more
// bytes than were granted, Complete aborts the upload and returns a violation,
// and no object appears. The same happens if another object has the key and
// Policy.Replace is not set. Violations of the parts themselves or of the
// checksum, and too few bytes, do not abort the upload. The client can send the
// missing parts, or a part again.
//
// Complete returns
//   - ErrNotUploaded if the upload was aborted or rejected, or another request
//     is completing it and has not finished within three seconds,
//   - ErrChanged if a part was replaced or another request completes the
//     upload,
//   - ErrLost if the object that had the key was deleted during the upload,
//   - ErrExpired or ErrPending, and
//   - errors of the store.
//
// After any error except ErrLost, Complete can be called again. If the upload
// is already complete, Complete finds the object by its grant. S3 can need
// minutes for many parts, so the request can take up to five minutes. If ctx
// ends, the completion continues in the background.
func (m *Multipart) Complete(ctx context.Context, parts []Part) (*Object, error) {
	if m == nil || m.upload == nil {
		return nil, errZeroMultipart
	}
	result, err := m.upload.Complete(ctx, internalParts(parts))
	return cleanResult(ctx, result, err)
}

// Abort ends the upload and deletes its parts. It also deletes parts that
// arrive within a few seconds. If the upload has already ended, Abort returns
// nil. If the upload has become an object, the object stays.
func (m *Multipart) Abort(ctx context.Context) error {
	if m == nil || m.upload == nil {
		return errZeroMultipart
	}
	started := time.Now()
	err := m.upload.Abort(ctx)
	m.observe(ctx, "aborted", started, err)
	return err
}

// observe reports a call as kind, or as rejected or failed if err is not nil.
func (m *Multipart) observe(ctx context.Context, kind string, started time.Time, err error) {
	m.hooks.observeMultipart(ctx, kind, started, Event{
		GrantID: m.GrantID, Owner: m.Owner, Key: m.Key, Err: err,
	})
}

// An Object is a completed upload. It describes an object of the store that
// agrees with its grant.
type Object struct {
	Key       string            `json:"key"`                  // under FinalPrefix if it is set
	Filename  string            `json:"filename"`             // as granted, without a path
	Type      string            `json:"type"`                 // as granted
	Detected  string            `json:"detected,omitempty"`   // the type that the bytes look like
	Size      int64             `json:"size"`                 // in bytes
	ETag      string            `json:"etag"`                 // with its quotes
	VersionID string            `json:"version_id,omitempty"` // if the bucket has versions
	Checksum  string            `json:"checksum,omitempty"`   // by Policy.Checksum, base64, verified
	Metadata  map[string]string `json:"metadata,omitempty"`   // without the stamp
	Owner     string            `json:"owner"`                // the user who was granted the upload
	GrantID   string            `json:"grant_id"`             // the same at each completion
	Granted   time.Time         `json:"granted_at"`           // orders the completions of one key

	// Reply is set by the function of WithOnComplete and sent to the client. It
	// must marshal to JSON. All callers that share a completion receive the
	// same Reply, so it must not change afterwards.
	Reply any `json:"reply,omitempty"`

	source *completion.Source
}

// Open returns the bytes of exactly this version. It checks ETag, size, version
// and time of the store's response. It returns ErrChanged if the object was
// replaced or deleted. The caller must close the reader. Open returns an error
// for an Object that this package did not return.
func (o *Object) Open(ctx context.Context) (io.ReadCloser, error) {
	if o == nil || o.source == nil {
		return nil, errors.New("presign: the Object must come from a completion")
	}
	return o.source.Open(ctx)
}

// An Event describes a call that has ended. The function of WithObserver
// receives it.
//
// # Kinds
//
// A later version can add kinds but does not rename them:
//
//	granted      a PUT or form was granted
//	started      a multipart upload was started
//	not_granted  an upload was not granted: it was rejected, or a call failed
//	completed    an upload was completed; Object is set
//	repeated     a completion repeated an earlier one; Object is set
//	rejected     an upload was rejected and deleted; Object and Err are set
//	pending      a completion returned ErrPending
//	aborted      a multipart upload was aborted
//	denied       a request was not authenticated, not allowed, or malformed
//	failed       any other call that ended with an error
//
// Calls that share one completion have one event. A completion that continues
// in the background has its event when it ends. Signing and listing parts have
// events only if they fail. A Sweep has no events for objects that are not
// uploads.
//
// If the function of WithOnComplete fails, the kind is failed. The kind of the
// next completion is then completed.
//
// Kind and Method have few values and can label metrics. If the upload was not
// granted, Type can be any string that a client sent.
//
// # Alerts
//
// The store or the service has failed if Err is set and the Status of
// [ProblemOf](Err) is 500 or more. If Err wraps [context.Canceled], the client
// has left, and no alert is needed.
type Event struct {
	Kind string

	// GrantID is also set if an upload was not granted, so that the service can
	// release a reservation that the function of WithAuthorize has made.
	// GrantID is empty if the call ended before a grant had an ID or was found.
	GrantID string

	Owner  string
	Key    string
	Method string // "PUT", "POST" or "multipart", as in Upload
	Type   string
	Size   int64 // in bytes; 0 if it is unknown

	Object   *Object // of a completed or rejected upload
	Err      error
	Duration time.Duration

	// Request is the request that a Handler serves. It is nil for other calls,
	// and for completions that end after their client received the response.
	Request *http.Request
}
