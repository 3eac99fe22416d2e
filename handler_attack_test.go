package presign_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/conformance"
	"github.com/s3presign/presign/internal/s3test"
)

// FuzzHandler: whatever is asked, the answer is a problem, or what the policy admits.
func FuzzHandler(f *testing.F) {
	const jsonType = "application/json"
	for _, c := range [][5]string{
		{"POST", "/", "", jsonType, `{"filename": "a.png", "type": "image/png", "size": 10, "metadata": {"color": "red"}, "expires_in": 60}`},
		{"POST", "", "", jsonType, `{"filename": "日本.png", "min_size": 20, "max_size": 30, "method": "POST"}`},
		{"POST", "/", "", "application/x-www-form-urlencoded", "filename=a.png&size=10&metadata[color]=%24%7Bfilename%7D"},
		{"POST", "/complete", "", jsonType, `{"key": "incoming/a.png"}`},
		{"GET", "/s3/params", "filename=a.png&type=image%2Fpng&metadata[size]=10", "", ""},
		{"POST", "/s3/multipart", "", jsonType, `{"filename": "a.png", "type": "image/png", "metadata": {"size": 10, "color": null}}`},
		{"GET", "/s3/multipart/a/1", "key=incoming/a.png", "", ""}, {"GET", "/s3/multipart/ID/batch", "partNumbers=1&key=KEY", "", ""},
		{"POST", "/s3/multipart/ID/complete", "key=KEY", jsonType, `{"parts": [{"PartNumber": 1, "ETag": "a"}]}`}, {"GET", "/s3/multipart/ID", "key=KEY", "", ""},
		{"GET", "/s3/multipart/ID/1", "key=KEY", "", ""}, {"DELETE", "/s3/multipart/a", "key=b", "", ""}, {"BREW", "/s3//%2e%2e/", "%zz", ";", "\xff"},
	} {
		f.Add(c[0], c[1], c[2], c[3], []byte(c[4]))
	}
	store := s3test.New()
	store.AddCredentials(session)
	policy := inParts()
	policy.MinSize, policy.MaxSize = 5, 1000
	signer, err := presign.NewSigner(store.S3(inSession), s3test.DefaultBucket, policy, presign.WithSecret(secret), presign.WithStore(store.S3()))
	require.NoError(f, err)
	var asked presign.Upload
	handler, err := presign.NewHandler(signer, user, presign.WithLogger(newLog(nil, io.Discard)),
		presign.WithAuthorize(func(_ *http.Request, u *presign.Upload) error { asked = *u; return nil }))
	require.NoError(f, err)
	mine, err := signer.StartMultipart(context.Background(), presign.Upload{Filename: "a.png", Owner: "alice", Size: 500})
	require.NoError(f, err)
	named := strings.NewReplacer("ID", mine.ID, "KEY", url.QueryEscape(mine.Key))

	f.Fuzz(func(t *testing.T, method, path, query, contentType string, body []byte) {
		r, err := http.NewRequest("GET", "/", bytes.NewReader(body))
		require.NoError(t, err)
		r.Method, r.URL.RawQuery = method, named.Replace(query)
		if r.URL.Path, err = url.PathUnescape(named.Replace(path)); err != nil {
			return // which net/http refuses
		}
		r.URL.RawPath = named.Replace(path)
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("X-User", "alice")
		asked = presign.Upload{}
		w := serve(t, handler, r)
		require.Empty(t, w.Header().Get("Location"))
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		if w.Code >= 400 {
			require.NotContains(t, []int{500, 501, 502, 503, 504}, w.Code)
			requireProblem(t, w, w.Code)
			return
		}
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		require.True(t, json.Valid(w.Body.Bytes()))
		if asked.Filename == "" { // an upload of before
			require.Contains(t, named.Replace(path), mine.ID)
			return
		}
		require.Contains(t, []int{200, 201}, w.Code)
		require.GreaterOrEqual(t, asked.MinSize, policy.MinSize)
		require.LessOrEqual(t, asked.MaxSize, policy.MaxSize)
		require.Regexp(t, "^(image|text)/[a-z0-9!#$&^_.+-]+$", asked.Type)
		require.Equal(t, "alice", asked.Owner)
		var answer struct {
			presign.Grant
			UploadID string
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer.Grant))
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &struct{ UploadID *string }{&answer.UploadID}))
		if answer.UploadID != "" {
			m, err := signer.ResumeMultipart(answer.UploadID)
			require.NoError(t, err)
			require.Regexp(t, `^incoming/[A-Z2-7]{26}/[^/$\\]+$`, m.Key)
			require.NoError(t, m.Abort(context.Background()))
			return
		}
		grant := &answer.Grant
		if grant.Key == "" {
			grant.Key = grant.Fields["key"] // as Uppy has it
		}
		require.Regexp(t, `^incoming/[A-Z2-7]{26}/[^/$\\]+$`, grant.Key)
		if grant.Method == "POST" {
			exact, minSize, maxSize := conditions(t, grant)
			delete(exact, "bucket")
			for name, value := range exact {
				require.Equal(t, grant.Fields[name], value)
			}
			require.Equal(t, []int64{asked.MinSize, asked.MaxSize}, []int64{minSize, maxSize})
			require.Equal(t, asked.Type, exact["Content-Type"])
			return
		}
		require.Equal(t, asked.Type, grant.Headers["Content-Type"])
		for name := range grant.Headers {
			require.Contains(t, signedHeaders(t, grant), strings.ToLower(name))
		}
		answered, err := conformance.New(grant, "a", make([]byte, policy.MaxSize+1)).Send(store.HTTPClient())
		require.NoError(t, err)
		require.Equal(t, "403 SignatureDoesNotMatch", answered.String())
	})
}
