package completion

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/s3presign/presign/internal/objectkey"
	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/rules"
	"github.com/s3presign/presign/internal/sniff"
	"github.com/s3presign/presign/internal/stamp"
)

// read reads the upload and the object under its final key, in parallel. Each
// is nil if it does not exist.
func (c *completion) read(ctx context.Context) (*upload, *publication, error) {
	var up *upload
	var final *publication
	err := inParallel(
		func() (err error) { up, err = c.readUpload(ctx); return err },
		func() (err error) { final, err = c.readFinal(ctx); return err },
	)
	return up, final, err
}

// readUpload returns the upload under the key. It returns nil if the key has no
// object, or an object without a stamp for this key. If the checksum is needed,
// readUpload makes a second request in parallel, whose response must describe
// the same object.
func (c *completion) readUpload(ctx context.Context) (*upload, error) {
	var object, described *objectstore.Object
	var beginning []byte
	err := inParallel(
		func() (err error) { object, beginning, err = c.get(ctx, c.key, ""); return err },
		func() (err error) {
			if c.Rules.Checksum != "" || c.Inspect != nil {
				described, err = c.head(ctx, c.key, "")
			}
			return err
		},
	)
	if err != nil || object == nil {
		return nil, err
	}
	granted, err := c.Stamps.Open(object.Metadata[rules.StampName], c.key)
	if err != nil {
		c.warnOfForeignStamp(ctx, object)
		return nil, nil
	}
	restoreName(object, granted)
	needed := granted.Checksum != "" || c.Inspect != nil
	if needed && described == nil {
		// A Signer with another policy has granted the upload, or the upload
		// appeared between the two requests.
		if described, err = c.head(ctx, c.key, object.VersionID); err != nil {
			return nil, err
		}
	}
	if needed {
		if described == nil || !object.Same(described) {
			return nil, &changedError{"the upload was replaced while it was read"}
		}
		object.Checksums, object.ChecksumType = described.Checksums, described.ChecksumType
	}
	return &upload{object, granted, beginning}, nil
}

// readFinal returns the object under the final key, or nil.
func (c *completion) readFinal(ctx context.Context) (*publication, error) {
	if c.Rules.FinalPrefix == "" {
		return nil, nil
	}
	object, beginning, err := c.get(ctx, c.FinalKey(c.key), "")
	if err != nil || object == nil {
		return nil, err
	}
	stamped, err := c.Stamps.OpenPublished(object.Metadata[rules.StampName], c.key)
	if err != nil {
		// The service has stored the object, or removed its metadata.
		return &publication{object, nil, beginning}, nil
	}
	restoreName(object, &stamped.Stamp)
	return &publication{object, stamped, beginning}, nil
}

// restoreName sets a long file name to the name in Content-Disposition, because
// the stamp holds only a digest of a long name. Several stores lose the header
// if a form sets it. The name is then the end of the key, which is shorter but
// has the extension. A different name in the header is still a violation.
func restoreName(o *objectstore.Object, granted *stamp.Stamp) {
	granted.RestoreName(objectkey.Name(o.Header.Get("Content-Disposition")), objectkey.Last(o.Key))
}

// readAgain reads the final key once more. Without FinalPrefix, it reads a key
// that does not exist. Without s3:ListBucket, stores return 403 for such a key,
// and the status must not distinguish another owner's upload from a missing
// one.
func (c *completion) readAgain(ctx context.Context) (*publication, error) {
	if c.Rules.FinalPrefix != "" {
		return c.readFinal(ctx)
	}
	_, _, err := c.get(ctx, c.Rules.Prefix+".none", "")
	return nil, err
}

// get calls Store.Get with a time limit. It returns nil if there is no object.
func (c *completion) get(
	ctx context.Context, key, version string,
) (*objectstore.Object, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, StoreTime)
	defer cancel()
	object, beginning, err := c.Store.Get(ctx, key, version, sniff.Head)
	if errors.Is(err, objectstore.ErrNotFound) {
		return nil, nil, nil
	} else if errors.Is(err, objectstore.ErrChanged) {
		return nil, nil, &changedError{"an empty object was replaced while it was read"}
	}
	return object, beginning, StoreError(err)
}

// head calls Store.Head with a time limit. It returns nil if there is no
// object.
func (c *completion) head(ctx context.Context, key, version string) (*objectstore.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, StoreTime)
	defer cancel()
	object, err := c.Store.Head(ctx, key, version)
	if errors.Is(err, objectstore.ErrNotFound) {
		return nil, nil
	}
	return object, StoreError(err)
}

// warnOfForeignStamp logs an object with a stamp that none of the secrets
// opens. Replicas with different secrets would otherwise return 404 without a
// log record.
func (c *completion) warnOfForeignStamp(ctx context.Context, o *objectstore.Object) {
	if stamp.IsSealed(o.Metadata[rules.StampName]) {
		c.foreign = true
		c.Logger.WarnContext(ctx,
			"presign: a stamp does not open; "+
				"do all replicas have the same secret, endpoint and prefixes?",
			slog.String("key", o.Key), slog.String("fingerprint", c.Stamps.Fingerprint()))
	}
}

// inParallel calls functions at once and returns the first error in their
// order.
func inParallel(functions ...func() error) error {
	errs := make([]error, len(functions))
	var group sync.WaitGroup
	for i, f := range functions[1:] {
		group.Go(func() { errs[i+1] = f() })
	}
	errs[0] = functions[0]()
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
