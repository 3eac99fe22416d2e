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

// Login is what a demo says on the page where its users log in.
type Login struct{ Name, Title, Question, Lead string }

// Users may log in.
func (Login) Users() []string { return Users }

// Front returns the front page: of the user who is logged in, or else the one to log in on.
func (s *Site) Front(login Login, page func(w http.ResponseWriter, r *http.Request, user string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if user := s.User(r); user != "" {
			page(w, r, user)
			return
		}
		Render(w, r, loginPage, "login.html", login)
	}
}

// Handle has mux log users in and out, and serve what pages load: base.css, on which the demos' own stylesheets build, and
// all files of the directory page but templates.
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

// Render answers with a page that is made for this request alone.
func Render(w http.ResponseWriter, r *http.Request, templates *template.Template, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if err := templates.ExecuteTemplate(w, name, data); err != nil {
		Fail(w, r, err)
	}
}
