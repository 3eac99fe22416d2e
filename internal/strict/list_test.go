package strict

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// numbers decodes a list of objects with one number each.
func numbers(body string, most int, mode Mode) (got []int64, list List, err error) {
	var n *int64
	list = List{Max: most, Members: []Member{{"n", &n}}, Add: func() {
		if n != nil {
			got = append(got, *n)
		}
		n = nil
	}}
	err = Object([]byte(body), []Member{{"list", &list}}, mode)
	return got, list, err
}

func TestList(t *testing.T) {
	for body, want := range map[string][]int64{
		`{}`: nil, `{"list": null}`: nil, `{"list": []}`: nil,
		`{"list": [{"n": 1}, {}, {"n": null}, {"n": 2.0}]}`: {1, 2},
	} {
		got, list, err := numbers(body, 4, RejectUnknown)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, strings.Contains(body, "["), list.IsSet, body)
		require.False(t, list.TooLong)
	}
	got, list, err := numbers(`{"list": [{"n": 1}, {"n": 2}, {"n": 3, "x": 4}, 5]}`, 2,
		RejectUnknown)
	require.NoError(t, err, "the rest is not decoded")
	require.Equal(t, []int64{1, 2}, got)
	require.True(t, list.TooLong)
}

func TestListRejects(t *testing.T) {
	for body, want := range map[string]Error{
		`{"list": {}}`:                         {"list", "must be an array of objects, got an object"},
		`{"list": "a"}`:                        {"list", "must be an array of objects, got a string"},
		`{"list": [{}, 1]}`:                    {"list[1]", "must be an object, got a number"},
		`{"list": [null]}`:                     {"list[0]", "must be an object, got null"},
		`{"list": [{"n": "1"}]}`:               {"list[0][n]", "must be a whole number, got a string"},
		`{"list": [{}, {"x": 1}]}`:             {"list[1][x]", "must not be present; the members are n"},
		`{"list": [{"n": 1, "n": 1}]}`:         {"list[0][n]", "must be present only once"},
		`{"list": [{"n": 1, "\u006e": null}]}`: {"list[0][n]", "must be present only once"},
		`{"list": [{"N": 1}]}`:                 {"list[0][N]", `must be written "n"`},
	} {
		_, _, err := numbers(body, 9, RejectUnknown)
		require.Equal(t, []Error{want}, faults(t, err), body)
	}
	_, _, err := numbers(`{"list": [`+strings.Repeat("1,", 1000)+`1]}`, 2000, RejectUnknown)
	require.Len(t, faults(t, err), maxFaults)
}

func TestIgnoreUnknown(t *testing.T) {
	got, _, err := numbers(
		`{"other": {"a": [1]}, "list": [{"n": 1, "x": {"y": null}, "N": "2"}], "List": 1}`, 9,
		IgnoreUnknown)
	require.NoError(t, err)
	require.Equal(t, []int64{1}, got)
	for body, field := range map[string]string{
		`{"a": 1, "a": 2}`: "a", `{"a": {"b": 1, "b": 2}}`: "a[b]",
		`{"list": [{"x": [{"y": 1, "y": 2}]}]}`: "list[0][x][0][y]",
		`{"list": [{"n": "1"}]}`:                "list[0][n]",
	} {
		_, _, err := numbers(body, 9, IgnoreUnknown)
		require.Equal(t, field, faults(t, err)[0].Field, body)
	}
}

// TestListMemory checks that a list takes little more memory than its body, for
// all kinds of elements and for valid and invalid bodies.
func TestListMemory(t *testing.T) {
	for _, element := range []string{
		`1`, `{}`, `null`, `[]`, `""`, `{"n":1}`, `{"x":1}`, `{"":0}`, `[[]]`, `{"n":1,"x":[{}]}`,
	} {
		for _, end := range []string{"]}", "", "]", "]} x"} {
			elements := strings.Repeat(element+",", (1<<20)/(len(element)+1)-4)
			body := []byte(`{"list":[` + strings.TrimSuffix(elements, ",") + end)
			for _, mode := range []Mode{RejectUnknown, IgnoreUnknown} {
				n := (*int64)(nil)
				list := List{Max: 10_000, Members: []Member{{"n", &n}}, Add: func() { n = nil }}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				_ = Object(body, []Member{{"list", &list}}, mode)
				runtime.ReadMemStats(&after)
				allocated := after.TotalAlloc - before.TotalAlloc
				require.Less(t, allocated, uint64(2<<20), fmt.Sprint(element, end, mode))
			}
		}
	}
}

// TestObjectCopiesFromLargeBody checks that decoded values do not change if the
// memory of a large body changes.
func TestObjectCopiesFromLargeBody(t *testing.T) {
	body := []byte(`{"filename":"name","type":"kind","metadata":{"color":"red"},"parts":["part"]` +
		strings.Repeat(" ", maxKept) + `}`)
	var got request
	require.NoError(t, Object(body, []Member{
		{"filename", &got.Filename}, {"type", &got.Type}, {"metadata", &got.Metadata},
		{"parts", &got.Parts},
	}, RejectUnknown))
	err := Object(body,
		[]Member{{"filename", new(*int64)}, {"type", &got.Type}, {"metadata", &got.Metadata}},
		RejectUnknown)
	clear(body)
	require.Equal(t, "name", got.Filename)
	require.Equal(t, "kind", *got.Type)
	require.Equal(t, map[string]string{"color": "red"}, got.Metadata)
	require.Equal(t, `["part"]`, string(got.Parts))
	require.EqualError(t, err, "filename: must be a whole number, got a string\n"+
		"parts: must not be present; the members are filename, metadata, type")
}
