package presign_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/s3test"
)

// Some benchmarks have variants, which benchstat -col /by compares:
//   - by=signer is this package.
//   - by=sdk is the presigner of the SDK.
//   - by=floor is the minimum, such as the hashes of the same bytes.

var (
	benchmarkUpload = presign.Upload{
		Filename: "holiday.jpg", Type: "image/jpeg", Size: 81234, Owner: "alice",
	}
	benchmarkKey = "uploads/ZL6UJZQMWXM5MYNVRPWZ2NOSTY/holiday.jpg"
	tokens       = []int{0, 400, 1100}
)

func benchmarkPolicy() presign.Policy {
	return presign.Policy{
		Prefix: "uploads/", Types: []string{"image/*", "application/pdf"}, MaxSize: 100 << 20,
	}
}

// sessionToken returns a random base64 text of this length, as STS returns.
func sessionToken(size int) string {
	b := make([]byte, size/4*3)
	rand.NewChaCha8([32]byte{}).Read(b) // Read always returns a nil error.
	return base64.StdEncoding.EncodeToString(b)
}

// withToken returns a client with a session token of this length.
func withToken(size int) *s3.Client {
	return newClient(func(o *s3.Options) {
		o.Credentials = credentials.NewStaticCredentialsProvider(
			"ASIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", sessionToken(size))
	})
}

func benchmarkSigner(b *testing.B, client *s3.Client) *presign.Signer {
	signer, err := presign.NewSigner(client, "bucket", benchmarkPolicy(),
		presign.WithSecret(secret))
	if err != nil {
		b.Fatal(err)
	}
	return signer
}

// loop measures repeated calls of do.
func loop(b *testing.B, do func() error) {
	b.ReportAllocs()
	for b.Loop() {
		if err := do(); err != nil {
			b.Fatal(err)
		}
	}
}

// hashes returns a function that computes only the hashes of a signature.
func hashes(canonicalRequest, stringToSign string) func() error {
	mac := hmac.New(sha256.New, make([]byte, sha256.Size))
	canonical, toSign := []byte(canonicalRequest), []byte(stringToSign)
	sum := make([]byte, sha256.Size)
	return func() error {
		digest := sha256.Sum256(canonical)
		copy(toSign[len(toSign)-len(digest):], digest[:])
		mac.Reset()
		mac.Write(toSign)
		mac.Sum(sum[:0])
		return nil
	}
}

// canonical returns the canonical request and the string to sign of a grant for
// a PUT of size bytes.
func canonical(grant *presign.Grant, size int64) (request, toSign string) {
	u, err := url.Parse(grant.URL)
	if err != nil {
		panic(err)
	}
	query := u.Query()
	header := map[string]string{"host": u.Host, "content-length": strconv.FormatInt(size, 10)}
	for name, value := range grant.Headers {
		header[strings.ToLower(name)] = value
	}
	signed, _, _ := strings.Cut(u.RawQuery, "&X-Amz-Signature=")
	request = grant.Method + "\n" + u.EscapedPath() + "\n" + signed + "\n"
	for _, name := range strings.Split(query.Get("X-Amz-SignedHeaders"), ";") {
		request += name + ":" + header[name] + "\n"
	}
	request += "\n" + query.Get("X-Amz-SignedHeaders") + "\nUNSIGNED-PAYLOAD"
	_, scope, _ := strings.Cut(query.Get("X-Amz-Credential"), "/")
	return request, "AWS4-HMAC-SHA256\n" + query.Get("X-Amz-Date") + "\n" + scope + "\n" +
		strings.Repeat("0", 64)
}

func BenchmarkPut(b *testing.B) {
	for _, size := range tokens {
		client := withToken(size)
		signer := benchmarkSigner(b, client)
		put := func() (*presign.Grant, error) { return signer.Put(b.Context(), benchmarkUpload) }
		b.Run(fmt.Sprintf("token=%d/by=signer", size), func(b *testing.B) {
			loop(b, func() error { _, err := put(); return err })
		})
		b.Run(fmt.Sprintf("token=%d/by=sdk", size), func(b *testing.B) {
			presigner := s3.NewPresignClient(client)
			loop(b, func() error {
				_, err := presigner.PresignPutObject(b.Context(), &s3.PutObjectInput{
					Bucket: aws.String("bucket"), Key: &benchmarkKey,
					ContentType:   &benchmarkUpload.Type,
					ContentLength: &benchmarkUpload.Size, IfNoneMatch: aws.String("*"),
					ContentDisposition: aws.String("attachment; filename*=UTF-8''holiday.jpg"),
				}, s3.WithPresignExpires(15*time.Minute))
				return err
			})
		})
		b.Run(fmt.Sprintf("token=%d/by=floor", size), func(b *testing.B) {
			grant, err := put()
			if err != nil {
				b.Fatal(err)
			}
			loop(b, hashes(canonical(grant, benchmarkUpload.Size)))
		})
	}
}

func BenchmarkPost(b *testing.B) {
	upload := benchmarkUpload
	upload.Size = 0
	for _, size := range tokens {
		client := withToken(size)
		signer := benchmarkSigner(b, client)
		post := func() (*presign.Grant, error) { return signer.Post(b.Context(), upload) }
		b.Run(fmt.Sprintf("token=%d/by=signer", size), func(b *testing.B) {
			loop(b, func() error { _, err := post(); return err })
		})
		b.Run(fmt.Sprintf("token=%d/by=sdk", size), func(b *testing.B) {
			presigner := s3.NewPresignClient(client)
			loop(b, func() error {
				_, err := presigner.PresignPostObject(b.Context(),
					&s3.PutObjectInput{Bucket: aws.String("bucket"), Key: &benchmarkKey},
					func(o *s3.PresignPostOptions) {
						o.Expires = 15 * time.Minute
						o.Conditions = []any{
							[]any{"content-length-range", 1, 100 << 20},
							map[string]string{"Content-Type": upload.Type},
							map[string]string{
								"Content-Disposition": "attachment; filename*=UTF-8''holiday.jpg",
							},
						}
					})
				return err
			})
		})
		b.Run(fmt.Sprintf("token=%d/by=floor", size), func(b *testing.B) {
			grant, err := post()
			if err != nil {
				b.Fatal(err)
			}
			document, err := base64.StdEncoding.DecodeString(grant.Fields["policy"])
			if err != nil {
				b.Fatal(err)
			}
			mac := hmac.New(sha256.New, make([]byte, sha256.Size))
			policy, sum := make([]byte, 0, len(grant.Fields["policy"])), make([]byte, sha256.Size)
			loop(b, func() error {
				mac.Reset()
				mac.Write(base64.StdEncoding.AppendEncode(policy, document))
				mac.Sum(sum[:0])
				return nil
			})
		})
	}
}

// benchmarkMultipart starts an upload of 10,000 parts of 5 MiB, with a session
// token of 400 bytes.
func benchmarkMultipart(b *testing.B) (*s3.Client, *presign.Signer, *presign.Multipart) {
	policy := benchmarkPolicy()
	policy.MaxSize = 10_000 * 5 << 20
	client := withToken(400)
	signer, err := presign.NewSigner(client, s3test.DefaultBucket, policy,
		presign.WithSecret(secret), presign.WithStore(s3test.New().S3()))
	if err != nil {
		b.Fatal(err)
	}
	upload := benchmarkUpload
	upload.Size = policy.MaxSize
	m, err := signer.StartMultipart(b.Context(), upload)
	if err != nil {
		b.Fatal(err)
	}
	return client, signer, m
}

// BenchmarkParts signs the URLs of the parts of an upload. One operation is one
// URL.
func BenchmarkParts(b *testing.B) {
	client, _, m := benchmarkMultipart(b)
	b.Run("at_once=1/by=signer", func(b *testing.B) {
		loop(b, func() error {
			_, err := m.SignPart(b.Context(), presign.Part{Number: 5000})
			return err
		})
	})
	b.Run("at_once=10000/by=signer", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; i < b.N; i += 10_000 {
			if _, _, err := m.SignParts(b.Context(), 1, min(10_000, b.N-i)); err != nil {
				b.Fatal(err)
			}
		}
	})
	grant, err := m.SignPart(b.Context(), presign.Part{Number: 5000})
	if err != nil {
		b.Fatal(err)
	}
	u, err := url.Parse(grant.URL)
	if err != nil {
		b.Fatal(err)
	}
	uploadID := u.Query().Get("uploadId")
	for _, atOnce := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("at_once=%d/by=sdk", atOnce), func(b *testing.B) {
			presigner := s3.NewPresignClient(client)
			loop(b, func() error {
				_, err := presigner.PresignUploadPart(b.Context(), &s3.UploadPartInput{
					Bucket: aws.String(s3test.DefaultBucket), Key: &m.Key, UploadId: &uploadID,
					PartNumber: aws.Int32(5000), ContentLength: aws.Int64(5 << 20),
				}, s3.WithPresignExpires(15*time.Minute))
				return err
			})
		})
		b.Run(fmt.Sprintf("at_once=%d/by=floor", atOnce), func(b *testing.B) {
			loop(b, hashes(canonical(grant, 5<<20)))
		})
	}
}

// BenchmarkResume opens the sealed ID of a multipart upload.
func BenchmarkResume(b *testing.B) {
	_, signer, m := benchmarkMultipart(b)
	loop(b, func() error { _, err := signer.ResumeMultipart("alice", m.ID); return err })
}

// BenchmarkHandler serves requests in process, with a session token of 400
// bytes. Its floor is a bare http.Handler with the same request and response.
func BenchmarkHandler(b *testing.B) {
	handler, err := presign.NewHandler(benchmarkSigner(b, withToken(400)),
		func(*http.Request) (string, error) { return "alice", nil })
	if err != nil {
		b.Fatal(err)
	}
	for grant, body := range map[string]string{
		"PUT":  `{"filename": "holiday.jpg", "type": "image/jpeg", "size": 81234}`,
		"form": `{"filename": "holiday.jpg", "type": "image/jpeg"}`,
	} {
		serve := func(h http.Handler) (response []byte) {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != http.StatusCreated {
				b.Fatal(w.Code, w.Body)
			}
			return w.Body.Bytes()
		}
		response := slices.Clone(serve(handler))
		b.Run("grant="+grant+"/by=signer", func(b *testing.B) {
			loop(b, func() error { serve(handler); return nil })
		})
		b.Run("grant="+grant+"/by=floor", func(b *testing.B) {
			bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusCreated)
				w.Write(response)
			})
			loop(b, func() error { serve(bare); return nil })
		})
	}
}

// BenchmarkParallel signs on all cores with one Signer, with 10,000 Signers,
// and while the credentials change.
func BenchmarkParallel(b *testing.B) {
	parallel := func(b *testing.B, signers []*presign.Signer) {
		var worker atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			for i := int(worker.Add(1)) * 4999; pb.Next(); i++ {
				signer := signers[i%len(signers)]
				if _, err := signer.Put(context.Background(), benchmarkUpload); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	static := withToken(400)
	for _, count := range []int{1, 10_000} {
		signers := make([]*presign.Signer, count)
		for i := range signers {
			signers[i] = benchmarkSigner(b, static)
		}
		b.Run(fmt.Sprintf("signers=%d", count), func(b *testing.B) { parallel(b, signers) })
	}

	var calls atomic.Int64
	now, err := static.Options().Credentials.Retrieve(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	next := now
	next.SecretAccessKey += "/next"
	rotating := benchmarkSigner(b, newClient(func(o *s3.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			if calls.Add(1)/1000%2 == 0 { // The credentials change several hundred times a second.
				return now, nil
			}
			return next, nil
		})
	}))
	b.Run("signers=1/credentials=rotating", func(b *testing.B) {
		parallel(b, []*presign.Signer{rotating})
	})
}

// BenchmarkCredentials compares EnvFile with static credentials.
func BenchmarkCredentials(b *testing.B) {
	path := filepath.Join(b.TempDir(), "awsenv.list")
	file := "ACCESS=ASIAIOSFODNN7EXAMPLE\nSECRET=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\nTOKEN=" +
		sessionToken(400) +
		"\nEXPIRATION=" + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + "\n"
	writeFile(b, path, file)
	for by, client := range map[string]*s3.Client{
		"static": withToken(400),
		"file": newClient(func(o *s3.Options) {
			o.Credentials = presign.EnvFile(path, slog.New(slog.DiscardHandler))
		}),
	} {
		signer := benchmarkSigner(b, client)
		b.Run("by="+by, func(b *testing.B) {
			loop(b, func() error { _, err := signer.Put(b.Context(), benchmarkUpload); return err })
		})
	}
}

// BenchmarkBatch compares 100 requests for one grant each with one request for
// 100 grants, through a server.
func BenchmarkBatch(b *testing.B) {
	signer, err := presign.NewSigner(newClient(), "bucket", images(), presign.WithSecret(secret))
	require.NoError(b, err)
	handler, err := presign.NewHandler(signer, func(*http.Request) (string, error) {
		return "alice", nil
	})
	require.NoError(b, err)
	server := httptest.NewServer(handler)
	defer server.Close()
	const upload = `{"filename": "a.png", "size": 10}`
	send := func(path, body string) {
		w, err := server.Client().Post(server.URL+path, "application/json", strings.NewReader(body))
		require.NoError(b, err)
		_, err = io.Copy(io.Discard, w.Body)
		require.NoError(b, err)
		require.NoError(b, w.Body.Close())
		require.Less(b, w.StatusCode, 300)
	}
	b.Run("100 requests", func(b *testing.B) {
		for range b.N {
			for range 100 {
				send("/", upload)
			}
		}
	})
	b.Run("one batch", func(b *testing.B) {
		body := `{"uploads": [` + strings.Repeat(upload+",", 99) + upload + `]}`
		for range b.N {
			send("/batch", body)
		}
	})
}
