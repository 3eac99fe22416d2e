// Doctor shows what a bucket enforces of the grants of this library, and what is missing around it.
//
//	go run -C examples ./doctor -bucket my-bucket -origin https://app.example.com
//
// It uploads to the bucket as an honest client and as a cheating one, under a prefix of its own that it removes again,
// and asks the store for what completing uploads takes. Without -bucket it does so with an S3 server of its own.
// Credentials come from the AWS configuration: environment variables such as AWS_ACCESS_KEY_ID, AWS_REGION and
// AWS_ENDPOINT_URL, or the shared files, where -profile names the role that signs and -store-profile that of WithStore.
// In a bucket that keeps versions the latter needs s3:ListBucketVersions as well, for what is removed.
//
// The exit status is 0 if all that the library promises is enforced, 1 if not, and 2 if that could not be found out (go run
// makes 1 of both). No output holds a credential, a signature or a presigned URL.
package main

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

	"golang.org/x/term"

	"github.com/s3presign/presign/examples/internal/arguments"
	"github.com/s3presign/presign/examples/internal/interrupt"
)

const (
	healthy     = 0
	notEnforced = 1
	notFoundOut = 2
)

func main() {
	code, err := run(interrupt.Context(), os.Args[1:], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "doctor:", err)
	}
	os.Exit(code)
}

// run examines what the flags name, prints what it found, and returns the exit status.
func run(ctx context.Context, args []string, stdout io.Writer) (code int, err error) {
	var where location
	flags := flag.NewFlagSet("doctor", flag.ContinueOnError)
	flags.StringVar(&where.bucket, "bucket", "", "`name` of the bucket; an S3 server of its own if empty")
	flags.StringVar(&where.region, "region", "", "the bucket's `region`, if AWS_REGION does not tell")
	flags.StringVar(&where.endpoint, "endpoint", "", "`URL` of an S3 server other than AWS, if AWS_ENDPOINT_URL does not tell")
	flags.BoolFunc("path-style", "address the bucket by path: true unless the server is AWS", func(value string) error {
		pathStyle, err := strconv.ParseBool(value)
		where.pathStyle = &pathStyle
		return err
	})
	flags.StringVar(&where.prefix, "prefix", "incoming/", "Policy.Prefix, under which the `prefix` of the doctor is")
	flags.StringVar(&where.final, "final", "files/", "Policy.FinalPrefix, the `prefix` of what was published; may be empty")
	flags.StringVar(&where.origin, "origin", "", "`origin` of the pages that upload, for CORS: https://app.example.com")
	flags.StringVar(&where.profile, "profile", "", "`profile` of the role that signs")
	flags.StringVar(&where.storeProfile, "store-profile", "", "`profile` of the role of WithStore, which completes uploads; the one that signs if empty")
	flags.StringVar(&where.role, "role", "", "`ARN` of a role to assume for temporary credentials, if the ones that sign are none")
	asJSON := flags.Bool("json", false, "print a Report as JSON")
	asMarkdown := flags.Bool("markdown", false, "print the table of constraints as Markdown, beside what AWS documents")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return healthy, nil
	case err != nil:
		return notFoundOut, nil // flags has said why
	}
	if *asJSON && *asMarkdown {
		return notFoundOut, errors.New("-json or -markdown, not both")
	}
	if err := errors.Join(where.check(), arguments.None(flags)); err != nil {
		return notFoundOut, err
	}

	patient, err := where.open(ctx)
	if err != nil {
		return notFoundOut, plain(err)
	}
	report, err := patient.examine(ctx)
	if err := errors.Join(err, patient.close()); err != nil {
		return notFoundOut, plain(err)
	}
	switch {
	case *asJSON:
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(report)
	case *asMarkdown:
		_, err = io.WriteString(stdout, markdown(column{"this store", report.Constraints}))
	default:
		err = newPrinter(stdout).report(report)
	}
	switch {
	case err != nil:
		return notFoundOut, err
	case !report.Enforced:
		return notEnforced, nil
	}
	return healthy, nil
}

// plain returns an error without the addresses that requests went to.
func plain(err error) error { return errors.New(withoutURLs(err.Error(), err)) }

// withoutURLs takes what net/http says of URLs out of the text of an error.
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

// terminal returns how many columns a line may have, and whether colors show.
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
