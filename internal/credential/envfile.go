// Package credential provides the credentials that sign: from a file that
// changes, from sessions in a role, and from any other provider. It renews
// credentials before grants would be cut short.
package credential

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Credentials are the values of a credentials file.
type Credentials struct {
	ID, Secret string
	Token      string    // empty without a session
	Expires    time.Time // zero if the file has no expiry
}

// These are the values of a file, as indices into names.
const (
	id = iota
	secret
	token
	expires
)

// names holds the names of each value. Each name may also end in suffix.
var names = [...][]string{
	id:      {"ACCESS", "AWS_ACCESS_KEY_ID"},
	secret:  {"SECRET", "AWS_SECRET_ACCESS_KEY"},
	token:   {"TOKEN", "AWS_SESSION_TOKEN"},
	expires: {"EXPIRATION", "AWS_CREDENTIAL_EXPIRATION"},
}

const suffix = "_SESS"

// Parse returns the credentials in content: lines of NAME=value as a shell or
// Docker reads them, with "export ", quotes and comments. A comment starts with
// "#" at the start of a line or after a space. Nothing is expanded. Other names
// are ignored. A value can be given several times, under one name or several,
// if it is the same each time.
//
// No error contains any part of a value.
func Parse(content []byte) (Credentials, error) {
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	if !utf8.Valid(content) {
		return Credentials{}, errors.New("the file must be UTF-8 text")
	}
	type given struct {
		name, value string
		line        int
	}
	var values [len(names)]given
	for i, line := range strings.Split(string(content), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		assignment, exported := cutExport(line)
		name, rest, ok := strings.Cut(assignment, "=")
		if name = strings.TrimRight(name, " \t"); !ok && exported {
			continue // "export NAME" exports a variable that was set before.
		} else if !ok || !isName(name) {
			return Credentials{}, fmt.Errorf("line %d must have the form NAME=value", i+1)
		}
		field, ok := fieldOf(name)
		if !ok {
			continue
		}
		value, err := unquote(rest)
		if err == nil && field == expires && value != "" {
			value, err = canonicalTime(value)
		}
		if err != nil {
			return Credentials{}, fmt.Errorf("line %d: the value of %s %w", i+1, name, err)
		}
		if value == "" {
			continue
		}
		if before := values[field]; before.name != "" && before.value != value {
			return Credentials{}, fmt.Errorf(
				"%s (line %d) and %s (line %d) must have the same value",
				before.name, before.line, name, i+1)
		}
		values[field] = given{name, value, i + 1}
	}

	var missing []string
	for _, field := range []int{id, secret} {
		if values[field].name == "" {
			missing = append(missing, strings.Join(names[field], " or "))
		}
	}
	if missing != nil {
		return Credentials{}, fmt.Errorf("the file must have %s", strings.Join(missing, " and "))
	}
	c := Credentials{ID: values[id].value, Secret: values[secret].value, Token: values[token].value}
	if t := values[expires].value; t != "" {
		c.Expires, _ = time.Parse(time.RFC3339, t)
	}
	return c, nil
}

func cutExport(line string) (string, bool) {
	rest, ok := strings.CutPrefix(line, "export")
	if !ok || strings.TrimLeft(rest, " \t") == rest {
		return line, false
	}
	return strings.TrimLeft(rest, " \t"), true
}

// isName reports whether s can be a name. Text that cannot be a name is most
// likely the rest of a wrapped value.
func isName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' ||
			c == '-' || c == '.')
	})
}

func fieldOf(name string) (int, bool) {
	name = strings.TrimSuffix(name, suffix)
	for field, known := range names {
		for _, n := range known {
			if n == name {
				return field, true
			}
		}
	}
	return 0, false
}

// unquote returns the value after an "=". Its errors continue the text "the
// value of NAME".
func unquote(s string) (string, error) {
	var value, rest string
	switch trimmed := strings.TrimLeft(s, " \t"); {
	case strings.HasPrefix(trimmed, "'"):
		end := strings.IndexByte(trimmed[1:], '\'')
		if end < 0 {
			return "", errors.New("must have a closing quote")
		}
		value, rest = trimmed[1:1+end], trimmed[1+end+1:]
	case strings.HasPrefix(trimmed, `"`):
		var b strings.Builder
		i := 1
		for ; i < len(trimmed) && trimmed[i] != '"'; i++ {
			if trimmed[i] == '\\' && i+1 < len(trimmed) &&
				strings.IndexByte("\"\\$`", trimmed[i+1]) >= 0 {
				i++
			}
			b.WriteByte(trimmed[i])
		}
		if i == len(trimmed) {
			return "", errors.New("must have a closing quote")
		}
		value, rest = b.String(), trimmed[i+1:]
	default:
		value = s
		for i := 1; i < len(s); i++ {
			if s[i] == '#' && isBlank(s[i-1]) {
				value = s[:i]
				break
			}
		}
		value = strings.Trim(value, " \t")
		if strings.ContainsAny(value, " \t") {
			return "", errors.New("must be in quotes if it has a space")
		}
	}
	if after := strings.TrimLeft(rest, " \t"); after != "" &&
		(after[0] != '#' || !isBlank(rest[0])) {
		return "", errors.New("must end at its closing quote")
	}
	if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c > '~' }) ||
		strings.Trim(value, " ") != value {
		return "", errors.New("must be printable ASCII without outer spaces")
	}
	return value, nil
}

func isBlank(c byte) bool {
	return c == ' ' || c == '\t'
}

// canonicalTime returns one form for each instant. It rejects the zero times
// that some programs write for credentials without an expiry.
func canonicalTime(s string) (string, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Unix() <= 0 {
		return "", errors.New(
			"must be a time in the form of RFC 3339, such as 2026-01-31T18:00:00Z")
	}
	return t.UTC().Format(time.RFC3339Nano), nil
}
