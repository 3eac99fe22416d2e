package multipart

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/rules"
	"github.com/s3presign/presign/internal/s3limit"
	"github.com/s3presign/presign/internal/stamp"
)

const mebibyte = 1 << 20

// newUpload returns an upload of minSize to maxSize bytes with parts of 5 MiB.
func newUpload(minSize, maxSize int64, checksum string) *Upload {
	return &Upload{
		PartSize: 5 * mebibyte, engine: new(Engine), store: &objectstore.Upload{ID: "id"},
		granted: &stamp.Stamp{MinSize: minSize, MaxSize: maxSize, Checksum: checksum},
	}
}

// TestCheckPart checks that only parts that the upload allows can be signed,
// and that each part gets the size that it must have.
func TestCheckPart(t *testing.T) {
	const crc = "AAAAAA=="
	sized := newUpload(12*mebibyte, 12*mebibyte, "")
	unsized := newUpload(1, 12*mebibyte, "")
	checked := newUpload(12*mebibyte, 12*mebibyte, "CRC32C "+crc)
	huge := newUpload(1, s3limit.ObjectSize, "")
	for _, c := range []struct {
		name   string
		upload *Upload
		part   Part
		size   int64
		field  string
	}{
		{"first", sized, Part{Number: 1}, 5 * mebibyte, ""},
		{"last", sized, Part{Number: 3}, 2 * mebibyte, ""},
		{"the size that the part has", sized, Part{Number: 3, Size: 2 * mebibyte}, 2 * mebibyte, ""},
		{"a byte more", sized, Part{Number: 3, Size: 2*mebibyte + 1}, 0, "size"},
		{"a byte less", sized, Part{Number: 1, Size: 5*mebibyte - 1}, 0, "size"},
		{"negative size", sized, Part{Number: 1, Size: -1}, 0, "size"},
		{"number 0", sized, Part{Number: 0}, 0, "part"},
		{"negative number", sized, Part{Number: -1}, 0, "part"},
		{"behind the last", sized, Part{Number: 4}, 0, "part"},
		{"largest number", sized, Part{Number: math.MaxInt}, 0, "part"},
		{"unknown size", unsized, Part{Number: 3}, 0, ""},
		{"unknown size, size of the part", unsized, Part{Number: 3, Size: 7}, 7, ""},
		{"unknown size, larger than the file", unsized, Part{Number: 1, Size: 12*mebibyte + 1}, 0, "size"},
		{"unknown size, more parts than the file has", unsized, Part{Number: 4}, 0, "part"},
		{"larger than one request", huge, Part{Number: 1, Size: s3limit.RequestSize + 1}, 0, "size"},
		{"part 10,000", huge, Part{Number: 10_000}, 0, ""},
		{"part 10,001", huge, Part{Number: 10_001}, 0, "part"},
		{"checksum", checked, Part{Number: 1, Checksum: crc}, 5 * mebibyte, ""},
		{"no checksum", checked, Part{Number: 1}, 5 * mebibyte, ""},
		{"checksum of another length", checked, Part{Number: 1, Checksum: "AAAAAAAAAAA="}, 0, "checksum"},
		{"checksum without algorithm", sized, Part{Number: 1, Checksum: crc}, 0, "checksum"},
	} {
		t.Run(c.name, func(t *testing.T) {
			size, violation := c.upload.checkPart(c.part)
			require.Equal(t, c.size, size)
			if c.field == "" {
				require.Nil(t, violation)
				return
			}
			require.NotNil(t, violation)
			require.Equal(t, c.field, violation.Field)
		})
	}
}

// TestNumbers checks that only ranges within the limits of S3 are accepted.
func TestNumbers(t *testing.T) {
	parts, violation := Numbers(9_999, 10_000)
	require.Nil(t, violation)
	require.Equal(t, []Part{{Number: 9_999}, {Number: 10_000}}, parts)
	for _, r := range [][2]int{
		{0, 1}, {-1, 1}, {2, 1}, {1, 10_001}, {1, math.MaxInt}, {math.MinInt, math.MaxInt},
	} {
		parts, violation := Numbers(r[0], r[1])
		require.NotNil(t, violation, r)
		require.Equal(t, "part", violation.Field)
		require.Empty(t, parts)
	}
}

// TestMatchParts checks that only parts from 1 without gaps are selected, and
// only if the store has each with the values that the client sent.
func TestMatchParts(t *testing.T) {
	stored := []objectstore.Part{
		{Number: 1, Size: 5, ETag: `"a"`, Checksum: "x"},
		{Number: 2, Size: 6, ETag: `"b"`}, {Number: 3, Size: 1, ETag: `"c"`},
	}
	for _, c := range []struct {
		name   string
		named  []Part
		stored []objectstore.Part
		want   int // parts, or 0 for a violation
	}{
		{"all", nil, stored, 3},
		{"named", []Part{{Number: 1}, {Number: 2}}, stored, 2},
		{"in any order", []Part{{Number: 3}, {Number: 1}, {Number: 2}}, stored, 3},
		{"ETag without quotes", []Part{{Number: 1, ETag: "a"}}, stored, 1},
		{"another ETag", []Part{{Number: 1, ETag: "b"}}, stored, 0},
		{"another size", []Part{{Number: 1, Size: 6}}, stored, 0},
		{"checksum", []Part{{Number: 1, Checksum: "x"}}, stored, 1},
		{"another checksum", []Part{{Number: 1, Checksum: "y"}}, stored, 0},
		{"checksum that the store does not list", []Part{{Number: 1}, {Number: 2, Checksum: "y"}}, stored, 2},
		{"gap", []Part{{Number: 1}, {Number: 3}}, stored, 0},
		{"part 1 is missing", []Part{{Number: 2}}, stored, 0},
		{"twice", []Part{{Number: 1}, {Number: 1}}, stored, 0},
		{"not stored", []Part{{Number: 1}, {Number: 2}, {Number: 3}, {Number: 4}}, stored, 0},
		{"number 0", []Part{{Number: 0}}, stored, 0},
		{"gap in the store", nil, stored[1:], 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			selected, err := matchParts(c.named, c.stored)
			if c.want == 0 {
				require.Len(t, rules.Find[rules.Violation](err), 1)
				require.Empty(t, selected)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.stored[:c.want], selected)
		})
	}
}

// TestProgressesAreLimited checks that uploads of unknown size take a limited
// amount of memory, and that the progress of an ended upload is removed.
func TestProgressesAreLimited(t *testing.T) {
	var table progressTable
	for i := range 3 * maxProgresses {
		table.get(strconv.Itoa(i))
		require.LessOrEqual(t, len(table.uploads), maxProgresses)
	}
	latest := table.get("latest")
	require.Same(t, latest, table.get("latest"))
	table.remove("latest")
	require.NotContains(t, table.uploads, "latest")
}

// A partStore lists each of its parts many times, as stores do that also list
// parts that were replaced.
type partStore struct {
	Store
	count, times int
	pages        int
	held         uint64 // bytes of the heap when the last page is listed
}

func (s *partStore) Parts(
	_ context.Context, _ *objectstore.Upload, after int, _ string,
) (page []objectstore.Part, next int, err error) {
	s.pages++
	for i := range s.times {
		etag := fmt.Sprintf(`"%d of %d"`, i, after+1)
		page = append(page, objectstore.Part{Number: after + 1, Size: 1, ETag: etag})
	}
	if next = after + 1; next == s.count {
		next = 0
		s.held = heap()
	}
	return page, next, nil
}

// heap returns the bytes that are in use.
func heap() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// TestListKeepsOnePartPerNumber checks that 500,000 parts, most of which were
// replaced, take the memory of one page and of the remaining parts.
func TestListKeepsOnePartPerNumber(t *testing.T) {
	store := &partStore{count: 500, times: 1000}
	m := newUpload(1, s3limit.ObjectSize, "")
	m.engine.Store = store
	before := heap()
	parts, err := m.list(t.Context(), []Part{{Number: 7, ETag: "999 of 7"}})
	require.NoError(t, err)
	require.Equal(t, 500, store.pages)
	require.Len(t, parts, 500)
	require.Equal(t, `"999 of 7"`, parts[6].ETag, "the part that the client named")
	require.Equal(t, `"0 of 8"`, parts[7].ETag, "the latest part")
	require.Less(t, int64(store.held)-int64(before), int64(1<<20), "bytes held")
}
