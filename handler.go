package presign

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/s3presign/presign/internal/companion"
	"github.com/s3presign/presign/internal/completion"
	"github.com/s3presign/presign/internal/credential"
	"github.com/s3presign/presign/internal/grant"
	"github.com/s3presign/presign/internal/httpbody"
	"github.com/s3presign/presign/internal/multipart"
	"github.com/s3presign/presign/internal/route"
	"github.com/s3presign/presign/internal/rules"
	"github.com/s3presign/presign/internal/s3limit"
	"github.com/s3presign/presign/internal/wire"
)

// waitTime is the longest time that a client waits for a completion.
const waitTime = 25 * time.Second

// pendingRetry is the time after which a client should repeat a request for a
// completion that is still running.
const pendingRetry = 5 * time.Second

// retryAfter is the time after which a client should repeat a request if the
// credentials or the store failed.
const retryAfter = 30 * time.Second

// A Handler is the HTTP API of a [Signer]. Its routes are relative to the path
// at which it is mounted:
//
//	mux.Handle("/uploads/", http.StripPrefix("/uploads", handler))
//
// A Handler is immutable and safe for concurrent use. It never redirects. Every
// error response is a [Problem].
//
// The service that mounts the Handler is responsible for CORS, rate limits and
// timeouts. For pages of other origins, CORS must allow the method POST, the
// request header Content-Type and the headers that authenticate reads. It must
// also expose the response header Retry-After.
//
// # GET /
//
// Returns the bounds of the Policy: types, min_size, max_size, expires_in
// (seconds), checksum (the algorithm), metadata (names) and methods. A page can
// then check a file before it asks for a grant. A PUT or form takes at most
// 5 GiB.
//
// # POST /
//
// Grants an upload. The request is JSON or urlencoded. Its members are
// filename, type, size, min_size, max_size, expires_in (seconds), checksum,
// metadata (an object; metadata[name] if urlencoded) and method ("PUT", "POST"
// or "multipart"). Only filename is required. The response is a [Grant] with
// status 201. Without method, the grant is a PUT if the size is known, and
// otherwise a form. Urlencoded requests are accepted from the same origin only
// ([http.CrossOriginProtection]).
//
// For a multipart upload, the response has method "multipart" and the id, key,
// part_size, grant_id, expires_at and expires_in of a [Multipart].
//
// # POST /batch
//
// Grants up to 100 PUTs and forms. The request is {"uploads": […]}, with the
// JSON members of POST / for each upload. The response is {"results": […]}: a
// Grant or a [Problem] for each upload, in order. A rejected upload does not
// affect the others.
//
// The function of WithAuthorize is called for one upload after another. So
// limit the rate of grants in this function and not around the Handler. If the
// credentials fail, the function is not called for the rest of the batch.
//
// # POST /parts/sign
//
// Returns the URLs of parts of a multipart upload. The request is {"id": …,
// "first": …, "last": …}, or {"id": …, "parts": [{"number", "size",
// "checksum"}]} for up to 1,000 parts with their own sizes or checksums. The
// response is {"urls": […], "expires_at", "expires_in"}.
//
// # POST /parts/list
//
// Returns the parts that the store has. The request is {"id": …}, and the
// response is {"parts": [{"number", "size", "etag", "checksum"}]}.
//
// # POST /complete
//
// Verifies an upload, publishes it and calls the functions of WithOnComplete.
// The request is JSON: {"key": …}, or {"id": …} for a multipart upload. The
// member "parts" ([{"number", "etag", "size", "checksum"}]) selects parts. If
// the member is absent, the object consists of all parts that the store has.
// The response is the [Object]. Only the owner of the grant can complete an
// upload. Other users receive status 404.
//
// # POST /abort
//
// Ends a multipart upload and deletes its parts. The request is {"id": …}, and
// the response is {}.
//
// # /s3/…
//
// With [WithUppy], these routes implement Companion's protocol: Uppy's AwsS3
// plugin uploads small files by form and large ones as multipart uploads.
// Unknown members and parameters are ignored. The uploadId that Uppy receives
// is [Multipart].ID. File metadata is kept under names that the Policy lists,
// and dropped under other names.
//
// If an app adds size to the metadata, each part is signed for its exact
// length. If the app sets Uppy's getChunkSize, it must also add partSize. If
// the Policy has a Checksum, the app must add checksum.
//
// When Uppy has uploaded a file, the app sends POST /complete with the key that
// Uppy reports. Uppy itself has already completed a multipart upload by then.
// The response to the app is the Object, and the functions of WithOnComplete
// are called again.
type Handler struct {
	signer       *Signer
	authenticate func(*http.Request) (owner string, err error)
	authorize    func(*http.Request, *Upload) error
	native       map[string][]route.Route // by path
	companion    *companion.Server        // nil without WithUppy
	writer       *httpbody.Writer
}

// NewHandler returns the HTTP API of signer. The Handler calls authenticate for
// every request to one of its routes, before it reads anything except method
// and path. The result is the owner of uploads, a string of 1 to 128 bytes:
//
//	func authenticate(r *http.Request) (owner string, err error) {
//		user, err := sessions.User(r)
//		switch {
//		case errors.Is(err, sessions.ErrNone):
//			return "", nil // not authenticated: 401
//		case err != nil:
//			return "", err // the service has failed: 500, logged as an error
//		case user.Suspended:
//			return "", &presign.Problem{
//				Status: http.StatusForbidden,
//				Detail: "Your account is suspended.",
//			}
//		}
//		return user.ID, nil
//	}
//
// A *[Problem] anywhere in the error's chain decides the response, and the
// error is logged. The client does not see the text of any other error.
//
// NewHandler reports all faults at once, joined.
func NewHandler(
	signer *Signer, authenticate func(*http.Request) (owner string, err error),
	opts ...HandlerOption,
) (*Handler, error) {
	var faults []error
	if signer == nil || signer.rules == nil {
		faults = append(faults, errZeroSigner)
	}
	if authenticate == nil {
		faults = append(faults,
			errors.New("presign: authenticate must not be nil; without it, anyone could upload"))
	}
	var o handlerOptions
	faults = append(faults, applyOptions(&o, opts)...)
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	if signer.ephemeral {
		signer.hooks.logger.Warn("presign: WithSecret should be set; " +
			"without it, uploads cannot be completed after a restart or in other replicas")
	}
	h := &Handler{
		signer: signer, authenticate: authenticate, authorize: o.authorize,
		writer: new(httpbody.Writer),
	}
	h.native = h.nativeRoutes()
	if o.uppy {
		h.companion = &companion.Server{
			Rules: signer.rules, Grants: signer.grants, Multiparts: signer.multiparts,
			Accept: h.acceptScript, Complete: h.completeParts,
			Protection: companion.NewProtection(o.trusted),
		}
	}
	return h, nil
}

// String returns the bucket and the prefix.
func (h *Handler) String() string {
	if h == nil || h.signer == nil {
		return "presign.Handler()"
	}
	return "presign.Handler(" + h.signer.String() + ")"
}

// Format implements [fmt.Formatter], so that no verb prints a secret.
func (h *Handler) Format(f fmt.State, _ rune) { io.WriteString(f, h.String()) }

// LogValue returns the same text as String.
func (h *Handler) LogValue() slog.Value { return slog.StringValue(h.String()) }

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if h == nil || h.signer == nil {
		writeProblem(w, &Problem{Status: http.StatusInternalServerError})
		return
	}
	c := &route.Call{Request: r, Started: time.Now()}
	if h.signer.hooks.observer != nil {
		// A completion that outlives this call must not report its request.
		current := new(atomic.Pointer[http.Request])
		c.Request = r.WithContext(context.WithValue(r.Context(), requestKey{}, current))
		current.Store(c.Request)
		defer current.Store(nil)
		r = c.Request
	}
	serve, err := h.find(w, c)
	if err == nil {
		c.Owner, err = h.owner(r)
	}
	if err != nil {
		h.fail(w, c, err)
		return
	}
	status, body, err := serve(c)
	if err == nil {
		err = h.writer.WriteJSON(w, status, body)
	}
	if err != nil {
		h.fail(w, c, err)
		return
	}
	if c.Kind != "" {
		h.observe(c, c.Kind, nil, nil)
	}
	if c.After != nil {
		_ = http.NewResponseController(w).Flush() // Not every ResponseWriter supports it.
		c.After(context.WithoutCancel(r.Context()))
	}
}

// find returns the function for a request and prepares its body.
func (h *Handler) find(
	w http.ResponseWriter, c *route.Call,
) (serve func(*route.Call) (int, any, error), err error) {
	r := c.Request
	path := strings.FieldsFunc(r.URL.Path, func(c rune) bool { return c == '/' })
	routes := h.routes(path)
	// A mux or proxy in front of the Handler treats an encoded slash as a part
	// of a name. So the Handler must not treat an encoded slash as a separator.
	if routes == nil || strings.Contains(strings.ToUpper(r.URL.RawPath), "%2F") {
		err = &Problem{Status: http.StatusNotFound,
			Detail: "This path has no route. (The handler routes by the path that http.StripPrefix leaves.)"}
		if len(path) > 0 && path[0] == "s3" && h.companion == nil {
			err = fmt.Errorf("WithUppy must be set for the routes of Uppy: %w", err)
		}
		return nil, err
	}
	for _, route := range routes {
		if route.Method == r.Method {
			c.Body = httpbody.Replace(w, r, route.MaxBody)
			return route.Serve, nil
		}
	}
	methods := make([]string, len(routes))
	for i, route := range routes {
		methods[i] = route.Method
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	return nil, &Problem{Status: http.StatusMethodNotAllowed}
}

// routes returns the routes of a path, by its segments, or nil.
func (h *Handler) routes(path []string) []route.Route {
	if len(path) > 0 && path[0] == "s3" && h.companion != nil {
		return h.companion.Routes(path[1:])
	}
	return h.native[strings.Join(path, "/")]
}

// nativeRoutes returns the routes of all paths outside /s3/.
func (h *Handler) nativeRoutes() map[string][]route.Route {
	post := func(maxBody int64, serve func(*route.Call) (int, any, error)) []route.Route {
		return []route.Route{{Method: http.MethodPost, MaxBody: maxBody, Serve: serve}}
	}
	return map[string][]route.Route{
		"": append(
			[]route.Route{{Method: http.MethodGet, MaxBody: httpbody.MaxSize, Serve: h.bounds}},
			post(httpbody.MaxSize, h.grant)...,
		),
		"batch":      post(httpbody.MaxListSize, h.batch),
		"parts/sign": post(httpbody.MaxListSize, h.signParts),
		"parts/list": post(httpbody.MaxSize, h.listParts),
		"complete":   post(httpbody.MaxListSize, h.complete),
		"abort":      post(httpbody.MaxSize, h.abort),
	}
}

// owner authenticates a request.
func (h *Handler) owner(r *http.Request) (string, error) {
	owner, err := h.authenticate(r)
	switch {
	case err != nil:
		return "", newServiceError(r, err)
	case owner == "":
		return "", &Problem{Status: http.StatusUnauthorized}
	case len(owner) > rules.OwnerSize:
		return "", fmt.Errorf(
			"presign: authenticate must return an owner of at most %d bytes, got %d",
			rules.OwnerSize, len(owner))
	}
	return owner, nil
}

// bounds serves GET /.
func (h *Handler) bounds(*route.Call) (int, any, error) {
	return http.StatusOK, wire.NewBounds(h.signer.rules), nil
}

// grant serves POST /.
func (h *Handler) grant(c *route.Call) (int, any, error) {
	q, err := wire.DecodeGrant(c)
	if err != nil {
		return 0, nil, err
	}
	u, invalid := q.Upload(h.signer.rules, []string{rules.PUT, rules.POST, rules.Multipart})
	u.Owner = c.Owner
	valid, err := h.accept(c, u, invalid, true)
	if err != nil {
		return 0, nil, err
	}
	if u.Method == rules.Multipart {
		m, err := h.signer.multiparts.Start(c.Request.Context(), valid, 0)
		if err != nil {
			return 0, nil, err
		}
		c.Key, c.Kind = m.Key, "started"
		return http.StatusCreated, wire.NewMultipart(m), nil
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), completion.StoreTime)
	defer cancel()
	signed, err := h.sign(ctx, c, &valid)
	return http.StatusCreated, signed, err
}

// sign signs a PUT or a form.
func (h *Handler) sign(
	ctx context.Context, c *route.Call, valid *rules.Valid,
) (*grant.Grant, error) {
	signed, err := h.signer.grants.Sign(ctx, valid)
	c.Key, c.Kind = signed.Key, "granted"
	return &signed, err
}

// batch serves POST /batch.
func (h *Handler) batch(c *route.Call) (int, any, error) {
	uploads, err := wire.DecodeBatch(c)
	if err != nil {
		return 0, nil, err
	}
	results := make(wire.Results, len(uploads))
	var failed *Problem // the reason for not signing the rest
	limit := &batchLimit{parent: c.Request.Context()}
	defer limit.end()
	for i := range uploads {
		if err := c.Request.Context().Err(); err != nil {
			return 0, nil, err // The client has disconnected.
		}
		if failed != nil {
			results[i] = failed
			continue
		}
		call := &route.Call{Request: c.Request, Owner: c.Owner, Started: time.Now()}
		valid, err := h.acceptOne(call, &uploads[i])
		accepted := err == nil
		if accepted {
			results[i], err = h.sign(limit.context(), call, &valid)
		}
		if err == nil {
			h.observe(call, call.Kind, nil, nil)
		}
		if err != nil {
			p := h.problem(call, err)
			if results[i] = p; accepted && p.Status >= 500 {
				failed = p
			}
		}
	}
	return http.StatusOK, results, nil
}

// A batchLimit limits the time for signing. Grants share a context, because a
// timer for each grant takes a sixth of the time of a grant in a batch.
type batchLimit struct {
	parent, current context.Context
	cancel          context.CancelFunc
	started         time.Time
}

// context returns a context that ends at least half of StoreTime later. The
// function of WithAuthorize might have used up the rest.
func (l *batchLimit) context() context.Context {
	if l.current == nil || time.Since(l.started) > completion.StoreTime/2 {
		l.end()
		l.started = time.Now()
		l.current, l.cancel = context.WithTimeout(l.parent, completion.StoreTime)
	}
	return l.current
}

func (l *batchLimit) end() {
	if l.cancel != nil {
		l.cancel()
	}
}

// acceptOne validates one upload of a batch and asks the service for approval.
func (h *Handler) acceptOne(c *route.Call, q *wire.GrantRequest) (rules.Valid, error) {
	u, invalid := q.Upload(h.signer.rules, []string{rules.PUT, rules.POST})
	u.Owner = c.Owner
	return h.acceptScript(c, u, invalid)
}

// acceptScript calls accept for a client that is a script. It drops the
// redirect, which only plain HTML forms follow.
func (h *Handler) acceptScript(c *route.Call, u rules.Upload, invalid error) (rules.Valid, error) {
	return h.accept(c, u, invalid, false)
}

// accept validates the upload that a client asks for and asks the service for
// approval. If invalid is not nil, accept rejects the upload and returns all
// reasons.
func (h *Handler) accept(
	c *route.Call, u rules.Upload, invalid error, redirects bool,
) (rules.Valid, error) {
	u.GrantID = grant.NewID()
	c.GrantID, c.Upload = u.GrantID, &u
	valid, err := h.signer.rules.Validate(u)
	if err := errors.Join(invalid, err); err != nil {
		return rules.Valid{}, err
	}
	u = valid.Upload() // This also updates c.Upload, which points to u.
	if h.authorize == nil {
		return valid, nil
	}
	u.Deadline = grant.Deadline(&u, time.Now())
	approved, err := h.approve(c.Request, &u)
	if err != nil {
		return rules.Valid{}, err
	}
	if !redirects {
		approved.Redirect = ""
	}
	c.MetadataAdded = !maps.Equal(u.Metadata, approved.Metadata)
	valid, err = h.signer.rules.ValidateFromService(*approved)
	// The client's values were valid before WithAuthorize was called. Only a
	// violation of size or method can still be the client's fault.
	return valid, serviceFault(err, func(v *rules.Violation) bool {
		return v.Field == "size" || v.Field == "method"
	})
}

// approve returns the upload as the function of WithAuthorize leaves it.
func (h *Handler) approve(r *http.Request, requested *rules.Upload) (*rules.Upload, error) {
	u := publicUpload(requested)
	u.Metadata = make(map[string]string, len(requested.Metadata))
	for name, value := range requested.Metadata {
		u.Metadata[name] = value
	}
	if err := h.authorize(r, u); isViolations(err) {
		return nil, err
	} else if err != nil {
		return nil, newServiceError(r, err)
	}
	approved := u.internal(u.Method, u.GrantID)
	approved.Deadline = u.Deadline
	if violation := rules.CheckRemainder(&approved); violation != nil {
		return nil, violation
	}
	if field := rules.ChangedField(requested, &approved); field != "" {
		return nil, &serviceError{
			fmt.Errorf("presign: WithAuthorize must not change or extend Upload.%s", field),
		}
	}
	return &approved, nil
}

// serviceFault returns a failure of the service if err contains a Violation
// that is not the client's fault. Otherwise it returns err.
func serviceFault(err error, isClientFault func(*rules.Violation) bool) error {
	for _, v := range rules.Find[rules.Violation](err) {
		if !isClientFault(v) {
			return &serviceError{fmt.Errorf(
				"presign: WithAuthorize set something invalid: %s %s", v.Field, v.Detail)}
		}
	}
	return err
}

// resume returns the multipart upload with this ID if it belongs to the owner
// of the call.
func (h *Handler) resume(c *route.Call, id string) (*multipart.Upload, error) {
	m, err := h.signer.multiparts.Resume(c.Owner, id)
	if m != nil {
		c.Key, c.GrantID, c.Method = m.Key, m.GrantID, rules.Multipart
	}
	return m, err
}

// resumeNamed decodes a request that has only an ID, and resumes that upload.
func (h *Handler) resumeNamed(c *route.Call) (*multipart.Upload, error) {
	id, err := wire.DecodeID(c)
	if err != nil {
		return nil, err
	}
	return h.resume(c, id)
}

// signParts serves POST /parts/sign.
func (h *Handler) signParts(c *route.Call) (int, any, error) {
	id, parts, err := wire.DecodeSign(c)
	if err != nil {
		return 0, nil, err
	}
	m, err := h.resume(c, id)
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), completion.StoreTime)
	defer cancel()
	urls, expires, err := m.Sign(ctx, parts)
	return http.StatusOK, wire.NewSignedParts(urls, expires), err
}

// listParts serves POST /parts/list.
func (h *Handler) listParts(c *route.Call) (int, any, error) {
	m, err := h.resumeNamed(c)
	if err != nil {
		return 0, nil, err
	}
	stored, err := m.List(c.Request.Context())
	return http.StatusOK, wire.NewListedParts(stored), err
}

// abort serves POST /abort.
func (h *Handler) abort(c *route.Call) (int, any, error) {
	m, err := h.resumeNamed(c)
	if err != nil {
		return 0, nil, err
	}
	c.Kind = "aborted"
	// Clients that cancel an upload often disconnect at once.
	return http.StatusOK, struct{}{}, m.Abort(context.WithoutCancel(c.Request.Context()))
}

// complete serves POST /complete.
func (h *Handler) complete(c *route.Call) (int, any, error) {
	q, err := wire.DecodeComplete(c)
	if err != nil {
		return 0, nil, err
	}
	// A longer key cannot have a grant, and would fill logs.
	if len(q.Key) > s3limit.KeySize {
		return 0, nil, fmt.Errorf("%w: the key must have at most %d bytes, got %d",
			ErrNotUploaded, s3limit.KeySize, len(q.Key))
	}
	var m *multipart.Upload
	if c.Key = q.Key; q.ID != "" {
		if m, err = h.resume(c, q.ID); err != nil {
			return 0, nil, err
		}
	}
	ctx, cancel := limitWait(c.Request.Context())
	defer cancel()
	c.Observed = true
	var result *completion.Result
	if m != nil {
		result, err = m.Complete(ctx, q.Parts)
	} else {
		result, err = h.signer.completions.Complete(ctx, q.Key, ownedBy(c.Owner))
	}
	if err != nil {
		return 0, nil, err
	}
	c.After = result.Clean
	return http.StatusOK, publicObject(result.Object), nil
}

// limitWait returns a context for a completion. If the completion takes longer
// than waitTime, the caller receives ErrPending and the completion continues,
// because clients and proxies do not wait much longer.
func limitWait(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, waitTime, completion.ErrEarly)
}

// completeParts completes a multipart upload for Uppy. Uppy must not receive
// ErrPending once the store has the object, because Uppy cannot repeat the
// request.
func (h *Handler) completeParts(
	c *route.Call, m *multipart.Upload, parts []multipart.Part,
) (*companion.Completed, error) {
	ctx, cancel := limitWait(c.Request.Context())
	defer cancel()
	c.Observed = true
	result, err := m.Complete(ctx, parts)
	if early, ok := errors.AsType[*completion.EarlyError](err); ok && early.Joined {
		return &companion.Completed{Location: h.signer.completions.FinalKey(m.Key)}, nil
	} else if err != nil {
		return nil, err
	}
	c.After = result.Clean
	object := publicObject(result.Object)
	return &companion.Completed{Location: object.Key, Object: object, Reply: object.Reply}, nil
}

// A Problem is an error response. It marshals to application/problem+json with
// the members type, title, status, detail, errors, retry_after (seconds) and
// message. Upload clients show the message to their users.
//
// Functions that the Handler calls can return a *Problem, also wrapped, to
// decide the response. A service with its own transport gets the Problem of any
// error of this package from [ProblemOf].
//
// See https://www.rfc-editor.org/rfc/rfc9457.
type Problem struct {
	Type   string      // a URI reference; "about:blank" if empty
	Title  string      // the status text if empty
	Status int         // an HTTP status from 400 to 599
	Detail string      // the text for the client about this occurrence
	Errors []Violation // the faults; the first is the message if Detail is empty

	// RetryAfter is the time after which the client should try again. It
	// becomes the header Retry-After and the member retry_after, in seconds,
	// rounded up.
	RetryAfter time.Duration

	_ struct{}
}

// Error returns the status and the message.
func (p *Problem) Error() string {
	return "presign: " + strconv.Itoa(p.Status) + " " + p.message()
}

func (p *Problem) title() string {
	if p.Title != "" {
		return p.Title
	}
	return http.StatusText(p.Status)
}

func (p *Problem) message() string {
	switch {
	case p.Detail != "":
		return p.Detail
	case len(p.Errors) > 0:
		return p.Errors[0].Field + " " + p.Errors[0].Detail
	}
	return p.title()
}

func (p *Problem) retrySeconds() int64 {
	return int64((p.RetryAfter + time.Second - 1) / time.Second)
}

// MarshalJSON returns the wire form.
func (p Problem) MarshalJSON() ([]byte, error) {
	problemType := p.Type
	if problemType == "" {
		problemType = "about:blank"
	}
	return httpbody.Marshal(struct {
		Type       string      `json:"type"`
		Title      string      `json:"title"`
		Status     int         `json:"status"`
		Detail     string      `json:"detail,omitempty"`
		Errors     []Violation `json:"errors,omitempty"`
		Message    string      `json:"message"`
		RetryAfter int64       `json:"retry_after,omitempty"`
	}{problemType, p.title(), p.Status, p.Detail, p.Errors, p.message(), p.retrySeconds()})
}

// ServeHTTP writes the problem as the response to any request, with its status,
// Content-Type, Cache-Control: no-store and Retry-After.
func (p *Problem) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	writeProblem(w, p)
}

// ProblemOf returns the HTTP response for an error of this package, or nil for
// nil:
//
//	a *Problem in the error's chain       that Problem
//	violations, also in a RejectedError   422 with Errors
//	ErrNotUploaded, ErrInvalidID          404
//	ErrPending                            409 with RetryAfter, code "pending"
//	ErrChanged, ErrLost                   409
//	ErrExpired                            410
//	a failure of the store                502 with RetryAfter
//	ErrCredentialsExpiring, and other
//	  errors of the credentials           503 with RetryAfter
//	context.Canceled, or too many
//	  completions in the background       503 with RetryAfter
//	context.DeadlineExceeded              504 with RetryAfter
//	any other error                       500
//
// The Problem never contains the text of an error that is not meant for
// clients.
func ProblemOf(err error) *Problem {
	if err == nil {
		return nil
	}
	if problems := rules.Find[Problem](err); len(problems) > 0 {
		if p := problems[0]; p.Status >= 400 && p.Status <= 599 {
			return p
		}
		return &Problem{Status: http.StatusInternalServerError}
	}
	status := func(status int) *Problem { return &Problem{Status: status} }
	later := func(status int) *Problem { return &Problem{Status: status, RetryAfter: retryAfter} }
	body, isBody := errors.AsType[*httpbody.Error](err)
	switch {
	case isServiceError(err):
		return status(http.StatusInternalServerError)
	case isBody:
		return bodyProblem(body)
	case isViolations(err):
		return &Problem{Status: http.StatusUnprocessableEntity, Errors: Violations(err)}
	case errors.Is(err, ErrPending):
		return &Problem{Status: http.StatusConflict, RetryAfter: pendingRetry, Detail: "The completion is still running. Try again later.",
			Errors: []Violation{{
				Field: "key", Code: rules.CodePending,
				Detail: "must be completed first; the completion is still running",
			}}}
	case errors.Is(err, ErrNotUploaded):
		return &Problem{Status: http.StatusNotFound,
			Detail: "You have not uploaded a file under this key."}
	case errors.Is(err, ErrInvalidID):
		return &Problem{Status: http.StatusNotFound, Detail: "You have no upload with this ID."}
	case errors.Is(err, ErrLost):
		return &Problem{Status: http.StatusConflict,
			Detail: "The upload cannot be completed any more. Start again."}
	case errors.Is(err, ErrChanged):
		return &Problem{Status: http.StatusConflict,
			Detail: "The object changed during the completion. Try again."}
	case errors.Is(err, ErrExpired):
		return &Problem{Status: http.StatusGone, Detail: "It is too late to complete this upload."}
	case errors.Is(err, context.DeadlineExceeded):
		return later(http.StatusGatewayTimeout)
	case errors.Is(err, context.Canceled), errors.Is(err, completion.ErrBusy),
		errors.Is(err, ErrCredentialsExpiring),
		errors.Is(err, credential.ErrRetrieve):
		return later(http.StatusServiceUnavailable)
	case errors.Is(err, completion.ErrStore):
		return later(http.StatusBadGateway)
	}
	return status(http.StatusInternalServerError)
}

// bodyProblem returns the Problem for a request that could not be read.
func bodyProblem(e *httpbody.Error) *Problem {
	p := &Problem{Status: e.Status, Detail: e.Detail}
	for _, v := range e.Faults {
		p.Errors = append(p.Errors, Violation(*v))
	}
	return p
}

// newServiceError returns the error of a function that was called for r. If the
// client has disconnected, it also wraps context.Canceled, because drivers
// often hide that cause.
func newServiceError(r *http.Request, err error) error {
	if r.Context().Err() != nil {
		err = fmt.Errorf("%w: %w", context.Canceled, err)
	}
	return &serviceError{err}
}

// fail writes and logs the response for an error.
func (h *Handler) fail(w http.ResponseWriter, c *route.Call, err error) {
	writeProblem(w, h.problem(c, err))
}

// problem returns and logs the Problem for an error.
func (h *Handler) problem(c *route.Call, err error) *Problem {
	if c.Upload != nil {
		// Only the service sets key and redirect, and it can add metadata.
		err = serviceFault(err, func(v *rules.Violation) bool {
			return v.Field != "key" && v.Field != "redirect" &&
				(v.Field != "metadata" || !c.MetadataAdded)
		})
	}
	err = publicError(err)
	p := ProblemOf(err)
	h.log(c, p, err)
	h.observe(c, "", p, err)
	return p
}

// observe reports a call as kind. If kind is empty, the error decides the kind.
func (h *Handler) observe(c *route.Call, kind string, p *Problem, err error) {
	if h.signer.hooks.observer == nil || c.Observed {
		return
	}
	e := Event{
		Kind: kind, GrantID: c.GrantID, Owner: c.Owner, Key: c.Key, Method: c.Method, Err: err,
		Duration: time.Since(c.Started),
	}
	if u := c.Upload; u != nil {
		e.Method, e.Type, e.Size = u.Method, u.Type, u.Size
	}
	rejected, isRejected := asRejected(err)
	switch {
	case kind != "":
	case isRejected:
		e.Kind, e.Object = "rejected", rejected.Object
	case c.Upload != nil: // A quota must release its reservation after any failure.
		e.Kind = "not_granted"
	case p.Status >= 500:
		e.Kind = "failed"
	case c.Owner == "" || blamesRequest(p.Status):
		e.Kind = "denied"
	default:
		e.Kind = "failed"
	}
	h.signer.hooks.observe(c.Request.Context(), e)
}

// blamesRequest reports whether a status is about the request itself, and not
// about the upload that the request names.
func blamesRequest(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusForbidden:
		return true
	case http.StatusUnprocessableEntity:
		return false
	}
	return status > http.StatusGone
}

// log writes the record of a request that was not served.
func (h *Handler) log(c *route.Call, p *Problem, err error) {
	if rejected, ok := asRejected(err); ok {
		c.GrantID = rejected.Object.GrantID
	}
	level := slog.LevelInfo
	if p.Status >= 500 && (c.Request.Context().Err() == nil || !errors.Is(err, context.Canceled)) {
		level = slog.LevelError
	}
	attrs := []slog.Attr{slog.Int("status", p.Status)}
	for _, a := range []struct{ name, value string }{
		{"owner", c.Owner}, {"key", c.Key}, {"grant_id", c.GrantID},
	} {
		if a.value != "" {
			attrs = append(attrs, slog.String(a.name, a.value))
		}
	}
	if len(p.Errors) > 0 {
		attrs = append(attrs, slog.String("field", p.Errors[0].Field))
	}
	attrs = append(attrs, slog.Any("error", err))
	h.signer.hooks.logger.LogAttrs(
		c.Request.Context(), level, "presign: request not served", attrs...)
}

func writeProblem(w http.ResponseWriter, p *Problem) {
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(p.retrySeconds(), 10))
	}
	status := p.Status
	if status < 400 || status > 599 {
		status = http.StatusInternalServerError
	}
	body, err := httpbody.Marshal(p)
	if err != nil { // The Problems of this package never fail to marshal.
		body = []byte(`{"status":500}`)
	}
	httpbody.Write(w, status, "application/problem+json", body)
}
