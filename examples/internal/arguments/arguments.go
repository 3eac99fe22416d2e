// Package arguments checks the command lines of the demos.
package arguments

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"syscall"
)

// None returns an error if an argument is left after the flags. The FlagSet
// does not parse flags after such an argument.
func None(flags *flag.FlagSet) error {
	if flags.NArg() > 0 {
		return fmt.Errorf("all arguments must be flags, got %q", flags.Arg(0))
	}
	return nil
}

// Listen listens at the address that -addr sets.
func Listen(addr string) (net.Listener, error) {
	listener, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("-addr: %w; use -addr 127.0.0.1:0 for a free port", err)
	case err != nil:
		return nil, fmt.Errorf("-addr: %w", err)
	}
	return listener, nil
}

// ListenLocally listens at addr. It rejects an address that other machines can
// reach, because the embedded S3 server listens on loopback only.
func ListenLocally(addr string) (net.Listener, error) {
	listener, err := Listen(addr)
	if err != nil {
		return nil, err
	}
	if !Local(listener) {
		err := fmt.Errorf("-addr must be a loopback address, "+
			"because the S3 server listens only on loopback, got %q", addr)
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// Local reports whether a listener can be reached only from this machine.
func Local(listener net.Listener) bool {
	addr, ok := listener.Addr().(*net.TCPAddr)
	return ok && addr.IP.IsLoopback()
}
