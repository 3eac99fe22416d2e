package objectheader_test

import (
	"encoding/xml"
	"net/url"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/objectheader"
)

func TestFormField(t *testing.T) {
	for _, c := range []struct{ name, value, field, formValue string }{
		{"Cache-Control", "no-store", "Cache-Control", "no-store"},
		{"x-amz-acl", "bucket-owner-full-control", "acl", "bucket-owner-full-control"},
		{"X-Amz-Storage-Class", "STANDARD_IA", "x-amz-storage-class", "STANDARD_IA"},
		{"x-amz-object-lock-mode", "GOVERNANCE", "", "GOVERNANCE"},
		{"x-amz-tagging", "b=2+3&a=%3C1%3E", "tagging", "<Tagging><TagSet><Tag><Key>a</Key><Value>&lt;1&gt;</Value></Tag><Tag><Key>b</Key><Value>2 3</Value></Tag></TagSet></Tagging>"},
	} {
		field, formValue, err := objectheader.FormField(c.name, c.value)
		require.NoError(t, err, c.name)
		require.Equal(t, [2]string{c.field, c.formValue}, [2]string{field, formValue})
	}
}

func TestFormFieldRejects(t *testing.T) {
	for _, name := range []string{
		"", "Host", "Date", "Expect", "Authorization", "Content-Length", "Content-Type",
		"Content-MD5", "Transfer-Encoding", "If-Match", "If-None-Match", "x-amz-meta-a",
		"x-amz-checksum-sha256", "x-amz-sdk-checksum-algorithm", "x-amz-date",
		"x-amz-security-token", "x-amz-content-sha256", "x-amz-algorithm", "x-amz-credential",
		"x-amz-signature", "x-amz-copy-source", "x-amz-metadata-directive",
		"x-amz-write-offset-bytes", "x-amz-mp-object-size",
		"x-amz-server-side-encryption-customer-key", "X-Custom",
	} {
		_, _, err := objectheader.FormField(name, "v")
		require.ErrorContains(t, err, "a service can set only", name)
	}
	for value, want := range map[string]string{
		"a=1&a=2": `got "a" 2 times`, "=1": `got "" 1 times`,
		"a;b": "must have the form", "a=%zz": "must have the form",
		"a=%00": "must be printable", "a=%FF": "must be printable",
		"%0D=b": "must be printable", "a=%EF%BF%BE": "must be printable",
	} {
		_, _, err := objectheader.FormField("x-amz-tagging", value)
		require.ErrorContains(t, err, want, value)
	}
}

// FuzzFormField checks that the XML of a form has the tags of the header, and
// that every other value is unchanged.
func FuzzFormField(f *testing.F) {
	for _, value := range []string{
		"a=b&c=d", "b=2+3&a=%3C1%3E", "a=%00", "a=\xff", "a=1&a=2", "a=]]>", "%EF%BF%BE=x",
		"a=%0D%0A",
	} {
		f.Add("X-Amz-Tagging", value)
	}
	f.Add("Cache-Control", "no-store")
	f.Add("x-amz-meta-a", "b")
	f.Fuzz(func(t *testing.T, name, value string) {
		field, formValue, err := objectheader.FormField(name, value)
		switch {
		case err != nil:
			require.True(t, utf8.ValidString(err.Error()))
			return
		case field != "tagging":
			require.Equal(t, value, formValue)
			return
		}
		want, err := url.ParseQuery(value)
		require.NoError(t, err)
		var document struct {
			Tags []struct{ Key, Value string } `xml:"TagSet>Tag"`
		}
		require.NoError(t, xml.Unmarshal([]byte(formValue), &document), formValue)
		require.Len(t, document.Tags, len(want))
		for _, tag := range document.Tags {
			require.Equal(t, want[tag.Key], []string{tag.Value})
		}
	})
}

// TestEqual checks that dates are compared as dates, since some stores correct
// their weekday.
func TestEqual(t *testing.T) {
	const date, wrongWeekday = "Wed, 01 Dec 2094 16:00:00 GMT", "Thu, 01 Dec 2094 16:00:00 GMT"
	for _, c := range []struct {
		name, a, b string
		equal      bool
	}{
		{"expires", date, date, true},
		{"expires", date, wrongWeekday, true},
		{"expires", wrongWeekday, date, true},
		{"expires", date, "Wed, 01 Dec 2094 16:00:01 GMT", false},
		{"expires", date, "", false},
		{"expires", "0", "0", true},
		{"expires", "0", "1", false},
		{"cache-control", date, wrongWeekday, false},
		{"cache-control", "no-store", "no-store", true},
	} {
		require.Equal(t, c.equal, objectheader.Equal(c.name, c.a, c.b), c)
	}
}

// TestForbidsCaching checks which headers a client may add without FinalPrefix.
func TestForbidsCaching(t *testing.T) {
	for _, c := range []struct {
		name, value string
		forbids     bool
	}{
		{"cache-control", "no-cache", true},
		{"cache-control", "No-Store, max-age=0", true},
		{"cache-control", "private", true},
		{"cache-control", "public", false},
		{"cache-control", "max-age=1", false},
		{"cache-control", "no-cache, max-age=100", false},
		{"expires", "0", true},
		{"expires", "Thu, 01 Jan 1970 00:00:00 GMT", true},
		{"expires", "Wed, 01 Dec 2094 16:00:00 GMT", false},
		{"content-language", "de", false},
	} {
		require.Equal(t, c.forbids, objectheader.ForbidsCaching(c.name, c.value), c)
	}
}
