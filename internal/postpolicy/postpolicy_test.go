package postpolicy

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var expires = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func sign([]byte) string { return strings.Repeat("0", 64) }

func form(fields ...Field) *Form {
	return &Form{Bucket: "bucket", Expires: expires, MinSize: 1, MaxSize: 10, Fields: fields}
}

func TestGolden(t *testing.T) {
	fields, err := form(Field{"key", `u/"a" <b>&ü`}, Field{"Content-Type", "image/png"}, Field{"tagging", "<Tagging/>"}).Sign(func(policy []byte) string {
		return "signature of " + strconv.Itoa(len(policy)) + " bytes"
	})
	require.NoError(t, err)
	document, err := base64.StdEncoding.DecodeString(fields["policy"])
	require.NoError(t, err)
	require.Equal(t, `{"expiration":"2026-12-01T12:00:00.000Z","conditions":[{"bucket":"bucket"},["content-length-range",1,10],`+
		`{"key":"u/\"a\" \u003cb\u003e\u0026ü"},{"Content-Type":"image/png"},["eq","$tagging","\u003cTagging/\u003e"]]}`, string(document))
	require.Equal(t, map[string]string{
		"key": `u/"a" <b>&ü`, "Content-Type": "image/png", "tagging": "<Tagging/>",
		"policy": fields["policy"], "x-amz-signature": "signature of 288 bytes",
	}, fields)
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		form Form
		want string
	}{
		"no bucket":           {Form{MaxSize: 1}, `bucket ""`},
		"bucket with dollar":  {Form{Bucket: "$b", MaxSize: 1}, `bucket "$b"`},
		"range upside down":   {Form{Bucket: "b", MinSize: 2, MaxSize: 1}, "from 2 to 1"},
		"range below nothing": {Form{Bucket: "b", MinSize: -1, MaxSize: 1}, "from -1 to 1"},
		"nameless field":      {*form(Field{"", "v"}), `name ""`},
		"variable as name":    {*form(Field{"$key", "v"}), `name "$key"`},
		"name with break":     {*form(Field{"a\r\nb", "v"}), `name "a\r\nb"`},
		"signature":           {*form(Field{"X-Amz-Signature", "v"}), "no condition"},
		"policy":              {*form(Field{"Policy", "v"}), "no condition"},
		"file":                {*form(Field{"FILE", "v"}), "no condition"},
		"bucket as field":     {*form(Field{"bucket", "v"}), "no condition"},
		"ignored":             {*form(Field{"X-Ignore-Me", "v"}), "no condition"},
		"dollar":              {*form(Field{"key", "u/${filename}"}), "dollar sign"},
		"line break":          {*form(Field{"key", "a\nb"}), "control character"},
		"NUL":                 {*form(Field{"key", "a\x00b"}), "control character"},
		"invalid UTF-8":       {*form(Field{"key", "a\xff"}), "invalid UTF-8"},
		"twice":               {*form(Field{"key", "a"}, Field{"Key", "b"}), `two fields "Key"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.form.Sign(sign)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "${filename}", "values may be secret")
		})
	}
}

// TestFormSize finds the largest session token that a form takes, which counts twice: in the policy and as a field.
func TestFormSize(t *testing.T) {
	tokenForm := func(n int) *Form { return form(Field{"x-amz-security-token", strings.Repeat("t", n)}) }
	largest := 0
	for n := 0; n < MaxFormSize; n++ {
		if _, err := tokenForm(n).Sign(sign); err != nil {
			require.ErrorContains(t, err, "S3 takes 20480")
			break
		}
		largest = n
	}
	require.Greater(t, largest, 7500)
	fields, err := tokenForm(largest).Sign(sign)
	require.NoError(t, err)
	require.Less(t, 2*largest, len(fields["policy"])+len(fields["x-amz-security-token"]))
	require.LessOrEqual(t, formSize(fields), MaxFormSize)
}

// FuzzRoundTrip: whatever is signed, decoding gives back exactly the conditions that were put in, and the form holds
// exactly the fields that they admit.
func FuzzRoundTrip(f *testing.F) {
	f.Add("bucket", "key", "u/a.png", "x-amz-meta-a", `"},{"acl":"public-read`, int64(0), int64(5))
	f.Add("b", "key", "\u2028 \u00ff </script>", "Content-Type", `\`, int64(7), int64(7))
	f.Add("b", "tagging", "<Tagging/>", "a", "\t", int64(7), int64(6))
	f.Fuzz(func(t *testing.T, bucket, name1, value1, name2, value2 string, minSize, maxSize int64) {
		form := &Form{Bucket: bucket, Expires: expires, MinSize: minSize, MaxSize: maxSize, Fields: []Field{{name1, value1}, {name2, value2}}}
		fields, err := form.Sign(sign)
		if err != nil {
			return
		}
		document, err := base64.StdEncoding.DecodeString(fields["policy"])
		require.NoError(t, err)
		delete(fields, "policy")
		delete(fields, "x-amz-signature")
		require.Equal(t, map[string]string{name1: value1, name2: value2}, fields)

		condition := func(field Field) any {
			if strings.EqualFold(field.Name, "tagging") {
				return []any{"eq", "$" + field.Name, field.Value}
			}
			return map[string]any{field.Name: field.Value}
		}
		var got struct {
			Expiration time.Time
			Conditions []any
		}
		decoder := json.NewDecoder(strings.NewReader(string(document)))
		decoder.UseNumber()
		require.NoError(t, decoder.Decode(&got))
		require.False(t, decoder.More())
		require.True(t, expires.Equal(got.Expiration))
		require.Equal(t, []any{
			map[string]any{"bucket": bucket},
			[]any{"content-length-range", json.Number(strconv.FormatInt(minSize, 10)), json.Number(strconv.FormatInt(maxSize, 10))},
			condition(form.Fields[0]), condition(form.Fields[1]),
		}, got.Conditions)
	})
}

// FuzzString holds the one encoder that every string of a policy passes through against encoding/json.
func FuzzString(f *testing.F) {
	for _, s := range []string{"", "a\"b\\c", "\x00\x1f\x7f\b\f\n\r\t", "<>&'", "\u2027\u2028\u2029\u202a", "\xff\xc0\x80", "日本\U0001F600", "\ufffd"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := json.Marshal(s)
		require.NoError(t, err)
		require.Equal(t, string(want), string(appendString(nil, s)))
	})
}
