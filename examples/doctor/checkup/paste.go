package checkup

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

// A Document describes missing configuration to paste.
type Document struct {
	Title string `json:"title"`
	// Command is a command of the AWS CLI that uses Content, or a command that
	// needs no Content.
	Command string          `json:"command,omitempty"`
	Content json.RawMessage `json:"content,omitempty"`
}

type (
	corsRules struct{ CORSRules []corsRule }
	corsRule  struct {
		AllowedOrigins, AllowedMethods, AllowedHeaders, ExposeHeaders []string
		MaxAgeSeconds                                                 int
	}
	lifecycleRules struct{ Rules []lifecycleRule }
	lifecycleRule  struct {
		ID, Status                     string
		Filter                         struct{ Prefix string }
		Expiration                     *days           `json:",omitempty"`
		NoncurrentVersionExpiration    *noncurrent     `json:",omitempty"`
		AbortIncompleteMultipartUpload *initiationDays `json:",omitempty"`
	}
	days           struct{ Days int }
	noncurrent     struct{ NoncurrentDays int }
	initiationDays struct{ DaysAfterInitiation int }

	// An iamPolicy is a policy of IAM or of a bucket.
	iamPolicy struct {
		Version   string
		Statement []statement
	}
	statement struct {
		Sid         string `json:",omitempty"`
		Effect      string
		Principal   map[string]string            `json:",omitempty"`
		Action      []string                     `json:",omitempty"`
		NotAction   []string                     `json:",omitempty"`
		Resource    []string                     `json:",omitempty"`
		NotResource []string                     `json:",omitempty"`
		Condition   map[string]map[string]string `json:",omitempty"`
	}
)

const (
	// keepDays is the number of days that uploads are kept. Uploads can be
	// completed for needDays.
	keepDays = 10
	// olderDays is the number of days that older versions of uploads are kept.
	// Completion does not need older versions.
	olderDays     = 1
	policyVersion = "2012-10-17"
)

// paste returns a document for each finding that a document can correct.
func (p *examiner) paste(r *Report) (documents []Document) {
	missing := func(prefix string) bool {
		return slices.ContainsFunc(r.Around, func(f Finding) bool {
			return strings.HasPrefix(f.What, prefix) && (f.State == Missing || f.State == Wrong)
		})
	}
	put := func(title, command, file string, content any) {
		if file != "" {
			command = "aws s3api " + command + " --bucket " + p.bucket + " \\\n  " + file
		}
		documents = append(documents, Document{title, command, encode(content)})
	}
	switch byStore := slices.ContainsFunc(r.Around,
		func(f Finding) bool { return f.What == corsByStore }); {
	case missing("CORS") && byStore:
		put("CORS, for the configuration of the store or a proxy. The store has no rules by bucket",
			"", "", p.corsRules())
	case missing("CORS"):
		put("CORS, replaces all rules. If the store rejects this document, set the rules for all buckets",
			"put-bucket-cors", "--cors-configuration file://cors.json", p.corsRules())
	}
	const lifecycle, file = "put-bucket-lifecycle-configuration",
		"--lifecycle-configuration file://lifecycle.json"
	if missing("lifecycle: uploads") || missing("lifecycle: older versions") {
		put("Lifecycle: uploads expire, replaces all rules. Without rules, call Signer.Sweep from a job",
			lifecycle, file, lifecycleRules{p.uploadRules()})
	}
	switch {
	case !missing("lifecycle: parts"):
	case isMinIO(r.Server):
		documents = append(documents, Document{
			Title:   "Lifecycle: parts expire. MinIO aborts them after 24 hours, but completion has 8 days",
			Command: "mc admin config set ALIAS api stale_uploads_expiry=192h",
		})
	default:
		put("Lifecycle: parts expire, replaces all rules. Some stores reject rules for parts",
			lifecycle, file, lifecycleRules{append(p.uploadRules(), partsRule())})
	}
	rights := func(prefix string) bool {
		return slices.ContainsFunc(
			r.Around, func(f Finding) bool { return strings.HasPrefix(f.What, prefix) && f.Rights })
	}
	if rights("role that signs") {
		put("IAM policy of the role that signs", "", "", p.signingPolicy())
	}
	if rights("role of the store") {
		put("IAM policy of the role of the store (WithStore)", "", "", p.storePolicy())
	}
	return documents
}

func isMinIO(server string) bool { return strings.HasPrefix(strings.ToLower(server), "minio") }

// encode returns v as JSON. All types of documents can be encoded.
func encode(v any) json.RawMessage {
	encoded, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return encoded
}

func (p *examiner) corsRules() corsRules {
	return corsRules{[]corsRule{{
		AllowedOrigins: []string{cmp.Or(p.origin, exampleOrigin)},
		AllowedMethods: []string{"PUT", "POST"},
		AllowedHeaders: []string{"*"},
		ExposeHeaders:  []string{"ETag", "Location", "x-amz-version-id"},
		MaxAgeSeconds:  3000,
	}}}
}

// uploadRules returns the rule for uploads. Without a final prefix it returns
// nil, because a rule would remove completed files.
func (p *examiner) uploadRules() []lifecycleRule {
	if p.final == "" {
		return nil
	}
	uploads := lifecycleRule{
		ID: "uploads", Status: "Enabled", Expiration: &days{keepDays},
		NoncurrentVersionExpiration: &noncurrent{olderDays},
	}
	uploads.Filter.Prefix = p.prefix
	return []lifecycleRule{uploads}
}

func partsRule() lifecycleRule {
	return lifecycleRule{
		ID: "parts", Status: "Enabled", AbortIncompleteMultipartUpload: &initiationDays{keepDays},
	}
}

func allow(resource string, actions ...string) statement {
	return statement{Effect: "Allow", Action: actions, Resource: []string{resource}}
}

func (p *examiner) signingPolicy() iamPolicy {
	return iamPolicy{policyVersion, []statement{
		allow("arn:aws:s3:::"+p.bucket+"/"+p.prefix+"*", "s3:PutObject"),
	}}
}

func (p *examiner) storePolicy() iamPolicy {
	objects := "arn:aws:s3:::" + p.bucket + "/"
	statements := []statement{
		allow(objects+p.prefix+"*", "s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObject",
			"s3:DeleteObjectVersion", "s3:PutObject", "s3:ListMultipartUploadParts",
			"s3:AbortMultipartUpload"),
	}
	if p.final != "" {
		statements = append(statements,
			allow(objects+p.final+"*", "s3:PutObject", "s3:GetObject", "s3:GetObjectVersion",
				"s3:DeleteObject", "s3:DeleteObjectVersion", "s3:AbortMultipartUpload"))
	}
	statements = append(statements,
		allow("arn:aws:s3:::"+p.bucket, "s3:ListBucket", "s3:ListBucketMultipartUploads"))
	return iamPolicy{policyVersion, statements}
}
