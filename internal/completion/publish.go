package completion

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"time"

	"github.com/s3presign/presign/internal/grant"
	"github.com/s3presign/presign/internal/objectheader"
	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/rules"
	"github.com/s3presign/presign/internal/stamp"
)

// copyTime returns the limit for the copy of an object.
func copyTime(size int64) time.Duration {
	const rate = 32 << 20 // bytes per second
	return 10*time.Second + time.Duration(size/rate)*time.Second
}

// publish copies a verified upload to its final key and returns the copy. Final
// is the object under the final key, or nil. After a *changedError, both keys
// must be read again.
func (c *completion) publish(
	ctx context.Context, up *upload, final *publication, v verdict, seen *inspection,
) (*objectstore.Object, error) {
	published := stamp.Published{
		Stamp: *up.granted, At: storeTime(up.Object), Size: up.Size, Detected: v.detected,
		Digested: len(up.beginning), Beginning: digest(up.beginning),
	}
	if up.HasMD5() {
		published.MD5, _ = objectstore.ParseMD5(up.ETag)
	}
	// The limit leaves time to read the copy and compare it with the inspected
	// upload.
	ctx, cancel := context.WithTimeout(ctx, 2*copyTime(up.Size)+2*StoreTime)
	defer cancel()
	metadata := maps.Clone(up.Metadata)
	metadata[rules.StampName] = c.Stamps.SealPublished(&published, c.key)
	request := &objectstore.Copy{
		From: up.Object, To: c.FinalKey(c.key),
		Header: c.copyHeader(up.granted), Metadata: metadata,
		WithoutSource: c.withoutSource, WithoutTarget: c.withoutTarget,
		Confirm: func(ctx context.Context) error { return c.confirm(ctx, final) },
	}
	request.Algorithm, _, _ = strings.Cut(up.granted.Checksum, " ")
	if seen.hasDigest() {
		request.Algorithm = "SHA256"
	}
	if final != nil {
		request.Replaces = final.Object
	}
	bounded, cancel := context.WithTimeout(ctx, copyTime(up.Size))
	defer cancel()
	made, err := c.Store.Copy(bounded, request)
	if err != nil {
		return nil, c.explainCopy(ctx, up, final, err)
	}
	if c.HonorsConditions && isImmutable(up) {
		made.Size, made.Metadata = up.Size, metadata
		return made, nil
	}
	return c.checkCopy(ctx, up, made, metadata, seen)
}

// storeTime returns the time of the store when it returned an object.
func storeTime(o *objectstore.Object) time.Time {
	if o.Answered.IsZero() {
		return time.Now()
	}
	return o.Answered
}

// isImmutable reports whether no client can replace the upload: it is a
// version, or a write-once PUT or multipart upload.
func isImmutable(up *upload) bool {
	return up.Pinned() || !up.granted.Replace && up.granted.Method != stamp.Form
}

// copyHeader returns the headers of a published copy.
func (c *completion) copyHeader(granted *stamp.Stamp) map[string]string {
	header := map[string]string{"Content-Type": granted.Type}
	for _, h := range c.Rules.CopyHeaders {
		if !objectheader.Returned(h.Name) {
			header[h.Name] = h.Value
		}
	}
	for _, h := range granted.Headers {
		header[h.Name] = h.Value
	}
	header["content-disposition"] = grant.Disposition(granted.Inline, granted.Filename)
	return header
}

// confirm returns a *changedError if the object under the final key is no
// longer final.
func (c *completion) confirm(ctx context.Context, final *publication) error {
	now, err := c.head(ctx, c.FinalKey(c.key), "")
	switch {
	case err != nil:
		return err
	case (now == nil) != (final == nil) || now != nil && !now.Same(final.Object):
		return &changedError{"an object was published under the same key meanwhile"}
	}
	return nil
}

// explainCopy returns a *changedError if a copy failed because of its
// conditions, or if the store made the copy but reported an error. It drops the
// conditions that the store does not support, if nothing else explains the
// failure.
func (c *completion) explainCopy(
	ctx context.Context, up *upload, final *publication, failed error,
) error {
	if changed := (*changedError)(nil); errors.As(failed, &changed) {
		return changed
	}
	if errors.Is(failed, objectstore.ErrCopying) {
		return errOtherCopy
	}
	unsupported := errors.Is(failed, objectstore.ErrUnsupported)
	if !unsupported && !errors.Is(failed, objectstore.ErrCondition) {
		published, err := c.readFinal(ctx)
		if err == nil && published != nil && published.stamped != nil &&
			published.stamped.ID == up.granted.ID &&
			(final == nil || !published.Same(final.Object)) {
			return &changedError{"a copy was made although the store reported an error"}
		}
		return StoreError(failed)
	}
	if err := c.confirm(ctx, final); err != nil {
		return err
	}
	switch now, err := c.head(ctx, c.key, up.VersionID); {
	case err != nil:
		return err
	case now == nil || !now.Same(up.Object):
		return &changedError{"the upload was replaced while it was copied"}
	case c.HonorsConditions:
		return &changedError{"an object came and went while the upload was copied"}
	case unsupported && c.withoutSource && c.withoutTarget:
		return StoreError(failed)
	}
	c.dropCondition(up, final, unsupported)
	return &changedError{"the store does not honor the conditions of a copy"}
}

// errOtherCopy is returned if another replica is copying the upload.
var errOtherCopy = fmt.Errorf("%w: another replica is publishing the upload", ErrPending)

// checkOtherCopy returns errOtherCopy if another replica is copying the upload.
// An inspection is then not necessary.
func (c *completion) checkOtherCopy(ctx context.Context, up *upload) error {
	if c.Rules.FinalPrefix == "" {
		return nil
	}
	err := c.Store.CheckCopy(ctx, &objectstore.Copy{
		From: up.Object, To: c.FinalKey(c.key), Header: c.copyHeader(up.granted),
	})
	if errors.Is(err, objectstore.ErrCopying) {
		return errOtherCopy
	}
	return StoreError(err)
}

// dropCondition drops a condition that failed although no object has changed.
// Some stores fail conditions on objects made of parts. Other objects might
// have been replaced and restored, so their conditions must fail twice. Without
// a condition, the next turn might publish an unverified upload for a moment.
func (c *completion) dropCondition(up *upload, final *publication, unsupported bool) {
	c.unexplained++
	switch {
	case unsupported && !c.withoutTarget:
		c.withoutTarget = true
	case unsupported:
		c.withoutSource = true
	case !c.withoutSource && !hexMD5(up.ETag):
		c.withoutSource = true
	case final != nil && !hexMD5(final.ETag):
		c.withoutTarget = true
	case c.unexplained > 1:
		c.withoutSource, c.withoutTarget = true, true
	}
}

// checkCopy compares a copy with the verified upload. If they differ, it
// deletes the copy, unless the copy is no longer the one that this call has
// made.
func (c *completion) checkCopy(
	ctx context.Context, up *upload, made *objectstore.Object, metadata map[string]string,
	seen *inspection,
) (*objectstore.Object, error) {
	copied, source, err := c.readCopy(ctx, up, made, seen)
	switch {
	case err != nil:
		return nil, err
	case copied == nil:
		return nil, &changedError{"the copy was deleted"}
	case copied.Metadata[rules.StampName] != metadata[rules.StampName]:
		return nil, &changedError{"another object was published under the same key"}
	}
	inspected, err := c.wasInspected(ctx, copied.Object, made, seen)
	if err != nil {
		return nil, err
	}
	reason := copied.difference(up, made, source)
	if reason == "" && !inspected {
		reason = "the copy differs from the inspected upload"
	}
	if reason == "" {
		c.warnOfLostHeaders(ctx, copied.Object)
		return copied.Object, nil
	}
	if strings.Trim(copied.ETag, `"`) != strings.Trim(made.ETag, `"`) {
		return nil, &changedError{"the service has rewritten the copy"}
	}
	if err := c.delete(ctx, copied.Object); err != nil {
		return nil, fmt.Errorf("deleting a copy that differs from its upload: %w", err)
	}
	return nil, &changedError{reason}
}

// readCopy returns a copy, or nil if it is gone. It adds the checksums of the
// copy to made if they are needed. The source is the object that the key of the
// upload has now, or nil if the ETags suffice for the comparison.
func (c *completion) readCopy(
	ctx context.Context, up *upload, made *objectstore.Object, seen *inspection,
) (copied *publication, source *objectstore.Object, err error) {
	var object, described *objectstore.Object
	var beginning []byte
	algorithm, _, hasChecksum := strings.Cut(up.granted.Checksum, " ")
	err = inParallel(
		func() (err error) {
			object, beginning, err = c.get(ctx, made.Key, made.VersionID)
			return err
		},
		func() (err error) {
			if !up.HasMD5() || !hexMD5(made.ETag) {
				source, err = c.head(ctx, c.key, up.VersionID)
			}
			return err
		},
		func() (err error) {
			if hasChecksum && !seen.hasDigest() && made.Checksums[algorithm] == "" || seen != nil {
				described, err = c.head(ctx, made.Key, made.VersionID)
			}
			return err
		},
	)
	if err != nil || object == nil {
		return nil, nil, err
	}
	if described != nil && len(described.Checksums) > 0 {
		made.Checksums, made.ChecksumType = described.Checksums, described.ChecksumType
	}
	return &publication{Object: object, beginning: beginning}, source, nil
}

// difference returns how a copy differs from its upload, or "".
func (p *publication) difference(up *upload, made, source *objectstore.Object) string {
	algorithm, sum, hasChecksum := strings.Cut(up.granted.Checksum, " ")
	got := made.Checksums[algorithm]
	switch same, known := up.Compare(p.Object); {
	case p.Size != up.Size, digest(p.beginning) != digest(up.beginning):
		return "the copy differs from the upload"
	case hasChecksum && got != "" && got != sum && !strings.Contains(got, "-"):
		return "the checksum of the copy differs from the grant"
	case known && !same:
		return "the ETag of the copy differs from the ETag of the upload"
	case !known && source != nil && !source.Same(up.Object):
		// If the upload is gone, another replica has verified this copy and
		// deleted the upload.
		return "the upload was replaced while it was copied"
	}
	return ""
}

// warnOfLostHeaders logs a copy without the Content-Disposition that makes
// browsers save it.
func (c *completion) warnOfLostHeaders(ctx context.Context, copied *objectstore.Object) {
	if copied.Header.Get("Content-Disposition") == "" {
		c.Logger.WarnContext(ctx,
			"presign: the store has lost the Content-Disposition of a copy; "+
				"browsers might show the file instead of saving it",
			slog.String("key", copied.Key))
	}
}

func digest(b []byte) [16]byte {
	sum := sha256.Sum256(b)
	return [16]byte(sum[:16])
}

// hexMD5 reports whether an ETag has the form of an MD5.
func hexMD5(etag string) bool {
	_, ok := objectstore.ParseMD5(etag)
	return ok
}
