package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// A rival is another library that signs grants.
type rival interface {
	put(ctx context.Context, u *upload) (*grant, error)
	form(ctx context.Context, u *upload) (*grant, error)
	part(ctx context.Context, key, uploadID string, number int) (url string, err error)
}

// An upload is the request of a client to the service of a rival.
type upload struct {
	Filename string            `json:"filename"`
	Type     string            `json:"type"`
	Size     int64             `json:"size"`
	Metadata map[string]string `json:"metadata"`
	Method   string            `json:"method"`
}

// newUpload returns a request for the document.
func newUpload(method string) *upload {
	d := document
	return &upload{Filename: d.Filename, Type: d.Type, Size: d.Size, Metadata: d.Metadata,
		Method: method}
}

// key returns a new random key.
func (u *upload) key() string { return policy.Prefix + rand.Text() + "/" + u.Filename }

func (u *upload) disposition() string {
	return mime.FormatMediaType("attachment", map[string]string{"filename": u.Filename})
}

// check makes the minimal checks of a service.
func (u *upload) check() error {
	switch {
	case u.Filename == "":
		return errors.New("filename must not be empty")
	case !slices.Contains(policy.Types, u.Type):
		return fmt.Errorf("type must be one of %q, got %q", policy.Types, u.Type)
	case u.Size < 1 || u.Size > policy.MaxSize:
		return fmt.Errorf("size must be between 1 and %d bytes, got %d", policy.MaxSize, u.Size)
	}
	return nil
}

// A grant is the response of the service of a rival.
type grant struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitempty"`
	Fields  map[string]string `json:"fields,omitempty"`
	Key     string            `json:"key"`
	Expires time.Time         `json:"expires_at"`
}

// A service serves the grants of a rival over HTTP.
type service struct{ rival rival }

// ServeHTTP implements http.Handler.
func (s service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var u upload
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	decoder.DisallowUnknownFields()
	if err := errors.Join(decoder.Decode(&u), u.check()); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	sign := s.rival.put
	if u.Method == http.MethodPost {
		sign = s.rival.form
	}
	granted, err := sign(r.Context(), &u)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	body, err := json.Marshal(granted)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	reply(w, body)
}

func reply(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(body) // The client might have disconnected.
}
