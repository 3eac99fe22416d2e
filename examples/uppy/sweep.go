package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"
)

// abortsAtOnce is the number of uploads that are aborted at the same time.
const abortsAtOnce = 8

// A sweeper aborts multipart uploads that were never completed. It is for stores
// that have no lifecycle rules, or that apply them days later. A client cannot
// continue an upload that was aborted, so age must be longer than any upload takes,
// including pauses.
type sweeper struct {
	client         *s3.Client
	bucket, prefix string
	age            time.Duration
	logger         *slog.Logger
}

// leaveToStore sets two lifecycle rules, which remove objects and multipart uploads
// that were not completed within ten days. It reports whether the store has such
// rules. They replace all other rules of the bucket. If your bucket has others, set
// all of them together instead.
func (s sweeper) leaveToStore(ctx context.Context) (bool, error) {
	days, filter := aws.Int32(10), &types.LifecycleRuleFilter{Prefix: &s.prefix}
	_, err := s.client.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{
		Bucket: &s.bucket,
		LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{
			{
				ID: aws.String("uploads"), Status: types.ExpirationStatusEnabled, Filter: filter,
				Expiration: &types.LifecycleExpiration{Days: days},
			},
			{
				ID: aws.String("parts"), Status: types.ExpirationStatusEnabled, Filter: filter,
				AbortIncompleteMultipartUpload: &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: days},
			},
		}},
	})
	if refusal, ok := errors.AsType[smithy.APIError](err); ok && refusal.ErrorCode() == "NotImplemented" {
		return false, nil
	}
	return err == nil, err
}

// sweepEach sweeps at intervals until ctx ends.
func (s sweeper) sweepEach(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, err := s.sweep(ctx); err != nil {
				s.logger.ErrorContext(ctx, "orphans not listed", slog.Any("error", err))
			}
		}
	}
}

// sweep aborts multipart uploads under the prefix that are older than age, and
// returns their number. If an abort fails, it is logged, and the next sweep tries
// again.
func (s sweeper) sweep(ctx context.Context) (int, error) {
	oldest := time.Now().Add(-s.age)
	var aborted atomic.Int64
	var aborts errgroup.Group
	aborts.SetLimit(abortsAtOnce)
	page := &s3.ListMultipartUploadsInput{Bucket: &s.bucket, Prefix: &s.prefix}
	for {
		found, err := s.client.ListMultipartUploads(ctx, page)
		if err != nil {
			_ = aborts.Wait()
			return int(aborted.Load()), err
		}
		for _, upload := range found.Uploads {
			if !strings.HasPrefix(aws.ToString(upload.Key), s.prefix) {
				_ = aborts.Wait()
				return int(aborted.Load()), fmt.Errorf("the store must list uploads under %s only, got %q", s.prefix, aws.ToString(upload.Key))
			}
			if upload.Initiated == nil || !upload.Initiated.Before(oldest) {
				continue
			}
			aborts.Go(func() error {
				if s.abort(ctx, upload) {
					aborted.Add(1)
				}
				return nil
			})
		}
		// versitygw 1.8 rejects NextUploadIdMarker. Without it, Ceph repeats the last
		// upload of the page before. If one key fills a page, the next sweep aborts the
		// rest.
		next := aws.ToString(found.NextKeyMarker)
		if !aws.ToBool(found.IsTruncated) || next <= aws.ToString(page.KeyMarker) {
			break
		}
		page.KeyMarker = &next
	}
	_ = aborts.Wait()
	return int(aborted.Load()), nil
}

// abort reports whether it has ended an upload.
func (s sweeper) abort(ctx context.Context, upload types.MultipartUpload) bool {
	about := s.logger.With(slog.String("key", aws.ToString(upload.Key)), slog.Time("initiated", *upload.Initiated))
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: &s.bucket, Key: upload.Key, UploadId: upload.UploadId,
	})
	if refusal, ok := errors.AsType[smithy.APIError](err); ok && refusal.ErrorCode() == "NoSuchUpload" {
		return false // It was completed or aborted meanwhile.
	}
	if err != nil {
		about.ErrorContext(ctx, "orphan not aborted", slog.Any("error", err))
		return false
	}
	about.InfoContext(ctx, "orphan aborted")
	return true
}
