package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// marker is the environment variable that makes this program serve a contender.
const marker = "PRESIGN_EXAMPLES_BENCH"

func init() {
	name := os.Getenv(marker)
	if name == "" {
		return
	}
	if err := serve(name, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A setting is the first message to a child. Parent and child send JSON over
// the standard input and output of the child. The child returns its address.
// For each null after that, it returns the CPU time that it has used.
type setting struct {
	Site  site
	Bytes map[string][]byte // the responses of the bare server, by kind
}

// kinds holds the kinds of grants. Each has its own path, because the bare
// server does not read requests.
var kinds = []struct{ name, words, method string }{
	{"put", "PUT", http.MethodPut}, {"form", "form", http.MethodPost},
}

// serve runs the child until in ends.
func serve(name string, in io.Reader, out io.Writer) error {
	// Signals reach the whole process group, but the parent ends this process.
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	requests, replies := json.NewDecoder(in), json.NewEncoder(out)
	var set setting
	if err := requests.Decode(&set); err != nil {
		return err
	}
	handler, err := set.handler(name)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		IdleTimeout: 10 * time.Minute, // Connections are idle while other services are measured.
	}
	go func() { _ = server.Serve(listener) }() // It returns when the server is closed.
	if err := replies.Encode(listener.Addr().String()); err != nil {
		return err
	}
	for {
		if err := requests.Decode(new(any)); err != nil {
			return server.Close()
		}
		used, err := cpuTime()
		if err := errors.Join(err, replies.Encode(used)); err != nil {
			return err
		}
	}
}

// handler returns the service of a contender.
func (set *setting) handler(name string) (http.Handler, error) {
	mux := http.NewServeMux()
	for _, kind := range kinds {
		handler, err := set.granter(name, kind.name)
		if err != nil {
			return nil, err
		}
		mux.Handle("/"+kind.name+"/", http.StripPrefix("/"+kind.name, handler))
	}
	return mux, nil
}

func (set *setting) granter(name, kind string) (http.Handler, error) {
	switch name {
	case ours:
		return set.Site.handler()
	case theSDK:
		return service{set.Site.sdk()}, nil
	case theMinIO:
		rival, err := set.Site.minioGo()
		return service{rival}, err
	case bare:
		return http.HandlerFunc(
			func(w http.ResponseWriter, r *http.Request) { reply(w, set.Bytes[kind]) }), nil
	}
	return nil, fmt.Errorf("bench: %s must name a contender, got %q", marker, name)
}

// A process is a service in a child process.
type process struct {
	addr    string
	child   *exec.Cmd
	stdin   io.WriteCloser
	replies *json.Decoder
}

// start starts the service of a contender in a process of one core.
func start(ctx context.Context, name string, set setting) (p *process, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p = &process{child: exec.CommandContext(ctx, program)}
	p.child.Env = append(os.Environ(), marker+"="+name, "GOMAXPROCS=1")
	p.child.Stderr = os.Stderr
	if p.stdin, err = p.child.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.child.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.replies = json.NewDecoder(stdout)
	if err := p.child.Start(); err != nil {
		return nil, err
	}
	if err := p.call(set, &p.addr); err != nil {
		return nil, errors.Join(fmt.Errorf("bench: the service of %s: %w", name, err), p.stop())
	}
	return p, nil
}

// cpuTime returns the user and system time of the process.
func (p *process) cpuTime() (used time.Duration, err error) {
	err = p.call(nil, &used)
	return used, err
}

func (p *process) call(request, reply any) error {
	if err := json.NewEncoder(p.stdin).Encode(request); err != nil {
		return err
	}
	return p.replies.Decode(reply)
}

// stop closes the input of the process, which then ends.
func (p *process) stop() error { return errors.Join(p.stdin.Close(), p.child.Wait()) }
