package stamp_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/stamp"
)

// TestLongNameIsDigested checks that a stamp holds a digest of a long name,
// from which only the same name is restored.
func TestLongNameIsDigested(t *testing.T) {
	full := stamp.Stamp{
		ID:       [16]byte{1, 2, 3},
		Owner:    "alice",
		Filename: "a.png",
		Type:     "image/png",
		MinSize:  1,
		MaxSize:  9,
		Issued:   time.UnixMicro(1699999999123456).UTC(),
		Until:    time.Unix(1700000000, 0).UTC(),
	}
	long := full
	long.Filename = strings.Repeat("\u6f22", 255)
	sealed := long.Append(nil)
	require.Less(t, len(sealed), len(full.Append(nil))+16)
	for range 2 { // The stamp of a copy holds the same digest.
		parsed, err := stamp.Parse(sealed)
		require.NoError(t, err)
		require.Empty(t, parsed.Filename)

		parsed.RestoreName("another", "fallback")
		require.Equal(t, "fallback", parsed.Filename)
		require.Equal(t, sealed, parsed.Append(nil))
		parsed.RestoreName(long.Filename, "fallback")
		require.Equal(t, long.Filename, parsed.Filename)
		require.Equal(t, sealed, parsed.Append(nil))
		sealed = parsed.Append(nil)
	}
	short := full
	short.RestoreName("another", "fallback")
	require.Equal(t, full, short)

	// A stamp that has a name as well as its digest is malformed.
	b := short.Append(nil)
	flags := len(full.ID)
	b[flags] |= 16
	b = slices.Insert(b, flags+2, long.Append(nil)[flags+2:flags+18]...)
	_, err := stamp.Parse(b)
	require.Error(t, err)
}
