package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/s3test"
)

// processVariable is the environment variable with the arguments of a process
// that asks for grants.
const processVariable = "PRESIGN_TEST_QUOTA"

func TestMain(m *testing.M) {
	if arguments := os.Getenv(processVariable); arguments != "" {
		if err := askForGrants([]byte(arguments)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A process describes a replica of the service that asks for grants.
type process struct {
	Endpoint, Database string
	Number             int // the number of grants to ask for at once
	Quota              int64
}

func (p process) service(ctx context.Context) (*service, http.Handler, error) {
	ledger, err := openLedger(ctx, p.Database, quota{files: p.Quota, bytes: 1 << 30})
	if err != nil {
		return nil, nil, err
	}
	s, err := newService(config{
		client: s3.New(s3.Options{
			BaseEndpoint: &p.Endpoint, Region: s3test.DefaultRegion, UsePathStyle: true,
			Credentials: credentials.NewStaticCredentialsProvider(
				s3test.AccessKeyID, s3test.SecretAccessKey, ""),
		}),
		bucket: s3test.DefaultBucket, secret: []byte("a secret of the service, 33 bytes"),
		ledger:  ledger,
		tokens:  map[string]string{"token-of-alice": "alice", "token-of-bob": "bob"},
		origins: []string{"https://app.example.com"},
	})
	if err != nil {
		return nil, nil, err
	}
	api, err := s.api()
	return s, api, err
}

// askForGrants is the main function of a process. It prints the grants.
func askForGrants(arguments []byte) error {
	var p process
	if err := json.Unmarshal(arguments, &p); err != nil {
		return err
	}
	_, api, err := p.service(context.Background())
	if err != nil {
		return err
	}
	var granted []presign.Grant
	var mu sync.Mutex
	var group errgroup.Group
	for range p.Number {
		group.Go(func() error {
			w := call(api, "token-of-alice", "POST", "/uploads/",
				`{"filename": "a.txt", "size": 14}`)
			mu.Lock()
			defer mu.Unlock()
			switch w.Code {
			case http.StatusCreated:
				var grant presign.Grant
				err := json.Unmarshal(w.Body.Bytes(), &grant)
				granted = append(granted, grant)
				return err
			case http.StatusForbidden:
				return nil
			}
			return fmt.Errorf("status %d: %s", w.Code, w.Body)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(granted)
}

// call sends a request to the API.
func call(api http.Handler, token, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	return w
}

// runTwice asks for p.Number grants in each of two processes at once. It
// returns the grants.
func runTwice(t *testing.T, p process) (granted []presign.Grant) {
	t.Helper()
	arguments, err := json.Marshal(p)
	require.NoError(t, err)
	program, err := os.Executable()
	require.NoError(t, err)
	outputs := make(chan []byte, 2)
	for range 2 {
		go func() {
			command := exec.CommandContext(t.Context(), program)
			command.Env = append(os.Environ(), processVariable+"="+string(arguments))
			output, err := command.Output()
			if failed, ok := errors.AsType[*exec.ExitError](err); ok {
				t.Errorf("%s", failed.Stderr)
			}
			outputs <- output
		}()
	}
	for range 2 {
		output := <-outputs
		var some []presign.Grant
		require.NoError(t, json.Unmarshal(output, &some), "%s", output)
		granted = append(granted, some...)
	}
	return granted
}

// TestQuotaIsExactInTwoProcesses checks that two processes with one database,
// which ask for 500 grants each at once, receive exactly the quota. It repeats
// this after deadlines have passed and after uploads were rejected.
func TestQuotaIsExactInTwoProcesses(t *testing.T) {
	store := s3test.Start(t)
	database := filepath.Join(t.TempDir(), "quota.db")
	p := process{Endpoint: store.URL, Database: database, Number: 500, Quota: 100}
	complete := func(api http.Handler, grant presign.Grant) *httptest.ResponseRecorder {
		body := fmt.Sprintf(`{"key": %q}`, grant.Key)
		return call(api, "token-of-alice", "POST", "/uploads/complete", body)
	}
	s, api, err := p.service(t.Context())
	require.NoError(t, err)
	defer s.ledger.Close()

	granted := runTwice(t, p)
	require.Len(t, granted, 100)
	require.Empty(t, runTwice(t, p))

	half := granted[:50]
	for _, grant := range half {
		_, err := s.ledger.ExecContext(t.Context(), `UPDATE files SET deadline = ? WHERE id = ?`,
			time.Now().Add(-time.Second).UnixMilli(), grant.GrantID)
		require.NoError(t, err)
	}
	granted = append(granted[50:], runTwice(t, p)...)
	require.Len(t, granted, 100)
	require.NoError(t, s.ledger.expire(t.Context()))
	require.Empty(t, runTwice(t, p))

	for _, grant := range granted[:30] {
		send(t, grant, "%PDF-1.4\n1 0 ob", 14)
		w := complete(api, grant)
		require.Equal(t, http.StatusUnprocessableEntity, w.Code, w.Body)
	}
	for _, grant := range granted[30:50] {
		send(t, grant, "this is a text", 14)
		w := complete(api, grant)
		require.Equal(t, http.StatusOK, w.Code, w.Body)
	}
	require.Len(t, runTwice(t, p), 30)
	files, err := s.ledger.list(t.Context(), "alice", "")
	require.NoError(t, err)
	require.Len(t, files, 20)
}

// send uploads with a grant.
func send(t *testing.T, grant presign.Grant, content string, size int64) {
	t.Helper()
	request, err := grant.Request(t.Context(), strings.NewReader(content), size)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Less(t, response.StatusCode, 300)
}

func newLedger(t *testing.T, limit quota) *ledger {
	t.Helper()
	l, err := openLedger(t.Context(), filepath.Join(t.TempDir(), "l 100%?#.db"), limit)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func upload(id, owner string, minSize, maxSize int64) *presign.Upload {
	return &presign.Upload{
		GrantID: id, Owner: owner, MinSize: minSize, MaxSize: maxSize,
		Deadline: time.Now().Add(time.Hour),
	}
}

func TestReserveLowersUnknownSizes(t *testing.T) {
	l := newLedger(t, quota{files: 10, bytes: 100})
	r := httptest.NewRequest("POST", "/", nil)
	require.NoError(t, l.reserve(r, upload("1", "alice", 60, 60)))
	form := upload("2", "alice", 1, 1000)
	require.NoError(t, l.reserve(r, form))
	require.EqualValues(t, 40, form.MaxSize)
	err := l.reserve(r, upload("3", "alice", 1, 1))
	require.Equal(t, http.StatusForbidden, presign.ProblemOf(err).Status)
	require.NoError(t, l.reserve(r, upload("4", "bob", 100, 100)), "users must not share a quota")
}

func TestReservationsEnd(t *testing.T) {
	object := &presign.Object{
		GrantID: "1", Owner: "alice", Size: 60, Key: "files/1/a.txt", Filename: "a.txt",
	}
	for name, test := range map[string]struct {
		end  func(*testing.T, *ledger)
		free bool // whether there is space again
	}{
		"rejected":    {event("rejected"), true},
		"aborted":     {event("aborted"), true},
		"not granted": {event("not_granted"), true},
		"failed":      {event("failed"), false}, // The upload can be completed again.
		"pending":     {event("pending"), false},
		"granted":     {event("granted"), false},
		"deadline": {func(t *testing.T, l *ledger) {
			_, err := l.Exec(`UPDATE files SET deadline = ?`,
				time.Now().Add(-time.Second).UnixMilli())
			require.NoError(t, err)
		}, true},
		"booked": {func(t *testing.T, l *ledger) {
			require.NoError(t, l.book(t.Context(), object))
			event("rejected")(t, l) // A later event of the same grant changes nothing.
		}, false},
		"booked after the reservation was dropped": {func(t *testing.T, l *ledger) {
			event("rejected")(t, l)
			require.NoError(t, l.book(t.Context(), object))
			require.NoError(t, l.book(t.Context(), object))
		}, false},
		"deleted": {func(t *testing.T, l *ledger) {
			require.NoError(t, l.book(t.Context(), object))
			require.NoError(t, l.remove(t.Context(), "alice", "1"))
			require.NoError(t, l.book(t.Context(), object), "a repeated completion must not fail")
		}, true},
		"deleted by another user": {func(t *testing.T, l *ledger) {
			require.NoError(t, l.book(t.Context(), object))
			require.NoError(t, l.remove(t.Context(), "bob", "1"))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t, quota{files: 10, bytes: 100})
			r := httptest.NewRequest("POST", "/", nil)
			require.NoError(t, l.reserve(r, upload("1", "alice", 60, 60)))
			test.end(t, l)
			err := l.reserve(r, upload("2", "alice", 60, 60))
			require.Equal(t, test.free, err == nil, "%v", err)
		})
	}
}

func event(kind string) func(*testing.T, *ledger) {
	return func(t *testing.T, l *ledger) {
		l.observe(t.Context(), presign.Event{Kind: kind, GrantID: "1"})
	}
}
