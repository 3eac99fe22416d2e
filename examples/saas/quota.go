package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	_ "github.com/ncruces/go-sqlite3/driver" // the SQLite driver, without cgo

	"github.com/s3presign/presign"
)

// A quota limits the files and bytes of a user, including uploads under way.
type quota struct {
	files, bytes int64
}

// A ledger keeps one row for each upload of each user, in SQLite. Several
// processes can use one database.
//
// A row is a reservation after the grant, and a file after the completion:
//   - If deadline is positive, the row is a reservation until this time, in
//     milliseconds. Its size is an upper bound.
//   - If deadline is NULL, the row is a file.
//   - If deadline is 0, the row is a file that the user has deleted. A repeated
//     completion must not bring the file back.
type ledger struct {
	*sql.DB
	quota quota
}

func openLedger(ctx context.Context, path string, quota quota) (*ledger, error) {
	dsn := url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: url.Values{"_pragma": {
		"busy_timeout(20000)", "journal_mode(wal)", "synchronous(normal)",
	}}.Encode()}
	db, err := sql.Open("sqlite3", dsn.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // SQLite allows one writer at a time.
	_, err = db.ExecContext(ctx, `
		CREATE TABLE IF NOT EXISTS files (
			id       TEXT PRIMARY KEY, -- of the grant
			owner    TEXT NOT NULL,
			size     INTEGER NOT NULL,
			deadline INTEGER,
			key      TEXT,
			name     TEXT,
			type     TEXT
		) STRICT;
		CREATE INDEX IF NOT EXISTS by_owner ON files (owner, deadline);`)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &ledger{db, quota}, nil
}

// reserve reserves the space of an upload for WithAuthorize. It counts and
// reserves in one statement, which SQLite runs as one transaction. If the size
// is unknown, the upload can be as large as the space that is left.
func (l *ledger) reserve(r *http.Request, u *presign.Upload) error {
	err := l.QueryRowContext(r.Context(), `
		INSERT INTO files (id, owner, size, deadline)
		SELECT @id, @owner, min(@max, @bytes - used), @deadline
		FROM (
			SELECT count(*) AS number, coalesce(sum(size), 0) AS used FROM files
			WHERE owner = @owner AND (deadline IS NULL OR deadline > @now)
		)
		WHERE number < @files AND used + @min <= @bytes
		RETURNING size`,
		sql.Named("id", u.GrantID), sql.Named("owner", u.Owner),
		sql.Named("min", u.MinSize), sql.Named("max", u.MaxSize),
		sql.Named("deadline", u.Deadline.UnixMilli()), sql.Named("now", time.Now().UnixMilli()),
		sql.Named("files", l.quota.files), sql.Named("bytes", l.quota.bytes),
	).Scan(&u.MaxSize)
	if errors.Is(err, sql.ErrNoRows) {
		return &presign.Problem{Status: http.StatusForbidden, Detail: fmt.Sprintf(
			"You can store %d files and %d bytes. Delete some files first.",
			l.quota.files, l.quota.bytes)}
	}
	return err
}

// book turns a reservation into a file. It works even if the reservation was
// dropped. The Signer might call it again, even after the user has deleted the
// file.
func (l *ledger) book(ctx context.Context, o *presign.Object) error {
	_, err := l.ExecContext(ctx, `
		INSERT INTO files (id, owner, size, key, name, type) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE
		SET size = excluded.size, key = excluded.key, name = excluded.name, type = excluded.type,
			deadline = NULL
		WHERE deadline > 0`,
		o.GrantID, o.Owner, o.Size, o.Key, o.Filename, o.Type)
	return err
}

// observe drops the reservation of an upload that can no longer complete. All
// other reservations end at their deadline, so a lost event does no harm.
func (l *ledger) observe(ctx context.Context, e presign.Event) {
	switch e.Kind {
	case "not_granted", "rejected", "aborted":
	default:
		return
	}
	// The client might have disconnected.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, err := l.ExecContext(ctx, `DELETE FROM files WHERE id = ? AND deadline > 0`, e.GrantID)
	if err != nil {
		slog.WarnContext(ctx, "reservation not dropped; it ends at its deadline",
			slog.String("grant_id", e.GrantID), slog.Any("error", err))
	}
}

// expire deletes the rows of reservations whose deadline has passed, which no
// longer count toward the quota.
func (l *ledger) expire(ctx context.Context) error {
	_, err := l.ExecContext(ctx, `DELETE FROM files WHERE deadline BETWEEN 1 AND ?`,
		time.Now().UnixMilli())
	return err
}

// A file is a completed upload.
type file struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Type string `json:"type"`
	Size int64  `json:"size"`
	key  string
}

// list returns the files of owner. If id is not empty, it returns only the file
// with this ID.
func (l *ledger) list(ctx context.Context, owner, id string) ([]file, error) {
	rows, err := l.QueryContext(ctx, `
		SELECT id, name, type, size, key FROM files
		WHERE owner = ?1 AND deadline IS NULL AND (?2 = '' OR id = ?2)
		ORDER BY rowid DESC`, owner, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := []file{}
	for rows.Next() {
		var f file
		if err := rows.Scan(&f.ID, &f.Name, &f.Type, &f.Size, &f.key); err != nil {
			return nil, err
		}
		found = append(found, f)
	}
	return found, rows.Err()
}

// remove releases the space of a file that was deleted.
func (l *ledger) remove(ctx context.Context, owner, id string) error {
	_, err := l.ExecContext(ctx, `
		UPDATE files SET deadline = 0 WHERE owner = ? AND id = ? AND deadline IS NULL`, owner, id)
	return err
}
