package conformance

import (
	"net/http"
	"strings"

	"github.com/s3presign/presign"
)

// forms returns the cases about POST policies.
func forms() []proof {
	proofs := []proof{
		{Honest, []Case{
			{Name: "form", Want: taken},
			{Name: "form again", Twice: true, Want: taken},
			{Name: "form with an ignored field", Do: add("x-ignore-me", "1"), Want: taken},
			{Name: "form with another type in the file's part",
				Do:   func(a *Attempt) { a.FileHeader.Set("Content-Type", "text/html") },
				Want: taken},
			{Name: "form of a file without a name", Do: func(a *Attempt) {
				a.FileHeader.Set("Content-Disposition", `form-data; name="file"`)
			}, Want: taken, But: map[string]Deviation{
				"versitygw": {Response: badArgument, Or: []Response{denied, taken},
					Reason: "handles it as a field, and ignores fields after the file, which have a random order"},
			}},
			{Name: "form with field names in capitals", Do: func(a *Attempt) {
				for i, f := range a.Fields {
					a.Fields[i].Name = strings.ToUpper(f.Name)
				}
			}, Want: taken,
				But: ceph(taken, "keeps metadata only of names in lower case",
					func(o *Object) { clear(o.Metadata) })},
			{Name: "form with the bucket as a field", Do: func(a *Attempt) { a.Add("bucket", a.Bucket) }, Want: taken},
			{Name: "form again with a condition in its header", Twice: true,
				Do: header("If-None-Match", "*"), Want: taken,
				Unverified: "that the header of a form's request has no effect"},
		}},
		{Key, []Case{
			{Name: "form under another key", Do: func(a *Attempt) { a.Set("key", a.Evil) }, Want: denied},
			{Name: "form under the key in other letters",
				Do: func(a *Attempt) { a.Set("key", strings.ToUpper(a.Key)) }, Want: denied},
			{Name: "form under the key with a slash behind it",
				Do: func(a *Attempt) { a.Set("key", a.Key+"/") }, Want: denied},
			{Name: "form under the key with a slash before it",
				Do: func(a *Attempt) { a.Set("key", "/"+a.Key) }, Want: denied},
			{Name: "form under a key of the client's choice", Do: func(a *Attempt) {
				a.Set("key", strings.Replace(a.Key, safeName, "${filename}", 1))
			}, Want: denied},
			{Name: "form under a second key", Do: func(a *Attempt) { a.Add("key", a.Evil) },
				Want:       badArgument,
				Unverified: repeated, Harmless: true,
				But: and(ceph(denied, joined), versity(denied, joined))},
			{Name: "form under a second key, in capitals",
				Do: func(a *Attempt) { a.Add("KEY", a.Evil) }, Want: badArgument,
				Unverified: repeated, Harmless: true,
				But: and(ceph(denied, joined), map[string]Deviation{
					"versitygw": {Response: denied, Or: []Response{taken}, Reason: "uses one or the other"},
				})},
			{Name: "form under a key behind the file",
				Do: func(a *Attempt) { behind("key", a.Evil)(a) }, Want: taken,
				But: versity(denied, fieldsAfter)},
			{Name: "form without a key", Do: drop("key"), Want: badArgument},
			{Name: "form into another bucket", Do: otherBucket, Want: Response{404, "NoSuchBucket"},
				Unverified: "that the bucket is found before the policy is parsed"},
			{Name: "form for another bucket", Do: add("bucket", "evil"), Want: denied,
				Unverified: "that this field is validated against the policy", Harmless: true,
				But: and(ceph(taken, "ignores this field"), versity(taken, "ignores this field"))},
			{Name: "form at the key's address",
				Do: func(a *Attempt) {
					a.URL = strings.TrimRight(a.URL, "/") + "/" + a.Key
				},
				Want:       denied,
				Unverified: "that it is not 405 MethodNotAllowed", Harmless: true,
				But: and(ceph(taken, "accepts a form at any address in the bucket"),
					versity(Response{405, "MethodNotAllowed"}, operationFirst))},
		}},
		{Type, []Case{
			{Name: "form of another type", Do: set("Content-Type", "text/html"), Want: denied},
			{Name: "form of the type in other letters", Do: set("Content-Type", "Text/Plain"), Want: denied},
			{Name: "form of the type with a parameter",
				Do: set("Content-Type", "text/plain;charset=utf-8"), Want: denied},
			{Name: "form of a list of types", Do: set("Content-Type", "text/plain,text/html"), Want: denied},
			{Name: "form of a second type", Do: add("Content-Type", "text/html"), Want: badArgument,
				Unverified: repeated, Harmless: true,
				But: and(ceph(denied, joined), versity(denied, joined))},
			{Name: "form without a type", Do: drop("Content-Type"), Want: denied},
		}},
		{FileName, []Case{
			{Name: "form of another name", Do: set("Content-Disposition", "inline"), Want: denied},
			{Name: "form of a second name", Do: add("Content-Disposition", "inline"),
				Want:       badArgument,
				Unverified: repeated, Harmless: true,
				But: and(ceph(denied, joined), versity(denied, joined))},
			{Name: "form without a name", Do: drop("Content-Disposition"), Want: denied},
		}},
		{Size, []Case{
			{Name: "form of the exact size", Ask: sizeKnown, Want: taken},
			{Name: "form of one byte more than the exact size", Ask: sizeKnown, Do: file(longer), Want: tooLarge},
			{Name: "form of one byte less than the exact size", Ask: sizeKnown, Do: file(shorter), Want: tooSmall},
		}},
		{SizeRange, []Case{
			{Name: "form of the least size",
				Ask: func(u *presign.Upload) { u.MinSize = int64(len(Body)) }, Want: taken},
			{Name: "form of the most size", Ask: func(u *presign.Upload) { u.MaxSize = int64(len(Body)) }, Want: taken},
			{Name: "form of one byte too many",
				Ask: func(u *presign.Upload) { u.MaxSize = int64(len(Body)) - 1 }, Want: tooLarge},
			{Name: "form of one byte too few",
				Ask: func(u *presign.Upload) { u.MinSize = int64(len(Body)) + 1 }, Want: tooSmall},
			{Name: "form of an empty file", Do: file(nil), Want: tooSmall},
			{Name: "form without a file", Do: func(a *Attempt) { a.FileHeader = nil },
				Want: badArgument, Harmless: true,
				But: ceph(taken, "uses the last line break as the file",
					func(o *Object) { o.Body = []byte("\r\n") })},
			{Name: "form without a length", Do: chunked,
				Want:       Response{411, "MissingContentLength"},
				Unverified: "that a form without a length is rejected like a PUT", Harmless: true,
				But: versity(Response{400, "InvalidRequest"}, otherCode)},
			{Name: "form of more than 20 KB before the file",
				Do:   add("x-ignore-me", strings.Repeat("x", 20480)),
				Want: Response{400, "MaxPostPreDataLengthExceeded"}, Harmless: true,
				But: and(ceph(taken, preData), versity(taken, preData))},
		}},
		{Metadata, []Case{
			{Name: "form with metadata", With: metadata, Ask: setMetadata, Want: taken},
			{Name: "form with other metadata", With: metadata, Ask: setMetadata,
				Do: set("x-amz-meta-color", "red"), Want: denied},
			{Name: "form without its metadata", With: metadata, Ask: setMetadata,
				Do: drop("x-amz-meta-color"), Want: denied},
			{Name: "form without its stamp", Do: drop("x-amz-meta-presign"), Want: denied},
		}},
		{Headers, []Case{
			{Name: "form with a header of the policy", With: headers, Want: taken},
			{Name: "form with another header of the policy", With: headers,
				Do: set("Cache-Control", "public"), Want: denied},
		}},
		{Tags, []Case{
			{Name: "form with tags", With: tagging, Want: taken},
			{Name: "form with other tags", With: tagging,
				Do: set("tagging", "<Tagging><TagSet/></Tagging>"), Want: denied},
		}},
		{Redirect, []Case{
			{Name: "form with a redirect", Ask: redirect, Want: Response{303, ""}},
			{Name: "form with another redirect", Breach: true, Ask: redirect,
				Do: set("success_action_redirect", "http://127.0.0.1:9/evil"), Want: denied},
			{Name: "form without its redirect", Breach: true, Ask: redirect,
				Do: drop("success_action_redirect"), Want: denied},
		}},
		{ExtraFields, extraFields()},
		{Expiry, []Case{
			{Name: "form too late", Expired: true, Want: denied},
			{Name: "form with a longer life", Breach: true, Do: document(func(text string) string {
				return strings.Replace(text, `"expiration":"20`, `"expiration":"21`, 1)
			}), Want: mismatch, But: ceph(denied, oneCode)},
			{Name: "form with another date", Do: func(a *Attempt) {
				// The day must stay, since the signing key depends on it.
				a.Set("x-amz-date", otherSecond(a.Get("x-amz-date")))
			}, Want: denied},
		}},
		{Policy, []Case{
			{Name: "form with another policy", Do: func(a *Attempt) {
				document(func(text string) string {
					return strings.ReplaceAll(text, a.Key, a.Evil)
				})(a)
				a.Set("key", a.Evil)
			}, Want: mismatch, But: ceph(denied, oneCode)},
			{Name: "form with a wider range", Do: func(a *Attempt) {
				document(func(text string) string {
					return strings.Replace(text, `"content-length-range",1,`,
						`"content-length-range",0,1`, 1)
				})(a)
				a.Body = nil
			}, Want: mismatch, But: ceph(denied, oneCode)},
			{Name: "form with a condition less", Do: document(func(text string) string {
				return strings.Replace(text, `{"Content-Type":"text/plain"},`, "", 1)
			}), Want: mismatch, But: ceph(denied, oneCode)},
			{Name: "form with a space in its policy",
				Do: document(func(text string) string { return text + " " }), Want: mismatch,
				But: ceph(denied, oneCode)},
			{Name: "form with an invalid policy", Do: set("policy", "{}"), Want: mismatch, But: ceph(denied, oneCode)},
			{Name: "form without a policy", Do: drop("policy"), Want: denied,
				Unverified: "that it is handled as anonymous",
				But:        versity(badArgument, "requires the field")},
			{Name: "form with a second policy", Do: add("policy", "e30="), Want: badArgument,
				Unverified: repeated, Harmless: true,
				But: and(ceph(denied, oneCode), versity(mismatch, joined))},
			{Name: "form with its policy behind the file", Do: func(a *Attempt) {
				policy := a.Get("policy")
				a.Drop("policy")
				behind("policy", policy)(a)
			}, Want: denied, Unverified: "that it is handled as anonymous", Harmless: true,
				But: versity(taken, "also reads fields after the file")},
			{Name: "form with another signature",
				Do: func(a *Attempt) {
					a.Set("x-amz-signature", otherByte(a.Get("x-amz-signature")))
				}, Want: mismatch, But: ceph(denied, oneCode)},
			{Name: "form without a signature", Do: drop("x-amz-signature"), Want: badArgument},
			{Name: "form of another algorithm", Do: set("x-amz-algorithm", "AWS4-HMAC-SHA1"),
				Want:       badArgument,
				Unverified: "that the algorithm is checked before the policy"},
			{Name: "form of an unknown access key", Do: scope(0, unknownKey), Want: unknown,
				But: ceph(denied, oneCode)},
			{Name: "form of another day", Do: scope(1, "20200101"), Want: badArgument,
				Unverified: "that the date of the scope is compared with x-amz-date",
				But: and(ceph(denied, oneCode),
					versity(mismatch, "does not compare the two"))},
			{Name: "form for another region", Do: scope(2, "mars-north-1"), Want: badArgument,
				But: ceph(denied, oneCode)},
			{Name: "form for another service", Do: scope(3, "sts"), Want: badArgument,
				Unverified: "which of the errors is returned", But: ceph(denied, oneCode)},
		}},
		{Method, []Case{
			{Name: "form turned into a list of the bucket", Breach: true, Do: method(http.MethodGet), Want: denied},
			{Name: "form turned into a deletion of many", Do: func(a *Attempt) { a.URL += "?delete" }, Want: denied},
			{Name: "form that is urlencoded",
				Do: header("Content-Type", "application/x-www-form-urlencoded"), Want: precondition,
				But: ceph(badArgument, otherCode)},
			{Name: "form without a boundary", Do: header("Content-Type", "multipart/form-data"),
				Want: Response{400, "MalformedPOSTRequest"}, But: ceph(badArgument, otherCode)},
		}},
		{Session, []Case{
			{Name: "form with a session token", Session: true, Want: taken},
			{Name: "form without its session token", Session: true,
				Do: drop("x-amz-security-token"), Want: unknown, But: noToken()},
			{Name: "form with another session token", Session: true, Do: func(a *Attempt) {
				a.Set("x-amz-security-token", otherByte(a.Get("x-amz-security-token")))
			}, Want: Response{400, "InvalidToken"}, But: ceph(denied, withSTS)},
		}},
		{Unsigned, []Case{
			{Name: "form with an x-amz-acl header", Do: header("x-amz-acl", "public-read"),
				Want: taken, Unverified: inHeader},
			{Name: "form with an x-amz-meta-foo header", Do: header("x-amz-meta-foo", "bar"),
				Want: taken, Unverified: inHeader},
		}},
		{CopySource, []Case{
			{Name: "form with an x-amz-copy-source header", Do: copySource, Want: taken, Unverified: inHeader},
			{Name: "form with x-amz-copy-source added",
				Do:   func(a *Attempt) { a.Add("x-amz-copy-source", a.Bucket+"/"+a.Private) },
				Want: denied},
		}},
	}
	return append(proofs, checksums(Form, taken, denied)...)
}

// extraFields returns cases that add fields without a condition.
func extraFields() (cases []Case) {
	for _, f := range []Field{
		{"acl", "public-read"}, {"acl", ""}, {"x-amz-acl", "public-read"},
		{"Cache-Control", "public"}, {"Content-Encoding", "gzip"}, {"Content-Language", "de"},
		{"Content-MD5", digestMD5(Body)}, {"Expires", "0"}, {"foo", "bar"},
		{"redirect", "https://evil.example"},
		{"success_action_redirect", "https://evil.example"}, {"success_action_status", "201"},
		{"tagging", "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"},
		{"x-amz-tagging", "a=b"}, {"x-amz-meta-foo", "bar"},
		{"x-amz-server-side-encryption", "AES256"},
		{"x-amz-storage-class", "REDUCED_REDUNDANCY"},
		{"x-amz-website-redirect-location", "https://evil.example"},
		{"x-amz-checksum-sha256", digestBy("SHA256", Body)},
		{"x-amz-checksum-algorithm", "SHA256"}, {"x-amz-object-lock-mode", "COMPLIANCE"},
		{"If-None-Match", "*"},
	} {
		c := Case{Name: "form with " + f.Name + " added", Do: add(f.Name, f.Value), Want: denied}
		switch f.Name {
		case "Content-MD5", "Content-Language", "If-None-Match", "x-amz-checksum-sha256",
			"x-amz-checksum-algorithm", "x-amz-object-lock-mode", "x-amz-tagging":
			c.Unverified = "that this field needs a condition like all others"
		}
		if f.Value == "" {
			c.Name = "form with an empty " + f.Name + " added"
		}
		if f.Name == "x-amz-storage-class" {
			c.But = ceph(Response{400, "InvalidArgument"},
				"looks up the class before the policy, and does not have the class")
		}
		cases = append(cases, c)
	}
	for _, f := range []Field{
		{"acl", "public-read"}, {"x-amz-meta-foo", "bar"}, {"success_action_status", "201"},
	} {
		cases = append(cases, Case{
			Name: "form with " + f.Name + " behind the file", Do: behind(f.Name, f.Value),
			Want: taken, But: versity(denied, fieldsAfter),
		})
	}
	return cases
}
