package presigntest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/presigntest"
)

// newService returns the service under test.
func newService(client *s3.Client, bucket string) (http.Handler, error) {
	signer, err := presign.NewSigner(client, bucket, presign.Policy{
		Prefix: "incoming/", FinalPrefix: "avatars/", Types: []string{"image/png"},
		MaxSize: 1 << 20,
	})
	if err != nil {
		return nil, err
	}
	return presign.NewHandler(signer, func(r *http.Request) (string, error) {
		return r.Header.Get("User"), nil
	})
}

func post(service http.Handler, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User", "alice")
	w := httptest.NewRecorder()
	service.ServeHTTP(w, r)
	return w
}

func TestAvatar(t *testing.T) {
	service, err := newService(presigntest.New(t), presigntest.Bucket)
	require.NoError(t, err)
	avatar := []byte("\x89PNG\r\n\x1a\n…")

	w := post(service, "/", fmt.Sprintf(`{"filename": "me.png", "size": %d}`, len(avatar)))
	require.Equal(t, http.StatusCreated, w.Code, w.Body)
	var grant presign.Grant
	require.NoError(t, json.NewDecoder(w.Body).Decode(&grant))
	presigntest.Upload(t, &grant, avatar)

	w = post(service, "/complete", fmt.Sprintf(`{"key": %q}`, grant.Key))
	require.Equal(t, http.StatusOK, w.Code, w.Body)
}

func TestGrantRejectsOtherSizes(t *testing.T) {
	service, err := newService(presigntest.New(t), presigntest.Bucket)
	require.NoError(t, err)
	w := post(service, "/", `{"filename": "me.png", "size": 10}`)
	var grant presign.Grant
	require.NoError(t, json.NewDecoder(w.Body).Decode(&grant))

	err = presigntest.TryUpload(t.Context(), &grant, bytes.Repeat([]byte("a"), 11))
	var rejected *presigntest.StoreError
	require.ErrorAs(t, err, &rejected)
	require.Equal(t, "SignatureDoesNotMatch", rejected.Code)
}

func Example() {
	t := newT() // A test has t as its argument.
	defer t.end()

	client := presigntest.New(t)
	signer, err := presign.NewSigner(client, presigntest.Bucket, presign.Policy{
		Prefix: "incoming/", FinalPrefix: "files/", Types: []string{"text/plain"}, MaxSize: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	grant, err := signer.Put(t.Context(), presign.Upload{
		Filename: "hello.txt", Size: 5, Owner: "alice",
	})
	if err != nil {
		t.Fatal(err)
	}
	presigntest.Upload(t, grant, []byte("hello"))
	object, err := signer.Complete(t.Context(), "alice", grant.Key)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(object.Filename, object.Size, object.Type)
	// Output: hello.txt 5 text/plain
}
