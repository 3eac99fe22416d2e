package conformance

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/s3presign/presign"
)

// Case is one upload with one grant, or one thing that a service asks of its store.
type Case struct {
	Name       string
	Kind       Kind
	Constraint Constraint // that it proves

	Bare bool                  // a part without a checksum of its own, as stock clients send it
	With func(*presign.Policy) // what the case needs beside the matrix's own policy
	Ask  func(*presign.Upload) // and beside its own upload

	Session bool           // temporary credentials sign
	Expired bool           // the grant is used after its time
	Ending  bool           // the same, and its time ends while the case runs
	Twice   bool           // it was used once, honestly
	Ended   string         // then the multipart upload was completed or aborted: "complete", "abort"
	Do      func(*Attempt) // what a cheat does
	// Honest reports that a client may do what Do does.
	Honest bool
	// Breach reports that a store breaks the constraint by accepting the case, even if
	// it stores what was granted.
	Breach bool
	Call   call // what a service does: Completion

	Want Answer // of AWS
	// Stored makes, of what was granted, what AWS holds after an upload that it took, where that is not the same.
	Stored func(*Object)
	// Unverified says what of Want no source of AWS states, so that it rests on an inference.
	Unverified string
	// Harmless: AWS refuses this, or so it seems, but a server that takes it and stores what was granted gives nothing
	// away. Of two files, say, either is the holder's choice.
	Harmless bool
	// But holds the servers that are known to answer otherwise, with the reason.
	But map[string]Deviation
}

// honest reports whether a store must accept the case.
func (c Case) honest() bool { return c.Do == nil && c.Want.Accepted() || c.Honest }

// cheat reports whether AWS rejects the case.
func (c Case) cheat() bool { return !c.Want.Accepted() }

// breach reports whether a store breaks the constraint by accepting the case,
// whatever it stores: the request was not authorized, or reads.
func (c Case) breach() bool {
	switch c.Constraint {
	case Signature, Policy, Session, Ended:
		return true
	case Method:
		return c.Breach || c.Kind != Form
	}
	return c.Breach || c.Expired || c.Ending
}

// Deviation is how one server differs from AWS.
type Deviation struct {
	Answer Answer
	Or     []Answer // others that it gives as well, by chance
	Reason string
	// Stored makes, of what was granted, what the server holds after an upload that it took.
	Stored func(*Object)
	// Changed reports that the case changes an object that was completed before.
	Changed bool
	// Refused holds what the service may say when it completes a multipart upload that
	// the server took.
	Refused []string
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
	safeName = "a-file.txt" // the last part of its key
	evilName = "evil"       // that of a key that no grant is for
)

func sizeKnown(u *presign.Upload) { u.Size = int64(len(Body)) }

func metadata(p *presign.Policy)    { p.Metadata = []string{"color"} }
func setMetadata(u *presign.Upload) { u.Metadata = map[string]string{"color": "deep  blue"} }
func headers(p *presign.Policy)     { p.Headers = map[string]string{"Cache-Control": "no-store"} }
func tagging(p *presign.Policy)     { p.Headers = map[string]string{"x-amz-tagging": "a=b+c&d=e%2F%40"} }
func replace(p *presign.Policy)     { p.Replace = true }
func redirect(u *presign.Upload)    { u.Redirect = "http://127.0.0.1:9/done?a=1" }

func digestMD5(body []byte) string {
	sum := md5.Sum(body)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func set(name, value string) func(*Attempt) { return func(a *Attempt) { a.Set(name, value) } }
func drop(name string) func(*Attempt)       { return func(a *Attempt) { a.Drop(name) } }
func add(name, value string) func(*Attempt) { return func(a *Attempt) { a.Add(name, value) } }

// header adds a header, to a form too.
func header(name, value string) func(*Attempt) {
	return func(a *Attempt) { a.Header.Add(name, value) }
}

func behind(name, value string) func(*Attempt) {
	return func(a *Attempt) { a.Behind = append(a.Behind, Field{name, value}) }
}

func file(body []byte) func(*Attempt) { return func(a *Attempt) { a.Body = body } }

func chunked(a *Attempt) { a.Length = -1 }

// path replaces a piece of the URL as it is sent.
func path(old, new string) func(*Attempt) {
	return func(a *Attempt) {
		if !strings.Contains(a.URL, old) {
			panic("conformance: the URL has no " + old)
		}
		a.URL = strings.Replace(a.URL, old, new, 1)
	}
}

// query changes the query of a URL.
func query(change func(url.Values)) func(*Attempt) {
	return func(a *Attempt) {
		u := a.url()
		values := u.Query()
		change(values)
		u.RawQuery = strings.ReplaceAll(values.Encode(), "+", "%20")
		a.URL = u.String()
	}
}

// parameter sets one parameter of the query.
func parameter(name, value string) func(*Attempt) {
	return query(func(q url.Values) { q.Set(name, value) })
}

func without(names ...string) func(*Attempt) {
	return query(func(q url.Values) {
		for _, name := range names {
			q.Del(name)
		}
	})
}

func (a *Attempt) url() *url.URL {
	u, err := url.Parse(a.URL)
	if err != nil {
		panic("conformance: the grant has no URL")
	}
	return u
}

// scope changes one element of a credential scope: 0 is the access key, then date, region, service.
func scope(element int, value string) func(*Attempt) {
	change := func(credential string) string {
		elements := strings.Split(credential, "/")
		elements[element] = value
		return strings.Join(elements, "/")
	}
	return func(a *Attempt) {
		if a.Method == http.MethodPost {
			a.Set("x-amz-credential", change(a.Get("x-amz-credential")))
			return
		}
		query(func(q url.Values) { q.Set("X-Amz-Credential", change(q.Get("X-Amz-Credential"))) })(a)
	}
}

const unknownKey = "AKIAUNKNOWNEXAMPLE00"

// otherBucket sends to a bucket that does not exist.
func otherBucket(a *Attempt) {
	u := a.url()
	if strings.HasPrefix(u.Host, a.Bucket+".") {
		u.Host = strings.Replace(u.Host, a.Bucket, a.Bucket+"-not", 1)
	} else {
		u.Path, u.RawPath = strings.Replace(u.Path, "/"+a.Bucket, "/"+a.Bucket+"-not", 1), ""
	}
	a.URL = u.String()
}

// otherStyle addresses the bucket by path instead of by host, or the other way round.
func otherStyle(a *Attempt) {
	u := a.url()
	if host, ok := strings.CutPrefix(u.Host, a.Bucket+"."); ok {
		a.Host, u.Path, u.RawPath = host, "/"+a.Bucket+u.Path, ""
	} else {
		a.Host, u.Path, u.RawPath = a.Bucket+"."+u.Host, strings.TrimPrefix(u.Path, "/"+a.Bucket), ""
	}
	a.URL = u.String()
}

func method(name string) func(*Attempt) {
	return func(a *Attempt) { a.Method, a.Body = name, nil }
}

// copySource asks for an object that the grant is not for.
func copySource(a *Attempt) { a.Header.Set("x-amz-copy-source", a.Bucket+"/"+a.Private) }

// document changes the text of a form's policy.
func document(change func(string) string) func(*Attempt) {
	return func(a *Attempt) {
		text, err := base64.StdEncoding.DecodeString(a.Get("policy"))
		if err != nil {
			panic(err)
		}
		changed := change(string(text))
		if changed == string(text) {
			panic("conformance: the policy is as it was")
		}
		a.Set("policy", base64.StdEncoding.EncodeToString([]byte(changed)))
	}
}

// otherSecond returns a time in the format of signatures with another second of the same minute.
func otherSecond(date string) string {
	changed := []byte(date)
	changed[len(changed)-2] = '0' + (changed[len(changed)-2]-'0'+1)%10
	return string(changed)
}

const farFuture = "Fri, 01 Jan 2100 00:00:00 GMT"

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
	malformed    = Answer{400, "AuthorizationQueryParametersError"}
	badArgument  = Answer{400, "InvalidArgument"}
	tooLarge     = Answer{400, "EntityTooLarge"}
	tooSmall     = Answer{400, "EntityTooSmall"}
	unknown      = Answer{403, "InvalidAccessKeyId"}
	noUpload     = Answer{404, "NoSuchUpload"}
)

// ceph is how Ceph radosgw 16.2 alone differs.
func ceph(answer Answer, reason string, stored ...func(*Object)) map[string]Deviation {
	return but("ceph", answer, reason, stored...)
}

// versity is how versitygw 1.8 alone differs.
func versity(answer Answer, reason string, stored ...func(*Object)) map[string]Deviation {
	return but("versitygw", answer, reason, stored...)
}

func but(server string, answer Answer, reason string, stored ...func(*Object)) map[string]Deviation {
	d := Deviation{Answer: answer, Reason: reason}
	if len(stored) > 0 {
		d.Stored = stored[0]
	}
	return map[string]Deviation{server: d}
}

// and joins the deviations of several servers.
func and(several ...map[string]Deviation) map[string]Deviation {
	all := make(map[string]Deviation)
	for _, one := range several {
		for server, d := range one {
			all[server] = d
		}
	}
	return all
}

// Reasons of Ceph.
const (
	noChecksums = "does not know x-amz-checksum-*"
	unsigned    = "obeys x-amz-* headers that are not signed"
	oneRefusal  = "refuses every form with wrong credentials in the same words"
	withSTS     = "calls all that is wrong with credentials AccessDenied where STS is on"
	anonymous   = "takes it for an anonymous request"
	noScope     = "takes any scope, and finds the signature wrong"
	earlier     = "looks for the operation before it verifies the signature"
	joined      = "takes one of the fields, or both, and holds them against the policy"
	preData     = "knows no limit of what comes before the file"
	fieldsAfter = "holds fields behind the file against the policy, too"
)

// What is not verified of AWS in several cases.
const (
	lengths  = "that another length is answered like another signature, from which it follows"
	decoded  = "that the path is decoded before the signature is made of it"
	bucket   = "that the signature is looked at before the bucket"
	repeated = "whether a field that is there twice is refused, or its values are joined by a comma, as the user guide has it"
	inHeader = "that the headers of a form's request mean nothing"
)
