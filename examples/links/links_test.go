package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/site"
	"github.com/s3presign/presign/examples/internal/store"
)

// replicas are services with one store, one secret and one database.
type replicas struct {
	t        *testing.T
	client   *s3.Client
	services []*service
}

func newReplicas(t *testing.T, number int) *replicas {
	t.Helper()
	server, err := store.Start(t.Context(), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	require.NoError(t, server.CreateBucket(t.Context(), bucket))
	r := &replicas{t: t, client: server.Client()}
	path := filepath.Join(t.TempDir(), "links.db")
	for range number {
		here, err := site.Listen("127.0.0.1:0", "links")
		require.NoError(t, err)
		t.Cleanup(func() { _ = here.Close() })
		s, err := newService(r.client, here, path, []byte("a secret of the service, 33 bytes"))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.db.Close()) })
		r.services = append(r.services, s)
	}
	return r
}

// link adds a link of alice.
func (r *replicas) link(count int, ends time.Time) ticket {
	r.t.Helper()
	t := ticket{Owner: "alice", Folder: "Trip", Count: count,
		Ends: ends.UTC().Truncate(time.Second)}
	require.NoError(r.t, r.services[0].db.QueryRowContext(r.t.Context(),
		`INSERT INTO links (owner, folder, count, ends) VALUES (?, ?, ?, ?) RETURNING number`,
		t.Owner, t.Folder, t.Count, t.Ends.Format(time.RFC3339)).Scan(&t.Number))
	return t
}

func (r *replicas) revoke(t ticket) {
	r.t.Helper()
	_, err := r.services[0].db.ExecContext(r.t.Context(),
		`UPDATE links SET revoked = 1 WHERE number = ?`, t.Number)
	require.NoError(r.t, err)
}

// objects returns the contents of the objects under a prefix by their keys.
func (r *replicas) objects(prefix string) map[string]string {
	r.t.Helper()
	list, err := r.client.ListObjectsV2(r.t.Context(),
		&s3.ListObjectsV2Input{Bucket: aws.String(bucket), Prefix: &prefix})
	require.NoError(r.t, err)
	found := make(map[string]string)
	for _, o := range list.Contents {
		object, err := r.client.GetObject(r.t.Context(),
			&s3.GetObjectInput{Bucket: aws.String(bucket), Key: o.Key})
		require.NoError(r.t, err)
		content, err := io.ReadAll(object.Body)
		require.NoError(r.t, errors.Join(err, object.Body.Close()))
		found[*o.Key] = string(content)
	}
	return found
}

// A guest sends the requests of the page of a link. Several goroutines can call
// its methods.
type guest struct {
	t            *testing.T
	handler      http.Handler
	ticket, name string
}

func (r *replicas) guest(replica int, sealed, name string) guest {
	return guest{r.t, r.services[replica], sealed, name + strings.Repeat("_", 32)}
}

// call sends a request to the service. It returns the status and a problem's
// message.
func (g guest) call(method, path, body string, response any) (status int, message string) {
	g.t.Helper()
	r := httptest.NewRequest(method, "/uploads/"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+g.ticket+"."+g.name)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, r)
	var problem struct{ Message string }
	if w.Code >= 300 {
		response = &problem
	}
	assert.NoError(g.t, json.Unmarshal(w.Body.Bytes(), response))
	return w.Code, problem.Message
}

func (g guest) ask(content string) (grant presign.Grant, status int, message string) {
	g.t.Helper()
	status, message = g.call("POST", "",
		fmt.Sprintf(`{"filename": "a.txt", "size": %d}`, len(content)), &grant)
	return grant, status, message
}

func (g guest) complete(key string) (object presign.Object, status int, message string) {
	g.t.Helper()
	status, message = g.call("POST", "complete", fmt.Sprintf(`{"key": %q}`, key), &object)
	return object, status, message
}

// put sends a file to the store and returns the status.
func (g guest) put(grant presign.Grant, content string) int {
	g.t.Helper()
	r, err := grant.Request(g.t.Context(), strings.NewReader(content), int64(len(content)))
	if !assert.NoError(g.t, err) {
		return 0
	}
	response, err := http.DefaultClient.Do(r)
	if !assert.NoError(g.t, err) {
		return 0
	}
	assert.NoError(g.t, response.Body.Close())
	return response.StatusCode
}

// requireGrant asks for a grant and requires that the service returns one.
func (g guest) requireGrant(content string) presign.Grant {
	g.t.Helper()
	grant, status, message := g.ask(content)
	require.Equal(g.t, 201, status, message)
	return grant
}

// TestLinkLimitsNumberOfFiles checks that 40 guests of a link for 5 files store
// 5 files, although they use two replicas at once. It also checks that the
// unused grants store no more files.
func TestLinkLimitsNumberOfFiles(t *testing.T) {
	r := newReplicas(t, 2)
	const count, guests = 5, 40
	sealed := r.services[0].seal(r.link(count, time.Now().Add(time.Hour)))
	contents := func(i int) string { return fmt.Sprintf("from guest %02d", i) }
	grants := make([]presign.Grant, guests)
	var group sync.WaitGroup
	for i := range guests {
		group.Go(func() {
			var status int
			grants[i], status, _ = r.guest(i%2, sealed, fmt.Sprint(i)).ask(contents(i))
			assert.Equal(t, 201, status)
		})
	}
	group.Wait()
	var arrived sync.Map
	for i, grant := range grants {
		group.Go(func() {
			// Another replica completes the upload.
			g := r.guest((i+1)%2, sealed, fmt.Sprint(i))
			if g.put(grant, contents(i)) >= 300 {
				return
			}
			if object, status, _ := g.complete(grant.Key); status == 200 {
				arrived.Store(object.Key, contents(i))
			}
		})
	}
	group.Wait()
	want := make(map[string]string)
	arrived.Range(
		func(key, content any) bool { want[key.(string)] = content.(string); return true })
	require.Len(t, want, count)
	require.Equal(t, want, r.objects("files/"))

	_, status, message := r.guest(0, sealed, "late").ask("late")
	require.Equal(t, 403, status)
	require.Equal(t, "This link was for 5 files. All of them have arrived.", message)
	for i, grant := range grants { // The completions have freed the keys under Prefix.
		g := r.guest(i%2, sealed, fmt.Sprint(i))
		if g.put(grant, contents(i)) < 300 {
			if object, status, _ := g.complete(grant.Key); status == 200 {
				require.Equal(t, want[object.Key], contents(i),
					"a completion must succeed only for the stored file")
			}
		}
	}
	require.Equal(t, want, r.objects("files/"))
	require.NoError(t, r.services[0].signer.Sweep(t.Context()))
	require.Equal(t, want, r.objects("files/"))
}

// TestGrantsUseEmptySlots checks that a guest never receives a slot that has a
// file, and that abandoned grants do not use up the link.
func TestGrantsUseEmptySlots(t *testing.T) {
	r := newReplicas(t, 1)
	g := r.guest(0, r.services[0].seal(r.link(3, time.Now().Add(time.Hour))), "a")
	for range 10 {
		g.requireGrant("abandoned")
	}
	for i := range 3 {
		grant := g.requireGrant("stored")
		require.Equal(t, 200, g.put(grant, "stored"), "file %d", i)
		_, status, message := g.complete(grant.Key)
		require.Equal(t, 200, status, message)
	}
	_, status, _ := g.ask("more")
	require.Equal(t, 403, status)
}

// TestInvalidTicketsAreRejected checks that every route rejects tickets that
// have expired or were revoked, forged or truncated.
func TestInvalidTicketsAreRejected(t *testing.T) {
	r := newReplicas(t, 1)
	s := r.services[0]
	requireRejected := func(sealed string, want int, reason string) {
		t.Helper()
		g := r.guest(0, sealed, "a")
		for route, body := range map[string]string{
			"GET ": "", "POST ": `{"filename": "a.txt", "size": 4}`,
			"POST complete":   `{"key": "incoming/a"}`,
			"POST parts/list": `{"id": "a"}`, "POST batch": `{"uploads": []}`,
		} {
			method, path, _ := strings.Cut(route, " ")
			status, message := g.call(method, path, body, nil)
			require.Equal(t, want, status, route)
			require.Equal(t, reason, message, route)
		}
	}
	valid := r.link(3, time.Now().Add(time.Hour))
	r.guest(0, s.seal(valid), "a").requireGrant("text")

	ended := time.Date(2026, 3, 2, 12, 30, 0, 0, time.UTC)
	requireRejected(s.seal(r.link(3, ended)), 403, "This link expired on 2 March 2026, 12:30 UTC.")
	revoked := r.link(3, time.Now().Add(time.Hour))
	r.revoke(revoked)
	requireRejected(s.seal(revoked), 403, "This link was revoked.")
	unlisted := valid
	unlisted.Number = 1000
	requireRejected(s.seal(unlisted), 403, "This link was revoked.")

	const reason = "This link is incomplete or changed. Copy all of it."
	sealed := s.seal(valid)
	for i := range len(sealed) {
		requireRejected(sealed[:i], 401, reason)
	}
	requireRejected(sealed+"AA", 401, reason)
	box, err := base64.RawURLEncoding.DecodeString(sealed)
	require.NoError(t, err)
	for i := range box {
		forged := bytes.Clone(box)
		forged[i] ^= 1
		requireRejected(base64.RawURLEncoding.EncodeToString(forged), 401, reason)
	}
	more := valid
	more.Count = 100
	requireRejected((&service{secret: []byte("a secret of another service......")}).seal(more), 401,
		reason)

	nameless := guest{t, s, sealed, "a"}
	_, status, message := nameless.ask("text")
	require.Equal(t, 401, status)
	require.Equal(t, "The guest's name must have 32 to 64 bytes.", message)
}

// TestGrantsEndWithLink checks that no grant outlives its link.
func TestGrantsEndWithLink(t *testing.T) {
	r := newReplicas(t, 1)
	ticket := r.link(3, time.Now().Add(time.Minute))
	grant := r.guest(0, r.services[0].seal(ticket), "a").requireGrant("text")
	require.False(t, grant.Expires.After(ticket.Ends), "%v after %v", grant.Expires, ticket.Ends)
	require.WithinDuration(t, ticket.Ends, grant.Expires, 5*time.Second)
}

// TestRevokedLinkPublishesNothing checks that neither the guest nor
// CompleteForAnyOwner publishes an upload that was granted before its link was
// revoked.
func TestRevokedLinkPublishesNothing(t *testing.T) {
	r := newReplicas(t, 1)
	ticket := r.link(3, time.Now().Add(time.Hour))
	g := r.guest(0, r.services[0].seal(ticket), "a")
	grant := g.requireGrant("text")
	r.revoke(ticket)
	require.Equal(t, 200, g.put(grant, "text"))
	_, status, message := g.complete(grant.Key)
	require.Equal(t, 403, status)
	require.Equal(t, "This link was revoked.", message)
	_, err := r.services[0].signer.CompleteForAnyOwner(t.Context(), grant.Key)
	require.Len(t, presign.Violations(err), 1)
	require.Empty(t, r.objects(""))
}

// TestGuestsReachOnlyTheirOwnFiles checks that a guest cannot complete or
// replace files of another guest, of another link or of the owner.
func TestGuestsReachOnlyTheirOwnFiles(t *testing.T) {
	r := newReplicas(t, 1)
	s := r.services[0]
	sealed := s.seal(r.link(1, time.Now().Add(time.Hour)))
	elsewhere := s.seal(r.link(1, time.Now().Add(time.Hour)))
	anne, ben, carl := r.guest(0, sealed, "anne"), r.guest(0, sealed, "ben"),
		r.guest(0, elsewhere, "anne")
	for _, key := range []string{"incoming/alice/Trip/own.txt", "files/alice/Trip/own.txt"} {
		_, err := r.client.PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: aws.String(bucket), Key: &key, Body: strings.NewReader("the owner's"),
		})
		require.NoError(t, err)
	}
	first, second := anne.requireGrant("anne's"), ben.requireGrant("ben's")
	require.Equal(t, first.Key, second.Key, "the link must have one slot")
	require.Equal(t, 200, anne.put(first, "anne's"))
	require.Equal(t, 412, ben.put(second, "ben's"))
	for _, g := range []guest{ben, carl} {
		for key := range r.objects("") {
			_, status, _ := g.complete(key)
			require.Equal(t, 404, status, key)
		}
	}
	object, status, message := anne.complete(first.Key)
	require.Equal(t, 200, status, message)
	require.Equal(t, 200, ben.put(second, "ben's"),
		"the completion must free the key under Prefix")
	_, status, message = ben.complete(second.Key)
	require.Equal(t, 422, status)
	require.Contains(t, message, "must not be taken by another object")
	require.Equal(t, map[string]string{
		object.Key: "anne's", "files/alice/Trip/own.txt": "the owner's",
		"incoming/alice/Trip/own.txt": "the owner's",
	}, r.objects(""))

	form := `{"filename": "a.txt", "size": 4, "method": "POST"}`
	status, message = carl.call("POST", "", form, nil)
	require.Equal(t, 422, status)
	require.Contains(t, message, "must not be POST")
}
