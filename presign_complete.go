package presign

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/s3presign/presign/internal/mediatype"
	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/sigv4"
	"github.com/s3presign/presign/internal/sniff"
	"github.com/s3presign/presign/internal/stamp"
)

// What Complete returns beside Violations, and what is done to a Multipart. They are wrapped in errors that tell more.
var (
	// ErrNotUploaded: there is no object with this key, or none that a grant of this Signer made.
	ErrNotUploaded = errors.New("presign: not uploaded")

	// ErrExpired: the upload was not completed within 24 hours of its grant's end, or a Multipart within its 7 days.
	ErrExpired = errors.New("presign: too late to complete")

	// ErrInvalidID: this is not the ID of a Multipart of this Signer.
	ErrInvalidID = errors.New("presign: not the ID of a multipart upload")

	// ErrChanged: the object was replaced while it was looked at. Try again.
	ErrChanged = errors.New("presign: the object changed meanwhile")
)

// errNoGrant is said of all that is not the caller's, so that it tells nothing of it.
var errNoGrant = fmt.Errorf("%w: the object is of no grant for this key", ErrNotUploaded)

// errStore marks what the store failed with.
var errStore = errors.New("presign: the store failed")

const (
	completionTime = 24 * time.Hour // from the end of a grant
	stampName      = "presign"      // of the metadata that holds the stamp
	stampHeader    = "x-amz-meta-" + stampName
	stampPurpose   = "stamp"

	publishedPurpose = "published stamp"
)

// Object is what the store holds, after it was held against its grant.
type Object struct {
	Key       string            `json:"key"`                  // under Policy.FinalPrefix if there is one
	Filename  string            `json:"filename"`             // as granted, without a path
	Type      string            `json:"type"`                 // as granted
	Detected  string            `json:"detected,omitempty"`   // what the bytes look like, if they look like something
	Size      int64             `json:"size"`                 // in bytes
	ETag      string            `json:"etag"`                 // in its quotes
	VersionID string            `json:"version_id,omitempty"` // if the bucket has versions
	Checksum  string            `json:"checksum,omitempty"`   // of Policy.Checksum's algorithm, in base64, confirmed by the store
	Metadata  map[string]string `json:"metadata,omitempty"`   // but the grant's own
	Owner     string            `json:"owner"`                // for whom it was granted
	GrantID   string            `json:"grant_id"`             // the same at each completion of one upload, another for each grant
}

// Complete verifies what was uploaded under the key of a grant, and publishes it if Policy.FinalPrefix is set. The
// object carries its grant, sealed, so that nothing else is needed: Complete works in any replica that has the same
// secret (WithSecret), from a page, a queue, or an S3 event, and as often as it is called. Hooks (WithOnComplete) are
// the Handler's; Complete calls none.
//
// It holds size, type, file name, metadata, headers and checksum, as the store tells them, against what was granted and
// what the Policy still admits, and the first bytes against the type, unless the Policy sets a Content-Encoding. What
// differs comes as Violations, joined, after the upload was deleted. What the bytes look like is a guess: a file can be
// two things at once, and nothing is said of what follows its beginning. A header that the store has lost is no breach
// (several lose Content-Disposition with a form); a copy has it again.
//
// With FinalPrefix the verified version is copied to the same key under FinalPrefix, and the upload deleted, or left to a
// lifecycle rule if that fails. No grant reaches the copy; under Policy.Replace an upload that was granted later replaces
// it. Without FinalPrefix, the holder of a form, or of any grant under Policy.Replace, can replace the object until the
// grant ends: readers should then ask for the VersionID or the ETag that they got here.
//
// Beside Violations it returns ErrNotUploaded, ErrExpired and ErrChanged, wrapped, and what the store failed with. Whatever
// it fails with, it can be called again. Each request to the store is given 10 seconds. What was verified is published
// even if ctx ends meanwhile; a copy is given 5 minutes.
func (s *Signer) Complete(ctx context.Context, key string) (*Object, error) {
	return s.complete(ctx, key, func(*stamp.Stamp) bool { return true }, noHook)
}

func noHook(context.Context, *Object) error { return nil }

// complete is Complete for those grants that mine admits; of others there is nothing. It calls hook before it deletes
// what was uploaded, so that until the hook has succeeded there is something to complete for whoever looks.
func (s *Signer) complete(
	ctx context.Context, key string, mine func(*stamp.Stamp) bool, hook func(context.Context, *Object) error,
) (*Object, error) {
	if !strings.HasPrefix(key, s.rules.Prefix) || strings.HasSuffix(key, "/") || checkKey(key) != nil {
		return nil, fmt.Errorf("%w: no grant is for this key", ErrNotUploaded)
	}
	published, err := s.published(ctx, key)
	if err != nil {
		return nil, err
	}
	uploaded, granted, err := s.uploaded(ctx, key)
	if errors.Is(err, ErrNotUploaded) && published == nil {
		// Another replica may have published it, and deleted the upload, between the two looks.
		var again error
		if published, again = s.published(ctx, key); again != nil {
			return nil, again
		}
	} else if err != nil && !errors.Is(err, ErrNotUploaded) {
		return nil, err
	}
	// What was published of a grant stays, whatever was uploaded with it afterwards.
	if published != nil && (granted == nil || granted.ID == published.granted.ID) {
		if !mine(&published.granted.Stamp) {
			return nil, errNoGrant
		}
		return s.finish(ctx, published.object(), uploaded, granted, hook)
	}
	switch {
	case granted == nil:
		return nil, err
	case !mine(granted):
		return nil, errNoGrant
	case time.Now().After(granted.Until):
		return nil, fmt.Errorf("%w: that was possible until %s", ErrExpired, granted.Until.Format(time.RFC3339))
	case published != nil && granted.Issued.Before(published.granted.Issued):
		taken := violation("key", "is taken by an object that was granted later")
		return nil, errors.Join(taken, s.discard(ctx, uploaded))
	}

	beginning, detected, err := s.verify(ctx, uploaded, granted)
	if len(Violations(err)) > 0 {
		return nil, errors.Join(err, s.discard(ctx, uploaded))
	} else if err != nil {
		return nil, err
	}
	if s.rules.FinalPrefix == "" {
		return s.finish(ctx, object(uploaded, granted, detected), nil, nil, hook)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), completeTime)
	defer cancel()
	final, err := s.publish(ctx, uploaded, granted, beginning, detected)
	if err != nil {
		return nil, err
	}
	return s.finish(ctx, final, uploaded, granted, hook)
}

// finish calls the hook and deletes the upload. That failing leaves it to a lifecycle rule: it can do no more.
func (s *Signer) finish(ctx context.Context, o *Object, uploaded *objectstore.Object, granted *stamp.Stamp, hook func(context.Context, *Object) error) (*Object, error) {
	if err := hook(ctx, o); err != nil {
		return nil, err
	}
	if granted != nil {
		_ = s.discard(ctx, uploaded)
	}
	return o, nil
}

// uploaded returns what lies under key, with its grant.
func (s *Signer) uploaded(ctx context.Context, key string) (*objectstore.Object, *stamp.Stamp, error) {
	o, err := s.store.Head(ctx, key)
	if err != nil {
		return nil, nil, storeError(err)
	}
	payload, err := s.seal.Open(stampPurpose, o.Metadata[stampName], key)
	if err != nil {
		return o, nil, errNoGrant
	}
	granted, err := stamp.Parse(payload)
	if err != nil {
		return o, nil, errNoGrant
	}
	return o, granted, nil
}

// publication is a copy that was verified.
type publication struct {
	*objectstore.Object
	granted *stamp.Published
}

func (p *publication) object() *Object { return object(p.Object, &p.granted.Stamp, p.granted.Detected) }

// published returns what was published of the uploads under key; nil if nothing was. A copy that is not what was verified
// (at a store that ignores conditions, a process may have died between copy and check) is deleted.
func (s *Signer) published(ctx context.Context, key string) (*publication, error) {
	if s.rules.FinalPrefix == "" {
		return nil, nil
	}
	final, err := s.store.Head(ctx, s.finalKey(key))
	if errors.Is(err, objectstore.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, storeError(err)
	}
	payload, err := s.seal.Open(publishedPurpose, final.Metadata[stampName], key)
	if err != nil {
		return nil, nil // it is none of ours
	}
	granted, err := stamp.ParsePublished(payload)
	if err != nil {
		return nil, nil
	}
	beginning, err := s.beginning(ctx, final)
	if err != nil {
		return nil, err
	}
	if final.Size != granted.Size || digest(beginning) != granted.Beginning {
		return nil, s.discard(ctx, final)
	}
	return &publication{final, granted}, nil
}

// publish copies what was verified to where no client can reach it.
func (s *Signer) publish(ctx context.Context, uploaded *objectstore.Object, granted *stamp.Stamp, beginning []byte, detected string) (*Object, error) {
	header := map[string]string{"Content-Type": granted.Type}
	for _, h := range s.rules.headers {
		header[h.Name] = h.Value
	}
	for _, h := range granted.Headers {
		header[h.Name] = h.Value
	}
	header["content-disposition"] = disposition(granted.Inline, granted.Filename)
	published := stamp.Published{Stamp: *granted, Size: uploaded.Size, Beginning: digest(beginning), Detected: detected}
	metadata := maps.Clone(uploaded.Metadata)
	metadata[stampName] = s.seal.Seal(publishedPurpose, published.Append(make([]byte, 0, 512)), uploaded.Key)

	final, err := s.store.Copy(ctx, uploaded, s.finalKey(uploaded.Key), granted.Replace && s.rules.Replace, header, metadata)
	// What lies there is held against what was verified. It may be the copy of another replica, which has deleted the upload
	// already, or one of an upload that took this one's place and has the same ETag: an MD5 can be made to collide.
	there, lookErr := s.published(ctx, uploaded.Key)
	switch {
	case there != nil && there.granted.ID == granted.ID:
		return there.object(), nil
	case err != nil && !errors.Is(err, objectstore.ErrExists):
		return nil, storeError(err)
	case lookErr != nil:
		return nil, lookErr
	case err != nil:
		taken := violation("key", "is taken by another object, which this upload may not replace")
		return nil, errors.Join(taken, s.discard(ctx, uploaded))
	}
	return nil, fmt.Errorf("%w: the copy of %q came out as another object", ErrChanged, final.Key)
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

func (s *Signer) beginning(ctx context.Context, o *objectstore.Object) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, backendTime)
	defer cancel()
	beginning, err := s.store.Beginning(ctx, o, sniff.Head)
	return beginning, storeError(err)
}

func (s *Signer) finalKey(key string) string {
	return s.rules.FinalPrefix + strings.TrimPrefix(key, s.rules.Prefix)
}

// verify holds an object against its grant and the grant against the rules, which may have changed, or may be those of
// another Signer with the same prefixes. It returns the first bytes and what they look like.
func (s *Signer) verify(ctx context.Context, o *objectstore.Object, granted *stamp.Stamp) (beginning []byte, detected string, err error) {
	var violations []error
	violate := func(field, format string, args ...any) {
		violations = append(violations, violation(field, format, args...))
	}
	if least, most := max(granted.MinSize, s.rules.MinSize), min(granted.MaxSize, s.rules.MaxSize); o.Size < least || o.Size > most {
		violate("size", "is %d bytes; granted were %s", o.Size, span(least, most))
	}
	if t, err := mediatype.Parse(o.Header.Get("Content-Type")); err != nil || t != granted.Type {
		violate("type", "is %q; granted was %q", excerpt(o.Header.Get("Content-Type")), granted.Type)
	} else if !slices.ContainsFunc(s.rules.Types, func(pattern string) bool { return mediatype.Match(pattern, t) }) {
		violate("type", "is %q; allowed: %s", t, strings.Join(s.rules.Types, ", "))
	}
	if algorithm, _, _ := strings.Cut(granted.Checksum, " "); s.rules.Checksum != "" && algorithm != string(s.rules.Checksum) {
		violate("checksum", "is required: the file's %s digest", s.rules.Checksum)
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
	if metadataDigest(pairs(o.Metadata)) != granted.Metadata {
		violate("metadata", "is not what was granted")
	}
	if algorithm, sum, ok := strings.Cut(granted.Checksum, " "); ok {
		switch got := o.Checksums[algorithm]; got {
		case sum:
		case "":
			violate("checksum", "was not confirmed: the store tells no %s of the object", algorithm)
		default:
			violate("checksum", "is %q; granted was %q", excerpt(got), sum)
		}
	}
	if beginning, err = s.beginning(ctx, o); err != nil {
		return nil, "", err
	}
	if encoding := grantedHeader(granted, "content-encoding"); encoding == "" || encoding == "identity" {
		if detected, err = sniff.Check(beginning, granted.Type); err != nil {
			violate("type", "is %q, but the file %v", granted.Type, err)
		}
	}
	return beginning, detected, errors.Join(violations...)
}

// span names a range of sizes.
func span(least, most int64) string {
	if least == most {
		return strconv.FormatInt(least, 10)
	}
	return fmt.Sprintf("%d to %d", least, most)
}

// observed are the headers that S3 tells of an object and that change what it is to those who read it.
var observed = []string{
	"cache-control", "content-disposition", "content-encoding", "content-language", "expires",
	"x-amz-storage-class", "x-amz-website-redirect-location",
}

func grantedHeader(granted *stamp.Stamp, name string) string {
	if name == "content-disposition" {
		return disposition(granted.Inline, granted.Filename)
	}
	for _, h := range granted.Headers {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

// granted returns what completion has to know of a grant that is made now and ends then.
func (s *Signer) granted(u Upload, metadata []sigv4.Pair, now, ends time.Time) stamp.Stamp {
	granted := stamp.Stamp{
		Owner: u.Owner, Filename: u.Filename, Type: u.Type, MinSize: u.MinSize, MaxSize: u.MaxSize,
		Issued: now, Until: ends.Add(completionTime), Replace: s.rules.Replace, Inline: s.rules.inline,
		Headers: s.rules.stamped, Metadata: metadataDigest(metadata),
	}
	rand.Read(granted.ID[:]) // never fails
	if s.rules.Checksum != "" {
		granted.Checksum = string(s.rules.Checksum) + " " + u.Checksum
	}
	return granted
}

// sealStamp returns a grant as the object carries it beside this metadata.
func (s *Signer) sealStamp(granted *stamp.Stamp, key string, metadata []sigv4.Pair) (string, error) {
	sealed := s.seal.Seal(stampPurpose, granted.Append(make([]byte, 0, 512)), key)
	size := len(stampName) + len(sealed)
	for _, m := range metadata {
		size += len(m.Name) + len(m.Value)
	}
	if size > maxMetadataSize {
		return "", &Violation{Field: "metadata", Detail: fmt.Sprintf("has %d bytes with the %d of the grant itself; S3 takes %d",
			size, len(stampName)+len(sealed), maxMetadataSize)}
	}
	return sealed, nil
}

// metadataDigest is of all metadata but the stamp, and zero if there is none.
func metadataDigest(metadata []sigv4.Pair) (none [16]byte) {
	b := make([]byte, 0, 256)
	for _, m := range metadata {
		if m.Name != stampName {
			b = append(append(append(append(b, m.Name...), 0), m.Value...), 0)
		}
	}
	if len(b) == 0 {
		return none
	}
	return digest(b)
}

func digest(b []byte) [16]byte {
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
	case errors.Is(err, objectstore.ErrNoUpload):
		return fmt.Errorf("%w: there is no such multipart upload; it was completed or aborted", ErrNotUploaded)
	case errors.Is(err, objectstore.ErrNotFound):
		return fmt.Errorf("%w: there is no object with this key", ErrNotUploaded)
	case errors.Is(err, objectstore.ErrChanged):
		return ErrChanged
	}
	return fmt.Errorf("%w: %w", errStore, err)
}
