package companion

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/s3presign/presign/internal/httpbody"
	"github.com/s3presign/presign/internal/route"
)

// NewProtection returns a protection that permits origins. It ignores origins
// that are not valid.
func NewProtection(origins []string) *http.CrossOriginProtection {
	p := new(http.CrossOriginProtection)
	for _, origin := range origins {
		_ = p.AddTrustedOrigin(origin)
	}
	return p
}

// protect returns serve for a GET route with protection against requests that a
// page of another origin sends with the cookies of its visitor. Some of these
// routes have side effects, and browsers send GET requests to other origins
// without a preflight request.
func (s *Server) protect(
	serve func(*route.Call) (int, any, error),
) func(*route.Call) (int, any, error) {
	return func(c *route.Call) (int, any, error) {
		if err := s.checkOrigin(c.Request, c.Body.Response()); err != nil {
			return 0, nil, &httpbody.Error{Status: http.StatusForbidden,
				Detail: "Pages of this origin may not make this request.", Cause: err}
		}
		return serve(c)
	}
}

// checkOrigin returns an error for a request that a page of another origin can
// send although the service does not permit that origin. The header is the
// header of the response, in which a CORS middleware permits an origin.
func (s *Server) checkOrigin(r *http.Request, header http.Header) error {
	switch mode := r.Header.Get("Sec-Fetch-Mode"); mode {
	// A link, a form or an image causes such requests. Grants are for scripts
	// only.
	case "navigate", "no-cors":
		return fmt.Errorf(
			"presign: a browser's request must come from a script, got Sec-Fetch-Mode: %s", mode)
	}
	if hasBearer(r) || isPermitted(r, header) {
		return nil
	}
	// Check accepts every GET request.
	unsafe := http.Request{Method: http.MethodPost, Header: r.Header, Host: r.Host, URL: r.URL}
	if err := s.Protection.Check(&unsafe); err != nil {
		return fmt.Errorf(
			"presign: WithUppy or a CORS middleware must permit pages of another origin, "+
				"got Origin %q: %w", r.Header.Get("Origin"), err)
	}
	return nil
}

// hasBearer reports whether the request has a bearer token. A browser never
// adds a token itself, and a script of another origin needs a preflight
// request.
func hasBearer(r *http.Request) bool {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Bearer")
}

// isPermitted reports whether a CORS middleware has permitted the request and
// any credentials in the request.
func isPermitted(r *http.Request, header http.Header) bool {
	origin, permitted := r.Header.Get("Origin"), header.Get("Access-Control-Allow-Origin")
	if origin == "" || permitted != origin && permitted != "*" {
		return false
	}
	if r.Header.Get("Cookie") == "" && r.Header.Get("Authorization") == "" {
		return true
	}
	return permitted == origin && header.Get("Access-Control-Allow-Credentials") == "true"
}
