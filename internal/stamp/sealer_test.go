package stamp_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/seal"
	"github.com/s3presign/presign/internal/stamp"
)

// The secret and the context of the golden vectors.
var (
	secrets = [][]byte{[]byte("the secret of the golden vectors")}
	context = []string{"bucket.s3.example", "bucket", "incoming/", "files/"}
	key     = "incoming/日本.png"
)

func newSealer(t *testing.T) *stamp.Sealer {
	t.Helper()
	s, err := stamp.NewSealer(secrets, context[0], context[1], context[2], context[3])
	require.NoError(t, err)
	return s
}

// vectors are texts that outlive the process that sealed them. They hold the
// values full, published and multipart, as far as their format can hold them.
type vectors struct {
	Stamp     string `json:"stamp"`
	Published string `json:"published"`
	Multipart string `json:"multipart"`
}

// TestGoldenVectors checks that a change of the format has changed its number,
// since replicas of two versions read each other's texts. The last file in
// testdata has texts of the current format, which must open. Texts in earlier
// files are genuine, but must not open.
//
// If the current texts do not open, the test prints a file for a new number.
func TestGoldenVectors(t *testing.T) {
	files, err := filepath.Glob("testdata/format-*.json")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 2)
	s := newSealer(t)
	id, err := s.SealMultipart(&multipart)
	require.NoError(t, err)
	texts := vectors{s.Seal(&full, key), s.SealPublished(&published, key), id}
	current, err := json.MarshalIndent(texts, "", "  ")
	require.NoError(t, err)

	for i, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			var v vectors
			require.NoError(t, json.Unmarshal(text, &v))
			var number int
			_, err = fmt.Sscanf(filepath.Base(file), "format-%d.json", &number)
			require.NoError(t, err)
			keys, err := seal.New(secrets, append([]string{fmt.Sprint(number)}, context...)...)
			require.NoError(t, err)
			_, err = keys.Open("stamp", v.Stamp, key)
			require.NoError(t, err)
			_, err = keys.Open("published stamp", v.Published, key)
			require.NoError(t, err)
			_, err = keys.Open("multipart", v.Multipart)
			require.NoError(t, err)

			opened, stampErr := s.Open(v.Stamp, key)
			openedCopy, publishedErr := s.OpenPublished(v.Published, key)
			openedUpload, multipartErr := s.OpenMultipart(v.Multipart)
			if i < len(files)-1 {
				require.ErrorIs(t, stampErr, stamp.ErrSealed)
				require.ErrorIs(t, publishedErr, stamp.ErrSealed)
				require.ErrorIs(t, multipartErr, stamp.ErrSealed)
				return
			}
			require.NoError(t, stampErr, "if the format has changed, give it a new number, "+
				"and add a file of that number with:\n%s", current)
			require.NoError(t, publishedErr)
			require.NoError(t, multipartErr)
			require.Equal(t, &full, opened)
			require.Equal(t, &published, openedCopy)
			require.Equal(t, &multipart, openedUpload)
		})
	}
}

// TestSealedTextsAreBound checks that a text opens only for the purpose, key,
// secret and context for which it was sealed.
func TestSealedTextsAreBound(t *testing.T) {
	s := newSealer(t)
	sealed, copied := s.Seal(&full, key), s.SealPublished(&published, key)
	id, err := s.SealMultipart(&multipart)
	require.NoError(t, err)
	require.True(t, stamp.IsSealed(sealed))
	require.False(t, stamp.IsSealed("a text"))

	opens := func(s *stamp.Sealer, text, key string) (opened []string) {
		if _, err := s.Open(text, key); err == nil {
			opened = append(opened, "stamp")
		}
		if _, err := s.OpenPublished(text, key); err == nil {
			opened = append(opened, "published")
		}
		if _, err := s.OpenMultipart(text); err == nil {
			opened = append(opened, "multipart")
		}
		return opened
	}
	require.Equal(t, []string{"stamp"}, opens(s, sealed, key))
	require.Equal(t, []string{"published"}, opens(s, copied, key))
	require.Equal(t, []string{"multipart"}, opens(s, id, key))
	require.Empty(t, opens(s, sealed, "incoming/other.png"))
	require.Empty(t, opens(s, copied, "incoming/other.png"))

	for i := range context {
		other := append([]string{}, context...)
		other[i] += "x"
		elsewhere, err := stamp.NewSealer(secrets, other[0], other[1], other[2], other[3])
		require.NoError(t, err)
		for _, text := range []string{sealed, copied, id} {
			require.Empty(t, opens(elsewhere, text, key), "another %s", context[i])
		}
		require.Equal(t, s.Fingerprint(), elsewhere.Fingerprint(),
			"a fingerprint depends on the secrets alone")
	}
	another, err := stamp.NewSealer([][]byte{[]byte("another secret of thirty-two bytes")},
		context[0], context[1], context[2], context[3])
	require.NoError(t, err)
	require.Empty(t, opens(another, sealed, key))
	require.NotEqual(t, s.Fingerprint(), another.Fingerprint())
}
