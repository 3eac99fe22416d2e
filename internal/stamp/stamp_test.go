package stamp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/stamp"
)

var full = stamp.Stamp{
	ID:       [16]byte{1, 2, 3, 15: 255},
	Owner:    "alice",
	Filename: "日本.png",
	Type:     "image/png",
	MinSize:  1,
	MaxSize:  1 << 45,
	Checksum: "SHA256 LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
	Issued:   time.UnixMicro(1699999999123456).UTC(),
	Until:    time.Unix(1700000000, 0).UTC(),
	Method:   stamp.Multipart,
	Replace:  true,
	Inspect:  true,
	Headers: []stamp.Header{
		{Name: "cache-control", Value: "no-store"}, {Name: "expires", Value: "0"},
	},
	Metadata: []stamp.Digest{{7: 9}, {1, 2}},
}

var published = stamp.Published{
	Stamp: full, At: time.Unix(1700000001, 0).UTC(), Size: 1 << 40, Digested: 4096,
	Beginning: [16]byte{4, 5, 15: 6}, Detected: "image/png",
	MD5: [16]byte{7, 15: 8},
}

var multipart = stamp.MultipartUpload{
	Key: "incoming/日本.png", UploadID: "2~abc", PartSize: 5 << 20,
	Expires: time.Unix(1700000000, 0).UTC(), Lifetime: 15 * time.Minute, Stamp: full,
}

func TestRoundTrip(t *testing.T) {
	inline, random := full, full
	inline.Replace, inline.Inline, inline.Method = false, true, stamp.Form
	random.Inspect, random.Random, random.Metadata = false, true, nil
	for _, s := range []stamp.Stamp{
		full, inline, random, {Issued: time.UnixMicro(0).UTC(), Until: time.Unix(0, 0).UTC()},
	} {
		got, err := stamp.Parse(s.Append(nil))
		require.NoError(t, err)
		require.Equal(t, &s, got)
	}
}

func TestPublishedRoundTrip(t *testing.T) {
	whole := published.Append(nil)
	got, err := stamp.ParsePublished(whole)
	require.NoError(t, err)
	require.Equal(t, &published, got)
	for n := range len(whole) - len(full.Append(nil)) {
		_, err := stamp.ParsePublished(whole[:n])
		require.Error(t, err, "%d bytes", n)
	}
}

func TestParseRejects(t *testing.T) {
	whole := full.Append(nil)
	const flags, method, digests = 16, 17, 18
	for at, b := range map[int]byte{flags: 16, method: 3, digests: 255} {
		changed := append([]byte{}, whole...)
		changed[at] = b
		_, err := stamp.Parse(changed)
		require.Error(t, err, "a value of a later version at %d", at)
	}
	unknown := append([]byte{}, whole...)
	unknown[flags] |= 1 << 5
	_, err := stamp.Parse(unknown)
	require.Error(t, err, "a flag of a later version")
	// A stamp without its last header is complete.
	withoutLast, withoutBoth := full, full
	withoutLast.Headers, withoutBoth.Headers = full.Headers[:1], nil
	for n := range whole {
		if n == len(withoutLast.Append(nil)) || n == len(withoutBoth.Append(nil)) {
			continue
		}
		_, err := stamp.Parse(whole[:n])
		require.Error(t, err, "%d bytes", n)
	}
}

func TestMultipartRoundTrip(t *testing.T) {
	whole := multipart.Append(nil)
	got, err := stamp.ParseMultipart(whole)
	require.NoError(t, err)
	require.Equal(t, &multipart, got)
	for n := range len(whole) - len(full.Append(nil)) {
		_, err := stamp.ParseMultipart(whole[:n])
		require.Error(t, err, "%d bytes", n)
	}
}

// FuzzParse checks that an accepted value does not change if it is appended and
// parsed again.
func FuzzParse(f *testing.F) {
	f.Add(full.Append(nil))
	f.Add(published.Append(nil))
	f.Add(multipart.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		roundTrip(t, b, stamp.Parse)
		roundTrip(t, b, stamp.ParsePublished)
		roundTrip(t, b, stamp.ParseMultipart)
	})
}

func roundTrip[T interface{ Append([]byte) []byte }](
	t *testing.T, b []byte, parse func([]byte) (T, error),
) {
	parsed, err := parse(b)
	if err != nil {
		return
	}
	again, err := parse(parsed.Append(nil))
	require.NoError(t, err)
	require.Equal(t, parsed, again)
}

// TestDigestSeparatesNameAndValue checks that two entries of metadata have
// different digests if only the boundary between name and value differs.
func TestDigestSeparatesNameAndValue(t *testing.T) {
	require.NotEqual(t, stamp.NewDigest("user", "id1"), stamp.NewDigest("userid", "1"))
	require.NotEqual(t, stamp.NewDigest("user", ""), stamp.NewDigest("", "user"))
}
