// Package patterns contains the functions that examples/README.md shows, so
// that tests can run them.
package patterns

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/s3presign/presign"
)

// newTenants returns a handler with a Handler for each tenant, selected by the
// host of the request.
func newTenants(
	client *s3.Client, bucket string, secret []byte, policies map[string]presign.Policy,
	authenticate func(r *http.Request, tenant string) (user string, err error),
) (http.Handler, error) {
	mux := http.NewServeMux()
	for tenant, policy := range policies {
		policy.Prefix, policy.FinalPrefix = "incoming/"+tenant+"/", "files/"+tenant+"/"
		signer, err := presign.NewSigner(client, bucket, policy, presign.WithSecret(secret))
		if err != nil {
			return nil, fmt.Errorf("tenant %q: %w", tenant, err)
		}
		uploads, err := presign.NewHandler(signer, func(r *http.Request) (string, error) {
			return authenticate(r, tenant) // "" for the users of other tenants
		})
		if err != nil {
			return nil, err
		}
		mux.Handle(tenant+".example.com/uploads/", http.StripPrefix("/uploads", uploads))
	}
	return mux, nil
}

// storeOnce returns a function for WithAuthorize that derives the key from the
// user and the file's SHA-256. It rejects a file that the user has stored
// before.
func storeOnce(
	client *s3.Client, bucket string, policy presign.Policy,
) func(*http.Request, *presign.Upload) error {
	return func(r *http.Request, u *presign.Upload) error {
		sum, err := base64.StdEncoding.DecodeString(u.Checksum)
		if err != nil {
			return err
		}
		name := hex.EncodeToString([]byte(u.Owner)) + "/" + hex.EncodeToString(sum)
		u.Key = policy.Prefix + name
		final := &s3.HeadObjectInput{Bucket: &bucket, Key: aws.String(policy.FinalPrefix + name)}
		_, err = client.HeadObject(r.Context(), final)
		if _, isNew := errors.AsType[*types.NotFound](err); isNew {
			return nil
		}
		if err == nil {
			err = &presign.Violation{
				Field: "checksum", Code: "taken", Detail: "must not be of a file that is stored",
			}
		}
		return err
	}
}

// observeBy returns a function for WithObserver that creates a span for each
// call.
func observeBy(tracer trace.Tracer) func(context.Context, presign.Event) {
	return func(ctx context.Context, e presign.Event) {
		end := time.Now()
		start := trace.WithTimestamp(end.Add(-e.Duration))
		_, span := tracer.Start(ctx, "upload "+e.Kind, start, trace.WithAttributes(
			attribute.String("upload.grant_id", e.GrantID),
			attribute.String("upload.method", e.Method),
			attribute.String("upload.type", e.Type),
			attribute.Int64("upload.size", e.Size),
		))
		if e.Err != nil {
			span.RecordError(e.Err)
		}
		if e.Kind == "failed" {
			span.SetStatus(codes.Error, "")
		}
		span.End(trace.WithTimestamp(end))
	}
}
