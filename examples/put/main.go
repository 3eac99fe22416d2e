// Put uploads files of any size with the grants of a service: the small ones in one request, the large ones in parts,
// several at once. What fails is tried again, with a fresh grant. An upload in parts that was interrupted, by Ctrl-C or
// by the end of the process, goes on with what is missing when put is run again.
//
//	go run -C examples ./put
//
// That starts an S3 server and a service to show it, and uploads two files that it makes up, or those that it is given
// (by absolute paths: -C changes the directory). With -dir, everything is kept there, and a later run goes on with it.
//
//	go run -C examples ./put -url https://app.example.com/uploads -header @/home/me/token /home/me/film.mp4
//
// uploads to a service of yours: any that mounts a presign.Handler there. The file token has the line "Authorization:
// Bearer …"; -header 'Authorization: Bearer …' does the same, and shows it to all users of the machine.
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

// run uploads what the arguments name.
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
			if o.files, err = makeUp(shown.dir); err != nil {
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
			url: strings.TrimRight(o.mount, "/"), header: o.header, http: newClient(o.parallel), patience: usual, notes: os.Stderr,
		},
		store: newClient(o.parallel), patience: usual, parallel: o.parallel, single: singleSize,
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

// options are the flags and files of a run.
type options struct {
	mount, user, mediaType, algorithm, states, addr, dir string

	header   http.Header
	parallel int
	abort    bool
	files    []string
}

// parseArguments returns the options, which are not checked yet.
func parseArguments(args []string) *options {
	o := &options{header: make(http.Header)}
	flags := flag.NewFlagSet("put", flag.ExitOnError)
	flags.StringVar(&o.mount, "url", "", "`URL` where a service mounts its grants; without it put starts one, and an S3 server")
	flags.Func("header", "`'Name: value'` of every request to the service; may be repeated; @file for a file of such lines, which says them to nobody else", func(value string) error {
		return addHeader(o.header, value)
	})
	flags.StringVar(&o.user, "user", "", "`name:password` for the service; PUT_USER in the environment says it to nobody else")
	flags.IntVar(&o.parallel, "parallel", 4, "`number` of parts that are uploaded at once")
	flags.StringVar(&o.mediaType, "type", "", "media `type` of the files, if their names do not tell")
	flags.StringVar(&o.algorithm, "checksum", "", "`algorithm` of the checksum that the service asks for: sha256, crc32, crc32c or crc64nvme")
	flags.BoolVar(&o.abort, "abort", false, "give up the uploads of the files that are under way")
	flags.StringVar(&o.states, "state", "", "`directory` in which to note what is under way; one in the user's cache if empty")
	flags.StringVar(&o.addr, "addr", "127.0.0.1:0", "`address` of the service that put starts; port 0 is a free one")
	flags.StringVar(&o.dir, "dir", "", "`directory` of the S3 server that put starts; a temporary one if empty")
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), "Usage: put [flags] [file ...]\n")
		flags.PrintDefaults()
	}
	_ = flags.Parse(args) // or it exits
	o.files = flags.Args()
	return o
}

// checkArguments returns an error if the arguments contradict each other.
func checkArguments(mount, dir string, parallel int, files []string) error {
	for _, file := range files {
		if strings.HasPrefix(file, "-") {
			return fmt.Errorf("%s comes after a file, and flags come before files (a file of that name is ./%[1]s)", file)
		}
	}
	switch where, err := url.Parse(mount); {
	case mount != "" && (err != nil || where.Scheme != "http" && where.Scheme != "https" || where.Host == ""):
		return errors.New("-url lacks http:// or https://, or a host: it is as https://app.example.com/uploads")
	case parallel < 1 || parallel > 100:
		return fmt.Errorf("-parallel %d: it is between 1 and 100", parallel)
	case mount != "" && len(files) == 0:
		return errors.New("no file is named")
	case mount != "" && dir != "":
		return errors.New("-dir is for the S3 server that put starts, which it does not with -url")
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
		return errors.New("-user is a name, a colon and a password")
	}
	r := http.Request{Header: header}
	r.SetBasicAuth(name, password)
	return nil
}

// findStates returns the directory of states if no flag sets it.
func findStates() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("-state is needed: %w", err)
	}
	return filepath.Join(cache, "presign-put"), nil
}

// abortAll aborts the uploads of files that are under way.
func (u *uploader) abortAll(ctx context.Context, files []string) error {
	var faults []error
	for _, path := range files {
		faults = append(faults, u.abort(ctx, path))
	}
	return errors.Join(faults...)
}

// putAll uploads files. If it is interrupted, resumable sets what its error advises.
func (u *uploader) putAll(ctx context.Context, files []string, resumable bool) error {
	var faults []error
	for _, path := range files {
		object, err := u.put(ctx, path)
		switch {
		case err == nil:
			fmt.Fprintf(u.out, "%s  is stored as %s (%s, %d bytes, ETag %s)\n", filepath.Base(path), object.Key, object.Type, object.Size, object.ETag)
			continue
		case ctx.Err() != nil && resumable:
			return errors.New("interrupted; the same command goes on, and with -abort it gives up")
		case ctx.Err() != nil:
			return errors.New("interrupted")
		}
		faults = append(faults, fmt.Errorf("%s: %w", path, err))
	}
	return errors.Join(faults...)
}
