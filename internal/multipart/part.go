package multipart

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/s3presign/presign/internal/checksum"
	"github.com/s3presign/presign/internal/completion"
	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/rules"
	"github.com/s3presign/presign/internal/s3limit"
	"github.com/s3presign/presign/internal/sigv4"
)

// A Part is one part of an upload. It has the exported fields of presign.Part.
type Part struct {
	Number   int
	Size     int64
	ETag     string
	Checksum string
}

// matches reports whether the values that the client sent for a part agree with
// the store.
func (p Part) matches(stored objectstore.Part) bool {
	return (p.ETag == "" || strings.Trim(p.ETag, `"`) == strings.Trim(stored.ETag, `"`)) &&
		(p.Size == 0 || p.Size == stored.Size) &&
		(p.Checksum == "" || stored.Checksum == "" || p.Checksum == stored.Checksum)
}

// ChecksumHeader returns the name of the header for the checksum of a part.
func (m *Upload) ChecksumHeader() string { return checksum.Header(m.algorithm()) }

// Sign returns the URLs of parts and the time at which they expire. It sets the
// Size of each element of parts to the required size. It makes a request to the
// store only if the size of the file is not known.
func (m *Upload) Sign(
	ctx context.Context, parts []Part,
) (urls []string, expires time.Time, err error) {
	if err := m.checkExpiry(); err != nil {
		return nil, expires, err
	}
	if v := m.checkBareParts(parts); v != nil {
		return nil, expires, v
	}
	last, err := m.checkParts(parts)
	if err != nil {
		return nil, expires, err
	}
	if !m.isSized() {
		if err := m.checkProgress(ctx, last, len(parts)); err != nil {
			return nil, expires, err
		}
	}
	key, now, lifetime, err := m.engine.Grants.SigningKey(ctx, m.lifetime)
	if err != nil {
		return nil, expires, err
	}
	now = now.UTC().Truncate(time.Second)
	return m.presign(key, parts, now, lifetime), now.Add(lifetime), nil
}

// presign signs the URL of each part. URLs that differ in their number alone
// share most of their canonical request, which is hashed once.
func (m *Upload) presign(
	key *sigv4.Key, parts []Part, now time.Time, lifetime time.Duration,
) []string {
	endpoint := &m.engine.Grants.Endpoint
	request := sigv4.Request{
		Method: http.MethodPut, Scheme: endpoint.Scheme, Host: endpoint.Host,
		Base: endpoint.Base, Key: m.Key,
		Expires: int(lifetime / time.Second),
	}
	const partNumber = "&partNumber="
	query, suffix := []byte(partNumber), m.querySuffix()
	urls := make([]string, len(parts))
	var series *sigv4.Series
	for i, part := range parts {
		if i == 0 || part.Size != parts[i-1].Size || part.Checksum != parts[i-1].Checksum {
			request.Headers = m.partHeaders(part)
			series = key.Series(&request, now)
		}
		query = strconv.AppendInt(query[:len(partNumber)], int64(part.Number), 10)
		query = append(query, suffix...)
		urls[i] = series.Presign(query)
	}
	return urls
}

// partHeaders returns the headers of a part that are signed.
func (m *Upload) partHeaders(part Part) (headers []rules.Pair) {
	if part.Size != 0 {
		headers = append(headers, rules.Pair{Name: "content-length", Value: strconv.FormatInt(part.Size, 10)})
	}
	if part.Checksum != "" {
		headers = append(headers, rules.Pair{Name: m.ChecksumHeader(), Value: part.Checksum})
	}
	return headers
}

// querySuffix returns the parameters of a part's URL that follow its number.
// They include x-amz-request-payer, since clients such as Uppy send a part
// without any header.
func (m *Upload) querySuffix() []byte {
	query := []rules.Pair{{Name: "uploadId", Value: m.store.ID}}
	for _, h := range m.engine.Rules.UploadHeaders {
		if h.Name == "x-amz-request-payer" {
			query = append(query, h)
		}
	}
	return sigv4.AppendQuery(nil, query)
}

// checkParts sets the sizes that parts must have, and returns the largest
// number.
func (m *Upload) checkParts(parts []Part) (last int, err error) {
	var faults []error
	for i, part := range parts {
		size, v := m.checkPart(part)
		if v != nil {
			faults = append(faults, v)
		}
		parts[i].Size = size
		last = max(last, part.Number)
	}
	return last, errors.Join(faults...)
}

// checkPart returns the size that a part must have, or 0 if that is not known.
func (m *Upload) checkPart(part Part) (int64, *rules.Violation) {
	smallest := int64(s3limit.PartSize)
	if m.isSized() {
		smallest = m.PartSize
	}
	count := min(s3limit.Parts, divideUp(m.granted.MaxSize, smallest))
	if part.Number < 1 || int64(part.Number) > count {
		v := rules.Violate("part", rules.CodeInvalid,
			"must be between 1 and %d in this upload, got %d", count, part.Number)
		v.Min, v.Max = 1, count
		return 0, v
	}
	if algorithm := types.ChecksumAlgorithm(m.algorithm()); part.Checksum != "" && algorithm == "" {
		return 0, rules.Violate("checksum", rules.CodeNotAllowed,
			"must not be set: the upload has no checksum algorithm")
	} else if part.Checksum != "" && !checksum.Valid(algorithm, part.Checksum) {
		return 0, rules.Violate("checksum", rules.CodeInvalid,
			"must be the part's %s checksum of %d bytes in base64",
			algorithm, checksum.Size(algorithm))
	}
	if !m.isSized() {
		if most := min(m.granted.MaxSize, s3limit.RequestSize); part.Size < 0 || part.Size > most {
			v := rules.Violate("size", rules.CodeTooLarge,
				"must be at most %d bytes in a part, got %d", most, part.Size)
			v.Max = most
			return 0, v
		}
		return part.Size, nil
	}
	size := min(m.PartSize, m.granted.MaxSize-int64(part.Number-1)*m.PartSize)
	if part.Size != 0 && part.Size != size {
		v := rules.Violate("size", rules.CodeInvalid, "must be %d bytes in part %d, got %d",
			size, part.Number, part.Size)
		v.Min, v.Max = size, size
		return 0, v
	}
	return size, nil
}

const noBareParts = "the store rejects parts without their own checksum, according to its profile"

// checkBareParts returns one violation if the store would reject any of the
// parts because it has no checksum.
func (m *Upload) checkBareParts(parts []Part) *rules.Violation {
	algorithm := m.algorithm()
	if !m.engine.PartChecksums || algorithm == "" ||
		!slices.ContainsFunc(parts, func(p Part) bool { return p.Checksum == "" }) {
		return nil
	}
	return rules.Violate("checksum", rules.CodeRequired,
		"must be set to the %s checksum of each part: %s", algorithm, noBareParts)
}

// CheckBareParts returns a violation if the store would reject the parts of
// every client that sends no checksums of parts. It makes no request.
func (e *Engine) CheckBareParts() *rules.Violation {
	if !e.PartChecksums || e.Rules.Checksum == "" {
		return nil
	}
	return rules.Violate("method", rules.CodeUnsupported,
		"must not be multipart for a client that sends no checksums of parts: %s", noBareParts)
}

// list returns all parts that the store has, in order. If the store has several
// parts of one number, list returns the named part, otherwise the latest.
func (m *Upload) list(ctx context.Context, named []Part) (all []objectstore.Part, err error) {
	byNumber := etags(named)
	for after := 0; ; {
		bounded, cancel := context.WithTimeout(ctx, completion.StoreTime)
		page, next, err := m.engine.Store.Parts(bounded, m.store, after, m.algorithm())
		cancel()
		if err != nil {
			return nil, err
		}
		// No number is on two pages. A client can replace a part any number of
		// times, so the replaced ones are dropped page by page.
		all = append(all, objectstore.MergeParts(page, byNumber)...)
		if after = next; after == 0 {
			return all, nil
		}
	}
}

// etags returns the ETags of parts by their numbers.
func etags(parts []Part) map[int]string {
	byNumber := make(map[int]string, len(parts))
	for _, p := range parts {
		byNumber[p.Number] = p.ETag
	}
	return byNumber
}

func total(parts []objectstore.Part) (size int64) {
	for _, p := range parts {
		size += p.Size
	}
	return size
}

// List returns the parts that the store has, by number.
func (m *Upload) List(ctx context.Context) ([]Part, error) {
	if err := m.checkExpiry(); err != nil {
		return nil, err
	}
	stored, err := m.list(ctx, nil)
	if err != nil {
		return nil, completion.StoreError(err)
	}
	parts := make([]Part, len(stored))
	for i, p := range stored {
		parts[i] = Part(p)
	}
	return parts, nil
}

// Numbers returns the parts from first to last, inclusive.
func Numbers(first, last int) ([]Part, *rules.Violation) {
	if first < 1 || last > s3limit.Parts || first > last {
		v := rules.Violate("part", rules.CodeInvalid,
			"must be a range within 1 to %d whose first part is not after its last, got %d to %d",
			s3limit.Parts, first, last)
		v.Min, v.Max = 1, s3limit.Parts
		return nil, v
	}
	parts := make([]Part, 0, last-first+1)
	for number := first; number <= last; number++ {
		parts = append(parts, Part{Number: number})
	}
	return parts, nil
}
