package python

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/process"
	"github.com/s3presign/presign/examples/internal/service"
)

// TestUpload checks that uploads in one request and multipart uploads succeed
// if the service fails once at each route.
func TestUpload(t *testing.T) {
	process.Require(t, "on Debian: apt install python3", "python3")
	for _, size := range []int{10, 17<<20 + 1} {
		s := service.Start(t)
		failed := make(map[string]bool)
		s.Fails = func(r *http.Request) bool {
			route := r.Method + r.URL.Path
			if failed[route] {
				return false
			}
			failed[route] = true
			return true
		}
		content := append([]byte(service.PNG), bytes.Repeat([]byte("x"), size)...)
		stdout, stderr, err := s.Run("alice's", "größer 1.png", content, "python3", "upload.py")
		require.NoError(t, err, stderr)
		var object presign.Object
		require.NoError(t, json.Unmarshal([]byte(stdout), &object))
		require.Equal(t, "größer 1.png", object.Filename)
		require.Equal(t, size > 10, failed["POST/parts/sign"])
		s.RequireStored(object.Key, content)
	}
}

// TestRejected checks that the client prints the reason and that no object is
// left.
func TestRejected(t *testing.T) {
	process.Require(t, "on Debian: apt install python3", "python3")
	s := service.Start(t)
	for _, c := range []struct{ token, name, content, want string }{
		{"bob's", "a.png", service.PNG, "401: Unauthorized"},
		{"alice's", "a.html", service.PNG, "422: type must be one of image/*"},
		{"alice's", "a.png", "", "the file must have 1 to 41943040 bytes, got 0"},
		{"alice's", "a.png", "MZ", "422: type must match the content"},
		{"alice's", "a.png", strings.Repeat("MZ", 9<<20), "422: type must match the content"},
	} {
		stdout, stderr, err := s.Run(c.token, c.name, []byte(c.content), "python3", "upload.py")
		require.Error(t, err)
		require.Empty(t, stdout)
		require.Contains(t, stderr, c.want)
		require.NotContains(t, stderr, "Traceback")
		require.Empty(t, s.Keys())
	}
}
