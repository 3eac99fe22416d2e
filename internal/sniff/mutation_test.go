package sniff

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/test/corpus"
)

// samples returns the view of a file of each base in the table, and of each
// kind within the base.
func samples(t *testing.T) map[string]view {
	t.Helper()
	found := map[string]view{"unknown": newView(corpus.Noise)}
	bases := map[string]bool{
		"general": true, "text/x-shellscript": true, "application/x-object": true,
	}
	add := func(data []byte) {
		v := newView(data)
		name := v.markup + v.found.name
		switch {
		case name == "":
			return
		case v.found.base != "" && v.found.base != v.found.name:
			name += "(" + v.found.base + ")"
		}
		if v.found.tagged {
			name += "(ID3)"
		}
		if found[name].prose || found[name].found.mime == nil {
			found[name] = v
		}
		bases[v.markup+v.found.base] = true
	}
	for _, f := range corpus.Legitimate {
		add(f.Data)
	}
	for _, f := range corpus.Genuine {
		add(f.Data)
	}
	for _, f := range corpus.Bases {
		add(f.Data)
	}
	for line := range strings.Lines(table) {
		if column, _, ok := strings.Cut(line, "|"); ok {
			for b := range strings.FieldsSeq(column) {
				require.True(t, bases[b], "no file of %s", b)
			}
		}
	}
	return found
}

// agreement returns the names of the files that agree with a type.
func agreement(files map[string]view, typ string) (line string) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if _, agrees := files[name].agrees(typ); agrees {
			line += " " + name
		}
	}
	return line
}

// TestAgreements checks that the files that agree with each type are the same
// as in a list. UPDATE=1 writes the list again, to be read as a diff.
//
// It also checks that every change of the table is detected. A change drops a
// base, or adds or drops the promise of a signature.
func TestAgreements(t *testing.T) {
	const golden = "testdata/agreements.txt"
	files, types := samples(t), slices.Sorted(maps.Keys(forms))
	lines, groups := make(map[string]string), make(map[string]string)
	for _, typ := range types {
		lines[typ] = agreement(files, typ)
		groups[lines[typ]] += typ + " "
	}
	var sorted []string
	for line, group := range groups {
		sorted = append(sorted, group+"\n\t"+line)
	}
	slices.Sort(sorted)
	got := strings.Join(sorted, "\n") + "\n"
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got)

	original := forms
	defer func() { forms = original }()
	mutants, survivors := 0, []string{}
	for _, mutant := range mutate(table) {
		mutants++
		forms = load(mutant.table)
		killed := slices.ContainsFunc(types, func(typ string) bool {
			return !reflect.DeepEqual(forms[typ], original[typ]) &&
				agreement(files, typ) != lines[typ]
		})
		if !killed {
			survivors = append(survivors, mutant.change)
		}
	}
	t.Logf("%d mutants of the table, %d survivors", mutants, len(survivors))
	require.Empty(t, survivors)
	require.Greater(t, mutants, 200)
}

type mutant struct{ table, change string }

// mutate returns tables with one change each.
func mutate(table string) (mutants []mutant) {
	lines := slices.Collect(strings.Lines(table))
	for i, line := range lines {
		row := strings.Split(strings.TrimSpace(line), "|")
		if len(row) == 1 {
			continue
		}
		replace := func(change string, row ...string) {
			changed := slices.Clone(lines)
			changed[i] = strings.Join(row, "|") + "\n"
			mutants = append(mutants,
				mutant{strings.Join(changed, ""), fmt.Sprintf("%s: %s", change, line)})
		}
		bases := strings.Fields(row[0])
		for j, base := range bases {
			others := strings.Join(slices.Delete(slices.Clone(bases), j, j+1), " ")
			replace("without "+base, append([]string{others}, row[1:]...)...)
		}
		always, maybe := strings.Fields(row[1]), []string(nil)
		if len(row) == 3 {
			maybe = strings.Fields(row[2])
		}
		for j, entry := range always {
			replace(entry+" not promised", row[0],
				strings.Join(slices.Delete(slices.Clone(always), j, j+1), " "),
				strings.Join(append(maybe, entry), " "))
		}
		for j, entry := range maybe {
			replace(entry+" promised", row[0],
				strings.Join(append(slices.Clone(always), entry), " "),
				strings.Join(slices.Delete(slices.Clone(maybe), j, j+1), " "))
		}
	}
	return mutants
}
