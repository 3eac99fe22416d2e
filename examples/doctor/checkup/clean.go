package checkup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"
)

// checkRemovable checks with the first object whether all uploads can be
// removed again. If a bucket keeps versions, the role of the store must be able
// to list them. The library itself does not need that right.
func (p *examiner) checkRemovable(ctx context.Context, key string) error {
	head, err := p.store.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &p.bucket, Key: &key})
	if err != nil {
		_, text := describe(err)
		return fmt.Errorf("the role of the store cannot read an object under %s: %s", p.prefix,
			text)
	}
	if head.VersionId == nil {
		return nil
	}
	_, err = p.versions(ctx, key)
	if err == nil {
		return nil
	}
	_, text := describe(err)
	if _, err := p.delete(ctx, types.ObjectIdentifier{
		Key: &key, VersionId: head.VersionId,
	}); err != nil {
		return err
	}
	return fmt.Errorf("the uploads of an examination must be removable:\n%w (%s)", errVersionsKept,
		text)
}

// clean removes everything under the prefixes of the doctor. It repeats this
// until the lists are empty, up to four times.
func (p *examiner) clean(ctx context.Context) error {
	var err error
	kept := false
	// If versioning is suspended, the first pass leaves delete markers for the
	// second.
	for range 4 {
		left := 0
		err = nil
		for _, prefix := range []string{p.uploads(), p.published(), p.own} {
			n, cleanErr := p.remove(ctx, prefix)
			// If several prefixes fail, the errors are alike.
			left, err = left+n, cmp.Or(err, cleanErr)
			kept = kept || errors.Is(cleanErr, errVersionsKept)
		}
		switch {
		case kept: // No list contains the versions that are left.
			return errVersionsKept
		case left == 0 && err == nil:
			return nil
		}
	}
	return cmp.Or(err, errors.New("deleted objects are listed again"))
}

// remove removes everything under a prefix and returns the number of objects
// and multipart uploads.
func (p *examiner) remove(ctx context.Context, prefix string) (n int, err error) {
	var removals errgroup.Group
	removals.SetLimit(atOnce)
	defer func() { err = errors.Join(err, removals.Wait()) }()
	uploads := s3.NewListMultipartUploadsPaginator(p.store, &s3.ListMultipartUploadsInput{
		Bucket: &p.bucket, Prefix: &prefix,
	})
	var unlisted error // Objects are removed despite this error.
	for uploads.HasMorePages() && unlisted == nil {
		page, listErr := uploads.NextPage(ctx)
		if listErr != nil {
			_, text := describe(listErr)
			unlisted = fmt.Errorf(
				"the store does not list multipart uploads, so parts might be left: %s", text)
			break
		}
		for _, u := range page.Uploads {
			if err := checkUnder(u.Key, prefix); err != nil {
				return n, err
			}
			n++
			removals.Go(func() error {
				_, err := p.store.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
					Bucket: &p.bucket, Key: u.Key, UploadId: u.UploadId,
				})
				if response, _ := describe(err); response.Code == "NoSuchUpload" {
					return nil
				}
				return err
			})
		}
	}
	objects, complete, err := p.objects(ctx, prefix)
	if err != nil {
		return n, err
	}
	for _, o := range objects {
		if err := checkUnder(o.Key, prefix); err != nil {
			return n, err
		}
		n++
		removals.Go(func() error {
			marker, err := p.delete(ctx, o)
			if marker && !complete {
				return errVersionsKept
			}
			return err
		})
	}
	return n, unlisted
}

// checkUnder returns an error if the store lists a key outside the prefix.
// Other keys must not be deleted.
func checkUnder(key *string, prefix string) error {
	if !strings.HasPrefix(aws.ToString(key), prefix) {
		return fmt.Errorf("the store must list only keys under %q, got %q", prefix,
			aws.ToString(key))
	}
	return nil
}

var errVersionsKept = errors.New("the bucket keeps versions that the store does not list\n" +
	"only for the doctor, the role of the store needs s3:ListBucketVersions on the bucket")

// delete deletes a version or, without an ID, an object. It reports whether the
// store created a delete marker.
func (p *examiner) delete(ctx context.Context, o types.ObjectIdentifier) (marker bool, err error) {
	out, err := p.store.DeleteObject(ctx, &s3.DeleteObjectInput{
		Bucket: &p.bucket, Key: o.Key, VersionId: o.VersionId,
	})
	if err != nil {
		return false, err
	}
	return o.VersionId == nil && aws.ToBool(out.DeleteMarker), nil
}

// objects returns the objects to delete under a prefix, and whether the store
// has listed all versions. If the store does not list versions, the responses
// to deletes show whether the bucket keeps versions.
func (p *examiner) objects(
	ctx context.Context, prefix string,
) (all []types.ObjectIdentifier, complete bool, err error) {
	all, err = p.versions(ctx, prefix)
	switch response, _ := describe(err); {
	case err == nil:
		return all, true, nil
	case !slices.Contains([]int{
		http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented,
	}, response.Status):
		return nil, false, err
	}
	list := s3.NewListObjectsV2Paginator(p.store, &s3.ListObjectsV2Input{
		Bucket: &p.bucket, Prefix: &prefix,
	})
	for list.HasMorePages() {
		page, err := list.NextPage(ctx)
		if err != nil {
			return nil, false, err
		}
		for _, o := range page.Contents {
			all = append(all, types.ObjectIdentifier{Key: o.Key})
		}
	}
	return all, false, nil
}

// versions returns all versions and delete markers under a prefix. If the
// bucket has no versions, the IDs are empty, so that deleting does not need the
// right to delete versions.
func (p *examiner) versions(
	ctx context.Context, prefix string,
) (all []types.ObjectIdentifier, err error) {
	versioned := false
	list := s3.NewListObjectVersionsPaginator(p.store, &s3.ListObjectVersionsInput{
		Bucket: &p.bucket, Prefix: &prefix,
	})
	for list.HasMorePages() {
		page, err := list.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, v := range page.Versions {
			id := aws.ToString(v.VersionId)
			versioned = versioned || id != "" && id != "null"
			all = append(all, types.ObjectIdentifier{Key: v.Key, VersionId: v.VersionId})
		}
		for _, v := range page.DeleteMarkers {
			versioned = true
			all = append(all, types.ObjectIdentifier{Key: v.Key, VersionId: v.VersionId})
		}
	}
	if !versioned {
		for i := range all {
			all[i].VersionId = nil
		}
	}
	return all, nil
}
