// Command mutants checks that tests fail if the code breaks a promise.
//
// It reads mutants.txt, in which every entry is an edit of the code and the test
// that must fail because of it:
//
//	# what is promised
//	test: ./internal/seal TestRotation
//	file: internal/seal/seal.go
//	-	for _, key := range k.keys {
//	+	for _, key := range k.keys[:1] {
//
// The lines that start with "-" must stand in the file exactly once, one after
// the other; those that start with "+" replace them. For each entry the command
// checks that the test passes without the edit, that the edit compiles, and that
// the test fails with it. An entry whose first line starts with "##" is among the
// fixed ones that every run of CI checks.
//
// Usage, from the root of the module:
//
//	go run ./.ci/mutants          # all
//	go run ./.ci/mutants -fixed   # the fixed ones, and those of files changed since HEAD~1
//	go run ./.ci/mutants -run REGEXP
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

func main() {
	fixed := flag.Bool("fixed", false, "check the fixed mutants, and those of files changed since HEAD~1")
	match := flag.String("run", "", "check the mutants whose promise or file matches this `regexp`")
	workers := flag.Int("p", 2, "how many mutants to check at once")
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
	before, after  string
}

func (m *mutant) String() string { return fmt.Sprintf("mutants.txt:%d: %s", m.line, m.promise) }

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
	changed := changedFiles()
	var selected []*mutant
	for _, m := range all {
		if pattern.MatchString(m.promise+" "+m.file) && (!fixed || m.fixed || slices.Contains(changed, m.file)) {
			selected = append(selected, m)
		}
	}
	scratch, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	if err := checkTests(selected); err != nil {
		return err
	}
	failures := checkAll(selected, scratch, workers)
	fmt.Printf("%d of %d mutants checked, %d faults\n", len(selected), len(all), len(failures))
	return errors.Join(failures...)
}

// parse reads the entries of mutants.txt.
func parse(text string) (all []*mutant, err error) {
	var m *mutant
	for i, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "#"):
			m = &mutant{line: i + 1, fixed: strings.HasPrefix(line, "##"), promise: strings.TrimSpace(strings.TrimLeft(line, "#"))}
			all = append(all, m)
		case strings.TrimSpace(line) == "":
		case m == nil:
			return nil, fmt.Errorf("mutants.txt:%d: an entry must start with #", i+1)
		case strings.HasPrefix(line, "test: "):
			fields := strings.Fields(line)
			if len(fields) != 3 {
				return nil, fmt.Errorf("mutants.txt:%d: must be test: PACKAGE NAME", i+1)
			}
			m.dir, m.pkg, m.test = ".", fields[1], fields[2]
			if rest, ok := strings.CutPrefix(fields[1], "./examples/"); ok {
				m.dir, m.pkg = "examples", "./"+rest
			}
		case strings.HasPrefix(line, "file: "):
			m.file = strings.TrimPrefix(line, "file: ")
		case line[0] == '-':
			m.before += line[1:] + "\n"
		case line[0] == '+':
			m.after += line[1:] + "\n"
		default:
			return nil, fmt.Errorf("mutants.txt:%d: the line must start with #, test:, file:, - or +", i+1)
		}
	}
	for _, m := range all {
		if m.test == "" || m.file == "" || m.before == "" {
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

// checkTests checks that the tests of mutants pass without an edit and exist.
func checkTests(mutants []*mutant) error {
	tests := make(map[[2]string][]string)
	for _, m := range mutants {
		key := [2]string{m.dir, m.pkg}
		if name, _, _ := strings.Cut(m.test, "/"); !slices.Contains(tests[key], name) {
			tests[key] = append(tests[key], name)
		}
	}
	for key, names := range tests {
		output, err := goTest(key[0], "-v", "-run", "^("+strings.Join(names, "|")+")$", key[1])
		if err != nil {
			return fmt.Errorf("without an edit, tests of %s fail:\n%s", key[1], tail(output))
		}
		for _, name := range names {
			if !strings.Contains(output, "--- PASS: "+name+" ") {
				return fmt.Errorf("%s has no test %s that passes", key[1], name)
			}
		}
	}
	return nil
}

func checkAll(mutants []*mutant, scratch string, workers int) (failures []error) {
	var mu sync.Mutex
	var group sync.WaitGroup
	slots := make(chan struct{}, workers)
	for i, m := range mutants {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			err := m.check(filepath.Join(scratch, fmt.Sprint(i)))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failures = append(failures, fmt.Errorf("%v: %w", m, err))
				fmt.Println("FAULT", m)
				return
			}
			fmt.Println("dies ", m)
		})
	}
	group.Wait()
	return failures
}

// check returns an error unless the mutant compiles and dies.
func (m *mutant) check(dir string) error {
	source, err := os.ReadFile(m.file)
	if err != nil {
		return err
	}
	if n := bytes.Count(source, []byte(m.before)); n != 1 {
		return fmt.Errorf("the text must stand in %s once, got %d times", m.file, n)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	edited, overlay := filepath.Join(dir, filepath.Base(m.file)), filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(edited, bytes.Replace(source, []byte(m.before), []byte(m.after), 1), 0o600); err != nil {
		return err
	}
	path, err := filepath.Abs(m.file)
	if err != nil {
		return err
	}
	document, err := json.Marshal(map[string]map[string]string{"Replace": {path: edited}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(overlay, document, 0o600); err != nil {
		return err
	}
	output, err := goTest(m.dir, "-overlay", overlay, "-run", "^"+strings.ReplaceAll(m.test, "/", "$/^")+"$", m.pkg)
	switch {
	case err == nil:
		return errors.New("it survives: " + m.test + " passes")
	case strings.Contains(output, "[build failed]"), strings.Contains(output, "[setup failed]"):
		return fmt.Errorf("it does not compile:\n%s", tail(output))
	case !strings.Contains(output, "--- FAIL: ") && !strings.Contains(output, "panic: ") && !strings.Contains(output, "test timed out"):
		return fmt.Errorf("the test did not fail as a test:\n%s", tail(output))
	}
	return nil
}

func goTest(dir string, args ...string) (string, error) {
	command := exec.Command("go", append([]string{"test", "-vet=off", "-count=1", "-timeout=5m"}, args...)...)
	command.Dir = dir
	output, err := command.CombinedOutput()
	return string(output), err
}

// tail returns the end of a long text.
func tail(s string) string {
	const most = 3000
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}
