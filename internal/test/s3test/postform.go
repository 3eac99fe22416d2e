package s3test

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"mime"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go/encoding/httpbinding"
)

// maxPreData is the largest number of bytes in a form before the file.
const maxPreData = 20480

// A form is a decoded multipart/form-data body.
type form struct {
	fields map[string]string // by name in lower case
	file   []byte
	before int // bytes of the body before the file
}

// postForm serves POST Object.
// https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html
func (s *Server) postForm(w http.ResponseWriter, r *request) error {
	contentType := r.Header.Get("Content-Type")
	mediaType, parameters, err := mime.ParseMediaType(contentType)
	if !strings.HasPrefix(strings.ToLower(contentType), "multipart/form-data") ||
		err == nil && mediaType != "multipart/form-data" {
		return preconditionFailed("Bucket POST must be of the enclosure-type multipart/form-data")
	}
	boundary := parameters["boundary"]
	if err != nil || boundary == "" {
		return malformedForm()
	}
	if r.Header.Get("Content-Length") == "" {
		return missingLength()
	}
	if limit := maxObjectSize + maxPreData; r.ContentLength > limit {
		return tooLarge(r.ContentLength, maxObjectSize)
	}
	body, err := r.readBody()
	if err != nil {
		return err
	}
	f, err := parseForm(body, boundary)
	if err != nil {
		return err
	}
	if f.before > maxPreData {
		return fail(http.StatusBadRequest, "MaxPostPreDataLengthExceeded",
			"Your POST request fields preceeding the upload file was too large.",
			"MaxPostPreDataLengthBytes", strconv.Itoa(maxPreData))
	}
	if err := s.verifyForm(f.fields); err != nil {
		return err
	}
	if _, ok := s.buckets[r.bucket]; !ok {
		return noSuchBucket(r.bucket)
	}
	p, err := parsePolicy(f.fields["policy"])
	if err != nil {
		return err
	}
	if bucket, ok := f.fields["bucket"]; ok && bucket != r.bucket {
		return violated(`Policy Condition failed: ["eq", "$bucket", "%s"]`, bucket)
	}
	f.fields["bucket"] = r.bucket
	if err := p.check(f.fields, int64(len(f.file))); err != nil {
		return err
	}
	key := f.fields["key"]
	if key == "" {
		return invalidArgument("User key must have a length greater than 0.", "key", "")
	}
	if err := checkKey(key); err != nil {
		return err
	}
	o, err := f.object()
	if err != nil {
		return err
	}
	s.mu.Lock()
	r.record.Key = key
	s.mu.Unlock()
	if err := s.store(r, key, o, always); err != nil {
		return err
	}
	return f.succeed(w, r, o)
}

func malformedForm() error {
	return fail(http.StatusBadRequest, "MalformedPOSTRequest",
		"The body of your POST request is not well-formed multipart/form-data.")
}

// parseForm decodes the file and the fields before it, and replaces ${filename}
// in the fields. It does not use mime/multipart, which cannot count the bytes
// before the file.
func parseForm(body []byte, boundary string) (*form, error) {
	f := &form{fields: make(map[string]string)}
	var found, closed bool
	var filename *string
	delimiter := []byte("\r\n--" + boundary)
	parts := bytes.Split(append([]byte("\r\n"), body...), delimiter)
	before := len(parts[0]) - len("\r\n")
	for _, part := range parts[1:] {
		if bytes.HasPrefix(part, []byte("--")) {
			closed = true
			break
		}
		name, partFilename, content, err := parsePart(part)
		if err != nil {
			return nil, err
		}
		before += len(delimiter) + len(part)
		switch {
		case found: // S3 ignores fields after the file.
		case name == "file":
			found, f.file, filename = true, content, partFilename
			f.before = before - len(content)
		default:
			if _, ok := f.fields[name]; ok {
				return nil, invalidArgument("Bucket POST must contain each field once.", name, "")
			}
			f.fields[name] = string(content)
		}
	}
	if !closed {
		return nil, malformedForm()
	}
	if !found {
		return nil, invalidArgument("POST requires exactly one file upload per request.",
			"file", "0")
	}
	if filename != nil { // Without a file name, S3 does not replace the variable.
		base := (*filename)[strings.LastIndexAny(*filename, `/\`)+1:]
		for name, value := range f.fields {
			if name != "policy" && name != "x-amz-signature" {
				f.fields[name] = strings.ReplaceAll(value, "${filename}", base)
			}
		}
	}
	return f, nil
}

// parsePart parses the text between two boundaries: the rest of the boundary's
// line, headers and content.
func parsePart(part []byte) (name string, filename *string, content []byte, err error) {
	head, content, ok := bytes.Cut(part, []byte("\r\n\r\n"))
	head, start := bytes.CutPrefix(bytes.TrimLeft(head, " \t"), []byte("\r\n"))
	if !ok || !start {
		return "", nil, nil, malformedForm()
	}
	reader := textproto.NewReader(bufio.NewReader(bytes.NewReader(append(head, "\r\n\r\n"...))))
	header, err := reader.ReadMIMEHeader()
	if err != nil {
		return "", nil, nil, malformedForm()
	}
	disposition, parameters, err := mime.ParseMediaType(header.Get("Content-Disposition"))
	if err != nil || disposition != "form-data" || parameters["name"] == "" {
		return "", nil, nil, malformedForm()
	}
	if value, ok := parameters["filename"]; ok {
		filename = &value
	}
	return strings.ToLower(parameters["name"]), filename, content, nil
}

// verifyForm verifies the signature of the policy text. Callers parse the
// policy afterwards.
func (s *Server) verifyForm(fields map[string]string) error {
	missing := func(name string) error {
		return invalidArgument(
			fmt.Sprintf(
				"Bucket POST must contain a field named '%s'.  If it is specified, please check "+
					"the order of the fields.", name), name, "")
	}
	if _, ok := fields["key"]; !ok {
		return missing("key")
	}
	required := []string{"X-Amz-Signature", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date"}
	var absent []string
	for _, name := range required {
		if _, ok := fields[strings.ToLower(name)]; !ok {
			absent = append(absent, name)
		}
	}
	switch {
	case fields["policy"] == "" || len(absent) == len(required):
		return accessDenied("Access Denied") // The form is anonymous.
	case len(absent) > 0:
		return missing(absent[0])
	case fields["x-amz-algorithm"] != algorithm:
		return invalidArgument(fmt.Sprintf("X-Amz-Algorithm only supports %q", algorithm),
			"X-Amz-Algorithm", "")
	}
	date, credential := fields["x-amz-date"], fields["x-amz-credential"]
	signed, err := time.Parse(timeFormat, date)
	if err != nil {
		return invalidArgument("X-Amz-Date must be formated via ISO8601 Long format",
			"X-Amz-Date", date)
	}
	keyID, problem := s.checkScope(credential, signed)
	if problem != "" {
		return fail(http.StatusBadRequest, "InvalidArgument", problem,
			"ArgumentName", "X-Amz-Credential", "ArgumentValue", credential, "Region", s.region)
	}
	creds, err := s.credentials(keyID, fields["x-amz-security-token"])
	if err != nil {
		return err
	}
	if fields["x-amz-signature"] != formSignature(creds.SecretAccessKey, signed.Format(dateFormat),
		s.region, fields["policy"]) {
		return fail(http.StatusForbidden, "SignatureDoesNotMatch", signatureDoesNotMatch,
			"AWSAccessKeyId", keyID, "StringToSign", fields["policy"],
			"SignatureProvided", fields["x-amz-signature"],
			"StringToSignBytes", fmt.Sprintf("% x", fields["policy"]))
	}
	// A signing key is valid for seven days.
	// https://docs.aws.amazon.com/AmazonS3/latest/API/bucket-policy-s3-sigv4-conditions.html
	now := time.Now()
	if signed.After(now.Add(maxSkew)) || !now.Before(signed.Add(maxExpires)) {
		return accessDenied("Invalid according to Policy: X-Amz-Date is out of range.")
	}
	return nil
}

// formHeaders are the fields with the effect of the PUT header of the same
// name, besides x-amz-meta-* and x-amz-checksum-*. Other headers, such as
// if-none-match or x-amz-tagging, have no effect as fields, even if the policy
// allows them.
var formHeaders = []string{
	"content-type", "cache-control", "content-disposition", "content-encoding", "expires",
	"content-md5", "x-amz-storage-class", "x-amz-website-redirect-location",
	"x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id",
	"x-amz-server-side-encryption-context", "x-amz-server-side-encryption-bucket-key-enabled",
	"x-amz-server-side-encryption-customer-algorithm", "x-amz-server-side-encryption-customer-key",
	"x-amz-server-side-encryption-customer-key-md5",
}

func (f *form) object() (*Object, error) {
	headers := make(map[string]string)
	for name, value := range f.fields {
		if strings.HasPrefix(name, "x-amz-meta-") || strings.HasPrefix(name, "x-amz-checksum-") {
			headers[name] = value
		}
	}
	for _, name := range formHeaders {
		if value, ok := f.fields[name]; ok {
			headers[name] = value
		}
	}
	if acl, ok := f.fields["acl"]; ok {
		headers["x-amz-acl"] = acl
	}
	o, err := newObject(headers)
	if err != nil {
		return nil, err
	}
	if tagging, ok := f.fields["tagging"]; ok {
		if o.Tags, err = parseTaggingXML(tagging); err != nil {
			return nil, err
		}
	}
	if err := o.fill(content{body: f.file}, headers, "CRC32", "CRC32C", "SHA1",
		"SHA256"); err != nil {
		return nil, err
	}
	return o, nil
}

// succeed sends the response that the form requests.
func (f *form) succeed(w http.ResponseWriter, r *request, o *Object) error {
	o.describe(w.Header())
	key := f.fields["key"]
	location := url.URL{Scheme: "http", Host: r.Host}
	if r.TLS != nil {
		location.Scheme = "https"
	}
	path := "/" + httpbinding.EscapePath(key, true)
	if !r.virtual {
		path = "/" + r.bucket + path
	}
	w.Header().Set("Location", location.String()+path)

	redirect := cmp.Or(f.fields["success_action_redirect"], f.fields["redirect"])
	if target, err := url.Parse(redirect); err == nil && target.Host != "" &&
		(target.Scheme == "http" || target.Scheme == "https") {
		query := "bucket=" + url.QueryEscape(r.bucket) + "&key=" + url.QueryEscape(key) + "&etag=" +
			url.QueryEscape(o.ETag)
		if target.RawQuery != "" {
			query = target.RawQuery + "&" + query
		}
		target.RawQuery = query
		w.Header().Set("Location", target.String())
		w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	switch f.fields["success_action_status"] {
	case "200":
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusOK)
	case "201":
		writeXML(w, http.StatusCreated, struct {
			XMLName  xml.Name `xml:"PostResponse"`
			Location string
			Bucket   string
			Key      string
			ETag     string
		}{Location: w.Header().Get("Location"), Bucket: r.bucket, Key: key, ETag: o.ETag})
	default:
		w.WriteHeader(http.StatusNoContent)
	}
	return nil
}
