// Package upload embeds the browser module upload.js, which uploads files
// straight to S3 with grants of a presign service.
package upload

import (
	"bytes"
	_ "embed"
	"net/http"
	"time"
)

//go:embed upload.js
var script []byte

// Serve responds with the module.
func Serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/javascript")
	http.ServeContent(w, r, "upload.js", time.Time{}, bytes.NewReader(script))
}
