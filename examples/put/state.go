package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A state describes a multipart upload and is saved in a file, so that another
// process can continue the upload. The file has a line for the upload and a
// line for each part that the store has acknowledged.
type state struct {
	upload
	request            // the request that started the upload
	Modified time.Time `json:"modified"` // the time of the file at the start

	sent map[int]sentPart // the acknowledged parts, by number
	path string           // the path of the file of the state
}

// A sentPart describes a part that the store has acknowledged.
type sentPart struct {
	Number int    `json:"number"`
	ETag   string `json:"etag"`   // as the store returned it
	CRC32C uint32 `json:"crc32c"` // of the bytes that were sent
}

// loadState returns the state of the upload of a file to a service. The ID is
// empty if there is no unfinished upload.
func loadState(dir, service, file string) (*state, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	name := sha256.Sum256([]byte(service + "\n" + file))
	s := &state{
		path: filepath.Join(dir, hex.EncodeToString(name[:16])+".json"),
		sent: make(map[int]sentPart),
	}
	text, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	} else if err != nil {
		return nil, err
	}
	first, rest, _ := bytes.Cut(text, []byte("\n"))
	err = json.Unmarshal(first, s)
	if err == nil && s.ID != "" {
		err = s.check(s.Size)
	}
	if err != nil {
		return nil, fmt.Errorf("state %s: %w; remove the state to start again", s.path, err)
	}
	for line := range bytes.Lines(rest) {
		var p sentPart
		if json.Unmarshal(line, &p) != nil {
			break // The process ended while it wrote the line.
		}
		s.sent[p.Number] = p
	}
	return s, nil
}

// save replaces the file of the state atomically. Only the user can read it.
func (s *state) save() error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	text = append(text, '\n')
	for _, p := range s.sent {
		text = append(text, p.line()...)
	}
	dir := filepath.Dir(s.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// The name is unpredictable, so that it is not an existing link.
	next, err := os.CreateTemp(dir, filepath.Base(s.path)+".*")
	if err != nil {
		return err
	}
	_, err = next.Write(text)
	if err = errors.Join(err, next.Close()); err == nil {
		err = os.Rename(next.Name(), s.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(next.Name()))
	}
	return nil
}

// line returns the line of a part.
func (p sentPart) line() []byte {
	line, _ := json.Marshal(p) // All values of sentPart can be encoded as JSON.
	return append(line, '\n')
}

// add adds a part to the state and appends it to the file. Writing all parts
// each time would take quadratic time.
func (s *state) add(p sentPart) error {
	s.sent[p.Number] = p
	f, err := os.OpenFile(s.path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(p.line())
	return errors.Join(err, f.Close())
}

func (s *state) remove() error {
	if err := os.Remove(s.path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// isUnchanged reports whether the size and time of the file have not changed
// since the start.
func (s *state) isUnchanged(info os.FileInfo) bool {
	return s.Size == info.Size() && s.Modified.Equal(info.ModTime())
}

// count returns the number of parts.
func (s *state) count() int { return int((s.Size-1)/s.PartSize) + 1 }

// section returns the offset and the size of a part in the file.
func (s *state) section(number int) (offset, size int64) {
	offset = int64(number-1) * s.PartSize
	return offset, min(s.PartSize, s.Size-offset)
}
