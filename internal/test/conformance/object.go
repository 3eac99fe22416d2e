package conformance

import (
	"bytes"
	"maps"
)

// An Object is an object as a server stores it.
type Object struct {
	Body                                  []byte
	Type, Disposition, CacheControl       string
	Encoding, Language, Expires, Redirect string
	Metadata, Tags                        map[string]string
	// Further names properties that no grant requests.
	Further []string
}

const bytesDiffer = "its bytes"

// differences returns the names of headers that the actual object has lost, and
// the names of all other differences.
func (o Object) differences(actual Object) (lost, differs []string) {
	for _, h := range []struct{ name, want, got string }{
		{"Content-Type", o.Type, actual.Type},
		{"Content-Disposition", o.Disposition, actual.Disposition},
		{"Cache-Control", o.CacheControl, actual.CacheControl},
		{"Content-Encoding", o.Encoding, actual.Encoding},
		{"Content-Language", o.Language, actual.Language},
		{"Expires", o.Expires, actual.Expires},
		{"x-amz-website-redirect-location", o.Redirect, actual.Redirect},
	} {
		switch {
		case h.want == h.got:
		case h.got == "":
			lost = append(lost, h.name)
		default:
			differs = append(differs, h.name)
		}
	}
	if !bytes.Equal(o.Body, actual.Body) {
		differs = append(differs, bytesDiffer)
	}
	for name, value := range o.Metadata {
		switch got, ok := actual.Metadata[name]; {
		case !ok:
			lost = append(lost, "x-amz-meta-"+name)
		case got != value:
			differs = append(differs, "x-amz-meta-"+name)
		}
	}
	for name := range actual.Metadata {
		if _, ok := o.Metadata[name]; !ok {
			differs = append(differs, "x-amz-meta-"+name)
		}
	}
	switch {
	case maps.Equal(o.Tags, actual.Tags):
	case len(actual.Tags) == 0:
		lost = append(lost, "x-amz-tagging")
	default:
		differs = append(differs, "x-amz-tagging")
	}
	return lost, differs
}
