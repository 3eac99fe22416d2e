package objectkey

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/s3presign/presign/internal/s3limit"
)

// Last returns the last segment of a key.
func Last(key string) string { return key[strings.LastIndexByte(key, '/')+1:] }

// CheckKey returns an error if key, or the beginning of a key, must not be
// signed. Clients normalize dot segments, and some stores also normalize
// doubled slashes. The request then does not match its signature.
//
// The error starts with "must". Callers put the name of the field before it.
//
// See https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html.
func CheckKey(key string) error {
	switch {
	case len(key) > s3limit.KeySize:
		return fmt.Errorf("must have at most %d bytes, got %d", s3limit.KeySize, len(key))
	case !utf8.ValidString(key):
		return errors.New("must be valid UTF-8")
	case strings.HasPrefix(key, "/"):
		return fmt.Errorf(`must not start with "/", got %q`, key)
	case strings.Contains(key, "//"):
		return fmt.Errorf(`must not contain "//", got %q`, key)
	case strings.ContainsFunc(key, func(c rune) bool {
		return unicode.IsControl(c) || turns(c) || c == '\\'
	}):
		return fmt.Errorf("must not contain a control character or a backslash, got %q", key)
	}
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "." || segment == ".." {
			return fmt.Errorf(`must not contain the segment %q, got %q`, segment, key)
		}
	}
	return nil
}
