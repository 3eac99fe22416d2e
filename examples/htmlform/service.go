package main

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/site"
)

// policy describes what may be uploaded. If a form has expired or a file is too
// large, the browser shows the XML of S3, without a link back to the service.
// Therefore a form is valid for an hour, the page reloads when its form
// expires, and the page explains the XML. A form can be used several times, but
// with FinalPrefix it publishes only one file.
var policy = presign.Policy{
	Prefix:      "incoming/",
	FinalPrefix: "files/",
	Types:       []string{"image/jpeg", "image/png", "application/pdf", "text/plain"},
	MaxSize:     20 << 20,
	Lifetime:    time.Hour,
}

// viewTime is the lifetime of the URL of a file.
const viewTime = time.Minute

// A kind is a type of file with its name on the page. A grant is for one type
// and one filename, and a page without scripts cannot read them from the file.
// So users select the kind and enter the filename before they select the file.
type kind struct{ ID, Name, Type, Extension string }

var kinds = []kind{
	{"jpeg", "JPEG picture", "image/jpeg", ".jpg"},
	{"png", "PNG picture", "image/png", ".png"},
	{"pdf", "PDF document", "application/pdf", ".pdf"},
	{"text", "Plain text", "text/plain", ".txt"},
}

// kindOf returns the kind with the extension of filename, or the first kind.
func kindOf(filename string) kind {
	return kinds[max(0,
		slices.IndexFunc(kinds, func(k kind) bool { return k.Extension == path.Ext(filename) }))]
}

// Filename adds the extension of the kind to name. If name is empty, it uses
// "upload".
func (k kind) Filename(name string) string {
	return cmp.Or(strings.TrimSuffix(name, k.Extension), "upload") + k.Extension
}

//go:embed page
var files embed.FS

var templates = template.Must(
	template.New("").Funcs(template.FuncMap{"bytes": bytes}).ParseFS(files, "page/*.html"))

var login = site.Login{
	Name: "htmlform", Title: "Files", Question: "Choose a user",
	Lead: "Two people store files here. Neither sees the other's files.",
}

// pagePolicy returns the Content-Security-Policy of the pages, which have no
// scripts, and whose forms go to the store.
func pagePolicy(store string) string {
	return "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; " +
		"form-action 'self' " + store + "; frame-ancestors 'none'"
}

// A service serves the pages and completes uploads.
type service struct {
	*site.Site
	signer    *presign.Signer
	client    *s3.Client
	presigner *s3.PresignClient
}

func newService(client *s3.Client, here *site.Site, secret []byte) (http.Handler, error) {
	signer, err := presign.NewSigner(client, bucket, policy, presign.WithSecret(secret))
	if err != nil {
		return nil, err
	}
	s := &service{here, signer, client, s3.NewPresignClient(client)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", here.Front(login, s.page))
	mux.HandleFunc("GET /done", s.done)
	mux.HandleFunc("GET /files/{id}", s.show)
	return mux, here.Handle(mux, files)
}

// page shows a form for one file of one kind.
func (s *service) page(w http.ResponseWriter, r *http.Request, user string) {
	choice := kinds[max(0,
		slices.IndexFunc(kinds, func(k kind) bool { return k.ID == r.FormValue("kind") }))]
	name := r.FormValue("name")
	message, bad := s.Sessions.PopString(r.Context(), "message"),
		s.Sessions.PopBool(r.Context(), "bad")
	upload := presign.Upload{
		Key:      folder(user),
		Filename: choice.Filename(name),
		Type:     choice.Type,
		Owner:    user,
		Redirect: "http://" + r.Host + "/done", // The site rejects requests for other hosts.
	}
	grant, err := s.signer.Post(r.Context(), upload)
	if faults := violations(err); len(faults) > 0 {
		message, bad, name = "This name cannot be used. "+strings.Join(faults, " "), true, ""
		upload.Filename = choice.Filename(name)
		grant, err = s.signer.Post(r.Context(), upload)
	}
	if err != nil {
		site.Fail(w, r, err)
		return
	}
	list, err := s.list(r.Context(), user)
	if err != nil {
		site.Fail(w, r, err)
		return
	}
	site.Render(w, r, templates, "page.html", struct {
		User    string
		Kinds   []kind
		Choice  kind
		Name    string // the name that the user has entered, or empty
		MaxSize int64
		Grant   *presign.Grant
		Renew   int // seconds
		Bad     bool
		Message string
		Files   []file
	}{
		user, kinds, choice, name, policy.MaxSize, grant,
		int(time.Until(grant.Expires) / time.Second), bad, message, list,
	})
}

// folder returns the prefix of a user's uploads. Other users do not receive
// grants under it.
func folder(user string) string { return policy.Prefix + user + "/" }

// done completes an upload. S3 does not sign the query of its redirect, so a
// link to this route can have any query. For this reason done ignores bucket
// and etag, and Complete verifies that key is an upload of the user who is
// logged in.
func (s *service) done(w http.ResponseWriter, r *http.Request) {
	user, key := s.User(r), r.FormValue("key")
	if user == "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	object, err := s.signer.Complete(r.Context(), user, key)
	message, known := explain(err), true
	switch faults := violations(err); {
	case err == nil && s.isRepeated(r.Context(), object.GrantID):
		message, err = "This form was used before. Only its first file was kept.",
			presign.ErrNotUploaded
	case err == nil:
		message = fmt.Sprintf("Your file is stored and verified: %s, %s.", object.Type,
			bytes(object.Size))
	case len(faults) > 0:
		message = "Your file was rejected and deleted. " + strings.Join(faults, " ")
	default:
		known = message != ""
	}
	if !known {
		slog.ErrorContext(r.Context(), "upload not completed", slog.Any("error", err))
		w.Header().Set("Retry-After", "30")
		http.Error(w,
			"Your file is stored but could not be verified. Reload this page to try again.",
			http.StatusServiceUnavailable)
		return
	}
	s.Sessions.Put(r.Context(), "message", message)
	s.Sessions.Put(r.Context(), "bad", err != nil)
	// After the redirect, the user can reload the page without another
	// completion.
	http.Redirect(w, r, "/?kind="+kindOf(path.Base(key)).ID, http.StatusSeeOther)
}

// explain returns a sentence for the user if err is permanent, or "".
func explain(err error) string {
	switch {
	case errors.Is(err, presign.ErrNotUploaded):
		return "You have no such upload."
	case errors.Is(err, presign.ErrExpired):
		return "The upload has expired. Send the file again."
	}
	return ""
}

// isRepeated reports whether this session has already completed the upload. A
// user who goes back in the browser can send another file with the same form.
// That file is not stored, and the page must not report that it is.
func (s *service) isRepeated(ctx context.Context, grantID string) bool {
	seen, _ := s.Sessions.Get(ctx, "completed").([]string)
	if slices.Contains(seen, grantID) {
		return true
	}
	s.Sessions.Put(ctx, "completed", append(seen[max(0, len(seen)-50):], grantID))
	return false
}

// violations returns a sentence for each Violation in err.
func violations(err error) (faults []string) {
	for _, v := range presign.Violations(err) {
		faults = append(faults, fmt.Sprintf("Its %s %s.", v.Field, v.Detail))
	}
	return faults
}

// A file describes a published file.
type file struct {
	ID, Name string
	Size     int64
	Added    time.Time
	key      string
}

// list returns a user's files, newest first. All objects under FinalPrefix were
// verified, so the service needs no database.
func (s *service) list(ctx context.Context, user string) ([]file, error) {
	found, err := s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
		Bucket: aws.String(bucket),
		Prefix: aws.String(policy.FinalPrefix + user + "/"),
	})
	if err != nil {
		return nil, err
	}
	var list []file
	for _, o := range found.Contents {
		folder, name := path.Split(*o.Key)
		list = append(list, file{path.Base(folder), name, *o.Size, *o.LastModified, *o.Key})
	}
	slices.SortStableFunc(list,
		func(a, b file) int { return cmp.Or(b.Added.Compare(a.Added), cmp.Compare(a.ID, b.ID)) })
	return list, nil
}

// show redirects the browser to one of the user's files at the store.
func (s *service) show(w http.ResponseWriter, r *http.Request) {
	user := s.User(r)
	if user == "" {
		http.NotFound(w, r)
		return
	}
	list, err := s.list(r.Context(), user)
	if err != nil {
		site.Fail(w, r, err)
		return
	}
	i := slices.IndexFunc(list, func(f file) bool { return f.ID == r.PathValue("id") })
	if i < 0 {
		http.NotFound(w, r)
		return
	}
	get, err := s.presigner.PresignGetObject(r.Context(), &s3.GetObjectInput{
		Bucket: aws.String(bucket),
		Key:    aws.String(list[i].key),
	}, s3.WithPresignExpires(viewTime))
	if err != nil {
		site.Fail(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, get.URL, http.StatusSeeOther)
}

func bytes(n int64) string {
	switch {
	case n == 1:
		return "1 byte"
	case n < 1<<10:
		return fmt.Sprintf("%d bytes", n)
	case n < 1<<20:
		return fmt.Sprintf("%.3g KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.3g MiB", float64(n)/(1<<20))
}
