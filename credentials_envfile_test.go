package presign_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
)

// A logs collects log records.
type logs struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(p)
}

// newLogs returns a logger and its records. At the end of the test it checks
// that the records contain no secret.
func newLogs(t *testing.T) (*slog.Logger, *logs) {
	l := &logs{}
	t.Cleanup(func() { require.NotContains(t, l.buffer.String(), "value-") })
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug})), l
}

// take returns the level, message and error of each record since the last call.
func (l *logs) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var messages []string
	for line := range strings.Lines(l.buffer.String()) {
		_, line, _ = strings.Cut(strings.TrimSpace(line), " ")
		level, line, _ := strings.Cut(line, " ")
		message, rest, _ := strings.Cut(strings.TrimPrefix(line, "msg="), " path=")
		message = strings.TrimPrefix(level, "level=") + " " + strings.Trim(message, `"`)
		if _, fault, ok := strings.Cut(rest, " error="); ok {
			message += ": " + strings.Trim(fault, `"`)
		}
		messages = append(messages, message)
	}
	if strings.Contains(l.buffer.String(), "value-") {
		panic("a secret was logged")
	}
	l.buffer.Reset()
	return messages
}

// envLines returns the content of a file with the nth credentials. The
// credentials expire at expires, unless expires is zero.
func envLines(n int, expires time.Time) string {
	lines := fmt.Sprintf(
		"# The %dth.\nACCESS=id-value-%04d\nSECRET='secret-value-%04d'\nTOKEN=token-value-%04d\n",
		n, n, n, n)
	if !expires.IsZero() {
		lines += "EXPIRATION=" + expires.Format(time.RFC3339) + "\n"
	}
	return lines
}

var writes atomic.Int64

// writeFile writes a file with a distinct modification time. In a synctest
// bubble, hours pass within one tick of the file system's clock.
func writeFile(t testing.TB, path, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	require.NoError(t, os.Chtimes(path, time.Time{}, time.Unix(writes.Add(1), 0)))
}

// replaceFile replaces a file by a rename.
func replaceFile(t testing.TB, path, content string) {
	t.Helper()
	writeFile(t, path+".new", content)
	require.NoError(t, os.Rename(path+".new", path))
}

// token returns the number in a provider's session token, or the text of its
// error. It checks that the error contains no secret.
func token(t *testing.T, provider aws.CredentialsProvider) string {
	t.Helper()
	c, err := provider.Retrieve(t.Context())
	if err != nil {
		require.NotContains(t, err.Error(), "value-")
		require.Zero(t, c)
		return err.Error()
	}
	n := strings.TrimPrefix(c.SessionToken, "token-value-")
	require.Equal(t, aws.Credentials{
		AccessKeyID:     "id-value-" + n,
		SecretAccessKey: "secret-value-" + n,
		SessionToken:    "token-value-" + n,
		Source:          "EnvFile",
		CanExpire:       !c.Expires.IsZero(),
		Expires:         c.Expires,
	}, c)
	return n
}

// TestEnvFileReplaced checks that new credentials are used after two checks
// have read them, for each way to replace the file.
func TestEnvFileReplaced(t *testing.T) {
	for name, replace := range map[string]func(t *testing.T, path, content string){
		"by rename": func(t *testing.T, path, content string) { replaceFile(t, path, content) },
		"in place":  func(t *testing.T, path, content string) { writeFile(t, path, content) },
		"in place, longer": func(t *testing.T, path, content string) {
			writeFile(t, path, content+"OTHER=1\n")
		},
		"by rename, as old and as long": func(t *testing.T, path, content string) {
			before, err := os.Stat(path)
			require.NoError(t, err)
			writeFile(t, path+".new", content)
			require.NoError(t, os.Chtimes(path+".new", time.Time{}, before.ModTime()))
			require.NoError(t, os.Rename(path+".new", path))
		},
		"in place, older": func(t *testing.T, path, content string) {
			before, err := os.Stat(path)
			require.NoError(t, err)
			writeFile(t, path, content)
			require.NoError(t, os.Chtimes(path, time.Time{}, before.ModTime().Add(-time.Hour)))
		},
		"removed and made again": func(t *testing.T, path, content string) {
			require.NoError(t, os.Remove(path))
			writeFile(t, path, content)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				logger, logged := newLogs(t)
				path := filepath.Join(t.TempDir(), "awsenv.list")
				ends := time.Now().Add(12 * time.Hour)
				writeFile(t, path, envLines(0, ends))
				provider := presign.EnvFile(path, logger)
				for n := range 5 {
					require.Equal(t, fmt.Sprintf("%04d", n), token(t, provider))
					time.Sleep(10 * time.Second)
					replace(t, path, envLines(n+1, ends))
					require.Equal(t, fmt.Sprintf("%04d", n), token(t, provider))
					time.Sleep(999 * time.Millisecond)
					require.Equal(t, fmt.Sprintf("%04d", n), token(t, provider))
					time.Sleep(time.Millisecond)
				}
				require.Equal(t, slices.Repeat([]string{"INFO credentials file was read again"}, 4),
					logged.take())
			})
		})
	}
}

// TestEnvFileInKubernetes checks that new credentials are found in the volume
// of a secret, in which the file is a link into a linked directory.
func TestEnvFileInKubernetes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, _ := newLogs(t)
		volume := t.TempDir()
		turn := func(n int) {
			data := fmt.Sprintf("..2026_%d", n)
			require.NoError(t, os.Mkdir(filepath.Join(volume, data), 0o755))
			writeFile(t, filepath.Join(volume, data, "awsenv.list"), envLines(n, time.Time{}))
			require.NoError(t, os.Symlink(data, filepath.Join(volume, "..data_tmp")))
			require.NoError(t,
				os.Rename(filepath.Join(volume, "..data_tmp"), filepath.Join(volume, "..data")))
			require.NoError(t, os.RemoveAll(filepath.Join(volume, fmt.Sprintf("..2026_%d", n-1))))
		}
		turn(0)
		require.NoError(t, os.Symlink("..data/awsenv.list", filepath.Join(volume, "awsenv.list")))
		provider := presign.EnvFile(filepath.Join(volume, "awsenv.list"), logger)
		for n := range 5 {
			require.Equal(t, fmt.Sprintf("%04d", n), token(t, provider))
			time.Sleep(time.Minute)
			turn(n + 1)
			token(t, provider)
			time.Sleep(time.Second)
		}
	})
}

// TestEnvFileTornWrite checks that content that only one check has read is
// never used, even if it is valid.
func TestEnvFileTornWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, logged := newLogs(t)
		path := filepath.Join(t.TempDir(), "awsenv.list")
		writeFile(t, path, envLines(0, time.Time{}))
		provider := presign.EnvFile(path, logger)
		require.Equal(t, "0000", token(t, provider))
		logged.take()
		content := envLines(1, time.Time{})
		for i := range len(content) {
			time.Sleep(time.Second)
			writeFile(t, path, content[:i])
			require.Equal(t, "0000", token(t, provider), "with %q", content[:i])
		}
		time.Sleep(time.Second)
		writeFile(t, path, content)
		require.Equal(t, "0000", token(t, provider))
		time.Sleep(time.Second)
		require.Equal(t, "0001", token(t, provider))
		require.Equal(t, []string{"INFO credentials file was read again"}, logged.take())
	})
}

// TestEnvFileCoarseClock checks that a rewrite with the same size and time is
// found while the coarse clock of the file system might hide it. Afterwards, a
// check makes only one stat call.
func TestEnvFileCoarseClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, _ := newLogs(t)
		path := filepath.Join(t.TempDir(), "awsenv.list")
		made := time.Now()
		rewrite := func(n int) {
			writeFile(t, path, envLines(n, time.Time{}))
			require.NoError(t, os.Chtimes(path, time.Time{}, made))
		}
		rewrite(0)
		provider := presign.EnvFile(path, logger)
		require.Equal(t, "0000", token(t, provider))
		rewrite(1)
		for range 2 {
			require.Equal(t, "0000", token(t, provider))
			time.Sleep(time.Second)
			token(t, provider)
		}
		require.Equal(t, "0001", token(t, provider))
		rewrite(2)
		time.Sleep(time.Minute)
		require.Equal(t, "0001", token(t, provider), "the file must not be read again")
	})
}

// TestEnvFileCoarseClockSeldom checks that a rewrite with the same size and
// time is found by checks of the file that are an hour apart.
func TestEnvFileCoarseClockSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, _ := newLogs(t)
		path := filepath.Join(t.TempDir(), "awsenv.list")
		made := time.Now()
		provider := presign.EnvFile(path, logger)
		for n, want := range []string{"0000", "0000", "0001"} {
			writeFile(t, path, envLines(min(n, 1), time.Time{}))
			require.NoError(t, os.Chtimes(path, time.Time{}, made))
			require.Equal(t, want, token(t, provider))
			time.Sleep(time.Hour)
		}
	})
}

// TestEnvFileDamaged checks that the last good credentials are kept if the file
// is damaged, and that each fault is logged once.
func TestEnvFileDamaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, logged := newLogs(t)
		path := filepath.Join(t.TempDir(), "awsenv.list")
		good := envLines(0, time.Now().Add(12*time.Hour))
		writeFile(t, path, good)
		provider := presign.EnvFile(path, logger)
		for fault, spoil := range map[string]func(){
			"no such file or directory": func() { require.NoError(t, os.Remove(path)) },
			"must be a regular file": func() {
				require.NoError(t, os.Remove(path))
				require.NoError(t, os.Mkdir(path, 0o700))
			},
			"must have at most 65536 bytes":                             func() { writeFile(t, path, good+strings.Repeat("# more\n", 10_000)) },
			"line 3: the value of SECRET must have a closing quote":     func() { writeFile(t, path, strings.Replace(good, "0'", "0", 1)) },
			"ACCESS (line 2) and ACCESS (line 7) must have the same":    func() { writeFile(t, path, good+envLines(1, time.Time{})) },
			"the file must have ACCESS or AWS_ACCESS_KEY_ID and SECRET": func() { writeFile(t, path, "") },
			"the credentials must not have expired":                     func() { writeFile(t, path, envLines(1, time.Now().Add(20*time.Second))) },
		} {
			for range 2 {
				require.Equal(t, "0000", token(t, provider))
				require.Empty(t, logged.take())
				spoil()
				time.Sleep(time.Second)
				require.Equal(t, "0000", token(t, provider))
				require.Empty(t, logged.take(),
					"a fault that one check has found must not be logged")
				for range 10 {
					time.Sleep(time.Second)
					require.Equal(t, "0000", token(t, provider))
				}
				warnings := logged.take()
				require.Len(t, warnings, 1)
				require.Contains(t, warnings[0],
					"WARN credentials file is not usable; the last good credentials stay: "+fault)

				require.NoError(t, os.RemoveAll(path))
				writeFile(t, path, good)
				for range 3 {
					require.Equal(t, "0000", token(t, provider))
					time.Sleep(time.Second)
				}
				require.Equal(t, []string{"INFO credentials file was read again"}, logged.take())
			}
		}
		for i := range 10 {
			writeFile(t, path, "ACCESS=id-value-0000\n"+strings.Repeat("\n", i))
			for range 3 {
				time.Sleep(time.Second)
				require.Equal(t, "0000", token(t, provider))
			}
		}
		require.Len(t, logged.take(), 1, "the same fault must be logged once for any content")
	})
}

// TestEnvFileNeverGood checks that the error describes the fault, and that
// credentials are returned within a second after the fault is repaired.
func TestEnvFileNeverGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, _ := newLogs(t)
		path := filepath.Join(t.TempDir(), "awsenv.list")
		provider := presign.EnvFile(path, logger)
		require.Equal(t, fmt.Sprintf("credentials file %q: no such file or directory", path),
			token(t, provider))
		_, err := provider.Retrieve(t.Context())
		require.ErrorIs(t, err, os.ErrNotExist)
		_, err = measureLifetime(t, signerWith(t, provider, time.Hour))
		require.ErrorIs(t, err, os.ErrNotExist)

		writeFile(t, path, "ACCESS=id-value\nSECRET=secret-value-x'y z\n")
		time.Sleep(time.Second)
		const fault = "line 2: the value of SECRET must be in quotes if it has a space"
		require.Equal(t, fmt.Sprintf("credentials file %q: %s", path, fault), token(t, provider))
		writeFile(t, path, envLines(1, time.Now().Add(time.Hour)))
		time.Sleep(999 * time.Millisecond)
		require.Contains(t, token(t, provider), "line 2",
			"the file must be checked at most once a second")
		time.Sleep(time.Millisecond)
		require.Equal(t, "0001", token(t, provider))
	})
}

// TestEnvFileExpiry checks that a grant expires at the time in the file. If the
// credentials have expired, new credentials are used at the first check.
func TestEnvFileExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, logged := newLogs(t)
		path := filepath.Join(t.TempDir(), "awsenv.list")
		writeFile(t, path, envLines(0, time.Now().Add(10*time.Minute)))
		provider := presign.EnvFile(path, logger)
		signer := signerWith(t, provider, time.Hour)
		got, err := measureLifetime(t, signer)
		require.NoError(t, err)
		require.Equal(t, 10*time.Minute, got)
		time.Sleep(9*time.Minute + 30*time.Second)
		got, err = measureLifetime(t, signer)
		require.NoError(t, err)
		require.Equal(t, 30*time.Second, got)
		for _, wait := range []time.Duration{time.Second, time.Hour} {
			time.Sleep(wait)
			_, err = measureLifetime(t, signer)
			require.ErrorIs(t, err, presign.ErrCredentialsExpiring)
			require.Equal(t, "0000", token(t, provider))
		}
		require.Empty(t, logged.take())

		writeFile(t, path, envLines(1, time.Now().Add(2*time.Hour)))
		time.Sleep(time.Second)
		got, err = measureLifetime(t, signer)
		require.NoError(t, err)
		require.Equal(t, time.Hour, got)
	})
}

// TestEnvFileWarnings checks that a warning is logged once if other users can
// read the file, and once if a token has no expiry.
func TestEnvFileWarnings(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files on Windows have no mode")
	}
	synctest.Test(t, func(t *testing.T) {
		const (
			exposed = "WARN credentials file can be read by others; its mode should be 0600"
			endless = "WARN credentials file has a session token but no EXPIRATION; " +
				"grants can end earlier than they state"
			again = "INFO credentials file was read again"
		)
		logger, logged := newLogs(t)
		path := filepath.Join(t.TempDir(), "awsenv.list")
		provider := presign.EnvFile(path, logger)
		for n, c := range []struct {
			mode os.FileMode
			want []string
		}{
			{0o640, []string{exposed, endless}},
			{0o604, []string{again}},
			{0o600, []string{again}},
			{0o644, []string{exposed, again}},
		} {
			writeFile(t, path, envLines(n, time.Time{}))
			require.NoError(t, os.Chmod(path, c.mode))
			for range 10 {
				time.Sleep(time.Second)
				token(t, provider)
			}
			require.Equal(t, c.want, logged.take())
		}
		writeFile(t, path, "ACCESS=id\nSECRET=s\n")
		require.NoError(t, os.Chmod(path, 0o600))
		_, err := presign.EnvFile(path, logger).Retrieve(t.Context())
		require.NoError(t, err)
		require.Empty(t, logged.take(), "long-lived credentials must not cause a warning")
	})
}

// TestEnvFileDefaultLogger checks that EnvFile logs to slog.Default if it has
// no logger.
func TestEnvFileDefaultLogger(t *testing.T) {
	logger, logged := newLogs(t)
	before := slog.Default()
	slog.SetDefault(logger)
	t.Cleanup(func() { slog.SetDefault(before) })
	path := filepath.Join(t.TempDir(), "awsenv.list")
	writeFile(t, path, envLines(0, time.Time{}))
	require.Equal(t, "0000", token(t, presign.EnvFile(path, nil)))
	require.Len(t, logged.take(), 1)
}

// TestEnvFileUnderLoad checks that no grant fails or mixes credentials while
// the file is replaced in several ways.
func TestEnvFileUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, logged := newLogs(t)
		path := filepath.Join(t.TempDir(), "awsenv.list")
		writeFile(t, path, envLines(0, time.Now().Add(time.Hour)))
		signer := signerWith(t, presign.EnvFile(path, logger), 15*time.Minute)
		var (
			wg   sync.WaitGroup
			done atomic.Bool
			seen sync.Map
		)
		for i := range 4 {
			wg.Go(func() {
				pause := 100*time.Millisecond + time.Duration(i)*time.Microsecond
				for ; !done.Load(); time.Sleep(pause) {
					grant, err := signer.Put(context.Background(),
						presign.Upload{Filename: "a.png", Size: 10})
					require.NoError(t, err)
					q := query(t, grant)
					n := strings.TrimPrefix(q.Get("X-Amz-Security-Token"), "token-value-")
					require.Len(t, n, 4)
					require.True(t, strings.HasPrefix(q.Get("X-Amz-Credential"), "id-value-"+n+"/"))
					require.Equal(t, "900", q.Get("X-Amz-Expires"))
					seen.Store(n, true)
				}
			})
		}
		for n := 1; n <= 200; n++ {
			time.Sleep(4 * time.Second)
			content := envLines(n, time.Now().Add(time.Hour))
			switch n % 4 {
			case 0:
				replaceFile(t, path, content)
			case 1:
				writeFile(t, path, content)
			case 2:
				require.NoError(t, os.Remove(path))
				time.Sleep(500 * time.Millisecond)
				writeFile(t, path, content)
			case 3:
				writeFile(t, path, content[:30+n/4])
				time.Sleep(500 * time.Millisecond)
				writeFile(t, path, content)
			}
		}
		time.Sleep(4 * time.Second)
		done.Store(true)
		wg.Wait()
		for n := range 201 {
			_, ok := seen.Load(fmt.Sprintf("%04d", n))
			require.True(t, ok, "credentials %d must be used", n)
		}
		require.Equal(t, slices.Repeat([]string{"INFO credentials file was read again"}, 200),
			logged.take())
	})
}
