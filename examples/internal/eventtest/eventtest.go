// Package eventtest uploads objects to a real S3 server and compares its
// notifications with the uploads.
package eventtest

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/notification"
)

// capture is the directory for the notifications of a run.
var capture = flag.String("capture", "",
	"write the notifications of real servers to this `directory`")

const (
	body   = "hello world" // of every object
	source = "source.txt"  // the object that is copied
)

// names are file names that servers encode differently.
var names = []string{
	"plain.txt", "a b.txt", "a+b.txt", "100%.txt", "%41%2B.txt", "ü 日本.txt", `q?x=1&y=2#"z".txt`,
}

// A Receiver is an HTTP endpoint that collects the documents posted to it.
type Receiver struct {
	URL       string
	documents chan []byte
}

// Receive starts an endpoint that runs until the test ends.
func Receive(t *testing.T) *Receiver {
	t.Helper()
	r := &Receiver{documents: make(chan []byte, 1000)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, post *http.Request) {
		document, err := io.ReadAll(post.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.documents <- document
	}))
	t.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

// Next returns the next document. It fails the test if none arrives.
func (r *Receiver) Next(t *testing.T) []byte {
	t.Helper()
	select {
	case document := <-r.documents:
		return document
	case <-time.After(10 * time.Second):
		require.FailNow(t, "the server must send a notification within 10 seconds")
		return nil
	}
}

// A Target is a server with a bucket whose events it posts to a Receiver.
type Target struct {
	Name     string // the name of the file of captured documents
	Client   *s3.Client
	Bucket   string
	Receiver *Receiver

	// FormsWithoutKey is set for a server that does not send the key of an
	// object that was uploaded by form.
	FormsWithoutKey bool
}

// A capturedUpload holds a document and the upload that caused it.
type capturedUpload struct {
	Way, Key, ETag string
	Size           int64
	Document       string
}

// Run uploads objects by all methods under names with special characters. It
// checks that each notification describes the object.
func Run(t *testing.T, target Target) {
	t.Helper()
	target.put(t, source)
	_, err := notification.Parse(target.Receiver.Next(t))
	require.NoError(t, err)
	var all []capturedUpload
	for _, way := range []struct {
		name   string
		upload func(*testing.T, string)
		event  string
	}{
		{"PUT", target.put, "ObjectCreated:Put"},
		{"form", target.form, "ObjectCreated:Post"},
		{"copy", target.copy, "ObjectCreated:Copy"},
		{"multipart", target.multipart, "ObjectCreated:CompleteMultipartUpload"},
	} {
		for _, name := range names {
			key := "in/" + way.name + "/" + name
			t.Run(way.name+"/"+name, func(t *testing.T) {
				way.upload(t, key)
				// versitygw 1.8 writes the document from a buffer that the next
				// request overwrites.
				document := target.Receiver.Next(t)
				head, err := target.Client.HeadObject(t.Context(), &s3.HeadObjectInput{
					Bucket: &target.Bucket, Key: &key,
				})
				require.NoError(t, err)
				c := capturedUpload{
					Way: way.name, Key: key, Document: string(document),
					ETag: strings.Trim(aws.ToString(head.ETag), `"`),
					Size: aws.ToInt64(head.ContentLength),
				}
				all = append(all, c)
				target.compare(t, c, way.event)
			})
		}
	}
	target.save(t, all)
}

// compare compares a notification with the upload that caused it.
func (target *Target) compare(t *testing.T, c capturedUpload, event string) {
	t.Helper()
	n, err := notification.Parse([]byte(c.Document))
	if c.Way == "form" && target.FormsWithoutKey {
		require.ErrorIs(t, err, notification.ErrInvalid)
		require.ErrorContains(t, err, "sends none for uploads by form")
		return
	}
	require.NoError(t, err, c.Document)
	require.Len(t, n.Events, 1)
	got := n.Events[0]
	if got.Size < 0 {
		got.Size = c.Size // The server did not send the size.
	}
	require.Equal(t, notification.Event{
		Bucket: target.Bucket, Key: c.Key, ETag: c.ETag, Size: c.Size, Name: event, Created: true,
	}, got)
}

// save writes the captured documents if -capture is set.
func (target *Target) save(t *testing.T, all []capturedUpload) {
	t.Helper()
	if *capture == "" {
		return
	}
	credentials, err := target.Client.Options().Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	encoder.SetEscapeHTML(false)
	for _, c := range all {
		c.Document = strings.ReplaceAll(c.Document, credentials.AccessKeyID, "AKIAIOSFODNN7EXAMPLE")
		require.NoError(t, encoder.Encode(c))
	}
	file := filepath.Join(*capture, target.Name+".jsonl")
	require.NoError(t, os.WriteFile(file, lines.Bytes(), 0o644))
}
