package arguments

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNone(t *testing.T) {
	for want, args := range map[string][]string{
		"": {"-n", "1"},
		`all arguments must be flags, got "true"`: {"-b", "true", "-n", "1"},
		`all arguments must be flags, got "x"`:    {"--", "x"},
	} {
		flags := flag.NewFlagSet("demo", flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		flags.Bool("b", false, "")
		flags.Int("n", 0, "")
		require.NoError(t, flags.Parse(args))
		if err := None(flags); want == "" {
			require.NoError(t, err)
		} else {
			require.EqualError(t, err, want)
		}
	}
}

// TestDemosRejectArguments checks that every demo rejects arguments that it
// does not use.
func TestDemosRejectArguments(t *testing.T) {
	mains, err := filepath.Glob("../../*/main.go")
	require.NoError(t, err)
	require.NotEmpty(t, mains)
	for _, main := range mains {
		if _, err := os.Stat(filepath.Join(filepath.Dir(main), "go.mod")); err == nil {
			continue // A separate module has its own tests.
		}
		source, err := os.ReadFile(main)
		require.NoError(t, err)
		require.Regexp(t, `arguments\.None\(flags\)|flags\.Args\(\)|site\.OpenDemo(WithEvents)?\(`,
			string(source), main)
	}
}

func TestListen(t *testing.T) {
	taken, err := ListenLocally("127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	require.True(t, Local(taken))
	_, err = Listen(taken.Addr().String())
	require.ErrorContains(t, err, "address already in use; use -addr 127.0.0.1:0 for a free port")
	_, err = Listen("127.0.0.1:none")
	require.ErrorContains(t, err, "-addr: ")
	_, err = ListenLocally("0.0.0.0:0")
	require.EqualError(t, err,
		`-addr must be a loopback address, because the S3 server listens only on loopback, got "0.0.0.0:0"`)
}
