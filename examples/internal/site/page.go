package site

import (
	"embed"
	"html/template"
	"io/fs"
	"net/http"
	"path"
)

//go:embed page
var shared embed.FS

var loginPage = template.Must(template.ParseFS(shared, "page/login.html"))

// A Login holds the texts of a demo's login page.
type Login struct{ Name, Title, Question, Lead string }

// Users returns the users who can log in.
func (Login) Users() []string { return Users }

// Front returns a handler for the front page. It calls page for a user who is
// logged in, and otherwise serves the login page.
func (s *Site) Front(
	login Login, page func(w http.ResponseWriter, r *http.Request, user string),
) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if user := s.User(r); user != "" {
			page(w, r, user)
			return
		}
		Render(w, r, loginPage, "login.html", login)
	}
}

// Handle adds routes to mux: the login, the logout, the shared base.css, and
// the files in the directory page except templates.
func (s *Site) Handle(mux *http.ServeMux, files embed.FS) error {
	mux.HandleFunc("POST /login", s.logIn)
	mux.HandleFunc("POST /logout", s.logOut)
	mux.HandleFunc("GET /base.css", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, shared, "page/base.css")
	})
	entries, err := fs.ReadDir(files, "page")
	for _, entry := range entries {
		if name := entry.Name(); path.Ext(name) != ".html" {
			mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
				http.ServeFileFS(w, r, files, "page/"+name)
			})
		}
	}
	return err
}

// Render sends a page that must not be cached.
func Render(
	w http.ResponseWriter, r *http.Request, templates *template.Template, name string, data any,
) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if err := templates.ExecuteTemplate(w, name, data); err != nil {
		Fail(w, r, err)
	}
}
