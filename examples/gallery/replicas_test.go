package main

import (
	"bytes"
	"context"
	"fmt"
	"image/png"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/browser"
	"github.com/s3presign/presign/examples/internal/store"
)

// replicas are services behind a proxy. Each request goes to the next service.
type replicas struct {
	proxy  *httptest.Server
	served []atomic.Int64 // the number of requests to each service
}

func newReplicas(
	t *testing.T, server *store.Server, onComplete func(context.Context, *presign.Object) error,
	secrets ...[]byte,
) *replicas {
	t.Helper()
	r := &replicas{served: make([]atomic.Int64, len(secrets))}
	var targets []*url.URL
	for i, secret := range secrets {
		signer, err := presign.NewSigner(server.Client(), bucket, policy,
			presign.WithSecret(secret), presign.WithOnComplete(onComplete))
		require.NoError(t, err)
		handler, err := presign.NewHandler(signer,
			func(*http.Request) (string, error) { return "alice", nil })
		require.NoError(t, err)
		replica := httptest.NewServer(http.HandlerFunc(
			func(w http.ResponseWriter, req *http.Request) {
				r.served[i].Add(1)
				http.StripPrefix("/uploads", handler).ServeHTTP(w, req)
			}))
		t.Cleanup(replica.Close)
		target, err := url.Parse(replica.URL)
		require.NoError(t, err)
		targets = append(targets, target)
	}
	var turn atomic.Int64
	r.proxy = httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(targets[int(turn.Add(1))%len(targets)])
	}})
	t.Cleanup(r.proxy.Close)
	return r
}

// TestReplicas checks that one service can complete the grants of another, and
// that both can complete one upload at once.
func TestReplicas(t *testing.T) {
	server, err := store.Start(t.Context(), "")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	require.NoError(t, server.CreateBucket(t.Context(), bucket))
	album, err := openAlbum(t.Context(), filepath.Join(t.TempDir(), "pictures.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, album.Close()) })

	secret := bytes.Repeat([]byte("secret, "), 4)
	r := newReplicas(t, server, album.add, secret, secret)
	v := &visitor{t: t, origin: r.proxy.URL}
	const uploads = 6
	for i := range uploads {
		content := browser.Picture(t, i, png.Encode)
		grant := v.ask([]string{"PUT", "POST"}[i/2%2], fmt.Sprintf("%d.png", i), content)
		require.Less(t, v.use(grant, content), 300)
		// The first completion reaches the service that did not grant the
		// upload. The second completion reaches the service that did.
		object, status := v.complete(grant.Key)
		require.Equal(t, 200, status)
		again, status := v.complete(grant.Key)
		require.Equal(t, 200, status)
		require.Equal(t, object, again)
		if i%2 == 0 { // After four requests, the next round starts at the same service.
			_, status = v.complete("incoming/none.png")
			require.Equal(t, 404, status)
		}
	}
	require.Positive(t, r.served[0].Load())
	require.Positive(t, r.served[1].Load())

	content := browser.Picture(t, uploads, png.Encode)
	grant := v.ask("PUT", "race.png", content)
	require.Equal(t, 200, v.use(grant, content))
	var completions sync.WaitGroup
	objects := make([]*presign.Object, 8)
	for i := range objects {
		completions.Go(func() { objects[i], _ = v.complete(grant.Key) })
	}
	completions.Wait()
	final, status := v.complete(grant.Key)
	require.Equal(t, 200, status)
	for _, object := range objects {
		if object != nil { // Otherwise the status asks the client to try again.
			require.Equal(t, final, object)
		}
	}
	pictures, err := album.list(t.Context(), "alice")
	require.NoError(t, err)
	require.Len(t, pictures, uploads+1,
		"an upload must have one row, even if it was completed several times")

	t.Run("another secret", func(t *testing.T) {
		r := newReplicas(t, server, album.add, secret, bytes.Repeat([]byte("another "), 4))
		v := &visitor{t: t, origin: r.proxy.URL}
		grant := v.ask("PUT", "lost.png", content)
		require.Equal(t, 200, v.use(grant, content))
		_, first := v.complete(grant.Key)
		_, second := v.complete(grant.Key)
		require.Equal(t, []int{404, 200}, []int{first, second})
	})
}
