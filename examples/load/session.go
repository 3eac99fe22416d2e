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

type session struct {
	credentials aws.Credentials
	until       time.Time // when others are due
}

// Retrieve implements aws.CredentialsProvider.
func (s *sessions) Retrieve(context.Context) (aws.Credentials, error) {
	if last := s.last.Load(); last != nil && time.Now().Before(last.until) {
		return last.credentials, nil
	}
	s.renewing.Lock()
	defer s.renewing.Unlock()
	if last := s.last.Load(); last != nil && time.Now().Before(last.until) {
		return last.credentials, nil
	}
	credentials, err := s.server.SessionCredentials(time.Hour)
	if err == nil {
		s.last.Store(&session{credentials, time.Now().Add(s.every)})
		s.number.Add(1)
	}
	return credentials, err
}

// signed returns how many there were.
func (s *sessions) signed() int64 { return s.number.Load() }
