package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/upload"
)

//go:embed page
var files embed.FS

var index = template.Must(template.New("index.html").Funcs(template.FuncMap{
	"join":     strings.Join,
	"bytes":    humanBytes,
	"duration": humanDuration,
}).ParseFS(files, "page/index.html"))

// A page serves the web page on which visitors try uploads. Its fields are the
// values that the template shows.
type page struct {
	presign.Policy
	Formless string // the reason why forms are not granted, or empty
	Bucket   string

	http.Handler
}

func newPage(
	ctx context.Context, signer *presign.Signer, visitor visitor, bucket *bucket,
) (*page, error) {
	p := &page{Policy: policy, Bucket: bucket.name}
	// The two grants reveal the host of the store, whether forms are possible,
	// and whether the credentials can sign.
	probe := presign.Upload{Filename: "probe.txt", Type: "text/plain", Size: 1}
	grant, err := signer.Put(ctx, probe)
	if err != nil {
		return nil, err
	}
	if _, err := signer.Post(ctx, probe); err != nil {
		violation, ok := errors.AsType[*presign.Violation](err)
		if !ok {
			return nil, err
		}
		p.Formless = violation.Detail
	}
	store, err := url.Parse(grant.URL)
	if err != nil {
		return nil, err
	}
	var html bytes.Buffer
	if err := index.Execute(&html, p); err != nil {
		return nil, err
	}
	static, err := fs.Sub(files, "page")
	if err != nil {
		return nil, err
	}

	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(static))
	mux.HandleFunc("GET /upload.js", upload.Serve)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		visitor.setCookie(w)
		http.ServeContent(w, r, "index.html", time.Time{}, bytes.NewReader(html.Bytes()))
	})
	security := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; " +
		"connect-src 'self' " + store.Scheme + "://" + store.Host + "; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	p.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", security)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-cache")
		mux.ServeHTTP(w, r)
	})
	return p, nil
}

// humanBytes formats a size, such as 1.5 KiB.
func humanBytes(n int64) string {
	switch {
	case n == 1:
		return "1 byte"
	case n < 1<<10:
		return fmt.Sprintf("%d bytes", n)
	case n < 1<<20:
		return fmt.Sprintf("%.4g KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.4g MiB", float64(n)/(1<<20))
	default:
		return fmt.Sprintf("%.4g GiB", float64(n)/(1<<30))
	}
}

func humanDuration(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	default:
		return fmt.Sprintf("%d seconds", d/time.Second)
	}
}
