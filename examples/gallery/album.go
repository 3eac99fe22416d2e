package main

import (
	"context"
	"database/sql"
	"time"

	_ "github.com/ncruces/go-sqlite3/driver" // the SQLite driver, without cgo

	"github.com/s3presign/presign"
)

// A picture describes one object. It is a row of the database.
type picture struct {
	ID    string    `json:"id"` // the ID of the grant
	Name  string    `json:"name"`
	Type  string    `json:"type"`
	Size  int64     `json:"size"`
	Added time.Time `json:"added"`
	key   string
}

// An album holds the pictures of all users.
type album struct{ *sql.DB }

func openAlbum(ctx context.Context, file string) (album, error) {
	db, err := sql.Open("sqlite3", file)
	if err != nil {
		return album{}, err
	}
	db.SetMaxOpenConns(1) // SQLite allows one writer at a time.
	_, err = db.ExecContext(ctx, `
		CREATE TABLE IF NOT EXISTS pictures (
			number   INTEGER PRIMARY KEY,
			id       TEXT NOT NULL UNIQUE,
			owner    TEXT NOT NULL,
			key      TEXT NOT NULL,
			name     TEXT NOT NULL,
			type     TEXT NOT NULL,
			size     INTEGER NOT NULL,
			checksum TEXT NOT NULL,
			added    INTEGER NOT NULL
		) STRICT;
		CREATE INDEX IF NOT EXISTS by_owner ON pictures (owner, number);`)
	return album{db}, err
}

// add inserts the row of a completed upload. WithOnComplete might call it again
// for the same upload, and several times at once.
func (a album) add(ctx context.Context, o *presign.Object) error {
	_, err := a.ExecContext(ctx, `
		INSERT INTO pictures (id, owner, key, name, type, size, checksum, added)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO NOTHING`,
		o.GrantID, o.Owner, o.Key, o.Filename, o.Type, o.Size, o.Checksum, time.Now().UnixMilli())
	return err
}

// list returns the pictures of an owner, newest first.
func (a album) list(ctx context.Context, owner string) ([]picture, error) {
	return a.query(ctx, `owner = ? ORDER BY number DESC LIMIT 500`, owner)
}

// find returns a picture of the owner. For other IDs it returns sql.ErrNoRows.
func (a album) find(ctx context.Context, owner, id string) (picture, error) {
	pictures, err := a.query(ctx, `owner = ? AND id = ?`, owner, id)
	switch {
	case err != nil:
		return picture{}, err
	case len(pictures) == 0:
		return picture{}, sql.ErrNoRows
	}
	return pictures[0], nil
}

func (a album) query(ctx context.Context, where string, args ...any) ([]picture, error) {
	rows, err := a.QueryContext(ctx,
		`SELECT id, name, type, size, added, key FROM pictures WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	pictures := []picture{}
	for rows.Next() {
		var p picture
		var added int64
		if err := rows.Scan(&p.ID, &p.Name, &p.Type, &p.Size, &added, &p.key); err != nil {
			return nil, err
		}
		p.Added = time.UnixMilli(added).UTC()
		pictures = append(pictures, p)
	}
	return pictures, rows.Err()
}

func (a album) remove(ctx context.Context, id string) error {
	_, err := a.ExecContext(ctx, `DELETE FROM pictures WHERE id = ?`, id)
	return err
}
