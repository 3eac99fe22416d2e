package postpolicy

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"mime/multipart"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/s3limit"
)

var expires = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func sign(string) string { return strings.Repeat("0", 64) }

// values returns the fields of a form by name. It checks that the names differ.
func values(t *testing.T, fields []Field) map[string]string {
	all := make(map[string]string)
	for _, field := range fields {
		require.NotContains(t, all, field.Name)
		all[field.Name] = field.Value
	}
	return all
}

// form returns a form whose first field is in its Common.
func form(fields ...Field) (*Form, error) {
	common, err := NewCommon("bucket", fields[:1])
	return &Form{Common: common, Expires: expires, MinSize: 1, MaxSize: 10, Fields: fields[1:]}, err
}

func TestSignMatchesGoldenForm(t *testing.T) {
	form, err := form(Field{"key", `u/"a" <b>&ü!`}, Field{"Content-Type", "image/png"},
		Field{"tagging", "<Tagging/>"})
	require.NoError(t, err)
	complete, err := form.Sign(func(policy string) string {
		require.True(t, strings.HasPrefix(policy, form.Common.PolicyBeginning))
		return "signature of " + strconv.Itoa(len(policy)) + " bytes"
	})
	require.NoError(t, err)
	fields := values(t, complete)
	document, err := base64.StdEncoding.DecodeString(fields["policy"])
	require.NoError(t, err)
	require.Equal(t, `{"conditions":[{"bucket":"bucket"},{"key":"u/\"a\" <b>&ü!"},  `+
		`["content-length-range",1,10],{"Content-Type":"image/png"},["eq","$tagging","<Tagging/>"]],`+
		`"expiration":"2026-12-01T12:00:00.000Z"}`, string(document))
	require.Equal(t, map[string]string{
		"key": `u/"a" <b>&ü!`, "Content-Type": "image/png", "tagging": "<Tagging/>",
		"policy": fields["policy"], "x-amz-signature": "signature of 260 bytes",
	}, fields)
}

func TestSignRejectsFields(t *testing.T) {
	for name, c := range map[string]struct {
		bucket  string
		minSize int64
		fields  []Field
		want    string
	}{
		"no bucket":           {bucket: "", want: `got ""`},
		"bucket with dollar":  {bucket: "$b", want: `got "$b"`},
		"range upside down":   {bucket: "b", minSize: 11, want: "from 11 to 10"},
		"range below nothing": {bucket: "b", minSize: -1, want: "from -1 to 10"},
		"nameless field":      {bucket: "b", fields: []Field{{"", "v"}}, want: `name ""`},
		"variable as name":    {bucket: "b", fields: []Field{{"$key", "v"}}, want: `name "$key"`},
		"name with break":     {bucket: "b", fields: []Field{{"a\r\nb", "v"}}, want: `name "a\r\nb"`},
		"signature":           {bucket: "b", fields: []Field{{"X-Amz-Signature", "v"}}, want: "no condition"},
		"policy":              {bucket: "b", fields: []Field{{"Policy", "v"}}, want: "no condition"},
		"file":                {bucket: "b", fields: []Field{{"FILE", "v"}}, want: "no condition"},
		"bucket as field":     {bucket: "b", fields: []Field{{"bucket", "v"}}, want: "no condition"},
		"ignored":             {bucket: "b", fields: []Field{{"X-Ignore-Me", "v"}}, want: "no condition"},
		"dollar":              {bucket: "b", fields: []Field{{"key", "u/${filename}"}}, want: "dollar sign"},
		"line break":          {bucket: "b", fields: []Field{{"key", "a\nb"}}, want: "control character"},
		"NUL":                 {bucket: "b", fields: []Field{{"key", "a\x00b"}}, want: "control character"},
		"DEL":                 {bucket: "b", fields: []Field{{"key", "a\x7fb"}}, want: "control character"},
		"invalid UTF-8":       {bucket: "b", fields: []Field{{"key", "a\xff"}}, want: "invalid UTF-8"},
		"tags with a dollar":  {bucket: "b", fields: []Field{{"tagging", "$"}}, want: "dollar sign"},
		"twice":               {bucket: "b", fields: []Field{{"key", "a"}, {"Key", "b"}}, want: `got "Key" twice`},
	} {
		t.Run(name, func(t *testing.T) {
			for common := range len(c.fields) + 1 {
				whole, err := NewCommon(c.bucket, c.fields[:common])
				if err == nil {
					form := &Form{
						Common: whole, MinSize: c.minSize, MaxSize: 10, Fields: c.fields[common:],
					}
					_, err = form.Sign(sign)
				}
				require.ErrorContains(t, err, c.want)
				require.NotContains(t, err.Error(), "${filename}", "values might be secret")
			}
		})
	}
}

// TestSignRejectsLargeForms checks that the form with the largest accepted
// session token has the largest size that S3 accepts. A token counts twice: in
// the policy and as a field.
func TestSignRejectsLargeForms(t *testing.T) {
	signed := func(n int) ([]Field, error) {
		form, err := form(Field{"x-amz-security-token", strings.Repeat("t", n)}, Field{"key", "a"})
		require.NoError(t, err)
		return form.Sign(sign)
	}
	largest := 0
	for n := 0; n < s3limit.FormSize; n++ {
		if _, err := signed(n); err != nil {
			require.ErrorContains(t, err, "must have at most 20480 bytes")
			break
		}
		largest = n
	}
	require.Greater(t, largest, 7500)
	fields, err := signed(largest)
	require.NoError(t, err)

	// A client with the longest boundary and file name sends these bytes before
	// the file.
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	require.NoError(t, w.SetBoundary(strings.Repeat("b", 70)))
	for _, field := range fields {
		require.NoError(t, w.WriteField(field.Name, field.Value))
	}
	_, err = w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="file"; filename="` + strings.Repeat("%22", 255) + `"`},
		"Content-Type":        {strings.Repeat("t", 255)},
	})
	require.NoError(t, err)
	require.LessOrEqual(t, body.Len(), s3limit.FormSize)
	require.Greater(t, body.Len(), s3limit.FormSize-20)
}

// FuzzRoundTrip checks that a signed policy decodes to exactly the given
// conditions, and that the form has exactly the fields that they accept.
func FuzzRoundTrip(f *testing.F) {
	f.Add("bucket", "key", "u/a.png", "x-amz-meta-a", `"},{"acl":"public-read`, int64(0), int64(5))
	f.Add("b", "key", "\u2028 \u00ff </script>", "Content-Type", `\`, int64(7), int64(7))
	f.Add("b", "tagging", "<Tagging/>", "a", "\t", int64(7), int64(6))
	f.Fuzz(func(t *testing.T, bucket, name1, value1, name2, value2 string, minSize, maxSize int64) {
		first, second := Field{name1, value1}, Field{name2, value2}
		common, err := NewCommon(bucket, []Field{first})
		if err != nil {
			return
		}
		form := &Form{
			Common: common, Expires: expires, MinSize: minSize, MaxSize: maxSize,
			Fields: []Field{second},
		}
		complete, err := form.Sign(sign)
		if err != nil {
			return
		}
		fields := values(t, complete)
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
			condition(first),
			[]any{
				"content-length-range", json.Number(strconv.FormatInt(minSize, 10)),
				json.Number(strconv.FormatInt(maxSize, 10)),
			},
			condition(second),
		}, got.Conditions)
	})
}

func TestAppendStringReportsPlainText(t *testing.T) {
	for s, want := range map[string]bool{
		"": true, "a <b>&ü\u2028\"\\": true, "\ufffd": true,
		"$": false, "ü$": false, "\x00": false, "a\x1f": false, "\x7f": false, "\xff": false,
		"\n": false,
	} {
		_, plain := appendString(nil, s)
		require.Equal(t, want, plain, "%q", s)
	}
}
