package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/examples/internal/browser"
)

// requireSpace skips a test if there are less than need bytes for temporary
// files, or fails it in CI.
func requireSpace(t *testing.T, need int64) {
	t.Helper()
	dir := t.TempDir()
	var stat syscall.Statfs_t
	require.NoError(t, syscall.Statfs(dir, &stat))
	if free := int64(stat.Bavail) * int64(stat.Bsize); free < need {
		const gib = 1 << 30
		browser.Missing(t, fmt.Sprintf("%.1f GiB for temporary files in %s (%.1f are free)",
			float64(need)/gib, os.TempDir(), float64(free)/gib))
	}
}

// peak returns the peak memory of the process in bytes.
func (s *standalone) peak(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Process.Pid))
	require.NoError(t, err)
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	require.NotNil(t, found, "%s", status)
	kilobytes, err := strconv.ParseInt(string(found[1]), 10, 64)
	require.NoError(t, err)
	return kilobytes << 10
}

// TestMemory checks that the memory of the service stays low while a client
// uploads 2 GiB. The service signs and completes 410 parts and publishes the
// object.
func TestMemory(t *testing.T) {
	const size, limit = 2 << 30, 64 << 20
	if testing.Short() {
		t.Skip("skipped: the test sends 2 GiB, and -short is set")
	}
	requireSpace(t, 2*size+(1<<30)) // the parts and the objects
	server := newStore(t)
	s := startStandalone(t, buildStandalone(t), server)
	p := newPlaceAt(server, s.url)
	path := filepath.Join(t.TempDir(), "sparse.bin")
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, errors.Join(f.Truncate(size), f.Close()))

	before := s.peak(t)
	u := p.newUploader(t, "alice")
	numbers := u.countParts()
	object, err := u.put(t.Context(), path)
	require.NoError(t, err)
	peak := s.peak(t)
	t.Logf("memory of the service: %.1f MiB after the start, %.1f MiB at most",
		float64(before)/(1<<20), float64(peak)/(1<<20))
	require.Less(t, peak, int64(limit))
	require.Len(t, numbers(), size/partSize+1)
	require.EqualValues(t, size, object.Size)
	require.Equal(t, []string{object.Key}, p.keys(t))
	require.Empty(t, p.uploads(t))
	stored, err := p.client.HeadObject(t.Context(), &s3.HeadObjectInput{
		Bucket: aws.String(bucket), Key: &object.Key,
	})
	require.NoError(t, err)
	require.EqualValues(t, size, aws.ToInt64(stored.ContentLength))
	require.Equal(t, `"a981130cf2b7e09f4686dc273cf7187e"`, aws.ToString(stored.ETag),
		"versitygw must return the MD5 of 2 GiB of zeros for a copy")
}
