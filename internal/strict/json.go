// Package strict decodes the JSON objects and forms that an API accepts. It is
// stricter than encoding/json, with which two programs can read two different
// requests from one body.
//
// It follows the rules of I-JSON on strings and duplicate names. A member whose
// value is null is absent, and so is an empty field of a form.
//
// See https://www.rfc-editor.org/rfc/rfc7493.
package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

const (
	maxDepth   = 16  // levels of nested arrays and objects
	maxFaults  = 20  // faults that are reported for one body
	maxMembers = 256 // members of one object
	maxKept    = 512 // bytes of a body that one of its strings may keep in memory

	blank     = " \t\r\n"
	separator = ",:" + blank
)

// An Error is a fault of a body.
type Error struct {
	// Field is the member at fault, "metadata[name]" if nested. It is empty if
	// the body as a whole is at fault.
	Field string

	Detail string // the requirement and the value
}

func (e *Error) Error() string {
	if e.Field == "" {
		return e.Detail
	}
	return e.Field + ": " + e.Detail
}

// A Member describes a member that a body can have. Value is a pointer to the
// target of the decoded value, of one of these types:
//
//	*string, **string   a string
//	**int64             a whole number
//	*map[string]string  an object of strings
//	*json.RawMessage    anything
//	*List               an array of objects
//
// No member is required. If one is absent or null, its target does not change.
type Member struct {
	Name  string
	Value any
}

// A List decodes an array of objects, one after another, so that no array takes
// more memory than its elements need.
type List struct {
	// Max is the largest number of elements. If the array has more, the rest is
	// not decoded, and TooLong is set.
	Max int

	// Members are the members of one element.
	Members []Member

	// Add is called after each element was decoded into the targets of
	// Members. It must take the values and reset the targets.
	Add func()

	// IsSet reports whether the body has the list.
	IsSet bool

	// TooLong reports whether the array has more than Max elements.
	TooLong bool
}

// A Mode selects how unknown members are treated.
type Mode int

const (
	// RejectUnknown reports unknown members as faults.
	RejectUnknown Mode = iota

	// IgnoreUnknown ignores unknown members, unless their value contains an
	// object with two members of the same name.
	IgnoreUnknown
)

// Object decodes a body that is one JSON object with these members.
//
// The error joins an *Error for each member at fault, up to a limit. The values
// of the other members are set, so that they can be validated as well. If the
// body is not one JSON object, the error joins a single *Error, and nothing is
// set. The body must not change during the call.
func Object(body []byte, members []Member, mode Mode) error {
	if fault := check(body); fault != nil {
		return errors.Join(fault)
	}
	value := trim(body)
	d := decoder{copies: len(value) > maxKept, mode: mode}
	if d.copies {
		// A large body is not copied, because the results share no memory with
		// it.
		d.object(unsafe.String(unsafe.SliceData(value), len(value)), members)
	} else {
		d.object(string(value), members) // Strings without escapes share this copy.
	}
	return errors.Join(d.faults...)
}

// object decodes an object into members.
func (d *decoder) object(object string, members []Member) {
	d.members(object, func(name, value string) {
		target := target(members, name)
		switch {
		case target == nil && d.mode == IgnoreUnknown:
			d.duplicates(value)
		case target == nil:
			d.fault("must " + known(members, name))
		case value != "null":
			d.set(value, target)
		}
	})
}

// set stores the value of a member in its target.
func (d *decoder) set(value string, target any) {
	switch target := target.(type) {
	case *string:
		if s, ok := d.text(value); ok {
			*target = s
		}
	case **string:
		if s, ok := d.text(value); ok {
			*target = &s
		}
	case **int64:
		d.number(value, target)
	case *map[string]string:
		if strings, ok := d.strings(value); ok {
			*target = strings
		}
	case *json.RawMessage:
		d.duplicates(value)
		*target = json.RawMessage(value)
	case *List:
		d.list(value, target)
	default:
		panic(fmt.Sprintf("strict: the target of member %q must have a supported type, got %T",
			d.field(), target))
	}
}

// list decodes an array of objects.
func (d *decoder) list(value string, list *List) {
	list.IsSet = true
	if value[0] != '[' {
		d.fault("must be an array of objects, got " + kind(value[0]))
		return
	}
	d.elements(value, func(i int, element string) bool {
		switch {
		case i == list.Max:
			list.TooLong = true
		case element[0] != '{':
			d.fault("must be an object, got " + kind(element[0]))
		default:
			d.object(element, list.Members)
			list.Add()
		}
		return i < list.Max && len(d.faults) < maxFaults
	})
}

// target returns the target of the member of that name, or nil.
func target(members []Member, name string) any {
	for i := range members {
		if members[i].Name == name {
			return members[i].Value
		}
	}
	return nil
}

// check returns an error if body is not one JSON object.
func check(body []byte) *Error {
	if !utf8.Valid(body) {
		return &Error{Detail: "the body must be UTF-8"}
	}
	value := trim(body)
	switch {
	case !json.Valid(body):
		return malformed(body)
	case value[0] != '{':
		return &Error{Detail: "the body must be a JSON object, got " + kind(value[0])}
	case HasLoneSurrogate(value):
		return &Error{Detail: `a string has half a character: a \u escape from D800 to DFFF must be one of a pair`}
	case tooDeep(value):
		return nestedTooDeep()
	}
	return nil
}

func nestedTooDeep() *Error {
	return &Error{
		Detail: fmt.Sprintf("the body must not be nested deeper than %d levels", maxDepth),
	}
}

// malformed returns the reason why a body is not JSON. Unlike a json.Decoder,
// it does not copy the body.
func malformed(body []byte) *Error {
	value := trim(body)
	if len(value) == 0 {
		return &Error{Detail: "the body must be a JSON object, got an empty body"}
	}
	var syntax *json.SyntaxError
	if !errors.As(json.Unmarshal(body, new(struct{})), &syntax) {
		return &Error{Detail: "the body must be JSON"}
	}
	before := body[:max(0, syntax.Offset-1)]
	switch {
	case json.Valid(before) && value[0] != '{':
		return &Error{Detail: "the body must be a JSON object, got " + kind(value[0])}
	case json.Valid(before):
		return &Error{Detail: fmt.Sprintf(
			"the body must end with the JSON object, which ends at byte %d",
			len(bytes.TrimRight(before, blank)))}
	case syntax.Error() == "unexpected end of JSON input":
		return &Error{Detail: "the body must be complete JSON"}
	case strings.Contains(syntax.Error(), "max depth"): // encoding/json has a limit of its own.
		return nestedTooDeep()
	}
	return &Error{Detail: fmt.Sprintf("the body must be JSON, got another character at byte %d",
		syntax.Offset)}
}

// tooDeep reports whether arrays and objects are nested deeper than maxDepth.
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

// end returns the length of the value that s starts with. The string s must be
// the rest of valid JSON.
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
	i := 0 // A number or a word ends at a separator.
	for strings.IndexByte(separator+"]}", s[i]) < 0 {
		i++
	}
	return i
}

// stringEnd returns the length of the JSON string that s starts with.
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

// next removes the next value from the rest of an array or object, and returns
// it. It reports false at the end.
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

// HasLoneSurrogate reports whether valid JSON has an escape for half a
// surrogate pair, which encoding/json replaces.
func HasLoneSurrogate(value []byte) bool {
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

// unicodeEscape returns the code unit of the \u escape that s starts with.
func unicodeEscape(s []byte) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(s[2:6]), 16, 16)
	return rune(unit), err == nil
}

// A decoder reads from values that are known to be valid JSON and collects
// their faults.
type decoder struct {
	faults []error
	trail  []segment // the names of the current member and of the members around it
	copies bool      // whether strings are copied
	mode   Mode
}

// A segment is the name of a member, or the index of an element.
type segment struct {
	name  string
	index int // -1 for a member
}

// own returns a string that may be kept in memory: s, or a copy of s if the
// body is large.
func (d *decoder) own(s string) string {
	if d.copies {
		return strings.Clone(s)
	}
	return s
}

// fault adds a fault of the current member.
func (d *decoder) fault(detail string) {
	if len(d.faults) < maxFaults {
		d.faults = append(d.faults, &Error{Field: d.field(), Detail: detail})
	}
}

// field returns the name of the current member, such as "parts[0][number]". It
// leaves out deeply nested names, because a client chooses how long names are.
func (d *decoder) field() string {
	const long = 100
	field := ""
	for i, s := range d.trail {
		name := excerpt(s.name)
		if s.index >= 0 {
			name = strconv.Itoa(s.index)
		}
		switch {
		case i == 0:
			field = name
		case len(field) <= long:
			field += "[" + name + "]"
		}
	}
	return field
}

// enter makes a member the current one. The caller must leave it.
func (d *decoder) enter(name string) { d.trail = append(d.trail, segment{name, -1}) }

// leave removes the current member, which enter or elements added.
func (d *decoder) leave() { d.trail = d.trail[:len(d.trail)-1] }

// members calls f with each member of an object, with its name unescaped. If
// several members have one name, it calls f with the first.
func (d *decoder) members(object string, f func(name, value string)) {
	seen := make([]string, 0, 16)
	for rest := object[1:]; ; {
		quoted, ok := next(&rest)
		if !ok {
			return
		}
		value, _ := next(&rest)
		name, _ := text(quoted)
		isDuplicate := slices.Contains(seen, name)
		if !isDuplicate && len(seen) == maxMembers {
			d.fault(fmt.Sprintf("must have at most %d members", maxMembers))
			return
		}
		d.enter(name)
		if isDuplicate {
			d.fault("must be present only once")
		} else {
			seen = append(seen, name)
			f(name, value)
		}
		d.leave()
	}
}

// elements calls f with each element of an array until f returns false.
func (d *decoder) elements(array string, f func(i int, element string) bool) {
	rest := array[1:]
	for i := 0; ; i++ {
		element, ok := next(&rest)
		if !ok {
			return
		}
		d.trail = append(d.trail, segment{index: i})
		more := f(i, element)
		if d.leave(); !more {
			return
		}
	}
}

// duplicates adds a fault for each repeated name in a value.
func (d *decoder) duplicates(value string) {
	switch value[0] {
	case '{':
		d.members(value, func(_, value string) { d.duplicates(value) })
	case '[':
		d.elements(value, func(_ int, element string) bool {
			d.duplicates(element)
			return true
		})
	}
}

// text returns the string in a value.
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

// text returns the string in a value, or adds a fault.
func (d *decoder) text(value string) (string, bool) {
	s, ok := text(value)
	if !ok {
		d.fault("must be a string, got " + kind(value[0]))
	}
	return d.own(s), ok
}

func (d *decoder) number(value string, target **int64) {
	if what := kind(value[0]); what != "a number" {
		d.fault("must be a whole number, got " + what)
		return
	}
	// 5.0 is a whole number:
	// https://json-schema.org/draft/2020-12/json-schema-core#section-6.3.
	if digits, fraction, ok := strings.Cut(value, "."); ok && strings.Trim(fraction, "0") == "" {
		value = digits
	}
	d.digits(value, target)
}

// digits stores a whole number in the form of JSON and JavaScript: without
// leading zeros, a plus, or a minus before zero.
func (d *decoder) digits(s string, target **int64) {
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		d.fault(fmt.Sprintf("must be a whole number from %d to %d, got %s",
			int64(math.MinInt64), int64(math.MaxInt64), excerpt(s)))
	case err != nil, strconv.FormatInt(n, 10) != s:
		d.fault("must be a whole number in digits alone, got " + excerpt(s))
	default:
		*target = &n
	}
}

func (d *decoder) strings(value string) (map[string]string, bool) {
	if value[0] != '{' {
		d.fault("must be an object of strings, got " + kind(value[0]))
		return nil, false
	}
	values := map[string]string{}
	d.members(value, func(name, value string) {
		if value == "null" {
			return
		}
		if s, ok := d.text(value); ok {
			values[d.own(name)] = s
		}
	})
	return values, true
}

// kind returns the kind of the JSON value that starts with first.
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

// known returns the requirement for a member of an unknown name. It continues
// the text "must".
func known(members []Member, name string) string {
	names := make([]string, len(members))
	for i, member := range members {
		if name == member.Name { // A form has an object in one field.
			return fmt.Sprintf("have the form %q", name+"[name]")
		}
		if strings.EqualFold(name, member.Name) {
			return fmt.Sprintf("be written %q", member.Name)
		}
		names[i] = member.Name
	}
	slices.Sort(names)
	return "not be present; the members are " + strings.Join(names, ", ")
}

// excerpt returns the beginning of s with unprintable characters escaped. It
// returns `""` for the empty string.
func excerpt(s string) string {
	if s == "" {
		return `""`
	}
	quoted := fmt.Sprintf("%.40q", s)
	return quoted[1 : len(quoted)-1]
}
