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

// abortsAtOnce is how many uploads are aborted at the same time.
const abortsAtOnce = 8

// sweeper aborts uploads in parts that were begun and never ended, where the store has no lifecycle rule that does, or
// acts on it days later. What it aborts is lost to a client that is still at it: give it more time than any upload
// takes, a pause included.
type sweeper struct {
	client         *s3.Client
	bucket, prefix string
	age            time.Duration
	logger         *slog.Logger
}

// leaveToStore has the store itself delete what is left, after ten days: uploads that were never completed, and those in
// parts that were never ended. It reports whether the store can. S3 takes all rules of a bucket at once: these two replace
// those that it had. If yours has others, set them up together, and not here.
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

// sweep lists all uploads in parts under the prefix, aborts those that are older, and returns how many it aborted. One
// that cannot be aborted is logged, and met again by the next sweep.
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
				return int(aborted.Load()), fmt.Errorf("asked for uploads under %s, the store names %q", s.prefix, aws.ToString(upload.Key))
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
		// Without NextUploadIdMarker, which versitygw 1.8 refuses; Ceph then repeats the last of the page before. If one key
		// fills a page, the rest is for the next sweep.
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
		return false // it has ended meanwhile
	}
	if err != nil {
		about.ErrorContext(ctx, "orphan not aborted", slog.Any("error", err))
		return false
	}
	about.InfoContext(ctx, "orphan aborted")
	return true
}
