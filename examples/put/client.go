package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/s3presign/presign"
)

const (
	answerTime   = 30 * time.Second // that the service has for an answer
	completeTime = time.Minute      // for a completion; a Handler responds within 25 seconds
	answerSize   = 4 << 20          // bytes of an answer: the list of 10,000 parts takes about one and a half
)

// maxParts is how many S3 takes of an object.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
const maxParts = 10_000

// client asks a service, which mounts a presign.Handler, for grants.
type client struct {
	url      string      // of the mount, without a slash at its end
	header   http.Header // of every request: who asks
	http     *http.Client
	patience patience
	notes    io.Writer // of what keeps the user waiting; nowhere if nil
	silent   sync.Once // it has been said that the service does not answer
}

// An upload is a multipart upload, as the service names it.
type upload struct {
	ID       string `json:"id"`
	Key      string `json:"key"`
	PartSize int64  `json:"part_size"`
}

// A part is a part that has arrived.
type part struct {
	Number   int    `json:"number"`
	Size     int64  `json:"size,omitzero"`
	ETag     string `json:"etag"`
	Checksum string `json:"checksum,omitempty"`
}

// request is what the service is told of a file.
type request struct {
	Filename string `json:"filename"`
	Type     string `json:"type,omitempty"`
	Size     int64  `json:"size"`
	Checksum string `json:"checksum,omitempty"`
	Method   string `json:"method,omitempty"` // if it is no PUT
}

// grant asks for a grant for a file that goes in one request.
func (c *client) grant(ctx context.Context, q request) (*presign.Grant, error) {
	grant := new(presign.Grant)
	return grant, c.mounted(c.call(ctx, "/", q, grant))
}

// mounted says of a 404 what is likely: no handler answers so to who asks for a grant.
func (c *client) mounted(err error) error {
	if where, _ := url.Parse(c.url); where != nil && gone(err) {
		return fmt.Errorf("%w; is -url %s where the handler is mounted?", err, where.Redacted())
	}
	return err
}

// completeKey completes the upload of a file and returns the stored object.
func (c *client) completeKey(ctx context.Context, key string) (*presign.Object, error) {
	return c.complete(ctx, map[string]string{"key": key})
}

// completeParts makes an object of all parts and returns it.
func (c *client) completeParts(ctx context.Context, u *upload, parts []part) (*presign.Object, error) {
	return c.complete(ctx, map[string]any{"id": u.ID, "parts": parts})
}

// complete completes an upload. A completion that is still running is no failure, so complete waits without a limit.
func (c *client) complete(ctx context.Context, body any) (*presign.Object, error) {
	for {
		object := new(presign.Object)
		err := c.call(ctx, "/complete", body, object)
		if problem, ok := errors.AsType[*presign.Problem](err); !ok || !isPending(problem) {
			return object, err
		}
	}
}

// isPending reports whether the service is still completing the upload.
func isPending(p *presign.Problem) bool {
	return p.Status == http.StatusConflict && len(p.Errors) > 0 && p.Errors[0].Code == "pending"
}

// start starts a multipart upload.
func (c *client) start(ctx context.Context, q request) (*upload, error) {
	q.Method = "multipart"
	started := new(upload)
	return started, c.mounted(c.call(ctx, "/", q, started))
}

// check returns an error if a file of that size does not go in the upload's parts. Where it does, count and section
// cannot overflow.
func (u *upload) check(size int64) error {
	if size < 1 || u.PartSize < 1 || (size-1)/u.PartSize >= maxParts {
		return fmt.Errorf("the service asks for parts of %d bytes of a file of %d; there can be 1 to %d parts", u.PartSize, size, maxParts)
	}
	return nil
}

// sign returns the URLs of up to 1,000 parts, in order.
func (c *client) sign(ctx context.Context, u *upload, numbers []int) ([]string, error) {
	type part struct {
		Number int `json:"number"`
	}
	parts := make([]part, len(numbers))
	for i, number := range numbers {
		parts[i].Number = number
	}
	var answer struct {
		URLs []string `json:"urls"`
	}
	err := c.call(ctx, "/parts/sign", map[string]any{"id": u.ID, "parts": parts}, &answer)
	if err == nil && len(answer.URLs) != len(numbers) {
		err = fmt.Errorf("the service must return %d URLs of parts, got %d", len(numbers), len(answer.URLs))
	}
	return answer.URLs, err
}

// list returns the parts that have arrived.
func (c *client) list(ctx context.Context, u *upload) ([]part, error) {
	var answer struct {
		Parts []part `json:"parts"`
	}
	err := c.call(ctx, "/parts/list", map[string]string{"id": u.ID}, &answer)
	return answer.Parts, err
}

// abort ends an upload and has its parts deleted.
func (c *client) abort(ctx context.Context, u *upload) error {
	return c.call(ctx, "/abort", map[string]string{"id": u.ID}, nil)
}

// call sends a request. It sends it again if the service cannot be reached, or if the response says that the request is
// not at fault. If the service has responded, the error is a *presign.Problem.
func (c *client) call(ctx context.Context, path string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	completes := path == "/complete"
	return c.patience.retry(ctx, func(int) error {
		err := c.try(ctx, path, text, completes, answer)
		problem, ok := errors.AsType[*presign.Problem](err)
		if !ok {
			return err
		}
		switch status := problem.Status; {
		case status == http.StatusConflict && completes: // It is still running, or the object changed meanwhile.
		case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= 500:
		default:
			return final(err)
		}
		return later(err, problem.RetryAfter)
	})
}

func (c *client) try(ctx context.Context, path string, body []byte, completes bool, answer any) error {
	limit := answerTime
	if completes {
		limit = completeTime
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r, err := http.NewRequestWithContext(limited, http.MethodPost, c.url+path, bytes.NewReader(body))
	if err != nil {
		return final(err)
	}
	for name, values := range c.header {
		r.Header[name] = values
	}
	r.Header.Set("Content-Type", "application/json")
	w, err := c.http.Do(r)
	if err != nil {
		err = withoutURL("the service", err)
		if c.notes != nil && ctx.Err() == nil {
			c.silent.Do(func() {
				fmt.Fprintf(c.notes, "put: the service does not answer (%v); trying again for up to three minutes\n", errors.Unwrap(err))
			})
		}
		return err
	}
	defer w.Body.Close()
	text, err := io.ReadAll(io.LimitReader(w.Body, answerSize+1))
	if err != nil {
		return fmt.Errorf("the service's answer: %w", err)
	} else if len(text) > answerSize {
		return final(fmt.Errorf("the service's answer: it is over %d bytes", answerSize))
	}
	if w.StatusCode >= 300 {
		problem := new(presign.Problem)
		_ = json.Unmarshal(text, problem) // or a proxy has answered
		problem.Status = w.StatusCode
		seconds, _ := strconv.Atoi(w.Header.Get("Retry-After"))
		problem.RetryAfter = time.Duration(seconds) * time.Second
		return problem
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return final(fmt.Errorf("the service's answer: %w", err))
	}
	return nil
}

// gone reports whether the service says that there is no such upload, or not any more.
func gone(err error) bool {
	problem := (*presign.Problem)(nil)
	return errors.As(err, &problem) && (problem.Status == http.StatusNotFound || problem.Status == http.StatusGone)
}

// withoutURL returns an error of http.Client without the URL, which is nobody else's business.
func withoutURL(who string, err error) error {
	if withURL := (*url.Error)(nil); errors.As(err, &withURL) {
		err = withURL.Err
	}
	return fmt.Errorf("%s: %w", who, err)
}
