package profile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/s3presign/presign/internal/strict"
)

// Format is the number of the format that Parse reads. It changes if the
// meaning of a member or constraint changes.
const Format = 1

// A Profile records which constraints one store enforces on one bucket. It is
// unknown whether the store enforces a constraint that is not in the Profile.
type Profile struct {
	Format int    `json:"format"`
	Store  string `json:"store,omitempty"` // a name for people, such as "Ceph radosgw 16.2"
	Host   string `json:"host"`            // the host of the endpoint for which grants are signed
	Bucket string `json:"bucket"`
	Doctor string `json:"doctor"` // the version that examined the store
	Date   string `json:"date"`   // the date of the examination, YYYY-MM-DD

	// Constraints maps names, such as "PUT: exact size", to verdicts.
	Constraints map[string]Verdict `json:"constraints"`
	// Facts are for people only. FactNames lists their names.
	Facts map[string]string `json:"facts,omitempty"`
}

// A Verdict states whether a store enforces a constraint.
type Verdict string

// The verdicts.
const (
	Enforced    Verdict = "enforced"
	NotEnforced Verdict = "not enforced"
	NotOffered  Verdict = "not offered" // The store rejects even honest requests.
)

// FactNames lists the names that Profile.Facts may have, in the order of the
// doctor's table.
func FactNames() []string {
	return []string{
		"abort rule", "stale uploads", "metadata after a restart", "CORS", "region", "tags by form",
		"STS", "longest key segment",
	}
}

// Encode returns the profile as JSON that Parse reads.
func (p *Profile) Encode() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(p)
	return b.Bytes(), err
}

// Parse parses a profile. It rejects other formats, unknown and duplicate
// members, unknown constraints and verdicts.
func Parse(document []byte) (*Profile, error) {
	var format *int64
	var constraints, facts map[string]string
	p := new(Profile)
	err := strict.Object(document, []strict.Member{
		{Name: "format", Value: &format}, {Name: "store", Value: &p.Store},
		{Name: "host", Value: &p.Host},
		{Name: "bucket", Value: &p.Bucket}, {Name: "doctor", Value: &p.Doctor},
		{Name: "date", Value: &p.Date},
		{Name: "constraints", Value: &constraints}, {Name: "facts", Value: &facts},
	}, strict.RejectUnknown)
	switch {
	case format != nil && *format != Format: // Other formats have other members.
		return nil, fmt.Errorf("format must be %d, got %d; run the doctor again", Format, *format)
	case err != nil:
		return nil, err
	case format == nil:
		return nil, errors.New("format must be set")
	}
	p.Format = Format
	if len(facts) > 0 {
		p.Facts = facts
	}
	p.Constraints = make(map[string]Verdict, len(constraints))
	for name, verdict := range constraints {
		p.Constraints[name] = Verdict(verdict)
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, nil
}

// check reports the faults of a profile.
func (p *Profile) check() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf(format, args...))
	}
	if p.Format != Format {
		fault("format must be %d, got %d", Format, p.Format)
	}
	for _, required := range []struct{ name, value string }{
		{"host", p.Host}, {"bucket", p.Bucket}, {"doctor", p.Doctor},
	} {
		if required.value == "" || strings.TrimSpace(required.value) != required.value {
			fault("%s must be set, without surrounding spaces, got %q",
				required.name, required.value)
		}
	}
	if _, err := time.Parse(time.DateOnly, p.Date); err != nil {
		fault("date must be YYYY-MM-DD, got %q", p.Date)
	}
	if len(p.Constraints) == 0 {
		fault("constraints must not be empty")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Constraints)) {
		if _, known := constraints[name]; !known {
			fault("constraints must not have %q, which is not a constraint of this version", name)
		}
		switch verdict := p.Constraints[name]; verdict {
		case Enforced, NotEnforced, NotOffered:
		default:
			fault("the verdict of %q must be %q, %q or %q, got %q", name, Enforced, NotEnforced, NotOffered, verdict)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Facts)) {
		if !slices.Contains(FactNames(), name) {
			fault("facts must not have %q; the names are %s", name, strings.Join(FactNames(), ", "))
		}
	}
	return errors.Join(faults...)
}

// CheckBucket returns an error unless the profile is for a bucket at a host.
func (p *Profile) CheckBucket(host, bucket string) error {
	if !strings.EqualFold(p.Host, host) || p.Bucket != bucket {
		return fmt.Errorf("host and bucket must be %q and %q, as in the Signer, got %q and %q",
			host, bucket, p.Host, p.Bucket)
	}
	return nil
}
