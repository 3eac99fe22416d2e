package conformance

import (
	"net/http"
	"net/url"
	"strings"
)

// puts returns the cases about the URLs of files.
func puts() []proof {
	proofs := []proof{
		{Honest, []Case{
			{Name: "PUT", Want: stored},
			{Name: "PUT with header names in lower case", Do: func(a *Attempt) {
				lower := make(http.Header)
				for name, values := range a.Header {
					lower[strings.ToLower(name)] = values
				}
				a.Header = lower
			}, Want: stored},
			{Name: "PUT with the MD5 of its bytes added", Do: add("Content-MD5", digestMD5(Body)), Want: stored},
			{Name: "PUT with another method in a header",
				Do: add("X-HTTP-Method-Override", http.MethodDelete), Want: stored,
				Unverified: "that the header has no effect"},
			wrongMD5(PUT),
		}},
		{Key, []Case{
			{Name: "PUT under another key", Do: path(safeName, evilName), Want: mismatch},
			{Name: "PUT under the key in other letters", Do: path(safeName, "A-FILE.TXT"), Want: mismatch},
			{Name: "PUT under the key with a slash behind it", Do: path("?", "/?"), Want: mismatch},
			{Name: "PUT under the key with a slash doubled", Do: path("/"+safeName, "//"+safeName), Want: mismatch},
			{Name: "PUT under the key with a space behind it", Do: path("?", "%20?"), Want: mismatch},
			{Name: "PUT under the key with a zero byte behind it", Do: path("?", "%00?"),
				Want: mismatch,
				But:  ceph(Response{Status: 400}, "does not accept the key")},
			{Name: "PUT out of its folder", Do: path(safeName, "../"+evilName), Want: mismatch,
				Unverified: "which of the errors is returned"},
			{Name: "PUT out of its folder, escaped", Do: path(safeName, "%2e%2e/"+evilName),
				Want: mismatch, Unverified: "which of the errors is returned"},
			{Name: "PUT out of its folder and back", Do: path(safeName, "x/../"+safeName),
				Want: mismatch, Unverified: "which of the errors is returned", Harmless: true},
			{Name: "PUT under the key with a slash escaped", Do: path("/"+safeName, "%2F"+safeName),
				Want:       stored,
				Unverified: decoded},
			{Name: "PUT under the key with a letter escaped", Do: path(safeName, "%61-file.txt"),
				Want:       stored,
				Unverified: decoded},
			{Name: "PUT into another bucket", Do: otherBucket, Want: mismatch,
				Unverified: bucket},
			{Name: "PUT in the other style of addressing", Do: otherStyle, Want: mismatch},
			{Name: "PUT at another host", Do: func(a *Attempt) { a.Host = "other.example" },
				Want:       mismatch,
				Unverified: "that the signature is verified before the bucket of the host is found",
				Harmless:   true},
		}},
		{Type, []Case{
			{Name: "PUT of another type", Do: set("Content-Type", "text/html"), Want: mismatch},
			{Name: "PUT of the type in other letters", Do: set("Content-Type", "Text/Plain"), Want: mismatch},
			{Name: "PUT of the type with a parameter",
				Do: set("Content-Type", "text/plain; charset=utf-8"), Want: mismatch},
			{Name: "PUT of a second type", Do: add("Content-Type", "text/html"), Want: mismatch},
			{Name: "PUT without a type", Do: drop("Content-Type"), Want: mismatch},
		}},
		{FileName, []Case{
			{Name: "PUT of another name", Do: set("Content-Disposition", "inline"), Want: mismatch},
			{Name: "PUT without a name", Do: drop("Content-Disposition"), Want: mismatch},
		}},
		{Size, []Case{
			{Name: "PUT of one byte more", Do: file(longer), Want: mismatch, Unverified: lengths},
			{Name: "PUT of one byte less", Do: file(shorter), Want: mismatch, Unverified: lengths},
			{Name: "PUT of nothing", Do: file(nil), Want: mismatch, Unverified: lengths},
			{Name: "PUT without a length", Do: chunked, Want: mismatch,
				Unverified: "that the response is not 411 MissingContentLength"},
		}},
		{Metadata, []Case{
			{Name: "PUT with metadata", With: metadata, Ask: setMetadata, Want: stored},
			{Name: "PUT with other metadata", With: metadata, Ask: setMetadata,
				Do: set("x-amz-meta-color", "red"), Want: mismatch},
			{Name: "PUT without its metadata", With: metadata, Ask: setMetadata,
				Do: drop("x-amz-meta-color"), Want: mismatch},
			{Name: "PUT with metadata of a second value", With: metadata, Ask: setMetadata,
				Do: add("x-amz-meta-color", "red"), Want: mismatch},
			{Name: "PUT without its stamp", Do: drop("x-amz-meta-presign"), Want: mismatch},
		}},
		{Headers, []Case{
			{Name: "PUT with a header of the policy", With: headers, Want: stored},
			{Name: "PUT with another header of the policy", With: headers,
				Do: set("Cache-Control", "public"), Want: mismatch},
			{Name: "PUT without a header of the policy", With: headers, Do: drop("Cache-Control"), Want: mismatch},
		}},
		{Tags, []Case{
			{Name: "PUT with tags", With: tagging, Want: stored,
				But: ceph(stored, "does not decode the + of a query string",
					func(o *Object) { o.Tags["a"] = "b+c" })},
			{Name: "PUT with other tags", With: tagging, Do: set("x-amz-tagging", "a=c"), Want: mismatch},
			{Name: "PUT without its tags", With: tagging, Do: drop("x-amz-tagging"), Want: mismatch},
		}},
		{WriteOnce, []Case{
			{Name: "PUT again where replacing is allowed", With: replace, Twice: true, Want: stored},
			{Name: "PUT again", Twice: true, Do: file(other), Want: precondition},
			{Name: "PUT without its condition", Do: drop("If-None-Match"), Want: mismatch},
			{Name: "PUT with another condition", Do: set("If-None-Match", `"0"`), Want: mismatch},
			{Name: "PUT again without its condition", Twice: true, Do: func(a *Attempt) {
				a.Drop("If-None-Match")
				a.Body = other
			}, Want: mismatch},
			{Name: "PUT again with a condition added, where replacing is allowed", With: replace,
				Twice: true,
				Do:    header("If-None-Match", "*"), Want: precondition},
		}},
		{Unsigned, unsignedPUTs()},
		{CopySource, []Case{
			{Name: "PUT with x-amz-copy-source added", Do: copySource, Want: denied,
				But: ceph(stored, unsigned, func(o *Object) {
					*o = Object{
						Body: privateBody, Type: "application/octet-stream",
						Tags: map[string]string{},
					}
				})},
			{Name: "PUT with x-amz-copy-source in the query", Do: func(a *Attempt) {
				parameter("x-amz-copy-source", a.Bucket+"/"+a.Private)(a)
			}, Want: mismatch},
		}},
		{OtherHeaders, []Case{
			{Name: "PUT with Content-Encoding added", Do: add("Content-Encoding", "gzip"),
				Want: stored, Stored: func(o *Object) { o.Encoding = "gzip" }},
			{Name: "PUT with Content-Language added", Do: add("Content-Language", "de"),
				Want: stored, Stored: func(o *Object) { o.Language = "de" }},
			{Name: "PUT with Cache-Control added", Do: add("Cache-Control", "public"), Want: stored,
				Stored: func(o *Object) { o.CacheControl = "public" }},
			{Name: "PUT with Expires added", Do: add("Expires", farFuture), Want: stored,
				Stored: func(o *Object) { o.Expires = farFuture }},
		}},
		{Expiry, []Case{
			{Name: "PUT too late", Expired: true, Want: denied},
			{Name: "PUT with a longer life", Do: parameter("X-Amz-Expires", "604800"), Want: mismatch},
			{Name: "PUT with a life of more than a week", Do: parameter("X-Amz-Expires", "604801"),
				Want: malformed, But: ceph(denied, otherCode)},
			{Name: "PUT with a second life",
				Do: query(func(q url.Values) { q.Add("X-Amz-Expires", "604800") }), Want: malformed,
				Unverified: "which of the errors is returned",
				But: and(ceph(mismatch, "uses one of them"),
					versity(mismatch, "uses one of them"))},
			{Name: "PUT too late with a longer life", Ending: true,
				Do: parameter("X-Amz-Expires", "604800"), Want: mismatch},
			{Name: "PUT too late with a second life", Ending: true,
				Do: query(func(q url.Values) { q.Add("X-Amz-Expires", "604800") }), Want: malformed,
				Unverified: "which of the errors is returned",
				But: and(ceph(mismatch, "uses one of them"),
					versity(denied, "uses the first"))},
			{Name: "PUT with another time", Breach: true, Do: query(func(q url.Values) {
				q.Set("X-Amz-Date", otherSecond(q.Get("X-Amz-Date")))
			}), Want: mismatch},
		}},
		{Signature, []Case{
			{Name: "PUT with another signature",
				Do: query(func(q url.Values) {
					q.Set("X-Amz-Signature", otherByte(q.Get("X-Amz-Signature")))
				}), Want: mismatch},
			{Name: "PUT without a signature", Do: without("X-Amz-Signature"), Want: malformed,
				But: ceph(denied, anonymous)},
			{Name: "PUT with an empty signature", Do: parameter("X-Amz-Signature", ""),
				Want:       malformed,
				Unverified: "which of the errors is returned", But: ceph(denied, anonymous)},
			{Name: "PUT without a query", Do: func(a *Attempt) { a.URL, _, _ = strings.Cut(a.URL, "?") }, Want: denied},
			{Name: "PUT with fewer signed headers", Do: query(func(q url.Values) {
				q.Set("X-Amz-SignedHeaders", strings.Replace(q.Get("X-Amz-SignedHeaders"),
					"content-type;", "", 1))
			}), Want: mismatch},
			{Name: "PUT with one more parameter", Do: parameter("versionId", "null"), Want: mismatch},
			{Name: "PUT of another algorithm", Do: parameter("X-Amz-Algorithm", "AWS4-HMAC-SHA1"),
				Want: malformed, But: ceph(denied, anonymous)},
			{Name: "PUT with an Authorization of its own",
				Do: add("Authorization", "AWS4-HMAC-SHA256 Credential="+unknownKey+
					"/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"),
				Want: badArgument, Harmless: true,
				But: and(ceph(denied, "uses the header"), versity(stored, "uses the query"))},
			{Name: "PUT of an unknown access key", Do: scope(0, unknownKey), Want: unknown},
			{Name: "PUT of another day", Do: scope(1, "20200101"), Want: malformed, But: ceph(mismatch, noScope)},
			{Name: "PUT for another region", Do: scope(2, "mars-north-1"), Want: malformed,
				But: ceph(mismatch, noScope)},
			{Name: "PUT for another service", Do: scope(3, "sts"), Want: malformed, But: ceph(mismatch, noScope)},
		}},
		{Method, []Case{
			{Name: "PUT of tags instead", Do: parameter("tagging", ""), Want: mismatch},
			{Name: "PUT of an access list instead", Do: parameter("acl", ""), Want: mismatch},
			{Name: "PUT of a part instead",
				Do: query(func(q url.Values) {
					q.Set("partNumber", "1")
					q.Set("uploadId", "x")
				}), Want: mismatch},
			{Name: "PUT turned into GET", Twice: true, Do: method(http.MethodGet), Want: mismatch},
			{Name: "PUT turned into HEAD", Twice: true, Do: method(http.MethodHead), Want: Response{Status: 403}},
			{Name: "PUT turned into DELETE", Twice: true, Do: method(http.MethodDelete), Want: mismatch},
			{Name: "PUT turned into POST", Twice: true, Do: method(http.MethodPost), Want: mismatch,
				Unverified: "that the signature is verified before the operation is found",
				But:        versity(Response{405, "MethodNotAllowed"}, operationFirst)},
		}},
		{Session, []Case{
			{Name: "PUT with a session token", Session: true, Want: stored},
			{Name: "PUT without its session token", Session: true,
				Do: without("X-Amz-Security-Token"), Want: unknown, But: noToken()},
			{Name: "PUT with another session token", Session: true, Do: query(func(q url.Values) {
				q.Set("X-Amz-Security-Token", otherByte(q.Get("X-Amz-Security-Token")))
			}), Want: Response{400, "InvalidToken"}, But: ceph(denied, withSTS)},
			{Name: "PUT with its session token in a header instead", Session: true,
				Do: func(a *Attempt) {
					token := a.url().Query().Get("X-Amz-Security-Token")
					without("X-Amz-Security-Token")(a)
					a.Add("x-amz-security-token", token)
				}, Want: unknown, Unverified: "that a token in a header has no effect",
				Harmless: true, But: noToken()},
		}},
	}
	return append(proofs, checksums(PUT, stored, mismatch)...)
}

func noToken() map[string]Deviation {
	return and(ceph(denied, withSTS),
		versity(Response{400, "InvalidToken"}, "recognizes temporary access keys by their name"))
}

// unsignedPUTs returns cases that add headers that were not signed.
func unsignedPUTs() (cases []Case) {
	for _, h := range []struct {
		Field
		but map[string]Deviation
	}{
		{Field{"x-amz-acl", "public-read"}, ceph(stored, unsigned)},
		{Field{"x-amz-meta-foo", "bar"}, ceph(stored, unsigned, func(o *Object) { o.Metadata["foo"] = "bar" })},
		{Field{"x-amz-tagging", "a=b"}, ceph(stored, unsigned, func(o *Object) { o.Tags["a"] = "b" })},
		{Field{"x-amz-storage-class", "REDUCED_REDUNDANCY"},
			ceph(Response{400, "InvalidArgument"}, unsigned+", and does not have the class")},
		{Field{"x-amz-website-redirect-location", "https://evil.example"},
			ceph(stored, unsigned, func(o *Object) { o.Redirect = "https://evil.example" })},
		{Field{"x-amz-server-side-encryption", "AES256"},
			ceph(Response{400, "InvalidRequest"}, unsigned+", and requires TLS for this one")},
		{Field{"x-amz-server-side-encryption-aws-kms-key-id", "alias/evil"},
			ceph(badArgument, unsigned+", and does not have the key")},
		{Field{"x-amz-server-side-encryption-customer-algorithm", "AES256"},
			ceph(Response{400, "InvalidRequest"}, unsigned+", and requires TLS for this one")},
		{Field{"x-amz-checksum-sha256", digestBy("SHA256", Body)}, ceph(stored, noChecksums)},
		{Field{"x-amz-sdk-checksum-algorithm", "SHA256"}, ceph(stored, noChecksums)},
		{Field{"x-amz-object-lock-legal-hold", "ON"},
			ceph(Response{400, "InvalidRequest"}, unsigned+", and the bucket has no object lock")},
		{Field{"x-amz-object-lock-mode", "COMPLIANCE"},
			ceph(badArgument, unsigned+", and requires a date with this one")},
		{Field{"x-amz-grant-read", "uri=http://acs.amazonaws.com/groups/global/AllUsers"}, ceph(stored, unsigned)},
		{Field{"x-amz-request-payer", "requester"}, ceph(stored, unsigned)},
		{Field{"x-amz-expected-bucket-owner", "123456789012"}, ceph(stored, unsigned)},
		{Field{"x-amz-write-offset-bytes", "0"}, ceph(stored, unsigned)},
		{Field{"x-amz-decoded-content-length", "5"}, ceph(stored, unsigned)},
		{Field{"x-amz-content-sha256", "UNSIGNED-PAYLOAD"}, ceph(stored, unsigned)},
		{Field{"x-amz-security-token", "evil"}, ceph(stored, unsigned)},
	} {
		cases = append(cases, Case{
			Name: "PUT with " + h.Name + " added", Do: add(h.Name, h.Value),
			Want: denied, But: h.but,
		})
	}
	return append(cases,
		Case{Name: "PUT with x-amz-acl in the query", Do: parameter("x-amz-acl", "public-read"), Want: mismatch},
		Case{Name: "PUT with X-AMZ-META-FOO added in capitals",
			Do:   func(a *Attempt) { a.Header["X-AMZ-META-FOO"] = []string{"bar"} },
			Want: denied,
			But:  ceph(stored, unsigned, func(o *Object) { o.Metadata["foo"] = "bar" })},
		Case{Name: "PUT with a second stamp", Do: add("x-amz-meta-presign", "evil"), Want: mismatch},
	)
}
