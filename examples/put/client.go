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
	"strings"
	"sync"
	"time"

	"github.com/s3presign/presign"
)

const (
	answerTime   = 30 * time.Second // that the service has for an answer
	completeTime = 6 * time.Minute  // for one that copies what was uploaded
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

// upload is one in parts.
type upload struct {
	UploadID string `json:"uploadId"`
	Key      string `json:"key"`
	PartSize int64  `json:"partSize"`
}

// part is one that has arrived.
type part struct {
	PartNumber int
	Size       int64 `json:",omitzero"`
	ETag       string
}

// request is what the service is told of a file.
type request struct {
	Filename string `json:"filename"`
	Type     string `json:"type,omitempty"`
	Size     int64  `json:"size"`
	Checksum string `json:"checksum,omitempty"`
}

// grant asks for a grant for a file that goes in one request.
func (c *client) grant(ctx context.Context, q request) (*presign.Grant, error) {
	grant := new(presign.Grant)
	return grant, c.mounted(c.call(ctx, http.MethodPost, "/", q, grant))
}

// mounted says of a 404 what is likely: no handler answers so to who asks for a grant.
func (c *client) mounted(err error) error {
	if where, _ := url.Parse(c.url); where != nil && gone(err) {
		return fmt.Errorf("%w; is -url %s where the handler is mounted?", err, where.Redacted())
	}
	return err
}

// complete says that a file is uploaded, and returns what it has become.
func (c *client) complete(ctx context.Context, key string) (*presign.Object, error) {
	object := new(presign.Object)
	return object, c.call(ctx, http.MethodPost, "/complete", map[string]string{"key": key}, object)
}

// start begins an upload in parts. The protocol has the size, and the checksum, in the metadata.
func (c *client) start(ctx context.Context, q request) (*upload, error) {
	metadata := map[string]string{"size": strconv.FormatInt(q.Size, 10)}
	if q.Checksum != "" {
		metadata["checksum"] = q.Checksum
	}
	started := new(upload)
	return started, c.mounted(c.call(ctx, http.MethodPost, "/s3/multipart",
		map[string]any{"filename": q.Filename, "type": q.Type, "metadata": metadata}, started))
}

// check returns an error if a file of that size does not go in the upload's parts. Where it does, count and section
// cannot overflow.
func (u *upload) check(size int64) error {
	if size < 1 || u.PartSize < 1 || (size-1)/u.PartSize >= maxParts {
		return fmt.Errorf("the service asks for parts of %d bytes of a file of %d; there can be 1 to %d parts", u.PartSize, size, maxParts)
	}
	return nil
}

// sign returns the URLs of up to 100 parts.
func (c *client) sign(ctx context.Context, u *upload, numbers []int) (map[int]string, error) {
	list := strings.Trim(strings.ReplaceAll(fmt.Sprint(numbers), " ", ","), "[]")
	var answer struct {
		PresignedURLs map[int]string `json:"presignedUrls"`
	}
	err := c.call(ctx, http.MethodGet, u.path("/batch")+"&partNumbers="+list, nil, &answer)
	return answer.PresignedURLs, err
}

// list returns the parts that have arrived.
func (c *client) list(ctx context.Context, u *upload) (arrived []part, err error) {
	err = c.call(ctx, http.MethodGet, u.path(""), nil, &arrived)
	return arrived, err
}

// join makes one object of all parts.
func (c *client) join(ctx context.Context, u *upload, parts []part) error {
	return c.call(ctx, http.MethodPost, u.path("/complete"), map[string]any{"parts": parts}, nil)
}

func (c *client) abort(ctx context.Context, u *upload) error {
	return c.call(ctx, http.MethodDelete, u.path(""), nil, nil)
}

func (u *upload) path(rest string) string {
	return "/s3/multipart/" + url.PathEscape(u.UploadID) + rest + "?key=" + url.QueryEscape(u.Key)
}

// call makes a request, again as long as the service cannot be reached, or says that it is no fault of the request.
// Its errors are a *presign.Problem where the service has answered.
func (c *client) call(ctx context.Context, method, path string, body, answer any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	completes := strings.Contains(path, "/complete")
	return c.patience.retry(ctx, func(int) error {
		err := c.try(ctx, method, path, text, completes, answer)
		problem := (*presign.Problem)(nil)
		if !errors.As(err, &problem) {
			return err
		}
		switch status := problem.Status; {
		case status == http.StatusConflict && completes: // what was uploaded changed while it was looked at
		case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= 500:
		default:
			return final(err)
		}
		return later(err, problem.RetryAfter)
	})
}

func (c *client) try(ctx context.Context, method, path string, body []byte, completes bool, answer any) error {
	limit := answerTime
	if completes {
		limit = completeTime
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r, err := http.NewRequestWithContext(limited, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return final(err)
	}
	for name, values := range c.header {
		r.Header[name] = values
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	w, err := c.http.Do(r)
	if err != nil {
		err = withoutURL("the service", err) // which has the upload's ID in it
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
