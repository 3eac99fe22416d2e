package readme

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
)

// TestRoutersReachHandler checks that every router reaches the handler behind
// StripPrefix, with and without the trailing slash, and that no router
// redirects.
func TestRoutersReachHandler(t *testing.T) {
	client := s3.New(s3.Options{
		Region:      "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
	})
	signer, err := presign.NewSigner(client, "bucket", presign.Policy{
		Prefix: "uploads/", Types: []string{"image/*"}, MaxSize: 100,
	})
	require.NoError(t, err)
	uploads, err := presign.NewHandler(signer, func(*http.Request) (string, error) {
		return "alice", nil
	})
	require.NoError(t, err)
	mounted := http.StripPrefix("/uploads", uploads)

	mux := http.NewServeMux()
	mux.Handle("/uploads/", mounted)
	mux.Handle("/uploads", mounted)
	chiRouter := chi.NewRouter()
	chiRouter.Mount("/uploads", mounted)
	gin.SetMode(gin.ReleaseMode)
	ginEngine := gin.New()
	ginEngine.Any("/uploads/*path", gin.WrapH(mounted))
	ginEngine.Any("/uploads", gin.WrapH(mounted))
	echoServer := echo.New()
	echoServer.Any("/uploads*", echo.WrapHandler(mounted))

	for name, router := range map[string]http.Handler{
		"net/http": mux, "chi": chiRouter, "gin": ginEngine, "echo": echoServer,
	} {
		t.Run(name, func(t *testing.T) {
			for path, status := range map[string]int{
				"/uploads": 201, "/uploads/": 201, "/uploads/elsewhere": 404,
				"/uploads/s3/elsewhere": 404,
			} {
				r := httptest.NewRequest("POST", path,
					strings.NewReader(`{"filename": "a.png", "size": 10}`))
				r.Header.Set("Content-Type", "application/json")
				w := httptest.NewRecorder()
				router.ServeHTTP(w, r)
				require.Equal(t, status, w.Code, "%s: %s", path, w.Body)
			}
			w := httptest.NewRecorder()
			router.ServeHTTP(w, httptest.NewRequest("DELETE", "/uploads/", nil))
			require.Equal(t, 405, w.Code)
			require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
		})
	}
}
