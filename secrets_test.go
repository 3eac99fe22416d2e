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

// session signs where a test needs temporary credentials.
var session = aws.Credentials{
	AccessKeyID:     "ASIAIOSFODNN7EXAMPLE",
	SecretAccessKey: "SecretKeyOfTheSession/that+nobody+sees",
	SessionToken:    "TokenOfTheSession/that+grants+alone+have==",
}

// inSession has a client sign with session, which its server has to know.
func inSession(o *s3.Options) {
	o.Credentials = credentials.StaticCredentialsProvider{Value: session}
}

var (
	// nowhere is in no answer, log record or error: the beginnings of the secret keys, which no escaping changes, and what seals.
	nowhere = []string{s3test.SecretAccessKey[:13], session.SecretAccessKey[:21], string(secret)}

	// inGrants is in a grant's own answer alone: session tokens, and all that looks like a signature.
	inGrants = regexp.MustCompile(`TokenOfTheSession|(?i)x-amz-signature|signature=|\b[0-9a-f]{64}\b`)
)

// overheard counts the responses, log records and errors of all tests, and collects
// leaks in them.
var overheard struct {
	mu                       sync.Mutex
	answers, records, errors int
	leaks                    []string // not reported by a test
}

// TestMain checks everything that was overheard in the whole run against nowhere and
// inGrants.
func TestMain(m *testing.M) {
	flag.Parse()
	slog.SetDefault(newLog(nil, io.Discard))
	code := m.Run()
	for _, leak := range overheard.leaks {
		fmt.Println("FAIL: ", leak)
		code = 1
	}
	whole := !slices.ContainsFunc([]string{"run", "skip", "list", "fuzz"}, func(name string) bool {
		return flag.Lookup("test."+name).Value.String() != ""
	})
	if o := &overheard; code == 0 && whole && (o.answers < 1000 || o.records < 50 || o.errors < 100) {
		fmt.Printf("FAIL: only %d answers, %d log records and %d errors were looked at for secrets\n", o.answers, o.records, o.errors)
		code = 1
	}
	os.Exit(code)
}

// hear counts a text and reports what it should not have. Without a test, TestMain does.
func hear(t testing.TB, count *int, what, text string, grant bool) {
	var leaks []string
	for _, value := range nowhere {
		if strings.Contains(text, value) {
			leaks = append(leaks, value)
		}
	}
	if !grant {
		leaks = append(leaks, inGrants.FindAllString(text, -1)...)
	}
	overheard.mu.Lock()
	defer overheard.mu.Unlock()
	*count++
	for _, leak := range leaks {
		if message := fmt.Sprintf("%q is in %s: %s", leak, what, text); t != nil {
			t.Error(message)
		} else {
			overheard.leaks = append(overheard.leaks, message)
		}
	}
}

// serve has a handler answer a request.
func serve(t testing.TB, handler http.Handler, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	last := path.Base(r.URL.Path)
	_, part := companion.PartNumber(last)
	signing := last == "batch" || last == "sign" || r.Method == http.MethodGet && (part || last == "params")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	writeAnswer(t, r, w)
	grant := w.Code == http.StatusCreated || w.Code == http.StatusOK && signing
	hear(t, &overheard.answers, "the answer to "+r.Method+" "+r.URL.Path, fmt.Sprint(w.Code, w.Header(), w.Body), grant)
	return w
}

// newLog returns a logger that writes to w.
func newLog(t testing.TB, w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(writeFunc(func(p []byte) (int, error) {
		hear(t, &overheard.records, "a log record", string(p), false)
		return w.Write(p)
	}), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type writeFunc func([]byte) (int, error)

func (f writeFunc) Write(p []byte) (int, error) { return f(p) }

// told returns an error that a caller gets.
func told(t testing.TB, err error) error {
	t.Helper()
	if err != nil {
		hear(t, &overheard.errors, "an error", err.Error(), false)
	}
	return err
}

// TestSearchFindsSecrets checks that the search for secrets finds them.
func TestSearchFindsSecrets(t *testing.T) {
	for text, leaks := range map[string][2]int{ // elsewhere, and in a grant
		"wJalrXUtnFEMI%2FK7MDENG":                      {1, 1},
		`{"key": "SecretKeyOfTheSession\/that"}`:       {1, 1},
		string(secret):                                 {1, 1},
		"X-Amz-Security-Token=TokenOfTheSession%2F":    {1, 0},
		"&X-Amz-Signature=" + strings.Repeat("0a", 32): {2, 0},
		"SignatureDoesNotMatch":                        {0, 0},
	} {
		for i, want := range leaks {
			ear := new(ear)
			hear(ear, new(int), "this", text, i == 1)
			if ear.errors != want {
				t.Errorf("%d leaks in %q, not %d", ear.errors, text, want)
			}
		}
	}
}

// ear is a test that counts its errors.
type ear struct {
	testing.TB
	errors int
}

func (e *ear) Error(...any) { e.errors++ }
