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

	"github.com/s3presign/presign/internal/jsonstring"
)

// MaxFormSize is how many bytes of a form S3 takes before the file: fields and boundaries together.
const MaxFormSize = 20480

// Field is a form field. Names are compared without regard to case, values with it.
type Field = struct{ Name, Value string }

// Common is what many forms have in common: the bucket and some fields, such as those of a session, which are long. Its
// part of the policy comes first and is written once. It is immutable and safe for concurrent use.
type Common struct {
	// PolicyBeginning is how the policies of these forms begin, in base64.
	PolicyBeginning string

	fields []Field
	size   int // of the fields in a form
}

// NewCommon returns what forms for a bucket have in common. It refuses what Form.Sign refuses.
func NewCommon(bucket string, fields []Field) (*Common, error) {
	b, plain := appendString([]byte(`{"conditions":[{"bucket":`), bucket)
	if bucket == "" || !plain {
		return nil, fmt.Errorf("a form cannot name the bucket %q", bucket)
	}
	b, err := appendConditions(append(b, '}'), fields, nil)
	if err != nil {
		return nil, err
	}
	b = append(b, ',')
	for len(b)%3 != 0 { // so that its base64 is a part of the whole policy's
		b = append(b, ' ')
	}
	c := &Common{PolicyBeginning: base64.StdEncoding.EncodeToString(b), fields: fields}
	for _, field := range fields {
		c.size += fieldSize(field.Name, field.Value)
	}
	return c, nil
}

// Form is an upload form before it is signed.
type Form struct {
	Common           *Common
	Expires          time.Time // truncated to seconds
	MinSize, MaxSize int64     // of the file in bytes, inclusive

	// Fields holds every other field but policy, signature and file. Each becomes a condition that admits its value alone.
	Fields []Field
}

// Sign returns the complete form: all fields, the policy, and the signature that sign makes of the policy in base64. It
// refuses fields that S3 would misread or that a browser cannot send unchanged, and forms above MaxFormSize.
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
	if size > MaxFormSize {
		return nil, fmt.Errorf("the form takes up to %d bytes before the file; S3 takes %d", size, MaxFormSize)
	}
	return form, nil
}

// appendDocument appends what follows f.Common.PolicyBeginning.
func (f *Form) appendDocument(b []byte) ([]byte, error) {
	if f.MinSize < 0 || f.MinSize > f.MaxSize {
		return nil, fmt.Errorf("a size range from %d to %d admits no file", f.MinSize, f.MaxSize)
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
	b = f.Expires.UTC().AppendFormat(b, time.RFC3339) // for which package time has a fast path
	return append(b[:len(b)-len("Z")], `.000Z"}`...), nil
}

// appendConditions appends a condition for each field, behind a comma. Earlier are the fields that come before these.
func appendConditions(b []byte, fields, earlier []Field) ([]byte, error) {
	for i, field := range fields {
		if has(earlier, field.Name) || has(fields[:i], field.Name) {
			return nil, fmt.Errorf("the form has two fields %q", field.Name)
		}
		if reserved(field.Name) {
			return nil, fmt.Errorf("the form field %q has no condition of its own", field.Name)
		}
		var plainName, plainValue bool
		// Several stores take XML, as tagging holds, only in a condition of this form.
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
			return nil, fmt.Errorf("a form cannot hold a field with the name %q", field.Name)
		}
		if !plainValue {
			// The value itself may be secret.
			return nil, fmt.Errorf("the value of the form field %q has a dollar sign, a control character or invalid UTF-8", field.Name)
		}
	}
	return b, nil
}

func has(fields []Field, name string) bool {
	for _, field := range fields {
		if len(field.Name) == len(name) && strings.EqualFold(field.Name, name) {
			return true
		}
	}
	return false
}

// reserved reports the fields that S3 exempts from conditions, and bucket, which is a condition without a field.
func reserved(name string) bool {
	for _, r := range []string{"policy", "file", "x-amz-signature", "bucket"} {
		if len(name) == len(r) && strings.EqualFold(name, r) {
			return true
		}
	}
	const ignored = "x-ignore-"
	return len(name) >= len(ignored) && strings.EqualFold(name[:len(ignored)], ignored)
}

// What a client sends before the file's own bytes, at most: RFC 2046 allows boundaries of 70 characters, and the file's
// part has a name of up to 255 bytes, three times as long where the client escapes it.
const (
	boundarySize = len("\r\n--") + 70 + len("\r\n")
	aroundField  = boundarySize + len("Content-Disposition: form-data; name=\"\"\r\n\r\n")
	fileSize     = aroundField + len("file") + len("; filename=\"\"") + 3*255 + len("Content-Type: \r\n") + 255
)

func fieldSize(name, value string) int { return aroundField + len(name) + len(value) }

// appendString appends s as a JSON string. It reports whether s arrives at S3 as it stands: a dollar sign begins an escape
// or a variable there, and has failed exact conditions (https://github.com/boto/boto3/issues/4514); browsers rewrite line
// breaks.
func appendString(b []byte, s string) (_ []byte, plain bool) {
	b, ascii := jsonstring.Append(b, s)
	if strings.IndexByte(s, '$') >= 0 {
		return b, false
	}
	return b, ascii || utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}
