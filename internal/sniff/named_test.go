package sniff

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/mediatype"
	"github.com/s3presign/presign/internal/objectkey"
	"github.com/s3presign/presign/internal/test/corpus"
)

// policy allows all types but active ones, and names two active types in full.
var policy = []string{"*/*", "application/xml", "application/x-shockwave-flash"}

// grant returns the fault of a file, if its name, its type or its content has
// one.
func grant(f corpus.Named) error {
	if err := objectkey.Check(f.Filename); err != nil {
		return err
	}
	typ, fault := mediatype.Choose(f.Filename, f.Declared, policy)
	if fault != nil {
		return fault
	}
	_, err := Check(f.Data, typ)
	return err
}

func TestNamedFilesMustBeGenuine(t *testing.T) {
	rejected, accepted := 0, 0
	genuine := append(slices.Clone(corpus.Genuine), corpus.Bases...)
	for _, f := range genuine {
		if err := grant(f); err != nil {
			rejected++
			t.Errorf("%s (%s) was rejected: %v", f.Filename, f.Source, err)
		}
	}
	for _, f := range corpus.Disguised {
		if grant(f) == nil {
			accepted++
			t.Errorf("%s (%s) was accepted", f.Filename, f.Source)
		}
	}
	t.Logf("%d genuine files, %d rejected; %d disguised files, %d accepted",
		len(genuine), rejected, len(corpus.Disguised), accepted)
	require.Greater(t, len(genuine), 120)
	require.Greater(t, len(corpus.Disguised), 50)
}
