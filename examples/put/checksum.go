package main

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"maps"
	"slices"
	"strings"
)

// castagnoli is the table of CRC32C, which processors compute in hardware.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// algorithms maps names of the flag -checksum to the algorithms that S3
// supports for whole files.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
var algorithms = map[string]func() hash.Hash{
	"sha256":    sha256.New,
	"crc32":     func() hash.Hash { return crc32.NewIEEE() },
	"crc32c":    func() hash.Hash { return crc32.New(castagnoli) },
	"crc64nvme": func() hash.Hash { return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5)) },
}

// checkAlgorithm returns an error for an unknown algorithm. An empty name means
// no checksum.
func checkAlgorithm(name string) error {
	if _, ok := algorithms[name]; !ok && name != "" {
		return fmt.Errorf("-checksum must be one of %s, got %q",
			strings.Join(slices.Sorted(maps.Keys(algorithms)), ", "), name)
	}
	return nil
}

// checksum returns the checksum of a file in base64, or "" if algorithm is
// empty.
func checksum(algorithm string, file io.Reader) (string, error) {
	if algorithm == "" {
		return "", nil
	}
	h := algorithms[algorithm]()
	_, err := io.Copy(h, file)
	return base64.StdEncoding.EncodeToString(h.Sum(nil)), err
}
