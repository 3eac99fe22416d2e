// Package postpolicy writes the policy document of an S3 POST form and the form that goes with it.
//
// Every condition is exact: a form that differs from what was signed by one byte in one field is refused by S3.
//
// See https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html.
package postpolicy

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxFormSize is how many bytes of a form S3 takes before the file: fields and boundaries together.
const MaxFormSize = 20480

// Form is an upload form before it is signed.
type Form struct {
	Bucket           string
	Expires          time.Time // truncated to milliseconds
	MinSize, MaxSize int64     // of the file in bytes, inclusive

	// Fields holds every field but policy, signature and file. Each becomes a condition that admits its value alone.
	Fields []Field
}

// Field is a form field. Names are compared without regard to case, values with it.
type Field struct{ Name, Value string }

// Sign returns the complete form: Fields, the policy, and the signature that sign makes of the policy in base64. It
// refuses fields that S3 would misread or that a browser cannot send unchanged, and forms above MaxFormSize.
func (f *Form) Sign(sign func(policy []byte) string) (map[string]string, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	document := f.appendDocument(make([]byte, 0, 2048))
	policy := base64.StdEncoding.AppendEncode(make([]byte, 0, base64.StdEncoding.EncodedLen(len(document))), document)

	form := make(map[string]string, len(f.Fields)+2)
	for _, field := range f.Fields {
		form[field.Name] = field.Value
	}
	form["policy"] = string(policy)
	form["x-amz-signature"] = sign(policy)
	if size := formSize(form); size > MaxFormSize {
		return nil, fmt.Errorf("the form takes up to %d bytes before the file; S3 takes %d", size, MaxFormSize)
	}
	return form, nil
}

func (f *Form) check() error {
	if f.MinSize < 0 || f.MinSize > f.MaxSize {
		return fmt.Errorf("a size range from %d to %d admits no file", f.MinSize, f.MaxSize)
	}
	if f.Bucket == "" || !plain(f.Bucket) {
		return fmt.Errorf("a form cannot name the bucket %q", f.Bucket)
	}
	for i, field := range f.Fields {
		switch name := field.Name; {
		case name == "" || !plain(name):
			return fmt.Errorf("a form cannot hold a field with the name %q", name)
		case reserved(name):
			return fmt.Errorf("the form field %q has no condition of its own", name)
		case !plain(field.Value):
			// The value itself may be secret.
			return fmt.Errorf("the value of the form field %q has a dollar sign, a control character or invalid UTF-8", name)
		}
		for _, earlier := range f.Fields[:i] {
			if len(earlier.Name) == len(field.Name) && strings.EqualFold(earlier.Name, field.Name) {
				return fmt.Errorf("the form has two fields %q", field.Name)
			}
		}
	}
	return nil
}

// plain reports whether s arrives at S3 as it stands. A dollar sign begins an escape or a variable there, and has
// failed exact conditions (https://github.com/boto/boto3/issues/4514); browsers rewrite line breaks.
func plain(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] == 0x7f || s[i] == '$' {
			return false
		}
	}
	return utf8.ValidString(s)
}

// reserved reports the fields that S3 exempts from conditions, and bucket, which is a condition without a field.
func reserved(name string) bool {
	switch name = strings.ToLower(name); name {
	case "policy", "file", "x-amz-signature", "bucket":
		return true
	}
	return strings.HasPrefix(name, "x-ignore-")
}

func (f *Form) appendDocument(b []byte) []byte {
	b = append(b, `{"expiration":"`...)
	b = f.Expires.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
	b = append(b, `","conditions":[{"bucket":`...)
	b = appendString(b, f.Bucket)
	b = append(b, `},["content-length-range",`...)
	b = strconv.AppendInt(b, f.MinSize, 10)
	b = append(b, ',')
	b = strconv.AppendInt(b, f.MaxSize, 10)
	b = append(b, ']')
	for _, field := range f.Fields {
		// Several stores take XML, as tagging holds, only in a condition of this form.
		if list := strings.EqualFold(field.Name, "tagging"); list {
			b = append(b, `,["eq",`...)
			b = appendString(b, "$"+field.Name)
			b = append(b, ',')
			b = appendString(b, field.Value)
			b = append(b, ']')
			continue
		}
		b = append(b, ",{"...)
		b = appendString(b, field.Name)
		b = append(b, ':')
		b = appendString(b, field.Value)
		b = append(b, '}')
	}
	return append(b, "]}"...)
}

// formSize bounds the bytes that a client sends before the file's own: RFC 2046 allows boundaries of 70 characters, and
// the file's part has a name of up to 255 bytes, three times as long where the client escapes it.
func formSize(form map[string]string) int {
	const (
		boundary    = len("\r\n--") + 70 + len("\r\n")
		field       = boundary + len("Content-Disposition: form-data; name=\"\"\r\n\r\n")
		contentType = len("Content-Type: \r\n") + 255
		file        = field + len("file") + len("; filename=\"\"") + 3*255 + contentType
	)
	size := file
	for name, value := range form {
		size += field + len(name) + len(value)
	}
	return size
}

// appendString appends s as a JSON string, as encoding/json writes it.
func appendString(b []byte, s string) []byte {
	const lowerhex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && size == 1:
				b = append(b, `\ufffd`...)
			case r == '\u2028' || r == '\u2029':
				b = append(b, `\u202`...)
				b = append(b, lowerhex[r&15])
			default:
				b = append(b, s[i:i+size]...)
			}
			i += size
			continue
		}
		switch i++; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		case '<', '>', '&':
			b = append(b, `\u00`...)
			b = append(b, lowerhex[c>>4], lowerhex[c&15])
		default:
			if c < ' ' {
				b = append(b, `\u00`...)
				b = append(b, lowerhex[c>>4], lowerhex[c&15])
			} else {
				b = append(b, c)
			}
		}
	}
	return append(b, '"')
}
