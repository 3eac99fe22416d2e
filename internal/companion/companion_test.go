package companion_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/companion"
	"github.com/s3presign/presign/internal/multipart"
	"github.com/s3presign/presign/internal/strict"
)

func TestMetadata(t *testing.T) {
	got, err := companion.Metadata(json.RawMessage(`{
		"name": "日本.png", "type": "image/png", "relativePath": null, "size": 20971520,
		"public": true, "empty": "", "tags": ["a"], "nested": {"a": "b"}}`))
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"name": "日本.png", "type": "image/png", "size": "20971520", "public": "true",
	}, got)
	for _, nothing := range []string{"", "null", "{}"} {
		got, err := companion.Metadata(json.RawMessage(nothing))
		require.NoError(t, err)
		require.Empty(t, got)
	}
	for _, bad := range []string{`[]`, `"a"`, `5`, `true`} {
		_, err := companion.Metadata(json.RawMessage(bad))
		require.EqualError(t, err, "must be an object", bad)
	}
}

// decodeParts reads the body of a completion.
func decodeParts(body string) ([]multipart.Part, error) {
	var named companion.Parts
	members := []strict.Member{named.Member()}
	if err := strict.Object([]byte(body), members, strict.IgnoreUnknown); err != nil {
		return nil, err
	}
	return named.Sorted()
}

// TestParts checks that the parts of all versions of Uppy are accepted. Uppy 6
// sends ETags bare, Uppy 5 quoted, and Uppy 4 with the headers of the store's
// response.
func TestParts(t *testing.T) {
	got, err := decodeParts(`{"parts": [
		{"PartNumber": 2, "ETag": "\"b\"", "etag": "other", "content-length": "0", "partnumber": 7},
		{"PartNumber": 1, "ETag": "a", "new": {"x": [1]}}], "new": 1}`)
	require.NoError(t, err)
	require.Equal(t, []multipart.Part{{Number: 1, ETag: "a"}, {Number: 2, ETag: `"b"`}}, got)
	for bad, want := range map[string]string{
		`null`:                                 "must be an array of objects",
		`{}`:                                   "must be an array of objects",
		`[1]`:                                  "must be an object",
		`[{}]`:                                 "PartNumber from 1 to 10000",
		`[null]`:                               "must be an object",
		`[{"PartNumber": "1", "ETag": "a"}]`:   "PartNumber",
		`[{"partNumber": 1, "ETag": "a"}]`:     "PartNumber",
		`[{"PartNumber": 0, "ETag": "a"}]`:     "PartNumber",
		`[{"PartNumber": 10001, "ETag": "a"}]`: "PartNumber",
		`[{"PartNumber": 1.5, "ETag": "a"}]`:   "PartNumber",
		`[{"PartNumber": 1, "ETag": ""}]`:      "ETag",
		`[{"PartNumber": 1, "etag": "a"}]`:     "ETag",
		`[{"PartNumber": 1, "ETag": 5}]`:       "ETag",
		`[{"PartNumber": 1, "ETag": "a"}, {"PartNumber": 1, "ETag": "b"}]`:     "part 1 twice",
		`[{"PartNumber": 1, "ETag": "a", "x": {"a": 1, "a": 2}}]`:              "must be present only once",
		"[" + strings.Repeat(`{"PartNumber": 1, "ETag": "a"},`, 10_000) + "1]": "at most 10000",
	} {
		_, err := decodeParts(`{"parts": ` + bad + `}`)
		require.ErrorContains(t, err, want, "%.50s", bad)
	}
	_, err = decodeParts(`{}`)
	require.ErrorContains(t, err, "must be an array of objects")
}

func TestPartNumbers(t *testing.T) {
	got, err := companion.PartNumbers("1,2,10000")
	require.NoError(t, err)
	require.Equal(t, []int{1, 2, 10000}, got)
	for _, bad := range []string{
		"", ",", "1,", "0", "10001", "-1", "+1", "01", "1, 2", "a", "1.0",
		"99999999999999999999", strings.Repeat("1,", 100) + "1",
	} {
		_, err := companion.PartNumbers(bad)
		require.Error(t, err, bad)
	}
}

// FuzzParts checks that accepted parts are in order and within the limits, and
// that they are decoded again if they are encoded.
func FuzzParts(f *testing.F) {
	f.Add(`[{"PartNumber": 2, "ETag": "\"b\""}, {"PartNumber": 1, "ETag": "a", "x": {}}]`)
	f.Add(`[{"PartNumber": 1e0, "ETag": "\u0061"}]`)
	f.Fuzz(func(t *testing.T, s string) {
		parts, err := decodeParts(`{"parts": ` + s + `}`)
		if err != nil {
			return
		}
		var again []string
		last := 0
		for _, p := range parts {
			require.Greater(t, p.Number, last)
			require.LessOrEqual(t, p.Number, 10_000)
			require.NotEmpty(t, p.ETag)
			last = p.Number
			etag, err := json.Marshal(p.ETag)
			require.NoError(t, err)
			again = append(again, fmt.Sprintf(`{"PartNumber":%d,"ETag":%s}`, p.Number, etag))
		}
		slices.Reverse(again)
		twice, err := decodeParts(`{"parts": [` + strings.Join(again, ",") + "]}")
		require.NoError(t, err)
		require.Equal(t, parts, twice)
	})
}

// FuzzMetadata checks that no decoded value is empty.
func FuzzMetadata(f *testing.F) {
	f.Add(`{"name": "a", "relativePath": null, "size": 5, "x": [1], "y": false}`)
	f.Fuzz(func(t *testing.T, s string) {
		if !json.Valid([]byte(s)) || s != strings.TrimSpace(s) {
			return
		}
		metadata, err := companion.Metadata(json.RawMessage(s))
		if err != nil {
			return
		}
		for _, value := range metadata {
			require.NotEmpty(t, value)
		}
	})
}

// FuzzPartNumbers checks that the decoded list can be encoded again to the same
// text.
func FuzzPartNumbers(f *testing.F) {
	f.Add("1,2,10000")
	f.Fuzz(func(t *testing.T, s string) {
		numbers, err := companion.PartNumbers(s)
		if err == nil {
			require.Equal(t, s,
				strings.ReplaceAll(strings.Trim(fmt.Sprint(numbers), "[]"), " ", ","))
		}
	})
}
