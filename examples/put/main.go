// Put uploads files of any size with the grants of a service. Small files are
// sent in one request, large files as multipart uploads with concurrent parts.
// Failed requests are repeated, with a fresh grant if necessary. If a multipart
// upload was interrupted, the next run of put sends the missing parts.
//
//	go run -C examples ./put
//
// The command starts an S3 server and a service, and uploads two generated
// files or the files in the arguments. Paths in the arguments must be absolute,
// because -C changes the directory. With -dir, all data is kept in that
// directory, and a later run continues interrupted uploads.
//
//	go run -C examples ./put -url https://app.example.com/uploads \
//		-header @/home/me/token /home/me/film.mp4
//
// This command uploads to your own service, which must mount a presign.Handler
// at the URL. The file token contains the line "Authorization: Bearer …". The
// flag -header 'Authorization: Bearer …' has the same effect, but all users of
// the machine can read it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/s3presign/presign/examples/internal/interrupt"
)

func main() {
	if err := run(interrupt.Context(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "put:", err)
		os.Exit(1)
	}
}

// run uploads the files in the arguments.
func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	o := parseArguments(args)
	if err := checkArguments(o.mount, o.dir, o.parallel, o.files); err != nil {
		return err
	}
	if err := checkAlgorithm(o.algorithm); err != nil {
		return err
	}
	resumable := o.mount != "" || o.dir != ""
	var shown *demo
	if o.mount == "" {
		if shown, err = startDemo(ctx, o.addr, o.dir); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, shown.close()) }()
		fmt.Fprintf(stdout, "Service  %s\nBucket   %s\n\n", shown.url, shown.about)
		o.mount, o.user, o.states = shown.url, shown.user, filepath.Join(shown.dir, "uploads")
		if len(o.files) == 0 {
			if o.files, err = writeSamples(shown.dir); err != nil {
				return err
			}
		}
	}
	if o.user == "" {
		o.user = os.Getenv("PUT_USER")
	}
	if err := addUser(o.header, o.user); err != nil {
		return err
	}
	if o.states == "" {
		if o.states, err = findStates(); err != nil {
			return err
		}
	}

	u := &uploader{
		service: &client{
			url: strings.TrimRight(o.mount, "/"), header: o.header, http: newClient(o.parallel),
			patience: defaultPatience, notes: os.Stderr,
		},
		store: newClient(o.parallel), patience: defaultPatience, parallel: o.parallel,
		single:    singleSize,
		mediaType: o.mediaType, algorithm: o.algorithm, states: o.states, out: stdout,
	}
	if o.abort {
		err = u.abortAll(ctx, o.files)
	} else {
		err = u.putAll(ctx, o.files, resumable)
	}
	if err != nil || shown == nil {
		return err
	}
	return shown.list(ctx, stdout)
}

// An options value holds the flags and files of a run.
type options struct {
	mount, user, mediaType, algorithm, states, addr, dir string

	header   http.Header
	parallel int
	abort    bool
	files    []string
}

// parseArguments returns the options without checking them.
func parseArguments(args []string) *options {
	o := &options{header: make(http.Header)}
	flags := flag.NewFlagSet("put", flag.ExitOnError)
	flags.StringVar(&o.mount, "url", "",
		"`URL` of the handler of a service; if empty, put starts a service and an S3 server")
	flags.Func("header",
		"`'Name: value'` of a header for the service, or @file with such lines; may be repeated",
		func(value string) error {
			return addHeader(o.header, value)
		})
	flags.StringVar(&o.user, "user", "",
		"`name:password` for the service; "+
			"the default is the variable PUT_USER, which other users cannot read")
	flags.IntVar(&o.parallel, "parallel", 4, "`number` of parts that are uploaded concurrently")
	flags.StringVar(&o.mediaType, "type", "",
		"media `type` of the files; if empty, it depends on their names")
	flags.StringVar(&o.algorithm, "checksum", "",
		"`algorithm` of the required checksum: sha256, crc32, crc32c or crc64nvme")
	flags.BoolVar(&o.abort, "abort", false, "abort unfinished uploads of the files")
	flags.StringVar(&o.states, "state", "",
		"`directory` for the state of uploads; if empty, a directory in the cache of the user")
	flags.StringVar(&o.addr, "addr", "127.0.0.1:0",
		"`address` of the service that put starts; port 0 is any free port")
	flags.StringVar(&o.dir, "dir", "",
		"`directory` of the S3 server that put starts; if empty, a temporary directory")
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), "Usage: put [flags] [file ...]\n")
		flags.PrintDefaults()
	}
	_ = flags.Parse(args) // The program exits on errors.
	o.files = flags.Args()
	return o
}

// checkArguments returns an error if the arguments are invalid.
func checkArguments(mount, dir string, parallel int, files []string) error {
	for _, file := range files {
		if strings.HasPrefix(file, "-") {
			return fmt.Errorf("flags must be before files, got %s after a file; "+
				"for a file of this name, use ./%[1]s", file)
		}
	}
	switch where, err := url.Parse(mount); {
	case mount != "" &&
		(err != nil || where.Scheme != "http" && where.Scheme != "https" || where.Host == ""):
		return errors.New(
			"-url must have a scheme and a host, such as https://app.example.com/uploads")
	case parallel < 1 || parallel > 100:
		return fmt.Errorf("-parallel must be between 1 and 100, got %d", parallel)
	case mount != "" && len(files) == 0:
		return errors.New("arguments must name a file if -url is set")
	case mount != "" && dir != "":
		return errors.New("-dir and -url must not be set together")
	}
	return nil
}

// addUser adds the authorization of a user, a name and a password, to header.
func addUser(header http.Header, user string) error {
	if user == "" {
		return nil
	}
	name, password, ok := strings.Cut(user, ":")
	if !ok {
		return errors.New("-user must be a name, a colon and a password")
	}
	r := http.Request{Header: header}
	r.SetBasicAuth(name, password)
	return nil
}

// findStates returns the directory of states if no flag sets it.
func findStates() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("-state must be set: %w", err)
	}
	return filepath.Join(cache, "presign-put"), nil
}

// abortAll aborts the unfinished uploads of files.
func (u *uploader) abortAll(ctx context.Context, files []string) error {
	var faults []error
	for _, path := range files {
		faults = append(faults, u.abort(ctx, path))
	}
	return errors.Join(faults...)
}

// putAll uploads files. If it is interrupted and resumable is set, its error
// describes how to continue.
func (u *uploader) putAll(ctx context.Context, files []string, resumable bool) error {
	var faults []error
	for _, path := range files {
		object, err := u.put(ctx, path)
		switch {
		case err == nil:
			fmt.Fprintf(u.out, "%s  is stored as %s\n    %s, %d bytes, ETag %s\n",
				filepath.Base(path), object.Key, object.Type, object.Size, object.ETag)
			continue
		case ctx.Err() != nil && resumable:
			return errors.New("interrupted; run the same command to continue, " +
				"or with -abort to abort the uploads")
		case ctx.Err() != nil:
			return errors.New("interrupted")
		}
		faults = append(faults, fmt.Errorf("%s: %w", path, err))
	}
	return errors.Join(faults...)
}
