package checkup

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPreflightFollowsNoRedirect checks that a redirect of the store does not
// reveal the URL of the grant as Referer.
func TestPreflightFollowsNoRedirect(t *testing.T) {
	target := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a redirect must not be followed, got %s with Referer %q", r.Method, r.Referer())
	}))
	defer target.Close()
	store := httptest.NewServer(http.RedirectHandler(target.URL, http.StatusTemporaryRedirect))
	defer store.Close()
	p := &examiner{origin: "https://shop.example", http: newHTTPClient()}
	detail := p.preflight(t.Context(), http.MethodPut, preflightHeaders,
		store.URL+"/key?X-Amz-Signature=0")
	require.Equal(t, "the preflight failed with status 307", detail)
}
