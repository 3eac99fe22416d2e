package main

import (
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/s3presign/presign"
)

// A visitor is the only user. The page's browser has a cookie, and the shell of the
// user who started the program has a bearer token. A real service has sessions.
type visitor struct {
	cookie string // its name, which has the port because browsers do not separate ports
	token  string
}

func (v visitor) authenticate(r *http.Request) (owner string, err error) {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if cookie, err := r.Cookie(v.cookie); !bearer && err == nil {
		token = cookie.Value
	}
	if subtle.ConstantTimeCompare([]byte(token), []byte(v.token)) != 1 {
		return "", &presign.Problem{
			Status: http.StatusUnauthorized,
			Detail: "The token is from an earlier run of the service. Reload the page.",
		}
	}
	return "visitor", nil
}

// admit sets the cookie that lets the page's browser upload. Scripts cannot read it,
// and other sites cannot use it.
func (v visitor) admit(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{
		Name: v.cookie, Value: v.token, Path: "/uploads",
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}
