package store_test

import (
	"bytes"
	"errors"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/store"
)

// TestMultipartCompletedByMany checks that concurrent completions of one
// multipart upload return the object or ErrChanged. Before the object exists,
// versitygw rejects the second completion. Its error is for an upload that does
// not exist or is complete.
func TestMultipartCompletedByMany(t *testing.T) {
	server, err := store.Start(t.Context(), "")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	require.NoError(t, server.CreateBucket(t.Context(), "many"))
	for _, finalPrefix := range []string{"", "published/"} {
		signer, err := presign.NewSigner(server.Client(), "many", presign.Policy{
			Prefix: "incoming/", FinalPrefix: finalPrefix, Types: []string{"text/plain"},
			MaxSize: 1 << 20,
		}, presign.WithSecret(bytes.Repeat([]byte("0123456789abcdef"), 2)))
		require.NoError(t, err)
		for range 10 {
			m, err := signer.StartMultipart(t.Context(), presign.Upload{
				Filename: "a.txt", Size: 5, Owner: "alice",
			})
			require.NoError(t, err)
			grant, err := m.SignPart(t.Context(), presign.Part{Number: 1})
			require.NoError(t, err)
			r, err := grant.Request(t.Context(), bytes.NewReader([]byte("hello")), 5)
			require.NoError(t, err)
			response, err := http.DefaultClient.Do(r)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			require.Equal(t, 200, response.StatusCode)

			var objects [3]*presign.Object
			var callers sync.WaitGroup
			for i := range objects {
				callers.Go(func() {
					err := presign.ErrChanged
					for errors.Is(err, presign.ErrChanged) {
						objects[i], err = m.Complete(t.Context(), nil)
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
			callers.Wait()
			for _, o := range objects {
				require.Equal(t, objects[0], o)
			}
		}
	}
}
