package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/store"
	"github.com/s3presign/presign/internal/test/conformance"
)

// TestAttacks checks that a real server rejects attacks with the grants of
// other users or with leaked grants. TestConformance checks attacks on single
// requests.
func TestAttacks(t *testing.T) {
	server, err := store.Start(t.Context(), "")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	require.NoError(t, server.CreateBucket(t.Context(), "attacks"))
	signer, err := presign.NewSigner(server.Client(), "attacks", presign.Policy{
		Prefix: "incoming/", FinalPrefix: "published/", Types: []string{"image/*"},
		MaxSize: 1 << 20,
	}, presign.WithSecret(bytes.Repeat([]byte("0123456789abcdef"), 2)))
	require.NoError(t, err)
	handler, err := presign.NewHandler(signer, func(r *http.Request) (string, error) {
		return r.Header.Get("X-User"), nil
	}, presign.WithUppy())
	require.NoError(t, err)
	// ask returns the status and the invalid field.
	ask := func(t *testing.T, user, method, path, body string, response any) string {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("X-User", user)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		var p presign.Problem
		if w.Code < 300 {
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), response))
		} else if require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p)); len(p.Errors) > 0 {
			return fmt.Sprint(w.Code, " ", p.Errors[0].Field)
		}
		return fmt.Sprint(w.Code)
	}
	completes := func(t *testing.T, user, key string) string {
		return ask(t, user, "POST", "/complete", `{"key": "`+key+`"}`, new(presign.Object))
	}
	png := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"+
		"\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00"), make([]byte, 100)...)
	script := append([]byte("<script>alert(1)</script>"), png[25:]...)
	grant := func(t *testing.T, user, method string) *presign.Grant {
		var g presign.Grant
		body := fmt.Sprintf(`{"filename": "a.png", "size": %d, "method": %q}`, len(png), method)
		require.Equal(t, "201", ask(t, user, "POST", "/", body, &g))
		return &g
	}
	send := func(
		t *testing.T, g *presign.Grant, body []byte, cheat func(*conformance.Attempt),
	) string {
		attempt := conformance.New(g, "a.png", body)
		if cheat != nil {
			cheat(attempt)
		}
		response, err := attempt.Send(http.DefaultClient)
		require.NoError(t, err)
		return response.String()
	}
	start := func(t *testing.T, user string) (id, key, signed, query string) {
		var started struct{ UploadID, Key string }
		const body = `{"filename": "a.png", "type": "image/png"}`
		require.Equal(t, "200", ask(t, user, "POST", "/s3/multipart", body, &started))
		var part struct{ URL string }
		query = "?key=" + url.QueryEscape(started.Key)
		require.Equal(t, "200",
			ask(t, user, "GET", "/s3/multipart/"+started.UploadID+"/1"+query, "", &part))
		return started.UploadID, started.Key, part.URL, query
	}
	bytesOf := func(t *testing.T, key string) []byte {
		object, err := server.Client().GetObject(t.Context(), &s3.GetObjectInput{
			Bucket: aws.String("attacks"), Key: &key,
		})
		require.NoError(t, err)
		defer object.Body.Close()
		var b bytes.Buffer
		_, err = b.ReadFrom(object.Body)
		require.NoError(t, err)
		return b.Bytes()
	}
	storeID := func(t *testing.T, signed string) string {
		u, err := url.Parse(signed)
		require.NoError(t, err)
		return u.Query().Get("uploadId")
	}

	// Alice has published a picture and uploaded another.
	published, uploaded := grant(t, "alice", "PUT"), grant(t, "alice", "PUT")
	finalKey := strings.Replace(published.Key, "incoming/", "published/", 1)
	require.Equal(t, "200", send(t, published, png, nil))
	require.Equal(t, "200", completes(t, "alice", published.Key))
	require.Equal(t, "200", send(t, uploaded, png, nil))

	for _, a := range []struct {
		name    string
		attempt func(*testing.T) string
		want    string
	}{
		{"PUT to the key of another user's upload", func(t *testing.T) string {
			g := grant(t, "bob", "PUT")
			return send(t, g, script, func(a *conformance.Attempt) {
				a.URL = strings.Replace(a.URL, g.Key, uploaded.Key, 1)
			})
		}, "403 SignatureDoesNotMatch"},
		{"PUT to the key of another user's published file", func(t *testing.T) string {
			g := grant(t, "bob", "PUT")
			return send(t, g, script, func(a *conformance.Attempt) {
				a.URL = strings.Replace(a.URL, g.Key, finalKey, 1)
			})
		}, "403 SignatureDoesNotMatch"},
		{"form to the key of another user's published file", func(t *testing.T) string {
			return send(t, grant(t, "bob", "POST"), script, func(a *conformance.Attempt) {
				a.Set("key", finalKey)
			})
		}, "403 AccessDenied"},
		{"form to another key", func(t *testing.T) string {
			return send(t, grant(t, "bob", "POST"), script, func(a *conformance.Attempt) {
				a.Set("key", "incoming/${filename}")
			})
		}, "403 AccessDenied"},
		{"leaked PUT before completion", func(t *testing.T) string {
			return send(t, uploaded, script, nil)
		}, "412 PreconditionFailed"},
		{"leaked PUT after completion", func(t *testing.T) string {
			return send(t, published, script, nil) + ", then " +
				completes(t, "alice", published.Key)
		}, "200, then 200"}, // The published file is unchanged, as checked below.
		{"completion of another user's upload", func(t *testing.T) string {
			return completes(t, "bob", uploaded.Key)
		}, "404"},
		{"script instead of a picture", func(t *testing.T) string {
			g := grant(t, "bob", "PUT")
			return send(t, g, script, nil) + ", then " + completes(t, "bob", g.Key) + ", then " +
				completes(t, "bob", g.Key)
		}, "200, then 422 type, then 404"},
		{"stamp on another key", func(t *testing.T) string {
			key := "incoming/forged.png"
			_, err := server.Client().CopyObject(t.Context(), &s3.CopyObjectInput{
				Bucket: aws.String("attacks"), Key: &key,
				CopySource: aws.String("attacks/" + uploaded.Key),
			})
			require.NoError(t, err)
			return completes(t, "alice", key)
		}, "404"},
		{"part of another user's upload", func(t *testing.T) string {
			_, _, hers, _ := start(t, "alice")
			_, _, his, _ := start(t, "bob")
			mixed := strings.Replace(his, storeID(t, his), storeID(t, hers), 1)
			return send(t, &presign.Grant{Method: "PUT", URL: mixed}, script, nil)
		}, "403 SignatureDoesNotMatch"},
		{"URL for another user's part", func(t *testing.T) string {
			id, _, _, query := start(t, "alice")
			return ask(t, "bob", "GET", "/s3/multipart/"+id+"/1"+query, "", nil)
		}, "404"},
		{"leaked part after completion", func(t *testing.T) string {
			id, _, signed, query := start(t, "bob")
			require.Equal(t, "200", send(t, &presign.Grant{Method: "PUT", URL: signed}, png, nil))
			var listed []struct{ ETag string }
			require.Equal(t, "200", ask(t, "bob", "GET", "/s3/multipart/"+id+query, "", &listed))
			body, err := json.Marshal(map[string]any{
				"parts": []any{map[string]any{"PartNumber": 1, "ETag": listed[0].ETag}},
			})
			require.NoError(t, err)
			path := "/s3/multipart/" + id + "/complete" + query
			response := new(map[string]any)
			require.Equal(t, "200", ask(t, "bob", "POST", path, string(body), response))
			return send(t, &presign.Grant{Method: "PUT", URL: signed}, script, nil)
		}, "404 NoSuchUpload"},
	} {
		t.Run(a.name, func(t *testing.T) {
			require.Equal(t, a.want, a.attempt(t))
			require.Equal(t, png, bytesOf(t, finalKey))
			require.Equal(t, png, bytesOf(t, uploaded.Key))
		})
	}
	list, err := server.Client().ListObjectsV2(context.Background(), &s3.ListObjectsV2Input{
		Bucket: aws.String("attacks"),
	})
	require.NoError(t, err)
	require.Len(t, list.Contents, 4,
		"the bucket must contain two files of Alice, the forgery and one file of Bob")
}
