// Package credential reads credentials from a file of NAME=value lines, and reads it again whenever it changes.
package credential

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Credentials is what such a file holds.
type Credentials struct {
	ID, Secret string
	Token      string    // empty unless they are of a session
	Expires    time.Time // zero if the file does not say
}

// The values that a file holds, as indices into names.
const (
	id = iota
	secret
	token
	expires
)

// names holds the names of each value, which may also end in suffix.
var names = [...][]string{
	id:      {"ACCESS", "AWS_ACCESS_KEY_ID"},
	secret:  {"SECRET", "AWS_SECRET_ACCESS_KEY"},
	token:   {"TOKEN", "AWS_SESSION_TOKEN"},
	expires: {"EXPIRATION", "AWS_CREDENTIAL_EXPIRATION"},
}

const suffix = "_SESS"

// Parse returns the credentials that content holds: lines of NAME=value as a shell or Docker reads them, with "export
// ", quotes, and comments that begin with "#" at the beginning of a line or after a space. Nothing is expanded. Other
// names are ignored. A value may stand there several times, by one name or several, as long as it is the same.
//
// No error repeats anything of a value.
func Parse(content []byte) (Credentials, error) {
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	if !utf8.Valid(content) {
		return Credentials{}, errors.New("it is not UTF-8 text")
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
			continue // "export NAME", of a variable that was set before
		} else if !ok || !isName(name) {
			return Credentials{}, fmt.Errorf("line %d is not NAME=value", i+1)
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
			return Credentials{}, fmt.Errorf("%s (line %d) and %s (line %d) have different values",
				before.name, before.line, name, i+1)
		}
		values[field] = given{name, value, i + 1}
	}

	var missing []string
	for _, field := range []int{id, secret} {
		if values[field].name == "" {
			missing = append(missing, "no "+strings.Join(names[field], " or "))
		}
	}
	if missing != nil {
		return Credentials{}, fmt.Errorf("it has %s", strings.Join(missing, " and "))
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

// isName reports whether s can be a name at all. What cannot is more likely the rest of a value that was wrapped.
func isName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '.')
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

// unquote returns the value in what follows a "=". The errors follow "the value of NAME".
func unquote(s string) (string, error) {
	var value, rest string
	switch trimmed := strings.TrimLeft(s, " \t"); {
	case strings.HasPrefix(trimmed, "'"):
		end := strings.IndexByte(trimmed[1:], '\'')
		if end < 0 {
			return "", errors.New("has no closing quote")
		}
		value, rest = trimmed[1:1+end], trimmed[1+end+1:]
	case strings.HasPrefix(trimmed, `"`):
		var b strings.Builder
		i := 1
		for ; i < len(trimmed) && trimmed[i] != '"'; i++ {
			if trimmed[i] == '\\' && i+1 < len(trimmed) && strings.IndexByte("\"\\$`", trimmed[i+1]) >= 0 {
				i++
			}
			b.WriteByte(trimmed[i])
		}
		if i == len(trimmed) {
			return "", errors.New("has no closing quote")
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
			return "", errors.New("has a space in it; put it in quotes")
		}
	}
	if after := strings.TrimLeft(rest, " \t"); after != "" && (after[0] != '#' || !isBlank(rest[0])) {
		return "", errors.New("goes on after its closing quote")
	}
	if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c > '~' }) || strings.Trim(value, " ") != value {
		return "", errors.New("is not printable ASCII without outer spaces")
	}
	return value, nil
}

func isBlank(c byte) bool {
	return c == ' ' || c == '\t'
}

// canonicalTime returns one form for each instant. A time that some programs write for none is refused.
func canonicalTime(s string) (string, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Unix() <= 0 {
		return "", errors.New("is not a time as RFC 3339 has it, such as 2026-01-31T18:00:00Z")
	}
	return t.UTC().Format(time.RFC3339Nano), nil
}
