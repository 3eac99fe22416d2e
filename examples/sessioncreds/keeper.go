package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts/types"
)

// A keeper renews credentials in a file.
type keeper struct {
	assume func(context.Context) (*types.Credentials, error)
	file   string
	stdout io.Writer

	expires time.Time // of the credentials in the file
}

// keep renews the credentials after half of their remaining time until ctx
// ends.
func (k *keeper) keep(ctx context.Context) {
	const minRetry, maxRetry = 5 * time.Second, time.Minute
	retry := minRetry
	wait := k.halfLife()
	for sleep(ctx, wait) {
		err := k.renew(ctx)
		if err == nil {
			retry, wait = minRetry, k.halfLife()
			continue
		}
		if ctx.Err() != nil {
			break
		}
		fmt.Fprintf(k.stdout, "Not renewed; %s is valid until %s. Trying again in %v.\n  %v\n",
			k.file, clock(k.expires), retry, err)
		retry, wait = min(2*retry, maxRetry), retry
	}
	fmt.Fprintf(k.stdout, "Stopped; %s is valid until %s.\n", k.file, clock(k.expires))
}

// renew replaces the file once.
func (k *keeper) renew(ctx context.Context) error {
	c, err := k.assume(ctx)
	if err != nil {
		return err
	}
	content := fmt.Appendf(nil, "ACCESS=%s\nSECRET=%s\nTOKEN=%s\nEXPIRATION=%s\n",
		*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken,
		c.Expiration.UTC().Format(time.RFC3339))
	if err := replace(k.file, content); err != nil {
		return err
	}
	k.expires = *c.Expiration
	fmt.Fprintf(k.stdout, "Wrote %s, valid until %s.\n", k.file, clock(k.expires))
	return nil
}

// halfLife returns half of the remaining time, but at least 5 seconds.
func (k *keeper) halfLife() time.Duration {
	return max(time.Until(k.expires)/2, 5*time.Second)
}

// sleep waits by the wall clock, because a timer stops while a machine sleeps
// but credentials expire. It reports whether it waited the whole time.
func sleep(ctx context.Context, d time.Duration) bool {
	for end := time.Now().Round(0).Add(d); time.Until(end) > 0; {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(min(time.Until(end), time.Minute)):
		}
	}
	return ctx.Err() == nil
}

func clock(t time.Time) string {
	return t.Local().Format(time.RFC3339)
}

// replace writes a file that only its owner can read. Readers see either the
// old content or the new content.
func replace(path string, content []byte) (err error) {
	// CreateTemp creates the file with mode 0600.
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	return err
}
