package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/s3presign/presign/examples/internal/child"
)

var errNoClamd = errors.New("clamd is not installed: " +
	"install ClamAV's daemon (on Debian and Ubuntu: apt install clamav-daemon), " +
	"or pass the address of a running one with -clamd")

// clamdPaths lists the paths at which findClamd looks. Debian installs clamd in
// a directory that is not in the PATH of every user.
var clamdPaths = []string{
	"clamd", "/usr/sbin/clamd", "/usr/local/sbin/clamd", "/opt/homebrew/sbin/clamd",
}

// findClamd returns the path of clamd.
func findClamd() (string, error) {
	for _, name := range clamdPaths {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errNoClamd
}

// A daemon is a clamd that runs as a child of this process.
type daemon struct {
	clamd
	dir    string
	cancel context.CancelFunc
	ended  chan struct{} // closed after err is set
	err    error
}

// startClamd starts a clamd with a database of one signature, and waits until
// clamd replies. The daemon scans files of up to maxSize bytes, and up to four
// times as many bytes in an archive.
func startClamd(ctx context.Context, maxSize int64) (_ *daemon, err error) {
	path, err := findClamd()
	if err != nil {
		return nil, err
	}
	// The path of a socket is limited to about 100 bytes, so it is not in -dir,
	// whose path can be longer.
	dir, err := os.MkdirTemp("", "clamd-")
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d := &daemon{
		clamd: clamd{"unix", filepath.Join(dir, "socket")},
		dir:   dir, cancel: cancel, ended: make(chan struct{}),
	}
	config, err := d.configure(maxSize)
	if err != nil {
		cancel()
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	var output bytes.Buffer
	command := exec.CommandContext(running, path, "--config-file", config)
	command.Stdout, command.Stderr = &output, &output
	command.SysProcAttr = child.DieWithParent()
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 5 * time.Second
	go func() {
		defer close(d.ended)
		if err := command.Run(); running.Err() == nil {
			d.err = fmt.Errorf("clamd ended: %w: %s", err, output.Bytes())
		}
	}()
	if err := d.waitForReply(ctx); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// configure writes the configuration and the database, and returns the path of
// the configuration.
func (d *daemon) configure(maxSize int64) (config string, err error) {
	database := filepath.Join(d.dir, "database")
	config = filepath.Join(d.dir, "clamd.conf")
	if err := os.Mkdir(database, 0o700); err != nil {
		return "", err
	}
	err = os.WriteFile(filepath.Join(database, "eicar.ndb"), eicarSignature(), 0o600)
	if err != nil {
		return "", err
	}
	lines := fmt.Appendf(nil, `Foreground yes
DatabaseDirectory %q
TemporaryDirectory %q
LocalSocket %q
LocalSocketMode 600
SelfCheck 0
StreamMaxLength %[4]d
# clamd reports files that it cannot scan completely, instead of accepting them.
# MaxFileSize must not be less than MaxScanSize. Otherwise clamd skips larger files
# in an archive without a report.
MaxFileSize %[5]d
MaxScanSize %[5]d
AlertExceedsMax yes
AlertEncryptedArchive yes
AlertEncryptedDoc yes
`, database, d.dir, d.address, maxSize, 4*maxSize)
	return config, os.WriteFile(config, lines, 0o600)
}

// waitForReply waits until clamd replies to a ping.
func (d *daemon) waitForReply(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // A busy machine takes a while.
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := d.ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-d.ended:
			return d.err
		case <-ctx.Done():
			return fmt.Errorf("clamd did not start: %w", err)
		case <-ticker.C:
		}
	}
}

// wait waits until ctx ends. It returns an error if clamd ends before that.
func (d *daemon) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-d.ended:
		return d.err
	}
}

// close stops clamd and deletes its files.
func (d *daemon) close() error {
	d.cancel()
	<-d.ended
	return os.RemoveAll(d.dir)
}
