package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign"
)

// A guardDuty inspects uploads by the tag that GuardDuty Malware Protection for S3 sets
// on each object that it has scanned. Its method inspect is the function of
// WithInspect, instead of a scanner's. The malware protection plan must have tagging
// enabled, and the bucket must have versions.
//
// https://docs.aws.amazon.com/guardduty/latest/ug/monitor-enable-s3-object-tagging-malware-protection.html
type guardDuty struct {
	client *s3.Client // needs s3:GetObjectVersionTagging
	bucket string
}

const scanStatusTag = "GuardDutyMalwareScanStatus"

// inspect is the function of WithInspect.
func (g guardDuty) inspect(ctx context.Context, o *presign.Object) error {
	if o.VersionID == "" {
		// The tag could be that of other bytes, which replaced the upload for a moment.
		return errors.New("scan: the bucket must have versions, so that a tag belongs to the verified bytes")
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
	return presign.ErrPending // GuardDuty is not done.
}

// scanStatus returns what a result of GuardDuty means for an upload: nil, a violation
// or a failure.
//
// https://docs.aws.amazon.com/guardduty/latest/ug/monitoring-malware-protection-s3-scans-gdu.html
func scanStatus(status string) error {
	switch status {
	case "NO_THREATS_FOUND":
		return nil
	case "THREATS_FOUND":
		return &presign.Violation{Field: "content", Code: "infected", Detail: "must be free of malware"}
	case "UNSUPPORTED": // It is too large or has a password, for example.
		return &presign.Violation{Field: "content", Code: "not_scannable", Detail: "must be a file that can be scanned"}
	}
	// ACCESS_DENIED and FAILED: the plan is at fault, not the file.
	return fmt.Errorf("scan: GuardDuty could not scan: %s", status)
}

// completeScanned completes the upload that an event of GuardDuty names. Body is the
// message of a queue that is the target of a rule of EventBridge. It returns nil if the
// message can be deleted, as Signer.CompleteNotification does.
//
// The tag decides, and not the event, so a forged event accepts nothing.
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
		return fmt.Errorf("%w: it must be a scan result of GuardDuty", presign.ErrInvalidNotification)
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
