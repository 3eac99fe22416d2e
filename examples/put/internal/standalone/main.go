// Standalone runs the service in a separate process, without a store. The tests
// of put kill it and measure its memory.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/put/internal/uploads"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "standalone:", err)
		os.Exit(1)
	}
}

// run reads a configuration, writes the address of the service, and serves
// until in ends.
func run(in io.Reader, out io.Writer) error {
	var config struct {
		Endpoint, Region, AccessKey, SecretKey, Bucket string

		Secret []byte
		Policy presign.Policy
		Users  map[string]string
	}
	if err := json.NewDecoder(in).Decode(&config); err != nil {
		return err
	}
	client := s3.New(s3.Options{
		BaseEndpoint: &config.Endpoint, Region: config.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(
			config.AccessKey, config.SecretKey, ""),
	})
	handler, err := uploads.New(client, config.Bucket, config.Policy, config.Users,
		presign.WithSecret(config.Secret))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, listener.Addr()); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- uploads.NewServer(handler).Serve(listener) }()
	go func() {
		_, err := io.Copy(io.Discard, in)
		ended <- err
	}()
	return <-ended
}
