// Package route describes what a Handler does for one path and method.
package route

import (
	"context"
	"net/http"
	"time"

	"github.com/s3presign/presign/internal/httpbody"
	"github.com/s3presign/presign/internal/rules"
)

// A Route serves one method of one path.
type Route struct {
	Method  string
	MaxBody int64 // bytes
	Serve   func(*Call) (status int, response any, err error)
}

// A Call is one request after authentication.
type Call struct {
	Request *http.Request
	Body    *httpbody.Body
	Owner   string

	Started time.Time

	// Upload is the upload that a client asks for, as soon as it is known.
	Upload *rules.Upload

	// Kind is the kind of the event that the call causes if it succeeds, or
	// empty.
	Kind string

	// Method is the method of the grant, as soon as it is known.
	Method string

	// Observed is set if the engines report the outcome of the call.
	Observed bool

	// Key and GrantID are set as soon as they are known, for the log.
	Key, GrantID string

	// After is called after the response has been written. It may be nil.
	After func(context.Context)

	// MetadataAdded is set if the service has added or changed metadata.
	MetadataAdded bool
}
