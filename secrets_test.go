package presign_test

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign/internal/companion"
	"github.com/s3presign/presign/internal/test/s3test"
)

// session holds the temporary credentials that tests sign with.
var session = aws.Credentials{
	AccessKeyID:     "ASIAIOSFODNN7EXAMPLE",
	SecretAccessKey: "SecretKeyOfTheSession/that+nobody+sees",
	SessionToken:    "TokenOfTheSession/that+grants+alone+have==",
}

// inSession makes a client sign with session. The client's server must also
// have session.
func inSession(o *s3.Options) {
	o.Credentials = credentials.StaticCredentialsProvider{Value: session}
}

var (
	// forbiddenTexts lists texts that must not be in any response, log record
	// or error. The texts are the sealing key and the starts of the secret
	// keys, which escaping does not change.
	forbiddenTexts = []string{
		s3test.SecretAccessKey[:13], session.SecretAccessKey[:21], string(secret),
	}

	// grantTexts matches texts that only a response with a grant may contain:
	// session tokens and signatures.
	grantTexts = regexp.MustCompile(
		`TokenOfTheSession|(?i)x-amz-signature|signature=|\b[0-9a-f]{64}\b`)
)

// searches counts the responses, log records and errors of all tests, and
// collects leaks in them.
var searches struct {
	mu                         sync.Mutex
	responses, records, errors int
	leaks                      []string // leaks that no test has reported
}

// TestMain fails if a text outside of a test has leaked a secret, or if a whole
// run has searched too few texts.
func TestMain(m *testing.M) {
	flag.Parse()
	slog.SetDefault(newLog(nil, io.Discard))
	code := m.Run()
	for _, leak := range searches.leaks {
		fmt.Println("FAIL: ", leak)
		code = 1
	}
	whole := !slices.ContainsFunc([]string{"run", "skip", "list", "fuzz"}, func(name string) bool {
		return flag.Lookup("test."+name).Value.String() != ""
	})
	if o := &searches; code == 0 && whole &&
		(o.responses < 1000 || o.records < 50 || o.errors < 100) {
		fmt.Printf(
			"FAIL: a whole run must search at least 1000 responses, 50 log records and "+
				"100 errors for secrets, got %d, %d and %d\n",
			o.responses, o.records, o.errors)
		code = 1
	}
	os.Exit(code)
}

// searchText counts a text and reports its secrets as errors of t. If t is nil,
// TestMain reports the secrets.
func searchText(t testing.TB, count *int, what, text string, grant bool) {
	var leaks []string
	for _, value := range forbiddenTexts {
		if strings.Contains(text, value) {
			leaks = append(leaks, value)
		}
	}
	if !grant {
		leaks = append(leaks, grantTexts.FindAllString(text, -1)...)
	}
	searches.mu.Lock()
	defer searches.mu.Unlock()
	*count++
	for _, leak := range leaks {
		if message := fmt.Sprintf("%q must not be in %s: %s", leak, what, text); t != nil {
			t.Error(message)
		} else {
			searches.leaks = append(searches.leaks, message)
		}
	}
}

// serve returns a handler's response to a request, and searches it for secrets.
func serve(t testing.TB, handler http.Handler, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	last := path.Base(r.URL.Path)
	_, part := companion.PartNumber(last)
	signing := last == "batch" || last == "sign" ||
		r.Method == http.MethodGet && (part || last == "params")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	writeResponse(t, r, w)
	grant := w.Code == http.StatusCreated || w.Code == http.StatusOK && signing
	searchText(t, &searches.responses, "the response to "+r.Method+" "+r.URL.Path,
		fmt.Sprint(w.Code, w.Header(), w.Body), grant)
	return w
}

// newLog returns a logger that writes to w, and searches its records for
// secrets.
func newLog(t testing.TB, w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(writeFunc(func(p []byte) (int, error) {
		searchText(t, &searches.records, "a log record", string(p), false)
		return w.Write(p)
	}), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type writeFunc func([]byte) (int, error)

func (f writeFunc) Write(p []byte) (int, error) { return f(p) }

// searchError returns err, and searches its text for secrets.
func searchError(t testing.TB, err error) error {
	t.Helper()
	if err != nil {
		searchText(t, &searches.errors, "an error", err.Error(), false)
	}
	return err
}

// TestSearchFindsSecrets checks that the search for secrets finds them.
func TestSearchFindsSecrets(t *testing.T) {
	for text, leaks := range map[string][2]int{ // leaks outside and inside of a grant
		"wJalrXUtnFEMI%2FK7MDENG":                      {1, 1},
		`{"key": "SecretKeyOfTheSession\/that"}`:       {1, 1},
		string(secret):                                 {1, 1},
		"X-Amz-Security-Token=TokenOfTheSession%2F":    {1, 0},
		"&X-Amz-Signature=" + strings.Repeat("0a", 32): {2, 0},
		"SignatureDoesNotMatch":                        {0, 0},
	} {
		for i, want := range leaks {
			counter := new(errorCounter)
			searchText(counter, new(int), "this", text, i == 1)
			if counter.errors != want {
				t.Errorf("%q must have %d leaks, got %d", text, want, counter.errors)
			}
		}
	}
}

// An errorCounter is a test that counts its errors.
type errorCounter struct {
	testing.TB
	errors int
}

// Error implements testing.TB.
func (e *errorCounter) Error(...any) { e.errors++ }
