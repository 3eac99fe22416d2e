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

// Errors that the methods of an Engine wrap. The root package exports some of
// them.
var (
	ErrNotUploaded = errors.New("presign: not uploaded")
	ErrExpired     = errors.New("presign: too late to complete")
	ErrChanged     = errors.New("presign: the object changed during completion; try again")
	ErrLost        = errors.New("presign: the upload is lost; start again")

	// ErrStore wraps errors returned by the object store.
	ErrStore = errors.New("presign: the store failed")

	// ErrService is wrapped if Inspect or OnComplete fails. Other errors that
	// such a failure wraps are not about the upload.
	ErrService = errors.New("presign: a function of the service failed")
)

// IsNotUploaded reports whether err is ErrNotUploaded and is about the upload
// itself.
func IsNotUploaded(err error) bool {
	return errors.Is(err, ErrNotUploaded) && !errors.Is(err, ErrService)
}

// errNoGrant is returned if the object is not the caller's. It does not reveal
// whether the object exists.
var errNoGrant = fmt.Errorf("%w: no object with a grant of this owner has this key", ErrNotUploaded)

// ErrForeignStamp is returned if the key has a stamp of our format that none of
// the secrets opens. It wraps ErrNotUploaded.
var ErrForeignStamp = fmt.Errorf("%w: the object has a stamp that does not open", ErrNotUploaded)

const (
	// StoreTime is the limit for one response of the store.
	StoreTime = 10 * time.Second

	// maxTurns is how many attempts a completion makes if objects change during
	// each of them.
	maxTurns = 3

	// hookPeriod is how long after the Deadline of an upload its repeated
	// completions still call the hooks. Without this limit, clients could
	// trigger the hooks for every file that was ever published.
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
	Reply     any

	Source *Source
}

// A Source reads the bytes of an Object. It holds only data, so that two
// Objects of one file are equal.
type Source struct {
	engine *Engine
	object objectstore.Object // with its version and ETag

	// seen records the bytes that are read during an inspection. It is nil if
	// no bytes must be recorded.
	seen *inspection
}

// Open returns the bytes of exactly this version.
func (s *Source) Open(ctx context.Context) (io.ReadCloser, error) {
	body, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	return s.seen.watch(body), nil
}

func (s *Source) open(ctx context.Context) (io.ReadCloser, error) {
	body, err := s.engine.Store.Open(ctx, &s.object)
	return body, StoreError(err)
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
	CheckCopy(ctx context.Context, c *objectstore.Copy) error
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

// A Hook is called with a completed object before its upload is deleted. So the
// upload can be completed again until the hook has succeeded.
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

	// Inspect is called with a verified upload before it is published. It
	// returns the violations that reject the upload, or an error such as
	// ErrPending, after which the upload is kept. It may be nil.
	Inspect func(context.Context, *Object) ([]*rules.Violation, error)

	// OnComplete is called with every completed object. It may be nil.
	OnComplete Hook

	// Observe is called once for every completion that ends. It may be nil.
	Observe func(context.Context, *Outcome)

	Flights Flights
}

// An Outcome describes how a completion ended.
type Outcome struct {
	Key      string
	Granted  *stamp.Stamp // nil if no grant was found
	Size     int64        // the size of the upload, if known
	Result   *Result      // nil if Err is set
	Err      error
	Duration time.Duration
}

// A Result is a completed upload.
type Result struct {
	Object *Object

	// Repeated is set if an earlier completion has published and deleted the
	// upload.
	Repeated bool

	// Clean deletes the upload. It is called once, after the caller has
	// responded to its client.
	Clean func(context.Context)
}

// changedError is returned if the completion must start again.
type changedError struct{ reason string }

func (e *changedError) Error() string { return ErrChanged.Error() + ": " + e.reason }
func (e *changedError) Unwrap() error { return ErrChanged }

// Complete verifies and publishes the upload under key if claim accepts its
// grant. For other grants it returns ErrNotUploaded. It returns a *Rejection
// for an upload that it has rejected and deleted.
func (e *Engine) Complete(
	ctx context.Context, key string, claim func(*stamp.Stamp) bool,
) (*Result, error) {
	return (&completion{Engine: e, key: key, claim: claim, observed: true}).start(ctx)
}

// CompleteUnobserved does the same as Complete, but does not call Observe.
func (e *Engine) CompleteUnobserved(
	ctx context.Context, key string, claim func(*stamp.Stamp) bool,
) (*Result, error) {
	return (&completion{Engine: e, key: key, claim: claim}).start(ctx)
}

// CompleteOrExpire does the same as Complete for a sweep. It also deletes an
// upload that can no longer be completed, and then returns ErrExpired.
func (e *Engine) CompleteOrExpire(ctx context.Context, key string) (*Result, error) {
	c := &completion{
		Engine: e, key: key, claim: func(*stamp.Stamp) bool { return true },
		observed: true, expires: true,
	}
	return c.start(ctx)
}

// start makes up to maxTurns attempts. It stops at the first attempt that
// succeeds, or that fails although no object has changed.
func (c *completion) start(ctx context.Context) (*Result, error) {
	started := time.Now()
	if !strings.HasPrefix(c.key, c.Rules.Prefix) || strings.HasSuffix(c.key, "/") ||
		objectkey.CheckKey(c.key) != nil {
		err := fmt.Errorf("%w: no grant has this key", ErrNotUploaded)
		c.observe(ctx, started, nil, nil, err)
		return nil, err
	}
	defer c.Flights.Enter(c.key)()
	for turn := 1; ; turn++ {
		result, err := c.run(ctx, started)
		if !isChanged(err) {
			return result, err
		}
		if turn == maxTurns || ctx.Err() != nil {
			err = lastError(err)
			c.observe(ctx, started, nil, nil, err)
			return nil, err
		}
	}
}

// observe reports how a completion ended.
func (c *completion) observe(
	ctx context.Context, started time.Time, up *upload, result *Result, err error,
) {
	if c.Observe == nil || !c.observed || c.expires && isNothing(err) {
		return
	}
	o := &Outcome{Key: c.key, Result: result, Err: err, Duration: time.Since(started)}
	if up != nil {
		o.Granted, o.Size = up.granted, up.Size
	}
	c.Observe(ctx, o)
}

// isNothing reports whether there is no upload: a sweep has listed an object of
// another kind, or another replica was faster.
func isNothing(err error) bool {
	return IsNotUploaded(err) && !errors.Is(err, ErrForeignStamp)
}

func isChanged(err error) bool {
	changed := (*changedError)(nil)
	return errors.As(err, &changed)
}

// lastError returns the error of a completion that does not start again. The
// error is not a *changedError, so that a completion that receives the error
// does not start again.
func lastError(err error) error {
	changed := (*changedError)(nil)
	errors.As(err, &changed)
	return fmt.Errorf("%w: %s", ErrChanged, changed.reason)
}

// A completion holds the state of one call that completes an upload.
type completion struct {
	*Engine
	key      string
	claim    func(*stamp.Stamp) bool
	observed bool // Observe is called; false if the caller is a flight
	expires  bool // an upload is deleted when its time to complete is over

	// foreign is set if the key has a stamp of our format that does not open.
	foreign bool

	// withoutSource and withoutTarget are set if the store does not support the
	// conditions of a copy.
	withoutSource, withoutTarget bool

	// torn is a published copy that was not verified, or nil. It is deleted
	// if the upload is not published.
	torn *objectstore.Object

	// unexplained counts the copies that failed because of a condition although
	// no object had changed.
	unexplained int
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
func (c *completion) run(ctx context.Context, started time.Time) (*Result, error) {
	up, final, err := c.find(ctx)
	if err != nil {
		if !isChanged(err) {
			c.observe(ctx, started, nil, nil, err)
		}
		return nil, err
	}
	ticket, known := Ticket{Key: c.key, Granted: grantOf(up, final), Nested: !c.observed}, up
	if up != nil {
		ticket.Upload = up.Object
	} else {
		known = &upload{Object: final.Object, granted: ticket.Granted}
	}
	run := func(ctx context.Context, _ *Flight) (*Result, error) {
		result, err := c.fly(ctx, up, final)
		c.observe(ctx, started, known, result, err)
		return result, err
	}
	result, err := c.Flights.Join(ctx, ticket, run)
	if errors.Is(err, ErrBusy) {
		c.observe(ctx, started, known, nil, err)
	}
	return result, err
}

// grantOf returns the grant of an upload, or of its publication if the upload
// is nil.
func grantOf(up *upload, final *publication) *stamp.Stamp {
	if up != nil {
		return up.granted
	}
	return &final.stamped.Stamp
}

// find returns the claimed upload under the key and the object under its final
// key. If there is neither the upload nor a claimed publication, it returns the
// Rejection of a completion that has just ended, or ErrNotUploaded.
func (c *completion) find(ctx context.Context) (*upload, *publication, error) {
	up, final, err := c.read(ctx)
	if err != nil {
		if c.Rules.FinalPrefix == "" && errors.Is(err, objectstore.ErrDenied) {
			// Another owner's object causes the same requests, so that a client
			// cannot distinguish it from a missing object.
			_, _ = c.readAgain(ctx)
		}
		return nil, nil, err
	}
	if up != nil && !c.claim(up.granted) {
		up = nil
	}
	if up != nil || final.isClaimed(c.claim) {
		return up, final, nil
	}
	// Another replica might have published and deleted the upload between the
	// requests. The same requests are made for other owners' uploads, so that a
	// client cannot distinguish them from missing ones.
	if final, err = c.readAgain(ctx); err != nil {
		return nil, nil, err
	}
	if final.isClaimed(c.claim) {
		return nil, final, nil
	}
	if rejection := c.Flights.Rejected(c.key, c.claim); rejection != nil {
		return nil, nil, rejection
	}
	if c.foreign {
		return nil, nil, ErrForeignStamp
	}
	return nil, nil, errNoGrant
}

// isClaimed reports whether a publication has a grant that claim accepts.
func (p *publication) isClaimed(claim func(*stamp.Stamp) bool) bool {
	return p != nil && p.stamped != nil && claim(&p.stamped.Stamp)
}

// fly completes an upload. It outlives its caller, so it makes further attempts
// itself if an object of the same grant changes.
func (c *completion) fly(ctx context.Context, up *upload, final *publication) (*Result, error) {
	id := grantOf(up, final).ID
	result, err := c.settle(ctx, up, final)
	for turn := 1; isChanged(err); turn++ {
		if turn == maxTurns {
			return nil, lastError(err)
		}
		if up, final, err = c.find(ctx); err != nil {
			continue
		}
		if grantOf(up, final).ID != id {
			// The callers of this flight start again with the other grant.
			return nil, &changedError{"an upload of another grant has replaced it"}
		}
		result, err = c.settle(ctx, up, final)
	}
	return result, err
}

// settle repeats the completion of an upload that was published before, or
// completes the upload.
func (c *completion) settle(ctx context.Context, up *upload, final *publication) (*Result, error) {
	c.torn = nil
	if final.isClaimed(c.claim) && (up == nil || up.granted.ID == final.stamped.ID) {
		return c.repeat(ctx, up, final)
	}
	return c.complete(ctx, up, final)
}

// repeat completes an upload that has been published before.
func (c *completion) repeat(ctx context.Context, up *upload, final *publication) (*Result, error) {
	if up != nil && c.isTorn(up, final) {
		// If the object is not a copy of this upload, the service might have
		// rewritten it, so it is kept.
		if final.isCopyOf(up) {
			c.torn = final.Object
		}
		return c.complete(ctx, up, final)
	}
	if !c.HonorsConditions && !final.matches() {
		if err := c.confirmFound(ctx, up, final); err != nil {
			return nil, err
		}
	}
	// If the object differs from its stamp, the service has rewritten it, for
	// example to strip its metadata.
	object := c.newObject(final.Object, &final.stamped.Stamp, final.stamped.Detected)
	result, err := c.finish(ctx, object, up, final.stamped.Until)
	if result != nil {
		result.Repeated = up == nil
	}
	return result, err
}

// confirmFound returns a *changedError if up or final has changed since both
// were read. Only a new upload can show that the publication is torn.
func (c *completion) confirmFound(ctx context.Context, up *upload, final *publication) error {
	nowUp, nowFinal, err := c.find(ctx)
	switch {
	case err != nil:
		return err
	case (nowUp == nil) != (up == nil), up != nil && !nowUp.Same(up.Object):
		return &changedError{"the upload was replaced while it was completed"}
	case nowFinal == nil || !nowFinal.Same(final.Object):
		return &changedError{"the published object was replaced meanwhile"}
	}
	return nil
}

// isTorn reports whether a publication is a copy of bytes that were not
// verified. This happens if
//   - a client replaced the upload between verification and copy,
//   - the store ignored the condition on the source, and
//   - the process ended before it compared the copy.
//
// The service has rewritten the file instead if the upload is older than its
// verification or newer than the copy. The same holds if the copy is newer than
// its stamp allows. It also holds if the bucket has versions, since every store
// copies the named version.
func (c *completion) isTorn(up *upload, final *publication) bool {
	at := final.stamped.At
	return !c.HonorsConditions && !up.Pinned() && !final.matches() && !up.LastModified.Before(at) && !up.LastModified.After(final.LastModified) &&
		final.LastModified.Before(at.Add(copyTime(final.stamped.Size)))
}

// isCopyOf reports whether the object has the content of the upload.
func (p *publication) isCopyOf(up *upload) bool {
	same, known := up.Compare(p.Object)
	return (same || !known) && p.Size == up.Size && digest(p.beginning) == digest(up.beginning)
}

// matches reports whether the object agrees with its stamp.
func (p *publication) matches() bool {
	s := p.stamped
	md5, _ := objectstore.ParseMD5(p.ETag)
	return p.Size == s.Size &&
		digest(p.beginning[:min(len(p.beginning), s.Digested)]) == s.Beginning &&
		(s.MD5 == [16]byte{} || !p.HasMD5() || md5 == s.MD5)
}

// complete verifies and publishes an upload. Final is the object under the
// final key, or nil.
func (c *completion) complete(
	ctx context.Context, up *upload, final *publication,
) (*Result, error) {
	granted := up.granted
	replaces := granted.Replace && c.Rules.Replace
	if time.Now().After(granted.Until) {
		return nil, c.expire(ctx, up)
	}
	switch {
	case final == nil || final.stamped != nil && final.stamped.ID == granted.ID:
	case final.stamped == nil && granted.Random:
		// Only this upload has the key, so the service has rewritten the
		// published object.
		return c.finish(ctx, c.newObject(final.Object, granted, ""), up, granted.Until)
	case !replaces && final.stamped == nil:
		// The upload is kept, since the service might delete the other object.
		return nil, Taken()
	case !replaces:
		return nil, c.reject(ctx, up, Taken())
	case final.stamped != nil && granted.Issued.Before(final.stamped.Issued):
		return nil, c.reject(ctx, up, rules.Violate(
			"key", rules.CodeSuperseded, "must not hold an object that was granted later"))
	}
	v := c.verify(up)
	if len(v.violations) > 0 {
		return nil, c.reject(ctx, up, v.violations...)
	}
	seen, err := c.inspect(ctx, up, final, v)
	if err != nil {
		return nil, err
	}
	if c.Rules.FinalPrefix == "" {
		return c.finish(ctx, c.newObject(up.Object, granted, v.detected), nil, granted.Until)
	}
	published, err := c.publish(ctx, up, final, v, seen)
	if err != nil {
		return nil, err
	}
	return c.finish(ctx, c.newObject(published, granted, v.detected), up, granted.Until)
}

// expire returns ErrExpired. A sweep deletes the upload.
func (c *completion) expire(ctx context.Context, up *upload) error {
	if err := c.deleteTorn(ctx); err != nil {
		return err
	}
	if c.expires {
		if err := c.delete(ctx, up.Object); err != nil {
			return fmt.Errorf("deleting an expired upload: %w", err)
		}
	}
	return fmt.Errorf("%w: the upload had to be completed by %s", ErrExpired,
		up.granted.Until.Format(time.RFC3339))
}

// finish calls the hook, unless hookPeriod has passed since until. The upload
// stays until the hook has succeeded, and can be completed again.
func (c *completion) finish(
	ctx context.Context, o *Object, up *upload, until time.Time,
) (*Result, error) {
	if c.OnComplete != nil && time.Now().Before(until.Add(hookPeriod)) {
		if err := c.OnComplete(ctx, o); err != nil {
			return nil, err
		}
	}
	return &Result{Object: o, Clean: func(ctx context.Context) {
		if up != nil {
			// Best effort: a lifecycle rule removes what is left.
			_ = c.delete(ctx, up.Object)
		}
	}}, nil
}

// reject deletes an upload and returns its Rejection, or the error of the
// store if the deletion fails.
func (c *completion) reject(ctx context.Context, up *upload, violations ...*rules.Violation) error {
	if err := c.deleteTorn(ctx); err != nil {
		return err
	}
	if err := c.delete(ctx, up.Object); err != nil {
		return fmt.Errorf("deleting the rejected upload: %w", err)
	}
	return &Rejection{Object: c.newObject(up.Object, up.granted, ""), Violations: violations}
}

// deleteTorn deletes the copy that was not verified, if there is one. It must
// be called before the upload is deleted, because only the upload shows that
// the service has not rewritten the copy.
func (c *completion) deleteTorn(ctx context.Context) error {
	if c.torn == nil {
		return nil
	}
	if err := c.delete(ctx, c.torn); err != nil {
		return fmt.Errorf("deleting a copy of another upload: %w", err)
	}
	return nil
}

// Taken returns the Violation of an upload that must not replace an object.
func Taken() *rules.Violation {
	return rules.Violate("key", rules.CodeTaken,
		"must not be taken by another object, which this upload may not replace")
}

// delete deletes an upload or a copy. If another object has replaced the
// object, delete returns nil, and the other object stays.
func (c *completion) delete(ctx context.Context, o *objectstore.Object) error {
	ctx, cancel := context.WithTimeout(ctx, StoreTime)
	defer cancel()
	if err := c.Store.Delete(ctx, o); !errors.Is(err, objectstore.ErrChanged) {
		return StoreError(err)
	}
	return nil
}

// FinalKey returns the key under which an upload is published.
func (e *Engine) FinalKey(key string) string {
	if e.Rules.FinalPrefix == "" {
		return key
	}
	return e.Rules.FinalPrefix + strings.TrimPrefix(key, e.Rules.Prefix)
}

func (c *completion) newObject(
	o *objectstore.Object, granted *stamp.Stamp, detected string,
) *Object {
	metadata := maps.Clone(o.Metadata)
	delete(metadata, rules.StampName)
	_, checksum, _ := strings.Cut(granted.Checksum, " ")
	return &Object{
		Key: o.Key, Filename: granted.Filename, Type: granted.Type, Detected: detected,
		Size: o.Size, ETag: o.ETag,
		VersionID: o.VersionID, Checksum: checksum, Metadata: metadata, Owner: granted.Owner,
		GrantID: hex.EncodeToString(granted.ID[:]), Granted: granted.Issued,
		Source: &Source{engine: c.Engine, object: objectstore.Object{
			Key: o.Key, ETag: o.ETag, VersionID: o.VersionID, Size: o.Size, LastModified: o.LastModified,
		}},
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
