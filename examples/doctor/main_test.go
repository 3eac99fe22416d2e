package main

import (
	"errors"
	"fmt"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPlain: URLs alone are taken out of what an error says, all of them.
func TestPlain(t *testing.T) {
	refused := errors.New("connection refused")
	failed := func(op, address string, err error) error { return &url.Error{Op: op, URL: address, Err: err} }
	put := failed("Put", "http://store/key?X-Amz-Signature=0", refused)
	for want, err := range map[string]error{
		"connection refused": put,
		"the store does not answer: connection refused\nsomething may be left under incoming/: connection refused": errors.Join(
			fmt.Errorf("the store does not answer: %w", put),
			fmt.Errorf("something may be left under incoming/: %w", failed("Get", "http://store/?X-Amz-Signature=1", refused))),
		"first: second: connection refused, twice": fmt.Errorf("%w, twice", fmt.Errorf("first: %w",
			failed("Put", "http://store/?X-Amz-Signature=2", fmt.Errorf("second: %w", put)))),
		"interrupted": errors.New("interrupted"),
	} {
		require.EqualError(t, plain(err), want)
	}
}
