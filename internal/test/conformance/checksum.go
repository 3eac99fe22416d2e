package conformance

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/s3presign/presign"
)

// ChecksumBy returns the constraint that a store verifies checksums by an
// algorithm, such as "SHA256".
func ChecksumBy(algorithm string) Constraint { return Constraint("checksum " + algorithm) }

var hashes = map[string]func() hash.Hash{
	"CRC32":     func() hash.Hash { return crc32.NewIEEE() },
	"CRC32C":    func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	"CRC64NVME": func() hash.Hash { return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5)) },
	"SHA1":      sha1.New,
	"SHA256":    sha256.New,
}

func digestBy(algorithm string, body []byte) string {
	h := hashes[algorithm]()
	h.Write(body)
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// checksums returns the cases about checksums for one kind of request. Accepted
// is the response to an honest request, and changed is the response to a
// request with another checksum.
func checksums(kind Kind, accepted, changed Response) (proofs []proof) {
	for _, algorithm := range algorithms[kind] {
		header := "x-amz-checksum-" + strings.ToLower(algorithm)
		with := func(p *presign.Policy) { p.Checksum = types.ChecksumAlgorithm(algorithm) }
		ask := func(u *presign.Upload) { u.Checksum = digestBy(algorithm, Body) }
		checked := func(name string, do func(*Attempt), want Response) Case {
			return Case{Name: string(kind) + " " + name, With: with, Ask: ask, Do: do, Want: want}
		}
		cases := []Case{
			checked("with a checksum by "+algorithm, nil, accepted),
			checked("of other bytes than the checksum by "+algorithm, file(other), badDigest),
			checked("of other bytes with their checksum by "+algorithm, func(a *Attempt) {
				a.Body = other
				a.Set(header, digestBy(algorithm, other))
			}, changed),
			checked("without its checksum by "+algorithm, func(a *Attempt) {
				a.Drop(header)
				a.Body = other
			}, changed),
		}
		if kind == PUT {
			name := "with its checksum by " + algorithm + " in the query instead"
			cases = append(cases, checked(name, func(a *Attempt) {
				sum := a.Get(header)
				a.Drop(header)
				parameter(header, sum)(a)
				a.Body = other
			}, mismatch))
		}
		proofs = append(proofs, proof{ChecksumBy(algorithm), cases})
	}
	return proofs
}

func bareCRC32C(c Case) Case {
	c.Bare = true
	c.With = func(p *presign.Policy) { p.Checksum = types.ChecksumAlgorithmCrc32c }
	c.Ask = func(u *presign.Upload) { u.Checksum = digestBy("CRC32C", Body) }
	return c
}

// wrongMD5 returns a case with an unsigned Content-MD5 that does not match the
// body.
func wrongMD5(kind Kind) Case {
	return Case{Name: string(kind) + " with the MD5 of other bytes added",
		Do: add("Content-MD5", digestMD5(other)), Want: badDigest}
}

// Digest returns the checksum of body by an algorithm, in base64.
func Digest(algorithm string, body []byte) string { return digestBy(algorithm, body) }
