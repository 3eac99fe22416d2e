package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
)

// variable is the environment variable that selects the mutant of a test
// binary.
const variable = "PRESIGN_MUTANT"

// A source is a parsed Go file.
type source struct {
	text []byte
	fset *token.FileSet
	file *ast.File
}

func parseSource(name string, text []byte) (*source, error) {
	s := &source{text: text, fset: token.NewFileSet()}
	var err error
	s.file, err = parser.ParseFile(s.fset, name, text, parser.SkipObjectResolution)
	return s, err
}

// slice returns the text between two positions.
func (s *source) slice(from, to token.Pos) string {
	return string(s.text[s.fset.Position(from).Offset:s.fset.Position(to).Offset])
}

// applyHunks returns the text of the mutant's file before and after the edit.
func (m *mutant) applyHunks() (before, after []byte, err error) {
	if before, err = os.ReadFile(m.file); err != nil {
		return nil, nil, err
	}
	after = before
	for _, h := range m.hunks {
		if n := bytes.Count(after, []byte(h.before)); n != 1 {
			return nil, nil, fmt.Errorf("the text must be in %s exactly once, got %d times:\n%s",
				m.file, n, h.before)
		}
		after = bytes.Replace(after, []byte(h.before), []byte(h.after), 1)
	}
	return before, after, nil
}

// A variant is a function that a mutant has changed.
type variant struct {
	mutant *mutant
	text   string // the renamed declaration
}

// variants returns the functions that a mutant changes, by their index among
// the declarations of the file. It returns nil if the mutant changes anything
// other than the bodies of functions.
func (m *mutant) variants(original *source) (map[int]variant, error) {
	_, after, err := m.applyHunks()
	if err != nil {
		return nil, err
	}
	edited, err := parseSource(m.file, after)
	if err != nil {
		return nil, fmt.Errorf("the mutant does not compile: %w", err)
	}
	if len(edited.file.Decls) != len(original.file.Decls) {
		return nil, nil
	}
	found := make(map[int]variant)
	for i, oldDecl := range original.file.Decls {
		newDecl := edited.file.Decls[i]
		oldText := original.slice(oldDecl.Pos(), oldDecl.End())
		if oldText == edited.slice(newDecl.Pos(), newDecl.End()) {
			continue
		}
		f, ok := oldDecl.(*ast.FuncDecl)
		g, alike := newDecl.(*ast.FuncDecl)
		if !ok || !alike || f.Name.Name == "init" ||
			original.slice(f.Pos(), f.Body.Pos()) != edited.slice(g.Pos(), g.Body.Pos()) {
			return nil, nil
		}
		found[i] = variant{m, edited.renameFunc(g, m.id())}
	}
	if len(found) == 0 {
		return nil, nil
	}
	return found, nil
}

// renameFunc returns the declaration of a function under the name of a variant.
func (s *source) renameFunc(f *ast.FuncDecl, id string) string {
	return s.slice(f.Pos(), f.Name.Pos()) + variantName(f, id) + s.slice(f.Name.End(), f.End())
}

// variantName returns an unexported name, so that tests ignore the variant.
func variantName(f *ast.FuncDecl, id string) string { return "mutant" + id + "_" + f.Name.Name }

// addDispatchers returns the file with a dispatcher in place of each function
// that has variants.
func (s *source) addDispatchers(variants map[int][]variant) []byte {
	var b bytes.Buffer
	last := s.file.FileStart
	for i, d := range s.file.Decls {
		if len(variants[i]) == 0 {
			continue
		}
		f := d.(*ast.FuncDecl)
		b.WriteString(s.slice(last, f.Pos()))
		b.WriteString(s.dispatcher(f, variants[i]))
		fmt.Fprintf(&b, "\n\n%s\n", s.renameFunc(f, ""))
		for _, v := range variants[i] {
			fmt.Fprintf(&b, "\n%s\n", v.text)
		}
		last = f.End()
	}
	b.WriteString(s.slice(last, s.file.FileEnd))
	return b.Bytes()
}

// dispatcher returns a function with the signature of f that calls the selected
// variant.
func (s *source) dispatcher(f *ast.FuncDecl, variants []variant) string {
	receiver, method := "", ""
	if f.Recv != nil {
		kind := f.Recv.List[0].Type
		receiver, method = "(r "+s.slice(kind.Pos(), kind.End())+") ", "r."
	}
	generics, instance := s.generics(f)
	parameters, arguments := s.parameters(f)
	results, ret := s.results(f)
	var b strings.Builder
	fmt.Fprintf(&b, "func %s%s%s(%s) %s {\n\tswitch mutantID {\n",
		receiver, f.Name.Name, generics, parameters, results)
	call := func(id string) string {
		return method + variantName(f, id) + instance + "(" + arguments + ")"
	}
	for _, v := range variants {
		fmt.Fprintf(&b, "\tcase %q:\n\t\t%s%s\n", v.mutant.id(), ret, call(v.mutant.id()))
		if ret == "" {
			b.WriteString("\t\treturn\n")
		}
	}
	fmt.Fprintf(&b, "\t}\n\t%s%s\n}", ret, call(""))
	return b.String()
}

// generics returns the type parameters of a function and their names.
func (s *source) generics(f *ast.FuncDecl) (parameters, instance string) {
	list := f.Type.TypeParams
	if list == nil {
		return "", ""
	}
	var names []string
	for _, field := range list.List {
		for _, name := range field.Names {
			names = append(names, name.Name)
		}
	}
	return s.slice(list.Pos(), list.End()), "[" + strings.Join(names, ", ") + "]"
}

// parameters returns the parameters of a function under new names, and the
// arguments of a call with these parameters.
func (s *source) parameters(f *ast.FuncDecl) (parameters, arguments string) {
	var declared, passed []string
	for _, field := range f.Type.Params.List {
		kind := s.slice(field.Type.Pos(), field.Type.End())
		for range max(1, len(field.Names)) {
			name := fmt.Sprintf("p%d", len(declared))
			declared = append(declared, name+" "+kind)
			if strings.HasPrefix(kind, "...") {
				name += "..."
			}
			passed = append(passed, name)
		}
	}
	return strings.Join(declared, ", "), strings.Join(passed, ", ")
}

// results returns the types of the results, and the keyword before the call.
func (s *source) results(f *ast.FuncDecl) (types, ret string) {
	if f.Type.Results == nil {
		return "", ""
	}
	var all []string
	for _, field := range f.Type.Results.List {
		kind := s.slice(field.Type.Pos(), field.Type.End())
		all = append(all, slices.Repeat([]string{kind}, max(1, len(field.Names)))...)
	}
	return "(" + strings.Join(all, ", ") + ")", "return "
}
