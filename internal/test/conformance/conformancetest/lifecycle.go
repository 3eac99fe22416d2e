package conformancetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/conformance"
)

const (
	owner   = "conformance"
	uploads = "lifecycle/"
	final   = "published/"
)

// A Lack lists scenarios that a server fails for a known reason.
type Lack struct {
	Reason    string
	Scenarios []string // patterns of path.Match
}

// RunLifecycle uploads, completes, publishes, replaces and aborts on a server,
// as services do. Scenarios in lacks must fail, so that every Lack is up to
// date.
func RunLifecycle(t *testing.T, target conformance.Target, lacks ...Lack) {
	l := lifecycle{target}
	scenarios := l.scenarios()
	reasons := make(map[string]string)
	for _, lack := range lacks {
		for _, pattern := range lack.Scenarios {
			found := false
			for name := range scenarios {
				if matched, err := path.Match(pattern, name); err == nil && matched {
					found, reasons[name] = true, lack.Reason
				}
			}
			require.True(t, found, "%q must match a scenario", pattern)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(scenarios)) {
		t.Run(name, func(t *testing.T) {
			err := scenarios[name](t)
			if reason, ok := reasons[name]; ok {
				require.Error(t, err, "the scenario must fail because the server %s", reason)
				return
			}
			require.NoError(t, err)
		})
	}
}

type lifecycle struct{ conformance.Target }

// ways lists the ways to upload a file.
var ways = []string{"PUT", "form", "parts"}

func (l lifecycle) scenarios() map[string]func(*testing.T) error {
	all := map[string]func(*testing.T) error{
		"replaced": l.replaceObject, "taken": l.rejectSecond, "part again": l.resendPart,
		"aborted": l.abortUpload, "versions": l.publishVersions, "proxy": l.uploadThroughProxy,
		"another owner": l.rejectOtherOwner,
	}
	for _, way := range ways {
		all["published by "+way] = func(t *testing.T) error { return l.publishFiles(t, way) }
		for _, algorithm := range []types.ChecksumAlgorithm{
			"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256",
		} {
			if way == "form" && algorithm == "CRC64NVME" ||
				way == "parts" && strings.HasPrefix(string(algorithm), "SHA") {
				continue // S3 has no such checksum.
			}
			all["checksum "+string(algorithm)+" by "+way] = func(t *testing.T) error {
				return l.uploadWithChecksum(t, way, algorithm)
			}
		}
	}
	return all
}

// signer returns a Signer that publishes. The function change can change its
// policy.
func (l lifecycle) signer(
	change func(*presign.Policy), options ...presign.SignerOption,
) (*presign.Signer, error) {
	policy := presign.Policy{
		Prefix: uploads, FinalPrefix: final,
		Types: []string{"image/*", "application/*", "text/plain"}, MaxSize: 1 << 20,
		Replace:  l.Replace,
		Metadata: []string{"color"},
		Headers:  map[string]string{"Cache-Control": "private, max-age=60"},
	}
	if change != nil {
		change(&policy)
	}
	return presign.NewSigner(l.Client, l.Bucket, policy, options...)
}

// send sends a file with a grant.
func (l lifecycle) send(t *testing.T, grant *presign.Grant, name string, body []byte) error {
	response, err := conformance.New(grant, name, body).SendContext(t.Context(), l.HTTP)
	if err == nil && !response.Accepted() {
		err = fmt.Errorf("the upload must be accepted, got %v", response)
	}
	return err
}

// upload uploads and completes a file.
func (l lifecycle) upload(
	t *testing.T, signer *presign.Signer, way string, upload presign.Upload, body []byte,
) (*presign.Object, error) {
	upload.Owner = owner
	if way == "parts" {
		return l.uploadParts(t, signer, upload, body)
	}
	sign := signer.Put
	if way == "form" {
		sign = signer.Post
	}
	grant, err := sign(t.Context(), upload)
	if err != nil {
		return nil, err
	}
	if err := l.send(t, grant, upload.Filename, body); err != nil {
		return nil, err
	}
	return signer.Complete(t.Context(), owner, grant.Key)
}

func (l lifecycle) uploadParts(
	t *testing.T, signer *presign.Signer, upload presign.Upload, body []byte,
) (*presign.Object, error) {
	m, err := signer.StartMultipart(t.Context(), upload)
	if err != nil {
		return nil, err
	}
	grant, err := m.SignPart(t.Context(), presign.Part{Number: 1, Checksum: upload.Checksum})
	if err != nil {
		return nil, err
	}
	if err := l.send(t, grant, upload.Filename, body); err != nil {
		return nil, err
	}
	return m.Complete(t.Context(), nil)
}

// publishFiles uploads files under names that need escaping and compares the
// published objects.
func (l lifecycle) publishFiles(t *testing.T, way string) error {
	signer, err := l.signer(nil)
	if err != nil {
		return err
	}
	folder := uploads + way + "/"
	for _, f := range Files() {
		if len(f.Body) > 1<<20 {
			continue
		}
		upload := presign.Upload{
			Key: folder, Filename: f.Name, Type: f.Type, Size: int64(len(f.Body)),
			Metadata: map[string]string{"color": "deep  blue"},
		}
		object, err := l.upload(t, signer, way, upload, f.Body)
		if err == nil {
			err = l.compare(t.Context(), object, f)
		}
		if err != nil {
			return fmt.Errorf("%q: %w", f.Name, err)
		}
	}
	list, err := l.Client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{
		Bucket: &l.Bucket, Prefix: &folder,
	})
	if err != nil {
		return err
	}
	for _, o := range list.Contents {
		if !strings.HasSuffix(*o.Key, "/") {
			return fmt.Errorf("the upload %q must be deleted", *o.Key)
		}
	}
	return nil
}

// compare compares a published object with its file.
func (l lifecycle) compare(ctx context.Context, object *presign.Object, f File) error {
	out, err := l.Client.GetObject(ctx, &s3.GetObjectInput{Bucket: &l.Bucket, Key: &object.Key})
	if err != nil {
		return err
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	if err != nil {
		return err
	}
	_, parameters, err := mime.ParseMediaType(aws.ToString(out.ContentDisposition))
	switch {
	case err != nil:
		return err
	case !bytes.Equal(body, f.Body):
		return errors.New("the published object must have the uploaded bytes")
	case !strings.HasPrefix(object.Key, final), object.Filename != f.Name, object.Type != f.Type,
		object.Size != int64(len(f.Body)):
		return fmt.Errorf("the Object must match the upload, got %+v", object)
	case parameters["filename"] != f.Name:
		return fmt.Errorf("the file name must be %q, got %q", f.Name, parameters["filename"])
	case aws.ToString(out.ContentType) != f.Type,
		aws.ToString(out.CacheControl) != "private, max-age=60":
		return fmt.Errorf("the headers must be as granted, got %q and %q",
			aws.ToString(out.ContentType), aws.ToString(out.CacheControl))
	case object.Metadata["color"] != "deep  blue", out.Metadata["color"] != "deep  blue":
		return fmt.Errorf("the metadata must be as granted, got %q", out.Metadata["color"])
	}
	return nil
}

// uploadWithChecksum uploads a file with a checksum.
func (l lifecycle) uploadWithChecksum(
	t *testing.T, way string, algorithm types.ChecksumAlgorithm,
) error {
	signer, err := l.signer(func(p *presign.Policy) { p.Checksum = algorithm })
	if err != nil {
		return err
	}
	sum := conformance.Digest(string(algorithm), conformance.Body)
	object, err := l.upload(t, signer, way, presign.Upload{
		Filename: "a.txt", Size: int64(len(conformance.Body)), Checksum: sum,
	}, conformance.Body)
	if err != nil {
		return err
	}
	if object.Checksum != sum {
		return fmt.Errorf("the checksum must be %q, got %q", sum, object.Checksum)
	}
	return nil
}

// uploadTwice uploads two files under one key of the service. It returns the
// error of the second upload and the published content.
func (l lifecycle) uploadTwice(
	t *testing.T, key string, replace bool,
) (second error, published []byte, err error) {
	signer, err := l.signer(func(p *presign.Policy) { p.Replace = replace })
	if err != nil {
		return nil, nil, err
	}
	var first string
	for i, body := range []string{"first", "second"} {
		upload := presign.Upload{Key: uploads + key, Filename: "a.txt", Size: int64(len(body))}
		object, uploadErr := l.upload(t, signer, "PUT", upload, []byte(body))
		switch {
		case i == 0 && uploadErr != nil:
			return nil, nil, uploadErr
		case i == 0:
			first = object.Key
		default:
			second = uploadErr
		}
	}
	published, err = l.read(t, first)
	return second, published, err
}

// read returns the content of an object.
func (l lifecycle) read(t *testing.T, key string) ([]byte, error) {
	out, err := l.Client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &l.Bucket, Key: &key})
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	return io.ReadAll(out.Body)
}

func (l lifecycle) replaceObject(t *testing.T) error {
	second, published, err := l.uploadTwice(t, "replaced.txt", true)
	if err == nil && second == nil && string(published) != "second" {
		err = fmt.Errorf("the published content must be \"second\", got %q", published)
	}
	return errors.Join(err, second)
}

func (l lifecycle) rejectSecond(t *testing.T) error {
	second, published, err := l.uploadTwice(t, "taken.txt", false)
	switch {
	case err != nil:
		return err
	case string(published) != "first":
		return fmt.Errorf("the published content must be \"first\", got %q", published)
	case len(presign.Violations(second)) == 0:
		return fmt.Errorf("the second upload must be rejected, got %v", second)
	}
	return nil
}

// start starts a multipart upload of five bytes.
func (l lifecycle) start(t *testing.T) (*presign.Multipart, error) {
	signer, err := l.signer(nil)
	if err != nil {
		return nil, err
	}
	return signer.StartMultipart(t.Context(), presign.Upload{
		Filename: "a.txt", Size: 5, Owner: owner,
	})
}

// resendPart sends a part, and sends it again with other bytes.
func (l lifecycle) resendPart(t *testing.T) error {
	m, err := l.start(t)
	if err != nil {
		return err
	}
	grant, err := m.SignPart(t.Context(), presign.Part{Number: 1})
	if err != nil {
		return err
	}
	for _, body := range []string{"first", "other"} {
		if err := l.send(t, grant, "a.txt", []byte(body)); err != nil {
			return err
		}
	}
	object, err := m.Complete(t.Context(), nil)
	if err != nil {
		return err
	}
	body, err := l.read(t, object.Key)
	if err == nil && string(body) != "other" {
		err = fmt.Errorf("the published content must be \"other\", got %q", body)
	}
	return err
}

func (l lifecycle) abortUpload(t *testing.T) error {
	m, err := l.start(t)
	if err != nil {
		return err
	}
	grant, err := m.SignPart(t.Context(), presign.Part{Number: 1})
	if err == nil {
		err = l.send(t, grant, "a.txt", []byte("first"))
	}
	if err = errors.Join(err, m.Abort(t.Context())); err != nil {
		return err
	}
	if _, err := m.Complete(t.Context(), nil); !errors.Is(err, presign.ErrNotUploaded) {
		return fmt.Errorf("the completion after the abort must return ErrNotUploaded, got %v", err)
	}
	return nil
}

// publishVersions publishes in a bucket with versioning.
func (l lifecycle) publishVersions(t *testing.T) error {
	bucket := "versions-" + strings.ToLower(l.Name)
	if _, err := l.Client.CreateBucket(t.Context(),
		&s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		return err
	}
	_, err := l.Client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket: &bucket, VersioningConfiguration: &types.VersioningConfiguration{
			Status: types.BucketVersioningStatusEnabled,
		},
	})
	if err != nil {
		return err
	}
	l.Bucket = bucket
	signer, err := l.signer(nil)
	if err != nil {
		return err
	}
	object, err := l.upload(t, signer, "PUT", presign.Upload{
		Filename: "a.txt", Size: int64(len(conformance.Body)),
	}, conformance.Body)
	if err != nil {
		return err
	}
	if object.VersionID == "" {
		return errors.New("the Object must have a version")
	}
	return nil
}

// uploadThroughProxy uploads through a proxy that forwards the Host of
// requests.
func (l lifecycle) uploadThroughProxy(t *testing.T) error {
	store, err := url.Parse(aws.ToString(l.Client.Options().BaseEndpoint))
	if err != nil {
		return err
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(store)
		r.Out.Host = r.In.Host
	}})
	defer proxy.Close()
	signer, err := l.signer(nil, presign.WithPublicEndpoint(proxy.URL))
	if err != nil {
		return err
	}
	_, err = l.upload(t, signer, "PUT", presign.Upload{
		Filename: "a.txt", Size: int64(len(conformance.Body)),
	}, conformance.Body)
	return err
}

// rejectOtherOwner tries to complete and resume uploads of another owner,
// before and after the owner completes one of the uploads. Each attempt must
// fail and must not change the bucket.
func (l lifecycle) rejectOtherOwner(t *testing.T) error {
	signer, err := l.signer(nil)
	if err != nil {
		return err
	}
	m, err := signer.StartMultipart(t.Context(), presign.Upload{
		Filename: "a.txt", Size: 5, Owner: owner,
	})
	if err != nil {
		return err
	}
	grant, err := signer.Put(t.Context(), presign.Upload{Filename: "a.txt", Size: 5, Owner: owner})
	if err != nil {
		return err
	}
	if err := l.send(t, grant, "a.txt", []byte("first")); err != nil {
		return err
	}
	before := l.objects(t)
	try := func() error {
		_, err := signer.ResumeMultipart("mallory", m.ID)
		if !errors.Is(err, presign.ErrInvalidID) {
			return fmt.Errorf(
				"resuming the upload of another owner must return ErrInvalidID, got %v", err)
		}
		for _, key := range []string{grant.Key, m.Key} {
			_, err := signer.Complete(t.Context(), "mallory", key)
			if !errors.Is(err, presign.ErrNotUploaded) {
				return fmt.Errorf(
					"completing the upload of another owner must return ErrNotUploaded, got %v",
					err)
			}
		}
		return nil
	}
	if err := try(); err != nil {
		return err
	}
	require.Equal(t, before, l.objects(t))
	if _, err := m.ListParts(t.Context()); err != nil {
		return err
	}
	if _, err := signer.Complete(t.Context(), owner, grant.Key); err != nil {
		return err
	}
	published := l.objects(t)
	require.NotEqual(t, before, published)
	if err := try(); err != nil {
		return err
	}
	require.Equal(t, published, l.objects(t))
	return m.Abort(t.Context())
}

// objects returns the ETags of all objects of the scenarios by key.
func (l lifecycle) objects(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, prefix := range []string{uploads, final} {
		pages := s3.NewListObjectsV2Paginator(l.Client, &s3.ListObjectsV2Input{
			Bucket: &l.Bucket, Prefix: &prefix,
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			require.NoError(t, err)
			for _, o := range page.Contents {
				all[*o.Key] = aws.ToString(o.ETag)
			}
		}
	}
	return all
}
