package checkup

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/s3presign/presign/internal/test/conformance"
)

// A printer prints a Report as text.
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

// These are the codes of colors on terminals.
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

// A mark is the sign and the color of a verdict or a state.
type mark struct{ sign, color string }

var marks = map[string]mark{
	string(Enforced): {"✓", green}, string(NotEnforced): {"✗", red},
	string(MadeGood): {"~", yellow}, string(LikeAWS): {"·", dim},
	string(NotOffered): {"–", dim}, string(NotTried): {"–", dim}, string(Unproven): {"?", yellow},
	string(Good): {"✓", green}, string(Missing): {"!", yellow}, string(Wrong): {"!", yellow},
	string(Unknown): {"?", yellow}, string(Info): {"·", dim},
}

var titles = map[string]string{
	string(conformance.PUT):        "PUT: the URL of a file",
	string(conformance.Form):       "Form: a POST policy",
	string(conformance.PartURL):    "Part: the URL of a part of a file",
	string(conformance.Completion): "Completion: the requests of the service",
}

const (
	constraintWidth = 30
	verdictWidth    = 14
)

// groupChecksums returns the constraints, with checksums of the same verdict
// joined into one.
func groupChecksums(rows []Constraint) (groups []Constraint) {
	const checksum = "checksum "
	for _, c := range rows {
		algorithm, ok := strings.CutPrefix(c.Constraint, checksum)
		last := len(groups) - 1
		if ok && last >= 0 && groups[last].Kind == c.Kind && groups[last].Verdict == c.Verdict &&
			strings.HasPrefix(groups[last].Constraint, checksum) {
			groups[last].Constraint += ", " + algorithm
			groups[last].Cases = append(slices.Clone(groups[last].Cases), c.Cases...)
			groups[last].Unknown = append(slices.Clone(groups[last].Unknown), c.Unknown...)
			continue
		}
		groups = append(groups, c)
	}
	return groups
}

// report prints the verdict first, then what to change, and then the details.
// Without verbose, report prints only the names of enforced constraints.
func (p *printer) report(full *Report, verbose bool) error {
	short := *full
	short.Constraints = groupChecksums(full.Constraints)
	r := &short
	p.summary(r)
	p.changes(r)
	if len(r.rows(NotTried)) > 0 {
		p.line("")
		p.text("", "Session tokens were not checked: "+errNoSession.Error()+".")
	}
	for _, kind := range []conformance.Kind{
		conformance.PUT, conformance.Form, conformance.PartURL, conformance.Completion,
	} {
		p.kind(r, string(kind), verbose)
	}
	p.around(r, verbose)
	for _, d := range r.Paste {
		p.document(d)
	}
	if verbose {
		p.text("",
			"\u2713 enforced  \u2717 not enforced  ~ not enforced, but completion checks it  \u00b7 accepted by AWS as well  \u2013 not offered or not tried  ? unproven. "+
				"Each line ends with the responses of the store, in the order of the cases.")
	}
	return p.err
}

// summary prints the verdict in one line.
func (p *printer) summary(r *Report) {
	where := r.Bucket + " at " + r.Endpoint
	defer p.findings(r)
	broken, unproven := r.rows(NotEnforced), r.rows(Unproven)
	switch {
	case r.Enforced:
		p.line("%s", p.color(green, fmt.Sprintf(
			"\u2713 %s enforces everything that the library promises.", where)))
	case len(broken) > 0:
		p.line("%s", p.color(red, fmt.Sprintf(
			"\u2717 %s does not enforce %s.", where, formatCount(len(broken), "constraint"))))
	default:
		p.line("%s", p.color(yellow, fmt.Sprintf(
			"? %s could not be shown to enforce %s.",
			where, formatCount(len(unproven), "constraint"))))
	}
}

// findings prints the number of findings that are missing or wrong.
func (p *printer) findings(r *Report) {
	n := 0
	for _, f := range r.Around {
		if f.State == Missing || f.State == Wrong {
			n++
		}
	}
	if n > 0 {
		p.line("%s", p.color(yellow, fmt.Sprintf(
			"! In its configuration, %s missing or wrong.",
			formatCount(n, "thing")+map[bool]string{true: " is", false: " are"}[n == 1])))
	}
}

func formatCount(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// changes prints each remedy once, with the constraints that need it.
func (p *printer) changes(r *Report) {
	var ways responses
	names := make(map[string][]string)
	for _, c := range r.Constraints {
		if c.Instead == "" || c.Verdict == MadeGood {
			continue
		}
		ways.add(c.Instead)
		names[c.Instead] = append(names[c.Instead], c.name())
	}
	if len(ways) == 0 {
		return
	}
	p.line("\n%s", p.color(bold, "What to change"))
	for _, way := range ways {
		p.text("  \u2192 ", upperFirst(way)+" ("+strings.Join(names[way], ", ")+").")
	}
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// kind prints the constraints of one kind of request.
func (p *printer) kind(r *Report, kind string, verbose bool) {
	p.line("\n%s", p.color(bold, titles[kind]))
	if !slices.ContainsFunc(r.Constraints, func(c Constraint) bool { return c.Kind == kind }) {
		p.text("  \u2013 ", "not checked")
	}
	short := make(map[Verdict][]string)
	for _, c := range r.Constraints {
		switch {
		case c.Kind != kind:
		case verbose:
			p.constraint(c)
		case c.Verdict == Enforced, c.Verdict == NotTried, c.Verdict == LikeAWS,
			c.Verdict == NotOffered && c.Note == "",
			c.Verdict == Unproven && c.Note == "" && len(c.Unknown) == 0:
			short[c.Verdict] = append(short[c.Verdict], c.Constraint)
		}
	}
	if verbose {
		return
	}
	p.names(Enforced, "", short[Enforced])
	p.names(Unproven, "unproven: ", short[Unproven])
	for _, c := range r.Constraints {
		if c.Kind == kind && !slices.Contains(short[c.Verdict], c.Constraint) {
			p.constraint(c)
		}
	}
}

// names prints the names of constraints that have the same verdict.
func (p *printer) names(v Verdict, title string, names []string) {
	if len(names) > 0 {
		p.text("  "+marks[string(v)].sign+" ", title+strings.Join(names, ", "))
	}
}

func (p *printer) around(r *Report, verbose bool) {
	p.line("\n%s", p.color(bold, "Configuration"))
	var good []string
	for _, f := range r.Around {
		if f.State == Good && !verbose {
			good = append(good, f.What)
			continue
		}
		m := marks[string(f.State)]
		p.text("  "+m.sign+" ", f.What+": "+f.Detail)
	}
	if len(good) > 0 {
		p.text("  "+marks[string(Good)].sign+" ", strings.Join(good, ", "))
	}
}

func (p *printer) constraint(c Constraint) {
	m := marks[string(c.Verdict)]
	responses := p.fit(c.Responses, p.width-4-constraintWidth-1-verdictWidth-1)
	p.line("  %s %s %s %s", p.color(m.color, m.sign), pad(c.Constraint, constraintWidth),
		p.color(m.color, pad(string(c.Verdict), verdictWidth)), responses)
	if c.Verdict != LikeAWS {
		p.broken(c.Cases)
	}
	p.unknown(c.Unknown)
	if c.Note != "" {
		p.text("      ", c.Note)
	}
	if c.Instead != "" && c.Verdict == MadeGood {
		p.text("      ", c.Instead)
	}
}

// broken prints the cases in which a constraint was not enforced, by reason.
func (p *printer) broken(cases []Case) {
	var reasons responses
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

// unknown prints the cases that could not be tried, by reason.
func (p *printer) unknown(cases []string) {
	var reasons responses
	names := make(map[string][]string)
	for _, text := range cases {
		name, reason, _ := strings.Cut(text, ": ")
		reasons.add(reason)
		names[reason] = append(names[reason], name)
	}
	for _, reason := range reasons {
		p.text("      ", reason+": "+strings.Join(names[reason], ", "))
	}
}

// fit joins responses up to the width room and appends the number of the rest.
func (p *printer) fit(responses []string, room int) string {
	if len(responses) == 0 {
		return ""
	}
	joined := responses[0]
	for i, response := range responses[1:] {
		more := fmt.Sprintf(" +%d", len(responses)-1-i)
		if utf8.RuneCountInString(joined+", "+response) > room-len(more) {
			if utf8.RuneCountInString(joined+more) <= room {
				joined += more
			}
			return joined
		}
		joined += ", " + response
	}
	return joined
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// text prints a text, wrapped to the width of the terminal.
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

// innermost matches JSON lists and objects that contain no others. The method
// document prints them on one line.
var innermost = regexp.MustCompile(`[\[{][^\[\]{}]+[\]}]`)

func (p *printer) document(d Document) {
	p.line("\n%s", p.color(bold, d.Title))
	if d.Command != "" {
		p.line("%s", d.Command)
	}
	if d.Content == nil {
		return
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, d.Content, "", "  "); err != nil {
		p.err = err
		return
	}
	p.line("%s", innermost.ReplaceAllStringFunc(indented.String(), oneLine))
}
