// Package objectheader knows the headers that a service may set on the objects of its clients.
package objectheader

import (
	"encoding/xml"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// formFields holds the headers that S3 documents for PutObject and that are safe in the hands of a client, with the form
// field of each; for those without one S3 documents none. Not among them are what would let a client read, copy or sign
// otherwise, and keys for encryption, which are secret.
//
// See https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html and
// https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html.
var formFields = map[string]string{
	"cache-control":                                   "Cache-Control",
	"content-encoding":                                "Content-Encoding",
	"content-language":                                "",
	"expires":                                         "Expires",
	"x-amz-acl":                                       "acl",
	"x-amz-expected-bucket-owner":                     "",
	"x-amz-grant-full-control":                        "",
	"x-amz-grant-read":                                "",
	"x-amz-grant-read-acp":                            "",
	"x-amz-grant-write-acp":                           "",
	"x-amz-object-lock-legal-hold":                    "",
	"x-amz-object-lock-mode":                          "",
	"x-amz-object-lock-retain-until-date":             "",
	"x-amz-request-payer":                             "",
	"x-amz-server-side-encryption":                    "x-amz-server-side-encryption",
	"x-amz-server-side-encryption-aws-kms-key-id":     "x-amz-server-side-encryption-aws-kms-key-id",
	"x-amz-server-side-encryption-bucket-key-enabled": "x-amz-server-side-encryption-bucket-key-enabled",
	"x-amz-server-side-encryption-context":            "x-amz-server-side-encryption-context",
	"x-amz-storage-class":                             "x-amz-storage-class",
	"x-amz-tagging":                                   "tagging",
	"x-amz-website-redirect-location":                 "x-amz-website-redirect-location",
}

// FormField returns the form field that does what the header does on a PUT, and its value; an empty field if S3
// documents none. Headers that a service cannot set are an error.
func FormField(name, value string) (field, formValue string, err error) {
	field, ok := formFields[strings.ToLower(name)]
	if !ok {
		return "", "", fmt.Errorf("it is not a header that a service can set; those are Content-Disposition, %s",
			strings.Join(slices.Sorted(maps.Keys(formFields)), ", "))
	}
	if field == "tagging" {
		value, err = tagSet(value)
	}
	return field, value, err
}

func isNotGraphic(r rune) bool { return !unicode.IsGraphic(r) }

// tagSet turns tags as the header writes them ("a=b&c=d") into the XML that the form field takes.
func tagSet(header string) (string, error) {
	tags, err := url.ParseQuery(header)
	if err != nil {
		return "", fmt.Errorf("its value %q is not of the form a=b&c=d", header)
	}
	var b strings.Builder
	b.WriteString("<Tagging><TagSet>")
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if key == "" || len(tags[key]) != 1 {
			return "", fmt.Errorf("it has the tag %q %d times; each has a name and one value", key, len(tags[key]))
		}
		if text := key + tags[key][0]; !utf8.ValidString(text) || strings.ContainsFunc(text, isNotGraphic) {
			return "", fmt.Errorf("it has the tag %q with a character that does not print, which XML cannot hold", key)
		}
		b.WriteString("<Tag><Key>")
		xml.EscapeText(&b, []byte(key)) // a strings.Builder never fails
		b.WriteString("</Key><Value>")
		xml.EscapeText(&b, []byte(tags[key][0]))
		b.WriteString("</Value></Tag>")
	}
	b.WriteString("</TagSet></Tagging>")
	return b.String(), nil
}
