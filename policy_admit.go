package presign

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/s3presign/presign/internal/objectkey"
	"github.com/s3presign/presign/internal/mediatype"
	"github.com/s3presign/presign/internal/sigv4"
)

// admit holds an upload against the rules and fills in what they decide: file name, type, size bounds, lifetime. All
// violations come joined. What was admitted once is admitted again, unchanged. Metadata must be of the names given, if
// there are any.
func (r *rules) admit(u Upload, names []string) (Upload, error) {
	var violations []error
	violate := func(field, format string, args ...any) {
		violations = append(violations, violation(field, format, args...))
	}

	if u.Key != "" {
		if !strings.HasPrefix(u.Key, r.Prefix) {
			violate("key", "is %q; it begins with %q", u.Key, r.Prefix)
		} else if err := checkKey(u.Key); err != nil {
			violate("key", "%v", err)
		}
		if u.Filename == "" {
			u.Filename = u.Key[strings.LastIndexByte(u.Key, '/')+1:]
		}
	}
	if err := objectkey.Check(u.Filename); err != nil {
		violate("filename", "%v", err)
	} else if t, err := r.admitType(u.Filename, u.Type); err != nil {
		violations = append(violations, err)
	} else {
		u.Type = t
	}

	// A bound that is out of range is reported once, and the ones that it would mislead are not.
	switch minSize, maxSize := max(u.MinSize, r.MinSize), u.MaxSize; {
	case u.MinSize != 0 && u.MinSize < r.MinSize:
		violate("min_size", "is %d bytes; at least %d are required", u.MinSize, r.MinSize)
	case u.MaxSize < 0 || u.MaxSize > r.MaxSize:
		violate("max_size", "is %d bytes; at most %d are allowed", u.MaxSize, r.MaxSize)
	default:
		if maxSize == 0 {
			maxSize = r.MaxSize
		}
		switch {
		case u.Size > maxSize:
			violate("size", "is %d bytes; at most %d are allowed", u.Size, maxSize)
		case minSize > maxSize:
			violate("min_size", "is %d bytes; at most %d are allowed", minSize, maxSize)
		case u.Size != 0 && u.Size < minSize:
			violate("size", "is %d bytes; at least %d are required", u.Size, minSize)
		case u.Size != 0:
			u.MinSize, u.MaxSize = u.Size, u.Size
		default:
			u.MinSize, u.MaxSize = minSize, maxSize
		}
	}

	switch {
	case u.Lifetime == 0:
		u.Lifetime = r.Lifetime
	case u.Lifetime < time.Second || u.Lifetime > r.Lifetime:
		violate("expires_in", "is %v seconds; it is between 1 and %v", u.Lifetime.Seconds(), r.Lifetime.Seconds())
	}

	if digest, err := base64.StdEncoding.Strict().DecodeString(u.Checksum); r.Checksum == "" && u.Checksum != "" {
		violate("checksum", "is not taken here")
	} else if r.Checksum != "" && (err != nil || len(digest) != r.digest || strings.ContainsAny(u.Checksum, "\r\n")) {
		violate("checksum", "is required: the file's %s digest of %d bytes in base64", r.Checksum, r.digest)
	}

	metadata, err := admitMetadata(u.Metadata, names)
	if err != nil {
		violations = append(violations, err)
	}
	u.Metadata = metadata

	if len(u.Owner) > maxOwnerSize {
		violate("owner", "has %d bytes; at most %d are taken", len(u.Owner), maxOwnerSize)
	}
	if u.Redirect != "" {
		if target, err := url.Parse(u.Redirect); err != nil || target.Scheme != "https" && target.Scheme != "http" || target.Host == "" {
			violate("redirect", "is not an absolute URL of https or http, which S3 would ignore")
		}
	}
	return u, errors.Join(violations...)
}

// admitType settles the type of a file. Of the names that one format has it takes the first that the policy admits, for
// systems differ in the one that they send.
func (r *rules) admitType(name, declared string) (string, error) {
	violation := func(format string, args ...any) (string, error) {
		return "", &Violation{Field: "type", Detail: fmt.Sprintf(format, args...)}
	}
	const unknown = "application/octet-stream"
	if declared == "" {
		declared = unknown
	}
	declared, err := mediatype.Parse(declared)
	switch {
	case err != nil:
		return violation("%v", err)
	case mediatype.Never(declared):
		return violation("is %q, which is never granted", declared)
	}

	// The policy's own name of what was declared comes first, then the name's extension decides.
	candidates := append(make([]string, 0, 16), declared)
	if !slices.Contains(r.Types, declared) {
		if i := slices.IndexFunc(r.exact, func(t string) bool { return mediatype.Same(t, declared) }); i >= 0 {
			candidates[0] = r.exact[i]
		}
	}
	if byExtension := mediatype.ByExtension(strings.TrimRight(name, ". ")); len(byExtension) > 0 { // as systems that drop these read it
		switch {
		case !mediatype.Same(declared, unknown):
			if !slices.ContainsFunc(byExtension, func(t string) bool { return mediatype.Same(t, declared) }) {
				return violation("is %q, but the file's name says %q", declared, byExtension[0])
			}
			candidates = append(candidates, byExtension...)
		case slices.Contains(r.Types, candidates[0]):
			candidates = append(byExtension[:len(byExtension):len(byExtension)], candidates[0])
		default:
			candidates = byExtension
		}
	}
	for _, t := range candidates {
		for _, pattern := range r.Types {
			if mediatype.Match(pattern, t) {
				return t, nil
			}
		}
	}
	hint, kind := "", candidates[0][:strings.IndexByte(candidates[0], '/')]
	if mediatype.Active(candidates[0]) && (slices.Contains(r.Types, "*/*") || slices.Contains(r.Types, kind+"/*")) {
		hint = "; browsers run it, so that it has to be named in full"
	}
	return violation("is %q; allowed: %s%s", candidates[0], strings.Join(r.Types, ", "), hint)
}

// admitMetadata returns the metadata with names in lower case, as S3 keeps them.
func admitMetadata(metadata map[string]string, names []string) (map[string]string, error) {
	if len(metadata) == 0 {
		return nil, nil
	}
	if most := max(len(names), maxMetadataNames); names != nil && len(metadata) > most {
		return nil, &Violation{Field: "metadata", Detail: fmt.Sprintf("has %d names; at most %d are taken", len(metadata), most)}
	}
	var violations []error
	violate := func(name, format string, args ...any) {
		violations = append(violations, &Violation{Field: "metadata[" + excerpt(name) + "]", Detail: fmt.Sprintf(format, args...)})
	}
	admitted, cloned, size := metadata, false, 0
	for _, m := range pairs(metadata) {
		name, value, lower := m.Name, m.Value, strings.ToLower(m.Name)
		size += len(name) + len(value)
		_, there := admitted[lower]
		switch {
		case names != nil && !slices.Contains(names, lower):
			violate(name, "is not among the names that are taken")
		case !isName(lower) || lower == stampName:
			violate(name, "is not a name that metadata can have")
		case there && name != lower:
			violate(name, "is there in another letter case, too")
		case value == "" || !isPrintable(value):
			violate(name, "is not printable ASCII without outer spaces; leave it out if it is empty")
		case name != lower:
			if !cloned {
				admitted, cloned = maps.Clone(admitted), true
			}
			delete(admitted, name)
			admitted[lower] = value
		}
	}
	if size > maxMetadataSize {
		violations = append(violations, &Violation{Field: "metadata", Detail: fmt.Sprintf("has %d bytes; at most %d are taken", size, maxMetadataSize)})
	}
	return admitted, errors.Join(violations...)
}

// checkKey reports what makes a key (or the beginning of one) unfit. Clients normalise dot segments, and some stores
// also doubled slashes, after which nothing matches its signature.
//
// See https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html.
func checkKey(key string) error {
	switch {
	case len(key) > maxKeySize:
		return fmt.Errorf("has %d bytes; S3 takes %d", len(key), maxKeySize)
	case !utf8.ValidString(key):
		return errors.New("is not valid UTF-8")
	case key[0] == '/':
		return fmt.Errorf("is %q; it does not begin with a slash", key)
	case strings.Contains(key, "//"):
		return fmt.Errorf("is %q; it has no doubled slash", key)
	case strings.ContainsFunc(key, func(c rune) bool { return unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) || c == '\\' }):
		return fmt.Errorf("is %q; it has no control character and no backslash", key)
	}
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "." || segment == ".." {
			return fmt.Errorf("is %q; it has no dot segment", key)
		}
	}
	return nil
}

func isName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.')
	})
}

// isPrintable reports whether s can be a header's value, and stays as it is on the way.
func isPrintable(s string) bool {
	return strings.Trim(s, " ") == s && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' })
}

// excerpt returns as much of what a client sent as an answer repeats, without anything that does not print.
func excerpt(s string) string {
	const most = 40
	quoted := strconv.QuoteToASCII(s)
	if quoted = quoted[1 : len(quoted)-1]; len(quoted) > most {
		return quoted[:most] + "…"
	}
	return quoted
}

// pairs returns what is in m, in the order of the names.
func pairs(m map[string]string) []sigv4.Pair {
	if len(m) == 0 {
		return nil
	}
	pairs := make([]sigv4.Pair, 0, len(m))
	for name, value := range m {
		pairs = append(pairs, sigv4.Pair{Name: name, Value: value})
	}
	slices.SortFunc(pairs, byName)
	return pairs
}

func byName(a, b sigv4.Pair) int { return strings.Compare(a.Name, b.Name) }
