// Package program runs the demos for their tests.
package program

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// A Program is a running demo.
type Program struct {
	Origin  string // the origin of its page
	Printed string
	Stop    func() error // returns the error of run
}

// Start calls run with a free port until the test ends. It waits until run has
// printed its last line.
func Start(
	t *testing.T, run func(context.Context, []string, io.Writer) error, args ...string,
) *Program {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stdout, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), w)
		_ = w.CloseWithError(err)
		ended <- err
	}()
	var printed bytes.Buffer
	for chunk := make([]byte, 4096); !bytes.Contains(printed.Bytes(), []byte("Ctrl-C stops.\n")); {
		n, err := stdout.Read(chunk)
		printed.Write(chunk[:n])
		require.NoError(t, err)
	}
	p := &Program{
		Origin:  regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(printed.String()),
		Printed: printed.String(),
	}
	p.Stop = func() error {
		cancel()
		err := <-ended
		ended <- err
		return err
	}
	t.Cleanup(func() { require.NoError(t, p.Stop()) })
	return p
}

// Preflight sends the CORS preflight request of a page that will POST JSON with
// a token. It returns the origin that the response allows, or "".
func Preflight(t *testing.T, url, page string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, url, nil)
	require.NoError(t, err)
	request.Header.Set("Origin", page)
	request.Header.Set("Access-Control-Request-Method", "POST")
	request.Header.Set("Access-Control-Request-Headers", "authorization,content-type")
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.Header.Get("Access-Control-Allow-Origin")
}

// Objects returns the keys under a prefix in a store that keeps its data in
// dir.
func Objects(t *testing.T, dir, bucket, prefix string) []string {
	t.Helper()
	var found []string
	root := filepath.Join(dir, "objects", bucket)
	err := filepath.WalkDir(filepath.Join(root, prefix), func(
		path string, entry fs.DirEntry, err error,
	) error {
		if err == nil && entry.Type().IsRegular() {
			key, _ := filepath.Rel(root, path)
			found = append(found, filepath.ToSlash(key))
		}
		return nil // The prefix might not exist yet.
	})
	require.NoError(t, err)
	return found
}
