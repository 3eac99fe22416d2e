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

// maxDocument bounds what explain reads.
const maxDocument = 1 << 20

// runExplain says why a store rejected an upload.
func runExplain(args []string, stdout, stderr io.Writer) (code int, err error) {
	var grantFile, answerFile string
	flags := flag.NewFlagSet("doctor explain", flag.ContinueOnError)
	flags.StringVar(&grantFile, "grant", "", "`file` with the grant as JSON, or with its URL alone")
	flags.StringVar(&answerFile, "answer", "", "`file` with the XML that the store answered; - is standard input")
	if code, done := parse(flags, args, stderr); done {
		return code, nil
	}
	if grantFile == "" || answerFile == "" || flags.NArg() > 0 {
		return notFoundOut, errors.New("-grant and -answer must be set, and there are no other arguments")
	}
	text, err := read(grantFile)
	if err != nil {
		return notFoundOut, err
	}
	g, err := parseGrant(text)
	if err != nil {
		return notFoundOut, err
	}
	if text, err = read(answerFile); err != nil {
		return notFoundOut, err
	}
	a, err := parseAnswer(text)
	if err != nil {
		return notFoundOut, err
	}
	print := newPrinter(stdout)
	print.text("", strings.TrimSpace("The store answered "+a.Code+"."))
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

// granted is a grant as a client received it.
type granted struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Fields  map[string]string `json:"fields"`

	url *url.URL
}

// parseGrant parses a grant, or its URL alone. The error does not hold the URL.
func parseGrant(text []byte) (g granted, err error) {
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

// answered is what a store answered.
type answered struct {
	Code, Message                               string
	CanonicalRequest, HeadersNotSigned          string
	ArgumentName, Condition, Region, ServerTime string
	ProposedSize, MaxSizeAllowed                string
	MinSizeAllowed                              string
}

func parseAnswer(text []byte) (a answered, err error) {
	if err := xml.Unmarshal(text, &a); err != nil || a.Code == "" {
		return a, errors.New("the answer must be the XML of S3, with a Code")
	}
	return a, nil
}

// explain returns what the client, or something between it and the store, did.
func explain(g granted, a answered, now time.Time) []string {
	switch a.Code {
	case "SignatureDoesNotMatch":
		return g.differences(a)
	case "AccessDenied":
		return g.denied(a, now)
	case "InvalidArgument", "AuthorizationHeaderMalformed":
		if strings.Contains(a.Message, "one auth mechanism") || a.ArgumentName == "Authorization" || a.Code == "AuthorizationHeaderMalformed" && g.Method == http.MethodPut {
			return []string{"The request had an Authorization header beside the URL. The client must send the URL without it; " +
				"HTTP clients often add the service's own Bearer token to every request."}
		}
		return []string{"The store rejects " + a.argument() + ": " + a.Message}
	case "AuthorizationQueryParametersError":
		return []string{"A parameter of the URL was changed, removed or sent twice: " + a.Message + " The client must use the URL as it is."}
	}
	if text, ok := explanations[a.Code]; ok {
		return []string{text}
	}
	if strings.HasPrefix(a.Code, "EntityToo") {
		return []string{fmt.Sprintf("The file has another size than was granted: it has %s bytes, and the grant allows %s.", orUnknown(a.ProposedSize), orUnknown(a.MinSizeAllowed+a.MaxSizeAllowed))}
	}
	return []string{"The grant does not explain this answer: " + a.Message}
}

func (a answered) argument() string {
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

const badBytes = "The bytes are not those of the checksum in the grant. The file changed after it was hashed, or the client hashed another form of it."

// explanations are for codes that say everything by themselves.
var explanations = map[string]string{
	"PreconditionFailed": "There is an object with this key already. The grant was used before, or another upload had the same key; " +
		"ask for a new grant, or set Policy.Replace.",
	"ConditionalRequestConflict":  "Another upload to the same key ended at the same time. Upload again.",
	"BadDigest":                   badBytes,
	"InvalidDigest":               badBytes,
	"XAmzContentChecksumMismatch": badBytes,
	"MissingContentLength":        "The request had no Content-Length: the client sent the body in chunks. It must send the file with its size.",
	"RequestTimeTooSkewed":        "The clock of the service and that of the store differ by more than 15 minutes.",
	"InvalidAccessKeyId":          "The store does not know the access key that signed. The service uses credentials of another store, or deleted ones.",
	"ExpiredToken":                "The session of the credentials that signed has ended. The service must use a provider that renews them.",
	"InvalidToken":                "The session token in the URL is not the one that was signed. The URL was cut or changed.",
	"NoSuchBucket":                "The store has no such bucket. A proxy changed the Host or the path, or the service has the wrong endpoint.",
	"NoSuchUpload":                "The multipart upload was completed or aborted. Start a new one.",
	"MethodNotAllowed":            "The store does not take this method here. The client must use the method of the grant; some stores take no forms (WithoutForms).",
	"NotImplemented":              "The store does not implement what the grant asks for. Run the doctor on the bucket.",
	"MalformedPOSTRequest":        "The body is not multipart/form-data with a boundary. The client must not set Content-Type on a form; it is set with the boundary by FormData.",
	"RequestTimeout":              "The client stopped sending before the whole file had arrived.",
}

// denied explains AccessDenied.
func (g granted) denied(a answered, now time.Time) []string {
	message := strings.ToLower(a.Message)
	switch {
	case a.HeadersNotSigned != "":
		return []string{fmt.Sprintf("The client added the header %s, which the grant does not have. It must send the headers of the grant and no other x-amz-* header.", a.HeadersNotSigned)}
	case strings.Contains(message, "expired"):
		return []string{"The grant has expired" + g.end() + ". The client must start the upload in time, or ask for a new grant."}
	case strings.Contains(message, "extra input fields"):
		_, names, _ := strings.Cut(a.Message, "ields:")
		return []string{fmt.Sprintf("The client added the form field %s, which the grant does not have.", strings.TrimSpace(names))}
	case strings.Contains(message, "condition failed"):
		return []string{g.condition(a.Message)}
	}
	if end, ok := g.ends(); ok && now.After(end) {
		return []string{"The grant has expired" + g.end() + ". The client must start the upload in time, or ask for a new grant."}
	}
	return []string{"The role that signs may not put this object: it lacks s3:PutObject for the key, or a bucket policy denies it."}
}

// condition explains a condition of a form's policy that failed.
func (g granted) condition(message string) string {
	for name, want := range g.Fields {
		if strings.Contains(strings.ToLower(message), `"$`+strings.ToLower(name)+`"`) || strings.Contains(message, `"`+name+`"`) {
			if strings.HasPrefix(strings.ToLower(name), "x-amz-") {
				return fmt.Sprintf("The form field %s is not the one of the grant. The client must send every field as it is, before the file.", name)
			}
			return fmt.Sprintf("The form field %s must be %q, as in the grant. The client changed it, left it out, or put it behind the file.", name, want)
		}
	}
	return "A field of the form is not the one of the grant: " + message
}

// ends returns when a URL ends.
func (g granted) ends() (time.Time, bool) {
	query := g.url.Query()
	signed, err := time.Parse("20060102T150405Z", query.Get("X-Amz-Date"))
	life, lifeErr := time.ParseDuration(query.Get("X-Amz-Expires") + "s")
	return signed.Add(life), err == nil && lifeErr == nil
}

func (g granted) end() string {
	if end, ok := g.ends(); ok {
		return ": it ended at " + end.Format(time.RFC3339)
	}
	return ""
}
