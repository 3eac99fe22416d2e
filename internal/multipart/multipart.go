// Package multipart starts, signs, lists, completes and aborts multipart
// uploads.
package multipart

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/s3presign/presign/internal/completion"
	"github.com/s3presign/presign/internal/grant"
	"github.com/s3presign/presign/internal/objectkey"
	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/rules"
	"github.com/s3presign/presign/internal/s3limit"
	"github.com/s3presign/presign/internal/stamp"
)

// undoTime is the part of completion.StoreTime that is reserved for aborting an
// upload that might have started although the store did not respond.
const undoTime = 2 * time.Second

// ErrInvalidID is returned for an ID that no Engine with the same secret made
// for this owner.
var ErrInvalidID = errors.New("presign: not the ID of a multipart upload")

// errDead is returned if the client must start a new upload.
var errDead = fmt.Errorf("%w: S3 does not complete an upload if an object under its key "+
	"was deleted meanwhile; the upload was aborted", completion.ErrLost)

// A Store is the bucket that holds the uploads.
type Store interface {
	CreateUpload(
		ctx context.Context, key string, header, metadata map[string]string, algorithm string,
	) (*objectstore.Upload, error)
	Parts(
		ctx context.Context, u *objectstore.Upload, after int, algorithm string,
	) (parts []objectstore.Part, next int, err error)
	CompleteUpload(
		ctx context.Context, u *objectstore.Upload, parts []objectstore.Part, size int64,
		whole *objectstore.Whole, replace bool,
	) error
	AbortUpload(ctx context.Context, u *objectstore.Upload) error
	AbortUploads(ctx context.Context, key string, header map[string]string) error
}

// An Engine handles the multipart uploads of one bucket under one set of rules.
// It is safe for concurrent use.
type Engine struct {
	Rules      *rules.Rules
	Grants     *grant.Signer
	Stamps     *stamp.Sealer
	Store      Store
	Completion *completion.Engine

	// PartChecksums is set if the store rejects a part without its own checksum
	// when the upload has a checksum algorithm.
	PartChecksums bool

	progresses progressTable
}

// An Upload is one multipart upload. It is immutable and safe for concurrent
// use.
type Upload struct {
	ID, GrantID, Owner, Key string
	PartSize                int64
	Expires                 time.Time

	engine   *Engine
	store    *objectstore.Upload
	lifetime time.Duration // the lifetime of a part's URL
	granted  *stamp.Stamp
}

// Start starts an upload that was validated as a multipart upload. Its parts
// have partSize bytes, or the smallest possible size if partSize is 0.
func (e *Engine) Start(ctx context.Context, v rules.Valid, partSize int64) (*Upload, error) {
	u := v.Upload()
	smallest := max(s3limit.PartSize, divideUp(u.MaxSize, s3limit.Parts))
	partSize = cmp.Or(partSize, smallest)
	if partSize < smallest || partSize > s3limit.RequestSize {
		v := rules.Violate("partSize", rules.CodeInvalid, "must be between %d and %d bytes, got %d",
			smallest, int64(s3limit.RequestSize), partSize)
		v.Min, v.Max = smallest, s3limit.RequestSize
		return nil, v
	}
	key, err := e.Rules.Key(&v)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	expires := now.UTC().Truncate(time.Second).Add(grant.MultipartLifetime)
	metadata := rules.Sorted(u.Metadata)
	granted := e.Grants.Stamp(&u, metadata, now, expires)
	sealed, err := e.Grants.SealStamp(&granted, key, metadata)
	if err != nil {
		return nil, err
	}
	header := e.Header()
	header["Content-Type"], header["Content-Disposition"] = u.Type, grant.Disposition(e.Rules.UploadInline(), u.Filename)
	stored := map[string]string{rules.StampName: sealed}
	for _, m := range metadata {
		stored[m.Name] = m.Value
	}
	started, err := e.create(ctx, key, header, stored, v.HasRandomKey())
	if err != nil {
		return nil, err
	}
	m := &Upload{
		GrantID: u.GrantID, Owner: u.Owner, Key: key, PartSize: partSize, Expires: expires,
		engine: e, store: started, lifetime: u.Lifetime, granted: &granted,
	}
	m.ID, err = e.Stamps.SealMultipart(&stamp.MultipartUpload{
		Key: key, UploadID: started.ID, PartSize: partSize, Expires: expires,
		Lifetime: u.Lifetime, Stamp: granted,
	})
	if err != nil {
		err = fmt.Errorf("%w: its upload ID must be shorter, got %d bytes", completion.ErrStore,
			len(started.ID))
		return nil, errors.Join(err, m.abortAnyway(ctx))
	}
	return m, nil
}

// Header returns the headers of an upload.
func (e *Engine) Header() map[string]string {
	header := make(map[string]string)
	for _, h := range e.Rules.UploadHeaders {
		header[h.Name] = h.Value
	}
	return header
}

// create creates an upload at the store. If the store returns an error or no
// response, it might still have created the upload. So if the key is random,
// create then aborts all uploads to the key.
func (e *Engine) create(
	ctx context.Context, key string, header, metadata map[string]string, random bool,
) (*objectstore.Upload, error) {
	deadline := time.Now().Add(completion.StoreTime)
	bounded, cancel := context.WithDeadline(ctx, deadline.Add(-undoTime))
	defer cancel()
	created, err := e.Store.CreateUpload(bounded, key, header, metadata, string(e.Rules.Checksum))
	if err != nil && random {
		bounded, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
		defer cancel()
		// Best effort: a lifecycle rule removes what is left.
		_ = e.Store.AbortUploads(bounded, key, header)
	}
	return created, completion.StoreError(err)
}

// Resume returns the upload with this ID if it is the owner's. It makes no
// request.
func (e *Engine) Resume(owner, id string) (*Upload, error) {
	sealed, err := e.Stamps.OpenMultipart(id)
	if err != nil || sealed.Stamp.Owner != owner {
		return nil, ErrInvalidID
	}
	// The name is restored again when the header of the object is read.
	sealed.Stamp.RestoreName("", objectkey.Last(sealed.Key))
	m := &Upload{
		ID: id, GrantID: hex.EncodeToString(sealed.Stamp.ID[:]), Owner: owner, Key: sealed.Key,
		PartSize: sealed.PartSize, Expires: sealed.Expires,
		engine:   e,
		store:    &objectstore.Upload{Key: sealed.Key, ID: sealed.UploadID, Header: e.Header()},
		lifetime: sealed.Lifetime, granted: &sealed.Stamp,
	}
	return m, m.checkExpiry()
}

// AbortStored aborts a multipart upload by its key and the store's own ID.
func (e *Engine) AbortStored(ctx context.Context, key, id string) error {
	ctx, cancel := context.WithTimeout(ctx, completion.StoreTime)
	defer cancel()
	return completion.StoreError(e.Store.AbortUpload(ctx,
		&objectstore.Upload{Key: key, ID: id, Header: e.Header()}))
}

func (m *Upload) checkExpiry() error {
	if time.Now().After(m.Expires) {
		return fmt.Errorf("%w: the upload had to be completed by %s", completion.ErrExpired,
			m.Expires.Format(time.RFC3339))
	}
	return nil
}

// Abort ends the upload and deletes its parts. It also deletes parts that
// arrive within a few seconds. It returns nil if the upload has ended already.
func (m *Upload) Abort(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, completion.StoreTime)
	defer cancel()
	m.engine.progresses.remove(m.store.ID)
	return completion.StoreError(m.engine.Store.AbortUpload(ctx, m.store))
}

// reject aborts the upload and returns its Rejection, or the error of the store
// if the upload cannot be aborted.
func (m *Upload) reject(ctx context.Context, v *rules.Violation) error {
	if err := m.abortAnyway(ctx); err != nil {
		return fmt.Errorf("aborting the rejected upload: %w", err)
	}
	return &completion.Rejection{Violations: []*rules.Violation{v}, Object: &completion.Object{
		Key: m.Key, Filename: m.granted.Filename, Type: m.granted.Type, Owner: m.Owner,
		GrantID: m.GrantID, Granted: m.granted.Issued,
	}}
}

// abortAnyway aborts the upload even if the client has disconnected.
func (m *Upload) abortAnyway(ctx context.Context) error {
	return m.Abort(context.WithoutCancel(ctx))
}

// isSized reports whether the size of the file is known.
func (m *Upload) isSized() bool { return m.granted.MinSize == m.granted.MaxSize }

// algorithm returns the checksum algorithm with which the upload started,
// even if the policy has changed since.
func (m *Upload) algorithm() string {
	algorithm, _, _ := strings.Cut(m.granted.Checksum, " ")
	return algorithm
}

func (m *Upload) sizeViolation(size int64) *rules.Violation {
	return rules.GrantedSizeViolation(m.granted.MinSize, m.granted.MaxSize, size)
}

// divideUp returns a / b, rounded up.
func divideUp(a, b int64) int64 { return (a + b - 1) / b }
