package main

import (
	"embed"
	"net/http"

	"github.com/s3presign/presign/examples/upload"
)

//go:embed page
var files embed.FS

// addPage adds the routes of the page on which users log in and upload.
func addPage(mux *http.ServeMux) {
	for path, name := range map[string]string{
		"/{$}": "index.html", "/style.css": "style.css", "/app.js": "app.js",
	} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			http.ServeFileFS(w, r, files, "page/"+name)
		})
	}
	mux.HandleFunc("GET /upload.js", upload.Serve)
}
