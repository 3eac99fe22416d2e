package objectheader_test

import (
	"testing"

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

func TestFormFieldRefuses(t *testing.T) {
	for _, name := range []string{
		"", "Host", "Date", "Expect", "Authorization", "Content-Length", "Content-Type", "Content-MD5", "Transfer-Encoding",
		"If-Match", "If-None-Match", "x-amz-meta-a", "x-amz-checksum-sha256", "x-amz-sdk-checksum-algorithm",
		"x-amz-date", "x-amz-security-token", "x-amz-content-sha256", "x-amz-algorithm", "x-amz-credential", "x-amz-signature",
		"x-amz-copy-source", "x-amz-metadata-directive", "x-amz-write-offset-bytes", "x-amz-mp-object-size",
		"x-amz-server-side-encryption-customer-key", "X-Custom",
	} {
		_, _, err := objectheader.FormField(name, "v")
		require.ErrorContains(t, err, "not a header that a service can set", name)
	}
	for value, want := range map[string]string{"a=1&a=2": `the tag "a" 2 times`, "=1": `the tag "" 1 times`, "a;b": "not of the form", "a=%zz": "not of the form"} {
		_, _, err := objectheader.FormField("x-amz-tagging", value)
		require.ErrorContains(t, err, want, value)
	}
}
