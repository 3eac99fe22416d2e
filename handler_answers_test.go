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

// answersFile is where every response of a Handler is written, one JSON document
// a line. The test of examples/openapi compares them with its description.
var answersFile = flag.String("answers", "", "write every response of a Handler to this file")

// A recordedAnswer is one response of a Handler.
type recordedAnswer struct {
	Method string      `json:"method"`
	Path   string      `json:"path"` // below the mount
	Status int         `json:"status"`
	Header http.Header `json:"header"`
	Body   string      `json:"body"`
}

// answers is the open file.
var answers struct {
	sync.Mutex
	file *os.File
}

// writeAnswer writes the response to r to the file, if there is one.
func writeAnswer(t testing.TB, r *http.Request, w *httptest.ResponseRecorder) {
	if *answersFile == "" {
		return
	}
	answers.Lock()
	defer answers.Unlock()
	if answers.file == nil {
		var err error
		if answers.file, err = os.Create(*answersFile); err != nil {
			t.Fatal(err)
		}
	}
	path := "/" + strings.TrimLeft(strings.TrimPrefix(r.URL.EscapedPath(), "/uploads"), "/")
	a := recordedAnswer{r.Method, path, w.Code, w.Result().Header, w.Body.String()}
	if err := json.NewEncoder(answers.file).Encode(a); err != nil {
		t.Fatal(err)
	}
}
