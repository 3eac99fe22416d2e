package s3test

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"net/http"
	"slices"
	"strings"
)

// checksums holds the algorithms of S3, except XXHASH64, XXHASH3 and XXHASH128,
// which the standard library does not have.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
var checksums = map[string]func() hash.Hash{
	"CRC32":     func() hash.Hash { return crc32.NewIEEE() },
	"CRC32C":    func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	"CRC64NVME": func() hash.Hash { return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5)) },
	"SHA1":      sha1.New,
	"SHA256":    sha256.New,
	"SHA512":    sha512.New,
	"MD5":       md5.New,
}

func sum(algorithm string, body []byte) string {
	h := checksums[algorithm]()
	h.Write(body)
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// checksum verifies and returns the checksum that the headers declare. Headers
// may declare at most one checksum. If they declare none, checksum returns the
// CRC64NVME, as S3 does.
func checksum(
	body []byte, headers map[string]string, allowed []string,
) (algorithm, value string, err error) {
	var declared []string
	for name := range headers {
		switch algorithm, ok := strings.CutPrefix(name, "x-amz-checksum-"); {
		case !ok, algorithm == "algorithm", algorithm == "type", algorithm == "mode":
		default:
			declared = append(declared, strings.ToUpper(algorithm))
		}
	}
	if len(declared) > 1 {
		return "", "", invalidRequest(
			"Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
	}
	for _, name := range []string{"x-amz-sdk-checksum-algorithm", "x-amz-checksum-algorithm"} {
		switch announced, ok := headers[name]; {
		case !ok:
		case len(declared) == 0:
			return "", "", invalidRequest(name +
				" specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.")
		case !strings.EqualFold(announced, declared[0]):
			return "", "", invalidRequest("Value for " + name + " header is invalid.")
		}
	}
	if len(declared) == 0 {
		return "CRC64NVME", sum("CRC64NVME", body), nil
	}
	algorithm = declared[0]
	switch {
	case strings.HasPrefix(algorithm, "XXHASH"):
		return "", "", notImplemented("the checksum algorithm " + algorithm)
	case !slices.Contains(allowed, algorithm):
		return "", "", invalidRequest(
			"The algorithm type you specified in x-amz-checksum- header is invalid.")
	}
	name := "x-amz-checksum-" + strings.ToLower(algorithm)
	value = headers[name]
	digest, err := base64.StdEncoding.Strict().DecodeString(value)
	if err != nil || len(digest) != checksums[algorithm]().Size() {
		return "", "", invalidRequest("Value for " + name + " header is invalid.")
	}
	if value != sum(algorithm, body) {
		return "", "", fail(http.StatusBadRequest, "BadDigest",
			"The "+algorithm+" you specified did not match the calculated checksum.")
	}
	return algorithm, value, nil
}

// checkMD5 verifies Content-MD5, if the headers have it.
func checkMD5(body []byte, headers map[string]string) error {
	value, ok := headers["content-md5"]
	if !ok {
		return nil
	}
	digest, err := base64.StdEncoding.Strict().DecodeString(value)
	if err != nil || len(digest) != md5.Size {
		return fail(http.StatusBadRequest, "InvalidDigest",
			"The Content-MD5 you specified was invalid.", "Content-MD5", value)
	}
	if calculated := sum("MD5", body); value != calculated {
		return fail(http.StatusBadRequest, "BadDigest",
			"The Content-MD5 you specified did not match what we received.",
			"ExpectedDigest", value, "CalculatedDigest", calculated)
	}
	return nil
}
