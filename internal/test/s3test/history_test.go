package s3test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
)

func putAs(ctx context.Context, client *s3.Client, key, body string) error {
	_, err := client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String(DefaultBucket), Key: &key, Body: strings.NewReader(body),
		Metadata: map[string]string{"owner": "u1"},
	})
	return err
}

func deleteKey(t *testing.T, s *Server, key, version string) {
	t.Helper()
	input := &s3.DeleteObjectInput{Bucket: aws.String(DefaultBucket), Key: &key}
	if version != "" {
		input.VersionId = &version
	}
	_, err := s.S3().DeleteObject(t.Context(), input)
	require.NoError(t, err)
}

func TestHistoryStates(t *testing.T) {
	t.Parallel()
	bodies := func(states []State) (bodies []string) {
		for _, state := range states {
			bodies = append(bodies, string(state.Body))
		}
		return bodies
	}
	t.Run("without versions", func(t *testing.T) {
		t.Parallel()
		s := New(WithHistory())
		require.NoError(t, putAs(t.Context(), s.Actor("alice").S3(), "a/key", "one"))
		before := s.Now()
		put(t, s, "a/key", "two")
		deleteKey(t, s, "a/key", "")
		put(t, s, "b/key", "three")
		h := s.History()
		put(t, s, "a/key", "later")

		states := h.States("a/key")
		require.Equal(t, []string{"one", "two"}, bodies(states))
		require.Equal(t, states, h.Visible("a/"))
		require.Equal(t, map[string]string{"owner": "u1"}, states[0].Metadata)
		require.Equal(t, []int{1, 2, 2, 3}, []int{
			states[0].MadeBy, states[0].EndedBy, states[1].MadeBy, states[1].EndedBy,
		})
		require.Equal(t, states[0].Until, states[1].From)
		require.True(t, states[0].Exists(before))
		require.False(t, states[1].Exists(before))
		require.True(t, h.States("b/key")[0].Exists(s.Now()))
		require.Equal(t, []string{"two", "three"},
			bodies(h.Ever(func(s State) bool { return strings.HasPrefix(string(s.Body), "t") })))
		require.Equal(t, "alice", h.Requests[0].Actor)
		require.Equal(t, "two", string(h.Visible("a/")[1].Body), "a History must not change")
		require.Len(t, s.History().States("a/key"), 3)
	})
	t.Run("with versions", func(t *testing.T) {
		t.Parallel()
		s := New(WithHistory(), WithVersioning())
		put(t, s, "key", "one")
		put(t, s, "key", "two")
		deleteKey(t, s, "key", s.Versions(DefaultBucket, "key")[0].VersionID)
		deleteKey(t, s, "key", "")
		h := s.History()
		require.Equal(t, []string{"one", "two", "one"}, bodies(h.Visible("")),
			"a version that is current again must be visible again")
		states := h.States("key")
		require.Equal(t, []string{"one", "two", ""}, bodies(states))
		require.True(t, states[2].DeleteMarker)
		require.Equal(t, forever, states[0].Until, "the first version must exist after the marker")
		require.Equal(t, 3, states[1].EndedBy)
	})
	require.Panics(t, func() { New().History() })
}

func TestHistoryRequests(t *testing.T) {
	t.Parallel()
	s := New(WithHistory())
	s.Intercept(Hook{Before: func(_ Request, h *http.Request) Fault {
		require.Empty(t, h.Header.Values(actorHeader), "the server must remove its own header")
		return None
	}})
	require.NoError(t, putAs(t.Context(), s.Actor("alice").S3(), "key", hello))
	signed, err := s3.NewPresignClient(s.S3()).PresignPutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(DefaultBucket), Key: aws.String("key"),
	})
	require.NoError(t, err)
	for _, client := range []*http.Client{s.Actor("mallory").HTTPClient(), s.HTTPClient()} {
		req := upload(t, signed, "x")
		req.URL.RawQuery += "0"
		resp, err := client.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	}
	form := newForm("form").request(t, s)
	require.Equal(t, 204, send(t, s, form).status)
	requests := s.History().Requests
	for i := range requests {
		require.Equal(t, i+1, requests[i].Number)
		require.Less(t, requests[i].Start, requests[i].End)
	}
	require.Equal(t, "1 [1-3] alice PutObject key 200\n", requests[:1].String())
	require.Equal(t, []int{200, 403, 403, 204}, []int{
		requests[0].Status, requests[1].Status, requests[2].Status, requests[3].Status,
	})
	require.Equal(t, requests[1:2], requests.By("mallory"))
	require.Equal(t, requests[3:], requests.Of("PostObject"))
	require.Equal(t, "form", requests[3].Key)
	require.Len(t, requests.After(1).Of("PutObject", "GetObject"), 2)
	require.Equal(t, 4, requests.Depth())
}

// TestTicks checks that concurrent requests share a tick, regardless of the
// length of the tick and the time between the requests.
func TestTicks(t *testing.T) {
	for _, tick := range []time.Duration{time.Millisecond, 30 * time.Millisecond, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := New(WithHistory(), WithTick(tick))
			get := func(client *s3.Client, key string) {
				_, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{
					Bucket: aws.String(DefaultBucket), Key: &key,
				})
				require.ErrorContains(t, err, "NotFound")
			}
			parallel := func(n int) {
				var wg sync.WaitGroup
				for i := range n {
					wg.Go(func() {
						time.Sleep(time.Duration(i)) // The tick is the same.
						get(s.Actor("a").S3(), fmt.Sprint(n-i))
					})
				}
				wg.Wait()
			}
			started := time.Now()
			parallel(3)
			get(s.S3(), "x")
			parallel(20)
			require.Equal(t, 3, int(time.Since(started)/tick))
			time.Sleep(tick*7 + tick/3)
			get(s.S3(), "x")
			h := s.History()
			require.Len(t, h.Requests, 25)
			require.Equal(t, 4, h.Requests.Depth())
			require.Equal(t, 2, h.Requests.By("a").Depth())
			for i, r := range h.Requests {
				require.Equal(t, r.Start+1, r.End)
				require.Equal(t, i+1, r.Number)
			}
			require.Equal(t, []string{"1", "2", "3"}, []string{
				h.Requests[0].Key, h.Requests[1].Key, h.Requests[2].Key,
			}, "requests must be ordered by key")
			require.Equal(t, []int64{0, 1, 2, 10}, []int64{
				h.Requests[2].Start, h.Requests[3].Start, h.Requests[23].Start,
				h.Requests[24].Start,
			})

			get(s.Actor("a").Instant().S3(), "x")
			instant := s.History().Requests.After(25)
			require.Equal(t, instant[0].Start, instant[0].End)
			require.Zero(t, instant.Depth())
		})
	}
}

// TestRepeatable checks that random programs of several actors have the same
// history in every run.
func TestRepeatable(t *testing.T) {
	run := func(seed uint64) (outcome string) {
		t.Run("", func(t *testing.T) {
			cryptotest.SetGlobalRandom(t, seed)
			synctest.Test(t, func(t *testing.T) {
				s := New(WithHistory(), WithTick(time.Millisecond), WithVersioning())
				chance := rand.New(rand.NewPCG(seed, 0))
				var log strings.Builder
				s.Intercept(Hook{Before: func(r Request, _ *http.Request) Fault {
					fmt.Fprintf(&log, "%v %v\n", s.Now(), r)
					return []Fault{
						None, None, None, InternalError, CutAfter, Later, Later,
					}[chance.IntN(7)]
				}})
				var wg sync.WaitGroup
				for actor := range 4 {
					wg.Go(func() {
						client := s.Actor(fmt.Sprint(actor)).S3(Retries(2))
						for i := range 5 {
							var pair sync.WaitGroup
							pair.Go(func() {
								_ = putAs(t.Context(), client, fmt.Sprint("key", i%2),
									fmt.Sprint(actor, i))
							})
							pair.Go(func() {
								_, _ = client.DeleteObject(t.Context(), &s3.DeleteObjectInput{
									Bucket: aws.String(DefaultBucket), Key: aws.String("key0"),
								})
							})
							pair.Wait()
						}
					})
				}
				wg.Wait()
				h := s.History()
				outcome = log.String() + h.Requests.String()
				for _, state := range h.Ever(func(State) bool { return true }) {
					outcome += fmt.Sprintln(state, string(state.Body))
				}
			})
		})
		return outcome
	}
	first := run(1)
	require.Greater(t, strings.Count(first, "\n"), 100)
	for range 10 {
		require.Equal(t, first, run(1))
	}
	require.NotEqual(t, first, run(2))
}

// TestTickContext checks that a request has no effect if its client disconnects
// before the tick ends.
func TestTickContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(WithHistory(), WithTick(time.Second))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second-time.Nanosecond)
		defer cancel()
		require.ErrorIs(t, putAs(ctx, s.S3(), "key", hello), context.DeadlineExceeded)
		require.Empty(t, s.History().Requests)
		time.Sleep(time.Hour)
		require.Empty(t, s.Objects(DefaultBucket))
	})
}

// TestSchedules checks the history if an object is replaced before or after
// each request of a small program.
func TestSchedules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := make(map[string][]int)
		for at := range 4 {
			for _, after := range []bool{false, true} {
				s := New(WithHistory(), WithTick(time.Millisecond))
				client, mallory := s.Actor("reader").S3(), s.Actor("mallory").Instant().S3()
				require.NoError(t, putAs(t.Context(), mallory, "key", "old"))
				swap := func(r Request, _ *http.Request) Fault {
					if r.Actor == "reader" && r.Number == at+2 {
						require.NoError(t, putAs(t.Context(), mallory, "key", "new"))
					}
					return None
				}
				if after {
					s.Intercept(Hook{After: func(r Request, h *http.Request) Fault {
						if r.Actor == "reader" {
							require.Equal(t, http.StatusOK, r.Status)
						}
						return swap(r, h)
					}})
				} else {
					s.Intercept(Hook{Before: swap})
				}
				var read []string
				for range 3 {
					out, err := client.GetObject(t.Context(), &s3.GetObjectInput{
						Bucket: aws.String(DefaultBucket), Key: aws.String("key"),
					})
					require.NoError(t, err)
					body, err := io.ReadAll(out.Body)
					require.NoError(t, err)
					read = append(read, string(body))
				}
				seen[strings.Join(read, " ")] = append(seen[strings.Join(read, " ")], at)
				h := s.History()
				require.Equal(t, 3, h.Requests.By("reader").Depth())
				require.Equal(t, int64(3), h.Requests.By("reader")[2].End)
				require.Len(t, h.States("key"), min(2, 4-at))
			}
		}
		require.Equal(t, map[string][]int{
			"new new new": {0}, "old new new": {0, 1}, "old old new": {1, 2},
			"old old old": {2, 3, 3},
		}, seen)
	})
}

// TestLater checks that a request waits for another tick if Before returns
// Later, even if the request is Instant.
func TestLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(WithHistory(), WithTick(time.Millisecond))
		calls := 0
		s.Intercept(Hook{Before: func(Request, *http.Request) Fault {
			if calls++; calls%3 != 0 {
				return Later
			}
			return None
		}})
		require.NoError(t, putAs(t.Context(), s.S3(), "key", hello))
		require.NoError(t, putAs(t.Context(), s.Actor("").Instant().S3(), "key", hello))
		requests := s.History().Requests
		require.Equal(t, []int64{0, 3, 3, 5}, []int64{
			requests[0].Start, requests[0].End, requests[1].Start, requests[1].End,
		})
	})
}

// TestDepth checks the depth of requests that overlap partly.
func TestDepth(t *testing.T) {
	t.Parallel()
	for want, spans := range map[int][][2]int64{
		0: nil,
		1: {{0, 3}, {1, 2}, {1, forever.Tick}},
		2: {{0, 3}, {1, 2}, {2, 4}},
		3: {{0, 9}, {0, 1}, {1, 2}, {1, 5}, {4, 6}},
		4: {{0, 1}, {1, 2}, {2, 3}, {2, 3}, {3, forever.Tick}, {3, 3}},
	} {
		var requests Requests
		for _, span := range spans {
			requests = append(requests, Request{Start: span[0], End: span[1]})
		}
		require.Equal(t, want, requests.Depth(), want)
	}
}

// TestTurns checks that a goroutine that sleeps for a tick after its last
// response wakes up before the next request has its turn. It also checks that
// many turns fit into a tick.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tick := range []time.Duration{100 * time.Nanosecond, time.Millisecond} {
			s := New(WithHistory(), WithTick(tick))
			client := s.S3()
			for range 200 {
				require.NoError(t, putAs(t.Context(), client, "key", hello))
				if tick < time.Microsecond {
					continue
				}
				var wg sync.WaitGroup
				wg.Go(func() { require.NoError(t, putAs(t.Context(), client, "key", hello)) })
				before := s.Now().Step
				time.Sleep(tick)
				require.Equal(t, before, s.Now().Step, "the next request must have its turn later")
				wg.Wait()
			}
			requests := s.History().Requests
			require.Equal(t, len(requests), requests.Depth())
			require.EqualValues(t, len(requests), requests[len(requests)-1].End)
		}
	})
}
