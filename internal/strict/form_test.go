package strict_test

import (
	"errors"
	"fmt"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/strict"
)

func decodeForm(form url.Values) (name string, size *int64, metadata map[string]string, err error) {
	err = strict.Form(form, []strict.Member{
		{Name: "name", Value: &name}, {Name: "size", Value: &size},
		{Name: "metadata", Value: &metadata},
	}, strict.RejectUnknown)
	return name, size, metadata, err
}

func TestForm(t *testing.T) {
	form, err := url.ParseQuery(
		"name=a+b%26&size=-12&metadata[color]=red&metadata%5B%5D=x&metadata[a[b]]=c")
	require.NoError(t, err)
	name, size, metadata, err := decodeForm(form)
	require.NoError(t, err)
	require.Equal(t, "a b&", name)
	require.EqualValues(t, -12, *size)
	require.Equal(t, map[string]string{"color": "red", "": "x", "a[b]": "c"}, metadata)

	name, size, metadata, err = decodeForm(nil)
	require.NoError(t, err)
	require.Zero(t, name)
	require.Nil(t, size)
	require.Nil(t, metadata)
}

func TestFormRejects(t *testing.T) {
	for query, want := range map[string]string{
		"name=a&name=b":                     "name: must be present only once",
		"metadata[a]=b&metadata[a]=c":       "metadata[a]: must be present only once",
		"Name=a":                            `Name: must be written "name"`,
		"other=a":                           "other: must not be present; the members are metadata, name, size",
		"=a":                                "",
		"metadata=a":                        `metadata: must have the form "metadata[name]"`,
		"name[a]=b":                         "name[a]: must not be present",
		"metadata[a=b":                      "metadata[a: must not be present",
		"name=%ff":                          "name: must be UTF-8",
		"%ff=a":                             "must be UTF-8",
		"size=&size=":                       "size: must be present only once",
		"other=":                            "other: must not be present",
		"size=1.0":                          "size: must be a whole number in digits alone, got 1.0",
		"size=%2B1":                         "size: must be a whole number in digits alone, got +1",
		"size=01":                           "size: must be a whole number in digits alone, got 01",
		"size=9223372036854775808":          "size: must be a whole number from",
		"name=a&size=x&other=y&metadata[z]": "other: must not be present; the members are metadata, name, size\nsize: must be",
	} {
		form, err := url.ParseQuery(query)
		require.NoError(t, err)
		_, _, _, err = decodeForm(form)
		require.ErrorContains(t, err, want, query)
		fault := new(strict.Error)
		require.True(t, errors.As(err, &fault))
		require.NotEmpty(t, fault.Field)
	}
	many := make(url.Values)
	for i := range 257 {
		many[fmt.Sprint(i)] = []string{""}
	}
	require.EqualError(t, strict.Form(many, nil, strict.RejectUnknown),
		"the form must have at most 256 members")
	require.NoError(t, strict.Form(url.Values{"a": nil}, nil, strict.RejectUnknown))
	require.Panics(t, func() {
		strict.Form(url.Values{"a": {"b"}}, []strict.Member{{Name: "a", Value: new(int)}},
			strict.RejectUnknown)
	})
}

// FuzzForm checks that every field that was sent is decoded unchanged.
func FuzzForm(f *testing.F) {
	f.Add("name=a&size=1&metadata[b]=c")
	f.Add("metadata[]=&metadata[[]]=x&size=-9223372036854775808")
	f.Fuzz(func(t *testing.T, query string) {
		form, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		name, size, metadata, err := decodeForm(form)
		if err != nil {
			return
		}
		again := url.Values{}
		for name, values := range form {
			if values[0] == "" { // An empty field is absent.
				delete(form, name)
			}
		}
		if form.Has("name") {
			again.Set("name", name)
		}
		if size != nil {
			again.Set("size", form.Get("size"))
		}
		for key, value := range metadata {
			again.Set("metadata["+key+"]", value)
		}
		require.Equal(t, form, again)
	})
}
