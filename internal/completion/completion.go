// Package completion verifies uploads against their grants and publishes them.
package completion

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"time"

	"github.com/s3presign/presign/internal/grant"
	"github.com/s3presign/presign/internal/objectkey"
	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/rules"
	"github.com/s3presign/presign/internal/sniff"
	"github.com/s3presign/presign/internal/stamp"
)

// Errors that the methods of an Engine wrap. The root package exports some.
var (
	ErrNotUploaded = errors.New("presign: not uploaded")
	ErrExpired     = errors.New("presign: too late to complete")
	ErrChanged     = errors.New("presign: the object changed during completion; try again")
	ErrLost        = errors.New("presign: the upload is lost; start again")

	// ErrStore wraps errors returned by the object store.
	ErrStore = errors.New("presign: the store failed")
)

// errNoGrant is returned if the object is not the caller's. It does not reveal
// whether the object exists.
var errNoGrant = fmt.Errorf("%w: the object has no grant for this key", ErrNotUploaded)

const (
	// StoreTime is the limit for one answer of the store.
	StoreTime = 10 * time.Second

	// CopyTime is the limit for a copy, which may be gigabytes large.
	CopyTime = 5 * time.Minute
)

// An Object is a completed upload. It has the exported fields of
// presign.Object.
type Object struct {
	Key       string
	Filename  string
	Type      string
	Detected  string
	Size      int64
	ETag      string
	VersionID string
	Checksum  string
	Metadata  map[string]string
	Owner     string
	GrantID   string
	Granted   time.Time
}

// A Rejection is the error for an upload that was rejected and deleted.
type Rejection struct {
	Object     *Object
	Violations []*rules.Violation
}

// Error joins the violations.
func (r *Rejection) Error() string { return errors.Join(r.Unwrap()...).Error() }

// Unwrap returns the violations.
func (r *Rejection) Unwrap() []error {
	errs := make([]error, len(r.Violations))
	for i, v := range r.Violations {
		errs[i] = v
	}
	return errs
}

// A Store is the bucket that holds the uploads.
type Store interface {
	Head(ctx context.Context, key string) (*objectstore.Object, error)
	Beginning(ctx context.Context, o *objectstore.Object, n int) ([]byte, error)
	Copy(ctx context.Context, from *objectstore.Object, to string, replace bool, header, metadata map[string]string) (*objectstore.Object, error)
	Delete(ctx context.Context, o *objectstore.Object) error
}

// Stamps seals and opens the stamps of objects.
type Stamps interface {
	Open(sealed, key string) (*stamp.Stamp, error)
	OpenPublished(sealed, key string) (*stamp.Published, error)
	SealPublished(published *stamp.Published, key string) string

	// Fingerprint identifies the secrets and the context of the stamps.
	Fingerprint() string
}

// A Hook is called with an object before its upload is deleted, so that the
// upload can be completed again until the hook has succeeded.
type Hook func(context.Context, *Object) error

// An Engine completes the uploads of one bucket under one set of rules. It is
// safe for concurrent use.
type Engine struct {
	Rules  *rules.Rules
	Store  Store
	Stamps Stamps
	Logger *slog.Logger
}

// A publication is a verified copy under FinalPrefix.
type publication struct {
	*objectstore.Object
	granted *stamp.Published
}

func (p *publication) object() *Object {
	return newObject(p.Object, &p.granted.Stamp, p.granted.Detected)
}

// Complete verifies and publishes the upload under key if claim accepts its
// grant. For other grants it returns ErrNotUploaded. It returns a *Rejection
// for an upload that it has rejected and deleted.
func (e *Engine) Complete(ctx context.Context, key string, claim func(*stamp.Stamp) bool, hook Hook) (*Object, error) {
	if !strings.HasPrefix(key, e.Rules.Prefix) || strings.HasSuffix(key, "/") || objectkey.CheckKey(key) != nil {
		return nil, fmt.Errorf("%w: no grant has this key", ErrNotUploaded)
	}
	published, err := e.published(ctx, key)
	if err != nil {
		return nil, err
	}
	uploaded, granted, err := e.uploaded(ctx, key)
	if errors.Is(err, ErrNotUploaded) && published == nil {
		// Another replica may have published and deleted the upload between the two requests.
		var again error
		if published, again = e.published(ctx, key); again != nil {
			return nil, again
		}
	} else if err != nil && !errors.Is(err, ErrNotUploaded) {
		return nil, err
	}
	// A publication stays, whatever was uploaded with its grant afterwards.
	if published != nil && (granted == nil || granted.ID == published.granted.ID) {
		if !claim(&published.granted.Stamp) {
			return nil, errNoGrant
		}
		return e.finish(ctx, published.object(), uploaded, granted, hook)
	}
	switch {
	case granted == nil:
		return nil, err
	case !claim(granted):
		return nil, errNoGrant
	case time.Now().After(granted.Until):
		return nil, fmt.Errorf("%w: that was possible until %s", ErrExpired, granted.Until.Format(time.RFC3339))
	case published != nil && granted.Issued.Before(published.granted.Issued):
		return nil, e.reject(ctx, uploaded, granted, rules.Violate("key", rules.CodeSuperseded, "must not hold an object that was granted later"))
	}
	return e.completeUpload(ctx, uploaded, granted, hook)
}

// completeUpload verifies and publishes an upload.
func (e *Engine) completeUpload(ctx context.Context, uploaded *objectstore.Object, granted *stamp.Stamp, hook Hook) (*Object, error) {
	v, err := e.verify(ctx, uploaded, granted)
	if err != nil {
		return nil, err
	}
	if len(v.violations) > 0 {
		return nil, e.reject(ctx, uploaded, granted, v.violations...)
	}
	if e.Rules.FinalPrefix == "" {
		return e.finish(ctx, newObject(uploaded, granted, v.detected), nil, nil, hook)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), CopyTime)
	defer cancel()
	final, err := e.publish(ctx, uploaded, granted, v)
	if err != nil {
		return nil, err
	}
	return e.finish(ctx, final, uploaded, granted, hook)
}

// finish calls the hook and then deletes the upload. If the deletion fails, a
// lifecycle rule removes the upload.
func (e *Engine) finish(ctx context.Context, o *Object, uploaded *objectstore.Object, granted *stamp.Stamp, hook Hook) (*Object, error) {
	if hook != nil {
		if err := hook(ctx, o); err != nil {
			return nil, err
		}
	}
	if granted != nil {
		_ = e.delete(ctx, uploaded)
	}
	return o, nil
}

// reject deletes an upload and returns its Rejection, or the error of the
// store if the deletion fails.
func (e *Engine) reject(ctx context.Context, uploaded *objectstore.Object, granted *stamp.Stamp, violations ...*rules.Violation) error {
	if err := e.delete(context.WithoutCancel(ctx), uploaded); err != nil {
		return fmt.Errorf("deleting the rejected upload: %w", err)
	}
	return &Rejection{Object: newObject(uploaded, granted, ""), Violations: violations}
}

// uploaded returns the object under key with its grant.
func (e *Engine) uploaded(ctx context.Context, key string) (*objectstore.Object, *stamp.Stamp, error) {
	o, err := e.Store.Head(ctx, key)
	if err != nil {
		return nil, nil, StoreError(err)
	}
	granted, err := e.Stamps.Open(o.Metadata[rules.StampName], key)
	if err != nil {
		e.warnOfForeignStamp(ctx, o)
		return o, nil, errNoGrant
	}
	return o, granted, nil
}

// warnOfForeignStamp logs an object with a stamp that none of the secrets opens.
// Replicas with different secrets would otherwise return 404 in silence.
func (e *Engine) warnOfForeignStamp(ctx context.Context, o *objectstore.Object) {
	if stamp.IsSealed(o.Metadata[rules.StampName]) {
		e.Logger.WarnContext(ctx, "presign: a stamp does not open; do all replicas have the same secret, endpoint and prefixes?",
			slog.String("key", o.Key), slog.String("fingerprint", e.Stamps.Fingerprint()))
	}
}

// published returns the publication of the uploads under key, or nil. On a
// store that ignores conditions, a process may have ended between a copy and
// its check, so published deletes a copy that differs from what was verified.
func (e *Engine) published(ctx context.Context, key string) (*publication, error) {
	if e.Rules.FinalPrefix == "" {
		return nil, nil
	}
	final, err := e.Store.Head(ctx, e.finalKey(key))
	if errors.Is(err, objectstore.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, StoreError(err)
	}
	granted, err := e.Stamps.OpenPublished(final.Metadata[rules.StampName], key)
	if err != nil {
		return nil, nil // The service has put the object there.
	}
	beginning, err := e.beginning(ctx, final)
	if err != nil {
		return nil, err
	}
	if final.Size != granted.Size || digest(beginning) != granted.Beginning {
		return nil, e.delete(ctx, final)
	}
	return &publication{final, granted}, nil
}

// publish copies a verified upload to its final key.
func (e *Engine) publish(ctx context.Context, uploaded *objectstore.Object, granted *stamp.Stamp, v verdict) (*Object, error) {
	header := map[string]string{"Content-Type": granted.Type}
	for _, h := range e.Rules.Headers {
		header[h.Name] = h.Value
	}
	for _, h := range granted.Headers {
		header[h.Name] = h.Value
	}
	header["content-disposition"] = grant.Disposition(granted.Inline, granted.Filename)
	published := stamp.Published{Stamp: *granted, Size: uploaded.Size, Beginning: digest(v.beginning), Detected: v.detected}
	metadata := maps.Clone(uploaded.Metadata)
	metadata[rules.StampName] = e.Stamps.SealPublished(&published, uploaded.Key)

	final, err := e.Store.Copy(ctx, uploaded, e.finalKey(uploaded.Key), granted.Replace && e.Rules.Replace, header, metadata)
	// The object there may be the copy of another replica, which has already deleted the upload, or a copy of another
	// upload with the same ETag, since an MD5 can be made to collide.
	found, findErr := e.published(ctx, uploaded.Key)
	switch {
	case found != nil && found.granted.ID == granted.ID:
		return found.object(), nil
	case err != nil && !errors.Is(err, objectstore.ErrExists):
		return nil, StoreError(err)
	case findErr != nil:
		return nil, findErr
	case err != nil:
		return nil, e.reject(ctx, uploaded, granted, Taken())
	}
	return nil, fmt.Errorf("%w: the copy at %q is another object", ErrChanged, final.Key)
}

// Taken returns the Violation of an upload that must not replace an object.
func Taken() *rules.Violation {
	return rules.Violate("key", rules.CodeTaken, "must not be taken by another object, which this upload may not replace")
}

// delete deletes an upload that is published or rejected. An object that has
// replaced it was uploaded with the same grant, so it stays until its own
// completion.
func (e *Engine) delete(ctx context.Context, uploaded *objectstore.Object) error {
	ctx, cancel := context.WithTimeout(ctx, StoreTime)
	defer cancel()
	if err := e.Store.Delete(ctx, uploaded); !errors.Is(err, objectstore.ErrChanged) {
		return StoreError(err)
	}
	return nil
}

func (e *Engine) beginning(ctx context.Context, o *objectstore.Object) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, StoreTime)
	defer cancel()
	beginning, err := e.Store.Beginning(ctx, o, sniff.Head)
	return beginning, StoreError(err)
}

func (e *Engine) finalKey(key string) string {
	return e.Rules.FinalPrefix + strings.TrimPrefix(key, e.Rules.Prefix)
}

func newObject(o *objectstore.Object, granted *stamp.Stamp, detected string) *Object {
	metadata := maps.Clone(o.Metadata)
	delete(metadata, rules.StampName)
	_, checksum, _ := strings.Cut(granted.Checksum, " ")
	return &Object{
		Key: o.Key, Filename: granted.Filename, Type: granted.Type, Detected: detected, Size: o.Size, ETag: o.ETag,
		VersionID: o.VersionID, Checksum: checksum, Metadata: metadata, Owner: granted.Owner,
		GrantID: hex.EncodeToString(granted.ID[:]), Granted: granted.Issued,
	}
}

// StoreError wraps an error of the object store in the errors of this package.
func StoreError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, objectstore.ErrNoUpload):
		return fmt.Errorf("%w: the multipart upload was completed or aborted", ErrNotUploaded)
	case errors.Is(err, objectstore.ErrNotFound):
		return fmt.Errorf("%w: no object has this key", ErrNotUploaded)
	case errors.Is(err, objectstore.ErrChanged):
		return ErrChanged
	}
	return fmt.Errorf("%w: %w", ErrStore, err)
}
