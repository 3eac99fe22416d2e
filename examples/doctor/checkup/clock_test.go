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

// TestSlowResponse checks that a slow response is not reported as a wrong
// clock.
func TestSlowResponse(t *testing.T) {
	for name, c := range map[string]struct {
		// before and after the date is set, and the error of the date
		before, after, ahead time.Duration
		want                 State
	}{
		"immediate":               {0, 0, 0, Good},
		"slow request":            {20 * time.Second, 0, 0, Good},
		"slow response":           {0, 20 * time.Second, 0, Good},
		"slow, and a little off":  {10 * time.Second, 10 * time.Second, 12 * time.Second, Good},
		"slow, and too far ahead": {10 * time.Second, 10 * time.Second, 20 * time.Second, Wrong},
		"ahead":                   {0, 0, 5 * time.Second, Wrong},
		"behind":                  {0, 0, -5 * time.Second, Wrong},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := s3test.New().S3()
				slow := transport(func(*http.Request) (*http.Response, error) {
					time.Sleep(c.before)
					response := httptest.NewRecorder()
					date := time.Now().Add(c.ahead).UTC().Format(http.TimeFormat)
					response.Header().Set("Date", date)
					time.Sleep(c.after)
					return response.Result(), nil
				})
				p := &examiner{
					signing: client, store: client, bucket: s3test.DefaultBucket,
					prefix: "incoming/", own: "doctor-slow/",
					http: &http.Client{Transport: slow},
				}
				clock, err := p.clock(t.Context())
				require.NoError(t, err)
				found := skew(clock)
				require.Equal(t, c.want, found.State, found.Detail)
			})
		})
	}
}

// TestClocks checks the finding about the clocks.
func TestClocks(t *testing.T) {
	for _, c := range []struct {
		clock  clock
		want   State
		detail string
	}{
		{clock{}, Unknown, "no date"},
		{clock{dated: true}, Good, "agree"},
		{clock{dated: true, behind: 20 * time.Second}, Wrong, "20s ahead, so grants expire late"},
		{clock{dated: true, behind: -time.Hour}, Wrong, "1h0m0s behind, so grants expire"},
	} {
		f := skew(c.clock)
		require.Equal(t, c.want, f.State)
		require.Contains(t, f.Detail, c.detail)
	}
}
