package companion

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/s3presign/presign/internal/completion"
	"github.com/s3presign/presign/internal/grant"
	"github.com/s3presign/presign/internal/httpbody"
	"github.com/s3presign/presign/internal/multipart"
	"github.com/s3presign/presign/internal/route"
	"github.com/s3presign/presign/internal/rules"
	"github.com/s3presign/presign/internal/sigv4"
	"github.com/s3presign/presign/internal/strict"
)

// A Server serves the requests that Uppy sends to Companion. It has no route
// for /s3/sts, which would return credentials.
//
// Unlike Companion's responses, no response has the member "expires". Uppy 5
// cancels a request that has not finished by that time, although S3 accepts the
// request.
//
// See https://uppy.io/docs/aws-s3/.
type Server struct {
	Rules      *rules.Rules
	Grants     *grant.Signer
	Multiparts *multipart.Engine

	// Accept validates an upload and asks the service to approve it. If invalid
	// is not nil, Accept rejects the upload and returns all reasons. The result
	// has no redirect, which Uppy rejects.
	Accept func(c *route.Call, u rules.Upload, invalid error) (rules.Valid, error)

	// Complete completes a multipart upload and returns the key of the object
	// as Location. It returns no Object if the completion continues in the
	// background after the store has joined the parts.
	Complete func(c *route.Call, m *multipart.Upload, parts []multipart.Part) (*Completed, error)

	// Protection has the origins, besides the Handler's own, whose pages may
	// send GET requests with a visitor's cookies.
	Protection *http.CrossOriginProtection
}

// A Completed is the response to a completion. Uppy reads Location and Key.
type Completed struct {
	Location string `json:"location"`

	// Key is the key of the upload, which POST /complete accepts.
	Key string `json:"key"`

	Object any `json:"object,omitempty"`
	Reply  any `json:"reply,omitempty"`
}

// Routes returns the routes of a path below /s3/, by its segments, or nil.
func (s *Server) Routes(path []string) []route.Route {
	switch {
	case len(path) == 1 && path[0] == "params":
		return []route.Route{{Method: http.MethodGet, MaxBody: httpbody.MaxSize, Serve: s.protect(s.signForm)}}
	case len(path) == 0 || path[0] != "multipart":
		return nil
	case len(path) == 1:
		return []route.Route{{Method: http.MethodPost, MaxBody: httpbody.MaxSize, Serve: s.start}}
	case len(path) == 2:
		return []route.Route{
			s.route(http.MethodDelete, path[1], abort),
			s.route(http.MethodGet, path[1], listParts),
		}
	case len(path) != 3:
		return nil
	case path[2] == "batch":
		return []route.Route{s.route(http.MethodGet, path[1], signBatch)}
	case path[2] == "complete":
		complete := s.route(http.MethodPost, path[1], s.complete)
		complete.MaxBody = httpbody.MaxListSize
		return []route.Route{complete}
	}
	if number, ok := PartNumber(path[2]); ok {
		sign := func(m *multipart.Upload, c *route.Call) (any, error) {
			return signNumber(m, c, number)
		}
		return []route.Route{s.route(http.MethodGet, path[1], sign)}
	}
	return nil
}

// signForm serves GET params. It returns a form for a file that is uploaded in
// one request.
func (s *Server) signForm(c *route.Call) (int, any, error) {
	var q request
	err := httpbody.DecodeQuery(c.Request, q.members(&q.metadata), strict.IgnoreUnknown)
	if err != nil {
		return 0, nil, err
	}
	valid, err := s.accept(c, &q, rules.POST)
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), completion.StoreTime)
	defer cancel()
	signed, err := s.Grants.Sign(ctx, &valid)
	if err != nil {
		return 0, nil, err
	}
	c.Key, c.Kind = signed.Key, "granted"
	fields := make(map[string]string, len(signed.Fields))
	for _, f := range signed.Fields {
		fields[f.Name] = f.Value
	}
	return http.StatusOK, map[string]any{
		"method": signed.Method, "url": signed.URL, "fields": fields,
	}, nil
}

// start serves POST multipart.
func (s *Server) start(c *route.Call) (int, any, error) {
	var q request
	var metadata json.RawMessage
	err := c.Body.Decode(c.Request, q.members(&metadata), strict.IgnoreUnknown)
	if err != nil {
		return 0, nil, err
	}
	if q.metadata, err = Metadata(metadata); err != nil {
		return 0, nil, malformed("metadata", err)
	}
	// The protocol has no checksum of a part.
	if v := s.Multiparts.CheckBareParts(); v != nil {
		return 0, nil, v
	}
	valid, err := s.accept(c, &q, rules.Multipart)
	if err != nil {
		return 0, nil, err
	}
	m, err := s.Multiparts.Start(c.Request.Context(), valid, q.partSize)
	if err != nil {
		return 0, nil, err
	}
	c.Key, c.Kind = m.Key, "started"
	return http.StatusOK, map[string]any{
		"uploadId": m.ID, "key": m.Key, "partSize": m.PartSize,
	}, nil
}

// A request holds the values that Uppy sends about a file.
type request struct {
	filename, mediaType string
	metadata            map[string]string
	partSize            int64
}

// members returns the targets of the members of a request. The metadata of a
// query and of a body have different forms.
func (q *request) members(metadata any) []strict.Member {
	return []strict.Member{
		{Name: "filename", Value: &q.filename}, {Name: "type", Value: &q.mediaType},
		{Name: "metadata", Value: metadata},
	}
}

// accept returns the upload that Uppy asks for. The protocol has no size and no
// checksum; an app can put them into the file's metadata.
func (s *Server) accept(c *route.Call, q *request, method string) (rules.Valid, error) {
	u := rules.Upload{Filename: q.filename, Type: q.mediaType, Owner: c.Owner, Method: method}
	var violations []error
	for _, size := range []struct {
		name   string
		target *int64
	}{{"size", &u.Size}, {"partSize", &q.partSize}} {
		n, err := strconv.ParseInt(q.metadata[size.name], 10, 64)
		switch {
		case err != nil: // The metadata has no number under this name.
		case n <= 0:
			violations = append(violations, rules.SizeViolation(size.name, n))
		default:
			*size.target = n
		}
	}
	if s.Rules.Checksum != "" {
		u.Checksum = q.metadata["checksum"]
	}
	for name, value := range q.metadata {
		if value != "" && slices.Contains(s.Rules.Metadata, strings.ToLower(name)) {
			if u.Metadata == nil {
				u.Metadata = make(map[string]string)
			}
			u.Metadata[name] = value
		}
	}
	return s.Accept(c, u, errors.Join(violations...))
}

// route returns a route that calls do with a multipart upload of the request's
// owner. Every request has the key and the ID of the upload, which must belong
// together.
func (s *Server) route(
	method, id string, do func(*multipart.Upload, *route.Call) (any, error),
) route.Route {
	serve := func(c *route.Call) (int, any, error) {
		m, err := s.Multiparts.Resume(c.Owner, id)
		if m != nil {
			c.Key, c.GrantID, c.Method = m.Key, m.GrantID, rules.Multipart
			if !slices.Equal(c.Request.URL.Query()["key"], []string{m.Key}) {
				err = multipart.ErrInvalidID
			}
		}
		if err != nil {
			return 0, nil, err
		}
		response, err := do(m, c)
		return http.StatusOK, response, err
	}
	if method == http.MethodGet {
		serve = s.protect(serve)
	}
	return route.Route{Method: method, MaxBody: httpbody.MaxSize, Serve: serve}
}

// listParts serves GET multipart/{id}.
func listParts(m *multipart.Upload, c *route.Call) (any, error) {
	stored, err := m.List(c.Request.Context())
	type part struct {
		PartNumber int
		Size       int64
		ETag       string
	}
	list := make([]part, len(stored))
	for i, p := range stored {
		list[i] = part{p.Number, p.Size, p.ETag}
	}
	return list, err
}

// signNumber serves GET multipart/{id}/{number}.
func signNumber(m *multipart.Upload, c *route.Call, number int) (any, error) {
	urls, err := signNumbers(m, c, []int{number})
	if err != nil {
		return nil, err
	}
	return map[string]string{"url": urls[strconv.Itoa(number)]}, nil
}

// signBatch serves GET multipart/{id}/batch.
func signBatch(m *multipart.Upload, c *route.Call) (any, error) {
	numbers, err := PartNumbers(c.Request.URL.Query().Get("partNumbers"))
	if err != nil {
		return nil, malformed("partNumbers", err)
	}
	urls, err := signNumbers(m, c, numbers)
	return map[string]any{"presignedUrls": urls}, err
}

func signNumbers(m *multipart.Upload, c *route.Call, numbers []int) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), completion.StoreTime)
	defer cancel()
	parts := make([]multipart.Part, len(numbers))
	for i, number := range numbers {
		parts[i].Number = number
	}
	signed, _, err := m.Sign(ctx, parts)
	urls := make(map[string]string, len(signed))
	for i, url := range signed {
		urls[strconv.Itoa(numbers[i])] = url
	}
	return urls, err
}

// complete serves POST multipart/{id}/complete.
func (s *Server) complete(m *multipart.Upload, c *route.Call) (any, error) {
	var named Parts
	err := c.Body.Decode(c.Request, []strict.Member{named.Member()}, strict.IgnoreUnknown)
	if err != nil {
		return nil, err
	}
	parts, err := named.Sorted()
	if err != nil {
		return nil, malformed("parts", err)
	}
	completed, err := s.Complete(c, m, parts)
	if err != nil {
		return nil, err
	}
	endpoint := &s.Grants.Endpoint
	location := sigv4.AppendPath([]byte(endpoint.Scheme+"://"+endpoint.Host+endpoint.Base),
		completed.Location)
	completed.Location, completed.Key = string(location), m.Key
	return completed, nil
}

// abort serves DELETE multipart/{id}.
func abort(m *multipart.Upload, c *route.Call) (any, error) {
	c.Kind = "aborted"
	// Clients that cancel an upload often disconnect at once.
	return struct{}{}, m.Abort(context.WithoutCancel(c.Request.Context()))
}

func malformed(field string, err error) error {
	return httpbody.Malformed(&strict.Error{Field: field, Detail: err.Error()})
}
