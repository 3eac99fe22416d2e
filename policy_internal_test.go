package presign

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/completion"
	"github.com/s3presign/presign/internal/grant"
	"github.com/s3presign/presign/internal/multipart"
	"github.com/s3presign/presign/internal/rules"
)

// filled returns a struct in which each exported field is set. Fields of the
// same type have different values, except for bool.
func filled[T any](t *testing.T) T {
	t.Helper()
	var v T
	s := reflect.ValueOf(&v).Elem()
	for i := range s.NumField() {
		field, name := s.Field(i), s.Type().Field(i).Name
		if !s.Type().Field(i).IsExported() {
			continue
		}
		switch field.Interface().(type) {
		case time.Time:
			field.Set(reflect.ValueOf(time.Unix(int64(i+1), 0).UTC()))
		case map[string]string:
			field.Set(reflect.ValueOf(map[string]string{name: fmt.Sprint(i)}))
		case []string:
			field.Set(reflect.ValueOf([]string{name}))
		case []rules.Pair:
			field.Set(reflect.ValueOf([]rules.Pair{{Name: name, Value: fmt.Sprint(i)}}))
		default:
			switch field.Kind() {
			case reflect.String:
				field.SetString(name)
			case reflect.Int, reflect.Int64:
				field.SetInt(int64(i + 1))
			case reflect.Bool:
				field.SetBool(true)
			case reflect.Interface:
				field.Set(reflect.ValueOf(name))
			case reflect.Pointer:
				field.Set(reflect.New(field.Type().Elem()))
			default:
				t.Fatalf("filled must support the type of %T.%s, %v", v, name, field.Type())
			}
		}
	}
	return v
}

// requireFields checks that got has each exported field of want with the same
// value. A field in renamed has another name in got, or is skipped if the name
// is empty.
func requireFields(t *testing.T, want, got any, renamed map[string]string) {
	t.Helper()
	w, g := reflect.Indirect(reflect.ValueOf(want)), reflect.Indirect(reflect.ValueOf(got))
	for i := range w.NumField() {
		field := w.Type().Field(i)
		name := field.Name
		if other, ok := renamed[name]; ok {
			name = other
		}
		if !field.IsExported() || name == "" { // The caller compares skipped fields.
			continue
		}
		found := g.FieldByName(name)
		require.True(t, found.IsValid(), "%v must have a field %s", g.Type(), name)
		require.False(t, found.IsZero(), "%v.%s must not be lost", g.Type(), name)
		expected := w.Field(i).Interface()
		if pairs, ok := expected.([]rules.Pair); ok {
			expected = pairMap(pairs)
		}
		require.Equal(t, expected, found.Interface(), "%v.%s", g.Type(), name)
	}
}

// TestConversionsKeepEveryField checks that conversions between the types of
// this package and the types of internal packages keep every field.
func TestConversionsKeepEveryField(t *testing.T) {
	policy := filled[Policy](t)
	requireFields(t, policy, policy.internal(), nil)

	upload := filled[Upload](t)
	internal := upload.internal(upload.Method, upload.GrantID)
	require.Zero(t, internal.Deadline, "a Deadline of the caller must be ignored")
	internal.Deadline = upload.Deadline
	requireFields(t, upload, internal, nil)
	require.Equal(t, &upload, publicUpload(&internal))
	internalUpload := filled[rules.Upload](t)
	requireFields(t, internalUpload, publicUpload(&internalUpload), nil)

	object := filled[completion.Object](t)
	public := publicObject(&object)
	require.Same(t, object.Source, public.source)
	requireFields(t, object, public, map[string]string{"Source": ""})

	part := filled[Part](t)
	requireFields(t, part, internalParts([]Part{part})[0], nil)
	stored := filled[multipart.Part](t)
	requireFields(t, stored, Part{
		Number: stored.Number, Size: stored.Size, ETag: stored.ETag, Checksum: stored.Checksum,
	}, nil)

	signed := filled[grant.Grant](t)
	requireFields(t, signed, publicGrant(&signed), map[string]string{"ID": "GrantID"})
	started := filled[multipart.Upload](t)
	requireFields(t, started, new(Signer).publicMultipart(&started), nil)

	violation := filled[rules.Violation](t)
	for _, err := range []error{
		&violation, errors.Join(errors.New("else"), &violation),
		errors.Join(errors.Join(&violation)), fmt.Errorf("%w", errors.Join(&violation)),
		&completion.Rejection{Object: &object, Violations: []*rules.Violation{&violation}},
	} {
		public := publicError(err)
		require.Equal(t, err.Error(), public.Error())
		found := Violations(public)
		if _, wraps := err.(interface{ Unwrap() error }); wraps {
			require.Empty(t, found, "Violations must not find a wrapped violation")
			continue
		}
		require.Len(t, found, 1)
		requireFields(t, violation, found[0], nil)
		require.Empty(t, rules.Find[rules.Violation](public))
	}
	rejected := publicError(&completion.Rejection{
		Object: &object, Violations: []*rules.Violation{&violation, &violation},
	}).(*RejectedError)
	requireFields(t, object, rejected.Object, map[string]string{"Source": ""})
	require.Len(t, rejected.Violations, 2)
}

// TestPublicErrorsAreIndependent checks that a caller that changes the
// violations of an error does not change the violations of other callers.
func TestPublicErrorsAreIndependent(t *testing.T) {
	violation := &rules.Violation{Field: "type", Allowed: []string{"image/png"}}
	want := Violation(*violation)
	want.Allowed = []string{"image/png"}
	for _, err := range []error{
		violation, errors.Join(violation),
		&completion.Rejection{
			Object: new(completion.Object), Violations: []*rules.Violation{violation},
		},
	} {
		first, second := publicError(err), publicError(err)
		changed := rules.Find[Violation](first)[0]
		changed.Field, changed.Allowed[0] = "changed", "changed"
		require.Equal(t, []Violation{want}, Violations(second), "%T", err)
		require.Equal(t, want, Violation(*violation), "%T", err)
	}
}

// TestChangedFieldComparesEveryField checks that ChangedField reports a change
// of any field of an Upload, except the changes that WithAuthorize allows.
func TestChangedFieldComparesEveryField(t *testing.T) {
	requested := filled[rules.Upload](t)
	free := []string{"Key", "Metadata", "Redirect"}
	lowered := map[string]bool{"MaxSize": true, "Lifetime": true}
	raised := map[string]bool{"MinSize": true}
	for i, fields := 0, reflect.TypeFor[rules.Upload](); i < fields.NumField(); i++ {
		name := fields.Field(i).Name
		change := func(up bool) string {
			approved := requested
			field := reflect.ValueOf(&approved).Elem().Field(i)
			switch field.Kind() {
			case reflect.String:
				field.SetString("changed")
			case reflect.Int64:
				by := int64(-1)
				if up {
					by = 1
				}
				field.SetInt(field.Int() + by)
			default:
				field.SetZero()
			}
			return rules.ChangedField(&requested, &approved)
		}
		for _, up := range []bool{true, false} {
			want := name
			if slices.Contains(free, name) || lowered[name] && !up || raised[name] && up {
				want = ""
			}
			require.Equal(t, want, change(up), "%s, up %t", name, up)
		}
	}
}

// TestCodesAreDocumented checks that the documentation of Violation and the
// description of the HTTP API list the codes of violations.
func TestCodesAreDocumented(t *testing.T) {
	find := func(file, pattern string) (codes []string) {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(source), -1) {
			codes = append(codes, m[1])
		}
		return codes
	}
	codes := find("internal/rules/violation.go", `(?m)^\tCode\w+ += "(\w+)"$`)
	require.NotEmpty(t, codes)
	require.Equal(t, codes, find("policy.go", `(?m)^//\t([a-z_]+)  +[a-zA-Z0-9]`))
	require.Subset(t, find("examples/openapi/openapi.yaml", `(?m)^ +- ([a-z_]+)$`), codes)
}
