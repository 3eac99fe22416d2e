package patterns

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/s3test"
)

var secret = []byte("a secret of the test; 32+ bytes..")

func newClient(t *testing.T) *s3.Client {
	t.Helper()
	store := s3test.Start(t)
	return s3.New(s3.Options{
		BaseEndpoint: &store.URL, Region: s3test.DefaultRegion, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(s3test.AccessKeyID,
			s3test.SecretAccessKey, ""),
	})
}

// A caller makes requests to the handler of a host as a user.
type caller struct {
	*testing.T
	handler    http.Handler
	host, user string
}

// call decodes the response into response and returns the status.
func (c caller) call(path, body string, response any) int {
	c.Helper()
	r := httptest.NewRequest("POST", "http://"+c.host+"/uploads/"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth(c.user, "")
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, r)
	if response != nil {
		require.NoError(c, json.Unmarshal(w.Body.Bytes(), response), "%s", w.Body)
	}
	return w.Code
}

func (c caller) complete(key string, response any) int {
	c.Helper()
	return c.call("complete", fmt.Sprintf(`{"key": %q}`, key), response)
}

// put sends a file to the store.
func put(t *testing.T, grant presign.Grant, content string) int {
	t.Helper()
	r, err := grant.Request(t.Context(), strings.NewReader(content), int64(len(content)))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// TestTenantsAreSeparate checks that each tenant has its own policy, keys and
// users.
func TestTenantsAreSeparate(t *testing.T) {
	users := map[string]string{"alice": "acme", "bob": "globex"}
	policies := map[string]presign.Policy{
		"acme":   {Types: []string{"text/plain"}, MaxSize: 10},
		"globex": {Types: []string{"text/plain"}, MaxSize: 20},
	}
	authenticate := func(r *http.Request, tenant string) (string, error) {
		if user, _, _ := r.BasicAuth(); users[user] == tenant || user == "root" {
			return user, nil
		}
		return "", nil
	}
	tenants, err := newTenants(newClient(t), s3test.DefaultBucket, secret, policies, authenticate)
	require.NoError(t, err)
	at := func(host, user string) caller { return caller{t, tenants, host + ".example.com", user} }
	const small, large = `{"filename": "a.txt", "size": 5}`, `{"filename": "a.txt", "size": 15}`
	require.Equal(t, 422, at("acme", "alice").call("", large, nil))
	require.Equal(t, 201, at("globex", "bob").call("", large, nil))
	require.Equal(t, 401, at("globex", "alice").call("", small, nil))
	require.Equal(t, 404, at("initech", "alice").call("", small, nil))

	var grant presign.Grant
	require.Equal(t, 201, at("acme", "root").call("", small, &grant))
	require.True(t, strings.HasPrefix(grant.Key, "incoming/acme/"), grant.Key)
	require.Equal(t, 200, put(t, grant, "hello"))
	require.Equal(t, 404, at("globex", "root").complete(grant.Key, nil),
		"a user of another tenant must not complete the upload")
	var object presign.Object
	require.Equal(t, 200, at("acme", "root").complete(grant.Key, &object))
	require.True(t, strings.HasPrefix(object.Key, "files/acme/"), object.Key)

	_, err = newTenants(newClient(t), s3test.DefaultBucket, secret,
		map[string]presign.Policy{"acme": {}}, nil)
	require.ErrorContains(t, err, `tenant "acme": `)
}

// TestFilesAreStoredOnce checks that the same bytes of the same user are stored
// once, even if two clients send them concurrently.
func TestFilesAreStoredOnce(t *testing.T) {
	client := newClient(t)
	policy := presign.Policy{
		Prefix: "incoming/", FinalPrefix: "files/", Types: []string{"text/plain"}, MaxSize: 100,
		Checksum: types.ChecksumAlgorithmSha256,
	}
	signer, err := presign.NewSigner(client, s3test.DefaultBucket, policy,
		presign.WithSecret(secret))
	require.NoError(t, err)
	uploads, err := presign.NewHandler(signer, func(r *http.Request) (string, error) {
		user, _, _ := r.BasicAuth()
		return user, nil
	}, presign.WithAuthorize(storeOnce(client, s3test.DefaultBucket, policy)))
	require.NoError(t, err)
	alice := caller{t, http.StripPrefix("/uploads", uploads), "example.com", "alice"}
	bob := caller{t, alice.handler, "example.com", "bob"}
	ask := func(c caller, name, content string, response any) int {
		t.Helper()
		sum := sha256.Sum256([]byte(content))
		return c.call("", fmt.Sprintf(`{"filename": %q, "size": %d, "checksum": %q}`,
			name, len(content), base64.StdEncoding.EncodeToString(sum[:])), response)
	}

	var first, second, other presign.Grant
	require.Equal(t, 201, ask(alice, "a.txt", "hello", &first))
	require.Equal(t, 201, ask(alice, "b.txt", "hello", &second))
	require.Equal(t, first.Key, second.Key)
	require.Equal(t, 200, put(t, first, "hello"))
	require.Equal(t, 412, put(t, second, "hello"),
		"the store must reject a second upload to the key")
	require.Equal(t, 200, alice.complete(first.Key, nil))
	require.Equal(t, 200, put(t, second, "hello"),
		"the key under Prefix must be free after completion")
	var problem struct{ Errors []presign.Violation }
	require.Equal(t, 422, alice.complete(second.Key, &problem))
	require.Equal(t, "taken", problem.Errors[0].Code)
	require.Equal(t, 422, ask(alice, "c.txt", "hello", &problem))
	require.Equal(t, "taken", problem.Errors[0].Code)

	require.Equal(t, 201, ask(alice, "a.txt", "other", &other))
	require.NotEqual(t, first.Key, other.Key)
	require.NotEqual(t, 200, put(t, other, "wrong"), "the store must verify the checksum")
	require.Equal(t, 201, ask(bob, "a.txt", "hello", nil),
		"a grant for bob must not depend on the files of alice")
}

// TestSpansOfUploads checks that the span of the request is the parent of the
// spans of an upload, and that failures are errors.
func TestSpansOfUploads(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("test")
	fails := true
	signer, err := presign.NewSigner(newClient(t), s3test.DefaultBucket, presign.Policy{
		Prefix: "incoming/", FinalPrefix: "files/", Types: []string{"text/plain"}, MaxSize: 100,
	}, presign.WithSecret(secret), presign.WithObserver(observeBy(tracer)),
		presign.WithOnComplete(func(context.Context, *presign.Object) error {
			if fails {
				return errors.New("the database is down")
			}
			return nil
		}))
	require.NoError(t, err)
	uploads, err := presign.NewHandler(signer, func(*http.Request) (string, error) {
		return "alice", nil
	})
	require.NoError(t, err)
	alice := caller{t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, span := tracer.Start(r.Context(), r.URL.Path)
		defer span.End()
		http.StripPrefix("/uploads", uploads).ServeHTTP(w, r.WithContext(ctx))
	}), "example.com", "alice"}

	var grant presign.Grant
	require.Equal(t, 201, alice.call("", `{"filename": "a.txt", "size": 5}`, &grant))
	require.Equal(t, 200, put(t, grant, "hello"))
	require.Equal(t, 500, alice.complete(grant.Key, nil))
	fails = false
	require.Equal(t, 200, alice.complete(grant.Key, nil))
	require.Equal(t, 422, alice.call("", `{"filename": "a.txt", "size": 500}`, nil))

	parents := make(map[string]string)
	for _, span := range recorder.Ended() {
		parents[span.SpanContext().SpanID().String()] = span.Name()
	}
	var names []string
	for _, span := range recorder.Ended() {
		if !span.Parent().IsValid() {
			continue
		}
		names = append(names, parents[span.Parent().SpanID().String()]+" "+span.Name())
		require.False(t, span.EndTime().Before(span.StartTime()))
		require.Equal(t, span.Name() == "upload failed", span.Status().Code == codes.Error,
			span.Name())
		attributes := make(map[string]any)
		for _, a := range span.Attributes() {
			attributes[string(a.Key)] = a.Value.AsInterface()
		}
		if span.Name() != "upload not_granted" {
			require.Equal(t, map[string]any{
				"upload.grant_id": grant.GrantID, "upload.method": "PUT",
				"upload.type": "text/plain", "upload.size": int64(5),
			}, attributes, span.Name())
		}
	}
	require.Equal(t, []string{
		"/uploads/ upload granted", "/uploads/complete upload failed",
		"/uploads/complete upload completed", "/uploads/ upload not_granted",
	}, names)
}
