package interrupt

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// marker is the environment variable that makes the test binary wait for its
// context and then receive another SIGHUP.
const marker = "PRESIGN_EXAMPLES_INTERRUPT"

func TestMain(m *testing.M) {
	if os.Getenv(marker) == "" {
		os.Exit(m.Run())
	}
	ctx := Context()
	fmt.Println("started")
	<-ctx.Done()
	self, _ := os.FindProcess(os.Getpid())
	if err := self.Signal(syscall.SIGHUP); err != nil {
		panic(err)
	}
	fmt.Println(context.Cause(ctx))
}

func TestContext(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("skipped: no such signals on Windows")
	}
	// A child inherits ignored signals, which nohup or a background job can
	// set, but not handled signals.
	handled := make(chan os.Signal, 1)
	signal.Notify(handled, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(handled) })
	const plain, nohup = `exec "$0"`, `trap "" HUP; exec "$0"`
	for name, c := range map[string]struct {
		shell string
		sent  []os.Signal
		want  string
	}{
		"Ctrl-C":          {plain, []os.Signal{os.Interrupt}, "interrupt signal received"},
		"kill":            {plain, []os.Signal{syscall.SIGTERM}, "terminated signal received"},
		"closed terminal": {plain, []os.Signal{syscall.SIGHUP}, "hangup signal received"},
		"nohup": {
			nohup, []os.Signal{syscall.SIGHUP, syscall.SIGTERM}, "terminated signal received",
		},
	} {
		t.Run(name, func(t *testing.T) {
			program := exec.CommandContext(t.Context(), "sh", "-c", c.shell, os.Args[0])
			program.Env = append(os.Environ(), marker+"=1")
			stdout, err := program.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, program.Start())
			lines := bufio.NewScanner(stdout)
			require.True(t, lines.Scan())
			for _, s := range c.sent {
				require.NoError(t, program.Process.Signal(s))
			}
			require.True(t, lines.Scan(), "the first signal must not end the program at once")
			require.Equal(t, c.want, lines.Text())
			require.NoError(t, program.Wait())
		})
	}
}
