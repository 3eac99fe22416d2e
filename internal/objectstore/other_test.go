package objectstore_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/test/s3test"
)

// TestCopyYieldsToOtherProcesses checks that a copy by parts fails if another
// process makes the same copy, and replaces the other copy if its process has
// ended.
func TestCopyYieldsToOtherProcesses(t *testing.T) {
	for _, c := range []struct {
		name    string
		key     string
		started time.Duration // ago
		part    time.Duration // ago; 0 for none
		want    error
		aborted bool
	}{
		{"just started", target, time.Second, 0, objectstore.ErrCopying, false},
		{"started two minutes ago", target, 2*time.Minute + time.Second, 0, nil, true},
		{"started long ago, with a new part", target, time.Hour, time.Minute, objectstore.ErrCopying, false},
		{"started long ago, with an old part", target, time.Hour, 3 * time.Minute, nil, true},
		{"of a longer key", target + ".bak", time.Second, 0, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := s3test.New()
				s := partsStore(server)
				other, err := s.CreateUpload(t.Context(), c.key, nil, nil, "")
				require.NoError(t, err)
				time.Sleep(c.started - c.part)
				if c.part > 0 {
					for number := range 1500 { // The latest part is on the second page.
						server.PutPart(other.ID, number+1, nil, 1)
					}
					time.Sleep(c.part)
				}
				from := put(t, server, upload, largeBody(2))
				_, err = s.Copy(t.Context(), newCopy(from, nil))
				require.ErrorIs(t, err, c.want)
				_, _, err = s.Parts(t.Context(), other, 0, "")
				if c.aborted {
					require.ErrorIs(t, err, objectstore.ErrNoUpload)
				} else {
					require.NoError(t, err)
				}
			})
		})
	}
}

// TestCopyChecksEveryPart checks that the time of the latest part counts, even
// if other parts follow it in the list.
func TestCopyChecksEveryPart(t *testing.T) {
	for _, latest := range []int{1, 1000, 1001, 1500} {
		synctest.Test(t, func(t *testing.T) {
			server := s3test.New()
			s := partsStore(server)
			other, err := s.CreateUpload(t.Context(), target, nil, nil, "")
			require.NoError(t, err)
			for number := range 1500 {
				server.PutPart(other.ID, number+1, nil, 1)
			}
			time.Sleep(time.Hour)
			server.PutPart(other.ID, latest, nil, 1)
			from := put(t, server, upload, largeBody(2))
			require.ErrorIs(t, s.CheckCopy(t.Context(), newCopy(from, nil)), objectstore.ErrCopying)
		})
	}
}

// TestCopyWithoutListing checks that credentials that do not allow a list of
// multipart uploads can copy, and that other failures end the copy.
func TestCopyWithoutListing(t *testing.T) {
	for fault, copies := range map[s3test.Fault]bool{
		s3test.AccessDenied: true, s3test.NotImplemented: true, s3test.InternalError: false,
		s3test.Cut: false,
	} {
		server := s3test.New()
		from := put(t, server, upload, largeBody(2))
		server.Fail(func(operation string, _ *http.Request) s3test.Fault {
			if operation == "ListMultipartUploads" {
				return fault
			}
			return s3test.None
		})
		_, err := partsStore(server).Copy(t.Context(), newCopy(from, nil))
		require.Equal(t, copies, err == nil, "%d: %v", fault, err)
		require.NotErrorIs(t, err, objectstore.ErrUnsupported)
	}
}

// TestCopyInOneRequestDoesNotList checks that small copies do not list uploads.
func TestCopyInOneRequestDoesNotList(t *testing.T) {
	server := s3test.New(s3test.WithHistory())
	from := put(t, server, upload, "body")
	_, err := (objectstore.Store{Client: server.S3(), Bucket: bucket}).Copy(t.Context(),
		newCopy(from, nil))
	require.NoError(t, err)
	require.Empty(t, server.History().Requests.Of("ListMultipartUploads"))
}
