package presign_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyendpoints "github.com/aws/smithy-go/endpoints"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/s3test"
)

// exampleClient stands for s3.NewFromConfig(cfg).
var exampleClient = s3.New(s3.Options{
	Region:      "eu-central-1",
	Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""),
})

// sessionUser stands for the authentication of a service.
func sessionUser(r *http.Request) (string, error) {
	cookie, err := r.Cookie("session")
	if err != nil {
		return "", nil // not authenticated: 401
	}
	return strings.TrimPrefix(cookie.Value, "session-of-"), nil
}

func ask(handler http.Handler, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "/uploads/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.AddCookie(&http.Cookie{Name: "session", Value: "session-of-alice"})
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

func ExampleNewHandler() {
	signer, err := presign.NewSigner(exampleClient, "bucket", presign.Policy{
		Prefix:  "uploads/",
		Types:   []string{"image/*", "application/pdf"},
		MaxSize: 10 << 20,
	})
	if err != nil {
		panic(err)
	}
	handler, err := presign.NewHandler(signer, sessionUser)
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/uploads/", http.StripPrefix("/uploads", handler))

	answer := ask(mux, `{"filename": "holiday photo.jpg", "size": 81234}`)
	var grant presign.Grant
	if err := json.Unmarshal(answer.Body.Bytes(), &grant); err != nil {
		panic(err)
	}
	fmt.Println(answer.Code, grant.Method, grant.Headers["Content-Type"])
	fmt.Println(ask(mux, `{"filename": "page.html", "size": 81234}`).Body)
	// Output:
	// 201 PUT image/jpeg
	// {"type":"about:blank","title":"Unprocessable Entity","status":422,"errors":[{"field":"type","code":"not_allowed","detail":"must be one of image/*, application/pdf, got \"text/html\"","allowed":["image/*","application/pdf"]}],"message":"type must be one of image/*, application/pdf, got \"text/html\""}
}

// A function that names everybody lets everybody upload. Authentication is more than reading who a client says it is.
func ExampleNewHandler_incorrect() {
	signer, err := presign.NewSigner(exampleClient, "bucket", presign.Policy{Prefix: "uploads/", Types: []string{"*/*"}, MaxSize: 1 << 30})
	if err != nil {
		panic(err)
	}
	incorrect, err := presign.NewHandler(signer, func(r *http.Request) (string, error) {
		return r.Header.Get("X-User"), nil // any client can send that
	})
	if err != nil {
		panic(err)
	}
	r := httptest.NewRequest("POST", "/", strings.NewReader(`{"filename": "a.bin", "size": 1073741824}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-User", "whoever")
	w := httptest.NewRecorder()
	incorrect.ServeHTTP(w, r)
	fmt.Println(w.Code)
	// Output: 201
}

// Each user has a prefix and a quota of their own.
func ExampleWithAuthorize() {
	signer, err := presign.NewSigner(exampleClient, "bucket", presign.Policy{Prefix: "users/", Types: []string{"image/*"}, MaxSize: 10 << 20})
	if err != nil {
		panic(err)
	}
	left := map[string]int64{"alice": 100_000}
	handler, err := presign.NewHandler(signer, sessionUser, presign.WithAuthorize(func(r *http.Request, u *presign.Upload) error {
		u.MaxSize = min(u.MaxSize, left[u.Owner])
		u.Key = "users/" + u.Owner + "/"
		return nil
	}))
	if err != nil {
		panic(err)
	}
	mounted := http.StripPrefix("/uploads", handler)
	var grant presign.Grant
	if err := json.Unmarshal(ask(mounted, `{"filename": "a.png", "size": 100000}`).Body.Bytes(), &grant); err != nil {
		panic(err)
	}
	fmt.Println(grant.Key[:len("users/alice/")])
	fmt.Println(ask(mounted, `{"filename": "b.png", "size": 100001}`).Code)
	// Output:
	// users/alice/
	// 422
}

func ExampleSigner_Put() {
	signer, err := presign.NewSigner(exampleClient, "bucket", presign.Policy{
		Prefix:   "backups/",
		Types:    []string{"application/gzip"},
		MaxSize:  5 << 30,
		Checksum: types.ChecksumAlgorithmSha256,
		Headers:  map[string]string{"x-amz-storage-class": "STANDARD_IA"},
	})
	if err != nil {
		panic(err)
	}
	grant, err := signer.Put(context.Background(), presign.Upload{
		Key:      "backups/2026-11-23.tar.gz",
		Size:     734003200,
		Checksum: "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(grant.Method, grant.Key)
	fmt.Println(grant.Headers["x-amz-storage-class"], grant.Headers["If-None-Match"])
	// Output:
	// PUT backups/2026-11-23.tar.gz
	// STANDARD_IA *
}

func ExampleSigner_Post() {
	signer, err := presign.NewSigner(exampleClient, "bucket", presign.Policy{Prefix: "avatars/", Types: []string{"image/png", "image/jpeg"}, MaxSize: 1 << 20})
	if err != nil {
		panic(err)
	}
	grant, err := signer.Post(context.Background(), presign.Upload{Filename: "me.png", Redirect: "https://example.com/profile"})
	if err != nil {
		panic(err)
	}
	fmt.Println(grant.Method, grant.URL, grant.Fields["success_action_redirect"])
	// Output: POST https://bucket.s3.eu-central-1.amazonaws.com https://example.com/profile
}

// A large file is uploaded in parts, each by a URL of its own, in any order and several at once. What goes on elsewhere, or
// after a restart, takes the ID and nothing else.
func ExampleSigner_StartMultipart() {
	store := s3test.New() // stands for S3
	signer, err := presign.NewSigner(store.S3(), s3test.DefaultBucket,
		presign.Policy{Prefix: "films/", Types: []string{"video/*"}, MaxSize: 100 << 30},
		presign.WithSecret([]byte("32 random bytes from your secrets")))
	if err != nil {
		panic(err)
	}
	started, err := signer.StartMultipart(context.Background(), presign.Upload{Filename: "film.mp4", Size: 40 << 30, Owner: "user-7"})
	if err != nil {
		panic(err)
	}
	upload, err := signer.ResumeMultipart("user-7", started.ID)
	if err != nil {
		panic(err)
	}
	urls, _, err := upload.SignParts(context.Background(), 1, 8192)
	if err != nil {
		panic(err)
	}
	fmt.Println(upload.PartSize, len(urls))

	// Complete makes an object of what has arrived, if that is what was granted.
	_, err = upload.Complete(context.Background(), nil)
	fmt.Println(err)
	// Output:
	// 5242880 8192
	// presign: size must be 42949672960 bytes as granted, got 0
}

// A client in Go uploads with what the service has answered, be it a PUT or a form.
func ExampleGrant_Request() {
	store := s3test.New() // stands for S3
	signer, err := presign.NewSigner(store.S3(), s3test.DefaultBucket, presign.Policy{Prefix: "uploads/", Types: []string{"text/plain"}, MaxSize: 1 << 20})
	if err != nil {
		panic(err)
	}
	handler, err := presign.NewHandler(signer, sessionUser)
	if err != nil {
		panic(err)
	}
	service := http.StripPrefix("/uploads", handler)

	file := strings.NewReader("hello") // or an *os.File
	for _, method := range []string{"PUT", "POST"} {
		answer := ask(service, `{"filename": "hello.txt", "size": 5, "method": "`+method+`"}`)
		var grant presign.Grant
		if err := json.Unmarshal(answer.Body.Bytes(), &grant); err != nil {
			panic(err)
		}
		r, err := grant.Request(context.Background(), file, file.Size())
		if err != nil {
			panic(err)
		}
		uploaded, err := store.HTTPClient().Do(r)
		if urlErr := (*url.Error)(nil); errors.As(err, &urlErr) {
			panic(urlErr.Err) // without the URL, which is a secret
		}
		uploaded.Body.Close()
		fmt.Println(method, uploaded.StatusCode)
	}
	// Output:
	// PUT 200
	// POST 204
}

// An S3 event (ObjectCreated, by SQS, SNS or Lambda) names the key, and the object carries its grant: that is all that
// completion takes. The same upload may be completed by the client as well.
func ExampleSigner_Complete_event() {
	store := s3test.New() // stands for S3
	signer, err := presign.NewSigner(store.S3(), s3test.DefaultBucket,
		presign.Policy{Prefix: "incoming/", FinalPrefix: "documents/", Types: []string{"text/plain"}, MaxSize: 1 << 20},
		presign.WithSecret([]byte("32 random bytes from your secrets")))
	if err != nil {
		panic(err)
	}
	complete := func(ctx context.Context, event []byte) error {
		var notification struct {
			Records []struct {
				S3 struct{ Object struct{ Key string } }
			}
		}
		if err := json.Unmarshal(event, &notification); err != nil {
			return err
		}
		for _, record := range notification.Records {
			key, err := url.QueryUnescape(record.S3.Object.Key) // events have it escaped
			if err != nil {
				return err
			}
			object, err := signer.CompleteForAnyOwner(ctx, key)
			var violation *presign.Violation
			switch {
			case errors.Is(err, presign.ErrNotUploaded), errors.Is(err, presign.ErrExpired), errors.As(err, &violation):
				fmt.Println("nothing to keep:", err) // for good: it is no use to try again
			case err != nil:
				return err // the queue tries again
			default:
				fmt.Println(object.Owner, "uploaded", object.Filename, "of", object.Size, "bytes")
			}
		}
		return nil
	}

	grant, err := signer.Put(context.Background(), presign.Upload{Filename: "to do.txt", Size: 5, Owner: "alice"})
	if err != nil {
		panic(err)
	}
	r, err := grant.Request(context.Background(), strings.NewReader("hello"), 5)
	if err != nil {
		panic(err)
	}
	answer, err := store.HTTPClient().Do(r)
	if err != nil {
		panic(err)
	}
	defer answer.Body.Close()

	event := `{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"object": {"key": "` + url.QueryEscape(grant.Key) + `"}}}]}`
	if err := complete(context.Background(), []byte(event)); err != nil {
		panic(err)
	}
	// Output: alice uploaded to do.txt of 5 bytes
}

// The function is called at least once for each upload. What it writes, it
// writes once: GrantID is the same each time.
func ExampleWithOnComplete() {
	photos := make(map[string]presign.Object) // a table with a unique key
	_, err := presign.NewSigner(exampleClient, "bucket",
		presign.Policy{Prefix: "incoming/", FinalPrefix: "photos/", Types: []string{"image/*"}, MaxSize: 10 << 20},
		presign.WithSecret([]byte("32 random bytes from your secrets")),
		presign.WithOnComplete(func(ctx context.Context, o *presign.Object) error {
			photos[o.GrantID] = *o
			return nil
		}))
	fmt.Println(err)
	// Output: <nil>
}

// Violations come all at once.
func ExampleViolation() {
	signer, err := presign.NewSigner(exampleClient, "bucket", presign.Policy{Prefix: "avatars/", Types: []string{"image/*"}, MaxSize: 1 << 20})
	if err != nil {
		panic(err)
	}
	_, err = signer.Put(context.Background(), presign.Upload{Filename: "../me.png", Size: 2 << 20})
	fmt.Println(err)
	var violation *presign.Violation
	fmt.Println(errors.As(err, &violation), violation.Field)
	// Output:
	// presign: filename must be a name without a path, got the separator '/'
	// presign: size must be at most 1048576 bytes, got 2097152
	// true filename
}

// boundDomain is an endpoint resolver for a domain that leads to one bucket.
type boundDomain url.URL

func (d boundDomain) ResolveEndpoint(context.Context, s3.EndpointParameters) (smithyendpoints.Endpoint, error) {
	return smithyendpoints.Endpoint{URI: url.URL(d)}, nil
}

// The SDK adds the bucket to each endpoint. For a domain that is bound to the bucket, such as a CNAME, the client that
// signs has a resolver that returns the domain as it is. The service's own requests go to the store's endpoint.
func ExampleNewSigner_boundDomain() {
	client := s3.New(s3.Options{
		Region: "eu-central-1", Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "secret", ""),
		EndpointResolverV2: boundDomain{Scheme: "https", Host: "files.example.com"},
	})
	signer, err := presign.NewSigner(client, "my-bucket", presign.Policy{
		Prefix: "uploads/", Types: []string{"image/*"}, MaxSize: 10 << 20,
	}, presign.WithStore(exampleClient))
	if err != nil {
		panic(err)
	}
	grant, err := signer.Put(context.Background(), presign.Upload{Filename: "me.png", Size: 81234})
	if err != nil {
		panic(err)
	}
	fmt.Println(strings.HasPrefix(grant.URL, "https://files.example.com/uploads/"))
	// Output: true
}

// A provider that asks at every call (STS, a vault) goes into the SDK's cache. The Signer has the cache renew its
// credentials before grants would die with them.
func ExampleNewSigner_uncachedProvider() {
	vault := aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "secret", SessionToken: "token"}, nil
	})
	client := s3.New(s3.Options{Region: "eu-central-1", Credentials: aws.NewCredentialsCache(vault)})
	_, err := presign.NewSigner(client, "bucket", presign.Policy{Prefix: "uploads/", Types: []string{"image/*"}, MaxSize: 10 << 20})
	fmt.Println(err)
	// Output: <nil>
}

// In a cluster the service may reach the store under another name than browsers do.
func ExampleWithPublicEndpoint() {
	client := s3.New(exampleClient.Options(), func(o *s3.Options) {
		o.BaseEndpoint, o.UsePathStyle = aws.String("http://minio:9000"), true
	})
	signer, err := presign.NewSigner(client, "bucket", presign.Policy{Prefix: "uploads/", Types: []string{"image/*"}, MaxSize: 10 << 20},
		presign.WithPublicEndpoint("https://files.example.com"))
	if err != nil {
		panic(err)
	}
	grant, err := signer.Post(context.Background(), presign.Upload{Filename: "a.png"})
	if err != nil {
		panic(err)
	}
	fmt.Println(grant.URL)
	// Output: https://files.example.com/bucket
}

func ExampleWithLogger() {
	_, err := presign.NewSigner(exampleClient, "bucket",
		presign.Policy{Prefix: "uploads/", Types: []string{"image/*"}, MaxSize: 10 << 20},
		presign.WithSecret([]byte("32 random bytes from your secrets")),
		presign.WithLogger(slog.Default().With("component", "uploads")))
	fmt.Println(err)
	// Output: <nil>
}
