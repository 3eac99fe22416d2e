package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign"
)

// A guardDuty inspects uploads by the tag that GuardDuty Malware Protection for
// S3 sets on each scanned object. Pass its method inspect to WithInspect
// instead of the method of a scanner. The malware protection plan must have
// tagging enabled, and the bucket must have versioning enabled.
//
// https://docs.aws.amazon.com/guardduty/latest/ug/monitor-enable-s3-object-tagging-malware-protection.html
type guardDuty struct {
	client *s3.Client // must have the permission s3:GetObjectVersionTagging
	bucket string
}

const scanStatusTag = "GuardDutyMalwareScanStatus"

// inspect returns the result of the tag, or ErrPending if the upload has no tag
// yet.
func (g guardDuty) inspect(ctx context.Context, o *presign.Object) error {
	if o.VersionID == "" {
		// Without versions, the tag could belong to other bytes that replaced
		// the upload for a moment.
		return errors.New(
			"scan: the bucket must have versions, so that a tag belongs to the verified bytes")
	}
	found, err := g.client.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{
		Bucket: &g.bucket, Key: &o.Key, VersionId: &o.VersionID,
	})
	if err != nil {
		return err
	}
	for _, tag := range found.TagSet {
		if *tag.Key == scanStatusTag {
			return scanStatus(*tag.Value)
		}
	}
	return presign.ErrPending // GuardDuty has not scanned the object yet.
}

// scanStatus converts a result of GuardDuty to nil, a Violation or a failure.
//
// https://docs.aws.amazon.com/guardduty/latest/ug/monitoring-malware-protection-s3-scans-gdu.html
func scanStatus(status string) error {
	switch status {
	case "NO_THREATS_FOUND":
		return nil
	case "THREATS_FOUND":
		return &presign.Violation{
			Field: "content", Code: "infected", Detail: "must be free of malware",
		}
	case "UNSUPPORTED": // For example, the object is too large or has a password.
		return &presign.Violation{
			Field: "content", Code: "not_scannable", Detail: "must be a file that can be scanned",
		}
	}
	// With ACCESS_DENIED and FAILED, the plan has failed, but the file might be
	// clean.
	return fmt.Errorf("scan: GuardDuty could not scan: %s", status)
}

// completeScanned completes the upload of an event of GuardDuty. The body is a
// message of a queue that is the target of an EventBridge rule. Like
// Signer.CompleteNotification, it returns nil if the message can be deleted.
//
// The inspection reads the tag and not the event, so a forged event cannot
// publish an upload.
//
// https://docs.aws.amazon.com/guardduty/latest/ug/monitor-with-eventbridge-s3-malware-protection.html
func completeScanned(ctx context.Context, signer *presign.Signer, body []byte) error {
	var event struct {
		Source     string `json:"source"`
		DetailType string `json:"detail-type"`
		Detail     struct {
			S3ObjectDetails struct{ BucketName, ObjectKey string }
		}
	}
	err := json.Unmarshal(body, &event)
	object := event.Detail.S3ObjectDetails
	if err != nil || event.Source != "aws.guardduty" || object.ObjectKey == "" ||
		event.DetailType != "GuardDuty Malware Protection Object Scan Result" {
		return fmt.Errorf("%w: body must be a scan result of GuardDuty",
			presign.ErrInvalidNotification)
	}
	created, err := json.Marshal(map[string]any{
		"source": "aws.s3", "detail-type": "Object Created",
		"detail": map[string]any{
			"bucket": map[string]string{"name": object.BucketName},
			"object": map[string]string{"key": object.ObjectKey},
		},
	})
	if err != nil {
		return err
	}
	return signer.CompleteNotification(ctx, created)
}
