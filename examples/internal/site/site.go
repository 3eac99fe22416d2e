// Package site is what a service with users has already and the demos need: a web server, on this machine only, cookie
// sessions of two people, a page to log in on, and a secret that outlives the process.
package site

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/arguments"
	"github.com/s3presign/presign/examples/internal/interrupt"
)

// Users may log in. Their names are part of keys: letters and digits.
var Users = []string{"alice", "bob"}

// Site is a web server on a loopback address.
type Site struct {
	Sessions *scs.SessionManager
	listener net.Listener
	hosts    []string
}

// Listen returns a Site that accepts connections as soon as it serves. Its name is that of its cookie.
func Listen(addr, name string) (*Site, error) {
	listener, err := arguments.ListenLocally(addr)
	if err != nil {
		return nil, err
	}
	bound := listener.Addr().(*net.TCPAddr)
	s := &Site{
		Sessions: scs.New(), // in memory; it has stores for databases
		listener: listener,
		hosts:    []string{bound.String(), fmt.Sprintf("localhost:%d", bound.Port)},
	}
	s.Sessions.Cookie.Name = name
	// Strict would keep the cookie back when a form's upload comes back from S3, which is another site.
	s.Sessions.Cookie.SameSite = http.SameSiteLaxMode
	// A service behind HTTPS sets Cookie.Secure. This one speaks plain HTTP.
	return s, nil
}

// Origins returns the origins of the site's pages, the one to tell people first.
func (s *Site) Origins() []string {
	var origins []string
	for _, host := range s.hosts {
		origins = append(origins, "http://"+host)
	}
	return origins
}

// Serve serves until ctx ends, or wait returns. Pages may load and do what policy says and nothing else (CSP).
func (s *Site) Serve(ctx context.Context, handler http.Handler, policy string, wait func() error) error {
	// Pages of other sites can post forms here, and point names of their own at this machine (DNS rebinding).
	handler = http.NewCrossOriginProtection().Handler(s.Sessions.LoadAndSave(handler))
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !slices.Contains(s.hosts, r.Host) {
				http.Error(w, "This service is at "+strings.Join(s.hosts, " and "), http.StatusMisdirectedRequest)
				return
			}
			header := w.Header()
			header.Set("Content-Security-Policy", policy)
			header.Set("X-Content-Type-Options", "nosniff")
			header.Set("Referrer-Policy", "same-origin")
			header.Set("Cache-Control", "no-cache")
			handler.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      time.Minute, // a completion copies what was uploaded
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	return interrupt.Serve(ctx, server, s.listener, wait)
}

// Close stops listening.
func (s *Site) Close() error { return s.listener.Close() }

// User returns who is logged in, if someone is.
func (s *Site) User(r *http.Request) string { return s.Sessions.GetString(r.Context(), "user") }

// Authenticate is User for a presign.Handler.
func (s *Site) Authenticate(r *http.Request) (owner string, err error) {
	if owner = s.User(r); owner == "" {
		err = &presign.Problem{Status: http.StatusUnauthorized, Detail: "Log in first."}
	}
	return owner, err
}

// logIn takes a form with a user's name; a service of yours asks for more. It sends the browser to the front page.
func (s *Site) logIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	user := r.PostFormValue("user")
	if !slices.Contains(Users, user) {
		http.Error(w, "No such user.", http.StatusUnauthorized)
		return
	}
	if err := s.Sessions.RenewToken(r.Context()); err != nil { // against session fixation
		Fail(w, r, err)
		return
	}
	s.Sessions.Put(r.Context(), "user", user)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// logOut ends the session, and has the browser forget what pages have kept in it, for who uses it next.
func (s *Site) logOut(w http.ResponseWriter, r *http.Request) {
	if err := s.Sessions.Destroy(r.Context()); err != nil {
		Fail(w, r, err)
		return
	}
	w.Header().Set("Clear-Site-Data", `"storage"`) // https://www.w3.org/TR/clear-site-data/
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// Fail logs an error that is nobody's business and says so.
func Fail(w http.ResponseWriter, r *http.Request, err error) {
	slog.ErrorContext(r.Context(), "request not served", slog.Any("error", err))
	http.Error(w, "That did not work. Try again later.", http.StatusInternalServerError)
}

// Secret returns the secret in dir, for presign.WithSecret, and makes it up first if there is none. Several replicas
// would have it from where a service keeps its secrets.
func Secret(dir string) ([]byte, error) {
	path := filepath.Join(dir, "secret")
	secret, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	secret = []byte(rand.Text() + rand.Text())
	return secret, os.WriteFile(path, secret, 0o600)
}
