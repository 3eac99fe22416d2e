package notification

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/s3presign/presign/internal/strict"
)

// check returns an error unless a document is one JSON value of bounded depth.
// Its strings must be valid Unicode. Otherwise readers would differ, because
// encoding/json replaces invalid Unicode by U+FFFD.
func check(document []byte) error {
	if !utf8.Valid(document) {
		return errors.New("document must be UTF-8")
	}
	if !json.Valid(document) {
		return errors.New("document must be JSON")
	}
	depth := 0
	for i := 0; i < len(document); i++ {
		switch document[i] {
		case '{', '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("document must be nested at most %d levels deep", maxDepth)
			}
		case '}', ']':
			depth--
		case '"':
			end := i + 1
			for document[end] != '"' {
				if document[end] == '\\' {
					end++
				}
				end++
			}
			if strict.HasLoneSurrogate(document[i:end]) {
				return errors.New(
					`strings must be Unicode: ` +
						`an escape from \ud800 to \udfff must be one of a pair`)
			}
			i = end
		}
	}
	return nil
}

// An object holds the members of a JSON object that Parse reads. It leaves out
// members that are null.
type object struct {
	what    string // names the object in errors
	members map[string]json.RawMessage
	err     error // of the first method that failed
}

// readObject reads the named members of a JSON object, and ignores all others.
// A name in another case, or a second member of one name, is an error.
func readObject(raw []byte, what string, names ...string) (*object, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return nil, fmt.Errorf("%s must be a JSON object", what)
	}
	o := &object{what: what, members: make(map[string]json.RawMessage)}
	for n := 0; d.More(); n++ {
		token, err := d.Token()
		if n == maxMembers {
			return nil, fmt.Errorf("%s must have at most %d members", what, maxMembers)
		}
		if err != nil {
			return nil, fmt.Errorf("%s must be a JSON object", what)
		}
		name, _ := token.(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, fmt.Errorf("%s must be a JSON object", what)
		}
		for _, known := range names {
			if !strings.EqualFold(name, known) {
				continue
			}
			if name != known {
				return nil, fmt.Errorf("%s must not have %q in another case", what, known)
			}
			if _, twice := o.members[name]; twice {
				return nil, fmt.Errorf("%s must have %q only once", what, known)
			}
			o.members[name] = value
		}
	}
	for name, value := range o.members {
		if string(value) == "null" {
			delete(o.members, name)
		}
	}
	return o, nil
}

func (o *object) has(name string) bool { return o.members[name] != nil }

// raw returns a member as it is written, or nil.
func (o *object) raw(name string) json.RawMessage { return o.members[name] }

// text returns a member that is required to be a string.
func (o *object) text(name string) (string, error) {
	var s string
	switch raw := o.members[name]; {
	case raw == nil:
		return "", fmt.Errorf("%s must have %q", o.what, name)
	case raw[0] != '"' || json.Unmarshal(raw, &s) != nil:
		return "", fmt.Errorf("%q of %s must be a string", name, o.what)
	}
	return s, nil
}

// must returns a member that is required to be a string, or sets o.err.
func (o *object) must(name string) string {
	s, err := o.text(name)
	if o.err == nil {
		o.err = err
	}
	return s
}

// optional returns a member that may be absent and otherwise must be a string.
func (o *object) optional(name string) string {
	if !o.has(name) {
		return ""
	}
	return o.must(name)
}

// number returns a member that must be a whole number, or -1 if it is absent.
func (o *object) number(name string) int64 {
	if !o.has(name) {
		return -1
	}
	n, err := strconv.ParseInt(string(o.members[name]), 10, 64)
	if (err != nil || n < 0) && o.err == nil {
		o.err = fmt.Errorf("%q of %s must be a whole number", name, o.what)
	}
	return n
}

// readArray returns the elements of a JSON array.
func readArray(raw []byte, what string, most int) ([]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if token, err := d.Token(); err != nil || token != json.Delim('[') {
		return nil, fmt.Errorf("%s must be a JSON array", what)
	}
	var elements []json.RawMessage
	for d.More() {
		if len(elements) == most {
			return nil, fmt.Errorf("%s must have at most %d elements", what, most)
		}
		var element json.RawMessage
		if err := d.Decode(&element); err != nil {
			return nil, fmt.Errorf("%s must be a JSON array", what)
		}
		elements = append(elements, element)
	}
	return elements, nil
}
