package multipart

import (
	"context"
	"sync"

	"github.com/s3presign/presign/internal/completion"
	"github.com/s3presign/presign/internal/rules"
)

const (
	// partsAhead is how many parts are signed beyond the parts in the store,
	// if the size of the file is not known.
	partsAhead = 100

	// maxProgresses is the number of uploads whose progress an Engine keeps.
	maxProgresses = 1024
)

// A progress is the result of the last list of an upload's parts. Without it,
// every signature would list all parts, and 10,000 parts would take 55,000
// requests.
type progress struct {
	mu     sync.Mutex // held while the parts are listed
	stored int        // the number of parts that the store has
	left   int        // the number of signatures before the next list
}

// A progressTable holds the progress of uploads of unknown size. Each replica
// has its own, so a client can obtain partsAhead signatures from each replica.
type progressTable struct {
	mu      sync.Mutex
	uploads map[string]*progress // by the store's ID
}

// get returns the progress of an upload. If the table is full, get removes the
// progress of another upload, whose next signature lists the parts again.
func (t *progressTable) get(id string) *progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.uploads[id]; p != nil {
		return p
	}
	if t.uploads == nil {
		t.uploads = make(map[string]*progress)
	}
	for other := range t.uploads {
		if len(t.uploads) < maxProgresses {
			break
		}
		delete(t.uploads, other)
	}
	p := new(progress)
	t.uploads[id] = p
	return p
}

// remove removes the progress of an upload that has ended.
func (t *progressTable) remove(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.uploads, id)
}

// checkProgress reports an error if an upload of unknown size may not continue
// with count signatures up to part last.
//
// A client can ask for any numbers, including parts that it has sent before. So
// checkProgress lists the parts again after a number of signatures: a tenth of
// the number of parts, at most partsAhead. For 10,000 parts, it makes about 600
// requests.
func (m *Upload) checkProgress(ctx context.Context, last, count int) error {
	p := m.engine.progresses.get(m.store.ID)
	p.mu.Lock()
	defer p.mu.Unlock()
	if last > p.stored+partsAhead || count > p.left {
		stored, err := m.list(ctx, nil)
		if err != nil {
			return completion.StoreError(err)
		}
		if size := total(stored); size > m.granted.MaxSize {
			m.engine.progresses.remove(m.store.ID)
			return m.reject(ctx, m.sizeViolation(size))
		}
		p.stored, p.left = len(stored), max(count, min(len(stored)/10, partsAhead))
	}
	most := p.stored + partsAhead
	if last > most || count > partsAhead {
		v := rules.Violate("part", rules.CodeTooLarge,
			"must be at most %d, %d beyond the parts that have arrived, "+
				"since the size is not known, got %d",
			most, partsAhead, last)
		v.Max = int64(most)
		return v
	}
	p.left -= count
	return nil
}
