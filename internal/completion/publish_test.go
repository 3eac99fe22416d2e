package completion

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/rules"
	"github.com/s3presign/presign/internal/stamp"
)

const (
	oneMD5 = `"5eb63bbbe01eeed093cb22bb8f5acdc3"`
	twoMD5 = `"7215ee9c7d9dc229d2921a40e899ec5f"`
	parts  = `"7215ee9c7d9dc229d2921a40e899ec5f-2"`
)

// aStore is a Store whose Get and Head return fixed objects. It records
// deletions.
type aStore struct {
	got, described *objectstore.Object
	beginning      []byte
	deleted        []string
}

func (s *aStore) Get(context.Context, string, string, int) (*objectstore.Object, []byte, error) {
	return s.got, s.beginning, nil
}

func (s *aStore) Head(context.Context, string, string) (*objectstore.Object, error) {
	return s.described, nil
}

func (s *aStore) Open(context.Context, *objectstore.Object) (io.ReadCloser, error) {
	return nil, objectstore.ErrNotFound
}

func (s *aStore) Copy(context.Context, *objectstore.Copy) (*objectstore.Object, error) {
	return nil, objectstore.ErrNotFound
}

func (s *aStore) CheckCopy(context.Context, *objectstore.Copy) error { return nil }

func (s *aStore) Delete(_ context.Context, o *objectstore.Object) error {
	s.deleted = append(s.deleted, o.Key)
	return nil
}

// newCompletion returns the completion of an upload at a store.
func newCompletion(store Store) *completion {
	r := &rules.Rules{Policy: rules.Policy{Prefix: "incoming/", FinalPrefix: "files/"}}
	engine := &Engine{Rules: r, Store: store, Logger: slog.New(slog.DiscardHandler)}
	return &completion{Engine: engine, key: "incoming/a"}
}

// TestDifference checks that a copy is compared with its upload by size,
// beginning, checksum and ETag. If the ETags cannot be compared, the key of the
// upload must still have the same object.
func TestDifference(t *testing.T) {
	object := func(etag string, size int64) *objectstore.Object {
		return &objectstore.Object{ETag: etag, Size: size}
	}
	up := &upload{Object: object(oneMD5, 3), granted: &stamp.Stamp{}, beginning: []byte("abc")}
	checked := &upload{
		Object: object(oneMD5, 3), granted: &stamp.Stamp{Checksum: "CRC32 AAAA"},
		beginning: []byte("abc"),
	}
	joined := &upload{Object: object(parts, 3), granted: &stamp.Stamp{}, beginning: []byte("abc")}
	made := func(sum string) *objectstore.Object {
		return &objectstore.Object{Checksums: map[string]string{"CRC32": sum}}
	}
	for name, c := range map[string]struct {
		up           *upload
		copied       *publication
		made, source *objectstore.Object
		want         string
	}{
		"the same":                     {up, &publication{Object: object(oneMD5, 3), beginning: []byte("abc")}, made(""), nil, ""},
		"another size":                 {up, &publication{Object: object(oneMD5, 4), beginning: []byte("abc")}, made(""), nil, "differs from the upload"},
		"another beginning":            {up, &publication{Object: object(oneMD5, 3), beginning: []byte("abd")}, made(""), nil, "differs from the upload"},
		"another end":                  {up, &publication{Object: object(twoMD5, 3), beginning: []byte("abc")}, made(""), nil, "the ETag"},
		"the same checksum":            {checked, &publication{Object: object(oneMD5, 3), beginning: []byte("abc")}, made("AAAA"), nil, ""},
		"another checksum":             {checked, &publication{Object: object(oneMD5, 3), beginning: []byte("abc")}, made("BBBB"), nil, "the checksum"},
		"made of parts":                {joined, &publication{Object: object(oneMD5, 3), beginning: []byte("abc")}, made(""), object(parts, 3), ""},
		"made of parts, then gone":     {joined, &publication{Object: object(oneMD5, 3), beginning: []byte("abc")}, made(""), nil, ""},
		"made of parts, then replaced": {joined, &publication{Object: object(oneMD5, 3), beginning: []byte("abc")}, made(""), object(twoMD5, 3), "replaced while"},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.copied.difference(c.up, c.made, c.source)
			require.Contains(t, got, c.want)
			require.Equal(t, c.want == "", got == "", got)
		})
	}
}

// TestCheckCopyDeletesItsOwnCopyOnly checks that a copy that differs from its
// upload is deleted, unless another object has replaced the copy.
func TestCheckCopyDeletesItsOwnCopyOnly(t *testing.T) {
	up := &upload{
		Object:  &objectstore.Object{ETag: oneMD5, Size: 3},
		granted: &stamp.Stamp{}, beginning: []byte("abc"),
	}
	sealed := map[string]string{rules.StampName: "A"}
	for name, c := range map[string]struct {
		made, etag string
		metadata   map[string]string
		deleted    []string
	}{
		"the copy":                 {twoMD5, twoMD5, sealed, []string{"files/a"}},
		"rewritten by the service": {oneMD5, twoMD5, sealed, nil},
		"a copy of another upload": {twoMD5, twoMD5, map[string]string{rules.StampName: "B"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := &objectstore.Object{Key: "files/a", ETag: c.etag, Size: 3, Metadata: c.metadata}
			store := &aStore{got: got, beginning: []byte("xyz")}
			made := &objectstore.Object{Key: "files/a", ETag: c.made}
			_, err := newCompletion(store).checkCopy(t.Context(), up, made, sealed, nil)
			require.ErrorIs(t, err, ErrChanged)
			require.Equal(t, c.deleted, store.deleted)
		})
	}
}

// TestDropConditionRequiresTwoFailures checks that one failure without an
// explanation does not remove the conditions of a copy. Another upload might
// have had the key for a moment.
func TestDropConditionRequiresTwoFailures(t *testing.T) {
	up := &upload{Object: &objectstore.Object{ETag: oneMD5}}
	c := newCompletion(nil)
	c.dropCondition(up, nil, false)
	require.False(t, c.withoutSource || c.withoutTarget)
	c.dropCondition(up, nil, false)
	require.True(t, c.withoutSource && c.withoutTarget)
}

// aStamp is a Stamps whose Open returns the same stamp for every text.
type aStamp struct{ Stamps }

func (aStamp) Open(string, string) (*stamp.Stamp, error) {
	return &stamp.Stamp{Checksum: "CRC32 AAAA"}, nil
}

// TestReadUploadRequiresOneObject checks that the responses to two requests for
// an upload must describe the same object.
func TestReadUploadRequiresOneObject(t *testing.T) {
	at := time.Unix(1700000000, 0)
	read := &objectstore.Object{ETag: oneMD5, Size: 3, LastModified: at}
	for _, described := range []*objectstore.Object{
		nil,
		{ETag: twoMD5, Size: 3, LastModified: at},
		{ETag: oneMD5, Size: 4, LastModified: at},
		{ETag: oneMD5, Size: 3, LastModified: at.Add(time.Second)},
	} {
		c := newCompletion(&aStore{got: read, described: described, beginning: []byte("abc")})
		c.Stamps = aStamp{}
		_, err := c.readUpload(t.Context())
		require.ErrorIs(t, err, ErrChanged)
	}
}
