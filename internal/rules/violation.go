package rules

import (
	"fmt"
	"strconv"
	"strings"
)

// The codes of a Violation. The documentation of presign.Violation explains
// each.
const (
	CodeRequired           = "required"
	CodeInvalid            = "invalid"
	CodeTooSmall           = "too_small"
	CodeTooLarge           = "too_large"
	CodeNotAllowed         = "not_allowed"
	CodeUnsupported        = "unsupported"
	CodeContradictsName    = "contradicts_name"
	CodeContradictsContent = "contradicts_content"
	CodeContradictsGrant   = "contradicts_grant"
	CodeTaken              = "taken"
	CodeSuperseded         = "superseded"
	CodeMissing            = "missing"
	CodePending            = "pending"
)

// A Violation is one way in which an upload breaks a Policy. It has the fields
// of presign.Violation. The root package converts a Violation to that type.
type Violation struct {
	Field   string
	Code    string
	Detail  string
	Min     int64
	Max     int64
	Allowed []string
}

// Error returns the field and the detail.
func (v *Violation) Error() string { return "presign: " + v.Field + " " + v.Detail }

// Violate returns a Violation without bounds.
func Violate(field, code, format string, args ...any) *Violation {
	return &Violation{Field: field, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Find returns the errors of type *E that err is, wraps or joins, in order. It
// skips nil pointers.
func Find[E any](err error) (found []*E) {
	if e, ok := any(err).(*E); ok {
		if e == nil {
			return nil
		}
		return []*E{e}
	}
	switch err := err.(type) {
	case interface{ Unwrap() error }:
		return Find[E](err.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range err.Unwrap() {
			found = append(found, Find[E](err)...)
		}
	}
	return found
}

// Excerpt returns the beginning of a client's text, escaped to printable ASCII,
// so that a message can repeat it.
func Excerpt(s string) string {
	const most = 40
	quoted := strconv.QuoteToASCII(s)
	if quoted = quoted[1 : len(quoted)-1]; len(quoted) > most {
		return quoted[:most] + "…"
	}
	return quoted
}

// Span describes a range of sizes in bytes.
func Span(least, most int64) string {
	if least == most {
		return fmt.Sprintf("%d bytes", least)
	}
	return fmt.Sprintf("from %d to %d bytes", least, most)
}

// list joins names for a message.
func list(names []string) string { return strings.Join(names, ", ") }

// GrantedSizeViolation returns the Violation of a file whose size is not
// between the bounds that were granted.
func GrantedSizeViolation(least, most, size int64) *Violation {
	code := CodeTooLarge
	if size < least {
		code = CodeTooSmall
	}
	v := Violate("size", code, "must be %s as granted, got %d", Span(least, most), size)
	v.Min, v.Max = least, most
	return v
}
