package main

import (
	"embed"
	"html/template"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/site"
)

// policy permits every type except types that browsers execute.
var policy = presign.Policy{
	Prefix:      "incoming/",
	FinalPrefix: "files/",
	Types:       []string{"*/*"},
	MaxSize:     2 << 30,
}

//go:embed page
var files embed.FS

var templates = template.Must(template.ParseFS(files, "page/*.html"))

var login = site.Login{
	Name: "uppy", Title: "Large files", Question: "Choose a user",
	Lead: "Two people upload here. They cannot see each other's files.",
}

// pagePolicy returns the Content-Security-Policy of the pages. The Dashboard
// shows previews (blob:) and the pictures in its stylesheet (data:).
func pagePolicy(store string) string {
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; " +
		"connect-src 'self' " + store +
		"; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
}

func newService(client *s3.Client, here *site.Site, secret []byte) (http.Handler, error) {
	signer, err := presign.NewSigner(client, bucket, policy, presign.WithSecret(secret))
	if err != nil {
		return nil, err
	}
	uploads, err := presign.NewHandler(signer, here.Authenticate,
		presign.WithUppy(),
		presign.WithAuthorize(func(r *http.Request, u *presign.Upload) error {
			// The library adds a random part and the name of the file.
			u.Key = policy.Prefix + u.Owner + "/"
			return nil
		}))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/uploads/", http.StripPrefix("/uploads", uploads))
	mux.HandleFunc("GET /{$}", here.Front(login, func(
		w http.ResponseWriter, r *http.Request, user string,
	) {
		site.Render(w, r, templates, "uppy.html", struct {
			User string
			presign.Policy
		}{user, policy})
	}))
	return mux, here.Handle(mux, files)
}
