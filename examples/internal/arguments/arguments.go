// Package arguments has what the command lines of the demos have in common.
package arguments

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"syscall"
)

// None returns an error if flags were parsed and something is left that is no flag: what stands behind it was not read.
func None(flags *flag.FlagSet) error {
	if flags.NArg() > 0 {
		return fmt.Errorf("there are only flags, but %q is none", flags.Arg(0))
	}
	return nil
}

// Listen listens at what -addr says.
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

// ListenLocally is Listen for a service whose S3 server is of no use to other machines.
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

// Local reports whether only this machine reaches a listener.
func Local(listener net.Listener) bool {
	addr, ok := listener.Addr().(*net.TCPAddr)
	return ok && addr.IP.IsLoopback()
}
