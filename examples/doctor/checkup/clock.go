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

// A clock holds the facts in the first response of the store, before any upload.
type clock struct {
	host   string // that grants are for
	bucket string // its URL, for forms
	server string // as the store names itself
	dated  bool
	behind time.Duration // the store's clock, of ours
	within time.Duration // how much that may be off, either way: half of the time that the answer took
}

// largestSkew is the largest difference that is not reported: dates have whole seconds.
const largestSkew = 3 * time.Second

// clock asks for the bucket without credentials. Any answer has a date.
func (p *patient) clock(ctx context.Context) (c clock, err error) {
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
		return c, errors.New("the grant has no URL")
	}
	before, _, _ := strings.Cut(u.EscapedPath(), "/"+p.uploads())
	c.host, c.bucket = u.Host, u.Scheme+"://"+u.Host+before
	asked := time.Now()
	response, err := p.request(ctx, http.MethodHead, c.bucket, nil)
	if err != nil {
		return c, fmt.Errorf("the store does not answer: %w", err)
	}
	c.server = response.Header.Get("Server")
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		c.within = time.Since(asked) / 2
		// A date names the second that has begun.
		c.dated, c.behind = true, asked.Add(c.within).Sub(date.Add(500*time.Millisecond)).Round(time.Second)
	}
	return c, nil
}

func skew(c clock) Finding {
	f := Finding{What: "clocks", State: Good, Detail: "the store's and this machine's agree"}
	switch ahead, most := -c.behind, largestSkew+c.within; {
	case !c.dated:
		f.State, f.Detail = Unknown, "the store's answer has no date"
	case c.behind > most:
		f.State = Wrong
		f.Detail = fmt.Sprintf("this machine's is %v ahead: grants live longer than they say, and from 15 minutes on none is taken", c.behind)
	case ahead > most:
		f.State, f.Detail = Wrong, fmt.Sprintf("this machine's is %v behind: grants end that much earlier than they say", ahead)
	}
	return f
}
