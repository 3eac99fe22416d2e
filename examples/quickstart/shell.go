package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
)

// instructions returns what the program prints when it starts.
func (b *bucket) instructions(ctx context.Context, hosts []string, token string) (string, error) {
	origin := "http://" + hosts[0]
	text := fmt.Sprintf("Open     %s/\nBucket   %s\n\n"+
		"To get a grant and to upload, from a shell in the clone:\n\n%s\n\n",
		origin, b.about, shellCommands(origin, token))
	if b.external {
		return text + fmt.Sprintf("The bucket must have this CORS rule for the page:\n\n%s\n\n",
			corsCommand(b.name, hosts)), nil
	}
	exports, err := b.exportCommands(ctx)
	return text + fmt.Sprintf(
		"For another program on the same store, such as the README's hello world:\n\n%s\n\n",
		exports), err
}

// shellCommands returns a command that gets a grant and a command that uploads
// a file, for a shell in a clone of the repository. Lines have at most 100
// columns.
func shellCommands(origin, token string) string {
	header := "-H 'Authorization: Bearer " + token + "'"
	return "curl " + origin + "/uploads/ " + header + " \\\n  -d filename=hello.txt -d size=9\n\n" +
		"echo hello, S3 >hello.txt\n" +
		"examples/shell/upload.sh " + header + " \\\n  " + origin + "/uploads hello.txt"
}

// exportCommands returns commands that set the environment of another program
// that uses the embedded store. Printing the keys of the store is safe, because
// only this machine can reach it.
func (b *bucket) exportCommands(ctx context.Context) (string, error) {
	options := b.client.Options()
	keys, err := options.Credentials.Retrieve(ctx)
	if err != nil {
		return "", err
	}
	var lines []string
	for _, variable := range [][2]string{
		{"AWS_ENDPOINT_URL", *options.BaseEndpoint}, {"AWS_REGION", options.Region},
		{"AWS_ACCESS_KEY_ID", keys.AccessKeyID}, {"AWS_SECRET_ACCESS_KEY", keys.SecretAccessKey},
		{"UPLOAD_BUCKET", b.name}, {"UPLOAD_SECRET", rand.Text() + rand.Text()},
	} {
		lines = append(lines, fmt.Sprintf("export %s=%s", variable[0], variable[1]))
	}
	return strings.Join(lines, "\n"), nil
}
