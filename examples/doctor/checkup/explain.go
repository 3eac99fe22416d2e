package checkup

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// maxDocument is the maximum number of bytes that explain reads from a file.
const maxDocument = 1 << 20

// runExplain prints why a store rejected an upload.
func runExplain(args []string, stdout, stderr io.Writer) (code int, err error) {
	var grantFile, responseFile string
	flags := flag.NewFlagSet("doctor explain", flag.ContinueOnError)
	flags.StringVar(&grantFile, "grant", "", "`file` with the grant as JSON, or with only its URL")
	flags.StringVar(&responseFile, "response", "",
		"`file` with the XML that the store returned; - is standard input")
	if code, done := parse(flags, args, stderr); done {
		return code, nil
	}
	if grantFile == "" || responseFile == "" || flags.NArg() > 0 {
		return failed, errors.New("-grant and -response must be set, without other arguments")
	}
	text, err := read(grantFile)
	if err != nil {
		return failed, err
	}
	g, err := parseGrant(text)
	if err != nil {
		return failed, err
	}
	if text, err = read(responseFile); err != nil {
		return failed, err
	}
	a, err := parseResponse(text)
	if err != nil {
		return failed, err
	}
	print := newPrinter(stdout)
	print.text("", strings.TrimSpace("The store returned "+a.Code+"."))
	for _, reason := range explain(g, a, time.Now()) {
		print.text("  → ", reason)
	}
	return healthy, print.err
}

func read(name string) ([]byte, error) {
	file := os.Stdin
	if name != "-" {
		opened, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer opened.Close()
		file = opened
	}
	return io.ReadAll(io.LimitReader(file, maxDocument))
}

// A clientGrant describes a grant as the client received it.
type clientGrant struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Fields  map[string]string `json:"fields"`

	url *url.URL
}

// parseGrant parses a grant or its URL. The error does not contain the URL.
func parseGrant(text []byte) (g clientGrant, err error) {
	trimmed := strings.TrimSpace(string(text))
	if strings.HasPrefix(trimmed, "{") {
		if err := json.Unmarshal([]byte(trimmed), &g); err != nil {
			return g, errors.New("the grant must be the JSON that the service returned")
		}
	} else {
		g.Method, g.URL = http.MethodPut, trimmed
	}
	g.url, err = url.Parse(g.URL)
	if err != nil || g.url.Host == "" || g.Method != http.MethodPut && g.Method != http.MethodPost {
		return g, errors.New("the grant must have a URL and the method PUT or POST")
	}
	return g, nil
}

// A storeError describes the error response of a store.
type storeError struct {
	Code, Message                                string
	CanonicalRequest, HeadersNotSigned           string
	ArgumentName, Condition, Region, ServerTime  string
	ProposedSize, MinSizeAllowed, MaxSizeAllowed string
}

func parseResponse(text []byte) (a storeError, err error) {
	if err := xml.Unmarshal(text, &a); err != nil || a.Code == "" {
		return a, errors.New("the response must be an S3 error in XML with a Code")
	}
	return a, nil
}

// explain returns sentences that name the fault of the client, the service or a
// proxy.
func explain(g clientGrant, a storeError, now time.Time) []string {
	switch a.Code {
	case "SignatureDoesNotMatch":
		return g.differences(a)
	case "AccessDenied":
		return g.explainDenied(a, now)
	case "InvalidArgument", "AuthorizationHeaderMalformed":
		if strings.Contains(a.Message, "one auth mechanism") || a.ArgumentName == "Authorization" ||
			a.Code == "AuthorizationHeaderMalformed" && g.Method == http.MethodPut {
			return []string{"The request had an Authorization header, but the URL is signed already. The client must not send this header. " +
				"HTTP clients often add a Bearer token of the service to every request."}
		}
		return []string{"The store rejects " + a.argument() + ": " + a.Message}
	case "AuthorizationQueryParametersError":
		return []string{
			"A parameter of the URL was changed, removed or sent twice: " + a.Message +
				" The client must use the URL unchanged.",
		}
	case "EntityTooSmall":
		return []string{
			fmt.Sprintf("The file must have at least %s bytes, got %s bytes.",
				orUnknown(a.MinSizeAllowed), orUnknown(a.ProposedSize)),
		}
	case "EntityTooLarge":
		return []string{
			fmt.Sprintf("The file must have at most %s bytes, got %s bytes.",
				orUnknown(a.MaxSizeAllowed), orUnknown(a.ProposedSize)),
		}
	}
	if text, ok := explanations[a.Code]; ok {
		return []string{text}
	}
	return []string{"The grant does not explain this response: " + a.Message}
}

func (a storeError) argument() string {
	if a.ArgumentName == "" {
		return "the request"
	}
	return "the argument " + a.ArgumentName
}

func orUnknown(s string) string {
	if s == "" {
		return "an unknown number of"
	}
	return s
}

const badBytes = "The checksum in the grant does not match the bytes of the file. The file changed after it was hashed, or the client hashed other bytes."

// explanations maps codes to explanations that do not depend on the grant.
var explanations = map[string]string{
	"PreconditionFailed": "An object with this key exists already. The grant was used before, or another upload had the same key. " +
		"Request a new grant, or set Policy.Replace.",
	"ConditionalRequestConflict":  "Another upload to the same key ended at the same time. Upload again.",
	"BadDigest":                   badBytes,
	"InvalidDigest":               badBytes,
	"XAmzContentChecksumMismatch": badBytes,
	"MissingContentLength":        "The request had no Content-Length, because the client sent the body in chunks. The client must send the size of the file.",
	"RequestTimeTooSkewed":        "The clocks of the service and the store differ by more than 15 minutes.",
	"InvalidAccessKeyId":          "The store has no such access key. The service uses credentials of another store, or deleted credentials.",
	"ExpiredToken":                "The session of the credentials that signed has ended. The service must use a provider that renews the credentials.",
	"InvalidToken":                "The session token in the URL differs from the signed token. The URL was cut or changed.",
	"NoSuchBucket":                "The bucket does not exist. A proxy changed the Host or the path, or the service has the wrong endpoint.",
	"NoSuchUpload":                "The multipart upload was completed or aborted. Start a new one.",
	"MethodNotAllowed":            "The store does not accept this method for this URL. The client must use the method of the grant. Some stores do not accept forms (WithoutForms).",
	"NotImplemented":              "The store does not implement a feature that the grant uses. Run the doctor on the bucket.",
	"MalformedPOSTRequest":        "The body is not multipart/form-data with a boundary. The client must not set Content-Type on a form, because FormData sets it with the boundary.",
	"RequestTimeout":              "The client stopped sending before the whole file arrived.",
}

// explainDenied explains AccessDenied.
func (g clientGrant) explainDenied(a storeError, now time.Time) []string {
	message := strings.ToLower(a.Message)
	switch {
	case a.HeadersNotSigned != "":
		return []string{
			fmt.Sprintf(
				"The client added the header %s, which is not in the grant. The client must send the headers of the grant and no other x-amz-* header.",
				a.HeadersNotSigned),
		}
	case strings.Contains(message, "expired"):
		return []string{
			"The grant has expired" + g.describeExpiry() +
				". The client must start the upload in time, or request a new grant.",
		}
	case strings.Contains(message, "extra input fields"):
		_, names, _ := strings.Cut(a.Message, "ields:")
		return []string{
			fmt.Sprintf("The client added the form field %s, which is not in the grant.",
				strings.TrimSpace(names)),
		}
	case strings.Contains(message, "condition failed"):
		return []string{g.condition(a.Message)}
	}
	if end, ok := g.expiry(); ok && now.After(end) {
		return []string{
			"The grant has expired" + g.describeExpiry() +
				". The client must start the upload in time, or request a new grant.",
		}
	}
	return []string{
		"The role that signs may not put this object. The role lacks s3:PutObject for the key, or a bucket policy denies it.",
	}
}

// condition explains a condition of a form's policy that failed.
func (g clientGrant) condition(message string) string {
	for name, want := range g.Fields {
		if strings.Contains(strings.ToLower(message), `"$`+strings.ToLower(name)+`"`) ||
			strings.Contains(message, `"`+name+`"`) {
			if strings.HasPrefix(strings.ToLower(name), "x-amz-") {
				return fmt.Sprintf(
					"The form field %s differs from the grant. The client must send every field unchanged, before the file.",
					name)
			}
			return fmt.Sprintf(
				"The form field %s must be %q, as in the grant. The client changed it, omitted it, or sent it after the file.",
				name, want)
		}
	}
	return "A field of the form differs from the grant: " + message
}

// expiry returns the time at which the URL expires.
func (g clientGrant) expiry() (time.Time, bool) {
	query := g.url.Query()
	signed, err := time.Parse("20060102T150405Z", query.Get("X-Amz-Date"))
	life, lifeErr := time.ParseDuration(query.Get("X-Amz-Expires") + "s")
	return signed.Add(life), err == nil && lifeErr == nil
}

func (g clientGrant) describeExpiry() string {
	if end, ok := g.expiry(); ok {
		return " at " + end.Format(time.RFC3339)
	}
	return ""
}
