package wire

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/s3presign/presign/internal/httpbody"
	"github.com/s3presign/presign/internal/multipart"
	"github.com/s3presign/presign/internal/route"
	"github.com/s3presign/presign/internal/rules"
	"github.com/s3presign/presign/internal/s3limit"
	"github.com/s3presign/presign/internal/strict"
)

// MaxSigned is the largest number of parts that are signed at once. Their URLs
// have up to two kilobytes each.
const MaxSigned = 1000

// DecodeID reads a body that names a multipart upload.
func DecodeID(c *route.Call) (id string, err error) {
	members := []strict.Member{{Name: "id", Value: &id}}
	if err := c.Body.Decode(c.Request, members, strict.RejectUnknown); err != nil {
		return "", err
	}
	return id, requireID(id)
}

func requireID(id string) error {
	if id == "" {
		return httpbody.Missing("id", "must be set")
	}
	return nil
}

// A partList decodes a list of parts.
type partList struct {
	strict.List
	all []multipart.Part

	violations     []error
	number, size   *int64
	etag, checksum string
}

// newParts returns an empty list of parts. Its limit is most, and its parts can
// have ETags if etags is set.
func newParts(most int, etags bool) *partList {
	p := &partList{}
	p.List = strict.List{Max: most, Add: p.add, Members: []strict.Member{
		{Name: "number", Value: &p.number}, {Name: "size", Value: &p.size},
		{Name: "checksum", Value: &p.checksum},
	}}
	if etags {
		p.Members = append(p.Members, strict.Member{Name: "etag", Value: &p.etag})
	}
	return p
}

// add adds the part that was decoded, and its violations.
func (p *partList) add() {
	part := multipart.Part{ETag: p.etag, Checksum: p.checksum}
	switch {
	case p.number == nil:
		p.violate("number", func(field string) *rules.Violation {
			return rules.Violate(field, rules.CodeRequired, "must be set")
		})
	case *p.number < 1 || *p.number > s3limit.Parts:
		number := *p.number
		p.violate("number", func(field string) *rules.Violation {
			v := rules.Violate(field, rules.CodeInvalid, "must be between 1 and %d, got %d",
				s3limit.Parts, number)
			v.Min, v.Max = 1, s3limit.Parts
			return v
		})
	default:
		part.Number = int(*p.number)
	}
	if p.size != nil {
		if part.Size = *p.size; part.Size <= 0 {
			p.violate("size", func(field string) *rules.Violation {
				return rules.SizeViolation(field, part.Size)
			})
		}
	}
	if len(p.all) == cap(p.all) {
		// append would copy a long list more often.
		p.all = slices.Grow(p.all, max(8, len(p.all)))
	}
	p.all = append(p.all, part)
	p.number, p.size, p.etag, p.checksum = nil, nil, "", ""
}

// violate adds a violation of a member of the current part, unless there are
// already many.
func (p *partList) violate(member string, violation func(field string) *rules.Violation) {
	const most = 20
	if len(p.violations) < most {
		p.violations = append(p.violations,
			violation(fmt.Sprintf("parts[%d][%s]", len(p.all), member)))
	}
}

// validate returns the violations of the list.
func (p *partList) validate() error {
	switch {
	case p.TooLong:
		return tooLong("parts", "parts", int64(p.Max))
	case len(p.all) == 0:
		return rules.Violate("parts", rules.CodeRequired, "must have at least one part")
	}
	return errors.Join(p.violations...)
}

// DecodeSign reads the body of a request for the URLs of parts.
func DecodeSign(c *route.Call) (id string, _ []multipart.Part, err error) {
	var first, last *int64
	named := newParts(MaxSigned, false)
	err = c.Body.Decode(c.Request, []strict.Member{
		{Name: "id", Value: &id}, {Name: "first", Value: &first}, {Name: "last", Value: &last},
		{Name: "parts", Value: &named.List},
	}, strict.RejectUnknown)
	if err = cmp.Or(err, requireID(id)); err != nil {
		return "", nil, err
	}
	switch {
	case named.IsSet && (first != nil || last != nil):
		return "", nil, httpbody.Invalid("parts", "must not be set beside first and last")
	case named.IsSet:
		return id, named.all, named.validate()
	case first == nil:
		return "", nil, httpbody.Missing("first", "must be set, unless parts is")
	case last == nil:
		return "", nil, httpbody.Missing("last", "must be set, unless parts is")
	}
	numbers, err := numbersBetween(*first, *last)
	return id, numbers, err
}

// numbersBetween returns the parts from first to last, inclusive.
func numbersBetween(first, last int64) ([]multipart.Part, error) {
	if first < 1 || first > s3limit.Parts {
		v := rules.Violate("first", rules.CodeInvalid, "must be between 1 and %d, got %d",
			s3limit.Parts, first)
		v.Min, v.Max = 1, s3limit.Parts
		return nil, v
	}
	if most := min(s3limit.Parts, first+MaxSigned-1); last < first || last > most {
		v := rules.Violate("last", rules.CodeInvalid, "must be between %d and %d, got %d",
			first, most, last)
		v.Min, v.Max = first, most
		return nil, v
	}
	parts := make([]multipart.Part, 0, last-first+1)
	for number := first; number <= last; number++ {
		parts = append(parts, multipart.Part{Number: int(number)})
	}
	return parts, nil
}

// A CompleteRequest names an upload by its key, or a multipart upload by its ID
// and possibly its parts.
type CompleteRequest struct {
	Key, ID string
	Parts   []multipart.Part // if empty, all parts that have arrived
}

// DecodeComplete reads the body of a request to complete an upload.
func DecodeComplete(c *route.Call) (*CompleteRequest, error) {
	q, named := new(CompleteRequest), newParts(s3limit.Parts, true)
	err := c.Body.Decode(c.Request, []strict.Member{
		{Name: "key", Value: &q.Key}, {Name: "id", Value: &q.ID},
		{Name: "parts", Value: &named.List},
	}, strict.RejectUnknown)
	switch {
	case err != nil:
		return nil, err
	case q.Key == "" && q.ID == "":
		return nil, httpbody.Missing("key", "must be set, unless id is")
	case q.Key != "" && q.ID != "":
		return nil, httpbody.Invalid("id", "must not be set beside key")
	case !named.IsSet:
		return q, nil
	case q.ID == "":
		return nil, httpbody.Invalid("parts", "must not be set beside key")
	}
	q.Parts = named.all
	return q, named.validate()
}

// Multipart is the response of POST / for a multipart upload.
type Multipart struct {
	Method    string    `json:"method"`
	ID        string    `json:"id"`
	Key       string    `json:"key"`
	PartSize  int64     `json:"part_size"`
	GrantID   string    `json:"grant_id"`
	Expires   time.Time `json:"expires_at"`
	ExpiresIn int64     `json:"expires_in"`
}

// NewMultipart returns the response for an upload that has just started.
func NewMultipart(m *multipart.Upload) *Multipart {
	return &Multipart{
		Method: rules.Multipart, ID: m.ID, Key: m.Key, PartSize: m.PartSize, GrantID: m.GrantID,
		Expires: m.Expires, ExpiresIn: SecondsUntil(m.Expires),
	}
}

// SignedParts is the response of POST /parts/sign. It has a URL for each part,
// in order.
type SignedParts struct {
	URLs      []string  `json:"urls"`
	Expires   time.Time `json:"expires_at"`
	ExpiresIn int64     `json:"expires_in"`
}

// NewSignedParts returns the response for parts that were just signed.
func NewSignedParts(urls []string, expires time.Time) *SignedParts {
	return &SignedParts{URLs: urls, Expires: expires, ExpiresIn: SecondsUntil(expires)}
}

// SecondsUntil returns the number of whole seconds until t, or 0 after it.
func SecondsUntil(t time.Time) int64 { return max(0, int64(time.Until(t)/time.Second)) }

// ListedParts is the response of POST /parts/list.
type ListedParts struct {
	Parts []Part `json:"parts"`
}

// A Part is a part that the store has.
type Part struct {
	Number   int    `json:"number"`
	Size     int64  `json:"size"`
	ETag     string `json:"etag"`
	Checksum string `json:"checksum,omitempty"`
}

// NewListedParts returns the response for parts that the store has.
func NewListedParts(stored []multipart.Part) *ListedParts {
	listed := &ListedParts{Parts: make([]Part, len(stored))}
	for i, p := range stored {
		listed.Parts[i] = Part{Number: p.Number, Size: p.Size, ETag: p.ETag, Checksum: p.Checksum}
	}
	return listed
}
