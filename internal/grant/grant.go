// Package grant signs presigned PUTs and POST forms.
package grant

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/s3presign/presign/internal/credential"
	"github.com/s3presign/presign/internal/endpoint"
	"github.com/s3presign/presign/internal/objectkey"
	"github.com/s3presign/presign/internal/postpolicy"
	"github.com/s3presign/presign/internal/rules"
	"github.com/s3presign/presign/internal/s3limit"
	"github.com/s3presign/presign/internal/sigv4"
	"github.com/s3presign/presign/internal/stamp"
)

const (
	// MultipartLifetime is how long after its start a multipart upload can be
	// completed.
	MultipartLifetime = 7 * 24 * time.Hour

	// completionTime is how long after the end of a grant its upload can be
	// completed.
	completionTime = 24 * time.Hour

	stampHeader = "x-amz-meta-" + rules.StampName
)

// A Signer signs grants for one bucket under one set of rules. It is safe for
// concurrent use.
type Signer struct {
	Rules       *rules.Rules
	Endpoint    endpoint.Endpoint
	FormURL     string // the URL of the bucket
	Bucket      string
	Credentials *credential.Source
	Stamps      *stamp.Sealer
	Keys        *sigv4.Keys

	// Inspects is set if the service inspects uploads before they are
	// published.
	Inspects bool

	forms atomic.Pointer[commonForm] // for the last signing key
}

// A Grant is a signed upload. Headers and Fields are slices, because maps would
// cost as much as the signature of a form, and the Handler does not need maps.
type Grant struct {
	ID, Method, URL, Key string
	Headers, Fields      []rules.Pair
	Expires              time.Time
	ExpiresIn            int // seconds
}

// NewID returns the ID of a new grant in hexadecimal.
func NewID() string {
	var id [16]byte
	var text [2 * len(id)]byte
	rand.Read(id[:]) // rand.Read never fails.
	hex.Encode(text[:], id[:])
	return string(text[:])
}

// Sign signs a PUT or a form for an upload that was validated for that method.
func (s *Signer) Sign(ctx context.Context, v *rules.Valid) (Grant, error) {
	d, err := s.draft(ctx, v)
	if err != nil {
		return Grant{}, err
	}
	if d.upload.Method == rules.POST {
		return s.signForm(&d)
	}
	return s.signPUT(&d), nil
}

// A draft holds the values that PUTs and forms have in common.
type draft struct {
	upload           rules.Upload
	key, disposition string
	stamp            string
	metadata         []rules.Pair // without the stamp
	signing          *sigv4.Key
	now, expires     time.Time // in whole seconds
	lifetime         time.Duration
}

func (s *Signer) draft(ctx context.Context, v *rules.Valid) (d draft, err error) {
	d.upload = v.Upload()
	if d.key, err = s.Rules.Key(v); err != nil {
		return d, err
	}
	var now time.Time
	if d.signing, now, d.lifetime, err = s.SigningKey(ctx, d.upload.Lifetime); err != nil {
		return d, err
	}
	d.disposition = Disposition(s.Rules.UploadInline(), d.upload.Filename)
	d.now = now.UTC().Truncate(time.Second)
	d.expires = d.now.Add(d.lifetime)
	d.metadata = rules.Sorted(d.upload.Metadata)
	granted := s.Stamp(&d.upload, d.metadata, now, d.now.Add(d.upload.Lifetime))
	d.stamp, err = s.SealStamp(&granted, d.key, d.metadata)
	return d, err
}

// SigningKey returns the key that signs, the time of signing, and the lifetime
// of the signature in whole seconds, at most limit.
func (s *Signer) SigningKey(
	ctx context.Context, limit time.Duration,
) (*sigv4.Key, time.Time, time.Duration, error) {
	c, now, lifetime, err := s.Credentials.Retrieve(ctx, limit)
	if err != nil {
		return nil, now, 0, err
	}
	signing := sigv4.Credential{ID: c.AccessKeyID, Secret: c.SecretAccessKey, Token: c.SessionToken}
	key := s.Keys.Key(signing, now)
	return key, now, lifetime.Truncate(time.Second), nil
}

// Disposition returns the Content-Disposition of an object.
func Disposition(inline bool, name string) string {
	if inline {
		return objectkey.Disposition("inline", name)
	}
	return objectkey.Disposition("attachment", name)
}

// Stamp returns the stamp of a grant that is made at now and ends at ends.
func (s *Signer) Stamp(u *rules.Upload, metadata []rules.Pair, now, ends time.Time) stamp.Stamp {
	granted := stamp.Stamp{
		Owner: u.Owner, Filename: u.Filename, Type: u.Type, MinSize: u.MinSize, MaxSize: u.MaxSize,
		Issued: now, Until: ends.Add(completionTime), Replace: s.Rules.Replace, Inline: s.Rules.Inline,
		Headers:  s.Rules.Stamped,
		Metadata: DigestMetadata(metadata), Method: stampMethods[u.Method],
		Random: rules.IsFolder(u.Key), Inspect: s.Inspects,
	}
	if !u.Deadline.IsZero() && u.Deadline.Before(granted.Until) {
		// The function of WithAuthorize got this Deadline, after which no
		// completion may start.
		granted.Until = u.Deadline
	}
	// NewID has made the ID, so Decode never fails.
	_, _ = hex.Decode(granted.ID[:], []byte(u.GrantID))
	if s.Rules.Checksum != "" {
		granted.Checksum = string(s.Rules.Checksum) + " " + u.Checksum
	}
	return granted
}

// SealStamp seals the stamp of an object that also has this metadata. The error
// is a *rules.Violation if the stamp and the metadata together exceed the limit
// of S3.
func (s *Signer) SealStamp(
	granted *stamp.Stamp, key string, metadata []rules.Pair,
) (string, error) {
	sealed := s.Stamps.Seal(granted, key)
	own := len(rules.StampName) + len(sealed)
	size := own
	for _, m := range metadata {
		size += len(m.Name) + len(m.Value)
	}
	if size > s3limit.MetadataSize {
		v := rules.Violate("metadata", rules.CodeTooLarge,
			"must have at most %d bytes beside the %d of the grant itself, got %d",
			s3limit.MetadataSize-own, own, size-own)
		v.Max = int64(s3limit.MetadataSize - own)
		return "", v
	}
	return sealed, nil
}

// stampMethods maps the method of an upload to the method of its stamp.
var stampMethods = map[string]stamp.Method{
	rules.PUT: stamp.PUT, rules.POST: stamp.Form, rules.Multipart: stamp.Multipart,
}

// DigestMetadata returns the digests of all metadata except the stamp, sorted.
func DigestMetadata(metadata []rules.Pair) []stamp.Digest {
	if len(metadata) == 0 {
		return nil
	}
	digests := make([]stamp.Digest, 0, len(metadata))
	for _, m := range metadata {
		if m.Name != rules.StampName {
			digests = append(digests, stamp.NewDigest(m.Name, m.Value))
		}
	}
	stamp.SortDigests(digests)
	return digests
}

func (s *Signer) signPUT(d *draft) Grant {
	r := s.Rules
	headers := append(make([]rules.Pair, 0, 24), r.UploadHeaders...)
	sent := append(make([]rules.Pair, 0, len(headers)+len(d.metadata)+5), r.ClientHeaders...)
	sign := func(name, as, value string) {
		headers = append(headers, rules.Pair{Name: name, Value: value})
		sent = append(sent, rules.Pair{Name: as, Value: value})
	}
	sign("content-disposition", "Content-Disposition", d.disposition)
	headers = append(headers, rules.Pair{Name: "content-length", Value: strconv.FormatInt(d.upload.Size, 10)})
	sign("content-type", "Content-Type", d.upload.Type)
	if !r.Replace {
		sign("if-none-match", "If-None-Match", "*")
	}
	if r.Checksum != "" {
		sign(r.ChecksumHeader, r.ChecksumHeader, d.upload.Checksum)
	}
	sign(stampHeader, stampHeader, d.stamp)
	for _, m := range d.metadata {
		header := "x-amz-meta-" + m.Name
		sign(header, header, m.Value)
	}
	slices.SortFunc(headers, rules.ByName)

	url := d.signing.Presign(&sigv4.Request{
		Method: rules.PUT, Scheme: s.Endpoint.Scheme, Host: s.Endpoint.Host,
		Base: s.Endpoint.Base, Key: d.key,
		Headers: headers, Expires: int(d.lifetime / time.Second),
	}, d.now)
	return s.grant(d, url, sent, nil)
}

func (s *Signer) grant(d *draft, url string, headers, fields []rules.Pair) Grant {
	return Grant{
		ID: d.upload.GrantID, Method: d.upload.Method, URL: url, Key: d.key,
		Headers: headers, Fields: fields,
		Expires: d.expires, ExpiresIn: int(d.lifetime / time.Second),
	}
}

func (s *Signer) signForm(d *draft) (Grant, error) {
	common, err := s.commonForm(d.signing)
	if err != nil {
		return Grant{}, fmt.Errorf("presign: %w", err)
	}
	fields := append(make([]postpolicy.Field, 0, 24),
		postpolicy.Field{Name: "key", Value: d.key},
		postpolicy.Field{Name: "Content-Type", Value: d.upload.Type},
		postpolicy.Field{Name: "Content-Disposition", Value: d.disposition},
		postpolicy.Field{Name: stampHeader, Value: d.stamp},
		postpolicy.Field{
			Name: "x-amz-date", Value: string(sigv4.AppendDate(make([]byte, 0, 16), d.now)),
		})
	if s.Rules.Checksum != "" {
		fields = append(fields, postpolicy.Field{Name: s.Rules.ChecksumHeader, Value: d.upload.Checksum})
	}
	for _, m := range d.metadata {
		fields = append(fields, postpolicy.Field{Name: "x-amz-meta-" + m.Name, Value: m.Value})
	}
	if d.upload.Redirect != "" {
		fields = append(fields,
			postpolicy.Field{Name: "success_action_redirect", Value: d.upload.Redirect})
	}
	form := postpolicy.Form{
		Common: common.Common, Expires: d.expires, MinSize: d.upload.MinSize, MaxSize: d.upload.MaxSize, Fields: fields,
	}
	signed, err := form.Sign(common.sign)
	if err != nil {
		return Grant{}, fmt.Errorf("presign: %w", err)
	}
	return s.grant(d, s.FormURL, nil, signed), nil
}

// A commonForm holds the fields that all forms of one signing key have in
// common. With a session token, these fields are most of a form. So they are
// encoded and hashed once.
type commonForm struct {
	*postpolicy.Common
	key       *sigv4.Key
	beginning sigv4.Beginning // the start of the string to sign
}

func (c *commonForm) sign(policy string) string {
	return c.key.SignBehind(c.beginning, policy[len(c.PolicyBeginning):])
}

// commonForm returns the commonForm of a key. It keeps the last commonForm, as
// s.Keys keeps the last key.
func (s *Signer) commonForm(key *sigv4.Key) (*commonForm, error) {
	if c := s.forms.Load(); c != nil && c.key == key {
		return c, nil
	}
	fields := append(slices.Clone(s.Rules.FormFields),
		postpolicy.Field{Name: "x-amz-algorithm", Value: sigv4.Algorithm},
		postpolicy.Field{Name: "x-amz-credential", Value: key.Credential})
	if s.Rules.Checksum != "" {
		fields = append(fields,
			postpolicy.Field{Name: "x-amz-checksum-algorithm", Value: string(s.Rules.Checksum)})
	}
	if key.Token != "" {
		fields = append(fields, postpolicy.Field{Name: "x-amz-security-token", Value: key.Token})
	}
	common, err := postpolicy.NewCommon(s.Bucket, fields)
	if err != nil {
		return nil, err
	}
	c := &commonForm{Common: common, key: key, beginning: key.Beginning(common.PolicyBeginning)}
	s.forms.Store(c)
	return c, nil
}

// Deadline returns the time after which no completion of u may start. The
// upload is granted at about now.
func Deadline(u *rules.Upload, now time.Time) time.Time {
	lifetime := u.Lifetime
	if u.Method == rules.Multipart {
		lifetime = MultipartLifetime
	}
	return now.UTC().Truncate(time.Second).Add(lifetime + completionTime)
}
