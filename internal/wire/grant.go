// Package wire holds the JSON of the native routes: it decodes requests and
// declares responses.
package wire

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/s3presign/presign/internal/checksum"
	"github.com/s3presign/presign/internal/httpbody"
	"github.com/s3presign/presign/internal/route"
	"github.com/s3presign/presign/internal/rules"
	"github.com/s3presign/presign/internal/s3limit"
	"github.com/s3presign/presign/internal/strict"
)

// MaxUploads is the largest number of uploads in one batch.
const MaxUploads = 100

// A GrantRequest holds the values that a client can send for an upload. It has
// no key, owner or redirect.
type GrantRequest struct {
	filename, mediaType, checksum, method string
	size, minSize, maxSize, expiresIn     *int64
	metadata                              map[string]string
}

// DecodeGrant reads the body of a request for one grant.
func DecodeGrant(c *route.Call) (*GrantRequest, error) {
	q := new(GrantRequest)
	return q, c.Body.DecodeEither(c.Request, q.members(), strict.RejectUnknown)
}

// DecodeBatch reads the body of a request for several grants.
func DecodeBatch(c *route.Call) ([]GrantRequest, error) {
	var q GrantRequest
	var uploads []GrantRequest
	list := strict.List{Max: MaxUploads, Members: q.members(), Add: func() {
		uploads = append(uploads, q)
		q = GrantRequest{}
	}}
	err := c.Body.Decode(c.Request, []strict.Member{{Name: "uploads", Value: &list}},
		strict.RejectUnknown)
	switch {
	case err != nil:
		return nil, err
	case len(uploads) == 0:
		return nil, httpbody.Missing("uploads", "must have at least one upload")
	case list.TooLong:
		return nil, tooLong("uploads", "uploads", MaxUploads)
	}
	return uploads, nil
}

// tooLong returns the Violation of a list with too many elements.
func tooLong(field, elements string, most int64) *rules.Violation {
	v := rules.Violate(field, rules.CodeTooLarge, "must have at most %d %s", most, elements)
	v.Max = most
	return v
}

// members returns the targets of the members of a request.
func (q *GrantRequest) members() []strict.Member {
	return []strict.Member{
		{Name: "filename", Value: &q.filename}, {Name: "type", Value: &q.mediaType},
		{Name: "size", Value: &q.size}, {Name: "min_size", Value: &q.minSize},
		{Name: "max_size", Value: &q.maxSize},
		{Name: "expires_in", Value: &q.expiresIn}, {Name: "checksum", Value: &q.checksum},
		{Name: "metadata", Value: &q.metadata}, {Name: "method", Value: &q.method},
	}
}

// Upload returns the upload that the client asks for, by one of methods, and
// the violations of values that an Upload cannot hold. Unless the client names
// a method, the upload is a PUT if its size is known, and otherwise a form.
func (q *GrantRequest) Upload(r *rules.Rules, methods []string) (rules.Upload, error) {
	var violations []error
	size := func(field string, n *int64) int64 {
		switch {
		case n == nil:
			return 0
		case *n <= 0:
			violations = append(violations, rules.SizeViolation(field, *n))
			return 0
		}
		return *n
	}
	u := rules.Upload{
		Filename: q.filename, Type: q.mediaType, Checksum: q.checksum, Metadata: q.metadata,
		Size: size("size", q.size), MinSize: size("min_size", q.minSize),
		MaxSize: size("max_size", q.maxSize),
	}
	if seconds := q.expiresIn; seconds != nil {
		if longest := int64(s3limit.Lifetime / time.Second); *seconds < 1 || *seconds > longest {
			v := rules.Violate("expires_in", rules.CodeInvalid,
				"must be between 1 and %d seconds, got %d", longest, *seconds)
			v.Min, v.Max = 1, longest
			violations = append(violations, v)
		} else {
			u.Lifetime = time.Duration(*seconds) * time.Second
		}
	}
	switch {
	case slices.Contains(methods, q.method):
		u.Method = q.method
	case q.method != "":
		v := rules.Violate("method", rules.CodeInvalid, `must be %s, got "%s"`,
			quoteList(methods), rules.Excerpt(q.method))
		v.Allowed = slices.Clone(methods)
		violations = append(violations, v)
	case u.Size != 0:
		u.Method = rules.PUT
	case len(violations) > 0: // The method cannot be chosen, because the size might be invalid.
	case r.Formless != "":
		violations = append(violations,
			rules.Violate("size", rules.CodeRequired,
				"must be set, since no form is possible: %s", r.Formless))
	default:
		u.Method = rules.POST
	}
	return u, errors.Join(violations...)
}

// quoteList returns names in quotes: "a", "b" or "c".
func quoteList(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = strconv.Quote(name)
	}
	last := len(quoted) - 1
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}

// Bounds is the response of GET /. It describes what may be uploaded.
type Bounds struct {
	Types     []string `json:"types"`
	MinSize   int64    `json:"min_size"`
	MaxSize   int64    `json:"max_size"`
	ExpiresIn int64    `json:"expires_in"`
	Checksum  string   `json:"checksum,omitempty"`
	Metadata  []string `json:"metadata"`
	Methods   []string `json:"methods"`
}

// NewBounds returns the bounds of rules.
func NewBounds(r *rules.Rules) *Bounds {
	b := &Bounds{
		Types: r.Types, MinSize: r.MinSize, MaxSize: r.MaxSize,
		ExpiresIn: int64(r.Lifetime / time.Second), Checksum: string(r.Checksum),
		Metadata: append([]string{}, r.Metadata...), Methods: []string{rules.PUT},
	}
	if r.Formless == "" {
		b.Methods = append(b.Methods, rules.POST)
	}
	if r.Checksum == "" || checksum.InMultipart(r.Checksum) {
		b.Methods = append(b.Methods, rules.Multipart)
	}
	return b
}

// Results is the response of POST /batch. It has a grant or a problem for each
// upload.
type Results []any

// AppendJSON implements [httpbody.Appender].
func (r Results) AppendJSON(b []byte) (_ []byte, err error) {
	b = append(b, `{"results":`...)
	separator := byte('[')
	for _, result := range r {
		b = append(b, separator)
		if b, err = httpbody.Append(b, result); err != nil {
			return nil, err
		}
		separator = ','
	}
	return append(b, "]}"...), nil
}
