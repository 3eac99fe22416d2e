package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/jub0bs/cors"

	"github.com/s3presign/presign"
)

// These are the limits of the original server.
const (
	minSize, maxSize = 1_000, 10_000_000
	lifetime         = 1000 // seconds, unless the client sends a lifetime
	maxLifetime      = 7 * 24 * 60 * 60
)

var extensions = []string{".jpg", ".jpeg", ".png"}

// fields maps the field names of the library to the names of the original
// server.
var fields = map[string]string{
	"key": "file_name", "filename": "file_name", "type": "file_name",
	"min_size": "content_size_min", "max_size": "content_size_max", "expires_in": "expiration",
}

// faults holds the messages for each field of a request.
type faults map[string][]string

// A service implements the API.
type service struct{ signer *presign.Signer }

// newService returns the API with its CORS rules. It signs once, so that
// missing credentials are reported before a client sends a request.
func newService(ctx context.Context, client *s3.Client, bucket string) (http.Handler, error) {
	signer, err := presign.NewSigner(client, bucket, presign.Policy{
		Prefix:   "images/",
		Types:    []string{"image/jpeg", "image/png"},
		MinSize:  minSize,
		MaxSize:  maxSize,
		Lifetime: maxLifetime * time.Second,
		Headers:  map[string]string{"Content-Disposition": "inline"}, // Links to images show them.
		Replace:  true,
	})
	if err != nil {
		return nil, err
	}
	if _, err := signer.Post(ctx, presign.Upload{Key: "images/probe.png"}); err != nil {
		return nil, err
	}
	middleware, err := cors.NewMiddleware(cors.Config{
		Origins: []string{"*"}, RequestHeaders: []string{"*"},
	})
	if err != nil {
		return nil, err
	}
	s := &service{signer}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /upload_image", s.uploadImage)
	mux.HandleFunc("/upload_image", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", http.MethodPost)
		fail(w, http.StatusMethodNotAllowed)
	})
	mux.HandleFunc("/",
		func(w http.ResponseWriter, r *http.Request) { fail(w, http.StatusNotFound) })
	return middleware.Wrap(mux), nil
}

func (s *service) uploadImage(w http.ResponseWriter, r *http.Request) {
	const maxBody = 64 << 10
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := parseForm(r, maxBody); err != nil {
		status := http.StatusBadRequest
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			status = http.StatusRequestEntityTooLarge
		}
		fail(w, status)
		return
	}
	upload, wrong := parse(r)
	if len(wrong) > 0 {
		respond(w, http.StatusUnprocessableEntity, wrong)
		return
	}
	grant, err := s.signer.Post(r.Context(), upload)
	if wrong.add(err) {
		respond(w, http.StatusUnprocessableEntity, wrong)
		return
	}
	if err != nil { // There are no credentials, or they expire too soon.
		slog.ErrorContext(r.Context(), "form not signed", slog.Any("error", err))
		w.Header().Set("Retry-After", "30")
		fail(w, http.StatusServiceUnavailable)
		return
	}
	respond(w, http.StatusOK,
		map[string]any{"success": true, "post_url": grant.URL, "data": grant.Fields})
}

// parseForm parses URL-encoded and multipart forms, like the original server.
func parseForm(r *http.Request, maxMemory int64) error {
	if err := r.ParseForm(); err != nil {
		return err
	}
	if err := r.ParseMultipartForm(maxMemory); err != nil && !errors.Is(err, http.ErrNotMultipart) {
		return err
	}
	return nil
}

// parse validates a request by the rules of the original server. The library
// also rejects names that are not allowed in a key.
func parse(r *http.Request) (presign.Upload, faults) {
	wrong := faults{}
	name := r.PostForm.Get("file_name")
	switch {
	case name == "":
		wrong["file_name"] = []string{"Missing data for required field."}
	case !slices.Contains(extensions, strings.ToLower(path.Ext(name))):
		wrong["file_name"] = []string{"Must end in one of: " + strings.Join(extensions, ", ") + "."}
	}
	parseNumber := func(field string, value, least, most int64) int64 {
		if r.PostForm.Has(field) {
			n, err := strconv.ParseInt(r.PostForm.Get(field), 10, 64)
			switch value = n; {
			case err != nil:
				wrong[field] = []string{"Not a valid integer."}
			case n < least || n > most:
				wrong[field] = []string{fmt.Sprintf("Must be between %d and %d.", least, most)}
			}
		}
		return value
	}
	return presign.Upload{
		Key:      "images/" + name,
		MinSize:  parseNumber("content_size_min", minSize, minSize, maxSize),
		MaxSize:  parseNumber("content_size_max", maxSize, minSize, maxSize),
		Lifetime: time.Duration(parseNumber("expiration", lifetime, 1, maxLifetime)) * time.Second,
	}, wrong
}

// add adds the violations of err. It reports whether there are any.
func (f faults) add(err error) bool {
	for _, v := range presign.Violations(err) {
		field, ok := fields[v.Field]
		if !ok {
			field = v.Field
		}
		f[field] = append(f[field], v.Detail)
	}
	return len(f) > 0
}

func fail(w http.ResponseWriter, status int) {
	respond(w, status, map[string]any{"success": false, "message": http.StatusText(status)})
}

func respond(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // It fails only if the client has disconnected.
}
