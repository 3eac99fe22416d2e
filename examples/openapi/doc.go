// Package openapi holds the description of the HTTP API. Its tests compare it
// with the responses of the library's own tests.
package openapi
