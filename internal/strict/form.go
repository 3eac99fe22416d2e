package strict

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Form decodes a urlencoded form. It returns the same errors as Object. An
// object of strings consists of fields such as "metadata[name]". A whole number
// consists of digits. Targets are *string, **int64 and *map[string]string. An
// empty field is absent.
func Form(form url.Values, members []Member, mode Mode) error {
	if len(form) > maxMembers {
		detail := fmt.Sprintf("the form must have at most %d members", maxMembers)
		return errors.Join(&Error{Detail: detail})
	}
	d := decoder{mode: mode}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		if len(form[name]) > 0 { // A service that removes a field might leave an empty slice.
			d.enter(name)
			d.formField(members, name, form[name])
			d.leave()
		}
	}
	return errors.Join(d.faults...)
}

// formField decodes one field of a form.
func (d *decoder) formField(members []Member, name string, values []string) {
	member, inner := name, ""
	open := strings.IndexByte(name, '[')
	if open >= 0 && strings.HasSuffix(name, "]") {
		member, inner = name[:open], name[open+1:len(name)-1]
	}
	target := target(members, member)
	object, isObject := target.(*map[string]string)
	isKnown := target != nil && isObject == (member != name)
	switch {
	case !isKnown && d.mode == IgnoreUnknown:
	case !utf8.ValidString(name) || !utf8.ValidString(values[0]):
		d.fault("must be UTF-8")
	case len(values) > 1:
		d.fault("must be present only once")
	case !isKnown:
		d.fault("must " + known(members, name))
	case values[0] == "":
	case isObject:
		if *object == nil {
			*object = map[string]string{}
		}
		(*object)[inner] = values[0]
	default:
		d.setFormField(values[0], target)
	}
}

// setFormField stores a value that is not part of an object.
func (d *decoder) setFormField(value string, target any) {
	switch target := target.(type) {
	case *string:
		*target = value
	case **int64:
		d.digits(value, target)
	default:
		panic(fmt.Sprintf("strict: the target of form member %q must have a supported type, got %T",
			d.field(), target))
	}
}
