// Package checkup implements the command doctor. It is a separate package
// because the tests on real servers are in another module.
package checkup

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"
)

const (
	healthy     = 0
	notEnforced = 1
	failed      = 2
)

// Run runs the command with its arguments and returns the exit status.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int, err error) {
	if len(args) > 0 {
		switch args[0] {
		case "explain":
			return runExplain(args[1:], stdout, stderr)
		case "policy":
			return runPolicy(args[1:], stdout, stderr)
		}
	}
	return runExamine(ctx, args, stdout, stderr)
}

// parse parses flags. If done, code is the exit status.
func parse(flags *flag.FlagSet, args []string, stderr io.Writer) (code int, done bool) {
	flags.SetOutput(stderr)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return healthy, true
	case err != nil:
		return failed, true // The FlagSet has printed the reason.
	}
	return healthy, false
}

// An output describes how to print a Report.
type output struct{ profile, report, verbose bool }

func runExamine(
	ctx context.Context, args []string, stdout, stderr io.Writer,
) (code int, err error) {
	var target location
	var format output
	flags := flag.NewFlagSet("doctor", flag.ContinueOnError)
	target.register(flags)
	flags.BoolVar(&format.profile, "json", false, "print a profile for presign.WithProfile")
	flags.BoolVar(&format.report, "report", false, "print every case and its result as JSON")
	flags.BoolVar(&format.verbose, "v", false, "print every constraint and what the store returned")
	if code, done := parse(flags, args, stderr); done {
		return code, nil
	}
	if err := target.check(); err != nil {
		return failed, err
	}
	switch {
	case flags.NArg() > 0:
		return failed, fmt.Errorf("all arguments must be flags, got %q", flags.Arg(0))
	case format.profile && format.report:
		return failed, errors.New("-json and -report must not be set together")
	case target.bucket == "":
		return failed, plain(target.missingBucket(ctx))
	}
	p, err := target.open(ctx)
	if err != nil {
		return failed, plain(err)
	}
	p.progress = progress(stderr)
	report, left, err := p.examine(ctx)
	if err != nil {
		return failed, plain(errors.Join(err, left))
	}
	if err := format.print(stdout, report); err != nil {
		return failed, err
	}
	if left != nil {
		fmt.Fprintln(stderr, "doctor:", plain(left))
	}
	if !report.Enforced {
		return notEnforced, nil
	}
	return healthy, nil
}

func (l *location) register(flags *flag.FlagSet) {
	flags.StringVar(&l.bucket, "bucket", "", "`name` of the bucket")
	flags.StringVar(&l.region, "region", "", "`region` of the bucket, if AWS_REGION is not set")
	flags.StringVar(&l.endpoint, "endpoint", "",
		"`URL` of a store other than AWS, if AWS_ENDPOINT_URL is not set")
	flags.StringVar(&l.public, "public-endpoint", "",
		"`URL` that clients reach, as for WithPublicEndpoint")
	flags.BoolFunc("path-style",
		"address the bucket by path: true unless the store is AWS", func(value string) error {
			pathStyle, err := strconv.ParseBool(value)
			l.pathStyle = &pathStyle
			return err
		})
	flags.StringVar(&l.prefix, "prefix", "incoming/",
		"Policy.Prefix, a `prefix`; the doctor uploads below it")
	flags.StringVar(&l.final, "final", "files/",
		"Policy.FinalPrefix, the `prefix` of published files; may be empty")
	flags.StringVar(&l.origin, "origin", "",
		"`origin` of the pages that upload, to check CORS: https://app.example.com")
	flags.BoolVar(&l.formless, "without-forms", false,
		"do not check forms, for a service that sets WithoutForms")
	flags.StringVar(&l.profile, "profile", "", "`profile` of the role that signs")
	flags.StringVar(&l.storeProfile, "store-profile", "",
		"`profile` of the role of WithStore, if it is not the role that signs")
	flags.StringVar(&l.role, "role", "",
		"`ARN` of a role to assume if the signing credentials have no session token")
}

func (o output) print(w io.Writer, r *Report) error {
	switch {
	case o.profile:
		document, err := r.profile(time.Now()).Encode()
		if err == nil {
			_, err = w.Write(document)
		}
		return err
	case o.report:
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(r)
	}
	return newPrinter(w).report(r, o.verbose)
}

// progress returns a function that shows the progress on a terminal. It returns
// nil if w is not a terminal.
func progress(w io.Writer) func(done, all int) {
	if file, ok := w.(*os.File); !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return counter(w)
}

// counter returns a function that rewrites one line and clears it at the end.
func counter(w io.Writer) func(done, all int) {
	return func(done, all int) {
		line := fmt.Sprintf("%d of %d cases", done, all)
		if done == all {
			line = ""
		}
		fmt.Fprintf(w, "\r\x1b[K%s", line)
	}
}

// plain returns an error with the text of err, but without the URLs of
// requests.
func plain(err error) error { return errors.New(withoutURLs(err.Error(), err)) }

// withoutURLs removes the URLs of a *url.Error from the text of an error.
func withoutURLs(text string, err error) string {
	if e, ok := err.(*url.Error); ok {
		text = strings.ReplaceAll(text, e.Error(), e.Err.Error())
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		text = withoutURLs(text, e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			text = withoutURLs(text, err)
		}
	}
	return text
}

// terminal returns the width of lines and whether colors are shown.
func terminal(w io.Writer) (width int, colors bool) {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return 100, false
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		width = 80
	}
	return min(max(width, 60), 120), os.Getenv("NO_COLOR") == ""
}
