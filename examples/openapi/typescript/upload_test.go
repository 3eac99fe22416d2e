package typescript

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/process"
	"github.com/s3presign/presign/examples/internal/service"
)

// TestUpload checks that the generated client compiles, and that it uploads
// files by PUT and as a multipart upload.
func TestUpload(t *testing.T) {
	process.Require(t, "apt install nodejs npm", "node", "npm")
	for _, command := range [][]string{
		{"npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"}, {"npm", "run", "build"},
	} {
		output, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput()
		require.NoError(t, err, string(output))
	}
	for _, size := range []int{10, 17<<20 + 1} {
		s := service.Start(t)
		content := append([]byte(service.PNG), bytes.Repeat([]byte("x"), size)...)
		stdout, stderr, err := s.Run("alice's", "größer 1.png", content, "node", "build/upload.js")
		require.NoError(t, err, stderr)
		var object presign.Object
		require.NoError(t, json.Unmarshal([]byte(stdout), &object))
		require.Equal(t, "größer 1.png", object.Filename)
		s.RequireStored(object.Key, content)
	}
	s := service.Start(t)
	for name, want := range map[string]string{
		"a.html": "422: type must be one of image/*", "a.png": "422: type must match the content",
	} {
		_, stderr, err := s.Run("alice's", name, []byte("MZ"), "node", "build/upload.js")
		require.Error(t, err)
		require.Contains(t, stderr, want)
		require.Empty(t, s.Keys())
	}
	_, stderr, err := s.Run("bob's", "a.png", []byte(service.PNG), "node", "build/upload.js")
	require.Error(t, err)
	require.Equal(t, "401: Unauthorized\n", stderr)
}
