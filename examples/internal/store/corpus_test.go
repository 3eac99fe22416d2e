package store_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/store"
	"github.com/s3presign/presign/internal/test/conformance"
	"github.com/s3presign/presign/internal/test/corpus"
)

// TestCorpus checks that real files of all kinds are accepted under their type,
// and rejected and deleted under another type.
func TestCorpus(t *testing.T) {
	server, err := store.Start(t.Context(), "")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	require.NoError(t, server.CreateBucket(t.Context(), "corpus"))
	complete := func(t *testing.T, granted string, body []byte) (*presign.Object, error) {
		policy := presign.Policy{
			Prefix: "incoming/", FinalPrefix: "final/", Types: []string{granted}, MaxSize: 1 << 20,
		}
		signer, err := presign.NewSigner(server.Client(), "corpus", policy)
		require.NoError(t, err)
		grant, err := signer.Put(t.Context(), presign.Upload{
			Filename: "file", Type: granted, Size: int64(len(body)),
		})
		require.NoError(t, err)
		response, err := conformance.New(grant, "file", body).Send(http.DefaultClient)
		require.NoError(t, err)
		require.True(t, response.Accepted(), "%v", response)
		object, err := signer.CompleteForAnyOwner(t.Context(), grant.Key)
		if err != nil {
			_, again := signer.CompleteForAnyOwner(t.Context(), grant.Key)
			require.ErrorIs(t, again, presign.ErrNotUploaded, "a rejected upload must be deleted")
		}
		return object, err
	}
	require.Greater(t, len(corpus.Legitimate), 40)
	for _, c := range corpus.Legitimate {
		t.Run(c.Name, func(t *testing.T) {
			object, err := complete(t, strings.Fields(c.Granted)[0], c.Data)
			require.NoError(t, err)
			require.EqualValues(t, len(c.Data), object.Size)
		})
	}
	for _, c := range corpus.Mismatches {
		t.Run(c.Name+" as "+c.Granted, func(t *testing.T) {
			_, err := complete(t, c.Granted, c.Data)
			found := presign.Violations(err)
			require.Len(t, found, 1)
			require.Contains(t, found[0].Detail, c.Detected)
		})
	}
	for _, c := range corpus.Markups {
		t.Run(c.Name+" as image/png", func(t *testing.T) {
			_, err := complete(t, "image/png", c.Data)
			require.Contains(t, presign.Violations(err)[0].Detail,
				`must match the content, got "image/png" for a file that looks like `)
		})
	}
}
