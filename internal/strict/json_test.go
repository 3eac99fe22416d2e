package strict

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// request has a member of each kind.
type request struct {
	Filename string            `json:"filename"`
	Type     *string           `json:"type"`
	Size     *int64            `json:"size"`
	Metadata map[string]string `json:"metadata"`
	Parts    json.RawMessage   `json:"parts"`
}

func (r *request) decode(body string) error {
	return Object([]byte(body), []Member{
		{"filename", &r.Filename}, {"type", &r.Type}, {"size", &r.Size}, {"metadata", &r.Metadata},
		{"parts", &r.Parts},
	}, RejectUnknown)
}

// faults returns the Errors that an error of Object joins.
func faults(t *testing.T, err error) []Error {
	joined, ok := err.(interface{ Unwrap() []error })
	require.True(t, ok)
	var all []Error
	for _, err := range joined.Unwrap() {
		var fault *Error
		require.ErrorAs(t, err, &fault)
		all = append(all, *fault)
	}
	return all
}

func TestObject(t *testing.T) {
	text, size := "image/png", int64(12)
	empty, zero := "", int64(0)
	least, most := int64(math.MinInt64), int64(math.MaxInt64)
	for body, want := range map[string]request{
		`{}`:           {},
		" \t\r\n{ }\n": {},
		`{"filename":"a.png","type":"image/png","size":12,"metadata":{"a":"b","c":""},"parts":[{"n":1},{"n":1}]}`: {
			Filename: "a.png", Type: &text, Size: &size,
			Metadata: map[string]string{"a": "b", "c": ""},
			Parts:    json.RawMessage(`[{"n":1},{"n":1}]`),
		},
		`{"filename":"","type":"","size":0,"metadata":{},"parts":null}`: {
			Type: &empty, Size: &zero, Metadata: map[string]string{},
		},
		`{"si\u007ae":12}`:                      {Size: &size},
		`{"size":-9223372036854775808}`:         {Size: &least},
		`{"size":9223372036854775807}`:          {Size: &most},
		`{"filename":"\ud83d\ude00 \u00fc"}`:    {Filename: "😀 ü"},
		`{"filename":"\uD83D\uDE00\\ud800"}`:    {Filename: `😀\ud800`},
		`{"filename":"\\\"\/\n"}`:               {Filename: "\\\"/\n"},
		`{"filename":"\ufffd"}`:                 {Filename: "\ufffd"},
		"{\"filename\":\"\ufffd\"}":             {Filename: "\ufffd"},
		`{"parts":1e400}`:                       {Parts: json.RawMessage(`1e400`)},
		`{"metadata":{"":"a","A":"b","a":"c"}}`: {Metadata: map[string]string{"": "a", "A": "b", "a": "c"}},
		`{"parts":` + strings.Repeat("[", 15) + strings.Repeat("]", 15) + `}`: {
			Parts: json.RawMessage(strings.Repeat("[", 15) + strings.Repeat("]", 15)),
		},
	} {
		var got request
		require.NoError(t, got.decode(body), body)
		require.Equal(t, want, got, body)
	}
}

// TestObjectReleasesBody checks that a decoded string does not keep the body in
// memory, because a client can send a long body.
func TestObjectReleasesBody(t *testing.T) {
	const bodies, size = 100, 64 << 10
	used := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before, kept := used(), make([]request, bodies)
	for i := range kept {
		require.NoError(t, kept[i].decode(`{"filename":"a.png","type":"image/png",`+
			`"metadata":{"a":"b"},`+strings.Repeat(" ", size)+`"size":1}`))
	}
	require.Less(t, used()-before, int64(bodies*size/10))
	runtime.KeepAlive(kept)
}

func TestObjectKeepsTargetsOfAbsentMembers(t *testing.T) {
	r := request{Filename: "kept"}
	require.NoError(t, r.decode(`{"size":1}`))
	require.Equal(t, "kept", r.Filename)
}

func TestObjectRejectsMalformedBodies(t *testing.T) {
	for body, want := range map[string]string{
		"":                                "the body must be a JSON object, got an empty body",
		" \n":                             "the body must be a JSON object, got an empty body",
		`{`:                               "the body must be complete JSON",
		`{"size":1`:                       "the body must be complete JSON",
		`{"size":`:                        "the body must be complete JSON",
		`{"filename":"a`:                  "the body must be complete JSON",
		`{"size":1,}`:                     "the body must be JSON, got another character at byte 11",
		`{size:1}`:                        "the body must be JSON, got another character at byte 2",
		`{"size" 1}`:                      "the body must be JSON, got another character at byte 9",
		`{"size":01}`:                     "the body must be JSON, got another character at byte 10",
		`{"size":+1}`:                     "the body must be JSON, got another character at byte 9",
		`{"size":NaN}`:                    "the body must be JSON, got another character at byte 9",
		`{"filename":'a'}`:                "the body must be JSON, got another character at byte 13",
		"{\"filename\":\"a\nb\"}":         "the body must be JSON, got another character at byte 15",
		`{"filename":"\x41"}`:             "the body must be JSON, got another character at byte 15",
		`{/**/}`:                          "the body must be JSON, got another character at byte 2",
		"\ufeff{}":                        "the body must be JSON, got another character at byte 1",
		`{}{}`:                            "the body must end with the JSON object, which ends at byte 2",
		`{"size":1} x`:                    "the body must end with the JSON object, which ends at byte 10",
		"{}\x00":                          "the body must end with the JSON object, which ends at byte 2",
		`{}}`:                             "the body must end with the JSON object, which ends at byte 2",
		`[]`:                              "the body must be a JSON object, got an array",
		`"{}"`:                            "the body must be a JSON object, got a string",
		`1`:                               "the body must be a JSON object, got a number",
		`-1`:                              "the body must be a JSON object, got a number",
		`true`:                            "the body must be a JSON object, got a boolean",
		`null`:                            "the body must be a JSON object, got null",
		"{\"filename\":\"\xff\"}":         "the body must be UTF-8",
		"{\"filename\":\"\xed\xa0\x80\"}": "the body must be UTF-8",
		"{}\xff":                          "the body must be UTF-8",
		`{"filename":"\ud800"}`:           "half a character",
		`{"filename":"\uDFFF"}`:           "half a character",
		`{"filename":"\ud800\ud800"}`:     "half a character",
		`{"filename":"\ud800\u0041"}`:     "half a character",
		`{"filename":"\ud800x\udc00"}`:    "half a character",
		`{"filename":"\ud800\\udc00"}`:    "half a character",
		`{"filename":"\ude00\ud83d"}`:     "half a character",
		`{"\ud800":1}`:                    "half a character",
		`{"metadata":{"a\udc00":1}}`:      "half a character",
		`{"parts":["\ud800"]}`:            "half a character",
		`{"parts":1e400,"x":` + strings.Repeat("[", 16) + strings.Repeat("]", 16) + `}`: "deeper than 16 levels",
		`{"parts":` + strings.Repeat(`{"a":`, 16) + `1` + strings.Repeat("}", 17):       "deeper than 16 levels",
		`{"parts":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`:       "deeper than 16 levels",
		`{"parts":` + strings.Repeat("[", 1<<20):                                        "deeper than 16 levels",
	} {
		var got request
		all := faults(t, got.decode(body))
		require.Len(t, all, 1, "%.50q", body)
		require.Empty(t, all[0].Field)
		require.Contains(t, all[0].Detail, want, "%.50q", body)
		require.Equal(t, request{}, got)
	}
}

func TestObjectReportsFaults(t *testing.T) {
	names := func(n int) string {
		var members []string
		for i := range n {
			members = append(members, fmt.Sprintf(`"%d":""`, i))
		}
		return strings.Join(members, ",")
	}
	known := "must not be present; the members are filename, metadata, parts, size, type"
	twice := "must be present only once"
	for body, want := range map[string][]Error{
		`{"size":1,"size":1}`:                     {{"size", twice}},
		`{"size":1,"si\u007ae":2}`:                {{"size", twice}},
		`{"a":1,"a":2}`:                           {{"a", known}, {"a", twice}},
		`{"metadata":{"a":"b","\u0061":"c"}}`:     {{"metadata[a]", twice}},
		`{"parts":{"a":1,"a":2}}`:                 {{"parts[a]", twice}},
		`{"parts":[1,{"ETag":1,"ETag":1}]}`:       {{"parts[1][ETag]", twice}},
		`{"parts":[[{"a":{"b":{"":1,"":1}}}]]}`:   {{`parts[0][0][a][b][""]`, twice}},
		`{"metadata":{` + names(257) + `}}`:       {{"metadata", "must have at most 256 members"}},
		`{"parts":[{` + names(257) + `}]}`:        {{"parts[0]", "must have at most 256 members"}},
		`{"parts":{` + names(256) + `,"0":0}}`:    {{"parts[0]", twice}},
		`{"key":"a"}`:                             {{"key", known}},
		`{"":"a"}`:                                {{`""`, known}},
		`{"Size":1}`:                              {{"Size", `must be written "size"`}},
		`{"ſize":1}`:                              {{"ſize", `must be written "size"`}},
		`{"size ":1}`:                             {{"size ", known}},
		`{"a\u0000\n\u202e` + "\u200b" + `":1}`:   {{`a\x00\n\u202e\u200b`, known}},
		`{"` + strings.Repeat("x", 1000) + `":1}`: {{strings.Repeat("x", 40), known}},

		`{"filename":1}`:     {{"filename", "must be a string, got a number"}},
		`{"filename":-1}`:    {{"filename", "must be a string, got a number"}},
		`{"filename":[]}`:    {{"filename", "must be a string, got an array"}},
		`{"filename":{}}`:    {{"filename", "must be a string, got an object"}},
		`{"filename":false}`: {{"filename", "must be a string, got a boolean"}},

		`{"size":"12"}`:  {{"size", "must be a whole number, got a string"}},
		`{"size":true}`:  {{"size", "must be a whole number, got a boolean"}},
		`{"size":1.5}`:   {{"size", "must be a whole number in digits alone, got 1.5"}},
		`{"size":1.01}`:  {{"size", "must be a whole number in digits alone, got 1.01"}},
		`{"size":1.0e1}`: {{"size", "must be a whole number in digits alone, got 1.0e1"}},
		`{"size":-0.0}`:  {{"size", "must be a whole number in digits alone, got -0"}},
		`{"size":1e3}`:   {{"size", "must be a whole number in digits alone, got 1e3"}},
		`{"size":1E400}`: {{"size", "must be a whole number in digits alone, got 1E400"}},
		`{"size":-0}`:    {{"size", "must be a whole number in digits alone, got -0"}},
		`{"size":9223372036854775808}`: {
			{"size", "must be a whole number from -9223372036854775808 to 9223372036854775807, got 9223372036854775808"},
		},
		`{"size":-9223372036854775809}`: {
			{"size", "must be a whole number from -9223372036854775808 to 9223372036854775807, got -9223372036854775809"},
		},
		`{"size":` + strings.Repeat("9", 1000) + `}`: {
			{"size", "must be a whole number from -9223372036854775808 to 9223372036854775807, got " + strings.Repeat("9", 40)},
		},

		`{"metadata":"a"}`:                      {{"metadata", "must be an object of strings, got a string"}},
		`{"metadata":{"a":1,"b":null,"c":"d"}}`: {{"metadata[a]", "must be a string, got a number"}},
		`{"metadata":{"\r\n":{}}}`:              {{`metadata[\r\n]`, "must be a string, got an object"}},

		`{"size":"1","filename":1,"Type":"a","x":1,"metadata":[]}`: {
			{"size", "must be a whole number, got a string"},
			{"filename", "must be a string, got a number"},
			{"Type", `must be written "type"`},
			{"x", known},
			{"metadata", "must be an object of strings, got an array"},
		},
	} {
		var got request
		require.Equal(t, want, faults(t, got.decode(body)), "%.50q", body)
	}
}

func TestObjectSetsValidMembers(t *testing.T) {
	size := int64(1)
	var got request
	require.Error(t, got.decode(
		`{"filename":"a","filename":"b","size":1,"type":1,"metadata":{"a":1,"b":"c"},"x":1}`))
	want := request{Filename: "a", Size: &size, Metadata: map[string]string{"b": "c"}}
	require.Equal(t, want, got)
}

// TestErrorSizeIsBounded checks that the size of an error does not depend on
// the body.
func TestErrorSizeIsBounded(t *testing.T) {
	var unknown, deep strings.Builder
	for i := range 10000 {
		fmt.Fprintf(&unknown, `"%d":1,`, i)
	}
	for range 15 {
		fmt.Fprintf(&deep, `{"%s":`, strings.Repeat(`\u0000`, 100))
	}
	for _, body := range []string{
		`{` + unknown.String() + `"x":1}`,
		`{"metadata":{` + unknown.String() + `"x":1}}`,
		`{"parts":` + deep.String() + `{"a":1,"a":1}` + strings.Repeat("}", 16),
		`{"parts":` + deep.String() + `1` + strings.Repeat("}", 16),
	} {
		var got request
		if err := got.decode(body); err != nil {
			require.Less(t, len(err.Error()), 20*120)
		}
	}
}

func TestErrorText(t *testing.T) {
	var got request
	require.EqualError(t, got.decode(`{"size":"1","filename":1}`),
		"size: must be a whole number, got a string\nfilename: must be a string, got a number")
	require.EqualError(t, got.decode(`[]`), "the body must be a JSON object, got an array")
}

func TestObjectPanicsOnUnknownTarget(t *testing.T) {
	const want = `strict: the target of member "size" must have a supported type, got *int64`
	require.PanicsWithValue(t, want, func() {
		_ = Object([]byte(`{"size":1}`), []Member{{"size", new(int64)}}, RejectUnknown)
	})
}

// FuzzObject checks that encoding/json reads the same values from every body
// that Object accepts.
func FuzzObject(f *testing.F) {
	for _, body := range []string{
		`{"filename":"a.png","type":"image/png","size":12,"metadata":{"a":"b"},"parts":[{"PartNumber":1,"ETag":"x"}]}`,
		`{"si\u007ae":1,"size":2}`, `{"filename":"\ud83d\ude00"}`, `{"filename":"\ud800"}`,
		`{"size":-0}`, `{"size":1e3}`,
		`{"Size":1}`, `{"parts":null}`, `{"parts":1e400}`, `{"metadata":{"a":null}}`, `{} {}`,
		"{\"type\":\"\xff\"}", `[]`, ``,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got request
		if err := got.decode(string(body)); err != nil {
			for _, fault := range faults(t, err) {
				require.NotEmpty(t, fault.Detail)
				for _, r := range fault.Error() {
					require.True(t, unicode.IsPrint(r), "%q", fault)
				}
			}
			require.LessOrEqual(t, len(faults(t, err)), maxFaults)
			return
		}

		require.True(t, utf8.Valid(body))
		require.Equal(t, unmarshal(t, body), got)

		// A lone surrogate would be decoded as U+FFFD. The values would then
		// have more of these characters than the body.
		spelled := strings.Count(string(body), "\ufffd") +
			strings.Count(strings.ToLower(string(body)), `\ufffd`)
		decoded := 0
		count := func(v string) { decoded += strings.Count(v, "\ufffd") }
		var everything any
		decoder := json.NewDecoder(strings.NewReader(string(body)))
		decoder.UseNumber()
		require.NoError(t, decoder.Decode(&everything))
		walk(everything, count)
		require.LessOrEqual(t, decoded, spelled)
	})
}

// unmarshal decodes a body with encoding/json. It removes null members and
// fractions of zero first, which Object and encoding/json treat differently.
func unmarshal(t *testing.T, body []byte) (want request) {
	var members, metadata map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(body, &members))
	isNull := func(_ string, value json.RawMessage) bool { return string(value) == "null" }
	maps.DeleteFunc(members, isNull)
	if members["metadata"] != nil {
		require.NoError(t, json.Unmarshal(members["metadata"], &metadata))
		maps.DeleteFunc(metadata, isNull)
		var err error
		members["metadata"], err = json.Marshal(metadata)
		require.NoError(t, err)
	}
	if digits, fraction, ok := strings.Cut(string(members["size"]), "."); ok {
		require.Empty(t, strings.Trim(fraction, "0"))
		members["size"] = json.RawMessage(digits)
	}
	body, err := json.Marshal(members)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(body, &want))
	want.Parts = members["parts"]
	return want
}

func walk(v any, f func(string)) {
	switch v := v.(type) {
	case string:
		f(v)
	case []any:
		for _, v := range v {
			walk(v, f)
		}
	case map[string]any:
		for name, v := range v {
			f(name)
			walk(v, f)
		}
	}
}

// FuzzMarshaled checks that Object decodes every request that encoding/json
// writes.
func FuzzMarshaled(f *testing.F) {
	f.Add("a.png", "image/png", int64(12), "name", "value")
	f.Add("\u2028<>&\x00\x7f😀", "", int64(math.MinInt64), "", "\\ud800")
	f.Fuzz(func(t *testing.T, filename, typ string, size int64, name, value string) {
		for _, s := range []*string{&filename, &typ, &name, &value} {
			*s = strings.ToValidUTF8(*s, "?")
		}
		want := request{
			Filename: filename, Type: &typ, Size: &size,
			Metadata: map[string]string{name: value}, Parts: json.RawMessage(`[]`),
		}
		body, err := json.Marshal(want)
		require.NoError(t, err)
		var got request
		require.NoError(t, got.decode(string(body)))
		require.Equal(t, want, got)

		// A second member of the same name is rejected, even if it is escaped.
		err = got.decode(strings.Replace(string(body), "{", `{"\u0073ize":1,`, 1))
		var fault *Error
		require.True(t, errors.As(err, &fault))
		require.Equal(t, "size", fault.Field)
	})
}

// TestObjectLimitsDepth checks that a body of 16 nested arrays and objects is
// accepted, and a deeper body is rejected.
func TestObjectLimitsDepth(t *testing.T) {
	const tooDeep = "nested deeper than 16 levels"
	for levels, want := range map[int]string{
		16: "", 17: tooDeep, 10_000: tooDeep, 10_002: tooDeep,
	} {
		var got struct{ any json.RawMessage }
		body := `{"any":` + strings.Repeat("[", levels-1) + strings.Repeat("]", levels-1) + `}`
		err := Object([]byte(body), []Member{{Name: "any", Value: &got.any}}, RejectUnknown)
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, want)
	}
}
