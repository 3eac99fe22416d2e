package multipart

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/s3presign/presign/internal/completion"
	"github.com/s3presign/presign/internal/objectstore"
	"github.com/s3presign/presign/internal/rules"
	"github.com/s3presign/presign/internal/s3limit"
	"github.com/s3presign/presign/internal/stamp"
)

// joinTime is the limit for joining the parts. S3 needs minutes for many parts.
const joinTime = 5 * time.Minute

// Complete makes an object of the parts, or of all parts that the store has if
// parts is empty. It then completes that object. Concurrent calls share one
// completion, which continues after the callers have left. If ctx ends with the
// cause completion.ErrEarly, the error is a *completion.EarlyError, whose
// Joined is set once the object exists.
func (m *Upload) Complete(ctx context.Context, parts []Part) (*completion.Result, error) {
	started := time.Now()
	if err := m.checkExpiry(); err != nil {
		m.observe(ctx, started, nil, err)
		return nil, err
	}
	flights := &m.engine.Completion.Flights
	defer flights.Enter(m.Key)()
	ticket := completion.Ticket{Key: m.Key, Granted: m.granted, Multipart: true}
	var own atomic.Bool
	run := func(ctx context.Context, flight *completion.Flight) (*completion.Result, error) {
		own.Store(true)
		result, err := m.complete(ctx, flight, parts)
		m.observe(ctx, started, result, err)
		return result, err
	}
	result, err := flights.Join(ctx, ticket, run)
	if !own.Load() && isIncomplete(err) {
		// The other call might have listed the parts before the last part
		// arrived.
		result, err = flights.Join(ctx, ticket, run)
	}
	if errors.Is(err, completion.ErrBusy) {
		m.observe(ctx, started, nil, err)
	}
	return result, err
}

// isIncomplete reports whether an error holds violations that did not reject
// the upload.
func isIncomplete(err error) bool {
	_, rejected := errors.AsType[*completion.Rejection](err)
	return !rejected && len(rules.Find[rules.Violation](err)) > 0
}

// observe reports how a completion ended.
func (m *Upload) observe(
	ctx context.Context, started time.Time, result *completion.Result, err error,
) {
	if observe := m.engine.Completion.Observe; observe != nil {
		observe(ctx, &completion.Outcome{
			Key: m.Key, Granted: m.granted, Result: result, Err: err, Duration: time.Since(started),
		})
	}
}

func (m *Upload) complete(
	ctx context.Context, flight *completion.Flight, parts []Part,
) (*completion.Result, error) {
	selected, err := m.selectParts(ctx, parts)
	if len(rules.Find[rules.Violation](err)) > 0 {
		// While another request completes the upload, some stores list only
		// some of its parts, and then report that the upload does not exist.
		// Other stores still list the remaining parts when the object exists.
		if selected, err = m.selectParts(ctx, parts); len(rules.Find[rules.Violation](err)) > 0 {
			if result, err := m.completeObject(ctx); !completion.IsNotUploaded(err) {
				return result, err
			}
		}
	}
	if errors.Is(err, objectstore.ErrNoUpload) {
		return m.waitForObject(ctx)
	} else if err != nil {
		return nil, err
	}
	size := total(selected)
	if size > m.granted.MaxSize {
		return nil, m.reject(ctx, m.sizeViolation(size))
	}
	for _, p := range selected[:len(selected)-1] {
		if p.Size < s3limit.PartSize {
			v := rules.Violate("parts", rules.CodeTooSmall,
				"must have at least %d bytes in all parts except the last, got %d in part %d",
				s3limit.PartSize, p.Size, p.Number)
			v.Min = s3limit.PartSize
			return nil, v
		}
	}
	return m.join(ctx, flight, selected, size)
}

// join makes an object of the parts and completes it.
func (m *Upload) join(
	ctx context.Context, flight *completion.Flight, parts []objectstore.Part, size int64,
) (*completion.Result, error) {
	var whole *objectstore.Whole
	if algorithm, sum, ok := strings.Cut(m.granted.Checksum, " "); ok {
		whole = &objectstore.Whole{Algorithm: algorithm, Value: sum}
	}
	replace := m.granted.Replace && m.engine.Rules.Replace
	bounded, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	err := m.engine.Store.CompleteUpload(bounded, m.store, parts, size, whole, replace)
	switch {
	case err == nil, errors.Is(err, objectstore.ErrNoUpload):
		flight.Mark()
		// The parts existed a moment ago, so the object exists, or will soon.
		// Some stores report success while another request completes the
		// upload. The upload is also gone if the SDK repeats a request whose
		// response was lost.
		result, err := m.waitForObject(ctx)
		if completion.IsNotUploaded(err) {
			return nil, fmt.Errorf("%w: the upload has ended, but the object does not exist yet",
				completion.ErrChanged)
		}
		return result, err
	case errors.Is(err, objectstore.ErrExists):
		// The object might be this upload, because the SDK repeats a request
		// whose response was lost.
		result, err := m.completeObject(ctx)
		if !completion.IsNotUploaded(err) {
			return result, err
		}
		return nil, m.reject(ctx, completion.Taken())
	case errors.Is(err, objectstore.ErrDead):
		if err := m.abortAnyway(ctx); err != nil {
			return nil, err
		}
		return nil, errDead
	case errors.Is(err, objectstore.ErrBadDigest):
		return nil, rules.Violate("checksum", rules.CodeContradictsContent,
			"must match the parts that have arrived")
	}
	return nil, completion.StoreError(err)
}

// waitForObject completes the object of an upload that has ended at an unknown
// time. While one request completes an upload, stores might return "no such
// upload" to another request before the object exists.
func (m *Upload) waitForObject(ctx context.Context) (*completion.Result, error) {
	for wait := 100 * time.Millisecond; ; wait *= 2 {
		result, err := m.completeObject(ctx)
		if !completion.IsNotUploaded(err) || wait > 1600*time.Millisecond {
			return result, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// completeObject completes the object of the upload, if it exists. It returns
// ErrNotUploaded for an object of another grant.
func (m *Upload) completeObject(ctx context.Context) (*completion.Result, error) {
	return m.engine.Completion.CompleteUnobserved(ctx, m.Key, func(granted *stamp.Stamp) bool { return granted.ID == m.granted.ID })
}

// selectParts returns the named parts, or all, as the store has them. It
// returns a Violation if they have fewer bytes than were granted.
func (m *Upload) selectParts(ctx context.Context, named []Part) ([]objectstore.Part, error) {
	stored, err := m.list(ctx, named)
	if errors.Is(err, objectstore.ErrNoUpload) {
		return nil, err
	} else if err != nil {
		return nil, completion.StoreError(err)
	}
	selected, err := matchParts(named, stored)
	if err != nil {
		return nil, err
	}
	if size := total(selected); size < m.granted.MinSize {
		return nil, m.sizeViolation(size)
	}
	return selected, nil
}

// matchParts returns the named parts as the store has them, or all of them if
// named is empty.
func matchParts(named []Part, stored []objectstore.Part) ([]objectstore.Part, error) {
	selected := stored
	if len(named) > 0 {
		selected = make([]objectstore.Part, 0, len(named))
		byNumber := func(a, b Part) int { return cmp.Compare(a.Number, b.Number) }
		toNumber := func(p objectstore.Part, n int) int { return cmp.Compare(p.Number, n) }
		for _, want := range slices.SortedFunc(slices.Values(named), byNumber) {
			i, found := slices.BinarySearchFunc(stored, want.Number, toNumber)
			if !found || !want.matches(stored[i]) {
				return nil, rules.Violate("parts", rules.CodeMissing,
					"must name parts that have arrived, "+
						"got part %d, which has not arrived with these values", want.Number)
			}
			selected = append(selected, stored[i])
		}
	}
	for i, p := range selected {
		if p.Number != i+1 { // The file would have a gap, or one part twice.
			return nil, rules.Violate("parts", rules.CodeMissing,
				"must be numbered from 1 without gaps, got part %d in place of part %d",
				p.Number, i+1)
		}
	}
	return selected, nil
}
