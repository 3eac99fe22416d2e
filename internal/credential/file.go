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
	interval = time.Second     // between two looks at a file
	settling = 2 * time.Second // the coarsest clock of a file system; for so long a stat may not show a rewrite
	maxSize  = 64 << 10        // bytes
)

// File is a file of credentials that changes. It is looked at when it is asked for them, with one stat at most once a
// second, and read when that shows a change. It is safe for concurrent use; no caller waits for another one's look,
// unless there is nothing to answer yet.
//
// While the credentials that it has still work, it replaces them (and complains of what it finds) only after two looks
// in a row read the same. So a file that is seen half written is never used.
type File struct {
	path   string
	logger *slog.Logger

	answer atomic.Pointer[answer]

	looking sync.Mutex // guards what follows
	info    fs.FileInfo
	since   time.Time // when info was first seen
	content string    // what was read last
	fault   string    // or why nothing was
	decided bool      // whether that was adopted or rejected
	settled bool      // whether only a change of info can mean a change of content
	warned  string    // of which fault
	exposed bool      // whether others can read the file
	endless bool      // whether there was a token without an expiry
}

// answer is what File answers until it looks again.
type answer struct {
	credentials Credentials
	err         error // if there never were credentials
	until       time.Time
}

// NewFile returns a File for path. It does not read the file yet.
func NewFile(path string, logger *slog.Logger) *File {
	return &File{path: path, logger: logger}
}

// Credentials returns the last good credentials, even if they have expired, or why there never were any.
func (f *File) Credentials() (Credentials, error) {
	now, a := time.Now(), f.answer.Load()
	if a == nil || !now.Before(a.until) {
		a = f.look(now, a)
	}
	return a.credentials, a.err
}

func (f *File) look(now time.Time, last *answer) *answer {
	if last == nil {
		f.looking.Lock()
	} else if !f.looking.TryLock() {
		return last
	}
	defer f.looking.Unlock()
	if a := f.answer.Load(); a != last {
		return a // of a look that ended meanwhile
	}
	a := &answer{until: now.Add(interval)}
	if last != nil {
		a.credentials, a.err = last.credentials, last.err
	}
	f.update(a, now)
	f.answer.Store(a)
	return a
}

// update brings an answer up to date with the file.
func (f *File) update(a *answer, now time.Time) {
	info, err := os.Stat(f.path)
	if err == nil {
		f.checkMode(info.Mode())
		if f.settled && same(f.info, info) {
			return
		}
	}
	var content []byte
	if err == nil {
		content, err = read(f.path, info)
	}
	if !same(f.info, info) {
		f.info, f.since = info, now
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err // what is told names the path already
	}

	var fault string
	if err != nil {
		fault = err.Error()
	}
	again := f.content == string(content) && f.fault == fault
	f.content, f.fault, f.decided = string(content), fault, again && f.decided
	if !f.decided && (again || !f.work(a.credentials, now)) {
		f.decide(a, now, content, err)
	}
	f.settled = err == nil && f.decided && now.Sub(f.since) >= settling
}

func (f *File) decide(a *answer, now time.Time, content []byte, err error) {
	f.decided = true
	var c Credentials
	if err == nil {
		c, err = Parse(content)
	}
	if err == nil && f.work(a.credentials, now) && !f.work(c, now) {
		err = errors.New("its credentials have expired")
	}
	known := a.credentials != Credentials{}
	switch {
	case err != nil && !known:
		a.err = fmt.Errorf("credentials file %q: %w", f.path, err)
	case err != nil:
		if fault := err.Error(); fault != f.warned {
			f.warned = fault
			f.logger.Warn("credentials file is not usable; the last good credentials stay",
				slog.String("path", f.path), slog.String("error", fault))
		}
	default:
		if known && a.credentials != c || f.warned != "" {
			f.logger.Info("credentials file was read again", slog.String("path", f.path))
		}
		a.credentials, a.err, f.warned = c, nil, ""
		if c.Token != "" && c.Expires.IsZero() && !f.endless {
			f.endless = true
			f.logger.Warn("credentials file has a session token but no "+names[expires][0]+
				"; what they sign may die earlier than it says", slog.String("path", f.path))
		}
	}
}

func (f *File) work(c Credentials, now time.Time) bool {
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

// same reports whether two looks found the same file, unchanged. Behind a symbolic link it is the file that counts.
func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && os.SameFile(a, b)
}

func read(path string, info fs.FileInfo) ([]byte, error) {
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file") // opening a pipe might never return
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
		return nil, fmt.Errorf("it has more than %d bytes", maxSize)
	}
	return content, nil
}
