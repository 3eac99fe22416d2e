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
	flags := flag.NewFlagSet("put", flag.ExitOnError)
	mount := flags.String("url", "", "`URL` where a service mounts its grants; without it put starts one, and an S3 server")
	header := make(http.Header)
	flags.Func("header", "`'Name: value'` of every request to the service; may be repeated; @file for a file of such lines, which says them to nobody else", func(value string) error {
		return addHeader(header, value)
	})
	user := flags.String("user", "", "`name:password` for the service; PUT_USER in the environment says it to nobody else")
	parallel := flags.Int("parallel", 4, "`number` of parts that are uploaded at once")
	mediaType := flags.String("type", "", "media `type` of the files, if their names do not tell")
	algorithm := flags.String("checksum", "", "`algorithm` of the checksum that the service asks for: sha256, crc32, crc32c or crc64nvme")
	abort := flags.Bool("abort", false, "give up the uploads of the files that are under way")
	states := flags.String("state", "", "`directory` in which to note what is under way; one in the user's cache if empty")
	addr := flags.String("addr", "127.0.0.1:0", "`address` of the service that put starts; port 0 is a free one")
	dir := flags.String("dir", "", "`directory` of the S3 server that put starts; a temporary one if empty")
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), "Usage: put [flags] [file ...]\n")
		flags.PrintDefaults()
	}
	_ = flags.Parse(args) // or it exits

	files := flags.Args()
	for _, file := range files {
		if strings.HasPrefix(file, "-") {
			return fmt.Errorf("%s comes after a file, and flags come before files (a file of that name is ./%[1]s)", file)
		}
	}
	switch where, err := url.Parse(*mount); {
	case *mount != "" && (err != nil || where.Scheme != "http" && where.Scheme != "https" || where.Host == ""):
		return errors.New("-url lacks http:// or https://, or a host: it is as https://app.example.com/uploads")
	case *parallel < 1 || *parallel > 100:
		return fmt.Errorf("-parallel %d: it is between 1 and 100", *parallel)
	case *mount != "" && len(files) == 0:
		return errors.New("no file is named")
	case *mount != "" && *dir != "":
		return errors.New("-dir is for the S3 server that put starts, which it does not with -url")
	}
	if err := checkAlgorithm(*algorithm); err != nil {
		return err
	}
	resumable := *mount != "" || *dir != ""
	var shown *demo
	if *mount == "" {
		if shown, err = startDemo(ctx, *addr, *dir); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, shown.close()) }()
		fmt.Fprintf(stdout, "Service  %s\nBucket   %s\n\n", shown.url, shown.about)
		*mount, *user, *states = shown.url, shown.user, filepath.Join(shown.dir, "uploads")
		if len(files) == 0 {
			if files, err = makeUp(shown.dir); err != nil {
				return err
			}
		}
	}
	if *user == "" {
		*user = os.Getenv("PUT_USER")
	}
	if name, password, ok := strings.Cut(*user, ":"); ok {
		r := http.Request{Header: header}
		r.SetBasicAuth(name, password)
	} else if *user != "" {
		return errors.New("-user is a name, a colon and a password")
	}
	if *states == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("-state is needed: %w", err)
		}
		*states = filepath.Join(cache, "presign-put")
	}

	u := &uploader{
		service: &client{
			url: strings.TrimRight(*mount, "/"), header: header, http: newClient(*parallel), patience: usual, notes: os.Stderr,
		},
		store: newClient(*parallel), patience: usual, parallel: *parallel, single: singleSize,
		mediaType: *mediaType, algorithm: *algorithm, states: *states, out: stdout,
	}
	var faults []error
	for _, path := range files {
		if *abort {
			faults = append(faults, u.abort(ctx, path))
			continue
		}
		object, err := u.put(ctx, path)
		switch {
		case err == nil:
			fmt.Fprintf(stdout, "%s  is stored as %s (%s, %d bytes, ETag %s)\n", filepath.Base(path), object.Key, object.Type, object.Size, object.ETag)
			continue
		case ctx.Err() != nil && resumable:
			return errors.New("interrupted; the same command goes on, and with -abort it gives up")
		case ctx.Err() != nil:
			return errors.New("interrupted")
		}
		faults = append(faults, fmt.Errorf("%s: %w", path, err))
	}
	if err := errors.Join(faults...); err != nil || shown == nil {
		return err
	}
	return shown.list(ctx, stdout)
}
