package presign_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/conformance"
	"github.com/s3presign/presign/internal/test/s3test"
)

// A scene is a service with two users. Alice has published a picture, uploaded
// another picture, and started a multipart upload. Bob has an unused grant of
// each kind.
type scene struct {
	uppy // acts as Alice
	bob  uppy

	published, uploaded presign.Grant // Alice's grants, which have leaked
	parts               started
	put, form           presign.Grant // Bob's grants
	bobs                started
}

func newScene(t *testing.T) *scene {
	u := newUppy(t, multipartPolicy())
	s := &scene{uppy: u, bob: u}
	s.bob.user = "bob"
	ask := func(u uppy, method string) presign.Grant {
		return decode[presign.Grant](t, u.ask("POST", "",
			fmt.Sprintf(`{"filename": "a.png", "size": %d, "method": %q}`, len(png), method)))
	}
	s.published, s.uploaded = ask(u, "POST"), ask(u, "PUT")
	s.send(t, &s.published, png, nil)
	u.get(t, "POST", "/complete", `{"key": "`+s.published.Key+`"}`, new(map[string]any))
	s.send(t, &s.uploaded, png, nil)
	s.parts = u.start(t, "a.png", nil)
	u.putPart(t, &presign.Grant{Method: "PUT", URL: u.sign(t, s.parts, 1)}, png)
	s.put, s.form = ask(s.bob, "PUT"), ask(s.bob, "POST")
	s.bobs = s.bob.start(t, "a.png", nil)
	return s
}

// try uploads evil with a grant for another file.
func (s *scene) try(t *testing.T, grant presign.Grant, cheat func(*conformance.Attempt)) string {
	t.Helper()
	attempt := conformance.New(&grant, "a.png", evil)
	if cheat != nil {
		cheat(attempt)
	}
	got, err := attempt.Send(s.store.HTTPClient())
	require.NoError(t, err)
	return got.String()
}

// statusOf sends a request and returns the status and the member at fault.
func (u uppy) statusOf(t *testing.T, method, path, body string) string {
	t.Helper()
	w := u.ask(method, path, body)
	if w.Code < 300 {
		return strconv.Itoa(w.Code)
	}
	p := requireProblem(t, w, w.Code)
	if len(p.Errors) == 0 {
		return strconv.Itoa(w.Code)
	}
	return fmt.Sprint(w.Code, " ", p.Errors[0].Field)
}

// completionStatus returns the status of the completion of a key.
func (u uppy) completionStatus(t *testing.T, key string) string {
	t.Helper()
	return u.statusOf(t, "POST", "/complete", `{"key": `+strconv.Quote(key)+`}`)
}

// evil is a page with a script. It has the size of png.
var evil = append([]byte("<script>alert(1)</script>"), png[25:]...)

// rekey returns a function that changes the key of an attempt.
func rekey(from, to string) func(*conformance.Attempt) {
	return func(a *conformance.Attempt) {
		a.URL = strings.Replace(a.URL, from, to, 1)
		if a.Fields != nil {
			a.Set("key", to)
		}
	}
}

// TestAttacks checks that Bob cannot change Alice's objects with his own grants
// or with Alice's leaked grants. Each case has the expected response.
func TestAttacks(t *testing.T) {
	const mismatch, denied = "403 SignatureDoesNotMatch", "403 AccessDenied"
	for _, a := range []struct {
		name    string
		attempt func(*testing.T, *scene) string
		want    string // the response of the store or the handler
	}{
		// Overwriting objects of another user.
		{"a PUT under the key of another user's upload", func(t *testing.T, s *scene) string {
			return s.try(t, s.put, rekey(s.put.Key, s.uploaded.Key))
		}, mismatch},
		{"a PUT under the key of another user's published object",
			func(t *testing.T, s *scene) string {
				return s.try(t, s.put, rekey(s.put.Key, finalKey(s.published.Key)))
			}, mismatch},
		{"a form under the key of another user's upload", func(t *testing.T, s *scene) string {
			return s.try(t, s.form, rekey(s.form.Key, s.uploaded.Key))
		}, denied},
		{"a form under the key of another user's published object",
			func(t *testing.T, s *scene) string {
				return s.try(t, s.form, rekey(s.form.Key, finalKey(s.published.Key)))
			}, denied},
		{"a form whose file has the name of another user's file",
			func(t *testing.T, s *scene) string {
				return s.try(t, s.form, func(a *conformance.Attempt) {
					a.Set("key", strings.TrimSuffix(s.uploaded.Key, "a.png")+"${filename}")
				})
			}, denied},
		{"a form with two keys", func(t *testing.T, s *scene) string {
			return s.try(t, s.form, func(a *conformance.Attempt) { a.Add("Key", s.uploaded.Key) })
		}, "400 InvalidArgument"},
		{"a form with a key behind the file", func(t *testing.T, s *scene) string {
			return s.try(t, s.form, func(a *conformance.Attempt) {
				a.Drop("key")
				a.Behind = append(a.Behind, conformance.Field{Name: "key", Value: s.uploaded.Key})
			})
		}, "400 InvalidArgument"},
		{"a form in another bucket", func(t *testing.T, s *scene) string {
			return s.try(t, s.form, func(a *conformance.Attempt) {
				a.URL = strings.Replace(a.URL, "/bucket", "/other", 1)
			})
		}, "404 NoSuchBucket"},
		{"a PUT with the fields of a form", func(t *testing.T, s *scene) string {
			return s.try(t, presign.Grant{
				Method: "PUT", URL: s.form.URL + "/" + s.uploaded.Key, Headers: s.form.Fields,
			}, nil)
		}, denied},
		{"a part of another user's upload", func(t *testing.T, s *scene) string {
			signed := s.bob.sign(t, s.bobs, 1)
			own, other := storeID(t, signed), storeID(t, s.sign(t, s.parts, 1))
			return s.try(t,
				presign.Grant{Method: "PUT", URL: strings.Replace(signed, own, other, 1)}, nil)
		}, mismatch},
		{"a part turned into another user's object", func(t *testing.T, s *scene) string {
			signed, _, _ := strings.Cut(s.bob.sign(t, s.bobs, 1), "&partNumber")
			return s.try(t, presign.Grant{
				Method: "PUT", URL: strings.Replace(signed, s.bobs.Key, s.uploaded.Key, 1),
			}, nil)
		}, "400 AuthorizationQueryParametersError"},
		{"a name that leads to another user's object", func(t *testing.T, s *scene) string {
			name := "../" + strings.TrimPrefix(s.uploaded.Key, "incoming/")
			return s.bob.statusOf(t, "POST", "", `{"filename": "`+name+`", "size": 10}`)
		}, "422 filename"},
		{"a request for another user's key", func(t *testing.T, s *scene) string {
			return s.bob.statusOf(t, "POST", "",
				`{"filename": "a.png", "size": 10, "key": "`+s.uploaded.Key+`"}`)
		}, "400 key"},
		{"a grant for a key that the service gives to all users",
			func(t *testing.T, s *scene) string {
				grant, err := s.Put(t.Context(),
					presign.Upload{Key: s.uploaded.Key, Size: int64(len(evil)), Owner: "bob"})
				require.NoError(t, err)
				return s.try(t, *grant, nil)
			}, "412 PreconditionFailed"},
		{"a multipart upload under a key that the service gives to all users",
			func(t *testing.T, s *scene) string {
				m, err := s.StartMultipart(t.Context(),
					presign.Upload{Key: s.uploaded.Key, Owner: "bob"})
				require.NoError(t, err)
				defer m.Abort(t.Context())
				s.putAll(t, m, evil)
				_, err = m.Complete(t.Context(), nil)
				return violations(t, err)[0]
			}, "key taken must not be taken by another object, which this upload may not replace"},

		// Completing, signing and aborting uploads of another user.
		{"completing another user's upload", func(t *testing.T, s *scene) string {
			return s.bob.completionStatus(t, s.uploaded.Key)
		}, "404"},
		{"completing another user's published object", func(t *testing.T, s *scene) string {
			return s.bob.completionStatus(t, s.published.Key)
		}, "404"},
		{"completing by the published key", func(t *testing.T, s *scene) string {
			return s.completionStatus(t, finalKey(s.published.Key))
		}, "404"},
		{"completing another user's multipart upload", func(t *testing.T, s *scene) string {
			return s.bob.statusOf(t, "POST", s.path(s.parts, "/complete", ""), `{"parts": []}`)
		}, "404"},
		{"aborting another user's multipart upload", func(t *testing.T, s *scene) string {
			return s.bob.statusOf(t, "DELETE", s.path(s.parts, "", ""), "")
		}, "404"},
		{"signing another user's part", func(t *testing.T, s *scene) string {
			return s.bob.statusOf(t, "GET", s.path(s.parts, "/1", ""), "")
		}, "404"},
		{"signing another user's part under one's own key", func(t *testing.T, s *scene) string {
			return s.bob.statusOf(t, "GET",
				s.path(started{UploadID: s.parts.UploadID, Key: s.bobs.Key}, "/1", ""), "")
		}, "404"},
		{"signing one's own part under another user's key", func(t *testing.T, s *scene) string {
			return s.bob.statusOf(t, "GET",
				s.path(started{UploadID: s.bobs.UploadID, Key: s.parts.Key}, "/1", ""), "")
		}, "404"},
		{"listing parts by the store's own ID", func(t *testing.T, s *scene) string {
			upload := started{UploadID: storeID(t, s.bob.sign(t, s.bobs, 1)), Key: s.bobs.Key}
			return s.bob.statusOf(t, "GET", s.path(upload, "", ""), "")
		}, "404"},

		// Replays.
		{"a leaked PUT before completion", func(t *testing.T, s *scene) string {
			return s.try(t, s.uploaded, nil)
		}, "412 PreconditionFailed"},
		{"a leaked form before completion, with a script for a picture",
			func(t *testing.T, s *scene) string {
				s.try(t, s.form, nil)
				return s.bob.completionStatus(t, s.form.Key)
			}, "422 type"},
		{"a leaked form after completion", func(t *testing.T, s *scene) string {
			return s.try(t, s.published, nil) + ", then " + s.completionStatus(t, s.published.Key)
		}, "204, then 200"}, // The published object does not change.
		{"a leaked PUT after completion", func(t *testing.T, s *scene) string {
			grant := decode[presign.Grant](t, s.ask("POST", "",
				fmt.Sprintf(`{"filename": "a.png", "size": %d}`, len(png))))
			s.send(t, &grant, png, nil)
			s.completionStatus(t, grant.Key)
			got := s.try(t, grant, nil) + ", then " + s.completionStatus(t, grant.Key)
			stored, _ := s.store.Object(s3test.DefaultBucket, finalKey(grant.Key))
			require.Equal(t, png, stored.Body)
			require.NoError(t, deleteObject(s.store, finalKey(grant.Key)))
			return got
		}, "200, then 200"},
		{"a leaked part after completion", func(t *testing.T, s *scene) string {
			signed := s.bob.sign(t, s.bobs, 1)
			etag := s.putPart(t, &presign.Grant{Method: "PUT", URL: signed}, png)
			s.bob.get(t, "POST", s.path(s.bobs, "/complete", ""), s.completion([]string{etag}),
				new(completed))
			require.NoError(t, deleteObject(s.store, finalKey(s.bobs.Key)))
			return s.try(t, presign.Grant{Method: "PUT", URL: signed}, nil)
		}, "404 NoSuchUpload"},
		{"a leaked part after an abort", func(t *testing.T, s *scene) string {
			signed := s.bob.sign(t, s.bobs, 1)
			s.bob.get(t, "DELETE", s.path(s.bobs, "", ""), "", new(struct{}))
			return s.try(t, presign.Grant{Method: "PUT", URL: signed}, nil)
		}, "404 NoSuchUpload"},

		// Reading.
		{"a PUT that reads another user's object", func(t *testing.T, s *scene) string {
			return s.try(t, s.put, func(a *conformance.Attempt) {
				a.Header.Set("x-amz-copy-source", "bucket/"+finalKey(s.published.Key))
			})
		}, denied},
		{"a PUT that reads another user's object, in its query",
			func(t *testing.T, s *scene) string {
				return s.try(t, s.put, func(a *conformance.Attempt) {
					a.URL += "&x-amz-copy-source=" +
						url.QueryEscape("bucket/"+finalKey(s.published.Key))
				})
			}, mismatch},
		{"a form that reads another user's object", func(t *testing.T, s *scene) string {
			return s.try(t, s.form, func(a *conformance.Attempt) {
				a.Add("x-amz-copy-source", "bucket/"+finalKey(s.published.Key))
			})
		}, denied},
		{"a part that reads another user's object", func(t *testing.T, s *scene) string {
			grant := presign.Grant{Method: "PUT", URL: s.bob.sign(t, s.bobs, 1)}
			return s.try(t, grant, func(a *conformance.Attempt) {
				a.Body = nil
				a.Header.Set("x-amz-copy-source", "bucket/"+finalKey(s.published.Key))
			})
		}, denied},
		{"a PUT turned into a GET of another user's object", func(t *testing.T, s *scene) string {
			return s.try(t, s.put, func(a *conformance.Attempt) {
				a.Method, a.Body = "GET", nil
				rekey(s.put.Key, finalKey(s.published.Key))(a)
			})
		}, mismatch},
		{"a PUT turned into a list of the bucket", func(t *testing.T, s *scene) string {
			return s.try(t, s.put, func(a *conformance.Attempt) {
				a.Method, a.Body = "GET", nil
				a.URL = strings.Replace(a.URL, "/"+s.put.Key+"?", "?list-type=2&", 1)
			})
		}, mismatch},
		{"a PUT turned into a deletion of its object", func(t *testing.T, s *scene) string {
			return s.try(t, s.uploaded, func(a *conformance.Attempt) {
				a.Method, a.Body = "DELETE", nil
			})
		}, mismatch},
		{"a method that a header overrides", func(t *testing.T, s *scene) string {
			return s.try(t, s.uploaded, func(a *conformance.Attempt) {
				a.Header.Set("X-HTTP-Method-Override", "DELETE")
			})
		}, "412 PreconditionFailed"},
		{"a part turned into an abort", func(t *testing.T, s *scene) string {
			signed, err := url.Parse(s.sign(t, s.parts, 1))
			require.NoError(t, err)
			return s.try(t, presign.Grant{Method: "DELETE", URL: signed.String()},
				func(a *conformance.Attempt) { a.Body = nil })
		}, mismatch},
		{"an access list for the uploaded object", func(t *testing.T, s *scene) string {
			return s.try(t, s.uploaded, func(a *conformance.Attempt) {
				a.URL += "&acl"
			})
		}, mismatch},
		{"a checksum that is not signed", func(t *testing.T, s *scene) string {
			return s.try(t, s.put, func(a *conformance.Attempt) {
				a.Header.Set("x-amz-checksum-sha256", sha256sum(evil))
			})
		}, denied},

		// Using another object or ID in place of an upload.
		{"a stamp on another key", func(t *testing.T, s *scene) string {
			s.forge(t, "incoming/forged/a.png", s.put.Headers["x-amz-meta-presign"])
			return s.bob.completionStatus(t, "incoming/forged/a.png")
		}, "404"},
		{"the ID of a multipart upload for a stamp", func(t *testing.T, s *scene) string {
			s.forge(t, s.bobs.Key, s.bobs.UploadID)
			return s.bob.completionStatus(t, s.bobs.Key)
		}, "404"},
		{"the stamp of a published object on an upload", func(t *testing.T, s *scene) string {
			stored, _ := s.store.Object(s3test.DefaultBucket, finalKey(s.published.Key))
			s.forge(t, "incoming/forged/a.png", stored.Metadata["presign"])
			return s.completionStatus(t, "incoming/forged/a.png")
		}, "404"},
		{"a stamp for the ID of a multipart upload", func(t *testing.T, s *scene) string {
			upload := started{UploadID: s.put.Headers["x-amz-meta-presign"], Key: s.put.Key}
			return s.bob.statusOf(t, "GET", s.path(upload, "", ""), "")
		}, "404"},
		{"an object without a stamp", func(t *testing.T, s *scene) string {
			s.forge(t, "incoming/forged/a.png", "")
			return s.completionStatus(t, "incoming/forged/a.png")
		}, "404"},
		{"the stamp of a small file on a large one", func(t *testing.T, s *scene) string {
			s.place(t, s.put.Key, append(bytes.Clone(png), 0), s.put.Headers["x-amz-meta-presign"])
			return s.bob.completionStatus(t, s.put.Key)
		}, "422 size"},
		{"a script for a picture", func(t *testing.T, s *scene) string {
			return s.try(t, s.put, nil) + ", then " + s.bob.completionStatus(t, s.put.Key)
		}, "200, then 422 type"},
		{"a picture with a Content-Encoding", func(t *testing.T, s *scene) string {
			s.send(t, &s.put, png, func(a *conformance.Attempt) {
				a.Header.Set("Content-Encoding", "gzip")
			})
			return s.bob.completionStatus(t, s.put.Key)
		}, "422 content-encoding"},

		// Time, and other Signers.
		{"a PUT too late", func(t *testing.T, s *scene) string {
			time.Sleep(15 * time.Minute)
			return s.try(t, s.put, nil)
		}, denied},
		{"a form too late", func(t *testing.T, s *scene) string {
			time.Sleep(15 * time.Minute)
			return s.try(t, s.form, nil)
		}, denied},
		{"a part too late", func(t *testing.T, s *scene) string {
			grant := presign.Grant{Method: "PUT", URL: s.bob.sign(t, s.bobs, 1)}
			time.Sleep(15 * time.Minute)
			return s.try(t, grant, nil)
		}, denied},
		{"a PUT with a later date", func(t *testing.T, s *scene) string {
			time.Sleep(15 * time.Minute)
			return s.try(t, s.put, func(a *conformance.Attempt) {
				a.URL = strings.Replace(a.URL, "X-Amz-Date=20000101T0000",
					"X-Amz-Date=20000101T0015", 1)
			})
		}, mismatch},
		{"a completion too late", func(t *testing.T, s *scene) string {
			s.send(t, &s.put, png, nil)
			time.Sleep(15*time.Minute + 24*time.Hour + time.Second)
			got := s.bob.completionStatus(t, s.put.Key)
			require.NoError(t, deleteObject(s.store, s.put.Key))
			return got
		}, "410"},
		{"a part of an ID that has expired", func(t *testing.T, s *scene) string {
			time.Sleep(7*24*time.Hour + time.Second)
			return s.bob.statusOf(t, "GET", s.path(s.bobs, "/1", ""), "")
		}, "410"},
		{"a stamp of another secret", func(t *testing.T, s *scene) string {
			other := open(t, s.store, multipartPolicy(),
				presign.WithSecret(bytes.Repeat([]byte("another secret, "), 2)))
			return s.completeElsewhere(t, other)
		}, "404, 404"},
		{"a stamp of another policy", func(t *testing.T, s *scene) string {
			policy := multipartPolicy()
			policy.FinalPrefix = "elsewhere/"
			return s.completeElsewhere(t, open(t, s.store, policy))
		}, "404, 404"},
		{"a stamp of another endpoint", func(t *testing.T, s *scene) string {
			return s.completeElsewhere(t, open(t, s.store, multipartPolicy(),
				presign.WithPublicEndpoint("https://s3.evil.example")))
		}, "404, 404"},
		{"a stamp of another bucket", func(t *testing.T, s *scene) string {
			store := s3test.New(s3test.WithBuckets(s3test.DefaultBucket, "other"))
			store.AddCredentials(session)
			signer, err := presign.NewSigner(store.S3(inSession), "other", multipartPolicy(),
				presign.WithSecret(secret), presign.WithStore(store.S3()))
			require.NoError(t, err)
			return s.completeElsewhere(t, shop{signer, s.store, new(bytes.Buffer)})
		}, "404, 404"},
	} {
		t.Run(a.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t)
				require.Equal(t, a.want, a.attempt(t, s))
				for _, key := range []string{finalKey(s.published.Key), s.uploaded.Key} {
					stored, ok := s.store.Object(s3test.DefaultBucket, key)
					require.True(t, ok)
					require.Equal(t, png, stored.Body)
				}
				require.Contains(t, s.uploads(t), s.parts.Key)
				for _, key := range s.keys() {
					require.Contains(t, []string{finalKey(s.published.Key), s.uploaded.Key,
						s.put.Key, s.form.Key, "incoming/forged/a.png", s.bobs.Key}, key)
				}
			})
		})
	}
}

// storeID returns the store's upload ID in a signed URL.
func storeID(t *testing.T, signed string) string {
	t.Helper()
	u, err := url.Parse(signed)
	require.NoError(t, err)
	return u.Query().Get("uploadId")
}

// forge stores a picture without a grant, with a stamp unless it is empty.
func (s *scene) forge(t *testing.T, key, stamp string) { s.place(t, key, png, stamp) }

// place stores an object without a grant, with a stamp unless it is empty.
func (s *scene) place(t *testing.T, key string, body []byte, stamp string) {
	t.Helper()
	s.shop.put(t, key, string(body), func(input *s3.PutObjectInput) {
		input.ContentType, input.CacheControl = aws.String("image/png"), aws.String("no-store")
		if stamp != "" {
			input.Metadata = map[string]string{"presign": stamp}
		}
	})
}

// completeElsewhere completes Bob's upload and signs a part at another Signer.
// It returns both statuses.
func (s *scene) completeElsewhere(t *testing.T, other shop) string {
	s.send(t, &s.put, png, nil)
	u := mount(t, other)
	u.user = "bob"
	completion := u.completionStatus(t, s.put.Key)
	return completion + ", " + u.statusOf(t, "GET", s.path(s.bobs, "/1", ""), "")
}

// TestPrefixSiblings checks that a grant for acc_1 cannot be used for acc_12.
func TestPrefixSiblings(t *testing.T) {
	const mismatch, denied = "403 SignatureDoesNotMatch", "403 AccessDenied"
	tenant := func(t *testing.T, store *s3test.Server, name string) *scene {
		policy := final()
		policy.Prefix = name + "/"
		policy.FinalPrefix = ""
		s := open(t, store, policy)
		type signFunc = func(context.Context, presign.Upload) (*presign.Grant, error)
		grant := func(sign signFunc) presign.Grant {
			grant, err := sign(t.Context(),
				presign.Upload{Filename: "a.png", Size: int64(len(png)), Owner: "alice"})
			require.NoError(t, err)
			return *grant
		}
		return &scene{uppy: mount(t, s), put: grant(s.Put), form: grant(s.Post)}
	}
	for _, a := range []struct {
		name    string
		attempt func(t *testing.T, one, twelve *scene) string
		want    string
	}{
		{"a PUT to the sibling", func(t *testing.T, one, _ *scene) string {
			return one.try(t, one.put, rekey(one.put.Key, "acc_12/a.png"))
		}, mismatch},
		{"a form to the sibling", func(t *testing.T, one, _ *scene) string {
			return one.try(t, one.form, rekey(one.form.Key, "acc_12/a.png"))
		}, denied},
		{"a form to the sibling's name", func(t *testing.T, one, _ *scene) string {
			return one.try(t, one.form,
				rekey(one.form.Key, strings.Replace(one.form.Key, "acc_1/", "acc_12/", 1)))
		}, denied},
		{"a form to a name of its own", func(t *testing.T, one, _ *scene) string {
			return one.try(t, one.form, rekey(one.form.Key, "acc_1/${filename}"))
		}, denied},
		{"a form to the prefix itself", func(t *testing.T, one, _ *scene) string {
			return one.try(t, one.form, rekey(one.form.Key, "acc_1/"))
		}, denied},
		{"a form to the prefix without its slash", func(t *testing.T, one, _ *scene) string {
			return one.try(t, one.form, rekey(one.form.Key, "acc_1"))
		}, denied},
		{"a key of the sibling, by the service's mistake",
			func(t *testing.T, one, _ *scene) string {
				_, err := one.Put(t.Context(), presign.Upload{Key: "acc_12/a.png", Size: 10})
				return violations(t, err)[0]
			}, `key not_allowed must start with "acc_1/", got "acc_12/a.png"`},
		{"the sibling by a path", func(t *testing.T, one, _ *scene) string {
			_, err := one.Put(t.Context(), presign.Upload{Key: "acc_1/../acc_12/a.png", Size: 10})
			return violations(t, err)[0]
		}, `key invalid must not contain the segment "..", got "acc_1/../acc_12/a.png"`},
		{"a name that S3 fills in, in the prefix", func(t *testing.T, one, _ *scene) string {
			_, err := one.Post(t.Context(),
				presign.Upload{Key: "acc_1/${filename}/", Filename: "a.png"})
			return violations(t, err)[0]
		}, "key invalid must not contain a dollar sign, which forms cannot hold, " +
			`got "acc_1/${filename}/"`},
		{"completing the sibling's upload", func(t *testing.T, one, twelve *scene) string {
			twelve.send(t, &twelve.put, png, nil)
			return one.completionStatus(t, twelve.put.Key)
		}, "404"},
		{"the sibling's stamp", func(t *testing.T, one, twelve *scene) string {
			one.forge(t, one.put.Key, twelve.put.Headers["x-amz-meta-presign"])
			return one.completionStatus(t, one.put.Key)
		}, "404"},
		{"the sibling's parts", func(t *testing.T, one, twelve *scene) string {
			return one.statusOf(t, "GET", one.path(twelve.start(t, "a.png", nil), "/1", ""), "")
		}, "404"},
	} {
		t.Run(a.name, func(t *testing.T) {
			store := s3test.New()
			one, twelve := tenant(t, store, "acc_1"), tenant(t, store, "acc_12")
			require.Equal(t, a.want, a.attempt(t, one, twelve))
			for _, key := range one.keys() {
				require.Contains(t, []string{one.put.Key, twelve.put.Key}, key)
			}
		})
	}
	_, err := presign.NewSigner(newClient(), "bucket",
		with(func(p *presign.Policy) { p.Prefix = "acc_1" }))
	require.ErrorContains(t, searchError(t, err), `Policy.Prefix must end in "/", got "acc_1"`)
}

// TestInjection checks that each hostile string is either rejected or changes
// only its own field, and that the store then accepts the upload unchanged.
func TestInjection(t *testing.T) {
	fields := map[string]func(*presign.Upload, string){
		"filename": func(u *presign.Upload, s string) { u.Filename = s + ".png" },
		"type":     func(u *presign.Upload, s string) { u.Type = "image/png" + s },
		"checksum": func(u *presign.Upload, s string) { u.Checksum += s },
		"metadata": func(u *presign.Upload, s string) {
			u.Metadata = map[string]string{"color": "red" + s}
		},
		"metadata name": func(u *presign.Upload, s string) {
			u.Metadata = map[string]string{"color" + s: "red"}
		},
		"owner":    func(u *presign.Upload, s string) { u.Owner = s },
		"prefix":   func(u *presign.Upload, s string) { u.Key = "incoming/" + s + "/" },
		"key":      func(u *presign.Upload, s string) { u.Key = "incoming/" + s },
		"redirect": func(u *presign.Upload, s string) { u.Redirect = "https://a.example/" + s },
	}
	policy := final()
	policy.Checksum, policy.Replace = types.ChecksumAlgorithmCrc32c, true
	s := open(t, s3test.New(), policy)
	shape := func(t *testing.T, grant *presign.Grant) (names []string) {
		texts := slices.AppendSeq([]string{grant.URL}, maps.Values(grant.Headers))
		for _, text := range slices.AppendSeq(texts, maps.Values(grant.Fields)) {
			require.False(t, strings.ContainsFunc(text, unicode.IsControl), "%q", text)
		}
		if grant.Method == "PUT" {
			require.Subset(t, signedHeaders(t, grant),
				toLower(slices.Collect(maps.Keys(grant.Headers))))
			require.Equal(t, []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date",
				"X-Amz-Expires", "X-Amz-Security-Token", "X-Amz-Signature", "X-Amz-SignedHeaders"},
				slices.Sorted(maps.Keys(query(t, grant))))
			return signedHeaders(t, grant)
		}
		exact, _, _ := conditions(t, grant)
		for name, value := range exact {
			require.NotContains(t, value, "$")
			if name != "bucket" {
				require.Equal(t, grant.Fields[name], value)
			}
		}
		return slices.Sorted(maps.Keys(exact))
	}
	sign := func(form bool, change func(*presign.Upload)) (*presign.Grant, error) {
		u := presign.Upload{
			Filename: "a.png", Size: int64(len(png)), Checksum: crc(png), Owner: "alice",
			Metadata: map[string]string{"color": "red"},
		}
		change(&u)
		if form {
			return s.Post(t.Context(), u)
		}
		return s.Put(t.Context(), u)
	}
	rejected, granted := 0, 0
	for field, set := range fields {
		for _, payload := range []string{
			`"},{"acl":"public-read`, `"],["starts-with","$key","`, `"}]}`, `\`,
			`\"`, `\u0022},{"acl":"public-read"`, `','acl':'public-read`, "</script><script>",
			"]]>", "<!--",
			"${filename}", "$key", "$$", "$", "%24{filename}", "%0d%0ax-amz-acl:%20public-read",
			"\r\nx-amz-acl: public-read", "\nx-amz-acl: public-read", "\rx-amz-acl: public-read",
			"\r\n\r\n<html>", "\x00", "\x0b", "\x1f", "\x7f", "\u0085x-amz-acl: public-read",
			"\u2028x-amz-acl: public-read", "\u2029", "嘊嘍x-amz-acl: public-read",
			"; filename=evil.html", `"; filename="evil.html`, "''evil", ",text/html", ";text/html",
			", x", ":", "=", "?acl", "#", "&X-Amz-Expires=604800", "&amp;", "%", "%zz", "%2e%2e%2f",
			"../", "..", "/", "\\", "~", "*", "\xff", "\xc0\xaf", "\xed\xa0\x80", "\u202e",
			"\u2066", "\ufeff", "\u200b", "\U000e0001", "AAAA", " ", "  a  b", "\t",
			strings.Repeat("a", 300), strings.Repeat("\"", 300),
		} {
			for _, form := range []bool{false, true} {
				about := fmt.Sprintf("%s: %.50q, form %v", field, payload, form)
				plain, err := sign(form, func(u *presign.Upload) {
					if field == "redirect" && form {
						set(u, "")
					}
				})
				require.NoError(t, err)
				grant, err := sign(form, func(u *presign.Upload) { set(u, payload) })
				if err != nil {
					require.NotEmpty(t, presign.Violations(searchError(t, err)), about)
					rejected++
					continue
				}
				granted++
				require.Equal(t, shape(t, plain), shape(t, grant), about)
				require.True(t, strings.HasPrefix(grant.Key, "incoming/"), about)
				got, err := conformance.New(grant, "a.png", png).Send(s.store.HTTPClient())
				require.NoError(t, err, about)
				require.True(t, got.Accepted(), "%s: %v", about, got)
				stored, ok := s.store.Object(s3test.DefaultBucket, grant.Key)
				require.True(t, ok, about)
				require.Equal(t, "image/png", stored.Header.Get("Content-Type"), about)
				require.True(t, strings.HasPrefix(stored.Header.Get("Content-Disposition"),
					"attachment; filename*=UTF-8''"), about)
				require.Len(t, stored.Metadata, 2, about)
				object, err := s.CompleteForAnyOwner(t.Context(), grant.Key)
				require.NoError(t, err, about)
				require.Equal(t, finalKey(grant.Key), object.Key, about)
				require.NoError(t, deleteObject(s.store, object.Key))
			}
		}
	}
	require.Empty(t, s.keys())
	t.Logf("%d rejected, %d granted and uploaded", rejected, granted)
	require.Greater(t, rejected, 300)
	require.Greater(t, granted, 300)
}

// toLower returns names in lower case.
func toLower(names []string) []string {
	for i, name := range names {
		names[i] = strings.ToLower(name)
	}
	return names
}

// TestNormalForms checks that composed and decomposed names are different
// names, each stored unchanged.
func TestNormalForms(t *testing.T) {
	s := open(t, s3test.New(), final())
	const composed, decomposed = "caf\u00e9.png", "cafe\u0301.png"
	for _, name := range []string{composed, decomposed} {
		grant := s.upload(t, presign.Upload{Key: "incoming/" + name}, false, png, nil)
		require.Equal(t, "incoming/"+name, grant.Key)
	}
	require.Len(t, s.keys(), 2)
	require.NoError(t, deleteObject(s.store, "incoming/"+composed))
	_, err := s.CompleteForAnyOwner(t.Context(), "incoming/"+composed)
	require.ErrorIs(t, err, presign.ErrNotUploaded)
	object, err := s.CompleteForAnyOwner(t.Context(), "incoming/"+decomposed)
	require.NoError(t, err)
	require.Equal(t, decomposed, object.Filename)
	stored, _ := s.store.Object(s3test.DefaultBucket, object.Key)
	require.Equal(t, "attachment; filename*=UTF-8''cafe%CC%81.png",
		stored.Header.Get("Content-Disposition"))
}

// TestMD5Collision checks that WithOnComplete receives only a verified file,
// even if a client replaces the file between its verification and its copy.
// Both files have the same size and ETag, so the condition of the copy holds.
func TestMD5Collision(t *testing.T) {
	one, two := s3test.Collision("")
	require.NotEqual(t, one, two)
	for _, quirks := range [][]s3test.Quirk{nil, {s3test.NoChecksums}} {
		store := s3test.New(s3test.WithHistory(), s3test.WithQuirks(quirks...))
		policy := final()
		policy.Types = []string{"application/octet-stream"}
		var completed [][]byte
		s := open(t, store, policy,
			presign.WithOnComplete(func(_ context.Context, o *presign.Object) error {
				stored, _ := store.Object(s3test.DefaultBucket, o.Key)
				completed = append(completed, stored.Body)
				return nil
			}))
		grant := s.upload(t, presign.Upload{Filename: "a"}, true, one, nil)
		swapped := false
		store.Fail(func(operation string, _ *http.Request) s3test.Fault {
			if operation == "CopyObject" && !swapped {
				swapped = true
				s.send(t, grant, two, nil)
			}
			return s3test.None
		})
		object, err := s.CompleteForAnyOwner(t.Context(), grant.Key)
		require.NoError(t, err, "the second attempt must verify the other file")
		copies := store.History().Visible("published/")
		require.Len(t, copies, 2)
		require.Equal(t, [][]byte{two, two}, [][]byte{copies[0].Body, copies[1].Body})
		require.Equal(t, "DeleteObject", store.History().Requests[copies[0].EndedBy-1].Operation,
			"the unverified copy must be deleted")
		require.Equal(t, [][]byte{two}, completed)

		// The first file does not replace the published file.
		s.send(t, grant, one, nil)
		_, err = s.CompleteForAnyOwner(t.Context(), grant.Key)
		require.NoError(t, err)
		stored, _ := store.Object(s3test.DefaultBucket, object.Key)
		require.Equal(t, two, stored.Body)
		require.Equal(t, []string{object.Key}, s.keys())
		require.Len(t, store.History().Visible("published/"), 2)
	}
}

// FuzzComplete checks that an object that was stored without a grant completes
// only if it has the original stamp and matches the granted upload.
func FuzzComplete(f *testing.F) {
	ctx := context.Background()
	s := open(f, s3test.New(), direct())
	grant, err := s.Put(ctx, presign.Upload{
		Filename: "a.png", Size: int64(len(png)), Metadata: map[string]string{"color": "red"},
	})
	require.NoError(f, err)
	stamp := grant.Headers["x-amz-meta-presign"]
	m, err := s.StartMultipart(ctx,
		presign.Upload{Owner: "alice", Key: grant.Key, Filename: "a.png", Size: int64(len(png))})
	require.NoError(f, err)
	disposition := grant.Headers["Content-Disposition"]
	f.Add(stamp, "image/png", "no-store", disposition, "", "color", "red", png)
	f.Add(stamp, "image/png", "", "", "", "color", "red", png)
	f.Add(stamp, "image/png", "no-store", disposition, "gzip", "colour", "red", png)
	f.Add(stamp, "text/html", "public", "inline", "", "", "", []byte("<html>"))
	f.Add(m.ID, "image/png", "no-store", disposition, "", "color", "red", png)
	f.Add(stamp[:len(stamp)-1]+"A", "image/png;a=b", "no-store", disposition, "",
		"color", "red", png)
	f.Fuzz(func(
		t *testing.T, stamped, mediaType, cacheControl, disposition, encoding, name, value string,
		body []byte,
	) {
		input := &s3.PutObjectInput{
			Bucket: aws.String(s3test.DefaultBucket), Key: &grant.Key, Body: bytes.NewReader(body),
			Metadata:    map[string]string{"presign": stamped},
			ContentType: &mediaType, CacheControl: &cacheControl, ContentDisposition: &disposition,
			ContentEncoding: &encoding,
		}
		if name != "" && !strings.EqualFold(name, "presign") {
			input.Metadata[name] = value
		}
		if _, err := s.store.S3().PutObject(ctx, input); err != nil {
			return // An HTTP request cannot contain these headers.
		}
		object, err := s.CompleteForAnyOwner(ctx, grant.Key)
		if err != nil {
			_ = searchError(t, err)
			if strings.TrimSpace(stamped) != stamp {
				require.Contains(t, []string{
					"presign: not uploaded: no object with a grant of this owner has this key",
					"presign: not uploaded: the object has a stamp that does not open",
				}, err.Error())
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
		require.Contains(t, []string{"", grant.Headers["Content-Disposition"]},
			strings.TrimSpace(disposition))
		require.Empty(t, strings.TrimSpace(encoding))
	})
}

// FuzzWireForms checks that the JSON documents of this package decode to the
// encoded values with encoding/json.
func FuzzWireForms(f *testing.F) {
	f.Add("PUT", "https://a.example/?a=b&c", "Content-Type", "a/b", "uploads/日本.png", "size",
		"is 5", 422, int64(10))
	f.Add("\"}", "\u2028</script>", "", "\xff", "\\", "{", "\x00", 0, int64(-1))
	f.Fuzz(func(
		t *testing.T, method, address, name, value, key, field, detail string, status int,
		size int64,
	) {
		for _, s := range []*string{&method, &address, &name, &value, &key, &field, &detail} {
			*s = strings.ToValidUTF8(*s, "?")
		}
		expires := time.Unix(size&0xffffffff, 0).UTC()
		grant := presign.Grant{
			Method: method, URL: address, Headers: map[string]string{name: value},
			Fields: map[string]string{value: name}, Key: key, Expires: expires, GrantID: field,
			ExpiresIn: status,
		}
		object := presign.Object{Key: key, Filename: name, Type: value, Detected: method,
			Size: size, ETag: field, VersionID: detail, Checksum: address,
			Metadata: map[string]string{field: detail}, Owner: method, GrantID: value,
			Granted: expires}
		roundTrip(t, grant)
		roundTrip(t, object)
		violation := presign.Violation{Field: field, Code: name, Detail: detail, Min: size,
			Max: int64(status), Allowed: []string{value, key}}
		roundTrip(t, violation)

		text, err := json.Marshal(presign.Problem{Type: address, Title: name, Status: status,
			Detail: detail, Errors: []presign.Violation{violation}})
		require.NoError(t, err)
		var p problem
		require.NoError(t, json.Unmarshal(text, &p))
		require.Equal(t, status, p.Status)
		require.Equal(t, detail, p.Detail)
		require.Equal(t, []presign.Violation{violation}, p.Errors)
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

// roundTrip checks that the JSON of a value decodes to the value and has no
// unknown members.
func roundTrip[T any](t *testing.T, v T) {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	var again T
	require.NoError(t, json.Unmarshal(text, &again))
	require.Equal(t, v, again)
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&again))
}

// TestUnsignedHeaders checks that S3 rejects a PUT with unsigned headers that
// change how S3 reads or stores the file.
func TestUnsignedHeaders(t *testing.T) {
	const mismatch, denied = "403 SignatureDoesNotMatch", "403 AccessDenied"
	key := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, a := range []struct {
		name, want string
		header     http.Header
	}{
		{"a streaming body with a trailer", denied, http.Header{
			"X-Amz-Content-Sha256":         {"STREAMING-UNSIGNED-PAYLOAD-TRAILER"},
			"X-Amz-Trailer":                {"x-amz-checksum-crc32"},
			"X-Amz-Decoded-Content-Length": {"1"}, "Content-Encoding": {"aws-chunked"},
		}},
		{"a signed streaming body", denied,
			http.Header{"X-Amz-Content-Sha256": {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}}},
		{"a key of the client", denied, http.Header{
			"X-Amz-Server-Side-Encryption-Customer-Algorithm": {"AES256"},
			"X-Amz-Server-Side-Encryption-Customer-Key":       {key},
			"X-Amz-Server-Side-Encryption-Customer-Key-Md5":   {"cLwUTw8zXlkJYGxjd3gHAQ=="},
		}},
		{"a lock of the object", denied, http.Header{
			"X-Amz-Object-Lock-Mode":              {"COMPLIANCE"},
			"X-Amz-Object-Lock-Retain-Until-Date": {"2099-01-01T00:00:00Z"},
		}},
		{"a legal hold", denied, http.Header{"X-Amz-Object-Lock-Legal-Hold": {"ON"}}},
		{"a second type in front", mismatch,
			http.Header{"Content-Type": {"text/html", "image/png"}}},
		{"a second stamp in front", mismatch, http.Header{"X-Amz-Meta-Presign": {"A", "B"}}},
	} {
		t.Run(a.name, func(t *testing.T) {
			s := newScene(t)
			require.Equal(t, a.want, s.try(t, s.put, func(attempt *conformance.Attempt) {
				maps.Copy(attempt.Header, a.header)
			}))
			_, stored := s.store.Object(s3test.DefaultBucket, s.put.Key)
			require.False(t, stored)
		})
	}
}
