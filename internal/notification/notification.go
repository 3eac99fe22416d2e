// Package notification parses the event notifications that object stores send
// when an object is created.
//
// Parse accepts every document that a queue, topic, bus or webhook delivers:
//
//   - a notification of Amazon S3, {"Records": [{"s3": …}]}, whose keys are
//     URL-encoded
//   - the same notification of MinIO, Ceph radosgw or versitygw
//   - the message that S3 sends when notifications are enabled,
//     {"Event": "s3:TestEvent"}
//   - an event of Amazon EventBridge, {"detail-type": "Object Created",
//     "detail": …}, whose key is not encoded, or an event that CloudTrail sends
//     through EventBridge
//   - any of these in the Message of an SNS notification
//
// Senders encode keys differently. Amazon S3 and MinIO encode a key as in a
// form: "+" stands for a space. Ceph and versitygw write keys unchanged. Parse
// recognizes both by values that no other sender writes.
//
// # Ambiguity
//
// JSON readers differ in documents with duplicate members: some return the
// first, some the last, and encoding/json also accepts "KEY" for "key". Parse
// returns ErrInvalid if any member that it reads is duplicated or written in
// another case, so that no two readers see different keys. For the same reason
// a document must have exactly one form, and strings must be valid Unicode.
// Members that Parse does not read are ignored.
package notification

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/s3presign/presign/internal/s3limit"
)

const (
	// maxSize is the largest message that SQS delivers, 1 MiB:
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html.
	// SNS and EventBridge publish at most 256 KiB, and SQS counts their
	// envelopes.
	maxSize = 1 << 20

	// maxRecords bounds the events of one document. S3 sends one record in each
	// document.
	maxRecords = 1000

	// maxMembers bounds the members of an object that is read. The largest
	// object, a record of MinIO, has ten.
	maxMembers = 256

	// maxDepth bounds how deeply arrays and objects are nested. CloudTrail's
	// events have seven levels.
	maxDepth = 32
)

// ErrInvalid is returned if a document is not a notification of a known form.
// Its text states what was expected and never contains parts of the document.
var ErrInvalid = errors.New("presign: not an event notification of a known form")

// A Notification holds the events of one document.
type Notification struct {
	// Test is set for the message that a store sends when notifications are
	// enabled. It has no events.
	Test bool

	Events []Event
}

// An Event reports that something happened to an object. Notifications are not
// authenticated, so the values of an Event must be compared with the store.
type Event struct {
	// Bucket and Key might be empty if Created is false.
	Bucket, Key string

	// VersionID is empty if the bucket is not versioned or the sender does not
	// send it.
	VersionID string

	// ETag has no quotes. It is empty if the sender does not send it.
	ETag string

	// Size is -1 if the sender does not send it.
	Size int64

	// Name is the name of the event without "s3:", as the sender writes it:
	// "ObjectCreated:Put", "Object Created" (EventBridge) or "PutObject"
	// (CloudTrail).
	Name string

	// Created reports whether an object was created.
	Created bool
}

// Parse returns the events of a document, or ErrInvalid.
func Parse(document []byte) (*Notification, error) {
	n, err := parse(document, true)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return n, nil
}

// parse parses a document, which may be an SNS envelope if enveloped is set.
func parse(document []byte, enveloped bool) (*Notification, error) {
	if len(document) > maxSize {
		return nil, fmt.Errorf("document must have at most %d bytes, got %d",
			maxSize, len(document))
	}
	if err := check(document); err != nil {
		return nil, err
	}
	top, err := readObject(document, "document",
		"Records", "Key", "Event", "Type", "Message", "source", "detail-type", "detail")
	if err != nil {
		return nil, err
	}
	form := ""
	for _, name := range []string{"Records", "Event", "Message", "detail"} {
		switch {
		case !top.has(name):
		case form != "":
			return nil, fmt.Errorf("document must not have both %s and %s", form, name)
		default:
			form = name
		}
	}
	switch {
	case form == "Records":
		return parseRecords(top)
	case form == "Event":
		return parseTest(top)
	case form == "detail":
		return parseBridge(top)
	case form == "Message" && enveloped:
		return parseEnvelope(top)
	case form == "Message":
		return nil, errors.New("an SNS notification must not contain another one")
	}
	return nil, errors.New(`document must have "Records" (S3), "Event" (S3's test), ` +
		`"Message" (SNS) or "detail" (EventBridge)`)
}

// parseTest parses the message that S3 sends when notifications are enabled.
func parseTest(top *object) (*Notification, error) {
	event, err := top.text("Event")
	switch {
	case err != nil:
		return nil, err
	case event != "s3:TestEvent":
		return nil, errors.New(`"Event" must be "s3:TestEvent"`)
	}
	return &Notification{Test: true}, nil
}

// parseEnvelope parses a message that SNS delivers if raw delivery is disabled.
func parseEnvelope(top *object) (*Notification, error) {
	kind, err := top.text("Type")
	switch {
	case err != nil:
		return nil, err
	case kind == "SubscriptionConfirmation" || kind == "UnsubscribeConfirmation":
		return nil, fmt.Errorf(
			`"Type" must be "Notification", got %q, which an operator must confirm`, kind)
	case kind != "Notification":
		return nil, errors.New(`"Type" must be "Notification"`)
	}
	message, err := top.text("Message")
	if err != nil {
		return nil, err
	}
	n, err := parse([]byte(message), false)
	if err != nil {
		return nil, fmt.Errorf("message of SNS: %w", err)
	}
	return n, nil
}

// decodeKey decodes a key that is written as in a form.
func decodeKey(encoded string) (string, error) {
	key, err := url.QueryUnescape(encoded)
	if err != nil {
		// The error of package url contains a part of the key.
		return "", errors.New("key must be URL-encoded: % must be followed by two hex digits")
	}
	return key, nil
}

// check reports an error if e does not name an object.
func (e *Event) check() error {
	switch {
	case e.Bucket == "":
		return errors.New("bucket name must not be empty")
	case e.Key == "":
		return errors.New("key must not be empty")
	case len(e.Key) > s3limit.KeySize:
		return fmt.Errorf("key must have at most %d bytes, got %d", s3limit.KeySize, len(e.Key))
	case !utf8.ValidString(e.Key):
		return errors.New("key must be UTF-8")
	}
	return nil
}

// trimETag removes the quotes that some senders keep.
func trimETag(etag string) string { return strings.Trim(etag, `"`) }
