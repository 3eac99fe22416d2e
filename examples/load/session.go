package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/s3presign/presign/examples/internal/store"
)

// sessions provides credentials that change at short intervals. Old credentials
// remain valid.
type sessions struct {
	server   *store.Server
	interval time.Duration

	last     atomic.Pointer[session]
	number   atomic.Int64
	renewing sync.Mutex
}

func newSessions(server *store.Server, interval time.Duration) (*sessions, error) {
	s := &sessions{server: server, interval: interval}
	return s, s.renew()
}

type session struct {
	credentials aws.Credentials
	until       time.Time // the time of the next change
}

// Retrieve implements aws.CredentialsProvider. While one caller creates new
// credentials, other callers use the old credentials.
func (s *sessions) Retrieve(context.Context) (aws.Credentials, error) {
	last := s.last.Load()
	if time.Now().Before(last.until) || !s.renewing.TryLock() {
		return last.credentials, nil
	}
	defer s.renewing.Unlock()
	err := s.renew()
	return s.last.Load().credentials, err
}

func (s *sessions) renew() error {
	credentials, err := s.server.SessionCredentials(time.Hour)
	if err != nil {
		return err
	}
	s.last.Store(&session{credentials, time.Now().Add(s.interval)})
	s.number.Add(1)
	return nil
}

// count returns the number of sessions so far.
func (s *sessions) count() int64 { return s.number.Load() }
