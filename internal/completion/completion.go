// Package completion verifies uploads against their grants, publishes them, and
// runs the service's hooks.
package completion

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"strings"
	"time"

	"github.com/s3presign/presign/internal/objectkey"
	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/rules"
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
var errNoGrant = fmt.Errorf("%w: no object with a grant of this owner has this key", ErrNotUploaded)

const (
	// StoreTime is the limit for one answer of the store.
	StoreTime = 10 * time.Second

	// maxTurns is how often a completion starts again because an object changed.
	maxTurns = 3

	// hookPeriod is how long after the Deadline of an upload its repeated
	// completions still call the hooks. Without an end, anyone could have them
	// called for every file that was ever published.
	hookPeriod = 7 * 24 * time.Hour
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
	Get(ctx context.Context, key, version string, n int) (*objectstore.Object, []byte, error)
	Head(ctx context.Context, key, version string) (*objectstore.Object, error)
	Open(ctx context.Context, o *objectstore.Object) (io.ReadCloser, error)
	Copy(ctx context.Context, c *objectstore.Copy) (*objectstore.Object, error)
	Delete(ctx context.Context, o *objectstore.Object) error
}

// Stamps seals and opens the stamps of objects.
type Stamps interface {
	Open(sealed, key string) (*stamp.Stamp, error)
	OpenPublished(sealed, key string) (*stamp.Published, error)
	SealPublished(published *stamp.Published, key string) string

	// Fingerprint identifies the secrets of the stamps.
	Fingerprint() string
}

// A Hook is called with a completed object before its upload is deleted, so that
// the upload can be completed again until the hook has succeeded.
type Hook func(context.Context, *Object) error

// An Engine completes the uploads of one bucket under one set of rules. It is
// safe for concurrent use.
type Engine struct {
	Rules  *rules.Rules
	Store  Store
	Stamps Stamps
	Logger *slog.Logger

	// HonorsConditions is set if the store is known to honor the conditions of
	// copies. Without it, every copy is compared with the upload.
	HonorsConditions bool

	// OnComplete is called with every completed object. It may be nil.
	OnComplete Hook
}

// A Result is a completed upload.
type Result struct {
	Object *Object

	// Clean deletes the upload, after the caller has answered its client. It is
	// called once.
	Clean func(context.Context)
}

// changedError is returned if the completion must start again.
type changedError struct{ reason string }

func (e *changedError) Error() string { return ErrChanged.Error() + ": " + e.reason }
func (e *changedError) Unwrap() error { return ErrChanged }

// Complete verifies and publishes the upload under key if claim accepts its
// grant. For other grants it returns ErrNotUploaded. It returns a *Rejection
// for an upload that it has rejected and deleted.
func (e *Engine) Complete(ctx context.Context, key string, claim func(*stamp.Stamp) bool) (*Result, error) {
	if !strings.HasPrefix(key, e.Rules.Prefix) || strings.HasSuffix(key, "/") || objectkey.CheckKey(key) != nil {
		return nil, fmt.Errorf("%w: no grant has this key", ErrNotUploaded)
	}
	c := &completion{Engine: e, key: key, claim: claim}
	for turn := 1; ; turn++ {
		result, err := c.run(ctx)
		if changed := (*changedError)(nil); errors.As(err, &changed) && turn < maxTurns && ctx.Err() == nil {
			continue
		}
		return result, err
	}
}

// A completion is the completion of one upload.
type completion struct {
	*Engine
	key   string
	claim func(*stamp.Stamp) bool

	// withoutSource and withoutTarget are set if the store does not support the
	// conditions of a copy.
	withoutSource, withoutTarget bool
}

// An upload is an object under Prefix with the stamp of its grant.
type upload struct {
	*objectstore.Object
	granted   *stamp.Stamp
	beginning []byte
}

// A publication is an object under FinalPrefix. Its stamp is nil if the service
// has stored the object.
type publication struct {
	*objectstore.Object
	stamped   *stamp.Published
	beginning []byte
}

// run makes one attempt.
func (c *completion) run(ctx context.Context) (*Result, error) {
	up, final, err := c.read(ctx)
	if err != nil {
		return nil, err
	}
	if up != nil && !c.claim(up.granted) {
		up = nil
	}
	isPublished := final != nil && final.stamped != nil && c.claim(&final.stamped.Stamp)
	if up == nil && !isPublished {
		// Another replica may have published and deleted the upload between the requests. The same requests are made
		// for other owners' uploads, so that they cannot be told from missing ones.
		if final, err = c.readAgain(ctx); err != nil {
			return nil, err
		}
		if final == nil || final.stamped == nil || !c.claim(&final.stamped.Stamp) {
			return nil, errNoGrant
		}
		isPublished = true
	}
	if isPublished && (up == nil || up.granted.ID == final.stamped.ID) {
		return c.repeat(ctx, up, final)
	}
	return c.complete(ctx, up, final)
}

// repeat completes an upload that has been published before.
func (c *completion) repeat(ctx context.Context, up *upload, final *publication) (*Result, error) {
	if up != nil && c.isTorn(up, final) {
		result, err := c.complete(ctx, up, final)
		if rejection := (*Rejection)(nil); errors.As(err, &rejection) {
			// What was verified is gone, and nobody has verified the copy.
			if err := c.delete(context.WithoutCancel(ctx), final.Object); err != nil {
				return nil, fmt.Errorf("deleting a copy of another upload: %w", err)
			}
		}
		return result, err
	}
	// If the object differs from its stamp, the service has rewritten it, for example to strip its metadata.
	return c.finish(ctx, newObject(final.Object, &final.stamped.Stamp, final.stamped.Detected), up, final.stamped.Until)
}

// isTorn reports whether a publication is a copy of something that was not
// verified: the upload was replaced between the two, the store ignored the
// condition on the source, and the process ended before it compared the copy. If
// the upload is older than what was verified, or newer than the copy, or the copy
// is newer than its stamp, the service has rewritten the file instead.
func (c *completion) isTorn(up *upload, final *publication) bool {
	at := final.stamped.At
	return !c.HonorsConditions && !final.matches() && !up.LastModified.Before(at) && !up.LastModified.After(final.LastModified) &&
		final.LastModified.Before(at.Add(copyTime(final.stamped.Size)))
}

// matches reports whether the object is what its stamp describes.
func (p *publication) matches() bool {
	s := p.stamped
	return p.Size == s.Size && digest(p.beginning[:min(len(p.beginning), s.Digested)]) == s.Beginning &&
		(s.MD5 == [16]byte{} || !p.HasMD5() || parseMD5(p.ETag) == s.MD5)
}

// complete verifies and publishes an upload. If final is not nil, it is what has
// the final key.
func (c *completion) complete(ctx context.Context, up *upload, final *publication) (*Result, error) {
	granted := up.granted
	replaces := granted.Replace && c.Rules.Replace
	if time.Now().After(granted.Until) {
		return nil, fmt.Errorf("%w: that was possible until %s", ErrExpired, granted.Until.Format(time.RFC3339))
	}
	switch {
	case final == nil || final.stamped != nil && final.stamped.ID == granted.ID:
	case final.stamped == nil && granted.Random:
		// Only this upload has the key, so that the service has published and rewritten it.
		return c.finish(ctx, newObject(final.Object, granted, ""), up, granted.Until)
	case !replaces && final.stamped == nil:
		return nil, Taken() // The upload is kept: the service may make room.
	case !replaces:
		return nil, c.reject(ctx, up, Taken())
	case final.stamped != nil && granted.Issued.Before(final.stamped.Issued):
		return nil, c.reject(ctx, up, rules.Violate("key", rules.CodeSuperseded, "must not hold an object that was granted later"))
	}
	v := c.verify(up)
	if len(v.violations) > 0 {
		return nil, c.reject(ctx, up, v.violations...)
	}
	if c.Rules.FinalPrefix == "" {
		return c.finish(ctx, newObject(up.Object, granted, v.detected), nil, granted.Until)
	}
	// A verified upload is published even if the client leaves.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), copyTime(up.Size)+2*StoreTime)
	defer cancel()
	published, err := c.publish(ctx, up, final, v)
	if err != nil {
		return nil, err
	}
	return c.finish(ctx, newObject(published, granted, v.detected), up, granted.Until)
}

// finish calls the hook, unless the upload's Deadline is long over. Until it has
// succeeded, the upload stays and can be completed again.
func (c *completion) finish(ctx context.Context, o *Object, up *upload, until time.Time) (*Result, error) {
	if c.OnComplete != nil && time.Now().Before(until.Add(hookPeriod)) {
		if err := c.OnComplete(ctx, o); err != nil {
			return nil, err
		}
	}
	return &Result{Object: o, Clean: func(ctx context.Context) {
		if up != nil {
			_ = c.delete(ctx, up.Object) // Best effort: a lifecycle rule removes what is left.
		}
	}}, nil
}

// reject deletes an upload and returns its Rejection, or the error of the
// store if the deletion fails.
func (c *completion) reject(ctx context.Context, up *upload, violations ...*rules.Violation) error {
	if err := c.delete(context.WithoutCancel(ctx), up.Object); err != nil {
		return fmt.Errorf("deleting the rejected upload: %w", err)
	}
	return &Rejection{Object: newObject(up.Object, up.granted, ""), Violations: violations}
}

// Taken returns the Violation of an upload that must not replace an object.
func Taken() *rules.Violation {
	return rules.Violate("key", rules.CodeTaken, "must not be taken by another object, which this upload may not replace")
}

// delete deletes an upload that is published or rejected. An object that has
// replaced it was uploaded with the same grant, so it stays until its own
// completion.
func (c *completion) delete(ctx context.Context, o *objectstore.Object) error {
	ctx, cancel := context.WithTimeout(ctx, StoreTime)
	defer cancel()
	if err := c.Store.Delete(ctx, o); !errors.Is(err, objectstore.ErrChanged) {
		return StoreError(err)
	}
	return nil
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
		return fmt.Errorf("%w: %w", ErrChanged, err)
	}
	return fmt.Errorf("%w: %w", ErrStore, err)
}
