package checkup

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/test/s3test"
)

// TestSlowAnswer checks that the time of a response does not count as a
// difference of the store's clock.
func TestSlowAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		before, after, ahead time.Duration // of the moment that the answer's date names
		want                 State
	}{
		"at once":                 {0, 0, 0, Good},
		"asked slowly":            {20 * time.Second, 0, 0, Good},
		"answered slowly":         {0, 20 * time.Second, 0, Good},
		"slow, and a little off":  {10 * time.Second, 10 * time.Second, 12 * time.Second, Good},
		"slow, and too far ahead": {10 * time.Second, 10 * time.Second, 20 * time.Second, Wrong},
		"off":                     {0, 0, 5 * time.Second, Wrong},
		"behind":                  {0, 0, -5 * time.Second, Wrong},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := s3test.New().S3()
				p := &patient{
					signing: client, store: client, bucket: s3test.DefaultBucket, prefix: "incoming/", own: "doctor-slow/",
					http: &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
						time.Sleep(c.before)
						answer := httptest.NewRecorder()
						answer.Header().Set("Date", time.Now().Add(c.ahead).UTC().Format(http.TimeFormat))
						time.Sleep(c.after)
						return answer.Result(), nil
					})},
				}
				clock, err := p.clock(t.Context())
				require.NoError(t, err)
				found := skew(clock)
				require.Equal(t, c.want, found.State, found.Detail)
			})
		})
	}
}

// TestClocks checks what is said about a clock.
func TestClocks(t *testing.T) {
	for _, c := range []struct {
		clock clock
		want  State
		says  string
	}{
		{clock{}, Unknown, "no date"},
		{clock{dated: true}, Good, "agree"},
		{clock{dated: true, behind: 20 * time.Second}, Wrong, "20s ahead: grants live longer"},
		{clock{dated: true, behind: -time.Hour}, Wrong, "1h0m0s behind: grants end"},
	} {
		f := skew(c.clock)
		require.Equal(t, c.want, f.State)
		require.Contains(t, f.Detail, c.says)
	}
}
