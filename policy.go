package presign

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/s3presign/presign/internal/completion"
	"github.com/s3presign/presign/internal/rules"
)

// A Policy describes what may be uploaded. NewSigner rejects the zero value:
// Prefix, Types and MaxSize are required.
//
// A Policy is data. NewSigner copies it, so later changes have no effect.
//
// # Keys
//
// Every grant is for one object key under Prefix. Unless the service sets
// [Upload.Key], the key has a random part that cannot be guessed. Complete
// copies a verified upload to the same key under FinalPrefix, which no grant
// reaches. Prefixes end in "/" and must not overlap:
//
//	Prefix: "incoming/", FinalPrefix: "files/"   // permitted
//	Prefix: "uploads/"                           // permitted: no publication
//	Prefix: "uploads"                            // rejected: must end in "/"
//	Prefix: "a/", FinalPrefix: "a/final/"        // rejected: they overlap
//
// # Types
//
// Types holds media types, patterns such as "image/*", or "*/*" for any type:
//
//	"image/png"         // this type, under each of its names
//	"image/*"           // every image type that browsers do not run
//	"image/svg+xml"     // types that browsers run must be named in full
//
// Types that browsers run, or that embed other types, do not match patterns:
// HTML, SVG, XML, JavaScript, CSS, multipart and similar types. A file of such
// a type can run scripts on the origin that serves it.
//
// If application/xml or text/xml is named, a file with an unknown extension and
// without a declared type is granted as that type. Browsers do not declare a
// type for most dialects of XML.
//
// # Sizes and lifetime
//
//	MaxSize: 10 << 20              // permitted: 1 byte to 10 MiB
//	MinSize: 1000, MaxSize: 1000   // permitted: exactly 1000 bytes
//	MaxSize: 100 << 30             // permitted: multipart uploads above 5 GiB
//	MinSize: 0                     // permitted: the same as 1
//	MinSize: 2000, MaxSize: 1000   // rejected: MinSize is above MaxSize
//	Lifetime: 7 * 24 * time.Hour   // permitted: the longest that S3 accepts
//	Lifetime: time.Millisecond     // rejected: S3 counts in seconds
//
// An empty file is never granted: in an Upload, size 0 means an unknown size. A
// grant ends earlier if the credentials that sign it end earlier.
//
// # Headers
//
// With FinalPrefix, only the published copy has the headers that give access to
// an object or change how it is served. The upload does not have these headers,
// because it has not been verified yet. These headers are ACL (except
// bucket-owner-full-control), Cache-Control, Expires, Content-Language, storage
// class, tags, object lock, "inline" and redirects.
//
// The upload has the headers that concern the request or the bytes: encryption,
// request payer, expected owner, Content-Encoding, and Content-Disposition:
// attachment. The role of WithStore needs the rights for the headers of the
// copy.
//
// Without FinalPrefix, all headers are set and signed on the upload. Forms do
// not support all of these headers.
//
// A client can add Cache-Control, Expires and Content-Language to an upload.
// The copy drops these headers. Without FinalPrefix, Complete accepts only
// values that forbid caching.
//
// The storage classes GLACIER and DEEP_ARCHIVE are rejected, since their
// objects cannot be read at once.
type Policy struct {
	// Prefix is the beginning of every object key. It must end in "/". No grant
	// reaches outside it.
	Prefix string

	// FinalPrefix replaces Prefix in the keys of published uploads. It must end
	// in "/" and must not overlap Prefix. No grant reaches it. If FinalPrefix is
	// empty, uploads stay where they are. Signers with different Prefixes need
	// different FinalPrefixes. Otherwise keys that the service chose collide,
	// and with Replace one Signer replaces objects of another Signer.
	FinalPrefix string

	// Types holds the media types that may be uploaded: "image/png",
	// "image/*", or "*/*" for any.
	Types []string

	// MinSize and MaxSize are the bounds of the size of a file in bytes,
	// inclusive. MinSize defaults to 1; an empty file is never granted. MaxSize
	// is required and can be up to 10,000 parts of 5 GiB. One form or PUT takes
	// at most 5 GiB.
	MinSize, MaxSize int64

	// Lifetime is the time for which a URL or form can be used: 15 minutes by
	// default, at least a second, at most 7 days. S3 checks it when the upload
	// starts.
	Lifetime time.Duration

	// Checksum is the algorithm by which every upload must declare its
	// checksum. S3 verifies the checksum before it stores the object. If
	// Checksum is empty, uploads have no checksum. Forms support CRC32, CRC32C,
	// SHA1 and SHA256; multipart uploads support CRC32, CRC32C and CRC64NVME.
	//
	// See https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html.
	Checksum types.ChecksumAlgorithm

	// Metadata holds the names of the user metadata, without "x-amz-meta-",
	// that a client may set. WithAuthorize can set other names. The name
	// "presign" is reserved for the stamp.
	Metadata []string

	// Headers are the headers of the completed object, by their names on a PUT:
	//   - Cache-Control, Content-Encoding, Content-Language and Expires,
	//   - Content-Disposition: "inline", or "attachment", which is the default;
	//     the file name is added, and
	//   - the headers of S3 for storage class, tags, encryption, object lock,
	//     access and redirects.
	//
	// See "Headers" above.
	Headers map[string]string

	// UploadHeaders are set on the upload only, for buckets whose rules require
	// a tag, ACL or storage class there. They require FinalPrefix.
	UploadHeaders map[string]string

	// Replace allows an upload to replace an object with the same key. Without
	// it, every PUT is conditional (If-None-Match: *), and a form is granted
	// only for keys that cannot be guessed.
	//
	// With FinalPrefix, an upload that was granted later replaces an upload
	// that was granted earlier, but never the reverse. On stores that do not
	// honor the conditions of copies, the later copy wins if two uploads are
	// published at once. Hooks can compare Object.Granted to keep the newest
	// upload.
	Replace bool

	_ struct{}
}

// internal returns the policy for internal/rules.
func (p *Policy) internal() rules.Policy {
	return rules.Policy{
		Prefix: p.Prefix, FinalPrefix: p.FinalPrefix, Types: p.Types,
		MinSize: p.MinSize, MaxSize: p.MaxSize, Lifetime: p.Lifetime, Checksum: p.Checksum,
		Metadata: p.Metadata, Headers: p.Headers, UploadHeaders: p.UploadHeaders,
		Replace: p.Replace,
	}
}

// An Upload describes what a client asks to upload. A client may ask for less
// than the Policy allows; asking for more is a [Violation].
//
// # Setting fields
//
// Clients of a [Handler] send Filename, Type, Size, MinSize, MaxSize, Lifetime,
// Checksum and Metadata. The Handler sets Owner to the result of authenticate,
// and GrantID, Method and Deadline. The function of [WithAuthorize] can set Key
// and Redirect, narrow the bounds and the lifetime, and add metadata. Callers
// of [Signer.Put], [Signer.Post] and [Signer.StartMultipart] set all fields
// except GrantID, Method and Deadline.
//
// # Keys
//
//	Key: ""                      // Policy.Prefix, a random part and the name
//	Key: "uploads/616c696365/"   // this folder, a random part and the name
//	Key: "uploads/avatar.png"    // this object
//	Key: "avatar.png"            // rejected: outside Policy.Prefix
//	Key: "uploads/../a.png"      // rejected: clients and proxies resolve ".."
type Upload struct {
	// Key is set by the service, never by a client. It must start with
	// Policy.Prefix. If it ends in "/", a random part and the file's name are
	// added. If Key is empty, a random part and the name are added to
	// Policy.Prefix. Any other Key is the key of the object. Several uploads
	// may have the same Key; Policy.Replace decides whether they replace the
	// object.
	//
	// A string that becomes part of Key must be one segment, without "/": the
	// owner "a/b" would otherwise write to the folder of the owner "a".
	// hex.EncodeToString makes one segment of any string.
	Key string

	// Filename is the name of the file without a path. It may have up to 255
	// UTF-16 units, not counting combining characters, and up to 1,530 bytes.
	// The key contains a safe form of the name, at most 200 bytes long, and
	// Content-Disposition contains the name unchanged. Filename may be empty if
	// Key names an object. The name is then the end of Key.
	//
	// The object's metadata has no room for names over 255 bytes, so Complete
	// reads such names from Content-Disposition. If the store loses that
	// header, as several stores do for forms, Object.Filename is the end of the
	// key.
	Filename string

	// Type is the file's media type. The type follows from the extension of the
	// name if Type is
	//   - empty or "application/octet-stream",
	//   - unknown to this package, or
	//   - the container of the extension's format ("application/zip" of a
	//     .docx).
	//
	// Any other type that contradicts the extension is a Violation. Pictures,
	// videos, audio, fonts, models, documents and mail are granted only under
	// known extensions, or without an extension. A type that is unknown to this
	// package but named in full in Policy.Types is granted under any unknown
	// extension.
	Type string

	// Size is the exact size in bytes, or 0 if it is unknown.
	Size int64

	// MinSize and MaxSize narrow the bounds of the Policy. 0 keeps a bound.
	MinSize, MaxSize int64

	// Lifetime shortens the lifetime of the Policy. 0 keeps it.
	Lifetime time.Duration

	// Checksum is the file's checksum by Policy.Checksum's algorithm, in
	// base64. It is required if the Policy names an algorithm, and must be
	// empty otherwise.
	Checksum string

	// Metadata is stored with the object as x-amz-meta- headers, under names
	// that Policy.Metadata lists. Values must be printable ASCII. S3 limits all
	// metadata to 2 KB, and the stamp takes 200 to 1,000 bytes of it. Only
	// WithAuthorize can add other names.
	Metadata map[string]string

	// Owner identifies the user for whom the upload is granted, in up to 128
	// bytes. The Handler sets it to the result of authenticate. Only this
	// owner can complete the upload.
	Owner string

	// Redirect is the URL to which a plain HTML form sends the browser after
	// the upload. S3 adds the query parameters bucket, key and etag, which do
	// not prove that the upload happened. Only the service can set Redirect,
	// and only for forms.
	Redirect string

	// GrantID identifies the grant from authorization to completion: 32 hex
	// digits, unique. The library sets it before it calls the function of
	// WithAuthorize. Put, Post and StartMultipart ignore it.
	GrantID string

	// Method is "PUT", "POST" (a form) or "multipart". The library sets it
	// before it calls the function of WithAuthorize. Put, Post and
	// StartMultipart ignore it.
	Method string

	// Deadline is a time after which no completion of the upload starts. It is
	// an upper bound, since the lifetime may still be lowered. The library
	// sets it before it calls the function of WithAuthorize, which can reserve
	// a quota until then. Put, Post and StartMultipart ignore it.
	Deadline time.Time

	_ struct{}
}

// internal returns the upload for internal/rules, with a method and the ID of a
// grant.
func (u *Upload) internal(method, grantID string) rules.Upload {
	return rules.Upload{
		Key: u.Key, Filename: u.Filename, Type: u.Type, Size: u.Size,
		MinSize: u.MinSize, MaxSize: u.MaxSize, Lifetime: u.Lifetime, Checksum: u.Checksum,
		Metadata: u.Metadata, Owner: u.Owner, Redirect: u.Redirect,
		GrantID: grantID, Method: method,
	}
}

// publicUpload is the inverse of internal.
func publicUpload(u *rules.Upload) *Upload {
	return &Upload{
		Key: u.Key, Filename: u.Filename, Type: u.Type, Size: u.Size,
		MinSize: u.MinSize, MaxSize: u.MaxSize, Lifetime: u.Lifetime, Checksum: u.Checksum,
		Metadata: u.Metadata, Owner: u.Owner, Redirect: u.Redirect,
		GrantID: u.GrantID, Method: u.Method, Deadline: u.Deadline,
	}
}

// A Violation is one way in which an upload breaks a Policy. *Violation is an
// error. Several violations are joined; [Violations] returns them.
//
// # Codes
//
// Code is one of these values. Programs can branch on it; a later version can
// add codes but does not rename them.
//
//	required             the field must be set
//	invalid              the field has no valid value
//	too_small            the value is less than Min
//	too_large            the value is more than Max, or the field is too long
//	not_allowed          the policy does not allow the value; see Allowed
//	unsupported          S3, the store or the method cannot enforce the policy
//	contradicts_name     the type contradicts the extension of the file's name
//	contradicts_content  the type or checksum contradicts the bytes
//	contradicts_grant    the stored object differs from its grant
//	taken                another object has the key, and must not be replaced
//	superseded           the key holds an object that was granted later
//	missing              a part of a multipart upload has not arrived
//	pending              the completion is still running; try again later
type Violation struct {
	// Field is the name of the value at fault. It is one of
	//   - a member of requests to the Handler: "filename", "type", "size",
	//     "min_size", "max_size", "expires_in", "checksum", "metadata",
	//     "metadata[name]" or "method",
	//   - "part", "parts" or "partSize" of a multipart upload,
	//   - "key", "owner" or "redirect", which the service sets, or
	//   - a header of the stored object in lower case.
	Field string `json:"field"`

	// Code classifies the fault for programs.
	Code string `json:"code"`

	// Detail states the requirement, then the value, without Field: messages
	// start with Field. It may be shown to the client.
	Detail string `json:"detail"`

	// Min and Max are the bounds of the value, in the unit of the field (bytes,
	// seconds, numbers of parts). 0 means no bound.
	Min int64 `json:"min,omitempty"`
	Max int64 `json:"max,omitempty"`

	// Allowed lists the permitted values, if there are only a few.
	Allowed []string `json:"allowed,omitempty"`
}

// Error returns the field and the detail.
func (v *Violation) Error() string { return "presign: " + v.Field + " " + v.Detail }

// Violations returns the violations in the tree of err, in order. It returns
// nil if err contains no violations.
func Violations(err error) []Violation {
	var found []Violation
	for _, v := range rules.Find[Violation](err) {
		found = append(found, *v)
	}
	return found
}

// isViolations reports whether err consists of violations alone.
func isViolations(err error) bool {
	switch e := err.(type) {
	case *Violation:
		return e != nil
	case interface{ Unwrap() error }:
		return isViolations(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			if !isViolations(err) {
				return false
			}
		}
		return len(e.Unwrap()) > 0
	}
	return false
}

// A RejectedError is returned if an upload was rejected and has been deleted.
// It unwraps to its violations.
type RejectedError struct {
	// Object describes the upload as the store returned it. Its Key is the key
	// of the upload, and Detected is empty.
	Object *Object

	// Violations are the reasons for the rejection.
	Violations []Violation
}

// Error joins the texts of the violations.
func (e *RejectedError) Error() string { return errors.Join(e.Unwrap()...).Error() }

// Unwrap returns the violations, each as a *Violation.
func (e *RejectedError) Unwrap() []error {
	errs := make([]error, len(e.Violations))
	for i := range e.Violations {
		errs[i] = &e.Violations[i]
	}
	return errs
}

// A serviceError is an error of the service's own code. Unless it holds a
// *Problem, the response is 500, even if it wraps another error of this
// package.
type serviceError struct{ err error }

func (e *serviceError) Error() string { return e.err.Error() }
func (e *serviceError) Unwrap() error { return e.err }

// Is reports whether target is completion.ErrService.
func (e *serviceError) Is(target error) bool { return target == completion.ErrService }

// isServiceError reports whether err comes from a function of the service.
func isServiceError(err error) bool { return errors.Is(err, completion.ErrService) }

// asRejected returns the RejectedError in the chain of err. It ignores a
// RejectedError of a function of the service, which is about another upload.
func asRejected(err error) (*RejectedError, bool) {
	if isServiceError(err) {
		return nil, false
	}
	return errors.AsType[*RejectedError](err)
}

// publicError replaces the errors of internal packages in err with errors of
// this package.
func publicError(err error) error {
	if rejection, ok := errors.AsType[*completion.Rejection](err); ok {
		rejected := &RejectedError{Object: publicObject(rejection.Object)}
		for _, v := range rejection.Violations {
			rejected.Violations = append(rejected.Violations, *publicViolation(v))
		}
		return rejected
	}
	if len(rules.Find[rules.Violation](err)) == 0 {
		return err
	}
	switch e := err.(type) {
	case *rules.Violation:
		return publicViolation(e)
	case interface{ Unwrap() []error }:
		var errs []error
		for _, err := range e.Unwrap() {
			errs = append(errs, publicError(err))
		}
		return errors.Join(errs...)
	}
	return errors.New(err.Error()) // Engines join violations and never wrap them.
}

func publicObject(o *completion.Object) *Object {
	return &Object{
		Key: o.Key, Filename: o.Filename, Type: o.Type, Detected: o.Detected, Size: o.Size,
		ETag: o.ETag, VersionID: o.VersionID, Checksum: o.Checksum,
		Metadata: maps.Clone(o.Metadata), Owner: o.Owner, GrantID: o.GrantID,
		Granted: o.Granted, Reply: o.Reply, source: o.Source,
	}
}

// publicViolation returns a copy of v, since the calls that share a completion
// receive one error.
func publicViolation(v *rules.Violation) *Violation {
	public := Violation(*v)
	public.Allowed = slices.Clone(v.Allowed)
	return &public
}
