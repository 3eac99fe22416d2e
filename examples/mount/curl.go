package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"image"
	"image/png"
	"strings"
)

// curl returns commands that log in and upload an avatar and a document.
//
// A grant is JSON, but curl reads options from its standard input. So tr puts
// each member on a separate line, and sed turns the URL and the headers into
// options.
func curl(origin, user, password string) string {
	put := func(path, parameters, content string) string {
		return "curl -fsS -b cookies.txt " + origin + path + " \\\n  " + parameters + ` |
  tr '{,}' '\n\n\n' |
  sed -n 's/^"url":/url=/p;/^"headers"/,/^$/s/^"\([^"]*\)":"/header="\1: /p' |
  curl -sS -K - -X PUT --data-binary '` + content + `' -w 'S3 returned %{http_code}\n'`
	}
	var avatar bytes.Buffer
	// Writing to a Buffer never fails.
	_ = png.Encode(&avatar, image.NewGray(image.Rect(0, 0, 1, 1)))
	const document = "hello, S3"
	digest := sha256.Sum256([]byte(document))
	return strings.Join([]string{
		`cd "$(mktemp -d)"`,
		"curl -fsS -c cookies.txt -d user=" + user + " -d password=" + password + " \\\n  " +
			origin + "/login",
		"base64 -d >me.png <<'END'\n" + base64.StdEncoding.EncodeToString(avatar.Bytes()) + "\nEND",
		put("/avatars/", fmt.Sprintf("-d filename=me.png -d size=%d", avatar.Len()), "@me.png"),
		put("/documents/",
			fmt.Sprintf("-d filename=hello.txt -d size=%d \\\n  --data-urlencode checksum=%s",
				len(document), base64.StdEncoding.EncodeToString(digest[:])), document),
	}, "\n\n")
}
