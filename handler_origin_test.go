package presign_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
)

// TestCompanionOrigins checks that only programs, pages of the same origin and
// pages of a permitted origin may send the GET requests of Companion.
func TestCompanionOrigins(t *testing.T) {
	const sibling, trusted = "https://evil.example.com", "https://app.example.com"
	type header = map[string]string
	for name, c := range map[string]struct {
		request, response header
		status            int
	}{
		"a program":                                 {nil, nil, 200},
		"a page of the same origin":                 {header{"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Cookie": "a=b"}, nil, 200},
		"the same origin in an old browser":         {header{"Origin": "http://example.com", "Cookie": "a=b"}, nil, 200},
		"a script that the user has started":        {header{"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "cors"}, nil, 200},
		"a sibling":                                 {header{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Origin": sibling, "Cookie": "a=b"}, nil, 403},
		"a sibling without an Origin":               {header{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, nil, 403},
		"another site":                              {header{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Origin": "https://evil.example"}, nil, 403},
		"another site in an old browser":            {header{"Origin": "https://evil.example"}, nil, 403},
		"another port in an old browser":            {header{"Origin": "http://example.com:8080"}, nil, 403},
		"a sandbox":                                 {header{"Sec-Fetch-Site": "cross-site", "Origin": "null"}, nil, 403},
		"a sandbox in an old browser":               {header{"Origin": "null"}, nil, 403},
		"an image of a sibling":                     {header{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, nil, 403},
		"an image of a trusted origin":              {header{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Origin": trusted}, nil, 403},
		"a trusted origin":                          {header{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Origin": trusted, "Cookie": "a=b"}, nil, 200},
		"a trusted origin in an old browser":        {header{"Origin": trusted, "Cookie": "a=b"}, nil, 200},
		"a trusted host on another scheme":          {header{"Origin": "http://app.example.com"}, nil, 403},
		"a token":                                   {header{"Sec-Fetch-Site": "cross-site", "Origin": sibling, "Authorization": "Bearer x"}, nil, 200},
		"a token in lower case":                     {header{"Sec-Fetch-Site": "cross-site", "Origin": sibling, "Authorization": "bearer x"}, nil, 200},
		"a password, which browsers add themselves": {header{"Sec-Fetch-Site": "cross-site", "Origin": sibling, "Authorization": "Basic x"}, nil, 403},
		"a scheme that starts like a token":         {header{"Sec-Fetch-Site": "cross-site", "Origin": sibling, "Authorization": "BearerX y"}, nil, 403},
		"permitted by CORS": {header{"Sec-Fetch-Site": "same-site", "Origin": sibling, "Cookie": "a=b"},
			header{
				"Access-Control-Allow-Origin": sibling, "Access-Control-Allow-Credentials": "true",
			}, 200},
		"permitted by CORS without cookies": {header{"Sec-Fetch-Site": "same-site", "Origin": sibling}, header{"Access-Control-Allow-Origin": sibling}, 200},
		"cookies that CORS does not permit": {header{"Sec-Fetch-Site": "same-site", "Origin": sibling, "Cookie": "a=b"}, header{"Access-Control-Allow-Origin": sibling}, 403},
		"another origin permitted by CORS": {header{"Sec-Fetch-Site": "same-site", "Origin": sibling},
			header{
				"Access-Control-Allow-Origin":      "https://app.example.com",
				"Access-Control-Allow-Credentials": "true",
			}, 403},
		"any origin permitted by CORS, without cookies": {header{"Sec-Fetch-Site": "cross-site", "Origin": sibling}, header{"Access-Control-Allow-Origin": "*"}, 200},
		"any origin permitted by CORS, with cookies": {header{"Sec-Fetch-Site": "cross-site", "Origin": sibling, "Cookie": "a=b"},
			header{"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "true"},
			403},
		"any origin permitted by CORS, with a password": {header{"Sec-Fetch-Site": "cross-site", "Origin": sibling, "Authorization": "Basic x"}, header{"Access-Control-Allow-Origin": "*"}, 403},
		"a navigation with any CORS":                    {header{"Sec-Fetch-Mode": "navigate", "Origin": sibling}, header{"Access-Control-Allow-Origin": "*"}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			signed := 0
			authorize := func(*http.Request, *presign.Upload) error { signed++; return nil }
			u := newUppy(t, multipartPolicy(), presign.WithUppy(trusted),
				presign.WithAuthorize(authorize))
			s := u.start(t, "a.png", nil)
			routes := u.handler
			u.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for name, value := range c.response {
					w.Header().Set(name, value)
				}
				routes.ServeHTTP(w, r)
			})
			for _, path := range []string{
				"/s3/params?filename=a.png", u.path(s, "", ""), u.path(s, "/1", ""),
				u.path(s, "/batch", "partNumbers=1&"),
			} {
				r := u.request("GET", path, "")
				for name, value := range c.request {
					r.Header.Set(name, value)
				}
				w := serve(t, u.handler, r)
				if c.status == 200 {
					require.Equal(t, 200, w.Code, w.Body)
				} else {
					p := requireProblem(t, w, c.status)
					require.Equal(t, "Pages of this origin may not make this request.", p.Detail)
				}
			}
			require.Equal(t, map[int]int{200: 2, 403: 1}[c.status], signed)
			if c.status == 200 {
				require.Empty(t, u.log.String())
			}
			// The Handler accepts a DELETE from any origin, since browsers send
			// a preflight request before it.
			require.Equal(t, 200, u.ask("DELETE", u.path(s, "", ""), "").Code)
		})
	}
}
