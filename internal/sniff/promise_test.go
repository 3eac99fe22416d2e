package sniff

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/mediatype"
	"github.com/s3presign/presign/internal/test/corpus"
)

// TestCheckRequiresPromisedSignatures checks that noise, zeros, programs, disk
// images and text do not agree with types that promise a signature. It uses
// every name of such a type, and every extension of it.
func TestCheckRequiresPromisedSignatures(t *testing.T) {
	types, pairs := map[string]bool{}, 0
	check := func(typ, way string) {
		if !formOf(typ).signed {
			return
		}
		types[typ] = true
		for _, f := range corpus.Strangers {
			pairs++
			_, err := Check(f.Data, typ)
			require.ErrorIs(t, err, ErrContradictsContent, "%s as %s by %s", f.Name, typ, way)
		}
	}
	for typ := range forms {
		check(typ, "its name")
	}
	for _, extension := range mediatype.Extensions() {
		agreeing := mediatype.ByExtension("." + extension)
		for _, declared := range append([]string{""}, agreeing...) {
			for _, pattern := range append([]string{"*/*"}, agreeing...) {
				typ, fault := mediatype.Choose("file."+extension, declared, []string{pattern})
				if fault != nil {
					require.ErrorIs(t, fault, mediatype.ErrNotAllowed, "%s %s", extension, declared)
					continue
				}
				check(typ, "."+extension+" declared "+declared)
			}
		}
	}
	for _, typ := range []string{
		"application/pdf", "image/png", "application/zip", "video/mp4", "application/x-tar",
		"font/woff2",
	} {
		require.True(t, types[typ], typ)
	}
	t.Logf("%d types promise a signature; %d pairs of a file and a way to a type",
		len(types), pairs)
	require.Greater(t, len(types), 200)
}
