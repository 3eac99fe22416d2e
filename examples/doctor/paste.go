package main

import "cmp"

// CORS is for put-bucket-cors.
type CORS struct{ CORSRules []CORSRule }

// CORSRule is a rule of CORS.
type CORSRule struct {
	AllowedOrigins, AllowedMethods, AllowedHeaders, ExposeHeaders []string
	MaxAgeSeconds                                                 int
}

// Lifecycle is for put-bucket-lifecycle-configuration.
type Lifecycle struct{ Rules []LifecycleRule }

// LifecycleRule is a rule of Lifecycle.
type LifecycleRule struct {
	ID, Status                     string
	Filter                         struct{ Prefix string }
	Expiration                     *days         `json:",omitempty"`
	NoncurrentVersionExpiration    *noncurrent   `json:",omitempty"`
	AbortIncompleteMultipartUpload *afterwardsIn `json:",omitempty"`
}

type (
	days         struct{ Days int }
	noncurrent   struct{ NoncurrentDays int }
	afterwardsIn struct{ DaysAfterInitiation int }
)

// Document is a policy of IAM.
type Document struct {
	Version   string
	Statement []Statement
}

// Statement is a part of a Document.
type Statement struct {
	Effect   string
	Action   []string
	Resource string
}

// keepDays is how long uploads may take to be completed, 7 days and one, and two to spare.
const keepDays = 10

func (p *patient) paste() Paste {
	objects := "arn:aws:s3:::" + p.bucket + "/"
	allow := func(resource string, actions ...string) Statement {
		return Statement{Effect: "Allow", Action: actions, Resource: resource}
	}
	parts := LifecycleRule{ID: "parts", Status: "Enabled", AbortIncompleteMultipartUpload: &afterwardsIn{keepDays}}
	rules := []LifecycleRule{parts}
	store := []Statement{
		allow(objects+p.prefix+"*", "s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObject", "s3:DeleteObjectVersion"),
		allow(objects+p.prefix+"*", "s3:PutObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"),
	}
	if p.final != "" {
		uploads := LifecycleRule{
			ID: "uploads", Status: "Enabled", Expiration: &days{keepDays}, NoncurrentVersionExpiration: &noncurrent{keepDays},
		}
		uploads.Filter.Prefix = p.prefix
		rules = []LifecycleRule{uploads, parts}
		store = append(store, allow(objects+p.final+"*", "s3:PutObject", "s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObject",
			"s3:DeleteObjectVersion", "s3:AbortMultipartUpload"))
	}
	store = append(store, allow("arn:aws:s3:::"+p.bucket, "s3:ListBucket", "s3:ListBucketMultipartUploads"))
	const version = "2012-10-17"
	return Paste{
		CORS: CORS{[]CORSRule{{
			AllowedOrigins: []string{cmp.Or(p.origin, exampleOrigin)},
			AllowedMethods: []string{"PUT", "POST"},
			AllowedHeaders: []string{"*"},
			ExposeHeaders:  []string{"ETag", "Location", "x-amz-version-id"},
			MaxAgeSeconds:  3000,
		}}},
		Lifecycle:   Lifecycle{rules},
		SigningRole: Document{version, []Statement{allow(objects+p.prefix+"*", "s3:PutObject")}},
		StoreRole:   Document{version, store},
	}
}
