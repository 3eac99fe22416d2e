package s3test

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A copyResult is the response to CopyObject or UploadPartCopy.
type copyResult struct {
	XMLName      xml.Name
	ETag         string
	LastModified string
	ChecksumType string `xml:",omitempty"`
	Checksum     []element
}

// checksumElements returns the XML of a checksum, or nil without an algorithm.
func checksumElements(algorithm, value string) []element {
	if algorithm == "" {
		return nil
	}
	return []element{{XMLName: xml.Name{Local: "Checksum" + algorithm}, Value: value}}
}

// copyObject serves CopyObject.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
func (s *Server) copyObject(w http.ResponseWriter, r *request) error {
	headers := r.headers()
	if err := checkWriteHeaders(headers, "if-match", "if-none-match",
		"x-amz-copy-source", "x-amz-copy-source-if-match", "x-amz-copy-source-if-none-match",
		"x-amz-metadata-directive", "x-amz-tagging-directive"); err != nil {
		return err
	}
	if headers["if-none-match"] != "" && s.has(CopyOnceNotImplemented) {
		return notImplemented("If-None-Match on a copy")
	}
	condition, err := writeCondition(headers, r.key)
	if err != nil {
		return err
	}
	o, err := newTaggedObject(headers)
	if err != nil {
		return err
	}
	if err := r.checkNoBody("the body of a copy"); err != nil {
		return err
	}
	from, err := s.copySource(w.Header(), headers)
	if err != nil {
		return err
	}
	if err := o.inherit(from, headers); err != nil {
		return err
	}
	if s.isCurrent(r.bucket, r.key, from) && !changes(headers) {
		return invalidRequest(
			"This copy request is illegal because it is trying to copy an object to itself without " +
				"changing the object's metadata, storage class, website redirect location or encryption attributes.")
	}
	if from.Size() > s.maxCopySize {
		return sourceTooLarge(s.maxCopySize)
	}
	if s.has(CopiesLoseCacheControl) {
		o.Header.Del("Cache-Control")
	}
	algorithm, err := declaredAlgorithm(headers["x-amz-checksum-algorithm"])
	if err != nil {
		return err
	}
	// The fields that depend on the body alone are the same as for an upload.
	if err := o.fill(from.content(), nil); err != nil {
		return err
	}
	// The source has no algorithm with NoChecksums.
	o.ChecksumAlgorithm = cmp.Or(algorithm, from.ChecksumAlgorithm, "CRC64NVME")
	o.Checksum = o.content().sum(o.ChecksumAlgorithm)
	s.takeTime(r, o.Size())
	o.LastModified = now()
	if err := s.store(r, r.key, o, condition); err != nil {
		return err
	}
	o.describeStorage(w.Header())
	writeXML(w, http.StatusOK, copyResult{
		XMLName: xml.Name{Local: "CopyObjectResult"}, ETag: o.ETag,
		LastModified: o.LastModified.Format(time.RFC3339),
		ChecksumType: o.ChecksumType, Checksum: checksumElements(o.ChecksumAlgorithm, o.Checksum),
	})
	return nil
}

// copySource returns the object to copy and sets the header with its version.
// It returns an error unless the conditions on the source hold.
func (s *Server) copySource(header http.Header, headers map[string]string) (*Object, error) {
	bucket, key, version, err := parseCopySource(headers["x-amz-copy-source"])
	if err != nil {
		return nil, err
	}
	if _, ok := s.buckets[bucket]; !ok {
		return nil, noSuchBucket(bucket)
	}
	if err := checkVersionID(version); err != nil {
		return nil, err
	}
	o, err := s.lookup(bucket, key, version)
	switch {
	case err != nil:
		return nil, err
	case o.DeleteMarker && version == "":
		return nil, noSuchKey(key)
	case o.DeleteMarker:
		return nil, invalidRequest(
			"The source of a copy request may not specifically refer to a delete marker by " +
				"version id.")
	}
	if match, ok := headers["x-amz-copy-source-if-match"]; ok && !s.matches(o, match) {
		return nil, preconditionFailed("x-amz-copy-source-If-Match")
	}
	if none, ok := headers["x-amz-copy-source-if-none-match"]; ok && s.matches(o, none) {
		return nil, preconditionFailed("x-amz-copy-source-If-None-Match")
	}
	if o.VersionID != "" {
		header.Set("X-Amz-Copy-Source-Version-Id", o.VersionID)
	}
	return o, nil
}

// parseCopySource parses bucket/key?versionId=id. The text is escaped like a
// query, where a plus is a space.
func parseCopySource(header string) (bucket, key, version string, err error) {
	path, query, hasQuery := strings.Cut(header, "?")
	malformed := invalidArgument(
		"Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
		"x-amz-copy-source", "x-amz-copy-source")
	if strings.ContainsFunc(header, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "", "", "", invalidArgument("Copy Source must be URL-encoded", "x-amz-copy-source",
			"x-amz-copy-source")
	}
	if path, err = url.QueryUnescape(path); err != nil {
		return "", "", "", malformed
	}
	if strings.HasPrefix(path, "arn:") {
		return "", "", "", notImplemented("a copy source by ARN")
	}
	bucket, key, _ = strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if bucket == "" || key == "" {
		return "", "", "", malformed
	}
	if hasQuery {
		id, ok := strings.CutPrefix(query, "versionId=")
		if version, err = url.QueryUnescape(id); !ok || err != nil || version == "" {
			return "", "", "", invalidArgument("Unsupported copy source parameter.",
				"x-amz-copy-source", "x-amz-copy-source")
		}
	}
	return bucket, key, version, checkKey(key)
}

// inherit copies metadata and tags of the source unless the directives are
// REPLACE. With COPY, S3 ignores the metadata and tags of the request, but this
// server rejects the request.
func (o *Object) inherit(from *Object, headers map[string]string) error {
	switch directive := headers["x-amz-metadata-directive"]; directive {
	case "REPLACE":
	case "", "COPY":
		for name := range headers {
			if strings.HasPrefix(name, "x-amz-meta-") ||
				slices.Contains(copiedHeaders, http.CanonicalHeaderKey(name)) {
				return notImplemented("the header " + name +
					" of a copy with the source's metadata")
			}
		}
		o.Metadata = from.Metadata
		for _, name := range copiedHeaders {
			if values, ok := from.Header[name]; ok {
				o.Header[name] = values
			}
		}
	default:
		return invalidArgument("Unknown metadata directive.", "x-amz-metadata-directive", directive)
	}
	switch directive := headers["x-amz-tagging-directive"]; directive {
	case "REPLACE":
	case "", "COPY":
		if _, ok := headers["x-amz-tagging"]; ok {
			return notImplemented("the header x-amz-tagging of a copy with the source's tags")
		}
		o.Tags = from.Tags
	default:
		return invalidArgument("Unknown tagging directive.", "x-amz-tagging-directive", directive)
	}
	return nil
}

// copiedHeaders are the headers to which the metadata directive applies.
var copiedHeaders = []string{
	"Content-Type", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language",
	"Expires",
}

// changes reports whether S3 permits a copy of an object onto itself with these
// headers.
func changes(headers map[string]string) bool {
	if headers["x-amz-metadata-directive"] == "REPLACE" {
		return true
	}
	for name := range headers {
		if name == "x-amz-storage-class" || name == "x-amz-website-redirect-location" ||
			strings.HasPrefix(name, "x-amz-server-side-encryption") {
			return true
		}
	}
	return false
}

func (s *Server) isCurrent(bucket, key string, o *Object) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.buckets[bucket].current(key) == o
}

// declaredAlgorithm returns the algorithm with which S3 must compute a
// checksum, or "".
func declaredAlgorithm(name string) (string, error) {
	algorithm := strings.ToUpper(name)
	switch {
	case strings.HasPrefix(algorithm, "XXHASH"):
		return "", notImplemented("the checksum algorithm " + algorithm)
	case name != "" && checksums[algorithm] == nil:
		return "", invalidRequest(
			"Checksum algorithm provided is unsupported. Please try again with any of the valid " +
				"types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
	}
	return algorithm, nil
}

// WithCopyTime makes each copy of an object or part take this time per GiB, in
// addition to the tick of every request. The server reads the source at the
// start and stores the copy at the end. A copy has no effect if its client
// disconnects or crashes before the end.
func WithCopyTime(perGiB time.Duration) Option {
	return func(s *Server) { s.copyTime = perGiB }
}

// takeTime waits as long as a copy of this size takes.
func (s *Server) takeTime(r *request, size int64) {
	duration := time.Duration(float64(s.copyTime) * float64(size) / (1 << 30))
	if duration == 0 {
		return
	}
	err := sleep(r.Context(), duration)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err != nil || s.crashed[r.record.Actor] {
		panic(http.ErrAbortHandler)
	}
}

func sourceTooLarge(limit int64) error {
	return invalidRequest(
		"The specified copy source is larger than the maximum allowable size for a copy source: " +
			strconv.FormatInt(limit, 10))
}

// minRangedSize is the size that a source must exceed for copies of a range.
const minRangedSize = 5 << 20

// copyPart serves UploadPartCopy.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html
func (s *Server) copyPart(w http.ResponseWriter, r *request) error {
	headers := r.headers()
	if err := checkWriteHeaders(headers, "x-amz-copy-source", "x-amz-copy-source-if-match",
		"x-amz-copy-source-if-none-match", "x-amz-copy-source-range"); err != nil {
		return err
	}
	number, u, err := s.addressPart(r)
	if err != nil {
		return err
	}
	if err := r.checkNoBody("the body of a copy"); err != nil {
		return err
	}
	from, err := s.copySource(w.Header(), headers)
	if err != nil {
		return err
	}
	body := from.content()
	if header, ok := headers["x-amz-copy-source-range"]; ok {
		var first, last int64
		_, err := fmt.Sscanf(header, "bytes=%d-%d", &first, &last)
		if err != nil || header != fmt.Sprintf("bytes=%d-%d", first, last) || first > last {
			return invalidArgument(
				"The x-amz-copy-source-range value must be of the form bytes=first-last where first and "+
					"last are the zero-based offsets of the first and last bytes to copy",
				"x-amz-copy-source-range", header)
		}
		if last >= body.size() {
			message := fmt.Sprintf("Range specified is not valid for source object of size: %d",
				body.size())
			return invalidArgument(message, "x-amz-copy-source-range", header)
		}
		if body.size() <= minRangedSize {
			return invalidRequest(
				"The specified copy source is not supported as a byte-range copy source")
		}
		body = body.slice(first, last)
	}
	if body.size() > s.maxCopySize {
		return sourceTooLarge(s.maxCopySize)
	}
	s.takeTime(r, body.size())
	p := u.newPart(number, body)
	if u.algorithm != "" {
		p.algorithm, p.checksum = u.algorithm, body.sum(u.algorithm)
	}
	if err := s.storePart(u, p); err != nil {
		return err
	}
	u.object.describeStorage(w.Header())
	writeXML(w, http.StatusOK, copyResult{
		XMLName: xml.Name{Local: "CopyPartResult"}, ETag: p.etag,
		LastModified: p.modified.Format(time.RFC3339),
		Checksum:     checksumElements(p.algorithm, p.checksum),
	})
	return nil
}
