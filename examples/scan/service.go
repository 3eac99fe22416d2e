package main

import (
	"context"
	"embed"
	"encoding/json"
	"html/template"
	"net/http"
	"path"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/site"
	uploadmodule "github.com/s3presign/presign/examples/upload"
)

// policy must set FinalPrefix, so that readers can access an upload only after
// its inspection.
var policy = presign.Policy{
	Prefix:      "incoming/",
	FinalPrefix: "files/",
	Types: []string{
		"image/gif", "image/jpeg", "image/png", "text/plain", "application/pdf", "application/zip",
	},
	MaxSize: 100 << 20,
}

//go:embed page
var files embed.FS

var templates = template.Must(template.ParseFS(files, "page/*.html"))

var login = site.Login{
	Name: "scan", Title: "Scan", Question: "Choose a user",
	Lead: "Every file is scanned for viruses before it is published.",
}

func newSigner(
	client *s3.Client, secret []byte, inspect func(context.Context, *presign.Object) error,
) (*presign.Signer, error) {
	return presign.NewSigner(client, bucket, policy, presign.WithSecret(secret),
		presign.WithInspect(inspect))
}

type service struct {
	*site.Site
	client *s3.Client
}

func newService(client *s3.Client, here *site.Site, signer *presign.Signer) (http.Handler, error) {
	s := &service{here, client}
	uploads, err := presign.NewHandler(signer, here.Authenticate,
		presign.WithAuthorize(func(_ *http.Request, u *presign.Upload) error {
			// The names of users consist of letters and digits.
			u.Key = policy.Prefix + u.Owner + "/"
			return nil
		}))
	if err != nil {
		return nil, err
	}
	archive, err := compress("eicar.com", eicar)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/uploads/", http.StripPrefix("/uploads", uploads))
	mux.HandleFunc("GET /upload.js", uploadmodule.Serve)
	mux.HandleFunc("GET /files", s.list)
	mux.HandleFunc("GET /eicar.txt", sample("text/plain", eicar))
	mux.HandleFunc("GET /eicar.zip", sample("application/zip", archive))
	mux.HandleFunc("GET /{$}", here.Front(login, func(
		w http.ResponseWriter, r *http.Request, user string,
	) {
		site.Render(w, r, templates, "scan.html", user)
	}))
	return mux, here.Handle(mux, files)
}

// sample returns a handler that sends a test file. The page uploads the file.
func sample(mediaType string, content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		_, _ = w.Write(content) // The client might have disconnected.
	}
}

// A file describes a published file.
type file struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// list sends a user's files. All objects under FinalPrefix were scanned, so the
// service needs no database.
func (s *service) list(w http.ResponseWriter, r *http.Request) {
	user, err := s.Authenticate(r)
	if err != nil {
		presign.ProblemOf(err).ServeHTTP(w, r)
		return
	}
	found, err := s.client.ListObjectsV2(r.Context(), &s3.ListObjectsV2Input{
		Bucket: aws.String(bucket), Prefix: aws.String(policy.FinalPrefix + user + "/"),
	})
	if err != nil {
		site.Fail(w, r, err)
		return
	}
	list := []file{}
	for _, o := range found.Contents {
		list = append(list, file{path.Base(*o.Key), *o.Size})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list) // The client might have disconnected.
}
