package notification_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/notification"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	document, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return document
}

// created returns the notification of one object that was created.
func created(name, bucket, key, version, etag string, size int64) *notification.Notification {
	return &notification.Notification{Events: []notification.Event{{
		Bucket: bucket, Key: key, VersionID: version, ETag: etag, Size: size,
		Name: name, Created: true,
	}}}
}

// happened returns the notification of one event that created no object.
func happened(name, bucket, key, version, etag string, size int64) *notification.Notification {
	n := created(name, bucket, key, version, etag, size)
	n.Events[0].Created = false
	return n
}

func TestParse(t *testing.T) {
	const (
		docs        = "DOC-EXAMPLE-BUCKET1"
		logged      = "amzn-s3-demo-bucket1"
		hello       = "b1946ac92492d2347c6235b4d2611184"
		empty       = "d41d8cd98f00b204e9800998ecf8427e"
		version     = "096fKKXTRTtl3on89fVO.nfljtsv6qko"
		busVersion  = "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e"
		restored    = "KKsjUC1.6gIjqtvhfg5AdMI0eCePIiT3"
		deleted     = "1QW9g1Z99LUNbvaaYVpW9xDlOLU.qxgF"
		expired     = "mtB0cV.jejK63XkRNceanNMC.qXPWLeK"
		redFlower   = "in/red flower+100%.jpg"
		redFlowerUE = "in/red flower+100% ü.jpg"
	)
	test := &notification.Notification{Test: true}
	for name, want := range map[string]*notification.Notification{
		"aws-s3-put.json":                               created("ObjectCreated:Put", "mybucket", "HappyFace.jpg", version, empty, 1024),
		"aws-s3-test.json":                              test,
		"aws-eventbridge-object-created.json":           created("Object Created", docs, "example-key", busVersion, hello, 5),
		"aws-eventbridge-object-deleted.json":           happened("Object Deleted", docs, "example-key", deleted, empty, -1),
		"aws-eventbridge-object-deleted-lifecycle.json": happened("Object Deleted", docs, "example-key", expired, empty, -1),
		"aws-eventbridge-object-restore-completed.json": happened("Object Restore Completed", docs, "example-key", restored, hello, 5),
		"sns-s3-put.json":                               created("ObjectCreated:Put", "mybucket", redFlowerUE, version, empty, 1024),
		"sns-s3-test.json":                              test,
		"sns-eventbridge.json":                          created("Object Created", docs, "example-key", busVersion, hello, 5),
		"cloudtrail-put.json":                           created("PutObject", logged, redFlower, busVersion, "", -1),
		"cloudtrail-denied.json":                        happened("PutObject", logged, redFlower, "", "", -1),
		"cloudtrail-policy.json":                        happened("PutBucketPolicy", logged, "", "", "", -1),
		"minio-put.json":                                created("ObjectCreated:Put", "events", "in/a b+100%.jpg", "", "5eb63bbbe01eeed093cb22bb8f5acdc3", 11),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := notification.Parse(read(t, name))
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
}

// TestParseCaptured checks that notifications captured from real servers agree
// with the uploads that caused them.
func TestParseCaptured(t *testing.T) {
	events := map[string]string{
		"PUT": "ObjectCreated:Put", "form": "ObjectCreated:Post", "copy": "ObjectCreated:Copy",
		"multipart": "ObjectCreated:CompleteMultipartUpload",
	}
	for _, server := range []string{"ceph", "versitygw"} {
		lines := bufio.NewScanner(strings.NewReader(string(read(t, server+".jsonl"))))
		ways := make(map[string]int)
		for lines.Scan() {
			var c struct {
				Way, Key, ETag, Document string
				Size                     int64
			}
			require.NoError(t, json.Unmarshal(lines.Bytes(), &c))
			ways[c.Way]++
			t.Run(server+"/"+c.Key, func(t *testing.T) {
				got, err := notification.Parse([]byte(c.Document))
				if server == "versitygw" && c.Way == "form" {
					require.ErrorIs(t, err, notification.ErrInvalid)
					require.ErrorContains(t, err, "versitygw sends none for uploads by form")
					return
				}
				require.NoError(t, err)
				size := c.Size
				if server == "versitygw" && c.Way != "PUT" {
					size = -1
				}
				require.Equal(t, created(events[c.Way], "events", c.Key, "", c.ETag, size), got)
			})
		}
		require.NoError(t, lines.Err())
		require.Equal(t, map[string]int{"PUT": 7, "form": 7, "copy": 7, "multipart": 7}, ways)
	}
}

// record returns a notification of S3 whose object is a JSON object.
func record(object string) string {
	return fmt.Sprintf(`{"Records": [{
		"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {
		"bucket": {"name": "events", "arn": "arn:aws:s3:::events"}, "object": %s}}]}`, object)
}

func TestParseDecodesKeys(t *testing.T) {
	for _, key := range []string{
		"a b", "a+b", "100%", "%41", "a/b//c", "ü 日本", "é", "\U0001F600", "a\nb", `"`, `\`,
		"�", "null", strings.Repeat("k", 1024),
	} {
		for _, encoded := range []string{
			url.QueryEscape(key), url.PathEscape(strings.ReplaceAll(key, "+", "%2B")),
		} {
			if !strings.Contains(key, "+") || encoded == url.QueryEscape(key) {
				document, err := json.Marshal(map[string]string{"key": encoded})
				require.NoError(t, err)
				n, err := notification.Parse([]byte(record(string(document))))
				require.NoError(t, err, encoded)
				require.Equal(t, key, n.Events[0].Key)
			}
		}
	}
	n, err := notification.Parse([]byte(record(`{"key": "\ud83d\ude00"}`)))
	require.NoError(t, err)
	require.Equal(t, "\U0001F600", n.Events[0].Key)
}

// TestParseNames checks that Created is set for the names of creation events
// only.
func TestParseNames(t *testing.T) {
	for name, want := range map[string]bool{
		"ObjectCreated:Put": true, "s3:ObjectCreated:Put": true,
		"ObjectCreated:CompleteMultipartUpload": true,
		"ObjectRemoved:Delete":                  false, "s3:ObjectRemoved:Delete": false,
		"ObjectTagging:Put": false, "ObjectCreate": false, "": false,
		"objectcreated:Put": false, "ObjectSynced:Create": false,
	} {
		document := strings.Replace(record(`{"key": "k"}`), "ObjectCreated:Put", name, 1)
		n, err := notification.Parse([]byte(document))
		require.NoError(t, err)
		require.Equal(t, want, n.Events[0].Created, name)
		require.Equal(t, strings.TrimPrefix(name, "s3:"), n.Events[0].Name)
	}
}

// TestParseIgnoresUnknownMembers checks that members that are not read may have
// any value, any case, and be duplicated.
func TestParseIgnoresUnknownMembers(t *testing.T) {
	n, err := notification.Parse([]byte(record(`{
		"key": "k", "sequencer": "1", "Sequencer": 2, "sequencer": [{"key": "other", "KEY": {}}],
		"eTag": null, "size": null}`)))
	require.NoError(t, err)
	require.Equal(t, created("ObjectCreated:Put", "events", "k", "", "", -1), n)
}

// secret is a part of invalid documents that must not be part of an error.
const secret = "c2VjcmV0"

// A rejection is a document and a part of the error.
type rejection struct{ document, want string }

// requireRejected checks that documents are rejected, and that the errors
// contain no part of them.
func requireRejected(t *testing.T, rejections map[string]rejection) {
	t.Helper()
	for name, c := range rejections {
		t.Run(name, func(t *testing.T) {
			n, err := notification.Parse([]byte(c.document))
			require.Nil(t, n)
			require.ErrorIs(t, err, notification.ErrInvalid)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), secret)
			require.NotContains(t, err.Error(), "HappyFace")
			require.Less(t, len(err.Error()), 250)
		})
	}
}

// edit replaces the first old in a document by new.
func edit(t *testing.T, document []byte, old, new string) string {
	t.Helper()
	require.Contains(t, string(document), old)
	return strings.Replace(string(document), old, new, 1)
}

// TestParseLimits checks that a document at each limit is accepted, and a
// document beyond the limit is rejected.
func TestParseLimits(t *testing.T) {
	put := string(read(t, "aws-s3-put.json"))
	one := `{"eventName": "` + secret + `", "s3": {"bucket": {"name": "b"}, "object": {"key": "k"}}}`
	records := func(n int) string {
		return `{"Records": [` + strings.Repeat(one+",", n-1) + one + `]}`
	}
	nested := func(n int) string {
		arrays := strings.Repeat("[", n-3) + strings.Repeat("]", n-3)
		return edit(t, []byte(put), `"eventVersion":"2.1"`, `"x": `+arrays)
	}
	members := func(n int) string {
		return edit(t, []byte(put), `"key"`, strings.Repeat(`"x": 0, `, n-5)+`"key"`)
	}
	sized := func(n int) string { return put + strings.Repeat(" ", n-len(put)) }
	key := func(n int) string {
		return edit(t, []byte(put), "HappyFace.jpg", strings.Repeat("k", n))
	}
	for _, document := range []string{
		records(1000), members(256), nested(32), sized(1 << 20), key(1024),
	} {
		_, err := notification.Parse([]byte(document))
		require.NoError(t, err)
	}
	requireRejected(t, map[string]rejection{
		"records": {records(1001), `"Records" must have at most 1000 elements`},
		"members": {members(257), "object must have at most 256 members"},
		"depth":   {nested(33), "document must be nested at most 32 levels deep"},
		"size":    {sized(1<<20 + 1), "document must have at most 1048576 bytes, got 1048577"},
		"key":     {key(1025), "key must have at most 1024 bytes, got 1025"},
	})
}

// TestParseRejectsDocuments checks that Parse rejects documents that are not
// JSON, are ambiguous, or have no known form.
func TestParseRejectsDocuments(t *testing.T) {
	put := string(read(t, "aws-s3-put.json"))
	edit := func(old, new string) string { return edit(t, read(t, "aws-s3-put.json"), old, new) }
	requireRejected(t, map[string]rejection{
		"empty":               {"", "document must be JSON"},
		"not JSON":            {secret, "document must be JSON"},
		"cut short":           {put[:len(put)-3], "document must be JSON"},
		"two documents":       {put + put, "document must be JSON"},
		"not UTF-8":           {edit("HappyFace", secret+"\xff"), "document must be UTF-8"},
		"array":               {"[" + put + "]", "document must be a JSON object"},
		"string":              {`"` + secret + `"`, "document must be a JSON object"},
		"null":                {"null", "document must be a JSON object"},
		"no form":             {`{"` + secret + `": 1}`, `document must have "Records" (S3), "Event" (S3's test), "Message" (SNS) or "detail" (EventBridge)`},
		"two forms":           {edit(`"Records"`, `"detail": {}, "Records"`), "document must not have both Records and detail"},
		"form in other case":  {edit(`"Records"`, `"records"`), `document must not have "Records" in another case`},
		"form twice":          {edit(`"Records"`, `"Records": [], "Records"`), `document must have "Records" only once`},
		"lone surrogate":      {edit("HappyFace", secret+`\ud800`), "strings must be Unicode"},
		"reversed pair":       {edit("HappyFace", secret+`\ude00\ud83d`), "strings must be Unicode"},
		"surrogate elsewhere": {edit("testConfigRule", secret+`\ud800x\udc00`), "strings must be Unicode"},
	})
}

// TestParseRejectsRecords checks that notifications of S3 are rejected unless
// they name one object unambiguously.
func TestParseRejectsRecords(t *testing.T) {
	edit := func(old, new string) string { return edit(t, read(t, "aws-s3-put.json"), old, new) }
	requireRejected(t, map[string]rejection{
		"records not an array": {`{"Records": {"` + secret + `": 1}}`, `"Records" must be a JSON array`},
		"no records":           {`{"Records": []}`, `"Records" must not be empty`},
		"record not an object": {`{"Records": ["` + secret + `"]}`, "record 0: record must be a JSON object"},
		"Lambda's event":       {`{"Records": [{"body": "` + secret + `"}]}`, "record 0: record must have s3; pass each body or Message of a Lambda event"},
		"no bucket":            {edit(`"bucket"`, `"x"`), "bucket must be a JSON object"},
		"no object":            {edit(`"object"`, `"x"`), "object must be a JSON object"},
		"no event name":        {edit(`"eventName"`, `"x"`), `record must have "eventName"`},
		"no key":               {edit(`"key"`, `"x"`), `object must have "key"`},
		"null key":             {edit(`"HappyFace.jpg"`, `null`), `object must have "key"`},
		"key not a string":     {edit(`"HappyFace.jpg"`, `["`+secret+`"]`), `"key" of object must be a string`},
		"empty key":            {edit(`HappyFace.jpg`, ``), "key must not be empty"},
		"bad escape":           {edit(`HappyFace.jpg`, secret+`%zz`), "key must be URL-encoded"},
		"half an escape":       {edit(`HappyFace.jpg`, secret+`%4`), "key must be URL-encoded"},
		"key not UTF-8":        {edit(`HappyFace.jpg`, secret+`%ff`), "key must be UTF-8"},
		"key in CESU-8":        {edit(`HappyFace.jpg`, secret+`%ED%A0%BD%ED%B8%80`), "key must be UTF-8"},
		"key twice":            {edit(`"key"`, `"key": "`+secret+`", "key"`), `object must have "key" only once`},
		"key null, then not":   {edit(`"key"`, `"key": null, "key"`), `object must have "key" only once`},
		"key by escapes":       {edit(`"key"`, `"\u006bey": "`+secret+`", "key"`), `object must have "key" only once`},
		"key in other case":    {edit(`"key"`, `"KEY": "`+secret+`", "key"`), `object must not have "key" in another case`},
		"key by Kelvin":        {edit(`"key"`, `"\u212aey": "`+secret+`", "key"`), `object must not have "key" in another case`},
		"s3 by long s":         {edit(`"s3"`, `"ſ3": {"x": "`+secret+`"}, "s3"`), `record must not have "s3" in another case`},
		"bucket twice":         {edit(`"bucket"`, `"bucket": {}, "bucket"`), `s3 must have "bucket" only once`},
		"name in other case":   {edit(`"name"`, `"Name": "`+secret+`", "name"`), `bucket must not have "name" in another case`},
		"empty bucket":         {edit(`"mybucket"`, `""`), "bucket name must not be empty"},
		"size not a number":    {edit(`1024`, `"`+secret+`"`), `"size" of object must be a whole number`},
		"size a fraction":      {edit(`1024`, `10.5`), `"size" of object must be a whole number`},
		"size negative":        {edit(`1024`, `-1`), `"size" of object must be a whole number`},
		"size too large":       {edit(`1024`, `9223372036854775808`), `"size" of object must be a whole number`},
	})
}

// TestParseRejectsMinIOKeys checks that Parse rejects notifications whose keys
// contradict each other.
func TestParseRejectsMinIOKeys(t *testing.T) {
	edit := func(old, new string) string { return edit(t, read(t, "minio-put.json"), old, new) }
	requireRejected(t, map[string]rejection{
		"MinIO's other key":    {edit("events/in", "events/"+secret), `"Key" must be the bucket and key of the only record`},
		"MinIO's encoded key":  {edit("events/in/a b+100%.jpg", "events/in%2Fa+b%2B100%25.jpg"), `"Key" must be the bucket and key of the only record`},
		"MinIO's key twice":    {edit(`"Key"`, `"key": "x", "Key"`), `document must not have "Key" in another case`},
		"MinIO's key a number": {edit(`"events/in/a b+100%.jpg"`, "1"), `"Key" of document must be a string`},
	})
}

// TestParseRejectsEnvelopes checks that invalid test messages and messages of
// SNS are rejected.
func TestParseRejectsEnvelopes(t *testing.T) {
	edit := func(old, new string) string { return edit(t, read(t, "sns-s3-put.json"), old, new) }
	requireRejected(t, map[string]rejection{
		"other test":             {`{"Event": "` + secret + `"}`, `"Event" must be "s3:TestEvent"`},
		"confirmation":           {string(read(t, "sns-confirmation.json")), `"Type" must be "Notification", got "SubscriptionConfirmation"`},
		"envelope without type":  {edit(`"Type"`, `"x"`), `document must have "Type"`},
		"envelope of other type": {edit(`"Type": "Notification"`, `"Type": "`+secret+`"`), `"Type" must be "Notification"`},
		"message not a string":   {`{"Type": "Notification", "Message": {}}`, `"Message" of document must be a string`},
		"message not JSON":       {`{"Type": "Notification", "Message": "` + secret + `"}`, "message of SNS: document must be JSON"},
		"envelope in envelope":   {`{"Type": "Notification", "Message": "{\"Type\": \"Notification\", \"Message\": \"{}\"}"}`, "an SNS notification must not contain another one"},
		"message twice":          {edit(`"Message"`, `"Message": "`+secret+`", "Message"`), `document must have "Message" only once`},
	})
}

// TestParseRejectsBridge checks that invalid events of EventBridge are
// rejected.
func TestParseRejectsBridge(t *testing.T) {
	edit := func(old, new string) string {
		return edit(t, read(t, "aws-eventbridge-object-created.json"), old, new)
	}
	requireRejected(t, map[string]rejection{
		"bridge of other source": {edit(`"aws.s3"`, `"`+secret+`"`), `source must be "aws.s3"`},
		"bridge without source":  {edit(`"source"`, `"x"`), `document must have "source"`},
		"bridge without type":    {edit(`"detail-type"`, `"x"`), `document must have "detail-type"`},
		"bridge without key":     {edit(`"key"`, `"x"`), `object must have "key"`},
		"bridge with two keys":   {edit(`"key"`, `"Key": "`+secret+`", "key"`), `object must not have "key" in another case`},
		"bridge without bucket":  {edit(`"bucket"`, `"x"`), `bucket must be a JSON object`},
		"detail not an object":   {`{"source": "aws.s3", "detail-type": "Object Created", "detail": "` + secret + `"}`, "detail must be a JSON object"},
		"bridge with empty key":  {edit(`example-key`, ``), "key must not be empty"},
	})
}

// TestParseRejectsCalls checks that invalid events of CloudTrail are rejected.
func TestParseRejectsCalls(t *testing.T) {
	edit := func(old, new string) string {
		return edit(t, read(t, "cloudtrail-put.json"), old, new)
	}
	requireRejected(t, map[string]rejection{
		"call of other service":    {edit(`"s3.amazonaws.com"`, `"`+secret+`"`), `eventSource must be "s3.amazonaws.com"`},
		"call without parameters":  {edit(`"requestParameters"`, `"x"`), "requestParameters must be a JSON object"},
		"call without key":         {edit(`"key"`, `"x"`), "key must not be empty"},
		"call without bucket":      {edit(`"bucketName"`, `"x"`), "bucket name must not be empty"},
		"call with two keys":       {edit(`"key"`, `"Key": "`+secret+`", "key"`), `requestParameters must not have "key" in another case`},
		"call with odd error code": {edit(`"eventName"`, `"errorCode": {"x": "`+secret+`"}, "eventName"`), `"errorCode" of detail must be a string`},
		"call with odd version":    {edit(`"IYV3p45BT0ac8hjHg1houSdS1a.Mro8e"`, `1`), `"x-amz-version-id" of responseElements must be a string`},
	})
}

// A lenient is a notification as encoding/json decodes it: names in any case,
// and the last of duplicate members.
type lenient struct {
	Records []struct {
		EventSource string
		S3          struct {
			Bucket struct{ Name, ARN string }
			Object struct{ Key string }
		}
	}
	Detail struct {
		Bucket            struct{ Name string }
		Object            struct{ Key string }
		RequestParameters struct{ BucketName, Key string }
	}
	Message string
}

// keys returns the keys that encoding/json reads, before they are decoded.
func (l *lenient) keys() (keys [][2]string) {
	for _, r := range l.Records {
		keys = append(keys, [2]string{r.S3.Bucket.Name, r.S3.Object.Key})
	}
	if o := l.Detail; o.Object.Key != "" {
		keys = append(keys, [2]string{o.Bucket.Name, o.Object.Key})
	} else if p := o.RequestParameters; p.Key != "" {
		keys = append(keys, [2]string{p.BucketName, p.Key})
	}
	return keys
}

// FuzzParse checks that Parse and encoding/json read the same keys in every
// document that Parse accepts, and that events name objects.
func FuzzParse(f *testing.F) {
	names, err := filepath.Glob("testdata/*.json")
	require.NoError(f, err)
	for _, name := range names {
		f.Add(read(f, filepath.Base(name)))
	}
	for _, server := range []string{"ceph", "versitygw"} {
		for line := range strings.Lines(string(read(f, server+".jsonl"))) {
			var c struct{ Document string }
			require.NoError(f, json.Unmarshal([]byte(line), &c))
			f.Add([]byte(c.Document))
		}
	}
	for _, object := range []string{
		`{"key": "a", "Key": "b"}`, `{"key": "a", "key": "b"}`, `{"key": "%ff"}`,
		`{"key": "\ud800"}`, `{"\u212aey": "a"}`, `{"key": null}`,
	} {
		f.Add([]byte(record(object)))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		n, err := notification.Parse(document)
		if err != nil {
			require.ErrorIs(t, err, notification.ErrInvalid)
			require.Nil(t, n)
			require.Less(t, len(err.Error()), 250)
			return
		}
		require.Equal(t, n.Test, len(n.Events) == 0)
		var l lenient
		_ = json.Unmarshal(document, &l) // Members of other types are left out.
		if l.Message != "" {
			inner := l.Message
			l = lenient{}
			_ = json.Unmarshal([]byte(inner), &l)
		}
		keys := l.keys()
		for i, e := range n.Events {
			if !e.Created {
				continue
			}
			require.NotEmpty(t, e.Bucket)
			require.NotEmpty(t, e.Key)
			require.Less(t, i, len(keys))
			require.Equal(t, keys[i][0], e.Bucket)
			decoded, err := url.QueryUnescape(keys[i][1])
			require.True(t, e.Key == keys[i][1] || err == nil && e.Key == decoded,
				"%q, %q", keys[i][1], e.Key)
		}
	})
}
