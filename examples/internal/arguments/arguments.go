// Package arguments checks the command lines of the demos.
package arguments

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"syscall"
)

// None returns an error if an argument is left after the flags. Flags after such an
// argument were not parsed.
func None(flags *flag.FlagSet) error {
	if flags.NArg() > 0 {
		return fmt.Errorf("arguments must be flags, got %q", flags.Arg(0))
	}
	return nil
}

// Listen listens at the address that -addr sets.
func Listen(addr string) (net.Listener, error) {
	listener, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("-addr: %w; -addr 127.0.0.1:0 is a free one", err)
	case err != nil:
		return nil, fmt.Errorf("-addr: %w", err)
	}
	return listener, nil
}

// ListenLocally listens at addr, and rejects an address that other machines can
// reach. It is for services with an embedded S3 server, which others cannot reach.
func ListenLocally(addr string) (net.Listener, error) {
	listener, err := Listen(addr)
	if err != nil {
		return nil, err
	}
	if !Local(listener) {
		return nil, errors.Join(fmt.Errorf("-addr %s: the S3 server is on this machine only, and so is this", addr), listener.Close())
	}
	return listener, nil
}

// Local reports whether only this machine can reach a listener.
func Local(listener net.Listener) bool {
	addr, ok := listener.Addr().(*net.TCPAddr)
	return ok && addr.IP.IsLoopback()
}
