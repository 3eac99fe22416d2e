package checkup

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/test/conformance"
	"github.com/s3presign/presign/internal/test/s3test"
)

// examineThrough examines a store behind a proxy. The function before returns
// the response of the proxy, or status 0 to forward the request.
func examineThrough(
	t *testing.T, before func(*http.Request) (status int, body string),
) (r *Report) {
	server := s3test.New()
	client := server.S3()
	p := &examiner{
		signing: client, store: client, bucket: s3test.DefaultBucket, prefix: "incoming/",
		final: "files/", own: "doctor-through/",
		http: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			status, body := before(r)
			if status == 0 {
				return server.HTTPClient().Transport.RoundTrip(r)
			}
			response := httptest.NewRecorder()
			response.WriteHeader(status)
			_, _ = response.WriteString(body)
			return response.Result(), nil
		})},
	}
	synctest.Test(t, func(t *testing.T) {
		var left, err error
		r, left, err = p.examine(t.Context())
		require.NoError(t, err)
		require.NoError(t, left)
		require.Empty(t, server.Objects(p.bucket))
	})
	return r
}

const slowDown = "<Error><Code>SlowDown</Code></Error>"

// TestBusy checks that requests to a busy store are repeated.
func TestBusy(t *testing.T) {
	var start time.Time
	var passed atomic.Bool
	var busy atomic.Int64
	r := examineThrough(t, func(*http.Request) (int, string) {
		if start.IsZero() {
			start = time.Now()
		}
		// The first case succeeds after one second, and the concurrent cases
		// after another second.
		if s := time.Since(start) / time.Second; s == 0 || s == 1 && passed.Swap(true) {
			busy.Add(1)
			return http.StatusServiceUnavailable, slowDown
		}
		return 0, ""
	})
	require.Greater(t, busy.Load(), int64(atOnce))
	require.True(t, r.Enforced)
	require.Empty(t, r.rows(NotEnforced, NotOffered, Unproven))
}

// TestFailureIsNoRejection checks that a constraint is unproven if its requests
// always fail.
func TestFailureIsNoRejection(t *testing.T) {
	form := func(r *http.Request) bool { return r.Method == http.MethodPost }
	otherSize := func(r *http.Request) bool {
		return r.Method == http.MethodPut && r.ContentLength != int64(len(conformance.Body))
	}
	for name, c := range map[string]struct {
		which  func(*http.Request) bool
		status int
		body   string
		row    string
	}{
		"busy": {otherSize, http.StatusServiceUnavailable, slowDown, "PUT: exact size"},
		"broken": {otherSize, http.StatusInternalServerError,
			"<Error><Code>InternalError</Code></Error>", "PUT: exact size"},
		"firewall":     {otherSize, http.StatusForbidden, "<html>Blocked</html>", "PUT: exact size"},
		"busy forms":   {form, http.StatusServiceUnavailable, slowDown, "form: an honest upload"},
		"broken forms": {form, http.StatusInternalServerError, "", "form: an honest upload"},
	} {
		t.Run(name, func(t *testing.T) {
			r := examineThrough(t, func(r *http.Request) (int, string) {
				if c.which(r) {
					return c.status, c.body
				}
				return 0, ""
			})
			require.False(t, r.Enforced)
			require.Empty(t, r.rows(NotOffered))
			require.Contains(t, r.rows(Unproven), c.row)
			i := slices.IndexFunc(r.Constraints,
				func(row Constraint) bool { return row.Kind+": "+row.Constraint == c.row })
			require.NotEmpty(t, r.Constraints[i].Unknown)
			require.NotContains(t, strings.Join(r.Constraints[i].Responses, " "), "503")
			var printed bytes.Buffer
			require.NoError(t, newPrinter(&printed).report(r, false))
			require.Contains(t, printed.String(), "could not be shown to enforce ")
		})
	}
}

// TestRoleUnknown checks that the rights of a role are unknown if its requests
// always fail.
func TestRoleUnknown(t *testing.T) {
	for name, fault := range map[string]s3test.Fault{
		"broken": s3test.InternalError, "busy": s3test.SlowDown,
	} {
		t.Run(name, func(t *testing.T) {
			server := s3test.New()
			server.Fail(func(string, *http.Request) s3test.Fault { return fault })
			p := &examiner{
				signing: server.S3(), store: server.S3(), bucket: s3test.DefaultBucket,
				prefix: "incoming/", own: "doctor-roles/",
			}
			require.Equal(t, []Finding{{
				What: "role that signs", State: Unknown,
				Detail: "the store did not show whether this role may read objects, list the bucket, delete objects, put objects elsewhere",
			}}, p.signingRole(t.Context(), nil))
		})
	}
}
