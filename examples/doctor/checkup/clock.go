package checkup

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/s3presign/presign"
)

// A clock holds the facts in the first response of the store, before any
// upload.
type clock struct {
	host   string // the host of grants
	bucket string // the URL of the bucket, for forms
	server string // the Server header of the store
	dated  bool
	behind time.Duration // by how much the clock of the store is behind this machine
	within time.Duration // the error of behind in both directions: half of the response time
}

// largestSkew is the largest difference that is not reported. Dates have a
// resolution of one second.
const largestSkew = 3 * time.Second

// clock requests the bucket without credentials. Even an error response has a
// date.
func (p *examiner) clock(ctx context.Context) (c clock, err error) {
	signer, err := p.signer()
	if err != nil {
		return c, err
	}
	grant, err := signer.Put(ctx, presign.Upload{Filename: "clock.txt", Size: 1})
	if err != nil {
		return c, err
	}
	u, err := url.Parse(grant.URL)
	if err != nil {
		return c, errors.New("the grant must have a valid URL")
	}
	before, _, _ := strings.Cut(u.EscapedPath(), "/"+p.uploads())
	c.host, c.bucket = u.Host, u.Scheme+"://"+u.Host+before
	start := time.Now()
	response, err := p.request(ctx, http.MethodHead, c.bucket, nil)
	if err != nil {
		return c, fmt.Errorf("the store does not respond: %w", err)
	}
	c.server = response.Header.Get("Server")
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		c.within = time.Since(start) / 2
		// A date is rounded down to seconds.
		c.dated, c.behind = true,
			start.Add(c.within).Sub(date.Add(500*time.Millisecond)).Round(time.Second)
	}
	return c, nil
}

// skew compares the clocks of the store and this machine.
func skew(c clock) Finding {
	f := Finding{
		What: "clocks", State: Good, Detail: "the clocks of the store and this machine agree",
	}
	switch ahead, most := -c.behind, largestSkew+c.within; {
	case !c.dated:
		f.State, f.Detail = Unknown, "the response of the store has no date"
	case c.behind > most:
		f.State = Wrong
		f.Detail = fmt.Sprintf(
			"the clock of this machine is %v ahead, so grants expire late; the store rejects grants if the clock is 15 minutes ahead",
			c.behind)
	case ahead > most:
		f.State, f.Detail = Wrong,
			fmt.Sprintf("the clock of this machine is %v behind, so grants expire that much early",
				ahead)
	}
	return f
}
