package presign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/s3presign/presign/internal/companion"
	"github.com/s3presign/presign/internal/sigv4"
	"github.com/s3presign/presign/internal/strict"
)

// companionRoute returns a route of the protocol that Uppy speaks with Companion. There is no /s3/sts: it hands out
// credentials.
//
// No answer has a member "expires", which Companion's have: Uppy 5 ends a request that is not done by then, and S3 does
// not.
//
// See https://uppy.io/docs/aws-s3/.
func (h *Handler) companionRoute(path []string) []operation {
	switch {
	case len(path) == 1 && path[0] == "params":
		return []operation{{http.MethodGet, maxBody, h.params}}
	case len(path) == 0 || path[0] != "multipart":
		return nil
	case len(path) == 1:
		return []operation{{http.MethodPost, maxBody, h.startMultipart}}
	case len(path) == 2:
		return []operation{
			h.onMultipart(http.MethodDelete, path[1], abortMultipart),
			h.onMultipart(http.MethodGet, path[1], listParts),
		}
	case len(path) != 3:
		return nil
	case path[2] == "batch":
		return []operation{h.onMultipart(http.MethodGet, path[1], signBatch)}
	case path[2] == "complete":
		completing := h.onMultipart(http.MethodPost, path[1], h.completeMultipart)
		completing.maxBody = maxPartsBody
		return []operation{completing}
	}
	if number, ok := companion.PartNumber(path[2]); ok {
		return []operation{h.onMultipart(http.MethodGet, path[1], func(m *Multipart, r *http.Request, _ *body) (any, error) {
			return signNumber(m, r, number)
		})}
	}
	return nil
}

// params is GET /s3/params, a form for a file that is uploaded in one request.
func (h *Handler) params(r *http.Request, _ *body, owner string) (int, any, error) {
	if err := fetched(r); err != nil {
		return 0, nil, err
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return 0, nil, malformed(&strict.Error{Detail: "the query is not urlencoded"})
	}
	var q companionRequest
	if err := strict.Form(query, q.members(&q.metadata)); err != nil {
		return 0, nil, malformed(err)
	}
	u, err := h.companionUpload(r, &q, owner, maxRequestSize)
	if err != nil {
		return 0, nil, err
	}
	ctx := patient(r.Context())
	defer ctx.end()
	signed, err := h.signer.post(ctx, u, nil)
	if err != nil {
		return 0, nil, ownFault(err)
	}
	grant := signed.grant()
	return http.StatusOK, map[string]any{"method": grant.Method, "url": grant.URL, "fields": grant.Fields}, nil
}

// startMultipart is POST /s3/multipart.
func (h *Handler) startMultipart(r *http.Request, body *body, owner string) (int, any, error) {
	var q companionRequest
	var metadata json.RawMessage
	err := h.decode(r, body, q.members(&metadata), false)
	if err != nil {
		return 0, nil, err
	}
	if q.metadata, err = companion.Metadata(metadata); err != nil {
		return 0, nil, malformed(&strict.Error{Field: "metadata", Detail: err.Error()})
	}
	u, err := h.companionUpload(r, &q, owner, maxObjectSize)
	if err != nil {
		return 0, nil, err
	}
	m, err := h.signer.startMultipart(r.Context(), u, nil, q.partSize)
	if err != nil {
		return 0, nil, ownFault(err)
	}
	return http.StatusOK, map[string]any{"uploadId": m.ID, "key": m.Key, "partSize": m.PartSize}, nil
}

// companionRequest is what Uppy says of a file.
type companionRequest struct {
	filename, mediaType string
	metadata            map[string]string
	partSize            int64
}

// members names where each member of a request goes; the metadata's form is not always the same.
func (q *companionRequest) members(metadata any) []strict.Member {
	return []strict.Member{{Name: "filename", Value: &q.filename}, {Name: "type", Value: &q.mediaType}, {Name: "metadata", Value: metadata}}
}

// companionUpload returns what Uppy asks for as it is admitted. The protocol has no size: an app can put that into the
// file's metadata, and a checksum.
func (h *Handler) companionUpload(r *http.Request, q *companionRequest, owner string, limit int64) (Upload, error) {
	u := Upload{Filename: q.filename, Type: q.mediaType, Owner: owner}
	var violations []error
	for _, size := range []struct {
		name string
		to   *int64
	}{{"size", &u.Size}, {"partSize", &q.partSize}} {
		n, err := strconv.ParseInt(q.metadata[size.name], 10, 64)
		switch {
		case err != nil: // it is about something else
		case n <= 0:
			violations = append(violations, violation(size.name, sizeMissing, n))
		default:
			*size.to = n
		}
	}
	if h.signer.rules.Checksum != "" {
		u.Checksum = q.metadata["checksum"]
	}
	for name, value := range q.metadata {
		if value != "" && slices.Contains(h.signer.rules.Metadata, strings.ToLower(name)) {
			if u.Metadata == nil {
				u.Metadata = make(map[string]string)
			}
			u.Metadata[name] = value
		}
	}
	u, err := h.admitted(r, u, errors.Join(violations...), limit)
	u.Redirect = "" // which is for a page without a script, and which Uppy refuses
	return u, err
}

// onMultipart has the owner of an upload do something to it. The key comes along in every request, and has to be the
// one that is sealed into the ID.
func (h *Handler) onMultipart(method, id string, do func(*Multipart, *http.Request, *body) (any, error)) operation {
	return operation{method, maxBody, func(r *http.Request, body *body, owner string) (int, any, error) {
		if r.Method == http.MethodGet {
			if err := fetched(r); err != nil {
				return 0, nil, err
			}
		}
		m, err := h.signer.openMultipart(id)
		if err != nil {
			return 0, nil, err
		}
		if m.granted.Owner != owner || !slices.Equal(r.URL.Query()["key"], []string{m.Key}) {
			return 0, nil, ErrInvalidID
		}
		if err := m.alive(); err != nil {
			return 0, nil, err
		}
		answer, err := do(m, r, body)
		return http.StatusOK, answer, err
	}}
}

// listParts is GET /s3/multipart/{id}.
func listParts(m *Multipart, r *http.Request, _ *body) (any, error) {
	arrived, err := m.ListParts(r.Context())
	type part struct {
		PartNumber int
		Size       int64
		ETag       string
	}
	list := make([]part, len(arrived))
	for i, p := range arrived {
		list[i] = part{p.Number, p.Size, p.ETag}
	}
	return list, err
}

// signNumber is GET /s3/multipart/{id}/{number}.
func signNumber(m *Multipart, r *http.Request, number int) (any, error) {
	urls, err := signNumbers(m, r, []int{number})
	if err != nil {
		return nil, err
	}
	return map[string]string{"url": urls[strconv.Itoa(number)]}, nil
}

// signBatch is GET /s3/multipart/{id}/batch.
func signBatch(m *Multipart, r *http.Request, _ *body) (any, error) {
	numbers, err := companion.PartNumbers(r.URL.Query().Get("partNumbers"))
	if err != nil {
		return nil, malformed(&strict.Error{Field: "partNumbers", Detail: err.Error()})
	}
	urls, err := signNumbers(m, r, numbers)
	return map[string]any{"presignedUrls": urls}, err
}

func signNumbers(m *Multipart, r *http.Request, numbers []int) (map[string]string, error) {
	ctx := patient(r.Context())
	defer ctx.end()
	wanted := make([]Part, len(numbers))
	for i, number := range numbers {
		wanted[i].Number = number
	}
	signed, _, err := m.sign(ctx, wanted)
	urls := make(map[string]string, len(signed))
	for i, url := range signed {
		urls[strconv.Itoa(numbers[i])] = url
	}
	return urls, err
}

// completeMultipart is POST /s3/multipart/{id}/complete.
func (h *Handler) completeMultipart(m *Multipart, r *http.Request, body *body) (any, error) {
	var array json.RawMessage
	if err := h.decode(r, body, []strict.Member{{Name: "parts", Value: &array}}, false); err != nil {
		return nil, err
	}
	named, err := companion.Parts(array)
	if err != nil {
		return nil, malformed(&strict.Error{Field: "parts", Detail: err.Error()})
	}
	parts := make([]Part, len(named))
	for i, p := range named {
		parts[i] = Part{Number: p.Number, ETag: p.ETag}
	}
	ctx, cancel := context.WithTimeout(r.Context(), completeTime)
	defer cancel()
	object, err := m.complete(ctx, parts, h.runHooks)
	if err != nil {
		return nil, err
	}
	endpoint := &h.signer.endpoint
	location := sigv4.AppendPath([]byte(endpoint.Scheme+"://"+endpoint.Host+endpoint.Base), object.Key)
	// The key is the one that the form of a small file has, too: POST /complete takes it, and tells the rest.
	return map[string]string{"location": string(location), "key": m.Key}, nil
}

// abortMultipart is DELETE /s3/multipart/{id}.
func abortMultipart(m *Multipart, r *http.Request, _ *body) (any, error) {
	return struct{}{}, m.Abort(r.Context())
}

// fetched refuses what a page did not ask for by a script: a link, a form, an image. What is signed is for scripts
// alone.
func fetched(r *http.Request) error {
	switch mode := r.Header.Get("Sec-Fetch-Mode"); mode {
	case "navigate", "no-cors":
		return &refusal{http.StatusForbidden, fmt.Errorf("presign: a browser's request with Sec-Fetch-Mode: %s", mode)}
	}
	return nil
}
