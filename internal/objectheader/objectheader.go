// Package objectheader describes the headers of objects. A service may set some
// headers on the objects of its clients, and stores return some headers.
package objectheader

import (
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A header describes one header of an object as S3 documents it.
type header struct {
	// settable is set if a service may set the header on the uploads of its
	// clients.
	settable bool

	// formField is the form field with the same effect, or empty if S3
	// documents none.
	formField string

	// returned is set if S3 returns the header with the object, and the header
	// changes how readers interpret the object.
	returned bool

	// content is set if the header describes the bytes and every store returns
	// it.
	content bool

	// onUpload is set if the header concerns the request or the bytes, so that
	// the upload needs it. Other headers are set on a published copy only.
	onUpload bool

	// everyRequest is set if S3 requires the header on every request about the
	// object, not only on the request that stores the object.
	everyRequest bool
}

// headers holds the headers that S3 documents for PutObject and that a client
// may send. It does not hold headers that let a client read, copy or sign
// something else, or keys for encryption, which are secret.
//
// See https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html and
// https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html.
var headers = map[string]header{
	"cache-control":       {settable: true, formField: "Cache-Control", returned: true, content: true},
	"content-disposition": {returned: true, content: true},
	"content-encoding":    {settable: true, onUpload: true, formField: "Content-Encoding", returned: true, content: true},
	"content-language":    {settable: true, returned: true, content: true},
	"content-type":        {content: true},
	"expires":             {settable: true, formField: "Expires", returned: true, content: true},

	"x-amz-acl":                           {settable: true, formField: "acl"},
	"x-amz-expected-bucket-owner":         {settable: true, onUpload: true, everyRequest: true},
	"x-amz-grant-full-control":            {settable: true},
	"x-amz-grant-read":                    {settable: true},
	"x-amz-grant-read-acp":                {settable: true},
	"x-amz-grant-write-acp":               {settable: true},
	"x-amz-object-lock-legal-hold":        {settable: true},
	"x-amz-object-lock-mode":              {settable: true},
	"x-amz-object-lock-retain-until-date": {settable: true},
	"x-amz-request-payer":                 {settable: true, onUpload: true, everyRequest: true},
	"x-amz-server-side-encryption":        {settable: true, onUpload: true, formField: "x-amz-server-side-encryption"},
	"x-amz-server-side-encryption-aws-kms-key-id": {settable: true, onUpload: true,
		formField: "x-amz-server-side-encryption-aws-kms-key-id"},
	"x-amz-server-side-encryption-bucket-key-enabled": {settable: true, onUpload: true,
		formField: "x-amz-server-side-encryption-bucket-key-enabled"},
	"x-amz-server-side-encryption-context": {settable: true, onUpload: true, formField: "x-amz-server-side-encryption-context"},
	"x-amz-storage-class":                  {settable: true, formField: "x-amz-storage-class", returned: true},
	"x-amz-tagging":                        {settable: true, formField: "tagging"},
	"x-amz-website-redirect-location": {settable: true,
		formField: "x-amz-website-redirect-location", returned: true},
}

// names returns the names that f accepts, sorted.
func names(f func(header) bool) []string {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if f(headers[name]) {
			found = append(found, name)
		}
	}
	return found
}

var (
	settable = names(func(h header) bool { return h.settable })
	returned = names(func(h header) bool { return h.returned })
	content  = names(func(h header) bool { return h.content })
)

// Returned reports whether S3 returns a header with the object, and the header
// changes how readers interpret the object. The name must be in lower case.
func Returned(name string) bool { return headers[name].returned }

// AllReturned returns the names for which Returned is true. The slice must not
// be changed.
func AllReturned() []string { return returned }

// Content returns the names of the headers that describe the bytes of an object
// and that every store returns, in lower case. The slice must not be changed.
func Content() []string { return content }

// OnCopyOnly reports whether a header of the policy is set on a published copy,
// but not on the upload, which has not been verified yet.
func OnCopyOnly(name, value string) bool {
	name = strings.ToLower(name)
	if name == "x-amz-acl" && value == "bucket-owner-full-control" {
		return false // This value gives access to the owner of the bucket only.
	}
	return !headers[name].onUpload
}

// Check returns an error if a service must not set a header to a value.
func Check(name, value string) error {
	switch lower := strings.ToLower(name); {
	case !headers[lower].settable:
		return fmt.Errorf("a service can set only Content-Disposition, %s",
			strings.Join(settable, ", "))
	case lower == "x-amz-storage-class" && slices.Contains([]string{"GLACIER", "DEEP_ARCHIVE"}, value):
		return fmt.Errorf(
			"objects of the storage class %s cannot be read at once, so they cannot be verified",
			value)
	case lower == "expires":
		// Some stores correct a wrong weekday. A value that is not a date means
		// that the object has expired.
		if t, err := http.ParseTime(value); err == nil && t.UTC().Format(http.TimeFormat) != value {
			return fmt.Errorf("its value must be the date %q, got %q",
				t.UTC().Format(http.TimeFormat), value)
		}
	}
	return nil
}

// ForbidsCaching reports whether a header that a client has added only forbids
// caching, as HTTP libraries do by themselves.
func ForbidsCaching(name, value string) bool {
	switch name {
	case "cache-control":
		for directive := range strings.SplitSeq(value, ",") {
			switch strings.ToLower(strings.TrimSpace(directive)) {
			case "", "no-cache", "no-store", "must-revalidate", "proxy-revalidate", "max-age=0",
				"s-maxage=0", "private", "no-transform":
			default:
				return false
			}
		}
		return true
	case "expires":
		t, err := http.ParseTime(value)
		return err != nil || t.Before(time.Now()) // An invalid date is in the past (RFC 9111).
	}
	return false
}

// Equal reports whether two values of a header are the same. Some stores
// rewrite a date.
func Equal(name, a, b string) bool {
	if a == b || name != "expires" {
		return a == b
	}
	s, errA := http.ParseTime(a)
	t, errB := http.ParseTime(b)
	return errA == nil && errB == nil && s.Equal(t)
}

// EveryRequest returns the headers of an object that S3 requires on every
// request about the object.
func EveryRequest(object map[string]string) map[string]string {
	every := make(map[string]string)
	for name, value := range object {
		if headers[strings.ToLower(name)].everyRequest {
			every[name] = value
		}
	}
	return every
}

// FormField returns the form field that has the effect of the header on a PUT,
// and its value. The field is empty if S3 documents none. FormField returns an
// error if a service must not set the header.
func FormField(name, value string) (field, formValue string, err error) {
	h := headers[strings.ToLower(name)]
	if err := Check(name, value); err != nil {
		return "", "", err
	}
	if h.formField == "tagging" {
		value, err = tagSet(value)
	}
	return h.formField, value, err
}

func isNotGraphic(r rune) bool { return !unicode.IsGraphic(r) }

// tagSet converts tags from the form of the header ("a=b&c=d") to the XML of
// the form field.
func tagSet(header string) (string, error) {
	tags, err := url.ParseQuery(header)
	if err != nil {
		return "", fmt.Errorf("its value must have the form a=b&c=d, got %q", header)
	}
	var b strings.Builder
	b.WriteString("<Tagging><TagSet>")
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if key == "" || len(tags[key]) != 1 {
			return "", fmt.Errorf("each tag must have a name and one value, got %q %d times",
				key, len(tags[key]))
		}
		if text := key + tags[key][0]; !utf8.ValidString(text) ||
			strings.ContainsFunc(text, isNotGraphic) {
			return "", fmt.Errorf(
				"its tags must be printable, got %q; XML cannot hold other characters", key)
		}
		b.WriteString("<Tag><Key>")
		xml.EscapeText(&b, []byte(key)) // A strings.Builder never fails.
		b.WriteString("</Key><Value>")
		xml.EscapeText(&b, []byte(tags[key][0]))
		b.WriteString("</Value></Tag>")
	}
	b.WriteString("</TagSet></Tagging>")
	return b.String(), nil
}
