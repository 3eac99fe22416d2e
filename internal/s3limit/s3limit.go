// Package s3limit holds the limits of S3. The limits that this library sets
// itself are in rules, wire and httpbody. The test server s3test repeats the
// limits of S3, so that tests find a mistake here.
//
// See https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html.
package s3limit

import "time"

const (
	// RequestSize is the largest body of one PUT, form or part, and the largest
	// object that one CopyObject copies, in bytes.
	RequestSize = 5 << 30

	// Parts is the largest number of parts in a multipart upload.
	Parts = 10_000

	// PartSize is the smallest size of a part in bytes. The last part may be
	// smaller.
	PartSize = 5 << 20

	// ObjectSize is the largest size of an object in bytes.
	ObjectSize = Parts * RequestSize

	// KeySize is the largest size of an object key in bytes of UTF-8.
	KeySize = 1024

	// MetadataSize is the largest size of user metadata, names and values
	// together, in bytes.
	MetadataSize = 2 << 10

	// FormSize is the largest total size in bytes of the fields and boundaries
	// that a form has before the file.
	FormSize = 20480

	// Lifetime is the longest lifetime of a signature.
	Lifetime = 7 * 24 * time.Hour
)
