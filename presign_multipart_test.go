package presign_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/s3test"
)

const partSize = 5 << 20

// large is a picture of three parts.
var large = append(bytes.Clone(png), make([]byte, 2*partSize+1000-len(png))...)

// multipartPolicy returns a policy that publishes files of up to four parts.
func multipartPolicy() presign.Policy {
	p := final()
	p.MaxSize = 4 * partSize
	return p
}

// pieces cuts a file into parts, as clients do.
func pieces(file []byte) (list [][]byte) {
	for piece := range slices.Chunk(file, partSize) {
		list = append(list, piece)
	}
	return list
}

// putPart sends a part and returns its ETag.
func (s shop) putPart(t *testing.T, grant *presign.Grant, body []byte) string {
	t.Helper()
	response := s.tryPart(t, grant, body)
	require.Equal(t, 200, response.StatusCode)
	return response.Header.Get("ETag")
}

// tryPart sends a part and returns the response.
func (s shop) tryPart(t *testing.T, grant *presign.Grant, body []byte) *http.Response {
	t.Helper()
	r, err := grant.Request(context.Background(), bytes.NewReader(body), int64(len(body)))
	require.NoError(t, err)
	response, err := s.store.HTTPClient().Do(r)
	require.NoError(t, err)
	response.Body.Close()
	return response
}

// putAll sends all parts of a file.
func (s shop) putAll(t *testing.T, m *presign.Multipart, file []byte) (sent []presign.Part) {
	t.Helper()
	for i, piece := range pieces(file) {
		grant, err := m.SignPart(context.Background(), presign.Part{Number: i + 1})
		require.NoError(t, err)
		sent = append(sent, presign.Part{Number: i + 1, ETag: s.putPart(t, grant, piece)})
	}
	return sent
}

// uploads returns the keys of the multipart uploads in progress.
func (s shop) uploads(t *testing.T) (keys []string) {
	t.Helper()
	out, err := s.store.S3().ListMultipartUploads(context.Background(),
		&s3.ListMultipartUploadsInput{Bucket: aws.String(s3test.DefaultBucket)})
	require.NoError(t, err)
	for _, u := range out.Uploads {
		keys = append(keys, aws.ToString(u.Key))
	}
	return keys
}

// crc returns the CRC32C checksum of b in base64.
func crc(b []byte) string {
	sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return base64.StdEncoding.EncodeToString(
		[]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
}

// TestMultipart checks that a multipart upload can be started, resumed and
// completed, and that completions can be repeated.
func TestMultipart(t *testing.T) {
	for _, finalPrefix := range []string{"", "published/"} {
		for _, sized := range []bool{true, false} {
			for _, algorithm := range []types.ChecksumAlgorithm{"", types.ChecksumAlgorithmCrc32c} {
				name := fmt.Sprint(finalPrefix, " ", sized, " ", algorithm)
				t.Run(name, inBubble(func(t *testing.T) {
					policy := multipartPolicy()
					policy.FinalPrefix, policy.Checksum = finalPrefix, algorithm
					s := open(t, s3test.New(), policy)
					u := presign.Upload{
						Filename: "日本 1.png", Metadata: map[string]string{"color": "red"},
						Owner: "alice",
					}
					if sized {
						u.Size = int64(len(large))
					}
					if algorithm != "" {
						u.Checksum = crc(large)
					}
					m, err := s.StartMultipart(context.Background(), u)
					require.NoError(t, err)
					require.EqualValues(t, partSize, m.PartSize)
					require.InDelta(t, (7 * 24 * time.Hour).Seconds(),
						time.Until(m.Expires).Seconds(), 5)
					require.Regexp(t, "^incoming/[A-Z2-7]{26}/-?日本-1.png$", m.Key)

					var sent []presign.Part
					for i, piece := range pieces(large) {
						part := presign.Part{Number: i + 1}
						if algorithm != "" {
							part.Checksum = crc(piece)
						}
						if i == 1 { // Another replica, or the service after a restart, continues.
							again := open(t, s.store, policy)
							id := m.ID
							m, err = again.ResumeMultipart("alice", id)
							require.NoError(t, err)
							require.Equal(t, id, m.ID)
						}
						grant, err := m.SignPart(context.Background(), part)
						require.NoError(t, err)
						require.Equal(t, "PUT", grant.Method)
						require.Equal(t, m.Key, grant.Key)
						require.InDelta(t, (15 * time.Minute).Seconds(),
							time.Until(grant.Expires).Seconds(), 5)
						require.Equal(t, algorithm != "", len(grant.Headers) == 1)
						signed, err := url.Parse(grant.URL)
						require.NoError(t, err)
						headers := signed.Query().Get("X-Amz-SignedHeaders")
						require.Equal(t, sized, strings.Contains(headers, "content-length"))
						require.NotContains(t, grant.URL, "content-type")
						sent = append(sent, presign.Part{
							Number: part.Number, ETag: s.putPart(t, grant, piece),
							Size: int64(len(piece)), Checksum: part.Checksum,
						})
					}
					list, err := m.ListParts(context.Background())
					require.NoError(t, err)
					require.Equal(t, sent, list)

					slices.Reverse(sent)
					// Completions can be repeated.
					for _, parts := range [][]presign.Part{sent, nil, sent} {
						object, err := m.Complete(context.Background(), parts)
						require.NoError(t, err)
						key := m.Key
						if finalPrefix != "" {
							key = finalKey(key)
						}
						require.Equal(t, []string{key}, s.keys())
						stored, _ := s.store.Object(s3test.DefaultBucket, key)
						require.True(t, bytes.Equal(large, stored.Body))
						require.EqualExportedValues(t, presign.Object{
							Key: key, Filename: "日本 1.png", Type: "image/png",
							Detected: "image/png", Size: int64(len(large)), ETag: stored.ETag,
							Checksum: u.Checksum, Metadata: u.Metadata, Owner: "alice",
							GrantID: m.GrantID, Granted: object.Granted,
						}, *object)
						require.WithinDuration(t, m.Expires.Add(-7*24*time.Hour),
							object.Granted, time.Second)
						require.Equal(t, "no-store", stored.Header.Get("Cache-Control"))
						require.Contains(t, stored.Header.Get("Content-Disposition"),
							"attachment; filename*=UTF-8''%E6")
					}
					require.Empty(t, s.uploads(t))
					object, err := s.CompleteForAnyOwner(context.Background(), m.Key)
					require.NoError(t, err, "the upload must complete like any other upload")
					require.Equal(t, "alice", object.Owner)
					_, err = m.ListParts(context.Background())
					require.ErrorIs(t, err, presign.ErrNotUploaded)
					require.NoError(t, m.Abort(context.Background()),
						"aborting a completed upload must be possible")
					require.Len(t, s.keys(), 1)
				}))
			}
		}
	}
}

// TestPartSizes checks that parts have the sizes that Uppy uses, for all file
// sizes that S3 accepts. It checks that 10,000 parts are signed at once without
// a request.
func TestPartSizes(t *testing.T) {
	const most = 10_000 * (5 << 30)
	policy := multipartPolicy()
	policy.MaxSize = most
	s := open(t, s3test.New(), policy)
	for _, size := range []int64{
		1, partSize - 1, partSize, partSize + 1, 300 << 20,
		10_000 * partSize, 10_000*partSize + 1, 5 << 40, most,
	} {
		m, err := s.StartMultipart(context.Background(),
			presign.Upload{Owner: "alice", Filename: "a.png", Size: size})
		require.NoError(t, err)
		require.Equal(t, max(partSize, (size+9999)/10_000), m.PartSize)
		count := int((size + m.PartSize - 1) / m.PartSize)
		require.LessOrEqual(t, count, 10_000)
		s.store.Fail(func(operation string, _ *http.Request) s3test.Fault {
			t.Error("signing must not make a request, made " + operation)
			return s3test.None
		})
		if size == most {
			urls, _, err := m.SignParts(context.Background(), 1, count)
			require.NoError(t, err)
			require.Len(t, urls, 10_000)
			for i, signed := range urls {
				if !strings.Contains(signed, "&partNumber="+strconv.Itoa(i+1)+"&uploadId=") {
					t.Fatal(signed)
				}
			}
		}
		_, _, err = m.SignParts(context.Background(), count, count+1)
		require.Error(t, err)
		for _, number := range []int{-1, 0, count + 1, 10_001, math.MaxInt} {
			_, err := m.SignPart(context.Background(), presign.Part{Number: number})
			require.Contains(t, violations(t, err)[0], "part invalid must be between 1 and ")
		}
		_, err = m.SignPart(context.Background(),
			presign.Part{Number: count, Size: size - int64(count-1)*m.PartSize})
		require.NoError(t, err)
		_, err = m.SignPart(context.Background(),
			presign.Part{Number: count, Size: size - int64(count-1)*m.PartSize + 1})
		require.Contains(t, violations(t, err)[0], "size invalid must be ")
		s.store.Fail(nil)
	}
	m, err := s.StartMultipart(context.Background(),
		presign.Upload{Owner: "alice", Filename: "a.png"})
	require.NoError(t, err)
	require.Equal(t, int64(5<<30), m.PartSize, "PartSize must be the maximum for an unknown size")
	_, err = s.StartMultipart(context.Background(),
		presign.Upload{Owner: "alice", Filename: "a.png", Size: most + 1})
	require.Contains(t, violations(t, err)[0], "size too_large must be at most ")
}

// TestPartLengthIsSigned checks that a part of known size cannot have another
// size.
func TestPartLengthIsSigned(t *testing.T) {
	s := open(t, s3test.New(), multipartPolicy())
	m, err := s.StartMultipart(context.Background(),
		presign.Upload{Owner: "alice", Filename: "a.png", Size: int64(len(large))})
	require.NoError(t, err)
	for i, piece := range pieces(large) {
		grant, err := m.SignPart(context.Background(), presign.Part{Number: i + 1})
		require.NoError(t, err)
		require.Equal(t, 403, s.tryPart(t, grant, append(bytes.Clone(piece), 0)).StatusCode)
		require.Equal(t, 403, s.tryPart(t, grant, piece[:len(piece)-1]).StatusCode)
	}
	list, err := m.ListParts(context.Background())
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestStartMultipartRejects(t *testing.T) {
	for want, c := range map[string]struct {
		policy func(*presign.Policy)
		upload presign.Upload
	}{
		"method unsupported must not be multipart: " +
			"S3 computes no SHA256 checksum of a whole multipart upload": {
			func(p *presign.Policy) { p.Checksum = types.ChecksumAlgorithmSha256 },
			presign.Upload{Filename: "a.png", Checksum: sha256sum(large)}},
		"redirect not_allowed must not be set: only forms redirect": {nil,
			presign.Upload{Filename: "a.png", Redirect: "https://example.com"}},
		`key not_allowed must start with "incoming/", got "elsewhere/a.png"`: {nil,
			presign.Upload{Key: "elsewhere/a.png"}},
		"type not_allowed must be one of ": {nil,
			presign.Upload{Filename: "a.html"}},
		"metadata too_large must have at most ": {nil, presign.Upload{
			Filename: "a.png", Metadata: map[string]string{"color": strings.Repeat("x", 2000)},
		}},
		"size too_large must be at most 20971520 bytes, got 20971521": {nil,
			presign.Upload{Filename: "a.png", Size: 4*partSize + 1}},
	} {
		policy := multipartPolicy()
		if c.policy != nil {
			c.policy(&policy)
		}
		s := open(t, s3test.New(), policy)
		c.upload.Owner = "alice"
		_, err := s.StartMultipart(context.Background(), c.upload)
		require.Contains(t, violations(t, err)[0], want)
		require.Empty(t, s.uploads(t), want)
	}
}

// inBubble returns a function that runs a test in a synctest bubble, whose
// clock is fake.
func inBubble(test func(*testing.T)) func(*testing.T) {
	return func(t *testing.T) { synctest.Test(t, test) }
}

// TestMultipartOutOfBounds checks that an upload that is too large is aborted,
// and that an upload that is too small is rejected and can continue.
func TestMultipartOutOfBounds(t *testing.T) {
	file := append(bytes.Clone(png), make([]byte, 2*partSize)...)
	size := int64(len(file))
	for name, u := range map[string]presign.Upload{
		"over":                    {Owner: "alice", Filename: "a.png", MaxSize: size - 1},
		"under":                   {Owner: "alice", Filename: "a.png", MinSize: size + 1},
		"less than the file":      {Owner: "alice", Filename: "a.png", Size: size + partSize},
		"less than the last part": {Owner: "alice", Filename: "a.png", Size: size + 1},
	} {
		t.Run(name, inBubble(func(t *testing.T) {
			s := open(t, s3test.New(), multipartPolicy())
			m, err := s.StartMultipart(context.Background(), u)
			require.NoError(t, err)
			body := file
			if u.Size != 0 { // If the size is known, parts cannot have another size.
				body = file[:2*partSize]
			}
			sent := s.putAll(t, m, body)
			_, err = m.Complete(context.Background(), sent)
			code := "too_small"
			if name == "over" {
				code = "too_large"
			}
			want := fmt.Sprintf("^size %s must be .* as granted, got %d$", code, len(body))
			require.Regexp(t, want, violations(t, err)[0])
			require.Empty(t, s.keys())
			_, err = s.CompleteForAnyOwner(context.Background(), m.Key)
			require.ErrorIs(t, err, presign.ErrNotUploaded)
			if name != "over" {
				s.putAll(t, m,
					append(bytes.Clone(file), make([]byte, max(u.Size, u.MinSize)-size)...))
				_, err = m.Complete(context.Background(), nil)
				require.NoError(t, err)
				return
			}
			require.Empty(t, s.uploads(t))
			_, err = m.Complete(context.Background(), sent)
			require.ErrorIs(t, err, presign.ErrNotUploaded)
		}))
	}
}

// TestSigningChecksStoredParts checks that an upload that is too large is
// aborted when its next part is signed. A client cannot obtain all URLs before
// it has uploaded parts.
func TestSigningChecksStoredParts(t *testing.T) {
	for _, next := range []int{1, 3, 4} {
		policy := multipartPolicy()
		policy.MaxSize = 3*partSize + 1
		s := open(t, s3test.New(), policy)
		m, err := s.StartMultipart(context.Background(),
			presign.Upload{Owner: "alice", Filename: "a.png"})
		require.NoError(t, err)
		_, err = m.SignPart(context.Background(), presign.Part{Number: 5})
		require.Contains(t, violations(t, err)[0],
			"part invalid must be between 1 and 4 in this upload, got 5")
		_, err = m.SignPart(context.Background(), presign.Part{Number: 1, Size: policy.MaxSize + 1})
		require.Contains(t, violations(t, err)[0], "size too_large must be at most ")
		grant, err := m.SignPart(context.Background(), presign.Part{Number: 2})
		require.NoError(t, err)
		s.putPart(t, grant, make([]byte, policy.MaxSize))
		_, _, err = m.SignParts(context.Background(), 1, 4)
		require.NoError(t, err, "an upload of exactly the maximum size must continue")
		s.putPart(t, grant, make([]byte, policy.MaxSize+1))
		_, err = m.SignPart(context.Background(), presign.Part{Number: next})
		require.Equal(t, []presign.Violation{{
			Field: "size", Code: "too_large", Min: 1, Max: policy.MaxSize,
			Detail: fmt.Sprintf("must be from 1 to %d bytes as granted, got %d",
				policy.MaxSize, policy.MaxSize+1),
		}}, presign.Violations(searchError(t, err)))
		require.ErrorAs(t, err, new(*presign.RejectedError))
		require.Empty(t, s.uploads(t))
		require.Equal(t, 404, s.tryPart(t, grant, png).StatusCode)
		_, err = m.SignPart(context.Background(), presign.Part{Number: next})
		require.ErrorIs(t, err, presign.ErrNotUploaded)
	}

	policy := multipartPolicy()
	policy.MaxSize = 200 * partSize
	s := open(t, s3test.New(), policy)
	m, err := s.StartMultipart(context.Background(),
		presign.Upload{Owner: "alice", Filename: "a.png"})
	require.NoError(t, err)
	_, _, err = m.SignParts(context.Background(), 1, 101)
	require.Contains(t, violations(t, err)[0], "part too_large must be at most 100, "+
		"100 beyond the parts that have arrived, since the size is not known, got 101")
	urls, _, err := m.SignParts(context.Background(), 1, 100)
	require.NoError(t, err)
	s.putPart(t, &presign.Grant{Method: "PUT", URL: urls[0]}, png)
	_, err = m.SignPart(context.Background(), presign.Part{Number: 101})
	require.NoError(t, err)
}

// TestManyParts checks that lists of several pages are read completely.
func TestManyParts(t *testing.T) {
	policy := multipartPolicy()
	policy.MaxSize = 20_000 * partSize
	s := open(t, s3test.New(), policy)
	const n = 1200
	m, err := s.StartMultipart(context.Background(),
		presign.Upload{Owner: "alice", Filename: "a.png", MinSize: n})
	require.NoError(t, err)
	for first := 1; first <= n; first += 100 {
		urls, _, err := m.SignParts(context.Background(), first, first+99)
		require.NoError(t, err)
		for _, signed := range urls {
			s.putPart(t, &presign.Grant{Method: "PUT", URL: signed}, []byte{1})
		}
	}
	list, err := m.ListParts(context.Background())
	require.NoError(t, err)
	require.Len(t, list, n)
	_, err = m.Complete(context.Background(), nil)
	require.Equal(t, []string{"parts too_small must have at least 5242880 bytes " +
		"in all parts except the last, got 1 in part 1"}, violations(t, err),
		"the completion must read all pages")
	_, err = m.Complete(context.Background(), list[:n-1])
	require.Equal(t, []string{
		"size too_small must be from 1200 to 104857600000 bytes as granted, got 1199",
	}, violations(t, err))
	require.Len(t, s.uploads(t), 1)
}

// TestCompleteNamesParts checks that Complete rejects parts that have gaps or
// that have not arrived with the given values, and that the client can try
// again.
func TestCompleteNamesParts(t *testing.T) {
	s := open(t, s3test.New(), multipartPolicy())
	m, err := s.StartMultipart(context.Background(),
		presign.Upload{Owner: "alice", Filename: "a.png"})
	require.NoError(t, err)
	sent := s.putAll(t, m, large)
	missing := func(number int) string {
		return fmt.Sprintf("parts missing must name parts that have arrived, "+
			"got part %d, which has not arrived with these values", number)
	}
	const gap = "parts missing must be numbered from 1 without gaps, "
	for want, parts := range map[string][]presign.Part{
		missing(3):                            {sent[0], sent[1], {Number: 3, ETag: sent[1].ETag}},
		missing(4):                            {sent[0], sent[1], sent[2], {Number: 4}},
		missing(2):                            {sent[0], {Number: 2, Size: 1}},
		gap + "got part 3 in place of part 2": {sent[0], sent[2]},
		gap + "got part 2 in place of part 3": {sent[0], sent[1], sent[1]},
		gap + "got part 2 in place of part 1": {sent[1]},
	} {
		_, err := m.Complete(context.Background(), parts)
		require.Equal(t, []string{want}, violations(t, err))
		require.Len(t, s.uploads(t), 1)
	}
	for i := range sent {
		sent[i].ETag = strings.Trim(sent[i].ETag, `"`)
	}
	object, err := m.Complete(context.Background(), sent[:2])
	require.NoError(t, err)
	require.EqualValues(t, 2*partSize, object.Size, "the object must contain only the named parts")
}

// TestMultipartChecksum checks that an upload with a wrong checksum is not
// completed, and that a part can be sent again.
func TestMultipartChecksum(t *testing.T) {
	policy := multipartPolicy()
	policy.Checksum = types.ChecksumAlgorithmCrc32c
	s := open(t, s3test.New(), policy)
	m, err := s.StartMultipart(context.Background(), presign.Upload{
		Owner: "alice", Filename: "a.png", Size: int64(len(large)), Checksum: crc(large),
	})
	require.NoError(t, err)
	wrong := bytes.Clone(large)
	wrong[len(wrong)-1] = 1
	s.putAll(t, m, wrong)
	_, err = m.Complete(context.Background(), nil)
	require.Equal(t, []string{
		"checksum contradicts_content must match the parts that have arrived",
	}, violations(t, err))
	require.Empty(t, s.keys())
	grant, err := m.SignPart(context.Background(),
		presign.Part{Number: 3, Checksum: crc(pieces(large)[2])})
	require.NoError(t, err)
	require.Equal(t, 400, s.tryPart(t, grant, pieces(wrong)[2]).StatusCode)
	s.putPart(t, grant, pieces(large)[2])
	_, err = m.Complete(context.Background(), nil)
	require.NoError(t, err)

	for _, bad := range []string{"AAAA", "not base64", sha256sum(large), crc(large) + "\n"} {
		_, err := m.SignPart(context.Background(), presign.Part{Number: 1, Checksum: bad})
		require.Contains(t, violations(t, err)[0],
			"checksum invalid must be the part's CRC32C checksum of 4 bytes in base64")
	}
	m, err = open(t, s.store, multipartPolicy()).StartMultipart(context.Background(),
		presign.Upload{Owner: "alice", Filename: "a.png"})
	require.NoError(t, err)
	_, err = m.SignPart(context.Background(), presign.Part{Number: 1, Checksum: crc(large)})
	require.Equal(t, []string{
		"checksum not_allowed must not be set: the upload has no checksum algorithm",
	}, violations(t, err))
}

// TestMultipartIsVerified checks that the content of a multipart upload is
// verified.
func TestMultipartIsVerified(t *testing.T) {
	s := open(t, s3test.New(), multipartPolicy())
	m, err := s.StartMultipart(context.Background(),
		presign.Upload{Owner: "alice", Filename: "a.png"})
	require.NoError(t, err)
	s.putAll(t, m, []byte("<html><script>alert(1)</script></html>"))
	_, err = m.Complete(context.Background(), nil)
	require.Contains(t, violations(t, err)[0], "type contradicts_content must match the content, "+
		`got "image/png" for a file that looks like text/html`)
	require.Empty(t, s.keys())
	require.Empty(t, s.uploads(t))
}

// TestMultipartTaken checks that an object under a key that the service chose
// is replaced only if the policy allows it.
func TestMultipartTaken(t *testing.T) {
	inBubble(func(t *testing.T) {
		for _, replace := range []bool{false, true} {
			policy := multipartPolicy()
			policy.Replace, policy.FinalPrefix = replace, ""
			s := open(t, s3test.New(), policy)
			start := func() *presign.Multipart {
				m, err := s.StartMultipart(context.Background(),
					presign.Upload{Owner: "alice", Key: "incoming/a.png"})
				require.NoError(t, err)
				s.putAll(t, m, png)
				return m
			}
			first, second := start(), start()
			one, err := first.Complete(context.Background(), nil)
			require.NoError(t, err)
			two, err := second.Complete(context.Background(), nil)
			if replace {
				require.NoError(t, err)
				require.NotEqual(t, one.GrantID, two.GrantID)
				_, err = first.Complete(context.Background(), nil)
				require.ErrorIs(t, err, presign.ErrNotUploaded,
					"the object of the other upload must not be returned")
				continue
			}
			require.Equal(t, []string{
				"key taken must not be taken by another object, which this upload may not replace",
			}, violations(t, err))
			require.Empty(t, s.uploads(t))
			again, err := first.Complete(context.Background(), nil)
			require.NoError(t, err)
			require.EqualExportedValues(t, *one, *again)

			third := start()
			_, err = s.store.S3().DeleteObject(context.Background(), &s3.DeleteObjectInput{
				Bucket: aws.String(s3test.DefaultBucket), Key: aws.String("incoming/a.png"),
			})
			require.NoError(t, err)
			_, err = third.Complete(context.Background(), nil)
			require.ErrorIs(t, err, presign.ErrLost)
			require.NotErrorIs(t, err, presign.ErrChanged)
			require.ErrorContains(t, err, "start again")
			require.Empty(t, s.uploads(t))
			require.Empty(t, s.keys())
		}
	})(t)
}

// TestMultipartOtherPolicy checks that an upload replaces an object only if
// both the policy of its grant and the policy of the completing Signer set
// Replace.
func TestMultipartOtherPolicy(t *testing.T) {
	once, replacing := multipartPolicy(), multipartPolicy()
	once.FinalPrefix, replacing.FinalPrefix, replacing.Replace = "", "", true
	s := open(t, s3test.New(), once)
	s.upload(t, presign.Upload{Key: "incoming/a.png"}, false, png, nil)
	m, err := s.StartMultipart(t.Context(), presign.Upload{Owner: "alice", Key: "incoming/a.png"})
	require.NoError(t, err)
	s.putAll(t, m, append(bytes.Clone(png), 1))
	m, err = open(t, s.store, replacing).ResumeMultipart("alice", m.ID)
	require.NoError(t, err)
	_, err = m.Complete(t.Context(), nil)
	require.Equal(t, []string{
		"key taken must not be taken by another object, which this upload may not replace",
	}, violations(t, err))
	stored, _ := s.store.Object(s3test.DefaultBucket, "incoming/a.png")
	require.Equal(t, png, stored.Body)

	// The upload was granted with Replace, but the completing Signer has no
	// Replace.
	m, err = open(t, s.store, replacing).StartMultipart(t.Context(),
		presign.Upload{Owner: "alice", Key: "incoming/a.png"})
	require.NoError(t, err)
	s.putAll(t, m, append(bytes.Clone(png), 1))
	m, err = s.ResumeMultipart("alice", m.ID)
	require.NoError(t, err)
	_, err = m.Complete(t.Context(), nil)
	require.Equal(t, []string{
		"key taken must not be taken by another object, which this upload may not replace",
	}, violations(t, err))
}

// TestMultipartStartFails checks that a failed start does not abort other
// uploads to a key that the service chose.
func TestMultipartStartFails(t *testing.T) {
	s := open(t, s3test.New(), multipartPolicy())
	m, err := s.StartMultipart(t.Context(), presign.Upload{Owner: "alice", Key: "incoming/a.png"})
	require.NoError(t, err)
	s.store.Fail(func(operation string, _ *http.Request) s3test.Fault {
		if operation == "CreateMultipartUpload" {
			return s3test.CutAfter
		}
		return s3test.None
	})
	_, err = s.StartMultipart(t.Context(), presign.Upload{Owner: "alice", Key: "incoming/a.png"})
	require.Error(t, err)
	s.store.Fail(nil)
	s.putAll(t, m, png)
	_, err = m.Complete(t.Context(), nil)
	require.NoError(t, err)
}

// A verbose transport makes the upload ID in a response very long.
type verbose struct{ http.RoundTripper }

func (v verbose) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := v.RoundTripper.RoundTrip(r)
	if err != nil || r.Method != http.MethodPost {
		return response, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	body = bytes.Replace(body, []byte("</UploadId>"),
		[]byte(strings.Repeat("i", 4000)+"</UploadId>"), 1)
	response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return response, err
}

// TestMultipartLongID checks that StartMultipart returns an error if the
// store's upload ID is too long to be sealed.
func TestMultipartLongID(t *testing.T) {
	store := s3test.New(s3test.WithHistory())
	signer, err := presign.NewSigner(store.S3(), s3test.DefaultBucket, multipartPolicy(),
		presign.WithSecret(secret), presign.WithStore(store.S3(func(o *s3.Options) {
			o.HTTPClient = &http.Client{Transport: verbose{store.HTTPClient().Transport}}
		})))
	require.NoError(t, err)
	_, err = signer.StartMultipart(t.Context(), presign.Upload{Owner: "alice", Filename: "a.png"})
	require.ErrorContains(t, err, "its upload ID must be shorter, got 4")
	require.NotEmpty(t, store.History().Requests.Of("AbortMultipartUpload"),
		"the upload must be aborted, since no client receives its ID")
}

// TestMultipartCompletedMeanwhile checks that a completion returns the object
// if the store lists only some of the parts because another call has completed
// the upload. The store returns the incomplete list once or repeatedly.
func TestMultipartCompletedMeanwhile(t *testing.T) {
	for left := range 3 {
		for _, size := range []int64{0, int64(len(large))} {
			for _, named := range []bool{false, true} {
				for _, stays := range []bool{false, true} {
					name := fmt.Sprintf("%d left, size %d, named %t, stays %t",
						left, size, named, stays)
					t.Run(name, func(t *testing.T) {
						testCompletedMeanwhile(t, left, size, named, stays)
					})
				}
			}
		}
	}
}

func testCompletedMeanwhile(t *testing.T, left int, size int64, named, stays bool) {
	s := open(t, s3test.New(), multipartPolicy())
	m, err := s.StartMultipart(t.Context(),
		presign.Upload{Owner: "alice", Filename: "a.png", Size: size})
	require.NoError(t, err)
	sent := s.putAll(t, m, large)
	var object *presign.Object
	var partial []byte
	late := open(t, s.store, multipartPolicy(), presign.WithStore(s.store.S3(func(o *s3.Options) {
		o.HTTPClient = httpClient(func(r *http.Request) (*http.Response, error) {
			response, err := s.store.HTTPClient().Do(r)
			if err != nil || r.Method != http.MethodGet || !r.URL.Query().Has("uploadId") {
				return response, err
			}
			switch {
			case partial == nil:
				partial, err = io.ReadAll(response.Body)
				require.NoError(t, err)
				listed := regexp.MustCompile("<Part>.*?</Part>").FindAllIndex(partial, -1)
				require.Len(t, listed, 3)
				partial = slices.Delete(partial, listed[left][0], listed[2][1])
				object, err = m.Complete(t.Context(), nil)
				require.NoError(t, err)
			case !stays:
				return response, nil
			}
			require.NoError(t, response.Body.Close())
			response.StatusCode, response.Body = http.StatusOK,
				io.NopCloser(bytes.NewReader(partial))
			return response, nil
		})
	})))
	other, err := late.ResumeMultipart("alice", m.ID)
	require.NoError(t, err)
	if !named {
		sent = nil
	}
	same, err := other.Complete(t.Context(), sent)
	require.NoError(t, err)
	require.EqualExportedValues(t, *object, *same)
}

// TestMultipartWaitsForObject checks that the completion waits for the object
// if the store reports success while another request completes the upload.
func TestMultipartWaitsForObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, s3test.New(), multipartPolicy())
		m, err := s.StartMultipart(t.Context(), presign.Upload{Owner: "alice", Filename: "a.png"})
		require.NoError(t, err)
		s.putAll(t, m, large)
		early := open(t, s.store, multipartPolicy(),
			presign.WithStore(s.store.S3(func(o *s3.Options) {
				o.HTTPClient = httpClient(func(r *http.Request) (*http.Response, error) {
					if r.Method != http.MethodPost || !r.URL.Query().Has("uploadId") {
						return s.store.HTTPClient().Do(r)
					}
					go func() {
						time.Sleep(2 * time.Second)
						if _, err := m.Complete(t.Context(), nil); err != nil {
							t.Error(err)
						}
					}()
					return &http.Response{
						StatusCode: http.StatusOK, Header: http.Header{}, Request: r,
						Body: io.NopCloser(strings.NewReader(
							"<CompleteMultipartUploadResult><Key>" + m.Key +
								"</Key></CompleteMultipartUploadResult>")),
					}, nil
				})
			})))
		other, err := early.ResumeMultipart("alice", m.ID)
		require.NoError(t, err)
		object, err := other.Complete(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, finalKey(m.Key), object.Key)
	})
}

// TestMultipartIDs checks that an upload is resumed only with its ID, secret
// and FinalPrefix, for 7 days, and that the ID is not logged.
func TestMultipartIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, s3test.New(), multipartPolicy())
		m, err := s.StartMultipart(context.Background(),
			presign.Upload{Filename: "a.png", Owner: "alice"})
		require.NoError(t, err)
		sent := s.putAll(t, m, large)
		grant, err := m.SignPart(context.Background(), presign.Part{Number: 1})
		require.NoError(t, err)
		signed, err := url.Parse(grant.URL)
		require.NoError(t, err)
		stored, err := s.store.S3().ListMultipartUploads(context.Background(),
			&s3.ListMultipartUploadsInput{Bucket: aws.String(s3test.DefaultBucket)})
		require.NoError(t, err)
		require.Equal(t, aws.ToString(stored.Uploads[0].UploadId), signed.Query().Get("uploadId"))
		object := s.upload(t, presign.Upload{Filename: "a.png"}, false, png, nil)
		stamp := object.Headers["x-amz-meta-presign"]
		for _, bad := range []string{
			"", "A", signed.Query().Get("uploadId"), stamp, m.ID + "A",
			m.ID[:len(m.ID)-1], "B" + m.ID[1:], m.ID + "=", m.ID + "\n",
		} {
			_, err := s.ResumeMultipart("alice", bad)
			require.ErrorIs(t, err, presign.ErrInvalidID, "%q", bad)
		}
		for name, other := range map[string]shop{
			"secret": open(t, s.store, multipartPolicy(),
				presign.WithSecret(bytes.Repeat([]byte("another secret, "), 2))),
			"final": open(t, s.store, func() presign.Policy {
				p := multipartPolicy()
				p.FinalPrefix = ""
				return p
			}()),
		} {
			_, err := other.ResumeMultipart("alice", m.ID)
			require.ErrorIs(t, err, presign.ErrInvalidID, name)
		}

		text, err := json.Marshal(m)
		require.NoError(t, err)
		const form = `{"id": %q, "grant_id": %q, "key": %q, "part_size": 5242880, "expires_at": %q}`
		want := fmt.Sprintf(form, m.ID, m.GrantID, m.Key, m.Expires.Format(time.RFC3339))
		require.JSONEq(t, want, string(text))
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("started", "upload", m)
		require.NotContains(t, log.String(), m.ID)

		time.Sleep(7*24*time.Hour - time.Minute)
		again, err := s.ResumeMultipart("alice", m.ID)
		require.NoError(t, err)
		_, err = again.SignPart(context.Background(), presign.Part{Number: 1})
		require.NoError(t, err)
		time.Sleep(2 * time.Minute)
		_, err = s.ResumeMultipart("alice", m.ID)
		require.ErrorIs(t, err, presign.ErrExpired)
		_, err = m.SignPart(context.Background(), presign.Part{Number: 1})
		require.ErrorIs(t, err, presign.ErrExpired)
		_, err = m.ListParts(context.Background())
		require.ErrorIs(t, err, presign.ErrExpired)
		_, err = m.Complete(context.Background(), sent)
		require.ErrorIs(t, err, presign.ErrExpired)
		require.NoError(t, m.Abort(context.Background()))
		require.Empty(t, s.uploads(t))
	})
}

// TestAbortRepeats checks that Abort repeats the request until the upload is
// gone. S3 might store a part that arrives during an abort.
func TestAbortRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, s3test.New(), multipartPolicy())
		m, err := s.StartMultipart(context.Background(),
			presign.Upload{Owner: "alice", Filename: "a.png"})
		require.NoError(t, err)
		s.putAll(t, m, large)
		aborted := 0
		// The client reports success for two aborts and does not send them.
		client := s.store.S3(func(o *s3.Options) {
			o.HTTPClient = httpClient(func(r *http.Request) (*http.Response, error) {
				if r.Method == http.MethodDelete {
					if aborted++; aborted < 3 {
						return &http.Response{
							StatusCode: 204, Body: http.NoBody, Header: http.Header{},
						}, nil
					}
				}
				return s.store.HTTPClient().Do(r)
			})
		})
		m, err = open(t, s.store, multipartPolicy(),
			presign.WithStore(client)).ResumeMultipart("alice", m.ID)
		require.NoError(t, err)
		require.NoError(t, m.Abort(context.Background()))
		require.Equal(t, 3, aborted)
		require.Empty(t, s.uploads(t))
	})
}

// TestMultipartStore checks that the signing client makes no request, and that
// the client of WithStore signs no URL.
func TestMultipartStore(t *testing.T) {
	store := s3test.New()
	store.AddCredentials(aws.Credentials{AccessKeyID: "AKIASTORE", SecretAccessKey: "secret"})
	signing := newClient(func(o *s3.Options) {
		*o = store.S3().Options()
		o.HTTPClient = httpClient(func(*http.Request) (*http.Response, error) {
			return nil, errors.New("the signing client must not make a request")
		})
	})
	other := store.S3(func(o *s3.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIASTORE", SecretAccessKey: "secret"}, nil
		})
	})
	policy := multipartPolicy()
	policy.Headers["x-amz-request-payer"] = "requester"
	signer, err := presign.NewSigner(signing, s3test.DefaultBucket, policy,
		presign.WithSecret(secret), presign.WithStore(other))
	require.NoError(t, err)
	s := shop{signer, store, new(bytes.Buffer)}
	m, err := s.StartMultipart(context.Background(),
		presign.Upload{Owner: "alice", Filename: "a.png"})
	require.NoError(t, err)
	urls, _, err := m.SignParts(context.Background(), 1, 3)
	require.NoError(t, err)
	for i, piece := range pieces(large) {
		require.Contains(t, urls[i], "Credential="+s3test.AccessKeyID)
		require.Contains(t, urls[i], "&x-amz-request-payer=requester")
		s.putPart(t, &presign.Grant{Method: "PUT", URL: urls[i]}, piece)
	}
	store.Fail(func(_ string, r *http.Request) s3test.Fault {
		if !strings.Contains(r.Header.Get("Authorization"), "AKIASTORE") {
			t.Error("the request must be signed by the client of WithStore")
		}
		return s3test.None
	})
	_, err = m.Complete(context.Background(), nil)
	require.NoError(t, err)
}

// TestMultipartReplicas checks that concurrent completions by several replicas
// all succeed.
func TestMultipartReplicas(t *testing.T) {
	for range 5 {
		store := s3test.New()
		one, two := open(t, store, multipartPolicy()), open(t, store, multipartPolicy())
		m, err := one.StartMultipart(context.Background(),
			presign.Upload{Owner: "alice", Filename: "a.png"})
		require.NoError(t, err)
		one.putAll(t, m, png)
		other, err := two.ResumeMultipart("alice", m.ID)
		require.NoError(t, err)
		var objects [6]*presign.Object
		var wg sync.WaitGroup
		for i := range objects {
			m := []*presign.Multipart{m, other}[i%2]
			wg.Go(func() {
				var err error
				// Complete can return ErrChanged while another completion
				// publishes and deletes the upload.
				for err = presign.ErrChanged; errors.Is(err, presign.ErrChanged); {
					objects[i], err = m.Complete(context.Background(), nil)
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
		require.Equal(t, []string{finalKey(m.Key)}, one.keys())
	}
}

// TestMultipartSurvivesFaults checks that each step can be repeated after a
// fault of any request, before or after the request took effect. At the end,
// only the object of a completed upload exists.
func TestMultipartSurvivesFaults(t *testing.T) {
	inBubble(func(t *testing.T) {
		for _, end := range []string{"complete", "abort", "too large"} {
			for _, fault := range []s3test.Fault{
				s3test.InternalError, s3test.SlowDown,
				s3test.AccessDenied, s3test.Cut, s3test.CutAfter,
			} {
				for failing := 0; ; failing++ {
					store := s3test.New()
					once := store.S3(func(o *s3.Options) { o.RetryMaxAttempts = 1 })
					signer, err := presign.NewSigner(store.S3(), s3test.DefaultBucket,
						multipartPolicy(), presign.WithSecret(secret), presign.WithStore(once))
					require.NoError(t, err)
					s := shop{signer, store, new(bytes.Buffer)}
					failed := store.FailOnce(failing, fault, "UploadPart")
					about := func() string {
						return fmt.Sprintf("fault %d of %s, request %d", fault, failed(), failing)
					}
					retry := func(step func() error) error {
						err := step()
						if err == nil {
							return nil
						}
						if failed() != "" && firstViolation(err) == nil {
							require.NotErrorIs(t, err, presign.ErrNotUploaded, about())
							require.ErrorContains(t, err, "presign: the store failed", about())
						}
						return step()
					}
					u := presign.Upload{Owner: "alice", Filename: "a.png"}
					if end == "too large" {
						u.MaxSize = int64(len(png)) - 1
					}
					var m *presign.Multipart
					require.NoError(t, retry(func() (err error) {
						m, err = s.StartMultipart(t.Context(), u)
						return err
					}), about())
					var grant *presign.Grant
					require.NoError(t, retry(func() (err error) {
						grant, err = m.SignPart(t.Context(), presign.Part{Number: 1})
						return err
					}), about())
					s.putPart(t, grant, png)
					switch end {
					case "abort":
						require.NoError(t, retry(func() error { return m.Abort(t.Context()) }),
							about())
					case "complete":
						var object *presign.Object
						require.NoError(t, retry(func() (err error) {
							object, err = m.Complete(t.Context(), nil)
							return err
						}), about())
						stored, ok := store.Object(s3test.DefaultBucket, object.Key)
						require.True(t, ok)
						require.True(t, bytes.Equal(png, stored.Body))
					case "too large":
						for range 2 { // After a fault, the first call might not delete the upload.
							_, err := m.Complete(t.Context(), nil)
							require.Error(t, err)
						}
					}
					store.Fail(nil)
					require.Empty(t, s.uploads(t), about())
					if end == "complete" {
						// This completion deletes an upload whose deletion has
						// failed.
						_, err := m.Complete(t.Context(), nil)
						require.NoError(t, err, about())
						require.Equal(t, []string{finalKey(m.Key)}, s.keys(), about())
					} else {
						require.Empty(t, s.keys(), about())
					}
					if failed() == "" {
						require.Greater(t, failing, 3)
						break
					}
				}
			}
		}
	})(t)
}

// TestMultipartHangs checks that each step ends after ten seconds, or earlier
// with the caller's context, if the store hangs.
func TestMultipartHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, s3test.New(), multipartPolicy())
		m, err := s.StartMultipart(t.Context(), presign.Upload{Owner: "alice", Filename: "a.png"})
		require.NoError(t, err)
		s.store.Fail(func(string, *http.Request) s3test.Fault { return s3test.Hang })
		for _, limit := range []time.Duration{time.Second, time.Hour} {
			for _, step := range []func(context.Context) error{
				func(ctx context.Context) error {
					_, err := m.SignPart(ctx, presign.Part{Number: 1})
					return err
				},
				func(ctx context.Context) error { _, err := m.ListParts(ctx); return err },
				func(ctx context.Context) error { _, err := m.Complete(ctx, nil); return err },
				m.Abort,
			} {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				started := time.Now()
				require.ErrorIs(t, step(ctx), context.DeadlineExceeded)
				require.Equal(t, min(limit, 10*time.Second), time.Since(started))
				cancel()
			}
		}
		started := time.Now()
		_, err = s.StartMultipart(t.Context(), presign.Upload{Owner: "alice", Filename: "a.png"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 10*time.Second, time.Since(started))
	})
}

// TestPartOfAnotherPolicy checks that an upload keeps the checksum algorithm
// with which it started.
func TestPartOfAnotherPolicy(t *testing.T) {
	store, policy, sum := s3test.New(), multipartPolicy(),
		base64.StdEncoding.EncodeToString(make([]byte, 4))
	policy.Checksum = types.ChecksumAlgorithmCrc32
	m, err := open(t, store, policy).StartMultipart(t.Context(),
		presign.Upload{Owner: "alice", Filename: "a.png", Size: 3 * partSize, Checksum: sum})
	require.NoError(t, err)
	for _, now := range []types.ChecksumAlgorithm{"", types.ChecksumAlgorithmCrc64nvme} {
		policy.Checksum = now
		resumed, err := open(t, store, policy).ResumeMultipart("alice", m.ID)
		require.NoError(t, err)
		grant, err := resumed.SignPart(t.Context(), presign.Part{Number: 1, Checksum: sum})
		require.NoError(t, err)
		require.Equal(t, map[string]string{"x-amz-checksum-crc32": sum}, grant.Headers)
		require.Contains(t, signedHeaders(t, grant), "x-amz-checksum-crc32")
	}
}

// storeID returns the store's ID of the only multipart upload in progress.
func (s shop) storeID(t *testing.T) string {
	t.Helper()
	out, err := s.store.S3().ListMultipartUploads(t.Context(),
		&s3.ListMultipartUploadsInput{Bucket: aws.String(s3test.DefaultBucket)})
	require.NoError(t, err)
	require.Len(t, out.Uploads, 1)
	return aws.ToString(out.Uploads[0].UploadId)
}

// TestUnsizedMultipartListings checks that signing 10,000 parts of an upload of
// unknown size makes at most 1200 ListParts requests.
func TestUnsizedMultipartListings(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("the test is slow: the SDK decodes half a million parts")
	}
	policy := multipartPolicy()
	policy.MaxSize = 10_000 * partSize
	s := open(t, s3test.New(s3test.WithHistory()), policy)
	m, err := s.StartMultipart(t.Context(), presign.Upload{Filename: "a.png", Owner: "alice"})
	require.NoError(t, err)
	id := s.storeID(t)
	for number := 1; number <= 10_000; number++ {
		_, err := m.SignPart(t.Context(), presign.Part{Number: number})
		require.NoError(t, err, number)
		s.store.PutPart(id, number, nil, partSize)
	}
	listings := len(s.store.History().Requests.Of("ListParts"))
	require.LessOrEqual(t, listings, 1200)
	t.Logf("%d listings", listings)
}

// TestUnsizedMultipartIsBounded checks that an upload of unknown size is
// aborted soon after it becomes too large, whichever parts a client requests.
// An upload with n parts is aborted after at most min(n/10, 100)+1 signatures.
func TestUnsizedMultipartIsBounded(t *testing.T) {
	for stored, limit := range map[int]int{5: 1, 100: 11, 1000: 101, 3000: 101} {
		for _, again := range []bool{false, true} {
			policy := multipartPolicy()
			policy.MaxSize = 10_000 * partSize
			s := open(t, s3test.New(s3test.WithHistory()), policy)
			m, err := s.StartMultipart(t.Context(),
				presign.Upload{Filename: "a.png", Owner: "alice"})
			require.NoError(t, err)
			id := s.storeID(t)
			for number := 1; number <= stored; number++ {
				s.store.PutPart(id, number, nil, partSize)
			}
			_, err = m.SignPart(t.Context(), presign.Part{Number: stored})
			require.NoError(t, err)
			for number := 1; number <= 11; number++ { // The parts now exceed 50 GiB.
				s.store.PutPart(id, number, nil, 5<<30)
			}
			signatures := 0
			for err == nil {
				number := stored
				if !again {
					number += min(signatures+1, 100)
				}
				_, err = m.SignPart(t.Context(), presign.Part{Number: number})
				signatures++
				require.LessOrEqual(t, signatures, limit, "%d parts", stored)
			}
			require.ErrorAs(t, err, new(*presign.RejectedError))
			require.Equal(t, "too_large", presign.Violations(err)[0].Code)
			require.Empty(t, s.uploads(t), "the upload must be aborted")
		}
	}
	// Before the first part is uploaded, only 100 parts are signed.
	policy := multipartPolicy()
	policy.MaxSize = 10_000 * partSize
	s := open(t, s3test.New(), policy)
	m, err := s.StartMultipart(t.Context(), presign.Upload{Filename: "a.png", Owner: "alice"})
	require.NoError(t, err)
	_, err = m.SignPart(t.Context(), presign.Part{Number: 100})
	require.NoError(t, err)
	_, err = m.SignPart(t.Context(), presign.Part{Number: 101})
	found := presign.Violations(err)
	require.Equal(t, []any{"part", int64(100)}, []any{found[0].Field, found[0].Max})
}

// TestPartsHaveLifetimeOfGrant checks that the URL of a part has the lifetime
// of the policy or of the grant, although the upload can continue for seven
// days.
func TestPartsHaveLifetimeOfGrant(t *testing.T) {
	policy := multipartPolicy()
	policy.Lifetime = 10 * time.Minute
	s := open(t, s3test.New(), policy)
	for lifetime, want := range map[time.Duration]string{0: "600", time.Minute: "60"} {
		m, err := s.StartMultipart(t.Context(),
			presign.Upload{Owner: "alice", Filename: "a.png", Lifetime: lifetime})
		require.NoError(t, err)
		grant, err := m.SignPart(t.Context(), presign.Part{Number: 1})
		require.NoError(t, err)
		require.Equal(t, want, query(t, grant).Get("X-Amz-Expires"))
	}
}
