package main

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/browser"
	"github.com/s3presign/presign/examples/internal/process"
	"github.com/s3presign/presign/examples/internal/program"
	"github.com/s3presign/presign/examples/internal/store"
)

// requireClamd skips the test if clamd is not installed, or fails it in CI.
func requireClamd(t *testing.T) {
	t.Helper()
	if _, err := findClamd(); err != nil {
		process.Skip(t, err.Error())
	}
}

// runClamd starts a clamd that runs until the test ends.
func runClamd(t *testing.T, maxSize int64) *daemon {
	t.Helper()
	requireClamd(t)
	d, err := startClamd(t.Context(), maxSize)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.close()) })
	return d
}

// An api is the Handler of a user with its store.
type api struct {
	*testing.T
	handler http.Handler
	signer  *presign.Signer
	client  *s3.Client
}

// newAPI starts a store and returns a Handler that inspects its uploads.
func newAPI(t *testing.T, inspect func(context.Context, *presign.Object) error) *api {
	t.Helper()
	server, err := store.Start(context.Background(), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	require.NoError(t, server.CreateBucket(t.Context(), bucket))
	signer, err := newSigner(server.Client(), []byte(rand.Text()+rand.Text()), inspect)
	require.NoError(t, err)
	handler, err := presign.NewHandler(signer, func(*http.Request) (string, error) {
		return "alice", nil
	})
	require.NoError(t, err)
	return &api{t, handler, signer, server.Client()}
}

// post sends a request to the Handler, decodes the response and returns the
// status.
func (a *api) post(path string, body any, response any) int {
	a.Helper()
	text, err := json.Marshal(body)
	require.NoError(a, err)
	r := httptest.NewRequestWithContext(a.Context(), "POST", path, bytes.NewReader(text))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, r)
	require.NoError(a, json.Unmarshal(w.Body.Bytes(), response), "%s", w.Body)
	return w.Code
}

// send sends a file to the store.
func (a *api) send(grant *presign.Grant, content []byte) {
	a.Helper()
	request, err := grant.Request(a.Context(), bytes.NewReader(content), int64(len(content)))
	require.NoError(a, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(a, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(a, err)
	require.Less(a, response.StatusCode, 300, "%s", text)
}

// upload uploads a file and returns the body that completes it.
func (a *api) upload(method, name string, content []byte) map[string]any {
	a.Helper()
	var granted struct {
		presign.Grant
		ID string
	}
	ask := map[string]any{"filename": name, "size": len(content), "method": method}
	require.Equal(a, 201, a.post("/", ask, &granted))
	if method != "multipart" {
		a.send(&granted.Grant, content)
		return map[string]any{"key": granted.Key}
	}
	var signed struct{ URLs []string }
	part := map[string]any{"id": granted.ID, "first": 1, "last": 1}
	require.Equal(a, 200, a.post("/parts/sign", part, &signed))
	a.send(&presign.Grant{Method: "PUT", URL: signed.URLs[0]}, content)
	return map[string]any{"id": granted.ID}
}

// An outcome is a response to POST /complete: an Object or a Problem.
type outcome struct {
	presign.Object
	Errors  []presign.Violation
	Message string
}

func (o outcome) codes() (codes []string) {
	for _, v := range o.Errors {
		codes = append(codes, v.Field+" "+v.Code)
	}
	return codes
}

// keys returns the keys of all objects under a prefix.
func (a *api) keys(ctx context.Context, prefix string) (keys []string, err error) {
	found, err := a.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
		Bucket: aws.String(bucket), Prefix: &prefix,
	})
	if err != nil {
		return nil, err
	}
	for _, o := range found.Contents {
		keys = append(keys, *o.Key)
	}
	return keys, nil
}

// watch lists the published objects until the test calls stop, which returns
// all keys that were listed.
func (a *api) watch() (stop func() map[string]bool) {
	ctx, cancel := context.WithCancel(a.Context())
	seen, ended := map[string]bool{}, make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			keys, _ := a.keys(ctx, policy.FinalPrefix)
			for _, key := range keys {
				seen[key] = true
			}
		}
	}()
	return func() map[string]bool { cancel(); <-ended; return seen }
}

func pack(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	archive, err := compress(name, content)
	require.NoError(t, err)
	return archive
}

// TestEICARIsRejected checks that the EICAR test file is never published, with
// a real store, a real clamd and every method of upload.
func TestEICARIsRejected(t *testing.T) {
	s := newScanner(runClamd(t, policy.MaxSize).scan, time.Minute, 1_000_000, 4)
	t.Cleanup(s.close)
	a := newAPI(t, s.inspect)
	picture := browser.Picture(t, 0, png.Encode)
	stop, published := a.watch(), 0
	for _, method := range []string{"POST", "PUT", "multipart"} {
		for _, c := range []struct {
			name     string
			content  []byte
			infected bool
		}{
			{"eicar.txt", eicar, true},
			{"eicar.zip", pack(t, "eicar.com", eicar), true},
			{"nested.zip", pack(t, "a.zip", pack(t, "eicar.com", eicar)), true},
			{"picture.png", append(bytes.Clone(picture), eicar...), true},
			{"clean.txt", []byte("hello"), false},
			{"clean.zip", pack(t, "hello.txt", []byte("hello")), false},
			{"clean.png", picture, false},
			{"large.txt", bytes.Repeat([]byte("hello\n"), 700_000), false},
		} {
			name := method + " " + c.name
			var got outcome
			status := a.post("/complete", a.upload(method, c.name, c.content), &got)
			if !c.infected {
				require.Equal(t, 200, status, "%s: %v", name, got)
				require.True(t, strings.HasPrefix(got.Key, policy.FinalPrefix), name)
				published++
				continue
			}
			require.Equal(t, 422, status, name)
			require.Equal(t, []string{"content infected"}, got.codes(), name)
			require.Equal(t, "must be free of malware, got Eicar-Test-Signature.UNOFFICIAL",
				got.Errors[0].Detail)
		}
	}
	for key := range stop() {
		require.Regexp(t, `/(clean|large)\.\w+$`, key)
	}
	// The rejected uploads are deleted in the background.
	require.NoError(t, a.signer.Shutdown(t.Context()))
	keys, err := a.keys(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, keys, published)
}

// TestUnscannableFilesAreRejected checks that clamd reports files that it
// cannot scan completely. Its default configuration accepts such files.
func TestUnscannableFilesAreRejected(t *testing.T) {
	const maxSize = 1 << 20
	d := runClamd(t, maxSize)
	var bomb bytes.Buffer
	w := zip.NewWriter(&bomb)
	file, err := w.Create("bomb")
	require.NoError(t, err)
	_, err = io.Copy(file,
		io.MultiReader(io.LimitReader(zeros{}, 4*maxSize), bytes.NewReader(eicar)))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.Less(t, bomb.Len(), maxSize)
	found, err := d.scan(t.Context(), &bomb)
	require.NoError(t, err)
	require.NotEmpty(t, found)
	require.Equal(t, "not_scannable", rejection(found).Code, found)

	// Both headers of the file have the flag for encryption.
	encrypted := pack(t, "eicar.com", eicar)
	for _, header := range []string{"PK\x03\x04", "PK\x01\x02"} {
		at := bytes.Index(encrypted, []byte(header)) +
			map[string]int{"PK\x03\x04": 6, "PK\x01\x02": 8}[header]
		encrypted[at] |= 1
	}
	found, err = d.scan(t.Context(), bytes.NewReader(encrypted))
	require.NoError(t, err)
	require.NotEmpty(t, found)
	require.Equal(t, "not_scannable", rejection(found).Code, found)

	// clamd closes the connection before the scan has sent all bytes.
	_, err = d.scan(t.Context(), io.LimitReader(zeros{}, 100*maxSize))
	require.ErrorContains(t, err, "size limit exceeded")
}

type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestDeadClamdKeepsUploads checks that an upload is kept if clamd has stopped.
func TestDeadClamdKeepsUploads(t *testing.T) {
	d := runClamd(t, policy.MaxSize)
	s := newScanner(d.scan, time.Minute, 1, 1)
	t.Cleanup(s.close)
	a := newAPI(t, s.inspect)
	body := a.upload("PUT", "a.txt", []byte("hello"))
	require.NoError(t, d.close())
	var got outcome
	require.Equal(t, 500, a.post("/complete", body, &got))
	require.NotContains(t, got.Message, "socket")
	keys, err := a.keys(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, []string{body["key"].(string)}, keys)

	again := runClamd(t, policy.MaxSize)
	s.scan = again.scan
	require.Equal(t, 200, a.post("/complete", body, &got))
}

// TestPendingClientsReceiveOutcome checks that a client receives 409 during a
// scan, and the outcome if it repeats the request later.
func TestPendingClientsReceiveOutcome(t *testing.T) {
	s := newScanner(runClamd(t, policy.MaxSize).scan, time.Nanosecond, 1_000_000, 4)
	t.Cleanup(s.close)
	a := newAPI(t, s.inspect)
	for name, want := range map[string]int{"eicar.txt": 422, "clean.txt": 200} {
		content := eicar
		if want == 200 {
			content = bytes.Repeat([]byte("hello\n"), 700_000)
		}
		body, pending := a.upload("PUT", name, content), 0
		var got outcome
		status := a.post("/complete", body, &got)
		for ; status == 409; status = a.post("/complete", body, &got) {
			require.Equal(t, []string{"key pending"}, got.codes())
			got, pending = outcome{}, pending+1
		}
		require.Equal(t, want, status, name)
		require.NotZero(t, pending, name)
	}
}

func TestRunningClamdIsUsed(t *testing.T) {
	address := "unix:" + runClamd(t, policy.MaxSize).address
	p := program.Start(t, run, "-clamd", address)
	require.Contains(t, p.Printed, "ClamAV   at "+address+"\n")
}

func TestPageShowsOutcomes(t *testing.T) {
	requireClamd(t)
	p := program.Start(t, run)
	require.Regexp(t, `^Open +http://127`, p.Printed)
	require.Contains(t, p.Printed, "ClamAV   started by this demo")
	b := browser.Open(t)
	path := filepath.Join(t.TempDir(), "a.txt")
	require.NoError(t, os.WriteFile(path, []byte("this is a text"), 0o600))
	uploads := func(n int) chromedp.Action[chromedp.Void] {
		return browser.Until(fmt.Sprintf(
			`document.querySelectorAll("#uploads li").length === %d &&
				!/…/.test(document.querySelector("#uploads").textContent)`, n))
	}
	last := func() string { return b.Text(`document.querySelector("#uploads li")`) }
	b.Do(chromedp.Navigate(p.Origin), chromedp.Click("button[value=alice]"),
		chromedp.WaitVisible("#files"), chromedp.SetUploadFiles("#files", []string{path}),
		uploads(1))
	require.Equal(t, "a.txt Scanned and published.", last())
	for i, name := range []string{"eicar.txt", "eicar.zip"} {
		b.Do(chromedp.Click(`[data-sample="`+name+`"]`), uploads(2+i))
		require.Contains(t, last(), "(infected)")
	}
	require.Equal(t, 1, b.Count("#published li"))
	require.Equal(t, "a.txt, 14 bytes", b.Text(`document.querySelector("#published li")`))
	b.Shoot("scan", 390)
	b.Shoot("scan", 1280)
}

func TestMissingClamdIsNamed(t *testing.T) {
	var printed bytes.Buffer
	err := run(t.Context(), []string{"-addr", "127.0.0.1:0", "-clamd", "127.0.0.1:1"}, &printed)
	require.ErrorContains(t, err, "-clamd: dial tcp 127.0.0.1:1")

	paths := clamdPaths
	t.Cleanup(func() { clamdPaths = paths })
	clamdPaths = []string{filepath.Join(t.TempDir(), "clamd")}
	err = run(t.Context(), []string{"-addr", "127.0.0.1:0"}, &printed)
	require.EqualError(t, err, "clamd is not installed: "+
		"install ClamAV's daemon (on Debian and Ubuntu: apt install clamav-daemon), "+
		"or pass the address of a running one with -clamd")
	require.Empty(t, printed.String())
}
