package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/conformance"
)

const (
	filename = "notes.txt"
	fileSize = 16 << 10      // for one request
	filmSize = 5<<20 + 1<<10 // for a multipart upload: a part of 5 MiB, and the rest
)

// A visitor repeats one task, and checks each response.
type visitor struct {
	service *service
	name    string
	visit   func(*visitor, context.Context) error
	text    []byte // the last file
	figures figures
}

func newVisitor(s *service, visit func(*visitor, context.Context) error) *visitor {
	return &visitor{service: s, name: rand.Text(), visit: visit, figures: newFigures()}
}

// stay visits until end, or until a visit fails.
func (v *visitor) stay(ctx context.Context, end time.Time) error {
	for time.Now().Before(end) {
		if err := v.visit(v, ctx); err != nil {
			return err
		}
	}
	return nil
}

// file returns a new file of size bytes. It overwrites the last file.
func (v *visitor) file(size int) []byte {
	if v.text == nil {
		v.text = bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog.\n"),
			size/45+1)[:size]
	}
	for _, end := range [][]byte{v.text, v.text[size-26:]} {
		copy(end, rand.Text())
	}
	return v.text
}

// ask requests a PUT and a form without using them.
func (v *visitor) ask(ctx context.Context) error {
	for _, method := range []string{http.MethodPut, http.MethodPost} {
		if _, err := v.grant(ctx, method, v.file(fileSize)); err != nil {
			return err
		}
	}
	return nil
}

func (v *visitor) put(ctx context.Context) error  { return v.upload(ctx, http.MethodPut) }
func (v *visitor) form(ctx context.Context) error { return v.upload(ctx, http.MethodPost) }

// upload uploads a file in one request.
func (v *visitor) upload(ctx context.Context, method string) error {
	file := v.file(fileSize)
	grant, err := v.grant(ctx, method, file)
	if err != nil {
		return err
	}
	request, err := conformance.New(grant, filename, file).Request()
	if err != nil {
		return err
	}
	if err := v.send(ctx, kinds[method].use, request, nil); err != nil {
		return err
	}
	return v.complete(ctx, grant.Key, file)
}

// grant requests a grant.
func (v *visitor) grant(ctx context.Context, method string, file []byte) (*presign.Grant, error) {
	grant := new(presign.Grant)
	err := v.call(ctx, kinds[method].ask, http.MethodPost, "/", map[string]any{
		"filename": filename, "size": len(file), "checksum": checksum(file), "method": method,
	}, grant)
	if err == nil && (grant.Method != method || !strings.HasPrefix(grant.Key, policy.Prefix)) {
		err = fmt.Errorf("the grant must be a %s under %s, got a %s of %s", method, policy.Prefix,
			grant.Method, grant.Key)
	}
	return grant, err
}

// parts sends a file as a multipart upload of two parts.
func (v *visitor) parts(ctx context.Context) error {
	file := v.file(filmSize)
	var started struct {
		ID       string `json:"id"`
		Key      string `json:"key"`
		PartSize int    `json:"part_size"`
	}
	err := v.call(ctx, start, http.MethodPost, "/", map[string]any{
		"filename": filename, "type": "text/plain", "size": len(file), "checksum": checksum(file),
		"method": "multipart",
	}, &started)
	if err != nil {
		return err
	}
	var sent []presign.Part
	for i := 0; i*started.PartSize < len(file); i++ {
		var signed struct{ URLs []string }
		numbers := map[string]any{"id": started.ID, "first": i + 1, "last": i + 1}
		if err := v.call(ctx, signPart, http.MethodPost, "/parts/sign", numbers,
			&signed); err != nil {
			return err
		}
		body := file[i*started.PartSize : min((i+1)*started.PartSize, len(file))]
		request, err := http.NewRequest(http.MethodPut, signed.URLs[0], bytes.NewReader(body))
		if err != nil {
			return err
		}
		p := presign.Part{Number: i + 1, Size: int64(len(body))}
		if err := v.send(ctx, putPart, request, func(r *http.Response) error {
			p.ETag = r.Header.Get("ETag")
			return nil
		}); err != nil {
			return err
		}
		sent = append(sent, p)
	}
	parts := map[string]any{"id": started.ID, "parts": sent}
	if err := v.call(ctx, join, http.MethodPost, "/complete", parts,
		new(presign.Object)); err != nil {
		return err
	}
	return v.complete(ctx, started.Key, file)
}

// complete completes an upload, reads the object and deletes it.
func (v *visitor) complete(ctx context.Context, key string, file []byte) error {
	var object presign.Object
	if err := v.call(ctx, complete, http.MethodPost, "/complete", map[string]string{"key": key},
		&object); err != nil {
		return err
	}
	if want := policy.FinalPrefix + strings.TrimPrefix(key, policy.Prefix); object.Key != want ||
		object.Size != int64(len(file)) || object.Checksum != checksum(file) ||
		object.Owner != v.name {
		return fmt.Errorf("the object must be %s of %s, %d bytes, got %s of %s, %d bytes",
			want, v.name, len(file), object.Key, object.Owner, object.Size)
	}
	return v.figures.time(readBack, func() error { return v.read(ctx, object.Key, file) })
}

func (v *visitor) read(ctx context.Context, key string, want []byte) error {
	objects := v.service.objects
	stored, err := objects.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: &key})
	if err != nil {
		return err
	}
	defer stored.Body.Close()
	if same, err := holds(stored.Body, want); err != nil || !same {
		return errors.Join(err, fmt.Errorf("%s must have the bytes that were sent", key))
	}
	_, err = objects.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: &key})
	return err
}

// holds reports whether a stream has exactly the bytes want.
func holds(r io.Reader, want []byte) (bool, error) {
	for chunk := make([]byte, 32<<10); ; {
		n, err := r.Read(chunk)
		if n > len(want) || !bytes.Equal(chunk[:n], want[:n]) {
			return false, nil
		}
		want = want[n:]
		if errors.Is(err, io.EOF) {
			return len(want) == 0, nil
		} else if err != nil {
			return false, err
		}
	}
}

// call sends a request to the service, and decodes the response.
func (v *visitor) call(
	ctx context.Context, kind, method, path string, question, response any,
) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(method, v.service.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User", v.name)
	return v.send(ctx, kind, request,
		func(r *http.Response) error { return json.NewDecoder(r.Body).Decode(response) })
}

// send sends a request and returns an error unless it succeeds. It passes the
// response to take.
func (v *visitor) send(
	ctx context.Context, kind string, request *http.Request, take func(*http.Response) error,
) error {
	err := v.figures.time(kind, func() error {
		resp, err := v.service.client.Do(request.WithContext(ctx))
		if err != nil {
			return errors.Unwrap(err) // The outer error contains the URL.
		}
		defer resp.Body.Close()
		defer io.Copy(io.Discard, resp.Body) // Otherwise the connection is closed.
		if resp.StatusCode/100 != 2 {
			why, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
			return fmt.Errorf("%s: %s", resp.Status, why)
		}
		if take != nil {
			return take(resp)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(file []byte) string {
	sum := binary.BigEndian.AppendUint32(nil, crc32.Checksum(file, castagnoli))
	return base64.StdEncoding.EncodeToString(sum)
}
