package s3test

import (
	"encoding/xml"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// parseTaggingHeader parses x-amz-tagging, which is a query string.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
func parseTaggingHeader(header string) (map[string]string, error) {
	query, err := url.ParseQuery(header)
	malformed := invalidArgument(
		"The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query "+
			"parameters without tag name duplicates.", "x-amz-tagging", header)
	if err != nil {
		return nil, malformed
	}
	tags := make(map[string]string)
	for key, values := range query {
		if len(values) > 1 {
			return nil, malformed
		}
		tags[key] = values[0]
	}
	return tags, checkTags(tags)
}

// parseTaggingXML parses the tagging field of a form. Like S3, it accepts every
// well-formed document and returns no tags unless the document is a Tagging.
func parseTaggingXML(document string) (map[string]string, error) {
	var tagging struct {
		XMLName xml.Name
		Tags    []struct{ Key, Value string } `xml:"TagSet>Tag"`
	}
	if err := xml.Unmarshal([]byte(document), &tagging); err != nil {
		return nil, fail(http.StatusBadRequest, "MalformedXML",
			"The XML you provided was not well-formed or did not validate against our published schema")
	}
	if tagging.XMLName.Local != "Tagging" {
		return nil, nil
	}
	tags := make(map[string]string)
	for _, tag := range tagging.Tags {
		if _, ok := tags[tag.Key]; ok {
			return nil, invalidTag("Cannot provide multiple Tags with the same key")
		}
		tags[tag.Key] = tag.Value
	}
	return tags, checkTags(tags)
}

func checkTags(tags map[string]string) error {
	if len(tags) > 10 {
		return fail(http.StatusBadRequest, "BadRequest", "Object tags cannot be greater than 10")
	}
	for key, value := range tags {
		switch {
		case strings.HasPrefix(key, "aws:"):
			return invalidTag("Your TagKey cannot be prefixed with aws:")
		case key == "" || utf8.RuneCountInString(key) > 128 || strings.ContainsFunc(key, notInTag):
			return invalidTag("The TagKey you have provided is invalid")
		case utf8.RuneCountInString(value) > 256 || strings.ContainsFunc(value, notInTag):
			return invalidTag("The TagValue you have provided is invalid")
		}
	}
	return nil
}

// notInTag reports whether S3 does not allow the character in tags.
func notInTag(c rune) bool {
	return !unicode.In(c, unicode.L, unicode.N, unicode.Zs) && !strings.ContainsRune("+-=._:/@", c)
}

// getObjectTagging serves GetObjectTagging.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectTagging.html
func (s *Server) getObjectTagging(w http.ResponseWriter, r *request) error {
	o, err := s.find(r, w.Header())
	if err != nil {
		return err
	}
	var tagging struct {
		XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ Tagging"`
		Tags    []tag    `xml:"TagSet>Tag"`
	}
	for _, key := range slices.Sorted(maps.Keys(o.Tags)) {
		tagging.Tags = append(tagging.Tags, tag{key, o.Tags[key]})
	}
	writeXML(w, http.StatusOK, tagging)
	return nil
}

type tag struct{ Key, Value string }

func invalidTag(message string) error {
	return fail(http.StatusBadRequest, "InvalidTag", message)
}
