package main

import (
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

// state is what outlives the process of an upload in parts. Which parts have arrived, the store knows.
type state struct {
	upload
	request            // what it began with
	Modified time.Time `json:"modified"` // the file's time then

	// MD5 says that the ETag of a part is the MD5 of its bytes, which it is not where the store encrypts them.
	MD5 bool `json:"md5"`

	path string // of the state itself
}

// loadState returns the state of the file's upload to a service, with no UploadID if none is under way.
func loadState(dir, service, file string) (*state, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	name := sha256.Sum256([]byte(service + "\n" + file))
	s := &state{path: filepath.Join(dir, hex.EncodeToString(name[:16])+".json")}
	text, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	} else if err != nil {
		return nil, err
	}
	err = json.Unmarshal(text, s)
	if err == nil && s.UploadID != "" {
		err = s.check(s.Size)
	}
	if err != nil {
		return nil, fmt.Errorf("%s, which notes the upload: %w; remove it to begin anew", s.path, err)
	}
	return s, nil
}

// save leaves the old state or the new one, whatever happens meanwhile. The upload's ID is nobody else's business.
func (s *state) save() error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	dir := filepath.Dir(s.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	next, err := os.CreateTemp(dir, filepath.Base(s.path)+".*") // for the user alone, and by no name that others could have taken
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

func (s *state) remove() error {
	if err := os.Remove(s.path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// of reports whether the upload is of the file as it is now, as far as its size and time tell.
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
