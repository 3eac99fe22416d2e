// Package python contains a client in Python for services that mount a
// presign.Handler.
package python
