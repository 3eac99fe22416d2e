package rules

import (
	"cmp"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/s3presign/presign/internal/checksum"
	"github.com/s3presign/presign/internal/objectkey"
	"github.com/s3presign/presign/internal/s3limit"
)

// The methods of an upload.
const (
	PUT       = http.MethodPut
	POST      = http.MethodPost
	Multipart = "multipart"
)

// An Upload describes the upload that a client asks for. It has the fields of
// presign.Upload.
type Upload struct {
	Key              string
	Filename         string
	Type             string
	Size             int64
	MinSize, MaxSize int64
	Lifetime         time.Duration
	Checksum         string
	Metadata         map[string]string
	Owner            string
	Redirect         string
	GrantID          string
	Method           string
	Deadline         time.Time
}

// A Valid is an upload that has been validated for its Method. Only Validate
// and ValidateFromService return a Valid, and only a Valid can be signed.
type Valid struct{ upload Upload }

// Upload returns the upload with the type, bounds and lifetime that are
// granted.
func (v *Valid) Upload() Upload { return v.upload }

// HasRandomKey reports whether Rules.Key adds a random part to the key.
func (v *Valid) HasRandomKey() bool {
	return IsFolder(v.upload.Key)
}

// IsFolder reports whether a random part and the file's name are added to a
// key.
func IsFolder(key string) bool { return key == "" || strings.HasSuffix(key, "/") }

// Validate validates the upload that a client asks for. The result has the file
// name, type, size bounds and lifetime that are granted. The error joins one
// *Violation for each fault. Validate returns a valid upload unchanged if it is
// validated again.
func (r *Rules) Validate(u Upload) (Valid, error) {
	return r.validate(u, func(name string) bool { return slices.Contains(r.Metadata, name) })
}

// ValidateFromService validates an upload that the service has changed. Unlike
// Validate, it accepts metadata under any name.
func (r *Rules) ValidateFromService(u Upload) (Valid, error) { return r.validate(u, nil) }

// validate validates u. If listed is not nil, it accepts only metadata under
// names that are listed.
func (r *Rules) validate(u Upload, listed func(name string) bool) (Valid, error) {
	c := check{rules: r, upload: u}
	c.checkMethod()
	c.checkKey()
	c.checkName()
	c.checkSizes()
	c.checkLifetime()
	c.checkChecksum()
	c.checkMetadata(listed)
	if len(u.Owner) > OwnerSize {
		c.bound("owner", CodeTooLarge, 0, OwnerSize, "must have at most %d bytes, got %d",
			OwnerSize, len(u.Owner))
	}
	c.checkRedirect()
	return Valid{c.upload}, errors.Join(c.violations...)
}

// A check validates one upload and collects its violations.
type check struct {
	rules      *Rules
	upload     Upload
	violations []error
}

func (c *check) violate(field, code, format string, args ...any) {
	c.violations = append(c.violations, Violate(field, code, format, args...))
}

// bound adds a Violation with a range. A limit of 0 means no limit.
func (c *check) bound(field, code string, least, most int64, format string, args ...any) {
	v := Violate(field, code, format, args...)
	v.Min, v.Max = least, most
	c.violations = append(c.violations, v)
}

// checkMethod reports constraints that the method cannot enforce.
func (c *check) checkMethod() {
	switch c.upload.Method {
	case POST:
		c.checkForm()
	case Multipart:
		if algorithm := c.rules.Checksum; algorithm != "" && !checksum.InMultipart(algorithm) {
			c.violate("method", CodeUnsupported,
				"must not be multipart: S3 computes no %s checksum of a whole multipart upload",
				algorithm)
		}
	}
}

func (c *check) checkForm() {
	u := &c.upload
	if c.rules.Formless != "" {
		c.violate("method", CodeUnsupported, "must not be POST: %s", c.rules.Formless)
	}
	if !IsFolder(u.Key) && !c.rules.Replace {
		c.violate("method", CodeUnsupported,
			"must not be POST: the service chose the key, "+
				"and a form would overwrite the object there")
	}
	if strings.Contains(u.Key, "$") {
		c.violate("key", CodeInvalid,
			"must not contain a dollar sign, which forms cannot hold, got %q", u.Key)
	}
	for name, value := range u.Metadata {
		if strings.Contains(value, "$") {
			c.violate("metadata["+Excerpt(name)+"]", CodeInvalid,
				"must not contain a dollar sign, which forms cannot hold")
		}
	}
	if strings.ContainsFunc(u.Redirect, func(c rune) bool {
		return c <= ' ' || c > '~' || c == '$'
	}) {
		c.violate("redirect", CodeInvalid,
			"must be printable ASCII without a dollar sign; escape other characters")
	}
}

func (c *check) checkKey() {
	u := &c.upload
	if u.Key == "" {
		return
	}
	if !strings.HasPrefix(u.Key, c.rules.Prefix) {
		c.violate("key", CodeNotAllowed, "must start with %q, got %q", c.rules.Prefix, u.Key)
	} else if err := objectkey.CheckKey(u.Key); err != nil {
		c.violate("key", CodeInvalid, "%v", err)
	}
	if u.Filename == "" {
		u.Filename = u.Key[strings.LastIndexByte(u.Key, '/')+1:]
	}
}

func (c *check) checkName() {
	u := &c.upload
	if err := objectkey.Check(u.Filename); err != nil {
		code := CodeInvalid
		switch {
		case errors.Is(err, objectkey.ErrRequired):
			code = CodeRequired
		case errors.Is(err, objectkey.ErrTooLarge):
			code = CodeTooLarge
		}
		c.violate("filename", code, "%v", err)
	} else if t, v := c.rules.decideType(u.Filename, u.Type); v != nil {
		c.violations = append(c.violations, v)
	} else {
		u.Type = t
	}
}

// checkSizes sets the bounds that will be enforced. It reports only the first
// bound that is out of range, because this fault can cause others.
func (c *check) checkSizes() {
	u, limit := &c.upload, int64(s3limit.ObjectSize)
	if u.Method != Multipart {
		limit = s3limit.RequestSize
	}
	if u.Method == PUT && u.Size == 0 {
		c.violate("size", CodeRequired, "must be set for a PUT, which is signed for its exact size")
	}
	allowed := min(c.rules.MaxSize, limit)
	least, most := max(u.MinSize, c.rules.MinSize), min(cmp.Or(u.MaxSize, c.rules.MaxSize), limit)
	switch {
	case u.MinSize != 0 && u.MinSize < c.rules.MinSize:
		c.bound("min_size", CodeTooSmall, c.rules.MinSize, allowed,
			"must be at least %d bytes, got %d", c.rules.MinSize, u.MinSize)
	case u.MaxSize < 0:
		c.bound("max_size", CodeTooSmall, c.rules.MinSize, allowed,
			"must be at least %d bytes, got %d", c.rules.MinSize, u.MaxSize)
	case u.MaxSize > c.rules.MaxSize:
		c.bound("max_size", CodeTooLarge, c.rules.MinSize, allowed,
			"must be at most %d bytes, got %d", allowed, u.MaxSize)
	case u.Size > most:
		c.bound("size", CodeTooLarge, least, most, "must be at most %d bytes, got %d", most, u.Size)
	case least > most:
		c.bound("min_size", CodeTooLarge, c.rules.MinSize, most, "must be at most %d bytes, got %d",
			most, least)
	case u.Size != 0 && u.Size < least:
		c.bound("size", CodeTooSmall, least, most, "must be at least %d bytes, got %d",
			least, u.Size)
	case u.Size != 0:
		u.MinSize, u.MaxSize = u.Size, u.Size
	default:
		u.MinSize, u.MaxSize = least, most
	}
}

func (c *check) checkLifetime() {
	u, longest := &c.upload, c.rules.Lifetime
	switch {
	case u.Lifetime == 0:
		u.Lifetime = longest
	case u.Lifetime < time.Second || u.Lifetime > longest:
		code := CodeTooLarge
		if u.Lifetime < time.Second {
			code = CodeTooSmall
		}
		c.bound("expires_in", code, 1, int64(longest/time.Second),
			"must be between 1 and %v seconds, got %v",
			longest.Seconds(), u.Lifetime.Seconds())
	}
}

func (c *check) checkChecksum() {
	algorithm, digest := c.rules.Checksum, c.upload.Checksum
	switch {
	case algorithm == "" && digest != "":
		c.violate("checksum", CodeNotAllowed, "must not be set: the policy names no algorithm")
	case algorithm != "" && !checksum.Valid(algorithm, digest):
		code := CodeInvalid
		if digest == "" {
			code = CodeRequired
		}
		c.violate("checksum", code, "must be the file's %s checksum of %d bytes in base64",
			algorithm, checksum.Size(algorithm))
	}
}

func (c *check) checkRedirect() {
	u := &c.upload
	if u.Redirect == "" {
		return
	}
	if u.Method != POST {
		c.violate("redirect", CodeNotAllowed, "must not be set: only forms redirect")
	}
	if target, err := url.Parse(u.Redirect); err != nil ||
		target.Scheme != "https" && target.Scheme != "http" || target.Host == "" {
		c.violate("redirect", CodeInvalid,
			"must be an absolute URL of https or http; S3 ignores others")
	}
}

// Key returns the key of a valid upload. The key has a part that cannot be
// guessed, unless the service named the object.
func (r *Rules) Key(v *Valid) (string, error) {
	key, name := cmp.Or(v.upload.Key, r.Prefix), ""
	if strings.HasSuffix(key, "/") {
		name = objectkey.Safe(v.upload.Filename)
		key = key + rand.Text() + "/" + name
	}
	longest := len(key)
	if r.FinalPrefix != "" {
		longest += max(0, len(r.FinalPrefix)-len(r.Prefix))
	}
	if longest <= s3limit.KeySize {
		return key, nil
	}
	field := "filename"
	if longest-len(name) >= s3limit.KeySize { // A shorter name would not help.
		field = "key"
	}
	violation := Violate(field, CodeTooLarge, "must make a key of at most %d bytes, got %d",
		s3limit.KeySize, longest)
	violation.Max = s3limit.KeySize
	return "", violation
}

// SizeViolation returns the Violation for a size of zero or less that a client
// sent. Without it, an explicit zero would be taken for an unknown size.
func SizeViolation(field string, size int64) *Violation {
	v := Violate(field, CodeTooSmall,
		"must be at least 1 byte, got %d; leave it out if it is unknown", size)
	v.Min = 1
	return v
}

// CheckRemainder returns a Violation if the service has left no bytes or no
// time for an upload.
func CheckRemainder(u *Upload) *Violation {
	switch {
	case u.MaxSize <= 0 || u.Size <= 0 && u.MaxSize < u.MinSize:
		v := Violate("size", CodeTooLarge,
			"must be at most the %d bytes that may still be uploaded", max(0, u.MaxSize))
		v.Max = max(0, u.MaxSize)
		return v
	case u.Lifetime < time.Second:
		return Violate("expires_in", CodeTooLarge,
			"must end within the period for uploads, which is over")
	}
	return nil
}

// ChangedField returns the name of a field that the service must not change but
// has changed, or of a bound that it has extended. It returns "" if all changes
// are allowed.
func ChangedField(asked, approved *Upload) string {
	for _, field := range []struct {
		name    string
		changed bool
	}{
		{"Filename", approved.Filename != asked.Filename},
		{"Type", approved.Type != asked.Type},
		{"Size", approved.Size != asked.Size},
		{"MinSize", approved.MinSize < asked.MinSize},
		{"MaxSize", approved.MaxSize > asked.MaxSize},
		{"Lifetime", approved.Lifetime > asked.Lifetime},
		{"Checksum", approved.Checksum != asked.Checksum},
		{"Owner", approved.Owner != asked.Owner},
		{"GrantID", approved.GrantID != asked.GrantID},
		{"Method", approved.Method != asked.Method},
		{"Deadline", !approved.Deadline.Equal(asked.Deadline)},
	} {
		if field.changed {
			return field.name
		}
	}
	return ""
}
