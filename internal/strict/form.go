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

// Form is Object for a urlencoded form, with the same errors: an object of strings is made of fields such as
// "metadata[name]", a whole number is digits. Members go to a *string, **int64 or *map[string]string.
func Form(form url.Values, members []Member) error {
	if len(form) > maxMembers {
		return errors.Join(&Error{Detail: fmt.Sprintf("the form has more than %d members", maxMembers)})
	}
	d := decoder{}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		field, values := shown(name), form[name]
		switch {
		case len(values) == 0: // as a service leaves it that takes something out
			continue
		case !utf8.ValidString(name) || !utf8.ValidString(values[0]):
			d.fault(field, "is not UTF-8")
			continue
		case len(values) > 1:
			d.fault(field, "is there more than once: it must be there once")
			continue
		}
		member, inner := name, ""
		open := strings.IndexByte(name, '[')
		if open >= 0 && strings.HasSuffix(name, "]") {
			member, inner = name[:open], name[open+1:len(name)-1]
		}
		target := target(members, member)
		if object, ok := target.(*map[string]string); ok != (member != name) || target == nil {
			d.fault(field, "is not known here: "+known(members, name))
			continue
		} else if ok {
			if *object == nil {
				*object = map[string]string{}
			}
			(*object)[inner] = values[0]
			continue
		}
		switch target := target.(type) {
		case *string:
			*target = values[0]
		case **int64:
			d.digits(field, values[0], target)
		default:
			panic(fmt.Sprintf("strict: the member %q of a form goes to a %T", name, target))
		}
	}
	return errors.Join(d.faults...)
}
