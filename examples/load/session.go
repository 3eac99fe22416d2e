package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/s3presign/presign/examples/internal/store"
)

// sessions are credentials that are replaced by new ones at short intervals. The old ones work on.
type sessions struct {
	server *store.Server
	every  time.Duration

	last     atomic.Pointer[session]
	number   atomic.Int64
	renewing sync.Mutex
}

func newSessions(server *store.Server, every time.Duration) (*sessions, error) {
	s := &sessions{server: server, every: every}
	return s, s.renew()
}

type session struct {
	credentials aws.Credentials
	until       time.Time // when others are due
}

// Retrieve implements aws.CredentialsProvider. While one caller gets new credentials, others sign on with the old ones.
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
	s.last.Store(&session{credentials, time.Now().Add(s.every)})
	s.number.Add(1)
	return nil
}

// signed returns how many there were.
func (s *sessions) signed() int64 { return s.number.Load() }
