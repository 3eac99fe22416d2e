// Doctor examines whether a bucket enforces the grants of package presign, and
// which configuration of the bucket is missing.
//
//	go run github.com/s3presign/presign/examples/doctor@latest -bucket my-bucket -origin https://app.example.com
//
// It uploads as an honest client and as a cheating client, under a separate
// prefix. It deletes the objects under this prefix at the end. Credentials come
// from the AWS configuration: environment variables such as AWS_ACCESS_KEY_ID,
// AWS_REGION and AWS_ENDPOINT_URL, or the shared files. The flag -profile names
// the role that signs, and -store-profile the role of WithStore.
//
// The exit status is 0 if the store enforces everything that the library
// promises, 1 if it does not, and 2 if the examination failed. The output
// contains no credential, no signature and no presigned URL.
//
// Two other commands make no request:
//
//	doctor explain -grant grant.json -response response.xml
//	doctor policy -bucket my-bucket -role arn:aws:iam::123456789012:role/uploads
//
// The first explains why a store rejected an upload. The second prints a bucket
// policy that denies the role everything that grants do not need.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/s3presign/presign/examples/doctor/checkup"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // A second Ctrl-C ends the process at once.
	code, err := checkup.Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "doctor:", err)
	}
	os.Exit(code)
}
