// Package presign hands out uploads instead of credentials. A service says who may upload what; a browser, phone or
// script uploads straight to S3 with a presigned form or URL that admits exactly that: the file's name, its type, its
// size or a range of sizes, optionally its checksum, for a limited time. S3 enforces it. The secret key never leaves the
// service, and the bytes of files never pass through it.
//
// Most services want a [Handler], made of a [Signer] and a function that tells who is asking:
//
//	signer, err := presign.NewSigner(client, "bucket", presign.Policy{
//		Prefix:  "uploads/",
//		Types:   []string{"image/*", "application/pdf"},
//		MaxSize: 10 << 20,
//	})
//	…
//	handler, err := presign.NewHandler(signer, authenticate)
//	…
//	mux.Handle("/uploads/", http.StripPrefix("/uploads", handler))
//
// A service with a transport of its own calls [Signer.Put], [Signer.Post], [Signer.StartMultipart] and [Signer.Complete],
// which is all that the Handler does. Completion tells the service what was uploaded: it holds what the store has against
// what was granted.
//
// A [Policy] that a kind of request cannot enforce is an error for that kind, never silently weaker.
package presign

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign/internal/endpoint"
	"github.com/s3presign/presign/internal/objectkey"
	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/postpolicy"
	"github.com/s3presign/presign/internal/seal"
	"github.com/s3presign/presign/internal/sigv4"
)

// Signer grants uploads to one bucket under one Policy. It is immutable and safe for concurrent use. Signing makes no
// request, unless the credentials have to be renewed.
type Signer struct {
	rules       *rules
	bucket      string
	endpoint    endpoint.Endpoint
	formURL     string
	keys        *sigv4.Keys
	credentials *credentialSource
	forms       atomic.Pointer[commonForm] // of the key that signed last
	store       objectstore.Store
	seal        *seal.Keyring
	fleeting    bool // the seal's secret ends with the process
}

// NewSigner returns a Signer that signs with the credentials of client, for its region and endpoint and as its options
// say (path style, dual stack, FIPS, accelerate). The credentials need s3:PutObject on the objects under policy.Prefix
// and nothing else. Bucket is a bucket's name, or the ARN or alias of an access point; for these there are no forms.
//
// NewSigner makes no request. It reports all faults at once, joined, among them what cannot work at all: an empty
// region, anonymous credentials, EnvFile or AssumeRole inside an aws.CredentialsCache, S3 Express, multi-Region access
// points, S3 on Outposts.
func NewSigner(client *s3.Client, bucket string, policy Policy, opts ...SignerOption) (*Signer, error) {
	o := signerOptions{store: client}
	var faults []error
	for i, opt := range opts {
		if opt == nil {
			faults = append(faults, fmt.Errorf("presign: option %d is nil", i+1))
		} else if err := opt(&o); err != nil {
			faults = append(faults, fmt.Errorf("presign: %w", err))
		}
	}
	rules, err := newRules(policy)
	faults = append(faults, err)
	resolved, err := endpoint.Resolve(client, bucket, o.publicEndpoint)
	if err != nil {
		faults = append(faults, fmt.Errorf("presign: %w", err))
	}
	s := &Signer{rules: rules, bucket: bucket, endpoint: resolved, formURL: resolved.Bucket(), keys: sigv4.NewKeys(resolved.Region)}
	if client != nil {
		if s.credentials, err = newCredentialSource(client.Options().Credentials); err != nil {
			faults = append(faults, fmt.Errorf("presign: %w", err))
		}
	}
	s.store = objectstore.Store{Client: o.store, Bucket: bucket}
	if o.store != nil && o.store != client {
		_, err := endpoint.Resolve(o.store, bucket, "")
		_, credentialsErr := newCredentialSource(o.store.Options().Credentials)
		if err := errors.Join(err, credentialsErr); err != nil {
			faults = append(faults, fmt.Errorf("presign: WithStore: %w", err))
		}
	}
	if s.fleeting = o.secrets == nil; s.fleeting {
		o.secrets = [][]byte{[]byte(rand.Text() + rand.Text())}
	}
	// Another format of what is sealed, the stamps, needs another number: an old one could read as a new one.
	s.seal, err = seal.New(o.secrets, "2", resolved.Host, bucket, policy.Prefix, policy.FinalPrefix)
	if err != nil {
		faults = append(faults, fmt.Errorf("presign: WithSecret: %w", err))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	switch {
	case o.withoutForms:
		s.rules.formless = "this store takes none"
	case resolved.NoForms != "":
		s.rules.formless = resolved.NoForms
	}
	return s, nil
}

// Put grants one PUT request of exactly upload.Size bytes, which is required. S3 refuses any other key, size, type,
// name, metadata or checksum. Unless Policy.Replace is set, it also refuses the request while there is an object with
// this key: once the object is deleted or moved away, the grant can be used again until it expires.
//
// It returns Violations, joined, where the Policy does not admit the upload, and ErrCredentialsExpiring. What the
// Policy does not set, a client may add: a Content-Encoding, Content-Language, Cache-Control or Expires header, since
// the absence of a header cannot be signed.
//
// See https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html.
func (s *Signer) Put(ctx context.Context, upload Upload) (*Grant, error) {
	u, err := s.rules.admit(upload, s.rules.Metadata)
	signed, err := s.put(ctx, u, err)
	return signed.grant(), err
}

// put is Put for an upload that was admitted, or was not, for that reason.
func (s *Signer) put(ctx context.Context, u Upload, fault error) (*signed, error) {
	var faults []error
	refuse := func(field, format string, args ...any) {
		faults = append(faults, violation(field, format, args...))
	}
	switch {
	case u.Size == 0:
		refuse("size", "is required for a PUT")
	case u.Size > maxRequestSize:
		refuse("size", "is %d bytes; a PUT takes at most %d", u.Size, int64(maxRequestSize))
	}
	if u.Redirect != "" {
		refuse("redirect", "is for forms only")
	}
	if fault != nil {
		faults = append(faults, fault)
	}
	d, err := s.draft(ctx, u, faults)
	if err != nil {
		return nil, err
	}

	headers := append(make([]sigv4.Pair, 0, 24), s.rules.headers...)
	sent := append(make([]sigv4.Pair, 0, len(headers)+len(d.metadata)+5), s.rules.clientHeaders...)
	sign := func(name, as, value string) {
		headers = append(headers, sigv4.Pair{Name: name, Value: value})
		sent = append(sent, sigv4.Pair{Name: as, Value: value})
	}
	sign("content-disposition", "Content-Disposition", d.disposition)
	headers = append(headers, sigv4.Pair{Name: "content-length", Value: strconv.FormatInt(u.Size, 10)})
	sign("content-type", "Content-Type", u.Type)
	if !s.rules.Replace {
		sign("if-none-match", "If-None-Match", "*")
	}
	if s.rules.Checksum != "" {
		sign(s.rules.checksumHeader, s.rules.checksumHeader, u.Checksum)
	}
	sign(stampHeader, stampHeader, d.stamp)
	for _, m := range d.metadata {
		header := "x-amz-meta-" + m.Name
		sign(header, header, m.Value)
	}
	slices.SortFunc(headers, byName)

	url := d.signing.Presign(&sigv4.Request{
		Method: http.MethodPut, Scheme: s.endpoint.Scheme, Host: s.endpoint.Host, Base: s.endpoint.Base, Key: d.key,
		Headers: headers, Expires: int(d.lifetime / time.Second),
	}, d.now)
	return &signed{Grant{Method: http.MethodPut, URL: url, Key: d.key, Expires: d.expires}, sent, nil}, nil
}

// Post grants an HTML form, which S3 admits for files from upload.MinSize to upload.MaxSize bytes, or of upload.Size
// bytes if that is known. S3 refuses any other key, type, name, metadata, checksum or field.
//
// A form can be used again until it expires, and S3 then replaces the object: it has no If-None-Match. So a key that the
// service chose needs Policy.Replace or Policy.FinalPrefix; a key with a random part is harmless, since only the holder of the form knows it.
//
// It returns Violations, joined, where the Policy does not admit the upload or a form cannot enforce it, and
// ErrCredentialsExpiring. No form is granted that takes more bytes before the file than the 20,480 that S3 reads.
//
// See https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html.
func (s *Signer) Post(ctx context.Context, upload Upload) (*Grant, error) {
	u, err := s.rules.admit(upload, s.rules.Metadata)
	signed, err := s.post(ctx, u, err)
	return signed.grant(), err
}

// post is Post for an upload that was admitted, or was not, for that reason.
func (s *Signer) post(ctx context.Context, u Upload, fault error) (*signed, error) {
	var faults []error
	refuse := func(field, format string, args ...any) {
		faults = append(faults, violation(field, format, args...))
	}
	if fault != nil {
		faults = append(faults, fault)
	}
	if s.rules.formless != "" {
		refuse("method", "cannot be POST: %s", s.rules.formless)
	}
	if u.Key != "" && !strings.HasSuffix(u.Key, "/") && !s.rules.Replace && s.rules.FinalPrefix == "" {
		refuse("method", "cannot be POST: the service chose the key, and a form would overwrite what is there")
	}
	switch {
	case fault != nil:
	case strings.Contains(u.Key, "$"):
		refuse("key", "has a dollar sign, which forms cannot hold")
	case u.MinSize > maxRequestSize:
		refuse("size", "is at least %d bytes; a form takes at most %d", u.MinSize, int64(maxRequestSize))
	}
	for name, value := range u.Metadata {
		if strings.Contains(value, "$") {
			refuse("metadata["+name+"]", "has a dollar sign, which forms cannot hold")
		}
	}
	if strings.ContainsFunc(u.Redirect, func(c rune) bool { return c <= ' ' || c > '~' || c == '$' }) {
		refuse("redirect", "has a dollar sign or a character that is not printable ASCII; escape it")
	}
	d, err := s.draft(ctx, u, faults)
	if err != nil {
		return nil, err
	}
	common, err := s.commonForm(d.signing)
	if err != nil {
		return nil, fmt.Errorf("presign: %w", err)
	}

	fields := append(make([]postpolicy.Field, 0, 24),
		postpolicy.Field{Name: "key", Value: d.key},
		postpolicy.Field{Name: "Content-Type", Value: u.Type},
		postpolicy.Field{Name: "Content-Disposition", Value: d.disposition},
		postpolicy.Field{Name: stampHeader, Value: d.stamp},
		postpolicy.Field{Name: "x-amz-date", Value: string(sigv4.AppendDate(make([]byte, 0, 16), d.now))})
	if s.rules.Checksum != "" {
		fields = append(fields, postpolicy.Field{Name: s.rules.checksumHeader, Value: u.Checksum})
	}
	for _, m := range d.metadata {
		fields = append(fields, postpolicy.Field{Name: "x-amz-meta-" + m.Name, Value: m.Value})
	}
	if u.Redirect != "" {
		fields = append(fields, postpolicy.Field{Name: "success_action_redirect", Value: u.Redirect})
	}
	form := postpolicy.Form{
		Common: common.Common, Expires: d.expires, MinSize: u.MinSize, MaxSize: min(u.MaxSize, maxRequestSize), Fields: fields,
	}
	complete, err := form.Sign(common.sign)
	if err != nil {
		return nil, fmt.Errorf("presign: %w", err)
	}
	return &signed{Grant{Method: http.MethodPost, URL: s.formURL, Key: d.key, Expires: d.expires}, nil, complete}, nil
}

// commonForm is what the forms that one key signs have in common. It is much of each: a session token above all.
type commonForm struct {
	*postpolicy.Common
	key       *sigv4.Key
	beginning sigv4.Beginning // of what is signed
}

func (c *commonForm) sign(policy string) string {
	return c.key.SignBehind(c.beginning, policy[len(c.PolicyBeginning):])
}

// commonForm returns that of a key. It keeps the last one, as s.keys keeps the key.
func (s *Signer) commonForm(key *sigv4.Key) (*commonForm, error) {
	if c := s.forms.Load(); c != nil && c.key == key {
		return c, nil
	}
	fields := append(slices.Clone(s.rules.fields),
		postpolicy.Field{Name: "x-amz-algorithm", Value: sigv4.Algorithm},
		postpolicy.Field{Name: "x-amz-credential", Value: key.Credential})
	if s.rules.Checksum != "" {
		fields = append(fields, postpolicy.Field{Name: "x-amz-checksum-algorithm", Value: string(s.rules.Checksum)})
	}
	if key.Token != "" {
		fields = append(fields, postpolicy.Field{Name: "x-amz-security-token", Value: key.Token})
	}
	common, err := postpolicy.NewCommon(s.bucket, fields)
	if err != nil {
		return nil, err
	}
	c := &commonForm{Common: common, key: key, beginning: key.Beginning(common.PolicyBeginning)}
	s.forms.Store(c)
	return c, nil
}

// draft is what a form and a PUT have in common.
type draft struct {
	key, disposition string
	stamp            string
	metadata         []sigv4.Pair // without the stamp
	signing          *sigv4.Key
	now, expires     time.Time // in whole seconds
	lifetime         time.Duration
}

// draft begins the grant of an upload that was admitted, if nothing speaks against it.
func (s *Signer) draft(ctx context.Context, u Upload, faults []error) (d draft, err error) {
	if err := errors.Join(faults...); err != nil {
		return d, err
	}
	if d.key, err = s.key(u); err != nil {
		return d, err
	}
	var now time.Time
	if d.signing, now, d.lifetime, err = s.signingKey(ctx, u.Lifetime); err != nil {
		return d, err
	}
	d.disposition = disposition(s.rules.inline, u.Filename)
	d.now = wholeSecond(now)
	d.expires = d.now.Add(d.lifetime)
	d.metadata = pairs(u.Metadata)
	granted := s.granted(u, d.metadata, now, d.now.Add(u.Lifetime))
	d.stamp, err = s.sealStamp(&granted, d.key, d.metadata)
	return d, err
}

func disposition(inline bool, name string) string {
	if inline {
		return objectkey.Disposition("inline", name)
	}
	return objectkey.Disposition("attachment", name)
}

// signingKey returns what signs, the time when it does, and for how long from then on, in whole seconds and at most limit.
func (s *Signer) signingKey(ctx context.Context, limit time.Duration) (*sigv4.Key, time.Time, time.Duration, error) {
	c, now, lifetime, err := s.credentials.retrieve(ctx, limit)
	if err != nil {
		return nil, now, 0, err
	}
	key := s.keys.Key(sigv4.Credential{ID: c.AccessKeyID, Secret: c.SecretAccessKey, Token: c.SessionToken}, now)
	return key, now, lifetime.Truncate(time.Second), nil
}

// key returns the key of an admitted upload. Unless the service named the object, it has a part that nobody can guess.
func (s *Signer) key(u Upload) (string, error) {
	key, name := cmp.Or(u.Key, s.rules.Prefix), ""
	if strings.HasSuffix(key, "/") {
		name = objectkey.Safe(u.Filename)
		key = key + rand.Text() + "/" + name
	}
	longest := len(key)
	if s.rules.FinalPrefix != "" {
		longest += max(0, len(s.rules.FinalPrefix)-len(s.rules.Prefix))
	}
	if longest <= maxKeySize {
		return key, nil
	}
	field := "filename"
	if longest-len(name) >= maxKeySize { // whatever the name
		field = "key"
	}
	return "", violation(field, "makes a key of %d bytes; S3 takes %d", longest, maxKeySize)
}
