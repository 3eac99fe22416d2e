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

// A Case is one upload with one grant, or one request of a service to its
// store.
type Case struct {
	Name       string
	Kind       Kind
	Constraint Constraint // tested by the case

	Bare bool                  // A part has no checksum, as stock clients send it.
	With func(*presign.Policy) // changes the policy of the matrix
	Ask  func(*presign.Upload) // changes the upload of the matrix

	Session bool           // Temporary credentials sign.
	Expired bool           // The grant is used after it has expired.
	Ending  bool           // The grant expires while the case runs.
	Twice   bool           // The grant was used honestly before.
	Ended   string         // how the multipart upload ended before: "complete" or "abort"
	Do      func(*Attempt) // changes the request of an honest client
	// Honest reports that a client may do what Do does.
	Honest bool
	// Breach reports that a store breaks the constraint by accepting the case,
	// even if the stored object matches the grant.
	Breach bool
	Call   call // sends the request of a service, for Completion

	Want Response // the response of AWS
	// Stored changes the granted object to the object that AWS stores, if AWS
	// accepts the upload and stores a different one.
	Stored func(*Object)
	// Unverified states which aspect of Want is inferred, since no source of
	// AWS documents it.
	Unverified string
	// Harmless reports that a server may accept the case if the stored object
	// matches the grant, although AWS rejects the case or seems to. The bytes
	// may differ, because the holder of a grant chooses the file.
	Harmless bool
	// But holds the servers that are known to differ from AWS, by name.
	But map[string]Deviation
}

// honest reports whether a store must accept the case.
func (c Case) honest() bool { return c.Do == nil && c.Want.Accepted() || c.Honest }

// cheat reports whether AWS rejects the case.
func (c Case) cheat() bool { return !c.Want.Accepted() }

// breach reports whether a store breaks the constraint by accepting the case,
// regardless of what it stores. Such a request is not authorized, or it reads
// objects.
func (c Case) breach() bool {
	switch c.Constraint {
	case Signature, Policy, Session, Ended:
		return true
	case Method:
		return c.Breach || c.Kind != Form
	}
	return c.Breach || c.Expired || c.Ending
}

// A Deviation describes how one server differs from AWS.
type Deviation struct {
	Response Response
	Or       []Response // other responses that the server also returns, at random
	Reason   string
	// Stored changes the granted object to the object that the server stores
	// after an accepted upload.
	Stored func(*Object)
	// Changed reports that the case changes an object that was completed
	// before.
	Changed bool
	// Rejected holds texts. The completion of an accepted multipart upload must
	// fail with an error that contains one of the texts.
	Rejected []string
}

// butForms holds the servers that are known to store every form differently.
var butForms = map[string]Deviation{
	"ceph": {
		Reason: "radosgw 16.2 stores the type, metadata, tags and ACL of a form, and drops the other headers",
		Stored: func(o *Object) { o.Disposition, o.CacheControl = "", "" },
	},
}

// Body is the file that the matrix uploads.
var Body = []byte("The quick brown fox jumps over the lazy dog.\n")

const (
	fileName = "a file.txt"
	safeName = "a-file.txt" // the last segment of its key
	evilName = "evil"       // the last segment of a key without a grant
)

func sizeKnown(u *presign.Upload) { u.Size = int64(len(Body)) }

func metadata(p *presign.Policy)    { p.Metadata = []string{"color"} }
func setMetadata(u *presign.Upload) { u.Metadata = map[string]string{"color": "deep  blue"} }
func headers(p *presign.Policy)     { p.Headers = map[string]string{"Cache-Control": "no-store"} }
func tagging(p *presign.Policy) {
	p.Headers = map[string]string{"x-amz-tagging": "a=b+c&d=e%2F%40"}
}
func replace(p *presign.Policy)  { p.Replace = true }
func redirect(u *presign.Upload) { u.Redirect = "http://127.0.0.1:9/done?a=1" }

func digestMD5(body []byte) string {
	sum := md5.Sum(body)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func set(name, value string) func(*Attempt) { return func(a *Attempt) { a.Set(name, value) } }
func drop(name string) func(*Attempt)       { return func(a *Attempt) { a.Drop(name) } }
func add(name, value string) func(*Attempt) { return func(a *Attempt) { a.Add(name, value) } }

// header adds a header to the request, even if it sends a form.
func header(name, value string) func(*Attempt) {
	return func(a *Attempt) { a.Header.Add(name, value) }
}

func behind(name, value string) func(*Attempt) {
	return func(a *Attempt) { a.Behind = append(a.Behind, Field{name, value}) }
}

func file(body []byte) func(*Attempt) { return func(a *Attempt) { a.Body = body } }

func chunked(a *Attempt) { a.Length = -1 }

// path replaces a part of the URL.
func path(old, new string) func(*Attempt) {
	return func(a *Attempt) {
		if !strings.Contains(a.URL, old) {
			panic("conformance: the URL must contain " + old)
		}
		a.URL = strings.Replace(a.URL, old, new, 1)
	}
}

// query changes the query of the URL.
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
		panic("conformance: the grant must have a URL")
	}
	return u
}

// scope changes one element of a credential scope: 0 is the access key, then
// date, region, service.
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
		query(func(q url.Values) {
			q.Set("X-Amz-Credential", change(q.Get("X-Amz-Credential")))
		})(a)
	}
}

const unknownKey = "AKIAUNKNOWNEXAMPLE00"

// otherBucket addresses a bucket that does not exist.
func otherBucket(a *Attempt) {
	u := a.url()
	if strings.HasPrefix(u.Host, a.Bucket+".") {
		u.Host = strings.Replace(u.Host, a.Bucket, a.Bucket+"-not", 1)
	} else {
		u.Path, u.RawPath = strings.Replace(u.Path, "/"+a.Bucket, "/"+a.Bucket+"-not", 1), ""
	}
	a.URL = u.String()
}

// otherStyle addresses the bucket by path instead of by host, or by host
// instead of by path.
func otherStyle(a *Attempt) {
	u := a.url()
	if host, ok := strings.CutPrefix(u.Host, a.Bucket+"."); ok {
		a.Host, u.Path, u.RawPath = host, "/"+a.Bucket+u.Path, ""
	} else {
		a.Host = a.Bucket + "." + u.Host
		u.Path, u.RawPath = strings.TrimPrefix(u.Path, "/"+a.Bucket), ""
	}
	a.URL = u.String()
}

func method(name string) func(*Attempt) {
	return func(a *Attempt) { a.Method, a.Body = name, nil }
}

// copySource requests a copy of an object without a grant.
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
			panic("conformance: the policy must change")
		}
		a.Set("policy", base64.StdEncoding.EncodeToString([]byte(changed)))
	}
}

// otherSecond returns a time in the format of signatures with another second of
// the same minute.
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

	stored       = Response{200, ""}
	taken        = Response{204, ""}
	mismatch     = Response{403, "SignatureDoesNotMatch"}
	denied       = Response{403, "AccessDenied"}
	badDigest    = Response{400, "BadDigest"}
	precondition = Response{412, "PreconditionFailed"}
	malformed    = Response{400, "AuthorizationQueryParametersError"}
	badArgument  = Response{400, "InvalidArgument"}
	tooLarge     = Response{400, "EntityTooLarge"}
	tooSmall     = Response{400, "EntityTooSmall"}
	unknown      = Response{403, "InvalidAccessKeyId"}
	noUpload     = Response{404, "NoSuchUpload"}
)

// ceph returns the deviation of Ceph radosgw 16.2.
func ceph(response Response, reason string, stored ...func(*Object)) map[string]Deviation {
	return but("ceph", response, reason, stored...)
}

// versity returns the deviation of versitygw 1.8.
func versity(response Response, reason string, stored ...func(*Object)) map[string]Deviation {
	return but("versitygw", response, reason, stored...)
}

func but(
	server string, response Response, reason string, stored ...func(*Object),
) map[string]Deviation {
	d := Deviation{Response: response, Reason: reason}
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

// Reasons of deviations.
const (
	noChecksums    = "does not support x-amz-checksum-*"
	unsigned       = "applies x-amz-* headers that are not signed"
	oneCode        = "rejects every form with wrong credentials with one code"
	withSTS        = "returns AccessDenied for all wrong credentials if STS is enabled"
	anonymous      = "handles it as an anonymous request"
	noScope        = "accepts any scope, and rejects the signature"
	operationFirst = "finds the operation before it verifies the signature"
	joined         = "validates one of the fields, or both, against the policy"
	preData        = "does not limit the bytes before the file"
	fieldsAfter    = "validates fields after the file against the policy"
)

// Values of Unverified for several cases.
const (
	lengths  = "that another length is rejected like another signature"
	decoded  = "that the path is decoded before the signature is computed"
	bucket   = "that the signature is verified before the bucket is found"
	repeated = "whether a repeated field is rejected, or its values are joined by a comma, as the user guide states"
	inHeader = "that the headers of a form's request have no effect"
)
