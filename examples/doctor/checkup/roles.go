package checkup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/conformance"
)

// signingRole checks that the signing role may only upload. It makes requests
// that fail or do no harm.
func (p *examiner) signingRole(ctx context.Context, constraints []Constraint) []Finding {
	if p.signing == p.store {
		return []Finding{judgeSharedRole(constraints)}
	}
	const what = "role that signs"
	var may, unknown []string
	for _, try := range p.listForbidden(ctx) {
		switch response, err := conformance.ResponseOf(try.do()); {
		case err != nil || response.Status >= http.StatusInternalServerError:
			unknown = append(unknown, try.what)
		case response.Status != http.StatusForbidden: // The role has the right.
			may = append(may, try.what)
		}
	}
	switch {
	case len(may) > 0:
		detail := "may " + strings.Join(may, ", ") +
			"; it needs only s3:PutObject under " + p.prefix
		return []Finding{{what, Wrong, detail, true}}
	case len(unknown) > 0:
		detail := "the store did not show whether this role may " + strings.Join(unknown, ", ")
		return []Finding{{What: what, State: Unknown, Detail: detail}}
	}
	return []Finding{{What: what, State: Good, Detail: "may only put objects under " + p.prefix}}
}

// judgeSharedRole reports whether one role may both sign and complete uploads.
func judgeSharedRole(constraints []Constraint) Finding {
	f := Finding{
		What: "role that signs", State: Info,
		Detail: "also completes uploads, which is safe at this store",
	}
	for _, c := range constraints {
		if c.Constraint == string(conformance.CopySource) && c.Verdict == NotEnforced {
			f.State, f.Rights = Wrong, true
			f.Detail = "also completes uploads, so holders of a grant can read the objects that this role can read; set -profile and -store-profile to two roles"
		}
	}
	return f
}

// An attempt is a call to the store and the name of its effect.
type attempt struct {
	what string
	do   func() error
}

// listForbidden returns calls that the store must deny the signing role.
func (p *examiner) listForbidden(ctx context.Context) []attempt {
	private, none := p.uploads()+"private", p.uploads()+"none"
	put := func(key string) error {
		// The wrong digest makes the PUT fail even if the role has the right.
		_, err := p.signing.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &p.bucket, Key: &key, Body: bytes.NewReader(conformance.Body),
			ContentMD5: aws.String("AAAAAAAAAAAAAAAAAAAAAA=="),
		})
		return err
	}
	tries := []attempt{
		{"read objects", func() error {
			out, err := p.signing.GetObject(ctx, &s3.GetObjectInput{
				Bucket: &p.bucket, Key: &private,
			})
			if err == nil {
				_ = out.Body.Close()
			}
			return err
		}},
		{"list the bucket", func() error {
			_, err := p.signing.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
				Bucket: &p.bucket, Prefix: &none,
			})
			return err
		}},
		{"delete objects", func() error {
			_, err := p.signing.DeleteObject(ctx, &s3.DeleteObjectInput{
				Bucket: &p.bucket, Key: &none,
			})
			return err
		}},
		{"put objects elsewhere", func() error { return put(p.own + "elsewhere") }},
	}
	if p.final != "" {
		tries = append(tries, attempt{
			"put objects under the final prefix",
			func() error { return put(p.published() + "none") },
		})
	}
	return tries
}

// storeRole checks that the role of the store can complete uploads.
func (p *examiner) storeRole(ctx context.Context, signer *presign.Signer) []Finding {
	var found []Finding
	for _, try := range []struct {
		what, good string
		do         func() error
	}{
		{"role of the store: files",
			"completes and publishes uploads", func() error { return p.completeFile(ctx, signer) }},
		{"role of the store: parts",
			"starts, lists, completes and aborts multipart uploads",
			func() error { return p.completeParts(ctx, signer) }},
		{"role of the store: absence",
			"receives 404 for a missing object", func() error { return p.checkAbsence(ctx) }},
	} {
		f := Finding{What: try.what, State: Good, Detail: try.good}
		if err := try.do(); err != nil {
			response, _ := conformance.ResponseOf(err)
			f.State, f.Detail, f.Rights = Wrong, oneLine(plain(err).Error()),
				response.Status == http.StatusForbidden
		}
		found = append(found, f)
	}
	return found
}

// completeFile uploads, completes and deletes a file.
func (p *examiner) completeFile(ctx context.Context, signer *presign.Signer) error {
	grant, err := signer.Put(ctx, presign.Upload{
		Filename: "role.txt", Size: int64(len(conformance.Body)),
	})
	if err != nil {
		return err
	}
	if err := p.send(grant); err != nil {
		return err
	}
	object, err := signer.CompleteForAnyOwner(ctx, grant.Key)
	if err != nil {
		return err
	}
	if _, err := p.store.DeleteObject(ctx, &s3.DeleteObjectInput{
		Bucket: &p.bucket, Key: &object.Key,
	}); err != nil {
		_, text := describe(err)
		return fmt.Errorf("delete %q: %s", object.Key, text)
	}
	return nil
}

// completeParts completes a multipart upload and aborts another.
func (p *examiner) completeParts(ctx context.Context, signer *presign.Signer) error {
	m, err := signer.StartMultipart(ctx, presign.Upload{
		Filename: "role.txt", Size: int64(len(conformance.Body)), Owner: "doctor",
	})
	if err != nil {
		return err
	}
	grant, err := m.SignPart(ctx, presign.Part{Number: 1})
	if err == nil {
		err = p.send(grant)
	}
	if err == nil {
		_, err = m.Complete(ctx, nil)
	}
	if err != nil {
		return errors.Join(err, m.Abort(context.WithoutCancel(ctx)))
	}
	if m, err = signer.StartMultipart(ctx, presign.Upload{
		Filename: "role.txt", Size: 1, Owner: "doctor",
	}); err != nil {
		return err
	}
	return m.Abort(ctx)
}

// checkAbsence checks that the store returns 404 if there is no object.
func (p *examiner) checkAbsence(ctx context.Context) error {
	_, err := p.store.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: &p.bucket, Key: aws.String(p.uploads() + "none"),
	})
	response, text := describe(err)
	switch response.Status {
	case http.StatusNotFound:
		return nil
	case http.StatusForbidden:
		return fmt.Errorf(
			"the store must return 404 for a missing object, got %s; the role needs s3:ListBucket: %w",
			text, err)
	}
	return fmt.Errorf("the store must return 404 for a missing object, got %s", text)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// send uploads a file with a grant.
func (p *examiner) send(grant *presign.Grant) error {
	got, err := conformance.New(grant, "role.txt", conformance.Body).Send(p.http)
	if err == nil && !got.Accepted() {
		err = fmt.Errorf("the store rejected the upload with %v", got)
	}
	return err
}
