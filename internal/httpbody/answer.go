package httpbody

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
)

// maxPooled is the largest buffer in bytes that is kept for the next response.
const maxPooled = 512 << 10

// An Appender appends its own JSON.
type Appender interface {
	AppendJSON([]byte) ([]byte, error)
}

// Append appends v as JSON.
func Append(b []byte, v any) ([]byte, error) {
	if v, ok := v.(Appender); ok {
		return v.AppendJSON(b)
	}
	body, err := Marshal(v)
	return append(b, body...), err
}

// Marshal returns v as JSON. It does not escape "&", which URLs contain.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// A Writer writes responses. It reuses buffers, since a grant needs kilobytes.
type Writer struct{ buffers sync.Pool }

// WriteJSON writes a successful response. If it returns an error, it has
// written nothing.
func (a *Writer) WriteJSON(w http.ResponseWriter, status int, v any) error {
	buffer, ok := a.buffers.Get().(*[]byte)
	if !ok {
		buffer = new([]byte)
	}
	body, err := Append((*buffer)[:0], v)
	if err != nil {
		return err
	}
	Write(w, status, "application/json", body)
	if *buffer = body; cap(body) <= maxPooled {
		a.buffers.Put(buffer)
	}
	return nil
}

// Write writes a response.
func Write(w http.ResponseWriter, status int, mediaType string, body []byte) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}
