package stamp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/stamp"
)

var full = stamp.Stamp{
	ID: [16]byte{1, 2, 3}, Owner: "alice", Filename: "日本.png", Type: "image/png", MinSize: 1, MaxSize: 1 << 45,
	Issued: time.UnixMicro(1699999999123456).UTC(), Replace: true, Checksum: "SHA256 LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=", Until: time.Unix(1700000000, 0).UTC(),
	Headers: []stamp.Header{{Name: "cache-control", Value: "no-store"}, {Name: "expires", Value: ""}}, Metadata: [16]byte{15: 9},
}

func TestRoundTrip(t *testing.T) {
	inline, replaced := full, full
	inline.Replace, inline.Inline = false, true
	replaced.Metadata = [16]byte{}
	for _, s := range []stamp.Stamp{full, inline, replaced, {Issued: time.UnixMicro(0).UTC(), Until: time.Unix(0, 0).UTC()}} {
		got, err := stamp.Parse(s.Append(nil))
		require.NoError(t, err)
		require.Equal(t, &s, got)
	}
}

func TestPublishedRoundTrip(t *testing.T) {
	p := &stamp.Published{Stamp: full, Size: 1 << 40, Beginning: [16]byte{1}, Detected: "image/png"}
	got, err := stamp.ParsePublished(p.Append(nil))
	require.NoError(t, err)
	require.Equal(t, p, got)
	for n := range 40 {
		_, err := stamp.ParsePublished(p.Append(nil)[:n])
		require.Error(t, err)
	}
}

func TestParseRefuses(t *testing.T) {
	whole := full.Append(nil)
	unknown := append([]byte{}, whole...)
	unknown[len(full.ID)] |= 8
	_, err := stamp.Parse(unknown)
	require.Error(t, err, "a flag of a later version")
	// Without its last header a stamp is whole again; every other beginning of it is none.
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

var multipart = stamp.Multipart{
	Key: "incoming/日本.png", UploadID: "2~abc", PartSize: 5 << 20, Expires: time.Unix(1700000000, 0).UTC(), Lifetime: 15 * time.Minute, Stamp: full,
}

func TestMultipartRoundTrip(t *testing.T) {
	got, err := stamp.ParseMultipart(multipart.Append(nil))
	require.NoError(t, err)
	require.Equal(t, &multipart, got)
	whole := multipart.Append(nil)
	for n := range len(whole) - len(full.Append(nil)) {
		_, err := stamp.ParseMultipart(whole[:n])
		require.Error(t, err, "%d bytes", n)
	}
}

// FuzzParse: what each parser takes says what its bytes say.
func FuzzParse(f *testing.F) {
	f.Add(full.Append(nil))
	f.Add((&stamp.Published{Stamp: full, Size: 1 << 40, Beginning: [16]byte{1}, Detected: "image/png"}).Append(nil))
	f.Add(multipart.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		roundTrip(t, b, stamp.Parse)
		roundTrip(t, b, stamp.ParsePublished)
		roundTrip(t, b, stamp.ParseMultipart)
	})
}

func roundTrip[T interface{ Append([]byte) []byte }](t *testing.T, b []byte, parse func([]byte) (T, error)) {
	parsed, err := parse(b)
	if err != nil {
		return
	}
	again, err := parse(parsed.Append(nil))
	require.NoError(t, err)
	require.Equal(t, parsed, again)
}
