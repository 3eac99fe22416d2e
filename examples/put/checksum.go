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

// castagnoli is the table of CRC32C, which processors compute.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// algorithms are those that S3 takes of a whole file, by the names of the flag.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
var algorithms = map[string]func() hash.Hash{
	"sha256":    sha256.New,
	"crc32":     func() hash.Hash { return crc32.NewIEEE() },
	"crc32c":    func() hash.Hash { return crc32.New(castagnoli) },
	"crc64nvme": func() hash.Hash { return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5)) },
}

// checkAlgorithm returns an error if there is no such algorithm. An empty name is fine: it asks for no checksum.
func checkAlgorithm(name string) error {
	if _, ok := algorithms[name]; !ok && name != "" {
		return fmt.Errorf("-checksum %s: it is one of %s", name, strings.Join(slices.Sorted(maps.Keys(algorithms)), ", "))
	}
	return nil
}

// checksum reads a whole file and returns what S3 is to find of it; nothing without an algorithm.
func checksum(algorithm string, file io.Reader) (string, error) {
	if algorithm == "" {
		return "", nil
	}
	h := algorithms[algorithm]()
	_, err := io.Copy(h, file)
	return base64.StdEncoding.EncodeToString(h.Sum(nil)), err
}
