// Package uploadjs holds upload.js, the module with which the demos' pages upload. It needs nothing else; copy it.
package uploadjs

import (
	"bytes"
	_ "embed"
	"net/http"
	"time"
)

//go:embed upload.js
var module []byte

// Serve answers with the module.
func Serve(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "upload.js", time.Time{}, bytes.NewReader(module))
}
