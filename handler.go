package presign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/s3presign/presign/internal/stamp"
	"github.com/s3presign/presign/internal/strict"
)

const (
	sizeMissing  = "is %d bytes; at least 1 is required (leave it out if it is unknown)"
	maxBody      = 64 << 10         // bytes of a request
	maxPartsBody = 1 << 20          // bytes of one that lists the parts of an upload
	backendTime  = 10 * time.Second // for one answer of the credentials or the store
	completeTime = 5 * time.Minute  // for a completion, which may copy gigabytes
	hookTime     = 30 * time.Second
	retryAfter   = 30 * time.Second // when the credentials or the store fail
)

// Handler is a Signer's HTTP API. Its routes are relative to where it is mounted:
//
//	mux.Handle("/uploads/", http.StripPrefix("/uploads", handler))
//
// POST / grants an upload. The request is JSON or urlencoded, with the members filename, type, size, min_size, max_size,
// expires_in (seconds), checksum, metadata (an object; metadata[name] if urlencoded) and method ("PUT" or "POST"), of
// which only filename is required. The answer is a [Grant] with status 201: a PUT if the size is known, else a form, or
// what method asks for. A service that mounts it says in its own way who may come from where (CORS), how often, and how
// slowly; urlencoded requests are taken from the same origin only ([http.CrossOriginProtection]).
//
// POST /complete verifies an upload, publishes it and calls the hooks. The request is JSON, {"key": …}; the answer is the
// [Object]. It is for the owner of the grant alone: for others there is nothing.
//
// The routes under /s3/ speak the protocol of Companion, so that Uppy's AwsS3 plugin uploads with the mount as its
// endpoint: small files by form, large ones in parts. The uploadId that Uppy gets is [Multipart.ID], and is for its
// owner alone. Of the file's metadata the names that the Policy lists are kept and others dropped. An app that adds
// size (and partSize, if it sets Uppy's getChunkSize) has each part signed for its exact length, and one that adds
// checksum satisfies Policy.Checksum. When Uppy has uploaded a file, the app says so: POST /complete with the key that
// Uppy reports. An upload in parts was completed before, and its hooks were called; this answers, and calls them, once
// more.
//
// Every error is a [Problem]. Handler never redirects. It is immutable and safe for concurrent use.
type Handler struct {
	signer       *Signer
	authenticate func(*http.Request) (owner string, err error)
	authorize    func(*http.Request, *Upload) error
	onComplete   []func(context.Context, *Object) error
	logger       *slog.Logger
	crossOrigin  http.CrossOriginProtection
}

// NewHandler returns the HTTP API of signer. Authenticate is called for every request, before anything of it is looked
// at but its method and path, and tells who asks: any string of 1 to 128 bytes, which WithAuthorize then sees as
// Upload.Owner. A *Problem that it returns is answered as it is; any other error, and an empty owner, is logged and
// answered with 401, without its text.
//
// It reports all faults at once, joined.
func NewHandler(signer *Signer, authenticate func(*http.Request) (owner string, err error), opts ...HandlerOption) (*Handler, error) {
	var faults []error
	if signer == nil {
		faults = append(faults, errors.New("presign: the handler has no signer"))
	}
	if authenticate == nil {
		faults = append(faults, errors.New("presign: the handler has no authentication; anyone could upload"))
	}
	o := handlerOptions{logger: slog.Default()}
	for i, opt := range opts {
		if opt == nil {
			faults = append(faults, fmt.Errorf("presign: option %d is nil", i+1))
		} else if err := opt(&o); err != nil {
			faults = append(faults, fmt.Errorf("presign: %w", err))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	if signer.fleeting {
		o.logger.Warn("presign: without WithSecret, uploads that are under way cannot be completed after a restart, nor by another replica")
	}
	return &Handler{
		signer: signer, authenticate: authenticate, authorize: o.authorize, onComplete: o.onComplete, logger: o.logger,
	}, nil
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	route := h.route(strings.FieldsFunc(r.URL.Path, func(c rune) bool { return c == '/' }))
	i := slices.IndexFunc(route, func(o operation) bool { return o.method == r.Method })
	switch {
	// What looks at paths before, a mux or a proxy, takes an encoded slash for a part of a name.
	case route == nil, strings.Contains(strings.ToUpper(r.URL.RawPath), "%2F"):
		h.fail(w, r, &Problem{Status: http.StatusNotFound, Detail: "There is nothing at this path. (The handler sees what http.StripPrefix leaves of it.)"})
		return
	case i < 0:
		methods := make([]string, len(route))
		for i, o := range route {
			methods[i] = o.method
		}
		w.Header().Set("Allow", strings.Join(methods, ", "))
		h.fail(w, r, &Problem{Status: http.StatusMethodNotAllowed})
		return
	}

	operation := route[i]
	body := newBody(w, r, operation.maxBody)
	owner, err := h.authenticate(r)
	switch {
	case err != nil:
		h.fail(w, r, &refusal{http.StatusUnauthorized, err})
		return
	case owner == "":
		h.fail(w, r, &refusal{http.StatusUnauthorized, errors.New("presign: authenticate named no owner")})
		return
	case len(owner) > maxOwnerSize:
		h.fail(w, r, fmt.Errorf("presign: authenticate named an owner of %d bytes; at most %d are taken", len(owner), maxOwnerSize))
		return
	}
	status, answer, err := operation.serve(r, body, owner)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	h.write(w, r, status, "application/json", answer)
}

// operation is what one path does for one method.
type operation struct {
	method  string
	maxBody int64 // bytes
	serve   func(r *http.Request, body *body, owner string) (status int, answer any, err error)
}

// route returns the operations of a path, by its segments, or nil.
func (h *Handler) route(path []string) []operation {
	switch {
	case len(path) == 0:
		return []operation{{http.MethodPost, maxBody, h.grant}}
	case len(path) == 1 && path[0] == "complete":
		return []operation{{http.MethodPost, maxBody, h.complete}}
	case path[0] == "s3":
		return h.companionRoute(path[1:])
	}
	return nil
}

// grant is POST /.
func (h *Handler) grant(r *http.Request, body *body, owner string) (int, any, error) {
	request := new(grantRequest)
	if err := h.decode(r, body, request.members(), true); err != nil {
		return 0, nil, err
	}
	u, method, err := request.upload()
	u.Owner = owner
	if u, err = h.admitted(r, u, err, maxRequestSize); err != nil {
		return 0, nil, err
	}

	ctx := patient(r.Context())
	defer ctx.end()
	sign := h.signer.post
	switch {
	case method == http.MethodPut || method == "" && u.Size != 0:
		sign = h.signer.put
	case method == "" && h.signer.rules.formless != "":
		return 0, nil, &Violation{Field: "size", Detail: "is required, since there are PUTs alone: " + h.signer.rules.formless}
	}
	signed, err := sign(ctx, u, nil)
	return http.StatusCreated, signed, ownFault(err)
}

// admitted returns an upload as the Policy and WithAuthorize admit it, in one request that takes at most limit bytes.
func (h *Handler) admitted(r *http.Request, u Upload, fault error, limit int64) (Upload, error) {
	u, err := h.signer.rules.admit(u, h.signer.rules.Metadata)
	if err := errors.Join(fault, err); err != nil {
		return u, err
	}
	u.MaxSize = max(u.MinSize, min(u.MaxSize, limit))
	if h.authorize == nil {
		return u, nil
	}
	return h.authorized(r, u)
}

// ownFault returns err, unless it is a fault of what only the service can set.
func ownFault(err error) error {
	for _, v := range collect[Violation](err) {
		if v.Field == "key" || v.Field == "redirect" {
			return fmt.Errorf("presign: WithAuthorize made of an upload what cannot be granted: %s %s", v.Field, v.Detail)
		}
	}
	return err
}

// authorized returns the upload as WithAuthorize wants it.
func (h *Handler) authorized(r *http.Request, u Upload) (Upload, error) {
	asked := u
	if u.Metadata == nil {
		u.Metadata = make(map[string]string)
	}
	if err := h.authorize(r, &u); err != nil {
		return u, &refusal{http.StatusForbidden, err}
	}
	u.Owner = asked.Owner
	// Zero leaves a bound to the Policy, or a size unknown; code that computes what is left of a quota means none.
	switch {
	case u.MaxSize == 0 || u.Size == 0 && asked.Size != 0:
		return u, &Violation{Field: "size", Detail: "is more than what is left to upload"}
	case u.Lifetime == 0:
		return u, &Violation{Field: "expires_in", Detail: "is more than the time that is left to upload"}
	}
	u, err := h.signer.rules.admit(u, nil)
	return u, ownFault(err)
}

// complete is POST /complete.
func (h *Handler) complete(r *http.Request, body *body, owner string) (int, any, error) {
	var key string
	if err := h.decode(r, body, []strict.Member{{Name: "key", Value: &key}}, false); err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), completeTime)
	defer cancel()
	mine := func(granted *stamp.Stamp) bool { return granted.Owner == owner }
	object, err := h.signer.complete(ctx, key, mine, h.runHooks)
	return http.StatusOK, object, err
}

// runHooks gives each hook its time, whether the client waits or not.
func (h *Handler) runHooks(ctx context.Context, object *Object) error {
	for _, hook := range h.onComplete {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hookTime)
		o := *object
		o.Metadata = maps.Clone(object.Metadata)
		err := hook(ctx, &o)
		cancel()
		if err != nil {
			return &refusal{http.StatusInternalServerError, err}
		}
	}
	return nil
}

// grantRequest is what a client may say of an upload. It has no key, owner or redirect.
type grantRequest struct {
	filename, mediaType, checksum, method string
	size, minSize, maxSize, expiresIn     *int64
	metadata                              map[string]string
}

// members names where each member of a request goes.
func (q *grantRequest) members() []strict.Member {
	return []strict.Member{
		{Name: "filename", Value: &q.filename}, {Name: "type", Value: &q.mediaType},
		{Name: "size", Value: &q.size}, {Name: "min_size", Value: &q.minSize}, {Name: "max_size", Value: &q.maxSize},
		{Name: "expires_in", Value: &q.expiresIn}, {Name: "checksum", Value: &q.checksum},
		{Name: "metadata", Value: &q.metadata}, {Name: "method", Value: &q.method},
	}
}

// body is what a request carries. It stays whole although authenticate reads it, for a token or for a signature, and closes
// it.
type body struct {
	arriving io.Reader
	read     bytes.Buffer
	form     url.Values // what came before has parsed of it
}

// newBody puts itself in the place of r's body.
func newBody(w http.ResponseWriter, r *http.Request, limit int64) *body {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	b := &body{arriving: http.MaxBytesReader(w, r.Body, limit), form: r.PostForm}
	r.Body = b
	return b
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.arriving.Read(p)
	b.read.Write(p[:n])
	return n, err
}

// Close leaves that to net/http.
func (b *body) Close() error { return nil }

func (b *body) bytes() ([]byte, error) {
	_, err := io.Copy(io.Discard, b)
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, &Problem{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("The body has more than %d bytes.", tooLarge.Limit)}
	} else if err != nil {
		return nil, &Problem{Status: http.StatusBadRequest, Detail: "The body did not arrive whole."}
	}
	return b.read.Bytes(), nil
}

// decode reads a body into members.
func (h *Handler) decode(r *http.Request, b *body, members []strict.Member, takesForms bool) error {
	var err error
	mediaType := r.Header.Get("Content-Type")
	if mediaType != "application/json" { // as nearly all say
		mediaType, _, err = mime.ParseMediaType(mediaType)
	}
	urlencoded := takesForms && mediaType == "application/x-www-form-urlencoded"
	if err != nil || !urlencoded && mediaType != "application/json" {
		detail := "The body is taken as application/json."
		if takesForms {
			detail = "The body is taken as application/json or application/x-www-form-urlencoded."
		}
		return &Problem{Status: http.StatusUnsupportedMediaType, Detail: detail}
	}
	if urlencoded {
		if err := h.crossOrigin.Check(r); err != nil {
			return &refusal{http.StatusForbidden, err}
		}
	}
	text, err := b.bytes()
	if err != nil {
		return err
	}
	if urlencoded && bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) { // curl -d says that it is, whatever it sends
		return &Problem{Status: http.StatusUnsupportedMediaType, Detail: "The body looks like JSON; send it with Content-Type: application/json."}
	}
	if !urlencoded {
		err = strict.Object(text, members)
	} else if form, parseErr := url.ParseQuery(string(text)); parseErr != nil {
		err = &strict.Error{Detail: "the body is not urlencoded"}
	} else {
		if len(form) == 0 {
			form = b.form // a service that looks for its token there, before the handler, leaves nothing else
		}
		err = strict.Form(form, members)
	}
	if err != nil {
		return malformed(err)
	}
	return nil
}

// upload returns what the client asks for, and the method. An explicit zero is not the same as nothing said: it would
// pass for unknown.
func (q *grantRequest) upload() (Upload, string, error) {
	var violations []error
	violate := func(field, format string, args ...any) {
		violations = append(violations, violation(field, format, args...))
	}
	size := func(field string, n *int64) int64 {
		switch {
		case n == nil:
			return 0
		case *n <= 0:
			violate(field, sizeMissing, *n)
			return 0
		}
		return *n
	}
	u := Upload{
		Filename: q.filename, Type: q.mediaType, Checksum: q.checksum, Metadata: q.metadata,
		Size: size("size", q.size), MinSize: size("min_size", q.minSize), MaxSize: size("max_size", q.maxSize),
	}
	if seconds := q.expiresIn; seconds != nil {
		if *seconds < 1 || *seconds > int64(maxLifetime/time.Second) {
			violate("expires_in", "is %d seconds; it is between 1 and %d", *seconds, int64(maxLifetime/time.Second))
		} else {
			u.Lifetime = time.Duration(*seconds) * time.Second
		}
	}
	switch q.method {
	case "", http.MethodPut, http.MethodPost:
	default:
		violate("method", "is \"%s\"; it is \"PUT\" or \"POST\"", excerpt(q.method))
	}
	return u, q.method, errors.Join(violations...)
}

// malformed is the answer to a body that could not be read.
func malformed(err error) *Problem {
	p := &Problem{Status: http.StatusBadRequest}
	for _, e := range collect[strict.Error](err) {
		if e.Field == "" {
			p.Detail = "The request was not understood: " + e.Detail + "."
		} else {
			p.Errors = append(p.Errors, Violation{Field: e.Field, Detail: e.Detail})
		}
	}
	return p
}
