package s3test

import (
	"cmp"
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go/encoding/httpbinding"
)

const (
	minPartSize   = 5 << 20 // of all parts but the last
	maxPartNumber = 10000
	maxPage       = 1000
)

// A multipartUpload is a multipart upload and its parts.
type multipartUpload struct {
	id, bucket, key string
	object          *Object // without a body
	algorithm       string  // declared by CreateMultipartUpload, or empty
	checksumType    string  // empty without an algorithm
	initiated       time.Time

	// The lock of the server guards these fields.
	parts      map[int]*part
	conflicted bool         // An object under the key was deleted meanwhile.
	completed  *Object      // nil until the completion
	request    []listedPart // the parts that the completion listed
}

// A part is an uploaded part. It does not change after it is stored.
type part struct {
	number              int
	content             content
	digest              [md5.Size]byte
	etag                string
	algorithm, checksum string // empty if there is none
	modified            time.Time
	replaced            *part // the previous part with the number, with ListsReplacedParts
}

func (u *multipartUpload) newPart(number int, body content) *part {
	digest := body.md5()
	return &part{
		number: number, content: body, digest: digest, etag: u.object.etag(digest, ""),
		modified: now(),
	}
}

func noSuchUpload(id string) error {
	return fail(http.StatusNotFound, "NoSuchUpload",
		"The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or "+
			"completed.", "UploadId", id)
}

// upload returns the upload with the ID of the request, even if it is
// completed. The caller must hold the lock.
func (s *Server) upload(r *request) (*multipartUpload, error) {
	id := r.query.Get("uploadId")
	u, ok := s.uploads[id]
	if !ok || u.bucket != r.bucket || u.key != r.key {
		return nil, noSuchUpload(id)
	}
	return u, nil
}

// openUpload returns the upload with the ID of the request, unless it is
// completed. The caller must hold the lock.
func (s *Server) openUpload(r *request) (*multipartUpload, error) {
	u, err := s.upload(r)
	if err == nil && u.completed != nil {
		return nil, noSuchUpload(u.id)
	}
	return u, err
}

// createUpload serves CreateMultipartUpload.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html
func (s *Server) createUpload(w http.ResponseWriter, r *request) error {
	headers := r.headers()
	if err := checkWriteHeaders(headers); err != nil {
		return err
	}
	for name := range headers {
		if strings.HasPrefix(name, "x-amz-checksum-") && name != "x-amz-checksum-algorithm" &&
			name != "x-amz-checksum-type" {
			return notImplemented("the header " + name)
		}
	}
	if err := r.checkNoBody("the body of a new multipart upload"); err != nil {
		return err
	}
	o, err := newTaggedObject(headers)
	if err != nil {
		return err
	}
	u := &multipartUpload{
		id: rand.Text() + rand.Text(), bucket: r.bucket, key: r.key, object: o, initiated: now(),
		parts: make(map[int]*part),
	}
	if u.algorithm, err = declaredAlgorithm(headers["x-amz-checksum-algorithm"]); err != nil {
		return err
	}
	if s.has(NoChecksums) {
		u.algorithm = ""
		delete(headers, "x-amz-checksum-type")
	}
	if s.has(MultipartRenamesMetadata) {
		renamed := make(map[string]string)
		for name, value := range o.Metadata {
			renamed[strings.ReplaceAll(name, "_", "-")] = value
		}
		o.Metadata = renamed
	}
	if u.checksumType, err = uploadChecksumType(u.algorithm,
		headers["x-amz-checksum-type"]); err != nil {
		return err
	}
	s.mu.Lock()
	s.uploads[u.id] = u
	s.mu.Unlock()
	if u.algorithm != "" {
		w.Header().Set("X-Amz-Checksum-Algorithm", u.algorithm)
		w.Header().Set("X-Amz-Checksum-Type", u.checksumType)
	}
	o.describeStorage(w.Header())
	writeXML(w, http.StatusOK, struct {
		XMLName     xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ InitiateMultipartUploadResult"`
		Bucket, Key string
		UploadID    string `xml:"UploadId"`
	}{Bucket: u.bucket, Key: u.key, UploadID: u.id})
	return nil
}

// uploadChecksumType returns the checksum type of an upload: fullObject,
// composite, or "" without a checksum.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
func uploadChecksumType(algorithm, declared string) (string, error) {
	whole := algorithm == "CRC64NVME"
	crc := strings.HasPrefix(algorithm, "CRC")
	switch {
	case declared != "" && declared != fullObject && declared != composite:
		return "", invalidRequest("Value for x-amz-checksum-type header is invalid.")
	case declared != "" && algorithm == "":
		return "", invalidRequest(
			"The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
	case declared == fullObject && !crc, declared == composite && whole:
		return "", invalidRequest(
			fmt.Sprintf("The %s checksum type cannot be used with the %s checksum algorithm.",
				declared, strings.ToLower(algorithm)))
	case declared != "" || algorithm == "":
		return declared, nil
	case whole:
		return fullObject, nil
	}
	return composite, nil
}

// addressPart returns the number of the part that the request addresses, and
// its upload.
func (s *Server) addressPart(r *request) (int, *multipartUpload, error) {
	number, err := strconv.Atoi(r.query.Get("partNumber"))
	if err != nil || number < 1 || number > maxPartNumber {
		return 0, nil, invalidArgument(
			"Part number must be an integer between 1 and 10000, inclusive",
			"partNumber", r.query.Get("partNumber"))
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	u, err := s.openUpload(r)
	return number, u, err
}

// storePart adds a part or replaces the part with its number. It returns an
// error if the upload has ended meanwhile.
func (s *Server) storePart(u *multipartUpload, p *part) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uploads[u.id] == nil || u.completed != nil {
		return noSuchUpload(u.id)
	}
	if s.has(ListsReplacedParts) {
		p.replaced = u.parts[p.number]
	}
	u.parts[p.number] = p
	return nil
}

// uploadPart serves UploadPart.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html
func (s *Server) uploadPart(w http.ResponseWriter, r *request) error {
	headers := r.headers()
	if err := checkWriteHeaders(headers); err != nil {
		return err
	}
	number, u, err := s.addressPart(r)
	if err != nil {
		return err
	}
	body, err := r.readPayload(maxObjectSize)
	if err != nil {
		return err
	}
	if err := checkMD5(body, headers); err != nil {
		return err
	}
	algorithm, value, err := checksum(body, headers, slices.Collect(maps.Keys(checksums)))
	if err != nil {
		return err
	}
	declared := slices.ContainsFunc(slices.Collect(maps.Keys(headers)), func(name string) bool {
		return name == "x-amz-checksum-"+strings.ToLower(algorithm)
	})
	p := u.newPart(number, content{body: body})
	switch {
	case u.algorithm == "" && !declared:
	case u.algorithm == "" || declared && algorithm == u.algorithm:
		p.algorithm, p.checksum = algorithm, value
	case declared || u.checksumType == composite:
		actual := "null"
		if declared {
			actual = strings.ToLower(algorithm)
		}
		return invalidRequest(
			fmt.Sprintf(
				"Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum "+
					"Type: %s", strings.ToLower(u.algorithm), actual))
	default:
		p.algorithm, p.checksum = u.algorithm, sum(u.algorithm, body)
	}
	if err := s.storePart(u, p); err != nil {
		return err
	}
	w.Header().Set("Etag", p.etag)
	if p.algorithm != "" {
		w.Header().Set("X-Amz-Checksum-"+p.algorithm, p.checksum)
	}
	u.object.describeStorage(w.Header())
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
	return nil
}

// abortUpload serves AbortMultipartUpload.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_AbortMultipartUpload.html
func (s *Server) abortUpload(w http.ResponseWriter, r *request) error {
	if err := r.rejectHeaders("x-amz-expected-bucket-owner",
		"x-amz-if-match-initiated-time"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.openUpload(r)
	switch {
	case err == nil:
		delete(s.uploads, u.id)
	case !s.has(ForgivesEndedUploads):
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// conflict marks the uploads of a key after a delete of its object. The caller
// must hold the lock.
func (s *Server) conflict(bucket, key string) {
	for _, u := range s.uploads {
		if u.bucket == bucket && u.key == key {
			u.conflicted = true
		}
	}
}

// A listedPart is a part in the body of CompleteMultipartUpload.
type listedPart struct {
	PartNumber int
	ETag       string
	Checksums  []element `xml:",any"`
}

// completeUpload serves CompleteMultipartUpload.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
func (s *Server) completeUpload(w http.ResponseWriter, r *request) error {
	headers := r.headers()
	if err := checkWriteHeaders(headers, "if-match", "if-none-match",
		"x-amz-mp-object-size"); err != nil {
		return err
	}
	condition, err := writeCondition(headers, r.key)
	if err != nil {
		return err
	}
	body, err := r.readPayload(maxObjectSize)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.upload(r)
	if err != nil {
		return err
	}
	listed, err := parseComplete(body)
	if err != nil {
		return err
	}
	current := s.buckets[r.bucket].current(r.key)
	o := u.completed
	switch {
	case o == nil:
		if o, err = u.assemble(listed, headers); err != nil {
			return err
		}
		if err := condition(current); err != nil {
			return err
		}
		if u.conflicted && headers["if-none-match"] != "" {
			return fail(http.StatusConflict, "ConditionalRequestConflict",
				"The conditional request cannot succeed due to a conflicting operation against this resource.",
				"Condition", "If-None-Match", "Key", r.key)
		}
		s.add(r.record.Number, r.bucket, r.key, o)
		u.completed, u.request, u.parts = o, listed, nil
	case current != o || !reflect.DeepEqual(listed, u.request):
		return noSuchUpload(u.id)
	default:
		if err := condition(current); err != nil {
			return err
		}
	}
	o.describeStorage(w.Header())
	writeXML(w, http.StatusOK, struct {
		XMLName      xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CompleteMultipartUploadResult"`
		Location     string
		Bucket, Key  string
		ETag         string
		ChecksumType string
		Checksum     []element
	}{
		Location: s.URL + "/" + r.bucket + "/" + httpbinding.EscapePath(r.key, true),
		Bucket:   r.bucket, Key: r.key, ETag: o.ETag,
		ChecksumType: o.ChecksumType, Checksum: checksumElements(o.ChecksumAlgorithm, o.Checksum),
	})
	return nil
}

func parseComplete(body []byte) ([]listedPart, error) {
	var document struct {
		XMLName xml.Name     `xml:"CompleteMultipartUpload"`
		Parts   []listedPart `xml:"Part"`
	}
	malformed := fail(http.StatusBadRequest, "MalformedXML",
		"The XML you provided was not well-formed or did not validate against our published schema")
	if err := xml.Unmarshal(body, &document); err != nil {
		return nil, malformed
	}
	if len(document.Parts) == 0 {
		return nil, invalidRequest("You must specify at least one part")
	}
	last := 0
	for i, p := range document.Parts {
		if p.PartNumber < 1 || p.PartNumber > maxPartNumber {
			return nil, invalidArgument("PartNumber must be >= 1",
				"partNumber", strconv.Itoa(p.PartNumber))
		}
		if p.PartNumber <= last {
			return nil, fail(http.StatusBadRequest, "InvalidPartOrder",
				"The list of parts was not in ascending order. Parts must be ordered by part number.")
		}
		last = p.PartNumber
		for j, sum := range p.Checksums {
			if !strings.HasPrefix(sum.XMLName.Local, "Checksum") {
				return nil, malformed
			}
			document.Parts[i].Checksums[j].XMLName.Space = ""
		}
		document.Parts[i].ETag = strings.Trim(p.ETag, `"`)
	}
	return document.Parts, nil
}

// assemble returns the object that the parts form. It returns an error unless
// the listed parts match the uploaded parts and the object matches the headers.
func (u *multipartUpload) assemble(
	listed []listedPart, headers map[string]string,
) (*Object, error) {
	o := *u.object
	var whole content
	var err error
	var digests, sums []byte
	for i, entry := range listed {
		p := u.parts[entry.PartNumber]
		for p != nil && strings.Trim(p.etag, `"`) != entry.ETag {
			p = p.replaced
		}
		if p == nil {
			return nil, u.invalidPart(entry)
		}
		if err := u.checkPartChecksum(p, entry); err != nil {
			return nil, err
		}
		if u.checksumType == composite && entry.PartNumber != i+1 {
			return nil, internalError()
		}
		if i < len(listed)-1 && p.content.size() < minPartSize {
			return nil, fail(http.StatusBadRequest, "EntityTooSmall",
				"Your proposed upload is smaller than the minimum allowed size",
				"ETag", entry.ETag, "PartNumber", strconv.Itoa(entry.PartNumber),
				"MinSizeAllowed", strconv.Itoa(minPartSize),
				"ProposedSize", strconv.FormatInt(p.content.size(), 10))
		}
		if whole, err = whole.extend(p.content); err != nil {
			return nil, err
		}
		digests = append(digests, p.digest[:]...)
		if u.checksumType == composite {
			raw, _ := base64.StdEncoding.DecodeString(p.checksum) // The server has encoded it.
			sums = append(sums, raw...)
		}
	}
	o.Body, o.Zeros = slices.Clip(whole.body), whole.zeros
	if size, ok := headers["x-amz-mp-object-size"]; ok {
		n, err := strconv.ParseInt(size, 10, 64)
		if err != nil || n < 0 {
			return nil, invalidRequest("Value for x-amz-mp-object-size header is invalid.")
		}
		if n != o.Size() {
			return nil, invalidRequest(
				fmt.Sprintf("The provided 'x-amz-mp-object-size' header value %d does not match "+
					"what was computed: %d", n, o.Size()))
		}
	}
	suffix := "-" + strconv.Itoa(len(listed))
	o.ETag, o.LastModified = o.etag(md5.Sum(digests), suffix), now()
	o.ChecksumAlgorithm, o.ChecksumType = cmp.Or(u.algorithm, "CRC64NVME"),
		cmp.Or(u.checksumType, fullObject)
	if o.ChecksumType == composite {
		o.Checksum = sum(u.algorithm, sums) + suffix
	} else {
		o.Checksum = o.content().sum(o.ChecksumAlgorithm)
	}
	return &o, u.checkChecksum(&o, headers)
}

func (u *multipartUpload) invalidPart(entry listedPart) error {
	return fail(http.StatusBadRequest, "InvalidPart",
		"One or more of the specified parts could not be found.  The part "+
			"may not have been uploaded, or the specified entity tag may not match the part's entity tag.",
		"UploadId", u.id, "PartNumber", strconv.Itoa(entry.PartNumber), "ETag", entry.ETag)
}

// checkPartChecksum compares the checksums of a listed part with the checksum
// of the uploaded part. A list may have checksums only if the upload was
// created with an algorithm.
func (u *multipartUpload) checkPartChecksum(p *part, entry listedPart) error {
	if u.algorithm == "" {
		if len(entry.Checksums) > 0 {
			return u.invalidPart(entry)
		}
		return nil
	}
	algorithm := strings.ToLower(u.algorithm)
	for _, sum := range entry.Checksums {
		if sum.XMLName.Local != "Checksum"+u.algorithm {
			return u.invalidPart(entry)
		}
		if sum.Value != p.checksum {
			return fail(http.StatusBadRequest, "BadDigest",
				fmt.Sprintf("The %s you specified for part %d did not match what we received.",
					algorithm, entry.PartNumber))
		}
	}
	if u.checksumType == composite && len(entry.Checksums) == 0 {
		return invalidRequest(
			fmt.Sprintf("The upload was created using a %s checksum. The complete request must "+
				"include the checksum for each part. It was missing for part %d in the request.",
				algorithm, entry.PartNumber))
	}
	return nil
}

// checkChecksum compares the headers with the checksum of the whole object. It
// ignores the checksum if the upload was created without an algorithm.
func (u *multipartUpload) checkChecksum(o *Object, headers map[string]string) error {
	declared, hasType := headers["x-amz-checksum-type"]
	if hasType && declared != u.checksumType {
		return invalidRequest(
			fmt.Sprintf(
				"The upload was created using the %s checksum mode. The complete request must "+
					"use the same checksum mode.", cmp.Or(u.checksumType, "null")))
	}
	for name, value := range headers {
		algorithm, ok := strings.CutPrefix(name, "x-amz-checksum-")
		if !ok || algorithm == "type" || u.algorithm == "" {
			continue
		}
		if strings.ToUpper(algorithm) != u.algorithm {
			return notImplemented("the header " + name + " of an upload with another algorithm")
		}
		if value != o.Checksum || u.checksumType == fullObject && !hasType {
			return fail(http.StatusBadRequest, "BadDigest",
				fmt.Sprintf("The %s you specified did not match the calculated checksum.",
					algorithm))
		}
	}
	return nil
}
