package s3test

import (
	"cmp"
	"crypto/rand"
	"net/http"
	"slices"
)

// A bucket holds the versions of its objects by key, the oldest first. Without
// versioning, a key has at most one version.
type bucket map[string][]*Object

// current returns the version that a request without a version ID finds. It
// returns nil for a missing object or a delete marker.
func (b bucket) current(key string) *Object {
	versions := b[key]
	if len(versions) == 0 || versions[len(versions)-1].DeleteMarker {
		return nil
	}
	return versions[len(versions)-1]
}

// WithVersioning creates all buckets with versioning, so that no version has
// the ID "null".
func WithVersioning() Option {
	return func(s *Server) { s.versioned = true }
}

// Versions returns all versions under the key, including delete markers, the
// newest first. Callers must not change their slices and maps.
func (s *Server) Versions(bucket, key string) []Object {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var versions []Object
	for _, o := range slices.Backward(s.buckets[bucket][key]) {
		versions = append(versions, *o)
	}
	return versions
}

// add stores a new object as the current version, for the request of this
// number. The caller must hold the lock, and must not have shared the object.
func (s *Server) add(by int, bucket, key string, o *Object) {
	s.applyQuirks(o)
	if !s.versioned {
		s.change(by, bucket, key, []*Object{o})
		return
	}
	o.VersionID = (rand.Text() + rand.Text())[:versionIDLength]
	s.change(by, bucket, key, append(s.buckets[bucket][key], o))
}

// change replaces all versions of the key and records the change. The caller
// must hold the lock and must not change the elements of versions afterwards.
func (s *Server) change(by int, bucket, key string, versions []*Object) {
	if len(versions) == 0 {
		delete(s.buckets[bucket], key)
	} else {
		s.buckets[bucket][key] = versions
	}
	if moment := s.next(); s.recording {
		s.changes = append(s.changes, change{moment, by, bucket, key, versions})
	}
}

const versionIDLength = 32

// version returns the version ID of the query, or "".
func (r *request) version() (string, error) {
	id := r.query.Get("versionId")
	if r.query.Has("versionId") && id == "" {
		return "", invalidArgument("Version id cannot be the empty string", "versionId", "")
	}
	return id, checkVersionID(id)
}

func checkVersionID(id string) error {
	if id != "" && id != "null" && len(id) != versionIDLength {
		return invalidArgument("Invalid version id specified", "versionId", id)
	}
	return nil
}

// find returns the object that the request addresses, and sets the headers for
// its version. For a delete marker, it returns an error.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/DeleteMarker.html
func (s *Server) find(r *request, header http.Header) (*Object, error) {
	version, err := r.version()
	if err != nil {
		return nil, err
	}
	o, err := s.lookup(r.bucket, r.key, version)
	if err != nil {
		return nil, err
	}
	if o.VersionID != "" {
		header.Set("X-Amz-Version-Id", o.VersionID)
	}
	if !o.DeleteMarker {
		return o, nil
	}
	header.Set("X-Amz-Delete-Marker", "true")
	if version == "" {
		return nil, noSuchKey(r.key)
	}
	header.Set("Allow", http.MethodDelete)
	return nil, fail(http.StatusMethodNotAllowed, "MethodNotAllowed",
		"The specified method is not allowed against this resource.", "Method", r.Method,
		"ResourceType", "DeleteMarker")
}

// lookup returns the version with this ID, or the newest without an ID. The
// version can be a delete marker.
func (s *Server) lookup(bucket, key, version string) (*Object, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	versions := s.buckets[bucket][key]
	for _, o := range slices.Backward(versions) {
		if version == "" || version == cmp.Or(o.VersionID, "null") {
			return o, nil
		}
	}
	if version == "" {
		return nil, noSuchKey(key)
	}
	return nil, fail(http.StatusNotFound, "NoSuchVersion", "The specified version does not exist.",
		"Key", key, "VersionId", version)
}

// deleteObject serves DeleteObject. With versioning, it adds a delete marker
// unless the request has a version ID.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html
func (s *Server) deleteObject(w http.ResponseWriter, r *request) error {
	version, err := r.version()
	if err != nil {
		return err
	}
	match := r.Header.Get("If-Match")
	if match != "" && version != "" {
		return notImplemented("If-Match on a version") // S3 compares it with the current version.
	}
	if err := r.rejectHeaders("x-amz-expected-bucket-owner", "x-amz-mfa", "x-amz-if-match-size",
		"x-amz-if-match-last-modified-time", "x-amz-bypass-governance-retention"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[r.bucket]
	current := b.current(r.key)
	if match != "" && (current == nil || !s.matches(current, match)) {
		return preconditionFailed("If-Match")
	}
	switch {
	case version != "":
		w.Header().Set("X-Amz-Version-Id", version)
		s.change(r.record.Number, r.bucket, r.key,
			slices.DeleteFunc(slices.Clone(b[r.key]), func(o *Object) bool {
				found := version == cmp.Or(o.VersionID, "null")
				if found && o.DeleteMarker {
					w.Header().Set("X-Amz-Delete-Marker", "true")
				}
				return found
			}))
	case s.versioned:
		marker := &Object{DeleteMarker: true, LastModified: now()}
		s.add(r.record.Number, r.bucket, r.key, marker)
		w.Header().Set("X-Amz-Version-Id", marker.VersionID)
		w.Header().Set("X-Amz-Delete-Marker", "true")
	default:
		s.change(r.record.Number, r.bucket, r.key, nil)
	}
	if current != nil && b.current(r.key) != current {
		s.conflict(r.bucket, r.key)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
