package conformancetest

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/conformance"
)

// A File is a file that users upload.
type File struct {
	Name, Type string
	Body       []byte
}

// Files returns files of several formats and sizes. Their names break code that
// does not escape them.
func Files() []File {
	photo := image.NewRGBA(image.Rect(0, 0, 320, 240))
	for i := range photo.Pix {
		photo.Pix[i] = byte(i * i >> 8)
	}
	var asJPEG, asPNG bytes.Buffer
	if err := jpeg.Encode(&asJPEG, photo, nil); err != nil {
		panic(err)
	}
	photo.Set(0, 0, color.Transparent)
	if err := png.Encode(&asPNG, photo); err != nil {
		panic(err)
	}
	large := make([]byte, 64<<20)
	random := rand.NewChaCha8([32]byte{})
	random.Read(large)
	pdf := []byte(
		"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n" +
			"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 72 72]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n")
	return []File{
		{"photo.JPG", "image/jpeg", asJPEG.Bytes()},
		{"screenshot 2026-01-01.png", "image/png", asPNG.Bytes()},
		{"contract.pdf", "application/pdf", pdf},
		{"日本語 \"引用\" と 空白 'x'.pdf", "application/pdf", pdf},
		{"naïve+100%&=;#?.pdf", "application/pdf", pdf},
		{"${filename}$$.png", "image/png", asPNG.Bytes()},
		{strings.Repeat("長", 83) + ".png", "image/png", asPNG.Bytes()},
		{"dot.bin", "application/octet-stream", []byte{0}},
		{"boundary.bin", "application/octet-stream", []byte("\r\n--\r\n--boundary--\r\n")},
		{"large.bin", "application/octet-stream", large},
	}
}

// RunFiles uploads files by PUT, form and multipart upload, and compares the
// stored bytes. Then it uploads files whose sizes are just inside and just
// outside the bounds of a policy.
func RunFiles(t *testing.T, target conformance.Target) {
	policy := presign.Policy{
		Prefix: "files/", MaxSize: 64 << 20,
		Types: []string{"image/*", "application/pdf", "application/octet-stream"},
	}
	signer, err := presign.NewSigner(target.Client, target.Bucket, policy)
	require.NoError(t, err)
	for _, f := range Files() {
		t.Run(f.Name[:min(len(f.Name), 30)], func(t *testing.T) {
			upload := presign.Upload{Filename: f.Name, Type: f.Type, Size: int64(len(f.Body))}
			type signFunc = func(context.Context, presign.Upload) (*presign.Grant, error)
			for _, sign := range []signFunc{signer.Put, signer.Post} {
				grant, err := sign(t.Context(), upload)
				require.NoError(t, err)
				response, err := conformance.New(grant, f.Name, f.Body).Send(target.HTTP)
				require.NoError(t, err)
				require.True(t, response.Accepted(), "%s: %v", grant.Method, response)
				require.NoError(t, target.Verify(t.Context(), grant, f.Body))
			}
			uploadParts(t, target, signer, f, upload)
		})
	}

	stored, taken := conformance.Response{Status: 200}, conformance.Response{Status: 204}
	const least, most = 100, 1000
	policy.MinSize, policy.MaxSize = least, most
	signer, err = presign.NewSigner(target.Client, target.Bucket, policy)
	require.NoError(t, err)
	for size, want := range map[int]conformance.Response{
		least - 1: {Status: 400, Code: "EntityTooSmall"}, least: taken, most: taken,
		most + 1: {Status: 400, Code: "EntityTooLarge"},
	} {
		body := bytes.Repeat([]byte("x"), size)
		grant, err := signer.Post(t.Context(), presign.Upload{Filename: "a.bin"})
		require.NoError(t, err)
		response, err := conformance.New(grant, "a.bin", body).Send(target.HTTP)
		require.NoError(t, err)
		require.Equal(t, want, response, "form of %d bytes", size)
		list, err := target.Client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{
			Bucket: &target.Bucket, Prefix: &grant.Key,
		})
		require.NoError(t, err)
		require.Equal(t, response.Accepted(), len(list.Contents) == 1)

		grant, err = signer.Put(t.Context(), presign.Upload{Filename: "a.bin", Size: int64(size)})
		if want != taken {
			require.ErrorContains(t, err, "presign: size must be", "PUT of %d bytes", size)
			continue
		}
		require.NoError(t, err)
		response, err = conformance.New(grant, "a.bin", body).Send(target.HTTP)
		require.NoError(t, err)
		require.Equal(t, stored, response, "PUT of %d bytes", size)
	}
}

// uploadParts uploads a file as a multipart upload and completes it.
func uploadParts(
	t *testing.T, target conformance.Target, signer *presign.Signer, f File, upload presign.Upload,
) {
	upload.Owner = "conformance"
	m, err := signer.StartMultipart(t.Context(), upload)
	require.NoError(t, err)
	number := 0
	for piece := range slices.Chunk(f.Body, int(m.PartSize)) {
		number++
		grant, err := m.SignPart(t.Context(), presign.Part{Number: number})
		require.NoError(t, err)
		response, err := conformance.New(grant, f.Name, piece).Send(target.HTTP)
		require.NoError(t, err)
		require.Equal(t, conformance.Response{Status: 200}, response, "part %d", number)
	}
	object, err := m.Complete(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, f.Name, object.Filename)
	stored, err := target.Client.GetObject(t.Context(), &s3.GetObjectInput{
		Bucket: &target.Bucket, Key: &object.Key,
	})
	require.NoError(t, err)
	defer stored.Body.Close()
	got, err := io.ReadAll(stored.Body)
	require.NoError(t, err)
	require.True(t, bytes.Equal(f.Body, got), "the store must return the uploaded bytes")
}
