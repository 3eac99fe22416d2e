package checkup

import (
	"fmt"
	"slices"
	"strings"

	"github.com/s3presign/presign/internal/profile"
)

// tableSigns maps verdicts to signs in the compatibility table. A blank is
// unknown.
var tableSigns = map[profile.Verdict]string{
	profile.Enforced: "✓", profile.NotEnforced: "✗", profile.NotOffered: "–",
}

// table returns the compatibility table as Markdown. The first column is Amazon
// S3, and each profile has another column.
func table(profiles []*profile.Profile) string {
	aws := *profile.Known("s3.amazonaws.com").Profile
	aws.Store = "Amazon S3, as documented"
	profiles = append([]*profile.Profile{&aws}, profiles...)
	var b strings.Builder
	var kind string
	for _, name := range profile.Names() {
		group, constraint, _ := strings.Cut(name, ": ")
		if group != kind {
			kind = group
			head(&b, titles[kind], profiles)
		}
		fmt.Fprintf(&b, "| %s |", constraint)
		for _, p := range profiles {
			fmt.Fprintf(&b, " %s |", cell(name, p.Constraints[name]))
		}
		b.WriteString("\n")
	}
	head(&b, "Other facts", profiles)
	for _, fact := range profile.FactNames() {
		fmt.Fprintf(&b, "| %s |", fact)
		for _, p := range profiles {
			fmt.Fprintf(&b, " %s |", p.Facts[fact])
		}
		b.WriteString("\n")
	}
	return b.String()
}

func head(b *strings.Builder, title string, profiles []*profile.Profile) {
	fmt.Fprintf(b, "\n### %s\n\n| |", title)
	for _, p := range profiles {
		fmt.Fprintf(b, " %s |", p.Store)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(profiles)) + "\n")
}

// cell returns the sign of a verdict. The sign is "~" if the store does not
// enforce the constraint, but completion checks it.
func cell(name string, v profile.Verdict) string {
	lacking := []profile.Verdict{profile.NotEnforced, profile.NotOffered}
	if strings.HasPrefix(name, "completion: ") && slices.Contains(lacking, v) &&
		!neededByPolicies(name) {
		return "~"
	}
	return tableSigns[v]
}
