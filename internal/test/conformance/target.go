package conformance

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/objectstore"
)

// A Target is a bucket that the matrix tests. It is safe for concurrent use.
type Target struct {
	Name   string     // as in Case.But; empty for an unknown server
	Client *s3.Client // reads stored objects and completes uploads
	Signer *s3.Client // signs; nil means Client
	Bucket string
	HTTP   *http.Client

	// Prefix is the prefix of all keys, except that cases of Completion also
	// use keys under FinalPrefix. The defaults are "matrix/" and Prefix.
	// Callers must delete the objects under both prefixes.
	Prefix, FinalPrefix string

	// Session holds the temporary credentials for Case.Session.
	Session aws.Credentials
	// SessionURL is the endpoint for Session. The default is the endpoint of
	// Client.
	SessionURL string

	// Options are further options of the presign.Signer.
	Options []presign.SignerOption

	// Replace sets Policy.Replace in all cases except the cases of WriteOnce.
	// It is for stores that do not accept If-None-Match.
	Replace bool

	// Past runs sign with a clock in the past, so that the grant has already
	// expired. Without Past, cases with Expired wait until a grant has expired
	// on a server whose clock is behind by Behind.
	Past   func(sign func())
	Behind time.Duration
}

// A Result is the outcome of a case.
type Result struct {
	Case     Case
	Response Response

	// Broken states how the server broke the constraint. It is empty if the
	// server enforces the constraint, regardless of the response.
	Broken string
	// Lost names the headers of an accepted upload that the server has not
	// stored.
	Lost []string
	// HonestRejected reports that the server rejected the honest upload on
	// which the case depends. Response is the response to that upload.
	HonestRejected bool
	// Unlike states how the server differs from its expected behavior in
	// Case.Want or Case.But.
	Unlike error
	// Err is the reason why the case could not run.
	Err error
}

func (r *Result) broken(format string, args ...any) {
	if r.Broken == "" {
		r.Broken = fmt.Sprintf(format, args...)
	}
}

func (r *Result) unlike(format string, args ...any) {
	r.Unlike = errors.Join(r.Unlike, fmt.Errorf(format, args...))
}

// Rejected reports whether the server rejected the case: with a status and code
// that S3 uses for rejections, or with a response in Case.Want or Case.But.
func (r Result) Rejected() bool {
	known := func(a Response) bool { return r.Response == a && !a.Accepted() }
	if known(r.Case.Want) || r.Response.rejects() {
		return true
	}
	for _, d := range r.Case.But {
		if known(d.Response) || slices.ContainsFunc(d.Or, known) {
			return true
		}
	}
	return false
}

// privateBody is the content of the private object.
var privateBody = []byte("for nobody else\n")

func (t Target) prefix() string { return cmp.Or(t.Prefix, "matrix/") }

// Private returns the key of an object without a grant. Prepare uploads the
// object.
func (t Target) Private() string { return t.prefix() + "private" }

// Prepare uploads the private object. Callers must call it before the first
// Run.
func (t Target) Prepare(ctx context.Context) error {
	key := t.Private()
	_, err := t.Client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &t.Bucket, Key: &key, Body: bytes.NewReader(privateBody),
	})
	return err
}

// Verify compares the object after an honest upload with its grant, except for
// known deviations of the server.
func (t Target) Verify(ctx context.Context, grant *presign.Grant, body []byte) error {
	c := Case{Name: grant.Key, Kind: PUT}
	if grant.Method == http.MethodPost {
		c.Kind = Form
	}
	r := new(Result)
	verified := run{Target: t, c: c, r: r}
	if err := verified.compare(ctx, grant.Key, verified.grantedObject(grant, body)); err != nil {
		return err
	}
	return r.Unlike
}

// maxTries is the number of times that a case runs if the server stays busy.
const maxTries = 3

// Run runs one case. If the server is busy, Run repeats the case after a
// second, and again after two. Err does not contain a URL.
func (t Target) Run(ctx context.Context, c Case) Result {
	for try := 1; ; try++ {
		r := t.try(ctx, c)
		if _, busy := errors.AsType[busyError](r.Err); !busy || try == maxTries {
			return r
		}
		select {
		case <-ctx.Done():
			return r
		case <-time.After(time.Duration(try) * time.Second):
		}
	}
}

func (t Target) try(ctx context.Context, c Case) Result {
	r := &Result{Case: c}
	run := run{Target: t, c: c, r: r, folder: t.prefix() + rand.Text() + "/", want: c.Want}
	if d, ok := c.But[t.Name]; ok {
		run.deviation, run.want = d, d.Response
	}
	switch {
	case c.Kind == Completion:
		r.Err = run.callStore(ctx)
	default:
		r.Err = run.upload(ctx)
	}
	if r.Err == nil && r.Response != run.want && !slices.Contains(run.deviation.Or, r.Response) {
		r.unlike("%s: the response must be %v, got %v", c.Name, run.want, r.Response)
	}
	return *r
}

// A run is a case that runs.
type run struct {
	Target
	c         Case
	r         *Result
	folder    string // prefix of the keys
	policy    presign.Policy
	wish      presign.Upload
	want      Response
	deviation Deviation
}

// callStore sends the request of the service.
func (t run) callStore(ctx context.Context) error {
	s := service{
		Store: objectstore.Store{Client: t.Client, Bucket: t.Bucket},
		From:  t.folder + "from", To: cmp.Or(t.FinalPrefix, t.prefix()) + rand.Text() + "/to",
	}
	resp, err := t.c.Call(ctx, s)
	if err != nil {
		return err
	}
	if t.r.Response, err = ResponseOf(resp); err != nil {
		return err
	}
	switch {
	case t.r.Response.Accepted() && !t.c.Want.Accepted():
		t.r.broken("the request succeeded")
	case !t.r.Response.Accepted() && t.c.Want.Accepted():
		t.r.broken("the request was rejected")
		t.r.HonestRejected = true
	}
	return nil
}

// upload creates the signer of the case and uploads.
func (t run) upload(ctx context.Context) error {
	t.policy = presign.Policy{Prefix: t.prefix(), Types: []string{"text/*"}, MaxSize: 1 << 20}
	if t.c.With != nil {
		t.c.With(&t.policy)
	}
	if t.Replace && t.c.Constraint != WriteOnce {
		t.policy.Replace = true
	}
	t.wish = presign.Upload{Filename: fileName, Key: t.folder, Owner: "conformance"}
	if t.c.Kind != Form {
		sizeKnown(&t.wish)
	}
	if t.c.Ask != nil {
		t.c.Ask(&t.wish)
	}
	if t.waits() {
		t.wish.Lifetime = time.Second
	}
	signing := cmp.Or(t.Signer, t.Client)
	if t.c.Session {
		signing = s3.New(signing.Options(), func(o *s3.Options) {
			o.Credentials = credentials.StaticCredentialsProvider{Value: t.Session}
			o.ExpressCredentials = nil // The clients would otherwise share it.
			if t.SessionURL != "" {
				o.BaseEndpoint = &t.SessionURL
			}
		})
	}
	signer, err := presign.NewSigner(signing, t.Bucket, t.policy,
		append(slices.Clone(t.Options), presign.WithStore(t.Client))...)
	if err != nil {
		return err
	}
	switch t.c.Kind {
	case PartURL:
		return t.uploadPart(ctx, signer)
	case Form:
		return t.uploadFile(ctx, func() (*presign.Grant, error) { return signer.Post(ctx, t.wish) })
	}
	return t.uploadFile(ctx, func() (*presign.Grant, error) { return signer.Put(ctx, t.wish) })
}

// uploadFile uploads a file with one request.
func (t run) uploadFile(ctx context.Context, sign func() (*presign.Grant, error)) error {
	grant, err := t.sign(ctx, sign)
	if err != nil {
		return err
	}
	honest := New(grant, fileName, Body)
	if t.c.Twice {
		if ok, err := t.uploadHonest(ctx, honest); err != nil || !ok {
			return err
		}
	}
	attempt, err := t.attempt(ctx, grant)
	if err != nil {
		return err
	}
	keys, err := t.list(ctx, grant.Key)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if key != grant.Key {
			t.r.broken("something was stored under a key that was never granted")
			t.r.unlike("%s: something was stored under a key that was never granted", t.c.Name)
		}
	}
	switch present := slices.Contains(keys, grant.Key); {
	case t.r.Response.Accepted() && !present:
		if t.c.cheat() || t.c.honest() { // Other cases are requests that no client sends.
			t.r.broken("nothing was stored")
		}
		t.r.unlike("%s: nothing was stored", t.c.Name)
	case t.r.Response.Accepted():
		if err := t.checkPublic(ctx, grant, attempt); err != nil {
			return err
		}
		return t.compare(ctx, grant.Key, t.grantedObject(grant, attempt.Body))
	case t.c.Twice && !present:
		t.r.broken("a rejected upload removed the object")
		t.r.unlike("%s: a rejected upload removed the object", t.c.Name)
	case t.c.Twice:
		return t.checkUnchanged(ctx, grant.Key, t.grantedObject(grant, honest.Body))
	case present:
		t.r.broken("a rejected upload was stored")
		t.r.unlike("%s: a rejected upload was stored", t.c.Name)
	}
	return nil
}

// uploadPart uploads the only part of a file. If the store has accepted a part,
// uploadPart completes the upload and compares the object with the grant.
func (t run) uploadPart(ctx context.Context, signer *presign.Signer) error {
	m, err := signer.StartMultipart(ctx, t.wish)
	if err != nil {
		return t.recordRejectedStart(err)
	}
	completed := false
	defer func() {
		if !completed {
			_ = m.Abort(context.WithoutCancel(ctx)) // Callers remove uploads that remain.
		}
	}()
	part := presign.Part{Number: 1, Checksum: t.wish.Checksum}
	if t.c.Bare {
		part.Checksum = ""
	}
	grant, err := t.sign(ctx, func() (*presign.Grant, error) { return m.SignPart(ctx, part) })
	if err != nil {
		return err
	}
	if t.c.Twice {
		if ok, err := t.uploadHonest(ctx, New(grant, fileName, Body)); err != nil || !ok {
			return err
		}
	}
	switch t.c.Ended {
	case "complete":
		_, err = m.Complete(ctx, nil)
		completed = err == nil
	case "abort":
		err = m.Abort(ctx)
	}
	if err != nil {
		return err
	}
	attempt, err := t.attempt(ctx, grant)
	if err != nil {
		return err
	}
	if err := t.checkObjects(ctx, grant.Key); err != nil || t.c.Ended != "" {
		return err
	}
	body, found, err := t.checkParts(ctx, m, attempt.Body)
	if err != nil || !found {
		return err
	}
	completed, err = t.complete(ctx, m, grant, body)
	return err
}

// recordRejectedStart records that the store does not implement multipart
// uploads. It returns other errors.
func (t run) recordRejectedStart(err error) error {
	response, other := ResponseOf(err)
	if other != nil || response.Status != http.StatusNotImplemented {
		return err
	}
	t.r.Response, t.r.HonestRejected = response, true
	return nil
}

// checkObjects records objects that the service did not complete, and a
// completed object that has changed.
func (t run) checkObjects(ctx context.Context, key string) error {
	keys, err := t.list(ctx, key)
	if err != nil {
		return err
	}
	var want []string
	if t.c.Ended == "complete" {
		want = []string{key}
	}
	if !slices.Equal(keys, want) {
		t.r.broken(
			"there is an object that the service did not complete, or a completed object is missing")
		t.r.unlike("%s: there must be %d objects, got %d", t.c.Name, len(want), len(keys))
		return nil
	}
	if want == nil {
		return nil
	}
	actual, err := t.read(ctx, key)
	if response, other := ResponseOf(err); err != nil && other == nil && response.Status/100 == 4 ||
		err == nil && !bytes.Equal(actual.Body, Body) {
		t.r.broken("the completed object changed")
		if !t.deviation.Changed {
			t.r.unlike("%s: the completed object changed", t.c.Name)
		}
		return nil
	}
	return err
}

// checkParts returns the bytes that the only part must have, and reports
// whether there is a part to complete.
func (t run) checkParts(
	ctx context.Context, m *presign.Multipart, sent []byte,
) (body []byte, found bool, err error) {
	parts, err := m.ListParts(ctx)
	switch accepted := t.r.Response.Accepted(); {
	case errors.Is(err, presign.ErrNotUploaded) && !accepted:
		return nil, false, nil // The store has ended the upload.
	case errors.Is(err, presign.ErrNotUploaded):
		t.r.broken("the multipart upload is gone")
		t.r.unlike("%s: the multipart upload is gone", t.c.Name)
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("the parts could not be listed: %w", err)
	case !accepted && !t.c.Twice:
		if len(parts) > 0 {
			t.r.broken("a rejected part was stored")
			t.r.unlike("%s: a rejected part was stored", t.c.Name)
		}
		return nil, false, nil
	case !accepted:
		sent = Body
	}
	if len(parts) != 1 || parts[0].Number != 1 {
		t.r.broken("there are %d parts, or the only one is not number 1", len(parts))
		t.r.unlike("%s: there are %d parts, or the only one is not number 1", t.c.Name, len(parts))
		return nil, false, nil
	}
	return sent, true, nil
}

// complete completes the upload as the service does and compares the object
// with the grant.
func (t run) complete(
	ctx context.Context, m *presign.Multipart, grant *presign.Grant, body []byte,
) (completed bool, err error) {
	object, err := m.Complete(ctx, nil)
	expected := t.deviation.Rejected
	if err != nil {
		response, other := ResponseOf(err)
		// The store might have rejected a request of the completion.
		rejected := other == nil && response.rejects()
		if len(presign.Violations(err)) == 0 && !errors.Is(err, presign.ErrChanged) && !rejected {
			return false, err
		}
		t.r.broken("completion rejected the upload: %v", err)
		t.r.HonestRejected = t.c.honest()
		if !slices.ContainsFunc(expected, func(reason string) bool {
			return strings.Contains(err.Error(), reason)
		}) {
			t.r.unlike("%s: %w", t.c.Name, err)
		}
		return true, nil // The store might have completed the upload.
	}
	if len(expected) > 0 {
		t.r.unlike("%s: completion must fail with %q, but it succeeded", t.c.Name, expected[0])
	}
	head, err := t.Client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &t.Bucket, Key: &object.Key})
	if err != nil {
		return true, err
	}
	// The upload was started with these headers.
	return true, t.compare(ctx, object.Key,
		t.grantedObject(&presign.Grant{Headers: map[string]string{
			"Content-Type":        "text/plain",
			"Content-Disposition": "attachment; filename*=UTF-8''a%20file.txt",
			"Cache-Control":       t.policy.Headers["Cache-Control"],
			"x-amz-meta-presign":  head.Metadata["presign"],
		}}, body))
}

// waits reports whether the case waits until the grant has expired.
func (t run) waits() bool { return t.c.Ending || t.c.Expired && t.Past == nil }

// sign signs the grant. For a case with an expired grant, it signs in the past
// or waits until the grant has expired.
func (t run) sign(
	ctx context.Context, sign func() (*presign.Grant, error),
) (grant *presign.Grant, err error) {
	if !t.c.Expired && !t.c.Ending {
		return sign()
	}
	if !t.waits() {
		t.Past(func() { grant, err = sign() })
		return grant, err
	}
	if grant, err = sign(); err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(time.Until(grant.Expires) + time.Second + t.Behind):
		return grant, nil
	}
}

// uploadHonest uploads as an honest client and reports whether the store
// accepted the upload.
func (t run) uploadHonest(ctx context.Context, honest *Attempt) (ok bool, err error) {
	response, err := honest.SendContext(ctx, t.HTTP)
	switch {
	case err != nil:
		return false, err
	case response.busy():
		return false, busyError{response}
	case !response.Accepted():
		t.r.Response, t.r.HonestRejected = response, true
	}
	return response.Accepted(), nil
}

// attempt sends the attempt of the case and returns it.
func (t run) attempt(ctx context.Context, grant *presign.Grant) (*Attempt, error) {
	a := New(grant, fileName, Body)
	a.Bucket, a.Key, a.Private = t.Bucket, grant.Key, t.Private()
	a.Evil = strings.Replace(grant.Key, safeName, evilName, 1)
	if t.c.Do != nil {
		t.c.Do(a)
	}
	response, err := a.SendContext(ctx, t.HTTP)
	if err != nil {
		return nil, err
	}
	if response.busy() {
		return nil, busyError{response}
	}
	t.r.Response = response
	switch accepted := response.Accepted(); {
	case accepted && t.c.cheat() && !t.c.Harmless && (t.c.breach() || !t.permits(a.Body)):
		t.r.broken("the request was accepted")
	case !accepted && t.c.honest():
		t.r.broken("an honest %s was rejected", t.c.Kind.noun())
		t.r.HonestRejected = true
	}
	return a, nil
}

// permits reports whether the grant of the case permits this body.
func (t run) permits(body []byte) bool {
	least, most := t.wish.MinSize, t.wish.MaxSize
	if t.wish.Size > 0 {
		least, most = t.wish.Size, t.wish.Size
	}
	switch size := int64(len(body)); {
	case t.c.Twice && t.c.Constraint == WriteOnce, t.wish.Checksum != "":
		return bytes.Equal(body, Body)
	case size == 0:
		return t.c.Kind == PartURL && least == 0 // An upload of unknown size may have an empty part.
	default:
		return size >= least && (most == 0 || size <= most)
	}
}

// checkPublic records whether the object of a cheat is public.
func (t run) checkPublic(ctx context.Context, grant *presign.Grant, a *Attempt) error {
	if !t.c.cheat() {
		return nil
	}
	address, _, _ := strings.Cut(grant.URL, "?")
	if t.c.Kind == Form {
		address = strings.TrimRight(address, "/") + "/" + grant.Key
	}
	open, err := t.isPublic(ctx, address)
	if err != nil || !open {
		return err
	}
	// The bucket itself might be public.
	if open, err = t.isPublic(ctx,
		strings.Replace(address, grant.Key, t.Private(), 1)); err == nil && !open {
		t.r.broken("the stored object is public")
	}
	return err
}

// isPublic reports whether an address can be read without credentials.
func (t run) isPublic(ctx context.Context, address string) (bool, error) {
	response, err := (&Attempt{
		Method: http.MethodGet, URL: address, Header: make(http.Header),
	}).SendContext(ctx, t.HTTP)
	return err == nil && response.Accepted(), err
}

// list returns the keys in the folder of the case, without the folders of key,
// which some stores list as objects.
func (t run) list(ctx context.Context, key string) (keys []string, err error) {
	out, err := t.Client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
		Bucket: &t.Bucket, Prefix: &t.folder,
	})
	if err != nil {
		return nil, err
	}
	for _, o := range out.Contents {
		listed := aws.ToString(o.Key)
		folder := strings.HasSuffix(listed, "/") && aws.ToInt64(o.Size) == 0 &&
			strings.HasPrefix(key, listed)
		if !folder {
			keys = append(keys, listed)
		}
	}
	return keys, nil
}

// grantedObject returns the object that the store must have after an upload.
func (t run) grantedObject(grant *presign.Grant, body []byte) Object {
	headers := grant.Headers
	if grant.Method == http.MethodPost {
		headers = grant.Fields
	}
	o := Object{
		Body: body,
		Type: headers["Content-Type"], Disposition: headers["Content-Disposition"],
		CacheControl: headers["Cache-Control"],
		Metadata:     map[string]string{"presign": headers["x-amz-meta-presign"]},
		Tags:         map[string]string{},
	}
	maps.Copy(o.Metadata, t.wish.Metadata)
	if _, tagged := t.policy.Headers["x-amz-tagging"]; tagged {
		o.Tags = map[string]string{"a": "b c", "d": "e/@"}
	}
	return o
}

// compare compares an object with the granted one and records the differences.
func (t run) compare(ctx context.Context, key string, granted Object) error {
	if t.c.Stored != nil {
		t.c.Stored(&granted)
	}
	actual, err := t.read(ctx, key)
	if err != nil {
		return err
	}
	if actual.Tags == nil {
		granted.Tags = nil // The client may not read tags.
	}
	lost, differs := granted.differences(actual)
	t.r.Lost = lost
	if t.c.Harmless {
		differs = slices.DeleteFunc(differs, func(name string) bool { return name == bytesDiffer })
	}
	if i := slices.IndexFunc(lost, isRequired); i >= 0 && t.c.honest() {
		t.r.broken("the stored object has lost %s", lost[i])
	}
	if t.c.cheat() {
		differs = append(differs, actual.Further...)
	}
	if len(differs) > 0 {
		t.r.broken("the stored object differs from the grant: %s", strings.Join(differs, ", "))
	}
	if t.Name == "" {
		return nil
	}
	if d, ok := butForms[t.Name]; ok && t.c.Kind == Form {
		d.Stored(&granted)
	}
	if t.deviation.Stored != nil {
		t.deviation.Stored(&granted)
	}
	if lost, differs := granted.differences(actual); len(lost)+len(differs) > 0 {
		t.r.unlike("%s: the stored object differs in %s", t.c.Name,
			strings.Join(append(lost, differs...), ", "))
	}
	return nil
}

// extraProperties names the properties of an object that no grant of the matrix
// requests.
func extraProperties(out *s3.GetObjectOutput) (names []string) {
	for name, set := range map[string]bool{
		"x-amz-storage-class": out.StorageClass != "" &&
			out.StorageClass != types.StorageClassStandard,
		"x-amz-object-lock-legal-hold":                out.ObjectLockLegalHoldStatus == types.ObjectLockLegalHoldStatusOn,
		"x-amz-object-lock-mode":                      out.ObjectLockMode != "",
		"x-amz-server-side-encryption-aws-kms-key-id": strings.Contains(aws.ToString(out.SSEKMSKeyId), "evil"),
	} {
		if set {
			names = append(names, name)
		}
	}
	return names
}

// isRequired reports whether an upload must not lose this header. The service
// sets other headers again when it publishes.
func isRequired(lost string) bool {
	return strings.HasPrefix(lost, "x-amz-meta-") || lost == "x-amz-tagging" ||
		lost == "Content-Type"
}

// checkUnchanged records whether a rejected upload has replaced the previous
// object.
func (t run) checkUnchanged(ctx context.Context, key string, before Object) error {
	actual, err := t.read(ctx, key)
	if err != nil {
		return err
	}
	if _, differs := before.differences(actual); len(differs) > 0 &&
		slices.Contains(differs, bytesDiffer) {
		t.r.broken("a rejected upload was stored")
		t.r.unlike("%s: a rejected upload was stored", t.c.Name)
	}
	return nil
}

// read reads an object back. Tags are nil if the client may not read them.
func (t run) read(ctx context.Context, key string) (Object, error) {
	out, err := t.Client.GetObject(ctx, &s3.GetObjectInput{Bucket: &t.Bucket, Key: &key})
	if err != nil {
		return Object{}, err
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	if err != nil {
		return Object{}, err
	}
	o := Object{
		Body: body, Type: aws.ToString(out.ContentType),
		Disposition:  aws.ToString(out.ContentDisposition),
		CacheControl: aws.ToString(out.CacheControl), Encoding: aws.ToString(out.ContentEncoding),
		Language: aws.ToString(out.ContentLanguage), Expires: aws.ToString(out.ExpiresString),
		Redirect: aws.ToString(out.WebsiteRedirectLocation), Metadata: out.Metadata,
		Further: extraProperties(out),
	}
	tags, err := t.Client.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{
		Bucket: &t.Bucket, Key: &key,
	})
	if err != nil {
		if response, err := ResponseOf(err); err != nil ||
			response.Status != http.StatusForbidden &&
				response.Status != http.StatusNotImplemented {
			return Object{}, cmp.Or(err, fmt.Errorf("tags of %q: %v", key, response))
		} else if response.Status == http.StatusNotImplemented {
			o.Tags = map[string]string{} // The store has no tags.
		}
		return o, nil
	}
	o.Tags = make(map[string]string)
	for _, tag := range tags.TagSet {
		o.Tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return o, nil
}
