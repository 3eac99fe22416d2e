package notification

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
)

// parseBridge parses an event of EventBridge. See
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html.
func parseBridge(top *object) (*Notification, error) {
	source, kind := top.must("source"), top.must("detail-type")
	switch {
	case top.err != nil:
		return nil, top.err
	case source != "aws.s3":
		return nil, errors.New(`source must be "aws.s3"`)
	}
	var event *Event
	var err error
	if kind == "AWS API Call via CloudTrail" {
		event, err = parseCall(top.raw("detail"))
	} else {
		event, err = parseDetail(top.raw("detail"), kind)
	}
	if err != nil {
		return nil, err
	}
	return &Notification{Events: []Event{*event}}, nil
}

// parseDetail parses the detail of an event that S3 sends itself.
func parseDetail(raw []byte, kind string) (*Event, error) {
	detail, err := readObject(raw, "detail", "bucket", "object")
	if err != nil {
		return nil, err
	}
	bucket, err := readObject(detail.raw("bucket"), "bucket", "name")
	if err != nil {
		return nil, err
	}
	object, err := readObject(detail.raw("object"), "object", "key", "size", "etag", "version-id")
	if err != nil {
		return nil, err
	}
	event := &Event{
		Bucket: bucket.must("name"), Key: object.must("key"),
		VersionID: object.optional("version-id"), ETag: trimETag(object.optional("etag")),
		Size: object.number("size"), Name: kind, Created: kind == "Object Created",
	}
	if err := cmp.Or(bucket.err, object.err); err != nil {
		return nil, err
	}
	return event, event.check()
}

// creating lists the calls that create an object, by their names in CloudTrail.
// See
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/cloudtrail-logging-s3-info.html.
var creating = []string{"PutObject", "PostObject", "CopyObject", "CompleteMultipartUpload"}

// parseCall parses the detail of a call that CloudTrail has logged. Created is
// false for a call that failed or that creates no object. CloudTrail does not
// send the object's size or ETag.
func parseCall(raw []byte) (*Event, error) {
	detail, err := readObject(raw, "detail",
		"eventSource", "eventName", "errorCode", "requestParameters", "responseElements")
	if err != nil {
		return nil, err
	}
	event := &Event{Name: detail.must("eventName"), Size: -1}
	source, failed := detail.must("eventSource"), detail.optional("errorCode") != ""
	switch {
	case detail.err != nil:
		return nil, detail.err
	case source != "s3.amazonaws.com":
		return nil, errors.New(`eventSource must be "s3.amazonaws.com"`)
	}
	event.Created = slices.Contains(creating, event.Name) && !failed
	if !event.Created && !isObject(detail.raw("requestParameters")) {
		return event, nil
	}
	parameters, err := readObject(
		detail.raw("requestParameters"), "requestParameters", "bucketName", "key")
	if err != nil {
		return nil, err
	}
	event.Bucket, event.Key = parameters.optional("bucketName"), parameters.optional("key")
	if parameters.err != nil || !event.Created {
		return event, parameters.err
	}
	if raw := detail.raw("responseElements"); isObject(raw) {
		response, err := readObject(raw, "responseElements", "x-amz-version-id")
		if err != nil {
			return nil, err
		}
		if event.VersionID = response.optional("x-amz-version-id"); response.err != nil {
			return nil, response.err
		}
	}
	return event, event.check()
}

func isObject(raw []byte) bool { return bytes.HasPrefix(raw, []byte("{")) }
