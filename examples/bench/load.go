package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// connections is the number of connections to a service. Each carries one
// request at a time.
const connections = 8

// A load repeats one prepared request. It implements only the part of HTTP that
// the services use. Therefore one core can send more requests than a service on
// another core can handle.
type load struct {
	conns   []*connection
	request []byte
	status  []byte // the start of each response
}

type connection struct {
	net.Conn
	responses *bufio.Reader
}

// newLoad connects to a service that must return a status for each request.
func newLoad(addr, path string, body []byte, status int) (*load, error) {
	l := &load{status: fmt.Appendf(nil, "HTTP/1.1 %d ", status), request: fmt.Appendf(nil,
		"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		path, addr, len(body), body)}
	for range connections {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			l.close()
			return nil, err
		}
		l.conns = append(l.conns, &connection{c, bufio.NewReaderSize(c, 16<<10)})
	}
	return l, nil
}

func (l *load) close() {
	for _, c := range l.conns {
		_ = c.Close()
	}
}

// run sends n requests, each after the last response on its connection. It
// returns the total time, and the latencies in ascending order.
func (l *load) run(n int) (took time.Duration, latencies []time.Duration, err error) {
	latencies = make([]time.Duration, n)
	started := time.Now()
	var all errgroup.Group
	for i, c := range l.conns {
		own := latencies[n*i/len(l.conns) : n*(i+1)/len(l.conns)]
		all.Go(func() error {
			for j := range own {
				sent := time.Now()
				if err := c.ask(l.request, l.status); err != nil {
					return err
				}
				own[j] = time.Since(sent)
			}
			return nil
		})
	}
	err = all.Wait()
	took = time.Since(started)
	slices.Sort(latencies)
	return took, latencies, err
}

// ask sends one request. It returns an error unless the response starts with
// status.
func (c *connection) ask(request, status []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	first, err := c.line()
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(first, status) {
		return fmt.Errorf("bench: a service must respond with %s, got %s", bytes.TrimSpace(status),
			first)
	}
	length := -1
	for {
		header, err := c.line()
		if err != nil {
			return err
		}
		if len(header) == 0 {
			break
		}
		if value, found := bytes.CutPrefix(header, []byte("Content-Length: ")); found {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		}
	}
	if length < 1 {
		return errors.New("bench: the response of a service must have a Content-Length")
	}
	_, err = c.responses.Discard(length)
	return err
}

func (c *connection) line() ([]byte, error) {
	line, err := c.responses.ReadSlice('\n')
	return bytes.TrimSuffix(line, []byte("\r\n")), err
}
