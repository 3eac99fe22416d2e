// Package openapi holds the OpenAPI description of the HTTP API. Its tests
// compare the description with the responses in the library's own tests.
package openapi
