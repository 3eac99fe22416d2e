// Package site provides the parts of a service with users that the demos need:
//   - a web server on loopback,
//   - cookie sessions of two users,
//   - a login page, and
//   - a secret that outlives the process.
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

// Users lists the users who can log in. The names of users are part of keys, so
// they consist of letters and digits.
var Users = []string{"alice", "bob"}

// A Site is a web server on a loopback address.
type Site struct {
	Sessions *scs.SessionManager
	listener net.Listener
	hosts    []string
}

// Listen returns a Site at addr. Its session cookie has the given name.
func Listen(addr, name string) (*Site, error) {
	listener, err := arguments.ListenLocally(addr)
	if err != nil {
		return nil, err
	}
	bound := listener.Addr().(*net.TCPAddr)
	s := &Site{
		Sessions: scs.New(), // Sessions are in memory. The package scs has stores for databases.
		listener: listener,
		hosts:    []string{bound.String(), fmt.Sprintf("localhost:%d", bound.Port)},
	}
	s.Sessions.Cookie.Name = name
	// With SameSiteStrictMode, the browser would send no cookie after a
	// redirect from S3, because S3 is another site.
	s.Sessions.Cookie.SameSite = http.SameSiteLaxMode
	// A service behind HTTPS must set Cookie.Secure. This site uses plain HTTP.
	return s, nil
}

// Origins returns the origins of the site's pages. The first one is for users.
func (s *Site) Origins() []string {
	var origins []string
	for _, host := range s.hosts {
		origins = append(origins, "http://"+host)
	}
	return origins
}

// Serve serves until ctx ends or wait returns. The policy is the
// Content-Security-Policy of all pages.
func (s *Site) Serve(
	ctx context.Context, handler http.Handler, policy string, wait func() error,
) error {
	// Pages of other sites can post forms to this site, and their host names
	// can point to this machine (DNS rebinding).
	handler = http.NewCrossOriginProtection().Handler(s.Sessions.LoadAndSave(handler))
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !slices.Contains(s.hosts, r.Host) {
				http.Error(w, "This service is at "+strings.Join(s.hosts, " and "),
					http.StatusMisdirectedRequest)
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
		WriteTimeout:      time.Minute, // The Handler responds within 25 seconds.
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	return interrupt.Serve(ctx, server, s.listener, wait)
}

// Close stops listening.
func (s *Site) Close() error { return s.listener.Close() }

// User returns the user who is logged in, or "".
func (s *Site) User(r *http.Request) string { return s.Sessions.GetString(r.Context(), "user") }

// Authenticate returns the user who is logged in, for presign.NewHandler.
func (s *Site) Authenticate(r *http.Request) (owner string, err error) {
	if owner = s.User(r); owner == "" {
		err = &presign.Problem{Status: http.StatusUnauthorized, Detail: "Log in first."}
	}
	return owner, err
}

// logIn starts a session for the user whom the form names, and redirects the
// browser to the front page. A real service also asks for a password.
func (s *Site) logIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	user := r.PostFormValue("user")
	if !slices.Contains(Users, user) {
		http.Error(w, "The user does not exist.", http.StatusUnauthorized)
		return
	}
	if err := s.Sessions.RenewToken(r.Context()); err != nil { // This prevents session fixation.
		Fail(w, r, err)
		return
	}
	s.Sessions.Put(r.Context(), "user", user)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// logOut ends the session, and makes the browser delete the data that pages
// have stored.
func (s *Site) logOut(w http.ResponseWriter, r *http.Request) {
	if err := s.Sessions.Destroy(r.Context()); err != nil {
		Fail(w, r, err)
		return
	}
	w.Header().Set("Clear-Site-Data", `"storage"`) // https://www.w3.org/TR/clear-site-data/
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// Fail logs an error and sends a response that does not contain it.
func Fail(w http.ResponseWriter, r *http.Request, err error) {
	slog.ErrorContext(r.Context(), "request not served", slog.Any("error", err))
	http.Error(w, "The request failed. Try again later.", http.StatusInternalServerError)
}

// Secret returns the secret in dir, for presign.WithSecret. It creates a secret
// if dir has none. Replicas of a real service share a secret from a secret
// store.
func Secret(dir string) ([]byte, error) {
	path := filepath.Join(dir, "secret")
	secret, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	secret = []byte(rand.Text() + rand.Text())
	return secret, os.WriteFile(path, secret, 0o600)
}
