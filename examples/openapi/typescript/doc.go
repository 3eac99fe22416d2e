// Package typescript holds a client that is generated from the description of
// the HTTP API.
package typescript
