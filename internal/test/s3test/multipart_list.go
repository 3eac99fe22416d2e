package s3test

import (
	"cmp"
	"encoding/xml"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An uploadedPart is a part in the response to ListParts.
type uploadedPart struct {
	PartNumber   int
	LastModified string
	ETag         string
	Size         int64
	Checksum     []element
}

// listParts serves ListParts.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListParts.html
func (s *Server) listParts(w http.ResponseWriter, r *request) error {
	limit, err := r.pageSize("max-parts")
	if err != nil {
		return err
	}
	marker := 0
	if text := r.query.Get("part-number-marker"); text != "" {
		if marker, err = strconv.Atoi(text); err != nil || marker < 0 {
			return invalidArgument(
				"Argument part-number-marker must be an integer between 0 and 2147483647",
				"part-number-marker", text)
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	u, err := s.openUpload(r)
	if err != nil && s.has(ForgivesEndedUploads) {
		u, err = &multipartUpload{
			id: r.query.Get("uploadId"), bucket: r.bucket, key: r.key, object: new(Object),
		}, nil
	}
	if err != nil {
		return err
	}
	list := struct {
		XMLName              xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListPartsResult"`
		Bucket, Key          string
		UploadID             string `xml:"UploadId"`
		PartNumberMarker     int
		NextPartNumberMarker int
		MaxParts             int
		IsTruncated          bool
		StorageClass         string
		ChecksumAlgorithm    string `xml:",omitempty"`
		ChecksumType         string `xml:",omitempty"`
		Part                 []uploadedPart
	}{
		Bucket: u.bucket, Key: u.key, UploadID: u.id, PartNumberMarker: marker, MaxParts: limit,
		StorageClass:      cmp.Or(u.object.Header.Get("X-Amz-Storage-Class"), "STANDARD"),
		ChecksumAlgorithm: u.algorithm, ChecksumType: u.checksumType,
	}
	list.Part, list.IsTruncated = u.page(marker, limit)
	if n := len(list.Part); n > 0 {
		list.NextPartNumberMarker = list.Part[n-1].PartNumber
	}
	writeXML(w, http.StatusOK, list)
	return nil
}

// page returns at most limit parts after the marker, and reports whether there
// are more. It returns all replaced parts with the last number, even beyond the
// limit.
func (u *multipartUpload) page(marker, limit int) (parts []uploadedPart, truncated bool) {
	for _, number := range slices.Sorted(maps.Keys(u.parts)) {
		if number <= marker {
			continue
		}
		if len(parts) >= limit {
			return parts, limit > 0
		}
		for p := u.parts[number]; p != nil; p = p.replaced {
			parts = append(parts, uploadedPart{
				PartNumber: number, LastModified: p.modified.Format(time.RFC3339), ETag: p.etag,
				Size:     p.content.size(),
				Checksum: checksumElements(p.algorithm, p.checksum),
			})
		}
	}
	return parts, false
}

// pageSize returns the largest number of entries of a list.
func (r *request) pageSize(parameter string) (int, error) {
	text := r.query.Get(parameter)
	if !r.query.Has(parameter) {
		return maxPage, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, invalidArgument("Provided "+parameter+" not an integer or within integer range",
			parameter, text)
	}
	return min(n, maxPage), nil
}

// A listedUpload is an upload in the response to ListMultipartUploads.
type listedUpload struct {
	Key               string
	UploadID          string `xml:"UploadId"`
	StorageClass      string
	Initiated         string
	ChecksumAlgorithm string `xml:",omitempty"`
	ChecksumType      string `xml:",omitempty"`
}

// listUploads serves ListMultipartUploads.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html
func (s *Server) listUploads(w http.ResponseWriter, r *request) error {
	limit, err := r.pageSize("max-uploads")
	if err != nil {
		return err
	}
	list := struct {
		XMLName            xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListMultipartUploadsResult"`
		Bucket, Prefix     string
		KeyMarker          string
		UploadIDMarker     string `xml:"UploadIdMarker"`
		NextKeyMarker      string `xml:",omitempty"`
		NextUploadIDMarker string `xml:"NextUploadIdMarker,omitempty"`
		MaxUploads         int
		IsTruncated        bool
		Upload             []listedUpload
	}{
		Bucket: r.bucket, Prefix: r.query.Get("prefix"), MaxUploads: limit,
		KeyMarker: r.query.Get("key-marker"), UploadIDMarker: r.query.Get("upload-id-marker"),
	}
	s.mu.RLock()
	uploads := slices.Collect(maps.Values(s.uploads))
	uploads = slices.DeleteFunc(uploads, func(u *multipartUpload) bool {
		// Uploads of the key marker itself are listed after the ID marker.
		after := u.key > list.KeyMarker ||
			list.UploadIDMarker != "" && u.key == list.KeyMarker && u.id > list.UploadIDMarker
		return u.completed != nil || u.bucket != r.bucket ||
			!strings.HasPrefix(u.key, list.Prefix) || !after
	})
	s.mu.RUnlock()
	slices.SortFunc(uploads, func(a, b *multipartUpload) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.id, b.id))
	})
	if len(uploads) > limit {
		uploads, list.IsTruncated = uploads[:limit], limit > 0
	}
	for _, u := range uploads {
		if list.IsTruncated {
			list.NextKeyMarker, list.NextUploadIDMarker = u.key, u.id
		}
		list.Upload = append(list.Upload, listedUpload{
			Key: u.key, UploadID: u.id,
			StorageClass: cmp.Or(u.object.Header.Get("X-Amz-Storage-Class"), "STANDARD"),
			Initiated:    u.initiated.Format(time.RFC3339), ChecksumAlgorithm: u.algorithm,
			ChecksumType: u.checksumType,
		})
	}
	writeXML(w, http.StatusOK, list)
	return nil
}
