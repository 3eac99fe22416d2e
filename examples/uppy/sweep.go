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

// maxAborts is the largest number of concurrent aborts.
const maxAborts = 8

// A sweeper aborts multipart uploads that were never completed. Use it with
// stores that do not support lifecycle rules or that apply them days later. A
// client cannot resume an aborted upload, so age must be longer than every
// upload, including pauses.
type sweeper struct {
	client         *s3.Client
	bucket, prefix string
	age            time.Duration
	logger         *slog.Logger
}

// setLifecycle sets two lifecycle rules, which remove objects and multipart
// uploads that were not completed within ten days. It reports whether the store
// supports lifecycle rules. The two rules replace all other rules of the
// bucket. If your bucket has other rules, set all rules together instead.
func (s sweeper) setLifecycle(ctx context.Context) (bool, error) {
	days, filter := aws.Int32(10), &types.LifecycleRuleFilter{Prefix: &s.prefix}
	rules := []types.LifecycleRule{
		{
			ID: aws.String("uploads"), Status: types.ExpirationStatusEnabled, Filter: filter,
			Expiration: &types.LifecycleExpiration{Days: days},
		},
		{
			ID: aws.String("parts"), Status: types.ExpirationStatusEnabled, Filter: filter,
			AbortIncompleteMultipartUpload: &types.AbortIncompleteMultipartUpload{
				DaysAfterInitiation: days,
			},
		},
	}
	_, err := s.client.PutBucketLifecycleConfiguration(ctx,
		&s3.PutBucketLifecycleConfigurationInput{
			Bucket:                 &s.bucket,
			LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: rules},
		})
	if apiErr, ok := errors.AsType[smithy.APIError](err); ok &&
		apiErr.ErrorCode() == "NotImplemented" {
		return false, nil
	}
	return err == nil, err
}

// sweepPeriodically sweeps at intervals until ctx ends.
func (s sweeper) sweepPeriodically(ctx context.Context, interval time.Duration) {
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
// returns their number. If an abort fails, sweep logs the error, and the next
// sweep tries again.
func (s sweeper) sweep(ctx context.Context) (int, error) {
	oldest := time.Now().Add(-s.age)
	var aborted atomic.Int64
	var aborts errgroup.Group
	aborts.SetLimit(maxAborts)
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
				return int(aborted.Load()), fmt.Errorf(
					"the store must list only uploads under %s, got %q",
					s.prefix, aws.ToString(upload.Key))
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
		// The loop uses only NextKeyMarker, because versitygw 1.8 rejects
		// NextUploadIdMarker. Ceph then repeats the last upload of the previous
		// page. If the uploads of one key fill a page, the next sweep aborts
		// the rest.
		next := aws.ToString(found.NextKeyMarker)
		if !aws.ToBool(found.IsTruncated) || next <= aws.ToString(page.KeyMarker) {
			break
		}
		page.KeyMarker = &next
	}
	_ = aborts.Wait()
	return int(aborted.Load()), nil
}

// abort aborts an upload and reports whether it has succeeded.
func (s sweeper) abort(ctx context.Context, upload types.MultipartUpload) bool {
	about := s.logger.With(slog.String("key", aws.ToString(upload.Key)),
		slog.Time("initiated", *upload.Initiated))
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: &s.bucket, Key: upload.Key, UploadId: upload.UploadId,
	})
	if apiErr, ok := errors.AsType[smithy.APIError](err); ok &&
		apiErr.ErrorCode() == "NoSuchUpload" {
		return false // The upload was completed or aborted in the meantime.
	}
	if err != nil {
		about.ErrorContext(ctx, "orphan not aborted", slog.Any("error", err))
		return false
	}
	about.InfoContext(ctx, "orphan aborted")
	return true
}
