package rules

import (
	"maps"
	"strings"

	"github.com/s3presign/presign/internal/s3limit"
)

// checkMetadata validates the metadata and changes its names to lower case, as
// S3 stores them. If listed is not nil, it must accept each name, and the
// number of names is limited.
func (c *check) checkMetadata(listed func(name string) bool) {
	metadata := c.upload.Metadata
	if len(metadata) == 0 {
		c.upload.Metadata = nil
		return
	}
	if most := max(len(c.rules.Metadata), metadataNames); listed != nil && len(metadata) > most {
		c.bound("metadata", CodeTooLarge, 0, int64(most), "must have at most %d names, got %d",
			most, len(metadata))
		return
	}
	accepted, cloned, size := metadata, false, 0
	for _, m := range Sorted(metadata) {
		name, value, lower := m.Name, m.Value, strings.ToLower(m.Name)
		size += len(name) + len(value)
		_, exists := accepted[lower]
		violate := func(code, detail string) {
			c.violate("metadata["+Excerpt(name)+"]", code, "%s", detail)
		}
		switch {
		case listed != nil && !listed(lower):
			violate(CodeNotAllowed, "must not be set: the policy does not list this name")
		case !isName(lower) || lower == StampName:
			violate(CodeInvalid,
				`must have a name of letters, digits, "-", "_" and ".", other than "presign"`)
		case exists && name != lower:
			violate(CodeInvalid, "must appear once, whatever its letter case")
		case value == "" || !isPrintable(value):
			violate(CodeInvalid,
				"must be printable ASCII without outer spaces; leave it out if it is empty")
		case name != lower:
			if !cloned {
				accepted, cloned = maps.Clone(accepted), true
			}
			delete(accepted, name)
			accepted[lower] = value
		}
	}
	if size > s3limit.MetadataSize {
		c.bound("metadata", CodeTooLarge, 0, s3limit.MetadataSize,
			"must have at most %d bytes, got %d", s3limit.MetadataSize, size)
	}
	c.upload.Metadata = accepted
}
