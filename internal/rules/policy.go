// Package rules compiles a Policy and validates uploads against it.
package rules

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/s3presign/presign/internal/checksum"
	"github.com/s3presign/presign/internal/mediatype"
	"github.com/s3presign/presign/internal/objectheader"
	"github.com/s3presign/presign/internal/objectkey"
	"github.com/s3presign/presign/internal/s3limit"
)

// Limits of this library. Package s3limit has the limits of S3.
const (
	// OwnerSize is the largest size of an owner in bytes.
	OwnerSize = 128

	defaultLifetime = 15 * time.Minute

	// metadataNames is the largest number of names that a client may send,
	// unless the Policy lists more.
	metadataNames = 20

	// stampedSize is the largest total size in bytes of the values of the
	// headers that every stamp repeats.
	stampedSize = 256
)

// StampName is the name of the metadata that holds the stamp.
const StampName = "presign"

// A Policy describes what may be uploaded. It has the fields of presign.Policy.
type Policy struct {
	Prefix           string
	FinalPrefix      string
	Types            []string
	MinSize, MaxSize int64
	Lifetime         time.Duration
	Checksum         types.ChecksumAlgorithm
	Metadata         []string
	Headers          map[string]string
	UploadHeaders    map[string]string
	Replace          bool
}

// A Pair is a name with its value.
type Pair = struct{ Name, Value string }

// Rules are a Policy that has been checked, and values derived from the Policy.
// They are immutable.
type Rules struct {
	Policy
	Inline        bool   // Content-Disposition is "inline"
	Stamped       []Pair // the headers that S3 returns with the completed object, for the stamp
	CopyHeaders   []Pair // the headers of a published copy, sorted
	UploadHeaders []Pair // the headers of an upload as a PUT signs them, sorted
	ClientHeaders []Pair // the headers of an upload as a client sends them
	FormFields    []Pair // the headers of an upload as fields of a form

	ChecksumHeader string // the header for a checksum of Policy.Checksum
	Formless       string // the reason why no form can be granted, or empty
}

// Compile checks a policy and reports all faults at once. The Rules hold copies
// of the slices and maps of the policy.
func Compile(p Policy) (*Rules, error) {
	p.Types = slices.Clone(p.Types)
	p.Metadata = slices.Clone(p.Metadata)
	headers, uploadHeaders := p.Headers, p.UploadHeaders
	p.Headers, p.UploadHeaders = nil, nil
	c := compiler{rules: &Rules{Policy: p, ChecksumHeader: checksum.Header(string(p.Checksum))}}
	c.compilePrefixes()
	c.compileTypes()
	c.compileSizes()
	c.compileLifetime()
	c.compileChecksum()
	c.compileMetadata()
	c.compileHeaders(headers, uploadHeaders)
	return c.rules, errors.Join(c.faults...)
}

// A compiler sets the fields of Rules and collects the faults of their Policy.
type compiler struct {
	rules  *Rules
	faults []error
}

func (c *compiler) fault(field, format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf("presign: Policy."+field+" "+format, args...))
}

func (c *compiler) compilePrefixes() {
	c.checkPrefix("Prefix", c.rules.Prefix)
	if c.rules.FinalPrefix == "" {
		return
	}
	c.checkPrefix("FinalPrefix", c.rules.FinalPrefix)
	if strings.HasPrefix(c.rules.FinalPrefix, c.rules.Prefix) || strings.HasPrefix(c.rules.Prefix, c.rules.FinalPrefix) {
		c.fault("FinalPrefix", "must not overlap Prefix %q, where grants apply, got %q",
			c.rules.Prefix, c.rules.FinalPrefix)
	}
}

func (c *compiler) checkPrefix(field, prefix string) {
	switch {
	case prefix == "":
		c.fault(field, `must not be empty; set it to a prefix that ends in "/", such as "uploads/"`)
	case !strings.HasSuffix(prefix, "/"):
		c.fault(field, `must end in "/", got %q`, prefix)
	case strings.Contains(prefix, "$"):
		c.fault(field, `must not contain "$", which POST policies interpret, got %q`, prefix)
	default:
		if err := objectkey.CheckKey(prefix); err != nil {
			c.fault(field, "%w", err)
		}
	}
}

func (c *compiler) compileTypes() {
	r := c.rules
	if len(r.Types) == 0 {
		c.fault("Types", `must name the types that may be uploaded ("*/*" for any)`)
	}
	for i, t := range r.Types {
		pattern, err := mediatype.ParsePattern(t)
		if err != nil {
			c.fault("Types", "must hold media types, got %q: %w", t, err)
		}
		r.Types[i] = pattern
	}
}

func (c *compiler) compileSizes() {
	least, most := c.rules.MinSize, c.rules.MaxSize
	if least == 0 {
		c.rules.MinSize = 1
	}
	switch {
	case least < 0:
		c.fault("MinSize", "must not be negative, got %d", least)
	case most <= 0:
		c.fault("MaxSize", "must be at least 1 byte, got %d", most)
	case most > s3limit.ObjectSize:
		c.fault("MaxSize", "must be at most %d bytes, the largest object of S3, got %d",
			int64(s3limit.ObjectSize), most)
	case most < least:
		c.fault("MaxSize", "must not be less than MinSize, %d, got %d", least, most)
	}
}

func (c *compiler) compileLifetime() {
	switch lifetime := c.rules.Lifetime; {
	case lifetime == 0:
		c.rules.Lifetime = defaultLifetime
	case lifetime < time.Second || lifetime > s3limit.Lifetime:
		c.fault("Lifetime", "must be between 1s and %v (7 days), got %v",
			s3limit.Lifetime, lifetime)
	}
}

func (c *compiler) compileChecksum() {
	switch algorithm := c.rules.Checksum; {
	case algorithm == "":
	case checksum.Size(algorithm) == 0:
		c.fault("Checksum", "must be one of %s, got %q", list(checksum.Names()), algorithm)
	case !checksum.InForm(algorithm):
		c.rules.Formless = fmt.Sprintf("S3 accepts no %s checksum in a form", algorithm)
	}
}

func (c *compiler) compileMetadata() {
	names := c.rules.Metadata
	for i, name := range names {
		names[i] = strings.ToLower(name)
		switch {
		case !isName(name):
			c.fault("Metadata", `must hold names of letters, digits, "-", "_" and ".", got %q`,
				name)
		case strings.HasPrefix(names[i], "x-amz-meta-"):
			c.fault("Metadata", "must hold names without x-amz-meta-, got %q", name)
		case names[i] == StampName:
			c.fault("Metadata", "must not hold %q, the name of the stamp", name)
		case slices.Contains(names[:i], names[i]):
			c.fault("Metadata", "must hold each name once, got %q twice", name)
		}
	}
}

func (c *compiler) compileHeaders(headers, uploadHeaders map[string]string) {
	r := c.rules
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		value := headers[name]
		err := c.addHeader(name, value)
		if err == nil && (r.FinalPrefix == "" || !objectheader.OnCopyOnly(name, value)) {
			err = c.addUploadHeader(name, value)
		}
		if err != nil {
			c.fault("Headers", "must not hold %q: %w", name, err)
		}
	}
	if len(uploadHeaders) > 0 && r.FinalPrefix == "" {
		c.fault("UploadHeaders", "must be empty without FinalPrefix; set Headers")
	}
	for _, name := range slices.Sorted(maps.Keys(uploadHeaders)) {
		err := checkHeaderValue(uploadHeaders[name])
		if err == nil {
			err = c.addUploadHeader(name, uploadHeaders[name])
		}
		if err != nil {
			c.fault("UploadHeaders", "must not hold %q: %w", name, err)
		}
	}
	slices.SortFunc(r.CopyHeaders, ByName)
	slices.SortFunc(r.UploadHeaders, ByName)
	r.ClientHeaders = slices.Clone(r.UploadHeaders)
	for i, h := range r.ClientHeaders {
		if !strings.HasPrefix(h.Name, "x-amz-") {
			r.ClientHeaders[i].Name = http.CanonicalHeaderKey(h.Name)
		}
	}
	size := 0
	for _, h := range r.CopyHeaders {
		if objectheader.Returned(h.Name) {
			r.Stamped = append(r.Stamped, h)
			size += len(h.Value)
		}
	}
	if size > stampedSize {
		c.fault("Headers",
			"must have at most %d bytes in the headers that every stamp repeats (%s), got %d",
			stampedSize, list(objectheader.AllReturned()), size)
	}
}

func checkHeaderValue(value string) error {
	if value == "" || !isPrintable(value) {
		return errors.New("its value must be printable ASCII without outer spaces")
	}
	return nil
}

// addHeader adds an entry of Policy.Headers to the headers of a published copy.
func (c *compiler) addHeader(name, value string) error {
	r := c.rules
	if strings.EqualFold(name, "Content-Disposition") {
		if value != "attachment" && value != "inline" {
			return fmt.Errorf(`its value must be "attachment" or "inline", `+
				`to which the file name is added, got %q`, value)
		}
		r.Inline = value == "inline"
		return nil
	}
	if err := checkHeaderValue(value); err != nil {
		return err
	}
	if err := objectheader.Check(name, value); err != nil {
		return err
	}
	lower := strings.ToLower(name)
	if hasName(r.CopyHeaders, lower) {
		return errors.New("it must appear once, whatever its letter case")
	}
	r.CopyHeaders = append(r.CopyHeaders, Pair{Name: lower, Value: value})
	return nil
}

// addUploadHeader adds a header to the upload.
func (c *compiler) addUploadHeader(name, value string) error {
	r := c.rules
	if strings.EqualFold(name, "Content-Disposition") {
		return nil // Every upload has a Content-Disposition with its file name.
	}
	if err := objectheader.Check(name, value); err != nil {
		return err
	}
	field, formValue, err := objectheader.FormField(name, value)
	if err != nil {
		return err
	}
	lower := strings.ToLower(name)
	if hasName(r.UploadHeaders, lower) {
		return errors.New(
			"it must appear once, in Headers or UploadHeaders, whatever its letter case")
	}
	r.UploadHeaders = append(r.UploadHeaders, Pair{Name: lower, Value: value})
	r.FormFields = append(r.FormFields, Pair{Name: field, Value: formValue})
	switch {
	case field == "":
		r.Formless = fmt.Sprintf("S3 documents no form field for the header %s", name)
	case strings.Contains(formValue, "$"):
		r.Formless = fmt.Sprintf("a form cannot hold the dollar sign in the header %s", name)
	}
	return nil
}

func hasName(headers []Pair, name string) bool {
	return slices.ContainsFunc(headers, func(h Pair) bool { return h.Name == name })
}

// UploadInline reports whether the upload itself, rather than only its
// published copy, has the Content-Disposition "inline".
func (r *Rules) UploadInline() bool { return r.Inline && r.FinalPrefix == "" }

// WithoutForms returns r with another reason why no form can be granted. It
// returns r itself if the reason is empty.
func (r *Rules) WithoutForms(reason string) *Rules {
	if reason == "" {
		return r
	}
	changed := *r
	changed.Formless = reason
	return &changed
}

// ByName compares pairs by name.
func ByName(a, b Pair) int { return strings.Compare(a.Name, b.Name) }

// Sorted returns the entries of m in the order of their names.
func Sorted(m map[string]string) []Pair {
	if len(m) == 0 {
		return nil
	}
	pairs := make([]Pair, 0, len(m))
	for name, value := range m {
		pairs = append(pairs, Pair{Name: name, Value: value})
	}
	slices.SortFunc(pairs, ByName)
	return pairs
}

func isName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' ||
			c == '_' || c == '.')
	})
}

// isPrintable reports whether s can be the value of a header and reaches S3
// unchanged.
func isPrintable(s string) bool {
	return strings.Trim(s, " ") == s && !strings.ContainsFunc(s, func(c rune) bool {
		return c < ' ' || c > '~'
	})
}
