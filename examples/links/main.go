// Links is a service whose users share links. With a link, a guest without an
// account can upload up to n files until a date, into a folder of the link's
// owner.
//
//	go run -C examples ./links
//
// It starts an S3 server and prints the address of the page. With -dir, all
// data is kept in that directory, and a later run continues with it.
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	_ "github.com/ncruces/go-sqlite3/driver" // the SQLite driver, without cgo

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/interrupt"
	"github.com/s3presign/presign/examples/internal/site"
	"github.com/s3presign/presign/examples/upload"
)

const bucket = "links"

// policy does not set Replace, so a file cannot replace another file.
var policy = presign.Policy{
	Prefix: "incoming/", FinalPrefix: "files/", MaxSize: 100 << 20,
	Types: []string{"image/*", "video/*", "text/plain", "application/pdf"},
}

// A link for n files has n slots. Each slot is a key, which limits the number
// of files. The rows of links are used only to list and to revoke links.
const schema = `
CREATE TABLE IF NOT EXISTS links (number INTEGER PRIMARY KEY AUTOINCREMENT,
	owner TEXT, folder TEXT, count INTEGER, ends TEXT, revoked INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS slots (key TEXT PRIMARY KEY, link INTEGER, granted INTEGER, name TEXT)`

//go:embed page
var files embed.FS

var templates = template.Must(template.ParseFS(files, "page/links.html"))

var login = site.Login{
	Name: "links", Title: "Links", Question: "Choose a user",
	Lead: "Make links with which others can send you files.",
}

func main() {
	if err := run(interrupt.Context(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "links:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	demo, err := site.OpenDemoWithEvents(ctx, flag.NewFlagSet(bucket, flag.ExitOnError),
		"127.0.0.1:8090", args)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, demo.Close()) }()
	s, err := newService(demo.Store.Client(), demo.Site, demo.Dir+"/links.db", demo.Secret)
	if err != nil {
		return err
	}
	defer s.db.Close()
	defer demo.Events.Complete(ctx, s.signer, time.Minute)()
	return demo.Run(ctx, stdout, s,
		"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "+
			"connect-src 'self' "+demo.Store.URL+"; "+
			"base-uri 'none'; form-action 'self'; frame-ancestors 'none'", "")
}

// A service serves the pages, the uploads and the links.
type service struct {
	http.Handler
	*site.Site
	db     *sql.DB
	secret []byte
	signer *presign.Signer
}

func newService(client *s3.Client, here *site.Site, path string, secret []byte) (*service, error) {
	db, err := sql.Open("sqlite3",
		"file:"+url.PathEscape(path)+"?_pragma=busy_timeout(20000)&_pragma=journal_mode(wal)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // SQLite allows one writer at a time.
	_, unusable := db.Exec(schema)
	s, mux := &service{Site: here, db: db, secret: secret}, http.NewServeMux()
	s.Handler = mux
	// A form for the key of a slot would require Replace.
	s.signer, err = presign.NewSigner(client, bucket, policy, presign.WithSecret(secret),
		presign.WithoutForms(), presign.WithInspect(s.inspect), presign.WithOnComplete(s.book))
	uploads, invalid := presign.NewHandler(s.signer, s.authenticate,
		presign.WithAuthorize(s.authorize))
	mux.Handle("/uploads/", http.StripPrefix("/uploads", uploads))
	mux.HandleFunc("GET /upload.js", upload.Serve)
	mux.Handle("GET /page/", http.FileServerFS(files))
	mux.HandleFunc("POST /links", s.create)
	mux.HandleFunc("POST /revoke", s.revoke)
	mux.HandleFunc("GET /{$}", here.Front(login, s.list))
	return s, errors.Join(unusable, err, invalid, here.Handle(mux, files))
}

// A ticket describes the uploads that a link permits. Guests can read the
// ticket, but only the service can make one.
type ticket struct {
	Number int64 // the number of the link
	Owner  string
	Folder string
	Count  int       // the number of files
	Ends   time.Time // The service grants uploads until then.
}

// seal returns the text of a ticket for a link.
func (s *service) seal(t ticket) string {
	text, _ := json.Marshal(t) // Marshal never fails for a ticket.
	return base64.RawURLEncoding.EncodeToString(append(s.sum(text), text...))
}

// sum returns the HMAC that authenticates the text of a ticket.
func (s *service) sum(text []byte) []byte {
	mac := hmac.New(sha256.New, s.secret)
	mac.Write(append([]byte("ticket of examples/links\n"), text...))
	return mac.Sum(nil)
}

// open returns the ticket and the guest of a request. It returns a Problem if
// the link is invalid, was revoked or has ended.
func (s *service) open(r *http.Request) (t ticket, guest string, err error) {
	sealed, guest, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "),
		".")
	box, _ := base64.RawURLEncoding.Strict().DecodeString(sealed)
	text := box[min(sha256.Size, len(box)):]
	if !hmac.Equal(box[:len(box)-len(text)], s.sum(text)) || json.Unmarshal(text, &t) != nil {
		return t, "", reject(http.StatusUnauthorized,
			"This link is incomplete or changed. Copy all of it.")
	}
	revoked, err := s.isRevoked(r.Context(), t.Number)
	if revoked {
		err = reject(http.StatusForbidden, "This link was revoked.")
	} else if err == nil && !time.Now().Before(t.Ends) {
		err = reject(http.StatusForbidden,
			"This link expired on "+t.Ends.Format("2 January 2006, 15:04 MST")+".")
	}
	return t, guest, err
}

func reject(status int, detail string) error {
	return &presign.Problem{Status: status, Detail: detail}
}

func (s *service) isRevoked(ctx context.Context, number any) (revoked bool, err error) {
	err = s.db.QueryRowContext(ctx,
		`SELECT NOT EXISTS (SELECT 1 FROM links WHERE number = ? AND NOT revoked)`,
		number).Scan(&revoked)
	return revoked, err
}

// authenticate returns a separate owner for each guest. The guest's page
// generates a name that others cannot guess. If authenticate returned the
// link's owner, guests could complete the uploads of the owner and of each
// other.
func (s *service) authenticate(r *http.Request) (owner string, err error) {
	t, guest, err := s.open(r)
	if err == nil && (len(guest) < 32 || len(guest) > 64) {
		err = reject(http.StatusUnauthorized, "The guest's name must have 32 to 64 bytes.")
	}
	return fmt.Sprintf("%d %s", t.Number, guest), err
}

// authorize sets the key to the empty slot that was granted least recently. Two
// guests receive the same slot only if there are more unused grants than empty
// slots. The store then keeps the file that arrives first.
func (s *service) authorize(r *http.Request, u *presign.Upload) error {
	t, _, err := s.open(r)
	if err != nil {
		return err
	}
	err = s.db.QueryRowContext(r.Context(), `
		WITH RECURSIVE numbers (n) AS (
			SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < @count
		)
		INSERT INTO slots (key, link, granted)
		SELECT @folder || n, @link, @now FROM numbers LEFT JOIN slots ON key = @folder || n
		WHERE name IS NULL ORDER BY granted, n LIMIT 1
		ON CONFLICT DO UPDATE SET granted = excluded.granted RETURNING @prefix || key`,
		sql.Named("folder", fmt.Sprintf("%s/%s/%d-", t.Owner, t.Folder, t.Number)),
		sql.Named("prefix", policy.Prefix), sql.Named("count", t.Count),
		sql.Named("link", t.Number), sql.Named("now", time.Now().UnixNano())).Scan(&u.Key)
	if errors.Is(err, sql.ErrNoRows) {
		return reject(http.StatusForbidden,
			fmt.Sprintf("This link was for %d files. All of them have arrived.", t.Count))
	}
	u.Lifetime = min(u.Lifetime, time.Until(t.Ends).Truncate(time.Second))
	return err
}

// inspect rejects uploads whose link was revoked after the grant.
func (s *service) inspect(ctx context.Context, o *presign.Object) error {
	revoked, err := s.isRevoked(ctx, strings.Fields(o.Owner)[0])
	if revoked {
		return &presign.Violation{Field: "owner", Code: "not_allowed",
			Detail: "must have a link that was not revoked"}
	}
	return err
}

// book stores the name of a file that has arrived. WithOnComplete might call it
// again for the same upload.
func (s *service) book(ctx context.Context, o *presign.Object) error {
	_, err := s.db.ExecContext(ctx, `UPDATE slots SET name = ? WHERE key = ?`, o.Filename,
		strings.TrimPrefix(o.Key, policy.FinalPrefix))
	return err
}

// list shows the links of a user, newest first.
func (s *service) list(w http.ResponseWriter, r *http.Request, user string) {
	var found string
	var links []struct {
		Ticket  ticket
		Revoked int
		Files   []string
	}
	err := s.db.QueryRowContext(r.Context(), `SELECT json_group_array(json_object(
		'Ticket', json_object(
			'Number', number, 'Owner', owner, 'Folder', folder, 'Count', count, 'Ends', ends),
		'Revoked', revoked,
		'Files', json((
			SELECT json_group_array(name) FILTER (WHERE name IS NOT NULL)
			FROM slots WHERE link = number))
		) ORDER BY number DESC) FROM links WHERE owner = ?`, user).Scan(&found)
	if err := errors.Join(err, json.Unmarshal([]byte(found), &links)); err != nil {
		site.Fail(w, r, err)
		return
	}
	site.Render(w, r, templates, "links.html",
		map[string]any{"User": user, "Links": links, "Seal": s.seal, "Now": time.Now()})
}

// folderName matches the name of a folder, which is one segment of a key.
var folderName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 _-]{0,39}$`)

func (s *service) create(w http.ResponseWriter, r *http.Request) {
	folder := r.PostFormValue("folder")
	count, _ := strconv.Atoi(r.PostFormValue("count"))
	days, _ := strconv.Atoi(r.PostFormValue("days"))
	if s.User(r) == "" || !folderName.MatchString(folder) || min(count, days) < 1 ||
		max(count, days) > 100 {
		http.Error(w, "Log in, and fill in the form again.", http.StatusBadRequest)
		return
	}
	s.execute(w, r, `INSERT INTO links (owner, folder, count, ends) VALUES (?, ?, ?, ?)`,
		s.User(r), folder, count, time.Now().UTC().AddDate(0, 0, days).Format(time.RFC3339))
}

func (s *service) revoke(w http.ResponseWriter, r *http.Request) {
	s.execute(w, r, `UPDATE links SET revoked = 1 WHERE owner = ? AND number = ?`, s.User(r),
		r.PostFormValue("number"))
}

// execute runs a statement and redirects to the list.
func (s *service) execute(w http.ResponseWriter, r *http.Request, statement string, args ...any) {
	if _, err := s.db.ExecContext(r.Context(), statement, args...); err != nil {
		site.Fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
