package checkup

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRedirect checks that a redirect of the store does not reveal the URL of
// the grant as Referer.
func TestRedirect(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s came from %q", r.Method, r.Referer())
	}))
	defer elsewhere.Close()
	store := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer store.Close()
	p := &patient{origin: "https://shop.example", http: newHTTPClient()}
	detail := p.preflight(t.Context(), http.MethodPut, preflighted, store.URL+"/key?X-Amz-Signature=0")
	require.Equal(t, "the preflight is answered with 307", detail)
}
