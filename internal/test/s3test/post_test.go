package s3test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
)

// A testForm is a form before it is signed. Every field has an eq condition,
// unless the field is in uncovered.
type testForm struct {
	path                      string
	keyID, secret             string
	date                      time.Time
	expiration                string
	scope                     string // date, region and so on; derived from date if empty
	fields                    [][2]string
	uncovered                 [][2]string // fields without conditions
	conditions                []any       // added to the conditions of the fields and the bucket
	bucket                    any         // the condition of the bucket, if not the default
	policy                    string      // replaces the policy of the conditions
	file, filename            string
	noFilename                bool
	after                     [][2]string                          // fields after the file
	signed                    func(fields [][2]string) [][2]string // changes the signed fields
	contentType, fileFieldKey string
}

func newForm(key string) *testForm {
	return &testForm{
		path: "/bucket", keyID: AccessKeyID, secret: SecretAccessKey, date: time.Now().UTC(),
		file:       hello,
		expiration: time.Now().UTC().Add(time.Hour).Format("2006-01-02T15:04:05.000Z"),
		filename:   "file.txt",
		fields:     [][2]string{{"key", key}}, bucket: map[string]string{"bucket": DefaultBucket},
		fileFieldKey: "file",
	}
}

func (f *testForm) request(t *testing.T, s *Server) *http.Request {
	t.Helper()
	scope := f.scope
	if scope == "" {
		scope = f.date.Format(dateFormat) + "/" + s.region + "/s3/aws4_request"
	}
	fields := append(slices.Clone(f.fields), [][2]string{
		{"x-amz-algorithm", algorithm}, {"x-amz-credential", f.keyID + "/" + scope},
		{"x-amz-date", f.date.Format(timeFormat)},
	}...)
	policy := f.policy
	if policy == "" {
		conditions := slices.Clone(f.conditions)
		if f.bucket != nil {
			conditions = append(conditions, f.bucket)
		}
		for _, field := range fields {
			conditions = append(conditions, map[string]string{field[0]: field[1]})
		}
		text, err := json.Marshal(map[string]any{
			"expiration": f.expiration, "conditions": conditions,
		})
		require.NoError(t, err)
		policy = string(text)
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(policy))
	fields = append(fields, f.uncovered...)
	fields = append(fields, [2]string{"policy", encoded},
		[2]string{
			"x-amz-signature",
			formSignature(f.secret, f.date.Format(dateFormat), s.region, encoded),
		})
	if f.signed != nil {
		fields = f.signed(fields)
	}
	body, contentType := encode(t, fields, f, f.after)
	req, err := http.NewRequest(http.MethodPost, s.URL+f.path, body)
	require.NoError(t, err)
	if f.contentType != "" {
		contentType = f.contentType
	}
	req.Header.Set("Content-Type", contentType)
	return req
}

func encode(
	t *testing.T, fields [][2]string, f *testForm, after [][2]string,
) (*bytes.Reader, string) {
	t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	write := func(header, content string) {
		part, err := w.CreatePart(textproto.MIMEHeader{
			"Content-Disposition": {header}, "Content-Type": {"text/html"},
		})
		require.NoError(t, err)
		_, err = io.WriteString(part, content)
		require.NoError(t, err)
	}
	for _, field := range fields {
		require.NoError(t, w.WriteField(field[0], field[1]))
	}
	header := fmt.Sprintf(`form-data; name="%s"`, f.fileFieldKey)
	if !f.noFilename {
		header += fmt.Sprintf(`; filename="%s"`, f.filename)
	}
	write(header, f.file)
	for _, field := range after {
		require.NoError(t, w.WriteField(field[0], field[1]))
	}
	require.NoError(t, w.Close())
	return bytes.NewReader(body.Bytes()), w.FormDataContentType()
}

// TestPostVector checks the signature of the policy in the AWS documentation,
// which has CR LF line ends.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-post-example.html
func TestPostVector(t *testing.T) {
	t.Parallel()
	policy := strings.Join([]string{
		`{ "expiration": "2015-12-30T12:00:00.000Z",`,
		`  "conditions": [`,
		`    {"bucket": "sigv4examplebucket"},`,
		`    ["starts-with", "$key", "user/user1/"],`,
		`    {"acl": "public-read"},`,
		`    {"success_action_redirect": "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html"},`,
		`    ["starts-with", "$Content-Type", "image/"],`,
		`    {"x-amz-meta-uuid": "14365123651274"},`,
		`    {"x-amz-server-side-encryption": "AES256"},`,
		`    ["starts-with", "$x-amz-meta-tag", ""],`,
		``,
		`    {"x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"},`,
		`    {"x-amz-algorithm": "AWS4-HMAC-SHA256"},`,
		`    {"x-amz-date": "20151229T000000Z" }`,
		`  ]`,
		`}`,
	}, "\r\n")
	signature := func(policy string) string {
		encoded := base64.StdEncoding.EncodeToString([]byte(policy))
		return formSignature(SecretAccessKey, "20151229", "us-east-1", encoded)
	}
	require.Equal(t,
		"8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e", signature(policy))
	require.Equal(t,
		"86aaafeda50e7b032f0fe24086079df198e4c3d0d308518251cf6653a9bf390d",
		signature(strings.ReplaceAll(policy, "\r", "")))

	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2015, 12, 29, 0, 0, 0, 0, time.UTC)))
		s := New(WithHost("s3.amazonaws.com"), WithBuckets("sigv4examplebucket"))
		f := &testForm{
			path: "/sigv4examplebucket", keyID: AccessKeyID, secret: SecretAccessKey,
			date: time.Now().UTC(), policy: policy,
			file: hello, filename: "photo.jpg", fileFieldKey: "file",
			fields: [][2]string{
				{"key", "user/user1/${filename}"}, {"acl", "public-read"},
				{"Content-Type", "image/jpeg"}, {"x-amz-meta-uuid", "14365123651274"},
				{"success_action_redirect", "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html"},
				{"x-amz-server-side-encryption", "AES256"}, {"X-Amz-Meta-Tag", ""},
			},
		}
		require.Equal(t, "AccessControlListNotSupported", send(t, s, f.request(t, s)).code(),
			"only the ACL must be rejected")
		f.fields[1][1] = "private"
		require.Equal(t, "AccessDenied", send(t, s, f.request(t, s)).code())
	})
}

// TestPresignedPost checks that the server accepts forms that the SDK presigns,
// in both styles of addressing.
func TestPresignedPost(t *testing.T) {
	t.Parallel()
	s := Start(t, WithHost("s3.example.org"))
	s.AddCredentials(aws.Credentials{
		AccessKeyID: "ASIATEMP", SecretAccessKey: "secret", SessionToken: "token",
	})
	for i, optFns := range [][]func(*s3.Options){
		nil, virtual, {withKeys("ASIATEMP", "secret", "token")},
	} {
		key := fmt.Sprintf("a b/ü/%d", i)
		signed, err := s3.NewPresignClient(s.S3(optFns...)).PresignPostObject(t.Context(),
			&s3.PutObjectInput{
				Bucket: aws.String(DefaultBucket), Key: &key,
			}, func(o *s3.PresignPostOptions) {
				o.Conditions = []any{
					[]any{"content-length-range", 0, 11},
					[]any{"starts-with", "$Content-Type", "image/"},
				}
			})
		require.NoError(t, err)
		signed.Values["Content-Type"] = "image/png"
		send := func(values map[string]string) response {
			var fields [][2]string
			for name, value := range values {
				fields = append(fields, [2]string{name, value})
			}
			body, contentType := encode(t, fields, newForm(""), nil)
			req, err := http.NewRequest(http.MethodPost, signed.URL, body)
			require.NoError(t, err)
			req.Header.Set("Content-Type", contentType)
			return send(t, s, req)
		}
		a := send(signed.Values)
		require.Equal(t, 204, a.status, a.body)
		require.Empty(t, a.body)
		require.Empty(t, a.header.Get("Content-Type"))
		o, ok := s.Object(DefaultBucket, key)
		require.True(t, ok)
		require.Equal(t, hello, string(o.Body))
		require.Equal(t, "image/png", o.Header.Get("Content-Type"))
		require.Equal(t, o.ETag, a.header.Get("ETag"))
		require.Equal(t, o.Checksum, a.header.Get("X-Amz-Checksum-Crc64nvme"))
		require.Equal(t,
			fmt.Sprintf("%s/a%%20b%%2F%%C3%%BC%%2F%d", strings.TrimSuffix(signed.URL, "/"), i),
			a.header.Get("Location"))

		if i == 2 {
			for token, want := range map[string]string{
				"other": "400 InvalidToken", "": "403 InvalidAccessKeyId",
			} {
				values := maps.Clone(signed.Values)
				values["X-Amz-Security-Token"] = token
				a := send(values)
				require.Equal(t, want, fmt.Sprint(a.status, " ", a.code()))
			}
		}
	}
}

// TestPost checks the server's response to changes of a valid form.
func TestPost(t *testing.T) {
	t.Parallel()
	type fields = [][2]string
	set := func(name, value string) func(fields) fields {
		return func(f fields) fields {
			f = slices.Clone(f)
			for i := range f {
				if f[i][0] == name {
					f[i][1] = value
				}
			}
			return f
		}
	}
	without := func(names ...string) func(*testForm) {
		return func(f *testForm) {
			f.signed = func(all fields) fields {
				return slices.DeleteFunc(
					all, func(field [2]string) bool { return slices.Contains(names, field[0]) })
			}
		}
	}
	add := func(name, value string) func(*testForm) {
		return func(f *testForm) { f.fields = append(f.fields, [2]string{name, value}) }
	}
	uncovered := func(name, value string) func(*testForm) {
		return func(f *testForm) { f.uncovered = append(f.uncovered, [2]string{name, value}) }
	}
	// condition replaces the condition of a field.
	condition := func(name, value string, condition ...any) func(*testForm) {
		return func(f *testForm) {
			f.fields = slices.DeleteFunc(
				f.fields, func(field [2]string) bool { return field[0] == name })
			f.uncovered = append(f.uncovered, [2]string{name, value})
			f.conditions = append(f.conditions, condition...)
		}
	}
	size := func(condition []any, file string) func(*testForm) {
		return func(f *testForm) { f.conditions, f.file = append(f.conditions, condition), file }
	}
	change := func(fs ...func(*testForm)) func(*testForm) {
		return func(f *testForm) {
			for _, change := range fs {
				change(f)
			}
		}
	}
	document := func(format string) func(*testForm) {
		return func(f *testForm) {
			f.policy = strings.ReplaceAll(format, "NEXT-HOUR", f.expiration)
		}
	}
	list := func(elements ...any) []any { return elements }
	named := func(filename string) func(*testForm) {
		return func(f *testForm) { f.filename = filename }
	}

	type result struct {
		response
		server *Server
	}
	element := func(name, want string) func(*testing.T, result) {
		return func(t *testing.T, r result) { require.Equal(t, want, r.elements[name]) }
	}
	message := func(want string) func(*testing.T, result) { return element("Message", want) }
	stored := func(key string, check func(*testing.T, Object)) func(*testing.T, result) {
		return func(t *testing.T, r result) {
			require.ElementsMatch(t, []string{key, "taken"}, r.server.Objects(DefaultBucket))
			o, _ := r.server.Object(DefaultBucket, key)
			if check != nil {
				check(t, o)
			}
		}
	}
	header := func(name, want string) func(*testing.T, result) {
		return stored(
			"key", func(t *testing.T, o Object) { require.Equal(t, want, o.Header.Get(name)) })
	}
	const tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
	sha := sum("SHA256", []byte(hello))

	for _, test := range []struct {
		name   string
		change func(*testForm)
		want   string
		check  func(*testing.T, result)
	}{
		{"valid", change(), "204", stored("key", func(t *testing.T, o Object) {
			require.Equal(t, hello, string(o.Body))
			require.Equal(t, `"5eb63bbbe01eeed093cb22bb8f5acdc3"`, o.ETag)
			require.Equal(t, "binary/octet-stream", o.Header.Get("Content-Type"),
				"the server must ignore the type of the file part")
			require.Equal(t, "CRC64NVME", o.ChecksumAlgorithm)
		})},
		{"path with a slash", func(f *testForm) { f.path = "/bucket/" }, "204", nil},
		{"path with a key", func(f *testForm) { f.path = "/bucket/key" }, "403 AccessDenied", nil},
		{"names in another case", func(f *testForm) {
			f.signed = func(all fields) fields {
				for i := range all {
					all[i][0] = strings.ToUpper(all[i][0])
				}
				return all
			}
		}, "204", nil},
		{"empty file", func(f *testForm) { f.file = "" }, "204", nil},
		{"file with a line that looks like a boundary",
			func(f *testForm) { f.file = "\r\n--a\r\n\r\n--\r\n" }, "204", nil},

		{"not multipart", func(f *testForm) { f.contentType = "application/x-www-form-urlencoded" },
			"412 PreconditionFailed",
			element("Condition", "Bucket POST must be of the enclosure-type multipart/form-data")},
		{"other multipart", func(f *testForm) { f.contentType = "multipart/mixed; boundary=b" },
			"412 PreconditionFailed", nil},
		{"no boundary", func(f *testForm) { f.contentType = "multipart/form-data" }, "400 MalformedPOSTRequest", nil},
		{"empty boundary", func(f *testForm) { f.contentType = "multipart/form-data; boundary=" },
			"400 MalformedPOSTRequest", nil},
		{"other boundary", func(f *testForm) { f.contentType = "multipart/form-data; boundary=b" },
			"400 MalformedPOSTRequest", nil},
		{"no file", func(f *testForm) { f.fileFieldKey = "upload" }, "400 InvalidArgument",
			element("ArgumentName", "file")},
		{"field twice", uncovered("key", "key"), "400 InvalidArgument", element("ArgumentName", "key")},
		{"field twice, in another case", uncovered("KEY", "evil"), "400 InvalidArgument", nil},
		{"fields after the file",
			func(f *testForm) {
				f.after = fields{
					{"key", "evil"}, {"x-amz-meta-a", "b"}, {"file", "second"},
				}
			}, "204",
			stored("key", func(t *testing.T, o Object) { require.Empty(t, o.Metadata) })},
		{"policy after the file", func(f *testForm) {
			f.signed = func(all fields) fields {
				i := slices.IndexFunc(
					all, func(field [2]string) bool { return field[0] == "policy" })
				f.after = fields{all[i]}
				return slices.Delete(all, i, i+1)
			}
		}, "403 AccessDenied", message("Access Denied")},

		{"no key", without("key"), "400 InvalidArgument",
			message(
				"Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.")},
		{"no policy", without("policy"), "403 AccessDenied", message("Access Denied")},
		{"no signature", without("x-amz-signature"), "400 InvalidArgument", element("ArgumentName", "X-Amz-Signature")},
		{"no algorithm and credential", without("x-amz-credential", "x-amz-algorithm"),
			"400 InvalidArgument", element("ArgumentName", "X-Amz-Algorithm")},
		{"no credential and date", without("x-amz-credential", "x-amz-date"), "400 InvalidArgument",
			element("ArgumentName", "X-Amz-Credential")},
		{"no date", without("x-amz-date"), "400 InvalidArgument", element("ArgumentName", "X-Amz-Date")},
		{"anonymous",
			without("x-amz-signature", "x-amz-credential", "x-amz-algorithm", "x-amz-date"),
			"403 AccessDenied", message("Access Denied")},
		{"anonymous without policy",
			without("x-amz-signature", "x-amz-credential", "x-amz-algorithm", "x-amz-date",
				"policy"), "403 AccessDenied", nil},
		{"other algorithm",
			func(f *testForm) { f.signed = set("x-amz-algorithm", "AWS4-HMAC-SHA1") },
			"400 InvalidArgument",
			element("ArgumentName", "X-Amz-Algorithm")},
		{"malformed date", func(f *testForm) { f.signed = set("x-amz-date", "2026-01-01") },
			"400 InvalidArgument",
			message("X-Amz-Date must be formated via ISO8601 Long format")},
		{"malformed credential",
			func(f *testForm) { f.signed = set("x-amz-credential", AccessKeyID) },
			"400 InvalidArgument",
			element("ArgumentName", "X-Amz-Credential")},
		{"credential of another day",
			func(f *testForm) { f.scope = "20130524/us-east-1/s3/aws4_request" },
			"400 InvalidArgument",
			element("ArgumentName", "X-Amz-Credential")},
		{"other region",
			func(f *testForm) {
				f.scope = f.date.Format(dateFormat) + "/us-west-1/s3/aws4_request"
			}, "400 InvalidArgument",
			func(t *testing.T, r result) {
				message("the region 'us-west-1' is wrong; expecting 'us-east-1'")(t, r)
				element("Region", "us-east-1")(t, r)
			}},
		{"other service",
			func(f *testForm) {
				f.scope = f.date.Format(dateFormat) + "/us-east-1/sts/aws4_request"
			}, "400 InvalidArgument", nil},
		{"unknown key", func(f *testForm) { f.keyID = "AKIAUNKNOWN" }, "403 InvalidAccessKeyId",
			element("AWSAccessKeyId", "AKIAUNKNOWN")},
		{"wrong secret", func(f *testForm) { f.secret = "wrong" },
			"403 SignatureDoesNotMatch", func(t *testing.T, r result) {
				require.NotEmpty(t, r.elements["StringToSign"])
				require.Equal(t, fmt.Sprintf("% x", r.elements["StringToSign"]),
					r.elements["StringToSignBytes"])
				require.NotContains(t, r.elements, "CanonicalRequest")
			}},
		{"token of a permanent key", add("x-amz-security-token", "token"), "400 InvalidToken", nil},
		{"temporary",
			change(func(f *testForm) { f.keyID, f.secret = "ASIATEMP", "secret" },
				add("x-amz-security-token", "token")), "204", nil},
		{"temporary without token", func(f *testForm) { f.keyID, f.secret = "ASIATEMP", "secret" },
			"403 InvalidAccessKeyId", nil},
		{"temporary, uncovered token",
			change(func(f *testForm) { f.keyID, f.secret = "ASIATEMP", "secret" },
				uncovered("x-amz-security-token", "token")),
			"403 AccessDenied",
			message("Invalid according to Policy: Extra input fields: x-amz-security-token")},
		{"signature tampered",
			func(f *testForm) { f.signed = set("x-amz-signature", strings.Repeat("0", 64)) },
			"403 SignatureDoesNotMatch", nil},
		{"policy tampered", func(f *testForm) { f.signed = set("policy", "e30=") }, "403 SignatureDoesNotMatch", nil},
		{"policy cut", func(f *testForm) { f.signed = set("policy", "ey") }, "403 SignatureDoesNotMatch", nil},
		{"missing bucket", func(f *testForm) { f.path = "/missing" }, "404 NoSuchBucket", nil},

		{"policy not base64", func(f *testForm) {
			f.signed = func(all fields) fields {
				return set("x-amz-signature", formSignature(f.secret, f.date.Format(dateFormat),
					DefaultRegion, "?"))(set("policy", "?")(all))
			}
		}, "400 InvalidPolicyDocument", message("Invalid Policy: Invalid Base64.")},
		{"policy not JSON", document(`{"expiration": "NEXT-HOUR", "conditions": [],}`),
			"400 InvalidPolicyDocument", message("Invalid Policy: Invalid JSON.")},
		{"policy with more behind it", document(`{"expiration": "NEXT-HOUR", "conditions": []} {}`),
			"400 InvalidPolicyDocument", nil},
		{"policy not an object", document(`[]`), "400 InvalidPolicyDocument", message("Invalid Policy: Invalid JSON.")},
		{"policy not UTF-8",
			document("{\"expiration\": \"NEXT-HOUR\", \"conditions\": [{\"key\": \"\xff\"}]}"),
			"400 InvalidPolicyDocument", nil},
		{"unknown member",
			document(`{"expiration": "NEXT-HOUR", "conditions": [], "statement": 1}`),
			"400 InvalidPolicyDocument",
			message("Invalid Policy: Unexpected: 'statement'")},
		{"member in another case", document(`{"Expiration": "NEXT-HOUR", "conditions": []}`),
			"400 InvalidPolicyDocument",
			message("Invalid Policy: Unexpected: 'Expiration'")},
		{"no expiration", document(`{"conditions": []}`), "400 InvalidPolicyDocument", nil},
		{"two expirations",
			document(`{"expiration": "NEXT-HOUR", "expiration": "NEXT-HOUR", "conditions": []}`),
			"400 InvalidPolicyDocument", nil},
		{"no conditions", document(`{"expiration": "NEXT-HOUR"}`), "400 InvalidPolicyDocument", nil},
		{"conditions not a list", document(`{"expiration": "NEXT-HOUR", "conditions": {}}`),
			"400 InvalidPolicyDocument", nil},
		{"conditions null", document(`{"expiration": "NEXT-HOUR", "conditions": null}`),
			"400 InvalidPolicyDocument", nil},
		{"condition not a list", document(`{"expiration": "NEXT-HOUR", "conditions": ["key"]}`),
			"400 InvalidPolicyDocument", nil},
		{"spaces everywhere",
			document(
				" {\n\"conditions\" : [\n [ \"eq\" ,\"$bucket\", \"x\" ] , { \"a\" : \"b\" } ] , \"expiration\" : \"NEXT-HOUR\" } \n"),
			"403 AccessDenied", message(
				`Invalid according to Policy: Policy Condition failed: ["eq", "$bucket", "x"]`)},
		{"empty conditions", document(`{"expiration": "NEXT-HOUR", "conditions": []}`),
			"403 AccessDenied",
			message(
				"Invalid according to Policy: Extra input fields: bucket, key, x-amz-algorithm, x-amz-credential, x-amz-date")},
		{"expiration without milliseconds",
			func(f *testForm) { f.expiration = strings.Replace(f.expiration, ".000Z", "Z", 1) },
			"204", nil},
		{"expiration with offset", func(f *testForm) { f.expiration = "2099-01-01T00:00:00+02:00" },
			"400 InvalidPolicyDocument",
			message("Invalid Policy: Invalid 'expiration' value: '2099-01-01T00:00:00+02:00'")},
		{"expiration with microseconds",
			func(f *testForm) { f.expiration = "2099-01-01T00:00:00.000000Z" },
			"400 InvalidPolicyDocument", nil},
		{"expiration in words", func(f *testForm) { f.expiration = "2099-01-01 00:00:00 UTC" },
			"400 InvalidPolicyDocument", nil},
		{"expiration as a number", document(`{"expiration": 4070908800, "conditions": []}`),
			"400 InvalidPolicyDocument",
			message("Invalid Policy: Invalid 'expiration' value: '4070908800'")},
		{"expired", func(f *testForm) {
			f.expiration = f.date.Add(-time.Second).Format("2006-01-02T15:04:05Z")
		}, "403 AccessDenied",
			message("Invalid according to Policy: Policy expired.")},

		{"two properties",
			func(f *testForm) { f.conditions = list(map[string]string{"acl": "a", "key": "b"}) },
			"400 InvalidPolicyDocument",
			message(
				"Invalid Policy: Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")},
		{"no property", func(f *testForm) { f.conditions = list(map[string]string{}) },
			"400 InvalidPolicyDocument", nil},
		{"number as a value",
			func(f *testForm) { f.conditions = list(map[string]int{"x-amz-meta-a": 1}) },
			"400 InvalidPolicyDocument",
			message("Invalid Policy: Invalid Simple-Condition: value must be a string.")},
		{"null as a value",
			func(f *testForm) { f.conditions = list(map[string]any{"x-amz-meta-a": nil}) },
			"400 InvalidPolicyDocument",
			message("Invalid Policy: Invalid JSON.")},
		{"unknown operator",
			func(f *testForm) { f.conditions = list(list("ends-with", "$key", "y")) },
			"400 InvalidPolicyDocument", nil},
		{"operator in another case",
			func(f *testForm) { f.conditions = list(list("EQ", "$key", "key")) },
			"400 InvalidPolicyDocument", nil},
		{"too few elements", func(f *testForm) { f.conditions = list(list("eq", "$key")) },
			"400 InvalidPolicyDocument", nil},
		{"too many elements",
			func(f *testForm) { f.conditions = list(list("eq", "$key", "key", "key")) },
			"400 InvalidPolicyDocument", nil},
		{"number in a list", func(f *testForm) { f.conditions = list(list("eq", "$key", 1)) },
			"400 InvalidPolicyDocument", nil},
		{"no dollar", condition("x-amz-meta-a", "b", list("eq", "x-amz-meta-a", "b")),
			"403 AccessDenied",
			message(
				`Invalid according to Policy: Policy Condition failed: ["eq", "x-amz-meta-a", "b"]`)},

		{"no bucket condition", func(f *testForm) { f.bucket = nil }, "403 AccessDenied",
			message("Invalid according to Policy: Extra input fields: bucket")},
		{"other bucket condition",
			func(f *testForm) { f.bucket = map[string]string{"bucket": "other"} },
			"403 AccessDenied",
			message(
				`Invalid according to Policy: Policy Condition failed: ["eq", "$bucket", "other"]`)},
		{"bucket field", uncovered("bucket", DefaultBucket), "204", nil},
		{"other bucket field", uncovered("bucket", "other"), "403 AccessDenied", nil},
		{"no key condition", condition("key", "key"), "403 AccessDenied",
			message("Invalid according to Policy: Extra input fields: key")},
		{"other key", condition("key", "evil", list("eq", "$key", "key")), "403 AccessDenied",
			message(`Invalid according to Policy: Policy Condition failed: ["eq", "$key", "key"]`)},
		{"key in other letters", condition("key", "KEY", list("eq", "$key", "key")), "403 AccessDenied", nil},
		{"condition in other letters", condition("key", "key", list("eq", "$KeY", "key")), "204", nil},
		{"key with more behind it", condition("key", "key.html", list("eq", "$key", "key")), "403 AccessDenied", nil},
		{"content type with more behind it",
			condition("Content-Type", "image/pngz", list("eq", "$Content-Type", "image/png")),
			"403 AccessDenied", nil},
		{"key prefix", condition("key", "up/key", list("starts-with", "$key", "up/")), "204", stored("up/key", nil)},
		{"other key prefix", condition("key", "down/key", list("starts-with", "$key", "up/")), "403 AccessDenied", nil},
		{"two conditions",
			condition("key", "up/key", list("starts-with", "$key", "up/"),
				list("starts-with", "$key", "up/k")), "204", stored("up/key", nil)},
		{"two conditions, one fails",
			condition("key", "up/key", list("starts-with", "$key", "up/"),
				list("starts-with", "$key", "up/x")), "403 AccessDenied", nil},
		{"exact key with a dollar", condition("key", "a$b", list("eq", "$key", "a$b")), "204", stored("a$b", nil)},
		{"exact key with two dollars", condition("key", "a$$b", list("eq", "$key", "a$$b")), "403 AccessDenied", nil},
		{"key prefix and two dollars", condition("key", "a$$b", list("starts-with", "$key", "a")),
			"204", stored("a$$b", nil)},
		{"empty key", condition("key", "", list("eq", "$key", "")), "400 InvalidArgument", nil},
		{"key too long", func(f *testForm) { f.fields[0][1] = strings.Repeat("k", 1025) }, "400 KeyTooLongError", nil},
		{"key above the root", func(f *testForm) { f.fields[0][1] = "../key" }, "400 InvalidURI", nil},

		{"file name",
			change(condition("key", "up/${filename}", list("starts-with", "$key", "up/")),
				named("pic one.png")), "204", stored("up/pic one.png", nil)},
		{"file name with a path",
			change(condition("key", "up/${filename}", list("starts-with", "$key", "up/")),
				named("dir/sub/a.png")), "204", stored("up/a.png", nil)},
		{"file name with a Windows path",
			change(condition("key", "up/${filename}", list("starts-with", "$key", "up/")),
				named(`C:\dir\a.png`)), "204", stored("up/a.png", nil)},
		{"empty file name",
			change(condition("key", "up/${filename}", list("starts-with", "$key", "up/")),
				named("")), "204", stored("up/", nil)},
		{"no file name",
			change(condition("key", "up/${filename}",
				list("starts-with", "$key", "up/")), func(f *testForm) { f.noFilename = true }),
			"204", stored("up/${filename}", nil)},
		{"file name against an exact condition",
			func(f *testForm) { f.fields[0][1] = "up/${filename}" }, "403 AccessDenied", nil},
		{"file name in metadata",
			condition("x-amz-meta-name", "${filename}", list("eq", "$x-amz-meta-name", "file.txt")),
			"204",
			stored("key", func(t *testing.T, o Object) {
				require.Equal(t, "file.txt", o.Metadata["name"])
			})},

		{"uncovered metadata", uncovered("x-amz-meta-foo", "bar"), "403 AccessDenied",
			message("Invalid according to Policy: Extra input fields: x-amz-meta-foo")},
		{"uncovered acl", uncovered("acl", "private"), "403 AccessDenied", nil},
		{"uncovered foo", uncovered("foo", "bar"), "403 AccessDenied", nil},
		{"uncovered content type", uncovered("Content-Type", "image/png"), "403 AccessDenied", nil},
		{"uncovered status", uncovered("success_action_status", "201"), "403 AccessDenied", nil},
		{"uncovered checksum", uncovered("x-amz-checksum-sha256", sha), "403 AccessDenied", nil},
		{"uncovered tagging", uncovered("tagging", tags), "403 AccessDenied", nil},
		{"ignored", uncovered("x-ignore-foo", "bar"), "204", nil},
		{"condition without field",
			func(f *testForm) { f.conditions = list(list("starts-with", "$Content-Type", "")) },
			"403 AccessDenied",
			message(
				`Invalid according to Policy: Policy Condition failed: ["starts-with", "$Content-Type", ""]`)},
		{"any value", condition("x-amz-meta-a", "anything", list("starts-with", "$x-amz-meta-a", "")), "204", nil},

		{"content type", add("Content-Type", "image/png"), "204", header("Content-Type", "image/png")},
		{"other content type",
			condition("Content-Type", "text/html", list("eq", "$Content-Type", "image/png")),
			"403 AccessDenied", nil},
		{"content type prefix",
			condition("Content-Type", "image/jpeg", list("starts-with", "$Content-Type", "image/")),
			"204", header("Content-Type", "image/jpeg")},
		{"other content type prefix",
			condition("Content-Type", "text/html", list("starts-with", "$Content-Type", "image/")),
			"403 AccessDenied", nil},
		{"content type list",
			condition("Content-Type", "image/png, image/jpeg",
				list("starts-with", "$Content-Type", "image/")), "204", nil},
		{"content type list with another type",
			condition("Content-Type", "image/png,text/html",
				list("starts-with", "$Content-Type", "image/")), "403 AccessDenied", nil},
		{"list elsewhere", condition("x-amz-meta-a", "a,b", list("starts-with", "$x-amz-meta-a", "a")), "204", nil},

		{"smallest", size(list("content-length-range", 11, 20), hello), "204", nil},
		{"largest", size(list("content-length-range", 0, 11), hello), "204", nil},
		{"too small", size(list("content-length-range", 12, 20), hello),
			"400 EntityTooSmall", func(t *testing.T, r result) {
				element("ProposedSize", "11")(t, r)
				element("MinSizeAllowed", "12")(t, r)
			}},
		{"too large", size(list("content-length-range", 0, 10), hello),
			"400 EntityTooLarge", func(t *testing.T, r result) {
				element("ProposedSize", "11")(t, r)
				element("MaxSizeAllowed", "10")(t, r)
			}},
		{"two ranges",
			change(size(list("content-length-range", 0, 20), hello),
				size(list("content-length-range", 0, 10), hello)), "400 EntityTooLarge", nil},
		{"range of strings", size(list("content-length-range", "11", "11"), hello), "204", nil},
		{"range of words", size(list("content-length-range", "test", "11"), hello), "403 AccessDenied", nil},
		{"range of fractions",
			size(list("content-length-range", json.RawMessage("1.0"), 11), hello),
			"400 InvalidPolicyDocument", message("Invalid Policy: Invalid JSON.")},
		{"range of booleans", size(list("content-length-range", true, 11), hello), "400 InvalidPolicyDocument", nil},

		{"headers",
			change(add("Cache-Control", "no-store"), add("Content-Disposition", "attachment"),
				add("Content-Encoding", "gzip"),
				add("Expires", "Thu, 01 Dec 1994 16:00:00 GMT"),
				add("x-amz-storage-class", "STANDARD_IA"),
				add("x-amz-server-side-encryption", "aws:kms"),
				add("x-amz-website-redirect-location", "/a"), add("X-Amz-Meta-Owner", "ü")),
			"204", stored("key", func(t *testing.T, o Object) {
				require.Equal(t, http.Header{
					"Content-Type": {"binary/octet-stream"}, "Cache-Control": {"no-store"},
					"Content-Disposition": {"attachment"},
					"Content-Encoding":    {"gzip"}, "Expires": {"Thu, 01 Dec 1994 16:00:00 GMT"},
					"X-Amz-Storage-Class":          {"STANDARD_IA"},
					"X-Amz-Server-Side-Encryption": {"aws:kms"}, "X-Amz-Website-Redirect-Location": {"/a"},
				}, o.Header)
				require.Equal(t, map[string]string{"owner": "ü"}, o.Metadata)
			})},
		{"headers that forms do not have",
			change(add("Content-Language", "de"), add("x-amz-acl", "nope"),
				add("x-amz-tagging", "a=b"),
				add("If-None-Match", "*"), condition("key", "taken", list("eq", "$key", "taken"))),
			"204", func(t *testing.T, r result) {
				o, _ := r.server.Object(DefaultBucket, "taken")
				require.Equal(t, hello, string(o.Body),
					"a form must overwrite despite its conditions")
				require.Empty(t, o.Header.Get("Content-Language"))
				require.Empty(t, o.Tags)
			}},
		{"acl of the owner", add("acl", "bucket-owner-full-control"), "204", nil},
		{"acl", add("acl", "private"), "400 AccessControlListNotSupported", nil},
		{"unknown acl", add("acl", "nope"), "400 InvalidArgument", nil},
		{"unknown storage class", add("x-amz-storage-class", "NOPE"), "400 InvalidStorageClass", nil},
		{"unknown encryption", add("x-amz-server-side-encryption", "nope"), "400 InvalidEncryptionAlgorithmError", nil},
		{"SSE-C", add("x-amz-server-side-encryption-customer-algorithm", "AES256"), "501 NotImplemented", nil},
		{"metadata over 2 KB", add("x-amz-meta-k", strings.Repeat("v", 2048)), "400 MetadataTooLarge", nil},

		{"checksum", add("x-amz-checksum-sha256", sha),
			"204",
			stored("key", func(t *testing.T, o Object) { require.Equal(t, sha, o.Checksum) })},
		{"checksum and algorithm",
			change(add("x-amz-checksum-sha256", sha), add("x-amz-checksum-algorithm", "SHA256")),
			"204", nil},
		{"checksum and other algorithm",
			change(add("x-amz-checksum-sha256", sha), add("x-amz-checksum-algorithm", "CRC32")),
			"400 InvalidRequest", nil},
		{"algorithm without checksum", add("x-amz-checksum-algorithm", "SHA256"), "400 InvalidRequest", nil},
		{"wrong checksum", add("x-amz-checksum-crc32", "AAAAAA=="), "400 BadDigest", nil},
		{"malformed checksum", add("x-amz-checksum-crc32c", "AAAA"), "400 InvalidRequest", nil},
		{"sha1", add("x-amz-checksum-sha1", sum("SHA1", []byte(hello))), "204", nil},
		{"checksum that forms do not have",
			add("x-amz-checksum-crc64nvme", sum("CRC64NVME", []byte(hello))), "400 InvalidRequest",
			nil},
		{"md5", add("Content-MD5", sum("MD5", []byte(hello))), "204", nil},
		{"wrong md5", add("Content-MD5", sum("MD5", nil)), "400 BadDigest", nil},

		{"tags", add("tagging", tags),
			"204", stored("key", func(t *testing.T, o Object) {
				require.Equal(t, map[string]string{"a": "b"}, o.Tags)
			})},
		{"tags not XML", add("tagging", "a=b"), "400 MalformedXML", nil},
		{"tags of another kind", add("tagging", "<InvalidXmlTagging/>"),
			"204", stored("key", func(t *testing.T, o Object) { require.Empty(t, o.Tags) })},
		{"tags in another root", add("tagging", strings.ReplaceAll(tags, "Tagging", "Other")),
			"204",
			stored("key", func(t *testing.T, o Object) { require.Empty(t, o.Tags) })},
		{"tag twice",
			add("tagging", strings.Replace(tags, "</TagSet>", "<Tag><Key>a</Key></Tag></TagSet>",
				1)), "400 InvalidTag", nil},

		{"status 200", add("success_action_status", "200"), "200", stored("key", nil)},
		{"status 201",
			change(condition("key", "a b/ü", list("eq", "$key", "a b/ü")),
				add("success_action_status", "201")), "201",
			func(t *testing.T, r result) {
				require.Equal(t, "application/xml", r.header.Get("Content-Type"))
				require.Contains(t, r.body,
					"<PostResponse><Location>https://s3.test/bucket/a%20b%2F%C3%BC</Location><Bucket>bucket</Bucket>"+
						"<Key>a b/ü</Key><ETag>&#34;5eb63bbbe01eeed093cb22bb8f5acdc3&#34;</ETag></PostResponse>")
			}},
		{"status 999", add("success_action_status", "999"), "204", nil},
		{"redirect",
			change(add("success_action_redirect", "http://example.com/done?x=1"),
				add("success_action_status", "201")), "303",
			func(t *testing.T, r result) {
				require.Equal(t,
					"http://example.com/done?x=1&bucket=bucket&key=key&etag=%225eb63bbbe01eeed093cb22bb8f5acdc3%22",
					r.header.Get("Location"))
			}},
		{"redirect by its old name", add("redirect", "https://example.com"), "303", nil},
		{"relative redirect", add("success_action_redirect", "/done"), "204", nil},
		{"redirect to a script", add("success_action_redirect", "javascript:alert(1)"), "204", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := New()
			s.AddCredentials(aws.Credentials{
				AccessKeyID: "ASIATEMP", SecretAccessKey: "secret", SessionToken: "token",
			})
			put(t, s, "taken", "taken")
			f := newForm("key")
			test.change(f)
			req := f.request(t, s)
			req.Header.Set("If-None-Match", "*") // This header has no effect on a form.
			a := send(t, s, req)
			require.Equal(t, test.want, strings.TrimSpace(fmt.Sprint(a.status, " ", a.code())),
				a.body)
			if a.status >= 400 {
				require.Equal(t, []string{"taken"}, s.Objects(DefaultBucket))
				o, _ := s.Object(DefaultBucket, "taken")
				require.Equal(t, "taken", string(o.Body))
			} else {
				require.NotEmpty(t, a.header.Get("ETag"))
				require.NotEmpty(t, a.header.Get("Location"))
			}
			if test.check != nil {
				test.check(t, result{a, s})
			}
		})
	}
}

func bytesBeforeFile(t *testing.T, req *http.Request) int {
	t.Helper()
	body, err := io.ReadAll(req.Body)
	require.NoError(t, err)
	i := bytes.Index(body, []byte("filename="))
	require.Positive(t, i)
	return i + bytes.Index(body[i:], []byte("\r\n\r\n")) + len("\r\n\r\n")
}

func TestPostLength(t *testing.T) {
	t.Parallel()
	s := New()
	req := newForm("key").request(t, s)
	req.ContentLength = -1
	a := send(t, s, req)
	require.Equal(t, "411 MissingContentLength", fmt.Sprint(a.status, " ", a.code()))

	// If one of these ends is cut off, the last boundary of the body is
	// incomplete or missing.
	for _, end := range []string{"--\r\n", "\r\n--" + strings.Repeat("b", 60) + "--\r\n"} {
		req = newForm("key").request(t, s)
		req.ContentLength -= int64(len(end))
		req.Body = io.NopCloser(io.LimitReader(req.Body, req.ContentLength))
		a = send(t, s, req)
		require.Equal(t, "400 MalformedPOSTRequest", fmt.Sprint(a.status, " ", a.code()))
	}
	for length, want := range map[int64]string{
		maxObjectSize + maxPreData:     "IncompleteBody",
		maxObjectSize + maxPreData + 1: "EntityTooLarge",
	} {
		req = newForm("key").request(t, s)
		req.ContentLength = length
		req.Header.Set("Content-Length", fmt.Sprint(length))
		recorder := httptest.NewRecorder()
		s.ServeHTTP(recorder, req)
		require.Equal(t, http.StatusBadRequest, recorder.Code)
		require.Contains(t, recorder.Body.String(), "<Code>"+want+"</Code>")
	}
	require.Empty(t, s.Objects(DefaultBucket))

	f := newForm("key")
	f.uncovered = [][2]string{{"x-ignore-padding", ""}}
	padding := maxPreData - bytesBeforeFile(t, f.request(t, s))
	for more, want := range []string{"204", "400 MaxPostPreDataLengthExceeded"} {
		f.uncovered[0][1] = strings.Repeat("x", padding+more)
		f.file = strings.Repeat("y", maxPreData)
		a = send(t, s, f.request(t, s))
		require.Equal(t, want, strings.TrimSpace(fmt.Sprint(a.status, " ", a.code())))
	}
	require.Equal(t, "20480", a.elements["MaxPostPreDataLengthBytes"])
}

func TestMalformedParts(t *testing.T) {
	t.Parallel()
	s := New()
	for name, part := range map[string]string{
		"no headers":           "\r\nvalue",
		"no disposition":       "Content-Type: text/plain\r\n\r\nvalue",
		"other disposition":    "Content-Disposition: attachment; name=key\r\n\r\nvalue",
		"no name":              "Content-Disposition: form-data\r\n\r\nvalue",
		"malformed header":     "Content-Disposition\r\n\r\nvalue",
		"headers without end":  "Content-Disposition: form-data; name=key\r\n",
		"one malformed header": "Content-Disposition: form-data; name=key\r\nmalformed\r\n\r\nvalue",
		"boundary within line": "Content-Disposition: form-data; name=key\r\n\r\nvalue\r\n--bx",
	} {
		body := "--b\r\n" + part + "\r\n--b--\r\n"
		req, err := http.NewRequest(http.MethodPost, s.URL+"/bucket", strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		require.Equal(t, "MalformedPOSTRequest", send(t, s, req).code(), name)
	}

	// The boundaries are empty.
	const file = "--\r\nContent-Disposition: form-data; name=file\r\n\r\nvalue\r\n----\r\n"
	req, err := http.NewRequest(http.MethodPost, s.URL+"/bucket", strings.NewReader(file))
	require.NoError(t, err)
	req.Header.Set("Content-Type", `multipart/form-data; boundary=""`)
	require.Equal(t, "MalformedPOSTRequest", send(t, s, req).code())
}

func TestPostTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New()
		s.AddCredentials(aws.Credentials{
			AccessKeyID: "ASIATEMP", SecretAccessKey: "secret", SessionToken: "token",
			CanExpire: true, Expires: time.Now().Add(time.Minute),
		})
		f := newForm("key")
		post := func() string {
			a := send(t, s, f.request(t, s))
			return strings.TrimSpace(
				fmt.Sprint(a.status, " ", a.code(), " ", a.elements["Message"]))
		}
		time.Sleep(time.Hour - time.Millisecond)
		require.Equal(t, "204", post())
		time.Sleep(time.Millisecond)
		require.Equal(t, "403 AccessDenied Invalid according to Policy: Policy expired.", post())

		f.expiration = "2099-01-01T00:00:00Z"
		time.Sleep(7*24*time.Hour - time.Hour - time.Second)
		require.Equal(t, "204", post())
		time.Sleep(time.Second)
		require.Equal(t,
			"403 AccessDenied Invalid according to Policy: X-Amz-Date is out of range.", post())
		f.date = time.Now().UTC().Add(15 * time.Minute)
		require.Equal(t, "204", post())
		f.date = f.date.Add(time.Second)
		require.Equal(t,
			"403 AccessDenied Invalid according to Policy: X-Amz-Date is out of range.", post())

		f.date = time.Now().UTC()
		f.keyID, f.secret = "ASIATEMP", "secret"
		f.fields = append(f.fields, [2]string{"x-amz-security-token", "token"})
		require.Equal(t, "400 ExpiredToken The provided token has expired.", post())
	})
}

// TestMetadataEncoding checks that metadata that only a form can store is
// encoded in responses.
func TestMetadataEncoding(t *testing.T) {
	t.Parallel()
	s := New()
	f := newForm("key")
	f.fields = append(f.fields, [2]string{"x-amz-meta-name", "é\r\nX-Amz-Meta-Evil: 1"})
	require.Equal(t, 204, send(t, s, f.request(t, s)).status)
	head, err := s.S3().HeadObject(t.Context(), &s3.HeadObjectInput{
		Bucket: aws.String(DefaultBucket), Key: aws.String("key"),
	})
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"name": "=?UTF-8?q?=C3=A9=0D=0AX-Amz-Meta-Evil:_1?=",
	}, head.Metadata)
}

// FuzzPolicy checks that the signed document of an accepted form has a
// condition for each field, as encoding/json reads the document. It also checks
// that the form meets the condition on the key.
func FuzzPolicy(f *testing.F) {
	const others = `["starts-with","$x-amz-date",""],{"x-amz-algorithm":"AWS4-HMAC-SHA256"},["starts-with","$X-Amz-Credential","AKIA"]`
	for _, policy := range []string{
		`{"expiration":"2999-01-01T00:00:00Z","conditions":[{"bucket":"bucket"},{"key":"u/a"},["content-length-range",1,100],` + others + `]}`,
		`{"expiration":"2999-01-01T00:00:00Z","conditions":[{"bucket":"bucket"},["starts-with","$key","u/"],["content-length-range","1",5],` + others + `]}`,
		`{"expiration":"2999-01-01T00:00:00Z","conditions":[{"bucket":"bucket"},{"key":"b","key":"u/a"},` + others + `]}`,
		`{"Expiration":"2999-01-01T00:00:00.000Z","conditions":[{"acl":"private"},{"key":null}]}`,
		`{}`, `[]`, "", "\xff",
	} {
		f.Add(policy)
	}
	s := New()
	f.Fuzz(func(t *testing.T, policy string) {
		if policy == "" {
			return // A testForm replaces an empty policy with the default.
		}
		form := newForm("u/a")
		form.policy = policy
		a := send(t, s, form.request(t, s))
		if a.status != 204 {
			require.Contains(t, []int{400, 403}, a.status, a.body)
			require.NotEmpty(t, a.code())
			return
		}
		var document struct{ Conditions []any }
		require.NoError(t, json.Unmarshal([]byte(policy), &document))
		covered := make(map[string]bool)
		for _, c := range document.Conditions {
			switch c := c.(type) {
			case map[string]any:
				for name, value := range c {
					covered[strings.ToLower(name)] = true
					if strings.EqualFold(name, "key") {
						require.Equal(t, "u/a", value)
					}
				}
			case []any:
				name, _ := c[1].(string)
				covered[strings.ToLower(strings.TrimPrefix(name, "$"))] = true
			}
		}
		for _, name := range []string{
			"bucket", "key", "x-amz-date", "x-amz-algorithm", "x-amz-credential",
		} {
			require.True(t, covered[name], "%s: %s", name, policy)
		}
	})
}
