package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/nats-io/nats.go/jetstream"
	_ "github.com/ncruces/go-sqlite3/driver" // the SQLite driver, without cgo

	"github.com/s3presign/presign"
)

// policy describes what may be uploaded. The service that grants and the worker
// that completes must have the same policy.
var policy = presign.Policy{
	Prefix:      "incoming/",
	FinalPrefix: "files/",
	Types:       []string{"image/*", "text/plain", "application/pdf"},
	MaxSize:     100 << 20,
	Headers:     map[string]string{"Cache-Control": "private, no-cache"},
}

// newSigner returns a Signer that adds completed uploads to rows.
func newSigner(
	client *s3.Client, bucket string, secret []byte, rows rows, m *metrics,
) (*presign.Signer, error) {
	return presign.NewSigner(client, bucket, policy, presign.WithSecret(secret),
		presign.WithOnComplete(rows.add), presign.WithObserver(m.observe))
}

// A rows value is the database of completed uploads. The service and the worker
// share the database.
type rows struct{ *sql.DB }

func openRows(ctx context.Context, path string) (rows, error) {
	pragmas := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(wal)"}}
	dsn := url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: pragmas.Encode()}
	db, err := sql.Open("sqlite3", dsn.String())
	if err != nil {
		return rows{}, err
	}
	db.SetMaxOpenConns(1) // SQLite allows one writer at a time.
	_, err = db.ExecContext(ctx, `
		CREATE TABLE IF NOT EXISTS files (
			id    TEXT PRIMARY KEY, -- of the grant
			owner TEXT NOT NULL,
			key   TEXT NOT NULL,
			name  TEXT NOT NULL,
			size  INTEGER NOT NULL
		) STRICT`)
	return rows{db}, err
}

// add inserts the row of a completed upload. The Signer might call it again for
// the same upload, so rows are unique by the GrantID.
func (r rows) add(ctx context.Context, o *presign.Object) error {
	_, err := r.ExecContext(ctx, `
		INSERT INTO files (id, owner, key, name, size) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT DO NOTHING`, o.GrantID, o.Owner, o.Key, o.Filename, o.Size)
	return err
}

// A file is a completed upload.
type file struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Size int64  `json:"size"`
}

func (r rows) list(ctx context.Context, owner string) (files []file, err error) {
	found, err := r.QueryContext(ctx,
		`SELECT id, name, size FROM files WHERE owner = ? ORDER BY rowid DESC LIMIT 500`, owner)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	for found.Next() {
		var f file
		if err := found.Scan(&f.ID, &f.Name, &f.Size); err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, found.Err()
}

// receive returns a webhook for a store that posts its notifications, such as
// Ceph. The webhook puts the notifications into the queue. It responds after
// the queue has stored a notification, so that the store can send the
// notification again if the queue fails.
func receive(js jetstream.JetStream) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
			http.Error(w, tooLarge.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		if err == nil {
			_, err = js.Publish(ctx, subject, body)
		}
		if err != nil {
			http.Error(w, "The queue did not respond.", http.StatusServiceUnavailable)
		}
	}
}

// newService returns the service that grants uploads and lists files. It omits
// the routes that complete uploads, because the worker completes all of them.
func newService(
	uploads http.Handler, rows rows, authenticate func(*http.Request) (string, error),
) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("POST /uploads/{$}", http.StripPrefix("/uploads", uploads))
	mux.HandleFunc("GET /files", func(w http.ResponseWriter, r *http.Request) {
		var files []file
		user, err := authenticate(r)
		if err == nil {
			files, err = rows.list(r.Context(), user)
		}
		if err != nil {
			presign.ProblemOf(err).ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(files) // The client might have disconnected.
	})
	return mux
}
