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
	responseTime = 30 * time.Second // for a response of the service
	completeTime = time.Minute      // for a completion; a Handler responds within 25 seconds
	responseSize = 4 << 20          // bytes of a response; a list of 10,000 parts has about 1.5 MiB
)

// maxParts is the maximum number of parts of an object in S3.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
const maxParts = 10_000

// A client makes requests to a service that mounts a presign.Handler.
type client struct {
	url      string      // the URL of the handler, without a slash at its end
	header   http.Header // the headers of every request, with the credentials of the user
	http     *http.Client
	patience patience
	notes    io.Writer // the output for notes about delays, or nil
	noteOnce sync.Once // prints the note only once
}

// An upload describes a multipart upload, as the service returned it.
type upload struct {
	ID       string `json:"id"`
	Key      string `json:"key"`
	PartSize int64  `json:"part_size"`
}

// A part describes a part that the store has received.
type part struct {
	Number   int    `json:"number"`
	Size     int64  `json:"size,omitzero"`
	ETag     string `json:"etag"`
	Checksum string `json:"checksum,omitempty"`
}

// A request describes a file to the service.
type request struct {
	Filename string `json:"filename"`
	Type     string `json:"type,omitempty"`
	Size     int64  `json:"size"`
	Checksum string `json:"checksum,omitempty"`
	Method   string `json:"method,omitempty"` // empty for a PUT
}

// grant requests a grant for a file that is sent in one request.
func (c *client) grant(ctx context.Context, q request) (*presign.Grant, error) {
	grant := new(presign.Grant)
	return grant, c.explainNotFound(c.call(ctx, "/", q, grant))
}

// explainNotFound adds the probable cause to a 404 or 410. A handler does not
// return these statuses for a request for a grant.
func (c *client) explainNotFound(err error) error {
	if where, _ := url.Parse(c.url); where != nil && isGone(err) {
		return fmt.Errorf("%w; -url must be the URL of the handler, got %s", err, where.Redacted())
	}
	return err
}

// completeKey completes the upload of a file and returns the stored object.
func (c *client) completeKey(ctx context.Context, key string) (*presign.Object, error) {
	return c.complete(ctx, map[string]string{"key": key})
}

// completeParts completes a multipart upload and returns the stored object.
func (c *client) completeParts(
	ctx context.Context, u *upload, parts []part,
) (*presign.Object, error) {
	return c.complete(ctx, map[string]any{"id": u.ID, "parts": parts})
}

// complete completes an upload. It waits without a limit while the service
// reports that the completion is running.
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
	return started, c.explainNotFound(c.call(ctx, "/", q, started))
}

// check returns an error if a file of that size does not fit into the parts of
// the upload. If check returns nil, count and section cannot overflow.
func (u *upload) check(size int64) error {
	if size < 1 || u.PartSize < 1 || (size-1)/u.PartSize >= maxParts {
		return fmt.Errorf("a file of %d bytes must have 1 to %d parts, got a part size of %d bytes",
			size, maxParts, u.PartSize)
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
	var response struct {
		URLs []string `json:"urls"`
	}
	err := c.call(ctx, "/parts/sign", map[string]any{"id": u.ID, "parts": parts}, &response)
	if err == nil && len(response.URLs) != len(numbers) {
		err = fmt.Errorf("the service must return %d URLs of parts, got %d",
			len(numbers), len(response.URLs))
	}
	return response.URLs, err
}

// list returns the parts that the store has received.
func (c *client) list(ctx context.Context, u *upload) ([]part, error) {
	var response struct {
		Parts []part `json:"parts"`
	}
	err := c.call(ctx, "/parts/list", map[string]string{"id": u.ID}, &response)
	return response.Parts, err
}

// abort aborts an upload.
func (c *client) abort(ctx context.Context, u *upload) error {
	return c.call(ctx, "/abort", map[string]string{"id": u.ID}, nil)
}

// call sends a request. It repeats the request if the service cannot be
// reached, or if the status is not the fault of the request. If the service has
// responded with an error status, the error wraps a *presign.Problem.
func (c *client) call(ctx context.Context, path string, body, response any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	completes := path == "/complete"
	return c.patience.retry(ctx, func(int) error {
		err := c.try(ctx, path, text, completes, response)
		problem, ok := errors.AsType[*presign.Problem](err)
		if !ok {
			return err
		}
		switch status := problem.Status; {
		// The completion is still running, or the object has changed.
		case status == http.StatusConflict && completes:
		case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests,
			status >= 500:
		default:
			return markFinal(err)
		}
		return setDelay(err, problem.RetryAfter)
	})
}

func (c *client) try(
	ctx context.Context, path string, body []byte, completes bool, response any,
) error {
	limit := responseTime
	if completes {
		limit = completeTime
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r, err := http.NewRequestWithContext(limited, http.MethodPost, c.url+path,
		bytes.NewReader(body))
	if err != nil {
		return markFinal(err)
	}
	for name, values := range c.header {
		r.Header[name] = values
	}
	r.Header.Set("Content-Type", "application/json")
	w, err := c.http.Do(r)
	if err != nil {
		err = withoutURL("the service", err)
		if c.notes != nil && ctx.Err() == nil {
			c.noteOnce.Do(func() {
				fmt.Fprintf(c.notes,
					"put: the service does not respond, trying again for up to three minutes: %v\n",
					errors.Unwrap(err))
			})
		}
		return err
	}
	defer w.Body.Close()
	text, err := io.ReadAll(io.LimitReader(w.Body, responseSize+1))
	if err != nil {
		return fmt.Errorf("the response of the service: %w", err)
	} else if len(text) > responseSize {
		return markFinal(
			fmt.Errorf("the response of the service must have at most %d bytes", responseSize))
	}
	if w.StatusCode >= 300 {
		problem := new(presign.Problem)
		_ = json.Unmarshal(text, problem) // The response might come from a proxy.
		problem.Status = w.StatusCode
		seconds, _ := strconv.Atoi(w.Header.Get("Retry-After"))
		problem.RetryAfter = time.Duration(seconds) * time.Second
		return problem
	}
	if response == nil {
		return nil
	}
	if err := json.Unmarshal(text, response); err != nil {
		return markFinal(fmt.Errorf("the response of the service: %w", err))
	}
	return nil
}

// isGone reports whether the upload does not exist or exists no longer.
func isGone(err error) bool {
	problem := (*presign.Problem)(nil)
	return errors.As(err, &problem) &&
		(problem.Status == http.StatusNotFound || problem.Status == http.StatusGone)
}

// withoutURL returns an error of http.Client without the URL, which is a
// secret.
func withoutURL(who string, err error) error {
	if withURL := (*url.Error)(nil); errors.As(err, &withURL) {
		err = withURL.Err
	}
	return fmt.Errorf("%s: %w", who, err)
}
