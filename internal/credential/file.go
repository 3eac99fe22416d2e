package credential

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// interval is the time between two checks of a file.
	interval = time.Second

	// grain is the resolution of the coarsest clock of a file system. A stat
	// might not show a change within this time.
	grain = 2 * time.Second

	maxSize = 64 << 10 // bytes
)

// A File is a file of credentials that changes. Credentials checks it with one
// stat at most once a second. It reads the file if the stat shows a change, or
// if the last change is recent. A File is safe for concurrent use. A caller
// waits for the check of another caller only if no check has ended before.
//
// A File replaces valid credentials, and logs a warning, only after two checks
// in a row have read the same content. So a file that is half written does not
// replace valid credentials.
type File struct {
	path   string
	logger *slog.Logger

	result atomic.Pointer[result]

	checking sync.Mutex // guards the fields below
	info     fs.FileInfo
	since    time.Time // when info was first seen
	content  string    // the last content
	fault    string    // the reason why content could not be read
	decided  bool      // content was adopted or rejected
	stable   bool      // content cannot have changed unless info has
	warned   string    // the last fault that was logged
	exposed  bool      // others can read the file
	endless  bool      // a token without an expiry was logged
}

// A result holds the values that Credentials returns until the next check.
type result struct {
	credentials Credentials
	err         error // the reason if no check has found credentials
	until       time.Time
}

// NewFile returns a File for path. It does not read the file yet.
func NewFile(path string, logger *slog.Logger) *File {
	return &File{path: path, logger: logger}
}

// Credentials returns the last good credentials, even if they have expired. If
// no check has found good credentials, Credentials returns the reason.
func (f *File) Credentials() (Credentials, error) {
	now, r := time.Now(), f.result.Load()
	if r == nil || !now.Before(r.until) {
		r = f.check(now, r)
	}
	return r.credentials, r.err
}

// check returns the result of a check, or last while another caller checks.
func (f *File) check(now time.Time, last *result) *result {
	if last == nil {
		f.checking.Lock()
	} else if !f.checking.TryLock() {
		return last
	}
	defer f.checking.Unlock()
	if r := f.result.Load(); r != last {
		return r // Another check has ended meanwhile.
	}
	r := &result{until: now.Add(interval)}
	if last != nil {
		r.credentials, r.err = last.credentials, last.err
	}
	f.update(r, now)
	f.result.Store(r)
	return r
}

// update checks the file and updates r.
func (f *File) update(r *result, now time.Time) {
	info, err := os.Stat(f.path)
	if err == nil {
		f.checkMode(info.Mode())
		if f.stable && sameFile(f.info, info) {
			return
		}
	}
	var content []byte
	if err == nil {
		content, err = read(f.path, info)
	}
	if !sameFile(f.info, info) {
		f.info, f.since = info, now
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err // The messages name the path already.
	}

	var fault string
	if err != nil {
		fault = err.Error()
	}
	again := f.content == string(content) && f.fault == fault
	f.content, f.fault, f.decided = string(content), fault, again && f.decided
	if !f.decided && (again || !isValid(r.credentials, now)) {
		f.decide(r, now, content, err)
	}
	f.stable = err == nil && f.decided && now.Sub(f.since) >= grain
}

// decide adopts the credentials in content or rejects them.
func (f *File) decide(r *result, now time.Time, content []byte, err error) {
	f.decided = true
	var c Credentials
	if err == nil {
		c, err = Parse(content)
	}
	if err == nil && isValid(r.credentials, now) && !isValid(c, now) {
		err = errors.New("the credentials must not have expired")
	}
	known := r.credentials != Credentials{}
	switch {
	case err != nil && !known:
		r.err = fmt.Errorf("credentials file %q: %w", f.path, err)
	case err != nil:
		if fault := err.Error(); fault != f.warned {
			f.warned = fault
			f.logger.Warn("credentials file is not usable; the last good credentials stay",
				slog.String("path", f.path), slog.String("error", fault))
		}
	default:
		if known && r.credentials != c || f.warned != "" {
			f.logger.Info("credentials file was read again", slog.String("path", f.path))
		}
		r.credentials, r.err, f.warned = c, nil, ""
		if c.Token != "" && c.Expires.IsZero() && !f.endless {
			f.endless = true
			f.logger.Warn("credentials file has a session token but no "+names[expires][0]+
				"; grants can end earlier than they state", slog.String("path", f.path))
		}
	}
}

// isValid reports whether credentials can sign for some time.
func isValid(c Credentials, now time.Time) bool {
	return c.ID != "" && (c.Expires.IsZero() || c.Expires.Sub(now) >= minRemaining)
}

func (f *File) checkMode(mode fs.FileMode) {
	exposed := runtime.GOOS != "windows" && mode&0o044 != 0
	if exposed && !f.exposed {
		f.logger.Warn("credentials file can be read by others; its mode should be 0600",
			slog.String("path", f.path), slog.String("mode", mode.String()))
	}
	f.exposed = exposed
}

// sameFile reports whether two checks found the same file, unchanged. Behind a
// symbolic link, the target is compared.
func sameFile(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && os.SameFile(a, b)
}

func read(path string, info fs.FileInfo) ([]byte, error) {
	if !info.Mode().IsRegular() {
		// Opening a pipe might block forever.
		return nil, errors.New("must be a regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	switch {
	case err != nil:
		return nil, err
	case len(content) > maxSize:
		return nil, fmt.Errorf("must have at most %d bytes", maxSize)
	}
	return content, nil
}
