// Package checksum describes the checksum algorithms of S3.
//
// See
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html.
package checksum

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// An algorithm describes one algorithm as S3 documents it.
type algorithm struct {
	size int  // the size of a checksum in bytes
	form bool // a POST form may declare a checksum

	// multipart is set if S3 computes the checksum of a file from the checksums
	// of its parts.
	multipart bool
}

var algorithms = map[types.ChecksumAlgorithm]algorithm{
	types.ChecksumAlgorithmCrc32:     {4, true, true},
	types.ChecksumAlgorithmCrc32c:    {4, true, true},
	types.ChecksumAlgorithmCrc64nvme: {8, false, true},
	types.ChecksumAlgorithmSha1:      {20, true, false},
	types.ChecksumAlgorithmSha256:    {32, true, false},
	types.ChecksumAlgorithmSha512:    {64, false, false},
	types.ChecksumAlgorithmMd5:       {16, false, false},
	types.ChecksumAlgorithmXxhash3:   {8, false, false},
	types.ChecksumAlgorithmXxhash64:  {8, false, false},
	types.ChecksumAlgorithmXxhash128: {16, false, false},
}

// Size returns the size of a checksum in bytes, or 0 if S3 has no such
// algorithm.
func Size(name types.ChecksumAlgorithm) int { return algorithms[name].size }

// InForm reports whether a POST form may declare a checksum of this algorithm.
func InForm(name types.ChecksumAlgorithm) bool { return algorithms[name].form }

// InMultipart reports whether S3 computes the checksum of a whole multipart
// upload by this algorithm.
func InMultipart(name types.ChecksumAlgorithm) bool { return algorithms[name].multipart }

// Names returns the names of all algorithms, sorted.
func Names() []string {
	names := make([]string, 0, len(algorithms))
	for _, name := range slices.Sorted(maps.Keys(algorithms)) {
		names = append(names, string(name))
	}
	return names
}

// Header returns the header and form field that hold a checksum.
func Header(name string) string { return "x-amz-checksum-" + strings.ToLower(name) }

// Valid reports whether digest is a checksum of that algorithm in the only
// base64 form that S3 returns.
func Valid(name types.ChecksumAlgorithm, digest string) bool {
	// Package base64 skips line breaks.
	if strings.ContainsAny(digest, "\r\n") {
		return false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(digest)
	return err == nil && len(b) > 0 && len(b) == Size(name)
}
