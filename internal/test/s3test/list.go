package s3test

import (
	"cmp"
	"encoding/xml"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

type listing struct {
	XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name, Prefix          string
	Delimiter, StartAfter string `xml:",omitempty"`
	ContinuationToken     string `xml:",omitempty"`
	EncodingType          string `xml:",omitempty"`
	KeyCount, MaxKeys     int
	IsTruncated           bool
	NextContinuationToken string `xml:",omitempty"`
	Contents              []listedObject
	CommonPrefixes        []listedPrefix
}

type listedObject struct {
	Key, LastModified, ETag string
	ChecksumAlgorithm       string
	ChecksumType            string
	Size                    int64
	StorageClass            string
}

type listedPrefix struct{ Prefix string }

// listObjects serves ListObjectsV2. A continuation token is the last key or
// common prefix of the previous page.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
func (s *Server) listObjects(w http.ResponseWriter, r *request) error {
	l := listing{
		Name: r.bucket, MaxKeys: 1000,
		Prefix: r.query.Get("prefix"), Delimiter: r.query.Get("delimiter"),
		StartAfter:        r.query.Get("start-after"),
		ContinuationToken: r.query.Get("continuation-token"),
	}
	encode, err := r.keyEncoding()
	if err != nil {
		return err
	}
	l.EncodingType = r.query.Get("encoding-type")
	if r.query.Has("max-keys") {
		n, err := strconv.Atoi(r.query.Get("max-keys"))
		if err != nil || n < 0 {
			return invalidArgument("Provided max-keys not an integer or within integer range",
				"max-keys", r.query.Get("max-keys"))
		}
		l.MaxKeys = min(n, 1000)
	}
	objects := make(map[string]*Object)
	s.mu.RLock()
	for key := range s.buckets[r.bucket] {
		if o := s.buckets[r.bucket].current(key); o != nil {
			objects[key] = o
		}
	}
	s.mu.RUnlock()
	after, last := max(l.StartAfter, l.ContinuationToken), ""
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		if !strings.HasPrefix(key, l.Prefix) {
			continue
		}
		entry, common := key, false
		if l.Delimiter != "" {
			if i := strings.Index(key[len(l.Prefix):], l.Delimiter); i >= 0 {
				entry, common = key[:len(l.Prefix)+i+len(l.Delimiter)], true
			}
		}
		if entry <= after || common && entry == last {
			continue
		}
		if l.KeyCount == l.MaxKeys {
			l.IsTruncated = l.MaxKeys > 0
			break
		}
		last = entry
		l.KeyCount++
		if common {
			l.CommonPrefixes = append(l.CommonPrefixes, listedPrefix{encode(entry)})
			continue
		}
		o := objects[key]
		l.Contents = append(l.Contents, listedObject{
			Key: encode(key), LastModified: o.LastModified.Format(time.RFC3339), ETag: o.ETag,
			Size:              o.Size(),
			StorageClass:      cmp.Or(o.Header.Get("X-Amz-Storage-Class"), "STANDARD"),
			ChecksumAlgorithm: o.ChecksumAlgorithm, ChecksumType: o.ChecksumType,
		})
	}
	if l.IsTruncated {
		l.NextContinuationToken = last
	}
	l.Prefix, l.Delimiter, l.StartAfter = encode(l.Prefix), encode(l.Delimiter),
		encode(l.StartAfter)
	writeXML(w, http.StatusOK, l)
	return nil
}

// keyEncoding returns the function that encodes keys for the response. Without
// an encoding, encoding/xml replaces characters that XML does not allow.
func (r *request) keyEncoding() (func(string) string, error) {
	switch encoding := r.query.Get("encoding-type"); {
	case !r.query.Has("encoding-type"):
		return func(key string) string { return key }, nil
	case encoding == "url":
		return func(key string) string {
			return strings.ReplaceAll(url.QueryEscape(key), "%2F", "/")
		}, nil
	default:
		return nil, invalidArgument("Invalid Encoding Method specified in Request",
			"encoding-type", encoding)
	}
}
