package presign

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/sigv4"
)

// maxAhead is how many parts are signed beyond those that have arrived, if the size of the file is not known.
const maxAhead = 100

// overflow is the Violation of an upload that is aborted, since more has arrived than it may have.
type overflow struct{ *Violation }

func (o overflow) Unwrap() error { return o.Violation }

// Part is one part of a Multipart.
type Part struct {
	Number   int    `json:"number"`             // from 1 to 10,000
	Size     int64  `json:"size"`               // in bytes; 0 is unknown
	ETag     string `json:"etag,omitempty"`     // as the store answered, with or without its quotes
	Checksum string `json:"checksum,omitempty"` // of this part alone, by Policy.Checksum's algorithm, in base64
}

// is reports whether what the client knows of a part is so.
func (p Part) is(arrived objectstore.Part) bool {
	return (p.ETag == "" || strings.Trim(p.ETag, `"`) == strings.Trim(arrived.ETag, `"`)) &&
		(p.Size == 0 || p.Size == arrived.Size) &&
		(p.Checksum == "" || arrived.Checksum == "" || p.Checksum == arrived.Checksum)
}

// SignPart grants one PUT of a part: of part.Size bytes, or as many as follow from the size of the file, and of
// part.Checksum, where these are known. The ETag of the store's answer is what Complete wants to know of it.
//
// It makes no request if the size of the file is known. Otherwise it looks at what has arrived; if that is more than
// the upload may have, it aborts the upload and returns a Violation. Nor does it then sign more than 100 parts ahead.
func (m *Multipart) SignPart(ctx context.Context, part Part) (*Grant, error) {
	urls, expires, err := m.sign(ctx, []Part{part})
	if err != nil {
		return nil, err
	}
	grant := &Grant{Method: http.MethodPut, URL: urls[0], Key: m.Key, Expires: expires}
	if part.Checksum != "" {
		grant.Headers = map[string]string{m.checksumHeader(): part.Checksum}
	}
	return grant, nil
}

// SignParts returns the URLs of the parts from first to last, both included, like SignPart: up to 10,000 at once if the size
// of the file is known, else up to 100 beyond those that have arrived. They take a PUT without any header but
// Content-Length.
func (m *Multipart) SignParts(ctx context.Context, first, last int) ([]string, error) {
	if first < 1 || last > maxParts || first > last {
		return nil, violation("part", "is from %d to %d; an upload has parts from 1 to at most %d, and the first comes first",
			first, last, maxParts)
	}
	wanted := make([]Part, 0, last-first+1)
	for number := first; number <= last; number++ {
		wanted = append(wanted, Part{Number: number})
	}
	urls, _, err := m.sign(ctx, wanted)
	return urls, err
}

// sign returns the URLs of parts, and when they expire.
func (m *Multipart) sign(ctx context.Context, wanted []Part) (urls []string, expires time.Time, err error) {
	if err := m.alive(); err != nil {
		return nil, expires, err
	}
	last := 0
	var violations []error
	for i, part := range wanted {
		var err error
		if wanted[i].Size, err = m.admitPart(part); err != nil {
			violations = append(violations, err)
		}
		last = max(last, part.Number)
	}
	if err := errors.Join(violations...); err != nil {
		return nil, expires, err
	}
	if !m.sized() {
		if err := m.look(ctx, last); err != nil {
			return nil, expires, err
		}
	}
	s := m.signer
	key, now, lifetime, err := s.signingKey(ctx, m.lifetime)
	if err != nil {
		return nil, expires, err
	}
	now = wholeSecond(now)
	request := sigv4.Request{
		Method: http.MethodPut, Scheme: s.endpoint.Scheme, Host: s.endpoint.Host, Base: s.endpoint.Base, Key: m.Key,
		Expires: int(lifetime / time.Second),
	}
	const partNumber = "&partNumber="
	query, behind := []byte(partNumber), m.query()
	urls = make([]string, len(wanted))
	var series *sigv4.Series // which goes on for as long as parts differ in their numbers alone
	for i, part := range wanted {
		if i == 0 || part.Size != wanted[i-1].Size || part.Checksum != wanted[i-1].Checksum {
			request.Headers = m.headers(part)
			series = key.Series(&request, now)
		}
		query = strconv.AppendInt(query[:len(partNumber)], int64(part.Number), 10)
		query = append(query, behind...)
		urls[i] = series.Presign(query)
	}
	return urls, now.Add(lifetime), nil
}

// headers returns those that are signed of a part.
func (m *Multipart) headers(part Part) (headers []sigv4.Pair) {
	if part.Size != 0 {
		headers = append(headers, sigv4.Pair{Name: "content-length", Value: strconv.FormatInt(part.Size, 10)})
	}
	if part.Checksum != "" {
		headers = append(headers, sigv4.Pair{Name: m.checksumHeader(), Value: part.Checksum})
	}
	return headers
}

// query returns the parameters of a part's URL behind its number. Who pays goes there too, since clients such as Uppy
// send a part without any header.
func (m *Multipart) query() []byte {
	query := []sigv4.Pair{{Name: "uploadId", Value: m.store.ID}}
	for _, h := range m.signer.rules.headers {
		if h.Name == "x-amz-request-payer" {
			query = append(query, h)
		}
	}
	return sigv4.AppendQuery(nil, query)
}

// admitPart returns the size that a part has to have, or 0 if that is not known.
func (m *Multipart) admitPart(part Part) (int64, error) {
	smallest := int64(minPartSize)
	if m.sized() {
		smallest = m.PartSize
	}
	count := min(maxParts, divided(m.granted.MaxSize, smallest))
	if part.Number < 1 || int64(part.Number) > count {
		return 0, violation("part", "is %d; this upload has parts from 1 to %d", part.Number, count)
	}
	if part.Checksum != "" {
		digest, err := base64.StdEncoding.Strict().DecodeString(part.Checksum)
		if size := digests[types.ChecksumAlgorithm(m.algorithm())]; size == 0 {
			return 0, violation("checksum", "is not taken here")
		} else if err != nil || len(digest) != size || strings.ContainsAny(part.Checksum, "\r\n") {
			return 0, violation("checksum", "is not the part's %s digest of %d bytes in base64", m.algorithm(), size)
		}
	}
	if !m.sized() {
		if most := min(m.granted.MaxSize, maxPartSize); part.Size < 0 || part.Size > most {
			return 0, violation("size", "is %d bytes; a part has at most %d", part.Size, most)
		}
		return part.Size, nil
	}
	size := min(m.PartSize, m.granted.MaxSize-int64(part.Number-1)*m.PartSize)
	if part.Size != 0 && part.Size != size {
		return 0, violation("size", "is %d bytes; part %d has %d", part.Size, part.Number, size)
	}
	return size, nil
}

// sized reports whether the size of the file is known.
func (m *Multipart) sized() bool { return m.granted.MinSize == m.granted.MaxSize }

func (m *Multipart) algorithm() string {
	algorithm, _, _ := strings.Cut(m.granted.Checksum, " ")
	return algorithm
}

// checksumHeader is of the algorithm that the upload began with, whatever the Policy has become.
func (m *Multipart) checksumHeader() string { return checksumHeader(m.algorithm()) }

// divided returns a / b, rounded up.
func divided(a, b int64) int64 { return (a + b - 1) / b }

// look finds out whether an upload of unknown size may go on up to this part. Each signing looks, since a client is
// free to ask for any numbers, of any replica.
func (m *Multipart) look(ctx context.Context, last int) error {
	arrived, err := m.arrived(ctx)
	if err != nil {
		return storeError(err)
	}
	if size := sum(arrived); size > m.granted.MaxSize {
		return errors.Join(overflow{m.sizeViolation(size)}, m.giveUp(ctx))
	}
	if last > len(arrived)+maxAhead {
		return violation("part", "is %d, and %d have arrived; at most %d are signed ahead where the size is not known",
			last, len(arrived), maxAhead)
	}
	return nil
}

func (m *Multipart) sizeViolation(size int64) *Violation {
	return violation("size", "is %d bytes; granted were %s", size, span(m.granted.MinSize, m.granted.MaxSize))
}

// arrived returns all parts that the store has, in order.
func (m *Multipart) arrived(ctx context.Context) (all []objectstore.Part, err error) {
	for after := 0; ; {
		bounded, cancel := context.WithTimeout(ctx, backendTime)
		page, next, err := m.signer.store.Parts(bounded, m.store, after, m.algorithm())
		cancel()
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if after = next; after == 0 {
			return all, nil
		}
	}
}

func sum(parts []objectstore.Part) (size int64) {
	for _, p := range parts {
		size += p.Size
	}
	return size
}

// ListParts returns the parts that have arrived, by number, however many they are.
func (m *Multipart) ListParts(ctx context.Context) ([]Part, error) {
	if err := m.alive(); err != nil {
		return nil, err
	}
	arrived, err := m.arrived(ctx)
	if err != nil {
		return nil, storeError(err)
	}
	list := make([]Part, len(arrived))
	for i, p := range arrived {
		list[i] = Part(p)
	}
	return list, nil
}
