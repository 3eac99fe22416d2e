package s3test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
)

func TestFail(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) *Server{
		"without a wire": func(*testing.T) *Server { return New() },
		"on the wire":    func(t *testing.T) *Server { return Start(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, test := range []struct {
				fault  Fault
				code   string // or the connection ends
				hangs  bool
				stored bool
			}{
				{fault: None, stored: true},
				{fault: AccessDenied, code: "AccessDenied"},
				{fault: InternalError, code: "InternalError"},
				{fault: NotImplemented, code: "NotImplemented"},
				{fault: SlowDown, code: "SlowDown"},
				{fault: Cut},
				{fault: CutAfter, stored: true},
				{fault: Hang, hangs: true},
				{fault: HangAfter, hangs: true, stored: true},
			} {
				s := start(t)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				asked := make(chan string, 10)
				s.Fail(func(operation string, r *http.Request) Fault {
					asked <- operation + " " + r.URL.Path
					if operation != "PutObject" {
						return None
					}
					if test.hangs {
						go func() { // gives up once it hangs
							defer cancel()
							for there := false; there != test.stored && ctx.Err() == nil; time.Sleep(time.Millisecond) {
								_, there = s.Object(DefaultBucket, "key")
							}
							time.Sleep(20 * time.Millisecond) // in which nothing is answered
						}()
					}
					return test.fault
				})
				_, err := s.S3().PutObject(ctx, &s3.PutObjectInput{
					Bucket: aws.String(DefaultBucket), Key: aws.String("key"), Body: strings.NewReader(hello),
				})
				cancel()
				switch {
				case test.fault == None:
					require.NoError(t, err)
				case test.hangs:
					require.ErrorIs(t, err, context.Canceled)
				case test.code != "":
					requireCode(t, err, test.code)
				default:
					require.ErrorContains(t, err, "EOF")
				}
				_, err = s.S3().HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(DefaultBucket), Key: aws.String("key")})
				require.Equal(t, test.stored, err == nil, "%d: %v", test.fault, err)
				require.Equal(t, "PutObject /bucket/key", <-asked)
				require.Equal(t, "HeadObject /bucket/key", <-asked)
				require.Empty(t, asked)
				s.Fail(nil)
				put(t, s, "key", hello)
			}
		})
	}
}

// TestFailHeaders makes a store that ignores a condition, and proves that signatures are verified before.
func TestFailHeaders(t *testing.T) {
	t.Parallel()
	s := New()
	put(t, s, "key", hello)
	asked := 0
	s.Fail(func(_ string, r *http.Request) Fault {
		asked++
		r.Header.Del("If-None-Match")
		return None
	})
	require.Equal(t, 200, send(t, s, presign(t, s, s3.PutObjectInput{IfNoneMatch: aws.String("*")}, hello)).status)
	require.Equal(t, 1, asked)
	require.Equal(t, "SignatureDoesNotMatch", send(t, s, presign(t, s, s3.PutObjectInput{}, hello, withKeys(AccessKeyID, "wrong", ""))).code())
	require.Equal(t, 1, asked)
}
