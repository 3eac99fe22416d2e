package checkup

import (
	"runtime/debug"
	"slices"
	"time"

	"github.com/s3presign/presign/internal/profile"
)

// A Report describes everything that the doctor found. The flag -report prints
// it.
type Report struct {
	Bucket   string `json:"bucket"`
	Endpoint string `json:"endpoint"` // the host that grants are for
	Server   string `json:"server"`   // the Server header of the store, or empty
	Region   string `json:"region"`
	Prefix   string `json:"prefix"` // the prefix of the uploads, which were removed

	// Enforced reports whether the store enforces everything that the library
	// promises. If not, the exit status is 1.
	Enforced    bool         `json:"enforced"`
	Constraints []Constraint `json:"constraints"`
	Around      []Finding    `json:"around"`
	Paste       []Document   `json:"paste"` // the missing documents, to paste
}

// rows returns the names of the constraints with one of the verdicts.
func (r *Report) rows(verdicts ...Verdict) (names []string) {
	for _, c := range r.Constraints {
		if slices.Contains(verdicts, c.Verdict) {
			names = append(names, c.name())
		}
	}
	return names
}

// profile returns the profile for presign.WithProfile.
func (r *Report) profile(now time.Time) *profile.Profile {
	p := &profile.Profile{
		Format: profile.Format, Store: r.Server, Host: r.Endpoint, Bucket: r.Bucket,
		Doctor: version(),
		Date:   now.UTC().Format(time.DateOnly), Constraints: make(map[string]profile.Verdict),
	}
	for _, c := range r.Constraints {
		if c.Found != "" {
			p.Constraints[c.name()] = c.Found
		}
	}
	return p
}

// version returns the version of the doctor.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

func (c Constraint) name() string { return c.Kind + ": " + c.Constraint }

// A Constraint describes how the store treats one constraint of one kind of
// request.
type Constraint struct {
	Kind       string  `json:"kind"` // PUT, form, part, completion
	Constraint string  `json:"constraint"`
	Verdict    Verdict `json:"verdict"`
	// Found is the verdict in a profile, or empty if the profile has none.
	Found profile.Verdict `json:"found,omitempty"`

	// Responses are statuses and codes of the store, in the order of the cases:
	//   - the rejections of honest requests, if the store does not offer the
	//     constraint,
	//   - the responses to honest requests, for honest uploads and for
	//     constraints without cheats,
	//   - the responses to accepted cheats, if there are any, or
	//   - the rejections of cheats.
	Responses []string `json:"responses"`
	// Broken lists the cases in which the constraint was not kept, and how.
	Broken  []string `json:"broken,omitempty"`
	Unknown []string `json:"unknown,omitempty"` // the cases that could not be tried, and why
	Note    string   `json:"note,omitempty"`
	Instead string   `json:"instead,omitempty"` // advice if the store does not enforce the constraint
	Cases   []Case   `json:"cases"`
}

// A Verdict describes whether a store enforces a constraint.
type Verdict string

// The verdicts.
const (
	Enforced    Verdict = "enforced"
	NotEnforced Verdict = "not enforced"
	// MadeGood is the verdict if the store does not enforce a constraint, but
	// completion checks it.
	MadeGood Verdict = "by the library"
	// LikeAWS is the verdict if AWS does not enforce a constraint either, and
	// the library does not promise it.
	LikeAWS    Verdict = "as at AWS"
	NotOffered Verdict = "not offered" // the store rejects even honest uploads
	NotTried   Verdict = "not tried"   // the credentials have no session token
	// Unproven is the verdict if the cases do not show whether the store
	// enforces a constraint.
	Unproven Verdict = "unproven"
)

// A Case describes one request or completion that was tried.
type Case struct {
	Name     string `json:"name"`
	AWS      string `json:"aws"`                // status and code that AWS documents
	Rejected bool   `json:"rejected"`           // whether AWS rejects the case
	Response string `json:"response,omitempty"` // the status and code of this store
	Broken   string `json:"broken,omitempty"`   // how the constraint was not kept
	Error    string `json:"error,omitempty"`    // why the case could not be tried
	// Unverified describes which part of the response of AWS is not documented.
	Unverified string `json:"unverified,omitempty"`
}

// A Finding describes a requirement on a bucket other than the enforcement of
// grants.
type Finding struct {
	What   string `json:"what"`
	State  State  `json:"state"`
	Detail string `json:"detail,omitempty"`
	// Rights reports whether an IAM policy would meet the requirement.
	Rights bool `json:"rights,omitempty"`
}

// A State describes the result of a Finding.
type State string

// The states.
const (
	Good    State = "good"
	Missing State = "missing"
	Wrong   State = "wrong"
	Unknown State = "unknown"
	Info    State = "info"
)
