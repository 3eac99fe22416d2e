// Package companion serves the requests that Uppy sends to a Companion server
// about uploads to S3.
//
// It ignores unknown members, parameters and fields, so that an addition to
// Uppy does not break a service.
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

	"github.com/s3presign/presign/internal/multipart"
	"github.com/s3presign/presign/internal/s3limit"
	"github.com/s3presign/presign/internal/strict"
)

// maxBatch is the largest number of parts in one request.
const maxBatch = 100

// Metadata reads an object of JavaScript values. A number becomes its JSON
// text, and a boolean "true" or "false". Metadata leaves out null, empty
// strings, objects and arrays. Uppy sends null for a name that does not apply.
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

// Parts decodes the parts of a completion, in any order.
type Parts struct {
	list    strict.List
	all     []multipart.Part
	invalid error

	number *int64
	etag   string
}

// Member returns the target of the list.
func (p *Parts) Member() strict.Member {
	p.list = strict.List{Max: s3limit.Parts, Add: p.add, Members: []strict.Member{
		{Name: "PartNumber", Value: &p.number}, {Name: "ETag", Value: &p.etag},
	}}
	return strict.Member{Name: "parts", Value: &p.list}
}

func (p *Parts) add() {
	switch {
	case p.invalid != nil: // The rest is not kept.
	case p.number == nil || *p.number < 1 || *p.number > s3limit.Parts:
		p.invalid = fmt.Errorf("must have a PartNumber from 1 to %d in each part", s3limit.Parts)
	case p.etag == "":
		p.invalid = errors.New("must have an ETag in each part, as a string")
	default:
		if len(p.all) == cap(p.all) {
			// append would copy a long list more often.
			p.all = slices.Grow(p.all, max(8, len(p.all)))
		}
		p.all = append(p.all, multipart.Part{Number: int(*p.number), ETag: p.etag})
	}
	p.number, p.etag = nil, ""
}

// Sorted returns the parts that were decoded, by number.
func (p *Parts) Sorted() ([]multipart.Part, error) {
	switch {
	case !p.list.IsSet:
		return nil, errors.New("must be an array of objects")
	case p.list.TooLong:
		return nil, fmt.Errorf("must have at most %d parts", s3limit.Parts)
	case p.invalid != nil:
		return nil, p.invalid
	}
	slices.SortStableFunc(p.all, func(a, b multipart.Part) int { return a.Number - b.Number })
	for i := 1; i < len(p.all); i++ {
		if p.all[i].Number == p.all[i-1].Number {
			return nil, fmt.Errorf("must have each part once, got part %d twice", p.all[i].Number)
		}
	}
	return p.all, nil
}

// PartNumber reads the number of a part, which consists of digits alone.
func PartNumber(s string) (int, bool) {
	number, err := strconv.Atoi(s)
	return number, err == nil && number >= 1 && number <= s3limit.Parts && strconv.Itoa(number) == s
}

// PartNumbers reads a list such as "1,2,3".
func PartNumbers(list string) ([]int, error) {
	if n := strings.Count(list, ",") + 1; n > maxBatch {
		return nil, fmt.Errorf("must have at most %d numbers, got %d", maxBatch, n)
	}
	var numbers []int
	for s := range strings.SplitSeq(list, ",") {
		number, ok := PartNumber(s)
		if !ok {
			return nil, fmt.Errorf("must be numbers from 1 to %d with commas between them",
				s3limit.Parts)
		}
		numbers = append(numbers, number)
	}
	return numbers, nil
}
