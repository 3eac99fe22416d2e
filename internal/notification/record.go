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

// checkMinIOKey compares the key that MinIO writes beside the records, as
// bucket and key unchanged, with that of the first record.
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
	return event, event.settleKey(source, arn)
}

// settleKey decodes the key unless the sender writes keys unchanged.
//
// Ceph names itself as the source. versitygw claims to be aws:s3, but its ARN
// of the bucket is the path of the request, which begins with a slash: no ARN
// of S3 does.
func (e *Event) settleKey(source, arn string) (err error) {
	const slashARN = "arn:aws:s3:::/"
	switch {
	case source == "ceph:s3":
	case strings.HasPrefix(arn, slashARN):
		if e.Key == "" {
			return errors.New("key must not be empty; versitygw sends none for uploads by form")
		}
		if e.Size == 0 { // versitygw's size of every copy and multipart upload
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
