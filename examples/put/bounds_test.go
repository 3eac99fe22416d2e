package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/put/internal/uploads"
)

// problem returns the Problem in an error.
func problem(t *testing.T, err error) *presign.Problem {
	t.Helper()
	p := (*presign.Problem)(nil)
	require.True(t, errors.As(err, &p), err)
	return p
}

// partURL returns the URL of a part.
func (u *uploader) partURL(t *testing.T, up *upload, number int) string {
	t.Helper()
	urls, err := u.service.sign(t.Context(), up, []int{number})
	require.NoError(t, err)
	return urls[0]
}

// sendTo sends a part and returns its ETag, or the rejection of the store.
func (u *uploader) sendTo(
	t *testing.T, signed string, body []byte,
) (etag string, rejected *rejection) {
	t.Helper()
	etag, err := u.try(t.Context(), &presign.Grant{Method: http.MethodPut, URL: signed},
		bytes.NewReader(body), int64(len(body)))
	if !errors.As(err, &rejected) {
		require.NoError(t, err)
	}
	return etag, rejected
}

// startWithPart starts an upload and sends its only part.
func (u *uploader) startWithPart(t *testing.T) (*upload, []byte, string) {
	t.Helper()
	content, err := os.ReadFile(newFile(t, "a.bin", 1000))
	require.NoError(t, err)
	up, err := u.service.start(t.Context(), request{Filename: "a.bin", Size: int64(len(content))})
	require.NoError(t, err)
	etag, rejected := u.sendTo(t, u.partURL(t, up, 1), content)
	require.Nil(t, rejected)
	return up, content, etag
}

// TestOtherUsers checks that a client cannot change the upload of another user
// by any ID or key.
func TestOtherUsers(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	alice, bob := p.newUploader(t, "alice"), p.newUploader(t, "bob")
	hers, content, etag := alice.startWithPart(t)
	his, _, _ := bob.startWithPart(t)
	storeID := func(signed string) string {
		u, err := url.Parse(signed)
		require.NoError(t, err)
		return u.Query().Get("uploadId")
	}
	herURL, hisURL := alice.partURL(t, hers, 1), bob.partURL(t, his, 1)
	texts := make(map[string]bool)
	for _, id := range []string{
		hers.ID, storeID(herURL), storeID(hisURL), his.ID[:len(his.ID)/2] + hers.ID[len(his.ID)/2:],
		hers.Key, his.Key, "A", strings.Repeat("A", 5000),
	} {
		other := &upload{ID: id}
		_, signErr := bob.service.sign(t.Context(), other, []int{1})
		_, listErr := bob.service.list(t.Context(), other)
		_, completeErr := bob.service.completeParts(t.Context(), other, []part{
			{Number: 1, ETag: etag},
		})
		abortErr := bob.service.abort(t.Context(), other)
		for _, err := range []error{signErr, listErr, completeErr, abortErr} {
			require.Equal(t, 404, problem(t, err).Status)
			texts[err.Error()] = true
		}
	}
	require.Len(t, texts, 1, "a response must not reveal whether an upload exists")
	for _, key := range []string{
		hers.Key, strings.Replace(hers.Key, "incoming/", "files/", 1), his.Key + "/" + hers.Key,
	} {
		_, err := bob.service.completeKey(t.Context(), key)
		require.Equal(t, 404, problem(t, err).Status)
	}

	// The store also rejects a part from Bob for the upload or key of Alice.
	for _, mixed := range []string{
		strings.Replace(hisURL, storeID(hisURL), storeID(herURL), 1),
		strings.Replace(hisURL, his.Key, hers.Key, 1),
		strings.Replace(
			strings.Replace(hisURL, storeID(hisURL), storeID(herURL), 1), his.Key, hers.Key, 1),
	} {
		require.NotEqual(t, hisURL, mixed)
		_, rejected := bob.sendTo(t, mixed, content)
		require.NotNil(t, rejected)
		require.Equal(t, 403, rejected.status)
	}
	require.Len(t, p.uploads(t), 2)
	require.Empty(t, p.keys(t))

	// Alice can still complete her upload.
	object, err := alice.service.completeParts(t.Context(), hers, []part{{Number: 1, ETag: etag}})
	require.NoError(t, err)
	require.Equal(t, "alice", object.Owner)
	_, err = bob.service.completeKey(t.Context(), hers.Key)
	require.Equal(t, 404, problem(t, err).Status,
		"another user must not complete a completed upload")
	require.Equal(t, []string{object.Key}, p.keys(t))
}

// TestOneByteOver checks that an upload with one byte too many is rejected and
// its parts are deleted.
func TestOneByteOver(t *testing.T) {
	for _, finalPrefix := range []string{"", "files/"} {
		policy := uploads.Policy
		policy.FinalPrefix, policy.MaxSize = finalPrefix, 2*partSize
		p := newPlace(t, policy)
		u := p.newUploader(t, "alice")
		part1, part2 := make([]byte, partSize), make([]byte, partSize+1)
		zeros := filepath.Join(t.TempDir(), "zeros")
		require.NoError(t, os.WriteFile(zeros, make([]byte, policy.MaxSize), 0o600))

		_, err := u.service.start(t.Context(), request{Filename: "a.bin", Size: policy.MaxSize + 1})
		require.Equal(t, 422, problem(t, err).Status, "a size over the maximum must be rejected")
		require.Empty(t, p.uploads(t))

		// The client does not state the size.
		for _, last := range [][]byte{part1, part2} {
			up := new(upload)
			body := map[string]string{"filename": "a.bin", "method": "multipart"}
			require.NoError(t, u.service.call(t.Context(), "/", body, up))
			var list []part
			for i, body := range [][]byte{part1, last} {
				etag, rejected := u.sendTo(t, u.partURL(t, up, i+1), body)
				require.Nil(t, rejected)
				list = append(list, part{Number: i + 1, ETag: etag})
			}
			object, err := u.service.completeParts(t.Context(), up, list)
			if len(last) == partSize {
				require.NoError(t, err)
				require.Equal(t, policy.MaxSize, object.Size)
				p.clear(t, zeros, "")
				continue
			}
			require.Equal(t, 422, problem(t, err).Status)
			require.ErrorContains(t, err,
				"size must be from 1 to 10485760 bytes as granted, got 10485761")
			require.Empty(t, p.keys(t))
			require.Empty(t, p.uploads(t))
			_, err = u.service.completeKey(t.Context(), up.Key)
			require.Equal(t, 404, problem(t, err).Status)
			_, err = u.service.completeParts(t.Context(), up, list)
			require.Equal(t, 404, problem(t, err).Status, "a repeated completion must also fail")
		}

		// The client states a wrong size.
		up, err := u.service.start(t.Context(), request{Filename: "a.bin", Size: partSize + 1000})
		require.NoError(t, err)
		_, rejected := u.sendTo(t, u.partURL(t, up, 2), make([]byte, 1001))
		require.NotNil(t, rejected)
		require.Equal(t, 403, rejected.status)
		require.NoError(t, u.service.abort(t.Context(), up))
		require.Empty(t, p.keys(t))
		require.Empty(t, p.uploads(t))
	}
}

// TestPartSizes checks that put rejects part sizes of the service or of a saved
// state that give no parts or too many parts.
func TestPartSizes(t *testing.T) {
	for _, c := range []struct{ partSize, size, count int64 }{
		{1, 1, 1}, {1, maxParts, maxParts}, {1, maxParts + 1, 0}, {1, 200 << 20, 0},
		{math.MaxInt64, 10, 1}, {math.MaxInt64, math.MaxInt64, 1},
		{math.MaxInt64/maxParts + 1, math.MaxInt64, maxParts},
		{math.MaxInt64 / maxParts, math.MaxInt64, 0},
		{0, 10, 0}, {-1, 10, 0}, {math.MinInt64, 10, 0}, {5, 0, 0}, {5, -1, 0},
	} {
		s := &state{upload: upload{PartSize: c.partSize}, request: request{Size: c.size}}
		err := s.check(c.size)
		if c.count == 0 {
			require.ErrorContains(t, err, "must have 1 to 10000 parts", "%+v", c)
			continue
		}
		require.NoError(t, err, "%+v", c)
		require.EqualValues(t, c.count, s.count(), "%+v", c)
		offset, size := s.section(s.count())
		require.Equal(t, c.size, offset+size, "%+v", c)
		require.Positive(t, size, "%+v", c)
	}

	p := newPlace(t, uploads.Policy)
	u := p.newUploader(t, "alice")
	path := newFile(t, "a.bin", 2*partSize)
	for _, size := range []string{"1", "0", "-1"} {
		u := p.newUploader(t, "alice")
		rewrite(u.service.http, func(r *http.Request, response string) string {
			return strings.Replace(response, `"part_size":5242880`, `"part_size":`+size, 1)
		})
		_, err := u.put(t.Context(), path)
		require.ErrorContains(t, err, "a file of 10485760 bytes must have 1 to 10000 parts, "+
			"got a part size of "+size+" bytes")
		require.Empty(t, p.uploads(t))
		require.Zero(t, u.countStates(t))
	}

	path = p.interruptUpload(t, u, "a.bin")
	s, err := loadState(u.states, u.service.url, path)
	require.NoError(t, err)
	s.PartSize = 0
	require.NoError(t, s.save())
	_, err = u.put(t.Context(), path)
	require.ErrorContains(t, err, "a file of 20971520 bytes must have 1 to 10000 parts, "+
		"got a part size of 0 bytes; remove the state to start again")
	require.ErrorContains(t, u.abort(t.Context(), path), s.path)
}

// TestListedParts checks that put ignores invalid parts in the list of the
// service.
func TestListedParts(t *testing.T) {
	p := newPlace(t, uploads.Policy)
	u := p.newUploader(t, "alice")
	path := p.interruptUpload(t, u, "a.bin")
	arrived := p.arrived(t)
	rewrite(u.service.http, func(r *http.Request, response string) string {
		if !strings.HasSuffix(r.URL.Path, "/parts/list") {
			return response
		}
		var more strings.Builder
		for _, number := range []int{math.MinInt64, -1, 0, 5, math.MaxInt64} {
			fmt.Fprintf(&more, `{"number":%d,"size":%d,"etag":"\"0\""},`, number, partSize)
		}
		return strings.Replace(response, "[", "["+more.String(), 1)
	})
	numbers := u.countParts()
	object, err := u.put(t.Context(), path)
	require.NoError(t, err)
	require.Len(t, numbers(), 4-len(arrived))
	p.requireStored(t, path, object)
}

// TestLongResponse checks that put reads only a limited part of a response.
func TestLongResponse(t *testing.T) {
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for spaces := bytes.Repeat([]byte(" "), 1<<16); ; {
			if _, err := w.Write(spaces); err != nil {
				return
			}
		}
	}))
	defer endless.Close()
	u := (&place{url: endless.URL, http: newClient(1)}).newUploader(t, "alice")
	_, err := u.put(t.Context(), newFile(t, "a.bin", 10))
	require.EqualError(t, err, "the response of the service must have at most 4194304 bytes")
}

// rewrite changes the responses to a client.
func rewrite(client *http.Client, change func(r *http.Request, response string) string) {
	intercept(client, func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		w, err := next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		defer w.Body.Close()
		response, err := io.ReadAll(w.Body)
		w.Body = io.NopCloser(strings.NewReader(change(r, string(response))))
		return w, err
	})
}
