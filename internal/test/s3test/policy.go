package s3test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A policy is the POST policy of a form.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
type policy struct {
	expiration time.Time
	conditions []condition
}

// A condition has one of three operators. With eq and starts-with, it has a
// field and a value. With content-length-range, it has bounds.
type condition struct {
	operator     string
	field, value string // field as in the policy, with its $
	min, max     int64
	impossible   bool // well formed, but always violated
	source       string
}

func invalidPolicy(format string, args ...any) error {
	return fail(http.StatusBadRequest, "InvalidPolicyDocument",
		"Invalid Policy: "+fmt.Sprintf(format, args...))
}

func violated(format string, args ...any) error {
	return accessDenied("Invalid according to Policy: " + fmt.Sprintf(format, args...))
}

func parsePolicy(encoded string) (*policy, error) {
	text, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, invalidPolicy("Invalid Base64.")
	}
	names, members, err := parseObject(text)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if name != "expiration" && name != "conditions" {
			return nil, invalidPolicy("Unexpected: '%s'", name)
		}
	}
	for _, name := range []string{"expiration", "conditions"} {
		if n := len(members[name]); n != 1 {
			return nil, invalidPolicy("Policy must have '%s' exactly once.", name)
		}
	}
	p := new(policy)
	if p.expiration, err = parseExpiration(members["expiration"][0]); err != nil {
		return nil, err
	}
	var conditions []json.RawMessage
	if err := json.Unmarshal(members["conditions"][0], &conditions); err != nil ||
		conditions == nil {
		return nil, invalidPolicy("Policy conditions must be a list.")
	}
	for _, raw := range conditions {
		c, err := parseCondition(raw)
		if err != nil {
			return nil, err
		}
		p.conditions = append(p.conditions, c)
	}
	return p, nil
}

// parseObject returns the names of a JSON object's members in order, and the
// values of each name.
func parseObject(text []byte) (names []string, members map[string][]json.RawMessage, err error) {
	if !json.Valid(text) || !utf8.Valid(text) {
		return nil, nil, invalidPolicy("Invalid JSON.")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, nil, invalidPolicy("Invalid JSON.")
	}
	members = make(map[string][]json.RawMessage)
	for decoder.More() {
		token, nameErr := decoder.Token()
		var value json.RawMessage
		if err := errors.Join(nameErr, decoder.Decode(&value)); err != nil {
			return nil, nil, err // This never happens, since the text is valid JSON.
		}
		name := token.(string)
		names = append(names, name)
		members[name] = append(members[name], value)
	}
	return names, members, nil
}

// parseExpiration accepts UTC with or without milliseconds, as S3 does.
func parseExpiration(raw json.RawMessage) (time.Time, error) {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return time.Time{}, invalidPolicy("Invalid 'expiration' value: '%s'", raw)
	}
	for _, layout := range []string{"2006-01-02T15:04:05Z", "2006-01-02T15:04:05.000Z"} {
		if t, err := time.Parse(layout, text); err == nil && len(text) == len(layout) {
			return t, nil
		}
	}
	return time.Time{}, invalidPolicy("Invalid 'expiration' value: '%s'", text)
}

func parseCondition(raw json.RawMessage) (condition, error) {
	if raw[0] == '{' {
		return parseSimpleCondition(raw)
	}
	var list []any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&list); err != nil || len(list) != 3 {
		return condition{}, invalidPolicy(
			"Invalid condition: it must be an object or have three elements: %s", raw)
	}
	operator, _ := list[0].(string)
	c := condition{operator: operator, source: string(raw)}
	switch operator {
	case "eq", "starts-with":
		field, isField := list[1].(string)
		value, isValue := list[2].(string)
		if !isField || !isValue {
			return condition{}, invalidPolicy("Invalid condition: values must be strings: %s", raw)
		}
		c.field, c.value = field, value
		c.source = fmt.Sprintf(`["%s", "%s", "%s"]`, operator, field, value)
		return c, nil
	case "content-length-range":
		for i, bound := range []*int64{&c.min, &c.max} {
			switch v := list[i+1].(type) {
			case json.Number:
				n, err := strconv.ParseInt(v.String(), 10, 64)
				if err != nil {
					return condition{}, invalidPolicy("Invalid JSON.")
				}
				*bound = n
			case string:
				n, err := strconv.ParseInt(v, 10, 64)
				*bound, c.impossible = n, c.impossible || err != nil
			default:
				return condition{}, invalidPolicy("Invalid condition: bounds must be numbers: %s",
					raw)
			}
		}
		return c, nil
	}
	return condition{}, invalidPolicy("Invalid condition: unknown operation in %s", raw)
}

func parseSimpleCondition(raw json.RawMessage) (condition, error) {
	names, members, err := parseObject(raw)
	if err != nil {
		return condition{}, err
	}
	if len(names) != 1 {
		return condition{}, invalidPolicy(
			"Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
	}
	var value *string
	if err := json.Unmarshal(members[names[0]][0], &value); err != nil {
		return condition{}, invalidPolicy("Invalid Simple-Condition: value must be a string.")
	}
	if value == nil {
		return condition{}, invalidPolicy("Invalid JSON.")
	}
	c := condition{operator: "eq", field: "$" + names[0], value: *value}
	c.source = fmt.Sprintf(`["eq", "%s", "%s"]`, c.field, c.value)
	return c, nil
}

// check returns an error unless the form meets every condition and every field
// has a condition. The caller must add the bucket to the fields.
func (p *policy) check(fields map[string]string, size int64) error {
	if !time.Now().Before(p.expiration) {
		return violated("Policy expired.")
	}
	covered := make(map[string]bool)
	for _, c := range p.conditions {
		name, isField := strings.CutPrefix(strings.ToLower(c.field), "$")
		value, present := fields[name]
		switch {
		case c.operator == "content-length-range" && !c.impossible:
			continue
		case c.impossible || !isField || !present || !c.matches(name, value):
			return violated("Policy Condition failed: %s", c.source)
		}
		covered[name] = true
	}
	var extra []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		exempt := name == "policy" || name == "x-amz-signature" ||
			strings.HasPrefix(name, "x-ignore-")
		if !covered[name] && !exempt {
			extra = append(extra, name)
		}
	}
	if len(extra) > 0 {
		return violated("Extra input fields: %s", strings.Join(extra, ", "))
	}
	for _, c := range p.conditions {
		switch {
		case c.operator != "content-length-range":
		case size > c.max:
			return tooLarge(size, c.max)
		case size < c.min:
			return fail(http.StatusBadRequest, "EntityTooSmall",
				"Your proposed upload is smaller than the minimum allowed size",
				"ProposedSize", strconv.FormatInt(size, 10),
				"MinSizeAllowed", strconv.FormatInt(c.min, 10))
		}
	}
	return nil
}

func (c condition) matches(name, value string) bool {
	switch {
	case c.operator == "eq" && name == "key" && strings.Contains(c.value, "$$"):
		return false // AWS has confirmed this failure: https://github.com/boto/boto3/issues/4514
	case c.operator == "eq":
		return value == c.value
	case name == "content-type": // It is a list, and every item must match.
		for item := range strings.SplitSeq(value, ",") {
			if !strings.HasPrefix(strings.TrimSpace(item), c.value) {
				return false
			}
		}
		return true
	}
	return strings.HasPrefix(value, c.value)
}
