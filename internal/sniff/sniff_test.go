package sniff

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gabriel-vasile/mimetype"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/mediatype"
	"github.com/s3presign/presign/internal/test/corpus"
)

func TestCheckAcceptsLegitimateFiles(t *testing.T) {
	for _, c := range corpus.Legitimate {
		for granted := range strings.FieldsSeq(c.Granted) {
			t.Run(c.Name+" as "+granted, func(t *testing.T) {
				detected, err := Check(c.Data, granted)
				require.NoError(t, err)
				require.NotContains(t, detected, ";")
			})
		}
	}
	require.Greater(t, len(corpus.Legitimate), 60)
}

func TestCheckRejectsMismatches(t *testing.T) {
	for _, c := range corpus.Mismatches {
		t.Run(c.Name+" as "+c.Granted, func(t *testing.T) {
			detected, err := Check(c.Data, c.Granted)
			require.Error(t, err)
			require.Equal(t, c.Detected, detected)
			if detected == "" {
				require.ErrorContains(t, err, "does not look like "+c.Granted)
			} else {
				require.ErrorContains(t, err, "looks like "+detected)
			}
			require.ErrorIs(t, err, ErrContradictsContent)
		})
	}
	require.Greater(t, len(corpus.Mismatches), 40)
}

func TestMarkup(t *testing.T) {
	for _, c := range corpus.Markups {
		t.Run(c.Name, func(t *testing.T) {
			for _, granted := range corpus.NotMarkup {
				detected, err := Check(c.Data, granted)
				require.ErrorContains(t, err, "looks like "+detected, granted)
				require.Equal(t, c.Detected, detected, granted)
			}
			for granted := range strings.FieldsSeq(
				"text/plain text/csv text/markdown text/html application/xml") {
				_, err := Check(c.Data, granted)
				require.NoError(t, err, granted)
			}
		})
	}

	// Bytes that only resemble markup are checked as text or data.
	for _, s := range []string{
		"<3 you", "< html>", "<john@example.com> hello", "<john> hello", "<", "<!", "<?", "</",
		"<<<<<<< HEAD\n",
		"<stata_dta><header>", "<?php echo 1;", "x <html>", "\x01<html>", "&lt;html>",
		"+ADw-script+AD4-", "",
	} {
		_, err := Check([]byte(s), "application/octet-stream")
		require.NoError(t, err, "%q", s)
	}
}

// TestMismatchStatesExtension checks that the message for a misnamed picture
// states the format and how to correct the name.
func TestMismatchStatesExtension(t *testing.T) {
	for _, c := range []struct{ granted, sample, want string }{
		{"image/jpeg", "heic", "looks like image/heic: rename it to end in .heic, or convert it"},
		{"image/jpeg", "webp", "looks like image/webp: rename it to end in .webp, or convert it"},
		{"image/jpeg", "png", "looks like image/png: rename it to end in .png, or convert it"},
		{"video/mp4", "webm", "looks like video/webm: rename it to end in .webm, or convert it"},
		{"image/png", "svg", "looks like image/svg+xml"},
		{"image/png", "pdf", "looks like application/pdf"},
		{"application/pdf", "png", "looks like image/png"},
	} {
		i := slices.IndexFunc(corpus.Legitimate, func(f struct {
			Granted string
			corpus.File
		}) bool {
			return f.Name == c.sample
		})
		_, err := Check(corpus.Legitimate[i].Data, c.granted)
		require.EqualError(t, err, c.want)
	}
}

func TestCheckReadsOnlyHead(t *testing.T) {
	// Check reads only the first bytes.
	detected, err := Check(append(bytes.Repeat([]byte(" "), Head), "<html>"...),
		"application/octet-stream")
	require.NoError(t, err)
	require.Equal(t, "text/plain", detected)

	_, err = Check(corpus.PNG, "image")
	require.ErrorContains(t, err, "must be a media type")

	detected, err = Check(corpus.PNG, "Image/PNG; x=y")
	require.NoError(t, err)
	require.Equal(t, "image/png", detected)
}

func TestTable(t *testing.T) {
	bases := func(types []string) {
		for _, b := range types {
			m := mimetype.Lookup(b)
			require.NotNil(t, m, b)
			require.Equal(t, b, m.String(), "the alias of a base")
			inner := []string{htmlType, xmlType, "text/x-shellscript", "application/x-object"}
			if !slices.Contains(inner, b) {
				require.Equal(t, b, base(m), "built on another base")
			}
		}
	}
	for line := range strings.Lines(table) {
		row := strings.Split(line, "|")
		if len(row) == 1 {
			require.True(t, strings.TrimSpace(line) == "" || line[0] == '#', line)
			continue
		}
		require.LessOrEqual(t, len(row), 3, line)
		bases(strings.Fields(strings.ReplaceAll(row[0], "general", "")))
		for entry := range strings.FieldsSeq(strings.Join(row[1:], " ")) {
			if !strings.Contains(entry, "/") {
				require.NotEmpty(t, mediatype.ByExtension("."+entry), entry)
			}
		}
	}
	bases(media.bases)
	bases(general.bases)
	bases(prose.bases)
	for _, s := range signatures {
		require.NotNil(t, mimetype.Lookup(s.typ), s.typ)
	}
	for _, b := range boxes {
		require.NotNil(t, mimetype.Lookup(b.typ), b.typ)
	}
	bases(textual)

	// No type of text except text/pdf promises a signature.
	for typ, form := range forms {
		if strings.HasPrefix(typ, "text/") && typ != "text/pdf" {
			require.False(t, form.signed, typ)
		}
	}
}

// whatwg matches SVG files, and files without a type that browsers detect as
// HTML or XML.
//
// See
// https://mimesniff.spec.whatwg.org/#identifying-a-resource-with-an-unknown-mime-type.
var whatwg = regexp.MustCompile(`(?i)^(\xef\xbb\xbf)?[\t\n\f\r ]*<(!--|\?xml|` +
	`(!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|svg)[ >])`)

func FuzzCheck(f *testing.F) {
	for _, c := range corpus.Legitimate {
		f.Add(c.Data, strings.Fields(c.Granted)[0])
	}
	for _, c := range corpus.Markups {
		f.Add(c.Data, "application/octet-stream")
	}
	for _, c := range corpus.Mismatches {
		f.Add(c.Data, c.Granted)
	}
	f.Fuzz(func(t *testing.T, data []byte, granted string) {
		detected, err := Check(data, granted)
		if _, parseErr := mediatype.Parse(granted); parseErr != nil {
			require.EqualError(t, err, parseErr.Error())
			return
		}
		if err != nil && detected != "" {
			require.ErrorContains(t, err, "looks like "+detected)
		}
		again, _ := Check(data, granted)
		require.Equal(t, detected, again)

		if whatwg.Match(data[:min(len(data), Head)]) {
			for _, granted := range corpus.NotMarkup {
				_, err := Check(data, granted)
				require.Error(t, err, granted)
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	for _, c := range []struct {
		Granted string
		corpus.File
	}{
		{"image/png", corpus.File{Name: "png", Data: corpus.Join(corpus.PNG, corpus.Noise)}},
		{"application/json", corpus.File{Name: "json", Data: []byte(`{"a":"` + strings.Repeat("x", 5000))}},
		{"application/octet-stream", corpus.File{Name: "noise", Data: corpus.Noise}},
	} {
		b.Run(c.Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Check(c.Data, c.Granted)
			}
		})
	}
}
