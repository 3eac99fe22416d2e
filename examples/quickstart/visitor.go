package main

import (
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/s3presign/presign"
)

// visitor is the one who may upload: whoever opened the page, by a cookie, or started the program, by a bearer token.
// A service with users has its own sessions in this place.
type visitor struct {
	cookie string // its name; cookies are not kept apart by port
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
			Detail: "The token is not of this run of the service. Reload the page.",
		}
	}
	return "visitor", nil
}

// admit lets the page's browser upload. Scripts cannot read the cookie, and other sites cannot use it.
func (v visitor) admit(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{
		Name: v.cookie, Value: v.token, Path: "/uploads",
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}
