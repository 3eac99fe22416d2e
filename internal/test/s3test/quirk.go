package s3test

import (
	"crypto/md5"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Quirk is a way in which some store differs from S3.
type Quirk int

// The quirks, each with the stores where it was seen.
const (
	// CopyOnceNotImplemented: CopyObject with If-None-Match fails with 501.
	// Swift.
	CopyOnceNotImplemented Quirk = iota
	// PartsNeverMatch: a condition of a copy or deletion on the ETag of a
	// multipart upload's object fails with 412. Swift.
	PartsNeverMatch
	// CopiesLoseCacheControl: a copy has no Cache-Control. gofakes3.
	CopiesLoseCacheControl
	// CorrectsExpires: GetObject and HeadObject return Expires with the right
	// weekday. MinIO.
	CorrectsExpires
	// ListsReplacedParts: ListParts also lists the parts that were replaced,
	// each after the part that replaced it, and CompleteMultipartUpload accepts
	// them. SeaweedFS.
	ListsReplacedParts
	// ForgivesEndedUploads: ListParts of an upload that has ended lists no
	// parts, and AbortMultipartUpload succeeds. SeaweedFS, and Swift after a
	// completion.
	ForgivesEndedUploads
	// MultipartRenamesMetadata: names of metadata have "-" instead of "_", in
	// multipart uploads only. Swift.
	MultipartRenamesMetadata
	// NoChecksums: the store has no checksums, and ignores a request for one on
	// a copy or multipart upload. Several stores.
	NoChecksums
	// SizeETags: objects of the same size have the same ETag. This simulates
	// MD5 collisions of any content.
	SizeETags
)

// WithQuirks makes the server behave like stores that have these quirks.
func WithQuirks(quirks ...Quirk) Option {
	return func(s *Server) { s.quirks = append(s.quirks, quirks...) }
}

func (s *Server) has(q Quirk) bool { return slices.Contains(s.quirks, q) }

// CopySource names the conditions on the source of CopyObject and
// UploadPartCopy for WithoutConditions.
const CopySource = "CopySource"

// WithoutConditions makes the server ignore If-Match and If-None-Match on the
// named operations: PutObject, CopyObject, CompleteMultipartUpload or
// DeleteObject. CopySource stands for the conditions on the source of a copy.
// Without names, the server ignores all these conditions.
func WithoutConditions(names ...string) Option {
	if len(names) == 0 {
		names = []string{
			"PutObject", "CopyObject", "CompleteMultipartUpload", "DeleteObject", CopySource,
		}
	}
	return func(s *Server) { s.careless = append(s.careless, names...) }
}

// dropConditions removes from the request the conditions that the server
// ignores.
func (s *Server) dropConditions(r *request) {
	if slices.Contains(s.careless, r.record.Operation) {
		r.Header.Del("If-Match")
		r.Header.Del("If-None-Match")
	}
	if slices.Contains(s.careless, CopySource) {
		r.Header.Del("X-Amz-Copy-Source-If-Match")
		r.Header.Del("X-Amz-Copy-Source-If-None-Match")
	}
}

// matches reports whether a condition on the ETag holds.
func (s *Server) matches(o *Object, etag string) bool {
	if s.has(PartsNeverMatch) && strings.Contains(o.ETag, "-") {
		return false
	}
	return o.matches(etag)
}

// applyQuirks changes an object before it is stored.
func (s *Server) applyQuirks(o *Object) {
	if s.has(NoChecksums) {
		o.ChecksumAlgorithm, o.ChecksumType, o.Checksum = "", "", ""
	}
	if s.has(SizeETags) && !o.DeleteMarker {
		digest := md5.Sum([]byte(strconv.FormatInt(o.Size(), 10)))
		_, parts, multipart := strings.Cut(strings.Trim(o.ETag, `"`), "-")
		o.ETag = hex.EncodeToString(digest[:])
		if multipart {
			o.ETag += "-" + parts
		}
		o.ETag = `"` + o.ETag + `"`
	}
}

// correctDate returns the date with the correct weekday. If the text is not a
// date, it returns the text unchanged.
func correctDate(date string) string {
	t, err := time.Parse(http.TimeFormat, date)
	if err != nil {
		return date
	}
	return t.Format(http.TimeFormat)
}

// Collision returns two files with the same size and MD5, and therefore the
// same ETag. They differ from the 20th byte on. The suffix is added to both.
//
// The files are from https://eprint.iacr.org/2004/199.
func Collision(suffix string) (one, two []byte) {
	const file = "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f8955ad340609f4b30283e488832571415a" +
		"085125e8f7cdc99fd91dbdf280373c5bd8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0" +
		"e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70"
	one, err := hex.DecodeString(file)
	if err != nil {
		panic(err)
	}
	two = slices.Clone(one)
	for _, i := range []int{19, 45, 59, 83, 109, 123} {
		two[i] ^= 0x80
	}
	return append(one, suffix...), append(two, suffix...)
}
