package presign

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/seal"
	"github.com/s3presign/presign/internal/stamp"
)

// The limits of S3: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html.
const (
	maxParts    = 10_000
	minPartSize = 5 << 20        // of all parts but the last
	maxPartSize = maxRequestSize // of each
)

const (
	multipartTime    = 7 * 24 * time.Hour // from beginning to completion
	takeBackTime     = 2 * time.Second    // of backendTime, for what may have begun though the store did not say so
	multipartPurpose = "multipart"
)

// multipartChecksums are those algorithms by which S3 computes the checksum of a whole file from that of its parts.
var multipartChecksums = []types.ChecksumAlgorithm{
	types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c, types.ChecksumAlgorithmCrc64nvme,
}

// errDead is what can only begin again.
var errDead = fmt.Errorf("%w: the object that was under its key was deleted while the upload was under way, after "+
	"which S3 does not complete it; it was aborted and has to begin again", ErrChanged)

// Multipart is the upload of one file in parts. Each part is a PUT of its own, in any order and several at once, and
// can be repeated until the upload is completed. It is safe for concurrent use.
//
// Key, type, metadata and headers were fixed when the upload began, and the client has a URL for each part and nothing
// else. So it can do no more than send bytes: what becomes of them is decided by Complete.
//
// A Multipart comes from StartMultipart or ResumeMultipart; its exported fields are not to be changed.
type Multipart struct {
	// ID stands for the upload, sealed; the store's own ID is in it. Whoever has it can, where ResumeMultipart is
	// called with it, do all that a Multipart does.
	ID string `json:"id"`

	// Key is the key of the object that the upload becomes.
	Key string `json:"key"`

	// PartSize is the size in bytes of all parts but the last. If the size of the file was not known, it is a proposal,
	// with which the parts suffice for the largest file that is admitted.
	PartSize int64 `json:"part_size"`

	// Expires is until when the upload can be completed: 7 days from its beginning.
	Expires time.Time `json:"expires_at"`

	signer   *Signer
	store    *objectstore.Upload
	lifetime time.Duration // of a part's URL
	granted  *stamp.Stamp
}

// StartMultipart begins an upload in parts, for files up to 48.8 TiB. It asks the store for it, with the client of
// WithStore.
//
// If upload.Size is known, each part is signed for its exact size. PartSize is then 5 MiB, or a 10,000th of the size if
// that is more. Without a size, a part may have up to 5 GiB, and the sum is looked at as parts are signed and when they
// are completed; a client that lies about what it has can so leave more with the store than Policy.MaxSize, until the
// upload is aborted. A bucket needs a lifecycle rule for incomplete uploads anyway.
//
// It returns Violations, joined, where the Policy does not admit the upload, and what the store failed with. A Policy
// with a Checksum has to name CRC32, CRC32C or CRC64NVME, the only ones that S3 has of a whole file in parts.
//
// See https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html.
func (s *Signer) StartMultipart(ctx context.Context, upload Upload) (*Multipart, error) {
	u, err := s.rules.admit(upload, s.rules.Metadata)
	return s.startMultipart(ctx, u, err, 0)
}

// startMultipart is StartMultipart for an upload that was admitted, or was not, for that reason, with parts of that size
// if it is not 0.
func (s *Signer) startMultipart(ctx context.Context, u Upload, fault error, partSize int64) (*Multipart, error) {
	faults := []error{fault}
	if s.rules.Checksum != "" && !slices.Contains(multipartChecksums, s.rules.Checksum) {
		faults = append(faults, violation("method", "cannot be multipart: S3 has no %s checksum of a whole file in parts", s.rules.Checksum))
	}
	if u.Redirect != "" {
		faults = append(faults, violation("redirect", "is for forms only"))
	}
	smallest := max(minPartSize, divided(u.MaxSize, maxParts))
	partSize = cmp.Or(partSize, smallest)
	if fault == nil && (partSize < smallest || partSize > maxPartSize) {
		faults = append(faults, violation("partSize", "is %d bytes; it is between %d and %d", partSize, smallest, int64(maxPartSize)))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	key, err := s.key(u)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	expires := wholeSecond(now).Add(multipartTime)
	metadata := pairs(u.Metadata)
	granted := s.granted(u, metadata, now, expires)
	sealed, err := s.sealStamp(&granted, key, metadata)
	if err != nil {
		return nil, err
	}

	header := map[string]string{
		"Content-Type":        u.Type,
		"Content-Disposition": disposition(s.rules.inline, u.Filename),
	}
	for _, h := range s.rules.headers {
		header[h.Name] = h.Value
	}
	carried := map[string]string{stampName: sealed}
	for _, m := range metadata {
		carried[m.Name] = m.Value
	}
	random := u.Key == "" || strings.HasSuffix(u.Key, "/")
	begun, err := s.begin(ctx, key, header, carried, random)
	if err != nil {
		return nil, err
	}
	m := &Multipart{
		Key: key, PartSize: partSize, Expires: expires, signer: s, store: begun, lifetime: u.Lifetime, granted: &granted,
	}
	payload := (&stamp.Multipart{
		Key: key, UploadID: begun.ID, PartSize: partSize, Expires: expires, Lifetime: u.Lifetime, Stamp: granted,
	}).Append(nil)
	if len(payload) > seal.MaxPayload {
		err := fmt.Errorf("%w: its ID of an upload has %d bytes", errStore, len(begun.ID))
		return nil, errors.Join(err, m.giveUp(ctx))
	}
	m.ID = s.seal.Seal(multipartPurpose, payload)
	return m, nil
}

// begin creates an upload at the store. If the answer does not arrive, one may have begun nevertheless; under a random
// key it is certainly nobody else's.
func (s *Signer) begin(
	ctx context.Context, key string, header, metadata map[string]string, random bool,
) (*objectstore.Upload, error) {
	deadline := time.Now().Add(backendTime)
	bounded, cancel := context.WithDeadline(ctx, deadline.Add(-takeBackTime))
	defer cancel()
	begun, err := s.store.CreateUpload(bounded, key, header, metadata, string(s.rules.Checksum))
	if err != nil && random {
		bounded, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
		defer cancel()
		_ = s.store.AbortUploads(bounded, key, header) // else a lifecycle rule does
	}
	return begun, storeError(err)
}

// ResumeMultipart returns the upload with this ID, without a request. Any Signer for the same bucket and Policy, with
// the same secret (WithSecret), takes it. It returns ErrInvalidID, or ErrExpired after Multipart.Expires. Whose upload
// it is, the caller has to know: an ID is as good as the one who brings it. The Handler takes it from the owner alone.
func (s *Signer) ResumeMultipart(id string) (*Multipart, error) {
	m, err := s.openMultipart(id)
	if err != nil {
		return nil, err
	}
	return m, m.alive()
}

func (s *Signer) openMultipart(id string) (*Multipart, error) {
	payload, err := s.seal.Open(multipartPurpose, id)
	if err != nil {
		return nil, ErrInvalidID
	}
	sealed, err := stamp.ParseMultipart(payload)
	if err != nil {
		return nil, ErrInvalidID
	}
	header := make(map[string]string)
	for _, h := range s.rules.headers {
		header[h.Name] = h.Value
	}
	return &Multipart{
		ID: id, Key: sealed.Key, PartSize: sealed.PartSize, Expires: sealed.Expires,
		signer: s, store: &objectstore.Upload{Key: sealed.Key, ID: sealed.UploadID, Header: header},
		lifetime: sealed.Lifetime, granted: &sealed.Stamp,
	}, nil
}

func (m *Multipart) alive() error {
	if m.signer == nil {
		return fmt.Errorf("%w: it comes from no Signer; ResumeMultipart takes its ID", ErrInvalidID)
	}
	if time.Now().After(m.Expires) {
		return fmt.Errorf("%w: that was possible until %s", ErrExpired, m.Expires.Format(time.RFC3339))
	}
	return nil
}

// String leaves out the ID, so that a Multipart can be printed.
func (m Multipart) String() string { return m.LogValue().String() }

// LogValue leaves out the ID, so that a Multipart can be logged.
func (m Multipart) LogValue() slog.Value {
	return slog.GroupValue(slog.String("key", m.Key), slog.Time("expires_at", m.Expires))
}

// Abort ends the upload and deletes what has arrived of it. Parts that are on their way meanwhile are deleted too, as
// far as they arrive within a few seconds. An upload that has ended already is not an error; what it became stays.
func (m *Multipart) Abort(ctx context.Context) error {
	if m.signer == nil {
		return m.alive()
	}
	ctx, cancel := context.WithTimeout(ctx, backendTime)
	defer cancel()
	return storeError(m.signer.store.AbortUpload(ctx, m.store))
}

// giveUp aborts what is refused, whether the client waits or not.
func (m *Multipart) giveUp(ctx context.Context) error {
	return m.Abort(context.WithoutCancel(ctx))
}

// Complete makes an object of parts, which the client names by number and, if it knows it, ETag; or of all that have
// arrived, if parts is empty. It then verifies and publishes the object, and returns it, as Signer.Complete does.
//
// What the parts are, it asks the store. If they are more bytes together than were granted, it aborts the upload and
// returns a Violation; no object appears. It does so too if the key is taken and Policy.Replace not set. Violations of
// the parts themselves, or of the checksum, and too few bytes leave the upload as it is: the client can send what is
// missing, or a part again.
//
// Beside Violations it returns ErrNotUploaded (it was aborted, or refused; or another call completes it, and the store has
// not ended that within three seconds), ErrExpired, and what the store failed with. Whatever it fails with, it can be called
// again: an upload that is complete already is found by its grant. ErrChanged says that a part was replaced meanwhile, or
// that another call completes the upload, and to try again; or, if the key's former object was deleted meanwhile, that the
// upload is lost and has to begin again. S3 takes minutes for many parts: the request lasts as long as ctx.
func (m *Multipart) Complete(ctx context.Context, parts []Part) (*Object, error) {
	return m.complete(ctx, parts, noHook)
}

// complete is Complete with a hook, as Signer.complete has it.
func (m *Multipart) complete(
	ctx context.Context, parts []Part, hook func(context.Context, *Object) error,
) (*Object, error) {
	if err := m.alive(); err != nil {
		return nil, err
	}
	chosen, err := m.chosen(ctx, parts)
	if len(Violations(err)) > 0 {
		// While another call completes the upload, some stores list some of its parts, and then say that there is no such
		// upload; others may go on to list what is left, when there is the object.
		if chosen, err = m.chosen(ctx, parts); len(Violations(err)) > 0 {
			if object, err := m.completed(ctx, hook); !errors.Is(err, ErrNotUploaded) {
				return object, err
			}
		}
	}
	if errors.Is(err, objectstore.ErrNoUpload) {
		return m.awaited(ctx, hook)
	} else if err != nil {
		return nil, err
	}
	size := sum(chosen)
	if size > m.granted.MaxSize {
		return nil, errors.Join(m.sizeViolation(size), m.giveUp(ctx))
	}
	for _, p := range chosen[:len(chosen)-1] {
		if p.Size < minPartSize {
			return nil, violation("parts", "has %d bytes in part %d; all but the last have %d or more",
				p.Size, p.Number, minPartSize)
		}
	}
	var whole *objectstore.Whole
	if algorithm, digest, ok := strings.Cut(m.granted.Checksum, " "); ok {
		whole = &objectstore.Whole{Algorithm: algorithm, Value: digest}
	}
	replace := m.granted.Replace && m.signer.rules.Replace
	err = m.signer.store.CompleteUpload(ctx, m.store, chosen, size, whole, replace)
	switch {
	case err == nil, errors.Is(err, objectstore.ErrNoUpload):
		// Its parts were there a moment ago. Some stores say of an upload that another request completes that it is complete:
		// the SDK's own, too, when it repeats one whose answer was lost.
		object, err := m.awaited(ctx, hook)
		if errors.Is(err, ErrNotUploaded) {
			return nil, fmt.Errorf("%w: the upload has ended, and there is no object yet", ErrChanged)
		}
		return object, err
	case errors.Is(err, objectstore.ErrExists):
		// What is there may be this upload: the SDK repeats a request whose answer was lost.
		object, err := m.completed(ctx, hook)
		if !errors.Is(err, ErrNotUploaded) {
			return object, err
		}
		taken := violation("key", "is taken by another object, which this upload may not replace")
		return nil, errors.Join(taken, m.giveUp(ctx))
	case errors.Is(err, objectstore.ErrDead):
		return nil, errors.Join(errDead, m.giveUp(ctx))
	case errors.Is(err, objectstore.ErrBadDigest):
		return nil, violation("checksum", "is not that of the parts that have arrived")
	}
	return nil, storeError(err)
}

// awaited is completed for an upload of which it is not known when it ended: while one request completes it, stores may tell
// another that there is none, before there is the object.
func (m *Multipart) awaited(ctx context.Context, hook func(context.Context, *Object) error) (*Object, error) {
	for wait := 100 * time.Millisecond; ; wait *= 2 {
		object, err := m.completed(ctx, hook)
		if !errors.Is(err, ErrNotUploaded) || wait > 1600*time.Millisecond {
			return object, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// completed completes what the upload became, if it did. An object of another grant is not it.
func (m *Multipart) completed(ctx context.Context, hook func(context.Context, *Object) error) (*Object, error) {
	return m.signer.complete(ctx, m.Key, func(granted *stamp.Stamp) bool { return granted.ID == m.granted.ID }, hook)
}

// chosen returns the parts that the client names, or all, as they have arrived, unless they are fewer bytes than
// were granted.
func (m *Multipart) chosen(ctx context.Context, named []Part) ([]objectstore.Part, error) {
	arrived, err := m.arrived(ctx)
	if errors.Is(err, objectstore.ErrNoUpload) {
		return nil, err
	} else if err != nil {
		return nil, storeError(err)
	}
	chosen, err := choose(named, arrived)
	if err != nil {
		return nil, err
	}
	if size := sum(chosen); size < m.granted.MinSize {
		return nil, m.sizeViolation(size)
	}
	return chosen, nil
}

// choose returns the parts that the client names, as they have arrived.
func choose(named []Part, arrived []objectstore.Part) ([]objectstore.Part, error) {
	chosen := arrived
	if len(named) > 0 {
		chosen = make([]objectstore.Part, 0, len(named))
		byNumber := func(a, b Part) int { return cmp.Compare(a.Number, b.Number) }
		for _, want := range slices.SortedFunc(slices.Values(named), byNumber) {
			i, found := slices.BinarySearchFunc(arrived, want.Number, func(p objectstore.Part, number int) int {
				return cmp.Compare(p.Number, number)
			})
			if !found || !want.is(arrived[i]) {
				return nil, violation("parts", "has part %d, which has not arrived like that", want.Number)
			}
			chosen = append(chosen, arrived[i])
		}
	}
	for i, p := range chosen {
		if p.Number != i+1 { // a file with a hole, or with a piece twice
			return nil, violation("parts", "has part %d in place of part %d", p.Number, i+1)
		}
	}
	return chosen, nil
}
