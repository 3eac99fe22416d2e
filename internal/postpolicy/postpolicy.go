// Package postpolicy writes the policy document of an S3 POST form and the form
// that belongs to it.
//
// The condition of each field is exact: S3 rejects a form that differs from the
// signed form by a single byte.
//
// See
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html.
package postpolicy

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/s3presign/presign/internal/jsonstring"
	"github.com/s3presign/presign/internal/s3limit"
)

// A Field is a form field. Letter case matters in values, but not in names.
type Field = struct{ Name, Value string }

// A Common holds the parts that many forms have in common: the bucket, and
// fields such as a session token, which are long. Its part of the policy comes
// first and is written once. A Common is immutable and safe for concurrent use.
type Common struct {
	// PolicyBeginning is the start of the policies of these forms, in base64.
	PolicyBeginning string

	fields []Field
	size   int // the bytes of the fields in a form
}

// NewCommon returns the Common of forms for a bucket. It rejects the fields
// that Form.Sign rejects.
func NewCommon(bucket string, fields []Field) (*Common, error) {
	b, plain := appendString([]byte(`{"conditions":[{"bucket":`), bucket)
	if bucket == "" || !plain {
		return nil, fmt.Errorf("the bucket must not be empty or contain a dollar sign, "+
			"a control character or invalid UTF-8, got %q", bucket)
	}
	b, err := appendConditions(append(b, '}'), fields, nil)
	if err != nil {
		return nil, err
	}
	b = append(b, ',')
	// With full groups of three bytes, the base64 of this part is a prefix of
	// the base64 of the policy.
	for len(b)%3 != 0 {
		b = append(b, ' ')
	}
	c := &Common{PolicyBeginning: base64.StdEncoding.EncodeToString(b), fields: fields}
	for _, field := range fields {
		c.size += fieldSize(field.Name, field.Value)
	}
	return c, nil
}

// A Form is an upload form before it is signed.
type Form struct {
	Common           *Common
	Expires          time.Time // truncated to seconds
	MinSize, MaxSize int64     // the sizes of the file in bytes, inclusive

	// Fields holds all other fields except policy, signature and file. Each
	// field has a condition that accepts only its value.
	Fields []Field
}

// Sign returns the complete form: all fields, the policy, and the signature
// that sign returns for the policy in base64. It rejects fields that S3 would
// misread or that a browser cannot send unchanged, and forms above
// s3limit.FormSize.
func (f *Form) Sign(sign func(policy string) string) ([]Field, error) {
	document, err := f.appendDocument(make([]byte, 0, 2048))
	if err != nil {
		return nil, err
	}
	b := append(make([]byte, 0, 4096), f.Common.PolicyBeginning...)
	policy := string(base64.StdEncoding.AppendEncode(b, document))

	size := fileSize + f.Common.size
	form := append(make([]Field, 0, len(f.Fields)+len(f.Common.fields)+2), f.Fields...)
	form = append(form, Field{"policy", policy}, Field{"x-amz-signature", sign(policy)})
	for _, field := range form {
		size += fieldSize(field.Name, field.Value)
	}
	form = append(form, f.Common.fields...)
	if size > s3limit.FormSize {
		return nil, fmt.Errorf("the form must have at most %d bytes before the file, got up to %d",
			s3limit.FormSize, size)
	}
	return form, nil
}

// appendDocument appends the policy after f.Common.PolicyBeginning.
func (f *Form) appendDocument(b []byte) ([]byte, error) {
	if f.MinSize < 0 || f.MinSize > f.MaxSize {
		return nil, fmt.Errorf("the size range must allow a file, got from %d to %d",
			f.MinSize, f.MaxSize)
	}
	b = append(b, `["content-length-range",`...)
	b = strconv.AppendInt(b, f.MinSize, 10)
	b = append(b, ',')
	b = strconv.AppendInt(b, f.MaxSize, 10)
	b = append(b, ']')
	b, err := appendConditions(b, f.Fields, f.Common.fields)
	if err != nil {
		return nil, err
	}
	b = append(b, `],"expiration":"`...)
	b = f.Expires.UTC().AppendFormat(b, time.RFC3339) // Package time has a fast path for RFC 3339.
	return append(b[:len(b)-len("Z")], `.000Z"}`...), nil
}

// appendConditions appends a condition for each field, after a comma. A field
// must not have the name of an earlier field.
func appendConditions(b []byte, fields, earlier []Field) ([]byte, error) {
	for i, field := range fields {
		if hasField(earlier, field.Name) || hasField(fields[:i], field.Name) {
			return nil, fmt.Errorf("the form must have each field once, got %q twice", field.Name)
		}
		if isReserved(field.Name) {
			return nil, fmt.Errorf("the form must not have the field %q, which has no condition",
				field.Name)
		}
		var plainName, plainValue bool
		// Several stores accept XML, which tagging contains, only in a
		// condition of this form.
		if strings.EqualFold(field.Name, "tagging") {
			b = append(b, `,["eq",`...)
			b, _ = appendString(b, "$"+field.Name)
			plainName = true
			b = append(b, ',')
			b, plainValue = appendString(b, field.Value)
			b = append(b, ']')
		} else {
			b = append(b, `,{`...)
			b, plainName = appendString(b, field.Name)
			b = append(b, ':')
			b, plainValue = appendString(b, field.Value)
			b = append(b, '}')
		}
		if field.Name == "" || !plainName {
			return nil, fmt.Errorf("the form must not have a field with the name %q", field.Name)
		}
		if !plainValue {
			// The error does not contain the value, which might be secret.
			return nil, fmt.Errorf("the value of the form field %q must not have a dollar sign, "+
				"a control character or invalid UTF-8", field.Name)
		}
	}
	return b, nil
}

func hasField(fields []Field, name string) bool {
	for _, field := range fields {
		if len(field.Name) == len(name) && strings.EqualFold(field.Name, name) {
			return true
		}
	}
	return false
}

// isReserved reports whether S3 exempts a field from conditions, or the field
// is bucket, which is a condition without a field.
func isReserved(name string) bool {
	for _, r := range []string{"policy", "file", "x-amz-signature", "bucket"} {
		if len(name) == len(r) && strings.EqualFold(name, r) {
			return true
		}
	}
	const ignored = "x-ignore-"
	return len(name) >= len(ignored) && strings.EqualFold(name[:len(ignored)], ignored)
}

// These are the largest sizes of the bytes that a client sends before the file.
// RFC 2046 allows boundaries of 70 characters. The file has a name of up to 255
// bytes. A client that escapes the name sends three bytes for each byte.
const (
	boundarySize = len("\r\n--") + 70 + len("\r\n")
	aroundField  = boundarySize + len("Content-Disposition: form-data; name=\"\"\r\n\r\n")
	fileSize     = aroundField + len("file") + len("; filename=\"\"") + 3*255 +
		len("Content-Type: \r\n") + 255
)

func fieldSize(name, value string) int { return aroundField + len(name) + len(value) }

// appendString appends s as a JSON string. It reports whether S3 receives s
// unchanged. A dollar sign starts an escape or a variable, and S3 rejects some
// exact conditions with it (https://github.com/boto/boto3/issues/4514).
// Browsers rewrite line breaks.
func appendString(b []byte, s string) (_ []byte, plain bool) {
	b, ascii := jsonstring.Append(b, s)
	if strings.IndexByte(s, '$') >= 0 {
		return b, false
	}
	return b, ascii || utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool {
		return c < ' ' || c == 0x7f
	})
}
