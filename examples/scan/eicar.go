package main

import (
	"archive/zip"
	"bytes"
	"fmt"
)

// eicar is the EICAR test file, which is harmless but which every scanner
// reports: https://www.eicar.org/download-anti-malware-testfile/. The string
// has two pieces, so that scanners do not report this source file.
var eicar = []byte(`X5O!P%@AP[4\PZX54(P^)7CC)7}$` + `EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`)

// eicarSignature returns a ClamAV database with only the signature of eicar.
// The signature matches at any offset in a file of any type:
// https://docs.clamav.net/manual/Signatures/ExtendedSignatures.html
func eicarSignature() []byte { return fmt.Appendf(nil, "Eicar-Test-Signature:0:*:%x\n", eicar) }

// compress returns an archive with one file.
func compress(name string, content []byte) ([]byte, error) {
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	file, err := w.Create(name)
	if err == nil {
		_, err = file.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	return archive.Bytes(), err
}
