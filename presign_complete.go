package presign

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/s3presign/presign/internal/filename"
	"github.com/s3presign/presign/internal/mediatype"
	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/sniff"
	"github.com/s3presign/presign/internal/stamp"
)

// What Complete returns beside Violations. They are wrapped in errors that tell more.
var (
	// ErrNotUploaded: there is no object with this key, or none that a grant of this Signer made.
	ErrNotUploaded = errors.New("presign: not uploaded")

	// ErrExpired: the upload was not completed within 24 hours of its grant's end.
	ErrExpired = errors.New("presign: too late to complete")

	// ErrChanged: the object was replaced while it was looked at. Try again.
	ErrChanged = errors.New("presign: the object changed meanwhile")
)

// errStore marks what the store failed with.
var errStore = errors.New("presign: the store failed")

const (
	completionTime = 24 * time.Hour // from the end of a grant
	stampName      = "presign"      // of the metadata that holds the stamp
	stampPurpose   = "stamp"
)

// Object is what the store holds, after it was held against its grant.
type Object struct {
	Key       string            `json:"key"` // under Policy.FinalPrefix if there is one
	Filename  string            `json:"filename"`
	Type      string            `json:"type"`               // as granted
	Detected  string            `json:"detected,omitempty"` // what the bytes look like, if they look like something
	Size      int64             `json:"size"`
	ETag      string            `json:"etag"`
	VersionID string            `json:"version_id,omitempty"`
	Checksum  string            `json:"checksum,omitempty"` // of Policy.Checksum's algorithm, in base64, confirmed by the store
	Metadata  map[string]string `json:"metadata,omitempty"`
	Owner     string            `json:"owner"`    // for whom it was granted
	GrantID   string            `json:"grant_id"` // the same at each completion of one upload, another for each grant
}

// Complete verifies what was uploaded under the key of a grant, and publishes it if Policy.FinalPrefix is set. The
// object carries its grant, sealed, so that nothing else is needed: Complete works in any replica that has the same
// secret (WithSecret), from a page, a queue, or an S3 event, and as often as it is called.
//
// It holds size, type, file name, metadata, headers and checksum, as the store tells them, against what was granted, and
// the first bytes against the type. What differs comes as Violations, joined, after the upload was deleted. What the
// bytes look like is a guess: a file can be two things at once, and nothing is said of what follows its beginning.
// A header that the store has lost is no breach (several lose Content-Disposition with a form); a copy has it again.
//
// With FinalPrefix the verified version is copied to the same key under FinalPrefix, and the upload deleted. No client
// can ever reach the copy. Without, the holder of a form, or of any grant under Policy.Replace, can replace the object
// until the grant ends: readers should then ask for the VersionID or the ETag that they got here.
//
// Beside Violations it returns ErrNotUploaded, ErrExpired and ErrChanged, wrapped, and what the store failed with. Whatever
// it fails with, it can be called again. Each request to the store is given 10 seconds, a copy as long as ctx lasts.
func (s *Signer) Complete(ctx context.Context, key string) (*Object, error) {
	return s.complete(ctx, key, func(string) bool { return true })
}

// complete is Complete for those owners that mine admits; to others there is nothing.
func (s *Signer) complete(ctx context.Context, key string, mine func(owner string) bool) (*Object, error) {
	if !strings.HasPrefix(key, s.rules.Prefix) || strings.HasSuffix(key, "/") || checkKey(key) != nil {
		return nil, fmt.Errorf("%w: no grant is for this key", ErrNotUploaded)
	}
	uploaded, err := s.head(ctx, key)
	if errors.Is(err, objectstore.ErrNotFound) && s.rules.FinalPrefix != "" {
		return s.published(ctx, key, mine)
	} else if err != nil {
		return nil, storeError(err)
	}
	granted, err := s.openStamp(uploaded, key)
	if err != nil || !mine(granted.Owner) {
		return nil, fmt.Errorf("%w: the object is of no grant for this key", ErrNotUploaded)
	}
	if time.Now().After(granted.Until) {
		return nil, fmt.Errorf("%w: that was possible until %s", ErrExpired, granted.Until.Format(time.RFC3339))
	}
	if s.rules.FinalPrefix != "" {
		// What was published of this grant stays, whatever was uploaded with it afterwards.
		if object, err := s.published(ctx, key, mine); err == nil && object.GrantID == hex.EncodeToString(granted.ID[:]) {
			if err := s.discard(ctx, uploaded); err != nil {
				return nil, err
			}
			return object, nil
		} else if err != nil && !errors.Is(err, ErrNotUploaded) {
			return nil, err
		}
	}

	beginning, detected, err := s.verify(ctx, uploaded, granted)
	if len(collect[*Violation](err)) > 0 {
		return nil, errors.Join(err, s.discard(ctx, uploaded))
	} else if err != nil {
		return nil, err
	}
	final := uploaded
	if s.rules.FinalPrefix != "" {
		if final, err = s.publish(ctx, uploaded, granted, beginning); err != nil {
			return nil, err
		}
		if err := s.discard(ctx, uploaded); err != nil {
			return nil, err
		}
	}
	return object(final, granted, detected), nil
}

// published returns what was published of the upload under key.
func (s *Signer) published(ctx context.Context, key string, mine func(owner string) bool) (*Object, error) {
	final, err := s.head(ctx, s.finalKey(key))
	if err != nil {
		return nil, storeError(err)
	}
	granted, err := s.openStamp(final, key)
	if err != nil || !mine(granted.Owner) {
		return nil, fmt.Errorf("%w: the object is of no grant for this key", ErrNotUploaded)
	}
	beginning, err := s.beginning(ctx, final)
	if err != nil {
		return nil, err
	}
	detected, err := sniff.Check(beginning, granted.Type)
	if err != nil {
		// It agreed when it was published. Unless the process died between copy and check, at a store that ignores conditions.
		return nil, &Violation{Field: "type", Detail: fmt.Sprintf("is %q, but the file %v", granted.Type, err)}
	}
	return object(final, granted, detected), nil
}

// publish copies what was verified, and begins like that, to where no client can reach it.
func (s *Signer) publish(ctx context.Context, uploaded *objectstore.Object, granted *stamp.Stamp, beginning []byte) (*objectstore.Object, error) {
	header := map[string]string{
		"Content-Type":        granted.Type,
		"Content-Disposition": filename.Disposition(s.rules.disposition, granted.Filename),
	}
	for _, h := range s.rules.headers {
		header[h.Name] = h.Value
	}
	final, err := s.store.Copy(ctx, uploaded, s.finalKey(uploaded.Key), s.rules.Replace, header, uploaded.Metadata)
	if errors.Is(err, objectstore.ErrExists) {
		// Another replica may have been faster, and what was uploaded meanwhile be something else.
		if other, openErr := s.openStamp(final, uploaded.Key); openErr == nil && other.ID == granted.ID {
			return final, nil
		}
		taken := &Violation{Field: "key", Detail: "is taken by another object, which this upload may not replace"}
		return nil, errors.Join(taken, s.discard(ctx, uploaded))
	} else if err != nil {
		return nil, storeError(err)
	}
	if final.Made {
		// The upload may have been replaced before it was copied by one with the same ETag: an MD5 can be made to collide.
		copied, err := s.beginning(ctx, final)
		if err == nil && !bytes.Equal(copied, beginning) {
			err = errors.Join(ErrChanged, s.discard(ctx, final))
		}
		if err != nil {
			return nil, err
		}
	}
	return final, nil
}

// discard deletes an upload that is published or refused. What took its place meanwhile was uploaded with the same grant
// and is nobody's loss: it is refused, or not taken for the upload, when it is completed.
func (s *Signer) discard(ctx context.Context, uploaded *objectstore.Object) error {
	ctx, cancel := context.WithTimeout(ctx, backendTime)
	defer cancel()
	if err := s.store.Delete(ctx, uploaded); !errors.Is(err, objectstore.ErrChanged) {
		return storeError(err)
	}
	return nil
}

func (s *Signer) head(ctx context.Context, key string) (*objectstore.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, backendTime)
	defer cancel()
	return s.store.Head(ctx, key)
}

func (s *Signer) beginning(ctx context.Context, o *objectstore.Object) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, backendTime)
	defer cancel()
	beginning, err := s.store.Beginning(ctx, o, sniff.Head)
	return beginning, storeError(err)
}

func (s *Signer) finalKey(key string) string {
	return s.rules.FinalPrefix + strings.TrimPrefix(key, s.rules.Prefix)
}

// verify holds an object against its grant, and returns its first bytes and what they look like.
func (s *Signer) verify(ctx context.Context, o *objectstore.Object, granted *stamp.Stamp) (beginning []byte, detected string, err error) {
	var violations []error
	violate := func(field, format string, args ...any) {
		violations = append(violations, &Violation{Field: field, Detail: fmt.Sprintf(format, args...)})
	}
	if o.Size < granted.MinSize || o.Size > granted.MaxSize {
		violate("size", "is %d bytes; granted were %d to %d", o.Size, granted.MinSize, granted.MaxSize)
	}
	if t, err := mediatype.Parse(o.Header.Get("Content-Type")); err != nil || t != granted.Type {
		violate("type", "is %q; granted was %q", excerpt(o.Header.Get("Content-Type")), granted.Type)
	}
	// The absence of a header cannot be signed. What S3 tells of an object that was not granted, a client has added.
	for _, name := range observed {
		was, is := grantedHeader(granted, name), o.Header.Get(name)
		switch {
		case is == "", is == was, name == "x-amz-storage-class" && is == "STANDARD":
			continue
		case name == "cache-control" && was == "" && (is == "max-age=0" || is == "no-cache"):
			continue // Chromium adds these by itself to what a page sends after it was reloaded
		}
		violate(name, "is %q; granted was %q", excerpt(is), was)
	}
	if metadataDigest(o.Metadata) != granted.Metadata {
		violate("metadata", "is not what was granted")
	}
	if algorithm, digest, ok := strings.Cut(granted.Checksum, " "); ok {
		switch got := o.Checksums[algorithm]; got {
		case digest:
		case "":
			violate("checksum", "was not confirmed: the store tells no %s of the object", algorithm)
		default:
			violate("checksum", "is %q; granted was %q", excerpt(got), digest)
		}
	}
	if beginning, err = s.beginning(ctx, o); err != nil {
		return nil, "", err
	}
	detected, err = sniff.Check(beginning, granted.Type)
	if err != nil {
		violate("type", "is %q, but the file %v", granted.Type, err)
	}
	return beginning, detected, errors.Join(violations...)
}

// observed are the headers that S3 tells of an object and that change what it is to those who read it.
var observed = []string{
	"cache-control", "content-disposition", "content-encoding", "content-language", "expires",
	"x-amz-storage-class", "x-amz-website-redirect-location",
}

func grantedHeader(granted *stamp.Stamp, name string) string {
	for _, h := range granted.Headers {
		if h.Name == name {
			if name == "content-disposition" {
				return filename.Disposition(h.Value, granted.Filename)
			}
			return h.Value
		}
	}
	return ""
}

// stamp returns the sealed grant that an object carries in its metadata.
func (s *Signer) stamp(u Upload, key string, now time.Time) (string, error) {
	granted := stamp.Stamp{
		Owner: u.Owner, Filename: u.Filename, Type: u.Type, MinSize: u.MinSize, MaxSize: u.MaxSize,
		Until: now.Add(u.Lifetime + completionTime), Headers: s.rules.stamped, Metadata: metadataDigest(u.Metadata),
	}
	rand.Read(granted.ID[:]) // never fails
	if s.rules.Checksum != "" {
		granted.Checksum = string(s.rules.Checksum) + " " + u.Checksum
	}
	sealed := s.seal.Seal(stampPurpose, granted.Append(make([]byte, 0, 512)), key)
	size := len(stampName) + len(sealed)
	for name, value := range u.Metadata {
		size += len(name) + len(value)
	}
	if size > maxMetadataSize {
		return "", &Violation{Field: "metadata", Detail: fmt.Sprintf("has %d bytes with the %d of the grant itself; S3 takes %d",
			size, len(stampName)+len(sealed), maxMetadataSize)}
	}
	return sealed, nil
}

func (s *Signer) openStamp(o *objectstore.Object, key string) (*stamp.Stamp, error) {
	payload, err := s.seal.Open(stampPurpose, o.Metadata[stampName], key)
	if err != nil {
		return nil, err
	}
	return stamp.Parse(payload)
}

// metadataDigest is of all metadata but the stamp.
func metadataDigest(metadata map[string]string) (digest [16]byte) {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		if name != stampName {
			b = append(append(append(append(b, name...), 0), metadata[name]...), 0)
		}
	}
	sum := sha256.Sum256(b)
	return [16]byte(sum[:16])
}

func object(o *objectstore.Object, granted *stamp.Stamp, detected string) *Object {
	metadata := maps.Clone(o.Metadata)
	delete(metadata, stampName)
	_, checksum, _ := strings.Cut(granted.Checksum, " ")
	return &Object{
		Key: o.Key, Filename: granted.Filename, Type: granted.Type, Detected: detected, Size: o.Size, ETag: o.ETag,
		VersionID: o.VersionID, Checksum: checksum, Metadata: metadata, Owner: granted.Owner, GrantID: hex.EncodeToString(granted.ID[:]),
	}
}

// storeError says what the store failed with in this package's own errors.
func storeError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, objectstore.ErrNotFound):
		return fmt.Errorf("%w: there is no object with this key", ErrNotUploaded)
	case errors.Is(err, objectstore.ErrChanged):
		return ErrChanged
	}
	return fmt.Errorf("%w: %w", errStore, err)
}
