package sigv4_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/s3presign/presign/internal/sigv4"
)

var benchmarkTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// sessionToken returns a token of the size that STS returns, in base64.
func sessionToken(size int) string {
	b := make([]byte, size/4*3)
	rand.NewChaCha8([32]byte{}).Read(b) // Read never fails.
	return base64.StdEncoding.EncodeToString(b)
}

// benchmarkRequest returns a PUT as Signer.Put signs it, without a stamp.
func benchmarkRequest() *sigv4.Request {
	return &sigv4.Request{
		Method: http.MethodPut, Scheme: "https", Host: "bucket.s3.eu-central-1.amazonaws.com",
		Base: "/", Key: "uploads/ZL6UJZQMWXM5MYNVRPWZ2NOSTY/holiday.jpg", Expires: 900,
		Headers: []sigv4.Pair{
			{Name: "content-disposition", Value: "attachment; filename*=UTF-8''holiday.jpg"},
			{Name: "content-length", Value: "81234"},
			{Name: "content-type", Value: "image/jpeg"},
			{Name: "if-none-match", Value: "*"},
			{Name: "x-amz-checksum-sha256", Value: "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="},
		},
	}
}

// computeHashes computes the hashes that every signature needs: a hash of the
// canonical request, and the HMAC of the string to sign.
func computeHashes(canonicalRequest []byte, mac interface {
	Reset()
	Write([]byte) (int, error)
	Sum([]byte) []byte
}, stringToSign []byte, sum []byte) {
	digest := sha256.Sum256(canonicalRequest)
	hex.Encode(stringToSign[len(stringToSign)-2*len(digest):], digest[:])
	mac.Reset()
	mac.Write(stringToSign)
	mac.Sum(sum[:0])
}

// BenchmarkPresign compares the signing of a URL with the SDK's signer and with
// the hashes alone, over the same bytes.
func BenchmarkPresign(b *testing.B) {
	for _, token := range []int{0, 400, 1100} {
		request := benchmarkRequest()
		credential := sigv4.Credential{
			ID: exampleID, Secret: exampleSecret, Token: sessionToken(token),
		}
		b.Run(fmt.Sprintf("token=%d/by=sigv4", token), func(b *testing.B) {
			keys := sigv4.NewKeys("eu-central-1")
			b.ReportAllocs()
			for b.Loop() {
				keys.Key(credential, benchmarkTime).Presign(request, benchmarkTime)
			}
		})
		b.Run(fmt.Sprintf("token=%d/by=sdk", token), func(b *testing.B) {
			credentials := aws.Credentials{
				AccessKeyID: exampleID, SecretAccessKey: exampleSecret,
				SessionToken: credential.Token,
			}
			signer := v4.NewSigner(func(o *v4.SignerOptions) {
				o.DisableURIPathEscaping, o.DisableHeaderHoisting = true, true
			})
			url := request.Scheme + "://" + request.Host + request.Base + request.Key
			r, err := http.NewRequest(request.Method, url+"?X-Amz-Expires=900", nil)
			if err != nil {
				b.Fatal(err)
			}
			r.ContentLength = 81234
			for _, h := range request.Headers {
				if h.Name != "content-length" {
					r.Header.Set(h.Name, h.Value)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				_, _, err := signer.PresignHTTP(context.Background(), credentials, r,
					"UNSIGNED-PAYLOAD", "s3", "eu-central-1", benchmarkTime)
				if err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("token=%d/by=floor", token), func(b *testing.B) {
			key := sigv4.NewKeys("eu-central-1").Key(credential, benchmarkTime)
			url := key.Presign(request, benchmarkTime)
			_, signedQuery, _ := strings.Cut(url, "?")
			signedQuery, _, _ = strings.Cut(signedQuery, "&X-Amz-Signature=")
			canonical := request.Method + "\n" + request.Base + request.Key + "\n" +
				signedQuery + "\n"
			names := make([]string, 0, len(request.Headers)+1)
			for _, h := range request.Headers {
				if h.Name > "host" && (len(names) == 0 || names[len(names)-1] < "host") {
					canonical += "host:" + request.Host + "\n"
					names = append(names, "host")
				}
				canonical += h.Name + ":" + h.Value + "\n"
				names = append(names, h.Name)
			}
			canonical += "\n" + strings.Join(names, ";") + "\nUNSIGNED-PAYLOAD"
			canonicalRequest := []byte(canonical)
			stringToSign := []byte("AWS4-HMAC-SHA256\n20260102T030405Z\n" +
				"20260102/eu-central-1/s3/aws4_request\n" + strings.Repeat("0", 64))
			mac := hmac.New(sha256.New, make([]byte, sha256.Size))
			sum := make([]byte, sha256.Size)
			b.ReportAllocs()
			for b.Loop() {
				computeHashes(canonicalRequest, mac, stringToSign, sum)
			}
		})
	}
}

// BenchmarkSign compares the signing of a form's policy with its hash alone.
func BenchmarkSign(b *testing.B) {
	for _, token := range []int{0, 400, 1100} {
		policy := base64.StdEncoding.EncodeToString(make([]byte, 900+token))
		b.Run(fmt.Sprintf("token=%d/by=sigv4", token), func(b *testing.B) {
			keys := sigv4.NewKeys("eu-central-1")
			b.ReportAllocs()
			for b.Loop() {
				credential := sigv4.Credential{ID: exampleID, Secret: exampleSecret}
				sign(keys.Key(credential, benchmarkTime), policy)
			}
		})
		b.Run(fmt.Sprintf("token=%d/by=floor", token), func(b *testing.B) {
			policy, mac := []byte(policy), hmac.New(sha256.New, make([]byte, sha256.Size))
			sum := make([]byte, sha256.Size)
			b.ReportAllocs()
			for b.Loop() {
				mac.Reset()
				mac.Write(policy)
				mac.Sum(sum[:0])
			}
		})
	}
}
