package conformance

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/s3presign/presign"
)

// Case is one upload with one grant.
type Case struct {
	Name string
	Form bool                  // or a PUT
	Part bool                  // or the PUT of the only part of a multipart upload
	Bare bool                  // without a checksum of its own, as stock clients send it
	With func(*presign.Policy) // what the case needs beside the matrix's own policy
	Ask  func(*presign.Upload) // and beside its own upload

	Session bool           // temporary credentials sign
	Expired bool           // the grant is used after its time
	Twice   bool           // it was used once, honestly
	Ended   string         // then the multipart upload was completed or aborted: "complete", "abort"
	Do      func(*Attempt) // what a cheat does

	Want Answer // of AWS
	// But holds the servers that are known to answer otherwise, with the reason.
	But map[string]Deviation
}

// Deviation is how one server differs from AWS.
type Deviation struct {
	Answer Answer
	Reason string
	// Stored makes, of what was granted, what the server holds after an upload that it took.
	Stored func(*Object)
	// Refused is what the service says on completing an upload in parts that the server took.
	Refused string
}

// butForms holds the servers that are known to store every form otherwise, with the reason.
var butForms = map[string]Deviation{
	"ceph": {
		Reason: "radosgw 16.2 stores of a form's fields the type, metadata, tags and ACL, and drops the other headers",
		Stored: func(o *Object) { o.Disposition, o.CacheControl = "", "" },
	},
}

// Body is the file that the matrix uploads.
var Body = []byte("The quick brown fox jumps over the lazy dog.\n")

const (
	fileName = "a file.txt"
	evilKey  = "evil"
)

func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func sizeKnown(u *presign.Upload) { u.Size = int64(len(Body)) }

func metadata(p *presign.Policy)    { p.Metadata = []string{"color"} }
func setMetadata(u *presign.Upload) { u.Metadata = map[string]string{"color": "deep  blue"} }
func headers(p *presign.Policy)     { p.Headers = map[string]string{"Cache-Control": "no-store"} }
func tagging(p *presign.Policy)     { p.Headers = map[string]string{"x-amz-tagging": "a=b+c&d=e%2F%40"} }
func checksum(p *presign.Policy)    { p.Checksum = types.ChecksumAlgorithmSha256 }
func setChecksum(u *presign.Upload) { u.Checksum = digest(Body) }
func replace(p *presign.Policy)     { p.Replace = true }
func crc32c(p *presign.Policy)      { p.Checksum = types.ChecksumAlgorithmCrc32c }
func setCRC32C(u *presign.Upload)   { u.Checksum = digestCRC32C(Body) }

func digestCRC32C(body []byte) string {
	sum := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

func set(name, value string) func(*Attempt) { return func(a *Attempt) { a.Set(name, value) } }
func drop(name string) func(*Attempt)       { return func(a *Attempt) { a.Drop(name) } }
func add(name, value string) func(*Attempt) { return func(a *Attempt) { a.Add(name, value) } }

func file(body []byte) func(*Attempt) { return func(a *Attempt) { a.Body = body } }

// query changes the query of a URL.
func query(change func(url.Values)) func(*Attempt) {
	return func(a *Attempt) {
		u, err := url.Parse(a.URL)
		if err != nil {
			panic(err)
		}
		values := u.Query()
		change(values)
		u.RawQuery = strings.ReplaceAll(values.Encode(), "+", "%20")
		a.URL = u.String()
	}
}

func method(name string) func(*Attempt) {
	return func(a *Attempt) { a.Method, a.Body = name, nil }
}

// otherByte returns s with another last byte.
func otherByte(s string) string {
	last := byte('0')
	if s[len(s)-1] == last {
		last = '1'
	}
	return s[:len(s)-1] + string(last)
}

var (
	longer  = append(bytes.Clone(Body), '!')
	shorter = Body[:len(Body)-1]
	other   = bytes.ToUpper(Body)

	stored       = Answer{200, ""}
	taken        = Answer{204, ""}
	mismatch     = Answer{403, "SignatureDoesNotMatch"}
	denied       = Answer{403, "AccessDenied"}
	badDigest    = Answer{400, "BadDigest"}
	precondition = Answer{412, "PreconditionFailed"}
)

// ceph is how Ceph radosgw 16.2 alone differs.
func ceph(answer Answer, reason string, stored ...func(*Object)) map[string]Deviation {
	d := Deviation{Answer: answer, Reason: reason}
	if len(stored) > 0 {
		d.Stored = stored[0]
	}
	return map[string]Deviation{"ceph": d}
}

// Reasons of Ceph.
const (
	noChecksums = "does not know x-amz-checksum-*"
	unsigned    = "obeys x-amz-* headers that are not signed"
	oneRefusal  = "refuses every form with wrong credentials in the same words"
	withSTS     = "calls all that is wrong with credentials AccessDenied where STS is on"
)

// Cases returns the matrix.
func Cases() []Case {
	cases := []Case{
		{Name: "PUT", Want: stored},
		{Name: "PUT with metadata", With: metadata, Ask: setMetadata, Want: stored},
		{Name: "PUT with a header of the policy", With: headers, Want: stored},
		{Name: "PUT with tags", With: tagging, Want: stored, But: ceph(stored, "takes the + of a query string as it is", func(o *Object) { o.Tags["a"] = "b+c" })},
		{Name: "PUT with a checksum", With: checksum, Ask: setChecksum, Want: stored},
		{Name: "PUT again where replacing is allowed", With: replace, Twice: true, Want: stored},
		{Name: "PUT under another key", Do: func(a *Attempt) { a.URL = strings.Replace(a.URL, "a-file.txt", evilKey, 1) }, Want: mismatch},
		{Name: "PUT of another type", Do: set("Content-Type", "text/html"), Want: mismatch},
		{Name: "PUT without a type", Do: drop("Content-Type"), Want: mismatch},
		{Name: "PUT of another name", Do: set("Content-Disposition", "inline"), Want: mismatch},
		{Name: "PUT without a name", Do: drop("Content-Disposition"), Want: mismatch},
		{Name: "PUT of one byte more", Do: file(longer), Want: mismatch},
		{Name: "PUT of one byte less", Do: file(shorter), Want: mismatch},
		{Name: "PUT of nothing", Do: file(nil), Want: mismatch},
		{Name: "PUT again", Twice: true, Do: file(other), Want: precondition},
		{Name: "PUT without its condition", Do: drop("If-None-Match"), Want: mismatch},
		{Name: "PUT again without its condition", Twice: true, Do: drop("If-None-Match"), Want: mismatch},
		{Name: "PUT with other metadata", With: metadata, Ask: setMetadata, Do: set("x-amz-meta-color", "red"), Want: mismatch},
		{Name: "PUT without its metadata", With: metadata, Ask: setMetadata, Do: drop("x-amz-meta-color"), Want: mismatch},
		{Name: "PUT with another header of the policy", With: headers, Do: set("Cache-Control", "public"), Want: mismatch},
		{Name: "PUT with other tags", With: tagging, Do: set("x-amz-tagging", "a=c"), Want: mismatch},
		{Name: "PUT of other bytes than the checksum's", With: checksum, Ask: setChecksum, Do: file(other), Want: badDigest, But: ceph(stored, noChecksums)},
		{Name: "PUT of other bytes with their checksum", With: checksum, Ask: setChecksum, Do: func(a *Attempt) {
			a.Body = other
			a.Set("x-amz-checksum-sha256", digest(other))
		}, Want: mismatch},
		{Name: "PUT without its checksum", With: checksum, Ask: setChecksum, Do: drop("x-amz-checksum-sha256"), Want: mismatch},
		{Name: "PUT too late", Expired: true, Want: denied},
		{Name: "PUT with a longer life", Do: query(func(q url.Values) { q.Set("X-Amz-Expires", "604800") }), Want: mismatch},
		{Name: "PUT with another signature", Do: query(func(q url.Values) { q.Set("X-Amz-Signature", otherByte(q.Get("X-Amz-Signature"))) }), Want: mismatch},
		{Name: "PUT without a signature", Do: query(func(q url.Values) { q.Del("X-Amz-Signature") }), Want: Answer{400, "AuthorizationQueryParametersError"}, But: ceph(denied, "takes it for an anonymous request")},
		{Name: "PUT with fewer signed headers", Do: query(func(q url.Values) {
			q.Set("X-Amz-SignedHeaders", strings.Replace(q.Get("X-Amz-SignedHeaders"), "content-type;", "", 1))
		}), Want: mismatch},
		{Name: "PUT with one more parameter", Do: query(func(q url.Values) { q.Set("versionId", "null") }), Want: mismatch},
		{Name: "PUT of tags instead", Do: query(func(q url.Values) { q.Set("tagging", "") }), Want: mismatch},
		{Name: "PUT of an access list instead", Do: query(func(q url.Values) { q.Set("acl", "") }), Want: mismatch},
		{Name: "PUT of an unknown access key", Do: query(func(q url.Values) {
			_, scope, _ := strings.Cut(q.Get("X-Amz-Credential"), "/")
			q.Set("X-Amz-Credential", "AKIAUNKNOWNEXAMPLE00/"+scope)
		}), Want: Answer{403, "InvalidAccessKeyId"}},
		{Name: "PUT with x-amz-copy-source added", Do: func(a *Attempt) { a.Add("x-amz-copy-source", a.Bucket+"/"+private) }, Want: denied, But: ceph(stored, unsigned, func(o *Object) {
			*o = Object{Body: privateBody, Type: "application/octet-stream", Tags: map[string]string{}}
		})},
		{Name: "PUT turned into GET", Twice: true, Do: method(http.MethodGet), Want: mismatch},
		{Name: "PUT turned into DELETE", Twice: true, Do: method(http.MethodDelete), Want: mismatch},

		{Name: "form", Form: true, Want: taken},
		{Name: "form of the exact size", Form: true, Ask: sizeKnown, Want: taken},
		{Name: "form of the least size", Form: true, Ask: func(u *presign.Upload) { u.MinSize = int64(len(Body)) }, Want: taken},
		{Name: "form of the most size", Form: true, Ask: func(u *presign.Upload) { u.MaxSize = int64(len(Body)) }, Want: taken},
		{Name: "form with metadata", Form: true, With: metadata, Ask: setMetadata, Want: taken},
		{Name: "form with a header of the policy", Form: true, With: headers, Want: taken},
		{Name: "form with tags", Form: true, With: tagging, Want: taken},
		{Name: "form with a checksum", Form: true, With: checksum, Ask: setChecksum, Want: taken},
		{Name: "form with a redirect", Form: true, Ask: func(u *presign.Upload) { u.Redirect = "http://127.0.0.1:9/done?a=1" }, Want: Answer{303, ""}},
		{Name: "form again", Form: true, Twice: true, Want: taken},
		{Name: "form with an ignored field", Form: true, Do: add("x-ignore-me", "1"), Want: taken},
		{Name: "form with another type in the file's part", Form: true, Do: func(a *Attempt) { a.FileHeader.Set("Content-Type", "text/html") }, Want: taken},
		{Name: "form under another key", Form: true, Do: set("key", evilKey), Want: denied},
		{Name: "form under a key of the client's choice", Form: true, Do: func(a *Attempt) {
			a.Set("key", strings.Replace(a.Get("key"), "a-file.txt", "${filename}", 1))
		}, Want: denied},
		{Name: "form without a key", Form: true, Do: drop("key"), Want: Answer{400, "InvalidArgument"}},
		{Name: "form of another type", Form: true, Do: set("Content-Type", "text/html"), Want: denied},
		{Name: "form of a list of types", Form: true, Do: set("Content-Type", "text/plain,text/html"), Want: denied},
		{Name: "form without a type", Form: true, Do: drop("Content-Type"), Want: denied},
		{Name: "form of another name", Form: true, Do: set("Content-Disposition", "inline"), Want: denied},
		{Name: "form without a name", Form: true, Do: drop("Content-Disposition"), Want: denied},
		{Name: "form of one byte more than the exact size", Form: true, Ask: sizeKnown, Do: file(longer), Want: Answer{400, "EntityTooLarge"}},
		{Name: "form of one byte less than the exact size", Form: true, Ask: sizeKnown, Do: file(shorter), Want: Answer{400, "EntityTooSmall"}},
		{Name: "form of one byte too many", Form: true, Ask: func(u *presign.Upload) { u.MaxSize = int64(len(Body)) - 1 }, Want: Answer{400, "EntityTooLarge"}},
		{Name: "form of one byte too few", Form: true, Ask: func(u *presign.Upload) { u.MinSize = int64(len(Body)) + 1 }, Want: Answer{400, "EntityTooSmall"}},
		{Name: "form of an empty file", Form: true, Do: file(nil), Want: Answer{400, "EntityTooSmall"}},
		{Name: "form without a file", Form: true, Do: func(a *Attempt) { a.FileHeader = nil }, Want: Answer{400, "InvalidArgument"}, But: ceph(taken, "takes the last line break for the file", func(o *Object) { o.Body = []byte("\r\n") })},
		{Name: "form with other metadata", Form: true, With: metadata, Ask: setMetadata, Do: set("x-amz-meta-color", "red"), Want: denied},
		{Name: "form without its metadata", Form: true, With: metadata, Ask: setMetadata, Do: drop("x-amz-meta-color"), Want: denied},
		{Name: "form with another header of the policy", Form: true, With: headers, Do: set("Cache-Control", "public"), Want: denied},
		{Name: "form with other tags", Form: true, With: tagging, Do: set("tagging", "<Tagging><TagSet/></Tagging>"), Want: denied},
		{Name: "form of other bytes than the checksum's", Form: true, With: checksum, Ask: setChecksum, Do: file(other), Want: badDigest, But: ceph(taken, noChecksums)},
		{Name: "form of other bytes with their checksum", Form: true, With: checksum, Ask: setChecksum, Do: func(a *Attempt) {
			a.Body = other
			a.Set("x-amz-checksum-sha256", digest(other))
		}, Want: denied},
		{Name: "form without its checksum", Form: true, With: checksum, Ask: setChecksum, Do: drop("x-amz-checksum-sha256"), Want: denied},
		{Name: "form with another redirect", Form: true, Ask: func(u *presign.Upload) { u.Redirect = "http://127.0.0.1:9/done" }, Do: set("success_action_redirect", "http://127.0.0.1:9/evil"), Want: denied},
		{Name: "form too late", Form: true, Expired: true, Want: denied},
		{Name: "form with another policy", Form: true, Do: func(a *Attempt) {
			document, err := base64.StdEncoding.DecodeString(a.Get("policy"))
			if err != nil {
				panic(err)
			}
			document = bytes.ReplaceAll(document, []byte(a.Get("key")), []byte(evilKey))
			a.Set("policy", base64.StdEncoding.EncodeToString(document))
			a.Set("key", evilKey)
		}, Want: mismatch, But: ceph(denied, oneRefusal)},
		{Name: "form with another signature", Form: true, Do: func(a *Attempt) { a.Set("x-amz-signature", otherByte(a.Get("x-amz-signature"))) }, Want: mismatch, But: ceph(denied, oneRefusal)},
		{Name: "form without a signature", Form: true, Do: drop("x-amz-signature"), Want: Answer{400, "InvalidArgument"}},
		{Name: "form with another date", Form: true, Do: func(a *Attempt) {
			// The day stays, since the signature is made for it.
			date := []byte(a.Get("x-amz-date"))
			date[len(date)-2] = '0' + (date[len(date)-2]-'0'+1)%10
			a.Set("x-amz-date", string(date))
		}, Want: denied},
		{Name: "form of an unknown access key", Form: true, Do: func(a *Attempt) {
			_, scope, _ := strings.Cut(a.Get("x-amz-credential"), "/")
			a.Set("x-amz-credential", "AKIAUNKNOWNEXAMPLE00/"+scope)
		}, Want: Answer{403, "InvalidAccessKeyId"}, But: ceph(denied, oneRefusal)},
	}

	wrongToken := ceph(denied, withSTS)
	noToken := map[string]Deviation{
		"ceph":      wrongToken["ceph"],
		"versitygw": {Answer: Answer{400, "InvalidToken"}, Reason: "knows temporary access keys by their name, before it looks them up"},
	}
	cases = append(cases,
		Case{Name: "PUT with a session token", Session: true, Want: stored},
		Case{Name: "PUT without its session token", Session: true, Do: query(func(q url.Values) { q.Del("X-Amz-Security-Token") }), Want: Answer{403, "InvalidAccessKeyId"}, But: noToken},
		Case{Name: "PUT with another session token", Session: true, Do: query(func(q url.Values) {
			q.Set("X-Amz-Security-Token", otherByte(q.Get("X-Amz-Security-Token")))
		}), Want: Answer{400, "InvalidToken"}, But: wrongToken},
		Case{Name: "form with a session token", Form: true, Session: true, Want: taken},
		Case{Name: "form without its session token", Form: true, Session: true, Do: drop("x-amz-security-token"), Want: Answer{403, "InvalidAccessKeyId"}, But: noToken},
		Case{Name: "form with another session token", Form: true, Session: true, Do: func(a *Attempt) {
			a.Set("x-amz-security-token", otherByte(a.Get("x-amz-security-token")))
		}, Want: Answer{400, "InvalidToken"}, But: wrongToken},
	)

	cases = append(cases, partCases()...)

	// Whatever was not signed stays out.
	for _, h := range []struct {
		Field
		but map[string]Deviation
	}{
		{Field{"x-amz-acl", "public-read"}, ceph(stored, unsigned)},
		{Field{"x-amz-meta-foo", "bar"}, ceph(stored, unsigned, func(o *Object) { o.Metadata["foo"] = "bar" })},
		{Field{"x-amz-server-side-encryption", "AES256"}, ceph(Answer{400, "InvalidRequest"}, unsigned+", and wants TLS for this one")},
		{Field{"x-amz-storage-class", "REDUCED_REDUNDANCY"}, ceph(Answer{400, "InvalidArgument"}, unsigned+", and has no such class")},
		{Field{"x-amz-tagging", "a=b"}, ceph(stored, unsigned, func(o *Object) { o.Tags["a"] = "b" })},
		{Field{"x-amz-website-redirect-location", "https://evil.example"}, ceph(stored, unsigned)},
		{Field{"x-amz-checksum-sha256", digest(Body)}, ceph(stored, noChecksums)},
		{Field{"x-amz-object-lock-legal-hold", "ON"}, ceph(Answer{400, "InvalidRequest"}, unsigned+", and the bucket has no object lock")},
		{Field{"x-amz-grant-read", "uri=http://acs.amazonaws.com/groups/global/AllUsers"}, ceph(stored, unsigned)},
	} {
		cases = append(cases, Case{Name: "PUT with " + h.Name + " added", Do: add(h.Name, h.Value), Want: denied, But: h.but})
	}
	for _, f := range []Field{
		{"acl", "public-read"}, {"Cache-Control", "public"}, {"Content-Encoding", "gzip"}, {"Expires", "0"}, {"foo", "bar"},
		{"success_action_redirect", "https://evil.example"}, {"success_action_status", "201"},
		{"tagging", "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"},
		{"x-amz-meta-foo", "bar"}, {"x-amz-server-side-encryption", "AES256"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
		{"x-amz-website-redirect-location", "https://evil.example"}, {"x-amz-checksum-sha256", digest(Body)},
	} {
		c := Case{Name: "form with " + f.Name + " added", Form: true, Do: add(f.Name, f.Value), Want: denied}
		if f.Name == "x-amz-storage-class" {
			c.But = ceph(Answer{400, "InvalidArgument"}, "looks up the class before the policy, and has no such class")
		}
		cases = append(cases, c)
	}
	return cases
}

// partCases are about the URLs of parts.
func partCases() []Case {
	noUpload := Answer{404, "NoSuchUpload"}
	unconfirmed := map[string]Deviation{"ceph": {Answer: stored, Reason: noChecksums, Refused: "checksum was not confirmed"}}
	cases := []Case{
		{Name: "part", Part: true, Want: stored},
		{Name: "part of a file of unknown size", Part: true, Ask: func(u *presign.Upload) { u.Size = 0 }, Do: file(longer), Want: stored},
		{Name: "part with a checksum", Part: true, With: crc32c, Ask: setCRC32C, Want: stored, But: unconfirmed},
		{Name: "part of a file with a checksum", Part: true, Bare: true, With: crc32c, Ask: setCRC32C, Want: stored, But: unconfirmed},
		{Name: "part of a file with metadata", Part: true, With: metadata, Ask: setMetadata, Want: stored},
		{Name: "part of a file with a header of the policy", Part: true, With: headers, Want: stored},
		{Name: "part of a file with tags", Part: true, With: tagging, Want: stored, But: ceph(stored, "drops the tags of a multipart upload", func(o *Object) { clear(o.Tags) })},
		{Name: "part again", Part: true, Twice: true, Do: file(other), Want: stored},
		{Name: "part with a type of its own", Part: true, Do: add("Content-Type", "text/html"), Want: stored},
		{Name: "part with an encoding", Part: true, Do: add("Content-Encoding", "gzip"), Want: stored},
		{Name: "part of one byte more", Part: true, Do: file(longer), Want: mismatch},
		{Name: "part of one byte less", Part: true, Do: file(shorter), Want: mismatch},
		{Name: "part of nothing", Part: true, Do: file(nil), Want: mismatch},
		{Name: "part with another number", Part: true, Do: query(func(q url.Values) { q.Set("partNumber", "2") }), Want: mismatch},
		{Name: "part without a number", Part: true, Do: query(func(q url.Values) { q.Del("partNumber") }), Want: mismatch, But: map[string]Deviation{
			"versitygw": {Answer: Answer{405, "MethodNotAllowed"}, Reason: "looks for the operation before it verifies the signature"},
		}},
		{Name: "part of another upload", Part: true, Do: query(func(q url.Values) { q.Set("uploadId", otherByte(q.Get("uploadId"))) }), Want: mismatch},
		{Name: "part turned into an object", Part: true, Do: query(func(q url.Values) {
			q.Del("uploadId")
			q.Del("partNumber")
		}), Want: mismatch},
		{Name: "part under another key", Part: true, Do: func(a *Attempt) { a.URL = strings.Replace(a.URL, "a-file.txt", evilKey, 1) }, Want: mismatch},
		{Name: "part of other bytes than the checksum's", Part: true, With: crc32c, Ask: setCRC32C, Do: file(other), Want: badDigest, But: unconfirmed},
		{Name: "part of other bytes with their checksum", Part: true, With: crc32c, Ask: setCRC32C, Do: func(a *Attempt) {
			a.Body = other
			a.Set("x-amz-checksum-crc32c", digestCRC32C(other))
		}, Want: mismatch},
		{Name: "part without its checksum", Part: true, With: crc32c, Ask: setCRC32C, Do: drop("x-amz-checksum-crc32c"), Want: mismatch},
		{Name: "part too late", Part: true, Expired: true, Want: denied},
		{Name: "part with a longer life", Part: true, Do: query(func(q url.Values) { q.Set("X-Amz-Expires", "604800") }), Want: mismatch},
		{Name: "part without a signature", Part: true, Do: query(func(q url.Values) { q.Del("X-Amz-Signature") }), Want: Answer{400, "AuthorizationQueryParametersError"}, But: ceph(denied, "takes it for an anonymous request")},
		{Name: "part turned into a list of parts", Part: true, Do: method(http.MethodGet), Want: mismatch},
		{Name: "part turned into an abort", Part: true, Do: method(http.MethodDelete), Want: mismatch},
		{Name: "part turned into a completion", Part: true, Do: method(http.MethodPost), Want: mismatch},
		{Name: "part after the upload was completed", Part: true, Twice: true, Ended: "complete", Do: file(other), Want: noUpload},
		{Name: "part after the upload was aborted", Part: true, Twice: true, Ended: "abort", Want: noUpload},
		{Name: "part with a session token", Part: true, Session: true, Want: stored},
		{Name: "part with another session token", Part: true, Session: true, Do: query(func(q url.Values) {
			q.Set("X-Amz-Security-Token", otherByte(q.Get("X-Amz-Security-Token")))
		}), Want: Answer{400, "InvalidToken"}, But: ceph(denied, withSTS)},
		{Name: "part with x-amz-copy-source added", Part: true, Do: func(a *Attempt) { a.Add("x-amz-copy-source", a.Bucket+"/"+private) }, Want: denied, But: ceph(Answer{400, "RequestTimeout"}, unsigned+", and then waits for a body")},
	}
	for _, c := range []struct {
		Field
		but map[string]Deviation
	}{
		{Field{"x-amz-copy-source-range", "bytes=0-4"}, ceph(stored, unsigned)},
		{Field{"x-amz-acl", "public-read"}, ceph(stored, unsigned)},
		{Field{"x-amz-meta-foo", "bar"}, ceph(stored, unsigned)},
		{Field{"x-amz-tagging", "a=b"}, ceph(stored, unsigned)},
		{Field{"x-amz-storage-class", "REDUCED_REDUNDANCY"}, ceph(Answer{400, "InvalidArgument"}, unsigned+", and has no such class")},
		{Field{"x-amz-checksum-sha256", digest(Body)}, ceph(stored, noChecksums)},
	} {
		cases = append(cases, Case{Name: "part with " + c.Name + " added", Part: true, Do: add(c.Name, c.Value), Want: denied, But: c.but})
	}
	return cases
}
