//go:build unix

package presign_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
)

// TestEnvFileRejectsPipe checks that EnvFile returns an error for a named pipe
// and does not open it. Opening a pipe might block forever.
func TestEnvFileRejectsPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "credentials")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	done := make(chan struct{})
	go func() { // OpenFile blocks until a reader opens the pipe.
		defer close(done)
		pipe, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_, _ = pipe.WriteString("ACCESS=AKIA\nSECRET=value-secret\n")
			_ = pipe.Close()
		}
	}()
	_, err := presign.EnvFile(path, slog.New(slog.DiscardHandler)).Retrieve(t.Context())
	reader, openErr := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	require.NoError(t, openErr)
	<-done
	require.NoError(t, reader.Close())
	require.ErrorContains(t, err, "must be a regular file")
}
