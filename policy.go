package presign

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/s3presign/presign/internal/mediatype"
	"github.com/s3presign/presign/internal/objectheader"
	"github.com/s3presign/presign/internal/postpolicy"
	"github.com/s3presign/presign/internal/sigv4"
	"github.com/s3presign/presign/internal/stamp"
)

// The limits of S3: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html.
const (
	maxRequestSize   = 5 << 30            // of one PUT or form
	maxObjectSize    = 10_000 * (5 << 30) // in parts
	maxKeySize       = 1024               // bytes of UTF-8
	maxMetadataSize  = 2 << 10            // names and values together
	maxMetadataNames = 20                 // a limit of ours, unless the Policy has more
	maxLifetime      = 7 * 24 * time.Hour // of a signature
	maxOwnerSize     = 128                // bytes; a limit of ours
	maxStampedSize   = 256                // of Headers that S3 tells of an object; a limit of ours
	defaultLifetime  = 15 * time.Minute
)

// Policy is the rules of one kind of upload. Its zero value is refused: Prefix, Types and MaxSize are required.
//
// A policy is data. NewSigner copies it, so that later changes have no effect.
type Policy struct {
	// Prefix begins the key of every object, and ends in "/". No grant reaches outside it.
	Prefix string

	// FinalPrefix is where Complete publishes what it has verified, under the rest of its key; it ends in "/" and lies
	// outside Prefix. No grant ever reaches it. If it is empty, uploads stay where they are.
	FinalPrefix string

	// Types holds the media types that may be uploaded: "image/png", "image/*", or "*/*" for any. Types that browsers
	// run or that frame others (HTML, SVG, XML, JavaScript, CSS, multipart and their kin) are admitted only where they
	// are named in full.
	Types []string

	// MinSize and MaxSize bound the size of a file in bytes, inclusive. MinSize is 1 if zero: an empty file is never
	// granted. MaxSize may be up to 10,000 parts of 5 GiB, but one form or PUT takes at most 5 GiB.
	MinSize, MaxSize int64

	// Lifetime is how long a URL or form can be used: 15 minutes if zero, at least a second, at most 7 days. S3 looks
	// at it when the upload begins.
	Lifetime time.Duration

	// Checksum is an algorithm by which every upload must declare its checksum, and which S3 must find correct before it
	// stores the object; none if empty. Forms take CRC32, CRC32C, SHA1 and SHA256 only, uploads in parts CRC32, CRC32C and
	// CRC64NVME.
	//
	// See https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html.
	Checksum types.ChecksumAlgorithm

	// Metadata names the user metadata, without "x-amz-meta-", that a client may set. WithAuthorize may set others. The
	// name "presign" is taken.
	Metadata []string

	// Headers are set and signed on every object: Cache-Control, Content-Disposition ("inline", or "attachment", the
	// default; the file name is added), Content-Encoding, Content-Language, Expires, and S3's own for storage class,
	// tagging, encryption, object lock and access, by their names on a PUT. Forms do not take all of them.
	Headers map[string]string

	// Replace lets an upload overwrite an object with the same key. Without it every PUT is conditional
	// (If-None-Match: *), and a form is granted only for keys that cannot be guessed.
	Replace bool

	_ struct{}
}

// Upload is what a client asks to upload. It may ask for less than the Policy allows; more is a Violation.
type Upload struct {
	// Key is set by the service, never by a client. It begins with Policy.Prefix. Ending in "/" it is a prefix of its
	// own, to which a random part and the file's name are added, as they are to Policy.Prefix if Key is empty.
	Key string

	// Filename is the name of the file, without a path: up to 255 bytes of UTF-8. The key holds it in a safe form, and
	// Content-Disposition holds it as it is. It may be empty if Key names an object, and is then the end of Key.
	Filename string

	// Type is the file's media type. If it is empty or "application/octet-stream", the name's extension decides; a type
	// and an extension that contradict each other are a Violation.
	Type string

	// Size is the exact size in bytes; 0 is unknown.
	Size int64

	// MinSize and MaxSize bound the size more narrowly than the Policy does; 0 leaves that to the Policy.
	MinSize, MaxSize int64

	// Lifetime is shorter than the Policy's, or 0.
	Lifetime time.Duration

	// Checksum is the digest by Policy.Checksum's algorithm, in base64. It is required if and only if the Policy names
	// an algorithm.
	Checksum string

	// Metadata is stored with the object as x-amz-meta- headers, under names that Policy.Metadata lists: printable ASCII, up to
	// 2 KB together with the grant, which is there too and takes 200 to 1,000 bytes. Only WithAuthorize adds other names.
	Metadata map[string]string

	// Owner is who authenticated, up to 128 bytes. The Handler sets it.
	Owner string

	// Redirect is the URL to which a plain HTML form sends the browser after the upload; S3 adds the query parameters
	// bucket, key and etag, of which none is proof of anything. It is set by the service, and for forms only.
	Redirect string
}

// Violation is one breach of a Policy. As an error it is a *Violation; several come joined, and Violations takes them apart.
type Violation struct {
	// Field is the member of a request to the Handler that is at fault: "filename", "type", "size", "min_size",
	// "max_size", "expires_in", "checksum", "metadata[name]", "method"; "part", "parts" or "partSize" of a Multipart; or
	// "key", "owner" or "redirect".
	Field string `json:"field"`

	// Detail says what was seen and what would be right. It may be shown to the client.
	Detail string `json:"detail"`
}

// Error returns the field and the detail.
func (v *Violation) Error() string {
	return "presign: " + v.Field + " " + v.Detail
}

func violation(field, format string, args ...any) *Violation {
	return &Violation{Field: field, Detail: fmt.Sprintf(format, args...)}
}

// Violations returns the violations that err is, wraps or joins, in their order; none if there are none.
func Violations(err error) []Violation {
	var found []Violation
	for _, v := range collect[Violation](err) {
		found = append(found, *v)
	}
	return found
}

// rules is a Policy that was found to be sound, with what follows from it.
type rules struct {
	Policy
	exact   []string           // those of Policy.Types that are no patterns
	inline  bool               // Content-Disposition
	stamped []stamp.Header     // those of Policy.Headers, but Content-Disposition, that S3 tells of an object
	headers []sigv4.Pair       // Policy.Headers as a PUT signs them
	fields  []postpolicy.Field // Policy.Headers as a form holds them
	digest  int                // bytes of a checksum, 0 without

	checksumHeader string       // of Policy.Checksum
	clientHeaders  []sigv4.Pair // Policy.Headers as a client sends them
	formless       string       // why there are no forms, if there are none
}

// newRules checks a policy, reporting all faults at once.
func newRules(p Policy) (*rules, error) {
	p.Types, p.Headers = slices.Clone(p.Types), maps.Clone(p.Headers)
	p.Metadata = append([]string{}, p.Metadata...)
	r := &rules{Policy: p, checksumHeader: checksumHeader(string(p.Checksum))}
	var faults []error
	fault := func(field, format string, args ...any) {
		faults = append(faults, fmt.Errorf("presign: Policy."+field+" "+format, args...))
	}

	for _, prefix := range []struct{ field, value string }{{"Prefix", p.Prefix}, {"FinalPrefix", p.FinalPrefix}} {
		switch {
		case prefix.field == "FinalPrefix" && prefix.value == "":
		case !strings.HasSuffix(prefix.value, "/"):
			fault(prefix.field, "is %q; it is required and ends in \"/\"", prefix.value)
		case strings.Contains(prefix.value, "$"):
			fault(prefix.field, "is %q; a dollar sign has a meaning of its own in POST policies", prefix.value)
		default:
			if err := checkKey(prefix.value); err != nil {
				fault(prefix.field, "%w", err)
			}
		}
	}
	if p.FinalPrefix != "" && (strings.HasPrefix(p.FinalPrefix, p.Prefix) || strings.HasPrefix(p.Prefix, p.FinalPrefix)) {
		fault("FinalPrefix", "is %q; grants for %q would reach it", p.FinalPrefix, p.Prefix)
	}

	if len(p.Types) == 0 {
		fault("Types", `is empty; name the types that may be uploaded ("*/*" for any)`)
	}
	for i, t := range p.Types {
		pattern, err := mediatype.ParsePattern(t)
		if err != nil {
			fault("Types", "has %q: %w", t, err)
		}
		if r.Types[i] = pattern; !strings.HasSuffix(pattern, "/*") {
			r.exact = append(r.exact, pattern)
		}
	}

	if p.MinSize == 0 {
		r.MinSize = 1
	}
	switch {
	case p.MinSize < 0:
		fault("MinSize", "is %d bytes; it cannot be negative", p.MinSize)
	case p.MaxSize <= 0:
		fault("MaxSize", "is %d bytes; it is required", p.MaxSize)
	case p.MaxSize > maxObjectSize:
		fault("MaxSize", "is %d bytes; S3 stores at most %d", p.MaxSize, int64(maxObjectSize))
	case p.MaxSize < p.MinSize:
		fault("MaxSize", "is %d bytes, less than MinSize, %d", p.MaxSize, p.MinSize)
	}

	if p.Lifetime == 0 {
		r.Lifetime = defaultLifetime
	} else if p.Lifetime < time.Second || p.Lifetime > maxLifetime {
		fault("Lifetime", "is %v; it is between 1s and 7 days", p.Lifetime)
	}

	if p.Checksum != "" {
		if size, ok := digests[p.Checksum]; !ok {
			fault("Checksum", "is %q; S3 has %s", p.Checksum, algorithms())
		} else if r.digest = size; !slices.Contains(formChecksums, p.Checksum) {
			r.formless = fmt.Sprintf("S3 takes no %s checksum in a form", p.Checksum)
		}
	}

	for i, name := range p.Metadata {
		r.Metadata[i] = strings.ToLower(name)
		switch {
		case !isName(name):
			fault("Metadata", "has %q; names are made of letters, digits, \"-\", \"_\" and \".\"", name)
		case strings.HasPrefix(r.Metadata[i], "x-amz-meta-"):
			fault("Metadata", "has %q; leave out x-amz-meta-", name)
		case r.Metadata[i] == stampName:
			fault("Metadata", "has %q, which is taken", name)
		case slices.Contains(r.Metadata[:i], r.Metadata[i]):
			fault("Metadata", "has %q twice", name)
		}
	}

	for _, name := range slices.Sorted(maps.Keys(p.Headers)) {
		if err := r.addHeader(name, p.Headers[name]); err != nil {
			fault("Headers", "has %q: %w", name, err)
		}
	}
	slices.SortFunc(r.headers, byName)
	r.clientHeaders = slices.Clone(r.headers)
	for i, h := range r.clientHeaders {
		if !strings.HasPrefix(h.Name, "x-amz-") {
			r.clientHeaders[i].Name = http.CanonicalHeaderKey(h.Name)
		}
	}
	size := 0
	for _, h := range r.headers {
		if slices.Contains(observed, h.Name) {
			r.stamped = append(r.stamped, stamp.Header(h))
			size += len(h.Value)
		}
	}
	if size > maxStampedSize {
		fault("Headers", "has %d bytes in what each object's metadata repeats, sealed (%s); at most %d fit", size, strings.Join(observed, ", "), maxStampedSize)
	}
	return r, errors.Join(faults...)
}

func (r *rules) addHeader(name, value string) error {
	if strings.EqualFold(name, "Content-Disposition") {
		if value != "attachment" && value != "inline" {
			return fmt.Errorf(`its value is %q; it is "attachment" or "inline", and the file name is added`, value)
		}
		r.inline = value == "inline"
		return nil
	}
	if value == "" || !isPrintable(value) {
		return errors.New("its value is not printable ASCII without outer spaces")
	}
	field, formValue, err := objectheader.FormField(name, value)
	if err != nil {
		return err
	}
	lower := strings.ToLower(name)
	if slices.ContainsFunc(r.headers, func(h sigv4.Pair) bool { return h.Name == lower }) {
		return errors.New("it is there in another letter case, too")
	}
	r.headers = append(r.headers, sigv4.Pair{Name: lower, Value: value})
	switch r.fields = append(r.fields, postpolicy.Field{Name: field, Value: formValue}); {
	case field == "":
		r.formless = fmt.Sprintf("S3 documents no form field for the header %s", name)
	case strings.Contains(formValue, "$"):
		r.formless = fmt.Sprintf("a form cannot hold the dollar sign in the header %s", name)
	}
	return nil
}

func algorithms() string {
	var names []string
	for algorithm := range digests {
		names = append(names, string(algorithm))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func checksumHeader(algorithm string) string { return "x-amz-checksum-" + strings.ToLower(algorithm) }

// digests holds the size in bytes of the checksum of each algorithm that S3 takes.
var digests = map[types.ChecksumAlgorithm]int{
	types.ChecksumAlgorithmCrc32:     4,
	types.ChecksumAlgorithmCrc32c:    4,
	types.ChecksumAlgorithmCrc64nvme: 8,
	types.ChecksumAlgorithmSha1:      20,
	types.ChecksumAlgorithmSha256:    32,
	types.ChecksumAlgorithmSha512:    64,
	types.ChecksumAlgorithmMd5:       16,
	types.ChecksumAlgorithmXxhash3:   8,
	types.ChecksumAlgorithmXxhash64:  8,
	types.ChecksumAlgorithmXxhash128: 16,
}

// formChecksums holds the algorithms that S3 documents for forms.
var formChecksums = []types.ChecksumAlgorithm{
	types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c, types.ChecksumAlgorithmSha1, types.ChecksumAlgorithmSha256,
}
