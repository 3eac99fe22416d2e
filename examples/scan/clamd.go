package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// A clamd is the address of ClamAV's daemon.
type clamd struct{ network, address string }

// parseClamd parses "unix:/run/clamav/clamd.ctl" or "127.0.0.1:3310".
func parseClamd(address string) clamd {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return clamd{"unix", path}
	}
	return clamd{"tcp", address}
}

// scan streams content to clamd. It returns the name of the signature that
// content matches, or "". clamd(8) describes the command INSTREAM:
// https://docs.clamav.net/manual/Usage/ClamdProtocol.html
func (c clamd) scan(ctx context.Context, content io.Reader) (found string, err error) {
	reply, err := c.send(ctx, "INSTREAM", content)
	if err != nil {
		return "", err
	}
	result, ok := strings.CutPrefix(reply, "stream: ")
	if ok && result == "OK" {
		return "", nil
	}
	if name, matches := strings.CutSuffix(result, " FOUND"); ok && matches {
		return name, nil
	}
	return "", fmt.Errorf("clamd could not scan: %q", reply)
}

// ping returns an error if clamd does not reply.
func (c clamd) ping(ctx context.Context) error {
	reply, err := c.send(ctx, "PING", nil)
	if err == nil && reply != "PONG" {
		err = fmt.Errorf("clamd must reply PONG, got %q", reply)
	}
	return err
}

// send sends a command, and content if it is not nil, and returns the reply.
func (c clamd) send(ctx context.Context, command string, content io.Reader) (string, error) {
	conn, err := new(net.Dialer).DialContext(ctx, c.network, c.address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	reply, err := exchange(conn, command, content)
	if ctx.Err() != nil {
		return "", context.Cause(ctx) // The connection only reports its deadline.
	}
	return reply, err
}

func exchange(conn net.Conn, command string, content io.Reader) (string, error) {
	if _, err := fmt.Fprintf(conn, "z%s\x00", command); err != nil {
		return "", err
	}
	if content != nil {
		// If reading content fails, clamd must not receive the end of the
		// stream. Otherwise it would scan only the beginning of the file and
		// might accept it.
		w := &chunkWriter{w: conn}
		_, err := io.Copy(w, content)
		if err == nil {
			err = w.end()
		}
		if err != nil && w.err == nil {
			return "", err
		}
		// If a write failed, clamd has closed the connection, and its reply
		// contains the reason.
	}
	reply, err := bufio.NewReader(io.LimitReader(conn, 4<<10)).ReadString(0)
	if err != nil {
		return "", fmt.Errorf("clamd did not reply: %w", err)
	}
	return strings.TrimSuffix(reply, "\x00"), nil
}

// A chunkWriter writes each slice with its length before it.
type chunkWriter struct {
	w   io.Writer
	err error // the error of w
}

// Write implements io.Writer.
func (c *chunkWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil // An empty chunk would end the stream.
	}
	if err := c.write(uint32(len(p)), p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// end writes the empty chunk that ends the stream.
func (c *chunkWriter) end() error { return c.write(0, nil) }

func (c *chunkWriter) write(size uint32, p []byte) error {
	if _, c.err = c.w.Write(binary.BigEndian.AppendUint32(nil, size)); c.err == nil {
		_, c.err = c.w.Write(p)
	}
	return c.err
}
