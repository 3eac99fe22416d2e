package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var testName = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`")

// checkPromises returns an error for each row of a table of SECURITY that names
// tests, unless a mutant has one of these tests.
func checkPromises(mutants []*mutant) error {
	document, err := os.ReadFile(filepath.Join(".github", "SECURITY.md"))
	if err != nil {
		return err
	}
	var faults []error
	for row := range strings.SplitSeq(string(document), "\n") {
		names := testName.FindAllStringSubmatch(row, -1)
		if !strings.HasPrefix(row, "| ") || len(names) == 0 {
			continue
		}
		found := slices.ContainsFunc(names, func(name []string) bool {
			return hasMutant(mutants, name[1])
		})
		if !found {
			faults = append(faults, fmt.Errorf(
				"mutants.txt must have a mutant with one of the tests of this row of SECURITY:\n%s",
				row))
		}
	}
	return errors.Join(faults...)
}

func hasMutant(mutants []*mutant, test string) bool {
	return slices.ContainsFunc(mutants, func(m *mutant) bool {
		name, _, _ := strings.Cut(m.test, "/")
		return name == test
	})
}
