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

// removable checks with the first object whether everything can be removed again. If a
// bucket keeps versions, the role of the store must be able to list them. The library
// itself does not need that right.
func (p *patient) removable(ctx context.Context, key string) error {
	head, err := p.store.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &p.bucket, Key: &key})
	if err != nil {
		_, text := said(err)
		return fmt.Errorf("the role of the store cannot look at an object under %s: %s", p.prefix, text)
	}
	if head.VersionId == nil {
		return nil
	}
	_, err = p.versions(ctx, key)
	if err == nil {
		return nil
	}
	_, text := said(err)
	if _, err := p.delete(ctx, types.ObjectIdentifier{Key: &key, VersionId: head.VersionId}); err != nil {
		return err
	}
	return fmt.Errorf("nothing is tried that could not be removed again: %w (%s)", errVersionsKept, text)
}

// clean removes everything under the doctor's own prefixes, until nothing is left.
func (p *patient) clean(ctx context.Context) error {
	var err error
	kept := false
	for range 4 { // where versioning is suspended, the first leaves markers for the second
		left := 0
		err = nil
		for _, prefix := range []string{p.uploads(), p.published(), p.own} {
			n, cleanErr := p.remove(ctx, prefix)
			left, err = left+n, cmp.Or(err, cleanErr) // where several fail, they fail alike
			kept = kept || errors.Is(cleanErr, errVersionsKept)
		}
		switch {
		case kept: // where no list has them
			return errVersionsKept
		case left == 0 && err == nil:
			return nil
		}
	}
	return cmp.Or(err, errors.New("it comes again"))
}

// remove removes everything under a prefix and returns how much there was.
func (p *patient) remove(ctx context.Context, prefix string) (n int, err error) {
	var removals errgroup.Group
	removals.SetLimit(atOnce)
	defer func() { err = errors.Join(err, removals.Wait()) }()
	uploads := s3.NewListMultipartUploadsPaginator(p.store, &s3.ListMultipartUploadsInput{Bucket: &p.bucket, Prefix: &prefix})
	var unlisted error // objects are removed even if the store does not list multipart uploads
	for uploads.HasMorePages() && unlisted == nil {
		page, listErr := uploads.NextPage(ctx)
		if listErr != nil {
			_, text := said(listErr)
			unlisted = fmt.Errorf("the store does not list multipart uploads, so parts may be left: %s", text)
			break
		}
		for _, u := range page.Uploads {
			if err := checkUnder(u.Key, prefix); err != nil {
				return n, err
			}
			n++
			removals.Go(func() error {
				_, err := p.store.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &p.bucket, Key: u.Key, UploadId: u.UploadId})
				if answer, _ := said(err); answer.Code == "NoSuchUpload" {
					return nil
				}
				return err
			})
		}
	}
	objects, told, err := p.objects(ctx, prefix)
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
			if marker && !told {
				return errVersionsKept
			}
			return err
		})
	}
	return n, unlisted
}

// checkUnder returns an error if a store lists a key outside of the prefix. Only keys
// under the prefix belong to the doctor.
func checkUnder(key *string, prefix string) error {
	if !strings.HasPrefix(aws.ToString(key), prefix) {
		return fmt.Errorf("asked for what lies under %s, the store names %q", prefix, aws.ToString(key))
	}
	return nil
}

var errVersionsKept = errors.New("the bucket keeps versions, and the store does not list them; for the doctor, and for it alone, " +
	"the role of the store needs s3:ListBucketVersions on the bucket")

// delete deletes a version or, without an ID, an object. It reports whether that left a delete marker.
func (p *patient) delete(ctx context.Context, o types.ObjectIdentifier) (marker bool, err error) {
	out, err := p.store.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &p.bucket, Key: o.Key, VersionId: o.VersionId})
	if err != nil {
		return false, err
	}
	return o.VersionId == nil && aws.ToBool(out.DeleteMarker), nil
}

// objects returns what to delete under a prefix, and whether the store has listed all
// versions. If it lists none, the answers to deletes reveal whether there are any.
func (p *patient) objects(ctx context.Context, prefix string) (all []types.ObjectIdentifier, told bool, err error) {
	all, err = p.versions(ctx, prefix)
	switch answer, _ := said(err); {
	case err == nil:
		return all, true, nil
	case !slices.Contains([]int{http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented}, answer.Status):
		return nil, false, err
	}
	list := s3.NewListObjectsV2Paginator(p.store, &s3.ListObjectsV2Input{Bucket: &p.bucket, Prefix: &prefix})
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

// versions returns all versions and delete markers under a prefix. An object that is not a version of several has no ID:
// to delete it takes no right to delete versions.
func (p *patient) versions(ctx context.Context, prefix string) (all []types.ObjectIdentifier, err error) {
	versioned := false
	list := s3.NewListObjectVersionsPaginator(p.store, &s3.ListObjectVersionsInput{Bucket: &p.bucket, Prefix: &prefix})
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
