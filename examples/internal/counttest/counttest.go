// Package counttest counts the requests that completions make to a real S3
// server.
package counttest

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
)

// latency is added to each request, so that parallel requests overlap.
const latency = 50 * time.Millisecond

// A network counts requests. It is the transport of a client.
type network struct {
	next http.RoundTripper

	mu     sync.Mutex
	events int
	spans  []span
}

// A span describes a request. Its start and end are numbers of events.
type span struct {
	name       string
	start, end int
}

func (n *network) event() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.events++
	return n.events
}

// RoundTrip implements http.RoundTripper.
func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	start := n.event()
	timer := time.NewTimer(latency)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	response, err := n.next.RoundTrip(r)
	end := n.event()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.spans = append(n.spans, span{r.Method + " " + r.URL.Path, start, end})
	return response, err
}

// take returns the spans since the last call.
func (n *network) take() []span {
	n.mu.Lock()
	defer n.mu.Unlock()
	spans := n.spans
	n.spans = nil
	return spans
}

// depth returns the length of the longest chain of requests that follow one
// another.
func depth(spans []span) (deep int) {
	slices.SortFunc(spans, func(a, b span) int { return a.end - b.end })
	ended := 0
	for _, s := range spans {
		if s.start > ended {
			deep++
			ended = s.end
		}
	}
	return deep
}

// A row is a case in the table of requests. The field deep includes the DELETE,
// which a Handler sends after its response.
type row struct {
	name        string
	change      func(*presign.Policy)
	form        bool
	multipart   bool
	owner       string // the owner in the call of Complete, alice if empty
	again       bool   // the upload was completed before
	absent      bool
	count, deep int
}

func allowReplace(p *presign.Policy)     { p.Replace = true }
func clearFinalPrefix(p *presign.Policy) { p.FinalPrefix = "" }
func requireChecksum(p *presign.Policy)  { p.Checksum = types.ChecksumAlgorithmCrc32c }

var rows = []row{
	{name: "PUT", count: 5, deep: 4},
	{name: "form", form: true, count: 5, deep: 4},
	{name: "Replace", change: allowReplace, count: 5, deep: 4},
	{name: "checksum", change: requireChecksum, count: 6, deep: 4},
	{name: "multipart", multipart: true, count: 8, deep: 6},
	{name: "without FinalPrefix", change: clearFinalPrefix, count: 1, deep: 1},
	{name: "repeated", again: true, count: 2, deep: 1},
	{name: "not uploaded", absent: true, count: 3, deep: 2},
	{name: "other owner, uploaded", owner: "bob", count: 3, deep: 2},
	{name: "other owner, published", owner: "bob", again: true, count: 3, deep: 2},
}

var picture = append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"+
	"\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00"), make([]byte, 100)...)

// Run checks the number of requests of each case at a server. The function
// client returns a client of the server with options. If checksums is false,
// Run skips the case with a checksum.
func Run(
	t *testing.T, client func(...func(*s3.Options)) *s3.Client, bucket string, checksums bool,
) {
	for _, r := range rows {
		if r.name == "checksum" && !checksums {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			transport := http.DefaultTransport.(*http.Transport).Clone()
			t.Cleanup(transport.CloseIdleConnections)
			r.run(t, client, bucket, &network{next: transport})
		})
	}
}

func (r row) run(
	t *testing.T, client func(...func(*s3.Options)) *s3.Client, bucket string, n *network,
) {
	policy := presign.Policy{
		Prefix: "incoming/", FinalPrefix: "files/", Types: []string{"image/*"}, MaxSize: 1 << 20,
	}
	if r.change != nil {
		r.change(&policy)
	}
	counted := client(func(o *s3.Options) { o.HTTPClient = &http.Client{Transport: n} })
	signer, err := presign.NewSigner(client(), bucket, policy,
		presign.WithSecret(bytes.Repeat([]byte("0123456789abcdef"), 2)), presign.WithStore(counted))
	require.NoError(t, err)
	u := presign.Upload{Filename: "a.png", Owner: "alice", Size: int64(len(picture))}
	if policy.Checksum != "" {
		sum := crc32.Checksum(picture, crc32.MakeTable(crc32.Castagnoli))
		u.Checksum = base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
	}
	complete := r.upload(t, signer, u)
	if r.again {
		_, err := signer.Complete(t.Context(), "alice", complete.key)
		require.NoError(t, err)
	}
	n.take()
	owner := r.owner
	if owner == "" {
		owner = "alice"
	}
	err = complete.call(owner)
	if r.absent || owner != "alice" {
		require.ErrorIs(t, err, presign.ErrNotUploaded)
	} else {
		require.NoError(t, err)
	}
	spans := n.take()
	require.Len(t, spans, r.count, "%v", spans)
	require.Equal(t, r.deep, depth(spans), "%v", spans)
}

// A completion completes an upload.
type completion struct {
	key  string
	call func(owner string) error
}

func (r row) upload(t *testing.T, signer *presign.Signer, u presign.Upload) completion {
	t.Helper()
	send := func(grant *presign.Grant, err error) string {
		require.NoError(t, err)
		request, err := grant.Request(t.Context(), bytes.NewReader(picture), int64(len(picture)))
		require.NoError(t, err)
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Less(t, response.StatusCode, 300)
		return grant.Key
	}
	if r.multipart {
		m, err := signer.StartMultipart(t.Context(), u)
		require.NoError(t, err)
		send(m.SignPart(t.Context(), presign.Part{Number: 1}))
		return completion{m.Key, func(string) error {
			_, err := m.Complete(t.Context(), nil)
			return err
		}}
	}
	key := ""
	switch {
	case r.absent:
		key = "incoming/none"
	case r.form:
		key = send(signer.Post(t.Context(), u))
	default:
		key = send(signer.Put(t.Context(), u))
	}
	return completion{key, func(owner string) error {
		_, err := signer.Complete(t.Context(), owner, key)
		return err
	}}
}
