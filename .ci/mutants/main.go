// Command mutants checks that tests fail if the code breaks a promise.
//
// It reads mutants.txt, in which every entry is an edit of the code and the
// test that must fail because of it:
//
//	# the promise
//	test: ./internal/seal TestRotation
//	file: internal/seal/seal.go
//	-	for _, key := range k.keys {
//	+	for _, key := range k.keys[:1] {
//
// The lines that start with "-" must be in the file exactly once, in this order
// and without other lines between them. The lines that start with "+" replace
// them. A line "@" starts the second of two edits of one file that belong
// together.
//
// For each entry, the command checks that the test passes without the edit,
// that the edit compiles, and that the test fails with the edit. A first line
// that starts with "##" marks a fixed mutant, which every run of CI checks.
//
// One test binary holds all edits of function bodies that tests of its package
// must notice. The environment variable [variable] selects one of them, so that
// a package is built once and not once for each edit. An edit of something
// else, such as a constant, has a test binary of its own.
//
// Each row of SECURITY that names tests must have a mutant with one of them.
//
// Usage, from the root of the module:
//
//	go run ./.ci/mutants          # all
//	go run ./.ci/mutants -fixed   # fixed mutants, mutants of changed files
//	go run ./.ci/mutants -run REGEXP
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func main() {
	fixed := flag.Bool("fixed", false,
		"check the fixed mutants, and mutants of files changed since HEAD~1")
	match := flag.String("run", "", "check the mutants whose promise or file matches this `regexp`")
	workers := flag.Int("p", 2, "how many tests to run at once")
	flag.Parse()
	if err := run(*fixed, *match, *workers); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// A mutant is one edit and the test that must fail because of it.
type mutant struct {
	line           int
	promise        string
	fixed          bool
	dir, pkg, test string
	file           string
	hunks          []hunk
}

// A hunk is one change of a file.
type hunk struct{ before, after string }

func (m *mutant) String() string { return fmt.Sprintf("mutants.txt:%d: %s", m.line, m.promise) }

// id returns the value of the environment variable that selects the mutant.
func (m *mutant) id() string { return strconv.Itoa(m.line) }

func run(fixed bool, match string, workers int) error {
	text, err := os.ReadFile(filepath.Join(".ci", "mutants", "mutants.txt"))
	if err != nil {
		return err
	}
	all, err := parse(string(text))
	if err != nil {
		return err
	}
	pattern, err := regexp.Compile(match)
	if err != nil {
		return err
	}
	if err := checkPromises(all); err != nil {
		return err
	}
	changed := changedFiles()
	var selected []*mutant
	for _, m := range all {
		if pattern.MatchString(m.promise+" "+m.file) &&
			(!fixed || m.fixed || slices.Contains(changed, m.file)) {
			selected = append(selected, m)
		}
	}
	scratch, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	c := &checker{scratch: scratch, slots: make(chan struct{}, workers)}
	c.checkAll(selected)
	fmt.Printf("%d of %d mutants checked, %d faults\n", len(selected), len(all), len(c.failures))
	return errors.Join(c.failures...)
}

// parse reads the entries of mutants.txt.
func parse(text string) (all []*mutant, err error) {
	var m *mutant
	for i, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "#"):
			m = &mutant{
				line: i + 1, fixed: strings.HasPrefix(line, "##"),
				promise: strings.TrimSpace(strings.TrimLeft(line, "#")),
			}
			m.hunks = make([]hunk, 1)
			all = append(all, m)
		case strings.TrimSpace(line) == "":
		case m == nil:
			return nil, fmt.Errorf("mutants.txt:%d: an entry must start with #", i+1)
		case strings.HasPrefix(line, "test: "):
			fields := strings.Fields(line)
			if len(fields) != 3 {
				return nil, fmt.Errorf("mutants.txt:%d: the line must be test: PACKAGE NAME", i+1)
			}
			m.dir, m.pkg, m.test = ".", fields[1], fields[2]
			if rest, ok := strings.CutPrefix(fields[1], "./examples/"); ok {
				m.dir, m.pkg = "examples", "./"+rest
			}
		case strings.HasPrefix(line, "file: "):
			m.file = strings.TrimPrefix(line, "file: ")
		case line == "@":
			m.hunks = append(m.hunks, hunk{})
		case line[0] == '-':
			m.hunks[len(m.hunks)-1].before += line[1:] + "\n"
		case line[0] == '+':
			m.hunks[len(m.hunks)-1].after += line[1:] + "\n"
		default:
			return nil, fmt.Errorf(
				"mutants.txt:%d: the line must start with #, test:, file:, @, - or +", i+1)
		}
	}
	for _, m := range all {
		if m.test == "" || m.file == "" ||
			slices.ContainsFunc(m.hunks, func(h hunk) bool { return h.before == "" }) {
			return nil, fmt.Errorf("%v: must have test:, file: and lines that start with -", m)
		}
	}
	return all, nil
}

// changedFiles returns the files that differ from HEAD~1, or nil without git.
func changedFiles() []string {
	output, err := exec.Command("git", "diff", "--name-only", "HEAD~1").Output()
	if err != nil {
		return nil
	}
	return strings.Fields(string(output))
}
