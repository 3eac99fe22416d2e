//go:build unix

package ceph

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// parentMarker is the environment variable that makes the test binary start a
// server and wait to be killed.
const parentMarker = "PRESIGN_EXAMPLES_CEPH_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(parentMarker) == "" {
		os.Exit(Main(m))
	}
	s, err := Start()
	if err != nil {
		panic(err)
	}
	_ = json.NewEncoder(os.Stdout).Encode(s)
	<-s.done
}

// TestParentKilled checks that the server ends with the process that started it
// and removes its files.
func TestParentKilled(t *testing.T) {
	Shared(t) // Shared skips the test if Ceph is not installed.
	dir := t.TempDir()
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentMarker+"=1", "TMPDIR="+dir)
	stdout, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	var s Server
	require.NoError(t, json.NewDecoder(stdout).Decode(&s))
	require.True(t, listening(s.URL))
	require.Len(t, entries(t, dir), 1)

	require.NoError(t, parent.Process.Kill())
	_ = parent.Wait()
	// The directory is removed after all processes have ended.
	require.Eventually(t, func() bool {
		return len(entries(t, dir)) == 0
	}, 10*time.Second, 10*time.Millisecond)
	require.False(t, listening(s.URL))
	require.False(t, listening(s.STSURL))
}

// TestSupervisorKilled checks that the daemons end without their supervisor on
// Linux.
func TestSupervisorKilled(t *testing.T) {
	Shared(t) // Shared skips the test if Ceph is not installed.
	t.Setenv("TMPDIR", t.TempDir())
	s, err := Start()
	require.NoError(t, err)
	require.NoError(t, s.Err())
	require.NoError(t, s.supervisor.Process.Signal(syscall.SIGKILL))
	require.ErrorContains(t, s.Close(), "killed")
	require.ErrorContains(t, s.Err(), "killed")
	require.Eventually(t, func() bool {
		return !listening(s.URL) && !listening(s.STSURL)
	}, 10*time.Second, 10*time.Millisecond)
}

func TestDaemonDies(t *testing.T) {
	ctx, fail := context.WithCancelCause(t.Context())
	c := &cluster{dir: t.TempDir(), fail: fail}
	defer c.stop()
	c.spawn("sh", "-c", "exec sleep 60")
	c.spawn("sh", "-c",
		"i=0; while [ $((i+=1)) -le 50 ]; do echo $i; done; echo the reason >&2; exit 3")
	require.NoError(t, c.err)
	<-ctx.Done()
	text := context.Cause(ctx).Error()
	require.True(t, strings.HasPrefix(text, "sh ended: exit status 3; last output:\n12\n13\n"),
		text)
	require.True(t, strings.HasSuffix(text, "\n50\nthe reason"), text)
}

func TestPortTaken(t *testing.T) {
	for _, script := range []string{
		fmt.Sprintf("exit %d", syscall.EADDRINUSE),
		"echo unable to bind: Address already in use; exit 1",
	} {
		ctx, fail := context.WithCancelCause(t.Context())
		c := &cluster{dir: t.TempDir(), fail: fail}
		c.spawn("sh", "-c", script)
		<-ctx.Done()
		require.ErrorIs(t, context.Cause(ctx), errPortTaken)
		c.stop()
	}
}

func TestNotStarted(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("PATH", "")
	require.Equal(t, programs, missing())
	_, err := Start()
	require.ErrorContains(t, err, `ceph: exit status 1: monmaptool --create: exec: "monmaptool"`)
	require.Empty(t, entries(t, dir))

	t.Setenv("TMPDIR", filepath.Join(dir, "nowhere"))
	_, err = Start()
	require.ErrorContains(t, err, "nowhere: no such file or directory")
}

func entries(t *testing.T, dir string) []os.DirEntry {
	list, err := os.ReadDir(dir)
	require.NoError(t, err)
	return list
}

func listening(url string) bool {
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
