package sigv4_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/sigv4"
)

// This is the credential of all published examples.
const (
	exampleID     = "AKIAIOSFODNN7EXAMPLE"
	exampleSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

func TestKnownAnswers(t *testing.T) {
	data, err := os.ReadFile("testdata/vectors.json")
	require.NoError(t, err)
	var vectors []struct {
		Name, Kind, Method, Path     string
		Date, Region, Signature, URL string
		SignedHeaders                map[string]string `json:"signed_headers"`
		Expires                      int
		SessionToken                 string      `json:"session_token"`
		ExtraQuery                   [][2]string `json:"extra_query"`
		PolicyB64                    string      `json:"policy_b64"`
		PolicyJSON                   string      `json:"policy_json"`
	}
	require.NoError(t, json.Unmarshal(data, &vectors))
	require.Len(t, vectors, 8)

	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			switch v.Kind {
			case "presigned-url":
				at, err := time.Parse("20060102T150405Z", v.Date)
				require.NoError(t, err)
				r := sigv4.Request{Method: v.Method, Scheme: "https", Base: v.Path,
					Expires: v.Expires}
				for name, value := range v.SignedHeaders {
					if name == "host" {
						r.Host = value
					} else {
						r.Headers = append(r.Headers, sigv4.Pair{Name: name, Value: value})
					}
				}
				slices.SortFunc(r.Headers, func(a, b sigv4.Pair) int {
					return strings.Compare(a.Name, b.Name)
				})
				var query []sigv4.Pair
				for _, q := range v.ExtraQuery {
					query = append(query, sigv4.Pair{Name: q[0], Value: q[1]})
				}
				credential := sigv4.Credential{
					ID: exampleID, Secret: exampleSecret, Token: v.SessionToken,
				}
				key := sigv4.NewKeys(v.Region).Key(credential, at)
				got := key.Series(&r, at).Presign(sigv4.AppendQuery(nil, query))
				require.Equal(t, v.URL, got)
				require.Contains(t, got, v.Signature)
			case "post-policy":
				require.Equal(t, v.PolicyB64,
					base64.StdEncoding.EncodeToString([]byte(v.PolicyJSON)))
				at := time.Date(2015, 12, 29, 0, 0, 0, 0, time.UTC)
				if strings.Contains(v.Name, "2013") {
					at = time.Date(2013, 8, 6, 0, 0, 0, 0, time.UTC)
				}
				credential := sigv4.Credential{ID: exampleID, Secret: exampleSecret}
				got := sign(sigv4.NewKeys("us-east-1").Key(credential, at), v.PolicyB64)
				require.Equal(t, v.Signature, got)
			default:
				t.Fatalf("vector of unknown kind %q", v.Kind)
			}
		})
	}
}

// sign signs s without a Beginning.
func sign(key *sigv4.Key, s string) string { return key.SignBehind(key.Beginning(""), s) }

// sdkPresign signs r with the SDK's signer, the oracle of these tests.
func sdkPresign(
	t *testing.T, creds aws.Credentials, region string, r *sigv4.Request, at time.Time,
	query ...sigv4.Pair,
) string {
	t.Helper()
	u := r.Scheme + "://" + r.Host + string(sigv4.AppendPath([]byte(r.Base), r.Key)) +
		"?X-Amz-Expires=" + strconv.Itoa(r.Expires)
	for _, q := range query {
		u += "&" + q.Name + "=" + string(sigv4.AppendPath(nil, q.Value))
	}
	req, err := http.NewRequest(r.Method, u, nil)
	require.NoError(t, err)
	for _, h := range r.Headers {
		if h.Name == "content-length" {
			req.ContentLength, err = strconv.ParseInt(h.Value, 10, 64)
			require.NoError(t, err)
			continue
		}
		req.Header.Set(h.Name, h.Value)
	}
	signed, _, err := v4.NewSigner().PresignHTTP(
		context.Background(), creds, req, "UNSIGNED-PAYLOAD", "s3", region, at,
		func(o *v4.SignerOptions) {
			o.DisableURIPathEscaping, o.DisableHeaderHoisting = true, true
		})
	require.NoError(t, err)
	return signed
}

// FuzzPresign checks that every URL equals the URL that the SDK's signer
// returns for the same request.
func FuzzPresign(f *testing.F) {
	f.Add("AKIDEXAMPLE", "secret/+", "", "eu-central-1", "u/1/hello wörld.txt", "text/plain",
		"a  b", int64(5), int64(1369353600), 900, "")
	f.Add("ASIA", "s", "AQoDYXdzEXAMPLE//+==", "us-east-1", "//a/../b c+d&e=f?g#h%20~", " x ", "",
		int64(0), int64(0), 1, "VXBsb2Fk+/= IE")
	f.Add("id", "\xff\x00", "t", "auto", "日本/é!*'();:@$,[]", "   ", "*", int64(5<<30),
		int64(4102444800), 604800, "é")
	f.Fuzz(func(
		t *testing.T, id, secret, token, region, key, value, meta string, length, unix int64,
		expires int, upload string,
	) {
		if unix < 0 || unix > 253402300799 || length < 0 {
			t.Skip("no request has this time or length")
		}
		// The SDK's signer trims Unicode spaces as well. Signed headers are
		// printable ASCII.
		isUnprintable := func(c rune) bool { return c < ' ' || c > '~' }
		if strings.ContainsFunc(value+meta, isUnprintable) ||
			strings.ContainsAny(id+region, "\x00/") || id == "" || secret == "" {
			t.Skip("the input is rejected before signing")
		}
		at := time.Unix(unix, 0)
		r := &sigv4.Request{
			Method: "PUT", Scheme: "https", Host: "bucket.s3.example.com:8443", Base: "/", Key: key,
			Expires: expires,
		}
		if length > 0 { // The SDK does not sign a length of zero.
			r.Headers = append(r.Headers,
				sigv4.Pair{Name: "content-length", Value: strconv.FormatInt(length, 10)})
		}
		r.Headers = append(r.Headers, sigv4.Pair{Name: "content-type", Value: value},
			sigv4.Pair{Name: "if-none-match", Value: "*"},
			sigv4.Pair{Name: "x-amz-meta-a", Value: meta})
		part := []sigv4.Pair{{Name: "partNumber", Value: "7"}, {Name: "uploadId", Value: upload}}
		creds := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: token}
		credential := sigv4.Credential{ID: id, Secret: secret, Token: token}
		signing := sigv4.NewKeys(region).Key(credential, at)
		want := sdkPresign(t, creds, region, r, at)
		require.Equal(t, want, signing.Presign(r, at))
		series := signing.Series(r, at)
		require.Equal(t, want, series.Presign(nil))
		require.Equal(t, sdkPresign(t, creds, region, r, at, part...),
			series.Presign(sigv4.AppendQuery(nil, part)))
	})
}

func TestPresignSignsHostInOrder(t *testing.T) {
	at := time.Unix(1700000000, 0)
	for _, headers := range [][]sigv4.Pair{
		nil,
		{{Name: "a", Value: "1"}},
		{{Name: "z", Value: "1"}},
		{{Name: "a", Value: "1"}, {Name: "z", Value: "2"}},
	} {
		r := &sigv4.Request{
			Method: "GET", Scheme: "http", Host: "h", Base: "/", Headers: headers, Expires: 60,
		}
		creds := aws.Credentials{AccessKeyID: exampleID, SecretAccessKey: exampleSecret}
		credential := sigv4.Credential{ID: exampleID, Secret: exampleSecret}
		got := sigv4.NewKeys("r").Key(credential, at).Presign(r, at)
		require.Equal(t, sdkPresign(t, creds, "r", r, at), got)
	}
}

func TestKeysFollowDayAndCredential(t *testing.T) {
	keys := sigv4.NewKeys("us-east-1")
	evening := time.Date(2026, 12, 31, 23, 59, 59, 999, time.UTC)

	key := keys.Key(sigv4.Credential{ID: "id", Secret: "secret"}, evening)
	require.Equal(t, "id/20261231/us-east-1/s3/aws4_request", key.Credential)
	require.Same(t, key,
		keys.Key(sigv4.Credential{ID: "id", Secret: "secret"}, evening.Add(-time.Hour)),
		"one day, one key")
	require.Same(t, key, keys.Key(sigv4.Credential{ID: "id", Secret: "secret"},
		evening.In(time.FixedZone("", 14*3600))), "the day is a UTC day")

	next := keys.Key(sigv4.Credential{ID: "id", Secret: "secret"}, evening.Add(time.Second))
	require.Equal(t, "id/20270101/us-east-1/s3/aws4_request", next.Credential)
	require.NotEqual(t, sign(key, "x"), sign(next, "x"))

	rotated := keys.Key(sigv4.Credential{ID: "id", Secret: "other secret"}, evening)
	require.Equal(t, key.Credential, rotated.Credential)
	require.NotEqual(t, sign(key, "x"), sign(rotated, "x"), "the secret alone changed")
	withToken := keys.Key(sigv4.Credential{ID: "id", Secret: "secret", Token: "token"}, evening)
	require.Equal(t, sign(key, "x"), sign(withToken, "x"))
	request := &sigv4.Request{Method: "PUT", Scheme: "https", Host: "h", Base: "/", Expires: 60}
	require.NotContains(t, key.Presign(request, evening), "Security-Token")
	require.Contains(t, withToken.Presign(request, evening), "&X-Amz-Security-Token=token&",
		"the token alone changed")
	require.Equal(t, sign(key, "x"),
		sign(keys.Key(sigv4.Credential{ID: "id", Secret: "secret"}, evening), "x"))
}

// TestKeysConcurrently checks that concurrent signatures with two credentials,
// before and after midnight, are correct.
func TestKeysConcurrently(t *testing.T) {
	keys := sigv4.NewKeys("us-east-1")
	midnight := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	request := func(i int) *sigv4.Request {
		return &sigv4.Request{
			Method: "PUT", Scheme: "https", Host: "h", Base: "/", Key: strconv.Itoa(i), Expires: 60,
		}
	}
	var wg sync.WaitGroup
	for i := range 64 {
		credential := sigv4.Credential{ID: "id", Secret: "secret" + strconv.Itoa(i%2)}
		at := midnight.Add(time.Duration(i%4/2*2-1) * time.Nanosecond)
		want := sigv4.NewKeys("us-east-1").Key(credential, at).Presign(request(i), at)
		wg.Go(func() {
			for range 50 {
				if got := keys.Key(credential, at).Presign(request(i), at); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			}
		})
	}
	wg.Wait()
}

// TestSignBehind checks that a signature does not depend on where the string is
// cut.
func TestSignBehind(t *testing.T) {
	key := sigv4.NewKeys("us-east-1").Key(sigv4.Credential{ID: exampleID, Secret: exampleSecret},
		time.Unix(1700000000, 0))
	other := sigv4.NewKeys("us-east-1").Key(sigv4.Credential{ID: exampleID, Secret: "other"},
		time.Unix(1700000000, 0))
	text := strings.Repeat("0123456789", 20)
	for cut := range len(text) {
		require.Equal(t, sign(key, text), key.SignBehind(key.Beginning(text[:cut]), text[cut:]))
	}
	require.NotEqual(t, sign(key, text), other.SignBehind(key.Beginning(text), ""))
}

func TestAppendPath(t *testing.T) {
	var all []byte
	for c := range 256 {
		all = append(all, byte(c))
	}
	got := string(sigv4.AppendPath([]byte("/b/"), string(all)))
	plain, escaped := 0, 0
	for i := len("/b/"); i < len(got); i++ {
		if got[i] != '%' {
			plain++
			continue
		}
		_, err := hex.DecodeString(got[i+1 : i+3])
		require.NoError(t, err)
		require.Equal(t, bytes.ToUpper([]byte(got[i+1:i+3])), []byte(got[i+1:i+3]))
		escaped, i = escaped+1, i+2
	}
	require.Equal(t, 26+26+10+len("-._~")+len("/"), plain)
	require.Equal(t, 256, plain+escaped)
}
