// Package companion reads what Uppy sends to a Companion server about uploads to S3.
//
// It is as lenient as Companion where clients differ from one another, and no more. Bodies have been checked as JSON,
// for duplicate names too, before they come here.
//
// See https://uppy.io/docs/companion/ and https://github.com/transloadit/uppy.
package companion

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/s3presign/presign/internal/s3limit"
)

// maxBatch is the largest number of parts in one request.
const maxBatch = 100

// Metadata reads an object whose values are what JavaScript has: a string is what it is, a number its digits, a boolean
// "true" or "false". A null, an empty string, an object or an array is left out; Uppy sends a null for a name that does
// not apply.
func Metadata(object json.RawMessage) (map[string]string, error) {
	if len(object) == 0 || string(object) == "null" {
		return nil, nil
	}
	var members map[string]json.RawMessage
	if object[0] != '{' || json.Unmarshal(object, &members) != nil {
		return nil, errors.New("must be an object")
	}
	metadata := make(map[string]string, len(members))
	for name, value := range members {
		switch value[0] {
		case '{', '[', 'n':
		case '"':
			var s string
			if err := json.Unmarshal(value, &s); err != nil {
				return nil, errors.New("must be an object")
			}
			if s != "" {
				metadata[name] = s
			}
		default:
			metadata[name] = string(value)
		}
	}
	return metadata, nil
}

// Part is a part as the client believes it to have arrived.
type Part struct {
	Number int
	ETag   string
}

// Parts reads the parts of a completion, in any order. Members beside PartNumber and ETag are ignored, in other letter
// case too: Uppy 4 sends the headers of the store's answer.
func Parts(array json.RawMessage) ([]Part, error) {
	var elements []json.RawMessage // which may be many more than are taken
	if len(array) == 0 || array[0] != '[' || json.Unmarshal(array, &elements) != nil {
		return nil, errors.New("must be an array of objects")
	}
	if len(elements) > s3limit.Parts {
		return nil, fmt.Errorf("has %d parts; an upload has at most %d", len(elements), s3limit.Parts)
	}
	parts := make([]Part, len(elements))
	for i, raw := range elements {
		var element map[string]json.RawMessage
		if json.Unmarshal(raw, &element) != nil {
			return nil, errors.New("must be an array of objects")
		}
		number, err := strconv.Atoi(string(element["PartNumber"]))
		if err != nil || number < 1 || number > s3limit.Parts {
			return nil, fmt.Errorf("must have a PartNumber from 1 to %d in each", s3limit.Parts)
		}
		var etag string
		if raw := element["ETag"]; len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &etag) != nil || etag == "" {
			return nil, errors.New("must have an ETag in each, which is a string")
		}
		parts[i] = Part{Number: number, ETag: etag}
	}
	slices.SortStableFunc(parts, func(a, b Part) int { return a.Number - b.Number })
	for i := 1; i < len(parts); i++ {
		if parts[i].Number == parts[i-1].Number {
			return nil, fmt.Errorf("has part %d twice", parts[i].Number)
		}
	}
	return parts, nil
}

// PartNumber reads the number of a part, in digits alone.
func PartNumber(s string) (int, bool) {
	number, err := strconv.Atoi(s)
	return number, err == nil && number >= 1 && number <= s3limit.Parts && strconv.Itoa(number) == s
}

// PartNumbers reads a list such as "1,2,3".
func PartNumbers(list string) ([]int, error) {
	if n := strings.Count(list, ",") + 1; n > maxBatch {
		return nil, fmt.Errorf("has %d numbers; at most %d are taken at once", n, maxBatch)
	}
	var numbers []int
	for s := range strings.SplitSeq(list, ",") {
		number, ok := PartNumber(s)
		if !ok {
			return nil, fmt.Errorf("must be numbers from 1 to %d with commas between them", s3limit.Parts)
		}
		numbers = append(numbers, number)
	}
	return numbers, nil
}
