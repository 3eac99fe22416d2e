package presign_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/stamp"
	"github.com/s3presign/presign/internal/test/s3test"
)

// rewrite replaces a published file, as a service that re-encodes files does.
func (s shop) rewrite(t *testing.T, key string, body []byte, keepsMetadata bool) {
	t.Helper()
	stored, ok := s.store.Object(s3test.DefaultBucket, key)
	require.True(t, ok)
	s.put(t, key, string(body), func(input *s3.PutObjectInput) {
		input.ContentType = aws.String("image/png")
		if keepsMetadata {
			input.Metadata = stored.Metadata
		}
	})
}

// requireLast checks that the last state of a key has the body, that it was
// never replaced or deleted, and that no earlier state has the same body.
func requireLast(t *testing.T, store *s3test.Server, key string, body []byte) {
	t.Helper()
	states := store.History().Visible(key)
	require.NotEmpty(t, states)
	last := states[len(states)-1]
	require.Equal(t, body, last.Body)
	require.Zero(t, last.EndedBy, "%v", store.History().Requests)
	first := slices.IndexFunc(states, func(s s3test.State) bool {
		return bytes.Equal(s.Body, body)
	})
	require.Equal(t, len(states)-1, first, "%s must have this body only once", key)
}

// TestRewrittenFileStays checks that a completion never deletes or replaces a
// published file that the service has rewritten. The client might replay the
// grant seconds, an hour or days later.
func TestRewrittenFileStays(t *testing.T) {
	rewritten := append(bytes.Clone(png), 1, 2, 3)
	for _, options := range [][]s3test.Option{
		nil, {s3test.WithVersioning()}, {s3test.WithoutConditions()}, {s3test.WithHost(awsName)},
	} {
		for _, replay := range []string{"", "same", "other", "evil"} {
			for _, wait := range []time.Duration{2 * time.Second, time.Hour, 6 * 24 * time.Hour} {
				synctest.Test(t, func(t *testing.T) {
					store := s3test.New(append([]s3test.Option{s3test.WithHistory()},
						options...)...)
					policy := final()
					policy.Lifetime = 7 * 24 * time.Hour
					s := open(t, store, policy)
					grant := s.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"},
						true, png, nil)
					time.Sleep(time.Second)
					object, err := s.Complete(t.Context(), "alice", grant.Key)
					require.NoError(t, err)
					time.Sleep(time.Second)
					s.rewrite(t, object.Key, rewritten, true)
					time.Sleep(wait)
					switch replay {
					case "same":
						s.send(t, grant, png, nil)
					case "other":
						s.send(t, grant, append(bytes.Clone(png), 9), nil)
					case "evil":
						s.send(t, grant, evilBody, nil)
					}
					for range 2 {
						again, err := s.Complete(t.Context(), "alice", grant.Key)
						require.NoError(t, err)
						require.EqualValues(t, len(rewritten), again.Size)
						time.Sleep(time.Second)
					}
					requireLast(t, store, object.Key, rewritten)
					require.Equal(t, []string{object.Key}, s.keys())
				})
			}
		}
	}
}

// TestRewrittenWhileReplayed checks that a completion does not replace a
// rewritten file if the client has replayed the grant while the hook ran.
func TestRewrittenWhileReplayed(t *testing.T) {
	rewritten := append(bytes.Clone(png), 1, 2, 3)
	for name, options := range map[string][]s3test.Option{
		"versions": {s3test.WithVersioning()}, "AWS": {s3test.WithHost(awsName)},
	} {
		for _, replayed := range [][]byte{append(bytes.Clone(png), 9), evilBody} {
			synctest.Test(t, func(t *testing.T) {
				store := s3test.New(append([]s3test.Option{s3test.WithHistory()}, options...)...)
				var s shop
				var grant *presign.Grant
				first := true
				s = open(t, store, final(),
					presign.WithOnComplete(func(_ context.Context, o *presign.Object) error {
						if !first {
							return nil
						}
						first = false
						time.Sleep(time.Second)
						s.send(t, grant, replayed, nil)
						time.Sleep(time.Second)
						s.rewrite(t, o.Key, rewritten, true)
						return nil
					}))
				grant = s.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"},
					true, png, nil)
				object, err := s.Complete(t.Context(), "alice", grant.Key)
				require.NoError(t, err)
				again, err := s.Complete(t.Context(), "alice", grant.Key)
				require.NoError(t, err, name)
				require.EqualValues(t, len(rewritten), again.Size)
				requireLast(t, store, object.Key, rewritten)
			})
		}
	}
}

// TestRewrittenWhileReplayedWithoutConditions checks that rejecting a replay
// does not delete the rewritten file. On a store without conditions, the file
// might also be the copy of a replaced upload.
func TestRewrittenWhileReplayedWithoutConditions(t *testing.T) {
	rewritten := append(bytes.Clone(png), 1, 2, 3)
	synctest.Test(t, func(t *testing.T) {
		store := s3test.New(s3test.WithHistory(), s3test.WithoutConditions())
		var s shop
		var grant *presign.Grant
		s = open(t, store, final(),
			presign.WithOnComplete(func(_ context.Context, o *presign.Object) error {
				time.Sleep(time.Second)
				s.send(t, grant, evilBody, nil)
				time.Sleep(time.Second)
				s.rewrite(t, o.Key, rewritten, true)
				return errors.New("another hook failed")
			}))
		grant = s.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, true, png, nil)
		_, err := s.Complete(t.Context(), "alice", grant.Key)
		require.ErrorContains(t, err, "another hook failed")
		_, err = s.Complete(t.Context(), "alice", grant.Key)
		require.Contains(t, violations(t, err)[0], "type contradicts_content ")
		requireLast(t, store, finalKey(grant.Key), rewritten)
	})
}

// TestStampOfOtherVersion checks that a published file is not copied again if
// its stamp has a digest of fewer bytes. Another version of this library might
// publish such a stamp.
func TestStampOfOtherVersion(t *testing.T) {
	store := s3test.New(s3test.WithHistory())
	s := open(t, store, final())
	grant := s.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, true, png, nil)
	object, err := s.Complete(t.Context(), "alice", grant.Key)
	require.NoError(t, err)
	stored, _ := store.Object(s3test.DefaultBucket, object.Key)
	sealer, err := stamp.NewSealer([][]byte{secret}, s3test.DefaultHost, s3test.DefaultBucket,
		"incoming/", "published/")
	require.NoError(t, err)
	published, err := sealer.OpenPublished(stored.Metadata["presign"], grant.Key)
	require.NoError(t, err)
	sum := sha256.Sum256(png[:10])
	published.Digested, published.Beginning = 10, [16]byte(sum[:16])
	s.put(t, object.Key, string(png), func(input *s3.PutObjectInput) {
		input.Metadata = map[string]string{"presign": sealer.SealPublished(published, grant.Key)}
	})
	s.send(t, grant, png, nil)
	_, err = s.Complete(t.Context(), "alice", grant.Key)
	require.NoError(t, err)
	require.Len(t, store.History().Visible("published/"), 2, "the file must not be copied again")
}

// TestRewrittenWithoutMetadata checks that a hook that failed runs again even
// if it has rewritten the file without metadata.
func TestRewrittenWithoutMetadata(t *testing.T) {
	rewritten := append(bytes.Clone(png), 1, 2, 3)
	store := s3test.New(s3test.WithHistory())
	var s shop
	var sizes []int64
	failure := errors.New("the database is down")
	s = open(t, store, final(),
		presign.WithOnComplete(func(_ context.Context, o *presign.Object) error {
			sizes = append(sizes, o.Size)
			if len(sizes) == 1 {
				s.rewrite(t, o.Key, rewritten, false)
				return failure
			}
			return nil
		}))
	grant := s.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, true, png, nil)
	_, err := s.Complete(t.Context(), "alice", grant.Key)
	require.ErrorIs(t, err, failure)
	require.Contains(t, s.keys(), grant.Key, "the upload must be kept")
	object, err := s.Complete(t.Context(), "alice", grant.Key)
	require.NoError(t, err)
	require.Equal(t, []int64{int64(len(png)), int64(len(rewritten))}, sizes)
	require.Equal(t, []string{"alice", grant.GrantID, finalKey(grant.Key)},
		[]string{object.Owner, object.GrantID, object.Key})
	requireLast(t, store, object.Key, rewritten)
	require.Equal(t, []string{object.Key}, s.keys())

	// Under a key that the service chose, the object might belong to another
	// upload.
	put := s.upload(t, presign.Upload{Key: "incoming/fixed.png", Owner: "alice"}, false, png, nil)
	s.put(t, "published/fixed.png", "an object of the service", nil)
	_, err = s.Complete(t.Context(), "alice", put.Key)
	require.Equal(t, []string{
		"key taken must not be taken by another object, which this upload may not replace",
	}, violations(t, err))
	require.Contains(t, s.keys(), put.Key, "the upload must be kept")
	require.Len(t, sizes, 2)
}

// place stores an upload of any size with a stamp that it seals itself.
func (s shop) place(t *testing.T, key string, id byte, issued time.Time, zeros int64) {
	t.Helper()
	sealer, err := stamp.NewSealer([][]byte{secret}, strings.TrimPrefix(s.store.URL, "https://"),
		s3test.DefaultBucket, "incoming/", "published/")
	require.NoError(t, err)
	name := key[strings.LastIndex(key, "/")+1:]
	granted := &stamp.Stamp{
		ID: [16]byte{id}, Owner: "alice", Filename: name, Type: "application/octet-stream",
		MinSize: 1, MaxSize: 10 << 30, Issued: issued,
		Until: issued.Add(time.Hour), Method: stamp.Multipart, Replace: true,
		Headers: []stamp.Header{{Name: "cache-control", Value: "no-store"}},
	}
	s.store.Put(s3test.DefaultBucket, key, s3test.Object{
		Body: []byte{id}, Zeros: zeros,
		Metadata: map[string]string{"presign": sealer.Seal(granted, key)},
		Header: http.Header{
			"Content-Type":        {granted.Type},
			"Content-Disposition": {"attachment; filename*=UTF-8''" + name},
		},
	})
}

// TestOlderUploadNeverReplacesNewer checks that completing an older upload does
// not replace a newer upload of the same key. Another replica publishes the
// newer upload before each request of the completion in turn.
func TestOlderUploadNeverReplacesNewer(t *testing.T) {
	const key = "incoming/fixed.bin"
	for _, options := range [][]s3test.Option{
		nil, {s3test.WithVersioning()},
		{s3test.WithHost(awsName)}, {s3test.WithHost(awsName), s3test.WithVersioning()},
	} {
		for _, zeros := range []int64{100, 5 << 30} { // The larger upload needs a multipart copy.
			// If before is set, the key is already published.
			for _, before := range []bool{false, true} {
				for at, last := 1, 1; at <= last; at++ {
					synctest.Test(t, func(t *testing.T) {
						store := s3test.New(append([]s3test.Option{
							s3test.WithHistory(), s3test.WithTick(time.Millisecond),
						}, options...)...)
						policy := final()
						policy.Replace, policy.MaxSize, policy.Types = true, 10<<30, []string{"*/*"}
						older := open(t, store, policy,
							presign.WithStore(store.Actor("older").S3()))
						newer := open(t, store, policy,
							presign.WithStore(store.Actor("newer").Instant().S3()))
						now := time.Now()
						if before {
							newer.place(t, key, 1, now.Add(-time.Minute), 10)
							_, err := newer.Complete(t.Context(), "alice", key)
							require.NoError(t, err)
						}
						older.place(t, key, 2, now, zeros)
						var requests atomic.Int64
						pending := false
						publishNewer := func(r s3test.Request, _ *http.Request) s3test.Fault {
							if r.Actor != "older" {
								return s3test.None
							}
							if requests.Add(1) == int64(at) {
								newer.place(t, key, 3, now.Add(time.Second), zeros)
								_, err := newer.Complete(t.Context(), "alice", key)
								// The newer completion is pending during a
								// multipart copy by the older completion.
								if pending = errors.Is(err, presign.ErrPending); !pending {
									require.NoError(t, err)
								}
							}
							return s3test.None
						}
						store.Intercept(s3test.Hook{Before: publishNewer})
						_, err := older.Complete(t.Context(), "alice", key)
						if pending {
							_, err := newer.Complete(t.Context(), "alice", key)
							require.NoError(t, err)
						}
						if err != nil {
							require.NotEmpty(t, presign.Violations(err), "request %d: %v\n%v", at,
								err, store.History().Requests)
						}
						made := int(requests.Load())
						last = made
						var order []byte
						for _, state := range store.History().Visible("published/") {
							order = append(order, state.Body[0])
						}
						require.True(t, slices.IsSorted(order), "request %d: %v\n%v", at, order,
							store.History().Requests)
						if made < at {
							return // The completion made fewer requests.
						}
						require.EqualValues(t, 3, order[len(order)-1], "request %d: %v\n%v", at,
							order, store.History().Requests)
						require.Empty(t, store.Objects("incoming/"))
					})
				}
			}
		}
	}
}

// TestPendingUploadDoesNotHidePublished checks that another user's pending
// upload under the same key does not hide the published object.
func TestPendingUploadDoesNotHidePublished(t *testing.T) {
	policy := final()
	policy.Replace = true
	s := open(t, s3test.New(s3test.WithHistory()), policy)
	const key = "incoming/fixed.png"
	s.upload(t, presign.Upload{Key: key, Owner: "alice"}, true, png, nil)
	first, err := s.Complete(t.Context(), "alice", key)
	require.NoError(t, err)
	pending := s.upload(t, presign.Upload{Key: key, Owner: "bob"}, true,
		append(bytes.Clone(png), 1), nil)
	again, err := s.Complete(t.Context(), "alice", key)
	require.NoError(t, err)
	require.EqualExportedValues(t, *first, *again)
	requireLast(t, s.store, first.Key, png)
	require.Contains(t, s.keys(), key, "the pending upload must remain")
	object, err := s.Complete(t.Context(), "bob", key)
	require.NoError(t, err)
	require.Equal(t, pending.GrantID, object.GrantID)
}

// TestHeadersOfUnverifiedUploads checks that only the published copy has
// headers that give access to an object or change how it is served.
func TestHeadersOfUnverifiedUploads(t *testing.T) {
	policy := multipartPolicy()
	policy.Headers = map[string]string{
		"Cache-Control": "public", "Content-Language": "de", "x-amz-storage-class": "STANDARD_IA",
		"x-amz-tagging":                   "a=b",
		"x-amz-website-redirect-location": "/other", "Content-Disposition": "inline",
		"x-amz-server-side-encryption": "AES256",
		"Expires":                      "Wed, 01 Dec 2094 16:00:00 GMT",
	}
	policy.UploadHeaders = map[string]string{"x-amz-storage-class": "ONEZONE_IA"}
	for _, method := range []string{"PUT", "POST", "multipart"} {
		s := open(t, s3test.New(s3test.WithHistory()), policy)
		u := presign.Upload{Filename: "a.png", Owner: "alice", Size: int64(len(png))}
		var object *presign.Object
		var err error
		if method == "multipart" {
			m, startErr := s.StartMultipart(t.Context(), u)
			require.NoError(t, startErr)
			object, err = m.Complete(t.Context(), s.putAll(t, m, png))
		} else {
			grant := s.upload(t, u, method == "POST", png, nil)
			object, err = s.Complete(t.Context(), "alice", grant.Key)
		}
		require.NoError(t, err, method)
		for _, state := range s.store.History().Visible("incoming/") {
			require.Equal(t, http.Header{
				"Content-Type": {"image/png"}, "X-Amz-Server-Side-Encryption": {"AES256"},
				"X-Amz-Storage-Class": {"ONEZONE_IA"},
				"Content-Disposition": {"attachment; filename*=UTF-8''a.png"},
			}, state.Header, method)
			require.Empty(t, state.Tags)
		}
		stored, _ := s.store.Object(s3test.DefaultBucket, object.Key)
		require.Equal(t, map[string]string{"a": "b"}, stored.Tags)
		require.Equal(t, http.Header{
			"Content-Type": {"image/png"}, "X-Amz-Server-Side-Encryption": {"AES256"},
			"X-Amz-Storage-Class": {"STANDARD_IA"},
			"Content-Disposition": {"inline; filename*=UTF-8''a.png"}, "Cache-Control": {"public"},
			"Content-Language":                {"de"},
			"X-Amz-Website-Redirect-Location": {"/other"},
			"Expires":                         {"Wed, 01 Dec 2094 16:00:00 GMT"},
		}, stored.Header, method)
	}
	// The test server does not support ACLs, so the test checks the grant.
	for acl, onUpload := range map[string]bool{
		"public-read": false, "bucket-owner-full-control": true,
	} {
		policy := final()
		policy.Headers = map[string]string{"x-amz-acl": acl}
		grant, err := open(t, s3test.New(), policy).Put(t.Context(),
			presign.Upload{Filename: "a.png", Size: 1})
		require.NoError(t, err)
		_, has := grant.Headers["x-amz-acl"]
		require.Equal(t, onUpload, has)
	}
}

// TestForeignCompletionsHaveEqualResponses checks that a missing object and
// another user's upload or published object cause equal requests and responses.
// The test runs with and without permission to list the bucket.
func TestForeignCompletionsHaveEqualResponses(t *testing.T) {
	for _, lists := range []bool{true, false} {
		for _, policy := range []presign.Policy{final(), direct()} {
			for _, checksum := range []types.ChecksumAlgorithm{"", types.ChecksumAlgorithmCrc32c} {
				policy.Checksum = checksum
				var first string
				for _, c := range []string{"missing", "uploaded", "published"} {
					synctest.Test(t, func(t *testing.T) {
						store := s3test.New(s3test.WithHistory(), s3test.WithTick(time.Millisecond))
						s := open(t, store, policy, presign.WithStore(store.Actor("service").S3()))
						handler, err := presign.NewHandler(s.Signer, user)
						require.NoError(t, err)
						u := presign.Upload{Filename: "a.png", Owner: "alice"}
						if checksum != "" {
							u.Checksum = crc(png)
						}
						grant := s.upload(t, u, true, png, nil)
						if c != "uploaded" {
							_, err := s.Complete(t.Context(), "alice", grant.Key)
							require.NoError(t, err)
						}
						if c == "missing" {
							removeUpload(t, s, grant)
							removeUpload(t, s, &presign.Grant{Key: finalKey(grant.Key)})
						}
						before := len(store.History().Requests)
						if !lists {
							deny := func(r s3test.Request, _ *http.Request) s3test.Fault {
								if r.Status == http.StatusNotFound {
									return s3test.AccessDenied
								}
								return s3test.None
							}
							store.Intercept(s3test.Hook{After: deny})
						}
						w := serve(t, handler, completeRequest("bob", `{"key": "`+grant.Key+`"}`))
						requests := store.History().Requests.After(before)
						got := []string{w.Body.String()}
						for _, r := range requests {
							got = append(got, r.Operation)
						}
						slices.Sort(got[1:])
						text := strings.Join(append(got, http.StatusText(w.Code),
							string(rune('0'+requests.Depth()))), " ")
						if first == "" {
							first = text
						}
						require.Equal(t, first, text, "%s: %v", c, requests)
					})
				}
			}
		}
	}
}

// TestHooksEnd checks that repeated completions call the hooks until seven days
// after the Deadline. Later completions only return the Object.
func TestHooksEnd(t *testing.T) {
	for _, rewritten := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			s := open(t, s3test.New(), final(),
				presign.WithOnComplete(func(context.Context, *presign.Object) error {
					calls++
					return nil
				}))
			grant := s.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, true, png, nil)
			deadline := grant.Expires.Add(24 * time.Hour)
			object, err := s.Complete(t.Context(), "alice", grant.Key)
			require.NoError(t, err)
			if rewritten {
				s.rewrite(t, object.Key, append(bytes.Clone(png), 1), true)
			}
			for _, c := range []struct {
				at    time.Time
				calls int
			}{{deadline.Add(-time.Second), 2}, {deadline.Add(7*24*time.Hour - time.Second), 3}, {
				deadline.Add(7*24*time.Hour + time.Second), 3,
			}, {deadline.Add(3 * 365 * 24 * time.Hour), 3}} {
				time.Sleep(time.Until(c.at))
				again, err := s.Complete(t.Context(), "alice", grant.Key)
				require.NoError(t, err)
				require.Equal(t, grant.GrantID, again.GrantID)
				require.Equal(t, c.calls, calls, c.at)
			}
		})
	}
}

// TestWriteOncePolicy checks that grants issued under Replace do not replace a
// published object after the policy has become write-once.
func TestWriteOncePolicy(t *testing.T) {
	for _, form := range []bool{false, true} {
		store := s3test.New(s3test.WithHistory())
		loose, once := final(), final()
		loose.Replace = true
		before, after := open(t, store, loose), open(t, store, once)
		const key = "incoming/fixed.png"
		u := presign.Upload{Key: key, Owner: "alice"}
		grant, err := before.Post(t.Context(), u)
		if !form {
			u.Size = int64(len(png)) + 1
			grant, err = before.Put(t.Context(), u)
		}
		require.NoError(t, err)
		after.upload(t, presign.Upload{Key: key, Owner: "alice"}, false, png, nil)
		object, err := after.Complete(t.Context(), "alice", key)
		require.NoError(t, err)
		before.send(t, grant, append(bytes.Clone(png), 1), nil)
		_, err = after.Complete(t.Context(), "alice", key)
		require.Equal(t, []string{
			"key taken must not be taken by another object, which this upload may not replace",
		}, violations(t, err))
		requireLast(t, store, object.Key, png)
		require.Len(t, store.History().Visible("published/"), 1)
	}
	// Without FinalPrefix, an upload replaces the object itself. The completion
	// rejects the upload.
	store := s3test.New()
	loose, once := direct(), direct()
	loose.Replace = true
	grant := open(t, store, loose).upload(t,
		presign.Upload{Key: "incoming/fixed.png", Owner: "alice"}, true, png, nil)
	_, err := open(t, store, once).Complete(t.Context(), "alice", grant.Key)
	require.Equal(t, []string{
		"key not_allowed must not be replaced: the policy has become write-once since the grant",
	}, violations(t, err))
	random := open(t, store, loose).upload(t, presign.Upload{Filename: "a.png", Owner: "alice"},
		true, png, nil)
	_, err = open(t, store, once).Complete(t.Context(), "alice", random.Key)
	require.NoError(t, err, "an upload under a random key must be completed")
}

// TestHooksPrecedeDeletion checks that the upload exists until the hook has
// succeeded.
func TestHooksPrecedeDeletion(t *testing.T) {
	for _, failures := range []int{0, 1, 3} {
		store := s3test.New(s3test.WithHistory())
		var moments []s3test.Moment
		s := open(t, store, final(),
			presign.WithOnComplete(func(context.Context, *presign.Object) error {
				moments = append(moments, store.Now())
				if len(moments) <= failures {
					return errors.New("the database is down")
				}
				return nil
			}))
		grant := s.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, true, png, nil)
		for range failures {
			_, err := s.Complete(t.Context(), "alice", grant.Key)
			require.ErrorContains(t, err, "the database is down")
			require.Empty(t, store.History().Requests.Of("DeleteObject"))
		}
		_, err := s.Complete(t.Context(), "alice", grant.Key)
		require.NoError(t, err)
		require.Len(t, moments, failures+1)
		uploads := store.History().States(grant.Key)
		require.Len(t, uploads, 1)
		for _, moment := range moments {
			require.True(t, uploads[0].Exists(moment))
		}
		require.NotZero(t, uploads[0].EndedBy)
		require.Len(t, store.History().Visible("published/"), 1,
			"the upload must be published once")
	}
}

// TestOversizedMultipartIsNotJoined checks that a multipart upload with too
// many bytes never becomes an object, even if a client replaces a part after
// the parts were listed.
func TestOversizedMultipartIsNotJoined(t *testing.T) {
	policy := multipartPolicy()
	policy.MaxSize = partSize + 10
	for _, replaced := range []bool{false, true} {
		s := open(t, s3test.New(s3test.WithHistory()), policy)
		m, err := s.StartMultipart(t.Context(), presign.Upload{Filename: "a.png", Owner: "alice"})
		require.NoError(t, err)
		body := append(bytes.Clone(png), make([]byte, partSize)...)
		send := func(number int, part []byte) {
			grant, err := m.SignPart(t.Context(), presign.Part{Number: number})
			require.NoError(t, err)
			s.putPart(t, grant, part)
		}
		send(1, body[:partSize])
		last, err := m.SignPart(t.Context(), presign.Part{Number: 2})
		require.NoError(t, err)
		if replaced {
			s.putPart(t, last, make([]byte, 5))
			s.store.Fail(func(operation string, r *http.Request) s3test.Fault {
				if operation == "CompleteMultipartUpload" {
					s.putPart(t, last, make([]byte, 50))
				}
				return s3test.None
			})
			_, err = m.Complete(t.Context(), nil)
			require.ErrorIs(t, err, presign.ErrChanged)
		} else {
			s.putPart(t, last, make([]byte, 50))
			_, err = m.Complete(t.Context(), nil)
			require.Equal(t, "too_large", presign.Violations(err)[0].Code)
			require.Empty(t, s.store.History().Requests.Of("CompleteMultipartUpload"))
			require.Empty(t, s.uploads(t))
		}
		require.Empty(t, s.store.History().Ever(func(s3test.State) bool { return true }))
	}
}

// TestQuirks checks that uploads of each method can be completed at stores that
// differ from S3, and that active content is rejected there.
func TestQuirks(t *testing.T) {
	for name, c := range map[string]struct {
		quirks  []s3test.Quirk
		policy  func(*presign.Policy)
		dropped string // the header that the copy loses
		logs    string
	}{
		"R7: no If-None-Match on copies": {
			quirks: []s3test.Quirk{s3test.CopyOnceNotImplemented},
		},
		"R7: parts never match": {quirks: []s3test.Quirk{s3test.PartsNeverMatch}},
		"R7: both": {
			quirks: []s3test.Quirk{s3test.CopyOnceNotImplemented, s3test.PartsNeverMatch},
		},
		"R7: both, Replace": {quirks: []s3test.Quirk{
			s3test.CopyOnceNotImplemented, s3test.PartsNeverMatch,
		}, policy: withReplace},
		"R10: copies lose Cache-Control": {
			quirks: []s3test.Quirk{s3test.CopiesLoseCacheControl}, dropped: "Cache-Control",
		},
		"R11: the weekday is corrected": {
			quirks: []s3test.Quirk{s3test.CorrectsExpires}, policy: withExpires,
		},
		"R13: replaced parts are listed":    {quirks: []s3test.Quirk{s3test.ListsReplacedParts}},
		"R14: ended uploads cause no error": {quirks: []s3test.Quirk{s3test.ForgivesEndedUploads}},
		"R8: no checksums":                  {quirks: []s3test.Quirk{s3test.NoChecksums}},
		"most quirks at once": {quirks: []s3test.Quirk{
			s3test.CopyOnceNotImplemented, s3test.PartsNeverMatch, s3test.CorrectsExpires,
			s3test.ListsReplacedParts, s3test.ForgivesEndedUploads, s3test.NoChecksums,
		}, policy: withExpires},
	} {
		for _, method := range []string{"PUT", "POST", "multipart", "multipart, a part twice"} {
			t.Run(name+"; "+method, func(t *testing.T) {
				policy := multipartPolicy()
				if c.policy != nil {
					c.policy(&policy)
				}
				s := open(t, s3test.New(s3test.WithHistory(), s3test.WithQuirks(c.quirks...)),
					policy)
				for _, body := range [][]byte{png, evilBody} {
					u := presign.Upload{Filename: "a.png", Owner: "alice", Size: int64(len(body))}
					if policy.Replace {
						u.Key = "incoming/fixed.png"
					}
					key, complete := s.startUpload(t, method, u, body)
					object, err := complete()
					if bytes.Equal(body, evilBody) {
						require.Contains(t, violations(t, err)[0], "type contradicts_content ")
						require.NotContains(t, s.keys(), key, "a rejected upload must be deleted")
						continue
					}
					require.NoError(t, err)
					again, err := complete()
					require.NoError(t, err)
					require.EqualExportedValues(t, *object, *again)
					stored, _ := s.store.Object(s3test.DefaultBucket, object.Key)
					require.Equal(t, png, stored.Body)
					require.Equal(t, []string{object.Key}, s.keys())
					for name, value := range policy.Headers {
						if name != c.dropped {
							require.Equal(t, value, stored.Header.Get(name))
						}
					}
				}
				require.Empty(t, s.uploads(t))
			})
		}
	}
}

func withExpires(p *presign.Policy) {
	p.Headers = map[string]string{
		"Expires": "Wed, 01 Dec 2094 16:00:00 GMT", "Cache-Control": "no-store",
	}
}

// startUpload uploads a body and returns the key and a function that completes
// the upload. If method ends in "twice", each part is first sent with another
// body.
func (s shop) startUpload(
	t *testing.T, method string, u presign.Upload, body []byte,
) (key string, complete func() (*presign.Object, error)) {
	t.Helper()
	if method == "PUT" || method == "POST" {
		grant := s.upload(t, u, method == "POST", body, nil)
		return grant.Key, func() (*presign.Object, error) {
			return s.Complete(t.Context(), "alice", grant.Key)
		}
	}
	m, err := s.StartMultipart(t.Context(), u)
	require.NoError(t, err)
	if strings.HasSuffix(method, "twice") {
		s.putAll(t, m, bytes.Repeat([]byte("x"), len(body)))
	}
	sent := s.putAll(t, m, body)
	return m.Key, func() (*presign.Object, error) { return m.Complete(t.Context(), sent) }
}

// TestNewSignerRejectsWrongWeekday checks that NewSigner rejects an Expires
// header with a wrong weekday, because some stores correct the weekday.
func TestNewSignerRejectsWrongWeekday(t *testing.T) {
	policy := direct()
	withExpires(&policy)
	policy.Headers["Expires"] = "Thu, 01 Dec 2094 16:00:00 GMT"
	_, err := presign.NewSigner(s3test.New().S3(), s3test.DefaultBucket, policy,
		presign.WithSecret(secret))
	require.ErrorContains(t, err, `its value must be the date "Wed, 01 Dec 2094 16:00:00 GMT", `+
		`got "Thu, 01 Dec 2094 16:00:00 GMT"`)
}

// TestViolationHasRenamedMetadata checks that a Violation contains the metadata
// name that a store has changed (R16).
func TestViolationHasRenamedMetadata(t *testing.T) {
	policy := multipartPolicy()
	policy.Metadata = []string{"note_x", "color"}
	s := open(t, s3test.New(s3test.WithQuirks(s3test.MultipartRenamesMetadata)), policy)
	u := presign.Upload{
		Filename: "a.png", Owner: "alice", Size: int64(len(png)),
		Metadata: map[string]string{"note_x": "1", "color": "red"},
	}
	m, err := s.StartMultipart(t.Context(), u)
	require.NoError(t, err)
	_, err = m.Complete(t.Context(), s.putAll(t, m, png))
	found := presign.Violations(err)
	require.Len(t, found, 1)
	require.Equal(t, "metadata[note-x]", found[0].Field)
	grant := s.upload(t, u, true, png, nil)
	_, err = s.Complete(t.Context(), "alice", grant.Key)
	require.NoError(t, err)
}

// TestErrChangedHasReason checks that ErrChanged and the log contain the
// reason, and that the Handler does not reveal the reason to the client.
func TestErrChangedHasReason(t *testing.T) {
	s := open(t, s3test.New(), final())
	handler, err := presign.NewHandler(s.Signer, user)
	require.NoError(t, err)
	grant := s.upload(t, presign.Upload{Filename: "a.png", Owner: "alice"}, true, png, nil)
	swaps := byte(0)
	s.store.Fail(func(operation string, _ *http.Request) s3test.Fault {
		if operation == "CopyObject" {
			swaps++
			s.send(t, grant, append(bytes.Clone(png), swaps), nil)
		}
		return s3test.None
	})
	const reason = "the upload was replaced while it was copied"
	_, err = s.Complete(t.Context(), "alice", grant.Key)
	require.ErrorIs(t, err, presign.ErrChanged)
	require.EqualError(t, err, "presign: the object changed during completion; try again: "+reason)
	require.EqualValues(t, 3, swaps)
	w := serve(t, handler, completeRequest("alice", `{"key": "`+grant.Key+`"}`))
	requireProblem(t, w, 409)
	require.NotContains(t, w.Body.String(), reason)
	require.Contains(t, s.log.String(), reason)
	require.Contains(t, s.log.String(), grant.Key)
}
