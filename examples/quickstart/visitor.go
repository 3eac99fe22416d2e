package main

import (
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/s3presign/presign"
)

// A visitor authenticates the only user of the service. The browser sends the
// token as a cookie, and the shell sends it as a bearer token. A real service
// has sessions.
type visitor struct {
	cookie string // the name of the cookie, with the port: browsers share cookies between ports
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

// setCookie sets the cookie that authenticates the browser. Scripts cannot read
// the cookie, and other sites cannot use it.
func (v visitor) setCookie(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{
		Name: v.cookie, Value: v.token, Path: "/uploads",
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}
