package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/s3test"
)

// readFigures returns the figures that writePlots wrote to dir.
func readFigures(t *testing.T, dir string) (f figures) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, figuresFile))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &f))
	return f
}

// TestPlotsMatchFigures checks that the committed figures give exactly the
// committed plots.
func TestPlotsMatchFigures(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, writePlots(dir, readFigures(t, ".")))
	for _, name := range []string{figuresFile, grantFile, completionFile} {
		want, err := os.ReadFile(name)
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, string(want), string(got),
			"%s must be the output of go run -C examples ./bench -plots bench", name)
	}
}

// TestPlotsAreWellFormed checks that the plots are XML without references to
// other files, and that they have the figures and colors for both modes.
func TestPlotsAreWellFormed(t *testing.T) {
	example := figures{"a machine",
		[]group{{"PUT", map[string]float64{ours: 2.5, theSDK: 25, theMinIO: 10}}}}
	grants := plotGrants(example)
	for name, plot := range map[string]string{
		grantFile: grants, completionFile: plotCompletions(completions),
	} {
		decoder := xml.NewDecoder(strings.NewReader(plot))
		err := error(nil)
		for err == nil {
			_, err = decoder.Token()
		}
		require.ErrorIs(t, err, io.EOF, name)
		require.Contains(t, plot, "prefers-color-scheme: dark", name)
		require.NotContains(t, plot, "href", name)
	}
	for _, text := range []string{
		"a machine", "2.5 µs", "25 µs", "10 µs", `width="400"`, `width="40"`, `width="160"`,
	} {
		require.Contains(t, grants, text)
	}
}

// TestCompletionsMatchPlot checks that the plot has the requests of a
// completion, by turn, and that only late requests follow the response.
func TestCompletionsMatchPlot(t *testing.T) {
	for i, options := range [][]s3test.Option{
		nil, {s3test.WithHost("s3.us-east-1.amazonaws.com")},
	} {
		lane := completions[1+i]
		t.Run(lane.title, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				require.ElementsMatch(t, lane.requests, completeOnce(t, options))
			})
		})
	}
}

// completeOnce uploads and completes a file, and returns the requests of the
// completion.
func completeOnce(t *testing.T, options []s3test.Option) (requests []storeRequest) {
	store := s3test.New(append([]s3test.Option{s3test.WithHistory(), s3test.WithTick(time.Second)},
		options...)...)
	published := policy
	published.FinalPrefix = "files/"
	signer, err := presign.NewSigner(store.S3(), s3test.DefaultBucket, published,
		presign.WithSecret(secret))
	require.NoError(t, err)
	handler, err := presign.NewHandler(signer,
		func(*http.Request) (string, error) { return document.Owner, nil })
	require.NoError(t, err)
	grant, err := signer.Put(t.Context(), document)
	require.NoError(t, err)
	upload, err := grant.Request(t.Context(),
		strings.NewReader("%PDF-1.7\n"+strings.Repeat(" ", int(document.Size)-9)), document.Size)
	require.NoError(t, err)
	resp, err := store.HTTPClient().Do(upload)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)

	before, start := len(store.History().Requests), store.Now().Tick
	response := &timedWriter{ResponseRecorder: httptest.NewRecorder(), store: store}
	r := httptest.NewRequest(http.MethodPost, "/complete",
		strings.NewReader(`{"key": "`+grant.Key+`"}`))
	r.Header.Set("Content-Type", "application/json")
	handler.ServeHTTP(response, r)
	require.Equal(t, http.StatusOK, response.Code, response.Body)
	require.NoError(t, signer.Shutdown(t.Context()))
	operations := map[string]string{"GetObject": "GET", "HeadObject": "HEAD", "CopyObject": "COPY",
		"DeleteObject": "DELETE"}
	for _, request := range store.History().Requests.After(before) {
		key := finalKey
		if request.Key == grant.Key {
			key = uploadKey
		}
		requests = append(requests, storeRequest{
			operations[request.Operation], key, int(request.Start - start),
			request.Start >= response.tick,
		})
	}
	return requests
}

// A timedWriter records the tick of the response.
type timedWriter struct {
	*httptest.ResponseRecorder
	store *s3test.Server
	tick  int64
}

// WriteHeader implements http.ResponseWriter.
func (w *timedWriter) WriteHeader(status int) {
	w.tick = w.store.Now().Tick
	w.ResponseRecorder.WriteHeader(status)
}

// TestPlotsNeedDirectory checks that writePlots returns an error for a
// directory that does not exist.
func TestPlotsNeedDirectory(t *testing.T) {
	err := writePlots(filepath.Join(t.TempDir(), "missing"), figures{})
	require.True(t, errors.Is(err, os.ErrNotExist), err)
}
