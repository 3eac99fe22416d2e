package presign_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/s3test"
)

// FuzzComplete: what somebody can put into the bucket without a grant completes only if it is what was granted, down to
// the last header, with the stamp as it was made.
func FuzzComplete(f *testing.F) {
	ctx := context.Background()
	s := open(f, s3test.New(), direct())
	grant, err := s.Put(ctx, presign.Upload{Filename: "a.png", Size: int64(len(png)), Metadata: map[string]string{"color": "red"}})
	require.NoError(f, err)
	stamp := grant.Headers["x-amz-meta-presign"]
	m, err := s.StartMultipart(ctx, presign.Upload{Key: grant.Key, Filename: "a.png", Size: int64(len(png))})
	require.NoError(f, err)
	disposition := grant.Headers["Content-Disposition"]
	f.Add(stamp, "image/png", "no-store", disposition, "", "color", "red", png)
	f.Add(stamp, "image/png", "", "", "", "color", "red", png)
	f.Add(stamp, "image/png", "no-store", disposition, "gzip", "colour", "red", png)
	f.Add(stamp, "text/html", "public", "inline", "", "", "", []byte("<html>"))
	f.Add(m.ID, "image/png", "no-store", disposition, "", "color", "red", png)
	f.Add(stamp[:len(stamp)-1]+"A", "image/png;a=b", "no-store", disposition, "", "color", "red", png)
	f.Fuzz(func(t *testing.T, stamped, mediaType, cacheControl, disposition, encoding, name, value string, body []byte) {
		input := &s3.PutObjectInput{
			Bucket: aws.String(s3test.DefaultBucket), Key: &grant.Key, Body: bytes.NewReader(body), Metadata: map[string]string{"presign": stamped},
			ContentType: &mediaType, CacheControl: &cacheControl, ContentDisposition: &disposition, ContentEncoding: &encoding,
		}
		if name != "" && !strings.EqualFold(name, "presign") {
			input.Metadata[name] = value
		}
		if _, err := s.store.S3().PutObject(ctx, input); err != nil {
			return // no HTTP request says that
		}
		object, err := s.Complete(ctx, grant.Key)
		if err != nil {
			_ = told(t, err)
			if strings.TrimSpace(stamped) != stamp {
				require.EqualError(t, err, "presign: not uploaded: the object is of no grant for this key")
			} else {
				require.NotEmpty(t, presign.Violations(err), err)
				require.Empty(t, s.keys())
			}
			return
		}
		require.Equal(t, stamp, strings.TrimSpace(stamped))
		require.Equal(t, "image/png", object.Type)
		require.EqualValues(t, len(png), object.Size)
		require.Equal(t, map[string]string{"color": "red"}, object.Metadata)
		require.Contains(t, []string{"", "no-store"}, strings.TrimSpace(cacheControl))
		require.Contains(t, []string{"", grant.Headers["Content-Disposition"]}, strings.TrimSpace(disposition))
		require.Empty(t, strings.TrimSpace(encoding))
	})
}

// FuzzWireForms: what is marshalled says what it is, and nothing else, to those who read it by the standard.
func FuzzWireForms(f *testing.F) {
	f.Add("PUT", "https://a.example/?a=b&c", "Content-Type", "a/b", "uploads/日本.png", "size", "is 5", 422, int64(10))
	f.Add("\"}", "\u2028</script>", "", "\xff", "\\", "{", "\x00", 0, int64(-1))
	f.Fuzz(func(t *testing.T, method, address, name, value, key, field, detail string, status int, size int64) {
		for _, s := range []*string{&method, &address, &name, &value, &key, &field, &detail} {
			*s = strings.ToValidUTF8(*s, "?")
		}
		expires := time.Unix(size&0xffffffff, 0).UTC()
		grant := presign.Grant{Method: method, URL: address, Headers: map[string]string{name: value}, Fields: map[string]string{value: name}, Key: key, Expires: expires}
		object := presign.Object{Key: key, Filename: name, Type: value, Detected: method, Size: size, ETag: field, VersionID: detail, Checksum: address,
			Metadata: map[string]string{field: detail}, Owner: method, GrantID: value}
		roundTrip(t, grant, "expires_in")
		roundTrip(t, object)
		roundTrip(t, presign.Violation{Field: field, Detail: detail})

		text, err := json.Marshal(presign.Problem{Type: address, Title: name, Status: status, Detail: detail, Errors: []presign.Violation{{Field: field, Detail: detail}}})
		require.NoError(t, err)
		var p problem
		require.NoError(t, json.Unmarshal(text, &p))
		require.Equal(t, status, p.Status)
		require.Equal(t, detail, p.Detail)
		require.Equal(t, []presign.Violation{{Field: field, Detail: detail}}, p.Errors)
		if detail != "" {
			require.Equal(t, detail, p.Message)
		}
		if name != "" {
			require.Equal(t, name, p.Title)
		} else {
			require.Equal(t, http.StatusText(status), p.Title)
		}
	})
}

// roundTrip marshals a value to what reads back as the value, with these members besides.
func roundTrip[T any](t *testing.T, v T, besides ...string) {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	var again T
	require.NoError(t, json.Unmarshal(text, &again))
	require.Equal(t, v, again)
	var members map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(text, &members))
	for _, name := range besides {
		require.Contains(t, members, name)
		delete(members, name)
	}
	plain, err := json.Marshal(members)
	require.NoError(t, err)
	decoder := json.NewDecoder(bytes.NewReader(plain))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&again))
}
