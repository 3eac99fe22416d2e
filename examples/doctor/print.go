package main

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/s3presign/presign/internal/test/conformance"
)

// printer prints a Report for people.
type printer struct {
	w      io.Writer
	width  int
	colors bool
	err    error
}

func newPrinter(w io.Writer) *printer {
	width, colors := terminal(w)
	return &printer{w: w, width: width, colors: colors}
}

// Colors, as terminals take them.
const (
	green, yellow, red, dim, bold = "32", "33", "31", "2", "1"
)

func (p *printer) color(code, text string) string {
	if !p.colors || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// mark is how a verdict or a state looks.
type mark struct{ sign, color string }

var marks = map[string]mark{
	string(Enforced): {"✓", green}, string(NotEnforced): {"✗", red}, string(MadeGood): {"~", yellow}, string(Admitted): {"·", dim},
	string(NotOffered): {"–", dim}, string(NotTried): {"–", dim}, string(Unproven): {"?", yellow},
	string(Good): {"✓", green}, string(Missing): {"!", yellow}, string(Wrong): {"!", yellow}, string(Unknown): {"?", yellow}, string(Info): {"·", dim},
}

var titles = map[string]string{
	string(conformance.PUT):        "PUT: the URL of a file",
	string(conformance.Form):       "Form: a POST policy",
	string(conformance.PartURL):    "Part: the URL of a part of a file",
	string(conformance.Completion): "Completion: what the service asks of the store",
}

const (
	constraintWidth = 30
	verdictWidth    = 14
)

func (p *printer) report(r *Report) error {
	p.text("", fmt.Sprintf("%s at %s, region %s, under %s, of which nothing is left.", r.Bucket, r.Endpoint, r.Region, r.Prefix))
	p.text("", "Each line: a constraint, whether the store enforces it, and what it answered, to the plainest attempt first. "+
		"✓ enforced  ✗ not enforced  ~ not, but completion looks  · admitted by AWS, too  – not offered or not tried  ? unproven")
	kind := ""
	for _, c := range r.Constraints {
		if c.Kind != kind {
			kind = c.Kind
			p.line("\n%s", p.color(bold, titles[kind]))
		}
		p.constraint(c)
	}
	p.line("\n%s", p.color(bold, "Around it"))
	for _, f := range r.Around {
		m := marks[string(f.State)]
		p.line("  %s %s %s", p.color(m.color, m.sign), pad(f.What, constraintWidth), p.color(m.color, string(f.State)))
		p.text("      ", f.Detail)
	}
	p.paste(r)
	p.summary(r)
	return p.err
}

func (p *printer) constraint(c Constraint) {
	m := marks[string(c.Verdict)]
	answers := p.fit(c.Answers, p.width-4-constraintWidth-1-verdictWidth-1)
	p.line("  %s %s %s %s", p.color(m.color, m.sign), pad(c.Constraint, constraintWidth),
		p.color(m.color, pad(string(c.Verdict), verdictWidth)), answers)
	if c.Verdict != Admitted {
		p.broken(c.Cases)
	}
	for _, unknown := range c.Unknown {
		p.text("      ", unknown)
	}
	if c.Note != "" {
		p.text("      ", c.Note)
	}
	if c.Instead != "" {
		p.text("    → ", c.Instead)
	}
}

// broken names the cases in which a constraint was not kept, by what happened.
func (p *printer) broken(cases []Case) {
	var reasons answers
	names := make(map[string][]string)
	for _, c := range cases {
		if c.Broken != "" {
			reasons.add(c.Broken)
			names[c.Broken] = append(names[c.Broken], c.Name)
		}
	}
	for _, reason := range reasons {
		p.text("      ", reason+": "+strings.Join(names[reason], ", "))
	}
}

// fit joins as many answers as there is room for.
func (p *printer) fit(answers []string, room int) string {
	if len(answers) == 0 {
		return ""
	}
	joined := answers[0]
	for i, answer := range answers[1:] {
		more := fmt.Sprintf(" +%d", len(answers)-1-i)
		if utf8.RuneCountInString(joined+", "+answer) > room-len(more) {
			if utf8.RuneCountInString(joined+more) <= room {
				joined += more
			}
			return joined
		}
		joined += ", " + answer
	}
	return joined
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// text prints a text in lines that fit.
func (p *printer) text(indent, text string) {
	line := ""
	flush := func() {
		p.line("%s%s", indent, p.color(dim, line))
		indent, line = strings.Repeat(" ", utf8.RuneCountInString(indent)), ""
	}
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(indent+line+" "+word) > p.width {
			flush()
		}
		line = strings.TrimSpace(line + " " + word)
	}
	if line != "" {
		flush()
	}
}

// innermost are lists and objects that hold no others. They go on one line.
var innermost = regexp.MustCompile(`[\[{][^\[\]{}]+[\]}]`)

func (p *printer) paste(r *Report) {
	for _, d := range []struct {
		title    string
		document any
	}{
		{"CORS, in place of all rules there are: aws s3api put-bucket-cors --bucket " + r.Bucket + " --cors-configuration file://cors.json", r.Paste.CORS},
		{"Lifecycle, in place of all rules there are: aws s3api put-bucket-lifecycle-configuration --bucket " + r.Bucket + " --lifecycle-configuration file://lifecycle.json", r.Paste.Lifecycle},
		{"IAM, of the role that signs", r.Paste.SigningRole},
		{"IAM, of the role of the store (WithStore)", r.Paste.StoreRole},
	} {
		encoded, err := json.MarshalIndent(d.document, "", "  ")
		if err != nil {
			p.err = err
			return
		}
		p.line("\n%s\n%s", p.color(bold, d.title), innermost.ReplaceAllStringFunc(string(encoded), oneLine))
	}
}

func (p *printer) summary(r *Report) {
	var not []string
	cases := 0
	for _, c := range r.Constraints {
		cases += len(c.Cases)
		if c.Verdict == NotEnforced || c.Verdict == Unproven {
			not = append(not, c.Kind+": "+c.Constraint)
		}
	}
	if r.Enforced {
		p.line("\n%s", p.color(green, fmt.Sprintf("%d cases: all that the library promises is enforced here.", cases)))
		return
	}
	failing := "is enforced"
	if !slices.ContainsFunc(r.Constraints, func(c Constraint) bool { return c.Verdict == NotEnforced }) {
		failing = "could be shown to be enforced"
	}
	p.line("\n%s", p.color(red, fmt.Sprintf("%d cases: not all that the library promises %s here.", cases, failing)))
	p.text("  ", strings.Join(not, "; "))
}

// column is what one store makes of the constraints.
type column struct {
	name string
	rows []Constraint
}

// markdown prints constraints by kinds, beside what AWS documents.
func markdown(columns ...column) string {
	var b strings.Builder
	b.WriteString("| | AWS, as documented |")
	for _, c := range columns {
		b.WriteString(" " + c.name + " |")
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(columns)) + "\n")
	var seen []string
	for _, row := range columns[0].rows {
		if seen = append(seen, row.Constraint); slices.Index(seen, row.Constraint) < len(seen)-1 {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s |", row.Constraint, documented(columns[0].rows, row.Constraint))
		for _, c := range columns {
			b.WriteString(" " + cell(c.rows, row.Constraint) + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// documented returns the answer of AWS to the first case of a constraint that it refuses, by kind, with a dagger if it is
// inferred in all of them.
func documented(rows []Constraint, constraint string) string {
	return byKind(rows, constraint, func(row Constraint) string {
		for _, c := range row.Cases {
			if c.Refused && c.Unverified == "" {
				return c.AWS
			}
		}
		for _, c := range row.Cases {
			if c.Refused {
				return c.AWS + "†"
			}
		}
		if row.Cases[0].Unverified != "" {
			return row.Cases[0].AWS + "†"
		}
		return row.Cases[0].AWS
	})
}

func cell(rows []Constraint, constraint string) string {
	return byKind(rows, constraint, func(row Constraint) string {
		sign := marks[string(row.Verdict)].sign
		if (row.Verdict == NotEnforced || row.Verdict == MadeGood) && len(row.Answers) > 0 {
			status, _, _ := strings.Cut(row.Answers[0], " ")
			return sign + " " + status
		}
		return sign
	})
}

// byKind says of each kind what there is to say, of several at once if it is the same.
func byKind(rows []Constraint, constraint string, say func(Constraint) string) string {
	var said []string
	kinds := make(map[string][]string)
	for _, row := range rows {
		if row.Constraint != constraint {
			continue
		}
		text := say(row)
		if !slices.Contains(said, text) {
			said = append(said, text)
		}
		kinds[text] = append(kinds[text], row.Kind)
	}
	if len(said) == 1 {
		return said[0]
	}
	for i, text := range said {
		said[i] = text + " (" + strings.Join(kinds[text], ", ") + ")"
	}
	return strings.Join(said, "; ")
}
