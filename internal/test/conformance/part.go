package conformance

import (
	"net/http"
	"net/url"

	"github.com/s3presign/presign"
)

// parts returns the cases about the URLs of parts.
func parts() []proof {
	proofs := []proof{
		{Honest, []Case{
			{Name: "part", Want: stored},
			{Name: "part with a type of its own", Do: add("Content-Type", "text/html"), Want: stored},
			{Name: "part with an encoding", Do: add("Content-Encoding", "gzip"), Want: stored},
			{Name: "part with another method in a header",
				Do: add("X-HTTP-Method-Override", http.MethodDelete), Want: stored,
				Unverified: "that the header has no effect"},
			wrongMD5(PartURL),
		}},
		{Key, []Case{
			{Name: "part under another key", Do: path(safeName, evilName), Want: mismatch},
			{Name: "part under the key with a slash behind it", Do: path("?", "/?"), Want: mismatch},
			{Name: "part under the key with a slash doubled", Do: path("/"+safeName, "//"+safeName), Want: mismatch},
			{Name: "part out of its folder", Do: path(safeName, "%2e%2e/"+evilName), Want: mismatch,
				Unverified: "which of the errors is returned"},
			{Name: "part into another bucket", Do: otherBucket, Want: mismatch,
				Unverified: bucket},
			{Name: "part in the other style of addressing", Do: otherStyle, Want: mismatch},
			{Name: "part turned into an object", Do: without("uploadId", "partNumber"), Want: mismatch},
		}},
		{Size, []Case{
			{Name: "part of a file of unknown size", Ask: func(u *presign.Upload) { u.Size = 0 },
				Do: file(longer), Want: stored},
			{Name: "part of one byte more", Do: file(longer), Want: mismatch, Unverified: lengths},
			{Name: "part of one byte less", Do: file(shorter), Want: mismatch, Unverified: lengths},
			{Name: "part of nothing", Do: file(nil), Want: mismatch, Unverified: lengths},
			{Name: "part without a length", Do: chunked, Want: mismatch,
				Unverified: "that the response is not 411 MissingContentLength"},
		}},
		{PartNumber, []Case{
			{Name: "part with another number", Do: parameter("partNumber", "2"), Want: mismatch},
			{Name: "part with the number 0", Do: parameter("partNumber", "0"), Want: mismatch,
				Unverified: "that the signature is verified before the number is parsed"},
			{Name: "part with a second number",
				Do: query(func(q url.Values) { q.Add("partNumber", "2") }), Want: mismatch},
			{Name: "part without a number", Do: without("partNumber"), Want: mismatch,
				But: versity(Response{405, "MethodNotAllowed"}, operationFirst)},
			{Name: "part of another upload",
				Do:   query(func(q url.Values) { q.Set("uploadId", otherByte(q.Get("uploadId"))) }),
				Want: mismatch},
		}},
		{BareParts, []Case{
			bareCRC32C(Case{Name: "part of a file with a checksum", Want: stored}),
		}},
		{PartAgain, []Case{
			{Name: "part again", Twice: true, Do: file(other), Honest: true, Want: stored},
		}},
		{Headers, []Case{
			{Name: "part of a file with metadata", With: metadata, Ask: setMetadata, Want: stored},
			{Name: "part of a file with a header of the policy", With: headers, Want: stored},
		}},
		{Tags, []Case{
			{Name: "part of a file with tags", With: tagging, Want: stored,
				But: ceph(stored, "drops the tags of a multipart upload",
					func(o *Object) { clear(o.Tags) })},
		}},
		{Unsigned, unsignedParts()},
		{CopySource, []Case{
			{Name: "part with x-amz-copy-source added", Do: copySource, Want: denied,
				But: ceph(Response{400, "RequestTimeout"}, unsigned+", and then waits for a body")},
			{Name: "part with x-amz-copy-source added and no body", Do: func(a *Attempt) {
				copySource(a)
				a.Body = nil
			}, Ask: func(u *presign.Upload) { u.Size = 0 }, Want: denied,
				But: ceph(stored, unsigned, func(o *Object) { o.Body = privateBody })},
			{Name: "part with x-amz-copy-source-range added",
				Do: add("x-amz-copy-source-range", "bytes=0-4"), Want: denied,
				But: ceph(stored, unsigned)},
		}},
		{Expiry, []Case{
			{Name: "part too late", Expired: true, Want: denied},
			{Name: "part with a longer life", Do: parameter("X-Amz-Expires", "604800"), Want: mismatch},
			{Name: "part too late with a longer life", Ending: true,
				Do: parameter("X-Amz-Expires", "604800"), Want: mismatch},
			{Name: "part with a life of more than a week", Do: parameter("X-Amz-Expires", "604801"),
				Want: malformed, But: ceph(denied, otherCode)},
		}},
		{Ended, []Case{
			{Name: "part after the upload was completed", Twice: true,
				Ended: "complete", Do: file(other), Want: noUpload},
			{Name: "part after the upload was aborted", Twice: true, Ended: "abort", Want: noUpload},
		}},
		{Signature, []Case{
			{Name: "part with another signature",
				Do: query(func(q url.Values) {
					q.Set("X-Amz-Signature", otherByte(q.Get("X-Amz-Signature")))
				}), Want: mismatch},
			{Name: "part without a signature", Do: without("X-Amz-Signature"), Want: malformed,
				But: ceph(denied, anonymous)},
			{Name: "part of an unknown access key", Do: scope(0, unknownKey), Want: unknown},
			{Name: "part for another region", Do: scope(2, "mars-north-1"), Want: malformed,
				But: ceph(mismatch, noScope)},
		}},
		{Method, []Case{
			{Name: "part turned into a list of parts", Do: method(http.MethodGet), Want: mismatch},
			{Name: "part turned into an abort", Do: method(http.MethodDelete), Want: mismatch},
			{Name: "part turned into a completion", Do: method(http.MethodPost), Want: mismatch},
		}},
		{Session, []Case{
			{Name: "part with a session token", Session: true, Want: stored},
			{Name: "part without its session token", Session: true,
				Do: without("X-Amz-Security-Token"), Want: unknown, But: noToken()},
			{Name: "part with another session token", Session: true, Do: query(func(q url.Values) {
				q.Set("X-Amz-Security-Token", otherByte(q.Get("X-Amz-Security-Token")))
			}), Want: Response{400, "InvalidToken"}, But: ceph(denied, withSTS)},
		}},
	}
	return append(proofs, checksums(PartURL, stored, mismatch)...)
}

// unsignedParts returns cases that add headers that were not signed.
func unsignedParts() (cases []Case) {
	for _, c := range []struct {
		Field
		but map[string]Deviation
	}{
		{Field{"x-amz-acl", "public-read"}, ceph(stored, unsigned)},
		{Field{"x-amz-meta-foo", "bar"}, ceph(stored, unsigned)},
		{Field{"x-amz-tagging", "a=b"}, ceph(stored, unsigned)},
		{Field{"x-amz-storage-class", "REDUCED_REDUNDANCY"},
			ceph(Response{400, "InvalidArgument"}, unsigned+", and does not have the class")},
		{Field{"x-amz-server-side-encryption", "AES256"}, ceph(stored, unsigned)},
		{Field{"x-amz-checksum-sha256", digestBy("SHA256", Body)}, ceph(stored, noChecksums)},
		{Field{"x-amz-request-payer", "requester"}, ceph(stored, unsigned)},
	} {
		cases = append(cases, Case{
			Name: "part with " + c.Name + " added", Do: add(c.Name, c.Value),
			Want: denied, But: c.but,
		})
	}
	return cases
}
