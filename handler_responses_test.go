package presign_test

import (
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
)

// responsesFile is the path of a file for the responses of Handlers, one JSON
// document per line. The test of examples/openapi compares the responses with
// the description of the HTTP API.
var responsesFile = flag.String("responses", "", "write every response of a Handler to this file")

// A recordedResponse is one response of a Handler.
type recordedResponse struct {
	Method string      `json:"method"`
	Path   string      `json:"path"` // without /uploads
	Status int         `json:"status"`
	Header http.Header `json:"header"`
	Body   string      `json:"body"`
}

// responses holds the open file.
var responses struct {
	sync.Mutex
	file *os.File
}

// writeResponse writes the response to r to the file, if the flag is set.
func writeResponse(t testing.TB, r *http.Request, w *httptest.ResponseRecorder) {
	if *responsesFile == "" {
		return
	}
	responses.Lock()
	defer responses.Unlock()
	if responses.file == nil {
		var err error
		if responses.file, err = os.Create(*responsesFile); err != nil {
			t.Fatal(err)
		}
	}
	path := "/" + strings.TrimLeft(strings.TrimPrefix(r.URL.EscapedPath(), "/uploads"), "/")
	response := recordedResponse{r.Method, path, w.Code, w.Result().Header, w.Body.String()}
	if err := json.NewEncoder(responses.file).Encode(response); err != nil {
		t.Fatal(err)
	}
}
