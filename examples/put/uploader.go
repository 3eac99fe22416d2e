package main

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/s3presign/presign"
)

const (
	singleSize = 16 << 20 // bytes of the largest file that is sent in one request
	tolerance  = 3        // number of tries if the store rejects an upload, each with a fresh grant
)

// An uploader uploads files with grants of a service.
type uploader struct {
	service   *client
	store     *http.Client
	patience  patience
	parallel  int    // number of concurrent parts
	single    int64  // bytes of the largest file that is sent in one request
	mediaType string // of the files; if empty, it depends on their names
	algorithm string // of the checksum that the service requires
	states    string // the directory of saved states
	out       io.Writer
}

// newClient returns a client for a number of concurrent requests. It does not
// follow redirects, because credentials and grants are secrets of the user and
// the service.
func newClient(requests int) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = requests
	return &http.Client{
		Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// A file is a local file during its upload.
type file struct {
	*os.File
	info     os.FileInfo
	progress *progress
}

// put uploads a file or its missing parts, and returns the stored object.
func (u *uploader) put(ctx context.Context, path string) (*presign.Object, error) {
	opened, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	info, err := opened.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s must be a regular file", path)
	case info.Size() == 0:
		return nil, fmt.Errorf("%s must not be empty", path)
	}
	about := request{Filename: filepath.Base(path), Type: u.mediaType, Size: info.Size()}
	if about.Checksum, err = checksum(u.algorithm, interruptibleReader(ctx, opened)); err != nil {
		return nil, err
	}
	f := &file{opened, info, newProgress(u.out, about.Filename, about.Size)}
	upload := u.putParts
	// S3 does not support a SHA-256 of a whole multipart upload.
	if about.Size <= u.single || u.algorithm == "sha256" {
		upload = u.putWhole
	}
	object, err := upload(ctx, f, about)
	switch {
	case err != nil:
		f.progress.stop()
		return nil, err
	case object.Size != about.Size:
		return nil, fmt.Errorf("the stored object must have the %d bytes of %s, got %d",
			about.Size, path, object.Size)
	}
	f.progress.finish()
	return object, nil
}

// putWhole uploads a file in one request.
func (u *uploader) putWhole(ctx context.Context, f *file, about request) (*presign.Object, error) {
	var grant *presign.Grant
	unclear := false // whether the store might have stored the file although the request failed
	err := u.patience.retry(ctx, func(try int) (err error) {
		if grant == nil || time.Now().After(grant.Expires) {
			if grant, err = u.service.grant(ctx, about); err != nil {
				return markFinal(err)
			}
			unclear = false
		}
		_, err = u.send(ctx, grant, f, 0, about.Size)
		response := (*rejection)(nil)
		switch {
		case err == nil, errors.As(err, &response) &&
			response.status == http.StatusPreconditionFailed && unclear:
			return nil
		case response == nil, response.status >= 500:
			unclear = true
			return err
		case try >= tolerance:
			return markFinal(err)
		}
		grant = nil
		return err
	})
	if err != nil {
		return nil, err
	}
	return u.service.completeKey(ctx, grant.Key)
}

// send uploads a section of a file.
func (u *uploader) send(
	ctx context.Context, grant *presign.Grant, f *file, offset, size int64,
) (sentPart, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	errStalled := fmt.Errorf("the store: no progress for %s", u.patience.stall)
	stalled := time.AfterFunc(u.patience.stall, func() { cancel(errStalled) })
	defer stalled.Stop()
	m := &meter{ReaderAt: f, next: offset, sent: func(n int64) {
		stalled.Reset(u.patience.stall)
		f.progress.add(n)
	}}
	etag, err := u.try(ctx, grant, io.NewSectionReader(m, offset, size), size)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sent = func(int64) {} // The transport might still be reading.
	if err == nil {
		return sentPart{ETag: etag, CRC32C: m.crc}, nil
	}
	f.progress.add(offset - m.next)
	if context.Cause(ctx) == errStalled {
		err = errStalled
	}
	return sentPart{}, err
}

func (u *uploader) try(
	ctx context.Context, grant *presign.Grant, body io.Reader, size int64,
) (etag string, err error) {
	r, err := grant.Request(ctx, body, size)
	if err != nil {
		return "", markFinal(err)
	}
	response, err := u.store.Do(r)
	if err != nil {
		return "", withoutURL("the store", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if response.StatusCode >= 300 {
		rejected := &rejection{status: response.StatusCode}
		_ = xml.Unmarshal(text, rejected) // The response might come from a proxy.
		return "", rejected
	} else if err != nil {
		return "", fmt.Errorf("the response of the store: %w", err)
	}
	return response.Header.Get("ETag"), nil
}

// A rejection is an error response of the store.
type rejection struct {
	status  int
	Code    string
	Message string
}

func (r *rejection) Error() string {
	return strings.TrimSpace(
		fmt.Sprintf("the store returned %d %s %s", r.status, r.Code, r.Message))
}

// A meter counts the bytes of a file that are read for the first time, starting
// at next, and computes their CRC32C. A repeated request reads bytes again,
// which the meter does not count.
type meter struct {
	io.ReaderAt
	mu   sync.Mutex
	next int64
	crc  uint32
	sent func(n int64)
}

func (m *meter) ReadAt(p []byte, offset int64) (int, error) {
	n, err := m.ReaderAt.ReadAt(p, offset)
	m.mu.Lock()
	defer m.mu.Unlock()
	if fresh := offset + int64(n) - m.next; fresh > 0 && offset <= m.next {
		m.crc = crc32.Update(m.crc, castagnoli, p[int64(n)-fresh:n])
		m.next += fresh
		m.sent(fresh)
	}
	return n, err
}

// interruptibleReader returns a reader that fails after ctx has ended.
func interruptibleReader(ctx context.Context, r io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		return r.Read(p)
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
