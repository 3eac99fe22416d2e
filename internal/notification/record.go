package notification

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// parseRecords parses a notification of S3, MinIO, Ceph or versitygw. See
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html.
func parseRecords(top *object) (*Notification, error) {
	records, err := readArray(top.raw("Records"), `"Records"`, maxRecords)
	switch {
	case err != nil:
		return nil, err
	case len(records) == 0:
		return nil, errors.New(`"Records" must not be empty`)
	}
	n := new(Notification)
	for i, raw := range records {
		event, err := parseRecord(raw)
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", i, err)
		}
		n.Events = append(n.Events, *event)
	}
	return n, checkMinIOKey(top, n.Events)
}

// checkMinIOKey checks the member "Key" of MinIO's notifications. It must be
// the bucket and the unencoded key of the only record.
func checkMinIOKey(top *object, events []Event) error {
	if !top.has("Key") {
		return nil
	}
	key, err := top.text("Key")
	switch {
	case err != nil:
		return err
	case len(events) != 1 || key != events[0].Bucket+"/"+events[0].Key:
		return errors.New(`"Key" must be the bucket and key of the only record`)
	}
	return nil
}

// parseRecord parses one of the Records.
func parseRecord(raw []byte) (*Event, error) {
	record, err := readObject(raw, "record", "eventSource", "eventName", "s3")
	if err != nil {
		return nil, err
	}
	if !record.has("s3") {
		return nil, errors.New("record must have s3; " +
			"pass each body or Message of a Lambda event that wraps SQS or SNS")
	}
	s3, err := readObject(record.raw("s3"), "s3", "bucket", "object")
	if err != nil {
		return nil, err
	}
	bucket, err := readObject(s3.raw("bucket"), "bucket", "name", "arn")
	if err != nil {
		return nil, err
	}
	object, err := readObject(s3.raw("object"), "object", "key", "size", "eTag", "versionId")
	if err != nil {
		return nil, err
	}
	event := &Event{
		Bucket: bucket.must("name"), Key: object.must("key"),
		VersionID: object.optional("versionId"), ETag: trimETag(object.optional("eTag")),
		Size: object.number("size"), Name: strings.TrimPrefix(record.must("eventName"), "s3:"),
	}
	event.Created = strings.HasPrefix(event.Name, "ObjectCreated:")
	source, arn := record.optional("eventSource"), bucket.optional("arn")
	if err := cmp.Or(record.err, bucket.err, object.err); err != nil {
		return nil, err
	}
	return event, event.normalizeKey(source, arn)
}

// normalizeKey decodes the key unless the sender writes keys unchanged.
//
// Ceph sends the source ceph:s3. versitygw sends aws:s3, but in its ARN of the
// bucket, the path of the request replaces the name. That path starts with a
// slash, unlike every name of a bucket.
func (e *Event) normalizeKey(source, arn string) (err error) {
	const slashARN = "arn:aws:s3:::/"
	switch {
	case source == "ceph:s3":
	case strings.HasPrefix(arn, slashARN):
		if e.Key == "" {
			return errors.New("key must not be empty; versitygw sends none for uploads by form")
		}
		// versitygw sends the size 0 for every copy and multipart upload.
		if e.Size == 0 {
			e.Size = -1
		}
	default:
		e.Key, err = decodeKey(e.Key)
	}
	if err != nil {
		return err
	}
	return e.check()
}
