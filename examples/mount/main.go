// Mount is a service with users and cookie sessions. Its users upload an avatar
// and documents.
//
//	go run -C examples ./mount
//
// It starts an S3 server, creates two users, and prints the address of a page
// and curl commands that log in and upload. With -bucket, the files go to an
// existing bucket, with the credentials, region and endpoint of the AWS
// configuration.
//
//	GET /             shows a page to log in and to upload
//	POST /login       starts a session; the form contains user and password
//	POST /logout      ends the session
//	POST /avatars/    grants an avatar, which replaces the previous one
//	POST /documents/  grants a document with its SHA-256
//
// An avatar is a PNG or JPEG of up to 1 MiB. A document is a PDF, Word, text or
// CSV file of up to 50 MiB. POST /avatars/complete and POST /documents/complete
// complete an upload.
package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/jub0bs/cors"
	"golang.org/x/time/rate"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/internal/arguments"
	"github.com/s3presign/presign/examples/internal/interrupt"
	"github.com/s3presign/presign/examples/internal/store"
)

func main() {
	if err := run(interrupt.Context(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "mount:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("mount", flag.ExitOnError)
	addr := flags.String("addr", "127.0.0.1:8081", "`address` of the service")
	page := flags.String("origin", "http://127.0.0.1:3000",
		"`origin` of other pages of the same site that may use the service")
	bucket := flags.String("bucket", "",
		"`name` of a bucket to upload to, instead of the embedded S3 server's")
	_ = flags.Parse(args) // With ExitOnError it does not return an error.
	if err := arguments.None(flags); err != nil {
		return err
	}

	listen := arguments.Listen
	if *bucket == "" {
		listen = arguments.ListenLocally
	}
	listener, err := listen(*addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	origin := "http://" + listener.Addr().String()
	var client *s3.Client
	var waits []func() error
	if *bucket == "" {
		*bucket = "mount"
		// The store must stop after the service.
		server, err := store.Start(context.WithoutCancel(ctx), "")
		if err != nil {
			return err
		}
		defer server.Close()
		if err := server.CreateBucket(ctx, *bucket, origin, *page); err != nil {
			return err
		}
		waits = append(waits, server.Wait)
		client = server.Client()
	} else {
		cfg, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return err
		}
		client = s3.NewFromConfig(cfg,
			func(o *s3.Options) { o.UsePathStyle = o.BaseEndpoint != nil })
	}
	users := accounts{"alice": newAccount(), "bob": newAccount()}
	handler, err := newService(client, *bucket, users, *page)
	if err != nil {
		return err
	}
	// Grants are small and fast, so short timeouts only end slow connections.
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second, // The Handler responds within 25 seconds.
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	fmt.Fprintf(stdout, banner, origin, users["alice"].password, users["bob"].password, *bucket,
		curl(origin, "alice", users["alice"].password))
	return interrupt.Serve(ctx, server, listener, waits...)
}

const banner = `Open     %s/ and log in as alice
Alice    password %s
Bob      password %s
Bucket   %s

To log in and upload with curl, in a temporary directory:

%s

Ctrl-C stops.
`

// newService returns the handler of all routes.
func newService(
	client *s3.Client, bucket string, users accounts, page string,
) (http.Handler, error) {
	sessions := scs.New() // Sessions are in memory. scs can also store them in databases.
	// A service behind HTTPS must set sessions.Cookie.Secure. This demo uses
	// plain HTTP.

	// Both handlers call authenticate before they read the body of a request.
	authenticate := func(r *http.Request) (string, error) {
		user := sessions.GetString(r.Context(), "user")
		account, ok := users[user]
		if !ok {
			return "", &presign.Problem{Status: http.StatusUnauthorized, Detail: "Log in first."}
		}
		if wait := account.wait(); wait > 0 {
			return "", &presign.Problem{Status: http.StatusTooManyRequests,
				Detail: "Wait a moment.", RetryAfter: wait}
		}
		return user, nil
	}

	secret := []byte(os.Getenv("UPLOAD_SECRET"))
	if len(secret) == 0 {
		// A service that restarts or has replicas must set UPLOAD_SECRET.
		secret = []byte(rand.Text() + rand.Text())
	}
	avatars, err := newAvatars(client, bucket, secret, authenticate)
	if err != nil {
		return nil, err
	}
	documents, err := newDocuments(client, bucket, secret, authenticate)
	if err != nil {
		return nil, err
	}

	// The login is a plain form, which pages of any site could post. Such pages
	// cannot post to /avatars/ and /documents/: JSON requires permission by
	// CORS, and the handlers reject forms of other origins.
	sameSite := http.NewCrossOriginProtection()
	if err := sameSite.AddTrustedOrigin(page); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	addPage(mux)
	mux.Handle("POST /login", sameSite.Handler(login(sessions, users)))
	mux.Handle("POST /logout", sameSite.Handler(logout(sessions)))
	mux.Handle("/avatars/", http.StripPrefix("/avatars", avatars))
	mux.Handle("/documents/", http.StripPrefix("/documents", documents))

	pages, err := cors.NewMiddleware(cors.Config{
		Origins:         []string{page},
		Credentialed:    true, // Requests have a cookie.
		RequestHeaders:  []string{"Content-Type"},
		ResponseHeaders: []string{"Retry-After"},
	})
	if err != nil {
		return nil, err
	}
	return pages.Wrap(sessions.LoadAndSave(mux)), nil
}

// An authenticator returns the user who sent a request.
type authenticator func(*http.Request) (string, error)

// newAvatars returns the handler of avatars.
func newAvatars(
	client *s3.Client, bucket string, secret []byte, authenticate authenticator,
) (*presign.Handler, error) {
	signer, err := presign.NewSigner(client, bucket, presign.Policy{
		Prefix:  "avatars/",
		Types:   []string{"image/png", "image/jpeg"},
		MaxSize: 1 << 20,
		Headers: map[string]string{
			"Content-Disposition": "inline",
			"Cache-Control":       "no-cache", // Browsers then show a new avatar at once.
		},
		Replace: true,
	}, presign.WithoutForms(), presign.WithSecret(secret),
		presign.WithLogger(slog.Default().With("uploads", "avatars")))
	if err != nil {
		return nil, err
	}
	return presign.NewHandler(signer, authenticate,
		presign.WithAuthorize(func(r *http.Request, u *presign.Upload) error {
			// Without a final slash, Key is the key of the object.
			u.Key = "avatars/" + u.Owner
			return nil
		}))
}

// newDocuments returns the handler of documents.
func newDocuments(
	client *s3.Client, bucket string, secret []byte, authenticate authenticator,
) (*presign.Handler, error) {
	signer, err := presign.NewSigner(client, bucket, presign.Policy{
		Prefix: "documents/",
		Types: []string{
			"application/pdf",
			"application/vnd.openxmlformats-officedocument.wordprocessingml.document",
			"text/plain", "text/csv",
		},
		MaxSize:  50 << 20,
		Checksum: types.ChecksumAlgorithmSha256,
	}, presign.WithSecret(secret),
		presign.WithLogger(slog.Default().With("uploads", "documents")))
	if err != nil {
		return nil, err
	}
	return presign.NewHandler(signer, authenticate,
		presign.WithAuthorize(func(r *http.Request, u *presign.Upload) error {
			// The library adds a random part and the name of the file.
			u.Key = "documents/" + u.Owner + "/"
			return nil
		}))
}

// accounts holds the accounts of the users by their names. A name is part of a
// key, so it must consist of letters and digits.
type accounts map[string]*account

type account struct {
	password string // A real service keeps a hash.
	limiter  *rate.Limiter
}

func newAccount() *account {
	return &account{rand.Text(), rate.NewLimiter(rate.Every(time.Second), 10)}
}

// wait returns the time that the user must wait before the next request. Ten
// requests need no wait, and then one request is allowed in each second.
func (a *account) wait() time.Duration {
	r := a.limiter.Reserve()
	wait := r.Delay()
	if wait > 0 {
		r.Cancel() // A rejected request must not count.
	}
	return wait
}

func login(sessions *scs.SessionManager, users accounts) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
		user := r.PostFormValue("user")
		account, ok := users[user]
		if !ok || subtle.ConstantTimeCompare(
			[]byte(r.PostFormValue("password")), []byte(account.password)) != 1 {
			http.Error(w, "The user or the password is wrong.", http.StatusUnauthorized)
			return
		}
		if err := sessions.RenewToken(r.Context()); err != nil { // This prevents session fixation.
			slog.ErrorContext(r.Context(), "no session", slog.Any("error", err))
			http.Error(w, "Try again later.", http.StatusInternalServerError)
			return
		}
		sessions.Put(r.Context(), "user", user)
		w.WriteHeader(http.StatusNoContent)
	}
}

func logout(sessions *scs.SessionManager) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := sessions.Destroy(r.Context()); err != nil {
			slog.ErrorContext(r.Context(), "session not ended", slog.Any("error", err))
			http.Error(w, "Try again later.", http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}
