package conformance

import (
	"bytes"
	"maps"
)

// Object is what a server holds.
type Object struct {
	Body                                  []byte
	Type, Disposition, CacheControl       string
	Encoding, Language, Expires, Redirect string
	Metadata, Tags                        map[string]string
	// Further names other properties that no grant asks for.
	Further []string
}

const bytesDiffer = "its bytes"

// differences names the headers that were to be there and are not, and all else in which an object is another one.
func (o Object) differences(is Object) (lost, differs []string) {
	for _, h := range []struct{ name, want, is string }{
		{"Content-Type", o.Type, is.Type},
		{"Content-Disposition", o.Disposition, is.Disposition},
		{"Cache-Control", o.CacheControl, is.CacheControl},
		{"Content-Encoding", o.Encoding, is.Encoding},
		{"Content-Language", o.Language, is.Language},
		{"Expires", o.Expires, is.Expires},
		{"x-amz-website-redirect-location", o.Redirect, is.Redirect},
	} {
		switch {
		case h.want == h.is:
		case h.is == "":
			lost = append(lost, h.name)
		default:
			differs = append(differs, h.name)
		}
	}
	if !bytes.Equal(o.Body, is.Body) {
		differs = append(differs, bytesDiffer)
	}
	for name, value := range o.Metadata {
		switch got, ok := is.Metadata[name]; {
		case !ok:
			lost = append(lost, "x-amz-meta-"+name)
		case got != value:
			differs = append(differs, "x-amz-meta-"+name)
		}
	}
	for name := range is.Metadata {
		if _, ok := o.Metadata[name]; !ok {
			differs = append(differs, "x-amz-meta-"+name)
		}
	}
	switch {
	case maps.Equal(o.Tags, is.Tags):
	case len(is.Tags) == 0:
		lost = append(lost, "x-amz-tagging")
	default:
		differs = append(differs, "x-amz-tagging")
	}
	return lost, differs
}
