package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/jub0bs/cors"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/s3presign/presign"
)

var policy = presign.Policy{
	Prefix:      "incoming/",
	FinalPrefix: "files/",
	Types:       []string{"image/*", "text/plain", "application/pdf"},
	MaxSize:     100 << 20,
	Headers:     map[string]string{"Cache-Control": "private, no-cache"},
}

const downloadTime = time.Minute

// A config holds the dependencies of a service.
type config struct {
	client  *s3.Client
	bucket  string
	secret  []byte
	ledger  *ledger
	tokens  map[string]string // users by their bearer tokens
	origins []string          // of the pages that use the API
}

// A service serves an HTTP API for the files of users.
type service struct {
	config
	signer    *presign.Signer
	presigner *s3.PresignClient
	users     map[[sha256.Size]byte]string // by the hash of the token
	metrics   *metrics

	notifications chan notification
}

// notificationDelay is the time between a notification and its completion. It
// lets the client complete the upload first, because only a client that does so
// receives the reason for a rejection.
const notificationDelay = 3 * time.Second

type notification struct {
	body []byte
	due  time.Time
}

func newService(c config) (*service, error) {
	s := &service{
		config: c, presigner: s3.NewPresignClient(c.client), users: map[[sha256.Size]byte]string{},
		metrics: newMetrics(), notifications: make(chan notification, 1000),
	}
	for token, user := range c.tokens {
		s.users[sha256.Sum256([]byte(token))] = user
	}
	var err error
	s.signer, err = presign.NewSigner(c.client, c.bucket, policy,
		presign.WithSecret(c.secret),
		presign.WithOnComplete(c.ledger.book),
		presign.WithObserver(func(ctx context.Context, e presign.Event) {
			s.metrics.observe(e)
			c.ledger.observe(ctx, e)
		}))
	return s, err
}

// api returns the routes for pages of other origins.
func (s *service) api() (http.Handler, error) {
	uploads, err := presign.NewHandler(s.signer, s.authenticate, presign.WithAuthorize(s.authorize))
	if err != nil {
		return nil, err
	}
	allowed, err := cors.NewMiddleware(cors.Config{
		Origins:         s.origins,
		Methods:         []string{http.MethodDelete},
		RequestHeaders:  []string{"Authorization", "Content-Type"},
		ResponseHeaders: []string{"Retry-After"},
	})
	if err != nil {
		return nil, err
	}
	router := chi.NewRouter()
	router.Use(middleware.Recoverer, allowed.Wrap)
	router.Mount("/uploads", http.StripPrefix("/uploads", uploads))
	router.Get("/files", s.user(s.list))
	router.Get("/files/{id}", s.user(s.download))
	router.Delete("/files/{id}", s.user(s.remove))
	return router, nil
}

// internal returns the routes that must not be public.
func (s *service) internal() http.Handler {
	router := chi.NewRouter()
	router.Post("/notifications", s.receive)
	router.Handle("/metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	return router
}

// authenticate returns the user of the request's bearer token, or "".
func (s *service) authenticate(r *http.Request) (owner string, err error) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return s.users[sha256.Sum256([]byte(token))], nil
}

// authorize sets a separate prefix for each user and reserves the space of the
// upload.
func (s *service) authorize(r *http.Request, u *presign.Upload) error {
	// The library adds a random part and the name of the file.
	u.Key = policy.Prefix + hex.EncodeToString([]byte(u.Owner)) + "/"
	return s.ledger.reserve(r, u)
}

// A userHandler serves a request of a user.
type userHandler func(w http.ResponseWriter, r *http.Request, user string) error

// user calls serve with the user of a request.
func (s *service) user(serve userHandler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		user, err := s.authenticate(r)
		if err == nil && user == "" {
			err = &presign.Problem{Status: http.StatusUnauthorized}
		}
		if err == nil {
			err = serve(w, r, user)
		}
		if err == nil {
			return
		}
		problem := presign.ProblemOf(err)
		if problem.Status >= 500 {
			slog.ErrorContext(r.Context(), "request not served", slog.Any("error", err))
		}
		problem.ServeHTTP(w, r)
	}
}

func (s *service) list(w http.ResponseWriter, r *http.Request, user string) error {
	files, err := s.ledger.list(r.Context(), user, "")
	if err != nil {
		return err
	}
	return reply(w, files)
}

// download returns a URL that expires after a minute. It does not redirect,
// because a page cannot send its token with a link.
func (s *service) download(w http.ResponseWriter, r *http.Request, user string) error {
	f, err := s.find(r, user)
	if err != nil {
		return err
	}
	get, err := s.presigner.PresignGetObject(r.Context(),
		&s3.GetObjectInput{Bucket: &s.bucket, Key: &f.key}, s3.WithPresignExpires(downloadTime))
	if err != nil {
		return err
	}
	return reply(w, map[string]any{"url": get.URL, "expires_in": downloadTime / time.Second})
}

// remove deletes the object and then the row. If the service fails between the
// two steps, the user can delete the file again.
func (s *service) remove(w http.ResponseWriter, r *http.Request, user string) error {
	f, err := s.find(r, user)
	if err != nil {
		return err
	}
	object := &s3.DeleteObjectInput{Bucket: &s.bucket, Key: &f.key}
	_, err = s.client.DeleteObject(r.Context(), object)
	if err != nil {
		return err
	}
	if err := s.ledger.remove(r.Context(), user, f.ID); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *service) find(r *http.Request, user string) (*file, error) {
	id := chi.URLParam(r, "id")
	files, err := s.ledger.list(r.Context(), user, id)
	if err != nil {
		return nil, err
	}
	if id == "" || len(files) == 0 {
		return nil, &presign.Problem{Status: http.StatusNotFound}
	}
	return &files[0], nil
}

func reply(w http.ResponseWriter, value any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(value) // The client might have disconnected.
	return nil
}

// receive accepts notifications from the store and keeps them in memory. If the
// process stops, a sweep completes the uploads instead. See ../worker for a
// durable queue.
func (s *service) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	select {
	case s.notifications <- notification{body, time.Now().Add(notificationDelay)}:
	default:
		http.Error(w, "Too many notifications.", http.StatusServiceUnavailable)
	}
}

// work completes uploads by notifications and sweeps until ctx ends.
func (s *service) work(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case n := <-s.notifications:
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Until(n.due)):
			}
			err = s.signer.CompleteNotification(ctx, n.body)
		case <-ticker.C:
			if err = s.signer.Sweep(ctx); err == nil {
				err = s.ledger.expire(ctx)
			}
		}
		if err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "completion failed; the next sweep tries again",
				slog.Any("error", err))
		}
	}
}

// A metrics value counts Events for Prometheus.
type metrics struct {
	registry *prometheus.Registry
	uploads  *prometheus.CounterVec
	bytes    prometheus.Counter
	seconds  *prometheus.HistogramVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		uploads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "uploads_total", Help: "Events by kind and method.",
		}, []string{"kind", "method"}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "uploads_bytes_total", Help: "Bytes of completed uploads.",
		}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "uploads_seconds", Help: "Duration of calls by kind of event.",
		}, []string{"kind"}),
	}
	m.registry.MustRegister(m.uploads, m.bytes, m.seconds)
	return m
}

func (m *metrics) observe(e presign.Event) {
	m.uploads.WithLabelValues(e.Kind, e.Method).Inc()
	m.seconds.WithLabelValues(e.Kind).Observe(e.Duration.Seconds())
	if e.Kind == "completed" {
		m.bytes.Add(float64(e.Size))
	}
}
