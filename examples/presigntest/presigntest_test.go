package presigntest_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/examples/presigntest"
)

// A fakeT implements the methods of testing.TB that New and Upload call outside
// of a test.
type fakeT struct {
	testing.TB
	failed   string
	cleanups []func()
}

func newT() *fakeT { return new(fakeT) }

func (t *fakeT) Helper()                  {}
func (t *fakeT) Context() context.Context { return context.Background() }
func (t *fakeT) Cleanup(f func())         { t.cleanups = append(t.cleanups, f) }
func (t *fakeT) Fatal(args ...any)        { panic(fmt.Sprint(args...)) }
func (t *fakeT) Fatalf(format string, args ...any) {
	t.failed = fmt.Sprintf(format, args...)
}

func (t *fakeT) end() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}

func newSigner(t *testing.T, client *s3.Client) *presign.Signer {
	t.Helper()
	signer, err := presign.NewSigner(client, presigntest.Bucket, presign.Policy{
		Prefix: "in/", FinalPrefix: "out/", Types: []string{"text/plain"}, MaxSize: 1 << 20,
	})
	require.NoError(t, err)
	return signer
}

func TestUploadStoresTheBody(t *testing.T) {
	client := presigntest.New(t)
	signer := newSigner(t, client)
	upload := presign.Upload{Filename: "a.txt", Size: 5}
	put, err := signer.Put(t.Context(), upload)
	require.NoError(t, err)
	form, err := signer.Post(t.Context(), upload)
	require.NoError(t, err)
	upload.Redirect = "https://app.example.com/done"
	redirected, err := signer.Post(t.Context(), upload)
	require.NoError(t, err)
	for name, grant := range map[string]*presign.Grant{
		"PUT": put, "form": form, "redirect": redirected,
	} {
		t.Run(name, func(t *testing.T) {
			presigntest.Upload(t, grant, []byte("hello"))
			object, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{
				Bucket: aws.String(presigntest.Bucket), Key: &grant.Key,
			})
			require.NoError(t, err)
			require.EqualValues(t, 5, *object.ContentLength)
		})
	}
}

func TestUploadFailsTheTestIfTheStoreRejects(t *testing.T) {
	signer := newSigner(t, presigntest.New(t))
	grant, err := signer.Put(t.Context(), presign.Upload{Filename: "a.txt", Size: 5})
	require.NoError(t, err)
	fake := newT()
	presigntest.Upload(fake, grant, []byte("longer"))
	require.Contains(t, fake.failed, "403 SignatureDoesNotMatch")
	require.NotContains(t, fake.failed, "X-Amz-Signature")
}

func TestTryUploadReturnsFailures(t *testing.T) {
	signer := newSigner(t, presigntest.New(t))
	grant, err := signer.Put(t.Context(), presign.Upload{Filename: "a.txt", Size: 5})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, presigntest.TryUpload(ctx, grant, []byte("hello")), context.Canceled)
	require.Error(t, presigntest.TryUpload(t.Context(), &presign.Grant{}, nil))
}

func TestServersShareNothing(t *testing.T) {
	for range 2 {
		client := presigntest.New(t)
		listed, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{
			Bucket: aws.String(presigntest.Bucket),
		})
		require.NoError(t, err)
		require.Empty(t, listed.Contents)
		_, err = client.PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: aws.String(presigntest.Bucket), Key: aws.String("a"),
			Body: strings.NewReader("a"),
		})
		require.NoError(t, err)
	}
}

// TestREADME checks that the code blocks of the README are in the tests.
func TestREADME(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	require.LessOrEqual(t, strings.Count(string(readme), "\n"), 60)
	tested, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?ms)^```go\n(.*?)^```$").FindAllStringSubmatch(string(readme),
		-1)
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		require.Contains(t, string(tested), block[1])
	}
}
