package presign_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf16"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/conformance"
	"github.com/s3presign/presign/internal/test/s3test"
)

// png starts like a PNG picture, which is enough to detect its type.
var png = append([]byte(
	"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00",
), make([]byte, 100)...)

// final returns a policy with FinalPrefix.
func final() presign.Policy {
	return presign.Policy{
		Prefix: "incoming/", FinalPrefix: "published/", Types: []string{"image/*", "text/*"},
		MaxSize:  1 << 20,
		Metadata: []string{"color"}, Headers: map[string]string{"Cache-Control": "no-store"},
	}
}

// direct returns the policy of final without FinalPrefix.
func direct() presign.Policy {
	p := final()
	p.FinalPrefix = ""
	return p
}

// A shop is a Signer with its store and log.
type shop struct {
	*presign.Signer
	store *s3test.Server
	log   *bytes.Buffer
}

// open returns a shop for a store.
func open(
	t testing.TB, store *s3test.Server, policy presign.Policy, opts ...presign.SignerOption,
) shop {
	t.Helper()
	store.AddCredentials(session)
	log := new(bytes.Buffer)
	opts = append([]presign.SignerOption{
		presign.WithSecret(secret), presign.WithStore(store.S3()),
		presign.WithLogger(newLog(t, log)),
	}, opts...)
	signer, err := presign.NewSigner(store.S3(inSession), s3test.DefaultBucket, policy, opts...)
	require.NoError(t, err)
	return shop{signer, store, log}
}

// upload uploads a file and returns the grant. If cheat is not nil, it changes
// the request.
func (s shop) upload(
	t *testing.T, u presign.Upload, form bool, body []byte, cheat func(*conformance.Attempt),
) *presign.Grant {
	t.Helper()
	if !form {
		u.Size = int64(len(body))
	}
	sign := s.Put
	if form {
		sign = s.Post
	}
	grant, err := sign(context.Background(), u)
	require.NoError(t, err)
	s.send(t, grant, body, cheat)
	return grant
}

// send uploads a file with a grant. If cheat is not nil, it changes the
// request.
func (s shop) send(
	t *testing.T, grant *presign.Grant, body []byte, cheat func(*conformance.Attempt),
) {
	t.Helper()
	attempt := conformance.New(grant, "file", body)
	if cheat != nil {
		cheat(attempt)
	}
	response, err := attempt.Send(s.store.HTTPClient())
	require.NoError(t, err)
	require.True(t, response.Accepted(), "%v", response)
}

// put stores an object without a grant.
func (s shop) put(t *testing.T, key, body string, change func(*s3.PutObjectInput)) {
	t.Helper()
	input := &s3.PutObjectInput{
		Bucket: aws.String(s3test.DefaultBucket), Key: &key, Body: strings.NewReader(body),
	}
	if change != nil {
		change(input)
	}
	_, err := s.store.S3().PutObject(context.Background(), input)
	require.NoError(t, err)
}

func (s shop) keys() []string { return s.store.Objects(s3test.DefaultBucket) }

func finalKey(key string) string { return "published/" + strings.TrimPrefix(key, "incoming/") }

func TestComplete(t *testing.T) {
	for _, form := range []bool{false, true} {
		for _, policy := range []presign.Policy{direct(), final()} {
			t.Run(fmt.Sprint("form ", form, ", final ", policy.FinalPrefix), func(t *testing.T) {
				policy.Checksum = types.ChecksumAlgorithmSha256
				s := open(t, s3test.New(), policy)
				sum := sha256sum(png)
				grant := s.upload(t, presign.Upload{Filename: "日本 1.png", Checksum: sum,
					Metadata: map[string]string{"color": "red"}, Owner: "alice"}, form, png, nil)
				for range 3 {
					object, err := s.CompleteForAnyOwner(context.Background(), grant.Key)
					require.NoError(t, err)
					key := grant.Key
					if policy.FinalPrefix != "" {
						key = finalKey(grant.Key)
					}
					stored, ok := s.store.Object(s3test.DefaultBucket, key)
					require.True(t, ok)
					require.Regexp(t, "^[0-9a-f]{32}$", object.GrantID)
					require.EqualExportedValues(t, presign.Object{
						Key: key, Filename: "日本 1.png", Type: "image/png", Detected: "image/png",
						Size: int64(len(png)), ETag: stored.ETag,
						Checksum: sum, Metadata: map[string]string{"color": "red"}, Owner: "alice",
						GrantID: grant.GrantID, Granted: object.Granted,
					}, *object)
					require.WithinDuration(t, grant.Expires.Add(-15*time.Minute),
						object.Granted, time.Second)
					require.Equal(t, []string{key}, s.keys(), "the upload must be deleted")
					require.Equal(t, png, stored.Body)
					require.Equal(t, "image/png", stored.Header.Get("Content-Type"))
					require.Equal(t, "no-store", stored.Header.Get("Cache-Control"))
					require.Contains(t, stored.Header.Get("Content-Disposition"),
						"attachment; filename*=UTF-8''%E6")
				}
			})
		}
	}
}

// TestCompleteRestoresLongNames checks that Complete returns the whole name
// even if the stamp holds only a digest of the name. It checks uploads and
// copies with much metadata.
//
// If the store loses Content-Disposition, Complete returns the end of the key.
// If the header contains another name, Complete rejects the upload.
func TestCompleteRestoresLongNames(t *testing.T) {
	name := strings.Repeat("\u6f22", 251) + ".png" // 757 bytes, 255 UTF-16 code units
	for _, form := range []bool{false, true} {
		for _, policy := range []presign.Policy{direct(), final()} {
			policy.Metadata = []string{"note"}
			s := open(t, s3test.New(), policy)
			u := presign.Upload{
				Filename: name, Metadata: map[string]string{"note": strings.Repeat("x", 1600)},
			}
			grant := s.upload(t, u, form, png, nil)
			for range 2 {
				o, err := s.CompleteForAnyOwner(context.Background(), grant.Key)
				require.NoError(t, err)
				require.Equal(t, name, o.Filename)
			}
		}

		for disposition, rejected := range map[string]bool{
			"": false, "attachment; filename*=UTF-8''another.png": true,
		} {
			s := open(t, s3test.New(), final())
			grant := s.upload(t, presign.Upload{Filename: name}, form, png, nil)
			stored, err := s.store.S3().HeadObject(context.Background(),
				&s3.HeadObjectInput{Bucket: aws.String(s3test.DefaultBucket), Key: &grant.Key})
			require.NoError(t, err)
			s.put(t, grant.Key, string(png), func(i *s3.PutObjectInput) {
				i.Metadata, i.ContentType = stored.Metadata, stored.ContentType
				if disposition != "" {
					i.ContentDisposition = &disposition
				}
			})
			o, err := s.CompleteForAnyOwner(context.Background(), grant.Key)
			if rejected {
				require.Contains(t, violations(t, err)[0],
					"content-disposition contradicts_grant must be")
				continue
			}
			require.NoError(t, err)
			require.Equal(t, strings.Repeat("\u6f22", 65)+".png", o.Filename)
			require.True(t, strings.HasSuffix(grant.Key, "/"+o.Filename))
			again, err := s.CompleteForAnyOwner(context.Background(), grant.Key)
			require.NoError(t, err)
			require.Equal(t, o, again)
		}
	}
}

// TestCompleteReturnsErrNotUploaded checks that Complete returns ErrNotUploaded
// for a missing object, an object without a valid stamp, and an object whose
// stamp has another key.
func TestCompleteReturnsErrNotUploaded(t *testing.T) {
	store := s3test.New()
	s := open(t, store, direct())
	grant := s.upload(t, presign.Upload{Filename: "a.png"}, false, png, nil)
	stored, _ := store.Object(s3test.DefaultBucket, grant.Key)
	stamp := stored.Metadata["presign"]

	copyOf := func(input *s3.PutObjectInput) {
		input.Metadata = map[string]string{"presign": stamp}
		input.ContentType = aws.String("image/png")
	}
	s.put(t, "incoming/older.png", string(png), nil)
	s.put(t, "incoming/copied.png", string(png), copyOf)
	s.put(t, "elsewhere/a.png", string(png), copyOf)
	s.put(t, "incoming/garbage.png", string(png), func(input *s3.PutObjectInput) {
		input.Metadata = map[string]string{"presign": "A"}
	})
	for _, key := range []string{
		"", "/", "incoming", "incoming/", "incoming/none.png", "incoming/older.png",
		"incoming/copied.png", "incoming/garbage.png", "elsewhere/a.png",
		"incoming/../elsewhere/a.png", "incoming//a", "\x00", grant.Key + "/",
		strings.ToUpper(grant.Key),
	} {
		_, err := s.CompleteForAnyOwner(context.Background(), key)
		require.ErrorIs(t, err, presign.ErrNotUploaded, "%q", key)
	}
	require.Len(t, s.keys(), 5, "objects without a grant must not be deleted")

	// Signers with another secret or policy do not accept the same object.
	for name, other := range map[string]shop{
		"secret": open(t, store, direct(),
			presign.WithSecret(bytes.Repeat([]byte("another secret, "), 2))),
		"final": open(t, store, final()),
		"prefix": open(t, store, func() presign.Policy {
			p := direct()
			p.Prefix = grant.Key[:strings.LastIndex(grant.Key, "/")+1]
			return p
		}()),
	} {
		_, err := other.CompleteForAnyOwner(context.Background(), grant.Key)
		require.ErrorIs(t, err, presign.ErrNotUploaded, name)
	}
	_, err := s.CompleteForAnyOwner(context.Background(), grant.Key)
	require.NoError(t, err)
}

// TestRotation checks that uploads complete while secrets rotate through (old),
// (old, new), (new, old) and (new). A stamp opens if its secret is in the list.
func TestRotation(t *testing.T) {
	store := s3test.New()
	older, newer := secret, bytes.Repeat([]byte("fedcba9876543210"), 2)
	keyrings := [][][]byte{{older}, {older, newer}, {newer, older}, {newer}}
	for i, sealing := range keyrings {
		s := open(t, store, direct(), presign.WithSecret(sealing...))
		grant := s.upload(t, presign.Upload{Filename: "a.png"}, false, png, nil)
		for j, opening := range keyrings {
			s := open(t, store, direct(), presign.WithSecret(opening...))
			_, err := s.CompleteForAnyOwner(context.Background(), grant.Key)
			opens := slices.ContainsFunc(opening, func(k []byte) bool {
				return bytes.Equal(k, sealing[0])
			})
			if opens {
				require.NoError(t, err, "sealed in step %d, opened in step %d", i, j)
			} else {
				require.ErrorIs(t, err, presign.ErrNotUploaded)
			}
		}
	}
	for _, bad := range [][][]byte{{}, {nil}, {make([]byte, 31)}, {secret, []byte("short")}} {
		_, err := presign.NewSigner(store.S3(), s3test.DefaultBucket, direct(),
			presign.WithSecret(bad...))
		require.ErrorContains(t, err, "presign: WithSecret: ")
		require.NotContains(t, err.Error(), "short\"")
	}
}

// TestMutatedStamps checks that Complete rejects every changed stamp.
func TestMutatedStamps(t *testing.T) {
	store := s3test.New()
	s := open(t, store, direct())
	grant := s.upload(t, presign.Upload{Filename: "a.png"}, false, png, nil)
	stamp := grant.Headers["x-amz-meta-presign"]
	other := s.upload(t, presign.Upload{Filename: "a.png"}, false, png,
		nil).Headers["x-amz-meta-presign"]
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 10_000 {
		mutated := []byte(stamp)
		switch i % 5 {
		case 0:
			at := random.IntN(len(mutated))
			for was := mutated[at]; mutated[at] == was; {
				mutated[at] = alphabet[random.IntN(len(alphabet))]
			}
		case 1:
			mutated = mutated[:random.IntN(len(mutated))]
		case 2:
			mutated = append(mutated, alphabet[random.IntN(len(alphabet))])
		case 3:
			at := 1 + random.IntN(len(mutated)-1)
			mutated = append(mutated[:at:at], other[min(at, len(other)):]...)
		case 4:
			at := random.IntN(len(mutated))
			mutated = slices.Delete(mutated, at, at+1)
		}
		if string(mutated) == stamp {
			continue
		}
		s.put(t, grant.Key, string(png), func(input *s3.PutObjectInput) {
			input.ContentType = aws.String("image/png")
			if len(mutated) > 0 {
				input.Metadata = map[string]string{"presign": string(mutated)}
			}
		})
		_, err := s.CompleteForAnyOwner(context.Background(), grant.Key)
		require.ErrorIs(t, err, presign.ErrNotUploaded, "%s", mutated)
		require.Contains(t, []string{
			"presign: not uploaded: no object with a grant of this owner has this key",
			"presign: not uploaded: the object has a stamp that does not open",
		}, err.Error(), "%s", mutated)
	}
}

// TestCompleteRejectsMismatchedContent checks that Complete rejects and deletes
// active content that the client declared as an image.
func TestCompleteRejectsMismatchedContent(t *testing.T) {
	utf16le := func(s string) string {
		b := []byte{0xff, 0xfe}
		for _, unit := range utf16.Encode([]rune(s)) {
			b = append(b, byte(unit), byte(unit>>8))
		}
		return string(b)
	}
	const html = "<html><script>alert(1)</script></html>"
	const svg = `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`
	for body, detected := range map[string]string{
		html: "text/html", "\ufeff" + html: "text/html", "<!-- a -->" + html: "text/html",
		" \r\n\t" + html: "text/html", utf16le(html): "text/html",
		svg: "image/svg+xml", "\ufeff" + svg: "image/svg+xml", "<!-- a -->" + svg: "image/svg+xml",
		"\n\n" + svg: "image/svg+xml", `<?xml version="1.0"?>` + svg: "image/svg+xml",
		utf16le(svg): "image/svg+xml",
		"%PDF-1.4 ":  "application/pdf", "MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff": "",
	} {
		for _, policy := range []presign.Policy{direct(), final()} {
			s := open(t, s3test.New(), policy)
			grant := s.upload(t, presign.Upload{Filename: "photo.png", Type: "image/png"}, true,
				[]byte(body), nil)
			_, err := s.CompleteForAnyOwner(context.Background(), grant.Key)
			found := violations(t, err)
			require.Len(t, found, 1)
			require.Contains(t, found[0], "type contradicts_content must match the content, "+
				`got "image/png" for a file that looks like `+detected)
			require.Empty(t, s.keys(), "a rejected upload must be deleted")
			_, err = s.CompleteForAnyOwner(context.Background(), grant.Key)
			require.ErrorIs(t, err, presign.ErrNotUploaded)
		}
	}
	// Content of a text type may look like HTML.
	for _, file := range []struct{ name, body string }{
		{"a.md", "<h1>Title</h1>\n\ntext"}, {"a.txt", html}, {"a.csv", "a,b\n1,2\n"},
	} {
		s := open(t, s3test.New(), final())
		grant := s.upload(t, presign.Upload{Filename: file.name}, false, []byte(file.body), nil)
		_, err := s.CompleteForAnyOwner(context.Background(), grant.Key)
		require.NoError(t, err, file.name)
	}
}

// TestCompleteRejectsUngrantedProperties checks that Complete rejects
// properties that the grant does not contain. A client can add headers because
// a signature cannot exclude them, and some stores do not enforce the grant. A
// published copy drops harmless headers, so Complete accepts them.
func TestCompleteRejectsUngrantedProperties(t *testing.T) {
	other := bytes.Clone(png)
	other[len(other)-1] = 1
	checksum := func(p *presign.Policy) { p.Checksum = types.ChecksumAlgorithmSha256 }
	for field, c := range map[string]struct {
		policy  func(*presign.Policy)
		change  func(*s3.PutObjectInput)
		dropped bool
	}{
		"content-encoding": {nil, func(i *s3.PutObjectInput) {
			i.ContentEncoding = aws.String("gzip")
		}, false},
		"content-language": {nil, func(i *s3.PutObjectInput) {
			i.ContentLanguage = aws.String("de")
		}, true},
		"cache-control": {nil, func(i *s3.PutObjectInput) {
			i.CacheControl = aws.String("public")
		}, true},
		"content-disposition": {nil, func(i *s3.PutObjectInput) {
			i.ContentDisposition = aws.String("inline")
		}, false},
		"expires": {nil, func(i *s3.PutObjectInput) {
			i.Expires = aws.Time(time.Unix(1<<33, 0))
		}, true},
		"x-amz-website-redirect-location": {nil, func(i *s3.PutObjectInput) {
			i.WebsiteRedirectLocation = aws.String("https://evil.example")
		}, true},
		"x-amz-storage-class": {nil, func(i *s3.PutObjectInput) {
			i.StorageClass = types.StorageClassReducedRedundancy
		}, true},
		"metadata[role]": {nil, func(i *s3.PutObjectInput) {
			i.Metadata["role"] = "admin"
		}, false},
		"metadata[color]": {nil, func(i *s3.PutObjectInput) {
			i.Metadata["color"] = "blue"
		}, false},
		"metadata": {nil, func(i *s3.PutObjectInput) { delete(i.Metadata, "color") }, false},
		"type": {nil, func(i *s3.PutObjectInput) {
			i.ContentType = aws.String("text/html")
		}, false},
		"size": {nil, func(i *s3.PutObjectInput) {
			i.Body = bytes.NewReader(append(png, 0))
		}, false},
		"checksum": {checksum, nil, false},
		"checksum of other bytes": {checksum, func(i *s3.PutObjectInput) {
			i.ChecksumSHA256 = aws.String(sha256sum(other))
			i.Body = bytes.NewReader(other)
		}, false},
	} {
		for _, policy := range []presign.Policy{direct(), final()} {
			t.Run(field+" "+policy.FinalPrefix, func(t *testing.T) {
				if c.policy != nil {
					c.policy(&policy)
				}
				s := open(t, s3test.New(s3test.WithHistory()), policy)
				u := presign.Upload{
					Filename: "a.png", Size: int64(len(png)),
					Metadata: map[string]string{"color": "red"},
				}
				if policy.Checksum != "" {
					u.Checksum = sha256sum(png)
				}
				grant, err := s.Put(context.Background(), u)
				require.NoError(t, err)
				s.put(t, grant.Key, string(png), func(input *s3.PutObjectInput) {
					input.ContentType = aws.String("image/png")
					if policy.FinalPrefix == "" {
						input.CacheControl = aws.String("no-store")
					}
					input.Metadata = map[string]string{
						"presign": grant.Headers["x-amz-meta-presign"], "color": "red",
					}
					if c.change != nil {
						c.change(input)
					}
				})
				_, err = s.CompleteForAnyOwner(context.Background(), grant.Key)
				if policy.FinalPrefix != "" && c.dropped {
					require.NoError(t, err)
					copied, ok := s.store.Object(s3test.DefaultBucket, finalKey(grant.Key))
					require.True(t, ok)
					require.Equal(t, http.Header{
						"Content-Type": {"image/png"}, "Cache-Control": {"no-store"},
						"X-Amz-Server-Side-Encryption": {"AES256"},
						"Content-Disposition":          {grant.Headers["Content-Disposition"]},
					}, copied.Header)
					return
				}
				found := violations(t, err)
				require.Len(t, found, 1, found)
				name, code := strings.Fields(field)[0], "contradicts_grant"
				switch field {
				case "size":
					code = "too_large"
				case "checksum":
					code = "unsupported"
				case "metadata[color]":
					require.Contains(t, found[0], `got "blue"`)
				}
				require.True(t, strings.HasPrefix(found[0], name+" "+code+" "), found[0])
				require.Empty(t, s.keys())
				require.Empty(t, s.store.History().Visible("published/"))
			})
		}
	}
}

// TestBrowserHeadersAreAccepted checks that Complete accepts the Cache-Control
// headers that browsers add, and that a copy does not contain them.
func TestBrowserHeadersAreAccepted(t *testing.T) {
	for _, value := range []string{"max-age=0", "no-cache"} {
		policy := final()
		policy.Headers = nil
		s := open(t, s3test.New(), policy)
		grant := s.upload(t, presign.Upload{Filename: "a.png"}, false,
			png, func(a *conformance.Attempt) { a.Header.Set("Cache-Control", value) })
		object, err := s.CompleteForAnyOwner(context.Background(), grant.Key)
		require.NoError(t, err)
		stored, _ := s.store.Object(s3test.DefaultBucket, object.Key)
		require.Empty(t, stored.Header.Get("Cache-Control"))
	}
}

// TestUnsignedHeadersOverTheWire checks that Complete rejects an upload with a
// Content-Encoding that the client added.
func TestUnsignedHeadersOverTheWire(t *testing.T) {
	s := open(t, s3test.New(), final())
	grant := s.upload(t, presign.Upload{Filename: "a.png"}, false,
		png, func(a *conformance.Attempt) { a.Header.Set("Content-Encoding", "gzip") })
	_, err := s.CompleteForAnyOwner(context.Background(), grant.Key)
	require.Equal(t, []string{
		`content-encoding contradicts_grant must be "" as granted, got "gzip"`,
	}, violations(t, err))
}

// TestCompleteEndsDayAfterGrant checks that an upload can be completed for 24
// hours after its grant has expired.
func TestCompleteEndsDayAfterGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, s3test.New(), direct())
		grant := s.upload(t, presign.Upload{Filename: "a.png", Lifetime: time.Minute},
			false, png, nil)
		time.Sleep(24*time.Hour + time.Minute)
		_, err := s.CompleteForAnyOwner(context.Background(), grant.Key)
		require.NoError(t, err)
		time.Sleep(2 * time.Second)
		_, err = s.CompleteForAnyOwner(context.Background(), grant.Key)
		require.ErrorIs(t, err, presign.ErrExpired)
	})
}

// TestReplay checks that a later upload with the same grant does not change the
// published object.
func TestReplay(t *testing.T) {
	for _, form := range []bool{true, false} {
		s := open(t, s3test.New(), final())
		grant := s.upload(t, presign.Upload{Filename: "a.png"}, form, png, nil)
		first, err := s.CompleteForAnyOwner(context.Background(), grant.Key)
		require.NoError(t, err)
		other := bytes.Clone(png)
		other[len(other)-1] = 1
		s.send(t, grant, other, nil)
		again, err := s.CompleteForAnyOwner(context.Background(), grant.Key)
		require.NoError(t, err)
		require.EqualExportedValues(t, *first, *again)
		stored, _ := s.store.Object(s3test.DefaultBucket, first.Key)
		require.Equal(t, png, stored.Body)
		require.Equal(t, []string{first.Key}, s.keys(), "the replay must be deleted")
	}
}

// TestFixedKeys checks that an upload under a key that the service chose
// replaces a published object only with Replace.
func TestFixedKeys(t *testing.T) {
	for _, replace := range []bool{false, true} {
		policy := final()
		policy.Replace = replace
		s := open(t, s3test.New(), policy)
		u := presign.Upload{Key: "incoming/avatar.png"}
		_, err := s.Post(t.Context(), u)
		if replace {
			require.NoError(t, err)
		} else {
			require.Equal(t, []string{"method unsupported must not be POST: " +
				"the service chose the key, and a form would overwrite the object there"},
				violations(t, err))
		}
		s.upload(t, u, replace, png, nil)
		first, err := s.CompleteForAnyOwner(context.Background(), "incoming/avatar.png")
		require.NoError(t, err)
		other := bytes.Clone(png)
		other[len(other)-1] = 1
		s.upload(t, u, replace, other, nil)
		second, err := s.CompleteForAnyOwner(context.Background(), "incoming/avatar.png")
		stored, _ := s.store.Object(s3test.DefaultBucket, "published/avatar.png")
		if replace {
			require.NoError(t, err)
			require.NotEqual(t, first.GrantID, second.GrantID)
			require.Equal(t, other, stored.Body)
		} else {
			require.Equal(t, []string{
				"key taken must not be taken by another object, which this upload may not replace",
			}, violations(t, err))
			require.Equal(t, png, stored.Body)
		}
		require.Equal(t, []string{"published/avatar.png"}, s.keys())
	}
}

// TestSignersWithOneFinalPrefix checks that two Signers with one FinalPrefix
// replace each other's objects under a fixed key only with Replace. SECURITY.md
// describes such Signers.
func TestSignersWithOneFinalPrefix(t *testing.T) {
	for _, replace := range []bool{false, true} {
		store, other := s3test.New(), append(bytes.Clone(png), 1)
		policy := final()
		policy.Replace = replace
		first := open(t, store, policy)
		policy.Prefix = "elsewhere/"
		second := open(t, store, policy)
		first.upload(t, presign.Upload{Key: "incoming/avatar.png"}, false, png, nil)
		second.upload(t, presign.Upload{Key: "elsewhere/avatar.png"}, false, other, nil)
		_, err := first.CompleteForAnyOwner(t.Context(), "incoming/avatar.png")
		require.NoError(t, err)
		_, err = second.CompleteForAnyOwner(t.Context(), "elsewhere/avatar.png")
		stored, _ := store.Object(s3test.DefaultBucket, "published/avatar.png")
		if replace {
			require.NoError(t, err)
			require.Equal(t, other, stored.Body)
		} else {
			require.Equal(t, []string{
				"key taken must not be taken by another object, which this upload may not replace",
			}, violations(t, err))
			require.Equal(t, png, stored.Body)
		}
	}
}

// TestOtherPolicy checks that a Signer with the same prefixes but another
// Policy completes only uploads that its own Policy allows. The Signer replaces
// an object only if the grant allows replacement.
func TestOtherPolicy(t *testing.T) {
	store := s3test.New()
	pictures := final()
	pages := final()
	pages.Types, pages.MaxSize, pages.Replace = []string{"text/html", "image/png"}, 5<<20, true
	small := final()
	small.MaxSize = 50
	large := final()
	large.MinSize = 500
	checked := final()
	checked.Checksum = types.ChecksumAlgorithmSha256
	html := []byte("<html></html>")
	for name, c := range map[string]struct {
		granted, completing presign.Policy
		file                string
		body                []byte
		field, code         string
	}{
		"type": {pages, pictures, "a.html", html, "type", "not_allowed"}, "size": {pictures, small,
			"a.png", png, "size", "too_large"},
		"minimum size": {pictures, large, "a.png", png, "size", "too_small"},
		"checksum":     {pictures, checked, "a.png", png, "checksum", "required"},
	} {
		grant := open(t, store, c.granted).upload(t, presign.Upload{Filename: c.file},
			false, c.body, nil)
		_, err := open(t, store, c.completing).CompleteForAnyOwner(context.Background(), grant.Key)
		found := presign.Violations(err)
		require.Len(t, found, 1, name)
		require.Equal(t, []string{c.field, c.code}, []string{found[0].Field, found[0].Code}, name)
		require.Empty(t, store.Objects(s3test.DefaultBucket))
	}

	s := open(t, store, pictures)
	s.upload(t, presign.Upload{Key: "incoming/a.png"}, false, png, nil)
	first, err := s.CompleteForAnyOwner(context.Background(), "incoming/a.png")
	require.NoError(t, err)
	s.upload(t, presign.Upload{Key: "incoming/a.png"}, false, append(png, 1), nil)
	_, err = open(t, store, pages).CompleteForAnyOwner(context.Background(), "incoming/a.png")
	require.Contains(t, violations(t, err)[0], "key taken must not be taken")
	stored, _ := store.Object(s3test.DefaultBucket, first.Key)
	require.Equal(t, png, stored.Body)
}

// TestOlderGrant checks that, under Replace, an upload with an earlier grant
// does not replace the object of a later grant.
func TestOlderGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := final()
		policy.Replace = true
		s := open(t, s3test.New(), policy)
		older := s.upload(t, presign.Upload{Key: "incoming/a.png"}, true, png, nil)
		_, err := s.CompleteForAnyOwner(context.Background(), older.Key)
		require.NoError(t, err)
		time.Sleep(time.Second)
		s.upload(t, presign.Upload{Key: "incoming/a.png"}, true, append(png, 2), nil)
		newer, err := s.CompleteForAnyOwner(context.Background(), older.Key)
		require.NoError(t, err)
		s.send(t, older, append(png, 3), nil)
		_, err = s.CompleteForAnyOwner(context.Background(), older.Key)
		require.Equal(t, []string{"key superseded must not hold an object that was granted later"},
			violations(t, err))
		stored, _ := s.store.Object(s3test.DefaultBucket, newer.Key)
		require.Equal(t, append(png, 2), stored.Body)
		require.Equal(t, []string{newer.Key}, s.keys())
	})
}

// TestTornCopy checks that the next completion finds and deletes an unverified
// copy. A store without conditions makes such a copy if a client replaces the
// upload before the copy and the process ends after the copy.
func TestTornCopy(t *testing.T) {
	store := s3test.New()
	s := open(t, store, final())
	grant := s.upload(t, presign.Upload{Filename: "a.png"}, true, png, nil)
	evil := append([]byte("<script>alert(1)</script>"), png[25:]...)
	copied := false
	store.Fail(func(operation string, r *http.Request) s3test.Fault {
		r.Header.Del("X-Amz-Copy-Source-If-Match")
		switch {
		case operation == "CopyObject":
			s.send(t, grant, evil, nil)
			copied = true
		case copied:
			return s3test.AccessDenied
		}
		return s3test.None
	})
	_, err := s.CompleteForAnyOwner(context.Background(), grant.Key)
	require.Error(t, err)
	require.Contains(t, s.keys(), finalKey(grant.Key), "the copy must exist")
	store.Fail(nil)
	_, err = s.CompleteForAnyOwner(context.Background(), grant.Key)
	require.Contains(t, violations(t, err)[0], "type contradicts_content must match the content")
	require.Empty(t, s.keys())
}

// TestForeignObject checks that an object without a grant under the key of a
// published upload has no effect.
func TestForeignObject(t *testing.T) {
	s := open(t, s3test.New(), final())
	grant := s.upload(t, presign.Upload{Filename: "a.png"}, true, png, nil)
	first, err := s.CompleteForAnyOwner(context.Background(), grant.Key)
	require.NoError(t, err)
	s.put(t, grant.Key, "something else", nil)
	again, err := s.CompleteForAnyOwner(context.Background(), grant.Key)
	require.NoError(t, err)
	require.EqualExportedValues(t, *first, *again)
	require.Len(t, s.keys(), 2, "an object without a grant must remain")
}

// TestDeniedDelete checks that Complete succeeds if it cannot delete a
// published upload, but returns an error if it cannot delete a rejected upload.
func TestDeniedDelete(t *testing.T) {
	store := s3test.New()
	hooked := 0
	s := open(t, store, final(), presign.WithOnComplete(
		func(context.Context, *presign.Object) error { hooked++; return nil }))
	log := s.log
	handler, err := presign.NewHandler(s.Signer, user)
	require.NoError(t, err)
	store.Fail(func(operation string, _ *http.Request) s3test.Fault {
		if operation == "DeleteObject" {
			return s3test.AccessDenied
		}
		return s3test.None
	})
	grant := s.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, true, png, nil)
	w := serve(t, handler, completeRequest("alice", `{"key": "`+grant.Key+`"}`))
	require.Equal(t, 200, w.Code, w.Body)
	require.Equal(t, 1, hooked)
	require.Empty(t, log.String())

	grant = s.upload(t, presign.Upload{Filename: "b.png", Owner: "alice"}, true,
		[]byte("<html></html>"), nil)
	w = serve(t, handler, completeRequest("alice", `{"key": "`+grant.Key+`"}`))
	requireProblem(t, w, 502)
	require.Equal(t, 1, hooked)
	require.Contains(t, log.String(), "AccessDenied")
	require.Contains(t, log.String(), "level=ERROR")

	_, err = s.Complete(t.Context(), "alice", grant.Key)
	require.ErrorContains(t, searchError(t, err), "presign: the store failed")
	require.Empty(t, presign.Violations(err))
	require.False(t, errors.As(err, new(*presign.RejectedError)), "the upload must still exist")
	store.Fail(nil)
	_, err = s.Complete(t.Context(), "alice", grant.Key)
	var rejected *presign.RejectedError
	require.ErrorAs(t, err, &rejected)
	require.Equal(t, []string{grant.Key, grant.GrantID, "alice", "b.png"},
		[]string{rejected.Object.Key, rejected.Object.GrantID, rejected.Object.Owner,
			rejected.Object.Filename})
	require.Equal(t, presign.Violations(err), rejected.Violations)
	require.Equal(t, 1, hooked)
}

// TestOtherOwnersThroughDirectCalls checks that direct calls return
// ErrNotUploaded or ErrInvalidID for uploads of other owners, and only read
// from the store.
func TestOtherOwnersThroughDirectCalls(t *testing.T) {
	for _, policy := range []presign.Policy{multipartPolicy(), direct()} {
		s := open(t, s3test.New(), policy)
		uploaded := s.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, true, png, nil)
		ownerless := s.upload(t, presign.Upload{Filename: "a.png"}, true, png, nil)
		done := s.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, true, png, nil)
		object, err := s.Complete(t.Context(), "alice", done.Key)
		require.NoError(t, err)
		require.Equal(t, done.GrantID, object.GrantID)
		m, err := s.StartMultipart(t.Context(), presign.Upload{Filename: "a.png", Owner: "alice"})
		require.NoError(t, err)
		s.putAll(t, m, png)
		before, under := s.keys(), s.uploads(t)

		var mu sync.Mutex // A completion makes two requests at once.
		var operations []string
		s.store.Fail(func(operation string, _ *http.Request) s3test.Fault {
			mu.Lock()
			defer mu.Unlock()
			operations = append(operations, operation)
			return s3test.None
		})
		for _, owner := range []string{"bob", "Alice", "alice ", "\x00"} {
			for _, key := range []string{
				uploaded.Key, ownerless.Key, done.Key, m.Key, object.Key, "incoming/none.png",
			} {
				_, err := s.Complete(t.Context(), owner, key)
				require.ErrorIs(t, searchError(t, err), presign.ErrNotUploaded, "%q %s", owner, key)
			}
			_, err := s.ResumeMultipart(owner, m.ID)
			require.ErrorIs(t, searchError(t, err), presign.ErrInvalidID)
		}
		for _, operation := range operations {
			require.Contains(t, []string{"HeadObject", "GetObject"}, operation)
		}
		operations = nil
		for _, key := range []string{uploaded.Key, ownerless.Key, done.Key, ""} {
			_, err := s.Complete(t.Context(), "", key)
			require.ErrorContains(t, searchError(t, err), "presign: the owner must not be empty")
			require.NotErrorIs(t, err, presign.ErrNotUploaded)
		}
		_, err = s.ResumeMultipart("", m.ID)
		require.ErrorContains(t, searchError(t, err), "presign: the owner must not be empty")
		require.Empty(t, operations, "the calls must make no request")
		s.store.Fail(nil)
		require.Equal(t, before, s.keys())
		require.Equal(t, under, s.uploads(t))

		completed, err := s.CompleteForAnyOwner(t.Context(), ownerless.Key)
		require.NoError(t, err)
		require.Empty(t, completed.Owner)
	}
}

// TestCompletionContinuesAfterClientDisconnects checks that a verified file is
// published and passed to the hook even if the client has disconnected.
func TestCompletionContinuesAfterClientDisconnects(t *testing.T) {
	store := s3test.New()
	ctx, cancel := context.WithCancel(t.Context())
	hooked := 0
	s := open(t, store, final(),
		presign.WithOnComplete(func(ctx context.Context, _ *presign.Object) error {
			hooked++
			return ctx.Err()
		}))
	handler, err := presign.NewHandler(s.Signer, user)
	require.NoError(t, err)
	grant := s.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, true, png, nil)
	store.Fail(func(operation string, _ *http.Request) s3test.Fault {
		if operation == "CopyObject" {
			cancel()
		}
		return s3test.None
	})
	handler.ServeHTTP(httptest.NewRecorder(),
		completeRequest("alice", `{"key": "`+grant.Key+`"}`).WithContext(ctx))
	require.NoError(t, s.Shutdown(t.Context()))
	require.Equal(t, 1, hooked)
	require.Equal(t, []string{finalKey(grant.Key)}, s.keys())
}

// TestEncodedContent checks that Complete does not compare the content with the
// type if the policy sets Content-Encoding.
func TestEncodedContent(t *testing.T) {
	policy := final()
	policy.Types, policy.Headers = []string{"text/css"},
		map[string]string{"Content-Encoding": "gzip"}
	s := open(t, s3test.New(), policy)
	grant := s.upload(t, presign.Upload{Filename: "a.css"}, true,
		[]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00"), nil)
	_, err := s.CompleteForAnyOwner(context.Background(), grant.Key)
	require.NoError(t, err)
}

// TestStatuses checks that completing an expired upload returns status 410, a
// changed upload 409, and another owner's upload 404.
func TestStatuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := s3test.New()
		s := open(t, store, final())
		handler, err := presign.NewHandler(s.Signer, user)
		require.NoError(t, err)
		do := func(key string) *httptest.ResponseRecorder {
			w := serve(t, handler, completeRequest("alice", `{"key": "`+key+`"}`))
			return w
		}
		grant := s.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, true, png, nil)
		copies := 0
		store.Fail(func(operation string, _ *http.Request) s3test.Fault {
			if operation == "CopyObject" {
				copies++
				s.send(t, grant, append(png, byte(copies)), nil)
			}
			return s3test.None
		})
		p := requireProblem(t, do(grant.Key), 409)
		require.NotContains(t, p.Message, "replaced")
		require.Contains(t, s.log.String(), "the upload was replaced while it was copied")
		require.Empty(t, store.Objects(s3test.DefaultBucket)[1:], "only the upload must exist")
		store.Fail(nil)
		requireProblem(t, func() *httptest.ResponseRecorder {
			w := serve(t, handler, completeRequest("ALICE", `{"key": "`+grant.Key+`"}`))
			return w
		}(), 404)
		time.Sleep(25 * time.Hour)
		requireProblem(t, do(grant.Key), 410)
	})
}

// TestSignerWarnsOfRandomSecret checks that a Signer without WithSecret logs
// one warning.
func TestSignerWarnsOfRandomSecret(t *testing.T) {
	var log bytes.Buffer
	_, err := presign.NewHandler(newSigner(t, images(), presign.WithLogger(newLog(t, &log))), user)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(log.String(), "WithSecret"))
}

// TestStampIsBoundToLocation checks that a stamp opens only for its bucket,
// endpoint and prefixes.
func TestStampIsBoundToLocation(t *testing.T) {
	store := s3test.New(s3test.WithBuckets(s3test.DefaultBucket, "other"))
	s := open(t, store, direct())
	grant := s.upload(t, presign.Upload{Key: "incoming/a/", Filename: "a.png"}, false, png, nil)
	_, err := store.S3().CopyObject(t.Context(), &s3.CopyObjectInput{
		Bucket: aws.String("other"), Key: &grant.Key,
		CopySource: aws.String(s3test.DefaultBucket + "/" + grant.Key),
	})
	require.NoError(t, err)
	for bucket, opts := range map[string][]presign.SignerOption{
		"other":              nil,
		s3test.DefaultBucket: {presign.WithPublicEndpoint("https://elsewhere.example")},
	} {
		signer, err := presign.NewSigner(store.S3(), bucket, direct(),
			append(opts, presign.WithSecret(secret))...)
		require.NoError(t, err)
		_, err = signer.CompleteForAnyOwner(t.Context(), grant.Key)
		require.ErrorIs(t, err, presign.ErrNotUploaded, bucket)
	}
	for name, change := range map[string]func(*presign.Policy){
		"a longer prefix": func(p *presign.Policy) { p.Prefix = "incoming/a/" },
		"a final prefix":  func(p *presign.Policy) { p.FinalPrefix = "published/" },
	} {
		policy := direct()
		change(&policy)
		signer, err := presign.NewSigner(store.S3(), s3test.DefaultBucket, policy,
			presign.WithSecret(secret))
		require.NoError(t, err)
		_, err = signer.CompleteForAnyOwner(t.Context(), grant.Key)
		require.ErrorIs(t, err, presign.ErrNotUploaded, name)
	}
	_, err = s.CompleteForAnyOwner(t.Context(), grant.Key)
	require.NoError(t, err)
}

// TestReplicas checks that concurrent completions by two replicas all succeed
// and return the same object.
func TestReplicas(t *testing.T) {
	for range 20 {
		store := s3test.New()
		one, two := open(t, store, final()), open(t, store, final())
		grant := one.upload(t, presign.Upload{Filename: "a.png"}, true, png, nil)
		var objects [8]*presign.Object
		var wg sync.WaitGroup
		for i := range objects {
			s := []shop{one, two}[i%2]
			wg.Go(func() {
				var err error
				// A completion can return ErrChanged if another replica
				// publishes and deletes the upload meanwhile.
				for err = presign.ErrChanged; errors.Is(err, presign.ErrChanged); {
					objects[i], err = s.CompleteForAnyOwner(context.Background(), grant.Key)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, object := range objects {
			require.EqualExportedValues(t, *objects[0], *object)
		}
		require.Equal(t, []string{finalKey(grant.Key)}, one.keys())
	}
}

func TestFinalPrefixRejected(t *testing.T) {
	const overlap = `FinalPrefix must not overlap Prefix "uploads/", where grants apply, `
	for prefix, want := range map[string]string{
		"a":          `FinalPrefix must end in "/", got "a"`,
		"/":          `FinalPrefix must not start with "/", got "/"`,
		"$a/":        `FinalPrefix must not contain "$", which POST policies interpret, got "$a/"`,
		"uploads/":   overlap + `got "uploads/"`,
		"uploads/a/": overlap + `got "uploads/a/"`,
		"u/../":      `FinalPrefix must not contain the segment "..", got "u/../"`,
	} {
		_, err := presign.NewSigner(newClient(), "bucket",
			with(func(p *presign.Policy) { p.FinalPrefix = prefix }))
		require.ErrorContains(t, err, "presign: Policy."+want)
	}
	_, err := presign.NewSigner(newClient(), "bucket",
		with(func(p *presign.Policy) { p.Prefix, p.FinalPrefix = "a/b/", "a/" }))
	require.ErrorContains(t, err, "must not overlap")
	_, err = presign.NewSigner(newClient(), "bucket", images(), presign.WithStore(nil))
	require.ErrorContains(t, err, "presign: WithStore must have a client")
	noFile := newClient(func(o *s3.Options) {
		o.Credentials = aws.NewCredentialsCache(presign.EnvFile("a", nil))
	})
	for _, store := range []*s3.Client{s3.New(s3.Options{}), noFile} {
		_, err = presign.NewSigner(newClient(), "bucket", images(), presign.WithStore(store))
		require.ErrorContains(t, err, "presign: WithStore: ")
	}
	_, err = presign.NewSigner(newClient(), "bucket", with(func(p *presign.Policy) {
		p.Headers = map[string]string{"Cache-Control": strings.Repeat("x", 257)}
	}))
	require.ErrorContains(t, err, "presign: Policy.Headers must have at most 256 bytes "+
		"in the headers that every stamp repeats")
	signer := newSigner(t,
		with(func(p *presign.Policy) { p.FinalPrefix = strings.Repeat("f", 980) + "/" }))
	_, err = signer.Put(context.Background(),
		presign.Upload{Filename: "a-long-name-of-a-file.png", Size: 10})
	require.Contains(t, violations(t, err)[0],
		"filename too_large must make a key of at most 1024 bytes, got ")
}

// TestMetadataLeavesRoomForStamp checks that the metadata and the stamp
// together do not exceed the limit of S3.
func TestMetadataLeavesRoomForStamp(t *testing.T) {
	signer := newSigner(t, with(func(p *presign.Policy) { p.Metadata = []string{"a"} }))
	for size := 1500; size < 2048; size++ {
		grant, err := signer.Put(context.Background(), presign.Upload{Filename: "a.png", Size: 10,
			Metadata: map[string]string{"a": strings.Repeat("x", size)}})
		if err != nil {
			require.Contains(t, violations(t, err)[0], "metadata too_large must have at most ")
			require.Greater(t, size, 1700)
			return
		}
		require.LessOrEqual(t,
			len("a")+size+len("presign")+len(grant.Headers["x-amz-meta-presign"]), 2048)
	}
	t.Fatal("Put must reject metadata that leaves no room for the stamp")
}

// TestWithStore checks that the client of NewSigner only signs, and the client
// of WithStore makes all requests.
func TestWithStore(t *testing.T) {
	store := s3test.New()
	signing := newClient(func(o *s3.Options) {
		*o = store.S3().Options()
		o.HTTPClient = httpClient(func(*http.Request) (*http.Response, error) {
			return nil, errors.New("the signing client must not make a request")
		})
		o.RetryMaxAttempts = 1
	})
	signer, err := presign.NewSigner(signing, s3test.DefaultBucket, final(),
		presign.WithSecret(secret), presign.WithStore(store.S3()))
	require.NoError(t, err)
	s := shop{signer, store, new(bytes.Buffer)}
	grant := s.upload(t, presign.Upload{Filename: "a.png"}, false, png, nil)
	_, err = s.CompleteForAnyOwner(context.Background(), grant.Key)
	require.NoError(t, err)

	without, err := presign.NewSigner(signing, s3test.DefaultBucket, final(),
		presign.WithSecret(secret))
	require.NoError(t, err)
	_, err = without.CompleteForAnyOwner(context.Background(), grant.Key)
	require.ErrorContains(t, err, "presign: the store failed")
}

type httpClient func(*http.Request) (*http.Response, error)

func (c httpClient) Do(r *http.Request) (*http.Response, error) { return c(r) }

func completeRequest(owner, body string) *http.Request {
	r := httptest.NewRequest("POST", "/complete", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-User", owner)
	return r
}

// TestHandlerCompletes checks that the Handler completes an upload only for its
// owner, calls the hook for each completion, and returns errors of the hook.
func TestHandlerCompletes(t *testing.T) {
	store := s3test.New()
	var seen []presign.Object
	var hookErr error
	s := open(t, store, final(),
		presign.WithOnComplete(func(ctx context.Context, o *presign.Object) error {
			deadline, ok := ctx.Deadline()
			require.True(t, ok)
			require.Less(t, time.Until(deadline), 31*time.Second)
			require.NoError(t, ctx.Err())
			seen = append(seen, *o)
			o.Metadata["color"] = "changed by a hook"
			return hookErr
		}))
	handler, err := presign.NewHandler(s.Signer, user)
	require.NoError(t, err)
	do := func(r *http.Request) *httptest.ResponseRecorder {
		w := serve(t, handler, r)
		return w
	}
	grant := s.upload(t, presign.Upload{
		Filename: "a.png", Owner: "alice", Metadata: map[string]string{"color": "red"},
	}, false, png, nil)
	body := `{"key": "` + grant.Key + `"}`

	requireProblem(t, do(completeRequest("bob", body)), 404)
	require.Empty(t, seen)
	require.Equal(t, []string{grant.Key}, s.keys(), "the request of bob must not move the upload")

	hookErr = errors.New("the database at 10.0.0.1 is down")
	p := requireProblem(t, do(completeRequest("alice", body)), 500)
	require.NotContains(t, p.Message, "10.0.0.1")
	hookErr = &presign.Problem{Status: 507, Detail: "Full."}
	requireProblem(t, do(completeRequest("alice", body)), 507)
	hookErr = nil
	requireProblem(t, do(completeRequest("bob", body)), 404)
	ctx, cancel := context.WithCancel(context.Background())
	w := do(completeRequest("alice", body).WithContext(ctx))
	cancel()
	require.Equal(t, 200, w.Code, w.Body)
	require.Len(t, seen, 3)
	require.Equal(t, seen[0].GrantID, seen[2].GrantID)

	var got map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
	require.Equal(t, []string{"detected", "etag", "filename", "grant_id", "granted_at", "key",
		"metadata", "owner", "size", "type"}, slices.Sorted(maps.Keys(got)))
	require.Equal(t, finalKey(grant.Key), got["key"])
	require.Equal(t, map[string]any{"color": "red"}, got["metadata"])
	require.Equal(t, "alice", got["owner"])

	for body, status := range map[string]int{
		``: 400, `{}`: 400, `{"key": ""}`: 400, `{"key": null}`: 400, `{"key": 5}`: 400,
		`{"key": "a", "key": "b"}`: 400, `{"Key": "a"}`: 400, `{"key": "a", "id": "b"}`: 400,
		`{"key": "../a"}`: 404, `{"key": "published/a"}`: 404,
	} {
		requireProblem(t, do(completeRequest("alice", body)), status)
	}
	requireProblem(t, do(completeRequest("", body)), 401)
	r := completeRequest("alice", "key=a")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	requireProblem(t, do(r), 415)
	r = completeRequest("alice", body)
	r.Method = "GET"
	requireProblem(t, do(r), 405)
}

// TestHandlerCompletionFails checks that a rejected upload has status 422, that
// an unreachable store causes status 502, and that the hook is not called.
func TestHandlerCompletionFails(t *testing.T) {
	store := s3test.New()
	s := open(t, store, final(),
		presign.WithOnComplete(func(context.Context, *presign.Object) error {
			t.Error("the hook must not be called")
			return nil
		}))
	handler, err := presign.NewHandler(s.Signer, user)
	require.NoError(t, err)
	do := func(key string) *httptest.ResponseRecorder {
		w := serve(t, handler, completeRequest("alice", `{"key": "`+key+`"}`))
		return w
	}
	grant := s.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, false,
		[]byte("<html><script>alert(1)</script>"), nil)
	p := requireProblem(t, do(grant.Key), 422)
	require.Equal(t,
		`type must match the content, got "image/png" for a file that looks like text/html`,
		p.Message)
	require.Empty(t, s.keys())

	down := newClient(func(o *s3.Options) {
		*o = store.S3().Options()
		o.HTTPClient = httpClient(func(*http.Request) (*http.Response, error) {
			return nil, errors.New("connection refused by 10.0.0.1")
		})
		o.RetryMaxAttempts = 1
	})
	signer, err := presign.NewSigner(store.S3(), s3test.DefaultBucket, final(),
		presign.WithSecret(secret), presign.WithStore(down))
	require.NoError(t, err)
	handler, err = presign.NewHandler(signer, user)
	require.NoError(t, err)
	w := do("incoming/a.png")
	require.Equal(t, "30", w.Header().Get("Retry-After"))
	require.NotContains(t, w.Body.String(), "10.0.0.1")
	requireProblem(t, w, 502)
}

func sha256sum(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// TestCompleteSurvivesFaults checks that a second call of Complete succeeds
// after any request has failed, before or after the request took effect.
func TestCompleteSurvivesFaults(t *testing.T) {
	for _, fault := range []s3test.Fault{
		s3test.InternalError, s3test.SlowDown, s3test.AccessDenied, s3test.Cut, s3test.CutAfter,
	} {
		for failing := 0; ; failing++ {
			store := s3test.New()
			once := func(o *s3.Options) { o.RetryMaxAttempts = 1 }
			signer, err := presign.NewSigner(store.S3(), s3test.DefaultBucket, final(),
				presign.WithSecret(secret), presign.WithStore(store.S3(once)))
			require.NoError(t, err)
			s := shop{signer, store, new(bytes.Buffer)}
			grant := s.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, true, png, nil)

			hit := store.FailOnce(failing, fault)
			_, err = s.CompleteForAnyOwner(t.Context(), grant.Key)
			store.Fail(nil)
			failed := hit()
			if failed == "" {
				require.NoError(t, err)
				require.Equal(t, 5, failing, "a completion must make five requests")
				break
			}
			if err != nil {
				require.NotErrorIs(t, err, presign.ErrNotUploaded, "fault %d of %s", fault, failed)
				require.Nil(t, firstViolation(err), "fault %d of %s", fault, failed)
			}
			object, err := s.CompleteForAnyOwner(t.Context(), grant.Key)
			require.NoError(t, err, "after fault %d of %s, request %d", fault, failed, failing)
			stored, ok := store.Object(s3test.DefaultBucket, object.Key)
			require.True(t, ok)
			require.Equal(t, png, stored.Body)
			require.Equal(t, []string{finalKey(grant.Key)}, s.keys(), "after fault %d of %s",
				fault, failed)
		}
	}
}

// TestCollidingETag checks that a copy of active content is deleted even if the
// content has the ETag of the verified upload and every condition holds. A
// client can upload such content because MD5 collisions can be computed.
func TestCollidingETag(t *testing.T) {
	store := s3test.New(s3test.WithHistory(),
		s3test.WithQuirks(s3test.SizeETags, s3test.NoChecksums))
	s := open(t, store, final(),
		presign.WithOnComplete(func(context.Context, *presign.Object) error {
			t.Error("the hook must not be called")
			return nil
		}))
	grant := s.upload(t, presign.Upload{Filename: "a.png"}, true, png, nil)
	evil := append([]byte("<script>alert(1)</script>"), png[25:]...)
	store.Fail(func(operation string, _ *http.Request) s3test.Fault {
		if operation == "CopyObject" {
			s.send(t, grant, evil, nil)
		}
		return s3test.None
	})
	_, err := s.CompleteForAnyOwner(context.Background(), grant.Key)
	require.Contains(t, violations(t, err)[0], "type contradicts_content ")
	require.Empty(t, s.keys())
	copied := store.History().Visible("published/")
	require.Len(t, copied, 1)
	after := store.History().Requests.After(copied[0].MadeBy).
		Of("GetObject", "HeadObject", "DeleteObject")
	require.Equal(t, []string{"GetObject", "DeleteObject"},
		[]string{after[0].Operation, after[1].Operation},
		"the copy must be deleted after one read")
	require.Equal(t, copied[0].EndedBy, after[1].Number)
}

func firstViolation(err error) *presign.Violation {
	var v *presign.Violation
	errors.As(err, &v)
	return v
}

// TestStoreHangs checks that a completion at a hanging store ends after ten
// seconds, or earlier if the caller's context ends.
func TestStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := s3test.New()
		s := open(t, store, final())
		handler, err := presign.NewHandler(s.Signer, user)
		require.NoError(t, err)
		grant := s.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, true, png, nil)
		store.Fail(func(string, *http.Request) s3test.Fault { return s3test.Hang })
		for _, limit := range []time.Duration{time.Second, time.Hour} {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			started := time.Now()
			w := serve(t, handler,
				completeRequest("alice", `{"key": "`+grant.Key+`"}`).WithContext(ctx))
			require.Equal(t, min(limit, 10*time.Second), time.Since(started))
			requireProblem(t, w, 504)
		}
	})
}
