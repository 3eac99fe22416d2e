package main

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/conformance"
)

// TestTable checks that the table has the figures of all contenders, and that
// the plots have the figures of the libraries.
func TestTable(t *testing.T) {
	var printed strings.Builder
	dir := t.TempDir()
	require.NoError(t, run(t.Context(), []string{"-quick", "-plots", dir}, &printed))
	t.Log("\n" + printed.String())

	const one, three, four = "1000", "1110", "1111" // the contenders with a figure
	figures := map[string]string{
		"PUT: CPU time": three, "form: CPU time": three, "part, of 10,000: CPU time": three,
		"PUT: allocations": three, "form: allocations": three,
		"part, of 10,000: allocations":    three,
		"PUT on 2 cores: grants a second": one, "PUT on 2 cores: CPU time": one,
		"PUT on 2 cores: time spent waiting for locks": one,
		"PUT by 100 Signers in turn: CPU time":         one,
		"PUT, new credentials every 1,000: CPU time":   one,
		"PUT, credentials of EnvFile: CPU time":        one,
	}
	for _, kind := range []string{"PUT", "form"} {
		for _, figure := range []string{
			"grants a second", "p50", "p99", "CPU for 10,000", "core of the client, busy",
		} {
			figures[kind+" over HTTP: "+figure] = four
		}
	}
	figures["PUTs over HTTP, 100 in a request: CPU for 10,000"] = one
	compared := regexp.MustCompile(`^$|^[\d.]+ × [^,]+(, [\d.]+ × [^,]+)*$`)
	lines := strings.Split(printed.String(), "\n")
	for _, line := range lines[2 : 2+len(figures)] {
		cells := strings.Split(strings.Trim(line, "|"), "|")
		require.Len(t, cells, 2+len(contenders), line)
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		want, known := figures[cells[0]]
		require.True(t, known, line)
		delete(figures, cells[0])
		for i, cell := range cells[1 : 1+len(contenders)] {
			if want[i] == '0' {
				require.Empty(t, cell, line)
				continue
			}
			figure, err := strconv.ParseFloat(strings.Fields(cell)[0], 64)
			require.NoError(t, err, line)
			if !strings.Contains(line, "locks") { // Possibly no goroutine has waited for a lock.
				require.Positive(t, figure, line)
			}
		}
		require.Regexp(t, compared, cells[1+len(contenders)], line)
	}
	require.Empty(t, figures)
	require.Contains(t, printed.String(), " cores, go1.")

	plotted := readFigures(t, dir)
	require.Len(t, plotted.Grants, 3)
	for _, group := range plotted.Grants {
		for _, contender := range []string{ours, theSDK, theMinIO} {
			require.Positive(t, group.Times[contender], group.Kind)
			require.Contains(t, printed.String(), fmt.Sprintf(" %.3g µs ", group.Times[contender]),
				group.Kind)
		}
	}
}

// TestSameGrants checks that the contenders sign the same grants. A real store
// must accept the granted upload and reject other uploads.
func TestSameGrants(t *testing.T) {
	b, err := open(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.close()) })
	site, body := b.site(), bytes.Repeat([]byte("."), int(document.Size))

	signer, err := newSigner(site.client(nil))
	require.NoError(t, err)
	minioGo, err := site.minioGo()
	require.NoError(t, err)
	by := func(grant func(*upload) (*grant, error)) func() (*presign.Grant, error) {
		return func() (*presign.Grant, error) {
			g, err := grant(newUpload(http.MethodPut))
			if err != nil {
				return nil, err
			}
			return &presign.Grant{Method: g.Method, URL: g.URL, Headers: g.Headers,
				Fields: g.Fields, Key: g.Key, Expires: g.Expires}, nil
		}
	}
	type sign = func() (*presign.Grant, error)
	signs := map[string]sign{
		"presign PUT": func() (*presign.Grant, error) { return signer.Put(t.Context(), document) },
		"presign form": func() (*presign.Grant, error) {
			return signer.Post(t.Context(), document)
		},
	}
	rivals := map[string]rival{theSDK: site.sdk(), theMinIO: minioGo}
	for name, rival := range rivals {
		signs[name+" PUT"] = by(
			func(u *upload) (*grant, error) { return rival.put(t.Context(), u) })
		signs[name+" form"] = by(
			func(u *upload) (*grant, error) { return rival.form(t.Context(), u) })
	}
	for name, sign := range signs {
		t.Run(name, func(t *testing.T) {
			send := func(
				grant *presign.Grant, body []byte, cheat func(*conformance.Attempt),
			) conformance.Response {
				attempt := conformance.New(grant, document.Filename, body)
				cheat(attempt)
				response, err := attempt.Send(http.DefaultClient)
				require.NoError(t, err)
				return response
			}
			grant, err := sign()
			require.NoError(t, err)
			honest := func(*conformance.Attempt) {}
			require.False(t, send(grant, body[1:], honest).Accepted(),
				"an upload of another size must be rejected")
			for _, header := range []string{
				"Content-Type", "Content-Disposition", "x-amz-meta-project",
			} {
				response := send(grant, body,
					func(a *conformance.Attempt) { a.Set(header, "text/html") })
				require.False(t, response.Accepted(), header)
			}
			require.True(t, send(grant, body, honest).Accepted())
			stored, err := b.server.Client().HeadObject(t.Context(),
				&s3.HeadObjectInput{Bucket: aws.String(bucketName), Key: &grant.Key})
			require.NoError(t, err)
			require.Equal(t, document.Size, *stored.ContentLength)
			require.Equal(t, document.Type, *stored.ContentType)
			require.Equal(t, "apollo", stored.Metadata["project"])
			if grant.Method == http.MethodPut {
				require.Equal(t, 412, send(grant, body, honest).Status)
			}
		})
	}

	multipart, err := signer.StartMultipart(t.Context(), film)
	require.NoError(t, err)
	created, err := b.server.Client().CreateMultipartUpload(t.Context(),
		&s3.CreateMultipartUploadInput{
			Bucket: aws.String(bucketName), Key: aws.String(multipart.Key),
		})
	require.NoError(t, err)
	urls := make(map[string]string)
	ours, _, err := multipart.SignParts(t.Context(), 1, partCount)
	require.NoError(t, err)
	urls["presign part"] = ours[partCount-1]
	for name, rival := range rivals {
		urls[name+" part"], err = rival.part(t.Context(), multipart.Key, *created.UploadId,
			partCount)
		require.NoError(t, err)
	}
	for name, url := range urls {
		t.Run(name, func(t *testing.T) {
			put := func(size int) int {
				response, err := (&conformance.Attempt{Method: http.MethodPut, URL: url,
					Body: make([]byte, size)}).Send(http.DefaultClient)
				require.NoError(t, err)
				return response.Status
			}
			require.Equal(t, 403, put(1))
			require.Equal(t, 200, put(partSize))
		})
	}
}
