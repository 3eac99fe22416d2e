package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofrs/flock"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3err"
)

// marker is the environment variable that makes a program the process of the
// server.
const marker = "PRESIGN_EXAMPLES_STORE"

func init() {
	if os.Getenv(marker) == "" {
		return
	}
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// The parent sends requests as JSON to the standard input of the child, and the
// child writes one reply to each. The first request is Serve. Secrets are sent
// this way because other users can read the environment and the arguments.
type (
	request struct {
		Serve   *gateway `json:",omitempty"`
		Session *session `json:",omitempty"`
	}
	reply struct {
		URL string `json:",omitempty"`
	}
)

// A gateway describes the server that the parent requests.
type gateway struct {
	Dir       string
	Temporary bool // remove Dir at the end
	Region    string
	AccessKey string
	SecretKey string
	Webhook   string `json:",omitempty"`
}

// A session is a temporary credential.
type session struct {
	AccessKey, SecretKey, Token string
	Expires                     time.Time
}

// serve handles the requests of the parent. It returns when the parent has
// ended or has closed in.
func serve(in io.Reader, out io.Writer) error {
	// Signals such as Ctrl-C reach the whole process group, but the parent
	// decides when to stop. A broken pipe must not end the process, because the
	// process must still remove Dir.
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	// versitygw prints to os.Stdout, which is the pipe of the replies.
	os.Stdout = os.Stderr

	requests, replies := json.NewDecoder(in), json.NewEncoder(out)
	var first request
	if err := requests.Decode(&first); err != nil {
		return err
	}
	g := first.Serve
	if g.Temporary {
		defer os.RemoveAll(g.Dir) // The parent might have been killed.
	}
	lock, err := g.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	root := auth.Account{Access: g.AccessKey, Secret: g.SecretKey, Role: auth.RoleAdmin}
	iam := &accounts{
		IAMService: auth.NewIAMServiceSingle(root), root: root, sessions: map[string]session{},
	}

	ended := make(chan error, 1)
	go func() {
		ended <- g.run(iam, func(url string) { _ = replies.Encode(reply{URL: url}) })
	}()
	parent := make(chan struct{})
	go func() {
		defer close(parent)
		for {
			var req request
			if requests.Decode(&req) != nil {
				return
			}
			iam.add(*req.Session)
			_ = replies.Encode(reply{})
		}
	}()
	select {
	case err := <-ended:
		return err
	case <-parent:
		return nil
	}
}

// lock locks Dir until the lock is closed. It returns an error if another
// server uses Dir.
func (g *gateway) lock() (*flock.Flock, error) {
	if err := os.MkdirAll(g.Dir, 0o700); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	lock := flock.New(filepath.Join(g.Dir, "lock"))
	_, err := lock.TryLockContext(ctx, 20*time.Millisecond)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("%s is in use by another S3 server", g.Dir)
	}
	return lock, err
}

// run listens on a free port of loopback, calls listening with the address and
// serves.
func (g *gateway) run(iam auth.IAMService, listening func(url string)) error {
	var err error
	// versitygw does not return the port that it received for port 0, so a free
	// port is selected first. If another program takes the port in the
	// meantime, run tries again.
	for range 5 {
		var be backend.Backend
		if be, err = g.backend(); err != nil {
			return err
		}
		var addr string
		if addr, err = g.address(); err != nil {
			return err
		}
		served := false
		err = embedgw.RunVersityGW(context.Background(), be, &embedgw.Config{
			RootUserAccess:    g.AccessKey,
			RootUserSecret:    g.SecretKey,
			Region:            g.Region,
			Ports:             []string{addr},
			MaxConnections:    1024,
			MaxRequests:       1024,
			MultipartMaxParts: 10000,
			KeepAlive:         true,
			Quiet:             true,
			IAMService:        iam,
			EventWebhookURL:   g.Webhook,
			S3Options: []s3api.Option{
				s3api.WithOnListen(func() {
					served = true
					listening("http://" + addr)
				}),
				s3api.WithMiddleware("/", addCORSHeaders(be)),
			},
		})
		if served {
			break
		}
	}
	return err
}

// addCORSHeaders adds CORS headers to every response for a bucket that has CORS
// rules. Unlike AWS, versitygw omits these headers if a signature is wrong, and
// then a page cannot read the reason.
func addCORSHeaders(be backend.Backend) fiber.Handler {
	cors := middlewares.ApplyBucketCORS(be, func(ctx fiber.Ctx) (string, error) {
		bucket, _, _ := strings.Cut(strings.TrimPrefix(ctx.Path(), "/"), "/")
		return bucket, nil
	}, "")
	return func(ctx fiber.Ctx) error {
		err := ctx.Next()
		if ctx.Method() != http.MethodOptions &&
			len(ctx.Response().Header.Peek("Access-Control-Allow-Origin")) == 0 {
			_ = cors(ctx) // The response itself does not change.
		}
		return err
	}
}

// address returns the former address of Dir if it is free, or another free
// address. Grants from before a restart are for the former address.
func (g *gateway) address() (string, error) {
	file, addr := filepath.Join(g.Dir, "address"), "127.0.0.1:0"
	if before, err := os.ReadFile(file); err == nil {
		addr = string(before)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return "", err
	}
	addr = l.Addr().String()
	return addr, errors.Join(l.Close(), os.WriteFile(file, []byte(addr), 0o600))
}

// copyLimit is the largest object that one request copies, as at AWS. Without a
// limit, versitygw does not copy objects.
const copyLimit = 5 << 30

// backend returns a backend that keeps objects as files. The metadata of the
// objects is in extended attributes, or in separate files if the file system
// has no extended attributes.
func (g *gateway) backend() (backend.Backend, error) {
	dir, err := filepath.Abs(g.Dir)
	if err != nil {
		return nil, err
	}
	objects, attributes := filepath.Join(dir, "objects"), filepath.Join(dir, "attributes")
	if err := os.MkdirAll(objects, 0o700); err != nil {
		return nil, err
	}
	// A directory keeps its kind of metadata.
	_, statErr := os.Stat(attributes)
	if statErr != nil && supportsXattrs(dir) {
		return posix.New(objects, meta.XattrMeta{}, posix.PosixOpts{CopyObjectThreshold: copyLimit})
	}
	if err := os.MkdirAll(attributes, 0o700); err != nil {
		return nil, err
	}
	sidecar, err := meta.NewSideCar(attributes)
	if err != nil {
		return nil, err
	}
	return posix.New(objects, sidecar, posix.PosixOpts{
		SideCarDir: attributes, CopyObjectThreshold: copyLimit,
	})
}

// supportsXattrs reports whether files in dir can have extended attributes.
func supportsXattrs(dir string) bool {
	f, err := os.CreateTemp(dir, "xattr-")
	if err != nil {
		return false
	}
	defer os.Remove(f.Name())
	defer f.Close()
	return meta.XattrMeta{}.StoreAttribute(f, "", "", "probe", []byte("1")) == nil
}

// An accounts holds the root account and temporary credentials for it.
type accounts struct {
	auth.IAMService
	root auth.Account

	mu       sync.RWMutex
	sessions map[string]session
}

var (
	_ auth.IAMService         = (*accounts)(nil)
	_ auth.SigningKeyProvider = (*accounts)(nil)
)

func (a *accounts) add(s session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sessions[s.AccessKey] = s
}

// GetUserAccount returns the root account or the account of a session.
func (a *accounts) GetUserAccount(access string) (auth.Account, error) {
	if access == a.root.Access {
		return a.root, nil
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	s, ok := a.sessions[access]
	if !ok {
		return auth.Account{}, auth.ErrNoSuchUser
	}
	return auth.Account{Access: s.AccessKey, Secret: s.SecretKey, Role: auth.RoleAdmin}, nil
}

// DeriveSigningKey returns the signing key of an account. It rejects a token
// that is not the token of the session.
func (a *accounts) DeriveSigningKey(
	access, token, date, region, service string,
) ([]byte, auth.Account, error) {
	account, err := a.GetUserAccount(access)
	if err != nil {
		return nil, auth.Account{}, err
	}
	a.mu.RLock()
	s := a.sessions[access]
	a.mu.RUnlock()
	switch {
	case s.Token != token: // The root account has no token.
		return nil, auth.Account{}, auth.ErrInvalidSessionToken
	case token != "" && time.Now().After(s.Expires):
		return nil, auth.Account{}, errExpiredToken
	}
	key := []byte("AWS4" + account.Secret)
	for _, part := range []string{date, region, service, "aws4_request"} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return key, account, nil
}

var errExpiredToken = s3err.APIError{
	Code:           "ExpiredToken",
	Description:    "The provided token has expired.",
	HTTPStatusCode: http.StatusBadRequest,
}
