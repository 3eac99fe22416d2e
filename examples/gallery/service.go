package main

import (
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/site"
	"github.com/s3presign/presign/examples/upload"
)

// policy describes what may be uploaded. The holder of a grant can write under
// Prefix. Verified uploads are published under FinalPrefix, where no grant
// applies.
var policy = presign.Policy{
	Prefix:      "incoming/",
	FinalPrefix: "pictures/",
	Types:       []string{"image/jpeg", "image/png", "image/gif", "image/webp", "image/avif"},
	MaxSize:     20 << 20,
	Checksum:    types.ChecksumAlgorithmSha256,
	Headers: map[string]string{
		"Content-Disposition": "inline",
		// A published picture never changes.
		"Cache-Control": "private, max-age=31536000, immutable",
	},
}

// viewTime is the lifetime of the URL of a picture.
const viewTime = time.Minute

//go:embed page
var files embed.FS

var templates = template.Must(template.ParseFS(files, "page/*.html"))

var login = site.Login{
	Name: "gallery", Title: "Gallery", Question: "Choose a user",
	Lead: "Two people use this gallery. Neither sees the other's pictures.",
}

// pagePolicy returns the Content-Security-Policy of the pages, which send files
// to the store and show pictures from it.
func pagePolicy(store string) string {
	return "default-src 'none'; script-src 'self'; style-src 'self'; " +
		"img-src 'self' blob: " + store + "; connect-src 'self' " + store + "; " +
		"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
}

// A service serves the gallery.
type service struct {
	*site.Site
	album     album
	client    *s3.Client
	presigner *s3.PresignClient
}

func newService(
	client *s3.Client, here *site.Site, album album, secret []byte,
) (*presign.Signer, http.Handler, error) {
	signer, err := presign.NewSigner(client, bucket, policy, presign.WithSecret(secret),
		presign.WithOnComplete(album.add))
	if err != nil {
		return nil, nil, err
	}
	uploads, err := presign.NewHandler(signer, here.Authenticate,
		presign.WithAuthorize(func(r *http.Request, u *presign.Upload) error {
			// The library adds a random part and the name of the file.
			u.Key = policy.Prefix + u.Owner + "/"
			return nil
		}))
	if err != nil {
		return nil, nil, err
	}
	s := &service{here, album, client, s3.NewPresignClient(client)}
	mux := http.NewServeMux()
	mux.Handle("/uploads/", http.StripPrefix("/uploads", uploads))
	mux.HandleFunc("GET /pictures", s.list)
	mux.HandleFunc("GET /pictures/{id}", s.show)
	mux.HandleFunc("DELETE /pictures/{id}", s.remove)
	mux.HandleFunc("GET /upload.js", upload.Serve)
	mux.HandleFunc("GET /{$}",
		here.Front(login, func(w http.ResponseWriter, r *http.Request, user string) {
			site.Render(w, r, templates, "gallery.html", struct {
				User string
				presign.Policy
			}{user, policy})
		}))
	return signer, mux, here.Handle(mux, files)
}

func (s *service) list(w http.ResponseWriter, r *http.Request) {
	user, err := s.Authenticate(r)
	if err != nil {
		http.Error(w, "Log in first.", http.StatusUnauthorized)
		return
	}
	pictures, err := s.album.list(r.Context(), user)
	if err != nil {
		site.Fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(pictures)
}

// find returns the picture whose ID is in the path of a request. If the user
// has no such picture, it sends an error and returns false.
func (s *service) find(w http.ResponseWriter, r *http.Request) (picture, bool) {
	p, err := s.album.find(r.Context(), s.User(r), r.PathValue("id"))
	switch {
	// A request for a picture of another user, and a request without a session,
	// also receive 404.
	case errors.Is(err, sql.ErrNoRows):
		http.NotFound(w, r)
	case err != nil:
		site.Fail(w, r, err)
	}
	return p, err == nil
}

// show redirects the browser to the store. It signs a new URL for each request,
// so the lifetime of the URL can be short.
func (s *service) show(w http.ResponseWriter, r *http.Request) {
	p, ok := s.find(w, r)
	if !ok {
		return
	}
	get, err := s.presigner.PresignGetObject(r.Context(), &s3.GetObjectInput{
		Bucket: aws.String(bucket),
		Key:    aws.String(p.key),
	}, s3.WithPresignExpires(viewTime))
	if err != nil {
		site.Fail(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, get.URL, http.StatusSeeOther)
}

// remove deletes the object and then the row. If the service fails between the
// two steps, the user can delete the picture again.
func (s *service) remove(w http.ResponseWriter, r *http.Request) {
	p, ok := s.find(w, r)
	if !ok {
		return
	}
	_, err := s.client.DeleteObject(r.Context(),
		&s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String(p.key)})
	if err == nil {
		err = s.album.remove(r.Context(), p.ID)
	}
	if err != nil {
		site.Fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
