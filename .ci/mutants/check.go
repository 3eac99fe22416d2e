package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A checker checks mutants and collects the failures.
type checker struct {
	scratch string
	slots   chan struct{} // one for each test that runs

	mu       sync.Mutex
	failures []error
	builds   int
}

func (c *checker) report(m *mutant, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		fmt.Println("dies ", m)
		return
	}
	fmt.Println("FAULT", m)
	c.failures = append(c.failures, fmt.Errorf("%v: %w", m, err))
}

// A suite is a package whose tests must notice mutants.
type suite struct{ dir, pkg string }

// checkAll checks mutants, one package of tests after another.
func (c *checker) checkAll(mutants []*mutant) {
	bySuite := make(map[suite][]*mutant)
	for _, m := range mutants {
		key := suite{m.dir, m.pkg}
		bySuite[key] = append(bySuite[key], m)
	}
	compare := func(a, b suite) int { return strings.Compare(a.dir+a.pkg, b.dir+b.pkg) }
	for _, s := range slices.SortedFunc(maps.Keys(bySuite), compare) {
		c.checkSuite(s, bySuite[s])
	}
}

// checkSuite checks mutants that tests of one package must notice.
func (c *checker) checkSuite(s suite, mutants []*mutant) {
	together, alone := c.divide(mutants)
	c.checkTogether(s, together)
	if len(alone) == 0 {
		return
	}
	binary, err := c.build(s, nil)
	if err == nil {
		err = c.checkTests(s, binary, alone)
	}
	for _, m := range alone {
		err := err
		if err == nil {
			binary, err = c.buildAlone(s, m)
		}
		if err == nil {
			err = m.check(s, binary)
		}
		c.report(m, err)
	}
}

// checkTogether checks mutants that one test binary holds. It reports mutants
// that do not compile, and checks the rest.
func (c *checker) checkTogether(s suite, mutants []*mutant) {
	if len(mutants) == 0 {
		return
	}
	binary, err := c.build(s, mutants)
	if err != nil {
		if ids := variantsOf(err); len(ids) > 0 {
			var rest []*mutant
			for _, m := range mutants {
				if slices.Contains(ids, m.id()) {
					c.report(m, err)
				} else {
					rest = append(rest, m)
				}
			}
			c.checkTogether(s, rest)
			return
		}
	} else {
		err = c.checkTests(s, binary, mutants)
	}
	var group sync.WaitGroup
	for _, m := range mutants {
		c.slots <- struct{}{}
		group.Go(func() {
			defer func() { <-c.slots }()
			if err != nil {
				c.report(m, err)
				return
			}
			c.report(m, m.check(s, binary))
		})
	}
	group.Wait()
}

var (
	position    = regexp.MustCompile(`(?m)^(\S+\.go):(\d+):`)
	variantFunc = regexp.MustCompile(`^func .*\bmutant(\d+)_`)
)

// variantsOf returns the IDs of the variants in which the compiler found
// errors.
func variantsOf(failed error) (ids []string) {
	for _, match := range position.FindAllStringSubmatch(failed.Error(), -1) {
		text, err := os.ReadFile(match[1])
		number, _ := strconv.Atoi(match[2])
		lines := strings.Split(string(text), "\n")
		if err != nil || number > len(lines) {
			continue
		}
		for _, line := range slices.Backward(lines[:number]) {
			if id := variantFunc.FindStringSubmatch(line); id != nil {
				ids = append(ids, id[1])
				break
			}
		}
	}
	return ids
}

// divide returns the mutants that change only bodies of functions, and all
// other mutants. It reports mutants that do not apply.
func (c *checker) divide(mutants []*mutant) (together, alone []*mutant) {
	for _, m := range mutants {
		before, _, err := m.applyHunks()
		var original *source
		if err == nil {
			original, err = parseSource(m.file, before)
		}
		var variants map[int]variant
		if err == nil {
			variants, err = m.variants(original)
		}
		switch {
		case err != nil:
			c.report(m, err)
		case variants == nil:
			alone = append(alone, m)
		default:
			together = append(together, m)
		}
	}
	return together, alone
}

// build returns the test binary of a package that holds mutants.
func (c *checker) build(s suite, mutants []*mutant) (binary string, err error) {
	files, packages := make(map[string][]byte), make(map[string]bool)
	for _, file := range filesOf(mutants) {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		original, err := parseSource(file, text)
		if err != nil {
			return "", err
		}
		all := make(map[int][]variant)
		for _, m := range mutants {
			if m.file != file {
				continue
			}
			variants, err := m.variants(original)
			if err != nil {
				return "", err
			}
			for i, v := range variants {
				all[i] = append(all[i], v)
			}
		}
		files[file] = original.addDispatchers(all)
		if dir := filepath.Dir(file); !packages[dir] {
			packages[dir] = true
			files[filepath.Join(dir, "mutant_switch.go")] = fmt.Appendf(nil,
				"package %s\n\nimport \"os\"\n\nvar mutantID = os.Getenv(%q)\n",
				original.file.Name.Name, variable)
		}
	}
	return c.compile(s, files)
}

func filesOf(mutants []*mutant) []string {
	names := make(map[string]bool)
	for _, m := range mutants {
		names[m.file] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// buildAlone returns the test binary of a package with one edit.
func (c *checker) buildAlone(s suite, m *mutant) (binary string, err error) {
	_, after, err := m.applyHunks()
	if err != nil {
		return "", err
	}
	return c.compile(s, map[string][]byte{m.file: after})
}

// compile returns the test binary of a package. The texts replace its files.
func (c *checker) compile(s suite, files map[string][]byte) (binary string, err error) {
	c.builds++
	dir := filepath.Join(c.scratch, fmt.Sprint(c.builds))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	replace := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path, err := filepath.Abs(name)
		if err != nil {
			return "", err
		}
		replace[path] = filepath.Join(dir, fmt.Sprintf("%d_%s", len(replace), filepath.Base(name)))
		if err := os.WriteFile(replace[path], files[name], 0o600); err != nil {
			return "", err
		}
	}
	document, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, document, 0o600); err != nil {
		return "", err
	}
	binary = filepath.Join(dir, "test")
	command := exec.Command("go", "test", "-c", "-vet=off", "-ldflags=-w",
		"-overlay", overlay, "-o", binary, s.pkg)
	command.Dir = s.dir
	if output, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the tests do not compile:\n%s", failure(string(output)))
	}
	return binary, nil
}

// checkTests checks that the tests of mutants exist and pass if no mutant is
// selected. It runs each test once, in as many processes as there are slots.
func (c *checker) checkTests(s suite, binary string, mutants []*mutant) error {
	var names []string
	for _, m := range mutants {
		if name, _, _ := strings.Cut(m.test, "/"); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	shards := make([][]string, min(cap(c.slots), len(names)))
	for i, name := range names {
		shards[i%len(shards)] = append(shards[i%len(shards)], name)
	}
	faults := make([]error, len(shards))
	var group sync.WaitGroup
	for i, shard := range shards {
		group.Go(func() { faults[i] = s.pass(binary, shard) })
	}
	group.Wait()
	return errors.Join(faults...)
}

// pass returns an error unless tests exist and pass.
func (s suite) pass(binary string, names []string) error {
	output, err := s.test(binary, "", "^("+strings.Join(names, "|")+")$")
	if err != nil {
		return fmt.Errorf("without an edit, tests of %s fail:\n%s", s.pkg, failure(output))
	}
	for _, name := range names {
		if !strings.Contains(output, "--- PASS: "+name+" ") {
			return fmt.Errorf("%s must have a test %s that passes", s.pkg, name)
		}
	}
	return nil
}

// check returns an error unless the test fails if the mutant is selected.
func (m *mutant) check(s suite, binary string) error {
	output, err := s.test(binary, m.id(), "^"+strings.ReplaceAll(m.test, "/", "$/^")+"$")
	switch {
	case err == nil:
		return fmt.Errorf("%s must fail, but it passes", m.test)
	case !strings.Contains(output, "--- FAIL: ") && !strings.Contains(output, "panic: ") &&
		!strings.Contains(output, "test timed out"):
		return fmt.Errorf("the test must fail, but the binary failed otherwise:\n%s",
			failure(output))
	}
	return nil
}

// test runs tests of a binary with one mutant, or none.
func (s suite) test(binary, id, pattern string) (string, error) {
	limit := "10m" // for all tests of the package
	if id != "" {
		limit = "2m"
	}
	command := exec.Command(binary, "-test.v", "-test.count=1", "-test.failfast",
		"-test.timeout="+limit, "-test.run", pattern)
	command.Dir = filepath.Join(s.dir, s.pkg)
	command.Env = append(os.Environ(), variable+"="+id)
	output, err := command.CombinedOutput()
	return string(output), err
}

// failure returns the part of a long text from the first panic on. Without a
// panic, it returns the part from the first failed test on, or else the end.
func failure(s string) string {
	const limit = 3000
	for _, mark := range []string{"panic: ", "--- FAIL: "} {
		if i := strings.Index(s, mark); i >= 0 {
			return s[i:min(len(s), i+limit)]
		}
	}
	return s[max(0, len(s)-limit):]
}
