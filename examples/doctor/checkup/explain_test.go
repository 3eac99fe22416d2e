package checkup

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/conformance"
	"github.com/s3presign/presign/internal/test/s3test"
)

// explainMisuse misuses a grant as a client and returns the explanation of the
// store's response.
func explainMisuse(t *testing.T, form bool, misuse func(*conformance.Attempt)) string {
	t.Helper()
	server := s3test.New()
	signer, err := presign.NewSigner(server.S3(), s3test.DefaultBucket,
		policy("incoming/", "files/"))
	require.NoError(t, err)
	sign := signer.Put
	if form {
		sign = signer.Post
	}
	grant, err := sign(t.Context(), presign.Upload{
		Filename: "a file.txt", Size: int64(len(conformance.Body)),
	})
	require.NoError(t, err)
	attempt := conformance.New(grant, "a file.txt", conformance.Body)
	attempt.Key = grant.Key
	misuse(attempt)
	request, err := attempt.Request()
	require.NoError(t, err)
	resp, err := server.HTTPClient().Do(request)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.GreaterOrEqual(t, resp.StatusCode, 400)
	document, err := json.Marshal(grant)
	require.NoError(t, err)
	return explainFiles(t, document, body)
}

func explainFiles(t *testing.T, grant, response []byte) string {
	t.Helper()
	dir := t.TempDir()
	files := []string{filepath.Join(dir, "grant"), filepath.Join(dir, "response")}
	require.NoError(t, os.WriteFile(files[0], grant, 0o600))
	require.NoError(t, os.WriteFile(files[1], response, 0o600))
	var printed bytes.Buffer
	code, err := Run(t.Context(), []string{
		"explain", "-grant", files[0], "-response", files[1],
	}, &printed, io.Discard)
	require.NoError(t, err)
	require.Equal(t, healthy, code)
	require.NotRegexp(t, `(?i)x-amz-(signature|credential)=|[0-9a-f]{64}`, printed.String())
	return strings.Join(strings.Fields(printed.String()), " ")
}

// TestExplain checks that the explanation names the fault of the client.
func TestExplain(t *testing.T) {
	for name, c := range map[string]struct {
		form   bool
		misuse func(*conformance.Attempt)
		want   string
	}{
		"type set twice": {false,
			func(a *conformance.Attempt) { a.Header.Add("Content-Type", "text/html") },
			`The header Content-Type was set twice: it arrived as "text/plain,text/html". An HTTP client or an interceptor added another value. Set the header once, to "text/plain".`},
		"type with a parameter": {false,
			func(a *conformance.Attempt) { a.Set("Content-Type", "text/plain; charset=utf-8") },
			`The header Content-Type arrived as "text/plain; charset=utf-8", but "text/plain" is signed. The client added or removed a parameter.`},
		"other type": {false, func(a *conformance.Attempt) { a.Set("Content-Type", "text/html") },
			`The header Content-Type arrived as "text/html", but "text/plain" is signed.`},
		"no name": {false, func(a *conformance.Attempt) { a.Drop("Content-Disposition") },
			"The client must send exactly these signed headers, with the values of the grant: content-disposition, "},
		"no stamp": {false, func(a *conformance.Attempt) { a.Set("x-amz-meta-presign", "x") },
			"The header x-amz-meta-presign differs from the grant."},
		"host": {false, func(a *conformance.Attempt) { a.Host = "internal:9000" },
			`The Host arrived as "internal:9000", but "s3.test" is signed. A proxy changed it`},
		"path": {false,
			func(a *conformance.Attempt) {
				a.URL = strings.Replace(a.URL, "/incoming/", "//incoming/", 1)
			}, "The path arrived as"},
		"parameter": {false, func(a *conformance.Attempt) { a.URL += "&a=b" }, "The parameter a was added to the URL."},
		"method": {false, func(a *conformance.Attempt) { a.Method = http.MethodDelete },
			"The client must send PUT, but sent DELETE."},
		"size": {false, func(a *conformance.Attempt) { a.Body = []byte("x") },
			"Everything in the grant arrived as it was signed. The body has 1 bytes, which must be the size in the request for the grant."},
		"authorization": {false, func(a *conformance.Attempt) {
			a.Add("Authorization",
				"AWS4-HMAC-SHA256 Credential=AKIAX/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0")
		}, "The request had an Authorization header, but the URL is signed already."},
		"header added": {false,
			func(a *conformance.Attempt) { a.Add("x-amz-acl", "public-read") },
			"The client added the header x-amz-acl, which is not in the grant."},
		"two expiries": {false, func(a *conformance.Attempt) { a.URL += "&X-Amz-Expires=1" },
			"A parameter of the URL was changed, removed or sent twice"},
		"field changed": {true,
			func(a *conformance.Attempt) { a.Set("Content-Type", "text/html") },
			`The form field Content-Type must be "text/plain", as in the grant.`},
		"field added": {true, func(a *conformance.Attempt) { a.Add("acl", "public-read") },
			"The client added the form field acl, which is not in the grant."},
		"too large": {true,
			func(a *conformance.Attempt) { a.Body = append(a.Body[:len(a.Body):len(a.Body)], '!') },
			"The file must have at most 45 bytes, got 46 bytes."},
		"too small": {true, func(a *conformance.Attempt) { a.Body = a.Body[1:] },
			"The file must have at least 45 bytes, got 44 bytes."},
		"policy changed": {true, func(a *conformance.Attempt) { a.Set("policy", "e30=") },
			"The policy or the signature of the form was changed"},
		"form's type set": {true,
			func(a *conformance.Attempt) { a.Header.Set("Content-Type", "multipart/form-data") },
			"The body is not multipart/form-data with a boundary."},
		"key left out": {true, func(a *conformance.Attempt) { a.Drop("key") }, "The store rejects the argument key"},
	} {
		t.Run(name,
			func(t *testing.T) { require.Contains(t, explainMisuse(t, c.form, c.misuse), c.want) })
	}
}

// TestExplainByCode checks explanations that depend only on a code or a time.
func TestExplainByCode(t *testing.T) {
	const url = "https://b.s3.eu-west-1.amazonaws.com/incoming/a.txt?X-Amz-Date=20260101T120000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=content-type%3Bhost&X-Amz-Signature=0"
	response := func(code, message string) string {
		return explainFiles(t, []byte(url),
			[]byte("<Error><Code>"+code+"</Code><Message>"+message+"</Message></Error>"))
	}
	require.Equal(t,
		"The store returned AccessDenied. → The grant has expired at 2026-01-01T12:15:00Z. "+
			"The client must start the upload in time, or request a new grant.",
		response("AccessDenied", "Request has expired"))
	require.Contains(t, response("AccessDenied", "Access Denied"),
		"The grant has expired at 2026-01-01T12:15:00Z")
	require.Contains(t, response("SignatureDoesNotMatch", ""),
		"exactly these signed headers, with the values of the grant: content-type, host.")
	require.Contains(t, response("EntityTooLarge",
		"</Message><MinSizeAllowed>1</MinSizeAllowed><MaxSizeAllowed>9</MaxSizeAllowed><Message>"),
		"at most 9 bytes, got an unknown number of bytes")
	require.Contains(t, response("Unheard", "of"), "The grant does not explain this response: of")
	for code := range explanations {
		require.NotContains(t, response(code, ""), "does not explain", code)
	}
	g, err := parseGrant([]byte(url))
	require.NoError(t, err)
	early := time.Date(2026, 1, 1, 12, 1, 0, 0, time.UTC)
	require.Contains(t, g.explainDenied(storeError{Code: "AccessDenied"}, early)[0],
		"The role lacks s3:PutObject")
}

// TestExplainInvalidArguments checks that invalid input is rejected and that
// errors contain no URL.
func TestExplainInvalidArguments(t *testing.T) {
	for _, text := range []string{
		"", "{", "not a url", `{"method": "GET", "url": "https://s3.example/a?X-Amz-Signature=0"}`,
		"%zz?X-Amz-Signature=0",
	} {
		_, err := parseGrant([]byte(text))
		require.ErrorContains(t, err, "the grant must")
		require.NotContains(t, err.Error(), "Signature")
	}
	_, err := parseResponse([]byte("<html/>"))
	require.EqualError(t, err, "the response must be an S3 error in XML with a Code")
	for _, args := range [][]string{
		{"explain"}, {"explain", "-grant", "x"},
		{"explain", "-grant", "x", "-response", "y", "z"}, {"explain", "-x"},
	} {
		code, _ := Run(t.Context(), args, io.Discard, io.Discard)
		require.Equal(t, failed, code)
	}
}
