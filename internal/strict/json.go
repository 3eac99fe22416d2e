// Package strict decodes the small JSON objects and forms that an API takes, without the leniency of encoding/json, under
// which two readers of one body may see two different requests.
//
// See https://www.rfc-editor.org/rfc/rfc7493, whose rules on strings and duplicate names it keeps.
package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxDepth   = 16  // of arrays and objects in one another
	maxFaults  = 20  // that are reported of one body
	maxMembers = 256 // of one object
	maxKept    = 512 // bytes of a body that a string of it may keep from being collected

	blank     = " \t\r\n"
	separator = ",:" + blank
)

// Error is a fault of a body.
type Error struct {
	Field  string // the member at fault, "metadata[name]" if nested; empty if the body as a whole is at fault
	Detail string // what was seen and what would be right
}

func (e *Error) Error() string {
	if e.Field == "" {
		return e.Detail
	}
	return e.Field + ": " + e.Detail
}

// Member is one that a body may have. It goes to what Value points to, which says what it must be:
//
//	*string, **string   a string
//	**int64             a whole number
//	*map[string]string  an object of strings
//	*json.RawMessage    anything, null included
//
// None is required: what an absent one points to stays as it is, nil with all but *string.
type Member struct {
	Name  string
	Value any
}

// Object decodes a body that is one JSON object of these members.
//
// The error joins an *Error for each member at fault, up to a limit; the values of the others are set nevertheless, so
// that they can be judged too. If the body is not one JSON object, a single *Error says so and nothing is set.
func Object(body []byte, members []Member) error {
	if fault := check(body); fault != nil {
		return errors.Join(fault)
	}
	object := string(trim(body)) // of which strings without escapes are parts
	d := decoder{copies: len(object) > maxKept}
	d.members(object, "", func(name, value string) {
		switch target := target(members, name).(type) {
		case nil:
			d.fault(shown(name), "is not known here: "+known(members, name))
		case *string:
			if s, ok := text(value); ok {
				*target = d.own(s)
			} else {
				d.fault(name, notText(value))
			}
		case **string:
			if s, ok := text(value); ok {
				s = d.own(s)
				*target = &s
			} else {
				d.fault(name, notText(value))
			}
		case **int64:
			d.number(name, value, target)
		case *map[string]string:
			if strings, ok := d.strings(name, value); ok {
				*target = strings
			}
		case *json.RawMessage:
			d.duplicates(value, name)
			*target = json.RawMessage(value)
		default:
			panic(fmt.Sprintf("strict: the member %q goes to a %T", name, target))
		}
	})
	return errors.Join(d.faults...)
}

// target returns where the member of that name goes, or nil.
func target(members []Member, name string) any {
	for i := range members {
		if members[i].Name == name {
			return members[i].Value
		}
	}
	return nil
}

// check returns what keeps body from being read as one JSON object.
func check(body []byte) *Error {
	if !utf8.Valid(body) {
		return &Error{Detail: "the body is not UTF-8"}
	}
	value := trim(body)
	switch {
	case !json.Valid(body):
		return malformed(body)
	case value[0] != '{':
		return &Error{Detail: "the body must be a JSON object, not " + kind(value[0])}
	case loneSurrogate(value):
		return &Error{Detail: `a string has half a character: a \u escape from D800 to DFFF must be one of a pair`}
	case tooDeep(value):
		return &Error{Detail: fmt.Sprintf("the body is nested deeper than %d levels", maxDepth)}
	}
	return nil
}

// malformed says why a body is not JSON.
func malformed(body []byte) *Error {
	d := json.NewDecoder(bytes.NewReader(body))
	var value json.RawMessage
	var syntax *json.SyntaxError
	switch err := d.Decode(&value); {
	case errors.Is(err, io.EOF):
		return &Error{Detail: "the body is empty: it must be a JSON object"}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &Error{Detail: "the body ends in the middle of its JSON"}
	case errors.As(err, &syntax):
		return &Error{Detail: fmt.Sprintf("the body is not JSON from byte %d on", syntax.Offset)}
	case err != nil:
		return &Error{Detail: "the body is not JSON"}
	case value[0] != '{':
		return &Error{Detail: "the body must be a JSON object, not " + kind(value[0])}
	}
	return &Error{Detail: fmt.Sprintf("something follows the JSON object, which ends at byte %d", d.InputOffset())}
}

// tooDeep reports whether valid JSON has more than maxDepth arrays and objects in one another.
func tooDeep(value []byte) bool {
	depth := 0
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '"':
			i += stringEnd(value[i:]) - 1
		case '{', '[':
			if depth++; depth > maxDepth {
				return true
			}
		case '}', ']':
			depth--
		}
	}
	return false
}

// end returns the length of the value that s begins with. All of s is the rest of valid JSON.
func end(s string) int {
	switch s[0] {
	case '"':
		return stringEnd(s)
	case '{', '[':
		for i, depth := 0, 0; ; i++ {
			switch s[i] {
			case '"':
				i += stringEnd(s[i:]) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
	}
	i := 0 // in a number or a word, behind which there is more
	for strings.IndexByte(separator+"]}", s[i]) < 0 {
		i++
	}
	return i
}

// stringEnd is end for what begins with a string.
func stringEnd[S string | []byte](s S) int {
	i := 1
	for s[i] != '"' {
		if s[i] == '\\' {
			i++
		}
		i++
	}
	return i + 1
}

// next takes the next value from the rest of an array or object, and reports whether there is one.
func next(rest *string) (value string, ok bool) {
	s := *rest
	for strings.IndexByte(separator, s[0]) >= 0 {
		s = s[1:]
	}
	if s[0] == ']' || s[0] == '}' {
		return "", false
	}
	n := end(s)
	*rest = s[n:]
	return s[:n], true
}

func trim(b []byte) []byte { return bytes.Trim(b, blank) }

// loneSurrogate reports whether valid JSON has an escape for half a surrogate pair, which encoding/json replaces.
func loneSurrogate(value []byte) bool {
	// Valid JSON has backslashes in strings only.
	for {
		i := bytes.IndexByte(value, '\\')
		if i < 0 {
			return false
		}
		r, isEscape := unicodeEscape(value[i:])
		if !isEscape {
			value = value[i+2:]
			continue
		}
		value = value[i+6:]
		if utf16.IsSurrogate(r) {
			low, _ := unicodeEscape(value)
			if utf16.DecodeRune(r, low) == utf8.RuneError {
				return true
			}
			value = value[6:]
		}
	}
}

// unicodeEscape returns the code unit of the \u escape that s begins with.
func unicodeEscape(s []byte) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(s[2:6]), 16, 16)
	return rune(unit), err == nil
}

// decoder reads from values that are known to be valid JSON, and collects what is wrong with them.
type decoder struct {
	faults []error
	copies bool // whether strings are copied
}

// own returns a string that may be kept. It is part of the body if that is small.
func (d *decoder) own(s string) string {
	if d.copies {
		return strings.Clone(s)
	}
	return s
}

func (d *decoder) fault(field, detail string) {
	if len(d.faults) < maxFaults {
		d.faults = append(d.faults, &Error{Field: field, Detail: detail})
	}
}

// members calls f with each member of an object, with its name unescaped. Of members with one name it calls it with the
// first. The name of the object itself is within, empty at the top.
func (d *decoder) members(object, within string, f func(name, value string)) {
	seen := make([]string, 0, 16)
	for rest := object[1:]; ; {
		quoted, ok := next(&rest)
		if !ok {
			return
		}
		value, _ := next(&rest)
		name, _ := text(quoted)
		switch {
		case slices.Contains(seen, name):
			d.fault(nested(within, name), "is there more than once: it must be there once")
			continue
		case len(seen) == maxMembers:
			d.fault(within, fmt.Sprintf("has more than %d members", maxMembers))
			return
		}
		seen = append(seen, name)
		f(name, value)
	}
}

// duplicates finds members of one name in whatever a value holds.
func (d *decoder) duplicates(value, within string) {
	switch value[0] {
	case '{':
		d.members(value, within, func(name, value string) {
			if hasMembers(value) {
				d.duplicates(value, nested(within, name))
			}
		})
	case '[':
		rest := value[1:]
		for i := 0; ; i++ {
			element, ok := next(&rest)
			if !ok {
				return
			}
			if hasMembers(element) {
				d.duplicates(element, nested(within, strconv.Itoa(i)))
			}
		}
	}
}

func hasMembers(value string) bool { return value[0] == '{' || value[0] == '[' }

// text returns the string that a value is.
func text(value string) (string, bool) {
	if value[0] != '"' {
		return "", false
	}
	if strings.IndexByte(value, '\\') < 0 {
		return value[1 : len(value)-1], true
	}
	var s string
	err := json.Unmarshal([]byte(value), &s)
	return s, err == nil
}

func notText(value string) string { return "must be a string, not " + kind(value[0]) }

func (d *decoder) number(field, value string, target **int64) {
	if what := kind(value[0]); what != "a number" {
		d.fault(field, "must be a whole number, not "+what)
		return
	}
	d.digits(field, value, target)
}

// digits takes a whole number as JSON and JavaScript write it: no zero or plus in front, no minus zero.
func (d *decoder) digits(field, s string, target **int64) {
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		d.fault(field, fmt.Sprintf("must be a whole number from %d to %d, not %s", int64(math.MinInt64), int64(math.MaxInt64), shown(s)))
	case err != nil, strconv.FormatInt(n, 10) != s:
		d.fault(field, "must be a whole number in digits alone, not "+shown(s))
	default:
		*target = &n
	}
}

func (d *decoder) strings(field, value string) (map[string]string, bool) {
	if value[0] != '{' {
		d.fault(field, "must be an object of strings, not "+kind(value[0]))
		return nil, false
	}
	values := map[string]string{}
	d.members(value, field, func(name, value string) {
		if s, ok := text(value); ok {
			values[d.own(name)] = d.own(s)
		} else {
			d.fault(nested(field, name), notText(value))
		}
	})
	return values, true
}

// kind says what a JSON value is that begins like this.
func kind(first byte) string {
	switch first {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// known says what would have been right instead of a name.
func known(members []Member, name string) string {
	names := make([]string, len(members))
	for i, member := range members {
		if strings.EqualFold(name, member.Name) {
			return fmt.Sprintf("write it %q", member.Name)
		}
		names[i] = member.Name
	}
	slices.Sort(names)
	return "the members are " + strings.Join(names, ", ")
}

// nested names a member of a member. Deep inside it names no further, since the names are the client's.
func nested(within, name string) string {
	switch {
	case within == "":
		return shown(name)
	case len(within) > 100:
		return within
	}
	return within + "[" + shown(name) + "]"
}

// shown returns what of s is fit to be shown: its beginning, and escaped what cannot be printed. A name that is empty is
// shown as "", which keeps it apart from no name.
func shown(s string) string {
	if s == "" {
		return `""`
	}
	quoted := fmt.Sprintf("%.40q", s)
	return quoted[1 : len(quoted)-1]
}
