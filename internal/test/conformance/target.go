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

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/objectstore"
)

// Target is a bucket to hold to the matrix. It is safe for concurrent use.
type Target struct {
	Name   string     // as in Case.But; empty if nothing is known of it
	Client *s3.Client // looks at what was stored, and completes
	Signer *s3.Client // signs; Client, if it is nil
	Bucket string
	HTTP   *http.Client

	// Prefix begins all keys, but for those that copies are made to: these begin with FinalPrefix, if it is set. The
	// defaults are "matrix/" and Prefix. Whoever runs cases removes what lies under them.
	Prefix, FinalPrefix string

	// Session are temporary credentials, for Case.Session.
	Session aws.Credentials
	// SessionURL is the endpoint for Session, if it is not Client's.
	SessionURL string

	// Past runs sign at a time at which what it signs for a second has long expired by now. Without it, Case.Expired
	// takes as long as it takes until a second is over at a server whose clock is behind by Behind.
	Past   func(sign func())
	Behind time.Duration
}

// Result is what a server made of a case.
type Result struct {
	Case   Case
	Answer Answer

	// Broken says how the constraint was not kept: what was taken or stored that was not granted, or that an honest
	// upload was not. It is empty if it was kept, whatever the answer.
	Broken string
	// Lost are the headers of an accepted upload that the server has not kept.
	Lost []string
	// Unlike is how the server differs from what is known of it (Case.Want, or Case.But).
	Unlike error
	// Err is why the case could not be run.
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

// Refused reports whether the server's answer says that it refused the case: by a status and code that S3 has for that, or by
// those that it, or a server with a reason for it (Case.But), is known to give here.
func (r Result) Refused() bool {
	known := func(a Answer) bool { return r.Answer == a && !a.Accepted() }
	if known(r.Case.Want) || r.Answer.refuses() {
		return true
	}
	for _, d := range r.Case.But {
		if known(d.Answer) || slices.ContainsFunc(d.Or, known) {
			return true
		}
	}
	return false
}

// privateBody is what lies under a key that no grant is for.
var privateBody = []byte("for nobody else\n")

func (t Target) prefix() string { return cmp.Or(t.Prefix, "matrix/") }

// Private is the key of an object that no grant is for. Prepare puts it.
func (t Target) Private() string { return t.prefix() + "private" }

// Prepare puts what the cases find there. It comes before the first Run.
func (t Target) Prepare(ctx context.Context) error {
	key := t.Private()
	_, err := t.Client.PutObject(ctx, &s3.PutObjectInput{Bucket: &t.Bucket, Key: &key, Body: bytes.NewReader(privateBody)})
	return err
}

// Verify holds what lies under the key of a grant after an honest upload against the grant, and what is known of the
// server.
func (t Target) Verify(ctx context.Context, grant *presign.Grant, body []byte) error {
	c := Case{Name: grant.Key, Kind: PUT}
	if grant.Method == http.MethodPost {
		c.Kind = Form
	}
	r := new(Result)
	verified := run{Target: t, c: c, r: r}
	if err := verified.compare(ctx, grant.Key, verified.granted(grant, body)); err != nil {
		return err
	}
	return r.Unlike
}

// tries is how often a case is run where the server is busy.
const tries = 3

// Run runs one case, from its beginning up to twice more if the server is busy, a second and two later. The error of Err
// holds no URL.
func (t Target) Run(ctx context.Context, c Case) Result {
	for try := 1; ; try++ {
		r := t.try(ctx, c)
		if _, busy := errors.AsType[busyError](r.Err); !busy || try == tries {
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
		run.deviation, run.want = d, d.Answer
	}
	switch {
	case c.Kind == Completion:
		r.Err = run.call(ctx)
	default:
		r.Err = run.upload(ctx)
	}
	if r.Err == nil && r.Answer != run.want && !slices.Contains(run.deviation.Or, r.Answer) {
		r.unlike("%s: the answer is %v, not %v", c.Name, r.Answer, run.want)
	}
	return *r
}

// run is a case that is being run.
type run struct {
	Target
	c         Case
	r         *Result
	folder    string // of its keys
	policy    presign.Policy
	wish      presign.Upload
	want      Answer
	deviation Deviation
}

// call asks the store for what the service asks of it.
func (t run) call(ctx context.Context) error {
	s := service{
		Store: objectstore.Store{Client: t.Client, Bucket: t.Bucket},
		From:  t.folder + "from", To: cmp.Or(t.FinalPrefix, t.prefix()) + rand.Text() + "/to",
	}
	said, err := t.c.Call(ctx, s)
	if err != nil {
		return err
	}
	if t.r.Answer, err = AnswerOf(said); err != nil {
		return err
	}
	switch {
	case t.r.Answer.Accepted() && !t.c.Want.Accepted():
		t.r.broken("it was done")
	case !t.r.Answer.Accepted() && t.c.Want.Accepted():
		t.r.broken("it was refused")
	}
	return nil
}

// upload makes the request that the case is about.
func (t run) upload(ctx context.Context) error {
	t.policy = presign.Policy{Prefix: t.prefix(), Types: []string{"text/*"}, MaxSize: 1 << 20}
	if t.c.With != nil {
		t.c.With(&t.policy)
	}
	t.wish = presign.Upload{Filename: fileName, Key: t.folder, Owner: "conformance"}
	if t.c.Kind != Form {
		sizeKnown(&t.wish)
	}
	if t.c.Ask != nil {
		t.c.Ask(&t.wish)
	}
	if t.c.Expired && t.Past == nil {
		t.wish.Lifetime = time.Second
	}
	signing := cmp.Or(t.Signer, t.Client)
	if t.c.Session {
		signing = s3.New(signing.Options(), func(o *s3.Options) {
			o.Credentials = credentials.StaticCredentialsProvider{Value: t.Session}
			o.ExpressCredentials = nil // which the SDK would otherwise change under the other client
			if t.SessionURL != "" {
				o.BaseEndpoint = &t.SessionURL
			}
		})
	}
	signer, err := presign.NewSigner(signing, t.Bucket, t.policy, presign.WithStore(t.Client))
	if err != nil {
		return err
	}
	switch t.c.Kind {
	case PartURL:
		return t.part(ctx, signer)
	case Form:
		return t.whole(ctx, func() (*presign.Grant, error) { return signer.Post(ctx, t.wish) })
	}
	return t.whole(ctx, func() (*presign.Grant, error) { return signer.Put(ctx, t.wish) })
}

// whole uploads a file with one request.
func (t run) whole(ctx context.Context, sign func() (*presign.Grant, error)) error {
	grant, err := t.sign(ctx, sign)
	if err != nil {
		return err
	}
	honest := New(grant, fileName, Body)
	if t.c.Twice {
		if err := t.once(ctx, honest); err != nil {
			return err
		}
	}
	body, err := t.attempt(ctx, grant)
	if err != nil {
		return err
	}
	there, err := t.list(ctx)
	if err != nil {
		return err
	}
	for _, key := range there {
		if key != grant.Key {
			t.r.broken("something was stored under a key that was never granted")
			t.r.unlike("%s: something was stored under a key that was never granted", t.c.Name)
		}
	}
	switch present := slices.Contains(there, grant.Key); {
	case t.r.Answer.Accepted() && !present:
		t.r.broken("nothing was stored")
		t.r.unlike("%s: nothing was stored", t.c.Name)
	case t.r.Answer.Accepted():
		return t.compare(ctx, grant.Key, t.granted(grant, body))
	case t.c.Twice && !present:
		t.r.broken("a refused upload took the object away")
		t.r.unlike("%s: a refused upload took the object away", t.c.Name)
	case t.c.Twice:
		return t.unchanged(ctx, grant.Key, t.granted(grant, honest.Body))
	case present:
		t.r.broken("a refused upload was stored")
		t.r.unlike("%s: a refused upload was stored", t.c.Name)
	}
	return nil
}

// part uploads the only part of a file. What is accepted is completed, and then what was granted.
func (t run) part(ctx context.Context, signer *presign.Signer) (err error) {
	m, err := signer.StartMultipart(ctx, t.wish)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Abort(context.WithoutCancel(ctx))) }()
	part := presign.Part{Number: 1, Checksum: t.wish.Checksum}
	if t.c.Bare {
		part.Checksum = ""
	}
	grant, err := t.sign(ctx, func() (*presign.Grant, error) { return m.SignPart(ctx, part) })
	if err != nil {
		return err
	}
	if t.c.Twice {
		if err := t.once(ctx, New(grant, fileName, Body)); err != nil {
			return err
		}
	}
	switch t.c.Ended {
	case "complete":
		_, err = m.Complete(ctx, nil)
	case "abort":
		err = m.Abort(ctx)
	}
	if err != nil {
		return err
	}
	body, err := t.attempt(ctx, grant)
	if err != nil {
		return err
	}
	there, err := t.list(ctx)
	if err != nil {
		return err
	}
	var want []string
	if t.c.Ended == "complete" {
		want = []string{grant.Key}
	}
	if !slices.Equal(there, want) {
		t.r.broken("there is an object that the service did not complete, or none that it did")
		t.r.unlike("%s: there are %d objects, not %d", t.c.Name, len(there), len(want))
	}
	if t.c.Ended != "" {
		return nil
	}
	arrived, err := m.ListParts(ctx)
	if err != nil {
		return fmt.Errorf("the upload is not as it was: %w", err)
	}
	if !t.r.Answer.Accepted() {
		if len(arrived) > 0 {
			t.r.broken("a refused part was stored")
			t.r.unlike("%s: a refused part was stored", t.c.Name)
		}
		return nil
	}
	if len(arrived) != 1 {
		t.r.broken("there are %d parts, not 1", len(arrived))
		t.r.unlike("%s: there are %d parts, not 1", t.c.Name, len(arrived))
		return nil
	}
	object, err := m.Complete(ctx, nil)
	if refused := t.deviation.Refused; err != nil && len(presign.Violations(err)) > 0 {
		t.r.broken("completion refused it: %v", err)
		if refused == "" || !strings.Contains(err.Error(), refused) {
			t.r.unlike("%s: %w", t.c.Name, err)
		}
		return nil
	} else if err != nil {
		return err
	} else if refused != "" {
		t.r.unlike("%s: it was completed, though %s", t.c.Name, refused)
	}
	head, err := t.Client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &t.Bucket, Key: &object.Key})
	if err != nil {
		return err
	}
	return t.compare(ctx, object.Key, t.granted(&presign.Grant{Headers: map[string]string{ // which no client sees
		"Content-Type": "text/plain", "Content-Disposition": "attachment; filename*=UTF-8''a%20file.txt",
		"Cache-Control": t.policy.Headers["Cache-Control"], "x-amz-meta-presign": head.Metadata["presign"],
	}}, body))
}

// sign signs; what is to be too late, long ago or until it is.
func (t run) sign(ctx context.Context, sign func() (*presign.Grant, error)) (grant *presign.Grant, err error) {
	if !t.c.Expired {
		return sign()
	}
	if t.Past != nil {
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

// once uploads honestly.
func (t run) once(ctx context.Context, honest *Attempt) error {
	answer, err := honest.send(ctx, t.HTTP)
	if err == nil && answer.busy() {
		return busyError{answer}
	}
	if err == nil && !answer.Accepted() {
		err = fmt.Errorf("the honest upload before it was refused: %v", answer)
	}
	return err
}

// attempt makes the attempt of the case and returns the file that it sent.
func (t run) attempt(ctx context.Context, grant *presign.Grant) (body []byte, err error) {
	a := New(grant, fileName, Body)
	a.Bucket, a.Key, a.Private = t.Bucket, grant.Key, t.Private()
	a.Evil = strings.Replace(grant.Key, safeName, evilName, 1)
	if t.c.Do != nil {
		t.c.Do(a)
	}
	answer, err := a.send(ctx, t.HTTP)
	if err != nil {
		return nil, err
	}
	if answer.busy() {
		return nil, busyError{answer}
	}
	t.r.Answer = answer
	switch accepted := t.r.Answer.Accepted(); {
	case accepted && !t.c.Want.Accepted() && !t.c.Harmless:
		t.r.broken("it was taken")
	case !accepted && t.c.Want.Accepted() && t.c.Do == nil:
		t.r.broken("an honest upload was refused")
	}
	return a.Body, nil
}

// list returns the keys in the case's folder.
func (t run) list(ctx context.Context) (keys []string, err error) {
	out, err := t.Client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &t.Bucket, Prefix: &t.folder})
	if err != nil {
		return nil, err
	}
	for _, o := range out.Contents {
		keys = append(keys, aws.ToString(o.Key))
	}
	return keys, nil
}

// granted returns what the store is to hold after an upload.
func (t run) granted(grant *presign.Grant, body []byte) Object {
	headers := grant.Headers
	if grant.Method == http.MethodPost {
		headers = grant.Fields
	}
	o := Object{
		Body: body,
		Type: headers["Content-Type"], Disposition: headers["Content-Disposition"], CacheControl: headers["Cache-Control"],
		Metadata: map[string]string{"presign": headers["x-amz-meta-presign"]}, Tags: map[string]string{},
	}
	maps.Copy(o.Metadata, t.wish.Metadata)
	if _, tagged := t.policy.Headers["x-amz-tagging"]; tagged {
		o.Tags = map[string]string{"a": "b c", "d": "e/@"}
	}
	return o
}

// compare holds what lies under a key against what the store is to hold.
func (t run) compare(ctx context.Context, key string, granted Object) error {
	if t.c.Stored != nil {
		t.c.Stored(&granted)
	}
	is, err := t.read(ctx, key)
	if err != nil {
		return err
	}
	if is.Tags == nil {
		granted.Tags = nil // nobody may look
	}
	lost, differs := granted.differences(is)
	t.r.Lost = lost
	if t.c.Harmless {
		differs = slices.DeleteFunc(differs, func(name string) bool { return name == bytesDiffer })
	}
	if i := slices.IndexFunc(lost, vital); i >= 0 && t.c.Do == nil {
		t.r.broken("what was stored has lost %s", lost[i])
	}
	if len(differs) > 0 {
		t.r.broken("what was stored is not what was granted: %s", strings.Join(differs, ", "))
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
	if lost, differs := granted.differences(is); len(lost)+len(differs) > 0 {
		t.r.unlike("%s: what was stored differs in %s", t.c.Name, strings.Join(append(lost, differs...), ", "))
	}
	return nil
}

// vital reports whether an upload that has lost this is not what was granted. Other headers the service sets again when
// it publishes.
func vital(lost string) bool {
	return strings.HasPrefix(lost, "x-amz-meta-") || lost == "x-amz-tagging" || lost == "Content-Type"
}

// unchanged holds an object that was refused to be replaced against what was uploaded before.
func (t run) unchanged(ctx context.Context, key string, before Object) error {
	is, err := t.read(ctx, key)
	if err != nil {
		return err
	}
	if _, differs := before.differences(is); len(differs) > 0 && slices.Contains(differs, bytesDiffer) {
		t.r.broken("a refused upload was stored")
		t.r.unlike("%s: a refused upload was stored", t.c.Name)
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
		Body: body, Type: aws.ToString(out.ContentType), Disposition: aws.ToString(out.ContentDisposition),
		CacheControl: aws.ToString(out.CacheControl), Encoding: aws.ToString(out.ContentEncoding),
		Language: aws.ToString(out.ContentLanguage), Expires: aws.ToString(out.ExpiresString),
		Redirect: aws.ToString(out.WebsiteRedirectLocation), Metadata: out.Metadata,
	}
	tags, err := t.Client.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: &t.Bucket, Key: &key})
	if err != nil {
		if answer, err := AnswerOf(err); err != nil || answer.Status != http.StatusForbidden && answer.Status != http.StatusNotImplemented {
			return Object{}, cmp.Or(err, fmt.Errorf("tags of %q: %v", key, answer))
		}
		return o, nil
	}
	o.Tags = make(map[string]string)
	for _, tag := range tags.TagSet {
		o.Tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return o, nil
}
