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
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyendpoints "github.com/aws/smithy-go/endpoints"

	"github.com/s3presign/presign"
)

// A browser, an app or a script requests a grant from the handler.
func ExampleNewHandler() {
	signer, err := presign.NewSigner(s3.NewFromConfig(cfg), "bucket", presign.Policy{
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

	response := post(mux, "/uploads/", `{"filename": "holiday photo.jpg", "size": 81234}`)
	var grant presign.Grant
	if err := json.Unmarshal(response.Body.Bytes(), &grant); err != nil {
		panic(err)
	}
	fmt.Println(response.Code, grant.Method, grant.Headers["Content-Type"])
	fmt.Println(post(mux, "/uploads/", `{"filename": "page.html", "size": 81234}`).Code)
	// Output:
	// 201 PUT image/jpeg
	// 422
}

// A client can send any header, so a header does not authenticate anyone.
func ExampleNewHandler_incorrect() {
	signer, err := presign.NewSigner(s3.NewFromConfig(cfg), "bucket", presign.Policy{
		Prefix: "uploads/", Types: []string{"*/*"}, MaxSize: 1 << 30,
	})
	if err != nil {
		panic(err)
	}
	incorrect, err := presign.NewHandler(signer, func(r *http.Request) (string, error) {
		return r.Header.Get("X-User"), nil // Any client can send this header.
	})
	if err != nil {
		panic(err)
	}
	body := `{"filename": "a.bin", "size": 1073741824}`
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-User", "anyone")
	w := httptest.NewRecorder()
	incorrect.ServeHTTP(w, r)
	fmt.Println(w.Code)
	// Output: 201
}

// Each user has a prefix and a quota.
func ExampleWithAuthorize() {
	signer, err := presign.NewSigner(s3.NewFromConfig(cfg), "bucket", presign.Policy{
		Prefix: "users/", Types: []string{"image/*"}, MaxSize: 10 << 20,
	})
	if err != nil {
		panic(err)
	}
	// A service keeps reservations by GrantID in a table.
	left := map[string]int64{"alice": 100_000}
	authorize := func(r *http.Request, u *presign.Upload) error {
		u.MaxSize = min(u.MaxSize, left[u.Owner])
		u.Key = "users/" + u.Owner + "/" // A random part and the file's name follow.
		return nil
	}
	handler, err := presign.NewHandler(signer, sessionUser, presign.WithAuthorize(authorize))
	if err != nil {
		panic(err)
	}
	var grant presign.Grant
	response := post(handler, "/", `{"filename": "a.png", "size": 100000}`)
	if err := json.Unmarshal(response.Body.Bytes(), &grant); err != nil {
		panic(err)
	}
	fmt.Println(strings.HasPrefix(grant.Key, "users/alice/"))
	fmt.Println(post(handler, "/", `{"filename": "b.png", "size": 100001}`).Code)
	// Output:
	// true
	// 422
}

// Uppy's AwsS3 plugin gets its grants from the handler. Set its option
// companionEndpoint to '/uploads'.
func ExampleWithUppy() {
	signer, err := presign.NewSigner(s3.NewFromConfig(cfg), "bucket", presign.Policy{
		Prefix: "uploads/", Types: []string{"*/*"}, MaxSize: 2 << 30,
	})
	if err != nil {
		panic(err)
	}
	handler, err := presign.NewHandler(signer, sessionUser,
		presign.WithUppy("https://app.example.com"))
	if err != nil {
		panic(err)
	}
	body := `{"filename": "film.mp4", "type": "video/mp4", "metadata": {"size": "4000000000"}}`
	fmt.Println(post(handler, "/s3/multipart", body).Code)
	// Output: 422
}

func ExampleNewSigner() {
	signer, err := presign.NewSigner(s3.NewFromConfig(cfg), "bucket", presign.Policy{
		Prefix:      "incoming/",
		FinalPrefix: "photos/",
		Types:       []string{"image/*"},
		MaxSize:     10 << 20,
	}, presign.WithSecret([]byte("32 random bytes from your secrets")))
	fmt.Println(signer, err)
	// Output: presign.Signer(bucket/incoming/) <nil>
}

// boundDomain is an endpoint resolver for a domain that is bound to one bucket.
type boundDomain url.URL

func (d boundDomain) ResolveEndpoint(
	context.Context, s3.EndpointParameters,
) (smithyendpoints.Endpoint, error) {
	return smithyendpoints.Endpoint{URI: url.URL(d)}, nil
}

// The SDK adds the bucket to each endpoint. If a domain is bound to the bucket,
// such as a CNAME, the signing client needs a resolver that returns the domain
// unchanged. The service's own requests use the store's endpoint.
func ExampleNewSigner_boundDomain() {
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.BaseEndpoint = nil
		o.EndpointResolverV2 = boundDomain{Scheme: "https", Host: "files.example.com"}
	})
	signer, err := presign.NewSigner(client, "my-bucket", presign.Policy{
		Prefix: "uploads/", Types: []string{"image/*"}, MaxSize: 10 << 20,
	}, presign.WithStore(s3.NewFromConfig(cfg)))
	if err != nil {
		panic(err)
	}
	grant, err := signer.Put(ctx, presign.Upload{Filename: "me.png", Size: 81234})
	if err != nil {
		panic(err)
	}
	fmt.Println(strings.HasPrefix(grant.URL, "https://files.example.com/uploads/"))
	// Output: true
}

// Wrap a provider that makes a request for each call, such as a vault, in the
// SDK's cache. The Signer renews the cached credentials before they would
// shorten grants.
func ExampleNewSigner_uncachedProvider() {
	vault := aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		return aws.Credentials{
			AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "secret", SessionToken: "token",
		}, nil
	})
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.Credentials = aws.NewCredentialsCache(vault)
	})
	_, err := presign.NewSigner(client, "bucket", presign.Policy{
		Prefix: "uploads/", Types: []string{"image/*"}, MaxSize: 10 << 20,
	})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleSigner_Put() {
	signer, err := presign.NewSigner(s3.NewFromConfig(cfg), "bucket", presign.Policy{
		Prefix:   "backups/",
		Types:    []string{"application/gzip"},
		MaxSize:  5 << 30,
		Checksum: types.ChecksumAlgorithmSha256,
		Headers:  map[string]string{"x-amz-storage-class": "STANDARD_IA"},
	})
	if err != nil {
		panic(err)
	}
	grant, err := signer.Put(ctx, presign.Upload{
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
	signer, err := presign.NewSigner(s3.NewFromConfig(cfg), "bucket", presign.Policy{
		Prefix: "avatars/", Types: []string{"image/png", "image/jpeg"}, MaxSize: 1 << 20,
	})
	if err != nil {
		panic(err)
	}
	grant, err := signer.Post(ctx, presign.Upload{
		Filename: "me.png", Redirect: "https://example.com/profile",
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(grant.Method, grant.Fields["Content-Type"], grant.Fields["success_action_redirect"])
	// Output: POST image/png https://example.com/profile
}

// Each part of a large file has a URL. A client can send parts in any order and
// several at once.
func ExampleSigner_StartMultipart() {
	signer, err := presign.NewSigner(s3.NewFromConfig(cfg), "bucket",
		presign.Policy{Prefix: "films/", Types: []string{"video/*"}, MaxSize: 100 << 30},
		presign.WithSecret([]byte("32 random bytes from your secrets")))
	if err != nil {
		panic(err)
	}
	upload, err := signer.StartMultipart(ctx, presign.Upload{
		Filename: "film.mp4", Size: 40 << 30, Owner: "user-7",
	})
	if err != nil {
		panic(err)
	}
	urls, _, err := upload.SignParts(ctx, 1, 8192)
	if err != nil {
		panic(err)
	}
	fmt.Println(upload.PartSize, len(urls))

	// Complete creates the object if the uploaded parts match the grant.
	_, err = upload.Complete(ctx, nil)
	fmt.Println(presign.Violations(err)[0].Code)
	// Output:
	// 5242880 8192
	// too_small
}

// A replica, or the service after a restart, resumes an upload by its ID.
func ExampleSigner_ResumeMultipart() {
	signer, err := presign.NewSigner(s3.NewFromConfig(cfg), "bucket",
		presign.Policy{Prefix: "films/", Types: []string{"video/*"}, MaxSize: 100 << 30},
		presign.WithSecret([]byte("32 random bytes from your secrets")))
	if err != nil {
		panic(err)
	}
	started, err := signer.StartMultipart(ctx, presign.Upload{
		Filename: "film.mp4", Size: 40 << 30, Owner: "user-7",
	})
	if err != nil {
		panic(err)
	}
	resumed, err := signer.ResumeMultipart("user-7", started.ID)
	if err != nil {
		panic(err)
	}
	parts, err := resumed.ListParts(ctx)
	fmt.Println(resumed.Key == started.Key, len(parts), err)
	_, err = signer.ResumeMultipart("user-8", started.ID)
	fmt.Println(errors.Is(err, presign.ErrInvalidID), resumed.Abort(ctx))
	// Output:
	// true 0 <nil>
	// true <nil>
}

// A service with its own transport completes an upload of a user.
func ExampleSigner_Complete() {
	signer, err := presign.NewSigner(s3.NewFromConfig(cfg), "bucket",
		presign.Policy{
			Prefix: "incoming/", FinalPrefix: "documents/",
			Types: []string{"text/plain"}, MaxSize: 1 << 20,
		},
		presign.WithSecret([]byte("32 random bytes from your secrets")))
	if err != nil {
		panic(err)
	}
	grant, err := signer.Put(ctx, presign.Upload{Filename: "to do.txt", Size: 5, Owner: "alice"})
	if err != nil {
		panic(err)
	}
	sendFile(grant, "hello")

	_, err = signer.Complete(ctx, "bob", grant.Key)
	fmt.Println(errors.Is(err, presign.ErrNotUploaded))
	object, err := signer.Complete(ctx, "alice", grant.Key)
	if err != nil {
		panic(err)
	}
	fmt.Println(object.Owner, object.Filename, object.Size)
	// Output:
	// true
	// alice to do.txt 5
}

// A job of the service completes uploads of all users. The key comes from the
// service, never from a client.
func ExampleSigner_CompleteForAnyOwner() {
	signer, err := presign.NewSigner(s3.NewFromConfig(cfg), "bucket",
		presign.Policy{
			Prefix: "incoming/", FinalPrefix: "documents/",
			Types: []string{"text/plain"}, MaxSize: 1 << 20,
		},
		presign.WithSecret([]byte("32 random bytes from your secrets")))
	if err != nil {
		panic(err)
	}
	grant, err := signer.Put(ctx, presign.Upload{Filename: "report.txt", Size: 5})
	if err != nil {
		panic(err)
	}
	sendFile(grant, "hello")
	object, err := signer.CompleteForAnyOwner(ctx, grant.Key)
	if err != nil {
		panic(err)
	}
	fmt.Println(object.Filename, object.Size)
	// Output: report.txt 5
}

// A worker completes uploads from the store's notifications, even if the client
// stops after the upload.
func ExampleSigner_CompleteNotification() {
	signer, err := presign.NewSigner(s3.NewFromConfig(cfg), "bucket",
		presign.Policy{
			Prefix: "incoming/", FinalPrefix: "documents/",
			Types: []string{"text/plain"}, MaxSize: 1 << 20,
		},
		presign.WithSecret([]byte("32 random bytes from your secrets")),
		presign.WithOnComplete(func(ctx context.Context, o *presign.Object) error {
			fmt.Println(o.Owner, "uploaded", o.Filename)
			return nil
		}))
	if err != nil {
		panic(err)
	}
	grant, err := signer.Put(ctx, presign.Upload{Filename: "to do.txt", Size: 5, Owner: "alice"})
	if err != nil {
		panic(err)
	}
	sendFile(grant, "hello")

	message := `{"Records": [{"eventName": "ObjectCreated:Put", "s3": {` +
		`"bucket": {"name": "bucket"}, "object": {"key": "` + url.QueryEscape(grant.Key) + `"}}}]}`
	if err := signer.CompleteNotification(ctx, []byte(message)); err != nil {
		fmt.Println("the queue delivers the message again:", err)
	}
	// Output: alice uploaded to do.txt
}

// A job runs Sweep from time to time. Sweep completes, deletes or aborts
// uploads that no client has completed.
func ExampleSigner_Sweep() {
	signer, err := presign.NewSigner(s3.NewFromConfig(cfg), "bucket",
		presign.Policy{
			Prefix: "incoming/", FinalPrefix: "documents/",
			Types: []string{"text/plain"}, MaxSize: 1 << 20,
		},
		presign.WithSecret([]byte("32 random bytes from your secrets")))
	if err != nil {
		panic(err)
	}
	fmt.Println(signer.Sweep(ctx))
	// Output: <nil>
}

// Shutdown waits for completions that continue in the background.
func ExampleSigner_Shutdown() {
	signer, err := presign.NewSigner(s3.NewFromConfig(cfg), "bucket", presign.Policy{
		Prefix: "uploads/", Types: []string{"image/*"}, MaxSize: 10 << 20,
	})
	if err != nil {
		panic(err)
	}
	handler, err := presign.NewHandler(signer, sessionUser)
	if err != nil {
		panic(err)
	}
	server := &http.Server{Handler: handler}

	// The process is shutting down.
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	fmt.Println(server.Shutdown(ctx), signer.Shutdown(ctx))
	// Output: <nil> <nil>
}

// The function receives each verified upload before it is published.
func ExampleWithInspect() {
	inspect := func(ctx context.Context, o *presign.Object) error {
		content, err := o.Open(ctx)
		if err != nil {
			return err // The upload is kept and can be completed again.
		}
		defer content.Close()
		signature := make([]byte, 5)
		if _, err := content.Read(signature); err != nil {
			return err
		}
		if string(signature) == "virus" { // A service calls a scanner here.
			return &presign.Violation{Field: "content", Code: "invalid", Detail: "contains a virus"}
		}
		return nil
	}
	signer, err := presign.NewSigner(s3.NewFromConfig(cfg), "bucket",
		presign.Policy{
			Prefix: "incoming/", FinalPrefix: "documents/",
			Types: []string{"text/plain"}, MaxSize: 1 << 20,
		},
		presign.WithSecret([]byte("32 random bytes from your secrets")),
		presign.WithInspect(inspect))
	if err != nil {
		panic(err)
	}
	grant, err := signer.Put(ctx, presign.Upload{Filename: "a.txt", Size: 5, Owner: "alice"})
	if err != nil {
		panic(err)
	}
	sendFile(grant, "virus")
	_, err = signer.Complete(ctx, "alice", grant.Key)
	var rejected *presign.RejectedError
	fmt.Println(errors.As(err, &rejected), rejected.Violations[0].Detail)
	// Output: true contains a virus
}

// The function is called at least once for each upload. GrantID is the same in
// each call, so the function writes one row.
func ExampleWithOnComplete() {
	photos := make(map[string]presign.Object) // A service uses a table with a unique key.
	_, err := presign.NewSigner(s3.NewFromConfig(cfg), "bucket",
		presign.Policy{
			Prefix: "incoming/", FinalPrefix: "photos/",
			Types: []string{"image/*"}, MaxSize: 10 << 20,
		},
		presign.WithSecret([]byte("32 random bytes from your secrets")),
		presign.WithOnComplete(func(ctx context.Context, o *presign.Object) error {
			photos[o.GrantID] = *o
			o.Reply = map[string]string{"page": "/photos/" + o.GrantID} // The client receives it.
			return nil
		}))
	fmt.Println(err)
	// Output: <nil>
}

// An Event describes one finished call. The observer counts Events by kind.
func ExampleWithObserver() {
	count := make(map[string]int)
	signer, err := presign.NewSigner(s3.NewFromConfig(cfg), "bucket", presign.Policy{
		Prefix: "uploads/", Types: []string{"image/*"}, MaxSize: 10 << 20,
	}, presign.WithObserver(func(ctx context.Context, e presign.Event) { count[e.Kind]++ }))
	if err != nil {
		panic(err)
	}
	_, _ = signer.Put(ctx, presign.Upload{Filename: "a.png", Size: 10})
	_, _ = signer.Put(ctx, presign.Upload{Filename: "a.exe", Size: 10})
	fmt.Println(count)
	// Output: map[granted:1 not_granted:1]
}

// One role signs grants and cannot read objects. Another role completes
// uploads.
func ExampleWithStore() {
	signing := s3.NewFromConfig(cfg)
	storing := s3.NewFromConfig(cfg, func(o *s3.Options) {
		role := "arn:aws:iam::123456789012:role/store"
		o.Credentials = presign.AssumeRole(sts.NewFromConfig(cfg), role, nil)
	})
	_, err := presign.NewSigner(signing, "bucket",
		presign.Policy{
			Prefix: "incoming/", FinalPrefix: "photos/",
			Types: []string{"image/*"}, MaxSize: 10 << 20,
		},
		presign.WithStore(storing))
	fmt.Println(err)
	// Output: <nil>
}

// A key is replaced in three steps. Each step is deployed to all replicas
// before the next step.
func ExampleWithSecret() {
	previous := []byte("32 random bytes from your secrets")
	next := []byte("32 other bytes from your secrets")
	for _, step := range []presign.SignerOption{
		presign.WithSecret(previous, next),
		presign.WithSecret(next, previous),
		presign.WithSecret(next),
	} {
		_, err := presign.NewSigner(s3.NewFromConfig(cfg), "bucket", presign.Policy{
			Prefix: "uploads/", Types: []string{"image/*"}, MaxSize: 10 << 20,
		}, step)
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// <nil>
	// <nil>
}

// In a cluster, browsers can reach the store under another name than the
// service does.
func ExampleWithPublicEndpoint() {
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.BaseEndpoint, o.UsePathStyle = aws.String("http://minio:9000"), true
	})
	signer, err := presign.NewSigner(client, "bucket", presign.Policy{
		Prefix: "uploads/", Types: []string{"image/*"}, MaxSize: 10 << 20,
	}, presign.WithPublicEndpoint("https://files.example.com"))
	if err != nil {
		panic(err)
	}
	grant, err := signer.Post(ctx, presign.Upload{Filename: "a.png"})
	if err != nil {
		panic(err)
	}
	fmt.Println(grant.URL)
	// Output: https://files.example.com/bucket
}

func ExampleWithoutForms() {
	signer, err := presign.NewSigner(s3.NewFromConfig(cfg), "bucket", presign.Policy{
		Prefix: "uploads/", Types: []string{"image/*"}, MaxSize: 10 << 20,
	}, presign.WithoutForms())
	if err != nil {
		panic(err)
	}
	_, err = signer.Post(ctx, presign.Upload{Filename: "a.png"})
	fmt.Println(presign.Violations(err)[0].Code)
	// Output: unsupported
}

// The doctor of examples/doctor prints the profile of a store. NewSigner then
// rejects a Policy that this store does not enforce.
func ExampleWithProfile() {
	profile := []byte(`{
		"format": 1, "doctor": "v0.9.0", "date": "2026-11-27",
		"store": "Ceph radosgw 16.2", "host": "bucket.s3.test", "bucket": "bucket",
		"constraints": {"PUT: checksum SHA256": "not enforced"}
	}`)
	_, err := presign.NewSigner(s3.NewFromConfig(cfg), "bucket", presign.Policy{
		Prefix: "uploads/", Types: []string{"image/*"}, MaxSize: 10 << 20,
		Checksum: types.ChecksumAlgorithmSha256,
	}, presign.WithProfile(profile))
	fmt.Println(err)
	// Output: presign: WithProfile: the store does not enforce "PUT: checksum SHA256"; leave Policy.Checksum empty, and compute a digest of the published object in WithOnComplete
}

func ExampleWithLogger() {
	_, err := presign.NewSigner(s3.NewFromConfig(cfg), "bucket", presign.Policy{
		Prefix: "uploads/", Types: []string{"image/*"}, MaxSize: 10 << 20,
	}, presign.WithLogger(slog.Default().With("component", "uploads")))
	fmt.Println(err)
	// Output: <nil>
}

// A client in Go uploads a file with the grant that the service has returned.
// The grant can be a PUT or a form.
func ExampleGrant_Request() {
	signer, err := presign.NewSigner(s3.NewFromConfig(cfg), "bucket", presign.Policy{
		Prefix: "uploads/", Types: []string{"text/plain"}, MaxSize: 1 << 20,
	})
	if err != nil {
		panic(err)
	}
	service, err := presign.NewHandler(signer, sessionUser)
	if err != nil {
		panic(err)
	}
	file := strings.NewReader("hello") // or an *os.File
	for _, method := range []string{"PUT", "POST"} {
		body := `{"filename": "hello.txt", "size": 5, "method": "` + method + `"}`
		response := post(service, "/", body)
		var grant presign.Grant
		if err := json.Unmarshal(response.Body.Bytes(), &grant); err != nil {
			panic(err)
		}
		r, err := grant.Request(ctx, file, file.Size())
		if err != nil {
			panic(err)
		}
		stored, err := uploadClient.Do(r)
		if urlErr := (*url.Error)(nil); errors.As(err, &urlErr) {
			panic(urlErr.Err) // The URL is a secret, so it is left out.
		}
		stored.Body.Close()
		fmt.Println(method, stored.StatusCode)
	}
	// Output:
	// PUT 200
	// POST 204
}

// All violations are returned at once.
func ExampleViolations() {
	signer, err := presign.NewSigner(s3.NewFromConfig(cfg), "bucket", presign.Policy{
		Prefix: "avatars/", Types: []string{"image/*"}, MaxSize: 1 << 20,
	})
	if err != nil {
		panic(err)
	}
	_, err = signer.Put(ctx, presign.Upload{Filename: "page.html", Size: 2 << 20})
	for _, v := range presign.Violations(err) {
		fmt.Println(v.Field, v.Code, v.Max, v.Allowed)
	}
	// Output:
	// type not_allowed 0 [image/*]
	// size too_large 1048576 []
}

// A service with its own transport maps errors to responses.
func ExampleProblemOf() {
	for _, err := range []error{
		presign.ErrNotUploaded, presign.ErrExpired, presign.ErrCredentialsExpiring,
		errors.New("unknown"),
	} {
		p := presign.ProblemOf(err)
		fmt.Println(p.Status, p.RetryAfter)
	}
	// Output:
	// 404 0s
	// 410 0s
	// 503 30s
	// 500 0s
}

func ExampleProblem() {
	suspended := &presign.Problem{
		Status: http.StatusForbidden, Detail: "Your account is suspended.",
	}
	w := httptest.NewRecorder()
	suspended.ServeHTTP(w, httptest.NewRequest("POST", "/", nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output: 403 application/problem+json
}

// Another program renews the file while the service runs. A grant expires when
// the credentials that signed it expire.
func ExampleEnvFile() {
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "awsenv.list")
	lines := "ACCESS=ASIAIOSFODNN7EXAMPLE\n" +
		"SECRET=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n" +
		"TOKEN=IQoJb3JpZ2luX2VjEXAMPLE\n" +
		"EXPIRATION=" + time.Now().Add(10*time.Minute).Format(time.RFC3339) + "\n"
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		panic(err)
	}

	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.Credentials = presign.EnvFile(path, slog.Default())
	})
	signer, err := presign.NewSigner(client, "bucket", presign.Policy{
		Prefix: "uploads/", Types: []string{"image/*"}, MaxSize: 10 << 20, Lifetime: time.Hour,
	})
	if err != nil {
		panic(err)
	}
	grant, err := signer.Put(ctx, presign.Upload{Filename: "photo.jpg", Size: 81234})
	if err != nil {
		panic(err)
	}
	fmt.Println(time.Until(grant.Expires).Round(time.Minute))
	// Output: 10m0s
}

// The session can only put objects under the prefix, even if the role allows
// more actions.
func ExampleAssumeRole() {
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		role := "arn:aws:iam::123456789012:role/uploads"
		o.Credentials = presign.AssumeRole(sts.NewFromConfig(cfg), role, slog.Default(),
			func(o *stscreds.AssumeRoleOptions) {
				o.Policy = aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` +
					`"Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/uploads/*"}]}`)
			})
	})
	_, err := presign.NewSigner(client, "bucket", presign.Policy{
		Prefix: "uploads/", Types: []string{"image/*"}, MaxSize: 10 << 20,
	})
	fmt.Println(err)
	// Output: <nil>
}

// post sends a JSON request with the session cookie of a user.
func post(handler http.Handler, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.AddCookie(&http.Cookie{Name: "session", Value: "session-of-alice"})
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

// sendFile uploads content with a grant, as a client does.
func sendFile(grant *presign.Grant, content string) {
	r, err := grant.Request(ctx, strings.NewReader(content), int64(len(content)))
	if err != nil {
		panic(err)
	}
	response, err := uploadClient.Do(r)
	if err != nil {
		panic(err)
	}
	response.Body.Close()
}
