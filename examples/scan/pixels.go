package main

import (
	"bytes"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"strings"

	"github.com/s3presign/presign"
)

// maxHeader limits the bytes before the dimensions of a picture. In a JPEG, the
// metadata is before the dimensions.
const maxHeader = 1 << 20

var configDecoders = map[string]func(io.Reader) (image.Config, error){
	"image/gif": gif.DecodeConfig, "image/jpeg": jpeg.DecodeConfig, "image/png": png.DecodeConfig,
}

// limitPixels returns a Violation if content is a picture whose number of
// pixels exceeds most. Even a small file can decode to gigabytes. limitPixels
// decodes only the header. The returned reader reads all of content.
func limitPixels(content io.Reader, mediaType string, most int64) (io.Reader, error) {
	if !strings.HasPrefix(mediaType, "image/") {
		return content, nil
	}
	decode := configDecoders[mediaType]
	if decode == nil {
		return nil, fmt.Errorf("scan: Policy.Types must not contain %s, which has no decoder",
			mediaType)
	}
	var head bytes.Buffer
	source := &faultReader{r: content}
	config, err := decode(io.TeeReader(io.LimitReader(source, maxHeader), &head))
	switch {
	case source.err != nil:
		return nil, source.err // The store has failed, and the picture might be valid.
	case err != nil:
		return nil, &presign.Violation{
			Field: "content", Code: "invalid", Detail: "must start with the header of a picture",
		}
	}
	if pixels := int64(config.Width) * int64(config.Height); pixels > most {
		return nil, &presign.Violation{
			Field: "content", Code: "too_large", Max: most,
			Detail: fmt.Sprintf("must have at most %d pixels, got %d x %d",
				most, config.Width, config.Height),
		}
	}
	return io.MultiReader(&head, content), nil
}

// A faultReader keeps the error of a reader, because decoders return other
// errors instead.
type faultReader struct {
	r   io.Reader
	err error // the error of r, except io.EOF
}

// Read implements io.Reader.
func (f *faultReader) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}
