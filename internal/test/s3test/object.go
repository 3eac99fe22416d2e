package s3test

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxObjectSize   int64 = 5 << 30
	maxKeyLength          = 1024
	maxMetadataSize       = 2048
)

// An Object is an object that the server stores under a key.
type Object struct {
	Body  []byte
	Zeros int64 // number of zero bytes after Body that are only counted, not held
	// Header holds the headers of the object without its metadata, as GetObject
	// returns them: Content-Type, Cache-Control, X-Amz-Storage-Class (if not
	// STANDARD), X-Amz-Server-Side-Encryption and so on.
	Header            http.Header
	Metadata          map[string]string // by name in lower case, without x-amz-meta-
	Tags              map[string]string
	ChecksumAlgorithm string // as in types.ChecksumAlgorithm
	ChecksumType      string // as in types.ChecksumType
	Checksum          string // in base64; a composite one ends with the number of parts
	ETag              string // in quotes; not an MD5 if encrypted with KMS
	VersionID         string // empty without versioning
	DeleteMarker      bool   // A delete marker has only a version ID and a time.
	LastModified      time.Time
}

const (
	fullObject = "FULL_OBJECT"
	composite  = "COMPOSITE"
)

func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

// systemHeaders are stored and returned unchanged.
var systemHeaders = []string{
	"Content-Type", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language",
	"Expires", "X-Amz-Website-Redirect-Location", "X-Amz-Server-Side-Encryption",
	"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id",
	"X-Amz-Server-Side-Encryption-Bucket-Key-Enabled",
}

// newObject returns an object without a body. The names of the headers must be
// in lower case.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
func newObject(headers map[string]string) (*Object, error) {
	if err := checkACL(headers); err != nil {
		return nil, err
	}
	if err := checkEncryption(headers); err != nil {
		return nil, err
	}
	if strings.Contains(strings.ToLower(headers["content-encoding"]), "aws-chunked") {
		return nil, notImplemented("aws-chunked content")
	}
	o := &Object{
		Header: http.Header{
			"Content-Type":                 {"binary/octet-stream"},
			"X-Amz-Server-Side-Encryption": {"AES256"}, // the default since 2023-01-05
		},
		Metadata: make(map[string]string),
	}
	for _, name := range systemHeaders {
		if value := headers[strings.ToLower(name)]; value != "" {
			o.Header.Set(name, value)
		}
	}
	switch class := headers["x-amz-storage-class"]; class {
	case "", "STANDARD":
	case "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER",
		"GLACIER_IR", "DEEP_ARCHIVE":
		o.Header.Set("X-Amz-Storage-Class", class)
	default:
		return nil, fail(http.StatusBadRequest, "InvalidStorageClass",
			"The storage class you specified is not valid",
			"StorageClassRequested", class)
	}
	if target, ok := headers["x-amz-website-redirect-location"]; ok {
		absolute := strings.HasPrefix(target, "http://") || strings.HasPrefix(target, "https://")
		if !absolute && !strings.HasPrefix(target, "/") || len(target) > 2048 {
			return nil, fail(http.StatusBadRequest, "InvalidRedirectLocation",
				"The website redirect location must have a prefix of 'http://' or 'https://' or '/'.")
		}
	}
	size := 0
	for name, value := range headers {
		if name, ok := strings.CutPrefix(name, "x-amz-meta-"); ok {
			o.Metadata[name] = value
			size += len(name) + len(value)
		}
	}
	if size > maxMetadataSize {
		return nil, fail(http.StatusBadRequest, "MetadataTooLarge",
			"Your metadata headers exceed the maximum allowed metadata size",
			"Size", strconv.Itoa(size), "MaxSizeAllowed", strconv.Itoa(maxMetadataSize))
	}
	return o, nil
}

// checkACL rejects ACLs, as a bucket does if its owner enforces ownership.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-ownership-error-responses.html
func checkACL(headers map[string]string) error {
	disabled := fail(http.StatusBadRequest, "AccessControlListNotSupported",
		"The bucket does not allow ACLs")
	for name := range headers {
		if strings.HasPrefix(name, "x-amz-grant-") {
			return disabled
		}
	}
	switch acl, ok := headers["x-amz-acl"]; {
	case !ok, acl == "bucket-owner-full-control":
		return nil
	case slices.Contains([]string{
		"private", "public-read", "public-read-write", "aws-exec-read", "authenticated-read",
		"bucket-owner-read",
	}, acl):
		return disabled
	default:
		return invalidArgument("", "x-amz-acl", acl)
	}
}

func checkEncryption(headers map[string]string) error {
	const prefix = "x-amz-server-side-encryption"
	encryption, ok := headers[prefix]
	kms := encryption == "aws:kms" || encryption == "aws:kms:dsse"
	if ok && !kms && encryption != "AES256" {
		return fail(http.StatusBadRequest, "InvalidEncryptionAlgorithmError",
			"The encryption request you specified is not valid. The valid value is AES256.")
	}
	for name, value := range headers {
		switch option, _ := strings.CutPrefix(name, prefix+"-"); {
		case option == name:
		case strings.HasPrefix(option, "customer-"):
			return notImplemented("SSE-C")
		case !kms, option == "bucket-key-enabled" && value != "true" && value != "false":
			return invalidArgument(
				"The header requires Server Side Encryption with AWS KMS and a valid value",
				name, value)
		}
	}
	return nil
}

// fill verifies the body against the headers and adds it to the object.
func (o *Object) fill(body content, headers map[string]string, algorithms ...string) error {
	if err := checkMD5(body.body, headers); err != nil {
		return err
	}
	var err error
	if o.ChecksumAlgorithm, o.Checksum, err = checksum(body.hashed(), headers,
		algorithms); err != nil {
		return err
	}
	o.ChecksumType = fullObject
	o.Body, o.Zeros = body.body, body.zeros
	o.ETag, o.LastModified = o.etag(body.md5(), ""), now()
	return nil
}

// etag returns the ETag for a digest. It is random for an object that is
// encrypted with KMS.
func (o *Object) etag(digest [md5.Size]byte, suffix string) string {
	if strings.HasPrefix(o.Header.Get("X-Amz-Server-Side-Encryption"), "aws:kms") {
		_, _ = rand.Read(digest[:]) // It never fails.
	}
	return `"` + hex.EncodeToString(digest[:]) + suffix + `"`
}

// describe sets the headers of the response to a request that stored the
// object.
func (o *Object) describe(header http.Header) {
	header.Set("Etag", o.ETag)
	o.setChecksum(header)
	o.describeStorage(header)
}

// describeStorage sets the version and encryption headers, which every response
// about a stored object has.
func (o *Object) describeStorage(header http.Header) {
	if o.VersionID != "" {
		header.Set("X-Amz-Version-Id", o.VersionID)
	}
	for name, values := range o.Header {
		if strings.HasPrefix(name, "X-Amz-Server-Side-Encryption") {
			header[name] = values
		}
	}
}

func (o *Object) setChecksum(header http.Header) {
	if o.ChecksumAlgorithm == "" {
		return
	}
	header.Set("X-Amz-Checksum-"+o.ChecksumAlgorithm, o.Checksum)
	header.Set("X-Amz-Checksum-Type", o.ChecksumType)
}

// checkKey rejects keys that S3 does not allow.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
func checkKey(key string) error {
	if len(key) > maxKeyLength {
		return fail(http.StatusBadRequest, "KeyTooLongError", "Your key is too long",
			"Size", strconv.Itoa(len(key)), "MaxSizeAllowed", strconv.Itoa(maxKeyLength))
	}
	depth := 0
	for segment := range strings.SplitSeq(key, "/") {
		switch segment {
		case "", ".":
		case "..":
			depth--
		default:
			depth++
		}
		if depth < 0 {
			return invalidURI()
		}
	}
	if !utf8.ValidString(key) {
		return invalidURI()
	}
	return nil
}

// store stores the object under its key unless the condition returns an error.
// The argument of the condition is the current object, or nil.
func (s *Server) store(r *request, key string, o *Object, condition func(*Object) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := condition(s.buckets[r.bucket].current(key)); err != nil {
		return err
	}
	s.add(r.record.Number, r.bucket, key, o)
	return nil
}

func always(*Object) error { return nil }

// putObject serves PutObject.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
func (s *Server) putObject(w http.ResponseWriter, r *request) error {
	headers := r.headers()
	if err := checkWriteHeaders(headers, "if-match", "if-none-match"); err != nil {
		return err
	}
	condition, err := writeCondition(headers, r.key)
	if err != nil {
		return err
	}
	o, err := newTaggedObject(headers)
	if err != nil {
		return err
	}
	body, err := r.readPayload(maxObjectSize)
	if err != nil {
		return err
	}
	if err := o.fill(content{body: body}, headers,
		slices.Collect(maps.Keys(checksums))...); err != nil {
		return err
	}
	if err := s.store(r, r.key, o, condition); err != nil {
		return err
	}
	o.describe(w.Header())
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
	return nil
}

// specialHeaders are rejected unless an operation lists them as known.
var specialHeaders = []string{
	"if-match", "if-none-match", "x-amz-metadata-directive", "x-amz-tagging-directive",
	"x-amz-mp-object-size", "x-amz-trailer", "x-amz-decoded-content-length",
	"x-amz-write-offset-bytes", "x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner",
}

// checkWriteHeaders rejects headers of a write that S3 rejects or this server
// does not support. The operation supports the headers in known.
func checkWriteHeaders(headers map[string]string, known ...string) error {
	for name := range headers {
		switch {
		case strings.HasPrefix(name, "x-amz-object-lock-"):
			return invalidRequest("Bucket is missing Object Lock Configuration")
		case slices.Contains(known, name):
		case slices.Contains(specialHeaders, name), strings.HasPrefix(name, "x-amz-copy-source"):
			return notImplemented("the header " + name)
		}
	}
	return nil
}

// newTaggedObject returns an object without a body. The headers may contain
// tags.
func newTaggedObject(headers map[string]string) (*Object, error) {
	o, err := newObject(headers)
	if err != nil {
		return nil, err
	}
	if tagging, ok := headers["x-amz-tagging"]; ok {
		o.Tags, err = parseTaggingHeader(tagging)
	}
	return o, err
}

// readPayload reads the body. It returns an error if the body is shorter than
// its Content-Length, larger than limit, or differs from the signed digest.
func (r *request) readPayload(limit int64) ([]byte, error) {
	if r.Header.Get("Content-Length") == "" {
		return nil, missingLength()
	}
	if r.ContentLength > limit {
		return nil, tooLarge(r.ContentLength, limit)
	}
	body, err := r.readBody()
	if err != nil {
		return nil, err
	}
	return body, checkPayload(r.payloadHash(), body)
}

// checkNoBody returns an error if the request has a body. The argument what
// names the body in the error.
func (r *request) checkNoBody(what string) error {
	body, err := r.readPayload(maxObjectSize)
	if err == nil && len(body) > 0 {
		err = notImplemented(what)
	}
	return err
}

// readBody reads exactly Content-Length bytes.
func (r *request) readBody() ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, r.ContentLength))
	if errors.Is(err, io.ErrUnexpectedEOF) || err == nil && int64(len(body)) < r.ContentLength {
		return nil, incompleteBody()
	}
	return body, err
}

// checkPayload compares the body with the digest that the signature covers.
func checkPayload(hash string, body []byte) error {
	switch digest := sha256.Sum256(body); {
	case hash == "", hash == unsignedPayload, hash == hex.EncodeToString(digest[:]):
		return nil
	case strings.HasPrefix(hash, "STREAMING-"):
		return notImplemented("the payload " + hash)
	case len(hash) != hex.EncodedLen(sha256.Size):
		return invalidArgument(
			"x-amz-content-sha256 must be UNSIGNED-PAYLOAD or a valid sha256 value.",
			"x-amz-content-sha256", hash)
	default:
		return fail(http.StatusBadRequest, "XAmzContentSHA256Mismatch",
			"The provided 'x-amz-content-sha256' header does not match what was computed.",
			"ClientComputedContentSHA256", hash,
			"S3ComputedContentSHA256", hex.EncodeToString(digest[:]))
	}
}

// writeCondition returns the function that checks If-Match and If-None-Match.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
func writeCondition(headers map[string]string, key string) (func(*Object) error, error) {
	match, hasMatch := headers["if-match"]
	none, hasNone := headers["if-none-match"]
	notAccepted := func(header string) error {
		return fail(http.StatusNotImplemented, "NotImplemented",
			"A header you provided implies functionality that is not implemented", "Header", header,
			"additionalMessage",
			"We don't accept the provided value of "+header+" header for this API")
	}
	switch {
	case hasNone && (hasMatch || none != "*"):
		return nil, notAccepted("If-None-Match")
	case hasMatch && match == "*":
		return nil, notAccepted("If-Match")
	case hasNone:
		return func(existing *Object) error {
			if existing != nil {
				return preconditionFailed("If-None-Match")
			}
			return nil
		}, nil
	case hasMatch:
		return func(existing *Object) error {
			if existing == nil {
				return noSuchKey(key)
			}
			if !existing.matches(match) {
				return preconditionFailed("If-Match")
			}
			return nil
		}, nil
	}
	return always, nil
}

// matches reports whether the object has the ETag. The quotes of the ETag are
// optional.
func (o *Object) matches(etag string) bool {
	return etag == "*" || strings.Trim(etag, `"`) == strings.Trim(o.ETag, `"`)
}

// overrides holds the query parameters of GetObject that replace a header of
// the response.
var overrides = map[string]string{
	"response-content-type":        "Content-Type",
	"response-content-language":    "Content-Language",
	"response-expires":             "Expires",
	"response-cache-control":       "Cache-Control",
	"response-content-disposition": "Content-Disposition",
	"response-content-encoding":    "Content-Encoding",
}

// getObject serves GetObject and HeadObject.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
func (s *Server) getObject(w http.ResponseWriter, r *request) error {
	if err := r.rejectHeaders("If-Modified-Since", "If-Unmodified-Since",
		"X-Amz-Expected-Bucket-Owner"); err != nil {
		return err
	}
	o, err := s.find(r, w.Header())
	if err != nil {
		return err
	}
	if match := r.Header.Get("If-Match"); match != "" && !o.matches(match) {
		return preconditionFailed("If-Match")
	}
	header := w.Header()
	header.Set("Etag", o.ETag)
	if none := r.Header.Get("If-None-Match"); none != "" && o.matches(none) {
		return fail(http.StatusNotModified, "NotModified", "Not Modified")
	}
	status, body := http.StatusOK, o.content()
	if first, last, ok := parseRange(r.Header.Get("Range"), o.Size()); ok {
		if first > last {
			return fail(http.StatusRequestedRangeNotSatisfiable, "InvalidRange",
				"The requested range is not satisfiable",
				"RangeRequested", r.Header.Get("Range"),
				"ActualObjectSize", strconv.FormatInt(o.Size(), 10))
		}
		status, body = http.StatusPartialContent, body.slice(first, last)
		header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, o.Size()))
	} else if r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" {
		o.setChecksum(header)
	}
	for name, values := range o.Header {
		header[name] = values
	}
	if expires := o.Header.Get("Expires"); expires != "" && s.has(CorrectsExpires) {
		header.Set("Expires", correctDate(expires))
	}
	for name, value := range o.Metadata {
		header.Set("X-Amz-Meta-"+name, mime.QEncoding.Encode("UTF-8", value))
	}
	for parameter, name := range overrides {
		if r.query.Has(parameter) {
			header.Set(name, r.query.Get(parameter))
		}
	}
	if len(o.Tags) > 0 {
		header.Set("X-Amz-Tagging-Count", strconv.Itoa(len(o.Tags)))
	}
	header.Set("Last-Modified", o.LastModified.Format(http.TimeFormat))
	header.Set("Accept-Ranges", "bytes")
	if r.Method == http.MethodGet && body.zeros > maxZeros {
		return notImplemented("a response with more than 64 MiB of zeros that are only counted")
	}
	header.Set("Content-Length", strconv.FormatInt(body.size(), 10))
	w.WriteHeader(status)
	if r.Method == http.MethodGet {
		body.writeTo(w)
	}
	return nil
}

// parseRange parses a single range of bytes and limits it to the size. Like S3,
// it ignores other ranges. If the range contains no byte of the object, first
// is greater than last.
func parseRange(header string, size int64) (first, last int64, ok bool) {
	spec, ok := strings.CutPrefix(header, "bytes=")
	from, to, dash := strings.Cut(spec, "-")
	if !ok || !dash {
		return 0, 0, false
	}
	start, startErr := strconv.ParseUint(from, 10, 62)
	end, endErr := strconv.ParseUint(to, 10, 62)
	switch {
	case from == "" && endErr == nil: // The range is a number of last bytes.
		return size - min(int64(end), size), size - 1, true
	case startErr == nil && to == "":
		return int64(start), size - 1, true
	case startErr == nil && endErr == nil && start <= end:
		return int64(start), min(int64(end), size-1), true
	}
	return 0, 0, false
}

// Size returns the length of the object.
func (o *Object) Size() int64 { return o.content().size() }
