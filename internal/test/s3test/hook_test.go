package s3test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
)

func TestFail(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) *Server{
		"without a network": func(*testing.T) *Server { return New() },
		"with a network":    func(t *testing.T) *Server { return Start(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, test := range []struct {
				fault  Fault
				code   string // empty if the connection ends
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
				calls := make(chan string, 10)
				s.Fail(func(operation string, r *http.Request) Fault {
					calls <- operation + " " + r.URL.Path
					if operation != "PutObject" {
						return None
					}
					if test.hangs {
						go func() { // This goroutine cancels the request while the request hangs.
							defer cancel()
							for ok := false; ok != test.stored &&
								ctx.Err() == nil; time.Sleep(time.Millisecond) {
								_, ok = s.Object(DefaultBucket, "key")
							}
							time.Sleep(20 * time.Millisecond) // No response arrives meanwhile.
						}()
					}
					return test.fault
				})
				_, err := s.S3().PutObject(ctx, &s3.PutObjectInput{
					Bucket: aws.String(DefaultBucket), Key: aws.String("key"),
					Body: strings.NewReader(hello),
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
				_, err = s.S3().HeadObject(t.Context(), &s3.HeadObjectInput{
					Bucket: aws.String(DefaultBucket), Key: aws.String("key"),
				})
				require.Equal(t, test.stored, err == nil, "%d: %v", test.fault, err)
				require.Equal(t, "PutObject /bucket/key", <-calls)
				require.Equal(t, "HeadObject /bucket/key", <-calls)
				require.Empty(t, calls)
				s.Fail(nil)
				put(t, s, "key", hello)
			}
		})
	}
}

// TestFailHeaders checks that a hook can remove a condition, and that the
// server verifies signatures before it calls the hook.
func TestFailHeaders(t *testing.T) {
	t.Parallel()
	s := New()
	put(t, s, "key", hello)
	calls := 0
	s.Fail(func(_ string, r *http.Request) Fault {
		calls++
		r.Header.Del("If-None-Match")
		return None
	})
	require.Equal(t, 200,
		send(t, s, presign(t, s, s3.PutObjectInput{IfNoneMatch: aws.String("*")}, hello)).status)
	require.Equal(t, 1, calls)
	require.Equal(t, "SignatureDoesNotMatch", send(t, s,
		presign(t, s, s3.PutObjectInput{}, hello, withKeys(AccessKeyID, "wrong", ""))).code())
	require.Equal(t, 1, calls)
}

// TestCrash checks that requests of an actor after its crash have no effect,
// and that other actors continue.
func TestCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			hook   Fault
			stored bool
		}{{Crash, false}, {CrashAfter, true}} {
			for _, after := range []bool{false, true} {
				s := New(WithHistory())
				crash := func(r Request, _ *http.Request) Fault {
					if r.Actor == "a" && r.Operation == "PutObject" {
						return test.hook
					}
					return None
				}
				if after {
					s.Intercept(Hook{After: crash})
				} else {
					s.Intercept(Hook{Before: crash})
				}
				a := s.Actor("a").S3(Retries(3))
				require.ErrorContains(t, putAs(t.Context(), a, "key", hello), "EOF")
				_, err := a.DeleteObject(t.Context(), &s3.DeleteObjectInput{
					Bucket: aws.String(DefaultBucket), Key: aws.String("key"),
				})
				require.ErrorContains(t, err, "EOF")
				_, stored := s.Object(DefaultBucket, "key")
				require.Equal(t, test.stored || after, stored)
				require.Len(t, s.History().Requests, 1)
				require.NoError(t, putAs(t.Context(), s.Actor("b").S3(), "key", hello))
			}
		}
	})
}

// TestAfter checks that the faults that After returns replace the response of
// an operation that has taken effect.
func TestAfter(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) *Server{
		"without a network": func(*testing.T) *Server { return New(WithHistory()) },
		"with a network":    func(t *testing.T) *Server { return Start(t, WithHistory()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, test := range []struct {
				fault  Fault
				status int
				code   string // empty if the connection ends
			}{
				{None, 200, ""}, {AccessDenied, 403, "AccessDenied"},
				{InternalError, 500, "InternalError"}, {Cut, 0, "EOF"}, {CutAfter, 0, "EOF"},
			} {
				s := start(t)
				s.Intercept(Hook{After: func(r Request, _ *http.Request) Fault {
					require.Equal(t, 200, r.Status)
					_, stored := s.Object(DefaultBucket, "key")
					require.True(t, stored)
					return test.fault
				}})
				err := putAs(t.Context(), s.S3(), "key", hello)
				if test.code == "" {
					require.NoError(t, err)
				} else {
					require.ErrorContains(t, err, test.code)
				}
				require.Equal(t, test.status, s.History().Requests[0].Status)
			}
			// After is also called with the status of a rejection.
			s := start(t)
			var status int
			s.Intercept(Hook{
				After: func(r Request, _ *http.Request) Fault { status = r.Status; return None },
			})
			_, err := s.S3().GetObject(t.Context(), &s3.GetObjectInput{
				Bucket: aws.String(DefaultBucket), Key: aws.String("none"),
			})
			requireCode(t, err, "NoSuchKey")
			require.Equal(t, 404, status)
		})
	}
}

// TestCutDuring checks that the client receives the first bytes of a body and
// then an error.
func TestCutDuring(t *testing.T) {
	t.Parallel()
	for _, s := range []*Server{New(), Start(t)} {
		put(t, s, "key", hello)
		s.Fail(func(string, *http.Request) Fault { return CutDuring })
		out, err := s.S3().GetObject(t.Context(), &s3.GetObjectInput{
			Bucket: aws.String(DefaultBucket), Key: aws.String("key"),
		})
		require.NoError(t, err)
		body, err := io.ReadAll(out.Body)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.Equal(t, hello[:5], string(body))
		_, err = s.S3().CopyObject(t.Context(), &s3.CopyObjectInput{
			Bucket: aws.String(DefaultBucket), Key: aws.String("copy"),
			CopySource: aws.String("bucket/key"),
		})
		require.Error(t, err)
		require.Equal(t, []string{"copy", "key"}, s.Objects(DefaultBucket))
	}
}

// TestHookTakesTime checks that a hook can send requests that take ticks, and
// that other requests do not wait for the hook.
func TestHookTakesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(WithHistory(), WithTick(time.Millisecond))
		s.Intercept(Hook{Before: func(r Request, _ *http.Request) Fault {
			if r.Key == "slow" {
				require.NoError(t, putAs(t.Context(), s.Actor("hook").S3(), "of the hook", hello))
				time.Sleep(time.Second)
			}
			return None
		}})
		var wg sync.WaitGroup
		wg.Go(func() { require.NoError(t, putAs(t.Context(), s.S3(), "slow", hello)) })
		wg.Go(func() {
			for range 3 {
				require.NoError(t, putAs(t.Context(), s.S3(), "fast", hello))
			}
		})
		wg.Wait()
		h := s.History()
		require.Equal(t, int64(3), h.States("fast")[2].From.Tick)
		require.Equal(t, int64(2), h.States("of the hook")[0].From.Tick)
		require.Equal(t, int64(1002), h.States("slow")[0].From.Tick)
	})
}
