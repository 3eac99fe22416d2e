package checkup

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/profile"
	"github.com/s3presign/presign/internal/test/conformance"
)

// judge returns the verdict on each constraint, in the order of the cases.
func judge(results []conformance.Result) (rows []Constraint) {
	always := lostByHonest(results)
	constraintOf := func(r conformance.Result) string {
		return string(r.Case.Kind) + " " + string(r.Case.Constraint)
	}
	for len(results) > 0 {
		n := 1
		for n < len(results) && constraintOf(results[n]) == constraintOf(results[0]) {
			n++
		}
		rows = append(rows, verdict(results[:n], always[results[0].Case.Kind]))
		results = results[n:]
	}
	// If honest uploads are not stored as granted, accepted requests prove
	// nothing.
	for _, honest := range rows {
		if honest.Constraint != string(conformance.Honest) || honest.Verdict != NotEnforced {
			continue
		}
		for i, c := range rows {
			rejected := slices.ContainsFunc(c.Cases, func(c Case) bool { return c.Rejected })
			if c.Kind == honest.Kind && c.Verdict == Enforced && !rejected {
				rows[i].Verdict, rows[i].Found = Unproven, ""
			}
		}
	}
	markDeniedForms(rows)
	// If not even an honest upload is accepted, rejections prove nothing.
	for _, honest := range rows {
		if honest.Constraint != string(conformance.Honest) || honest.Verdict != NotOffered {
			continue
		}
		for i, c := range rows {
			if c.Kind == honest.Kind && c.Constraint != honest.Constraint {
				rows[i] = Constraint{
					Kind: c.Kind, Constraint: c.Constraint, Verdict: NotOffered,
					Found:     profile.NotOffered,
					Responses: honest.Responses, Cases: c.Cases,
				}
			}
		}
	}
	dropAdvice(rows)
	return rows
}

// markDeniedForms marks the constraints of forms as unproven if the signing role
// has no right to honest forms. The store then rejects a wrong signature with
// another code. A store that does not offer forms returns AccessDenied for both.
func markDeniedForms(rows []Constraint) {
	honest := slices.IndexFunc(rows, func(c Constraint) bool {
		return c.Kind == string(conformance.Form) && c.Constraint == string(conformance.Honest)
	})
	verifies := slices.ContainsFunc(rows, func(c Constraint) bool {
		return c.Kind == string(conformance.Form) && c.Constraint == string(conformance.Policy) &&
			slices.ContainsFunc(c.Responses, func(r string) bool { return !isDenied(r) })
	})
	if honest < 0 || rows[honest].Verdict != NotOffered || !verifies ||
		!slices.ContainsFunc(rows[honest].Responses, isDenied) {
		return
	}
	responses := rows[honest].Responses
	for i, c := range rows {
		if c.Kind == string(conformance.Form) {
			rows[i] = Constraint{
				Kind: c.Kind, Constraint: c.Constraint, Verdict: Unproven, Responses: responses,
				Cases: c.Cases,
			}
		}
	}
	rows[honest].Note = "the signing role may not send honest uploads"
	rows[honest].Instead = "allow the signing role to send forms, or use WithoutForms " +
		"(-without-forms): a condition on s3:authType must list POST, and some stores accept forms " +
		"only from roles with rights to the whole bucket"
}

func isDenied(response string) bool { return strings.HasSuffix(response, " AccessDenied") }

// dropAdvice removes the remedy for parts without checksums if the store does
// not verify checksums of parts.
func dropAdvice(rows []Constraint) {
	bare := slices.IndexFunc(rows, func(c Constraint) bool {
		return c.Constraint == string(conformance.BareParts)
	})
	verified := slices.ContainsFunc(rows, func(c Constraint) bool {
		return c.Kind == string(conformance.PartURL) &&
			c.Constraint == string(conformance.ChecksumBy("CRC32C")) && c.Verdict == Enforced
	})
	if bare >= 0 && !verified {
		rows[bare].Instead = ""
	}
}

// lostByHonest returns the headers that the store loses from honest uploads, by
// kind. A cheat does not gain anything if the store loses one of these headers.
func lostByHonest(results []conformance.Result) map[conformance.Kind][]string {
	lost := make(map[conformance.Kind][]string)
	for _, r := range results {
		if r.Case.Constraint == conformance.Honest && r.Case.Do == nil {
			lost[r.Case.Kind] = append(lost[r.Case.Kind], r.Lost...)
		}
	}
	return lost
}

// An evidence collects the results of the cases of one constraint.
type evidence struct {
	// responses to rejected cheats, to accepted cheats, and to honest requests
	cheatRejections, acceptances, honest responses
	rejections                           responses // rejections of honest requests
	// failures of completion after accepted honest requests
	failed responses
	lost   responses // headers that the store lost from uploads
	// numbers of cases, and of honest cases that were rejected
	tried, rejected int
}

// verdict returns the verdict on one constraint.
func verdict(results []conformance.Result, alwaysLost []string) Constraint {
	first := results[0].Case
	c := Constraint{
		Kind: string(first.Kind), Constraint: string(first.Constraint), Verdict: Enforced,
		Found: profile.Enforced,
	}
	var e evidence
	for _, r := range results {
		c.Cases = append(c.Cases, e.add(&c, r, alwaysLost))
	}
	name := c.name()
	switch {
	case e.tried == 0:
		c.Verdict, c.Found, c.Note = NotTried, "", errNoSession.Error()
	case len(c.Broken) > 0:
		c.Verdict, c.Found, c.Instead = NotEnforced, profile.NotEnforced,
			profile.WayOut(name, profile.NotEnforced)
	case first.Constraint == conformance.Tags && slices.ContainsFunc(e.rejections, isDenied):
		c.Verdict, c.Found, c.Note = Unproven, "", "honest requests are denied"
		c.Instead = "give both roles s3:PutObjectTagging"
	case e.rejected > 0:
		c.Verdict, c.Found, c.Instead = NotOffered, profile.NotOffered,
			profile.WayOut(name, profile.NotOffered)
		c.Note = e.describeRejection()
	case len(c.Unknown) > 0:
		c.Verdict, c.Found = Unproven, ""
	}
	lacking := c.Found == profile.NotEnforced || c.Found == profile.NotOffered
	switch {
	case first.Constraint == conformance.OtherHeaders && (lacking || len(e.honest) > 0):
		c.Verdict, c.Found = LikeAWS, ""
		c.Note = "as at AWS; completion rejects the upload unless the header forbids caching"
		c.Instead = ""
	case first.Kind == conformance.Completion && lacking && !neededByPolicies(name):
		c.Verdict = MadeGood
	}
	c.notes(first, e)
	switch {
	case c.Verdict == NotOffered, c.Verdict == MadeGood && c.Found == profile.NotOffered,
		c.Verdict == Unproven && len(e.rejections) > 0:
		c.Responses = e.rejections
	case first.Constraint == conformance.Honest && c.Verdict == Enforced,
		len(e.acceptances)+len(e.cheatRejections) == 0:
		c.Responses = e.honest
	case len(e.acceptances) > 0:
		c.Responses = e.acceptances
	default:
		c.Responses = e.cheatRejections
	}
	return c
}

// add adds a result to the evidence and to the lists of c.
func (e *evidence) add(c *Constraint, r conformance.Result, alwaysLost []string) Case {
	cheat := !r.Case.Want.Accepted()
	shown := Case{
		Name: r.Case.Name, AWS: r.Case.Want.String(), Rejected: cheat,
		Unverified: r.Case.Unverified,
	}
	if errors.Is(r.Err, errNoSession) {
		return shown
	}
	e.tried++
	switch {
	// The library does not sign such a grant for this store.
	case len(presign.Violations(r.Err)) > 0:
		e.rejected++
		shown.Error = r.Err.Error()
		return shown
	case r.Err != nil:
		shown.Error = c.addFailure(r)
		return shown
	}
	shown.Response = r.Response.String()
	broken := r.Broken
	if cheat && r.Response.Accepted() && broken == "" {
		newlyLost := slices.DeleteFunc(slices.Clone(r.Lost), func(name string) bool {
			return slices.Contains(alwaysLost, name)
		})
		if len(newlyLost) > 0 {
			broken = "the object was stored without " + strings.Join(newlyLost, ", ")
		}
	}
	switch {
	case !r.Response.Accepted() && !r.Rejected() && (!cheat || broken == ""):
		c.Unknown = append(c.Unknown,
			r.Case.Name+": failed with "+shown.Response+", which is not a rejection")
	case r.HonestRejected:
		e.rejected++
		if r.Response.Accepted() {
			e.failed.add(oneLine(r.Broken))
		} else {
			e.rejections.add(shown.Response)
		}
	case broken != "":
		shown.Broken = broken
		e.acceptances.add(shown.Response)
		c.Broken = append(c.Broken, r.Case.Name+": "+broken)
	case cheat && !r.Response.Accepted():
		e.cheatRejections.add(shown.Response)
	case r.Response.Accepted() && !cheat:
		e.honest.add(shown.Response)
	}
	if r.Case.Do == nil && broken == "" {
		for _, name := range r.Lost {
			e.lost.add(name)
		}
	}
	return shown
}

// addFailure adds a case that could not be tried, and returns the reason: the
// operation and the response of a failed request of the SDK, or the text of any
// other error. If the role of the store was denied, it names the missing right.
func (c *Constraint) addFailure(r conformance.Result) (reason string) {
	reason = plain(r.Err).Error()
	var operation *smithy.OperationError
	response, other := conformance.ResponseOf(r.Err)
	if other == nil && errors.As(r.Err, &operation) {
		reason = fmt.Sprintf("%s failed with %v", operation.Operation(), response)
		if right := rights[operation.Operation()]; right != "" && response.Code == "AccessDenied" {
			c.Instead = "give the role of -store-profile the right " + right
		}
	}
	c.Unknown = append(c.Unknown, r.Case.Name+": "+reason)
	return reason
}

// rights holds the right that each operation of the store's role needs.
var rights = map[string]string{
	"AbortMultipartUpload":    "s3:AbortMultipartUpload",
	"CompleteMultipartUpload": "s3:PutObject",
	"CopyObject":              "s3:PutObject",
	"CreateMultipartUpload":   "s3:PutObject, and s3:PutObjectTagging for tags",
	"DeleteObject":            "s3:DeleteObject",
	"GetObject":               "s3:GetObject",
	"GetObjectTagging":        "s3:GetObjectTagging",
	"HeadObject":              "s3:GetObject",
	"ListParts":               "s3:ListMultipartUploadParts under both prefixes",
	"PutObject":               "s3:PutObject",
	"UploadPart":              "s3:PutObject",
}

// describeRejection returns the reason why a constraint is not offered.
func (e *evidence) describeRejection() string {
	if len(e.rejections) == 0 && len(e.failed) > 0 {
		return "honest requests are accepted, but " + strings.Join(e.failed, ", ")
	}
	return "an honest request is rejected"
}

// notes sets the note beside the verdict.
func (c *Constraint) notes(first conformance.Case, e evidence) {
	if first.Kind == conformance.Form && first.Constraint == conformance.Unsigned &&
		c.Verdict == Enforced && len(e.honest) > 0 {
		c.Note = "the headers of a form's request are ignored"
	}
	if len(e.lost) > 0 &&
		(first.Constraint == conformance.Honest || first.Constraint == conformance.Headers) &&
		c.Verdict == Enforced {
		c.Note = "stored without " + strings.Join(e.lost, ", ") +
			"; a published copy has the headers"
	}
}

// neededByPolicies reports whether NewSigner can reject a Policy for a
// constraint.
func neededByPolicies(name string) bool {
	p := &profile.Profile{Constraints: map[string]profile.Verdict{name: profile.NotEnforced}}
	n := profile.Needs{Forms: true, Large: true}
	if _, algorithm, ok := strings.Cut(name, "checksum "); ok {
		n.Checksum = algorithm
	}
	return len(p.Check(n)) > 0
}

// responses is a list of distinct responses, in the order of the cases.
type responses []string

func (a *responses) add(response string) {
	if !slices.Contains(*a, response) {
		*a = append(*a, response)
	}
}
