package profile

import (
	"fmt"
	"slices"
	"strings"
)

// Needs describes the features of a store on which a Signer relies.
type Needs struct {
	Forms       bool     // the Signer may grant forms
	Large       bool     // the Signer may grant files that are too large for one PUT
	FinalPrefix bool     // completion publishes copies
	Replace     bool     // uploads may replace objects
	TwoRoles    bool     // the credentials that sign do nothing else
	Checksum    string   // the algorithm, such as "SHA256", or empty
	Headers     []string // the headers of uploads, in lower case
	CopyHeaders []string // the headers of published copies, in lower case
}

// Check returns an error for each constraint that the needs rely on and that
// the store does not enforce. Each error names the constraint and what to do
// instead.
func (p *Profile) Check(n Needs) (faults []error) {
	for _, name := range Names() {
		verdict, known := p.Constraints[name]
		if !known || verdict == Enforced || !constraints[name].rejects(n, verdict) {
			continue
		}
		found := "the store does not enforce"
		if verdict == NotOffered {
			found = "the store does not offer"
		}
		faults = append(faults, fmt.Errorf("%s %q; %s", found, name, WayOut(name, verdict)))
	}
	return faults
}

// BareParts is the name of the constraint that a store accepts parts without
// their own checksum in an upload that started with a checksum algorithm.
const BareParts = "part: parts without their own checksum"

// RejectsBareParts reports whether the store is known to reject parts without
// their own checksum, either when they are sent or when they are joined.
func (p *Profile) RejectsBareParts() bool {
	verdict, known := p.Constraints[BareParts]
	return known && verdict != Enforced
}

// A constraint describes when a Signer relies on a constraint of a store, and
// how to do without it.
type constraint struct {
	// needed reports whether the constraint must be enforced. It is nil if the
	// constraint is never needed.
	needed func(Needs) bool

	// offered reports whether the store must offer the constraint. If it is
	// nil, needed is used.
	offered func(Needs) bool

	instead string // the advice if the constraint is not enforced
	lacking string // the advice if the constraint is not offered; instead if empty
}

func (c constraint) rejects(n Needs, verdict Verdict) bool {
	needed := c.needed
	if verdict == NotOffered && c.offered != nil {
		needed = c.offered
	}
	return needed != nil && needed(n)
}

// WayOut returns the advice for a store that does not enforce or offer a
// constraint.
func WayOut(name string, verdict Verdict) string {
	c := constraints[name]
	if verdict == NotOffered && c.lacking != "" {
		return c.lacking
	}
	return c.instead
}

// Names returns the names of all constraints by kind, in the order of the
// doctor's table.
func Names() []string {
	var names []string
	for _, kind := range kinds() {
		for _, row := range kind.rows {
			names = append(names, kind.name+": "+row.name)
		}
	}
	return names
}

// constraints holds the constraints by their names.
var constraints = func() map[string]constraint {
	all := make(map[string]constraint)
	for _, kind := range kinds() {
		for _, row := range kind.rows {
			all[kind.name+": "+row.name] = row.constraint
		}
	}
	return all
}()

type (
	row struct {
		name string
		constraint
	}
	kind struct {
		name string
		rows []row
	}
)

func always(Needs) bool    { return true }
func forms(n Needs) bool   { return n.Forms }
func large(n Needs) bool   { return n.Large }
func tags(n Needs) bool    { return slices.Contains(n.Headers, tagging) }
func oneRole(n Needs) bool { return !n.TwoRoles }

// once reports whether objects must not be replaced under the key of the
// upload.
func once(n Needs) bool { return !n.Replace && !n.FinalPrefix }

func conditional(n Needs) bool { return !n.Replace }

// anyTags reports whether uploads or published copies have tags.
func anyTags(n Needs) bool { return tags(n) || slices.Contains(n.CopyHeaders, tagging) }

const tagging = "x-amz-tagging"

// headers reports whether the Policy sets headers other than tags that a store
// might lose, and no published copy gets them again.
func headers(n Needs) bool {
	for _, name := range n.Headers {
		if name != tagging {
			return !n.FinalPrefix
		}
	}
	return false
}

func checksum(algorithm string) func(Needs) bool {
	return func(n Needs) bool { return strings.EqualFold(n.Checksum, algorithm) }
}

func both(a, b func(Needs) bool) func(Needs) bool {
	return func(n Needs) bool { return a(n) && b(n) }
}

const (
	otherStore   = "do not use this store for grants"
	withoutForms = "use WithoutForms: grant PUTs only"
	noChecksum   = "leave Policy.Checksum empty, and compute a digest of the published object " +
		"in WithOnComplete"
	tagLater     = "remove x-amz-tagging from Policy.Headers, and tag objects in WithOnComplete"
	serveHeaders = "remove the headers from Policy.Headers and set them when the files are " +
		"served, or set Policy.FinalPrefix, because a published copy has them again"
	finalPrefix = "set Policy.FinalPrefix, which no grant reaches"
	useReplace  = "set Policy.Replace, because the store rejects If-None-Match"
	twoRoles    = "use WithStore: sign with a role that may put objects under Policy.Prefix " +
		"and nothing else"
	comparison = "completion compares the copy with the verified upload"
	smallFiles = "lower Policy.MaxSize to 5 GiB, so that no file needs a multipart upload"
	startAgain = "clients must start a new multipart upload if a part failed halfway"
	bareParts  = "sign parts with their checksums (SignPart, or POST /parts/sign with parts). " +
		"Clients that send parts without a checksum, such as Uppy, need an empty " +
		"Policy.Checksum; with this profile, signing such a part is an error"
)

// putChecksums, formChecksums and partChecksums list the algorithms of the
// profile.
var (
	putChecksums  = []string{"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"}
	formChecksums = []string{"CRC32", "CRC32C", "SHA1", "SHA256"}
	partChecksums = []string{"CRC32", "CRC32C", "CRC64NVME"}
)

// kinds returns the constraints of each kind of request.
func kinds() []kind {
	return []kind{
		{"PUT", puts()}, {"form", postForms()}, {"part", parts()}, {"completion", completions()},
	}
}

func puts() []row {
	rows := []row{
		{"an honest upload", constraint{always, nil, otherStore, ""}},
		{"exact key", constraint{always, nil, otherStore, ""}},
		{"type", constraint{always, nil, otherStore, ""}},
		{"file name", constraint{always, nil, otherStore, ""}},
		{"exact size", constraint{always, nil, otherStore, ""}},
	}
	for _, algorithm := range putChecksums {
		rows = append(rows,
			row{"checksum " + algorithm, constraint{checksum(algorithm), nil, noChecksum, ""}})
	}
	return append(rows, []row{
		{"metadata", constraint{always, nil, otherStore, ""}}, // The stamp is metadata.
		{"headers of the policy", constraint{headers, nil, serveHeaders, ""}},
		{"tags", constraint{anyTags, nil, tagLater, ""}},
		{"write once", constraint{once, conditional, finalPrefix, useReplace}},
		{"no unsigned x-amz-* header", constraint{oneRole, nil, twoRoles, ""}},
		{"no unsigned x-amz-copy-source", constraint{oneRole, nil, twoRoles, ""}},
		{"headers that need no signature", constraint{}},
		{"expiry", constraint{always, nil, otherStore, ""}},
		{"signature", constraint{always, nil, otherStore, ""}},
		{"method", constraint{always, nil, otherStore, ""}},
		{"session token", constraint{always, never, otherStore, ""}},
	}...)
}

func never(Needs) bool { return false }

func postForms() []row {
	rows := []row{{"an honest upload", constraint{forms, nil, withoutForms, ""}}}
	for _, name := range []string{"exact key", "type", "file name", "exact size", "size range"} {
		rows = append(rows, row{name, constraint{forms, nil, withoutForms, ""}})
	}
	for _, algorithm := range formChecksums {
		rows = append(rows, row{"checksum " + algorithm,
			constraint{both(forms, checksum(algorithm)), nil, withoutForms, ""}})
	}
	rows = append(rows,
		row{"metadata", constraint{forms, nil, withoutForms, ""}},
		row{"headers of the policy", constraint{both(forms, headers), nil, withoutForms, ""}},
		row{"tags", constraint{both(forms, tags), nil, withoutForms, ""}})
	for _, name := range []string{
		"redirect", "no further field", "no unsigned x-amz-* header",
		"no unsigned x-amz-copy-source", "expiry",
		"signature and policy", "method",
	} {
		rows = append(rows, row{name, constraint{forms, nil, withoutForms, ""}})
	}
	return append(rows, row{"session token", constraint{forms, never, withoutForms, ""}})
}

func parts() []row {
	rows := []row{{"an honest upload", constraint{large, nil, smallFiles, ""}}}
	for _, name := range []string{"exact key", "exact size", "part number and upload"} {
		rows = append(rows, row{name, constraint{always, large, otherStore, smallFiles}})
	}
	for _, algorithm := range partChecksums {
		rows = append(rows, row{"checksum " + algorithm,
			constraint{checksum(algorithm), both(large, checksum(algorithm)), noChecksum, ""}})
	}
	return append(rows, []row{
		{"parts without their own checksum", constraint{nil, nil, bareParts, ""}},
		{"a part sent again", constraint{nil, nil, startAgain, ""}},
		{"headers of the policy", constraint{headers, both(large, headers), serveHeaders, ""}},
		{"tags", constraint{tags, both(large, tags), tagLater, ""}},
		{"no unsigned x-amz-* header", constraint{oneRole, never, twoRoles, ""}},
		{"no unsigned x-amz-copy-source", constraint{oneRole, never, twoRoles, ""}},
		{"expiry", constraint{always, never, otherStore, ""}},
		{"no part after the end", constraint{func(n Needs) bool { return !n.FinalPrefix }, never, finalPrefix, ""}},
		{"signature", constraint{always, never, otherStore, ""}},
		{"method", constraint{always, never, otherStore, ""}},
		{"session token", constraint{always, never, otherStore, ""}},
	}...)
}

func completions() []row {
	return []row{
		{"object size", constraint{nil, nil, "completion adds up the parts before, and checks the size of the object afterwards", ""}},
		{"parts as they arrived", constraint{nil, nil, "completion compares the object with the parts that it listed", ""}},
		{"checksum CRC32C", constraint{both(large, checksum("CRC32C")), nil, noChecksum, ""}},
		{"write once on completion", constraint{once, both(large, conditional), finalPrefix, useReplace}},
		{"write once on copy", constraint{nil, nil, comparison + "; of two uploads to one key that are published at once, one might be lost", ""}},
		{"pinned copy", constraint{nil, nil, comparison, ""}},
		{"pinned copy of joined parts", constraint{nil, nil, comparison, ""}},
		{"pinned read", constraint{nil, nil, "completion compares the ETag and the size of the object that it read", ""}},
		{"pinned delete", constraint{nil, nil, "an upload that has replaced another upload meanwhile might be deleted, but published objects are not", ""}},
		{"pinned delete of joined parts", constraint{nil, nil, "completion compares the object, and deletes it without the condition", ""}},
	}
}
