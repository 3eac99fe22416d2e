package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/s3test"
)

// readEvent returns an event of testdata with the test bucket and key, and its
// status.
func readEvent(t *testing.T, path, key string) (body []byte, status string) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var event struct {
		Detail struct {
			ScanResultDetails struct{ ScanResultStatus string }
		}
	}
	require.NoError(t, json.Unmarshal(text, &event))
	replaced := strings.NewReplacer("amzn-s3-demo-bucket", s3test.DefaultBucket,
		"APKAEIBAERJR2EXAMPLE", key).Replace(string(text))
	return []byte(replaced), event.Detail.ScanResultDetails.ScanResultStatus
}

// newGuarded returns a Signer whose uploads have the tag of a GuardDuty scan,
// unless status is empty.
func newGuarded(t *testing.T, store *s3test.Server, status string) *presign.Signer {
	t.Helper()
	p := policy
	if status != "" {
		p.UploadHeaders = map[string]string{"x-amz-tagging": scanStatusTag + "=" + status}
	}
	signer, err := presign.NewSigner(store.S3(), s3test.DefaultBucket, p,
		presign.WithSecret([]byte(secret)),
		presign.WithInspect(guardDuty{store.S3(), s3test.DefaultBucket}.inspect),
		presign.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	return signer
}

// TestGuardDutyEvents checks that each event of testdata publishes, deletes or
// keeps an upload, as the status of the event requires.
func TestGuardDutyEvents(t *testing.T) {
	paths, err := filepath.Glob("testdata/guardduty_*.json")
	require.NoError(t, err)
	require.Len(t, paths, 5)
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			store := s3test.New(s3test.WithVersioning())
			_, status := readEvent(t, path, "")
			signer := newGuarded(t, store, status)
			grant, err := signer.Put(t.Context(), presign.Upload{
				Filename: "a.txt", Owner: "alice", Size: 5,
			})
			require.NoError(t, err)
			send(t, store, "alice", grant, []byte("hello"))
			body, _ := readEvent(t, path, grant.Key)
			err = completeScanned(t.Context(), signer, body)
			keys := store.Objects(s3test.DefaultBucket)
			published := []string{policy.FinalPrefix + strings.TrimPrefix(grant.Key, policy.Prefix)}
			switch status {
			case "NO_THREATS_FOUND":
				require.NoError(t, err)
				require.Equal(t, published, keys)
			case "THREATS_FOUND", "UNSUPPORTED":
				require.NoError(t, err, "the message must be deletable")
				require.Empty(t, keys)
			// The queue delivers the event again and finally moves it to the
			// dead-letter queue.
			default:
				require.ErrorContains(t, err, "GuardDuty could not scan: "+status)
				require.Equal(t, []string{grant.Key}, keys)
			}
		})
	}
}

func TestGuardDutyCodes(t *testing.T) {
	require.Equal(t, "infected", presign.Violations(scanStatus("THREATS_FOUND"))[0].Code)
	require.Equal(t, "not_scannable", presign.Violations(scanStatus("UNSUPPORTED"))[0].Code)
	require.Error(t, scanStatus("CLEAN"), "a status that GuardDuty does not document must be an error")
}

// TestUploadsWithoutTagArePending checks that an event does not publish an
// upload that has no tag.
func TestUploadsWithoutTagArePending(t *testing.T) {
	store := s3test.New(s3test.WithVersioning())
	signer := newGuarded(t, store, "")
	grant, err := signer.Put(t.Context(), presign.Upload{
		Filename: "a.txt", Owner: "alice", Size: 5,
	})
	require.NoError(t, err)
	send(t, store, "alice", grant, []byte("hello"))
	body, _ := readEvent(t, "testdata/guardduty_no_threats_found.json", grant.Key)
	require.ErrorIs(t, completeScanned(t.Context(), signer, body), presign.ErrPending)
	require.Equal(t, []string{grant.Key}, store.Objects(s3test.DefaultBucket))
}

func TestGuardDutyRequiresVersions(t *testing.T) {
	store := s3test.New()
	signer := newGuarded(t, store, "NO_THREATS_FOUND")
	grant, err := signer.Put(t.Context(), presign.Upload{
		Filename: "a.txt", Owner: "alice", Size: 5,
	})
	require.NoError(t, err)
	send(t, store, "alice", grant, []byte("hello"))
	_, err = signer.Complete(t.Context(), "alice", grant.Key)
	require.ErrorContains(t, err, "the bucket must have versions")
	require.Equal(t, []string{grant.Key}, store.Objects(s3test.DefaultBucket))
}

func TestOtherEventsAreInvalid(t *testing.T) {
	signer := newGuarded(t, s3test.New(), "")
	event, _ := readEvent(t, "testdata/guardduty_no_threats_found.json", "other/key")
	require.NoError(t, completeScanned(t.Context(), signer, event),
		"an object under another prefix must be ignored")
	for _, body := range []string{
		"", "{}", "[]", `"x"`,
		strings.Replace(string(event), "aws.guardduty", "aws.s3", 1),
		strings.Replace(string(event), "Object Scan Result", "Resource Status Active", 1),
		strings.Replace(string(event), "other/key", "", 1),
	} {
		require.ErrorIs(t, completeScanned(t.Context(), signer, []byte(body)),
			presign.ErrInvalidNotification, body)
	}
	other := strings.Replace(string(event), s3test.DefaultBucket, "other-bucket", 1)
	require.Error(t, completeScanned(t.Context(), signer, []byte(other)))
}
