package program

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAddresses checks that the documented addresses of all demos differ, so
// that they can run at the same time.
func TestAddresses(t *testing.T) {
	mains, err := filepath.Glob("../../*/*.go")
	require.NoError(t, err)
	demos := make(map[string]string)
	address := regexp.MustCompile(`(?:flags\.String\("addr", |` +
		`flags\.StringVar\(&d\.addr, "addr", |defaultAddr = |` +
		`site\.OpenDemo(?:WithEvents)?\([^"]*)"(127[^"]+)"`)
	for _, main := range mains {
		source, err := os.ReadFile(main)
		require.NoError(t, err)
		for _, m := range address.FindAllSubmatch(source, -1) {
			addr := string(m[1])
			require.Regexp(t, `^127\.0\.0\.1:\d+$`, addr, main)
			if addr != "127.0.0.1:0" {
				require.Empty(t, demos[addr], "%s must not also be the address of %s", addr, main)
				demos[addr] = main
			}
		}
	}
	require.Len(t, demos, 10)
}
