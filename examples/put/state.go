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

// A state is what outlives the process of a multipart upload. Its file has a line for the upload, and a line for each
// part that the store has acknowledged.
type state struct {
	upload
	request            // what the upload started with
	Modified time.Time `json:"modified"` // the file's time then

	sent map[int]sent // the acknowledged parts, by number
	path string       // of the state itself
}

// sent is a part that the store has acknowledged.
type sent struct {
	Number int    `json:"number"`
	ETag   string `json:"etag"`   // as the store returned it
	CRC32C uint32 `json:"crc32c"` // of the bytes that were sent
}

// loadState returns the state of the file's upload to a service. It has no ID if no upload is under way.
func loadState(dir, service, file string) (*state, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	name := sha256.Sum256([]byte(service + "\n" + file))
	s := &state{path: filepath.Join(dir, hex.EncodeToString(name[:16])+".json"), sent: make(map[int]sent)}
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
		return nil, fmt.Errorf("%s, which notes the upload: %w; remove it to begin anew", s.path, err)
	}
	for line := range bytes.Lines(rest) {
		var p sent
		if json.Unmarshal(line, &p) != nil {
			break // The process ended while it wrote the line.
		}
		s.sent[p.Number] = p
	}
	return s, nil
}

// save leaves the old state or the new state on the disk, even if the process is killed. Only the user can read it.
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
	next, err := os.CreateTemp(dir, filepath.Base(s.path)+".*") // a name that nobody else could have taken
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
func (p sent) line() []byte {
	line, _ := json.Marshal(p) // A sent has no value that JSON lacks.
	return append(line, '\n')
}

// add adds a part to the state and to its file. Writing all parts each time would take longer the more there are.
func (s *state) add(p sent) error {
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

// of reports whether the upload is of the file as it is now, as far as its size and time show.
func (s *state) of(info os.FileInfo) bool {
	return s.Size == info.Size() && s.Modified.Equal(info.ModTime())
}

// count returns how many parts there are.
func (s *state) count() int { return int((s.Size-1)/s.PartSize) + 1 }

// section returns where a part is in the file, and how large it is.
func (s *state) section(number int) (offset, size int64) {
	offset = int64(number-1) * s.PartSize
	return offset, min(s.PartSize, s.Size-offset)
}
